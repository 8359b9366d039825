"""Anomalies from a dataset's own history: what is told, what is not, and how often of sound batches."""

import json
import math
import random
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Schema, generate_statistics
from lakehouse.schema import Action, Rule, Severity
from lakehouse.validation.expectations import MINIMUM, Past, expect
from lakehouse.validation.expectations.tails import beyond, limit
from lakehouse.validation.statistics import Statistics

MONDAY = date(2026, 6, 1)
SAMPLES = Path(__file__).parents[1] / "data" / "samples" / "flights"


def told(batches, *, rate=0.01, schema=None, history=30):
    """What is odd about the last of some batches, one a day."""
    days = [MONDAY + timedelta(days=n) for n in range(len(batches))]
    past = [Past(*one) for one in zip(batches[:-1], days[:-1], strict=True)][-history:]
    return expect(batches[-1], days[-1], past, schema, rate=rate)


def kinds(batches, **options):
    """The same as paths and kinds."""
    return {(one.path, one.kind.value.removeprefix("HISTORY_")) for one in told(batches, **options)}


def rows(*counts):
    """Batches of so many rows, of which nothing else is known."""
    return [Statistics(round(count), {}) for count in counts]


def column(*batches, name="x", **options):
    """Batches of one column."""
    return [generate_statistics(pl.DataFrame({name: values}), **options) for values in batches]


def usual(n, middle=1000, spread=0.02, seed=0):
    """Rows of sound batches."""
    chance = random.Random(seed)
    return [middle * math.exp(chance.gauss(0, spread)) for _ in range(n)]


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"), [(1000, set()), (1030, set()), (500, {("", "ROWS")}), (2000, {("", "ROWS")})]
)
def test_rows_lost_or_doubled_are_told(count, expected):
    assert kinds(rows(*usual(30), count)) == expected


def test_what_is_told_has_its_figures_and_what_the_schema_says_of_it():
    (odd,) = told(rows(*usual(30), 500))
    assert odd.short == "far fewer rows than usual"
    assert "500 rows" in odd.description
    assert "after 30 batches" in odd.description
    assert odd.figures["value"] == 500
    assert 500 < odd.figures["low"] < odd.figures["expected"] < odd.figures["high"]
    assert (odd.rule, odd.severity, odd.action) == (Rule.HISTORY, Severity.ERROR, Action.WARN)
    schema = Schema.model_validate({"features": {"x": {"type": "int"}}, "on_error": {"history": "refuse"}})
    assert told(rows(*usual(30), 500), schema=schema)[0].action is Action.REFUSE


