"""Bringing the lake's own tables forward: one step for each version, never back.

ML Metadata's tables are never changed. A new ledger gets all of `tables.OURS` at once and takes no step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from sqlalchemy import Connection, select, update

from lakehouse.metadata import overview, tables

Step: TypeAlias = Callable[[Connection], None]


def migrate(connection: Connection, version: int) -> None:
    """Bring the lake's own tables from this version to `tables.OWN_VERSION`, in the caller's transaction."""
    for step in _STEPS[version - 1 :]:
        step(connection)
    connection.execute(update(tables.own_env).values(schema_version=tables.OWN_VERSION))


def _to_2(connection: Connection) -> None:
    """Add the tables and indices that came with version 2."""
    tables.create_missing(connection, (*tables.OURS, *tables.INDEXED))
    c, t = tables.context, tables.type_
    sources = select(c.c.id).join_from(c, t, c.c.type_id == t.c.id).where(t.c.name == "Source")
    overview.keep_totals(connection, connection.scalars(sources).all())


def _to_3(connection: Connection) -> None:
    """Add the table and the index that came with version 3."""
    tables.create_missing(connection, (tables.memory, tables.execution))


# A step may be repeated where a database commits each change of its tables by itself (MySQL): check before making.
_STEPS: Final[tuple[Step, ...]] = (_to_2, _to_3)
"""The step from each version, the first from version 1."""
