"""Signals to stop that wait until a training has a checkpoint of where it is."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Self

# a run kills a step that has not ended eight seconds after it was told to: the rest is for tidying up
GRACE_SECONDS = 5.0


class HeldSignals:
    """While it is entered, SIGTERM and SIGINT wait for :meth:`let_go`, or for :data:`GRACE_SECONDS` to pass.

    Their handlers then run as if the signal came at that moment, and whoever set them finds them set again. A signal
    that is ignored stays so. Outside the main thread nothing is held: Python handles no signals there.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._waiting: int | None = None
        self._timer: threading.Timer | None = None
        self._is_overdue = False

    def __enter__(self) -> Self:
        """Begin to hold."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                # None: set from C, and could not be set again
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._hold)
        return self

    def __exit__(self, *_: object) -> None:
        """End; a signal that waits is handled, also where an error ended the block."""
        self.let_go()

    @property
    def is_waiting(self) -> bool:
        """Whether a signal came and waits."""
        return self._waiting is not None

    def let_go(self) -> None:
        """Hold no longer; the handler of a signal that waits runs now and may raise."""
        if self._timer is not None:
            self._timer.cancel()
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            signal.raise_signal(waiting)

    def _hold(self, number: int, _frame: object) -> None:
        if self._is_overdue:
            self.let_go()
        elif self._waiting is None:
            self._waiting = number
            self._timer = threading.Timer(GRACE_SECONDS, self._remind, (number,))
            self._timer.daemon = True
            self._timer.start()

    def _remind(self, number: int) -> None:
        # only the main thread handles signals, and only a signal breaks off what it does
        self._is_overdue = True
        os.kill(os.getpid(), number)
