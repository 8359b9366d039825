"""What becomes of each key between two states of a dataset, in Parquet files and in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from lakehouse.columns import SAFE
from lakehouse.errors import StorageError
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.states import DELETE, compared

__all__ = ["PIECE", "Differences", "differences", "values"]

PIECE = 4_000_000
"""Rows of a state that are compared in memory at a time."""

_ZSTD = 1


@dataclass(frozen=True, slots=True)
class Differences:
    """What two states differ in.

    Attributes:
        files: Parquet files of the rows inserted, updated and deleted.
        inserted: keys that only the new state has.
        updated: keys whose values are others in the new state.
        deleted: keys that only the old state has.
        unchanged: keys that are the same in both.
    """

    files: tuple[Path, ...]
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0

    @property
    def before(self) -> int:
        """How many keys the old state has."""
        return self.updated + self.unchanged + self.deleted


def differences(  # noqa: PLR0913  # two states and where to, by name
    old: pl.LazyFrame | None,
    new: pl.LazyFrame,
    keys: Sequence[str],
    *,
    rows: int,
    finished: Callable[[pl.LazyFrame], pl.LazyFrame],
    folder: Path,
) -> Differences:
    """Compare two states of one row a key, and write what became of the keys that are not the same in both.

    Args:
        old: the state before; None where there is none.
        new: the state after, with any columns of the lake's own beside its values.
        keys: the columns that tell one thing from another; null is a value like any other.
        rows: how many rows ``new`` has.
        finished: makes the rows to write of what `states.compared` gives; must keep ``_change`` and the rows.
        folder: an empty folder.

    Raises:
        StorageError: the states do not hold one row a key.
    """
    pairs: list[tuple[pl.LazyFrame | None, pl.LazyFrame]] = [(old, new)]
    if old is not None and rows > PIECE:
        pairs = _pieces(old, new, keys, rows // PIECE + 1, folder)
    files = []
    for number, (before, after) in enumerate(pairs):
        file = folder / f"changes-{number}.parquet"
        frame = finished(_compared(before, after, keys))
        frame.sink_parquet(file, compression="zstd", compression_level=_ZSTD, engine="streaming", optimizations=SAFE)
        if pq.read_metadata(file).num_rows:
            files.append(file)
    for side in ("old", "new"):
        shutil.rmtree(folder / side, ignore_errors=True)
    counts: dict[str, int] = {}
    if files:
        counted = pl.scan_parquet(files, glob=False).group_by("_change").len().collect(engine="streaming")
        counts = dict(counted.iter_rows())
    found = Differences(tuple(files), counts.get("insert", 0), counts.get("update", 0), counts.get(DELETE, 0))
    unchanged = rows - found.inserted - found.updated
    if unchanged < 0:
        raise StorageError(f"{rows:,} rows came to {counts}; a state holds a key twice. Please report this")
    return Differences(found.files, found.inserted, found.updated, found.deleted, unchanged)


def values(frame: pl.LazyFrame) -> dict[str, pl.DataType]:
    """The columns of a frame that are not the lake's own."""
    return {name: dtype for name, dtype in frame.collect_schema().items() if name not in {**PROVENANCE, **STATES}}


def _compared(old: pl.LazyFrame | None, new: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    if old is None:
        return new.with_columns(_change=pl.lit("insert"))
    known, wanted = values(old), values(new)
    # What only one of them has is missing in the other: what the new state leaves out is no more.
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in known.items() if name not in wanted]
    carried = [name for name in (*wanted, "_row") if name in new.collect_schema()]
    return compared(old.select(list(known)), new.select(*carried, *lacking), keys, [*wanted, *known])


def _pieces(
    old: pl.LazyFrame, new: pl.LazyFrame, keys: Sequence[str], count: int, folder: Path
) -> list[tuple[pl.LazyFrame | None, pl.LazyFrame]]:
    """Both states, in pieces that hold the same keys."""
    piece = (pl.struct(*keys).hash() % count).cast(pl.Int64)
    sides = []
    for name, frame in (("old", old.select(list(values(old)))), ("new", new)):
        schema = dict(frame.collect_schema())
        frame.with_columns(_piece=piece).sink_parquet(
            pl.PartitionBy(folder / name, key="_piece", include_key=False), mkdir=True, engine="streaming"
        )
        sides.append([_piece(folder / name / f"_piece={number}", schema) for number in range(count)])
    return list(zip(*sides, strict=True))


def _piece(folder: Path, schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    files = sorted(folder.glob("*.parquet"))
    return pl.scan_parquet(files, glob=False, hive_partitioning=False) if files else pl.LazyFrame(schema=schema)
