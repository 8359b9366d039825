"""Curations out of the logs of their tables: by the commits' own notes, or as far as an older note goes."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from lakehouse import measured, tables, timeline
from lakehouse.config import Config
from lakehouse.curation.commit import Plan, following, quarantine_version, table_version
from lakehouse.errors import StorageError
from lakehouse.integrity.datasets import outermost
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, Context, Event, EventType, Execution, ExecutionState, Value, raw_id
from lakehouse.repair.manifests import REBUILT
from lakehouse.repair.told import Told
from lakehouse.storage import Storage
from lakehouse.tables import Commit, Made

__all__ = ["curations", "optimizations"]

_ZONES = ("curated", "quarantine")
_PLAN, _RECEIPT = "lakehouse.plan", "lakehouse.receipt"


@dataclass(slots=True)
class _Commits:
    """The commits of one curation."""

    number: int
    dataset: str
    curated: Made | None = None
    uri: str = ""
    quarantine: Made | None = None

    @property
    def any(self) -> Made:
        """The one that was made last."""
        made = self.curated or self.quarantine
        assert made is not None  # noqa: S101  # it is made for a commit
        return made


@dataclass(slots=True)
class _Past:
    """A dataset's versions so far, for what an older note leaves out."""

    generation: str = ""
    offset: int = 0
    newest: int = -1
    committed_at: datetime | None = None
    shown: dict[int, dict[str, int]] = field(default_factory=dict)

    def follow(self, receipt: Receipt) -> None:
        """Take in the curation that came next."""
        for artifact in receipt.artifacts:
            if artifact.type == "TableVersion":
                self.newest = int(str(artifact.properties["version"]))
                self.offset = self.newest - int(str(artifact.properties["table_version"]))
                self.generation = artifact.uri
                self.committed_at = datetime.fromisoformat(str(artifact.properties["committed_at"]))
        if receipt.execution.state is ExecutionState.COMPLETE:
            for old, raws in timeline.superseded(receipt.execution).items():
                for raw in list(self.shown.get(old, ())) if raws is None else raws:
                    self.shown.get(old, {}).pop(raw, None)
            self.shown[receipt.execution.id] = timeline.appended(receipt.execution)


def curations(
    storage: Storage, config: Config, known: Mapping[int, Path], raws: Collection[str], told: Told
) -> tuple[dict[int, Receipt], int]:
    """Curations that made a commit and left no receipt, by execution; and the highest number in any name.

    Args:
        storage: the lake's files.
        config: says which source a dataset's files came from, where the note does not.
        known: the receipts of those that left one.
        raws: external ids of the raw files that are known.
        told: what the receipts of others say of what these made.
    """
    found: dict[int, Receipt] = {}
    for dataset, places in _datasets(storage).items():
        by_number = _by_number(storage, dataset, places)
        if by_number.keys() <= known.keys():
            continue
        past = _Past()
        for number in sorted(by_number):
            if number in known:
                receipt = Receipt.from_json(known[number].read_bytes())
            else:
                receipt = found[number] = _curation(
                    storage, by_number[number], past, config=config, raws=raws, told=told
                )
            past.follow(receipt)
    parts = (tables.highest_execution(storage.path(zone)) for zone in _ZONES)
    return found, max(*parts, measured.highest(storage))


def _datasets(storage: Storage) -> dict[str, list[str]]:
    """The tables of each dataset, its generations in their order."""
    found: dict[str, list[str]] = {}
    for zone in _ZONES:
        for entry in outermost(storage.path(zone)):
            if tables.is_table(entry):
                uri = entry.relative_to(storage.root).as_posix()
                found.setdefault(uri.partition("/")[2].partition("~")[0], []).append(uri)
    return found


def _by_number(storage: Storage, dataset: str, places: list[str]) -> dict[int, _Commits]:
    found: dict[int, _Commits] = {}
    for uri in places:
        for made in tables.commits(storage.path(uri)):
            if made.execution is None or _optimized(made):
                continue
            commits = found.setdefault(made.execution, _Commits(made.execution, dataset))
            if uri.startswith("quarantine/"):
                commits.quarantine = made
            else:
                commits.curated, commits.uri = made, uri
    return found


