"""Impact: what would have to be looked at again if the things of a lineage were wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.lineage.graph import Edge, Lineage, Node

__all__ = ["Impact", "Made", "Rejected", "Shown", "impact"]

_LAKE = frozenset(
    {"Source", "Job", "Run", "RawFile", "Schema", "QuarantineVersion", "Statistics", "Anomalies", "TableVersion"}
)


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows that versions of a dataset show.

    Attributes:
        execution: the curation that made them.
        last: the last version that shows them; None where the newest does.
        until: when the version came that leaves them out, ISO 8601, UTC; None where none does.
    """

    dataset: str
    execution: int
    rows: int
    first: int
    last: int | None
    until: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that stand in a dataset's quarantine."""

    dataset: str
    execution: int
    rows: int


@dataclass(frozen=True, slots=True)
class Made:
    """What a user's own step made: a model, metrics.

    Attributes:
        by: the executions that made it.
        of: what they read of all this: ``aviation/flights@12``.
    """

    id: str
    label: str
    by: tuple[str, ...]
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What came of some things, all of which would change if they were wrong. ``str()`` tells it line by line.

    Attributes:
        focus: the things, as labels. The same bytes under several sources are several.
        shown: the versions that show rows of them.
        rejected: their rows in quarantine.
        made: models, metrics and whatever else users' steps made of those versions.
        whole: whether that is all; False where bounds cut the lineage.
    """

    focus: tuple[str, ...]
    shown: tuple[Shown, ...]
    rejected: tuple[Rejected, ...]
    made: tuple[Made, ...]
    whole: bool

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        return "\n".join([*self.focus, *self._lines()])

    def _lines(self) -> Iterator[str]:
        for one in self.shown:
            yield f"  {one.dataset}: {_rows(one.rows)} of execution:{one.execution} {_versions(one)}"
        for bad in self.rejected:
            yield f"  {bad.dataset}: {_rows(bad.rows)} of execution:{bad.execution} in quarantine"
        for made in self.made:
            yield f"  {made.label}, made by {', '.join(made.by)} of {', '.join(made.of)}"
        if not (self.shown or self.rejected or self.made):
            yield "  nothing came of it"
        if not self.whole:
            yield "  … and what the bounds left out"


def impact(lineage: Lineage) -> Impact:
    """What came of the focus of a lineage."""
    down = lineage.downstream()
    named = {node.id: node for node in down.nodes}
    shown, rejected = [], []
    for edge in down.edges:
        target, told = named[edge.target], edge.properties
        if target.kind == "TableVersion" and "first" in told:
            shown.append(_shown(edge, target))
        elif target.kind == "QuarantineVersion":
            rows = int(str(told.get("rejected", 0)))
            rejected.append(Rejected(str(target.properties["dataset"]), _number(edge.source), rows))
    made = [
        _made(node, down.edges)
        for node in down.nodes
        if node.kind not in _LAKE and not node.id.startswith("execution:") and node.id not in down.focus
    ]
    made.sort(key=lambda one: (min(map(_number, one.by), default=0), one.id))
    focus = tuple(named[identity].label for identity in down.focus)
    return Impact(focus, tuple(shown), tuple(rejected), tuple(made), not down.cut)


def _shown(edge: Edge, version: Node) -> Shown:
    told = edge.properties
    last, until = told.get("last"), told.get("until")
    return Shown(
        dataset=str(version.properties["dataset"]),
        execution=_number(edge.source),
        rows=int(str(told["rows"])),
        first=int(str(told["first"])),
        last=None if last is None else int(str(last)),
        until=None if until is None else str(until),
    )


def _made(node: Node, edges: tuple[Edge, ...]) -> Made:
    by = tuple(edge.source for edge in edges if edge.target == node.id and edge.source.startswith("execution:"))
    of = tuple(dict.fromkeys(edge.source for edge in edges if edge.target in by))
    return Made(node.id, node.label, by, of)


def _number(identity: str) -> int:
    return int(identity.removeprefix("execution:"))


def _versions(shown: Shown) -> str:
    if shown.last is None:
        return f"since version {shown.first}, still"
    versions = (
        f"in version {shown.first}" if shown.last == shown.first else f"in versions {shown.first} to {shown.last}"
    )
    return versions + (f", left out since {shown.until[:19].replace('T', ' ')} UTC" if shown.until else "")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
