"""What is known of one feature, as it is kept, and all that follows from it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import polars as pl

from lakehouse.schema import FeatureType
from lakehouse.validation.statistics import registers
from lakehouse.validation.statistics.buckets import ERROR, Buckets, weigh
from lakehouse.validation.statistics.days import Days, by_day, ordinal, ordinals
from lakehouse.validation.statistics.figures import (
    Distinct,
    Gap,
    Histogram,
    Lengths,
    Moments,
    Numbers,
    Valencies,
    Weighted,
)
from lakehouse.validation.statistics.registers import fingerprint

__all__ = ["BOUND", "LISTED", "NUMBERS", "TEMPORAL", "Evidence", "FeatureStatistics"]

BOUND = 16_384
"""Distinct values of a feature up to which each is counted and kept."""

LISTED = 1_000
"""The most frequent values that are kept of a feature with more."""

NUMBERS = (FeatureType.INT, FeatureType.FLOAT, FeatureType.DECIMAL)
TEMPORAL = (FeatureType.DATE, FeatureType.DATETIME)


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What a feature's figures follow from; large beside them, so read only when asked for.

    Attributes:
        counts: ``value``, ``count`` (UInt64) and possibly ``weight``, most frequent first: every distinct value of a
            complete feature, else the `LISTED` most frequent; none of a personal one.
        registers: of an incomplete feature; None where they cannot be had (personal, or added across hashes).
        buckets: of an incomplete feature's numbers (`buckets.SCHEMA`).
        days: of an incomplete feature's moments: ``day`` and ``count``, ascending.
        hashing: the fingerprint of the way values were hashed for the registers.
    """

    counts: pl.DataFrame
    registers: bytes | None = None
    buckets: pl.DataFrame | None = None
    days: pl.DataFrame | None = None
    hashing: str = field(default_factory=fingerprint)


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """What is known of one feature.

    Attributes:
        path: dotted below structs.
        type: None when nothing but missing was seen in text.
        repeated: the feature is a list; its values are counted, one by one.
        personal: neither its values nor what tells of them is kept, only how many.
        rows: of the batch (below a list of structs: of those structs).
        count: rows that have it.
        values: values in all rows; the same as ``count`` for what is no list.
        complete: `frequencies` holds every distinct value with its exact count.
        dtype: of the values.
        valencies: of a list: number of values to number of lists.
        low: smallest finite number or earliest moment; None of anything else.
        high: largest or latest.
        zeros: how many numbers are 0.
        sizes: shortest, longest and sum of the lengths of strings (characters) or bytes; None of anything else.
        unlisted: a value that `frequencies` does not hold is there at most this often.
        undercount: a count in `frequencies` may be this much too low, since batches with incomplete ones were added.
        span: fewest and most distinct values there can be, where neither counts nor registers tell.
        equal_width: ten buckets, counted, of an incomplete feature; None after adding.
        weights: of the rows that have it, and of those that lack it; None without a weight.
        evidence: gives what the figures follow from.
    """

    path: str
    type: FeatureType | None
    repeated: bool
    personal: bool
    rows: int
    count: int
    values: int
    complete: bool
    dtype: pl.DataType
    evidence: Callable[[], Evidence] = field(repr=False)
    valencies: Mapping[int, int] = field(default_factory=dict, repr=False)
    low: Any = field(default=None, repr=False)
    high: Any = field(default=None, repr=False)
    zeros: int = field(default=0, repr=False)
    sizes: tuple[int, int, int] | None = field(default=None, repr=False)
    unlisted: int = 0
    undercount: int = 0
    span: tuple[int, int] | None = field(default=None, repr=False)
    equal_width: Histogram | None = field(default=None, repr=False)
    weights: tuple[float, float] | None = field(default=None, repr=False)

    @property
    def missing(self) -> int:
        """Rows that lack it."""
        return self.rows - self.count

    @property
    def missing_fraction(self) -> float:
        """Share of the rows that lack it, 0.0 when there are none."""
        return self.missing / self.rows if self.rows else 0.0

    @cached_property
    def held(self) -> Evidence:
        """What the figures follow from."""
        return self.evidence()

    @cached_property
    def distinct(self) -> Distinct:
        """How many distinct values; structs are not compared, their fields are."""
        if self.type is FeatureType.STRUCT:
            return Distinct(0, exact=False)
        if self.span is not None:
            low, high = self.span
            middle = (low + high) // 2
            return Distinct(middle, low == high, (high - low) / 2 / middle if middle else 0.0)
        if self.complete or self.held.registers is None:
            return Distinct(self.held.counts.height)
        return Distinct(registers.estimate(self.held.registers), exact=False, error=registers.ERROR)

    @cached_property
    def valency(self) -> Valencies | None:
        """How many values a list holds; None of what is no list, or without any."""
        if not self.valencies:
            return None
        held = dict(sorted(self.valencies.items()))
        return Valencies(min(held), max(held), self.values / self.count, held)

    def frequencies(self) -> pl.DataFrame:
        """Values and how often each is there.

        Returns:
            ``value`` (the feature's own dtype) and ``count`` (UInt64), most frequent first, then ascending: every
            distinct value when `complete`, else the most frequent ones. Empty for a personal feature.
        """
        return self.held.counts.select("value", "count")

    def top(self, n: int) -> list[tuple[Any, int]]:
        """The most frequent values with their counts, at most ``n``."""
        return list(self.frequencies().head(n).iter_rows())

    @cached_property
    def _buckets(self) -> Buckets | None:
        if self.type not in NUMBERS or self.personal:
            return None
        kept = self.held.buckets
        return Buckets(weigh(self.held.counts) if kept is None else kept)

    @cached_property
    def numbers(self) -> Numbers | None:
        """Figures of int, float and decimal features; None of others, and of personal ones."""
        if (held := self._buckets) is None:
            return None
        mean, std = held.mean_and_std or (None, None)
        return Numbers(
            min=self.low,
            max=self.high,
            mean=mean,
            std=std,
            median=self.quantile(0.5),
            zeros=self.zeros,
            nan=held.nan,
            infinite=held.infinite,
            count=held.count,
            error=0.0 if self.complete else ERROR,
        )

    @cached_property
    def _axis(self) -> Buckets | Days | None:
        """What has a size: numbers, dates and datetimes; None without a finite one, and of personal features."""
        if self.low is None:
            return None
        return Days(self.daily(), self.dtype) if self.type in TEMPORAL else self._buckets

    @cached_property
    def _ascending(self) -> tuple[pl.Series, list[int]] | None:
        """A complete feature's finite numbers or moments, and how many there are up to and with each."""
        if not self.complete:
            return None
        number = ordinals(self.dtype) if self.type in TEMPORAL else pl.col("value").cast(pl.Float64)
        found = self.held.counts.select(number, "count").filter(pl.col("value").is_finite()).sort("value")
        return found["value"], list(accumulate(found["count"].to_list()))

    def quantile(self, q: float) -> float | None:
        """The number below which a share ``q`` (0 to 1) of the finite ones lies.

        Between two numbers it is on the line from one to the other. Dates are told in days, datetimes in
        microseconds since 1970-01-01 (UTC where they have a zone). Of an incomplete feature it may be off by
        `Numbers.error`, of datetimes by a day.

        Returns:
            None of what is neither number nor moment, without a finite one, and of personal features.
        """
        if (axis := self._axis) is None:
            return None
        place = min(max(q, 0.0), 1.0) * (axis.count - 1)
        below, above = self._ranked(axis, math.floor(place)), self._ranked(axis, math.ceil(place))
        return below if below == above else below + (above - below) * (place - math.floor(place))

    def _ranked(self, axis: Buckets | Days, rank: int) -> float:
        if self._ascending is not None:
            values, reached = self._ascending
            return float(values[bisect_right(reached, rank)])
        return min(max(axis.ranked(rank), ordinal(self.low)), ordinal(self.high))

    def histogram(self, buckets: int = 10, low: float | None = None, high: float | None = None) -> Histogram | None:
        """Finite numbers, or moments as `quantile` tells them, in buckets of equal width.

        Args:
            buckets: how many; one alone where ``low`` and ``high`` are the same.
            low: where the first begins; the smallest number unless told. Numbers beyond are left out.
            high: where the last ends; the largest number unless told.

        Returns:
            None where there is no `quantile`. Exact when `complete`, of dates, and for the ten buckets made when the
            statistics were generated; else as the sketch tells, which also happens after adding.
        """
        if (axis := self._axis) is None:
            return None
        first = ordinal(self.low) if low is None else low
        last = ordinal(self.high) if high is None else high
        kept = self.equal_width
        if kept is not None and buckets == len(kept.counts) and (first, last) == (kept.edges[0], kept.edges[-1]):
            return kept
        edges = evenly(first, last, buckets)
        if self._ascending is None:
            reached = [self._below(axis, edge) for edge in (*edges[:-1], math.nextafter(last, math.inf))]
            return Histogram(edges, tuple(b - a for a, b in pairwise(reached)), exact=self.dtype == pl.Date)
        values, numbers = self._ascending
        until = [0, *numbers]
        places = [*values.search_sorted(pl.Series(edges[:-1]), "left"), values.search_sorted(last, "right")]
        return Histogram(edges, tuple(float(until[b] - until[a]) for a, b in pairwise(places)))

    def _below(self, axis: Buckets | Days, edge: float) -> float:
        if edge <= ordinal(self.low):
            return 0.0
        return float(axis.count) if edge > ordinal(self.high) else axis.below(edge)

    def equal_depth(self, buckets: int = 10) -> Histogram | None:
        """Finite numbers, or moments as `quantile` tells them, in buckets that hold equally many; None without."""
        if (axis := self._axis) is None:
            return None
        edges = tuple(self.quantile(i / buckets) or 0.0 for i in range(buckets + 1))
        return Histogram(edges, (axis.count / buckets,) * buckets, exact=self.complete)

    @property
    def lengths(self) -> Lengths | None:
        """How long strings and bytes are; None of anything else, without a value, and of personal features."""
        if self.sizes is None:
            return None
        shortest, longest, total = self.sizes
        return Lengths(shortest, total / self.values, longest)

    def daily(self) -> pl.DataFrame:
        """The values of a date or datetime feature by calendar day (UTC): ``day`` and ``count``, ascending."""
        return by_day(self.held.counts) if self.held.days is None else self.held.days

    @cached_property
    def moments(self) -> Moments | None:
        """Range and gaps of dates and datetimes; None of anything else, without a value, and of personal features."""
        if self.type not in TEMPORAL or self.low is None:
            return None
        days = self.daily()["day"]
        between = days.diff().dt.total_days() - 1
        at = between.arg_max()
        gap = None
        if at is not None and (wide := between[at]) > 0:
            gap = Gap(days[at - 1], days[at], wide)
        return Moments(self.low, self.high, len(days), gap)

    @cached_property
    def weighted(self) -> Weighted | None:
        """The same by weight; None without a weight."""
        if self.weights is None:
            return None
        top: tuple[tuple[Any, float], ...] = ()
        if "weight" in (counts := self.held.counts).columns:
            heaviest = counts.select("value", "weight").sort("weight", descending=True, maintain_order=True)
            top = tuple(heaviest.head(LISTED).iter_rows())
        held = self._buckets
        mean, std = (held.weighted_mean_and_std if held else None) or (None, None)
        median = self._weighted_median() if mean is not None else None
        return Weighted(*self.weights, mean=mean, std=std, median=median, top=top)

    def _weighted_median(self) -> float:
        if not self.complete:
            return _middle(self._buckets.weighed() if self._buckets else ())
        number = pl.col("value").cast(pl.Float64)
        finite = self.held.counts.select(number, "weight").filter(pl.col("value").is_finite()).sort("value")
        return _middle(finite.iter_rows())


def _middle(pairs: Iterable[tuple[float, float]]) -> float:
    """The first value at which half of the weight is reached."""
    held = list(pairs)
    half = math.fsum(weight for _, weight in held) / 2
    reached = accumulate(weight for _, weight in held)
    return next(value for (value, _), until in zip(held, reached, strict=True) if until >= half * (1 - 1e-12))


def evenly(low: float, high: float, buckets: int) -> tuple[float, ...]:
    """The edges of buckets of equal width; of one bucket where there is no width."""
    if low == high:
        return (low, high)
    return (low, *(low * (1 - i / buckets) + high * (i / buckets) for i in range(1, buckets)), high)
