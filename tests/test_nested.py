"""Lists and structs: every way they are written, what is wrong with them, and that they come through a table whole."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.schema import Feature, Schema
from lakehouse.validation import Mapping, check


def split(values, feature, dtype=pl.String, **mapping):
    """The typed values of the valid rows by row number, and the reasons of the others."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    rows = frame.with_columns(_raw=pl.lit("f" * 64), _row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy()
    checked = check(rows, dict(frame.schema), Mapping(Schema(features={"x": Feature(**feature)}), **mapping))
    good, bad = pl.collect_all([checked.valid, checked.rejected], engine="streaming")
    assert good.height + bad.height == frame.height
    kept = dict(zip(good["_row"], good["x"].to_list(), strict=True))
    return kept, dict(zip(bad["_row"], bad["reasons"].to_list(), strict=True))


def outcome(text, dtype=pl.String, mapping=None, **feature):
    """What one value becomes, or its reasons."""
    kept, bad = split([text], feature, dtype, **(mapping or {}))
    return kept[0] if kept else bad[0]


INTS = {"type": "list[int]"}
JOINED = {"type": "list[int]", "separator": ";"}
WORDS = {"type": "list[string]"}
ADDRESS = {
    "type": "struct",
    "fields": {
        "street": {"type": "string"},
        "no": {"type": "int", "presence": "optional", "domain": {"min": 1}},
        "size": {"type": "decimal", "scale": 2, "presence": "optional"},
        "tags": {"type": "list[string]", "presence": "optional", "valency": {"max": 2}},
        "in": {"type": "struct", "presence": "optional", "fields": {"z": {"type": "bool"}}},
    },
}
STOPS = {
    "type": "list[struct]",
    "fields": {"at": {"type": "string", "domain": ["EWR", "JFK"]}, "n": {"type": "int", "presence": "optional"}},
}


@pytest.mark.parametrize(
    ("feature", "text", "value"),
    [
        (JOINED, "1;2", [1, 2]),
        (JOINED, "1", [1]),
        (JOINED, "", []),
        ({"type": "list[string]", "separator": "|"}, "a||b", ["a", "", "b"]),
        ({"type": "list[date]", "separator": " "}, "2024-02-29", None),
        (INTS, "[1, 2]", [1, 2]),
        (INTS, " [ ] ", []),
        (INTS, '["1", 2.0]', [1, 2]),
        (WORDS, '["a, ]\\"", "\\u00e9\\n", 1.10, true, "null", "=x"]', ['a, ]"', "é\n", "1.10", "true", "null", "=x"]),
        (ADDRESS, '{"street": "x"}', {"street": "x", "no": None, "size": None, "tags": None, "in": None}),
        (
            ADDRESS,
            '{"in": {"z": true}, "tags": ["a", "]"], "size": 1.10, "no": 3, "street": "}\\"", "more": [{}]}',
            {
                "street": '}"',
                "no": 3,
                "size": pl.Series(["1.10"]).cast(pl.Decimal(38, 2))[0],
                "tags": ["a", "]"],
                "in": {"z": True},
            },
        ),
        (
            STOPS,
            '[{"at": "EWR", "n": 1}, {"at": "JFK", "o": {"p": [{}]}}]',
            [{"at": "EWR", "n": 1}, {"at": "JFK", "n": None}],
        ),
        (STOPS, "[]", []),
    ],
)
def test_a_text_becomes_its_list_or_struct(feature, text, value):
    if value is not None:
        assert outcome(text, **feature) == value
    else:
        assert [str(day) for day in outcome(text, **feature)] == [text]


