"""The point-in-time join by itself: on the cases Feast was compared by, and against a loop over spine and rows."""

from __future__ import annotations

import json
import os
import tarfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.features import joining, point_in_time

FEAST = Path(__file__).parent / "feast" / "cases.tar.xz"
MOMENT = pl.Datetime("us", "UTC")
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
EXAMPLES = int(os.environ.get("LAKEHOUSE_EXAMPLES", "60"))


@pytest.fixture(params=["paired", "placed"])
def way(request, monkeypatch):
    """Each of the two ways to find the newest row, whatever the spine."""
    monkeypatch.setattr(joining, "_MANY", 1_000_000 if request.param == "paired" else 0)
    return request.param


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """The cases, unpacked."""
    folder = tmp_path_factory.mktemp("feast")
    with tarfile.open(FEAST) as packed:
        packed.extractall(folder, filter="data")
    return folder


with tarfile.open(FEAST) as _packed:
    NAMES = sorted({Path(name).parts[0] for name in _packed.getnames()})


@pytest.mark.parametrize("name", NAMES)
def test_a_case_of_feast_is_answered_as_it_should_be(cases, name, way):
    del way
    told = json.loads((cases / name / "case.json").read_text())
    spine, expected = (pl.read_parquet(cases / name / f"{which}.parquet") for which in ("entity", "expected"))
    made = point_in_time(
        spine,
        pl.scan_parquet(cases / name / "features.parquet"),
        told["features"],
        keys=[told["join_key"]],
        time=told["event_ts"],
        event_time=told["event_ts"],
        ttl=timedelta(seconds=told["ttl_seconds"]),
        ties=[told["created"]],
        known_from=told["created"] if told["created_cutoff"] else None,
    )
    assert_frame_equal(made.drop(told["features"]), spine)
    at = pl.col(told["event_ts"]).dt.convert_time_zone("UTC")
    assert_frame_equal(made.with_columns(at), expected.with_columns(at), check_column_order=False)


def _rows(*rows, key="k"):
    """Feature rows of (key, time, value)."""
    return pl.DataFrame(rows, {key: pl.Int64, "at": MOMENT, "f": pl.Int64}, orient="row")


def _spine(*rows, dtype=MOMENT):
    return pl.DataFrame(rows, {"k": pl.Int64, "t": dtype}, orient="row")


def _joined(spine, rows, **more):
    return point_in_time(spine, rows, ["f"], **{"keys": ["k"], "time": "t", "event_time": "at", **more})["f"].to_list()


# --- against a loop ---

_HOURS = st.integers(0, 12)
_KEYS = st.none() | st.integers(0, 2)
_ROW = st.tuples(_KEYS, _KEYS, st.none() | _HOURS, st.integers(0, 3), st.none() | st.integers(1, 9), st.booleans())
_KNOWN = st.tuples(_HOURS, st.none() | _HOURS)


def _seen(row, spine_row, ttl, *, known):
    """Whether a row of the spine may see a feature row, by the rules as they are written."""
    (a, b, at, _, _, _, since, until), (x, y, time) = row, spine_row
    if time is None or at is None or (x is None and y is None) or (a, b) != (x, y):
        return False
    in_time = at <= time and (not ttl or at >= time - ttl)
    return in_time and (not known or (since <= time and (until is None or time < until)))


@given(
    rows=st.lists(st.tuples(_ROW, _KNOWN), max_size=25),
    spine=st.lists(st.tuples(_KEYS, _KEYS, st.none() | _HOURS), max_size=12),
    ttl=st.integers(0, 6),
    known=st.booleans(),
    way=st.sampled_from([0, 1_000_000]),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_join_agrees_with_a_loop_over_all_pairs(rows, spine, ttl, known, way):
    rows = [(*row, *moments, number) for number, (row, moments) in enumerate(rows)]
    expected = []
    for one in spine:
        found = [row for row in rows if _seen(row[:8], one, ttl, known=known)]
        newest = max(found, key=lambda row: (row[2], row[3], row[8]), default=None)
        expected.append(None if newest is None or newest[5] else newest[4])

    def moment(hour):
        return None if hour is None else NOON + timedelta(hours=hour)

    schema = {"a": pl.Int64, "b": pl.Int64, "at": MOMENT, "rank": pl.Int64, "f": pl.Int64, "gone": pl.Boolean}
    schema |= {"since": MOMENT, "until": MOMENT, "number": pl.Int64}
    values = [(a, b, moment(at), *rest, moment(s), moment(u), n) for a, b, at, *rest, s, u, n in rows]
    frame = pl.DataFrame(
        [(n, moment(t), x, y) for n, (x, y, t) in enumerate(spine)], ["n", "t", "a", "b"], orient="row"
    )
    frame = frame.cast({"n": pl.Int64, "t": MOMENT, "a": pl.Int64, "b": pl.Int64})
    many, joining._MANY = joining._MANY, way
    try:
        made = point_in_time(
            frame,
            pl.DataFrame(values, schema, orient="row").lazy(),
            ["f"],
            keys=["a", "b"],
            time="t",
            event_time="at",
            ttl=timedelta(hours=ttl),
            ties=["rank", "rank", "number"],
            deleted=pl.col("gone"),
            **({"known_from": "since", "known_to": "until"} if known else {}),
        )
    finally:
        joining._MANY = many
    assert made["n"].to_list() == list(range(len(spine)))
    assert made["f"].to_list() == expected
    assert made.schema == {**frame.schema, "f": pl.Int64}


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-50, 50), st.integers(0, 99)), max_size=20), st.integers(-5, 5)
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_point_in_time_join_never_sees_the_future(rows, time):
    """What comes after the spine's time changes nothing: neither rows of later, nor rows recorded later."""
    log = pl.DataFrame(
        [(k, NOON + timedelta(hours=h), f, NOON + timedelta(hours=abs(h))) for k, h, f in rows],
        {"k": pl.Int64, "at": MOMENT, "f": pl.Int64, "seen": MOMENT},
        orient="row",
    )
    at = NOON + timedelta(hours=time)
    spine = _spine((0, at), (1, at))
    past = {"ties": ["seen", "f"]}
    assert _joined(spine, log, **past) == _joined(spine, log.filter(pl.col("at") <= at), **past)
    known = {**past, "known_from": "seen"}
    assert _joined(spine, log, **known) == _joined(spine, log.filter(pl.col("at") <= at, pl.col("seen") <= at), **known)


