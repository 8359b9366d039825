"""ML Metadata's whole model, with ML Metadata's strictness.

Nothing is registered or overwritten by the way: a type is there before its records, a name or external id that
belongs to another record is refused. What a lake needs of it more conveniently, `Ledger` has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from lakehouse.errors import RecordError
from lakehouse.metadata import links, reading, tables, types
from lakehouse.metadata.database import Database
from lakehouse.metadata.kinds import ARTIFACT, CONTEXT, EXECUTION
from lakehouse.metadata.store.finding import LineageSubgraph, ListOptions, Member, find, lineage_subgraph
from lakehouse.metadata.store.putting import Edge, Pair, Putting, Reuse
from lakehouse.metadata.subgraph import Bounds
from lakehouse.records import Artifact, Clock, Context, Event, Execution, Type, TypeKind, utc_now

__all__ = ["Edge", "LineageSubgraph", "ListOptions", "Pair", "Reuse", "Store"]


class Store:
    """Types, artifacts, executions, contexts, and what ties them together, in one database.

    May be used from several threads, and by several processes at once. Every put is one transaction: all of it is
    kept, or nothing. Lists come by id unless told otherwise, and miss what is not there.

    Every method raises `MetadataError` when the database fails. A put raises `RecordError` whose ``problem`` is
    ML Metadata's: ``invalid`` for what cannot be stored, or names another record that is not there; ``missing``
    for a type that is not there; ``exists`` for a name, external id, event or type that belongs to another;
    ``stale`` for a record that was changed meanwhile.
    """

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        """Use a database, which stays its owner's to close.

        Args:
            database: an open one.
            clock: gives the times of records.
        """
        self._database = database
        self._clock = clock

    @contextmanager
    def _putting(self) -> Iterator[Putting]:
        now = reading.milliseconds(self._clock())
        with self._database.writing() as connection:
            yield Putting(connection, now)

    def put_type(self, given: Type, *, can_add_fields: bool = False, can_omit_fields: bool = False) -> int:
        """Insert a type, or let the stored one of its kind, name and version grow; gives its id.

        Args:
            given: the type as it is to be.
            can_add_fields: it may have properties that the stored one does not.
            can_omit_fields: it may lack properties that the stored one has; these stay.

        Raises:
            RecordError: it has no name, or a property of an unknown type (``invalid``); it does not fit the stored
                one, or its external id is another's (``exists``); its base would change (``unsupported``).
        """
        with self._database.writing() as connection:
            return types.put_type(connection, given, can_add_fields=can_add_fields, can_omit_fields=can_omit_fields)

    def get_type(self, kind: TypeKind, name: str, version: str | None = None) -> Type:
        """The type of this name and version.

        Raises:
            RecordError: there is none (``missing``).
        """
        for found in self.get_types(kind, names=[name]):
            if found.version == (version or None):
                return found
        at = f" of version '{version}'" if version else ""
        raise RecordError(f"There is no {kind.name.lower()} type '{name}'{at}.", "missing")

    def get_types(
        self,
        kind: TypeKind,
        *,
        ids: Collection[int] | None = None,
        names: Collection[str] | None = None,
        external_ids: Collection[str] | None = None,
    ) -> list[Type]:
        """The types of a kind that meet every condition; without any, all but the built-in ones."""
        with self._database.reading() as connection:
            found = types.find_types(connection, kind, ids=ids, names=names, external_ids=external_ids)
        if ids is None and names is None and external_ids is None:
            return [one for one in found if (one.name, kind) not in types.BUILT_IN]
        return found

    def put_artifacts(
        self, artifacts: Sequence[Artifact], mask: Collection[str] = (), *, unchanged_since: bool = False
    ) -> list[int]:
        """Insert the artifacts without an id and update the others; their ids, in order.

        Args:
            artifacts: each names its type, by ``type_id`` or else by ``type``; an update need not. An update
                replaces everything but name, type and times; its time is set if anything differs.
            mask: update only these: ``uri``, ``state``, ``external_id``, ``properties``, ``properties.NAME``,
                ``custom_properties``, ``custom_properties.NAME``. Others are passed over. Says nothing of inserts.
            unchanged_since: refuse (``stale``) to update one whose ``updated_at`` is not the stored one.

        Raises:
            RecordError: as the class says.
        """
        with self._putting() as put:
            return put.nodes(ARTIFACT, artifacts, mask, unchanged_since=unchanged_since)

    def put_executions(self, executions: Sequence[Execution], mask: Collection[str] = ()) -> list[int]:
        """Insert or update executions, as `put_artifacts` does; a mask calls the state ``last_known_state``."""
        with self._putting() as put:
            return put.nodes(EXECUTION, executions, mask)

    def put_contexts(self, contexts: Sequence[Context], mask: Collection[str] = ()) -> list[int]:
        """Insert or update contexts, as `put_artifacts` does; a context has a name, and an update may change it."""
        with self._putting() as put:
            return put.nodes(CONTEXT, contexts, mask)

    def put_events(self, events: Sequence[Event]) -> None:
        """Record that executions touched artifacts; all of them are there. One without a time happened now."""
        with self._putting() as put:
            put.events(events)

    def put_memberships(
        self, associations: Sequence[tuple[int, int]] = (), attributions: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Put executions (associations) and artifacts (attributions) into contexts, where they are not.

        Args:
            associations: pairs of ids: a context's and an execution's.
            attributions: pairs of ids: a context's and an artifact's.

        Raises:
            RecordError: one of them is not there.
        """
        with self._database.writing() as connection:
            links.verify_members(connection, associations, attributions)
            links.insert_associations(connection, associations)
            links.insert_attributions(connection, attributions)

    def put_parent_contexts(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Make each first context a child of its second; both are given by id.

        Raises:
            RecordError: one is not there, or would be its own ancestor (``invalid``); is recorded (``exists``).
        """
        with self._database.writing() as connection:
            links.insert_parents(connection, pairs)

    def put_execution(
        self,
        execution: Execution,
        pairs: Sequence[Pair] = (),
        contexts: Sequence[Context] = (),
        reuse: Reuse = Reuse(),  # noqa: B008  # frozen
        *,
        force_update_time: bool = False,
    ) -> tuple[int, list[int], list[int]]:
        """Insert or update an execution with the artifacts it touched and the contexts they all belong to.

        Args:
            execution: as in `put_executions`.
            pairs: an artifact, as in `put_artifacts`, and an event of it, whose ids may be 0; or the one or the
                other alone. An event alone names a stored artifact.
            contexts: as in `put_contexts`.
            reuse: what is taken as it is stored.
            force_update_time: set the execution's time of update even if nothing of it differs.

        Returns:
            The ids of the execution, of each pair's artifact, of the contexts.

        Raises:
            RecordError: as the class says; or the ids of a pair contradict each other.
        """
        with self._putting() as put:
            return put.execution(execution, pairs, contexts, reuse, force=force_update_time)

    def put_lineage_subgraph(
        self,
        executions: Sequence[Execution],
        artifacts: Sequence[Artifact],
        contexts: Sequence[Context],
        edges: Sequence[Edge],
        reuse: Reuse = Reuse(),  # noqa: B008  # frozen
    ) -> tuple[list[int], list[int], list[int]]:
        """Insert or update many records at once, with the events between them; all belong to all the contexts.

        Args:
            executions: as in `put_executions`.
            artifacts: as in `put_artifacts`.
            contexts: as in `put_contexts`.
            edges: events, with the indices of their execution and artifact in these lists; None where the event
                itself has the id.
            reuse: what is taken as it is stored.

        Returns:
            The ids of the executions, artifacts and contexts, in order.

        Raises:
            RecordError: as the class says; or an edge's ids contradict its indices.
        """
        with self._putting() as put:
            return put.subgraph(executions, artifacts, contexts, edges, reuse)

    def get_artifacts(  # noqa: PLR0913  # conditions, by keyword only
        self,
        *,
        ids: Collection[int] | None = None,
        names: Collection[str] | None = None,
        external_ids: Collection[str] | None = None,
        uris: Collection[str] | None = None,
        type: tuple[str, str | None] | None = None,  # noqa: A002  # the record's word
        context_id: int | None = None,
        options: ListOptions | None = None,
    ) -> list[Artifact]:
        """The artifacts that meet every condition; ``type`` is a name and a version (None for the one without)."""
        members = [] if context_id is None else [Member(tables.attribution, "artifact_id", "context_id", context_id)]
        with self._database.reading() as connection:
            return find(
                connection,
                ARTIFACT,
                ids=ids,
                names=names,
                external_ids=external_ids,
                uris=uris,
                type_=type,
                members=members,
                options=options,
            )

    def get_executions(  # noqa: PLR0913  # as above
        self,
        *,
        ids: Collection[int] | None = None,
        names: Collection[str] | None = None,
        external_ids: Collection[str] | None = None,
        type: tuple[str, str | None] | None = None,  # noqa: A002  # as above
        context_id: int | None = None,
        options: ListOptions | None = None,
    ) -> list[Execution]:
        """The executions that meet every condition; ``type`` is a name and a version."""
        members = [] if context_id is None else [Member(tables.association, "execution_id", "context_id", context_id)]
        with self._database.reading() as connection:
            return find(
                connection,
                EXECUTION,
                ids=ids,
                names=names,
                external_ids=external_ids,
                type_=type,
                members=members,
                options=options,
            )

    def get_contexts(  # noqa: PLR0913  # as above
        self,
        *,
        ids: Collection[int] | None = None,
        names: Collection[str] | None = None,
        external_ids: Collection[str] | None = None,
        type: tuple[str, str | None] | None = None,  # noqa: A002  # as above
        artifact_id: int | None = None,
        execution_id: int | None = None,
        parent_id: int | None = None,
        child_id: int | None = None,
        options: ListOptions | None = None,
    ) -> list[Context]:
        """The contexts that meet every condition: what they hold, their parent, their child."""
        given = (
            (tables.attribution, "context_id", "artifact_id", artifact_id),
            (tables.association, "context_id", "execution_id", execution_id),
            (tables.parent_context, "context_id", "parent_context_id", parent_id),
            (tables.parent_context, "parent_context_id", "context_id", child_id),
        )
        members = [Member(link, column, other, id_) for link, column, other, id_ in given if id_ is not None]
        with self._database.reading() as connection:
            return find(
                connection,
                CONTEXT,
                ids=ids,
                names=names,
                external_ids=external_ids,
                type_=type,
                members=members,
                options=options,
            )

    def get_events(
        self, *, execution_ids: Collection[int] | None = None, artifact_ids: Collection[int] | None = None
    ) -> list[Event]:
        """The events of these executions and artifacts, in the order they were recorded."""
        with self._database.reading() as connection:
            return reading.events(connection, execution_ids=execution_ids, artifact_ids=artifact_ids, types=None)

    def get_lineage_subgraph(
        self,
        starting_artifacts: str | None = None,
        starting_executions: str | None = None,
        bounds: Bounds | None = None,
    ) -> LineageSubgraph:
        """What is linked by events with some artifacts and executions, directly or through others.

        Args:
            starting_artifacts: a filter query for those to start from, however many they are; None for none.
            starting_executions: likewise.
            bounds: how far to go; everywhere by default.

        Raises:
            RecordError: neither is given or one is not understood (``invalid``); nothing meets them (``missing``).
        """
        with self._database.reading() as connection:
            return lineage_subgraph(connection, starting_artifacts, starting_executions, bounds)
