"""The commands that work on a cluster. Each is thin: it calls one function and prints what that returned."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli_edge import ConfigFile, Debug, Json, Outside, Overrides, guarded, print_result
from acclimate.terminal import progress_for

schedule_app = typer.Typer(help="Recurring runs on the cluster, made once by their name.", no_args_is_help=True)

Endpoint = Annotated[str | None, typer.Option("--endpoint", help="KFP's address; by default KFP_ENDPOINT")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="yours, on a KFP for several users; KFP_NAMESPACE")]
Image = Annotated[
    str | None, typer.Option("--image", help="image of the steps, REPOSITORY@sha256:DIGEST; by default ACCLIMATE_IMAGE")
]
Experiment = Annotated[str | None, typer.Option("--experiment", help="KFP's; by default the adaptation's name")]
Name = Annotated[str, typer.Argument(help="the schedule's name")]
Action = Callable[[], int]


class Started(StrEnum):
    """Pipelines that an adaptation.yaml starts."""

    ADAPT = "adapt"
    RETRAIN = "retrain"


class Compiled(StrEnum):
    """Pipelines that the package carries."""

    ADAPT = "adapt"
    RETRAIN = "retrain"
    PREDICT = "predict"


def _printed(call: Callable[[], Any], text: Callable[[Any], str], as_json: bool) -> Action:
    def action() -> int:
        found = call()
        print_result(found, as_json, lambda: text(found))
        return 0

    return action


def submit(
    path: ConfigFile,
    overrides: Overrides = None,
    pipeline: Annotated[Started, typer.Option("--pipeline", help="retrain decides first whether to")] = Started.ADAPT,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    image: Image = None,
    experiment: Experiment = None,
    wait: Annotated[bool, typer.Option("--wait", help="return when it has ended, with the verdict's code")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="as --wait, and show each stage")] = False,
    timeout_minutes: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="minutes to wait; the run goes on after them")
    ] = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run an adaptation on Kubeflow Pipelines. Exit code with --wait: 10 when the gate refused."""
    from acclimate.cluster.submitting import submit as start
    from acclimate.cluster.submitting import submitted_text

    def action() -> int:
        progress = progress_for(sys.stderr)

        def told(event: str, /, **fields: Any) -> None:
            progress(event, **fields)
            if event == "submitted" and sys.stderr.isatty():
                progress.close()
                sys.stderr.write(f"{fields['says']}\n")  # a line that stays while the run is waited for

        try:
            result = start(
                path,
                overrides or [],
                pipeline=pipeline.value,
                endpoint=endpoint,
                namespace=namespace,
                image=image,
                experiment=experiment,
                wait=wait,
                follow=follow,
                timeout_minutes=timeout_minutes,
                allow_outside=allow_outside,
                progress=told,
            )
        finally:
            progress.close()
        print_result(result.to_dict(), as_json, lambda: submitted_text(result))
        return result.exit_code

    guarded(action, as_json, debug)


@schedule_app.command("create")
def create(
    name: Name,
    path: ConfigFile,
    cron: Annotated[str, typer.Option("--cron", help="five or six fields, or @daily and the like")],
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="that the times are meant in, e.g. Asia/Tokyo; by default UTC")
    ] = None,
    pipeline: Annotated[Started, typer.Option("--pipeline", help="retrain decides first whether to")] = Started.RETRAIN,
    overrides: Overrides = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    image: Image = None,
    experiment: Experiment = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a schedule, or bring the one of that name up to date. No two runs overlap, none is caught up."""
    from acclimate.cluster.scheduling import create_schedule, schedule_text

    def action() -> int:
        progress = progress_for(sys.stderr)
        try:
            found = create_schedule(
                name,
                path,
                overrides or [],
                cron=cron,
                timezone=timezone,
                pipeline=pipeline.value,
                endpoint=endpoint,
                namespace=namespace,
                image=image,
                experiment=experiment,
                allow_outside=allow_outside,
                progress=progress,
            )
        finally:
            progress.close()
        print_result(found, as_json, lambda: schedule_text(found))
        return 0

    guarded(action, as_json, debug)


@schedule_app.command("list")
def list_all(
    endpoint: Endpoint = None, namespace: Namespace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """List the schedules that acclimate made."""
    from acclimate.cluster.scheduling import list_schedules, schedule_text

    def text(found: Any) -> str:
        return "\n".join(map(schedule_text, found)) or "no schedules"

    guarded(_printed(lambda: list_schedules(endpoint=endpoint, namespace=namespace), text, as_json), as_json, debug)


@schedule_app.command()
def show(
    name: Name, endpoint: Endpoint = None, namespace: Namespace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Show a schedule and its next five times."""
    from acclimate.cluster.scheduling import schedule_text, show_schedule

    call = _printed(lambda: show_schedule(name, endpoint=endpoint, namespace=namespace), schedule_text, as_json)
    guarded(call, as_json, debug)


