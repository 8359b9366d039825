"""What else a row can break, and what is done about it: severities, checks across columns, environments, counts."""

import polars as pl
import pytest

from lakehouse.errors import SchemaError
from lakehouse.schema import Rule, Schema
from lakehouse.validation import Mapping, check, count_broken

OPTIONAL = {"presence": "optional"}


@pytest.fixture
def checked(tmp_path):
    """Checks columns of text; valid and rejected rows, and what was broken by how many."""

    def go(columns, features, private=(), mapping=None, **schema):
        frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
        rows = frame.with_columns(_raw=pl.lit("f" * 64), _row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)).lazy()
        found = check(
            rows, dict(frame.schema), Mapping(Schema(features=features, **schema), **(mapping or {})), (), private
        )
        broken = found.broken.sink_parquet(tmp_path / "broken.parquet", lazy=True)
        filled = found.rows.select(**found.filled)
        good, bad, _, counts = pl.collect_all([found.valid, found.rejected, broken, filled], engine="streaming")
        go.filled = counts.to_dicts()[0] if counts.width else {}
        assert good.height + bad.height == frame.height
        return good, bad, count_broken([tmp_path / "broken.parquet"], found.rules)

    return go


def told(broken):
    """Reason and rows."""
    return {b.reason: b.rows for b in broken}


def test_a_warning_lets_the_row_through_and_is_counted_with_its_values(checked):
    features = {"x": {"type": "int", "domain": {"max": 5}, "severity": {"domain": "warning"}}}
    good, bad, broken = checked({"x": ["1", "9", "7", "9"]}, features)
    assert (good["x"].to_list(), bad.height) == ([1, 9, 7, 9], 0)
    assert [(b.path, b.rule, b.reason, b.rows, b.examples) for b in broken] == [
        ("x", Rule.DOMAIN, "x: above 5", 3, (("9", 2), ("7", 1)))
    ]


def test_a_warned_presence_takes_the_row_and_an_unreadable_value_never_does(checked):
    features = {"x": {"type": "int", "severity": "warning"}}
    good, bad, broken = checked({"x": ["1", None, "bad"]}, features)
    assert good["x"].to_list() == [1, None]
    assert bad["reasons"].to_list() == [["x: not an int"]]
    assert told(broken) == {"x: not an int": 1, "x: missing": 1}


def test_a_rejected_row_says_why_and_not_what_it_is_warned_of_which_is_counted_all_the_same(checked):
    features = {"x": {"type": "int", "domain": {"max": 5}, "severity": "warning"}, "y": {"type": "int"}}
    _, bad, broken = checked({"x": ["9"], "y": [None]}, features)
    assert bad["reasons"].to_list() == [["y: missing"]]
    assert told(broken) == {"x: above 5": 1, "y: missing": 1}


def test_a_rule_that_refuses_the_batch_sets_its_rows_apart_too(checked):
    features = {"x": {"type": "int", "domain": {"max": 5}, "on_error": {"domain": "refuse"}}}
    _, bad, broken = checked({"x": ["1", "9"]}, features)
    assert bad["reasons"].to_list() == [["x: above 5"]]
    assert told(broken) == {"x: above 5": 1}


def test_a_check_holds_across_columns_and_null_passes(checked):
    features = {"dep": {"type": "int", **OPTIONAL}, "arr": {"type": "int", **OPTIONAL}}
    columns = {"dep": ["1", "5", None, "3"], "arr": ["2", "4", "1", None]}
    checks = {"lands_after": "arr >= dep", "early": {"sql": "dep < 5", "severity": "warning"}}
    good, bad, broken = checked(columns, features, checks=checks)
    assert good["_row"].to_list() == [1, 3, 4]
    assert bad["reasons"].to_list() == [["check lands_after: arr >= dep"]]
    assert [(b.path, b.rule, b.rows, b.examples) for b in broken] == [
        ("checks.lands_after", Rule.CHECK, 1, (("arr=4, dep=5", 1),)),
        ("checks.early", Rule.CHECK, 1, (("dep=5", 1),)),
    ]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("nowhere > 1", "checks: .*nowhere"),
        ("x + 1", r"check c: x \+ 1: gives .*, not true or false"),
        ("COLUMNS('.') > 1", "more than one column"),
    ],
)
def test_a_check_that_cannot_be_asked_is_refused(checked, sql, says):
    with pytest.raises(SchemaError, match=says):
        checked({"x": ["1"]}, {"x": {"type": "int"}}, checks={"c": sql})


