"""Gathering a lineage out of the ledger, in bulk queries."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lakehouse import timeline
from lakehouse.errors import NotFoundError, nearest
from lakehouse.lineage.drawing import Edge, Lineage, Node
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Value, Version, printable
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["FORMS", "Graph"]

FORMS = "write aviation/flights, aviation/flights@12, execution:17, or a raw file's sha256 (at least 8 characters)"
_LISTED = 10  # raw files named where several are meant
_HASH = 12  # characters of a hash in labels


@dataclass(frozen=True, slots=True)
class _Shown:
    """From which version to which a curation's rows of one raw file count; ``last`` None: still."""

    first: int
    last: int | None

    def at(self, version: int) -> bool:
        return self.first <= version and (self.last is None or version <= self.last)

    def __str__(self) -> str:
        if self.last is None:
            return f"since version {self.first}"
        return f"in version {self.first}" if self.first == self.last else f"in versions {self.first} to {self.last}"


def _shown(past: Timeline) -> dict[int, dict[str, _Shown]]:
    """By execution and raw file (sha256), the versions that show its rows."""
    curated = [e for e in past.executions if e.state is ExecutionState.COMPLETE]
    made = {e.id: e.properties.get("version") for e in curated}
    reads = {e.id: timeline.counts(e) for e in curated}
    numbers = [v.version for v in past.versions]
    gone: dict[tuple[int, str], int] = {}
    for execution in curated:
        version = made[execution.id]
        if not isinstance(version, int):
            continue
        before = max((n for n in numbers if n < version), default=version)
        for old, raws in timeline.superseded(execution).items():
            for sha in reads.get(old, ()) if raws is None else raws:
                gone[old, sha] = min(before, gone.get((old, sha), before))
    return {
        identity: {sha: _Shown(version, gone.get((identity, sha))) for sha in reads[identity]}
        for identity, version in made.items()
        if isinstance(version, int)
    }


