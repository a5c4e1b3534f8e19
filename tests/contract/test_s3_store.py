"""The Store port on a real S3 server, as two machines see it."""

from __future__ import annotations

import json
import pickle
import threading
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acclimate.adapters.local_store import signed_files
from acclimate.adapters.s3 import S3, S3Uri
from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store, home_of
from acclimate.errors import ConfigError, DataError, IntegrityError
from acclimate.records import Manifest

KEY = "5ab1e" + "0" * 59
FAST = LeaseTimes(beat=0.1, poll=0.05, takeover=1.5, claim=1)


@pytest.fixture
def machine(bucket, tmp_path):
    """Factory of the same workspace's store on several machines."""
    stores = []

    def on(name: str) -> S3Store:
        stores.append(S3Store(f"s3://{bucket}/work", tmp_path / name, times=FAST))
        return stores[-1]

    yield on
    for store in stores:
        store.close()


@pytest.fixture
def one(machine):
    return machine("one")


@pytest.fixture
def two(machine):
    return machine("two")


def partial(store, files, name="partial"):
    folder = store.home / "tmp" / name
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def publish(store, files=None, *, stage="gap", key=KEY, name="partial"):
    folder = partial(store, files or {"report.json": b"{}", "model/weights": b"1234"}, name)
    (folder / "timing.json").write_text(json.dumps({"seconds": 1.5}))
    manifest = Manifest(stage=stage, key=key, run_key=None, inputs={}, files=signed_files(folder))
    return store.publish(stage, key, folder, manifest)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def blob_of(store, content):
    (found,) = [info.uri for info in store.s3.list(store.root / "blobs") if store.s3.get_bytes(info.uri)[0] == content]
    return found


# --- stages -----------------------------------------------------------------------------------


def test_what_one_machine_published_the_other_finds_equal(one, two):
    place = publish(one)
    found = two.find("gap", KEY)
    assert contents(found) == contents(place)
    assert found.is_relative_to(two.home)
    assert two.open(one.reference(place)) == found
    assert one.find("gap", KEY) == place


def test_nothing_is_found_under_another_stage_or_key(one):
    publish(one)
    assert one.find("baseline", KEY) is None
    assert one.find("gap", "x" * 64) is None
    assert one.find("gap", KEY[:-1] + "x") is None


NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.bin)?", fullmatch=True)
FILES = st.dictionaries(NAMES, st.binary(max_size=64), max_size=6)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_whatever_is_published_is_found_equal(one, two, files):
    names = {name.split("/")[0] for name in files if "/" in name}
    files = {name: content for name, content in files.items() if name not in names | {"manifest.json", "timing.json"}}
    key = uuid.uuid4().hex * 2
    assert not (one.home / "tmp" / "p").exists()
    publish(one, {**files, "always": b"there"}, key=key, name="p")
    found = contents(two.find("gap", key))
    assert {name: found[name] for name in files} == files
    assert set(found) == {*files, "always", "manifest.json", "timing.json"}


