"""Finding records as ML Metadata does: by ids, names, types and links, listed in an order, filtered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, select

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.filtering import condition
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION, Kind, Node
from lakehouse.metadata.reading import load, load_events, matching, typed
from lakehouse.metadata.statements import kept
from lakehouse.metadata.subgraph import Bounds, walk
from lakehouse.records import Artifact, Context, Event, Execution

Order: TypeAlias = Literal["id", "create_time", "update_time"]

_COLUMNS: Final = {"id": "id", "create_time": "create_time_since_epoch", "update_time": "last_update_time_since_epoch"}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Which of many records to give, and in which order.

    Attributes:
        limit: the most to give; None for all.
        order_by: equal times go by id.
        filter_query: a condition in ML Metadata's query language.
    """

    limit: int | None = None
    order_by: Order = "id"
    ascending: bool = True
    filter_query: str | None = None


@dataclass(frozen=True, slots=True)
class LineageSubgraph:
    """Records that are linked by events, and the contexts they belong to; each oldest first.

    Attributes:
        associations: ids of a context and an execution in it.
        attributions: ids of a context and an artifact in it.
    """

    artifacts: list[Artifact]
    executions: list[Execution]
    contexts: list[Context]
    events: list[Event]
    associations: list[tuple[int, int]]
    attributions: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Member:
    """The condition that a link ties a record to another one.

    Attributes:
        link: the table of links.
        column: where it has the records that are looked for.
        other: where it has the one that is given.
    """

    link: Table
    column: str
    other: str
    id: int

    def holds(self, table: Table) -> ColumnElement[bool]:
        """The condition on the records' table."""
        return table.c.id.in_(select(self.link.c[self.column]).where(self.link.c[self.other] == self.id))


@cache
def _listing(table: Table, order_by: Order, ascending: bool) -> Select[*tuple[Any, ...]]:
    order = [table.c[_COLUMNS[order_by]], table.c.id]
    return kept(typed(table).order_by(*(order if ascending else [column.desc() for column in order])))


def find(  # noqa: PLR0913  # conditions, by keyword only
    connection: Connection,
    kind: Kind[Node],
    *,
    ids: Collection[int] | None = None,
    names: Collection[str] | None = None,
    external_ids: Collection[str] | None = None,
    uris: Collection[str] | None = None,
    type_: tuple[str, str | None] | None = None,
    members: Sequence[Member] = (),
    options: ListOptions | None = None,
) -> list[Node]:
    """The records that meet every condition, by id unless the options say otherwise."""
    options = options or ListOptions()
    if options.limit is not None and options.limit < 1:
        raise RecordError(f"A list's limit is {options.limit}: give 1 or more.")
    table = kind.table
    query = _listing(table, options.order_by, options.ascending)
    if type_ is not None:
        version = tables.type_.c.version
        of_version = version == type_[1] if type_[1] else version.is_(None)
        query = query.where(tables.type_.c.name == type_[0], of_version)
    for member in members:
        query = query.where(member.holds(table))
    if options.filter_query:
        query = query.where(condition(connection, table, options.filter_query))
    if options.limit is not None:
        query = query.limit(options.limit)
    given = [(table.c.id, ids), (table.c.name, names), (table.c.external_id, external_ids)]
    if uris is not None:
        given.append((table.c.uri, uris))
    rows = matching(connection, query, *given)
    # Long lists come in parts, each in order.
    rows.sort(key=attrgetter(_COLUMNS[options.order_by], "id"), reverse=not options.ascending)
    return load(connection, kind, rows[: options.limit])


def lineage_subgraph(
    connection: Connection, starting_artifacts: str | None, starting_executions: str | None, bounds: Bounds | None
) -> LineageSubgraph:
    """What is linked with the records that meet the filter queries.

    Raises:
        RecordError: there is no query or one is not understood (``invalid``); nothing meets them (``missing``).
    """
    if starting_artifacts is None and starting_executions is None:
        raise RecordError("A lineage starts from artifacts or executions: give a filter query for either.")
    artifacts = _meeting(connection, ARTIFACT.table, starting_artifacts)
    executions = _meeting(connection, EXECUTION.table, starting_executions)
    if not artifacts and not executions:
        raise RecordError("Nothing meets the filter queries: there is no record to start from.", "missing")
    found = walk(connection, artifacts, executions, bounds)
    associations = _memberships(connection, tables.association, "execution_id", found.executions)
    attributions = _memberships(connection, tables.attribution, "artifact_id", found.artifacts)
    return LineageSubgraph(
        find(connection, ARTIFACT, ids=found.artifacts),
        find(connection, EXECUTION, ids=found.executions),
        find(connection, CONTEXT, ids={context for context, _ in (*associations, *attributions)}),
        load_events(connection, found.events),
        associations,
        attributions,
    )


def _meeting(connection: Connection, table: Table, query: str | None) -> list[int]:
    if query is None:
        return []
    return list(connection.scalars(select(table.c.id).where(condition(connection, table, query))))


def _memberships(connection: Connection, link: Table, column: str, ids: Collection[int]) -> list[tuple[int, int]]:
    query = select(link.c.id, link.c.context_id, link.c[column].label("member"))
    rows = sorted(matching(connection, query, (link.c[column], ids)), key=lambda row: row.id)
    return [(row.context_id, row.member) for row in rows]
