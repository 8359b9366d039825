"""What a person is told of a batch's rejected rows: how many, why most often, and what could be changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lakehouse.validation import Mapping

__all__ = ["commonest", "proposal"]

_NOT_OF_ITS_TYPE = re.compile(r"(?P<feature>[^:]+): not an? (?P<type>int|float|decimal|bool|date|datetime)\b")
_TOP = 3


def commonest(rejected: Sequence[Path]) -> list[tuple[str, int]]:
    """The three most frequent reasons in Parquet files of rejected rows, with their counts."""
    reasons = pl.scan_parquet([*rejected], glob=False).select(pl.col("reasons").explode())
    top = reasons.group_by("reasons").len().sort("len", "reasons", descending=[True, False]).head(_TOP)
    return list(top.collect(engine="streaming").iter_rows())


def proposal(reason: str, rejected: Sequence[Path], mapping: Mapping) -> str:
    """The change of the schema that would take the rows of a reason in; "" where none is plain.

    Only the widest values decide: an int whose every rejected text is a number becomes a float.
    """
    found = _NOT_OF_ITS_TYPE.match(reason)
    column = mapping.columns().get(found["feature"]) if found else None
    if found is None or column is None:
        return ""
    fields = pl.col("fields").str.json_decode(pl.Struct({column: pl.String})).struct.field(column)
    rows = pl.scan_parquet([*rejected], glob=False).filter(pl.col("reasons").list.contains(reason))
    numbers = rows.select(fields.cast(pl.Float64, strict=False).is_not_null().all()).collect(engine="streaming").item()
    wider = "float" if found["type"] == "int" and numbers else "string"
    return f"if such values are right, set schema.features.{found['feature']}.type to {wider}"