def optimizations(storage: Storage, known: Mapping[int, Path]) -> dict[int, Receipt]:
    """Optimizations that made a commit and left no receipt, by execution.

    Args:
        storage: the lake's files.
        known: the receipts of those that left one.
    """
    found: dict[int, Receipt] = {}
    made: dict[int, dict[str, int]] = {}
    for uri in itertools.chain.from_iterable(_datasets(storage).values()):
        for commit in filter(_optimized, tables.commits(storage.path(uri))):
            number = commit.execution
            if number is None or number in known:
                continue
            try:
                begun = Receipt.from_json(commit.note[_RECEIPT])
            except (KeyError, ValueError):
                continue
            made.setdefault(number, {})[uri] = commit.number
            told = "from the notes of its commits; when it ended is the time of the last"
            properties: dict[str, Value] = {
                **begun.execution.properties,
                "commits": json.dumps(made[number]),
                REBUILT: told,
            }
            done = dataclasses.replace(
                begun.execution, state=ExecutionState.COMPLETE, properties=properties, updated_at=commit.at
            )
            found[number] = dataclasses.replace(begun, execution=done)
    return found


def _optimized(made: Made) -> bool:
    """Whether a commit only put parts in the place of others: it is of no curation."""
    return made.note.get("lakehouse.kind") == tables.KIND


def _curation(  # noqa: PLR0913  # as `curations`, of one
    storage: Storage, commits: _Commits, past: _Past, *, config: Config, raws: Collection[str], told: Told
) -> Receipt:
    note = commits.any.note
    try:
        begun, plan = Receipt.from_json(note[_RECEIPT]), Plan.from_json(note[_PLAN])
    except (KeyError, ValueError, TypeError):
        begun, plan = _thin(storage, config, commits, past, raws)
    execution, at = begun.execution, commits.any.at
    if plan.curated is not None and commits.curated is None:
        # Killed between its commits, and the plan is lost: nothing of it is shown, and its files are taken again.
        properties = {**execution.properties, "error": "interrupted"}
        return dataclasses.replace(
            begun,
            execution=dataclasses.replace(execution, state=ExecutionState.FAILED, properties=properties, updated_at=at),
            artifacts=tuple(a for a in begun.artifacts if a.type != "RawFile"),
        )
    outputs = []
    if commits.quarantine is not None:
        outputs.append(quarantine_version(plan, commits.quarantine.number, execution.id))
    properties = {
        REBUILT: "from the notes of its commits; when it ended is the time of the last",
        **execution.properties,
    }
    properties["plan"] = ""
    if commits.curated is not None:
        made = commits.curated
        outputs.append(table_version(plan, made.number, execution.id, following(past.committed_at, made.at)))
        properties["version"] = plan.offset + made.number
    outputs += plan.kept
    guessed = [
        dataclasses.replace(a, id=-identity, created_at=at, updated_at=at) for identity, a in enumerate(outputs, 1)
    ]
    outputs = [told.of(artifact) or artifact for artifact in guessed]
    linked = [
        *((raw, EventType.INPUT) for raw in plan.inputs),
        *((raw, EventType.DECLARED_INPUT) for raw in plan.refused),
        *((artifact.id, EventType.OUTPUT) for artifact in outputs),
    ]
    return dataclasses.replace(
        begun,
        execution=dataclasses.replace(execution, state=ExecutionState.COMPLETE, properties=properties, updated_at=at),
        artifacts=(*begun.artifacts, *outputs),
        events=(*begun.events, *(Event(artifact, execution.id, kind, at) for artifact, kind in linked)),
    )


