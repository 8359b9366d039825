"""A feature's statistics out of what was counted of it: complete, condensed to a sketch, or only how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse.schema import FeatureType
from lakehouse.validation.statistics import registers
from lakehouse.validation.statistics.buckets import weigh
from lakehouse.validation.statistics.days import by_day
from lakehouse.validation.statistics.feature import (
    BOUND,
    LISTED,
    NUMBERS,
    TEMPORAL,
    Evidence,
    FeatureStatistics,
)
from lakehouse.validation.statistics.figures import Histogram
from lakehouse.validation.statistics.leaves import WEIGHT, Leaf

__all__ = ["Seen", "condense", "condensed", "finished", "hidden", "listed", "ordered", "summary"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a feature beside its values: `FeatureStatistics` tells what the attributes mean."""

    path: str
    repeated: bool
    personal: bool
    rows: int
    count: int
    values: int
    valencies: Mapping[int, int]
    weights: tuple[float, float] | None

    @classmethod
    def of(cls, leaf: Leaf, held: pl.DataFrame) -> Seen:
        """From how many rows hold how many values: ``held``, null where missing, ``count`` and possibly ``weight``."""
        there = held.filter(pl.col("held").is_not_null()).sort("held")
        sums = {name: float(there[name].sum()) for name in (WEIGHT,) if name in held.columns}
        weights = (sums[WEIGHT], float(held[WEIGHT].sum()) - sums[WEIGHT]) if sums else None
        many = {int(number): int(count) for number, count in there.select("held", "count").iter_rows()}
        return cls(
            leaf.path,
            leaf.repeated,
            leaf.personal,
            rows=int(held["count"].sum()),
            count=sum(many.values()),
            values=sum(number * count for number, count in many.items()),
            valencies=many if leaf.repeated else {},
            weights=weights,
        )

    def __add__(self, other: Seen) -> Seen:
        numbers = {*self.valencies, *other.valencies}
        return Seen(
            self.path,
            self.repeated or other.repeated,
            self.personal or other.personal,
            self.rows + other.rows,
            self.count + other.count,
            self.values + other.values,
            {n: self.valencies.get(n, 0) + other.valencies.get(n, 0) for n in sorted(numbers)},
            None
            if self.weights is None or other.weights is None
            else (self.weights[0] + other.weights[0], self.weights[1] + other.weights[1]),
        )


def summary(kind: FeatureType | None, times: pl.Expr | int = 1) -> dict[str, pl.Expr]:
    """What is told of the column ``value`` without counting each.

    Args:
        kind: the values' type.
        times: how often each is there.

    Returns:
        ``low``, ``high`` (of finite numbers and of moments), ``zeros``, ``shortest``, ``longest`` and ``total`` (of
        lengths); null where a type has no such thing.
    """
    value, nothing = pl.col("value"), pl.lit(None, pl.Int64)
    told = dict.fromkeys(("low", "high", "zeros", "shortest", "longest", "total"), nothing)
    if kind in NUMBERS or kind in TEMPORAL:
        if kind is FeatureType.FLOAT:
            value = pl.when(value == 0).then(0.0).when(value.is_finite()).then(value)  # one zero
        told |= {"low": value.min(), "high": value.max()}
    if kind in NUMBERS:
        told["zeros"] = ((pl.col("value") == 0).cast(pl.UInt64) * times).sum()
    if kind in (FeatureType.STRING, FeatureType.BYTES):
        length = (value.str.len_chars() if kind is FeatureType.STRING else value.bin.size()).cast(pl.UInt64)
        told |= {"shortest": length.min(), "longest": length.max(), "total": (length * times).sum()}
    return told


def ordered(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts, most frequent first, then ascending."""
    if counts.schema["value"].is_float():
        counts = counts.with_columns(pl.when(pl.col("value") != 0).then(pl.col("value")).otherwise(0.0))  # one zero
    return counts.sort("count", "value", descending=[True, False]).rechunk()


def listed(counts: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The counts that are kept of a feature with many values, and how often any other is there at most."""
    first = ordered(counts)
    kept = pl.int_range(pl.len()) < LISTED
    if WEIGHT in counts.columns:
        kept |= pl.col(WEIGHT).rank("ordinal", descending=True) <= LISTED
    rest = first.filter(~kept)
    return first.filter(kept), int(rest["count"].item(0)) if len(rest) else 0


def finished(seen: Seen, kind: FeatureType | None, counts: pl.DataFrame) -> FeatureStatistics:
    """From every distinct value (``value``, ``count``, possibly ``weight``), none null."""
    if seen.personal:
        return hidden(seen, kind, (counts.height, counts.height))
    if counts.height > BOUND:
        return condense(seen, kind, counts)
    figures = counts.select(**summary(kind, pl.col("count"))).row(0, named=True)
    return _made(seen, kind, Evidence(ordered(counts)), figures)


def condense(seen: Seen, kind: FeatureType | None, counts: pl.DataFrame) -> FeatureStatistics:
    """The same, keeping no more of them than of any feature with many."""
    figures = counts.select(**summary(kind, pl.col("count"))).row(0, named=True)
    kept, unlisted = listed(counts)
    return condensed(
        seen,
        kind,
        Evidence(
            kept,
            registers.registers_of(registers.slots(counts.lazy()).collect()),
            weigh(counts) if kind in NUMBERS else None,
            by_day(counts) if kind in TEMPORAL else None,
        ),
        figures,
        unlisted=unlisted,
    )


def condensed(  # noqa: PLR0913  # by name
    seen: Seen,
    kind: FeatureType | None,
    evidence: Evidence,
    figures: Mapping[str, Any],
    *,
    unlisted: int,
    undercount: int = 0,
    span: tuple[int, int] | None = None,
    widths: Histogram | None = None,
) -> FeatureStatistics:
    """From a sketch, and what `summary` told."""
    return _made(
        seen,
        kind,
        evidence,
        figures,
        complete=False,
        unlisted=unlisted,
        undercount=undercount,
        span=span,
        equal_width=widths,
    )


def hidden(seen: Seen, kind: FeatureType | None, span: tuple[int, int]) -> FeatureStatistics:
    """Of a personal feature: only how many distinct values there are, or can be."""
    nothing = Evidence(pl.DataFrame(schema={"value": pl.String(), "count": pl.UInt64()}))
    return _made(seen, kind, nothing, {}, complete=False, span=span)


def _made(
    seen: Seen, kind: FeatureType | None, evidence: Evidence, figures: Mapping[str, Any], **more: Any
) -> FeatureStatistics:
    sizes = None
    if seen.values and figures.get("shortest") is not None:
        sizes = (int(figures["shortest"]), int(figures["longest"]), int(figures["total"]))
    return FeatureStatistics(
        path=seen.path,
        type=kind,
        repeated=seen.repeated,
        personal=seen.personal,
        rows=seen.rows,
        count=seen.count,
        values=seen.values,
        complete=more.pop("complete", True),
        dtype=evidence.counts.schema["value"],
        evidence=lambda: evidence,
        valencies=seen.valencies,
        low=figures.get("low"),
        high=figures.get("high"),
        zeros=int(figures.get("zeros") or 0),
        sizes=sizes,
        weights=seen.weights,
        **more,
    )
