"""A lineage as a value: its nodes and edges, restricted to a direction, as JSON and as a text tree."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lakehouse.records import Value

__all__ = ["Edge", "Lineage", "Node"]

_SHOWN = 10  # siblings of one kind in the text tree


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in a lineage.

    Attributes:
        kind: ``Source``, ``RawFile``, ``Land``, ``Curate``, ``Schema``, ``TableVersion``,
            ``QuarantineVersion``, ``Run`` or ``Job``.
        id: unique in the lineage: ``aviation/flights@12``, ``execution:17``, ``flights/<sha256>``.
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
    """

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What some things came of and what came of them. ``str()`` draws it as a tree.

    Attributes:
        focus: ids of the nodes that were asked about.
        nodes: every node, upstream first.
        edges: every edge between them.
    """

    focus: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def upstream(self) -> Lineage:
        """Only what the focus came of."""
        return self._restricted(_reached(self.focus, _children(self.edges, up=True)))

    def downstream(self) -> Lineage:
        """Only what came of the focus."""
        return self._restricted(_reached(self.focus, _children(self.edges, up=False)))

    def to_json(self) -> str:
        """Everything, as one JSON object: ``focus``, ``nodes`` and ``edges``."""
        nodes = [
            {"kind": n.kind, "id": n.id, "label": n.label, "properties": dict(sorted(n.properties.items()))}
            for n in self.nodes
        ]
        edges = [{"source": e.source, "target": e.target, "label": e.label} for e in self.edges]
        return json.dumps({"focus": list(self.focus), "nodes": nodes, "edges": edges}, indent=2)

    def __str__(self) -> str:
        named = {node.id: node for node in self.nodes}
        up, down = _children(self.edges, up=True), _children(self.edges, up=False)
        lines: list[str] = []
        for identity in self.focus:
            lines.append(named[identity].label)
            seen = {identity}
            if up.get(identity) and down.get(identity):
                lines += ["├─ upstream", *(f"│  {line}" for line in _branch(identity, named, up, seen))]
                lines += ["└─ downstream", *(f"   {line}" for line in _branch(identity, named, down, seen))]
            else:
                lines += _branch(identity, named, up if up.get(identity) else down, seen)
        return "\n".join(lines)

    def _restricted(self, kept: Collection[str]) -> Lineage:
        nodes = tuple(node for node in self.nodes if node.id in kept)
        return Lineage(self.focus, nodes, tuple(e for e in self.edges if e.source in kept and e.target in kept))


def _children(edges: Iterable[Edge], *, up: bool) -> dict[str, list[tuple[str, str]]]:
    """By node, its neighbours in one direction, each with the edge's label."""
    found: dict[str, list[tuple[str, str]]] = {}
    for edge in edges:
        one, other = (edge.target, edge.source) if up else (edge.source, edge.target)
        found.setdefault(one, []).append((other, edge.label))
    return found


def _reached(start: Iterable[str], children: Mapping[str, list[tuple[str, str]]]) -> set[str]:
    found = set(start)
    todo = list(found)
    while todo:
        new = {child for child, _ in children.get(todo.pop(), ())} - found
        found |= new
        todo += new
    return found


def _branch(
    identity: str, named: Mapping[str, Node], children: Mapping[str, list[tuple[str, str]]], seen: set[str]
) -> Iterator[str]:
    """The lines below a node; a node shown before is named only."""
    entries = list(_entries(children.get(identity, []), named))
    for at, (child, text) in enumerate(entries):
        last = at == len(entries) - 1
        again = child in seen and bool(children.get(child or ""))
        yield f"{'└─' if last else '├─'} {text}{' …' if again else ''}"
        if child is not None and child not in seen:
            seen.add(child)
            pad = "   " if last else "│  "
            yield from (pad + line for line in _branch(child, named, children, seen))


def _entries(found: Sequence[tuple[str, str]], named: Mapping[str, Node]) -> Iterator[tuple[str | None, str]]:
    """Child and its text; of many of one kind only the first, and how many more there are."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for child, label in found:
        kinds.setdefault(named[child].kind, []).append((child, label))
    for kind, members in kinds.items():
        shown = members if len(members) <= _SHOWN + 1 else members[:_SHOWN]
        for child, label in shown:
            yield child, f"{named[child].label}{f' [{label}]' if label else ''}"
        if len(members) > len(shown):
            yield None, f"and {len(members) - len(shown):,} more {kind}"