@pytest.mark.parametrize(
    ("finite", "text", "reasons"),
    [
        (None, "inf", ["x: not a float"]),
        (None, "nan", None),
        (True, "inf", ["x: not finite"]),
        (True, "-Infinity", ["x: not finite"]),
        (True, "NaN", ["x: not finite"]),
        (True, "1e999", ["x: not a float"]),
        (True, "1", None),
        (False, "+inf", None),
        (False, "nan", None),
        (False, "-1e999", ["x: not a float"]),
    ],
)
def test_finite_says_what_becomes_of_nan_and_infinity(checked, finite, text, reasons):
    said = {} if finite is None else {"domain": {"finite": finite, **({"max": 1e9} if finite else {})}}
    _, bad, _ = checked({"x": [text]}, {"x": {"type": "float", **said}})
    assert bad["reasons"].to_list() == ([] if reasons is None else [reasons])


def test_a_tolerated_domain_breaks_no_row(checked):
    features = {"x": {"type": "string", "domain": {"values": ["A"], "min_mass": 0.9}}}
    good, _, broken = checked({"x": ["A", "Q"]}, features)
    assert (good.height, broken) == (2, [])


def test_a_deprecated_feature_is_read_and_not_checked(checked):
    features = {"x": {"type": "int", "domain": {"max": 5}, "lifecycle": "deprecated"}}
    good, bad, _ = checked({"x": ["9", None, "bad"]}, features)
    assert good["x"].to_list() == [9, None]
    assert bad["reasons"].to_list() == [["x: not an int"]]


def test_outside_its_environment_a_feature_is_kept_where_it_is_and_asked_nothing(checked):
    features = {"x": {"type": "int"}, "label": {"type": "int", "domain": {"max": 5}, "not_in_environment": ["SERVING"]}}
    columns = {"x": ["1", "2", "3"], "label": ["9", None, "bad"]}
    serving = {"environments": ["TRAINING", "SERVING"], "mapping": {"environment": "SERVING"}}
    good, bad, _ = checked(columns, features, **serving)
    assert good["label"].to_list() == [9, None]
    assert bad["reasons"].to_list() == [["label: not an int"]]
    serving["mapping"] = {"environment": "TRAINING"}
    assert checked(columns, features, **serving)[0].height == 0


def test_a_named_domain_is_as_its_own(checked):
    features = {name: {"type": "string", "domain": "airport"} for name in ("origin", "dest")}
    _, bad, _ = checked({"origin": ["EWR"], "dest": ["XXX"]}, features, domains={"airport": ["EWR", "JFK"]})
    assert bad["reasons"].to_list() == [["dest: not in its domain"]]


@pytest.mark.parametrize("count", [63, 64, 65, 130])
def test_more_rules_than_a_word_has_bits_are_told_apart(checked, count):
    columns = {f"c{n}": ["1", "9" if n % 2 else "1"] for n in range(count)}
    features = {name: {"type": "int", "domain": {"max": 5}, **OPTIONAL} for name in columns}
    _, bad, broken = checked(columns, features)
    odd = [f"c{n}: above 5" for n in range(count) if n % 2]
    assert bad["reasons"].to_list() == [odd]
    assert [b.reason for b in broken] == odd


@pytest.mark.parametrize(
    ("features", "private", "columns"),
    [
        ({"x": {"type": "string", "domain": ["A"], "personal": True}}, (), {"x": ["secret"]}),
        ({"x": {"type": "string", "domain": ["A"]}}, ("x",), {"x": ["secret"]}),
        (
            {"x": {"type": "struct", "personal": True, "fields": {"y": {"type": "string", "domain": ["A"]}}}},
            (),
            {"x": ['{"y":"secret"}']},
        ),
    ],
)
def test_values_of_personal_features_are_no_examples(checked, features, private, columns):
    _, _, broken = checked(columns, features, private, checks={"c": "x IS NULL"})
    assert {b.rule: b.examples for b in broken} == {Rule.DOMAIN: (), Rule.CHECK: ()}


def test_what_a_default_fills_is_counted_among_the_valid_rows(checked):
    features = {
        "x": {"type": "int", "default": 7},
        "y": {"type": "int"},
        "z": {"type": "int", "default": 0},
        "gone": {"type": "int", "default": 1},
    }
    good, _, _ = checked(
        {"x": [None, "1", "NA", None], "y": ["1", "1", "1", "bad"], "z": ["1"] * 4},
        features,
        mapping={"null_values": ("NA",)},
    )
    assert good["x"].to_list() == [7, 1, 7]
    assert checked.filled == {"x": 2, "z": 0, "gone": 3}
