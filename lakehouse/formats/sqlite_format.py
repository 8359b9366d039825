"""SQLite: a table or query of a database file, every value as text that tells it exactly."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field, model_validator

from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import refuse

__all__ = ["SqliteFormat", "as_bytes", "quoted"]

_ROWS = 10_000
_BYTES = 16 << 20
_MAGIC = b"SQLite format 3\0"
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def quoted(name: str) -> str:
    """A name as SQL, exactly as it is."""
    return '"' + name.replace('"', '""') + '"'


def as_bytes(value: Any, *, raw: bool) -> bytes | None:
    """A value as UTF-8 text: whole numbers and texts as they are, reals as short as is exact, bytes as hexadecimal."""
    if value is None:
        return None
    if raw:
        return rb"\x" + bytes(value).hex().encode()
    return value if isinstance(value, bytes) else repr(value).encode()


class SqliteFormat(Converted):
    r"""One table or query of a SQLite database. Bytes are ``\x`` and their hexadecimal digits."""

    type: Literal["sqlite"] = "sqlite"
    table: str | None = Field(None, min_length=1, description="the table or view that is read")
    query: str | None = Field(None, min_length=1, description="a SELECT that is read instead")

    @model_validator(mode="after")
    def _one_of_both(self) -> SqliteFormat:
        if self.table is not None and self.query is not None:
            raise ValueError("table: or query:, not both")
        return self

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - the base's
        """Stream the rows."""
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise refuse(raw, "not a SQLite database", "correct its source or its format")
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA cell_size_check = ON")
                connection.text_factory = _text
                select = self._select(raw, connection)
                # The file may come from anywhere: nothing in it may do more than give rows.
                connection.set_authorizer(_authorized)
                _stream(connection, select, into)
        except sqlite3.Error as error:
            raise refuse(
                raw, f"SQLite cannot read it: {error}", "correct 'table' or 'query', or replace the file"
            ) from error

    def _select(self, raw: Raw, connection: sqlite3.Connection) -> str:
        if self.query is not None:
            return f"SELECT * FROM ({self.query.strip().rstrip(';')}\n)"  # noqa: S608  # nothing but reading is allowed
        found = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        names = [name for (name,) in found]
        table = names[0] if self.table is None and len(names) == 1 else self.table
        if table is None or table not in names:
            what = f"no table '{table}' is in it" if table else "it has several tables" if names else "it has no table"
            raise refuse(raw, what, f"set 'table' to one of: {', '.join(sorted(names)) or 'none'}")
        return f"SELECT * FROM {quoted(table)}"  # noqa: S608


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _authorized(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or first) in {"load_extension", "readfile", "writefile", "edit"}:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _stream(connection: sqlite3.Connection, select: str, into: Conversion) -> None:
    rows = connection.execute(select)
    names = [column[0] for column in rows.description]
    into.header(dict.fromkeys(names, pl.String()))
    held: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        held.append(row)
        size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if len(held) >= _ROWS or size >= _BYTES:
            _give(names, held, into)
            held, size = [], 0
    if held:
        _give(names, held, into)


def _give(names: Sequence[str], rows: Sequence[Sequence[Any]], into: Conversion) -> None:
    try:
        columns = [_column(values) for values in zip(*rows, strict=True)]
    except UnicodeEncodeError:
        if len(rows) > 1:
            middle = len(rows) // 2
            _give(names, rows[:middle], into)
            _give(names, rows[middle:], into)
            return
        shown = [v.encode("utf-8", "surrogateescape") if isinstance(v, str) else v for v in rows[0]]
        into.broken("\t".join(map(repr, shown)), "row: a text in it is not UTF-8")
        return
    into.frame(pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String())))


def _column(values: Sequence[Any]) -> pl.Series:
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return pl.Series(values, dtype=pl.String)
    if kinds == {int}:
        return pl.Series(values, dtype=pl.Int64).cast(pl.String)
    return pl.Series(map(_written, values), dtype=pl.String)


def _written(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return "\\x" + value.hex() if isinstance(value, bytes) else repr(value)
