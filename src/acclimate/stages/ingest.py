"""Reads target and reference data, checks them, drops copies, splits them, and writes one Arrow file a split."""

from __future__ import annotations

from pathlib import Path

from acclimate.config_base import DataSpec
from acclimate.config_file import resolve_data_path
from acclimate.examples import Table
from acclimate.ports import Progress, RawTable, TableReader, silent
from acclimate.records import GENERATION_TASK, IMAGE_TASK, DataCard
from acclimate.settled_table import SettledTable, section_of, settle
from acclimate.token_lengths import TokenLimits, cards_with_lengths

MAX_OVERLAP = 0.01


def ingest(
    target: DataSpec,
    reference: DataSpec | None,
    *,
    pool: DataSpec | None = None,
    task: str,
    root: Path,
    allow_outside: bool,
    out: Path,
    read: TableReader,
    limits: TokenLimits | None = None,
    progress: Progress = silent,
) -> DataCard:
    """Ingest the target's data and, where there are any, the source domain's.

    Rows with an empty text or label are dropped and counted. Of copies of a text one is kept; copies whose labels
    conflict are all dropped. For text-generation there are no labels: all answers to a prompt are kept, each once, and
    fall into one split. Splits are 60/20/20 by a hash of the group or the text, or as given; of images by a hash
    of how they look, so that near-duplicates fall into one split.

    Args:
        target: the target's data; their labels must be usable; for text-generation they have none.
        reference: data of the source domain; labels are optional.
        pool: unlabelled texts to pretrain on; rows that are, or nearly are, rows of the target are dropped and counted.
        task: the task, for the record.
        root: the project root; relative paths in the specs start here.
        allow_outside: data may lie outside the root.
        out: folder to write ``target_*.arrow``, as many of each other table, and ``data_card.json`` into, that last.
        read: reads tables.
        limits: what the source model reads and writes, for text-generation; None counts no tokens.
        progress: told ``ingested`` with the rows of each table.

    Returns:
        The card, as written.

    Raises:
        DataError: E-DATA-001 to -050; E-DATA-070, rows of any split have more tokens than are read; E-DATA-080, nothing
            of the pool is left; no card is in ``out`` then.
        ConfigError: E-CONFIG-031 to -036, the path can't be used.
    """
    wanted: dict[Table, DataSpec | None] = {"target": target, "reference": reference, "pool": pool}
    specs = {name: spec for name, spec in wanted.items() if spec is not None}
    tables: dict[Table, SettledTable] = {}
    for name, spec in specs.items():
        if task == GENERATION_TASK:
            spec = spec.model_copy(update={"label": None})
        raw = _read(name, spec, root, read, is_images=task == IMAGE_TASK, allow_outside=allow_outside)
        tables[name] = settle(raw, spec, name, tables["target"].known_rows() if name == "pool" else None)
        progress("ingested", table=name, rows=len(tables[name].rows), read=len(raw.lines))
    cards = {name: table.card for name, table in tables.items()}
    if limits is not None:
        cards = cards_with_lengths(tables, limits)
    if reference:
        overlap = _overlap_warnings(tables["target"], tables["reference"])
        cards["target"] = cards["target"].model_copy(update={"warnings": [*cards["target"].warnings, *overlap]})
    for name, table in tables.items():
        table.write(out, name)
    card = DataCard(task=task, target=cards["target"], reference=cards.get("reference"), pool=cards.get("pool"))
    card.write(out)
    return card


def _read(
    table: Table, spec: DataSpec, root: Path, read: TableReader, *, is_images: bool, allow_outside: bool
) -> RawTable:
    section = section_of(table)
    texts = {"text": spec.text, "answer": spec.answer, "encoding": spec.encoding}
    label = [spec.label] if spec.label else []
    return read(
        resolve_data_path(spec.data, root, root, allow_outside, name=f"{section}.data"),
        name=section,
        required=[name for name in (spec.group, spec.split, *spec.slices) if name]
        + (label if table == "target" else []),
        optional=label if table == "reference" else [],
        format=spec.format,
        root=root,
        allow_outside=allow_outside,
        **({"image": spec.image} if is_images else texts),
    )


def _overlap_warnings(target: SettledTable, reference: SettledTable) -> list[str]:
    """Whether target and reference are the same data, or share test texts."""
    if target.card.digest == reference.card.digest:
        return ["target and reference are the same rows: the gap will be none, and retention says nothing"]
    known = {reference.texts[row] for row in reference.rows}
    test = [row for row in target.rows if target.splits[row] == "test"]
    shared = sum(target.texts[row] in known for row in test)
    if shared > MAX_OVERLAP * len(test):
        return [f"{shared:,} of {len(test):,} test texts of the target are in the reference too"]
    return []
