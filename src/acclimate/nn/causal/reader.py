"""Prompts and answers as tokens, through the tokenizer's own chat template where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from acclimate.errors import DataError, ModelError
from acclimate.nn.job import Pairs
from acclimate.nn.loading import loading, quiet
from acclimate.nn.token_table import TokenTable, tokenized

#: A prompt and its answer, shown before the prompt that is asked.
Shots = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class AnswerRows:
    """Rows as tokens: what is read, then what is to be written, the end of the text included.

    Args:
        ids: of each row.
        starts: of each row the place of the first token to be written, at least 1.
    """

    ids: TokenTable
    starts: list[int]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    @property
    def sizes(self) -> list[int]:
        """Tokens of each row."""
        return self.ids.sizes

    @property
    def written(self) -> list[int]:
        """Tokens to be written, of each row."""
        return [size - start for size, start in zip(self.sizes, self.starts, strict=True)]


class AnswerReader:
    """A causal model's tokenizer, and how a prompt is put to it.

    With a chat template a prompt is a user's message and the answer the assistant's. Without one they are lines: each
    shot's prompt and answer and a blank line, then the prompt.

    Args:
        tokenizer: of transformers.
        limit: tokens of prompt and answer together.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer = tokenizer
        self.limit = limit

    @classmethod
    def load(cls, folder: Path, config: Any, limit: int) -> AnswerReader:
        """The tokenizer of a model's folder.

        Raises:
            ModelError: E-MODEL-013, ``limit`` is beyond the model's positions; 014, the tokenizer can't be loaded; 027,
                it names no token that ends a text.
        """
        longest = int(getattr(config, "max_position_embeddings", limit))
        if limit > longest:
            raise ModelError(
                "E-MODEL-013",
                f"generation.max_length {limit} is more than the {longest} tokens the model has positions for",
                where=str(folder),
                hint=f"set generation.max_length to at most {longest}",
            )
        with loading(folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        if tokenizer.eos_token_id is None:
            raise ModelError(
                "E-MODEL-027",
                "the tokenizer names no token that ends a text",
                where=str(folder),
                hint="set eos_token in tokenizer_config.json to the one the model was trained with",
            )
        return cls(tokenizer, limit)

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    def prompt(self, prompt: str, shots: Shots = ()) -> list[int]:
        """Tokens that are read before the answer is written."""
        if self.tokenizer.chat_template:
            messages = [
                {"role": role, "content": content}
                for shot in shots
                for role, content in zip(("user", "assistant"), shot, strict=True)
            ]
            messages.append({"role": "user", "content": prompt})
            found = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True
            )
            return list(found["input_ids"])
        lines = "".join(f"{asked}\n{answer}\n\n" for asked, answer in shots)
        return self._opened(list(self.tokenizer(f"{lines}{prompt}\n")["input_ids"]))

    def opening(self, text: str) -> list[int]:
        """Tokens of a plain text that is to be continued."""
        return self._opened(list(self.tokenizer(text)["input_ids"]))

    def rows(self, pairs: Pairs, shots: Shots = ()) -> AnswerRows:
        """Tokens of prompts and answers; of plain texts everything is to be written, behind a token that opens them.

        A plain text is cut at :attr:`limit`.

        Raises:
            DataError: E-DATA-070, a prompt and its answer have more tokens than are read.
        """
        rows = self.uncut(pairs, shots)
        if pairs.prompts is None:
            return AnswerRows(TokenTable.of(ids[: self.limit].tolist() for ids in rows.ids), rows.starts)
        self._require_fit(rows.sizes)
        return rows

    def uncut(self, pairs: Pairs, shots: Shots = ()) -> AnswerRows:
        """The same, however many tokens a row has."""
        starts: list[int] = []

        def rows() -> Iterator[list[int]]:
            prompts: Sequence[str | None] = [None] * len(pairs.answers) if pairs.prompts is None else pairs.prompts
            for prompt, answer in zip(prompts, self.answers(pairs.answers), strict=True):
                before = self._opened([]) if prompt is None else self.prompt(prompt, shots)
                starts.append(len(before))
                yield before + answer

        return AnswerRows(TokenTable.of(rows()), starts)

    def answers(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Tokens of answers as they are to be written, the end included."""
        return ([*ids, self.end] for ids in tokenized(self.tokenizer, texts, add_special_tokens=False))

    def _opened(self, ids: list[int]) -> list[int]:
        """At least one token must stand before the first that is written."""
        opens = self.tokenizer.bos_token_id
        return ids or [self.end if opens is None else int(opens)]

    def _require_fit(self, sizes: Sequence[int]) -> None:
        longer = [row for row, size in enumerate(sizes) if size > self.limit]
        if longer:
            raise DataError(
                "E-DATA-070",
                f"{len(longer):,} of {len(sizes):,} rows have over {self.limit} tokens, the longest {max(sizes):,}",
                where=f"row {longer[0]}, counted from 0",
                hint="raise generation.max_length, lower generation.shots, or take these rows out",
            )

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        with quiet():
            self.tokenizer.save_pretrained(folder)
