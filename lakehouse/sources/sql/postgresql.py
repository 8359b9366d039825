"""PostgreSQL by COPY: the server's own text of every value, streamed, in one snapshot.

The connection is driven by hand: each wait has an end, and a row costs one call. Every statement goes by the
extended protocol, which takes one statement only, inside a read-only transaction: nothing can be changed.
"""

# ruff: noqa: S608  # statements are put together from quoted names and literals

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from lakehouse.errors import ConfigError
from lakehouse.sources import Download
from lakehouse.sources.sql.extract import Extract

if TYPE_CHECKING:  # an extra
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

T = TypeVar("T")

__all__ = ["Plan", "Session", "address", "connect", "extract", "plan"]

_CHUNK = 256 << 10
_CONNECT = 30  # seconds; a server that is there answers sooner
_PASSING = ("08", "40", "53", "57", "58")  # classes of errors that may be over soon: lost, locked out, shut down, full
_ENDLESS = ("numeric", "double precision", "real", "date", "timestamp")

# What values look like as text must not hang on whose session it is.
_SETTINGS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "standard_conforming_strings": "on",
    "synchronize_seqscans": "off",  # the same rows come in the same order
    "idle_in_transaction_session_timeout": "0",
}

_COLUMNS = """
SELECT pg_catalog.format_type(coalesce(a.atttypid, o.type), coalesce(a.atttypmod, o.mod)),
       pg_catalog.format_type(o.type, o.mod), coalesce(a.attnotnull, false)
FROM unnest({types}::pg_catalog.oid[], {mods}::pg_catalog.int4[], {tables}::pg_catalog.oid[],
            {numbers}::pg_catalog.int4[]) WITH ORDINALITY AS o (type, mod, relation, number, place)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = o.relation AND a.attnum = o.number AND o.number > 0
ORDER BY o.place
"""


@dataclass(frozen=True)
class Plan:
    """What one extract reads.

    Attributes:
        select: the statement whose rows it is.
        names: its columns.
        types: what the server calls the type of each, without domains.
        mark: the position it ends at; "" without a cursor.
        facts: what the manifest says of it.
    """

    select: str
    names: list[str]
    types: list[str]
    mark: str
    facts: dict[str, Any]


@contextmanager
def extract(ask: Extract) -> Iterator[Download | None]:
    """Copy a table or query out."""
    with connect(ask) as session:
        found = plan(ask, session)
        if found is None:
            yield None
            return
        header = ask.header(found.names)
        done = Download(modified=found.mark, fidelity="wire", facts=found.facts)
        done.chunks = _copied(session, found, header)
        yield done


def _copied(session: Session, found: Plan, header: bytes) -> Iterator[bytes]:
    yield header
    yield from session.copy(f"COPY ({found.select}) TO STDOUT")
    found.facts["rows"] = session.rows


