"""Finetune by a RayJob, with everything real but Kubernetes: S3, the entrypoint as a process of its own, Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi
from acclimate.adapters.rayjob import Patience, RayJobs
from acclimate.adapters.s3_store import S3Store
from acclimate.execution import Context
from acclimate.local_run import load_request
from acclimate.rayjob_training import finetune_on_cluster
from acclimate.records import FinetuneReport
from acclimate.stage_work.training import finetune_work
from tests.kubernetes_stub import FAILED, NAMESPACE, RUNNING, SUCCEEDED, TOKEN, KubernetesStub, kubernetes_stub

SMALL = ("finetune.arms=[full]", "finetune.max_epochs={full: 2}", "compute.workers=2", "compute.cpus_per_worker=1")


class Head(KubernetesStub):
    """A cluster that runs a job's entrypoint, on a machine of its own as far as the workspace is concerned."""

    def begin(self, home: Path) -> None:
        # a Ray for the job alone, as KubeRay gives it
        self.environment = {**os.environ, "ACCLIMATE_HOME": str(home), "RAY_ADDRESS": "local"}
        self.log = home.with_suffix(".log")
        self.script = [RUNNING]
        self.on_create = self._start

    def _start(self, body: dict[str, Any]) -> None:
        command = [sys.executable, *body["spec"]["entrypoint"].split()[1:]]
        self.running = threading.Thread(target=self._run, args=(command, body["metadata"]["name"]))
        self.running.start()

    def _run(self, command: list[str], name: str) -> None:
        with self.log.open("w", encoding="utf-8") as log:
            code = subprocess.run(command, env=self.environment, stdout=log, stderr=log, check=False).returncode
        with self.lock:
            self.jobs[name]["script"][:] = [SUCCEEDED if code == 0 else FAILED]


@pytest.mark.slow
@pytest.mark.ray
def test_a_job_on_the_cluster_trains_and_publishes(project, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "step"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    project.write_rows()
    workspace = f"s3://{bucket}/team"
    # a shared workspace needs a registry's address, though nothing here registers
    overrides = [f"workspace={workspace}", "tracking.uri=http://127.0.0.1:1", *SMALL]
    read = {}
    for stage, role in (("ingest", "data"), ("gap", ""), ("baseline", "baseline"), ("decide", "decision")):
        given = [word for override in overrides for word in ("-s", override)]
        outcome = project.call("stage", stage, "adaptation.yaml", "--json", *given)
        assert outcome.code == 0, outcome.err[-2000:]
        read[role] = Path(outcome.json["folder"])
    del read[""]
    events: list[str] = []
    store = S3Store(workspace)
    request = load_request(project.folder / "adaptation.yaml", overrides)
    context = Context(request, "run-1", store, lambda event, /, **fields: events.append(event))
    (tmp_path / "token").write_text(TOKEN)
    head = Head()
    head.begin(tmp_path / "head")
    with (
        kubernetes_stub(head),
        closing(KubernetesApi(KubernetesAccess(head.server, NAMESPACE, tmp_path / "token"))) as api,
    ):
        references = {role: store.reference(folder) for role, folder in read.items()}
        jobs = RayJobs(api, Patience(poll=0.5, longest_poll=1.0))
        try:
            folder = finetune_on_cluster(context, finetune_work(context, **read), references, jobs=jobs, image="a:1")
        finally:
            head.running.join()
            print(head.log.read_text()[-3000:])
    assert FinetuneReport.read(folder).chosen == "full"
    assert events.count("epoch") >= 2
    assert [event for event in events if event.startswith("stage")] == ["stage_started", "stage_done"]
