"""Whether rows are what their schema says: text to typed values, rules, and reasons."""

from lakehouse.validation.breaks import count_broken, sum_broken
from lakehouse.validation.mapping import TEXT, Mapping
from lakehouse.validation.rows import QUARANTINE, Checked, check, too_strict
from lakehouse.validation.rules import RowRule
from lakehouse.validation.statistics import Statistics, generate_statistics

__all__ = [
    "QUARANTINE",
    "TEXT",
    "Checked",
    "Mapping",
    "RowRule",
    "Statistics",
    "check",
    "count_broken",
    "generate_statistics",
    "sum_broken",
    "too_strict",
]
