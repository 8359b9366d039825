"""The recorded cases of TensorFlow Data Validation as messages: its schemas come back, its statistics are ours."""

import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from lakehouse import generate_statistics
from lakehouse.tfmd import read_schema, write_schema, write_statistics

ARCHIVE = Path(__file__).parent / "tfdv" / "cases.tar.xz"
SINGLE = 1e-6  # its floats are read with 32 bits


@pytest.fixture(scope="module")
def recorded():
    """The cases' messages and the data of some, by name."""
    wanted = (".pbtxt", "stats.json")
    of_data = ("27_all_null_column", "63_list_column", "70_stats_sliced", "71_stats_weighted")
    with tarfile.open(ARCHIVE) as archive:
        return {
            member.name: archive.extractfile(member).read()
            for member in archive
            if member.name.endswith(wanted) or (member.name.endswith("current.csv") and member.name.startswith(of_data))
        }


def same_words(schema):
    """A schema of theirs, with what we say in other words said so."""
    for feature in schema.feature:
        if feature.HasField("unique_constraints") and not feature.unique_constraints.HasField("max"):
            feature.unique_constraints.max = 2**63 - 1
        if feature.WhichOneof("domain_info") == "int_domain":
            feature.type = schema_pb2.INT
        if feature.presence.ByteSize() == 0:
            feature.ClearField("presence")
        if feature.WhichOneof("shape_type") is None:
            feature.value_count.min = feature.value_count.max = 1
    return schema


def test_every_recorded_schema_comes_back(recorded):
    schemas = {name: text for name, text in recorded.items() if name.endswith("schema.pbtxt")}
    assert len(schemas) > 30
    for name, text in schemas.items():
        read, lost = read_schema(text)
        written, ours = write_schema(read)
        theirs = same_words(text_format.Parse(text, schema_pb2.Schema()))
        if name != "61_update_schema/updated_schema.pbtxt":  # one feature there has lost its shape
            assert text_format.Parse(written, schema_pb2.Schema()) == theirs, name
        assert not ours, name
        assert all("max" in line or "int_domain" in line or "read as one" in line for line in lost), name


def agree(ours, theirs, where):
    """Compare two messages field by field."""
    for field in ours.DESCRIPTOR.fields:
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        at = (*where, field.name)
        if field.name == "top_values" or hasattr(mine, "buckets"):
            continue  # ties are in another order; compared below
        if field.name == "histograms":
            ours_too = other if mine else []  # of weights there are none
            assert [h.num_nan for h in mine] == [h.num_nan for h in ours_too], at
        elif field.message_type is not None and not hasattr(mine, "add"):
            agree(mine, other, at)
        elif field.name == "median":
            assert mine == pytest.approx(other, rel=0.1, abs=1), at  # theirs is a sketch's
        elif isinstance(mine, float):
            assert mine == pytest.approx(other, rel=SINGLE, abs=1e-9), at
        else:
            assert mine == other, at


def ranks(stats):
    """Its values with their counts, but for those of the last count, which may be cut off."""
    held = [(bucket.sample_count, bucket.label) for bucket in stats.rank_histogram.buckets]
    least = min(held, default=(0, ""))[0] if len(held) == 1000 else 0
    return sorted(pair for pair in held if pair[0] > least)


@pytest.mark.parametrize("case", ["27_all_null_column", "63_list_column", "70_stats_sliced", "71_stats_weighted"])
def test_our_statistics_are_theirs(recorded, case):
    frame = pl.read_csv(recorded[f"{case}/current.csv"], infer_schema=False)
    if case.startswith("63"):
        frame = frame.with_columns(pl.col("dests", "delays").str.split(";"))
    more = {"70": {"slices": ["origin"]}, "71": {"weight": "distance"}}.get(case[:2], {})
    ours = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        write_statistics(generate_statistics(frame, **more))[0]
    )
    theirs = statistics_pb2.DatasetFeatureStatisticsList()
    json_format.ParseDict(json.loads(recorded[f"{case}/stats.json"]), theirs)
    assert {data.name for data in ours.datasets} == {data.name for data in theirs.datasets}
    by_name = {data.name: data for data in theirs.datasets}
    for data in ours.datasets:
        other = by_name[data.name]
        assert (data.num_examples, data.weighted_num_examples) == (other.num_examples, other.weighted_num_examples)
        features = {feature.path.step[0]: feature for feature in other.features}
        assert [feature.path.step[0] for feature in data.features] == list(features)
        for feature in data.features:
            name = feature.path.step[0]
            form = feature.WhichOneof("stats")
            assert (feature.type, form) == (features[name].type, features[name].WhichOneof("stats")), name
            mine, told = getattr(feature, form), getattr(features[name], form)
            agree(mine, told, (data.name, name))
            if form == "string_stats":
                assert ranks(mine) == ranks(told), name
                assert ranks(mine.weighted_string_stats) == ranks(told.weighted_string_stats), name
