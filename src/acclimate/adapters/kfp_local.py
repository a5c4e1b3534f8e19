"""Runs a compiled pipeline with KFP's local runner, its own output kept in a log file."""

from __future__ import annotations

import contextlib
from pathlib import Path

from acclimate.kfp_ir import local_ir


class PipelineFailed(Exception):
    """A step failed; KFP's local runner does not say why, the run's ``error.json`` does."""


def run_compiled(pipeline: Path, arguments: dict[str, str], *, scratch: Path, log: Path) -> None:
    """Run a compiled pipeline in subprocesses of this one.

    Args:
        pipeline: the IR, a YAML file.
        arguments: the pipeline's parameters; they appear in the log, so they hold no secret.
        scratch: folder for KFP's own files.
        log: file that takes everything KFP and the steps print.

    Raises:
        PipelineFailed: a step failed.
    """
    with (
        log.open("a", encoding="utf-8", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        from kfp import components, local

        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(scratch / "outputs"),
            # KFP deletes this folder after the run, so it must be one of its own.
            workspace_root=str(scratch / "workspace"),
            enable_caching=False,
        )
        try:
            components.load_component_from_text(local_ir(pipeline.read_text(encoding="utf-8")))(**arguments)
        except RuntimeError as error:
            raise PipelineFailed(str(error)) from error
