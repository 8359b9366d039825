"""The model of a schema: what it holds, what it refuses, and what a broken rule means."""

import json
from datetime import timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from lakehouse.errors import NotFoundError
from lakehouse.schema import (
    Action,
    Domain,
    Feature,
    FeatureType,
    Limits,
    Presence,
    Rule,
    Schema,
    Severity,
)


def schema(features=None, **more):
    return Schema.model_validate({"features": features or {"x": {"type": "int"}}, **more})


def told(features=None, **more):
    """What is wrong with a schema: key path and text of each problem."""
    with pytest.raises(ValidationError) as caught:
        schema(features, **more)
    return {".".join(map(str, e["loc"])): e["msg"].removeprefix("Value error, ") for e in caught.value.errors()}


# Types


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"type": "list[int]"}, pl.List(pl.Int64)),
        ({"type": "list[ string ]"}, pl.List(pl.String)),
        ({"type": "bytes"}, pl.Binary),
        ({"type": "struct", "fields": {"a": {"type": "int"}}}, pl.Struct({"a": pl.Int64})),
        (
            {"type": "list[struct]", "fields": {"a": {"type": "list[date]"}}},
            pl.List(pl.Struct({"a": pl.List(pl.Date)})),
        ),
        ({"type": "list[decimal]", "precision": 5, "scale": 2}, pl.List(pl.Decimal(5, 2))),
    ],
)
def test_a_feature_knows_the_dtype_it_is_stored_as(options, dtype):
    assert Feature.model_validate(options).dtype == dtype


def test_a_list_can_be_said_in_code_too():
    assert Feature(type=FeatureType.INT, repeated=True) == Feature.model_validate({"type": "list[int]"})


def test_paths_descend_into_structs():
    made = schema({"a": {"type": "struct", "fields": {"b": {"type": "struct", "fields": {"c": {"type": "int"}}}}}})
    assert list(made.paths()) == ["a", "a.b", "a.b.c"]
    assert made.feature("a.b.c").type is FeatureType.INT
    assert made.feature("a.x") is None
    assert made.key_path("a.b.c") == ("features", "a", "fields", "b", "fields", "c")
    assert made.key_path("a.new") == ("features", "a", "fields", "new")
    assert made.key_path("new") == ("features", "new")


def test_a_features_own_name_may_hold_dots():
    made = schema({"a.b": {"type": "struct", "fields": {"c": {"type": "int"}}}})
    assert made.feature("a.b.c").type is FeatureType.INT
    assert made.key_path("a.b.c") == ("features", "a.b", "fields", "c")
    clash = {"a.b": {"type": "int"}, "a": {"type": "struct", "fields": {"b": {"type": "int"}}}}
    assert "another feature's too" in told(clash)["features.a"]


# Presence


@pytest.mark.parametrize(
    ("said", "presence", "plain"),
    [
        ("required", Presence(required=True), "required"),
        ("optional", Presence(), "optional"),
        ({"min_fraction": 1}, Presence(required=True), "required"),
        ({"min_fraction": 1, "min_count": 5}, Presence(required=True, min_count=5), {"required": True, "min_count": 5}),
        ({"min_fraction": 0.9}, Presence(min_fraction=0.9), {"min_fraction": 0.9}),
        ({"required": True, "min_count": 2}, Presence(required=True, min_count=2), {"required": True, "min_count": 2}),
        (
            {"required": False, "min_fraction": 1},
            Presence(required=False, min_fraction=1),
            {"required": False, "min_fraction": 1.0},
        ),
    ],
)
def test_presence_is_a_word_or_a_mapping(said, presence, plain):
    feature = Feature.model_validate({"type": "int", "presence": said})
    assert feature.presence == presence
    assert feature.required is presence.required
    assert feature.plain().get("presence", "required") == plain


# Domains


