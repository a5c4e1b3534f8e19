"""The lineage as a page: whole, inert, complete, the same bytes, good to see in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acclimate.records import LineageNode
from acclimate.report.lineage_page import lineage_html
from tests.unit.report.lineages import adapted, chain, poisoned, source
from tests.unit.report.test_browser import CHROMIUM, SCHEMES, browse, console
from tests.unit.report.test_render import HOSTILE, assert_inert, body_of, elements, shown

LIMIT = 2_000_000


def nodes(root: LineageNode) -> list[LineageNode]:
    return [root, *(node for parent in root.made_from for node in nodes(parent))]


@pytest.fixture(scope="module")
def page() -> str:
    return lineage_html(adapted(4, adapted(3, source()), pool=True, aliases="champion"))


def test_it_is_strict_html_with_a_policy_and_answers_in_its_title(page: str) -> None:
    assert_inert(page)
    assert "<title>What mail/4 was made from</title>" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy.group(1).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert body_of(page).startswith("What mail/4 was made from Adapted from mail/3 by the strategy lora")
    assert "Alias champion" in shown(page)


def test_everything_is_in_the_table_with_its_whole_digest_and_facts(page: str) -> None:
    root = adapted(4, adapted(3, source()), pool=True, aliases="champion")
    table = shown("<!doctype html><title>x</title>" + page[page.index('<section id="table">') : page.index("</main>")])
    for node in nodes(root):
        assert (node.uri or node.name) in table
        assert node.digest is None or node.digest in table
        assert all(value in table for value in node.facts.values())


def test_what_was_made_of_it_is_named_the_first_fifty_at_least() -> None:
    children = [f"models:/mail/{number}" for number in range(5, 70)]
    text = shown(lineage_html(adapted(4, source()).model_copy(update={"made_into": children})))
    assert "Made into: models:/mail/5, models:/mail/6, " in text
    assert "models:/mail/54 and 15 more" in text
    assert "Made into" not in shown(lineage_html(adapted(4, source()).model_copy(update={"made_into": []})))


def test_every_box_leads_to_a_row_of_its_own(page: str) -> None:
    ids = [element.get("id") for element in elements(page) if element.get("id")]
    assert len(set(ids)) == len(ids)
    links = [str(element.get("href"))[1:] for element in elements(page) if element.tag.endswith("}a")]
    assert len(links) == len(set(links)) == len(nodes(adapted(4, adapted(3, source()), pool=True)))
    assert set(links) <= set(ids)


def test_the_same_lineage_gives_the_same_bytes(page: str) -> None:
    assert page == lineage_html(adapted(4, adapted(3, source()), pool=True, aliases="champion"))


def test_long_chains_and_many_arms_stay_small() -> None:
    text = lineage_html(adapted(51, chain(50), arms=100))
    assert_inert(text)
    assert len(text.encode()) < LIMIT


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_facts_stay_inert(text: str) -> None:
    found = lineage_html(poisoned(chain(2), text))
    assert_inert(found)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b\ufffe]", found)


def test_hostile_text_is_still_readable() -> None:
    assert "<script>alert('x')</script> \\u202e{{ 7*7 }}" in shown(
        lineage_html(poisoned(adapted(1, source()), "<script>alert('x')</script> \u202e{{ 7*7 }}"))
    )


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60) | st.text("<>&\"'/=`{}%#\u202e\x00\ud800 ax", max_size=60))
def test_any_text_stays_inert(text: str) -> None:
    found = lineage_html(poisoned(adapted(1, source()), text))
    assert_inert(found)
    found.encode()


def test_credentials_are_not_shown() -> None:
    root = adapted(1, source(source_uri="https://ann:hunter2@host/model"), recalled="ann: token=abc123")
    found = lineage_html(root)
    assert "hunter2" not in found
    assert "abc123" not in found
    assert "https://***@host/model" in found


@pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_paints_in_either_scheme_without_a_word_on_the_console(page: str, tmp_path: Path, scheme: str) -> None:
    path, picture = tmp_path / "lineage.html", tmp_path / "page.png"
    path.write_text(page, encoding="utf-8")
    seen = browse(
        path,
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1200,1000",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
    )
    assert console(seen) == []
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=np.float64)
    paper = np.median(pixels)
    assert paper > 240 if scheme == "light" else paper < 40
    graph = np.abs(pixels[300:1000] - paper) > 25
    assert graph[:, :620].any(axis=1).mean() > 0.5, "boxes on the left"
    assert graph[:, 1000:1150].any(), "and the model on the right"


@pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
def test_on_a_phone_only_the_graph_scrolls(page: str, tmp_path: Path) -> None:
    (tmp_path / "lineage.html").write_text(page, encoding="utf-8")
    frame = tmp_path / "phone.html"
    frame.write_text(
        "<!doctype html><body style='margin:0'>"
        "<iframe src=lineage.html style='border:0;width:400px;height:900px'></iframe>"
        "<script>onload=()=>{const d=document.querySelector('iframe').contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth}</script>",
        encoding="utf-8",
    )
    options = "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=2000"
    found = browse(frame, tmp_path / "profile", *options)
    width, room = map(int, found.stdout.split("<title>")[1].split("</title>")[0].split())
    assert width <= room == 400
