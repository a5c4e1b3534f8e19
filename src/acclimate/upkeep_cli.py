"""The commands that keep an adapted model current, and its workspace small. Each is thin."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from acclimate.cli_edge import ConfigFile, Debug, Json, Outside, Overrides, guarded, print_result
from acclimate.terminal import progress_for

PANEL = "Upkeep"


def drift(
    path: ConfigFile,
    fresh: Annotated[
        str | None,
        typer.Option(
            "--fresh",
            help="fresh rows: a path, s3://BUCKET/KEY or dvc://PATH; by default retrain.fresh in the file, else the "
            "target's rows that the champion has not seen",
        ),
    ] = None,
    fail_on_drift: Annotated[
        bool, typer.Option("--fail-on-drift", help="end with exit code 10 when the rows have drifted")
    ] = False,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure whether fresh rows still look like the data that the champion was made for; trains nothing."""
    from acclimate.drifting import DRIFTED, drift_of, drift_text

    def action() -> int:
        progress = progress_for(sys.stderr)
        try:
            found = drift_of(path, overrides or [], fresh=fresh, allow_outside=allow_outside, progress=progress)
        finally:
            progress.close()
        print_result(found, as_json, lambda: drift_text(found))
        return DRIFTED if fail_on_drift and found["drifted"] else 0

    guarded(action, as_json, debug)


def retrain(
    path: ConfigFile,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train again on this machine if there is a reason to. Exit code 10: the gate refused.

    The reasons are the triggers in the file's section retrain. A cluster does the same by acclimate schedule create.
    """
    from acclimate.drifting import check_text
    from acclimate.drifting import retrain as start
    from acclimate.report.summary import summary_text

    def action() -> int:
        progress = progress_for(sys.stderr)
        try:
            done = start(path, overrides or [], allow_outside=allow_outside, progress=progress)
        finally:
            progress.close()

        def text() -> str:
            decision = check_text(done.summary["retrain"])
            return decision if len(done.summary) == 1 else f"{decision}\n\n{summary_text(done.summary)}"

        print_result(done.summary, as_json, text)
        return int(done.exit_code)

    guarded(action, as_json, debug)


def gc(
    workspace: Annotated[str, typer.Argument(help="the workspace: a folder or s3://BUCKET/PREFIX")] = ".acclimate",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    keep_days: Annotated[
        int, typer.Option("--keep-days", help="keep what is younger than so many days; 0 only while nothing runs")
    ] = 7,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Delete from a workspace what no run needs any more.

    These are half-done outputs, discarded stages, old checkpoints, bytes that nothing refers to, and uploads that were
    never finished.
    """
    from acclimate.collecting import gc as collect

    def action() -> int:
        found = collect(workspace, dry_run=dry_run, keep_days=keep_days)
        print_result(found, as_json, lambda: _gc_text(found))
        return 0

    guarded(action, as_json, debug)


def _gc_text(found: dict[str, Any]) -> str:
    verb = "would delete" if found["dry_run"] else "deleted"
    lines = [f"{kind:<24}{size / 1e6:10.1f} MB" for kind, size in sorted(found["bytes_by_kind"].items())]
    return "\n".join([*lines, f"{verb} {len(found['removed'])} things, {found['bytes'] / 1e6:.1f} MB"])


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (drift, retrain, gc):
        app.command(rich_help_panel=PANEL)(command)
