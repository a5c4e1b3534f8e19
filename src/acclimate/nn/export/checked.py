"""The lines of Python that come with an export are run, on inputs made for it, and must compute the same."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from acclimate.errors import IntegrityError, ModelError
from acclimate.nn.causal.writer import Writer
from acclimate.nn.loading import quiet
from acclimate.nn.model import AdaptedModel
from acclimate.nn.readers import TextReader

# of tokens; beside them as many as are read
LENGTHS = (1, 2, 5, 12, 30, 80, 200)
SIDES = (32, 200, 317)
# of the largest logit, or of 1
TOLERANCE = 1e-4


def texts_for(model: AdaptedModel) -> list[str]:
    """Texts for a classifier of texts, see :func:`texts`."""
    reader = model.encoder.reader
    assert isinstance(reader, TextReader)
    return texts(reader.tokenizer, model.max_length)


def texts(tokenizer: Any, limit: int) -> list[str]:
    """Texts of random words of a vocabulary, from one token to as many as are read, and the empty one."""
    rng, special = np.random.default_rng(0), set(tokenizer.all_special_ids)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    lengths = sorted({min(length, limit) for length in (*LENGTHS, limit)})
    return ["", *(str(tokenizer.decode(rng.choice(ordinary, length).tolist())) for length in lengths)]


def images() -> list[bytes]:
    """Pictures of random colours, of different sizes, as PNG."""
    rng, made = np.random.default_rng(0), []
    for side in SIDES:
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side * 2 // 3, 3), dtype=np.uint8)).save(file, "PNG")
        made.append(file.getvalue())
    return made


def checked(recipe: str, model: AdaptedModel | Writer, folder: Path, source: Path | None = None) -> float:
    """The largest difference of what a recipe computes from the model's own logits.

    Args:
        recipe: the lines of Python; they read ``FOLDER``, ``SOURCE``, and ``texts`` or ``images``.
        model: the adapted model in float32.
        folder: what was written.
        source: folder of the source model, for lines that need one.

    Raises:
        ModelError: E-EXPORT-003, they don't run.
        IntegrityError: E-EXPORT-005, they compute something else.
    """
    left: dict[str, Any] = {"FOLDER": str(folder), "SOURCE": str(source)}
    if isinstance(model, Writer):
        return _writes(recipe, model, left)
    if model.reads_images:
        files = images()
        pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
        return _classifies(recipe, model, files, {**left, "images": pictures})
    inputs = texts_for(model)
    return _classifies(recipe, model, inputs, {**left, "texts": inputs})


def unusable(says: str, error: BaseException) -> ModelError:
    """E-EXPORT-003: no other program computes the model in this format.

    Args:
        says: what was tried.
        error: what came of it.
    """
    lines = str(error).strip().splitlines() or [""]
    return ModelError(
        "E-EXPORT-003",
        f"{says}: {type(error).__name__}: {lines[0][:300]}",
        hint="export it in another --format, or load it with acclimate.load",
    )


def _run(recipe: str, left: dict[str, Any]) -> None:
    """Run lines of Python that this package wrote; whatever a library raises in them is the finding."""
    try:
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            exec(compile(recipe, "README.md", "exec"), left)  # noqa: S102 - our lines; foreign text is literals
    except Exception as error:
        raise unusable("the lines of the README don't run", error) from error


def _classifies(recipe: str, model: AdaptedModel, inputs: Any, left: dict[str, Any]) -> float:
    _run(recipe, left)
    own = model.logits(inputs) / np.float32(model.temperature)
    return _difference(np.asarray(left["logits"]), own)


def _writes(recipe: str, model: Writer, left: dict[str, Any]) -> float:
    """What is read before the answer must be the same tokens, and the logits behind each of them."""
    most = model.prompting.max_length // 2
    asked = texts(model.reader.tokenizer, most)
    names: dict[str, Any] = {**left, "texts": asked[:2]}
    _run(recipe, names)
    found = []
    for text in asked:
        own = model.read(text)
        if names["read"](text) != own:
            raise IntegrityError("E-EXPORT-005", "the export reads prompts in another way than the model")
        ids = torch.tensor([own])
        with torch.inference_mode():
            found.append(
                _difference(names["model"](input_ids=ids).logits.numpy(), model.lm(input_ids=ids).logits.numpy())
            )
    return max(found)


def _difference(exported: np.ndarray, own: np.ndarray) -> float:
    difference = float(np.abs(exported - own).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(own).max()))
    if not difference <= allowed:
        raise IntegrityError(
            "E-EXPORT-005",
            f"the export computes other logits than the model: {difference:.2g} off, {allowed:.2g} is allowed",
            hint="nothing was written; try another --format, and report this",
        )
    return difference
