"""Durations and sizes as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.units import duration, size, written


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("3y", 3 * 365 * 86400),
        ("1h30m", 5400),
        ("250ms", 0.25),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "30s"), (3600, "1h"), (5400, "1h30m"), (31536000, "1y"), (90061.25, "1d1h1m1s250ms"), (0, "0s")],
)
def test_a_duration_is_written_as_a_person_would(seconds, text):
    assert written(timedelta(seconds=seconds)) == text


@given(st.timedeltas(timedelta(), timedelta(days=1000)))
def test_a_written_duration_is_read_back(value):
    assert duration(written(value)) == value


@pytest.mark.parametrize(
    "value", ["30", 30, "s", "-5s", "2x", "1 h", "", None, True, False, [], "9" * 30 + "d", "1e3s"]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="duration"):
        duration(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("512MB", 512_000_000), ("1GiB", 1 << 30), ("1.5KB", 1500), ("10 GB", 10**10), (7, 7), ("7", 7), ("7B", 7)],
)
def test_a_size_is_bytes_or_a_number_and_a_unit(text, number):
    assert size(text) == number


@pytest.mark.parametrize("value", ["many", -1, True, None, "5 apples", "5mb", 1.5, "²"])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ValueError, match="size"):
        size(value)


@given(st.integers(0, 10**6), st.sampled_from(["s", "m", "h"]))
def test_a_whole_duration_is_exact(number, unit):
    assert duration(f"{number}{unit}") == timedelta(**{{"s": "seconds", "m": "minutes", "h": "hours"}[unit]: number})
