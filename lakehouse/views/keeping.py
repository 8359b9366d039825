"""Current states that are kept: Parquet files which spare reads the adding up of all rows, and are never needed.

A file ``cache/<subject>/<dataset>/<version>-<mark>-<sha256>.parquet`` below the lake's root holds the newest row of
each key at a version, deletes too, sorted by the keys. The mark is a hash of what the ledger says of that version, so
that a file of another table, or of another ledger's version of that number, is not taken for it; the sha256 is of the
file itself, and one that is damaged is not read. Whoever finds none reads all rows: the folder may be deleted any time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from lakehouse import states, timeline
from lakehouse.errors import StorageError
from lakehouse.faults import point
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.storage import hash_file, sync_file, sync_folders
from lakehouse.timeline import Timeline

__all__ = ["ZONE", "Kept", "find", "followed", "keep_state", "kept_states"]

ZONE = "cache"
"""Where they lie, relative to the lake's root."""

_NAME = re.compile(r"(\d+)-([0-9a-f]{16})-([0-9a-f]{64})\.parquet")
_FEW = 20_000  # rows that are added up about as fast as they are read
_SHARE = 0.2  # of the state: so many rows since make a new file worth its writing
_GRACE = 3600.0  # seconds an older file is left there, for reads that have begun
_ZSTD = 1
_GROUP = 100_000  # rows of a row group: sorted by the keys, so a filter by key reads few
_Refused = (StorageError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True, slots=True)
class Kept:
    """The state of a version, in a file."""

    file: Path
    version: Version

    def rows(self) -> pl.LazyFrame:
        """The newest row of each key, deletes too."""
        return pl.scan_parquet(self.file, glob=False)

    def newest_by(self, moment: datetime | None) -> bool:
        """Whether every row was true already at a moment; of None, which is the end of time, it always was."""
        if moment is None:
            return True
        return not self.rows().select((pl.col("_valid_from") > moment).any()).collect(engine="streaming").item()


@functools.lru_cache(maxsize=1024)
def _whole(file: Path, size: int, modified: int) -> bool:
    """Whether a file is as it was written; read once as long as it does not change."""
    del size, modified  # what tells that it did
    named = _NAME.fullmatch(file.name)
    return named is not None and hash_file(file) == named[3]


def find(site: Site, past: Timeline, version: Version, *, valid_at: datetime | None = None) -> Kept | None:
    """The newest kept state that a version's follows from; None where there is none.

    Args:
        site: the opened lake.
        past: the dataset's past.
        version: the version.
        valid_at: the moment whose state is wanted; None for the newest.
    """
    for kept in _candidates(site, past, version):
        # What came later may have replaced rows that the file was made of.
        if any(old <= kept.version.execution for old in past.hidden(version, after=kept.version.execution)):
            continue
        with contextlib.suppress(*_Refused):
            status = kept.file.stat()
            # The newest row of a key says nothing of what was true before it.
            if _whole(kept.file, status.st_size, status.st_mtime_ns) and kept.newest_by(valid_at):
                return kept
    return None


def followed(site: Site, past: Timeline, version: Version, kept: Kept) -> pl.LazyFrame:
    """Rows that add up to the same newest ones as all the version's rows: those kept, and those since."""
    held = timeline.held(site, version)
    since = past.visible(held.filter(pl.col("_execution") > kept.version.execution), version)
    return pl.concat([kept.rows(), since], how="diagonal").select(held.collect_schema().names())


def keep_state(site: Site, past: Timeline, version: Version) -> None:
    """Keep the state of a keyed dataset's newest version, where that makes later reads cheaper.

    Only while nobody else may curate the dataset. What the disk refuses is left undone: nothing needs it.
    """
    if version.history == "events":
        return
    with contextlib.suppress(*_Refused):
        kept = find(site, past, version)
        if kept is None:
            new = version.total
            worth = new > _FEW
            frame = past.visible(timeline.held(site, version), version)
        else:
            new = sum(v.rows for v in past.versions if kept.version.version < v.version <= version.version)
            worth = new > max(_FEW, _SHARE * kept.rows().select(pl.len()).collect().item())
            frame = followed(site, past, version, kept)
        if worth:
            _write(site, version, frame)


def kept_states(site: Site) -> Iterator[tuple[str, str]]:
    """Every file of the zone (relative to the lake's root), and what is wrong with it; "" where nothing is."""
    for file in sorted(entry for entry in site.storage.path(ZONE).rglob("*") if entry.is_file()):
        named = _NAME.fullmatch(file.name)
        wrong = "is a file that the lake did not put there" if named is None else ""
        with contextlib.suppress(FileNotFoundError):  # another took its place meanwhile
            if named is not None and hash_file(file) != named[3]:
                wrong = "no longer matches its hash: its bytes were changed"
            yield file.relative_to(site.storage.root).as_posix(), wrong


def _write(site: Site, version: Version, frame: pl.LazyFrame) -> None:
    folder = _folder(site, version.dataset)
    with site.storage.work(f"state/{version.dataset}") as work:
        part = work / "state.parquet"
        states.newest(frame, version.keys).sort(version.keys, nulls_last=True).sink_parquet(
            part, compression="zstd", compression_level=_ZSTD, row_group_size=_GROUP
        )
        point("state.written")
        sync_file(part)
        made = folder / f"{version.version}-{_mark(version)}-{hash_file(part)}.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        part.replace(made)
        point("state.placed")
    sync_folders([folder, folder.parent], site.storage.root)
    _sweep(folder, made)


def _sweep(folder: Path, newest: Path) -> None:
    """Remove the files that another took the place of, but for those that somebody may be reading still."""
    for file in folder.iterdir():
        if file != newest and time.time() - file.stat().st_mtime > _GRACE:
            file.unlink()


def _candidates(site: Site, past: Timeline, version: Version) -> Iterator[Kept]:
    """The files of this version and of those before it, newest first."""
    folder = _folder(site, version.dataset)
    named = (
        [(int(m[1]), m[2], f) for f in folder.iterdir() if (m := _NAME.fullmatch(f.name))] if folder.is_dir() else []
    )
    for number, mark, file in sorted(named, reverse=True, key=lambda one: one[0]):
        if number > version.version:
            continue
        known = version if number == version.version else past.numbered([number]).get(number)
        if known is not None and _mark(known) == mark and (known.uri, known.keys) == (version.uri, version.keys):
            yield Kept(file, known)


def _folder(site: Site, dataset: str) -> Path:
    return site.storage.path(f"{ZONE}/{dataset}")


def _mark(version: Version) -> str:
    """What tells a version from every other of any ledger: when it was committed, beside its place."""
    told = [
        version.uri,
        version.version,
        version.table_version,
        version.execution,
        version.committed_at.isoformat(),
        version.history,
        version.keys,
        version.width,
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
