"""A batch held against its schema, the batches before it and the dataset's own past.

"Previous" is the batch of the curation before: the newest one with rows whose raw files had not been curated before.
A batch that takes raw files in again is held against the schema alone: it is no next day of anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from lakehouse import timeline
from lakehouse.config import Dataset
from lakehouse.measured.keeping import Kept, kept_among, kept_of, read
from lakehouse.records import MAKERS, Version
from lakehouse.schema import Rule
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.validation.anomalies import Anomalies, Anomaly, explain, validate_statistics
from lakehouse.validation.expectations import MINIMUM, Past, expect
from lakehouse.validation.statistics import Statistics

__all__ = ["Batch", "History", "doubled", "judge", "median_day", "recent"]

_MORE, _MOST = 8, 100  # more batches are looked at than are wanted; and where these do not do, many more
_PIECE = 4_000_000  # rows whose keys are held in memory at a time


@dataclass(frozen=True, slots=True)
class Batch:
    """What is judged.

    Attributes:
        statistics: of its rows, with the rows that broke a rule counted.
        read: rows read: these, and those that were set apart.
        rows: the rows, lazily; with ``_raw`` where raw files brought them.
        day: the day it is of.
        names: raw files' own names by their sha256.
    """

    statistics: Statistics
    read: int
    rows: pl.LazyFrame
    day: date
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """What a batch is held against.

    Attributes:
        previous: the batch before; None where there is none.
        past: the batches before, oldest first.
        total: rows that the version before shows; None before the first.
    """

    previous: Statistics | None = None
    past: tuple[Past, ...] = ()
    total: int | None = None


def judge(  # noqa: PLR0913  # a judgement's parts, by name
    dataset: Dataset,
    batch: Batch,
    history: History,
    *,
    now: datetime | None,
    environment: str | None,
    serving: Statistics | None = None,
) -> Anomalies:
    """What is odd about a batch.

    Args:
        dataset: the dataset, with its schema.
        batch: the batch.
        history: what came before it.
        now: when its rows are curated: `freshness` is counted from here; None where that is not to be looked at.
        environment: one of the schema's; None for no one in particular.
        serving: what it is compared with for skew.

    Raises:
        NotFoundError: the schema does not know that environment.
    """
    schema, statistics = dataset.schema, batch.statistics
    keys = dataset.keys if schema.keys else ()
    found = validate_statistics(
        statistics,
        schema,
        environment=environment,
        previous_statistics=history.previous,
        serving_statistics=serving,
        previous_version_statistics=None if history.total is None else Statistics(history.total, {}),
        newest=_newest(statistics, dataset.event_time) if now is not None else None,
        at=now,
        rows_read=batch.read,
        doubled=doubled(batch.rows, keys, statistics.rows) if keys else None,
        keys=keys,
    )
    if found.data_missing:
        return found
    policy = dataset.validation.history
    odd = expect(statistics, batch.day, history.past, schema, rate=policy.rate) if policy and history.past else ()
    anomalies = tuple(_explained(one, batch, history.previous) for one in found.anomalies)
    return dataclasses.replace(found, anomalies=(*anomalies, *odd))


def _explained(anomaly: Anomaly, batch: Batch, previous: Statistics | None) -> Anomaly:
    """A drift with the raw files that brought it."""
    if anomaly.rule is not Rule.DRIFT or previous is None or not batch.names:
        return anomaly
    causes = explain(anomaly, batch.rows, previous, batch.names)
    return dataclasses.replace(anomaly, causes=causes)


def _newest(statistics: Statistics, event_time: str | None) -> datetime | None:
    feature = statistics.features.get(event_time or "")
    moments = None if feature is None else feature.moments
    newest = None if moments is None else moments.max
    return newest if isinstance(newest, datetime) else None


def recent(site: Site, dataset: Dataset, past: Timeline, *, until: int | None = None) -> History:
    """What a dataset's next batch is held against, or the one that an execution brought.

    Args:
        site: the opened lake.
        dataset: the dataset.
        past: its past.
        until: look only at curations before this one.
    """
    policy = dataset.validation.history
    most = policy.batches if policy is not None else 1
    # A snapshot that was taken in again, for one that came late, was the full picture at its time all the same.
    stays = dataset.history == "snapshots"
    usual = _usual(past, _before(site, past, until, most + _MORE), until, stays=stays)
    if len(usual) < most:
        usual = _usual(past, _before(site, past, until, 4 * most + _MOST), until, stays=stays)
    # Too few to tell anything are not read.
    enough = policy is not None and len(usual) >= MINIMUM
    wanted = usual[:most] if enough else usual[:1]
    known = [(one, own) for one in wanted if (own := read(site.storage, one.uri, one.sha256)) is not None]
    before = past.last if until is None else past.before(until)
    return History(
        previous=known[0][1] if known and known[0][0] is usual[0] else None,
        past=tuple(Past(own, one.at) for one, own in reversed(known)) if enough else (),
        total=None if before is None else _shown(site, before),
    )


def _shown(site: Site, version: Version) -> int | None:
    """The rows that a version shows; of snapshots those of the newest, None where these were not counted."""
    if version.history != "snapshots":
        return version.total
    kept = kept_of(site.ledger, version.dataset, version.execution)
    return None if kept is None else kept.rows


def _before(site: Site, past: Timeline, until: int | None, limit: int) -> list[Kept]:
    """What the newest curations kept, so many of them, of those before an execution if one is given; newest first."""
    curations = site.ledger.get_executions(
        type=MAKERS,
        context=past.context,
        until=None if until is None else until - 1,
        newest_first=True,
        limit=limit,
        only=(),
    )
    known = kept_among(site.ledger, past.dataset, [execution.id for execution in curations])
    return sorted(known.values(), key=lambda one: -one.execution)


def _usual(past: Timeline, every: Sequence[Kept], until: int | None, *, stays: bool) -> list[Kept]:
    """The batches with rows, of files that came for the first time, that no correction had taken the place of."""
    if not every:
        return []
    again = {one.execution for one in every if one.again}
    corrected = {
        old
        for execution in (() if stays else past.superseding(after=min(one.execution for one in every)))
        if execution.id not in again and (until is None or execution.id < until)
        for old, raws in timeline.superseded(execution).items()
        if raws is None
    }
    return [one for one in every if one.rows and not one.again and one.execution not in corrected]


def median_day(statistics: Statistics, event_time: str | None) -> date | None:
    """The day (UTC) in the middle of a batch's events; None without events, and where these are personal."""
    feature = statistics.features.get(event_time or "")
    if feature is None or feature.moments is None:
        return None
    days = feature.daily()
    middle = days["count"].cum_sum() * 2 >= days["count"].sum()
    found = days["day"].filter(middle)[0]
    assert isinstance(found, date)  # noqa: S101  # days are dates
    return found


def doubled(rows: pl.LazyFrame, keys: Collection[str], count: int) -> int:
    """How many rows share their keys with another row before them.

    Args:
        rows: the rows.
        keys: the columns that should name a row; a missing value is a value here.
        count: how many rows there are, roughly: many are counted in several passes over their keys.
    """
    pieces = count // _PIECE + 1
    mark = "\0part"  # a name that no key has
    named = rows.select(pl.struct(*keys).hash().alias(mark), *keys)
    total = 0
    for piece in range(pieces):
        part = named.filter(pl.col(mark) % pieces == piece) if pieces > 1 else named
        extra = part.group_by(*keys).agg(pl.len().alias(mark)).select((pl.col(mark).cast(pl.Int64) - 1).sum())
        total += int(extra.collect(engine="streaming").item() or 0)
    return total
