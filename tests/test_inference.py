"""A schema from statistics, and proposals to change one."""

import dataclasses
import tarfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse import Schema, generate_statistics, infer_schema, update_schema, validate_statistics
from lakehouse.errors import NotFoundError, SchemaError
from lakehouse.schema import Rule
from lakehouse.validation.statistics import Broken

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def text(**columns):
    """A table of text, as a CSV file is."""
    return pl.DataFrame({name: [None if v is None else str(v) for v in held] for name, held in columns.items()})


def features(frame, **options):
    """What is inferred of each column, as YAML would have it; required where nothing is said."""
    schema = infer_schema(generate_statistics(frame), **options)
    return {name: feature.model_dump(mode="json", exclude_defaults=True) for name, feature in schema.features.items()}


def schema(**described):
    """A schema of these features."""
    return Schema.model_validate({"features": described})


def proposed(before, frame, **options):
    """The update that is proposed for a table."""
    return update_schema(before, generate_statistics(frame), **options)


def kinds(before, frame):
    """The anomalies of a table."""
    return {(one.path, one.kind.value) for one in validate_statistics(generate_statistics(frame), before).anomalies}


@pytest.fixture(scope="module")
def february():
    """Every fifth flight of February 2013, and its weather."""
    with tarfile.open(Path(__file__).parent / "support" / "february.tar.xz") as archive:
        return {
            name: pl.read_csv(archive.extractfile(f"{name}.csv"), infer_schema=False, null_values="NA")
            for name in ("flights", "weather")
        }


@pytest.fixture(scope="module")
def january():
    """The schemas that January suggests."""
    return {
        name: infer_schema(
            generate_statistics(pl.scan_csv(SAMPLES / name / "*.csv", infer_schema=False, null_values="NA"))
        )
        for name in ("flights", "weather")
    }


# --- infer -----------------------------------------------------------------------------------------------------------


def test_a_column_is_required_when_no_row_lacks_it_and_else_one_value_must_be_there():
    found = features(text(whole=[1, 2], holes=[1, None], empty=[None, None]))
    assert found == {
        "whole": {"type": "int"},
        "holes": {"type": "int", "presence": {"min_count": 1}},
        "empty": {"type": "string", "presence": "optional"},
    }


@pytest.mark.parametrize(
    ("values", "cautious", "to_the_letter"),
    [
        ([0, 1, 1], "bool", "bool"),
        ([1, 1, 1], "int", "bool"),
        ([0, 0, 0], "int", "int"),
        ([1, 2, 1], "int", "int"),
        ([1, 2.5, 3], "float", "float"),
        (["true", "false", "true"], "bool", "bool"),
        (["yes", "no", "no"], "bool", "string"),
        (["2013-01-31", "2013-02-01"], "date", "string"),
        (["2013-01-31T05:00:00Z", "2013-02-01T06:30:00Z"], "datetime", "string"),
        (["01/02/2013", "03/04/2013"], "string", "string"),  # which is the month cannot be told
        (["007", "008"], "string", None),
    ],
)
def test_types(values, cautious, to_the_letter):
    assert features(text(x=values))["x"]["type"] == cautious
    if to_the_letter:
        assert features(text(x=values), cautious=False)["x"]["type"] == to_the_letter


def test_a_typed_file_keeps_its_types():
    frame = pl.DataFrame({
        "day": [date(2013, 1, 1)],
        "tags": [["a", "b"]],
        "address": [{"street": "Elm", "no": None}],
    }, schema_overrides={"address": pl.Struct({"street": pl.String, "no": pl.Int64})})  # fmt: skip
    assert features(frame) == {
        "day": {"type": "date"},
        "tags": {"type": "string", "repeated": True, "valency": {"min": 1}},
        "address": {
            "type": "struct",
            "fields": {"street": {"type": "string"}, "no": {"type": "int", "presence": "optional"}},
        },
    }


