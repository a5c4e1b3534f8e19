"""Model folders in MLflow: stored as pyfunc by loader module, fetched back with their bytes checked."""

from __future__ import annotations

import re
import tempfile
import uuid
import warnings
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import is_error, unknown
from acclimate.adapters.mlflow_measured import tie_to_model
from acclimate.adapters.mlflow_tags import CONTENT_SHA256, KIND, MODEL_DIGEST, RUN_KEY, flattened
from acclimate.digests import data_digest, file_digest
from acclimate.errors import IntegrityError, ModelError
from acclimate.records import GENERATION_TASK, IMAGE_TASK
from acclimate.registry import RunRecords
from acclimate.version import __version__

LOADER_MODULE = "acclimate.serving"
_MODEL_NAME = "model"
_DATA = "data"
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{8,64})")
_VERSION = re.compile(r"models:/([^/@]+)/(\d+)")
_ALIAS = re.compile(r"models:/([^/@]+)@([^/@]+)")
_RUN = re.compile(r"runs:/([0-9a-f]{8,64})/([^/]+)")


@dataclass(frozen=True)
class StoredModel:
    """Where a model's artifacts lie and what their digest must be."""

    uri: str
    location: str
    content_sha256: str


def content_sha256(folder: Path) -> str:
    """sha256 over names and bytes of every file below ``folder``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return data_digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})


def store(connection: Connection, run_id: str, records: RunRecords, folder: Path) -> str:
    """Store a model folder with a run, once for the same bytes; returns ``models:/m-...``.

    What an earlier call was cut off before is made up for: what was measured of the model, and that the run made it.
    """
    run = connection.client.get_run(run_id)
    content = content_sha256(folder)
    logged = _stored_before(connection, run, content) or _stored_now(connection, run, records, folder, content)
    tie_to_model(connection, run, logged, records)
    made = run.outputs.model_outputs if run.outputs else []
    if all(one.model_id != logged.model_id for one in made):
        _link(connection, run_id, logged.model_id)
    return f"models:/{logged.model_id}"


def _stored_now(connection: Connection, run: Any, records: RunRecords, folder: Path, content: str) -> Any:
    tags = {
        KIND: "adapted model",
        RUN_KEY: records.run_key,
        CONTENT_SHA256: content,
        MODEL_DIGEST: records.evaluation.model_digest,
    }
    logged = connection.client.create_logged_model(
        run.info.experiment_id,
        name=_MODEL_NAME,
        source_run_id=run.info.run_id,
        tags=tags,
        params=_params(records),
        model_type=records.data.task,
    )
    _upload(connection, logged, run.info.run_id, records, folder)
    return connection.client.finalize_logged_model(logged.model_id, "READY")


def _params(records: RunRecords) -> dict[str, str]:
    """What the model is and how it was made; of a trained one the settings of its training too."""
    evaluation, source = records.evaluation, records.source
    arms = records.finetune.arms if records.finetune else []
    made = next((arm for arm in arms if arm.role == "arm" and arm.strategy == evaluation.strategy), None)
    return flattened(
        {
            "run_key": records.run_key,
            "task": records.data.task,
            "metric": evaluation.metric,
            "strategy": evaluation.strategy,
            "decision_rule": records.decision.rule,
            "source": {"name": source.name, "revision": source.revision, "digest": source.digest},
            "settings": made.settings if made else {},
        }
    )


def _stored_before(connection: Connection, run: Any, content: str) -> Any | None:
    found = connection.client.search_logged_models(
        [run.info.experiment_id], filter_string=f"tags.`{CONTENT_SHA256}` = '{content}'"
    )
    ready = [one for one in found if one.source_run_id == run.info.run_id and str(one.status) == "READY"]
    return min(ready, key=lambda one: str(one.model_id), default=None)


def _upload(connection: Connection, logged: Any, run_id: str, records: RunRecords, folder: Path) -> None:
    from mlflow.models import Model

    described = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        signature=_signature(records.data.task, records.evaluation.labels),
    )
    with tempfile.TemporaryDirectory() as temporary:
        local = Path(temporary) / _MODEL_NAME
        _save_model()(
            str(local),
            loader_module=LOADER_MODULE,
            data_path=str(folder),
            mlflow_model=described,
            pip_requirements=_requirements(),
        )
        connection.client.log_model_artifacts(logged.model_id, str(local))


def _save_model() -> Any:
    with warnings.catch_warnings():
        # MLflow warns about type hints of its own while it is being imported.
        warnings.simplefilter("ignore", UserWarning)
        from mlflow.pyfunc import save_model
    return save_model


def _link(connection: Connection, run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    connection.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _signature(task: str, labels: list[str]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = ColSpec("binary", "image") if task == IMAGE_TASK else ColSpec("string", "text")
    columns = [ColSpec("string", "label"), *(ColSpec("double", f"probability_{label}") for label in labels)]
    if task == GENERATION_TASK:
        columns = [ColSpec("string", "answer")]
    return ModelSignature(inputs=Schema([given]), outputs=Schema(columns))


def _requirements() -> list[str]:
    public = {name: installed_version(name).split("+")[0] for name in ("mlflow", "torch", "transformers")}
    return [f"acclimate[models]=={__version__}", *(f"{name}=={version}" for name, version in public.items())]


def fetch(connection: Connection, uri: str, into: Path) -> Path:
    """Folder of a stored model below ``into``, bytes checked; the same bytes are fetched once.

    Raises:
        ModelError: E-REGISTRY-003, unknown; E-REGISTRY-007, not a URI of a model; E-REGISTRY-012, not ours.
        IntegrityError: E-REGISTRY-011, the bytes aren't those that were registered.
    """
    stored = resolve(connection, uri)
    target = into / stored.content_sha256[:24]
    if target.is_dir() and content_sha256(target) == stored.content_sha256:
        return target
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".fetching-") as temporary:
        folder = _download(connection, stored, Path(temporary))
        if content_sha256(folder) != stored.content_sha256:
            raise IntegrityError(
                "E-REGISTRY-011",
                "the stored model isn't the one that was registered: its bytes have changed",
                where=uri,
                hint="don't use it; register the adaptation again from its workspace",
            )
        if target.exists():
            target.rename(into / f".damaged-{uuid.uuid4().hex}")
        folder.rename(target)
    return target


def _download(connection: Connection, stored: StoredModel, into: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    location = f"{stored.location.rstrip('/')}/{_DATA}"
    data = Path(download_artifacts(location, dst_path=str(into), tracking_uri=connection.uri))
    folders = [path for path in data.iterdir() if path.is_dir()] if data.is_dir() else []
    if len(folders) != 1:
        raise IntegrityError("E-REGISTRY-011", "the stored model isn't whole: its folder is gone", where=stored.uri)
    return folders[0]


def resolve(connection: Connection, uri: str) -> StoredModel:
    """Find what a model URI points at, and the digest it must have."""
    if match := _LOGGED.fullmatch(uri):
        logged = connection.client.get_logged_model(match[1])
        return _checked(uri, logged.artifact_location, logged.tags)
    if match := _VERSION.fullmatch(uri):
        return _version(connection, uri, match[1], match[2])
    if match := _ALIAS.fullmatch(uri):
        return _version(connection, uri, match[1], _aliased(connection, match[1], match[2]))
    if match := _RUN.fullmatch(uri):
        return _of_run(connection, uri, match[1], match[2])
    raise ModelError(
        "E-REGISTRY-007",
        "this is not the URI of a model",
        where=uri[:200],
        hint="use models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN_ID/model",
    )


def _checked(uri: str, location: str, tags: dict[str, str]) -> StoredModel:
    if CONTENT_SHA256 not in tags:
        raise ModelError(
            "E-REGISTRY-012",
            "this model was not stored by acclimate: there is no digest to check its bytes against",
            where=uri,
            hint="use a model that acclimate registered",
        )
    return StoredModel(uri, location, tags[CONTENT_SHA256])


def _version(connection: Connection, uri: str, name: str, version: str) -> StoredModel:
    from mlflow.exceptions import MlflowException

    registered = registered_model(connection, name)
    try:
        found = connection.client.get_model_version(name, version)
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise
        live = connection.client.search_model_versions(f"name = '{name}'")
        raise unknown("version", version, [str(one.version) for one in live], registered.name) from error
    return _checked(uri, connection.client.get_model_version_download_uri(name, version), found.tags)


def registered_model(connection: Connection, name: str) -> Any:
    """The registered model of that name, or a ModelError that names the nearest."""
    from mlflow.exceptions import MlflowException

    try:
        return connection.client.get_registered_model(name)
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        names = [one.name for one in every(connection.client.search_registered_models)]
        raise unknown("registered model", name[:200], names, connection.shown_uri) from error


def _aliased(connection: Connection, name: str, alias: str) -> str:
    aliases = registered_model(connection, name).aliases
    if alias not in aliases:
        raise unknown("alias", alias, aliases, f"models:/{name}")
    return str(aliases[alias])


def _of_run(connection: Connection, uri: str, run_id: str, name: str) -> StoredModel:
    run = connection.client.get_run(run_id)
    found = connection.client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'"
    )
    named = [one for one in found if one.name == name and str(one.status) == "READY"]
    if not named:
        raise unknown("model of the run", name, {one.name for one in found}, uri)
    newest = max(named, key=lambda one: (one.creation_timestamp, one.model_id))
    return _checked(uri, newest.artifact_location, newest.tags)
