"""What is odd about a batch: its statistics compared with its schema and with other batches.

`validate_statistics` is a pure function of statistics and schema: it reads no data and keeps nothing.
`explain` says which raw files brought a drift.
"""

from lakehouse.validation.anomalies.causes import explain
from lakehouse.validation.anomalies.distances import infinity_norm, jensen_shannon, normalized_absolute_difference
from lakehouse.validation.anomalies.found import Anomalies, Anomaly, Cause, Measure
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.validating import validate_statistics

__all__ = [
    "Anomalies",
    "Anomaly",
    "Cause",
    "Kind",
    "Measure",
    "explain",
    "infinity_norm",
    "jensen_shannon",
    "normalized_absolute_difference",
    "validate_statistics",
]
