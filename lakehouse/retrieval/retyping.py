"""Older values of a feature whose type changed, read as the new type."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

__all__ = ["retyped"]

_WORDS = {"true": True, "false": False}


def retyped(rows: pl.LazyFrame, dtypes: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows with their columns as these types; null where a value is none of its type."""
    known = rows.collect_schema()
    others = {name: dtype for name, dtype in dtypes.items() if known.get(name, dtype) != dtype}
    return rows.with_columns(_as(pl.col(name), known[name], dtype).alias(name) for name, dtype in others.items())


def _as(value: pl.Expr, known: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    if known == pl.String and wanted == pl.Date:
        return value.str.to_date("%Y-%m-%d", strict=False)
    if known == pl.String and isinstance(wanted, pl.Datetime):
        return value.str.to_datetime("%+", time_zone="UTC", strict=False).cast(wanted)
    if known == pl.String and wanted == pl.Boolean:
        return value.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    if not _convertible(known, wanted):
        return pl.lit(None, wanted)
    made = value.cast(wanted, strict=False)
    return pl.when(made == value).then(made) if known.is_numeric() and wanted.is_integer() else made


def _convertible(known: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether a value of the one type can be one of the other as it stands."""
    if known.is_nested() or wanted.is_nested() or pl.Binary in (known, wanted):
        return False
    if wanted == pl.String:
        return True
    if known.is_temporal() or wanted.is_temporal():
        return known.is_temporal() and wanted.is_temporal()
    return wanted.is_numeric() and known != pl.Boolean
