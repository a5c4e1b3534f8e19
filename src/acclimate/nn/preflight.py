"""Checks of a model folder before anything in it is loaded: no code, no pickle, nothing from outside the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import ModelError
from acclimate.nn.tensor_file import TensorEntry, first_not_finite, read_header

MODEL_TYPES = frozenset(
    ("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
)

#: Causal language models: decoders whose attention keeps packed rows apart.
CAUSAL_MODEL_TYPES = frozenset(("llama", "mistral", "qwen2", "qwen3"))
_EMBEDDINGS = ("word_embeddings.weight", "embed_tokens.weight")


@dataclass(frozen=True)
class ImageModelType:
    """What is known of a type of vision model.

    Args:
        pooling: how one vector is made of its last hidden state, see :func:`acclimate.nn.encoder.pool`.
        is_transformers: whether transformers has it; else an installed package adds it, see
            :mod:`acclimate.nn.vision.models`.
    """

    pooling: str
    is_transformers: bool = True


#: Vision models that are loaded: the allowlist of what comes from other packages too.
IMAGE_MODEL_TYPES = {
    "convnext": ImageModelType("pooler"),
    "convnextv2": ImageModelType("pooler"),
    "deit": ImageModelType("cls"),
    "dinov2": ImageModelType("cls"),
    "efficientnet-lite": ImageModelType("map", is_transformers=False),
    "resnet": ImageModelType("map"),
    "vit": ImageModelType("cls"),
}
SETTINGS_FILES = ("tokenizer_config.json", "tokenizer.json", "preprocessor_config.json")
CODE_KEYS = frozenset(("auto_map", "custom_pipelines", "trust_remote_code"))
# transformers would then read other files than the ones that are checked and hashed here
ELSEWHERE_KEYS = frozenset(("transformers_weights", "fast_tokenizer_files"))
UNSAFE_ENDINGS = frozenset((".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf"))
MAX_FILES = 10_000
MAX_JSON_BYTES = 200_000_000
LIMITS = {
    "hidden_size": 32_768,
    "hidden_sizes": 32_768,
    "depths": 512,
    "embedding_size": 32_768,
    "image_size": 4_096,
    "patch_size": 4_096,
    "num_channels": 16,
    "dim": 32_768,
    "intermediate_size": 262_144,
    "num_hidden_layers": 512,
    "n_layers": 512,
    "vocab_size": 4_000_000,
    "max_position_embeddings": 1_000_000,
}


def _refuse(number: int, message: str, path: Path, hint: str) -> ModelError:
    return ModelError(f"E-MODEL-{number:03d}", message, where=str(path), hint=hint)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ModelError: E-MODEL-003, the file is absent, too large, or not a JSON object.
    """
    hint = "fetch the model again; the folder must hold a transformers model"
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise _refuse(3, f"{path.name} is larger than {MAX_JSON_BYTES} bytes", path, hint)
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse(3, f"{path.name} can't be read: {error}", path, hint) from error
    if not isinstance(value, dict):
        raise _refuse(3, f"{path.name} is not a JSON object", path, hint)
    return value


def reads_images(config: Mapping[str, Any]) -> bool:
    """Whether a model of this ``config.json`` is a vision model."""
    return str(config.get("model_type")) in IMAGE_MODEL_TYPES


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files transformers would load: the single file, else the shards its index names.

    Raises:
        ModelError: E-MODEL-004 no such file, E-MODEL-005 the index names a file outside the folder or an absent one.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in UNSAFE_ENDINGS)
        found = f"; {', '.join(others[:5])} can hold code and is never loaded" if others else ""
        hint = "convert it where you trust it: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        raise _refuse(4, f"the folder has no model.safetensors{found}", folder, hint)
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise _refuse(5, "the shard index has no weight_map", index, "fetch the model again")
    names = sorted(set(shards.values()))
    for name in names:
        inside = Path(name).name == name and name.endswith(".safetensors")
        if not inside or not (folder / name).is_file():
            raise _refuse(
                5,
                f"the shard index names {name!r}, which is not a safetensors file of this folder",
                index,
                "fetch it again",
            )
    return [folder / name for name in names]


def _check_links(folder: Path) -> None:
    root, seen = folder.resolve(), 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            seen += 1
            path = Path(place) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise _refuse(
                    2,
                    f"{name} is a link that leaves the model's folder",
                    path,
                    "copy the model: cp -rL FOLDER NEW_FOLDER",
                )
        if seen > MAX_FILES:
            raise _refuse(2, f"the folder holds more than {MAX_FILES} files", folder, "point at the model's own folder")


