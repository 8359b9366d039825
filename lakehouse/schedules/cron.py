"""Five-field cron expressions, checked and spelled out as numbers.

Weekdays are cron's: 0 and 7 are Sunday, 1 is Monday. `Cron` holds them as 0 (Sunday) to 6 (Saturday),
so no reader needs to know who counts from where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakehouse.errors import nearest

__all__ = ["Cron", "parse", "weekdays"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cron:
    """When a job fires, every field as sorted numbers.

    Attributes:
        minutes: 0 to 59.
        hours: 0 to 23.
        days: of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 0 (Sunday) to 6 (Saturday).
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]


def parse(text: str) -> Cron:
    """Read ``minute hour day month weekday``.

    Raises:
        ValueError: a field is not cron, or the moments it names never come.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            f"a schedule has five fields (minute hour day month weekday), this has {len(fields)}; "
            "for example '0 2 * * *' is 02:00 every day"
        )
    minutes = _field("minute", fields[0], 0, 59)
    hours = _field("hour", fields[1], 0, 23)
    days = _field("day", fields[2], 1, 31)
    months = _field("month", fields[3], 1, 12, {name: i for i, name in enumerate(_MONTHS, 1)})
    found = weekdays(fields[4])
    if not fields[2].startswith("*") and not fields[4].startswith("*"):
        raise ValueError("day and weekday are both set: cron fires on either, most people mean both; set one of them")
    if min(days) > max(_LONGEST[month - 1] for month in months):
        raise ValueError(f"day {min(days)} never comes in the months named")
    return Cron(minutes, hours, days, months, found)


def weekdays(text: str) -> tuple[int, ...]:
    """Read the days of a week, ``mon-fri`` or ``0,6``: 0 (Sunday) to 6 (Saturday).

    Raises:
        ValueError: it is no cron field of weekdays.
    """
    found = _field("weekday", text, 0, 7, {name: i for i, name in enumerate(_DAYS)})
    return tuple(sorted({day % 7 for day in found}))


def _field(name: str, text: str, low: int, high: int, words: dict[str, int] | None = None) -> tuple[int, ...]:
    found: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{name}: '{item}' is not one of *, a number, a range a-b, or one of these with a step /n")
        first, last, step = match[1], match[2], int(match[3] or 1)
        if step < 1:
            raise ValueError(f"{name}: '{item}' has a step of 0")
        start = low if first is None else _number(name, first, low, high, words or {})
        stop = _number(name, last, low, high, words or {}) if last is not None else start
        if first is None or (last is None and match[3] is not None):
            stop = high
        if stop < start and name == "weekday" and stop == 0:
            stop = 7
        if stop < start:
            raise ValueError(f"{name}: the range '{item}' runs backwards")
        found.update(range(start, stop + 1, step))
    return tuple(sorted(found))


def _number(name: str, text: str, low: int, high: int, words: dict[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not text.isdigit():
        kind = "a number or a name" if words else "a number"
        raise ValueError(f"{name}: '{text[:20]}' is not {kind}.{nearest(text.lower(), words)}")
    if len(text) > 4 or not low <= int(text) <= high:
        raise ValueError(f"{name}: {text[:10]} is not between {low} and {high}")
    return int(text)
