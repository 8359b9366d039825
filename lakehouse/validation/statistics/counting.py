"""From a frame's columns to the statistics of each: what is counted in full, what is sketched, by which queries.

A column's values are counted, ``group_by(value).len()``, and all follows from the counts. They are counted in pieces
of the rows, the first of them small, so that a column with many values is soon known by them, and given up. Of such a
one registers, buckets, the smallest and the largest are gathered; and the values that are there most often are found
by counting in full only the values of those registers that were met most. All queries are streamed, a bounded number
of columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
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
_FIRST, _FASTER, _LAST = 1 << 12, 8, 1 << 19  # rows of the first piece, of the next times as many, up to so many
_SMALL = 1 << 17  # rows of a piece that may be held in memory
_COUNTED = 8 * BOUND  # distinct values counted in full: to count so many costs less than to sketch them
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


def count_leaves(frame: pl.LazyFrame, leaves: Sequence[Leaf], rows: int) -> dict[str, FeatureStatistics]:
    """The statistics of features, by path in the same order.

    Args:
        frame: cheap to read some rows of a column of, again and again.
        leaves: its features.
        rows: how many it has.
    """
    found = _counted(frame, leaves, rows)
    wide = [leaf for leaf in leaves if leaf.path not in found]
    read = _typed_texts(frame, [leaf for leaf in wide if leaf.text])
    found |= _counted(frame, [leaf for leaf in read.values() if leaf.type is not FeatureType.STRING], rows)
    wide = [read.get(leaf.path, leaf) for leaf in wide if leaf.path not in found]
    for some in _cut(wide, _WIDE):
        found |= _sketched(frame, some, rows)
    return {leaf.path: found[leaf.path] for leaf in leaves}


def _cut(leaves: Sequence[Leaf], size: int) -> Iterator[Sequence[Leaf]]:
    for start in range(0, len(leaves), size):
        yield leaves[start : start + size]


def _collected(plans: Mapping[_K, pl.LazyFrame], *, shared: bool = True) -> dict[_K, pl.DataFrame]:
    """What plans give.

    Args:
        plans: over one frame.
        shared: what several have in common is done once.
    """
    flags = pl.QueryOptFlags(comm_subplan_elim=shared)
    return dict(zip(plans, pl.collect_all(list(plans.values()), engine="streaming", optimizations=flags), strict=True))


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


def _counted(frame: pl.LazyFrame, leaves: Sequence[Leaf], rows: int) -> dict[str, FeatureStatistics]:
    """The statistics of those features that have few enough values to be counted."""
    found: dict[str, FeatureStatistics] = {}
    for some in _cut(leaves, _COLUMNS):
        tables = _tables(frame, some, rows)
        few = [leaf for leaf in some if leaf.path in tables]
        found |= {leaf.path: _of_counts(leaf, tables[leaf.path]) for leaf in few}
    return found


def _tables(frame: pl.LazyFrame, leaves: Sequence[Leaf], rows: int) -> dict[str, dict[str, pl.DataFrame]]:
    """``counts`` and ``held`` of each feature that has at most `_COUNTED` distinct values."""
    parts: dict[str, dict[str, list[pl.DataFrame]]] = {leaf.path: {} for leaf in leaves}
    nested = any("." in leaf.path for leaf in leaves)
    for start, size in _pieces(rows):
        piece = frame.slice(start, size)
        plans = {key: plan for leaf in leaves if leaf.path in parts for key, plan in _plans(piece, leaf).items()}
        # Plans that share a scan keep all of its piece: right for a small one, and for the fields of one struct.
        for (path, name), table in _collected(plans, shared=nested or size <= _SMALL).items():
            parts[path].setdefault(name, []).append(table)
        for path, own in list(parts.items()):
            if sum(part.height for part in own.get("counts", ())) > _COUNTED:
                own["counts"] = [_together(own["counts"])]
                if own["counts"][0].height > _COUNTED:
                    del parts[path]
        if not parts:
            break
    return {path: {name: _together(some) for name, some in own.items()} for path, own in parts.items()}


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    """Where each piece starts and how many rows it has; one of an empty frame."""
    start, size = 0, _FIRST
    while start < max(rows, 1):
        yield start, min(size, rows - start)
        start, size = start + size, min(size * _FASTER, _LAST)


def _plans(piece: pl.LazyFrame, leaf: Leaf) -> dict[tuple[str, str], pl.LazyFrame]:
    plans: dict[tuple[str, str], pl.LazyFrame] = {}
    if leaf.repeated or leaf.type is FeatureType.STRUCT:
        plans[leaf.path, "held"] = _held(piece, leaf, weighed=leaf.weighed)
    if leaf.type is not FeatureType.STRUCT:
        values = leaf.values(piece) if leaf.repeated else leaf.rows(piece)
        plans[leaf.path, "counts"] = values.group_by("value").agg(_sums(weighed=leaf.weighed))
    return plans


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The counts of pieces as those of all their rows: by the first column, the others summed."""
    return parts[0] if len(parts) == 1 else pl.concat(parts).group_by(parts[0].columns[0]).agg(pl.all().sum())


def _of_counts(leaf: Leaf, found: Mapping[str, pl.DataFrame]) -> FeatureStatistics:
    """A feature's statistics from all its distinct values and how many of them its rows hold."""
    counts, held = found.get("counts"), found.get("held")
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
    made = finished(seen, kind, counts)
    if made.complete or (edges := _edges(kind, made.low, made.high)) is None:
        return made
    between = _between(counts.lazy(), edges, pl.col("count").sum()).collect()
    return replace(made, equal_width=_histogram(edges, between))


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


def _sketched(frame: pl.LazyFrame, leaves: Sequence[Leaf], rows: int) -> dict[str, FeatureStatistics]:
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
    first = _collected(plans)
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
        if (wide := _edges(leaf.type, told.get("low"), told.get("high"))) is not None:
            edges[leaf.path] = wide
            plans[leaf.path, "widths"] = _between(leaf.values(frame), wide, pl.len())
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


def _edges(kind: FeatureType | None, low: Any, high: Any) -> tuple[float, ...] | None:
    """The edges of numbers' buckets of equal width; None of anything else, and without a finite number."""
    return None if kind not in NUMBERS or low is None else evenly(float(low), float(high), _BUCKETS)


def _between(values: pl.LazyFrame, edges: Sequence[float], many: pl.Expr) -> pl.LazyFrame:
    """How many finite numbers lie between edges: ``bucket`` and ``count``."""
    number = pl.col("value").cast(pl.Float64)
    inner = [number >= edge for edge in edges[1:-1]]
    bucket = pl.sum_horizontal(inner).cast(pl.UInt8) if inner else pl.lit(0, pl.UInt8)
    return values.filter(number.is_finite()).group_by(bucket.alias("bucket")).agg(many.alias("count"))


def _histogram(edges: tuple[float, ...], between: pl.DataFrame) -> Histogram:
    counts = dict(between.iter_rows())
    return Histogram(edges, tuple(float(counts.get(n, 0)) for n in range(len(edges) - 1)))


def _of_sketch(
    leaf: Leaf, found: Mapping[str, pl.DataFrame], rest: int, edges: tuple[float, ...] | None
) -> FeatureStatistics:
    seen = Seen.of(leaf, found["held"])
    kept = registers.registers_of(found["slots"])
    if leaf.personal:
        many, off = registers.estimate(kept), 3 * registers.ERROR
        return hidden(seen, leaf.type, (round(many * (1 - off)), round(many * (1 + off))))
    counts, unlisted = listed(found["counts"])
    widths = None if edges is None else _histogram(edges, found["widths"])
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
