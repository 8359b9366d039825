"""The rows that count at a version, and the state they add up to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import polars as pl

from lakehouse import states, tables, timeline
from lakehouse.errors import StorageError
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.views import keeping

__all__ = ["Files", "files", "readable", "rows", "state"]


class Files(NamedTuple):
    """What is opened to read the state at a version.

    Attributes:
        read: how many files of its table.
        all: how many there are now.
        kept: the version whose kept state is read beside them; None where none is.
    """

    version: Version
    read: int
    all: int
    kept: int | None


def rows(site: Site, past: Timeline, version: Version) -> pl.LazyFrame:
    """All rows that count at a version: of ``events`` the facts, of a keyed dataset the log of its changes.

    Returns:
        The columns that the table had at the version.
    """
    return past.visible(timeline.held(site, version), version)


def state(site: Site, past: Timeline, version: Version, *, valid_at: datetime | None = None) -> pl.LazyFrame:
    """What a version says: of ``events`` all rows that count; of a keyed dataset one row a key, its newest.

    Args:
        site: the opened lake.
        past: the dataset's past.
        version: the version.
        valid_at: what it says was true at this moment (aware) instead; only of a keyed dataset.

    Returns:
        Rows of `rows`, with the same columns.
    """
    if version.history == "events":
        return rows(site, past, version)
    kept = keeping.find(site, past, version, valid_at=valid_at)
    if kept is None:
        frame = rows(site, past, version)
    elif kept.version == version:
        return kept.rows().filter(pl.col("_change") != states.DELETE)
    else:
        frame = keeping.followed(site, past, version, kept)
    if valid_at is not None:
        return states.valid_at(frame, version.keys, valid_at)
    return states.current(frame, version.keys)


def files(site: Site, past: Timeline, version: Version) -> Files:
    """What `state` opens for a version."""
    kept = None if version.history == "events" else keeping.find(site, past, version)
    after = 0 if kept is None else kept.version.execution
    table = site.storage.path(version.uri)
    return Files(
        version, *tables.parts_until(table, version.execution, after), None if kept is None else kept.version.version
    )


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Say what polars says of a table's bytes as an error of ours.

    Raises:
        StorageError: a part of the table is gone or damaged.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(
            f"dataset '{name}' cannot be read: {why}; `lakehouse check` tells what is damaged"
        ) from error
