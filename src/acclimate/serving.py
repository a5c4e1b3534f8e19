"""How MLflow serves an adapted model: the loader module named in its MLmodel file. No pickle is involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from acclimate.nn.model import AdaptedModel

TEXT_COLUMN = "text"


class ServedModel:
    """An adapted model behind MLflow's pyfunc interface.

    Args:
        model: the loaded model.
    """

    def __init__(self, model: AdaptedModel) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Label and probabilities of each text.

        Args:
            model_input: a data frame with the column ``text``; the signature lets nothing else through.
            params: ignored; MLflow passes it.

        Returns:
            One row a text, in order: ``label``, then ``probability_<label>`` of every label.
        """
        texts = [str(text) for text in model_input[TEXT_COLUMN]]
        probabilities = self.model.predict_proba(texts)  # [n, C]
        columns: dict[str, Any] = {"label": [self.model.labels[i] for i in probabilities.argmax(axis=1)]}
        for index, label in enumerate(self.model.labels):
            columns[f"probability_{label}"] = probabilities[:, index]
        return pd.DataFrame(columns)


def _load_pyfunc(path: str) -> ServedModel:
    """Load the model folder; MLflow calls this by name."""
    return ServedModel(AdaptedModel.load(Path(path)))
