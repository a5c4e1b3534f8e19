"""Source models from a real S3 server and from the registry: the same card, every byte checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.adapters.fetched import FetchLimits
from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.adapters.published import publish_source
from acclimate.adapters.remote_sources import pinned_source, resolve_s3
from acclimate.adapters.sources import resolve_source
from acclimate.errors import AcclimateError, ConfigError, DataError, IntegrityError, ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.records import SourceCard
from tests.run_records import LABELS, SOURCE, digest, run_records, verdict_of

Resolve = Callable[..., tuple[Path, SourceCard]]
TEXTS = ["good great love", "bad awful broken", "the city by the sea"]


@pytest.fixture
def client(s3_endpoint: str) -> Iterator[Any]:
    """A plain S3 client."""
    import boto3

    made = boto3.client("s3", endpoint_url=s3_endpoint)
    yield made
    made.close()


@pytest.fixture
def model(tiny_source: Path, tmp_path: Path) -> Path:
    """A model's folder with a folder in it, a README and weights that are never loaded."""
    folder = Path(shutil.copytree(tiny_source, tmp_path / "tiny"))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "pytorch_model.bin").write_bytes(b"never loaded")
    return folder


@pytest.fixture
def uploaded(client: Any, bucket: str, model: Path) -> str:
    """The model on S3, as anybody would put it there."""
    for path in model.rglob("*"):
        if path.is_file():
            key = f"models/tiny/{path.relative_to(model).as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return f"s3://{bucket}/models/tiny"


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Resolves on a machine of the test's own."""

    def call(uri: str, *, machine: str = "machine", licence: str | None = None, **options: Any) -> Any:
        return resolve_source(uri, root=tmp_path, licence=licence, home=tmp_path / machine, **options)

    return call


def test_a_folder_on_s3_has_the_card_of_the_same_local_folder(model: Path, uploaded: str, resolve: Resolve) -> None:
    _, local = resolve(str(model))
    folder, card = resolve(uploaded)
    assert card == local
    assert card.licence == "Apache-2.0"
    assert (folder / "1_Pooling" / "config.json").is_file()
    assert not (folder / "pytorch_model.bin").exists()
    assert resolve(uploaded + "/")[0] == folder


def test_a_changed_or_damaged_model_is_fetched_again(client: Any, bucket: str, uploaded: str, resolve: Resolve) -> None:
    folder, card = resolve(uploaded)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert resolve(uploaded) == (folder, card)
    pooled = json.dumps({"pooling_mode_cls_token": True}).encode()
    client.put_object(Bucket=bucket, Key="models/tiny/1_Pooling/config.json", Body=pooled)
    assert resolve(uploaded)[1].digest != card.digest


def test_the_preflight_and_the_limits_hold_for_s3_too(
    client: Any, bucket: str, uploaded: str, resolve: Resolve, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as too_much:
        resolve_s3(uploaded, tmp_path / "small", None, limits=FetchLimits(size_bytes=10_000))
    assert too_much.value.code == "E-FETCH-001"
    with pytest.raises(DataError) as empty:
        resolve(f"s3://{bucket}/models/nothing")
    assert empty.value.code == "E-SOURCE-006"
    config = json.loads(client.get_object(Bucket=bucket, Key="models/tiny/config.json")["Body"].read())
    hostile = json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}).encode()
    client.put_object(Bucket=bucket, Key="models/tiny/config.json", Body=hostile)
    with pytest.raises(ModelError) as refused:
        resolve(uploaded)
    assert refused.value.code == "E-MODEL-007"


