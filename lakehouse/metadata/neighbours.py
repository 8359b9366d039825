"""What stands at the other ends of events: by kind, limited and counted in the database.

For walks that show a few of many: the others are counted there and never fetched.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, func, select

from lakehouse.metadata import tables
from lakehouse.metadata.reading import matching, milliseconds
from lakehouse.records import EventType

End: TypeAlias = Literal["artifact", "execution"]
"""Which end of the events is given; the neighbours are at the other one."""

READS: Final = (EventType.INPUT, EventType.DECLARED_INPUT, EventType.INTERNAL_INPUT)
"""How an execution touches what it came of."""

MAKES: Final = (
    EventType.OUTPUT,
    EventType.DECLARED_OUTPUT,
    EventType.INTERNAL_OUTPUT,
    EventType.PENDING_OUTPUT,
)
"""How an execution touches what came of it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A record at the other end of an event.

    Attributes:
        given: id of the record that was asked about.
        id: of the neighbour: an execution's where an artifact was given, else an artifact's.
        event: how the one touched the other.
        kind: the neighbour's type.
        kept: whether the event stands beside a tombstone: one of the two was deleted.
    """

    given: int
    id: int
    event: EventType
    kind: str
    external_id: str | None
    kept: bool = False


def neighbours(  # noqa: PLR0913  # the question's parts, by name
    connection: Connection,
    end: End,
    ids: Collection[int],
    types: Collection[EventType],
    *,
    limit: int | None,
    since: datetime | None,
    until: datetime | None,
    apart_from: Collection[str] = (),
) -> list[Neighbour]:
    """What the events of some records lead to, in the order they were recorded; then what was deleted, all of it.

    Args:
        connection: the caller's transaction.
        end: what is given.
        ids: of the records given.
        types: of events.
        limit: how many of one kind at one record.
        since: when an execution that they lead to began, at the earliest.
        until: and at the latest.
        apart_from: kinds that are not wanted.
    """
    given, columns, query = _joined(end, types)
    query = query.where(*_times(end, since, until))
    if apart_from:
        query = query.where(tables.type_.c.name.not_in(apart_from))
    if limit is None:
        rows = matching(connection, query.add_columns(*columns), (given, ids))
    else:
        place = func.row_number().over(partition_by=(given, tables.type_.c.name), order_by=tables.event.c.id)
        rows = []
        for part in _few(ids):
            numbered = query.add_columns(*columns, place.label("place")).where(given.in_(part)).subquery()
            rows += connection.execute(select(numbered).where(numbered.c.place <= limit)).all()
    return [
        Neighbour(row.given, row.other, EventType(row.type), row.kind, row.external_id)
        for row in sorted(rows, key=lambda row: row.event)
    ] + [one for one in _kept(connection, end, ids, types, since=since, until=until) if one.kind not in apart_from]


def counts(  # noqa: PLR0913  # as above
    connection: Connection,
    end: End,
    ids: Collection[int],
    types: Collection[EventType],
    *,
    since: datetime | None,
    until: datetime | None,
) -> dict[int, dict[str, int]]:
    """How many records of each kind the events of each given record lead to, without those of tombstones."""
    given, _, query = _joined(end, types)
    other = tables.event.c.execution_id if end == "artifact" else tables.event.c.artifact_id
    kind = tables.type_.c.name
    query = query.where(*_times(end, since, until)).group_by(given, kind)
    found: dict[int, dict[str, int]] = {identity: {} for identity in ids}
    for one, name, number in matching(
        connection, query.add_columns(given, kind, func.count(other.distinct())), (given, ids)
    ):
        found[one][name] = number
    return found


def type_names(connection: Connection) -> list[str]:
    """The names of the types of artifacts, executions and contexts."""
    return sorted({str(name) for name in connection.scalars(select(tables.type_.c.name))})


def raw_files(connection: Connection, beginning: str, limit: int) -> list[tuple[str, str]]:
    """Sources and sha256 of raw files whose sha256 begins so, of ``limit`` different ones at most.

    Found by their sightings, which every landing notes: their index is by sha256, whatever the source.
    """
    s = tables.sighting
    # Hexadecimal digits all sort before "g", in any collation.
    within = (s.c.sha256 >= beginning) & (s.c.sha256 < f"{beginning}g")
    contents = select(s.c.sha256).where(within).distinct().order_by(s.c.sha256).limit(limit)
    hashes = connection.scalars(contents).all()
    pairs = matching(connection, select(s.c.source, s.c.sha256).distinct(), (s.c.sha256, hashes))
    return sorted((str(source), str(sha256)) for source, sha256 in pairs)


def read_artifacts(connection: Connection, kind: str, beginning: str) -> list[str]:
    """The names of artifacts of one type (``kind``) that begin so, of those that some execution read, oldest first.

    An execution that was deleted since counts too.
    """
    a, t, e, gone = tables.artifact, tables.type_, tables.event, tables.tombstone_event
    own = select(t.c.id).where(t.c.name == kind, t.c.type_kind == tables.ARTIFACT_KIND)
    reads = [int(one) for one in READS]
    read = select(e.c.id).where(e.c.artifact_id == a.c.id, e.c.type.in_(reads)).exists()
    was_read = a.c.id.in_(select(gone.c.artifact_id).where(gone.c.type.in_(reads)))
    # By the index of types and names, then that of events: no artifact itself is looked at.
    query = select(a.c.id, a.c.name).where(a.c.type_id.in_(own), func.substr(a.c.name, 1, len(beginning)) == beginning)
    return [str(row.name) for row in sorted(connection.execute(query.where(read | was_read)).all())]


def _joined(
    end: End, types: Collection[EventType]
) -> tuple[ColumnElement[int], tuple[ColumnElement[Any], ...], Select[*tuple[Any, ...]]]:
    """The given end's column, what a `Neighbour` needs, and events joined with what they lead to and its type."""
    e, t = tables.event, tables.type_
    if end == "artifact":
        given, other, table = e.c.artifact_id, e.c.execution_id, tables.execution
    else:
        given, other, table = e.c.execution_id, e.c.artifact_id, tables.artifact
    query = (
        select()
        .select_from(e)
        .join(table, table.c.id == other)
        .join(t, table.c.type_id == t.c.id)
        .where(e.c.type.in_([int(one) for one in types]))
    )
    columns = (
        e.c.id.label("event"),
        given.label("given"),
        other.label("other"),
        e.c.type.label("type"),
        t.c.name.label("kind"),
        table.c.external_id.label("external_id"),
    )
    return given, columns, query


