"""How values are kept in an online store, and come back as exactly what they were.

A store keeps integers, floats, texts and bytes. Dates and moments are kept as the integers polars counts them in,
decimals as their digits, lists and structs as JSON. A NaN is kept as a text, as SQLite takes it for null.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

__all__ = ["decoded", "encoded", "key_codes"]

_NAN = "NaN"
_NO_KEY = 0.5
"""What stands for null in a key, where it is a value like any other: no key's value is written as a fraction."""


def encoded(values: pl.Series, *, text: bool = False) -> list[Any]:
    """A column as a store keeps it; ``text`` keeps bytes as base64, for stores of text alone."""
    dtype = values.dtype
    if dtype.is_nested():
        return [None if value is None else json.dumps(value, default=_jsonable) for value in values.to_list()]
    if dtype.is_decimal():
        return [None if value is None else str(value) for value in values.to_list()]
    if dtype.is_float():
        kept = values.to_list()
        return [_NAN if value != value else value for value in kept] if values.is_nan().any() else kept  # noqa: PLR0124
    if dtype == pl.Binary and text:
        return values.bin.encode("base64").to_list()
    if dtype == pl.Boolean:
        return values.cast(pl.Int8).to_list()
    return values.to_physical().to_list() if dtype.is_temporal() else values.to_list()


def decoded(name: str, kept: Sequence[Any], dtype: pl.DataType, *, text: bool = False) -> pl.Series:
    """A column of what `encoded` gave."""
    if dtype.is_nested():
        values = [None if value is None else _restored(json.loads(value), dtype) for value in kept]
        return pl.Series(name, values, dtype=dtype)
    if dtype.is_decimal():
        return pl.Series(name, [None if value is None else Decimal(value) for value in kept], dtype=dtype)
    if dtype.is_float():
        return pl.Series(name, [math.nan if value == _NAN else value for value in kept], dtype=dtype)
    if dtype == pl.Binary and text:
        return pl.Series(name, [None if value is None else base64.b64decode(value) for value in kept], dtype=dtype)
    if dtype == pl.Boolean:
        return pl.Series(name, kept, dtype=pl.Int8).cast(pl.Boolean)
    if dtype.is_temporal():
        return pl.Series(name, kept, dtype=pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)
    return pl.Series(name, kept, dtype=dtype)


def key_codes(values: pl.Series) -> list[Any]:
    """A key's column as a store finds it by: an integer or a text each; null too is a value of a key."""
    dtype = values.dtype
    if dtype.is_float():
        codes = [None if value is None else repr(value + 0.0) for value in values.to_list()]  # -0.0 is 0.0
    elif dtype == pl.Binary:
        codes = values.bin.encode("hex").to_list()
    else:
        codes = encoded(values)
    return [_NO_KEY if code is None else code for code in codes] if values.null_count() else codes


def _jsonable(value: Any) -> Any:
    match value:
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value // dt.timedelta(microseconds=1)
        case Decimal():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            raise TypeError(f"a {type(value).__name__} inside a list or struct cannot be kept online")


def _restored(value: Any, dtype: Any) -> Any:
    """What JSON made of a value, as the value of the dtype that it was."""
    match dtype:
        case _ if value is None:
            return None
        case pl.List() | pl.Array():
            return [_restored(inner, dtype.inner) for inner in value]
        case pl.Struct():
            return {one.name: _restored(value[one.name], one.dtype) for one in dtype.fields}
        case pl.Datetime():
            return dt.datetime.fromisoformat(value)
        case pl.Date():
            return dt.date.fromisoformat(value)
        case pl.Time():
            return dt.time.fromisoformat(value)
        case pl.Duration():
            return dt.timedelta(microseconds=value)
        case pl.Decimal():
            return Decimal(value)
        case pl.Binary():
            return base64.b64decode(value)
        case _:
            return value
