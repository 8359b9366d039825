"""Statistics as TensorFlow Metadata has them: written for its tools, read from them as far as they go."""

import math
import struct

import polars as pl
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from lakehouse import generate_statistics, validate_statistics
from lakehouse.errors import FormatError
from lakehouse.schema import FeatureType, Schema
from lakehouse.tfmd import read_statistics, write_statistics
from lakehouse.tfmd.statistics_writing import RANKED
from lakehouse.validation.anomalies import Kind

LIST = statistics_pb2.DatasetFeatureStatisticsList


def flights(**columns):
    rows = {
        "carrier": ["UA", "AA", "UA", None, "B6", "UA"],
        "delay": [3, -1, 0, None, 12, 3],
        "speed": [1.5, math.nan, 2.5, 3.5, None, 4.5],
        "stops": [["A"], ["B", "C"], None, ["A"], ["A", "B", "C"], ["D"]],
        "gate": [None] * 6,
    }
    return pl.DataFrame({**rows, **columns}, schema_overrides={"gate": pl.String}, strict=False)


def sent(statistics):
    """The message, feature by feature, of each dataset."""
    message = LIST.FromString(write_statistics(statistics)[0])
    return {data.name: {".".join(f.path.step): f for f in data.features} for data in message.datasets}


def test_each_type_is_written_in_its_own_shape():
    features = sent(generate_statistics(flights()))[""]
    shapes = {name: (feature.WhichOneof("stats"), feature.type) for name, feature in features.items()}
    kinds = statistics_pb2.FeatureNameStatistics
    assert shapes == {
        "carrier": ("string_stats", kinds.STRING),
        "delay": ("num_stats", kinds.INT),
        "speed": ("num_stats", kinds.FLOAT),
        "stops": ("string_stats", kinds.STRING),
        "gate": ("string_stats", kinds.STRING),
    }
    carrier = features["carrier"].string_stats
    assert (carrier.unique, carrier.avg_length) == (3, 2.0)
    assert [(top.value, top.frequency) for top in carrier.top_values] == [("UA", 3), ("AA", 1), ("B6", 1)]
    assert [(b.low_rank, b.label) for b in carrier.rank_histogram.buckets] == [(0, "UA"), (1, "AA"), (2, "B6")]
    delay = features["delay"].num_stats
    assert (delay.min, delay.max, delay.mean, delay.num_zeros, delay.median) == (-1, 12, 3.4, 1, 3)
    wide, deep = delay.histograms
    assert (wide.type, deep.type) == (statistics_pb2.Histogram.STANDARD, statistics_pb2.Histogram.QUANTILES)
    assert [sum(b.sample_count for b in histogram.buckets) for histogram in (wide, deep)] == [5, 5]
    assert features["speed"].num_stats.histograms[0].num_nan == 1


def test_what_rows_have_is_told_of_each_feature():
    features = sent(generate_statistics(flights()))[""]
    stops = features["stops"].string_stats.common_stats
    assert (stops.num_non_missing, stops.num_missing, stops.tot_num_values) == (5, 1, 8)
    assert (stops.min_num_values, stops.max_num_values) == (1, 3)
    assert stops.avg_num_values == pytest.approx(1.6)
    assert [b.high_value for b in stops.num_values_histogram.buckets] == [1, 1, 1, 1, 1, 1, 2, 2, 3, 3]
    gate = features["gate"].string_stats.common_stats
    assert (gate.num_non_missing, gate.num_missing, gate.max_num_values) == (0, 6, 0)


def test_slices_are_datasets_beside_the_whole():
    statistics = generate_statistics(flights(), slices=["carrier"])
    whole = sent(statistics)
    assert whole.keys() == {"All Examples", "carrier_UA", "carrier_AA", "carrier_B6"}
    assert whole["carrier_UA"]["delay"].num_stats.max == 3
    again, _ = read_statistics(write_statistics(statistics)[0])
    assert again.slices.keys() == {"carrier=UA", "carrier=AA", "carrier=B6"}
    assert again.slices["carrier=UA"].rows == 3


