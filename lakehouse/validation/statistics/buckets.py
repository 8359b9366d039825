"""Numbers by size: buckets of equal relative width, with exact sums, that add up exactly.

A number's bucket is its sign, its binary exponent and the eight bits after its leading one: DDSketch (Masson, Rim,
Lee 2019) with a logarithm that is linear between powers of two, so that a bucket is found by integer arithmetic and
is everywhere the same. A bucket is at most 1/256 of its lower bound wide. What the remaining 44 bits say is summed
in 128-bit integers, and so is its square; hence mean and standard deviation are those of the exact sums, however
rows were cut into batches and in whichever order they came.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import Any

import polars as pl

__all__ = ["ERROR", "SCHEMA", "Buckets", "add", "bucketed", "weigh"]

_REST = 44  # bits of a double's mantissa below those that choose the bucket
_WIDTH = 1 << _REST
_SIGN = 1 << (63 - _REST)
_INFINITE = 0x7FF << (52 - _REST)
ERROR = 2.0 ** -(52 - _REST)
"""How far a quantile may be from the true one, as a share of it: 0.4 %."""

SCHEMA: dict[str, pl.DataType] = {
    "bucket": pl.Int32(),
    "count": pl.UInt64(),
    "rest": pl.Int128(),
    "square": pl.Int128(),
}
"""A bucket's number, how many numbers lie in it, the sum of what their remaining bits say, and of its squares."""


def _bits(value: pl.Expr) -> pl.Expr:
    """A double's bits, of one zero and one NaN only."""
    double = value.cast(pl.Float64)
    one = pl.when(double.is_nan()).then(math.nan).when(double == 0).then(0.0).otherwise(double)
    return one.reinterpret(dtype=pl.Int64)


