"""An online store in one SQLite file: a table a feature set, a row a key, a query a look-up."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse.errors import StorageError
from lakehouse.faults import point
from lakehouse.online.store import Found, Publication, Store
from lakehouse.online.values import encoded, key_codes

__all__ = ["SqliteStore"]

_MADE = """
CREATE TABLE IF NOT EXISTS publications (
    name TEXT PRIMARY KEY, stamp TEXT NOT NULL, generation INTEGER NOT NULL, told TEXT NOT NULL
)
"""
_PIECE = 20_000  # rows written at once
_MOST = 2048  # keys looked up by one statement: a power of two
_WAIT = 30.0  # seconds for another writer
_LOG = 64 << 20  # bytes of the write-ahead log that are kept


@dataclass(slots=True)
class _Shelf:
    """A publication and where its rows are. ``statements`` are by how many keys they look up."""

    publication: Publication
    generation: int
    statements: dict[int, str] = field(default_factory=dict)

    def statement(self, keys: int) -> str:
        """Looks up so many keys, in all tables; the first column is the key's place among them."""
        made = self.statements.get(keys)
        if made is None:
            made = self.statements[keys] = _look_up(self.publication, self.generation, keys)
        return made


class SqliteStore(Store):
    """An online store in one file. Each thread reads by a connection of its own, which stays open."""

    def __init__(self, url: str) -> None:
        self._file = Path(url.removeprefix("sqlite:///"))
        self._mine = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._shelves: dict[str, _Shelf] = {}

    def publication(self, name: str) -> Publication | None:
        """See `Store`."""
        with self._reading() as connection:
            shelf = None if connection is None else self._shelf(connection, name)
            return None if shelf is None else shelf.publication

    def count(self, name: str) -> int:
        """See `Store`."""
        with self._reading() as connection:
            if connection is None or (shelf := self._shelf(connection, name)) is None:
                return 0
            places = [_table(name, shelf.generation, number) for number in range(len(shelf.publication.tables))]
            counted = (connection.execute(f"SELECT count(*) FROM {place}").fetchone() for place in places)  # noqa: S608
            return sum(number for (number,) in counted)

    def replace(self, publication: Publication, rows: Sequence[Iterable[pl.DataFrame]]) -> None:
        """See `Store`."""
        with self._writing() as connection:
            old = self._stored(connection, publication.name)
            (generation,) = connection.execute("SELECT coalesce(max(generation), 0) + 1 FROM publications").fetchone()
            for number, (table, pieces) in enumerate(zip(publication.tables, rows, strict=True)):
                place = _table(publication.name, generation, number)
                keys, columns = _columns(len(table.keys), len(table.columns))
                connection.execute(
                    f"CREATE TABLE {place} ({', '.join(keys + columns)}, PRIMARY KEY ({', '.join(keys)})) WITHOUT ROWID"
                )
                for piece in pieces:
                    self._insert(connection, place, table.keys, table.columns, piece)
            if old is not None:
                for number in range(len(old.publication.tables)):
                    connection.execute(f"DROP TABLE {_table(publication.name, old.generation, number)}")
            self._tell(connection, publication, generation)

    def update(self, publication: Publication, rows: Sequence[pl.DataFrame], gone: Sequence[pl.DataFrame]) -> None:
        """See `Store`."""
        with self._writing() as connection:
            old = self._stored(connection, publication.name)
            if old is None or old.publication.tables != publication.tables:
                raise StorageError(f"{self} no longer holds '{publication.name}' as it was published; publish it again")
            for number, table in enumerate(publication.tables):
                place = _table(publication.name, old.generation, number)
                named = " AND ".join(f"{key} = ?" for key in _columns(len(table.keys), 0)[0])
                codes = (key_codes(gone[number][name]) for name in table.keys)
                connection.executemany(f"DELETE FROM {place} WHERE {named}", zip(*codes, strict=True))  # noqa: S608
                self._insert(connection, place, table.keys, table.columns, rows[number])
            self._tell(connection, publication, old.generation)

    def look_up(self, name: str, keys: Callable[[Publication], Sequence[Sequence[Sequence[Any]]]]) -> Found | None:
        """See `Store`."""
        with self._reading() as connection:
            if connection is None or (shelf := self._shelf(connection, name)) is None:
                return None
            of_tables = keys(shelf.publication)
            number = len(of_tables[0])
            found: list[tuple[Any, ...]] = [()] * number
            for start in range(0, number, _MOST):
                together = list(zip(*(table[start : start + _MOST] for table in of_tables), strict=True))
                slots = 1 << (len(together) - 1).bit_length()
                given = [code for one in together for key in one for code in key]
                # A few statements serve all numbers of keys: the slots left over look for null, which finds nothing.
                given += [None] * (len(given) // len(together) * (slots - len(together)))
                for row in connection.execute(shelf.statement(slots), given):
                    if row[0] < len(together):
                        found[start + row[0]] = row[1:]
            return Found(shelf.publication, found)

    def close(self) -> None:
        """See `Store`."""
        while self._opened:
            self._opened.pop().close()
        self._mine = threading.local()

    def __str__(self) -> str:
        return f"the online store '{self._file}'"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection on which all that is read is of one moment; None where there is no store yet."""
        with self._translated():
            connection = self._connection()
            if connection is None:
                yield None
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection | None:
        mine = getattr(self._mine, "connection", None)
        if mine is not None and mine[0] == os.getpid():  # SQLite forbids the use of what a parent process opened
            return mine[1]  # type: ignore[no-any-return]  # a thread's attributes have no types
        if not self._file.exists():
            return None
        connection = self._open("rw")
        self._mine.connection = (os.getpid(), connection)
        self._opened.append(connection)
        return connection

    def _open(self, mode: str) -> sqlite3.Connection:
        # Looked-up values are not parameters of other threads: `close` alone reaches into them.
        connection = sqlite3.connect(
            f"{self._file.as_uri()}?mode={mode}", uri=True, timeout=_WAIT, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA journal_size_limit = {_LOG}")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are seen all at once at the end, or never."""
        with self._translated():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = self._open("rwc")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_MADE)
                yield connection
                point("online.written")
                connection.execute("COMMIT")
                with suppress(sqlite3.OperationalError):  # the log is only folded in later, then
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                connection.close()  # takes back what was not committed

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self}: {error}. It holds nothing that cannot be published again: where it is damaged, "
                "remove it and run `lakehouse publish`"
            ) from error

    def _shelf(self, connection: sqlite3.Connection, name: str) -> _Shelf | None:
        """Where a publication is; kept as long as its stamp is the same."""
        try:
            found = connection.execute("SELECT stamp, generation FROM publications WHERE name = ?", (name,)).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        if found is None:
            return None
        shelf = self._shelves.get(name)
        if shelf is None or (shelf.publication.stamp, shelf.generation) != found:
            shelf = self._stored(connection, name)
            assert shelf is not None  # noqa: S101  # in the same transaction
            self._shelves[name] = shelf
        return shelf

    @staticmethod
    def _stored(connection: sqlite3.Connection, name: str) -> _Shelf | None:
        found = connection.execute("SELECT told, generation FROM publications WHERE name = ?", (name,)).fetchone()
        return None if found is None else _Shelf(Publication.from_json(found[0]), found[1])

    @staticmethod
    def _insert(
        connection: sqlite3.Connection, place: str, keys: Iterable[str], columns: Iterable[str], rows: pl.DataFrame
    ) -> None:
        keys, columns = list(keys), list(columns)
        marks = ", ".join("?" * (len(keys) + len(columns)))
        for piece in rows.iter_slices(_PIECE):
            values = [*(key_codes(piece[name]) for name in keys), *(encoded(piece[name]) for name in columns)]
            connection.executemany(
                f"INSERT OR REPLACE INTO {place} VALUES ({marks})",  # noqa: S608  # names that are made here
                zip(*values, strict=True),
            )

    @staticmethod
    def _tell(connection: sqlite3.Connection, publication: Publication, generation: int) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO publications VALUES (?, ?, ?, ?)",
            (publication.name, publication.stamp, generation, publication.to_json()),
        )


