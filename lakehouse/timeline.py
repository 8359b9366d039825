"""What the ledger says of one dataset: its versions in time, and whose rows each of them shows.

A curated row is never taken back. When its raw file is curated again, or replaced by newer bytes
under the same origin, the newer execution *supersedes* it: versions from then on leave it out,
versions before still show it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.metadata.reading import milliseconds
from lakehouse.moments import moment
from lakehouse.records import Artifact, Execution, ExecutionState, Version
from lakehouse.site import Site

__all__ = ["Superseded", "Timeline", "asked", "columns", "counts", "newest", "read", "superseded", "versions_of"]

_FEW = 12  # versions listed one by one
_LOOKS, _PAUSE = 20, 0.05  # how often, and how long between (seconds), to look for a version to settle
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
        return tuple(sorted((_version(artifact) for artifact in made), key=lambda v: v.version))

    @cached_property
    def executions(self) -> tuple[Execution, ...]:
        """Every curation that completed or was refused, whatever it made."""
        found = self.ledger.get_executions(type="Curate", context=self.context)
        return tuple(e for e in found if e.state in _ENDED)

    @cached_property
    def completed(self) -> list[int]:
        """The numbers of the curations that completed."""
        found = self.ledger.get_executions(type="Curate", context=self.context, state=ExecutionState.COMPLETE, only=())
        return [execution.id for execution in found]

    @cached_property
    def in_flight(self) -> bool:
        """Whether a version is becoming visible just now (or its process was killed at that)."""
        # Only the newest can be: none begins before the one before it is settled.
        newest = self.ledger.get_executions(
            type="Curate", context=self.context, newest_first=True, limit=1, only=["plan"]
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
            type="Curate", context=self.context, newest_first=True, limit=1, only=["sequence"]
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
            type="Curate",
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
        return self.ledger.count_executions(
            type="Curate", context=self.context, having="version", until=last, ids=among
        )

    def refusing(self, limit: int | None) -> list[Execution]:
        """The newest curations that refused files, or failed: ``limit`` at most of either, with just what they say."""
        partly = self._newest(limit, saying="refused")
        return [e for e in (*partly, *self._newest(limit, state=ExecutionState.FAILED)) if e.state in _ENDED]

    def superseding(self, *, after: int | None = None) -> list[Execution]:
        """The curations that superseded others, just with that and their version; those after an execution, or all."""
        return self.ledger.get_executions(
            type="Curate", context=self.context, saying="supersedes", after=after, only=["supersedes", "version"]
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

    @property
    def context(self) -> tuple[str, str]:
        """What its records belong to in the ledger: a context's type and name."""
        return "Dataset", self.dataset

    def _newest(
        self, limit: int | None, *, saying: str | None = None, state: ExecutionState | None = None
    ) -> list[Execution]:
        return self.ledger.get_executions(
            type="Curate",
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


def read(ledger: Ledger, dataset: str) -> Timeline:
    """What the ledger knows of a dataset's past."""
    return Timeline(ledger, dataset)


def asked(
    site: Site, name: str, version: int | None = None, as_of: datetime | str | None = None
) -> tuple[Timeline, Version]:
    """A dataset's past, and the version of it that a user asks for: by number, by a moment, or the newest.

    Raises:
        NotFoundError: no such dataset or version, or none yet at that moment, or it has not come.
        ConfigError: both a version and a moment, or a moment without a time zone.
    """
    site.config.dataset(name)
    if version is not None and as_of is not None:
        raise ConfigError("give version or as_of, not both")
    when = None if as_of is None else moment(as_of, site.config.timezone, "as_of")
    past = read(site.ledger, name) if when is None else _settled(site.ledger, name)
    state = past.at(version, when)
    # The future is refused: what is known then would be another answer to the same question.
    if when is not None and when > max(site.clock(), state.committed_at):
        raise NotFoundError(f"as of {when.isoformat()} nothing is known yet; leave as_of out for the newest state")
    return past, state


def _settled(ledger: Ledger, name: str) -> Timeline:
    """The dataset's past when no version is just becoming visible.

    Such a version is stamped a moment before the ledger shows it, and a moment asked for in between
    would be answered without it now and with it later. One whose process was killed gets its stamp
    when it is carried out, so it need not be waited for any longer.
    """
    past = read(ledger, name)
    for _ in range(_LOOKS):
        if not past.in_flight:
            break
        time.sleep(_PAUSE)
        past = read(ledger, name)
    return past


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
    )


def _int(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101  # the ledger keeps INT properties as int
    return value
