"""What one figure of the next batch should be, and how far off such a forecast has been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, median

from lakehouse.validation.expectations.tails import beyond, limit

__all__ = ["FIRST", "Forecast", "Point", "forecast"]

FIRST = 5
"""A forecast needs as many batches before it."""
_WINDOWS: tuple[int | None, ...] = (None, 7, 3)
"""The batches whose median is the forecast: all, or the last few, for what trends or wanders."""
_WEEKS = 3
"""A weekday's own level needs as many batches of that weekday."""
_WEEKDAYS = 5
"""... and as many different weekdays; a dataset of Mondays has no week."""
_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, of normal values."""
_EFFICIENCY = 0.37
"""A median absolute deviation knows as much as a standard deviation of so many values for each of its own."""
_FREEDOM = 5.0
"""Real figures are further out than normal ones, more often: as Student's t of so many degrees."""
_TRIM = 0.8
_NORMAL = NormalDist()
_LIKE, _TWICE = 0.75, 2
"""What comes and goes, as rain does, is not odd: as far off as now, nearly, twice before."""
_ODD, _NEAR = 1e-3, 0.25
"""A batch after an odd one is at the same new level when it is no further from it than a quarter of the way."""


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one batch, on the scale it is judged on.

    Attributes:
        value: of the figure.
        variance: what chance alone does to it in a batch of that many rows.
        weekday: of the batch, Monday is 0.
    """

    value: float
    variance: float
    weekday: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was expected of a batch, and what came.

    Two things move a figure. Batches differ, now and then by much: their differences are held to have Student's t
    distribution. And a batch is a sample: what that does is known, and normal. A figure is as odd as the likelier of
    the two makes it.

    Attributes:
        expected: the forecast.
        between: how far batches are from such forecasts, as a standard deviation.
        whole: the same with what chance does to a batch of this many rows.
        freedom: of the t distribution.
        chance: of being as far off as this batch, or further.
        again: it was so before: in the batch before (a level that lasts was told when it came), or twice in the past.
        weekly: the forecast is of that weekday.
    """

    expected: float
    between: float
    whole: float
    freedom: float
    chance: float
    again: bool
    weekly: bool

    def reach(self, chance: float) -> float:
        """How far off a batch is that is further off with this chance."""
        return max(limit(chance, self.freedom) * self.between, -_NORMAL.inv_cdf(chance / 2) * self.whole)


def forecast(
    past: Sequence[Point], now: Point, floor: float, *, upper: bool = False, counted: bool = False
) -> Forecast:
    """Forecast a batch's figure from those before it.

    The median of all batches, of the last seven, or of the last three, each with or without the weekday's own level:
    whichever would have been nearest in the past. How far off it was then is how far off it may be now: errors are
    measured by their median, so that a few odd batches among them do not hide the next.

    Args:
        past: the figures of the batches before, oldest first; more than `FIRST`.
        now: the batch's own.
        floor: the least standard deviation that is believed.
        upper: only a figure above the forecast is odd.
        counted: the figure is a share of rows, of which it is known what chance does to it. Of others the variance is
            a guess (their rows are not alike, nor by chance what they are), and belongs to how batches differ.
    """
    levels = [([point.value for point in past], 0.0, False)]
    if (week := _week(past, now.weekday)) is not None:
        levels.append((*week, True))
    tried = []
    for values, level, weekly in levels:
        for window in _WINDOWS:
            missed = [values[n] - median(_last(values, n, window)) for n in range(FIRST, len(values))]
            tried.append((_typical(missed), window, weekly, values, level, missed))
    _, window, weekly, values, level, missed = min(tried, key=lambda one: one[0])
    errors = [abs(error) for error in missed]
    expected = level + median(_last(values, len(values), window))
    by_chance = median(point.variance for point in past)
    between = (_TO_SIGMA * median(errors)) ** 2
    if not counted:
        between = max(between, by_chance) + max(now.variance - by_chance, 0.0)
    between = sqrt(between + floor**2)
    whole = sqrt(between**2 + (now.variance if counted else 0.0))
    freedom = min(_FREEDOM, _EFFICIENCY * len(errors))

    def chance(off: float) -> float:
        return max(beyond(off / between, freedom), 2 * _NORMAL.cdf(-abs(off) / whole))

    off, before = now.value - expected, values[-1] + level - expected
    both = chance(off)
    if upper:
        both = both / 2 if off > 0 else 1 - both / 2
    again = off * before > 0 and chance(before) < _ODD and abs(off) - abs(before) <= _NEAR * abs(off)
    again = again or sum(error * off > 0 and abs(error) >= _LIKE * abs(off) for error in missed) >= _TWICE
    return Forecast(expected, between, whole, freedom, both, again, weekly)


def _last(values: Sequence[float], end: int, window: int | None) -> Sequence[float]:
    return values[:end] if window is None else values[max(0, end - window) : end]


def _typical(errors: Sequence[float]) -> float:
    """The mean of the smaller errors: the odd ones of the past choose nothing."""
    kept = sorted(abs(error) for error in errors)[: max(1, int(_TRIM * len(errors)))]
    return sum(kept) / len(kept)


def _week(past: Sequence[Point], weekday: int) -> tuple[list[float], float] | None:
    """The past without each weekday's own level, and the level of one; None where too few weeks tell.

    Each batch's level is that of the other batches of its weekday, so that none explains itself.
    """
    count = Counter(point.weekday for point in past)
    often = [day for day, times in count.items() if times >= _WEEKS]
    if len(often) < _WEEKDAYS or weekday not in often:
        return None
    values = [point.value for point in past]
    # Against the week around it, so that what grows is not taken for a weekday's own.
    apart = [value - median(values[max(0, n - 3) : n + 4]) for n, value in enumerate(values)]
    of_day = {day: [apart[n] for n, point in enumerate(past) if point.weekday == day] for day in often}
    rest: list[float] = []
    met: Counter[int] = Counter()
    for point in past:
        own = of_day.get(point.weekday)
        if own is None:
            rest.append(point.value)
            continue
        others = [value for n, value in enumerate(own) if n != met[point.weekday]]
        met[point.weekday] += 1
        rest.append(point.value - median(others))
    return rest, median(of_day[weekday])
