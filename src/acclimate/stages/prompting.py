"""Baseline of text generation: the source model as it is, asked without and with examples, and its controls."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np
from safetensors.numpy import save_file

from acclimate.config import BaselineSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.control_names import TRIVIAL
from acclimate.core.judge import MeanJudge
from acclimate.core.metrics import FloatArray
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.errors import DataError
from acclimate.examples import Examples, read_examples
from acclimate.nn.causal.judged import Judged, judged, pairs_of, scores
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.model_free import trivial_scores
from acclimate.nn.causal.reader import AnswerReader, Shots
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.source_memory import new_to_source
from acclimate.ports import Progress
from acclimate.records import BaselineReport, Control, DataCard, Interval, Prompted, SourceCard, SourceMemory

SOURCE_AS_IS = "source_as_is"


def prompting(
    data: Path,
    source: Path,
    source_card: SourceCard,
    *,
    config: BaselineSpec,
    generation: GenerationSpec,
    metric: str,
    precision: Literal["fp32", "bf16"],
    out: Path,
    progress: Progress,
) -> BaselineReport:
    """Ask the source model without and with examples from train, and compare it with its controls.

    The better way of asking is the frozen baseline; without examples where both are equal. Rows are asked that an
    adapted source was not fitted on itself, where there are enough.

    Args:
        data: ingest's folder; target's train and validation are read.
        source: folder of the source model.
        source_card: what the source model is.
        config: bootstraps and seed.
        generation: how texts are written, and how many rows are asked.
        metric: what is measured.
        precision: what is computed in.
        out: where the report, the frozen model (``model/``), ``validation.safetensors`` and ``timing.json`` go.
        progress: told what is being done.

    Raises:
        DataError: E-DATA-070, rows are too long, or are with the examples.
        ModelError: the source can't be loaded.
        IntegrityError: E-DRIFT-001, what the source remembers is damaged.
    """
    started = monotonic()
    train, validation = (read_examples(data, "target", [split], None) for split in ("train", "validation"))
    order = np.random.default_rng(config.seed).permutation(len(train))
    has_prompts = train.answers is not None
    shown = order[: min(generation.shots, len(train) // 2)] if has_prompts else order[:0]
    others = order[len(shown) :]
    memory, new = new_to_source(source, train.some(others.tolist()))
    asked = np.sort((others if new is None else others[new])[: generation.baseline_rows])
    sample = train.some(asked.tolist())
    pairs = pairs_of(sample)
    plain = _writer(
        source, source_card, Prompting(has_prompts, (), generation.max_length, generation.max_new_tokens), precision
    )
    progress("prompting", says="asking the source model as it is", rows=len(sample))
    ways = {0: judged(plain, pairs, metric, progress=progress)}
    writers = {0: plain}
    if len(shown):
        shots = tuple(_pair(train, int(row)) for row in shown)
        # each example is as long as a row may be, and stands in every prompt
        room = min(generation.max_length * (1 + len(shots)), plain.positions)
        _require_room(DataCard.read(data), plain.reader, shots, room)
        writers[len(shots)] = plain.asked(Prompting(has_prompts, shots, room, generation.max_new_tokens))
        progress("prompting", says=f"asking it with {len(shots)} examples", rows=len(sample))
        ways[len(shots)] = judged(writers[len(shots)], pairs, metric, progress=progress)
    best = max(ways, key=lambda count: (ways[count].scores.mean(), -count))
    frozen, writer = ways[best], writers[best]
    progress("controls", rows=len(sample))
    rest = np.setdiff1d(np.arange(len(train)), asked)
    fitted_on = train.some(rest.tolist()) if len(rest) else train
    controls = trivial_scores(pairs_of(fitted_on), pairs, metric, plain.reader)
    controls[SOURCE_AS_IS] = ways[0].scores
    progress("prompting", says="asking it on validation", rows=len(validation))
    on_validation = scores(writer, pairs_of(validation), metric, progress=progress)
    save_file({"scores": on_validation}, out / "validation.safetensors")
    report = _report(
        (train, validation, sample),
        ways,
        frozen,
        controls,
        on_validation,
        config,
        metric,
        precision,
        best,
        writer.save(out / "model"),
        memory,
    )
    report.write(out)
    timing = {"prompting_seconds": round(monotonic() - started, 3)}
    (out / "timing.json").write_text(json.dumps(timing, indent=1) + "\n", encoding="utf-8")
    return report


def _writer(source: Path, card: SourceCard, asked: Prompting, precision: str) -> Writer:
    lm = load_lm(source)
    tokenizer = AnswerReader.load(source, lm.config, asked.max_length).tokenizer
    return Writer(lm, tokenizer, asked, precision=precision, strategy="frozen", source=card)


def _pair(rows: Examples, row: int) -> tuple[str, str]:
    assert rows.answers is not None, "only prompts have examples"
    return rows.texts[row], rows.answers[row]


def _require_room(card: DataCard, reader: AnswerReader, shots: Shots, room: int) -> None:
    """Examples must leave room for the longest row of any split: test rows are asked with them too, much later."""
    shown = len(reader.prompt("", shots)) - len(reader.prompt(""))
    longest = card.target.longest_tokens or 0
    if longest + shown > room:
        raise DataError(
            "E-DATA-070",
            f"{len(shots)} examples of {shown:,} tokens and the longest row's {longest:,} are over {room:,} tokens",
            where="target",
            hint="lower generation.shots; 0 asks without examples",
        )


def _report(
    rows: tuple[Examples, Examples, Examples],
    ways: dict[int, Judged],
    frozen: Judged,
    controls: dict[str, FloatArray],
    on_validation: FloatArray,
    config: BaselineSpec,
    metric: str,
    precision: Literal["fp32", "bf16"],
    shots: int,
    digest: str,
    memory: SourceMemory | None,
) -> BaselineReport:
    train, validation, sample = rows
    judge = MeanJudge(config.bootstraps, config.seed, sample.groups)
    found = {name: _interval(judge.score(values)) for name, values in controls.items()}
    # the source as it is may be the baseline itself, and then is nothing to be compared with
    others = [name for name in found if name != SOURCE_AS_IS or shots > 0]
    best = max(others, key=lambda name: found[name].point)
    trivial = max((name for name in found if name in TRIVIAL), key=lambda name: found[name].point)
    score = _interval(judge.score(frozen.scores))
    few = next((way for count, way in ways.items() if count), None)
    return BaselineReport(
        metric=metric,
        train_rows=len(train),
        validation_rows=len(validation),
        rows_per_class={"answers" if train.answers is not None else "texts": len(train)},
        feature_dim=None,
        near_constant_dims=None,
        score=score,
        probe_c=None,
        neighbours=None,
        knn_score=None,
        # as of a probe and nearest neighbours: two uses of the same frozen model
        disagreement=float(np.mean((ways[0].scores - (controls[trivial] if few is None else few.scores)) ** 2)),
        controls=[
            Control.model_validate({"name": name, "trivial": name in TRIVIAL, "score": value, "reason": ""})
            for name, value in found.items()
        ],
        best_control=best,
        best_trivial=trivial,
        transfer_gain=_interval(judge.difference(frozen.scores, controls[best])),
        learning_curve=[],
        slope_per_doubling=0.0,
        score_at_double=score.point,
        validation_score=_interval(MeanJudge(config.bootstraps, config.seed, validation.groups).score(on_validation)),
        precision=precision,
        model_digest=digest,
        prompted=Prompted(
            rows=len(sample),
            shots=shots,
            zero_shot=_interval(judge.score(ways[0].scores)),
            few_shot=None if few is None else _interval(judge.score(few.scores)),
            perplexity=frozen.likelihood.perplexity,
        ),
        source_memory=memory,
    )


def _interval(bounds: Bounds | PairedDifference) -> Interval:
    return Interval(point=bounds.point, low=bounds.low, high=bounds.high)
