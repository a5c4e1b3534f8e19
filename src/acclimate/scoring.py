"""From predictions on the test rows to the records of an evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from acclimate.config import EvaluateSpec
from acclimate.core.control_names import SEED, TRIVIAL
from acclimate.core.evidence import SCRATCH
from acclimate.core.judge import Judge, MeanJudge
from acclimate.core.metrics import FloatArray, IntArray, confusion
from acclimate.core.paired import (
    PairedDifference,
    bootstrap_score,
    detectable_by,
    detectable_effect,
    mcnemar_exact,
    paired_difference,
    rows_needed,
    slice_range,
)
from acclimate.core.paired_means import sign_test, slice_mean_range
from acclimate.core.reliability import ece_debiased, reliability_bins, softmax
from acclimate.core.reliability_bounds import reliability_bounds
from acclimate.core.resampling import Groups, group_sums
from acclimate.core.slice_gaps import slice_gap
from acclimate.core.slices import Slice, slices_of, too_small
from acclimate.core.strategy_traits import TRAITS
from acclimate.examples import Examples, Inputs
from acclimate.predictions import AnswerScores, ClassPredictions, JudgedRows
from acclimate.records import (
    CalibrationBin,
    CalibrationScore,
    ClassScore,
    Comparison,
    Disparity,
    HardRow,
    Interval,
    Robustness,
    SliceScore,
)

Role = Literal["comparator", "trivial", "control", "seed", "trained"]
# goal.min_gain's default: a smaller effect is nothing a test set need be able to show
SMALLEST_RELEVANT_EFFECT = 0.01


@dataclass(frozen=True)
class TestRows:
    """The test split and how predictions on it are scored.

    Args:
        rows: the n rows.
        truth: class indices, int64 ``[n]``.
        labels: label names in index order.
        metric: see :func:`acclimate.core.metrics.score`.
        bootstraps: samples of each interval.
        seed: of the bootstrap.
    """

    __test__ = False

    rows: JudgedRows
    truth: IntArray
    labels: list[str]
    metric: str
    bootstraps: int
    seed: int

    def score(self, predicted: IntArray, rows: IntArray | None = None) -> Interval:
        """Score with its 95 % interval.

        Args:
            predicted: class indices, ``[n]``.
            rows: positions of the rows that count; by default all.
        """
        rows = np.arange(len(self.truth)) if rows is None else rows
        groups = self.rows.groups
        bounds = bootstrap_score(
            self.metric,
            self.truth[rows],
            predicted[rows],
            len(self.labels),
            bootstraps=self.bootstraps,
            seed=self.seed,
            groups=None if groups is None else [groups[row] for row in rows],
        )
        return Interval(point=bounds.point, low=bounds.low, high=bounds.high)

    def by_chance(self, predicted: IntArray, slices: Sequence[IntArray]) -> float:
        """What best - worst of some slices stays below where all are answered alike, in 95 % of cases."""
        return slice_range(
            self.metric,
            self.truth,
            predicted,
            slices,
            len(self.labels),
            bootstraps=self.bootstraps,
            seed=self.seed,
            groups=self.rows.groups,
        )


def comparison(test: TestRows, predicted: IntArray, other: str, others: IntArray, comparator: str) -> Comparison:
    """Candidate - other on the same rows.

    ``underpowered`` means: neither better nor worse shows, and a difference as large as the observed one, or as
    ``SMALLEST_RELEVANT_EFFECT`` where that is larger, would be missed more often than one time in five. Where rows are
    grouped, groups are what is counted: see :func:`_compared` and :func:`_p_by_group`.

    Args:
        test: the test rows.
        predicted: the candidate's class indices, ``[n]``.
        other: name of what it is compared with.
        others: its class indices, ``[n]``.
        comparator: name of the comparator.
    """
    difference = paired_difference(
        test.metric,
        test.truth,
        predicted,
        others,
        len(test.labels),
        bootstraps=test.bootstraps,
        seed=test.seed,
        groups=test.rows.groups,
    )
    counts = mcnemar_exact(test.truth, predicted, others)
    right = predicted == test.truth, others == test.truth
    p_value = counts.p_value if test.rows.groups is None else _p_by_group(*right, test.rows.groups)
    tested = _Tested(p_value, counts.only_a, counts.only_b, spread=counts.only_a + counts.only_b)
    return _compared(other, comparator, test.score(others), difference, tested, test.rows)


@dataclass(frozen=True)
class _Tested:
    """An exact test of two models on the same rows.

    Args:
        p_value: two-sided.
        candidate: rows on which the candidate is better.
        other: rows on which the other is.
        spread: summed squared difference of their scores: where these are 0 or 1, the rows on which they differ.
    """

    p_value: float
    candidate: int
    other: int
    spread: float


def _p_by_group(own: npt.ArrayLike, other: npt.ArrayLike, groups: Groups) -> float:
    """Two-sided p of the exact sign test of the groups' mean scores: rows of one group are no independent witnesses."""
    scores = np.column_stack([np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)])
    sums = group_sums(np.column_stack([scores, np.ones(len(scores))]), groups)  # [groups, 3]
    first, second = (sums[:, :2] / sums[:, 2:]).T
    return sign_test(first, second).p_value


