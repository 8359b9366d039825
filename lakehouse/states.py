"""States: what the rows of a keyed dataset say was true of each key, and when. Pure, lazy, streaming.

The rows are a log: each says that from ``_valid_from`` on its key is as it says, or is no more (`DELETE`). They come
in any order, late ones and corrections too. Of a key's rows with the same ``_valid_from`` the one recorded last counts
(by ``_execution``, then ``_position``); the others are no states. Keys may be of several columns, and null is a key's
value like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

__all__ = ["DELETE", "compared", "current", "history", "newest", "spans", "valid_at"]

DELETE = "delete"
"""What ``_change`` says of a row from which on its key is no more."""

_WAS, _NOW = "\0was ", "\0now"  # in names of columns that no dataset has
_RECORDED = ("_execution", "_position")  # the order of what was said of the same moment


def current(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """The newest state of each key, one row a key; keys that are deleted are left out.

    Args:
        rows: a keyed dataset's rows, with the columns `schema.STATES` and ``_execution``; in any order.
        keys: the columns that tell one thing from another.

    Returns:
        Some of the rows, with the same columns, in no order.
    """
    return newest(rows, keys).filter(pl.col("_change") != DELETE)


def valid_at(rows: pl.LazyFrame, keys: Sequence[str], at: datetime) -> pl.LazyFrame:
    """The state of each key that was true at a moment; as `current` otherwise."""
    return current(rows.filter(pl.col("_valid_from") <= at), keys)


def newest(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """The newest row of each key, be it a delete; as `current` otherwise."""
    # Two passes, the first over the keys and moments alone: a window over all rows would hold them all in memory,
    # and `max_by` copies a value of every column for every row that is newer than those before it.
    last = rows.select(*keys, "_valid_from").group_by(list(keys)).agg(pl.col("_valid_from").max())
    found = rows.join(last, on=[*keys, "_valid_from"], how="semi", nulls_equal=True)
    for order in _RECORDED:  # few are left, more than one a key where moments tie
        found = found.filter(pl.col(order) == pl.col(order).max().over(list(keys)))
    return found


def history(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Every state of every key, and from when until when it was true.

    Returns:
        The rows that are states, deletes left out, without ``_valid_from`` and with ``valid_from`` and ``valid_to``
        (Datetime, us, UTC; ``valid_to`` itself is excluded, and null while the state is true) at the end. Sorted by
        the keys, then ``valid_from``.
    """
    return spans(rows, keys).filter(pl.col("_change") != DELETE)


def spans(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """As `history`, with the deletes: from when until when a key was no more."""
    moments = [*keys, "_valid_from"]
    return (
        rows.sort([*moments, *_RECORDED], nulls_last=True)
        .filter(~_as_next(moments))
        .with_columns(pl.when(_as_next(keys)).then(pl.col("_valid_from").shift(-1)).alias("valid_to"))
        .select(pl.exclude("_valid_from", "valid_to"), pl.col("_valid_from").alias("valid_from"), "valid_to")
    )


def compared(old: pl.LazyFrame, new: pl.LazyFrame, keys: Sequence[str], features: Iterable[str]) -> pl.LazyFrame:
    """What became of each key between two states of one row a key.

    Args:
        old: the state before.
        new: the state after.
        keys: the columns that tell one thing from another.
        features: the columns whose values make an update where they differ; null equals null, and NaN equals NaN. One
            that only one side has is null on the other.

    Returns:
        A row for each key that was inserted, updated or deleted: ``_change`` (String) says which, then the columns of
        ``new``, of a deleted key with the values it had in ``old``. In no order.
    """
    after, before = new.collect_schema(), old.collect_schema()
    names = [name for name in after if name != "_change"]
    others = [name for name in dict.fromkeys(features) if name not in keys]
    gone_by = [name for name in others if name not in after and name in before]
    was = {name: f"{_WAS}{name}" for name in (*names, *gone_by)}
    values = [(pl.col(n) if n in before else pl.lit(None, after[n])).alias(alias) for n, alias in was.items()]
    there, gone = pl.lit(value=True), pl.col(_NOW).is_null()
    both = new.select(*names, there.alias(_NOW)).join(
        old.select(*keys, *values, there.alias(_WAS)), on=list(keys), how="full", nulls_equal=True, coalesce=True
    )
    differ = [pl.col(name).ne_missing(pl.col(was[name])) for name in others if name in after]
    differ += [pl.col(was[name]).is_not_null() for name in gone_by]
    change = (
        pl.when(pl.col(_WAS).is_null())
        .then(pl.lit("insert"))
        .when(gone)
        .then(pl.lit(DELETE))
        .when(pl.any_horizontal(pl.lit(value=False), *differ))
        .then(pl.lit("update"))
    )
    shown = [name if name in keys else pl.when(gone).then(was[name]).otherwise(name).alias(name) for name in names]
    return both.with_columns(change.alias("_change")).filter(pl.col("_change").is_not_null()).select("_change", *shown)


def _as_next(columns: Iterable[str]) -> pl.Expr:
    """Whether a row's values are the next one's too; of the last row false."""
    more = pl.col("_valid_from").shift(-1).is_not_null()  # it never is null
    return pl.all_horizontal(more, *(pl.col(name).eq_missing(pl.col(name).shift(-1)) for name in columns))
