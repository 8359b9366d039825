"""What must hold between the parts of one dataset: names that name features, values that fit types."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Iterator
from typing import Any

import polars as pl

from lakehouse.config.models import Dataset
from lakehouse.config.problems import Path, quoted
from lakehouse.errors import nearest
from lakehouse.schema import Feature, FeatureType

__all__ = ["dataset_problems"]

_ORDERED = (FeatureType.DATE, FeatureType.DATETIME)
_PARTITIONS = (FeatureType.STRING, FeatureType.INT, FeatureType.DATE, FeatureType.BOOL)
_QUERY = re.compile(r"\bselect\b|\bread_\w+\s*\(", re.IGNORECASE)


def dataset_problems(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Every contradiction within a dataset: the key path it is about, and what is wrong."""
    yield from _names(dataset)
    yield from _renames(dataset)
    yield from _derived(dataset)
    yield from _declared(dataset)
    for name, feature in dataset.schema.features.items():
        for path, text in _values(feature):
            yield ("schema", "features", name, *path), text


def _names(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features = dataset.schema.features
    named: list[tuple[Path, str]] = []
    for field in ("keys", "partition_by"):
        values: tuple[str, ...] = getattr(dataset, field)
        named += [((field, index), value) for index, value in enumerate(values)]
        yield from (((field, i), f"'{v}' stands here twice") for i, v in enumerate(values) if v in values[:i])
    if dataset.event_time is not None:
        named.append((("event_time",), dataset.event_time))
    yield from (
        (path, f"'{name}' is not a feature.{nearest(name, features)}") for path, name in named if name not in features
    )
    event = features.get(dataset.event_time or "")
    if event is not None and event.type not in _ORDERED:
        yield ("event_time",), f"'{dataset.event_time}' is {event.type.value}; it must be date or datetime"
    for index, name in enumerate(dataset.partition_by):
        feature = features.get(name)
        if feature is None:
            continue
        if feature.personal:
            yield ("partition_by", index), f"'{name}' is personal; its values would stand in folder names"
        if feature.type not in _PARTITIONS:
            yield ("partition_by", index), f"'{name}' is {feature.type.value}; it must be string, int, date or bool"
    if len(set(dataset.partition_by)) == len(features):
        yield ("partition_by",), "names every feature; at least one must be left to store"


def _renames(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features, taken = dataset.schema.features, dict[str, str]()
    for old, new in dataset.rename.items():
        if new not in features:
            yield ("rename", old), f"'{new}' is not a feature.{nearest(new, features)}"
        elif features[new].computed:
            yield ("rename", old), f"'{new}' is computed, so no column can become it"
        if new in taken:
            yield ("rename", old), f"'{new}' is already what '{taken[new]}' becomes"
        taken[new] = old
    for old in dataset.rename:
        if old in features and old not in taken and not features[old].computed:
            yield ("rename", old), f"'{old}' is a feature too, and would lose its column"


def _derived(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features = dataset.schema.features
    readable = {name: feature.dtype for name, feature in features.items() if not feature.computed}
    for name, sql in dataset.derive.items():
        if name not in features:
            yield ("derive", name), f"'{name}' is not a feature; add it to schema.features.{nearest(name, features)}"
        problem = _expression(sql, readable, dataset)
        if problem:
            yield ("derive", name), problem


def _declared(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What the function's columns are said to be made from must be what the function is given."""
    features = dataset.schema.features
    given = [name for name, feature in features.items() if name in dataset.derive or not feature.computed]
    if dataset.columns and dataset.curate is None:
        yield ("columns",), "says what the function of `curate` makes its columns from, and there is no `curate`"
    for name, inputs in dataset.columns.items():
        if name not in features:
            yield ("columns", name), f"'{name}' is not a feature.{nearest(name, features)}"
        for index, read in enumerate(inputs):
            if read not in features:
                yield ("columns", name, index), f"'{read}' is not a feature.{nearest(read, given)}"
            elif read not in given:
                yield ("columns", name, index), f"'{read}' is made by the function itself; name what that is made from"


def _expression(sql: str, readable: dict[str, pl.DataType], dataset: Dataset) -> str | None:
    if _QUERY.search(sql):
        return "must be an expression over its own row; queries and functions that read files are not"
    try:
        expression = pl.sql_expr(sql)
        roots = set(expression.meta.root_names())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return f"not an SQL expression: {_first_line(error)}"
    for root in sorted(roots - readable.keys()):
        if root in dataset.derive:
            return f"reads '{root}', which is derived itself; write that expression out here"
        if root in dataset.schema.features:
            return f"reads '{root}', which is made by the function, which runs after; make this one there too"
        return f"reads '{root}', which is not a feature.{nearest(root, readable)}"
    frame = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in readable.items()})
    try:
        height = frame.lazy().select(expression).collect().height
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return f"cannot be computed from these types: {_first_line(error)}"
    if height == 1 and roots:
        return "is one value for a whole batch; a derived value must come from its own row"
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _values(feature: Feature) -> Iterator[tuple[Path, str]]:
    stated: list[tuple[Path, Any]] = []
    if feature.timezone is not None and feature.timezone not in zoneinfo.available_timezones():
        yield ("timezone",), f"not a time zone: {quoted(feature.timezone)}"
    if feature.default is not None:
        stated.append((("default",), feature.default))
    domain = feature.domain
    if domain is not None:
        # A list directly under `domain` is short for `values`; the line of either is found by its nearest key.
        stated += [(("domain", "values", index), value) for index, value in enumerate(domain.values or ())]
        stated += [(("domain", end), value) for end in ("min", "max") if (value := getattr(domain, end)) is not None]
    parsed: dict[Path, Any] = {}
    for path, value in stated:
        try:
            parsed[path] = _parse(feature, value)
        except (ValueError, OverflowError, decimal.InvalidOperation) as error:
            reason = str(error) if isinstance(error, _UnfitError) else f"cannot be read as {feature.type.value}"
            yield path, f"{reason}, found {quoted(value)}"
    low, high = parsed.get(("domain", "min")), parsed.get(("domain", "max"))
    try:
        if low is not None and high is not None and low > high:
            yield ("domain", "min"), f"{quoted(low)} is above max, so nothing is allowed"
    except TypeError:
        yield ("domain", "min"), "min and max must both have a UTC offset, or neither"


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
        case FeatureType.STRING | FeatureType.BINARY if not isinstance(value, float):
            return text
        case FeatureType.STRING | FeatureType.BINARY:
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
