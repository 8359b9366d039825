"""Two sides of a dataset held against each other, row for row, whatever their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from lakehouse import tables
from lakehouse.records import printable

__all__ = ["NOT_COMPARED", "Compared", "Differing", "compared"]

NOT_COMPARED = frozenset({"_execution", "_recorded_at", "_position"})
"""Columns that say when and in which commit a row came, not what it says."""
_FILES = 20  # raw files whose rows are told one by one
_ROWS = 5  # rows of each that are named
_HASH = "\0hash"


@dataclass(frozen=True, slots=True)
class Differing:
    """One raw file whose rows differ.

    Attributes:
        raw: its sha256; None where rows are of no file.
        recorded: how many rows of it the lake holds, ``rebuilt`` how many were made anew.
        changed: how many differ in a value; None where rows cannot be told apart by their number.
        columns: how many values of each column differ, in rows of the same number.
        rows: some rows that differ: their numbers in the file, or what they say.
    """

    raw: str | None
    recorded: int
    rebuilt: int
    changed: int | None = None
    columns: Mapping[str, int] | None = None
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it.

    Attributes:
        recorded: how many rows the lake holds, ``rebuilt`` how many were made anew.
        types: columns of another type: their name, and both types.
        files: how many raw files' rows differ.
        differing: of the first of them, how.
    """

    recorded: int
    rebuilt: int
    types: tuple[str, ...] = ()
    files: int = 0
    differing: tuple[Differing, ...] = ()

    @property
    def same(self) -> bool:
        """Whether no row and no type differs."""
        return not self.types and not self.files


def compared(recorded: pl.LazyFrame, rebuilt: pl.LazyFrame, keys: Sequence[str]) -> Compared:
    """Hold two sets of rows against each other, in two streaming passes; in few more where they differ.

    Args:
        recorded: what the lake holds, with ``_raw`` and ``_row``.
        rebuilt: what was made anew.
        keys: columns whose values rows are named by; () names them by their number in the file alone.
    """
    sides = {"recorded": recorded, "rebuilt": rebuilt}
    schemas = {
        side: {name: dtype for name, dtype in frame.collect_schema().items() if name not in NOT_COMPARED}
        for side, frame in sides.items()
    }
    ours, theirs = schemas["recorded"], schemas["rebuilt"]
    types = tuple(f"{n}: {ours[n]} recorded, {theirs[n]} rebuilt" for n in ours if n in theirs and ours[n] != theirs[n])
    dtypes = {name: dtype for name, dtype in (theirs | ours).items() if theirs.get(name, dtype) == dtype}
    # A column that only one side has is null on the other: so it is in rows that are older than a column.
    both = {
        side: frame.select(
            pl.col(name) if name in schemas[side] else pl.lit(None, dtype).alias(name) for name, dtype in dtypes.items()
        )
        for side, frame in sides.items()
    }
    sums = {side: tables.digests(frame, ["_raw"], dtypes) for side, frame in both.items()}
    together = sums["recorded"].join(sums["rebuilt"], on="_raw", how="full", nulls_equal=True, coalesce=True)
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_right")) for n in ("rows", "high", "low"))
    wrong = together.filter(~same).sort("_raw", nulls_last=True)
    some = tuple(
        _differing(both, dtypes, raw, (rows or 0, other or 0), keys)
        for raw, rows, other in wrong.head(_FILES).select("_raw", "rows", "rows_right").iter_rows()
    )
    return Compared(int(sums["recorded"]["rows"].sum()), int(sums["rebuilt"]["rows"].sum()), types, len(wrong), some)


def _differing(
    both: Mapping[str, pl.LazyFrame],
    dtypes: Mapping[str, pl.DataType],
    raw: str | None,
    counts: tuple[int, int],
    keys: Sequence[str],
) -> Differing:
    """How the rows of one raw file differ."""
    mine = {side: frame.filter(pl.col("_raw").eq_missing(pl.lit(raw, pl.String))) for side, frame in both.items()}
    named = [name for name in keys if name in dtypes]
    hashed = {side: frame.select("_row", *named, tables.row_hash(dtypes).alias(_HASH)) for side, frame in mine.items()}
    on = ["_row", _HASH]
    left = hashed["recorded"].join(hashed["rebuilt"], on=on, how="anti", nulls_equal=True)
    right = hashed["rebuilt"].join(hashed["recorded"], on=on, how="anti", nulls_equal=True)
    samples = [*_samples(left, named), *_samples(right, named)]
    rows = tuple(dict.fromkeys(samples))[:_ROWS]
    if raw is None:
        return Differing(raw, *counts, rows=rows)
    values = [name for name in dtypes if name not in {"_raw", "_row"}]
    pairs = mine["recorded"].drop_nulls("_row").join(mine["rebuilt"].drop_nulls("_row"), on="_row", suffix="\0")
    unlike = [pl.col(name).ne_missing(pl.col(f"{name}\0")).alias(name) for name in values]
    found = (
        pairs.select(unlike)
        .select(pl.any_horizontal(values).sum().alias(_HASH), *(pl.col(name).sum() for name in values))
        .collect(engine="streaming")
        .row(0, named=True)
    )
    changed = int(found.pop(_HASH))
    return Differing(raw, *counts, changed, {name: int(n) for name, n in found.items() if n}, rows)


def _samples(rows: pl.LazyFrame, keys: Sequence[str]) -> list[str]:
    """Some rows, named by their number in the file, and by their keys."""
    some = rows.head(_ROWS).collect(engine="streaming").sort("_row", *keys)
    told = []
    for row in some.iter_rows(named=True):
        number = "" if row["_row"] is None else f"row {row['_row']}"
        key = printable(", ".join(f"{name}={row[name]}" for name in keys))
        told.append(f"{number} ({key})" if number and key else number or key or "a row")
    return told
