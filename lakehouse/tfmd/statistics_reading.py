"""Statistics of TensorFlow Metadata as ours, as far as they go: figures as told, counts where all are there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import polars as pl
from tensorflow_metadata.proto.v0 import statistics_pb2

from lakehouse.errors import FormatError
from lakehouse.schema import FeatureType
from lakehouse.tfmd.messages import Lost
from lakehouse.tfmd.statistics_writing import WHOLE
from lakehouse.tfmd.told import ToldFeature, ToldStatistics
from lakehouse.validation.statistics import (
    FeatureStatistics,
    Histogram,
    Lengths,
    Numbers,
    Statistics,
    Valencies,
    Weighted,
)
from lakehouse.validation.statistics.feature import Evidence

__all__ = ["statistics_from"]

_KIND = statistics_pb2.FeatureNameStatistics
_TYPES = {
    _KIND.INT: FeatureType.INT,
    _KIND.FLOAT: FeatureType.FLOAT,
    _KIND.STRING: FeatureType.STRING,
    _KIND.BYTES: FeatureType.BYTES,
    _KIND.STRUCT: FeatureType.STRUCT,
}
_DTYPES: dict[FeatureType | None, pl.DataType] = {
    FeatureType.INT: pl.Int64(),
    FeatureType.FLOAT: pl.Float64(),
    FeatureType.BYTES: pl.Binary(),
}
_ERROR = 0.01
"""How far off TensorFlow Data Validation's quantiles are taken to be: it sketches them too."""


def statistics_from(message: Any) -> tuple[Statistics, tuple[str, ...]]:
    """Our statistics, and what of a ``DatasetFeatureStatisticsList`` they could not take.

    Raises:
        FormatError: the list has no dataset.
    """
    lost = Lost()
    if not message.datasets:
        raise FormatError("The statistics hold no dataset.")
    lost.others("", "", message, "datasets")
    whole = next((each for each in message.datasets if each.name in ("", WHOLE)), message.datasets[0])
    others = [each for each in message.datasets if each is not whole]
    names = [_path(feature) for feature in whole.features]
    slices = {}
    for each in others:
        if whole.name == WHOLE:
            slices[_slice_name(each.name, names)] = _dataset(each, Lost())  # the same again of each slice
        else:
            lost.add("", f"datasets '{each.name}'", "one dataset is read at a time; left out")
    return _dataset(whole, lost, slices), tuple(lost)


def _slice_name(name: str, paths: Iterable[str]) -> str:
    """``origin=EWR`` for ``origin_EWR``."""
    heads = [path for path in paths if name.startswith(f"{path}_")]
    head = max(heads, key=len, default="")
    return f"{head}={name[len(head) + 1 :]}" if head else name


def _path(message: Any) -> str:
    return message.name if message.WhichOneof("field_id") == "name" else ".".join(message.path.step)


def _dataset(message: Any, lost: Lost, slices: dict[str, Statistics] | None = None) -> Statistics:
    lost.others("", "datasets", message, "name", "num_examples", "weighted_num_examples", "features")
    weighted = bool(message.weighted_num_examples)
    features = [_feature(each, lost, message.num_examples, weighted=weighted) for each in message.features]
    return ToldStatistics(
        rows=message.num_examples,
        weight=message.weighted_num_examples if weighted else None,
        features={feature.path: feature for feature in features},
        slices=slices or {},
    )


def _feature(message: Any, lost: Lost, rows: int, *, weighted: bool) -> FeatureStatistics:
    path, form = _path(message), message.WhichOneof("stats")
    lost.others(path, "", message, "name", "path", "type", *_FORMS)
    stats = getattr(message, form) if form else _KIND().struct_stats
    common = stats.common_stats
    lost.others(path, "common_stats", common, *_COMMON)
    count, values = common.num_non_missing, common.tot_num_values
    kind = _TYPES[message.type] if count or message.type == _KIND.STRUCT else None  # all missing: no type is known
    low, high = common.min_num_values, common.max_num_values
    repeated = (low, high) not in ((0, 0), (1, 1))
    held: dict[str, Any] = {
        "path": path,
        "type": kind,
        "repeated": repeated,
        "personal": False,
        "rows": count + common.num_missing if len(message.path.step) > 1 else rows,
        "count": count,
        "values": values,
        "dtype": _DTYPES.get(kind, pl.String()),
        "told_valency": Valencies(low, high, values / count, {low: count} if low == high else {}) if repeated else None,
    }
    if repeated and low != high:
        lost.add(path, "common_stats.num_values_histogram", "how many lists hold how many values it tells by tenths")
    if weighted:
        held["told_weighted"] = _weighted(common, stats, form, path, lost)
    match form:
        case "num_stats":
            held |= _numbers(stats, kind, path, values, lost)
        case "string_stats":
            held |= _strings(stats, kind, path, values, lost)
        case "bytes_stats":
            held |= _bytes(stats, path, lost)
    return ToldFeature(**{"complete": not count, "evidence": lambda: _counts([], held["dtype"]), **held})


_FORMS = ("num_stats", "string_stats", "bytes_stats", "struct_stats")
_COMMON = (
    "num_non_missing",
    "num_missing",
    "min_num_values",
    "max_num_values",
    "avg_num_values",
    "tot_num_values",
    "num_values_histogram",
    "weighted_common_stats",
)


def _counts(pairs: list[tuple[Any, int]], dtype: pl.DataType) -> Evidence:
    schema = {"value": dtype, "count": pl.UInt64()}
    return Evidence(pl.DataFrame(pairs, schema=schema, orient="row").sort("count", "value", descending=[True, False]))


