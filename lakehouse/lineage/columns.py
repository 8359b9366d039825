"""The lineage of one column: from a dataset's column to columns of raw files, and to what was made from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from lakehouse import references
from lakehouse.columns import ALL, Column, stepwise
from lakehouse.errors import NotFoundError, nearest
from lakehouse.lineage import nodes
from lakehouse.lineage.configurations import Configuration, configurations
from lakehouse.lineage.gathering import Gathering
from lakehouse.lineage.graph import Lineage, Node, Way
from lakehouse.lineage.spans import Span
from lakehouse.lineage.walking import Downwards
from lakehouse.metadata import READS, Neighbour
from lakehouse.records import Artifact, Context, EventType, Execution, printable
from lakehouse.site import Site

__all__ = ["declared", "of_column"]


def of_column(site: Site, g: Gathering, what: str | int, column: str, ways: Collection[Way]) -> Lineage:
    """The lineage of a dataset's column, or of a raw file's.

    Args:
        site: the opened lake.
        g: an empty lineage, with its bounds.
        what: the dataset, its version, or the raw file.
        column: the column.
        ways: up, down or both.

    Raises:
        NotFoundError: there is no such column, or the thing has none that are known.
    """
    walk = _Walk(site, g, ways)
    reference = references.parse(what)
    found = references.artifacts(site, reference)
    if reference.kind == "raw":
        return g.lineage(walk.of_raw(found, column))
    if found[0].type != "TableVersion":
        raise NotFoundError(f"{reference} has no columns that are known; name a dataset or a raw file")
    version = found[0].properties["version"]
    assert isinstance(version, int)  # noqa: S101  # the ledger keeps INT properties as int
    newest = reference.kind == "dataset" and reference.number is None
    return g.lineage([walk.of_dataset(str(found[0].properties["dataset"]), None if newest else version, column)])


def declared(execution: Execution) -> dict[str, list[str]]:
    """The columns that a step said it reads, by version (``aviation/flights@12``); all of one that is not there."""
    text = str(execution.properties.get("columns", ""))
    found: dict[str, list[str]] = json.loads(text) if text else {}
    return found


class _Walk:
    """A column's lineage being gathered."""

    def __init__(self, site: Site, g: Gathering, ways: Collection[Way]) -> None:
        self.site = site
        self.g = g
        self.ways = ways
        self.labels: dict[tuple[str, str], dict[str, list[Span]]] = {}
        self.followed: set[str] = set()  # columns of inputs that were followed upwards
        self.reached: set[tuple[str, str]] = set()  # columns of derived datasets that were followed downwards

    def of_dataset(self, dataset: str, version: int | None, column: str) -> str:
        """Gather what a dataset's column was made from and what became of it; its node."""
        past = self.g.past(dataset)
        known = configurations(self.site, past, None if version is None else past.makers(version))
        having = [one for one in known if one.find(column)]
        if not having:
            where = dataset if version is None else f"{dataset}@{version}"
            names = {name for one in known for name in one.made if name != ALL}
            raise NotFoundError(f"{where} has no column '{printable(column)}'.{nearest(column, names)}")
        focus = self._column(dataset, column)
        if "up" in self.ways:
            for one in having:
                self._up(one, column)
        if "down" in self.ways:
            held = {column}
            for one in having:
                held |= self._down(one, column)
            self._read(dataset, version, min(one.span.first for one in having), held)
        self._join()
        return focus

    def of_raw(self, found: Sequence[Artifact], column: str) -> list[str]:
        """Gather what became of a raw file's column; its node under every source of these bytes."""
        focus = []
        self.g.add_artifacts(found)
        events = self.g.ledger.neighbours("artifact", [raw.id for raw in found], [EventType.INPUT])
        curations = {event.id for event in events if event.kind == "Curate"}
        steps = [event for event in events if event.kind != "Curate"]
        contexts = self.g.ledger.get_contexts_of(curations)
        known = [
            one
            for dataset in dict.fromkeys(c.name for of_one in contexts.values() for c in of_one if c.type == "Dataset")
            for one in configurations(self.site, self.g.past(dataset), contexts)
        ]
        if not steps and not any(made.reads_from(column) for one in known for made in one.made.values()):
            names = {name for one in known for made in one.made.values() for name in made.inputs if name != ALL}
            raise NotFoundError(
                f"no dataset takes a column '{printable(column)}' from this raw file; if it is there, it stays there."
                f"{nearest(column, names)}"
            )
        for raw in found:
            focus.append(self._raw(str(raw.properties["source"]), column))
            if "up" in self.ways:
                self.g.join(self.g.of_artifact[raw.id], focus[-1])
        if "down" in self.ways:
            for one in known:
                self._from_raw(one, column)
            self._followed(steps, {step.id: [(node, "perhaps reads it") for node in focus] for step in steps})
        self._join()
        return focus

    def _column(self, dataset: str, column: str) -> str:
        return self.g.add(Node("Column", f"{dataset}.{column}", printable(f"Column {dataset}.{column}")))

    def _raw(self, source: str, column: str) -> str:
        name = f"every column of {source}" if column == ALL else f"{source}.{column}"
        return self.g.add(Node("RawColumn", f"source:{source}.{column}", printable(f"RawColumn {name}")))

    def _note(self, source: str, target: str, how: str, span: Span) -> None:
        self.labels.setdefault((source, target), {}).setdefault(how, []).append(span)

    def _join(self) -> None:
        """Add the edges; where configurations differed, with the versions that show each one's rows."""
        for (source, target), hows in self.labels.items():
            told = [
                how if len(hows) == 1 else f"{how} ({', '.join(map(str, dict.fromkeys(s)))})" for how, s in hows.items()
            ]
            self.g.join(source, target, "; ".join(told), {"how": [*hows]})

    def _up(self, one: Configuration, column: str, seen: frozenset[str] = frozenset()) -> None:
        made = one.find(column)
        if made is None or column in seen:
            return
        target, how = self._column(one.dataset, column), _how(made)
        for feature in made.reads if stepwise(one.made, column) else ():
            self._note(self._column(one.dataset, feature), target, how, one.span)
            self._up(one, feature, seen | {column})
        for read in made.inputs if one.inputs else ():
            self._note(self._of_input(one, read), target, how, one.span)
        for raw in () if one.inputs or stepwise(one.made, column) else made.inputs:
            node = self._raw(one.source, raw)
            self._note(node, target, how, one.span)
            self.g.join(self.g.add(nodes.context_node(Context("Source", one.source))), node)

    def _of_input(self, one: Configuration, read: str) -> str:
        """The node of a column of another dataset that a derived one was made from, with what that was made from."""
        if read == ALL:
            every = ", ".join(one.inputs)
            return self.g.add(Node("Column", f"{every}.{ALL}", printable(f"Column: every column of {every}")))
        dataset, _, column = read.partition(".")
        node = self._column(dataset, column)
        if node not in self.followed:
            self.followed.add(node)
            past = self.g.past(dataset)
            version = self._read_by(one, dataset)
            for made in configurations(self.site, past, None if version is None else past.makers(version)):
                self._up(made, column)
        return node

    def _read_by(self, one: Configuration, dataset: str) -> int | None:
        """The newest version of a dataset that derivations under a configuration read."""
        made = self.g.ledger.get_executions(ids=one.executions, only=["inputs"])
        return max((json.loads(str(e.properties["inputs"]))[dataset] for e in made), default=None)

    def _down(self, one: Configuration, column: str) -> set[str]:
        """The columns of a dataset that are made from one of it."""
        found: set[str] = set()
        if one.inputs:
            return found  # they are made from other datasets' alone
        for name, made in one.made.items():
            if name in (column, ALL) or not (column in made.reads or not made.certain):
                continue
            self._note(self._column(one.dataset, column), self._column(one.dataset, name), _how(made), one.span)
            found |= {name} | (self._down(one, name) if made.certain and stepwise(one.made, name) else set())
        return found

    def _from_raw(self, one: Configuration, column: str) -> None:
        held: set[str] = set()
        names = [name for name in one.made if name != ALL]
        if ALL in one.made and not any(column in one.made[name].inputs for name in names):
            names.append(column)  # it is taken along
        for name in names:
            made = one.find(name)
            if made is None or not made.reads_from(column) or (made.certain and stepwise(one.made, name)):
                continue
            self._note(self._raw(one.source, column), self._column(one.dataset, name), _how(made), one.span)
            held |= {name} | (self._down(one, name) if made.certain else set())
        self._read(one.dataset, None, one.span.first, held)

    def _read(self, dataset: str, version: int | None, first: int, held: Iterable[str]) -> None:
        """The steps that read some columns of a dataset's versions, and what came of them."""
        numbers = [n for n in self.g.past(dataset).read_by_others if n >= first and version in (None, n)]
        names = [f"{dataset}@{number}" for number in numbers]
        versions = self.g.ledger.get_artifacts(type="TableVersion", names=names) if names else []
        by_id = {artifact.id: str(artifact.name) for artifact in versions}
        events = self.g.ledger.neighbours("artifact", by_id, READS)
        derivations = {event.id: by_id[event.given] for event in events if event.kind == "Derive"}
        if derivations:
            self._derived(dataset, derivations, held)
        events = [event for event in events if event.id not in derivations]
        told = {e.id: declared(e) for e in self.g.ledger.get_executions(ids={event.id for event in events})}
        followed: dict[int, list[tuple[str, str]]] = {}
        for event in events:
            name = by_id[event.given]
            read = told.get(event.id, {}).get(name)  # a step that was deleted says it no more
            how = f"{'perhaps ' if read is None else ''}reads it of {name}"
            nodes_read = [(self._column(dataset, c), how) for c in sorted(held) if read is None or c in read]
            followed.setdefault(event.id, []).extend(nodes_read)
        self._followed([event for event in events if followed[event.id]], followed)

    def _derived(self, dataset: str, executions: Collection[int], held: Iterable[str]) -> None:
        """The columns of derived datasets that some derivations made from columns of a dataset."""
        held = list(held)
        contexts = self.g.ledger.get_contexts_of(list(executions))
        names = dict.fromkeys(c.name for found in contexts.values() for c in found if c.type == "Dataset")
        for name in names:
            known = configurations(self.site, self.g.past(name), executions)
            made: set[str] = set()
            for one in known:
                for column, of in one.made.items():
                    for read in held:
                        if of.reads_from(f"{dataset}.{read}"):
                            self._note(self._column(dataset, read), self._column(name, column), _how(of), one.span)
                            made.add(column)
            if new := {column for column in made if (name, column) not in self.reached}:
                self.reached |= {(name, column) for column in new}
                self._read(name, None, min(one.span.first for one in known), new)

    def _followed(self, steps: Sequence[Neighbour], read: Mapping[int, Iterable[tuple[str, str]]]) -> None:
        """Add steps, by what they read and how, and all that came of them."""
        found = self.g.executions(steps)
        for step in found:
            for node, how in read[step]:
                self.g.join(node, f"execution:{step}", how)
        Downwards(self.g).follow([], list(found.values()))


def _how(made: Column) -> str:
    """How a column is made, for the edge that leads to it."""
    match made.how:
        case "expression":
            return f"{'' if made.certain else 'perhaps '}= {made.by}"
        case "function":
            return f"{'' if made.certain else 'perhaps: '}{made.by or 'function'}"
        case _:
            return ", ".join(filter(None, ("renamed" if made.how == "rename" else "", made.by)))