def _table(name: str, generation: int, number: int) -> str:
    return f'"{name}@{generation}.{number}"'


def _columns(keys: int, columns: int) -> tuple[list[str], list[str]]:
    """The columns' names: plain ones, as features may differ by case alone, which SQLite's do not.

    They have no type, so that SQLite keeps each value as it is given.
    """
    return [f"k{number}" for number in range(keys)], [f"v{number}" for number in range(columns)]


def _look_up(publication: Publication, generation: int, keys: int) -> str:
    widths = [len(table.keys) for table in publication.tables]
    marks = ", ".join("?" * sum(widths))
    given = ", ".join(f"({place}, {marks})" for place in range(keys))
    names = ", ".join(f"g{number}" for number in range(sum(widths)))
    selected, joined, before = ["g.place"], [], 0
    for number, table in enumerate(publication.tables):
        own, columns = _columns(len(table.keys), len(table.columns))
        selected += [f"t{number}.{column}" for column in columns]
        on = " AND ".join(f"t{number}.{key} = g.g{before + index}" for index, key in enumerate(own))
        joined.append(f"LEFT JOIN {_table(publication.name, generation, number)} AS t{number} ON {on}")
        before += len(own)
    return (
        f"WITH g (place, {names}) AS (VALUES {given}) "  # noqa: S608  # names that are made here
        f"SELECT {', '.join(selected)} FROM g {' '.join(joined)}"
    )
