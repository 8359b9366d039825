"""Which figures of a batch are odd, so that in the long run only a stated share of sound batches has any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.schema import Schema
from lakehouse.validation.expectations.forecasting import FIRST, Forecast, Point, forecast
from lakehouse.validation.expectations.measures import Series, of_feature, of_rows
from lakehouse.validation.statistics import Statistics

__all__ = ["MINIMUM", "Judged", "judge"]

MINIMUM = 10
"""Nothing is said before a dataset, or a feature, has so many batches."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure of the batch that was held against its history.

    Attributes:
        path: the feature's; "" is the dataset.
        series: the measure in all batches.
        forecast: what was expected.
        least: the chance below which it is told.
        odd: whether it is.
    """

    path: str
    series: Series
    forecast: Forecast
    least: float
    odd: bool


def judge(
    current: Statistics, at: date, past: Sequence[tuple[Statistics, date]], schema: Schema | None, rate: float
) -> list[Judged]:
    """Hold every figure of a batch against its history.

    Args:
        current: the batch.
        at: its day.
        past: those before, oldest first, each with its day.
        schema: says which features are personal or categorical.
        rate: the chance that a sound batch has any odd figure.

    Returns:
        All that was looked at, in the order of the columns.
    """
    weekdays = [*(day.weekday() for _, day in past), at.weekday()]
    found = [
        (path, series, _forecast(series, weekdays))
        for path, series in _series(current, [statistics for statistics, _ in past], schema)
        if len(series.figures) > max(FIRST + 1, MINIMUM - FIRST)
    ]
    if not found:
        return []
    # Holm: the smallest chance is held against rate / all, the next against rate / (all - 1), and so on.
    ordered = sorted(range(len(found)), key=lambda n: found[n][2].chance)
    least = [rate / len(found)] * len(found)
    odd = [False] * len(found)
    for rank, n in enumerate(ordered):
        least[n] = rate / (len(found) - rank)
        if found[n][2].chance >= least[n]:
            break
        odd[n] = not found[n][2].again
    return [Judged(path, series, one, least[n], odd[n]) for n, (path, series, one) in enumerate(found)]


def _series(current: Statistics, past: Sequence[Statistics], schema: Schema | None) -> Iterator[tuple[str, Series]]:
    batches = [*past, current]
    if len(past) < MINIMUM:
        return
    yield "", of_rows(batches)
    known = schema.paths() if schema is not None else {}
    for path in current.features if current.rows else ():
        found = [(n, one.features[path]) for n, one in enumerate(batches) if one.rows and path in one.features]
        found = [(n, one) for n, one in found if one.rows]
        if len(found) > MINIMUM and found[-1][0] == len(past):
            for series in of_feature(found, known.get(path)):
                if series.figures[-1].batch == len(past):
                    yield path, series


def _forecast(series: Series, weekdays: Sequence[int]) -> Forecast:
    points = [Point(one.value, one.variance, weekdays[one.batch]) for one in series.figures]
    return forecast(points[:-1], points[-1], series.floor, upper=series.upper, counted=series.counted)
