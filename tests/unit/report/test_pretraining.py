"""What is shown of an arm that was pretrained on a pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acclimate.report.lineage import lineage
from acclimate.report.model_card import render_model_card
from acclimate.report.render import html
from acclimate.report.view import ReportView
from tests.run_records import PRETRAINING, run_records


@pytest.fixture(scope="module")
def pretrained(view: ReportView) -> ReportView:
    """The finished run, its chosen arm pretrained on a pool."""
    assert view.finetune is not None
    arms = [arm.model_copy(update={"pretraining": PRETRAINING}) if arm.chosen else arm for arm in view.finetune.arms]
    pool = view.data.target.model_copy(
        update={"licence": "CC0-1.0", "digest": "9" * 64, "held_out_rows_dropped": 17, "warnings": ["17 rows are"]}
    )
    chosen = next(arm.strategy for arm in arms if arm.chosen)
    timing = {**view.timing, "finetune": {**view.timing.get("finetune", {}), f"{chosen}.pretraining": 61.0}}
    finetune = view.finetune.model_copy(update={"arms": arms})
    return replace(view, finetune=finetune, data=view.data.model_copy(update={"pool": pool}), timing=timing)


def test_the_arms_section_shows_texts_losses_epochs_and_time(pretrained: ReportView, view: ReportView) -> None:
    page = html(pretrained)
    (section,) = (part for part in page.split("<section ") if part.startswith('id="arms"'))
    for shown in ("2,000 trained on", "100 held out", 'value="9.25"', 'value="2.5"', "4 of 5", "61", "new head"):
        assert shown in section, shown
    assert PRETRAINING.start_digest in section
    assert "17 texts were left out as validation or test rows" in page
    assert "Pretrained on in-domain texts" not in html(view)


def test_pool_and_start_are_links_of_the_chain(pretrained: ReportView) -> None:
    links = {link.title: link for link in lineage(pretrained)}
    assert "CC0-1.0" in links["Pool"].says
    assert links["Pool"].digests == {"rows": "9" * 64}
    assert PRETRAINING.start_digest in {one for link in links.values() for one in link.digests.values()}


def test_the_model_card_names_pool_and_pretraining() -> None:
    plain = run_records()
    assert plain.finetune is not None
    arms = [arm.model_copy(update={"pretraining": PRETRAINING}) for arm in plain.finetune.arms[-1:]]
    pool = plain.data.target.model_copy(update={"licence": "CC0-1.0", "digest": "9" * 64})
    records = replace(
        plain,
        data=plain.data.model_copy(update={"pool": pool}),
        finetune=plain.finetune.model_copy(update={"arms": arms}),
    )
    card = render_model_card(records)
    assert "first pretrained on 2,100 texts without labels, 2,000 of them of the pool" in card
    assert "licence CC0-1.0" in card
    assert "9" * 64 in card
    assert "pool" not in render_model_card(plain)
