"""Reads the first megabytes of a group of files as curation would read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse.errors import FormatError
from lakehouse.formats import Count, Format, Prepared, Raw, reader
from lakehouse.formats.sniffing import opened
from lakehouse.formats.unpacking import packing
from lakehouse.records import Note

__all__ = ["SAMPLE_BYTES", "Sample", "sample"]

SAMPLE_BYTES = 64 << 20
"""How much of each group is read, before compression counted for compressed files."""
_ROWS = 1_000_000
_CUT = ("csv", "ndjson", "lines", "singer", "copy")
"""Formats of which the first lines by themselves are a file."""
_PACKED = 8
"""A compressed file is taken to hold so many times its size."""
_READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True)
class Sample:
    """What was read.

    Attributes:
        frames: the records, each frame of one set of columns; without provenance.
        paths: the group's files that can be read, as far as was looked.
        broken: records that are none.
        skipped: the files that cannot be read, and why.
    """

    frames: tuple[pl.DataFrame, ...]
    paths: tuple[Path, ...]
    broken: int
    skipped: tuple[Note, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order they were met."""
        return tuple(dict.fromkeys(name for frame in self.frames for name in frame.columns))


def sample(format_: Format, paths: Sequence[Path], work: Path, limit: int = SAMPLE_BYTES) -> Sample:
    """Read the beginning of a group of files.

    Args:
        format_: how they are read.
        paths: the files, in order.
        work: an existing folder for what has to be decompressed or cut.
        limit: bytes to read in all.
    """
    reading = reader(format_)
    prepared: list[Prepared] = []
    good: list[Path] = []
    skipped: list[Note] = []
    left = limit
    for number, path in enumerate(paths):
        if left <= 0:
            good += paths[number:]
            break
        try:
            raw, size = _raw(format_, path, f"{number:08}", work, left)
            file = reading.prepare(raw, work)
        except (FormatError, OSError) as error:
            skipped.append(Note("skipped", str(path), str(error).removeprefix(f"{path}: ")))
            continue
        left -= size
        good.append(path)
        if file.columns:
            prepared.append(file)
    frames: list[pl.DataFrame] = []
    broken = 0
    for group in reading.groups(prepared):
        frame, bad, unread = _read(reading, group, work)
        broken += bad
        frames.append(frame)
        names = {file.raw.name: note for file, note in unread}
        skipped += names.values()
        good = [path for path in good if str(path) not in names]
    return Sample(tuple(frames), tuple(good), broken, tuple(skipped))


def _raw(format_: Format, path: Path, identity: str, work: Path, limit: int) -> tuple[Raw, int]:
    """The file to read in a file's place: itself, or a copy of its beginning; and about how large it is."""
    size = path.stat().st_size
    size *= _PACKED if packing(path) and not format_.own_zip else 1
    if size <= limit or format_.type not in _CUT or format_.unpack is not None:
        return Raw(identity, str(path), path), size
    copy = work / f"{identity}.beginning"
    try:
        with opened(path) as stream, copy.open("wb") as beginning:
            data = stream.read(limit)
            end = data.rfind(b"\n") + 1
            beginning.write(data[:end] if end and len(data) == limit else data)
    except OSError as error:
        raise FormatError(f"it cannot be read: {error}") from error
    return Raw(identity, str(path), copy), limit


def _read(
    format_: Format, files: Sequence[Prepared], work: Path
) -> tuple[pl.DataFrame, int, list[tuple[Prepared, Note]]]:
    """Scan files together; those the scan cannot be trusted with, one by one with care."""
    doubted: Sequence[Prepared]
    try:
        frame = format_.scan(files).head(_ROWS).collect(engine="streaming")
        counts = {
            raw: Count(rows, suspects)
            for raw, rows, suspects in frame.group_by("_raw").agg(pl.len(), pl.col("_suspect").sum()).iter_rows()
        }
        cut = frame.height == _ROWS
        doubted = () if cut and format_.type == "parquet" else format_.doubtful(files, counts)
    except _READ_ERRORS:
        frame, doubted = None, files
    parts: list[pl.DataFrame] = []
    broken = 0
    unread: list[tuple[Prepared, Note]] = []
    if frame is not None:
        kept = frame.filter(~pl.col("_raw").is_in([file.raw.sha256 for file in doubted])) if doubted else frame
        parts.append(kept.drop("_suspect"))
    for file in doubted:
        try:
            careful = format_.careful(file, work)
            parts.append(careful.frame.collect(engine="streaming"))
            broken += careful.broken.collect(engine="streaming").height
        except (FormatError, *_READ_ERRORS) as error:
            reason = str(error).splitlines()[0].removeprefix(f"{file.raw.name}: ")
            unread.append((file, Note("skipped", file.raw.name, reason)))
    columns = list(files[0].columns)
    frames = [part.select(columns) for part in parts]
    return (pl.concat(frames) if frames else pl.DataFrame(schema=columns)), broken, unread
