"""How figures and values of data are written for people: on the terminal and in pages, in the same words.

Four significant digits are what a reader compares; whole numbers keep theirs as long as they are short.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from lakehouse.records import printable

__all__ = ["NONE", "cut", "distance", "number", "share", "span", "value"]

NONE = "-"
"""Stands for a figure that there is none of."""

_SHORT = 10_000  # whole numbers up to here need no mark of thousands: 2013 is often a year
_LONG = 10_000_000  # and up to here they are written in full
_DIGITS = 4


def number(figure: float | Decimal | None) -> str:
    """A number in four significant digits; whole ones below ten million in full, with thousands marked from 10,000."""
    if figure is None:
        return NONE
    if isinstance(figure, int) or (math.isfinite(figure) and figure == int(figure)):
        whole = int(figure)
        if abs(whole) < _LONG:
            return f"{whole:,}" if abs(whole) >= _SHORT else str(whole)
    if not math.isfinite(figure):
        return "NaN" if math.isnan(figure) else "inf" if figure > 0 else "-inf"
    size = abs(float(figure))
    if 1e-4 <= size < _LONG:
        decimals = max(0, _DIGITS - 1 - math.floor(math.log10(size)))
        return f"{figure:,.{decimals}f}" if size >= _SHORT else f"{figure:.{decimals}f}"
    mantissa, _, exponent = f"{Decimal(figure):.{_DIGITS - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def share(part: float) -> str:
    """A part of one in per cent; what is not quite nothing, or not quite all, is not rounded to it."""
    if 0 < part < 0.001:
        return "<0.1%"
    if 0.999 < part < 1:
        return ">99.9%"
    return f"{part:.1%}"


def distance(apart: float | None) -> str:
    """A distance between 0 and 1 to four decimals; what is not quite nothing is not rounded to it."""
    if apart is None:
        return NONE
    return "0" if apart == 0 else "<0.0001" if apart < 1e-4 else f"{apart:.4f}"


def span(length: timedelta | None) -> str:
    """A length of time in its largest unit that fits: ``3 d``, ``1.5 h``, ``20 s``."""
    if length is None:
        return NONE
    seconds = length.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{number(round(seconds / size, 1))} {unit}"
    return f"{number(seconds)} s"


def value(item: Any, longest: int = 40) -> str:
    """A value on one line: control characters escaped, at most so many characters, bytes in hexadecimal digits."""
    if item is None:
        return NONE
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, (float, Decimal)):
        return number(item)
    if isinstance(item, datetime):
        return _moment(item)
    if isinstance(item, date):
        return item.isoformat()
    if isinstance(item, timedelta):
        return span(item)
    text = item.hex() if isinstance(item, bytes) else str(item)
    return cut(printable(text[: longest + 1]) if len(text) > longest else printable(text), longest)


def cut(text: str, longest: int) -> str:
    """A text of at most so many characters; what is left out is marked by an ellipsis."""
    return text if len(text) <= longest else text[: max(0, longest - 1)] + "…"


def _moment(when: datetime) -> str:
    """A moment to the precision it has: no seconds where there are none; ``Z`` for UTC."""
    precise = "seconds" if when.second or when.microsecond else "minutes"
    text = when.isoformat(" ", precise)
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
