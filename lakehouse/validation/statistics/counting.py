"""From a frame's columns to the statistics of each: what is counted in full, what is sketched, by which queries.

A column with few distinct values is counted, ``group_by(value).len()``, and all follows from the counts. Which has
few is asked first, in one pass that keeps next to nothing: from the range of integers and dates, from an estimate
for the others. Of a column with many, registers, buckets, the smallest and the largest are gathered; and the values
that are there most often are found by counting in full only the values of those registers that were met most.
All queries are streamed, a bounded number of columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl

from lakehouse.schema import FeatureType
from lakehouse.validation.statistics import registers
from lakehouse.validation.statistics.buckets import bucketed
from lakehouse.validation.statistics.days import day_of
from lakehouse.validation.statistics.feature import BOUND, NUMBERS, TEMPORAL, Evidence, FeatureStatistics, evenly
from lakehouse.validation.statistics.figures import Histogram
from lakehouse.validation.statistics.leaves import WEIGHT, Leaf, is_float, is_int
from lakehouse.validation.statistics.making import Seen, condensed, finished, hidden, listed, summary

__all__ = ["count_leaves"]

_COLUMNS = 12  # counted at a time: memory for their values and for the pieces of the scan is bounded by it
_WIDE = 2  # sketched at a time
_SURE = 2 * BOUND  # an estimate above this is of more than BOUND values, whatever its error
_HEAVY = 4 * BOUND  # distinct values counted in full to find the most frequent ones
_BUCKETS = 10  # of equal width

_FOLDED: dict[str, Callable[[str], pl.Expr]] = {
    "low": pl.min,
    "high": pl.max,
    "zeros": pl.sum,
    "shortest": pl.min,
    "longest": pl.max,
    "total": pl.sum,
}
"""How the figures of registers become those of all values."""

_K = TypeVar("_K", bound=Hashable)


def count_leaves(frame: pl.LazyFrame, leaves: Sequence[Leaf]) -> dict[str, FeatureStatistics]:
    """The statistics of features, by path in the same order.

    Args:
        frame: cheap to read a column of, again and again.
        leaves: its features.
    """
    known = [leaf for leaf in leaves if leaf.type is not FeatureType.STRUCT]
    many = _many(frame, known)
    read = _typed_texts(frame, [leaf for leaf in known if leaf.path in many and leaf.text])
    numbers = [leaf for leaf in read.values() if leaf.type is not FeatureType.STRING]
    many = (many - {leaf.path for leaf in numbers}) | _many(frame, numbers)
    narrow = [read.get(leaf.path, leaf) for leaf in leaves if leaf.path not in many]
    wide = [read.get(leaf.path, leaf) for leaf in leaves if leaf.path in many]
    found: dict[str, FeatureStatistics] = {}
    for some in _cut(narrow, _COLUMNS):
        found |= _counted(frame, some)
    for some in _cut(wide, _WIDE):
        found |= _sketched(frame, some)
    return {leaf.path: found[leaf.path] for leaf in leaves}


def _cut(leaves: Sequence[Leaf], size: int) -> Iterator[Sequence[Leaf]]:
    for start in range(0, len(leaves), size):
        yield leaves[start : start + size]


def _collected(plans: Mapping[_K, pl.LazyFrame]) -> dict[_K, pl.DataFrame]:
    return dict(zip(plans, pl.collect_all(list(plans.values()), engine="streaming"), strict=True))


def _many(frame: pl.LazyFrame, leaves: Sequence[Leaf]) -> set[str]:
    """The paths of features that surely have more than `BOUND` distinct values."""
    if not leaves:
        return set()
    short = frame.select(pl.len()).collect(engine="streaming").item() <= _SURE
    asked = [leaf for leaf in leaves if not (short and leaf.plain) and leaf.type is not FeatureType.BOOL]
    ranged = [leaf for leaf in asked if leaf.plain and leaf.type in (FeatureType.INT, FeatureType.DATE)]
    spread = _each(frame, ranged, lambda value: value.max().cast(pl.Int128) - value.min().cast(pl.Int128))
    close = {leaf.path for leaf in ranged if (spread[leaf.path] or 0) < BOUND}
    asked = [leaf for leaf in asked if leaf.path not in close]
    estimates = _each(frame, asked, lambda value: value.approx_n_unique())
    return {path for path, estimate in estimates.items() if estimate > _SURE}


def _each(frame: pl.LazyFrame, leaves: Sequence[Leaf], figure: Any) -> dict[str, Any]:
    """One figure of each feature's values."""
    found: dict[str, Any] = {}
    for some in _cut(leaves, _COLUMNS):
        plain = [leaf for leaf in some if leaf.plain]
        plans = {leaf.path: leaf.values(frame).select(figure(pl.col("value"))) for leaf in some if not leaf.plain}
        plans[""] = frame.select(figure(leaf.value).alias(str(n)) for n, leaf in enumerate(plain))
        answers = _collected({path: plan for path, plan in plans.items() if path or plain})
        found |= {path: answer.item() for path, answer in answers.items() if path}
        found |= {leaf.path: answers[""].item(0, n) for n, leaf in enumerate(plain)}
    return found


