"""What a run leaves for MLflow's pages: the report and its figures, each complete in itself."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from acclimate.report.figures import draw_all
from acclimate.report.pages import write_pages
from acclimate.report.render import html
from acclimate.report.view import ReportView


def test_the_report_is_the_one_that_the_run_ends_with(view: ReportView, tmp_path: Path) -> None:
    write_pages(view, tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html(view)


def test_each_figure_is_a_picture_that_brings_its_own_colours(view: ReportView, tmp_path: Path) -> None:
    write_pages(view, tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(draw_all(view))
    for path in (tmp_path / "figures").iterdir():
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        declared = set(re.findall(r"(--[a-z0-9]+): #", root.get("style")))
        assert set(re.findall(r"var\((--[a-z0-9]+)\)", text)) <= declared
