"""Whether rows are what their schema says: text to typed values, rules, and reasons."""

from lakehouse.validation.rows import QUARANTINE, TEXT, Mapping, check, too_strict

__all__ = ["QUARANTINE", "TEXT", "Mapping", "check", "too_strict"]
