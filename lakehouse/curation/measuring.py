"""Measuring a batch over the Parquet files that were just written, and judging it, before it can become visible."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from lakehouse import measured
from lakehouse.config import Dataset
from lakehouse.curation.batch import Written
from lakehouse.curation.planning import Batch, stored_columns
from lakehouse.faults import point
from lakehouse.records import Artifact, Note, Value
from lakehouse.schema import Action, Rule
from lakehouse.site import Site
from lakehouse.validation.anomalies import Anomalies, Anomaly
from lakehouse.validation.statistics import Broken, Statistics

__all__ = ["Found", "keep", "measure", "measured_batch", "notes", "refusal", "restated", "tally"]

_TOLD = 3  # anomalies named in a message


@dataclass(frozen=True, slots=True)
class Found:
    """What a batch is like, and what is odd about that.

    Attributes:
        day: the day that the batch is of.
        again: whether its raw files had been curated before.
    """

    statistics: Statistics
    anomalies: Anomalies
    day: date
    again: bool


def measure(  # noqa: PLR0913  # a batch's parts, by name
    site: Site, dataset: Dataset, batch: Batch, written: Written, *, now: datetime, again: bool, scratch: Path
) -> Found | None:
    """Statistics and anomalies of a batch; None where nothing was read, or the dataset does not want them.

    Args:
        site: the opened lake.
        dataset: the dataset.
        batch: what is curated.
        written: what came of it.
        now: the moment its rows are recorded at.
        again: its raw files had been curated before: it is held against its schema alone.
        scratch: a folder for files that are deleted again.
    """
    # Of several snapshots the last one is the picture from now on.
    written = written.newest or written
    if not dataset.validation.statistics or not written.counts:
        return None
    files = [file for file in batch.given.files if file.sha256 in written.counts]
    landed = max((file.landed_at for file in files), default=now).date()
    names = {file.sha256: file.name for file in files}
    judged = measured_batch(dataset, written, batch.private, names, landed=landed, scratch=scratch)
    anomalies = measured.judge(
        dataset,
        judged,
        measured.History() if again else measured.recent(site, dataset, batch.past),
        now=now,
        environment=dataset.validation.environment,
    )
    point("curate.measured")
    return Found(judged.statistics, anomalies, judged.day, again)


def measured_batch(  # noqa: PLR0913  # as above
    dataset: Dataset,
    written: Written,
    private: Collection[str],
    names: Mapping[str, str],
    *,
    landed: date,
    scratch: Path,
) -> measured.Batch:
    """What was written of a batch, measured: in one pass over its rows.

    Args:
        dataset: the dataset.
        written: its rows.
        private: the columns whose values are not kept.
        names: its raw files' names by their sha256.
        landed: the day it is of where its rows do not say.
        scratch: a folder for files that are deleted again.
    """
    rows = measured.counted(_rows(dataset, written))
    statistics = dataclasses.replace(
        measured.measure(rows, dataset.schema, private, scratch=scratch),
        broken=tuple(_without_values(written.broken, private)),
        absent=tuple(written.absent),
        unknown=tuple(written.unknown),
        judged=True,
    )
    day = measured.median_day(statistics, dataset.event_time) or landed
    return measured.Batch(statistics, written.read, rows, day, names)


def _rows(dataset: Dataset, written: Written) -> pl.LazyFrame:
    """The batch's valid rows, out of the files that hold them."""
    if dataset.history == "snapshots":  # all of it, not only what it changes
        dtypes = stored_columns(dataset, written.added, states=False)
        whole = written.whole if written.applied else written.valid
        if not whole:
            return pl.LazyFrame(schema=dtypes)
        return pl.scan_parquet(whole, schema=dtypes, missing_columns="insert", glob=False)
    dtypes = stored_columns(dataset, written.added)
    folders = {name: dtypes[name] for name in dataset.partition_by}
    inside = {name: dtype for name, dtype in dtypes.items() if name not in folders}
    if not written.valid:
        return pl.LazyFrame(schema=dtypes)
    if not folders:
        return pl.scan_parquet(written.valid, schema=inside, missing_columns="insert", glob=False)
    # Each folder for itself: a '=' in the path above it is none of a partition's.
    return pl.concat(
        pl.scan_parquet(
            folder, schema=inside, missing_columns="insert", glob=False, hive_partitioning=True, hive_schema=folders
        ).select(list(dtypes))
        for folder in _outcomes(written.valid, len(folders))
    )


