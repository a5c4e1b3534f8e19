"""A Ray to work with: the one that is there, or one of this machine for as long as a training takes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from secrets import token_hex
from typing import Any

import torch

from acclimate.errors import InterruptedRun, UnavailableError


@contextmanager
def connected(cpus: int, gpus: int = 0) -> Iterator[None]:
    """Connect to the Ray that ``RAY_ADDRESS`` names, or start one; stopped again if it was started here.

    Args:
        cpus: processors the training asks for; a Ray of our own offers as many, whatever this machine has.
        gpus: the same for GPUs.

    Raises:
        UnavailableError: E-TRAIN-031.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not os.environ.get("RAY_ADDRESS"):
        _protect()
        options |= {"address": "local", "num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
        # of GPUs that are not there a worker finds out, and says so
        options |= {"num_gpus": max(gpus, torch.cuda.device_count())} if gpus else {}
    elif os.environ.get("RAY_AUTH_TOKEN"):
        # Ray passes over a token unless it is told to use one
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        with _handler_of_sigterm_kept():
            ray.init(**options)
    except (OSError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        raise UnavailableError(
            "E-TRAIN-031",
            f"Ray can't be reached or started: {first_line(error)}",
            where=os.environ.get("RAY_ADDRESS", "this machine"),
            hint="check RAY_ADDRESS, and RAY_AUTH_TOKEN where the cluster asks for a token; with compute.workers: 1 no "
            "Ray is needed",
        ) from error
    try:
        yield
    except SystemError as error:
        # what our handler raises passes through Ray's compiled code
        if isinstance(error.__cause__, InterruptedRun):
            raise error.__cause__ from None
        raise
    finally:
        ray.shutdown()


@contextmanager
def _handler_of_sigterm_kept() -> Iterator[None]:
    """Ray takes the signal for itself, and then a process that is told to stop aborts without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def quiet_output() -> Iterator[None]:
    """Send what goes to standard output to standard error, also what libraries and children write to descriptor 1.

    Ray tells of a dead worker there, in the middle of what a caller of ours wants to parse.
    """
    with redirect_stdout(sys.stderr), _descriptor_redirected():
        yield


@contextmanager
def _descriptor_redirected() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:
        # no standard output at all
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def first_line(error: BaseException) -> str:
    """The last line of an error's text, which with Ray is the one that says what happened."""
    lines = str(error).strip().splitlines()
    return (lines[-1] if lines else type(error).__name__)[:300]


def _protect() -> None:
    """Ask for a token, so that nobody else who reaches the ports of our Ray can send it work."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray reads these when it is first imported: later only its children would ask for a token we don't send
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
