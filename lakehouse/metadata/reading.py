"""Finding records again. Each function reads in the caller's transaction and gives records by id."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Table,
    bindparam,
    func,
    select,
)

from lakehouse.errors import MetadataError
from lakehouse.metadata import tables
from lakehouse.metadata.filtering import condition
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION, Kind, Node
from lakehouse.metadata.properties import read_value, rows_of
from lakehouse.metadata.statements import fetch, is_kept, kept
from lakehouse.records import (
    Artifact,
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


def moment_of(count: int | None, unit: timedelta = _MILLISECOND) -> datetime | None:
    """The moment that ML Metadata stores so; None where it stores none."""
    return _EPOCH + count * unit if count else None


def matching(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    *lists: tuple[ColumnElement[Any], Collection[Any] | None],
) -> list[Row[*tuple[Any, ...]]]:
    """The rows whose columns are in the given lists, of any length; None is no condition."""
    given = [(column, values) for column, values in lists if values is not None]
    columns = tuple(column for column, _ in given)
    if is_kept(statement) and all(len(values) == 1 for _, values in given):
        single = {f"list_{at}": next(iter(values)) for at, (_, values) in enumerate(given)}
        return fetch(connection, _for_one(statement, columns), single)
    query = _for_lists(statement, columns)
    parts = [[(f"list_{at}", part) for part in _parts(values)] for at, (_, values) in enumerate(given)]
    return [row for chosen in itertools.product(*parts) for row in connection.execute(query, dict(chosen)).all()]


@cache
def _for_one(statement: Select[*tuple[Any, ...]], columns: tuple[ColumnElement[Any], ...]) -> Select[*tuple[Any, ...]]:
    """The statement for one value of each column."""
    return statement.where(*(column == _given(column, at) for at, column in enumerate(columns)))


@lru_cache(maxsize=512)
def _for_lists(
    statement: Select[*tuple[Any, ...]], columns: tuple[ColumnElement[Any], ...]
) -> Select[*tuple[Any, ...]]:
    """The statement for lists of these columns; one that is kept is prepared once."""
    return statement.where(*(column.in_(_given(column, at, expanding=True)) for at, column in enumerate(columns)))


def _given(column: ColumnElement[Any], at: int, *, expanding: bool = False) -> BindParameter[Any]:
    # PostgreSQL would refuse an id that its column cannot hold, where there simply is none such.
    type_ = BigInteger() if isinstance(column.type, Integer) else column.type
    return bindparam(f"list_{at}", expanding=expanding, type_=type_)


def _parts(values: Collection[Any]) -> Iterator[list[Any]]:
    distinct = list(dict.fromkeys(values))
    return (distinct[at : at + _PART] for at in range(0, len(distinct), _PART))


def _properties(
    connection: Connection, table: Table, owners: Sequence[int], names: Collection[str] | None = None
) -> Mapping[int, Properties]:
    """The properties of records, or just those of these names."""
    found: dict[int, Properties] = {owner: ({}, {}) for owner in owners}
    for row in matching(connection, rows_of(table), (table.c[0], owners), (table.c.name, names)):
        value = read_value(row)
        if value is not None:
            found[row[0]][bool(row.is_custom_property)][row.name] = value
    return found


def load(
    connection: Connection, kind: Kind[Node], rows: Sequence[Row[*tuple[Any, ...]]], only: Collection[str] | None = None
) -> list[Node]:
    """The records of these rows (as `typed` selects them), in their order, with all or only some properties."""
    properties = _properties(connection, kind.properties, [row.id for row in rows], only)
    return [
        kind.record(
            type=row.type,
            name=row.name,
            external_id=row.external_id,
            properties=properties[row.id][0],
            custom_properties=properties[row.id][1],
            id=row.id,
            created_at=moment_of(row.create_time_since_epoch),
            updated_at=moment_of(row.last_update_time_since_epoch),
            type_id=row.type_id,
            **kind.own_fields(row),
        )
        for row in rows
    ]


@cache
def typed(table: Table) -> Select[*tuple[Any, ...]]:
    """The table's rows, each with the name of its type as ``type``."""
    t = tables.type_
    return kept(select(table, t.c.name.label("type")).join_from(table, t, table.c.type_id == t.c.id))


