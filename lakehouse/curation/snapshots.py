"""Snapshots: each file is the full picture, held against the one before; what it changes is what is appended.

Files are taken one after the other, each read whole and typed into the work folder, and compared there: with the
current state of the dataset, or with the picture of the file before it in the same batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import polars as pl

from lakehouse import measured, states, views
from lakehouse.config import Dataset
from lakehouse.curation.arrivals import Arrival, Order, name_of
from lakehouse.curation.batch import Written, merged
from lakehouse.curation.differences import Differences, differences, values
from lakehouse.curation.planning import stored_columns
from lakehouse.curation.stamping import Stamp, as_moment, position, stamped
from lakehouse.records import Note, Sighting, printable
from lakehouse.site import Site
from lakehouse.states import DELETE
from lakehouse.timeline import Timeline

__all__ = ["before", "take", "unfit"]


def take(  # noqa: PLR0913  # a batch's parts, by name
    snapshots: Sequence[Arrival],
    read: Callable[[Arrival, Path], Written],
    state: pl.LazyFrame | None,
    *,
    dataset: Dataset,
    stamp: Stamp,
    trusted: Collection[Arrival],
    work: Path,
) -> Written:
    """Read snapshots one after the other and write what each changes.

    Args:
        snapshots: in the order of their times.
        read: reads one, typed and checked, into an empty folder.
        state: what the first is compared with, one row a key; None where there is nothing yet.
        dataset: the dataset.
        stamp: the batch's own provenance.
        trusted: those that may delete as many keys as they like.
        work: an empty folder on the lake's disk.
    """
    return _Taking(read, state, dataset, stamp, frozenset(trusted), work).run(snapshots)


def before(site: Site, past: Timeline, order: Order) -> pl.LazyFrame | None:
    """The state after the snapshots that stay as they are, one row a key; None where there are none."""
    if not order.kept or past.last is None:
        return None
    if not order.gone:
        return views.state(site, past, past.last)
    gone = pl.LazyFrame(list(order.gone), schema={"_execution": pl.Int64, "_raw": pl.String}, orient="row")
    rows = views.rows(site, past, past.last).join(gone, on=["_execution", "_raw"], how="anti")
    return states.current(rows, past.last.keys)


def unfit(dataset: Dataset, one: Sighting) -> str:
    """Why a file is refused whose name does not hold its moment."""
    return (
        f"'{printable(name_of(one.origin))}' does not fit snapshot_time: {dataset.snapshot_time}, so it cannot be told "
        "when it was the full picture; rename the file, or mend the pattern"
    )


class _Taking:
    """Some snapshots under way: the state that the next is compared with, and what came of those before."""

    def __init__(  # noqa: PLR0913, PLR0917  # as take
        self,
        read: Callable[[Arrival, Path], Written],
        state: pl.LazyFrame | None,
        dataset: Dataset,
        stamp: Stamp,
        trusted: frozenset[Arrival],
        work: Path,
    ) -> None:
        self.read = read
        self.state = state
        self.dataset = dataset
        self.keys = list(dataset.keys)
        self.stamp = stamp
        self.trusted = trusted
        self.work = work
        self.parts: list[Written] = []
        self.held: list[Path] = []  # where the state lies, once it is a file's

    def run(self, snapshots: Sequence[Arrival]) -> Written:
        for number, one in enumerate(snapshots):
            folder = self.work / str(number)
            folder.mkdir()
            part = self.read(one, folder)
            if one.sha256 in part.counts:
                self._compare(one, part, number, folder, more=number + 1 < len(snapshots))
            self.parts.append(part)
        return _together(self.parts)

    def _compare(self, one: Arrival, part: Written, number: int, folder: Path, *, more: bool) -> None:
        """Replace a snapshot's rows by those that it changes; or refuse it, when it deletes too much."""
        whole = self._whole(part)
        valid = part.read - part.bad
        distinct = valid - measured.doubled(whole, self.keys, valid)
        new = whole if distinct == valid else _last(whole, self.keys)
        columns = list(stored_columns(self.dataset, part.added))
        compared = folder / "compared"
        compared.mkdir()
        found = differences(
            self.state,
            new,
            self.keys,
            rows=distinct,
            finished=lambda rows: self._finished(rows, one, number).select(columns),
            folder=compared,
        )
        files, deleted = self._deletes(found, part, compared)
        if self.dataset.deletable.exceeded(deleted, found.before):
            if one not in self.trusted:
                self._refuse(one, part, deleted, found.before)
                return
            part.accepted = [one.sha256]
        part.whole, part.valid = part.valid, self._partitioned(files, folder / "valid")
        part.applied = [one]
        part.unchanged, part.duplicates, part.deleted = found.unchanged, valid - distinct, deleted
        part.appended = {one.sha256: found.inserted + found.updated + deleted}
        part.notes += _notes(one, part)
        if more:
            self._hold(new, part, folder, stays=found.deleted > deleted)

    def _whole(self, part: Written) -> pl.LazyFrame:
        """All valid rows of a snapshot."""
        dtypes = stored_columns(self.dataset, part.added, states=False)
        if not part.valid:
            return pl.LazyFrame(schema=dtypes)
        return pl.scan_parquet(part.valid, schema=dtypes, missing_columns="insert", glob=False)

    def _finished(self, rows: pl.LazyFrame, one: Arrival, number: int) -> pl.LazyFrame:
        """The rows to append, of what was compared: a key that is no more leaves a row of nothing but itself."""
        gone = pl.col("_change") == DELETE
        others = [name for name in values(rows) if name not in self.keys]
        return stamped(rows, self.stamp).with_columns(
            *[pl.when(~gone).then(pl.col(name)).alias(name) for name in others],
            pl.when(~gone & pl.lit(bool(one.sha256))).then(pl.col("_row")).alias("_row"),
            pl.lit(one.sha256 or None, pl.String).alias("_raw"),
            as_moment(one.at).alias("_valid_from"),
            position(pl.lit(number, pl.Int64), pl.when(gone).then(0).otherwise(pl.col("_row"))).alias("_position"),
        )

    def _deletes(self, found: Differences, part: Written, folder: Path) -> tuple[list[Path], int]:
        """Leave out the deletes of keys that may be in rejected rows: the files then, and how many deletes are left."""
        lost = pl.scan_parquet(part.lost, glob=False) if part.lost else None
        part.unnamed = unnamed = part.unsplit
        if lost is not None:
            part.unnamed = unnamed = unnamed + int(lost.select((~pl.col("_known")).sum()).collect().item())
        if not found.deleted or (lost is None and not unnamed):
            return [*found.files], found.deleted
        rows = pl.scan_parquet([*found.files], glob=False)
        kept = rows.filter(pl.col("_change") != DELETE)
        if not unnamed and lost is not None:
            deletes = rows.filter(pl.col("_change") == DELETE)
            kept = pl.concat([kept, deletes.join(lost, on=self.keys, how="anti", nulls_equal=True)])
        file = folder / "kept.parquet"
        kept.sink_parquet(file, compression="zstd", compression_level=1, engine="streaming")
        counted = pl.scan_parquet(file).select(pl.len(), (pl.col("_change") == DELETE).sum().alias("deleted")).collect()
        rows_left, deleted = counted.row(0)
        part.withheld = found.deleted - deleted if unnamed else 0
        return [file] if rows_left else [], deleted

    def _partitioned(self, files: Sequence[Path], folder: Path) -> list[Path]:
        """The same rows in the folders of their partitions, where the dataset has any."""
        if not self.dataset.partition_by or not files:
            return list(files)
        target = pl.PartitionBy(folder, key=list(self.dataset.partition_by), include_key=False)
        pl.scan_parquet(list(files), glob=False).sink_parquet(
            target, compression="zstd", compression_level=1, mkdir=True, engine="streaming"
        )
        return sorted(folder.rglob("*.parquet"))

    def _hold(self, new: pl.LazyFrame, part: Written, folder: Path, *, stays: bool) -> None:
        """Make this snapshot what the next is compared with; with the keys that stay though it does not hold them."""
        if stays and self.state is not None:
            before = self.state.select(list(values(self.state))).join(
                new.select(self.keys), on=self.keys, how="anti", nulls_equal=True
            )
            if not part.unnamed:
                lost = pl.scan_parquet(part.lost, glob=False)
                before = before.join(lost, on=self.keys, how="semi", nulls_equal=True)
            file = folder / "state.parquet"
            pl.concat([new.select(list(values(new))), before], how="diagonal").sink_parquet(file, engine="streaming")
            new = pl.scan_parquet(file, glob=False)
        for file in self.held:
            file.unlink()
        self.state, self.held = new, [*part.whole, *folder.glob("state.parquet")]

    def _refuse(self, one: Arrival, part: Written, deleted: int, before: int) -> None:
        """Leave a snapshot out that would delete too much: most likely it is not the full picture."""
        name = printable(one.name)
        reason = (
            f"'{name}' would delete {deleted:,} of the {before:,} keys there are, more than max_deleted "
            f"({self.dataset.deletable}) allows; is it whole? If it is, `lakehouse curate {self.dataset.name} "
            f"--raw {one.sha256[:12]}` takes it all the same; or raise max_deleted"
        )
        for file in (*part.valid, *part.rejected, *part.lost):
            file.unlink(missing_ok=True)
        empty = Written(refused={one.sha256: reason}, notes=[*part.notes, Note("refused", name, reason)])
        for field in dataclasses.fields(Written):
            setattr(part, field.name, getattr(empty, field.name))


