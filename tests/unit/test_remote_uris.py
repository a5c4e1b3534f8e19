"""Addresses of remote data and workspaces: read as documented, anything else refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.config_file import check_services, load_config
from acclimate.config_file.remote_uris import DvcAddress, S3Address, UnusableUriError
from acclimate.errors import ConfigError

PARTS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=12).filter(
    lambda part: part not in {".", ".."}
)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket", S3Address("bucket", "")),
        ("s3://bucket/", S3Address("bucket", "")),
        ("s3://bucket/mail.csv", S3Address("bucket", "mail.csv")),
        ("s3://bucket/a b/mail (1).csv", S3Address("bucket", "a b/mail (1).csv")),
        ("s3://bucket/folder/", S3Address("bucket", "folder")),
        ("s3://bucket/mail.csv?versionId=3sL4kqtJ-x.Y_z", S3Address("bucket", "mail.csv", "3sL4kqtJ-x.Y_z")),
    ],
)
def test_s3_addresses(uri: str, expected: S3Address) -> None:
    assert S3Address.parse(uri) == expected


@pytest.mark.parametrize(
    "uri",
    ["s3://", "s3:///a", "s3://b/a", "s3://B_b/a", "s3://bucket/a//b", "s3://bucket/./a", "s3://bucket/a/..",
     "s3://bucket/a\nb", "s3://bucket/a\\b", "s3://bucket/a?b", "s3://bucket/a?versionId=", "s3://bucket?versionId=1",
     "s3://bucket/a?versionId=1&x=2", "s3://bucket/a?versionId=1?versionId=2", "s3://bucket/" + "a/" * 600 + "a"],
)  # fmt: skip
def test_what_is_no_s3_address(uri: str) -> None:
    with pytest.raises(UnusableUriError):
        S3Address.parse(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("dvc://mail.csv", DvcAddress("mail.csv")),
        ("dvc://data/mail.csv@v1.2", DvcAddress("data/mail.csv", "v1.2")),
        ("dvc://data/@main", DvcAddress("data", "main")),
        ("dvc://mail.csv@release/2026-11", DvcAddress("mail.csv", "release/2026-11")),
        ("dvc://mail.csv@HEAD~1", DvcAddress("mail.csv", "HEAD~1")),
        ("dvc://me%40home/mail.csv", DvcAddress("me@home/mail.csv")),
        ("dvc://mail.csv@v1?repo=../data", DvcAddress("mail.csv", "v1", "../data")),
        ("dvc://mail.csv?repo=https://host/a/b.git", DvcAddress("mail.csv", None, "https://host/a/b.git")),
        ("dvc://mail.csv@v1?repo=git@host:a/b", DvcAddress("mail.csv", "v1", "git@host:a/b")),
        ("dvc://mail.csv?repo=ssh://git@host/a", DvcAddress("mail.csv", None, "ssh://git@host/a")),
    ],
)
def test_dvc_addresses(uri: str, expected: DvcAddress) -> None:
    assert DvcAddress.parse(uri) == expected
    assert DvcAddress.parse(str(expected)) == expected
    assert expected.repo_is_folder == (expected.repo in {None, "../data"})


@pytest.mark.parametrize(
    "uri",
    ["dvc://", "dvc:///a", "dvc://a/../b", "dvc://a%2F..%2Fb", "dvc://a@", "dvc://a@-x", "dvc://a@v1..v2",
     "dvc://a@b c", "dvc://a?", "dvc://a?repo=", "dvc://a?repo=-x", "dvc://a?repo=ext::sh", "dvc://a?repo=file:///x", "dvc://a?rev=v1",
     "dvc://a?repo=ftp://host/x", "dvc://a?repo=https://me@host/x", "dvc://a?repo=x%0Ay", "dvc://a\nb"],
)  # fmt: skip
def test_what_is_no_dvc_address(uri: str) -> None:
    with pytest.raises(UnusableUriError):
        DvcAddress.parse(uri)


@given(st.lists(PARTS, min_size=1, max_size=4), st.none() | st.sampled_from(["v1", "main", "a/b"]))
def test_any_path_survives_being_written(parts: list[str], revision: str | None) -> None:
    address = DvcAddress("/".join(parts), revision)
    assert DvcAddress.parse(str(address)) == address


class TestServices:
    @pytest.mark.parametrize(
        ("workspace", "uri", "environment", "fine"),
        [
            (".acclimate", None, {}, True),
            ("s3://bucket/w", None, {}, False),
            ("s3://bucket/w", "http://mlflow:5000", {}, True),
            ("s3://bucket/w", None, {"MLFLOW_TRACKING_URI": "https://mlflow"}, True),
            ("s3://bucket/w", None, {"MLFLOW_TRACKING_URI": ""}, False),
            ("s3://bucket/w", None, {"MLFLOW_TRACKING_URI": "/var/mlruns"}, False),
            ("s3://bucket/w", "sqlite:////tmp/mlflow.db", {"MLFLOW_TRACKING_URI": "https://mlflow"}, False),
        ],
    )
    def test_a_shared_workspace_needs_a_server(
        self, tmp_path: Path, workspace: str, uri: str | None, environment: dict[str, str], fine: bool
    ) -> None:
        path = tmp_path / "adaptation.yaml"
        path.write_text("name: mail\nsource: package://pack/model\ntarget: {data: s3://bucket/mail.csv}\n")
        overrides = [f"workspace={workspace}", *([f"tracking.uri={uri}"] if uri else [])]
        config = load_config(path, overrides).config
        if fine:
            check_services(config, environment)
            return
        with pytest.raises(ConfigError) as caught:
            check_services(config, environment)
        assert caught.value.code == "E-CONFIG-038"
        assert "tracking.uri" in caught.value.hint
