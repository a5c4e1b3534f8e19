"""Stage register: a tiny model, a real MLflow, every way the verdict can go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.config import Goal
from acclimate.config_gate import ApprovalRule, ChecksSpec, CostRule, GateSpec, LicenceRule, PolicySpec
from acclimate.digests import data_digest
from acclimate.errors import ModelError, UnavailableError
from acclimate.nn import serving_cost
from acclimate.nn.encoder import Encoder
from acclimate.nn.frozen import PROBE
from acclimate.nn.model import AdaptedModel
from acclimate.records import Registration, SourceCard, Verdict
from acclimate.registry import RunRecords
from acclimate.report.model_card import write_model_card
from acclimate.stages.register import register
from tests.run_records import LABELS, SOURCE, digest, run_records


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    workspace = tmp_path_factory.mktemp("workspace")
    return open_registry(local_uri(workspace), workspace)


@dataclass(frozen=True)
class Models:
    """Folders of a candidate and of the baseline, and the candidate's digest."""

    candidate: Path
    baseline: Path
    digest: str


def save_model(source: Path, folder: Path, seed: int, strategy: str, card: SourceCard = SOURCE) -> str:
    encoder = Encoder.load(source, precision="fp32", max_length=32)
    rng = np.random.default_rng(seed)
    head = rng.normal(size=(len(LABELS), encoder.dim)), rng.normal(size=len(LABELS))
    return AdaptedModel.build(encoder, *head, LABELS, strategy=strategy, source=card).save(folder)


@pytest.fixture
def models(tiny_source: Path, tmp_path: Path) -> Models:
    save_model(tiny_source, tmp_path / "baseline" / "model", 2, "frozen")
    start = tmp_path / "start"
    save_model(tiny_source, start, 0, "frozen")
    shutil.copy(start / "head.safetensors", tmp_path / "baseline" / PROBE)
    digest = save_model(tiny_source, tmp_path / "candidate" / "model", 1, "full")
    return Models(tmp_path / "candidate" / "model", tmp_path / "baseline", digest)


@pytest.fixture
def run_stage(toy_data: Path, models: Models, registry: MlflowRegistry, tmp_path: Path) -> Callable[..., Registration]:
    def run(records: RunRecords, *, out: str = "out", goal: Goal | None = None, **changes: Any) -> Registration:
        folder = tmp_path / out
        folder.mkdir()
        (tmp_path / "predictions.parquet").write_bytes(b"not read here")
        arguments: dict[str, Any] = {
            "candidate": models.candidate,
            "data": toy_data,
            "baseline": models.baseline,
            "evaluation": tmp_path,
            "goal": goal or Goal(),
            "gate": GateSpec(auto_promote=True),
            "registry": registry,
            "write_card": write_model_card,
            "write_sketch": lambda folder: folder,
            "out": folder,
            **changes,
        }
        return register(records, arguments.pop("candidate"), **arguments)

    return run


