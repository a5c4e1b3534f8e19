"""The commands that ask the registry. Each is thin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli_edge import Debug, Json, guarded, print_result

PANEL = "The registry"
gate_app = typer.Typer(help="What the gate asks for, what it said of a registered model, and why.")

Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="workspace whose registry is asked where MLFLOW_TRACKING_URI names no server; by default .acclimate",
    ),
]
Reference = Annotated[
    str, typer.Argument(help="the model: NAME for its highest version, NAME@champion, or NAME/7 for a version")
]


def models(
    name: Annotated[str, typer.Argument(help="name of the registered model, as in adaptation.yaml")],
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the versions of a registered model."""
    from acclimate.lookup import models as listing
    from acclimate.lookup import models_text

    def action() -> int:
        found = listing(name, workspace)
        print_result(found, as_json, lambda: models_text(found))
        return 0

    guarded(action, as_json, debug)


def lineage(name: Reference, workspace: Workspace = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show the way from a registered model back to its source."""
    from acclimate.lookup import lineage as trace
    from acclimate.lookup import lineage_text

    def action() -> int:
        found = trace(name, workspace)
        print_result(found, as_json, lambda: lineage_text(found))
        return 0

    guarded(action, as_json, debug)


@gate_app.command("explain")
def explain(name: Reference, workspace: Workspace = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show a model's verdict check by check, with the numbers each looked at.

    It is read from the registry, and checked against the sha256 that the version was registered with.
    """
    from acclimate.lookup import explain as explained
    from acclimate.lookup import explain_text

    def action() -> int:
        found = explained(name, workspace)
        print_result(found, as_json, lambda: explain_text(found))
        return 0

    guarded(action, as_json, debug)


@gate_app.command("replay")
def replay(name: Reference, workspace: Workspace = None, as_json: Json = False, debug: Debug = False) -> None:
    """Compute a model's verdict again from the stored predictions, and compare.

    Scores, intervals, comparisons, slices and calibration follow from the predictions, the checks from them. What does
    not follow from predictions is taken as it was stored, and named.
    """
    from acclimate.replaying import replay as replayed
    from acclimate.replaying import replay_text

    def action() -> int:
        found = replayed(name, workspace)
        print_result(found, as_json, lambda: replay_text(found))
        return 0

    guarded(action, as_json, debug)


@gate_app.command("policy")
def policy(
    name: Annotated[str, typer.Argument(help="standard, strict or medical")] = "standard", debug: Debug = False
) -> None:
    """Print a gate policy as YAML: what it requires, and from where on a check fails.

    To write your own, save it under another name, change it, and name its file in gate.policy.
    """
    from acclimate.config_file import policy_text

    def action() -> int:
        sys.stdout.write(policy_text(name))
        return 0

    guarded(action, as_json=False, debug=debug)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (models, lineage):
        app.command(rich_help_panel=PANEL)(command)
    app.add_typer(gate_app, name="gate", no_args_is_help=True, rich_help_panel=PANEL)
