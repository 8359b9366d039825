"""The scheduler: runs the configuration's jobs when they are due, each run a process of its own.

APScheduler is only the timer, its jobs only in memory: what was run is in the ledger, what is to be
run in the configuration. Clocks that are set back or forward are noticed.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from lakehouse.errors import ConfigError
from lakehouse.scheduler.children import Children, Finished
from lakehouse.scheduler.timing import after_jump, trigger

if TYPE_CHECKING:
    from lakehouse.config import Job
    from lakehouse.lake import Lake

__all__ = ["serve"]

_TICK = 1.0  # seconds between two looks at the clock
_JUMP = timedelta(seconds=5)


def serve(
    lake: Lake, arguments: Sequence[str], *, grace: float = 60.0, parallel: int = 2, readable: bool = False
) -> None:
    """Run a lake's jobs by their schedules until SIGTERM or SIGINT. Needs the main thread.

    Args:
        lake: the opened lake; its configuration is taken as it is now.
        arguments: the command line's global options that open the same lake.
        grace: seconds that runs under way may take to finish after the signal.
        parallel: how many jobs run at the same time.
        readable: log for a person at a terminal; else JSON lines. Always on stderr.

    Raises:
        ConfigError: no enabled job has a schedule.
    """
    jobs = [job for _, job in sorted(lake.config.jobs.items()) if job.enabled and trigger(job) is not None]
    if not jobs:
        raise ConfigError(
            f"{lake.config.folder.name}/jobs: no enabled job has a schedule, so there is nothing to serve; "
            "give one a 'schedule' (\"0 2 * * *\") or 'every' (1h), or run it by hand: lakehouse run JOB"
        )
    _Server(jobs, _logger(lake.config.redact, readable=readable), Children(arguments), parallel).run(grace)


class _Server:
    """One serving under way."""

    def __init__(self, jobs: Sequence[Job], log: Any, children: Children, parallel: int) -> None:
        self._jobs = jobs
        self._log = log
        self._children = children
        self._signals: list[int] = []
        # APScheduler tells everything twice; its events say it in our words.
        quiet = logging.getLogger("apscheduler")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self._timer = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(parallel)})
        self._timer.add_listener(self._on_event, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)

    def run(self, grace: float) -> None:
        """Serve until a signal comes, then stop cleanly."""
        with self._listening() as came:
            for job in self._jobs:
                self._timer.add_job(
                    self._fire,
                    trigger(job),
                    args=[job],
                    id=job.name,
                    coalesce=True,
                    max_instances=1,
                    misfire_grace_time=max(1, int(job.misfire_grace.total_seconds())),
                )
            self._timer.start()
            for timed in self._timer.get_jobs():
                self._log.info("scheduled", job=timed.id, next=timed.next_run_time.isoformat())
            self._wait(came)
            self._stop(grace)

    def _wait(self, came: threading.Event) -> None:
        """Until a signal comes; notices a clock that was set meanwhile."""
        offset = _offset()
        while not came.wait(_TICK):
            if not any(thread.name == "APScheduler" for thread in threading.enumerate()):
                raise RuntimeError("the timer died; what killed it is told above")
            now = _offset()
            jump = now - offset
            offset = now
            if abs(jump) >= _JUMP:
                self._log.warning("clock_set", seconds=round(jump.total_seconds()))
                for timed in self._timer.get_jobs():
                    again = after_jump(timed.trigger, jump, datetime.now(UTC))
                    if again is not None:
                        timed.modify(next_run_time=again)
                        self._log.info("scheduled", job=timed.id, next=again.isoformat())
                self._timer.wakeup()

    def _stop(self, grace: float) -> None:
        """No more runs; those under way may finish, at most so long, or until the next signal."""
        running = self._children.refuse_more()
        self._timer.shutdown(wait=False)
        self._log.info("stopping", signal=signal.Signals(self._signals[0]).name, running=running, grace=grace)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and len(self._signals) == 1:
            if self._children.finished(min(0.2, max(0.0, deadline - time.monotonic()))):
                break
        self._children.end()
        self._log.info("stopped")

    @contextlib.contextmanager
    def _listening(self) -> Iterator[threading.Event]:
        came = threading.Event()

        def note(number: int, _: FrameType | None) -> None:
            self._signals.append(number)
            came.set()

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield came
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _fire(self, job: Job) -> None:
        if not self._signals:
            self._log.info("started", job=job.name)
        done = self._children.run(job.name, None if job.timeout is None else job.timeout.total_seconds())
        if done is None:
            self._log.info("skipped", job=job.name, reason="the scheduler is stopping")
            return
        level, event, facts = verdict(done)
        getattr(self._log, level)(event, job=job.name, seconds=round(done.seconds, 3), status=done.status, **facts)

    def _on_event(self, event: Any) -> None:
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._log.warning("skipped", job=event.job_id, reason="its last run is not finished")
        elif event.code == EVENT_JOB_MISSED:
            due = event.scheduled_run_time.isoformat()
            self._log.warning("missed", job=event.job_id, due=due, reason="later than misfire_grace allows")
        else:
            self._log.error("bug", job=event.job_id, error=repr(event.exception), traceback=event.traceback)


def verdict(done: Finished) -> tuple[str, str, dict[str, Any]]:
    """How to tell of a run that ended: level, event, facts."""
    facts: dict[str, Any] = {}
    if done.told:
        facts = {"run": done.told.get("run"), **_counts(done.told)}
        if done.told.get("errors"):
            facts["errors"] = done.told["errors"]
        if odd := _odd(done.told):
            facts["odd"] = odd
    elif done.errors:
        facts["errors"] = [f"{error.get('type')}: {error.get('message')}" for error in done.errors]
    if done.trouble:
        facts["stderr"] = done.trouble
    if done.timed_out:
        return "error", "timed_out", facts
    if done.stopped and not done.told:
        return "warning", "abandoned", facts
    if [error.get("type") for error in done.errors] == ["CommitError"] and not done.told:
        return "warning", "skipped", {"reason": done.errors[0].get("message")}
    if done.status:
        return "error", "failed", facts
    return "warning" if "odd" in facts else "info", "finished", facts


def _counts(told: MutableMapping[str, Any] | Any) -> dict[str, int]:
    """The sums of a run over its sources and datasets."""
    landed, curated = told.get("landed", []), told.get("curated", [])
    sums = {f"files_{name}": sum(step[name] for step in landed) for name in ("new", "failed")}
    sums["files_refused"] = sum(step["refused"] for step in curated)
    sums["anomalies"] = sum(step["anomalies"] for step in curated)
    return sums | {f"rows_{name}": sum(step[name] for step in curated) for name in ("read", "curated", "rejected")}


def _odd(told: MutableMapping[str, Any] | Any) -> list[str]:
    """What a run's datasets say of anomalies in what was curated."""
    notes = [note for step in told.get("curated", []) for note in step.get("notes", [])]
    return [f"{note['where']}: {note['message']}" for note in notes if note["kind"] == "anomaly"]


def _offset() -> timedelta:
    """The wall clock against the one that nobody sets."""
    return timedelta(seconds=time.time() - time.monotonic())


def _logger(redact: Callable[[str], str], *, readable: bool) -> Any:
    """A logger to stderr, which takes secrets out."""

    def hide(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: _redacted(value, redact) for key, value in event.items()}

    renderer: Any = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide,
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
    )


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    return value
