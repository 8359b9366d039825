"""The days and hours in which a schedule counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from lakehouse.schedules.times import Schedule

__all__ = ["Window", "Within"]

_TICK: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_FAR: Final = 366 * 12  # days that are looked at for one that is open; leap days may be eight years apart


@dataclass(frozen=True, slots=True)
class Window:
    """Days and hours by the wall clock of a zone.

    Attributes:
        weekdays: 0 (Sunday) to 6 (Saturday).
        opens: the time of day it begins, included.
        closes: and ends, left out; earlier than ``opens`` is the next day's, the same is the whole day.
        starts: the first day; None for no first one.
        ends: the last day.
        leave_out: days that do not count.
    """

    zone: ZoneInfo
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    opens: time = time()
    closes: time = time()
    starts: date | None = None
    ends: date | None = None
    leave_out: frozenset[date] = field(default_factory=frozenset)

    def holds(self, moment: datetime) -> bool:
        """Whether a moment counts."""
        local = moment.astimezone(self.zone).date()
        return any(begin <= moment < end for day in (local, local - _DAY) for begin, end in self._on(day))

    def opening(self, moment: datetime) -> datetime | None:
        """Where it opens next after a moment that it does not hold; UTC."""
        found = (begin for day in self._days(moment, 1) for begin, _ in self._on(day) if begin > moment)
        return next(found, None)

    def closing(self, moment: datetime) -> datetime | None:
        """Where it closed last before a moment that it does not hold; UTC."""
        found = (end for day in self._days(moment, -1) for _, end in self._on(day) if end <= moment)
        return next(found, None)

    def _days(self, moment: datetime, step: int) -> Iterator[date]:
        first = moment.astimezone(self.zone).date() - step * _DAY
        bound = self.starts if step > 0 else self.ends
        if bound is not None:
            first = max(first, bound) if step > 0 else min(first, bound)
        for number in range(_FAR):
            day = first + number * step * _DAY
            if (step > 0 and self.ends and day > self.ends) or (step < 0 and self.starts and day < self.starts):
                return
            yield day

    def _on(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Where it opens and closes on a day; UTC."""
        early = self.starts is not None and day < self.starts
        late = self.ends is not None and day > self.ends
        if early or late or day in self.leave_out or day.isoweekday() % 7 not in self.weekdays:
            return
        last = day if self.closes > self.opens else day + _DAY
        begin = datetime.combine(day, self.opens, self.zone).astimezone(UTC)
        end = datetime.combine(last, self.closes, self.zone).astimezone(UTC)
        if begin < end:  # a night's hour that the clocks leave out is none
            yield begin, end


@dataclass(frozen=True, slots=True)
class Within(Schedule):
    """The moments of a schedule that a window holds."""

    schedule: Schedule
    window: Window

    def after(self, moment: datetime) -> datetime | None:
        """The next of them."""
        found = self.schedule.after(moment)
        while found is not None and not self.window.holds(found):
            opened = self.window.opening(found)
            found = None if opened is None else self.schedule.after(opened - _TICK)
        return found

    def before(self, moment: datetime) -> datetime | None:
        """The one before."""
        found = self.schedule.before(moment)
        while found is not None and not self.window.holds(found):
            closed = self.window.closing(found)
            found = None if closed is None else self.schedule.before(closed)
        return found
