"""How many rows broke which rule, and by which values, from the masks that a check left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from lakehouse.schema import Rule
from lakehouse.validation.rows import VALUE, bit
from lakehouse.validation.rules import RowRule
from lakehouse.validation.statistics import Broken

__all__ = ["count_broken", "sum_broken"]

_EXAMPLES = 5  # values told of a broken rule
_LOOKED_AT = 100_000  # rows among which they are looked for: the memory for it stays bounded


def count_broken(files: Sequence[Path], rules: Sequence[RowRule]) -> list[Broken]:
    """The rules that were broken, with their rows, and the values that broke them most often.

    Args:
        files: Parquet files of `Checked.broken`'s columns.
        rules: what the bits of their masks stand for.
    """
    if not rules or not files:
        return []
    rows = pl.scan_parquet([*files], glob=False)
    found = rows.select(bit(n).sum().alias(str(n)) for n in range(len(rules))).collect(engine="streaming").row(0)
    counts = {n: count for n, count in enumerate(found) if count}
    examples = _examples(rows, [n for n in counts if rules[n].rule is not Rule.PRESENCE], rules)
    return [
        Broken(rules[n].path, rules[n].rule, rules[n].reason, count, examples.get(n, ())) for n, count in counts.items()
    ]


def _examples(
    rows: pl.LazyFrame, broken: Sequence[int], rules: Sequence[RowRule]
) -> dict[int, tuple[tuple[str, int], ...]]:
    """The commonest values among the first rows that break a rule, each with all its rows."""
    known = rows.collect_schema()
    column = {n: name for n in broken if (name := f"{VALUE}{rules[n].column}") in known}
    told = {
        n: rows.filter(bit(n) & pl.col(name).is_not_null()).select(pl.col(name).alias("value"))
        for n, name in column.items()
    }
    first = pl.collect_all([_most(values.head(_LOOKED_AT), _EXAMPLES) for values in told.values()], engine="streaming")
    chosen = dict(zip(told, (frame["value"] for frame in first), strict=True))
    exact = pl.collect_all(
        [_most(values.filter(pl.col("value").is_in(chosen[n].implode())), _EXAMPLES) for n, values in told.items()],
        engine="streaming",
    )
    return {n: tuple(frame.iter_rows()) for n, frame in zip(told, exact, strict=True)}


def _most(values: pl.LazyFrame, number: int) -> pl.LazyFrame:
    return values.group_by("value").len().sort("len", "value", descending=[True, False]).head(number)


def sum_broken(parts: Iterable[Broken]) -> list[Broken]:
    """The same rule's rows of several batches together."""
    found: dict[tuple[str, Rule, str], list[Broken]] = {}
    for part in parts:
        found.setdefault((part.path, part.rule, part.reason), []).append(part)
    result = []
    for (path, rule, reason), same in found.items():
        values: Counter[str] = Counter()
        for part in same:
            values.update(dict(part.examples))
        most = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[:_EXAMPLES]
        result.append(Broken(path, rule, reason, sum(part.rows for part in same), tuple(most)))
    return result
