"""Receipts out of a ledger, and a ledger out of receipts. Each function works in the caller's transaction."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Table, delete, func, insert, select

from lakehouse.metadata import overview, reading, tables
from lakehouse.metadata.properties import PropertyRows
from lakehouse.metadata.reading import matching, milliseconds
from lakehouse.metadata.statements import insert_missing
from lakehouse.metadata.types import Types
from lakehouse.metadata.writing import Put
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, Context, Event, EventType, Execution, Sighting

_READ: Final = frozenset({EventType.INPUT, EventType.DECLARED_INPUT})
_LOOKED: Final = "looked"
_AT_ONCE: Final = 200  # receipts in one set of statements
_TABLES: Final = {
    tables.ARTIFACT_KIND: (tables.artifact, tables.artifact_property),
    tables.EXECUTION_KIND: (tables.execution, tables.execution_property),
    tables.CONTEXT_KIND: (tables.context, tables.context_property),
}
_Key: TypeAlias = tuple[str, str | int]
"""The type of a record and its name, or its number where it has none; or "" and its external id."""
_Linked: TypeAlias = Artifact | Context


def receipts(connection: Connection, ids: Collection[int]) -> list[Receipt]:
    """The receipts of these executions, as far as there are any, oldest first."""
    executions = reading.executions(
        connection, type=None, state=None, context=None, ids=ids, newest_first=False, limit=None
    )
    contexts = reading.related(connection, tables.association, ids, "execution_id", "context_id")
    belonging = {context.id: context for of in contexts.values() for context in of}
    parents = reading.related(connection, tables.parent_context, belonging, "context_id", "parent_context_id")
    events: dict[int, list[Event]] = {}
    for event in reading.events(connection, execution_ids=ids, artifact_ids=None, types=None):
        events.setdefault(event.execution_id, []).append(event)
    artifacts = _artifacts(connection, [event for of in events.values() for event in of])
    hashes = {str(a.external_id).rpartition("/")[2] for a in artifacts.values() if a.type == "RawFile"}
    sightings = _sightings(connection, ids, hashes)
    return [
        Receipt(
            _told(execution),
            tuple(contexts[execution.id]),
            tuple((c, parent) for c in contexts[execution.id] for parent in parents[c.id]),
            tuple(_touched(events.get(execution.id, ()), artifacts)),
            tuple(events.get(execution.id, ())),
            tuple(sightings.get(execution.id, ())),
        )
        for execution in executions
    ]


def _told(execution: Execution) -> Execution:
    """Without what a curation keeps only for the next one, which finds it out again; see `overview.forget`."""
    if execution.type != "Curate" or _LOOKED not in execution.custom_properties:
        return execution
    kept = {name: value for name, value in execution.custom_properties.items() if name != _LOOKED}
    return dataclasses.replace(execution, custom_properties=kept)


def _touched(events: Sequence[Event], artifacts: Mapping[int, Artifact]) -> Iterator[Artifact]:
    """The artifacts of one execution's events; a raw file that was only read is bare."""
    made = {event.artifact_id for event in events if event.type not in _READ}
    for identity in dict.fromkeys(event.artifact_id for event in events):
        found = artifacts.get(identity)
        if found is not None and found.type == "RawFile" and identity not in made:
            found = Artifact("RawFile", external_id=found.external_id, id=identity)
        if found is not None:
            yield found


def _artifacts(connection: Connection, events: Sequence[Event]) -> dict[int, Artifact]:
    """The artifacts of events; the properties of raw files that were only read are left out."""
    whole = {event.artifact_id for event in events if event.type not in _READ}
    read = {event.artifact_id for event in events} - whole
    a, t = tables.artifact, tables.type_
    query = select(a.c.id, a.c.external_id).join_from(a, t, a.c.type_id == t.c.id).where(t.c.name == "RawFile")
    rows = matching(connection, query, (a.c.id, read))
    bare = {row.id: Artifact("RawFile", external_id=row.external_id, id=row.id) for row in rows}
    rest = reading.artifacts(
        connection, type=None, context=None, ids=whole | (read - bare.keys()), external_ids=None, names=None, uris=None
    )
    return bare | {artifact.id: artifact for artifact in rest}


