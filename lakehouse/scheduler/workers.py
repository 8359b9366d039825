"""The processes that runs happen in: started afresh, kept warm a while, stopped when a run takes too much."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.config import Config, Job

__all__ = ["Finished", "Workers"]

PATIENCE = 10.0
"""Seconds a process has after SIGTERM before SIGKILL, and a run after its timeout."""

_IDLE = 120.0  # seconds a process is kept that has nothing to do
_TICK = 0.25  # seconds between two looks at what a run takes
_TAIL = 40  # lines of standard error that are kept of a run


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended.

    Attributes:
        status: exit status; negative is the signal that ended its process.
        told: what it did; {} when it did not come to that.
        errors: each with ``type`` and ``message``.
        trouble: the end of what it said on stderr.
        timed_out: it was stopped because it took too long.
        stopped: it was stopped because the scheduler stops.
        why: why its process was killed by us; "" where it was not.
    """

    status: int
    seconds: float
    told: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[Mapping[str, str], ...] = ()
    trouble: str = ""
    timed_out: bool = False
    stopped: bool = False
    why: str = ""


class _Worker:
    """One process."""

    def __init__(self, config: Config) -> None:
        # Its own session: Ctrl-C at a terminal reaches the scheduler only, which lets runs finish.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse.scheduler.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.config = config
        self.since = time.monotonic()
        self.said: deque[str] = deque(maxlen=_TAIL)
        self._left = b""
        self._reader = threading.Thread(target=self._read, daemon=True, name="worker's stderr")
        self._reader.start()
        with contextlib.suppress(BrokenPipeError):  # then it tells why
            self._write(pickle.dumps(config))

    def _read(self) -> None:
        assert self.process.stderr is not None  # noqa: S101  # it is a pipe
        for line in self.process.stderr:
            self.said.append(line.decode(errors="replace").rstrip("\n"))

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None  # noqa: S101  # as above
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, number: int, job: str) -> None:
        self.said.clear()
        with contextlib.suppress(BrokenPipeError):  # then it has ended, which is seen when its answer is awaited
            self._write(json.dumps({"run": number, "job": job}).encode() + b"\n")

    def answer(self, wait: float) -> Mapping[str, Any] | None:
        """What it says next; None while it says nothing, {} when it has ended."""
        assert self.process.stdout is not None  # noqa: S101  # as above
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + wait
            while b"\n" not in self._left:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                if not part:
                    return {}
                self._left += part
        line, _, self._left = self._left.partition(b"\n")
        found = json.loads(line)
        return found if isinstance(found, dict) else {}

    def memory(self) -> int:
        """What it takes, bytes; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:  # noqa: PTH123  # read often
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def end(self, patience: float = PATIENCE) -> None:
        """Have it end: now if it is idle, soon if it is not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
        self.close()

    def kill(self) -> None:
        """End it and what it started, at once."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Let go of what it leaves; call once it has ended."""
        self.process.wait()
        self._reader.join(1.0)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Workers:
    """The processes there are. May be used from several threads; each run takes one of them for itself."""

    def __init__(self, config: Config) -> None:
        """Start with none.

        Args:
            config: the configuration that runs are to have.
        """
        self._config = config
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._ending = False

    def run(self, number: int, job: Job, give_up: Callable[[str], None]) -> Finished | None:
        """Have a run that waits done, to its end; None when the scheduler is stopping.

        Args:
            number: the run's.
            job: for its limits.
            give_up: told why, before a process is killed that takes too much.
        """
        started = time.monotonic()
        with self._changed:
            if self._stopping:
                return None
            worker = self._idle.pop() if self._idle else _Worker(self._config)
            self._busy[number] = worker
        again = False
        try:
            worker.ask(number, job.name)
            done, again = self._waited(worker, job, started, give_up)
        finally:
            self._back(number, worker, again=again)
        return done

    def _waited(
        self, worker: _Worker, job: Job, started: float, give_up: Callable[[str], None]
    ) -> tuple[Finished, bool]:
        """How the run ended, and whether its process may do another."""
        limit = None if job.timeout is None else job.timeout.total_seconds() + PATIENCE
        why, late = "", False
        while (said := worker.answer(_TICK)) is None:
            late = limit is not None and time.monotonic() - started > limit
            if late:
                why = f"it took longer than its timeout ({job.timeout}) and did not heed the signal"
            elif job.memory is not None and (size := worker.memory()) > job.memory:
                why = f"it took {size >> 20:,} MiB, more than its memory ({job.memory >> 20:,} MiB)"
            if why:
                give_up(why)
                worker.kill()
                said = {}
                break
        if not said:
            worker.close()
        done = Finished(
            status=int(said.get("status", worker.process.returncode or 1)),
            seconds=time.monotonic() - started,
            told=said.get("told", {}),
            errors=tuple(said.get("errors", ())),
            trouble="" if said else "\n".join(worker.said)[-4000:],
            timed_out=late or bool(said.get("timed_out")),
            stopped=self._ending,
            why=why,
        )
        return done, bool(said.get("again"))

    def _back(self, number: int, worker: _Worker, *, again: bool) -> None:
        """Keep a process for the next run, or let it end."""
        with self._changed:
            kept = again and worker.config is self._config and not self._stopping
            if kept:
                worker.since = time.monotonic()
                self._idle.append(worker)
        if not kept:
            worker.end()
        with self._changed:
            del self._busy[number]
            self._changed.notify_all()

    def adopt(self, config: Config) -> None:
        """Have runs with this configuration from now on; those under way end as they began."""
        with self._changed:
            self._config = config
            old, self._idle = self._idle, []
        for worker in old:
            worker.end()

    def thin_out(self) -> None:
        """End the processes that had nothing to do for long."""
        with self._changed:
            old = [worker for worker in self._idle if time.monotonic() - worker.since > _IDLE]
            self._idle = [worker for worker in self._idle if worker not in old]
        for worker in old:
            worker.end()

    def refuse_more(self) -> int:
        """Start no more runs; how many are under way."""
        with self._changed:
            self._stopping = True
            return len(self._busy)

    def finished(self, wait: float) -> bool:
        """Whether all runs have ended, at the latest after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, wait)

    def end(self) -> None:
        """Stop the runs under way, SIGTERM and then SIGKILL for those that do not heed it; end all processes."""
        with self._changed:
            self._ending = True
            busy, idle, self._idle = list(self._busy.values()), self._idle, []
        for worker in (*busy, *idle):
            worker.process.terminate()
        if not self.finished(PATIENCE):
            for worker in busy:
                worker.kill()
            self.finished(PATIENCE)
        for worker in idle:
            worker.end()
