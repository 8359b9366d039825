"""Where a batch goes, what it replaces, and the commits that will make it visible."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import tables, timeline
from lakehouse.config import Dataset
from lakehouse.curation.batch import Written
from lakehouse.curation.commit import Plan, abreast
from lakehouse.curation.pending import Pending, Rows
from lakehouse.errors import SchemaError
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, RawFile, Value, raw_id
from lakehouse.schema import PROVENANCE
from lakehouse.site import Site
from lakehouse.storage import sync_folders
from lakehouse.tables import Commit, Part
from lakehouse.timeline import Timeline
from lakehouse.validation import QUARANTINE

__all__ = ["Batch", "Given", "Target", "plan", "target"]


@dataclass(frozen=True, slots=True)
class Target:
    """The table a batch goes to.

    Attributes:
        uri: the table, relative to the lake's root.
        offset: the dataset's version of the table's version 0.
        anew: whether it is a new table beside the one that was used so far.
    """

    uri: str
    offset: int
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """What a batch is given.

    Attributes:
        files: its files.
        anew: they replace all there is.
        last: no other batch follows, and then everything that was pending has been taken.
        gone: the rows that the batches before it replaced.
    """

    files: Sequence[RawFile]
    pending: Pending
    target: Target
    anew: bool
    last: bool
    gone: frozenset[Rows]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch whose record has begun. What is in its ``private`` columns must not stand in a log."""

    given: Given
    past: Timeline
    execution: int
    fingerprint: str
    private: tuple[str, ...]

    def replaced(self, written: Written) -> frozenset[Rows]:
        """The older rows that are left out from this batch on."""
        return self.given.pending.replaced(written.counts, anew=self.given.anew)

    def superseded(self, written: Written) -> dict[int, list[str] | None]:
        """The same in the ledger's form."""
        return self.given.pending.superseded(self.replaced(written))


def target(site: Site, dataset: Dataset, past: Timeline, *, everything: bool) -> Target:
    """The table to append to; a new one where the schema no longer fits the old one and all is curated again.

    Raises:
        SchemaError: the schema no longer fits, and not everything is curated again.
        MetadataError: the ledger is older than the tables.
    """
    abreast(site, past.dataset, past.sequence)
    last = past.last
    if last is None:
        return Target(f"curated/{dataset.name}", 0)
    layout = tables.layout(site.storage.path(last.uri))
    known = {} if layout is None else layout.dtypes
    changed = tables.misfits(known, dataset.schema.dtypes)
    if layout is not None and layout.partition_by != tuple(dataset.partition_by):
        changed.append(f"partition_by from {list(layout.partition_by)} to {list(dataset.partition_by)}")
    if changed and not everything:
        raise _misfit(dataset, changed)
    # A column that is no feature any more could come back as text, which a table that holds it cannot take.
    left = [c for c in known if c not in dataset.schema.dtypes and c not in PROVENANCE and known[c] != pl.String]
    if changed or (everything and left):
        generation = len({version.uri for version in past.versions}) + 1
        return Target(f"curated/{dataset.name}~{generation}", last.version + 1, anew=True)
    return Target(last.uri, last.version - last.table_version)


def _misfit(dataset: Dataset, changed: Sequence[str]) -> SchemaError:
    return SchemaError(
        f"dataset '{dataset.name}': the schema no longer fits its table ({'; '.join(changed)}). Run "
        f"`lakehouse curate {dataset.name} --again`: it curates all raw files into a new table, and every older "
        "version stays readable as it was"
    )


