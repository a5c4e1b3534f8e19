"""What a user may write in adaptation.yaml: frozen pydantic models, unknown keys refused.

Reading a file, with line numbers and all problems at once, is in :mod:`acclimate.config_file`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, ValidatorFunctionWrapHandler, field_validator

from acclimate.config_base import DataSpec, PoolSpec, Section
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_gate import GateSpec
from acclimate.config_generation import GenerationSpec
from acclimate.config_retrain import RetrainSpec

Metric = Literal["macro_f1", "accuracy", "balanced_accuracy", "exact_match", "rouge_l", "token_accuracy"]

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Workers = Annotated[int, Field(ge=1, le=256)]
Use = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class SourceSpec(Section):
    """The pretrained model, and optionally data of the domain it comes from."""

    model: str = Field(
        description="folder, package://NAME/path, s3://BUCKET/PREFIX or models:/NAME@alias", min_length=1
    )
    reference: DataSpec | None = Field(None, description="data of the source domain, for the domain gap")
    licence: str | None = Field(None, description="SPDX name, where the model's own files don't state one")


class Goal(Section):
    """What is wanted, and the smallest gain worth having."""

    metric: Metric = Field(
        "macro_f1",
        description="what is measured, on every split; the last three are for text-generation, whose default is "
        "exact_match, or token_accuracy without answers",
    )
    at_least: Share | None = Field(None, description="score the model must reach")
    at_least_by: Literal["point", "lower"] = Field(
        "point", description="reach it with the point score, or with the lower end of its interval"
    )
    min_gain: Share = Field(0.01, description="smallest gain worth training for; also the tolerance between arms")


class Budget(Section):
    """What may be spent."""

    train_minutes: float = Field(
        60.0, gt=0, le=100_000, allow_inf_nan=False, description="training time for all arms together, minutes"
    )


class GapSpec(Section):
    """How the domain gap is measured."""

    max_rows: int = Field(2000, ge=100, le=20_000, description="rows a side that are embedded")
    null_pairs: int = Field(200, ge=50, le=2000, description="pairs of source samples that give the null scale")
    draws: int = Field(20, ge=1, le=200, description="draws of target against source that are averaged")
    permutations: int = Field(200, ge=99, le=10_000, description="permutations a test")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of all sampling")


class BaselineSpec(Section):
    """How the frozen baseline is built."""

    max_length: int | None = Field(
        None,
        ge=8,
        le=8192,
        description="tokens of a text the model reads; by default its own, at most 256; not for images",
    )
    folds: int = Field(5, ge=2, le=20, description="folds of the cross-validation")
    c_grid: list[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]] = Field(
        default_factory=lambda: [0.001, 0.01, 0.1, 1.0], min_length=1, description="inverse penalties of the probe"
    )
    neighbours: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        default_factory=lambda: [1, 5, 20], min_length=1, description="k of the nearest-neighbour head"
    )
    bootstraps: int = Field(1000, ge=200, le=100_000, description="bootstrap samples of each interval")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of folds and bootstraps")


class EvaluateSpec(Section):
    """How the candidate is judged on the test split."""

    bootstraps: int = Field(2000, ge=200, le=100_000, description="bootstrap samples of each interval")
    min_slice: int = Field(30, ge=5, le=100_000, description="smallest slice that is reported, rows")
    bins: int = Field(15, ge=2, le=100, description="bins of the reliability diagram")
    robustness_rows: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="test rows also predicted with typos, noise and the like; 0: none",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the bootstrap")


class CardSpec(Section):
    """What the model card says beside what was measured. Not part of the run key."""

    not_for: list[Use] = Field(
        default_factory=list,
        max_length=10,
        description="what the model must not be used for, each in a few words",
    )


class TrackingSpec(Section):
    """Where runs, models and lineage are kept."""

    uri: str | None = Field(
        None, description="MLflow server; by default MLFLOW_TRACKING_URI, else SQLite in the workspace"
    )


class ComputeSpec(Section):
    """What it runs on. Not part of the run key."""

    workers: Workers | Annotated[list[Workers], Field(min_length=2, max_length=2)] = Field(
        1,
        description="training processes; more than one go through Ray Train. A pair [fewest, most] trains with as many "
        "as there is room for, also when machines come and go",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="auto: bf16 where it is measured to be faster, on each strategy's own steps and on features; on "
        "these, in which models predict too, only where it leaves them as they are in fp32 (a cosine of .999)",
    )
    gpus_per_worker: int = Field(
        0, ge=0, le=16, description="GPUs asked for each training process, which computes on the first; 0: processors"
    )
    cpus_per_worker: int = Field(2, ge=1, le=256, description="processors of each training process on a cluster")
    memory_per_worker: str = Field(
        "8Gi", pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$", description="memory of each training process on a cluster"
    )

    sharded: bool = Field(
        default=False,
        description="weights, gradients and optimizer state are shared out among the workers, for a model that doesn't "
        "fit one GPU",
    )

    @field_validator("workers", mode="wrap")
    @classmethod
    def _number_or_pair(cls, value: object, check: ValidatorFunctionWrapHandler) -> int | list[int]:
        """One problem for one wrong value, not one for each of the two forms."""
        try:
            workers: int | list[int] = check(value)
        except ValidationError as error:
            raise ValueError("neither a number nor a pair") from error
        if isinstance(workers, list) and workers[0] > workers[1]:
            raise ValueError("the fewest come first, the most second")
        return workers

    @property
    def fewest_workers(self) -> int:
        """Training goes on with as few."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """Training takes no more."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


class Adaptation(Section):
    """One adaptation: a source model, target data, a goal."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="name of the registered model")
    task: Literal["text-classification", "image-classification", "text-generation"] = Field(
        "text-classification", description="what is predicted"
    )
    source: SourceSpec
    target: DataSpec
    pool: PoolSpec | None = Field(None, description="unlabelled texts of the target's domain, to pretrain on")
    goal: Goal = Goal()
    budget: Budget = Budget()
    gap: GapSpec = GapSpec()
    baseline: BaselineSpec = BaselineSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    generation: GenerationSpec = GenerationSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    gate: GateSpec = GateSpec()
    retrain: RetrainSpec = RetrainSpec()
    card: CardSpec = CardSpec()
    tracking: TrackingSpec = TrackingSpec()
    compute: ComputeSpec = ComputeSpec()
    workspace: str = Field(
        ".acclimate", min_length=1, description="where outputs go: a folder relative to the YAML, or s3://BUCKET/PREFIX"
    )
