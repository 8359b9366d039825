"""Proposals about how much must be there: missing values, lengths of lists, distinct values, rows."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lakehouse.schema import Valency
from lakehouse.validation.anomalies.wording import counted, percent
from lakehouse.validation.inference.case import Case
from lakehouse.validation.inference.changes import Change

__all__ = ["bounds", "presence", "unique", "valency"]


def presence(case: Case) -> Iterable[Change]:
    """A lower share or count of rows that must have a value."""
    feature, one = case.feature, case.one
    if feature is None or one is None:
        return []
    # Rows that were set apart for it are not among those measured, and are missing all the same.
    told = case.anomaly.figures.get("missing")
    missing = told if isinstance(told, int) else one.missing
    rows = max(case.statistics.rows_of(case.path), one.count + missing)
    lacking = f"{counted(missing, 'row')} of {rows:,} without it."
    share = math.floor(100 * one.count / rows) / 100 if rows else 0.0
    said = feature.presence
    count = None if said.min_count is None else min(said.min_count, one.count)
    after: dict[str, float | int] = {}
    if share and (said.required or said.min_fraction is not None):
        after["min_fraction"] = share if said.min_fraction is None else min(share, said.min_fraction)
    if count or (said.required and one.count):
        after["min_count"] = count or 1
    if not after:
        return [case.change("presence", "optional", f"{lacking} It may be missing anywhere then.")]
    meant = (
        [f"at least {percent(float(after['min_fraction']), 1)} of a batch's rows"] if "min_fraction" in after else []
    )
    meant += [f"at least {after['min_count']:,} of them"] if "min_count" in after else []
    kept = " Rows that lack it are kept, no longer quarantined." if said.required else ""
    return [case.change("presence", after, f"{lacking} With this, {' and '.join(meant)} must have it.{kept}")]


def valency(case: Case) -> Iterable[Change]:
    """Bounds that take in the shortest and the longest list."""
    feature, one = case.feature, case.one
    if feature is None or feature.valency is None or one is None or one.valency is None:
        return []
    seen, said = one.valency, feature.valency
    after = Valency(
        min=None if said.min is None else min(said.min, seen.min),
        max=None if said.max is None else max(said.max, seen.max),
    )
    reason = f"Lists in the data hold {seen.min:,} to {seen.max:,} values."
    return [case.change("valency", after.model_dump(exclude_none=True), reason)]


def unique(case: Case) -> Iterable[Change]:
    """Bounds that take in the number of distinct values."""
    feature, one = case.feature, case.one
    if feature is None or feature.unique is None or one is None:
        return []
    if one.type is None or one.distinct.count == 0:
        return [case.change("unique", None, "Distinct values of this feature cannot be counted.")]
    seen, said = one.distinct.count, feature.unique
    slack = 0 if one.distinct.exact else math.ceil(3 * one.distinct.error * seen)
    after = {}
    if said.min is not None:
        after["min"] = max(0, min(said.min, seen - slack))
    if said.max is not None:
        after["max"] = max(said.max, seen + slack)
    about = "" if one.distinct.exact else "about "
    return [case.change("unique", after, f"The data has {about}{seen:,} distinct values.")]


def bounds(case: Case) -> Iterable[Change]:
    """Bounds that take in the number of rows."""
    said, seen = case.schema.rows, case.statistics.rows
    if said is None:
        return []
    reason = f"The data has {seen:,} rows."
    found = []
    if said.min is not None and seen < said.min:
        found.append(Change("", "rows.min", said.min, seen, reason, case.anomaly.kind))
    if said.max is not None and seen > said.max:
        found.append(Change("", "rows.max", said.max, seen, reason, case.anomaly.kind))
    return found
