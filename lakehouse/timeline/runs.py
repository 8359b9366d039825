"""Runs of jobs as the ledger keeps them: what one makes becomes visible to reads of a moment at its end, all at once.

A version that was made inside a run says so (``run``, the ledger's number of the run's own execution). The end is
stamped in two steps, so that no moment is answered without the run now and with it later: first the record says that
the run is ending, then, by a clock that was read after that, when it ended. A run whose process was killed is ended by
whoever finds it so, now.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from lakehouse.errors import CommitError, LakehouseError, Stopped
from lakehouse.faults import point
from lakehouse.metadata import Ledger
from lakehouse.metadata.reading import milliseconds
from lakehouse.receipts import Receipt
from lakehouse.records import Context, Execution, ExecutionState, Value
from lakehouse.site import INTERRUPTED, Site
from lakehouse.timeline import leases
from lakehouse.timeline.leases import Beat
from lakehouse.timeline.queue import RUN, again

__all__ = [
    "RUN",
    "alive",
    "ask_to_stop",
    "close_killed",
    "end",
    "ended",
    "open_now",
    "restore",
    "settled",
    "signal_here",
    "started",
    "under_way",
]

_LOOKS, _PAUSE = 40, 0.025  # how often, and how long between (seconds), to look for a run to end that is ending


@contextlib.contextmanager
def started(
    site: Site, contexts: tuple[Context, ...], said: Mapping[str, Value], waiting: Execution | None = None
) -> Iterator[Beat]:
    """Record a run from its start. Whoever takes it ends it with `end`; one that raises has failed.

    What it gives knows the run's number, and tells others of the run's progress.

    Args:
        site: the opened lake.
        contexts: what the run belongs to.
        said: what more is to be recorded of it.
        waiting: the run, where it has waited in the queue.

    Raises:
        CommitError: another machine runs the job, or the run does not wait any more: it was taken, or canceled.
    """
    token = uuid.uuid4().hex
    job = next(context.name for context in contexts if context.type == "Job")
    # Held until the run ends, however it ends: whoever can take it finds that its process died.
    with site.storage.lock("run", token, wait=0, keep=False), leases.held(site, f"job/{job}", token) as beat:
        properties: dict[str, Value] = {
            "token": token,
            "pid": os.getpid(),
            "host": platform.node(),
            "began_at": site.clock().isoformat(timespec="microseconds"),
            "stoppable": callable(signal.getsignal(signal.SIGTERM)),
            **said,
        }
        if waiting is None:
            run = site.begin(RUN, None, {**properties, **{c.type.lower(): c.name for c in contexts}})
        else:
            run = _taken(site, waiting, properties)
        beat.run = run
        point("run.begun")
        try:
            yield beat
        except BaseException as error:
            with contextlib.suppress(LakehouseError):  # then the next reader ends it
                _broken_off(site, run, error)
            raise


def _taken(site: Site, waiting: Execution, properties: Mapping[str, Value]) -> int:
    site.abreast()
    begun = Execution(RUN, id=waiting.id, state=ExecutionState.RUNNING, properties={**site.captured, **properties})
    if not site.ledger.move(begun, [ExecutionState.NEW]):
        raise CommitError(
            f"run {waiting.properties['run']} does not wait any more: another process has taken it, or it was canceled"
        )
    site.told(waiting.id)
    return waiting.id


def end(site: Site, run: int, state: ExecutionState, error: str = "") -> None:
    """Record that a run ended, now: what it made is visible from this moment on.

    Raises:
        MetadataError: the ledger's database failed.
    """
    site.put(run, RUN, None, properties={"ending": True})
    point("run.ending")
    site.put(run, RUN, None, state=state, properties=_ended_now(site, error))


def _broken_off(site: Site, run: int, error: BaseException) -> None:
    """End a run that did not come to its end: stopped by somebody, or by an error of its own."""
    record = site.ledger.get_executions(ids=[run])[0]
    if isinstance(error, Stopped) or "stop" in record.properties:
        _close(site, record)
    else:
        end(site, run, ExecutionState.FAILED, site.redacted(error))


def ask_to_stop(site: Site, run: Execution, reason: str, *, cancel: bool) -> bool:
    """Let a run that waits be canceled, and one under way be stopped by whoever runs it.

    Args:
        site: the opened lake.
        run: its execution.
        reason: is recorded as its error.
        cancel: it counts as canceled then, else as failed.

    Returns:
        Whether it waited or was under way.
    """
    if cancel:
        gone = Execution(RUN, id=run.id, state=ExecutionState.CANCELED, properties=_ended_now(site, reason))
        if site.ledger.move(gone, [ExecutionState.NEW]):
            site.told(run.id)
            site.keep([run.id])
            return True
    asked: dict[str, Value] = {"stop": reason, "canceled": cancel}
    return site.ledger.move(
        Execution(RUN, id=run.id, state=ExecutionState.RUNNING, properties=asked), [ExecutionState.RUNNING]
    )


def signal_here(run: Execution) -> None:
    """Stop a run's process at once where it is one of this machine; others hear of it by their ledger."""
    said = run.properties
    if said.get("host") == platform.node() and said.get("stoppable"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(str(said["pid"])), signal.SIGTERM)


