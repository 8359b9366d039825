"""What is due, what waits, what may start: the ledger's queue of runs, and what is remembered of each job.

Any number of processes may ask at the same time. What follows from a moment, a version or a run is written in one
transaction with the memory that it was, so it follows once. Nothing here starts a process or keeps a clock.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from lakehouse import landing
from lakehouse.config import Job
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.faults import point
from lakehouse.metadata import Change, Queued
from lakehouse.records import Execution, ExecutionState, Interval, JobStatus, RunRecord, RunState
from lakehouse.schedules import Decision, Slot, missed
from lakehouse.site import Site
from lakehouse.timeline import leases, queue, runs
from lakehouse.timeline.queue import RUN

__all__ = [
    "backfill",
    "cancel",
    "close_killed",
    "due",
    "give_up",
    "look",
    "newest_interval",
    "pause",
    "queue_up",
    "ready",
    "record",
    "resume",
    "run_of",
    "runs_of",
    "status",
]

_SET_BACK: Final = timedelta(hours=3)  # a clock that was mended by less fires no wall-clock time again
_SKEW: Final = timedelta(minutes=1)  # by which clocks of machines may differ
_LOST: Final = "its job is no longer in the configuration"
_BUSY: Final = "the job's last run was not finished"


def due(site: Site, names: Iterable[str] | None = None) -> list[int]:
    """Queue the runs that follow from what has happened until now: times, other jobs' runs, new versions.

    Args:
        site: the opened lake.
        names: of the jobs to look at; None for all.

    Returns:
        The numbers of the runs that were queued.
    """
    wanted = site.config.jobs if names is None else [name for name in names if name in site.config.jobs]
    jobs = [site.config.jobs[name] for name in wanted if site.config.jobs[name].served]
    looked = _Looked(site, jobs)
    first: list[Change] = []
    made: list[int] = []
    for job in jobs:
        if "paused" in looked.memory(job):
            continue
        for changes, follow in (*looked.by_time(job), *looked.by_runs(job), *looked.by_versions(job)):
            if not follow:
                first += changes  # nothing follows, so all of it may be written together
                continue
            numbers = site.ledger.remember(changes, follow)
            point("due.queued")
            made += _kept(site, follow, numbers or ())
    if first and site.ledger.remember(first) is None:
        for change in first:
            site.ledger.remember([change])
    return made


def look(site: Site, name: str) -> list[int]:
    """Look whether the sources that a job watches have files that are not landed, and queue a run if they have.

    Returns:
        The number of the run that was queued.

    Raises:
        NotFoundError: no such job.
        SourceError: a source cannot be read.
    """
    job = site.config.job(name)
    looked = _Looked(site, [job])
    memory = looked.memory(job)
    if not job.served or "paused" in memory or looked.waiting[name] or looked.running[name]:
        return []
    found = {source: landing.waiting(site, source) for source in job.watch}
    if not any(found.values()):
        return []
    seen = json.dumps(found, sort_keys=True)
    now = site.clock()
    before = memory.get("watch")
    if before is not None:
        last = json.loads(before)
        # The last run took nothing of it in: it would fail again, so it is left alone for a while.
        rested = now - datetime.fromisoformat(last["at"]) >= job.retries.max_backoff
        if last["found"] == seen and _failed(site, last["run"]) and not rested:
            return []
    run = queue.queued(name, now, trigger="watch", priority=job.priority)
    after = json.dumps({"at": now.isoformat(), "found": seen, "run": str(run.execution.properties["run"])})
    numbers = site.ledger.remember([Change(_subject(name), "watch", before, after)], [run])
    return list(numbers or ())


def _failed(site: Site, run: str) -> bool:
    found = site.ledger.get_executions(type=RUN, context=("Run", run), only=())
    return any(one.state is ExecutionState.FAILED for one in found)


def ready(site: Site, *, room: int) -> list[tuple[int, str]]:
    """The runs that wait and may start now, in order: numbers and jobs.

    Args:
        site: the opened lake.
        room: the most to give.
    """
    waiting = site.ledger.get_executions(type=RUN, state=ExecutionState.NEW)
    if not waiting or room <= 0:
        return []
    config = site.config
    memory = site.ledger.remembered([_subject(str(run.properties["job"])) for run in waiting])
    under_way = site.ledger.get_executions(type=RUN, state=ExecutionState.RUNNING, only=["job"])
    busy = {str(run.properties.get("job")) for run in under_way}
    pools = Counter(config.jobs[name].pool for name in busy if name in config.jobs)
    found: list[tuple[int, str]] = []
    for run in sorted(waiting, key=_order):
        name = str(run.properties["job"])
        job = config.jobs.get(name)
        if job is None:
            runs.ask_to_stop(site, run, _LOST, cancel=True)
            continue
        held = "paused" in memory.get(_subject(name), {}) and run.properties["trigger"] != "backfill"
        full = job.pool is not None and pools[job.pool] >= config.pools.get(job.pool, 1)
        if held or full or name in busy:
            continue
        busy.add(name)
        pools[job.pool] += 1
        found.append((run.id, name))
        if len(found) == room:
            break
    return found


def _order(run: Execution) -> tuple[int, bool, int]:
    said = run.properties
    return -int(str(said.get("priority", 0))), said.get("trigger") == "backfill", run.id


@dataclass
class _Looked:
    """What the ledger says of some jobs, asked once."""

    site: Site
    jobs: Collection[Job]
    waiting: Counter[str] = field(init=False)
    running: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        ledger = self.site.ledger
        self.now = self.site.clock()
        self._memory = ledger.remembered([_subject(job.name) for job in self.jobs])
        self.waiting, self.running = (
            Counter(
                str(run.properties.get("job")) for run in ledger.get_executions(type=RUN, state=state, only=["job"])
            )
            for state in (ExecutionState.NEW, ExecutionState.RUNNING)
        )
        datasets = {name for job in self.jobs for name in job.when}
        self._versions = ledger.newest_versions(datasets) if datasets else {}

    def memory(self, job: Job) -> Mapping[str, str]:
        return self._memory.get(_subject(job.name), {})

    def by_time(self, job: Job) -> Iterator[tuple[list[Change], list[Queued]]]:
        """What follows from the times that came; nothing while a run waits, which what comes then is added to."""
        if job.times is None:
            return
        before = self.memory(job).get("until")
        until = _until(job, before, self.now)
        if until is None:
            yield [_until_is(job, before, self.now)], []
            return
        upto = job.newest_due(self.now)
        if upto is None or upto <= until:
            return
        skips = job.when_busy == "skip" and (self.waiting[job.name] or self.running[job.name])
        if self.waiting[job.name] and not skips:
            return
        found = missed(
            job.times,
            until,
            upto,
            self.now,
            catch_up=job.catch_up,
            limit=job.catch_up_limit,
            grace=job.misfire_grace,
        )
        yield [_until_is(job, before, found.until)], self._runs(job, found, skips=bool(skips))

    def _runs(self, job: Job, found: Decision, *, skips: bool) -> list[Queued]:
        late = f"missed, and catch_up: {job.catch_up} makes up for no more"
        gone = [(found.skipped, late)] if found.skipped is not None else []
        if skips:
            gone += [(slot, _BUSY) for slot in found.run]
        made = [
            queue.queued(
                job.name, self.now, trigger="schedule", due=s.due, interval=_interval(s), priority=job.priority
            )
            for s in (() if skips else found.run)
        ]
        return [*(queue.skipped(job.name, self.now, s.due, _interval(s), why) for s, why in gone), *made]

    def by_runs(self, job: Job) -> Iterator[tuple[list[Change], list[Queued]]]:
        """What follows from runs of other jobs that completed: a run once each has, since the last such run."""
        changes, ready, newest = [], True, None
        for name in job.after:
            before = self.memory(job).get(f"after:{name}")
            found = self._completed(name)
            mark = "" if found is None else str(found.properties["ended_at"])
            if before is None:
                yield [Change(_subject(job.name), f"after:{name}", None, mark)], []
                ready = False
            elif mark <= before or found is None:
                ready = False
            else:
                changes.append(Change(_subject(job.name), f"after:{name}", before, mark))
                if newest is None or mark > str(newest.properties["ended_at"]):
                    newest = found
        if ready and newest is not None:
            interval = queue.interval_of(newest)
            run = queue.queued(job.name, self.now, trigger="after", interval=interval, priority=job.priority)
            yield changes, [run]

    def _completed(self, name: str) -> Execution | None:
        """The run of a job that completed last."""
        found = self.site.ledger.get_executions(
            type=RUN, state=ExecutionState.COMPLETE, context=("Job", name), newest_first=True, limit=5
        )
        # One that waited longer may have ended later than one with a higher number.
        return max((run for run in found if "ended_at" in run.properties), key=_ended_at, default=None)

    def by_versions(self, job: Job) -> Iterator[tuple[list[Change], list[Queued]]]:
        """What follows from new versions of datasets: one run for all of them."""
        changes = []
        for name in job.when:
            before = self.memory(job).get(f"when:{name}")
            newest = str(self._versions.get(name, -1))
            if before is None:
                yield [Change(_subject(job.name), f"when:{name}", None, newest)], []
            elif before != newest:
                changes.append(Change(_subject(job.name), f"when:{name}", before, newest))
        if changes:
            yield changes, [queue.queued(job.name, self.now, trigger="when", priority=job.priority)]


def _ended_at(run: Execution) -> str:
    return str(run.properties["ended_at"])


def _subject(job: str) -> str:
    return f"job/{job}"


def _interval(slot: Slot) -> Interval | None:
    return None if slot.start is None else Interval(slot.start, slot.due)


def _until(job: Job, text: str | None, now: datetime) -> datetime | None:
    """Up to when a job's times are decided; None where that begins anew: other times, or a clock that was set back."""
    rhythm, _, moment = (text or "").rpartition(" ")
    if rhythm != job.rhythm or not moment:
        return None
    until = datetime.fromisoformat(moment)
    back = _SET_BACK if job.every is None else max(job.every, _SKEW)
    return None if until - now > back else until


