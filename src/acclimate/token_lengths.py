"""Whether rows fit a language model, told while they are ingested: a row that doesn't would end the run much later.

Ingest reads every row anyway. Of test rows nothing is kept but what an error or a warning counts, and the longest
row's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from acclimate.errors import DataError, Problem
from acclimate.examples import Table
from acclimate.ports import TokenCounter, TokenCounts
from acclimate.records import SPLITS, TableCard
from acclimate.settled_table import SettledTable


@dataclass(frozen=True)
class TokenLimits:
    """What a language model reads and writes at most.

    Args:
        count: counts tokens as the model does.
        max_length: tokens of a row that are read.
        max_new_tokens: tokens of an answer that are written.
        positions: tokens that the model has positions for.
    """

    count: TokenCounter
    max_length: int
    max_new_tokens: int
    positions: int


def cards_with_lengths(tables: Mapping[Table, SettledTable], limits: TokenLimits) -> dict[Table, TableCard]:
    """The tables' cards with the tokens of the longest row, and warnings of what is cut or can't be written whole.

    Args:
        tables: what was ingested.
        limits: what the model reads and writes.

    Raises:
        DataError: E-DATA-070, prompts and answers that have more tokens than are read, split by split.
    """
    counts = {name: _counts(table, limits.count) for name, table in tables.items()}
    longest = max(max(found.rows) for found in counts.values())
    problems = [one for name in tables for one in _too_long(tables[name], counts[name].rows, limits, longest)]
    if problems:
        raise DataError.of(problems)
    return {
        name: table.card.model_copy(
            update={
                "longest_tokens": max(counts[name].rows),
                "warnings": [*table.card.warnings, *_warnings(table, counts[name], limits)],
            }
        )
        for name, table in tables.items()
    }


def _counts(table: SettledTable, count: TokenCounter) -> TokenCounts:
    texts = [table.texts[row] or "" for row in table.rows]
    if table.answers is None:
        return count(None, texts)
    return count(texts, [table.answers[row] or "" for row in table.rows])


def _too_long(table: SettledTable, sizes: list[int], limits: TokenLimits, longest: int) -> Iterator[Problem]:
    """Splits with rows that can't be read whole; plain texts are cut instead."""
    if table.answers is None:
        return
    cure = f"raise generation.max_length to {longest}, or take these rows out"
    if longest > limits.positions:
        cure = f"shorten these rows or take them out; the model has positions for {limits.positions} tokens"
    for split in SPLITS:
        of_split = {row: size for row, size in zip(table.rows, sizes, strict=True) if table.splits[row] == split}
        longer = [row for row, size in of_split.items() if size > limits.max_length]
        if longer:
            says = f"{len(longer):,} of {len(of_split):,} {split} rows of {table.section}"
            yield Problem(
                "E-DATA-070",
                f"{says} have over {limits.max_length} tokens, the longest {max(of_split.values()):,}",
                table.raw.place(min(longer)),
                f"{cure}; this is the first",
            )


def _warnings(table: SettledTable, counts: TokenCounts, limits: TokenLimits) -> Iterator[str]:
    if table.answers is None:
        cut = sum(size > limits.max_length for size in counts.rows)
        if cut:
            says = f"{cut:,} of {len(counts.rows):,} texts have more tokens than generation.max_length"
            yield f"{says} ({limits.max_length}) and are cut there; the longest has {max(counts.rows):,}"
    elif table.is_target:
        longer, of = sum(size > limits.max_new_tokens for size in counts.answers), len(counts.answers)
        if longer:
            says = f"{longer:,} of {of:,} answers ({longer / of:.1%}) have more tokens than generation.max_new_tokens"
            most = max(counts.answers)
            yield f"{says} ({limits.max_new_tokens}), so they can't be written whole; {most:,} would do for all"
