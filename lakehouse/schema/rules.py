"""What can break, how bad that is, and what is done about it."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BATCH_RULES", "ROW_RULES", "Action", "Rule", "Severity"]


class Rule(StrEnum):
    """What can be wrong: with a row, or with a batch as a whole."""

    TYPE = "type"  # a value is none of its feature's type
    PRESENCE = "presence"  # a value is missing; or too many are
    DOMAIN = "domain"  # a value is outside its domain; or too many are
    VALENCY = "valency"  # a list is too short or too long
    UNIQUE = "unique"  # too few or too many distinct values
    DRIFT = "drift"  # values are spread otherwise than before
    SKEW = "skew"  # values are spread otherwise than where they are served
    NEW_COLUMN = "new_column"  # a column that no feature knows
    MISSING_COLUMN = "missing_column"  # a feature without its column
    CHECK = "check"  # a row breaks an expression across its columns
    ROWS = "rows"  # too few or too many rows
    KEYS = "keys"  # two rows share their keys
    FRESHNESS = "freshness"  # the newest event is too old
    HISTORY = "history"  # unlike the dataset's own past


ROW_RULES = frozenset({Rule.TYPE, Rule.PRESENCE, Rule.DOMAIN, Rule.VALENCY, Rule.CHECK})
"""Rules that one row can break by itself, so that a broken row can be set apart."""

BATCH_RULES = frozenset(Rule) - ROW_RULES
"""Rules that only a batch as a whole can break: no single row is to blame, so none is quarantined."""


class Severity(StrEnum):
    """How bad a broken rule is. A warning is told, and never stops a row or a batch."""

    WARNING = "warning"
    ERROR = "error"


class Action(StrEnum):
    """What an error does: set the row apart, refuse the batch as a whole, or only tell."""

    QUARANTINE = "quarantine"
    REFUSE = "refuse"
    WARN = "warn"
