"""Moments by calendar day: how those of a feature are told that has too many to count each."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

import polars as pl

__all__ = ["Days", "by_day", "day_of", "ordinal", "ordinals"]

_DAY = 86_400_000_000  # microseconds
_EPOCH = date(1970, 1, 1)


def day_of(dtype: pl.DataType) -> pl.Expr:
    """The calendar day of the column ``value``, in UTC where it has a zone."""
    value = pl.col("value")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        value = value.dt.convert_time_zone("UTC")
    return value.cast(pl.Date)


def by_day(counts: pl.DataFrame) -> pl.DataFrame:
    """Moments (``value``, ``count``) by calendar day: ``day`` and ``count``, ascending."""
    day = day_of(counts.schema["value"]).alias("day")
    return counts.group_by(day).agg(pl.col("count").sum()).sort("day")


def ordinals(dtype: pl.DataType) -> pl.Expr:
    """The column ``value`` as a number: dates in days, datetimes in microseconds since 1970-01-01."""
    value = pl.col("value").to_physical().cast(pl.Float64)
    return value / 1000 if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns" else value


def ordinal(moment: Any) -> float:
    """The same of one Python value; numbers as they are."""
    if isinstance(moment, datetime):
        start = datetime(1970, 1, 1, tzinfo=UTC) if moment.tzinfo else datetime(1970, 1, 1)  # noqa: DTZ001
        return float((moment - start) // timedelta(microseconds=1))
    return float((moment - _EPOCH).days) if isinstance(moment, date) else float(moment)


class Days:
    """What days tell of the moments in them, as if those were spread evenly over each.

    Args:
        frame: ``day`` and ``count``, ascending.
        dtype: of the moments: dates are told in days, datetimes in microseconds.
    """

    def __init__(self, frame: pl.DataFrame, dtype: pl.DataType) -> None:
        self._wide = 1 if dtype == pl.Date else _DAY
        self._first = [float(day * self._wide) for day in frame["day"].to_physical().to_list()]
        self._counts: list[int] = frame["count"].to_list()
        self._reached = list(accumulate(self._counts))

    @property
    def count(self) -> int:
        """How many moments."""
        return self._reached[-1] if self._reached else 0

    def ranked(self, rank: int) -> float:
        """About the moment at a rank, 0 for the earliest; of dates the very one."""
        at = bisect_right(self._reached, rank)
        if self._wide == 1:
            return self._first[at]
        before = self._reached[at - 1] if at else 0
        return self._first[at] + self._wide * (rank - before) / self._counts[at]

    def below(self, edge: float) -> float:
        """About how many moments are before an edge; of dates just how many."""
        at = bisect_right(self._first, edge) - 1
        if at < 0:
            return 0.0
        before, inside = self._reached[at - 1] if at else 0, edge - self._first[at]
        if self._wide == 1:
            return float(before + (self._counts[at] if inside > 0 else 0))
        return before + self._counts[at] * min(inside / self._wide, 1.0)
