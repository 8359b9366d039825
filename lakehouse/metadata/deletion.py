"""Deleting artifacts, executions and contexts, which ML Metadata cannot, and remembering that they were there.

A deleted record leaves a tombstone, and its events stay beside it, so that lineage can tell what once led where.
What the lake's own work rests on is not deleted here: raw files and rows are erased by other means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION, Kind
from lakehouse.metadata.neighbours import End
from lakehouse.metadata.reading import matching, milliseconds, moment_of, typed
from lakehouse.records import Event, EventType, Tombstone, TypeKind

_KEPT: Final[Mapping[TypeKind, frozenset[str]]] = {
    TypeKind.ARTIFACT: frozenset(
        {"RawFile", "TableVersion", "QuarantineVersion", "Schema", "Statistics", "Anomalies", "Tag", "TrainingSet"}
    ),
    TypeKind.EXECUTION: frozenset({"Land", "Curate", "Derive", "Run", "Optimize", "Tag", "Import", "TrainingSet"}),
    TypeKind.CONTEXT: frozenset({"Source", "Dataset", "Job", "Run"}),
}
_PART: Final = 5_000


def delete_records(  # noqa: PLR0913  # the three kinds, why and when
    connection: Connection,
    artifact_ids: Collection[int],
    execution_ids: Collection[int],
    context_ids: Collection[int],
    *,
    reason: str,
    now: datetime,
) -> list[Tombstone]:
    """Delete records with all that hangs on them, and give their tombstones.

    With a record go its properties, its events and their paths, and its membership in contexts (a context's
    members and its parents and children stay).

    Raises:
        RecordError: one of them is not there (``missing``), or is of the lake's own types, or no reason is given
            (``invalid``); then none was deleted.
    """
    if not reason.strip():
        raise RecordError("A deletion needs a reason: say why these records go.", "invalid")
    asked = ((ARTIFACT, artifact_ids), (EXECUTION, execution_ids), (CONTEXT, context_ids))
    rows = [row for kind, ids in asked for row in _tombstones_of(connection, kind, ids, reason, milliseconds(now))]
    if rows:
        connection.execute(insert(tables.tombstone), rows)
    for kind, ids in asked:
        for part in _parts(ids):
            _delete(connection, kind, part)
    return [found for kind, ids in asked for found in tombstones(connection, kind=kind.number, ids=ids)]


def tombstones(
    connection: Connection,
    *,
    kind: TypeKind | None = None,
    ids: Collection[int] | None = None,
    external_ids: Collection[str] | None = None,
) -> list[Tombstone]:
    """What was deleted, of those that meet every condition given, oldest first."""
    t = tables.tombstone
    query = select(t) if kind is None else select(t).where(t.c.type_kind == int(kind))
    rows = matching(connection, query, (t.c.record_id, ids), (t.c.external_id, external_ids))
    events = {end: _events(connection, end, rows) for end in (TypeKind.ARTIFACT, TypeKind.EXECUTION)}
    return [
        Tombstone(
            TypeKind(row.type_kind),
            row.record_id,
            row.type,
            row.name,
            row.external_id,
            row.uri or "",
            moment_of(row.deleted_at),
            row.reason,
            tuple(events.get(TypeKind(row.type_kind), {}).get(row.record_id, ())),
        )
        for row in sorted(rows, key=lambda row: (row.deleted_at, row.type_kind, row.record_id))
    ]


def linked(
    connection: Connection, end: End, ids: Collection[int], types: Collection[EventType] | None
) -> list[Tombstone]:
    """The tombstones of what events of these types (None: all) once linked with artifacts or executions (``end``)."""
    e = tables.tombstone_event
    given, other, kind = e.c.artifact_id, e.c.execution_id, TypeKind.EXECUTION
    if end == "execution":
        given, other, kind = other, given, TypeKind.ARTIFACT
    numbers = None if types is None else [int(one) for one in types]
    rows = matching(connection, select(other).distinct(), (given, ids), (e.c.type, numbers))
    return tombstones(connection, kind=kind, ids={row[0] for row in rows})


def _tombstones_of(
    connection: Connection, kind: Kind[Any], ids: Collection[int], reason: str, now: int
) -> list[dict[str, Any]]:
    """The rows to keep of these records.

    Raises:
        RecordError: as `delete_records` does.
    """
    rows = matching(connection, typed(kind.table), (kind.table.c.id, ids))
    if missing := sorted(set(ids) - {row.id for row in rows}):
        raise RecordError(f"There is no {kind.word} {missing[0]} to delete; nothing was deleted.", "missing")
    for row in rows:
        if row.type in _KEPT[kind.number]:
            raise RecordError(
                f"The {kind.word} {row.id} is a {row.type}, which the lake itself rests on; nothing was deleted. "
                f"Only records of other types can be.",
                "invalid",
            )
    return [
        {
            "type_kind": int(kind.number),
            "record_id": row.id,
            "type": row.type,
            "name": row.name,
            "external_id": row.external_id,
            "uri": row.uri if kind is ARTIFACT else None,
            "deleted_at": now,
            "reason": reason,
        }
        for row in rows
    ]


def _delete(connection: Connection, kind: Kind[Any], ids: Sequence[int]) -> None:
    """Delete records and what hangs on them, keeping their events beside the tombstones."""
    match kind.number:
        case TypeKind.ARTIFACT:
            _delete_events(connection, tables.event.c.artifact_id.in_(ids))
            links = [tables.attribution.c.artifact_id]
        case TypeKind.EXECUTION:
            _delete_events(connection, tables.event.c.execution_id.in_(ids))
            links = [tables.association.c.execution_id]
        case _:
            links = [tables.attribution.c.context_id, tables.association.c.context_id]
            links += [tables.parent_context.c.context_id, tables.parent_context.c.parent_context_id]
    for column in (*links, kind.properties.c[0], kind.table.c.id):
        connection.execute(delete(column.table).where(column.in_(ids)))


def _delete_events(connection: Connection, which: ColumnElement[bool]) -> None:
    e, kept = tables.event, tables.tombstone_event
    names = [column.name for column in kept.c]
    connection.execute(insert(kept).from_select(names, select(*(e.c[name] for name in names)).where(which)))
    connection.execute(delete(tables.event_path).where(tables.event_path.c.event_id.in_(select(e.c.id).where(which))))
    connection.execute(delete(e).where(which))


def _events(connection: Connection, end: TypeKind, rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[int, list[Event]]:
    """The events that artifacts or executions (``end``) among these tombstones had, by their ids."""
    e = tables.tombstone_event
    own = e.c.artifact_id if end is TypeKind.ARTIFACT else e.c.execution_id
    found: dict[int, list[Event]] = {}
    for row in matching(connection, select(e), (own, [row.record_id for row in rows if row.type_kind == end])):
        at = moment_of(row.milliseconds_since_epoch)
        event = Event(row.artifact_id, row.execution_id, EventType(row.type), at)
        found.setdefault(getattr(row, own.name), []).append(event)
    return found


def _parts(ids: Collection[int]) -> Iterable[list[int]]:
    distinct = list(dict.fromkeys(ids))
    return (distinct[at : at + _PART] for at in range(0, len(distinct), _PART))
