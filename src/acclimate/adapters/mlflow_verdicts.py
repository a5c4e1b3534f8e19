"""Verdicts as they are stored: one file each, named by the sha256 of its bytes, which a version's tag holds too."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from pydantic import ValidationError

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_tags import VERDICT, VERDICT_SHA256
from acclimate.digests import data_digest
from acclimate.errors import IntegrityError, ModelError
from acclimate.ports import RegisteredVersion
from acclimate.records import Verdict

FOLDER = "verdicts"


def store_verdict(connection: Connection, run_id: str, verdict: Verdict) -> str:
    """Keep a verdict with its run, beside earlier ones, and tag the run with it.

    Returns:
        sha256 of its canonical JSON, hexadecimal.
    """
    data = verdict.model_dump(mode="json")
    sha256 = data_digest(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{sha256}.json"
        # canonical: these bytes are what the sha256 is of
        path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False), "utf-8")
        connection.client.log_artifact(run_id, str(path), FOLDER)
    for name, value in {VERDICT: verdict.verdict, VERDICT_SHA256: sha256}.items():
        connection.client.set_tag(run_id, name, value)
    return sha256


def verdict_of(connection: Connection, version: RegisteredVersion) -> Verdict:
    """The verdict a version was registered with.

    Raises:
        ModelError: E-REGISTRY-018, nothing judged this version, or its run is gone.
        IntegrityError: E-REGISTRY-019, the stored bytes are not those of the version's tag.
    """
    from mlflow.exceptions import MlflowException

    sha256 = version.tags.get(VERDICT_SHA256)
    if sha256 is None:
        raise ModelError(
            "E-REGISTRY-018",
            "there is no verdict of this version",
            where=version.model_uri,
            hint="a source model is not judged; a model that acclimate registered is",
        )
    run_id = connection.client.get_model_version(version.name, str(version.version)).run_id
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = connection.client.download_artifacts(run_id, f"{FOLDER}/{sha256}.json", folder)
        except (MlflowException, OSError) as error:
            if isinstance(error, MlflowException) and not is_error(error, "RESOURCE_DOES_NOT_EXIST", "INTERNAL_ERROR"):
                raise
            raise ModelError(
                "E-REGISTRY-018",
                "the verdict of this version is not in the registry any more",
                where=f"run {run_id}, {FOLDER}/{sha256}.json",
                hint="somebody deleted the run or its files; judge the model again: acclimate run adaptation.yaml",
            ) from error
        stored = Path(path).read_bytes()
    try:
        if hashlib.sha256(stored).hexdigest() == sha256:
            return Verdict.model_validate_json(stored)
    except ValidationError:
        pass
    raise IntegrityError(
        "E-REGISTRY-019",
        "the stored verdict is not the one this version was registered with",
        where=f"run {run_id}, {FOLDER}/{sha256}.json",
        hint="somebody changed it: do not rely on this version before it was judged again",
    )