def _kept(  # noqa: PLR0913  # as above
    connection: Connection,
    end: End,
    ids: Collection[int],
    types: Collection[EventType],
    *,
    since: datetime | None,
    until: datetime | None,
) -> list[Neighbour]:
    """The neighbours by events that stand beside tombstones; the moment of an event bounds them in time."""
    e, t, gone = tables.tombstone_event, tables.type_, tables.tombstone
    if end == "artifact":
        given, other, table, kind = e.c.artifact_id, e.c.execution_id, tables.execution, tables.EXECUTION_KIND
    else:
        given, other, table, kind = e.c.execution_id, e.c.artifact_id, tables.artifact, tables.ARTIFACT_KIND
    query = (
        select(
            given.label("given"),
            other.label("other"),
            e.c.type.label("type"),
            func.coalesce(t.c.name, gone.c.type).label("kind"),
            func.coalesce(table.c.external_id, gone.c.external_id).label("external_id"),
        )
        .select_from(e)
        .outerjoin(table, table.c.id == other)
        .outerjoin(t, t.c.id == table.c.type_id)
        .outerjoin(gone, (gone.c.record_id == other) & (gone.c.type_kind == kind))
        .where(e.c.type.in_([int(one) for one in types]))
    )
    at = e.c.milliseconds_since_epoch
    if end == "artifact" and since is not None:
        query = query.where(at >= milliseconds(since))
    if end == "artifact" and until is not None:
        query = query.where(at <= milliseconds(until))
    rows = matching(connection, query, (given, ids))
    return [
        Neighbour(row.given, row.other, EventType(row.type), row.kind, row.external_id, kept=True)
        for row in sorted(rows, key=lambda row: (row.given, row.other))
    ]


def _times(end: End, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    if end == "execution":
        return []
    began = tables.execution.c.create_time_since_epoch
    return [
        *([] if since is None else [began >= milliseconds(since)]),
        *([] if until is None else [began <= milliseconds(until)]),
    ]


def _few(ids: Collection[int]) -> list[list[int]]:
    distinct = list(dict.fromkeys(ids))
    return [distinct[at : at + 5_000] for at in range(0, len(distinct), 5_000)]