class TestPublished:
    @pytest.fixture
    def card(self, model: Path, resolve: Resolve) -> SourceCard:
        """As a package's would be: its name and revision are not the folder's."""
        return resolve(str(model))[1].model_copy(update={"name": "a_package", "revision": "1.2.3", "licence": "MIT"})

    def test_the_card_stays_the_same(self, model: Path, card: SourceCard, bucket: str, resolve: Resolve) -> None:
        workspace = f"s3://{bucket}/work"
        uri = publish_source(model, card, workspace)
        assert uri == publish_source(model, card, workspace)
        assert uri.startswith(f"{workspace}/sources/")
        folder, found = resolve(uri, licence="GPL-3.0-only")
        assert found == card
        assert not (folder / "pytorch_model.bin").exists()
        assert publish_source(model, card.model_copy(update={"revision": "1.2.4"}), workspace) != uri

    def test_a_publication_that_broke_off_is_none(
        self, model: Path, card: SourceCard, bucket: str, client: Any, resolve: Resolve
    ) -> None:
        uri = publish_source(model, card, f"s3://{bucket}/work")
        key = uri.removeprefix(f"s3://{bucket}/")
        client.delete_object(Bucket=bucket, Key=f"{key}/_acclimate.json")
        client.delete_object(Bucket=bucket, Key=f"{key}/model.safetensors")
        with pytest.raises(ModelError) as caught:
            resolve(uri)
        assert caught.value.code == "E-MODEL-004"
        publish_source(model, card, f"s3://{bucket}/work")
        assert resolve(uri)[1] == card

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md", "_acclimate.json"])
    def test_every_flipped_bit_is_found(
        self, model: Path, card: SourceCard, bucket: str, client: Any, resolve: Resolve, name: str
    ) -> None:
        uri = publish_source(model, card, f"s3://{bucket}/work")
        key = f"{uri.removeprefix(f's3://{bucket}/')}/{name}"
        body = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        body[len(body) // 2] ^= 1
        client.put_object(Bucket=bucket, Key=key, Body=bytes(body))
        with pytest.raises(IntegrityError) as caught:
            resolve(uri)
        assert caught.value.code == ("E-PUBLISH-001" if name.startswith("_") else "E-PUBLISH-002")


class TestRegistered:
    @pytest.fixture(scope="class")
    def registry(self, tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
        """An embedded registry with one adapted model, the champion."""
        workspace = tmp_path_factory.mktemp("workspace")
        folder = workspace / "adapted"
        encoder = Encoder.load(tiny_source, precision="fp32", max_length=32)
        rng = np.random.default_rng(0)
        head = rng.normal(size=(len(LABELS), encoder.dim)), rng.normal(size=len(LABELS))
        AdaptedModel.build(encoder, *head, LABELS, strategy="frozen", source=SOURCE, temperature=1.7).save(folder)
        registry = open_registry(local_uri(workspace), workspace)
        records = run_records(name="mail")
        run_id = registry.record_run(records)
        uri = registry.log_model(run_id, records, folder)
        registry.register(records, run_id, uri, verdict_of(records, "PROMOTE"), auto_promote=True)
        return registry

    def test_an_adapted_model_is_a_source(self, registry: MlflowRegistry, tiny_source: Path, resolve: Resolve) -> None:
        uri = pinned_source("models:/mail@champion", lambda: registry)
        assert uri == "models:/mail/1"
        folder, card = resolve(uri, registry=lambda: registry)
        assert (card.name, card.revision, card.labels, card.licence) == ("mail", "1", LABELS, "Apache-2.0")
        encoder = Encoder.load(folder, precision="fp32", max_length=32)
        before = Encoder.load(tiny_source, precision="fp32", max_length=32)
        np.testing.assert_array_equal(encoder.embed(TEXTS), before.embed(TEXTS))
        again = AdaptedModel.build(
            encoder, np.zeros((2, encoder.dim)), np.zeros(2), LABELS, strategy="frozen", source=card
        )
        again.save(folder.parent / "further")
        assert AdaptedModel.load(folder.parent / "further").source == card

    def test_a_copy_of_an_adapted_model_inherits_its_licence(
        self, registry: MlflowRegistry, resolve: Resolve, tmp_path: Path
    ) -> None:
        folder, card = resolve("models:/mail/1", registry=lambda: registry)
        shutil.copytree(folder, tmp_path / "copied")
        (tmp_path / "copied" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# The card")
        copy = resolve("copied", licence="MIT")[1]
        assert (copy.digest, copy.licence) == (card.digest, "Apache-2.0")

    def test_an_unknown_licence_of_its_data_stays_unknown(
        self, registry: MlflowRegistry, tmp_path: Path, resolve: Resolve
    ) -> None:
        """Of the source's licence alone, which its folder names, a model that a pool went into is not."""
        adapted = registry.fetch("models:/mail/1", tmp_path / "fetched")
        records = run_records("pooled", name="pooled")
        pool = records.data.target.model_copy(update={"digest": digest("pool"), "labels": None})
        unknown = replace(records, data=records.data.model_copy(update={"pool": pool}))
        run_id = registry.record_run(unknown)
        stored = registry.log_model(run_id, unknown, adapted)
        registry.register(unknown, run_id, stored, verdict_of(unknown), auto_promote=False)
        uri, given = "models:/pooled/1", {"registry": lambda: registry}
        assert resolve(uri, **given)[1].licence is None
        assert resolve(uri, licence="MIT", **given)[1].licence == "MIT", "whoever adapts it further may know it"
        known = pool.model_copy(update={"licence": "CC-BY-NC-4.0"})
        stated = replace(records, data=records.data.model_copy(update={"pool": known}))
        registry.register(stated, run_id, stored, verdict_of(stated), auto_promote=False)
        assert resolve(uri, licence="MIT", **given)[1].licence == "Apache-2.0 AND CC-BY-NC-4.0"

    def test_a_version_that_has_no_licence_tag_has_that_of_its_card(
        self, registry: MlflowRegistry, tmp_path: Path, resolve: Resolve
    ) -> None:
        folder = Path(shutil.copytree(registry.fetch("models:/mail/1", tmp_path / "fetched"), tmp_path / "carded"))
        records = run_records("carded", name="carded")
        run_id = registry.record_run(records)
        for version, (head, licence) in enumerate([("", None), ("---\nlicense: mit\n---\n", "MIT")], 1):
            (folder / "README.md").write_text(f"{head}# A card")
            records = run_records(f"carded {version}", name="carded")
            run_id = registry.record_run(records)
            stored = registry.log_model(run_id, records, folder)
            registry.register(records, run_id, stored, verdict_of(records), auto_promote=False)
            registry._connection.client.delete_model_version_tag("carded", str(version), "acclimate.licence")
            assert resolve(f"models:/carded/{version}", registry=lambda: registry)[1].licence == licence

    def test_what_is_not_registered_is_named(self, registry: MlflowRegistry, resolve: Resolve) -> None:
        with pytest.raises(ConfigError) as alias:
            pinned_source("models:/mail@chanpion", lambda: registry)
        assert (alias.value.code, "champion" in alias.value.hint) == ("E-SOURCE-008", True)
        with pytest.raises(AcclimateError) as version:
            resolve("models:/mail/9", registry=lambda: registry)
        assert version.value.code == "E-REGISTRY-003"

    def test_only_an_alias_opens_the_registry(self) -> None:
        def never() -> MlflowRegistry:
            raise AssertionError

        for uri in ("package://a/model", "models:/mail/7", "s3://bucket/model", "folder"):
            assert pinned_source(uri, never) == uri
