"""Gathering a lineage out of the ledger: level by level from what was asked about, a few queries a level."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lakehouse import timeline
from lakehouse.lineage import nodes
from lakehouse.lineage.graph import Cut, Edge, Lineage, Node, Way
from lakehouse.lineage.spans import Past, Span, overall
from lakehouse.metadata import End, Ledger, Neighbour
from lakehouse.records import Artifact, ArtifactState, EventType, Execution, TypeKind, Value, printable

__all__ = ["Bounds", "Gathering"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a lineage goes; None is no bound.

    Attributes:
        hops: edges to follow from what was asked about.
        types: kinds of nodes to show; paths go on through others.
        since: executions that began before are not followed.
        until: nor those that began after.
        limit: how many neighbours of one kind to follow from one node; the others are counted.
    """

    hops: int | None = None
    types: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    def over(self, hops: int) -> bool:
        """Whether so many hops are all that may be taken."""
        return self.hops is not None and hops >= self.hops

    def within(self, execution: Execution) -> bool:
        """Whether it began in time."""
        began = execution.created_at
        early = began is not None and self.since is not None and began < self.since
        late = began is not None and self.until is not None and began > self.until
        return not (early or late)

    def wants(self, kinds: Collection[str]) -> bool:
        """Whether any of these kinds is to be shown."""
        return self.types is None or not self.types.isdisjoint(kinds)


