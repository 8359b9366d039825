"""Reading: a dataset as it was at any version or moment, what was true when, its past, and where a row came from."""

from lakehouse.retrieval.differing import State, changes
from lakehouse.retrieval.forms import Into
from lakehouse.retrieval.reading import files, read, readable, scan
from lakehouse.retrieval.recorded import history, recorded
from lakehouse.retrieval.rows import quarantine, trace
from lakehouse.retrieval.sql import Engine, sql

__all__ = [
    "Engine",
    "Into",
    "State",
    "changes",
    "files",
    "history",
    "quarantine",
    "read",
    "readable",
    "recorded",
    "scan",
    "sql",
    "trace",
]
