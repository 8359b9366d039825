"""When jobs are due, by explicit dates; and the odd nights of the year."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.config import Job
from lakehouse.schedules import CronSchedule, Every, Once, Window, Within, missed, parse

OSLO = ZoneInfo("Europe/Oslo")
TICK = timedelta(microseconds=1)
ZONES = ["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"]


def fires(schedule, zone, start, count):
    """The first so many moments, in the zone's wall clock; the same backwards."""
    times = CronSchedule(parse(schedule), ZoneInfo(zone))
    found = [times.after(start - TICK)]
    while len(found) < count:
        found.append(times.after(found[-1]))
    back = [times.before(times.after(found[-1]))]
    while len(back) < count:
        back.append(times.before(back[-1]))
    assert back[::-1] == found
    return [moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for moment in found]


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
    assert CronSchedule(cron, ZoneInfo("UTC")).after(start - TICK) == moment


@settings(max_examples=100, deadline=None)
@given(minutes, hours, st.sampled_from(ZONES), moments)
def test_in_any_zone_moments_only_go_forward_and_none_is_jumped_over(minute, hour, zone, start):
    times = CronSchedule(parse(f"{minute} {hour} * * *"), ZoneInfo(zone))
    first = times.after(start - TICK)
    second = times.after(first)
    assert start <= first < second
    assert times.after(second - TICK) == second
    assert times.before(second) == first
    assert times.before(start) < start


@settings(max_examples=100)
@given(st.integers(1, 10**6), moments)
def test_a_period_keeps_its_beat_whenever_serving_starts(seconds, start):
    times = Every(timedelta(seconds=seconds))
    first = times.after(start - TICK)
    assert start <= first < start + timedelta(seconds=seconds)
    assert int(first.timestamp()) % seconds == 0
    assert times.after(first) == first + timedelta(seconds=seconds)
    assert times.before(times.after(first)) == first


def test_one_moment_comes_once():
    times = Once(datetime(2026, 5, 1, tzinfo=UTC))
    assert times.after(times.at - TICK) == times.at
    assert times.after(times.at) is None
    assert times.before(times.at) is None
    assert times.before(times.at + TICK) == times.at


def test_a_job_without_times_is_never_due():
    job = Job(name="by-hand", datasets=("a/b",))
    assert (job.times, job.served, job.next_start(NOW), job.newest_due(NOW)) == (None, False, None, None)


# Windows

NOW = datetime(2026, 6, 1, 12, 7, tzinfo=UTC)  # a Monday


def within(every, **window):
    return Within(Every(every), Window(ZoneInfo(window.pop("zone", "UTC")), **window))


def test_a_window_keeps_times_to_its_days_and_hours_and_an_interval_reaches_over_the_gap():
    times = within(timedelta(hours=1), weekdays=(1, 2, 3, 4, 5), opens=time(6), closes=time(22))
    friday = datetime(2026, 6, 5, 21, tzinfo=UTC)
    monday = datetime(2026, 6, 8, 6, tzinfo=UTC)
    assert times.after(friday) == monday
    assert times.before(monday) == friday
    assert times.slot(monday).start == friday


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on():
    times = within(timedelta(hours=1), weekdays=(5,), opens=time(22), closes=time(2))
    found = [datetime(2026, 6, 5, 22, tzinfo=UTC)]
    for _ in range(4):
        found.append(times.after(found[-1]))
    assert [f"{m:%a %H}" for m in found] == ["Fri 22", "Fri 23", "Sat 00", "Sat 01", "Fri 22"]
    assert [times.before(m) for m in found[1:]] == found[:-1]


def test_a_window_has_first_and_last_days_and_days_that_are_left_out():
    days = {"starts": date(2026, 6, 10), "ends": date(2026, 6, 12), "leave_out": frozenset({date(2026, 6, 11)})}
    times = within(timedelta(days=1), **days)
    first, last = datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC)
    assert (times.after(NOW), times.after(first), times.after(last)) == (first, last, None)
    assert (times.before(last), times.before(first)) == (first, None)
    assert times.before(datetime(2030, 1, 1, tzinfo=UTC)) == last


