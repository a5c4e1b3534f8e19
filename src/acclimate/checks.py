"""Checks before anything is run: one adaptation's inputs, and this installation with its services."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acclimate.adapters.sources import resolve_source
from acclimate.errors import AcclimateError
from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.version import __version__
from acclimate.wiring import registry_at

FREE_BYTES_WANTED = 5 * 10**9
NEEDED = {
    "models": ("torch", "transformers", "safetensors"),
    "train": ("peft", "sklearn", "scipy"),
    "registry": ("mlflow", "huggingface_hub"),
    "report": ("jinja2", "matplotlib"),
    "pipeline": ("kfp",),
}


def validate(path: str | Path, overrides: Sequence[str] = (), *, allow_outside: bool = False) -> dict[str, Any]:
    """Check an adaptation.yaml, its source model and its data; no weights are loaded.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.

    Returns:
        ``valid``, ``name``, ``rows``, ``labels``, ``source`` (name, revision, digest, licence) and ``warnings``.

    Raises:
        AcclimateError: the first stage that finds something wrong; config problems all at once.
    """
    from acclimate.adapters.tables import read_table
    from acclimate.stages.ingest import ingest

    request = load_request(path, overrides, allow_outside=allow_outside)
    config = request.adaptation
    card = _source(request)
    with tempfile.TemporaryDirectory() as folder:
        data = ingest(
            config.target,
            config.source.reference,
            task=config.task,
            root=request.root,
            allow_outside=allow_outside,
            out=Path(folder),
            read=read_table,
        )
    return {
        "valid": True,
        "name": config.name,
        "rows": data.target.rows_kept,
        "labels": data.target.labels or [],
        "source": card.model_dump(include={"name", "revision", "digest", "licence"}),
        "warnings": [*data.target.warnings, *(data.reference.warnings if data.reference else [])],
    }


def _source(request: Request) -> Any:
    spec = request.adaptation.source
    return resolve_source(spec.model, root=request.root, licence=spec.licence, allow_outside=request.allow_outside)[1]


def doctor(path: Path | None) -> dict[str, Any]:
    """Check this installation and, with a configuration, every service it names.

    Args:
        path: an adaptation.yaml, or None.

    Returns:
        ``healthy`` and ``checks``: a list of ``name``, ``ok``, ``says`` and ``hint``.
    """
    request = load_request(path) if path else None
    workspace = request.workspace if request else Path(".acclimate").resolve()
    checks = [_python(), *(_extra(name, modules) for name, modules in NEEDED.items()), _disk(workspace)]
    uri = request.adaptation.tracking.uri if request else None
    tracked = uri or os.environ.get("MLFLOW_TRACKING_URI") or (workspace / "mlflow.db").exists()
    if tracked:
        checks.append(_attempt("registry", lambda: _registry(uri, workspace)))
    if request:
        checks.append(_attempt("source model", lambda: f"{_source(request).name} is there and may be loaded"))
    return {"healthy": all(check["ok"] for check in checks), "version": __version__, "checks": checks}


def _registry(uri: str | None, workspace: Path) -> str:
    registry_at(uri, workspace).versions("acclimate-doctor")
    return "MLflow answers"


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
