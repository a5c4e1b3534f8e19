"""What a registered model remembers of its target: enough to tell drift, new rows and rows it was fitted on, no text.

The embeddings are those of the source model, of held-out rows only. Digests are cut to 8 bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from acclimate.core.grouping import group_numbers
from acclimate.core.row_identity import normal_form
from acclimate.core.sample_plan import shuffled_by_group
from acclimate.errors import IntegrityError, ModelError
from acclimate.examples import Inputs, read_examples
from acclimate.nn.description import FILE as DESCRIPTION
from acclimate.nn.description import SKETCH_FILE
from acclimate.nn.encoder import Encoder, cached_embeddings
from acclimate.nn.images import decode, near_key
from acclimate.ports import Progress, silent
from acclimate.records import SPLITS, DataCard, SourceCard, Split

SCHEMA_VERSION = 2
# the first did not say which texts a model was fitted on
READABLE = (1, SCHEMA_VERSION)
MAX_HELD_OUT = 1000
MAX_DIGESTS = 100_000
HELD_OUT: tuple[Split, ...] = ("validation", "test")
#: What a model is fitted on: validation chooses among epochs and arms, and the frozen model's head is fitted on it too.
FITTED_ON: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class TargetSketch:
    """A target as its model remembers it.

    Args:
        source_digest: digest of the source model.
        precision: precision the embeddings were computed in.
        max_length: tokens of a text that were read.
        held: float32 [m, d] of float16 precision, embeddings of held-out rows, at most 1,000.
        held_texts: int64 [m], digest of the text of each.
        groups: int64 [m], group of each; None without groups.
        rows: int64, digests of row ids of the whole table; the smallest 100,000.
        texts: int64, digests of all its texts; the smallest 100,000.
        complete: both lists hold the whole table.
        fitted: int64, digests of all texts that the model, or one it was adapted from, was fitted on.
        fitted_complete: nothing is missing there.
    """

    source_digest: str
    precision: str
    max_length: int
    held: np.ndarray
    held_texts: np.ndarray
    groups: np.ndarray | None
    rows: np.ndarray
    texts: np.ndarray
    complete: bool
    fitted: np.ndarray
    fitted_complete: bool

    def new_rows(self, row_ids: Sequence[str]) -> int:
        """How many of these rows the table does not hold; an estimate where only a part of it is remembered.

        The digests are as good as random, so those below the largest remembered one are a random part of any table.
        """
        digests = row_digests(row_ids)
        if self.complete or not self.rows.size:
            return int((~np.isin(digests, self.rows)).sum())
        inside = digests[digests <= self.rows.max()]
        new = int((~np.isin(inside, self.rows)).sum())
        estimate: float = new * len(digests) / max(1, inside.size)
        return round(estimate)

    def write(self, folder: Path) -> Path:
        """Write :data:`SKETCH_FILE` into ``folder``; the same sketch gives the same bytes."""
        tensors: dict[str, np.ndarray] = {
            "held": self.held.astype(np.float16),
            "held_texts": self.held_texts,
            "rows": self.rows,
            "texts": self.texts,
            "fitted": self.fitted,
        }
        if self.groups is not None:
            tensors["groups"] = self.groups
        facts = {
            "schema_version": SCHEMA_VERSION,
            "source_digest": self.source_digest,
            "precision": self.precision,
            "max_length": self.max_length,
            "complete": self.complete,
            "fitted_complete": self.fitted_complete,
        }
        path = folder / SKETCH_FILE
        # One entry: safetensors writes several in an order that changes from process to process.
        save_file(tensors, path, metadata={"sketch": json.dumps(facts, sort_keys=True)})
        return path


def input_digests(inputs: Inputs) -> np.ndarray:
    """Digests of texts without case, blanks and punctuation, or of how images look: int64 [n].

    Near-duplicates share one.
    """
    plain = (normal_form(one) if isinstance(one, str) else near_key(decode(one)) for one in inputs)
    raw = b"".join(hashlib.sha256(one.encode("utf-8", "surrogatepass")).digest()[:8] for one in plain)
    return np.frombuffer(raw, dtype="<i8").astype(np.int64)


def row_digests(row_ids: Sequence[str]) -> np.ndarray:
    """The first 8 bytes of row ids: int64 [n]."""
    return np.frombuffer(bytes.fromhex("".join(row[:16] for row in row_ids)), dtype="<i8").astype(np.int64)


def make_sketch(
    data: Path,
    source: Path,
    source_card: SourceCard,
    *,
    precision: str,
    max_length: int | None,
    cache: Path,
    read_pool: bool = False,
    progress: Progress = silent,
) -> TargetSketch:
    """Sketch a target. Reads the test split's texts, so no stage before ``evaluate`` may call it.

    Args:
        data: ingest's folder.
        source: folder of the source model.
        source_card: the source model as pinned.
        precision: ``fp32`` or ``bf16``.
        max_length: tokens of a text the model reads; None takes the model's own.
        cache: folder of cached embeddings.
        read_pool: the model was pretrained on the pool.
        progress: told how far it is.

    Raises:
        ModelError: E-DRIFT-002, an embedding does not fit into float16; or the preflight's.
        IntegrityError: E-DATA-090, ingest's folder is damaged; E-DRIFT-001, the source model's sketch is.
    """
    table = read_examples(data, "target", SPLITS, None)
    held = read_examples(data, "target", HELD_OUT, None)
    groups = group_numbers(held.groups, len(held))
    kept = np.sort(shuffled_by_group(groups, np.random.default_rng(0))[:MAX_HELD_OUT]) if len(held) else groups
    kept_rows = held.some(kept.tolist())
    encoder = Encoder.load(source, precision=precision, max_length=max_length)
    looks = input_digests(table.inputs)
    # the splits lie one after the other, test last
    fitted = [looks[: len(looks) - len(read_examples(data, "target", ("test",), None))]]
    if read_pool:
        fitted.append(input_digests(read_examples(data, "pool", ("train",), None).inputs))
    inherited = read_sketch(source)
    if inherited is not None:
        fitted.append(inherited.fitted)
    rows, known = _smallest(row_digests(table.row_ids)), _smallest(looks)
    return TargetSketch(
        source_digest=source_card.digest,
        precision=precision,
        max_length=encoder.max_length,
        held=embed_rounded(encoder, kept_rows.inputs, cache, progress),
        held_texts=input_digests(kept_rows.inputs),
        groups=groups[kept].astype(np.int64) if DataCard.read(data).target.grouped else None,
        rows=rows,
        texts=known,
        complete=len(table) <= MAX_DIGESTS,
        fitted=np.unique(np.concatenate(fitted)),
        fitted_complete=inherited.fitted_complete if inherited is not None else not is_adapted(source),
    )


def is_adapted(folder: Path) -> bool:
    """Whether a model's folder is one that acclimate wrote."""
    return (folder / DESCRIPTION).is_file()


