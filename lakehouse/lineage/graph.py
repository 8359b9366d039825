"""A lineage as a value: its nodes and edges, what was left out of it, one direction of it, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from lakehouse.lineage import drawing
from lakehouse.lineage import impact as impacts
from lakehouse.records import Value

__all__ = ["Cut", "Edge", "Lineage", "Node", "Way"]

Way: TypeAlias = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in a lineage.

    Attributes:
        kind: ``Source``, ``RawFile``, ``Land``, ``Curate``, ``Schema``, ``TableVersion``,
            ``QuarantineVersion``, ``Run``, ``Job``, or the type of a user's execution or artifact.
        id: unique in the lineage: ``aviation/flights@12``, ``execution:17``, ``raw:flights/<sha256>``,
            ``Model:churn@3``.
        label: for people, safe to print.
        properties: what the ledger says of it.
    """

    kind: str
    id: str
    label: str
    properties: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """One thing came of another.

    Attributes:
        source: id of the node upstream.
        target: id of the node downstream.
        label: how, safe to print: ``refused: …``, ``versions 3 to 6``.
        properties: the label's numbers: ``read`` and ``rejected`` rows of a raw file in a curation; ``rows``, and
            the versions ``first`` to ``last`` that show them, of what a curation made. Where a newer version leaves
            them out, ``until`` is its moment; where none does, there is neither ``last`` nor ``until``.
    """

    source: str
    target: str
    label: str = ""
    properties: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """Something that is there in the ledger and was left out of a lineage, because of its bounds.

    Attributes:
        node: id of the node whose neighbours were left out.
        way: whether they are upstream or downstream of it.
        kind: of the neighbours; "" for any.
        count: how many; None where that was not looked up.
    """

    node: str
    way: Way
    kind: str = ""
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What some things came of and what came of them. ``str()`` draws it as a tree.

    Attributes:
        focus: ids of the nodes that were asked about.
        nodes: every node, upstream first.
        edges: every edge between them.
        cut: what the bounds left out; empty for a whole lineage.
    """

    focus: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cut: tuple[Cut, ...] = ()

    def upstream(self) -> Lineage:
        """Only what the focus came of."""
        return self._restricted("up")

    def downstream(self) -> Lineage:
        """Only what came of the focus."""
        return self._restricted("down")

    def only(self, kinds: Collection[str]) -> Lineage:
        """Only nodes of some kinds, and the focus; a path through others becomes one edge."""
        kept = {node.id for node in self.nodes if node.kind in kinds or node.id in self.focus}
        if len(kept) == len(self.nodes):
            return self
        edges = _contracted(self.edges, kept)
        nearest = {way: _nearest(self.edges, kept, up=way == "down") for way in ("up", "down")}
        cut = {
            Cut(node, one.way, one.kind if one.kind in kinds else "", one.count if one.kind in kinds else None): None
            for one in self.cut
            for node in ((one.node,) if one.node in kept else nearest[one.way].get(one.node, ()))
        }
        return Lineage(self.focus, tuple(node for node in self.nodes if node.id in kept), edges, tuple(cut))

    def impact(self) -> impacts.Impact:
        """What would change if the focus were wrong."""
        return impacts.impact(self)

    def tree(self, shown: int = 10) -> str:
        """Drawn as a tree, as ``str()``; ``shown`` is how many siblings of a kind."""
        return drawing.tree(self, shown)

    def to_json(self) -> str:
        """Everything, as one JSON object: ``focus``, ``nodes``, ``edges`` and ``cut``."""
        nodes = [
            {"kind": n.kind, "id": n.id, "label": n.label, "properties": _plain(dict(sorted(n.properties.items())))}
            for n in self.nodes
        ]
        edges = [
            {"source": e.source, "target": e.target, "label": e.label, "properties": _plain(e.properties)}
            for e in self.edges
        ]
        cut = [{"node": c.node, "way": c.way, "kind": c.kind, "count": c.count} for c in self.cut]
        value = {"focus": list(self.focus), "nodes": nodes, "edges": edges, "cut": cut}
        return json.dumps(value, indent=2)

    def to_mermaid(self) -> str:
        """As a Mermaid flowchart, from left to right."""
        return drawing.mermaid(self)

    def to_dot(self) -> str:
        """As a Graphviz graph, from left to right."""
        return drawing.dot(self)

    def __str__(self) -> str:
        return self.tree()

    def _restricted(self, way: Way) -> Lineage:
        following = _next(self.edges, up=way == "up")
        cut = tuple(one for one in self.cut if one.way == way)
        # Of several versions of a dataset, those that lead nowhere in this direction say nothing.
        leading = following.keys() | {one.node for one in cut}
        silent = {node.id for node in self.nodes if node.kind == "TableVersion"} - leading
        focus = tuple(identity for identity in self.focus if identity not in silent) or self.focus[:1]
        kept = _reached(focus, following)
        return Lineage(
            focus,
            tuple(node for node in self.nodes if node.id in kept),
            tuple(e for e in self.edges if e.source in kept and e.target in kept),
            tuple(one for one in cut if one.node in kept),
        )


def _plain(value: Any) -> Any:
    """A property as JSON has it; what JSON has no form for (a user's NaN, bytes or message) as text."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float():
            return value if math.isfinite(value) else str(value)
        case str() | int() | None:
            return value
        case _:
            return str(value)


def _next(edges: Iterable[Edge], *, up: bool) -> dict[str, list[str]]:
    """By node, its neighbours in one direction."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        one, other = (edge.target, edge.source) if up else (edge.source, edge.target)
        found.setdefault(one, []).append(other)
    return found


def _reached(start: Iterable[str], following: Mapping[str, list[str]]) -> set[str]:
    found = set(start)
    todo = list(found)
    while todo:
        new = set(following.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found


def _contracted(edges: tuple[Edge, ...], kept: Collection[str]) -> tuple[Edge, ...]:
    """The edges between kept nodes, and one for every path between two of them through others only."""
    nearest = _nearest(edges, kept, up=False)
    found = {(e.source, e.target): e for e in edges if e.source in kept and e.target in kept}
    for edge in edges:
        if edge.source in kept and edge.target not in kept:
            for target in nearest[edge.target]:
                found.setdefault((edge.source, target), Edge(edge.source, target))
    return tuple(found.values())


def _nearest(edges: Iterable[Edge], kept: Collection[str], *, up: bool) -> dict[str, tuple[str, ...]]:
    """For every node with edges that is not kept, the first kept ones on its paths in one direction."""
    following = _next(edges, up=up)
    hidden = {node for pair in following.items() for node in (pair[0], *pair[1])} - set(kept)
    found: dict[str, tuple[str, ...]] = {}
    for start in hidden:
        seen, todo, ends = {start}, [start], dict[str, None]()
        while todo:
            for other in following.get(todo.pop(), ()):
                if other in kept:
                    ends[other] = None
                elif other not in seen:
                    seen.add(other)
                    todo.append(other)
        found[start] = tuple(ends)
    return found
