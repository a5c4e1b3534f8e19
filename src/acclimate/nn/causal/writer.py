"""A language model as it is evaluated, stored and served: what it is shown before each prompt is a part of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.nn.batching import token_batches
from acclimate.nn.causal.model import CausalModel, load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.scoring import AnswerScores, answer_scores
from acclimate.nn.description import read_description
from acclimate.nn.job import Pairs
from acclimate.nn.loading import quiet
from acclimate.nn.readers import only
from acclimate.nn.source_card import folder_digest
from acclimate.ports import Progress, silent
from acclimate.records import GENERATION_TASK, SourceCard

# tokens that are read at once; what is written comes on top
PROMPT_TOKENS = 4096
MOST_ROWS = 128


class _Description(BaseModel):
    """What ``acclimate.json`` in the folder says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    task: Literal["text-generation"] = GENERATION_TASK
    has_prompts: bool
    shots: list[tuple[str, str]]
    max_length: int = Field(ge=1)
    max_new_tokens: int = Field(ge=1)
    strategy: str
    precision: Literal["fp32", "bf16"]
    source: SourceCard


@dataclass(frozen=True)
class Prompting:
    """How a language model is asked.

    Args:
        has_prompts: whether it answers prompts; else it continues plain text.
        shots: prompts and answers that are shown before each prompt.
        max_length: tokens of prompt and answer together.
        max_new_tokens: tokens after which writing stops.
    """

    has_prompts: bool
    shots: tuple[tuple[str, str], ...]
    max_length: int
    max_new_tokens: int


class Writer:
    """A causal language model with how it is asked.

    Args:
        lm: transformers' model with float32 weights; don't change them after it was first used.
        tokenizer: its tokenizer.
        prompting: how it is asked.
        precision: what it computes in, ``fp32`` or ``bf16``.
        strategy: how it was made, e.g. ``frozen``.
        source: the source model it comes from.
        digest: of the folder it was loaded from; empty before.
    """

    def __init__(
        self,
        lm: Any,
        tokenizer: Any,
        prompting: Prompting,
        *,
        precision: str,
        strategy: str,
        source: SourceCard,
        digest: str = "",
    ) -> None:
        self.lm = lm
        self.reader = AnswerReader(tokenizer, prompting.max_length)
        self.prompting = prompting
        self.precision = precision
        self.strategy = strategy
        self.source = source
        self.digest = digest
        self._inference: Any = None

    @property
    def positions(self) -> int:
        """Tokens that the model has positions for."""
        return int(getattr(self.lm.config, "max_position_embeddings", self.prompting.max_length))

    @property
    def reads_images(self) -> bool:
        """It reads texts."""
        return False

    def predict(self, inputs: Sequence[str], *, progress: Progress = silent) -> list[str]:
        """What the model writes, by greedy decoding: the answer to each prompt, or how each text goes on.

        The same prompts in the same order give the same answers.

        Args:
            inputs: n prompts or texts.
            progress: told after each batch.

        Raises:
            DataError: E-PREDICT-003, a row is no text; 004, a prompt is too long to be answered.
        """
        read = self._prompts(only(str, inputs))
        written = [""] * len(read)
        done = 0
        for rows in token_batches([len(ids) for ids in read], token_budget=PROMPT_TOKENS, max_rows=MOST_ROWS):
            for row, text in zip(rows, self._written([read[row] for row in rows]), strict=True):
                written[row] = text
            done += len(rows)
            progress("write", done=done, of=len(read))
        return written

    def score(self, pairs: Pairs, *, progress: Progress = silent) -> AnswerScores:
        """How probable the given answers are.

        Raises:
            DataError: E-DATA-070, a row has more tokens than are read.
        """
        model = CausalModel(self._inference_lm())
        rows = self.reader.rows(pairs, self.prompting.shots)

        def told(done: int) -> None:
            progress("score", done=done, of=len(rows))

        return AnswerScores(answer_scores(model, rows, told=told))

    def read(self, text: str) -> list[int]:
        """Tokens that are read before the answer to a prompt is written, or before a text goes on."""
        shots, has_prompts = self.prompting.shots, self.prompting.has_prompts
        return self.reader.prompt(text, shots) if has_prompts else self.reader.opening(text)

    def _prompts(self, inputs: list[str]) -> list[list[int]]:
        read = [self.read(one) for one in inputs]
        most = self.prompting.max_length - 1
        longer = next((row for row, ids in enumerate(read) if len(ids) > most), None)
        if longer is not None:
            raise DataError(
                "E-PREDICT-004",
                f"the prompt has {len(read[longer])} tokens, the model was made for at most {most}",
                where=f"row {longer}, counted from 0",
                hint="shorten it, or adapt the model again with a larger generation.max_length",
            )
        return read

    def _written(self, prompts: list[list[int]]) -> list[str]:
        """Greedy decoding of some prompts at once, filled up on their left."""
        longest, end = max(map(len, prompts)), self.reader.end
        ids = torch.full((len(prompts), longest), end, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.as_tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        asked = transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=self.prompting.max_new_tokens,
            eos_token_id=end,
            pad_token_id=end,
        )
        with torch.inference_mode(), quiet():
            found = self._inference_lm().generate(input_ids=ids, attention_mask=mask, generation_config=asked)
        texts: list[str] = self.reader.tokenizer.batch_decode(found[:, longest:], skip_special_tokens=True)
        return texts

    def _inference_lm(self) -> Any:
        if self._inference is None:
            self.lm.eval()
            bf16 = self.precision == "bf16"
            self._inference = copy.deepcopy(self.lm).to(torch.bfloat16) if bf16 else self.lm
            # what the folder says of sampling does not count: decoding is greedy
            self._inference.generation_config = transformers.GenerationConfig()
            # a view of the last position would make the product with the vocabulary copy its weights for each row
            self._inference.get_output_embeddings().register_forward_pre_hook(_contiguous)
        return self._inference

    def asked(self, prompting: Prompting) -> Writer:
        """The same weights, asked in another way."""
        other = Writer(
            self.lm,
            self.reader.tokenizer,
            prompting,
            precision=self.precision,
            strategy=self.strategy,
            source=self.source,
        )
        other._inference = self._inference_lm()
        return other

    def save(self, folder: Path) -> str:
        """Write the model: a plain transformers folder, plus ``acclimate.json``.

        Args:
            folder: made if absent; should be empty.

        Returns:
            Digest of the folder, also kept as :attr:`digest`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.lm.save_pretrained(folder)
        self.reader.save(folder)
        description = _Description.model_validate(
            {
                **vars(self.prompting),
                "strategy": self.strategy,
                "precision": self.precision,
                "source": self.source,
            }
        )
        (folder / "acclimate.json").write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")
        self.digest = folder_digest(folder)
        return self.digest

    @classmethod
    def load(cls, folder: Path, precision: str | None = None) -> Writer:
        """Load what :meth:`save` wrote.

        Args:
            folder: the model folder.
            precision: ``fp32`` or ``bf16``; None takes the stored one, so that numbers equal those of the evaluation.

        Raises:
            ModelError: the preflight's; E-MODEL-021, not a language model that acclimate wrote.
        """
        lm = load_lm(folder)
        found = read_description(folder, _Description)
        reader = AnswerReader.load(folder, lm.config, found.max_length)
        return cls(
            lm,
            reader.tokenizer,
            Prompting(found.has_prompts, tuple(found.shots), found.max_length, found.max_new_tokens),
            precision=precision or found.precision,
            strategy=found.strategy,
            source=found.source,
            digest=folder_digest(folder),
        )


def _contiguous(_module: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (given[0].contiguous(),)