def plan(  # noqa: PLR0913  # all that a batch became, by name
    site: Site,
    dataset: Dataset,
    batch: Batch,
    written: Written,
    result: Mapping[str, Value],
    *,
    kept: tuple[Artifact, ...] = (),
    anomalies: int | None = None,
) -> Plan:
    """Seal the parts and write down the commits that make them visible.

    Args:
        site: the opened lake.
        dataset: the dataset.
        batch: what is curated.
        written: what came of it.
        result: the same as the execution's properties.
        kept: what was measured of it, as it is kept.
        anomalies: how many were found in it; None when it was not measured.

    Raises:
        SchemaError: a column that was taken along does not fit the table.
        StorageError: the disk refused.
    """
    past, place, execution = batch.past, batch.given.target, batch.execution
    columns = {**dataset.schema.dtypes, **dict.fromkeys(written.added, pl.String()), **PROVENANCE}
    layout = tables.layout(site.storage.path(place.uri))
    # Looked at before the plan is kept: a plan that cannot be carried out would stand in every later run's way.
    if changed := tables.misfits({} if layout is None else layout.dtypes, columns):
        raise _misfit(dataset, changed)
    valid = _seal(site, written.valid, place.uri, execution, batch.private)
    rejected = _seal(site, written.rejected, f"quarantine/{dataset.name}", execution, ["fields", "text"])
    gone = batch.replaced(written)
    sequence, partition_by = past.sequence + 1, tuple(dataset.partition_by)
    rows, outlined = sum(part.rows for part in valid), Commit(sequence, (), "", {})
    outline = Plan(
        dataset=dataset.name,
        uri=place.uri,
        offset=place.offset,
        curated=outlined if valid or gone else None,
        quarantine=outlined if rejected else None,
        inputs=tuple(file.id for file in batch.given.files if file.sha256 in written.counts),
        refused=tuple(file.id for file in batch.given.files if file.sha256 in written.refused),
        rows=rows,
        total=(past.last.total if past.last else 0) + rows - _row_count(past, gone),
        files=len(written.counts),
        rejected=written.bad,
        kept=kept,
        anomalies=anomalies,
        looked=batch.given.pending.seen_after(batch.given.gone | gone).to_json() if batch.given.last else "",
    )
    note = {
        "lakehouse.commit": uuid.uuid4().hex,
        "lakehouse.dataset": dataset.name,
        "lakehouse.execution": str(execution),
        "lakehouse.fingerprint": batch.fingerprint,
        "lakehouse.raw": json.dumps(sorted(written.counts)),
        "lakehouse.supersedes": json.dumps(batch.superseded(written)),
        # With these the ledger's record of this curation can be made again from the table alone.
        "lakehouse.plan": outline.to_json(),
        "lakehouse.receipt": _receipt(site, batch, result).to_json(),
    }
    curated = Commit(sequence, tuple(valid), tables.schema_of(columns), note, partition_by, dataset.description)
    quarantine = Commit(sequence, tuple(rejected), tables.schema_of(QUARANTINE), note)
    return dataclasses.replace(
        outline, curated=outline.curated and curated, quarantine=outline.quarantine and quarantine
    )


def _receipt(site: Site, batch: Batch, result: Mapping[str, Value]) -> Receipt:
    """What is known of the curation before its commits."""
    (begun,) = site.ledger.receipts([batch.execution])
    execution = dataclasses.replace(begun.execution, properties={**begun.execution.properties, **result})
    raws = [Artifact("RawFile", external_id=raw_id(file.source, file.sha256), id=file.id) for file in batch.given.files]
    return dataclasses.replace(begun, execution=execution, artifacts=(*begun.artifacts, *raws))


def _seal(site: Site, files: Sequence[Path], uri: str, execution: int, private: Sequence[str]) -> list[Part]:
    table = site.storage.path(uri)
    parts = [tables.seal(file, table, f"{execution}-{n}", private) for n, file in enumerate(files)]
    if parts:
        sync_folders([table, table.parent], site.storage.root)
    return parts


def _row_count(past: Timeline, gone: frozenset[Rows]) -> int:
    """How many curated rows these are, of those that are visible still."""
    if not gone or past.last is None:
        return 0
    hidden = past.hidden(past.last, after=min(execution for execution, _ in gone))
    made = past.ledger.get_executions(ids={execution for execution, _ in gone}, only=["files"])
    counts = {e.id: timeline.counts(e) for e in made}
    total = 0
    for execution, sha in gone:
        before = hidden.get(execution, set())
        if before is not None and sha not in before:
            read, rejected = counts[execution][sha]
            total += read - rejected
    return total
