"""Writing one execution with all that belongs to it, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, column, delete, insert, select, table, update
from sqlalchemy.dialects import sqlite

from lakehouse.errors import MetadataError
from lakehouse.metadata import tables
from lakehouse.metadata.properties import PropertyRows, Types, insert_one
from lakehouse.metadata.reading import matching, microseconds
from lakehouse.records import Artifact, Context, EventType, Execution, Sighting

Link: TypeAlias = tuple[Artifact | int, EventType]
"""An artifact to insert or reuse, or the id of a stored one, and how the execution touched it."""

_SEQUENCE = table("sqlite_sequence", column("name"), column("seq"))


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
        self._types.register(tables.EXECUTION_KIND, [execution])
        if execution.id:
            self._update(execution)
            identity = execution.id
        else:
            row = self._row(tables.EXECUTION_KIND, execution) | {"last_known_state": int(execution.state)}
            identity = insert_one(self._connection, tables.execution, **row)
        properties = PropertyRows(tables.execution_property)
        properties.add(identity, execution)
        properties.insert(self._connection)
        return identity

    def artifacts(self, links: Sequence[Link]) -> tuple[int, ...]:
        """The id of each link's artifact; those not yet stored are inserted."""
        new = [link for link, _ in links if isinstance(link, Artifact) and not link.id]
        self._types.register(tables.ARTIFACT_KIND, new)
        self._verify_artifacts([_given_id(link) for link, _ in links if _given_id(link)])
        stored = self._stored_artifacts(new)
        rows: list[dict[str, Any]] = []
        properties = PropertyRows(tables.artifact_property)
        following = self._following_id(tables.artifact)
        ids: list[int] = []
        for link, _ in links:
            if isinstance(link, int) or link.id:
                ids.append(_given_id(link))
                continue
            found = self._same(link, stored)
            if found is None:
                found = _Stored(
                    following + len(rows), self._types.id(tables.ARTIFACT_KIND, link.type), link.external_id
                )
                stored |= dict.fromkeys(self._keys(link), found)
                row = self._row(tables.ARTIFACT_KIND, link)
                rows.append(row | {"id": found.id, "uri": link.uri, "state": int(link.state)})
                properties.add(found.id, link)
            ids.append(found.id)
        self._insert(tables.artifact, rows)
        properties.insert(self._connection)
        return tuple(ids)

    def contexts(self, contexts: Sequence[Context]) -> tuple[int, ...]:
        """The id of each context, made when there is none of its type and name."""
        self._types.register(tables.CONTEXT_KIND, contexts)
        c = tables.context
        query = select(c.c.id, c.c.type_id, c.c.name)
        rows = matching(self._connection, query, (c.c.name, [context.name for context in contexts]))
        known = {(row.type_id, row.name): int(row.id) for row in rows}
        properties = PropertyRows(tables.context_property)
        ids = []
        for context in contexts:
            row = self._row(tables.CONTEXT_KIND, context)
            key = (row["type_id"], context.name)
            if key not in known:
                known[key] = insert_one(self._connection, c, **row)
                properties.add(known[key], context)
            ids.append(known[key])
        properties.insert(self._connection)
        return tuple(ids)

    def parents(self, pairs: Sequence[tuple[Context, Context]]) -> None:
        """Make each first context a child of its second; both are made when missing."""
        ids = self.contexts([context for pair in pairs for context in pair])
        rows = [
            {"context_id": child, "parent_context_id": parent}
            for child, parent in zip(ids[::2], ids[1::2], strict=True)
        ]
        self._insert_missing(tables.parent_context, rows)

    def events(self, execution: int, artifacts: Sequence[int], links: Sequence[Link]) -> None:
        """Record how the execution touched each artifact, unless that is recorded already."""
        rows = [
            {
                "artifact_id": artifact,
                "execution_id": execution,
                "type": int(kind),
                "milliseconds_since_epoch": self._now,
            }
            for artifact, (_, kind) in zip(artifacts, links, strict=True)
        ]
        self._insert_missing(tables.event, rows)

    def memberships(self, contexts: Iterable[int], execution: int, artifacts: Iterable[int]) -> None:
        """Put the execution and its artifacts into the contexts."""
        contexts, artifacts = list(dict.fromkeys(contexts)), list(dict.fromkeys(artifacts))
        self._insert_missing(tables.association, [{"context_id": c, "execution_id": execution} for c in contexts])
        rows = [{"context_id": c, "artifact_id": a} for c in contexts for a in artifacts]
        self._insert_missing(tables.attribution, rows)

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
        self._insert(tables.sighting, rows)

    def _row(self, kind: int, record: Artifact | Execution | Context) -> dict[str, Any]:
        """The columns that artifacts, executions and contexts have in common."""
        return {
            "type_id": self._types.id(kind, record.type),
            "name": record.name,
            "external_id": record.external_id,
            "create_time_since_epoch": self._now,
            "last_update_time_since_epoch": self._now,
        }

    def _update(self, execution: Execution) -> None:
        e = tables.execution
        stored = self._connection.execute(select(e.c.type_id).where(e.c.id == execution.id)).one_or_none()
        if stored is None:
            raise MetadataError(f"There is no execution {execution.id} to update. Give id 0 to insert one.")
        if stored.type_id != self._types.id(tables.EXECUTION_KIND, execution.type):
            raise MetadataError(f"Execution {execution.id} is not a {execution.type}: its type cannot change.")
        given = {"name": execution.name, "external_id": execution.external_id}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        changes |= {"last_known_state": int(execution.state), "last_update_time_since_epoch": self._now}
        self._connection.execute(update(e).where(e.c.id == execution.id).values(**changes))
        p = tables.execution_property
        for custom, names in enumerate((execution.properties, execution.custom_properties)):
            replaced = delete(p).where(p.c.execution_id == execution.id, p.c.is_custom_property == custom)
            self._connection.execute(replaced.where(p.c.name.in_(list(names))))

    def _verify_artifacts(self, ids: Sequence[int]) -> None:
        a = tables.artifact
        known = {row.id for row in matching(self._connection, select(a.c.id), (a.c.id, ids))}
        if missing := sorted(set(ids) - known):
            shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
            raise MetadataError(f"There is no artifact {shown} in the ledger to link to; nothing was recorded.")

    def _stored_artifacts(self, wanted: Sequence[Artifact]) -> dict[tuple[int | None, str], _Stored]:
        """Those of the wanted that are stored, by each of their `_keys`."""
        a = tables.artifact
        query = select(a.c.id, a.c.type_id, a.c.name, a.c.external_id)
        external = [artifact.external_id for artifact in wanted if artifact.external_id is not None]
        names = [artifact.name for artifact in wanted if artifact.name is not None]
        found: dict[tuple[int | None, str], _Stored] = {}
        for row in matching(self._connection, query, (a.c.name, names)):
            found[row.type_id, row.name] = _Stored(row.id, row.type_id, row.external_id)
        for row in matching(self._connection, query, (a.c.external_id, external)):
            found[None, row.external_id] = _Stored(row.id, row.type_id, row.external_id)
        return found

    def _keys(self, artifact: Artifact) -> list[tuple[int | None, str]]:
        """What makes an artifact the same as another: its external id, or its name within its type."""
        keys: list[tuple[int | None, str]] = []
        if artifact.external_id is not None:
            keys.append((None, artifact.external_id))
        if artifact.name is not None:
            keys.append((self._types.id(tables.ARTIFACT_KIND, artifact.type), artifact.name))
        return keys

    def _same(self, artifact: Artifact, stored: dict[tuple[int | None, str], _Stored]) -> _Stored | None:
        found = [stored[key] for key in self._keys(artifact) if key in stored]
        if not found:
            return None
        first = found[0]
        label = f"{artifact.type} '{artifact.name or artifact.external_id}'"
        if first.type_id != self._types.id(tables.ARTIFACT_KIND, artifact.type):
            raise MetadataError(f"{label}: its external id belongs to artifact {first.id}, which is of another type.")
        if {one.id for one in found} != {first.id} or artifact.external_id not in {None, first.external_id}:
            other = found[-1].id
            raise MetadataError(f"{label}: its name belongs to artifact {other}, which has another external id.")
        return first

    def _following_id(self, of: Table) -> int:
        """The first id not used yet; it stays so, as this transaction holds the write lock."""
        query = select(_SEQUENCE.c.seq).where(_SEQUENCE.c.name == of.name)
        return int(self._connection.scalar(query) or 0) + 1

    def _insert(self, into: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(into), rows)

    def _insert_missing(self, into: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(sqlite.insert(into).on_conflict_do_nothing(), rows)


def _given_id(link: Artifact | int) -> int:
    return link if isinstance(link, int) else link.id
