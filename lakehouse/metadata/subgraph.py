"""Lineage around some artifacts and executions, as ML Metadata walks it: a hop is one event crossed.

One query a hop asks the database for the events of all records reached last. A recursive query would need no more
than one, but cannot know what it has been to before: where paths part and meet again it comes to the same records
at every depth, and walking both ways it walks back and forth. This way each record is asked once, cycles end by
themselves, and what is held is what is given back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.deletion import linked
from lakehouse.metadata.filtering import condition
from lakehouse.metadata.kinds import ARTIFACT, EXECUTION, Kind, Node
from lakehouse.metadata.neighbours import MAKES, READS, End
from lakehouse.metadata.reading import load, load_events, matching, milliseconds, typed
from lakehouse.records import Artifact, Event, EventType, Execution, Tombstone

Direction: TypeAlias = Literal["upstream", "downstream", "both"]
"""To what records came of, to what came of them, or to all they are linked with."""

_MOST: Final = 2_000_000  # records and events held; more is a question asked wrongly


@dataclass(frozen=True, slots=True)
class Ending:
    """Records that a walk does not go past.

    Attributes:
        filter_query: what they are.
        included: whether they, and the events that lead to them, are part of what is found.
    """

    filter_query: str
    included: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a walk keeps to; by default to nothing.

    Attributes:
        hops: events crossed at most; None for all there are.
        artifact_types: the types of artifacts to go to.
        execution_types: the types of executions to go to.
        since: when an execution to go to was recorded, at the earliest.
        until: and at the latest.
        ending_artifacts: where to stop.
        ending_executions: where to stop.
    """

    direction: Direction = "both"
    hops: int | None = None
    artifact_types: Collection[str] | None = None
    execution_types: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    ending_artifacts: Ending | None = None
    ending_executions: Ending | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found.

    Attributes:
        artifacts: by id, how many hops away, 0 for where it started.
        executions: likewise.
        events: rows of the table of events, in the order they were recorded.
    """

    artifacts: Mapping[int, int]
    executions: Mapping[int, int]
    events: Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Subgraph:
    """The records that a walk found, oldest first, and the events between them.

    Attributes:
        artifact_hops: by id, how many hops away an artifact is; 0 for where the walk started.
        execution_hops: likewise.
        deleted: what once was linked with them and is gone.
    """

    artifacts: tuple[Artifact, ...]
    executions: tuple[Execution, ...]
    events: tuple[Event, ...]
    artifact_hops: Mapping[int, int]
    execution_hops: Mapping[int, int]
    deleted: tuple[Tombstone, ...] = ()


def subgraph(
    connection: Connection, artifacts: Collection[int], executions: Collection[int], bounds: Bounds
) -> Subgraph:
    """What `walk` finds, as records.

    Raises:
        RecordError: a record to start from is not there (``missing``), or as `walk` does.
    """
    for table, ids in ((tables.artifact, artifacts), (tables.execution, executions)):
        known = {row.id for row in matching(connection, select(table.c.id), (table.c.id, ids))}
        if missing := sorted(set(ids) - known):
            raise RecordError(f"There is no {table.name.lower()} {missing[0]} to start from.", "missing")
    found = walk(connection, artifacts, executions, bounds)
    return Subgraph(
        tuple(_records(connection, ARTIFACT, found.artifacts)),
        tuple(_records(connection, EXECUTION, found.executions)),
        tuple(load_events(connection, found.events)),
        found.artifacts,
        found.executions,
        tuple(_deleted(connection, found, bounds)),
    )


def _deleted(connection: Connection, found: Walk, bounds: Bounds) -> list[Tombstone]:
    """The tombstones of what the walk would have gone to."""
    ends: tuple[tuple[End, Mapping[int, int], Collection[str] | None], ...] = (
        ("artifact", found.artifacts, bounds.execution_types),
        ("execution", found.executions, bounds.artifact_types),
    )
    deleted = []
    for end, hops, types in ends:
        left = [id_ for id_, hop in hops.items() if hop != bounds.hops]
        gone = linked(connection, end, left, _crossed(end, bounds.direction))
        deleted += [one for one in gone if types is None or one.type in types]
    return deleted


def _crossed(end: End, direction: Direction) -> Sequence[EventType] | None:
    """The types of events that lead there from artifacts or executions; None for all."""
    if direction == "both":
        return None
    return MAKES if (end == "artifact") == (direction == "upstream") else READS


def _records(connection: Connection, kind: Kind[Node], ids: Collection[int]) -> list[Node]:
    rows = matching(connection, typed(kind.table), (kind.table.c.id, ids))
    return load(connection, kind, sorted(rows, key=lambda row: row.id))


def walk(
    connection: Connection, artifacts: Collection[int], executions: Collection[int], bounds: Bounds | None = None
) -> Walk:
    """The records around some others, and the events between them.

    The events are those that were crossed, and those to records that were reached already (upstream and downstream).

    Args:
        connection: the caller's transaction.
        artifacts: ids to start from, thousands if need be; they are taken to exist.
        executions: likewise.
        bounds: how far to go.

    Raises:
        RecordError: (invalid) a number of hops below 0, a filter query that is not understood, or more than two
            million records and events.
    """
    bounds = bounds or Bounds()
    if bounds.hops is not None and bounds.hops < 0:
        raise RecordError(f"A lineage of {bounds.hops} hops cannot be asked for: give 0 or more.", "invalid")
    sides = (_Side(connection, "artifact", bounds), _Side(connection, "execution", bounds))
    for side, ids in zip(sides, (artifacts, executions), strict=True):
        side.reach(ids, 0)
    events: dict[int, Row[*tuple[Any, ...]]] = {}
    hop = 0
    while hop != bounds.hops and (sides[0].frontier or sides[1].frontier):
        hop += 1
        crossed = [side.events() for side in sides]
        for rows, other in zip(crossed, reversed(sides), strict=True):
            other.reach({other.of(row) for row in rows}, hop)
            events |= {row.id: row for row in rows if other.of(row) in other.found}
        if len(events) + sum(len(side.found) for side in sides) > _MOST:
            raise RecordError(
                f"This lineage has more than {_MOST:,} records and events {hop} hops away: "
                "ask for fewer hops, or for some types or a time only.",
                "invalid",
            )
    return Walk(sides[0].found, sides[1].found, [events[id_] for id_ in sorted(events)])


class _Side:
    """The artifacts or the executions of a walk: which were found, and which to go on from."""

    def __init__(self, connection: Connection, end: End, bounds: Bounds) -> None:
        e = tables.event
        self._connection = connection
        self._end = end
        self._given, other = e.c.artifact_id, e.c.execution_id
        self._table, self._ending = tables.artifact, bounds.ending_artifacts
        if end == "execution":
            self._given, other = other, self._given
            self._table, self._ending = tables.execution, bounds.ending_executions
        self._query = _beyond(select(e), other, bounds)
        if (types := _crossed(end, bounds.direction)) is not None:
            self._query = self._query.where(e.c.type.in_([int(one) for one in types]))
        self.found: dict[int, int] = {}
        self.frontier: set[int] = set()

    def of(self, row: Row[*tuple[Any, ...]]) -> int:
        """The id of an event's record on this side."""
        return int(row.artifact_id if self._end == "artifact" else row.execution_id)

    def reach(self, ids: Collection[int], hop: int) -> None:
        """Go on from those of the records that were not reached before."""
        new = set(ids) - self.found.keys()
        stops: set[int] = set()
        if self._ending is not None and new:
            id_ = self._table.c.id
            query = select(id_).where(condition(self._connection, self._table, self._ending.filter_query))
            stops = {row.id for row in matching(self._connection, query, (id_, new))}
        self.frontier = new - stops
        kept = new if self._ending is not None and self._ending.included else self.frontier
        self.found |= dict.fromkeys(sorted(kept), hop)

    def events(self) -> list[Row[*tuple[Any, ...]]]:
        """The events of the records to go on from that lead where the walk may go."""
        return matching(self._connection, self._query, (self._given, self.frontier))


def _beyond(query: Select[*tuple[Any, ...]], other: ColumnElement[int], bounds: Bounds) -> Select[*tuple[Any, ...]]:
    """Only events whose other end is of the types, and of the time, that the walk keeps to."""
    t = tables.type_
    table, types, times = tables.artifact, bounds.artifact_types, []
    if other is tables.event.c.execution_id:
        table, types = tables.execution, bounds.execution_types
        recorded = table.c.create_time_since_epoch
        times += [recorded >= milliseconds(bounds.since)] if bounds.since else []
        times += [recorded <= milliseconds(bounds.until)] if bounds.until else []
    if types is None and not times:
        return query
    query = query.join(table, table.c.id == other).where(*times)
    return query if types is None else query.join(t, t.c.id == table.c.type_id).where(t.c.name.in_(list(types)))
