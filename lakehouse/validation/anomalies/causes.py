"""Which raw files brought a drift.

A batch's distribution ``p`` is that of its files, ``p = sum of w_f * p_f``, where ``w_f`` is a file's share of the
batch's values. With ``q`` the distribution of the batch before, a file's part in the drift is what it adds to the
distance between the two::

    share_f = sum over v of a_v * (p_v - q_v) * w_f * (p_f,v - q_v)  /  sum over v of a_v * (p_v - q_v)^2

where ``v`` runs over the 1,000 most frequent values of the batch before and all others as one; for numbers and
moments that Jensen-Shannon compares, over the ten buckets of the batch before and what lies outside them. The weight
``a_v`` is 1 for the ``v`` that differs most and 0 for all others; for Jensen-Shannon it is ``1 / (p_v + q_v)``, which
makes the sum the triangular discrimination, the rational function that bounds that divergence from both sides. Shares
add up to 1; a file with a negative one pulls the batch back to where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from lakehouse.schema import Rule
from lakehouse.validation.anomalies.found import Anomaly, Cause
from lakehouse.validation.statistics import FeatureStatistics, Statistics
from lakehouse.validation.statistics.feature import NUMBERS, TEMPORAL

__all__ = ["explain"]

_BUCKETS = 10
_KEPT = 1000  # values looked at one by one
_OTHERS = -1  # the bucket of all other values
_NAN, _INFINITE = _BUCKETS + 1, _BUCKETS + 2
_LEAST = 1e-6  # a share that is told
_TOLD = 10  # causes told of a drift


def explain(
    anomaly: Anomaly, rows: pl.LazyFrame, previous: Statistics, names: Mapping[str, str] | None = None
) -> tuple[Cause, ...]:
    """The raw files that brought a drift, most to blame first.

    Args:
        anomaly: a drift, as `validate_statistics` gave it.
        rows: the batch: its features and ``_raw``. Memory goes with the number of files, not of rows.
        previous: the statistics that the batch drifted from.
        names: sha256 to the file's original name.

    Returns:
        At most ten files whose share is above 0; none for an anomaly that is no drift, or where the batch
        before does not tell its values.
    """
    other = previous.features.get(anomaly.path)
    measure = anomaly.figures.get("measure")
    if anomaly.rule is not Rule.DRIFT or measure is None or other is None or other.personal or not other.values:
        return ()
    values = _values(rows, anomaly.path)
    in_ranges = (
        measure == "jensen_shannon"
        and not anomaly.figures.get("by_value")
        and (other.type in NUMBERS or other.type in TEMPORAL)
        and _on_an_axis(values.collect_schema()["value"], other)
    )
    placed, before = _in_ranges(values, other) if in_ranges else _by_value(values, other)
    counts, totals = pl.collect_all(
        [
            placed.group_by("_raw", "bucket").agg(n=pl.len().cast(pl.Float64)),
            rows.group_by("_raw").agg(rows=pl.len().cast(pl.Int64)),
        ],
        engine="streaming",
    )
    if counts.is_empty():
        return ()
    told = _shares(counts, before, all_of_them=measure == "jensen_shannon").filter(pl.col("share") > _LEAST)
    found = told.join(totals, on="_raw").sort("share", "_raw", descending=[True, False])
    known = names or {}
    return tuple(
        Cause(raw, known.get(raw, ""), n, share)
        for raw, n, share in found.select("_raw", "rows", "share").head(_TOLD).iter_rows()
    )


def _values(rows: pl.LazyFrame, path: str) -> pl.LazyFrame:
    """``_raw`` and ``value``: a feature's values, those of lists one by one, without missing ones."""
    name, rest = _step(path, rows.collect_schema())
    values = rows.select("_raw", value=pl.col(name))
    while True:
        dtype = values.collect_schema()["value"]
        if isinstance(dtype, pl.List):
            values = values.explode("value")
        elif isinstance(dtype, pl.Struct) and rest:
            name, rest = _step(rest, [field.name for field in dtype.fields])
            values = values.with_columns(value=pl.col("value").struct.field(name))
        else:
            return values.drop_nulls("value")


def _step(path: str, names: Iterable[str]) -> tuple[str, str]:
    """The name that a dotted path begins with, which may hold dots itself, and the rest of the path."""
    name = max((name for name in names if f"{path}.".startswith(f"{name}.")), key=len)
    return name, path.removeprefix(name).removeprefix(".")


def _on_an_axis(dtype: pl.DataType, other: FeatureStatistics) -> bool:
    return dtype == other.dtype if other.type in TEMPORAL else dtype.is_numeric()


