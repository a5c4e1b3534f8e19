"""How a run shows itself: a live line a stage on a terminal, JSON lines without one."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from acclimate.errors import AcclimateError, Problem

COUNT_STEPS = 5
STAGE_TITLES = {
    "ingest": "ingest    read, check and split the data",
    "gap": "gap       how far the data lie from what the model knows",
    "baseline": "baseline  frozen features, a small head, and controls",
    "decide": "decide    whether and how to fine-tune",
    "finetune": "finetune  train the arms and pick one",
    "evaluate": "evaluate  judge the candidate on the test split",
    "register": "register  the gate, and the registry",
}


class TerminalProgress:
    """A line for each finished stage and a moving one for the running stage.

    Args:
        stream: the terminal; it is kept, so a later redirection of standard error does not reach it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False)
        self.status: Status | None = None
        self.stage = ""

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Show one event."""
        if event == "stage_started":
            self.stage = str(fields["stage"])
            self._show(STAGE_TITLES.get(self.stage, self.stage))
        elif event == "stage_done":
            self.close()
            title = STAGE_TITLES.get(str(fields["stage"]), str(fields["stage"]))
            took = "reused" if fields["reused"] else f"{float(fields['seconds']):.1f} s"
            self.console.print(f"[green]✓[/green] {escape(title)}  [dim]{took}[/dim]")
        elif event == "warning":
            self.console.print(f"[yellow]![/yellow] {escape(str(fields['says']))}")
        else:
            self._show(f"{self.stage:<9} {_line(event, fields)}")

    def _show(self, text: str) -> None:
        if not self.console.is_terminal:
            return
        if self.status is None:
            self.status = self.console.status(escape(text))
            self.status.start()
        else:
            self.status.update(escape(text))

    def close(self) -> None:
        """Take the moving line away."""
        if self.status is not None:
            self.status.stop()
            self.status = None


class JsonProgress:
    """One JSON object a line, for machines and logs; counts (``done`` of ``of``) in steps of a fifth.

    Args:
        stream: kept, so a later redirection of standard error does not reach it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.started = time.monotonic()
        self.counted: tuple[str, int] = ("", 0)

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Write one event with the seconds since the start."""
        if "done" in fields and "of" in fields:
            counted = (event, COUNT_STEPS * int(fields["done"]) // max(1, int(fields["of"])))
            if counted == self.counted:
                return
            self.counted = counted
        at = round(time.monotonic() - self.started, 2)
        self.stream.write(json.dumps({"at": at, "event": event, **fields}) + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Nothing is held."""


def progress_for(stream: TextIO) -> TerminalProgress | JsonProgress:
    """Live lines on a terminal, JSON lines elsewhere."""
    return TerminalProgress(stream) if stream.isatty() else JsonProgress(stream)


def _line(event: str, fields: dict[str, Any]) -> str:
    if event == "epoch":
        score, loss = fields.get("score"), fields.get("train_loss")
        numbers = f"loss {loss:.3f}, score {score:.3f}" if score is not None and loss is not None else ""
        what = "pretraining epoch" if fields.get("schedule") == "pretraining" else "epoch"
        return f"{fields.get('strategy')}: {what} {fields.get('epoch')} of {fields.get('of')}  {numbers}"
    if "done" in fields and "of" in fields:
        return f"{event.replace('_', ' ')} {fields['done']} of {fields['of']}"
    return str(fields.get("says", event.replace("_", " ")))


def error_text(error: AcclimateError) -> str:
    """An error as short blocks: code and message, place, hint; all problems at once."""
    return "\n".join(_block(problem) for problem in error.problems)


def _block(problem: Problem) -> str:
    lines = [f"{problem.code}  {problem.message}"]
    if problem.where:
        lines.append(f"  where: {problem.where}")
    if problem.hint:
        lines.append(f"  to do: {problem.hint}")
    return "\n".join(lines)