def test_the_hour_that_a_spring_night_leaves_out_opens_nothing():
    times = within(timedelta(minutes=15), zone="Europe/Oslo", opens=time(2), closes=time(3))
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert times.after(start).astimezone(OSLO).isoformat(timespec="minutes") == "2026-03-30T02:00+02:00"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 23), moments)
def test_times_in_a_window_are_those_of_the_schedule_that_it_holds(minutes, zone, opens, closes, start):
    times = within(timedelta(minutes=minutes), zone=zone, opens=time(opens), closes=time(closes))
    end = start + timedelta(days=1)
    plain, found, moment = [], [], start
    while (moment := times.schedule.after(moment)) <= end:
        if times.window.holds(moment):
            plain.append(moment)
    moment = start
    while (moment := times.after(moment)) is not None and moment <= end:
        found.append(moment)
    assert found == plain
    back, moment = [], end + TICK
    while (moment := times.before(moment)) is not None and moment > start:
        back.append(moment)
    assert back[::-1] == plain


# Times that were missed


def decided(schedule, after, now, **policy):
    policy = {"catch_up": "once", "limit": 3, "grace": timedelta(minutes=5), **policy}
    found = missed(schedule, after, now, now, **policy)
    return [slot.due for slot in found.run], found.skipped, found.until


def test_one_run_makes_up_for_all_that_were_missed_and_covers_all_of_their_time():
    after = NOW - timedelta(hours=5)
    found = missed(Every(timedelta(hours=1)), after, NOW, NOW, catch_up="once", limit=3, grace=timedelta())
    assert [(s.start.hour, s.due.hour) for s in found.run] == [(7, 12)]
    assert (found.skipped, found.until) == (None, NOW)


def test_of_many_that_were_missed_the_newest_are_run_and_the_others_reported():
    run, skipped, _ = decided(Every(timedelta(hours=1)), NOW - timedelta(hours=5), NOW, catch_up="all")
    assert [due.hour for due in run] == [10, 11, 12]
    assert (skipped.start.hour, skipped.due.hour) == (7, 9)


def test_what_is_too_late_is_skipped_and_what_is_not_is_run():
    times = Every(timedelta(hours=1))
    run, skipped, _ = decided(times, NOW - timedelta(hours=2), NOW, catch_up="skip")
    assert (run, skipped.due) == ([], NOW.replace(minute=0))
    run, skipped, _ = decided(times, NOW - timedelta(hours=2), NOW, catch_up="skip", grace=timedelta(minutes=8))
    assert [due.hour for due in run] == [12]
    assert skipped.due.hour == 11


def test_a_year_of_seconds_is_decided_at_once():
    run, skipped, until = decided(Every(timedelta(seconds=1)), NOW - timedelta(days=365), NOW, catch_up="all")
    assert (len(run), skipped.due, until) == (3, NOW - timedelta(seconds=3), NOW)


@settings(max_examples=200)
@given(
    st.integers(1, 5000),
    moments,
    st.lists(st.integers(0, 20_000), min_size=1, max_size=8),
    st.tuples(st.sampled_from(["skip", "once", "all"]), st.integers(1, 5), st.integers(0, 4000)),
)
def test_every_time_is_run_or_skipped_once_however_often_one_looks(seconds, start, pauses, chosen):
    catch_up, limit, grace = chosen
    times = Every(timedelta(seconds=seconds))
    seen, now, after = [], start, start
    for pause in pauses:
        now += timedelta(seconds=pause)
        policy = {"catch_up": catch_up, "limit": limit, "grace": timedelta(seconds=grace)}
        found = missed(times, after, now, now, **policy)
        covered = [*([found.skipped] if found.skipped else []), *found.run]
        seen += [(slot.start, slot.due) for slot in covered]
        assert found.until == max(after, now)
        after = found.until
    assert all(begun < due for begun, due in seen)
    assert all(before[1] == later[0] for before, later in itertools.pairwise(seen))
    last = times.before(now + TICK)
    if last > start:
        assert (seen[0][0], seen[-1][1]) == (times.before(times.after(start)), last)
    else:
        assert seen == []


# Jitter


@settings(max_examples=100)
@given(st.integers(2, 3600), st.floats(0.01, 0.99), moments)
def test_each_time_starts_later_by_chance_but_for_all_the_same(seconds, share, start):
    every = timedelta(seconds=seconds)
    job = Job(name="a", datasets=("a/b",), every=every, jitter=every * share)
    due = job.times.after(start)
    begun = due + job.delay(due)
    assert timedelta() <= job.delay(due) <= job.jitter
    assert job.newest_due(begun) == due
    assert job.newest_due(begun - TICK) == job.times.before(due)
    assert job.next_start(begun - TICK) == begun
    assert start < job.next_start(start)