def _numbers(stats: Any, kind: FeatureType | None, path: str, values: int, lost: Lost) -> dict[str, Any]:
    known = (
        "common_stats",
        "mean",
        "std_dev",
        "num_zeros",
        "min",
        "median",
        "max",
        "histograms",
        "weighted_numeric_stats",
    )
    lost.others(path, "num_stats", stats, *known)
    wide, deep, nan, infinite = None, None, 0, 0.0
    for each in stats.histograms:
        lost.others(path, "histograms", each, "num_nan", "buckets", "type")
        nan = max(nan, each.num_nan)
        finite = [b for b in each.buckets if math.isfinite(b.low_value) and math.isfinite(b.high_value)]
        if each.type == statistics_pb2.Histogram.STANDARD:
            infinite = sum(b.sample_count for b in each.buckets) - sum(b.sample_count for b in finite)
            wide = _histogram(finite)
        else:
            deep = _histogram(finite)
    if infinite:
        lost.add(path, "num_stats", "min, max, mean and std_dev count infinite values, which here they do not")
    count = values - nan - round(infinite)
    low, high = (
        (stats.min, stats.max) if wide is None else (max(stats.min, wide.edges[0]), min(stats.max, wide.edges[-1]))
    )
    some = count > 0
    if kind is FeatureType.INT and some:
        low, high = int(low), int(high)
    numbers = Numbers(
        min=low if some else None,
        max=high if some else None,
        mean=stats.mean if some else None,
        std=stats.std_dev if some else None,
        median=stats.median if some else None,
        zeros=stats.num_zeros,
        nan=nan,
        infinite=math.ceil(infinite),
        count=count,
        error=_ERROR,
    )
    at = {"low": numbers.min, "high": numbers.max, "zeros": numbers.zeros}
    return {"told_numbers": numbers, "equal_widths": wide, "equal_depths": deep, **at}


def _histogram(buckets: list[Any]) -> Histogram | None:
    if not buckets:
        return None
    edges = (*(b.low_value for b in buckets), buckets[-1].high_value)
    return Histogram(edges, tuple(b.sample_count for b in buckets), exact=False)


def _strings(stats: Any, kind: FeatureType | None, path: str, values: int, lost: Lost) -> dict[str, Any]:
    known = ("common_stats", "unique", "top_values", "avg_length", "rank_histogram", "weighted_string_stats")
    lost.others(path, "string_stats", stats, *known)
    ranked = [(b.label, b.sample_count) for b in stats.rank_histogram.buckets]
    ranked = ranked or [(top.value, top.frequency) for top in stats.top_values]
    pairs = [(label, round(count)) for label, count in ranked]
    complete = len(pairs) == stats.unique and sum(count for _, count in pairs) == values
    found: dict[str, Any] = {"unique": stats.unique, "complete": complete, "unlisted": 0 if complete else _least(pairs)}
    if kind in (FeatureType.INT, FeatureType.FLOAT):
        read = pl.Series([label for label, _ in pairs], dtype=pl.String).cast(_DTYPES[kind], strict=False)
        if read.null_count():
            lost.add(path, "type", "it is a number's, and the values are text: read as string")
            found |= {"type": FeatureType.STRING, "dtype": pl.String()}
        else:
            pairs = list(zip(read.to_list(), (count for _, count in pairs), strict=True))
            found["dtype"] = _DTYPES[kind]
            lost.add(path, "num_stats", "numbers that are names are told by their counts alone")
    elif complete and pairs:
        lengths = [(len(label), count) for label, count in pairs]
        total = sum(length * count for length, count in lengths)
        found["told_lengths"] = Lengths(min(lengths)[0], total / values, max(lengths)[0])
    elif stats.avg_length:
        lost.add(path, "string_stats.avg_length", "without the least and the greatest length it is no figure here")
    dtype = found.get("dtype", pl.String())
    return {**found, "evidence": lambda: _counts(pairs, dtype)}


def _least(pairs: list[tuple[str, int]]) -> int:
    return min((count for _, count in pairs), default=0)


def _bytes(stats: Any, path: str, lost: Lost) -> dict[str, Any]:
    known = ("common_stats", "unique", "avg_num_bytes", "min_num_bytes", "max_num_bytes", "max_num_bytes_int")
    lost.others(path, "bytes_stats", stats, *known)
    most = stats.max_num_bytes_int or int(stats.max_num_bytes)
    return {"unique": stats.unique, "told_lengths": Lengths(int(stats.min_num_bytes), stats.avg_num_bytes, most)}


def _weighted(common: Any, stats: Any, form: str, path: str, lost: Lost) -> Weighted:
    by_weight = common.weighted_common_stats
    if common.max_num_values > 1:
        lost.others(path, "weighted_common_stats", by_weight, "num_non_missing", "num_missing")
    figures: dict[str, float] = {}
    top: tuple[tuple[Any, float], ...] = ()
    if form == "num_stats" and common.num_non_missing:
        told = stats.weighted_numeric_stats
        lost.others(path, "weighted_numeric_stats", told, "mean", "std_dev", "median")
        figures = {"mean": told.mean, "std": told.std_dev, "median": told.median}
    if form == "string_stats":
        told = stats.weighted_string_stats
        buckets = [(b.label, b.sample_count) for b in told.rank_histogram.buckets]
        top = tuple(buckets or [(each.value, each.frequency) for each in told.top_values])
    return Weighted(by_weight.num_non_missing, by_weight.num_missing, **figures, top=top)
