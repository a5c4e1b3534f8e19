"""Emoji in two drawing styles as folders of images, one folder a group: the same pictures, two domains.

And their names as prompts, with the path of each in Unicode's own order, group and subgroup, as the answer.

Source: the npm packages emoji-datasource-twitter and emoji-datasource-google by C. Henderson (data and code under the
MIT licence). The drawings are Twemoji's (CC-BY 4.0) and Noto Emoji's (Apache 2.0).
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fetch_package import is_complete, npm_pack, sha256, write_folder, write_table

PACKAGES = {
    "twitter": (
        "emoji-datasource-twitter@16.0.0",
        "emoji-datasource-twitter-16.0.0.tgz",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    ),
    "google": (
        "emoji-datasource-google@16.0.0",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    ),
}
EXPECTED = {
    "twitter": "f3700d1c1ba74e3f63fb88c54dff15391a0a394bf2ee01d83ea78dda1b570a7f",
    "google": "023c24b450195967f786b8573c380344371f59742a37df4747dd8e228cb60290",
}
PATHS = "emoji-paths.csv"
EXPECTED_PATHS = "aaf4fe4362d4486ccb5c4ee975dc9b24cd4247f4985c824cd57a8145baa20d23"
GROUPS = 6
# skin tones and hair alone: parts of other emoji
LEFT_OUT = "Component"

Emoji = Mapping[str, Any]


def slug(category: str) -> str:
    """Name of a group's folder: its words in lower case, joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", category.lower()))


def groups(emoji: Sequence[Emoji], count: int) -> list[str]:
    """The categories with the most emoji, largest first; of equal ones the first by name."""
    sizes = Counter(one["category"] for one in emoji if one["category"] != LEFT_OUT)
    return sorted(sizes, key=lambda category: (-sizes[category], category))[:count]


def archive_files(archive: Path) -> dict[str, bytes]:
    """What these examples use of a tarball: emoji.json and the 64-pixel drawings, by their path in the package."""
    found = {}
    with tarfile.open(archive) as members:
        for member in members:
            path = PurePosixPath(member.name)
            inside = path.parts[:1] == ("package",) and ".." not in path.parts
            if not inside or not (member.isfile() or member.isdir()):
                sys.exit(f"{archive.name} holds {member.name!r}, which is no file of its package; nothing was written")
            name = "/".join(path.parts[1:])
            if name == "emoji.json" or re.fullmatch(r"img/[a-z]+/64/[^/]+\.png", name):
                content = members.extractfile(member)
                assert content is not None
                found[name] = content.read()
    return found


def images(files: Mapping[str, bytes], style: str) -> dict[str, bytes]:
    """Drawings of the largest groups by path, ``GROUP/CODE-POINTS.png``; skin variations are left out."""
    emoji = json.loads(files["emoji.json"])
    kept = groups(emoji, GROUPS)
    return {
        f"{slug(one['category'])}/{one['unified']}.png": files[f"img/{style}/64/{one['image']}"]
        for one in emoji
        if one["category"] in kept and one[f"has_img_{style}"]
    }


def paths(emoji: Sequence[Emoji]) -> list[tuple[str, str]]:
    """Prompts with the emoji's name, and answers with their category and subcategory; no skin variations."""
    return [
        (f"Unicode category of the emoji: {one['name'].lower()}", f"{one['category']} / {one['subcategory']}")
        for one in emoji
        if one["category"] != LEFT_OUT
    ]


def fetch_paths(folder: Path) -> None:
    """Write ``emoji-paths.csv`` where it is missing."""
    target = folder / PATHS
    if target.is_file() and sha256(target) == EXPECTED_PATHS:
        return
    with tempfile.TemporaryDirectory() as temporary:
        files = archive_files(npm_pack(PACKAGES["twitter"], Path(temporary)))
    write_table(target, ("text", "answer"), paths(json.loads(files["emoji.json"])), EXPECTED_PATHS)


def fetch(folder: Path) -> None:
    """Write ``emoji-twitter`` and ``emoji-google`` where they are missing."""
    for style, package in PACKAGES.items():
        target = folder / f"emoji-{style}"
        if not is_complete(target, EXPECTED[style]):
            with tempfile.TemporaryDirectory() as temporary:
                files = archive_files(npm_pack(package, Path(temporary)))
            write_folder(target, images(files, style), EXPECTED[style])
