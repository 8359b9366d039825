"""The members of an archive, one after another, read safely: nothing is written under a name the archive gives.

Links, devices and folders are passed over; so is what macOS adds. A name is only ever compared and shown.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from lakehouse.errors import FormatError, nearest
from lakehouse.formats.format import Format, Raw
from lakehouse.formats.unpacking import ENCRYPTED, MEBIBYTE, blocks, central_directory, packing, refuse, unpack
from lakehouse.records import printable

__all__ = ["Member", "members"]

_DIRECTORY = 64 * MEBIBYTE
"""Bytes the list of a zip file's members may have: it is held in memory."""
_LOCAL_HEADER = 30
_LONGEST_HEADER = 4 * MEBIBYTE
_REPLACE = "replace the file; it is read again when it changes"


class Member(NamedTuple):
    """A regular file in an archive: its name, safe to print, and its bytes, to be read before the next member."""

    name: str
    chunks: Iterator[bytes]


def members(raw: Raw, reading: Format, work: Path) -> Iterator[Member]:
    """The members that are read, in the archive's order.

    Args:
        raw: the archive.
        reading: the format: its ``unpack``, ``members`` and bounds.
        work: takes a compressed tar's content.

    Raises:
        FormatError: it is no such archive, or damaged, cut short, encrypted or built to overwhelm; or none of its
            members is one that is asked for.
    """
    seen: list[str] = []
    taken = False
    with _damage_told(raw):
        for name, chunks in (_zip if reading.unpack == "zip" else _tar)(raw, reading, work):
            if name.startswith("__MACOSX/"):
                continue
            seen.append(name)
            if not reading.members or any(_matches(name, pattern) for pattern in reading.members):
                taken = True
                yield Member(printable(name), _told(raw, chunks))
    if not taken and reading.members:
        asked = ", ".join(f"'{printable(pattern)}'" for pattern in reading.members)
        some = ", ".join(f"'{printable(name)}'" for name in seen[:5]) + (", …" if len(seen) > 5 else "")
        hint = nearest(reading.members[0], seen)
        raise refuse(raw, f"no member is {asked}; it has {some or 'none at all'}", f"correct 'members'.{hint}")


def _matches(name: str, pattern: str) -> bool:
    """A pattern without a folder is held against the member's last name."""
    return fnmatchcase(name if "/" in pattern else name.rsplit("/", 1)[-1], pattern)


@contextmanager
def _damage_told(raw: Raw) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise refuse(raw, f"a damaged or truncated archive ({printable(str(error))[:200]})", _REPLACE) from error
    except NotImplementedError as error:
        why = f"an archive that cannot be read ({printable(str(error))[:200]})"
        raise refuse(raw, why, "have it packed another way") from error


def _told(raw: Raw, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _damage_told(raw):
        yield from chunks


def _too_many(raw: Raw, reading: Format) -> FormatError:
    return refuse(
        raw, f"more than {reading.max_members:,} members", "if it is right, raise 'max_members' of its format"
    )


def _zip(raw: Raw, reading: Format, _: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    directory = central_directory(raw.path)
    if not directory and packing(raw.path) != "zip" and not zipfile.is_zipfile(raw.path):
        raise refuse(raw, "no zip file", "correct 'unpack', or its source")
    if directory > _DIRECTORY:
        raise _too_many(raw, reading)
    with zipfile.ZipFile(raw.path) as archive:
        found = archive.infolist()
        if len(found) > reading.max_members:
            raise _too_many(raw, reading)
        in_place = sorted(found, key=lambda one: one.header_offset)
        if in_place and in_place[0].header_offset < 0:  # seeking there would look like a failing disk
            raise zipfile.BadZipFile("a member before its beginning")
        ends = [one.header_offset for one in in_place[1:]] + [archive.start_dir]
        for one, end in zip(in_place, ends, strict=False):  # of an empty archive there is an end only
            if one.header_offset + _LOCAL_HEADER + one.compress_size > end:
                name = printable(one.filename)
                raise refuse(raw, f"its members overlap ('{name}'), as only bombs' do", "look at what the source sends")
        for one in found:
            if one.is_dir() or (one.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                continue
            if one.flag_bits & ENCRYPTED:
                what = f"its member '{printable(one.filename)}' is encrypted"
                raise refuse(raw, what, "have it sent without a password")
            with archive.open(one) as stream:
                yield one.filename, blocks(cast("BinaryIO", stream))


class _Headers(io.BufferedReader):
    """A tar file; a header that would fill the memory is refused by tarfile's own end-of-file."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return super().read(size)


def _tar(raw: Raw, reading: Format, work: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    path = unpack(raw, reading, work)
    with _Headers(io.FileIO(path)) as stream:
        try:
            archive = tarfile.open(fileobj=stream, mode="r:", encoding="utf-8")  # noqa: SIM115  # closes nothing
        except tarfile.ReadError as error:
            raise refuse(raw, "no tar file", "correct 'unpack', or its source") from error
        count = 0
        while (one := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would remember each
            count += 1
            if count > reading.max_members:
                raise _too_many(raw, reading)
            content = archive.extractfile(one) if one.isreg() else None
            if content is not None:
                yield one.name, blocks(cast("BinaryIO", content))
        stream.seek(archive.offset)
        ended = False
        for block in blocks(stream):
            if block.strip(b"\0"):
                raise tarfile.ReadError(f"what stands at byte {archive.offset:,} is no member")
            ended = True
        if not ended:
            raise tarfile.ReadError("its end is missing")
    if path != raw.path:
        path.unlink()
