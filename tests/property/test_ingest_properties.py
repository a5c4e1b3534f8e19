from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.adapters.tables import read_table
from acclimate.config import DataSpec
from acclimate.core.row_identity import normal_form
from acclimate.examples import read_examples
from acclimate.records import SPLITS, DataCard
from acclimate.stages.ingest import ingest

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": TEXTS | st.sampled_from(["same", "Same!", "other"]),
            "label": st.sampled_from(["x", "y", 1, 1.0, True, None]),
            "author": st.sampled_from(["a", "b", "c", None, 7]),
        }
    ),
    min_size=1,
    max_size=30,
)
# Enough rows of each class for every split.
TARGET = "".join(json.dumps({"text": f"base {i}", "label": "xy"[i % 2]}) + "\n" for i in range(120))


def ingested(rows: list[dict], *, group: str | None = None) -> tuple[DataCard, dict[str, list[tuple]]]:
    """Ingest rows as reference (which asks nothing of labels), so that any rows will do."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "out").mkdir()
        (root / "target.jsonl").write_text(TARGET, encoding="utf-8")
        (root / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        card = ingest(
            DataSpec(data="target.jsonl"),
            DataSpec(data="rows.jsonl", group=group),
            task="text-classification",
            root=root,
            allow_outside=False,
            out=root / "out",
            read=read_table,
        )
        kept = {}
        for split in SPLITS:
            found = read_examples(root / "out", "reference", [split], None)
            groups = found.groups or [None] * len(found)
            kept[split] = list(zip(found.row_ids, found.texts, groups, strict=True))
        return card, kept


def splits_of(kept: dict[str, list[tuple]], position: int) -> list[set]:
    return [{row[position] for row in kept[split]} for split in SPLITS]


def seed_row(rows: list[dict]) -> list[dict]:
    return [*rows, {"text": "never empty", "label": "x", "author": "z"}]


GROUPS = st.sampled_from([None, "author"])


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS, GROUPS)
def test_adding_rows_never_moves_a_row(first: list[dict], more: list[dict], group: str | None) -> None:
    _, before = ingested(seed_row(first), group=group)
    _, after = ingested(seed_row(first + more), group=group)
    now = {row[0]: split for split in SPLITS for row in after[split]}
    for split in SPLITS:
        assert all(now.get(row[0], split) == split for row in before[split])


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS, GROUPS)
def test_no_test_text_ever_becomes_a_training_text(first: list[dict], more: list[dict], group: str | None) -> None:
    _, before = ingested(seed_row(first), group=group)
    _, after = ingested(seed_row(first + more), group=group)
    assert not {row[1] for row in before["test"]} & {row[1] for row in after["train"]}


@settings(max_examples=40, deadline=None)
@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))), GROUPS)
def test_the_order_of_rows_changes_nothing(orders: tuple[list[dict], list[dict]], group: str | None) -> None:
    (one, kept), (other, kept_too) = (ingested(seed_row(list(rows)), group=group) for rows in orders)
    assert one.reference is not None
    assert other.reference is not None
    assert one.reference.digest == other.reference.digest
    assert kept == kept_too


@settings(max_examples=40, deadline=None)
@given(ROWS, GROUPS)
def test_splits_share_no_text_and_no_group(rows: list[dict], group: str | None) -> None:
    _, kept = ingested(seed_row(rows), group=group)
    positions = (1, 2) if group else (1,)
    for position in positions:
        train, validation, test = splits_of(kept, position)
        assert not train & validation
        assert not train & test
        assert not validation & test


@settings(max_examples=40, deadline=None)
@given(ROWS, GROUPS)
def test_every_row_is_kept_or_counted_and_no_text_is_kept_twice(rows: list[dict], group: str | None) -> None:
    card, kept = ingested(seed_row(rows), group=group)
    found = card.reference
    assert found is not None
    dropped = (
        found.empty_texts_dropped
        + found.unlabelled_rows_dropped
        + found.conflicting_rows_dropped
        + found.exact_copies_dropped
    )
    assert found.rows_read == found.rows_kept + dropped
    texts = [row[1] for split in SPLITS for row in kept[split]]
    assert len(texts) == len(set(texts)) == found.rows_kept


@settings(max_examples=100)
@given(TEXTS)
def test_normal_form_is_stable_and_never_empty_for_text(text: str) -> None:
    form = normal_form(text)
    assert bool(form) == bool(text)
    assert normal_form(text.swapcase().lower()) == normal_form(text.lower()) or not text.isascii()
    if text.isascii():
        assert normal_form(form) == form
