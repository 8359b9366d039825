"""Archives: the members of one raw file, read by one format, are one file whose rows are numbered through."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse.errors import NotFoundError
from lakehouse.formats.converted import Conversion, Converted, ConvertedFile
from lakehouse.formats.format import BROKEN, Careful, Count, Format, Located, Prepared, Raw
from lakehouse.formats.members import members
from lakehouse.formats.unpacking import MEBIBYTE, Bound, refuse, write

__all__ = ["Archive", "reader"]

_BATCH_BYTES = 64 * MEBIBYTE
_BATCH_MEMBERS = 200


def reader(format_: Format) -> Format:
    """What reads files of a format: itself, or what reads the members of archives of such files."""
    return format_ if format_.unpack is None else Archive.of(format_)


@dataclass(frozen=True, slots=True)
class _Read:
    """A member's records: those that are whole and those that are broken, numbered within it."""

    member: Raw
    columns: tuple[str, ...]
    rows: int
    careful: Careful | None


class Archive(Converted):
    """Reads archives whose members are files of the format ``inner``."""

    inner: Format

    @classmethod
    def of(cls, format_: Format) -> Archive:
        """What reads archives of files of a format."""
        inner = format_.model_copy(update={"unpack": None, "members": ()})
        said = {name: getattr(format_, name) for name in Format.model_fields}
        return cls(**said, inner=inner)

    def prepare(self, raw: Raw, work: Path) -> ConvertedFile:
        """Copy the records of all members."""
        into = Conversion(raw, work)
        headers: dict[tuple[str, ...], list[str]] = {}
        names: dict[str, int] = {}
        for read in self._read(raw, work):
            name = _name(raw, read.member)
            names[name] = names.get(name, 0) + 1
            if read.columns:
                headers.setdefault(read.columns, []).append(name)
            if read.careful is not None:
                into.numbered(read.careful, read.rows)
        into.told = "; ".join(filter(None, [_differing(headers), _doubled(names)]))
        try:
            return into.finished()
        except pl.exceptions.PolarsError as error:
            raise refuse(
                raw, f"its members' columns differ in type ({error})", "name alike ones in 'members'"
            ) from error

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:
        """Archives are read by `prepare`."""
        raise NotImplementedError

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Find the member, and the record in it."""
        before = 0
        for read in self._read(raw, work):
            if 0 < row - before <= read.rows:
                found = self.inner.locate(read.member, row - before, work)
                return found._replace(member=_name(raw, read.member))
            before += read.rows
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {before}")

    def _read(self, raw: Raw, work: Path) -> Iterator[_Read]:
        """Each member's records; its file and they are there until the next is asked for."""
        for number, batch in enumerate(self._batches(raw, work)):
            folder = work / f"{raw.sha256}.reading-{number}"
            folder.mkdir(exist_ok=True)
            yield from self._together_read(batch, folder)
            for path in itertools.chain((member.path for member in batch), folder.iterdir()):
                path.unlink(missing_ok=True)

    def _batches(self, raw: Raw, work: Path) -> Iterator[list[Raw]]:
        """The members, copied into ``work`` under numbers; those of a batch are scanned together."""
        bound = Bound(raw, self.max_unpacked)
        batch: dict[str, Raw] = {}
        size = 0
        for number, member in enumerate(members(raw, self, work)):
            path = work / f"{raw.sha256}.member-{number}"
            digest = hashlib.sha256()
            write(path, _hashed(bound.passed(member.chunks), digest))
            one = Raw(digest.hexdigest(), f"{raw.name}: {member.name}", path)
            length = path.stat().st_size
            if batch and (one.sha256 in batch or size + length > _BATCH_BYTES or len(batch) == _BATCH_MEMBERS):
                yield list(batch.values())
                batch, size = {}, 0
            batch[one.sha256] = one
            size += length
        if batch:
            yield list(batch.values())

    def _together_read(self, batch: Sequence[Raw], folder: Path) -> Iterator[_Read]:
        prepared = [self.inner.prepare(member, folder) for member in batch]
        found: dict[str, Careful] = {}
        rows: dict[str, int] = {}
        for number, group in enumerate(self.inner.groups([file for file in prepared if file.rows != 0])):
            self._scanned(group, folder / f"scanned-{number}", found, rows)
        for file in prepared:
            sha256 = file.raw.sha256
            yield _Read(file.raw, file.columns, rows.get(sha256, 0), found.get(sha256))

    def _scanned(self, files: Sequence[Prepared], into: Path, found: dict[str, Careful], rows: dict[str, int]) -> None:
        """Read files by one scan, and those it cannot be trusted with by care."""
        doubtful = files
        try:
            self.inner.scan(files).sink_ipc(into, compression="lz4", engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            if "os error" in str(error):  # a full disk is no fault of the file
                raise
        else:
            scan = pl.scan_ipc(into, glob=False)
            counted = scan.group_by("_raw").agg(pl.len(), pl.col("_suspect").sum()).collect(engine="streaming")
            counts = {raw: Count(number, suspects) for raw, number, suspects in counted.iter_rows()}
            doubtful = self.inner.doubtful(files, counts)
            doubted = {file.raw.sha256 for file in doubtful}
            for file in files:
                if file.raw.sha256 not in doubted:
                    whole = scan.filter(pl.col("_raw") == file.raw.sha256).drop("_suspect")
                    found[file.raw.sha256] = Careful(whole, pl.LazyFrame(schema=BROKEN))
                    rows[file.raw.sha256] = counts.get(file.raw.sha256, Count(0, 0)).rows
        for file in doubtful:
            read = self.inner.careful(file, into.parent)
            try:
                lengths = pl.collect_all(
                    [read.frame.select(pl.len()), read.broken.select(pl.len())], engine="streaming"
                )
            except pl.exceptions.PolarsError as error:
                if "os error" in str(error):
                    raise
                raise refuse(file.raw, f"it cannot be read ({str(error).splitlines()[0]})", "correct it") from error
            found[file.raw.sha256] = read
            rows[file.raw.sha256] = sum(length.item() for length in lengths)


def _name(raw: Raw, member: Raw) -> str:
    return member.name.removeprefix(f"{raw.name}: ")


def _hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _differing(headers: dict[tuple[str, ...], list[str]]) -> str:
    """Which columns not every member has; "" where all have the same."""
    every = dict.fromkeys(column for columns in headers for column in columns)
    said = []
    for column in every:
        lacking = [name for columns, names in headers.items() if column not in columns for name in names]
        if lacking:
            more = f" and {len(lacking) - 1} more members" if len(lacking) > 1 else ""
            said.append(f"'{column}' is not in {lacking[0]}{more}")
    return "" if not said else "its members' columns differ, what is absent is missing: " + ", ".join(said[:10])


def _doubled(names: dict[str, int]) -> str:
    twice = [name for name, times in names.items() if times > 1]
    return "" if not twice else "members of the same name, each is read: " + ", ".join(twice[:10])
