"""The figures that statistics are told in: small frozen values, computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lakehouse.schema import Rule

__all__ = [
    "Broken",
    "Distinct",
    "Gap",
    "Histogram",
    "Lengths",
    "Moments",
    "Numbers",
    "Valencies",
    "Weighted",
]


@dataclass(frozen=True, slots=True)
class Broken:
    """Rows that break one rule, found row by row; exact.

    Attributes:
        path: the feature's dotted path, or ``checks.NAME``.
        rule: which rule.
        reason: as a quarantined row tells it.
        rows: how many.
        examples: values that break it, as text, each with its rows, most frequent first; none of a personal feature.
    """

    path: str
    rule: Rule
    reason: str
    rows: int
    examples: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values counted between edges.

    Attributes:
        edges: ascending, one more than ``counts``; the last bucket holds its upper edge, the others do not.
        counts: values between one edge and the next; whole numbers where ``exact``.
        exact: counted; else reckoned from a sketch, whose relative error `Numbers.error` tells.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the numbers of a feature are like. All but ``nan`` and ``infinite`` are of the finite ones.

    Attributes:
        min: smallest, in its own type; None without any finite value.
        max: largest.
        mean: arithmetic mean.
        std: standard deviation of all values (divided by their number, not by one less).
        median: `FeatureStatistics.quantile` of one half.
        zeros: how many are 0.
        nan: how many are not a number.
        infinite: how many are infinite.
        count: how many are finite.
        error: how far off a quantile may be, as a share of itself; 0.0 where values are counted one by one.
    """

    min: int | float | Decimal | None
    max: int | float | Decimal | None
    mean: float | None
    std: float | None
    median: float | None
    zeros: int
    nan: int
    infinite: int
    count: int
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long values are: strings in characters, bytes in bytes."""

    min: int
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Days without a value, between one that has one and the next.

    Attributes:
        after: the last day before it (UTC for datetimes).
        before: the first day after it.
        days: how many lie between.
    """

    after: date
    before: date
    days: int


@dataclass(frozen=True, slots=True)
class Moments:
    """What the dates or datetimes of a feature are like.

    Attributes:
        min: earliest.
        max: latest.
        days: how many calendar days (UTC for datetimes) have a value.
        gap: the longest run of days without one between ``min`` and ``max``, the earliest of equal ones; None
            when there is none.
    """

    min: date | datetime
    max: date | datetime
    days: int
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class Valencies:
    """How many values the lists of a feature hold.

    Attributes:
        min: fewest.
        max: most.
        mean: on average.
        counts: number of values to number of lists, ascending.
    """

    min: int
    max: int
    mean: float
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many distinct values there are.

    Attributes:
        count: how many.
        exact: counted; else estimated.
        error: the estimate's relative standard error; 0.0 when exact.
    """

    count: int
    exact: bool = True
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Weighted:
    """What a feature is like where each row counts as much as its weight.

    Attributes:
        count: sum of the weights of the rows that have it.
        missing: sum of the weights of the rows that lack it.
        mean: of the finite numbers; None for what is no number. ``std`` and ``median`` likewise.
        std: standard deviation.
        median: the value at half of the weight.
        top: values by weight, heaviest first, at most a thousand; none of a personal feature.
    """

    count: float
    missing: float
    mean: float | None = None
    std: float | None = None
    median: float | None = None
    top: tuple[tuple[Any, float], ...] = ()
