"""The point-in-time join: to each row of a spine the values that were true of its key at its time. Pure.

Two passes over the rows, neither of which holds them: the first finds how new the newest row is that each key and time
of the spine may see, the second fetches just those rows. No rows are sorted, and the memory is that of the spine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import polars as pl

from lakehouse.errors import ConfigError
from lakehouse.features.spines import asked

__all__ = ["point_in_time"]

_MANY = 16  # times a key has in the spine, above which its rows are not paired with each of them
_TELLING = 2  # columns that tell nearly all rows of the same time apart
_FEW = 64  # values of a key that a scan is asked for one by one


def point_in_time(  # noqa: PLR0913  # by keyword
    spine: pl.DataFrame,
    rows: pl.LazyFrame | pl.DataFrame,
    features: Mapping[str, str] | Sequence[str],
    *,
    keys: Sequence[str],
    time: str,
    event_time: str,
    ttl: timedelta | None = None,
    ties: Sequence[str] = (),
    known_from: str | None = None,
    known_to: str | None = None,
    deleted: pl.Expr | None = None,
    timezone: str | None = None,
) -> pl.DataFrame:
    """Join each row of a spine with the newest row of its key that is not newer than itself.

    That is, of the rows of its key with ``event_time <= time`` and ``event_time >= time - ttl`` the newest; what is
    missing in that row is missing in the result. A row of the spine without a time or without any key gets missing
    values, as does one for which there is no such row.

    Args:
        spine: the rows to find values for.
        rows: where to find them.
        features: the columns of ``rows`` to join; a mapping says what each column of the result is taken from.
        keys: the columns of both that say what a row is of. One that is missing beside another that is not is a value
            like any other. Without keys all rows are of the same.
        time: the spine's column of times: Datetime of any unit and zone, or Date (its midnight, UTC).
        event_time: the column of ``rows`` that says since when each is true: Datetime (ms, us) with a zone, or Date.
        ttl: how old a row may be, in elapsed time; None or zero is any age.
        ties: columns of ``rows``: of rows with the same event time the last in their order counts.
        known_from: a column of ``rows`` like ``event_time``: only rows that were known by the spine's time are seen.
        known_to: likewise: a row is no longer seen from then on; null is never.
        deleted: whether a row says that its key is no more: its values are all missing.
        timezone: the zone of a spine's times that carry none; None refuses them.

    Returns:
        The spine, every row of it as it was and in its order, and the features.

    Raises:
        NotFoundError: the spine lacks a key.
        ConfigError: a key of the spine cannot be compared with that of ``rows``, its times have no zone, or the ttl is
            negative.
    """
    rows = rows.lazy()
    dtypes = rows.collect_schema()
    names = features if isinstance(features, Mapping) else {name: name for name in features}
    own = {name: f"feature {number}" for number, name in enumerate(names)}
    wanted = asked(spine, {name: dtypes[name] for name in keys}, time, ttl=ttl, timezone=timezone)
    slots = wanted.filter(pl.col("at").is_not_null()).unique().with_row_index("slot")
    by = [name for name in wanted.columns if name.startswith("key ")]
    moments = {"time": event_time, "from": known_from, "to": known_to}
    # All under names that no column of anybody's has.
    log = {
        **{key: pl.col(name) for key, name in zip(by, keys, strict=False)},
        **{moment: _epoch(name, dtypes[name]) for moment, name in moments.items() if name is not None},
        **{f"tie {number}": pl.col(name) for number, name in enumerate(ties)},
        **{own[name]: pl.col(column) for name, column in names.items()},
        "deleted": pl.lit(value=False) if deleted is None else deleted.fill_null(value=False),
    }
    if not keys:
        log[by[0]] = pl.lit(0, pl.Int8)
    near = _near(rows, slots, dict(zip(by, keys, strict=False)))
    newest = _newest(_between(near, event_time, slots, "since", "at").select(**log), slots, by)
    then = newest["time"].unique().cast(pl.Datetime("us", "UTC")).cast(dtypes[event_time])
    just = _between(near, event_time, newest, "time", "time").filter(pl.col(event_time).is_in(then.implode()))
    found = _fetched(just.select(**log), slots.join(newest, on="slot"), by)
    columns = (
        wanted.join(slots, on=wanted.columns, how="left", nulls_equal=True, maintain_order="left")
        .join(found, on="slot", how="left", maintain_order="left")
        .select(pl.col(column).alias(name) for name, column in own.items())
    )
    return spine.hstack(columns)


def _epoch(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column of times as microseconds since 1970, UTC.

    Raises:
        ConfigError: its times have no zone, or are finer than that.
    """
    if dtype != pl.Date and not (isinstance(dtype, pl.Datetime) and dtype.time_zone and dtype.time_unit != "ns"):
        raise ConfigError(f"'{name}' is {dtype}; it must be a Datetime in us or ms with a time zone, or a Date")
    return pl.col(name).dt.epoch("us")


def _near(rows: pl.LazyFrame, slots: pl.DataFrame, keys: Mapping[str, str]) -> pl.LazyFrame:
    """Rows of the keys that are asked for, where a scan can tell by statistics which files and row groups hold them."""
    for own, name in keys.items():
        values = slots[own].unique()
        if values.len() <= _FEW and not values.has_nulls():
            rows = rows.filter(pl.col(name).is_in(values.implode()))
    return rows


def _between(rows: pl.LazyFrame, event_time: str, slots: pl.DataFrame, first: str, last: str) -> pl.LazyFrame:
    """Likewise those of the times that are asked for; a few more where event times are days."""
    if slots.is_empty():
        return rows.clear()
    day = rows.collect_schema()[event_time] == pl.Date

    def moment(bound: object) -> pl.Expr:
        made = pl.lit(bound, pl.Int64).cast(pl.Datetime("us", "UTC"))
        return made.dt.date() if day else made

    rows = rows.filter(pl.col(event_time) <= moment(slots[last].max()))
    return rows.filter(pl.col(event_time) >= moment(slots[first].min())) if first in slots.columns else rows


