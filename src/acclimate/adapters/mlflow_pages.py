"""The report and the figures of a run, kept with it in MLflow; the report's sha256 is a tag of the run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_verdicts import downloaded
from acclimate.digests import file_digest
from acclimate.errors import IntegrityError
from acclimate.registry import RegisteredVersion

REPORT = "report.html"
REPORT_SHA256 = "acclimate.report_sha256"


def keep_pages(connection: Connection, run_id: str, folder: Path) -> None:
    """Keep all that lies in a folder with a run, in the place of what it had by the same names."""
    connection.client.log_artifacts(run_id, str(folder))
    if (folder / REPORT).is_file():
        connection.client.set_tag(run_id, REPORT_SHA256, file_digest(folder / REPORT))


def kept_report(connection: Connection, version: RegisteredVersion) -> str | None:
    """The report of the run that a version is from; None where none was kept with its sha256, or it is gone.

    Raises:
        IntegrityError: E-REGISTRY-025, it is not the one that was kept.
    """
    run_id = connection.client.get_model_version(version.name, str(version.version)).run_id
    sha256 = connection.client.get_run(run_id).data.tags.get(REPORT_SHA256)
    if sha256 is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = downloaded(connection, version, REPORT, Path(folder))
        if path is None:
            return None
        # a browser will open it: it is shown only as it was kept
        if file_digest(path) != sha256:
            raise IntegrityError(
                "E-REGISTRY-025",
                "the report of this version is not the one that was kept",
                where=f"{version.model_uri}, {REPORT}",
                hint="somebody changed it; acclimate gate explain and lineage show what is sealed",
            )
        return path.read_text(encoding="utf-8")
