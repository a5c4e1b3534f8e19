"""The command line. Each command is thin: it calls one function and prints what that returned."""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate import cluster_cli, upkeep_cli
from acclimate.cli_edge import ConfigFile, Debug, Json, Outside, Overrides, guarded, print_result
from acclimate.terminal import progress_for
from acclimate.version import __version__

app = typer.Typer(
    name="acclimate",
    help="Adapt a pretrained model to your own data, and show why it was done that way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="The configuration: its schema, and a file as acclimate understands it.")
app.add_typer(config_app, name="config", no_args_is_help=True)

Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="workspace with the registry; by default the server, else .acclimate")
]


class Stage(StrEnum):
    """The stages that can be run alone."""

    INGEST = "ingest"
    GAP = "gap"
    BASELINE = "baseline"
    DECIDE = "decide"
    FINETUNE = "finetune"
    EVALUATE = "evaluate"
    REGISTER = "register"


def _show_run(start: Callable[..., Any], path: Path, overrides: list[str] | None, outside: bool, as_json: bool) -> int:
    from acclimate.report.summary import summary_text

    progress = progress_for(sys.stderr)
    try:
        result = start(path, overrides or [], allow_outside=outside, progress=progress)
    finally:
        progress.close()
    print_result(result.summary, as_json, lambda: "\n" + summary_text(result.summary))
    return int(result.exit_code)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="file to write")] = Path("adaptation.yaml"),
    debug: Debug = False,
) -> None:
    """Write a commented adaptation.yaml to start from."""
    from acclimate.config_file import write_init

    def action() -> int:
        write_init(path)
        sys.stdout.write(f"wrote {path}; edit it, then: acclimate validate {path}\n")
        return 0

    guarded(action, as_json=False, debug=debug)


@app.command()
def validate(
    path: ConfigFile,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the configuration, the source model and the data, without loading any weights."""
    from acclimate.checks import validate as check

    def action() -> int:
        found = check(path, overrides or [], allow_outside=allow_outside)
        labels = ", ".join(found["labels"])
        print_result(found, as_json, lambda: f"{path} is valid: {found['rows']} rows, labels {labels}")
        return 0

    guarded(action, as_json, debug)


@app.command()
def plan(
    path: ConfigFile,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run up to the decision: what would be done, why and at what cost, without training."""
    from acclimate.local_run import plan as start

    guarded(lambda: _show_run(start, path, overrides, allow_outside, as_json), as_json, debug)


@app.command()
def run(
    path: ConfigFile,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run the whole pipeline on this machine. Exit code 10: the gate refused."""
    from acclimate.local_run import run as start

    guarded(lambda: _show_run(start, path, overrides, allow_outside, as_json), as_json, debug)


@app.command()
def stage(
    name: Annotated[Stage, typer.Argument(help="the stage")],
    path: ConfigFile,
    overrides: Overrides = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run one stage alone; the stages it reads must have been run before."""
    from acclimate.single_stage import run_stage

    def action() -> int:
        progress = progress_for(sys.stderr)
        try:
            folder = run_stage(name.value, path, overrides or [], allow_outside=allow_outside, progress=progress)
        finally:
            progress.close()
        print_result({"stage": name.value, "folder": str(folder)}, as_json, lambda: str(folder))
        return 0

    guarded(action, as_json, debug)


@app.command()
def report(
    run_id: Annotated[str | None, typer.Argument(help="a run's id; by default the newest")] = None,
    workspace: Workspace = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="only print where it is")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Open the report of a run."""
    from acclimate.lookup import report_path

    def action() -> int:
        path = report_path(workspace or Path(".acclimate"), run_id)
        print_result({"report_path": str(path)}, as_json, lambda: str(path))
        if not (no_browser or as_json) and sys.stdout.isatty():
            webbrowser.open(path.as_uri())
        return 0

    guarded(action, as_json, debug)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="folder, models:/NAME@champion, models:/NAME/7 or runs:/ID/PATH")],
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or - for one text a line")],
    text: Annotated[str, typer.Option("--text", help="column that holds the text")] = "text",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file to write; by default standard output")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict labels and probabilities with an adapted model."""
    from acclimate.prediction import predict_file

    def action() -> int:
        written = predict_file(model, data, text=text, out=out, workspace=workspace, as_json=as_json)
        if out is not None:
            print_result({"rows": written, "path": str(out)}, as_json, lambda: f"{written} rows -> {out}")
        return 0

    guarded(action, as_json, debug)


@app.command()
def models(
    name: Annotated[str, typer.Argument(help="the registered model")],
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


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(help="NAME, NAME@alias or NAME/7")],
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the way from a registered model back to its source."""
    from acclimate.lookup import lineage as trace
    from acclimate.lookup import lineage_text

    def action() -> int:
        found = trace(name, workspace)
        print_result(found, as_json, lambda: lineage_text(found))
        return 0

    guarded(action, as_json, debug)


@app.command()
def doctor(
    path: Annotated[Path | None, typer.Argument(help="an adaptation.yaml whose services are checked too")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check this installation and every service it is configured for."""
    from acclimate.diagnosis import doctor as examine
    from acclimate.diagnosis import doctor_text

    def action() -> int:
        found = examine(path)
        print_result(found, as_json, lambda: doctor_text(found))
        return 0 if found["healthy"] else 75

    guarded(action, as_json, debug)


upkeep_cli.register(app)
cluster_cli.register(app)


@config_app.command("schema")
def schema() -> None:
    """Print the JSON schema of adaptation.yaml."""
    from acclimate.config_file import config_schema

    sys.stdout.write(json.dumps(config_schema(), indent=1) + "\n")


@config_app.command("show")
def show(path: ConfigFile, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print a file with all defaults filled in, as JSON."""
    from acclimate.config_file import load_config

    def action() -> int:
        config = load_config(path, overrides or []).config
        sys.stdout.write(config.model_dump_json(indent=1) + "\n")
        return 0

    guarded(action, as_json=False, debug=debug)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"acclimate {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """Adapt a pretrained model to your own data, and show why it was done that way."""


def main() -> None:
    """Entry point of the ``acclimate`` command."""
    app()