def _newest(log: pl.LazyFrame, slots: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """How new the newest row is that each slot sees: ``slot``, ``time``; without those that see none."""
    times = slots.group_by(by).len()["len"]
    found = _placed(log, slots, by) if (times > _MANY).any() else _paired(log, slots, by)
    return found.select("slot", "time").collect(engine="streaming")


def _paired(log: pl.LazyFrame, slots: pl.DataFrame, by: Sequence[str]) -> pl.LazyFrame:
    """As `_newest`, by holding each row against each slot of its key: the fastest where these are few."""
    pairs = log.join(slots.lazy(), on=by, nulls_equal=_holey(slots, by))
    return pairs.filter(_seen(pairs)).group_by("slot").agg(pl.col("time").max())


def _placed(log: pl.LazyFrame, slots: pl.DataFrame, by: Sequence[str]) -> pl.LazyFrame:
    """As `_newest`, by putting each row to the first slot of its key that sees it; those after that one see it too.

    The place is found by binary search: a key with a million rows and as many slots takes no longer than others. Rows
    that cease to be seen (``to``) are groups of their own, which only slots before that look at.
    """
    names = log.collect_schema().names()
    on, groups = list(by), slots.select(by).unique()
    if "to" in names:
        ending = log.filter(pl.col("to").is_not_null()).join(groups.lazy(), on=by, how="semi", nulls_equal=True)
        ends = ending.select(*by, "to").unique().collect(engine="streaming")
        on, groups = [*by, "to"], pl.concat([groups, ends], how="diagonal")
    groups = groups.with_row_index("group")
    looks = slots.join(groups, on=by, nulls_equal=True)
    if "to" in names:
        looks = looks.filter(pl.col("to").is_null() | (pl.col("at") < pl.col("to")))
    first, last = pl.lit(slots["at"].min(), pl.Int64), pl.lit(slots["at"].max(), pl.Int64)
    # A place behind each group's last takes what comes later than all of them.
    behind = groups.select("group", at=last + 1)
    places = pl.concat([looks.select("group", "at", "slot"), behind], how="diagonal").sort("group", "at")

    def number(at: pl.Expr) -> pl.Expr:
        """A group's time as a number greater than all those of the groups before it, which 64 bits may not hold."""
        return pl.col("group").cast(pl.Int128) * (last - first + 2) + (at.clip(first, last + 1) - first)

    numbers = places.select(number(pl.col("at"))).to_series()
    appears = pl.col("time")
    if "from" in names:
        log = log.filter(pl.col("from").is_not_null())
        appears = pl.max_horizontal("time", "from")
    place = number(appears).map_batches(numbers.search_sorted, return_dtype=pl.get_index_type(), is_elementwise=True)
    equal = "to" in names or _holey(slots, by)
    placed = log.join(groups.lazy(), on=on, nulls_equal=equal).select("time", place=place)
    seen = (
        places.with_row_index("place")
        .lazy()
        .join(placed.group_by("place").agg(pl.col("time").max()), on="place", how="left")
        .sort("place")
        .with_columns(pl.col("time").cum_max().forward_fill().over("group"))
        .group_by("slot")
        .agg(pl.col("time").max())
        .join(slots.lazy(), on="slot")
    )
    return seen.filter(pl.col("time") >= pl.col("since") if "since" in slots.columns else pl.col("time").is_not_null())


def _fetched(log: pl.LazyFrame, slots: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The features of the row that each slot sees, now that its time is known: ``slot``, ``feature 0``, …."""
    names = log.collect_schema().names()
    features = [name for name in names if name.startswith("feature ")]
    ties = [name for name in names if name.startswith("tie ")]
    kept = [pl.when(~pl.col("deleted")).then(pl.col(name)).alias(name) for name in features]

    def last(slots: pl.DataFrame, ties: Sequence[str]) -> pl.DataFrame:
        rows = log.join(slots.lazy(), on=[*by, "time"], nulls_equal=_holey(slots, by))
        rows = rows.filter(_seen(rows))
        alike = pl.all_horizontal(pl.lit(value=True), *(pl.col(tie).eq_missing(pl.col(tie).last()) for tie in ties))
        found = (
            (rows.sort(ties) if ties else rows)
            .group_by("slot")
            .agg(pl.col(*features, "deleted").last(), several=alike.sum() > 1)
        )
        return found.select("slot", *kept, "several").collect(engine="streaming")

    # The first of them nearly always tell; the others cost a tenth of the time, so they are read where they must be.
    found = last(slots, ties[:_TELLING])
    several = found.filter("several")
    if len(ties) > _TELLING and several.height:
        open_ = slots.join(several, on="slot", how="semi")
        found = pl.concat([found.filter(~pl.col("several")), last(open_, ties)])
    return found.drop("several")


def _seen(pairs: pl.LazyFrame) -> pl.Expr:
    """Whether the slot of a pair sees its row."""
    names = pairs.collect_schema().names()
    seen = pl.col("time") <= pl.col("at")
    if "since" in names:
        seen &= pl.col("time") >= pl.col("since")
    if "from" in names:
        seen &= pl.col("from") <= pl.col("at")
    if "to" in names:
        seen &= pl.col("to").is_null() | (pl.col("at") < pl.col("to"))
    return seen


def _holey(slots: pl.DataFrame, by: Sequence[str]) -> bool:
    """Whether a key is missing somewhere: joins that mind that cost more."""
    return any(slots[name].has_nulls() for name in by)
