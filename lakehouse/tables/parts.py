"""Parquet parts: written elsewhere, then hashed, synced and moved into a table's folder under their hash."""

from __future__ import annotations

import itertools
import json
import re
import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lakehouse.storage import hash_file, refused, sync_file

__all__ = ["BOUNDED", "SEALED", "Part", "partition_of", "seal", "statistics"]

BOUNDED = "_execution"
"""The column by whose bounds the reader of an older state skips parts."""
SEALED = re.compile(r"\d+-\d+-([0-9a-f]{64})\.parquet")
"""A sealed part's name; it tells the hash."""
_COLUMNS = 64  # with statistics in the log; a commit of thousands of parts stays small
_LONGEST = 32  # characters of a string bound, Delta's own habit
_HIGHEST = "\U0010ffff"  # no character sorts after it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed Parquet file of a table.

    Attributes:
        path: below the table's folder: ``<execution>-<number>-<sha256>.parquet``, in folders
            ``column=value`` when partitioned, because polars takes partition values from there.
        size: bytes.
        modified: milliseconds since 1970.
        stats: Delta's statistics as JSON: rows, bounds and nulls a column, for skipping.
        partition: value of each partition column, None for null.
    """

    path: str
    size: int
    rows: int
    modified: int
    stats: str
    partition: Mapping[str, str | None]


def seal(file: Path, table: Path, name: str, private: Collection[str] = ()) -> Part:
    """Hash and sync a finished Parquet file and move it into a table's folder.

    Args:
        file: the file; the folders ``column=value`` right above it give its partition.
        table: the table's folder, made where it is missing.
        name: what the part's name starts with: ``<execution>-<number>``.
        private: columns whose bounds must not stand in the log.

    Raises:
        StorageError: the disk refused.
    """
    with refused(f"sealing a part of {table}"):
        metadata = pq.read_metadata(file)
        digest = hash_file(file)
        sync_file(file)
        info = file.stat()
        folders = _partition_folders(file)
        target = table.joinpath(*folders, f"{name}-{digest}.parquet")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        for folder in [*target.parents][: len(folders)]:
            sync_file(folder)
    return Part(
        path=target.relative_to(table).as_posix(),
        size=info.st_size,
        rows=metadata.num_rows,
        modified=info.st_mtime_ns // 1_000_000,
        # Not as ASCII: Delta's reader takes the escapes of a character beyond 16 bits for another character.
        stats=json.dumps(statistics(metadata, private), ensure_ascii=False),
        partition=_partition(folders),
    )


def _partition_folders(file: Path) -> list[str]:
    names = itertools.takewhile(lambda name: "=" in name, (folder.name for folder in file.parents))
    return [*names][::-1]


def partition_of(path: Path) -> dict[str, str | None]:
    """The value of each partition column, by the folders right above a part; None for null."""
    return _partition(_partition_folders(path))


def _partition(folders: Sequence[str]) -> dict[str, str | None]:
    pairs = [folder.partition("=") for folder in folders]
    values = {key: urllib.parse.unquote(value) for key, _, value in pairs}
    return {key: None if value == _NULL_PARTITION else value for key, value in values.items()}


def statistics(metadata: pq.FileMetaData, private: Collection[str]) -> dict[str, Any]:
    """Rows, bounds and nulls over all row groups, in the form of Delta's protocol."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        if index >= _COLUMNS and name != BOUNDED:
            continue
        groups = [metadata.row_group(g).column(index).statistics for g in range(metadata.num_row_groups)]
        if "." in name or name in private or not groups or any(g is None or not g.has_null_count for g in groups):
            continue
        nulls[name] = sum(g.null_count for g in groups)
        try:
            bounds = [_bounds(g) for g in groups if g.has_min_max]
        except (OverflowError, ValueError):
            continue  # a moment beyond Python's years
        empty = sum(1 for i, g in enumerate(groups) if g.null_count == metadata.row_group(i).num_rows)
        if not bounds or len(bounds) + empty < len(groups):
            continue
        least, most = _lower(min(b[0] for b in bounds)), _upper(max(b[1] for b in bounds))
        if least is not None and most is not None:
            low[name], high[name] = least, most
    return {"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


def _bounds(group: pq.Statistics) -> tuple[Any, Any]:
    """The least and greatest value of a row group."""
    kind = json.loads(group.logical_type.to_json())
    if kind.get("Type") == "Timestamp" and kind.get("timeUnit") == "microseconds" and kind.get("isAdjustedToUTC"):
        # By hand: the first moment that pyarrow makes loads pandas where that is installed, most of a second.
        least, most = (_EPOCH + timedelta(microseconds=raw) for raw in (group.min_raw, group.max_raw))
        return least, most
    return group.min, group.max


def _lower(value: Any) -> Any:
    """A bound as JSON, rounded down where Delta keeps less; None where it has no exact form."""
    match value:
        case bool() | bytes():
            return None
        case str():
            return value[:_LONGEST]
        case datetime():
            return _moment(value)
        case date():
            return value.isoformat()
        case Decimal():
            return float(value) if len(value.as_tuple().digits) <= 15 else None
        case int() | float():
            return value
    return None


def _upper(value: Any) -> Any:
    """As `_lower`, rounded up."""
    match value:
        case str() if len(value) > _LONGEST:
            return None if value[_LONGEST] == _HIGHEST else value[:_LONGEST] + _HIGHEST
        case datetime() if value.microsecond % 1000:
            last = value > datetime.max.replace(tzinfo=UTC) - timedelta(milliseconds=1)
            return None if last else _moment(value + timedelta(milliseconds=1))
    return _lower(value)


def _moment(value: datetime) -> str:
    """Milliseconds, as Delta keeps them."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
