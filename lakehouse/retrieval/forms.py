"""What rows are given as: polars, Arrow, pandas, DuckDB. The others are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args

import polars as pl

from lakehouse.errors import ConfigError, nearest

__all__ = ["Into", "of"]

Into: TypeAlias = Literal["polars", "arrow", "pandas", "duckdb"]
"""The forms."""


def of(into: str) -> Callable[[pl.DataFrame], Any]:
    """What makes this form of a frame.

    Raises:
        ConfigError: no such form, or its package is not installed; names the extra.
    """
    match into:
        case "polars":
            return lambda frame: frame
        case "arrow":
            return pl.DataFrame.to_arrow
        case "pandas":
            _package("pandas")
            # pandas' own types would make floats of whole numbers where one is missing.
            return lambda frame: frame.to_pandas(use_pyarrow_extension_array=True)
        case "duckdb":
            duckdb = _package("duckdb")
            return lambda frame: duckdb.connect().from_arrow(frame.to_arrow())
    raise ConfigError(f"into: '{into}' is none of {', '.join(get_args(Into))}.{nearest(into, get_args(Into))}")


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f"into='{name}' needs the extra: pip install 'lakehouse[{name}]'") from error
