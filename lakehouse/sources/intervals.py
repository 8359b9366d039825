"""Where a source is asked for a stretch of time: ``{start}`` and ``{end:%Y-%m-%d}`` in its texts.

Every other brace is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from lakehouse.records import Interval

__all__ = ["asked", "filled", "literals", "texts", "written"]

_FIELD = re.compile(r"\{(start|end)(?::([^{}]*))?\}")
_QUOTED = re.compile(r"'\{(start|end)(?::([^{}']*))?\}'|\{(start|end)(?::([^{}]*))?\}")
_CODE = re.compile(r"%(.?)")
_KNOWN = "YymdHMSfjGVuBbzs%"


def texts(value: Any) -> Iterator[str]:
    """All the texts in a value, secrets too."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)


def asked(text: str) -> bool:
    """Whether a text asks for a stretch of time.

    Raises:
        ValueError: with codes that are not known.
    """
    fields = _FIELD.findall(text)
    for end, codes in fields:
        unknown = [code for code in _CODE.findall(codes) if code not in _KNOWN or not code]
        if unknown:
            known = ", ".join(f"%{code}" for code in _KNOWN[:-1])
            raise ValueError(f"'%{unknown[0]}' is not known in {{{end}:…}}; known are {known}")
        if f"{{{end}:" in text and not codes and f"{{{end}:}}" in text:
            raise ValueError(f"{{{end}:}} needs codes, as in {{{end}:%Y-%m-%d}}; or write {{{end}}}")
    return bool(fields)


def filled(value: Any, interval: Interval, zone: ZoneInfo, quote: Callable[[str], str] = str) -> Any:
    """The same value with the moments in its texts.

    Args:
        value: texts in whatever lists and mappings.
        interval: the stretch of time.
        zone: that moments are written in.
        quote: makes a moment fit in between the rest of a text.
    """
    if isinstance(value, SecretStr):
        return SecretStr(filled(value.get_secret_value(), interval, zone, quote))
    if isinstance(value, str):
        return _FIELD.sub(lambda found: quote(written(_moment(interval, found[1], zone), found[2])), value)
    if isinstance(value, dict):
        return {key: filled(inner, interval, zone, quote) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled(inner, interval, zone, quote) for inner in value)
    return value


def literals(query: str, interval: Interval, zone: ZoneInfo, literal: Callable[[datetime], str]) -> str:
    """A statement with the moments in it: as literals of the database's, or with codes as texts in quotes.

    Args:
        query: the statement; its author's own quotes around a moment are taken for ours.
        interval: the stretch of time.
        zone: that moments are written in.
        literal: a moment as the database writes one.
    """

    def made(found: re.Match[str]) -> str:
        end, codes = found[1] or found[3], found[2] if found[1] else found[4]
        moment = _moment(interval, end, zone)
        return literal(moment) if codes is None else "'" + written(moment, codes).replace("'", "''") + "'"

    return _QUOTED.sub(made, query)


def written(moment: datetime, codes: str | None = None) -> str:
    """A moment by its codes; without any as ISO 8601, to the second where that is exact."""
    if codes is not None:
        return moment.strftime(codes)
    exact = "auto" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=exact).removesuffix("+00:00") + ("" if moment.utcoffset() else "Z")


def _moment(interval: Interval, end: str, zone: ZoneInfo) -> datetime:
    return (interval.start if end == "start" else interval.end).astimezone(zone)
