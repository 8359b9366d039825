"""Landed bytes as UTF-8 text: decompressed and decoded, streamed, bounded, whole or refused.

A file that needs neither is used where it lies. Nothing here knows what the text means.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from lakehouse.errors import FormatError
from lakehouse.formats.format import Format, Raw

__all__ = [
    "ENCRYPTED",
    "FREE_OF_RATIO",
    "MEBIBYTE",
    "MOST_TIMES",
    "MOST_TIMES_ELSE",
    "MOST_UNPACKED",
    "Bound",
    "blocks",
    "central_directory",
    "decode",
    "packing",
    "refuse",
    "unpack",
    "write",
]

MEBIBYTE = 1 << 20
MOST_UNPACKED = 500 * 10**9
MOST_TIMES = {"gzip": 500, "zip": 500}
MOST_TIMES_ELSE = 2_000
"""Times its packed size. Measured of lines that repeat but for a counter and a clock: gzip 135, zstd 252, bz2 315,
xz 1,713. One line over and over: gzip 344, bz2 6,510, xz 6,838, zstd 10,907; such a file needs `max_unpacked`."""
FREE_OF_RATIO = 1024 * MEBIBYTE
"""Bytes that may come out whatever the ratio."""
ENCRYPTED = 0x1
"""The flag of an encrypted member of a zip file."""
_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",  # and more: see _BZ2
    "xz": b"\xfd7zXZ\0",
    "lz4": b"\x04\x22\x4d\x18",
    "zip": b"PK\x03\x04",
}
_BZ2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
_TAR, _TAR_AT = b"ustar", 257
_PACKED_BLOCK = MEBIBYTE // 4
_XZ_MEMORY = 256 * MEBIBYTE
"""More than the largest preset of xz needs (65 MiB); a dictionary may ask for 4 GiB."""
_ONE_DIRECTORY = MEBIBYTE
_ZIP_END, _ZIP64_LOCATOR = 22, 20
_REPLACE = "replace the file; it is read again when it changes"
_RAISE = "if it is right, say 'max_unpacked' with its format, such as 'max_unpacked: 50GB': then only that bounds it"
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD = 64 * 1024
_UNDECODABLE = "\udcff"
"""Stands for bytes that are no text; written back as the byte 0xFF, which is never valid UTF-8."""


def refuse(raw: Raw, what: str, then: str) -> FormatError:
    """The error for a file that cannot be read: what is wrong with it, and what to do then."""
    return FormatError(f"{raw.name}: {what}; {then}")


def blocks(stream: BinaryIO, size: int = MEBIBYTE) -> Iterator[bytes]:
    """The rest of a stream, a block at a time."""
    while block := stream.read(size):
        yield block


def packing(path: Path) -> str:
    """How a file is packed, by its first bytes: a compression, ``zip``, ``tar`` (compressed or not), "" when plain."""
    with path.open("rb") as stream:
        head = stream.read(_TAR_AT + len(_TAR))
    found = _compression(head)
    if found not in ("", "zip"):
        try:
            head = next(_unpacked(path, found), b"")
        except (OSError, EOFError, lzma.LZMAError):
            head = b""
    return "tar" if head[_TAR_AT:].startswith(_TAR) else found


def _compression(head: bytes) -> str:
    found = next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "")
    return "" if found == "bz2" and not _BZ2.match(head) else found


class Bound:
    """How much a packed file may become, so that a bomb does not fill the disk.

    Args:
        raw: the packed file.
        most: bytes it may become; None for 500 GB, and beyond 1 GiB for 500 times (gzip, zip) or 2,000 times (any
            other) its size.
        path: what is unpacked, where that is not the raw file itself.
    """

    def __init__(self, raw: Raw, most: int | None, path: Path | None = None) -> None:
        self._raw = raw
        self._packed = (path or raw.path).stat().st_size
        with raw.path.open("rb") as stream:
            self._times = MOST_TIMES.get(_compression(stream.read(16)), MOST_TIMES_ELSE)
        self._most = MOST_UNPACKED if most is None else most
        self._free = FREE_OF_RATIO if most is None else None
        self._size = 0

    def passed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, counted, as long as they are not too many.

        Raises:
            FormatError: they are.
        """
        for chunk in chunks:
            self.add(len(chunk))
            yield chunk

    def add(self, size: int) -> None:
        """Count bytes that come out, or will.

        Raises:
            FormatError: they are too many.
        """
        self._size += size
        if self._size > self._most:
            raise refuse(self._raw, f"it unpacks to more than {self._most:,} bytes", _RAISE)
        if self._free is not None and self._size > max(self._free, self._times * self._packed):
            times = f"it unpacks to more than {self._times:,} times its {self._packed:,} bytes, as bombs do"
            raise refuse(self._raw, times, _RAISE)


