"""One table or query of a database: its YAML, and how its extracts follow one another.

A whole table has one origin. Extracts by a cursor have one each, which names the position it starts after; the
ledger's sighting of it holds the position it ended at. So the way from the first to the newest is all there is to
know where the next one starts, and a crash loses nothing: what is not recorded is asked for again.
"""

from __future__ import annotations

import hashlib
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from lakehouse.records import Interval
from lakehouse.sources import Download, Offer, Seen, Source, intervals
from lakehouse.sources.sql.extract import Extract, parts
from lakehouse.units import Duration, duration

__all__ = ["SqlSource"]

_KINDS = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
"""The module that reads a URL's kind of database; any other is read through SQLAlchemy."""

_PORTS = {"postgresql": ":5432", "mysql": ":3306"}
_LITERALS = {
    "postgresql": "TIMESTAMPTZ '%Y-%m-%d %H:%M:%S.%f%z'",
    "mysql": "TIMESTAMP'%Y-%m-%d %H:%M:%S.%f'",
    "sqlite": "'%Y-%m-%d %H:%M:%S'",
}
_PLAIN = "TIMESTAMP '%Y-%m-%d %H:%M:%S.%f'"
_LONGEST = 200  # characters of a position that an origin shows


def _url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        given = urlsplit(text)
        options = dict(parse_qsl(given.query))
    except ValueError:
        given, options = urlsplit(""), {}
    if "://" not in text or not given.scheme or any(c.isspace() for c in text):
        raise ValueError("must be a database URL: postgresql://user:${PASSWORD}@host/name, mysql://..., sqlite:///file")
    if options.keys() & {"password", "sslpassword", "user"}:
        raise ValueError("user and password stand before the host: postgresql://user:${PASSWORD}@host/name")
    return value


def _table(value: str) -> str:
    parts(value)
    return value


def _query(value: str) -> str:
    bare = value.strip().rstrip(";").rstrip()
    if not bare:
        raise ValueError("must be a statement that gives rows: SELECT ...")
    return bare


def _position(value: Any) -> Any:
    # YAML makes dates and numbers of what stands there without quotes.
    if isinstance(value, (int, float, date)) and not isinstance(value, bool):
        return value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return value


