"""What S3 and the network can do: absorbed within the budget, or named by a code."""

from __future__ import annotations

import hashlib
import os
import time
import uuid

import pytest

from acclimate.adapters.s3 import S3, S3Uri
from acclimate.adapters.s3_store import S3Store
from acclimate.errors import AccessError, DataError, UnavailableError
from tests import faulty_proxy as faults
from tests.faulty_proxy import faulty_proxy

CONTENT = bytes(range(256)) * 40
BUDGET = 1.2
STALL = 0.6
# where nothing stalls but the machine itself may
UNHURRIED = 3.0


@pytest.fixture(scope="module")
def proxy(s3_endpoint):
    with faulty_proxy(s3_endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def s3(proxy):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        transport = S3(budget_seconds=6, stall_seconds=STALL)
        yield transport
        transport.close()


@pytest.fixture
def folder(proxy, s3):
    proxy.heal()
    folder = S3Uri("faults", uuid.uuid4().hex)
    s3.put_bytes(folder / "x", CONTENT)
    return folder


PASSING = {
    "503 storm": faults.error(503, "SlowDown"),
    "500": faults.error(500, "InternalError"),
    "502 page": faults.page(502),
    "429": faults.error(429, "TooManyRequests"),
    "409": faults.error(409, "OperationAborted"),
    "connection reset": faults.hang_up,
    "answer lost": faults.lose_the_answer,
    "200 with an error inside": faults.error_inside,
    "silence": faults.say_nothing,
    "headers trickle": faults.trickle_headers,
    "body cut short": faults.cut_short,
    "body trickles": faults.trickle_body,
}
READS_ONLY = {"body cut short", "body trickles"}


@pytest.mark.parametrize("fault", PASSING)
def test_a_read_outlives_faults_that_pass(s3, folder, proxy, tmp_path, fault):
    proxy.spoil(PASSING[fault], times=1, methods=("GET",))
    assert s3.download(folder / "x", tmp_path / "x") == hashlib.sha256(CONTENT).hexdigest()
    assert len(proxy.requests) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("fault", [name for name in PASSING if name not in READS_ONLY])
def test_a_write_outlives_faults_that_pass_and_is_done_once(s3, folder, proxy, fault):
    proxy.spoil(PASSING[fault], times=1, methods=("PUT",))
    assert s3.put_bytes(folder / "new", b"1", if_absent=True) is not None
    assert s3.put_bytes(folder / "new", b"2", if_absent=True) is None
    assert s3.get_bytes(folder / "new")[0] == b"1"


@pytest.mark.parametrize(
    ("fault", "at"),
    [("answer lost", 1), ("answer lost", 2), ("answer lost", 4), ("503 storm", 2), ("200 with an error inside", 4)],
)
def test_a_large_file_outlives_a_fault_at_any_of_its_requests(s3, folder, proxy, tmp_path, fault, at):
    (tmp_path / "big").write_bytes(os.urandom((8 << 20) + 1))
    seen = []

    def once(handler, body):
        seen.append(handler.command)
        PASSING[fault](handler, body) if len(seen) == at else handler.send(handler.forward(body))

    proxy.spoil(once, methods=("PUT", "POST"))
    s3.upload(folder / "big", tmp_path / "big")
    proxy.heal()
    s3.download(folder / "big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


def test_parts_of_a_file_that_can_not_be_finished_are_taken_back(s3, folder, proxy, tmp_path):
    (tmp_path / "big").write_bytes(bytes((8 << 20) + 1))
    proxy.spoil(faults.error(403, "AccessDenied"), methods=("PUT",))
    with pytest.raises(AccessError):
        s3.upload(folder / "big", tmp_path / "big")
    assert proxy.requests[-1].startswith("DELETE")
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=folder.bucket, Prefix=folder.key)
    assert s3.head(folder / "big") is None


def test_bytes_that_change_on_their_way_to_the_server_are_sent_again(s3, folder, proxy):
    proxy.spoil(faults.flip_request, times=1, methods=("PUT",))
    s3.put_bytes(folder / "y", b"content")
    assert s3.get_bytes(folder / "y")[0] == b"content"


@pytest.mark.parametrize(
    ("fault", "code", "budget", "stall"),
    [
        (faults.error(503, "SlowDown"), "E-S3-004", UNHURRIED, UNHURRIED),
        (faults.page(502), "E-S3-004", UNHURRIED, UNHURRIED),
        (faults.hang_up, "E-S3-004", UNHURRIED, UNHURRIED),
        (faults.error_inside, "E-S3-004", UNHURRIED, UNHURRIED),
        (faults.cut_short, "E-S3-009", UNHURRIED, UNHURRIED),
        (faults.trickle_body, "E-S3-010", BUDGET, STALL),
        (faults.trickle_headers, "E-S3-010", BUDGET, STALL),
        (faults.say_nothing, "E-S3-0", BUDGET, STALL),
    ],
    ids=[
        "storm",
        "bad gateway",
        "reset",
        "error inside",
        "cut short",
        "trickling body",
        "trickling headers",
        "silence",
    ],
)
def test_what_does_not_pass_is_named_within_the_budget_and_leaves_nothing(
    s3, folder, proxy, tmp_path, fault, code, budget, stall
):
    hasty = S3(budget_seconds=budget, stall_seconds=stall)
    proxy.spoil(fault, methods=("GET",))
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        hasty.download(folder / "x", tmp_path / "x")
    assert caught.value.code.startswith(code)
    assert str(folder / "x") in caught.value.where
    # far from the 60 s of the defaults, whatever else the machine does
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []
    hasty.close()


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (faults.error(403, "AccessDenied"), AccessError, "E-S3-003"),
        (faults.error(403, "SignatureDoesNotMatch"), AccessError, "E-S3-003"),
        (faults.error(403, "RequestTimeTooSkewed"), AccessError, "E-S3-003"),
        (faults.error(404, "NoSuchKey"), DataError, "E-S3-002"),
        (faults.error(404, "NoSuchBucket"), DataError, "E-S3-001"),
        (faults.error(400, "ExpiredToken"), AccessError, "E-S3-007"),
        (faults.error(412, "PreconditionFailed"), DataError, "E-S3-005"),
        (faults.error(501, "NotImplemented"), AccessError, "E-S3-014"),
        (faults.error(405, "MethodNotAllowed"), AccessError, "E-S3-014"),
        (faults.page(403), AccessError, "E-S3-003"),
    ],
    ids=["denied", "signature", "clock", "object", "bucket", "token", "changed", "unable", "method", "forbidden-page"],
)
def test_what_can_not_pass_is_asked_once_and_named(s3, folder, proxy, tmp_path, fault, kind, code):
    calls = {
        "GET": lambda: s3.download(folder / "x", tmp_path / "x"),
        "PUT": lambda: s3.put_bytes(folder / "y", b""),
    }
    for method, call in calls.items():
        proxy.spoil(fault, methods=(method,))
        with pytest.raises(kind) as caught:
            call()
        assert (caught.value.code, len(proxy.requests)) == (code, 1)
        assert caught.value.hint


