"""Statistics as tables, a line a feature and side, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from lakehouse.cli import output
from lakehouse.cli.histogram import drawn, speaks_blocks, spelled
from lakehouse.cli.output import Marked
from lakehouse.evolution import figures
from lakehouse.evolution.sides import Group, Line, Side, measured
from lakehouse.validation.statistics import FeatureStatistics

__all__ = ["plain", "tell"]

_VALUES = 10  # most frequent values that JSON holds
_NAMED = 3  # the same in a table
_BARS = 10
_LONGEST = 24  # characters of a value in a table
_CHANGED = "bold yellow"
_MUCH = 0.2  # a share of missing values from which on it is told loudly
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_APART = ("infinity_norm", "jensen_shannon")
_SPARE = (
    *("most frequent", "zeros", "longest gap", "length", "by rank", "type", "distinct", "mean", "min", "max"),
    *("infinity_norm", "histogram"),
)
"""Headings of the columns that a narrow terminal does without, the first ones first."""


def tell(sides: Sequence[Side], found: Sequence[Line]) -> None:
    """Tables on stdout, one a group of features that are told in the same figures."""
    for group in Group:
        lines = [line for line in found if line.group is group]
        if not lines:
            continue
        columns = _COLUMNS[group]
        apart = _APART if len(sides) == 2 and group is Group.TEXT else _APART[1:] if len(sides) == 2 else ()
        heads = ["feature", *(["of"] if len(sides) > 1 else []), *columns, *apart]
        click.echo()
        spare = [name for name in _SPARE if group is not Group.TEXT or name != "most frequent"]
        output.table(
            heads,
            [row for line in lines for row in _rows(line, sides, columns, apart)],
            right=[name for name in heads if name in _NUMBERS],
            spare=spare,
        )


def _rows(line: Line, sides: Sequence[Side], columns: Sequence[str], apart: Sequence[str]) -> list[list[object]]:
    """A row a side; the feature's name stands in the first one."""
    blocks, far = speaks_blocks(), measured(line) if apart else {}
    rows: list[list[object]] = []
    for number, side in enumerate(sides):
        cells = [_FIGURES[name](line, number) for name in columns] if line.features[number] else ["not there"]
        cells += [""] * (len(columns) - len(cells))
        if len(sides) == 2 and number:
            changed = line.changed(number)
            cells = [
                Marked(cell, _CHANGED) if name in changed else cell for name, cell in zip(columns, cells, strict=True)
            ]
        row: list[object] = [figures.value(line.path, 60) if number == 0 else ""]
        row += [figures.value(side.label, 40)] if len(sides) > 1 else []
        row += cells
        row += [figures.distance(far.get(name)) if number == 0 else "" for name in apart]
        rows.append(row if blocks else [_plainly(cell) for cell in row])
    return rows


def _plainly(cell: object) -> object:
    return Marked(spelled(cell), cell.style) if isinstance(cell, Marked) else spelled(str(cell))


def _missing(line: Line, number: int) -> str:
    part = _of(line, number).missing_fraction
    return figures.share(part) if part == 0 else Marked(figures.share(part), "red" if part >= _MUCH else "yellow")


def _of(line: Line, number: int) -> FeatureStatistics:
    feature = line.features[number]
    assert feature is not None  # noqa: S101  # looked at before
    return feature


def _type(line: Line, number: int) -> str:
    feature = _of(line, number)
    said = "-" if feature.type is None else feature.type.value
    return f"list[{said}]" if feature.repeated else said


def _distinct(line: Line, number: int) -> str:
    found = _of(line, number).distinct
    if found.exact:
        return f"{found.count:,}"
    return f"≈{found.count:,} ±{found.error:.1%}" if found.count else figures.NONE


def _number(name: str) -> Callable[[Line, int], str]:
    def told(line: Line, number: int) -> str:
        found = line.numbers[number]
        return "" if found is None else figures.number(getattr(found, name))

    return told


def _median(line: Line, number: int) -> str:
    found = line.numbers[number]
    return "" if found is None else f"{'≈' if found.error else ''}{figures.number(found.median)}"


def _zeros(line: Line, number: int) -> str:
    found = line.numbers[number]
    return figures.share(found.zeros / found.count) if found is not None and found.count else ""


