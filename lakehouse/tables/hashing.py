"""Rows hashed by their values, and sums of such hashes that do not depend on the rows' order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

__all__ = ["digests", "row_hash"]

_HALF = 1 << 32
_BITS: dict[type[pl.DataType], pl.DataType] = {pl.Float64: pl.UInt64(), pl.Float32: pl.UInt32()}


def row_hash(dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """A row's values as one UInt64: equal rows, equal hashes; only to be compared within one process.

    A null is a value of its own, also inside lists and structs. Floats go by their bits, so -0.0 is not 0.0 and
    NaN is NaN; within lists and structs those two zeros are one.

    Args:
        dtypes: the columns to hash, in the order that both sides have.
    """
    return pl.struct(
        pl.col(name).reinterpret(dtype=_BITS[type(dtype)]) if type(dtype) in _BITS else pl.col(name)
        for name, dtype in dtypes.items()
    ).hash()


def digests(frame: pl.LazyFrame, by: Sequence[str], dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """How many rows each group has, and what they hold whatever their order; in one streaming pass.

    Args:
        frame: the rows.
        by: columns that tell the groups apart; few groups.
        dtypes: the columns to hash.

    Returns:
        ``by``, sorted, ``rows`` (UInt32), and ``high`` and ``low`` (UInt64), the two halves of a sum of hashes.
    """
    value = pl.col("\0hash")
    hashed = frame.select(*by, row_hash(dtypes).alias("\0hash"))
    # By halves, as a sum of whole hashes would overflow.
    sums = ((value // _HALF).sum().alias("high"), (value % _HALF).sum().alias("low"))
    return hashed.group_by(by).agg(pl.len().alias("rows"), *sums).sort(by).collect(engine="streaming")
