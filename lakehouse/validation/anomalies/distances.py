"""How far the values of two batches are apart: three distances, each 0 (alike) to 1.

Missing values count in none of them. Where only the most frequent values of a side are known, a distance
is the least it can be; where nothing can be said it is None.

L-infinity and Jensen-Shannon as TensorFlow Data Validation defines them (base 2; numbers by each side's
histogram of ten buckets of equal width over its own range, cut at the edges of both), but for what is
no disagreement: NaN and infinities are values like others, and numbers have an L-infinity too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lakehouse.validation.statistics import FeatureStatistics
from lakehouse.validation.statistics.feature import NUMBERS, TEMPORAL

__all__ = ["Largest", "infinity_norm", "jensen_shannon", "largest_difference", "normalized_absolute_difference"]

_BUCKETS = 10
_GAP = pl.max_horizontal(pl.col("least") - pl.col("was_most"), pl.col("was_least") - pl.col("most"), pl.lit(0.0))
"""How far apart the two sides of a row of `_sides` are at least."""


@dataclass(frozen=True, slots=True)
class Largest:
    """The value whose shares differ most.

    Attributes:
        value: in its own type.
        current: its share of the one side, 0 to 1.
        other: its share of the other.
        distance: how much they differ at least.
    """

    value: object
    current: float
    other: float
    distance: float


def infinity_norm(current: FeatureStatistics, other: FeatureStatistics) -> float | None:
    """The largest difference of a value's relative frequencies; None when neither side has a value, or is personal."""
    largest = largest_difference(current, other)
    return None if largest is None else largest.distance


def largest_difference(current: FeatureStatistics, other: FeatureStatistics) -> Largest | None:
    """What `infinity_norm` measures, with the value it is largest for; the first in order where several are."""
    sides = _sides(current, other)
    if sides is None:
        return None
    rows = sides.with_columns(_per(current, "least", "most"), _per(other, "was_least", "was_most"))
    ordered = rows.select("value", "least", "was_least", gap=_GAP).sort("gap", "value", descending=[True, False])
    return Largest(*ordered.row(0))


def normalized_absolute_difference(current: FeatureStatistics, other: FeatureStatistics) -> float | None:
    """The largest difference of a value's counts, over the sum of both sides' counts; None as for `infinity_norm`."""
    sides = _sides(current, other)
    if sides is None:
        return None
    return float(sides.select(_GAP.max()).item()) / (current.values + other.values)


def jensen_shannon(
    current: FeatureStatistics, other: FeatureStatistics, *, by_value: bool | None = None
) -> float | None:
    """The Jensen-Shannon divergence of the values, base 2.

    Args:
        current: one side.
        other: the other.
        by_value: compare value by value rather than by histograms. Unset: all but numbers and moments are.

    Returns:
        0 to 1; None when a side has no value or is personal, or holds numbers or moments where the other does not.
    """
    if not current.values or not other.values or _measured(current) != _measured(other):
        return None
    if by_value is None:
        by_value = not _measured(current)
    if not by_value:
        pairs = _bucketed(current, other)
        return None if pairs is None else _divergence(*zip(*pairs, strict=True))
    joined = _joined(current, other)
    if joined is None:
        return None
    for side, name in ((current, "current"), (other, "other")):
        if not side.complete:  # values that it does not tell are compared as one
            joined = joined.drop_nulls(name)
    p, q = joined["current"].fill_null(0).to_list(), joined["other"].fill_null(0).to_list()
    return _divergence([*p, current.values - sum(p)], [*q, other.values - sum(q)])


def _measured(side: FeatureStatistics) -> str:
    """What its values are measured in, so that histograms can be compared; "" for names."""
    if side.type in TEMPORAL:
        return str(side.type)
    return "numbers" if side.type in NUMBERS else ""


def _sides(current: FeatureStatistics, other: FeatureStatistics) -> pl.DataFrame | None:
    """``value`` and how often it is there, ``least`` and ``most``, ``was_least`` and ``was_most`` on the other side.

    The two are the same where all is counted. A value that a side does not tell is there at most as often as the
    least of those it tells.
    """
    joined = _joined(current, other)
    if joined is None or joined.is_empty():
        return None
    columns = []
    for side, name, prefix in ((current, "current", ""), (other, "other", "was_")):
        told = pl.col(name).cast(pl.Float64)
        columns += [
            told.fill_null(0.0).alias(f"{prefix}least"),
            (told + side.undercount).fill_null(float(side.unlisted)).alias(f"{prefix}most"),
        ]
    return joined.select("value", *columns)


def _per(side: FeatureStatistics, *columns: str) -> pl.Expr:
    return pl.col(columns) / max(side.values, 1)


def _joined(current: FeatureStatistics, other: FeatureStatistics) -> pl.DataFrame | None:
    """``value`` and the counts of both sides, null where a side does not tell the value."""
    if current.personal or other.personal or not (current.values or other.values):
        return None
    one, two = current.frequencies(), other.frequencies()
    dtype = _common(one.schema["value"], two.schema["value"])
    value = pl.col("value").cast(dtype)
    sides = one.select(value, current="count"), two.select(value, other="count")
    return sides[0].join(sides[1], on="value", how="full", coalesce=True)


def _common(one: pl.DataType, two: pl.DataType) -> pl.DataType:
    if one == two:
        return one
    if one.is_numeric() and two.is_numeric():
        return pl.Float64()
    return two if one == pl.Null else one if two == pl.Null else pl.String()


def _divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Of two lists of masses, each list made to sum to 1."""
    total_p, total_q = math.fsum(p), math.fsum(q)
    parts = []
    for one, two in zip(p, q, strict=True):
        a, b = one / total_p, two / total_q
        middle = (a + b) / 2
        parts += [side * math.log2(side / middle) for side in (a, b) if side > 0]
    return min(max(math.fsum(parts) / 2, 0.0), 1.0)


def _bucketed(current: FeatureStatistics, other: FeatureStatistics) -> list[tuple[float, float]] | None:
    """The masses of both sides, bucket by bucket, over the edges of both."""
    one, two = _histogram(current), _histogram(other)
    pairs = []
    edges = sorted({edge for bucket in (*one, *two) if bucket[0] < bucket[1] for edge in bucket[:2]})
    pairs += list(zip(_cut(one, edges), _cut(two, edges), strict=True))
    points = sorted({low for low, high, _ in (*one, *two) if low == high})
    pairs += [(_at(one, point), _at(two, point)) for point in points]
    a, b = current.numbers, other.numbers
    if a is not None and b is not None:
        pairs += [(float(a.nan), float(b.nan)), (float(a.infinite), float(b.infinite))]
    return pairs if all(math.fsum(side) > 0 for side in zip(*pairs, strict=True)) and pairs else None


_Bucket = tuple[float, float, float]  # low, high, count


def _histogram(side: FeatureStatistics) -> list[_Bucket]:
    histogram = side.histogram(_BUCKETS)
    if histogram is None:
        return []
    return list(zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True))


def _cut(buckets: list[_Bucket], edges: list[float]) -> list[float]:
    """The mass between each two edges, each bucket's own spread evenly over its width."""
    masses = dict.fromkeys(range(max(len(edges) - 1, 0)), 0.0)
    at = {edge: i for i, edge in enumerate(edges)}
    for low, high, count in buckets:
        if low == high:
            continue
        for i in range(at[low], at[high]):
            masses[i] += count * (edges[i + 1] - edges[i]) / (high - low)
    return list(masses.values())


def _at(buckets: list[_Bucket], point: float) -> float:
    return math.fsum(count for low, high, count in buckets if low == high == point)
