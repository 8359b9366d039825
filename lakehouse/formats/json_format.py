"""JSON: one file that holds an array of objects, or one object; each key a column of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lakehouse.errors import NotFoundError
from lakehouse.formats.format import Located, Prepared, Raw
from lakehouse.formats.json_elements import Element, elements
from lakehouse.formats.ndjson_format import NdjsonFormat

__all__ = ["JsonFormat"]


class JsonFormat(NdjsonFormat):
    """An array of JSON objects. Its elements are copied a line each and then read like NDJSON."""

    type: Literal["json"] = "json"  # type: ignore[assignment]
    records: str | None = Field(None, description="where the array stands: keys joined by dots, as in result.items")

    @field_validator("records")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and "" in value.split("."):
            raise ValueError(f"'{value}' is not keys joined by single dots")
        return value

    def prepare(self, raw: Raw, work: Path) -> Prepared:
        """Copy each element to a line of its own; find all keys."""
        lines = work / f"{raw.sha256}.elements"
        with lines.open("wb") as copy:
            for element in self._elements(raw, work):
                one_line = element.text.replace("\n", " ").replace("\r", " ")
                copy.write(one_line.encode("utf-8", "surrogateescape") + b"\n")
        return self._prepared(raw, lines, work)

    def _elements(self, raw: Raw, work: Path) -> Iterator[Element]:
        path = tuple(self.records.split(".")) if self.records else ()
        with self._lines(raw, work).open("rb") as stream:
            yield from elements(stream, path, raw)

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the element."""
        seen = 0
        for element in self._elements(raw, work):
            seen += 1
            if seen == row:
                shown = element.text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                return Located(element.line, shown)
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")
