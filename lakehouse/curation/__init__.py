"""Curation: pending raw files become rows of a dataset's Delta table, typed, checked and traceable.

Rows that break the schema go to quarantine with their reasons; a file that cannot be read is refused
with its reason; both are recorded, and nothing is lost, because raw files stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from lakehouse import columns, measured, timeline
from lakehouse.config import Dataset
from lakehouse.curation import commit, measuring, planning
from lakehouse.curation.batch import Stamp, Written, cut, write
from lakehouse.curation.pending import Rows, look, newest_look
from lakehouse.curation.planning import Batch, Given
from lakehouse.curation.reasons import commonest, proposal
from lakehouse.curation.rehearsing import mapping_of, rehearse
from lakehouse.environment import code_hash
from lakehouse.errors import IntegrityError, SchemaError, StorageError
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
    Value,
    printable,
)
from lakehouse.site import Site

__all__ = ["curate", "rehearse"]

_TOLD, _KEPT = 3, 20  # reasons of rejected rows, the most frequent ones: in a message, and in the ledger


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


class _Curation:
    """One curation under way: batch after batch, and what came of them so far."""

    def __init__(self, site: Site, dataset: Dataset, work: Path) -> None:
        self.site = site
        self.dataset = dataset
        self.work = work
        self.about = Context("Dataset", dataset.name)
        self.source = site.config.source(dataset.source)
        self.mapping = mapping_of(site, dataset, dataset.validation.environment)
        self.code = code_hash(self.mapping.function)
        self.fingerprint = hashlib.sha256(f"{dataset.fingerprint(self.source)} {self.code}".encode()).hexdigest()
        self.judged = hashlib.sha256(dataset.schema.to_json().encode("utf-8", "surrogatepass")).hexdigest()
        self.done = Curated(dataset.name)
        self.errors: list[SchemaError] = []
        self.gone: frozenset[Rows] = frozenset()  # what the batches so far replaced
        self.again = False
        self.started = time.monotonic()

    def take(self, *, again: bool, only: Sequence[str] | None) -> None:
        """Curate every pending batch.

        Raises:
            SchemaError: some batch was refused; the others were taken.
        """
        self.again = again
        for text in commit.settle(self.site, self.dataset.name):
            self._note("recovered", text)
        past = timeline.read(self.site.ledger, self.dataset.name)
        pending = look(
            self.site.ledger,
            self.dataset.source,
            past,
            fingerprint=self.fingerprint,
            judged=self.judged,
            since=newest_look(past, self.dataset.source),
            again=again,
            only=only,
        )
        if pending.refused:
            self._note(
                "refused",
                f"still refused: {_files(pending.refused)}, as the run that read them said; tried again after a change "
                f"of configuration, or by `lakehouse curate {self.dataset.name} --again`",
            )
        everything = again and only is None
        if pending.foreign and not everything:
            raise SchemaError(
                f"dataset '{self.dataset.name}' holds rows of another source than '{self.dataset.source}', which its "
                f"configuration names now. `lakehouse curate {self.dataset.name} --again` replaces all its rows by "
                "those of the new one; or give the source its old name back"
            )
        if pending.left and not again:
            self._note(
                "older",
                f"the rows of {_files(pending.left)} were made under an older configuration; "
                f"`lakehouse curate {self.dataset.name} --again` makes them anew, and keeps the past",
            )
        if not pending.files and not pending.replaced(()):
            return
        target = planning.target(self.site, self.dataset, past, everything=everything)
        anew = target.anew or bool(pending.foreign)
        total = sum(file.size for file in pending.files)
        # What takes the place of everything must come in one commit.
        limit = None if anew else self.site.config.batch_bytes
        batches = list(cut(pending.files, lambda file: file.size, limit)) or [[]]
        for number, files in enumerate(batches):
            folder = self.work / str(number)
            folder.mkdir()
            last = number == len(batches) - 1 and only is None
            self._batch(Given(files, pending, target, anew=anew, last=last, gone=self.gone), folder, total)
        self.site.report(Progress("curate", self.dataset.name, total, total, "bytes", finished=True))
        if self.errors:
            raise self.errors[0]

    def result(self) -> Curated:
        """What was done."""
        return dataclasses.replace(self.done, seconds=time.monotonic() - self.started)

    def _note(self, kind: str, text: str) -> None:
        self.done = dataclasses.replace(self.done, notes=(*self.done.notes, Note(kind, self.dataset.name, text)))

    def _batch(self, given: Given, folder: Path, total: int) -> None:
        """One batch, from its record's begin to its end."""
        past = timeline.read(self.site.ledger, self.dataset.name)
        properties: dict[str, Value] = {
            "fingerprint": self.fingerprint,
            "code": self.code,
            "sequence": past.sequence + 1,
        }
        execution = self.site.begin("Curate", self.about, properties, [(self._schema(), EventType.INPUT)])
        private = tuple(columns.personal(self.made, self.dataset.schema.marks))
        batch = Batch(given, past, execution, self.fingerprint, private)
        point("curate.begun")
        try:
            stamp = Stamp(execution, self.site.clock())
            written = self._write(batch, stamp, folder, total)
            found = measuring.measure(
                self.site,
                self.dataset,
                batch,
                written,
                now=stamp.recorded_at,
                again=self.again,
                scratch=folder,
            )
            if reason := self._refusal(written, found):
                self._refuse(batch, written, found, reason)
                return
            if written.bad:
                written.notes.append(self._rejected(batch, written))
            if found is not None:
                written.notes += measuring.notes(self.dataset, found.anomalies)
            kept = () if found is None else measuring.keep(self.site, self.dataset, batch, written, found)
            odd = None if found is None else len(found.anomalies.anomalies)
            result = _summary(batch, written) | ({"anomalies": odd} if odd else {})
            plan = planning.plan(self.site, self.dataset, batch, written, result, kept=kept, anomalies=odd)
            point("curate.sealed")
            commit.prepare(self.site, execution, plan, result)
        except BaseException as error:
            with contextlib.suppress(StorageError):  # what is left is swept, or told by a check
                measured.discard(self.site.storage, self.dataset.name, execution)
            self.site.fail(execution, "Curate", self.about, error)
            raise
        version = commit.carry_out(self.site, execution, plan)
        self.gone |= batch.replaced(written)
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
            size=done.size + sum(file.size for file in given.files),
            notes=(*done.notes, *written.notes),
            anomalies=done.anomalies + (odd or 0),
        )

    @functools.cached_property
    def made(self) -> dict[str, columns.Column]:
        """What each column is made from."""
        return columns.of_mapping(
            self.dataset.schema,
            rename=self.dataset.rename,
            derive=self.dataset.derive,
            function=self.mapping.function,
            name=self.dataset.curate or "",
            declared=self.dataset.columns,
            others=self.dataset.new_columns == "add",
        )

    def _schema(self) -> Artifact:
        """The schema, mapping and policies the rows are made by, and what each column is made from, as an artifact."""
        text = columns.to_json(self.made)
        # What is declared of the function may change without changing a row: an artifact of its own all the same.
        features = self.dataset.schema.to_json()
        described = f"{self.fingerprint} {self.dataset.source} {text} {features}"
        identity = hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()
        return Artifact(
            "Schema",
            name=f"{self.dataset.name}:{identity[:12]}",
            external_id=f"schema/{self.dataset.name}/{identity}",
            properties={
                "dataset": self.dataset.name,
                "fingerprint": self.fingerprint,
                "source": self.dataset.source,
                "columns": text,
                "features": features,
                "format": self.source.format.model_dump_json(),
                "mapping": json.dumps(self.dataset.mapping, ensure_ascii=False),
            },
        )

    def _write(self, batch: Batch, stamp: Stamp, folder: Path, total: int) -> Written:
        so_far = self.done.size

        def progress(size: int) -> None:
            nonlocal so_far
            so_far += size
            self.site.report(Progress("curate", self.dataset.name, so_far, total, "bytes"))

        self._verify(batch)
        written = write(
            [Raw(f.sha256, printable(f.name), self.site.storage.path(f.uri)) for f in batch.given.files],
            {f.sha256: f.size for f in batch.given.files},
            dataset=self.dataset,
            reader=self.source.format,
            mapping=self.mapping,
            stamp=stamp,
            work=folder,
            progress=progress,
            private=batch.private,
        )
        point("curate.written")
        return written

    def _verify(self, batch: Batch) -> None:
        """Raw bytes are what was landed: by size always, by hash when older rows are replaced by them.

        Raises:
            IntegrityError: they are not.
        """
        # Asked once for the whole batch: asking file by file would look through all visible rows each time.
        replacing = bool(batch.given.pending.replaced({file.sha256 for file in batch.given.files}))
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

    def _refusal(self, written: Written, found: measuring.Found | None) -> str:
        """Why a batch is refused as a whole; "" where it is not."""
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
                **_result(written),
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
        told = "; ".join(f"{reason} ({count:,})" for reason, count in top)
        wider = next(filter(None, (proposal(reason, written.rejected, self.mapping) for reason, _ in top)), "")
        return f"{told}; {wider}" if wider else told


def _summary(batch: Batch, written: Written) -> dict[str, Value]:
    """What the ledger keeps of a batch's result."""
    # Left out where there are none: so the few that have them are found without looking at the others.
    found = {"refused": written.refused, "supersedes": batch.superseded(written)}
    return {
        **_result(written),
        "files": json.dumps(written.counts),
        **{name: json.dumps(value) for name, value in found.items() if value},
    }


def _result(written: Written) -> dict[str, Value]:
    """How many rows were read and rejected, and why most often."""
    reasons = dict(commonest(written.rejected, _KEPT)) if written.bad else {}
    return {
        "read": written.read,
        "rejected": written.bad,
        **({"reasons": json.dumps(reasons, ensure_ascii=False)} if reasons else {}),
        **measuring.tally(written),
    }


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
