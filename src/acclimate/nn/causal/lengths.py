"""How long rows are for a language model, by its tokenizer alone: no weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import transformers

from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.job import Pairs
from acclimate.nn.loading import loading
from acclimate.nn.preflight import preflight
from acclimate.ports import TokenCounts


class RowLengths:
    """The port ``TokenCounter`` for a source model's folder.

    Args:
        folder: the model folder.
        max_length: tokens of a row that are to be read.

    Raises:
        ModelError: the preflight's; E-MODEL-013, the model has no positions for ``max_length``; 014 and 027, its
            tokenizer can't be used.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        preflight(folder)
        with loading(folder):
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        self.positions = int(getattr(config, "max_position_embeddings", max_length))
        self._reader = AnswerReader.load(folder, config, max_length)

    def __call__(self, prompts: Sequence[str] | None, answers: Sequence[str]) -> TokenCounts:
        """Count the tokens of prompts and answers, or of plain texts."""
        rows = self._reader.uncut(Pairs(prompts, answers))
        return TokenCounts(rows.sizes, [written - 1 for written in rows.written])
