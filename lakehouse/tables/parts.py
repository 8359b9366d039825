"""Parquet parts: written elsewhere, then hashed, synced and moved into a table's folder under their hash."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lakehouse.storage import hash_file, refused, sync_file

__all__ = ["Part", "seal"]

_COLUMNS = 64  # with statistics in the log; a commit of thousands of parts stays small
_LONGEST = 32  # characters of a string bound, Delta's own habit
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed Parquet file of a table.

    Attributes:
        path: its name in the table's folder, ``<execution>-<number>-<sha256>.parquet``.
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
        file: the file; folders ``column=value`` above it give its partition.
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
        table.mkdir(parents=True, exist_ok=True)
        target = table / f"{name}-{digest}.parquet"
        file.rename(target)
    return Part(
        path=target.name,
        size=info.st_size,
        rows=metadata.num_rows,
        modified=info.st_mtime_ns // 1_000_000,
        stats=json.dumps(_statistics(metadata, private)),
        partition=_partition(file),
    )


def _partition(file: Path) -> dict[str, str | None]:
    pairs = [folder.name.partition("=") for folder in file.parents if "=" in folder.name]
    values = {key: urllib.parse.unquote(value) for key, _, value in reversed(pairs)}
    return {key: None if value == _NULL_PARTITION else value for key, value in values.items()}


def _statistics(metadata: pq.FileMetaData, private: Collection[str]) -> dict[str, Any]:
    """Rows, bounds and nulls over all row groups, in the form of Delta's protocol."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for index in range(min(metadata.num_columns, _COLUMNS)):
        name = metadata.schema.column(index).path
        groups = [metadata.row_group(g).column(index).statistics for g in range(metadata.num_row_groups)]
        if "." in name or name in private or not groups or any(g is None or not g.has_null_count for g in groups):
            continue
        nulls[name] = sum(g.null_count for g in groups)
        bounds = [(g.min, g.max) for g in groups if g.has_min_max]
        empty = sum(1 for i, g in enumerate(groups) if g.null_count == metadata.row_group(i).num_rows)
        if not bounds or len(bounds) + empty < len(groups):
            continue
        least, most = _lower(min(b[0] for b in bounds)), _upper(max(b[1] for b in bounds))
        if least is not None and most is not None:
            low[name], high[name] = least, most
    return {"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


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
            return value[:_LONGEST] + "\U0010ffff"
        case datetime() if value.microsecond % 1000:
            return _moment(value + timedelta(milliseconds=1))
    return _lower(value)


def _moment(value: datetime) -> str:
    """Milliseconds, as Delta keeps them."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
