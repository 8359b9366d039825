"""The client: `ml_metadata.MetadataStore`, over a ledger's database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as pb

from lakehouse.compat.mlmd import messages
from lakehouse.compat.mlmd.messages import (
    artifact,
    artifact_message,
    context,
    context_message,
    event,
    event_message,
    execution,
    execution_message,
    type_message,
)
from lakehouse.compat.mlmd.record_methods import RecordMethods
from lakehouse.compat.mlmd.type_methods import TypeMethods
from lakehouse.metadata.store import LineageSubgraph, Reuse
from lakehouse.metadata.subgraph import Bounds, Direction, Ending
from lakehouse.records import TypeKind

_DIRECTIONS: Final[dict[int, Direction]] = {
    pb.LineageSubgraphQueryOptions.UPSTREAM: "upstream",
    pb.LineageSubgraphQueryOptions.DOWNSTREAM: "downstream",
}


class MetadataStore(TypeMethods, RecordMethods):
    """ML Metadata's client: types, artifacts, executions, contexts, events, lineage.

    Methods, signatures and results are those of ``ml_metadata.MetadataStore``, and errors those of
    ``ml_metadata.errors``. It differs where that loses or mixes up what it was given: see the documentation of the
    ledger.
    """

    def put_events(self, events: Sequence[pb.Event], extra_options: object | None = None) -> None:
        """Record that executions touched artifacts; all of them are there, and no event twice."""
        del extra_options
        self._call(self._store.put_events, [event(e) for e in events])

    def get_events_by_execution_ids(
        self, execution_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.Event]:
        """The events of these executions."""
        del extra_options
        return [event_message(e) for e in self._call(self._store.get_events, execution_ids=list(execution_ids))]

    def get_events_by_artifact_ids(
        self, artifact_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.Event]:
        """The events of these artifacts."""
        del extra_options
        return [event_message(e) for e in self._call(self._store.get_events, artifact_ids=list(artifact_ids))]

    def put_attributions_and_associations(
        self,
        attributions: Sequence[pb.Attribution],
        associations: Sequence[pb.Association],
        extra_options: object | None = None,
    ) -> None:
        """Put artifacts (attributions) and executions (associations) into contexts, where they are not."""
        del extra_options
        self._call(
            self._store.put_memberships,
            [(a.context_id, a.execution_id) for a in associations],
            [(a.context_id, a.artifact_id) for a in attributions],
        )

    def put_parent_contexts(
        self, parent_contexts: Sequence[pb.ParentContext], extra_options: object | None = None
    ) -> None:
        """Make contexts the children of others."""
        del extra_options
        self._call(self._store.put_parent_contexts, [(p.child_id, p.parent_id) for p in parent_contexts])

    def put_execution(  # noqa: PLR0913, PLR0917  # theirs
        self,
        execution: pb.Execution,
        artifact_and_events: Sequence[tuple[pb.Artifact, pb.Event | None]],
        contexts: Sequence[pb.Context] | None,
        reuse_context_if_already_exist: bool = False,
        reuse_artifact_if_already_exist_by_external_id: bool = False,
        force_reuse_context: bool = False,
        force_update_time: bool = False,
        extra_options: object | None = None,
    ) -> tuple[int, list[int], list[int]]:
        """Insert or update an execution with its artifacts, events and contexts, all of it or nothing.

        Args:
            execution: to insert, or with an id to update.
            artifact_and_events: pairs of an artifact and its event, whose ids may be left out.
            contexts: what the execution and the artifacts belong to.
            reuse_context_if_already_exist: a context without an id whose type and name are stored is that one.
            reuse_artifact_if_already_exist_by_external_id: an artifact whose external id is stored is that one.
            force_reuse_context: a context with an id is not updated.
            force_update_time: the execution's time of update is set even where nothing of it differs.
            extra_options: of no effect.

        Returns:
            The ids of the execution, of the artifacts and of the contexts.
        """
        del extra_options
        for given in contexts or ():
            _verify_context(given, by_id=force_reuse_context)
        pairs = [
            (
                None if pair[0] is None else artifact(pair[0]),
                None if len(pair) == 1 or pair[1] is None else event(pair[1]),
            )
            for pair in artifact_and_events
            if pair
        ]
        return self._call(
            self._store.put_execution,
            messages.execution(execution),
            pairs,
            [context(c) for c in contexts or ()],
            Reuse(reuse_context_if_already_exist, reuse_artifact_if_already_exist_by_external_id, force_reuse_context),
            force_update_time=force_update_time,
        )

    def put_lineage_subgraph(  # noqa: PLR0913, PLR0917  # theirs
        self,
        executions: Sequence[pb.Execution],
        artifacts: Sequence[pb.Artifact],
        contexts: Sequence[pb.Context],
        event_edges: Sequence[tuple[int | None, int | None, pb.Event]],
        reuse_context_if_already_exist: bool = False,
        reuse_artifact_if_already_exist_by_external_id: bool = False,
        extra_options: object | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Insert or update many records with the events between them, all of it or nothing.

        Args:
            executions: to insert, or with an id to update; each with its type's id, as all that follow.
            artifacts: likewise.
            contexts: what all the executions and artifacts belong to.
            event_edges: events, with the indices of their execution and artifact in the lists, or None where the
                event has the id.
            reuse_context_if_already_exist: as in `put_execution`.
            reuse_artifact_if_already_exist_by_external_id: as in `put_execution`.
            extra_options: of no effect.

        Returns:
            The ids of the executions, artifacts and contexts, in order.

        Raises:
            errors.OutOfRangeError: an index is not one of its list.
        """
        del extra_options
        for execution_index, artifact_index, given in event_edges:
            _verify_index("execution", execution_index, len(executions))
            _verify_index("artifact", artifact_index, len(artifacts))
            if given is None:
                raise errors.InvalidArgumentError("No event found for an event_edge.")
        if not all(record.type_id for record in (*executions, *artifacts, *contexts)):
            raise errors.InvalidArgumentError("Type id is missing.")
        for one in contexts:
            _verify_context(one, by_id=False)
        return self._call(
            self._store.put_lineage_subgraph,
            [execution(e) for e in executions],
            [artifact(a) for a in artifacts],
            [context(c) for c in contexts],
            [(e, a, event(given)) for e, a, given in event_edges],
            Reuse(reuse_context_if_already_exist, reuse_artifact_if_already_exist_by_external_id),
        )

    def get_lineage_subgraph(
        self,
        query_options: pb.LineageSubgraphQueryOptions,
        field_mask_paths: Sequence[str] | None = None,
        extra_options: object | None = None,
    ) -> pb.LineageGraph:
        """What is linked by events with the nodes that a filter query finds, however many they are.

        Args:
            query_options: where to start, which way to go, how far, where to stop.
            field_mask_paths: the fields of the graph to fill; all of them without any.
            extra_options: of no effect.

        Raises:
            errors.InvalidArgumentError: a query is missing or not understood, or the hops are below 0.
            errors.NotFoundError: no node meets the query.
        """
        del extra_options
        artifacts = _filter_query(query_options, "starting_artifacts")
        executions = _filter_query(query_options, "starting_executions")
        found = self._call(self._store.get_lineage_subgraph, artifacts, executions, _bounds(query_options))
        wanted = set(field_mask_paths or (field.name for field in pb.LineageGraph.DESCRIPTOR.fields))
        graph = pb.LineageGraph()
        for name, part in self._parts(found, wanted).items():
            getattr(graph, name).extend(part)
        return graph

    def _parts(self, found: LineageSubgraph, wanted: set[str]) -> dict[str, list[Any]]:
        parts: dict[str, Any] = {
            "artifacts": map(artifact_message, found.artifacts),
            "executions": map(execution_message, found.executions),
            "contexts": map(context_message, found.contexts),
            "events": map(event_message, found.events),
            "attributions": (pb.Attribution(context_id=c, artifact_id=a) for c, a in found.attributions),
            "associations": (pb.Association(context_id=c, execution_id=e) for c, e in found.associations),
        }
        for kind, records in (
            (TypeKind.ARTIFACT, found.artifacts),
            (TypeKind.EXECUTION, found.executions),
            (TypeKind.CONTEXT, found.contexts),
        ):
            if (name := f"{kind.name.lower()}_types") in wanted:
                ids = {record.type_id for record in records}
                parts[name] = map(type_message, self._call(self._store.get_types, kind, ids=ids))
        return {name: list(messages) for name, messages in parts.items() if name in wanted}


