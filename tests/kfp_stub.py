"""A stub of KFP's API server: each request is read into kfp-server-api's own models and fails on what they lack."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

API = "/apis/v2beta1/"
PAGED = {"page_size", "page_token", "sort_by", "filter", "namespace"}
SCALARS = {"str": str, "int": int, "bool": bool}
FINAL = ("SUCCEEDED", "FAILED", "CANCELED")


class Refused(Exception):
    """An answer that isn't success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Misunderstood(Refused):
    """A request that the real server's models can't read."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message[:300])


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests of a method whose path ends (or holds) so.

    Kinds: a status ("401", "503", ...), "html", "redirect", "elsewhere" (another service), "malformed", "truncated",
    "list", "lost" (done, but the connection breaks), "late" (done, but the answer takes long), "dropped" (not done).
    """

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1

    def takes(self, method: str, path: str) -> bool:
        if self.times < 1 or self.method not in {"", method} or self.path not in path:
            return False
        self.times -= 1
        return True


@dataclass
class KfpStub:
    """The server's state, open to the tests."""

    multi_user: bool = False
    token: str | None = None
    late_seconds: float = 1.0
    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    most_enabled: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    ticks: int = 0

    def asked(self, method: str, path: str) -> int:
        """How many requests of that kind came."""
        return sum(1 for m, p, _ in self.seen if m == method and path in p)

    def fail(self, kind: str, method: str = "", path: str = "", times: int = 1) -> None:
        """Let the next requests of that kind go wrong."""
        self.faults.append(Fault(kind, method, path, times))

    def now(self) -> str:
        self.ticks += 1
        return f"2026-01-01T{self.ticks // 3600:02}:{self.ticks // 60 % 60:02}:{self.ticks % 60:02}Z"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        with self.lock:
            found = self._route(method, path.removeprefix(API).split("/"), query, body)
            enabled = [row["display_name"] for row in self.recurring.values() if row["status"] == "ENABLED"]
            self.most_enabled = max([self.most_enabled, *(enabled.count(name) for name in enabled)])
            return found

    def _route(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> dict[str, Any]:
        kind, *rest = parts
        if (method, kind, rest) == ("GET", "healthz", []):
            return {"multi_user": self.multi_user}
        routes = {
            "experiments": self._experiments_route,
            "pipelines": self._pipelines_route,
            "runs": self._runs_route,
            "recurringruns": self._recurring_route,
        }
        found = routes[kind](method, rest, query, body) if kind in routes else None
        if found is None:
            raise self._violation(f"{method} {'/'.join(parts)} is not in the API")
        return found

    def _experiments_route(
        self, method: str, rest: list[str], query: dict[str, str], body: Any
    ) -> dict[str, Any] | None:
        match (method, *rest):
            case ("GET",):
                return self._page("experiments", self.experiments, query, PAGED)
            case ("POST",):
                return self._experiment(strict(body, "V2beta1Experiment"))
        return None

    def _pipelines_route(self, method: str, rest: list[str], query: dict[str, str], body: Any) -> dict[str, Any] | None:
        match (method, *rest):
            case ("POST",):
                row = self._in_namespace(strict(body, "V2beta1Pipeline"))
                self._unique(self.pipelines, row["display_name"])
                return self._add(self.pipelines, "pipeline_id", row)
            case ("GET", "names", name):
                self._known(query, {"namespace"})
                return next((row for row in self.pipelines.values() if row["name"] == name), None) or self._missing()
            case ("POST", "upload_version"):
                return self._version(query, body)
            case ("GET", _, "versions", version):
                return self._get(self.versions, version)
            case ("GET", pipeline, "versions"):
                rows = {key: row for key, row in self.versions.items() if row["pipeline_id"] == pipeline}
                return self._page("pipeline_versions", rows, query, PAGED - {"namespace"})
        return None

    def _runs_route(self, method: str, rest: list[str], query: dict[str, str], body: Any) -> dict[str, Any] | None:
        match (method, *rest):
            case ("POST",):
                return self._run(strict(body, "V2beta1Run"))
            case ("GET",):
                newest = query.get("sort_by") == "created_at desc"
                rows = dict(reversed(self.runs.items())) if newest else self.runs
                return self._page("runs", rows, query, {*PAGED, "experiment_id"})
            case ("GET", run):
                row = self._get(self.runs, run)
                row.update(self.script.pop(0) if self.script else {})
                return row
            case ("POST", action) if action.endswith(":terminate"):
                row = self._get(self.runs, action.partition(":")[0])
                if row["state"] in FINAL:
                    raise Refused(400, "the run has ended")
                row["state"] = "CANCELED"
                return {}
        return None

    def _recurring_route(self, method: str, rest: list[str], query: dict[str, str], body: Any) -> dict[str, Any] | None:
        match (method, *rest):
            case ("POST",):
                return self._recurring(strict(body, "V2beta1RecurringRun"))
            case ("GET",):
                return self._page("recurringRuns", self.recurring, query, {*PAGED, "experiment_id"})
            case ("DELETE", job):
                self._get(self.recurring, job)
                del self.recurring[job]
                return {}
            case ("POST", action) if action.endswith((":enable", ":disable")):
                row = self._get(self.recurring, action.partition(":")[0])
                row["status"] = "ENABLED" if action.endswith(":enable") else "DISABLED"
                return {}
        return None

    def _experiment(self, row: dict[str, Any]) -> dict[str, Any]:
        self._unique(self.experiments, row["display_name"])
        return self._add(self.experiments, "experiment_id", self._in_namespace(row))

    def _version(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        self._known(query, {"name", "display_name", "pipelineid", "description", "tags"})
        self._get(self.pipelines, query["pipelineid"])
        self._unique(self.versions, query["name"])
        documents = list(yaml.safe_load_all(body))
        if not documents:
            raise self._violation("an empty pipeline was uploaded")
        row = {"pipeline_id": query["pipelineid"], "name": query["name"], "display_name": query["display_name"]}
        made = self._add(self.versions, "pipeline_version_id", row)
        if "root" in documents[0]:
            self.inputs[made["pipeline_version_id"]] = documents[0]["root"]["inputDefinitions"]["parameters"]
        return made

    def _run(self, row: dict[str, Any]) -> dict[str, Any]:
        self._refers(row)
        return self._add(self.runs, "run_id", {**row, "state": "PENDING"})

    def _recurring(self, row: dict[str, Any]) -> dict[str, Any]:
        self._refers(row)
        cron = row["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) != 6:
            raise self._violation(f"{cron!r} would be misread: KFP's cron has six fields")
        if not isinstance(row["max_concurrency"], str):
            raise self._violation("max_concurrency is an int64, which is a string in JSON")
        status = "ENABLED" if row["mode"] == "ENABLE" else "DISABLED"
        return self._add(self.recurring, "recurring_run_id", {**row, "status": status})

    def _refers(self, row: dict[str, Any]) -> None:
        self._get(self.experiments, row["experiment_id"])
        reference = row["pipeline_version_reference"]
        if self._get(self.versions, reference["pipeline_version_id"])["pipeline_id"] != reference["pipeline_id"]:
            raise self._violation("the version is of another pipeline")
        inputs = self.inputs.get(reference["pipeline_version_id"])
        if inputs is not None:
            given = set(row["runtime_config"]["parameters"])
            needed = {name for name, one in inputs.items() if not one.get("isOptional")}
            if not needed <= given <= set(inputs):
                raise self._violation(f"the pipeline takes {set(inputs)} and was given {given}")

    def _in_namespace(self, row: dict[str, Any]) -> dict[str, Any]:
        if bool(row.get("namespace")) != self.multi_user:
            raise Refused(400, "a namespace is needed by several users, and refused by one")
        return row

    def _unique(self, rows: dict[str, dict[str, Any]], name: str) -> None:
        if any(row["display_name"] == name for row in rows.values()):
            raise Refused(409, f"{name} exists")

    def _add(self, rows: dict[str, dict[str, Any]], key: str, row: dict[str, Any]) -> dict[str, Any]:
        made = {**row, key: str(uuid.uuid4()), "created_at": self.now()}
        rows[made[key]] = made
        return made

    def _get(self, rows: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
        return rows.get(key) or self._missing()

    def _missing(self) -> dict[str, Any]:
        raise Refused(404, "no such thing")

    def _known(self, query: dict[str, str], names: set[str]) -> None:
        if set(query) - names:
            raise self._violation(f"unknown parameters {set(query) - names}")

    def _page(
        self, key: str, rows: dict[str, dict[str, Any]], query: dict[str, str], names: set[str]
    ) -> dict[str, Any]:
        self._known(query, names)
        if "namespace" in names and "experiment_id" not in query:
            self._in_namespace(query)
        found = [row for row in rows.values() if query.get("experiment_id") in {None, row.get("experiment_id")}]
        for predicate in strict(json.loads(query.get("filter", "{}")), "V2beta1Filter").get("predicates", []):
            text, name = predicate["string_value"], predicate["key"]
            equal = predicate["operation"] == "EQUALS"
            found = [row for row in found if (row[name].lower() == text.lower() if equal else text in row[name])]
        start, size = int(query.get("page_token", "0")), min(int(query.get("page_size", "10")), 20)
        rest = {"next_page_token": str(start + size)} if len(found) > start + size else {}
        return {key: found[start : start + size], "total_size": len(found), **rest}

    def _violation(self, text: str) -> Refused:
        self.violations.append(text)
        return Refused(400, text)


def strict(data: Any, kind: str) -> Any:
    """Check data against one of kfp-server-api's models: no unknown field, nothing the models can't read."""
    stack = [(data, kind)]
    while stack:
        value, kind_of = stack.pop()
        if kind_of.startswith("list["):
            stack += [(item, kind_of[5:-1]) for item in value]
        elif (model := getattr(kfp_server_api, kind_of, None)) and model.openapi_types:
            types = {model.attribute_map[name]: type_ for name, type_ in model.openapi_types.items()}
            if not (isinstance(value, dict) and set(value) <= set(types)):
                raise Misunderstood(f"{kind_of} does not know {value!r}")
            stack += [(value[name], type_) for name, type_ in types.items() if name in value]
        elif kind_of in SCALARS and not isinstance(value, SCALARS[kind_of]):
            raise Misunderstood(f"{value!r} is no {kind_of}")
    kfp_server_api.ApiClient().deserialize(_Body(json.dumps(data)), kind)
    return data


@dataclass
class _Body:
    data: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: KfpStub

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _serve(self, method: str) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts, stub = urlsplit(self.path), self.stub
        with stub.lock:
            stub.seen.append((method, self.path, dict(self.headers)))
            fault = next((each.kind for each in stub.faults if each.takes(method, parts.path)), "")
        if fault == "dropped" or self._broken(fault):
            self.close_connection = True
            return
        if stub.token is not None and self.headers.get("Authorization") != f"Bearer {stub.token}":
            self._send(401, {"error": "no valid token", "code": 16, "message": "no valid token"})
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            status, found = 200, stub.answer(method, parts.path, query, self._body(raw))
        except Refused as error:
            status, found = error.status, {"code": 3, "message": str(error)}
            if isinstance(error, Misunderstood):
                stub.violations.append(str(error))
        if fault in {"lost", "late"}:
            time.sleep(stub.late_seconds if fault == "late" else 0)
            self.close_connection = True
            return
        if fault == "truncated":
            self._raw(200, json.dumps(found).encode()[:-3], "application/json", len(json.dumps(found)))
            self.close_connection = True
            return
        self._send(status, found)

    def _broken(self, fault: str) -> bool:
        if fault.isdigit():
            self._send(int(fault), {"error": "made up", "code": 2, "message": "made up"})
        elif fault == "html":
            self._raw(200, b"<!DOCTYPE html><title>Log in</title>", "text/html; charset=utf-8")
        elif fault == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/login")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault == "elsewhere":
            self._raw(404, b"404 page not found\n", "text/plain; charset=utf-8")
        elif fault == "malformed":
            self._raw(200, b'{"run_id": "1', "application/json")
        elif fault == "list":
            self._raw(200, b"[1, 2]", "application/json")
        else:
            return False
        return True

    def _body(self, raw: bytes) -> Any:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
            parts = message.get_payload()
            return parts[0].get_payload(decode=True)  # type: ignore[index,union-attr]
        return json.loads(raw) if raw else None

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._raw(status, json.dumps(body).encode(), "application/json")

    def _raw(self, status: int, body: bytes, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no news."""


@contextmanager
def kfp_server(**settings: Any) -> Iterator[KfpStub]:
    """A stub on loopback; a request that the real server would not understand fails the block."""
    stub = KfpStub(**settings)
    handler = type("Handler", (_Handler,), {"stub": stub})
    with _Server(("127.0.0.1", 0), handler) as server:
        stub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()
    assert stub.violations == []
