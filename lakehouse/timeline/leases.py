"""The lease that a run of a job holds in the ledger, renewed while its process lives.

Locks of the lake's folder tell on one machine who is at work, and forget the dead at once; a lease tells it to all the
machines that share a ledger, and forgets the dead within a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import platform
import signal
import threading
from collections.abc import Iterator
from typing import Final

from lakehouse.errors import CommitError, LakehouseError, MetadataError
from lakehouse.metadata import Change, Lease, Ledger
from lakehouse.records import Progress
from lakehouse.site import Site

__all__ = ["Beat", "held", "progress_of"]

_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())  # who sets up logging reads it

SECONDS: Final = 60.0
"""How long a lease counts that is not renewed."""

_EVERY: Final = 5.0  # seconds between two renewals


class Beat:
    """What is to be told of a run while it goes on; each beat tells it."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self._ledger: Ledger = site.ledger
        self._lease = lease
        self._over = threading.Event()
        self._told: str | None = None
        self.run = 0
        self.progress: Progress | None = None

    def go_on(self) -> None:
        """Renew, until it is over; stop this process where somebody asks for it or has taken the lease."""
        while not self._over.wait(_EVERY):
            try:
                lost = not self._ledger.renew(self._lease, SECONDS)
                self._tell()
                stop = lost or self._asked_to_stop()
            except MetadataError as error:  # the next beat may pass; the lease lasts for many
                _LOG.warning("the lease of %s was not renewed: %s", self._lease.name, error)
                continue
            if stop and not self._over.is_set() and callable(signal.getsignal(signal.SIGTERM)):
                os.kill(os.getpid(), signal.SIGTERM)

    def end(self) -> None:
        """No more beats; what was told is taken back."""
        self._over.set()
        with contextlib.suppress(LakehouseError):
            if self._told is not None:
                self._ledger.remember([Change(*_place(self.run), self._told, None)])
            self._ledger.release(self._lease)

    def _tell(self) -> None:
        if self.progress is None or not self.run:
            return
        said = json.dumps(dataclasses.asdict(self.progress))
        if said != self._told and self._ledger.remember([Change(*_place(self.run), self._told, said)]) is not None:
            self._told = said

    def _asked_to_stop(self) -> bool:
        found = self._ledger.get_executions(ids=[self.run], only=["stop"])
        return any("stop" in run.properties for run in found)


@contextlib.contextmanager
def held(site: Site, name: str, token: str) -> Iterator[Beat]:
    """Hold a lease; only call while holding this machine's lock of that name.

    Raises:
        CommitError: another machine holds it; says who.
    """
    lease = Lease(name, token, platform.node(), os.getpid(), 0.0)
    other = site.ledger.lease(lease, SECONDS, alone=True)
    if other is not None:
        what = name.replace("/", " '", 1) + "'"
        raise CommitError(
            f"{what} is busy: process {other.pid} on {other.host} is at it. Nothing was changed; try again later"
        )
    beat = Beat(site, lease)
    thread = threading.Thread(target=beat.go_on, name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield beat
    finally:
        beat.end()
        thread.join()


def progress_of(ledger: Ledger, runs: list[int]) -> dict[int, Progress]:
    """What these runs are at, as far as they told."""
    told = ledger.remembered([_place(run)[0] for run in runs]) if runs else {}
    return {run: Progress(**json.loads(text)) for run in runs if (text := told.get(_place(run)[0], {}).get("progress"))}


def _place(run: int) -> tuple[str, str]:
    return f"run/{run}", "progress"
