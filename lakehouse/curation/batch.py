"""One batch of raw files to Parquet parts: read once, split in valid and rejected, counted.

Nothing here is visible to anybody: parts are written to a work folder. A file that cannot be read
with the others is found out and read alone, with care; a file that cannot be read at all is refused,
and the others go on.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pyarrow.parquet as pq

from lakehouse.columns import SAFE
from lakehouse.config import Dataset
from lakehouse.curation.arrivals import Arrival
from lakehouse.curation.header import Header
from lakehouse.curation.outcome import (
    Outcome,
    lost_keys,
    per_file,
    quarantined,
    raise_if_disk,
    rows_of,
    unsplit_records,
)
from lakehouse.curation.stamping import Stamp, changing, stamped
from lakehouse.errors import FormatError, LakehouseError, SchemaError, StorageError
from lakehouse.formats import Careful, Count, Format, Prepared, Raw
from lakehouse.formats import reader as reader_of
from lakehouse.records import Note, printable
from lakehouse.streaming import small_pieces
from lakehouse.validation import Mapping, RowRule, check, count_broken, sum_broken, too_strict
from lakehouse.validation.statistics import Broken

__all__ = ["Written", "cut", "write"]

T = TypeVar("T")

_SORT_BYTES = 64 << 20  # raw bytes up to which a scan's rows are sorted by event_time: a sort holds them in memory
_SCAN_BYTES = 512 << 20  # raw bytes of many files read by one scan
_STAYING: dict[str, Any] = {"compression": "zstd", "compression_level": 1}  # the best trade of size and time here
_PASSING: dict[str, Any] = {"compression": "lz4"}  # of what is read once and deleted

PolarsError = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What a query can raise; a panic is no Exception."""


