"""Whether rows are what their schema says: text to typed values, rules, and reasons."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.validation.breaks import count_broken, sum_broken
    from lakehouse.validation.mapping import TEXT, Codes, Mapping
    from lakehouse.validation.rows import KEY, QUARANTINE, Checked, check, too_strict
    from lakehouse.validation.rules import RowRule
    from lakehouse.validation.statistics import Statistics, generate_statistics

__all__ = [
    "KEY",
    "QUARANTINE",
    "TEXT",
    "Checked",
    "Codes",
    "Mapping",
    "RowRule",
    "Statistics",
    "check",
    "count_broken",
    "generate_statistics",
    "sum_broken",
    "too_strict",
]

_HOMES = {
    "breaks": ("count_broken", "sum_broken"),
    "mapping": ("TEXT", "Codes", "Mapping"),
    "rows": ("KEY", "QUARANTINE", "Checked", "check", "too_strict"),
    "rules": ("RowRule",),
    "statistics": ("Statistics", "generate_statistics"),
}

if not TYPE_CHECKING:  # for a type checker the imports above are all there is

    def __getattr__(name: str) -> Any:
        # Imported when first asked for: statistics of rows without a schema need none of the rules.
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