def _compared(
    other: str, comparator: str, other_score: Interval, difference: PairedDifference, tested: _Tested, rows: JudgedRows
) -> Comparison:
    """The record. What grouped rows can show follows from how far whole groups move the difference.

    It is never more than as many rows without groups would: few groups may agree by chance.
    """
    n = len(rows)
    # at least one row: no disagreement in n rows doesn't prove that there is none
    disagreement = max(tested.spread, 1) / n
    detectable = detectable_effect(n, disagreement)
    if rows.groups is not None and (clustered := detectable_by(difference.standard_error)) > detectable:
        # the disagreement that rows without groups would need for this effect
        disagreement, detectable = disagreement * (clustered / detectable) ** 2, clustered
    settled = difference.low_one_sided > 0 or difference.high_one_sided < 0
    return Comparison(
        other=other,
        role=_role(other, comparator),
        other_score=other_score,
        difference=Interval(point=difference.point, low=difference.low, high=difference.high),
        low_one_sided=difference.low_one_sided,
        high_one_sided=difference.high_one_sided,
        mcnemar_p=tested.p_value,
        only_candidate_right=tested.candidate,
        only_other_right=tested.other,
        detectable_effect=detectable,
        rows_needed=rows_needed(difference.point, disagreement) if difference.point else None,
        underpowered=not settled and detectable > max(abs(difference.point), SMALLEST_RELEVANT_EFFECT),
    )


def _role(other: str, comparator: str) -> Role:
    if other == comparator:
        return "comparator"
    if other in TRIVIAL:
        return "trivial"
    if other in TRAITS and other != SCRATCH:
        return "trained"
    return "seed" if other.startswith(SEED) else "control"


