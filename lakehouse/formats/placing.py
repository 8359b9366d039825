"""Which file each row of a scan over many files came from, by the rows each file is known to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import polars as pl

from lakehouse.formats.format import Raw

__all__ = ["INDEX", "START", "numbered", "placed"]

INDEX, START = "\0index", "\0start"
"""The row's place in the scan and its stretch's first one: names no header can hold."""


def placed(frame: pl.LazyFrame, values: Mapping[str, Sequence[object]], starts: Sequence[int]) -> pl.LazyFrame:
    """Give each row the values of the stretch it lies in, and `START`, where that begins.

    Args:
        frame: has `INDEX`.
        values: column to one value a stretch.
        starts: the first row of each stretch. Of stretches that begin at one row the last one has rows.
    """
    stretches = pl.LazyFrame({START: starts, **values}).with_columns(pl.col(START).cast(pl.get_index_type()))
    return frame.join_asof(stretches, left_on=INDEX, right_on=START, strategy="backward", coalesce=False)


def numbered(frame: pl.LazyFrame, raws: Sequence[Raw], rows: Sequence[int]) -> pl.LazyFrame:
    """Give each row ``_raw`` and ``_row``.

    Args:
        frame: has `INDEX`; the files' rows one after another.
        raws: the files.
        rows: how many rows each has; not looked at where there is one file only.
    """
    place = pl.col(INDEX).cast(pl.Int64) + 1
    if len(raws) == 1:
        return frame.with_columns(_raw=pl.lit(raws[0].sha256), _row=place)
    starts = list(accumulate(rows[:-1], initial=0))
    return placed(frame, {"_raw": [raw.sha256 for raw in raws]}, starts).with_columns(_row=place - pl.col(START))
