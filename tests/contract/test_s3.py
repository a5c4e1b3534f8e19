"""The transport on a real S3 server."""

from __future__ import annotations

import hashlib
import os
import pickle
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest

from acclimate.adapters.s3 import S3, S3Uri
from acclimate.errors import AccessError, ConfigError, DataError, UnavailableError
from tests.faulty_proxy import Answer, Fault, endless_list, faulty_proxy

MB = 1 << 20


@pytest.fixture
def s3(s3_endpoint):
    transport = S3(budget_seconds=3)
    yield transport
    transport.close()


@pytest.fixture
def folder(bucket):
    return S3Uri(bucket, "some/folder")


def code_of(call, kind):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.where
    assert caught.value.hint
    return caught.value.code


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/a", "s3://bucket/a b/c=1/é.csv"])
def test_an_address_reads_back_as_it_was_written(text):
    assert str(S3Uri.parse(text)) == text
    assert str(S3Uri.parse(f"{text}/")) == text


@pytest.mark.parametrize(
    "text", ["", "bucket/a", "s3://", "s3:///a", "s3://b/a", "http://bucket/a", "s3://bucket/a//b", "s3://bucket/../a"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        S3Uri.parse(text)
    assert caught.value.code == "E-S3-020"


def test_addresses_are_joined_like_paths():
    assert str(S3Uri.parse("s3://bucket") / "a" / "b") == "s3://bucket/a/b"
    assert (S3Uri.parse("s3://bucket/a/b/c.csv")).below(S3Uri.parse("s3://bucket/a")) == "b/c.csv"
    assert S3Uri.parse("s3://bucket/a/b/c.csv").name == "c.csv"


# --- objects ----------------------------------------------------------------------------------


def test_bytes_come_back_as_they_were_put(s3, folder):
    etag = s3.put_bytes(folder / "x", b"content")
    assert s3.get_bytes(folder / "x") == (b"content", etag)
    info = s3.head(folder / "x")
    assert (info.uri, info.size, info.etag) == (folder / "x", 7, etag)


@pytest.mark.parametrize("size", [0, 1, 8 * MB, 8 * MB + 1, 20 * MB])
def test_files_come_back_as_they_were_stored(s3, folder, tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "in").write_bytes(content)
    s3.upload(folder / "big", tmp_path / "in")
    assert s3.download(folder / "big", tmp_path / "out") == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "out").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert ("-" in s3.head(folder / "big").etag) == (size > 8 * MB)


def test_keys_with_unusual_letters_are_kept(s3, folder):
    names = ["a b", "ü/ñ", "a+b=c&d", "per%20cent", "q?x#y"]
    for name in names:
        s3.put_bytes(folder / name, name.encode())
    assert [info.uri.below(folder) for info in s3.list(folder)] == sorted(names)
    assert [s3.get_bytes(folder / name)[0] for name in names] == [name.encode() for name in names]


def test_a_listing_has_all_pages_in_order_and_nothing_of_the_neighbours(s3, folder, bucket):
    client = s3.client
    for i in range(1003):
        client.put_object(Bucket=bucket, Key=f"{folder.key}/{i % 7}/{i}", Body=b"")
    s3.put_bytes(S3Uri(bucket, "some/folder-2/x"), b"")
    keys = [info.uri.key for info in s3.list(folder)]
    assert len(keys) == 1003
    assert all(one < two for one, two in pairwise(keys))
    assert len(list(s3.list(S3Uri(bucket, "")))) == 1004


def test_unfinished_uploads_are_listed_over_all_pages(s3, folder, bucket):
    """A page has a thousand at most."""
    for i in range(1003):
        s3.client.create_multipart_upload(Bucket=bucket, Key=f"{folder.key}/{i:04}")
    s3.client.create_multipart_upload(Bucket=bucket, Key="some/folder-2/x")
    found = list(s3.abandoned_uploads(folder, 0))
    assert sorted(uri.key for uri, _ in found) == [f"{folder.key}/{i:04}" for i in range(1003)]
    assert len({upload for _, upload in found}) == 1003
    assert list(s3.abandoned_uploads(folder, 3600)) == []


def test_uploads_are_followed_as_amazon_pages_them(s3, s3_endpoint, folder, monkeypatch):
    """Amazon goes on after a key together with an upload id, the test server after an upload id alone."""
    with faulty_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        s3.close()
        proxy.spoil(amazons_pages([("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "9")]))
        found = [(uri.below(folder), upload) for uri, upload in s3.abandoned_uploads(folder, 0)]
        assert found == [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "9")]
        proxy.spoil(endless_list)
        assert code_of(lambda: list(s3.abandoned_uploads(folder, 0)), AccessError) == "E-S3-011"
        s3.close()


def amazons_pages(uploads: list[tuple[str, str]], size: int = 2) -> Fault:
    """Answers a listing of uploads as the API reference has it; an upload id without its key is passed over."""

    def fault(handler, _body):
        asked = {key: values[0] for key, values in parse_qs(urlsplit(handler.path).query).items()}
        after = (asked.get("key-marker", ""), asked.get("upload-id-marker", "") if "key-marker" in asked else "")
        rest = [each for each in uploads if (f"{asked['prefix']}{each[0]}", each[1]) > after]
        page, more = rest[:size], len(rest) > size
        rows = "".join(
            f"<Upload><Key>{asked['prefix']}{key}</Key><UploadId>{upload}</UploadId>"
            "<Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>"
            for key, upload in page
        )
        last = f"<NextKeyMarker>{asked['prefix']}{page[-1][0]}</NextKeyMarker>"
        last += f"<NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
        body = f"<IsTruncated>{str(more).lower()}</IsTruncated>{last if more else ''}{rows}"
        text = f"<ListMultipartUploadsResult>{body}</ListMultipartUploadsResult>"
        handler.send(Answer(200, {"Content-Type": "application/xml"}, text.encode()))

    return fault


def test_conditions_hold_or_nothing_is_written(s3, folder):
    first = s3.put_bytes(folder / "x", b"1", if_absent=True)
    assert first is not None
    assert s3.put_bytes(folder / "x", b"2", if_absent=True) is None
    second = s3.put_bytes(folder / "x", b"2", if_match=first)
    assert second is not None
    assert s3.put_bytes(folder / "x", b"3", if_match=first) is None
    assert s3.put_bytes(folder / "gone", b"3", if_match=first) is None
    assert s3.get_bytes(folder / "x") == (b"2", second)
    assert s3.head(folder / "gone") is None


def test_a_file_that_is_there_already_is_left_alone(s3, folder, tmp_path):
    for size in (3, 9 * MB):
        (tmp_path / "one").write_bytes(b"1" * size)
        (tmp_path / "two").write_bytes(b"2" * size)
        s3.upload(folder / f"x{size}", tmp_path / "one", if_absent=True)
        s3.upload(folder / f"x{size}", tmp_path / "two", if_absent=True)
        s3.download(folder / f"x{size}", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"1" * size


def test_what_was_removed_is_gone_and_may_be_removed_again(s3, folder):
    s3.put_bytes(folder / "x", b"1")
    s3.delete(folder / "x")
    s3.delete(folder / "x")
    assert s3.head(folder / "x") is None


def test_a_transport_works_where_it_was_sent(s3, folder):
    s3.put_bytes(folder / "x", b"1")
    sent = pickle.loads(pickle.dumps(s3))
    assert sent.get_bytes(folder / "x")[0] == b"1"
    sent.close()


# --- refusals ---------------------------------------------------------------------------------


def test_what_is_missing_is_named(s3, folder, tmp_path):
    nowhere = S3Uri("no-such-bucket", "x")
    assert code_of(lambda: s3.get_bytes(folder / "x"), DataError) == "E-S3-002"
    assert code_of(lambda: s3.download(folder / "x", tmp_path / "x"), DataError) == "E-S3-002"
    assert code_of(lambda: s3.get_bytes(nowhere), DataError) == "E-S3-001"
    assert code_of(lambda: s3.head(nowhere), DataError) == "E-S3-001"
    assert code_of(lambda: s3.list(nowhere), DataError) == "E-S3-001"
    assert list(s3.list(folder)) == []
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_not_the_one_meant_is_not_read(s3, folder, tmp_path):
    stale = s3.put_bytes(folder / "x", b"1")
    s3.put_bytes(folder / "x", b"2")
    assert code_of(lambda: s3.get_bytes(folder / "x", etag=stale), DataError) == "E-S3-005"
    assert code_of(lambda: s3.download(folder / "x", tmp_path / "x", etag=stale), DataError) == "E-S3-005"
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_expected_are_not_read(s3, folder):
    s3.put_bytes(folder / "x", b"12345")
    assert code_of(lambda: s3.get_bytes(folder / "x", max_bytes=4), DataError) == "E-S3-015"


def test_wrong_credentials_are_refused_and_never_shown(s3_endpoint, folder, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    s3 = S3(budget_seconds=3)
    for call in (s3.head, s3.get_bytes, lambda uri: s3.put_bytes(uri, b"")):
        with pytest.raises(AccessError) as caught:
            call(folder / "x")
        assert caught.value.code == "E-S3-003"
        assert "canary" not in str(caught.value.to_dict())
    s3.close()


def test_no_credentials_are_named(s3_endpoint, folder, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3 = S3(budget_seconds=3)
    assert code_of(lambda: s3.head(folder / "x"), AccessError) == "E-S3-008"
    s3.close()


def test_an_unknown_profile_is_named(folder, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(AccessError) as caught:
        S3().head(folder)
    assert caught.value.code == "E-S3-008"


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254", "http://[fd00:ec2::254]/", "http://metadata.google.internal:80", "ftp://x"]
)
def test_metadata_addresses_are_never_asked(folder, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert code_of(lambda: S3().head(folder), ConfigError) == "E-S3-012"


def test_a_password_in_the_endpoint_is_not_shown(folder, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:canary@169.254.169.254")
    with pytest.raises(ConfigError) as caught:
        S3().head(folder)
    assert "canary" not in str(caught.value.to_dict())


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid:80"])
def test_a_server_that_is_not_there_is_named_within_the_budget(folder, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    s3 = S3(budget_seconds=0.5)
    assert code_of(lambda: s3.get_bytes(folder / "x"), UnavailableError) == "E-S3-004"
    s3.close()


def test_the_real_service_is_asked_by_buckets_name(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    s3 = S3()
    assert s3.client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"
    s3.close()


def test_the_server_compares_what_it_got_with_what_was_sent(s3, folder):
    with pytest.raises(s3.client.exceptions.ClientError):
        s3.client.put_object(Bucket=folder.bucket, Key="x", Body=b"1", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
