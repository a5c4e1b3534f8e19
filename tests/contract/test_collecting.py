"""gc deletes what is left over and nothing that is used, in a folder and on a real S3 server."""

from __future__ import annotations

import os
import time

import pytest

from acclimate.adapters.local_store import LocalStore, signed_files
from acclimate.adapters.s3_store import S3Store
from acclimate.collecting import gc
from acclimate.errors import ConfigError, DataError, IntegrityError
from acclimate.records import Manifest

OLD_SECONDS = 8 * 86_400


@pytest.fixture
def store(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))
    opened = S3Store(f"s3://{bucket}/work")
    yield opened
    opened.close()


def publish(store, content, stage="gap", key="ab" * 32):
    folder = store.home / "tmp" / "partial"
    folder.mkdir()
    (folder / "x").write_bytes(content)
    manifest = Manifest(stage=stage, key=key, run_key=None, inputs={}, files=signed_files(folder))
    return store.publish(stage, key, folder, manifest)


def age(path):
    then = time.time() - OLD_SECONDS
    for each in (path, *path.rglob("*")):
        os.utime(each, (then, then))


def keys(store):
    return [info.uri.below(store.root) for info in store.s3.list(store.root)]


def names(result):
    return sorted(row["name"].rsplit("/", 1)[1] for row in result["removed"])


# --- a folder ---------------------------------------------------------------------------------


@pytest.fixture
def local(tmp_path):
    store = LocalStore(tmp_path / "workspace")
    for name in ("tmp/abandoned", "tmp/at-work", "checkpoints/old", "checkpoints/new", "features/ab"):
        (store.home / name).mkdir(parents=True)
        (store.home / name / "file").write_bytes(b"12345")
    publish(store, b"finished")
    for name in ("tmp/abandoned", "checkpoints/old", "features/ab", "stages"):
        age(store.home / name)
    return store


def test_old_leftovers_go_and_all_else_stays(local):
    result = gc(str(local.home), dry_run=False)
    assert names(result) == ["abandoned", "old"]
    assert (result["bytes"], sum(result["bytes_by_kind"].values())) == (10, 10)
    left = {path.relative_to(local.home).as_posix() for path in local.home.glob("*/*")}
    assert {"tmp/at-work", "checkpoints/new", "features/ab", "stages/gap"} <= left
    assert not {"tmp/abandoned", "checkpoints/old"} & left
    assert local.find("gap", "ab" * 32)
    assert gc(str(local.home), dry_run=False)["removed"] == []


def test_a_dry_run_says_the_same_and_deletes_nothing(local):
    assert names(gc(str(local.home), dry_run=True)) == ["abandoned", "old"]
    assert (local.home / "tmp/abandoned/file").exists()
    assert names(gc(str(local.home), dry_run=True, keep_days=9)) == []


def test_a_folder_in_which_something_was_written_lately_is_kept(local):
    (local.home / "tmp/abandoned/file").write_bytes(b"new")
    assert names(gc(str(local.home), dry_run=False)) == ["old"]


def test_a_link_is_not_followed(local, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    (local.home / "tmp" / "link").symlink_to(outside)
    gc(str(local.home), dry_run=False, keep_days=0)
    assert (outside / "kept").exists()
    assert not (local.home / "tmp" / "link").is_symlink()


def test_what_is_no_workspace_is_left_alone(tmp_path):
    (tmp_path / "tmp" / "mine").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        gc(str(tmp_path), dry_run=False, keep_days=0)
    assert caught.value.code == "E-GC-002"
    with pytest.raises(ConfigError):
        gc(str(tmp_path), dry_run=False, keep_days=-1)


# --- S3 ---------------------------------------------------------------------------------------


def test_bytes_nothing_refers_to_go_and_what_is_used_stays(store):
    kept = publish(store, b"kept")
    store.discard(publish(store, b"discarded", stage="baseline"))
    (store.pull("features/ab") / "x").write_bytes(b"feature")
    (store.pull("checkpoints/ab") / "x").write_bytes(b"checkpoint")
    for name in ("features/ab", "checkpoints/ab"):
        store.push(name)
    before = keys(store)
    assert gc(str(store.root), dry_run=False)["removed"] == []
    said = gc(str(store.root), dry_run=True, keep_days=0)
    assert keys(store) == before
    done = gc(str(store.root), dry_run=False, keep_days=0)
    assert [row for row in done["removed"] if row["name"].startswith("s3:")] == [
        row for row in said["removed"] if row["name"].startswith("s3:")
    ]
    assert done["bytes_by_kind"]["bytes nothing refers to"] == len(b"discarded" + b"checkpoint")
    assert sorted(name.split("/")[0] for name in set(before) - set(keys(store))) == ["blobs", "blobs", "shared"]
    other = S3Store(str(store.root), store.home.parent / "other")
    assert (other.open(store.reference(kept)) / "x").read_bytes() == b"kept"
    assert (other.pull("features/ab") / "x").read_bytes() == b"feature"
    other.close()


def test_uploads_never_finished_go(store):
    publish(store, b"kept")
    uri = store.root / "blobs" / "ab" / "cd"
    store.s3.request(uri, "create_multipart_upload", Key=uri.key)
    assert "uploads never finished" not in gc(str(store.root), dry_run=True)["bytes_by_kind"]
    assert "uploads never finished" in gc(str(store.root), dry_run=False, keep_days=0)["bytes_by_kind"]
    assert list(store.s3.abandoned_uploads(store.root, 0)) == []


def test_nothing_is_deleted_while_a_record_can_not_be_read(store):
    place = publish(store, b"kept")
    store.discard(publish(store, b"discarded", stage="baseline"))
    manifest = store.root / f"stages/gap/{place.name}/manifest.json"
    store.s3.put_bytes(manifest, store.s3.get_bytes(manifest)[0].replace(b"gap", b"gAp"))
    before = keys(store)
    with pytest.raises(IntegrityError):
        gc(str(store.root), dry_run=False, keep_days=0)
    assert keys(store) == before


def test_an_old_blob_is_stored_anew_before_it_is_referred_to(store, monkeypatch):
    """Else gc, which saw nothing refer to it, might delete it a moment before the manifest is there."""
    monkeypatch.setattr("acclimate.adapters.s3_blobs.FRESH_SECONDS", 1.0)
    store.discard(publish(store, b"same"))
    (blob,) = store.s3.list(store.root / "blobs")
    time.sleep(2.1)
    publish(store, b"same")
    assert store.s3.head(blob.uri).age_seconds < 2