def _typed_texts(frame: pl.LazyFrame, leaves: Sequence[Leaf]) -> dict[str, Leaf]:
    """Texts with many values, as the type that all of these have."""
    found: dict[str, Leaf] = {}
    value = pl.col("value")
    for some in _cut(leaves, _COLUMNS):
        asked = [leaf.values(frame).select(i=is_int(value).all(), f=is_float(value).all()) for leaf in some]
        for leaf, answer in zip(some, pl.collect_all(asked, engine="streaming"), strict=True):
            ints, floats = answer.row(0)
            kind = FeatureType.INT if ints else FeatureType.FLOAT if floats else FeatureType.STRING
            found[leaf.path] = leaf.settled(kind)
    return found


def _sums(*, weighed: bool) -> list[pl.Expr]:
    weight = [pl.col(WEIGHT).sum()] if weighed else []
    return [pl.len().cast(pl.UInt64).alias("count"), *weight]


def _held(frame: pl.LazyFrame, leaf: Leaf, *, weighed: bool) -> pl.LazyFrame:
    """How many rows hold how many values (``held``, null where the feature is missing)."""
    value = pl.col("value")
    many = value.list.drop_nulls().list.len() if leaf.repeated else pl.when(value.is_not_null()).then(1)
    rows = leaf.rows(frame).with_columns(held=many.cast(pl.UInt32))
    return rows.group_by("held").agg(_sums(weighed=weighed))


def _counted(frame: pl.LazyFrame, leaves: Sequence[Leaf]) -> dict[str, FeatureStatistics]:
    plans: dict[tuple[str, str], pl.LazyFrame] = {}
    for leaf in leaves:
        weighed = leaf.weighed
        if leaf.repeated or leaf.type is FeatureType.STRUCT:
            plans[leaf.path, "held"] = _held(frame, leaf, weighed=weighed)
        if leaf.type is not FeatureType.STRUCT:
            values = leaf.values(frame) if leaf.repeated else leaf.rows(frame)
            plans[leaf.path, "counts"] = values.group_by("value").agg(_sums(weighed=weighed))
    found = _collected(plans)
    return {
        leaf.path: _of_counts(leaf, found.get((leaf.path, "counts")), found.get((leaf.path, "held"))) for leaf in leaves
    }


def _of_counts(leaf: Leaf, counts: pl.DataFrame | None, held: pl.DataFrame | None) -> FeatureStatistics:
    """A feature's statistics from all its distinct values and how many of them its rows hold."""
    if counts is None:
        counts = pl.DataFrame(schema={"value": pl.String(), "count": pl.UInt64()})
    if held is None:
        missing = pl.col("value").is_null()
        held = counts.group_by(pl.when(~missing).then(pl.lit(1, pl.UInt32)).alias("held")).agg(
            pl.exclude("value").sum()
        )
    seen = Seen.of(leaf, held)
    counts = counts.filter(pl.col("value").is_not_null())
    kind, counts = _typed(leaf, counts)
    return finished(seen, kind, counts)


def _typed(leaf: Leaf, counts: pl.DataFrame) -> tuple[FeatureType | None, pl.DataFrame]:
    """The type that all values of a text feature have, and the counts of the values as such."""
    if not leaf.text:
        return leaf.type, counts
    if counts.is_empty():
        return None, counts
    value = pl.col("value")
    ints, floats = counts.select(i=is_int(value).all(), f=is_float(value).all()).row(0)
    if not (ints or floats):
        return FeatureType.STRING, counts
    kind, dtype = (FeatureType.INT, pl.Int64()) if ints else (FeatureType.FLOAT, pl.Float64())
    return kind, counts.group_by(value.cast(dtype)).agg(pl.all().sum())


