"""What the ledger says of one dataset: its versions in time, and whose rows each of them shows.

A curated row is never taken back. When its raw file is curated again, or replaced by newer bytes
under the same origin, the newer execution *supersedes* it: versions from then on leave it out,
versions before still show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from lakehouse.errors import NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, EventType, Execution, ExecutionState, Version

__all__ = ["Superseded", "Timeline", "counts", "curated_by", "read", "superseded"]

_FEW = 12  # versions listed one by one

Superseded = Mapping[int, list[str] | None]
"""Execution to the raw files (sha256) whose rows of it no longer count; None for all of them."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A dataset's past, oldest first.

    Attributes:
        versions: every version.
        executions: every curation that completed or was refused, whatever it made.
        in_flight: whether a version is becoming visible just now (or its process was killed at that).
    """

    dataset: str
    versions: tuple[Version, ...]
    executions: tuple[Execution, ...]
    in_flight: bool = False

    @property
    def last(self) -> Version | None:
        """The newest version; None before the first."""
        return self.versions[-1] if self.versions else None

    @property
    def sequence(self) -> int:
        """How many curations completed: the last commit's number in the dataset's tables is at most this."""
        numbers = [e.properties.get("sequence") for e in self.executions if e.state is ExecutionState.COMPLETE]
        return max((n for n in numbers if isinstance(n, int)), default=0)

    def at(self, version: int | None = None, as_of: datetime | None = None) -> Version:
        """The state that was visible: at a version, at a moment, or now.

        Raises:
            NotFoundError: there was none; says which there are.
        """
        if not self.versions:
            raise NotFoundError(f"dataset '{self.dataset}' has no version yet; run `lakehouse curate {self.dataset}`")
        first, last = self.versions[0], self.versions[-1]
        if version is not None:
            found = next((v for v in self.versions if v.version == version), None)
            if found is None:
                numbers = [str(v.version) for v in self.versions]
                there = ", ".join(numbers) if len(numbers) <= _FEW else f"{numbers[0]} to {numbers[-1]}"
                raise NotFoundError(f"dataset '{self.dataset}' has no version {version}; there is {there}")
            return found
        if as_of is None:
            return last
        known = [v for v in self.versions if v.committed_at <= as_of]
        if not known:
            raise NotFoundError(
                f"dataset '{self.dataset}' did not exist as of {as_of.isoformat()}; "
                f"its first version, {first.version}, is from {first.committed_at.isoformat()}"
            )
        return known[-1]

    def hidden(self, version: Version) -> dict[int, set[str] | None]:
        """The rows a version leaves out: raw files by execution, None for a whole execution."""
        found: dict[int, set[str] | None] = {}
        for execution in self.executions:
            made = execution.properties.get("version")
            if not isinstance(made, int) or made > version.version:
                continue
            for old, raws in superseded(execution).items():
                before = found.get(old, set())
                found[old] = None if raws is None or before is None else {*before, *raws}
        return found

    def visible(self, frame: pl.LazyFrame, version: Version) -> pl.LazyFrame:
        """A scan of the version's table without the rows it leaves out."""
        hidden = self.hidden(version)
        whole = [execution for execution, raws in hidden.items() if raws is None]
        if whole:
            frame = frame.filter(~pl.col("_execution").is_in(whole))
        rows = [(execution, raw) for execution, raws in hidden.items() for raw in raws or ()]
        if rows:
            gone = pl.LazyFrame(rows, schema={"_execution": pl.Int64, "_raw": pl.String}, orient="row")
            frame = frame.join(gone, on=["_execution", "_raw"], how="anti", maintain_order="left")
        return frame


def superseded(execution: Execution) -> Superseded:
    """What a curation superseded."""
    text = execution.properties.get("supersedes", "")
    return {int(old): raws for old, raws in json.loads(str(text)).items()} if text else {}


def counts(execution: Execution) -> dict[str, tuple[int, int]]:
    """Rows read and rows rejected of each raw file (sha256) of a curation."""
    text = execution.properties.get("files", "")
    return {sha: (read, rejected) for sha, (read, rejected) in json.loads(str(text)).items()} if text else {}


def read(ledger: Ledger, dataset: str) -> Timeline:
    """Everything the ledger knows of a dataset's past."""
    executions = ledger.get_executions(type="Curate", context=("Dataset", dataset))
    ended = [e for e in executions if e.state in (ExecutionState.COMPLETE, ExecutionState.FAILED)]
    in_flight = any(e.state is ExecutionState.RUNNING and e.properties.get("plan") for e in executions)
    made = ledger.get_artifacts(type="TableVersion", context=("Dataset", dataset))
    versions = sorted((_version(artifact) for artifact in made), key=lambda v: v.version)
    return Timeline(dataset, tuple(versions), tuple(ended), in_flight)


def curated_by(ledger: Ledger, executions: Iterable[Execution], kind: EventType) -> dict[int, list[int]]:
    """Raw artifact id to the executions that touched it in one way, oldest first."""
    found: dict[int, list[int]] = {}
    for event in ledger.get_events(execution_ids=[e.id for e in executions], types=[kind]):
        found.setdefault(event.artifact_id, []).append(event.execution_id)
    return found


def _version(artifact: Artifact) -> Version:
    p = artifact.properties
    return Version(
        dataset=str(p["dataset"]),
        version=_int(p["version"]),
        committed_at=datetime.fromisoformat(str(p["committed_at"])),
        execution=_int(p["execution"]),
        rows=_int(p["rows"]),
        total=_int(p["total"]),
        rejected=_int(p["rejected"]),
        files=_int(p["files"]),
        uri=artifact.uri,
        table_version=_int(p["table_version"]),
    )


def _int(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101  # the ledger keeps INT properties as int
    return value
