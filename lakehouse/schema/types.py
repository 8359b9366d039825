"""The types a feature can have."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FeatureType"]


class FeatureType(StrEnum):
    """The types a feature can have, and the polars dtype each is stored as."""

    INT = "int"  # Int64
    FLOAT = "float"  # Float64
    DECIMAL = "decimal"  # Decimal(precision, scale)
    STRING = "string"  # String
    BOOL = "bool"  # Boolean
    DATE = "date"  # Date
    DATETIME = "datetime"  # Datetime("us", "UTC")
    BYTES = "bytes"  # Binary
    STRUCT = "struct"  # Struct of its fields
