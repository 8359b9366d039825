"""When a job is due: cron in a time zone, or every so often. Pure, but for being APScheduler's triggers.

APScheduler's own cron trigger counts weekdays from Monday and fires a daily 02:30 twice on the night
the clocks go back; this one does neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from lakehouse.config import Cron, Job

__all__ = ["CronTrigger", "EveryTrigger", "after_jump", "trigger"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = 366 * 41  # 29 February falls on each weekday within 40 years
_EVERY_HOUR = 24
_MENDED = timedelta(hours=3)


def trigger(job: Job) -> BaseTrigger | None:
    """A job's trigger; None for a job that is run by hand."""
    if job.cron is not None:
        return CronTrigger(job.cron, ZoneInfo(job.timezone))
    return EveryTrigger(job.every) if job.every is not None else None


def after_jump(timer: BaseTrigger, jump: timedelta, now: datetime) -> datetime | None:
    """When a job is due after the clock was set; None leaves it as it is.

    Set forward, what was passed over is due now, by coalescing and misfire rules. Set back, a period
    starts anew; a wall-clock time that has fired already is not fired again within three hours (someone
    mended the clock), and is beyond (it was wrong by a day: waiting for it would be a day of silence).
    """
    if jump > timedelta(0) or (isinstance(timer, CronTrigger) and -jump <= _MENDED):
        return None
    again: datetime | None = timer.get_next_fire_time(None, now)
    return again


class CronTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires at the wall clock's times, as people mean them on the two odd nights of a year.

    A time that comes twice counts once, the first time; unless the schedule has every hour: then it goes
    by real time. A time that is skipped counts as the first moment after the gap.
    """

    def __init__(self, cron: Cron, zone: ZoneInfo) -> None:
        self.cron = cron
        self.zone = zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next moment after the previous one; the first from now on when there was none.

        Args:
            previous_fire_time: aware, or None.
            now: aware.

        Returns:
            In the schedule's time zone; None when there is none in the calendar.
        """
        # A moment that is due right now is one that did not fire yet.
        after = previous_fire_time or now - timedelta(microseconds=1)
        local = after.astimezone(self.zone)
        yesterday = local.date() - timedelta(days=1)
        for number in range(_DAYS):
            day = yesterday + timedelta(days=number)
            if not self._has(day):
                continue
            # Not the first found: a day's moments are out of order where the clocks go back.
            moment = min((m for m in self._moments(day) if m > after), default=None)
            if moment is not None:
                return moment.astimezone(self.zone)
        return None

    def _has(self, day: date) -> bool:
        cron = self.cron
        return day.month in cron.months and day.day in cron.days and day.isoweekday() % 7 in cron.weekdays

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

    def __str__(self) -> str:
        return f"cron in {self.zone.key}"


class EveryTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires at whole multiples of a period since 1970, so that a restart moves nothing."""

    def __init__(self, period: timedelta) -> None:
        self.period = period

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next multiple after the previous one; the first from now on when there was none. UTC."""
        if previous_fire_time is not None:
            return _EPOCH + ((previous_fire_time - _EPOCH) // self.period + 1) * self.period
        return _EPOCH - ((_EPOCH - now) // self.period) * self.period

    def __str__(self) -> str:
        return f"every {self.period}"
