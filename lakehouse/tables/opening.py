"""Opening a table: once, whole or not at all; and any older state of it out of its newest version."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakehouse.errors import StorageError
from lakehouse.tables.parts import BOUNDED

__all__ = [
    "APP",
    "Layout",
    "active",
    "entry",
    "layout",
    "logged",
    "number",
    "opened",
    "parts_until",
    "scan",
    "sequence",
    "translated",
    "until",
    "version",
    "whole",
]

APP = "lakehouse"
"""Whose transaction numbers a table's curations carry."""

_Opened = TypeVar("_Opened", bound=DeltaTable)


class _Plain(DeltaTable):
    """A table whose local paths stand as they are: Delta gives percent codes, which polars does not take back."""

    def file_uris(self, *filters: Any, **options: Any) -> list[str]:
        """The parts' paths. Only the table's own folder is in percent codes, a part's path below it is not."""
        coded = super().table_uri.removeprefix("file://")
        plain = urllib.parse.unquote(coded)
        return [plain + uri.removeprefix(coded) for uri in super().file_uris(*filters, **options)]

    @property
    def table_uri(self) -> str:
        """The table's folder."""
        return urllib.parse.unquote(super().table_uri)


@contextmanager
def translated(table: Path) -> Iterator[None]:
    """Say what Delta and the disk say of a table as an error of ours.

    Raises:
        StorageError: they refused.
    """
    try:
        yield
    except (DeltaError, OSError) as error:
        raise StorageError(f"Delta table {table}: {str(error).splitlines()[0]}") from error


def opened(table: Path) -> DeltaTable | None:
    """The newest version, opened; None where there is no table yet."""
    if not (table / "_delta_log").is_dir():
        return None
    try:
        return whole(DeltaTable, table)
    except TableNotFoundError:
        return None


def whole(kind: type[_Opened], table: Path, version: int | None = None) -> _Opened:
    """A version, opened; its log entry must be whole: Delta takes an empty one for a version without rows.

    Raises:
        StorageError: the entry is torn.
    """
    try:
        found = kind(table, version=version)
    except TableNotFoundError:
        raise
    except DeltaError:
        newest = max((table / "_delta_log").glob("*.json"), default=None)
        if newest is not None:
            _refuse_torn(newest)
        raise
    _refuse_torn(entry(table, found.version()))
    return found


def entry(table: Path, number: int) -> Path:
    """The log entry of a version."""
    return table / "_delta_log" / f"{number:020}.json"


def logged(table: Path) -> list[int]:
    """The versions whose log entries are there; [] where there is no table yet."""
    return [int(file.stem) for file in (table / "_delta_log").glob("*.json") if file.stem.isdecimal()]


def _refuse_torn(file: Path) -> None:
    if not file.exists():
        return  # Delta read a checkpoint in its place
    last = file.read_bytes().removesuffix(b"\n").rpartition(b"\n")[2]
    try:
        json.loads(last)
    except ValueError:
        raise StorageError(
            f"{file} is torn: it does not end with a whole line; nothing was read or written. "
            "Bring it back from a backup of the lake, then run `lakehouse check`"
        ) from None


def number(table: DeltaTable) -> int:
    """The number of the newest commit that a curation made; -1 where there is none."""
    found = table.transaction_version(APP)
    return -1 if found is None else found


def active(table: DeltaTable) -> dict[str, int]:
    """The parts of an opened version: bytes by path, which is below the table's folder."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True)).select("path", "size_bytes")
    return {urllib.parse.unquote(path): size for path, size in actions.iter_rows()}


def sequence(table: Path) -> int:
    """The number of the newest commit that a curation made; 0 where there is none."""
    with translated(table):
        found = opened(table)
        return 0 if found is None else max(number(found), 0)


def version(table: Path) -> int | None:
    """The newest version; None where there is no table yet."""
    with translated(table):
        found = opened(table)
        return None if found is None else found.version()


class Layout(NamedTuple):
    """A table's columns as polars dtypes, and the columns it is partitioned by."""

    dtypes: dict[str, pl.DataType]
    partition_by: tuple[str, ...]


def layout(table: Path) -> Layout | None:
    """How the table is laid out; None where there is no table yet."""
    with translated(table):
        found = opened(table)
        if found is None:
            return None
        empty = pl.DataFrame(found.schema().to_arrow().empty_table())
        return Layout(dict(empty.schema), tuple(found.metadata().partition_columns))


def scan(table: Path) -> pl.LazyFrame:
    """All rows of a table, lazily; filters skip files and row groups by their statistics.

    Raises:
        StorageError: there is no such table.
    """
    with translated(table):
        return pl.scan_delta(whole(_Plain, table))


def until(table: Path, execution: int, *, width: int | None, version: int) -> pl.LazyFrame:
    """What a table held when an execution had appended to it, lazily: rows only come, and columns only at the right.

    It is read from the newest version, so no older one needs to open; parts that came later are skipped by the
    bounds of their ``_execution``. Only where the newest is damaged the older one itself is tried.

    Args:
        table: the table's folder.
        execution: the last whose rows were there.
        width: how many columns there were; None where nobody noted it: as many as the older version says.
        version: the table's version then.

    Raises:
        StorageError: there is no such table.
    """
    try:
        with translated(table):
            newest = whole(_Plain, table)
            frame = pl.scan_delta(newest)
    except StorageError:
        with contextlib.suppress(StorageError), translated(table):
            return pl.scan_delta(whole(_Plain, table, version)).filter(pl.col(BOUNDED) <= execution)
        raise
    if newest.version() == version:  # nothing came since: every row and column counts
        return frame
    names = frame.collect_schema().names()
    there = _width(table, version) if width is None else width
    return frame.filter(pl.col(BOUNDED) <= execution).select(names[:there])


def parts_until(table: Path, execution: int, after: int = 0) -> tuple[int, int]:
    """How many of a table's parts are opened for the rows of executions up to one, and how many parts there are.

    Args:
        table: the table's folder.
        execution: the last whose rows are read.
        after: only those after this one.

    Raises:
        StorageError: there is no such table.
    """
    with translated(table):
        actions = pl.DataFrame(whole(DeltaTable, table).get_add_actions(flatten=True))
    if "min._execution" not in actions.columns:
        return actions.height, actions.height
    wanted = (pl.col("min._execution") <= execution) & (pl.col("max._execution") > after)
    return actions.filter(wanted.fill_null(value=True)).height, actions.height


def _width(table: Path, version: int) -> int | None:
    """How many columns a version had; None where its log entry was cleaned away."""
    try:
        return len(DeltaTable(table, version=version).schema().fields)
    except (DeltaError, OSError):
        return None
