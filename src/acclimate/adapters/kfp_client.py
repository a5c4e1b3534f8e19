"""Kubeflow Pipelines: experiments, pipelines, runs and recurring runs, each made once whatever happens on the way.

KFP has no idempotency key. So whatever is made gets a name that stands for its content or its submission, is looked for
by that name before a request is repeated, and where two came into being all the same, the oldest stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_errors import NotThere, Taken, malformed
from acclimate.adapters.kfp_http import Answer, KfpHttp, part
from acclimate.adapters.kfp_records import ENDED, KfpRun, KfpSchedule, PipelineVersion
from acclimate.errors import ConfigError, UnavailableError

_PAGE = 100

Finder = Callable[[], Answer | None]


class Kfp:
    """A client of KFP's v2beta1 API.

    Args:
        access: address and credentials.
        budget_seconds: how long one call may be repeated while the service is unreachable or overloaded.
        timeout_seconds: how long one answer may take.

    Every method raises:
        UnavailableError: E-KFP-001, -008, -010, it can't be reached, is overloaded, or its answer is broken.
        AccessError: E-KFP-003, -004, -005, -014, it does not let us in.
        ConfigError: E-KFP-002, -006, -007, -009, -011, -013, no API there, no such object, another one there, refused,
            an untrusted certificate, a namespace needed.
    """

    def __init__(self, access: KfpAccess, *, budget_seconds: float = 30.0, timeout_seconds: float = 30.0) -> None:
        self._access = access
        self._http = KfpHttp(access, budget_seconds=budget_seconds, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Kfp:
        """The client itself; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    @cached_property
    def namespace(self) -> str | None:
        """The namespace to name: the user's where KFP serves several users; a single-user KFP refuses any.

        Raises:
            ConfigError: E-KFP-013, it serves several users and none is given.
        """
        if not self._http.get("healthz").get("multi_user"):
            return None
        if not self._access.namespace:
            raise ConfigError(
                "E-KFP-013",
                "this Kubeflow serves several users and needs a namespace",
                where=self._access.endpoint,
                hint="give --namespace or set KFP_NAMESPACE",
            )
        return self._access.namespace

    def run_link(self, run_id: str) -> str:
        """The page of a run in KFP's own UI, as seen from the endpoint."""
        return f"{self._access.endpoint}/#/runs/details/{part(run_id)}"

    def find_experiment(self, name: str) -> str | None:
        """The id of an experiment, or None."""
        found = self._named("experiments", "experiments", name, namespace=self.namespace)
        return str(found[0]["experiment_id"]) if found else None

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made where it wasn't there."""

        def find() -> Answer | None:
            found = self.find_experiment(name)
            return {"experiment_id": found} if found else None

        body = {"display_name": name, **({"namespace": self.namespace} if self.namespace else {})}
        return str(self._there("experiments", body, find)["experiment_id"])

    def pipeline_version(self, name: str, compiled: bytes) -> PipelineVersion:
        """The uploaded version of a pipeline with exactly this content.

        Args:
            name: the pipeline's.
            compiled: the compiled pipeline, YAML.
        """
        pipeline = self._there("pipelines", self._pipeline_body(name), lambda: self._pipeline(name))
        pipeline_id, version = str(pipeline["pipeline_id"]), _version_name(compiled)
        listing = f"pipelines/{part(pipeline_id)}/versions"

        def find() -> Answer | None:
            found = self._named(listing, "pipeline_versions", version)
            return found[0] if found else None

        made = self._there(
            "pipelines/upload_version",
            None,
            find,
            file=compiled,
            name=version,
            display_name=version,
            pipelineid=pipeline_id,
        )
        return PipelineVersion(pipeline_id, str(made["pipeline_version_id"]), version)

    def _pipeline_body(self, name: str) -> Answer:
        return {"name": name, "display_name": name, **({"namespace": self.namespace} if self.namespace else {})}

    def _pipeline(self, name: str) -> Answer | None:
        try:
            return self._http.get(f"pipelines/names/{part(name)}", namespace=self.namespace)
        except NotThere:
            return None

    def _there(
        self, path: str, body: Answer | None, find: Finder, *, file: bytes | None = None, **query: str | None
    ) -> Answer:
        """What ``find`` finds, made where it finds nothing; another maker's is as good as ours."""
        found = find()
        if found is not None:
            return dict(found)
        try:
            return self._http.create(path, body, find, file=file, **query)[0]
        except Taken:
            found = find()
            if found is None:
                raise
            return dict(found)

    def start_run(
        self,
        name: str,
        experiment_id: str,
        version: PipelineVersion,
        parameters: dict[str, str],
        service_account: str | None = None,
    ) -> KfpRun:
        """Start a run, once.

        Args:
            name: this submission's own; a run of that name is taken to be this one.
            experiment_id: where it goes.
            version: what runs.
            parameters: what the pipeline is given.
            service_account: what its pods run as; None is KFP's own default.
        """
        body = {
            "display_name": name,
            "experiment_id": experiment_id,
            "pipeline_version_reference": version.reference,
            "runtime_config": {"parameters": parameters},
            **_as(service_account),
        }

        def find() -> Answer | None:
            found = self._named("runs", "runs", name, experiment_id=experiment_id)
            return min(found, key=_age) if found else None

        made, doubtful = self._http.create("runs", body, find)
        if doubtful:
            made = self._oldest(name, experiment_id) or made
        return KfpRun.read(made)

    def _oldest(self, name: str, experiment_id: str) -> Answer | None:
        """Keep the first of the runs of one submission; a request given up on may have come through after all."""
        found = sorted(self._named("runs", "runs", name, experiment_id=experiment_id), key=_age)
        for run in found[1:]:
            self.terminate(str(run["run_id"]))
        return found[0] if found else None

    def run(self, run_id: str) -> KfpRun:
        """A run with its tasks, by KFP's id."""
        return KfpRun.read(self._http.get(f"runs/{part(run_id)}"))

    def runs(self, experiment_id: str | None = None, *, limit: int = _PAGE, holding: str | None = None) -> list[KfpRun]:
        """Runs, newest first.

        Args:
            experiment_id: of this experiment only.
            limit: at most so many.
            holding: only those with this text in their name.
        """
        found = self._listed(
            "runs",
            "runs",
            limit,
            sort_by="created_at desc",
            namespace=None if experiment_id else self.namespace,
            experiment_id=experiment_id,
            filter=_filter("IS_SUBSTRING", holding) if holding else None,
        )
        return [KfpRun.read(run) for run in found]

    def terminate(self, run_id: str) -> bool:
        """Stop a run; False when it had ended already."""
        try:
            self._http.act("POST", f"runs/{part(run_id)}:terminate")
        except (ConfigError, UnavailableError):
            state = self.run(run_id).state
            if state not in {"CANCELING", *ENDED}:
                raise
            return state.startswith("CANCEL")
        return True

    def schedules(self, name: str | None = None) -> list[KfpSchedule]:
        """Recurring runs, oldest first; of one name if given."""
        chosen = _filter("EQUALS", name) if name else None
        found = self._listed("recurringruns", "recurringRuns", None, namespace=self.namespace, filter=chosen)
        return [KfpSchedule.read(row) for row in sorted(found, key=_age)]

    def create_schedule(
        self,
        name: str,
        experiment_id: str,
        version: PipelineVersion,
        parameters: dict[str, str],
        service_account: str | None = None,
        *,
        cron: str,
        description: str,
    ) -> KfpSchedule:
        """Make a recurring run that never overlaps itself and never catches up; it is made disabled.

        Args:
            name: of the schedule.
            experiment_id: where its runs go.
            version: what runs.
            parameters: what the pipeline is given.
            service_account: what its pods run as; None is KFP's own default.
            cron: six fields.
            description: stands for its content: one of the same name and description is taken to be this one.
        """
        body = {
            "display_name": name,
            "description": description,
            "experiment_id": experiment_id,
            "pipeline_version_reference": version.reference,
            "runtime_config": {"parameters": parameters},
            **_as(service_account),
            "trigger": {"cron_schedule": {"cron": cron}},
            "mode": "DISABLE",
            "max_concurrency": "1",
            "no_catchup": True,
        }

        def find() -> Answer | None:
            found = self._named("recurringruns", "recurringRuns", name, namespace=self.namespace)
            same = [row for row in found if row.get("description") == description]
            return min(same, key=_age) if same else None

        return KfpSchedule.read(self._http.create("recurringruns", body, find)[0])

    def switch_schedule(self, schedule_id: str, *, on: bool) -> None:
        """Enable or disable a recurring run."""
        self._http.act("POST", f"recurringruns/{part(schedule_id)}:{'enable' if on else 'disable'}")

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete a recurring run; that it is gone already is as good."""
        try:
            self._http.act("DELETE", f"recurringruns/{part(schedule_id)}")
        except NotThere:
            return

    def _named(self, path: str, key: str, name: str, **query: str | None) -> list[Answer]:
        found = self._listed(path, key, None, filter=_filter("EQUALS", name), **query)
        return [row for row in found if row.get("display_name") == name]  # its database may ignore case

    def _listed(self, path: str, key: str, limit: int | None, **query: str | None) -> Iterator[Answer]:
        token, given = None, 0
        while True:
            size = min(_PAGE, limit - given) if limit else _PAGE
            page = self._http.get(path, page_size=size, page_token=token, **query)
            rows = page.get(key) or []
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise malformed(f"GET {path}")
            yield from rows
            given, token = given + len(rows), page.get("next_page_token")
            if not token or (limit and given >= limit):
                return


def _as(service_account: str | None) -> dict[str, str]:
    """The key that names a service account; KFP takes its own default where it is absent."""
    return {"service_account": service_account} if service_account else {}


def _filter(operation: str, text: str) -> str:
    return json.dumps({"predicates": [{"operation": operation, "key": "display_name", "string_value": text}]})


def _version_name(compiled: bytes) -> str:
    # 192 bits of the digest: with 63 characters at most it may also be a Kubernetes object's name or label
    return f"sha256-{hashlib.sha256(compiled).hexdigest()[:48]}"


def _age(row: Answer) -> tuple[str, str]:
    """Sorts the oldest first, the same way for everybody who looks."""
    return str(row.get("created_at", "")), str(row.get("run_id") or row.get("recurring_run_id") or "")
