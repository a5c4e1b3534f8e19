"""Tokens in one table: each row as it was given, and as the tokenizer gives it alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.nn.encoder import Encoder
from acclimate.nn.readers import TextReader
from acclimate.nn.token_table import AT_ONCE, TokenTable, tokenized


@given(rows=st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=9), max_size=30))
def test_a_table_gives_back_the_rows_it_was_made_of(rows: list[list[int]]) -> None:
    table = TokenTable.of(iter(rows))
    assert [ids.tolist() for ids in table] == rows
    assert [table[row].tolist() for row in range(len(table))] == rows
    assert table.sizes == [len(row) for row in rows]


def test_a_text_has_the_same_tokens_wherever_it_stands(tiny_source: Path) -> None:
    reader = Encoder.load(tiny_source, precision="fp32").reader
    assert isinstance(reader, TextReader)
    texts = [f"{'good' if row % 3 else 'bad'} {'poor ' * (row % 7)}" for row in range(2 * AT_ONCE + 5)]
    rows = list(tokenized(reader.tokenizer, texts))
    assert len(rows) == len(texts)
    for row in (0, 1, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE, len(texts) - 1):
        assert rows[row] == reader.tokenizer(texts[row])["input_ids"]
        np.testing.assert_array_equal(reader.prepare(texts).ids[row], rows[row])