class Session:
    """A connection with a transaction open, whose waits all end.

    Attributes:
        rows: how many the last copy gave.
    """

    def __init__(self, ask: Extract, connection: psycopg.Connection[Any]) -> None:
        from psycopg import pq  # noqa: PLC0415  # an extra

        self._ask = ask
        self._pgconn: PGconn = connection.pgconn
        self._pgconn.nonblocking = 0
        self._pq = pq
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pgconn.socket, selectors.EVENT_READ)
        self._escaping = pq.Escaping(self._pgconn)
        self.rows = 0

    def close(self) -> None:
        """Give up what waits for the connection; closing that is its owner's part."""
        self._selector.close()

    def literal(self, text: str) -> str:
        """A text as SQL."""
        return bytes(self._escaping.escape_literal(text.encode())).decode()

    def identifier(self, name: str) -> str:
        """A name as SQL, exactly as it is."""
        return bytes(self._escaping.escape_identifier(name.encode())).decode()

    def query(self, sql: str) -> list[list[str | None]]:
        """The rows of a statement, every value as the server writes it."""
        result = self.result(sql)
        values = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        return [[None if value is None else value.decode() for value in row] for row in values]

    def result(self, sql: str) -> PGresult:
        """What the server answers to one statement.

        Raises:
            SourceError: an error, or nothing in time.
        """
        return self._guarded(lambda: self._result(sql))

    def copy(self, sql: str) -> Iterator[bytes]:
        """The bytes of a COPY, a quarter of a megabyte at a time."""
        self.result(sql)
        more = True
        while more:
            rows, more = self._guarded(self._rows)
            yield rows
        last = self._guarded(self._last)
        self.rows = last.command_tuples or 0

    def _rows(self) -> tuple[bytes, bool]:
        """Some rows, and whether there may be more."""
        take = self._pgconn.get_copy_data
        rows = bytearray()  # a row's own memory is given back at once: kept, a thousand rows cost twice the time
        while len(rows) < _CHUNK:
            length, data = take(1)
            if length > 0:
                rows += data
            elif length == 0:
                self._wait()
            else:
                return bytes(rows), False
        return bytes(rows), True

    def _result(self, sql: str) -> PGresult:
        self._pgconn.send_query_params(sql.encode(), None)
        return self._last()

    def _last(self) -> PGresult:
        """The answer's last result, or that it copies now."""
        found = None
        while True:
            while self._pgconn.is_busy():
                self._wait()
            result = self._pgconn.get_result()
            if result is None:
                break
            found = result
            if result.status == self._pq.ExecStatus.COPY_OUT:
                break
        if found is None:
            raise self._ask.error("the connection was lost", retryable=True)
        if found.status in (self._pq.ExecStatus.FATAL_ERROR, self._pq.ExecStatus.BAD_RESPONSE):
            raise self._refused(found)
        return found

    def _wait(self) -> None:
        if not self._selector.select(self._ask.patience()):
            raise self._ask.late()
        self._pgconn.consume_input()

    def _guarded(self, do: Callable[[], T]) -> T:
        import psycopg  # noqa: PLC0415  # an extra

        try:
            return do()
        except psycopg.Error as error:
            raise self._ask.error(f"the connection was lost: {_line(str(error))}", retryable=True) from None

    def _refused(self, result: PGresult) -> Exception:
        field = self._pq.DiagnosticField
        said = [result.error_field(one) for one in (field.MESSAGE_PRIMARY, field.MESSAGE_DETAIL, field.MESSAGE_HINT)]
        text = "; ".join(one.decode("utf-8", "replace") for one in said if one)
        state = (result.error_field(field.SQLSTATE) or b"").decode()
        again = not state or state[:2] in _PASSING or state == "55P03"
        return self._ask.error(f"the server says: {text or _line(result.get_error_message())}", retryable=again)


