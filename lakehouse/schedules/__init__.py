"""When something is due: pure reckoning with moments, that asks no clock and keeps nothing.

All moments are aware; those that come back are UTC.
"""

from lakehouse.schedules.cron import Cron, parse, weekdays
from lakehouse.schedules.missed import Decision, missed
from lakehouse.schedules.times import CronSchedule, Every, Once, Schedule, Slot
from lakehouse.schedules.windows import Window, Within

__all__ = [
    "Cron",
    "CronSchedule",
    "Decision",
    "Every",
    "Once",
    "Schedule",
    "Slot",
    "Window",
    "Within",
    "missed",
    "parse",
    "weekdays",
]
