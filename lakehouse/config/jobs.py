"""Jobs: datasets that are refreshed together, when, and what is done where that goes wrong."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lakehouse.errors import nearest
from lakehouse.schedules import CronSchedule, Every, Once, Schedule, Window, Within, parse, weekdays
from lakehouse.units import Duration, Size, Timezone, written

__all__ = ["Job", "Retries", "Windows", "job_problems"]

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
_CHANCE = random.SystemRandom()


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]


class Retries(BaseModel):
    """How often a failed run is tried again, and how long it waits before.

    Attributes:
        attempts: tries in all; 1 is none again.
        backoff: the wait before the second try; it doubles with each.
        max_backoff: the longest wait.
        jitter: by which share a wait is shorter or longer, by chance, so that jobs do not all come back at once.
    """

    model_config = _FORBID

    attempts: int = Field(1, ge=1, le=20)
    backoff: Duration = timedelta(seconds=30)
    max_backoff: Duration = timedelta(hours=1)
    jitter: float = Field(0.1, ge=0, le=1)

    def wait(self, tried: int) -> float:
        """Seconds before the next try, after so many."""
        longest = self.max_backoff.total_seconds()
        whole = min(longest, self.backoff.total_seconds() * 2 ** (tried - 1))
        return float(whole * (1 + self.jitter * _CHANCE.uniform(-1, 1)))


_HOURS = re.compile(r"([01]?\d|2[0-3])(?::([0-5]\d))? *- *(?:([01]?\d|2[0-3])(?::([0-5]\d))?|24(?::00)?)", re.ASCII)


def _hours(value: str) -> str:
    if not _HOURS.fullmatch(value.strip()):
        raise ValueError("hours are two times of day, for example 06:00-22:00")
    return value.strip()


class Windows(BaseModel):
    """The days and hours in which a job's times count, by the job's time zone.

    Attributes:
        days: of the week, as in cron: ``mon-fri``, ``sat,sun``.
        hours: ``06:00-22:00``, the end left out; ``22:00-06:00`` goes on into the next day.
        starts: the first day.
        ends: the last day.
        leave_out: days on which it does not run.
    """

    model_config = _FORBID

    days: Annotated[str, AfterValidator(lambda text: weekdays(text) and text)] = "*"
    hours: Annotated[str, AfterValidator(_hours)] = "00:00-24:00"
    starts: date | None = None
    ends: date | None = None
    leave_out: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Windows:
        if self.starts is not None and self.ends is not None and self.ends < self.starts:
            raise ValueError("ends: lies before starts, so no day is left")
        return self

    def window(self, zone: ZoneInfo) -> Window:
        """The same by the wall clock of a zone."""
        found = _HOURS.fullmatch(self.hours)
        hour, minute, last_hour, last_minute = (int(part or 0) for part in (found.groups() if found else "0000"))
        days, left_out = weekdays(self.days), frozenset(self.leave_out)
        return Window(zone, days, time(hour, minute), time(last_hour, last_minute), self.starts, self.ends, left_out)


def _cron(value: str) -> str:
    parse(value)
    return value


class Job(BaseModel):
    """Datasets that are refreshed together.

    It runs by its times (``schedule``, ``every`` or ``at``), and when others are done (``after``), datasets have
    grown (``when``) or files have come (``watch``); without any of them by hand only.

    Attributes:
        name: the file's name.
        schedule: a five-field cron expression.
        every: the time between two runs.
        at: one moment.
        after: jobs; it runs once each of them has completed since its own last run of this kind.
        when: datasets; it runs when one of them has a new version.
        watch: sources; it runs when one of them has files that are not landed.
        poll: how often those are looked at.
        within: the days and hours in which its times count.
        timezone: the IANA zone of all of these; the lake's own, else UTC, when the file has none.
        jitter: by up to how much a run starts later than it is due, by chance.
        timeout: after it a run counts as failed; None is no limit.
        memory: what a run may take, bytes; None is no limit.
        catch_up: what is done of times that were missed: one run for all of them (``once``), one each (``all``), or
            nothing but the newest, if it is not later than ``misfire_grace`` (``skip``).
        catch_up_limit: the most runs of ``all``; what is older is skipped.
        priority: of those that wait, higher ones start first.
        pool: what it shares with others; how many of those run at once is said in ``lakehouse.yaml``.
        when_busy: what a time comes to while the job runs: one more run afterwards (``queue``), or none (``skip``).
    """

    model_config = _FORBID

    name: str
    datasets: tuple[str, ...] = Field(min_length=1)
    description: str = ""
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    every: Duration | None = None
    at: datetime | None = None
    after: Names = ()
    when: Names = ()
    watch: Names = ()
    poll: Duration = timedelta(seconds=30)
    within: Windows | None = None
    timezone: Timezone = "UTC"
    jitter: Duration = timedelta()
    retries: Retries = Retries()
    timeout: Duration | None = None
    memory: Annotated[Size, Field(ge=256 << 20)] | None = None
    catch_up: Literal["skip", "once", "all"] = "once"
    catch_up_limit: int = Field(10, ge=1, le=1000)
    misfire_grace: Duration = timedelta(hours=1)
    when_busy: Literal["queue", "skip"] = "queue"
    priority: int = Field(0, ge=-100, le=100)
    pool: str | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> Job:
        timed = [name for name in ("schedule", "every", "at") if getattr(self, name) is not None]
        if len(timed) > 1:
            raise ValueError(f"{' and '.join(timed)} are both set; keep one of them")
        for name in ("every", "timeout", "poll"):
            value = getattr(self, name)
            if value is not None and value < timedelta(seconds=1):
                raise ValueError(f"{name}: must be at least 1s")
        if self.within is not None and not timed:
            raise ValueError("within: goes with schedule, every or at; there is none of them")
        if self.jitter and self.every is not None and self.jitter >= self.every:
            raise ValueError("jitter: must be shorter than every")
        if self.times is not None and self.times.after(datetime(1990, 1, 1, tzinfo=UTC)) is None:
            raise ValueError("within: leaves none of the job's times")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.timezone)

    @cached_property
    def times(self) -> Schedule | None:
        """When it is due by the clock; None for a job that has no times."""
        inner: Schedule | None = None
        if self.schedule is not None:
            inner = CronSchedule(parse(self.schedule), self.zone)
        elif self.every is not None:
            inner = Every(self.every)
        elif self.at is not None:
            inner = Once((self.at if self.at.tzinfo else self.at.replace(tzinfo=self.zone)).astimezone(UTC))
        if inner is None or self.within is None:
            return inner
        return Within(inner, self.within.window(self.zone))

    def delay(self, due: datetime) -> timedelta:
        """How much later than due a time starts: the same by whoever asks, and as good as by chance."""
        if not self.jitter:
            return timedelta()
        drawn = hashlib.sha256(f"{self.name} {due.isoformat()}".encode()).digest()
        return self.jitter * (int.from_bytes(drawn[:4], "big") / 2**32)

    def next_start(self, after: datetime) -> datetime | None:
        """When the next of its times starts, later than this; None where there is none to come."""
        found: datetime | None = None
        due = None if self.times is None else self.times.after(after - self.jitter)
        while due is not None and self.times is not None and (found is None or due < found):
            start = due + self.delay(due)
            if start > after and (found is None or start < found):
                found = start
            due = self.times.after(due)
        return found

    def newest_due(self, now: datetime) -> datetime | None:
        """The newest of its times that has started by now; None where none has."""
        due = None if self.times is None else self.times.before(now + timedelta(microseconds=1))
        while due is not None and self.times is not None and due + self.delay(due) > now:
            due = self.times.before(due)
        return due

    @property
    def served(self) -> bool:
        """Whether it runs by itself."""
        return self.enabled and bool(self.times or self.after or self.when or self.watch)

    @property
    def in_words(self) -> str:
        """When it runs, for people."""
        said = [] if self.schedule is None else [f"{self.schedule} ({self.timezone})"]
        said += [] if self.every is None else [f"every {written(self.every)}"]
        said += [] if self.at is None else [f"at {self.at.isoformat()}"]
        said += [f"{word} {', '.join(names)}" for word in ("after", "when", "watch") if (names := getattr(self, word))]
        return "; ".join(said) or "by hand"

    @property
    def rhythm(self) -> str:
        """What decides its times, as text: another one is another rhythm, which begins anew."""
        within = "" if self.within is None else self.within.model_dump_json()
        return f"{self.schedule or ''}|{self.every or ''}|{self.at or ''}|{self.timezone}|{within}"


def job_problems(
    job: Job, jobs: Mapping[str, Job], known: Mapping[str, Collection[str]], pools: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What a job names that is not there, each with the key's path; and that it waits for itself.

    Args:
        job: the job.
        jobs: all that could be read.
        known: the names of files there are, by their folder.
        pools: those of ``lakehouse.yaml``.
    """
    for key, folder in (("datasets", "datasets"), ("after", "jobs"), ("when", "datasets"), ("watch", "sources")):
        for index, name in enumerate(getattr(job, key)):
            if name not in known[folder]:
                hint = nearest(name, known[folder]) or f" There is no file in {folder}/."
                yield (key, index), f"there is no {folder.removesuffix('s')} '{name}'.{hint}"
    if _waits_for_itself(job, jobs):
        yield ("after",), f"'{job.name}' waits for itself in the end, so it would run for ever"
    if job.pool is not None and job.pool not in pools:
        hint = nearest(job.pool, pools) or " lakehouse.yaml has no pools."
        yield ("pool",), f"there is no pool '{job.pool}'.{hint}"


def _waits_for_itself(job: Job, jobs: Mapping[str, Job]) -> bool:
    seen: set[str] = set()
    ahead = list(job.after)
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += jobs[name].after if name in jobs else ()
    return job.name in seen
