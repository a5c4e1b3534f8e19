"""How long to wait: for one answer, for a body that trickles, and for all attempts together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from acclimate.adapters.s3.address import S3Uri
from acclimate.adapters.s3.faults import cut_short, stalled, translated
from acclimate.errors import UnavailableError

T = TypeVar("T")

LEAST_BYTES_PER_SECOND = 1024
_CHUNK_BYTES = 1 << 18


def attempts(call: Callable[[], T], budget_seconds: float) -> T:
    """Call until it succeeds, as long as what fails passes and the budget lasts.

    Raises:
        AcclimateError: the last failure.
    """
    import stamina

    longest = min(5.0, budget_seconds / 4)
    retrying = stamina.retry_context(
        on=UnavailableError,
        attempts=None,
        timeout=budget_seconds,
        wait_initial=min(0.2, longest),
        wait_max=longest,
        wait_jitter=min(1.0, longest / 2),
    )
    for attempt in retrying:
        with attempt:
            return call()
    raise AssertionError  # stamina raises the last failure itself


def answer(call: Callable[[], Any], uri: S3Uri, seconds: float) -> Any:
    """What ``call`` returns, if it does within ``seconds``.

    A socket's time-out begins anew with every byte, so a server that sends one a second holds its client for hours.
    Only another thread can leave it; the one that was left ends with its connection.
    """
    done: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with translated(uri):
                done.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whole
            failed.append(error)

    thread = threading.Thread(target=work, name=f"s3 {uri}", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise stalled(uri, seconds)
    return done[0]


def chunks(body: Any, size: int, uri: S3Uri, stall_seconds: float) -> Iterator[bytes]:
    """The pieces of a body as they arrive.

    Args:
        body: botocore's streaming body.
        size: bytes it must have.
        uri: for errors.
        stall_seconds: in each span of so many seconds at least a kilobyte a second must come.

    Raises:
        UnavailableError: E-S3-004, -009 or -010.
    """
    found, since, in_span = 0, time.monotonic(), 0
    with body as raw, translated(uri):
        while chunk := raw.read1(_CHUNK_BYTES, decode_content=False):
            found, in_span = found + len(chunk), in_span + len(chunk)
            yield chunk
            now = time.monotonic()
            if now - since > stall_seconds:
                if in_span < LEAST_BYTES_PER_SECOND * stall_seconds and found < size:
                    raise stalled(uri, stall_seconds)
                since, in_span = now, 0
    if found != size:
        raise cut_short(uri, found, size)