def _thin(
    storage: Storage, config: Config, commits: _Commits, past: _Past, raws: Collection[str]
) -> tuple[Receipt, Plan]:
    """What an older note tells: the raw files and the configuration's hash; rows are counted in the tables."""
    dataset, number, made = commits.dataset, commits.number, commits.any
    read = [str(sha) for sha in json.loads(made.note.get("lakehouse.raw", "[]"))]
    kept = _counted(storage, commits.uri, number)
    rejected = _counted(storage, f"quarantine/{dataset}" if commits.quarantine else "", number)
    counts = {sha: (kept.get(sha, 0) + rejected.get(sha, 0), rejected.get(sha, 0)) for sha in read}
    fingerprint = made.note.get("lakehouse.fingerprint", "")
    properties: dict[str, Value] = {
        "fingerprint": fingerprint,
        "sequence": made.sequence,
        "read": sum(n for n, _ in counts.values()),
        "rejected": sum(n for _, n in counts.values()),
        "files": json.dumps(counts),
        "refused": "{}",
        "supersedes": made.note.get("lakehouse.supersedes", "{}"),
        REBUILT: "from the log of its table; code, machine, refused files and its run are not known",
    }
    execution = Execution("Curate", id=number, properties=properties, created_at=made.at, updated_at=made.at)
    schema = Artifact(
        "Schema",
        name=f"{dataset}:{fingerprint[:12]}",
        external_id=f"schema/{dataset}/{fingerprint}",
        properties={"dataset": dataset, "fingerprint": fingerprint},
        id=-3,
        created_at=made.at,
        updated_at=made.at,
    )
    files = [
        Artifact("RawFile", external_id=_whose(config, dataset, sha, raws), id=-at) for at, sha in enumerate(read, 4)
    ]
    begun = Receipt(
        execution,
        contexts=(Context("Dataset", dataset, created_at=made.at, updated_at=made.at),),
        artifacts=(schema, *files),
        events=(Event(schema.id, number, EventType.INPUT, made.at),),
    )
    return begun, _plan(storage, commits, past, begun)


def _plan(storage: Storage, commits: _Commits, past: _Past, begun: Receipt) -> Plan:
    """The plan of a curation by what came of it; ``past`` is before it."""
    counts = timeline.counts(begun.execution)
    halfway = commits.curated is None and any(
        any(storage.path(uri).rglob(f"{commits.number}-*.parquet"))
        for uri in _datasets(storage)[commits.dataset]
        if uri.startswith("curated/")
    )
    after = dataclasses.replace(past, shown={e: dict(of) for e, of in past.shown.items()})
    done = dataclasses.replace(begun.execution, state=ExecutionState.COMPLETE)
    after.follow(dataclasses.replace(begun, execution=done))
    nothing = Commit(commits.any.sequence, (), "", {})
    return Plan(
        dataset=commits.dataset,
        uri=commits.uri,
        offset=past.offset if commits.uri == past.generation else past.newest + 1,
        curated=nothing if commits.curated or halfway else None,
        quarantine=nothing if commits.quarantine else None,
        inputs=tuple(a.id for a in begun.artifacts if a.type == "RawFile"),
        refused=(),
        rows=commits.curated.rows if commits.curated else 0,
        total=sum(sum(of.values()) for of in after.shown.values()),
        files=len(counts),
        rejected=sum(bad for _, bad in counts.values()),
    )


def _counted(storage: Storage, uri: str, execution: int) -> dict[str, int]:
    """Rows of each raw file (sha256) that an execution put into a table; none where there is no table."""
    if not uri:
        return {}
    try:
        mine = tables.scan(storage.path(uri)).filter(pl.col("_execution") == execution)
        rows = mine.group_by("_raw").len().collect(engine="streaming").iter_rows()
    except (StorageError, pl.exceptions.PolarsError):
        return {}
    return {str(sha): int(count) for sha, count in rows}


def _whose(config: Config, dataset: str, sha256: str, raws: Collection[str]) -> str:
    """A raw file's external id; its source is one of the dataset's, unless only another one holds such a file."""
    configured = config.datasets[dataset].source_names if dataset in config.datasets else ()
    candidates = [*configured, *sorted({raw.partition("/")[0] for raw in raws} - set(configured))]
    first = raw_id(next(iter(configured), ""), sha256)
    return next((r for r in (raw_id(source, sha256) for source in candidates) if r in raws), first)
