"""Drift: whether fresh rows still come from where the champion's target rows came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.core.drift import MIN_ROWS, Drift, drift_verdict, measure_drift, without_copies
from acclimate.core.grouping import Groups, group_numbers
from acclimate.core.projection import neighbour_distance
from acclimate.core.sample_plan import shuffled_by_group
from acclimate.examples import Examples, Inputs, Table, chosen, read_examples
from acclimate.nn.encoder import Encoder
from acclimate.nn.shown import shown
from acclimate.nn.target_sketch import TargetSketch, embed_rounded, input_digests
from acclimate.ports import Progress
from acclimate.records import SPLITS, FarRow, Interval, SourceCard, Split
from acclimate.records_retrain import DriftReport

MAX_FRESH = 1000
NEIGHBOURS = 10
FURTHEST = 5
NARROWER, WIDER = 0.9, 1.1
NEW_GROUND = 0.1
# Nothing but evaluate reads the target's test split, not even to look for drift.
_READ: dict[Table, tuple[Split, ...]] = {"reference": SPLITS, "target": ("train", "validation")}


def drift(
    data: Path,
    sketch: TargetSketch | None,
    source: Path,
    source_card: SourceCard,
    champion: str,
    *,
    table: Table,
    alpha: float,
    cache: Path,
    out: Path,
    progress: Progress,
) -> DriftReport:
    """Compare fresh rows with the champion's held-out ones and write ``drift_report.json`` into ``out``.

    Both are embedded by the source model the champion was made from. Copies of texts the champion's data hold are left
    out; labels are not needed.

    Args:
        data: ingest's folder.
        sketch: what the champion remembers of its target; None where it was registered without.
        source: folder of the source model.
        source_card: the source model as pinned.
        champion: ``models:/NAME/VERSION``.
        table: ``reference`` where ingest read the fresh rows as such; ``target`` takes the target's own rows that the
            champion has not seen, without the test split.
        alpha: level of the test.
        cache: folder of cached embeddings.
        out: folder to write into.
        progress: told how far it is.

    Raises:
        ModelError: E-DRIFT-002, embeddings are not finite; or the preflight's.
        IntegrityError: E-DATA-090, ingest's folder is damaged.
    """
    facts: dict[str, Any] = {"champion": champion, "alpha": alpha}
    if sketch is None:
        facts |= _unmeasured("NO_REFERENCE", "The champion was registered without a sketch of its data: train again.")
    elif sketch.source_digest != source_card.digest:
        facts |= _unmeasured("INCOMPARABLE", "The champion was made from another source model: nothing to compare in.")
    else:
        sides = _Sides.of(read_examples(data, table, _READ[table], None), sketch)
        encoder = Encoder.load(source, precision=sketch.precision, max_length=sketch.max_length)
        facts |= _measured(sides, embed_rounded(encoder, sides.inputs, cache, progress), alpha)
    report = DriftReport.model_validate(facts)
    report.write(out)
    return report


def _unmeasured(verdict: str, note: str) -> dict[str, Any]:
    nothing = ("p_value", "statistic", "units", "rows_compared", "share_outside", "spread_ratio", "rows_needed")
    counts = ("fresh_rows", "held_out_rows", "copies")
    return {
        "verdict": verdict,
        "drifted": False,
        **dict.fromkeys(nothing),
        **dict.fromkeys(counts, 0),
        "furthest": [],
        "notes": [note],
    }


@dataclass(frozen=True)
class _Sides:
    """The rows that are compared: row ids and inputs of the fresh ones, embeddings of the held-out ones."""

    row_ids: list[str]
    inputs: Inputs
    held: np.ndarray
    groups: Groups | None
    copies: int

    @classmethod
    def of(cls, rows: Examples, sketch: TargetSketch) -> _Sides:
        compared = without_copies(input_digests(rows.inputs), sketch.held_texts, sketch.texts)
        names = group_numbers(rows.groups, len(rows))[compared.fresh]
        order = shuffled_by_group(names, np.random.default_rng(0)) if names.size else np.arange(0)
        kept = np.sort(order[:MAX_FRESH])
        grouped = rows.groups is not None or sketch.groups is not None
        fresh = [int(i) for i in compared.fresh[kept]]
        return cls(
            row_ids=[rows.row_ids[i] for i in fresh],
            inputs=chosen(rows.inputs, fresh),
            held=sketch.held[compared.held],
            groups=_groups(names[kept], sketch.groups, compared.held) if grouped and fresh else None,
            copies=len(rows) - len(compared.fresh),
        )


def _groups(fresh: np.ndarray, held: np.ndarray | None, kept: np.ndarray) -> Groups:
    """Groups of both sides; none is on both, whatever their names."""
    numbers = np.arange(kept.size) if held is None else held[kept]
    return Groups(fresh, numbers + int(fresh.max()) + 1, given=True)


def _measured(sides: _Sides, fresh: np.ndarray, alpha: float) -> dict[str, Any]:
    held = sides.held
    found = measure_drift(fresh, held, sides.groups, alpha=alpha)
    verdict = drift_verdict(found, fresh=len(fresh), held=len(held), alpha=alpha)
    units = found.units if found else None
    return {
        "verdict": verdict,
        "drifted": verdict == "DRIFTED",
        "p_value": found.test.p_value if found else None,
        "statistic": _short(found.test.statistic) if found else None,
        "units": Interval(**{name: _short(value) for name, value in asdict(units).items()}) if units else None,
        "rows_compared": found.rows_compared if found else None,
        "fresh_rows": len(fresh),
        "held_out_rows": len(held),
        "copies": sides.copies,
        "share_outside": _short(found.share_outside) if found else None,
        "spread_ratio": _short(found.spread_ratio) if found and found.spread_ratio is not None else None,
        "rows_needed": found.rows_needed if found else None,
        "furthest": _furthest(sides, fresh),
        "notes": _notes(found, verdict, sides),
    }


def _short(value: float) -> float:
    """Six digits behind the point: more would be rounding of the matrix products."""
    return round(float(value), 6)


def _furthest(sides: _Sides, fresh: np.ndarray) -> list[FarRow]:
    if not len(fresh) or not len(sides.held):
        return []
    distance = neighbour_distance(fresh, sides.held, NEIGHBOURS)
    order = np.argsort(-distance, kind="stable")[:FURTHEST]
    return [
        FarRow(row_id=sides.row_ids[i], label=None, distance=_short(distance[i]), **shown(sides.inputs[i]))
        for i in order
    ]


def _notes(found: Drift | None, verdict: str, sides: _Sides) -> list[str]:
    """What a reader must know to read the verdict."""
    if not sides.inputs:
        return [f"There are no fresh rows: the champion's data hold all {sides.copies:,}."]
    notes = []
    if sides.copies:
        notes.append(f"{sides.copies:,} fresh rows were left out: copies, or texts the champion's data hold already.")
    if sides.groups is not None:
        notes.append("Whole groups were sampled and permuted.")
    if verdict == "UNDERPOWERED":
        few = f"{len(sides.inputs)} fresh and {len(sides.held)} held-out rows"
        notes.append(f"Underpowered: {few}. {MIN_ROWS} on either side are needed before no drift can be claimed.")
    if found is not None and found.rows_needed is not None and verdict != "DRIFTED":
        notes.append(f"If the distance seen is real, about {found.rows_needed:,} fresh rows would show it.")
    if found is not None and verdict == "DRIFTED":
        notes.append(_direction(found))
    return notes


def _direction(found: Drift) -> str:
    ratio = found.spread_ratio or 1.0
    if found.share_outside > NEW_GROUND:
        says = "new ground: they hold texts unlike any of the champion's"
    elif ratio < NARROWER:
        says = "narrower: they cover a part of what the champion's rows cover"
    elif ratio > WIDER:
        says = "wider: the same ground, with more of its edges"
    else:
        says = "another mix of what the champion knows"
    return f"The fresh rows are {says} ({found.share_outside:.0%} lie outside, 5 % would by chance)."
