"""Stage ``evaluate`` of text generation: the candidate writes the test split, and is compared row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.config import EvaluateSpec, Goal
from acclimate.core.control_names import SEED
from acclimate.core.metrics import FloatArray
from acclimate.examples import Examples, read_examples
from acclimate.handing_on import FROZEN, frozen_instead
from acclimate.nn.causal.judged import Judged, judged, pairs_of
from acclimate.nn.causal.model_free import trivial_scores
from acclimate.nn.causal.source_text import SourceText
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.compared import models_to_compare, whom_to_beat
from acclimate.nn.earlier_overlap import earlier_overlap
from acclimate.nn.job import Pairs
from acclimate.nn.serving_cost import serving_cost
from acclimate.ports import Progress, silent
from acclimate.predictions import FILE, AnswerScores, JudgedRows
from acclimate.records import BaselineReport, DataCard, Evaluation, HardRow, Retention
from acclimate.scoring import overlap_with, scored_answers

LATENCY_ROWS = 20
HARD_ROWS = 20
TEXT_LENGTH = 500
SOURCE_AS_IS = "source_as_is"


@dataclass(frozen=True)
class _Compared:
    """What the candidate is compared with: scores of each, and perplexities of those that are language models."""

    scores: dict[str, FloatArray]
    perplexity: dict[str, float]

    def beside_frozen(self, strategy: str, trained: Judged) -> _Compared:
        """What the frozen model is compared with in the place of a trained one, that one among them."""
        left = {name for name in self.scores if name != "baseline" and not name.startswith(SEED)}
        return _Compared(
            {strategy: trained.scores, **{name: rows for name, rows in self.scores.items() if name in left}},
            {
                strategy: trained.likelihood.perplexity,
                **{name: value for name, value in self.perplexity.items() if name in left},
            },
        )


@dataclass(frozen=True)
class _Candidate:
    """A model that may be handed on, and what it makes of the test rows."""

    folder: Path
    strategy: str
    model: Writer
    found: Judged
    rows_per_second: float

    @classmethod
    def judged(cls, folder: Path, strategy: str, pairs: Pairs, metric: str, progress: Progress) -> _Candidate:
        """Load it and ask it."""
        model = Writer.load(folder)
        started = time.perf_counter()
        found = judged(model, pairs, metric, progress=progress)
        return cls(folder, strategy, model, found, len(pairs) / (time.perf_counter() - started))


def evaluate_writing(
    data: Path,
    source: Path,
    baseline: Path,
    candidate: Path,
    candidate_strategy: str,
    finetune: Path | None,
    champion: tuple[str, Path] | None,
    *,
    config: EvaluateSpec,
    goal: Goal,
    out: Path,
    progress: Progress = silent,
) -> Evaluation:
    """Score the candidate on target's test split, the one stage that reads it.

    Without a champion a trained candidate that is not shown to be better gives way to the frozen model (rule R10).

    Writes ``evaluation.json``, ``predictions.parquet`` and ``timing.json``.

    Args:
        data: ingest's folder.
        source: the source model's folder.
        baseline: baseline's folder, whose model is the source with the examples it is asked with.
        candidate: the candidate's model folder.
        candidate_strategy: how it was made; ``frozen`` means that it is the baseline's own model.
        finetune: finetune's folder, whose scratch arm is compared where there is one; None without training.
        champion: the champion's model URI and its model folder; None without one.
        config: how it is judged.
        goal: the metric, and the score that is asked for.
        out: folder for the results, there already.
        progress: told what is being written.

    Raises:
        DataError: E-DATA-070, a row has more tokens than a model reads.
        ModelError: what loading a model raises.
        IntegrityError: E-DRIFT-001, what source or champion remember of their data can't be read; a record is missing.
    """
    card, frozen = DataCard.read(data), BaselineReport.read(baseline)
    examples = read_examples(data, "target", ("test",), None)
    pairs = pairs_of(examples)
    progress("evaluate", says="writing the test rows with the candidate")
    own = _Candidate.judged(candidate, candidate_strategy, pairs, goal.metric, progress)
    models = models_to_compare(baseline, candidate_strategy, finetune, champion)
    others = _compared(data, baseline, own.model, models, pairs, goal.metric, progress)
    comparator = whom_to_beat(candidate_strategy, champion, frozen)
    answers = AnswerScores(JudgedRows.of(examples), own.found.scores, others.scores)
    by: dict[str, Any] = {"metric": goal.metric, "how": config}
    scored = scored_answers(answers, comparator=comparator, **by)
    rule = None
    if comparator == "baseline":
        beside = others.beside_frozen(candidate_strategy, own.found)
        alone = replace(answers, scores=others.scores["baseline"], others=beside.scores)
        instead = scored_answers(alone, comparator=frozen.best_control, **by)
        rule = frozen_instead(candidate_strategy, instead["score"], instead["comparisons"], goal)
        progress("handed_on", says=rule.says)
        if rule.fired:
            own = _Candidate.judged(baseline / "model", FROZEN, pairs, goal.metric, progress)
            answers, scored, others, comparator = alone, instead, beside, frozen.best_control
    model, found = own.model, own.found
    report = Evaluation(
        **scored,
        strategy=own.strategy,
        handed_on=rule,
        comparator=comparator if champion is None else f"champion {champion[0].removeprefix('models:/')}",
        errors=_hardest(examples, pairs, found),
        model_digest=model.digest,
        size_bytes=sum(path.stat().st_size for path in own.folder.rglob("*") if path.is_file()),
        overlap_rows=overlap_with(examples, read_examples(data, "target", ("train", "validation"), None)),
        near_duplicates=card.target.near_duplicates_across_splits,
        earlier_overlap_rows=earlier_overlap(data, source, champion),
        retention=_retention(data, baseline, model, config, progress),
        perplexity={"candidate": found.likelihood.perplexity, **others.perplexity},
    )
    answers.write(out / FILE, answers=pairs.answers, written=found.written, nll=found.likelihood.row_loss)
    report.write(out)
    asked = _asked(model, examples.texts[:LATENCY_ROWS])
    timing = serving_cost(own.folder, model.predict, asked, progress=progress)
    timing["rows_per_second"] = round(own.rows_per_second, 1)
    (out / "timing.json").write_text(json.dumps(timing, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return report


def _asked(model: Writer, texts: list[str]) -> list[str]:
    """Prompts as they are; of long plain texts the first half of what is read, for the model to go on with."""
    if model.prompting.has_prompts:
        return texts
    tokenizer, most = model.reader.tokenizer, model.prompting.max_length // 2
    read = [model.reader.opening(text) for text in texts]
    return [
        text if len(ids) <= most else tokenizer.decode(ids[:most], skip_special_tokens=True)
        for text, ids in zip(texts, read, strict=True)
    ]


def _reading_as(model: Writer, champion: Writer) -> Writer:
    """The champion on the candidate's tokens, though it may have been made for shorter rows."""
    asked = champion.prompting
    longest = champion.positions if asked.has_prompts else model.prompting.max_length
    return champion.asked(replace(asked, max_length=longest))


