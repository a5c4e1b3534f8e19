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

from acclimate import cluster_cli, promotion_cli, registry_cli, upkeep_cli
from acclimate.cli_edge import ConfigFile, Debug, Json, Outside, Overrides, guarded, print_result
from acclimate.registry_cli import Place, Workspace
from acclimate.terminal import progress_for
from acclimate.version import __version__

HERE = "On this machine"
app = typer.Typer(
    name="acclimate",
    help="Adapt a pretrained model to your own data, and show why it was done that way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # reflows paragraphs to the terminal's width
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Print the schema of adaptation.yaml, or a file as acclimate understands it.")
app.add_typer(config_app, name="config", no_args_is_help=True, rich_help_panel=HERE)


class Stage(StrEnum):
    """The stages that can be run alone."""

    INGEST = "ingest"
    GAP = "gap"
    BASELINE = "baseline"
    DECIDE = "decide"
    FINETUNE = "finetune"
    EVALUATE = "evaluate"
    REGISTER = "register"


class Format(StrEnum):
    """What a model is exported as."""

    TRANSFORMERS = "transformers"
    PEFT = "peft"
    ONNX = "onnx"


def _show_run(start: Callable[..., Any], path: Path, overrides: list[str] | None, outside: bool, as_json: bool) -> int:
    from acclimate.report.summary import summary_text

    progress = progress_for(sys.stderr)
    try:
        result = start(path, overrides or [], allow_outside=outside, progress=progress)
    finally:
        progress.close()
    print_result(result.summary, as_json, lambda: "\n" + summary_text(result.summary))
    return int(result.exit_code)


@app.command(rich_help_panel=HERE)
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


@app.command(rich_help_panel=HERE)
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
        labels = f", labels {', '.join(found['labels'])}" if found["labels"] else ""
        notes = "".join(f"\nnote       {warning}" for warning in found["warnings"])
        print_result(found, as_json, lambda: f"{path} is valid: {found['rows']} rows{labels}{notes}")
        return 0

    guarded(action, as_json, debug)


@app.command(rich_help_panel=HERE)
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


@app.command(rich_help_panel=HERE)
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


@app.command(rich_help_panel=HERE)
def stage(
    name: Annotated[Stage, typer.Argument(help="stage to run")],
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


@app.command(rich_help_panel=HERE)
def report(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN_ID|NAME@champion|NAME/7]",
            help="id of the run, by default the newest; or a registered model, whose report comes from the registry, "
            "with who promoted it since and the way back",
        ),
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", help="workspace folder that holds the run; by default .acclimate")
    ] = None,
    promotions: Place = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="only print where the report is")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Open the report of a run, or of a registered model, in the browser."""
    from acclimate.lookup import DEFAULT_WORKSPACE, registered_report, report_path

    def action() -> int:
        if run_id is not None and ("@" in run_id or "/" in run_id):
            path = registered_report(run_id, workspace, promotions)
        else:
            path = report_path(workspace or DEFAULT_WORKSPACE, run_id)
        print_result({"report_path": str(path)}, as_json, lambda: str(path))
        if not (no_browser or as_json) and sys.stdout.isatty():
            webbrowser.open(path.as_uri())
        return 0

    guarded(action, as_json, debug)


@app.command(rich_help_panel=HERE)
def predict(
    model: Annotated[
        str, typer.Argument(help="model's folder, models:/NAME@champion, models:/NAME/7 or runs:/ID/PATH")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, or - for standard input, one text a line; or a folder of images"
        ),
    ],
    text: Annotated[
        str | None, typer.Option("--text", help="column of the file that holds the text; by default text")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="column of a Parquet file that holds images; by default image")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file to write; by default standard output")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict with an adapted model: labels and probabilities, or the answers it writes."""
    from acclimate.prediction import predict_file

    def action() -> int:
        written = predict_file(model, data, text=text, image=image, out=out, workspace=workspace, as_json=as_json)
        if out is not None:
            print_result({"rows": written, "path": str(out)}, as_json, lambda: f"{written} rows -> {out}")
        return 0

    guarded(action, as_json, debug)


@app.command(rich_help_panel=HERE)
def export(
    model: Annotated[
        str, typer.Argument(help="model's folder, models:/NAME@champion, models:/NAME/7 or runs:/ID/PATH")
    ],
    out: Annotated[Path, typer.Argument(help="folder to write; new or empty")],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="transformers: the whole model in one of its classes; peft: only what was added to the source model; "
            "onnx: one file for ONNX Runtime, of models that don't write",
        ),
    ] = Format.TRANSFORMERS,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", help="for peft: the source model, as in source.model; by default the one the registry names"
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write an adapted model for other programs: transformers, peft or ONNX Runtime.

    Its README.md says in a few lines of Python how to use it. These lines are run, and must compute the model's logits,
    or nothing is kept.
    """

    def action() -> int:
        from acclimate.exporting import export as written
        from acclimate.exporting import export_text

        done = written(model, format_.value, out, workspace, source)
        print_result(done, as_json, lambda: export_text(done))
        return 0

    guarded(action, as_json, debug)


registry_cli.register(app)
promotion_cli.register(app)


@app.command(rich_help_panel=upkeep_cli.PANEL)
def doctor(
    path: Annotated[
        Path | None, typer.Argument(help="an adaptation.yaml whose services, data and source model are checked too")
    ] = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check this installation and every service it is configured for, and say what to do.

    Environment variables switch checks on: KFP_ENDPOINT for Kubeflow Pipelines (in a pod it is tried without),
    MLFLOW_TRACKING_URI for MLflow, unless the file names the server, and RAY_ADDRESS for Ray. S3 is checked at
    AWS_ENDPOINT_URL, else at AWS, where the file's workspace is s3://BUCKET/PREFIX. In a pod, for a file with several
    workers and without RAY_ADDRESS, it is checked that RayJobs may be made. Exit code 75: a check failed.
    """
    from acclimate.diagnosis import doctor as examine
    from acclimate.diagnosis import doctor_text

    def action() -> int:
        found = examine(path, allow_outside=allow_outside)
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
def show(path: ConfigFile, overrides: Overrides = None, allow_outside: Outside = False, debug: Debug = False) -> None:
    """Print a file with all defaults filled in, as JSON."""
    from acclimate.config_file import load_config

    def action() -> int:
        config = load_config(path, overrides or [], allow_outside=allow_outside).config
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
