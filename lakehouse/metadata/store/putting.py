"""Putting records as ML Metadata does: strict about types, names and ids. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, select

from lakehouse.errors import RecordError
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION, Kind, Node
from lakehouse.metadata.links import insert_events, insert_memberships, verify_ids
from lakehouse.metadata.nodes import Stored, insert_nodes, stored_nodes, update_nodes
from lakehouse.metadata.properties import Key, Values, all_stored
from lakehouse.metadata.reading import matching, milliseconds
from lakehouse.metadata.statements import kept
from lakehouse.metadata.types import Types, verify
from lakehouse.records import Artifact, Context, Event, Execution

Pair: TypeAlias = tuple[Artifact | None, Event | None]
"""An artifact to put, and how the execution touched it: an event whose ids may be 0 where they follow."""

Edge: TypeAlias = tuple[int | None, int | None, Event]
"""An event, its execution and artifact given by place in the lists of the call, or by the event's own id."""


_NAMED: Final = kept(select(CONTEXT.table.c.id, CONTEXT.table.c.type_id, CONTEXT.table.c.name))
_IDENTIFIED: Final = kept(select(ARTIFACT.table.c.id, ARTIFACT.table.c.external_id))


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a put takes as it is stored, where it would else be refused as another of the same name.

    Attributes:
        contexts: a context without an id whose type and name are stored is that one, unchanged.
        artifacts: an artifact whose external id is stored is that one, updated.
        contexts_by_id: a context with an id is not updated.
    """

    contexts: bool = False
    artifacts: bool = False
    contexts_by_id: bool = False


class Putting:
    """One put, within one write transaction.

    Args:
        now: milliseconds since 1970-01-01 UTC; every time this put writes.
    """

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._types = Types(connection)

    def nodes(
        self,
        kind: Kind[Node],
        records: Sequence[Node],
        mask: Collection[str] = (),
        *,
        force: bool = False,
        unchanged_since: bool = False,
    ) -> list[int]:
        """Insert those without an id, update the others; the ids of all, in order.

        Args:
            kind: what they are.
            records: to put.
            mask: the fields to update; none for the whole record.
            force: set the time of an update even where nothing differs.
            unchanged_since: refuse to update a record that was updated since its ``updated_at``.
        """
        old = [record for record in records if record.id]
        if old:
            # First: an update may set free the name that an insert takes, and is never of what is inserted here.
            self._update(kind, old, mask, force=force, unchanged_since=unchanged_since)
        inserted = iter(self._inserted(kind, [record for record in records if not record.id]))
        return [record.id or next(inserted) for record in records]

    def execution(
        self,
        execution: Execution,
        pairs: Sequence[Pair],
        contexts: Sequence[Context],
        reuse: Reuse,
        *,
        force: bool = False,
    ) -> tuple[int, list[int], list[int]]:
        """Put an execution with the artifacts it touched and what it belongs to; the ids of all."""
        pairs = [pair for pair in pairs if pair != (None, None)]
        for artifact, event in pairs:
            _verify_pair(execution, artifact, event)
        (execution_id,) = self.nodes(EXECUTION, [execution], force=force)
        put = iter(self._artifacts([artifact for artifact, _ in pairs if artifact is not None], reuse))
        artifact_ids = [_other_end(event) if artifact is None else next(put) for artifact, event in pairs]
        events = [
            replace(event, artifact_id=artifact_id, execution_id=execution_id)
            for artifact_id, (_, event) in zip(artifact_ids, pairs, strict=True)
            if event is not None
        ]
        verify_ids(self._connection, ARTIFACT, {_other_end(event) for artifact, event in pairs if artifact is None})
        if events:
            insert_events(self._connection, events, self._now)
        context_ids = self._contexts(contexts, reuse)
        insert_memberships(self._connection, context_ids, [execution_id], artifact_ids)
        return execution_id, artifact_ids, context_ids

    def subgraph(
        self,
        executions: Sequence[Execution],
        artifacts: Sequence[Artifact],
        contexts: Sequence[Context],
        edges: Sequence[Edge],
        reuse: Reuse,
    ) -> tuple[list[int], list[int], list[int]]:
        """Put records and the events between them; the ids of all."""
        for execution_index, artifact_index, event in edges:
            _verify_end(EXECUTION, executions, execution_index, event.execution_id)
            _verify_end(ARTIFACT, artifacts, artifact_index, event.artifact_id)
        context_ids = self._contexts(contexts, reuse)
        execution_ids = self.nodes(EXECUTION, executions)
        artifact_ids = self._artifacts(artifacts, reuse)
        insert_memberships(self._connection, context_ids, execution_ids, artifact_ids)
        events = [
            replace(
                event,
                execution_id=event.execution_id if e is None else execution_ids[e],
                artifact_id=event.artifact_id if a is None else artifact_ids[a],
            )
            for e, a, event in edges
        ]
        self.events(events)
        return execution_ids, artifact_ids, context_ids

    def events(self, events: Sequence[Event]) -> None:
        """Record events between stored records."""
        verify_ids(self._connection, ARTIFACT, {event.artifact_id for event in events})
        verify_ids(self._connection, EXECUTION, {event.execution_id for event in events})
        if events:
            insert_events(self._connection, events, self._now)

    def _inserted(self, kind: Kind[Node], records: Sequence[Node]) -> list[int]:
        type_ids = []
        for record in records:
            known = self._types.of(kind.number, record)
            verify(known, record)
            if kind is CONTEXT and not record.name:
                raise RecordError("Context name should not be empty.")
            type_ids.append(known.id)
        return insert_nodes(self._connection, kind, records, type_ids, self._now)

    def _update(
        self, kind: Kind[Node], records: Sequence[Node], mask: Collection[str], *, force: bool, unchanged_since: bool
    ) -> None:
        before = stored_nodes(self._connection, kind, {record.id for record in records})
        after = dict(before)
        dialect = self._connection.dialect.name
        for record in records:
            was = after.get(record.id)
            if was is None:
                raise RecordError(f"There is no {kind.word} {record.id} to update. Give id 0 to insert one.")
            if unchanged_since and (record.updated_at is None or milliseconds(record.updated_at) != was.updated):
                raise RecordError(f"{kind.word.capitalize()} {record.id} was updated since it was read.", "stale")
            self._verify_update(kind, record, was, mask)
            columns: dict[str, Any] = {**kind.own_columns(record), "external_id": record.external_id}
            if kind.renamable:
                columns["name"] = record.name
            columns = {name: value for name, value in columns.items() if not mask or name in mask}
            if "name" in columns and not columns["name"]:
                raise RecordError("Context name should not be empty.")
            values = _masked(was.values, all_stored(record, dialect), mask) if mask else all_stored(record, dialect)
            after[record.id] = replace(was, columns={**was.columns, **columns}, values=values)
        update_nodes(self._connection, kind, before, after, self._now, force=force)

    def _verify_update(self, kind: Kind[Node], record: Node, was: Stored, mask: Collection[str]) -> None:
        known = self._types.numbered(kind.number, was.type_id)
        other = record.type_id not in {0, known.id} or (not record.type_id and record.type not in {"", known.name})
        if other:
            raise RecordError(f"{kind.word.capitalize()} {record.id} is of type {known.name}: it cannot change.")
        names = {path.removeprefix("properties.") for path in mask if path.startswith("properties.")}
        verify(known, record, None if not mask or "properties" in mask else names)

    def _artifacts(self, artifacts: Sequence[Artifact], reuse: Reuse) -> list[int]:
        if not reuse.artifacts:
            return self.nodes(ARTIFACT, artifacts)
        wanted = {artifact.external_id for artifact in artifacts if artifact.external_id}
        rows = matching(self._connection, _IDENTIFIED, (ARTIFACT.table.c.external_id, wanted))
        known: dict[str | None, int] = {row.external_id: row.id for row in rows}
        first: dict[str | None, Artifact] = {}
        for artifact in artifacts:
            if artifact.external_id and not artifact.id and artifact.external_id not in known:
                first.setdefault(artifact.external_id, artifact)
        known |= zip(first, self.nodes(ARTIFACT, list(first.values())), strict=True)
        others = [artifact for artifact in artifacts if first.get(artifact.external_id) is not artifact]
        put = iter(self.nodes(ARTIFACT, [replace(x, id=x.id or known.get(x.external_id, 0)) for x in others]))
        return [known[x.external_id] if first.get(x.external_id) is x else next(put) for x in artifacts]

    def _contexts(self, contexts: Sequence[Context], reuse: Reuse) -> list[int]:
        by_id = {context.id for context in contexts if context.id and reuse.contexts_by_id}
        verify_ids(self._connection, CONTEXT, by_id, "missing")
        named = [context for context in contexts if reuse.contexts and not context.id]
        known = self._named(named)
        first: dict[tuple[int, str], Context] = {}
        for context in named:
            if self._key(context) not in known:
                first.setdefault(self._key(context), context)
        known |= zip(first, self.nodes(CONTEXT, list(first.values())), strict=True)
        others = [context for context in contexts if context.id not in by_id and (context.id or not reuse.contexts)]
        put = iter(self.nodes(CONTEXT, others))
        return [
            context.id
            if context.id in by_id
            else next(put)
            if context.id or not reuse.contexts
            else known[self._key(context)]
            for context in contexts
        ]

    def _key(self, context: Context) -> tuple[int, str]:
        return self._types.of(CONTEXT.number, context).id, context.name

    def _named(self, contexts: Sequence[Context]) -> dict[tuple[int, str], int]:
        """The ids of the stored contexts with one of these names, by type and name."""
        if not contexts:
            return {}
        rows = matching(self._connection, _NAMED, (CONTEXT.table.c.name, {context.name for context in contexts}))
        return {(row.type_id, row.name): row.id for row in rows}


def _masked(was: Values, given: Values, mask: Collection[str]) -> Values:
    """The stored values with those that the mask names replaced, or removed where they are not given."""

    def named(key: Key) -> bool:
        field = "custom_properties" if key[0] else "properties"
        return field in mask or f"{field}.{key[1]}" in mask

    kept = {key: value for key, value in was.items() if not named(key)}
    return kept | {key: value for key, value in given.items() if named(key)}


def _verify_pair(execution: Execution, artifact: Artifact | None, event: Event | None) -> None:
    if event is None:
        return
    if artifact is None and not event.artifact_id:
        raise RecordError("An event without an artifact must name one by its artifact_id.")
    if artifact is not None and event.artifact_id not in {0, artifact.id}:
        raise RecordError(f"The event's artifact_id {event.artifact_id} is not that of the artifact beside it.")
    if event.execution_id not in {0, execution.id}:
        raise RecordError(f"The event's execution_id {event.execution_id} is not that of the execution.")


def _other_end(event: Event | None) -> int:
    return 0 if event is None else event.artifact_id


def _verify_end(kind: Kind[Node], records: Sequence[Node], index: int | None, id_: int) -> None:
    if index is None:
        if not id_:
            raise RecordError(f"An event edge names no {kind.word}, neither by index nor by id.")
        return
    if not 0 <= index < len(records):
        raise RecordError(f"An event edge names {kind.word} {index} of {len(records)}: there is none at that index.")
    if id_ and records[index].id != id_:
        raise RecordError(f"An event's {kind.word}_id {id_} is not that of the {kind.word} at index {index}.")