def _sketched(frame: pl.LazyFrame, leaves: Sequence[Leaf]) -> dict[str, FeatureStatistics]:
    plans: dict[tuple[str, str], pl.LazyFrame] = {}
    for leaf in leaves:
        values = leaf.values(frame)
        if leaf.weighed or not leaf.plain:
            plans[leaf.path, "held"] = _held(frame, leaf, weighed=leaf.weighed)
        if leaf.personal:
            plans[leaf.path, "slots"] = registers.slots(values)
            continue
        told = {name: figure for name, figure in summary(leaf.type).items() if figure.meta.root_names()}
        plans[leaf.path, "slots"] = registers.slots(values, told)
        if leaf.type in NUMBERS:
            plans[leaf.path, "buckets"] = bucketed(values, WEIGHT if leaf.weighed else None)
        if leaf.type in TEMPORAL:
            plans[leaf.path, "days"] = values.group_by(day_of(leaf.dtype).alias("day")).agg(_sums(weighed=False))
    first = _collected({**plans, ("", "rows"): frame.select(pl.len())})
    rows = int(first["", "rows"].item())
    for leaf in leaves:
        found = first[leaf.path, "slots"]
        if (leaf.path, "held") not in first:
            there = int(found["count"].sum())
            both = {"held": [1, None], "count": [there, rows - there]}
            first[leaf.path, "held"] = pl.DataFrame(both, schema={"held": pl.UInt32(), "count": pl.UInt64()})
        first[leaf.path, "figures"] = found.select(_FOLDED[name](name) for name in _FOLDED if name in found.columns)
    return _completed(frame, leaves, first)


def _completed(
    frame: pl.LazyFrame, leaves: Sequence[Leaf], first: Mapping[tuple[str, str], pl.DataFrame]
) -> dict[str, FeatureStatistics]:
    """With a second pass, for the most frequent values and for buckets of equal width."""
    plans: dict[tuple[str, str], pl.LazyFrame] = {}
    edges: dict[str, tuple[float, ...]] = {}
    rest: dict[str, int] = {}
    for leaf in leaves:
        if leaf.personal:
            continue
        values = leaf.values(frame)
        chosen, rest[leaf.path] = _heavy(first[leaf.path, "slots"])
        if chosen is not None:
            values = values.filter(registers.register(pl.col("value")).is_in(chosen.implode()))
        plans[leaf.path, "counts"] = values.group_by("value").agg(_sums(weighed=leaf.weighed))
        told = first[leaf.path, "figures"].row(0, named=True)
        low, high = told.get("low"), told.get("high")
        if leaf.type in NUMBERS and low is not None and high is not None:
            edges[leaf.path] = evenly(float(low), float(high), _BUCKETS)
            plans[leaf.path, "widths"] = _between(leaf.values(frame), edges[leaf.path])
    second = _collected(plans) if plans else {}
    found = {}
    for leaf in leaves:
        own = {name: table for (path, name), table in (*first.items(), *second.items()) if path == leaf.path}
        found[leaf.path] = _of_sketch(leaf, own, rest.get(leaf.path, 0), edges.get(leaf.path))
    return found


def _heavy(slots: pl.DataFrame) -> tuple[pl.Series | None, int]:
    """The registers that were met most, few enough to count their values in full.

    Returns:
        None for all of them; and how often a value of another register is there at most.
    """
    distinct = registers.estimate(registers.registers_of(slots))
    few = _HEAVY * registers.REGISTERS // max(distinct, 1)
    if few >= slots.height:
        return None, 0
    most = slots.sort("count", "register", descending=[True, False])
    return most["register"].head(max(few, 1)), int(most["count"][max(few, 1)])


def _between(values: pl.LazyFrame, edges: Sequence[float]) -> pl.LazyFrame:
    """How many finite numbers lie between edges: ``bucket`` and ``count``."""
    number = pl.col("value").cast(pl.Float64)
    inner = [number >= edge for edge in edges[1:-1]]
    bucket = pl.sum_horizontal(inner).cast(pl.UInt8) if inner else pl.lit(0, pl.UInt8)
    finite = values.filter(number.is_finite())
    return finite.group_by(bucket.alias("bucket")).agg(_sums(weighed=False))


def _of_sketch(
    leaf: Leaf, found: Mapping[str, pl.DataFrame], rest: int, edges: tuple[float, ...] | None
) -> FeatureStatistics:
    seen = Seen.of(leaf, found["held"])
    kept = registers.registers_of(found["slots"])
    if leaf.personal:
        many, off = registers.estimate(kept), 3 * registers.ERROR
        return hidden(seen, leaf.type, (round(many * (1 - off)), round(many * (1 + off))))
    counts, unlisted = listed(found["counts"])
    widths = None
    if edges is not None:
        between = dict(found["widths"].iter_rows())
        widths = Histogram(edges, tuple(float(between.get(n, 0)) for n in range(len(edges) - 1)))
    buckets, days = found.get("buckets"), found.get("days")
    return condensed(
        seen,
        leaf.type,
        Evidence(
            counts,
            kept,
            None if buckets is None else buckets.sort("bucket").rechunk(),
            None if days is None else days.sort("day").rechunk(),
        ),
        found["figures"].row(0, named=True),
        unlisted=max(unlisted, rest),
        widths=widths,
    )