# --- the rules, one by one ---


def test_a_value_is_as_old_as_the_ttl_at_most_and_not_a_microsecond_older(way):
    del way
    rows = _rows((1, NOON, 5))
    edge = NOON + timedelta(days=1)
    spine = _spine((1, edge), (1, edge + timedelta(microseconds=1)))
    assert _joined(spine, rows, ttl=timedelta(days=1)) == [5, None]
    assert _joined(spine, rows, ttl=timedelta()) == [5, 5]
    assert _joined(spine, rows, ttl=timedelta.max) == [5, 5]


def test_a_negative_ttl_is_refused():
    with pytest.raises(ConfigError, match="ttl"):
        _joined(_spine((1, NOON)), _rows(), ttl=timedelta(seconds=-1))


def test_nanoseconds_of_the_spine_count_on_both_edges(way):
    del way
    rows = _rows((1, NOON, 5))
    spine = pl.DataFrame({"k": [1, 1, 1], "t": [NOON, NOON, NOON + timedelta(days=1)]}).with_columns(
        pl.col("t").cast(pl.Datetime("ns", "UTC")) + pl.Series([0, -1, 1]).cast(pl.Duration("ns"))
    )
    assert _joined(spine, rows, ttl=timedelta(days=1)) == [5, None, None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_a_moment_is_a_moment_in_any_unit_and_zone(unit, zone):
    spine = _spine((1, NOON), (1, NOON - timedelta(milliseconds=1))).with_columns(
        pl.col("t").dt.convert_time_zone(zone).dt.cast_time_unit(unit)
    )
    assert _joined(spine, _rows((1, NOON, 5))) == [5, None]


def test_a_day_is_its_midnight_in_utc_on_both_sides(way):
    del way
    days = _rows((1, NOON, 5)).with_columns(pl.col("at").dt.date())
    midnight = datetime(2026, 1, 10, tzinfo=UTC)
    spine = _spine((1, midnight), (1, midnight - timedelta(microseconds=1)))
    assert _joined(spine, days) == [5, None]
    by_day = _spine((1, date(2026, 1, 10)), (1, date(2026, 1, 11)), (1, date(2026, 1, 12)), dtype=pl.Date)
    assert _joined(by_day, _rows((1, NOON, 5))) == [None, 5, 5]
    assert _joined(by_day, days, ttl=timedelta(days=1)) == [5, 5, None]


def test_times_without_a_zone_are_refused_unless_there_is_one_to_take():
    spine = _spine((1, datetime(2026, 1, 10, 13)), dtype=pl.Datetime("us"))  # noqa: DTZ001
    with pytest.raises(ConfigError, match="has no time zone"):
        _joined(spine, _rows((1, NOON, 5)))
    assert _joined(spine, _rows((1, NOON, 5)), timezone="Europe/Oslo") == [5]  # 12:00 in UTC
    assert _joined(spine, _rows((1, NOON, 5)), timezone="Asia/Tokyo") == [None]


@pytest.mark.parametrize("odd", [datetime(2026, 3, 8, 2, 30), datetime(2026, 11, 1, 1, 30)])  # noqa: DTZ001
def test_a_time_that_a_clock_shows_twice_or_never_is_refused(odd):
    with pytest.raises(ConfigError, match="twice or never"):
        _joined(_spine((1, odd), dtype=pl.Datetime("us")), _rows(), timezone="America/New_York")


@pytest.mark.parametrize("wrong", [pl.String, pl.Int64, pl.Time])
def test_a_column_that_holds_no_times_is_refused(wrong):
    with pytest.raises(ConfigError, match="make it a Datetime"):
        _joined(_spine((1, NOON)).with_columns(t=pl.lit(None, wrong)), _rows())


def test_a_spine_without_a_time_or_any_key_gets_nothing_and_stays(way):
    del way
    spine = _spine((None, NOON), (1, None), (1, NOON))
    assert _joined(spine, _rows((1, NOON, 5), (None, NOON, 6))) == [None, None, 5]
    empty = pl.DataFrame({"k": [None], "t": [None]})
    assert _joined(empty, _rows((1, NOON, 5))) == [None]


def test_integers_of_any_width_are_compared_by_value():
    rows = _rows((1, NOON, 5), (-1, NOON, 6))
    for dtype in (pl.Int8, pl.UInt64, pl.Int128):
        assert _joined(_spine((1, NOON)).cast({"k": dtype}), rows) == [5]
    huge = _spine((1, NOON)).with_columns(k=pl.lit(2**64 - 1, pl.UInt64))
    assert _joined(huge, rows) == [None]  # not -1


def test_a_key_that_the_type_cannot_hold_is_not_taken_for_a_missing_one():
    rows = pl.DataFrame({"a": [1], "b": [None], "at": [NOON], "f": [5]}, schema_overrides={"b": pl.Int8, "at": MOMENT})
    spine = pl.DataFrame({"a": [1, 1], "b": [None, 300], "t": [NOON, NOON]}, schema_overrides={"t": MOMENT})
    assert _joined(spine, rows, keys=["a", "b"]) == [5, None]


def test_words_are_words_however_they_are_kept():
    rows = _rows((1, NOON, 5)).with_columns(k=pl.lit("JFK"))
    for dtype in (pl.Categorical, pl.Enum(["JFK"])):
        assert _joined(_spine((1, NOON)).with_columns(k=pl.lit("JFK").cast(dtype)), rows) == [5]


@pytest.mark.parametrize("wrong", [pl.String, pl.Float64, pl.Boolean])
def test_a_key_of_another_kind_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"key 'k' is .* in the spine and Int64"):
        _joined(_spine((1, NOON)).cast({"k": wrong}), _rows((1, NOON, 5)))


