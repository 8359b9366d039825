"""From a column's values to the feature a careful person would write for it.

A type is given only when every value seen becomes it by the very parser curation uses, and when
nothing of what was written is lost: ``007`` and phone numbers stay strings. No domain is written; one
that refuses tomorrow's good row is worse than none, so small closed sets become a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from lakehouse.scaffold.flow import flow
from lakehouse.schema import Feature
from lakehouse.validation.parsing import parse

__all__ = ["Guess", "guess", "settle"]

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "NaN", "nan", r"\N", "-")
"""Texts that mean "missing" where they stand among numbers, dates or truth values."""

_INT = r"^-?(0|[1-9][0-9]*)$"
_NUMBER = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_PRINTED = r"^-?[0-9]{1,4}\.[0-9]{12,16}$"
_ZEROS = r"^[-+]?0[0-9]+$"
_COMMA = r"^-?[0-9.]*,[0-9]+$"
_CODE = r"^[\w.\-]{1,20}$"
_WORDS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
_FEW, _REPEATED = 12, 20

_CLOCK = r"[0-9]{1,2}:[0-9]{2}"
_AWARE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:?[0-9]{2})$"
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", ("%Y-%m-%d",)),
    (r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}", ("%Y/%m/%d",)),
    (r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}", ("%d.%m.%Y",)),
    (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"[0-9]{1,2}-[A-Za-z]{3}-[0-9]{4}", ("%d-%b-%Y",)),
    (r"[0-9]{1,2} [A-Za-z]{3} [0-9]{4}", ("%d %b %Y",)),
)
"""How a day looks, and how it may be meant."""
_DAY_NAME = re.compile(r"date|day|dato|datum|_dt$|^dt", re.IGNORECASE)


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
    options, comment = _read(column, rest)
    if options is not None:
        return Guess(column, _options(options, optional=lacking or bool(nulls)), comment, nulls, unique=unique)
    if not comment and len(distinct) <= _FEW and len(there) >= _REPEATED * len(distinct) and _all(rest, _CODE):
        comment = f"perhaps domain: {flow(sorted(rest))}"
    options = _options({"type": "string"}, optional=lacking)
    return Guess(column, options, comment, texts=nulls, short=_all(rest, r"^[A-Z]{1,3}$"), unique=unique)


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


def _read(column: str, values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    """The type distinct texts have, if any, and a remark."""
    if (options := _truth(values)) is not None:
        return options, ""
    if _all(values, _INT) or _all(values, _NUMBER):
        return _number(column, values)
    if _any(values, _ZEROS) and _all(values, r"^[-+]?[0-9]+$"):
        return None, "leading zeros or signs: kept as text"
    if _all(values, _COMMA + "|" + _INT):
        return None, "decimal commas: kept as text"
    moment, remark = _moment(values)
    if moment is not None or remark:
        return moment, remark
    return None, _nearly(values)


def _truth(values: pl.Series) -> dict[str, Any] | None:
    words = set(values.head(7))
    pair = next((pair for pair in _WORDS if {word.lower() for word in words} == set(pair)), None)
    if len(values) > 6 or (pair is None and not {word.lower() for word in words} <= {"true", "false"}):
        return None
    options: dict[str, Any] = {"type": "bool"}
    if _fits(values, options):
        return options
    true = pair[0] if pair else "true"
    options["true_values"] = sorted(word for word in words if word.lower() == true)
    options["false_values"] = sorted(words - set(options["true_values"]))
    return options if _fits(values, options) else None


def _number(column: str, values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    whole = _all(values, _INT)
    if whole and _DAY_NAME.search(column) and _all(values, r"^(19|20)[0-9]{6}$"):
        day = {"type": "date", "format": "%Y%m%d"}
        if _fits(values, day):
            return day, ""
    if whole and _fits(values, {"type": "int"}):
        return {"type": "int"}, ""
    if whole:
        return None, "longer than 64 bits: kept as text"
    if _all(values, r"^[0-9]+([eE][0-9]+)?$"):
        return None, "numbers with exponents or codes: kept as text"
    number = {"type": "float"}
    if not _fits(values, number):
        return None, "too large for a float: kept as text"
    digits = values.str.replace(r"[eE].*$", "").str.replace_all(r"[^0-9]", "").str.strip_chars_start("0")
    long = values.filter(digits.str.len_chars() > 15)
    if not len(long) or _from_floats(long):
        return number, ""
    scale = int(values.str.extract(r"\.([0-9]*)$").fill_null("").str.len_chars().max() or 0)  # type: ignore[arg-type]
    decimal = {"type": "decimal", "scale": scale}
    if scale <= 38 and not _any(values, "[eE]") and _fits(values, decimal):
        return decimal, "more digits than a float keeps"
    return None, "more digits than a float keeps: kept as text"


def _from_floats(values: pl.Series) -> bool:
    """Whether a program wrote these long numbers from floats: the shortest way, or small ones to the 17th digit."""
    plain = values.str.strip_chars_end("0")
    again = values.cast(pl.Float64).cast(pl.String).str.strip_chars_end("0")
    return bool(((plain == again) | values.str.contains(_PRINTED)).all())


def _moment(values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    """Dates and datetimes, each written one way throughout."""
    if _all(values, _AWARE):
        aware = {"type": "datetime"}
        return (aware, "") if _fits(values, aware) else (None, "datetimes that cannot be read exactly: kept as text")
    for look, meanings in _DATES:
        if _all(values, f"^{look}$"):
            return _one_of(values, [_date(meaning) for meaning in meanings], meanings)
        if _all(values, f"^{look}[T ]{_CLOCK}(:[0-9]{{2}}(\\.[0-9]+)?)?$"):
            between = "T" if _any(values, "T") else " "
            clocks = ("%H:%M", "%H:%M:%S", "%H:%M:%S%.f")
            formats = [f"{meaning}{between}{clock}" for meaning in meanings for clock in clocks]
            options = [{"type": "datetime", "format": f, "timezone": "UTC"} for f in formats]
            if meanings == ("%Y-%m-%d",):
                options.insert(0, {"type": "datetime", "timezone": "UTC"})
            found, remark = _one_of(values, options, meanings)
            return found, remark or "no zone is written: correct 'timezone' if it is not UTC"
    return None, ""


def _date(meaning: str) -> dict[str, Any]:
    return {"type": "date"} if meaning == "%Y-%m-%d" else {"type": "date", "format": meaning}


def _one_of(
    values: pl.Series, options: Sequence[dict[str, Any]], meanings: Sequence[str]
) -> tuple[dict[str, Any] | None, str]:
    """The only meaning under which every value is a moment; none where two are."""
    fitting = [one for one in options if _fits(values, one)]
    meant = {meaning for meaning in meanings for one in fitting if str(one.get("format", "")).startswith(meaning)}
    if len(meant) > 1:
        first, second = (meaning for meaning in meanings if meaning in meant)
        return None, f"kept as text: could be {first} or {second}; say type: date, format: ... to decide"
    if not fitting:
        return None, "dates that cannot all be read one way: kept as text"
    return fitting[0], ""


def _nearly(values: pl.Series) -> str:
    """A remark on a column that is a number but for a few values."""
    odd = values.filter(~values.str.contains(_NUMBER))
    if len(values) < 20 or len(odd) > len(values) // 20:
        return ""
    return f"a number but for {', '.join(repr(value[:20]) for value in odd.sort().head(3))}"


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
        if all(_fits(part, options) for part in parts):
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
        yield {"type": "binary"}, ""
    yield {"type": "string"}, "" if dtype == pl.String else f"stored as {dtype}"


def _fits(values: pl.Series, options: dict[str, Any]) -> bool:
    """Whether every value becomes one of the feature's, as in curation."""
    feature = Feature.model_validate(options)
    frame = pl.DataFrame({"value": values})
    try:
        parsed = frame.select(parse(pl.col("value"), values.dtype, feature))
    except pl.exceptions.PolarsError:
        return False
    return parsed.to_series().null_count() == values.null_count()


def _all(values: pl.Series, pattern: str) -> bool:
    return bool(values.str.contains(pattern).all())


def _any(values: pl.Series, pattern: str) -> bool:
    return bool(values.str.contains(pattern).any())
