"""Hostile and broken model folders are refused by name before anything in them is loaded."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.preflight import preflight

Damage = Callable[[Path], None]
CANARY = Path(tempfile.gettempdir()) / f"acclimate-canary-{os.getpid()}"


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(CANARY),)


def pickled() -> bytes:
    return pickle.dumps(Bomb())


def edit(name: str, **fields: object) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return damage


def write(name: str, content: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def tensor_file(header: dict[str, object] | bytes, data: bytes = b"", length: int | None = None) -> Damage:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return write("model.safetensors", struct.pack("<Q", len(raw) if length is None else length) + raw + data)


def weights(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return damage


def poison(value: float) -> Damage:
    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors["embeddings.LayerNorm.bias"][3] = value
        return tensors

    return weights(change)


def bfloat16_nan(folder: Path) -> None:
    tensor_file({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"\x80\x3f\xc0\x7f")(folder)


def shards(*names: str) -> Damage:
    def damage(folder: Path) -> None:
        shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        index = {"metadata": {}, "weight_map": {f"tensor{i}": name for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return damage


def only(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(pickled())

    return damage


def link(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/etc/passwd")

    return damage


def more_tokens(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["acclimate"] = 50_000
    path.write_text(json.dumps(content))


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE: dict[str, tuple[Damage, str]] = {
    "no such folder": (shutil.rmtree, "E-MODEL-001"),
    "link out of the folder": (link("extra.txt"), "E-MODEL-002"),
    "weights are a link out of the folder": (link("model.safetensors"), "E-MODEL-002"),
    "folder linked from outside": (lambda folder: (folder / "onnx").symlink_to("/etc"), "E-MODEL-002"),
    "no config": (remove("config.json"), "E-MODEL-003"),
    "config is not JSON": (write("config.json", b"{"), "E-MODEL-003"),
    "config is a list": (write("config.json", b"[]"), "E-MODEL-003"),
    "config is not UTF-8": (write("config.json", b"\xff\xfe{}"), "E-MODEL-003"),
    "config is nested 100,000 deep": (write("config.json", b"[" * 100_000), "E-MODEL-003"),
    "no weights": (remove("model.safetensors"), "E-MODEL-004"),
    **{
        f"only {name}": (only(name), "E-MODEL-004")
        for name in ("pytorch_model.bin", "model.pt", "model.pkl", "model.ckpt", "tf_model.h5", "flax_model.msgpack")
    },
    "shard index leads out": (shards("../outside.safetensors"), "E-MODEL-005"),
    "shard index is absolute": (shards("/etc/passwd"), "E-MODEL-005"),
    "shard index names a pickle": (shards("pytorch_model-1.bin"), "E-MODEL-005"),
    "shard is absent": (shards("model-00001-of-00002.safetensors"), "E-MODEL-005"),
    "shard index without map": (shards(), "E-MODEL-005"),
    "model type not allowed": (edit("config.json", model_type="gpt_bigcode"), "E-MODEL-006"),
    "no model type": (edit("config.json", model_type=None), "E-MODEL-006"),
    "model type is a list": (edit("config.json", model_type=["bert"]), "E-MODEL-006"),
    "a billion layers": (edit("config.json", num_hidden_layers=10**9), "E-MODEL-006"),
    "negative size": (edit("config.json", hidden_size=-1), "E-MODEL-006"),
    "size is text": (edit("config.json", vocab_size="many"), "E-MODEL-006"),
    "auto_map in the config": (edit("config.json", auto_map={"AutoModel": "evil.Model"}), "E-MODEL-007"),
    "auto_map in the tokenizer": (
        edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}),
        "E-MODEL-007",
    ),
    "kernel from a hub": (edit("config.json", attn_implementation="someone/kernel"), "E-MODEL-007"),
    "kernel by the private name": (edit("config.json", _attn_implementation_internal="someone/kernel"), "E-MODEL-007"),
    "config names other weights": (edit("config.json", transformers_weights="other.safetensors"), "E-MODEL-007"),
    "config names another tokenizer": (
        edit("tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"]),
        "E-MODEL-007",
    ),
    "quantised": (edit("config.json", quantization_config={"quant_method": "x"}), "E-MODEL-007"),
    "no tokenizer": (remove("tokenizer.json"), "E-MODEL-008"),
    "tokenizer of a larger model": (more_tokens, "E-MODEL-008"),
    "tokenizer without vocabulary": (edit("tokenizer.json", model={}), "E-MODEL-008"),
    "no embeddings": (weights(lambda _: {"x": np.ones(2, np.float32)}), "E-MODEL-008"),
    "NaN weight": (poison(float("nan")), "E-MODEL-009"),
    "infinite weight": (poison(float("inf")), "E-MODEL-009"),
    "NaN in bfloat16": (bfloat16_nan, "E-MODEL-009"),
    "pickle by another name": (write("model.safetensors", pickled()), "E-MODEL-010"),
    "gzip pickle by another name": (write("model.safetensors", gzip.compress(pickled())), "E-MODEL-010"),
    "empty weights": (write("model.safetensors", b""), "E-MODEL-010"),
    "header longer than the file": (tensor_file({"x": FLOATS}, b"\0" * 8, length=10_000), "E-MODEL-010"),
    "header of 2^63 bytes": (tensor_file({"x": FLOATS}, b"\0" * 8, length=2**63), "E-MODEL-010"),
    "header is not JSON": (tensor_file(b"{'x': 1}"), "E-MODEL-010"),
    "header nested 100,000 deep": (tensor_file(b"[" * 100_000), "E-MODEL-010"),
    "tensor named twice": (tensor_file(b'{"x": {}, "x": {}}'), "E-MODEL-010"),
    "unknown dtype": (tensor_file({"x": {**FLOATS, "dtype": "O"}}, b"\0" * 8), "E-MODEL-010"),
    "shape and offsets differ": (tensor_file({"x": {**FLOATS, "shape": [3]}}, b"\0" * 8), "E-MODEL-010"),
    "negative shape": (tensor_file({"x": {**FLOATS, "shape": [-1, -2]}}, b"\0" * 8), "E-MODEL-010"),
    "overlapping tensors": (tensor_file({"x": FLOATS, "y": FLOATS}, b"\0" * 8), "E-MODEL-010"),
    "hole between tensors": (
        tensor_file({"x": FLOATS, "y": {**FLOATS, "data_offsets": [12, 20]}}, b"\0" * 20),
        "E-MODEL-010",
    ),
    "offsets beyond the file": (tensor_file({"x": {**FLOATS, "data_offsets": [8, 16]}}, b"\0" * 8), "E-MODEL-010"),
    "truncated": (tensor_file({"x": FLOATS}, b"\0" * 4), "E-MODEL-010"),
    "bytes behind the tensors": (tensor_file({"x": FLOATS}, b"\0" * 12), "E-MODEL-010"),
    "offsets are an object": (tensor_file({"x": {**FLOATS, "data_offsets": {}}}, b"\0" * 8), "E-MODEL-010"),
    "offsets are null": (tensor_file({"x": {**FLOATS, "data_offsets": None}}, b"\0" * 8), "E-MODEL-010"),
    "tokenizer that tokenizers can't read": (edit("tokenizer.json", normalizer={"type": "Evil"}), "E-MODEL-014"),
    "heads don't divide the size": (edit("config.json", num_attention_heads=5), "E-MODEL-014"),
    "unknown activation": (edit("config.json", hidden_act="os.system"), "E-MODEL-014"),
    "weights of other sizes": (edit("config.json", intermediate_size=128), "E-MODEL-014"),
    "layers without weights": (edit("config.json", num_hidden_layers=4), "E-MODEL-015"),
    "adapter": (write("adapter_config.json", b"{}"), "E-MODEL-011"),
}


@pytest.fixture
def copied(tiny_source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_source, tmp_path / "model"))


def test_the_canary_sings_where_what_the_pickle_asks_for_is_done() -> None:
    call, arguments = Bomb().__reduce__()
    call(*arguments)
    assert CANARY.is_dir()
    CANARY.rmdir()


def test_the_sound_folder_passes(copied: Path) -> None:
    preflight(copied)


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_folder_is_refused(copied: Path, kind: str) -> None:
    damage, code = HOSTILE[kind]
    damage(copied)
    with pytest.raises(ModelError) as caught:
        Encoder.load(copied, precision="fp32", max_length=None)
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.where
    assert not CANARY.exists()


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "training_args.bin", "optimizer.pt", "model.ckpt", "modeling_x.py"]
)
def test_other_files_beside_the_weights_are_never_opened(copied: Path, name: str) -> None:
    expected = Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone"])
    (copied / name).write_bytes(pickled())
    (copied / name).chmod(0o000)
    opened: list[str] = []
    _listeners.append(opened.append)
    try:
        features = Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone"])
    finally:
        _listeners.clear()
    assert np.array_equal(features, expected)
    assert any(path.endswith("config.json") for path in opened)
    assert not any(path.endswith(name) for path in opened)


_listeners: list[Callable[[str], None]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _listeners and isinstance(arguments[0], str):
        _listeners[0](arguments[0])


@pytest.fixture(scope="module", autouse=True)
def _audited() -> None:
    import sys

    sys.addaudithook(_audit)


def test_sharded_weights_inside_the_folder_load(copied: Path) -> None:
    expected = Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone"])
    tensors = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, copied / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in parts.items() for name in part}
    (copied / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert np.array_equal(Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone"]), expected)


def test_a_vocabulary_list_will_do_for_a_tokenizer(copied: Path) -> None:
    vocabulary = json.loads((copied / "tokenizer.json").read_text())["model"]["vocab"]
    (copied / "tokenizer.json").unlink()
    (copied / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n")
    edit("tokenizer_config.json", tokenizer_class="BertTokenizer")(copied)
    assert Encoder.load(copied, precision="fp32", max_length=None).embed(["good phone"]).shape == (1, 32)