def unpack(raw: Raw, reading: Format, work: Path) -> Path:
    """Decompress a file into ``work``, known by its first bytes where ``compression`` is auto.

    What comes out is not looked into again: a compressed file in a compressed file stays compressed.

    Args:
        raw: the file.
        reading: the format that is to read it: its ``compression``, ``max_unpacked`` and ``own_zip``.
        work: takes the copy.

    Returns:
        The decompressed copy, or the raw file itself where it is not compressed.

    Raises:
        FormatError: the stream ends early, or is damaged, or is not compressed as told, or becomes too large.
    """
    with raw.path.open("rb") as stream:
        head = stream.read(16)
    seems = _compression(head)
    found: str = reading.compression
    if found == "auto":
        found = "none" if seems == "" or (seems == "zip" and reading.own_zip) else seems
    if found == "none":
        return raw.path
    if not head:
        raise refuse(raw, f"truncated {found}: 0 bytes", _REPLACE)
    unpacked = work / f"{raw.sha256}.unpacked"
    chunks = _only_member(raw) if found == "zip" else _unpacked(raw.path, found)
    try:
        write(unpacked, Bound(raw, reading.max_unpacked).passed(chunks))
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, NotImplementedError):
            raise refuse(raw, f"a zip file that cannot be read ({error})", "have it packed another way") from error
        what = "truncated" if isinstance(error, EOFError) or "truncated" in str(error).lower() else "damaged"
        noun = "zip file" if found == "zip" else f"{found} stream"
        unlike = reading.compression not in ("auto", seems)
        advice = f"{_REPLACE}, or correct 'compression: {found}'" if unlike else _REPLACE
        raise refuse(raw, f"{what} {noun}", advice) from error
    return unpacked


def _unpacked(path: Path, compression: str) -> Iterator[bytes]:
    """The blocks of a stream; streams one after another are one.

    Raises:
        EOFError: it ends early.
        OSError: it is damaged, or something else follows it; without an errno.
    """
    if compression in ("gzip", "zstd", "lz4"):
        with pa.input_stream(str(path), compression=compression) as packed:
            yield from blocks(packed)
        return
    with path.open("rb") as packed:
        rest = packed.read(_PACKED_BLOCK)
        while rest:
            one = bz2.BZ2Decompressor() if compression == "bz2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            while not one.eof:
                if one.needs_input and not rest:
                    rest = packed.read(_PACKED_BLOCK)
                    if not rest:
                        raise EOFError("the stream ends early")
                if data := one.decompress(rest, MEBIBYTE):
                    yield data
                rest = b""
            rest = one.unused_data or packed.read(_PACKED_BLOCK)
            if compression == "xz":  # its streams may be padded with zero bytes
                while rest and not (rest := rest.lstrip(b"\0")):
                    rest = packed.read(_PACKED_BLOCK)


def _only_member(raw: Raw) -> Iterator[bytes]:
    """The one file in a zip file.

    Raises:
        FormatError: there are several, or it is encrypted.
    """
    if central_directory(raw.path) > _ONE_DIRECTORY:
        raise refuse(raw, "a zip file of many members", "say 'unpack: zip' (and perhaps 'members')")
    with zipfile.ZipFile(raw.path) as archive:
        found = [member for member in archive.infolist() if not member.is_dir()]
        if len(found) != 1:
            what = f"a zip file of {len(found)} members" if found else "a zip file without any file"
            raise refuse(raw, what, "say 'unpack: zip' (and perhaps 'members')" if found else _REPLACE)
        if found[0].header_offset < 0:  # seeking there would look like a failing disk
            raise zipfile.BadZipFile("a member before its beginning")
        if found[0].flag_bits & ENCRYPTED:
            raise refuse(raw, "an encrypted zip file", "have it sent without a password")
        with archive.open(found[0]) as member:
            yield from blocks(cast("BinaryIO", member))


def central_directory(path: Path) -> int:
    """The bytes that a zip file's list of members has, known without reading it; 0 where no end of it is found."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _ZIP_END - 0xFFFF - _ZIP64_LOCATOR))
        tail = stream.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + _ZIP_END:
            return 0
        length = int.from_bytes(tail[at + 12 : at + 16], "little")
        locator = tail[max(0, at - _ZIP64_LOCATOR) : at]
        if locator.startswith(b"PK\6\7"):
            stream.seek(min(int.from_bytes(locator[8:16], "little"), size))
            record = stream.read(56)
            if record.startswith(b"PK\6\6"):
                length = max(length if length != 0xFFFFFFFF else 0, int.from_bytes(record[40:48], "little"))
        return length


def decode(raw: Raw, path: Path, encoding: str, work: Path) -> Path:
    """Rewrite a text file as UTF-8 with line feeds where it is not so already.

    Bytes that are no text in ``encoding`` become invalid UTF-8, so that they stay visible as such.

    Returns:
        The copy in ``work``, or ``path`` itself where nothing had to be done.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        if utf8 and head.startswith(_UTF16_BOMS):
            utf8, encoding = False, "utf-16"
        if not utf8:
            stream.seek(0)
            path = work / f"{raw.sha256}.utf8"
            write(path, _as_utf8(blocks(stream), encoding))
            with path.open("rb") as copy:
                head = copy.read(_HEAD)
    # The oldest Macintosh files end their lines in a carriage return alone, which no reader takes.
    if b"\r" in head[:-1] and b"\n" not in head:
        lines = work / f"{raw.sha256}.lines"
        with path.open("rb") as stream:
            write(lines, (block.replace(b"\r", b"\n") for block in blocks(stream)))
        return lines
    return path


def _as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    codecs.register_error("lakehouse.undecodable", _undecodable)
    decoder = codecs.getincrementaldecoder(encoding)("lakehouse.undecodable")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")


def _undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _UNDECODABLE, error.end


def write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file, a chunk at a time."""
    with path.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
