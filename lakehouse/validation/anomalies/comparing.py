"""Drift against the batch before, and skew between training and serving."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.schema import Rule
from lakehouse.validation.anomalies.distances import (
    jensen_shannon,
    largest_difference,
    normalized_absolute_difference,
)
from lakehouse.validation.anomalies.found import Comparison, Distance, Measure
from lakehouse.validation.anomalies.judged import Finding, Judged
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import number, percent, quoted
from lakehouse.validation.statistics import FeatureStatistics, Statistics

__all__ = ["compared"]

_KINDS: dict[Distance, tuple[Kind, str]] = {
    "infinity_norm": (Kind.COMPARATOR_L_INFTY_HIGH, "L-infinity distance"),
    "jensen_shannon": (Kind.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH, "Jensen-Shannon divergence"),
    "normalized_absolute_difference": (
        Kind.COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH,
        "normalised absolute difference",
    ),
}
_SIDES: dict[Comparison, tuple[Rule, str, str, str]] = {
    "drift": (
        Rule.DRIFT,
        "the batch before",
        "before",
        "See which files brought it, or, if the world has changed, raise the limit.",
    ),
    "skew": (
        Rule.SKEW,
        "the serving data",
        "in serving",
        "See what differs between the two sources, or raise the limit.",
    ),
}


def compared(judged: Judged, comparison: Comparison, others: Statistics | None) -> Iterator[Finding]:
    """Every distance that the feature limits, measured; and an anomaly for each that is over its limit."""
    limits = judged.feature.drift if comparison == "drift" else judged.feature.skew
    thresholds = judged.feature.thresholds(limits)
    if others is None or not thresholds:
        return
    rule, side, *_ = _SIDES[comparison]
    if not others.rows:
        yield f"{judged.path}: {side} has no rows: there is no {comparison} from it."
        return
    other = others.features.get(judged.path)
    if other is None or judged.path in others.absent:
        yield judged.make(
            Kind.COMPARATOR_CONTROL_DATA_MISSING,
            rule,
            f"nothing to compare with in {side}",
            f"The feature limits its {comparison}, but {side} has no such column."
            " Compare with data that has it, or take the limit away.",
            {"comparison": comparison},
        )
        return
    for measure in _KINDS:
        if measure in thresholds:
            yield from _measured(judged, other, comparison, measure, thresholds[measure])


def _measured(
    judged: Judged, other: FeatureStatistics, comparison: Comparison, measure: Distance, threshold: float
) -> Iterator[Finding]:
    seen = judged.seen
    by_value = judged.feature.categorical or None
    largest = largest_difference(seen, other) if measure == "infinity_norm" else None
    match measure:
        case "infinity_norm":
            value = None if largest is None else largest.distance
        case "jensen_shannon":
            value = jensen_shannon(seen, other, by_value=by_value)
        case "normalized_absolute_difference":
            value = normalized_absolute_difference(seen, other)
    yield Measure(judged.path, comparison, measure, value, threshold)
    kind, name = _KINDS[measure]
    rule, side, there, todo = _SIDES[comparison]
    if value is None:
        yield f"{judged.path}: the {name} to {side} could not be measured: {_why(judged, other)}."
    elif value > threshold:
        told = f"The {name} to {side} is {number(value)}, and at most {number(threshold)} is allowed."
        figures: dict[str, object] = {
            "comparison": comparison,
            "measure": measure,
            "value": value,
            "threshold": threshold,
            "by_value": bool(by_value),
        }
        tells = not (judged.personal or other.personal)  # values of a personal feature are nobody's to tell
        if largest is not None and tells:
            told += (
                f" {quoted(largest.value)} differs most: {percent(largest.current, 1)} of the values,"
                f" {percent(largest.other, 1)} {there}."
            )
            figures |= {"largest": largest.value, "share": largest.current, "other_share": largest.other}
        medians = [None if side.numbers is None else side.numbers.median for side in (seen, other)]
        if tells and measure == "jensen_shannon" and not by_value and medians[0] is not None and medians[1] is not None:
            told += f" The median is {number(medians[0])}, and {number(medians[1])} {there}."
        if not (seen.complete and other.complete) and measure != "jensen_shannon":
            told += " Only the most frequent values are known, so it is at least that."
        yield judged.make(
            kind,
            rule,
            f"{comparison}: {name} {number(value)}",
            f"{told} {todo}",
            figures,
            f"{judged.path}: {comparison}: {{{measure}: {number(value * 1.1)}}}",
        )


def _why(judged: Judged, other: FeatureStatistics) -> str:
    if judged.personal or other.personal:
        return "the statistics keep no values of personal features"
    if not judged.seen.values or not other.values:
        return "a side has no value"
    return "one side holds numbers and the other does not"
