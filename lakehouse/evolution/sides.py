"""Statistics laid side by side: versions, slices or files, feature by feature, over the same axes.

What is here is shown elsewhere: in a terminal by `lakehouse.cli.statistics`, as a page by `lakehouse.evolution.page`.
No value of a personal feature is in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.errors import NotFoundError, nearest
from lakehouse.evolution import figures
from lakehouse.schema import FeatureType
from lakehouse.validation.anomalies import infinity_norm, jensen_shannon
from lakehouse.validation.statistics import FeatureStatistics, Moments, Numbers, Statistics

__all__ = ["Group", "Line", "Shape", "Side", "distances", "lines", "measured"]

_NUMBERS = (FeatureType.INT, FeatureType.FLOAT, FeatureType.DECIMAL)
_TEXT = (FeatureType.STRING, FeatureType.BYTES, FeatureType.BOOL)
_MOMENTS = (FeatureType.DATE, FeatureType.DATETIME)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = 2**53  # whole numbers up to here are floats without loss
_POINT, _TENTH = 0.01, 0.1  # from where on figures of two sides are told to differ
_TAIL = 4  # so many times wider than its middle 98 % is a distribution with long tails


@dataclass(frozen=True, slots=True)
class Side:
    """One batch of rows among those that are compared; ``label`` is what people call it."""

    label: str
    statistics: Statistics


class Group(StrEnum):
    """Features that are told in the same figures."""

    NUMBERS = "Numbers"
    TEXT = "Text"
    MOMENTS = "Dates and times"
    OTHERS = "Others"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the values of each side are spread over one axis.

    Attributes:
        edges: of the buckets; days since 1970 for dates, microseconds for datetimes.
        shares: for each side, each bucket's part of all its values on any axis.
        counts: the same in values.
        low: what stands at the beginning of the axis, for people.
        high: what stands at its end.
        exact: counted one by one, not reckoned from a sketch.
    """

    edges: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[float, ...], ...]
    low: str
    high: str
    exact: bool

    @property
    def outside(self) -> tuple[float, ...]:
        """For each side, the part of its values that is not on the axis."""
        return tuple(max(0.0, 1 - sum(side)) if any(side) else 0.0 for side in self.shares)


