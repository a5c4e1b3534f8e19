"""Gap: how far the target lies from the source's domain, on the source model's own embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from acclimate.config import GapSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.domain_gap import MIN_ROWS_MEASURED, Distance, DomainGap, GapMeter, pool_rows
from acclimate.core.gap_verdict import gap_notes, gap_verdict
from acclimate.core.grouping import Groups, group_numbers, number_groups
from acclimate.core.null_scale import holm
from acclimate.core.projection import neighbour_distance, principal_axes
from acclimate.core.sample_plan import SamplePlan, plan_samples, shuffled_by_group
from acclimate.core.setting import classify_setting, same_label_set
from acclimate.errors import ModelError
from acclimate.examples import Examples, Table, read_examples
from acclimate.nn.encoder import Encoder, cached_embeddings
from acclimate.nn.input_side import input_side
from acclimate.nn.shown import shown
from acclimate.ports import Progress
from acclimate.records import SPLITS, DataCard, FarRow, GapMeasure, GapReport, Interval, SourceCard, Split

NEIGHBOURS = 10
FURTHEST = 20
MAP_POINTS = 500


def gap(
    data: Path,
    source: Path,
    source_card: SourceCard,
    *,
    config: GapSpec,
    generation: GenerationSpec,
    max_length: int | None,
    precision: str,
    cache: Path,
    out: Path,
    progress: Progress,
) -> GapReport:
    """Measure the domain gap and write ``gap_report.json`` and ``timing.json`` into ``out``.

    The target's test split is not read. Without reference data the verdict is NO_REFERENCE, and only what needs
    the model alone is reported.

    Args:
        data: ingest's folder.
        source: folder of the source model.
        source_card: the source model as pinned.
        config: the gap section.
        generation: how texts are read; for text-generation.
        max_length: tokens of a text the model reads; None takes the model's own.
        precision: ``fp32`` or ``bf16``.
        cache: folder of cached embeddings.
        out: folder to write into.
        progress: told how far it is.

    Raises:
        ModelError: E-GAP-001, the model gives embeddings that are not finite; or the preflight's.
        IntegrityError: E-DATA-090, ingest's folder is damaged.
    """
    card = DataCard.read(data)
    work = _Work(config, Encoder.load(source, precision=precision, max_length=max_length), cache, progress)
    target = _sampled(data, "target", ("train",), card.target.labels, config)
    work.lap("load")
    facts: dict[str, Any] = {"setting": _setting(card, source_card)}
    if card.reference is None:
        facts |= _without_reference(target, work)
    else:
        reference = _sampled(data, "reference", SPLITS, None, config)
        facts |= _with_reference(target, reference, card.target.labels, work)
    if card.is_generation:
        from acclimate.nn.causal.perplexity import perplexity_gap

        facts["perplexity"] = perplexity_gap(
            data, source, source_card, generation=generation, precision=precision, seed=config.seed, progress=progress
        )
        work.lap("perplexity")
    report = GapReport.model_validate(facts)
    report.write(out)
    timing = json.dumps(work.seconds, indent=1, sort_keys=True) + "\n"
    (out / "timing.json").write_text(timing, encoding="utf-8")
    return report


@dataclass
class _Work:
    """What every step needs, and the seconds each took."""

    config: GapSpec
    encoder: Encoder
    cache: Path
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=monotonic)

    def lap(self, name: str) -> None:
        """Book the time since the last lap under a name."""
        now = monotonic()
        self.seconds[name] = round(now - self._since, 3)
        self._since = now

    def embed(self, rows: Examples) -> np.ndarray:
        """Embeddings of one side: float32 [n, dim], finite."""
        found = cached_embeddings(self.encoder, rows.inputs, self.cache, self.progress)
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if bad.size:
            raise ModelError(
                "E-GAP-001",
                f"the source model gives {bad.size} of {len(rows)} rows an embedding that is not finite",
                where=f"row {rows.row_ids[int(bad[0])]}",
                hint="the weights are damaged, or overflow in bf16: set compute.precision to fp32",
            )
        return found


def _setting(card: DataCard, source_card: SourceCard) -> str:
    if card.is_generation:
        # next tokens are foretold there as here; answers to prompts are a task of their own
        return "inductive" if card.target.answers else "supervised adaptation"
    source_labels = source_card.labels or (card.reference.labels if card.reference else None)
    fitting = [card.target.splits[split] for split in ("train", "validation")]
    return classify_setting(
        same_task=same_label_set(card.target.labels, source_labels),
        target_labels=sum(sum(split.label_counts.values()) for split in fitting),
        source_labelled=source_labels is not None,
    )


def _sampled(data: Path, table: Table, splits: Sequence[Split], labels: list[str] | None, config: GapSpec) -> Examples:
    """At most ``max_rows`` rows in their order; where there are no more, exactly what is stored."""
    rows = read_examples(data, table, splits, labels)
    if len(rows) <= config.max_rows:
        return rows
    shuffled = shuffled_by_group(group_numbers(rows.groups, len(rows)), np.random.default_rng(config.seed))
    kept = np.sort(shuffled[: config.max_rows])
    return rows.some(kept.tolist())


def _without_reference(target: Examples, work: _Work) -> dict[str, Any]:
    statistics = input_side({"target": target}, work.encoder).statistics
    work.lap("input_side")
    return {
        "verdict": gap_verdict(has_reference=False),
        **dict.fromkeys(("units", "p_value", "rows_compared", "detectable_shift")),
        **{name: [] for name in ("measures", "furthest", "map")},
        "input_side": statistics,
        "notes": ["No data of the source domain: name some under source.reference to measure the gap."],
    }


def _with_reference(target: Examples, reference: Examples, labels: list[str] | None, work: _Work) -> dict[str, Any]:
    z_target, z_reference = work.embed(target), work.embed(reference)
    work.lap("embed")
    config = work.config
    groups = number_groups(target.groups, len(target), reference.groups, len(reference))
    plan = plan_samples(
        groups.target, groups.reference, null_pairs=config.null_pairs, draws=config.draws, seed=config.seed
    )
    measurable = plan.rows_compared >= MIN_ROWS_MEASURED and groups.largest < plan.rows_compared
    inputs = input_side({"target": target, "reference": reference}, work.encoder)
    statistics = inputs.with_divergence(plan) if measurable else inputs.statistics
    work.lap("input_side")
    found = _measure(z_target, z_reference, groups, plan, work) if measurable else None
    work.lap("measures")
    return _judged(found, plan, groups) | {
        "input_side": statistics,
        "furthest": _furthest(target, labels, neighbour_distance(z_target, z_reference, NEIGHBOURS)),
        "map": _map(z_target, z_reference, config.seed),
    }


def _measure(
    z_target: np.ndarray, z_reference: np.ndarray, groups: Groups, plan: SamplePlan, work: _Work
) -> DomainGap | None:
    def report(step: str, done: int, of: int) -> None:
        work.progress(step, done=done, of=of)

    pooled = pool_rows(z_target, z_reference, groups.pooled, plan.rows_compared)
    return GapMeter(pooled, work.config.permutations, work.config.seed, report).measure(plan)


def _judged(found: DomainGap | None, plan: SamplePlan, groups: Groups) -> dict[str, Any]:
    """Measures, verdict and notes."""
    distances = found.distances if found else ()
    adjusted = holm([distance.p_value for distance in distances])
    measures = [_gap_measure(distance, p) for distance, p in zip(distances, adjusted, strict=True)]
    shift = found.detectable_shift if found else None
    judged: dict[str, Any] = {
        "rows_compared": plan.rows_compared,
        "detectable_shift": shift,
        "units": max((measure.units.point for measure in measures), default=None),
        "p_value": min((measure.p_holm for measure in measures), default=None),
    }
    return judged | {
        "verdict": gap_verdict(has_reference=True, **judged),
        "measures": measures,
        "notes": gap_notes(
            rows_compared=plan.rows_compared,
            detectable_shift=shift,
            p_value=judged["p_value"],
            largest_group=groups.largest if groups.given else None,
        ),
    }


def _gap_measure(distance: Distance, p_holm: float) -> GapMeasure:
    return GapMeasure(
        name=distance.name,
        statistic=_short(distance.statistic),
        null_median=_short(distance.null.median),
        null_q95=_short(distance.null.q95),
        units=Interval(**{name: _short(value) for name, value in asdict(distance.units).items()}),
        p_value=distance.p_value,
        p_holm=p_holm,
        null_sample=[_short(value) for value in np.sort(distance.null.sample)],
        extra={name: _short(value) for name, value in distance.extra.items()},
    )


def _short(value: float) -> float:
    """Six digits behind the point: more would be rounding of the matrix products."""
    return round(float(value), 6)


def _furthest(target: Examples, labels: list[str] | None, distance: np.ndarray) -> list[FarRow]:
    order = np.argsort(-distance, kind="stable")[:FURTHEST]
    return [
        FarRow(
            row_id=target.row_ids[i],
            label=None if labels is None or target.labels is None else labels[target.labels[i]],
            distance=_short(distance[i]),
            **shown(target.inputs[i]),
        )
        for i in order
    ]


def _map(z_target: np.ndarray, z_reference: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """A seeded sample of both sides on the first two principal components of all rows."""
    axes = principal_axes(np.vstack([z_target, z_reference]), 2)
    rng = np.random.default_rng(seed)
    points = []
    for domain, rows in (("target", z_target), ("source", z_reference)):
        shown = axes.project(rows[np.sort(rng.permutation(len(rows))[:MAP_POINTS])])
        points += [{"x": _short(x), "y": _short(y), "domain": domain} for x, y in shown]
    return points
