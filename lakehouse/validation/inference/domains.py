"""Proposals about domains: new values, wider ranges; what cannot be widened is taken away, and that is said."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lakehouse.schema import Domain, Feature, FeatureType
from lakehouse.validation.anomalies.wording import counted
from lakehouse.validation.inference.case import Case
from lakehouse.validation.inference.changes import Change
from lakehouse.validation.parsing import literal

__all__ = ["finite", "length", "regex", "span", "values"]

_MANY = 100
"""A domain that would grow beyond so many values, and was not as large before, is none: the values are open-ended."""
_SHOWN = 5


def values(case: Case) -> Iterable[Change]:
    """The new values in the list, or no list where they are too many, unknown or personal."""
    feature, one = case.feature, case.one
    if feature is None or feature.domain is None or feature.domain.values is None or one is None:
        return []
    said = feature.domain.values
    if case.personal:
        return _domain(case, feature, _plain(feature.domain, without="values"), _HIDDEN)
    known = {literal(value, feature) for value in said}
    counts = [(value, count) for value, count in one.frequencies().iter_rows() if value is not None]
    new = [(value, count) for value, count in counts if _value(value, feature) not in known]
    if not one.complete or len(said) + len(new) > max(_MANY, len(said)):
        many = f"{len(new):,}" if one.complete else f"more than {len(new):,}"
        reason = (
            f"The data has {many} values beside the {len(said):,} of the domain: too many for a list. "
            f"Without it, any value is taken."
        )
        return _domain(case, feature, _plain(feature.domain, without="values"), reason)
    shown = ", ".join(f"{_yaml(value)!r} ({counted(count, 'row')})" for value, count in new[:_SHOWN])
    more = f" and {len(new) - _SHOWN:,} more" if len(new) > _SHOWN else ""
    after = {**_plain(feature.domain), "values": [*said, *sorted((_yaml(value) for value, _ in new), key=str)]}
    return _domain(case, feature, after, f"The data has {shown}{more}, which the domain has not.")


_HIDDEN = "The data has values outside the domain. They are personal and not shown; without the list, any is taken."


def span(case: Case) -> Iterable[Change]:
    """A range that takes in the least and the greatest value."""
    feature, one = case.feature, case.one
    if feature is None or feature.domain is None or one is None:
        return []
    seen = one.moments or one.numbers
    if seen is None or seen.min is None or seen.max is None or case.personal:
        rest = _plain(feature.domain, without="min")
        rest.pop("max", None)
        return _domain(case, feature, rest, _HIDDEN.replace("list", "range"))
    after = _plain(feature.domain)
    low, high = feature.domain.min, feature.domain.max
    if low is not None and _value(seen.min, feature) < literal(low, feature):
        after["min"] = _yaml(seen.min)
    if high is not None and _value(seen.max, feature) > literal(high, feature):
        after["max"] = _yaml(seen.max)
    if one.numbers is not None and one.numbers.nan and feature.type is FeatureType.FLOAT:
        after["finite"] = False  # a range takes in no NaN
    return _domain(case, feature, after, f"The data lies between {_yaml(seen.min)} and {_yaml(seen.max)}.")


def finite(case: Case) -> Iterable[Change]:
    """NaN and infinities allowed."""
    feature, one = case.feature, case.one
    if feature is None or one is None or one.numbers is None:
        return []
    after = _plain(feature.domain) if feature.domain is not None else {}
    reason = f"The data has {one.numbers.nan:,} NaN and {one.numbers.infinite:,} infinite values."
    return _domain(case, feature, {**after, "finite": False}, reason)


def regex(case: Case) -> Iterable[Change]:
    """The pattern gone: it cannot be widened by a program."""
    feature = case.feature
    if feature is None or feature.domain is None:
        return []
    reason = (
        f"The data has texts that do not match {feature.domain.regex}. "
        f"Better than to take the pattern away, write one that takes them in."
    )
    return _domain(case, feature, _plain(feature.domain, without="regex"), reason)


def length(case: Case) -> Iterable[Change]:
    """Bounds that take in the shortest and the longest text."""
    feature, one = case.feature, case.one
    if feature is None or feature.domain is None or feature.domain.length is None or one is None:
        return []
    said, seen = feature.domain.length, one.lengths
    if seen is None:
        reason = "How long its values are is not known; any length is taken then."
        return _domain(case, feature, _plain(feature.domain, without="length"), reason)
    after = {}
    if said.min is not None:
        after["min"] = min(said.min, seen.min)
    if said.max is not None:
        after["max"] = max(said.max, seen.max)
    reason = f"The data's values are {seen.min:,} to {seen.max:,} long."
    return _domain(case, feature, {**_plain(feature.domain), "length": after}, reason)


def _domain(case: Case, feature: Feature, after: dict[str, Any], reason: str) -> list[Change]:
    """The change of a feature's own domain, or of the one it shares; a list alone stands for its values."""
    rest = {key: value for key, value in after.items() if key != "min_mass"}
    short: Any = after["values"] if set(after) == {"values"} else after if rest else None
    if feature.domain_name is None or short is None:
        change = case.change("domain", short, reason)
        return [_unseen(change) if case.personal else change]
    others = sorted(
        path
        for path, other in case.schema.paths().items()
        if other.domain_name == feature.domain_name and path != case.path
    )
    shared = f" {', '.join(others)} have the same domain." if others else ""
    before = _plain(case.schema.domains[feature.domain_name])
    told = before["values"] if set(before) == {"values"} else before
    change = Change(
        "", f"domains.{feature.domain_name}", told, short, f"{case.path}: {reason}{shared}", case.anomaly.kind
    )
    return [_unseen(change) if case.personal else change]


def _unseen(change: Change) -> Change:
    """A change that does not tell what stood there."""
    return Change(change.path, change.key, "(personal)", change.after, change.reason, change.anomaly)


def _plain(domain: Domain, without: str = "") -> dict[str, Any]:
    return domain.model_dump(mode="json", exclude_defaults=True, exclude={without})


def _value(value: Any, feature: Feature) -> Any:
    """A value of the data as one of the feature's type, so that 12 and 12.0 are one."""
    try:
        return literal(_yaml(value), feature)
    except ValueError:
        return value


def _yaml(value: Any) -> Any:
    """A value as a person would write it in YAML."""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