@schedule_app.command()
def enable(
    name: Name, endpoint: Endpoint = None, namespace: Namespace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Let a schedule start runs again."""
    _switch(name, True, endpoint, namespace, as_json, debug)


@schedule_app.command()
def disable(
    name: Name, endpoint: Endpoint = None, namespace: Namespace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Keep a schedule from starting runs; those under way go on."""
    _switch(name, False, endpoint, namespace, as_json, debug)


def _switch(name: str, on: bool, endpoint: str | None, namespace: str | None, as_json: bool, debug: bool) -> None:
    from acclimate.cluster.scheduling import schedule_text, switch_schedule

    def call() -> dict[str, Any]:
        return switch_schedule(name, on=on, endpoint=endpoint, namespace=namespace)

    guarded(_printed(call, schedule_text, as_json), as_json, debug)


@schedule_app.command()
def delete(
    name: Name, endpoint: Endpoint = None, namespace: Namespace = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Delete a schedule; runs under way go on."""
    from acclimate.cluster.scheduling import delete_schedule

    def call() -> dict[str, Any]:
        return delete_schedule(name, endpoint=endpoint, namespace=namespace)

    guarded(_printed(call, lambda _: f"schedule {name} deleted", as_json), as_json, debug)


def runs(
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    experiment: Annotated[str | None, typer.Option("--experiment", help="only runs of this one")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="at most so many")] = 20,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List runs on the cluster, newest first, with their verdicts."""
    from acclimate.cluster.runs import runs as listing
    from acclimate.cluster.runs import runs_text

    def call() -> list[dict[str, Any]]:
        return listing(endpoint=endpoint, namespace=namespace, experiment=experiment, limit=limit)

    guarded(_printed(call, runs_text, as_json), as_json, debug)


def cancel(
    run: Annotated[str, typer.Argument(help="a run's id, ours or KFP's")],
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Stop a run on the cluster."""
    from acclimate.cluster.runs import cancel as stop
    from acclimate.cluster.runs import cancelled_text

    call = _printed(lambda: stop(run, endpoint=endpoint, namespace=namespace), cancelled_text, as_json)
    guarded(call, as_json, debug)


def compile_(
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write")],
    pipeline: Annotated[Compiled, typer.Argument(help="the pipeline")] = Compiled.ADAPT,
    image: Image = None,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Pipeline and PipelineVersion objects for kubectl apply")
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", help="of these objects")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a compiled pipeline, with the image put in."""
    from acclimate.cluster.compiling import write_pipeline

    def call() -> dict[str, Any]:
        return write_pipeline(pipeline.value, out, image=image, kubernetes=kubernetes, namespace=namespace)

    guarded(
        _printed(call, lambda found: f"{found['path']}: {pipeline.value}, {found['image']}", as_json), as_json, debug
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(submit)
    app.add_typer(schedule_app, name="schedule")
    app.command()(runs)
    app.command()(cancel)
    app.command("compile")(compile_)
