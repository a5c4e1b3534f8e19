"""Sends an adaptation, or a table to be predicted, to Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.cluster.following import POLL_SECONDS, result_of, wait_for
from acclimate.cluster.predicting import Prediction, prediction_request
from acclimate.cluster.preparing import (
    Adapting,
    Pipeline,
    cluster_request,
    compiled,
    image_of,
    parameters_of,
    service_account_of,
)
from acclimate.execution import Request
from acclimate.local_run import new_run_id
from acclimate.ports import Progress, silent

DETACHED = 130


@dataclass(frozen=True)
class SubmitResult:
    """A run that was submitted, and how it ended where it was waited for.

    Args:
        run_id: KFP's, which also names the folder of its report in the workspace.
        name: as KFP lists it.
        experiment: where it is listed.
        pipeline_version: named by the digest of what was uploaded.
        link: its page in KFP's UI.
        workspace: where its outputs go.
        state: KFP's, when last looked at.
        summary: as ``run --json`` prints it, of a prediction as ``predict --json -o`` does; None where it was not
            waited for.
        exit_code: 0, 10 when the gate refused, 130 when we stopped watching.
    """

    run_id: str
    name: str
    experiment: str
    pipeline_version: str
    link: str
    workspace: str
    state: str
    summary: dict[str, Any] | None = None
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for ``--json``."""
        return asdict(self)


def submit(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    pipeline: Pipeline = "adapt",
    model: str | None = None,
    data: str | None = None,
    out: str | None = None,
    endpoint: str | None = None,
    namespace: str | None = None,
    image: str | None = None,
    experiment: str | None = None,
    service_account: str | None = None,
    wait: bool = False,
    follow: bool = False,
    timeout_minutes: float | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
    poll_seconds: float = POLL_SECONDS,
) -> SubmitResult:
    """Run an adaptation on a cluster, or have a model of it predict a table there.

    What the cluster can't reach is uploaded under the digest of its content, so that submitting twice uploads once; the
    second of two runs with the same run key ends green after ingest and names the first.

    Args:
        path: the adaptation.yaml; its workspace must be on S3.
        overrides: ``section.key=value`` settings.
        pipeline: ``adapt``; ``retrain``, which decides first whether there is a reason to; or ``predict``.
        model: of ``predict``, and only of it: see :class:`Prediction`.
        data: the same.
        out: the same.
        endpoint: of KFP; by default ``KFP_ENDPOINT``, in a pod the service in the cluster.
        namespace: the user's, on a KFP for several; by default ``KFP_NAMESPACE``.
        image: of the steps, by digest; by default ``ACCLIMATE_IMAGE``.
        experiment: KFP's, made where it isn't there; by default the adaptation's name.
        service_account: what its pods run as; by default ``KFP_SERVICE_ACCOUNT``, else KFP's own default.
        wait: return when the run has ended; Ctrl-C stops watching and leaves the run alone.
        follow: wait, and tell of each stage.
        timeout_minutes: the longest wait.
        allow_outside: data may lie outside the project root.
        progress: told of uploads, of the run, and of its stages where it is followed.
        poll_seconds: between two looks at the run.

    Raises:
        AcclimateError: it could not be submitted, or, where it is waited for, the coded cause of its failure.
    """
    access = KfpAccess.find(endpoint, namespace)
    steps_image, account = image_of(image), service_account_of(service_account)
    prediction = Prediction.of(pipeline, model, data, out)
    request, parameters = _work(Path(path), overrides, pipeline, prediction, allow_outside, progress)
    name = request.adaptation.name
    with Kfp(access) as kfp:
        version = kfp.pipeline_version(f"acclimate-{pipeline}", compiled(pipeline, request, steps_image))
        experiment_name = experiment or name
        run = kfp.start_run(
            f"{name}-{new_run_id()}",
            kfp.experiment(experiment_name),
            version,
            parameters,
            account,
        )
        submitted = SubmitResult(
            run_id=run.id,
            name=run.name,
            experiment=experiment_name,
            pipeline_version=version.name,
            link=kfp.run_link(run.id),
            workspace=request.workspace,
            state=run.state,
        )
        progress("submitted", says=f"run {run.id}: {submitted.link}", run_id=run.id, link=submitted.link)
        if not (wait or follow):
            return submitted
        try:
            told = progress if follow else silent
            ended = wait_for(kfp, run.id, progress=told, timeout_minutes=timeout_minutes, poll_seconds=poll_seconds)
        except KeyboardInterrupt:
            return replace(submitted, state="RUNNING", exit_code=DETACHED)
    summary, code = result_of(ended, request.workspace, predicted=prediction.out if prediction else None)
    return replace(submitted, state=ended.state, summary=summary, exit_code=code)


def _work(
    path: Path,
    overrides: Sequence[str],
    pipeline: Pipeline,
    prediction: Prediction | None,
    allow_outside: bool,
    progress: Progress,
) -> tuple[Request, dict[str, str]]:
    """What will run, nothing of it on this machine any more, and the pipeline's parameters."""
    if prediction is not None:
        request, settled = prediction_request(
            path, overrides, prediction, allow_outside=allow_outside, progress=progress
        )
        return request, {**parameters_of(request), **asdict(settled)}
    adapting: Adapting = "retrain" if pipeline == "retrain" else "adapt"
    request = cluster_request(path, overrides, pipeline=adapting, allow_outside=allow_outside, progress=progress)
    return request, parameters_of(request)


def submitted_text(result: SubmitResult) -> str:
    """A submitted run, for people."""
    from acclimate.report.summary import summary_text

    lines = [f"run      {result.run_id}", f"page     {result.link}"]
    if result.exit_code == DETACHED:
        lines.append(f"the run goes on; to stop it: acclimate cancel {result.run_id}")
    elif result.summary is None:
        lines.append(f"to stop  acclimate cancel {result.run_id}")
    elif "rows" in result.summary:
        rows = result.summary["rows"]
        lines.append(f"{'' if rows is None else f'{rows} rows '}-> {result.summary['path']}")
    elif result.summary.get("verdict"):
        lines.append(summary_text(result.summary))
    else:
        follows = result.summary.get("follows")
        decided = str(result.summary.get("retrain", {}).get("reason", "there was nothing to do"))
        reason = f"the run {follows} has the same work in hand" if follows else decided
        lines.append(f"ended green and registered nothing: {reason}")
    return "\n".join(lines)
