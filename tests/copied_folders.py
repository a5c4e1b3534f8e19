"""Shared folders of machines that share no disk, on one machine: each process has a home of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class CopiedFolders:
    """Copies between a home for each process and a folder that stands for the remote workspace.

    In a module of its own, so that Ray's workers can import it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def homes(self) -> list[Path]:
        return sorted(self.root.glob("home-*"))

    @property
    def home(self) -> Path:
        return self.root / f"home-{os.getpid()}"

    def pull(self, name: str) -> Path:
        here, remote = self.home / name, self.root / "remote" / name
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(parents=True)
        if remote.exists():
            shutil.copytree(remote, here, dirs_exist_ok=True)
        return here

    def push(self, name: str) -> None:
        remote = self.root / "remote" / name
        partial, old = (self.root / f"{kind}-{os.getpid()}" for kind in ("partial", "old"))
        shutil.copytree(self.home / name, partial)
        remote.parent.mkdir(parents=True, exist_ok=True)
        if remote.exists():
            remote.rename(old)
        partial.rename(remote)
        shutil.rmtree(old, ignore_errors=True)
