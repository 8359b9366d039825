"""Anomalies as TensorFlow Metadata's: every type by its name, what it lacks told."""

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import anomalies_pb2

from lakehouse.errors import FormatError
from lakehouse.schema import Action, Rule, Schema, Severity
from lakehouse.tfmd import read_anomalies, read_schema, write_anomalies
from lakehouse.validation.anomalies import Anomalies, Anomaly, Kind, Measure

MEASURES = ("infinity_norm", "jensen_shannon", "normalized_absolute_difference")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
FOUND = st.builds(
    Anomaly,
    path=st.sampled_from(["", "a", "a.b", "checks.late"]),
    kind=st.sampled_from(Kind),
    rule=st.just(Rule.DOMAIN),
    severity=st.just(Severity.WARNING),
    action=st.just(Action.WARN),
    short=TEXT,
    description=TEXT,
)
MEASURED = st.builds(
    Measure,
    path=st.sampled_from(["a", "a.b"]),
    comparison=st.sampled_from(["drift", "skew"]),
    measure=st.sampled_from(MEASURES),
    value=st.none() | st.floats(0, 1),
    threshold=st.floats(0, 1),
)


def parsed(text):
    return text_format.Parse(text, anomalies_pb2.Anomalies())


@settings(max_examples=60, deadline=None)
@given(st.lists(FOUND, max_size=5), st.lists(MEASURED, max_size=4), st.booleans())
def test_what_both_know_comes_back(found, measured, missing):
    ours = Anomalies(tuple(found), tuple(measured), data_missing=missing)
    text, _ = write_anomalies(ours)
    data, _ = write_anomalies(ours, form="binary")
    read, _ = read_anomalies(text)
    assert read == read_anomalies(data)[0]

    def plain(anomalies):
        return sorted((a.path, a.kind, a.severity, a.short, a.description) for a in anomalies.anomalies)

    assert plain(read) == plain(ours)
    assert sorted(map(str, read.measures)) == sorted(map(str, ours.measures))
    assert read.data_missing == ours.data_missing
    assert write_anomalies(read)[0] == write_anomalies(read_anomalies(write_anomalies(read)[0])[0])[0]


def test_reasons_of_a_feature_stand_together_under_the_higher_severity():
    known = Anomaly("a", Kind.INT_TYPE_BIG_INT, Rule.DOMAIN, Severity.WARNING, Action.WARN, "big", "9 is above 5.")
    own = Anomaly("a", Kind.CHECK_BROKEN, Rule.CHECK, Severity.ERROR, Action.QUARANTINE, "late", "2 rows.")
    text, lost = write_anomalies(Anomalies((known, own), rows=7, environment="E"))
    info = parsed(text).anomaly_info["a"]
    types = anomalies_pb2.AnomalyInfo
    assert [reason.type for reason in info.reason] == [types.INT_TYPE_BIG_INT, types.UNKNOWN_TYPE]
    assert (info.severity, info.short_description) == (types.ERROR, "Multiple errors")
    assert info.reason[1].short_description == "CHECK_BROKEN: late"
    assert info.description == "9 is above 5. 2 rows."
    fields = {": ".join(line.split(": ")[:2]) for line in lost}
    assert fields == {"a: severity", "a: CHECK_BROKEN", "a: action", "schema: rows", "schema: environment"}


def test_what_is_of_the_dataset_and_the_schema_has_its_own_place():
    few = Anomaly("", Kind.DATASET_LOW_NUM_EXAMPLES, Rule.ROWS, Severity.ERROR, Action.WARN, "few rows", "1 row of 9.")
    schema = Schema.model_validate({"features": {"a": {"type": "int", "unit": "min"}}})
    text, lost = write_anomalies(Anomalies((few,)), schema)
    message = parsed(text)
    assert message.dataset_anomaly_info.reason[0].type == anomalies_pb2.AnomalyInfo.DATASET_LOW_NUM_EXAMPLES
    assert read_schema(message.baseline.SerializeToString())[0] == schema
    assert any(line.startswith("a: baseline.unit: ") for line in lost)
    read, told = read_anomalies(text)
    assert read.anomalies[0].rule is Rule.ROWS
    assert any(line.startswith("schema: baseline: ") for line in told)


def test_a_distance_too_high_in_serving_data_alone_is_skew():
    measures = (Measure("a", "skew", "infinity_norm", 0.3, 0.1), Measure("a", "drift", "infinity_norm", 0.05, 0.1))
    far = Anomaly("a", Kind.COMPARATOR_L_INFTY_HIGH, Rule.SKEW, Severity.ERROR, Action.WARN, "far", "0.3 > 0.1")
    read, _ = read_anomalies(write_anomalies(Anomalies((far,), measures))[0])
    assert read.anomalies[0].rule is Rule.SKEW
    assert set(read.measures) == set(measures)


def test_what_we_do_not_know_is_told():
    text = """
    anomaly_info { key: "a" value { path { step: "a" } severity: ERROR diff_regions { }
      reason { type: SPARSE_FEATURE_MISSING_VALUE description: "lacks values" } } }
    anomaly_info { key: "b" value { severity: WARNING description: "so so" } }
    drift_skew_info { path { step: "a" } drift_measurements { value: 1 } }
    """
    read, lost = read_anomalies(text)
    assert not read.anomalies
    told = " | ".join(lost)
    for words in ("SPARSE_FEATURE_MISSING_VALUE", "lacks values", "diff_regions", "so so", "drift_measurements"):
        assert words in told, words
    with pytest.raises(FormatError, match="no Anomalies"):
        read_anomalies("feature { }")
