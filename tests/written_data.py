"""Ingested toy data for text generation: which half of the alphabet invented words are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acclimate.adapters.tables import read_table
from acclimate.config import DataSpec
from acclimate.config_generation import GenerationSpec
from acclimate.nn.causal.lengths import RowLengths
from acclimate.nn.causal.model import CausalModel, load_lm
from acclimate.nn.causal.packing import Pack
from acclimate.nn.causal.reader import AnswerReader, Shots
from acclimate.nn.job import Pairs
from acclimate.nn.source_card import source_card
from acclimate.records import GENERATION_TASK, DataCard, SourceCard
from acclimate.stages.ingest import ingest
from acclimate.token_lengths import TokenLimits
from tests.pipeline.project import invented_word

SPEC = GenerationSpec(max_new_tokens=8, max_length=96, shots=2, baseline_rows=20)
Row = dict[str, str]


def letter_pairs(rows: int = 120, *, seed: int = 7, low: str = "low", high: str = "high") -> list[Row]:
    """Two words of one half of the alphabet, and which half: no two prompts share a word."""
    rng = np.random.default_rng(seed)
    kinds = [("negative", "positive")[i % 2] for i in range(rows)]
    answers = {"negative": low, "positive": high}
    return [
        {"text": " ".join(invented_word(kind, rng, 0.95) for _ in range(2)), "answer": answers[kind]} for kind in kinds
    ]


def number_texts(rows: int = 100) -> list[Row]:
    """Plain texts of another domain, of 1 to 5 numbers."""
    return [{"text": " ".join(str(i * (7 + k) % 1000) for k in range(1 + i % 5)) + f" #{i}"} for i in range(rows)]


def limits_of(source: Path, spec: GenerationSpec = SPEC) -> TokenLimits:
    count = RowLengths(source, spec.max_length)
    return TokenLimits(count, spec.max_length, spec.max_new_tokens, count.positions)


def ingested(
    root: Path,
    target: Sequence[Row],
    reference: Sequence[Row] | None = None,
    *,
    limits: TokenLimits | None = None,
    **columns: str,
) -> tuple[Path, DataCard]:
    """Ingest's folder and its card; a table has answers where its first row has one."""
    out = root / "data"
    out.mkdir(parents=True)
    specs = []
    for name, rows in (("target", target), ("reference", reference)):
        if rows is None:
            specs.append(None)
            continue
        (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        more = columns if name == "target" else {}
        answer = "answer" if "answer" in rows[0] else None
        specs.append(DataSpec.model_validate({"data": f"{name}.jsonl", "text": "text", "answer": answer, **more}))
    target_spec, reference_spec = specs
    assert target_spec is not None
    card = ingest(
        target_spec,
        reference_spec,
        task=GENERATION_TASK,
        root=root,
        allow_outside=False,
        out=out,
        read=read_table,
        limits=limits,
    )
    return out, card


def card_of(source: Path) -> SourceCard:
    return source_card(source, name="tiny", revision="1", licence="MIT")


def as_batch(ids: np.ndarray) -> torch.Tensor:
    """One row as a model takes it, int64 ``[1, T]``."""
    return torch.from_numpy(ids).long().unsqueeze(0)


def answer_labels(ids: np.ndarray, start: int) -> torch.Tensor:
    """Labels of one row as transformers takes them: only what stands from ``start`` on counts, int64 ``[1, T]``."""
    labels = as_batch(ids)
    labels[:, :start] = -100
    return labels


def own_losses(source: Path, pairs: Pairs) -> np.ndarray:
    """Of each row transformers' own summed loss of the answer and how many tokens it has, ``[n, 2]``."""
    lm = load_lm(source)
    rows = AnswerReader.load(source, lm.config, 256).rows(pairs)
    found = []
    for ids, start in zip(rows.ids, rows.starts, strict=True):
        with torch.no_grad():
            loss = lm(input_ids=as_batch(ids), labels=answer_labels(ids, start)).loss
        found.append([float(loss) * (len(ids) - start), len(ids) - start])
    return np.array(found)


def learned(folder: Path, pairs: Pairs, shots: Shots = (), steps: int = 40) -> Any:
    """The folder's model after some steps on these rows: a random one foretells nothing."""
    lm = load_lm(folder).train()
    rows = AnswerReader.load(folder, lm.config, 250).rows(pairs, shots)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-2)
    for step in range(steps):
        pack = Pack.of(rows, [(step * 16 + i) % len(rows) for i in range(16)])
        torch.nn.functional.cross_entropy(CausalModel(lm)(pack), pack.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    return lm.eval()
