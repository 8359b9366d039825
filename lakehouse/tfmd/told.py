"""Statistics as somebody else tells them: figures and histograms, without the counts that they follow from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from os import PathLike
from typing import NoReturn

from lakehouse.errors import FormatError
from lakehouse.validation.statistics import (
    Distinct,
    FeatureStatistics,
    Histogram,
    Lengths,
    Numbers,
    Statistics,
    Valencies,
    Weighted,
)

__all__ = ["ToldFeature", "ToldStatistics"]


@dataclass(frozen=True, eq=False)
class ToldStatistics(Statistics):
    """Statistics that are looked at and compared, and neither added up nor kept."""

    def __add__(self, other: Statistics) -> NoReturn:
        raise FormatError(
            "Statistics read from TensorFlow Metadata cannot be added up or kept: they tell figures, not the counts "
            "these follow from. Generate them from the rows."
        )

    def __radd__(self, other: Statistics) -> NoReturn:
        self.__add__(other)

    def to_bytes(self) -> NoReturn:
        """Raise: they are not kept.

        Raises:
            FormatError: always.
        """
        self.__add__(self)

    def write(self, path: str | PathLike[str]) -> NoReturn:  # noqa: ARG002  # wherever it is
        """Raise, as `to_bytes`.

        Raises:
            FormatError: always.
        """
        self.to_bytes()

    __eq__ = object.__eq__  # what is compared elsewhere are the bytes that are kept
    __hash__ = object.__hash__


@dataclass(frozen=True, eq=False)
class ToldFeature(FeatureStatistics):
    """One feature of them; what is told stands in place of what would follow from counts.

    Attributes:
        told_numbers: of a feature of numbers.
        equal_widths: its histogram of equal width.
        equal_depths: its histogram of equal depth.
        told_lengths: of bytes.
        told_valency: of lists of different lengths; ``counts`` is empty, since they are not told.
        told_weighted: with weights.
        unique: distinct values; None where nobody counted them.
    """

    told_numbers: Numbers | None = None
    equal_widths: Histogram | None = field(default=None, repr=False)
    equal_depths: Histogram | None = field(default=None, repr=False)
    told_lengths: Lengths | None = None
    told_valency: Valencies | None = None
    told_weighted: Weighted | None = field(default=None, repr=False)
    unique: int | None = None

    @property
    def numbers(self) -> Numbers | None:
        """As told."""
        return self.told_numbers

    @property
    def distinct(self) -> Distinct:
        """As told; none and not exact where nobody counted."""
        return Distinct(0, exact=False) if self.unique is None else Distinct(self.unique)

    @property
    def lengths(self) -> Lengths | None:
        """As told."""
        return self.told_lengths

    @property
    def valency(self) -> Valencies | None:
        """As told."""
        return self.told_valency

    @property
    def weighted(self) -> Weighted | None:
        """As told."""
        return self.told_weighted

    def quantile(self, q: float) -> float | None:
        """Between the edges of the histogram of equal depth, as if each bucket were filled evenly."""
        if self.told_numbers is None:
            return None
        if q == 0.5:
            return self.told_numbers.median
        return None if self.equal_depths is None else _at(self.equal_depths, min(max(q, 0.0), 1.0))

    def histogram(self, buckets: int = 10, low: float | None = None, high: float | None = None) -> Histogram | None:
        """The told one of equal width, or what it says of other edges, as if each of its buckets were filled evenly."""
        held = self.equal_widths
        if held is None:
            return None
        first, last = held.edges[0] if low is None else low, held.edges[-1] if high is None else high
        if buckets == len(held.counts) and (first, last) == (held.edges[0], held.edges[-1]):
            return held
        wide = (last - first) / buckets
        edges = (first,) if first == last else (first, *(first + wide * i for i in range(1, buckets)))
        edges = (*edges, last)
        reached = [_below(held, edge) for edge in edges[:-1]] + [_below(held, last, including=True)]
        return Histogram(edges, tuple(b - a for a, b in pairwise(reached)), exact=False)

    def equal_depth(self, buckets: int = 10) -> Histogram | None:
        """The told one, or another whose edges lie between its."""
        held = self.equal_depths
        if held is None or buckets == len(held.counts):
            return held
        edges = tuple(_at(held, i / buckets) for i in range(buckets + 1))
        return Histogram(edges, (sum(held.counts) / buckets,) * buckets, exact=False)


def _below(held: Histogram, edge: float, *, including: bool = False) -> float:
    """How many values are smaller than an edge, or with it."""
    if edge > held.edges[-1] or (including and edge == held.edges[-1]):
        return sum(held.counts)
    at = bisect_right(held.edges, edge) - 1
    if at < 0 or edge == held.edges[0]:
        return 0.0
    low, high = held.edges[min(at, len(held.counts) - 1)], held.edges[min(at + 1, len(held.counts))]
    share = (edge - low) / (high - low) if high > low else 0.0
    return sum(held.counts[:at]) + share * held.counts[min(at, len(held.counts) - 1)]


def _at(held: Histogram, q: float) -> float:
    """The value below which a share of them lies."""
    reached = [0.0, *accumulate(held.counts)]
    wanted = q * reached[-1]
    at = min(bisect_right(reached, wanted) - 1, len(held.counts) - 1)
    share = (wanted - reached[at]) / held.counts[at] if held.counts[at] else 0.0
    return held.edges[at] + (held.edges[at + 1] - held.edges[at]) * min(share, 1.0)
