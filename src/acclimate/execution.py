"""How a stage is run: its key, its reuse, its lock, its manifest. Knows no stage by name."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.adapters.local_store import signed_files
from acclimate.config import Adaptation
from acclimate.digests import code_digest, data_digest
from acclimate.ports import Progress, Store, silent
from acclimate.records import Manifest
from acclimate.version import step_image

TIMING = "timing.json"
WORK_SECONDS = "work_seconds"
STARTED_AT = "started_at"
RAN_IN = "image"


@dataclass(frozen=True)
class Request:
    """What is to be done and where; travels between processes as JSON and holds no secret.

    Args:
        adaptation: the resolved configuration, local paths absolute.
        root: project root; local data must lie below it unless ``allow_outside``.
        workspace: where outputs go: an absolute folder or ``s3://BUCKET/PREFIX``.
        allow_outside: data may lie outside the project root.
    """

    adaptation: Adaptation
    root: Path
    workspace: str
    allow_outside: bool = False

    def to_json(self) -> str:
        """The request as one line of JSON."""
        return json.dumps(
            {
                "adaptation": self.adaptation.model_dump(mode="json"),
                "root": str(self.root),
                "workspace": self.workspace,
                "allow_outside": self.allow_outside,
            }
        )

    def starting_from(self, model: str) -> Request:
        """The same request with another source model."""
        source = self.adaptation.source.model_copy(update={"model": model})
        return replace(self, adaptation=self.adaptation.model_copy(update={"source": source}))

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        return cls(
            adaptation=Adaptation.model_validate_json(json.dumps(data["adaptation"])),
            root=Path(data["root"]),
            workspace=str(data["workspace"]),
            allow_outside=bool(data["allow_outside"]),
        )


@dataclass(frozen=True)
class Context:
    """One run: the request, its id, its store and who is told how far it is."""

    request: Request
    run_id: str
    store: Store
    progress: Progress = silent

    @property
    def home(self) -> Path:
        """The local folder of scratch and caches; the workspace itself where that is local."""
        return self.store.home

    @property
    def is_shared(self) -> bool:
        """Whether the workspace lies where other machines reach it, not in a folder of this one."""
        return "://" in self.request.workspace

    @property
    def run_folder(self) -> Path:
        """Events, errors, logs and the report of this run."""
        return self.home / "runs" / self.run_id

    @property
    def scratch(self) -> Path:
        """What this run leaves half done; gone after it."""
        return self.home / "tmp" / self.run_id


@dataclass(frozen=True)
class Work:
    """One stage, ready to run.

    Args:
        stage: its name.
        module: dotted name of the module whose code it runs.
        made_of: what the key is made of besides the code: digests and config slices by name.
        call: runs the stage into the folder it is given and returns small values for the manifest.
        run_key: known after ingest.
    """

    stage: str
    module: str
    made_of: dict[str, Any]
    call: Callable[[Path], dict[str, Any]]
    run_key: str | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Digest of each thing the key is made of."""
        named = {name: value if isinstance(value, str) else data_digest(value) for name, value in self.made_of.items()}
        return {**named, "code": code_digest(self.module)}

    @property
    def key(self) -> str:
        """sha256 of the inputs: the same key means the same output."""
        return data_digest({"stage": self.stage, **self.inputs})


def find(context: Context, work: Work) -> Path | None:
    """The finished folder of a stage, or None."""
    return context.store.find(work.stage, work.key)


def execute(context: Context, work: Work) -> Path:
    """Run a stage unless its output is there already; one process at a time for one key.

    Returns:
        The stage's folder, finished and checked.
    """
    started = time.monotonic()
    context.progress("stage_started", stage=work.stage)
    folder, reused = find(context, work), True
    if folder is None:
        with context.store.lock(f"{work.stage}-{work.key[:24]}"):
            folder = find(context, work)
            if folder is None:
                folder, reused = _compute(context, work, started), False
    seconds = round(time.monotonic() - started, 3)
    reference = context.store.reference(folder)
    context.progress("stage_done", stage=work.stage, folder=reference, reused=reused, seconds=seconds)
    return folder


def _compute(context: Context, work: Work, started: float) -> Path:
    partial = context.scratch / work.stage
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    started_at = time.time() - (time.monotonic() - started)
    importlib.import_module(work.module)
    ready = time.monotonic()
    values = work.call(partial)
    image = step_image()
    done = time.monotonic()
    seconds = {"stage_seconds": round(done - started, 3), WORK_SECONDS: round(done - ready, 3)}
    add_timing(partial, {**seconds, STARTED_AT: round(started_at, 3)})
    manifest = Manifest(
        stage=work.stage,
        key=work.key,
        run_key=work.run_key,
        inputs=work.inputs,
        values={**values, **({RAN_IN: image} if image else {})},
        files=signed_files(partial),
    )
    return context.store.publish(work.stage, work.key, partial, manifest)


def add_timing(folder: Path, more: dict[str, float]) -> None:
    """Add entries to a stage's timing.json."""
    path = folder / TIMING
    path.write_text(json.dumps({**read_timing(folder), **more}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_timing(folder: Path) -> dict[str, float]:
    """A stage's timing.json: seconds and latencies by name, and when it began; empty when the stage wrote none."""
    path = folder / TIMING
    if not path.is_file():
        return {}
    timing: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return timing


def content_digest(folder: Path) -> str:
    """Digest of what a finished stage folder holds, whatever it was made of."""
    manifest = Manifest.read(folder)
    return data_digest({name: file.sha256 for name, file in manifest.files.items()})
