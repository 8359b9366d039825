"""Adding up the statistics of two batches of rows, without reading either again.

What was counted stays exact, and so do sums, buckets and registers: what comes out is what all rows together would
have given. Only the most frequent values of a feature with more than `BOUND` distinct ones may be off, by bounds that
are carried along (`unlisted`, `undercount`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from lakehouse.errors import SchemaError
from lakehouse.schema import FeatureType
from lakehouse.validation.statistics import buckets, registers
from lakehouse.validation.statistics.feature import NUMBERS, Evidence, FeatureStatistics
from lakehouse.validation.statistics.making import Seen, condense, condensed, finished, hidden, listed

__all__ = ["add_features", "lacking"]


def add_features(one: FeatureStatistics, other: FeatureStatistics) -> FeatureStatistics:
    """The statistics of a feature in the rows of both.

    Raises:
        SchemaError: it is of types whose values cannot be told in one.
    """
    seen = _seen(one) + _seen(other)
    if seen.personal:
        return hidden(seen, one.type or other.type, _spans(one, other))
    if not other.values:
        return _same(one, seen, one.type or other.type)
    if not one.values:
        return _same(other, seen, other.type)
    if FeatureType.STRUCT in (one.type, other.type):
        if one.type is not other.type:
            raise _differ(one, other)
        return _same(one, seen, one.type)
    kind = _kind(one, other)
    one, other = _as(one, kind, other), _as(other, kind, one)
    weighed = seen.weights is not None
    if one.complete and other.complete:
        both = _concat(one, other, _counts(one, weighed=weighed), _counts(other, weighed=weighed))
        return finished(seen, kind, both.group_by("value").agg(pl.all().sum()))
    common = _concat(one, other, one.frequencies().clear(), other.frequencies().clear()).schema["value"]
    return _sketches(seen, kind, _open(one, common), _open(other, common))


def _seen(feature: FeatureStatistics) -> Seen:
    return Seen(
        feature.path,
        feature.repeated,
        feature.personal,
        feature.rows,
        feature.count,
        feature.values,
        feature.valencies,
        feature.weights,
    )


def _same(feature: FeatureStatistics, seen: Seen, kind: FeatureType | None) -> FeatureStatistics:
    """A feature with more rows, none of which has a value."""
    return replace(
        feature,
        type=kind,
        rows=seen.rows,
        count=seen.count,
        values=seen.values,
        repeated=seen.repeated,
        valencies=seen.valencies,
        weights=seen.weights,
    )


def _spans(one: FeatureStatistics, other: FeatureStatistics) -> tuple[int, int]:
    """Fewest and most distinct values both together can have."""
    (low, high), (least, most) = _span(one), _span(other)
    return max(low, least), high + most


def _span(feature: FeatureStatistics) -> tuple[int, int]:
    if feature.span is not None:
        return feature.span
    found = feature.distinct
    return round(found.count * (1 - 3 * found.error)), round(found.count * (1 + 3 * found.error))


def _kind(one: FeatureStatistics, other: FeatureStatistics) -> FeatureType | None:
    if one.type is other.type:
        return one.type
    return FeatureType.FLOAT if {one.type, other.type} <= {*NUMBERS} else FeatureType.STRING


def _differ(one: FeatureStatistics, other: FeatureStatistics) -> SchemaError:
    return SchemaError(
        f"'{one.path}': statistics of a feature that is {_called(one)} in one batch and {_called(other)} in another do "
        "not add up; generate both with one schema"
    )


def _called(feature: FeatureStatistics) -> str:
    return "nothing" if feature.type is None else feature.type.value


def _as(feature: FeatureStatistics, kind: FeatureType | None, other: FeatureStatistics) -> FeatureStatistics:
    """The feature as one of another type."""
    if feature.type is kind:
        return feature
    if kind is not FeatureType.FLOAT and not feature.complete:
        raise _differ(feature, other)
    dtype: pl.DataType = pl.Float64() if kind is FeatureType.FLOAT else pl.String()
    held = feature.held
    try:
        counts = held.counts.with_columns(pl.col("value").cast(dtype))
    except pl.exceptions.PolarsError as error:  # bytes are no text
        raise _differ(feature, other) from error
    counts = counts.group_by("value").agg(pl.all().sum())
    if feature.complete:
        return finished(_seen(feature), kind, counts)
    low, high = (None if end is None else float(end) for end in (feature.low, feature.high))
    span = _span(feature)  # registers of other values
    evidence = replace(held, counts=counts, registers=None)
    return replace(feature, type=kind, dtype=dtype, low=low, high=high, span=span, evidence=lambda: evidence)


def _counts(feature: FeatureStatistics, *, weighed: bool) -> pl.DataFrame:
    return feature.held.counts.select("value", "count", *(["weight"] if weighed else []))


def _concat(
    one: FeatureStatistics, other: FeatureStatistics, first: pl.DataFrame, second: pl.DataFrame
) -> pl.DataFrame:
    try:
        return pl.concat([first, second], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:  # moments with a time zone and without
        raise _differ(one, other) from error


def _open(feature: FeatureStatistics, dtype: pl.DataType) -> FeatureStatistics:
    """A complete feature as a sketch of all its values; an incomplete one as it is."""
    if not feature.complete:
        return feature
    counts = feature.held.counts.with_columns(pl.col("value").cast(dtype))
    sketch = condense(_seen(feature), feature.type, counts)
    evidence = replace(sketch.held, counts=counts)  # of these all are still known
    return replace(sketch, evidence=lambda: evidence, unlisted=0)


def _sketches(
    seen: Seen, kind: FeatureType | None, one: FeatureStatistics, other: FeatureStatistics
) -> FeatureStatistics:
    first, second = one.held, other.held
    weighed = seen.weights is not None
    both = _concat(one, other, _counts(one, weighed=weighed), _counts(other, weighed=weighed))
    counts, dropped = listed(both.group_by("value").agg(pl.all().sum()))
    undercount = max(
        one.undercount + max(other.undercount, other.unlisted), other.undercount + max(one.undercount, one.unlisted)
    )
    unlisted = max(one.unlisted + other.unlisted, dropped + undercount if dropped else 0)
    kept, span = None, None
    alike = one.dtype == other.dtype and first.hashing == second.hashing
    if first.registers is None or second.registers is None or not alike:
        span = _spans(one, other)
    else:
        kept = registers.merge(first.registers, second.registers)
    evidence = Evidence(
        counts,
        kept,
        _buckets(first, second, weighed=weighed),
        _days(first, second),
        first.hashing,
    )
    return condensed(seen, kind, evidence, _figures(one, other), unlisted=unlisted, undercount=undercount, span=span)


def _buckets(first: Evidence, second: Evidence, *, weighed: bool) -> pl.DataFrame | None:
    if first.buckets is None or second.buckets is None:
        return None
    columns = list(buckets.SCHEMA if not weighed else first.buckets.columns)
    return buckets.add(first.buckets.select(columns), second.buckets.select(columns))


def _days(first: Evidence, second: Evidence) -> pl.DataFrame | None:
    if first.days is None or second.days is None:
        return None
    return pl.concat([first.days, second.days]).group_by("day").agg(pl.col("count").sum()).sort("day")


def _figures(one: FeatureStatistics, other: FeatureStatistics) -> Mapping[str, Any]:
    lows = [feature.low for feature in (one, other) if feature.low is not None]
    highs = [feature.high for feature in (one, other) if feature.high is not None]
    sizes = [feature.sizes for feature in (one, other) if feature.sizes is not None]
    return {
        "low": min(lows, default=None),
        "high": max(highs, default=None),
        "zeros": one.zeros + other.zeros,
        "shortest": min((size[0] for size in sizes), default=None),
        "longest": max((size[1] for size in sizes), default=None),
        "total": sum(size[2] for size in sizes),
    }


def lacking(feature: FeatureStatistics, rows: int, beside: Mapping[str, FeatureStatistics]) -> FeatureStatistics:
    """A feature as it is in rows that have no such column.

    Args:
        feature: in rows that have it.
        rows: how many have not.
        beside: the features that those rows have.
    """
    lists = [path for path in _above(feature.path) if path in beside and beside[path].repeated]
    return replace(
        feature,
        rows=beside[lists[-1]].values if lists else rows,
        count=0,
        values=0,
        valencies={},
        weights=None if feature.weights is None else (0.0, 0.0),
    )


def _above(path: str) -> list[str]:
    """The paths of what a feature lies in, outermost first."""
    names = path.split(".")
    return [".".join(names[:end]) for end in range(1, len(names))]
