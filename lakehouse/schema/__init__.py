"""What a dataset's rows must look like, in TensorFlow Data Validation's words.

Pure values, read from YAML as they stand: a `Schema` holds one `Feature` a column, and what must hold
for rows and batches. How text becomes a typed value, and how rows and batches are checked, is
`lakehouse.validation`'s business.
"""

from __future__ import annotations

import polars as pl

from lakehouse.schema.demands import Limits, Presence, Unique, Valency
from lakehouse.schema.differences import Difference
from lakehouse.schema.domains import Domain, Length
from lakehouse.schema.features import NOT_IN_FILES, Feature, FeatureType, Lifecycle
from lakehouse.schema.rules import BATCH_RULES, ROW_RULES, Action, Rule, Severity
from lakehouse.schema.schema import Check, Ratio, RowBounds, Schema
from lakehouse.schema.values import AS_SAID, FROM_FILE

__all__ = [
    "AS_SAID",
    "BATCH_RULES",
    "FROM_FILE",
    "NOT_IN_FILES",
    "PROVENANCE",
    "ROW_RULES",
    "Action",
    "Check",
    "Difference",
    "Domain",
    "Feature",
    "FeatureType",
    "Length",
    "Lifecycle",
    "Limits",
    "Presence",
    "Ratio",
    "RowBounds",
    "Rule",
    "Schema",
    "Severity",
    "Unique",
    "Valency",
]

PROVENANCE: dict[str, pl.DataType] = {
    "_raw": pl.String(),
    "_row": pl.Int64(),
    "_execution": pl.Int64(),
    "_recorded_at": pl.Datetime("us", "UTC"),
}
"""The columns every curated and quarantined row carries: sha256 of its raw file, 1-based record
number in it, the ledger's execution, and when the batch was curated (UTC)."""
