"""Checks of this installation and of every service it is configured for, each with what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from acclimate.adapters.promotion_rules import moved_by_hand, require_right_challenger
from acclimate.checks import source_card_of
from acclimate.config_base import DataSpec
from acclimate.config_file.addresses import scheme_of
from acclimate.errors import AccessError, AcclimateError, ConfigError, ModelError, UnavailableError
from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.version import __version__
from acclimate.wiring import located, promotions_of, registry_at, store_of

if TYPE_CHECKING:
    from acclimate.adapters.kubernetes_api import KubernetesApi

FREE_BYTES_WANTED = 5 * 10**9
CONNECT_SECONDS = 5.0
# how long a service may be asked again; who waits for it here wants to know now
BUDGET_SECONDS = 8.0
IN_A_POD = "KUBERNETES_SERVICE_HOST"
NEEDED = {
    "models": ("torch", "transformers", "safetensors"),
    "train": ("peft", "sklearn", "scipy"),
    "registry": ("mlflow", "huggingface_hub"),
    "report": ("jinja2", "matplotlib"),
    "pipeline": ("kfp",),
}
SERVICE_EXTRAS = {"s3": ("boto3", "stamina"), "dvc": ("dvc",), "ray": ("ray",)}
# what a step that trains with several workers asks of the Kubernetes API
RIGHTS = (
    ("ray.io", "rayjobs", "create"),
    ("ray.io", "rayjobs", "get"),
    ("ray.io", "rayjobs", "delete"),
    ("", "pods", "get"),
)
RAYJOBS = "/apis/ray.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def doctor(path: Path | None, *, allow_outside: bool = False) -> dict[str, Any]:
    """Check this installation and, with a configuration, every service it names.

    KFP is checked where ``KFP_ENDPOINT`` is set and in every pod, Ray where ``RAY_ADDRESS`` is set, MLflow where the
    configuration or ``MLFLOW_TRACKING_URI`` names a server; whether RayJobs may be made, in a pod, for a configuration
    with several workers and no ``RAY_ADDRESS``.

    Args:
        path: an adaptation.yaml, or None.
        allow_outside: data and the policy may lie outside the project root.

    Returns:
        ``healthy`` and ``checks``: a list of ``name``, ``ok``, ``says`` and ``hint``, which a failed check never lacks.

    Raises:
        ConfigError: the configuration can't be used as written.
        DataError: a local file that it names is not there.
    """
    request = load_request(path, allow_outside=allow_outside) if path else None
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
        registry = _attempt("registry", lambda: _registry(uri, home))
        yield registry
        if request and registry["ok"]:
            yield _attempt("champion", lambda: _champion(request, home))
            yield _attempt("challenger", lambda: _challenger(request, home))
    if os.environ.get("KFP_ENDPOINT") or os.environ.get(IN_A_POD):
        yield _attempt("kfp", _kfp)
    if os.environ.get("RAY_ADDRESS"):
        yield _service("ray", lambda: _reachable(os.environ["RAY_ADDRESS"]), hint=_token_hint())
    elif os.environ.get(IN_A_POD) and request and request.adaptation.compute.most_workers > 1:
        yield _attempt("rayjobs", _rayjobs)
    if request:
        yield _attempt("source model", lambda: f"{source_card_of(request).name} is there and may be loaded")
        yield from _data(request)


def _data(request: Request) -> Iterator[dict[str, Any]]:
    config = request.adaptation
    tables = {
        "target": config.target,
        "reference": config.source.reference,
        "pool": config.pool.table if config.pool else None,
        "fresh": config.retrain.fresh,
    }
    for name, spec in tables.items():
        if spec is None:
            continue
        extra = scheme_of(spec.data)
        check = _extra(extra, SERVICE_EXTRAS[extra]) if extra in SERVICE_EXTRAS else None
        if check is not None and not check["ok"]:
            yield check
            continue
        yield _attempt(f"{name} data", partial(_files, request, spec))


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


def _champion(request: Request, home: Path) -> str:
    """Whether MLflow's alias still is where the promotion log says."""
    config = request.adaptation
    registry = registry_at(config.tracking.uri, home, promotions_of(request))
    try:
        found = registry.promotions(config.name)
    except ModelError:
        return f"{config.name} has no versions yet"
    if found.champion_deleted or found.moved_by_hand:
        raise moved_by_hand(config.name, found)
    if found.unfinished is not None:
        raise UnavailableError(
            "E-PROMOTE-011",
            f"an act was interrupted: {found.unfinished.named} is in the log and was not seen done in MLflow",
            where=config.name,
            hint=f"see acclimate history {config.name}; the next promote, rollback, shadow or approve finishes it",
        )
    if found.champion is None:
        return f"{config.name} has no champion"
    last = next(found.log.moves, None)
    return f"version {found.champion}" + (f", by {last.by}: {last.reason}" if last else ", made before there was a log")