@dataclass(frozen=True)
class Line:
    """One feature on all sides; None where a side does not have it."""

    path: str
    features: tuple[FeatureStatistics | None, ...]

    @cached_property
    def here(self) -> list[FeatureStatistics]:
        """The feature on those sides that have it."""
        return [feature for feature in self.features if feature is not None]

    @cached_property
    def personal(self) -> bool:
        """Whether its values are withheld."""
        return any(feature.personal for feature in self.here)

    @cached_property
    def type(self) -> FeatureType | None:
        """Its type on the first side that has values of it."""
        return next((feature.type for feature in self.here if feature.type is not None), None)

    @cached_property
    def group(self) -> Group:
        """By which figures it is told."""
        kinds = {Group.NUMBERS: _NUMBERS, Group.TEXT: _TEXT, Group.MOMENTS: _MOMENTS}
        return next((group for group, types in kinds.items() if self.type in types), Group.OTHERS)

    def same(self, feature: FeatureStatistics | None) -> FeatureStatistics | None:
        """The feature on a side, if its figures can be told among those of this group."""
        kinds = {Group.NUMBERS: _NUMBERS, Group.TEXT: _TEXT, Group.MOMENTS: _MOMENTS, Group.OTHERS: ()}
        return feature if feature is not None and not self.personal and feature.type in kinds[self.group] else None

    @cached_property
    def numbers(self) -> tuple[Numbers | None, ...]:
        """The figures of its numbers on each side."""
        wanted = self.group is Group.NUMBERS
        return tuple(side.numbers if wanted and side else None for side in map(self.same, self.features))

    @cached_property
    def moments(self) -> tuple[Moments | None, ...]:
        """The figures of its dates on each side."""
        wanted = self.group is Group.MOMENTS
        return tuple(side.moments if wanted and side else None for side in map(self.same, self.features))

    def place(self, point: float) -> str:
        """What stands at a point of the axis, for people."""
        if self.type is FeatureType.DATE:
            return figures.value(_EPOCH.date() + timedelta(days=math.ceil(point)))
        if self.type is FeatureType.DATETIME:
            return figures.value(_EPOCH + timedelta(microseconds=math.ceil(point)))
        return figures.number(math.ceil(point) if self.type is FeatureType.INT and abs(point) < _WHOLE else point)

    def changed(self, number: int) -> frozenset[str]:
        """The figures of a side that are clearly others than the first side's.

        Shares (missing, zeros) by more than a hundredth, numbers (min, mean, median, max, std) by more than a tenth
        of the first side's standard deviation, the number of distinct values by more than a tenth, dates (first,
        last) at all.
        """
        one, other = self.features[0], self.features[number]
        if one is None or other is None:
            return frozenset()
        found = {"missing"} if abs(one.missing_fraction - other.missing_fraction) > _POINT else set()
        if abs(one.distinct.count - other.distinct.count) > _TENTH * one.distinct.count:
            found.add("distinct")
        if (
            (now := self.numbers[number]) is not None
            and (was := self.numbers[0]) is not None
            and was.count
            and now.count
        ):
            far = _TENTH * (was.std or 0.0)
            found |= {
                name
                for name in ("min", "mean", "median", "max", "std")
                if abs(float(getattr(was, name)) - float(getattr(now, name))) > far
            }
            found |= {"zeros"} if abs(was.zeros / was.count - now.zeros / now.count) > _POINT else set()
        if (later := self.moments[number]) is not None and (earlier := self.moments[0]) is not None:
            found |= {"first"} if later.min != earlier.min else set()
            found |= {"last"} if later.max != earlier.max else set()
        return frozenset(found)

    @cached_property
    def _ends(self) -> list[tuple[float, float]]:
        """The smallest and the largest number, or the first and the last moment, of each side that has any."""
        numbers = [(side.min, side.max) for side in self.numbers if side is not None]
        moments = [(side.min, side.max) for side in self.moments if side is not None]
        return [
            (_point(low), _point(high)) for low, high in (*numbers, *moments) if low is not None and high is not None
        ]

    def shape(self, buckets: int) -> Shape | None:
        """How its numbers or dates are spread from the smallest to the largest; None for what has no order."""
        if not self._ends:
            return None
        return self._spread(min(low for low, _ in self._ends), max(high for _, high in self._ends), buckets)

    def middle(self, buckets: int) -> Shape | None:
        """The same from the 1st to the 99th per cent, where most of the whole axis is tails; else None."""
        if self.group is not Group.NUMBERS or not self._ends:
            return None
        points = [(side.quantile(0.01), side.quantile(0.99)) for side in map(self.same, self.features) if side]
        low = min((first for first, _ in points if first is not None), default=0.0)
        high = max((last for _, last in points if last is not None), default=0.0)
        whole = max(last for _, last in self._ends) - min(first for first, _ in self._ends)
        return self._spread(low, high, buckets) if low < high and whole > _TAIL * (high - low) else None

    def _spread(self, low: float, high: float, buckets: int) -> Shape | None:
        """Values between two ends; whole ones in buckets of whole width, so that each holds equally many of them."""
        said = self.place(low), self.place(high)
        if self.type not in (FeatureType.FLOAT, FeatureType.DECIMAL) and max(abs(low), abs(high)) < _WHOLE:
            first, last = math.floor(low), math.ceil(high)
            width, buckets = _whole(last - first + 1, buckets)
            low, high = first - 0.5, first - 0.5 + width * buckets
        elif low == high:
            buckets, low, high = 1, low - max(abs(low), 1) / 2, high + max(abs(high), 1) / 2
        if not math.isfinite(high - low):
            return None
        here = [side if side and side.values else None for side in map(self.same, self.features)]
        drawn = [side.histogram(buckets, low, high) if side else None for side in here]
        one = next((histogram for histogram in drawn if histogram is not None), None)
        if one is None:
            return None
        counts = tuple(() if histogram is None else histogram.counts for histogram in drawn)
        totals = [n.count if n else side.values if side else 0 for n, side in zip(self.numbers, here, strict=True)]
        shares = tuple(
            tuple(count / total if total else 0.0 for count in side) for side, total in zip(counts, totals, strict=True)
        )
        exact = all(histogram.exact for histogram in drawn if histogram is not None)
        return Shape(one.edges, shares, counts, *said, exact)

    def values(self, most: int) -> list[tuple[Any, tuple[int, ...]]]:
        """The most frequent values with their counts on each side, the most frequent ones on any side first.

        A count of -1 is one that is not known: the side keeps only its most frequent values, and it is not among them.
        """
        if self.personal:
            return []
        tops = [dict(_known(side, most)) if side is not None else {} for side in self.features]
        wanted = list(dict.fromkeys(value for top in tops for value in list(top)[:most]))
        counted = [_counts(side, wanted, top) for side, top in zip(self.features, tops, strict=True)]
        found = [(value, tuple(side[value] for side in counted)) for value in wanted]
        return sorted(found, key=lambda pair: -self._largest(pair[1]))[:most]

    def _largest(self, counts: Sequence[int]) -> float:
        """The largest share that a value with these counts has on any side."""
        return max(
            (count / side.values for count, side in zip(counts, self.features, strict=True) if side and side.values),
            default=0.0,
        )