def _sightings(connection: Connection, ids: Collection[int], hashes: Collection[str]) -> dict[int, list[Sighting]]:
    """By execution; looked up by content, which there is an index for."""
    s = tables.sighting
    found: dict[int, list[Sighting]] = {}
    for row in sorted(
        matching(connection, select(s), (s.c.sha256, hashes), (s.c.execution_id, ids)), key=lambda row: row.id
    ):
        found.setdefault(row.execution_id, []).append(reading.sighting(row))
    return found


def restore(connection: Connection, receipts: Iterable[Receipt], beyond: int = 0) -> int:
    """Put back the executions that the ledger does not have, each with its own number, and all that belongs to them.

    Artifacts and contexts that are there stay as they are, and get back the ids they had where these are free.

    Args:
        connection: within a write transaction.
        receipts: by the executions' numbers, ascending; an artifact is whole in the first that names it.
        beyond: the next new execution gets a higher number than this.

    Returns:
        How many executions were put back.
    """
    restoring = _Restoring(connection)
    count = sum(map(restoring.put, _parts(receipts)))
    for kind in _TABLES:
        restoring.pass_over(kind, beyond if kind == tables.EXECUTION_KIND else 0)
    overview.forget(connection)
    return count


def _parts(receipts: Iterable[Receipt]) -> Iterator[list[Receipt]]:
    source = iter(receipts)
    while part := list(itertools.islice(source, _AT_ONCE)):
        yield part


