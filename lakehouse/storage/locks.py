"""One at a time: locks that die with their holder, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from lakehouse.errors import CommitError, StorageError
from lakehouse.records import Clock

__all__ = ["hold"]

_POLL = 0.05


@contextlib.contextmanager
def hold(file: Path, what: str, clock: Clock, wait: float, *, keep: bool = True) -> Iterator[None]:
    """Hold an exclusive lock, released by the system when the process ends.

    Args:
        file: the lock; made where it is missing.
        what: what the lock is on, for the message.
        clock: for the note that tells others since when.
        wait: seconds to wait for another holder; 0 refuses at once.
        keep: leave the file there at the end; else nobody may ever wait for this lock again.

    Raises:
        CommitError: somebody else holds it; says who and since when.
        StorageError: the disk refused (full, read-only).
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"locking {what}: {error.strerror or error}") from error
    try:
        _acquire(descriptor, what, wait)
        note = {"pid": os.getpid(), "host": platform.node(), "since": clock().isoformat(timespec="seconds")}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        except OSError as error:
            raise StorageError(f"locking {what}: {error.strerror or error}") from error
        try:
            yield
        finally:
            if not keep:
                file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, what: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CommitError(
                    f"{what} is busy: {_holder(descriptor)}. Nothing was changed; try again later"
                ) from None
            time.sleep(_POLL)
        else:
            return


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {note['pid']} on {note['host']} has held it since {note['since']}"
    except (ValueError, KeyError):
        return "another process has just taken it"
