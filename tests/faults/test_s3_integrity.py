"""Bytes used are the bytes written: a thousand stored objects, each damaged behind the store's back, all found."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from acclimate.adapters.local_store import signed_files
from acclimate.adapters.s3 import S3Uri
from acclimate.adapters.s3_store import S3Store
from acclimate.errors import DataError, IntegrityError
from acclimate.records import Manifest

BLOBS, RECORDS, LARGE, STALE = 760, 120, 8, 112
MB = 1 << 20


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))]


@pytest.fixture
def store(bucket, tmp_path):
    opened = S3Store(f"s3://{bucket}/work", tmp_path / "writer")
    yield opened
    opened.close()


@pytest.fixture
def reader(store, tmp_path):
    opened = S3Store(str(store.root), tmp_path / "reader")
    yield opened
    opened.close()


def publish(store, stage, key, files):
    folder = store.home / "tmp" / f"{stage}-{key[:24]}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(stage=stage, key=key, run_key=None, inputs={}, files=signed_files(folder))
    return store.reference(store.publish(stage, key, folder, manifest))


def many(work, items):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, items))


@pytest.mark.parametrize("number", [60, pytest.param(BLOBS, marks=pytest.mark.slow)])
def test_every_damaged_blob_is_found_before_it_is_used(store, reader, tmp_path, number):
    """One stage of 760 files; a third flipped, a third truncated, a third swapped with its neighbour."""
    rng = np.random.default_rng(0)
    files = {f"file-{i:03d}": rng.bytes(int(rng.integers(40, 4000))) for i in range(number)}
    reference = publish(store, "gap", "ab" * 32, files)
    manifest = Manifest.read(store.open(reference))
    blobs = {name: store.blobs.uri(file) for name, file in manifest.files.items()}
    names = sorted(files)

    def damage(i: int) -> None:
        content = files[names[i]]
        other = files[names[i - 1]]
        client, uri = store.s3.client, blobs[names[i]]
        spoilt = (flip, truncate, lambda *_: other)[i % 3](content, np.random.default_rng(i))
        assert spoilt != content
        client.put_object(Bucket=uri.bucket, Key=uri.key, Body=spoilt)

    many(damage, range(number))
    lost = reader.blobs.fetch(manifest.files, tmp_path / "fetched")
    assert set(lost) == set(names)
    assert {error.code for error in lost.values()} == {"E-STORE-010"}
    assert [path for path in (tmp_path / "fetched").rglob("*") if path.is_file()] == []


def test_every_damaged_record_is_found_before_it_is_used(store, reader):
    """120 manifests: flipped, truncated, swapped, put back into another's place."""
    references = many(lambda i: publish(store, "gap", f"{i:064x}"[::-1], {"x": b"%d" % i}), range(RECORDS))
    uris = [S3Uri.parse(f"{reference}/manifest.json") for reference in references]
    bodies = many(lambda uri: store.s3.get_bytes(uri)[0], uris)

    def damage(i: int) -> None:
        rng = np.random.default_rng(i)
        body = (flip, truncate, lambda *_: bodies[i - 1])[i % 3](bodies[i], rng)
        store.s3.client.put_object(Bucket=uris[i].bucket, Key=uris[i].key, Body=body)

    many(damage, range(RECORDS))
    for i, reference in enumerate(references):
        found = _open(reader, reference)
        # a flip inside a number's or string's JSON spelling may leave the same value: then nothing was changed
        assert found is None or json.loads(store.s3.get_bytes(uris[i])[0]) == json.loads(bodies[i])
    assert sum(_open(reader, reference) is None for reference in references) == RECORDS


def _open(store, reference):
    try:
        return store.open(reference)
    except IntegrityError:
        return None


def test_damage_in_any_part_of_a_large_object_is_found(store, reader):
    """boto3 hands flipped bits of multipart objects on without a word: our own digest must find them."""
    rng = np.random.default_rng(0)
    content = rng.bytes(9 * MB)
    reference = publish(store, "finetune", "cd" * 32, {"weights": content})
    blob = store.root / "blobs" / hashlib.sha256(content).hexdigest()[:2] / hashlib.sha256(content).hexdigest()
    assert store.s3.head(blob).etag.endswith('-2"')
    for i in range(LARGE):
        at = int(rng.integers(len(content)))
        spoilt = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] if i % 2 else content[:at]
        path = store.home / "spoilt"
        path.write_bytes(spoilt)
        store.s3.upload(blob, path)
        with pytest.raises(IntegrityError):
            reader.open(reference)


def test_an_object_replaced_since_it_was_listed_is_never_read(store, tmp_path):
    """112 stale ETags."""
    folder = S3Uri(store.root.bucket, "data")
    many(lambda i: store.s3.put_bytes(folder / f"{i:03d}", b"old %d" % i), range(STALE))
    seen = list(store.s3.list(folder))
    many(lambda info: store.s3.put_bytes(info.uri, b"new"), seen)
    codes = []
    for info in seen:
        with pytest.raises(DataError) as caught:
            store.s3.download(info.uri, tmp_path / "x", etag=info.etag)
        codes.append(caught.value.code)
    assert codes == ["E-S3-005"] * STALE
    assert not (tmp_path / "x").exists()
