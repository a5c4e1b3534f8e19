"""Verdicts and what they were computed from as they are stored: one file each, named by the sha256 of its bytes.

A version's tag holds the verdict's sha256, the verdict that of its evidence, the evidence that of the predictions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_tags import VERDICT, VERDICT_SHA256
from acclimate.digests import data_digest, file_digest
from acclimate.errors import IntegrityError, ModelError
from acclimate.records import Evidence, Verdict
from acclimate.registry import RegisteredVersion

FOLDER = "verdicts"
EVIDENCE = "evidence"


def store_verdict(connection: Connection, run_id: str, verdict: Verdict) -> str:
    """Keep a verdict with its run, beside earlier ones, and tag the run with it.

    Returns:
        sha256 of its canonical JSON, hexadecimal.
    """
    sha256 = _store(connection, run_id, verdict.model_dump(mode="json"), FOLDER)
    for name, value in {VERDICT: verdict.verdict, VERDICT_SHA256: sha256}.items():
        connection.client.set_tag(run_id, name, value)
    return sha256


def store_evidence(connection: Connection, run_id: str, evidence: Evidence, predictions: Path) -> None:
    """Keep what a verdict was computed from with its run, beside that of earlier verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        named = shutil.copyfile(predictions, Path(folder) / f"{evidence.predictions_sha256}.parquet")
        connection.client.log_artifact(run_id, str(named), EVIDENCE)
    _store(connection, run_id, evidence.model_dump(mode="json"), EVIDENCE)


def _store(connection: Connection, run_id: str, data: Any, folder: str) -> str:
    sha256 = data_digest(data)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{sha256}.json"
        # canonical: these bytes are what the sha256 is of
        path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False), "utf-8")
        connection.client.log_artifact(run_id, str(path), folder)
    return sha256


def verdict_of(connection: Connection, version: RegisteredVersion) -> Verdict:
    """The verdict a version was registered with.

    Raises:
        ModelError: E-REGISTRY-018, nothing judged this version, its run is gone, or another release's verdict can't be
            read.
        IntegrityError: E-REGISTRY-019, the stored bytes are not those of the version's tag.
    """
    sha256 = version.tags.get(VERDICT_SHA256)
    if sha256 is None:
        raise ModelError(
            "E-REGISTRY-018",
            "there is no verdict of this version",
            where=version.model_uri,
            hint="a source model is not judged; a model that acclimate registered is",
        )
    place = f"{FOLDER}/{sha256}.json"
    with tempfile.TemporaryDirectory() as folder:
        stored = downloaded(connection, version, place, Path(folder))
        if stored is None:
            raise ModelError(
                "E-REGISTRY-018",
                "the verdict of this version is not in the registry any more",
                where=f"{version.model_uri}, {place}",
                hint="somebody deleted the run or its files; judge the model again: acclimate run adaptation.yaml",
            )
        if file_digest(stored) == sha256:
            return _read(stored, f"{version.model_uri}, {place}")
    raise IntegrityError(
        "E-REGISTRY-019",
        "the stored verdict is not the one this version was registered with",
        where=f"{version.model_uri}, {place}",
        hint="somebody changed it: do not rely on this version before it was judged again",
    )


def _read(stored: Path, where: str) -> Verdict:
    try:
        return Verdict.model_validate_json(stored.read_bytes())
    except ValidationError as error:
        message = "the verdict of this version is of a release of acclimate whose verdicts this one can't read"
        hint = "use that release, or judge the model again: acclimate run adaptation.yaml"
        raise ModelError("E-REGISTRY-018", message, where=where, hint=hint) from error


def evidence_of(
    connection: Connection, version: RegisteredVersion, verdict: Verdict, into: Path
) -> tuple[Evidence, Path]:
    """What a version's verdict was computed from; the file of predictions lies below ``into``.

    Raises:
        ModelError: E-REGISTRY-022, nothing was kept, or it is gone.
        IntegrityError: E-REGISTRY-023, the stored bytes are not those that the verdict names.
    """
    if not verdict.evidence_sha256:
        raise _gone(version, "nothing was kept of what this verdict was computed from", EVIDENCE)
    place = f"{EVIDENCE}/{verdict.evidence_sha256}.json"
    stored = _whole(connection, version, place, verdict.evidence_sha256, into)
    try:
        evidence = Evidence.model_validate_json(stored.read_bytes())
    except ValidationError as error:
        raise _gone(version, "what this verdict was computed from is of another release", place) from error
    sha256 = evidence.predictions_sha256
    return evidence, _whole(connection, version, f"{EVIDENCE}/{sha256}.parquet", sha256, into)


def _whole(connection: Connection, version: RegisteredVersion, place: str, sha256: str, into: Path) -> Path:
    stored = downloaded(connection, version, place, into)
    if stored is None:
        raise _gone(version, "what this verdict was computed from is not in the registry any more", place)
    if file_digest(stored) != sha256:
        raise IntegrityError(
            "E-REGISTRY-023",
            "what this verdict was computed from is not there as it was",
            where=f"{version.model_uri}, {place}",
            hint="somebody changed it: do not rely on this version before it was judged again",
        )
    return stored


def _gone(version: RegisteredVersion, says: str, place: str) -> ModelError:
    return ModelError(
        "E-REGISTRY-022",
        says,
        where=f"{version.model_uri}, {place}",
        hint="judge the model again, and it is kept: acclimate run adaptation.yaml",
    )


def downloaded(connection: Connection, version: RegisteredVersion, place: str, into: Path) -> Path | None:
    """A file of the run behind a version; None where it, or the run, is gone."""
    from mlflow.exceptions import MlflowException

    run_id = connection.client.get_model_version(version.name, str(version.version)).run_id
    try:
        return Path(connection.client.download_artifacts(run_id, place, str(into)))
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and not is_error(error, "RESOURCE_DOES_NOT_EXIST", "INTERNAL_ERROR"):
            raise
        return None
