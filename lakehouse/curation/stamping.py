"""What a batch writes beside each row: where it came from, and of changes what a row does to its key and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from lakehouse.config import Dataset
from lakehouse.schema import STATES
from lakehouse.states import DELETE

__all__ = ["UPSERT", "Stamp", "as_moment", "changing", "position", "stamped"]

UPSERT = "upsert"
"""What ``_change`` says of a row of ``changes`` that is its key's new state."""

_ROWS = 40  # bits of a position for the row in its file, above them the file's number


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every row of a batch carries beside its raw file and row number.

    Attributes:
        execution: the curation.
        recorded_at: the batch's moment.
        landed: when each raw file (sha256) landed; the batch's moment where it is not there.
        places: each raw file's number in its batch, from 0; in the order in which their rows count.
    """

    execution: int
    recorded_at: datetime
    landed: Mapping[str, datetime] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)


def stamped(rows: pl.LazyFrame, stamp: Stamp) -> pl.LazyFrame:
    """The rows with the batch's own provenance."""
    return rows.with_columns(
        pl.lit(stamp.execution, pl.Int64).alias("_execution"), as_moment(stamp.recorded_at).alias("_recorded_at")
    )


def changing(rows: pl.LazyFrame, dataset: Dataset, stamp: Stamp, raws: Sequence[str]) -> pl.LazyFrame:
    """The rows of ``changes`` with `schema.STATES`.

    Args:
        rows: typed rows with ``_raw`` and ``_row``.
        dataset: the dataset.
        stamp: the batch's.
        raws: the raw files (sha256) they are of.
    """
    deletes = pl.lit(value=False) if dataset.delete_when is None else pl.sql_expr(dataset.delete_when)
    # A day is meant from its midnight on.
    event = pl.col(dataset.event_time or "_raw")
    if dataset.event_time is None:
        since = _by_file(raws, {raw: stamp.landed.get(raw, stamp.recorded_at) for raw in raws}, "_valid_from")
    elif dataset.schema.dtypes[dataset.event_time] == pl.Date():
        since = event.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    else:
        since = event.cast(STATES["_valid_from"])
    number = _by_file(raws, {raw: stamp.places.get(raw, 0) for raw in raws}, "_position")
    return rows.with_columns(
        pl.when(deletes.fill_null(value=False)).then(pl.lit(DELETE)).otherwise(pl.lit(UPSERT)).alias("_change"),
        since.alias("_valid_from"),
        position(number, pl.col("_row")).alias("_position"),
    )


def position(number: pl.Expr, row: pl.Expr) -> pl.Expr:
    """The place in a batch of a row of its so manyth file."""
    return number * (1 << _ROWS) + row


def as_moment(moment: datetime) -> pl.Expr:
    """A moment as a column."""
    return pl.lit(moment).cast(pl.Datetime("us", "UTC"))


def _by_file(raws: Sequence[str], values: Mapping[str, object], column: str) -> pl.Expr:
    """A value that each raw file has for all its rows."""
    dtype = STATES[column]
    if len(raws) == 1:
        return pl.lit(values[raws[0]]).cast(dtype)
    told = pl.Series([values[raw] for raw in raws]).cast(dtype)
    return pl.col("_raw").replace_strict(pl.Series(list(raws), dtype=pl.String), told, return_dtype=dtype)
