"""A mini data warehouse: raw files landed untouched, curated into append-only Delta tables, traceable to the byte.

`Lake` is the one object; everything else is reached through it. `generate_statistics`, `validate_statistics`,
`infer_schema` and `update_schema` are what it measures and judges batches with, as functions of any data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.lake import Lake
    from lakehouse.schema import Schema
    from lakehouse.validation.anomalies import validate_statistics
    from lakehouse.validation.inference import infer_schema, update_schema
    from lakehouse.validation.statistics import Statistics, generate_statistics

__all__ = [
    "Lake",
    "Schema",
    "Statistics",
    "generate_statistics",
    "infer_schema",
    "update_schema",
    "validate_statistics",
]

_HOMES = {
    "Lake": "lakehouse.lake",
    "Schema": "lakehouse.schema",
    "Statistics": "lakehouse.validation.statistics",
    "generate_statistics": "lakehouse.validation.statistics",
    "infer_schema": "lakehouse.validation.inference",
    "update_schema": "lakehouse.validation.inference",
    "validate_statistics": "lakehouse.validation.anomalies",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: polars and deltalake would cost every `lakehouse --help` a second.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lakehouse' has no attribute '{name}'")
