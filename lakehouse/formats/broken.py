"""Records on their way to a frame: written to a work folder a part at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from lakehouse.formats.format import BROKEN
from lakehouse.formats.unpacking import MEBIBYTE

__all__ = ["BrokenWriter", "RowWriter"]

_PART_BYTES = 4 * MEBIBYTE
_PART_ROWS = 20_000


class RowWriter:
    """Gathers the rows of one frame; close it (or leave its block) before reading `frame`."""

    def __init__(self, schema: Mapping[str, pl.DataType], work: Path, name: str) -> None:
        self._schema = dict(schema)
        self._stem = work / name
        self._parts: list[Path] = []
        self._rows: list[tuple[object, ...]] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()

    def add(self, row: tuple[object, ...], size: int) -> None:
        """Add a row of about ``size`` bytes."""
        self._rows.append(row)
        self._bytes += size
        if self._bytes >= _PART_BYTES or len(self._rows) >= _PART_ROWS:
            self._flush()

    def frame(self) -> pl.LazyFrame:
        """All rows that were added."""
        return pl.scan_ipc(self._parts, glob=False) if self._parts else pl.LazyFrame(schema=self._schema)

    def _flush(self) -> None:
        if self._rows:
            part = self._stem.with_name(f"{self._stem.name}-{len(self._parts)}")
            columns = zip(*self._rows, strict=True)
            pl.DataFrame(dict(zip(self._schema, columns, strict=True)), schema=self._schema).write_ipc(part)
            self._parts.append(part)
            self._rows, self._bytes = [], 0


class BrokenWriter(RowWriter):
    """Gathers the broken records of one file."""

    def __init__(self, sha256: str, work: Path) -> None:
        super().__init__(BROKEN, work, f"{sha256}.broken")
        self._sha256 = sha256

    def broken(self, row: int, text: bytes | str, reason: str) -> None:
        """Add record number ``row``, its text and what is wrong with it."""
        shown = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
        self.add((self._sha256, row, shown, reason), len(shown))