def test_a_spine_that_lacks_a_key_is_told_the_nearest():
    with pytest.raises(NotFoundError, match=r"no column 'k', which is a key\. Did you mean 'K'"):
        _joined(_spine((1, NOON)).rename({"k": "K"}), _rows((1, NOON, 5)))


def test_without_keys_every_row_is_of_the_same(way):
    del way
    assert _joined(_spine((1, NOON), (7, NOON), (None, NOON)), _rows((1, NOON, 5)), keys=[]) == [5, 5, 5]


def test_columns_that_look_like_the_joins_own_are_left_alone(way):
    del way
    names = ["slot", "at", "key 0", "feature 0", "time", "since", "place", "group", "to", "from", "deleted"]
    spine = _spine((1, NOON)).with_columns(pl.lit(name).alias(name) for name in names)
    rows = _rows((1, NOON, 5)).with_columns(pl.lit(0).alias(name) for name in names if name != "at")
    made = point_in_time(spine, rows, ["f"], keys=["k"], time="t", event_time="at", ttl=timedelta(1), ties=["slot"])
    assert_frame_equal(made, spine.with_columns(f=pl.lit(5, pl.Int64)))


def test_a_spine_without_rows_has_the_types_of_one_with_rows(way):
    del way
    made = point_in_time(_spine(), _rows((1, NOON, 5)), {"g": "f"}, keys=["k"], time="t", event_time="at")
    assert made.schema == {"k": pl.Int64, "t": MOMENT, "g": pl.Int64}
    assert made.height == 0


def test_rows_of_nested_and_other_types_come_through(way):
    del way
    rows = _rows((1, NOON, 5)).with_columns(
        l=pl.concat_list("f", pl.lit(None, pl.Int64)), s=pl.struct(x="f"), b=pl.lit(b"a")
    )
    made = point_in_time(_spine((1, NOON), (2, NOON)), rows, ["l", "s", "b"], keys=["k"], time="t", event_time="at")
    assert made.select("l", "s", "b").rows() == [([5, None], {"x": 5}, b"a"), (None, None, None)]


def test_a_hot_key_costs_what_its_rows_cost_and_not_rows_times_spine():
    """30,000 rows of one key for 30,000 times: 900 million pairs would take minutes and gigabytes."""
    rows = pl.DataFrame({"k": 1, "f": pl.int_range(30_000, eager=True)}).with_columns(
        at=NOON + pl.col("f") * pl.duration(seconds=1)
    )
    made = _joined(rows.select("k", t="at").sort("t", descending=True), rows.cast({"at": MOMENT}))
    assert made == list(range(29_999, -1, -1))