def _until_is(job: Job, before: str | None, until: datetime) -> Change:
    return Change(_subject(job.name), "until", before, f"{job.rhythm} {until.isoformat()}")


def _kept(site: Site, follow: Iterable[Queued], numbers: Iterable[int]) -> list[int]:
    """The numbers of those that wait; of those that will not, the receipts are kept."""
    both = list(zip(follow, numbers, strict=False))
    site.keep([number for one, number in both if one.execution.state is not ExecutionState.NEW])
    return [number for one, number in both if one.execution.state is ExecutionState.NEW]


# What people ask and do


def pause(site: Site, name: str) -> bool:
    """Let a job start no run until it is resumed, whoever serves it; whether it was not paused already.

    Raises:
        NotFoundError: no such job.
    """
    subject = _subject(site.config.job(name).name)
    return site.ledger.remember([Change(subject, "paused", None, site.clock().isoformat())]) is not None


def resume(site: Site, name: str) -> bool:
    """Let a paused job run again; whether it was paused. What was missed is made up for as its ``catch_up`` says.

    Raises:
        NotFoundError: no such job.
    """
    subject = _subject(site.config.job(name).name)
    before = site.ledger.remembered([subject]).get(subject, {}).get("paused")
    return before is not None and site.ledger.remember([Change(subject, "paused", before, None)]) is not None


