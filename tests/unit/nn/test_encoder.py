"""The encoder against a plain transformers loop, its order, its cache and its limits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder, cached_embeddings, folder_digest, source_card, weights_digest

TEXTS = ["good phone", "the price of a bad camera was high , and the service was slow", "", "why ?", "great " * 300]


def plain_features(folder: Path, texts: list[str], max_length: int, pooling: str = "mean") -> np.ndarray:
    """One text at a time, without padding."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = model(input_ids=ids).last_hidden_state[0]
        found.append(hidden[0] if pooling == "cls" else hidden.mean(dim=0))
    return torch.stack(found).numpy()


@pytest.fixture
def copied(tiny_source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_source, tmp_path / "copy"))


def test_features_equal_a_plain_loop_in_input_order(tiny_source: Path) -> None:
    features = Encoder.load(tiny_source, precision="fp32", max_length=None).embed(TEXTS * 7)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, np.tile(plain_features(tiny_source, TEXTS, 128), (7, 1)), atol=1e-5)


def test_bf16_points_the_same_way_and_is_another_computation(tiny_source: Path) -> None:
    full, half = (Encoder.load(tiny_source, precision=name, max_length=None).embed(TEXTS) for name in ("fp32", "bf16"))
    cosine = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() >= 0.999
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)


def test_the_same_texts_give_the_same_bits(tiny_source: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="bf16", max_length=None)
    assert np.array_equal(encoder.embed(TEXTS), encoder.embed(TEXTS))
    again = Encoder.load(tiny_source, precision="bf16", max_length=None)
    assert np.array_equal(encoder.embed(TEXTS), again.embed(TEXTS))


def test_no_texts_give_no_rows(tiny_source: Path) -> None:
    assert Encoder.load(tiny_source, precision="fp32", max_length=None).embed([]).shape == (0, 32)


def test_embedding_leaves_the_weights_bit_identical(tiny_source: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="bf16", max_length=None)
    before = weights_digest(encoder.module)
    encoder.embed(TEXTS)
    assert weights_digest(encoder.module) == before
    with torch.no_grad():
        next(encoder.module.parameters()).view(-1)[0] += 1e-3
    assert weights_digest(encoder.module) != before


@pytest.mark.parametrize(
    ("declared", "pooling"), [({"pooling_mode_cls_token": True}, "cls"), ({"pooling_mode": "mean"}, "mean")]
)
def test_pooling_is_the_declared_one(copied: Path, declared: dict[str, object], pooling: str) -> None:
    (copied / "1_Pooling").mkdir()
    (copied / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **declared}))
    features = Encoder.load(copied, precision="fp32", max_length=None).embed(TEXTS)
    np.testing.assert_allclose(features, plain_features(copied, TEXTS, 128, pooling), atol=1e-5)


def test_a_tokenizer_without_special_tokens_is_no_trouble(copied: Path) -> None:
    content = json.loads((copied / "tokenizer.json").read_text())
    (copied / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}))
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": None}))
    features = Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone", "", "why"])
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[[0, 2]], plain_features(copied, ["good phone", "why"], 128), atol=1e-5)


def test_other_pooling_is_refused(copied: Path) -> None:
    (copied / "1_Pooling").mkdir()
    (copied / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ModelError) as caught:
        Encoder.load(copied, precision="fp32", max_length=None)
    assert caught.value.code == "E-MODEL-012"


