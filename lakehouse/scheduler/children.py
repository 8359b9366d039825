"""Runs as processes of their own: started afresh, stopped when they take too long, ended with the scheduler."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Children", "Finished"]

_PATIENCE = 10.0  # seconds a process has after SIGTERM before SIGKILL


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended.

    Attributes:
        status: exit status; negative is the signal that ended it.
        told: the JSON it wrote; {} when it wrote none.
        errors: each with ``type`` and ``message``.
        trouble: the end of what else it said on stderr.
        timed_out: it was stopped because it took too long.
        stopped: it was stopped because the scheduler stops.
    """

    status: int
    seconds: float
    told: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[Mapping[str, str], ...] = ()
    trouble: str = ""
    timed_out: bool = False
    stopped: bool = False


class Children:
    """The processes under way."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Remember how to reach the lake.

        Args:
            arguments: the global options of every run.
        """
        self._command = (sys.executable, "-m", "lakehouse", *arguments, "--json", "run", "--")
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._ending = False

    def run(self, job: str, timeout: float | None) -> Finished | None:
        """Run a job to its end; None when the scheduler is stopping."""
        started = time.monotonic()
        with self._changed:
            if self._stopping:
                return None
            # Its own session: Ctrl-C at a terminal reaches the scheduler only, which lets runs finish.
            process = subprocess.Popen(  # noqa: S603  # this very program
                [*self._command, job],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running[process.pid] = process
        try:
            timed_out, out, err = _wait(process, timeout)
        finally:
            with self._changed:
                del self._running[process.pid]
                self._changed.notify_all()
        errors, trouble = _said(err)
        return Finished(
            status=process.returncode,
            seconds=time.monotonic() - started,
            told=_json(out),
            errors=errors,
            trouble=trouble,
            timed_out=timed_out,
            stopped=self._ending and not timed_out,
        )

    def refuse_more(self) -> int:
        """Start no more; how many are under way."""
        with self._changed:
            self._stopping = True
            return len(self._running)

    def finished(self, wait: float) -> bool:
        """Whether all have ended, at the latest after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, wait)

    def end(self) -> None:
        """Stop those under way: SIGTERM, and SIGKILL for those that do not heed it."""
        with self._changed:
            self._ending = True
            for process in self._running.values():
                process.terminate()
        if not self.finished(_PATIENCE):
            with self._changed:
                for process in self._running.values():
                    _kill(process)
            self.finished(_PATIENCE)


def _wait(process: subprocess.Popen[str], timeout: float | None) -> tuple[bool, str, str]:
    """Whether it took too long, and what it said."""
    try:
        return (False, *process.communicate(timeout=timeout))
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        return (True, *process.communicate(timeout=_PATIENCE))
    except subprocess.TimeoutExpired:
        _kill(process)
        return (True, *process.communicate())


def _kill(process: subprocess.Popen[str]) -> None:
    """End it and what it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(text: str) -> tuple[tuple[Mapping[str, str], ...], str]:
    """The errors told in JSON lines, and the other lines' end."""
    errors, other = [], []
    for line in text.splitlines():
        error = _json(line).get("error")
        if isinstance(error, dict):
            errors.append({str(key): str(value) for key, value in error.items()})
        else:
            other.append(line)
    return tuple(errors), "\n".join(other)[-4000:]
