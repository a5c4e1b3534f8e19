"""Loading from a model folder that passed the preflight: quietly, completely, without running its code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from acclimate.errors import AcclimateError, ModelError
from acclimate.nn.preflight import read_json

DEFAULT_MAX_LENGTH = 256
# their position ids start behind the padding id
OFFSET_POSITIONS = frozenset(("camembert", "mpnet", "roberta", "xlm-roberta"))


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without progress bars and advice: what it would warn about is checked and raised by us."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def declared_pooling(folder: Path) -> str:
    """How the model pools, ``mean`` or ``cls``, from its own files; ``mean`` when they don't say.

    Raises:
        ModelError: E-MODEL-012, another pooling.
    """
    for path, prefix in (
        (folder / "acclimate.json", "pooling"),
        (folder / "1_Pooling" / "config.json", "pooling_mode"),
    ):
        if path.is_file():
            config = read_json(path)
            declared = config.get(prefix)
            modes = (
                [declared]
                if isinstance(declared, str)
                else [k for k, v in config.items() if v is True and "mode_" in k]
            )
            known = {"mean": "mean", "cls": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
            if len(modes) == 1 and modes[0] in known:
                return known[modes[0]]
            raise ModelError(
                "E-MODEL-012",
                f"the model's pooling {modes} is not mean or cls",
                where=str(path),
                hint="use a model pooled by the mean or the first token",
            )
    return "mean"


def _positions(config: Any) -> int:
    longest = int(getattr(config, "max_position_embeddings", DEFAULT_MAX_LENGTH))
    return longest - (int(config.pad_token_id) + 1) if config.model_type in OFFSET_POSITIONS else longest


def reading_length(folder: Path, config: Any, wanted: int | None) -> int:
    """Tokens of a text that are read: as wanted, else the model's own length, at most 256.

    Raises:
        ModelError: E-MODEL-013, more than the model has positions for.
    """
    longest = _positions(config)
    if wanted is None:
        declared = folder / "sentence_bert_config.json"
        own = read_json(declared).get("max_seq_length") if declared.is_file() else None
        return min(longest, DEFAULT_MAX_LENGTH, int(own) if own else longest)
    if wanted > longest:
        raise ModelError(
            "E-MODEL-013",
            f"max_length {wanted} is more than the {longest} tokens the model has positions for",
            where=str(folder),
            hint=f"set baseline.max_length to at most {longest}",
        )
    return wanted


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Load from a folder that passed the preflight: quietly, whatever goes wrong translated.

    Raises:
        ModelError: E-MODEL-014, transformers or tokenizers refused the files.
    """
    try:
        with quiet():
            yield
    except AcclimateError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            "E-MODEL-014",
            f"transformers can't load the model: {lines[0][:300]}",
            where=str(folder),
            hint="config.json, tokenizer and weights may be of different models; fetch them again",
        ) from error


def load_module(kind: Any, folder: Path) -> torch.nn.Module:
    """Load fp32 weights into one of transformers' auto classes; all its tensors must be there.

    Args:
        kind: ``transformers.AutoModel`` or another auto class.
        folder: a folder that passed the preflight.

    Raises:
        ModelError: E-MODEL-014, it can't be loaded; E-MODEL-015, tensors are absent, which transformers would replace
            by random ones.
    """
    with loading(folder):
        module, report = kind.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    absent = sorted(name for name in report["missing_keys"] if "pooler." not in name)
    if absent:
        raise ModelError(
            "E-MODEL-015",
            f"the weights lack {len(absent)} tensors of the model, e.g. {absent[0]}",
            where=str(folder),
            hint="config.json and the weights are of different models; fetch both again",
        )
    return module  # type: ignore[no-any-return]  # transformers is untyped here


def random_module(folder: Path, seed: int) -> torch.nn.Module:
    """The folder's architecture with random weights; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]), loading(folder):
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        torch.manual_seed(seed)
        return transformers.AutoModel.from_config(config, trust_remote_code=False).float()  # type: ignore[no-any-return]
