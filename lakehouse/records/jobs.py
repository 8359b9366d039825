"""Runs of jobs as the queue and the ledger have them, and how the jobs are."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from lakehouse.records.work import Interval, Progress

__all__ = ["JobStatus", "RunRecord", "RunState", "Status"]


class RunState(enum.StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a job, or one that did not come to be.

    Attributes:
        number: the run's execution in the ledger.
        run: its name: job, moment and a few letters.
        trigger: why: ``schedule``, ``after``, ``when``, ``watch``, ``backfill``, ``again`` (its process was killed) or
            ``hand``.
        due: when it was due by the clock; None where that is not why.
        interval: the stretch of time that its sources are asked for.
        began_at: when it began; None while it waits, and where it never did.
        tries: how often its process was killed before, and 1.
        error: what went wrong, or why it was skipped or canceled.
        host: the machine that it runs or ran on.
        pid: and the process; 0 before it began.
        progress: what it is at, while it runs.
    """

    number: int
    run: str
    job: str
    state: RunState
    trigger: str
    queued_at: datetime
    due: datetime | None = None
    interval: Interval | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    tries: int = 1
    error: str = ""
    host: str = ""
    pid: int = 0
    progress: Progress | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it did not begin or end."""
        if self.began_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job is.

    Attributes:
        when: when it runs, in words.
        served: whether it runs by itself: it has times or triggers, and is enabled.
        paused_at: since when it is paused; None where it is not.
        next: when it starts next by the clock.
        running: the run under way.
        waiting: how many of its runs wait.
        last: the newest run that ended.
    """

    job: str
    when: str
    served: bool
    paused_at: datetime | None
    next: datetime | None
    running: RunRecord | None
    waiting: int
    last: RunRecord | None


@dataclass(frozen=True, slots=True)
class Status:
    """How a lake is."""

    jobs: tuple[JobStatus, ...]
