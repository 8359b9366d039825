"""Typed values, from Parquet or computed, against their schema: nothing is cut or becomes null without a word."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar

import polars as pl
import pytest

from lakehouse.config import Dataset
from lakehouse.curation.header import Header
from lakehouse.errors import FormatError, SchemaError
from lakehouse.schema import Feature, Schema
from lakehouse.validation import Mapping, check

PROVENANCE = {"_raw": pl.lit("f" * 64), "_row": pl.int_range(1, pl.len() + 1, dtype=pl.Int64)}


def split(frame, features, added=(), **mapping):
    """Valid and rejected rows of a typed file."""
    made = Mapping(Schema(features={n: Feature(**f) for n, f in features.items()}), **mapping)
    rows = frame.with_columns(**PROVENANCE).lazy()
    checked = check(rows, dict(frame.schema), made, added)
    good, bad = pl.collect_all([checked.valid, checked.rejected], engine="streaming")
    assert good.height + bad.height == frame.height
    return good, bad


def of(dtype, *values):
    return pl.DataFrame({"x": pl.Series(values, dtype=dtype)})


OPTIONAL = {"presence": "optional"}


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Oslo"])
def test_nanoseconds_that_microseconds_cannot_hold_are_rejected(zone):
    features = {"x": {"type": "datetime", "timezone": None if zone else "UTC", **OPTIONAL}}
    good, bad = split(of(pl.Datetime("ns", zone), 1_001, 1_000, None, -1), features)
    assert good["_row"].to_list() == [2, 3]
    assert [reasons[0].startswith("x: not a datetime") for reasons in bad["reasons"]] == [True, True]


def test_milliseconds_become_microseconds():
    good, _ = split(of(pl.Datetime("ms", "UTC"), 1, None), {"x": {"type": "datetime", **OPTIONAL}})
    assert good["x"].to_list() == [datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), None]


def test_bytes_are_read_as_text_where_a_string_is_asked():
    good, _ = split(of(pl.Binary, b"a", None), {"x": {"type": "string", **OPTIONAL}})
    assert good["x"].to_list() == ["a", None]


@pytest.mark.parametrize("presence", ["required", "optional"])
@pytest.mark.parametrize(
    ("kind", "sql", "x", "reason"),
    [
        ({"type": "int"}, "x / 2", 5, "y: not an int"),
        ({"type": "int"}, "x / 2", 2**62, None),
        ({"type": "decimal", "precision": 3, "scale": 1}, "x * 100", 10, "y: not a decimal of 3 digits, 1 after the p"),
        ({"type": "float"}, "x / 0", 5, "y: not a float"),
        ({"type": "float"}, "0 - x / 0", 5, "y: not a float"),
        ({"type": "float", "domain": {"min": 0}}, "x / 0", 0, "y: not a number"),
        ({"type": "date"}, "CONCAT('2024-02-', x)", 30, "y: not a date"),
    ],
)
def test_a_derived_value_that_does_not_fit_is_rejected_by_its_type_and_not_as_missing(kind, sql, x, reason, presence):
    features = {"x": {"type": "int"}, "y": {**kind, "computed": True, "presence": presence}}
    good, bad = split(of(pl.Int64, x), features, derive={"y": sql})
    assert good.height == (reason is None)
    assert [[told.startswith(reason) for told in row] for row in bad["reasons"]] == [[True]] * bad.height


def test_derived_nan_and_null_are_what_they_are_in_text():
    features = {"x": {"type": "int", **OPTIONAL}, "y": {"type": "float", "computed": True, **OPTIONAL}}
    good, _ = split(of(pl.Int64, 0, None), features, derive={"y": "x / 0"})
    assert [str(y) for y in good["y"]] == ["nan", "None"]


def test_a_required_derived_value_made_from_nothing_is_missing():
    features = {"x": {"type": "int", **OPTIONAL}, "y": {"type": "int", "computed": True}}
    _, bad = split(of(pl.Int64, None), features, derive={"y": "x / 2"})
    assert bad["reasons"].to_list() == [["y: missing"]]


def test_a_function_that_makes_a_read_value_unfit_has_its_row_rejected_with_one_reason():
    features = {"x": {"type": "int"}}
    frame = of(pl.String, "1", "bad")
    good, bad = split(frame, features, function=lambda f: f.with_columns(x=pl.col("x").fill_null(0) + 0.5))
    assert good.height == 0
    assert bad["reasons"].to_list() == [["x: not an int"], ["x: not an int"]]


def test_a_function_that_makes_infinity_has_its_row_rejected():
    features = {"x": {"type": "float"}}
    _, bad = split(of(pl.String, "1"), features, function=lambda f: f.with_columns(x=pl.col("x") / 0))
    assert bad["reasons"].to_list() == [["x: not a float"]]


def broken_function(_):
    raise KeyError("boom")


def wordless_function(_):
    raise ValueError


def late_function(frame):
    return frame.select(pl.col("nowhere"))


@pytest.mark.parametrize(
    ("function", "words", "cause"),
    [
        (broken_function, r"broken_function raised KeyError: 'boom'", KeyError),
        (wordless_function, r"wordless_function raised ValueError$", ValueError),
        (late_function, r"late_function raised ColumnNotFoundError: .*nowhere", pl.exceptions.ColumnNotFoundError),
    ],
)
def test_whatever_a_function_raises_is_told_with_its_name(function, words, cause):
    with pytest.raises(SchemaError, match=rf"^curate: {__name__}\.{words}") as caught:
        split(of(pl.Int64, 1), {"x": {"type": "int"}}, function=function)
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty or with '*'"),
        ("a*", "empty or with '*'"),
        ("__HIVE_DEFAULT_PARTITION__", "a partition folder's word for missing"),
        ("é" * 43, "longer than 84 bytes"),
    ],
)
def test_a_text_no_folder_can_be_named_after_is_rejected(text, what):
    good, bad = split(of(pl.String, text, "é" * 42), {"x": {"type": "string", **OPTIONAL}}, partition_by=("x",))
    assert good["_row"].to_list() == [2]
    assert bad["reasons"].to_list() == [[f"x: {what}, so nothing to partition by"]]


NESTED = [
    (pl.List(pl.Int64), [1, None], [1, None]),
    (pl.Array(pl.Int8, 2), [1, 2], [1, 2]),
    (
        pl.Struct({"b": pl.Binary, "d": pl.List(pl.Duration("us"))}),
        {"b": b"\xff", "d": [timedelta(1)]},
        {"b": "/w==", "d": ["P1D"]},
    ),
    (pl.List(pl.Struct({"t": pl.String})), [{"t": '}"'}, None], [{"t": '}"'}, None]),
]


@pytest.mark.parametrize(("dtype", "value", "json_value"), NESTED)
def test_a_nested_column_is_added_as_json_and_shown_so_in_quarantine(dtype, value, json_value):
    frame = pl.DataFrame({"id": ["1", "2", "bad"], "n": pl.Series([value, None, value], dtype=dtype)})
    good, bad = split(frame, {"id": {"type": "int"}}, added=["n"])
    assert good.schema["n"] == pl.String
    assert [None if text is None else json.loads(text) for text in good["n"]] == [json_value, None]
    assert json.loads(bad["fields"].item()) == {"id": "bad", "n": json_value}


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        (pl.Binary, b"\xff", "/w=="),
        (pl.Duration("ms"), timedelta(hours=1), "PT1H"),
        (pl.Date, date(2024, 2, 29), "2024-02-29"),
        (pl.Float64, 1.5, "1.5"),
    ],
)
def test_an_added_column_of_any_type_keeps_its_value_as_text(dtype, value, text):
    good, _ = split(of(dtype, value, None).with_columns(id=pl.lit("1")), {"id": {"type": "int"}}, added=["x"])
    assert good["x"].to_list() == [text, None]


def test_a_nested_column_read_as_a_string_is_json():
    good, _ = split(of(pl.List(pl.Int64), [1], None), {"x": {"type": "string", **OPTIONAL}})
    assert good["x"].to_list() == ["[1]", None]


class Counting(Mapping):
    """A mapping that counts how often its columns are worked out."""

    asked: ClassVar[list[int]] = []

    def columns(self):
        """As the mapping's, counted."""
        self.asked.append(1)
        return super().columns()


def test_files_with_one_header_are_held_against_the_schema_once():
    schema = Schema(features={"id": Feature(type="int"), "gone": Feature(type="int", presence="optional")})
    dataset = Dataset(name="a/t", source="s", schema=schema, new_columns="add")
    header = Header(dataset, Counting(schema))
    Counting.asked.clear()
    told = [header.check(("id", "new"), f"{n}.csv") for n in range(2000)]
    added = [header.added(("id", "new")) for _ in range(2000)]
    assert [(n.kind, n.where) for n in told[0]] == [("new_column", "a/t: new"), ("missing_column", "a/t: gone")]
    assert not any(told[1:])
    assert added == [["new"]] * 2000
    assert len(Counting.asked) <= 1
    for name in ("p.csv", "q.csv"):
        with pytest.raises(FormatError, match=f"'{name}' lacks the required column 'id'"):
            header.check(("new",), name)