def context_id(connection: Connection, context: tuple[str, str]) -> int:
    """The id of a context, given by type and name; 0, which no record has, where there is none."""
    c, t = tables.context, tables.type_
    query = select(c.c.id).join_from(c, t, c.c.type_id == t.c.id).where(t.c.name == context[0], c.c.name == context[1])
    return int(connection.scalar(query) or 0)


def _having(table: Table, name: str, owner: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that a record has a property or custom property of this name; each record is asked."""
    return select(table.c[0]).where(table.c[0] == owner, table.c.name == name).exists()


def _saying(connection: Connection, table: Table, name: str, owner: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that a record's property is more than an empty text or object: few, looked up in their index."""
    value = table.c.string_value
    said = value.is_not(None) & value.not_in(("", "{}"))
    if connection.dialect.name == "postgresql":
        said = said | table.c.byte_value.is_not(None)  # where it keeps what is too long for its index of texts
    return owner.in_(select(table.c[0]).where(table.c.name == name, table.c.is_custom_property == 0, said))


def _of_type(name: str | Collection[str], *, found: bool) -> ColumnElement[bool]:
    """The condition on a row's type or types; only asked of each row where they are ``found`` by something better."""
    column = tables.type_.c.name
    # SQLite takes a type for rare, and would look through a million records of it rather than for a few of them.
    asked = func.coalesce(column, "") if found else column
    return asked == name if isinstance(name, str) else asked.in_(sorted(name))


def executions(  # noqa: PLR0913  # conditions, by keyword only
    connection: Connection,
    *,
    type: str | Collection[str] | None,  # noqa: A002  # ML Metadata's word, and the record's
    state: ExecutionState | None,
    context: tuple[str, str] | None,
    ids: Collection[int] | None,
    newest_first: bool,
    limit: int | None,
    having: str | None = None,
    saying: str | None = None,
    after: int | None = None,
    until: int | None = None,
    only: Collection[str] | None = None,
    filter_query: str | None = None,
) -> list[Execution]:
    """The executions that meet every condition, oldest first unless told otherwise; see `Ledger.get_executions`."""
    query, place = _executions(
        connection,
        type=type,
        state=state,
        context=context,
        found=ids is not None,
        having=having,
        saying=saying,
        after=after,
        until=until,
        filter_query=filter_query,
    )
    query = query.order_by(place.desc() if newest_first else place).limit(limit)
    found = matching(connection, query, (tables.execution.c.id, ids))
    return load(connection, EXECUTION, sorted(found, key=lambda row: row.id, reverse=newest_first)[:limit], only)


def count_executions(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | Collection[str] | None,  # noqa: A002  # as above
    context: tuple[str, str] | None,
    ids: Collection[int] | None,
    having: str | None,
    until: int | None,
) -> int:
    """How many executions meet every condition."""
    query, _ = _executions(
        connection,
        type=type,
        state=None,
        context=context,
        found=ids is not None,
        having=having,
        saying=None,
        after=None,
        until=until,
        filter_query=None,
    )
    counted = matching(connection, query.with_only_columns(func.count()), (tables.execution.c.id, ids))
    return sum(int(number) for (number,) in counted)


def _executions(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | Collection[str] | None,  # noqa: A002  # as above
    state: ExecutionState | None,
    context: tuple[str, str] | None,
    found: bool,
    having: str | None,
    saying: str | None,
    after: int | None,
    until: int | None,
    filter_query: str | None,
) -> tuple[Select[*tuple[Any, ...]], ColumnElement[int]]:
    """The rows of the executions that meet every condition, and the column to order them by."""
    e, link, p = tables.execution, tables.association, tables.execution_property
    query, place = typed(e), e.c.id
    if context is not None:
        # By the link's index, in its order: the newest of a hundred thousand is found without looking at the others.
        place = link.c.execution_id
        query = query.join(link, (place == e.c.id) & (link.c.context_id == context_id(connection, context)))
    if type is not None:
        query = query.where(_of_type(type, found=found))
    if state is not None:
        query = query.where(func.coalesce(e.c.last_known_state, 0) == int(state))
    if after is not None:
        query = query.where(place > after)
    if until is not None:
        query = query.where(place <= until)
    if having is not None:
        query = query.where(_having(p, having, place))
    if saying is not None:
        query = query.where(_saying(connection, p, saying, place))
    if filter_query is not None:
        query = query.where(condition(connection, e, filter_query))
    return query, place


def artifacts(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | None,  # noqa: A002  # as above
    context: tuple[str, str] | None,
    ids: Collection[int] | None,
    external_ids: Collection[str] | None,
    names: Collection[str] | None,
    uris: Collection[str] | None,
    newest_first: bool = False,
    limit: int | None = None,
    only: Collection[str] | None = None,
    filter_query: str | None = None,
) -> list[Artifact]:
    """The artifacts that meet every condition, oldest first unless told otherwise."""
    a, link = tables.artifact, tables.attribution
    query, place = typed(a), a.c.id
    if type is not None:
        found = any(values is not None for values in (ids, external_ids, uris))
        query = query.where(_of_type(type, found=found))
    if context is not None:
        place = link.c.artifact_id  # as above
        query = query.join(link, (place == a.c.id) & (link.c.context_id == context_id(connection, context)))
    if filter_query is not None:
        query = query.where(condition(connection, a, filter_query))
    if query is not typed(a) or limit is not None:  # else the statement that is kept; what it finds is sorted below
        query = query.order_by(place.desc() if newest_first else place).limit(limit)
    lists = ((a.c.id, ids), (a.c.external_id, external_ids), (a.c.name, names), (a.c.uri, uris))
    rows = sorted(matching(connection, query, *lists), key=lambda row: row.id, reverse=newest_first)[:limit]
    return load(connection, ARTIFACT, rows, only)


def contexts(  # noqa: PLR0913  # as above
    connection: Connection,
    *,
    type: str | None = None,  # noqa: A002  # as above
    names: Collection[str] | None = None,
    ids: Collection[int] | None = None,
    execution_id: int | None = None,
    artifact_id: int | None = None,
    filter_query: str | None = None,
) -> list[Context]:
    """The contexts that meet every condition, oldest first."""
    c = tables.context
    query = typed(c)
    if type is not None:
        query = query.where(tables.type_.c.name == type)
    for link, column, member in (
        (tables.association, "execution_id", execution_id),
        (tables.attribution, "artifact_id", artifact_id),
    ):
        if member is not None:
            query = query.where(c.c.id.in_(select(link.c.context_id).where(link.c[column] == member)))
    if filter_query is not None:
        query = query.where(condition(connection, c, filter_query))
    rows = sorted(matching(connection, query, (c.c.name, names), (c.c.id, ids)), key=lambda row: row.id)
    return load(connection, CONTEXT, rows)


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
    return load_events(connection, sorted(matching(connection, _EVENTS, *lists), key=lambda row: row.id))


_EVENTS: Final = kept(select(tables.event))
_STEPS: Final = kept(select(tables.event_path))


def load_events(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Event]:
    """The events of these rows of their table, in their order, with their paths."""
    paths = _paths(connection, [row.id for row in rows])
    return [
        Event(
            row.artifact_id,
            row.execution_id,
            EventType(row.type),
            moment_of(row.milliseconds_since_epoch),
            tuple(paths.get(row.id, ())),
        )
        for row in rows
    ]


def _paths(connection: Connection, events: Sequence[int]) -> dict[int, list[str | int]]:
    """The path of each event that has one."""
    p = tables.event_path
    found: dict[int, list[str | int]] = {}
    # The table has no key: its rows come in the order they were inserted.
    for row in matching(connection, _STEPS, (p.c.event_id, events)):
        found.setdefault(row.event_id, []).append(row.step_index if row.is_index_step else row.step_key)
    return found


def newest_sightings(connection: Connection, source: str) -> dict[str, Sighting]:
    """What was last seen under each origin of a source."""
    s = tables.sighting
    newest = select(func.max(s.c.id)).where(s.c.source == source).group_by(s.c.origin)
    rows = connection.execute(select(s).where(s.c.id.in_(newest)).order_by(s.c.id))
    return {row.origin: sighting(row) for row in rows}


def all_sightings(connection: Connection, source: str | None, sha256s: Collection[str] | None) -> list[Sighting]:
    """Every sighting of a source (or of all), of these contents (or of all), oldest first."""
    s = tables.sighting
    query = select(s) if source is None else select(s).where(s.c.source == source)
    rows = sorted(matching(connection, query, (s.c.sha256, sha256s)), key=lambda row: row.id)
    return [sighting(row) for row in rows]


def sighting(row: Row[*tuple[Any, ...]]) -> Sighting:
    """A sighting out of its row."""
    return Sighting(row.source, row.origin, row.size, row.modified, row.sha256, _EPOCH + row.seen_at * _MICROSECOND)
