"""The ledger's one object: put an execution with all that belongs to it, and find records again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lakehouse.metadata import (
    dangling,
    deletion,
    leasing,
    neighbours,
    overview,
    reading,
    remembering,
    restoring,
    subgraph,
    tables,
    types,
)
from lakehouse.metadata.database import Database
from lakehouse.metadata.leasing import Lease
from lakehouse.metadata.links import insert_memberships
from lakehouse.metadata.neighbours import End, Neighbour
from lakehouse.metadata.overview import Origins, Total
from lakehouse.metadata.remembering import Change, Queued
from lakehouse.metadata.store import Store
from lakehouse.metadata.subgraph import Bounds, Subgraph
from lakehouse.metadata.writing import Link, Put, PutResult
from lakehouse.receipts import Receipt
from lakehouse.records import (
    Artifact,
    Clock,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Sighting,
    Tombstone,
    TypeKind,
    utc_now,
)

_UNBOUNDED: Final = Bounds()


class Ledger:
    """What ran, what it read and what it made.

    May be used from several threads, and by several processes at once on the same database. Records come
    back in the order they were stored. Every method raises `MetadataError` when the database fails.

    Attributes:
        store: the same database as ML Metadata's whole model, with its strictness.
    """

    def __init__(self, url: str, clock: Clock = utc_now, *, lake: Path | None = None) -> None:
        """Open the ledger, or create it.

        Args:
            url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, ``sqlite://`` for one that
                lives in memory until it is closed, ``mysql+pymysql://user:password@host/database`` (MariaDB
                too) or ``postgresql+psycopg://user:password@host/database``. A missing folder is made.
            clock: gives the times of records.
            lake: the folder of a lake that has data already: then its ledger must be there, and none is made.

        Raises:
            MetadataError: the URL is not supported, the ledger of that lake is gone, or what is there is
                another kind of database, a newer version of it, or cannot be opened.
        """
        self._clock = clock
        self._database = Database(url, lake)
        self.store = Store(self._database, clock)

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
        """What the database finds wrong with its own files; nothing when it is whole."""
        return self._database.damage()

    def dangling(self) -> list[str]:
        """What its records name that is not there, one sentence a kind; nothing when it is whole."""
        with self._database.reading() as connection:
            return list(dangling.dangling(connection))

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
            insert_memberships(connection, context_ids, [execution_id], artifact_ids)
            put.sightings(execution_id, sightings)
            if sightings:
                sources = [id_ for context, id_ in zip(contexts, context_ids, strict=True) if context.type == "Source"]
                overview.keep_totals(connection, sources)
        return PutResult(execution_id, artifact_ids, context_ids)

    def remembered(self, subjects: Collection[str] | None = None) -> dict[str, dict[str, str]]:
        """What is remembered of these subjects, or of all: texts by name, by subject."""
        with self._database.reading() as connection:
            return remembering.remembered(connection, subjects)

    def remember(self, changes: Sequence[Change], queued: Sequence[Queued] = ()) -> tuple[int, ...] | None:
        """Change what is remembered, and record the executions that follow from it, in one transaction.

        Returns:
            The numbers of the executions; None, and nothing was done, where a text was not what a change takes it for.
        """
        now = reading.milliseconds(self._clock())
        with self._database.writing() as connection:
            return remembering.remember(connection, changes, queued, now)

    def move(self, execution: Execution, states: Collection[ExecutionState], queued: Sequence[Queued] = ()) -> bool:
        """Set a stored execution's state, and the properties that it holds, if its state is one of these.

        With it, in the same transaction, the executions are recorded that follow.

        Returns:
            Whether it was; else nothing was changed.
        """
        now = reading.milliseconds(self._clock())
        with self._database.writing() as connection:
            moved = remembering.move(connection, execution, states, now)
            return moved and remembering.remember(connection, (), queued, now) is not None

    def lease(self, lease: Lease, seconds: float, *, alone: bool = False) -> Lease | None:
        """Take a lease for so long; None when it is taken, else the one that another holds.

        Args:
            lease: name, token, host and process.
            seconds: how long it counts, unless it is renewed.
            alone: a holder on this same machine is dead, for sure.
        """
        with self._database.writing() as connection:
            return leasing.take(connection, lease, seconds, alone=alone)

    def renew(self, lease: Lease, seconds: float) -> bool:
        """Let a lease count for longer; False where somebody else has taken it over."""
        with self._database.writing() as connection:
            return leasing.renew(connection, lease, seconds)

    def release(self, lease: Lease) -> None:
        """Let a lease go."""
        with self._database.writing() as connection:
            leasing.release(connection, lease)

    def leases(self) -> list[Lease]:
        """The leases that count now."""
        with self._database.reading() as connection:
            return leasing.leases(connection)

    def fitted(self, artifact: Artifact) -> Artifact:
        """The artifact with its properties as its type takes them: an int where there are floats is one.

        Raises:
            RecordError: a property's value is of another type than those stored before.
        """
        with self._database.reading() as connection:
            return replace(artifact, properties=types.fitted(connection, TypeKind.ARTIFACT, artifact))

    def receipts(self, ids: Collection[int]) -> list[Receipt]:
        """All that is known of these executions, to be kept outside the ledger; oldest first."""
        with self._database.reading() as connection:
            return restoring.receipts(connection, ids)

    def restore(self, receipts: Iterable[Receipt], beyond: int = 0) -> int:
        """Put back the executions that are missing, as their receipts say, in one transaction.

        Args:
            receipts: in the order of the executions' numbers, which they keep.
            beyond: the next new execution gets a higher number than this.

        Returns:
            How many were put back.
        """
        with self._database.writing() as connection:
            count = restoring.restore(connection, receipts, beyond)
            overview.forget(connection)
            return count

    def get_executions(  # noqa: PLR0913  # conditions, by keyword only
        self,
        *,
        type: str | Collection[str] | None = None,  # noqa: A002  # ML Metadata's word, and the record's
        state: ExecutionState | None = None,
        context: tuple[str, str] | None = None,
        ids: Collection[int] | None = None,
        having: str | None = None,
        saying: str | None = None,
        after: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        only: Collection[str] | None = None,
        filter_query: str | None = None,
    ) -> list[Execution]:
        """The executions that meet every condition given.

        Args:
            type: their type, or some.
            state: their state.
            context: type and name of what they belong to.
            ids: they are among these.
            having: a property, or custom property, they have.
            saying: a property that few of them have, with more than an empty text or object.
            after: their ids are greater.
            until: their ids are not greater.
            newest_first: the order.
            limit: the most to give.
            only: the properties to read; None for all of them.
            filter_query: a condition in ML Metadata's words: ``properties.rows.int_value > 0 AND type = 'Curate'``.

        Raises:
            RecordError: (invalid) the filter query is not understood.
        """
        with self._database.reading() as connection:
            return reading.executions(
                connection,
                type=type,
                state=state,
                context=context,
                ids=ids,
                having=having,
                saying=saying,
                after=after,
                until=until,
                newest_first=newest_first,
                limit=limit,
                only=only,
                filter_query=filter_query,
            )

    def count_executions(  # as above
        self,
        *,
        type: str | Collection[str] | None = None,  # noqa: A002  # as above
        context: tuple[str, str] | None = None,
        ids: Collection[int] | None = None,
        having: str | None = None,
        until: int | None = None,
    ) -> int:
        """How many executions `get_executions` would give; none of them is fetched."""
        with self._database.reading() as connection:
            return reading.count_executions(
                connection,
                type=type,
                context=context,
                ids=ids,
                having=having,
                until=until,
            )

    def newest_change(self) -> tuple[int, int]:
        """The newest execution's id, and when one changed last: another answer means that something was recorded."""
        with self._database.reading() as connection:
            return overview.newest_change(connection)

    def get_artifacts(  # noqa: PLR0913  # as above
        self,
        *,
        type: str | None = None,  # noqa: A002  # as above
        ids: Collection[int] | None = None,
        context: tuple[str, str] | None = None,
        external_ids: Collection[str] | None = None,
        names: Collection[str] | None = None,
        uris: Collection[str] | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        only: Collection[str] | None = None,
        filter_query: str | None = None,
    ) -> list[Artifact]:
        """The artifacts that meet every condition given; an empty list of ids matches none.

        At most ``limit`` of them, and of their properties just ``only`` these, where that is given.

        Raises:
            RecordError: (invalid) the filter query is not understood.
        """
        with self._database.reading() as connection:
            return reading.artifacts(
                connection,
                type=type,
                context=context,
                ids=ids,
                external_ids=external_ids,
                names=names,
                uris=uris,
                newest_first=newest_first,
                limit=limit,
                only=only,
                filter_query=filter_query,
            )

    def get_contexts(
        self,
        *,
        type: str | None = None,  # noqa: A002  # as above
        names: Collection[str] | None = None,
        execution_id: int | None = None,
        artifact_id: int | None = None,
        filter_query: str | None = None,
    ) -> list[Context]:
        """The contexts that meet every condition given.

        Raises:
            RecordError: (invalid) the filter query is not understood.
        """
        with self._database.reading() as connection:
            return reading.contexts(
                connection,
                type=type,
                names=names,
                execution_id=execution_id,
                artifact_id=artifact_id,
                filter_query=filter_query,
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

    def neighbours(  # noqa: PLR0913  # as above
        self,
        end: End,
        ids: Collection[int],
        types: Collection[EventType],
        *,
        limit: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        apart_from: Collection[str] = (),
    ) -> list[Neighbour]:
        """What the events of artifacts or executions (``end``) lead to, in the order they were recorded.

        Args:
            end: what ``ids`` are of.
            ids: of the records.
            types: of events.
            limit: how many of one type at one record.
            since: when a neighbouring execution began, at the earliest.
            until: and at the latest.
            apart_from: types of neighbours that are not wanted.
        """
        with self._database.reading() as connection:
            return neighbours.neighbours(
                connection, end, ids, types, limit=limit, since=since, until=until, apart_from=apart_from
            )

    def count_neighbours(
        self,
        end: End,
        ids: Collection[int],
        types: Collection[EventType],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[int, dict[str, int]]:
        """How many `neighbours` of each type each record has."""
        with self._database.reading() as connection:
            return neighbours.counts(connection, end, ids, types, since=since, until=until)

    def read_artifacts(self, kind: str, beginning: str) -> list[str]:
        """The names of the artifacts of one type that begin so and that some execution read, oldest first."""
        with self._database.reading() as connection:
            return neighbours.read_artifacts(connection, kind, beginning)

    def type_names(self) -> list[str]:
        """The names of the types of artifacts, executions and contexts."""
        with self._database.reading() as connection:
            return neighbours.type_names(connection)

    def raw_files(self, beginning: str, limit: int) -> list[tuple[str, str]]:
        """Sources and sha256 of the raw files whose sha256 begins so, of ``limit`` different ones at most."""
        with self._database.reading() as connection:
            return neighbours.raw_files(connection, beginning, limit)

    def subgraph(
        self,
        artifact_ids: Collection[int] = (),
        execution_ids: Collection[int] = (),
        bounds: Bounds = _UNBOUNDED,
    ) -> Subgraph:
        """The records around some artifacts and executions, the events between them, and what of it was deleted.

        Raises:
            RecordError: one of them is not there (``missing``), or the bounds cannot be kept to (``invalid``).
        """
        with self._database.reading() as connection:
            return subgraph.subgraph(connection, artifact_ids, execution_ids, bounds)

    def delete(
        self,
        artifact_ids: Collection[int] = (),
        execution_ids: Collection[int] = (),
        context_ids: Collection[int] = (),
        *,
        reason: str,
    ) -> list[Tombstone]:
        """Delete records with all that hangs on them, in one transaction; what is left are their tombstones.

        Raises:
            RecordError: one of them is not there (``missing``), or the lake itself rests on it, or there is no
                reason (``invalid``); then none was deleted.
        """
        with self._database.writing() as connection:
            return deletion.delete_records(
                connection, artifact_ids, execution_ids, context_ids, reason=reason, now=self._clock()
            )

    def tombstones(
        self,
        *,
        kind: TypeKind | None = None,
        ids: Collection[int] | None = None,
        external_ids: Collection[str] | None = None,
    ) -> list[Tombstone]:
        """What was deleted, of those that meet every condition given, oldest first."""
        with self._database.reading() as connection:
            return deletion.tombstones(connection, kind=kind, ids=ids, external_ids=external_ids)

    def sightings(self, source: str) -> dict[str, Sighting]:
        """The newest sighting of each origin of a source."""
        with self._database.reading() as connection:
            return reading.newest_sightings(connection, source)

    def origins(self, source: str, *, after: int = 0, also: Collection[str] = ()) -> Origins:
        """What lies and lay at the origins that landings after one (its execution) have seen; 0 for all origins.

        With all other origins that is needed to tell whether a content of theirs lies anywhere now, or what it
        replaced; also for the contents (sha256) given by ``also``.
        """
        with self._database.reading() as connection:
            return overview.origins(connection, source, after=after, also=also)

    def totals(self, sources: Collection[str]) -> dict[str, Total]:
        """Number and size of the raw files of each of these sources that the ledger knows."""
        with self._database.reading() as connection:
            return overview.totals(connection, sources)

    def newest_versions(self, datasets: Collection[str]) -> dict[str, int]:
        """The newest version's number of each of these datasets that has one."""
        with self._database.reading() as connection:
            return overview.newest_versions(connection, datasets)

    def all_sightings(self, source: str | None = None, sha256s: Collection[str] | None = None) -> list[Sighting]:
        """Every sighting of a source, or of all sources, optionally of these contents only."""
        with self._database.reading() as connection:
            return reading.all_sightings(connection, source, sha256s)
