"""Checks of this installation and of every service it is configured for, each with what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from acclimate.checks import source_card_of
from acclimate.config_base import DataSpec
from acclimate.errors import AcclimateError, ConfigError, UnavailableError
from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.version import __version__
from acclimate.wiring import located, registry_at, store_of

FREE_BYTES_WANTED = 5 * 10**9
CONNECT_SECONDS = 5.0
NEEDED = {
    "models": ("torch", "transformers", "safetensors"),
    "train": ("peft", "sklearn", "scipy"),
    "registry": ("mlflow", "huggingface_hub"),
    "report": ("jinja2", "matplotlib"),
    "pipeline": ("kfp",),
}
SERVICE_EXTRAS = {"s3": ("boto3", "stamina"), "dvc": ("dvc",), "ray": ("ray",), "cluster": ("kubernetes",)}


def doctor(path: Path | None) -> dict[str, Any]:
    """Check this installation and, with a configuration, every service it names.

    KFP is checked where ``KFP_ENDPOINT`` is set, Ray where ``RAY_ADDRESS`` is, MLflow where the configuration or
    ``MLFLOW_TRACKING_URI`` names a server.

    Args:
        path: an adaptation.yaml, or None.

    Returns:
        ``healthy`` and ``checks``: a list of ``name``, ``ok``, ``says`` and ``hint``.
    """
    request = load_request(path) if path else None
    checks = [_python(), *(_extra(name, modules) for name, modules in NEEDED.items()), *_services(request)]
    return {"healthy": all(check["ok"] for check in checks), "version": __version__, "checks": checks}


def _services(request: Request | None) -> Iterator[dict[str, Any]]:
    workspace = request.workspace if request else str(Path(".acclimate").resolve())
    home = Path.cwd() if "://" in workspace else Path(workspace)
    if workspace.startswith("s3://"):
        yield _service("s3", lambda: _conditional_writes(workspace))
    else:
        yield _disk(home)
    uri = request.adaptation.tracking.uri if request else None
    if uri or os.environ.get("MLFLOW_TRACKING_URI") or (home / "mlflow.db").exists():
        yield _attempt("registry", lambda: _registry(uri, home))
    if os.environ.get("KFP_ENDPOINT"):
        yield _attempt("kfp", _kfp)
    if os.environ.get("RAY_ADDRESS"):
        yield _service("ray", lambda: _reachable(os.environ["RAY_ADDRESS"]))
    if request:
        yield _attempt("source model", lambda: f"{source_card_of(request).name} is there and may be loaded")
        yield from _data(request)


def _data(request: Request) -> Iterator[dict[str, Any]]:
    reference = request.adaptation.source.reference
    for name, spec in (("target data", request.adaptation.target), ("reference data", reference)):
        if spec is None:
            continue
        if spec.data.startswith("dvc://") and (check := _extra("dvc", SERVICE_EXTRAS["dvc"])) and not check["ok"]:
            yield check
            continue
        yield _attempt(name, partial(_files, request, spec))


def _files(request: Request, spec: DataSpec) -> str:
    found = len(located(request, store_of(request.workspace).home, spec).digests)
    return f"{found} file{'s' if found > 1 else ''} can be read"


def _conditional_writes(workspace: str) -> str:
    """Write, refuse to write again, refuse a stale replacement: what locks and manifests rest on."""
    from acclimate.adapters.s3 import S3, S3Uri

    s3, probe = S3(), S3Uri.parse(workspace) / f"doctor-{secrets.token_hex(8)}"
    etag = s3.put_bytes(probe, b"1", if_absent=True)
    try:
        again = s3.put_bytes(probe, b"2", if_absent=True)
        replaced = s3.put_bytes(probe, b"3", if_match=etag)
        stale = s3.put_bytes(probe, b"4", if_match=etag)
    finally:
        s3.delete(probe)
    if again is not None or stale is not None or replaced is None:
        raise UnavailableError(
            "E-DOCTOR-001",
            "the store ignores If-None-Match or If-Match, so two runs could overwrite each other",
            where=workspace,
            hint="use a store with conditional writes: AWS S3, SeaweedFS 3.8x or newer, MinIO",
        )
    return "reading, writing and conditional writes work"


def _registry(uri: str | None, workspace: Path) -> str:
    registry_at(uri, workspace).versions("acclimate-doctor")
    return "MLflow answers"


def _kfp() -> str:
    from acclimate.adapters.kfp_access import KfpAccess
    from acclimate.adapters.kfp_client import Kfp

    access = KfpAccess.find()
    with Kfp(access) as kfp:
        kfp.runs(limit=1)
    return f"Kubeflow Pipelines answers at {access.endpoint}"


def _reachable(address: str) -> str:
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname is None or address == "auto":
        return f"RAY_ADDRESS is {address!r}: found when training starts"
    try:
        with socket.create_connection((parts.hostname, parts.port or 10001), CONNECT_SECONDS):
            return f"{address} answers"
    except OSError as error:
        raise UnavailableError(
            "E-DOCTOR-002",
            f"Ray can't be reached: {error}",
            where=f"RAY_ADDRESS={address}",
            hint="start the cluster or unset RAY_ADDRESS; with compute.workers: 1 no Ray is needed",
        ) from error
    except ValueError as error:
        raise ConfigError(
            "E-DOCTOR-003", f"this is no address: {error}", where=f"RAY_ADDRESS={address}", hint="HOST:PORT"
        ) from error


def _service(name: str, action: Callable[[], str]) -> dict[str, Any]:
    installed = _extra(name, SERVICE_EXTRAS[name])
    return _attempt(name, action) if installed["ok"] else installed


def _python() -> dict[str, Any]:
    return _check("python", True, f"{platform.python_version()} on {platform.platform(terse=True)}")


def _extra(name: str, modules: Sequence[str]) -> dict[str, Any]:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    hint = f'pip install "acclimate[{name}]"' if missing else ""
    says = f"missing: {', '.join(missing)}" if missing else f"{', '.join(modules)} are installed"
    return _check(f"extra {name}", not missing, says, hint)


def _disk(workspace: Path) -> dict[str, Any]:
    place = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
    free, writable = shutil.disk_usage(place).free, os.access(place, os.W_OK)
    says = f"{free / 1e9:.0f} GB free at {place}" + ("" if writable else ", not writable")
    hint = "" if writable and free > FREE_BYTES_WANTED else "set workspace: to a writable place with 5 GB free"
    return _check("workspace", not hint, says, hint)


def _attempt(name: str, action: Callable[[], str]) -> dict[str, Any]:
    try:
        return _check(name, True, action())
    except AcclimateError as error:
        return _check(name, False, f"{error.code} {error}", error.hint)


def _check(name: str, ok: bool, says: str, hint: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "says": says, "hint": hint}


def doctor_text(found: dict[str, Any]) -> str:
    """The checks as lines for people."""
    lines = [f"acclimate {found['version']}"]
    for check in found["checks"]:
        lines.append(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']:<15} {check['says']}")
        if check["hint"]:
            lines.append(f"      {'':<15} to do: {check['hint']}")
    return "\n".join(lines)
