"""Writing the rows of artifacts, executions and contexts with their properties: the one place that does.

Each function works in the caller's transaction, with as many statements for ten thousand records as for one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Table, Update, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from lakehouse.errors import RecordError
from lakehouse.metadata.failures import explained
from lakehouse.metadata.kinds import Kind, Node
from lakehouse.metadata.properties import Values, all_stored, insert_values, read_stored, rows_of
from lakehouse.metadata.reading import matching
from lakehouse.metadata.statements import insert_rows


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as its rows have it.

    Attributes:
        columns: what a put may change.
        updated: milliseconds since 1970-01-01 UTC.
    """

    type_id: int
    columns: Mapping[str, Any]
    values: Values
    updated: int = 0


def insert_nodes(
    connection: Connection, kind: Kind[Node], records: Sequence[Node], type_ids: Sequence[int], now: int
) -> list[int]:
    """Insert records of these types and give their ids, in order.

    Raises:
        RecordError: a name or an external id is in use (``exists``), or a property cannot be stored.
    """
    if not records:
        return []
    rows = [
        {
            "type_id": type_id,
            "name": record.name,
            "external_id": record.external_id,
            "create_time_since_epoch": now,
            "last_update_time_since_epoch": now,
            **kind.own_columns(record),
        }
        for record, type_id in zip(records, type_ids, strict=True)
    ]
    dialect = connection.dialect.name
    values = [all_stored(record, dialect) for record in records]
    with _unique():
        ids = insert_rows(connection, kind.table, rows)
    insert_values(connection, kind.properties, zip(ids, values, strict=True))
    return ids


def stored_nodes(connection: Connection, kind: Kind[Node], ids: Collection[int]) -> dict[int, Stored]:
    """Those of the records that are there, by id."""
    values: dict[int, Values] = {}
    for row in matching(connection, rows_of(kind.properties), (kind.properties.c[0], ids)):
        values.setdefault(row[0], {})[bool(row.is_custom_property), row.name] = read_stored(row)
    own = _changeable(kind.table)
    return {
        row.id: Stored(
            row.type_id,
            {column: getattr(row, column) for column in own},
            values.get(row.id, {}),
            row.last_update_time_since_epoch,
        )
        for row in matching(connection, select(kind.table), (kind.table.c.id, ids))
    }


def update_nodes(  # noqa: PLR0913  # a comparison has two sides
    connection: Connection,
    kind: Kind[Node],
    before: Mapping[int, Stored],
    after: Mapping[int, Stored],
    now: int,
    *,
    force: bool = False,
) -> None:
    """Write what differs from before; the time of an update too, and of those without one if forced.

    Raises:
        RecordError: a name or an external id is in use by another (``exists``).
    """
    changed = [id_ for id_, record in after.items() if force or record != before[id_]]
    if not changed:
        return
    rows = [
        {"its_id": id_, "its_time": now, **{f"its_{c}": v for c, v in after[id_].columns.items()}} for id_ in changed
    ]
    with _unique():
        connection.execute(_update(kind.table), rows)
    gone, new = [], []
    for id_ in changed:
        was, is_ = before[id_].values, after[id_].values
        gone += [
            {"its_id": id_, "its_custom": custom, "its_name": name}
            for (custom, name), value in was.items()
            if is_.get((custom, name)) != value
        ]
        new.append((id_, {key: value for key, value in is_.items() if was.get(key) != value}))
    if gone:
        connection.execute(_delete(kind.properties), gone)
    insert_values(connection, kind.properties, new)


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise RecordError(f"{explained(error)} Nothing was recorded.", "exists") from None  # its text has values


def _changeable(table: Table) -> list[str]:
    fixed = {"id", "type_id", "create_time_since_epoch", "last_update_time_since_epoch"}
    return [column.name for column in table.c if column.name not in fixed]


@cache
def _update(table: Table) -> Update:
    set_: dict[str, Any] = {"last_update_time_since_epoch": bindparam("its_time")}
    set_ |= {column: bindparam(f"its_{column}", type_=table.c[column].type) for column in _changeable(table)}
    return update(table).where(table.c.id == bindparam("its_id")).values(set_)


@cache
def _delete(properties: Table) -> Delete:
    owner, name, custom = properties.c[0], properties.c.name, properties.c.is_custom_property
    return delete(properties).where(
        owner == bindparam("its_id"), custom == bindparam("its_custom"), name == bindparam("its_name")
    )
