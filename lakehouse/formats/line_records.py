"""Formats of one record a line: a streaming scan of the lines, in which the broken ones are known by an expression."""

from __future__ import annotations

import abc
import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import cast

import polars as pl
from pydantic import Field, field_validator

from lakehouse.errors import NotFoundError
from lakehouse.formats.format import Careful, Count, Format, Located, Prepared, Raw
from lakehouse.formats.placing import INDEX, numbered
from lakehouse.formats.unpacking import MEBIBYTE, blocks, decode, unpack

__all__ = ["LineFormat"]

_LONGEST = 16 * MEBIBYTE
"""A longer line is broken: memory stays bounded."""
_SHOWN = 64 * 1024
"""Bytes of such a line that are shown."""
_SPOILT = "\0"
"""What a line begins with, in a copy of the file, that is no text or too long."""
_LINE = pl.col("line")


@dataclass(frozen=True, slots=True)
class LineFile(Prepared):
    """A file of lines made ready; ``lines`` counts them all, ``rows`` those that are records."""

    lines: int = 0


class LineFormat(Format):
    """The base of such formats. The number of a row is the number of its line."""

    encoding: str = "utf-8"
    skip: int = Field(0, ge=0, description="lines before the first record")
    comment: str | None = Field(None, min_length=1, description="what a line begins with that is no record")

    @field_validator("encoding")
    @classmethod
    def _is_a_text_encoding(cls, value: str) -> str:
        try:
            b"\xff".decode(value, "backslashreplace")  # what is no text must be shown
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"'{value}' is no text encoding Python knows; try utf-8, latin-1 or utf-16") from error
        return value

    @property
    def passed(self) -> int:
        """Lines before the first record."""
        return self.skip

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The columns."""

    @abc.abstractmethod
    def values(self, line: pl.Expr) -> list[pl.Expr]:
        """One expression a column, in the order of `names`, of a line that is whole."""

    @abc.abstractmethod
    def damage(self, line: pl.Expr) -> list[tuple[pl.Expr, str]]:
        """Conditions under which a line is broken, and what to say then (``row: …``)."""

    def is_record(self, line: pl.Expr) -> pl.Expr:
        """Whether a line is a record at all: empty ones are not."""
        return line.str.strip_chars() != ""

    def prepare(self, raw: Raw, work: Path) -> LineFile:
        """Count the lines; copy a file with lines that are no text, or too long, in which those are marked."""
        path = decode(raw, unpack(raw, self, work), self.encoding, work)
        if _spoilt(path):
            path = _marked(path, work / f"{raw.sha256}.marked")
        if not path.stat().st_size:
            return LineFile(raw, path, (), 0)
        lines = pl.scan_lines(path, row_index_name=INDEX, glob=False)
        records = (pl.col(INDEX) >= self.passed) & self._records()
        counts = lines.select(pl.len(), records.sum().alias("rows")).collect(engine="streaming")
        total, rows = counts.row(0)
        return LineFile(raw, path, self.names, rows, lines=total)

    def _records(self) -> pl.Expr:
        found = self.is_record(_LINE)
        return found if self.comment is None else found & ~_LINE.str.starts_with(self.comment)

    def _broken(self) -> list[tuple[pl.Expr, str]]:
        spoilt = (_LINE.str.starts_with(_SPOILT), f"row: not {self.encoding}, or longer than {_LONGEST >> 20} MiB")
        return [spoilt, *self.damage(_LINE)]

    def _rows(self, files: Sequence[LineFile]) -> pl.LazyFrame:
        """The records of files: ``line``, ``_raw``, ``_row``."""
        lines = pl.scan_lines([file.path for file in files], row_index_name=INDEX, glob=False)
        lines = numbered(lines, [file.raw for file in files], [file.lines for file in files])
        if any(_marked_utf8(file.path) for file in files):
            first = pl.col("_row") == 1
            lines = lines.with_columns(line=pl.when(first).then(_LINE.str.strip_prefix("\ufeff")).otherwise(_LINE))
        return lines.filter((pl.col("_row") > self.passed) & self._records())

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`; a suspect line is a broken one."""
        suspect = reduce(or_, (condition for condition, _ in self._broken()))
        rows = self._rows([cast("LineFile", file) for file in files]).with_columns(_suspect=suspect)
        values = (value.alias(name) for name, value in zip(self.names, self.values(_LINE), strict=True))
        return rows.select(*values, "_raw", "_row", "_suspect")

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those with broken lines."""
        return [file for file in files if counts.get(file.raw.sha256, Count(0, 0)).suspects]

    def careful(self, file: Prepared, work: Path) -> Careful:  # noqa: ARG002  # the base's parameter
        """The same scan, once for the whole lines and once for the broken ones."""
        whole = self.scan([file]).filter(~pl.col("_suspect")).drop("_suspect")
        reason = pl.coalesce(pl.when(condition).then(pl.lit(said)) for condition, said in self._broken())
        rows = self._rows([cast("LineFile", file)]).with_columns(_reason=reason)
        shown = _LINE.str.strip_prefix(_SPOILT)
        return Careful(
            whole, rows.filter(pl.col("_reason").is_not_null()).select("_raw", "_row", _text=shown, _reason="_reason")
        )

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the line."""
        file = self.prepare(raw, work)
        if file.columns and row > 0:
            found = self._rows([file]).filter(pl.col("_row") == row).select("line").collect(engine="streaming")
            if not found.is_empty():
                return Located(row, found.item().removeprefix(_SPOILT))
        raise NotFoundError(f"{raw.name}: line {row} is no record; it has {file.rows} records")


def _marked_utf8(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(3) == codecs.BOM_UTF8


def _spoilt(path: Path) -> bool:
    """Whether any line is no text, or too long, or seems marked already."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    length = 0
    with path.open("rb") as stream:
        for block in blocks(stream):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return True
            end = block.find(b"\n")
            length = length + len(block) if end < 0 else len(block) - block.rfind(b"\n")
            if length > _LONGEST or b"\0" in block:
                return True
    return bool(decoder.getstate()[0])


def _marked(path: Path, copy: Path) -> Path:
    with path.open("rb") as source, copy.open("wb") as target:
        while line := source.readline(_LONGEST):
            size = len(line)
            while not line.endswith(b"\n") and (more := source.readline(_LONGEST)):
                size += len(more)
                line = line[:_SHOWN] + (b"\n" if more.endswith(b"\n") else b"")
            if size > _LONGEST:
                shown = line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
                target.write(f"{_SPOILT}{shown} … ({size:,} bytes)\n".encode())
                continue
            try:
                str(line, "utf-8")
            except UnicodeDecodeError:
                line = _SPOILT.encode() + line.decode("utf-8", "backslashreplace").encode()
            target.write(line)
    return copy
