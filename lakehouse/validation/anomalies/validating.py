"""A batch's statistics held against its schema and against other batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from lakehouse.schema import FeatureType, Schema
from lakehouse.validation.anomalies import batch
from lakehouse.validation.anomalies.columns import gone_columns, needed, new_columns, nothing_there, presence
from lakehouse.validation.anomalies.comparing import compared
from lakehouse.validation.anomalies.domains import domain, unique
from lakehouse.validation.anomalies.fitting import types, valency
from lakehouse.validation.anomalies.found import Anomalies, Anomaly, Measure
from lakehouse.validation.anomalies.judged import Finding, Judged
from lakehouse.validation.statistics import Broken, Statistics

__all__ = ["validate_statistics"]


def validate_statistics(  # noqa: PLR0913  # what a batch may be held against, by name
    statistics: Statistics,
    schema: Schema,
    *,
    environment: str | None = None,
    previous_statistics: Statistics | None = None,
    serving_statistics: Statistics | None = None,
    previous_version_statistics: Statistics | None = None,
    widen: bool = True,
    rows_read: int | None = None,
    doubled: int | None = None,
    keys: Sequence[str] = (),
    newest: datetime | None = None,
    at: datetime | None = None,
) -> Anomalies:
    """What is odd about a batch.

    Args:
        statistics: of the batch. Where they were made with the schema, rules of rows are as the rows were judged;
            else every known value is looked at.
        schema: what it must be.
        environment: the one it is judged in; features that are not in it must not be there.
        previous_statistics: of the batch before: for ``drift``, and ``rows: drift``.
        serving_statistics: of serving data, where the batch is training data: for ``skew``.
        previous_version_statistics: of the version before: for ``rows: version``; only its rows are looked at.
        widen: take a value that fits without loss: 12 in a float feature, 12.0 in an int one, any text in a string
            one. False judges as TensorFlow Data Validation does: the column's own type must be the feature's.
        rows_read: where the statistics are of the valid rows only: how many were read.
        doubled: rows that share their keys with an earlier row of the batch: for ``keys: unique``.
        keys: the names of the keys.
        newest: the newest event_time of the batch, with a time zone: for ``freshness``.
        at: now, with a time zone.

    Returns:
        Anomalies, distances, and notes on what could not be looked at. Of a batch without rows, and without rows
        that were set apart, only that there is no data.

    Raises:
        NotFoundError: the schema knows no such environment.
    """
    within = schema.within(environment)
    n = statistics.rows if rows_read is None else rows_read
    if not n and not statistics.broken:
        return Anomalies(data_missing=True, environment=environment)
    found: list[Finding] = [
        *batch.unreadable(statistics, within),
        *batch.rows(statistics.rows, within, previous_statistics, previous_version_statistics),
        *batch.keys(within, doubled, keys, n),
        *batch.freshness(within, newest, at),
        *batch.checks(statistics, within, n),
        *gone_columns(statistics, within),
    ]
    for judged in _judged(statistics, within, widen=widen, all_rows=rows_read is None):
        found += _of_feature(judged, previous_statistics, serving_statistics)
    found += new_columns(statistics, within, schema, environment)
    return Anomalies(
        anomalies=tuple(f for f in found if isinstance(f, Anomaly)),
        measures=tuple(f for f in found if isinstance(f, Measure)),
        rows=n,
        environment=environment,
        notes=tuple(f for f in found if isinstance(f, str)),
    )


def _judged(statistics: Statistics, schema: Schema, *, widen: bool, all_rows: bool) -> Iterator[Judged]:
    """Every feature of the schema whose column is there."""
    broken: dict[str, list[Broken]] = {}
    for one in statistics.broken:
        broken.setdefault(one.path, []).append(one)
    for path, feature in schema.paths().items():
        seen = statistics.features.get(path)
        if seen is not None and path not in statistics.absent:
            rows, found = statistics.rows_of(path), tuple(broken.get(path, ()))
            yield Judged(schema, path, feature, seen, rows, found, statistics.judged, widen, all_rows)


def _of_feature(judged: Judged, previous: Statistics | None, serving: Statistics | None) -> Iterator[Finding]:
    feature = judged.feature
    if not feature.checked:  # its rows are held to its type alone
        if judged.widen:
            yield from types(judged)
        return
    if not judged.seen.count and not judged.broken:
        if judged.rows and needed(feature):
            yield nothing_there(judged)
        return
    yield from presence(judged)
    if judged.unsplit:
        what = "structs" if feature.type is FeatureType.STRUCT else "lists"
        yield (
            f"{judged.path}: its {what} are text in these statistics, and were not looked at; make the statistics with"
            " the schema (generate_statistics(frame, schema=schema)), which says how they are written."
        )
        return
    yield from types(judged)
    yield from valency(judged)
    if feature.type is not FeatureType.STRUCT:
        yield from domain(judged)
    yield from unique(judged)
    if judged.seen.count and feature.type is not FeatureType.STRUCT:
        yield from compared(judged, "drift", previous)
        yield from compared(judged, "skew", serving)
