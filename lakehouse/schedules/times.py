"""The moments that a schedule names: every so often, by cron in a time zone, once.

Weekdays count from Sunday, and a daily 02:30 comes once on the night that the clocks go back.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from lakehouse.schedules.cron import Cron

__all__ = ["CronSchedule", "Every", "Once", "Schedule", "Slot"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_DAYS: Final = 366 * 41  # 29 February falls on each weekday within 40 years
_EVERY_HOUR: Final = 24


@dataclass(frozen=True, slots=True)
class Slot:
    """One time that a schedule comes due, and the stretch of time it is for: since the time before, without its end.

    Attributes:
        due: the moment; UTC.
        start: where the stretch begins; None where no time was before. It ends at ``due``.
    """

    due: datetime
    start: datetime | None


class Schedule(abc.ABC):
    """Moments in order, without end or not."""

    @abc.abstractmethod
    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than this one; None where there is none."""

    @abc.abstractmethod
    def before(self, moment: datetime) -> datetime | None:
        """The last moment earlier than this one; None where there is none."""

    def slot(self, due: datetime) -> Slot:
        """What one of its moments is for."""
        return Slot(due, self.before(due))

    def slots(self, start: datetime, end: datetime) -> Iterator[Slot]:
        """Those whose stretch of time lies in this one, whole, oldest first."""
        begun = self.after(start - _TICK)
        while begun is not None and (due := self.after(begun)) is not None and due <= end:
            yield Slot(due, begun)
            begun = due


@dataclass(frozen=True, slots=True)
class Every(Schedule):
    """Whole multiples of a period since 1970, so that a restart moves nothing."""

    period: timedelta

    def after(self, moment: datetime) -> datetime:
        """The next multiple."""
        return _EPOCH + ((moment - _EPOCH) // self.period + 1) * self.period

    def before(self, moment: datetime) -> datetime:
        """The multiple before."""
        return _EPOCH - ((_EPOCH - moment) // self.period + 1) * self.period


@dataclass(frozen=True, slots=True)
class Once(Schedule):
    """One moment."""

    at: datetime

    def after(self, moment: datetime) -> datetime | None:
        """The moment, while it is to come."""
        return self.at if self.at > moment else None

    def before(self, moment: datetime) -> datetime | None:
        """The moment, once it is past."""
        return self.at if self.at < moment else None


@dataclass(frozen=True, slots=True)
class CronSchedule(Schedule):
    """The wall clock's times, as people mean them on the two odd nights of a year.

    A time that comes twice counts once, the first time; unless the schedule has every hour: then it goes by real time.
    A time that is skipped counts as the first moment after the gap.
    """

    cron: Cron
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The next time."""
        # Not the first found: a day's moments are out of order where the clocks go back.
        return next((min(later) for day in self._around(moment, 1) if (later := self._on(day, moment, None))), None)

    def before(self, moment: datetime) -> datetime | None:
        """The time before."""
        return next((max(early) for day in self._around(moment, -1) if (early := self._on(day, None, moment))), None)

    def _around(self, moment: datetime, step: int) -> Iterator[date]:
        """The days that the expression names, from one before a moment's own, or one after it, on."""
        first = moment.astimezone(self.zone).date() - timedelta(days=step)
        cron = self.cron
        for number in range(_DAYS):
            day = first + timedelta(days=number * step)
            if day.month in cron.months and day.day in cron.days and day.isoweekday() % 7 in cron.weekdays:
                yield day

    def _on(self, day: date, after: datetime | None, before: datetime | None) -> list[datetime]:
        """The moments of a day that are later, or earlier, than this."""
        found = self._moments(day)
        return [m for m in found if (after is None or m > after) and (before is None or m < before)]

    def _moments(self, day: date) -> Iterator[datetime]:
        """The moments of a day, in UTC."""
        for hour in self.cron.hours:
            for minute in self.cron.minutes:
                wall = datetime.combine(day, time(hour, minute))
                first = wall.replace(tzinfo=self.zone)
                second = wall.replace(tzinfo=self.zone, fold=1)
                moment = first.astimezone(UTC)
                if moment.astimezone(self.zone).replace(tzinfo=None) != wall:
                    yield self._after_gap(first, second)
                    continue
                yield moment
                if len(self.cron.hours) == _EVERY_HOUR and second.astimezone(UTC) != moment:
                    yield second.astimezone(UTC)

    def _after_gap(self, first: datetime, second: datetime) -> datetime:
        """The first moment after the gap a wall time falls in; UTC.

        ``second`` reads the time by the offset after the gap and so lies before it, ``first`` after it.
        """
        low, high = int(second.timestamp()), int(first.timestamp())
        before = self._offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == before:
                low = middle
            else:
                high = middle
        return datetime.fromtimestamp(high, UTC)

    def _offset(self, seconds: int) -> timedelta | None:
        return datetime.fromtimestamp(seconds, self.zone).utcoffset()
