"""What people should know before they use a model: what it is for, what it is not for, where it is weak.

Each sentence is said only where the run's records hold the fact that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.core.licences import Grade, grade
from acclimate.records import Comparison, SliceScore
from acclimate.registry import Considerations, RunRecords, licence_of_run
from acclimate.report import numbers
from acclimate.report.safety import visible, without_credentials
from acclimate.report.task_words import model_name
from acclimate.report.wording import metric_name

_NAMED = 3
_NAME_LIMIT = 30


def considerations(records: RunRecords) -> Considerations:
    """What a model is for, what it is not for and its limits; the same records give the same sentences.

    Args:
        records: what the run produced. Names from the data are cut and shown on one line; they are not made inert.
    """
    return Considerations(_made_for(records), tuple(_not_for(records)), tuple(_limits(records)))


def primary(records: RunRecords) -> Comparison | None:
    """The comparison that decides: candidate - comparator."""
    return next((row for row in records.evaluation.comparisons if row.role == "comparator"), None)


def weakest(records: RunRecords) -> list[SliceScore]:
    """The slices with the lowest lower ends, lowest first."""
    slices = sorted(records.evaluation.slices, key=lambda row: (row.score.low, row.column, row.value))
    return slices[:_NAMED]


def _made_for(records: RunRecords) -> str:
    if records.data.is_generation:
        does = "Writing answers to prompts" if records.data.target.answers else "Going on with texts"
        return f"{does} like those of its target data."
    what = "images" if records.data.has_images else "texts"
    return f"Giving {what} like those of its target data one of {len(records.evaluation.labels)} labels."


def _not_for(records: RunRecords) -> Iterator[str]:
    yield from (_line(one, 200) for one in without_credentials(records.config.get("card", {}).get("not_for", [])))
    yield from _of_the_task(records)
    yield from _of_the_licence(records)
    yield from _short_of_the_goal(records)
    yield from _no_better(records)
    yield from _worse_slices(records)
    yield from _rare_slices(records)
    yield from _rare_labels(records)
    yield from _changed_inputs(records)
    yield from _source_task(records)


def _of_the_task(records: RunRecords) -> Iterator[str]:
    if records.data.is_generation:
        yield "Stating facts that nobody checks: nothing compares what it writes with facts."
        kind = "Prompts" if records.data.target.answers else "Texts"
    else:
        yield f"Inputs that none of its {len(records.evaluation.labels)} labels fits: it gives one all the same."
        kind = "Images" if records.data.has_images else "Texts"
    unlike = "origin or quality" if records.data.has_images else "language, subject or style"
    yield f"{kind} unlike its target data in {unlike}: it was tested on those data alone."


def _of_the_licence(records: RunRecords) -> Iterator[str]:
    licence = licence_of_run(records)
    if licence is not None and grade(licence) == Grade.NON_COMMERCIAL:
        yield f"Commercial use: it is under {_line(licence, 120)}."


def _short_of_the_goal(records: RunRecords) -> Iterator[str]:
    goal, score = records.config.get("goal", {}), records.evaluation.score
    wanted, lower = goal.get("at_least"), goal.get("at_least_by") == "lower"
    if wanted is not None and (score.low if lower else score.point) < wanted:
        name = metric_name(records.evaluation.metric)
        has = f"{numbers.score(score.point)} ({numbers.bounds(score)})"
        yield f"Uses that need the {name} that was asked for, {numbers.score(wanted)}: it has {has}."


def _no_better(records: RunRecords) -> Iterator[str]:
    for row in records.evaluation.comparisons:
        if row.role in {"comparator", "trivial", "control"} and row.low_one_sided <= 0:
            other = _line(model_name(row.other, records.data.task), 60)
            found = f"{numbers.signed(row.difference.point)} ({numbers.signed_bounds(row.difference)})"
            yield f"Taking the place of “{other}”: it is not shown to be better, {found}."


def _worse_slices(records: RunRecords) -> Iterator[str]:
    """Those whose whole interval lies below that of all rows."""
    whole = records.evaluation.score
    for row in weakest(records):
        if row.score.high < whole.low:
            score = f"{numbers.score(row.score.point)} ({numbers.bounds(row.score)})"
            yield f"Inputs with {_slice_name(row)}: it scores {score} there, {numbers.score(whole.point)} on the whole."


def _rare_slices(records: RunRecords) -> Iterator[str]:
    least = _fewest_rows(records)
    for column in records.data.target.slices[:_NAMED]:
        scored = sum(row.rows for row in records.evaluation.slices if row.column == column)
        if rest := records.evaluation.rows - scored:
            name = _line(column, _NAME_LIMIT)
            says = f"their {numbers.count(rest)} test rows are fewer than {least} each"
            yield f"Inputs with a rare value of {name}: {says}, and not scored apart."


def _rare_labels(records: RunRecords) -> Iterator[str]:
    least = _fewest_rows(records)
    rare = sorted(
        (row for row in records.evaluation.classes if row.rows < least), key=lambda row: (row.rows, row.label)
    )
    if rare:
        named = ", ".join(_line(row.label, _NAME_LIMIT) for row in rare[:_NAMED])
        more = f" and {len(rare) - _NAMED} more" if len(rare) > _NAMED else ""
        yield f"Finding {named}{more}: fewer than {least} test rows each show how well it does."


def _changed_inputs(records: RunRecords) -> Iterator[str]:
    for row in records.evaluation.robustness:
        if row.lost.high < 0:
            lost = f"{numbers.signed(row.lost.point)} ({numbers.signed_bounds(row.lost)})"
            yield f"Inputs with {row.change}, if the score has to hold: it changes by {lost}."


def _source_task(records: RunRecords) -> Iterator[str]:
    kept = records.evaluation.retention
    if kept is not None and kept.change.high < 0:
        change = f"{numbers.signed(kept.change.point)} ({numbers.signed_bounds(kept.change)})"
        yield f"The source model’s own task: what it knew of it has changed by {change}."


def _limits(records: RunRecords) -> Iterator[str]:
    evaluation, deciding = records.evaluation, primary(records)
    if records.data.is_generation:
        yield "What it writes is not checked against anything: it can be wrong and sound certain."
    for row in weakest(records):
        score = f"{numbers.score(row.score.point)} ({numbers.bounds(row.score)})"
        yield f"Weakest slice: {_slice_name(row)}, {score} on {numbers.count(row.rows)} rows."
    if deciding is not None and deciding.underpowered:
        needed = f": it takes {numbers.count(deciding.rows_needed)}" if deciding.rows_needed else ""
        yield f"{numbers.count(evaluation.rows)} test rows are too few to show the difference that decides{needed}."
    kept = evaluation.retention
    if kept is None:
        yield "What it still knows of the source model’s own task was not measured."
    elif kept.low_one_sided < 0 <= kept.change.high:
        yield f"Of the source model’s own task it may have lost up to {numbers.score(-kept.low_one_sided)}."
    near, overlap = evaluation.near_duplicates, evaluation.overlap_rows
    yield f"{near} near-duplicates lie across splits; {overlap} test rows were in a compared model's training data."
    for name, rows in evaluation.earlier_overlap_rows.items():
        known = "not known" if rows is None else rows
        yield f"Test rows that look like ones the {name} was trained on when it was made: {known}."


def _fewest_rows(records: RunRecords) -> int:
    """Below it a slice is not scored apart."""
    return int(records.config["evaluate"]["min_slice"])


def _slice_name(row: SliceScore) -> str:
    return f"{_line(row.column, _NAME_LIMIT)} = {_line(row.value, _NAME_LIMIT)}"


def _line(text: str, limit: int) -> str:
    return visible(" ".join(text.split()))[:limit]