def status(site: Site) -> tuple[JobStatus, ...]:
    """How each job is, by name."""
    runs.close_killed(site)
    config = site.config
    memory = site.ledger.remembered([_subject(name) for name in config.jobs])
    under_way = {run.job: run for run in _with_progress(site, _in(site, ExecutionState.RUNNING))}
    waiting = Counter(run.job for run in _in(site, ExecutionState.NEW))
    told = []
    for name, job in sorted(config.jobs.items()):
        paused = memory.get(_subject(name), {}).get("paused")
        at = None if paused is None else datetime.fromisoformat(paused)
        following = job.next_start(site.clock()) if job.served and at is None else None
        last = next((run for run in queue.records(site.ledger, name, limit=20) if run.ended_at is not None), None)
        told.append(JobStatus(name, job.in_words, job.served, at, following, under_way.get(name), waiting[name], last))
    return tuple(told)


def _in(site: Site, state: ExecutionState) -> list[RunRecord]:
    return [queue.record(run) for run in site.ledger.get_executions(type=RUN, state=state)]


def _with_progress(site: Site, found: list[RunRecord]) -> list[RunRecord]:
    told = leases.progress_of(site.ledger, [run.number for run in found])
    return [replace(run, progress=told.get(run.number)) for run in found]


def runs_of(site: Site, job: str | None = None, *, limit: int | None = 20) -> list[RunRecord]:
    """The newest runs of a job, or of all, the newest first; also of a job that the configuration knows no more.

    Raises:
        NotFoundError: no such job, and none is recorded.
    """
    runs.close_killed(site)
    found = queue.records(site.ledger, job, limit=limit)
    if job is not None and not found:
        site.config.job(job)
    return _with_progress(site, found)


