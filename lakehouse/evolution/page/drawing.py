"""The pictures of a page as SVG and HTML: bars over an axis, bars beside values, a small outline for the overview.

Only shapes and their places are here. Every number comes in as a float, every text is escaped on its way in.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["escaped", "isolated", "outline", "strip", "upright"]

_WIDE, _HIGH = 600, 120  # the units of a picture; the page stretches it
_GAP = 0.12  # of a bar's place, left free


def escaped(text: str) -> str:
    """A text as HTML, fit for content and attributes."""
    return html.escape(text, quote=True)


def isolated(text: str) -> str:
    """A name or value of the data as HTML: its direction of writing and its signs stay its own."""
    return f"<bdi>{escaped(text)}</bdi>"


def upright(edges: Sequence[float], sides: Sequence[Sequence[float]], titles: Sequence[Sequence[str]]) -> str:
    """Upright bars over an axis, those of all sides beside each other in each bucket.

    Args:
        edges: of the buckets on the axis, ascending; one more than buckets.
        sides: for each side the height of each bucket, in one unit for all.
        titles: for each side what each bar says when pointed at.
    """
    peak = max((height for side in sides for height in side), default=0.0)
    low, width = edges[0], edges[-1] - edges[0]
    shapes: list[str] = []
    for number, (heights, said) in enumerate(zip(sides, titles, strict=True)):
        for (left, right), height, title in zip(pairwise(edges), heights, said, strict=True):
            if height <= 0 or peak <= 0 or width <= 0:
                continue
            place = (right - left) / width * _WIDE
            thick = place * (1 - _GAP) / len(sides)
            x = (left - low) / width * _WIDE + place * _GAP / 2 + thick * number
            tall = max(1.0, height / peak * (_HIGH - 2))
            shapes.append(
                f'<rect class="s{number}" x="{x:.1f}" y="{_HIGH - tall:.1f}" width="{max(thick, 0.8):.1f}" '
                f'height="{tall:.1f}"><title>{escaped(title)}</title></rect>'
            )
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img">{"".join(shapes)}</svg>'
    )


def strip(low: float, high: float, sides: Sequence[Sequence[float]], titles: Sequence[str]) -> str:
    """Each side's quantiles along an axis: a line from the 5th to the 95th per cent, a box for the middle half.

    Args:
        low: where the axis begins.
        high: where it ends.
        sides: for each side its 5th, 25th, 50th, 75th and 95th per cent; nothing where there are none.
        titles: for each side what it says when pointed at.
    """
    if high <= low:
        return ""
    shapes: list[str] = []
    for number, (points, title) in enumerate(zip(sides, titles, strict=True)):
        if not points:
            continue
        p5, p25, p50, p75, p95 = (min(max((p - low) / (high - low), 0.0), 1.0) * _WIDE for p in points)
        middle = 9 + 16 * number
        shapes.append(
            f'<g class="s{number}"><title>{escaped(title)}</title>'
            f'<rect x="{p5:.1f}" y="{middle - 1}" width="{max(p95 - p5, 1.5):.1f}" height="2"/>'
            f'<rect x="{p25:.1f}" y="{middle - 5}" width="{max(p75 - p25, 1.5):.1f}" height="10"/>'
            f'<rect class="median" x="{p50 - 1.5:.1f}" y="{middle - 6}" width="3" height="12"/></g>'
        )
    tall = 2 + 16 * len(sides)
    return (
        f'<svg class="strip" viewBox="0 0 {_WIDE} {tall}" style="height:{tall}px" preserveAspectRatio="none" '
        f'role="img">{"".join(shapes)}</svg>'
    )


def outline(sides: Sequence[Sequence[float]]) -> str:
    """The bars of all sides in miniature, one behind the other; each side to its own height."""
    shapes: list[str] = []
    for number, heights in enumerate(sides):
        peak = max(heights, default=0.0)
        if peak <= 0:
            continue
        step = 100 / len(heights)
        corners = "".join(
            f"V{24 - height / peak * 22:.1f}H{step * (place + 1):.1f}" for place, height in enumerate(heights)
        )
        shapes.append(f'<path class="s{number}" d="M0 24{corners}V24Z"/>')
    return (
        f'<svg class="mini" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">{"".join(shapes)}</svg>'
    )
