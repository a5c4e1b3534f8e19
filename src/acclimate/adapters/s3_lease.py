"""Leases on S3: one holder at a time, found dead by a counter that stands still. No clocks are compared.

A lease is a record that is only ever replaced by If-Match. Its holder counts a heartbeat up; whoever waits watches the
counter, and takes the lease over once it stood still for long enough by the waiter's own monotonic seconds. Each new
holder raises the *fencing token*; a holder whose record was replaced, or who could not renew it for as long as waiters
wait, knows that it holds the lease no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from acclimate.adapters.s3_records import Found, Records, log
from acclimate.errors import AcclimateError, UnavailableError


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds.

    Args:
        beat: between two heartbeats.
        poll: between two looks at another's lease.
        takeover: a counter must stand still for, until a lock is taken over.
        claim: the same for claims: nobody beats while a run waits for its next step to be scheduled.
    """

    beat: float = 5.0
    poll: float = 0.5
    takeover: float = 30.0
    claim: float = 900.0


class Lease:
    """One owner's view of a lease.

    Args:
        records: where it lies.
        name: of the record.
        owner: unique among all that may want it.
        times: how often to beat, how long to wait.
        patience: seconds a counter stands still until its owner counts as dead.
    """

    def __init__(self, records: Records, name: str, owner: str, times: LeaseTimes, patience: float) -> None:
        self.records = records
        self.name = name
        self.owner = owner
        self.times = times
        self.patience = patience
        self.token = 0
        self._etag: str | None = None
        self._beat = 0
        self._renewed = 0.0

    def take(self, *, wait: bool) -> str:
        """Take the lease, or find out who has it.

        Args:
            wait: until its owner gives it back or dies; else only until it is known to be alive.

        Returns:
            The owner then.
        """
        watched, since = None, 0.0
        while True:
            found = self.records.read(self.name)
            holder = _holder(found)
            now = time.monotonic()
            if found is None or holder in {None, self.owner}:
                if self._replace(found):
                    return self.owner
                continue
            if found.etag != watched:
                if watched is not None and not wait:
                    return str(holder)
                watched, since = found.etag, now
            elif now - since >= self.patience:
                log.warning("%s is taken over from %s, which shows no sign of life", self.name, holder)
                if self._replace(found):
                    return self.owner
                continue
            time.sleep(self.times.poll)

    def look(self) -> str:
        """Take or keep the lease where no other has it; returns who has it, without waiting for a sign of life."""
        while True:
            found = self.records.read(self.name)
            holder = _holder(found)
            if holder not in {None, self.owner}:
                return str(holder)
            if self._replace(found):
                return self.owner

    def _replace(self, found: Found | None) -> bool:
        before = (found.record if found else None) or {}
        self.token, self._beat = int(before.get("token", 0)) + 1, 0
        return self._write(found.etag if found else None, held=True)

    def _write(self, etag: str | None, *, held: bool) -> bool:
        sent = time.monotonic()
        record = {"owner": self.owner, "token": self.token, "beat": self._beat, "held": held}
        done = self.records.write(self.name, record, if_absent=etag is None, if_match=etag)
        if done is not None:
            self._etag, self._renewed = done, sent
        return done is not None

    def renew(self) -> bool:
        """Count the heartbeat up; False when the lease is another's by now."""
        self._beat += 1
        return (self._etag is not None and self._write(self._etag, held=True)) or (self._own() and self.renew())

    def _own(self) -> bool:
        """Take up a lease that this owner holds already: the steps of one run share its claim, and each renews it."""
        found = self.records.read(self.name)
        if found is None or found.record is None or _holder(found) != self.owner:
            return False
        self._etag, self.token, self._beat = found.etag, int(found.record["token"]), int(found.record["beat"])
        return True

    def give_back(self) -> None:
        """End it; where it is another's nothing happens. One that can't be reached ends by itself."""
        try:
            if self._own() and self._etag is not None:
                self._write(self._etag, held=False)
        except UnavailableError as error:
            log.warning("%s could not be given back: %s %s", self.name, error.code, error)

    def is_held(self) -> bool:
        """Whether the lease is still ours, asked of the server."""
        found = self.records.read(self.name)
        record = (found.record if found else None) or {}
        return _holder(found) == self.owner and record.get("token") == self.token

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Renew in the background; when the lease is lost, stop and say so. The work itself is fenced elsewhere."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(self.times.beat):
                if not self._keep():
                    log.warning("E-STORE-013 %s was lost: another has taken it over", self.name)
                    return

        thread = threading.Thread(target=work, name=f"lease {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _keep(self) -> bool:
        try:
            return self.renew()
        except UnavailableError as error:
            late = time.monotonic() - self._renewed
            if late < self.patience:
                return True
            log.warning("%s could not be renewed for %.0f s: %s", self.name, late, error)
        except AcclimateError as error:
            log.warning("%s can't be renewed: %s %s", self.name, error.code, error)
        return False


def _holder(found: Found | None) -> str | None:
    """Who holds a lease; None where it is free. A damaged one counts as held by a stranger, who can't beat."""
    if found is None:
        return None
    if found.record is None:
        return "an unreadable holder"
    return str(found.record["owner"]) if found.record["held"] else None
