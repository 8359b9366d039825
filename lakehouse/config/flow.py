"""Values as YAML that every YAML reader, 1.1 or 1.2, reads back as the same values, on as few lines as fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.config.yaml import quoted

__all__ = ["WIDTH", "block", "comment", "flow", "wrapped"]

WIDTH = 120
"""The longest a line should be."""

_PLAIN = re.compile(r"(?:[^\W\d]|\.{0,2}/)(?:[\w./+* -]*[\w./+*-])?|(?:[0-9]+(?:ms|[smhd]))+")
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
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    text = repr(value)
    # YAML 1.1 takes 1e-07 for a text.
    return text if "e" not in text or "." in text else text.replace("e", ".0e")


def block(key: str, value: Any, indent: str, *, deep: int = 0) -> list[str]:
    """A key and its value as lines: one line where that fits, else a line each for what is in it.

    Args:
        key: the key.
        value: its value.
        indent: blanks before it.
        deep: how many levels of mappings are spread over lines even where they would fit on one.
    """
    name = f"{indent}{flow(key)}:"
    line = f"{name} {flow(value)}"
    inner = isinstance(value, Mapping) and bool(value)
    if not (inner and deep) and (len(line) <= WIDTH or not isinstance(value, (Mapping, list, tuple))):
        return [line]
    if isinstance(value, Mapping):
        lines = [block(str(k), v, indent + "  ", deep=max(deep - 1, 0)) for k, v in value.items()]
        return [name, *(one for some in lines for one in some)]
    return f"{name} {wrapped(value, len(name) + 1, indent + '  ')}".split("\n")


def wrapped(value: Any, column: int, indent: str) -> str:
    """A value in YAML's one-line style; a list that reaches beyond the width goes on in further lines.

    Args:
        value: the value.
        column: where on its line it begins.
        indent: blanks before each further line.
    """
    text = flow(value)
    if column + len(text) <= WIDTH or not isinstance(value, (list, tuple)):
        return text
    lines = [""]
    for index, part in enumerate(map(flow, value)):
        part = ("[" if index == 0 else "") + part + ("]" if index == len(value) - 1 else ",")  # noqa: PLW2901
        start = column if len(lines) == 1 else len(indent)
        if lines[-1] and start + len(lines[-1]) + 1 + len(part) > WIDTH:
            lines.append(part)
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return f"\n{indent}".join(lines)


def comment(text: str) -> str:
    """A remark as a YAML comment after two blanks; "" for none."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"  # {shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + '…'}" if shown else ""