def test_a_text_column_of_few_values_gets_them_as_its_domain():
    frame = text(code=["A", "B", "B"] * 20, name=[f"n{n}" for n in range(60)])
    assert features(frame)["code"] == {"type": "string", "domain": {"values": ["A", "B"]}}
    assert features(frame)["name"] == {"type": "string"}  # each was seen once: there are more
    assert len(features(frame, cautious=False)["name"]["domain"]["values"]) == 60
    assert features(frame, cautious=False, max_domain=59)["name"] == {"type": "string"}
    assert features(frame, max_domain=1)["code"] == {"type": "string"}


def test_a_domain_with_a_value_seen_once_warns_and_keeps_the_row():
    found = features(text(code=["A", "B", "C", "D"] * 20 + ["E"]))
    assert found["code"]["severity"] == {"domain": "warning"}
    assert features(text(code=["A", "B", "C", "D"] * 20), cautious=False)["code"].keys() == {"type", "domain"}


def test_no_value_of_a_personal_column_is_in_the_schema():
    frame = text(mail=["ann@x.no", "bo@x.no"] * 30)
    inferred = infer_schema(generate_statistics(frame, personal=["mail"]))
    assert inferred.features["mail"].personal
    assert "ann" not in inferred.to_json()


def test_columns_that_the_lake_adds_are_left_out_and_names_that_no_feature_can_have_are_refused():
    assert [*features(text(_raw=["0a"], x=[1]))] == ["x"]
    with pytest.raises(SchemaError, match="'my col' holds one of"):
        features(text(**{"my col": [1]}))
    with pytest.raises(SchemaError, match="no columns"):
        features(pl.DataFrame({"_row": [1]}))


# --- infer on January, validate February -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flights", "weather"])
def test_february_is_sound_by_the_schema_of_january(january, february, name):
    for typed in (None, january[name]):
        found = validate_statistics(generate_statistics(february[name], schema=typed), january[name])
        assert not found, str(found)


