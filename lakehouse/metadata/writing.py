"""Writing one execution with all that belongs to it, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sqlalchemy import Connection, insert, select

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION
from lakehouse.metadata.links import insert_missing_events, insert_missing_parents, verify_ids
from lakehouse.metadata.nodes import insert_nodes, stored_nodes, update_nodes
from lakehouse.metadata.properties import all_stored
from lakehouse.metadata.reading import matching, microseconds
from lakehouse.metadata.statements import kept
from lakehouse.metadata.types import Types
from lakehouse.records import Artifact, Context, Event, EventType, Execution, Sighting

Link: TypeAlias = tuple[Artifact | int, EventType]
"""An artifact to insert or reuse, or the id of a stored one, and how the execution touched it."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """The ids that a put gave or found, in the order of its arguments.

    Attributes:
        artifact_ids: one for each link.
        context_ids: one for each context (not for parents).
    """

    execution_id: int
    artifact_ids: tuple[int, ...] = ()
    context_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stored:
    id: int
    type_id: int | None
    external_id: str | None


class Put:
    """One put, within one write transaction.

    Args:
        now: milliseconds since 1970-01-01 UTC; every time this put writes.
    """

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._types = Types(connection)

    def execution(self, execution: Execution) -> int:
        """Insert the execution, or update the one that has its id: its state and the given properties."""
        self._types.register(EXECUTION.number, [execution])
        type_id = self._types.of(EXECUTION.number, execution).id
        if not execution.id:
            return insert_nodes(self._connection, EXECUTION, [execution], [type_id], self._now)[0]
        before = stored_nodes(self._connection, EXECUTION, [execution.id])
        if execution.id not in before:
            raise RecordError(f"There is no execution {execution.id} to update. Give id 0 to insert one.", "missing")
        was = before[execution.id]
        if was.type_id != type_id:
            raise RecordError(f"Execution {execution.id} is not a {execution.type}: its type cannot change.")
        given = {"name": execution.name, "external_id": execution.external_id, **EXECUTION.own_columns(execution)}
        changes = {name: value for name, value in given.items() if value is not None}
        values = was.values | all_stored(execution, self._connection.dialect.name)
        after = {execution.id: replace(was, columns={**was.columns, **changes}, values=values)}
        update_nodes(self._connection, EXECUTION, before, after, self._now, force=True)
        return execution.id

    def artifacts(self, links: Sequence[Link]) -> tuple[int, ...]:
        """The id of each link's artifact; those not yet stored are inserted."""
        given = [link for link, _ in links]
        new = [link for link in given if isinstance(link, Artifact) and not link.id]
        self._types.register(ARTIFACT.number, new)
        verify_ids(self._connection, ARTIFACT, {_given_id(link) for link in given} - {0})
        stored = self._stored_artifacts(new)
        made: list[Artifact] = []
        ids: list[int] = []  # of one not yet inserted, -1 and down
        for link in given:
            if isinstance(link, int) or link.id:
                ids.append(_given_id(link))
                continue
            found = self._same(link, stored)
            if found is None:
                made.append(link)
                found = _Stored(-len(made), self._types.of(ARTIFACT.number, link).id, link.external_id)
                stored |= dict.fromkeys(self._keys(link), found)
            ids.append(found.id)
        type_ids = [self._types.of(ARTIFACT.number, artifact).id for artifact in made]
        inserted = insert_nodes(self._connection, ARTIFACT, made, type_ids, self._now)
        return tuple(id_ if id_ > 0 else inserted[-id_ - 1] for id_ in ids)

    def contexts(self, contexts: Sequence[Context]) -> tuple[int, ...]:
        """The id of each context, made when there is none of its type and name."""
        if not contexts:
            return ()
        self._types.register(CONTEXT.number, contexts)
        keys = [(self._types.of(CONTEXT.number, context).id, context.name) for context in contexts]
        rows = matching(self._connection, _NAMED, (CONTEXT.table.c.name, {name for _, name in keys}))
        known = {(row.type_id, row.name): int(row.id) for row in rows}
        new = {key: context for key, context in zip(keys, contexts, strict=True) if key not in known}
        type_ids = [type_id for type_id, _ in new]
        made = insert_nodes(self._connection, CONTEXT, list(new.values()), type_ids, self._now)
        known |= zip(new, made, strict=True)
        return tuple(known[key] for key in keys)

    def parents(self, pairs: Sequence[tuple[Context, Context]]) -> None:
        """Make each first context a child of its second; both are made when missing."""
        ids = self.contexts([context for pair in pairs for context in pair])
        insert_missing_parents(self._connection, zip(ids[::2], ids[1::2], strict=True))

    def events(self, execution: int, artifacts: Sequence[int], links: Sequence[Link]) -> None:
        """Record how the execution touched each artifact, unless that is recorded already."""
        events = [Event(id_, execution, kind) for id_, (_, kind) in zip(artifacts, links, strict=True)]
        insert_missing_events(self._connection, events, self._now)

    def sightings(self, execution: int, sightings: Sequence[Sighting]) -> None:
        """Add the sightings; each is kept, seen before or not."""
        rows = [
            {
                "source": s.source,
                "origin": s.origin,
                "size": s.size,
                "modified": s.modified,
                "sha256": s.sha256,
                "seen_at": microseconds(s.seen_at),
                "execution_id": execution,
            }
            for s in sightings
        ]
        if rows:
            self._connection.execute(insert(tables.sighting), rows)

    def _stored_artifacts(self, wanted: Sequence[Artifact]) -> dict[tuple[int | None, str], _Stored]:
        """Those of the wanted that are stored, by each of their `_keys`."""
        a = ARTIFACT.table
        external = {artifact.external_id for artifact in wanted if artifact.external_id is not None}
        names = {artifact.name for artifact in wanted if artifact.name is not None}
        found: dict[tuple[int | None, str], _Stored] = {}
        for row in matching(self._connection, _KNOWN, (a.c.name, names)):
            found[row.type_id, row.name] = _Stored(row.id, row.type_id, row.external_id)
        for row in matching(self._connection, _KNOWN, (a.c.external_id, external)):
            found[None, row.external_id] = _Stored(row.id, row.type_id, row.external_id)
        return found

    def _keys(self, artifact: Artifact) -> list[tuple[int | None, str]]:
        """What makes an artifact the same as another: its external id, or its name within its type."""
        keys: list[tuple[int | None, str]] = []
        if artifact.external_id is not None:
            keys.append((None, artifact.external_id))
        if artifact.name is not None:
            keys.append((self._types.of(ARTIFACT.number, artifact).id, artifact.name))
        return keys

    def _same(self, artifact: Artifact, stored: dict[tuple[int | None, str], _Stored]) -> _Stored | None:
        found = [stored[key] for key in self._keys(artifact) if key in stored]
        if not found:
            return None
        first = found[0]
        label = f"{artifact.type} '{artifact.name or artifact.external_id}'"
        if first.type_id != self._types.of(ARTIFACT.number, artifact).id:
            problem = f"its external id belongs to artifact {first.id}, which is of another type"
            raise RecordError(f"{label}: {problem}.", "exists")
        if {one.id for one in found} != {first.id} or artifact.external_id not in {None, first.external_id}:
            problem = f"its name belongs to artifact {found[-1].id}, which has another external id"
            raise RecordError(f"{label}: {problem}.", "exists")
        return first


_KNOWN: Final = kept(select(*(ARTIFACT.table.c[name] for name in ("id", "type_id", "name", "external_id"))))
_NAMED: Final = kept(select(*(CONTEXT.table.c[name] for name in ("id", "type_id", "name"))))


def _given_id(link: Artifact | int) -> int:
    return link if isinstance(link, int) else link.id
