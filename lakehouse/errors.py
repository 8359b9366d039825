"""Every error a lake raises on purpose, in one tree.

    LakehouseError
      + ConfigError      a YAML file says something impossible (file, key)
      + NotFoundError    no such source, dataset, version, job (lists what is known); also a LookupError
      + SourceError      the outside world did not give us the file (.retryable)
      + StorageError     the lake's disk or bucket refused
        - IntegrityError stored bytes no longer match their hash
      + FormatError      a raw file is not what its source says it is
      + SchemaError      the batch as a whole breaks its schema: nothing was appended
      + CommitError      another writer won; safe to run again
      + MetadataError    the ledger's database failed
        - RecordError    a record cannot be stored, changed or found as asked (.problem)

Beside it stand `Stopped` and `TimedOut`: no errors, they end what runs, past every ``except Exception``.

Rows never raise: they go to quarantine with reasons. A message says what is wrong, where
(file, dataset, key, row) and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "CommitError",
    "ConfigError",
    "FormatError",
    "IntegrityError",
    "LakehouseError",
    "MetadataError",
    "NotFoundError",
    "RecordError",
    "SchemaError",
    "SourceError",
    "Stopped",
    "StorageError",
    "TimedOut",
    "nearest",
]


class LakehouseError(Exception):
    """The root: ``except LakehouseError`` catches all that a lake raises on purpose."""


class ConfigError(LakehouseError):
    """A YAML file says something impossible. Holds every problem found, one a line."""


class NotFoundError(LakehouseError, LookupError):
    """No such source, dataset, version or job; the message lists what is known."""


class SourceError(LakehouseError):
    """The outside world did not give us the file.

    Attributes:
        retryable: whether trying again may help (a timeout: yes; a missing folder: no).
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class StorageError(LakehouseError):
    """The lake's disk or bucket refused to read or write."""


class IntegrityError(StorageError):
    """Stored bytes no longer match their hash."""


class FormatError(LakehouseError):
    """A raw file is not what its source says it is; that file alone is refused."""


class SchemaError(LakehouseError):
    """The batch as a whole breaks its schema: nothing was appended."""


class CommitError(LakehouseError):
    """Another writer won or holds the lock; nothing was changed, and it is safe to run again."""


class MetadataError(LakehouseError):
    """The ledger's database failed or is not a ledger."""


class RecordError(MetadataError):
    """The ledger cannot store, change or find a record as it was asked to; nothing was changed.

    Attributes:
        problem: ``invalid`` (the record or the query itself), ``missing`` (what it names is not there),
            ``exists`` (its name or external id belongs to another), ``stale`` (it changed since it was read),
            ``unsupported`` (a change that ML Metadata's model does not have).
    """

    def __init__(
        self, message: str, problem: Literal["invalid", "missing", "exists", "stale", "unsupported"] = "invalid"
    ) -> None:
        super().__init__(message)
        self.problem = problem


class Stopped(BaseException):
    """Somebody ends this process (SIGTERM, SIGINT).

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class TimedOut(BaseException):
    """A run took longer than its job's timeout."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name.

    Returns:
        ``" Did you mean 'x'?"`` for the closest of ``known``, else ``" Known: a, b."`` (at most
        twelve), else ``""`` when nothing is known. Starts with a space, to be appended.
    """
    names = sorted(set(known))
    small = {one.lower(): one for one in names}
    close = difflib.get_close_matches(name, names, n=1)
    close = close or [small[one] for one in difflib.get_close_matches(name.lower(), small, n=1)]
    if close:
        return f" Did you mean '{close[0]}'?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f" Known: {shown}."
