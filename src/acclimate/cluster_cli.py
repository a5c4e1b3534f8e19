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

PANEL = "On a cluster"
PREDICTING = "With --pipeline predict"
schedule_app = typer.Typer(
    help="""Make, list, switch and delete recurring runs on the cluster.

    A schedule is known by its name. Who is let in, and where Kubeflow Pipelines is, these commands take from the same
    environment variables as submit.
    """,
    no_args_is_help=True,
)

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint", help="address of Kubeflow Pipelines; by default KFP_ENDPOINT, in a pod the service in the cluster"
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        help="your namespace, where Kubeflow serves several users; by default KFP_NAMESPACE; one for a single user "
        "needs none",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image", help="image that the steps run in, as REPOSITORY@sha256:DIGEST; by default ACCLIMATE_IMAGE"
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        help="experiment under which Kubeflow lists the runs, made if it isn't there; by default the adaptation's name",
    ),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--service-account",
        help="Kubernetes service account that the steps run as; by default KFP_SERVICE_ACCOUNT, else Kubeflow's own "
        "(pipeline-runner, or default-editor where it serves several users)",
    ),
]
Name = Annotated[str, typer.Argument(help="name of the schedule")]
Action = Callable[[], int]


class Adapting(StrEnum):
    """Pipelines that make a model."""

    ADAPT = "adapt"
    RETRAIN = "retrain"


class Pipeline(StrEnum):
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
    pipeline: Annotated[
        Pipeline,
        typer.Option(
            "--pipeline",
            help="adapt; retrain, which decides first whether there is a reason to; or predict, which needs --model, "
            "--data and --out",
        ),
    ] = Pipeline.ADAPT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="model that predicts: models:/NAME@champion, models:/NAME/7 or runs:/ID/PATH",
            rich_help_panel=PREDICTING,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="rows to predict, read as the target's are: a path, which is uploaded, s3://BUCKET/KEY or dvc://PATH",
            rich_help_panel=PREDICTING,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="CSV file to write, as s3://BUCKET/KEY", rich_help_panel=PREDICTING),
    ] = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    image: Image = None,
    experiment: Experiment = None,
    service_account: ServiceAccount = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="wait until the run has ended; the exit code is then that of its verdict")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="wait, and show each stage as it runs")] = False,
    timeout_minutes: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help="wait for at most so many minutes; the run goes on after them"),
    ] = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run an adaptation on Kubeflow Pipelines, or have its model predict a table there.

    The workspace must be s3://BUCKET/PREFIX (in the file, or with -s workspace=...). What lies on this machine is
    uploaded to it, once, by its content: the source model and the data of target, source.reference, pool and
    retrain.fresh; with --pipeline predict only the rows of --data.

    Environment: KFP_ENDPOINT says where Kubeflow Pipelines is; KFP_TOKEN, KFP_TOKEN_FILE or KFP_COOKIES lets you in;
    KFP_CA_FILE names a certificate authority to trust. ACCLIMATE_IMAGE is the image of the steps,
    ACCLIMATE_TRAINING_IMAGE another one for the step that trains: with Ray's dashboard, or with CUDA.

    Without --wait it returns as soon as the run is there. With --wait the exit code is 0, 10 when the gate refused, or
    that of what made the run fail.
    """
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
                model=model,
                data=data,
                out=out,
                endpoint=endpoint,
                namespace=namespace,
                image=image,
                experiment=experiment,
                service_account=service_account,
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
    cron: Annotated[
        str,
        typer.Option("--cron", help="when it comes due: five cron fields, six with the seconds first, or @daily"),
    ],
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="time zone that --cron is meant in, for example Asia/Tokyo; by default UTC"),
    ] = None,
    pipeline: Annotated[
        Adapting,
        typer.Option("--pipeline", help="retrain, which decides first whether there is a reason to; or adapt"),
    ] = Adapting.RETRAIN,
    overrides: Overrides = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    image: Image = None,
    experiment: Experiment = None,
    service_account: ServiceAccount = None,
    allow_outside: Outside = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a schedule, or bring the one of that name up to date.

    Its runs never overlap, and one that was missed is not caught up. Workspace, uploads and environment variables are
    as with submit. What is uploaded is a copy: for a schedule that sees new data, give an s3:// address, or dvc:// with
    a repository's URL. KFP_CRON_TIMEZONE is the time zone that the cluster's scheduler reads, if that isn't UTC.
    """
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
                service_account=service_account,
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
    """Keep a schedule from starting runs; those that are under way go on."""
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
    """Delete a schedule; runs that are under way go on."""
    from acclimate.cluster.scheduling import delete_schedule

    def call() -> dict[str, Any]:
        return delete_schedule(name, endpoint=endpoint, namespace=namespace)

    guarded(_printed(call, lambda _: f"schedule {name} deleted", as_json), as_json, debug)


def runs(
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="list only the runs of this experiment of Kubeflow's")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="list at most so many runs")] = 20,
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
    run: Annotated[str, typer.Argument(help="the run's id, or its name: acclimate runs lists both")],
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Stop a run on the cluster; what it has finished is kept."""
    from acclimate.cluster.runs import cancel as stop
    from acclimate.cluster.runs import cancelled_text

    call = _printed(lambda: stop(run, endpoint=endpoint, namespace=namespace), cancelled_text, as_json)
    guarded(call, as_json, debug)


def compile_(
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write")],
    pipeline: Annotated[Pipeline, typer.Argument(help="pipeline to write")] = Pipeline.ADAPT,
    image: Image = None,
    training_image: Annotated[
        str | None,
        typer.Option(
            "--training-image",
            help="another image for the step that trains, with Ray's dashboard or with CUDA; by default "
            "ACCLIMATE_TRAINING_IMAGE, else --image",
        ),
    ] = None,
    gpus: Annotated[
        int,
        typer.Option(
            "--gpus", min=0, help="GPUs of the step that trains; with several workers they are the RayJob's, and this 0"
        ),
    ] = 0,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="write Pipeline and PipelineVersion objects, for kubectl apply")
    ] = False,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", help="namespace of the objects that --kubernetes writes; by default none is named"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a compiled pipeline to a file, with the images and GPUs of its steps put in.

    For who brings pipelines to a cluster without submit, for instance by GitOps. Without an image a placeholder stays
    in it, which no cluster can run.
    """
    from acclimate.cluster.compiling import compiled_text, write_pipeline

    def call() -> dict[str, Any]:
        return write_pipeline(
            pipeline.value,
            out,
            image=image,
            training_image=training_image,
            gpus=gpus,
            kubernetes=kubernetes,
            namespace=namespace,
        )

    guarded(_printed(call, compiled_text, as_json), as_json, debug)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(rich_help_panel=PANEL)(submit)
    app.add_typer(schedule_app, name="schedule", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(runs)
    app.command(rich_help_panel=PANEL)(cancel)
    app.command("compile", rich_help_panel=PANEL)(compile_)
