"""What a dataset's rows must look like, in TensorFlow Data Validation's words.

Pure values, read from YAML as they stand: a `Schema` holds one `Feature` a column, and what must hold
for rows and batches. How text becomes a typed value, and how rows and batches are checked, is
`lakehouse.validation`'s business.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl

from lakehouse.schema.rules import BATCH_RULES, ROW_RULES, Action, Rule, Severity
from lakehouse.schema.types import FeatureType

if TYPE_CHECKING:
    from lakehouse.schema.demands import Limits, Presence, Unique, Valency
    from lakehouse.schema.differences import Difference
    from lakehouse.schema.domains import Domain, Length
    from lakehouse.schema.expressions import converts
    from lakehouse.schema.features import NOT_IN_FILES, Feature, Lifecycle
    from lakehouse.schema.schema import Check, Ratio, RowBounds, Schema
    from lakehouse.schema.values import AS_SAID, FROM_FILE

__all__ = [
    "AS_SAID",
    "BATCH_RULES",
    "FROM_FILE",
    "NOT_IN_FILES",
    "PROVENANCE",
    "ROW_RULES",
    "STATES",
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
    "converts",
]

PROVENANCE: dict[str, pl.DataType] = {
    "_raw": pl.String(),
    "_row": pl.Int64(),
    "_execution": pl.Int64(),
    "_recorded_at": pl.Datetime("us", "UTC"),
}
"""The columns every curated and quarantined row carries: sha256 of its raw file, 1-based record
number in it, the ledger's execution, and when the batch was curated (UTC)."""

STATES: dict[str, pl.DataType] = {
    "_change": pl.String(),
    "_valid_from": pl.Datetime("us", "UTC"),
    "_position": pl.Int64(),
}
"""What rows of ``changes`` and ``snapshots`` carry beside: what they did to their key (``upsert`` or ``delete`` of a
feed; ``insert``, ``update`` or ``delete`` of snapshots), since when that is true, and their place in their batch."""

_HOMES = {
    "demands": ("Limits", "Presence", "Unique", "Valency"),
    "differences": ("Difference",),
    "domains": ("Domain", "Length"),
    "expressions": ("converts",),
    "features": ("NOT_IN_FILES", "Feature", "Lifecycle"),
    "schema": ("Check", "Ratio", "RowBounds", "Schema"),
    "values": ("AS_SAID", "FROM_FILE"),
}

if not TYPE_CHECKING:  # for a type checker the imports above are all there is

    def __getattr__(name: str) -> Any:
        # Imported when first asked for: statistics need types and rules alone, and pydantic would double their start.
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