@pytest.mark.parametrize(
    ("feature", "text", "reason"),
    [
        (JOINED, "1;x", "x: not a list of int"),
        (JOINED, "1;;2", "x: not a list of int"),
        (INTS, "[1, 2", "x: not a list of int"),
        (INTS, "[1, 2.5]", "x: not a list of int"),
        (INTS, "5", "x: not a list of int"),
        (INTS, '"[1]"', "x: not a list of int"),
        (INTS, "[[1]]", "x: not a list of int"),
        (INTS, '[{"a": 1}]', "x: not a list of int"),
        (INTS, "[1, null]", "x: null in its list"),
        ({**JOINED, "valency": {"min": 2, "max": 3}}, "1", "x: valency outside 2 to 3"),
        ({**JOINED, "valency": {"max": 1}}, "1;2", "x: valency outside 0 to 1"),
        ({**JOINED, "valency": {"min": 1}}, "", "x: valency outside 1 to any"),
        ({**JOINED, "domain": {"max": 5}}, "1;6", "x: above 5"),
        ({**WORDS, "domain": ["A", "B"]}, '["A", "C"]', "x: not in its domain"),
        (ADDRESS, "[1]", "x: not a struct"),
        (ADDRESS, '{"street": ', "x: not a struct"),
        (ADDRESS, "{}", "x.street: missing"),
        (ADDRESS, '{"street": null}', "x.street: missing"),
        (ADDRESS, '{"street": {"a": 1}}', "x.street: not a string"),
        (ADDRESS, '{"street": "x", "no": "y"}', "x.no: not an int"),
        (ADDRESS, '{"street": "x", "no": 0}', "x.no: below 1"),
        (ADDRESS, '{"street": "x", "size": 1.001}', "x.size: not a decimal of 38 digits, 2 after the point"),
        (ADDRESS, '{"street": "x", "tags": "a"}', "x.tags: not a list of string"),
        (ADDRESS, '{"street": "x", "tags": ["a", "b", "c"]}', "x.tags: valency outside 0 to 2"),
        (ADDRESS, '{"street": "x", "in": {}}', "x.in.z: missing"),
        (STOPS, '[{"at": "EWR"}, {"at": "LGA"}]', "x.at: not in its domain"),
        (STOPS, '[{"n": 1}]', "x.at: missing"),
        (STOPS, '[{"at": "EWR", "n": "y"}]', "x.n: not an int"),
        (STOPS, "[1]", "x: not a list of struct"),
        (STOPS, "[null]", "x: null in its list"),
        (STOPS, '["{}"]', "x: not a list of struct"),
    ],
)
def test_a_text_that_does_not_fit_is_rejected_with_its_one_reason(feature, text, reason):
    assert outcome(text, **feature) == [reason]


def test_missing_is_no_empty_list():
    kept, bad = split([None, "", "NA", "1;NA"], {**JOINED, "presence": "optional"}, null_values=("NA",))
    assert kept == {0: None, 1: [], 2: None}
    assert bad == {3: ["x: null in its list"]}
    assert split([None], JOINED)[1] == {0: ["x: missing"]}


@pytest.mark.parametrize(
    ("dtype", "value", "feature", "what"),
    [
        (pl.List(pl.Int8), [1, 2], INTS, [1, 2]),
        (pl.Array(pl.Float64, 2), [1.0, 2.0], INTS, [1, 2]),
        (pl.List(pl.Float64), [1.5], INTS, ["x: not a list of int"]),
        (pl.List(pl.Int64), [1, None], INTS, ["x: null in its list"]),
        (pl.List(pl.Int64), [9], {**INTS, "domain": {"max": 5}}, ["x: above 5"]),
        (pl.List(pl.String), ["1", "2.0"], INTS, [1, 2]),
        (pl.Int64, 5, INTS, ["x: not a list of int"]),
        (pl.Struct({"a": pl.Int64}), {"a": 1}, INTS, ["x: not a list of int"]),
        (pl.Struct({"at": pl.String}), {"at": "EWR"}, {**STOPS, "type": "struct"}, {"at": "EWR", "n": None}),
        (pl.Struct({"at": pl.String}), {"at": None}, {**STOPS, "type": "struct"}, ["x.at: missing"]),
        (pl.List(pl.Struct({"at": pl.String, "n": pl.String})), [{"at": "EWR", "n": "q"}], STOPS, ["x.n: not an int"]),
        (pl.Int64, 5, ADDRESS, ["x: not a struct"]),
    ],
)
def test_a_typed_files_own_lists_and_structs_are_held_to_the_same(dtype, value, feature, what):
    assert outcome(value, dtype, **feature) == what


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "n", "o"]), inner, max_size=3),
    max_leaves=8,
)


