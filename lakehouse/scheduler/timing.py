"""A job's times as APScheduler asks for them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from lakehouse.config import Job

__all__ = ["Trigger"]


class Trigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """When the times of a job start."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next start after the one before, or after now; None where there is none.

        Args:
            previous_fire_time: aware, or None.
            now: aware.
        """
        return self.job.next_start(now if previous_fire_time is None else max(previous_fire_time, now))

    def __str__(self) -> str:
        return self.job.in_words
