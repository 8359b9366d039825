"""Rows against their schema: every type's good and bad texts, rules, and that no row is ever lost."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import SchemaError
from lakehouse.schema import Feature, Schema
from lakehouse.validation import Mapping, check


def split(columns: dict, features: dict, dtypes: dict | None = None, **mapping):
    """Valid and rejected rows of these columns."""
    frame = pl.DataFrame(columns, schema=dtypes or dict.fromkeys(columns, pl.String), strict=False)
    held = dict(frame.schema)
    frame = frame.with_columns(_raw=pl.lit("f" * 64), _row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    made = Mapping(Schema(features={n: Feature(**f) for n, f in features.items()}), **mapping)
    checked = check(frame.lazy(), held, made)
    frames = [checked.rows.select("_ok"), checked.valid, checked.rejected]
    counted, good, bad = pl.collect_all(frames, engine="streaming")
    assert counted.height == frame.height == good.height + bad.height
    assert counted["_ok"].sum() == good.height
    assert bad["reasons"].list.len().min() in (None, *range(1, 99))
    assert set(good["_row"]) | set(bad["_row"]) == set(frame["_row"])
    return good, bad


def typed(text, **feature):
    """What one text becomes; its reasons as a list when it is rejected."""
    good, bad = split({"x": [text]}, {"x": feature})
    return good["x"].item() if good.height else bad["reasons"].to_list()[0]


GOOD = [
    ({"type": "int"}, "12", 12),
    ({"type": "int"}, "-7", -7),
    ({"type": "int"}, "12.0", 12),
    ({"type": "int"}, "9223372036854775807", 2**63 - 1),
    ({"type": "int"}, "-9223372036854775808", -(2**63)),
    ({"type": "float"}, "1e3", 1000.0),
    ({"type": "float"}, "-0.5", -0.5),
    ({"type": "decimal", "precision": 10, "scale": 2}, "1.23", Decimal("1.23")),
    ({"type": "decimal", "precision": 10, "scale": 2}, "1.2300", Decimal("1.23")),
    ({"type": "string"}, " a ", " a "),
    ({"type": "bool"}, "yes", True),
    ({"type": "bool"}, "0", False),
    ({"type": "date"}, "2024-02-29", date(2024, 2, 29)),
    ({"type": "date", "format": "%d.%m.%Y"}, "29.02.2024", date(2024, 2, 29)),
    ({"type": "datetime"}, "2013-01-01T12:00:00Z", datetime(2013, 1, 1, 12, tzinfo=UTC)),
    ({"type": "datetime"}, "2013-01-01T12:00:00+02:00", datetime(2013, 1, 1, 10, tzinfo=UTC)),
    ({"type": "datetime"}, "2013-01-01T12:00:00.000001Z", datetime(2013, 1, 1, 12, 0, 0, 1, tzinfo=UTC)),
    ({"type": "datetime", "timezone": "Europe/Oslo"}, "2013-07-01 12:00:00", datetime(2013, 7, 1, 10, tzinfo=UTC)),
    ({"type": "bytes"}, "aGk=", b"hi"),
]
BAD = [
    (
        {"type": "int"},
        ["12.5", " 12", "12 ", "1e3", "9223372036854775808", "", "0x1", "1_000", "1,000", "٣", "12.00", ".0"],
    ),
    ({"type": "float"}, ["1e999", "-1e999", "inf", "-Infinity", "abc", "", "1,5", " 1"]),
    ({"type": "decimal", "precision": 5, "scale": 2}, ["1.239", "1234.5", "abc", "", "1e2", "."]),
    ({"type": "bool"}, ["maybe", "", "TRUE ", "2"]),
    ({"type": "date"}, ["2023-02-29", "2023-13-01", "2023-1-1x", "", "2023-01-01T00:00:00", "01.02.2023"]),
    (
        {"type": "datetime"},
        ["2013-01-01T12:00:00", "2013-01-01", "2013-02-30T00:00:00Z", "", "2013-01-01T12:00:00.0000001Z"],
    ),
    ({"type": "datetime", "timezone": "Europe/Oslo"}, ["2013-03-31T02:30:00", "2013-10-27T02:30:00", "x"]),
    ({"type": "bytes"}, ["%%%", "aGk"]),
]


@pytest.mark.parametrize(("feature", "text", "value"), GOOD)
def test_a_good_text_becomes_its_value(feature, text, value):
    assert typed(text, **feature) == value


@pytest.mark.parametrize(("feature", "text"), [(f, t) for f, texts in BAD for t in texts])
def test_a_bad_text_is_rejected_with_its_one_reason(feature, text):
    reasons = typed(text, **feature)
    assert isinstance(reasons, list)
    assert [r.startswith("x: not a") for r in reasons] == [True]


def test_null_values_are_the_features_own_else_the_formats():
    columns = {"a": ["NA", "-"], "b": ["NA", "-"]}
    features = {
        "a": {"type": "string", "presence": "optional"},
        "b": {"type": "string", "presence": "optional", "null_values": ["-"]},
    }
    good, _ = split(columns, features, null_values=("NA",))
    assert good.select("a", "b").rows() == [(None, "NA"), ("-", None)]


def test_a_default_takes_the_place_of_missing_values_and_never_of_bad_ones():
    good, bad = split({"x": ["1", None, "bad"]}, {"x": {"type": "int", "default": 9}})
    assert good["x"].to_list() == [1, 9]
    assert bad["reasons"].to_list() == [["x: not an int"]]


def test_a_required_value_must_be_there_and_an_optional_one_need_not():
    good, bad = split(
        {"x": ["1", None], "y": [None, "2"]}, {"x": {"type": "int"}, "y": {"type": "int", "presence": "optional"}}
    )
    assert good.select("x", "y").rows() == [(1, None)]
    assert bad["reasons"].to_list() == [["x: missing"]]


@pytest.mark.parametrize(
    ("feature", "text", "reason"),
    [
        ({"type": "string", "domain": ["A", "B"]}, "C", "x: not in its domain"),
        ({"type": "int", "domain": {"min": 0}}, "-1", "x: below 0"),
        ({"type": "int", "domain": {"max": 5}}, "6", "x: above 5"),
        ({"type": "float", "domain": {"min": 0}}, "nan", "x: not a number"),
        ({"type": "date", "domain": {"min": "2020-01-01"}}, "2019-12-31", "x: below 2020-01-01"),
        ({"type": "string", "domain": {"regex": "a|b"}}, "ab", "x: does not match a|b"),
        ({"type": "string", "domain": {"regex": "a"}}, "a\n", "x: does not match a"),
        ({"type": "string", "domain": {"length": {"max": 2}}}, "äöü", "x: length outside 0 to 2"),
    ],
)
def test_a_value_outside_its_domain_is_rejected_by_name(feature, text, reason):
    assert typed(text, **feature) == [reason]


def test_every_reason_of_a_row_is_told_and_its_own_texts_are_kept():
    features = {"x": {"type": "int"}, "y": {"type": "int", "domain": {"max": 1}}, "z": {"type": "string"}}
    _, bad = split({"x": ["q"], "y": ["2"], "z": [None]}, features)
    assert sorted(bad["reasons"].to_list()[0]) == ["x: not an int", "y: above 1", "z: missing"]
    assert json.loads(bad["fields"].item()) == {"x": "q", "y": "2", "z": None}


def test_a_derived_feature_is_made_from_the_typed_ones():
    features = {"x": {"type": "int"}, "y": {"type": "int", "computed": True}}
    good, _ = split({"x": ["20"]}, features, derive={"y": "x * 2"})
    assert good["y"].to_list() == [40]


def test_a_function_that_fills_an_unreadable_value_does_not_save_its_row():
    _, bad = split({"x": ["bad"]}, {"x": {"type": "int"}}, function=lambda f: f.with_columns(pl.col("x").fill_null(0)))
    assert bad["reasons"].to_list() == [["x: not an int"]]


def test_a_function_that_nulls_a_required_value_has_its_row_rejected():
    _, bad = split({"x": ["1"]}, {"x": {"type": "int"}}, function=lambda f: f.with_columns(x=pl.lit(None, pl.Int64)))
    assert bad["reasons"].to_list() == [["x: missing"]]


def test_a_function_that_drops_columns_is_refused():
    with pytest.raises(SchemaError, match="dropped the columns"):
        split({"x": ["1"]}, {"x": {"type": "int"}}, function=lambda f: f.select("x"))


def whole(text):
    """A slow reading of an int, to compare with."""
    digits = text.removesuffix(".0")
    body = digits.removeprefix("-").removeprefix("+") if digits[:1] in "+-" else digits
    fits = body.isascii() and body.isdecimal() and len(digits) - len(body) <= 1
    return int(digits) if fits and -(2**63) <= int(digits) < 2**63 else None


TEXTS = st.none() | st.text("0123456789.-+e ", max_size=6) | st.integers().map(str)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_a_row_is_valid_exactly_when_a_slow_reading_says_so(rows):
    features = {"x": {"type": "int", "domain": {"min": 0}}, "y": {"type": "int", "presence": "optional"}}
    good, _ = split({"x": [r[0] for r in rows], "y": [r[1] for r in rows]}, features)
    wanted = [
        (x, y)
        for a, b in rows
        for x, y in [(a and whole(a), b and whole(b))]
        if a is not None and x not in (None, "") and x >= 0 and (b is None or (b != "" and y is not None))
    ]
    assert good.select("x", "y").rows() == wanted
