"""One ONNX file: encoder, pooling and head of a classifier."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from acclimate.errors import ModelError, UnavailableError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.encoder import pooled
from acclimate.nn.export.checked import images, texts_for, unusable
from acclimate.nn.export.plain import put_head, write_reader
from acclimate.nn.loading import quiet
from acclimate.nn.model import AdaptedModel
from acclimate.nn.readers import TextReader

FILE = "model.onnx"
# a file of protobuf holds at most 2 GiB; larger weights lie beside it
LARGEST_FILE = 1_800_000_000


class _Whole(torch.nn.Module):
    """From what a reader gives to logits over the temperature.

    Args:
        model: the classifier.
        names: of the tensors it is called with.
    """

    def __init__(self, model: AdaptedModel, names: list[str]) -> None:
        super().__init__()
        self.encoder = model.encoder.module.eval()
        self.head = torch.nn.Linear(model.encoder.dim, len(model.labels))
        put_head(self.head, model)
        self.pooling = model.encoder.pooling
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, C]."""
        logits: torch.Tensor = self.head(
            pooled(self.encoder, dict(zip(self.names, tensors, strict=True)), self.pooling)
        )
        return logits


def write_onnx(model: AdaptedModel | Writer, folder: Path) -> str:
    """Write ``model.onnx``.

    Returns:
        How it is used, as lines of Python.

    Raises:
        ModelError: E-EXPORT-002, the model writes, or has prefixes; E-EXPORT-003, torch can't express it as ONNX.
        UnavailableError: E-EXPORT-006, a library is not installed.
    """
    if isinstance(model, Writer):
        raise ModelError(
            "E-EXPORT-002",
            "the model writes: one ONNX graph would compute each token again from the start",
            hint="export it with --format transformers, and convert that with the runtime's own tool",
        )
    insert = model.encoder.insert
    if insert is not None and insert.kind == "prefix":
        raise ModelError(
            "E-EXPORT-002",
            "torch can't trace a model with prefixes",
            hint="load it with acclimate.load, or serve it from the registry",
        )
    for library in ("onnxruntime", "onnxscript"):
        if importlib.util.find_spec(library) is None:
            raise UnavailableError("E-EXPORT-006", f"ONNX needs {library}", hint="pip install 'acclimate[onnx]'")
    program = _converted(model)
    program.model.metadata_props["labels"] = json.dumps(model.labels, ensure_ascii=False)
    size = sum(value.numel() * value.element_size() for value in model.encoder.module.state_dict().values())
    with _silently():
        program.save(folder / FILE, external_data=size > LARGEST_FILE)
    write_reader(model, folder)
    return _recipe(model)


def _converted(model: AdaptedModel) -> Any:
    """The model as torch's exporter has it, traced on a few rows."""
    inputs = images() if model.reads_images else texts_for(model)[:4]
    batch = model.encoder.reader.prepare(inputs).batch(range(len(inputs)))
    # of an image only the number is free
    free = {0: torch.export.Dim.DYNAMIC} if model.reads_images else dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    try:
        with _silently(), torch.no_grad():
            return torch.onnx.export(
                _Whole(model, list(batch)).eval(),
                tuple(batch.values()),
                input_names=list(batch),
                output_names=["logits"],
                dynamic_shapes=(tuple(free for _ in batch),),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        # its own words are instructions to torch's developers
        raise unusable("torch can't express this model as ONNX", error.__cause__ or error) from error


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Without the exporter's words, which go to three places."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _recipe(model: AdaptedModel) -> str:
    if model.reads_images:
        read = (
            "from transformers import AutoImageProcessor\n\n"
            "reader = AutoImageProcessor.from_pretrained(FOLDER)\n"
            'batch = dict(reader(images, return_tensors="np"))  # images: a list of PIL images in RGB\n'
        )
    else:
        reader = model.encoder.reader
        assert isinstance(reader, TextReader)
        side = reader.tokenizer.truncation_side
        read = (
            "from tokenizers import Tokenizer\n\n"
            'tokenizer = Tokenizer.from_file(f"{FOLDER}/tokenizer.json")\n'
            f"tokenizer.enable_truncation({model.max_length}, direction={side!r})\ntokenizer.enable_padding()\n"
            "rows = tokenizer.encode_batch(texts)  # texts: a list\n"
            'batch = {"input_ids": np.array([row.ids for row in rows]),\n'
            '         "attention_mask": np.array([row.attention_mask for row in rows])}\n'
        )
    return (
        f"import json\nimport numpy as np\nimport onnxruntime\n{read}\n"
        f'session = onnxruntime.InferenceSession(f"{{FOLDER}}/{FILE}")\n'
        'logits = session.run(["logits"], batch)[0]\n'
        "powers = np.exp(logits - logits.max(axis=1, keepdims=True))\n"
        "probabilities = powers / powers.sum(axis=1, keepdims=True)\n"
        'names = json.loads(session.get_modelmeta().custom_metadata_map["labels"])\n'
        "labels = [names[i] for i in logits.argmax(axis=1)]\n"
    )
