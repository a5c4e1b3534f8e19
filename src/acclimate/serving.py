"""How MLflow serves adapted models: the loader module named in their MLmodel files. No pickle is involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from acclimate.examples import Inputs
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.writer import Writer
from acclimate.nn.model import AdaptedModel
from acclimate.nn.readers import only

TEXT_COLUMN = "text"
IMAGE_COLUMN = "image"
ANSWER_COLUMN = "answer"


class ServedModel:
    """An adapted model behind MLflow's pyfunc interface.

    Args:
        model: the loaded model.
    """

    def __init__(self, model: AdaptedModel) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Label and probabilities of each text or image.

        Args:
            model_input: a data frame with the column ``text``, or ``image`` with encoded images as bytes; the
                signature lets nothing else through.
            params: ignored; MLflow passes it.

        Returns:
            One row each, in order: ``label``, then ``probability_<label>`` of every label.
        """
        column = IMAGE_COLUMN if self.model.reads_images else TEXT_COLUMN
        values = list(model_input[column])
        # of an image its bytes only: a text would be taken for the path of a file of this server
        inputs: Inputs = only(bytes, values) if self.model.reads_images else [str(value) for value in values]
        probabilities = self.model.predict_proba(inputs)  # [n, C]
        columns: dict[str, Any] = {"label": [self.model.labels[i] for i in probabilities.argmax(axis=1)]}
        for index, label in enumerate(self.model.labels):
            columns[f"probability_{label}"] = probabilities[:, index]
        return pd.DataFrame(columns)


class ServedWriter:
    """A language model behind MLflow's pyfunc interface.

    Args:
        model: the loaded model.
    """

    def __init__(self, model: Writer) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """What the model writes to each text.

        Args:
            model_input: a data frame with the column ``text``; the signature lets nothing else through.
            params: ignored; MLflow passes it.

        Returns:
            One row each, in order: ``answer``.

        Raises:
            DataError: E-PREDICT-003, a value is missing; 004, a prompt is too long to be answered.
        """
        return pd.DataFrame({ANSWER_COLUMN: self.model.predict(list(model_input[TEXT_COLUMN]))})


def _load_pyfunc(path: str) -> ServedModel | ServedWriter:
    """Load the model folder; MLflow calls this by name."""
    model = load_adapted(Path(path))
    return ServedWriter(model) if isinstance(model, Writer) else ServedModel(model)