def test_a_good_candidate_is_promoted_and_fetched_back_equal(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    records = run_records(name="promoted", model_digest=models.digest)
    done = run_stage(records)
    verdict = Verdict.read(tmp_path / "out")
    assert (verdict.verdict, done.aliases) == ("PROMOTE", ["challenger", "champion"])
    assert Registration.read(tmp_path / "out") == done
    integrity = next(check for check in verdict.checks if check.name == "integrity")
    assert (integrity.outcome, integrity.numbers["max_logit_difference"]) == ("passed", 0.0)
    folder = registry.fetch(str(done.model_uri), tmp_path / "fetched")
    texts = ["good great", "bad awful", "the city"]
    np.testing.assert_array_equal(
        AdaptedModel.load(folder).logits(texts), AdaptedModel.load(models.candidate).logits(texts)
    )
    assert "# promoted" in (folder / "README.md").read_text()


def test_a_good_candidate_on_recalled_rows_gets_no_alias_and_the_run_says_so(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry
) -> None:
    records = run_records(name="on-recalled-rows", model_digest=models.digest)
    target = records.data.target.model_copy(update={"digest": digest("recalled rows")})
    records = replace(records, data=records.data.model_copy(update={"target": target}))
    registry.withdraw(None, digest("recalled rows"), "ann", "it held names")
    told: list[str] = []

    def progress(event: str, /, **fields: Any) -> None:
        told.extend([str(fields["says"])] if event == "warning" else [])

    done = run_stage(records, progress=progress)
    assert (done.version, done.aliases) == (1, [])
    assert "it held names" in str(done.recalled)
    assert told == [f"models:/on-recalled-rows/1 gets no alias: it was recalled by {done.recalled}"]


def test_a_policy_that_asks_for_an_approval_holds_a_good_candidate(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    signed = PolicySpec(name="signed", checks=ChecksSpec(approval=ApprovalRule(required=True, by=["Dr. A"])))
    gate = GateSpec(policy="signed", rules=signed, margin=0.02)
    done = run_stage(run_records(name="held", model_digest=models.digest), gate=gate)
    verdict = Verdict.read(tmp_path / "out")
    assert (verdict.verdict, verdict.if_approved, done.version, done.aliases) == ("HOLD", "PROMOTE", 1, [])
    assert any("one of Dr. A has to approve it first" in reason for reason in verdict.reasons)
    version, sealed = registry.verdict("held")
    assert sealed == verdict
    assert version.tags["acclimate.policy"] == "signed"
    kept = PolicySpec.model_validate(sealed.rules)
    assert (kept.checks.approval, kept.checks.primary.margin) == (signed.checks.approval, 0.02)


@pytest.mark.parametrize(
    ("limit", "measured", "verdict"), [(20, 12.5, "PROMOTE"), (10, 12.5, "REJECT"), (10, None, "REJECT")]
)
def test_a_policy_may_limit_how_long_a_row_takes(
    limit: float,
    measured: float | None,
    verdict: str,
    run_stage: Callable[..., Registration],
    models: Models,
    registry: MlflowRegistry,
    tmp_path: Path,
) -> None:
    fast = PolicySpec(name="fast", checks=ChecksSpec(cost=CostRule(required=True, latency_p95_ms_at_most=limit)))
    timing = {} if measured is None else {"latency_p95_ms": measured}
    (tmp_path / "timing.json").write_text(json.dumps(timing))
    name = f"fast-{limit}-{measured or 0}"
    run_stage(run_records(name=name, model_digest=models.digest), gate=GateSpec(policy="fast", rules=fast))
    said = Verdict.read(tmp_path / "out")
    cost = next(check for check in said.checks if check.name == "cost")
    assert (said.verdict, cost.numbers.get("latency_p95_ms")) == (verdict, measured)


@pytest.mark.parametrize(
    ("measured", "later", "verdict"),
    [
        (500_000_000, None, "PROMOTE"),
        (500_000_001, None, "REJECT"),
        (None, 400_000_000, "PROMOTE"),  # evaluate could not measure it
        (None, None, "REJECT"),
    ],
)
def test_a_policy_may_limit_the_memory_it_takes(
    measured: int | None,
    later: int | None,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    run_stage: Callable[..., Registration],
    models: Models,
    tmp_path: Path,
) -> None:
    small = PolicySpec(name="small", checks=ChecksSpec(cost=CostRule(required=True, memory_mb_at_most=500)))
    monkeypatch.setattr(serving_cost, "serving_memory", lambda *args, **kwargs: later)
    timing = {} if measured is None else {"peak_memory_bytes": measured}
    (tmp_path / "timing.json").write_text(json.dumps(timing))
    run_stage(
        run_records(name=f"small-{measured or 0}-{later or 0}", model_digest=models.digest),
        gate=GateSpec(policy="small", rules=small),
    )
    said = Verdict.read(tmp_path / "out")
    cost = next(check for check in said.checks if check.name == "cost")
    assert (said.verdict, cost.numbers.get("memory_bytes")) == (verdict, measured or later)


def test_only_small_files_stay_in_the_stages_folder(
    run_stage: Callable[..., Registration], models: Models, tmp_path: Path
) -> None:
    before = sorted(path.name for path in models.candidate.iterdir())
    run_stage(run_records(name="small", model_digest=models.digest))
    names = sorted(path.name for path in (tmp_path / "out").rglob("*"))
    assert names == ["model_card.md", "registration.json", "verdict.json"]
    assert sorted(path.name for path in models.candidate.iterdir()) == before


def test_the_same_run_key_with_other_weights_registers_nothing_new_and_says_so(
    run_stage: Callable[..., Registration],
    models: Models,
    registry: MlflowRegistry,
    tiny_source: Path,
    tmp_path: Path,
) -> None:
    first = run_stage(run_records(name="trained-again", model_digest=models.digest))
    digest = save_model(tiny_source, tmp_path / "retrained" / "model", 2, "full")
    records = run_records(name="trained-again", model_digest=digest)
    second = run_stage(records, out="second", candidate=tmp_path / "retrained" / "model")
    assert second.model_uri == first.model_uri
    assert len(registry.versions("trained-again")) == 1
    assert first.other_weights is None
    assert second.other_weights is not None
    assert second.other_weights.startswith("Use version 1")
    assert models.digest[:12] in second.other_weights
    sealed = data_digest(Verdict.read(tmp_path / "second").model_dump(mode="json"))
    assert sealed == second.verdict_sha256, "what lies in the folder is what is in the registry"


def test_a_frozen_model_of_a_run_key_whose_version_was_trained_is_told_which_of_them_it_is(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tiny_source: Path, tmp_path: Path
) -> None:
    run_stage(run_records(name="both-ways", model_digest=models.digest))
    digest = save_model(tiny_source, tmp_path / "handed-on" / "model", 3, "frozen")
    records = run_records(name="both-ways", model_digest=digest)
    evaluation = records.evaluation.model_copy(update={"strategy": "frozen"})
    frozen = replace(records, evaluation=evaluation, finetune=None)
    second = run_stage(frozen, out="second", candidate=tmp_path / "handed-on" / "model")
    trained = records.evaluation.strategy
    assert second.other_weights is not None
    assert f"Version 1 of this run key is not this model but the {trained} one" in second.other_weights
    assert "To register this frozen one, delete it" in second.other_weights
    assert [one.tags["acclimate.strategy"] for one in registry.versions("both-ways")] == [trained]


FREE = PolicySpec(name="free", checks=ChecksSpec(licence=LicenceRule(at_most="copyleft")))
RESTRICTED = SOURCE.model_copy(update={"licence": "CC-BY-NC-4.0"})


@pytest.mark.parametrize("auto_promote", [False, True])
def test_a_licence_that_was_corrected_rejects_the_version_of_the_run_key_too(
    auto_promote: bool,
    run_stage: Callable[..., Registration],
    models: Models,
    registry: MlflowRegistry,
    tiny_source: Path,
    tmp_path: Path,
) -> None:
    """The source's licence is in the model's description, hence other bytes; the run key stays."""
    name, gate = f"corrected-{auto_promote}".lower(), GateSpec(policy="free", rules=FREE, auto_promote=auto_promote)
    run_stage(run_records(name=name, model_digest=models.digest), gate=gate)
    digest = save_model(tiny_source, tmp_path / "corrected" / "model", 1, "full", RESTRICTED)
    assert digest != models.digest
    second = run_stage(
        run_records(name=name, model_digest=digest, source=RESTRICTED),
        out="second",
        candidate=tmp_path / "corrected" / "model",
        gate=gate,
    )
    verdict, (version,) = Verdict.read(tmp_path / "second"), registry.versions(name)
    assert (verdict.verdict, second.version) == ("REJECT", None)
    assert second.other_weights is not None
    assert second.other_weights.startswith(f"Version 1 of this run key holds other weights ({models.digest[:12]}, ")
    assert version.tags["acclimate.licence"] == "CC-BY-NC-4.0"
    if auto_promote:
        assert (version.verdict, version.aliases) == ("PROMOTE", ("challenger", "champion"))
        assert "is still the champion. If what is said here holds for it" in second.other_weights
        assert second.other_weights.endswith(f"acclimate rollback {name} --reason WHY")
    else:
        assert (version.verdict, version.aliases) == ("REJECT", ())
        assert second.other_weights.endswith("and is rejected with them.")
        assert registry.verdict(f"{name}/1")[1] == verdict


@pytest.mark.parametrize(("difference", "word"), [(-0.1, "REJECT"), (0.01, "HOLD")])
def test_what_refuses_other_weights_leaves_the_version_its_verdict_and_never_says_to_use_it(
    difference: float,
    word: str,
    run_stage: Callable[..., Registration],
    models: Models,
    registry: MlflowRegistry,
    tiny_source: Path,
    tmp_path: Path,
) -> None:
    name, gate = f"refused-{word}".lower(), GateSpec()
    run_stage(run_records(name=name, model_digest=models.digest), gate=gate)
    digest = save_model(tiny_source, tmp_path / "retrained" / "model", 2, "full")
    records = run_records(name=name, model_digest=digest, difference=difference)
    second = run_stage(records, out="second", candidate=tmp_path / "retrained" / "model", gate=gate)
    assert Verdict.read(tmp_path / "second").verdict == word
    assert [(one.verdict, one.aliases) for one in registry.versions(name)] == [("PROMOTE", ("challenger",))]
    assert second.other_weights is not None
    assert "Use version" not in second.other_weights
    assert "keeps its own verdict, PROMOTE" in second.other_weights


def test_a_version_that_is_told_of_its_rejection_needs_no_warning(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry
) -> None:
    run_stage(run_records(name="told", model_digest=models.digest), gate=GateSpec())
    rejected = run_records(name="told", model_digest=models.digest, difference=-0.1)
    assert run_stage(rejected, out="second", gate=GateSpec()).other_weights is None
    assert [one.verdict for one in registry.versions("told")] == ["REJECT"]


def test_a_champion_that_is_found_wanting_is_warned_of(run_stage: Callable[..., Registration], models: Models) -> None:
    run_stage(run_records(name="wanting", model_digest=models.digest))
    rejected = run_records(name="wanting", model_digest=models.digest, difference=-0.1)
    told = run_stage(rejected, out="second").other_weights
    assert told is not None
    assert told.startswith("Version 1 of this run key holds these weights and is still the champion.")


def test_another_licence_of_the_same_weights_is_in_the_tags_and_the_old_card_is_warned_of(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry
) -> None:
    warnings: list[str] = []

    def progress(event: str, /, **fields: Any) -> None:
        warnings.extend([fields["says"]] if event == "warning" else [])

    first = run_records(name="restated", model_digest=models.digest)
    restricted = first.data.target.model_copy(update={"licence": "CC-BY-NC-4.0"})
    then = replace(first, data=first.data.model_copy(update={"target": restricted}))
    run_stage(first, progress=progress)
    run_stage(first, out="again", progress=progress)
    assert warnings == []
    run_stage(then, out="second", progress=progress)
    (warning,) = warnings
    assert "the licence of version 1 is Apache-2.0 AND CC-BY-NC-4.0, not Apache-2.0: its tags say so now" in warning
    (version,) = registry.versions("restated")
    assert version.tags["acclimate.licence"] == "Apache-2.0 AND CC-BY-NC-4.0"
    assert version.tags["acclimate.data_licence"] == "CC-BY-NC-4.0"
    run_stage(first, out="third", progress=progress)
    (version,) = registry.versions("restated")
    assert version.tags["acclimate.licence"] == "Apache-2.0"
    assert "acclimate.data_licence" not in version.tags


def test_the_same_records_again_register_nothing_new_and_say_the_same(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    records = run_records(name="again", model_digest=models.digest)
    first, second = run_stage(records), run_stage(records, out="second")
    assert second == first.model_copy(update={"created": False})
    assert (tmp_path / "out" / "verdict.json").read_bytes() == (tmp_path / "second" / "verdict.json").read_bytes()
    assert len(registry.versions("again")) == 1


def test_a_worse_candidate_is_rejected_before_it_is_stored(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    done = run_stage(run_records(name="worse", model_digest=models.digest, difference=-0.1))
    verdict = Verdict.read(tmp_path / "out")
    assert (verdict.verdict, done.model_uri, done.version) == ("REJECT", None, None)
    assert registry.versions("worse") == []
    integrity = next(check for check in verdict.checks if check.name == "integrity")
    assert integrity.outcome == "not_applicable"
    assert all("integrity" not in reason for reason in verdict.reasons)
    with pytest.raises(ModelError, match="no model of the run"):
        registry.fetch(f"runs:/{done.mlflow_run_id}/model", tmp_path / "fetched")


def test_an_unmet_requirement_is_rejected(
    run_stage: Callable[..., Registration], models: Models, tmp_path: Path
) -> None:
    run_stage(run_records(name="unmet", model_digest=models.digest), goal=Goal(at_least=0.99))
    assert Verdict.read(tmp_path / "out").verdict == "REJECT"


def test_another_model_than_the_evaluated_one_is_rejected(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    done = run_stage(run_records(name="swapped", model_digest="0" * 64))
    assert Verdict.read(tmp_path / "out").verdict == "REJECT"
    assert done.version is None
    assert registry.versions("swapped") == []


class SwappingRegistry(MlflowRegistry):
    """A registry that gives back another model than it was given."""

    def __init__(self, real: MlflowRegistry, other: Path) -> None:
        super().__init__(real._connection, real._promoter)
        self.other = other

    def fetch(self, uri: str, into: Path) -> Path:
        """The other model."""
        return self.other


def test_a_registry_that_gives_back_other_weights_is_found(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    swapping = SwappingRegistry(registry, models.baseline / "model")
    done = run_stage(run_records(name="other-weights", model_digest=models.digest), registry=swapping)
    verdict = Verdict.read(tmp_path / "out")
    assert (verdict.verdict, done.model_uri) == ("REJECT", None)
    assert registry.versions("other-weights") == []
    assert next(check for check in verdict.checks if check.name == "integrity").outcome == "failed"


def test_training_that_changed_nothing_is_found(
    run_stage: Callable[..., Registration], models: Models, tiny_source: Path, tmp_path: Path
) -> None:
    same = tmp_path / "same" / "model"
    digest = save_model(tiny_source, same, 0, "full")
    run_stage(run_records(name="no-change", model_digest=digest), candidate=same)
    verdict = Verdict.read(tmp_path / "out")
    integrity = next(check for check in verdict.checks if check.name == "integrity")
    assert (verdict.verdict, integrity.outcome, integrity.numbers["changes_outputs"]) == ("REJECT", "failed", False)


def test_a_frozen_candidate_is_not_expected_to_differ_from_the_baseline(
    run_stage: Callable[..., Registration], models: Models, tiny_source: Path, tmp_path: Path
) -> None:
    frozen = models.baseline / "model"
    digest = AdaptedModel.load(frozen).digest
    records = run_records(name="frozen", model_digest=digest)
    evaluation = records.evaluation.model_copy(update={"strategy": "frozen"})
    run_stage(replace(records, evaluation=evaluation, finetune=None), candidate=frozen)
    integrity = next(check for check in Verdict.read(tmp_path / "out").checks if check.name == "integrity")
    assert integrity.outcome == "passed"


def test_looks_at_one_test_set_are_counted_over_run_keys(
    run_stage: Callable[..., Registration], models: Models, registry: MlflowRegistry, tmp_path: Path
) -> None:
    def judged(key: str, out: str) -> tuple[Registration, bytes]:
        records = run_records(key, name="looks", model_digest=models.digest, difference=-0.1)
        evaluation = records.evaluation.model_copy(update={"test_digest": "a" * 64})
        done = run_stage(replace(records, evaluation=evaluation), out=out)
        return done, (tmp_path / out / "verdict.json").read_bytes()

    first, verdict = judged("first", "one")
    judged("second", "two")
    assert judged("first", "three")[1] == verdict, "judged again it is still the first look"
    ours = {key: run_records(key).run_key for key in ("first", "second", "third")}
    assert [registry.look("a" * 64, ours[key]) for key in ours] == [1, 2, 3]
    assert registry.look("b" * 64, ours["first"]) == 1
    registry._connection.client.delete_run(first.mlflow_run_id)
    assert registry.look("a" * 64, ours["second"]) == 2, "a deleted run has looked, too"


def test_a_registry_that_is_down_registers_nothing_and_leaves_no_record(
    run_stage: Callable[..., Registration], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = open_registry("http://user:hunter2@127.0.0.1:9", tmp_path)
    with pytest.raises(UnavailableError) as caught:
        run_stage(run_records(name="down", model_digest=models.digest), registry=down)
    assert caught.value.code == "E-REGISTRY-001"
    assert "hunter2" not in str(caught.value) + caught.value.where
    assert list((tmp_path / "out").iterdir()) == []


def test_the_models_files_are_linked_not_copied_while_they_are_stored(
    run_stage: Callable[..., Registration], models: Models
) -> None:
    links: list[int] = []

    def spy(records: RunRecords, folder: Path) -> Path:
        links.append((folder / "model.safetensors").stat().st_nlink)
        return write_model_card(records, folder)

    run_stage(run_records(name="linked", model_digest=models.digest), write_card=spy)
    assert links == [2]
