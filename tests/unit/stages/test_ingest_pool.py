"""Ingest of a pool: read like any table, without labels, and kept apart from the target's held-out rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.adapters.tables import read_table
from acclimate.config_base import PoolSpec
from acclimate.errors import DataError
from acclimate.examples import read_examples
from acclimate.records import DataCard
from acclimate.stages.ingest import ingest
from tests.unit.stages.test_ingest import Project, rows_of


class PoolProject(Project):
    def with_pool(self, texts: list[str], groups: list[str] | None = None, **spec: str) -> DataCard:
        """Ingest 300 labelled rows, and texts as the pool."""
        rows = rows_of()
        for i, row in enumerate(rows):
            row |= {"author": f"author {i}"} if groups else {}
        target = self.write(rows)
        target = target.model_copy(update={"group": "author"}) if groups else target
        columns = [{"body": text} for text in texts]
        for row, group in zip(columns, groups or (), strict=False):
            row["writer"] = group
        self.write(columns, "pool.csv")
        pool = PoolSpec.model_validate({"data": "pool.csv", "text": "body", **spec})
        return ingest(
            target,
            None,
            pool=pool.table,
            task="text-classification",
            root=self.root,
            allow_outside=False,
            out=self.out,
            read=read_table,
        )


@pytest.fixture
def project(tmp_path: Path) -> PoolProject:
    return PoolProject(tmp_path)


OTHERS = [f"another text {i}" for i in range(50)]


def test_a_pool_is_one_split_without_labels(project: PoolProject) -> None:
    card = project.with_pool([*OTHERS, OTHERS[0], ""], licence="CC0-1.0").pool
    assert card is not None
    assert (card.rows_kept, card.exact_copies_dropped, card.empty_texts_dropped) == (50, 1, 1)
    assert (card.labels, card.licence) == (None, "CC0-1.0")
    assert sorted(read_examples(project.out, "pool", ["train"], None).texts) == sorted(OTHERS)
    assert card.splits["test"].rows == card.splits["validation"].rows == 0
    assert DataCard.read(project.out).pool == card


def test_rows_of_the_target_are_dropped_and_counted(project: PoolProject) -> None:
    plain = project.with_pool(OTHERS)
    held_out = [*project.texts("test")[:7], *(text.upper() + "!" for text in project.texts("validation")[:5])]
    found = project.with_pool([*OTHERS, *held_out, *(text.title() for text in project.texts("train")[:3])])
    assert found.pool is not None
    assert plain.pool is not None
    assert (found.pool.held_out_rows_dropped, found.pool.train_copies_dropped) == (12, 3)
    assert found.pool.digest == plain.pool.digest, "what is dropped makes no other pool"
    assert found.target == plain.target
    assert any("12 rows" in warning for warning in found.pool.warnings)


def test_groups_of_held_out_rows_are_dropped_whole(project: PoolProject) -> None:
    project.with_pool(OTHERS, ["nobody"] * len(OTHERS), group="writer")
    groups = read_examples(project.out, "target", ["test"], None).groups
    assert groups is not None
    found = project.with_pool(OTHERS, [groups[0]] * 4 + ["nobody"] * 46, group="writer").pool
    assert found is not None
    assert (found.held_out_rows_dropped, found.rows_kept) == (4, 46)


def test_a_pool_that_is_nothing_but_the_targets_rows_is_an_error(project: PoolProject) -> None:
    project.with_pool(OTHERS)
    (project.out / DataCard.file_name).unlink()
    with pytest.raises(DataError) as caught:
        project.with_pool([*project.texts("test"), *project.texts("train")])
    assert caught.value.code == "E-DATA-080"
    assert str(len(project.texts("test"))) in str(caught.value)
    assert caught.value.hint
    assert not (project.out / DataCard.file_name).exists()


def test_a_column_that_is_not_there_is_named(project: PoolProject) -> None:
    with pytest.raises(DataError) as caught:
        project.with_pool(OTHERS, text="content")
    assert "pool.csv" in caught.value.where
    assert "pool.text" in caught.value.hint
