"""How figures and values read in a message, and how they stand in its figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["counted", "few", "figure", "number", "percent", "quoted"]

_CUT = 40  # characters of a value in a message
_FEW = 5  # values in a message


def counted(n: int, noun: str) -> str:
    """``1 row``, ``6,109 rows``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """``0.05 %``; neither 0 nor 100 unless it is that exactly."""
    if not whole or part == whole or not part:
        return f"{100 if part and part == whole else 0} %"
    share = 100 * part / whole
    if share > 99.9:
        return "more than 99.9 %"
    return "less than 0.001 %" if share < 0.001 else f"{share:.3g} %"


def number(value: float) -> str:
    """A distance, a share or a bound in at most six significant digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def quoted(value: Any) -> str:
    """A value as it reads in a message: text in quotes, cut to 40 characters, control characters escaped."""
    if not isinstance(value, (str, bytes)):
        return str(value)
    cut = repr(value[:_CUT])
    return f"{cut}…" if len(value) > _CUT else cut


def few(values: Sequence[tuple[Any, int]], more: int = 0) -> str:
    """The first of some values with how often each is there: ``'ZZ' (2), 'QQ' (1) and 3 more``.

    Args:
        values: most frequent first.
        more: how many there are beside those given.
    """
    shown = ", ".join(f"{quoted(value)} ({count:,})" for value, count in values[:_FEW])
    left = max(len(values) - _FEW, 0) + more
    return f"{shown} and {left:,} more" if left else shown


def figure(value: Any) -> Any:
    """A value as JSON can hold it: what is no finite number, text or truth becomes text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return [figure(one) for one in value]
    return repr(value)[2:-1] if isinstance(value, (bytes, bytearray)) else str(value)