def bucketed(values: pl.LazyFrame, weight: str | None = None) -> pl.LazyFrame:
    """A frame's column ``value``, numbers without nulls, by bucket; with ``weight``, its sums by weight too."""
    bits = _bits(pl.col("value"))
    rest = (bits & (_WIDTH - 1)).cast(pl.Int128)
    sums = [pl.len().cast(pl.UInt64).alias("count"), rest.sum().alias("rest"), (rest * rest).sum().alias("square")]
    by_weight = [] if weight is None else _by_weight(pl.col(weight), rest)
    return values.group_by((bits // _WIDTH).cast(pl.Int32).alias("bucket")).agg(*sums, *by_weight)


def weigh(counts: pl.DataFrame) -> pl.DataFrame:
    """The buckets of distinct numbers (``value``, ``count``, possibly ``weight``), in order."""
    bits = _bits(pl.col("value"))
    rest, count = (bits & (_WIDTH - 1)).cast(pl.Int128), pl.col("count").cast(pl.Int128)
    sums = [
        pl.col("count").sum(),
        (rest * count).sum().alias("rest"),
        (rest * rest * count).sum().alias("square"),
    ]
    by_weight = _by_weight(pl.col("weight"), rest) if "weight" in counts.columns else []
    found = counts.lazy().filter(pl.col("value").is_not_null())
    grouped = found.group_by((bits // _WIDTH).cast(pl.Int32).alias("bucket")).agg(*sums, *by_weight)
    return grouped.sort("bucket").collect()


def _by_weight(weight: pl.Expr, rest: pl.Expr) -> list[pl.Expr]:
    share = rest.cast(pl.Float64) / _WIDTH
    return [
        weight.sum().cast(pl.Float64).alias("weight"),
        (weight * share).sum().cast(pl.Float64).alias("weight_rest"),
        (weight * share * share).sum().cast(pl.Float64).alias("weight_square"),
    ]


def add(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The buckets of the numbers of both, in order."""
    both = pl.concat([one, other])
    return both.group_by("bucket").agg(pl.all().sum()).sort("bucket")


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Numbers of one sign and nearly one size, in units of 2 ** ``power``.

    Attributes:
        low: the lower bound of what the bucket may hold, as the double it is.
        high: its upper bound.
        total: exact sum of its numbers.
        squares: exact sum of their squares, in units of 2 ** (2 * ``power``).
    """

    number: int
    count: int
    low: float
    high: float
    power: int
    total: int
    squares: int

    @property
    def mean(self) -> float:
        return _float(self.total, self.power, self.count)


def _float(total: int, power: int, count: int) -> float:
    """``total * 2 ** power / count``, rounded once."""
    numerator, denominator = (total << power, count) if power >= 0 else (total, count << -power)
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def _edge(number: int) -> float:
    """The lower bound of a bucket of positive numbers; infinity above the last."""
    if number >= _INFINITE:
        return math.inf
    exponent, top = divmod(number, 1 << (52 - _REST))
    mantissa = top << _REST
    return math.ldexp(mantissa, -1074) if exponent == 0 else math.ldexp(mantissa | 1 << 52, exponent - 1075)


def _made(number: int, count: int, rest: int, square: int) -> _Bucket:
    negative, size = number < 0, number + _SIGN if number < 0 else number
    exponent, top = divmod(size, 1 << (52 - _REST))
    base = top << _REST if exponent == 0 else top << _REST | 1 << 52
    total = count * base + rest
    squares = count * base * base + 2 * base * rest + square
    low, high = _edge(size), _edge(size + 1)
    if negative:
        low, high, total = -high, -low, -total
    return _Bucket(number, count, low, high, max(exponent, 1) - 1075, total, squares)


class Buckets:
    """What buckets tell of the numbers in them.

    Args:
        frame: of `SCHEMA`, possibly with the sums by weight.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        sizes = pl.col("bucket") + pl.when(pl.col("bucket") < 0).then(_SIGN).otherwise(0)
        self._finite = frame.filter(sizes < _INFINITE)
        self._odd = frame.filter(sizes >= _INFINITE)

    @cached_property
    def _buckets(self) -> list[_Bucket]:
        """Of the finite numbers, ascending."""
        made = (_made(*row) for row in self._finite.select(*SCHEMA).iter_rows())
        return sorted(made, key=lambda bucket: bucket.low)

    @cached_property
    def _reached(self) -> list[int]:
        """How many numbers there are up to and with each bucket."""
        return list(accumulate(bucket.count for bucket in self._buckets))

    @property
    def count(self) -> int:
        """How many finite numbers."""
        return int(self._finite["count"].sum())

    @property
    def infinite(self) -> int:
        """How many are infinite."""
        return self._count_odd(nan=False)

    @property
    def nan(self) -> int:
        """How many are not a number."""
        return self._count_odd(nan=True)

    def _count_odd(self, *, nan: bool) -> int:
        infinite = pl.col("bucket").is_in([_INFINITE, _INFINITE - _SIGN])
        return int(self._odd.filter(~infinite if nan else infinite)["count"].sum())

    @cached_property
    def mean_and_std(self) -> tuple[float, float] | None:
        """Mean and standard deviation (of all, not of a sample), from exact sums; None without a finite number."""
        if not self._buckets:
            return None
        power = min(bucket.power for bucket in self._buckets)
        total = sum(b.total << (b.power - power) for b in self._buckets)
        squares = sum(b.squares << 2 * (b.power - power) for b in self._buckets)
        spread = Fraction(squares * self.count - total * total, self.count * self.count)
        return _float(total, power, self.count), _root(spread, power)

    @cached_property
    def weighted_mean_and_std(self) -> tuple[float, float] | None:
        """The same by weight, as doubles add; None without weight."""
        weights = list(self._by_weight)
        whole = math.fsum(weight for _, weight, *_ in weights)
        if whole <= 0:
            return None
        mean = math.fsum(w * base + rest * wide for base, w, rest, _, wide in weights) / whole
        spread = math.fsum(
            w * (base - mean) ** 2 + 2 * (base - mean) * rest * wide + square * wide * wide
            for base, w, rest, square, wide in weights
        )
        return mean, math.sqrt(max(spread, 0.0) / whole)

    @property
    def _by_weight(self) -> Iterator[tuple[float, float, float, float, float]]:
        columns = ("bucket", "weight", "weight_rest", "weight_square")
        for number, weight, rest, square in self._finite.select(columns).iter_rows():
            size = number + _SIGN if number < 0 else number
            low, high = _edge(size), _edge(size + 1)
            sign = -1.0 if number < 0 else 1.0
            yield sign * low, weight, rest, square, sign * (high - low)

    def ranked(self, rank: int) -> float:
        """About the number at a rank, 0 for the smallest: the mean of its bucket."""
        return self._buckets[bisect_right(self._reached, rank)].mean

    def below(self, edge: float) -> float:
        """About how many finite numbers are smaller than an edge, as if each bucket were filled evenly."""
        at = bisect_right(self._buckets, edge, key=lambda bucket: bucket.low) - 1
        if at < 0:
            return 0.0
        bucket, before = self._buckets[at], self._reached[at - 1] if at else 0
        wide = bucket.high - bucket.low
        share = min((edge - bucket.low) / wide, 1.0) if math.isfinite(wide) else 0.5
        return before + bucket.count * share

    def weighed(self) -> Sequence[tuple[Any, float]]:
        """Each bucket's mean and weight, ascending."""
        weights = dict(self._finite.select("bucket", "weight").iter_rows())
        return [(bucket.mean, weights[bucket.number]) for bucket in self._buckets]


def _root(spread: Fraction, power: int) -> float:
    """The square root of ``spread * 4 ** power``, rounded about once."""
    if spread == 0:
        return 0.0
    # Scaled by an even power of two, so that the quotient is a double of full precision.
    shift = (spread.denominator.bit_length() - spread.numerator.bit_length()) // 2
    near = spread.numerator << 2 * shift if shift >= 0 else spread.numerator
    of = spread.denominator if shift >= 0 else spread.denominator << -2 * shift
    try:
        return math.ldexp(math.sqrt(near / of), power - shift)
    except OverflowError:
        return math.inf