def test_nothing_is_said_before_there_is_a_history():
    for n in range(MINIMUM):
        assert not told(rows(*[1000] * n, 1))
    assert told(rows(*[1000] * 20, 1))


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, math.nan])
def test_a_rate_that_is_no_chance_is_refused(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        told(rows(1, 2), rate=rate)


def test_a_weekday_has_its_own_level_after_three_weeks():
    week = [1000, 1010, 990, 1000, 1005, 600, 400]
    noise = usual(36, middle=1, seed=3)
    days = [week[n % 7] * factor for n, factor in enumerate(noise)]
    for n in range(28, 36):
        assert not told(rows(*days[: n + 1])), n
    saturday = 33
    (odd,) = told(rows(*days[:saturday], 1000))
    assert "on a Saturday" in odd.description
    assert told(rows(*days[: saturday + 1], 1000))  # and a Sunday like a Monday


def test_growth_is_no_alarm():
    days = [1000 * 1.02**n * factor for n, factor in enumerate(usual(80, middle=1, spread=0.01, seed=4))]
    assert not any(told(rows(*days[: n + 1])) for n in range(MINIMUM, 80))


def test_a_new_level_is_told_when_it_comes_and_then_is_usual():
    days = usual(40, seed=5) + usual(40, middle=3000, seed=6)
    alarms = [n for n in range(MINIMUM, 80) if told(rows(*days[: n + 1]))]
    assert alarms == [40]


def test_what_comes_again_and_again_is_told_twice():
    days = usual(60, seed=9)
    days[19::10] = [5000] * len(days[19::10])
    assert [n for n in range(MINIMUM, 60) if told(rows(*days[: n + 1]), history=40)] == [19, 29]


def test_an_odd_batch_neither_hides_the_next_nor_makes_the_return_odd():
    days = usual(30, seed=7)
    days[25] = 400
    assert not told(rows(*days[:27]))
    assert told(rows(*days, 400))


def test_a_constant_is_believed_to_move_a_little():
    assert not told(rows(*[72] * 30, 70))
    assert told(rows(*[72] * 30, 36))


@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_sound_batches_are_rarely_told(tails):
    chance = random.Random(8)
    draw = (
        (lambda: chance.gauss(0, 1)) if tails == "normal" else (lambda: chance.gauss(0, 1) / chance.betavariate(3, 1))
    )
    days = [1000 * math.exp(0.05 * draw()) for _ in range(430)]
    alarms = sum(bool(told(rows(*days[n - 30 : n + 1]))) for n in range(30, 430))
    assert alarms <= 0.015 * 400


# --- features --------------------------------------------------------------------------------------------------------


def normal(seed, n=200, middle=50, spread=10):
    """Numbers of one batch."""
    chance = random.Random(seed)
    return [chance.gauss(middle, spread) for _ in range(n)]


@pytest.fixture(scope="module")
def numbers():
    """Thirty batches of numbers."""
    return column(*(normal(seed) for seed in range(30)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (normal(99), set()),
        (normal(99, n=20), {("", "ROWS")}),  # fewer rows, and nothing odd about them
        ([60 * value for value in normal(99)], {("x", "MEAN"), ("x", "SPREAD")}),
        ([value + 20 for value in normal(99)], {("x", "MEAN")}),
        (normal(99, spread=0), {("x", "SPREAD")}),
        ([50 + 5 * (value - 50) for value in normal(99)], {("x", "SPREAD")}),
        ([None if n % 5 == 0 else value for n, value in enumerate(normal(99))], {("x", "MISSING")}),
        ([math.nan if n % 5 == 0 else value for n, value in enumerate(normal(99))], {("x", "MISSING")}),
        ([None, *normal(99)[1:]], set()),
        ([None] * 200, {("x", "MISSING")}),
    ],
)
def test_numbers(numbers, values, expected):
    assert kinds([*numbers, *column(pl.Series(values, dtype=pl.Float64))]) == expected


def test_a_number_that_is_one_for_each_batch_is_not_looked_at():
    months = column(*([n // 15] * 50 for n in range(31)))
    assert not told(months)


@pytest.mark.parametrize("now", [1e308, -1e308, 5e-324, 0.0])
def test_numbers_at_the_ends_of_what_a_float_holds_break_nothing(now):
    past = column(*([1e300 * value for value in normal(seed, n=20)] for seed in range(6)))
    past += column(*([5e-324, value] for value in normal(0, n=9)))
    assert told([*past, *column([now, now, now / 2])]) is not None
    assert told([*column(*([5e-324, 1e-323] for _ in range(15))), *column([now, now, now / 2])]) is not None


def words(seed, n=300, **weights):
    """Values of one batch."""
    return random.Random(seed).choices(list(weights), list(weights.values()), k=n)


@pytest.fixture(scope="module")
def airports():
    """Thirty batches of three airports."""
    return column(*(words(seed, EWR=4, JFK=3, LGA=3) for seed in range(30)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (words(99, EWR=4, JFK=3, LGA=3), set()),
        ([*words(99, EWR=4, JFK=3, LGA=3, n=285), *["ZZZ"] * 15], {("x", "NEW_VALUES")}),
        (["JFK"] * 300, {("x", "SHARES")}),
        (words(99, EWR=4, LGA=3), {("x", "SHARES")}),
    ],
)
def test_categories(airports, values, expected):
    assert kinds([*airports, *column(values)]) == expected


def test_new_values_are_shown_with_how_many_rows_they_have(airports):
    (odd,) = told([*airports, *column([*words(99, EWR=4, JFK=3, LGA=3, n=285), *["ZZZ"] * 15])])
    assert "15 rows have a value that no batch before had: 'ZZZ' (15 rows)" in odd.description


def test_values_that_are_new_in_every_batch_are_usual():
    batches = [[f"order {n * 100 + k}" for k in range(100)] for n in range(31)]
    assert not told(column(*batches))
    assert not told(column(*([*one[:90], *["a"] * 10] for one in batches)))


def test_of_personal_features_only_missing_values_are_told():
    past = [[f"{n}-{k}@x.no" for k in range(50)] for n in range(30)]
    odd = ["secret@x.no"] * 25 + [None] * 25
    for how in ({"personal": ["x"]}, {}):
        schema = Schema.model_validate({"features": {"x": {"type": "string", "personal": True}}})
        found = told(column(*past, odd, **how), schema=schema)
        assert [one.kind for one in found] == ["HISTORY_MISSING"]
        assert "secret" not in repr(found)


def test_numbers_that_are_names_are_looked_at_as_names():
    schema = Schema.model_validate({"features": {"x": {"type": "int", "categorical": True}}})
    past = [[1, 2, 3] * 50] * 30
    assert kinds(column(*past, [1, 2, 60] * 50), schema=schema) == {("x", "NEW_VALUES"), ("x", "SHARES")}


def test_a_share_of_few_rows_says_little():
    past = column(*([None, *[1] * 499] for _ in range(30)))
    assert kinds([*past, *column([None, 1, 1, 1])]) == {("", "ROWS")}
    assert kinds([*past, *column([None, 1, 1, 1] * 125)]) == {("x", "MISSING")}


def test_a_column_that_is_new_has_no_history():
    past = [generate_statistics(pl.DataFrame({"a": [1, 2]}))] * 30
    current = generate_statistics(pl.DataFrame({"a": [1, 2], "b": [None, None]}))
    assert not told([*past, current])


def test_empty_batches_break_nothing():
    past = column(*(normal(seed) if seed % 3 else [] for seed in range(30)), schema=None)
    assert not any(one.path for one in told([*past, *column(normal(99))]))
    assert kinds([*column(*(normal(seed) for seed in range(30))), *column(pl.Series([], dtype=pl.Float64))]) == {
        ("", "ROWS")
    }


# --- real days -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def january():
    """January's flights: a batch a day, and the last day's rows."""
    files = sorted(SAMPLES.glob("*.csv"))
    read = [pl.read_csv(file, null_values="NA", infer_schema_length=None) for file in files]
    first = date(2013, 1, 1)
    return [Past(generate_statistics(frame), first + timedelta(days=n)) for n, frame in enumerate(read)], read[-1]


FAULTS = {
    "nothing": ({}, {}),
    "half the rows lost": ({"": "ROWS"}, lambda frame: frame.gather_every(2)),
    "all rows twice": ({"": "ROWS"}, lambda frame: pl.concat([frame, frame])),
    "a fifth of the distances missing": (
        {"distance": "MISSING"},
        lambda frame: frame.with_columns(pl.when(pl.int_range(pl.len()) % 5 != 0).then("distance").alias("distance")),
    ),
    "seconds for minutes": ({"air_time": "MEAN"}, lambda frame: frame.with_columns(pl.col("air_time") * 60)),
    "a new carrier": (
        {"carrier": "NEW_VALUES"},
        lambda frame: frame.with_columns(
            carrier=pl.when(pl.int_range(pl.len()) % 50 == 0).then(pl.lit("ZZ")).otherwise("carrier")
        ),
    ),
    "kilometres for miles": ({"distance": "MEAN"}, lambda frame: frame.with_columns(pl.col("distance") * 1.609)),
    "one airport for all": ({"origin": "SHARES"}, lambda frame: frame.with_columns(origin=pl.lit("JFK"))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_day_of_flights(january, fault):
    (*past, last), frame = january
    expected, broken = FAULTS[fault]
    current = generate_statistics(broken(frame)) if expected else last.statistics
    found = {(one.path, one.kind.value.removeprefix("HISTORY_")) for one in expect(current, last.at, past, None)}
    assert set(expected.items()) <= found
    assert {path for path, _ in found} == set(expected)


# --- Student's t -----------------------------------------------------------------------------------------------------


@given(st.floats(-1e3, 1e3))
def test_tails_of_one_and_two_degrees_are_as_their_formulas_say(t):
    assert beyond(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(abs(t)), abs=1e-9)
    assert beyond(t, 2) == pytest.approx(1 - abs(t) / math.sqrt(2 + t * t), abs=1e-9)


@given(st.floats(1e-9, 0.9), st.floats(0.5, 100))
def test_the_limit_is_where_that_chance_lies_beyond(chance, freedom):
    assert beyond(limit(chance, freedom), freedom) == pytest.approx(chance, rel=1e-6)


# --- by the front door -----------------------------------------------------------------------------------------------


def day_of_flights(number, rows):
    """The file of a day."""
    head = "time_hour,carrier,flight,origin,dep_delay\n"
    return head + "".join(f"2013-01-{number:02}T05:00:00Z,UA,{n},EWR,{n % 7}\n" for n in range(rows))


def test_a_curation_tells_what_its_history_does_not_expect(project):
    with project.lake() as lake:
        for number in range(1, 12):
            project.deliver(f"{number:02}.csv", day_of_flights(number, 60 + number % 3))
            lake.run("nightly")
        assert not lake.validate(project.flights)
        project.deliver("12.csv", day_of_flights(12, 6))
        lake.run("nightly")
        (odd,) = lake.validate(project.flights).of("")
        assert (odd.kind, odd.figures["value"], odd.figures["batches"]) == ("HISTORY_ROWS", 6, 11)
        assert len(lake.read(project.flights)) == sum(60 + number % 3 for number in range(1, 12)) + 6  # told, and kept


CELLS = st.none() | st.sampled_from(["1", "2.5", "nan", "-1e300", "a", "b", "true", "2013-01-01", ""])
BATCHES = st.lists(
    st.integers(0, 4).flatmap(
        lambda n: st.dictionaries(st.sampled_from(["a", "b"]), st.lists(CELLS, min_size=n, max_size=n))
    ),
    min_size=MINIMUM + 1,
    max_size=MINIMUM + 4,
)


@settings(max_examples=25, deadline=None)
@given(BATCHES, st.floats(0.001, 0.9))
def test_whatever_came_before_what_is_told_is_json_and_of_the_batch(batches, rate):
    frames = [pl.DataFrame(one, schema=dict.fromkeys(one, pl.String)) for one in batches]
    for odd in told([generate_statistics(frame) for frame in frames], rate=rate):
        assert odd.path in {"", *frames[-1].columns}
        assert json.dumps(dict(odd.figures), allow_nan=False)
        assert odd.short
        assert odd.description.endswith(".")