def lines(sides: Sequence[Side], only: Collection[str] = ()) -> list[Line]:
    """The features of all sides in the order of their columns.

    Args:
        sides: what to compare.
        only: dotted paths of the features that are wanted; all when empty. A struct stands for its fields too.

    Raises:
        NotFoundError: one of them is on no side.
    """
    paths = dict.fromkeys(path for side in sides for path in side.statistics.features)
    for wanted in only:
        if not any(path == wanted or path.startswith(f"{wanted}.") for path in paths):
            raise NotFoundError(f"no feature '{wanted}'.{nearest(wanted, paths)}")
    return [
        Line(path, tuple(side.statistics.features.get(path) for side in sides))
        for path in paths
        if not only or any(path == wanted or path.startswith(f"{wanted}.") for wanted in only)
    ]


def measured(line: Line) -> dict[str, float]:
    """How far the values of the first two sides are apart, by the measure; without those that cannot be taken."""
    one, other = line.features[:2]
    if one is None or other is None or line.personal:
        return {}
    found = {"infinity_norm": infinity_norm(one, other)} if line.group is Group.TEXT else {}
    found["jensen_shannon"] = jensen_shannon(one, other)
    return {name: value for name, value in found.items() if value is not None}


def distances(line: Line) -> tuple[str, ...]:
    """The same in words."""
    words = {"infinity_norm": "infinity norm", "jensen_shannon": "Jensen-Shannon"}
    return tuple(
        f"{words[name]} {value:.4f}" if value else f"{words[name]} 0" for name, value in measured(line).items()
    )


def _point(value: float | Decimal | date | datetime) -> float:
    """Where a value stands on its axis: dates in days, datetimes in microseconds since 1970 (UTC)."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) / timedelta(microseconds=1)
    return float((value - _EPOCH.date()).days) if isinstance(value, date) else float(value)


def _whole(span: int, most: int) -> tuple[int, int]:
    """The width and number of buckets for so many whole numbers, at most so many, the last one at least half full."""
    widths = (math.ceil(span / buckets) for buckets in range(most, 0, -1))
    width = next(width for width in widths if -span % width <= width / 2)
    return width, math.ceil(span / width)


def _known(side: FeatureStatistics, most: int) -> list[tuple[Any, int]]:
    return [(value, int(count)) for value, count in side.top(most) if value == value]  # noqa: PLR0124  # NaN is told apart


def _counts(side: FeatureStatistics | None, wanted: Sequence[Any], top: dict[Any, int]) -> dict[Any, int]:
    """How often each value is on a side: 0 where it certainly is not, -1 where that is not known."""
    if side is None:
        return dict.fromkeys(wanted, 0)
    lacking = [value for value in wanted if value not in top]
    found: dict[Any, int] = {}
    if lacking:
        kept = side.frequencies()
        try:
            found = dict(kept.filter(pl.col("value").is_in(pl.Series(lacking, dtype=kept.schema["value"]))).iter_rows())
        except (TypeError, pl.exceptions.PolarsError):  # the sides are of two types
            found = {}
    else_ = 0 if side.complete else -1
    return {value: int(top.get(value, found.get(value, else_))) for value in wanted}