class _Restoring:
    """One restoring: what ids its records get in this ledger."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types = Types(connection)

    def put(self, part: Sequence[Receipt]) -> int:
        """Put back what is missing of these."""
        e = tables.execution
        known = {row.id for row in matching(self._connection, select(e.c.id), (e.c.id, [r.execution.id for r in part]))}
        missing = [receipt for receipt in part if receipt.execution.id not in known]
        self._insert(tables.EXECUTION_KIND, [receipt.execution for receipt in missing])
        contexts = self._ids(
            tables.CONTEXT_KIND, [c for r in missing for c in (*r.contexts, *itertools.chain(*r.parents))]
        )
        artifacts = self._ids(tables.ARTIFACT_KIND, [artifact for r in missing for artifact in r.artifacts])
        rows: dict[Table, list[dict[str, Any]]] = {
            tables.event: [],
            tables.association: [],
            tables.attribution: [],
            tables.parent_context: [],
        }
        for receipt in missing:
            execution = receipt.execution.id
            within = [contexts[_key(context)] for context in receipt.contexts]
            here = {artifact.id: artifacts[_key(artifact)] for artifact in receipt.artifacts}
            rows[tables.event] += [
                {
                    "artifact_id": here[event.artifact_id],
                    "execution_id": execution,
                    "type": int(event.type),
                    "milliseconds_since_epoch": _milliseconds(event.at),
                }
                for event in receipt.events
                if event.artifact_id in here
            ]
            rows[tables.association] += [{"context_id": c, "execution_id": execution} for c in within]
            rows[tables.attribution] += [{"context_id": c, "artifact_id": a} for c in within for a in here.values()]
            rows[tables.parent_context] += [
                {"context_id": contexts[_key(child)], "parent_context_id": contexts[_key(parent)]}
                for child, parent in receipt.parents
            ]
            Put(self._connection, 0).sightings(execution, receipt.sightings)
        for into, of in rows.items():
            insert_missing(self._connection, into, of)
        return len(missing)

    def pass_over(self, kind: int, last: int) -> None:
        """Let the next id that the database gives be higher than ``last`` and than every id there is."""
        table = _TABLES[kind][0]
        if last > (self._connection.scalar(select(func.max(table.c.id))) or 0):
            # A row that comes and goes: SQLite and MySQL give no id twice.
            self._connection.execute(
                insert(table).values(id=last, type_id=0, **({"name": ""} if kind == tables.CONTEXT_KIND else {}))
            )
            self._connection.execute(delete(table).where(table.c.id == last))
        if self._connection.dialect.name == "postgresql":
            sequence = func.pg_get_serial_sequence(table.name.lower(), "id")
            newest = select(func.greatest(func.coalesce(func.max(table.c.id), 1), last)).scalar_subquery()
            self._connection.execute(select(func.setval(sequence, newest)))

    def _ids(self, kind: int, records: Sequence[_Linked]) -> dict[_Key, int]:
        """Every record's id here; those that are not there are made, with the ids they have where these are free."""
        first: dict[_Key, _Linked] = {}
        for record in records:
            if _key(record) not in first or not first[_key(record)].id:
                first[_key(record)] = record
        found = self._known(kind, first)
        missing = [record for key, record in first.items() if key not in found]
        made = self._numbered(kind, missing)
        self._insert(kind, made)
        return found | {_key(old): new.id for old, new in zip(missing, made, strict=True)}

    def _known(self, kind: int, records: Mapping[_Key, _Linked]) -> dict[_Key, int]:
        """Those that are there: by external id, by type and name, or by type and number where they have neither."""
        table, t = _TABLES[kind][0], tables.type_
        query = select(table.c.id, table.c.name, table.c.external_id, t.c.name.label("type")).join_from(
            table, t, table.c.type_id == t.c.id
        )
        names = [value for of, value in records if of and isinstance(value, str)]
        external = [value for of, value in records if not of]
        numbers = [value for of, value in records if isinstance(value, int)]
        found: dict[_Key, int] = {}
        for row in matching(self._connection, query, (table.c.id, numbers)):
            if row.name is None and row.external_id is None:
                found[row.type, row.id] = row.id
        for row in matching(self._connection, query, (table.c.name, names)):
            found[row.type, row.name] = row.id
        for row in matching(self._connection, query, (table.c.external_id, external)):
            found["", row.external_id] = row.id
        return {key: found[key] for key in records if key in found}

    def _numbered(self, kind: int, records: Sequence[_Linked]) -> list[_Linked]:
        table = _TABLES[kind][0]
        wanted = {record.id for record in records}
        taken = {row.id for row in matching(self._connection, select(table.c.id), (table.c.id, wanted))} | {0}
        following = itertools.count(max(self._connection.scalar(select(func.max(table.c.id))) or 0, *wanted, 0) + 1)
        numbered = []
        for record in records:
            free = record.id > 0 and record.id not in taken
            taken.add(record.id)
            numbered.append(record if free else dataclasses.replace(record, id=next(following)))
        return numbered

    def _insert(self, kind: int, records: Sequence[Artifact | Execution | Context]) -> None:
        """Insert records with the ids they have."""
        self._types.register(kind, records)
        table, properties = _TABLES[kind][0], PropertyRows(_TABLES[kind][1])
        rows = []
        for record in records:
            row = {
                "id": record.id,
                "type_id": self._types.id(kind, record.type),
                "name": record.name,
                "external_id": record.external_id,
                "create_time_since_epoch": _milliseconds(record.created_at) or 0,
                "last_update_time_since_epoch": _milliseconds(record.updated_at) or 0,
            }
            match record:
                case Artifact():
                    row |= {"uri": record.uri, "state": int(record.state)}
                case Execution():
                    row |= {"last_known_state": int(record.state)}
            rows.append(row)
            properties.add(record.id, record)
        if rows:
            self._connection.execute(insert(table), rows)
        properties.insert(self._connection)


def _key(record: _Linked) -> _Key:
    """What makes a record the same in another ledger; one without a name is the same by its number in the receipts."""
    if isinstance(record, Artifact) and record.external_id is not None:
        return "", record.external_id
    return record.type, record.name if record.name is not None else record.id


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)
