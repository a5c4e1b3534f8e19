"""Data from a real S3 server and real DVC repositories: the same rows by every route, all damage found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.data_uris import Located, absolute_data, located, reading
from acclimate.adapters.fetched import FetchLimits
from acclimate.adapters.s3 import S3, S3Uri
from acclimate.checks import validate
from acclimate.config import DataSpec
from acclimate.digests import file_digest
from acclimate.errors import AcclimateError, ConfigError, DataError, IntegrityError
from acclimate.keys import run_key
from acclimate.local_run import load_request, new_run_id
from acclimate.records import DataCard
from acclimate.stage_work import STEPS
from acclimate.stages.ingest import ingest
from acclimate.steps import open_context

# DVC and the libraries below it leave sockets and event loops to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning"
)

ROWS = [(f"message number {i} about things", ("ham", "spam")[i % 2]) for i in range(300)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
PARTS = {f"{name}.csv": "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS[a:b])
         for name, a, b in (("a", 0, 100), ("b", 100, 300))}  # fmt: skip

IMPORTED = """\
md5: d41d8cd98f00b204e9800998ecf8427e
frozen: true
deps:
{}
outs:
- {{md5: d41d8cd98f00b204e9800998ecf8427e, size: 1, hash: md5, path: evil.csv}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def find(root: Path, tmp_path: Path) -> Callable[..., Located]:
    """Locates data of the project."""

    def call(data: str, **options: Any) -> Located:
        return located(data, root=root, home=tmp_path / "home", **options)

    return call


@pytest.fixture
def client(s3_endpoint: str) -> Iterator[Any]:
    """A plain S3 client."""
    import boto3

    made = boto3.client("s3", endpoint_url=s3_endpoint)
    yield made
    made.close()


@pytest.fixture
def put(client: Any, bucket: str) -> Callable[[str, str], None]:
    """Stores an object in the test's bucket."""
    return lambda key, body: client.put_object(Bucket=bucket, Key=key, Body=body.encode())


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository: v1 has mail.csv and many/, v2 another mail.csv and nested/; git itself keeps small.csv."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_NO_ANALYTICS", "1")
        environment.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc-site")))
        folder = tmp_path_factory.mktemp("dvc") / "data-repo"
        (folder / "many").mkdir(parents=True)
        git(folder, "init", "-q")
        dvc(folder, "init")
        (folder / "mail.csv").write_text(CSV)
        (folder / "small.csv").write_text(CSV)
        for name, text in PARTS.items():
            (folder / "many" / name).write_text(text)
        dvc(folder, "add", "mail.csv", "many")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "one")
        git(folder, "tag", "v1")
        (folder / "mail.csv").write_text(CSV.replace("message number 7 ", "another text 7 "))
        (folder / "nested" / "deep").mkdir(parents=True)
        (folder / "nested" / "deep" / "a.csv").write_text(CSV)
        dvc(folder, "add", "mail.csv", "nested")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "two")
        git(folder, "tag", "v2")
    return folder


@pytest.fixture
def repo(versioned: Path, root: Path) -> Path:
    """A copy of the DVC repository inside the project."""
    return Path(shutil.copytree(versioned, root / "data-repo"))


def ingested(found: Located, out: Path) -> DataCard:
    out.mkdir()
    spec = DataSpec(data=str(found.path), text="text", label="label")
    return ingest(
        spec, None, task="text-classification", root=found.root, allow_outside=True, out=out, read=reading(found)
    )


def test_the_same_bytes_by_three_routes_give_the_same_digest(
    find: Callable[..., Located], root: Path, repo: Path, put: Callable[[str, str], None], bucket: str, tmp_path: Path
) -> None:
    (root / "mail.csv").write_text(CSV)
    put("mail/mail.csv", CSV)
    uris = ["mail.csv", f"s3://{bucket}/mail/mail.csv", f"s3://{bucket}/mail/", "dvc://mail.csv@v1?repo=data-repo"]
    found = [find(uri) for uri in uris]
    assert all(each.digests == found[0].digests for each in found)
    cards = [ingested(each, tmp_path / f"out{i}").target for i, each in enumerate(found)]
    assert len({card.digest for card in cards}) == 1
    files = [card.files[0] for card in cards]
    assert len({file.sha256 for file in files}) == 1
    assert [file.uri for file in files] == ["mail.csv", uris[1], uris[1], uris[3]]
    assert files[0].etag is None
    assert files[0].md5 is None
    assert files[1].etag
    assert (files[3].dvc_rev, files[3].dvc_repo) == (git(repo, "rev-parse", "v1"), "data-repo")
    assert files[3].md5 in (repo / "mail.csv.dvc").read_text() or files[3].md5 in git(repo, "show", "v1:mail.csv.dvc")


