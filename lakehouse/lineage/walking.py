"""The two walks: from artifacts to the executions that made them and what those read, and the other way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from lakehouse import timeline
from lakehouse.lineage import nodes
from lakehouse.lineage.gathering import Gathering, reading, refusals, showing
from lakehouse.metadata import MAKES, READS, Neighbour
from lakehouse.records import Artifact, EventType, Execution

__all__ = ["Downwards", "Upwards"]

_CONTEXTS = frozenset({"Source", "Run", "Job"})
_ABOVE: Mapping[str, Collection[str]] = {
    "Schema": (),
    "Land": _CONTEXTS,
    "RawFile": {*_CONTEXTS, "Land"},
    "Curate": {*_CONTEXTS, "Land", "RawFile", "Schema"},
}
"""All there can be upstream of the lake's own records; of any other there can be everything."""


class Upwards:
    """What things came of. A version came of the raw files whose rows it shows, not of all that its curations read."""

    def __init__(self, gathering: Gathering) -> None:
        self.g = gathering
        self.hops = 0
        self.seen: set[int] = set()  # ids of artifacts
        self.wanted: dict[int, set[str] | None] = {}  # raw files (sha256) by execution: None for all it read
        self.met: dict[int, set[str] | None] = {}  # those of them that were followed already

    def follow(self, artifacts: Sequence[Artifact], executions: Sequence[Execution]) -> None:
        """Walk until there is nothing more, or a bound is met."""
        self.wanted |= dict.fromkeys((execution.id for execution in executions), None)
        while True:
            artifacts = [a for a in artifacts if a.id not in self.seen and self._leads_on(a.type)]
            executions = [e for e in executions if self._new(e.id) != set() and self._leads_on(e.type)]
            if not artifacts and not executions:
                return
            if self.g.bounds.over(self.hops):
                self._stop(artifacts, executions)
                return
            self.hops += 1
            self.seen |= {artifact.id for artifact in artifacts}
            artifacts, executions = self._inputs(executions), self._makers(artifacts)

    def _leads_on(self, kind: str) -> bool:
        return kind not in _ABOVE or (self.g.bounds.wants(_ABOVE[kind]) and bool(_ABOVE[kind]))

    def _new(self, execution: int) -> set[str] | None:
        """The raw files still to be followed; None for all."""
        wanted, met = self.wanted[execution], self.met.get(execution, set())
        if met is None:
            return set()
        return None if wanted is None else wanted - met

    def _makers(self, artifacts: Sequence[Artifact]) -> list[Execution]:
        """The executions that artifacts came of."""
        versions = [a for a in artifacts if a.type == "TableVersion" and "version" in a.properties]
        found = [execution for artifact in versions for execution in self._makers_of_version(artifact)]
        others = {a.id: self.g.of_artifact[a.id] for a in artifacts}
        for artifact in versions:
            del others[artifact.id]
        events = self.g.neighbours("up", "artifact", others, MAKES)
        made = self.g.executions(events)
        for event in events:
            self.g.join(f"execution:{event.id}", others[event.given])
        self.wanted |= dict.fromkeys(made)
        return [*found, *made.values()]

    def _makers_of_version(self, artifact: Artifact) -> list[Execution]:
        g, node = self.g, self.g.of_artifact[artifact.id]
        past, version = g.past(str(artifact.properties["dataset"])), artifact.properties["version"]
        assert isinstance(version, int)  # noqa: S101  # the ledger keeps INT properties as int
        b = g.bounds
        kept = g.ledger.get_executions(ids=past.makers(version, limit=b.limit, since=b.since, until=b.until))
        bounded = b.since or b.until or len(kept) == b.limit
        if bounded and (left := past.count_makers(version) - len(kept)):
            g.leave_out(node, "up", "Curate", left)
        g.add_executions(kept)
        for execution in kept:
            g.counts(execution)  # known here, so that they need not be read again
        spans = past.spans(timeline.versions_of(kept))
        for execution in kept:
            g.join(f"execution:{execution.id}", node)
            wanted = self.wanted.setdefault(execution.id, set())
            if wanted is not None:
                wanted |= {sha for sha, span in spans[execution.id].items() if span.at(version)}
        return kept

    def _inputs(self, executions: Sequence[Execution]) -> list[Artifact]:
        """The artifacts that executions came of; their source, run and job."""
        self._contexts(executions)
        whole = [execution for execution in executions if self._new(execution.id) is None]
        partly = [execution for execution in executions if self._new(execution.id) is not None]
        found = [*self._all_inputs(whole), *self._shown_inputs(partly)]
        for execution in executions:
            wanted = self.wanted[execution.id]
            self.met[execution.id] = None if wanted is None else set(wanted)
        return found

    def _all_inputs(self, executions: Sequence[Execution]) -> list[Artifact]:
        by_id = {execution.id: execution for execution in executions}
        events = self.g.neighbours("up", "execution", _nodes(executions), READS)
        artifacts = self.g.artifacts(events)
        _join_inputs(self.g, [(by_id[event.given], artifacts[event.id], event.event) for event in events])
        return list(artifacts.values())

    def _shown_inputs(self, executions: Sequence[Execution]) -> list[Artifact]:
        """The schema, and of the raw files only those whose rows a version shows."""
        g = self.g
        # One of each kind is enough: there is one schema, and all raw files of a curation are of one source.
        firsts = g.ledger.neighbours("execution", _nodes(executions), [EventType.INPUT], limit=1)
        schemas = [event for event in firsts if event.kind != "RawFile"]
        sources = {
            event.given: str(event.external_id).rpartition("/")[0] for event in firsts if event.kind == "RawFile"
        }
        wanted: list[tuple[Execution, str]] = []
        for execution in executions:
            new = self._new(execution.id) or set()
            shas = [sha for sha in g.counts(execution) if sha in new][: g.bounds.limit]
            if len(shas) < len(new):
                g.leave_out(f"execution:{execution.id}", "up", "RawFile", len(new) - len(shas))
            wanted += [(execution, f"{sources.get(execution.id)}/{sha}") for sha in shas]
        raw = {a.external_id: a for a in g.ledger.get_artifacts(external_ids={external for _, external in wanted})}
        g.add_artifacts(raw.values())
        other = g.artifacts(schemas)
        by_id = {execution.id: execution for execution in executions}
        _join_inputs(g, [(by_id[event.given], other[event.id], event.event) for event in schemas])
        _join_inputs(g, [(e, raw[external], EventType.INPUT) for e, external in wanted if external in raw])
        return [*raw.values(), *other.values()]

    def _contexts(self, executions: Iterable[Execution]) -> None:
        """The source, run and job that executions belong to."""
        if not self.g.bounds.wants(_CONTEXTS):
            return
        for execution, contexts in self.g.ledger.get_contexts_of([e.id for e in executions]).items():
            found = {context.type: context for context in contexts}
            for kind in ("Source", "Run"):
                if kind in found:
                    self.g.join(self.g.add(nodes.context_node(found[kind])), f"execution:{execution}")
            if "Run" in found and "Job" in found:
                run, job = (nodes.context_node(found[kind]) for kind in ("Run", "Job"))
                if not self.g.bounds.over(self.hops):
                    self.g.join(self.g.add(job), run.id)
                elif (job.id, run.id) not in self.g.edges:
                    self.g.leave_out(run.id, "up", "Job", 1)

    def _stop(self, artifacts: Sequence[Artifact], executions: Sequence[Execution]) -> None:
        """Note what one more hop would have found."""
        g = self.g
        given = {a.id: g.of_artifact[a.id] for a in artifacts}
        for identity, kinds in g.ledger.count_neighbours("artifact", given, MAKES).items():
            for kind, count in kinds.items():
                # A version came of more curations than the one that made it.
                g.leave_out(given[identity], "up", kind, None if kind == "Curate" else count)
        given = _nodes(executions)
        for identity, kinds in g.ledger.count_neighbours("execution", given, READS).items():
            wanted = self.wanted[identity]
            for kind, count in kinds.items():
                g.leave_out(given[identity], "up", kind, len(wanted) if wanted and kind == "RawFile" else count)
        for identity, contexts in g.ledger.get_contexts_of(list(given)).items():
            for context in contexts:
                if context.type in ("Source", "Run"):
                    g.leave_out(given[identity], "up", context.type, 1)


