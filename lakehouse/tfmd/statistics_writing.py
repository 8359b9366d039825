"""Our statistics as TensorFlow Metadata's, in the shapes that Facets draws and TensorFlow Data Validation judges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from lakehouse.schema import FeatureType
from lakehouse.tfmd.messages import Lost
from lakehouse.validation.statistics import FeatureStatistics, Histogram, Statistics

__all__ = ["RANKED", "WHOLE", "statistics_message"]

WHOLE = "All Examples"
"""What TensorFlow Data Validation calls the statistics that slices stand beside."""

RANKED = 1_000
"""Values of a rank histogram, as there."""

_TOP = 20  # values named first, as there
_BUCKETS = 10
_TYPES: dict[FeatureType | None, int] = {
    FeatureType.INT: statistics_pb2.FeatureNameStatistics.INT,
    FeatureType.FLOAT: statistics_pb2.FeatureNameStatistics.FLOAT,
    FeatureType.DECIMAL: statistics_pb2.FeatureNameStatistics.FLOAT,
    FeatureType.BYTES: statistics_pb2.FeatureNameStatistics.BYTES,
    FeatureType.STRUCT: statistics_pb2.FeatureNameStatistics.STRUCT,
}


def statistics_message(statistics: Statistics) -> tuple[Any, tuple[str, ...]]:
    """A ``tensorflow.metadata.v0.DatasetFeatureStatisticsList``, and what of ours it has no place for."""
    message, lost = statistics_pb2.DatasetFeatureStatisticsList(), Lost()
    _dataset(message.datasets.add(name=WHOLE if statistics.slices else ""), statistics, lost)
    for name, rows in statistics.slices.items():
        _dataset(message.datasets.add(name=name.replace("=", "_", 1)), rows, Lost())  # the same again of each slice
    if statistics.slices:
        lost.add("", "slices", "their names are written as there: origin_EWR for origin=EWR")
    for name in ("broken", "absent", "unknown"):
        if getattr(statistics, name):
            lost.add("", name, "what rows and columns break the schema has no place in statistics there; left out")
    return message, tuple(lost)


def steps(path: str, features: Mapping[str, FeatureStatistics]) -> list[str]:
    """A dotted path as names, one a struct."""
    found, above, rest = list[str](), "", path.split(".")
    while len(rest) > 1:
        heads = [end for end in range(1, len(rest)) if _is_struct(above + ".".join(rest[:end]), features)]
        if not heads:
            break
        name = ".".join(rest[: heads[0]])
        found, above, rest = [*found, name], f"{above}{name}.", rest[heads[0] :]
    return [*found, ".".join(rest)]


def _is_struct(path: str, features: Mapping[str, FeatureStatistics]) -> bool:
    return path in features and features[path].type is FeatureType.STRUCT


def _dataset(message: Any, statistics: Statistics, lost: Lost) -> None:
    message.num_examples = statistics.rows
    if statistics.weight is not None:
        message.weighted_num_examples = statistics.weight
    for path, feature in statistics.features.items():
        at = message.features.add(type=_TYPES.get(feature.type, statistics_pb2.FeatureNameStatistics.STRING))
        at.path.step.extend(steps(path, statistics.features))
        _feature(at, feature, lost)


def _feature(message: Any, feature: FeatureStatistics, lost: Lost) -> None:
    path = feature.path
    if feature.type in (FeatureType.DECIMAL, FeatureType.BOOL, FeatureType.DATE, FeatureType.DATETIME):
        kind = statistics_pb2.FeatureNameStatistics.Type.Name(message.type)
        lost.add(path, "type", f"there is no {feature.type} there; written as {kind}")
    if feature.type in (FeatureType.INT, FeatureType.FLOAT, FeatureType.DECIMAL):
        stats = message.num_stats
        _numbers(stats, feature, lost)
    elif feature.type is FeatureType.STRUCT:
        stats = message.struct_stats
    elif feature.type is FeatureType.BYTES:
        stats = message.bytes_stats
        _bytes(stats, feature, lost)
    else:
        stats = message.string_stats
        _strings(stats, feature, lost)
    _common(stats.common_stats, feature)
    if feature.personal:
        lost.add(path, "personal", "there is no such mark there; its values are in neither")
    if feature.moments is not None:
        lost.add(path, "moments", "range and gaps of dates have no place there; left out")


def _common(message: Any, feature: FeatureStatistics) -> None:
    message.num_non_missing, message.num_missing = feature.count, feature.missing
    message.tot_num_values = feature.values
    if feature.count:
        valency = feature.valency
        counts = valency.counts if valency else {1: feature.count}
        message.min_num_values = valency.min if valency else 1
        message.max_num_values = valency.max if valency else 1
        message.avg_num_values = feature.values / feature.count
        if counts:
            _fill(message.num_values_histogram, _equal_depth(counts))
    if feature.weighted is not None:
        weighted, each = message.weighted_common_stats, feature.values / feature.count if feature.count else 0.0
        weighted.num_non_missing, weighted.num_missing = feature.weighted.count, feature.weighted.missing
        if not feature.repeated:  # of lists, how many values weigh how much is not known
            weighted.avg_num_values, weighted.tot_num_values = each, feature.weighted.count


def _numbers(message: Any, feature: FeatureStatistics, lost: Lost) -> None:
    numbers = feature.numbers
    if numbers is None:
        return
    message.num_zeros = numbers.zeros
    if numbers.min is not None:
        message.min, message.max = float(numbers.min), float(numbers.max)  # type: ignore[arg-type]  # both or none
        message.mean, message.std_dev = numbers.mean, numbers.std
        message.median = numbers.median
    if numbers.infinite:
        lost.add(feature.path, "numbers.infinite", f"{numbers.infinite:,} infinite values are in no figure there")
    if feature.complete:
        lost.add(feature.path, "frequencies", "numbers are not counted by value there; histograms and figures alone")
    equal_width, equal_depth = feature.histogram(_BUCKETS), feature.equal_depth(_BUCKETS)
    for held, kind in ((equal_width, "STANDARD"), (equal_depth, "QUANTILES")):
        if held is not None or numbers.nan:
            at = message.histograms.add(type=kind, num_nan=numbers.nan)
            if held is not None:
                _fill(at, held, kind)
    if (weighted := feature.weighted) is not None and weighted.mean is not None:
        at = message.weighted_numeric_stats
        at.mean, at.std_dev, at.median = weighted.mean, weighted.std, weighted.median


def _strings(message: Any, feature: FeatureStatistics, lost: Lost) -> None:
    message.unique = feature.distinct.count
    _estimated(feature, lost)
    _ranks(message, feature.top(RANKED))
    if (lengths := feature.lengths) is not None:
        message.avg_length = lengths.mean
        lost.add(feature.path, "lengths", "there is a mean length alone there; least and greatest are left out")
    if feature.complete and feature.distinct.count > RANKED:
        lost.add(feature.path, "frequencies", f"{RANKED:,} values are listed there; the others are left out")
    if feature.weighted is not None:
        _ranks(message.weighted_string_stats, feature.weighted.top[:RANKED])


def _bytes(message: Any, feature: FeatureStatistics, lost: Lost) -> None:
    message.unique = feature.distinct.count
    _estimated(feature, lost)
    if (lengths := feature.lengths) is not None:
        message.avg_num_bytes, message.min_num_bytes = lengths.mean, lengths.min
        message.max_num_bytes = message.max_num_bytes_int = lengths.max


def _estimated(feature: FeatureStatistics, lost: Lost) -> None:
    if not feature.distinct.exact:
        lost.add(feature.path, "distinct.error", f"`unique` is an estimate, {feature.distinct.error:.1%} off or so")


def _ranks(message: Any, counts: Sequence[tuple[Any, float]]) -> None:
    for rank, (value, count) in enumerate(counts):
        label = _text(value)
        if rank < _TOP:
            message.top_values.add(value=label, frequency=count)
        message.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=label, sample_count=count)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def _equal_depth(counts: Mapping[int, int]) -> Histogram:
    """Ten buckets of equally many of some small numbers."""
    whole = sum(counts.values())
    edges, reached, ascending = [float(min(counts))], 0, sorted(counts)
    for number in ascending:
        reached += counts[number]
        edges += [float(number)] * (math.floor(reached * _BUCKETS / whole) + 1 - len(edges))
    return Histogram(tuple(edges), (whole / _BUCKETS,) * _BUCKETS)


def _fill(message: Any, histogram: Histogram, kind: str = "QUANTILES") -> None:
    message.type = statistics_pb2.Histogram.HistogramType.Value(kind)
    for low, high, count in _pieces(histogram):
        message.buckets.add(low_value=low, high_value=high, sample_count=count)


def _pieces(histogram: Histogram) -> Iterable[tuple[float, float, float]]:
    return zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
