"""Runs one training on a cluster: makes a RayJob, follows it to its end, deletes it when it is not wanted any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from acclimate.adapters import rayjob_errors as errors
from acclimate.adapters.kubernetes_api import KubernetesApi, RefusedError
from acclimate.adapters.rayjob_object import LABELS, RECORD, RayJobSpec, rayjob
from acclimate.errors import AccessError, AcclimateError, InterruptedRun, UnavailableError
from acclimate.ports import Progress, silent

# KubeRay's words for a job that has ended, one way or the other
_SUCCEEDED = "SUCCEEDED"
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_OVER = ("Complete", "Failed", "ValidationFailed")
_BACKGROUND = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


@dataclass(frozen=True)
class Patience:
    """How long the client waits for what, in seconds.

    Args:
        poll: between two looks at first; it grows to ``longest_poll``.
        longest_poll: between two looks later.
        outage: how long the API may be away while a job runs; the job does not need us.
        image: how long an image may fail to be pulled, since registries have hiccups.
        deletion: until a deleted job is gone.
        farewell: the API may be away when we were told to stop: a pod is killed 30 seconds after that, whatever it
            does, and one last question may take 15.
    """

    poll: float = 2.0
    longest_poll: float = 10.0
    outage: float = 600.0
    image: float = 180.0
    deletion: float = 120.0
    farewell: float = 8.0


class RayJobs:
    """The RayJobs of one namespace.

    Args:
        api: of the cluster.
        patience: how long to wait.
    """

    def __init__(self, api: KubernetesApi, patience: Patience = Patience()) -> None:
        self.api = api
        self.patience = patience
        self._all = f"/apis/ray.io/v1/namespaces/{api.namespace}/rayjobs"

    def run(
        self,
        spec: RayJobSpec,
        *,
        progress: Progress = silent,
        prepare: Callable[[], None] = lambda: None,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a job to its end. A live one of that name is followed, not doubled; one that has ended is made again.

        The job is deleted after success, on cancel, and when it can't start. A failed one is left for inspection;
        its pods are not.

        Args:
            spec: the job.
            progress: told ``rayjob`` whenever the job's state changes, ``rayjob_left`` if it can't be deleted.
            prepare: called before a job is made, e.g. to store what it is to do.
            looked: called after each look, e.g. to hand on what the job reports.

        Raises:
            UnavailableError: E-RAY-002 no operator, -005 quota, -007 the API is away for too long, -008 not started,
                -010 failed, -012 deadline, -013 deleted by somebody else.
            AccessError: E-RAY-003 not allowed, -004 not signed in, -009 no image, -015 certificate.
            ConfigError: E-RAY-006 refused as it is, -011 out of memory.
            InterruptedRun: we were asked to stop, or E-RAY-018 it was stopped on the cluster.
        """
        try:
            state = self._made(spec, prepare)
            progress("rayjob", name=spec.name, state=state or "created", workers=spec.workers)
            self._followed(spec, progress, looked)
        except RefusedError as error:
            raise errors.refused(error) from error
        except KeyboardInterrupt as error:
            self._leave(spec.name, progress)
            raise InterruptedRun("E-RUN-143", "interrupted", where=spec.name, hint="run again to go on") from error
        except InterruptedRun:
            self._leave(spec.name, progress)
            raise
        self._tidy(spec.name, progress)

    def find(self, name: str) -> dict[str, Any] | None:
        """The job of that name, or None."""
        try:
            return self.api.get(f"{self._all}/{name}")
        except RefusedError as error:
            # a server that knows no RayJobs answers 404 as well, but not about one of them
            if error.status == 404 and error.about == "rayjobs":
                return None
            raise

    def delete(self, name: str) -> None:
        """Delete the job and, in the background, its pods; nothing happens where there is none."""
        try:
            self.api.delete(f"{self._all}/{name}", _BACKGROUND)
        except RefusedError as error:
            raise errors.refused(error) from error

    def _leave(self, name: str, progress: Progress) -> None:
        """Delete a job as long as there is time for it."""
        self.api.budget_seconds = min(self.api.budget_seconds, self.patience.farewell)
        self._tidy(name, progress)

    def _tidy(self, name: str, progress: Progress) -> None:
        """Delete a job; that it can't be done must not hide what became of the job."""
        try:
            self.delete(name)
        except (AccessError, UnavailableError) as error:
            progress("rayjob_left", name=name, code=error.code, says=f"delete it yourself: {error}")

    def _made(self, spec: RayJobSpec, prepare: Callable[[], None]) -> str:
        """Make the job unless a live one is there; its state."""
        ends = time.monotonic() + self.patience.deletion
        while True:
            there = self.find(spec.name)
            if there is not None and not _is_over(there) and not _is_going(there):
                return str(there.get("status", {}).get("jobDeploymentStatus", ""))
            if there is None:
                prepare()
                try:
                    self.api.create(self._all, rayjob(spec, self.api.namespace))
                except RefusedError as error:
                    if error.status != 409:
                        raise
                else:
                    return ""
            elif not _is_going(there):
                self.delete(spec.name)
            if time.monotonic() > ends:
                raise UnavailableError(
                    "E-RAY-014",
                    "a former RayJob of the same work is not deleted",
                    where=spec.name,
                    hint="is the KubeRay operator running? It frees what it has made: kubectl get rayjob",
                )
            time.sleep(self.patience.poll)

    def _followed(self, spec: RayJobSpec, progress: Progress, looked: Callable[[], None]) -> None:
        watch = _Watch(self, spec)
        pause, shown = self.patience.poll, ""
        while True:
            time.sleep(pause)
            pause = min(pause * 1.5, self.patience.longest_poll)
            job = watch.look()
            looked()
            if job is None:
                continue
            status = job.get("status", {})
            state = str(status.get("jobStatus") or status.get("jobDeploymentStatus") or "")
            if state != shown:
                shown = state
                progress("rayjob", name=spec.name, state=state, workers=spec.workers)
            if _is_over(job):
                _require_success(spec.name, status, watch.pods(status))
                return
            if not status.get("jobStatus") or status["jobStatus"] == "PENDING":
                watch.require_hope(status)


