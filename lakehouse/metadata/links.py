"""Writing what ties records together: events, memberships in contexts, parents of contexts.

The one place that does. Each function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION, Kind, Node
from lakehouse.metadata.reading import matching, milliseconds
from lakehouse.metadata.statements import insert_mappings, insert_missing, insert_rows, kept
from lakehouse.records import Event

_IDS: Final = {kind.number: kept(select(kind.table.c.id)) for kind in (ARTIFACT, EXECUTION, CONTEXT)}


def verify_ids(
    connection: Connection, kind: Kind[Node], ids: Collection[int], problem: Literal["invalid", "missing"] = "invalid"
) -> None:
    """See that records of these ids are there.

    Raises:
        RecordError: some are not, with this problem.
    """
    if not ids:
        return
    known = {row.id for row in matching(connection, _IDS[kind.number], (kind.table.c.id, ids))}
    if missing := sorted(set(ids) - known):
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise RecordError(f"There is no {kind.word} {shown} in the ledger to link to; nothing was recorded.", problem)


def insert_events(connection: Connection, events: Sequence[Event], now: int) -> None:
    """Record events with their paths; one without a time happened now. Their records are there.

    Raises:
        RecordError: one is recorded already (``exists``), or has no type.
    """
    if any(not event.type for event in events):
        raise RecordError("No event type is specified.")
    try:
        if not any(event.path for event in events):
            insert_mappings(connection, tables.event, _rows(events, now))
            return
        ids = insert_rows(connection, tables.event, _rows(events, now))
    except IntegrityError:
        raise RecordError(
            "One of the given events exists already: of its artifact, execution, type.", "exists"
        ) from None
    steps = [
        {
            "event_id": id_,
            "is_index_step": isinstance(step, int),
            "step_index": step if isinstance(step, int) else None,
            "step_key": None if isinstance(step, int) else step,
        }
        for id_, event in zip(ids, events, strict=True)
        for step in event.path
    ]
    if steps:
        connection.execute(insert(tables.event_path), steps)


def insert_missing_events(connection: Connection, events: Sequence[Event], now: int) -> None:
    """Record events, without paths, but those that are recorded already."""
    insert_missing(connection, tables.event, _rows(events, now))


def _rows(events: Sequence[Event], now: int) -> list[dict[str, Any]]:
    return [
        {
            "artifact_id": event.artifact_id,
            "execution_id": event.execution_id,
            "type": int(event.type),
            "milliseconds_since_epoch": now if event.at is None else milliseconds(event.at),
        }
        for event in events
    ]


def insert_memberships(
    connection: Connection, contexts: Iterable[int], executions: Iterable[int], artifacts: Iterable[int]
) -> None:
    """Put these executions and artifacts into each of the contexts, where they are not."""
    contexts = list(dict.fromkeys(contexts))
    insert_associations(connection, [(c, e) for c in contexts for e in dict.fromkeys(executions)])
    insert_attributions(connection, [(c, a) for c in contexts for a in dict.fromkeys(artifacts)])


def insert_associations(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Put executions into contexts: pairs of a context and an execution."""
    insert_missing(connection, tables.association, [{"context_id": c, "execution_id": e} for c, e in pairs])


def insert_attributions(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Put artifacts into contexts: pairs of a context and an artifact."""
    insert_missing(connection, tables.attribution, [{"context_id": c, "artifact_id": a} for c, a in pairs])


def verify_members(
    connection: Connection, associations: Sequence[tuple[int, int]], attributions: Sequence[tuple[int, int]]
) -> None:
    """See that both ends of the pairs are there.

    Raises:
        RecordError: some are not.
    """
    verify_ids(connection, CONTEXT, {context for context, _ in (*associations, *attributions)})
    verify_ids(connection, EXECUTION, {execution for _, execution in associations})
    verify_ids(connection, ARTIFACT, {artifact for _, artifact in attributions})


def insert_parents(connection: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Record parents: pairs of a child and its parent context.

    Raises:
        RecordError: a context is not there or would be its own ancestor, or a pair is recorded (``exists``).
    """
    verify_ids(connection, CONTEXT, {context for pair in pairs for context in pair})
    _verify_no_cycle(connection, pairs)
    p = tables.parent_context
    try:
        if pairs:
            connection.execute(insert(p), [{"context_id": c, "parent_context_id": parent} for c, parent in pairs])
    except IntegrityError:
        raise RecordError("One of the given parent contexts is recorded already.", "exists") from None


def insert_missing_parents(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Record parents, but those that are recorded already."""
    rows = [{"context_id": child, "parent_context_id": parent} for child, parent in pairs]
    insert_missing(connection, tables.parent_context, rows)


def _verify_no_cycle(connection: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    p = tables.parent_context
    above: dict[int, set[int]] = {}
    for child, parent in pairs:
        above.setdefault(child, set()).add(parent)
    frontier = {parent for _, parent in pairs}
    seen: set[int] = set()
    while frontier := frontier - seen:  # a query a generation
        seen |= frontier
        rows = matching(connection, select(p), (p.c.context_id, frontier))
        for row in rows:
            above.setdefault(row.context_id, set()).add(row.parent_context_id)
        frontier = {row.parent_context_id for row in rows}
    for child in {child for child, _ in pairs}:
        reached: set[int] = set()
        todo = [child]
        while todo:
            new = above.get(todo.pop(), set()) - reached
            if child in new:
                raise RecordError(f"Context {child} would be its own ancestor: there is a cycle in the given parents.")
            reached |= new
            todo += new
