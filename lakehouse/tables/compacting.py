"""Compacting: neighbouring small parts of a table written again as one, sorted, and put in their place by one commit.

No row is lost, added or changed by it: that is verified before the commit. The parts that were
replaced stay where they are, for whoever reads an older version just then; to remove them is a
vacuum's work. The commit carries no transaction number: those belong to curations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.lib import ArrowException

from lakehouse.errors import CommitError, IntegrityError, StorageError
from lakehouse.storage import hash_file
from lakehouse.tables import opening
from lakehouse.tables.appending import KEEP_LOGS, sync_log, version_of
from lakehouse.tables.hashing import digests
from lakehouse.tables.opening import translated
from lakehouse.tables.parts import BOUNDED, SEALED, Part, partition_of

__all__ = ["KIND", "Held", "bins", "replace", "rewrite", "same_rows"]

KIND = "Optimize"
"""What the note of a commit that puts parts in the place of others says under ``lakehouse.kind``."""

_TARGET = 256 << 20  # bytes a part's rows take in memory, where they are sorted; a third to a half of it on disk
_WIDTH = 12  # bytes of a value in memory
_ZSTD = 1  # as curations write
_GROUP = 1 << 17  # rows of a row group: what a filter can skip within a part


@dataclass(frozen=True, slots=True)
class Held:
    """A part of a table's newest version.

    Attributes:
        path: below the table's folder.
        size: bytes on disk.
        weight: bytes that its rows take in memory, estimated; the same however they are cut into parts.
        first: the lowest ``_execution`` of its rows.
        last: the highest.
        partition: value of each partition column, None for null.
    """

    path: str
    rows: int
    size: int
    weight: int
    first: int
    last: int
    partition: Mapping[str, str | None]


def bins(table: Path, target: int = _TARGET) -> list[list[Held]]:
    """The parts of the newest version that are worth to be written as one, by neighbours.

    Neighbours follow one another by ``_execution``: its bounds, by which the reader of an older state skips
    parts, stay narrow. A part of at least half the target stands as it is.

    Args:
        table: the table's folder; [] where it holds no table.
        target: how much a part's rows may take in memory, bytes.

    Raises:
        StorageError: the table or one of its parts cannot be read.
    """
    with translated(table):
        opened = opening.opened(table)
        sizes = {} if opened is None else opening.active(opened)
    places: dict[tuple[tuple[str, str | None], ...], list[Held]] = {}
    parts = (_held(table, path, size) for path, size in sizes.items())
    for part in sorted(parts, key=lambda part: (part.first, part.last, part.path)):
        places.setdefault(tuple(part.partition.items()), []).append(part)
    return [neighbours for place in places.values() for neighbours in _filled(place, target) if len(neighbours) > 1]


def _held(table: Path, path: str, size: int) -> Held:
    try:
        footer = pq.read_metadata(table / path)
    except (OSError, ArrowException) as error:
        raise StorageError(f"{table / path}: {str(error).splitlines()[0]}; `lakehouse check` tells more") from error
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    at = footer.schema.names.index(BOUNDED)
    known = [found for group in groups if (found := group.column(at).statistics) is not None and found.has_min_max]
    return Held(
        path=path,
        rows=footer.num_rows,
        size=size,
        weight=max(footer.num_rows * footer.num_columns * _WIDTH, sum(group.total_byte_size for group in groups)),
        first=min((found.min for found in known), default=0),
        last=max((found.max for found in known), default=0),
        partition=partition_of(Path(path)),
    )


def _filled(parts: Sequence[Held], target: int) -> Iterator[list[Held]]:
    """Neighbours together, as many as the target takes."""
    held: list[Held] = []
    for part in parts:
        large = part.weight >= target // 2
        if held and (large or sum(one.weight for one in held) + part.weight > target):
            yield held
            held = []
        if not large:
            held.append(part)
    yield held


def rewrite(table: Path, held: Sequence[Held], file: Path, sort_by: Sequence[str]) -> None:
    """Write the rows of some parts into one new file, and prove that it holds exactly those.

    Args:
        table: the table's folder.
        held: the parts, of one partition.
        file: where to write; its folder is made.
        sort_by: columns to sort by, as far as they can be and the table has them; the rest stays in its order.

    Raises:
        IntegrityError: a part is no longer what was sealed; to write it again would hide that.
        StorageError: the disk refused, or the rows that were written are others.
    """
    paths = [table / part.path for part in held]
    for path in paths:
        sealed = SEALED.fullmatch(path.name)
        if sealed is None or hash_file(path) != sealed[1]:
            raise IntegrityError(
                f"{path} no longer matches its hash; nothing was changed. Bring it back from a backup of the lake"
            )
    dtypes = _dtypes(table)
    order = [name for name in sort_by if name in dtypes and not dtypes[name].is_nested()]
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = _rows(paths, dtypes)
    try:
        sorted_ = rows.sort(order, nulls_last=True, maintain_order=True) if order else rows
        sorted_.sink_parquet(file, compression="zstd", compression_level=_ZSTD, row_group_size=_GROUP)
        same = same_rows(table, paths, [file])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise StorageError(
            f"Delta table {table}: {next(iter(str(error).splitlines()), type(error).__name__)}"
        ) from error
    if not same:
        raise StorageError(
            f"Delta table {table}: parts written again held other rows than before; nothing was changed. "
            "Please report this"
        )


def same_rows(table: Path, some: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether two sets of a table's parts hold the same rows: by execution as many, with the same values.

    Raises:
        StorageError: the table cannot be opened.
        polars.exceptions.PolarsError: a part cannot be read.
    """
    dtypes = _dtypes(table)
    before, after = (digests(_rows(side, dtypes), [BOUNDED], dtypes) for side in (some, others))
    return before.equals(after)


