"""Runs of jobs as the ledger keeps them: what one makes becomes visible to reads of a moment at its end, all at once.

A version that was made inside a run says so (``run``, the ledger's number of the run's own execution). The end is
stamped in two steps, so that no moment is answered without the run now and with it later: first the record says that
the run is ending, then, by a clock that was read after that, when it ended. A run whose process was killed is ended by
whoever finds it so, now.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Collection, Iterator
from datetime import datetime

from lakehouse.errors import LakehouseError
from lakehouse.faults import point
from lakehouse.metadata import Ledger
from lakehouse.metadata.reading import milliseconds
from lakehouse.receipts import Receipt
from lakehouse.records import Context, Execution, ExecutionState
from lakehouse.site import INTERRUPTED, Site

__all__ = ["RUN", "close_killed", "end", "ended", "open_now", "restore", "settled", "started", "under_way"]

RUN = "Run"
"""The type of a run's execution."""

_LOOKS, _PAUSE = 40, 0.025  # how often, and how long between (seconds), to look for a run to end that is ending


@contextlib.contextmanager
def started(site: Site, contexts: tuple[Context, ...]) -> Iterator[int]:
    """Record a run from its start; its number. Whoever takes it ends it with `end`; one that raises has failed."""
    token = uuid.uuid4().hex
    # Held until the run ends, however it ends: whoever can take it finds that its process died.
    with site.storage.lock("run", token, wait=0, keep=False):
        run = site.begin(RUN, None, {"token": token, **{c.type.lower(): c.name for c in contexts}})
        point("run.begun")
        try:
            yield run
        except BaseException as error:
            with contextlib.suppress(LakehouseError):  # then the next reader ends it
                end(site, run, ExecutionState.FAILED, site.redacted(error))
            raise


def end(site: Site, run: int, state: ExecutionState, error: str = "") -> None:
    """Record that a run ended, now: what it made is visible from this moment on.

    Raises:
        MetadataError: the ledger's database failed.
    """
    site.put(run, RUN, None, properties={"ending": True})
    point("run.ending")
    ended = site.clock().isoformat(timespec="microseconds")
    site.put(run, RUN, None, state=state, properties={"ended_at": ended, **({"error": error} if error else {})})


def close_killed(site: Site, *, alone: bool = False) -> list[str]:
    """End the runs whose process was killed.

    Args:
        site: the opened lake.
        alone: whoever calls holds every lock there is, so all of them were.

    Returns:
        One sentence a run, for people.
    """
    told = []
    for run in _open(site.ledger):
        token = str(run.properties["token"])
        lock = contextlib.nullcontext() if alone else site.storage.lock("run", token, wait=0, keep=False)
        # Whoever may not write here leaves it to others: until it is ended, it is under way to everybody. So does
        # whoever reads a ledger that is older than the lake: how it ended stands in its receipt.
        with contextlib.suppress(LakehouseError), lock:
            # It may have ended since it was looked up.
            if site.ledger.get_executions(ids=[run.id], only=())[0].state is ExecutionState.RUNNING:
                site.unended(run.id)
                if not alone:  # else a repair just made sure
                    site.abreast()
                end(site, run.id, ExecutionState.FAILED, INTERRUPTED)
                told.append(f"run {run.properties['run']} was interrupted; what it made is visible")
    return told


def settled(site: Site) -> None:
    """Wait while a run is ending, and end those that were killed: then moments until now have their last answer."""
    for _ in range(_LOOKS):
        close_killed(site)
        if not any(run.properties.get("ending") for run in _open(site.ledger)):
            return
        time.sleep(_PAUSE)


def under_way(ledger: Ledger, moment: datetime) -> set[int]:
    """The runs that had begun and not ended at a moment."""
    at = milliseconds(moment)
    over = ledger.get_executions(
        type=RUN, only=(), filter_query=f"create_time_since_epoch <= {at} AND last_update_time_since_epoch >= {at}"
    )
    later = {run for run, when in ended(ledger, [run.id for run in over]).items() if when > moment}
    return later | {run.id for run in _open(ledger)}


def ended(ledger: Ledger, runs: Collection[int]) -> dict[int, datetime]:
    """When these runs ended; those under way are left out."""
    found = {run.id: run.properties.get("ended_at") for run in ledger.get_executions(ids=runs, only=["ended_at"])}
    return {run: datetime.fromisoformat(str(text)) for run, text in found.items() if text is not None}


def restore(site: Site) -> list[int]:
    """End the runs that versions name and a ledger that was made again does not know, as they had not ended.

    Returns:
        Their numbers.
    """
    made = site.ledger.get_artifacts(type="TableVersion", only=["run"])
    named = {int(str(version.properties["run"])) for version in made if "run" in version.properties}
    known = {run.id for run in site.ledger.get_executions(ids=named, only=())}
    now = site.clock()
    lost = sorted(named - known)
    site.ledger.restore(
        Receipt(
            Execution(
                RUN,
                state=ExecutionState.FAILED,
                properties={"error": INTERRUPTED, "ended_at": now.isoformat(timespec="microseconds")},
                id=number,
                created_at=now,
                updated_at=now,
            )
        )
        for number in lost
    )
    return lost


def open_now(ledger: Ledger) -> set[int]:
    """The runs that are under way, or were when their process was killed."""
    return {run.id for run in _open(ledger)}


def _open(ledger: Ledger) -> list[Execution]:
    return ledger.get_executions(type=RUN, state=ExecutionState.RUNNING)
