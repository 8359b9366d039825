"""Schemas of TensorFlow Metadata: both ways without loss, and every loss told."""

import contextlib
import importlib.util
import json

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemas import schemas
from tensorflow_metadata.proto.v0 import schema_pb2

from lakehouse.errors import ConfigError, FormatError
from lakehouse.schema import FeatureType, Lifecycle, Schema
from lakehouse.tfmd import read_schema, write_schema

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one(text, *, more=""):
    """The feature that a message of one feature makes, and what is lost."""
    schema, lost = read_schema(f'feature {{ name: "a" {text} }} {more}')
    return schema.features["a"], list(lost)


def message(text):
    return text_format.Parse(text, schema_pb2.Schema())


@QUICK
@given(schemas())
def test_every_schema_comes_back_as_it_was_written(schema):
    text, lost = write_schema(schema)
    data, again = write_schema(schema, "binary")
    assert read_schema(text)[0] == schema
    assert read_schema(data)[0] == schema
    assert read_schema(text)[0].marks == schema.marks
    assert lost == again
    assert not any("annotation" in line for line in read_schema(text)[1])


@QUICK
@given(schemas())
def test_what_only_we_would_read_is_told_when_written(schema):
    text, lost = write_schema(schema)
    bare = message(text)
    bare.annotation.ClearField("extra_metadata")
    features = list(bare.feature)
    while features:
        feature = features.pop()
        feature.annotation.ClearField("extra_metadata")
        features += feature.struct_domain.feature
    told, _ = read_schema(bare.SerializeToString())
    assert lost or told == schema


ONE_VALUE = "value_count { min: 1 max: 1 }"
SAME_AGAIN = [
    *(
        f'feature {{ name: "a" {more} {ONE_VALUE} }}'
        for more in (
            "type: INT int_domain { min: -3 max: 12 }",
            "type: INT int_domain { is_categorical: true } unique_constraints { min: 1 max: 9 }",
            "type: INT bool_domain { }",
            "type: FLOAT",
            "type: FLOAT float_domain { min: 0.1 disallow_inf: true }",
            "type: FLOAT float_domain { disallow_nan: true disallow_inf: true }",
            "type: FLOAT bool_domain { }",
            'type: BYTES bool_domain { true_value: "ja" false_value: "nein" }',
            'type: BYTES string_domain { value: "x" } distribution_constraints { min_domain_mass: 0.9 }',
            'type: BYTES time_domain { string_format: "%d.%m.%Y" }',
            'type: INT lifecycle_stage: DEBUG_ONLY annotation { tag: "t" comment: "one" comment: "two" }',
            "type: INT skew_comparator { infinity_norm { threshold: 0 } }",
            "type: INT drift_comparator { jensen_shannon_divergence { threshold: 0.2 } }",
            "type: BYTES drift_comparator { normalized_abs_difference { threshold: 0.1 } }",
        )
    ),
    'feature { name: "a" type: BYTES value_count { } }',
    'feature { name: "a" type: INT value_count { min: 2 } presence { min_fraction: 0.5 min_count: 7 } }',
    'feature { name: "a" type: BYTES shape { dim { size: 1 } } presence { min_fraction: 1 min_count: 3 } }',
    f"""feature {{ name: "a" type: INT {ONE_VALUE} in_environment: "E" not_in_environment: "F" }}
    default_environment: "F" """,
    f"""feature {{ name: "s" type: STRUCT {ONE_VALUE} struct_domain {{
    feature {{ name: "in" type: INT presence {{ min_fraction: 1 min_count: 1 }} {ONE_VALUE} }} }} }}""",
    f"""feature {{ name: "a" type: INT {ONE_VALUE} domain: "n" }} int_domain {{ name: "n" min: 1 }}
    feature {{ name: "b" type: FLOAT {ONE_VALUE} domain: "f" }} float_domain {{ name: "f" max: 0.5 disallow_inf: true }}
    feature {{ name: "c" type: BYTES {ONE_VALUE} domain: "s" }} string_domain {{ name: "s" value: "x" value: "" }}""",
    f"""feature {{ name: "a" type: INT {ONE_VALUE} }} dataset_constraints {{ min_examples_count: 3 max_examples_count: 9
    num_examples_drift_comparator {{ min_fraction_threshold: 0.5 }}
    num_examples_version_comparator {{ max_fraction_threshold: 2 }} }}""",
]


@pytest.mark.parametrize("text", SAME_AGAIN)
def test_what_both_know_comes_back_as_the_same_message(text):
    schema, lost = read_schema(text)
    again, ours = write_schema(schema)
    assert message(again) == message(text)
    assert (lost, ours) == ((), ())
    assert read_schema(message(text).SerializeToString()) == (schema, ())


TOLD = {
    "sparse_feature": 'sparse_feature { name: "q" }',
    "weighted_feature": 'weighted_feature { name: "q" }',
    "tensor_representation_group": 'tensor_representation_group { key: "q" }',
    "represent_variable_length_as_ragged": "represent_variable_length_as_ragged: true",
    "annotation.tag": 'annotation { tag: "x" }',
}


