"""Drawing a lineage: a text tree, a Mermaid flowchart, a Graphviz graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.lineage.graph import Cut, Edge, Lineage, Node, Way

__all__ = ["dot", "mermaid", "tree"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,/@()+-")


def tree(lineage: Lineage, shown: int) -> str:
    """A tree of text for each node that was asked about.

    Args:
        lineage: what to draw.
        shown: how many siblings of a kind; of more, the number is told.
    """
    lines: list[str] = []
    branches = {way: _Branches(lineage, way, shown) for way in _ways()}
    up, down = branches["up"], branches["down"]
    for identity in lineage.focus:
        lines.append(up.named[identity].label)
        seen = {identity}
        if up.any(identity) and down.any(identity):
            lines += ["├─ upstream", *(f"│  {line}" for line in up.below(identity, seen))]
            lines += ["└─ downstream", *(f"   {line}" for line in down.below(identity, seen))]
        else:
            lines += (up if up.any(identity) else down).below(identity, seen)
    return "\n".join(lines)


def mermaid(lineage: Lineage) -> str:
    """A Mermaid flowchart, https://mermaid.js.org/syntax/flowchart.html."""
    places = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR", *(f'  {places[node.id]}["{_mermaid(node.label)}"]' for node in lineage.nodes)]
    for edge in lineage.edges:
        label = f'|"{_mermaid(edge.label)}"|' if edge.label else ""
        lines.append(f"  {places[edge.source]} -->{label} {places[edge.target]}")
    for number, one in enumerate(lineage.cut):
        ends = (places[one.node], f"c{number}") if one.way == "down" else (f"c{number}", places[one.node])
        lines += [f'  c{number}["{_mermaid(_left_out(one.kind, one.count))}"]', f"  {ends[0]} -.-> {ends[1]}"]
    return "\n".join(lines)


def dot(lineage: Lineage) -> str:
    """A graph in Graphviz' language, https://graphviz.org/doc/info/lang.html."""
    places = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    for node in lineage.nodes:
        style = ", style=bold" if node.id in lineage.focus else ""
        lines.append(f"  {places[node.id]} [label={_quoted(node.label)}{style}];")
    for edge in lineage.edges:
        label = f" [label={_quoted(edge.label)}]" if edge.label else ""
        lines.append(f"  {places[edge.source]} -> {places[edge.target]}{label};")
    for number, one in enumerate(lineage.cut):
        ends = (places[one.node], f"c{number}") if one.way == "down" else (f"c{number}", places[one.node])
        label = _quoted(_left_out(one.kind, one.count))
        lines += [f"  c{number} [label={label}, shape=plain];", f"  {ends[0]} -> {ends[1]} [style=dashed];"]
    return "\n".join([*lines, "}"])


def _mermaid(text: str) -> str:
    """Everything that could mean something to Mermaid, in a label or out of it, as a character's number."""
    return "".join(c if c in _PLAIN or (c.isprintable() and ord(c) > 127) else f"#{ord(c)};" for c in printable(text))


def _quoted(text: str) -> str:
    """A string of Graphviz: it knows escapes, and the entities of HTML."""
    safe = printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{safe}"'


def _ways() -> tuple[Way, Way]:
    return ("up", "down")


def _left_out(kind: str, count: int | None) -> str:
    return " ".join(filter(None, ("…", "" if count is None else f"{count:,}", "more", kind)))


class _Branches:
    """What a lineage has below a node in one direction, as lines."""

    def __init__(self, lineage: Lineage, way: Way, shown: int) -> None:
        self.named: Mapping[str, Node] = {node.id: node for node in lineage.nodes}
        self.shown = shown
        self.children: dict[str, list[tuple[str, str]]] = {}
        for one, other, label in _directed(lineage.edges, way):
            self.children.setdefault(one, []).append((other, label))
        self.cut: dict[str, list[Cut]] = {}
        for cut in lineage.cut:
            if cut.way == way:
                self.cut.setdefault(cut.node, []).append(cut)

    def any(self, identity: str) -> bool:
        """Whether there is anything below."""
        return identity in self.children or identity in self.cut

    def below(self, identity: str, seen: set[str]) -> Iterator[str]:
        """The lines below a node; a node shown before is named only."""
        stack = [("", self._entries(identity))]
        while stack:
            pad, entries = stack[-1]
            if not entries:
                stack.pop()
                continue
            child, text = entries.pop(0)
            again = child is not None and child in seen and self.any(child)
            yield f"{pad}{'├─' if entries else '└─'} {text}{' …' if again else ''}"
            if child is not None and child not in seen:
                seen.add(child)
                stack.append((f"{pad}{'│  ' if entries else '   '}", self._entries(child)))

    def _entries(self, identity: str) -> list[tuple[str | None, str]]:
        """Child and its text; of many of one kind only the first, and how many more there are."""
        cuts = {cut.kind: cut for cut in self.cut.get(identity, ())}
        kinds: dict[str, list[tuple[str, str]]] = {}
        for child, label in self.children.get(identity, ()):
            kinds.setdefault(self.named[child].kind, []).append((child, label))
        found: list[tuple[str | None, str]] = []
        for kind, members in kinds.items():
            # The line that would say "and 1 more" may as well show it.
            few = members if len(members) <= self.shown + 1 else members[: self.shown]
            found += [(child, f"{self.named[child].label}{f' [{label}]' if label else ''}") for child, label in few]
            more = len(members) - len(few)
            if cut := cuts.pop(kind, None):
                found.append((None, _left_out(kind, None if cut.count is None else cut.count + more)))
            elif more:
                found.append((None, f"and {more:,} more {kind}"))
        return [*found, *((None, _left_out(cut.kind, cut.count)) for cut in cuts.values())]


def _directed(edges: Iterable[Edge], way: Way) -> Iterator[tuple[str, str, str]]:
    for edge in edges:
        yield (edge.target, edge.source, edge.label) if way == "up" else (edge.source, edge.target, edge.label)