def test_of_two_racers_one_is_first_and_both_return_what_it_published(one, two):
    barrier, places = threading.Barrier(2), {}

    def race(store, content):
        folder = partial(store, {"result": content})
        manifest = Manifest(stage="gap", key=KEY, run_key=None, inputs={}, files=signed_files(folder))
        barrier.wait()
        places[content] = store.publish("gap", KEY, folder, manifest)

    threads = [threading.Thread(target=race, args=pair) for pair in ((one, b"of one"), (two, b"of two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (contents(place) for place in places.values())
    assert first == second
    assert len(list(one.s3.list(one.root / "stages"))) == 1


def test_a_local_copy_that_was_damaged_is_fetched_again(one):
    place = publish(one)
    (place / "model" / "weights").write_bytes(b"flip")
    assert one.find("gap", KEY) == place
    assert (place / "model" / "weights").read_bytes() == b"1234"


@pytest.mark.parametrize("damage", ["flip", "truncate", "gone", "manifest", "swap"])
def test_a_stage_damaged_on_the_server_is_made_again_or_refused(one, two, damage):
    place = publish(one)
    other = publish(one, stage="baseline", name="other")
    reference, s3 = one.reference(place), one.s3
    manifest = S3Uri.parse(f"{reference}/manifest.json")
    {
        "flip": lambda: s3.put_bytes(blob_of(one, b"1234"), b"1235"),
        "truncate": lambda: s3.put_bytes(blob_of(one, b"1234"), b"123"),
        "gone": lambda: s3.delete(blob_of(one, b"1234")),
        "manifest": lambda: s3.put_bytes(manifest, s3.get_bytes(manifest)[0].replace(b"1.5", b"1.6")),
        "swap": lambda: s3.put_bytes(manifest, s3.get_bytes(S3Uri.parse(f"{one.reference(other)}/manifest.json"))[0]),
    }[damage]()
    with pytest.raises(IntegrityError) as caught:
        two.open(reference)
    assert caught.value.code == "E-STORE-010"
    assert two.find("gap", KEY) is None
    again = publish(two)
    assert contents(one.open(two.reference(again))) == contents(again)
    assert contents(again)["model/weights"] == b"1234"


def test_a_manifest_can_not_write_outside_of_its_folder(one, two, tmp_path):
    folder = partial(one, {"x": b"evil"})
    files = {"../../../evil": signed_files(folder)["x"]}
    one.blobs.store(folder, signed_files(folder))
    manifest = Manifest(stage="gap", key=KEY, run_key=None, inputs={}, files=files)
    one.records.write(f"stages/gap/{KEY[:24]}/manifest.json", {"manifest": manifest.model_dump(mode="json")})
    with pytest.raises(IntegrityError):
        two.open(f"{one.root}/stages/gap/{KEY[:24]}")
    assert two.find("gap", KEY) is None
    assert not list(tmp_path.rglob("evil"))


def test_a_discarded_stage_is_gone_for_everybody_and_can_be_published_again(one, two):
    two_copy = two.open(one.reference(publish(one)))
    one.discard(one.find("gap", KEY))
    assert two.find("gap", KEY) is None
    with pytest.raises(DataError) as caught:
        two.open(two.reference(two_copy))
    assert caught.value.code == "E-STORE-015"
    again = publish(two, {"result": b"new"})
    assert contents(one.find("gap", KEY)) == contents(again)


@pytest.mark.parametrize("reference", ["", "/x", "s3://other/work/stages/gap/abc", "{root}/stages/gap", "{root}/x/y"])
def test_what_is_no_reference_of_this_workspace_is_refused(one, reference):
    with pytest.raises(DataError) as caught:
        one.open(reference.format(root=one.root))
    assert caught.value.code == "E-STORE-014"


def test_a_store_works_where_it_was_sent(one):
    place = publish(one)
    sent = pickle.loads(pickle.dumps(one))
    assert sent.find("gap", KEY) == place
    assert sent.times == FAST
    sent.close()


def test_the_local_copies_lie_below_the_home_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path))
    assert home_of("s3://a/b").parent == tmp_path
    assert home_of("s3://a/b") != home_of("s3://a/c")
    assert S3Store("s3://abc/b/").home == home_of("s3://abc/b")
    with pytest.raises(ConfigError):
        S3Store("s3://")


# --- shared folders ---------------------------------------------------------------------------


def write(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_a_shared_folder_is_the_same_on_every_machine_after_a_pull(one, two):
    here = one.pull("checkpoints/ab12")
    assert contents(here) == {}
    write(here, "state-1", b"1")
    write(here, "arm/commit.json", b"{}")
    one.push("checkpoints/ab12")
    there = two.pull("checkpoints/ab12")
    assert contents(there) == {"state-1": b"1", "arm/commit.json": b"{}"}
    (there / "state-1").unlink()
    write(there, "state-2", b"2")
    two.push("checkpoints/ab12")
    assert contents(one.pull("checkpoints/ab12")) == {"state-2": b"2", "arm/commit.json": b"{}"}


def test_machines_that_add_different_files_lose_none(one, two):
    for store in (one, two):
        store.pull("features/ab")
    for store, name in ((one, "of-one"), (two, "of-two")):
        write(store.home / "features/ab", name, name.encode())
        store.push("features/ab")
    one.push("features/ab")
    assert contents(one.pull("features/ab")) == {"of-one": b"of-one", "of-two": b"of-two"}


def test_an_old_copy_does_not_undo_what_others_changed(one, two):
    write(one.pull("features/ab"), "x", b"old")
    one.push("features/ab")
    write(two.pull("features/ab"), "x", b"new")
    two.push("features/ab")
    for _ in range(2):
        one.push("features/ab")
    assert contents(one.pull("features/ab")) == {"x": b"new"}


def test_many_pushes_at_once_lose_nothing(machine):
    stores = [machine(f"m{i}") for i in range(4)]

    def add(store, number):
        write(store.pull("features/ab"), f"file-{number}", b"%d" % number)
        store.push("features/ab")

    threads = [threading.Thread(target=add, args=(store, i)) for i, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents(stores[0].pull("features/ab"))) == 4


@pytest.mark.parametrize("damage", ["flip", "index"])
def test_a_damaged_file_of_a_shared_folder_is_left_out_and_can_be_stored_again(one, two, damage):
    write(one.pull("features/ab"), "x", b"content")
    write(one.home / "features/ab", "y", b"other")
    one.push("features/ab")
    index = one.root / "shared/features/ab/index.json"
    if damage == "flip":
        one.s3.put_bytes(blob_of(one, b"content"), b"cOntent")
    else:
        one.s3.put_bytes(index, one.s3.get_bytes(index)[0].replace(b'"size_bytes": 7', b'"size_bytes": 8'))
    assert "x" not in contents(two.pull("features/ab"))
    write(two.home / "features/ab", "x", b"content")
    write(two.home / "features/ab", "y", b"other")
    two.push("features/ab")
    assert contents(two.pull("features/ab")) == {"x": b"content", "y": b"other"}
    assert contents(one.pull("features/ab")) == {"x": b"content", "y": b"other"}


def test_a_removed_folder_is_gone_for_everybody(one, two):
    write(one.pull("checkpoints/ab"), "x", b"1")
    one.push("checkpoints/ab")
    two.pull("checkpoints/ab")
    one.remove("checkpoints/ab")
    one.remove("checkpoints/ab")
    assert contents(two.pull("checkpoints/ab")) == {}
    assert contents(one.pull("checkpoints/ab")) == {}


def test_names_that_lead_elsewhere_are_refused(one):
    for name in ("../x", "/etc", "a//b", "a/../b", ""):
        for call in (one.pull, one.push, one.remove):
            with pytest.raises(DataError):
                call(name)


# --- locks and claims -------------------------------------------------------------------------


def test_a_lock_is_held_by_one_at_a_time(machine):
    inside, seen = [0], []

    def work(store):
        for _ in range(3):
            with store.lock("gap-x"):
                inside[0] += 1
                seen.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(machine(f"m{i}"),)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 9


def test_a_claim_is_kept_while_its_owner_shows_life_and_passes_on_when_it_does_not(one, two):
    assert one.claim("run-x", "a") == "a"
    assert one.claim("run-x", "a") == "a"
    with one.beating("run-x", "a"):
        assert two.claim("run-x", "b") == "a"
    assert two.claim("run-x", "b") == "b"


def test_a_run_that_lost_its_claim_works_on_and_leaves_it_to_the_other(one, two, caplog):
    one.claim("run-x", "a")
    assert two.claim("run-x", "b") == "b"
    with two.beating("run-x", "b"), one.beating("run-x", "a"):
        assert "the run b works on the same" in caplog.text
    one.release("run-x", "a")
    with two.beating("run-x", "b"):
        assert one.claim("run-x", "c") == "b"


def test_a_claim_that_was_given_back_is_free_at_once(one, two):
    one.claim("run-x", "a")
    two.release("run-x", "b")
    one.release("run-x", "a")
    assert two.claim("run-x", "b") == "b"


def test_the_steps_of_one_run_share_its_claim(one, two, caplog):
    one.claim("run-x", "a")
    with one.beating("run-x", "a"), two.beating("run-x", "a"):
        threading.Event().wait(0.5)
    assert "lost" not in caplog.text
    assert S3().get_bytes(one.root / "claims/run-x.json")[0].count(b'"held": true') == 1
