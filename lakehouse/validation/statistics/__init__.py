"""What a batch of rows holds: counted exactly to a bound, sketched above it; the statistics of batches add up."""

from lakehouse.validation.statistics.collected import Statistics
from lakehouse.validation.statistics.feature import FeatureStatistics
from lakehouse.validation.statistics.figures import (
    Broken,
    Distinct,
    Gap,
    Histogram,
    Lengths,
    Moments,
    Numbers,
    Valencies,
    Weighted,
)
from lakehouse.validation.statistics.gathering import generate_statistics

__all__ = [
    "Broken",
    "Distinct",
    "FeatureStatistics",
    "Gap",
    "Histogram",
    "Lengths",
    "Moments",
    "Numbers",
    "Statistics",
    "Valencies",
    "Weighted",
    "generate_statistics",
]
