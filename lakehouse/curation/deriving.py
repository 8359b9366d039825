"""Derivation: the state of other datasets becomes the state of this one, by a query or a function.

The result is written to the work folder as one file, and loaded like a snapshot that nobody landed: typed and checked
by the schema, held against the state before, and what it changes is appended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import columns, measured, timeline, units, views
from lakehouse.config import Dataset, derivation
from lakehouse.curation import commit, measuring, planning, snapshots
from lakehouse.curation.arrivals import Arrival
from lakehouse.curation.batch import PolarsError, Written, write
from lakehouse.curation.outcome import raise_if_disk
from lakehouse.curation.pending import Rows, Together
from lakehouse.curation.planning import Batch, Given
from lakehouse.curation.reasons import commonest
from lakehouse.curation.stamping import Stamp
from lakehouse.curation.summary import counted, summary
from lakehouse.environment import code_hash
from lakehouse.errors import ConfigError, LakehouseError, NotFoundError, SchemaError, StorageError
from lakehouse.faults import point
from lakehouse.formats import FORMATS, Raw
from lakehouse.records import (
    Artifact,
    Context,
    Curated,
    EventType,
    Execution,
    ExecutionState,
    Note,
    Value,
    Version,
    printable,
)
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.validation import Mapping

__all__ = ["KIND", "derive"]

KIND = "Derive"
"""The type of a derivation's execution."""

_TOLD = 3  # reasons of rejected rows, the most frequent ones, in a message
_RESULT = ""
"""What takes the place of a raw file's hash where rows are counted: they are of none."""


@dataclass(frozen=True, slots=True)
class _Derived(Batch):
    """A derivation whose record has begun. ``before`` are the executions whose rows no longer count."""

    before: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        return KIND

    def inputs(self, written: Written) -> tuple[int, ...]:  # noqa: ARG002  # they are linked since it began
        return ()

    def raws(self) -> list[Artifact]:
        return []

    def replaced(self, written: Written) -> frozenset[Rows]:  # noqa: ARG002  # all or nothing
        return frozenset((execution, _RESULT) for execution in self.before)

    def superseded(self, written: Written) -> dict[int, list[str] | None]:  # noqa: ARG002  # as above
        return dict.fromkeys(self.before)


def derive(site: Site, dataset: Dataset, work: Path, *, again: bool) -> Curated:
    """Derive a dataset anew, where an input, its configuration or its code is another than the last time.

    Args:
        site: the opened lake, with the dataset locked.
        dataset: the derived dataset.
        work: an empty folder on the lake's disk.
        again: derive it in any case; into a new table where its schema no longer fits the old one.

    Raises:
        NotFoundError: an input has no version yet.
        ConfigError: its function cannot be loaded.
        SchemaError: the query or function failed, or its result is refused as a whole; nothing of it was appended.
        StorageError: the disk refused; nothing half-written is visible.
        CommitError: another process got there first; safe to run again.
    """
    return _Derivation(site, dataset, work).run(again=again)