@pytest.mark.usefixtures("repo")
def test_the_same_data_and_source_by_other_routes_are_the_same_adaptation(
    root: Path,
    put: Callable[[str, str], None],
    client: Any,
    bucket: str,
    tiny_source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))
    (root / "mail.csv").write_text(CSV)
    put("mail.csv", CSV)
    shutil.copytree(tiny_source, root / "tiny")
    for path in tiny_source.iterdir():
        client.upload_file(str(path), bucket, f"tiny/{path.name}")
    (root / "dvc.yaml").touch()  # marks the project's root
    yaml = root / "adaptation.yaml"
    yaml.write_text("name: mail\nsource: {model: tiny, licence: MIT}\ntarget: {data: mail.csv}\n")
    routes = [
        [],
        [f"target.data=s3://{bucket}/mail.csv"],
        ["target.data=dvc://mail.csv@v1?repo=data-repo"],
        [f"target.data=s3://{bucket}/mail.csv", f"source.model=s3://{bucket}/tiny"],
    ]
    keys, places = set(), []
    for overrides in routes:
        assert validate(yaml, overrides)["rows"] == len(ROWS)
        context = open_context(load_request(yaml, overrides), new_run_id())
        folder = STEPS["ingest"](context)
        keys.add(run_key(context, folder))
        places.append(DataCard.read(folder).target.files[0].uri)
    assert len(keys) == 1
    assert places == ["mail.csv", f"s3://{bucket}/mail.csv", "dvc://mail.csv@v1?repo=data-repo", places[1]]


def test_a_folder_by_three_routes(
    find: Callable[..., Located], root: Path, repo: Path, put: Callable[[str, str], None], bucket: str, tmp_path: Path
) -> None:
    (root / "many").mkdir()
    for name, text in PARTS.items():
        (root / "many" / name).write_text(text)
        put(f"many/{name}", text)
    put("many/README.md", "hello")
    put("many/_SUCCESS", "")
    found = [find("many"), find(f"s3://{bucket}/many"), find("dvc://many@v1?repo=data-repo")]
    assert [each.digests for each in found] == [found[0].digests] * 3
    cards = [ingested(each, tmp_path / f"out{i}").target for i, each in enumerate(found)]
    assert len({card.digest for card in cards}) == 1
    assert [file.uri for file in cards[2].files] == [
        "dvc://many/a.csv@v1?repo=data-repo",
        "dvc://many/b.csv@v1?repo=data-repo",
    ]
    assert cards[1].warnings == [f"s3://{bucket}/many: passed over 1 entries, e.g. README.md"]


