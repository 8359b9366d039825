"""A dataset's past as the ledger tells it: its versions, and the curations that made them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from lakehouse.errors import NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.metadata.reading import milliseconds
from lakehouse.records import MAKERS, Artifact, Execution, ExecutionState, Version
from lakehouse.timeline.runs import ended, under_way

__all__ = ["Superseded", "Timeline", "appended", "columns", "counts", "newest", "read", "superseded", "versions_of"]

_FEW = 12  # versions listed one by one
_ENDED = (ExecutionState.COMPLETE, ExecutionState.FAILED)

Superseded = Mapping[int, list[str] | None]
"""Execution to the raw files (sha256) whose rows of it no longer count; None for all of them."""


@dataclass(frozen=True)
class Timeline:
    """A dataset's past, oldest first. Each part is asked of the ledger when it is first wanted, and kept then.

    Attributes:
        ledger: where it is recorded.
        dataset: whose past it is.
    """

    ledger: Ledger
    dataset: str

    @cached_property
    def versions(self) -> tuple[Version, ...]:
        """Every version."""
        made = self.ledger.get_artifacts(type="TableVersion", context=self.context)
        # What a derivation read, or codes were looked up in, belongs to its dataset's context too.
        own = (version for version in map(_version, made) if version.dataset == self.dataset)
        return tuple(sorted(own, key=lambda v: v.version))

    @cached_property
    def executions(self) -> tuple[Execution, ...]:
        """Every curation or derivation that completed or was refused, whatever it made."""
        found = self.ledger.get_executions(type=MAKERS, context=self.context)
        return tuple(e for e in found if e.state in _ENDED)

    @cached_property
    def completed(self) -> list[int]:
        """The numbers of the curations that completed."""
        found = self.ledger.get_executions(type=MAKERS, context=self.context, state=ExecutionState.COMPLETE, only=())
        return [execution.id for execution in found]

    @cached_property
    def in_flight(self) -> bool:
        """Whether a version is becoming visible just now (or its process was killed at that)."""
        # Only the newest can be: none begins before the one before it is settled.
        newest = self.ledger.get_executions(
            type=MAKERS, context=self.context, newest_first=True, limit=1, only=["plan"]
        )
        return any(e.state is ExecutionState.RUNNING and e.properties.get("plan") for e in newest)

    @cached_property
    def last(self) -> Version | None:
        """The newest version; None before the first."""
        return self._made(newest_first=True)

    @cached_property
    def sequence(self) -> int:
        """The last curation's number: the last commit's in the dataset's tables is at most this."""
        # One that failed counts too: of its two commits, the one to quarantine may have been made.
        newest = self.ledger.get_executions(
            type=MAKERS, context=self.context, newest_first=True, limit=1, only=["sequence"]
        )
        return next((_int(e.properties["sequence"]) for e in newest if "sequence" in e.properties), 0)

    def at(self, version: int | None = None, as_of: datetime | None = None) -> Version:
        """The state that was visible: at a version, at a moment, or now.

        Raises:
            NotFoundError: there was none; says which there are.
        """
        if self.last is None:
            raise NotFoundError(f"dataset '{self.dataset}' has no version yet; run `lakehouse curate {self.dataset}`")
        if version is not None:
            return self._one(version)
        return self.last if as_of is None else self._known(as_of, self.last)

    def newest(self, limit: int | None) -> tuple[Version, ...]:
        """The newest versions, ``limit`` of them at most."""
        if limit is None:
            return self.versions
        found = self.numbered(versions_of(self.making(limit=limit)).values())
        return tuple(found[number] for number in sorted(found))

    def numbered(self, numbers: Collection[int]) -> dict[int, Version]:
        """Those of these versions that there are."""
        names = [f"{self.dataset}@{number}" for number in numbers]
        found = map(_version, self.ledger.get_artifacts(type="TableVersion", names=names))
        return {version.version: version for version in found}

    def before(self, execution: int) -> Version | None:
        """The newest version that was made before an execution; None before the first."""
        return self._made(newest_first=True, last=execution - 1)

    def made_in(self, run: int) -> list[Version]:
        """The first version that was made inside a run of a job, if any was."""
        made = self.ledger.get_artifacts(
            type="TableVersion",
            context=self.context,
            filter_query=f"properties.run.int_value = {run} AND properties.dataset.string_value = '{self.dataset}'",
            limit=1,
        )
        return [_version(artifact) for artifact in made]

    def making(
        self,
        *,
        newest_first: bool = True,
        limit: int | None = None,
        last: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Execution]:
        """The curations that made a version, just with that.

        Args:
            newest_first: the order.
            limit: how many at most.
            last: the last of them at most: an execution's number.
            since: when they began, at the earliest.
            until: and at the latest.
        """
        began = [
            f"create_time_since_epoch {sign} {milliseconds(moment)}"
            for sign, moment in ((">=", since), ("<=", until))
            if moment is not None
        ]
        return self.ledger.get_executions(
            type=MAKERS,
            context=self.context,
            having="version",
            until=last,
            newest_first=newest_first,
            limit=limit,
            only=["version"],
            filter_query=" AND ".join(began) or None,
        )

    def count_making(self, *, last: int, among: Collection[int] | None = None) -> int:
        """How many curations, of those with this number or a smaller one, or of some such, made a version."""
        return self.ledger.count_executions(type=MAKERS, context=self.context, having="version", until=last, ids=among)

    def refusing(self, limit: int | None) -> list[Execution]:
        """The newest curations that refused files, or failed: ``limit`` at most of either, with just what they say."""
        partly = self._newest(limit, saying="refused")
        return [e for e in (*partly, *self._newest(limit, state=ExecutionState.FAILED)) if e.state in _ENDED]

    def superseding(self, *, after: int | None = None) -> list[Execution]:
        """The curations that superseded others, just with that and their version; those after an execution, or all."""
        return self.ledger.get_executions(
            type=MAKERS, context=self.context, saying="supersedes", after=after, only=["supersedes", "version"]
        )

    def hidden(self, version: Version, *, after: int | None = None) -> dict[int, set[str] | None]:
        """The rows a version leaves out: raw files by execution, None for a whole execution.

        Args:
            version: the version.
            after: look only at what executions after this one superseded.
        """
        found: dict[int, set[str] | None] = {}
        for execution in self.superseding(after=after):
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

    def left_out(self, frame: pl.LazyFrame, version: Version, *, after: int | None = None) -> pl.LazyFrame:
        """Of some rows those that a version leaves out, because of what executions after one superseded."""
        hidden = self.hidden(version, after=after)
        whole = pl.col("_execution").is_in([execution for execution, raws in hidden.items() if raws is None])
        rows = [(execution, raw) for execution, raws in hidden.items() for raw in raws or ()]
        gone = pl.LazyFrame(rows, schema={"_execution": pl.Int64, "_raw": pl.String}, orient="row")
        # A filter skips files and row groups by their statistics, which a join does not.
        near = frame.filter(
            pl.col("_execution").is_in({execution for execution, _ in rows}),
            pl.col("_raw").is_in({raw for _, raw in rows}),
        )
        return pl.concat([frame.filter(whole), near.join(gone, on=["_execution", "_raw"], how="semi")])

    @cached_property
    def moments(self) -> dict[int, datetime]:
        """Of every execution that made a version, from when on reads of a moment show what it made, in their order.

        What a run of a job made that is under way still counts from when it was committed.
        """
        ends = ended(self.ledger, {version.run for version in self.versions if version.run is not None})
        found: dict[int, datetime] = {}
        last: datetime | None = None
        for version in self.versions:
            own = max(version.committed_at, ends.get(version.run or 0, version.committed_at))
            last = own if last is None else max(own, last)  # it shows what those before it show
            found[version.execution] = last
        return found

    @property
    def context(self) -> tuple[str, str]:
        """What its records belong to in the ledger: a context's type and name."""
        return "Dataset", self.dataset

    def _newest(
        self, limit: int | None, *, saying: str | None = None, state: ExecutionState | None = None
    ) -> list[Execution]:
        return self.ledger.get_executions(
            type=MAKERS,
            context=self.context,
            saying=saying,
            state=state,
            newest_first=True,
            limit=limit,
            only=["error", "refused"],
        )

    def _made(self, *, newest_first: bool, last: int | None = None) -> Version | None:
        """The version that was made first or last, by an execution with this number or a smaller one."""
        found = self.numbered(versions_of(self.making(newest_first=newest_first, limit=1, last=last)).values())
        return next(iter(found.values()), None)

    def _one(self, version: int) -> Version:
        found = self.numbered([version]).get(version)
        if found is None:
            numbers = [str(v.version) for v in self.versions]
            there = ", ".join(numbers) if len(numbers) <= _FEW else f"{numbers[0]} to {numbers[-1]}"
            raise NotFoundError(f"dataset '{self.dataset}' has no version {version}; there is {there}")
        return found

    def _known(self, as_of: datetime, last: Version) -> Version:
        """The newest version that was visible at a moment.

        A version shows the rows of all before it. So one that was made inside a run that was still under way hides
        those after it too, by whomever they were made.
        """
        known = self._committed(as_of, last)
        held = self._held_back(as_of)
        if held is None or held.version > known.version:
            return known
        before = self.before(held.execution)
        if before is None:
            raise NotFoundError(
                f"dataset '{self.dataset}' did not exist as of {as_of.isoformat()}: its first version, {held.version}, "
                "was made in a run of a job that was under way then, and is visible from the run's end on"
            )
        return before

    def _held_back(self, as_of: datetime) -> Version | None:
        """The first version that was made in a run under way at a moment."""
        made = [version for run in under_way(self.ledger, as_of) for version in self.made_in(run)]
        return min(made, key=lambda version: version.version, default=None)

    def _committed(self, as_of: datetime, last: Version) -> Version:
        """The newest version committed by a moment: versions, executions and moments all grow together."""
        first = self._made(newest_first=False) or last
        if as_of < first.committed_at:
            raise NotFoundError(
                f"dataset '{self.dataset}' did not exist as of {as_of.isoformat()}; "
                f"its first version, {first.version}, is from {first.committed_at.isoformat()}"
            )
        known, seen, later = first, first.execution, last.execution + 1
        while later - seen > 1:
            middle = (seen + later) // 2
            found = self._made(newest_first=True, last=middle) or first
            if found.committed_at <= as_of:
                known, seen = found, middle
            else:
                later = found.execution
        return known


