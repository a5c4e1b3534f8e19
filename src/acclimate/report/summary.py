"""The outcome as one object for machines, and as a few lines for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acclimate.report import numbers
from acclimate.report.headline import headline
from acclimate.report.safety import visible, without_credentials
from acclimate.report.task_words import baseline_words, model_name
from acclimate.report.view import ReportView
from acclimate.report.wording import GAPS, metric_name

Summary = dict[str, Any]


def summary(view: ReportView, report_path: Path | None = None) -> Summary:
    """What a run found, as plain data; absent values are None.

    Args:
        view: the run, however far it came.
        report_path: where the report lies.

    Returns:
        Objects ``gap``, ``baseline``, ``decision``, ``result``, ``gain``, ``seconds`` and ``error``, the list
        ``arms``, and values; every number as in the records, unrounded.
    """
    gap, baseline, decision, result = view.gap, view.baseline, view.decision, view.evaluation
    registration, primary, following = view.registration, view.primary, headline(view)
    return {
        "name": view.name,
        "run_id": view.run_id,
        "run_key": view.run_key,
        "task": view.data.task,
        "metric": view.metric,
        "setting": gap.setting if gap else None,
        "gap": {"verdict": gap.verdict if gap else None, "units": gap.units if gap else None},
        "baseline": {"score": baseline.score.point if baseline else None},
        "decision": {"strategy": decision.strategy if decision else None, "rule": decision.rule if decision else None},
        "arms": _arms(view),
        "result": {
            "strategy": result.strategy if result else None,
            "rule": result.handed_on.says if result and result.handed_on else None,
            "score": result.score.point if result else None,
            "score_low": result.score.low if result else None,
            "score_high": result.score.high if result else None,
        },
        "gain": {
            "over": result.comparator if result and primary else None,
            "difference": primary.difference.point if primary else None,
            "low": primary.difference.low if primary else None,
            "high": primary.difference.high if primary else None,
        },
        "verdict": view.verdict.verdict if view.verdict else None,
        "reasons": list(view.verdict.reasons) if view.verdict else [],
        "next_step": following.next_step or None,
        "next_command": following.command or None,
        "model_uri": registration.model_uri if registration else None,
        "report_path": str(report_path.resolve()) if report_path else None,
        "seconds": dict(view.seconds),
        "error": _error(view),
    }


def _arms(view: ReportView) -> list[Summary]:
    if view.finetune is not None:
        # the one that is handed on, where that is known by now
        own = view.evaluation.strategy if view.evaluation else view.finetune.chosen
        arms = [(a.strategy, a.score.point, a.role == "arm" and a.strategy == own) for a in view.finetune.arms]
    elif view.baseline is not None and view.decision is not None and view.decision.action == "freeze":
        arms = [("frozen", view.baseline.validation_score.point, True)]
    else:
        arms = []
    return [
        {"strategy": strategy, "score": score, "seconds": view.arm_seconds(strategy), "chosen": chosen}
        for strategy, score, chosen in arms
    ]


def _error(view: ReportView) -> Summary | None:
    if view.error is None:
        return None
    named = {key: view.error.get(key, "") for key in ("code", "message", "where", "hint")}
    return {"stage": view.stopped_at, **without_credentials(named)}


def summary_text(found: Summary) -> str:
    """The summary as aligned lines for a terminal.

    The text holds names and paths of users: print it without markup.

    Args:
        found: what :func:`summary` gave.
    """
    lines = [
        ("gap", _gap_line(found)),
        ("baseline", _score_line(found["metric"], found["baseline"]["score"], baseline_words(found["task"]))),
        ("decision", _decision_line(found)),
        ("result", _result_line(found)),
        ("", found["result"]["rule"]),
        ("verdict", found["verdict"]),
        *(("because", reason) for reason in found.get("reasons", [])),
        ("error", _error_line(found["error"])),
        *(("warning", warning) for warning in found.get("warnings", [])),
        ("report", found["report_path"]),
        ("model", found["model_uri"]),
        ("next", found["next_step"]),
        ("command", found["next_command"]),
    ]
    return "\n".join(f"{name:<9} {' '.join(visible(text).split())}" for name, text in lines if text)


def _gap_line(found: Summary) -> str | None:
    verdict, units = found["gap"]["verdict"], found["gap"]["units"]
    if verdict is None:
        return None
    measured = "" if units is None else f", {numbers.units(units)} gap units"
    return f"{GAPS[verdict]}{measured} ({found['setting']})"


def _score_line(metric: str, score: float | None, remark: str) -> str | None:
    return None if score is None else f"{metric_name(metric)} {numbers.score(score)} ({remark})"


def _decision_line(found: Summary) -> str | None:
    decision = found["decision"]
    if decision["strategy"] is None:
        return None
    chosen = [arm["strategy"] for arm in found["arms"] if arm["chosen"]]
    took = f"; chosen: {model_name(chosen[0], found['task'])}" if chosen else ""
    return f"{decision['strategy']} (rule {decision['rule']}){took}"


def _result_line(found: Summary) -> str | None:
    result, gain = found["result"], found["gain"]
    if result["score"] is None:
        return None
    ends = f"{numbers.score(result['score_low'])} to {numbers.score(result['score_high'])}"
    line = f"{metric_name(found['metric'])} {numbers.score(result['score'])} ({ends}) on the test rows"
    return line if gain["over"] is None else f"{line}, {numbers.signed(gain['difference'])} over {gain['over']}"


def _error_line(error: Summary | None) -> str | None:
    if error is None:
        return None
    where = f" [{error['where']}]" if error["where"] else ""
    return f"{error['code']} at {error['stage']}: {error['message']}{where}"
