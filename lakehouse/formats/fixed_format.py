"""Fixed-width text: each column stands at its own characters of the line."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import polars as pl
from pydantic import BeforeValidator, Field, field_validator

from lakehouse.formats.format import name_problem
from lakehouse.formats.line_records import LineFormat

__all__ = ["FixedFormat"]

_PLACE = re.compile(r"([0-9]+)-([0-9]+)")


def _places(value: object) -> object:
    """Widths and ``first-last`` texts as pairs of first and last character, counted from 1."""
    if not isinstance(value, dict):
        return value
    found: dict[object, object] = {}
    end = 0
    for name, place in value.items():
        match = _PLACE.fullmatch(place.replace(" ", "")) if isinstance(place, str) else None
        if match:
            first, last = int(match[1]), int(match[2])
        elif isinstance(place, int) and not isinstance(place, bool):
            first, last = end + 1, end + place
        elif isinstance(place, list | tuple) and len(place) == 2 and all(isinstance(one, int) for one in place):
            first, last = place  # as it is written out
        else:
            raise ValueError(f"'{name}': {place!r} is neither a width nor its first and last character, as 11-20")
        if not 1 <= first <= last:
            raise ValueError(f"'{name}': {place!r} is no place in a line; the first character is 1")
        found[name] = (first, last)
        end = last
    return found


class FixedFormat(LineFormat):
    """Lines of characters (not bytes) in fixed places; empty lines are no records."""

    type: Literal["fixed"] = "fixed"
    columns: Annotated[dict[str, tuple[int, int]], BeforeValidator(_places)] = Field(
        min_length=1, description="each column's width, or its first and last character as 11-20, counted from 1"
    )
    strip: Literal["both", "left", "right", "none"] = Field("both", description="where blanks are no part of a value")
    trimmed: bool = Field(False, description="lines may lack the blanks at their end")  # noqa: FBT003  # a default
    header: bool = Field(False, description="the first line holds names")  # noqa: FBT003  # a default

    @field_validator("columns")
    @classmethod
    def _are_columns(cls, value: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if problem := name_problem(tuple(value)):
            raise ValueError(problem)
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """As they are configured."""
        return tuple(self.columns)

    @property
    def passed(self) -> int:
        """The header is one more line to pass over."""
        return self.skip + self.header

    def values(self, line: pl.Expr) -> list[pl.Expr]:
        """Each column's characters; nothing but blanks is missing."""
        found: list[pl.Expr] = []
        for first, last in self.columns.values():
            text = line.str.slice(first - 1, last - first + 1)
            if self.strip in ("both", "left"):
                text = text.str.strip_chars_start()
            if self.strip in ("both", "right"):
                text = text.str.strip_chars_end()
            found.append(pl.when(text.str.strip_chars() != "").then(text))
        return found

    def damage(self, line: pl.Expr) -> list[tuple[pl.Expr, str]]:
        """A line that is too short, or has more than blanks beyond the last column."""
        width = max(last for _, last in self.columns.values())
        long = line.str.slice(width).str.strip_chars() != ""
        short = line.str.len_chars() < width
        said = [(long, f"row: longer than {width} characters")]
        return said if self.trimmed else [*said, (short, f"row: shorter than {width} characters")]
