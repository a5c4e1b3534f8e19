"""Models of one family in a registry, for the tests of what was made from what."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from acclimate.adapters.mlflow_registry import MlflowRegistry
from tests.run_records import SOURCE, digest, run_records, verdict_of

_NUMBERS = count()


class World:
    """Two revisions of a source, models made from them, and one made from such a model."""

    def __init__(self, registry: MlflowRegistry, folder: Path) -> None:
        self.registry, self.folder, self.number = registry, folder, next(_NUMBERS)
        self.source = f"encoder-{self.number}"
        self.digests: dict[str, str] = {}
        self.old = self.make("mail", revision="1.0", data="mail rows")
        self.new = self.make("mail", revision="2.0", data="more mail rows")
        self.chat = self.make("chat", revision="1.0", data="chat rows", pool="a pool")
        self.child = self.make("child", parent=self.old, data="child rows")
        self.grandchild = self.make("grandchild", parent=self.child, data="grandchild rows")

    def named(self, name: str) -> str:
        return f"{name}-{self.number}"

    def rows(self, name: str) -> str:
        return digest(f"{name} {self.number}")

    def make(
        self,
        name: str,
        *,
        revision: str = "",
        parent: str = "",
        copied: bool = False,
        data: str,
        pool: str | None = None,
        auto_promote: bool = False,
    ) -> str:
        """Register a version, made from the source or from a parent, of which a copy may be all there is.

        Returns:
            Its URI.
        """
        key = f"{name} {revision} {self.number}"
        pinned = self.digests[parent] if parent else digest(f"{self.source} {revision}")
        own = {"name": self.named("copy") if copied else self.source, "revision": revision or pinned[:12]}
        card = SOURCE.model_copy(update={**own, "digest": pinned})
        uri = f"s3://models/copy-{self.number}" if copied else parent or f"package://{self.source}/model"
        records = run_records(key, name=self.named(name), model_digest=digest(key), source=card, source_uri=uri)
        target = records.data.target.model_copy(update={"digest": self.rows(data)})
        other = None if pool is None else target.model_copy(update={"digest": self.rows(pool)})
        tables = {"target": target, "pool": other}
        records = replace(records, data=records.data.model_copy(update=tables))
        folder = self.folder / digest(key)
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "config.json").write_text(key)
        run_id = self.registry.record_run(records)
        stored = self.registry.log_model(run_id, records, folder)
        done = self.registry.register(records, run_id, stored, verdict_of(records), auto_promote=auto_promote)
        self.digests[str(done.model_uri)] = digest(key)
        return str(done.model_uri)
