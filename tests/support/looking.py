"""What a dataset has to read, reckoned the slow way: from every raw file, sighting and curation there is."""

from __future__ import annotations

import dataclasses
import json

from lakehouse.metadata import Ledger
from lakehouse.records import EventType, Execution, ExecutionState


@dataclasses.dataclass
class Reckoned:
    """The answers of `lakehouse.curation.pending.look`, under its names; contents are sha256."""

    files: list[str]
    refused: int
    visible: set[tuple[int, str]]
    foreign: set[tuple[int, str]]
    live: set[str]
    earlier: dict[str, set[str]]
    left: int

    def replaced(self, read: set[str], *, anew: bool = False) -> set[tuple[int, str]]:
        """The rows that no longer count once these contents are curated."""
        if anew:
            return self.visible
        here = read | {sha for _, sha in self.visible}
        old = {sha for new in here for sha in self.earlier.get(new, ()) if sha not in self.live}
        return {rows for rows in self.visible - self.foreign if rows[1] in old | read}

    def superseded(self, gone: set[tuple[int, str]]) -> dict[int, list[str] | None]:
        """The same by execution; None where nothing of it is left."""
        kept = {execution for execution, _ in self.visible - gone}
        return {
            execution: sorted(sha for e, sha in gone if e == execution) if execution in kept else None
            for execution in sorted({execution for execution, _ in gone})
        }


def reckon(ledger: Ledger, source: str, dataset: str, fingerprint: str, *, again: bool = False) -> Reckoned:
    """Look at everything."""
    raw = {a.id: str(a.properties["sha256"]) for a in ledger.get_artifacts(type="RawFile", context=("Source", source))}
    names = {a.id: str(a.properties["sha256"]) for a in ledger.get_artifacts(type="RawFile")}
    lay: dict[str, list[str]] = {}
    for sighting in ledger.all_sightings(source):
        lay.setdefault(sighting.origin, []).append(sighting.sha256)
    live = {contents[-1] for contents in lay.values()}
    earlier: dict[str, set[str]] = {}
    for contents in lay.values():
        earlier.setdefault(contents[-1], set()).update(set(contents) - {contents[-1]})
    past = ledger.get_executions(type="Curate", context=("Dataset", dataset))
    ended = {e.id: e for e in past if e.state in (ExecutionState.COMPLETE, ExecutionState.FAILED)}
    hidden = _hidden(list(ended.values()))
    visible, foreign, refused = set(), set(), set()
    for event in ledger.get_events(execution_ids=list(ended)):
        execution, sha = ended[event.execution_id], names.get(event.artifact_id)
        if event.type is EventType.INPUT and execution.state is ExecutionState.COMPLETE and sha is not None:
            if (execution.id, None) not in hidden and (execution.id, sha) not in hidden:
                visible.add((execution.id, sha))
                if event.artifact_id not in raw:
                    foreign.add((execution.id, sha))
        elif event.type is EventType.DECLARED_INPUT and execution.properties["fingerprint"] == fingerprint:
            refused |= {raw[event.artifact_id]} if event.artifact_id in raw else set()
    wanted = live & set(raw.values())
    if not again:
        wanted -= {sha for _, sha in visible - foreign}
    left_out = set() if again else wanted & refused
    return Reckoned(
        sorted(wanted - left_out, key=lambda sha: min(o for o, contents in lay.items() if contents[-1] == sha)),
        len(left_out),
        visible,
        foreign,
        live,
        earlier,
        len({sha for e, sha in visible if ended[e].properties["fingerprint"] != fingerprint}),
    )


def _hidden(executions: list[Execution]) -> set[tuple[int, str | None]]:
    return {
        (int(old), sha)
        for execution in executions
        if "version" in execution.properties
        for old, contents in json.loads(str(execution.properties.get("supersedes") or "{}")).items()
        for sha in (contents or [None])
    }