def _dtypes(table: Path) -> dict[str, pl.DataType]:
    """The columns that stand in a table's parts: values of partition columns stand in the names of folders."""
    layout = opening.layout(table)
    assert layout is not None  # noqa: S101  # it has parts
    return {name: dtype for name, dtype in layout.dtypes.items() if name not in layout.partition_by}


def _rows(files: Sequence[Path], dtypes: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of some files with all columns of the table; those a file lacks are null."""
    return pl.scan_parquet(
        list(files), schema=dict(dtypes), glob=False, hive_partitioning=False, missing_columns="insert"
    )


def replace(table: Path, held: Sequence[Held], parts: Sequence[Part], note: Mapping[str, str], now: datetime) -> int:
    """Put sealed parts in the place of others by one commit; nobody else may write to the table meanwhile.

    Args:
        table: the table's folder.
        held: the parts to replace.
        parts: those with the same rows.
        note: what the commit says of itself in the log; unique to it.
        now: the moment that is noted of it.

    Returns:
        The table's version that holds the new parts.

    Raises:
        CommitError: another program changed the table.
        StorageError: the disk refused.
    """
    at = int(now.timestamp() * 1000)
    removed = [
        RemoveAction(p.path, data_change=False, deletion_timestamp=at, size=p.size, partition_values=dict(p.partition))
        for p in held
    ]
    added = [AddAction(p.path, p.size, p.partition, p.modified, data_change=False, stats=p.stats) for p in parts]
    try:
        with translated(table):
            opened = opening.opened(table)
            # Delta would take the removal of what is not there without a word.
            if opened is None or not {part.path for part in held} <= opening.active(opened).keys():
                raise _changed(table)
            opened.create_write_transaction(
                [*removed, *added],
                "append",
                opened.schema(),
                partition_by=opened.metadata().partition_columns or None,
                commit_properties=CommitProperties(custom_metadata={**note, "lakehouse.kind": KIND}),
                post_commithook_properties=KEEP_LOGS,
            )
            made = version_of(table, note)
    except StorageError as error:
        if isinstance(error.__cause__, CommitFailedError):
            raise _changed(table) from error
        raise
    if made is None:
        raise _changed(table)
    sync_log(table, made)
    return made


def _changed(table: Path) -> CommitError:
    return CommitError(f"Delta table {table}: another program changed it meanwhile; run again")
