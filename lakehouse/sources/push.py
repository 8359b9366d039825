"""What others hand over (`Lake.land_bytes`, ``lakehouse land --file``), and a source that has no files but these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO

from lakehouse.errors import ConfigError
from lakehouse.records import printable
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.sources.files import storable

__all__ = ["PushOffer", "PushSource"]

_PIECE = 1 << 20


class PushSource(Source):
    """What others hand over."""

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """None: what is pushed is landed when it comes."""
        del seen, now
        return iter(())


class PushOffer(Offer):
    """Bytes somebody hands over.

    Args:
        name: what they are called.
        data: they.

    Attributes:
        broken: what the stream raised, before whoever read it made another error of that.

    Raises:
        ConfigError: no file can have that name.
    """

    def __init__(self, name: str, data: bytes | BinaryIO | Iterable[bytes]) -> None:
        try:
            self.name = storable(name)
        except UnicodeEncodeError:  # half a character
            self.name = ""
        if not self.name.strip(". ") or "\0" in name or PurePosixPath(name).name != name:
            raise ConfigError(
                f"'{printable(name)}' cannot be the name of a file; give one such as orders-2026-03-01.csv"
            )
        self.origin = f"push:{self.name}"
        self.data = data
        self.broken: Exception | None = None

    def open(self) -> AbstractContextManager[Download]:
        """Give the bytes."""
        return nullcontext(Download(chunks=self._chunks()))

    def _chunks(self) -> Iterator[bytes]:
        try:
            yield from _pieces(self.data)
        except Exception as error:
            self.broken = error
            raise


def _pieces(data: bytes | BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """Bytes a piece at a time.

    Raises:
        TypeError: they are text, or no bytes at all.
    """
    if isinstance(data, str):
        raise TypeError("push bytes, not text: text.encode()")
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield bytes(data)
        return
    # A pipe gives what it has: read() of a raw one may give less than was asked, b"" only at its end.
    read = getattr(data, "read", None)
    for piece in data if read is None else iter(lambda: read(_PIECE), b""):
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(f"push bytes, not {type(piece).__name__}; open a file in binary mode ('rb')")
        yield bytes(piece)
