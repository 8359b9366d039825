"""Statistics as one HTML page: to be opened anywhere, kept, sent and printed.

The page is whole in itself: no script, no network, nothing fetched; its own policy forbids it all. Every name and
value of the data is escaped and keeps its direction of writing to itself. No value of a personal feature is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import resources

from lakehouse.evolution import figures
from lakehouse.evolution.page.cards import card
from lakehouse.evolution.page.drawing import escaped, isolated
from lakehouse.evolution.page.named import DRAWN, Named, colour
from lakehouse.evolution.page.oddities import oddities
from lakehouse.evolution.page.overview import overview
from lakehouse.evolution.sides import Group, Side, lines
from lakehouse.validation.anomalies import Anomalies

__all__ = ["page"]

_VALUES = 20  # most frequent values of a feature that are shown
_FEW = 8  # the same where there are many features
_MANY = 200  # features from which on each is told in short
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(
    sides: Sequence[Side],
    title: str,
    *,
    about: Sequence[str] = (),
    only: Collection[str] = (),
    anomalies: Anomalies | None = None,
) -> str:
    """A page that shows statistics, side by side where there are several.

    Args:
        sides: what to show, at least one; all over the same axes.
        title: the page's heading.
        about: sentences under it.
        only: dotted paths of the features that are wanted; all when empty.
        anomalies: what was found odd about the first side, to stand on top.

    Raises:
        NotFoundError: one of ``only`` is on no side.
    """
    found = [Named(f"f{number}", line) for number, line in enumerate(lines(sides, only), 1)]
    shown = _VALUES if len(found) <= _MANY else _FEW
    odd = oddities(anomalies, found) if anomalies is not None else ""
    sections = "".join(
        _section(group, [one for one in found if one.line.group is group], sides, shown) for group in Group
    )
    style = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{isolated(title)}</h1>{_key(sides)}{_paragraphs(about)}</header>\n"
        f"{odd}{overview(found, sides, anomalies)}{sections}{_notes(found, sides, shown)}</body>\n</html>\n"
    )


def _key(sides: Sequence[Side]) -> str:
    """What each colour stands for, and how much it is."""
    said = "".join(
        f'<li class="{colour(number)}">{isolated(side.label)}'
        f'<span class="soft">: {side.statistics.rows:,} row{"" if side.statistics.rows == 1 else "s"}, '
        f"{len(side.statistics.features):,} feature{'' if len(side.statistics.features) == 1 else 's'}</span></li>"
        for number, side in enumerate(sides)
    )
    return f'<ul class="key">{said}</ul>'


def _section(group: Group, found: Sequence[Named], sides: Sequence[Side], shown: int) -> str:
    if not found:
        return ""
    cards = "".join(card(one, sides, shown) for one in found)
    return f"<section><h2>{group.value}<small>{len(found):,}</small></h2>\n{cards}</section>\n"


def _notes(found: Sequence[Named], sides: Sequence[Side], shown: int) -> str:
    """How to read it, and how exact it is."""
    said = [f"Of each feature at most {shown} values are shown, the most frequent ones."]
    estimated = [
        f.distinct.error for one in found for f in one.line.here if f.type is not None and not f.distinct.exact
    ]
    if any(estimated):
        said.append(
            f"≈ marks what was estimated: distinct values with a standard error of {figures.share(max(estimated))}."
        )
    errors = [n.error for one in found for n in one.line.numbers if n is not None and n.error]
    if errors:
        said.append(
            f"Quantiles of features with very many values may be off by {figures.share(max(errors))} of themselves."
        )
    if any(one.line.personal for one in found):
        said.append("Values of personal features are withheld.")
    if len(sides) > 1:
        said.append("Bars are shares of a side's own values, so that sides of different size can be compared.")
    if len(sides) == 2:
        said.append(
            "Figures stand out that are clearly others than the first side's: shares by more than one point, "
            "numbers by more than a tenth of the standard deviation."
        )
    if len(sides) > DRAWN:
        said.append(f"Only the first {DRAWN} sides are drawn; the figures are of all {len(sides)}.")
    said.append("Point at a bar for its figures.")
    return f"<footer>{_paragraphs(said)}</footer>\n"


def _paragraphs(said: Sequence[str]) -> str:
    return "".join(f"<p>{escaped(line)}</p>" for line in said)