@contextmanager
def connect(ask: Extract) -> Iterator[Session]:
    """A connection with its own transaction, which sees one snapshot and changes nothing.

    Raises:
        ConfigError: psycopg is not installed.
        SourceError: there is no connection to be had.
    """
    try:
        import psycopg  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError("PostgreSQL needs psycopg: pip install 'lakehouse[postgresql]'") from error

    try:
        connection = psycopg.Connection.connect(
            address(ask.url),
            autocommit=True,
            connect_timeout=max(2, int(min(_CONNECT, ask.patience()))),
            application_name="lakehouse",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg.Error as error:
        # A server that is not there may come back; one that refuses whom it is asked for will go on to.
        refused = any(word in str(error) for word in ("authentication failed", "does not exist", "pg_hba.conf"))
        mistaken = isinstance(error, psycopg.ProgrammingError)
        raise ask.error(_line(str(error)), retryable=not refused and not mistaken) from None
    try:
        session = Session(ask, connection)
        try:
            session.result("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            limits = {"statement_timeout": ask.until_ms(), "lock_timeout": int(ask.timeout * 1000)}
            settings = {**_SETTINGS, **{name: str(value) for name, value in limits.items()}}
            calls = (f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in settings.items())
            session.result(f"SELECT {', '.join(calls)}")
            yield session
        finally:
            session.close()
    finally:
        connection.close()


def address(url: str) -> str:
    """The URL as libpq reads it."""
    given = urlsplit(url)
    return urlunsplit(given._replace(scheme="postgresql"))


def plan(ask: Extract, session: Session) -> Plan | None:
    """What there is to read in this snapshot; None where nothing is newer."""
    version, snapshot, at = session.query(
        "SELECT pg_catalog.current_setting('server_version'), pg_catalog.txid_current_snapshot(), "
        'pg_catalog.to_char(pg_catalog.clock_timestamp(), \'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\')'
    )[0]
    relation = ".".join(map(session.identifier, ask.names)) if ask.table else f"({ask.query}\n) AS query"
    columns = _columns(session, relation)
    names, types = [column["name"] for column in columns], [column["base"] for column in columns]
    facts: dict[str, Any] = {
        "database": f"PostgreSQL {version}",
        **({"table": ask.table} if ask.table else {"query": ask.redact(ask.query or "")}),
        "columns": [{key: column[key] for key in ("name", "type", "nullable")} for column in columns],
        "snapshot": snapshot,
        "snapshot_at": at,
    }
    if ask.cursor is None:
        return Plan(f"SELECT * FROM {relation}", names, types, "", facts)
    column = next((column for column in columns if column["name"] == ask.cursor), None)
    if column is None:
        raise ask.error(f"has no column '{ask.cursor}' (cursor); it has {', '.join(names)}")
    within = _within(ask, session, relation, column)
    if within is None:
        return None
    where, mark = within
    facts |= {"cursor": ask.cursor, "after": ask.after, "until": mark}
    return Plan(f"SELECT * FROM {relation} WHERE {where}", names, types, mark, facts)


def _within(ask: Extract, session: Session, relation: str, column: dict[str, Any]) -> tuple[str, str] | None:
    """Which rows are of this extract, and the position it ends at; None where there is none."""
    name, kind = session.identifier(column["name"]), column["base"]
    if column["nullable"] and session.query(f"SELECT 1 FROM {relation} WHERE {name} IS NULL LIMIT 1"):
        raise ask.error(
            f"some rows have no '{ask.cursor}' (cursor), so no extract would ever bring them; give them one, or leave "
            f"them out by a query: SELECT ... WHERE {name} IS NOT NULL"
        )

    def at(position: str) -> str:
        return f"{session.literal(position)}::{kind}"

    newer = [f"{name} IS NOT NULL"]
    if ask.after is not None:
        newer.append(f"{name} > {at(ask.after)}")
    elif ask.start is not None:
        newer.append(f"{name} >= {at(ask.start)}")
    top = session.query(f"SELECT {name} FROM {relation} WHERE {' AND '.join(newer)} ORDER BY {name} DESC LIMIT 1")
    again = ask.after is not None and bool(ask.lookback)
    mark = top[0][0] if top else ask.after if again else None
    if mark is None:
        return None
    if kind.startswith(_ENDLESS) and mark.lower() in ("infinity", "nan"):
        raise ask.error(
            f"'{ask.cursor}' (cursor) holds {mark}, after which nothing would ever come; mend those rows, or leave "
            "them out by a query"
        )
    if ask.after is not None and again:
        less = ask.lookback
        back = f"{less.total_seconds():f} seconds" if isinstance(less, timedelta) else None
        step = f"{session.literal(back)}::pg_catalog.interval" if back else f"{less:f}"
        newer[1] = f"{name} > {at(ask.after)} - {step}"
    return f"{' AND '.join(newer[1:] or ['true'])} AND {name} <= {at(mark)}", mark


def _columns(session: Session, relation: str) -> list[dict[str, Any]]:
    """The columns of a table or query, with the types that the server's catalog has."""
    shape = session.result(f"SELECT * FROM {relation} LIMIT 0")
    every = range(shape.nfields)

    def array(values: Iterator[int]) -> str:
        return "'{" + ",".join(map(str, values)) + "}'"

    asked = _COLUMNS.format(
        types=array(shape.ftype(i) for i in every),
        mods=array(shape.fmod(i) for i in every),
        tables=array(shape.ftable(i) for i in every),
        numbers=array(shape.ftablecol(i) for i in every),
    )
    return [
        {"name": (shape.fname(i) or b"").decode(), "type": kind, "base": base, "nullable": filled != "t"}
        for i, (kind, base, filled) in zip(every, session.query(asked), strict=True)
    ]


def _line(text: str) -> str:
    return " ".join(text.split())
