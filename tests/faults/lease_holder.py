"""Run by tests as a process of its own: takes a lock of a workspace, says so, and holds it.

``python lease_holder.py URI HOME NAME TAKEOVER_SECONDS``; a line on stdin ends the holding, and then it publishes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from acclimate.adapters.local_store import signed_files
from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store
from acclimate.errors import AcclimateError
from acclimate.records import Manifest


def main(uri: str, home: str, name: str, takeover: str) -> None:
    """Hold the lock until told to publish under ``name`` as key."""
    store = S3Store(uri, Path(home), times=LeaseTimes(beat=0.1, poll=0.05, takeover=float(takeover)))
    folder = store.home / "tmp" / "partial"
    folder.mkdir()
    (folder / "result").write_bytes(b"by the old holder")
    manifest = Manifest(stage="gap", key=name, run_key=None, inputs={}, files=signed_files(folder))
    with store.lock(name):
        print("held", flush=True)
        sys.stdin.readline()
        try:
            store.push("checkpoints/ab")
            print("pushed", flush=True)
        except AcclimateError as error:
            print(error.code, flush=True)
        try:
            place = store.publish("gap", name, folder, manifest)
            print((place / "result").read_text(), flush=True)
        except AcclimateError as error:
            print(error.code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
