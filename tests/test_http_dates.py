"""Dates in addresses: which are asked for, which are left alone, which are awaited."""

# ruff: noqa: F811  # a fixture's name is its argument's

import hashlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web import server  # noqa: F401  # a fixture

from lakehouse.errors import ConfigError
from lakehouse.sources.http.dates import Dates, codes, filled


@pytest.fixture
def dated(project, server):
    """Land a source with dates at a moment; what came of it."""
    project.clock.now = datetime(2026, 1, 4, 12, tzinfo=UTC)
    server.answers.update({f"/2026-01-0{day}.csv": csv(day) for day in range(1, 8)})

    def landed(dates, *lines, url="/{date:%Y-%m-%d}.csv"):
        fields = ["type: http", "format: csv", "allow_private: true", f"url: '{server.url(url)}'", f"dates: {dates}"]
        project.configure("sources/flights", "\n".join([*fields, *lines]))
        with project.lake() as lake:
            return lake.land("flights")

    return landed


def csv(day):
    return lambda handler: handler.give(200, f"day\n{day}\n".encode(), ETag=f'"{day}"')


def missing(handler):
    handler.give(404)


def days(*numbers):
    return [f"/2026-01-0{number}.csv" for number in numbers]


def test_every_date_that_is_over_is_landed_once_the_oldest_first(dated, project, server):
    assert dated("{since: 2026-01-01}").new == 3
    assert server.asked() == days(1, 2, 3)
    assert dated("{since: 2026-01-01}").files == 0
    assert server.asked() == []
    project.clock.now = datetime(2026, 1, 6, 1, tzinfo=UTC)
    assert dated("{since: 2026-01-01}").new == 2
    assert server.asked() == days(4, 5)


@pytest.mark.parametrize(
    ("until", "asked"),
    [("now", (1, 2, 3, 4)), ("-2d", (1, 2)), ("2026-01-02", (1, 2)), ("'2026-01-01'", (1,)), ("-9d", ())],
)
def test_until_says_which_date_is_the_last(dated, server, until, asked):
    dated(f"{{since: 2026-01-01, until: {until}}}")
    assert server.asked() == days(*asked)


def test_a_last_date_that_is_still_to_come_asks_for_no_date_too_early(dated, server):
    dated("{since: 2026-01-01, until: 2026-01-06}")
    assert server.asked() == days(1, 2, 3)


def test_what_came_while_a_date_was_running_is_asked_for_once_more_when_it_is_over(dated, project, server):
    dates = "{since: 2026-01-04, until: 2026-01-04}"
    assert dated(dates.replace("until: 2026-01-04", "until: now")).new == 1
    project.clock.now = datetime(2026, 1, 5, 1, tzinfo=UTC)
    server.answers[days(4)[0]] = lambda h: h.give(200, b"day\n4\n44\n")
    server.asked()
    landed = dated(dates)
    assert [note.kind for note in landed.notes] == ["changed"]
    assert "If-None-Match" not in server.requests[0][1]
    assert dated(dates).files == 0


def test_a_date_that_is_not_there_is_awaited_and_told_and_stops_no_other(dated, server):
    server.answers[days(2)[0]] = missing
    landed = dated("{since: 2026-01-01}")
    assert (landed.new, landed.failed, landed.settling) == (2, 0, 1)
    [note] = landed.notes
    assert note.where.endswith("/2026-01-02.csv")
    assert "answered 404 Not Found: not there yet" in note.message
    server.answers[days(2)[0]] = csv(2)
    server.asked()
    assert dated("{since: 2026-01-01}").new == 1
    assert server.asked() == days(2)


def test_a_missing_date_is_a_failure_where_the_source_says_so(dated, server):
    server.answers[days(2)[0]] = missing
    landed = dated("{since: 2026-01-01, missing: fail}")
    assert (landed.new, landed.failed) == (2, 1)


def test_a_date_that_failed_is_asked_for_again(dated, server):
    server.answers[days(1)[0]] = lambda h: h.give(500)
    assert dated("{since: 2026-01-01}", "attempts: 1").failed == 1
    server.answers[days(1)[0]] = csv(1)
    server.asked()
    assert dated("{since: 2026-01-01}").new == 1
    assert server.asked() == days(1)


def test_recent_dates_are_asked_for_again_and_corrected(dated, server):
    dates = "{since: 2026-01-01, revisit: 2d}"
    dated(dates)
    server.answers[days(3)[0]] = lambda h: h.give(200, b"day\n33\n")
    server.asked()
    landed = dated(dates)
    assert server.asked() == days(2, 3)
    assert [note.kind for note in landed.notes] == ["changed"]


def test_a_host_that_asks_to_be_left_alone_is_asked_for_no_other_date(dated, server):
    server.answers[days(2)[0]] = lambda h: h.give(429, Retry_After="9999")
    landed = dated("{since: 2026-01-01}")
    assert (landed.new, landed.failed) == (1, 1)
    assert server.asked() == days(1, 2)


