import os
import subprocess
import sys

import pytest

from acclimate.adapters.local_store import LocalStore, signed_files
from acclimate.errors import AccessError
from acclimate.records import Manifest

KEY = "k" * 64


def finished(store, tmp_path, content=b"result", stage="gap", key=KEY):
    folder = tmp_path / "partial"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights").write_bytes(content)
    (folder / "timing.json").write_text("{}")
    manifest = Manifest(stage=stage, key=key, run_key=None, inputs={}, files=signed_files(folder))
    return store.publish(stage, key, folder, manifest)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "workspace")


def test_what_was_published_is_found(store, tmp_path):
    place = finished(store, tmp_path)
    assert store.find("gap", KEY) == place
    assert (place / "model" / "weights").read_bytes() == b"result"


def test_nothing_is_found_under_another_stage_or_key(store, tmp_path):
    finished(store, tmp_path)
    assert store.find("baseline", KEY) is None
    assert store.find("gap", "x" * 64) is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "add", "remove", "manifest gone", "manifest broken"])
def test_a_damaged_folder_is_not_found_and_can_be_written_again(store, tmp_path, damage):
    place = finished(store, tmp_path)
    weights = place / "model" / "weights"
    actions = {
        "flip": lambda: weights.write_bytes(b"rEsult"),
        "truncate": lambda: weights.write_bytes(b"resul"),
        "add": lambda: (place / "more").write_text(""),
        "remove": weights.unlink,
        "manifest gone": (place / Manifest.file_name).unlink,
        "manifest broken": lambda: (place / Manifest.file_name).write_text("{"),
    }
    actions[damage]()
    assert store.find("gap", KEY) is None
    again = finished(store, tmp_path)
    assert store.find("gap", KEY) == again


def test_the_longer_key_counts_where_two_share_their_beginning(store, tmp_path):
    finished(store, tmp_path)
    assert store.find("gap", KEY[:-1] + "x") is None


def test_timings_may_change_afterwards(store, tmp_path):
    place = finished(store, tmp_path)
    (place / "timing.json").write_text('{"seconds": 2}')
    assert store.find("gap", KEY) == place


def test_a_workspace_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "workspace").write_text("")
    with pytest.raises(AccessError) as caught:
        LocalStore(tmp_path / "workspace")
    assert caught.value.hint


def test_a_lock_is_freed_when_its_holder_dies(store):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom acclimate.adapters.local_store import LocalStore\n"
        f"with LocalStore(Path({str(store.workspace)!r})).lock('x'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, 9)
        holder.wait()
    with store.lock("x"):
        pass
