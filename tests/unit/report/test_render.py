"""The page: whole, self-contained, inert, and in agreement with the records."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from acclimate.errors import UnavailableError
from acclimate.records import Disparity, Interval, SourceMemory
from acclimate.report.render import html, render
from acclimate.report.summary import summary
from acclimate.report.view import ReportView
from tests.unit.report.made_up import evaluation, gap_report, gave_way, hard_row, verdict

LIMIT = 2_000_000
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</bdi></td></table><iframe src=https://evil.example></iframe>",
    "\u202egpj.exe\u2066",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)//https://evil.example/x.js",
    "]]></svg><svg onload=alert(1)>",
    "nul\x00 esc\x1b[31m \ufffe",
    "$\\frac{1}{2}$ &lt;b&gt; & ' \"",
    "x" * 5000,
]
ADDRESSES = {
    "src",
    "href",
    "xlink:href",
    "action",
    "formaction",
    "data",
    "poster",
    "srcset",
    "background",
    "cite",
    "ping",
}


@pytest.fixture(scope="session")
def page(view: ReportView) -> str:
    return html(view)


def parsed(text: str) -> Element:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def elements(text: str) -> Iterator[Element]:
    return (element for element in parsed(text).iter() if isinstance(element.tag, str))


def assert_inert(text: str) -> None:
    for element in elements(text):
        tag = element.tag.rpartition("}")[2]
        assert tag not in {
            "script",
            "iframe",
            "object",
            "embed",
            "img",
            "image",
            "form",
            "base",
            "foreignObject",
            "animate",
            "set",
        }
        for name, value in element.attrib.items():
            plain = name.rpartition("}")[2].lower()
            assert not plain.startswith("on"), (tag, name)
            if plain in ADDRESSES:
                assert value.startswith("#") or value == "data:,", (tag, name, value)
            if plain == "style":
                assert not re.search(r"url\((?!#)|expression|@import", value), value
    assert "url(http" not in text
    assert "@import" not in text


def shown(text: str) -> str:
    return " ".join("".join(parsed(text).itertext()).split())


def body_of(text: str) -> str:
    body = parsed(text).find("body")
    assert body is not None
    return " ".join("".join(body.itertext()).split())


def without_figures(view: ReportView) -> ReportView:
    return replace(view, gap=None, baseline=None, finetune=None, evaluation=None)


def poisoned(value: Any, strings: Iterator[str]) -> Any:
    """The record with every free text in it replaced."""
    if isinstance(value, dict):
        return {key: poisoned(item, strings) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, strings) for item in value]
    return next(strings) if isinstance(value, str) else value


def test_it_is_whole_and_strict_html_without_anything_that_acts(page: str) -> None:
    assert_inert(page)
    for section in ("decision", "gap", "baseline", "arms", "result", "errors", "gate", "lineage", "reproduce"):
        assert f'<section id="{section}">' in page
        assert f'href="#{section}"' in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy.group(1).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_the_same_records_give_the_same_bytes(view: ReportView, page: str, tmp_path: Path) -> None:
    assert render(view, tmp_path / "new" / "folder").read_text(encoding="utf-8") == page
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["report.html"]


def test_a_large_run_stays_below_two_megabytes(view: ReportView) -> None:
    labels = [f"a rather long label number {i}" for i in range(20)]
    big = evaluation(labels)
    text = "word " * 2000
    slices = [big.slices[0].model_copy(update={"value": f"{i} {text}"}) for i in range(500)]
    big = big.model_copy(
        update={"errors": [hard_row(i % 40, text, labels[0], labels[1]) for i in range(300)], "slices": slices}
    )
    page = html(replace(view, gap=gap_report(points=4000, labels=labels), evaluation=big))
    assert len(page.encode()) < LIMIT
    assert "250 more in evaluation.json" in page
    assert "400 more in evaluation.json" in page


def test_hostile_names_stay_inert_everywhere(view: ReportView) -> None:
    name = " ".join(HOSTILE[:-1])
    labels = ["billing", *HOSTILE, name]
    judged = evaluation(labels)
    slices = [judged.slices[0].model_copy(update={"column": text, "value": text}) for text in labels]
    errors = [hard_row(i, text, text, "billing") for i, text in enumerate(labels)]
    judged = judged.model_copy(update={"slices": slices, "errors": errors, "comparator": name})
    target = view.data.target.model_copy(update={"labels": labels, "warnings": labels})
    more = [{"code": text, "message": text, "where": text, "hint": text} for text in labels]
    text = html(
        replace(
            view,
            config={**view.config, "name": name, "labels": labels},
            run_id=name,
            run_key=name,
            source_uri=name,
            command=name,
            versions=dict.fromkeys(labels, name),
            code_version=name,
            data=view.data.model_copy(update={"target": target}),
            gap=gap_report(labels=labels),
            evaluation=judged,
            error={**more[-1], "more": more},
        )
    )
    assert_inert(text)
    assert len(text.encode()) < LIMIT
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b\ufffe]", text)


def test_every_free_text_of_every_record_may_be_hostile(view: ReportView) -> None:
    def strings() -> Iterator[str]:
        while True:
            yield from HOSTILE[:-1]

    source = view.source.model_copy(
        update=poisoned(view.source.model_dump(include={"name", "revision", "licence", "model_type"}), strings())
    )
    rules = [r.model_copy(update=poisoned(r.model_dump(exclude={"fired"}), strings())) for r in view.decision.rules]
    decision = view.decision.model_copy(
        update={"rules": rules, "reason": HOSTILE[0], "rule": HOSTILE[1], "strategy": HOSTILE[2]}
    )
    found = verdict()
    checks = [
        c.model_copy(
            update={
                "name": HOSTILE[i % 9],
                "says": HOSTILE[0],
                "numbers": {HOSTILE[1]: HOSTILE[2]},
                "waived": HOSTILE[3],
            }
        )
        for i, c in enumerate(found.checks)
    ]
    gate = found.model_copy(
        update={
            "checks": checks,
            "reasons": HOSTILE,
            "next_step": HOSTILE[1],
            "policy": HOSTILE[0],
            "rules": {**found.rules, "about": HOSTILE[2]},
        }
    )
    registration = view.registration.model_copy(
        update=poisoned(
            view.registration.model_dump(
                include={"tracking_uri", "mlflow_run_id", "model_uri", "verdict_sha256", "aliases"}
            ),
            strings(),
        )
    )
    notes = view.gap.model_copy(
        update={
            "notes": HOSTILE,
            "furthest": [
                r.model_copy(update={"text": t, "row_id": t, "label": t})
                for r, t in zip(view.gap.furthest, HOSTILE, strict=False)
            ],
            "input_side": {HOSTILE[0]: 1.0},
        }
    )
    assert_inert(
        html(
            replace(
                view,
                source=source,
                decision=decision,
                verdict=gate,
                registration=registration,
                gap=notes,
                run_key=HOSTILE[1],
                code_version=HOSTILE[0],
            )
        )
    )


def test_hostile_text_is_still_readable(view: ReportView) -> None:
    text = "<script>alert('x')</script> \u202e{{ 7*7 }}"
    judged = view.evaluation.model_copy(update={"errors": [hard_row(0, text, "billing", "returns")]})
    assert "<script>alert('x')</script> \\u202e{{ 7*7 }}" in shown(html(replace(view, evaluation=judged)))


def test_the_numbers_shown_are_those_of_the_records(view: ReportView, page: str) -> None:
    values = {float(element.get("value")): element.text for element in elements(page) if element.tag == "data"}
    found = summary(view)
    assert values[found["gap"]["units"]] == "4.2"
    assert values[found["baseline"]["score"]] == "0.799"
    assert values[found["result"]["score"]] == "0.874"
    assert values[found["gain"]["difference"]] == "+0.071"
    for arm in found["arms"]:
        assert {arm["score"], arm["seconds"]} <= set(values)
    for row in view.evaluation.comparisons:
        assert {row.difference.point, row.low_one_sided, row.other_score.point} <= set(values)
    for value, text in values.items():
        if re.fullmatch(r"[+−]?\d\.\d{3}", text):
            assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.000501)


def test_the_first_line_is_verdict_and_next_step(page: str) -> None:
    body = body_of(page)
    assert body.startswith("PROMOTE Fit for production")
    assert body.index("Next: Promote it: acclimate promote, or gate.auto_promote next time.") < body.index("Gap")


def test_rules_checks_and_digests_are_all_there(view: ReportView, page: str) -> None:
    text = shown(page)
    for rule in view.decision.rules:
        assert rule.says in text
        assert rule.threshold in text
    for cost in view.decision.costs:
        assert f"{cost.strategy}{cost.trains}{cost.forgets}{cost.epochs}" in text
    for check in view.verdict.checks:
        assert f"{check.number}. {check.name}" in text
    assert all(mark in text for mark in ("✓ passed", "! warning", "– does not apply"))
    for digest in (
        view.run_key,
        view.source.digest,
        view.data.target.digest,
        view.evaluation.model_digest,
        view.registration.verdict_sha256,
    ):
        assert digest in page


@pytest.mark.parametrize("word", ["PROMOTE", "SHADOW", "HOLD", "REJECT"])
def test_every_verdict_is_explained(view: ReportView, word: str) -> None:
    text = shown(html(replace(without_figures(view), verdict=verdict(word))))
    assert f"{word} · support-mail" in text
    if word == "REJECT":
        assert "✕ failed" in text
        assert "? not computed" in text


def test_a_trained_model_that_gave_way_is_told(view: ReportView) -> None:
    page = shown(html(gave_way(view)))
    assert "full fine-tuning was chosen on validation, but not handed on" in page
    assert "the frozen model is handed on: full is not shown to be better" in page
    assert "trained, not handed on" in page
    assert "not handed on" not in shown(html(view))


@pytest.mark.parametrize(
    ("known", "scored", "says"),
    [
        (700, 1065, "itself; scores here are of rows that are new to it, of which there are 1,065"),
        (1755, 0, "fitted on 1,755 of the training rows itself, and too few are new to it"),
        (None, 0, "does not remember all it was fitted on"),
    ],
)
def test_what_an_adapted_source_knew_of_the_training_rows_is_told(
    view: ReportView, known: int | None, scored: int, says: str
) -> None:
    memory = SourceMemory(known_rows=known, scored_rows=scored)
    assert view.baseline is not None
    page = shown(html(replace(view, baseline=view.baseline.model_copy(update={"source_memory": memory}))))
    assert says in page
    assert f"on {scored or 1765:,} rows in cross-validation" in page
    assert ("rule R3 does not go by them" in page) == (scored == 0)
    assert "was adapted before" not in shown(html(view))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"best_minus_worst": 0.061, "by_chance": 0.045}, "; more than chance alone gives (up to +0.045)"),
        ({"best_minus_worst": 0.061, "by_chance": 0.13}, "; chance alone may give as much (up to +0.130)"),
        ({"difference": Interval(point=0.061, low=0.01, high=0.11)}, " "),
    ],
    ids=["more", "no more", "of an earlier release"],
)
def test_best_and_worst_slice_stand_beside_what_chance_gives(
    view: ReportView, fields: dict[str, Any], says: str
) -> None:
    judged = view.evaluation
    assert judged is not None
    apart = Disparity(column="channel", best="e-mail", worst="web form", **fields)
    page = shown(html(replace(view, evaluation=judged.model_copy(update={"disparities": [apart]}))))
    assert f"e-mail scores +0.061 more than web form{says}" in page
    told = page.partition("more than web form")[2].partition("Best and worst")[0]
    assert ("chance alone" in told) == ("by_chance" in fields)


def test_further_seeds_are_shown(view: ReportView) -> None:
    page = shown(html(view))
    assert "full was trained with further seeds" in page
    assert "0.865 with seed 1" in page
    assert "same training, another seed" in page


def test_a_waived_check_says_who_answers_for_it(view: ReportView) -> None:
    found = verdict("SHADOW")
    waived = [found.checks[0].model_copy(update={"waived": "ann: the source is not used any more"}), *found.checks[1:]]
    page = shown(html(replace(without_figures(view), verdict=found.model_copy(update={"checks": waived}))))
    assert "Waived by ann: the source is not used any more" in page
    assert page.count("Waived by") == 1


@pytest.mark.parametrize("name", ["gap", "baseline", "decision", "finetune", "evaluation", "registration"])
def test_a_run_that_stopped_says_where_and_why(stopped: dict[str, ReportView], name: str) -> None:
    page = html(stopped[name])
    assert_inert(page)
    text = body_of(page)
    assert text.startswith("STOPPED While ")
    for part in (
        "E-TRAIN-003",
        "the loss is not finite at step 40",
        "arm full, epoch 2",
        "lower finetune.full.learning_rate",
    ):
        assert part in text
    assert all(target in page for target in (f'id="{anchor}"' for anchor in re.findall(r'<li><a href="#(\w+)"', page)))


@pytest.mark.parametrize(
    ("name", "part"), [("plan", "PLANNED The frozen baseline"), ("freeze", "Nothing is trained beyond the small head")]
)
def test_a_plan_and_a_frozen_model_have_a_report(stopped: dict[str, ReportView], name: str, part: str) -> None:
    page = html(stopped[name])
    assert_inert(page)
    assert part in shown(page)


def test_a_report_needs_no_more_than_the_data(view: ReportView) -> None:
    assert_inert(html(ReportView(config={}, run_id="r", run_key="k", data=view.data)))


@pytest.mark.parametrize("name", ["source", "gap", "baseline", "calibration", "decision", "verdict"])
def test_any_record_may_be_missing(view: ReportView, name: str) -> None:
    assert_inert(html(replace(view, finetune=None, evaluation=None, **{name: None})))


def test_a_gap_without_reference_has_no_scale(view: ReportView) -> None:
    update = {
        "verdict": "NO_REFERENCE",
        "units": None,
        "p_value": None,
        "rows_compared": None,
        "detectable_shift": None,
        "measures": [],
        "map": [],
        "furthest": [],
    }
    text = shown(html(replace(view, gap=view.gap.model_copy(update=update))))
    assert "Gap: not measured" in text
    assert "No data of the source domain were given" in text


def test_credentials_do_not_reach_the_page(view: ReportView) -> None:
    uri = "https://ann:hunter2@mlflow.example"
    target = view.data.target.model_copy(update={"files": [view.data.target.files[0].model_copy(update={"uri": uri})]})
    page = html(
        replace(
            without_figures(view),
            config={**view.config, "tracking": {"uri": uri}},
            source_uri=uri,
            source=None,
            command=f"MLFLOW_TRACKING_PASSWORD=hunter2 acclimate run {uri}",
            data=view.data.model_copy(update={"target": target}),
            registration=view.registration.model_copy(update={"tracking_uri": uri}),
            error={"code": "E-REGISTRY-001", "message": f"{uri} refused token=hunter2", "where": uri, "hint": ""},
        )
    )
    assert "hunter2" not in page


def test_an_older_report_is_replaced_and_kept_when_writing_fails(view: ReportView, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "report.html").write_text("old", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError) as caught:
            render(without_figures(view), tmp_path)
    assert caught.value.code == "E-REPORT-001"
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old"]
    render(without_figures(view), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_training_cost_for_each_point_is_shown_where_there_was_a_gain(view: ReportView) -> None:
    assert view.primary is not None
    assert view.evaluation is not None
    gained = view.primary.difference.point
    assert view.seconds_a_point == pytest.approx(view.seconds["finetune"] / (100 * gained))
    assert "training for each point gained" in html(view)
    frozen = replace(view, evaluation=view.evaluation.model_copy(update={"strategy": "frozen"}))
    lost = view.primary.difference.model_copy(update={"point": -0.01, "low": -0.02, "high": 0.0})
    worse = [
        row.model_copy(update={"difference": lost}) if row.role == "comparator" else row
        for row in view.evaluation.comparisons
    ]
    behind = replace(view, evaluation=view.evaluation.model_copy(update={"comparisons": worse}))
    for other in (frozen, behind, replace(view, finetune=None)):
        assert other.seconds_a_point is None
        assert "training for each point gained" not in html(other)
