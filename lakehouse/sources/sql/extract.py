"""What a database is asked for: one table or query, whole or from a position on."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from lakehouse.errors import SourceError
from lakehouse.formats.copy_format import escaped
from lakehouse.records import printable

__all__ = ["Extract", "parts"]

_NAME = re.compile(r'(?:"(?:[^"]|"")+"|[^".]+)(?:\.(?:"(?:[^"]|"")+"|[^".]+))*')
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def parts(name: str) -> tuple[str, ...]:
    """A table's name, taken apart at its dots; a part that holds a dot itself stands in double quotes.

    Raises:
        ValueError: it is not a name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError('must be a name, such as orders, public.orders or public."odd.name"')
    return tuple(quoted.replace('""', '"') if quoted else plain for quoted, plain in _PART.findall(name))


@dataclass(frozen=True)
class Extract:
    """One extract to make. A database's module turns it into a Download, or None where there is nothing new.

    Attributes:
        url: the database, with the secrets in it; never shown.
        origin: what the extract is called in messages.
        folder: where the path of a database that is a file starts.
        table: its name, as `parts` reads it; None where there is a query.
        query: one statement that gives rows; None where there is a table.
        cursor: the column that grows; None reads the whole.
        after: the position the last extract ended at, exactly as the server wrote it; None before the first.
        start: the first position, itself included; only looked at while ``after`` is None.
        lookback: how far before ``after`` rows are read again.
        timeout: the longest wait for a connection, and for the next bytes, in seconds.
        until: when the whole must be over, in seconds of `time.monotonic`.
        redact: takes secrets out of text.
    """

    url: str = field(repr=False)
    origin: str
    folder: Path
    table: str | None
    query: str | None
    cursor: str | None
    after: str | None
    start: str | None
    lookback: timedelta | Decimal | None
    timeout: float
    until: float
    redact: Callable[[str], str] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the table's name, each exactly as the database has it."""
        return parts(self.table or "")

    def patience(self) -> float:
        """How long the next answer may take, in seconds; 0 when the time for the whole is over."""
        return max(0.0, min(self.timeout, self.until - time.monotonic()))

    def until_ms(self) -> int:
        """How long the whole may take from now on, in milliseconds, for the server to know too."""
        return max(1, min(int((self.until - time.monotonic()) * 1000), 2**31 - 1))

    def header(self, names: Sequence[str]) -> bytes:
        """The first line of an extract in the format `copy`.

        Raises:
            SourceError: two columns have one name, or there is none.
        """
        if not names:
            raise self.error("has no columns; there is nothing to land")
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise self.error(f"has {times} columns named '{printable(name)}'; give each a name of its own (AS ...)")
        return b"\t".join(escaped(name.encode()) for name in names) + b"\n"

    def late(self) -> SourceError:
        """That the server did not answer in time."""
        if self.until <= time.monotonic():
            return self.error("took longer than the deadline of its source; set a longer one", retryable=False)
        return self.error(f"no answer within {self.timeout:g} s (timeout)", retryable=True)

    def error(self, text: str, *, retryable: bool = False) -> SourceError:
        """What went wrong with it, without secrets."""
        return SourceError(self.redact(f"{printable(self.origin)}: {text.strip()}"), retryable=retryable)
