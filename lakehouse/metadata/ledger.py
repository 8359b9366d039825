"""The ledger's one object: put an execution with all that belongs to it, and find records again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lakehouse.metadata import reading, tables
from lakehouse.metadata.database import Database
from lakehouse.metadata.writing import Link, Put, PutResult
from lakehouse.records import (
    Artifact,
    Clock,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Sighting,
    utc_now,
)


class Ledger:
    """What ran, what it read and what it made.

    May be used from several threads, and by several processes at once on the same file. Records come
    back in the order they were stored. Every method raises `MetadataError` when the database fails.
    Properties of ML Metadata's type PROTO, which other programs may have stored, are left out.
    """

    def __init__(self, url: str, clock: Clock = utc_now, *, lake: Path | None = None) -> None:
        """Open the ledger, or create it.

        Args:
            url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, or ``sqlite://`` for one
                that lives in memory until it is closed. A missing folder is made.
            clock: gives the times of records.
            lake: the folder of a lake that has data already: then its ledger must be there, and none is made.

        Raises:
            MetadataError: the URL is not supported, the ledger of that lake is gone, or what is there is
                another kind of database, a newer version of it, or cannot be opened.
        """
        self._clock = clock
        self._database = Database(url, lake)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database. Closing twice is fine; any other use afterwards is a MetadataError."""
        self._database.close()

    def damage(self) -> list[str]:
        """What the database finds wrong with its own file; nothing when it is whole."""
        with self._database.reading() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
        return [] if found == ["ok"] else found

    def put_execution(
        self,
        execution: Execution,
        links: Sequence[Link] = (),
        contexts: Sequence[Context] = (),
        *,
        sightings: Sequence[Sighting] = (),
        parents: Sequence[tuple[Context, Context]] = (),
    ) -> PutResult:
        """Record an execution with all that belongs to it, in one transaction: all of it or nothing.

        Args:
            execution: inserted when its id is 0; else its state is set and the given properties
                replace those of the same name, the others staying (a name or external id that is None
                stays too).
            links: the artifacts it touched. One with id 0 whose external id, or name within its type,
                is known already is that artifact, and nothing of it is overwritten.
            contexts: what the execution and all the linked artifacts belong to; made when there is
                none of that type and name, else left as it is.
            sightings: what was seen at a source, noted under this execution.
            parents: pairs of a child and its parent context.

        Raises:
            MetadataError: a linked id does not exist, a name or external id belongs to another record,
                or a property cannot be stored or has another type than before.
        """
        now = reading.milliseconds(self._clock())
        with self._database.writing() as connection:
            put = Put(connection, now)
            execution_id = put.execution(execution)
            artifact_ids = put.artifacts(links)
            context_ids = put.contexts(contexts)
            put.parents(parents)
            put.events(execution_id, artifact_ids, links)
            put.memberships(context_ids, execution_id, artifact_ids)
            put.sightings(execution_id, sightings)
        return PutResult(execution_id, artifact_ids, context_ids)

    def get_executions(  # noqa: PLR0913  # conditions, by keyword only
        self,
        *,
        type: str | None = None,  # noqa: A002  # ML Metadata's word, and the record's
        state: ExecutionState | None = None,
        context: tuple[str, str] | None = None,
        ids: Collection[int] | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Execution]:
        """The executions that meet every condition given; ``context`` is a type and a name."""
        with self._database.reading() as connection:
            return reading.executions(
                connection, type=type, state=state, context=context, ids=ids, newest_first=newest_first, limit=limit
            )

    def get_artifacts(  # noqa: PLR0913  # as above
        self,
        *,
        type: str | None = None,  # noqa: A002  # as above
        ids: Collection[int] | None = None,
        context: tuple[str, str] | None = None,
        external_ids: Collection[str] | None = None,
        names: Collection[str] | None = None,
        uris: Collection[str] | None = None,
    ) -> list[Artifact]:
        """The artifacts that meet every condition given; an empty list of ids matches none."""
        with self._database.reading() as connection:
            return reading.artifacts(
                connection, type=type, context=context, ids=ids, external_ids=external_ids, names=names, uris=uris
            )

    def get_contexts(
        self,
        *,
        type: str | None = None,  # noqa: A002  # as above
        names: Collection[str] | None = None,
        execution_id: int | None = None,
        artifact_id: int | None = None,
    ) -> list[Context]:
        """The contexts that meet every condition given."""
        with self._database.reading() as connection:
            return reading.contexts(
                connection, type=type, names=names, execution_id=execution_id, artifact_id=artifact_id
            )

    def get_contexts_of(self, execution_ids: Collection[int]) -> dict[int, list[Context]]:
        """What each of these executions belongs to, in a few queries however many they are."""
        with self._database.reading() as connection:
            return reading.related(connection, tables.association, execution_ids, "execution_id", "context_id")

    def get_parent_contexts(self, ids: Collection[int]) -> dict[int, list[Context]]:
        """The parents of each of these contexts; an empty list for one without."""
        with self._database.reading() as connection:
            return reading.related(connection, tables.parent_context, ids, "context_id", "parent_context_id")

    def get_child_contexts(self, ids: Collection[int]) -> dict[int, list[Context]]:
        """The children of each of these contexts; an empty list for one without."""
        with self._database.reading() as connection:
            return reading.related(connection, tables.parent_context, ids, "parent_context_id", "context_id")

    def get_events(
        self,
        *,
        execution_ids: Collection[int] | None = None,
        artifact_ids: Collection[int] | None = None,
        types: Collection[EventType] | None = None,
    ) -> list[Event]:
        """The events that meet every condition given."""
        with self._database.reading() as connection:
            return reading.events(connection, execution_ids=execution_ids, artifact_ids=artifact_ids, types=types)

    def sightings(self, source: str) -> dict[str, Sighting]:
        """The newest sighting of each origin of a source."""
        with self._database.reading() as connection:
            return reading.newest_sightings(connection, source)

    def all_sightings(self, source: str | None = None, sha256s: Collection[str] | None = None) -> list[Sighting]:
        """Every sighting of a source, or of all sources, optionally of these contents only."""
        with self._database.reading() as connection:
            return reading.all_sightings(connection, source, sha256s)