def _challenger(request: Request, home: Path) -> str:
    """Whether MLflow's alias is at a version that may have it."""
    config = request.adaptation
    registry = registry_at(config.tracking.uri, home, promotions_of(request))
    found = next((one for one in registry.versions(config.name) if "challenger" in one.aliases), None)
    if found is None:
        return f"{config.name} has no challenger"
    require_right_challenger(found, registry.promotions(config.name).log)
    return f"version {found.version}, which the gate lets run beside the champion"


def _kfp() -> str:
    from acclimate.adapters.kfp_access import KfpAccess
    from acclimate.adapters.kfp_client import Kfp

    access = KfpAccess.find()
    with Kfp(access, budget_seconds=BUDGET_SECONDS) as kfp:
        kfp.runs(limit=1)
    return f"Kubeflow Pipelines answers at {access.endpoint}"


def _rayjobs() -> str:
    from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi

    with closing(KubernetesApi(KubernetesAccess.of_this_pod(), budget_seconds=BUDGET_SECONDS)) as api:
        return require_rayjobs(api)


def require_rayjobs(api: KubernetesApi) -> str:
    """Check that RayJobs can be made here: that the cluster knows them, and that this pod's account may.

    Nothing is made: the API is asked for its kinds, and by SelfSubjectAccessReviews for our rights.

    Args:
        api: of the cluster, in the namespace in which steps run.

    Returns:
        What was found, in words.

    Raises:
        UnavailableError: E-RAY-002, it knows no RayJobs; E-RAY-007, it does not answer.
        AccessError: E-DOCTOR-004, the account lacks rights; E-RAY-003, -004, -015, it is not let in at all.
    """
    from acclimate.adapters.kubernetes_api import RefusedError
    from acclimate.adapters.rayjob_errors import refused

    try:
        kinds = [kind.get("name") for kind in api.get(RAYJOBS).get("resources") or []]
        denied = [f"{verb} {kind}" for group, kind, verb in RIGHTS if not _may(api, group, kind, verb)]
    except RefusedError as error:
        raise refused(error) from error
    if "rayjobs" not in kinds:
        raise refused(RefusedError(404, "NotFound", "no rayjobs among its kinds", f"GET {RAYJOBS}", "rayjobs"))
    if denied:
        raise AccessError(
            "E-DOCTOR-004",
            f"this pod's service account may not {', '.join(denied)}",
            where=f"namespace {api.namespace}",
            hint="run this as the account that steps run as, and bind that to the Role acclimate-runner: the chart "
            "does it for those in its value runner.serviceAccounts",
        )
    return f"RayJobs can be made in {api.namespace}"


def _may(api: KubernetesApi, group: str, kind: str, verb: str) -> bool:
    asked = {"namespace": api.namespace, "group": group, "resource": kind, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    return bool((api.create(REVIEWS, review).get("status") or {}).get("allowed"))


def _reachable(address: str) -> str:
    _require_token()
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname is None or address == "auto":
        return f"RAY_ADDRESS is {address!r}: found when training starts"
    try:
        with socket.create_connection((parts.hostname, parts.port or 10001), CONNECT_SECONDS):
            return f"{address} answers; whether it takes our token shows when training starts"
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


def _require_token() -> None:
    """Refuse a mode that asks for a token where there is none: Ray would refuse it when training starts."""
    mode, home = os.environ.get("RAY_AUTH_MODE", ""), Path.home() / ".ray" / "auth_token"
    is_there = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")) or home.is_file()
    if mode.lower() == "token" and not is_there:
        raise ConfigError(
            "E-DOCTOR-005",
            "RAY_AUTH_MODE is token, but there is no token",
            where="RAY_AUTH_TOKEN",
            hint="set RAY_AUTH_TOKEN to the token of the Ray cluster, or unset RAY_AUTH_MODE",
        )


def _token_hint() -> str:
    """What to do about a token that Ray would pass over."""
    token, mode = os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_MODE", "")
    if not token or mode.lower() == "token":
        return ""
    found = f"RAY_AUTH_MODE is {mode!r}" if mode else "RAY_AUTH_MODE is not set"
    return f"RAY_AUTH_TOKEN is set but {found}: set RAY_AUTH_MODE=token, or the token may not be sent"


def _service(name: str, action: Callable[[], str], *, hint: str = "") -> dict[str, Any]:
    installed = _extra(name, SERVICE_EXTRAS[name])
    return _attempt(name, action, hint=hint) if installed["ok"] else installed


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


def _attempt(name: str, action: Callable[[], str], *, hint: str = "") -> dict[str, Any]:
    """Try something; ``hint`` is what to know even where it works."""
    try:
        return _check(name, True, action(), hint)
    except AcclimateError as error:
        where = f" ({error.where})" if error.where else ""
        return _check(
            name, False, f"{error.code} {error}{where}", error.hint or "look at the log of what answers there"
        )


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
