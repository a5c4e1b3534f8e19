"""Folders of a local workspace that several processes share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from acclimate.adapters.local_store import LocalStore


def test_a_folder_that_several_remove_at_once_is_gone_and_none_of_them_fails(tmp_path: Path) -> None:
    for turn in range(20):
        folder = tmp_path / "checkpoints" / f"job-{turn}"
        folder.mkdir(parents=True)
        for i in range(50):
            (folder / f"best-{i}.safetensors").write_bytes(b"x")
        together = Barrier(4)

        def remove(name: str, together: Barrier = together) -> None:
            store = LocalStore(tmp_path)
            together.wait()
            store.remove(name)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(remove, [f"checkpoints/job-{turn}"] * 4))
        assert not list((tmp_path / "checkpoints").iterdir())


def test_what_is_not_there_needs_no_removing(tmp_path: Path) -> None:
    LocalStore(tmp_path).remove("checkpoints/none")
