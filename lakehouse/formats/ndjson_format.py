"""NDJSON: one JSON object a line; each key a column of text."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import polars as pl
from pydantic import Field

from lakehouse.errors import NotFoundError
from lakehouse.formats.format import Careful, Count, Format, Located, Prepared, Raw, left_out
from lakehouse.formats.json_lines import JsonFile, careful, flattened, lines_of, prepare, scan
from lakehouse.formats.unpacking import decode, unpack

__all__ = ["NdjsonFormat"]


class NdjsonFormat(Format):
    """JSON objects, one a line. All keys of all lines are columns; an absent one is null."""

    type: Literal["ndjson"] = "ndjson"

    flatten: int = Field(
        0, ge=0, le=20, description="levels of objects whose keys become columns, a.b", exclude_if=left_out(0)
    )
    separator: str = Field(".", min_length=1, description="between the keys of 'flatten'", exclude_if=left_out("."))

    def prepare(self, raw: Raw, work: Path) -> Prepared:
        """Find all keys of all lines."""
        return self._prepared(raw, self._lines(raw, work), work)

    def _prepared(self, raw: Raw, lines: Path, work: Path) -> Prepared:
        if self.flatten:
            lines = flattened(lines, work / f"{raw.sha256}.flat", self.flatten, self.separator)
        return prepare(raw, lines, work)

    def _lines(self, raw: Raw, work: Path) -> Path:
        return decode(raw, unpack(raw, self, work), "utf-8", work)

    def _together(self, file: Prepared) -> Hashable:
        return file.columns, cast("JsonFile", file).layouts

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`; fastest over the files of one of `groups`."""
        scans = [scan([cast("JsonFile", file) for file in group]) for group in self.groups(files)]
        return scans[0] if len(scans) == 1 else pl.concat(scans)

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those with lines of another layout than the file's usual one."""
        right = [counts.get(file.raw.sha256, Count(0, 0)).rows == file.rows for file in files]
        if not all(right):
            return files
        return [file for file in files if cast("JsonFile", file).unusual or counts[file.raw.sha256].suspects]

    def careful(self, file: Prepared, work: Path) -> Careful:
        """The lines of another layout are read by Python, one by one."""
        return careful(cast("JsonFile", file), work)

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the line."""
        seen = 0
        for line, text in lines_of(self._lines(raw, work)):
            seen += 1
            if seen == row:
                return Located(line, text)
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")
