"""From a column's values to the feature a careful person would write for it.

A type is given only when every value seen becomes it by the very parser curation uses, and when
nothing of what was written is lost: ``007`` and phone numbers stay strings. No domain is written; one
that refuses tomorrow's good row is worse than none, so small closed sets become a comment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from lakehouse.config.flow import flow
from lakehouse.validation.reading import every, fits, read_as

__all__ = ["Guess", "guess", "settle"]

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "NaN", "nan", r"\N", "-")
"""Texts that mean "missing" where they stand among numbers, dates or truth values."""

_CODE = r"^[\w.\-]{1,20}$"
_FEW, _REPEATED = 12, 20


@dataclass(frozen=True)
class Guess:
    """One column.

    Attributes:
        column: its name in the files.
        options: the feature, as it stands in YAML.
        comment: what a person should know or decide.
        nulls: the texts that mean "missing" in it.
        texts: the few or many texts of a string column that might mean "missing".
        short: all other values are codes of at most three characters.
        unique: no value is missing, none comes twice.
    """

    column: str
    options: dict[str, Any]
    comment: str = ""
    nulls: frozenset[str] = frozenset()
    texts: frozenset[str] = field(default=frozenset(), repr=False)
    short: bool = False
    unique: bool = False

    @property
    def type(self) -> str:
        """The feature's type."""
        return str(self.options["type"])

    @property
    def required(self) -> bool:
        """Whether no row lacked it."""
        return "presence" not in self.options


def guess(column: str, parts: Sequence[pl.Series], *, missing: bool) -> Guess | None:
    """What a column is.

    Args:
        column: its name.
        parts: its values, text or a file's own types.
        missing: some files lack it.

    Returns:
        None where no feature can hold it.
    """
    if not all(part.dtype in (pl.String, pl.Null) for part in parts):
        return _own_type(column, parts, missing=missing)
    values = pl.concat([part.cast(pl.String) for part in parts])
    there = values.drop_nulls()
    distinct = there.unique()
    unique = len(values) == len(distinct) > 1 and not missing
    lacking = missing or len(there) < len(values)
    nulls = frozenset(distinct.filter(distinct.is_in(list(NULLS))))
    rest = distinct.filter(~distinct.is_in(list(NULLS)))
    if not len(rest):
        blank = "always empty in these files" if len(there) < len(values) or nulls else "no values in these files"
        return Guess(column, _options({"type": "string"}, optional=True), blank, nulls)
    options, comment = read_as(column, rest)
    if options is not None:
        return Guess(column, _options(options, optional=lacking or bool(nulls)), comment, nulls, unique=unique)
    if not comment and len(distinct) <= _FEW and len(there) >= _REPEATED * len(distinct) and every(rest, _CODE):
        comment = f"perhaps domain: {flow(sorted(rest))}"
    options = _options({"type": "string"}, optional=lacking)
    return Guess(column, options, comment, texts=nulls, short=every(rest, r"^[A-Z]{1,3}$"), unique=unique)


def settle(guesses: Sequence[Guess]) -> tuple[list[Guess], tuple[str, ...]]:
    """Agree on a source's ``null_values``: what means "missing" among its numbers does so everywhere.

    Short codes are the exception: NA is Namibia there.
    """
    nulls = frozenset[str]().union(*(one.nulls for one in guesses))
    settled = []
    for one in guesses:
        hit = one.texts & nulls
        if hit and one.short and hit == {"NA"}:
            note = f"NA is taken as a code here; remove null_values if it means missing. {one.comment}".strip()
            one = replace(one, options={**one.options, "null_values": []}, comment=note)  # noqa: PLW2901
        elif hit:
            one = replace(one, options=_options(one.options, optional=True), unique=False)  # noqa: PLW2901
        settled.append(one)
    return settled, tuple(null for null in NULLS if null in nulls)


def _options(options: dict[str, Any], *, optional: bool) -> dict[str, Any]:
    """The options with the presence behind the type, where a person would write it."""
    rest = {key: value for key, value in options.items() if key not in ("type", "presence")}
    return {"type": options["type"], **({"presence": "optional"} if optional else {}), **rest}


def _own_type(column: str, parts: Sequence[pl.Series], *, missing: bool) -> Guess | None:
    """A typed file's column: its own type, or the narrowest that keeps every value."""
    unusable = (pl.List, pl.Array, pl.Struct, pl.Duration, pl.Object)
    if any(isinstance(part.dtype, unusable) for part in parts):
        return None
    lacking = missing or any(part.null_count() for part in parts)
    length = sum(map(len, parts))
    unique = len(parts) == 1 and parts[0].n_unique() == length > 1 and not lacking
    dtype = next(part.dtype for part in parts if part.dtype != pl.Null)
    for options, comment in _candidates(dtype):
        if all(fits(part, options) for part in parts):
            return Guess(column, _options(options, optional=lacking), comment, unique=unique)
    return None


def _candidates(dtype: pl.DataType) -> Iterator[tuple[dict[str, Any], str]]:
    if dtype.is_integer():
        yield {"type": "int"}, ""
    if dtype.is_float() or dtype.is_integer():
        yield {"type": "float"}, ""
    if isinstance(dtype, pl.Decimal):
        yield {"type": "decimal", "precision": dtype.precision, "scale": dtype.scale}, ""
    if dtype == pl.Boolean:
        yield {"type": "bool"}, ""
    if dtype == pl.Date:
        yield {"type": "date"}, ""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        yield {"type": "datetime"}, ""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        zone = "no zone is stored: correct 'timezone' if it is not UTC"
        yield {"type": "datetime", "timezone": "UTC"}, zone
    if dtype == pl.Binary:
        yield {"type": "bytes"}, ""
    yield {"type": "string"}, "" if dtype == pl.String else f"stored as {dtype}"
