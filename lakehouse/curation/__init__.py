"""Curation: pending raw files become rows of a dataset's Delta table, typed, checked and traceable.

Rows that break the schema go to quarantine with their reasons; a file that cannot be read is refused
with its reason; both are recorded, and nothing is lost, because raw files stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from lakehouse import columns, measured, timeline, views
from lakehouse.config import Dataset
from lakehouse.curation import arrivals, batching, commit, measuring, planning, snapshots
from lakehouse.curation.arrivals import Order
from lakehouse.curation.batch import Written, merged, write
from lakehouse.curation.commit import abreast
from lakehouse.curation.deriving import derive
from lakehouse.curation.intakes import Intake, intakes, joined
from lakehouse.curation.pending import Again, Rows
from lakehouse.curation.planning import Batch, Given
from lakehouse.curation.reasons import commonest, proposal
from lakehouse.curation.rehearsing import rehearse
from lakehouse.curation.stamping import Stamp
from lakehouse.curation.summary import counted, summary
from lakehouse.errors import ConfigError, IntegrityError, SchemaError, StorageError
from lakehouse.faults import point
from lakehouse.formats import Raw
from lakehouse.moments import moment
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
from lakehouse.site import Site

__all__ = ["abreast", "curate", "rehearse"]

_TOLD = 3  # reasons of rejected rows, the most frequent ones, in a message


def curate(
    site: Site,
    name: str,
    *,
    again: bool = False,
    raw: Sequence[str] | None = None,
    since: datetime | str | None = None,
) -> Curated:
    """Take in everything pending for a dataset, in one commit a batch; or derive it anew from its inputs.

    Args:
        site: the opened lake.
        name: the dataset.
        again: take every raw file again; the new rows supersede the old ones. Needed once after the
            schema, the mapping or the function changed, if old rows should follow.
        raw: take only the raw files again whose sha256 starts with one of these.
        since: take only the raw files again that were landed at this moment or later.

    Raises:
        NotFoundError: no such dataset or raw file.
        ConfigError: ``since`` is no moment; or the dataset is derived, and from no raw files.
        SchemaError: a whole batch was refused; nothing of it was appended.
        StorageError: the disk refused; nothing half-written is visible.
        CommitError: another process got there first; safe to run again.
    """
    dataset = site.config.dataset(name)
    with site.storage.lock("dataset", name), site.storage.work(f"curate/{name}") as work:
        if dataset.derived:
            if raw is not None or since is not None:
                raise ConfigError(
                    f"dataset '{name}' is derived from {_quoted(dataset.inputs)}, and from no raw files to be named"
                )
            return _retained(site, dataset, derive(site, dataset, work, again=again))
        curation = _Curation(site, dataset, work)
        wanted = None
        if again or raw is not None or since is not None:
            when = None if since is None else moment(since, site.config.timezone, "since")
            wanted = Again(tuple(raw or ()), when)
        curation.take(wanted)
        return _retained(site, dataset, curation.result())


def _retained(site: Site, dataset: Dataset, done: Curated) -> Curated:
    """What was done, with what is past the dataset's retention told."""
    found = timeline.overdue(site, dataset)
    note = [] if found is None else [Note("retention", dataset.name, str(found))]
    return dataclasses.replace(done, notes=(*done.notes, *note))


