"""A table on its way from rows as read to rows that are kept: checked, split, without copies."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from acclimate.config_base import DataSpec
from acclimate.core.copies import (
    Copies,
    names_across_splits,
    near_duplicates_across_splits,
    resolve_answers,
    resolve_copies,
)
from acclimate.core.label_checks import check_classes, check_label_column, check_split_rows, lookalikes
from acclimate.core.pool_rows import Apart, KnownRows, apart
from acclimate.core.row_identity import (
    Split,
    is_for_validation,
    normal_form,
    row_id,
    spelled_split,
    split_of,
    table_digest,
)
from acclimate.errors import DataError
from acclimate.examples import Table, split_path, write_examples
from acclimate.ports import RawTable
from acclimate.records import SPLITS, SplitCard, TableCard

MAX_DROPPED = 0.10
MAX_CONFLICTING = 0.01


def section_of(table: Table) -> str:
    """The section of the configuration that describes a table."""
    return "source.reference" if table == "reference" else table


def settle(raw: RawTable, spec: DataSpec, name: Table, known: KnownRows | None) -> SettledTable:
    """Take a table from rows as read to rows that are kept.

    Args:
        raw: the rows as read.
        spec: how the configuration describes them.
        name: which table it is.
        known: rows that a pool is kept apart from; None for the other tables.

    Raises:
        DataError: E-DATA-040 to -050, -080: see :func:`acclimate.stages.ingest.ingest`.
    """
    table = SettledTable(raw, spec, name)
    table.drop_unusable()
    table.assign_splits()
    table.drop_copies()
    if known is not None:
        table.keep_apart_from(known)
    table.finish()
    return table


class SettledTable:
    """Indices into the columns as read; made by :func:`settle`.

    ``rows`` are the rows that are still there, at the end in the order of their ids.
    """

    card: TableCard

    def __init__(self, raw: RawTable, spec: DataSpec, name: Table) -> None:
        self.raw = raw
        self.spec = spec
        self.name = name
        self.is_target = name == "target"
        self.section = section_of(name)
        self.warnings = list(raw.warnings)
        nothing: list[str | None] = [None] * len(raw.lines)
        # of images what tells one from another stands in for the text
        self.texts = raw.columns[spec.text if raw.images is None else spec.image]
        self.labels = raw.columns.get(spec.label, nothing) if spec.label else nothing
        self.answers = raw.columns[spec.answer] if spec.answer else None
        self.groups = raw.columns[spec.group] if spec.group else nothing
        self.slices = {name: [value or "" for value in raw.columns[name]] for name in spec.slices}
        self.rows = list(range(len(raw.lines)))
        self.ids: list[str] = []
        self.splits: list[Split] = []
        self.copies = Copies([], 0, [], [])
        self.apart = Apart([], [], [])
        self.empty = self.unlabelled = 0
        self.label_counts: Counter[str] = Counter()

    def _error(self, code: str, message: str, hint: str, row: int | None = None) -> DataError:
        where = self.raw.place(row) if row is not None else self.raw.files[0].uri
        return DataError(code, message, where=where, hint=hint)

    def drop_unusable(self) -> None:
        """Drop rows without text, then rows without label or answer, unless they are too many to be an accident."""
        empty = [row for row in self.rows if not (self.texts[row] or "").strip()]
        what = ("an empty text", "name the right column in .text, or fill the texts")
        if self.raw.images is not None:
            what = ("no image", "name the right column in .image, or fill it")
        self._drop(empty, "E-DATA-041", *what)
        self.empty = len(empty)
        if self.answers is not None:
            unanswered = [row for row in self.rows if not (self.answers[row] or "").strip()]
            self._drop(unanswered, "E-DATA-042", "no answer", "answer them, or take them out of the table")
            self.unlabelled = len(unanswered)
        elif self.spec.label:
            self._drop_unlabelled(self.spec.label)

    def _drop_unlabelled(self, column: str) -> None:
        if column not in self.raw.columns:
            says = f"no column {column!r}, so read without labels"
            self.warnings.append(f"{says}; if that is meant, set source.reference.label to null")
        missing = [row for row in self.rows if self.labels[row] is None]
        if not self.is_target and len(missing) == len(self.rows):
            return
        self._drop(missing, "E-DATA-042", "no label", "label them, or take them out of the table")
        self.unlabelled = len(missing)
        self.label_counts = Counter(label for row in self.rows if (label := self.labels[row]) is not None)
        if self.is_target:
            check_label_column(self.label_counts, column, self.raw.place(self.rows[0]))

    def _drop(self, dropped: list[int], code: str, what: str, hint: str) -> None:
        if not dropped:
            return
        share = len(dropped) / len(self.raw.lines)
        message = f"{len(dropped):,} of {len(self.raw.lines):,} rows have {what}"
        if (share > MAX_DROPPED and self.is_target) or len(dropped) == len(self.rows):
            raise self._error(code, f"{message}, over {MAX_DROPPED:.0%}", f"{hint}; this is the first", dropped[0])
        self.warnings.append(f"{message} and were dropped, the first at {self.raw.place(dropped[0])}")
        gone = set(dropped)
        self.rows = [row for row in self.rows if row not in gone]

    def assign_splits(self) -> None:
        """Give every row its id and its split."""
        self.ids = [""] * len(self.raw.lines)
        self.splits = ["train"] * len(self.raw.lines)
        for row in self.rows:
            text, group = self._text(row), self.groups[row]
            values = [(name, column[row]) for name, column in self.slices.items()]
            answer = self.labels[row] if self.answers is None else self.answers[row]
            self.ids[row] = row_id(text, answer, group, values)
            if self.name == "pool":
                continue  # nothing is tested on it
            self.splits[row] = self._given_split(row) if self.spec.split else split_of(self._look(row), group)
        if self.spec.split and "validation" not in {self.splits[row] for row in self.rows}:
            self._draw_validation(self.spec.split)

    def _draw_validation(self, column: str) -> None:
        train = [row for row in self.rows if self.splits[row] == "train"]
        drawn = [row for row in train if is_for_validation(self._look(row), self.groups[row])]
        for row in drawn:
            self.splits[row] = "validation"
        says = f"{column!r} names no validation rows: {len(drawn):,} of the {len(train):,} training rows"
        self.warnings.append(f"{says} were taken for it, by a hash of {'group' if self.spec.group else 'content'}")

    def _text(self, row: int) -> str:
        return self.texts[row] or ""

    def _look(self, row: int) -> str:
        """What near-duplicates share, so that they fall into one split: of an image how it looks, of a text itself."""
        return self._text(row) if self.raw.near is None else self.raw.near[row]

    def _given_split(self, row: int) -> Split:
        value = self.raw.columns[str(self.spec.split)][row]
        split = spelled_split(value or "")
        if split is None:
            message = f"{self.spec.split!r} is {value[:60]!r}" if value else f"{self.spec.split!r} is empty"
            raise self._error("E-DATA-047", message, "write train, validation or test", row)
        return split

    def drop_copies(self) -> None:
        """Drop copies and conflicts; refuse given splits that share a text or a group."""
        if self.answers is not None:
            self.copies = resolve_answers(self.rows, self.texts, self.answers, self.ids, self.splits)
            self._warn_of_answers()
        else:
            self.copies = resolve_copies(self.rows, self.texts, self.labels, self.ids, self.splits)
            self._judge_conflicts()
        if self.spec.split:
            self._refuse_leaks()
        if not self.copies.kept:
            raise self._error("E-DATA-040", "no rows are left", "all copies have conflicting labels")
        self.rows = sorted(self.copies.kept, key=lambda row: self.ids[row])

    def _judge_conflicts(self) -> None:
        conflicting = sum(map(len, self.copies.conflicts))
        if not conflicting:
            return
        first = min(self.copies.conflicts)
        other = next(row for row in first if self.labels[row] != self.labels[first[0]])
        message = f"{conflicting:,} of {len(self.rows):,} rows are copies of a text with conflicting labels"
        example = f"{self.raw.place(first[0])} and {self.raw.place(other)}"
        if self.is_target and conflicting > MAX_CONFLICTING * len(self.rows):
            hint = f"compare e.g. {example}; correct the labels or name the right column"
            raise self._error("E-DATA-043", f"{message}, over {MAX_CONFLICTING:.0%}", hint, first[0])
        self.warnings.append(f"{message}; all were dropped, e.g. {example}")

    def _warn_of_answers(self) -> None:
        prompts = Counter(self.texts[row] for row in self.copies.kept)
        several = sum(count > 1 for count in prompts.values())
        if several:
            self.warnings.append(f"{several:,} prompts have several answers; all are kept, each prompt's in one split")
        if self.copies.conflicts:
            rows = sum(map(len, self.copies.conflicts))
            says = f"{rows:,} rows were dropped: another group has their prompt in a stricter split"
            self.warnings.append(f"{says}, e.g. {self.raw.place(min(self.copies.conflicts)[0])}")

    def _refuse_leaks(self) -> None:
        leaks = self.copies.across_splits
        hint = f"keep each in one split, or leave {self.section}.split out: then acclimate splits without leaks"
        if leaks:
            first = min(leaks)
            other = next(row for row in first if self.splits[row] != self.splits[first[0]])
            message = f"{len(leaks):,} texts are in several given splits, one also at {self.raw.place(other)}"
            raise self._error("E-DATA-048", message, hint, first[0])
        groups = names_across_splits((self.groups[row] for row in self.rows), (self.splits[row] for row in self.rows))
        if groups:
            row = next(row for row in self.rows if self.groups[row] == groups[0])
            message = f"{len(groups):,} groups are in several given splits, e.g. {groups[0][:60]!r}"
            raise self._error("E-DATA-049", message, hint, row)

    def known_rows(self) -> KnownRows:
        """What a pool must be kept apart from."""
        rows = self.rows
        return KnownRows.of(
            [self._text(r) for r in rows], [self.groups[r] for r in rows], [self.splits[r] for r in rows]
        )

    def keep_apart_from(self, known: KnownRows) -> None:
        """Drop rows that models are chosen or tested on, and copies of training rows."""
        self.apart = apart(self.rows, [text or "" for text in self.texts], self.groups, known)
        if not self.apart.kept:
            message = f"no row of the pool is left: {len(self.apart.held_out):,} are validation or test rows"
            hint = "give texts that are not the target's; without a pool, tapt pretrains on the training texts"
            raise self._error("E-DATA-080", f"{message}, {len(self.apart.copies):,} training rows", hint)
        if self.apart.held_out:
            says = f"{len(self.apart.held_out):,} rows are or nearly are validation or test rows, or of their groups"
            self.warnings.append(f"{says}, and were dropped, e.g. {self.raw.place(min(self.apart.held_out))}")
        self.rows = self.apart.kept

    def finish(self) -> None:
        """Check the classes, or the rows where there are none, and fill the card."""
        counts = {split: self._label_counts(split) for split in SPLITS}
        rows = {split: sum(self.splits[row] == split for row in self.rows) for split in SPLITS}
        labels = sorted(set().union(*counts.values())) or None
        if self.is_target and self.spec.label:
            check_classes(counts, sorted(self.label_counts), self.raw.files[0].uri, given=bool(self.spec.split))
        elif self.is_target:
            check_split_rows(rows, self.raw.files[0].uri, given=bool(self.spec.split))
        self._warn_of_groups_and_labels()
        near = self._near_duplicates()
        self.card = TableCard(
            digest=table_digest(self._identity(row) for row in self.rows),
            files=self.raw.files,
            rows_read=len(self.raw.lines),
            rows_kept=len(self.rows),
            empty_texts_dropped=self.empty,
            exact_copies_dropped=self.copies.dropped,
            conflicting_rows_dropped=sum(map(len, self.copies.conflicts)),
            unlabelled_rows_dropped=self.unlabelled,
            near_duplicates_across_splits=near,
            labels=labels,
            splits={split: SplitCard(rows=rows[split], label_counts=counts[split]) for split in SPLITS},
            grouped=bool(self.spec.group),
            given_splits=bool(self.spec.split),
            slices=list(self.spec.slices),
            licence=self.spec.licence,
            warnings=self.warnings,
            answers=self.answers is not None,
            held_out_rows_dropped=len(self.apart.held_out),
            train_copies_dropped=len(self.apart.copies),
        )

    def _near_duplicates(self) -> int:
        """Rows that nearly equal one of another split; a warning says so."""
        looks, splits = [self._look(row) for row in self.rows], [self.splits[row] for row in self.rows]
        near = near_duplicates_across_splits(looks, splits)
        if near:
            but = "size, light or small details" if self.raw.images else "case, blanks or punctuation"
            self.warnings.append(f"{near:,} rows equal one of another split but for {but}")
        return near

    def _identity(self, row: int) -> str:
        return f"{self.ids[row]} {self.splits[row]}" if self.spec.split else self.ids[row]

    def _label_counts(self, split: Split) -> dict[str, int]:
        names = (self.labels[row] for row in self.rows if self.splits[row] == split)
        return dict(sorted(Counter(name for name in names if name is not None).items()))

    def _warn_of_groups_and_labels(self) -> None:
        lone = sum(self.groups[row] is None for row in self.rows) if self.spec.group else 0
        if lone:
            self.warnings.append(f"{lone:,} rows have no group; each counts as a group of its own")
        for names in lookalikes(self.label_counts):
            shown = ", ".join(repr(name[:60]) for name in names)
            self.warnings.append(f"the labels {shown} differ only in case or blanks, and count as different")

    def write(self, out: Path, table: Table) -> None:
        """Write all three splits, empty ones too."""
        for split in SPLITS:
            rows = [row for row in self.rows if self.splits[row] == split]
            images = self.raw.images
            content: Mapping[str, Sequence[str | bytes | None]] = (
                {"text": [self.texts[row] for row in rows]}
                if images is None
                else {"image": [images[row] for row in rows]}
            )
            columns: dict[str, Sequence[str | bytes | None]] = {
                "row_id": [self.ids[row] for row in rows],
                **content,
                "label": [self.labels[row] for row in rows],
                **({} if self.answers is None else {"answer": [self.answers[row] for row in rows]}),
                "group": [self._written_group(row) for row in rows],
                **{name: [values[row] for row in rows] for name, values in self.slices.items()},
            }
            write_examples(split_path(out, table, split), columns)

    def _written_group(self, row: int) -> str | None:
        group = self.groups[row]
        if group is None and self.spec.group:
            return f"row:{hashlib.sha256(normal_form(self._text(row)).encode()).hexdigest()[:16]}"
        return group