class TestS3:
    def test_many_objects_come_in_the_order_of_their_names(
        self, find: Callable[..., Located], put: Callable[[str, str], None], bucket: str
    ) -> None:
        for i in range(25):
            put(f"many/part-{24 - i:02}.csv", f"text,label\ntext {24 - i},a\n")
        found = find(f"s3://{bucket}/many")
        table = found.read(found.path, name="target", text="text", required=["label"], optional=[], encoding="utf-8",
                           format=None, root=found.root, allow_outside=False)  # fmt: skip
        assert table.columns["text"] == [f"text {i}" for i in range(25)]

    def test_a_place_in_an_error_is_the_objects_own(
        self, find: Callable[..., Located], put: Callable[[str, str], None], bucket: str, tmp_path: Path
    ) -> None:
        put("bad.csv", CSV + "one,two,three\n")
        with pytest.raises(DataError) as caught:
            ingested(find(f"s3://{bucket}/bad.csv"), tmp_path / "out")
        assert (caught.value.code, caught.value.where) == ("E-DATA-014", f"s3://{bucket}/bad.csv:302")

    def test_a_changed_object_is_fetched_again_and_an_unchanged_one_is_not(
        self, find: Callable[..., Located], put: Callable[[str, str], None], bucket: str
    ) -> None:
        put("mail.csv", CSV)
        first = find(f"s3://{bucket}/mail.csv")
        written = first.path.stat().st_mtime_ns
        assert find(f"s3://{bucket}/mail.csv").path.stat().st_mtime_ns == written
        put("mail.csv", CSV.replace("ham", "good"))
        second = find(f"s3://{bucket}/mail.csv")
        assert second.digests != first.digests
        assert second.files["mail.csv"].etag != first.files["mail.csv"].etag

    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "more", "record"])
    def test_a_damaged_copy_is_fetched_again(
        self, find: Callable[..., Located], put: Callable[[str, str], None], bucket: str, damage: str
    ) -> None:
        put("mail.csv", CSV)
        first = find(f"s3://{bucket}/mail.csv")
        path = first.path
        if damage == "flipped":
            path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:-9])
        elif damage == "gone":
            path.unlink()
        elif damage == "more":
            (path.parent / "more.csv").write_text(CSV)
        else:
            record = path.parent.parent / "fetched.json"
            record.write_text(record.read_text().replace("mail.csv", "mial.csv", 1))
        again = find(f"s3://{bucket}/mail.csv")
        assert again == first
        assert again.path.read_text() == CSV
        assert [each.name for each in path.parent.iterdir()] == ["mail.csv"]

    def test_what_changes_between_finding_and_fetching_is_refused(
        self,
        find: Callable[..., Located],
        put: Callable[[str, str], None],
        bucket: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from acclimate.adapters import data_uris

        put("mail.csv", CSV)
        download = data_uris.download

        def late(*arguments: Any) -> Any:
            put("mail.csv", CSV.replace("ham", "good"))
            return download(*arguments)

        monkeypatch.setattr(data_uris, "download", late)
        with pytest.raises(DataError) as caught:
            find(f"s3://{bucket}/mail.csv")
        assert caught.value.code == "E-S3-005"

    def test_bytes_that_are_not_those_of_the_etag_are_refused(
        self,
        find: Callable[..., Located],
        put: Callable[[str, str], None],
        bucket: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        put("mail.csv", CSV)
        download = S3.download

        def flipping(self: S3, uri: S3Uri, path: Path, **pins: Any) -> str:
            download(self, uri, path, **pins)
            body = bytearray(path.read_bytes())
            body[100] ^= 1
            path.write_bytes(body)
            return file_digest(path)

        monkeypatch.setattr(S3, "download", flipping)
        with pytest.raises(IntegrityError) as caught:
            find(f"s3://{bucket}/mail.csv")
        assert caught.value.code == "E-S3-006"
        assert not list((tmp_path / "home" / "data").glob("*/fetched.json"))

    def test_a_named_version_is_read_though_there_is_a_newer_one(
        self, find: Callable[..., Located], client: Any, bucket: str
    ) -> None:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        old = client.put_object(Bucket=bucket, Key="mail.csv", Body=CSV.encode())["VersionId"]
        client.put_object(Bucket=bucket, Key="mail.csv", Body=b"text,label\nnewer,ham\n")
        found = find(f"s3://{bucket}/mail.csv?versionId={old}")
        assert found.path.read_text() == CSV
        assert found.files["mail.csv"].version_id == old
        newest = find(f"s3://{bucket}/mail.csv").files["mail.csv"].version_id
        assert newest not in {None, old}

    @pytest.mark.parametrize(
        ("objects", "uri", "code"),
        [
            ({}, "s3://{}/none.csv", "E-DATA-001"),
            ({"mail.csv": CSV}, "s3://{}/mail", "E-DATA-001"),
            ({"many/a.csv": CSV, "many/2026/b.csv": CSV}, "s3://{}/many", "E-DATA-051"),
            ({"many/readme.md": CSV}, "s3://{}/many", "E-DATA-004"),
            ({"many/a.csv": CSV, "many/b.jsonl": "{}"}, "s3://{}/many", "E-DATA-004"),
            ({"many/a\nb.csv": CSV}, "s3://{}/many", "E-DATA-052"),
            ({"mail.xlsx": CSV}, "s3://{}/mail.xlsx", "E-DATA-003"),
            ({"mail.csv": CSV}, "s3://{}/../etc/passwd", "E-CONFIG-032"),
            ({"mail.csv": CSV}, "s3://no-such-bucket-anywhere/mail.csv", "E-S3-001"),
        ],
    )
    def test_what_is_no_table_is_refused(
        self,
        find: Callable[..., Located],
        put: Callable[[str, str], None],
        bucket: str,
        tmp_path: Path,
        objects: dict[str, str],
        uri: str,
        code: str,
    ) -> None:
        for key, body in objects.items():
            put(key, body)
        with pytest.raises(AcclimateError) as caught:
            ingested(find(uri.format(bucket)), tmp_path / "out")
        assert caught.value.code == code
        assert caught.value.where.startswith("s3://")
        assert caught.value.hint

    def test_what_is_too_large_is_refused_before_it_is_fetched(
        self, find: Callable[..., Located], put: Callable[[str, str], None], bucket: str, tmp_path: Path
    ) -> None:
        put("mail.csv", CSV)
        with pytest.raises(DataError) as caught:
            find(f"s3://{bucket}/mail.csv", limits=FetchLimits(size_bytes=100))
        assert caught.value.code == "E-FETCH-001"
        assert not [path for path in (tmp_path / "home").rglob("*") if path.name == "mail.csv"]


class TestDvc:
    def test_without_a_revision_it_is_what_is_committed(self, find: Callable[..., Located], repo: Path) -> None:
        (repo / "mail.csv").write_text("text,label\nnot committed,ham\n")
        found = find("dvc://mail.csv?repo=data-repo")
        assert found.files["mail.csv"].dvc_rev == git(repo, "rev-parse", "HEAD")
        assert "another text 7" in found.path.read_text()
        assert found.digests != find("dvc://mail.csv@v1?repo=data-repo").digests

    def test_the_project_itself_is_the_default_repository(self, repo: Path, tmp_path: Path) -> None:
        found = located("dvc://mail.csv@v1", root=repo, home=tmp_path / "home")
        assert found.path.read_text() == CSV
        assert found.files["mail.csv"].dvc_repo is None

    def test_a_file_that_git_keeps(self, find: Callable[..., Located], repo: Path) -> None:
        found = find("dvc://small.csv@v1?repo=data-repo")
        assert found.path.read_text() == CSV
        assert found.files["small.csv"].md5

    def test_from_a_remote_on_s3(
        self, find: Callable[..., Located], repo: Path, bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # DVC reads the file itself, and wants a real one
        (repo / "aws.ini").touch()
        monkeypatch.setenv("AWS_CONFIG_FILE", str(repo / "aws.ini"))
        monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
        dvc(repo, "remote", "add", "-d", "store", f"s3://{bucket}/dvc")
        dvc(repo, "remote", "modify", "store", "endpointurl", s3_endpoint)
        dvc(repo, "push", "-r", "store")
        git(repo, "commit", "-qam", "remote")
        shutil.rmtree(repo / ".dvc" / "cache")
        (repo / "mail.csv").unlink()
        found = find("dvc://mail.csv@HEAD?repo=data-repo")
        assert "another text 7" in found.path.read_text()

    @pytest.mark.parametrize(
        ("uri", "code"),
        [
            ("dvc://none.csv@v1?repo=data-repo", "E-DVC-004"),
            ("dvc://mail.csv@v3?repo=data-repo", "E-DVC-003"),
            ("dvc://mail.csv?repo=no-repo", "E-DATA-001"),
            ("dvc://mail.csv?repo=..", "E-CONFIG-036"),
            ("dvc://nested@v2?repo=data-repo", "E-DATA-051"),
            ("dvc://nested@v1?repo=data-repo", "E-DVC-004"),
            ("dvc://mail.csv", "E-DVC-002"),
            ("dvc://mail.csv?repo=https://127.0.0.1:9/none.git", "E-DVC-007"),
            ("dvc://mail.csv?repo=https://169.254.169.254/none.git", "E-CONFIG-033"),
        ],
    )
    @pytest.mark.usefixtures("repo")
    def test_what_is_not_there_is_named(self, find: Callable[..., Located], uri: str, code: str) -> None:
        with pytest.raises(AcclimateError) as caught:
            find(uri)
        assert caught.value.code == code
        assert caught.value.hint

    def test_bytes_that_no_remote_has(self, find: Callable[..., Located], repo: Path) -> None:
        shutil.rmtree(repo / ".dvc" / "cache")
        with pytest.raises(DataError) as caught:
            find("dvc://mail.csv@v1?repo=data-repo")
        assert caught.value.code == "E-DVC-005"
        assert "dvc push" in caught.value.hint

    def test_a_flipped_bit_in_the_cache_is_found(
        self, find: Callable[..., Located], repo: Path, tmp_path: Path
    ) -> None:
        for path in (repo / ".dvc" / "cache" / "files").rglob("*"):
            if path.is_file():
                path.chmod(0o644)
                path.write_bytes(path.read_bytes().replace(b"message", b"massage"))
        with pytest.raises((IntegrityError, DataError)) as caught:
            find("dvc://mail.csv@v1?repo=data-repo")
        assert caught.value.code in {"E-DVC-005", "E-DVC-006"}
        assert not list((tmp_path / "home" / "data").glob("*/fetched.json"))

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            (".dvc/config", "['remote \"evil\"']\n    url = http://169.254.169.254/latest\n"),
            (".dvc/config", "['remote \"evil\"']\n    url = s3://bucket\n    endpointurl = http://2852039166\n"),
            (
                "evil.csv.dvc",
                IMPORTED.format("- path: http://169.254.169.254/latest/meta-data"),
            ),
            (
                "evil.csv.dvc",
                IMPORTED.format(
                    "- path: x.csv\n  repo: {url: https://metadata.google.internal/x.git, rev_lock: abcdef}"
                ),
            ),
        ],
        ids=["remote", "endpoint", "import-url", "import"],
    )
    def test_a_repository_that_leads_to_a_metadata_address_is_refused(
        self, find: Callable[..., Located], repo: Path, name: str, text: str
    ) -> None:
        (repo / name).write_text(text)
        git(repo, "add", "-A")
        git(repo, "commit", "-qam", "evil")
        with pytest.raises(ConfigError) as caught:
            find("dvc://mail.csv@HEAD?repo=data-repo")
        assert caught.value.code == "E-CONFIG-033"

    def test_nothing_is_written_into_the_repository(self, find: Callable[..., Located], repo: Path) -> None:
        before = git(repo, "status", "--porcelain")
        find("dvc://many@v1?repo=data-repo")
        assert git(repo, "status", "--porcelain") == before


class TestPublished:
    def test_local_data_come_back_as_they_were_under_their_own_name(
        self, find: Callable[..., Located], root: Path, bucket: str, tmp_path: Path
    ) -> None:
        (root / "mail.txt").write_text(CSV)
        local = find("mail.txt")
        uri = local.publish(f"s3://{bucket}/work")
        assert uri == local.publish(f"s3://{bucket}/work")
        assert uri.startswith(f"s3://{bucket}/work/data/")
        elsewhere = located(uri, root=tmp_path / "another", home=tmp_path / "machine")
        assert elsewhere.digests == local.digests
        spec = DataSpec(data=str(elsewhere.path), format="csv")
        (tmp_path / "out").mkdir()
        card = ingest(spec, None, task="text-classification", root=tmp_path, allow_outside=True,
                      out=tmp_path / "out", read=reading(elsewhere))  # fmt: skip
        assert card.target.files[0].uri == "mail.txt"

    def test_a_dvc_folder_keeps_its_revision(
        self, find: Callable[..., Located], repo: Path, bucket: str, tmp_path: Path
    ) -> None:
        first = find("dvc://many@v1?repo=data-repo")
        uri = first.publish(f"s3://{bucket}/work")
        elsewhere = located(uri, root=tmp_path, home=tmp_path / "machine")
        assert elsewhere.files == first.files
        assert elsewhere.files["a.csv"].dvc_rev == git(repo, "rev-parse", "v1")

    @pytest.mark.parametrize("damage", ["bytes", "manifest", "gone"])
    def test_damage_is_found(
        self, find: Callable[..., Located], root: Path, client: Any, bucket: str, tmp_path: Path, damage: str
    ) -> None:
        (root / "mail.csv").write_text(CSV)
        uri = find("mail.csv").publish(f"s3://{bucket}/work")
        key = uri.removeprefix(f"s3://{bucket}/")
        if damage == "bytes":
            client.put_object(Bucket=bucket, Key=key, Body=CSV.replace("7", "8").encode())
        elif damage == "gone":
            client.delete_object(Bucket=bucket, Key=key)
        else:
            manifest = key.replace("mail.csv", "_acclimate.json")
            body = client.get_object(Bucket=bucket, Key=manifest)["Body"].read()
            client.put_object(Bucket=bucket, Key=manifest, Body=body.replace(b"mail.csv", b"mial.csv"))
        with pytest.raises(AcclimateError) as caught:
            located(uri, root=root, home=tmp_path / "machine")
        assert caught.value.code == {"bytes": "E-PUBLISH-002", "manifest": "E-PUBLISH-001", "gone": "E-S3-002"}[damage]


def test_a_request_names_data_independently_of_the_yaml(root: Path, repo: Path) -> None:
    (root / "configs").mkdir()
    (root / "mail.csv").write_text(CSV)

    def absolute(data: str) -> str:
        return absolute_data(data, root / "configs", root)

    assert absolute("../mail.csv") == str(root / "mail.csv")
    assert absolute("s3://bucket/mail.csv") == "s3://bucket/mail.csv"
    assert absolute("dvc://mail.csv@v1") == "dvc://mail.csv@v1"
    assert absolute("dvc://mail.csv@v1?repo=../data-repo") == "dvc://mail.csv@v1?repo=data-repo"
    assert absolute("dvc://mail.csv?repo=git@host:a/b") == "dvc://mail.csv?repo=git@host:a/b"
    with pytest.raises(ConfigError) as caught:
        absolute("dvc://mail.csv?repo=../..")
    assert caught.value.code == "E-CONFIG-036"
    assert repo.is_dir()
