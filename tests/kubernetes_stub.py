"""A stand-in for the Kubernetes API with KubeRay's operator behind it: checks each object that is created."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

OURS = Path(__file__).with_name("schemas") / "rayjob.json"
KUBERAYS = Path(
    os.environ.get("ACCLIMATE_SCHEMAS", Path(__file__).parents[2] / "shared" / "schemas"), "RayJob-ray.io-v1.json"
)
NAMESPACE = "team"
TOKEN = "stub-token"
PENDING: dict[str, Any] = {"jobDeploymentStatus": "Initializing", "rayClusterName": "cluster"}
RUNNING = {**PENDING, "jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
SUCCEEDED = {**PENDING, "jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {**PENDING, "jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed"}


class Refused(Exception):
    """An answer of the API that isn't success."""

    def __init__(self, status: int, reason: str, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
        if kind:
            self.body["details"] = {"kind": kind, "group": "ray.io"}


@dataclass
class KubernetesStub:
    """The cluster's state, open to the tests.

    Args:
        script: statuses that a job goes through, one a look; the last one stays.
        again: the same for jobs made after the first.
        pods: what lies in the namespace, by name.
        maps: ConfigMaps' data by name.
        faults: what goes wrong with the next requests: (method, kind), kind a status or "reset" or "lost".
        refuse: what each POST of a RayJob gets.
        on_create: what the job does, all at once.
    """

    script: list[dict[str, Any]] = field(default_factory=lambda: [{}, PENDING, RUNNING, SUCCEEDED])
    again: list[dict[str, Any]] | None = None
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    refuse: Refused | None = None
    on_create: Callable[[dict[str, Any]], None] = lambda body: None
    has_operator: bool = True
    frozen_deletion: bool = False
    server: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        with self.lock:
            parts = path.strip("/").split("/")
            match parts:
                case ["apis", "ray.io", "v1", "namespaces", namespace, "rayjobs", *rest] if namespace == NAMESPACE:
                    if not self.has_operator:
                        raise Refused(404, "", "404 page not found")
                    return self._rayjobs(method, rest, body)
                case ["api", "v1", "namespaces", namespace, kind, *rest] if namespace == NAMESPACE and method == "GET":
                    return 200, self._plain(kind, rest, query)
            raise self._violation(405, f"{method} {path} is more than the step may do")

    def _rayjobs(self, method: str, rest: list[str], body: Any) -> tuple[int, dict[str, Any]]:
        match (method, *rest):
            case ("POST",):
                return 201, self._create(body)
            case ("GET", name) if name in self.jobs:
                job = self.jobs[name]
                script = job["script"]
                status = script.pop(0) if len(script) > 1 else script[0]
                if status is None:
                    del self.jobs[name]
                    raise self._absent(name)
                return 200, {**job["object"], "status": status}
            case ("DELETE", name) if name in self.jobs:
                if body.get("propagationPolicy") != "Background":
                    raise self._violation(422, "the pods would stay")
                self.deleted.append(name)
                if self.frozen_deletion:
                    self.jobs[name]["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                else:
                    del self.jobs[name]
                return 200, {"kind": "Status", "status": "Success"}
            case ("GET" | "DELETE", name):
                raise self._absent(name)
        raise self._violation(405, f"{method} {rest}")

    def _create(self, body: Any) -> dict[str, Any]:
        if self.refuse is not None:
            raise self.refuse
        found = [error for schema in schemas() for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
        if found:
            raise self._violation(422, f"{found[0].json_path}: {found[0].message[:200]}")
        name = body["metadata"]["name"]
        if name in self.jobs:
            raise Refused(409, "AlreadyExists", f'rayjobs.ray.io "{name}" already exists', "rayjobs")
        script = self.again if self.created and self.again is not None else self.script
        self.jobs[name] = {"object": body, "script": list(script)}
        self.created.append(body)
        self.on_create(body)
        return dict(body)

    def _plain(self, kind: str, rest: list[str], query: dict[str, str]) -> dict[str, Any]:
        if kind == "pods" and not rest:
            key, _, value = query.get("labelSelector", "").partition("=")
            items = [pod for pod in self.pods.values() if pod["metadata"].get("labels", {}).get(key) == value]
            return {"kind": "PodList", "items": items}
        if kind == "pods" and rest[0] in self.pods:
            return self.pods[rest[0]]
        if kind == "configmaps" and rest and rest[0] in self.maps:
            return {"kind": "ConfigMap", "data": self.maps[rest[0]]}
        raise Refused(404, "NotFound", f'{kind} "{"".join(rest)}" not found', kind)

    def _absent(self, name: str) -> Refused:
        return Refused(404, "NotFound", f'rayjobs.ray.io "{name}" not found', "rayjobs")

    def _violation(self, status: int, message: str) -> Refused:
        self.violations.append(message)
        return Refused(status, "Invalid", message)


def closed(schema: Any) -> Any:
    """A Kubernetes schema as its server reads it: what is not named is refused."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) for key, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def schemas() -> list[dict[str, Any]]:
    """Ours, and KubeRay's where it is there."""
    found = [json.loads(OURS.read_text(encoding="utf-8"))]
    if KUBERAYS.is_file():
        real = json.loads(KUBERAYS.read_text(encoding="utf-8"))
        plain = {name: {} for name in ("apiVersion", "kind", "metadata", "status")}
        found.append(closed({**real, "properties": {**plain, "spec": real["properties"]["spec"]}}))
    return found


@contextmanager
def kubernetes_stub(stub: KubernetesStub, certificate: Path | None = None) -> Iterator[KubernetesStub]:
    """Serve a cluster on loopback.

    Args:
        stub: its state.
        certificate: PEM file with the server's certificate and key, for what insists on TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            data = self.rfile.read(size) if size else b""
            url = urlsplit(self.path)
            stub.asked.append((self.command, url.path))
            fault = self._fault()
            if fault == "reset":
                self._reset()
                return
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            try:
                self._admit(fault)
                status, body = stub.answer(self.command, url.path, query, json.loads(data) if data else {})
            except Refused as error:
                status, body = error.status, error.body
            if fault == "lost":
                self._reset()
                return
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def _admit(self, fault: str) -> None:
            if fault.isdecimal():
                raise Refused(int(fault), "", "a fault")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refused(401, "Unauthorized", "Unauthorized")

        def _fault(self) -> str:
            with stub.lock:
                for index, (method, kind) in enumerate(stub.faults):
                    if method in {"", self.command}:
                        del stub.faults[index]
                        return kind
            return ""

        def _reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # a client that gave up is no news
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.server = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