FAULTS = {
    "a delay written as a word": (
        pl.col("dep_delay").replace("2", "two"),
        ("dep_delay", "UNEXPECTED_DATA_TYPE"),
    ),
    "an airport nobody knows": (
        pl.col("origin").replace("EWR", "XXX"),
        ("origin", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
    ),
    "one row of another carrier": (
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("ZZ")).otherwise("carrier").alias("carrier"),
        ("carrier", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
    ),
    "a destination lost in places": (
        pl.when(pl.int_range(pl.len()) % 50 != 0).then("dest"),
        ("dest", "FEATURE_TYPE_LOW_FRACTION_PRESENT"),
    ),
    "no flight has a delay": (pl.lit(None, pl.String).alias("arr_delay"), ("arr_delay", "FEATURE_TYPE_NOT_PRESENT")),
    "another clock": (
        pl.col("time_hour").str.replace("T", " ").str.replace(":00Z", ""),
        ("time_hour", "UNEXPECTED_DATA_TYPE"),
    ),
    "a fraction of a minute": (pl.col("distance") + ".5", ("distance", "UNEXPECTED_DATA_TYPE")),
    "a column more": (pl.lit("A1").alias("gate"), ("gate", "SCHEMA_NEW_COLUMN")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_february_is_found_and_nothing_else(january, february, fault):
    broken, expected = FAULTS[fault]
    frame = february["flights"].with_columns(broken)
    assert kinds(january["flights"], frame) == {expected}
    assert validate_statistics(generate_statistics(frame, schema=january["flights"]), january["flights"])


def test_a_column_that_is_gone_in_february_is_found(january, february):
    assert kinds(january["flights"], february["flights"].drop("minute")) == {("minute", "SCHEMA_MISSING_COLUMN")}


# --- update ----------------------------------------------------------------------------------------------------------


def test_nothing_is_proposed_for_data_that_passes():
    update = proposed(schema(x={"type": "int"}), text(x=[1, 2]))
    assert not update
    assert update.schema == update.original
    assert str(update) == "Nothing to change."


CASES = {
    "a new column": (
        {},
        {"gate": ["A1", "B2"] * 10},
        {("gate", ""): (None, {"type": "string", "presence": "optional", "domain": ["A1", "B2"]})},
    ),
    "a column that is gone": (
        {"old": {"type": "int", "domain": {"min": 0}}},
        {},
        {("old", "presence"): ("required", "optional")},
    ),
    "fractions": ({"x": {"type": "int"}}, {"x": [1, 2.5]}, {("x", "type"): ("int", "float")}),
    "words among numbers": (
        {"x": {"type": "int", "domain": {"min": 0}}},
        {"x": [1, "two"]},
        {("x", "type"): ("int", "string"), ("x", "domain"): ({"min": 0}, None)},
    ),
    "missing values": (
        {"x": {"type": "int"}},
        {"x": [1] * 95 + [None] * 5},
        {("x", "presence"): ("required", {"min_fraction": 0.95, "min_count": 1})},
    ),
    "more missing than allowed": (
        {"x": {"type": "int", "presence": {"min_fraction": 0.9}}},
        {"x": [1, None]},
        {("x", "presence"): ({"min_fraction": 0.9}, {"min_fraction": 0.5})},
    ),
    "a new value": (
        {"x": {"type": "string", "domain": ["B", "A"]}},
        {"x": ["A", "C"]},
        {("x", "domain"): (["B", "A"], ["B", "A", "C"])},
    ),
    "too many new values": (
        {"x": {"type": "string", "domain": {"values": ["A"], "length": {"max": 9}}}},
        {"x": [f"n{n}" for n in range(101)]},
        {("x", "domain"): ({"values": ["A"], "length": {"max": 9}}, {"length": {"max": 9}})},
    ),
    "a range": (
        {"x": {"type": "int", "domain": {"min": 0, "max": 10}}},
        {"x": [-3, 4, 12]},
        {("x", "domain"): ({"min": 0, "max": 10}, {"min": -3, "max": 12})},
    ),
    "one end of a range": (
        {"x": {"type": "float", "domain": {"min": 0.5}}},
        {"x": [0.25, 4]},
        {("x", "domain"): ({"min": 0.5}, {"min": 0.25})},
    ),
    "NaN": (
        {"x": {"type": "float", "domain": {"finite": True}}},
        {"x": [1.5, "nan"]},
        {("x", "domain"): ({"finite": True}, {"finite": False})},
    ),
    "a longer text": (
        {"x": {"type": "string", "domain": {"length": {"min": 2, "max": 3}}}},
        {"x": ["abcd", "ab"]},
        {("x", "domain"): ({"length": {"min": 2, "max": 3}}, {"length": {"min": 2, "max": 4}})},
    ),
    "a pattern": (
        {"x": {"type": "string", "domain": {"regex": "[a-z]+"}}},
        {"x": ["A1"]},
        {("x", "domain"): ({"regex": "[a-z]+"}, None)},
    ),
    "distinct values": (
        {"x": {"type": "int", "unique": {"min": 5, "max": 9}}},
        {"x": [1, 2]},
        {("x", "unique"): ({"min": 5, "max": 9}, {"min": 2, "max": 9})},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_for_each_anomaly_after_which_the_data_passes(case):
    described, columns, expected = CASES[case]
    before = schema(id={"type": "int"}, **described)
    frame = text(id=[1] * max([len(held) for held in columns.values()] or [1]), **columns)
    update = proposed(before, frame)
    assert {(one.path, one.key): (one.before, one.after) for one in update.changes} == expected
    assert all(one.reason for one in update.changes)
    assert update.original == before
    assert not update.left
    assert kinds(before, frame)
    assert not kinds(update.schema, frame)


def test_a_missing_column_is_never_deprecated_by_itself_and_the_reason_says_what_that_would_do():
    update = proposed(schema(id={"type": "int"}, old={"type": "int", "domain": {"min": 0}}), text(id=[1]))
    (change,) = update.changes
    assert "lifecycle: deprecated" in change.reason
    assert update.schema.features["old"].lifecycle is None
    assert kinds(update.schema, text(id=[1], old=[-1])) == {("old", "INT_TYPE_SMALL_INT")}  # still checked


def test_a_longer_or_shorter_list_widens_the_valency():
    before = schema(x={"type": "list[int]", "valency": {"min": 2, "max": 2}})
    frame = pl.DataFrame({"x": [[1], [1, 2, 3]]})
    update = proposed(before, frame)
    assert [(one.key, one.after) for one in update.changes] == [("valency", {"min": 1, "max": 3})]
    assert not kinds(update.schema, frame)


def test_the_number_of_rows_is_a_change_of_the_schema_itself():
    before = Schema.model_validate({"features": {"x": {"type": "int"}}, "rows": {"min": 3, "max": 9}})
    update = proposed(before, text(x=[1]))
    assert [(one.path, one.key, one.before, one.after) for one in update.changes] == [("", "rows.min", 3, 1)]
    assert (update.schema.rows.min, update.schema.rows.max) == (1, 9)


SHARED = {
    "domains": {"airport": ["EWR", "JFK"]},
    "features": {
        "origin": {"type": "string", "domain": "airport"},
        "dest": {"type": "string", "domain": "airport"},
        "x": {"type": "int"},
    },
}


def test_a_shared_domain_is_widened_for_all_that_share_it():
    update = proposed(Schema.model_validate(SHARED), text(origin=["LGA"], dest=["JFK"], x=[1.5]))
    shared, typed = update.changes
    if shared.path:
        shared, typed = typed, shared
    assert (shared.path, shared.key, shared.after) == ("", "domains.airport", ["EWR", "JFK", "LGA"])
    assert "dest" in shared.reason
    assert update.schema.features["dest"].domain.values == ("EWR", "JFK", "LGA")
    only = update.only(["origin"])
    assert only.changes == (shared,)
    assert only.schema.features["x"].type == "int"
    assert only.schema.features["dest"].domain.values == ("EWR", "JFK", "LGA")


def test_some_changes_can_be_taken_alone():
    before = schema(x={"type": "int"}, y={"type": "int"})
    update = proposed(before, text(x=[1.5], y=[2.5]))
    assert [one.path for one in update.only(["y"]).changes] == ["y"]
    assert [feature.type for feature in update.only(["y"]).schema.features.values()] == ["int", "float"]
    with pytest.raises(NotFoundError, match=r"no change is proposed for 'z'.*Known: x, y"):
        update.only(["z"])


def test_what_is_odd_in_one_environment_stays_in_others():
    described = {
        "environments": ["TRAINING", "SERVING"],
        "features": {
            "x": {"type": "int"},
            "label": {"type": "int"},
            "key": {"type": "int", "not_in_environment": ["SERVING"]},
        },
    }
    before = Schema.model_validate(described)
    update = proposed(before, text(x=[1], key=[2]), environment="SERVING")
    after = {one.path: (one.key, one.after) for one in update.changes}
    assert after == {"label": ("not_in_environment", ["SERVING"]), "key": ("not_in_environment", None)}
    assert update.schema.features["label"].required
    statistics = generate_statistics(text(x=[1], key=[2]))
    assert not validate_statistics(statistics, update.schema, environment="SERVING")
    assert validate_statistics(statistics, update.schema, environment="TRAINING")


def test_values_of_personal_features_are_not_proposed():
    before = schema(mail={"type": "string", "personal": True, "domain": ["ann@x.no"]})
    frame = text(mail=["bo@x.no"])
    for statistics in (generate_statistics(frame, schema=before), generate_statistics(frame)):
        update = update_schema(before, statistics)
        assert [(one.key, one.after) for one in update.changes] == [("domain", None)]
        assert "@" not in str(update) + repr(update.changes)


def test_what_the_schema_is_not_to_blame_for_is_left():
    before = schema(x={"type": "string", "drift": {"infinity_norm": 0.1}})
    old, new = generate_statistics(text(x=["a"])), generate_statistics(text(x=["b"]))
    found = validate_statistics(new, before, previous_statistics=old)
    update = update_schema(before, new, anomalies=found)
    assert not update
    assert [one.kind for one in update.left] == ["COMPARATOR_L_INFTY_HIGH"]


def test_rows_that_were_quarantined_are_known_by_their_examples():
    before = schema(x={"type": "int"}, y={"type": "int"})
    frame = text(x=[1, "2.5"], y=[1, "two"])
    update = update_schema(before, generate_statistics(frame, schema=before))
    assert {one.path: one.after for one in update.changes} == {"x": "float", "y": "string"}
    assert "'2.5'" in update.changes[0].reason


def test_a_type_that_changes_takes_its_range_with_it_though_a_value_was_outside():
    before = schema(delay={"type": "int", "domain": {"min": 0, "max": 100}})
    frame = text(delay=[1, 200, "x7"])
    for statistics in (generate_statistics(frame, schema=before), generate_statistics(frame)):
        update = update_schema(before, statistics)
        assert {one.key: one.after for one in update.changes} == {"type": "string", "domain": None}
        assert not kinds(update.schema, frame)


def test_a_new_struct_is_added_whole_and_a_column_that_no_feature_can_be_is_left():
    before = schema(id={"type": "int"})
    frame = pl.DataFrame({"id": [1], "address": [{"street": "Elm", "at": {"x": 1.5}}], "my column": ["a"], "ID": [2]})
    update = proposed(before, frame)
    assert {one.path: one.after for one in update.changes} == {
        "address": {
            "type": "struct",
            "presence": "optional",
            "fields": {"street": {"type": "string"}, "at": {"type": "struct", "fields": {"x": {"type": "float"}}}},
        }
    }
    assert {one.path for one in update.left} == {"my column", "ID"}
    assert kinds(update.schema, frame) == {("my column", "SCHEMA_NEW_COLUMN"), ("ID", "SCHEMA_NEW_COLUMN")}


def test_a_new_field_of_a_struct_is_added_to_it():
    before = schema(address={"type": "struct", "fields": {"street": {"type": "string"}}})
    frame = pl.DataFrame({"address": [{"street": "Elm", "no": 5}]})
    update = proposed(before, frame)
    assert [(one.path, one.after) for one in update.changes] == [
        ("address.no", {"type": "int", "presence": "optional"})
    ]
    assert not kinds(update.schema, frame)


def test_what_lies_in_a_struct_is_asked_for_only_where_the_struct_is():
    address = {"type": "struct", "presence": "optional", "fields": {"street": {"type": "string"}}}
    frame = pl.DataFrame({"id": [1, 2, 3], "address": [{"street": "Elm"}, None, {"street": "Oak"}]})
    assert not proposed(schema(id={"type": "int"}, address=address), frame)
    inferred = infer_schema(generate_statistics(frame)).features["address"]
    assert not inferred.required
    assert inferred.fields["street"].required
    none = frame.with_columns(address=pl.lit(None, dtype=frame.schema["address"]))
    assert not proposed(schema(id={"type": "int"}, address=address), none)


def test_a_field_that_some_structs_lack_is_counted_among_the_structs():
    before = schema(address={"type": "struct", "presence": "optional", "fields": {"street": {"type": "string"}}})
    frame = pl.DataFrame({"address": [{"street": "Elm"}, None, {"street": None}, {"street": "Oak"}, {"street": "Ash"}]})
    (change,) = proposed(before, frame).changes
    assert change.after == {"min_fraction": 0.75, "min_count": 1}
    assert change.reason.startswith("1 row of 4 without it.")


def test_a_missing_value_that_was_set_apart_is_among_the_missing():
    before = schema(x={"type": "int"})
    kept = dataclasses.replace(
        generate_statistics(pl.DataFrame({"x": [1, 2, 3]}), schema=before),
        broken=(Broken("x", Rule.PRESENCE, "x: missing", 1, ()),),
    )
    (change,) = update_schema(before, kept).changes
    assert change.after == {"min_fraction": 0.75, "min_count": 1}
    assert change.reason.startswith("1 row of 4 without it.")


def test_features_that_share_a_domain_and_both_have_new_values_are_taken_in_together():
    before = Schema.model_validate(
        {
            "domains": {"airport": ["EWR", "JFK"]},
            "features": {name: {"type": "string", "domain": "airport"} for name in ("origin", "dest")},
        }
    )
    frame = text(origin=["EWR", "LGA"], dest=["JFK", "ORD"])
    update = proposed(before, frame)
    assert [(one.key, one.after) for one in update.changes] == [("domains.airport", ["EWR", "JFK", "LGA", "ORD"])]
    assert not kinds(update.schema, frame)


def test_two_things_of_one_domain_give_way_together():
    before = schema(code={"type": "string", "domain": {"regex": "[a-z]+", "length": {"max": 3}}})
    frame = text(code=["abc", "ABCD"])
    update = proposed(before, frame)
    assert [(one.key, one.after, one.ends) for one in update.changes] == [("domain", {"length": {"max": 4}}, True)]
    assert "do not match" in update.changes[0].reason
    assert not kinds(update.schema, frame)


@pytest.mark.parametrize(
    ("feature", "held", "ends"),
    [
        ({"type": "int", "domain": {"max": 3}}, [5], False),
        ({"type": "int"}, [1.5], False),
        ({"type": "int"}, ["x"], True),
        ({"type": "string", "domain": ["a"]}, ["b"], False),
        ({"type": "string", "domain": {"regex": "a+"}}, ["b"], True),
        ({"type": "float", "domain": {"finite": True}}, [1.5, "nan"], True),
        ({"type": "int", "unique": {"max": 1}}, [1, 2], False),
        ({"type": "int"}, [1, None], False),
        ({"type": "int"}, [None, None], True),
    ],
)
def test_a_change_says_whether_it_ends_a_check(feature, held, ends):
    frame = text(x=held, y=[1.5] * len(held)).cast(pl.String)
    update = proposed(schema(x=feature, y={"type": "int"}), frame)
    assert {one.path: one.ends for one in update.changes} == {"x": ends, "y": False}
    assert {one.path for one in update.widening().changes} == ({"y"} if ends else {"x", "y"})


VALUES = st.one_of(
    st.none(), st.integers(-3, 3), st.sampled_from([0.5, "nan", "inf", "a", "b", "true", "false", "2013-01-01", "x y"])
)
TABLES = st.integers(1, 12).flatmap(
    lambda n: st.fixed_dictionaries({name: st.lists(VALUES, min_size=n, max_size=n) for name in ("a", "b", "c")})
)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.booleans())
def test_data_passes_the_schema_that_is_inferred_from_it(table, cautious):
    statistics = generate_statistics(text(**table))
    assert not validate_statistics(statistics, infer_schema(statistics, cautious=cautious))


@settings(max_examples=60, deadline=None)
@given(TABLES, TABLES, st.booleans())
@example({"a": [1, 1], "b": [1, 1], "c": [None, 0]}, {"a": [1, 1], "b": [1, 1], "c": [None, "inf"]}, False)  # noqa: FBT003
def test_data_passes_the_schema_that_is_updated_for_it(before, after, typed):
    old = infer_schema(generate_statistics(text(**before)))
    frame = text(**after).rename({"a": "new"})
    update = update_schema(old, generate_statistics(frame, schema=old if typed else None))
    assert not kinds(update.schema, frame), str(update)
    for path in {one.path for one in update.changes}:
        assert all(change.path == path for change in update.only([path]).changes)
