"""Text lines: each line is a row, the empty ones too."""

from __future__ import annotations

from typing import Literal

import polars as pl

from lakehouse.formats.line_records import LineFormat

__all__ = ["LinesFormat"]


class LinesFormat(LineFormat):
    """Any text: one column, ``line``, without its line end. An empty line is an empty text, not a missing one."""

    type: Literal["lines"] = "lines"

    @property
    def names(self) -> tuple[str, ...]:
        """The one column."""
        return ("line",)

    def values(self, line: pl.Expr) -> list[pl.Expr]:
        """The line."""
        return [line]

    def damage(self, line: pl.Expr) -> list[tuple[pl.Expr, str]]:  # noqa: ARG002  # any text is a line
        """None."""
        return []

    def is_record(self, line: pl.Expr) -> pl.Expr:
        """Each line is."""
        return line.is_not_null()
