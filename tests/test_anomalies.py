"""What is odd about a batch: told rightly, wholly, and without a personal value."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Schema, generate_statistics, validate_statistics
from lakehouse.schema import Action, Rule, Severity
from lakehouse.validation.anomalies import (
    Anomalies,
    Anomaly,
    Cause,
    Kind,
    Measure,
    infinity_norm,
    jensen_shannon,
    normalized_absolute_difference,
)
from lakehouse.validation.statistics import Broken, Statistics


def schema(features: dict, **others) -> Schema:
    return Schema.model_validate({"features": features, **others})


def judged(columns: dict, features: dict, others: dict | None = None, **against) -> Anomalies:
    frame = pl.DataFrame(columns)
    told = {name: generate_statistics(pl.DataFrame(v)) if isinstance(v, dict) else v for name, v in against.items()}
    return validate_statistics(generate_statistics(frame), schema(features, **(others or {})), **told)


def only(found: Anomalies) -> Anomaly:
    (one,) = found.anomalies
    return one


# --- what fits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("float", ["12", "13"]),
        ("int", ["12.0", "13"]),
        ("string", ["12", "13"]),
        ("string", ["1.5"]),
        ("decimal", ["12", "1.5"]),
        ("bool", ["1", "0"]),
        ("bool", ["yes", "no"]),
        ("date", ["2013-01-31"]),
        ("float", [12, 13]),
        ("int", [12.0, 13.0]),
        ("string", [date(2013, 1, 31)]),
    ],
)
def test_a_value_that_fits_without_loss_is_no_anomaly(feature, values):
    assert not judged({"a": values}, {"a": {"type": feature}})


def test_a_value_that_does_not_fit_is_told_with_what_the_column_could_be():
    one = only(judged({"a": ["1", "2.5", "2.5", "3"]}, {"a": {"type": "int"}}))
    assert (one.kind, one.rule, one.action) == (Kind.UNEXPECTED_DATA_TYPE, Rule.TYPE, Action.QUARANTINE)
    assert "2 values of 4 (50 %) are not an int: '2.5' (2)" in one.description
    assert one.figures["found"] == "float"
    assert one.proposal == "a: type: float"


def test_an_infinity_is_no_float_unless_the_domain_takes_it():
    found = judged({"a": ["1.5", "inf"]}, {"a": {"type": "float"}})
    assert only(found).kind is Kind.FLOAT_TYPE_HAS_INF
    assert not judged({"a": ["1.5", "inf", "nan"]}, {"a": {"type": "float", "domain": {"finite": False}}})


# --- domains ------------------------------------------------------------------------------------------------------

OUTSIDE = {
    "int in a list": ({"type": "int", "domain": [1, 2]}, [1, 3], Kind.UNEXPECTED_VALUES, "3 (1)"),
    "date too early": (
        {"type": "date", "domain": {"min": "2013-01-01"}},
        [date(2012, 12, 31), date(2013, 1, 1)],
        Kind.TIME_TOO_EARLY,
        "2012-12-31 (1)",
    ),
    "date too late": (
        {"type": "date", "domain": {"max": "2013-01-01"}},
        ["2013-01-01", "2013-01-02"],
        Kind.TIME_TOO_LATE,
        "2013-01-02 (1)",
    ),
    "regex": (
        {"type": "string", "domain": {"regex": "N[0-9]+"}},
        ["N1", "XN1X"],
        Kind.TEXT_NOT_MATCHING,
        "'XN1X' (1)",
    ),
    "too short": ({"type": "string", "domain": {"length": {"min": 2}}}, ["a", "ab"], Kind.LENGTH_TOO_SMALL, "'a' (1)"),
    "too long": ({"type": "string", "domain": {"length": {"max": 1}}}, ["a", "ab"], Kind.LENGTH_TOO_BIG, "'ab' (1)"),
    "decimal": (
        {"type": "decimal", "scale": 2, "domain": {"max": "1.5"}},
        ["1.5", "1.51"],
        Kind.FLOAT_TYPE_BIG_FLOAT,
        "1.51 (1)",
    ),
    "in a list of values": (
        {"type": "list[string]", "domain": ["a", "b"]},
        [["a", "z"], ["b"]],
        Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES,
        "'z' (1)",
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_values_outside_are_told_with_their_share_and_the_values(name):
    feature, values, kind, told = OUTSIDE[name]
    one = only(judged({"a": values}, {"a": feature}))
    assert (one.kind, one.rule, one.figures["outside"]) == (kind, Rule.DOMAIN, 1)
    assert told in one.description
    assert f"1 value of {sum(len(v) if isinstance(v, list) else 1 for v in values)}" in one.description


def test_few_values_are_told_the_most_frequent_first_escaped_and_cut():
    values = ["bad\n"] * 3 + ["x" * 99] * 2 + [f"n{i}" for i in range(9)] + ["ok"]
    one = only(judged({"a": values}, {"a": {"type": "string", "domain": ["ok"]}}))
    assert one.short == "11 values outside the domain"
    assert rf"'bad\n' (3), '{'x' * 40}'… (2), 'n0' (1), 'n1' (1), 'n2' (1) and 6 more" in one.description
    assert one.figures["share"] == pytest.approx(14 / 15)


def test_a_tolerated_share_outside_is_of_the_batch_and_never_of_a_row():
    feature = {"type": "string", "domain": {"values": ["a"], "min_mass": 0.75}}
    assert not judged({"a": ["a", "a", "a", "z"]}, {"a": feature})
    one = only(judged({"a": ["a", "a", "z", "z"]}, {"a": feature}))
    assert one.action is Action.WARN
    assert "At most 25 % may be outside." in one.description


def test_every_distinct_value_is_looked_at_be_it_the_rarest_of_thousands():
    names = [f"N{i:05}" for i in range(5000)]
    found = judged({"a": [*names * 3, "NOSUCH"]}, {"a": {"type": "string", "domain": {"values": names}}})
    assert only(found).figures["outside_values"] == [["NOSUCH", 1]]


def test_where_only_the_most_frequent_values_are_known_that_is_said():
    statistics = generate_statistics(pl.DataFrame({"a": ["a", "a", "b"]}))
    cut = dataclasses.replace(statistics.features["a"], complete=False)
    found = validate_statistics(
        Statistics(3, {"a": cut}), schema({"a": {"type": "string", "domain": {"values": ["a", "b"]}}})
    )
    assert not found
    assert "only the 2 most frequent values are known (100 % of all)" in found.notes[0]


def test_ranges_are_known_of_all_values_however_many_distinct_ones_there_are():
    n = 20_000
    frame = pl.DataFrame(
        {"a": range(n), "at": [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(n)]}
    )
    asked = schema(
        {
            "a": {"type": "int", "domain": {"max": n - 2}},
            "at": {"type": "datetime", "domain": {"min": "2013-01-01T00:30:00Z"}},
        }
    )
    found = validate_statistics(generate_statistics(frame), asked)
    assert [(one.path, one.kind) for one in found.anomalies] == [
        ("a", Kind.INT_TYPE_BIG_INT),
        ("at", Kind.TIME_TOO_EARLY),
    ]
    assert "At least 1 value of 20,000" in found.anomalies[0].description
    assert "The most extreme is 19999." in found.anomalies[0].description
    assert (found.anomalies[0].figures["exact"], found.notes) == (False, ())


def test_of_personal_features_no_value_is_known_and_that_is_said():
    feature = {"type": "int", "personal": True, "domain": {"max": 1}}
    statistics = generate_statistics(pl.DataFrame({"a": [1, 2]}), personal=["a"])
    found = validate_statistics(statistics, schema({"a": feature}))
    assert not found
    assert "keep no values of personal features" in found.notes[0]


# --- presence, valency, unique ----------------------------------------------------------------------------------


def test_missing_values_over_a_limit_are_told_as_how_many_of_how_many():
    one = only(judged({"a": [1, None, None, 4]}, {"a": {"type": "int", "presence": {"min_fraction": 0.75}}}))
    assert "2 rows of 4 (50 %) lack the value; at least 75 %" in one.description
    assert one.action is Action.WARN


def test_a_struct_that_is_gone_is_told_once_and_a_field_that_is_gone_by_its_path():
    features = {
        "k": {"type": "int"},
        "address": {"type": "struct", "fields": {"street": {"type": "string"}, "no": {"type": "int"}}},
    }
    assert [(a.path, a.kind) for a in judged({"k": [1]}, features).anomalies] == [
        ("address", Kind.SCHEMA_MISSING_COLUMN)
    ]
    found = judged({"k": [1], "address": [{"street": "Main", "zip": 1}]}, features)
    assert [(a.path, a.kind) for a in found.anomalies] == [
        ("address.no", Kind.SCHEMA_MISSING_COLUMN),
        ("address.zip", Kind.SCHEMA_NEW_COLUMN),
    ]


def test_a_list_where_one_value_is_expected_and_a_lone_value_where_lists_are():
    assert only(judged({"a": [["x", "y"], ["z"]]}, {"a": {"type": "string"}})).kind is (
        Kind.FEATURE_TYPE_HIGH_NUMBER_VALUES
    )
    assert not judged({"a": ["x", "y"]}, {"a": {"type": "list[string]", "valency": {"min": 1}}})


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ({"type": "list[int]", "separator": ";", "valency": {"max": 2}}, "1;2;3"),
        ({"type": "list[int]"}, "[1, 2]"),
        ({"type": "struct", "fields": {"x": {"type": "int"}}}, '{"x": 1}'),
    ],
)
def test_lists_and_structs_in_text_are_looked_at_when_the_statistics_were_told_how_they_are_written(feature, text):
    frame = pl.DataFrame({"a": [text, text]})
    untold = judged({"a": [text, text]}, {"a": feature})
    assert not untold
    assert "make the statistics with the schema" in untold.notes[0]
    told = validate_statistics(generate_statistics(frame, schema=schema({"a": feature})), schema({"a": feature}))
    assert [one.rule for one in told.anomalies] == ([Rule.VALENCY] if "valency" in feature else [])
    assert not told.notes


def test_a_struct_that_is_something_else_is_told_once():
    found = judged({"a": [1, 2]}, {"a": {"type": "struct", "fields": {"x": {"type": "int"}}}})
    assert only(found).kind is Kind.UNEXPECTED_DATA_TYPE
    assert only(found).description.startswith("All 2 values are not a struct.")


def test_unique_counts_numbers_too():
    one = only(judged({"a": [1, 2, 3]}, {"a": {"type": "int", "unique": {"max": 2}}}))
    assert (one.kind, one.figures["distinct"]) == (Kind.FEATURE_TYPE_HIGH_UNIQUE, 3)
    assert (
        only(judged({"a": [1, 1]}, {"a": {"type": "int", "unique": {"min": 2}}})).kind is Kind.FEATURE_TYPE_LOW_UNIQUE
    )
    assert not judged({"a": [1, 2, 3]}, {"a": {"type": "int", "unique": {"min": 2}}})


def test_features_not_in_use_are_held_to_their_type_alone():
    feature = {"type": "int", "domain": {"max": 1}, "unique": {"max": 1}, "lifecycle": "deprecated"}
    assert not judged({"a": [5, None, 6]}, {"a": feature})
    assert not judged({"b": ["x"]}, {"a": feature, "b": {"type": "string"}})
    assert only(judged({"a": ["x"]}, {"a": feature})).rule is Rule.TYPE


# --- the batch ----------------------------------------------------------------------------------------------------

AT = datetime(2013, 2, 3, 12, tzinfo=UTC)


def test_the_newest_event_may_be_as_old_as_freshness_says():
    features, others = {"a": {"type": "int"}}, {"freshness": "2d"}
    assert not judged({"a": [1]}, features, others, newest=AT - timedelta(days=2), at=AT)
    one = only(judged({"a": [1]}, features, others, newest=AT - timedelta(days=2, hours=3), at=AT))
    assert one.kind is Kind.STALE
    assert one.short == "newest event is 2 days 3 hours old"
    untold = judged({"a": [1]}, features, others)
    assert not untold
    assert untold.notes[0].startswith("freshness:")


def test_keys_that_rows_share_are_told_by_name():
    features, others = {"a": {"type": "int"}}, {"keys": "unique"}
    one = only(judged({"a": [1, 1, 1]}, features, others, doubled=2, keys=["a"]))
    assert (one.kind, one.rule) == (Kind.KEYS_NOT_UNIQUE, Rule.KEYS)
    assert "2 rows of 3 have the same a as an earlier row" in one.description
    assert not judged({"a": [1, 2]}, features, others, doubled=0, keys=["a"])


def test_rows_set_apart_are_told_as_they_were_judged():
    asked = schema(
        {"a": {"type": "int", "domain": {"max": 5}}, "b": {"type": "string", "domain": ["x"]}, "c": {"type": "float"}},
        checks={"order": "a < c"},
    )
    valid = generate_statistics(pl.DataFrame({"a": [1, 2], "b": ["x", "x"], "c": [9.0, 9.0]}))
    broken = (
        Broken("a", Rule.DOMAIN, "a: above 5", 3, (("7", 2), ("6", 1))),
        Broken("a", Rule.TYPE, "a: not an int", 1, (("seven", 1),)),
        Broken("b", Rule.PRESENCE, "b: missing", 4),
        Broken("b", Rule.DOMAIN, "b: not in its domain", 2, (("y", 2),)),
        Broken("checks.order", Rule.CHECK, "check order: a < c", 5),
        Broken("", Rule.TYPE, "row: 3 fields, 2 expected", 1),
    )
    found = validate_statistics(dataclasses.replace(valid, broken=broken, judged=True), asked, rows_read=18)
    assert [(a.path, a.kind) for a in found.anomalies] == [
        ("", Kind.UNREADABLE_ROWS),
        ("checks.order", Kind.CHECK_BROKEN),
        ("a", Kind.UNEXPECTED_DATA_TYPE),
        ("a", Kind.INT_TYPE_BIG_INT),
        ("b", Kind.FEATURE_TYPE_LOW_FRACTION_PRESENT),
        ("b", Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES),
    ]
    assert "In 3 rows the value is above 5: '7' (2), '6' (1)" in found.of("a")[1].description
    assert "5 rows of 18 do not meet a < c" in found.of("checks.order")[0].description
    assert all(a.action is Action.QUARANTINE for a in found.anomalies)


def test_rows_that_were_all_set_apart_are_no_empty_batch():
    empty = generate_statistics(pl.DataFrame({"a": []}, schema={"a": pl.Int64}))
    broken = dataclasses.replace(empty, broken=(Broken("a", Rule.PRESENCE, "a: missing", 3),), judged=True)
    found = validate_statistics(broken, schema({"a": {"type": "int"}}), rows_read=3)
    assert not found.data_missing
    assert only(found).short == "missing in 3 rows"


def test_rules_of_rows_that_were_never_looked_at_are_noted():
    found = judged({"a": [1]}, {"a": {"type": "int"}}, {"keys": "unique", "checks": {"positive": "a > 0"}})
    assert not found
    assert [note.partition(":")[0] for note in found.notes] == ["keys", "checks.positive"]


# --- severity, action, words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [True, False])
def test_a_median_is_told_of_numbers_that_are_no_names(names):
    asked = schema({"a": {"type": "int", "categorical": names, "drift": {"jensen_shannon": 0.01}}})
    made = [generate_statistics(pl.DataFrame({"a": values})) for values in ([1, 2, 3], [7, 8, 9])]
    found = validate_statistics(made[0], asked, previous_statistics=made[1])
    assert ("The median is 2, and 8 before." in only(found).description) is not names


@pytest.mark.parametrize("known", [True, False])
def test_no_value_of_a_personal_feature_is_told_be_the_statistics_made_with_the_schema_or_not(known):
    limits = {"infinity_norm": 0.01, "jensen_shannon": 0.01}
    asked = schema(
        {
            "name": {"type": "string", "personal": True, "domain": {"regex": "[0-9]+"}, "drift": limits},
            "pay": {"type": "int", "personal": True, "domain": {"min": 0, "max": 10}, "drift": limits},
            "age": {"type": "int", "personal": True, "drift": limits},
            "home": {"type": "struct", "personal": True, "fields": {"street": {"type": "string", "domain": ["x"]}}},
        }
    )
    now = pl.DataFrame({"name": ["hid-a"] * 3, "pay": ["5", "hid-b", "77701"], "age": ["77702"] * 3})
    now = now.with_columns(home=pl.Series([{"street": "hid-d"}] * 3))
    before = pl.DataFrame({"name": ["hid-c"] * 3, "pay": ["77703"] * 3, "age": ["77704"] * 3})
    made = [generate_statistics(frame, schema=asked if known else None) for frame in (now, before)]
    found = validate_statistics(made[0], asked, previous_statistics=made[1])
    assert {one.path for one in found.anomalies} >= {"name", "pay", "home.street"}
    for text in (str(found), found.to_json(), *(one.proposal for one in found.anomalies)):
        assert "hid-" not in text
        assert "7770" not in text


def test_severity_and_action_are_the_schemas():
    features = {
        "a": {"type": "int", "domain": {"max": 1}, "severity": "warning"},
        "b": {"type": "int", "presence": {"min_count": 9}, "on_error": {"presence": "refuse"}},
    }
    found = judged({"a": [5], "b": [1]}, features)
    assert [(a.severity, a.action) for a in found.anomalies] == [
        (Severity.WARNING, Action.WARN),
        (Severity.ERROR, Action.REFUSE),
    ]
    assert (found.worst, found.refuses) == (Severity.ERROR, True)
    assert str(found).startswith("1 error and 1 warning in 1 row:")


def test_nothing_odd_is_said_in_one_line():
    found = judged({"a": [1, 2]}, {"a": {"type": "int"}})
    assert (bool(found), found.worst, found.refuses) == (False, None, False)
    assert str(found) == "No anomalies in 2 rows."


def test_values_of_personal_features_are_nowhere():
    secret = "Ada Lovelace"
    frame = pl.DataFrame({"name": [secret, secret, "Bob"], "age": [36, 36, 41], "nick": ["A", "A", "B"]})
    asked = schema(
        {
            "name": {"type": "string", "personal": True, "domain": {"values": ["Bob"]}, "unique": {"max": 1}},
            "age": {"type": "int", "personal": True, "domain": {"max": 40}, "drift": {"jensen_shannon": 0.01}},
        }
    )
    statistics = generate_statistics(frame, schema=asked)
    other = generate_statistics(frame.head(1), schema=asked)
    found = validate_statistics(statistics, asked, previous_statistics=other)
    assert {a.path for a in found.anomalies} >= {"name"}
    told = found.to_json() + str(found)
    assert all(word not in told for word in ("Ada", "Bob", "Lovelace"))
    assert "41" not in told


# --- JSON ---------------------------------------------------------------------------------------------------------


def test_json_gives_back_what_was_written():
    cause = Cause("f" * 64, "bad.csv", 10, 0.75)
    found = judged(
        {"a": ["x", "y"], "b": [1.5, math.nan]},
        {
            "a": {"type": "string", "domain": ["x"], "drift": {"infinity_norm": 0.1}},
            "b": {"type": "float", "domain": {"finite": True}},
        },
        previous_statistics={"a": ["x", "x"]},
    )
    found = dataclasses.replace(
        found, anomalies=tuple(dataclasses.replace(a, causes=(cause,)) for a in found.anomalies), environment="TRAINING"
    )
    assert len(found.anomalies) == 3
    assert "Brought by bad.csv (75 %)." in str(found)
    assert Anomalies.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["anomalies"][0]["causes"][0]["name"] == "bad.csv"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"anomalies": [{"kind": "NO_SUCH"}]}'])
def test_what_is_no_such_json_is_refused(text):
    with pytest.raises(ValueError, match="no anomalies as the lake writes them"):
        Anomalies.from_json(text)


def test_measures_are_given_whether_or_not_they_are_over_their_limit():
    found = judged(
        {"a": ["x", "y"]}, {"a": {"type": "string", "drift": {"infinity_norm": 0.9}}}, previous_statistics={"a": ["x"]}
    )
    assert found.measures == (Measure("a", "drift", "infinity_norm", 0.5, 0.9),)
    assert not found


# --- distances ----------------------------------------------------------------------------------------------------


def _of(values):
    return generate_statistics(pl.DataFrame({"a": values})).features["a"]


counts = st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any)


def _words(counted):
    return [f"w{i}" for i, n in enumerate(counted) for _ in range(n)]


@settings(max_examples=30)
@given(counts, counts)
def test_distances_are_what_their_formulas_say(one, two):
    a, b = _of(_words(one)), _of(_words(two))
    width = max(len(one), len(two))
    one, two = one + [0] * (width - len(one)), two + [0] * (width - len(two))
    p, q = [n / sum(one) for n in one], [n / sum(two) for n in two]
    assert infinity_norm(a, b) == pytest.approx(max(abs(x - y) for x, y in zip(p, q, strict=True)))
    assert normalized_absolute_difference(a, b) == pytest.approx(
        max(abs(x - y) for x, y in zip(one, two, strict=True)) / (sum(one) + sum(two))
    )
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    divergence = sum(x * math.log2(x / m) for side in (p, q) for x, m in zip(side, middle, strict=True) if x) / 2
    assert jensen_shannon(a, b) == pytest.approx(divergence, abs=1e-12)
    assert jensen_shannon(a, b) == pytest.approx(jensen_shannon(b, a), abs=1e-12)


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_numbers_are_no_distance_from_themselves_nan_and_infinities_too(values):
    a, b = _of(values), _of(list(reversed(values)))
    assert infinity_norm(a, b) == 0
    assert jensen_shannon(a, b) == pytest.approx(0, abs=1e-9)


def test_what_cannot_be_measured_is_none_and_said():
    assert jensen_shannon(_of(["x"]), _of([1, 2])) is None
    assert infinity_norm(_of([None, None]), _of([None])) is None
    found = judged(
        {"a": ["x"]}, {"a": {"type": "string", "drift": {"jensen_shannon": 0.1}}}, previous_statistics={"a": [1]}
    )
    assert not found
    (note,) = found.notes
    assert note.startswith("a: the Jensen-Shannon divergence to the batch before could not be measured: one side holds")


def test_dates_drift_by_when_they_are():
    spring = [date(2013, 3, 1) + timedelta(days=i) for i in range(60)]
    later = [day + timedelta(days=365) for day in spring]
    assert jensen_shannon(_of(spring), _of(spring)) == pytest.approx(0)
    assert jensen_shannon(_of(spring), _of(later)) == pytest.approx(1)
    assert 0.1 < jensen_shannon(_of(spring), _of([day + timedelta(days=20) for day in spring])) < 0.9


def test_a_distance_of_partly_known_values_is_never_overstated():
    whole, other = _of(["a"] * 5 + ["b"] * 3 + ["c"] * 2), _of(["a"] * 5 + ["c"] * 5)
    top = whole.frequencies().head(2)
    part = dataclasses.replace(whole, complete=False, unlisted=2, **_cut(whole, top))
    for measure in (infinity_norm, normalized_absolute_difference, jensen_shannon):
        assert measure(part, other) <= measure(whole, other) + 1e-12
        assert measure(part, other) > 0


def _cut(feature, top):
    """The fields of the same feature with only these values known."""
    evidence = feature.evidence()
    kept = evidence.counts.join(top.select("value"), on="value", how="semi", maintain_order="left")
    return {"evidence": lambda: dataclasses.replace(evidence, counts=kept)}
