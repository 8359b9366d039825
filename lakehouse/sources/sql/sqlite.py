"""SQLite: the database file itself by its backup API, or the rows of a query as COPY text.

The backup is consistent while others write, whatever the database's journal; an unchanged database gives the same
bytes, so nothing new lands. The table to read is then the format's business.
"""

# ruff: noqa: S608  # statements are put together from quoted names and literals

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lakehouse.formats.copy_format import escaped
from lakehouse.formats.sqlite_format import as_bytes, quoted
from lakehouse.sources import Download
from lakehouse.sources.sql.extract import Extract

__all__ = ["extract"]

_ROWS = 1000
_PAGES = 4096


@contextmanager
def extract(ask: Extract) -> Iterator[Download | None]:
    """Copy the database, or read what a query or a cursor asks for."""
    path = ask.folder / unquote(urlsplit(ask.url).path.removeprefix("/"))
    if not path.is_file():
        raise ask.error(
            f"there is no database file {path.name}; correct its url (sqlite:///file, sqlite:////folder/file)"
        )
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=max(1, ask.patience()), isolation_level=None
    )
    with closing(connection):
        try:
            if ask.query is None and ask.cursor is None:
                with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
                    yield _backup(ask, connection, Path(folder) / path.name)
            else:
                connection.text_factory = bytes
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                yield _asked(ask, connection)
        except sqlite3.Error as error:
            busy = isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))
            raise ask.error(f"SQLite says: {error}", retryable=busy) from None


def _backup(ask: Extract, connection: sqlite3.Connection, copy: Path) -> Download:
    table = ask.names[-1]
    known = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    if table not in known:
        raise ask.error(f"has no table '{table}'; it has {', '.join(sorted(known)) or 'none'}")

    def in_time(_status: int, _remaining: int, _total: int) -> None:
        if ask.until <= time.monotonic():
            raise ask.late()

    with closing(sqlite3.connect(copy)) as target:
        connection.backup(target, pages=_PAGES, progress=in_time)
    facts = _facts(ask) | {"method": "backup"}
    return Download(path=copy, size=copy.stat().st_size, fidelity="bytes", facts=facts)


def _facts(ask: Extract) -> dict[str, Any]:
    return {
        "database": f"SQLite {sqlite3.sqlite_version}",
        **({"table": ask.table} if ask.table else {"query": ask.redact(ask.query or "")}),
        "snapshot_at": datetime.now(UTC).isoformat(),
    }


def _asked(ask: Extract, connection: sqlite3.Connection) -> Download | None:
    relation = ".".join(map(quoted, ask.names)) if ask.table else f"({ask.query}\n)"
    names = [column[0] for column in connection.execute(f"SELECT * FROM {relation} LIMIT 0").description]
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    header = ask.header(names)
    facts = _facts(ask) | {"columns": [{"name": name, "type": "any", "nullable": True} for name in names]}
    if ask.cursor is None:
        return _download(ask, connection, relation, ("true", ()), header, "", facts)
    if ask.cursor not in names:
        raise ask.error(f"has no column '{ask.cursor}' (cursor); it has {', '.join(names)}")
    within = _within(ask, connection, relation)
    if within is None:
        return None
    where, values, mark = within
    facts |= {"cursor": ask.cursor, "after": ask.after, "until": mark}
    return _download(ask, connection, relation, (where, values), header, mark, facts)


def _download(  # noqa: PLR0913, PLR0917  # the parts of one extract
    ask: Extract,
    connection: sqlite3.Connection,
    relation: str,
    where: tuple[str, tuple[Any, ...]],
    header: bytes,
    mark: str,
    facts: dict[str, Any],
) -> Download:
    def streamed() -> Iterator[bytes]:
        yield header
        count = 0
        # Bytes and texts both come as bytes; which a value is stands beside it.
        names = header.count(b"\t") + 1
        columns = [quoted(column[0]) for column in connection.execute(f"SELECT * FROM {relation} LIMIT 0").description]
        kinds = ", ".join(f"typeof({name}) = 'blob'" for name in columns)
        rows = connection.execute(f"SELECT *, {kinds} FROM {relation} WHERE {where[0]}", where[1])
        try:
            while some := rows.fetchmany(_ROWS):
                if ask.until <= time.monotonic():
                    raise ask.late()
                count += len(some)
                yield b"".join(
                    b"\t".join(escaped(as_bytes(row[n], raw=bool(row[names + n]))) for n in range(names)) + b"\n"
                    for row in some
                )
        except sqlite3.Error as error:
            raise ask.error(f"SQLite says: {error}") from None
        facts["rows"] = count

    return Download(chunks=streamed(), modified=mark, fidelity="extract", facts=facts)


def _within(ask: Extract, connection: sqlite3.Connection, relation: str) -> tuple[str, tuple[Any, ...], str] | None:
    """Which rows are of this extract, and the position it ends at; None where there is none."""
    name = quoted(ask.cursor or "")
    kinds = {kind.decode() for (kind,) in connection.execute(f"SELECT DISTINCT typeof({name}) FROM {relation}")}
    if "null" in kinds:
        raise ask.error(
            f"some rows have no '{ask.cursor}' (cursor), so no extract would ever bring them; give them one, or leave "
            f"them out by a query: SELECT ... WHERE {name} IS NOT NULL"
        )
    if "blob" in kinds or len(kinds) > 1:
        raise ask.error(f"'{ask.cursor}' (cursor) holds {', '.join(sorted(kinds))}; it must be of one kind, not bytes")
    if not kinds:
        return None
    kind = {"integer": int, "real": float, "text": str}[kinds.pop()]
    where, values = "true", []
    if ask.after is not None:
        where, values = f"{name} > ?", [kind(ask.after)]
    elif ask.start is not None:
        where, values = f"{name} >= ?", [kind(ask.start)]
    top = connection.execute(f"SELECT max({name}) FROM {relation} WHERE {where}", values).fetchone()[0]
    if top is None and not (ask.after is not None and ask.lookback):
        return None
    text = (as_bytes(top, raw=False) or b"").decode() if top is not None else str(ask.after)
    if ask.after is not None and ask.lookback:
        if isinstance(ask.lookback, timedelta) or kind is str:
            raise ask.error("lookback: SQLite has no times of its own; look back by a number, or read the whole")
        values = [kind(kind(ask.after) - kind(ask.lookback))]
    return f"{where} AND {name} <= ?", (*values, kind(text)), text
