"""Gap, baseline and decide as pieces of work: all that is known before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acclimate.calibrating import calibration_of
from acclimate.config_file import effective_policy
from acclimate.digests import data_digest
from acclimate.execution import Context, Work, content_digest
from acclimate.keys import data_digests, data_facts, of_generation, remembered, run_key
from acclimate.records import FEATURES, GENERATION_TASK, SourceCard
from acclimate.wiring import source_of


@dataclass(frozen=True)
class _Measuring:
    """What gap and baseline share: the source model, the precision of its features, where they are kept."""

    folder: Path
    card: SourceCard
    precision: Literal["fp32", "bf16"]
    features: str

    @classmethod
    def of(cls, context: Context, data: Path) -> _Measuring:
        folder, card = source_of(context)
        features = data_digest([card.digest, data_digests(data)["target"]])
        return cls(folder, card, calibration_of(context, data).precision[FEATURES], f"features/{features[:24]}")

    @property
    def made_of(self) -> dict[str, Any]:
        return {"source": self.card.model_dump(mode="json"), "precision": self.precision}

    @contextmanager
    def cache(self, context: Context) -> Iterator[Path]:
        """The folder of features, shared with the other stages and runs on these data."""
        yield context.store.pull(self.features)
        context.store.push(self.features)


def gap_work(context: Context, data: Path) -> Work:
    """Gap: keyed by the rows of both domains and the source's weights."""
    config = context.request.adaptation
    measuring = _Measuring.of(context, data)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.gap import gap

        with measuring.cache(context) as cache:
            report = gap(
                data,
                measuring.folder,
                measuring.card,
                config=config.gap,
                generation=config.generation,
                max_length=config.baseline.max_length,
                precision=measuring.precision,
                cache=cache,
                out=out,
                progress=context.progress,
            )
        return {"verdict": report.verdict, "setting": report.setting}

    return Work(
        stage="gap",
        module="acclimate.stages.gap",
        made_of={
            **measuring.made_of,
            "data": {name: digest for name, digest in data_digests(data).items() if name != "pool"},
            "gap": config.gap.model_dump(mode="json"),
            "max_length": config.baseline.max_length,
            **of_generation(config),
        },
        call=call,
        run_key=run_key(context, data),
    )


def baseline_work(context: Context, data: Path) -> Work:
    """Baseline: keyed by the target's rows, the source's weights, and the rows that it was fitted on."""
    config = context.request.adaptation
    measuring = _Measuring.of(context, data)
    writes = config.task == GENERATION_TASK

    def prompted(out: Path) -> dict[str, Any]:
        from acclimate.stages.prompting import prompting

        report = prompting(
            data,
            measuring.folder,
            measuring.card,
            config=config.baseline,
            generation=config.generation,
            metric=config.goal.metric,
            precision=measuring.precision,
            out=out,
            progress=context.progress,
        )
        return {"score": report.score.point}

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.baseline import baseline

        with measuring.cache(context) as cache:
            report = baseline(
                data,
                measuring.folder,
                measuring.card,
                config=config.baseline,
                metric=config.goal.metric,
                precision=measuring.precision,
                cache=cache,
                out=out,
                progress=context.progress,
            )
        return {"score": report.score.point}

    return Work(
        stage="baseline",
        module=f"acclimate.stages.{'prompting' if writes else 'baseline'}",
        made_of={
            **measuring.made_of,
            **remembered(measuring.folder),
            "data": data_digests(data)["target"],
            "baseline": config.baseline.model_dump(mode="json"),
            "metric": config.goal.metric,
            **of_generation(config),
        },
        call=prompted if writes else call,
        run_key=run_key(context, data),
    )


def decide_work(context: Context, data: Path, gap: Path, baseline: Path) -> Work:
    """Decide: keyed by the data card, the reports, the goal, the budget and the stored calibration."""
    config = context.request.adaptation
    calibration = calibration_of(context, data)
    policy = effective_policy(config.gate)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.decide import decide

        decision = decide(
            data,
            gap,
            baseline,
            calibration,
            goal=config.goal,
            budget=config.budget,
            finetune=config.finetune,
            source_card=source_of(context)[1],
            policy=policy,
            out=out,
        )
        return {"action": decision.action, "rule": decision.rule}

    return Work(
        stage="decide",
        module="acclimate.stages.decide",
        made_of={
            "data": data_digests(data),
            "data_card": data_facts(data),
            "source": source_of(context)[1].model_dump(mode="json"),
            "gap": content_digest(gap),
            "baseline": content_digest(baseline),
            "calibration": calibration.model_dump(mode="json"),
            "goal": config.goal.model_dump(mode="json"),
            "budget": config.budget.model_dump(mode="json"),
            "finetune": config.finetune.model_dump(mode="json"),
            "policy": [policy.checks.leakage.near_duplicate_share, policy.checks.licence.unknown],
        },
        call=call,
        run_key=run_key(context, data),
    )
