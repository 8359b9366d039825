"""Histograms of one line, drawn with characters."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["drawn", "speaks_blocks", "spelled"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.:-=+*#"
_SPELLED = str.maketrans({"≈": "~", "…": "...", "→": "->"})


def drawn(heights: Sequence[float], *, blocks: bool) -> str:
    """Bars in one line, a character each: the lowest is for nothing at all, the others are in proportion.

    Args:
        heights: of the bars, none negative.
        blocks: draw with blocks; else with signs of ASCII.
    """
    signs = _BLOCKS if blocks else _PLAIN
    peak = max(heights, default=0.0)
    if peak <= 0:
        return signs[0] * len(heights)
    steps = len(signs) - 1
    return "".join(signs[0 if height <= 0 else max(1, round(height / peak * steps))] for height in heights)


def speaks_blocks(encoding: str | None = None) -> bool:
    """Whether an encoding has the block characters; None is that of stdout."""
    try:
        (_BLOCKS + "≈…").encode(encoding or sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def spelled(text: str) -> str:
    """A text with its signs that ASCII lacks spelled out, where the house itself puts them."""
    return text.translate(_SPELLED)
