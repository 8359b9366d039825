"""What the three databases say differently: locks, looking for damage.

Writers of one ledger take turns: each holds its lock from its first statement to its commit, so that
what it read still holds when it writes. Readers never wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, Table, func, select, text
from sqlalchemy.exc import DBAPIError

from lakehouse.errors import MetadataError
from lakehouse.metadata import tables
from lakehouse.metadata.engines import PATIENCE

_MAKING: Final = 0x6C616B65686F7573  # "lakehous"; any number will do that others do not take


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state throughout."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other writer's overlaps."""
    with engine.connect() as connection, connection.execution_options(begin="BEGIN IMMEDIATE").begin():
        if engine.dialect.name != "sqlite":
            connection.execute(select(tables.own_env).with_for_update())
        yield connection


@contextmanager
def making(engine: Engine) -> Iterator[Connection]:
    """A transaction in which one process alone may make or change tables; in MySQL each change commits itself.

    Raises:
        MetadataError: another process took too long over it.
    """
    with engine.execution_options(begin="BEGIN IMMEDIATE").connect() as connection:
        if engine.dialect.name == "mysql":
            connection.detach()  # closed afterwards rather than kept, and the lock with it
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
            elif engine.dialect.name == "mysql":
                name = func.sha1(func.concat("lakehouse ", func.database()))
                if connection.scalar(select(func.get_lock(name, PATIENCE))) != 1:
                    raise MetadataError("Another process is making or changing the ledger's tables: try again.")
            yield connection


def damage(connection: Connection) -> list[str]:
    """What the database finds wrong with its own files, having read all of the ledger."""
    match connection.dialect.name:
        case "sqlite":
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
            return [] if found == ["ok"] else found
        case "mysql":
            names = ", ".join(table.name for table in tables.metadata.sorted_tables)
            rows = connection.execute(text(f"CHECK TABLE {names}"))
            return [f"{row[0]}: {row[3]}" for row in rows if row[2] in {"error", "warning"}]
        case _:
            return [found for table in tables.metadata.sorted_tables for found in _unreadable(connection, table)]


def _unreadable(connection: Connection, of: Table) -> list[str]:
    try:
        with connection.begin_nested():
            # As text, so that every value is read, also those stored apart.
            connection.execute(text(f"SELECT count(CAST(t.* AS text)) FROM {of.name} AS t"))  # noqa: S608  # our name
    except DBAPIError as error:
        return [f"{of.name.lower()}: {str(error.orig).splitlines()[0]}"]
    return []
