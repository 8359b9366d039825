"""A feature from its statistics, as YAML has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.schema import FeatureType
from lakehouse.validation.reading import read_as
from lakehouse.validation.statistics import FeatureStatistics

__all__ = ["features"]

_TEXTS = (FeatureType.STRING,)
_SEEN = 5
"""A column whose distinct values were seen less than so many times on average is too little looked at for a domain."""
_OPEN = 4
"""A column is open-ended when more than one in so many of its distinct values was seen once only."""
_ENOUGH = 100
"""Distinct texts that must be known, and be equally long, to tell a type when not all are known."""


def features(statistics: Mapping[str, FeatureStatistics], max_domain: int, *, cautious: bool) -> dict[str, Any]:
    """The options of all features, those of structs within them.

    Args:
        statistics: dotted path to statistics, a struct before what is within it.
        max_domain: as `infer_schema` has it.
        cautious: as `infer_schema` has it.
    """
    found: dict[str, Any] = {}
    structs: dict[str, dict[str, Any]] = {"": found}
    for path, one in statistics.items():
        above = max((s for s in structs if s and path.startswith(f"{s}.")), key=len, default="")
        name = path.removeprefix(f"{above}.") if above else path
        # What lies in a struct can be there only where the struct is.
        rows = statistics[above].count if above and not statistics[above].repeated else one.rows
        options = _inferred(one, rows, max_domain, cautious=cautious)
        if one.type is FeatureType.STRUCT:
            structs[path] = options["fields"] = {}
        structs[above][name] = options
    return found


def _inferred(one: FeatureStatistics, rows: int, max_domain: int, *, cautious: bool) -> dict[str, Any]:
    """One feature's options, those of a struct without what is within."""
    options = _typed(one, cautious=cautious)
    if one.repeated:
        options["type"] = f"list[{options['type']}]"
    options |= _presence(one.count, rows)
    if one.repeated and (valency := _valency(one, cautious=cautious)):
        options["valency"] = valency
    if options["type"] in ("string", "list[string]") and one.type in _TEXTS:
        options |= _domain(one, max_domain, cautious=cautious)
    return options


def _typed(one: FeatureStatistics, *, cautious: bool) -> dict[str, Any]:
    if one.type is None:
        return {"type": "string"}
    if one.type is FeatureType.INT and _zero_or_one(one, cautious=cautious):
        return {"type": "bool"}
    if one.personal:
        return {"type": one.type.value, "personal": True}
    if one.type is FeatureType.STRING:
        return _read(one, cautious=cautious)
    if one.type is FeatureType.INT and cautious and one.count:
        # A day written 20130101 counts as a number; the column's name tells which it is.
        return read_as(one.path, _values(one).cast(pl.String))[0] or {"type": "int"}
    if one.type is FeatureType.DECIMAL and isinstance(dtype := one.frequencies()["value"].dtype, pl.Decimal):
        return {"type": "decimal", "precision": dtype.precision, "scale": dtype.scale}
    if one.type is FeatureType.FLOAT and (not cautious or (one.numbers is not None and one.numbers.infinite)):
        return {"type": "float", "domain": {"finite": False}}
    return {"type": one.type.value}


def _zero_or_one(one: FeatureStatistics, *, cautious: bool) -> bool:
    numbers = one.numbers
    if numbers is None or numbers.min is None or numbers.max is None or numbers.min < 0 or numbers.max != 1:
        return False
    return numbers.min < numbers.max if cautious else True


def _read(one: FeatureStatistics, *, cautious: bool) -> dict[str, Any]:
    """What text can be read as."""
    values = _values(one)
    if not cautious:
        return {"type": "bool"} if len(values) and one.complete and set(values) <= {"true", "false"} else _string()
    if not one.complete:
        lengths = one.lengths
        # The rest is not known: one way of writing throughout is what can be said of it.
        if len(values) < _ENOUGH or lengths is None or lengths.min != lengths.max:
            return _string()
    options = read_as(one.path, values)[0] if len(values) else None
    return options or _string()


def _string() -> dict[str, Any]:
    return {"type": "string"}


def _values(one: FeatureStatistics) -> pl.Series:
    return one.frequencies()["value"].drop_nulls()


def _presence(count: int, rows: int) -> dict[str, Any]:
    if rows and count == rows:
        return {}
    return {"presence": {"min_count": 1} if count else "optional"}


def _valency(one: FeatureStatistics, *, cautious: bool) -> dict[str, int]:
    """At least one value where no list was empty; a fixed number where all lists held as many, often enough."""
    valency = one.valency
    if valency is None or valency.min == 0:
        return {}
    fixed = valency.min == valency.max and (not cautious or one.count >= _SEEN)
    return {"min": valency.min, "max": valency.max} if fixed else {"min": 1}


def _domain(one: FeatureStatistics, max_domain: int, *, cautious: bool) -> dict[str, Any]:
    """All values that were seen, where they look like all there are."""
    counts = one.frequencies().drop_nulls("value")
    if one.personal or not one.complete or not 0 < len(counts) <= max_domain:
        return {}
    found: dict[str, Any] = {"domain": sorted(counts["value"])}
    if not cautious:
        return found
    once = int((counts["count"] == 1).sum())
    if one.values < _SEEN * len(counts) or once * _OPEN > len(counts):
        return {}
    # Good and Turing: as many rows as were looked at bring about as many new values as were seen just once.
    return {**found, "severity": {"domain": "warning"}} if once else found