@pytest.mark.parametrize("field", TOLD)
def test_a_field_of_the_schema_that_we_have_no_place_for_is_told(field):
    _, lost = one(f"type: INT {ONE_VALUE}", more=TOLD[field])
    assert [line.split(": ")[:2] for line in lost] == [["schema", field]]


def filled(made, depth=0):
    """A message with each field set, so far as fields do not exclude each other."""
    for field in made.DESCRIPTOR.fields:
        if field.containing_oneof is not None and made.WhichOneof(field.containing_oneof.name):
            continue
        held = getattr(made, field.name)
        many = hasattr(held, "append")
        if field.message_type is None:
            value = {field.TYPE_BOOL: True, field.TYPE_STRING: "x", field.TYPE_BYTES: b"x"}.get(field.type, 1)
            value = 0.5 if field.type in {field.TYPE_FLOAT, field.TYPE_DOUBLE} else value
            held.append(value) if many else setattr(made, field.name, value)
        elif depth < 3 and field.message_type.name not in {"Feature", "SparseFeature", "Any"}:
            inner = held.add() if many else held
            inner.SetInParent()
            filled(inner, depth + 1)
    return made


CHOICES = [
    *schema_pb2.Feature.DESCRIPTOR.oneofs_by_name["domain_info"].fields,
    *schema_pb2.Feature.DESCRIPTOR.oneofs_by_name["shape_type"].fields,
    *schema_pb2.Feature.DESCRIPTOR.oneofs_by_name["presence_constraints"].fields,
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda field: field.name)
def test_no_field_of_a_feature_is_dropped_without_a_word(choice):
    feature = schema_pb2.Feature()
    if choice.message_type is not None:
        getattr(feature, choice.name).SetInParent()
        filled(getattr(feature, choice.name))
    filled(feature)
    feature.name, feature.type, feature.lifecycle_stage = "a", schema_pb2.BYTES, schema_pb2.PRODUCTION
    feature.ClearField("deprecated")  # says what lifecycle_stage does
    read, lost = read_schema(schema_pb2.Schema(feature=[feature]).SerializeToString())
    again = message(write_schema(read)[0]).feature[0]
    again.annotation.ClearField("extra_metadata")
    for field, value in feature.ListFields():
        kept = getattr(again, field.name) == value
        assert kept or any(field.name in line for line in lost), field.name


def test_fields_newer_than_the_installed_messages_are_told():
    newer = message(f'feature {{ name: "a" type: INT {ONE_VALUE} }}').SerializeToString() + bytes([0xA2, 0x06, 1, 65])
    assert read_schema(newer)[1] == ("schema: field 100: there is no place for it here; left out",)


def test_shapes_and_counts_tell_scalars_from_lists():
    assert not one("type: INT shape { dim { size: 1 } }")[0].repeated
    assert not one("type: INT value_count { max: 1 }")[0].repeated
    pair, lost = one("type: INT shape { dim { size: 2 } dim { size: 3 } }")
    assert (pair.repeated, pair.valency.min, pair.valency.max) == (True, 6, 6)
    assert "several dimensions" in lost[0]
    assert "read as one" in one("type: INT")[1][0]


@pytest.mark.parametrize(
    ("said", "valency", "told"),
    [
        ("min: 3 max: 1", (3, 3), "read as at least 3 and at most 3"),
        ("min: -1", None, "read as at least 0"),
        ("min: 1 max: -2", (1, 1), "read as at least 1 and at most 1"),
    ],
)
def test_counts_that_no_row_can_have_are_mended_as_they_are_there_and_told(said, valency, told):
    feature, lost = one(f"type: INT value_count {{ {said} }}")
    assert (feature.valency and (feature.valency.min, feature.valency.max)) == (valency if valency != (1, 1) else None)
    assert told in lost[0]


@pytest.mark.parametrize(
    ("said", "presence", "told"),
    [
        ("min_fraction: 1.5", (True, None, None), "1.5 is no share; read as 1"),
        ("min_fraction: 1.5 min_count: 7", (True, None, 7), "1.5 is no share; read as 1"),
        ("min_fraction: -0.5 min_count: 2", (False, None, 2), "-0.5 is no share; read as 0"),
        ("min_count: -3", (False, None, None), "-3 is no number of rows; read as 0"),
    ],
)
def test_a_presence_that_cannot_be_is_mended_as_it_is_there_and_told(said, presence, told):
    feature, lost = one(f"type: INT {ONE_VALUE} presence {{ {said} }}")
    found = feature.presence
    assert (found.required, found.min_fraction, found.min_count) == presence
    assert told in lost[0]


