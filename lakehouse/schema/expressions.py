"""What an SQL expression that makes a feature is like."""

from __future__ import annotations

import polars as pl

__all__ = ["converts"]


def converts(feature: str, sql: str) -> bool:
    """Whether an expression reads the very feature that it makes: the value in the file in other units or words."""
    try:
        return feature in pl.sql_expr(sql).meta.root_names()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False  # not an expression: said where the configuration is checked
