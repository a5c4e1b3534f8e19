"""What a broken or foreign server does becomes one of our coded errors; nothing else reaches the user."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from acclimate.adapters.mlflow_errors import shown, translated, unknown, without_credentials
from acclimate.adapters.mlflow_registry import open_registry
from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError

HTML = (200, "text/html", "<html><body>Please log in</body></html>")


@contextmanager
def answering(status: int, kind: str, body: str) -> Iterator[str]:
    """A server on this machine that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://user:hunter2@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(error_code: str) -> str:
    return json.dumps({"error_code": error_code, "message": "as the server says"})


@pytest.mark.parametrize(
    ("answer", "kind", "code", "exit_code"),
    [
        ((401, "text/plain", "who are you"), AccessError, "E-REGISTRY-002", 77),
        ((403, "application/json", said("PERMISSION_DENIED")), AccessError, "E-REGISTRY-002", 77),
        (HTML, AccessError, "E-REGISTRY-005", 77),
        ((404, "text/html", "<h1>not found</h1>"), ConfigError, "E-REGISTRY-006", 2),
        ((500, "application/json", said("INTERNAL_ERROR")), UnavailableError, "E-REGISTRY-001", 75),
        ((503, "text/html", "<h1>busy</h1>"), UnavailableError, "E-REGISTRY-001", 75),
        ((429, "application/json", said("REQUEST_LIMIT_EXCEEDED")), UnavailableError, "E-REGISTRY-001", 75),
        ((400, "application/json", said("INVALID_PARAMETER_VALUE")), AcclimateError, "E-REGISTRY-009", 70),
    ],
)
def test_answers_become_coded_errors_without_credentials(
    answer: tuple[int, str, str],
    kind: type[AcclimateError],
    code: str,
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(*answer) as uri:
        registry = open_registry(uri, tmp_path)
        with pytest.raises(kind) as caught:
            registry.versions("mail")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert "hunter2" not in json.dumps(caught.value.to_dict())


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnavailableError) as caught:
        open_registry("http://127.0.0.1:9", tmp_path).versions("mail")
    assert caught.value.code == "E-REGISTRY-001"


def test_a_server_that_says_nothing_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(UnavailableError) as caught:
            open_registry(uri, tmp_path).versions("mail")
    assert caught.value.code == "E-REGISTRY-001"


@pytest.mark.parametrize("uri", ["ftp://example.org", "file:///tmp/mlruns"])
def test_a_store_of_another_kind_is_a_coded_error(uri: str, tmp_path: Path) -> None:
    with pytest.raises(AcclimateError) as caught:
        open_registry(uri, tmp_path).versions("mail")
    assert caught.value.code.startswith("E-REGISTRY-")


def test_a_file_that_is_no_database_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not SQLite, and long enough to have a header" * 10)
    with pytest.raises(UnavailableError) as caught:
        open_registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path).versions("mail")
    assert caught.value.code == "E-REGISTRY-001"


def test_a_workspace_that_is_a_file_is_a_coded_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "workspace").write_text("a file")
    with pytest.raises(AccessError) as caught:
        open_registry(None, tmp_path / "workspace")
    assert caught.value.code == "E-REGISTRY-004"


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("https://user:pw@host:5000/path?token=x", "https://host:5000/path"),
        ("postgresql://user:p%40ss@db/mlflow", "postgresql://db/mlflow"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("/srv/folder", "/srv/folder"),
    ],
)
def test_what_is_shown_of_a_uri(uri: str, wanted: str) -> None:
    assert shown(uri) == wanted


def test_credentials_are_cut_out_of_running_text() -> None:
    text = "could not reach https://user:pw@host/a nor s3://key:secret@bucket/b, mail me@example.org"
    assert without_credentials(text) == "could not reach https://host/a nor s3://bucket/b, mail me@example.org"
    assert without_credentials("dvc://mail.csv@v1?repo=https://me:pw@host/x") == "dvc://mail.csv@v1?repo=https://host/x"


@pytest.mark.parametrize(("known", "hint"), [(["mails"], "mails"), (["zzz"], "zzz"), ([], "nothing of the kind")])
def test_unknown_names_get_the_nearest_as_a_hint(known: list[str], hint: str) -> None:
    assert hint in unknown("registered model", "mail", known, "here").hint


def test_our_own_errors_pass_unchanged() -> None:
    wanted = ConfigError("E-CONFIG-001", "as it was")
    with pytest.raises(ConfigError) as caught, translated("here"):
        raise wanted
    assert caught.value is wanted


def test_a_database_s_failure_is_told_and_a_server_s_client_loads_no_database() -> None:
    from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError

    with pytest.raises(UnavailableError) as caught, translated("sqlite:///mlflow.db"):
        raise DatabaseTimeoutError("the pool is empty")
    assert caught.value.code == "E-REGISTRY-001"
    code = (
        "import sys, pathlib\n"
        "from acclimate.adapters.mlflow_registry import open_registry\n"
        "open_registry(sys.argv[1], pathlib.Path()).versions('mail')\n"
        "sys.exit('sqlalchemy' in sys.modules)\n"
    )
    with answering(200, "application/json", "{}") as address:
        subprocess.run([sys.executable, "-c", code, address], check=True, timeout=120)
