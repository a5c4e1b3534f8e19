"""What a question to a large registry costs: lineage, recall and a model's versions, at 100 versions and at 1,000.

Two MLflow servers on this machine, each on a database of its own, hold families of adapted models: five versions a
source model, three of one name that were made from the source, one made from the first of these and one from that. A
version carries the tags that acclimate writes, and a run. The same family is asked for in both, in turns, so that what
else the machine does hits both alike: as a whole process of the command line, and as a call in a process that has
loaded MLflow. Processor time, the least of the rounds, is told beside: others use this machine too. A ratio is the
median over rounds of the larger registry's seconds by the smaller one's.

Expected (written before measuring): at 1,000 versions each command takes under 2 s, the call under 0.5 s; as many
requests to the server as at 100 versions; ratios at most 1.2 of whole processes and 1.5 of calls. ``models``
without a name lists all names (three a source) and so grows with them: under 2 s at 1,000 versions.

    python -m benchmarks.registry_scale --folder /tmp/registry-scale
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import requests

from acclimate.adapters.mlflow_ancestors import ancestors_tag
from acclimate.adapters.mlflow_client import Connection, connect, local_uri
from acclimate.adapters.mlflow_tags import ANCESTORS, KIND, SOURCE_DIGEST, VERDICT, arm_tags, lineage_tags
from acclimate.lookup import lineage, models
from acclimate.promoting import recall
from benchmarks.measured import in_turn, machine, say, store
from tests.postgresql import postgresql_server, what_is_missing
from tests.run_records import SOURCE, digest, run_records
from tests.servers import mlflow_server

SIZES = (100, 1000)
VERSIONS_A_SOURCE = 5
ASKED = 7
EXPECTED = (
    "at 1,000 versions: a command < 2 s, a call < .5 s; as many requests as at 100; ratios <= 1.2 of processes, "
    "<= 1.5 of calls; models without a name lists all and grows: < 2 s"
)
Call = Callable[[], object]


def write(connection: Connection, family: int, experiment: str) -> None:
    """A source model and the five versions made from it, straight into the database."""
    client, source = connection.client, f"source--encoder-{family}"
    card = SOURCE.model_copy(update={"name": f"encoder-{family}", "digest": digest(f"source {family}")})
    client.create_registered_model(source, tags={KIND: "source model"})
    tags = {KIND: "source model", SOURCE_DIGEST: card.digest, "acclimate.revision": card.revision}
    client.create_model_version(source, "mlflow-artifacts:/source", tags=tags)
    mail, child = f"models:/mail-{family}/1", f"models:/child-{family}/1"
    made_from = [(f"mail-{family}", f"models:/{source}/1")] * 3
    digests = {f"models:/{source}/1": card.digest}
    for number, (name, parent) in enumerate([*made_from, (f"child-{family}", mail), (f"grandchild-{family}", child)]):
        key = f"{name} {number}"
        pinned = card.model_copy(update={"digest": digests[parent]})
        records = run_records(key, name=name, model_digest=digest(key), source=pinned, source_uri=parent)
        target = records.data.target.model_copy(update={"digest": rows(family, number)})
        records = replace(records, data=records.data.model_copy(update={"target": target, "reference": None}))
        lineage_of = lineage_tags(records, parent)
        run = client.create_run(experiment, tags={**lineage_of, **arm_tags(records)})
        if number in (0, 3, 4):
            client.create_registered_model(name, tags={KIND: "adapted model"})
        version = client.create_model_version(
            name,
            run.info.artifact_uri,
            run_id=run.info.run_id,
            tags={**lineage_of, VERDICT: "PROMOTE", ANCESTORS: ancestors_tag(connection, parent, pinned.digest)},
            await_creation_for=None,
        )
        digests[f"models:/{name}/{version.version}"] = digest(key)
    client.set_registered_model_alias(f"mail-{family}", "champion", "1")
    assert version.version


def rows(family: int, number: int) -> str:
    """The digest of the rows that a version was trained on."""
    return hashlib.sha256(f"rows {family} {number}".encode()).hexdigest()


@contextmanager
def registry(folder: Path, versions: int, database: AbstractContextManager[str]) -> Iterator[str]:
    """A server whose registry holds that many adapted models; gives its address."""
    with database as uri:
        started, connection = time.perf_counter(), connect(uri, folder)
        experiment = connection.client.create_experiment("families", artifact_location="mlflow-artifacts:/families")
        for family in range(versions // VERSIONS_A_SOURCE):
            write(connection, family, experiment)
        say(written=versions, seconds=round(time.perf_counter() - started, 1))
        with mlflow_server(folder, str(folder / "artifacts"), database=uri) as address:
            yield address


def questions(workspace: Path) -> dict[str, tuple[list[str], Call]]:
    """Each as a command and as a call."""

    def recalled(source: str | None, data: str | None) -> object:
        nobody: dict[str, Any] = {"by": None, "reason": "", "workspace": workspace, "promotions": None}
        found = recall(source, data, act="list", **nobody)
        assert len(found["live"]) in (3, VERSIONS_A_SOURCE), found
        return found

    source, data, child = f"encoder-{ASKED}@{SOURCE.revision}", rows(ASKED, 0), f"grandchild-{ASKED}"
    return {
        "lineage NAME": (["lineage", child], lambda: lineage(child, workspace)),
        "recall SOURCE@REVISION": (["recall", source], lambda: recalled(source, None)),
        "recall --data DIGEST": (["recall", "--data", data], lambda: recalled(None, data)),
        "models NAME": (["models", f"mail-{ASKED}"], lambda: models(f"mail-{ASKED}", workspace)),
        "models": (["models"], lambda: models(None, workspace)),
    }


def process(words: list[str], workspace: Path) -> None:
    """Run a command to its end."""
    command = [sys.executable, "-m", "acclimate", *words, "--workspace", str(workspace), "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def requests_of(call: Call) -> int:
    """How many requests a call sends to the server."""
    with mock.patch.object(requests.Session, "send", autospec=True, side_effect=requests.Session.send) as sent:
        call()
    return sent.call_count


def seconds_of(call: Call) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def import_seconds() -> float:
    """Processor time of a process that only loads MLflow, which every command does: the least of three."""
    taken = []
    for _ in range(3):
        before = children_seconds()
        subprocess.run([sys.executable, "-c", "import mlflow"], check=True)
        taken.append(children_seconds() - before)
    return min(taken)


def children_seconds() -> float:
    """Processor time of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(addresses: Mapping[str, str], workspace: Path, rounds: int) -> dict[str, Any]:
    """Seconds and requests of each question at each size."""
    found: dict[str, Any] = {}
    for question, (words, call) in questions(workspace).items():
        ways: dict[str, Call] = {"process": lambda words=words: process(words, workspace), "call": call}  # type: ignore[misc]
        sent: dict[str, int] = {}
        seconds: dict[tuple[str, str], list[float]] = {(way, size): [] for way in ways for size in addresses}
        processor: dict[str, list[float]] = {size: [] for size in addresses}
        for turn in range(rounds):
            for size in in_turn(list(addresses), turn):
                os.environ["MLFLOW_TRACKING_URI"] = addresses[size]
                sent[size] = requests_of(call)
                before = children_seconds()
                for way, ask in ways.items():
                    seconds[way, size].append(seconds_of(ask))
                processor[size].append(children_seconds() - before)
        small, large = addresses
        own: dict[str, Any] = {}
        for way in ways:
            own |= {f"{way}_seconds_at_{size}": round(statistics.median(seconds[way, size]), 3) for size in addresses}
            pairs = zip(seconds[way, large], seconds[way, small], strict=True)
            own[f"{way}_ratio"] = round(statistics.median(a / b for a, b in pairs), 2)
        found[question] = own | {
            f"process_cpu_seconds_at_{size}": round(min(own_of), 2) for size, own_of in processor.items()
        }
        found[question] |= {f"requests_at_{size}": count for size, count in sent.items()}
        say(question=question, **found[question])
    return found


def main() -> None:
    """Write both registries and ask them, on SQLite and on PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgresql"), default=("sqlite", "postgresql"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.folder.exists():
        parser.error("the folder must not exist yet")
    if "postgresql" in options.databases and (missing := what_is_missing()):
        parser.error(missing)
    result: dict[str, Any] = {
        "claim": "what a question to a registry of 1,000 versions costs, and that it does not grow with the registry",
        "expected": EXPECTED,
        "sources": [size // VERSIONS_A_SOURCE for size in SIZES],
        "rounds": options.rounds,
        "cores": os.cpu_count(),
        "import_mlflow_cpu_seconds": round(import_seconds(), 2),
        **machine("mlflow", "sqlalchemy"),
    }
    for kind in options.databases:
        with ExitStack() as stack:
            addresses = {}
            for size in SIZES:
                folder = options.folder.resolve() / f"{kind}-{size}"
                database = nullcontext(local_uri(folder)) if kind == "sqlite" else postgresql_server()
                addresses[str(size)] = stack.enter_context(registry(folder, size, database))
            result[kind] = measured(addresses, options.folder.resolve() / "workspace", options.rounds)
    store("registry_scale", result)


if __name__ == "__main__":
    main()