def _moment(name: str) -> Callable[[Line, int], str]:
    def told(line: Line, number: int) -> str:
        found = line.moments[number]
        return "" if found is None else figures.value(getattr(found, name))

    return told


def _gap(line: Line, number: int) -> str:
    found = line.moments[number]
    return "" if found is None or found.gap is None else output.count(found.gap.days, "day")


def _length(line: Line, number: int) -> str:
    feature = line.same(line.features[number])
    if feature is None or (found := feature.lengths) is None:
        return ""
    return f"{found.min:,}" if found.min == found.max else f"{found.min:,}-{found.max:,}"


def _histogram(line: Line, number: int) -> str:
    """The bars; between ellipses where the tails are left out."""
    middle = line.middle(_BARS)
    shape = middle or line.shape(_BARS)
    if shape is None or not shape.shares[number]:
        return ""
    bars = drawn(shape.shares[number], blocks=speaks_blocks())
    return f"…{bars}…" if middle is not None else bars


def _by_rank(line: Line, number: int) -> str:
    feature = line.same(line.features[number])
    return "" if feature is None else drawn([count for _, count in feature.top(_BARS)], blocks=speaks_blocks())


def _frequent(line: Line, number: int) -> str:
    if line.personal:
        return "withheld: personal"
    feature = line.same(line.features[number])
    if feature is None or not feature.values:
        return ""
    return ", ".join(
        f"{figures.value(value, _LONGEST) or repr(value)} {figures.share(count / feature.values)}"
        for value, count in feature.top(_NAMED)
    )


_FIGURES: dict[str, Callable[[Line, int], str]] = {
    "type": _type,
    "missing": _missing,
    "distinct": _distinct,
    "min": _number("min"),
    "mean": _number("mean"),
    "median": _median,
    "max": _number("max"),
    "zeros": _zeros,
    "first": _moment("min"),
    "last": _moment("max"),
    "longest gap": _gap,
    "length": _length,
    "histogram": _histogram,
    "by rank": _by_rank,
    "most frequent": _frequent,
    "rows with it": lambda line, number: f"{_of(line, number).count:,}",
}
_NUMBERS = frozenset({"missing", "distinct", "min", "mean", "median", "max", "zeros", "rows with it", *_APART})
_COLUMNS = {
    Group.NUMBERS: (
        *("type", "missing", "distinct", "min", "mean", "median", "max", "zeros", "histogram", "most frequent"),
    ),
    Group.TEXT: ("type", "missing", "distinct", "length", "by rank", "most frequent"),
    Group.MOMENTS: ("type", "missing", "distinct", "first", "last", "longest gap", "histogram"),
    Group.OTHERS: ("type", "missing", "rows with it"),
}


def plain(dataset: str, sides: Sequence[Side], found: Sequence[Line]) -> dict[str, Any]:
    """The same as JSON's own types: sides in order, and for each its features by path."""
    return {
        "dataset": dataset,
        "sides": [
            {
                "label": side.label,
                "rows": side.statistics.rows,
                "features": {
                    line.path: _feature(feature, personal=line.personal)
                    for line in found
                    if (feature := line.features[number]) is not None
                },
            }
            for number, side in enumerate(sides)
        ],
        "apart": {line.path: measured(line) for line in found} if len(sides) == 2 else {},
    }


def _feature(feature: FeatureStatistics, *, personal: bool) -> dict[str, Any]:
    """One feature's figures; of a personal one only how much there is of it."""
    told: dict[str, Any] = {
        "type": feature.type,
        "repeated": feature.repeated,
        "personal": personal,
        "rows": feature.rows,
        "count": feature.count,
        "missing": feature.missing,
        "missing_fraction": feature.missing_fraction,
        "values": feature.values,
        "distinct": feature.distinct,
        "valency": feature.valency,
    }
    if not personal:
        quantiles = {f"{q:g}": feature.quantile(q) for q in _QUANTILES} if feature.numbers is not None else None
        told |= {
            "complete": feature.complete,
            "top": [[_finite(value), count] for value, count in feature.top(_VALUES)],
            "numbers": feature.numbers,
            "quantiles": quantiles,
            "histogram": feature.histogram(_BARS),
            "lengths": feature.lengths,
            "moments": feature.moments,
        }
    return {key: found for key, found in told.items() if found is not None}


def _finite(value: Any) -> Any:
    """A value as JSON has it: what is no finite number is a word there."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
