"""A mini data warehouse: raw files landed untouched, curated into append-only Delta tables, traceable to the byte.

`Lake` is the one object; everything else is reached through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.lake import Lake

__all__ = ["Lake"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: polars and deltalake would cost every `lakehouse --help` a second.
    if name == "Lake":
        from lakehouse.lake import Lake  # noqa: PLC0415

        return Lake
    raise AttributeError(f"module 'lakehouse' has no attribute '{name}'")
