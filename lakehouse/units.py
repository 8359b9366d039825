"""Durations, sizes and time zones as people write them in YAML: ``30s``, ``1h30m``, ``512MB``, ``Europe/Oslo``."""

from __future__ import annotations

import re
import zoneinfo
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from lakehouse.errors import nearest

__all__ = ["Duration", "Size", "Timezone", "duration", "size", "written"]

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|y))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|y)")
_BYTES = {unit + end: base**power for power, unit in enumerate("KMGT", 1) for end, base in (("B", 1000), ("iB", 1024))}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B|B)")


def duration(value: Any) -> timedelta:
    """Read a duration.

    Raises:
        ValueError: it is not written as a number and a unit.
    """
    if isinstance(value, timedelta):
        return value
    if value == 0 and not isinstance(value, bool):
        return timedelta()
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 40 or not _DURATION.fullmatch(text):
        raise ValueError("a duration is a number and a unit (ms, s, m, h, d, y), for example 30s, 15m or 1h30m")
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise ValueError("the duration is too long") from None


def written(value: timedelta) -> str:
    """A duration as `duration` reads it: ``1h30m``. A year is 365 days."""
    left = value // timedelta(microseconds=1)
    years, rest = divmod(value, timedelta(days=365))
    if years and not rest:
        return f"{years}y"
    parts = []
    for unit, each in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)):
        number, left = divmod(left, each)
        if number:
            parts.append(f"{number}{unit}")
    if left:
        parts.append(f"{left / 1000:g}ms")
    return "".join(parts) or "0s"


def size(value: Any) -> int:
    """Read a number of bytes: KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024.

    Raises:
        ValueError: it is not a whole number of bytes or a number and a unit.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = value.strip() if isinstance(value, str) else ""
    if len(text) <= 40 and text.isascii() and text.isdigit():
        return int(text)
    match = _SIZE.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError("a size is a number of bytes or a number and a unit (KB, MB, GB, TB, KiB, MiB, GiB, TiB)")
    return int(float(match[1]) * _BYTES.get(match[2], 1))


def _timezone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(value, zoneinfo.available_timezones())
        raise ValueError(f"not a time zone.{near if near.startswith(' Did') else ''}") from None
    return value


Duration = Annotated[timedelta, BeforeValidator(duration), PlainSerializer(written, when_used="json")]
Size = Annotated[int, BeforeValidator(size)]
Timezone = Annotated[str, AfterValidator(_timezone)]