def test_a_named_domain_is_the_schemas():
    made = schema({"x": {"type": "string", "domain": "codes"}}, domains={"codes": ["A", "B"]})
    assert made.features["x"].domain == Domain(values=("A", "B"))
    assert made.features["x"].domain_name == "codes"
    assert made.plain()["features"]["x"]["domain"] == "codes"


def test_a_named_domain_reaches_into_structs():
    inner = {"type": "struct", "fields": {"y": {"type": "string", "domain": "codes"}}}
    assert schema({"x": inner}, domains={"codes": ["A"]}).feature("x.y").domain == Domain(values=("A",))


def test_a_domain_that_is_not_there_is_refused_where_it_is_named():
    features = {"x": {"type": "struct", "fields": {"y": {"type": "string", "domain": "cods"}}}}
    found = told(features, domains={"codes": ["A"]})
    assert found == {
        "features.x.fields.y.domain": "there is no domain 'cods' below schema.domains. Did you mean 'codes'?"
    }
    assert "The schema has no domains" in told({"x": {"type": "int", "domain": "y"}})["features.x.domain"]


def test_a_named_domain_must_fit_the_type_of_every_feature_that_names_it():
    features = {"x": {"type": "string", "domain": "low"}, "y": {"type": "int", "domain": "low"}}
    assert told(features, domains={"low": {"min": 0}}) == {
        "features.x.domain": "'low': min and max need a number, date or datetime, this is string"
    }


# What contradicts itself


@pytest.mark.parametrize(
    ("feature", "key", "says"),
    [
        ({"type": "int", "valency": {"min": 1}}, "valency", "only a list has one, this is int; write type: list[int]"),
        ({"type": "string", "separator": ";"}, "separator", "only a list has one"),
        ({"type": "list[int]", "separator": ""}, "separator", "at least 1 character"),
        ({"type": "list[int]", "valency": {"min": 3, "max": 1}}, "valency", "min 3 is above max 1"),
        ({"type": "list[int]", "valency": {}}, "valency", "says nothing"),
        ({"type": "list[int]", "default": [1]}, "default", "a missing list stays missing"),
        ({"type": "struct"}, "fields", "a struct has fields"),
        ({"type": "int", "fields": {"a": {"type": "int"}}}, "fields", "only a struct has them, this is int"),
        ({"type": "struct", "fields": {"a": {"type": "int"}}, "domain": ["x"]}, "domain", "a struct has none"),
        ({"type": "struct", "fields": {"a": {"type": "int"}}, "default": 1}, "default", "a struct has none"),
        ({"type": "struct", "fields": {"a": {"type": "int", "default": 1}}}, "fields.a.default", "give it to a column"),
        ({"type": "struct", "fields": {"a": {"type": "int", "personal": True}}}, "fields.a.personal", "outermost"),
        ({"type": "struct", "fields": {"a b": {"type": "int"}}}, "fields.a b", "rename"),
        ({"type": "struct", "fields": {"a": {"type": "int"}, "A": {"type": "int"}}}, "fields.A", "only by case"),
        (
            {"type": "list[struct]", "separator": ";", "fields": {"a": {"type": "int"}}},
            "separator",
            "structs are not written as text",
        ),
        ({"type": "int", "unique": {"min": 9, "max": 1}}, "unique", "min 9 is above max 1"),
        ({"type": "int", "domain": {"finite": True}}, "domain", "finite needs a float, this is int"),
        ({"type": "int", "domain": {"regex": "x"}}, "domain", "regex needs a string, this is int"),
        ({"type": "int", "domain": {"length": {"max": 3}}}, "domain", "length needs a string or bytes"),
        ({"type": "string", "domain": {"length": {"min": 3, "max": 1}}}, "domain.length", "min 3 is above max 1"),
        ({"type": "int", "domain": {"min_mass": 0.9}}, "domain", "say which those are"),
        ({"type": "int", "domain": {"values": [1], "min_mass": 0}}, "domain.min_mass", "greater than 0"),
        ({"type": "string", "categorical": True}, "categorical", "numbers that are names"),
        ({"type": "int", "drift": {}}, "drift", "says nothing"),
        ({"type": "int", "drift": {"linf": 0.1}}, "drift.linf", "Extra inputs"),
        ({"type": "bytes", "skew": {"jensen_shannon": 0.1}}, "skew.jensen_shannon", "this is bytes"),
        ({"type": "int", "presence": {}}, "presence", "says nothing"),
        ({"type": "int", "presence": {"required": True, "min_fraction": 0.5}}, "presence", "already"),
        ({"type": "int", "lifecycle": "old"}, "lifecycle", "'planned'"),
        (
            {"type": "int", "in_environment": ["A"], "not_in_environment": ["A"]},
            "not_in_environment",
            "in in_environment too",
        ),
        ({"type": "binary"}, "type", "'binary' is called 'bytes' now"),
    ],
)
def test_a_feature_that_contradicts_itself_is_refused_at_its_key(feature, key, says):
    found = told({"x": feature})
    assert says in found[f"features.x.{key}"]


