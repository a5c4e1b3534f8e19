"""Batches of texts of about equal length, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def token_batches(lengths: Sequence[int], *, token_budget: int, max_rows: int = 256) -> list[list[int]]:
    """Group rows by length so that no padded batch exceeds a number of tokens.

    The batches depend on the lengths and their order only: the same texts in the same order always
    meet the same neighbours, hence give the same bits.

    Args:
        lengths: tokens of each row, at least 1.
        token_budget: largest rows x longest length of a batch; a single longer row is a batch of its own.
        max_rows: most rows of a batch.

    Returns:
        Row indices of each batch, shortest rows first; every row exactly once.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[list[int]] = []
    current: list[int] = []
    for row in order.tolist():
        longest = lengths[row]
        if current and (len(current) >= max_rows or longest * (len(current) + 1) > token_budget):
            batches.append(current)
            current = []
        current.append(row)
    return [*batches, current] if current else batches


def shuffled_batches(lengths: Sequence[int], *, batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Random batches of a fixed size for one epoch of training, each of rows of similar length.

    Rows are shuffled, cut into pools of 50 batches, sorted by length within a pool, and the batches
    shuffled again: random enough to train on, with little padding.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a batch; only the last-cut batch of the epoch may have fewer.
        rng: the epoch's generator.

    Returns:
        Row indices of each batch in training order; every row exactly once.
    """
    rows = rng.permutation(len(lengths))
    pool = 50 * batch_size
    sizes = np.asarray(lengths, dtype=np.int64)
    pools = [rows[start : start + pool] for start in range(0, len(rows), pool)]
    pools = [part[np.argsort(sizes[part], kind="stable")] for part in pools]
    batches = [part[i : i + batch_size].tolist() for part in pools for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
