"""Dates in addresses: ``https://data.example/{date:%Y/%m/%d}.csv`` is one address a day."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from lakehouse.units import Duration, duration

__all__ = ["Dates", "Period", "codes", "filled"]

_FIELD = re.compile(r"\{date:([^{}]*)\}")
_CODE = re.compile(r"%(.?)")
_KNOWN = "YymdHMSjGVu"
_STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


def codes(url: str) -> frozenset[str]:
    """The strptime codes in an address's dates; none where it has no date.

    Raises:
        ValueError: one is not known.
    """
    fields: list[str] = _FIELD.findall(url)
    found = frozenset(code for field in fields for code in _CODE.findall(field)) - {"%"}
    unknown = sorted(found - set(_KNOWN))
    if unknown:
        known = ", ".join(f"%{code}" for code in _KNOWN)
        raise ValueError(f"%{unknown[0]} is not known in a {{date:…}}; known are {known}")
    if fields and not found:
        raise ValueError("{date:…} needs at least one code, as in {date:%Y-%m-%d}")
    return found


def filled(url: str, moment: datetime) -> str:
    """The address of one date; an address without a date, and any other brace, is left as it is."""
    # By hand where strftime leaves a year before 1000 without its zeros.
    return _FIELD.sub(lambda match: moment.strftime(match[1].replace("%Y", f"{moment.year:04}")), url)


def _zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone; write for example Europe/Oslo or UTC") from None
    return value


def _until(value: Any) -> Any:
    text = value.isoformat() if isinstance(value, date) else value
    try:
        if not isinstance(text, str):
            raise ValueError  # noqa: TRY004, TRY301  # one message for all that it cannot be
        if text.startswith("-"):
            duration(text[1:])
        elif text != "now":
            date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be now, a date (2026-01-31), or how long ago (-2d)") from None
    return text


@dataclass(frozen=True, slots=True)
class Period:
    """What one date stands for.

    Attributes:
        begin: its first moment, in the zone of the dates.
        end: the first moment after it.
    """

    begin: datetime
    end: datetime


class Dates(BaseModel):
    """Which dates an address is asked for.

    Attributes:
        since: the first date.
        until: the last: ``now`` is the hour, day, week or month that is running, ``-2d`` the one two days ago, else a
            date; None the newest that is over. Only with ``now`` is one asked for that is not over.
        every: how far they are apart.
        revisit: how long after its end a date is asked for again though it was landed, as its file may still change.
        missing: what a date is whose address answers 404 or 410: awaited, or a failure.
        timezone: the IANA zone the dates are in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    since: date
    until: Annotated[str | None, BeforeValidator(lambda value: value if value is None else _until(value))] = None
    every: Literal["hour", "day", "week", "month"] = "day"
    revisit: Duration = timedelta()
    missing: Literal["wait", "fail"] = "wait"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"

    @model_validator(mode="after")
    def _steps_are_possible(self) -> Dates:
        if self.every == "month" and self.since.day > 28:
            raise ValueError("since: must not be later than the 28th where every is month")
        if self.since.year < 1900:
            raise ValueError("since: must not be before 1900")
        return self

    def tells_apart(self, found: frozenset[str]) -> bool:
        """Whether addresses with these codes differ from date to date."""
        year = bool({"Y", "y"} & found)
        day = (year and ("j" in found or {"m", "d"} <= found)) or {"G", "V", "u"} <= found
        if self.every == "hour":
            return day and "H" in found
        if self.every == "week":
            return day or {"G", "V"} <= found
        if self.every == "month":
            return day or (year and "m" in found)
        return day

    def periods(self, now: datetime) -> Iterator[Period]:
        """The dates from the first to the last as of now, oldest first."""
        zone = zoneinfo.ZoneInfo(self.timezone)
        last = self._last(now, zone)
        number, begin = 1, self._at(0, zone)
        while begin <= last:
            end = self._at(number, zone)
            while self._called(begin, zone) == self._called(end, zone):  # an hour twice, a day that a zone skipped
                number += 1
                end = self._at(number, zone)
            if self.until != "now" and end > now:
                return
            yield Period(begin.astimezone(zone), end.astimezone(zone))
            number, begin = number + 1, end

    def settled(self, period: Period, now: datetime) -> bool:
        """Whether a date that was landed is left alone."""
        return period.end + self.revisit <= now

    def _last(self, now: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
        """The moment whose period is the last."""
        if self.until is None or self.until == "now":
            return now
        if self.until.startswith("-"):
            return now - duration(self.until[1:])
        after = date.fromisoformat(self.until) + timedelta(days=1)
        return datetime.combine(after, time(), zone).astimezone(UTC) - timedelta(microseconds=1)

    def _called(self, moment: datetime, zone: zoneinfo.ZoneInfo) -> str:
        return moment.astimezone(zone).strftime("%Y-%m-%d %H" if self.every == "hour" else "%Y-%m-%d")

    def _at(self, number: int, zone: zoneinfo.ZoneInfo) -> datetime:
        """Where the period of this number begins, UTC; the first is 0."""
        day = self.since
        if self.every == "hour":  # by the clock of the world
            return datetime.combine(day, time(), zone).astimezone(UTC) + number * _STEPS["hour"]
        if self.every == "month":
            years, month = divmod(day.month - 1 + number, 12)
            day = day.replace(year=day.year + years, month=month + 1)
        else:
            day += number * _STEPS[self.every]
        return datetime.combine(day, time(), zone).astimezone(UTC)