def run_of(site: Site, reference: str) -> Execution:
    """A run by its number, ``run:7`` or ``7``, or its name ``nightly/20260101T020000Z-3f2a90`` or how that begins.

    Raises:
        NotFoundError: there is none, or several.
    """
    number = reference.removeprefix("run:").removeprefix("execution:")
    if number.isdigit():
        found = site.ledger.get_executions(type=RUN, ids=[int(number)])
    else:
        found = site.ledger.get_executions(type=RUN, context=("Run", reference))
    if found:
        return found[0]
    raise NotFoundError(f"no run '{reference}'. `lakehouse runs` lists them")


def record(site: Site, reference: str | int) -> RunRecord:
    """A run by its number or name.

    Raises:
        NotFoundError: there is none.
    """
    return queue.record(run_of(site, str(reference)))


def cancel(site: Site, reference: str) -> RunRecord:
    """Cancel a run that waits, or have one stopped that is under way; what it committed stays.

    Raises:
        NotFoundError: no such run, or it has ended already.
    """
    run = run_of(site, reference)
    if not runs.ask_to_stop(site, run, "canceled", cancel=True):
        ended = queue.record(run)
        raise NotFoundError(f"run {ended.run} has ended already ({ended.state.value}); there is nothing to cancel")
    now = site.ledger.get_executions(ids=[run.id])[0]
    if now.state is ExecutionState.RUNNING:
        runs.signal_here(now)
    return queue.record(now)


def close_killed(site: Site) -> list[str]:
    """End the runs whose process was killed, and queue again those that were queued; one sentence a run."""
    return runs.close_killed(site)


def give_up(site: Site, number: int, reason: str) -> None:
    """Have a run that is under way count as failed, for this reason, once its process is gone."""
    for run in site.ledger.get_executions(ids=[number]):
        runs.ask_to_stop(site, run, reason, cancel=False)


def backfill(site: Site, name: str, start: datetime, end: datetime) -> list[tuple[Interval, RunRecord | None]]:
    """The intervals of a job's times that lie in a stretch of time, oldest first, each with the run that did it.

    Returns:
        None for those that no run has completed, and none waits or is under way for.

    Raises:
        NotFoundError: no such job.
        ConfigError: the job has no times, or none of its intervals lies in there.
    """
    job = site.config.job(name)
    if job.times is None or job.at is not None:
        raise ConfigError(f"job '{name}' has no schedule and no every, so a stretch of time has no intervals")
    slots = [Interval(slot.start, slot.due) for slot in job.times.slots(start, end) if slot.start is not None]
    if not slots:
        raise ConfigError(
            f"no interval of job '{name}' ({job.in_words}) lies between {start.isoformat()} and {end.isoformat()}"
        )
    done = {
        run.interval: run
        for run in reversed(queue.records(site.ledger, name))
        if run.state in (RunState.DONE, RunState.QUEUED, RunState.RUNNING) and run.interval is not None
    }
    return [(interval, done.get(interval)) for interval in slots]


def newest_interval(site: Site, name: str) -> Interval | None:
    """The interval of the newest time that a job was due, where one of its sources asks for one; else None.

    Raises:
        NotFoundError: no such job.
    """
    config, job = site.config, site.config.job(name)
    sources = {source for dataset in job.datasets for source in config.dataset(dataset).source_names}
    if job.times is None or not any(config.source(source).timed for source in sources):
        return None
    due = job.newest_due(site.clock())
    return None if due is None else _interval(job.times.slot(due))


def queue_up(site: Site, name: str, intervals: Iterable[Interval]) -> list[int]:
    """Let runs of a job wait, one an interval, after those that are due."""
    job, now = site.config.job(name), site.clock()
    made = [queue.queued(name, now, trigger="backfill", interval=one, priority=job.priority) for one in intervals]
    return list(site.ledger.remember((), made) or ())