def class_scores(counts: IntArray, labels: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each class; 0 where there is nothing to divide by.

    Args:
        counts: rows by truth and prediction, ``[C, C]``.
        labels: label names in index order.
    """
    hits, predicted, true = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
    return [
        ClassScore(
            label=label,
            rows=int(true[i]),
            precision=float(hits[i] / max(predicted[i], 1)),
            recall=float(hits[i] / max(true[i], 1)),
            f1=float(2 * hits[i] / max(predicted[i] + true[i], 1)),
        )
        for i, label in enumerate(labels)
    ]


def slice_scores(
    slices: Sequence[Slice],
    score: Callable[[IntArray], Interval],
    right: FloatArray,
    classes: IntArray,
    groups: Sequence[str] | None,
) -> list[SliceScore]:
    """Score of each slice, and how its rows fare against the others.

    Args:
        slices: with their rows.
        score: the score of some rows.
        right: each row's own score, ``[n]``: 1 where the candidate is right.
        classes: its true class, ``[n]``; all the same where there are none.
        groups: its group; None without groups.
    """
    found = []
    for part in slices:
        inside = np.zeros(len(right), dtype=bool)
        inside[part.rows] = True
        gap = slice_gap(right, classes, inside, groups)
        found.append(
            SliceScore(
                column=part.column,
                value=part.value,
                rows=len(part.rows),
                score=score(part.rows),
                gap=Interval(point=gap.point, low=gap.low, high=gap.high) if gap else None,
                p_behind=gap.p_value if gap else None,
            )
        )
    return found


def disparities(
    slices: Sequence[Slice], scores: Sequence[SliceScore], by_chance: Callable[[list[IntArray]], float]
) -> list[Disparity]:
    """Best against worst slice of each column that has two or more, in the order of the columns.

    Args:
        slices: with their rows.
        scores: of each.
        by_chance: what best - worst stays below where all slices of a column, given their rows, are answered alike.
    """
    found = []
    for column in dict.fromkeys(part.column for part in scores):
        own = [part for part in scores if part.column == column]
        own.sort(key=lambda part: (part.score.point, part.value))
        if len(own) < 2:
            continue
        worst, best = own[0], own[-1]
        found.append(
            Disparity(
                column=column,
                best=best.value,
                worst=worst.value,
                best_minus_worst=best.score.point - worst.score.point,
                by_chance=by_chance([part.rows for part in slices if part.column == column]),
            )
        )
    return found


def calibration_score(
    logits: FloatArray,
    temperature: float,
    truth: IntArray,
    bins: int,
    *,
    bootstraps: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> CalibrationScore:
    """How far the probabilities can be trusted, with and without the temperature.

    Args:
        logits: ``[n, C]``, before the temperature.
        temperature: the model's, fitted on validation.
        truth: class indices, ``[n]``.
        bins: wanted bins.
        bootstraps: samples of the intervals.
        seed: of the bootstrap.
        groups: group of each row, drawn whole; None without groups.
    """
    prob = softmax(logits / temperature)
    bounds = reliability_bounds(
        prob, truth, bins, bootstraps=bootstraps, seed=seed, groups=None if groups is None else list(groups)
    )
    named = {"ece": bounds.ece, "nll": bounds.nll, "brier": bounds.brier}
    return CalibrationScore(
        temperature=temperature,
        ece=bounds.ece.point,
        ece_before=ece_debiased(softmax(logits), truth, bins),
        nll=bounds.nll.point,
        brier=bounds.brier.point,
        intervals={name: Interval(point=one.point, low=one.low, high=one.high) for name, one in named.items()},
        bins=[
            CalibrationBin(confidence=part.confidence, accuracy=part.accuracy, rows=part.rows)
            for part in reliability_bins(prob, truth, bins)
        ],
    )


def hardest_errors(
    test: TestRows,
    inputs: Inputs,
    prob: FloatArray,
    show: Callable[[str | bytes, int], Mapping[str, Any]],
    *,
    most: int = 20,
    text_length: int = 500,
) -> list[HardRow]:
    """The wrong rows the candidate was surest of, surest first.

    Args:
        test: the test rows.
        inputs: what is in them.
        prob: the candidate's probabilities, ``[n, C]``.
        show: the fields of a record that show a row, see :func:`acclimate.nn.shown.shown`.
        most: rows at most.
        text_length: characters after which texts are cut.
    """
    ids, predicted, confidence = test.rows.row_ids, prob.argmax(1), prob.max(1)
    wrong = np.flatnonzero(predicted != test.truth).tolist()
    return [
        HardRow(
            row_id=ids[row],
            **show(inputs[row], text_length),
            label=test.labels[test.truth[row]],
            predicted=test.labels[predicted[row]],
            confidence=float(confidence[row]),
        )
        for row in sorted(wrong, key=lambda row: (-confidence[row], ids[row]))[:most]
    ]


@dataclass(frozen=True)
class WrittenRows:
    """The test split of text generation; models have a score for each row, 0..1.

    Args:
        rows: the n rows.
        bootstraps: samples of each interval.
        seed: of the bootstrap.
    """

    rows: JudgedRows
    bootstraps: int
    seed: int

    def judge(self, rows: IntArray | None = None) -> MeanJudge:
        """What scores some of the rows; by default all."""
        groups = self.rows.groups
        if groups is not None and rows is not None:
            groups = [groups[row] for row in rows]
        return MeanJudge(self.bootstraps, self.seed, groups)

    def score(self, scores: FloatArray, rows: IntArray | None = None) -> Interval:
        """Mean of some rows' scores with its 95 % interval; by default of all."""
        bounds = self.judge(rows).score(scores if rows is None else scores[rows])
        return Interval(point=bounds.point, low=bounds.low, high=bounds.high)

    def by_chance(self, scores: FloatArray, slices: Sequence[IntArray]) -> float:
        """What best - worst of some slices stays below where all are answered alike, in 95 % of cases."""
        return slice_mean_range(scores, slices, bootstraps=self.bootstraps, seed=self.seed, groups=self.rows.groups)


def comparison_of_means(
    test: WrittenRows, scores: FloatArray, other: str, others: FloatArray, comparator: str
) -> Comparison:
    """Candidate - other on the same rows, as :func:`comparison`; with the sign test in the place of McNemar's.

    Both are the same test where scores are 0 or 1, and so is the power: the share of rows on which two classifiers
    disagree is the mean squared difference of their scores.

    Args:
        test: the test rows.
        scores: the candidate's, ``[n]``.
        other: name of what it is compared with.
        others: its scores, ``[n]``.
        comparator: name of the comparator.
    """
    difference = test.judge().difference(scores, others)
    signs = sign_test(scores, others)
    spread = float(((scores - others) ** 2).sum())
    p_value = signs.p_value if test.rows.groups is None else _p_by_group(scores, others, test.rows.groups)
    tested = _Tested(p_value, signs.a_higher, signs.b_higher, spread)
    return _compared(other, comparator, test.score(others), difference, tested, test.rows)


def scored_classes(
    found: ClassPredictions, temperature: float, *, metric: str, comparator: str, how: EvaluateSpec
) -> dict[str, Any]:
    """All that an evaluation says of classifiers' answers alone.

    Args:
        found: the answers.
        temperature: the candidate's.
        metric: the goal's.
        comparator: name of the comparator among the compared models.
        how: how they are judged.

    Returns:
        Fields of :class:`~acclimate.records.Evaluation`.
    """
    test = TestRows(found.rows, found.truth, found.labels, metric, how.bootstraps, how.seed)
    predicted = found.probabilities(temperature).argmax(axis=1).astype(np.int64)
    counts = confusion(found.truth, predicted, len(found.labels))
    slices = slices_of(found.rows.columns, how.min_slice)
    right = (predicted == found.truth).astype(np.float64)
    by_slice = slice_scores(slices, lambda rows: test.score(predicted, rows), right, found.truth, found.rows.groups)
    return {
        "metric": metric,
        "rows": len(found.rows),
        "groups": None if found.rows.groups is None else len(set(found.rows.groups)),
        "score": test.score(predicted),
        "comparisons": [comparison(test, predicted, other, rows, comparator) for other, rows in found.others.items()],
        "classes": class_scores(counts, found.labels),
        "slices": by_slice,
        "slices_left_out": too_small(found.rows.columns, how.min_slice),
        "disparities": disparities(slices, by_slice, lambda rows: test.by_chance(predicted, rows)),
        "labels": found.labels,
        "confusion": counts.tolist(),
        "calibration": calibration_score(
            found.logits.astype(np.float64),
            temperature,
            found.truth,
            how.bins,
            bootstraps=how.bootstraps,
            seed=how.seed,
            groups=found.rows.groups,
        ),
        "test_digest": test_digest(found.rows),
    }


def scored_answers(found: AnswerScores, *, metric: str, comparator: str, how: EvaluateSpec) -> dict[str, Any]:
    """The same of what language models wrote.

    Args:
        found: scores of their answers.
        metric: the goal's.
        comparator: name of the comparator among the compared models.
        how: how they are judged.
    """
    test = WrittenRows(found.rows, how.bootstraps, how.seed)
    slices = slices_of(found.rows.columns, how.min_slice)
    alike = np.zeros(len(found.scores), dtype=np.int64)
    by_slice = slice_scores(slices, lambda rows: test.score(found.scores, rows), found.scores, alike, found.rows.groups)
    return {
        "metric": metric,
        "rows": len(found.rows),
        "groups": None if found.rows.groups is None else len(set(found.rows.groups)),
        "score": test.score(found.scores),
        "comparisons": [
            comparison_of_means(test, found.scores, other, rows, comparator) for other, rows in found.others.items()
        ],
        "classes": [],
        "slices": by_slice,
        "slices_left_out": too_small(found.rows.columns, how.min_slice),
        "disparities": disparities(slices, by_slice, lambda rows: test.by_chance(found.scores, rows)),
        "labels": [],
        "confusion": [],
        "calibration": None,
        "test_digest": test_digest(found.rows),
    }


def robustness(
    test: TestRows, change: str, changed: IntArray, as_they_are: IntArray, other: tuple[IntArray, IntArray] | None
) -> Robustness:
    """Predictions on changed rows beside those on the rows as they are.

    Args:
        test: some of the test rows.
        change: what was done to them.
        changed: the candidate's class indices on the changed rows, ``[n]``.
        as_they_are: on the rows as they are, ``[n]``.
        other: both of the comparator; None where that is no model.
    """

    def lost(pair: tuple[IntArray, IntArray]) -> Interval:
        judge = Judge(test.metric, test.truth, len(test.labels), test.bootstraps, test.seed, test.rows.groups)
        bounds = judge.difference(*pair)
        return Interval(point=bounds.point, low=bounds.low, high=bounds.high)

    return Robustness(
        change=change,
        rows=len(test.truth),
        score=test.score(changed),
        lost=lost((changed, as_they_are)),
        comparator_lost=None if other is None else lost(other),
    )


def test_digest(rows: JudgedRows) -> str:
    """Identifies a set of test rows: sha256 of their ids, whatever their order."""
    return hashlib.sha256("\n".join(sorted(rows.row_ids)).encode()).hexdigest()


def overlap_with(test: Examples, fitted_on: Examples) -> int:
    """Test rows that are among those that the models of this run were trained on.

    What champion and source saw when they were made is told by :mod:`acclimate.nn.earlier_overlap`.
    """
    return len(set(test.row_ids) & set(fitted_on.row_ids))
