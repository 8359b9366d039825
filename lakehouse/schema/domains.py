"""Which values a feature may take."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field, model_validator

from lakehouse.schema.values import Values

__all__ = ["Domain", "Length", "listed"]


class Length(Values):
    """Bounds on a string's length in characters, or that of bytes in bytes; both ends included."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)


class Domain(Values):
    """The values a feature may take. A YAML list is short for ``{values: [...]}``.

    Attributes:
        values: the allowed values, written as they stand in the file.
        min: lowest allowed value (int, float, decimal, date, datetime), included.
        max: highest allowed value, included.
        regex: the whole of a string must match (Rust regex syntax).
        length: bounds on a string's length.
        finite: of a float. True: NaN and infinities are outside; False: both are taken; None: NaN is
            taken, an infinity is no float.
        min_mass: the share of the values that must be inside, above 0 to 1. At 1 each row with a value outside
            breaks the domain. Below, it is broken by a batch whose share outside is more than ``1 - min_mass``,
            and by no single row.
    """

    values: tuple[Any, ...] | None = None
    min: Any = None
    max: Any = None
    regex: str | None = None
    length: Length | None = None
    finite: bool | None = Field(None, strict=True)
    min_mass: float = Field(1.0, gt=0, le=1)

    @property
    def by_row(self) -> bool:
        """Whether a single row can break it."""
        return self.min_mass == 1

    @model_validator(mode="after")
    def _says_something(self) -> Domain:
        if self.values is not None and not self.values:
            raise ValueError("values: an empty list allows nothing; leave the domain out to allow everything")
        if self.regex is not None:
            try:
                pl.select(pl.lit("").str.contains(self.regex))
            except pl.exceptions.PolarsError as error:
                said = str(error).splitlines()
                why = next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), said[0])
                raise ValueError(f"regex: {why}") from None
        if not self.by_row and self.model_dump(exclude_none=True).keys() <= {"min_mass"}:
            raise ValueError("min_mass is a share of the values within a domain; say which those are")
        return self


def listed(value: Any) -> Any:
    """A domain as a mapping, where YAML has the short list."""
    return {"values": value} if isinstance(value, (list, tuple)) else value