class _Watch:
    """What is remembered from one look at a job to the next."""

    def __init__(self, jobs: RayJobs, spec: RayJobSpec) -> None:
        self.jobs, self.spec, self.patience = jobs, spec, jobs.patience
        self.since = self.reached = time.monotonic()
        self.no_image_since: float | None = None

    def look(self) -> dict[str, Any] | None:
        """The job, or None while the API is away."""
        try:
            found = self.jobs.find(self.spec.name)
        except UnavailableError:
            if time.monotonic() - self.reached > self.patience.outage:
                raise
            return None
        self.reached = time.monotonic()
        if found is None or _is_going(found):
            raise errors.gone(self.spec.name)
        return found

    def pods(self, status: dict[str, Any]) -> list[dict[str, Any]]:
        """The job's pods; none where they can't be had, for they only explain."""
        cluster = status.get("rayClusterName")
        if not cluster:
            return []
        path = f"/api/v1/namespaces/{self.jobs.api.namespace}/pods"
        try:
            return list(self.jobs.api.get(path, labelSelector=f"ray.io/cluster={cluster}").get("items", ()))
        except (RefusedError, UnavailableError):
            return []

    def require_hope(self, status: dict[str, Any]) -> None:
        """Give up a job that waits for what won't come."""
        now, pods = time.monotonic(), self.pods(status)
        pulling = [reason for pod in pods for reason in errors.waiting_reasons(pod)]
        if not any(reason.startswith(errors.NEVER_PULLED) for reason in pulling):
            self.no_image_since = None
        elif self.no_image_since is None:
            self.no_image_since = now
        elif now - self.no_image_since > self.patience.image:
            self._give_up(errors.no_image(self.spec.name, pods))
        if now - self.since > self.spec.start_seconds:
            says = str(status.get("message", "")).strip()[:300]
            self._give_up(errors.not_started(self.spec.name, self.spec.start_seconds / 60, pods, says))

    def _give_up(self, error: AcclimateError) -> NoReturn:
        self.jobs.delete(self.spec.name)
        raise error


def record_of(job: dict[str, Any]) -> str:
    """Address of the folder that a job reads and writes; empty for a job that is none of ours."""
    metadata = job.get("metadata", {})
    labels = metadata.get("labels", {})
    ours = all(labels.get(name) == value for name, value in LABELS.items())
    return str(metadata.get("annotations", {}).get(RECORD, "")) if ours else ""


def _is_over(job: dict[str, Any]) -> bool:
    status = job.get("status", {})
    return status.get("jobDeploymentStatus") in _OVER or status.get("jobStatus") in _ENDED


def _is_going(job: dict[str, Any]) -> bool:
    return bool(job.get("metadata", {}).get("deletionTimestamp"))


def _require_success(name: str, status: dict[str, Any], pods: list[dict[str, Any]]) -> None:
    if status.get("jobStatus") == _SUCCEEDED:
        return
    if status.get("jobStatus") == "STOPPED":
        raise InterruptedRun("E-RAY-018", "the training was stopped on the cluster", where=name, hint="run again")
    raise errors.failed(name, status, pods)