def _verify_context(given: pb.Context, *, by_id: bool) -> None:
    if by_id and given.id:
        return
    for field in ("type_id", "name"):
        if not getattr(given, field):
            raise errors.InvalidArgumentError(f"A context is missing a {field}: {given}")


def _verify_index(what: str, index: int | None, length: int) -> None:
    if index is not None and not 0 <= index < length:
        raise errors.OutOfRangeError(f"The {what}_index {index} of an event_edge is not in [0, {length}).")


def _filter_query(options: pb.LineageSubgraphQueryOptions, name: str) -> str | None:
    if not options.HasField(name):
        return None
    query: str = getattr(options, name).filter_query
    if not query:
        raise errors.InvalidArgumentError("Cannot list starting nodes if `filter_query` is unspecified.")
    return query


def _bounds(options: pb.LineageSubgraphQueryOptions) -> Bounds:
    return Bounds(
        direction=_DIRECTIONS.get(options.direction, "both"),
        hops=options.max_num_hops if options.HasField("max_num_hops") else None,
        ending_artifacts=_ending(options, "ending_artifacts"),
        ending_executions=_ending(options, "ending_executions"),
    )


def _ending(options: pb.LineageSubgraphQueryOptions, name: str) -> Ending | None:
    given = getattr(options, name)
    return Ending(given.filter_query, given.include_ending_nodes) if given.filter_query else None
