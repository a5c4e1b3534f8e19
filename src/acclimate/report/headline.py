"""The first line of a report: what came out, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from acclimate.records import Registration
from acclimate.report.safety import without_credentials
from acclimate.report.standing import to_approve
from acclimate.report.view import ReportView
from acclimate.report.wording import STAGES, TONES, VERDICTS

DEFAULT_WORKSPACE = ".acclimate"


@dataclass(frozen=True)
class Headline:
    """The outcome in one word and one sentence, and the next step.

    Args:
        word: PROMOTE, SHADOW, HOLD, REJECT, STOPPED, IDLE or PLANNED.
        tone: good, fair, bad or calm.
        meaning: what the word means here.
        next_step: what to do now, in words.
        command: what to type to use what there is now, or to go on; empty when nothing is to be used yet.
    """

    word: str
    tone: str
    meaning: str
    next_step: str
    command: str


def headline(view: ReportView) -> Headline:
    """Outcome and next step of a run, however far it came."""
    if view.error is not None:
        return _stopped(view)
    if view.verdict is not None:
        word = view.verdict.verdict
        uri = view.registration.model_uri if view.registration else None
        told = _in_the_way(view.registration) if view.registration else None
        usable = uri and word in {"PROMOTE", "SHADOW"} and not told
        rows = "FOLDER" if view.data.has_images else "DATA.csv"
        command = f"acclimate predict {uri} {rows}{workspace_option(view)}" if usable else ""
        version = view.registration.version if view.registration else None
        step = view.verdict.next_step
        if version is not None and view.verdict.if_approved == "PROMOTE":
            step = to_approve(view.name, version)
        if told:  # beside a refusal it is a warning, else it is what to do instead
            step = f"{step} {told}" if word in {"REJECT", "HOLD"} else told
        return Headline(word, TONES[word], VERDICTS[word], step, command)
    if view.retrain is not None and view.retrain.action == "nothing":
        return Headline("IDLE", "calm", view.retrain.reason, "", "")
    return _planned(view)


def _in_the_way(registration: Registration) -> str | None:
    """What to know of the registered version before it is used; None: nothing."""
    if registration.recalled:
        return (
            f"Version {registration.version} is registered without alias and gets none, for it was recalled "
            f"by {without_credentials(registration.recalled)}. If that does not hold any more: acclimate recall --lift."
        )
    return registration.other_weights


def workspace_option(view: ReportView) -> str:
    """The option that lets a command find the embedded registry from any folder."""
    workspace = str(view.config.get("workspace") or DEFAULT_WORKSPACE)
    served = (view.config.get("tracking") or {}).get("uri")
    return "" if served or workspace == DEFAULT_WORKSPACE else f" --workspace {shlex.quote(workspace)}"


def _stopped(view: ReportView) -> Headline:
    error = without_credentials(dict(view.error or {}))
    stage = view.stopped_at or ""
    meaning = f"While {STAGES.get(stage, stage)}: {error.get('message', '')}"
    return Headline("STOPPED", "bad", meaning, str(error.get("hint") or "Read the error below, then run again."), "")


def _planned(view: ReportView) -> Headline:
    command = without_credentials(view.command).replace("acclimate plan ", "acclimate run ", 1)
    if view.decision is not None and view.evaluation is None:
        step = "Run the whole pipeline to train and judge it."
        return Headline("PLANNED", "calm", view.decision.reason, step, command)
    done = "evaluated" if view.evaluation else "measured"
    step = "Run the whole pipeline to finish it."
    return Headline("PLANNED", "calm", f"The adaptation was {done} in part.", step, command)
