"""Small tables of the families of the recorded cases, judged by TensorFlow Data Validation's rules and by ours.

Expected answers follow that library's rules: a text column is INT when all its values are integers, FLOAT when all
are numbers, else BYTES, and nothing is widened; a required column that is missing or all null is reported once.
"""

from __future__ import annotations

import math

import polars as pl
import pytest

from lakehouse import generate_statistics, validate_statistics
from lakehouse.errors import NotFoundError
from lakehouse.tfmd import read_schema

_PRESENT = "presence { min_count: 1 } value_count { min: 1 max: 1 }"


def _schema(*features: str, rest: str = ""):
    return read_schema("".join(f"feature {{ {feature} }}\n" for feature in features) + rest)[0]


def _table(**columns):
    return pl.DataFrame({name: [None if v is None else str(v) for v in values] for name, values in columns.items()})


def _kinds(schema, current, *, widen=False, **others):
    told = {f"{name}_statistics": generate_statistics(frame) for name, frame in others.items() if name != "environment"}
    found = validate_statistics(
        generate_statistics(current), schema, environment=others.get("environment"), widen=widen, **told
    )
    return sorted((one.path, one.kind.value) for one in found.anomalies)


ONE_COLUMN = {
    "float to int": ("type: FLOAT", [1, 2, 3], {"UNEXPECTED_DATA_TYPE"}, set()),
    "int written as float": ("type: INT", ["1.0", "2.0"], {"UNEXPECTED_DATA_TYPE"}, set()),
    "one fraction among ints": ("type: INT", [1, 2, "2.5"], {"UNEXPECTED_DATA_TYPE"}, {"UNEXPECTED_DATA_TYPE"}),
    "string to number": ("type: BYTES", [1, 2], {"UNEXPECTED_DATA_TYPE"}, set()),
    "string to float": ("type: BYTES", ["1.5", "2"], {"UNEXPECTED_DATA_TYPE"}, set()),
    "number to string": ("type: FLOAT", ["1.5", "x"], {"UNEXPECTED_DATA_TYPE"}, {"UNEXPECTED_DATA_TYPE"}),
    "text where an int range is asked for": (
        "type: INT int_domain { min: 1 max: 12 }",
        [1, "abc"],
        {"UNEXPECTED_DATA_TYPE", "INT_TYPE_NOT_INT_STRING"},
        {"UNEXPECTED_DATA_TYPE"},
    ),
    "bool ints": ("type: INT bool_domain { }", [0, 1, 1], set(), set()),
    "bool ints, one 2": ("type: INT bool_domain { }", [0, 1, 2], {"BOOL_TYPE_BIG_INT"}, {"BOOL_TYPE_BIG_INT"}),
    "bool ints, one -1": ("type: INT bool_domain { }", [0, -1], {"BOOL_TYPE_SMALL_INT"}, {"BOOL_TYPE_SMALL_INT"}),
    "bool ints, one half": (
        "type: INT bool_domain { }",
        [0, 1, "0.5"],
        {"UNEXPECTED_DATA_TYPE", "BOOL_TYPE_UNEXPECTED_FLOAT"},
        {"BOOL_TYPE_UNEXPECTED_FLOAT"},
    ),
    "bool ints, one 1.0": (
        "type: INT bool_domain { }",
        [0, "1.0"],
        {"UNEXPECTED_DATA_TYPE"},
        {"BOOL_TYPE_UNEXPECTED_FLOAT"},
    ),
    "bool floats": ("type: FLOAT bool_domain { }", ["0.0", "1.0"], set(), set()),
    "bool floats, one half": (
        "type: FLOAT bool_domain { }",
        ["0.0", "0.5"],
        {"BOOL_TYPE_UNEXPECTED_FLOAT"},
        {"BOOL_TYPE_UNEXPECTED_FLOAT"},
    ),
    "bool floats, all ints": ("type: FLOAT bool_domain { }", [0, 1], {"UNEXPECTED_DATA_TYPE"}, set()),
    "bool words": (
        'type: BYTES bool_domain { true_value: "yes" false_value: "no" }',
        ["yes", "no", "perhaps"],
        {"BOOL_TYPE_UNEXPECTED_STRING"},
        {"BOOL_TYPE_UNEXPECTED_STRING"},
    ),
    "below an int range": ("type: INT int_domain { min: 5 }", [4, 9], {"INT_TYPE_SMALL_INT"}, {"INT_TYPE_SMALL_INT"}),
    "above an int range": ("type: INT int_domain { max: 5 }", [4, 9], {"INT_TYPE_BIG_INT"}, {"INT_TYPE_BIG_INT"}),
    "at both ends of an int range": ("type: INT int_domain { min: 4 max: 9 }", [4, 9], set(), set()),
    "out of a float range": (
        "type: FLOAT float_domain { min: 0.1 max: 1.0 }",
        ["0.05", "0.1", "1.0", "1.5"],
        {"FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT"},
        {"FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT"},
    ),
    "nan where it is allowed": ("type: FLOAT float_domain { min: 0 }", ["0.5", "nan"], set(), set()),
    "nan where it is not": (
        "type: FLOAT float_domain { disallow_nan: true disallow_inf: true }",
        ["0.5", "nan"],
        {"FLOAT_TYPE_HAS_NAN"},
        {"FLOAT_TYPE_HAS_NAN"},
    ),
    "inf where it is not": (
        "type: FLOAT float_domain { disallow_nan: true disallow_inf: true }",
        ["0.5", "inf"],
        {"FLOAT_TYPE_HAS_INF"},
        {"FLOAT_TYPE_HAS_INF"},
    ),
    "minus inf below a range": (
        "type: FLOAT float_domain { min: 0 }",
        ["0.5", "-inf"],
        {"FLOAT_TYPE_SMALL_FLOAT"},
        {"FLOAT_TYPE_SMALL_FLOAT"},
    ),
    "inf where it alone is refused": (
        "type: FLOAT float_domain { disallow_inf: true }",
        ["0.5", "nan", "inf"],
        {"FLOAT_TYPE_HAS_INF"},
        {"FLOAT_TYPE_HAS_INF"},
    ),
    "ints out of a float range": (
        "type: FLOAT float_domain { min: 0.5 }",
        [0, 1],
        {"UNEXPECTED_DATA_TYPE"},
        {"FLOAT_TYPE_SMALL_FLOAT"},
    ),
    "ints where a list of words is asked for": (
        'type: BYTES string_domain { value: "a" }',
        [1, 2],
        {"UNEXPECTED_DATA_TYPE"},
        {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"},
    ),
    "inf where nothing is said": ("type: FLOAT", ["0.5", "inf"], set(), set()),
    "outside a list": (
        'type: BYTES string_domain { name: "d" value: "a" value: "b" }',
        ["a", "b", "c"],
        {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"},
        {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"},
    ),
    "more outside than tolerated": (
        'type: BYTES string_domain { name: "d" value: "a" } distribution_constraints { min_domain_mass: 0.7 }',
        ["a", "a", "x", "y"],
        {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"},
        {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"},
    ),
    "as much outside as tolerated": (
        'type: BYTES string_domain { name: "d" value: "a" } distribution_constraints { min_domain_mass: 0.5 }',
        ["a", "a", "x", "y"],
        set(),
        set(),
    ),
    "too few distinct": (
        "type: BYTES unique_constraints { min: 3 max: 9 }",
        ["a", "b", "b"],
        {"FEATURE_TYPE_LOW_UNIQUE"},
        {"FEATURE_TYPE_LOW_UNIQUE"},
    ),
    "too many distinct": (
        "type: BYTES unique_constraints { min: 1 max: 1 }",
        ["a", "b", "b"],
        {"FEATURE_TYPE_HIGH_UNIQUE"},
        {"FEATURE_TYPE_HIGH_UNIQUE"},
    ),
    "deprecated": ("type: INT lifecycle_stage: DEPRECATED int_domain { max: 1 }", [5, 6], set(), set()),
    "planned": ("type: INT lifecycle_stage: PLANNED", [None, None], set(), set()),
    "beta": ("type: INT lifecycle_stage: BETA int_domain { max: 1 }", [5], {"INT_TYPE_BIG_INT"}, {"INT_TYPE_BIG_INT"}),
}


@pytest.mark.parametrize("name", ONE_COLUMN)
def test_one_column_is_judged_by_its_rules_and_by_ours(name):
    feature, values, theirs, ours = ONE_COLUMN[name]
    schema = _schema(f'name: "a" {feature} {_PRESENT}', f'name: "b" type: BYTES {_PRESENT}')
    table = _table(a=values, b=["x"] * len(values))
    assert {kind for path, kind in _kinds(schema, table) if path == "a"} == theirs
    assert {kind for path, kind in _kinds(schema, table, widen=True) if path == "a"} == ours


PRESENCE = {
    "enough": ("min_count: 3", [1, 2, 3], []),
    "too few": ("min_count: 3", [1, 2, None], ["FEATURE_TYPE_LOW_NUMBER_PRESENT"]),
    "just the fraction": ("min_fraction: 0.95", [1] * 95 + [None] * 5, []),
    "below the fraction": ("min_fraction: 0.95", [1] * 94 + [None] * 6, ["FEATURE_TYPE_LOW_FRACTION_PRESENT"]),
    "both": (
        "min_count: 3 min_fraction: 0.9",
        [1, 2, None],
        ["FEATURE_TYPE_LOW_FRACTION_PRESENT", "FEATURE_TYPE_LOW_NUMBER_PRESENT"],
    ),
    "none at all, once": ("min_count: 1 min_fraction: 1.0", [None, None], ["FEATURE_TYPE_NOT_PRESENT"]),
    "none at all, by count": ("min_count: 1", [None, None], ["FEATURE_TYPE_NOT_PRESENT"]),
    "none at all, by fraction": ("min_fraction: 0.1", [None, None], ["FEATURE_TYPE_NOT_PRESENT"]),
    "more than all, read as all": ("min_fraction: 1.5", [1, None], ["FEATURE_TYPE_LOW_FRACTION_PRESENT"]),
    "less than none, read as none": ("min_fraction: -0.5", [1, None], []),
    "none asked for": ("min_count: 0", [None, None], []),
}


@pytest.mark.parametrize("name", PRESENCE)
def test_presence(name):
    asked, values, kinds = PRESENCE[name]
    schema = _schema(f'name: "a" type: INT presence {{ {asked} }}', 'name: "b" type: BYTES')
    table = _table(a=values, b=["x"] * len(values))
    assert _kinds(schema, table) == [("a", kind) for kind in kinds]


@pytest.mark.parametrize(
    ("asked", "missed"), [("min_count: 1", True), ("min_fraction: 0.01", True), ("min_count: 0", False), ("", False)]
)
def test_a_column_that_is_gone_is_missed_when_something_of_it_is_asked_for(asked, missed):
    schema = _schema(f'name: "a" type: INT presence {{ {asked} }}', 'name: "b" type: BYTES')
    assert _kinds(schema, _table(b=["x"])) == ([("a", "SCHEMA_MISSING_COLUMN")] if missed else [])


def test_a_new_column_is_told_even_without_values():
    schema = _schema('name: "b" type: BYTES')
    assert _kinds(schema, _table(b=["x"], c=[None])) == [("c", "SCHEMA_NEW_COLUMN")]


ENVIRONMENTS = 'default_environment: "TRAINING" default_environment: "SERVING"'


@pytest.mark.parametrize(
    ("said", "environment", "there", "expected"),
    [
        ('not_in_environment: "SERVING"', "SERVING", False, []),
        ('not_in_environment: "SERVING"', "SERVING", True, ["SCHEMA_NEW_COLUMN"]),
        ('not_in_environment: "SERVING"', "TRAINING", False, ["SCHEMA_MISSING_COLUMN"]),
        ('not_in_environment: "SERVING"', None, False, ["SCHEMA_MISSING_COLUMN"]),
        ('in_environment: "AUDIT"', "AUDIT", False, ["SCHEMA_MISSING_COLUMN"]),
        ('in_environment: "AUDIT"', "AUDIT", True, []),
        ('in_environment: "AUDIT"', "TRAINING", False, ["SCHEMA_MISSING_COLUMN"]),
        ("", "SERVING", True, []),
    ],
)
def test_environments(said, environment, there, expected):
    schema = _schema(
        f'name: "label" type: INT {_PRESENT} {said}',
        'name: "b" type: BYTES in_environment: "AUDIT"',
        rest=ENVIRONMENTS,
    )
    table = _table(label=[1, 0], b=["x", "y"]) if there else _table(b=["x", "y"])
    assert _kinds(schema, table, environment=environment) == [("label", kind) for kind in expected]


def test_an_environment_that_nothing_names_is_an_error_that_says_which_there_are():
    schema = _schema('name: "a" type: INT', rest=ENVIRONMENTS)
    with pytest.raises(NotFoundError, match=r"'SERVNG'.*SERVING"):
        _kinds(schema, _table(a=[1]), environment="SERVNG")


def _drift(measure: str, threshold: float, comparison: str = "drift") -> str:
    return f"{comparison}_comparator {{ {measure} {{ threshold: {threshold} }} }}"


def _measure(feature, current, **others):
    schema = _schema(f'name: "a" {feature}', 'name: "b" type: BYTES')

    def told(values):
        table = _table(b=["x"] * max(len(values), 1)) if values == [] else _table(a=values, b=["x"] * len(values))
        return generate_statistics(table)

    found = validate_statistics(told(current), schema, **{f"{k}_statistics": told(v) for k, v in others.items()})
    return [m.value for m in found.measures], [one.kind.value for one in found.anomalies]


def test_a_value_that_is_new_drifts_by_its_whole_share():
    values, kinds = _measure(
        f"type: BYTES {_drift('infinity_norm', 0.2)}", ["p", "p", "p", "q"], previous=["p", "p", "p", "p"]
    )
    assert values == [0.25]
    assert kinds == ["COMPARATOR_L_INFTY_HIGH"]


def test_a_value_that_went_away_drifts_by_its_whole_share_and_missing_values_do_not_count():
    values, kinds = _measure(
        f"type: BYTES {_drift('infinity_norm', 0.3)}", ["p", None, None], previous=["p", "p", "p", "q"]
    )
    assert values == [0.25]
    assert kinds == []


def test_normalized_absolute_difference_of_strings_is_of_counts_over_both_totals():
    values, kinds = _measure(
        f"type: BYTES {_drift('normalized_abs_difference', 0.3)}", ["p"] * 5 + ["q"], previous=["p", "p", "q", "q"]
    )
    assert values == [pytest.approx(3 / 10)]
    assert kinds == []


def test_normalized_absolute_difference_of_numbers_is_by_value():
    values, kinds = _measure(
        f"type: INT {_drift('normalized_abs_difference', 0.1)}", [1, 1, 1, 2], previous=[1, 2, 2, 2]
    )
    assert values == [pytest.approx(2 / 8)]
    assert kinds == ["COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH"]


def test_jensen_shannon_of_strings_is_by_value_and_base_two():
    values, kinds = _measure(f"type: BYTES {_drift('jensen_shannon_divergence', 0.5)}", ["p", "p"], previous=["q", "q"])
    assert values == [1.0]
    assert kinds == ["COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"]
    half, _ = _measure(f"type: BYTES {_drift('jensen_shannon_divergence', 0.5)}", ["p", "q"], previous=["q", "q"])
    expected = 0.5 * (0.5 * math.log2(2) + 0.5 * math.log2(0.5 / 0.75)) + 0.5 * math.log2(1 / 0.75)
    assert half == [pytest.approx(expected)]


def test_jensen_shannon_of_ranges_apart_is_one_and_of_a_range_shifted_by_half_is_half():
    feature = f"type: INT {_drift('jensen_shannon_divergence', 0.2)}"
    apart, _ = _measure(feature, range(100), previous=range(1000, 1100))
    assert apart == [pytest.approx(1.0)]
    shifted, kinds = _measure(feature, range(101), previous=range(50, 151))
    assert shifted == [pytest.approx(0.5, abs=0.02)]
    assert kinds == ["COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"]


def test_jensen_shannon_of_a_constant_against_the_same_constant_is_nothing():
    feature = f"type: INT {_drift('jensen_shannon_divergence', 0.0)}"
    assert _measure(feature, [7, 7], previous=[7, 7, 7]) == ([0.0], [])
    assert _measure(feature, [7, 7], previous=[8, 8])[0] == [1.0]


def test_a_distance_at_its_threshold_is_no_anomaly():
    values, kinds = _measure(f"type: BYTES {_drift('infinity_norm', 0.25)}", ["p", "p", "p", "q"], previous=["p"])
    assert (values, kinds) == ([0.25], [])


def test_skew_without_the_serving_column_is_told_and_without_serving_data_is_not():
    feature = f"type: BYTES {_drift('infinity_norm', 0.1, 'skew')}"
    assert _measure(feature, ["p"], serving=[]) == ([], ["COMPARATOR_CONTROL_DATA_MISSING"])
    assert _measure(feature, ["p"]) == ([], [])
    assert _measure(feature, ["p"], previous=["q"]) == ([], [])
    assert _measure(feature, ["p"], serving=["q"]) == ([1.0], ["COMPARATOR_L_INFTY_HIGH"])


@pytest.mark.parametrize("measure", ["infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference"])
def test_there_is_no_drift_from_a_batch_without_rows(measure):
    schema = _schema(f'name: "a" type: BYTES {_drift(measure, 0.1)}')
    empty = generate_statistics(pl.DataFrame(schema={"a": pl.String}))
    found = validate_statistics(generate_statistics(_table(a=["p"])), schema, previous_statistics=empty)
    assert not found
    assert not found.measures
    assert found.notes == ("a: the batch before has no rows: there is no drift from it.",)


def test_drift_of_a_column_that_is_gone_is_told_as_gone_alone():
    feature = f"type: BYTES {_PRESENT} {_drift('infinity_norm', 0.1)}"
    assert _measure(feature, [], previous=["q"]) == ([], ["SCHEMA_MISSING_COLUMN"])


ROWS = {
    "max with a min, over": ("min_examples_count: 1 max_examples_count: 2", None, None, ["DATASET_HIGH_NUM_EXAMPLES"]),
    "max with a min, at it": ("min_examples_count: 1 max_examples_count: 3", None, None, []),
    "more than the span before": (
        "num_examples_drift_comparator { max_fraction_threshold: 1.4 }",
        2,
        None,
        ["COMPARATOR_HIGH_NUM_EXAMPLES"],
    ),
    "fewer than the span before": (
        "num_examples_drift_comparator { min_fraction_threshold: 0.5 }",
        7,
        None,
        ["COMPARATOR_LOW_NUM_EXAMPLES"],
    ),
    "as the span before": ("num_examples_drift_comparator { min_fraction_threshold: 0.5 }", 6, None, []),
    "more than the version before": (
        "num_examples_version_comparator { max_fraction_threshold: 1.0 }",
        99,
        2,
        ["COMPARATOR_HIGH_NUM_EXAMPLES"],
    ),
    "fewer than the version before": (
        "num_examples_version_comparator { min_fraction_threshold: 1.0 }",
        1,
        4,
        ["COMPARATOR_LOW_NUM_EXAMPLES"],
    ),
    "the span before was empty": ("num_examples_drift_comparator { max_fraction_threshold: 1.4 }", 0, None, []),
    "no version before": ("num_examples_version_comparator { min_fraction_threshold: 1.0 }", 1, None, []),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    said, before, version, kinds = ROWS[name]
    schema = _schema('name: "a" type: INT', rest=f"dataset_constraints {{ {said} }}")
    others = {
        which: _table(a=range(n)) for which, n in (("previous", before), ("previous_version", version)) if n is not None
    }
    assert _kinds(schema, _table(a=range(3)), **others) == [("", kind) for kind in kinds]


def test_no_rows_is_all_that_is_told():
    schema = _schema(f'name: "a" type: INT {_PRESENT}', rest="dataset_constraints { min_examples_count: 5 }")
    found = validate_statistics(generate_statistics(pl.DataFrame({"a": []}, schema={"a": pl.String})), schema)
    assert found.data_missing
    assert not found.anomalies
    assert "no rows" in str(found)


@pytest.mark.parametrize(
    ("asked", "lists", "kinds"),
    [
        ("min: 2", [["a", "b"], ["a"]], ["FEATURE_TYPE_LOW_NUMBER_VALUES"]),
        ("min: 1 max: 2", [["a", "b"], ["a"]], []),
        ("min: 3 max: 1", [["a", "b", "c"], ["a"]], ["FEATURE_TYPE_LOW_NUMBER_VALUES"]),
        (
            "min: 2 max: 2",
            [["a", "b", "c"], ["a"]],
            ["FEATURE_TYPE_HIGH_NUMBER_VALUES", "FEATURE_TYPE_LOW_NUMBER_VALUES"],
        ),
    ],
)
def test_valency(asked, lists, kinds):
    schema = _schema(f'name: "a" type: BYTES value_count {{ {asked} }} presence {{ min_count: 1 }}')
    assert _kinds(schema, pl.DataFrame({"a": lists})) == [("a", kind) for kind in kinds]
