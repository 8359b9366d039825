"""Finding records again. Each function reads in the caller's transaction and gives records by id."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, select

from lakehouse.errors import MetadataError
from lakehouse.metadata import tables
from lakehouse.metadata.properties import read_value
from lakehouse.records import (
    Artifact,
    ArtifactState,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Sighting,
    Value,
)

Properties: TypeAlias = tuple[dict[str, Value], dict[str, Value]]
"""A record's properties and custom properties."""

# Databases bound the variables of a statement (SQLite at 32,766); a statement may have four lists.
_PART: Final = 5_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


def milliseconds(moment: datetime) -> int:
    """A moment as ML Metadata stores it."""
    return _since_epoch(moment, _MILLISECOND)


def microseconds(moment: datetime) -> int:
    """A moment as the lake's own tables store it."""
    return _since_epoch(moment, _MICROSECOND)


def _since_epoch(moment: datetime, unit: timedelta) -> int:
    if moment.tzinfo is None:
        raise MetadataError(f"The moment {moment.isoformat()} has no time zone: give it in UTC.")
    return (moment - _EPOCH) // unit


def _moment(count: int | None, unit: timedelta = _MILLISECOND) -> datetime | None:
    return _EPOCH + count * unit if count else None


def matching(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    *lists: tuple[ColumnElement[Any], Collection[Any] | None],
) -> list[Row[*tuple[Any, ...]]]:
    """The rows whose columns are in the given lists, of any length; None is no condition."""
    parts = [[column.in_(part) for part in _parts(values)] for column, values in lists if values is not None]
    return [
        row
        for conditions in itertools.product(*parts)
        for row in connection.execute(statement.where(*conditions)).all()
    ]


def _parts(values: Collection[Any]) -> Iterator[list[Any]]:
    distinct = list(dict.fromkeys(values))
    return (distinct[at : at + _PART] for at in range(0, len(distinct), _PART))


def _properties(connection: Connection, table: Table, owners: Sequence[int]) -> Mapping[int, Properties]:
    found: dict[int, Properties] = {owner: ({}, {}) for owner in owners}
    for row in matching(connection, select(table), (table.c[0], owners)):
        value = read_value(row)
        if value is not None:
            found[row[0]][bool(row.is_custom_property)][row.name] = value
    return found


def _typed(table: Table) -> Select[*tuple[Any, ...]]:
    """The table's rows, each with the name of its type as ``type``."""
    t = tables.type_
    return select(table, t.c.name.label("type")).join_from(table, t, table.c.type_id == t.c.id)


def _within(table: Table, link: Table, column: str, context: tuple[str, str]) -> ColumnElement[bool]:
    """The condition that a context, given by type and name, holds the table's row."""
    c, t = tables.context, tables.type_
    members = (
        select(link.c[column])
        .join_from(link, c, link.c.context_id == c.c.id)
        .join(t, c.c.type_id == t.c.id)
        .where(t.c.name == context[0], c.c.name == context[1])
    )
    return table.c.id.in_(members)


def executions(  # noqa: PLR0913  # conditions, by keyword only
    connection: Connection,
    *,
    type: str | None,  # noqa: A002  # ML Metadata's word, and the record's
    state: ExecutionState | None,
    context: tuple[str, str] | None,
    ids: Collection[int] | None,
    newest_first: bool,
    limit: int | None,
) -> list[Execution]:
    """The executions that meet every condition, oldest first unless told otherwise."""
    e = tables.execution
    query = _typed(e).order_by(e.c.id.desc() if newest_first else e.c.id).limit(limit)
    if type is not None:
        query = query.where(tables.type_.c.name == type)
    if state is not None:
        query = query.where(func.coalesce(e.c.last_known_state, 0) == int(state))
    if context is not None:
        query = query.where(_within(e, tables.association, "execution_id", context))
    rows = sorted(matching(connection, query, (e.c.id, ids)), key=lambda row: row.id, reverse=newest_first)[:limit]
    properties = _properties(connection, tables.execution_property, [row.id for row in rows])
    return [
        Execution(
            type=row.type,
            name=row.name,
            external_id=row.external_id,
            state=ExecutionState(row.last_known_state or 0),
            properties=properties[row.id][0],
            custom_properties=properties[row.id][1],
            id=row.id,
            created_at=_moment(row.create_time_since_epoch),
            updated_at=_moment(row.last_update_time_since_epoch),
        )
        for row in rows
    ]


