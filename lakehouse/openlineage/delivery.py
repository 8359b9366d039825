"""Getting events out: to a file, to standard error, or to a server. Never holds the work up for long."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import queue
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport

from lakehouse.config import Transport

__all__ = ["Delivery", "open_delivery"]

_MOST_WAITING = 10_000  # events; a server that is down for a long run must not fill the memory


class Delivery:
    """Delivers events one by one, in order; this one throws them away."""

    def send(self, event: dict[str, Any]) -> None:
        """Deliver an event, or have it delivered.

        Raises:
            OSError: it cannot be.
        """

    def settle(self) -> Counter[str]:
        """Wait, not for long, for what is under way; why events were not delivered since the last time, with counts."""
        return Counter()

    def close(self) -> None:
        """Let go of what is held."""


def open_delivery(transport: Transport, project: Path) -> Delivery:
    """The delivery that the configuration asks for."""
    match transport.type:
        case "file":
            return _File(project / (transport.path or ""))
        case "console":
            return _Console()
        case "http":
            return _Http(transport)


class _File(Delivery):
    """Appends a line of JSON an event, in one write, so that processes that share the file do not mix theirs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, event: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = _line(event).encode()
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(file)


class _Console(Delivery):
    """Prints a line of JSON an event to standard error: standard output is for results."""

    def send(self, event: dict[str, Any]) -> None:
        sys.stderr.write(_line(event))
        sys.stderr.flush()


class _Http(Delivery):
    """Posts events to a server from a thread of its own."""

    def __init__(self, transport: Transport) -> None:
        self._patience = transport.timeout.total_seconds()
        settings: dict[str, Any] = {
            "url": transport.url,
            "endpoint": transport.endpoint,
            "timeout": self._patience,
            "retry": {
                "total": 1,
                "read": 0,
                "connect": 0,
                "backoff_factor": 0.1,
                "raise_on_status": False,
                "respect_retry_after_header": False,  # it may say an hour
            },
        }
        config = HttpConfig.from_dict(settings)
        if transport.auth is not None:
            config.auth = ApiKeyTokenProvider({"apiKey": transport.auth.api_key.get_secret_value()})
        self._transport = HttpTransport(config)
        self._transport.session.max_redirects = 0  # a redirected POST becomes a GET, and would look delivered
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_MOST_WAITING)
        self._problems: Counter[str] = Counter()
        self._given_up = 0  # how often
        # A daemon: a server that does not answer must not keep the process from ending.
        threading.Thread(target=self._work, name="openlineage", daemon=True).start()
        atexit.register(self.settle)  # a lake that is never closed

    def send(self, event: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            raise OSError(f"{_MOST_WAITING:,} events are waiting already") from None

    def settle(self) -> Counter[str]:
        deadline = time.monotonic() + self._patience
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks and (left := deadline - time.monotonic()) > 0:
                self._waiting.all_tasks_done.wait(left)
            late = self._waiting.unfinished_tasks
        problems, self._problems = self._problems, Counter()
        if late:
            self._give_up()
            problems[f"not taken within {self._patience:g} s"] = late
        return problems

    def close(self) -> None:
        atexit.unregister(self.settle)
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)  # the end of the thread
        self._transport.close()

    def _give_up(self) -> None:
        """Forget what waits: an operation tells of its own events, and not of those before it."""
        self._given_up += 1
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._waiting.task_done()

    def _work(self) -> None:
        while True:
            event = self._waiting.get()
            if event is None:
                self._waiting.task_done()
                return
            given_up = self._given_up
            try:
                self._transport.emit(event)  # type: ignore[arg-type]  # an event as a dict is serialised as it is
            except Exception as error:  # noqa: BLE001  # whatever goes wrong out there is told, and stops nothing
                if given_up == self._given_up:  # else it is told already
                    self._problems[_told(error)] += 1
            finally:
                self._waiting.task_done()


def _told(error: Exception) -> str:
    """Why a server did not take an event; without the address, which may hold a secret."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code}"
    return f"{type(error).__name__}"


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
