"""Putting a ledger that was made anew in the place of one that is lost or damaged; SQLite files only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lakehouse.errors import MetadataError
from lakehouse.metadata import engines

_GARBLED = ("malformed", "file format", "no such", "not decode", "not a database")
_BESIDE = ("-wal", "-shm")  # SQLite's own files beside a database in use


def file_of(url: str) -> Path | None:
    """The ledger's file; None for one in memory or on a server.

    Raises:
        MetadataError: the URL is not supported.
    """
    return engines.file_of(engines.parse(url))


def url_of(file: Path) -> str:
    """The URL of a ledger in a file."""
    return f"sqlite:///{file}"


def is_damage(error: MetadataError) -> bool:
    """Whether SQLite refused because a file's content is no database, or no longer one; not for want of access."""
    cause = getattr(error.__context__, "orig", None)  # not chained where it could tell a secret
    unreadable = isinstance(cause, sqlite3.OperationalError) and any(text in str(cause) for text in _GARBLED)
    return type(cause) is sqlite3.DatabaseError or unreadable


def remove(file: Path) -> None:
    """Remove a half-made ledger, if there is one."""
    for path in _all(file):
        path.unlink(missing_ok=True)


def set_aside(file: Path, mark: str) -> Path:
    """Rename a ledger and all that SQLite keeps beside it; its new name."""
    target = file.with_name(f"{file.name}.{mark}")
    # The database last: its log must never lie beside another database, which would take it for its own.
    for path, to in reversed(list(zip(_all(file), _all(target), strict=True))):
        if path.exists():
            path.rename(to)
    return target


def _all(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + ending) for ending in _BESIDE)]
