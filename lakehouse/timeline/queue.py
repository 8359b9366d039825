"""Runs that wait, and all runs as records: what the properties of their executions mean."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from lakehouse.metadata import Ledger, Queued
from lakehouse.records import Context, Execution, ExecutionState, Interval, RunRecord, RunState, Value

__all__ = [
    "RUN",
    "again",
    "contexts_of",
    "identity",
    "interval_of",
    "queued",
    "record",
    "records",
    "skipped",
]

RUN: Final = "Run"
"""The type of a run's execution."""

MOST_TRIES: Final = 3
"""How often a run is begun whose process was killed, before it counts as failed."""

_STATES: Final = {
    ExecutionState.NEW: RunState.QUEUED,
    ExecutionState.RUNNING: RunState.RUNNING,
    ExecutionState.COMPLETE: RunState.DONE,
    ExecutionState.CANCELED: RunState.CANCELED,
}
_KEPT: Final = ("job", "trigger", "due", "interval_start", "interval_end", "priority", "retry")


def identity(job: str, now: datetime) -> str:
    """A new run's name."""
    return f"{job}/{now.strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:6]}"


def contexts_of(run: str, job: str) -> tuple[Context, Context]:
    """What a run's executions belong to."""
    return Context("Run", run), Context("Job", job)


def queued(  # noqa: PLR0913  # a run's facts, by name
    job: str,
    now: datetime,
    *,
    trigger: str,
    due: datetime | None = None,
    interval: Interval | None = None,
    priority: int = 0,
) -> Queued:
    """A run that is to wait."""
    run = identity(job, now)
    said = {**_said(trigger, due, interval), "job": job, "run": run, "priority": priority, "retry": True}
    return Queued(Execution(RUN, state=ExecutionState.NEW, properties=said), contexts_of(run, job))


def skipped(job: str, now: datetime, due: datetime, interval: Interval | None, reason: str) -> Queued:
    """The record of times that nobody will run."""
    run = identity(job, now)
    ended = now.isoformat(timespec="microseconds")
    said = {**_said("schedule", due, interval), "job": job, "run": run, "skipped": reason, "ended_at": ended}
    return Queued(Execution(RUN, state=ExecutionState.CANCELED, properties=said), contexts_of(run, job))


def again(run: Execution, now: datetime) -> tuple[Queued, ...]:
    """The run that takes the place of one whose process was killed; none where that happened too often."""
    said = run.properties
    tries = int(str(said.get("tries", 1)))
    if not said.get("retry") or tries >= MOST_TRIES:
        return ()
    job = str(said["job"])
    name = identity(job, now)
    properties: dict[str, Value] = {key: said[key] for key in _KEPT if key in said}
    properties |= {"run": name, "tries": tries + 1}
    return (Queued(Execution(RUN, state=ExecutionState.NEW, properties=properties), contexts_of(name, job)),)


def interval_of(run: Execution) -> Interval | None:
    """The stretch of time that its sources are asked for."""
    start, end = run.properties.get("interval_start"), run.properties.get("interval_end")
    if start is None or end is None:
        return None
    return Interval(datetime.fromisoformat(str(start)), datetime.fromisoformat(str(end)))


def record(run: Execution) -> RunRecord:
    """What an execution says of its run."""
    said = run.properties
    assert run.created_at is not None, "it was read from the ledger"  # noqa: S101  # what calls it says so
    state = _STATES.get(run.state, RunState.FAILED)
    return RunRecord(
        number=run.id,
        run=str(said.get("run", "")),
        job=str(said.get("job", "")),
        state=RunState.SKIPPED if said.get("skipped") else state,
        trigger=str(said.get("trigger", "hand")),
        queued_at=run.created_at,
        due=_moment(said.get("due")),
        interval=interval_of(run),
        began_at=_moment(said.get("began_at")) or (None if "trigger" in said else run.created_at),
        ended_at=_moment(said.get("ended_at")),
        tries=int(str(said.get("tries", 1))),
        error=str(said.get("skipped") or said.get("error") or ""),
        host=str(said.get("host", "")),
        pid=int(str(said.get("pid", 0))),
    )


def records(ledger: Ledger, job: str | None = None, *, limit: int | None = None) -> list[RunRecord]:
    """The newest runs of a job, or of all, the newest first."""
    context = None if job is None else ("Job", job)
    return [record(run) for run in ledger.get_executions(type=RUN, context=context, newest_first=True, limit=limit)]


def _said(trigger: str, due: datetime | None, interval: Interval | None) -> dict[str, Value]:
    said: dict[str, Value] = {"trigger": trigger}
    if due is not None:
        said["due"] = due.isoformat()
    if interval is not None:
        said |= {"interval_start": interval.start.isoformat(), "interval_end": interval.end.isoformat()}
    return said


def _moment(value: Value | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))
