"""Finetune on a cluster: a KFP step has a RayJob do it, and hands on what that publishes.

What is to be done lies in a shared folder of the workspace, named after the stage's key: ``task.json``. The job's
entrypoint (:mod:`acclimate.rayjob_entry`) runs the stage there and leaves ``events.jsonl`` and ``error.json``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi
from acclimate.adapters.ray_image import placement_of, this_pod
from acclimate.adapters.rayjob import RayJobs
from acclimate.adapters.rayjob_object import RayJobSpec
from acclimate.errors import AcclimateError, ConfigError, UnavailableError, from_dict
from acclimate.execution import Context, Work, find
from acclimate.ports import Store

FOLDER = "rayjobs"
TASK = "task.json"
EVENTS = "events.jsonl"
ERROR = "error.json"
# whoever follows a job shares the claim on it: it lives as long as one of them does
FOLLOWERS, NOBODY = "its followers", "nobody"
# told by this process for the stage as a whole
_OWN_EVENTS = ("stage_started", "stage_done")


@dataclass(frozen=True)
class Task:
    """What a RayJob is to do.

    Args:
        request: an :class:`acclimate.execution.Request` as JSON.
        run_id: the run it belongs to.
        references: of the finished stages it reads, by role.
        key: of the stage, as the step sees it.
    """

    request: str
    run_id: str
    references: dict[str, str]
    key: str

    def to_json(self) -> str:
        """The task as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Task:
        """The task that lies in a folder.

        Raises:
            UnavailableError: E-RAY-019, there is none.
        """
        try:
            found = json.loads((folder / TASK).read_text(encoding="utf-8"))
            return cls(str(found["request"]), str(found["run_id"]), dict(found["references"]), str(found["key"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(
                "E-RAY-019",
                f"the workspace holds no task for this job: {type(error).__name__}",
                where=str(folder / TASK),
                hint="the step that made the job stores it; run again",
            ) from error


def end_when_nobody_follows(store: Store, key: str, end: Callable[[], None], *, pause_seconds: float = 30.0) -> None:
    """Call ``end`` once when nobody has followed a job for as long as claims live; returns then.

    A step that is cancelled has hardly a second: KFP's launcher dies of the signal, and the container with it. So a
    job may outlive whoever wanted it, and must find out by itself.

    Args:
        store: of the workspace.
        key: of the stage the job makes.
        end: what to do then.
        pause_seconds: between two looks.
    """
    name = followers_of(key)
    while store.claim(name, NOBODY) != NOBODY:
        time.sleep(pause_seconds)
    # free for those who come later
    store.release(name, NOBODY)
    end()


def followers_of(key: str) -> str:
    """Name of the claim that those who follow the job of a stage hold."""
    return f"rayjob-{key[:24]}"


def is_for_a_rayjob(context: Context) -> bool:
    """Whether finetune goes to a RayJob: several workers, in a pod, and no Ray is named."""
    several = context.request.adaptation.compute.most_workers > 1
    return several and "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("RAY_ADDRESS")


def finetune_on_cluster(
    context: Context, work: Work, references: dict[str, str], *, jobs: RayJobs | None = None, image: str = ""
) -> Path:
    """Have a RayJob run the stage unless its output is there already.

    Args:
        context: of the step.
        work: the stage, as :func:`acclimate.execution.execute` would run it here.
        references: of the finished stages it reads, by role.
        jobs: the cluster's RayJobs; by default this pod's namespace.
        image: of the job's pods; by default this pod's.

    Returns:
        The stage's folder, finished and checked.

    Raises:
        ConfigError: E-RAY-020, the workspace is a folder.
        AcclimateError: what stopped the training, in the job or on the way to it; see :meth:`RayJobs.run`.
    """
    started = time.monotonic()
    context.progress("stage_started", stage=work.stage)
    folder, reused = find(context, work), True
    if folder is None:
        folder, reused = _made(context, work, references, jobs, image), False
    seconds = round(time.monotonic() - started, 3)
    context.progress(
        "stage_done", stage=work.stage, folder=context.store.reference(folder), reused=reused, seconds=seconds
    )
    return folder


def _made(context: Context, work: Work, references: dict[str, str], jobs: RayJobs | None, image: str) -> Path:
    if not context.is_shared:
        raise ConfigError(
            "E-RAY-020",
            "several workers on Kubernetes need a workspace that all of them reach",
            where=context.request.workspace,
            hint="set workspace: s3://BUCKET/PREFIX",
        )
    name = f"{FOLDER}/{work.key[:24]}"
    reports = _Reports(context, name)
    task = Task(context.request.to_json(), context.run_id, references, work.key)

    def prepare() -> None:
        context.store.remove(name)
        (context.store.pull(name) / TASK).write_text(task.to_json(), encoding="utf-8")
        context.store.push(name)

    opened = jobs or RayJobs(KubernetesApi(KubernetesAccess.of_this_pod()))
    try:
        spec = _spec(context, work, opened.api, f"{context.request.workspace.rstrip('/')}/{name}", image)
        with context.store.beating(followers_of(work.key), FOLLOWERS):
            opened.run(spec, progress=context.progress, prepare=prepare, looked=reports.hand_on)
    except AcclimateError as error:
        folder = _rescued(context, work, error)
        if folder is None:
            raise reports.cause(error) from error
    else:
        reports.hand_on()
        folder = find(context, work)
    finally:
        if jobs is None:
            opened.api.close()
    if folder is None:
        raise UnavailableError(
            "E-RAY-016", "the training ended well but its output is not there", where=name, hint="run again"
        )
    context.store.remove(name)
    return folder


def _spec(context: Context, work: Work, api: KubernetesApi, record: str, image: str) -> RayJobSpec:
    compute = context.request.adaptation.compute
    pod = this_pod(api, image)
    placement, other_image = placement_of(api, pod)
    return RayJobSpec(
        name=f"{work.stage}-{work.key[:24]}",
        record=record,
        image=other_image or pod.image,
        workers=compute.most_workers,
        cpus=compute.cpus_per_worker,
        memory=compute.memory_per_worker,
        gpus=compute.gpus_per_worker,
        owner=pod.owner,
        placement=placement,
    )


def _rescued(context: Context, work: Work, error: AcclimateError) -> Path | None:
    """The output, where another that followed the same job has deleted it after its success."""
    return find(context, work) if error.code == "E-RAY-013" else None


class _Reports:
    """What the job leaves in the shared folder, as it comes."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._name = name
        self._told = 0

    def hand_on(self) -> None:
        """Tell the events that were not told yet."""
        path = self._context.store.pull(self._name) / EVENTS
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        for line in (line for line in lines[self._told :] if line.endswith(b"\n")):
            self._told += 1
            fields: dict[str, Any] = json.loads(line)
            fields.pop("pid", None)
            event = str(fields.pop("event"))
            if event not in _OWN_EVENTS:
                self._context.progress(event, **fields)

    def cause(self, error: AcclimateError) -> AcclimateError:
        """The error the entrypoint left where the cluster knows only that it failed; else the cluster's."""
        if error.code != "E-RAY-010":
            return error
        self.hand_on()
        path = self._context.store.pull(self._name) / ERROR
        return from_dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else error
