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
from lakehouse.curation.arrivals import Order
from lakehouse.curation.batch import Written
from lakehouse.curation.commit import Plan, abreast
from lakehouse.curation.pending import Rows, Together
from lakehouse.errors import SchemaError
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, EventType, RawFile, Value, Version, raw_id
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import Site
from lakehouse.storage import sync_folders
from lakehouse.tables import Commit, Part
from lakehouse.timeline import Timeline
from lakehouse.validation import QUARANTINE

__all__ = ["Batch", "Given", "Target", "plan", "stored_columns", "target"]


_UNSAID = {"event_time": "none", "snapshot_time": "landed", "on_changed_file": "correct"}
"""What a mapping means that does not say these."""


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
        order: of snapshots: which of them these are.
    """

    files: Sequence[RawFile]
    pending: Together
    target: Target
    anew: bool
    last: bool = False
    gone: frozenset[Rows] = frozenset()
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch whose record has begun. What is in its ``private`` columns must not stand in a log."""

    given: Given
    past: Timeline
    execution: int
    fingerprint: str
    private: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The type of its execution."""
        return "Curate"

    def inputs(self, written: Written) -> tuple[int, ...]:
        """The ids of the artifacts whose rows were read."""
        return tuple(file.id for file in self.given.files if file.sha256 in written.counts)

    def raws(self) -> list[Artifact]:
        """What it was given, as its receipt names it: raw files by what tells them apart."""
        return [Artifact("RawFile", external_id=raw_id(f.source, f.sha256), id=f.id) for f in self.given.files]

    def replaced(self, written: Written) -> frozenset[Rows]:
        """The older rows that are left out from this batch on."""
        if self.given.order is not None:
            foreign = self.given.pending.replaced((), anew=True) if self.given.anew else frozenset[Rows]()
            return self.given.order.gone | foreign
        read = [file for file in self.given.files if file.sha256 in written.counts]
        return self.given.pending.replaced(read, anew=self.given.anew)

    def repeats(self, written: Written) -> bool:
        """Whether the newest of its snapshots had been taken in before, and now is again for one that came late."""
        order, applied = self.given.order, written.applied
        return order is not None and bool(applied) and applied[-1] in order.again

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
    (maker,) = site.ledger.get_executions(ids=[last.execution], only=())
    if (maker.type == "Derive") is not dataset.derived:
        held, now = (
            ("derived from other datasets", "curates raw files")
            if maker.type == "Derive"
            else ("curated from raw files", "derives it from other datasets")
        )
        raise SchemaError(
            f"dataset '{dataset.name}' holds rows that were {held}, and its configuration {now} now. Give it another "
            "name; what is there stays readable under this one"
        )
    layout = tables.layout(site.storage.path(last.uri))
    known = {} if layout is None else layout.dtypes
    changed = tables.misfits(known, dataset.schema.dtypes)
    if layout is not None and layout.partition_by != tuple(dataset.partition_by):
        changed.append(f"partition_by from {list(layout.partition_by)} to {list(dataset.partition_by)}")
    meant = _kind_changes(site, dataset, last)
    if (changed or meant) and not everything:
        raise _misfit(dataset, changed) if changed else _misfit(dataset, meant, "load kind")
    # A column that is no feature any more could come back as text, which a table that holds it cannot take.
    own = {**dataset.schema.dtypes, **PROVENANCE, **STATES}
    left = [c for c in known if c not in own and known[c] != pl.String]
    if changed or meant or (everything and left):
        generation = len({version.uri for version in past.versions}) + 1
        return Target(f"curated/{dataset.name}~{generation}", last.version + 1, anew=True)
    return Target(last.uri, last.version - last.table_version)


def _kind_changes(site: Site, dataset: Dataset, last: Version) -> list[str]:
    """How the rows there are were meant otherwise than those to come: one state cannot be told from both."""
    changed = []
    if last.history != dataset.history:
        changed.append(f"history from {last.history} to {dataset.history}")
    elif dataset.keyed and last.keys != dataset.keys:
        changed.append(f"keys from {list(last.keys)} to {list(dataset.keys)}")
    decides = {"changes": ("event_time",), "snapshots": ("snapshot_time", "on_changed_file")}.get(dataset.history, ())
    if changed or not decides or dataset.derived:
        return changed
    events = site.ledger.get_events(execution_ids=[last.execution], types=[EventType.INPUT])
    for made in site.ledger.get_artifacts(type="Schema", ids=[event.artifact_id for event in events]):
        source, before = str(made.properties.get("source", "")), json.loads(str(made.properties.get("mapping", "{}")))
        if source not in dataset.source_names or not before:
            continue
        now = dataset.of(source).mapping
        changed += [
            f"{name} from {before.get(name, _UNSAID[name])} to {now.get(name, _UNSAID[name])}"
            for name in decides
            if before.get(name) != now.get(name)
        ]
    return changed


def stored_columns(dataset: Dataset, added: Sequence[str], *, states: bool = True) -> dict[str, pl.DataType]:
    """The columns of the rows that a dataset's batch appends, with those taken along that no feature knows.

    Args:
        dataset: the dataset.
        added: the columns taken along.
        states: whether a keyed dataset's rows are states already.
    """
    known = {**dataset.schema.dtypes, **dict.fromkeys(added, pl.String()), **PROVENANCE}
    return {**known, **STATES} if dataset.keyed and states else known


def _misfit(dataset: Dataset, changed: Sequence[str], what: str = "schema") -> SchemaError:
    anew = "derives it anew" if dataset.derived else "curates all raw files"
    return SchemaError(
        f"dataset '{dataset.name}': the {what} no longer fits its table ({'; '.join(changed)}). Run "
        f"`lakehouse curate {dataset.name} --again`: it {anew} into a new table, and every older version stays "
        "readable as it was"
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
    columns = stored_columns(dataset, written.added)
    layout = tables.layout(site.storage.path(place.uri))
    # Looked at before the plan is kept: a plan that cannot be carried out would stand in every later run's way.
    known = {} if layout is None else layout.dtypes
    if changed := tables.misfits(known, columns):
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
        inputs=batch.inputs(written),
        refused=tuple(file.id for file in batch.given.files if file.sha256 in written.refused),
        rows=rows,
        total=(past.last.total if past.last else 0) + rows - _row_count(past, gone),
        files=len(batch.inputs(written)),
        rejected=written.bad,
        kept=kept,
        anomalies=anomalies,
        looked=batch.given.pending.looks_after(batch.given.gone | gone) if batch.given.last else "",
        history=dataset.history,
        keys=dataset.keys if dataset.keyed else (),
        width=len(known | columns),
        run=site.run,
        kind=batch.kind,
    )
    note = {
        "lakehouse.commit": uuid.uuid4().hex,
        "lakehouse.dataset": dataset.name,
        "lakehouse.execution": str(execution),
        "lakehouse.fingerprint": batch.fingerprint,
        "lakehouse.raw": json.dumps(sorted(filter(None, written.counts))),
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
    return dataclasses.replace(begun, execution=execution, artifacts=(*begun.artifacts, *batch.raws()))


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
    made = past.ledger.get_executions(ids={execution for execution, _ in gone}, only=["files", "appended"])
    appended = {e.id: timeline.appended(e) for e in made}
    total = 0
    for execution, sha in gone:
        before = hidden.get(execution, set())
        if before is not None and sha not in before:
            total += appended[execution].get(sha, 0)
    return total
