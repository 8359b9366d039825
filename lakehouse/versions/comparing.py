"""The rows that two sides of a dataset do not have in common.

Only rows that can differ are compared: those of executions that one side shows and the other does not, and of keyed
datasets the states of the keys that these touch.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import polars as pl

from lakehouse import states, views
from lakehouse.records import Version
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.versions.sides import Side

__all__ = ["Kind", "changes", "compared"]

Kind: TypeAlias = Literal["added", "removed", "changed"]

_SIGN, _NET, _NEW, _OLD = "_sign", "_net", "_new", "_old"  # beside features, whose names never begin so


def compared(one: Side, other: Side) -> dict[Kind, pl.LazyFrame]:
    """The rows that were added, removed and changed from one side to the other; lazily.

    Returns:
        Features and provenance of rows that were added or removed. Where keys name one row each, of those that changed
        the keys, and ``before`` and ``after`` (Struct) with all else.
    """
    before, after = _touched(one, other)
    if before is None or after is None:  # rows came, and none went
        came: Kind = "added" if before is None else "removed"
        frame = before if after is None else after
        return {} if frame is None else {came: frame.drop(*STATES, strict=False)}
    before, after, features = _aligned(before, after)
    net = _net(before, after, features)
    removed, added = _surplus(net, -pl.col(_NET), _OLD, features), _surplus(net, pl.col(_NET), _NEW, features)
    keys = list(other.keys) if one.keys == other.keys and set(other.keys) <= set(features) else []
    if not keys:
        return {"added": added, "removed": removed}
    states_ = one.history != "events" and other.history != "events"
    rest = [name for name in (*features, *PROVENANCE) if name not in keys]
    was, now = (
        (frame if states_ else frame.filter(pl.len().over(keys) == 1)).select(*keys, pl.struct(rest).alias(side))
        for frame, side in ((removed, "before"), (added, "after"))
    )
    changed = was.join(now, on=keys, how="inner", nulls_equal=True)
    both = changed.select(keys)
    return {
        "added": added.join(both, on=keys, how="anti", nulls_equal=True),
        "removed": removed.join(both, on=keys, how="anti", nulls_equal=True),
        "changed": changed,
    }


def changes(changed: pl.LazyFrame) -> list[pl.Expr]:
    """In how many changed rows each column is another."""
    columns = changed.collect_schema()["before"]
    assert isinstance(columns, pl.Struct)  # noqa: S101  # as `compared` makes it
    return [
        pl.col("before").struct.field(name).ne_missing(pl.col("after").struct.field(name)).sum().alias(name)
        for name in (field.name for field in columns.fields)
        if name not in PROVENANCE
    ]


def _touched(one: Side, other: Side) -> tuple[pl.LazyFrame | None, pl.LazyFrame | None]:
    """The rows of both sides that can differ; None for a side that shows none of these."""
    old, new = one.version, other.version
    if old is None or new is None or old.uri != new.uri or one.past is None:
        return one.state, other.state
    if old.execution > new.execution:
        return _between(one.site, one.past, new, old)[::-1]
    return _between(one.site, one.past, old, new)


def _between(site: Site, past: Timeline, old: Version, new: Version) -> tuple[pl.LazyFrame | None, pl.LazyFrame | None]:
    """The rows of an older and of a newer version of one table that can differ."""
    was, now = views.rows(site, past, old), views.rows(site, past, new)
    came = now.filter(pl.col("_execution") > old.execution)
    gone = past.hidden(new, after=old.execution)
    left = past.left_out(was, new, after=old.execution) if any(e <= old.execution for e in gone) else None
    if new.history == "events":
        return left, came
    keys = list(new.keys)
    touched = pl.concat([frame.select(keys) for frame in (came, left) if frame is not None]).unique()
    return (
        states.current(was.join(touched, on=keys, how="semi", nulls_equal=True), keys),
        states.current(now.join(touched, on=keys, how="semi", nulls_equal=True), keys),
    )


def _aligned(before: pl.LazyFrame, after: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame, list[str]]:
    """Both with the same columns, the features of both and the provenance; and the features."""
    one, other = before.collect_schema(), after.collect_schema()
    names = [name for name in dict.fromkeys([*other, *one]) if name not in PROVENANCE and name not in STATES]
    wanted = {name: _common(one.get(name), other.get(name)) for name in names} | PROVENANCE
    return before.select(_as(before, wanted)), after.select(_as(after, wanted)), names


def _as(frame: pl.LazyFrame, wanted: dict[str, pl.DataType]) -> list[pl.Expr]:
    known = frame.collect_schema()
    return [
        pl.lit(None, dtype).alias(name)
        if name not in known
        else pl.col(name)
        if known[name] == dtype
        else pl.col(name).cast(dtype)
        for name, dtype in wanted.items()
    ]


def _common(one: pl.DataType | None, other: pl.DataType | None) -> pl.DataType:
    """The dtype that values of both are compared as: text where there is no better one."""
    if one is None or other is None or one == other:
        found = other if other is not None else one
        assert found is not None  # noqa: S101  # a column of one of the two
        return found
    if one.is_numeric() and other.is_numeric():
        return pl.Float64()
    return pl.String()


def _net(before: pl.LazyFrame, after: pl.LazyFrame, features: list[str]) -> pl.LazyFrame:
    """Distinct rows, how often more (or less) the other side has each, and where each side's came from."""
    rows = pl.concat([before.with_columns(pl.lit(-1).alias(_SIGN)), after.with_columns(pl.lit(1).alias(_SIGN))])
    origin = pl.struct(*PROVENANCE)
    return (
        rows.group_by(features)
        .agg(
            pl.col(_SIGN).sum().alias(_NET),
            origin.filter(pl.col(_SIGN) < 0).alias(_OLD),
            origin.filter(pl.col(_SIGN) > 0).alias(_NEW),
        )
        .filter(pl.col(_NET) != 0)
    )


def _surplus(net: pl.LazyFrame, count: pl.Expr, origin: str, features: list[str]) -> pl.LazyFrame:
    """The rows that one side has more of."""
    return (
        net.filter(count > 0)
        .select(*features, pl.col(origin).list.tail(count))
        .explode(origin)
        .unnest(origin)
        .select(*features, *PROVENANCE)
    )