def _compared(
    data: Path, baseline: Path, model: Writer, models: Mapping[str, Path], pairs: Pairs, metric: str, progress: Progress
) -> _Compared:
    frozen = Writer.load(baseline / "model")
    train = pairs_of(read_examples(data, "target", ("train",), None))
    scores = trivial_scores(train, pairs, metric, frozen.reader)
    asked = frozen.prompting
    as_is = frozen.asked(Prompting(asked.has_prompts, (), asked.max_length, asked.max_new_tokens))
    perplexity = {}
    for name in (SOURCE_AS_IS, *models):
        progress("evaluate", says=f"writing the test rows with {name}")
        other = as_is if name == SOURCE_AS_IS else Writer.load(models[name])
        if name == "champion":
            other = _reading_as(model, other)
        found = judged(other, pairs, metric, progress=progress)
        scores[name], perplexity[name] = found.scores, found.likelihood.perplexity
    return _Compared(scores, perplexity)


def _hardest(examples: Examples, pairs: Pairs, found: Judged) -> list[HardRow]:
    """The rows with the lowest scores; of equal ones those whose right answer the model finds least probable."""
    order = sorted(
        range(len(examples)),
        key=lambda row: (found.scores[row], -found.likelihood.row_loss[row], examples.row_ids[row]),
    )
    return [
        HardRow(
            row_id=examples.row_ids[row],
            text=(pairs.prompts[row] if pairs.prompts is not None else pairs.answers[row])[:TEXT_LENGTH],
            label=pairs.answers[row][:TEXT_LENGTH] if pairs.prompts is not None else "",
            predicted="" if found.written is None else found.written[row][:TEXT_LENGTH],
            confidence=float(np.exp(-found.likelihood.row_loss[row])),
        )
        for row in order[:HARD_ROWS]
        if found.scores[row] < 1.0
    ]


def _retention(data: Path, baseline: Path, model: Writer, config: EvaluateSpec, progress: Progress) -> Retention | None:
    """How well the candidate still foretells texts of the source's domain that nothing was fitted on."""
    progress("evaluate", says="asking what is still known of the source's domain")
    frozen = Writer.load(baseline / "model")
    known = SourceText.measured(
        data,
        frozen,
        "test",
        # a prompt with examples has more room than the rows themselves
        max_length=min(frozen.prompting.max_length, model.prompting.max_length),
        bootstraps=config.bootstraps,
        seed=config.seed,
        progress=progress,
    )
    if known is None:
        return None
    change, low = known.change(model, progress=progress)
    return Retention(
        rows=len(known.pairs),
        score=known.score() + change.point,
        source_score=known.score(),
        change=change,
        low_one_sided=low,
    )