def restated(dataset: Dataset, written: Written) -> list[Note]:
    """That rows of a batch of ``changes`` say two things of one key at one time, where some do."""
    moments = [*dataset.keys, "_valid_from"]
    count = measured.doubled(_rows(dataset, written), moments, written.read - written.bad) if written.valid else 0
    if not count:
        return []
    rows = f"{count:,} row{'' if count == 1 else 's'}"
    return [
        Note(
            "duplicates",
            dataset.name,
            f"{rows} came again later in the batch for the same keys and time: the last counts",
        )
    ]


def _outcomes(files: Sequence[Path], levels: int) -> list[Path]:
    """The folders in which partitioned files lie: above one folder a partition column."""
    return list(dict.fromkeys(file.parents[levels] for file in files))


def _without_values(broken: Sequence[Broken], private: Collection[str]) -> Iterator[Broken]:
    """What broke, without examples of what is personal: a check across columns may show any."""
    for one in broken:
        within = any(one.path == name or one.path.startswith(f"{name}.") for name in private)
        hidden = within or (private and one.rule is Rule.CHECK)
        yield dataclasses.replace(one, examples=()) if hidden else one


def keep(  # noqa: PLR0913  # as above
    site: Site, dataset: Dataset, batch: Batch, written: Written, found: Found, *, refused: bool = False
) -> tuple[Artifact, ...]:
    """Write what was measured beside the tables; what the ledger says of it.

    Raises:
        StorageError: the disk refused.
    """
    total = None
    if not refused and dataset.history != "snapshots":  # their newest picture is all there is to know
        total = measured.running_total(
            site,
            batch.past,
            dataset.schema,
            batch.private,
            batch=found.statistics,
            replaced=batch.superseded(written),
            sequence=batch.past.sequence + 1,
        )
    kept = measured.keep(
        site,
        dataset.name,
        batch.execution,
        anomalies=found.anomalies,
        statistics=None if refused else found.statistics,
        total=total,
        at=found.day,
        again=found.again,
        personal=batch.private,
    )
    point("curate.kept")
    return kept


def tally(written: Written) -> dict[str, Value]:
    """How many values were filled in by defaults, and how many rows broke which rule; nothing where none was."""
    broken: Counter[str] = Counter()
    for one in written.broken:
        broken[one.reason] += one.rows  # which names the feature
    found = {"filled": {name: n for name, n in written.filled.items() if n}, "broken": dict(broken.most_common())}
    return {name: json.dumps(counts, ensure_ascii=False) for name, counts in found.items() if counts}


def refusal(dataset: Dataset, anomalies: Anomalies) -> str:
    """Why a batch is refused as a whole."""
    stopping = [one for one in anomalies.anomalies if one.action is Action.REFUSE]
    rows = f"{anomalies.rows:,} row{'' if anomalies.rows == 1 else 's'}"
    return (
        f"dataset '{dataset.name}': the batch of {rows} is refused by its schema; nothing was appended. "
        f"{_listed(stopping)}"
    )


def notes(dataset: Dataset, anomalies: Anomalies) -> list[Note]:
    """What is odd about a batch that was taken all the same, beside what its files and rejected rows tell already."""
    told = [one for one in anomalies.anomalies if one.action is Action.WARN and not _said(dataset, one)]
    if not told:
        return []
    count = f"{len(told)} anomal{'y' if len(told) == 1 else 'ies'}"
    where = f"in the batch of {anomalies.rows:,} row{'' if anomalies.rows == 1 else 's'}"
    text = f"{count} {where}. {_listed(told)}. `lakehouse validate {dataset.name}` tells more"
    return [Note("anomaly", dataset.name, text)]


def _said(dataset: Dataset, anomaly: Anomaly) -> bool:
    """Whether a file's header told of it already."""
    unknown = anomaly.rule is Rule.NEW_COLUMN and anomaly.path not in dataset.schema.features
    return unknown or anomaly.rule is Rule.MISSING_COLUMN


def _listed(anomalies: Sequence[Anomaly]) -> str:
    shown = [f"{one.path}: {one.short}" if one.path else one.short for one in anomalies[:_TOLD]]
    more = len(anomalies) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