def test_a_listing_without_an_end_is_named(s3, folder, proxy):
    proxy.spoil(faults.endless_list, methods=("GET",))
    with pytest.raises(AccessError) as caught:
        s3.list(folder)
    assert (caught.value.code, len(proxy.requests)) == ("E-S3-011", 1)


def test_a_web_page_in_place_of_an_object_is_named_at_once(s3, folder, proxy, tmp_path):
    proxy.spoil(faults.page(200))
    with pytest.raises(AccessError) as caught:
        s3.download(folder / "x", tmp_path / "x")
    assert (caught.value.code, len(proxy.requests)) == ("E-S3-011", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "call", [S3.list, lambda s3, uri: s3.put_bytes(uri, b"")], ids=["in place of a list", "in place of an answer"]
)
def test_a_web_page_that_stays_is_named_within_the_budget(s3, folder, proxy, call):
    hasty = S3(budget_seconds=UNHURRIED)
    proxy.spoil(faults.page(200))
    with pytest.raises(UnavailableError, match="web page") as caught:
        call(hasty, folder)
    assert caught.value.code == "E-S3-004"
    hasty.close()


def test_an_object_replaced_between_head_and_get_is_not_read(s3, folder, tmp_path):
    seen = s3.head(folder / "x")
    s3.put_bytes(folder / "x", CONTENT[::-1])
    with pytest.raises(DataError) as caught:
        s3.download(folder / "x", tmp_path / "x", etag=seen.etag)
    assert caught.value.code == "E-S3-005"


def test_a_record_that_changes_on_its_way_is_read_again(s3, folder, proxy, tmp_path):
    store = S3Store(str(folder), tmp_path)
    (store.pull("features/ab") / "x").write_bytes(CONTENT)
    store.push("features/ab")
    (store.home / "features/ab/x").unlink()
    (store.home / "synced/features/ab.json").unlink()
    for _ in range(2):
        proxy.spoil(faults.flip, times=1, methods=("GET",))
        store.pull("features/ab")
        assert (store.home / "features/ab/x").read_bytes() == CONTENT
    store.close()
