"""Locks on S3 between processes: one holder, a dead one is succeeded, a late one changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acclimate.adapters.local_store import signed_files
from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store
from acclimate.errors import UnavailableError
from acclimate.records import Manifest

KEY = "ab" * 32
TAKEOVER = 1.5
HOLDER = Path(__file__).with_name("lease_holder.py")


@pytest.fixture
def store(bucket, tmp_path):
    times = LeaseTimes(beat=0.1, poll=0.05, takeover=TAKEOVER)
    opened = S3Store(f"s3://{bucket}/work", tmp_path / "here", times=times)
    yield opened
    opened.close()


@pytest.fixture
def holder(store, tmp_path):
    """A process that holds the lock ``KEY``."""
    command = [sys.executable, str(HOLDER), str(store.root), str(tmp_path / "there"), KEY, str(TAKEOVER)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def publish(store, content):
    folder = store.home / "tmp" / "partial"
    folder.mkdir()
    (folder / "result").write_bytes(content)
    manifest = Manifest(stage="gap", key=KEY, run_key=None, inputs={}, files=signed_files(folder))
    return store.publish("gap", KEY, folder, manifest)


def test_a_killed_holder_is_succeeded_and_a_living_one_is_not(store, holder):
    assert store.find("gap", KEY) is None
    killed = time.monotonic() + 2 * TAKEOVER
    while time.monotonic() < killed:
        lease = store.records.read(f"locks/{KEY}.json").record
        assert lease["held"]
        time.sleep(0.1)
    assert lease["token"] == 1
    assert lease["beat"] > 5
    holder.kill()
    with store.lock(KEY):
        assert store.records.read(f"locks/{KEY}.json").record["token"] == 2


def test_a_holder_that_wakes_up_late_changes_nothing(store, holder):
    holder.send_signal(signal.SIGSTOP)
    with store.lock(KEY):
        (store.pull("checkpoints/ab") / "state").write_bytes(b"new")
        store.push("checkpoints/ab")
        place = publish(store, b"by the new holder")
    holder.send_signal(signal.SIGCONT)
    said, _ = holder.communicate("go\n", timeout=30)
    assert said.splitlines() == ["E-STORE-013", "by the new holder"]
    assert store.find("gap", KEY) == place
    assert (place / "result").read_bytes() == b"by the new holder"


def test_a_holder_that_wakes_up_late_does_not_come_before_its_successor(store, holder):
    holder.send_signal(signal.SIGSTOP)
    with store.lock(KEY):
        holder.send_signal(signal.SIGCONT)
        said, _ = holder.communicate("go\n", timeout=30)
        assert said.splitlines() == ["E-STORE-013", "E-STORE-013"]
        assert store.find("gap", KEY) is None


def test_a_holder_that_ends_well_lets_the_next_in_at_once(store, holder):
    (store.home.parent / "there" / "checkpoints" / "ab").mkdir(parents=True)
    said, _ = holder.communicate("go\n", timeout=30)
    assert said.splitlines() == ["pushed", "by the old holder"]
    assert not store.records.read(f"locks/{KEY}.json").record["held"], "it would be waited for"
    with store.lock(KEY):
        pass
    assert (publish(store, b"by a later run") / "result").read_bytes() == b"by the old holder"


def test_a_lease_nobody_can_read_is_taken_over_too(store):
    store.s3.put_bytes(store.root / f"locks/{KEY}.json", b"{")
    with store.lock(KEY):
        assert store.records.read(f"locks/{KEY}.json").record["held"]


def test_work_whose_lock_was_lost_is_not_stored(store):
    with store.lock(KEY):
        record = store.records.read(f"locks/{KEY}.json").record
        store.records.write(f"locks/{KEY}.json", {**record, "owner": "another", "token": 2})
        with pytest.raises(UnavailableError) as caught:
            publish(store, b"too late")
        assert caught.value.code == "E-STORE-013"
        assert store.find("gap", KEY) is None
    assert store.records.read(f"locks/{KEY}.json").record["owner"] == "another"
