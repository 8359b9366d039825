"""What one scan of a batch came to: the files it wrote, what it counted, and the queries that count it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from lakehouse.errors import LakehouseError, StorageError
from lakehouse.formats import Count, Prepared
from lakehouse.schema import Rule
from lakehouse.validation import KEY, RowRule
from lakehouse.validation.statistics import Broken

__all__ = ["Outcome", "lost_keys", "per_file", "quarantined", "raise_if_disk", "rows_of", "unsplit_records"]


@dataclass(slots=True)
class Outcome:
    """What one scan wrote.

    Attributes:
        valid: folder of the Parquet files of valid rows.
        rejected: Parquet file of rejected rows.
        broken: Parquet file of which rows broke which of the ``rules``.
        scanned: what the scan itself counted of each raw file.
        counts: rows read and rejected of each raw file.
        filled: rows whose missing value a default took the place of, by feature.
        unsplit: how many records could not be split into fields.
    """

    valid: Path
    rejected: Path
    broken: Path
    rules: tuple[RowRule, ...]
    scanned: dict[str, Count] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)
    unsplit: int = 0

    @property
    def bad(self) -> int:
        """Rows rejected."""
        return sum(bad for _, bad in self.counts.values())

    def parts(self) -> list[Path]:
        """The Parquet files of valid rows."""
        return sorted(self.valid.rglob("*.parquet"))

    def discard(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.valid, ignore_errors=True)
        self.rejected.unlink(missing_ok=True)
        self.broken.unlink(missing_ok=True)


def per_file(frame: pl.LazyFrame, files: Sequence[Prepared], **sums: pl.Expr) -> pl.LazyFrame:
    """Number of rows, and sums, of each raw file."""
    columns = [pl.len().alias("rows"), *[total.alias(name) for name, total in sums.items()]]
    if len(files) == 1:
        return frame.select(pl.lit(files[0].raw.sha256).alias("_raw"), *columns)
    return frame.group_by("_raw").agg(columns)


def rows_of(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Which rows of which raw files a frame holds: their number and a sum of their row numbers' hashes."""
    mark = (pl.col("_row").hash() // 2**24).sum()
    return frame.group_by("_raw").agg(pl.len().alias("rows"), mark.alias("mark")).sort("_raw")


def quarantined(broken: pl.LazyFrame) -> pl.LazyFrame:
    """Broken records as quarantine has them, without their stamp."""
    return broken.select(
        reasons=pl.concat_list("_reason"), fields=pl.lit(None, pl.String), text="_text", _raw="_raw", _row="_row"
    )


def unsplit_records(rejected: Path) -> list[Broken]:
    """How many records could not be split into fields, by reason."""
    rows = pl.scan_parquet(rejected, glob=False).filter(pl.col("text").is_not_null())
    counted = rows.group_by(pl.col("reasons").list.first()).len().sort("len", "reasons", descending=[True, False])
    return [
        Broken("", Rule.TYPE, reason, count, ()) for reason, count in counted.collect(engine="streaming").iter_rows()
    ]


def lost_keys(broken: Path, keys: Sequence[str], target: Path) -> Path:
    """Write the keys of the rejected rows, and whether these could be read (``_known``), to a Parquet file."""
    rows = pl.scan_parquet(broken, glob=False).filter(~pl.col("_ok"))
    rows.select("_known", *(pl.col(f"{KEY}{name}").alias(name) for name in keys)).sink_parquet(target)
    return target


def raise_if_disk(error: BaseException) -> None:
    """A full or read-only disk is no fault of the file being read, whatever a format took the error for.

    Raises:
        StorageError: the error is that, or was raised from one that is.
    """
    cause: BaseException | None = error
    while cause is not None:
        code = cause.errno if isinstance(cause, OSError) else None
        text = "" if isinstance(cause, LakehouseError) else str(cause)  # ours may show the file's own words
        for refusal in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            if code == refusal or f"os error {refusal})" in text or os.strerror(refusal) in text:
                raise StorageError(f"curating: {os.strerror(refusal)}; nothing was appended") from error
        cause = cause.__cause__