def superseded(execution: Execution) -> Superseded:
    """What a curation superseded."""
    text = execution.properties.get("supersedes", "")
    return {int(old): raws for old, raws in json.loads(str(text)).items()} if text else {}


def versions_of(executions: Collection[Execution]) -> dict[int, int]:
    """The version that each of these curations made."""
    return {execution.id: _int(execution.properties["version"]) for execution in executions}


def counts(execution: Execution) -> dict[str, tuple[int, int]]:
    """Rows read and rows rejected of each raw file (sha256) of a curation."""
    text = execution.properties.get("files", "")
    return {sha: (read, rejected) for sha, (read, rejected) in json.loads(str(text)).items()} if text else {}


def appended(execution: Execution) -> dict[str, int]:
    """Rows that a curation appended for each raw file (sha256): of snapshots these are not all that were valid."""
    kept = {sha: read - rejected for sha, (read, rejected) in counts(execution).items()}
    text = execution.properties.get("appended", "")
    return {**kept, **json.loads(str(text))} if text else kept


def read(ledger: Ledger, dataset: str) -> Timeline:
    """What the ledger knows of a dataset's past."""
    return Timeline(ledger, dataset)


def columns(ledger: Ledger, dataset: str) -> list[str] | None:
    """Every column a dataset ever had; None where that is not known, as it takes new ones along."""
    schemas = ledger.get_artifacts(type="Schema", context=("Dataset", dataset))
    known = [json.loads(str(schema.properties.get("columns", '{"*":{}}'))) for schema in schemas]
    names = list(dict.fromkeys(name for columns in known for name in columns))
    return None if "*" in names else names


def newest(ledger: Ledger, datasets: Collection[str]) -> dict[str, Version]:
    """The newest version of each of these datasets that has one."""
    names = [f"{dataset}@{version}" for dataset, version in ledger.newest_versions(datasets).items()]
    found = map(_version, ledger.get_artifacts(type="TableVersion", names=names))
    return {version.dataset: version for version in found}


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
        anomalies=_int(p["anomalies"]) if "anomalies" in p else None,
        history=str(p.get("history", "events")),  # type: ignore[arg-type]  # one of the three is written
        keys=tuple(json.loads(str(p.get("keys", "[]")))),
        width=_int(p["width"]) if "width" in p else None,
        run=_int(p["run"]) if "run" in p else None,
    )


def _int(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101  # the ledger keeps INT properties as int
    return value
