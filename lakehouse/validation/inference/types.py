"""Proposals about types: the narrowest that takes in both what the schema expects and what the data has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from lakehouse.schema import Feature, FeatureType, Rule
from lakehouse.validation.anomalies.wording import counted
from lakehouse.validation.inference.case import Case
from lakehouse.validation.inference.changes import Change
from lakehouse.validation.parsing import NO_CODE
from lakehouse.validation.reading import fits

__all__ = ["widened"]

_INT, _FLOAT, _STRING = FeatureType.INT, FeatureType.FLOAT, FeatureType.STRING
_WIDER: dict[frozenset[FeatureType], FeatureType] = {
    frozenset({_INT, _FLOAT}): _FLOAT,
    frozenset({FeatureType.BOOL, _INT}): _INT,
    frozenset({FeatureType.BOOL, _FLOAT}): _FLOAT,
    frozenset({FeatureType.DECIMAL, _INT}): FeatureType.DECIMAL,
    frozenset({FeatureType.DATE, FeatureType.DATETIME}): FeatureType.DATETIME,
}
_OF_TYPES: dict[str, tuple[FeatureType, ...]] = {
    "format": (FeatureType.DATE, FeatureType.DATETIME),
    "timezone": (FeatureType.DATETIME,),
    "precision": (FeatureType.DECIMAL,),
    "scale": (FeatureType.DECIMAL,),
    "true_values": (FeatureType.BOOL,),
    "false_values": (FeatureType.BOOL,),
}
"""Keys that only features of some types have."""


def widened(case: Case) -> Iterable[Change]:
    """Another type, and without what that type cannot have."""
    feature, one = case.feature, case.one
    if feature is None or one is None or one.type is FeatureType.STRUCT or feature.type is FeatureType.STRUCT:
        return []
    if any(NO_CODE in one.reason for one in case.statistics.broken if one.path == case.path):
        return []  # no other type would make it a code
    kind, why = _wider(case, feature)
    after = f"list[{kind.value}]" if one.repeated or feature.repeated else kind.value
    if one.repeated and not feature.repeated:
        why = "The data has a list of values in a row."
    return [case.change("type", after, why), *_without(case, feature, kind)]


def _wider(case: Case, feature: Feature) -> tuple[FeatureType, str]:
    seen = case.one.type if case.one is not None else None
    if seen is None or seen is feature.type:
        return _by_examples(case, feature)
    kind = _WIDER.get(frozenset({feature.type, seen}), _STRING)
    what = "text" if seen is _STRING else f"of type {seen.value}"
    return kind, f"The data is {what}, the schema expects {feature.type.value}; {kind.value} takes in both."


def _by_examples(case: Case, feature: Feature) -> tuple[FeatureType, str]:
    """What the values could be that are none of the feature's type."""
    broken = [one for one in case.statistics.broken if one.path == case.path and one.rule is Rule.TYPE]
    texts = [text for one in broken for text, _ in one.examples]
    rows = sum(one.rows for one in broken)
    kind = _STRING
    if texts and feature.type is _INT and fits(pl.Series(texts, dtype=pl.String), {"type": "float"}):
        kind = _FLOAT  # of other types it is not known how those values were written that did fit
    shown = "" if case.personal or not texts else f" ({', '.join(repr(text[:40]) for text in texts[:3])})"
    return (
        kind,
        f"{counted(rows, 'row')} with values{shown} that are no {feature.type.value}; {kind.value} takes in all.",
    )


def _without(case: Case, feature: Feature, kind: FeatureType) -> Iterable[Change]:
    """What must go with the old type, each said by itself."""
    said: dict[str, Any] = feature.model_dump(exclude_defaults=True)
    for key, types in _OF_TYPES.items():
        if key in said and kind not in types:
            yield case.change(key, None, f"Only {' and '.join(one.value for one in types)} features have it.")
    domain = feature.domain
    if domain is None or kind not in (_STRING, FeatureType.BOOL):
        return
    gone = [key for key in ("min", "max", "finite") if getattr(domain, key) is not None]
    if gone:
        rest = domain.model_dump(mode="json", exclude_defaults=True, exclude=set(gone))
        after = rest if set(rest) - {"min_mass"} else None
        reason = f"Text has no {' or '.join(gone)}: its values are not held to that any more."
        yield case.change("domain", after, reason)