def _ended_now(site: Site, error: str) -> dict[str, Value]:
    ended = site.clock().isoformat(timespec="microseconds")
    return {"ended_at": ended, **({"error": error} if error else {})}


def alive(site: Site, run: Execution) -> bool:
    """Whether the process of a run that is under way lives, as far as can be told from here.

    Raises:
        StorageError: the disk refused.
    """
    token = str(run.properties["token"])
    if any(lease.token == token and lease.host != platform.node() for lease in site.ledger.leases()):
        return True  # on another machine, and it was heard of a moment ago
    try:
        with site.storage.lock("run", token, wait=0, keep=False):
            return False
    except CommitError:
        return True


def close_killed(site: Site, *, alone: bool = False) -> list[str]:
    """End the runs whose process was killed. Those that had waited in the queue wait there again, not for ever.

    Args:
        site: the opened lake.
        alone: whoever calls holds every lock there is, so all of them were.

    Returns:
        One sentence a run, for people.
    """
    told = []
    for run in _open(site.ledger):
        # Whoever may not write here leaves it to others: until it is ended, it is under way to everybody. So does
        # whoever reads a ledger that is older than the lake: how it ended stands in its receipt.
        with contextlib.suppress(LakehouseError):
            if not alone and alive(site, run):
                continue
            # It may have ended since it was looked up.
            now = site.ledger.get_executions(ids=[run.id])[0]
            if now.state is ExecutionState.RUNNING:
                site.unended(run.id)
                if not alone:  # else a repair just made sure
                    site.abreast()
                if _close(site, now):
                    told.append(f"run {run.properties['run']} was interrupted; what it made is visible")
    return told


def _close(site: Site, run: Execution) -> bool:
    """End a run that nobody is at any more, as it was asked to, or as interrupted; False where somebody else did."""
    said = run.properties
    ending = Execution(RUN, id=run.id, state=ExecutionState.RUNNING, properties={"ending": True})
    if not site.ledger.move(ending, [ExecutionState.RUNNING]):
        return False
    point("run.ending")
    canceled = bool(said.get("canceled"))
    state = ExecutionState.CANCELED if canceled else ExecutionState.FAILED
    properties = _ended_now(site, str(said.get("stop") or INTERRUPTED))
    follow = () if "stop" in said else again(run, site.clock())
    closed = Execution(RUN, id=run.id, state=state, properties=properties)
    if not site.ledger.move(closed, [ExecutionState.RUNNING], follow):
        return False
    point("site.ended")
    site.told(run.id)
    site.keep([run.id])
    return True


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