class Graph:
    """A lineage being gathered."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.ledger = site.ledger
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.raws: dict[int, Artifact] = {}

    def of_version(self, name: str, version: str) -> Lineage:
        """A dataset's version, the newest when none is given."""
        known = {*self.site.config.datasets, *(c.name for c in self.ledger.get_contexts(type="Dataset"))}
        if name not in known:
            raise NotFoundError(f"no dataset '{printable(name)}'.{nearest(name, known)}")
        if version and not version.isdecimal():
            raise NotFoundError(f"'{printable(version)}' is no version of '{name}'; {FORMS}")
        past = timeline.read(self.ledger, name)
        state = past.at(int(version) if version else None)
        focus = self._version(state)
        shown = _shown(past)
        makers = [e for e in past.executions if e.id == state.execution or _counts_at(shown.get(e.id), state.version)]
        for execution in makers:
            self._join(_execution_id(execution.id), focus)
        self._before_curations(makers, {e.id: shown[e.id] for e in makers if e.id in shown}, state.version)
        return self._done(focus)

    def of_execution(self, identity: int) -> Lineage:
        """One execution, with what it read and made."""
        found = self.ledger.get_executions(ids=[identity])
        if not found:
            newest = self.ledger.get_executions(newest_first=True, limit=1)
            hint = f"the newest is execution:{newest[0].id}" if newest else "nothing ran in this lake yet"
            raise NotFoundError(f"there is no execution {identity}; {hint}")
        execution = found[0]
        if execution.type == "Land":
            self._lands(found)
            events = self.ledger.get_events(execution_ids=[identity], types=[EventType.OUTPUT])
            self._add_raws(self.ledger.get_artifacts(ids=[event.artifact_id for event in events]))
            for event in events:
                self._join(_execution_id(identity), _raw_id(self.raws[event.artifact_id]))
            self._after_raws()
        else:
            self._before_curations(found, {}, None)
            self._after_curations(found, None)
        return self._done(_execution_id(identity))

    def of_raw(self, prefix: str) -> Lineage:
        """One content; the same bytes under several sources are shown together."""
        every = self.ledger.get_artifacts(type="RawFile")
        found = [a for a in every if str(a.properties["sha256"]).startswith(prefix)]
        contents = {str(a.properties["sha256"]): a for a in found}
        if not found:
            raise NotFoundError(f"no raw file's sha256 starts with '{prefix}'; {len(every):,} raw files are known")
        if len(contents) > 1:
            some = ", ".join(
                f"{sha} ({printable(str(a.properties['name']))})" for sha, a in list(contents.items())[:_LISTED]
            )
            raise NotFoundError(f"'{prefix}' begins {len(contents)} raw files: {some}. Write more of the one you mean")
        self._add_raws(found)
        self._before_raws()
        self._after_raws()
        return self._done(*(_raw_id(artifact) for artifact in found))

    def _done(self, *focus: str) -> Lineage:
        order = ("Source", "Job", "Run", "Land", "RawFile", "Schema", "Curate", "QuarantineVersion", "TableVersion")
        nodes = sorted(self.nodes.values(), key=lambda node: (order.index(node.kind), *_place(node)))
        place = {node.id: at for at, node in enumerate(nodes)}
        edges = sorted(self.edges.values(), key=lambda edge: (place[edge.source], place[edge.target]))
        return Lineage(focus, tuple(nodes), tuple(edges))

    def _add(self, kind: str, identity: str, label: str, properties: Mapping[str, Value] | None = None) -> str:
        if identity not in self.nodes:
            self.nodes[identity] = Node(kind, identity, _line(label), properties or {})
        return identity

    def _join(self, source: str, target: str, label: str = "") -> None:
        self.edges.setdefault((source, target), Edge(source, target, _line(label)))

    def _before_curations(
        self, executions: Sequence[Execution], shown: Mapping[int, Mapping[str, _Shown]], version: int | None
    ) -> None:
        """What curations read: raw files (at a version: those whose rows it shows), schema, run; and before."""
        events = self.ledger.get_events(
            execution_ids=[e.id for e in executions], types=[EventType.INPUT, EventType.DECLARED_INPUT]
        )
        artifacts = {a.id: a for a in self.ledger.get_artifacts(ids={event.artifact_id for event in events})}
        by_id = {execution.id: execution for execution in executions}
        for execution in executions:
            self._curation(execution)
        self._contexts(executions)
        reads = {e.id: timeline.counts(e) for e in executions}
        whys = {e.id: _refusals(e) for e in executions}
        used = []
        for event in events:
            artifact, one = artifacts[event.artifact_id], event.execution_id
            if artifact.type == "Schema":
                self._join(self._schema(artifact), _execution_id(one))
                continue
            sha = str(artifact.properties.get("sha256", ""))
            if version is not None and not (sha in shown.get(one, {}) and shown[one][sha].at(version)):
                continue
            used.append((artifact, one, sha, event.type))
        self._add_raws(artifact for artifact, *_ in used)
        for artifact, one, sha, kind in used:
            self._join(_raw_id(artifact), _execution_id(one), _reading(kind, sha, reads[one], whys[one], by_id[one]))
        self._before_raws()

    def _before_raws(self) -> None:
        """The landings that stored or saw the raw files so far, their sources and runs."""
        events = self.ledger.get_events(artifact_ids=list(self.raws), types=[EventType.OUTPUT])
        self._lands(self.ledger.get_executions(ids={event.execution_id for event in events}, type="Land"))
        for event in events:
            self._join(_execution_id(event.execution_id), _raw_id(self.raws[event.artifact_id]))

    def _after_raws(self) -> None:
        """The curations that read or refused the raw files so far, and what came of that."""
        events = self.ledger.get_events(artifact_ids=list(self.raws), types=[EventType.INPUT, EventType.DECLARED_INPUT])
        executions = self.ledger.get_executions(ids={event.execution_id for event in events})
        by_id = {execution.id: execution for execution in executions}
        for execution in executions:
            self._curation(execution)
        reads = {e.id: timeline.counts(e) for e in executions}
        whys = {e.id: _refusals(e) for e in executions}
        taken: set[tuple[int, str]] = set()
        for event in events:
            artifact, one = self.raws[event.artifact_id], event.execution_id
            sha = str(artifact.properties["sha256"])
            taken.add((one, sha))
            label = _reading(event.type, sha, reads[one], whys[one], by_id[one])
            self._join(_raw_id(artifact), _execution_id(one), label)
        self._after_curations(executions, taken)

    def _after_curations(self, executions: Sequence[Execution], taken: Collection[tuple[int, str]] | None) -> None:
        """The versions that curations made and where their rows (of the files ``taken``, or all) are shown."""
        ids = [execution.id for execution in executions]
        events = self.ledger.get_events(execution_ids=ids, types=[EventType.OUTPUT])
        made = {a.id: a for a in self.ledger.get_artifacts(ids={event.artifact_id for event in events})}
        pasts = {
            name: timeline.read(self.ledger, name)
            for name in dict.fromkeys(str(a.properties.get("dataset", "")) for a in made.values())
            if name
        }
        shown = {name: _shown(past) for name, past in pasts.items()}
        reads = {e.id: timeline.counts(e) for e in executions}
        for event in events:
            artifact, one = made[event.artifact_id], event.execution_id
            name = str(artifact.properties.get("dataset", ""))
            counted = {sha: n for sha, n in reads[one].items() if taken is None or (one, sha) in taken}
            if artifact.type == "QuarantineVersion":
                rejected = sum(bad for _, bad in counted.values())
                if rejected:
                    self._join(_execution_id(one), self._quarantine(artifact), f"{_rows(rejected)} rejected")
            elif artifact.type == "TableVersion":
                state = next(v for v in pasts[name].versions if v.version == artifact.properties["version"])
                spans = [s for sha, s in shown[name].get(one, {}).items() if sha in counted]
                if spans or taken is None:
                    rows = sum(read - bad for read, bad in counted.values())
                    self._join(
                        _execution_id(one), self._version(state), f"{_rows(rows)}, shown {_overall(spans, state)}"
                    )

    def _lands(self, executions: Sequence[Execution]) -> None:
        for execution in executions:
            files, new = execution.properties.get("files", 0), execution.properties.get("new", 0)
            self._execution(execution, f"{_counted(files, 'file')} seen, {new} new")
        self._contexts(executions)

    def _curation(self, execution: Execution) -> None:
        p = execution.properties
        fingerprint = str(p.get("fingerprint", ""))[:_HASH]
        if execution.state is ExecutionState.COMPLETE:
            what = f"read {_rows(p.get('read', 0))}, rejected {p.get('rejected', 0)}"
        else:
            what = str(p.get("error", "")).partition(". ")[0][:200]
        self._execution(execution, f"{what}, configuration {fingerprint}")

    def _execution(self, execution: Execution, what: str) -> None:
        state = "" if execution.state is ExecutionState.COMPLETE else f" ({execution.state.name.lower()})"
        when = f", {execution.created_at:%Y-%m-%d %H:%M:%S} UTC" if execution.created_at else ""
        code = str(execution.properties.get("code_version", ""))
        label = f"{execution.type} execution:{execution.id}{state}: {what}, code {code[:_HASH] or 'unknown'}{when}"
        properties: dict[str, Value] = {k: v for k, v in execution.properties.items() if k != "plan"}
        properties["state"] = execution.state.name
        if execution.created_at:
            properties["created_at"] = execution.created_at.isoformat()
        self._add(execution.type, _execution_id(execution.id), label, properties)

    def _contexts(self, executions: Iterable[Execution]) -> None:
        """The source, run and job that executions belong to."""
        for execution, contexts in self.ledger.get_contexts_of([e.id for e in executions]).items():
            found: dict[str, Context] = {c.type: c for c in contexts}
            for kind in ("Source", "Run"):
                if kind in found:
                    identity = self._add(kind, f"{kind.lower()}:{found[kind].name}", f"{kind} {found[kind].name}")
                    self._join(identity, _execution_id(execution))
            if "Run" in found and "Job" in found:
                job = self._add("Job", f"job:{found['Job'].name}", f"Job {found['Job'].name}")
                self._join(job, f"run:{found['Run'].name}")

    def _add_raws(self, artifacts: Iterable[Artifact]) -> None:
        new = {a.id: a for a in artifacts if a.type == "RawFile" and a.id not in self.raws}
        self.raws |= new
        origins: dict[tuple[str, str], dict[str, None]] = {}
        hashes = {str(a.properties["sha256"]) for a in new.values()}
        for sighting in self.ledger.all_sightings(None, hashes) if new else ():
            origins.setdefault((sighting.source, sighting.sha256), {})[sighting.origin] = None
        for artifact in new.values():
            p = artifact.properties
            sha, seen = str(p["sha256"]), list(origins.get((str(p["source"]), str(p["sha256"])), ()))
            label = f"RawFile {p['name']} ({sha[:_HASH]}, {p['size']:,} bytes)"
            if seen:
                label += f" from {seen[0]}" + (f" and {len(seen) - 1} more" if len(seen) > 1 else "")
            self._add("RawFile", _raw_id(artifact), label, {**p, "uri": artifact.uri, "origins": seen})

    def _schema(self, artifact: Artifact) -> str:
        return self._add("Schema", f"schema:{artifact.id}", f"Schema {artifact.name}", artifact.properties)

    def _quarantine(self, artifact: Artifact) -> str:
        p = artifact.properties
        label = f"QuarantineVersion {artifact.name}: {_rows(p.get('rows', 0))}"
        return self._add("QuarantineVersion", f"quarantine:{artifact.name}", label, {**p, "uri": artifact.uri})

    def _version(self, state: Version) -> str:
        name = f"{state.dataset}@{state.version}"
        label = (
            f"TableVersion {name}: {_rows(state.total)} visible, {state.rows:,} of them new, "
            f"{state.committed_at:%Y-%m-%d %H:%M:%S} UTC"
        )
        properties: dict[str, Value] = {
            "dataset": state.dataset,
            "version": state.version,
            "committed_at": state.committed_at.isoformat(),
            "rows": state.rows,
            "total": state.total,
            "rejected": state.rejected,
            "files": state.files,
            "uri": state.uri,
            "table_version": state.table_version,
        }
        return self._add("TableVersion", name, label, properties)


