"""The figures of a batch that its history tells something of, each on a scale on which batches are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import asin, asinh, exp, expm1, hypot, log, log1p, sin, sinh, sqrt
from statistics import median

import polars as pl

from lakehouse.schema import Feature, FeatureType
from lakehouse.validation.expectations.forecasting import FIRST
from lakehouse.validation.statistics import FeatureStatistics, Statistics

__all__ = ["Figure", "Measure", "Series", "of_feature", "of_rows"]

_NUMBERS = {FeatureType.INT, FeatureType.FLOAT, FeatureType.DECIMAL}
_LIST = 200
"""Shares of values are compared up to so many distinct values; among more, each share is tiny."""
_LARGE, _MOST = 1e100, 700.0
"""Ratios and exponents are cut here, short of what a float cannot hold."""
_STUCK = 1e-3
"""A spread below this part of the usual one is as good as none."""


class Measure(Enum):
    """A figure of a batch, or of a feature in it."""

    ROWS = "rows"
    MISSING = "missing values"
    MEAN = "mean"
    SPREAD = "standard deviation"
    SHARES = "shares of values"
    NEW = "new values"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of one batch.

    Attributes:
        batch: which; the last is the one that is judged.
        value: on the scale it is judged on.
        variance: what chance alone does to it there, given how many rows the batch has.
        raw: as people know it.
    """

    batch: int
    value: float
    variance: float
    raw: float


@dataclass(frozen=True, slots=True)
class Series:
    """A measure of one feature in all batches that have it, oldest first; the last is the one that is judged.

    Attributes:
        measure: which.
        figures: of each batch.
        floor: the least standard deviation between batches that is believed.
        back: from the scale to what people know.
        upper: only more than usual is odd.
        counted: a share of rows.
        example: what shows it, of a feature that is not personal: the value whose share is another, the most
            frequent new values.
    """

    measure: Measure
    figures: tuple[Figure, ...]
    floor: float
    back: Callable[[float], float]
    upper: bool = False
    counted: bool = False
    example: str = ""


def of_rows(batches: Sequence[Statistics]) -> Series:
    """How many rows, as a logarithm: what is usual is a factor."""
    figures = tuple(Figure(n, log(max(one.rows, 0.5)), 0.0, one.rows) for n, one in enumerate(batches))
    usual = median(figure.raw for figure in figures[:-1])
    return Series(Measure.ROWS, figures, max(0.02, 1 / max(usual, 1.0)), _exp)


def of_feature(found: Sequence[tuple[int, FeatureStatistics]], feature: Feature | None) -> list[Series]:
    """All measures of one feature.

    Args:
        found: number of the batch and the feature's statistics in it, of batches with rows that have the column; the
            last is the batch that is judged.
        feature: the schema's; None where it has none.
    """
    now = found[-1][1]
    series = [_missing(found)]
    if (feature is not None and feature.personal) or any(one.personal for _, one in found):
        return series  # what is known of all rows together is all that may be told
    # Without a schema, a column of numbers may be whole in one batch and not in the next.
    found = [(n, one) for n, one in found if one.type is now.type or {one.type, now.type} <= _NUMBERS]
    if now.type is None or len(found) < 2:
        return series
    if now.type in _NUMBERS and not (feature and feature.categorical):
        series += _numbers(found)
    elif now.type in (FeatureType.STRING, FeatureType.BOOL, FeatureType.INT):
        series += _categories(found)
    return series


def _missing(found: Sequence[tuple[int, FeatureStatistics]]) -> Series:
    """Share of rows without a value (or with NaN), as an angle: there, chance is as large for 1 % as for 50 %."""
    figures = []
    for n, one in found:
        nan = 0 if one.personal or one.repeated or one.numbers is None else one.numbers.nan
        share = (one.missing + nan) / one.rows
        figures.append(Figure(n, _angle(share), 1 / (4 * one.rows), share))
    return Series(Measure.MISSING, tuple(figures), 0.02, _share, counted=True)


def _angle(share: float) -> float:
    return asin(sqrt(min(max(share, 0.0), 1.0)))


def _share(angle: float) -> float:
    return sin(min(max(angle, 0.0), 1.5707963)) ** 2


