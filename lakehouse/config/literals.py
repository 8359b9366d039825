"""Single values that a schema writes - defaults, domains, bounds - against the type of their feature."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Any

from lakehouse.config.problems import Path, quoted
from lakehouse.schema import Domain, Feature, FeatureType

__all__ = ["unfit_values"]


def unfit_values(name: str, feature: Feature) -> Iterator[tuple[Path, str]]:
    """What the YAML says of single values, against the feature's type: key paths below ``schema``."""
    here: Path = ("features", name)
    for inner, nested in feature.fields.items():
        yield from ((("features", name, "fields", *path[1:]), text) for path, text in unfit_values(inner, nested))
    if feature.timezone is not None and feature.timezone not in zoneinfo.available_timezones():
        yield (*here, "timezone"), f"not a time zone: {quoted(feature.timezone)}"
    if feature.default is not None and not feature.repeated:
        yield from (((*here, "default"), text) for _, text in _bad_values(feature, {("default",): feature.default}))
    if feature.domain is not None:
        shared = feature.domain_name
        where: Path = (*here, "domain") if shared is None else ("domains", shared)
        whose = "" if shared is None else f"of feature '{name}': "
        for path, text in _bad_domain(feature, feature.domain):
            yield (*where, *path), whose + text


def _bad_domain(feature: Feature, domain: Domain) -> Iterator[tuple[Path, str]]:
    # A list directly under `domain` is short for `values`; the line of either is found by its nearest key.
    stated: dict[Path, Any] = {("values", index): value for index, value in enumerate(domain.values or ())}
    stated |= {(end,): value for end in ("min", "max") if (value := getattr(domain, end)) is not None}
    yield from _bad_values(feature, stated)
    try:
        low, high = _parse(feature, domain.min), _parse(feature, domain.max)
    except (ValueError, OverflowError, decimal.InvalidOperation):
        return  # told above, or one of them is open
    try:
        if low > high:
            yield ("min",), f"{quoted(low)} is above max, so nothing is allowed"
    except TypeError:
        yield ("min",), "min and max must both have a UTC offset, or neither"


def _bad_values(feature: Feature, stated: Mapping[Path, Any]) -> Iterator[tuple[Path, str]]:
    for path, value in stated.items():
        try:
            _parse(feature, value)
        except (ValueError, OverflowError, decimal.InvalidOperation) as error:
            reason = str(error) if isinstance(error, _UnfitError) else f"cannot be read as {feature.type.value}"
            yield path, f"{reason}, found {quoted(value)}"


class _UnfitError(ValueError):
    """A reason worth more than "cannot be read"."""


def _parse(feature: Feature, value: Any) -> Any:
    """The typed value of what YAML holds.

    Raises:
        ValueError: it is no value of the feature's type.
    """
    if value is None or isinstance(value, (dict, list, tuple)):
        raise _UnfitError(f"must be one {feature.type.value}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if feature.type is not FeatureType.BOOL and isinstance(value, bool):
        raise _UnfitError("is a bool here; put it in quotes to make it text")
    match feature.type:
        case FeatureType.INT:
            return _int(text)
        case FeatureType.FLOAT:
            return _float(text)
        case FeatureType.DECIMAL:
            return _decimal(feature, text)
        case FeatureType.BOOL if isinstance(value, bool) or text in (*feature.true_values, *feature.false_values):
            return text
        case FeatureType.STRING | FeatureType.BYTES if not isinstance(value, float):
            return text
        case FeatureType.STRING | FeatureType.BYTES:
            raise _UnfitError("is a number here; put it in quotes to keep it as written")
        case FeatureType.DATE | FeatureType.DATETIME:
            return _moment(feature, text)
    raise _UnfitError(f"must be one of {', '.join((*feature.true_values, *feature.false_values))}")


def _int(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise _UnfitError("must be a whole number of at most 64 bits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if "_" in text or number != number:  # noqa: PLR0124  # only NaN is unequal to itself
        raise _UnfitError("must be a number")
    return number


def _decimal(feature: Feature, text: str) -> decimal.Decimal:
    number = decimal.Decimal(text)
    if "_" in text or not number.is_finite():
        raise _UnfitError("must be a number")
    _, digits, exponent = number.as_tuple()
    scale = max(0, -int(exponent))
    whole = max(0, len(digits) + int(exponent))
    if scale > feature.scale or whole > feature.precision - feature.scale:
        raise _UnfitError(f"does not fit decimal({feature.precision}, {feature.scale})")
    return number


def _moment(feature: Feature, text: str) -> dt.date | dt.datetime:
    whole = feature.type is FeatureType.DATETIME
    if feature.format is not None:
        try:
            moment = dt.datetime.strptime(text, feature.format)  # noqa: DTZ007  # only whether it can be read matters
            return moment if whole else moment.date()
        except ValueError:
            pass  # ISO 8601 is allowed beside the format
    try:
        return dt.datetime.fromisoformat(text) if whole else dt.date.fromisoformat(text)
    except ValueError:
        form = "ISO 8601" + (f" or {feature.format}" if feature.format else "")
        raise _UnfitError(f"must be a {feature.type.value} as {form}") from None
