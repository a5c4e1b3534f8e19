"""Predictions of the models a candidate is compared with, in the data's own order of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from acclimate.core.control_names import SEED
from acclimate.core.controls import majority_predict
from acclimate.core.metrics import IntArray
from acclimate.errors import IntegrityError, ModelError
from acclimate.examples import Examples, Inputs, joined
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel, linear
from acclimate.nn.model_free import model_free
from acclimate.ports import Progress, silent
from acclimate.records import BaselineReport


def logits_in_order(
    model: AdaptedModel, inputs: Inputs, labels: Sequence[str], *, where: Path, progress: Progress = silent
) -> npt.NDArray[np.float32]:
    """A model's logits, columns in the order of the data's labels.

    Args:
        model: the model.
        inputs: n texts or encoded images.
        labels: the data's C label names.
        where: the model's folder, for the error.
        progress: told after each batch.

    Returns:
        float32 ``[n, C]``.

    Raises:
        ModelError: E-EVAL-001, the model predicts other labels than the data have.
    """
    if sorted(model.labels) != sorted(labels):
        lacks, more = sorted(set(labels) - set(model.labels)), sorted(set(model.labels) - set(labels))
        differences = [f"lacks {_some(lacks)}"] * bool(lacks) + [f"has {_some(more)}, unknown to the data"] * bool(more)
        raise ModelError(
            "E-EVAL-001",
            f"the model's labels are not the data's: it {' and '.join(differences)}",
            where=str(where),
            hint="models of other labels can't be compared: register the new one under another name",
        )
    columns = [model.labels.index(name) for name in labels]
    return model.logits(inputs, progress=progress)[:, columns]


def trivial_predictions(train: Examples, inputs: Inputs) -> dict[str, IntArray]:
    """Predictions of the controls that need no pretrained model, by name.

    Args:
        train: labelled training rows.
        inputs: n texts or encoded images.

    Returns:
        Class indices, int64 ``[n]`` each: of :func:`acclimate.nn.model_free.model_free`'s, and of ``majority``.
    """
    if train.labels is None:
        raise ValueError("training rows without labels")
    fitted_on, asked = np.arange(len(train)), len(train) + np.arange(len(inputs))
    controls = model_free(joined(train.inputs, inputs))
    found = {name: predict(fitted_on, train.labels, asked) for name, predict in controls.items()}
    return {**found, "majority": majority_predict(train.labels, len(inputs))}


def random_features_predictions(
    source: Path, controls: Path, inputs: Inputs, *, like: AdaptedModel, progress: Progress = silent
) -> IntArray:
    """Predictions of the control that has the source's architecture with random weights and a fitted linear head.

    Args:
        source: the source model's folder.
        controls: ``controls.safetensors`` as the baseline stage wrote it: the head, and the seed of the weights.
        inputs: n texts or encoded images.
        like: the frozen baseline, whose precision and length are used.
        progress: told after each batch.

    Returns:
        Class indices, int64 ``[n]``.

    Raises:
        IntegrityError: E-EVAL-003, the file isn't there or not what the baseline stage writes.
    """
    try:
        with safe_open(controls, framework="numpy") as file:
            seed = int(file.metadata()["seed"])
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            "E-EVAL-003",
            f"the stored control can't be read: {error}",
            where=str(controls),
            hint="delete the baseline's folder and run again: the stage will be recomputed",
        ) from error
    encoder = Encoder.load(source, precision=like.precision, max_length=like.max_length, random_seed=seed)
    logits = linear(encoder.embed(inputs, progress=progress), weight, bias)
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def models_to_compare(
    baseline: Path, strategy: str, finetune: Path | None, champion: tuple[str, Path] | None
) -> dict[str, Path]:
    """Folders of champion, frozen baseline (unless it is the candidate), scratch arm and further seeds, where they are.

    Args:
        baseline: baseline's folder.
        strategy: the candidate's.
        finetune: finetune's folder; None without training.
        champion: the champion's model URI and its model folder; None without one.
    """
    folders = {} if champion is None else {"champion": champion[1]}
    if strategy != "frozen":
        folders["baseline"] = baseline / "model"
    if finetune is not None and (scratch := finetune / "arms" / "scratch" / "model").is_dir():
        folders["scratch"] = scratch
    if finetune is not None:
        seeds = (finetune / "arms" / strategy / "seeds").glob("*/model")
        found = {int(folder.parent.name): folder for folder in seeds}
        folders |= {f"{SEED}{seed}": found[seed] for seed in sorted(found)}
    return folders


def whom_to_beat(strategy: str, champion: tuple[str, Path] | None, frozen: BaselineReport) -> str:
    """The comparator; the best control is the one that was best on train: choosing on test would favour it."""
    if champion is not None:
        return "champion"
    return "baseline" if strategy != "frozen" else frozen.best_control


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