class Downwards:
    """What came of things. Of a raw file came the versions that show its rows, not all that its curations made."""

    def __init__(self, gathering: Gathering) -> None:
        self.g = gathering
        self.hops = 0
        self.seen: set[int] = set()  # ids of artifacts
        self.taken: dict[int, set[str] | None] = {}  # raw files (sha256) by curation: None for all it read
        self.met: dict[int, set[str] | None] = {}  # those of them that were followed already
        self.unseen: set[str] = set()  # raw files that a limit left out, but that count

    def follow(self, artifacts: Sequence[Artifact], executions: Sequence[Execution]) -> None:
        """Walk until there is nothing more, or a bound is met."""
        self.taken |= dict.fromkeys((execution.id for execution in executions), None)
        while True:
            artifacts = [a for a in artifacts if a.id not in self.seen]
            executions = [e for e in executions if e.id not in self.met or self.met[e.id] != self.taken[e.id]]
            if not artifacts and not executions:
                return
            if self.g.bounds.over(self.hops):
                self._stop(artifacts, executions)
                return
            self.hops += 1
            self.seen |= {artifact.id for artifact in artifacts}
            artifacts, executions = self._outputs(executions), self._readers(artifacts)

    def _readers(self, artifacts: Sequence[Artifact]) -> list[Execution]:
        """The executions that read artifacts."""
        by_id = {artifact.id: artifact for artifact in artifacts}
        events = self.g.neighbours("down", "artifact", {i: self.g.of_artifact[i] for i in by_id}, READS)
        found = self.g.executions(events)
        _join_inputs(self.g, [(found[event.id], by_id[event.given], event.event) for event in events])
        for event in events:
            artifact, execution = by_id[event.given], found[event.id]
            taken = self.taken.setdefault(event.id, set())
            if artifact.type != "RawFile":
                self.taken[event.id] = None
            elif taken is not None:
                taken |= {str(artifact.properties["sha256"])} | (self.unseen & self.g.counts(execution).keys())
        return list(found.values())

    def _outputs(self, executions: Sequence[Execution]) -> list[Artifact]:
        """The artifacts that executions made; of curations also other versions that show their rows and were read."""
        for execution in executions:
            taken = self.taken[execution.id]
            self.met[execution.id] = None if taken is None else set(taken)
        landings = [execution for execution in executions if execution.type == "Land"]
        curations = [execution for execution in executions if execution.type == "Curate"]
        others = [execution for execution in executions if execution.type not in ("Land", "Curate")]
        events = [
            *self._landed(landings),
            *self.g.neighbours("down", "execution", _nodes(others), MAKES),
        ]
        found = self.g.artifacts(events)
        for event in events:
            self.g.join(f"execution:{event.given}", self.g.of_artifact[event.id])
        return [*found.values(), *self._curated(curations)]

    def _landed(self, executions: Sequence[Execution]) -> list[Neighbour]:
        """The raw files that landings stored or saw: all are asked for, as a curation's rows of them are counted."""
        g = self.g
        kept = []
        for execution in executions:
            every = g.ledger.neighbours("execution", [execution.id], MAKES)
            kept += every[: g.bounds.limit]
            left = every[len(every[: g.bounds.limit]) :]
            self.unseen |= {str(event.external_id).rpartition("/")[2] for event in left}
            if left:
                g.leave_out(f"execution:{execution.id}", "down", "RawFile", len(left))
        return kept

    def _curated(self, executions: Sequence[Execution]) -> list[Artifact]:
        g = self.g
        by_id = {execution.id: execution for execution in executions}
        events = g.ledger.neighbours("execution", by_id, MAKES)
        made = {artifact.id: artifact for artifact in g.ledger.get_artifacts(ids={event.id for event in events})}
        found: list[Artifact] = []
        for event in events:
            execution, artifact = by_id[event.given], made[event.id]
            taken = self.taken[execution.id]
            counted = {sha: n for sha, n in g.counts(execution).items() if taken is None or sha in taken}
            if artifact.type == "QuarantineVersion":
                rejected = sum(bad for _, bad in counted.values())
                if rejected:
                    g.add_artifacts([artifact])
                    label = f"{nodes.rows(rejected)} rejected"
                    g.join(f"execution:{event.given}", g.of_artifact[artifact.id], label, {"rejected": rejected})
                    found.append(artifact)
            elif artifact.type == "TableVersion":
                found += self._shown(execution, artifact, counted)
            elif artifact.type == "Anomalies" and execution.properties.get("anomalies") and (counted or taken is None):
                g.add_artifacts([artifact])
                g.join(f"execution:{event.given}", g.of_artifact[artifact.id])
                found.append(artifact)
        return found

    def _shown(
        self, execution: Execution, artifact: Artifact, counted: Mapping[str, tuple[int, int]]
    ) -> list[Artifact]:
        """The version that a curation made, and those that show some of the counted rows and were read by steps."""
        g, past = self.g, self.g.past(str(artifact.properties["dataset"]))
        made = artifact.properties["version"]
        assert isinstance(made, int)  # noqa: S101  # the ledger keeps INT properties as int
        shown = past.spans({execution.id: made})[execution.id]
        spans = {sha: span for sha, span in shown.items() if sha in counted}
        if not spans and self.taken[execution.id] is not None:
            return []
        node = f"execution:{execution.id}"
        read = [n for n in past.read_by_others if n != made and any(span.at(n) for span in spans.values())]
        few = g.few(node, "down", "TableVersion", read)
        names = [f"{past.dataset}@{number}" for number in few]
        others = g.ledger.get_artifacts(type="TableVersion", names=names) if names else []
        g.add_artifacts([artifact, *others])
        rows = sum(read - bad for read, bad in counted.values())
        g.join(node, g.of_artifact[artifact.id], *showing(rows, spans.values(), made))
        for other in others:
            number = other.properties["version"]
            assert isinstance(number, int)  # noqa: S101  # the ledger keeps INT properties as int
            rows = sum(counted[sha][0] - counted[sha][1] for sha, span in spans.items() if span.at(number))
            g.join(node, g.of_artifact[other.id], f"{nodes.rows(rows)} shown", {"rows": rows})
        return [artifact, *others]

    def _stop(self, artifacts: Sequence[Artifact], executions: Sequence[Execution]) -> None:
        """Note what one more hop would have found."""
        g = self.g
        given = {a.id: g.of_artifact[a.id] for a in artifacts}
        for identity, kinds in g.ledger.count_neighbours("artifact", given, READS).items():
            for kind, count in kinds.items():
                g.leave_out(given[identity], "down", kind, count)
        by_id = {e.id: e for e in executions if self._made_something(e)}
        given = _nodes(by_id.values())
        for identity, kinds in g.ledger.count_neighbours("execution", given, MAKES).items():
            for kind, count in kinds.items():
                if _told(by_id[identity], kind):
                    g.leave_out(given[identity], "down", kind, count)

    def _made_something(self, execution: Execution) -> bool:
        """Whether anything came of what is followed: of a raw file that a curation refused nothing did."""
        taken = self.taken[execution.id]
        return execution.type != "Curate" or taken is None or not taken.isdisjoint(self.g.counts(execution))


def _told(execution: Execution, kind: str) -> bool:
    """Whether what was made is shown: a curation's statistics are not, and its anomalies where there are any."""
    if execution.type != "Curate":
        return True
    return kind != "Statistics" and (kind != "Anomalies" or bool(execution.properties.get("anomalies")))


def _nodes(executions: Iterable[Execution]) -> dict[int, str]:
    return {execution.id: f"execution:{execution.id}" for execution in executions}


def _join_inputs(g: Gathering, read: Iterable[tuple[Execution, Artifact, EventType]]) -> None:
    """Edges from what executions read."""
    whys: dict[int, dict[str, str]] = {}
    for execution, artifact, event in read:
        source, target = g.of_artifact[artifact.id], f"execution:{execution.id}"
        if execution.type == "Curate" and artifact.type == "RawFile":
            sha = str(artifact.properties["sha256"])
            why = whys.setdefault(execution.id, refusals(execution))
            g.join(source, target, *reading(execution, event, g.counts(execution).get(sha), why.get(sha, "")))
        else:
            g.join(source, target)