def _last(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Of the rows of a file that share their keys the last."""
    last = rows.group_by(keys).agg(pl.col("_row").max())
    return rows.join(last.select("_row"), on="_row", how="semi")


def _notes(one: Arrival, part: Written) -> list[Note]:
    """What a person should know of a snapshot's keys."""
    found, name = [], printable(one.name)
    if part.duplicates:
        rows = f"{part.duplicates:,} row{'' if part.duplicates == 1 else 's'}"
        found.append(
            Note("duplicates", name, f"{rows} came again later in the file under the same keys: the last counts")
        )
    if part.withheld:
        rows = f"{part.unnamed:,} row{'' if part.unnamed == 1 else 's'}"
        single = part.withheld == 1
        keys = f"{part.withheld:,} key{'' if single else 's'} that it does not hold {'was' if single else 'were'}"
        found.append(
            Note(
                "withheld",
                name,
                f"{keys} not deleted: of {rows} it cannot be told which key "
                f"{'it is' if part.unnamed == 1 else 'they are'} of. Mend the file or the schema, and curate it again",
            )
        )
    return found


def _together(parts: Sequence[Written]) -> Written:
    """What came of some snapshots, as one batch."""
    whole = merged(parts) if len(parts) != 1 else dataclasses.replace(parts[0])
    taken = [part for part in parts if part.applied]
    whole.counts, whole.appended = {}, {}
    for part in taken:
        for sha, (read, bad) in part.counts.items():  # a file may have come twice
            before = whole.counts.get(sha, (0, 0))
            whole.counts[sha] = before[0] + read, before[1] + bad
        for sha, rows in part.appended.items():
            whole.appended[sha] = whole.appended.get(sha, 0) + rows
    whole.applied = [one for part in taken for one in part.applied]
    whole.unchanged, whole.duplicates = sum(part.unchanged for part in taken), sum(part.duplicates for part in taken)
    whole.accepted = sorted({sha for part in taken for sha in part.accepted})
    whole.deleted, whole.newest = sum(part.deleted for part in taken), taken[-1] if taken else None
    return whole
