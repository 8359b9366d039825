"""Cron expressions: five fields, cron's weekdays, and nothing that never comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.schedules import parse


def test_every_field_is_spelled_out():
    cron = parse("*/15 8-10 1,15 jan-mar *")
    assert cron.minutes == (0, 15, 30, 45)
    assert cron.hours == (8, 9, 10)
    assert cron.days == (1, 15)
    assert cron.months == (1, 2, 3)
    assert cron.weekdays == (0, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0", (0,)),
        ("7", (0,)),
        ("sun", (0,)),
        ("1", (1,)),
        ("mon-fri", (1, 2, 3, 4, 5)),
        ("5-7", (0, 5, 6)),
        ("sat-sun", (0, 6)),
        ("fri-sun", (0, 5, 6)),
        ("*/2", (0, 2, 4, 6)),
        ("SUN,WED", (0, 3)),
    ],
)
def test_weekdays_are_crons_with_sunday_as_0_and_7(text, days):
    assert parse(f"0 0 * * {text}").weekdays == days


def test_a_number_with_a_step_runs_to_the_end():
    assert parse("5/20 * * * *").minutes == (5, 25, 45)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 2 * *", "five fields"),
        ("@daily", "five fields"),
        ("60 2 * * *", "minute: 60 is not between 0 and 59"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * 8", "weekday"),
        ("0 0 * jann *", "not a number or a name. Did you mean 'jan'"),
        ("*/0 * * * *", "step of 0"),
        ("10-5 * * * *", "runs backwards"),
        ("1,,2 * * * *", "minute"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("0 0 1 * mon", "day and weekday"),
        ("² * * * *", "minute"),
        ("-1 * * * *", "minute"),
    ],
)
def test_what_is_not_cron_is_refused(text, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        parse(text)


def test_the_29th_of_february_comes():
    assert parse("0 0 29 2 *").days == (29,)


@given(st.text("0123456789*,-/ abcdefmnoprstuvw", max_size=30))
def test_any_text_gives_moments_or_a_value_error(text):
    try:
        cron = parse(text)
    except ValueError:
        return
    assert all((cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays))