def test_weights_are_told_beside_counts():
    statistics = generate_statistics(flights(heavy=[1, 2, 3, 4, 5, 6]), weight="heavy")
    message = LIST.FromString(write_statistics(statistics)[0]).datasets[0]
    assert message.weighted_num_examples == 21
    features = sent(statistics)[""]
    common = features["carrier"].string_stats.common_stats.weighted_common_stats
    assert (common.num_non_missing, common.num_missing, common.tot_num_values) == (17, 4, 17)
    assert features["carrier"].string_stats.weighted_string_stats.top_values[0].frequency == 10
    again, _ = read_statistics(write_statistics(statistics)[0])
    told = again.features["delay"].weighted
    assert (told.count, told.missing) == (17, 4)
    assert told.mean == pytest.approx(statistics.features["delay"].weighted.mean)
    assert again.features["carrier"].weighted.top[0] == ("UA", 10)


def test_paths_within_structs_are_steps_and_dots_in_names_are_not():
    frame = pl.DataFrame({"at": [{"no": 1}, {"no": 2}], "a.b": [1, 2]})
    message = LIST.FromString(write_statistics(generate_statistics(frame))[0])
    assert [list(feature.path.step) for feature in message.datasets[0].features] == [["at"], ["at", "no"], ["a.b"]]


def test_what_they_have_no_place_for_is_told():
    frame = pl.DataFrame(
        {"on": [True, False], "speed": [1.0, math.inf], "when": ["2020-01-01", "2020-01-03"]},
    ).with_columns(pl.col("when").str.to_date())
    lost = write_statistics(generate_statistics(frame, personal=["on"]))[1]
    fields = {line.split(": ")[0] + ": " + line.split(": ")[1] for line in lost}
    assert fields >= {"on: type", "on: personal", "speed: numbers.infinite", "when: type", "when: moments"}


COLUMNS = {
    "carrier": st.none() | st.sampled_from(["UA", "AA", "é", ""]),
    "delay": st.none() | st.integers(-(2**40), 2**40),
    "speed": st.none() | st.floats(-1e6, 1e6),
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=30))
def test_what_both_know_is_read_as_it_was_written(rows):
    frame = pl.DataFrame(rows, schema={"carrier": pl.String, "delay": pl.Int64, "speed": pl.Float64})
    ours = generate_statistics(frame)
    theirs, _ = read_statistics(write_statistics(ours)[0])
    assert (theirs.rows, theirs.weight, list(theirs.features)) == (ours.rows, None, list(ours.features))
    for path, mine in ours.features.items():
        read = theirs.features[path]
        assert (read.count, read.missing, read.values, read.rows) == (mine.count, mine.missing, mine.values, mine.rows)
        assert read.type is (mine.type if mine.count else None)
        if path == "carrier":
            assert read.complete
            assert read.frequencies().equals(mine.frequencies())
            assert read.distinct == mine.distinct
            assert read.lengths == mine.lengths
        elif mine.count:
            got, want = read.numbers, mine.numbers
            assert (got.min, got.max, got.mean, got.std) == (want.min, want.max, want.mean, want.std)
            assert (got.median, got.zeros, got.count) == (want.median, want.zeros, want.count)
            assert read.histogram().counts == mine.histogram().counts
            assert read.histogram().edges == mine.histogram().edges
            assert read.equal_depth().edges == mine.equal_depth().edges
    again = write_statistics(theirs)[0]
    assert read_statistics(again)[0].features.keys() == theirs.features.keys()


def test_a_longer_list_of_values_is_not_complete():
    frame = pl.DataFrame({"tail": [f"N{n}" for n in range(RANKED + 1)] + ["N7"]})
    data, lost = write_statistics(generate_statistics(frame))
    read, more = read_statistics(data)
    tail = read.features["tail"]
    assert (tail.complete, tail.distinct.count, tail.top(1), tail.unlisted) == (False, RANKED + 1, [("N7", 2)], 1)
    assert any(line.startswith("tail: frequencies: ") for line in lost)
    assert any(line.startswith("tail: string_stats.avg_length: ") for line in more)


