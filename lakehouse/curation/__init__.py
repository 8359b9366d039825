"""Curation: pending raw files become rows of a dataset's Delta table, typed, checked and traceable.

Rows that break the schema go to quarantine with their reasons; a file that cannot be read is refused
with its reason; both are recorded, and nothing is lost, because raw files stay.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import tables, timeline
from lakehouse.config import Dataset, curate_function
from lakehouse.curation import commit
from lakehouse.curation.batch import Stamp, Written, write
from lakehouse.curation.commit import Plan
from lakehouse.curation.pending import Pending, look
from lakehouse.curation.reasons import commonest, proposal
from lakehouse.environment import code_hash
from lakehouse.errors import SchemaError
from lakehouse.faults import point
from lakehouse.formats import Raw
from lakehouse.records import (
    Artifact,
    Context,
    Curated,
    EventType,
    ExecutionState,
    Note,
    Progress,
    RawFile,
    Value,
    printable,
)
from lakehouse.schema import PROVENANCE
from lakehouse.site import Site
from lakehouse.storage import sync_folders
from lakehouse.tables import Commit, Part
from lakehouse.timeline import Timeline
from lakehouse.validation import QUARANTINE, Mapping

__all__ = ["curate"]


def curate(site: Site, name: str, *, again: bool = False, raw: Sequence[str] | None = None) -> Curated:
    """Take in everything pending for a dataset, in one commit a batch.

    Args:
        site: the opened lake.
        name: the dataset.
        again: take every raw file again; the new rows supersede the old ones. Needed once after the
            schema, the mapping or the function changed, if old rows should follow.
        raw: with ``again``: only the raw files whose sha256 starts with one of these.

    Raises:
        NotFoundError: no such dataset or raw file.
        SchemaError: a whole batch was refused; nothing of it was appended.
        StorageError: the disk refused; nothing half-written is visible.
        CommitError: another process got there first; safe to run again.
    """
    dataset = site.config.dataset(name)
    with site.storage.lock("dataset", name), site.storage.work(f"curate/{name}") as work:
        curation = _Curation(site, dataset, work)
        curation.take(again=again or raw is not None, only=raw)
        return curation.result()


@dataclass(frozen=True, slots=True)
class _Target:
    """The table a batch goes to: its uri, and the dataset's version of its version 0."""

    uri: str
    offset: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is known of a batch when its record begins."""

    files: Sequence[RawFile]
    pending: Pending
    target: _Target
    past: Timeline
    execution: int

    @property
    def sequence(self) -> int:
        """The number of this batch's commits in the dataset's tables."""
        return self.past.sequence + 1

    def supersedes(self, written: Written) -> timeline.Superseded:
        """The older rows that are left out from this batch on."""
        last = self.past.last
        return self.pending.supersedes(written.counts, anew=last is not None and last.uri != self.target.uri)


class _Curation:
    """One curation under way: batch after batch, and what came of them so far."""

    def __init__(self, site: Site, dataset: Dataset, work: Path) -> None:
        self.site = site
        self.dataset = dataset
        self.work = work
        self.about = Context("Dataset", dataset.name)
        self.source = site.config.source(dataset.source)
        function = curate_function(dataset, site.config.project)
        self.mapping = Mapping(
            dataset.schema,
            self.source.format.null_values,
            dict(dataset.rename),
            dict(dataset.derive),
            function,
            tuple(dataset.partition_by),
        )
        code = code_hash(function)
        self.code = code
        self.fingerprint = hashlib.sha256(f"{dataset.fingerprint(self.source)} {code}".encode()).hexdigest()
        self.done = Curated(dataset.name)
        self.errors: list[SchemaError] = []
        self.started = time.monotonic()

    def take(self, *, again: bool, only: Sequence[str] | None) -> None:
        """Curate every pending batch.

        Raises:
            SchemaError: some batch was refused; the others were taken.
        """
        for text in commit.settle(self.site, self.dataset.name):
            self._note("recovered", text)
        past = timeline.read(self.site.ledger, self.dataset.name)
        pending = look(
            self.site.ledger, self.dataset.source, past, fingerprint=self.fingerprint, again=again, only=only
        )
        if pending.refused:
            self._note(
                "refused",
                f"still refused: {_files(pending.refused)}, as the run that read them said; tried again after a change "
                f"of configuration, or by `lakehouse curate {self.dataset.name} --again`",
            )
        if not pending.files and not pending.supersedes(()):
            return
        target, whole = self._target(past, everything=again and only is None)
        total = sum(file.size for file in pending.files)
        batches = list(_batches(pending.files, None if whole else self.site.config.batch_bytes))
        for number, files in enumerate(batches or [[]]):
            folder = self.work / str(number)
            folder.mkdir()
            self._batch(files, pending, target, folder, total)
        self.site.report(Progress("curate", self.dataset.name, total, total, "bytes", finished=True))
        if self.errors:
            raise self.errors[0]

    def result(self) -> Curated:
        """What was done."""
        return dataclasses.replace(self.done, seconds=time.monotonic() - self.started)

    def _note(self, kind: str, text: str) -> None:
        self.done = dataclasses.replace(self.done, notes=(*self.done.notes, Note(kind, self.dataset.name, text)))

    def _target(self, past: Timeline, *, everything: bool) -> tuple[_Target, bool]:
        """The table to append to, and whether it starts anew (then all must come in one commit).

        Raises:
            SchemaError: a type changed, and not everything is curated again.
        """
        name, last = self.dataset.name, past.last
        if last is None:
            return _Target(f"curated/{name}", 0), False
        layout = tables.layout(self.site.storage.path(last.uri))
        wanted = self.dataset.schema.dtypes
        known = {} if layout is None else layout.dtypes
        changed = [f"{f} from {known[f]} to {dtype}" for f, dtype in wanted.items() if known.get(f, dtype) != dtype]
        if layout is not None and layout.partition_by != tuple(self.dataset.partition_by):
            changed.append(f"partition_by from {list(layout.partition_by)} to {list(self.dataset.partition_by)}")
        if not changed:
            return _Target(last.uri, last.version - last.table_version), False
        if not everything:
            raise SchemaError(
                f"dataset '{name}': the schema no longer fits its table ({'; '.join(changed)}). Run "
                f"`lakehouse curate {name} --again`: it curates all raw files into a new table, and every older "
                "version stays readable as it was"
            )
        generation = len({version.uri for version in past.versions}) + 1
        return _Target(f"curated/{name}~{generation}", last.version + 1), True

    def _batch(self, files: Sequence[RawFile], pending: Pending, target: _Target, folder: Path, total: int) -> None:
        """One batch, from its record's begin to its end."""
        past = timeline.read(self.site.ledger, self.dataset.name)
        properties: dict[str, Value] = {
            "fingerprint": self.fingerprint,
            "code": self.code,
            "sequence": past.sequence + 1,
        }
        execution = self.site.begin("Curate", self.about, properties, [(self._schema(), EventType.INPUT)])
        batch = _Batch(files, pending, target, past, execution)
        point("curate.begun")
        try:
            written = self._write(batch, folder, total)
            if self.dataset.max_rejected is not None and self.dataset.max_rejected.exceeded(written.bad, written.read):
                self._refuse(batch, written)
                return
            if written.bad:
                written.notes.append(self._rejected(batch, written))
            plan = self._plan(batch, written)
            point("curate.sealed")
            commit.prepare(self.site, execution, plan, self._summary(batch, written))
        except BaseException as error:
            self.site.fail(execution, "Curate", self.about, error)
            raise
        version = commit.carry_out(self.site, execution, plan)
        done = self.done
        self.done = dataclasses.replace(
            done,
            execution=execution,
            version=done.version if version is None else version,
            files=done.files + len(written.counts),
            refused=done.refused + len(written.refused),
            read=done.read + written.read,
            curated=done.curated + written.read - written.bad,
            rejected=done.rejected + written.bad,
            size=done.size + sum(file.size for file in files),
            notes=(*done.notes, *written.notes),
        )

    def _schema(self) -> Artifact:
        """The schema, mapping and policies the rows are made by, as an artifact."""
        return Artifact(
            "Schema",
            name=f"{self.dataset.name}:{self.fingerprint[:12]}",
            external_id=f"schema/{self.dataset.name}/{self.fingerprint}",
            properties={
                "dataset": self.dataset.name,
                "fingerprint": self.fingerprint,
                "features": self.dataset.schema.model_dump_json(exclude_defaults=True),
            },
        )

    def _write(self, batch: _Batch, folder: Path, total: int) -> Written:
        so_far = self.done.size

        def progress(size: int) -> None:
            nonlocal so_far
            so_far += size
            self.site.report(Progress("curate", self.dataset.name, so_far, total, "bytes"))

        written = write(
            [Raw(f.sha256, printable(f.name), self.site.storage.path(f.uri)) for f in batch.files],
            {f.sha256: f.size for f in batch.files},
            dataset=self.dataset,
            reader=self.source.format,
            mapping=self.mapping,
            stamp=Stamp(batch.execution, self.site.clock()),
            work=folder,
            progress=progress,
        )
        point("curate.written")
        return written

    def _refuse(self, batch: _Batch, written: Written) -> None:
        """Close the record of a batch that breaks its schema as a whole; nothing of it was visible."""
        error = SchemaError(
            f"dataset '{self.dataset.name}': {written.bad:,} of {written.read:,} rows were rejected, more than "
            f"max_rejected ({self.dataset.max_rejected}) allows; nothing was appended. Most often: "
            f"{self._reasons(written)}. Mend the schema, the mapping or the source: {_files(len(batch.files))} "
            f"refused, tried again after a change, or by `lakehouse curate {self.dataset.name} --again`"
        )
        self.site.put(
            batch.execution,
            "Curate",
            self.about,
            state=ExecutionState.FAILED,
            links=[(file.id, EventType.DECLARED_INPUT) for file in batch.files],
            properties={"error": f"SchemaError: {error}"},
        )
        self.errors.append(error)

    def _rejected(self, batch: _Batch, written: Written) -> Note:
        names = [printable(f.name) for f in batch.files if written.counts.get(f.sha256, (0, 0))[1]]
        where = f"'{names[0]}'" if len(names) == 1 else f"{len(names)} files, '{names[0]}' first"
        return Note(
            "rejected",
            self.dataset.name,
            f"{written.bad:,} of {written.read:,} rows were rejected, from {where}. Most often: "
            f"{self._reasons(written)}. `lakehouse quarantine {self.dataset.name}` shows them",
        )

    def _reasons(self, written: Written) -> str:
        """The most frequent reasons, and what change would take their rows in."""
        top = commonest(written.rejected)
        told = "; ".join(f"{reason} ({count:,})" for reason, count in top)
        wider = next(filter(None, (proposal(reason, written.rejected, self.mapping) for reason, _ in top)), "")
        return f"{told}; {wider}" if wider else told

    def _summary(self, batch: _Batch, written: Written) -> dict[str, Value]:
        return {
            "read": written.read,
            "rejected": written.bad,
            "files": json.dumps(written.counts),
            "refused": json.dumps(written.refused),
            "supersedes": json.dumps(batch.supersedes(written)),
        }

    def _plan(self, batch: _Batch, written: Written) -> Plan:
        """Seal the parts and write down the commits that make them visible."""
        past, target, execution = batch.past, batch.target, batch.execution
        supersedes = batch.supersedes(written)
        private = [name for name, feature in self.dataset.schema.features.items() if feature.personal]
        valid = self._seal(written.valid, target.uri, execution, private)
        rejected = self._seal(written.rejected, f"quarantine/{self.dataset.name}", execution, ["fields", "text"])
        note = {
            "lakehouse.dataset": self.dataset.name,
            "lakehouse.execution": str(execution),
            "lakehouse.fingerprint": self.fingerprint,
            "lakehouse.raw": json.dumps(sorted(written.counts)),
            "lakehouse.supersedes": json.dumps(supersedes),
        }
        added = dict.fromkeys(written.added, pl.String())
        curated = Commit(
            batch.sequence,
            tuple(valid),
            tables.schema_of({**self.dataset.schema.dtypes, **added, **PROVENANCE}),
            note,
            tuple(self.dataset.partition_by),
            self.dataset.description,
        )
        rows = sum(part.rows for part in valid)
        return Plan(
            dataset=self.dataset.name,
            uri=target.uri,
            offset=target.offset,
            curated=curated if valid or supersedes else None,
            quarantine=Commit(batch.sequence, tuple(rejected), tables.schema_of(QUARANTINE), note)
            if rejected
            else None,
            inputs=tuple(file.id for file in batch.files if file.sha256 in written.counts),
            refused=tuple(file.id for file in batch.files if file.sha256 in written.refused),
            rows=rows,
            total=(past.last.total if past.last else 0) + rows - _superseded_rows(past, supersedes),
            files=len(written.counts),
            rejected=written.bad,
        )

    def _seal(self, files: Sequence[Path], uri: str, execution: int, private: Sequence[str]) -> list[Part]:
        table = self.site.storage.path(uri)
        parts = [tables.seal(file, table, f"{execution}-{n}", private) for n, file in enumerate(files)]
        if parts:
            sync_folders([table, table.parent], self.site.storage.root)
        return parts


def _batches(files: Sequence[RawFile], limit: int | None) -> Iterator[list[RawFile]]:
    """Files in order, cut where a batch would pass the limit in bytes."""
    batch: list[RawFile] = []
    size = 0
    for file in files:
        if batch and limit is not None and size + file.size > limit:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def _superseded_rows(past: Timeline, supersedes: timeline.Superseded) -> int:
    """How many rows that are visible now are so no longer."""
    counted = {e.id: timeline.counts(e) for e in past.executions if e.id in supersedes}
    hidden = past.hidden(past.last) if past.last else {}
    gone = 0
    for execution, raws in supersedes.items():
        before = hidden.get(execution, set())
        for sha, (read, rejected) in counted[execution].items():
            if (raws is None or sha in raws) and before is not None and sha not in before:
                gone += read - rejected
    return gone


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