def _execution_id(number: int) -> str:
    return f"execution:{number}"


def _raw_id(artifact: Artifact) -> str:
    return f"raw:{artifact.properties['source']}/{artifact.properties['sha256']}"


def _line(text: str) -> str:
    return printable(text)


def _counted(count: object, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}" if isinstance(count, int) else f"{count} {what}s"


def _rows(count: object) -> str:
    return _counted(count, "row")


def _place(node: Node) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Where a node stands among its kind: raw files by their name, all others by their id."""
    name = str(node.properties["name"]) if node.kind == "RawFile" else ""
    return _natural(name), _natural(node.id)


def _natural(text: str) -> list[tuple[int, str]]:
    """A key that puts execution:9 before execution:10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,12})", text)]


def _counts_at(shown: Mapping[str, _Shown] | None, version: int) -> bool:
    return shown is not None and any(span.at(version) for span in shown.values())


def _overall(spans: Sequence[_Shown], state: Version) -> str:
    """The versions in which anything of several spans is shown."""
    if not spans:
        return f"in version {state.version}"
    lasts = [span.last for span in spans if span.last is not None]
    return str(_Shown(min(s.first for s in spans), max(lasts) if len(lasts) == len(spans) else None))


def _refusals(execution: Execution) -> dict[str, str]:
    text = str(execution.properties.get("refused", ""))
    found: dict[str, str] = json.loads(text) if text else {}
    return found


def _reading(
    kind: EventType, sha: str, reads: Mapping[str, tuple[int, int]], why: Mapping[str, str], execution: Execution
) -> str:
    """How a curation met a raw file."""
    if kind is EventType.DECLARED_INPUT:
        return f"refused: {why.get(sha) or execution.properties.get('error', 'no reason was recorded')}"
    read, rejected = reads.get(sha, (0, 0))
    return f"{_rows(read)} read" + (f", {rejected:,} rejected" if rejected else "")
