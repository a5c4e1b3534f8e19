"""The page in headless Chromium, light and dark: it paints, follows the scheme and complains of nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.report.render import render
from acclimate.report.view import ReportView

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--enable-logging=stderr", "--log-level=0"),
]
SCHEMES = {"dark": "0", "light": "1"}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")


def browse(path: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={profile}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def console(found: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in found.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_paints_in_either_scheme_without_a_word_on_the_console(
    view: ReportView, tmp_path: Path, scheme: str
) -> None:
    picture = tmp_path / "page.png"
    found = browse(
        render(view, tmp_path),
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1200,4000",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
    )
    assert console(found) == []
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=np.float64)
    paper = np.median(pixels)
    assert paper > 240 if scheme == "light" else paper < 40
    assert 0.02 < np.mean(np.abs(pixels - paper) > 60) < 0.5
    assert (np.abs(pixels - paper) > 60).any(axis=1).reshape(16, 250).any(axis=1).all(), "a blank stretch"


def test_nothing_is_wider_than_a_phone(view: ReportView, tmp_path: Path) -> None:
    render(view, tmp_path)
    frame = tmp_path / "phone.html"
    frame.write_text(
        "<!doctype html><body style='margin:0'>"
        "<iframe src=report.html style='border:0;width:400px;height:900px'></iframe>"
        "<script>onload=()=>{const d=document.querySelector('iframe').contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth}</script>",
        encoding="utf-8",
    )
    found = browse(
        frame, tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=2000"
    )
    width, room = map(int, found.stdout.split("<title>")[1].split("</title>")[0].split())
    assert width <= room == 400


def test_the_console_is_listened_to(tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text("<!doctype html><title>x</title><script>console.error('heard')</script>", encoding="utf-8")
    found = browse(page, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=500")
    assert any("heard" in line for line in console(found))


def test_policy_stops_a_script_even_if_one_got_in(view: ReportView, tmp_path: Path) -> None:
    path = render(view, tmp_path)
    text = path.read_text(encoding="utf-8").replace("</body>", "<script>document.title='ran'</script></body>")
    path.write_text(text, encoding="utf-8")
    found = browse(path, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=500")
    assert "<title>PROMOTE" in found.stdout
    assert any("Content Security Policy" in line for line in console(found))
