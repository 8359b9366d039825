"""All features of a page in one table: a line each, a picture each, the way to more."""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse.evolution import figures
from lakehouse.evolution.page.drawing import escaped, isolated, outline
from lakehouse.evolution.page.named import DRAWN, Named, portion
from lakehouse.evolution.sides import Group, Line, Side, distances, measured
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import FeatureStatistics

__all__ = ["distinct", "overview", "rank", "typed"]

_BUCKETS = 14  # of the pictures in miniature
_FAR = 0.05  # a distance from which on it is not told softly


def overview(found: Sequence[Named], sides: Sequence[Side], anomalies: Anomalies | None) -> str:
    """The table; each name leads to the feature's own part."""
    if not found:
        return '<section id="overview"><p>There are no features.</p></section>\n'
    odd = {anomaly.path for anomaly in anomalies.anomalies} if anomalies is not None else set()
    two = len(sides) == 2
    heads = ["Feature", "Type", "", "Missing", "Distinct", "Range or most frequent", *(["Distance"] if two else [])]
    head = "".join(f'<th{_right(name)} scope="col">{name}</th>' for name in heads)
    rows = "".join(_row(one, two=two, odd=one.line.path in odd) for one in found)
    return (
        f'<section id="overview"><h2>Overview<small>{len(found):,}</small></h2>\n'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>\n"
    )


def _right(name: str) -> str:
    return ' class="n"' if name in ("Missing", "Distinct", "Distance") else ""


def _row(one: Named, *, two: bool, odd: bool) -> str:
    line = one.line
    first, told = line.features[0], line.features[: 2 if two else 1]
    mark = ' <a class="much" href="#anomalies" title="has anomalies">●</a>' if odd else ""
    cells = [
        f'<td class="name"><a href="#{one.anchor}">{isolated(figures.value(line.path, 120))}</a>{mark}</td>',
        f'<td class="type">{escaped(typed(line))}</td>',
        f"<td>{outline(_heights(line))}</td>",
        f'<td class="n">{"<br>".join(portion(f.missing_fraction) if f else figures.NONE for f in told)}</td>',
        f'<td class="n">{"<br>".join(map(distinct, told))}</td>',
        f'<td class="soft">{"withheld" if line.personal else _gist(line, first)}</td>',
    ]
    if two:
        far = "" if max(measured(line).values(), default=0.0) >= _FAR else " soft"
        cells.append(f'<td class="n{far}">{escaped("; ".join(distances(line)) or figures.NONE)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _heights(line: Line) -> list[Sequence[float]]:
    if line.personal:
        return []
    shape = line.middle(_BUCKETS) or line.shape(_BUCKETS)
    if shape is not None:
        return [side or [0.0] for side in shape.shares[:DRAWN]]
    return rank(line, _BUCKETS)


def rank(line: Line, most: int) -> list[Sequence[float]]:
    """For each side the shares of its values, in the order of the first side's most frequent ones."""
    values = line.values(most)
    return [
        [max(counts[number], 0) / side.values if side is not None and side.values else 0.0 for _, counts in values]
        or [0.0]
        for number, side in enumerate(line.features[:DRAWN])
    ]


def _gist(line: Line, first: FeatureStatistics | None) -> str:
    """The range of what has an order, the most frequent value of what has none."""
    if first is None:
        return "only on another side"
    if line.group is Group.NUMBERS and (numbers := line.numbers[0]) is not None and numbers.min is not None:
        return escaped(f"{figures.number(numbers.min)} … {figures.number(numbers.max)}")
    if line.group is Group.MOMENTS and (moments := line.moments[0]) is not None:
        return escaped(f"{figures.value(moments.min)} … {figures.value(moments.max)}")
    if line.group is Group.TEXT and first.values and (top := first.top(1)):
        value, count = top[0]
        return f"{isolated(figures.value(value, 28))} {figures.share(count / first.values)}"
    return ""


def typed(line: Line) -> str:
    """The type as the schema writes it; of sides that differ, all of theirs."""
    said = dict.fromkeys(
        "no values" if f.type is None else f"list[{f.type.value}]" if f.repeated else f.type.value for f in line.here
    )
    return " / ".join(said)


def distinct(feature: FeatureStatistics | None) -> str:
    """How many distinct values, marked where that is an estimate."""
    if feature is None or (not feature.distinct.exact and not feature.distinct.count):
        return figures.NONE
    return f"{'' if feature.distinct.exact else '≈ '}{feature.distinct.count:,}"