def _smallest(digests: np.ndarray) -> np.ndarray:
    return np.unique(digests)[:MAX_DIGESTS]


def embed_rounded(encoder: Encoder, inputs: Inputs, cache: Path, progress: Progress = silent) -> np.ndarray:
    """Embeddings as a sketch keeps them: float32 [n, d], rounded to float16.

    Both sides of a comparison are rounded alike, else the rounding itself would be a difference.

    Raises:
        ModelError: E-DRIFT-002, an embedding does not fit into float16, or is not finite.
    """
    with np.errstate(over="ignore"):
        rounded = cached_embeddings(encoder, inputs, cache, progress).astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ModelError(
            "E-DRIFT-002",
            "the source model gives embeddings that are not finite, or too large for float16",
            hint="the weights are damaged, or overflow in bf16: set compute.precision to fp32",
        )
    return np.asarray(rounded)


def read_sketch(folder: Path) -> TargetSketch | None:
    """The sketch in a model's folder; None where the model was registered without one.

    Args:
        folder: a model's folder, its bytes checked against the registry's digest.

    Raises:
        IntegrityError: E-DRIFT-001, it is damaged, or of another version.
    """
    path = folder / SKETCH_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["sketch"])
            tensors = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        version = facts["schema_version"]
        if version not in READABLE:
            raise _damaged(path, f"it is of version {version}, this reads versions up to {SCHEMA_VERSION}")
        if version == 1:
            tensors["fitted"], facts["fitted_complete"] = np.empty(0, np.int64), False
        return TargetSketch(
            source_digest=str(facts["source_digest"]),
            precision=str(facts["precision"]),
            max_length=int(facts["max_length"]),
            held=tensors["held"].astype(np.float32),
            held_texts=tensors["held_texts"],
            groups=tensors.get("groups"),
            rows=tensors["rows"],
            texts=tensors["texts"],
            complete=bool(facts["complete"]),
            fitted=tensors["fitted"],
            fitted_complete=bool(facts["fitted_complete"]),
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        "E-DRIFT-001",
        f"what a model remembers of its data can't be read: {why}",
        where=str(path),
        hint="register the adaptation again from its workspace",
    )