class Gathering:
    """What a lineage has so far: nodes and edges, each added once, and what was left out of it."""

    def __init__(self, ledger: Ledger, bounds: Bounds) -> None:
        self.ledger = ledger
        self.bounds = bounds
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.cut: dict[tuple[str, Way, str], Cut] = {}
        self.of_artifact: dict[int, str] = {}
        self._counts: dict[int, dict[str, tuple[int, int]]] = {}
        self._pasts: dict[str, Past] = {}

    def lineage(self, focus: Iterable[str]) -> Lineage:
        """What was gathered, in order."""
        ordered = sorted(self.nodes.values(), key=nodes.order)
        place = {node.id: at for at, node in enumerate(ordered)}
        edges = sorted(self.edges.values(), key=lambda edge: (place[edge.source], place[edge.target]))
        cut = sorted(self.cut.values(), key=lambda one: (place[one.node], one.way, one.kind))
        whole = Lineage(tuple(focus), tuple(ordered), tuple(edges), tuple(cut))
        return whole if self.bounds.types is None else whole.only(self.bounds.types)

    def past(self, dataset: str) -> Past:
        """A dataset's past; read once."""
        if dataset not in self._pasts:
            self._pasts[dataset] = Past(self.ledger, dataset, self._counts)
        return self._pasts[dataset]

    def counts(self, execution: Execution) -> dict[str, tuple[int, int]]:
        """Rows read and rejected of each raw file (sha256) of a curation; read once."""
        if execution.id not in self._counts:
            self._counts[execution.id] = timeline.counts(execution)
        return self._counts[execution.id]

    def add(self, node: Node) -> str:
        """Add a node; its id."""
        return self.nodes.setdefault(node.id, node).id

    def add_executions(self, executions: Iterable[Execution]) -> None:
        """Add executions as nodes."""
        for execution in executions:
            self.add(nodes.execution_node(execution))

    def add_artifacts(self, artifacts: Iterable[Artifact]) -> None:
        """Add artifacts as nodes; raw files with the origins they were seen at."""
        new = [artifact for artifact in artifacts if artifact.id not in self.of_artifact]
        hashes = {str(a.properties["sha256"]) for a in new if a.type == "RawFile"}
        origins: dict[tuple[str, str], dict[str, None]] = {}
        for seen in self.ledger.all_sightings(None, hashes) if hashes else ():
            origins.setdefault((seen.source, seen.sha256), {})[seen.origin] = None
        for artifact in new:
            p = artifact.properties
            if artifact.type == "RawFile":
                node = nodes.raw_node(artifact, list(origins.get((str(p["source"]), str(p["sha256"])), ())))
            else:
                node = nodes.artifact_node(artifact)
            self.of_artifact[artifact.id] = self.add(node)

    def join(self, source: str, target: str, label: str = "", told: Mapping[str, Value] | None = None) -> None:
        """Add an edge between two nodes."""
        self.edges.setdefault((source, target), Edge(source, target, printable(label), told or {}))

    def leave_out(self, node: str, way: Way, kind: str, count: int | None) -> None:
        """Note that neighbours of a kind are not followed from a node."""
        self.cut[node, way, kind] = Cut(node, way, kind, count)

    def few(self, node: str, way: Way, kind: str, every: Sequence[int]) -> Sequence[int]:
        """As many as the limit allows; the others are noted as left out."""
        limit = self.bounds.limit
        if limit is None or len(every) <= limit:
            return every
        self.leave_out(node, way, kind, len(every) - limit)
        return every[:limit]

    def neighbours(self, way: Way, end: End, given: Mapping[int, str], types: Collection[EventType]) -> list[Neighbour]:
        """What events of these records (id to node) lead to, within the bounds; what is not is noted as left out."""
        b = self.bounds
        found = self.ledger.neighbours(end, given, types, limit=b.limit, since=b.since, until=b.until)
        if b.limit is None and b.since is None and b.until is None:
            return found
        here: dict[tuple[int, str], set[int]] = {}
        for one in found:
            if not one.kept:
                here.setdefault((one.given, one.kind), set()).add(one.id)
        for record, kinds in self.ledger.count_neighbours(end, given, types).items():
            for kind, count in kinds.items():
                if missing := count - len(here.get((record, kind), ())):
                    self.leave_out(given[record], way, kind, missing)
        return found

    def artifacts(self, found: Iterable[Neighbour]) -> dict[int, Artifact]:
        """The neighbours, of executions, as nodes and records by id; of deleted ones what is left."""
        ids = {one.id for one in found}
        by_id = {artifact.id: artifact for artifact in self.ledger.get_artifacts(ids=ids)}
        self.add_artifacts(by_id.values())
        return by_id | {gone.id: gone for gone in self.deleted_artifacts(ids - by_id.keys())}

    def executions(self, found: Iterable[Neighbour]) -> dict[int, Execution]:
        """The neighbours, of artifacts, as nodes and records by id; of deleted ones what is left."""
        ids = {one.id for one in found}
        by_id = {execution.id: execution for execution in self.ledger.get_executions(ids=ids)}
        self.add_executions(by_id.values())
        return by_id | {gone.id: gone for gone in self.deleted_executions(ids - by_id.keys())}

    def deleted_artifacts(self, ids: Collection[int]) -> list[Artifact]:
        """What is left of deleted artifacts, as nodes and records."""
        found = self.ledger.tombstones(kind=TypeKind.ARTIFACT, ids=ids) if ids else []
        self.of_artifact |= {gone.id: self.add(nodes.tombstone_node(gone)) for gone in found}
        return [Artifact(gone.type, gone.name, state=ArtifactState.DELETED, id=gone.id) for gone in found]

    def deleted_executions(self, ids: Collection[int]) -> list[Execution]:
        """What is left of deleted executions, as nodes and records."""
        found = self.ledger.tombstones(kind=TypeKind.EXECUTION, ids=ids) if ids else []
        for gone in found:
            self.add(nodes.tombstone_node(gone))
        return [Execution(gone.type, gone.name, id=gone.id) for gone in found]


def reading(
    execution: Execution, event: EventType, read: tuple[int, int] | None, why: str
) -> tuple[str, dict[str, Value]]:
    """How a curation met a raw file: a label, and its numbers."""
    if event is EventType.DECLARED_INPUT:
        return f"refused: {why or execution.properties.get('error', 'no reason was recorded')}", {"refused": True}
    rows, rejected = read or (0, 0)
    label = f"{nodes.rows(rows)} read" + (f", {rejected:,} rejected" if rejected else "")
    return label, {"read": rows, "rejected": rejected}


def refusals(execution: Execution) -> dict[str, str]:
    """Why a curation refused raw files (sha256)."""
    text = str(execution.properties.get("refused", ""))
    found: dict[str, str] = json.loads(text) if text else {}
    return found


def showing(rows: int, spans: Iterable[Span], version: int) -> tuple[str, dict[str, Value]]:
    """How the version that a curation made shows rows: a label, and its numbers."""
    span = overall(spans, version)
    told: dict[str, Value] = {"rows": rows, "first": span.first}
    if span.last is not None:
        told["last"] = span.last
    if span.until is not None:
        told["until"] = span.until.isoformat()
    return f"{nodes.rows(rows)}, shown {span}", told
