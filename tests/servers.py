"""Real servers on loopback for the tests: S3 (SeaweedFS) and MLflow. Each is gone when its ``with`` block ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY = "test"
# searched for in everything that is written: a secret must turn up nowhere
SECRET_KEY = "canary-of-s3-7d1e4f"
REGION = "us-east-1"
_STARTS = 3


class NotStartedError(Exception):
    """A server ended before it answered, or never answered."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of an MLflow server, set up by the way the chart takes.

    Args:
        admin: name of the one account there is at first.
        password: the admin's.
        default: what a user may do with what nobody has granted.
    """

    admin: str
    password: str
    default: str = "NO_PERMISSIONS"

    def environment(self, folder: Path) -> dict[str, str]:
        """What the server needs, its settings written into ``folder``."""
        settings = folder / "basic_auth.ini"
        settings.write_text(
            "[mlflow]\n"
            f"default_permission = {self.default}\n"
            f"database_uri = sqlite:///{folder / 'accounts.db'}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            # without it a password is hashed anew at every request: a third of a second each
            "auth_cache_ttl_seconds = 60\n"
        )
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_USERNAME": self.admin,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-test",
        }


def s3_environment(endpoint: str) -> dict[str, str]:
    """The environment in which boto3 speaks to a test server, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """An S3 server that keeps its data in ``folder`` and takes :data:`ACCESS_KEY` with :data:`SECRET_KEY`.

    A bucket is made by the first write to it.

    Yields:
        Its endpoint, ``http://127.0.0.1:PORT``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weed = Path(sys.executable).with_name("weed")
    environment = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    @contextmanager
    def start() -> Iterator[str]:
        names = [f"-{part}.{port}" for part in ("master", "volume", "filer", "s3", "admin") for port in _PORTS]
        ports = free_ports(len(names))
        listen = [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
        # a socket's path may not be longer than 107 bytes, and pytest's folders are
        sockets = [f"-{part}.localSocket=/tmp/acclimate-{part}-{ports[0]}.sock" for part in ("filer", "s3")]
        command = [str(weed), f"-logdir={folder}", "mini", f"-dir={folder}", *_LOOPBACK, *_WITHOUT, *listen, *sockets]
        endpoint = f"http://127.0.0.1:{ports[names.index('-s3.port')]}"
        try:
            with _running(command, folder, environment, f"{endpoint}/status"):
                yield endpoint
        finally:
            for each in sockets:
                Path(each.split("=")[1]).unlink(missing_ok=True)

    with _started(start) as endpoint:
        yield endpoint


_PORTS = ("port", "port.grpc")
_LOOPBACK = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")
_WITHOUT = (
    "-webdav=false",
    "-admin.ui=false",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # each bucket takes a volume
    "-volume.max=10000",
)


@contextmanager
def mlflow_server(
    folder: Path, artifacts: str, accounts: Accounts | None = None, *, database: str | None = None
) -> Iterator[str]:
    """An MLflow server that serves artifacts kept at ``artifacts``.

    Args:
        folder: gets the log, and the databases that are files.
        artifacts: a folder or ``s3://BUCKET/PREFIX``; for S3 the environment must name the server.
        accounts: makes it ask everybody for name and password.
        database: its backend store; None is SQLite in ``folder``.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = database or f"sqlite:///{folder / 'server.db'}"
    options = ["--backend-store-uri", database, "--artifacts-destination", artifacts]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    if accounts is not None:
        options.append("--app-name=basic-auth")
        environment |= accounts.environment(folder)

    @contextmanager
    def start() -> Iterator[str]:
        (port,) = free_ports(1)
        listen = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlflow", "server", *listen, *options]
        with _running(command, folder, environment, f"{address}/health"):
            yield address

    with _started(start) as address:
        yield address


@contextmanager
def model_server(folder: Path, model: str, tracking: str) -> Iterator[str]:
    """``mlflow models serve`` of a registered model, in the environment of the tests.

    Args:
        folder: gets the log.
        model: its URI.
        tracking: the MLflow server that knows it.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def start() -> Iterator[str]:
        (port,) = free_ports(1)
        listen = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", *listen]
        # it starts uvicorn by name, as in an environment that was activated
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        with _running(command, folder, {"MLFLOW_TRACKING_URI": tracking, "PATH": path}, f"{address}/health"):
            yield address

    with _started(start) as address:
        yield address


@contextmanager
def _started(start: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A port found free may be taken before the server has it: then try others."""
    with ExitStack() as stack:
        for attempt in range(1, _STARTS + 1):
            try:
                address = stack.enter_context(start())
                break
            except NotStartedError:
                if attempt == _STARTS:
                    raise
        yield address


@contextmanager
def _running(command: list[str], folder: Path, environment: Mapping[str, str], health: str) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(health, process, log)
            yield
        finally:
            # it may have ended by itself: why is in its log
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(health: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise NotStartedError(log.read_text(errors="replace")[-3000:])