def test_read_statistics_can_be_validated_and_compared():
    data, _ = write_statistics(generate_statistics(flights()))
    read, _ = read_statistics(data)
    schema = Schema.model_validate(
        {
            "features": {
                "carrier": {"type": "string", "presence": "optional", "domain": ["UA", "AA"]},
                "delay": {"type": "int", "presence": "optional", "drift": {"jensen_shannon": 0.01}},
            }
        }
    )
    other, _ = read_statistics(write_statistics(generate_statistics(flights(delay=[9, 9, 8, 9, 9, 1])))[0])
    found = {(a.path, a.kind) for a in validate_statistics(read, schema, previous_statistics=other).anomalies}
    assert ("carrier", Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES) in found
    assert ("delay", Kind.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH) in found
    assert ("stops", Kind.SCHEMA_NEW_COLUMN) in found


def test_read_histograms_answer_for_other_edges_too():
    frame = pl.DataFrame({"n": list(range(100))})
    read = read_statistics(write_statistics(generate_statistics(frame))[0])[0].features["n"]
    assert sum(read.histogram(7).counts) == pytest.approx(100)
    assert read.histogram(1, 0, 99).counts == (100,)
    assert read.histogram(1, -10, -5).counts == (0,)
    assert sum(read.histogram(4, 0, 49.5).counts) == pytest.approx(50, abs=1)
    assert read.quantile(0.25) == pytest.approx(24.75, abs=1)
    assert read.quantile(0.5) == 49.5
    assert sum(read.equal_depth(4).counts) == 100


def test_read_statistics_are_neither_added_up_nor_kept():
    ours = generate_statistics(flights())
    read, _ = read_statistics(write_statistics(ours)[0])
    assert read in (ours, read)
    assert read not in (ours, read_statistics(write_statistics(ours)[0])[0])
    for do in (lambda: read + ours, lambda: ours + read, read.to_bytes, lambda: read.write("nowhere")):
        with pytest.raises(FormatError, match="cannot be added up or kept"):
            do()


THEIRS = """
datasets { num_examples: 4 features { path { step: "a" } type: INT string_stats { common_stats { num_non_missing: 4
  min_num_values: 1 max_num_values: 1 tot_num_values: 4 } unique: 2
  rank_histogram { buckets { label: "7" sample_count: 3 } buckets { label: "1" sample_count: 1 } }
  vocabulary_file: "f" } custom_stats { name: "c" num: 1 } }
  features { name: "b" type: FLOAT num_stats { common_stats { num_non_missing: 4 min_num_values: 1 max_num_values: 1
  tot_num_values: 4 } mean: 1 std_dev: 2 min: -1 max: inf median: 1 histograms { num_nan: 1
  buckets { low_value: -1 high_value: 2 sample_count: 2 } buckets { low_value: 2 high_value: inf sample_count: 1 } } } }
  cross_features { count: 1 } }
datasets { name: "other" }
"""


def test_what_we_have_no_place_for_is_told_and_the_rest_is_read():
    read, lost = read_statistics(THEIRS)
    names = read.features["a"]
    assert (names.type, names.top(2), names.complete) == (FeatureType.INT, [(7, 3), (1, 1)], True)
    odd = read.features["b"].numbers
    assert (odd.nan, odd.infinite, odd.count, odd.min, odd.max) == (1, 1, 2, -1, 2)
    told = " | ".join(lost)
    for field in ("custom_stats", "vocabulary_file", "cross_features", "datasets 'other'", "infinite values"):
        assert field in told, field


def test_a_record_file_is_read_as_what_it_holds():
    data, _ = write_statistics(generate_statistics(flights()))
    record = struct.pack("<Q", len(data)) + b"\0" * 4 + data + b"\0" * 4
    assert read_statistics(record)[0].features.keys() == flights().schema.keys()
    with pytest.raises(FormatError):
        read_statistics(record[:-1])


def test_text_and_bytes_tell_the_same():
    statistics = generate_statistics(flights())
    text, lost = write_statistics(statistics, "text")
    data, again = write_statistics(statistics)
    assert text_format.Parse(text, LIST()) == LIST.FromString(data)
    assert lost == again
    with pytest.raises(FormatError, match="no dataset"):
        read_statistics("")
    with pytest.raises(FormatError, match="no DatasetFeatureStatisticsList"):
        read_statistics("feature { }")