class _Derivation:
    """One derivation under way."""

    def __init__(self, site: Site, dataset: Dataset, work: Path) -> None:
        self.site = site
        self.dataset = dataset
        self.work = work
        self.about = Context("Dataset", dataset.name)
        self.function = derivation(dataset, site.config.project)
        self.code = "" if dataset.sql is not None else code_hash(self.function)
        self.fingerprint = hashlib.sha256(f"{dataset.fingerprint()} {self.code}".encode()).hexdigest()
        self.inputs: dict[str, tuple[Timeline, Version]] = {}
        self.notes: list[Note] = []

    def run(self, *, again: bool) -> Curated:
        started = time.monotonic()
        for text in commit.settle(self.site, self.dataset.name):
            self.notes.append(Note("recovered", self.dataset.name, text))
        past = timeline.read(self.site.ledger, self.dataset.name)
        self.inputs = self._versions()
        done = Curated(self.dataset.name, notes=tuple(self.notes))
        if again or not self._done_before(past):
            done = self._derive(past, again=again)
        return dataclasses.replace(done, seconds=time.monotonic() - started)

    def _versions(self) -> dict[str, tuple[Timeline, Version]]:
        try:
            return timeline.together(self.site, self.dataset.inputs)
        except NotFoundError as error:
            raise NotFoundError(f"dataset '{self.dataset.name}' is derived from others: {error}") from None

    def _numbers(self) -> str:
        return json.dumps({name: version.version for name, (_, version) in self.inputs.items()})

    def _done_before(self, past: Timeline) -> bool:
        """Whether the newest derivation that went through was of these versions, by this configuration and code."""
        newest: list[Execution] = self.site.ledger.get_executions(
            type=KIND,
            state=ExecutionState.COMPLETE,
            context=past.context,
            newest_first=True,
            limit=1,
            only=["inputs", "fingerprint"],
        )
        return any(
            (e.properties.get("inputs"), e.properties.get("fingerprint")) == (self._numbers(), self.fingerprint)
            for e in newest
        )

    def _derive(self, past: Timeline, *, again: bool) -> Curated:
        target = planning.target(self.site, self.dataset, past, everything=again)
        properties: dict[str, Value] = {
            "fingerprint": self.fingerprint,
            "code": self.code,
            "sequence": past.sequence + 1,
            "inputs": self._numbers(),
        }
        frames = {name: self._state(name) for name in self.dataset.inputs}
        made = self._made(frames)
        links: list[tuple[Artifact | int, EventType]] = [(self._schema(made), EventType.INPUT)]
        links += [(identity, EventType.INPUT) for identity in self._artifacts()]
        execution = self.site.begin(KIND, self.about, properties, links)
        private = tuple(columns.personal(made, self.dataset.schema.marks, self._personal()))
        before = tuple(past.completed) if target.anew else ()
        given = Given((), Together({}), target, anew=target.anew, last=False, gone=frozenset())
        batch = _Derived(given, past, execution, self.fingerprint, private, before)
        point("curate.begun")
        try:
            stamp = Stamp(execution, self.site.clock())
            written = self._write(frames, batch, stamp, again=again)
            point("curate.written")
            found = measuring.measure(
                self.site, self.dataset, batch, written, now=stamp.recorded_at, again=False, scratch=self.work
            )
            written.applied = []  # there is no file that it were of
            if reason := self._refusal(written, found):
                refused = self._refuse(batch, written, found, reason)
            else:
                plan = self._plan(batch, written, found)
        except BaseException as error:
            with contextlib.suppress(StorageError):  # what is left is swept, or told by a check
                measured.discard(self.site.storage, self.dataset.name, execution)
            self.site.fail(execution, KIND, self.about, error)
            raise
        if reason:
            raise refused
        version = commit.carry_out(self.site, execution, plan)
        return Curated(
            self.dataset.name,
            execution=execution,
            version=version,
            read=written.read,
            curated=written.good,
            rejected=written.bad,
            notes=(*self.notes, *written.notes),
            anomalies=plan.anomalies or 0,
            unchanged=written.unchanged,
            deleted=written.deleted,
        )

    def _plan(self, batch: _Derived, written: Written, found: measuring.Found | None) -> commit.Plan:
        """Seal what was written and keep how it becomes visible: from here on it does."""
        if written.bad:
            written.notes.append(self._rejected(written))
        if found is not None:
            written.notes += measuring.notes(self.dataset, found.anomalies)
        kept = () if found is None else measuring.keep(self.site, self.dataset, batch, written, found)
        odd = None if found is None else len(found.anomalies.anomalies)
        result = summary(batch, written) | ({"anomalies": odd} if odd else {})
        plan = planning.plan(self.site, self.dataset, batch, written, result, kept=kept, anomalies=odd)
        point("curate.sealed")
        commit.prepare(self.site, batch.execution, plan, result)
        return plan

    def _state(self, name: str) -> pl.LazyFrame:
        """What an input says: its columns without the lake's own."""
        past, version = self.inputs[name]
        return views.state(self.site, past, version).drop(*PROVENANCE, *STATES, strict=False)

    def _artifacts(self) -> list[int]:
        names = [f"{name}@{version.version}" for name, (_, version) in self.inputs.items()]
        return [a.id for a in self.site.ledger.get_artifacts(type="TableVersion", names=names, only=())]

    def _made(self, frames: dict[str, pl.LazyFrame]) -> dict[str, columns.Column]:
        """What each column is made from."""
        return columns.of_inputs(
            self.dataset.schema,
            self.function,
            {name: frame.collect_schema() for name, frame in frames.items()},
            name=self.dataset.curate or "sql",
            declared=self.dataset.columns,
        )

    def _personal(self) -> list[str]:
        """The columns of inputs whose values must not be told."""
        config = self.site.config
        return [
            f"{one}.{name}" for one in self.dataset.inputs for name in measured.private(config.dataset(one), config)
        ]

    def _schema(self, made: dict[str, columns.Column]) -> Artifact:
        """The schema and the query or function the rows are made by, and what each column is made from."""
        text, features = columns.to_json(made), self.dataset.schema.to_json()
        kept = {} if self.dataset.retention is None else {"retention": units.written(self.dataset.retention)}
        described = " ".join([self.fingerprint, text, features, *kept.values()])
        identity = hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()
        return Artifact(
            "Schema",
            name=f"{self.dataset.name}:{identity[:12]}",
            external_id=f"schema/{self.dataset.name}/{identity}",
            properties={
                "dataset": self.dataset.name,
                "fingerprint": self.fingerprint,
                "inputs": json.dumps(self.dataset.inputs),
                "columns": text,
                "features": features,
                "mapping": json.dumps(self.dataset.mapping, ensure_ascii=False),
                **kept,
            },
        )

    def _write(self, frames: dict[str, pl.LazyFrame], batch: _Derived, stamp: Stamp, *, again: bool) -> Written:
        """The result, checked, and what it changes of the state before."""
        last, anew = batch.past.last, batch.given.anew
        state = None if last is None or anew else views.state(self.site, batch.past, last)
        picture = Arrival(stamp.recorded_at, stamp.recorded_at, self.dataset.name, _RESULT)
        folder = self.work / "compared"
        folder.mkdir()
        trusted = {picture} if again or self.dataset.max_deleted is None else set[Arrival]()
        written = snapshots.take(
            [picture],
            functools.partial(self._read, frames, batch, stamp),
            state,
            dataset=self.dataset,
            stamp=stamp,
            trusted=trusted,
            work=folder,
        )
        if written.refused:
            raise SchemaError(f"dataset '{self.dataset.name}': {written.refused[_RESULT]}")
        written.rejected = [self._of_no_file(file) for file in written.rejected]
        return written

    def _read(
        self, frames: dict[str, pl.LazyFrame], batch: _Derived, stamp: Stamp, picture: Arrival, folder: Path
    ) -> Written:
        """Run the query or function, and check the rows it gives."""
        file = folder / "result.parquet"
        extra = self._run(frames, file)
        parts = folder / "parts"
        parts.mkdir()
        mapping = Mapping(
            self.dataset.schema,
            partition_by=tuple(self.dataset.partition_by),
            environment=self.dataset.validation.environment,
            keys=self.dataset.keys,
            event_time=self.dataset.event_time,
        )
        written = write(
            [Raw(picture.sha256, self.dataset.name, file)],
            {picture.sha256: file.stat().st_size},
            dataset=self.dataset,
            reader=FORMATS["parquet"](type="parquet"),
            mapping=mapping,
            stamp=stamp,
            work=parts,
            progress=lambda _: None,
            private=batch.private,
        )
        file.unlink()
        if written.refused:
            raise SchemaError(f"dataset '{self.dataset.name}': {written.refused[picture.sha256]}")
        written.notes = [note for note in written.notes if note.kind != "empty"]
        written.unknown += extra
        for name in map(printable, extra):
            what = "a column of the result that is not a feature, left out; add it to schema.features"
            written.notes.append(Note("new_column", self.dataset.name, f"'{name}' is {what}"))
        self._once(written, batch.private)
        return written

    def _run(self, frames: dict[str, pl.LazyFrame], file: Path) -> list[str]:
        """Run the query or function; the columns of its result that are no feature, and left out."""
        what = "sql" if self.dataset.sql is not None else f"curate: {self.dataset.curate}"
        try:
            result = self.function(*(frames[name] for name in self.dataset.inputs))
            if not isinstance(result, pl.LazyFrame):
                raise TypeError(f"it must give a LazyFrame, not a {type(result).__name__}")  # noqa: TRY301  # told below
            extra = [name for name in result.collect_schema() if name not in self.dataset.schema.features]
            result.drop(extra).sink_parquet(
                file, compression="zstd", compression_level=1, engine="streaming", optimizations=columns.SAFE
            )
        except ConfigError as error:
            raise SchemaError(f"dataset '{self.dataset.name}': {str(error).replace('SQL: ', 'sql: ', 1)}") from error
        except LakehouseError:
            raise
        except (Exception, *PolarsError) as error:
            raise_if_disk(error)
            why = next(iter(str(error).splitlines()), "")
            if "parquet" in why.lower():  # so polars tells of bytes that it cannot read
                raise StorageError(
                    f"dataset '{self.dataset.name}': an input cannot be read: {why}; `lakehouse check` tells what is "
                    "damaged"
                ) from error
            if self._personal():  # what follows may be values
                why = why.partition("[")[0].rstrip(" :")
            raise SchemaError(
                f"dataset '{self.dataset.name}': {what}: {type(error).__name__}: {printable(why)}. Nothing was appended"
            ) from error
        if extra and self.dataset.new_columns == "reject":
            raise SchemaError(
                f"dataset '{self.dataset.name}': {what}: '{extra[0]}' is not a feature, and new_columns is reject. "
                "Nothing was appended"
            )
        return extra

    def _once(self, written: Written, private: tuple[str, ...]) -> None:
        """Make sure that each key is there once.

        Raises:
            SchemaError: one is not; names it.
        """
        if not written.valid:
            return
        keys = list(self.dataset.keys)
        rows = pl.scan_parquet(written.valid, glob=False, missing_columns="insert")
        twice = rows.group_by(keys).len("_rows").filter(pl.col("_rows") > 1).collect(engine="streaming")
        if twice.is_empty():
            return
        first = twice.row(0, named=True)
        hidden = set(keys) & set(private)
        told = "a key" if hidden else ", ".join(f"{key}={first[key]!r}" for key in keys)
        more = f" (and {twice.height - 1:,} more keys)" if twice.height > 1 else ""
        raise SchemaError(
            f"dataset '{self.dataset.name}': the result has {first['_rows']:,} rows of {told}{more}, and a derived "
            f"dataset has one row a key. Group by {', '.join(keys)}, or add to `keys` what tells the rows apart. "
            "Nothing was appended"
        )

    def _of_no_file(self, file: Path) -> Path:
        """The same rows, of no raw file."""
        to = file.with_name(f"{file.stem}-rows.parquet")
        nulls = [pl.lit(None, PROVENANCE[name]).alias(name) for name in ("_raw", "_row")]
        pl.scan_parquet(file, glob=False).with_columns(nulls).sink_parquet(
            to, compression="zstd", compression_level=1, engine="streaming"
        )
        file.unlink()
        return to

    def _refusal(self, written: Written, found: measuring.Found | None) -> str:
        """Why the result is refused as a whole; "" where it is not."""
        most = self.dataset.max_rejected
        if most is not None and most.exceeded(written.bad, written.read):
            return (
                f"dataset '{self.dataset.name}': {written.bad:,} of {written.read:,} rows of the result were rejected, "
                f"more than max_rejected ({most}) allows; nothing was appended. Most often: {_reasons(written)}"
            )
        return measuring.refusal(self.dataset, found.anomalies) if found and found.anomalies.refuses else ""

    def _refuse(self, batch: _Derived, written: Written, found: measuring.Found | None, reason: str) -> SchemaError:
        """Close the record of a result that breaks its schema as a whole; nothing of it was visible. What to raise."""
        kept: tuple[Artifact, ...] = ()
        if found is not None:
            kept = measuring.keep(self.site, self.dataset, batch, written, found, refused=True)
        error = SchemaError(f"{reason}. Mend the schema, the query or function, or the inputs; it is derived anew then")
        odd = len(found.anomalies.anomalies) if found is not None else 0
        self.site.put(
            batch.execution,
            KIND,
            self.about,
            state=ExecutionState.FAILED,
            links=[(artifact, EventType.OUTPUT) for artifact in kept],
            properties={
                "error": f"SchemaError: {error}",
                **counted(written),
                **({"anomalies": odd} if odd else {}),
            },
        )
        return error

    def _rejected(self, written: Written) -> Note:
        return Note(
            "rejected",
            self.dataset.name,
            f"{written.bad:,} of {written.read:,} rows of the result were rejected; their keys stay as they were. Most "
            f"often: {_reasons(written)}. `lakehouse quarantine {self.dataset.name}` shows them",
        )


def _reasons(written: Written) -> str:
    return "; ".join(f"{reason} ({count:,})" for reason, count in commonest(written.rejected, _TOLD))
