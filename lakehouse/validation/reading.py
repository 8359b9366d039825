"""What texts can be read as: the narrowest type that every one of them becomes by the parser curation uses.

Nothing of what was written may be lost: ``007`` and phone numbers stay text, and so does a day that could be
meant in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from lakehouse.schema import Feature
from lakehouse.validation.parsing import parse

__all__ = ["every", "fits", "read_as"]

_INT = r"^-?(0|[1-9][0-9]*)$"
_NUMBER = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_PRINTED = r"^-?[0-9]{1,4}\.[0-9]{12,16}$"
_ZEROS = r"^[-+]?0[0-9]+$"
_COMMA = r"^-?[0-9.]*,[0-9]+$"
_WORDS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))

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


def read_as(column: str, values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    """The type that texts have.

    Args:
        column: the column's name, which may tell a day from a number.
        values: distinct texts, none missing.

    Returns:
        The feature's options as YAML has them, None where they are only text; and a remark for people, or "".
    """
    if (options := _truth(values)) is not None:
        return options, ""
    if every(values, _INT) or every(values, _NUMBER):
        return _number(column, values)
    if _any(values, _ZEROS) and every(values, r"^[-+]?[0-9]+$"):
        return None, "leading zeros or signs: kept as text"
    if every(values, _COMMA + "|" + _INT):
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
    if fits(values, options):
        return options
    true = pair[0] if pair else "true"
    options["true_values"] = sorted(word for word in words if word.lower() == true)
    options["false_values"] = sorted(words - set(options["true_values"]))
    return options if fits(values, options) else None


def _number(column: str, values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    whole = every(values, _INT)
    if whole and _DAY_NAME.search(column) and every(values, r"^(19|20)[0-9]{6}$"):
        day = {"type": "date", "format": "%Y%m%d"}
        if fits(values, day):
            return day, ""
    if whole and fits(values, {"type": "int"}):
        return {"type": "int"}, ""
    if whole:
        return None, "longer than 64 bits: kept as text"
    if every(values, r"^[0-9]+([eE][0-9]+)?$"):
        return None, "numbers with exponents or codes: kept as text"
    number = {"type": "float"}
    if not fits(values, number):
        return None, "too large for a float: kept as text"
    digits = values.str.replace(r"[eE].*$", "").str.replace_all(r"[^0-9]", "").str.strip_chars_start("0")
    long = values.filter(digits.str.len_chars() > 15)
    if not len(long) or _from_floats(long):
        return number, ""
    scale = int(values.str.extract(r"\.([0-9]*)$").fill_null("").str.len_chars().max() or 0)  # type: ignore[arg-type]
    decimal = {"type": "decimal", "scale": scale}
    if scale <= 38 and not _any(values, "[eE]") and fits(values, decimal):
        return decimal, "more digits than a float keeps"
    return None, "more digits than a float keeps: kept as text"


def _from_floats(values: pl.Series) -> bool:
    """Whether a program wrote these long numbers from floats: the shortest way, or small ones to the 17th digit."""
    plain = values.str.strip_chars_end("0")
    again = values.cast(pl.Float64).cast(pl.String).str.strip_chars_end("0")
    return bool(((plain == again) | values.str.contains(_PRINTED)).all())


def _moment(values: pl.Series) -> tuple[dict[str, Any] | None, str]:
    """Dates and datetimes, each written one way throughout."""
    if every(values, _AWARE):
        aware = {"type": "datetime"}
        return (aware, "") if fits(values, aware) else (None, "datetimes that cannot be read exactly: kept as text")
    for look, meanings in _DATES:
        if every(values, f"^{look}$"):
            return _one_of(values, [_date(meaning) for meaning in meanings], meanings)
        if every(values, f"^{look}[T ]{_CLOCK}(:[0-9]{{2}}(\\.[0-9]+)?)?$"):
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
    fitting = [one for one in options if fits(values, one)]
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


def fits(values: pl.Series, options: dict[str, Any]) -> bool:
    """Whether every value becomes one of the feature's, as in curation."""
    feature = Feature.model_validate(options)
    frame = pl.DataFrame({"value": values})
    try:
        parsed = frame.select(parse(pl.col("value"), values.dtype, feature))
    except pl.exceptions.PolarsError:
        return False
    return parsed.to_series().null_count() == values.null_count()


def every(values: pl.Series, pattern: str) -> bool:
    """Whether all texts match a regular expression."""
    return bool(values.str.contains(pattern).all())


def _any(values: pl.Series, pattern: str) -> bool:
    return bool(values.str.contains(pattern).any())