def slowly(value):
    """STOPS as a slow reader takes it, None where it does not; an int is written without a fraction."""
    if not isinstance(value, list):
        return None
    found = []
    for stop in value:
        if not isinstance(stop, dict) or stop.get("at") not in ("EWR", "JFK"):
            return None
        number = stop.get("n")
        text = number if isinstance(number, str) else json.dumps(number)
        if number is not None:
            digits = text.removesuffix(".0")
            body = digits[1:] if digits[:1] in ("-", "+") else digits
            if not (body.isascii() and body.isdecimal()):
                return None
            number = int(digits)
        found.append({"at": stop["at"], "n": number})
    return found


STOP = st.fixed_dictionaries({"at": st.sampled_from(["EWR", "JFK", "EWR", "LGA"])}, optional={"n": SCALARS, "o": JSON})


@settings(max_examples=40, deadline=None)
@given(st.lists(JSON | st.lists(STOP, max_size=3), min_size=1, max_size=6))
def test_json_is_taken_exactly_as_a_slow_reader_takes_it(values):
    kept, bad = split([json.dumps(value) for value in values], STOPS)
    wanted = {row: found for row, value in enumerate(values) if (found := slowly(value)) is not None}
    assert kept == wanted
    assert all(bad.values())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.none() | st.text('[]{}",:\\ 0123456789.eEtrufalsn=-', max_size=12), min_size=1, max_size=8))
def test_no_text_stops_the_reading(texts):
    for feature in (INTS, WORDS, ADDRESS, STOPS):
        split(texts, feature)


DATASET = """
    source: things
    schema:
      features:
        id: {type: int}
        dests: {type: "list[int]", separator: ";", presence: optional, valency: {max: 2}}
        tags: {type: "list[string]", domain: [A, B]}
        address: {type: struct, fields: {street: {type: string}, no: {type: int, presence: optional}}}
"""
ROWS = [
    {"id": 1, "dests": [1, 2], "tags": ["A"], "address": {"street": "x", "no": 3}},
    {"id": 2, "dests": None, "tags": [], "address": {"street": "é", "no": None}},
    {"id": 3, "dests": [1, 2, 3], "tags": ["C"], "address": {"street": None, "no": 1}},
]


def joined(row):
    """A row as a text format has it: its list of numbers joined, the rest JSON."""
    return {**row, "dests": None if row["dests"] is None else ";".join(map(str, row["dests"]))}


def written(form, rows, path):
    """A file of these rows."""
    frame = pl.DataFrame(rows, schema_overrides={"dests": pl.List(pl.Int32)}, strict=False)
    match form:
        case "parquet":
            frame.write_parquet(path)
        case "csv":
            texts = [
                {k: v if v is None or k in ("id", "dests") else json.dumps(v) for k, v in joined(r).items()}
                for r in rows
            ]
            pl.DataFrame(texts).write_csv(path)
        case "json":
            path.write_text(json.dumps([joined(row) for row in rows]), "utf-8")
        case "ndjson":
            path.write_text("".join(json.dumps(joined(row)) + "\n" for row in rows), "utf-8")


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet"])
def test_lists_and_structs_come_through_the_table_and_back(project, form):
    project.configure("sources/things", f"type: files\npath: incoming/*\nformat: {{type: {form}}}")
    project.configure("datasets/a/things", DATASET)
    with project.lake() as lake:
        for name in ("first", "second"):
            row = {**ROWS[0], "id": len(name)}
            written(form, [*ROWS, row], project.folder / "incoming" / name)
            lake.land("things")
            done = lake.curate("a/things")
            assert (done.curated, done.rejected) == (3, 1)
        rows = lake.read("a/things")
        assert rows.schema["dests"] == pl.List(pl.Int64)
        newest = rows.filter(pl.col("_execution") == done.execution).sort("_row")
        assert newest.select("id", "dests", "tags", "address").to_dicts() == [*ROWS[:2], {**ROWS[0], "id": 6}]
        reasons = lake.quarantine("a/things").collect()["reasons"].to_list()
        assert reasons == [["dests: valency outside 0 to 2", "tags: not in its domain", "address.street: missing"]] * 2
        assert '"street"' in lake.trace("a/things", rows.row(0, named=True)).text.replace('""', '"')
        assert not lake.check()
