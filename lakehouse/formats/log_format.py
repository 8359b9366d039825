"""Log lines: one regular expression tells what stands where."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl
from pydantic import Field, field_validator

from lakehouse.formats.format import name_problem
from lakehouse.formats.line_records import LineFormat

__all__ = ["LogFormat"]

_TEXT = r'(?:[^"\\]|\\.)*'
_COMMON = (
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>.+?) \[(?P<time>[^\]]+)\] "
    rf'"(?P<request>{_TEXT})" (?P<status>[0-9]{{3}}|-) (?P<bytes>[0-9]+|-)'
)
_PATTERNS = {
    "common": _COMMON,
    "combined": rf'{_COMMON} "(?P<referer>{_TEXT})" "(?P<agent>{_TEXT})"',
}
_GROUP = re.compile(r"\\.|\[(?:\\.|[^\]\\])+\]|\(\?P?<([^>=!][^>]*)>", re.DOTALL)


class LogFormat(LineFormat):
    """Lines that a pattern matches; its named groups are the columns."""

    type: Literal["log"] = "log"
    pattern: str = Field(description="common, combined or a regular expression with named groups, for a whole line")

    @field_validator("pattern")
    @classmethod
    def _has_named_groups(cls, value: str) -> str:
        pattern = _PATTERNS.get(value, value)
        try:
            pl.select(pl.lit("").str.contains(_whole(pattern), strict=True))
            names = _names(pattern)
        except pl.exceptions.PolarsError as error:
            reason = " ".join(str(error).split())[-200:]
            hint = " (the expressions are Rust's, without look-around and back-references)"
            raise ValueError(f"no regular expression{hint}: {reason}") from error
        if not names:
            raise ValueError("no named group, as (?P<status>[0-9]+); or 'common' or 'combined'")
        if problem := name_problem(names):
            raise ValueError(problem)
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """The named groups."""
        return _names(_PATTERNS.get(self.pattern, self.pattern))

    def values(self, line: pl.Expr) -> list[pl.Expr]:
        """What the groups matched; a group that took no part is missing."""
        groups = line.str.extract_groups(_whole(_PATTERNS.get(self.pattern, self.pattern)))
        return [groups.struct.field(name) for name in self.names]

    def damage(self, line: pl.Expr) -> list[tuple[pl.Expr, str]]:
        """A line that does not match."""
        matches = line.str.contains(_whole(_PATTERNS.get(self.pattern, self.pattern)))
        named = f"'{self.pattern}'" if self.pattern in _PATTERNS else "the pattern"
        return [(~matches, f"row: does not match {named}")]


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _names(pattern: str) -> tuple[str, ...]:
    groups = pl.select(pl.lit("").str.extract_groups(_whole(pattern))).to_series().dtype
    found = groups.to_schema() if isinstance(groups, pl.Struct) else {}
    named = {match[1] for match in _GROUP.finditer(pattern) if match[1]}
    return tuple(name for name in found if name in named)
