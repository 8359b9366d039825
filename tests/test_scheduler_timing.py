"""When jobs are due, by explicit dates; and the odd nights of the year."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.config import Job
from lakehouse.config.cron import parse
from lakehouse.scheduler.timing import CronTrigger, EveryTrigger, after_jump, trigger

OSLO = ZoneInfo("Europe/Oslo")
ZONES = ["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"]


def fires(schedule, zone, start, count):
    """The first so many moments, as APScheduler asks for them, in the zone's wall clock."""
    timer = CronTrigger(parse(schedule), ZoneInfo(zone))
    found = [timer.get_next_fire_time(None, start)]
    while len(found) < count:
        found.append(timer.get_next_fire_time(found[-1], start))
    return [moment.isoformat(timespec="minutes") for moment in found]


def test_a_schedule_follows_its_own_time_zone():
    start = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)
    assert fires("0 2 * * *", "Europe/Oslo", start, 2) == ["2026-06-02T02:00+02:00", "2026-06-03T02:00+02:00"]


def test_weekday_0_is_sunday_and_5_is_friday():
    start = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
    assert fires("0 9 * * 0", "UTC", start, 2) == ["2026-06-07T09:00+00:00", "2026-06-14T09:00+00:00"]
    assert fires("0 9 * * 7", "UTC", start, 1) == ["2026-06-07T09:00+00:00"]
    assert fires("0 9 * * 1-5", "UTC", start, 6)[4:] == ["2026-06-05T09:00+00:00", "2026-06-08T09:00+00:00"]


def test_a_time_that_comes_twice_in_autumn_fires_once():
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    want = ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert fires("30 2 * * *", "Europe/Oslo", start, 2) == want


def test_the_second_coming_of_a_time_does_not_fire_even_when_serving_starts_between():
    between = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 02:45 for the first time
    assert fires("30 2 * * *", "Europe/Oslo", between, 1) == ["2026-10-26T02:30+01:00"]


def test_a_time_that_is_skipped_in_spring_fires_when_the_gap_ends():
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    want = ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert fires("30 2 * * *", "Europe/Oslo", start, 2) == want


def test_several_skipped_times_fire_once():
    start = datetime(2026, 3, 29, 0, 40, tzinfo=UTC)
    want = ["2026-03-29T01:45+01:00", "2026-03-29T03:00+02:00", "2026-03-30T01:00+02:00"]
    assert fires("*/15 1-2 * * *", "Europe/Oslo", start, 3) == want


def test_a_schedule_of_every_hour_goes_by_real_time_in_autumn():
    start = datetime(2026, 10, 24, 23, 10, tzinfo=UTC)
    want = ["01:30+02:00", "02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00", "03:00+01:00"]
    assert fires("*/30 * * * *", "Europe/Oslo", start, 6) == [f"2026-10-25T{moment}" for moment in want]


def test_a_gap_of_half_an_hour_ends_where_it_ends():
    start = datetime(2026, 10, 3, 0, tzinfo=UTC)
    assert fires("15 2 * * *", "Australia/Lord_Howe", start, 1) == ["2026-10-04T02:30+11:00"]


def test_a_day_that_was_left_out_fires_when_the_next_begins():
    start = datetime(2011, 12, 30, 0, tzinfo=UTC)
    want = ["2011-12-29T18:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T18:00+14:00"]
    assert fires("0 18 * * *", "Pacific/Apia", start, 3) == want


def test_the_29th_of_february_is_waited_for():
    start = datetime(2097, 1, 1, tzinfo=UTC)
    assert fires("0 0 29 2 *", "UTC", start, 1) == ["2104-02-29T00:00+00:00"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_time_fires_once_on_every_day_of_a_year(zone):
    for hour in ("0", "1", "2", "23"):
        found = fires(f"30 {hour} * * *", zone, datetime(2026, 1, 1, 12, tzinfo=UTC), 366)
        days = [date.fromisoformat(moment[:10]) for moment in found]
        assert all(after - before == timedelta(days=1) for before, after in itertools.pairwise(days))


moments = st.integers(0, 2 * 365 * 86_400_000_000).map(
    lambda micros: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
minutes = st.sampled_from(["*", "0", "30", "*/15", "5,50", "58-59"])
hours = st.sampled_from(["*", "0", "2", "1-3", "*/6", "23"])
dates = st.sampled_from([("*", "*"), ("1", "*"), ("31", "*"), ("*", "0"), ("*", "1-5"), ("28-31", "*")])


@settings(max_examples=60, deadline=None)
@given(minutes, hours, dates, moments)
def test_in_utc_the_next_moment_is_the_first_minute_that_matches(minute, hour, when, start):
    day, weekday = when
    cron = parse(f"{minute} {hour} {day} * {weekday}")
    moment = start.replace(second=0, microsecond=0)
    if moment < start:
        moment += timedelta(minutes=1)
    while not (
        moment.minute in cron.minutes
        and moment.hour in cron.hours
        and moment.day in cron.days
        and moment.isoweekday() % 7 in cron.weekdays
    ):
        moment += timedelta(minutes=1)
    assert CronTrigger(cron, ZoneInfo("UTC")).get_next_fire_time(None, start) == moment


@settings(max_examples=100, deadline=None)
@given(minutes, hours, st.sampled_from(ZONES), moments)
def test_in_any_zone_moments_only_go_forward_and_none_is_jumped_over(minute, hour, zone, start):
    timer = CronTrigger(parse(f"{minute} {hour} * * *"), ZoneInfo(zone))
    first = timer.get_next_fire_time(None, start)
    second = timer.get_next_fire_time(first, start)
    assert start <= first < second
    between = first + timedelta(microseconds=1)
    assert timer.get_next_fire_time(None, between) == second
    assert timer.get_next_fire_time(None, first) == first


@settings(max_examples=100)
@given(st.integers(1, 10**6), moments)
def test_a_period_keeps_its_beat_whenever_serving_starts(seconds, start):
    timer = EveryTrigger(timedelta(seconds=seconds))
    first = timer.get_next_fire_time(None, start)
    assert start <= first < start + timedelta(seconds=seconds)
    assert int(first.timestamp()) % seconds == 0
    assert timer.get_next_fire_time(first, start) == first + timedelta(seconds=seconds)


def test_a_job_without_a_schedule_has_no_trigger():
    assert trigger(Job(name="by-hand", datasets=("a/b",))) is None


# A clock that is set


NOW = datetime(2026, 6, 1, 12, 7, tzinfo=UTC)


def test_a_clock_set_back_a_day_makes_every_job_due_by_the_new_time():
    daily = CronTrigger(parse("0 2 * * *"), OSLO)
    assert after_jump(daily, timedelta(days=-1), NOW) == datetime(2026, 6, 2, 2, tzinfo=OSLO)
    often = EveryTrigger(timedelta(minutes=5))
    assert after_jump(often, timedelta(days=-1), NOW) == datetime(2026, 6, 1, 12, 10, tzinfo=UTC)


def test_a_clock_mended_by_minutes_fires_no_wall_time_again_but_keeps_the_beat():
    daily = CronTrigger(parse("0 2 * * *"), OSLO)
    assert after_jump(daily, timedelta(minutes=-10), NOW) is None
    often = EveryTrigger(timedelta(minutes=5))
    assert after_jump(often, timedelta(minutes=-10), NOW) == datetime(2026, 6, 1, 12, 10, tzinfo=UTC)


def test_a_clock_set_forward_leaves_what_was_passed_over_due():
    daily = CronTrigger(parse("0 2 * * *"), OSLO)
    assert after_jump(daily, timedelta(days=1), NOW) is None
