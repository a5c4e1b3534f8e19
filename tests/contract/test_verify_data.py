"""``verify`` reads data at what pinned them when they were used, whatever a branch or a bucket holds since."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from acclimate.adapters.data_uris import located
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.records import InputFile
from acclimate.verifying import verify
from tests.contract.judged_models import classified, evidence_of, judged

# DVC and the libraries below it leave sockets and event loops to the garbage collector
pytestmark = [
    pytest.mark.usefixtures("no_server"),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning"
    ),
]

CSV = "text,label\n" + "".join(f"message {i},{('ham', 'spam')[i % 2]}\n" for i in range(50))


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commit(folder: Path, says: str) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", says)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a DVC repository below it, branch main."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    repo = tmp_path / "project" / "data-repo"
    repo.mkdir(parents=True)
    run(repo, "git", "-c", "init.defaultBranch=main", "init", "-q")
    run(repo, sys.executable, "-m", "dvc", "init", "-q")
    changed(repo, CSV)
    return tmp_path / "project"


def changed(repo: Path, text: str) -> None:
    """Commit other data."""
    (repo / "mail.csv").write_text(text)
    run(repo, sys.executable, "-m", "dvc", "add", "-q", "mail.csv")
    commit(repo, "data")


@pytest.fixture
def made_from(registry: MlflowRegistry, tmp_path: Path) -> Callable[[list[InputFile]], str]:
    """Registers a model that was made from some files."""

    def make(files: list[InputFile]) -> str:
        name, path = "made-from-dvc-" + tmp_path.name.replace("_", "-"), tmp_path / "predictions.parquet"
        records = classified(path, name)
        evidence = evidence_of(records, path)
        target = evidence.data.target.model_copy(update={"files": files})
        evidence = evidence.model_copy(update={"data": evidence.data.model_copy(update={"target": target})})
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text(name)
        run_id = registry.record_run(records)
        uri = registry.log_model(run_id, records, tmp_path / "model")
        registry.keep_evidence(run_id, evidence, path)
        registry.register(records, run_id, uri, judged(records, evidence), auto_promote=False)
        return name

    return make


def of_data(name: str, workspace: Path, project: Path) -> dict[str, Any]:
    (found,) = (one for one in verify(name, workspace, None, project)["checked"] if one["kind"] == "data")
    return found


@pytest.mark.parametrize("revision", ["", "@main"], ids=["HEAD", "a branch"])
def test_dvc_data_are_unchanged_though_their_branch_has_moved_on(
    revision: str, project: Path, made_from: Callable[..., str], workspace: Path, tmp_path: Path
) -> None:
    address = f"dvc://mail.csv{revision}?repo=data-repo"
    files = list(located(address, root=project, home=tmp_path / "home").files.values())
    changed(project / "data-repo", CSV.replace("message 7,", "another 7,"))
    name = made_from(files)
    assert of_data(name, workspace, project)["outcome"] == "unchanged"


def test_dvc_data_that_their_commit_does_not_hold_are_changed(
    project: Path, made_from: Callable[..., str], workspace: Path, tmp_path: Path
) -> None:
    (file,) = located("dvc://mail.csv?repo=data-repo", root=project, home=tmp_path / "home").files.values()
    name = made_from([file.model_copy(update={"sha256": "0" * 64})])
    assert of_data(name, workspace, project)["outcome"] == "changed"


def test_dvc_data_whose_commit_is_gone_are_not_found(
    project: Path, made_from: Callable[..., str], workspace: Path, tmp_path: Path
) -> None:
    (file,) = located("dvc://mail.csv?repo=data-repo", root=project, home=tmp_path / "home").files.values()
    name = made_from([file.model_copy(update={"dvc_rev": "1" * 40})])
    assert of_data(name, workspace, project)["outcome"] == "not found"


@pytest.mark.parametrize(
    ("now", "outcome"), [(CSV, "unchanged"), (CSV.replace("message 7,", "another 7,"), "changed"), (None, "not found")]
)
def test_an_object_in_a_bucket_that_somebody_wrote_over_or_deleted_is_told(
    now: str | None, outcome: str, bucket: str, made_from: Callable[..., str], workspace: Path, tmp_path: Path
) -> None:
    s3, uri = boto3.client("s3"), f"s3://{bucket}/mail.csv"
    s3.put_object(Bucket=bucket, Key="mail.csv", Body=CSV.encode())
    name = made_from(list(located(uri, root=tmp_path, home=tmp_path / "home").files.values()))
    if now is None:
        s3.delete_object(Bucket=bucket, Key="mail.csv")
    else:
        s3.put_object(Bucket=bucket, Key="mail.csv", Body=now.encode())
    found = of_data(name, workspace, tmp_path)
    assert (found["outcome"], found["name"]) == (outcome, uri)
