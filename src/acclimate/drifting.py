"""``acclimate drift`` and the dry run of a retraining: what is asked on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.config_base import DataSpec
from acclimate.config_file import resolve_data_path
from acclimate.config_file.addresses import scheme_of
from acclimate.execution import Context
from acclimate.local_run import clean, load_request, new_run_id, run
from acclimate.outcome import RunResult
from acclimate.ports import Progress, silent
from acclimate.records_retrain import DriftReport, RetrainDecision
from acclimate.retraining import check_step, drift_step
from acclimate.steps import open_context

DRIFTED = 10
SHOWN_CHARACTERS = 100


def drift_of(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    fresh: str | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare fresh rows with the champion's target.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        fresh: fresh rows, in the columns of ``retrain.fresh``, else of the target; a path relative to the working
            directory. None takes ``retrain.fresh``, else the target's rows the champion has not seen.
        allow_outside: data may lie outside the project root.
        progress: told of every event.

    Returns:
        The report as plain data; ``drifted`` is the answer.

    Raises:
        ModelError: E-DRIFT-003, there is no champion.
        DataError: the fresh rows can't be used.
    """

    def measure(context: Context) -> Path:
        return drift_step(context, _spec(context, fresh) if fresh else None)

    folder = _alone(path, overrides, measure, allow_outside=allow_outside, progress=progress)
    return DriftReport.read(folder).model_dump(mode="json")


def check_of(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    forced: bool = False,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Decide whether to train again, as the first step of the retrain pipeline does.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        forced: train again whatever the triggers and the cool-down say.
        allow_outside: data may lie outside the project root.
        progress: told of every event.

    Returns:
        The decision as plain data.
    """

    def decide(context: Context) -> Path:
        return check_step(context, forced=forced)

    folder = _alone(path, overrides, decide, allow_outside=allow_outside, progress=progress)
    return RetrainDecision.read(folder).model_dump(mode="json")


def _alone(
    path: str | Path,
    overrides: Sequence[str],
    step: Callable[[Context], Path],
    *,
    allow_outside: bool,
    progress: Progress,
) -> Path:
    request = load_request(path, overrides, allow_outside=allow_outside)
    context = replace(open_context(request, new_run_id()), progress=progress)
    try:
        return step(context)
    finally:
        clean(context)


def _spec(context: Context, fresh: str) -> DataSpec:
    """Fresh rows named on the command line: the columns as configured, nothing split or sliced."""
    request = context.request
    like = request.adaptation.retrain.fresh or request.adaptation.target
    data = fresh
    if scheme_of(fresh) is None:
        data = str(resolve_data_path(fresh, Path.cwd(), request.root, request.allow_outside))
    return like.model_copy(update={"data": data, "format": None, "split": None, "slices": []})


def drift_text(report: dict[str, Any]) -> str:
    """A drift report for people."""
    found = DriftReport.model_validate(report)
    lines = [f"drift      {found.verdict}, against {found.champion}"]
    if found.p_value is not None:
        lines.append(
            f"test       p = {found.p_value:.3g}, level {found.alpha:g} (MMD on the source model's embeddings)"
        )
    if found.units is not None:
        low, high = found.units.low, found.units.high
        size = f"{found.units.point:.1f} gap units ({low:.1f} to {high:.1f}), {found.rows_compared} rows a side"
        lines.append(f"size       {size}; 1 is noise")
    if found.fresh_rows:
        lines.append(f"rows       {found.fresh_rows:,} fresh, {found.held_out_rows:,} held out by the champion")
    lines += [f"note       {note}" for note in found.notes]
    if found.furthest:
        lines.append("furthest fresh rows")
        lines += [f"  {row.distance:.2f}  {_one_line(row.text) or row.row_id[:16]}" for row in found.furthest]
    return "\n".join(lines)


def check_text(decision: dict[str, Any]) -> str:
    """A decision about training again for people."""
    found = RetrainDecision.model_validate(decision)
    lines = [f"retrain    {'yes' if found.action == 'retrain' else 'no'}: {found.reason}"]
    lines += [f"  {'fired' if one.fired else 'quiet':<7}{one.name:<17}{one.says}" for one in found.triggers]
    return "\n".join(lines)


def retrain(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> RunResult:
    """Decide whether to train again and, where there is a reason, do; on this machine.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.
        progress: told of every event of every step.

    Returns:
        As :func:`acclimate.local_run.run`; the summary holds the decision under ``retrain``, and nothing else where
        there is nothing to do.
    """
    return run(path, overrides, pipeline="retrain", allow_outside=allow_outside, progress=progress)


def _one_line(text: str) -> str:
    """A text on one line, nothing in it that a terminal would act on."""
    plain = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return plain if len(plain) <= SHOWN_CHARACTERS else f"{plain[: SHOWN_CHARACTERS - 1]}…"
