"""The outermost edge of every command: what is printed, how errors show, which code it ends with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from acclimate.errors import AcclimateError, bug_of
from acclimate.terminal import error_text

ConfigFile = Annotated[Path, typer.Argument(help="the adaptation.yaml")]
Overrides = Annotated[
    list[str] | None, typer.Option("-s", "--set", metavar="KEY=VALUE", help="override, e.g. -s finetune.lora.rank=8")
]
Json = Annotated[bool, typer.Option("--json", help="one line of JSON on standard output, nothing else there")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="data may lie outside the project root")]


def print_result(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: one line of JSON, or text for people."""
    sys.stdout.write((json.dumps(result) if as_json else text()) + "\n")


def guarded(action: Callable[[], int], as_json: bool, debug: bool) -> NoReturn:
    """Run an action; turn a coded error into its block and exit code."""
    try:
        code = action()
    except AcclimateError as error:
        if debug:
            raise
        show_error(error, as_json)
        code = error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        code = 130
    except Exception as error:
        if debug:
            raise
        bug = bug_of(error)
        show_error(bug, as_json)
        code = bug.exit_code
    raise typer.Exit(code)


def show_error(error: AcclimateError, as_json: bool) -> None:
    """Print an error: its block on standard error, and for machines one line of JSON."""
    if as_json:
        sys.stdout.write(json.dumps({"error": error.to_dict()}) + "\n")
    sys.stderr.write(error_text(error) + "\n")
