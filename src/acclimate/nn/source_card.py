"""What a model folder is: its digest, its size, its licence-bearing card. Loads no weights and no torch."""

from __future__ import annotations

import hashlib
from math import prod
from pathlib import Path

from acclimate.digests import file_digest
from acclimate.errors import ModelError
from acclimate.nn.preflight import read_json, weight_files
from acclimate.nn.tensor_file import TensorEntry, read_header
from acclimate.nn.vision.installed import encoder_code
from acclimate.records import SourceCard

INSERT_FILE = "insert.safetensors"
CONTENT_FILES = (
    "1_Pooling/config.json",
    "acclimate.json",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "head.safetensors",
    INSERT_FILE,
    "merges.txt",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


def folder_digest(folder: Path) -> str:
    """sha256 over what decides what a model computes: weights, config, tokenizer or preprocessing, pooling, head.

    The code of an encoder that transformers lacks counts too. Other files (README, ONNX copies, what MLflow adds) don't
    change it.

    Args:
        folder: a model folder that :func:`acclimate.nn.preflight.preflight` accepts.

    Raises:
        ModelError: E-MODEL-004 or 005, the folder has no loadable weights.
    """
    names = [name for name in CONTENT_FILES if (folder / name).is_file()]
    names = sorted({*names, *(path.name for path in weight_files(folder))})
    lines = [f"{name} {file_digest(folder / name)}\n" for name in names]
    lines += [f"code {code}\n" for code in encoder_code(str(read_json(folder / "config.json").get("model_type")))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _labels(folder: Path, has_head: bool) -> list[str] | None:
    own = folder / "acclimate.json"
    if own.is_file():
        named = read_json(own).get("labels")
        return [str(label) for label in named] if isinstance(named, list) else None
    names = read_json(folder / "config.json").get("id2label")
    if not has_head or not isinstance(names, dict):
        return None
    # a head whose labels have no numbers can't be compared with anything
    return [str(names[key]) for key in sorted(names, key=int)] if all(key.isdecimal() for key in names) else None


def source_card(folder: Path, *, name: str, revision: str | None, licence: str | None) -> SourceCard:
    """Describe a source model.

    Args:
        folder: its folder; not checked here for anything but the headers of its weights.
        name: short name.
        revision: package or registry version; None takes the digest's first 12 characters.
        licence: SPDX name, or None when unknown.

    Raises:
        ModelError: E-MODEL-003, 004, 005 or 010, the folder can't be read as a model; E-MODEL-023, an adapted model
            with added layers.
    """
    if (folder / INSERT_FILE).exists():
        raise ModelError(
            "E-MODEL-023",
            "an adapted model with added layers (adapter, prefix) can't be adapted further",
            where=str(folder),
            hint="adapt its own source model again, or hand on an arm that merges, such as lora or full",
        )
    tensors: dict[str, TensorEntry] = {}
    for path in weight_files(folder):
        tensors |= read_header(path)
    digest = folder_digest(folder)
    return SourceCard(
        name=name,
        revision=revision or digest[:12],
        digest=digest,
        licence=licence,
        model_type=str(read_json(folder / "config.json").get("model_type")),
        parameters=sum(prod(t.shape) for t in tensors.values() if t.dtype in {"F64", "F32", "F16", "BF16"}),
        labels=_labels(folder, any(tensor.startswith("classifier.") for tensor in tensors)),
    )
