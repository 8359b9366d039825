"""What a dataset's curations measured: statistics and anomalies, kept beside its tables, added up and judged.

Measuring never changes a row. What is kept follows from the rows and the schema: where a file of it is gone or was
changed, what it said of rows is measured again from the table.
"""

from lakehouse.measured.judging import Batch, History, doubled, judge, median_day, recent
from lakehouse.measured.keeping import ZONE, Kept, discard, execution_of, found, highest, keep, kept, kept_of
from lakehouse.measured.summing import counted, measure, of_batch, of_version, private, running_total

__all__ = [
    "ZONE",
    "Batch",
    "History",
    "Kept",
    "counted",
    "discard",
    "doubled",
    "execution_of",
    "found",
    "highest",
    "judge",
    "keep",
    "kept",
    "kept_of",
    "measure",
    "median_day",
    "of_batch",
    "of_version",
    "private",
    "recent",
    "running_total",
]
