r"""MariaDB and MySQL by a streaming cursor: the server's own text of every value, in one snapshot.

The driver's converters are left out, so that no value is ever a Python number or date: decimals of 65 digits, zero
dates and times beyond 24 hours come as the server writes them. Bytes come as ``\x`` and their hexadecimal digits.
"""

# ruff: noqa: S608  # statements are put together from quoted names and literals

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lakehouse.errors import ConfigError
from lakehouse.formats.copy_format import escaped
from lakehouse.sources import Download
from lakehouse.sources.sql.extract import Extract

if TYPE_CHECKING:  # an extra
    import pymysql

__all__ = ["extract"]

_ROWS, _BYTES = 1000, 1 << 20
"""Rows, and bytes of wide values, that are held at once."""
_WIDE = 8192
"""Bytes a value may have above which it is counted."""
_CONNECT = 30  # seconds; a server that is there answers sooner
_BINARY = 63  # the character set of what has none
_BYTES_TYPES = {"VARCHAR", "BIT", "TINY_BLOB", "MEDIUM_BLOB", "LONG_BLOB", "BLOB", "VAR_STRING", "STRING", "GEOMETRY"}
_NUMBERS = {"TINY", "SHORT", "INT24", "LONG", "LONGLONG", "DECIMAL", "NEWDECIMAL", "DOUBLE", "YEAR"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TEMPORAL = {
    "DATE": "DATE",
    "NEWDATE": "DATE",
    "DATETIME": "DATETIME(6)",
    "TIMESTAMP": "DATETIME(6)",
    "TIME": "TIME(6)",
}
_TEXTS = {"VARCHAR", "VAR_STRING", "STRING"}
_REFUSED = {1044, 1045, 1049, 1054, 1064, 1142, 1143, 1146, 1227, 1356, 1370, 1698, 1792, 3159}
"""Errors that asking again does not mend: no right, no such database, table or column, not SQL, read only."""
_OPTIONS = {"unix_socket", "ssl_ca"}
# Bytes that are never in UTF-8 stand between values, after records and for NULL until all else is escaped.
_NULL, _RECORD, _VALUE = b"\xfd", b"\xfe", b"\xff"
_MARKS = bytes.maketrans(_RECORD + _VALUE, b"\n\t")


@dataclass(frozen=True)
class _Column:
    """A column of a result: its name, the server's word for its type, whether it holds bytes, how long a value is."""

    name: str
    kind: str
    raw: bool
    length: int
    nullable: bool


@contextmanager
def extract(ask: Extract) -> Iterator[Download | None]:
    """Read a table or query."""
    with _connected(ask) as session:
        done = _asked(ask, session)
        yield done


class _Session:
    """A connection with its read-only snapshot."""

    def __init__(self, ask: Extract, connection: pymysql.Connection[Any]) -> None:
        self.ask = ask
        self.connection = connection

    def rows(self, sql: str) -> list[tuple[bytes | None, ...]]:
        """All rows of a short answer."""
        with _told(self.ask), self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def value(self, sql: str) -> str | None:
        """The first value of the first row; None where there is none."""
        rows = self.rows(sql)
        return None if not rows or rows[0][0] is None else rows[0][0].decode()

    def columns(self, sql: str) -> list[_Column]:
        """The columns of a statement that is made to give no rows."""
        from pymysql.constants import FIELD_TYPE, FLAG  # noqa: PLC0415  # an extra

        kinds = {number: name for name, number in vars(FIELD_TYPE).items() if name.isupper() and name != "CHAR"}
        kinds |= {FIELD_TYPE.ENUM: "ENUM", FIELD_TYPE.SET: "SET", FIELD_TYPE.YEAR: "YEAR", FIELD_TYPE.TINY: "TINY"}
        self.rows(sql)
        # The driver tells characters from bytes by this too, and gives it to nobody.
        fields = self.connection._result.fields  # noqa: SLF001
        found = []
        for field in fields:
            kind = kinds.get(field.type_code, str(field.type_code))
            raw = kind in {"BIT", "GEOMETRY"} or (field.charsetnr == _BINARY and kind in _BYTES_TYPES)
            found.append(_Column(field.name, kind, raw, field.length, not field.flags & FLAG.NOT_NULL))
        return found


@contextmanager
def _connected(ask: Extract) -> Iterator[_Session]:
    try:
        import pymysql  # noqa: PLC0415  # an extra
        from pymysql import converters  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("MariaDB and MySQL need pymysql: pip install 'lakehouse[mysql]'") from error

    given = urlsplit(ask.url)
    options = dict(parse_qsl(given.query))
    options.pop("charset", None)  # always UTF-8
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ask.error(f"its url has an option '{unknown[0]}'; those of MySQL are {', '.join(sorted(_OPTIONS))}")
    with _told(ask):
        connection = pymysql.connect(
            host=given.hostname or "127.0.0.1",
            port=given.port or 3306,
            user=unquote(given.username or ""),
            password=unquote(given.password or ""),
            database=unquote(given.path.strip("/")) or None,
            unix_socket=options.get("unix_socket"),
            ssl_ca=options.get("ssl_ca"),
            charset="utf8mb4",
            use_unicode=False,
            conv=dict(converters.encoders),
            connect_timeout=max(1, int(min(_CONNECT, ask.patience()))),
            read_timeout=max(1, ask.patience()),
            write_timeout=max(1, ask.patience()),
            program_name="lakehouse",
        )
    session = _Session(ask, connection)
    try:
        session.rows("SET time_zone = '+00:00'")
        session.rows("SET SESSION sql_mode = REPLACE(@@sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', '')")
        session.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        if "MariaDB" in (session.value("SELECT VERSION()") or ""):
            session.rows(f"SET SESSION max_statement_time = {ask.until_ms() / 1000}")
        else:
            session.rows(f"SET SESSION max_execution_time = {ask.until_ms()}")
        session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield session
    finally:
        connection.close()
        if (result := connection._result) is not None:  # noqa: SLF001
            result.unbuffered_active = False  # else it waits for the rest when it is forgotten


@contextmanager
def _told(ask: Extract) -> Iterator[None]:
    """The driver's errors as ours."""
    import pymysql  # noqa: PLC0415  # an extra

    try:
        yield
    except pymysql.Error as error:
        number = error.args[0] if error.args else 0
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        if "timed out" in text:
            raise ask.late() from None
        if ask.until <= time.monotonic():
            raise ask.late() from None
        passing = isinstance(error, (pymysql.OperationalError, pymysql.InterfaceError)) and number not in _REFUSED
        raise ask.error(f"the server says: {text} ({number})", retryable=passing) from None


def _asked(ask: Extract, session: _Session) -> Download | None:
    """What there is to read in this snapshot; None where nothing is newer."""
    # A subquery cannot write a file, nor do anything but read.
    relation = ".".join(map(_identifier, ask.names)) if ask.table else f"({ask.query}\n) AS query"
    columns = session.columns(f"SELECT * FROM {relation} LIMIT 0")
    header = ask.header([column.name for column in columns])
    facts: dict[str, Any] = {
        "database": _server(session.value("SELECT VERSION()") or ""),
        **({"table": ask.table} if ask.table else {"query": ask.redact(ask.query or "")}),
        "columns": _described(ask, session, columns),
        "snapshot_at": session.value("SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%f+00:00')"),
    }
    log = {(name or b"").lower(): value or b"" for name, value in session.rows("SHOW STATUS LIKE 'binlog_snapshot_%'")}
    if log.get(b"binlog_snapshot_file"):  # as MariaDB tells it
        facts["snapshot"] = b":".join((log[b"binlog_snapshot_file"], log[b"binlog_snapshot_position"])).decode()
    selected = ", ".join(_selected(column) for column in columns)
    if ask.cursor is None:
        return _download(session, f"SELECT {selected} FROM {relation}", columns, header, "", facts)
    column = next((column for column in columns if column.name == ask.cursor), None)
    if column is None:
        raise ask.error(f"has no column '{ask.cursor}' (cursor); it has {', '.join(c.name for c in columns)}")
    within = _within(ask, session, relation, column)
    if within is None:
        return None
    where, mark = within
    facts |= {"cursor": ask.cursor, "after": ask.after, "until": mark}
    return _download(session, f"SELECT {selected} FROM {relation} WHERE {where}", columns, header, mark, facts)


def _download(  # noqa: PLR0913, PLR0917  # the parts of one extract
    session: _Session, sql: str, columns: Sequence[_Column], header: bytes, mark: str, facts: dict[str, Any]
) -> Download:
    """The extract; its bytes are an own writing of the values the server sends, which are exact."""
    chunks = _streamed(session, sql, columns, header, facts)
    return Download(chunks=chunks, modified=mark, fidelity="extract", facts=facts)


def _streamed(
    session: _Session, sql: str, columns: Sequence[_Column], header: bytes, facts: dict[str, Any]
) -> Iterator[bytes]:
    from pymysql.cursors import SSCursor  # noqa: PLC0415  # an extra

    yield header
    raw = [place for place, column in enumerate(columns) if column.raw]
    wide = [place for place, column in enumerate(columns) if column.length > _WIDE]
    count = 0
    with _told(session.ask):
        cursor = session.connection.cursor(SSCursor)
        cursor.execute(sql)
    while rows := _batch(session.ask, cursor, wide):
        count += len(rows)
        yield _written(rows, raw)
    facts["rows"] = count


def _batch(ask: Extract, cursor: Any, wide: Sequence[int]) -> list[tuple[bytes | None, ...]]:
    """The next rows; none at the end."""
    if ask.until <= time.monotonic():
        raise ask.late()
    with _told(ask):
        if not wide:
            return list(cursor.fetchmany(_ROWS))
        rows: list[tuple[bytes | None, ...]] = []
        size = 0
        while len(rows) < _ROWS and size < _BYTES and (row := cursor.fetchone()) is not None:
            rows.append(row)
            size += sum(len(row[place] or b"") for place in wide)
        return rows


def _written(rows: Sequence[Sequence[bytes | None]], raw: Sequence[int]) -> bytes:
    """Rows as COPY text, all escaped at once."""
    if raw:
        rows = [[_hex(value) if place in raw else value for place, value in enumerate(row)] for row in rows]
    lines = []
    missing = 0
    for row in rows:
        if None in row:
            lines.append(_VALUE.join([_NULL if value is None else value for value in row]))
            missing += row.count(None)
        else:
            lines.append(_VALUE.join(row))  # type: ignore[arg-type]  # none is None
    data = _RECORD.join(lines) + _RECORD
    marks = (data.count(_NULL), data.count(_RECORD), data.count(_VALUE))
    if marks != (missing, len(rows), len(rows) * (len(rows[0]) - 1)):  # a value that is no UTF-8
        return b"".join(b"\t".join(map(escaped, row)) + b"\n" for row in rows)
    if b"\\" in data:
        data = data.replace(b"\\", rb"\\")
    for mark, escape in ((b"\t", rb"\t"), (b"\n", rb"\n"), (b"\r", rb"\r")):
        if mark in data:
            data = data.replace(mark, escape)
    data = data.translate(_MARKS)
    return data.replace(_NULL, rb"\N") if missing else data


def _hex(value: bytes | None) -> bytes | None:
    return None if value is None else rb"\x" + value.hex().encode()


def _within(ask: Extract, session: _Session, relation: str, column: _Column) -> tuple[str, str] | None:
    """Which rows are of this extract, and the position it ends at; None where there is none."""
    name, kind = _identifier(column.name), column.kind
    if column.raw or kind not in _NUMBERS | _TEXTS | _TEMPORAL.keys():
        raise ask.error(f"'{ask.cursor}' (cursor) is {kind}, which has no exact order; take a whole number or a time")
    if column.nullable and session.rows(f"SELECT 1 FROM {relation} WHERE {name} IS NULL LIMIT 1"):
        raise ask.error(
            f"some rows have no '{ask.cursor}' (cursor), so no extract would ever bring them; give them one, or leave "
            f"them out by a query: SELECT ... WHERE {name} IS NOT NULL"
        )
    newer = [f"{name} IS NOT NULL"]
    if ask.after is not None:
        newer.append(f"{name} > {_literal(ask, kind, ask.after)}")
    elif ask.start is not None:
        newer.append(f"{name} >= {_literal(ask, kind, ask.start)}")
    top = session.value(f"SELECT {name} FROM {relation} WHERE {' AND '.join(newer)} ORDER BY {name} DESC LIMIT 1")
    again = ask.after is not None and bool(ask.lookback)
    mark = top if top is not None else ask.after if again else None
    if mark is None:
        return None
    if ask.after is not None and again:
        less = ask.lookback
        step = f"INTERVAL {less.total_seconds():f} SECOND" if isinstance(less, timedelta) else f"{less:f}"
        since = _literal(ask, "DATETIME" if kind == "DATE" else kind, ask.after)
        newer[1] = f"{name} > {since} - {step}"
    return f"{' AND '.join(newer)} AND {name} <= {_literal(ask, kind, mark)}", mark


def _literal(ask: Extract, kind: str, position: str) -> str:
    """A position as SQL that compares exactly: text beside a number would be compared as a double."""
    if kind in _NUMBERS:
        if not _NUMBER.fullmatch(position):
            raise ask.error(f"the position '{position}' is no number, as its cursor is; correct 'start'")
        return position
    text = f"_utf8mb4 X'{position.encode().hex()}'" if position else "''"
    return f"CAST({text} AS {_TEMPORAL[kind]})" if kind in _TEMPORAL else text


def _described(ask: Extract, session: _Session, columns: Sequence[_Column]) -> list[dict[str, Any]]:
    """The columns with the types the server's catalog has; those of a query by the protocol's word for them."""
    types: dict[str, str] = {}
    if ask.table:
        *schema, table = ask.names
        where = _text(schema[-1]) if schema else "DATABASE()"
        found = session.rows(
            "SELECT column_name, column_type FROM information_schema.columns "
            f"WHERE table_schema = {where} AND table_name = {_text(table)}"
        )
        types = {(name or b"").decode(): (kind or b"").decode() for name, kind in found}
    return [
        {"name": column.name, "type": types.get(column.name, column.kind.lower()), "nullable": column.nullable}
        | ({"bytes": "hex"} if column.raw else {})
        for column in columns
    ]


def _server(version: str) -> str:
    name, _, _ = version.partition("-")
    return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {name}"


def _selected(column: _Column) -> str:
    """A column as it is selected: the server writes six digits of a FLOAT, which are not all it has."""
    name = _identifier(column.name)
    return f"{name} + 0e0 AS {name}" if column.kind == "FLOAT" else name


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    return f"_utf8mb4 X'{value.encode().hex()}'"
