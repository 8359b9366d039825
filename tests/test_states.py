"""States of keys: what plain Python finds by looking at every row, and what the queries find, agree."""

import itertools
import math
import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse import states
from lakehouse.states import DELETE

EXAMPLES = int(os.environ.get("LAKEHOUSE_EXAMPLES", "60"))
DAY = datetime(2020, 1, 1, tzinfo=UTC)
KEYS = ("a", "b")
ENGINES = ("streaming", "in-memory")
SCHEMA = {
    "a": pl.String,
    "b": pl.Int64,
    "value": pl.Float64,
    "_execution": pl.Int64,
    "_change": pl.String,
    "_valid_from": pl.Datetime("us", "UTC"),
    "_position": pl.Int64,
}


def day(number):
    return DAY + timedelta(days=number)


said = st.tuples(
    st.sampled_from([None, "x", "y"]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, 0.0, 1.5, math.nan]),
    st.integers(1, 3),
    st.sampled_from(["upsert", "upsert", DELETE]),
    st.integers(0, 5).map(day),
)


@st.composite
def logs(draw):
    """Rows in any order, each with its own place in its execution."""
    rows = [(*row, number) for number, row in enumerate(draw(st.lists(said, max_size=25)))]
    return pl.DataFrame(draw(st.permutations(rows)), schema=SCHEMA, orient="row")


def spans_of(log):
    """Every state of each key, deletes too: the row, and until when it was true."""
    found = {}
    for row in sorted(log.rows(named=True), key=lambda r: (r["_valid_from"], r["_execution"], r["_position"])):
        found.setdefault((row["a"], row["b"]), {})[row["_valid_from"]] = row  # the last said of a moment stays
    for key, moments in found.items():
        ends = [*list(moments)[1:], None]
        found[key] = list(zip(moments.values(), ends, strict=True))
    return found


def at(log, moment):
    """The state of each key at a moment, looked up in its states."""
    return {
        key: row
        for key, states_of_key in spans_of(log).items()
        for row, end in states_of_key
        if row["_valid_from"] <= moment and (end is None or moment < end) and row["_change"] != DELETE
    }


def same(found, rows):
    expected = pl.DataFrame(list(rows), schema=found.schema) if rows else found.clear()
    assert_frame_equal(found, expected, check_row_order=False)


@settings(max_examples=EXAMPLES, deadline=None)
@given(logs(), st.sampled_from(ENGINES))
def test_the_state_at_every_moment_is_what_the_rows_say_one_by_one(log, engine):
    for moment in map(day, range(-1, 7)):
        found = states.valid_at(log.lazy(), KEYS, moment).collect(engine=engine)
        same(found, at(log, moment).values())
    same(states.current(log.lazy(), KEYS).collect(engine=engine), at(log, day(99)).values())


@settings(max_examples=EXAMPLES, deadline=None)
@given(logs(), st.sampled_from(ENGINES))
def test_the_history_has_every_state_with_its_bounds_and_nothing_else(log, engine):
    found = states.history(log.lazy(), KEYS).collect(engine=engine)
    expected = [
        {**row, "valid_from": row["_valid_from"], "valid_to": end}
        for states_of_key in spans_of(log).values()
        for row, end in states_of_key
        if row["_change"] != DELETE
    ]
    same(found, [{name: row[name] for name in found.columns} for row in expected])
    assert found.equals(found.sort("a", "b", "valid_from", nulls_last=True))
    assert found.filter(pl.col("valid_to") <= pl.col("valid_from")).is_empty()


@settings(max_examples=EXAMPLES, deadline=None)
@given(logs(), logs(), st.sampled_from(ENGINES))
def test_what_became_of_each_key_is_what_a_look_at_both_states_tells(old, new, engine):
    before, after = at(old, day(99)), at(new, day(99))
    compared = states.compared(
        states.current(old.lazy(), KEYS), states.current(new.lazy(), KEYS), KEYS, [*KEYS, "value"]
    )
    found = compared.collect(engine=engine)

    def alike(one, other):
        return one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other))

    expected = [{**after[key], "_change": "insert"} for key in after.keys() - before.keys()]
    expected += [{**before[key], "_change": DELETE} for key in before.keys() - after.keys()]
    expected += [
        {**after[key], "_change": "update"}
        for key in before.keys() & after.keys()
        if not alike(before[key]["value"], after[key]["value"])
    ]
    same(found, [{name: row[name] for name in found.columns} for row in expected])


def test_a_column_that_only_one_side_has_is_null_on_the_other():
    old = pl.LazyFrame({"a": ["x", "y"], "gone": [1, 2]})
    new = pl.LazyFrame({"a": ["x", "y"], "come": [None, 5]}, schema={"a": pl.String, "come": pl.Int64})
    found = states.compared(old, new, ["a"], ["a", "come"]).collect()
    assert found.rows(named=True) == [{"_change": "update", "a": "y", "come": 5}]
    assert states.compared(old, new, ["a"], ["a", "gone"]).collect()["_change"].to_list() == ["update", "update"]


def test_lists_and_structs_are_compared_by_what_they_hold():
    schema = {"a": pl.Int64, "list": pl.List(pl.Float64), "struct": pl.Struct({"x": pl.Float64})}
    rows = [{"a": n, "list": v, "struct": {"x": x}} for n, (v, x) in enumerate([([math.nan], 1.0), (None, None)])]
    other = [{**rows[0], "list": [1.0]}, {**rows[1], "struct": {"x": 2.0}}]
    old, same_again, new = (pl.LazyFrame(r, schema=schema) for r in (rows, rows, other))
    assert states.compared(old, same_again, ["a"], schema).collect().is_empty()
    assert states.compared(old, new, ["a"], schema).collect()["_change"].to_list() == ["update", "update"]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_rows_have_no_states(engine):
    empty = pl.LazyFrame(schema=SCHEMA)
    for made in (states.current(empty, KEYS), states.history(empty, KEYS), states.compared(empty, empty, KEYS, KEYS)):
        assert made.collect(engine=engine).is_empty()


def test_of_many_rows_at_the_same_moment_the_last_recorded_counts():
    rows = [
        ("x", 0, float(execution * 10 + position), execution, "upsert", DAY, position)
        for execution, position in itertools.product((3, 1, 2), (5, 7, 6))
    ]
    log = pl.LazyFrame(rows, schema=SCHEMA, orient="row")
    assert states.current(log, KEYS).collect()["value"].to_list() == [37.0]
