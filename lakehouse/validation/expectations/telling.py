"""An odd figure as an anomaly: what it is, what is usual, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from lakehouse.schema import Action, Rule, Schema, Severity
from lakehouse.validation.anomalies import Anomaly, Kind
from lakehouse.validation.anomalies.wording import figure, percent
from lakehouse.validation.expectations.judging import Judged
from lakehouse.validation.expectations.measures import Measure

__all__ = ["told"]

_KINDS = {
    Measure.ROWS: Kind.HISTORY_ROWS,
    Measure.MISSING: Kind.HISTORY_MISSING,
    Measure.MEAN: Kind.HISTORY_MEAN,
    Measure.SPREAD: Kind.HISTORY_SPREAD,
    Measure.SHARES: Kind.HISTORY_SHARES,
    Measure.NEW: Kind.HISTORY_NEW_VALUES,
}
_SHORT = {
    Measure.ROWS: ("far fewer rows than usual", "far more rows than usual"),
    Measure.MISSING: ("far fewer missing values than usual", "far more missing values than usual"),
    Measure.MEAN: ("mean far below the usual", "mean far above the usual"),
    Measure.SPREAD: ("values far closer together than usual", "values far more spread than usual"),
    Measure.SHARES: ("", "values shared out otherwise than usual"),
    Measure.NEW: ("", "more new values than usual"),
}
_WRITTEN: dict[Measure, Callable[[float], str]] = {
    Measure.ROWS: lambda value: f"{round(value):,}",
    Measure.MISSING: lambda value: percent(value, 1),
    Measure.MEAN: lambda value: f"{value:.4g}",
    Measure.SPREAD: lambda value: f"{value:.4g}",
    Measure.SHARES: lambda value: percent(value, 1),
    Measure.NEW: lambda value: f"{round(value):,}",
}


def told(one: Judged, at: date, schema: Schema | None) -> Anomaly:
    """The anomaly of an odd figure."""
    series, expected = one.series, one.forecast
    now = series.figures[-1]
    reach = expected.reach(2 * one.least if series.upper else one.least)
    low, high = (series.back(expected.expected + side * reach) for side in (-1, 1))
    low = max(low, 0.0) if series.measure is not Measure.MEAN else low
    above = now.value > expected.expected
    past = len(series.figures) - 1
    return Anomaly(
        path=one.path,
        kind=_KINDS[series.measure],
        rule=Rule.HISTORY,
        severity=Severity.ERROR if schema is None else schema.severity_of(Rule.HISTORY, one.path),
        action=Action.WARN if schema is None else schema.action_of(Rule.HISTORY, one.path),
        short=_SHORT[series.measure][above],
        description=_description(one, at, low, high),
        figures={
            "value": figure(float(now.raw)),
            "expected": figure(float(series.back(expected.expected))),
            "low": None if series.upper else figure(float(low)),
            "high": figure(float(high)),
            "batches": past,
        },
    )


def _description(one: Judged, at: date, low: float, high: float) -> str:
    measure, series = one.series.measure, one.series
    written = _WRITTEN[measure]
    value = written(series.figures[-1].raw)
    day = f" on a {at:%A}" if one.forecast.weekly else ""
    span = f"up to {written(high)}" if series.upper else f"{written(low)} to {written(high)}"
    usual = f"after {len(series.figures) - 1} batches, {span} was to be expected{day}"
    match measure:
        case Measure.ROWS:
            said = f"The batch has {value} rows; {usual}. See whether the source gave everything, once."
        case Measure.MISSING:
            said = f"{value} of the rows have no value; {usual}. See whether the source still fills it."
        case Measure.MEAN:
            said = f"The mean is {value}; {usual}. See whether the unit or the source changed."
        case Measure.SPREAD:
            said = (
                f"The standard deviation is {value}; {usual}. See whether values are stuck, wrong or of another unit."
            )
        case Measure.SHARES:
            said = f"{series.example}: {value} of difference; {usual}. See whether a part is missing or doubled."
        case Measure.NEW:
            said = (
                f"{value} rows have a value that no batch before had: {series.example}; {usual}. "
                f"See whether they are right; a domain would refuse them."
            )
    return said
