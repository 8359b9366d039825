"""One feature in full: its figures on each side, how its values are spread, which are the most frequent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lakehouse.evolution import figures
from lakehouse.evolution.page.drawing import escaped, isolated, strip, upright
from lakehouse.evolution.page.named import DRAWN, Named, colour, portion
from lakehouse.evolution.page.overview import distinct, typed
from lakehouse.evolution.sides import Group, Line, Shape, Side, distances
from lakehouse.schema import FeatureType
from lakehouse.validation.statistics import FeatureStatistics

__all__ = ["card"]

_BUCKETS = 40
_RANKS = 50  # values in the picture of how frequent they are by rank
_BESIDE = 8  # most frequent values beside the picture of how all are spread
_STRIP = (0.05, 0.25, 0.5, 0.75, 0.95)
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_ZEROS = 0.5  # a share of zeros from which on it is told loudly


def card(one: Named, sides: Sequence[Side], shown: int) -> str:
    """A feature's part of the page.

    Args:
        one: the feature.
        sides: all sides.
        shown: how many of its most frequent values.
    """
    line = one.line
    apart = distances(line) if len(sides) == 2 else ()
    withheld = '<span class="soft">personal: values are withheld</span>' if line.personal else ""
    said = f'<span class="soft">{escaped("; ".join(apart))}</span>' if apart else ""
    body = "" if line.personal else f'<div class="pictures">{_pictures(line, shown)}</div>{_more(line, sides)}'
    return (
        f'<article class="feature" id="{one.anchor}"><header><h3>{isolated(figures.value(line.path, 300))}</h3>'
        f'<span class="type">{escaped(typed(line))}</span>{withheld}{said}<a href="#overview">overview</a></header>'
        f"{_figures(line, sides)}{body}</article>\n"
    )


def _figures(line: Line, sides: Sequence[Side]) -> str:
    """A table with one line a side."""
    told = [_told(line, number) for number in range(len(sides))]
    heads = list(dict.fromkeys(name for row in told for name in row))
    several = len(sides) > 1
    head = "".join(f'<th class="n" scope="col">{name}</th>' for name in heads)
    rows = []
    for number, (side, row) in enumerate(zip(sides, told, strict=True)):
        name = f'<th class="side {colour(number)}" scope="row">{isolated(side.label)}</th>' if several else ""
        changed = line.changed(number) if len(sides) == 2 and number else ()
        cells = "".join(
            f'<td class="n{" differs" if key in changed else ""}">{row.get(key, figures.NONE)}</td>' for key in heads
        )
        rows.append(f"<tr>{name}{cells}</tr>")
    corner = "<th></th>" if several else ""
    return (
        f'<div class="scroll"><table class="figures"><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _told(line: Line, number: int) -> dict[str, str]:
    """The figures of one side, as HTML, by their headings."""
    feature = line.features[number]
    if feature is None:
        return {"rows with a value": "not there"}
    told = {
        "rows with a value": f"{feature.count:,}",
        "missing": portion(feature.missing_fraction),
    }
    if feature.type is not None and feature.type is not FeatureType.STRUCT:
        told["distinct"] = distinct(feature)
    if feature.repeated:
        told["values"] = f"{feature.values:,}"
        if (valency := feature.valency) is not None:
            told["values a list"] = f"{valency.min:,} to {valency.max:,}, mean {figures.number(valency.mean)}"
    return told if line.personal else told | _own(line, number)


def _own(line: Line, number: int) -> dict[str, str]:
    """The figures that only features of its group have."""
    feature = line.same(line.features[number])
    if (numbers := line.numbers[number]) is not None:
        all_ = max(1, numbers.count + numbers.nan + numbers.infinite)
        own = {"zeros": portion(numbers.zeros / all_, _ZEROS)}
        own |= {"NaN": portion(numbers.nan / all_)} if numbers.nan else {}
        own |= {"infinite": portion(numbers.infinite / all_)} if numbers.infinite else {}
        named = ("min", "mean", "median", "max", "std")
        own |= {key: figures.number(getattr(numbers, key)) for key in named}
        return own | {"median": f"≈ {own['median']}"} if numbers.error else own
    if (moments := line.moments[number]) is not None:
        gap = "none" if moments.gap is None else f"{moments.gap.days:,} d after {figures.value(moments.gap.after)}"
        return {
            "first": escaped(figures.value(moments.min)),
            "last": escaped(figures.value(moments.max)),
            "days with a value": f"{moments.days:,}",
            "longest gap": gap,
        }
    if feature is not None and (lengths := feature.lengths) is not None:
        unit = "bytes" if feature.type is FeatureType.BYTES else "characters"
        return {
            "shortest": f"{lengths.min:,} {unit}",
            "mean length": figures.number(lengths.mean),
            "longest": f"{lengths.max:,} {unit}",
        }
    return {}


def _pictures(line: Line, shown: int) -> str:
    """How the values are spread, and which are the most frequent; of a constant its one value is all."""
    many = max((f.distinct.count for f in line.here), default=0)
    found = []
    if many > 1:
        middle, shape = line.middle(_BUCKETS), line.shape(_BUCKETS)
        if middle is not None:
            found.append(_spread(line, middle, "From the 1st to the 99th per cent"))
        if shape is not None:
            found.append(_spread(line, shape, "All values" if middle is not None else "Values"))
    found.append(_values(line, shown if line.group is Group.TEXT else min(shown, _BESIDE)))
    if line.group is Group.TEXT and many > shown:
        found.append(_ranks(line))
    return "".join(found)


def _spread(line: Line, shape: Shape, caption: str) -> str:
    """Upright bars, an axis, and under it the quantiles."""
    titles = [
        [
            f"{_between(line, left, right)}: {figures.number(count)} ({figures.share(part)})"
            for (left, right), count, part in zip(pairwise(shape.edges), counts, shares, strict=True)
        ]
        if counts
        else []
        for counts, shares in zip(shape.counts, shape.shares, strict=True)
    ]
    drawn = [(shares, said) for shares, said in zip(shape.shares, titles, strict=True)][:DRAWN]
    empty = [0.0] * (len(shape.edges) - 1)
    picture = upright(shape.edges, [s or empty for s, _ in drawn], [t or [""] * len(empty) for _, t in drawn])
    outside = max(shape.outside, default=0.0)
    peak = figures.share(max((part for side in shape.shares for part in side), default=0.0))
    said = f"{caption}; the highest bar is {peak}" + (
        f"; {figures.share(outside)} lie outside" if outside > 1e-9 else ""
    )
    below = ""
    if line.group is Group.NUMBERS:
        points = [_points(feature) for feature in map(line.same, line.features[:DRAWN])]
        named = [
            f"5 % {', 25 % '.join(map(figures.number, p[:2]))}, median {figures.number(p[2])}, "
            f"75 % {', 95 % '.join(map(figures.number, p[3:]))}"
            if p
            else ""
            for p in points
        ]
        below = strip(shape.edges[0], shape.edges[-1], points, named)
    axis = f'<div class="axis"><span>{escaped(shape.low)}</span><span>{escaped(shape.high)}</span></div>'
    return f"<figure><figcaption>{escaped(said)}</figcaption>{picture}{below}{axis}</figure>"


def _between(line: Line, left: float, right: float) -> str:
    """A bucket in words; of whole numbers and days both ends are in it."""
    whole = line.type in (FeatureType.INT, FeatureType.DATE) and left % 1 == 0.5
    first, last = line.place(left), line.place(right - 1 if whole else right)
    return first if first == last else f"{first} to {last}"


def _points(feature: FeatureStatistics | None) -> list[float]:
    found = [feature.quantile(q) for q in _STRIP] if feature is not None else []
    return [point for point in found if point is not None]


def _values(line: Line, shown: int) -> str:
    """The most frequent values, a bar a side."""
    values = line.values(shown)
    if not values:
        return ""
    sides = line.features[:DRAWN]
    top = max(
        (c / s.values for _, counts in values for c, s in zip(counts, sides, strict=False) if s and s.values), default=0
    )
    rows = []
    for value, counts in values:
        parts = [max(c, 0) / s.values if s and s.values else 0.0 for c, s in zip(counts, sides, strict=False)]
        bars = "".join(
            f'<i class="{colour(n)}" style="--w:{part / top * 100 if top else 0:.1f}"></i>'
            for n, part in enumerate(parts)
        )
        said = " · ".join(
            figures.share(part) if count >= 0 else "rare" for part, count in zip(parts, counts, strict=False)
        )
        pointed = " · ".join(f"{count:,}" if count >= 0 else "not kept" for count in counts[:DRAWN])
        rows.append(
            f'<div class="v">{_quoted(value)}</div><div class="track{" many" if len(sides) > 1 else ""}" '
            f'title="{escaped(pointed)}">{bars}</div><div class="p">{escaped(said)}</div>'
        )
    known = max((f.distinct.count for f in line.here), default=0)
    said = "Values" if known <= len(values) else f"The {len(values)} most frequent values"
    return f'<figure><figcaption>{said}</figcaption><div class="values">{"".join(rows)}</div></figure>'


def _quoted(value: object) -> str:
    """A value as HTML; texts that would not be seen are named."""
    if value == "":
        return '<span class="soft">empty text</span>'
    if isinstance(value, str) and value.isspace():
        return f'<span class="soft">{len(value)} blanks</span>'
    return isolated(figures.value(value, 60))


def _ranks(line: Line) -> str:
    """How frequent the values are, the most frequent one first, each side in its own order."""
    tops = [
        [count for _, count in feature.top(_RANKS)] if feature is not None else [] for feature in line.features[:DRAWN]
    ]
    most = max((len(top) for top in tops), default=0)
    totals = [feature.values if feature is not None else 0 for feature in line.features]
    shares = [
        [count / total if total else 0.0 for count in top] + [0.0] * (most - len(top))
        for top, total in zip(tops, totals, strict=False)
    ]
    titles = [[f"rank {place}: {figures.share(part)}" for place, part in enumerate(side, 1)] for side in shares]
    if most < 2:
        return ""
    picture = upright(list(range(1, most + 2)), shares, titles)
    axis = f'<div class="axis"><span>most frequent</span><span>rank {most}</span></div>'
    return f"<figure><figcaption>How frequent, by rank</figcaption>{picture}{axis}</figure>"


def _more(line: Line, sides: Sequence[Side]) -> str:
    """What is not looked at every time, behind a word that opens it."""
    return _quantiles(line, sides) + _lists(line, sides)


def _quantiles(line: Line, sides: Sequence[Side]) -> str:
    if line.group is not Group.NUMBERS or not any(n is not None and n.count for n in line.numbers):
        return ""
    head = "".join(f'<th class="n" scope="col">{q:.0%}</th>' for q in _QUANTILES)
    rows = []
    for number, (side, feature) in enumerate(zip(sides, map(line.same, line.features), strict=True)):
        name = f'<th class="side {colour(number)}" scope="row">{isolated(side.label)}</th>' if len(sides) > 1 else ""
        found = [feature.quantile(q) if feature is not None else None for q in _QUANTILES]
        rows.append(f"<tr>{name}{''.join(f'<td class=n>{figures.number(point)}</td>' for point in found)}</tr>")
    corner = "<th></th>" if len(sides) > 1 else ""
    return (
        f'<details><summary>Quantiles</summary><div class="scroll"><table><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _lists(line: Line, sides: Sequence[Side]) -> str:
    """How many values the lists hold."""
    found = [feature.valency if feature is not None else None for feature in line.features[:DRAWN]]
    if not any(found):
        return ""
    lengths = sorted({length for valency in found if valency is not None for length in valency.counts})
    rows = "".join(
        f'<tr><th class="n" scope="row">{length:,}</th>'
        + "".join(f'<td class="n">{v.counts.get(length, 0) if v is not None else 0:,}</td>' for v in found)
        + "</tr>"
        for length in lengths[:_RANKS]
    )
    heads = (
        "".join(f'<th class="n">{isolated(side.label)}</th>' for side in sides[:DRAWN])
        if len(sides) > 1
        else '<th class="n">lists</th>'
    )
    rest = f"<p>and {len(lengths) - _RANKS:,} more</p>" if len(lengths) > _RANKS else ""
    return (
        f'<details><summary>Values in a list</summary><div class="scroll"><table style="width:auto"><thead><tr>'
        f'<th class="n">values</th>{heads}</tr></thead><tbody>{rows}</tbody></table>{rest}</div></details>'
    )
