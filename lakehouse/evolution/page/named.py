"""What all parts of a page share: a feature with the place it has in the page, colours, figures that stand out."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.evolution import figures
from lakehouse.evolution.sides import Line

__all__ = ["DRAWN", "Named", "colour", "portion"]

DRAWN = 6
"""Sides that have a colour, and so bars; of more there are figures alone."""

_MUCH = 0.2  # a share of missing values from which on it is told loudly


@dataclass(frozen=True, slots=True)
class Named:
    """A feature and what a link calls its part of the page; names of features could be anything."""

    anchor: str
    line: Line


def colour(number: int) -> str:
    """The class that gives a side its colour."""
    return f"c{number}" if number < DRAWN else "cx"


def portion(part: float, much: float = _MUCH) -> str:
    """A share of what should rather not be there: it stands out where there is some, more where there is much."""
    said = figures.share(part)
    if part <= 0:
        return f'<span class="soft">{said}</span>'
    return f'<span class="{"much" if part >= much else "some"}">{said.replace("<", "&lt;").replace(">", "&gt;")}</span>'
