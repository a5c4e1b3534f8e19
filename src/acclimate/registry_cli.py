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

Place = Annotated[
    str | None,
    typer.Option(
        "--promotions",
        help="where promotions are recorded, a folder or s3://BUCKET/PREFIX; by default ACCLIMATE_PROMOTIONS, else "
        "promotions in the workspace",
    ),
]


def models(
    name: Annotated[
        str | None, typer.Argument(help="name of the registered model, as in adaptation.yaml; by default all are named")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the versions of a registered model, or the models that there are."""
    from acclimate.lookup import models as listing
    from acclimate.lookup import models_text

    def action() -> int:
        found = listing(name, workspace)
        print_result(found, as_json, lambda: models_text(found))
        return 0

    guarded(action, as_json, debug)


def lineage(
    name: Reference,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="write it as a page with a graph, for browsers; nothing is loaded"),
    ] = None,
    cyclonedx: Annotated[
        Path | None,
        typer.Option(
            "--cyclonedx",
            metavar="FILE",
            help="write it as a bill of materials, CycloneDX 1.6 as JSON; the same model gives the same file",
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the way from a registered model back to its source, or write it to a file."""
    from acclimate.lookup import lineage as trace
    from acclimate.lookup import lineage_file, lineage_text

    def action() -> int:
        if html or cyclonedx:
            written = lineage_file(name, workspace, html=html, cyclonedx=cyclonedx)
            print_result(written, as_json, lambda: f"{written['model_uri']} -> {written['path']}")
        else:
            found = trace(name, workspace)
            print_result(found, as_json, lambda: lineage_text(found))
        return 0

    guarded(action, as_json, debug)


def verify(
    name: Reference,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project",
            help="folder that local data and models were named relative to; by default the nearest folder upwards with "
            ".git or dvc.yaml",
        ),
    ] = None,
    workspace: Workspace = None,
    promotions: Place = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hash again everything that a model came from, and the models it was adapted from.

    The verdict, the predictions it follows from, the weights, the promotion log, every data file and the source model.
    The exit code is 76 if something changed, 75 if something was not found.
    """
    from acclimate.verifying import EXITS, verify_text
    from acclimate.verifying import verify as verified

    def action() -> int:
        found = verified(name, workspace, promotions, project)
        print_result(found, as_json, lambda: verify_text(found))
        return EXITS[found["outcome"]]

    guarded(action, as_json, debug)


@gate_app.command("explain")
def explain(
    name: Reference, promotions: Place = None, workspace: Workspace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Show a model's verdict check by check, with the numbers each looked at, who let it, and the way back.

    The verdict is read from the registry, and checked against the sha256 that the version was registered with. Who
    promoted, approved or recalled it is read from the promotion log.
    """
    from acclimate.lookup import explain as explained
    from acclimate.lookup import explain_text

    def action() -> int:
        found = explained(name, workspace, promotions)
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
    for command in (models, lineage, verify):
        app.command(rich_help_panel=PANEL)(command)
    app.add_typer(gate_app, name="gate", no_args_is_help=True, rich_help_panel=PANEL)
