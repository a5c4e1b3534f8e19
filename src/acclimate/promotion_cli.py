"""The commands that move a registered model's champion and challenger. Each is thin."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from acclimate.cli_edge import Debug, Json, guarded, print_result
from acclimate.registry_cli import PANEL, Place, Reference, Workspace

Reason = Annotated[str, typer.Option("--reason", help="why; it is kept in the promotion log")]
By = Annotated[str | None, typer.Option("--by", help="who does it; by default this account's name")]
Expect = Annotated[
    str | None,
    typer.Option("--expect", metavar="VERSION", help="do it only while this version, or none, is the champion"),
]
Name = Annotated[str, typer.Argument(help="name of the registered model, as in adaptation.yaml")]


def promote(
    name: Reference,
    reason: Reason,
    by: By = None,
    expect: Expect = None,
    promotions: Place = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a version the champion. Exit code 10: the gate does not let it.

    It is done only while the version it was compared with is still the champion; else exit code 75: run again.
    """
    from acclimate.promoting import moved_text
    from acclimate.promoting import promote as act

    def action() -> int:
        found = act(name, by, reason, expect, workspace, promotions)
        print_result(found, as_json, lambda: moved_text(found))
        return 0

    guarded(action, as_json, debug)


def rollback(
    name: Name,
    reason: Reason,
    by: By = None,
    expect: Expect = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="an earlier champion, or none; by default the one before. The recorded champion where somebody moved "
            "the alias in MLflow",
        ),
    ] = None,
    promotions: Place = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the champion before the champion again."""
    from acclimate.promoting import moved_text
    from acclimate.promoting import rollback as act

    def action() -> int:
        found = act(name, by, reason, expect, to, workspace, promotions)
        print_result(found, as_json, lambda: moved_text(found))
        return 0

    guarded(action, as_json, debug)


def shadow(
    name: Reference,
    reason: Reason,
    by: By = None,
    promotions: Place = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a version the challenger, to run beside the champion. Exit code 10: the gate does not let it."""
    from acclimate.promoting import shadow as act

    def action() -> int:
        found = act(name, by, reason, workspace, promotions)
        print_result(found, as_json, lambda: f"version {found['version']} of {found['name']} is the challenger now")
        return 0

    guarded(action, as_json, debug)


def approve(
    name: Reference,
    by: Annotated[str, typer.Option("--by", help="who answers for it; the policy may name who may")],
    reason: Reason,
    promotions: Place = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer for a version whose policy asks for an approval; promote it then. Exit code 10: it is not yours to do."""
    from acclimate.promoting import approve as act
    from acclimate.promoting import approved_text

    def action() -> int:
        found = act(name, by, reason, workspace, promotions)
        print_result(found, as_json, lambda: approved_text(found))
        return 0

    guarded(action, as_json, debug)


def recall(
    source: Annotated[
        str | None,
        typer.Argument(help="SOURCE@REVISION or SOURCE as lineage shows it, its digest, or a model NAME/VERSION"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIGEST", help="of rows, as lineage shows it, or its beginning"),
    ] = None,
    block: Annotated[
        bool,
        typer.Option(
            "--block",
            help="take the aliases of all of them, and let neither them nor what is made from it later have any; "
            "needs --reason",
        ),
    ] = False,
    lift: Annotated[bool, typer.Option("--lift", help="undo --block; no alias comes back by itself")] = False,
    reason: Annotated[str, typer.Option("--reason", help="why; it is kept in the promotion log")] = "",
    by: By = None,
    promotions: Place = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List every live model made from a source model or from data, in steps too, and block them if asked to.

    Blocking and lifting do what they can; what could not be done is told at the end.
    """
    from acclimate.promoting import recall as act
    from acclimate.promoting import recall_text

    def action() -> int:
        if block and lift:
            raise typer.BadParameter("--block and --lift undo each other: give one of them")
        wanted: Literal["list", "block", "lift"] = "block" if block else "lift" if lift else "list"
        found = act(source, data, act=wanted, by=by, reason=reason, workspace=workspace, promotions=promotions)
        print_result(found, as_json, lambda: recall_text(found))
        return 0

    guarded(action, as_json, debug)


def history(
    name: Name, promotions: Place = None, workspace: Workspace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Show who promoted, rolled back and approved what, when and why.

    The log is checked first: an entry that was changed, taken out or added is found.
    """
    from acclimate.promoting import history as found_in
    from acclimate.promoting import history_text

    def action() -> int:
        found = found_in(name, workspace, promotions)
        print_result(found, as_json, lambda: history_text(found))
        return 0

    guarded(action, as_json, debug)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (promote, rollback, shadow, approve, recall, history):
        app.command(rich_help_panel=PANEL)(command)