def _in_ranges(values: pl.LazyFrame, other: FeatureStatistics) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """Numbers or moments with the ``bucket`` they fall in, and how many (``was``) the batch before had in each."""
    histogram, numbers = other.histogram(_BUCKETS), other.numbers
    low, high, masses = (0.0, 0.0, []) if histogram is None else (*_ends(histogram.edges), list(histogram.counts))
    value = (
        pl.col("value").to_physical().cast(pl.Float64) if other.type in TEMPORAL else pl.col("value").cast(pl.Float64)
    )
    width = (high - low) / _BUCKETS
    inside = ((value - low) / width).floor().clip(0, _BUCKETS - 1) if width else pl.lit(0.0)
    bucket = (
        pl.when(value.is_nan())
        .then(_NAN)
        .when(value.is_infinite())
        .then(_INFINITE)
        .when(value < low)
        .then(_OTHERS)
        .when(value > high)
        .then(_BUCKETS)
        .otherwise(inside.cast(pl.Int64))
    )
    nan, infinite = (0, 0) if numbers is None else (numbers.nan, numbers.infinite)
    if not width:
        masses = [sum(masses)]
    was = {**dict(enumerate(masses)), _NAN: nan, _INFINITE: infinite}
    return values.select("_raw", bucket=bucket.cast(pl.Int64)), _reference(was)


def _ends(edges: tuple[float, ...]) -> tuple[float, float]:
    return edges[0], edges[-1]


def _by_value(values: pl.LazyFrame, other: FeatureStatistics) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """The same with a bucket for each of the commonest values of the batch before, and one for all others."""
    kept = other.frequencies().head(_KEPT).with_row_index("bucket").with_columns(pl.col("bucket").cast(pl.Int64))
    was = dict(kept.select("bucket", "count").iter_rows())
    one, two = values.collect_schema()["value"], kept.schema["value"]
    dtype = one if one == two else pl.Float64() if one.is_numeric() and two.is_numeric() else pl.String()
    known = kept.lazy().select("bucket", pl.col("value").cast(dtype))
    placed = values.with_columns(pl.col("value").cast(dtype)).join(known, on="value", how="left")
    return (
        placed.select("_raw", pl.col("bucket").fill_null(_OTHERS)),
        _reference({**was, _OTHERS: other.values - sum(was.values())}),
    )


def _reference(was: Mapping[int, float]) -> pl.DataFrame:
    columns = {"bucket": list(was), "was": [float(n) for n in was.values()]}
    return pl.DataFrame(columns, schema={"bucket": pl.Int64(), "was": pl.Float64()})


def _shares(counts: pl.DataFrame, before: pl.DataFrame, *, all_of_them: bool) -> pl.DataFrame:
    """``_raw`` and ``share``, by the formula at the top.

    Args:
        counts: ``_raw``, ``bucket``, ``n``: of the batch.
        before: ``bucket``, ``was``: of the batch before.
        all_of_them: whether every bucket counts, or the one alone that differs most.
    """
    buckets = counts.group_by("bucket").agg(pl.col("n").sum()).join(before, on="bucket", how="full", coalesce=True)
    filled = buckets.with_columns(pl.col("n", "was").fill_null(0.0)).sort("bucket")
    buckets = filled.select("bucket", p=_share("n"), q=_share("was"))
    gap = pl.col("p") - pl.col("q")
    if all_of_them:
        buckets = buckets.filter(pl.col("p") + pl.col("q") > 0).with_columns(a=1 / (pl.col("p") + pl.col("q")))
    else:
        buckets = buckets.sort(gap.abs(), descending=True, maintain_order=True).head(1).with_columns(a=pl.lit(1.0))
    buckets = buckets.with_columns(pull=pl.col("a") * gap)
    whole = buckets.select((pl.col("pull") * gap).sum()).item()
    if not whole:
        return pl.DataFrame(schema={"_raw": pl.String(), "share": pl.Float64()})
    weights = counts.group_by("_raw").agg(w=pl.col("n").sum() / counts["n"].sum())
    own = counts.join(buckets, on="bucket").group_by("_raw").agg(there=(pl.col("pull") * pl.col("n")).sum())
    expected = buckets.select((pl.col("pull") * pl.col("q")).sum()).item()
    part = pl.col("there").fill_null(0.0) / counts["n"].sum() - pl.col("w") * expected
    return weights.join(own, on="_raw", how="left").select("_raw", share=part / whole)


def _share(column: str) -> pl.Expr:
    return pl.col(column) / pl.col(column).sum()
