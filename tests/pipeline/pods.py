"""Steps run as pods: each a process with an empty disk, sharing nothing but S3 and MLflow."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from itertools import count

from acclimate.adapters.s3_store import S3Store

CALL = """
import json, sys
from acclimate import steps
function, arguments, given = json.loads(sys.argv[1])
print("\\n" + json.dumps(getattr(steps, function)(*arguments, **given)))
"""
PASSWORD = "canary-of-mlflow-90c2ab"
TOKEN = "canary-of-ray-5e20d7"
SECRETS = {"MLFLOW_TRACKING_USERNAME": "steps", "MLFLOW_TRACKING_PASSWORD": PASSWORD, "RAY_AUTH_TOKEN": TOKEN}


class Pods:
    """Starts steps as pods of runs of one adaptation."""

    def __init__(self, workspace, request, folder):
        self.workspace, self.request, self.folder = workspace, request, folder
        self.numbers = count(1)
        self.printed = ""

    def given(self, request):
        """The same cluster, its pods given another request."""
        other = copy.copy(self)
        other.request = request
        return other

    def start(self, function, *arguments, **given):
        """Run a step in a new pod; its exit code and what it returned."""
        home = self.folder / f"pod-{next(self.numbers)}"
        environment = {name: value for name, value in os.environ.items() if name != "ACCLIMATE_RUN_PID"}
        environment |= {"ACCLIMATE_HOME": str(home), **SECRETS}
        call = json.dumps([function, arguments, given])
        done = subprocess.run(
            [sys.executable, "-c", CALL, call], env=environment, capture_output=True, text=True, check=False
        )
        self.printed += done.stdout + done.stderr
        result = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr
        return done.returncode, result

    def call(self, function, *arguments, **given):
        code, result = self.start(function, *arguments, **given)
        assert code == 0, result[-3000:]
        return result

    def step(self, run_id, stage, **references):
        return self.call("run_step", stage, self.request, run_id, **references)

    def finish(self, run_id):
        page = self.folder / f"{run_id}.html"
        self.call("finish", self.request, run_id, str(page))
        return page

    def summary(self, run_id):
        return json.loads((self._pulled(f"runs/{run_id}/report") / "summary.json").read_text())

    def events(self, run_id, stage):
        lines = (self._pulled(f"runs/{run_id}/steps/{stage}") / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def error(self, run_id, stage):
        return json.loads((self._pulled(f"runs/{run_id}/steps/{stage}") / "error.json").read_text())

    def _pulled(self, name):
        return S3Store(self.workspace, self.folder / "reader").pull(name)