def _check_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    config = read_json(path)
    if str(config.get("model_type")) not in {*MODEL_TYPES, *CAUSAL_MODEL_TYPES, *IMAGE_MODEL_TYPES}:
        raise _refuse(
            6,
            f"model_type {config.get('model_type')!r} is not one that acclimate loads",
            path,
            f"it loads text encoders ({', '.join(sorted(MODEL_TYPES))}), causal language models "
            f"({', '.join(sorted(CAUSAL_MODEL_TYPES))}) and vision encoders ({', '.join(sorted(IMAGE_MODEL_TYPES))})",
        )
    for file in (path, *(folder / name for name in SETTINGS_FILES)):
        values = read_json(file) if file.is_file() else {}
        if CODE_KEYS & values.keys():
            raise _refuse(
                7,
                f"{file.name} asks for code of its own ({', '.join(sorted(CODE_KEYS & values.keys()))})",
                file,
                "acclimate runs no code from model folders; use a model that transformers itself implements",
            )
        if ELSEWHERE_KEYS & values.keys():
            raise _refuse(
                7,
                f"{file.name} names other files to load ({', '.join(sorted(ELSEWHERE_KEYS & values.keys()))})",
                file,
                "remove the entry: model.safetensors and tokenizer.json are what is loaded",
            )
    if any("attn_implementation" in key and value not in (None, "eager", "sdpa") for key, value in config.items()):
        raise _refuse(7, "config.json asks for a kernel from elsewhere", path, "remove its attn_implementation")
    if "quantization_config" in config:
        raise _refuse(7, "config.json asks for quantised weights", path, "use the model in fp32, fp16 or bf16")
    for key, limit in LIMITS.items():
        value = config.get(key, 1)
        sizes = value if isinstance(value, list) else [value]
        if not sizes or not all(type(size) is int and 1 <= size <= limit for size in sizes):
            raise _refuse(6, f"config.json: {key} = {value!r} is not between 1 and {limit}", path, "fetch it again")
    return config


def _check_weights(files: list[Path]) -> dict[str, TensorEntry]:
    tensors: dict[str, TensorEntry] = {}
    for path in files:
        entries = read_header(path)
        name = first_not_finite(path, entries)
        if name is not None:
            raise _refuse(9, f"tensor {name!r} has NaN or infinite values", path, "fetch or train the model again")
        tensors |= entries
    return tensors


def _tokens(folder: Path) -> int:
    """One more than the highest token id the tokenizer can give."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        listed = folder / "vocab.txt"
        if listed.is_file():
            return len(listed.read_text(encoding="utf-8").splitlines())
        raise _refuse(
            8,
            "the folder has no tokenizer",
            folder,
            "add tokenizer.json: AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)",
        )
    content = read_json(path)
    try:
        vocabulary = content["model"]["vocab"]
        ids = [len(vocabulary) - 1, *(int(token["id"]) for token in content.get("added_tokens") or [])]
        if isinstance(vocabulary, dict):
            ids += [int(value) for value in vocabulary.values()]
    except (KeyError, TypeError, ValueError) as error:
        raise _refuse(
            8, f"tokenizer.json has no readable vocabulary: {error!r}", path, "fetch the model again"
        ) from error
    return max(ids) + 1


def _check_vocabulary(folder: Path, config: dict[str, Any], tensors: dict[str, TensorEntry]) -> None:
    rows = [entry.shape[0] for name, entry in tensors.items() if name.endswith(_EMBEDDINGS) and entry.shape]
    size = min([int(config.get("vocab_size", 0) or 0), *rows]) if rows else 0
    if not rows:
        raise _refuse(8, "the weights have no word embeddings", folder, "fetch the model again")
    tokens = _tokens(folder)
    if tokens > size:
        raise _refuse(
            8,
            f"the tokenizer gives ids up to {tokens - 1}, the embedding has {size} rows",
            folder,
            "tokenizer and weights are of different models; fetch both again",
        )


def preflight(folder: Path) -> None:
    """Refuse a model folder that could run code, or whose files don't make one sound encoder.

    Reads JSON and raw bytes only; nothing is unpickled, imported or handed to transformers.

    Args:
        folder: a transformers model folder.

    Raises:
        ModelError: E-MODEL-001 no such folder; 002 a link leaves it, or it is no model folder; 003 unreadable JSON;
            004 no safetensors weights; 005 bad shard index; 006 model type or sizes not accepted; 007 it asks for
            code, kernels or quantisation; 008 tokenizer absent or of another model; 009 weights not finite;
            010 damaged safetensors; 011 an adapter that needs another base.
    """
    if not folder.is_dir():
        raise _refuse(1, "there is no such model folder", folder, "check source.model")
    _check_links(folder)
    config = _check_config(folder)
    if (folder / "adapter_config.json").exists():
        raise _refuse(
            11,
            "this is an adapter, not a whole model",
            folder,
            "merge it into its base first: peft's merge_and_unload()",
        )
    tensors = _check_weights(weight_files(folder))
    if not reads_images(config):
        _check_vocabulary(folder, config, tensors)
