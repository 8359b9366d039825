"""The rows of a version in pieces, each small enough to be held in memory, and the same ones every time.

Rows go by the executions that appended them: what a newer version adds comes into new pieces behind, or changes the
last one, and those before it stay as they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lakehouse import views
from lakehouse.errors import StorageError
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["ROWS", "pieces"]

ROWS = 500_000
"""The most rows of a piece."""

_ORDER = ("_execution", "_raw", "_row", "_position")


def pieces(site: Site, past: Timeline, version: Version, work: Path) -> Iterator[pl.DataFrame]:
    """The rows that a version shows, in order; at least one piece, of no rows where there are none.

    Args:
        site: the opened lake.
        past: the dataset's past.
        version: the version.
        work: a folder for files that are deleted again.

    Raises:
        StorageError: the rows cannot be read.
    """
    with _readable(version.dataset):
        rows = views.state(site, past, version)
        order = [name for name in _ORDER if name in rows.collect_schema()]
        if version.history != "events":  # worked out once, and not once a piece
            kept = work / f"{version.version}.parquet"
            rows.sort(order).sink_parquet(kept, compression="lz4")
            rows = pl.scan_parquet(kept, glob=False)
        some = False
        for first, last, many in _groups(past, version):
            group = rows.filter(pl.col("_execution").is_between(first, last))
            for piece in _cut(group) if many else [group.sort(order).collect(engine="streaming")]:
                if piece.height:
                    yield _shown(piece)
                    some = True
        if not some:
            yield _shown(rows.head(0).collect())


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """As reads give them."""
    return rows.drop("_position", strict=False)


def _groups(past: Timeline, version: Version) -> Iterator[tuple[int, int, bool]]:
    """From which execution to which a piece goes, and whether these rows are too many for one."""
    appended = [(v.execution, v.rows) for v in past.versions if v.execution <= version.execution]
    gone = {execution for execution, raws in past.hidden(version).items() if raws is None}
    first, total, last = None, 0, 0
    for execution, rows in appended:
        if execution in gone:
            continue
        if first is not None and total + rows > ROWS:
            yield first, last, total > ROWS
            first, total = None, 0
        first, last, total = execution if first is None else first, execution, total + rows
    if first is not None:
        yield first, last, total > ROWS


def _cut(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Rows of one execution, piece by piece, in the order they lie in."""
    came, waiting = 0, pl.DataFrame()
    for batch in rows.collect_batches(engine="streaming", maintain_order=True):
        came += batch.height
        waiting = batch if waiting.is_empty() else pl.concat([waiting, batch])
        while waiting.height >= ROWS:
            yield waiting[:ROWS]
            waiting = waiting[ROWS:]
    if waiting.height:
        yield waiting
    # A panic of its Parquet reader ends polars' batches early without an error.
    if came != rows.select(pl.len()).collect(engine="streaming").item():
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@contextlib.contextmanager
def _readable(dataset: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(
            f"dataset '{dataset}' cannot be exported: {why}; `lakehouse check` tells what is damaged"
        ) from error