def test_an_unset_upper_bound_of_distinct_values_is_none_and_stays_so():
    feature, lost = one(f"type: BYTES {ONE_VALUE} unique_constraints {{ min: 2 }}")
    assert (feature.unique.min, feature.unique.max) == (2, None)
    assert "takes it for 0" in lost[0]
    text, _ = write_schema(Schema(features={"a": feature}))
    assert message(text).feature[0].unique_constraints.max == 2**63 - 1
    assert read_schema(text)[0].features["a"].unique.max is None


def test_a_tolerance_belongs_to_a_shared_domain_when_all_its_users_have_it():
    user = f'type: BYTES {ONE_VALUE} domain: "d" distribution_constraints {{ min_domain_mass: %s }} }}'
    text = 'feature { name: "a" ' + user + ' feature { name: "b" ' + user + ' string_domain { name: "d" value: "x" }'
    alike, lost = read_schema(text % (0.9, 0.9))
    assert alike.domains["d"].min_mass == 0.9
    assert not lost
    apart, lost = read_schema(text % (0.9, 1))
    assert apart.domains["d"].min_mass == 1
    assert [f.domain_name for f in apart.features.values()] == [None, "d"]
    assert apart.features["a"].domain.min_mass == 0.9
    assert "a list of its own" in lost[0]


def test_what_another_tool_changed_is_read_beside_what_only_we_know():
    schema = Schema.model_validate({"features": {"a": {"type": "int", "unit": "min", "domain": {"min": 1}}}})
    changed = message(write_schema(schema)[0])
    changed.feature[0].int_domain.max = 9
    found = read_schema(text_format.MessageToString(changed))[0].features["a"]
    assert (found.unit, found.domain.min, found.domain.max) == ("min", 1, 9)


def test_a_deprecated_feature_is_one_however_it_says_so():
    for words in ("deprecated: true", "lifecycle_stage: DEPRECATED"):
        assert one(f"type: INT {ONE_VALUE} {words}")[0].lifecycle is Lifecycle.DEPRECATED


def test_types_follow_from_domains():
    kinds = {
        "type: BYTES image_domain { }": FeatureType.BYTES,
        "type: BYTES int_domain { }": FeatureType.INT,
        "type: BYTES float_domain { }": FeatureType.FLOAT,
        "type: BYTES natural_language_domain { }": FeatureType.STRING,
        "type: INT time_domain { integer_format: UNIX_SECONDS }": FeatureType.INT,
        'type: BYTES time_domain { string_format: "%Y-%m-%dT%H:%M:%SZ" }': FeatureType.DATETIME,
        "type: INT mid_domain { }": FeatureType.INT,
    }
    for text, kind in kinds.items():
        feature, lost = one(f"{text} {ONE_VALUE}")
        assert feature.type is kind, text
        assert lost, text


def test_a_feature_that_no_table_can_hold_is_left_out_and_told():
    text = f'feature {{ name: "a b" type: INT {ONE_VALUE} }} feature {{ name: "c" type: INT {ONE_VALUE} }}'
    schema, lost = read_schema(text)
    assert [*schema.features] == ["c"]
    assert lost[0].startswith("a b: feature: ")
    with pytest.raises(FormatError, match="no feature"):
        read_schema("")


def test_a_thousand_features_with_something_to_tell_are_read_at_once():
    shape = "value_count { min: 1 max: 1 } presence { min_fraction: 7 }"
    text = "".join(f'feature {{ name: "a {n}" type: INT {shape} }}' for n in range(1000))
    schema, lost = read_schema(text + 'feature { name: "b" type: INT ' + shape + " }")
    assert [*schema.features] == ["b"]
    assert len({line.split(":")[0] for line in lost}) == 1001


def test_what_is_no_schema_is_refused_with_its_place():
    with pytest.raises(FormatError, match=r"no Schema of TensorFlow Metadata \(text\): 2:1"):
        read_schema('feature { name: "a" }\nfeatures { }')
    with pytest.raises(FormatError, match="binary"):
        read_schema(b"\x0a\xff\x00 no message")


@given(st.binary(max_size=60) | st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_anything_else_is_a_format_error_and_nothing_worse(data):
    with contextlib.suppress(FormatError):
        read_schema(data)


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'lakehouse\[tfmd\]'"):
        read_schema("")


def test_extra_metadata_is_json_in_a_message_that_all_readers_know():
    schema = Schema.model_validate({"features": {"a": {"type": "int", "unit": "min"}}})
    held = message(write_schema(schema)[0]).feature[0].annotation.extra_metadata[0]
    assert held.type_url == "type.googleapis.com/google.protobuf.StringValue"
    assert json.loads(held.value[2:]) == {"lakehouse": {"unit": "min"}}


def test_the_extra_is_imported_by_nobody_who_does_not_ask(project):
    code = "import sys, lakehouse.tfmd, lakehouse; lakehouse.Lake; print('google.protobuf' in sys.modules)"
    out, err = project.start("-c", code).communicate(timeout=60)
    assert (out.strip(), err) == ("False", "")