def artifacts(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | None,  # noqa: A002  # as above
    context: tuple[str, str] | None,
    ids: Collection[int] | None,
    external_ids: Collection[str] | None,
    names: Collection[str] | None,
    uris: Collection[str] | None,
) -> list[Artifact]:
    """The artifacts that meet every condition, oldest first."""
    a = tables.artifact
    query = _typed(a)
    if type is not None:
        query = query.where(tables.type_.c.name == type)
    if context is not None:
        query = query.where(_within(a, tables.attribution, "artifact_id", context))
    lists = ((a.c.id, ids), (a.c.external_id, external_ids), (a.c.name, names), (a.c.uri, uris))
    rows = sorted(matching(connection, query, *lists), key=lambda row: row.id)
    properties = _properties(connection, tables.artifact_property, [row.id for row in rows])
    return [
        Artifact(
            type=row.type,
            name=row.name,
            uri=row.uri or "",
            external_id=row.external_id,
            state=ArtifactState(row.state or 0),
            properties=properties[row.id][0],
            custom_properties=properties[row.id][1],
            id=row.id,
            created_at=_moment(row.create_time_since_epoch),
            updated_at=_moment(row.last_update_time_since_epoch),
        )
        for row in rows
    ]


def contexts(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | None = None,  # noqa: A002  # as above
    names: Collection[str] | None = None,
    ids: Collection[int] | None = None,
    execution_id: int | None = None,
    artifact_id: int | None = None,
) -> list[Context]:
    """The contexts that meet every condition, oldest first."""
    c = tables.context
    query = _typed(c)
    if type is not None:
        query = query.where(tables.type_.c.name == type)
    for link, column, member in (
        (tables.association, "execution_id", execution_id),
        (tables.attribution, "artifact_id", artifact_id),
    ):
        if member is not None:
            query = query.where(c.c.id.in_(select(link.c.context_id).where(link.c[column] == member)))
    rows = sorted(matching(connection, query, (c.c.name, names), (c.c.id, ids)), key=lambda row: row.id)
    properties = _properties(connection, tables.context_property, [row.id for row in rows])
    return [
        Context(
            type=row.type,
            name=row.name,
            external_id=row.external_id,
            properties=properties[row.id][0],
            custom_properties=properties[row.id][1],
            id=row.id,
            created_at=_moment(row.create_time_since_epoch),
            updated_at=_moment(row.last_update_time_since_epoch),
        )
        for row in rows
    ]


def related(
    connection: Connection, links: Table, ids: Collection[int], given: str, wanted: str
) -> dict[int, list[Context]]:
    """The contexts that each given record is linked to; ``given`` and ``wanted`` are the link's columns."""
    query = select(links.c[given], links.c[wanted])
    pairs = sorted((int(one), int(other)) for one, other in matching(connection, query, (links.c[given], ids)))
    known = {context.id: context for context in contexts(connection, ids={other for _, other in pairs})}
    found: dict[int, list[Context]] = {identity: [] for identity in ids}
    for one, other in pairs:
        found[one].append(known[other])
    return found


def events(
    connection: Connection,
    *,
    execution_ids: Collection[int] | None,
    artifact_ids: Collection[int] | None,
    types: Collection[EventType] | None,
) -> list[Event]:
    """The events that meet every condition, in the order they were recorded."""
    e = tables.event
    kinds = None if types is None else [int(kind) for kind in types]
    lists = ((e.c.execution_id, execution_ids), (e.c.artifact_id, artifact_ids), (e.c.type, kinds))
    return [
        Event(row.artifact_id, row.execution_id, EventType(row.type), _moment(row.milliseconds_since_epoch))
        for row in sorted(matching(connection, select(e), *lists), key=lambda row: row.id)
    ]


def newest_sightings(connection: Connection, source: str) -> dict[str, Sighting]:
    """What was last seen under each origin of a source."""
    s = tables.sighting
    newest = select(func.max(s.c.id)).where(s.c.source == source).group_by(s.c.origin)
    rows = connection.execute(select(s).where(s.c.id.in_(newest)).order_by(s.c.id))
    return {row.origin: _sighting(row) for row in rows}


def all_sightings(connection: Connection, source: str | None, sha256s: Collection[str] | None) -> list[Sighting]:
    """Every sighting of a source (or of all), of these contents (or of all), oldest first."""
    s = tables.sighting
    query = select(s) if source is None else select(s).where(s.c.source == source)
    rows = sorted(matching(connection, query, (s.c.sha256, sha256s)), key=lambda row: row.id)
    return [_sighting(row) for row in rows]


def _sighting(row: Row[*tuple[Any, ...]]) -> Sighting:
    return Sighting(row.source, row.origin, row.size, row.modified, row.sha256, _EPOCH + row.seen_at * _MICROSECOND)
