"""Statements that run for every record: compiled once, and given to the driver as they are.

SQLAlchemy's own way looks at each value of each row, which for ten thousand rows takes ten times as long as inserting
them, and for one row too; so does asking for one row.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Insert, Select, Table, bindparam, column, insert, select, table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Row: TypeAlias = tuple[Any, ...]
"""Values of one row, as the driver takes them."""

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""Values by column name, the same columns in each."""

_SEQUENCE: Final = table("sqlite_sequence", column("name"), column("seq"))
_LAST: Final = select(_SEQUENCE.c.seq.label("id")).where(_SEQUENCE.c.name == bindparam("of"))
_PART: Final = 500  # rows in one statement

_COMPILED: Final[dict[tuple[Any, ...], tuple[str, bool]]] = {}


class _Query(NamedTuple):
    """A compiled query.

    Attributes:
        names: of its parameters in their places; None where it takes them by name.
        fixed: values of its own.
        make: makes a row of what the driver gives.
    """

    sql: str
    names: Sequence[str] | None
    fixed: Mapping[str, Any]
    make: Callable[[Row], Any]


_KEPT: Final[set[Select[*tuple[Any, ...]]]] = set()
_QUERIES: Final[dict[tuple[Select[*tuple[Any, ...]], str], _Query]] = {}


def insert_tuples(connection: Connection, into: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert rows of these columns, which are in the table's order; values are as the driver takes them.

    Returns:
        The id that a single row was given, where the database tells it.
    """
    return _run(connection, insert, into, columns, rows)


def insert_mappings(connection: Connection, into: Table, rows: Rows) -> int:
    """Insert rows, as `insert_tuples` does."""
    return _run(connection, insert, into, *_tuples(into, rows))


def insert_missing(connection: Connection, into: Table, rows: Rows) -> None:
    """Insert rows, but those that a unique key holds already."""
    _run(connection, _UNLESS_THERE[connection.dialect.name], into, *_tuples(into, rows))


def insert_rows(connection: Connection, into: Table, rows: Rows) -> list[int]:
    """Insert rows, without their ids, and give the ids in the order of the rows."""
    if not rows:
        return []
    if connection.dialect.name == "sqlite":
        if len(rows) == 1:
            return [insert_mappings(connection, into, rows)]
        # The write lock is held: the next ids are ours.
        last = next((row.id for row in fetch(connection, _LAST, {"of": into.name})), 0)
        ids = list(range(last + 1, last + 1 + len(rows)))
        insert_mappings(connection, into, [{**row, "id": id_} for row, id_ in zip(rows, ids, strict=True)])
        return ids
    if connection.dialect.insert_executemany_returning:
        inserting = insert(into).returning(into.c.id, sort_by_parameter_order=True)
        return list(connection.scalars(inserting, list(rows)))
    # MySQL tells the first id of a statement; those of its other rows follow in the server's steps.
    step = int(connection.exec_driver_sql("SELECT @@auto_increment_increment").scalar_one())
    ids = []
    for at in range(0, len(rows), _PART):
        part = rows[at : at + _PART]
        first = connection.execute(insert(into).values(part)).lastrowid
        ids += range(first, first + step * len(part), step)
    return ids


def _tuples(into: Table, rows: Rows) -> tuple[tuple[str, ...], list[Row]]:
    columns = tuple(column.name for column in into.c if rows and column.name in rows[0])
    return columns, list(map(itemgetter(*columns), rows)) if rows else []


def _run(
    connection: Connection, make: Callable[[Table], Insert], into: Table, columns: tuple[str, ...], rows: Sequence[Row]
) -> int:
    if not rows:
        return 0
    sql, positional = _compiled(connection, make, into, columns)
    given: Any = rows if positional else [dict(zip(columns, row, strict=True)) for row in rows]
    with _cursor(connection, sql) as cursor:
        if len(given) == 1:
            cursor.execute(sql, given[0])
        else:
            cursor.executemany(sql, given)
        return getattr(cursor, "lastrowid", 0) or 0


def kept(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """A query that is made once and asked for ever, so that it pays to compile it for `fetch`."""
    _KEPT.add(query)
    return query


def is_kept(query: Select[*tuple[Any, ...]]) -> bool:
    """Whether it is `kept`."""
    return query in _KEPT


def fetch(connection: Connection, query: Select[*tuple[Any, ...]], values: Mapping[str, Any]) -> list[Any]:
    """The rows of a query that is made once and never let go of: named tuples of what the driver gives."""
    key = query, connection.dialect.name
    if key not in _QUERIES:
        compiled: Any = query.compile(dialect=connection.dialect)
        row: Any = namedtuple("row", query.selected_columns.keys(), rename=True)  # type: ignore[misc]  # noqa: PYI024
        _QUERIES[key] = _Query(compiled.string, compiled.positiontup, compiled.params, row._make)
    sql, names, fixed, make = _QUERIES[key]
    given = {**fixed, **values}
    with _cursor(connection, sql) as cursor:
        cursor.execute(sql, given if names is None else [given[name] for name in names])
        return list(map(make, cursor.fetchall()))


@contextmanager
def _cursor(connection: Connection, sql: str) -> Iterator[Any]:
    """A cursor of the driver's, whose errors are raised as SQLAlchemy raises them."""
    cursor = connection.connection.cursor()
    driver: Any = connection.dialect.dbapi
    try:
        yield cursor
    except driver.Error as error:
        gone = connection.dialect.is_disconnect(error, connection.connection, cursor)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            sql,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=connection.dialect,
        ) from error
    finally:
        with suppress(driver.Error):  # a connection that broke cannot close it
            cursor.close()


def _compiled(
    connection: Connection, make: Callable[[Table], Insert], into: Table, columns: tuple[str, ...]
) -> tuple[str, bool]:
    """The statement, and whether it takes its values by place or else by name."""
    key = (make, into.name, columns, connection.dialect.name)
    if key not in _COMPILED:
        compiled = make(into).compile(dialect=connection.dialect, column_keys=list(columns))
        if tuple(compiled.params) != columns:
            raise ValueError(f"{columns} are not in the order of {into.name}'s columns.")
        _COMPILED[key] = compiled.string, bool(compiled.positional)
    return _COMPILED[key]


def _ignoring_key(into: Table) -> Insert:
    # INSERT IGNORE would let every other error pass as well.
    key = next(iter(into.primary_key))
    return mysql.insert(into).on_duplicate_key_update({key.name: key})


_UNLESS_THERE: Final[dict[str, Callable[[Table], Insert]]] = {
    "sqlite": lambda into: sqlite.insert(into).on_conflict_do_nothing(),
    "postgresql": lambda into: postgresql.insert(into).on_conflict_do_nothing(),
    "mysql": _ignoring_key,
}