@dataclass(slots=True)
class Written:
    """What came of a batch so far.

    Attributes:
        valid: Parquet files of valid rows.
        rejected: Parquet files of rejected rows.
        counts: rows read and rejected of each raw file (sha256) that was read.
        refused: why a raw file (sha256) was refused as a whole.
        added: columns taken along that the schema does not know.
        broken: the rules that rows broke, whether or not they were rejected for it.
        filled: curated rows whose missing value a default took the place of, by feature.
        unknown: columns of the files that no feature reads.
        absent: features whose column no file had.
        lost: of snapshots: Parquet files of the keys of rejected rows, and whether they could be read (``_known``).
        unsplit: records that could not be split into fields.
        whole: of a snapshot: Parquet files of all its valid rows, where ``valid`` is what it changes.
        applied: the snapshots that were taken in, in order.
        appended: rows appended by raw file (sha256), where these are not all that were valid.
        unchanged: valid rows that say what was known already.
        duplicates: valid rows whose keys come again later in their file.
        deleted: keys that are no more; each appends a row.
        unnamed: rows of a snapshot that do not tell which key they are of.
        withheld: keys that were not deleted for that.
        accepted: snapshots (sha256) that delete more than is allowed, and were taken in all the same.
        newest: of several snapshots the last that was taken in.
    """

    valid: list[Path] = field(default_factory=list)
    rejected: list[Path] = field(default_factory=list)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    filled: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    lost: list[Path] = field(default_factory=list)
    unsplit: int = 0
    whole: list[Path] = field(default_factory=list)
    applied: list[Arrival] = field(default_factory=list)
    appended: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    duplicates: int = 0
    deleted: int = 0
    unnamed: int = 0
    withheld: int = 0
    accepted: list[str] = field(default_factory=list)
    newest: Written | None = None
    notes: list[Note] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Rows read of all files that were not refused."""
        return sum(read for read, _ in self.counts.values())

    @property
    def bad(self) -> int:
        """Rows rejected."""
        return sum(bad for _, bad in self.counts.values())

    def refuse(self, sha256: str, name: str, reason: str) -> None:
        """Leave a raw file out as a whole."""
        self.refused[sha256] = reason
        self.notes.append(Note("refused", printable(name), reason))

    @property
    def good(self) -> int:
        """Rows that are curated."""
        return self.read - self.bad - self.unchanged - self.duplicates


def merged(parts: Sequence[Written]) -> Written:
    """What came of the files of several sources, as one batch."""
    if len(parts) == 1:
        return parts[0]
    whole = Written()
    for part in parts:
        whole.valid += part.valid
        whole.rejected += part.rejected
        whole.counts |= part.counts
        whole.refused |= part.refused
        whole.added += [name for name in part.added if name not in whole.added]
        whole.unknown += [name for name in part.unknown if name not in whole.unknown]
        whole.filled = dict(Counter(whole.filled) + Counter(part.filled))
        whole.lost += part.lost
        whole.unsplit += part.unsplit
        whole.notes += part.notes
    whole.broken = sum_broken([one for part in parts for one in part.broken])
    read = [part.absent for part in parts if part.counts]
    whole.absent = [name for name in (read[0] if read else ()) if all(name in absent for absent in read)]
    return whole


def cut(items: Iterable[T], size: Callable[[T], int], limit: int | None) -> Iterator[list[T]]:
    """Items in order, cut where a piece would pass the limit in bytes; one larger item stands alone."""
    piece: list[T] = []
    held = 0
    for item in items:
        if piece and limit is not None and held + size(item) > limit:
            yield piece
            piece, held = [], 0
        piece.append(item)
        held += size(item)
    if piece:
        yield piece


def write(  # noqa: PLR0913  # the batch's parts, by name
    files: Sequence[Raw],
    sizes: dict[str, int],
    *,
    dataset: Dataset,
    reader: Format,
    mapping: Mapping,
    stamp: Stamp,
    work: Path,
    progress: Callable[[int], None],
    private: Collection[str] = (),
) -> Written:
    """Read raw files and write their rows, typed and checked, to Parquet files in ``work``.

    Args:
        files: the raw files.
        sizes: their sizes in bytes, by sha256.
        dataset: the dataset.
        reader: the source's format.
        mapping: how rows are made from columns.
        stamp: the batch's own provenance.
        work: an empty folder on the lake's disk.
        progress: told the raw bytes of each piece that is done.
        private: columns whose values must not be told, beside those the schema calls personal.

    Raises:
        SchemaError: rows were lost or doubled by the curation function.
        StorageError: the disk refused.
    """
    return _Batch(dataset, reader, mapping, stamp, work, sizes, progress, private).run(files)


class _Batch:
    def __init__(  # noqa: PLR0913, PLR0917  # as write
        self,
        dataset: Dataset,
        reader: Format,
        mapping: Mapping,
        stamp: Stamp,
        work: Path,
        sizes: dict[str, int],
        progress: Callable[[int], None],
        private: Collection[str],
    ) -> None:
        self.dataset = dataset
        self.reader = reader_of(reader)
        self.header = Header(dataset, dataclasses.replace(mapping, lenient=False))
        self.stamp = stamp
        self.work = work
        self.sizes = sizes
        self.progress = progress
        self.private = private
        self.written = Written()
        self._broken: dict[tuple[RowRule, ...], list[Path]] = {}  # masks of broken rules, by what their bits mean
        self._told: dict[str, list[str]] = {}  # what is to be known of how files are read, and which those are
        self._number = itertools.count()

    def run(self, files: Sequence[Raw]) -> Written:
        prepared = [file for raw in files if (file := self._prepare(raw)) is not None]
        for group in self.reader.groups(prepared):
            for piece in cut(group, lambda file: self.sizes[file.raw.sha256], _SCAN_BYTES):
                self._scan(piece)
                self.progress(sum(self.sizes[file.raw.sha256] for file in piece))
        for told, names in self._told.items():
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            self.written.notes.append(Note("format", f"{names[0]}{more}", told))
        self.written.unknown, self.written.absent = self.header.unknown, self.header.absent
        counted = [count_broken(masks, rules) for rules, masks in self._broken.items()]
        self.written.broken = sum_broken([*self.written.broken, *itertools.chain(*counted)])
        for mask in itertools.chain(*self._broken.values()):
            mask.unlink()
        return self.written

    def _prepare(self, raw: Raw) -> Prepared | None:
        """Open a file and hold its header against the schema; None where there is nothing to read."""
        try:
            file = self.reader.prepare(raw, self.work)
            if file.columns:
                self.written.notes += self.header.check(file.columns, raw.name)
        except (FormatError, *PolarsError) as error:
            raise_if_disk(error)
            if not isinstance(error, FormatError):
                raise
            self._refuse(raw, error)
            return None
        if file.told:
            self._told.setdefault(file.told, []).append(raw.name)
        if file.keys and self.dataset.keys:
            self._hold_keys(file)
        if file.columns:
            self.written.added += [c for c in self.header.added(file.columns) if c not in self.written.added]
        if not file.columns or file.rows == 0:
            self.written.counts[raw.sha256] = (0, 0)
            self.written.notes.append(Note("empty", raw.name, "no rows"))
            return None
        return file

    def _hold_keys(self, file: Prepared) -> None:
        """Tell where a file names its records by other columns than the dataset."""
        theirs = [self.header.mapping.rename.get(column, column) for column in file.keys]
        if set(theirs) != set(self.dataset.keys):
            told = f"its records are named by {', '.join(theirs)}, not by the keys {', '.join(self.dataset.keys)}"
            self._told.setdefault(told, []).append(file.raw.name)

    def _refuse(self, raw: Raw, error: LakehouseError) -> None:
        self.written.refuse(raw.sha256, raw.name, str(error))

    def _scan(self, files: Sequence[Prepared]) -> None:
        """Read files by one scan; where that fails, halve them until the damaged one stands alone."""
        try:
            outcome = self._sink(self.reader.scan(files), files)
        except PolarsError as error:
            raise_if_disk(error)
            if len(files) == 1:
                self._carefully(files[0])
                return
            middle = len(files) // 2
            self._scan(files[:middle])
            self._scan(files[middle:])
            return
        if not self.header.mapping.lenient and outcome.bad and too_strict(outcome.rejected):
            outcome.discard()
            self._leniently()
            self._scan(files)
            return
        doubtful = self.reader.doubtful(files, outcome.scanned)
        if not doubtful:
            self._keep(outcome)
            return
        outcome.discard()
        again = {file.raw.sha256 for file in doubtful}
        if rest := [file for file in files if file.raw.sha256 not in again]:
            self._scan(rest)
        for file in doubtful:
            self._carefully(file)

    def _leniently(self) -> None:
        """From here on read every spelling of a value; most files have none that needs it."""
        self.header.mapping = dataclasses.replace(self.header.mapping, lenient=True)

    def _carefully(self, file: Prepared) -> None:
        self._leniently()
        try:
            careful = self.reader.careful(file, self.work)
            self._keep(self._sink(careful.frame, [file], careful))
        except FormatError as error:
            raise_if_disk(error)
            self._refuse(file.raw, error)
        except PolarsError as error:
            raise_if_disk(error)
            what = f"'{file.raw.name}' cannot be read: {str(error).splitlines()[0]}"
            mapping = self.header.mapping
            if mapping.function is not None or mapping.derive:
                # Its records were told apart, so it is most likely what the dataset makes of them.
                raise SchemaError(f"dataset '{self.dataset.name}': derive or the curation function: {what}") from error
            self._refuse(file.raw, FormatError(what))

    def _sink(self, frame: pl.LazyFrame, files: Sequence[Prepared], careful: Careful | None = None) -> Outcome:
        """One streaming pass: valid rows, rejected rows and counts."""
        columns = files[0].columns
        schema = frame.collect_schema()
        dtypes = {name: schema[name] for name in columns}
        try:
            checked = check(frame, dtypes, self.header.mapping, self.header.added(columns), self.private)
        except SchemaError as error:
            raise SchemaError(f"dataset '{self.dataset.name}': {error}") from error
        valid, rejected = checked.valid, checked.rejected
        if careful is not None:
            rejected = pl.concat([rejected, quarantined(careful.broken)])
        picture = self.dataset.history == "snapshots"  # is compared with the one before, and written anew for that
        sort = (
            not picture
            and self.dataset.event_time is not None
            and sum(self.sizes[f.raw.sha256] for f in files) <= _SORT_BYTES
        )
        if sort:
            valid = valid.sort(str(self.dataset.event_time), nulls_last=True, maintain_order=True)
        number = next(self._number)
        outcome = Outcome(
            self.work / f"valid-{number}",
            self.work / f"rejected-{number}.parquet",
            self.work / f"broken-{number}.parquet",
            checked.rules,
        )
        partition = [] if picture else list(self.dataset.partition_by)
        target: Path | pl.PartitionBy = outcome.valid / "part.parquet"
        if partition:
            target = pl.PartitionBy(outcome.valid, key=partition, include_key=False)
        filled = {f"filled:{name}": rows for name, rows in checked.filled.items()}
        suspect = pl.col("_suspect").sum() if careful is None else pl.lit(0)
        sinks = [
            self._stamped(valid, files).sink_parquet(
                target, **(_PASSING if picture else _STAYING), maintain_order=sort, mkdir=True, lazy=True
            ),
            stamped(rejected, self.stamp).sink_parquet(outcome.rejected, compression="zstd", lazy=True),
            checked.broken.sink_parquet(outcome.broken, compression="zstd", lazy=True),
            per_file(checked.rows, files, suspects=suspect, rejected=(~pl.col("_ok")).sum(), **filled),
        ]
        if self.header.mapping.function is not None:
            sinks += [rows_of(frame), rows_of(checked.rows)]
        _, _, _, counts, *rows = self._collected(sinks)
        outcome.filled = {name: int(counts[f"filled:{name}"].sum()) for name in checked.filled}
        self._conserve(outcome, counts.drop(filled), rows, files)
        return outcome

    def _collected(self, sinks: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Run the query; what the dataset's own function raises on the way is its error, not the file's."""
        try:
            with small_pieces():
                return pl.collect_all(sinks, engine="streaming", optimizations=SAFE)
        except PolarsError:
            raise
        except Exception as error:
            raise SchemaError(
                f"dataset '{self.dataset.name}': curate: the function raised {type(error).__name__}: {error}"
            ) from error

    def _stamped(self, rows: pl.LazyFrame, files: Sequence[Prepared]) -> pl.LazyFrame:
        if self.dataset.history == "snapshots":  # those that change something are stamped
            return rows
        rows = stamped(rows, self.stamp)
        if self.dataset.history != "changes":
            return rows
        return changing(rows, self.dataset, self.stamp, [file.raw.sha256 for file in files])

    def _conserve(
        self, outcome: Outcome, counts: pl.DataFrame, rows: Sequence[pl.DataFrame], files: Sequence[Prepared]
    ) -> None:
        """Rows read = rows written as valid + rows written as rejected, by the Parquet files' own word.

        Args:
            outcome: gets the counts.
            counts: rows, suspects and rejected rows of each raw file, as they were checked.
            rows: which rows went into the dataset's function, and which came out; nothing without one.
            files: what was read.

        Raises:
            SchemaError: the function dropped, added or mixed up rows.
            StorageError: the counts do not agree.
        """
        checked = {raw: (read, bad) for raw, read, _, bad in counts.iter_rows()}
        outcome.scanned = {raw: Count(read, suspects) for raw, read, suspects, _ in counts.iter_rows()}
        if rows and not rows[0].equals(rows[1]):
            raise SchemaError(
                f"dataset '{self.dataset.name}': curate: the function must give back exactly the rows it got, with "
                f"their _raw and _row: {rows[0]['rows'].sum():,} went in and {rows[1]['rows'].sum():,} came out (files "
                f"from '{files[0].raw.name}'). Nothing was appended"
            )
        read, bad = (sum(pair[side] for pair in checked.values()) for side in (0, 1))
        valid = sum(pq.read_metadata(path).num_rows for path in outcome.parts())
        rejected = pq.read_metadata(outcome.rejected).num_rows
        broken = rejected - bad  # records that a careful reading of one file set apart before any check
        if valid != read - bad or broken < 0 or (broken and len(files) > 1):
            raise StorageError(
                f"dataset '{self.dataset.name}': {read:,} rows were read from '{files[0].raw.name}' and on, but "
                f"{valid:,} valid and {rejected:,} rejected ones were written. Nothing was appended; please report this"
            )
        outcome.unsplit = broken
        for file in files:
            read, bad = checked.get(file.raw.sha256, (0, 0))
            outcome.counts[file.raw.sha256] = (read + broken, bad + broken)

    def _keep(self, outcome: Outcome) -> None:
        self.written.valid += [path for path in outcome.parts() if pq.read_metadata(path).num_rows]
        if outcome.bad:
            self.written.rejected.append(outcome.rejected)
        self.written.counts |= outcome.counts
        for name, rows in outcome.filled.items():
            self.written.filled[name] = self.written.filled.get(name, 0) + rows
        self._broken.setdefault(outcome.rules, []).append(outcome.broken)
        if outcome.bad and self.dataset.history == "snapshots":
            target = self.work / f"lost-{next(self._number)}.parquet"
            self.written.lost.append(lost_keys(outcome.broken, self.dataset.keys, target))
        self.written.unsplit += outcome.unsplit
        if outcome.unsplit:
            self.written.broken += unsplit_records(outcome.rejected)