def _lookback(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(str(value))
    return value if isinstance(value, Decimal) else duration(value)


class SqlSource(Source):
    """A table or query of a database.

    Attributes:
        url: the database: ``postgresql://``, ``mysql://``, ``mariadb://``, ``sqlite:///`` or any SQLAlchemy URL.
        table: a table or view; its schema stands before a dot. Every part is the exact name.
        query: a statement that gives rows, instead of a table.
        cursor: a column that only grows: each run reads the rows after the last one's. Without it each run reads all.
        start: the first position, itself included; by default the beginning.
        lookback: how far before the last position rows are read again, for those that came late.
        via: ``copy`` lands the server's own text; ``adbc`` lands typed Parquet (PostgreSQL).
        timeout: the longest wait to connect, and for the next bytes.
        deadline: the longest a whole extract may take.
    """

    asking: ClassVar = ("query",)

    url: Annotated[SecretStr, AfterValidator(_url)]
    table: Annotated[str, AfterValidator(_table)] | None = None
    query: Annotated[str, AfterValidator(_query)] | None = None
    cursor: Annotated[str, Field(min_length=1)] | None = None
    start: Annotated[str | None, BeforeValidator(_position)] = None
    lookback: Annotated[timedelta | Decimal | None, BeforeValidator(_lookback)] = None
    via: Literal["copy", "adbc"] = "copy"
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(minutes=5)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=6)

    _template: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _fits_together(self) -> SqlSource:
        if (self.table is None) == (self.query is None):
            raise ValueError("table: is required, or query: instead of it; exactly one of them")
        for name in ("start", "lookback"):
            if getattr(self, name) is not None and self.cursor is None:
                raise ValueError(f"{name}: is of extracts by a cursor; name the column that grows: cursor: ...")
        if isinstance(self.lookback, Decimal) and self.lookback < 0:
            raise ValueError("lookback: must not be negative")
        if self.cursor is not None and self.timed:
            raise ValueError("cursor: follows positions, and {start} and {end} ask for a stretch of time; keep one")
        if self.via == "adbc" and self._kind != "postgresql":
            raise ValueError("via: adbc is of PostgreSQL; leave it out")
        return self

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str | dict[str, Any] | None:
        """What its extracts are, by where they come from."""
        if data.get("via") == "adbc":
            return "parquet"
        file = str(data.get("url", "")).startswith("sqlite:")
        if file and "table" in data and "cursor" not in data:
            return {"type": "sqlite", "table": data["table"]}
        return "copy"

    def unfit(self, history: str) -> str:
        """Why its files cannot feed a dataset; see `Source.unfit`."""
        if history == "snapshots" and self.cursor is not None:
            return "reads only what is new (cursor), and a snapshot is the full picture; take cursor out of the source"
        if history == "events" and self.lookback is not None:
            return (
                "reads rows again (lookback), which would count twice as events; take lookback out of the source, or "
                "set history: changes"
            )
        return ""

    @property
    def _scheme(self) -> str:
        return urlsplit(self.url.get_secret_value()).scheme.partition("+")[0]

    @property
    def _kind(self) -> str:
        return _KINDS.get(self._scheme, "other")

    def _address(self) -> str:
        """The database without user, password, options and the usual port."""
        given = urlsplit(self.url.get_secret_value())
        host = given.netloc.rpartition("@")[2].removesuffix(_PORTS.get(self._kind, ""))
        scheme = self._kind if self._kind == "postgresql" else self._scheme
        return self._redact(f"{scheme}://{host}{given.path.rstrip('/')}")

    def places(self) -> tuple[str, ...]:
        """The table, or the database that the query asks."""
        return (self._address() + (f"/{quote(self.table, safe='.')}" if self.table else ""),)

    def _series(self) -> str:
        """The address that all extracts of what is asked for share."""
        query = self._redact(self._template or self.query or "")
        asked = quote(self.table, safe=".") if self.table else f"query-{_digest(query)[:12]}"
        by = f"?cursor={quote(self.cursor)}" if self.cursor else ""
        return f"{self._address()}/{self._redact(asked + by)}"

    def _filled(self, name: str, interval: Interval) -> Any:
        del name  # the statement is all that asks
        if self.query is None:
            return None
        literal = _LITERALS.get(self._kind, _PLAIN)
        return intervals.literals(self.query, interval, self._zone, lambda m: m.strftime(literal))

    def during(self, interval: Interval) -> Self:
        """The same source, asked for a stretch of time."""
        asked = super().during(interval)
        asked._template = self.query  # noqa: SLF001  # its own copy
        return asked

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """The whole, or what is new since the last extract; see `Source.offers`."""
        del now  # the server's own clock counts
        origin, after = self._series(), None
        if span := self._span():
            origin = f"{origin}#{span}"
        if self.cursor is not None:
            series, origin = origin, f"{origin}#first"
            # An extract that found nothing newer, and read rows again, ended where it started.
            while origin in seen and seen[origin].modified not in ("", after):
                after = seen[origin].modified
                origin = f"{series}#after={self._shown(after)}"
        name = f"{'.'.join(parts(self.table)) if self.table else 'query'}.{self.format.type}".replace("/", "_")
        yield _Offer(origin, self._redact(name), lambda: self._open(origin, after))

    def _shown(self, position: str) -> str:
        """A position as part of an origin: itself, unless it is long or a secret."""
        shown = quote(position, safe=" :+-.").replace(" ", "+")
        fits = len(shown) <= _LONGEST and self._redact(position) == position
        return shown if fits else _digest(position)

    def _open(self, origin: str, after: str | None) -> AbstractContextManager[Download | None]:
        ask = Extract(
            url=self.url.get_secret_value(),
            origin=origin,
            folder=self._folder,
            table=self.table,
            query=self.query,
            cursor=self.cursor,
            after=after,
            start=self.start,
            lookback=self.lookback,
            timeout=self.timeout.total_seconds(),
            until=time.monotonic() + self.deadline.total_seconds(),
            redact=self._redact,
        )
        module = importlib.import_module(f"lakehouse.sources.sql.{'adbc' if self.via == 'adbc' else self._kind}")
        opened: AbstractContextManager[Download | None] = module.extract(ask)
        return opened


@dataclass
class _Offer(Offer):
    """One extract."""

    origin: str
    name: str
    ask: Callable[[], AbstractContextManager[Download | None]]

    def open(self) -> AbstractContextManager[Download | None]:
        """Ask the database."""
        return self.ask()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