class _Curation:
    """One curation under way: batch after batch, and what came of them so far."""

    def __init__(self, site: Site, dataset: Dataset, work: Path) -> None:
        self.site = site
        self.dataset = dataset
        self.work = work
        self.about = Context("Dataset", dataset.name)
        self.intakes = intakes(site, dataset)
        self.fingerprints = {source: intake.fingerprint for source, intake in self.intakes.items()}
        self.fingerprint = joined(self.fingerprints)
        judged = dataset.schema.to_json() + (str(dataset.deletable) if dataset.history == "snapshots" else "")
        self.judged = hashlib.sha256(judged.encode("utf-8", "surrogatepass")).hexdigest()
        self.done = Curated(dataset.name)
        self.errors: list[SchemaError] = []
        self.gone: frozenset[Rows] = frozenset()  # what the batches so far replaced
        self.again = False
        self.started = time.monotonic()

    def take(self, again: Again | None) -> None:
        """Curate every pending batch, and what is to be taken again.

        Raises:
            SchemaError: some batch was refused; the others were taken.
        """
        self.again = again is not None
        for text in commit.settle(self.site, self.dataset.name):
            self._note("recovered", text)
        past = timeline.read(self.site.ledger, self.dataset.name)
        pending = batching.look_at(self.site, self.dataset, self.intakes, past, again, judged=self.judged)
        if pending.refused:
            self._note(
                "refused",
                f"still refused: {_files(pending.refused)}, as the run that read them said; tried again after a change "
                f"of configuration, or by `lakehouse curate {self.dataset.name} --again`",
            )
        everything = again is not None and again.everything
        if pending.foreign and not everything:
            raise SchemaError(
                f"dataset '{self.dataset.name}' holds rows of another source than {_quoted(self.intakes)}, which its "
                f"configuration names now. `lakehouse curate {self.dataset.name} --again` replaces all its rows by "
                "those of the new one; or give the source its old name back"
            )
        if pending.left and again is None:
            self._note(
                "older",
                f"the rows of {_files(pending.left)} were made under an older configuration{self._tables()}; "
                f"`lakehouse curate {self.dataset.name} --again` makes them anew, and keeps the past",
            )
        batches = list(batching.batches(self.site, self.dataset, past, pending, again))
        total = sum(file.size for given in batches for file in given.files)
        anew = any(given.anew for given in batches)
        for number, given in enumerate(batches):
            if anew and self.errors:
                break  # what was to take the place of everything did not
            folder = self.work / str(number)
            folder.mkdir()
            last = number == len(batches) - 1 and (again is None or everything)
            self._batch(dataclasses.replace(given, last=last, gone=self.gone), folder, total)
        if not batches:
            return
        self.site.report(Progress("curate", self.dataset.name, total, total, "bytes", finished=True))
        if self.errors:
            raise self.errors[0]

    def result(self) -> Curated:
        """What was done."""
        return dataclasses.replace(self.done, seconds=time.monotonic() - self.started)

    def _tables(self) -> str:
        """That rows may be older than the code tables, where there are any."""
        names = dict.fromkeys(f"{v.dataset}@{v.version}" for one in self.intakes.values() for v in one.tables)
        return f" or an older code table than {' and '.join(names)}" if names else ""

    def _note(self, kind: str, text: str) -> None:
        self.done = dataclasses.replace(self.done, notes=(*self.done.notes, Note(kind, self.dataset.name, text)))

    def _batch(self, given: Given, folder: Path, total: int) -> None:
        """One batch, from its record's begin to its end."""
        past = timeline.read(self.site.ledger, self.dataset.name)
        properties: dict[str, Value] = {
            "fingerprint": self.fingerprint,
            "code": joined({source: intake.code for source, intake in self.intakes.items()}),
            "sequence": past.sequence + 1,
            **({"fingerprints": json.dumps(self.fingerprints)} if len(self.intakes) > 1 else {}),
        }
        execution = self.site.begin(
            "Curate", self.about, properties, [(one, EventType.INPUT) for one in self._used(given.files)]
        )
        marks = self.dataset.schema.marks
        personal = (name for intake in self.intakes.values() for name in columns.personal(intake.made, marks))
        private = tuple(dict.fromkeys(personal))
        batch = Batch(given, past, execution, self.fingerprint, private)
        point("curate.begun")
        try:
            stamp = self._stamp(batch)
            written = self._write(batch, stamp, folder, total)
            found = measuring.measure(
                self.site,
                self.dataset,
                batch,
                written,
                now=stamp.recorded_at,
                again=self.again or batch.repeats(written),
                scratch=folder,
            )
            if reason := self._refusal(batch, written, found):
                self._refuse(batch, written, found, reason)
                return
            if written.bad:
                written.notes.append(self._rejected(batch, written))
            if found is not None:
                written.notes += measuring.notes(self.dataset, found.anomalies)
            kept = () if found is None else measuring.keep(self.site, self.dataset, batch, written, found)
            odd = None if found is None else len(found.anomalies.anomalies)
            result = summary(batch, written) | ({"anomalies": odd} if odd else {})
            if written.refused and batch.given.order is not None:
                result["judged"] = self.judged  # by how many deletes are too many, too
            plan = planning.plan(self.site, self.dataset, batch, written, result, kept=kept, anomalies=odd)
            point("curate.sealed")
            commit.prepare(self.site, execution, plan, result)
        except BaseException as error:
            with contextlib.suppress(StorageError):  # what is left is swept, or told by a check
                measured.discard(self.site.storage, self.dataset.name, execution)
            self.site.fail(execution, "Curate", self.about, error)
            raise
        version = commit.carry_out(self.site, execution, plan)
        self._keep_state()
        self.gone |= batch.replaced(written)
        done = self.done
        self.done = dataclasses.replace(
            done,
            execution=execution,
            version=done.version if version is None else version,
            files=done.files + len(written.counts),
            refused=done.refused + len(written.refused),
            read=done.read + written.read,
            curated=done.curated + written.good,
            rejected=done.rejected + written.bad,
            unchanged=done.unchanged + written.unchanged,
            duplicates=done.duplicates + written.duplicates,
            deleted=done.deleted + written.deleted,
            size=done.size + sum(file.size for file in given.files),
            notes=(*done.notes, *written.notes),
            anomalies=done.anomalies + (odd or 0),
        )

    def _keep_state(self) -> None:
        """Keep the current state where that pays: no part of the batch, which is through already."""
        past = timeline.read(self.site.ledger, self.dataset.name)
        if self.dataset.keyed and past.last is not None:
            views.keep_state(self.site, past, past.last)

    def _stamp(self, batch: Batch) -> Stamp:
        """What the batch's rows carry; of a keyed dataset their files' times and order too."""
        now, files = self.site.clock(), batch.given.files if self.dataset.keyed else ()
        places = {file.sha256: number for number, file in enumerate(files)}
        return Stamp(batch.execution, now, {file.sha256: file.landed_at for file in files}, places)

    def _used(self, files: Sequence[RawFile]) -> list[Artifact | int]:
        """What the rows of files are made by: the schema and mapping of each of their sources, and the code tables."""
        sources = {file.source for file in files} or self.intakes.keys()
        used = [intake for source, intake in self.intakes.items() if source in sources]
        versions = dict.fromkeys(f"{v.dataset}@{v.version}" for intake in used for v in intake.tables)
        tables = self.site.ledger.get_artifacts(type="TableVersion", names=list(versions), only=()) if versions else []
        return [*(intake.schema for intake in used), *(table.id for table in tables)]

    def _write(self, batch: Batch, stamp: Stamp, folder: Path, total: int) -> Written:
        so_far = self.done.size

        def progress(size: int) -> None:
            nonlocal so_far
            so_far += size
            self.site.report(Progress("curate", self.dataset.name, so_far, total, "bytes"))

        self._verify(batch)
        if batch.given.order is not None:
            written = self._take_snapshots(batch, batch.given.order, stamp, folder, progress)
        else:
            parts: list[Written] = []
            for intake in self.intakes.values():
                if files := [file for file in batch.given.files if file.source == intake.source]:
                    work = folder / str(len(parts))
                    work.mkdir()
                    parts.append(self._read(intake, files, batch, stamp, work, progress))
            written = merged(parts)
        if self.dataset.history == "changes":
            written.notes += measuring.restated(self.dataset, written)
        point("curate.written")
        return written

    def _read(  # noqa: PLR0913, PLR0917  # what writing takes
        self,
        intake: Intake,
        files: Sequence[RawFile],
        batch: Batch,
        stamp: Stamp,
        work: Path,
        progress: Callable[[int], None],
    ) -> Written:
        return write(
            [Raw(f.sha256, printable(f.name), self.site.storage.path(f.uri)) for f in files],
            {f.sha256: f.size for f in files},
            dataset=intake.dataset,
            reader=intake.reader,
            mapping=intake.mapping,
            stamp=stamp,
            work=work,
            progress=progress,
            private=batch.private,
        )

    def _take_snapshots(
        self, batch: Batch, order: Order, stamp: Stamp, folder: Path, progress: Callable[[int], None]
    ) -> Written:
        (intake,) = self.intakes.values()
        files = {file.sha256: file for file in batch.given.files}
        written = snapshots.take(
            order.wanted,
            lambda one, work: self._read(intake, [files[one.sha256]], batch, stamp, work, progress),
            snapshots.before(self.site, batch.past, order),
            dataset=self.dataset,
            stamp=stamp,
            trusted=order.again | order.named,
            work=folder,
        )
        for one in order.nameless:
            written.refuse(one.sha256, arrivals.name_of(one.origin), snapshots.unfit(self.dataset, one))
        return written

    def _verify(self, batch: Batch) -> None:
        """Raw bytes are what was landed: by size always, by hash when older rows are replaced by them.

        Raises:
            IntegrityError: they are not.
        """
        # Asked once for the whole batch: asking file by file would look through all visible rows each time.
        order = batch.given.order
        replacing = bool(batch.given.pending.replaced(batch.given.files) if order is None else order.gone)
        for file in batch.given.files:
            path = self.site.storage.path(file.uri)
            whole = path.is_file() and path.stat().st_size == file.size
            if whole and replacing:
                whole = self.site.storage.digest(file.uri) == file.sha256
            if not whole:
                raise IntegrityError(
                    f"raw file '{file.uri}' is gone or no longer what was landed; bring it back from a backup, or land "
                    f"it again from its origin. Nothing was appended to '{self.dataset.name}'"
                )

    def _refusal(self, batch: Batch, written: Written, found: measuring.Found | None) -> str:
        """Why a batch is refused as a whole; "" where it is not."""
        order = batch.given.order
        lost = order and [one for one in order.again if one.sha256 in written.refused]
        if lost:
            return (
                f"dataset '{self.dataset.name}': {_files(len(lost))} whose rows count could not be taken in again: "
                f"{written.refused[lost[0].sha256]}. Nothing was changed"
            )
        most = self.dataset.max_rejected
        if most is not None and most.exceeded(written.bad, written.read):
            return (
                f"dataset '{self.dataset.name}': {written.bad:,} of {written.read:,} rows were rejected, more than "
                f"max_rejected ({most}) allows; nothing was appended. Most often: {self._reasons(written)}"
            )
        return measuring.refusal(self.dataset, found.anomalies) if found and found.anomalies.refuses else ""

    def _refuse(self, batch: Batch, written: Written, found: measuring.Found | None, reason: str) -> None:
        """Close the record of a batch that breaks its schema as a whole; nothing of it was visible."""
        error = SchemaError(
            f"{reason}. Mend the schema, the mapping or the source: {_files(len(batch.given.files))} "
            f"refused, tried again after a change, or by `lakehouse curate {self.dataset.name} --again`"
        )
        kept: tuple[Artifact, ...] = ()
        if found is not None:
            kept = measuring.keep(self.site, self.dataset, batch, written, found, refused=True)
        self.site.put(
            batch.execution,
            "Curate",
            self.about,
            state=ExecutionState.FAILED,
            links=[
                *((file.id, EventType.DECLARED_INPUT) for file in batch.given.files),
                *((artifact, EventType.OUTPUT) for artifact in kept),
            ],
            properties={
                "error": f"SchemaError: {error}",
                **counted(written),
                **({"anomalies": len(found.anomalies.anomalies)} if found and found.anomalies.anomalies else {}),
                **({"judged": self.judged} if found and found.anomalies.refuses else {}),
            },
        )
        self.errors.append(error)

    def _rejected(self, batch: Batch, written: Written) -> Note:
        names = [printable(f.name) for f in batch.given.files if written.counts.get(f.sha256, (0, 0))[1]]
        where = f"'{names[0]}'" if len(names) == 1 else f"{len(names)} files, '{names[0]}' first"
        return Note(
            "rejected",
            self.dataset.name,
            f"{written.bad:,} of {written.read:,} rows were rejected, from {where}. Most often: "
            f"{self._reasons(written)}. `lakehouse quarantine {self.dataset.name}` shows them",
        )

    def _reasons(self, written: Written) -> str:
        """The most frequent reasons, and what change would take their rows in."""
        top = commonest(written.rejected, _TOLD)
        mappings = [intake.mapping for intake in self.intakes.values()]
        told = "; ".join(f"{reason} ({count:,})" for reason, count in top)
        wider = next(filter(None, (proposal(reason, written.rejected, mappings) for reason, _ in top)), "")
        return f"{told}; {wider}" if wider else told


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