@pytest.mark.parametrize(
    ("more", "key", "says"),
    [
        ({"rows": {"min": 3, "max": 1}}, "rows", "min 3 is above max 1"),
        ({"rows": {}}, "rows", "says nothing"),
        ({"rows": {"drift": {"min_fraction": 2, "max_fraction": 1}}}, "rows.drift", "min_fraction 2 is above"),
        ({"rows": {"drift": {}}}, "rows.drift", "says nothing"),
        ({"keys": "no"}, "keys", "'unique'"),
        ({"freshness": "soon"}, "freshness", "a duration is a number and a unit"),
        ({"freshness": "0s"}, "freshness", "give a time above 0"),
        ({"environments": ["A", "A"]}, "environments.1", "stands here twice"),
        ({"checks": {"a b": "x > 1"}}, "checks.a b", "letters, digits"),
        ({"checks": {"a": {"sql": "x > 1", "severity": "warning", "on_error": "refuse"}}}, "checks.a.on_error", "told"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused_at_its_key(more, key, says):
    assert says in told(**more)[key]


def test_every_problem_of_every_feature_is_told_at_once():
    found = told({"x": {"type": "int", "valency": {"min": 1}, "format": "%Y"}, "y": {"type": "struct"}})
    assert found.keys() == {"features.x.valency", "features.x.format", "features.y.fields"}


# Severity and action


def test_by_default_a_row_is_set_apart_and_a_batch_only_told_of():
    made = schema({"x": {"type": "int"}, "y": {"type": "int", "presence": {"min_fraction": 0.5}}})
    assert {made.severity_of(rule, "x") for rule in Rule} == {Severity.ERROR}
    apart = {rule for rule in Rule if made.action_of(rule, "x") is Action.QUARANTINE}
    assert apart == {Rule.TYPE, Rule.PRESENCE, Rule.DOMAIN, Rule.VALENCY, Rule.CHECK}
    assert made.action_of(Rule.PRESENCE, "y") is Action.WARN


def test_a_tolerant_domain_is_a_rule_of_the_batch():
    made = schema({"x": {"type": "int", "domain": {"values": [1], "min_mass": 0.9}}})
    assert made.action_of(Rule.DOMAIN, "x") is Action.WARN
    assert not made.by_row(Rule.DOMAIN, "x")


def test_the_nearest_word_wins():
    made = schema(
        {
            "x": {"type": "int"},
            "y": {"type": "int", "severity": "error"},
            "z": {"type": "struct", "severity": {"domain": "warning"}, "fields": {"a": {"type": "int"}}},
        },
        severity={"domain": "warning", "rows": "warning"},
        on_error="refuse",
        checks={"loud": "x > 1", "soft": {"sql": "x > 2", "severity": "warning"}},
    )
    assert made.severity_of(Rule.DOMAIN, "x") is Severity.WARNING
    assert made.severity_of(Rule.DOMAIN, "y") is Severity.ERROR
    assert made.severity_of(Rule.DOMAIN, "z.a") is Severity.WARNING
    assert made.severity_of(Rule.PRESENCE, "z.a") is Severity.ERROR
    assert made.action_of(Rule.PRESENCE, "x") is Action.REFUSE
    assert made.action_of(Rule.DOMAIN, "x") is Action.WARN
    assert made.action_of(Rule.CHECK, "checks.loud") is Action.REFUSE
    assert made.action_of(Rule.CHECK, "checks.soft") is Action.WARN
    assert made.action_of(Rule.ROWS) is Action.WARN
    assert made.action_of(Rule.KEYS) is Action.REFUSE


def test_one_word_for_all_rules_is_for_those_it_makes_sense_for():
    made = schema({"x": {"type": "int"}}, on_error="quarantine")
    assert made.action_of(Rule.DOMAIN, "x") is Action.QUARANTINE
    assert made.action_of(Rule.DRIFT, "x") is Action.WARN
    lenient = schema({"x": {"type": "int"}}, severity="warning")
    assert lenient.action_of(Rule.TYPE, "x") is Action.QUARANTINE
    assert schema({"x": {"type": "int"}}, on_error="warn").action_of(Rule.TYPE, "x") is Action.QUARANTINE


@pytest.mark.parametrize(
    ("said", "key", "says"),
    [
        ({"severity": {"type": "warning"}}, "severity.type", "always an error"),
        ({"on_error": {"type": "warn"}}, "on_error.type", "quarantine or refuse"),
        ({"on_error": {"drift": "quarantine"}}, "on_error.drift", "no row can be set apart; warn or refuse"),
        ({"presence": "optional", "on_error": {"presence": "quarantine"}}, "on_error.presence", "may lack the value"),
        (
            {"domain": {"values": [1], "min_mass": 0.5}, "on_error": {"domain": "quarantine"}},
            "on_error.domain",
            "with min_mass",
        ),
        ({"severity": "warning", "on_error": "refuse"}, "on_error", "a warning is only told"),
        ({"severity": {"domain": "warning"}, "on_error": {"domain": "refuse"}}, "on_error.domain", "only told"),
        ({"severity": {"rows": "warning"}}, "severity.rows", "no rule of one feature"),
        ({"severity": {"domian": "warning"}}, "severity.domian", "no rule 'domian'. Did you mean 'domain'?"),
        ({"severity": "bad"}, "severity", "'warning' or 'error'"),
        ({"severity": {}}, "severity", "says nothing"),
    ],
)
def test_severities_and_actions_that_make_no_sense_are_refused(said, key, says):
    assert says in told({"x": {"type": "int", **said}})[f"features.x.{key}"]


# Environments


def test_a_feature_is_in_the_environments_it_is_said_to_be_in():
    made = schema(
        {
            "both": {"type": "int"},
            "label": {"type": "int", "not_in_environment": ["SERVING"]},
            "extra": {"type": "int", "in_environment": ["OTHER"]},
            "deep": {
                "type": "struct",
                "fields": {"a": {"type": "int"}, "b": {"type": "int", "not_in_environment": ["SERVING"]}},
            },
        },
        environments=["TRAINING", "SERVING"],
    )
    assert list(made.within("TRAINING").features) == ["both", "label", "extra", "deep"]
    assert list(made.within("SERVING").paths()) == ["both", "extra", "deep", "deep.a"]
    assert list(made.within("OTHER").features) == ["extra"]
    assert made.within(None) is made
    assert made.known_environments() == ("TRAINING", "SERVING", "OTHER")


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(NotFoundError, match=r"no environment 'SERVIN'\. Did you mean 'SERVING'"):
        schema(environments=["SERVING"]).within("SERVIN")
    with pytest.raises(NotFoundError, match="The schema names none"):
        schema().within("SERVING")


# The rest


def test_features_that_are_no_longer_or_not_yet_in_use_are_not_checked():
    checked = {
        word: Feature(type="int", lifecycle=word).checked for word in ("beta", "production", "alpha", "deprecated")
    }
    assert checked == {"beta": True, "production": True, "alpha": False, "deprecated": False}
    assert Feature(type="int").checked


@pytest.mark.parametrize(
    ("kind", "limits", "measures"),
    [
        ({"type": "string"}, {"max": 0.1}, {"infinity_norm": 0.1}),
        ({"type": "int"}, {"max": 0.1}, {"jensen_shannon": 0.1}),
        ({"type": "int", "categorical": True}, {"max": 0.1}, {"infinity_norm": 0.1}),
        ({"type": "date"}, {"max": 0.1, "infinity_norm": 0.2}, {"infinity_norm": 0.2, "jensen_shannon": 0.1}),
        ({"type": "int"}, {"infinity_norm": 0.2}, {"infinity_norm": 0.2}),
    ],
)
def test_the_limit_max_is_of_the_measure_that_suits_the_type(kind, limits, measures):
    feature = Feature.model_validate({**kind, "drift": limits})
    assert feature.thresholds(feature.drift) == measures
    assert feature.thresholds(None) == {}


def test_a_schema_goes_through_json_whole():
    made = schema(
        {
            "x": {"type": "list[int]", "presence": {"min_fraction": 0.5}, "domain": "low", "drift": {"max": 0.1}},
            "y": {"type": "struct", "fields": {"z": {"type": "bytes", "severity": {"presence": "warning"}}}},
            "w": {"type": "string", "personal": False, "tags": ["a"]},
        },
        domains={"low": {"min": 0}},
        environments=["A"],
        checks={"a": "w > 'x'", "b": {"sql": "w < 'z'", "description": "why"}},
        rows={"min": 1, "drift": {"max_fraction": 2}},
        keys="unique",
        freshness="2d12h",
        on_error={"rows": "refuse"},
    )
    again = Schema.from_json(made.to_json())
    assert again == made
    assert again.marks == made.marks == {"w": False}
    assert again.freshness == timedelta(days=2, hours=12)
    assert json.loads(made.to_json())["features"]["x"]["type"] == "list[int]"


def test_a_schema_that_an_older_release_stored_is_read():
    stored = (
        '{"features":{"b":{"type":"binary","presence":"optional"},"s":{"type":"string","domain":{"values":["A"]}}}}'
    )
    made = Schema.from_json(stored)
    assert made.features["b"].type is FeatureType.BYTES
    assert not made.features["b"].required
    assert made.features["s"].domain == Domain(values=("A",))


def test_differences_are_told_key_by_key():
    old = schema({"a": {"type": "int"}, "b": {"type": "string", "domain": ["A"]}, "gone": {"type": "int"}})
    new = schema(
        {"a": {"type": "float"}, "b": {"type": "string", "domain": ["A", "B"]}, "c": {"type": "int"}},
        rows={"min": 1},
        checks={"x": "a > 1"},
    )
    assert [(d.path, d.key, d.before, d.after) for d in old.differences(new)] == [
        ("", "checks.x", None, "a > 1"),
        ("", "rows", None, {"min": 1}),
        ("a", "type", "int", "float"),
        ("b", "domain", ["A"], ["A", "B"]),
        ("c", "", None, {"type": "int"}),
        ("gone", "", {"type": "int"}, None),
    ]
    assert old.differences(old) == ()
    swapped = schema(dict(reversed(old.plain()["features"].items())))
    assert [d.key for d in old.differences(swapped)] == ["features"]


def test_limits_say_something():
    assert Limits(max=0.5).max == 0.5
    with pytest.raises(ValidationError, match="says nothing"):
        Limits()
