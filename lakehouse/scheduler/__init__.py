"""The scheduler: runs the configuration's jobs when they are due, each run in a process that does nothing else then.

APScheduler is only the timer, its jobs only in memory: what is due, what waits and what ran is in the ledger, what is
to be run in the configuration. So any number of schedulers may serve one lake, and one that is killed loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.executors.pool import ThreadPoolExecutor as TimerThreads
from apscheduler.schedulers.background import BackgroundScheduler

from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.scheduler.logs import logger
from lakehouse.scheduler.timing import Trigger
from lakehouse.scheduler.verdicts import verdict
from lakehouse.scheduler.workers import Workers

if TYPE_CHECKING:
    from lakehouse.config import Job
    from lakehouse.lake import Lake

__all__ = ["serve"]

_TICK = 1.0  # seconds between two looks at the clock and the ledger
_JUMP = timedelta(seconds=5)
_SWEEP = 60.0  # seconds between two looks at everything
_KILLED = 5.0  # between two looks for runs whose process was killed
_FILES = 5.0  # between two looks for changes of the configuration's files
_LOOKS = 4  # sources that are looked at at the same time


def serve(opened: Callable[[], Lake], *, grace: float = 60.0, parallel: int = 2, readable: bool = False) -> None:
    """Run a lake's jobs when they are due until SIGTERM or SIGINT. Needs the main thread.

    SIGHUP, or a change of its files, has the configuration read again; one that is wrong is told, and the old one kept.

    Args:
        opened: opens the lake, with the configuration as it is then.
        grace: seconds that runs under way may take to finish after the signal.
        parallel: how many runs may be under way at the same time.
        readable: log for a person at a terminal; else JSON lines. Always on stderr.

    Raises:
        ConfigError: no enabled job has a schedule.
    """
    lake = opened()
    if not any(job.served for job in lake.config.jobs.values()):
        lake.close()
        raise ConfigError(
            f"{lake.config.folder.name}/jobs: no enabled job has a schedule, so there is nothing to serve; "
            "give one a 'schedule' (\"0 2 * * *\"), 'every' (1h), 'after', 'when' or 'watch', or run it by hand: "
            "lakehouse run JOB"
        )
    _Server(lake, opened, parallel, readable=readable).run(grace)


class _Server:
    """One serving under way. All that touches the queue happens in the main thread, one thing after the other."""

    def __init__(self, lake: Lake, opened: Callable[[], Lake], parallel: int, *, readable: bool) -> None:
        self._lake = lake
        self._opened = opened
        self._parallel = parallel
        self._log = logger(self._redacted, readable=readable)
        self._workers = Workers(lake.config)
        self._signals: list[int] = []
        self._reload = False
        self._wake = threading.Event()
        self._poked: set[str] = set()  # jobs whose time has come
        self._running: dict[int, str] = {}  # runs and their jobs
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="run")
        # APScheduler tells everything twice; its events say it in our words.
        quiet = logging.getLogger("apscheduler")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self._timer = BackgroundScheduler(timezone=UTC, executors={"default": TimerThreads(_LOOKS)})
        self._timer.add_listener(self._on_error, EVENT_JOB_ERROR)
        self._files = self._stamp()

    def _redacted(self, text: str) -> str:
        return self._lake.config.redact(text)

    def run(self, grace: float) -> None:
        """Serve until a signal comes, then stop cleanly."""
        with self._listening():
            self._timer.start()
            self._time()
            self._wait()
            self._stop(grace)

    def _time(self) -> None:
        """Have the timer wake us for the times of the jobs as they are now, and look at what they watch."""
        self._timer.remove_all_jobs()
        for job in sorted(self._lake.config.jobs.values(), key=lambda job: job.name):
            if not job.served:
                continue
            facts: dict[str, Any] = {"when": job.in_words}
            if job.times is not None:
                timed = self._timer.add_job(
                    self._poke, Trigger(job), args=[job.name], id=job.name, misfire_grace_time=None, coalesce=True
                )
                facts["next"] = timed.next_run_time.isoformat() if timed.next_run_time else None
            if job.watch:
                every = job.poll.total_seconds()
                self._timer.add_job(
                    self._look,
                    "interval",
                    seconds=every,
                    args=[job.name],
                    id=f"watch {job.name}",
                    misfire_grace_time=None,
                    coalesce=True,
                    max_instances=1,
                    next_run_time=datetime.now(UTC),
                )
            self._log.info("scheduled", job=job.name, **facts)

    def _poke(self, job: str) -> None:
        self._poked.add(job)
        self._wake.set()

    def _look(self, job: str) -> None:
        """In a thread of the timer's: a source may take long to answer."""
        try:
            if self._lake.look(job):
                self._wake.set()
        except LakehouseError as error:
            self._log.warning("not_watched", job=job, error=f"{type(error).__name__}: {error}")

    def _wait(self) -> None:
        """Until a signal comes: queue what is due, start what waits, notice what changed."""
        offset, swept, seen = _offset(), -_SWEEP, None
        killed = checked = time.monotonic()
        while not self._signals:
            if not any(thread.name == "APScheduler" for thread in threading.enumerate()):
                raise RuntimeError("the timer died; what killed it is told above")
            now, offset, jumped = time.monotonic(), *self._jumped(offset)
            try:
                if now - killed >= _KILLED:
                    killed = now
                    self._close_killed()
                    self._workers.thin_out()
                if self._reload or now - checked >= _FILES:
                    checked = now
                    jumped |= self._reread()
                poked, self._poked = self._poked, set()
                newest = self._lake.newest_change()
                if jumped or now - swept >= _SWEEP:
                    swept = now
                    self._queue(None)
                elif newest != seen:
                    self._queue(poked | {job.name for job in self._lake.config.jobs.values() if job.after or job.when})
                elif poked:
                    self._queue(poked)
                if poked or newest != seen or swept == now:
                    self._start()
                seen = newest
            except LakehouseError as error:  # the ledger's database may be back at the next look
                self._log.error("no_ledger", error=f"{type(error).__name__}: {error}")
                swept = -_SWEEP
            self._wake.wait(_TICK)
            self._wake.clear()

    def _queue(self, names: set[str] | None) -> None:
        for number in self._lake.due(names):
            self._log.debug("queued", number=number)

    def _start(self) -> None:
        """Start the runs that wait and may."""
        room = self._parallel - len(self._running)
        for number, name in self._lake.ready(room):
            if number not in self._running:
                self._running[number] = name
                self._log.info("started", job=name, number=number)
                self._threads.submit(self._one, number, self._lake.config.jobs[name])

    def _one(self, number: int, job: Job) -> None:
        """In a thread of its own: one run, from its start to its end."""
        try:
            done = self._workers.run(number, job, lambda why: self._give_up(number, why))
            if done is None:
                self._log.info("skipped", job=job.name, number=number, reason="the scheduler is stopping")
                return
            level, event, facts = verdict(done)
            facts = {"number": number, "seconds": round(done.seconds, 3), "status": done.status, **facts}
            getattr(self._log, level)(event, job=job.name, **facts)
            if not done.told:
                self._close_killed()
        except Exception as error:  # the scheduler goes on  # noqa: BLE001
            self._log.error("bug", job=job.name, number=number, exception=repr(error))
        finally:
            self._running.pop(number, None)
            self._wake.set()

    def _give_up(self, number: int, why: str) -> None:
        with contextlib.suppress(LakehouseError):  # then it counts as killed, and is done again
            self._lake.give_up(number, why)

    def _close_killed(self) -> None:
        for told in self._lake.close_killed():
            self._log.warning("interrupted", message=told)

    def _jumped(self, offset: timedelta) -> tuple[timedelta, bool]:
        """The wall clock against the one that nobody sets, and whether somebody set it."""
        now = _offset()
        jump = now - offset
        if abs(jump) < _JUMP:
            return now, False
        self._log.warning("clock_set", seconds=round(jump.total_seconds()))
        self._time()
        return now, True

    def _reread(self) -> bool:
        """Take the configuration as it is by now, if it changed and is right; whether it did."""
        stamp = self._stamp()
        if not self._reload and stamp == self._files:
            return False
        self._reload, self._files = False, stamp
        try:
            lake = self._opened()
        except LakehouseError as error:
            self._log.error("configuration_refused", error=str(error), kept="the one before")
            return False
        old, self._lake = self._lake, lake
        self._workers.adopt(lake.config)
        self._log.info("configuration_read", jobs=len(lake.config.jobs))
        self._time()
        # What is looked at just now may still use it; the process is not kept up for it.
        later = threading.Timer(_SWEEP, old.close)
        later.daemon = True
        later.start()
        return True

    def _stamp(self) -> int:
        """What changes when a file of the configuration does."""
        found = []
        for folder, folders, names in os.walk(self._lake.config.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                with contextlib.suppress(OSError):  # it went away meanwhile
                    status = os.stat(f"{folder}/{name}")  # noqa: PTH116  # thousands of files, often
                    found.append((folder, name, status.st_mtime_ns, status.st_size))
        return hash(tuple(sorted(found)))

    def _stop(self, grace: float) -> None:
        """No more runs; those under way may finish, at most so long, or until the next signal."""
        running = self._workers.refuse_more()
        self._timer.shutdown(wait=False)
        self._log.info("stopping", signal=signal.Signals(self._signals[0]).name, running=running, grace=grace)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and len(self._signals) == 1:
            if self._workers.finished(min(0.2, max(0.0, deadline - time.monotonic()))):
                break
        self._workers.end()
        self._threads.shutdown()
        self._lake.close()
        self._log.info("stopped")

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        def stop(number: int, _: FrameType | None) -> None:
            self._signals.append(number)
            self._wake.set()

        def again(_: int, __: FrameType | None) -> None:
            self._reload = True
            self._wake.set()

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: again}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_error(self, event: Any) -> None:
        self._log.error("bug", job=event.job_id, error=repr(event.exception), traceback=event.traceback)


def _offset() -> timedelta:
    """The wall clock against the one that nobody sets."""
    return timedelta(seconds=time.time() - time.monotonic())
