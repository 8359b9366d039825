"""Anomalies without a threshold written by hand: what a dataset's own past batches lead to expect.

Looked at are the number of rows and, of each feature, the share of missing values; of numbers the mean and the
standard deviation; of strings and bools (and numbers that are ``categorical``) values never seen before and how often
each value is there. Each is held against a forecast from the batches before, on a scale on which batches of all sizes
are alike; how far off such forecasts were in the past says how far off the batch may be. The chance of saying anything
of a sound batch is bounded for all figures together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.schema import Schema
from lakehouse.validation.anomalies import Anomaly
from lakehouse.validation.expectations.judging import MINIMUM, judge
from lakehouse.validation.expectations.telling import told
from lakehouse.validation.statistics import Statistics

__all__ = ["MINIMUM", "Past", "expect"]


@dataclass(frozen=True, slots=True)
class Past:
    """A batch of before.

    Attributes:
        statistics: what it held: of this batch alone, not of all rows up to it.
        at: the day it is of; its weekday is what matters.
    """

    statistics: Statistics
    at: date


def expect(
    current: Statistics, at: date, past: Sequence[Past], schema: Schema | None, *, rate: float = 0.01
) -> tuple[Anomaly, ...]:
    """What is odd in a batch, judged by those before it.

    A new level is told when it comes, not while it lasts. A number that is the same in all rows of a batch, such as
    its month, is not looked at, nor are values of a feature with too many to count each (new values and shares).

    Args:
        current: the batch.
        at: the day it is of.
        past: the batches before, oldest first; nothing is said with fewer than `MINIMUM`, of the dataset and of a
            feature. A weekday's own level needs three batches of it, and of four other weekdays.
        schema: says what is personal (only missing values are looked at) or categorical, and how bad an anomaly is.
        rate: the chance of saying anything of a batch that is like those before; above 0, below 1.

    Raises:
        ValueError: ``rate`` is no such chance.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}: it must lie between 0 and 1, like 0.01 for one sound batch in a hundred")
    judged = judge(current, at, [(one.statistics, one.at) for one in past], schema, rate)
    return tuple(told(one, at, schema) for one in judged if one.odd)
