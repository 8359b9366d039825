"""What ends work from outside: signals and time limits, as exceptions that unwind past ``except Exception``."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType

from lakehouse.errors import Stopped, TimedOut

__all__ = ["catch_signals", "time_limit"]


@contextlib.contextmanager
def time_limit(limit: timedelta | None, what: str) -> Iterator[None]:
    """Stop what runs inside after so long, by raising `TimedOut`; None is no limit. Needs the main thread."""
    if limit is None:
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise TimedOut(f"{what} took longer than its timeout ({limit}) and was stopped")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit.total_seconds())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def catch_signals() -> None:
    """Turn SIGTERM and SIGINT into `Stopped`, so that locks are let go and records closed."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
