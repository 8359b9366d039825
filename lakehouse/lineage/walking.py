"""The two walks: from artifacts to the executions that made them and what those read, and the other way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from lakehouse import timeline
from lakehouse.lineage import nodes
from lakehouse.lineage.gathering import Gathering, reading, refusals, showing
from lakehouse.metadata import MAKES, READS, Neighbour
from lakehouse.records import MAKERS, Artifact, EventType, Execution, raw_id
from lakehouse.timeline.runs import RUN

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
        """The schemas and code tables, and of the raw files only those whose rows a version shows."""
        g = self.g
        ids = _nodes(executions)
        others = g.ledger.neighbours("execution", ids, [EventType.INPUT], apart_from=["RawFile"])
        other = g.artifacts(others)
        sources = self._sources(ids, [(event.given, other[event.id]) for event in others])
        wanted: list[tuple[Execution, str]] = []
        for execution in executions:
            new = self._new(execution.id) or set()
            shas = [sha for sha in g.counts(execution) if sha in new][: g.bounds.limit]
            if len(shas) < len(new):
                g.leave_out(f"execution:{execution.id}", "up", "RawFile", len(new) - len(shas))
            wanted += [(execution, raw_id(source, sha)) for source in sources.get(execution.id, ()) for sha in shas]
        raw = {a.external_id: a for a in g.ledger.get_artifacts(external_ids={external for _, external in wanted})}
        read = [(execution, raw[external]) for execution, external in wanted if external in raw]
        # Where a curation read several sources, each may have landed these bytes, and one of them was read.
        doubtful = {e.id for e, _ in read if len(sources[e.id]) > 1}
        events = (
            g.ledger.get_events(artifact_ids={a.id for e, a in read if e.id in doubtful}, types=[EventType.INPUT])
            if doubtful
            else []
        )
        linked = {(event.execution_id, event.artifact_id) for event in events}
        read = [(e, a) for e, a in read if e.id not in doubtful or (e.id, a.id) in linked]
        g.add_artifacts(artifact for _, artifact in read)
        by_id = {execution.id: execution for execution in executions}
        _join_inputs(g, [(by_id[event.given], other[event.id], event.event) for event in others])
        _join_inputs(g, [(execution, artifact, EventType.INPUT) for execution, artifact in read])
        return [*(artifact for _, artifact in read), *other.values()]

    def _sources(self, ids: Mapping[int, str], read: Iterable[tuple[int, Artifact]]) -> dict[int, list[str]]:
        """The sources whose files curations read, by their schemas; of older records by their first raw file."""
        found: dict[int, list[str]] = {}
        for execution, artifact in read:
            if artifact.type == "Schema" and "source" in artifact.properties:
                found.setdefault(execution, []).append(str(artifact.properties["source"]))
        if older := {identity: node for identity, node in ids.items() if identity not in found}:
            for event in self.g.ledger.neighbours("execution", older, [EventType.INPUT], limit=1):
                if event.kind == "RawFile":
                    found[event.given] = [str(event.external_id).rpartition("/")[0]]
        return found

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
            artifacts, executions = self._outputs(executions), [*self._readers(artifacts), *self._steps(executions)]

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
        curations = [execution for execution in executions if execution.type in MAKERS]
        others = [execution for execution in executions if execution.type not in ("Land", *MAKERS)]
        events = [
            *self._landed(landings),
            *self.g.neighbours("down", "execution", _nodes(others), MAKES),
        ]
        found = self.g.artifacts(events)
        for event in events:
            self.g.join(f"execution:{event.given}", self.g.of_artifact[event.id])
        return [*found.values(), *self._curated(curations)]

    def _steps(self, executions: Iterable[Execution]) -> list[Execution]:
        """The landings and curations of runs of jobs."""
        g, found = self.g, []
        for run in executions:
            node, every = f"execution:{run.id}", _steps(g, run)
            for kind in dict.fromkeys(step.type for step in every):
                alike = [step for step in every if step.type == kind]
                kept = [step for step in alike if g.bounds.within(step)][: g.bounds.limit]
                if left := len(alike) - len(kept):
                    g.leave_out(node, "down", kind, left)
                found += kept
                g.add_executions(kept)
                for step in kept:
                    g.join(node, f"execution:{step.id}")
        self.taken |= dict.fromkeys((step.id for step in found), None)
        return found

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
        if past.derived:  # each version is a derivation's own: those after it were made without this one
            g.add_artifacts([artifact])
            rows = sum(read - bad for read, bad in counted.values())
            told = showing(rows, [past.until_the_next(made)], made)
            g.join(f"execution:{execution.id}", g.of_artifact[artifact.id], *told)
            return [artifact]
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
        for run in executions:
            for kind, steps in Counter(step.type for step in _steps(g, run)).items():
                g.leave_out(f"execution:{run.id}", "down", kind, steps)
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
    if execution.type not in MAKERS:
        return True
    return kind != "Statistics" and (kind != "Anomalies" or bool(execution.properties.get("anomalies")))


def _steps(g: Gathering, execution: Execution) -> list[Execution]:
    """The executions that belong to a run, if this is one. One that was deleted leads nowhere."""
    if execution.type != RUN or "run" not in execution.properties:
        return []
    every = g.ledger.get_executions(context=("Run", str(execution.properties["run"])))
    return [step for step in every if step.id != execution.id]


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
