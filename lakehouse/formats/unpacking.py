"""Landed bytes as UTF-8 text: decompressed and decoded, streamed, whole or refused.

A file that needs neither is used where it lies. Nothing here knows what the text means.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa

from lakehouse.errors import FormatError
from lakehouse.formats.format import Raw

__all__ = ["MEBIBYTE", "blocks", "decode", "refuse", "unpack"]

MEBIBYTE = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
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


def unpack(raw: Raw, compression: Literal["auto", "none", "gzip", "zstd"], work: Path) -> Path:
    """Decompress a file into ``work``, known by its first bytes where ``compression`` is auto.

    Returns:
        The decompressed copy, or the raw file itself where it is not compressed.

    Raises:
        FormatError: the stream ends early, or is damaged, or is not compressed as told.
    """
    with raw.path.open("rb") as stream:
        magic = stream.read(4)
    if compression == "auto":
        found = "gzip" if magic.startswith(_GZIP) else "zstd" if magic == _ZSTD else "none"
    else:
        found = compression
    if found == "none":
        return raw.path
    if not magic:
        raise refuse(raw, f"truncated {found}: 0 bytes", "replace the file; it is read again when it changes")
    unpacked = work / f"{raw.sha256}.unpacked"
    try:
        with pa.input_stream(str(raw.path), compression=found) as packed:
            _write(unpacked, blocks(packed))
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError) or error.errno is not None:
            raise
        what = "truncated" if "truncated" in str(error).lower() else "damaged"
        advice = "replace the file; it is read again when it changes"
        if compression != "auto" and not magic.startswith((_GZIP, _ZSTD)):
            advice += f", or correct 'compression: {compression}'"
        raise refuse(raw, f"{what} {found} stream", advice) from error
    return unpacked


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
            _write(path, _as_utf8(blocks(stream), encoding))
            with path.open("rb") as copy:
                head = copy.read(_HEAD)
    # The oldest Macintosh files end their lines in a carriage return alone, which no reader takes.
    if b"\r" in head[:-1] and b"\n" not in head:
        lines = work / f"{raw.sha256}.lines"
        with path.open("rb") as stream:
            _write(lines, (block.replace(b"\r", b"\n") for block in blocks(stream)))
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


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
