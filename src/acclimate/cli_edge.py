"""The outermost edge of every command: what is printed, how errors show, which code it ends with."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.errors import AcclimateError, bug_of
from acclimate.terminal import error_text

ConfigFile = Annotated[Path, typer.Argument(help="the adaptation.yaml to read; acclimate init writes one")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "-s",
        "--set",
        metavar="KEY=VALUE",
        help="change a setting of the file for this call, e.g. -s finetune.lora.rank=8",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="one line of JSON on standard output, nothing else there")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
Outside = Annotated[
    bool,
    typer.Option(
        "--allow-outside", help="read data outside the project root (the nearest folder upwards with .git or dvc.yaml)"
    ),
]


def print_result(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: one line of JSON, or text for people."""
    sys.stdout.write((json.dumps(result) if as_json else text()) + "\n")


def guarded(action: Callable[[], int], as_json: bool, debug: bool) -> NoReturn:
    """Run an action; turn a coded error into its block and exit code."""
    try:
        code = action()
    except AcclimateError as error:
        _show_traceback(debug)
        show_error(error, as_json)
        code = error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        code = 130
    except Exception as error:  # noqa: BLE001 - the outermost edge of the process
        _show_traceback(debug)
        bug = bug_of(error)
        show_error(bug, as_json)
        code = bug.exit_code
    raise typer.Exit(code)


def _show_traceback(debug: bool) -> None:
    if debug:
        # a client's own message may hold the address it was given, credentials and all
        sys.stderr.write(without_credentials(traceback.format_exc()))


def show_error(error: AcclimateError, as_json: bool) -> None:
    """Print an error: its block on standard error, and for machines one line of JSON."""
    if as_json:
        sys.stdout.write(json.dumps({"error": error.to_dict()}) + "\n")
    sys.stderr.write(error_text(error) + "\n")
