"""Values as YAML on one line that every YAML reader, 1.1 or 1.2, reads back as the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.config.yaml import quoted

__all__ = ["comment", "flow"]

_PLAIN = re.compile(r"(?:[^\W\d]|\.{0,2}/)(?:[\w./+* -]*[\w./+*-])?")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})
_LONGEST = 120


def flow(value: Any) -> str:
    """A value in YAML's one-line style; strings are quoted wherever a reader might take them for something else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else quoted(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def comment(text: str) -> str:
    """A remark as a YAML comment after two blanks; "" for none."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"  # {shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + '…'}" if shown else ""