def _numbers(found: Sequence[tuple[int, FeatureStatistics]]) -> list[Series]:
    """Mean and standard deviation of finite values; not where most batches have one value each, as their month."""
    held = [
        (n, one.count, one.mean, one.std)
        for n, feature in found
        if (one := feature.numbers) is not None and one.mean is not None and one.std is not None
    ]
    if len(held) < 2 or held[-1][0] != found[-1][0]:
        return []
    unit = median(std for _, _, _, std in held[:-1])
    if not unit:
        return []
    # Linear below a standard deviation, logarithmic above it, so that a factor 60 is far in every unit.
    means = tuple(
        Figure(n, asinh(_bound(mean / unit)), (_bound(std / unit) / hypot(1, _bound(mean / unit))) ** 2 / count, mean)
        for n, count, mean, std in held
    )
    spreads = tuple(Figure(n, log(max(std, _STUCK * unit)), 1 / count, std) for n, count, _, std in held)
    return [
        Series(Measure.MEAN, means, 0.02, lambda value: unit * sinh(min(max(value, -_MOST), _MOST))),
        Series(Measure.SPREAD, spreads, 0.02, _exp),
    ]


def _bound(ratio: float) -> float:
    return min(max(ratio, -_LARGE), _LARGE)


def _exp(value: float) -> float:
    return exp(min(value, _MOST))


def _categories(found: Sequence[tuple[int, FeatureStatistics]]) -> list[Series]:
    """Values never seen before, and how shares of values changed; of features whose values are all counted."""
    if not all(one.complete for _, one in found):
        return []
    frames = [
        one.frequencies().select(pl.col("value").cast(pl.String), pl.col("count").cast(pl.Int64), batch=pl.lit(n))
        for n, one in found
        if one.values
    ]
    if not frames or frames[-1]["batch"][0] != found[-1][0]:
        return []
    counts = pl.concat(frames)
    totals = dict(counts.group_by("batch").agg(pl.col("count").sum()).iter_rows())
    series = [_new(counts, totals)]
    if counts["value"].n_unique() <= _LIST:
        series.append(_shares(counts, totals))
    return [one for one in series if len(one.figures) > 1]


def _new(counts: pl.DataFrame, totals: dict[int, int]) -> Series:
    """Rows whose value no batch before had, as many as there would be in a batch of the usual size."""
    batches = sorted(totals)
    usual = median(totals.values())
    first = counts.group_by("value").agg(pl.col("batch").min(), pl.col("count").sort_by("batch").first())
    fresh = dict(first.group_by("batch").agg(pl.col("count").sum()).iter_rows())
    figures = []
    for n in batches[FIRST:]:  # the first know too little to call a value new
        rows = fresh.get(n, 0)
        figures.append(Figure(n, log1p(rows * usual / totals[n]), 0.0, rows))
    newest = first.filter(pl.col("batch") == batches[-1]).sort("count", "value", descending=[True, False]).head(5)
    example = ", ".join(f"{value!r} ({count:,} rows)" for value, _, count in newest.iter_rows())
    back = totals[batches[-1]] / usual
    return Series(Measure.NEW, tuple(figures), 0.15, lambda value: expm1(value) * back, upper=True, example=example)


def _shares(counts: pl.DataFrame, totals: dict[int, int]) -> Series:
    """The largest difference between a value's share in a batch and in the others (L-infinity), as an angle."""
    now = max(totals)
    pooled: dict[str, int] = {}
    of_batch: dict[int, dict[str, int]] = {n: {} for n in totals}
    for value, count, n in counts.iter_rows():
        of_batch[n][value] = count
        pooled[value] = pooled.get(value, 0) + (count if n != now else 0)
    everything = sum(total for n, total in totals.items() if n != now)
    figures, example = [], ""
    for n in sorted(totals):
        own = of_batch[n]
        others = everything - (totals[n] if n != now else 0)
        if not others:
            continue
        usual = {value: (count - (own.get(value, 0) if n != now else 0)) / others for value, count in pooled.items()}
        value = max(usual, key=lambda one: abs(own.get(one, 0) / totals[n] - usual[one]))
        share = own.get(value, 0) / totals[n]
        distance = abs(share - usual[value])
        figures.append(Figure(n, _angle(distance), 1 / (4 * totals[n]), distance))
        example = f"{value!r} is {share:.1%} of the values, usually {usual[value]:.1%}"
    return Series(Measure.SHARES, tuple(figures), 0.02, _share, upper=True, counted=True, example=example)
