"""The chain of lineage."""

from __future__ import annotations

import hashlib
from pathlib import Path

from acclimate.report.lineage import lineage, record_digest
from acclimate.report.view import ReportView


def test_the_chain_runs_from_source_to_version_rejected_arms_included(view: ReportView) -> None:
    assert [link.title for link in lineage(view)] == [
        "Source model", "Target data", "Reference data", "Gap", "Baseline", "Decision",
        "Arm frozen", "Arm lora", "Arm full", "Arm scratch", "Evaluation", "Verdict", "Version",
    ]  # fmt: skip


def test_every_link_is_pinned_by_a_full_digest(view: ReportView) -> None:
    for link in lineage(view)[:-1]:
        assert link.digests, link.title
        assert all(len(digest) == 64 for digest in link.digests.values()), link.title


def test_a_records_digest_is_that_of_its_file(view: ReportView, tmp_path: Path) -> None:
    path = view.decision.write(tmp_path)
    assert record_digest(view.decision) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_ends_where_the_run_ended(stopped: dict[str, ReportView]) -> None:
    assert [link.title for link in lineage(stopped["baseline"])][-1] == "Gap"
    assert [link.title for link in lineage(stopped["plan"])][-1] == "Decision"