def test_length_is_the_models_own_at_most_256_or_as_asked(copied: Path) -> None:
    assert Encoder.load(copied, precision="fp32", max_length=None).max_length == 128
    (copied / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    assert Encoder.load(copied, precision="fp32", max_length=None).max_length == 64
    short = Encoder.load(copied, precision="fp32", max_length=16)
    assert max(short.reader.prepare(TEXTS).sizes) == 16
    with pytest.raises(ModelError) as caught:
        Encoder.load(copied, precision="fp32", max_length=129)
    assert caught.value.code == "E-MODEL-013"
    assert "128" in caught.value.hint


def test_random_weights_depend_on_the_seed_only(tiny_source: Path) -> None:
    one, same, other = (
        Encoder.load(tiny_source, precision="fp32", max_length=None, random_seed=seed) for seed in (1, 1, 2)
    )
    stored = Encoder.load(tiny_source, precision="fp32", max_length=None)
    assert weights_digest(one.module) == weights_digest(same.module)
    assert one.digest == same.digest
    assert len({weights_digest(encoder.module) for encoder in (one, other, stored)}) == 3
    assert len({encoder.digest for encoder in (one, other, stored)}) == 3


def test_loading_leaves_torchs_random_state_alone(tiny_source: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Encoder.load(tiny_source, precision="fp32", max_length=None, random_seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_loading_is_silent(tiny_source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Encoder.load(tiny_source, precision="fp32", max_length=None).embed(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_weights_of_another_architecture_are_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError) as caught:
        Encoder.load(copied, precision="fp32", max_length=None)
    assert caught.value.code == "E-MODEL-015"
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    with pytest.raises(ModelError) as caught:
        Encoder.load(copied, precision="fp32", max_length=None)
    assert caught.value.code == "E-MODEL-014"


def test_digest_follows_what_is_computed_and_nothing_else(copied: Path) -> None:
    before = folder_digest(copied)
    (copied / "README.md").write_text("other words")
    assert folder_digest(copied) == before
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    assert folder_digest(copied) != before


def test_card_counts_parameters_without_loading(tiny_source: Path) -> None:
    card = source_card(tiny_source, name="tiny", revision=None, licence=None)
    assert card.parameters == sum(p.numel() for p in AutoModel.from_pretrained(tiny_source).parameters())
    assert card.revision == card.digest[:12]
    assert card.model_type == "bert"
    assert card.labels is None


class Counter:
    """Progress that counts the texts that were embedded."""

    def __init__(self) -> None:
        self.embedded = 0

    def __call__(self, event: str, /, **fields: object) -> None:
        if event == "embed" and fields["done"] == fields["of"]:
            self.embedded += int(str(fields["of"]))


def test_features_are_computed_once(tiny_source: Path, tmp_path: Path) -> None:
    encoder, counter = Encoder.load(tiny_source, precision="fp32", max_length=None), Counter()
    first = cached_embeddings(encoder, TEXTS, tmp_path / "cache", counter)
    second = cached_embeddings(encoder, TEXTS, tmp_path / "cache", counter)
    assert np.array_equal(first, second)
    assert np.array_equal(first, encoder.embed(TEXTS))
    assert counter.embedded == len(TEXTS)


@pytest.mark.parametrize("other", ["texts", "order", "max_length", "precision", "seed"])
def test_other_features_are_never_mixed_up(tiny_source: Path, tmp_path: Path, other: str) -> None:
    cached_embeddings(Encoder.load(tiny_source, precision="fp32", max_length=None), TEXTS, tmp_path)
    options = {
        "precision": "bf16" if other == "precision" else "fp32",
        "max_length": 32 if other == "max_length" else None,
        "random_seed": 1 if other == "seed" else None,
    }
    texts = {"texts": ["some", *TEXTS[1:]], "order": TEXTS[::-1]}.get(other, TEXTS)
    encoder, counter = Encoder.load(tiny_source, **options), Counter()
    cached_embeddings(encoder, texts, tmp_path, counter)
    assert counter.embedded == len(texts)


@pytest.mark.parametrize("place", [0, 25, 60, -1])
def test_a_flipped_byte_in_the_cache_is_noticed(tiny_source: Path, tmp_path: Path, place: int) -> None:
    encoder, counter = Encoder.load(tiny_source, precision="fp32", max_length=None), Counter()
    expected = cached_embeddings(encoder, TEXTS, tmp_path, counter)
    (stored,) = tmp_path.iterdir()
    raw = bytearray(stored.read_bytes())
    raw[place] ^= 1
    stored.write_bytes(raw)
    assert np.array_equal(cached_embeddings(encoder, TEXTS, tmp_path, counter), expected)
    assert counter.embedded == 2 * len(TEXTS)
    assert np.array_equal(cached_embeddings(encoder, TEXTS, tmp_path, counter), expected)
    assert counter.embedded == 2 * len(TEXTS)


@pytest.mark.real_model
def test_real_minilm_matches_a_plain_loop(minilm: Path) -> None:
    texts = ["The battery lasts two days.", "Awful. Don't buy this!", "It is a phone."]
    encoder = Encoder.load(minilm, precision="fp32", max_length=None)
    assert (encoder.dim, encoder.max_length, encoder.pooling) == (384, 256, "mean")
    np.testing.assert_allclose(encoder.embed(texts), plain_features(minilm, texts, 256), atol=1e-5)