def test_a_date_has_its_own_checksum_file(dated, server):
    for day in range(1, 4):
        digest = hashlib.md5(b"day\n%d\n" % (day if day != 2 else 9)).hexdigest()
        server.answers[f"/2026/0{day}.md5"] = lambda h, digest=digest: h.give(200, f"{digest}\n".encode())
    landed = dated("{since: 2026-01-01}", f"checksum: {{url: '{server.url('/{date:%Y/%d}.md5')}'}}", "attempts: 1")
    assert (landed.new, landed.failed) == (2, 1)


def moments(now, **fields):
    made = Dates(**fields)
    return [period.begin.isoformat() for period in made.periods(now)]


def test_hours_weeks_and_months_step_from_the_first_date():
    now = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    assert moments(now, since="2026-03-01", every="hour") == ["2026-03-01T00:00:00+00:00", "2026-03-01T01:00:00+00:00"]
    assert moments(now, since="2026-02-10", every="week") == ["2026-02-10T00:00:00+00:00", "2026-02-17T00:00:00+00:00"]
    assert moments(now, since="2025-12-28", every="month") == ["2025-12-28T00:00:00+00:00", "2026-01-28T00:00:00+00:00"]


def test_a_day_is_over_when_it_is_over_in_its_zone():
    now = datetime(2026, 1, 2, 1, tzinfo=UTC)
    assert len(moments(now, since="2026-01-01")) == 1
    assert len(moments(now, since="2026-01-01", timezone="America/New_York")) == 0
    assert len(moments(datetime(2026, 1, 1, 23, 30, tzinfo=UTC), since="2026-01-01", timezone="Europe/Oslo")) == 1


def test_an_hour_that_a_zone_skips_or_has_twice_is_asked_for_once():
    def hours(now, since):
        dates = Dates(since=since, every="hour", timezone="Europe/Oslo")
        return [filled("{date:%d-%H}", period.begin) for period in dates.periods(now)]

    assert hours(datetime(2026, 3, 29, 3, tzinfo=UTC), "2026-03-29") == ["29-00", "29-01", "29-03", "29-04"]
    assert hours(datetime(2026, 10, 25, 2, tzinfo=UTC), "2026-10-25") == ["25-00", "25-01", "25-02"]
    # Its address is one, and not over before both are.
    assert hours(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25") == ["25-00", "25-01"]


def test_a_day_that_a_zone_skipped_has_no_address_and_the_next_is_whole():
    dates = Dates(since="2011-12-29", timezone="Pacific/Apia")
    found = list(dates.periods(datetime(2011, 12, 30, 10, tzinfo=UTC)))
    assert [filled("{date:%d}", period.begin) for period in found] == ["29"]
    found = list(dates.periods(datetime(2011, 12, 31, 10, tzinfo=UTC)))
    assert [filled("{date:%d}", period.begin) for period in found] == ["29", "31"]


BAD = {
    "https://x.example/{date:%Y-%m}.csv": "must tell every day from the others",
    "https://x.example/{date:%m-%d}.csv": "must tell every day from the others",
    "https://x.example/{date:%Y-%b-%d}.csv": "%b is not known",
    "https://x.example/{date:}.csv": "at least one code",
    "https://x.example/{day}.csv": "needs an address with a date",
    "https://{date:%Y%m%d}:1x/": "must be an address",
}


@pytest.mark.parametrize("url", BAD)
def test_an_address_whose_dates_cannot_be_told_apart_is_refused(project, url):
    project.configure("sources/flights", f"type: http\nformat: csv\nurl: '{url}'\ndates: {{since: 2026-01-01}}")
    with pytest.raises(ConfigError, match=BAD[url]):
        project.lake()


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        ("{since: 2026-01-31, every: month}", "28th"),
        ("{since: 2026-01-01, until: tomorrow}", "must be now, a date"),
        ("{since: 2026-01-01, timezone: Mars/Base}", "not a time zone"),
        ("{}", "since"),
    ],
)
def test_dates_that_cannot_be_are_refused(project, dates, told):
    url = "https://x.example/{date:%Y%m%d}"
    project.configure("sources/flights", f"type: http\nformat: csv\nurl: '{url}'\ndates: {dates}")
    with pytest.raises(ConfigError, match=told):
        project.lake()


def test_a_date_in_an_address_needs_dates(project):
    project.configure("sources/flights", "type: http\nformat: csv\nurl: 'https://x.example/{date:%Y%m%d}'")
    with pytest.raises(ConfigError, match="dates: is required"):
        project.lake()


@given(st.text(alphabet="ab{}:%/date", max_size=30))
def test_other_braces_and_percents_stay_as_they_are(text):
    url = f"https://x.example/{text}"
    try:
        found = codes(url)
    except ValueError:
        return
    if not found:
        assert filled(url, datetime(2026, 1, 2, tzinfo=UTC)) == url


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_date_filled_in_is_read_again(moment):
    text = filled("{date:%Y-%m-%d}/{date:%j}/{x}/{date:%H}%20", moment)
    assert text.endswith("/{x}/" + f"{moment.hour:02}%20")
    assert date.fromisoformat(text[:10]) == moment.date()
