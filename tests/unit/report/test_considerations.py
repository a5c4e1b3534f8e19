"""What a model is not for and where it is weak: each sentence where its fact is there, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from acclimate.config_file import load_config
from acclimate.errors import ConfigError
from acclimate.records import ClassScore, Interval, Retention, Robustness, SliceScore
from acclimate.registry import RunRecords
from acclimate.report.considerations import considerations
from tests.run_records import SOURCE, interval, run_records
from tests.writing_records import pairs_table, writing_records

ALWAYS = (
    "Inputs that none of its 2 labels fits: it gives one all the same.",
    "Texts unlike its target data in language, subject or style: it was tested on those data alone.",
)
ENDS = "0 near-duplicates lie across splits; 0 test rows were in a compared model's training data."


def judged(**changes: Any) -> RunRecords:
    """Records with some of the evaluation changed."""
    records = run_records()
    return replace(records, evaluation=records.evaluation.model_copy(update=changes))


def sliced(column: str, value: str, rows: int, score: Interval) -> SliceScore:
    return SliceScore(column=column, value=value, rows=rows, score=score)


def by_channel(*slices: SliceScore) -> RunRecords:
    """Records whose target names the slice ``channel``."""
    records = judged(slices=list(slices))
    target = records.data.target.model_copy(update={"slices": ["channel"]})
    return replace(records, data=records.data.model_copy(update={"target": target}))


def compared(role: Any, low_one_sided: float) -> RunRecords:
    comparisons = run_records().evaluation.comparisons
    row = comparisons[1].model_copy(update={"role": role, "low_one_sided": low_one_sided})
    return judged(comparisons=[comparisons[0], row])


def kept(change: Interval, low_one_sided: float) -> RunRecords:
    return judged(
        retention=Retention(rows=300, score=0.4, source_score=0.44, change=change, low_one_sided=low_one_sided)
    )


def lost(change: Interval) -> RunRecords:
    row = Robustness(change="typos", rows=400, score=interval(0.8), lost=change, comparator_lost=None)
    return judged(robustness=[row])


def asking(at_least: float, by: str) -> RunRecords:
    records = run_records()
    records.config["goal"] |= {"at_least": at_least, "at_least_by": by}
    return records


def licensed(licence: str) -> RunRecords:
    return run_records(source=SOURCE.model_copy(update={"licence": licence}))


def labelled(*rows: int) -> RunRecords:
    classes = [ClassScore(label=f"label {i}", rows=n, precision=0.9, recall=0.9, f1=0.9) for i, n in enumerate(rows)]
    return judged(classes=classes)


LOW, SAME = interval(0.5, 0.05), interval(0.88, 0.05)
FACTS: list[tuple[Callable[[], RunRecords], str | None]] = [
    (lambda: licensed("CC-BY-NC-4.0"), "Commercial use: it is under CC-BY-NC-4.0."),
    (lambda: licensed("CC-BY-NC-4.0 OR MIT"), None),
    (
        lambda: asking(0.95, "point"),
        "Uses that need the macro-F1 that was asked for, 0.950: it has 0.900 (0.880 to 0.920).",
    ),
    (
        lambda: asking(0.89, "lower"),
        "Uses that need the macro-F1 that was asked for, 0.890: it has 0.900 (0.880 to 0.920).",
    ),
    (lambda: asking(0.89, "point"), None),
    (
        lambda: compared("trivial", 0.0),
        "Taking the place of “word counts (TF-IDF)”: it is not shown to be better, +0.200 (+0.170 to +0.230).",
    ),
    (lambda: compared("trivial", 0.01), None),
    (lambda: compared("seed", -0.01), None),
    (
        lambda: by_channel(sliced("channel", "fax", 100, LOW), sliced("channel", "mail", 300, SAME)),
        "Inputs with channel = fax: it scores 0.500 (0.450 to 0.550) there, 0.900 on the whole.",
    ),
    (lambda: by_channel(sliced("channel", "fax", 100, SAME), sliced("channel", "mail", 300, SAME)), None),
    (
        lambda: by_channel(sliced("channel", "mail", 383, SAME)),
        "Inputs with a rare value of channel: their 17 test rows are fewer than 30 each, and not scored apart.",
    ),
    (
        lambda: labelled(30, 29, 3, 9, 1),
        "Finding label 4, label 2, label 3 and 1 more: fewer than 30 test rows each show how well it does.",
    ),
    (lambda: labelled(30, 30), None),
    (
        lambda: lost(interval(-0.12)),
        "Inputs with typos, if the score has to hold: it changes by −0.120 (−0.140 to −0.100).",
    ),
    (lambda: lost(interval(-0.01)), None),
    (
        lambda: kept(interval(-0.03), -0.045),
        "The source model’s own task: what it knew of it has changed by −0.030 (−0.050 to −0.010).",
    ),
    (lambda: kept(interval(-0.01), -0.025), None),
]


@pytest.mark.parametrize(("records", "sentence"), FACTS)
def test_a_sentence_is_said_where_its_fact_is_there(records: Callable[[], RunRecords], sentence: str | None) -> None:
    assert considerations(records()).not_for == (*ALWAYS, *([sentence] if sentence else []))


@pytest.mark.parametrize(
    ("records", "limits"),
    [
        (run_records, ("What it still knows of the source model’s own task was not measured.",)),
        (lambda: kept(interval(-0.01), -0.025), ("Of the source model’s own task it may have lost up to 0.025.",)),
        (lambda: kept(interval(0.01), 0.0), ()),
    ],
)
def test_limits_are_what_is_not_known(records: Callable[[], RunRecords], limits: tuple[str, ...]) -> None:
    assert considerations(records()).limits == (*limits, ENDS)


@pytest.mark.parametrize(("needed", "ending"), [(2100, ": it takes 2,100."), (None, ".")])
def test_too_few_test_rows_are_a_limit(needed: int | None, ending: str) -> None:
    comparisons = run_records().evaluation.comparisons
    deciding = comparisons[0].model_copy(update={"underpowered": True, "rows_needed": needed})
    told = considerations(judged(comparisons=[deciding, *comparisons[1:]]))
    assert told.limits[0] == f"400 test rows are too few to show the difference that decides{ending}"


def test_a_model_that_writes_states_no_facts() -> None:
    records = writing_records()
    told = considerations(records)
    assert told.made_for == "Writing answers to prompts like those of its target data."
    assert told.not_for[0] == "Stating facts that nobody checks: nothing compares what it writes with facts."
    assert told.limits[0].startswith("What it writes is not checked against anything")
    plain = records.data.model_copy(update={"target": pairs_table("target", answers=False)})
    assert considerations(replace(records, data=plain)).made_for == "Going on with texts like those of its target data."


def test_a_model_of_images_is_for_images() -> None:
    records = run_records()
    told = considerations(replace(records, data=records.data.model_copy(update={"task": "image-classification"})))
    assert told.made_for == "Giving images like those of its target data one of 2 labels."
    assert told.not_for[1].startswith("Images unlike its target data in origin or quality")


def test_names_from_the_data_are_one_short_line_and_the_users_words_hold_no_password() -> None:
    records = by_channel(sliced("channel", "a\n\u202e" + "b" * 99, 400, LOW))
    records.config["card"]["not_for"] = ["what https://ann:hunter2@host says"]
    told = considerations(records)
    assert told.not_for[0] == "what https://***@host says"
    assert told.not_for[-1].startswith(f"Inputs with channel = a \\u202e{'b' * 22}: it scores")


def test_records_of_an_earlier_release_have_no_words_of_the_user() -> None:
    records = run_records()
    del records.config["card"]
    assert considerations(records).not_for == ALWAYS


@pytest.mark.parametrize(
    ("not_for", "says"),
    [
        ('[""]', "card.not_for[0] is empty"),
        ('["  "]', "card.not_for[0] is empty"),
        (f'["{"x" * 201}"]', "must be text of at most 200 characters"),
        (str([f"use {i}" for i in range(11)]), "must be a list of at most 10, each entry text of at most 200"),
        ("people", "card.not_for is 'people', but must be a list of at most 10"),
        ("[7]", "card.not_for[0] is 7, but must be text"),
    ],
)
def test_what_is_no_short_list_of_words_is_refused(not_for: str, says: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, not_for)
    assert says in str(caught.value)


def test_a_secret_among_the_users_words_is_refused_and_not_shown(tmp_path: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, '["hf_aBcDeFgHiJkLmNoPqRsT"]')
    assert caught.value.code == "E-CONFIG-034"
    assert "hf_aB" not in str(caught.value)


def test_words_lose_the_blanks_around_them(tmp_path: Any) -> None:
    assert configured(tmp_path, '["  people "]') == ["people"]


def configured(folder: Any, not_for: str) -> list[str]:
    """What a configuration file with these words says."""
    (folder / "data.csv").write_text("text,label\na,b\n")
    path = folder / "adaptation.yaml"
    path.write_text(
        f"name: mail\nsource: package://tiny/model\ntarget: {{data: data.csv}}\ncard: {{not_for: {not_for}}}\n"
    )
    return load_config(path).config.card.not_for
