"""Spines: the rows that features are joined to, and what each of them asks of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from lakehouse.errors import ConfigError, NotFoundError, nearest

__all__ = ["MICROSECOND", "TIMES", "asked", "frame", "time_of"]

TIMES = ("event_time", "event_timestamp")
"""What a spine's column of times may be called where it is not said."""

MICROSECOND = timedelta(microseconds=1)

_WORDS = (pl.String, pl.Categorical, pl.Enum)
_FOREVER = timedelta(days=365 * 20_000)  # more than lies between any two times


def frame(spine: Any) -> pl.DataFrame:
    """A spine as a polars frame: a polars DataFrame or LazyFrame, an Arrow table, a pandas DataFrame.

    Raises:
        ConfigError: it is none of these.
    """
    match spine:
        case pl.DataFrame():
            return spine
        case pl.LazyFrame():
            return spine.collect(engine="streaming")
        case _ if hasattr(spine, "__arrow_c_stream__"):  # Arrow's, pandas', and whatever else speaks Arrow
            return pl.DataFrame(spine)
        case _:
            raise ConfigError(
                "a spine is a polars DataFrame or LazyFrame, an Arrow table or a pandas DataFrame, "
                f"not a {type(spine).__name__}"
            )


def time_of(spine: pl.DataFrame, time: str | None) -> str:
    """The spine's column that says at what time each row wants its features.

    Raises:
        NotFoundError: there is no such column; or none was named, and none or two could be meant.
    """
    if time is not None:
        if time not in spine.columns:
            raise NotFoundError(f"the spine has no column '{time}'.{nearest(time, spine.columns)}")
        return time
    found = [name for name in TIMES if name in spine.columns]
    if len(found) == 1:
        return found[0]
    said = f"both {TIMES[0]} and {TIMES[1]}" if found else f"neither {TIMES[0]} nor {TIMES[1]}"
    moments = [name for name, dtype in spine.schema.items() if isinstance(dtype, (pl.Datetime, pl.Date))]
    hint = f" Columns with times: {', '.join(moments)}." if moments else " None of its columns holds times."
    raise NotFoundError(f"the spine has {said}; say which column is its time (time=, or --time).{hint}")


def asked(
    spine: pl.DataFrame,
    keys: Mapping[str, pl.DataType],
    time: str,
    *,
    ttl: timedelta | None = None,
    timezone: str | None = None,
) -> pl.DataFrame:
    """What each row of a spine asks for.

    Args:
        spine: the spine.
        keys: its key columns, each with the type that it is compared in.
        time: its column of times.
        ttl: how old what is found may be; None or zero is any age.
        timezone: the zone of times that carry none; None refuses them.

    Returns:
        A row for each of the spine's: ``key 0``, ``key 1``, … of the types asked for; ``at`` (Int64, microseconds
        since 1970 in UTC), null where nothing can be found: no time, no key at all, or one that the type cannot hold;
        with a ttl ``since`` (likewise): the oldest event time that is taken.

    Raises:
        NotFoundError: it lacks a key.
        ConfigError: a key cannot be compared in that type, times have no zone, or the ttl is negative.
    """
    if ttl is not None and ttl < timedelta():
        raise ConfigError(f"ttl: a value cannot be younger than nothing, as {ttl} says")
    for name in keys:
        if name not in spine.columns:
            raise NotFoundError(f"the spine has no column '{name}', which is a key.{nearest(name, spine.columns)}")
    given = spine.select(*keys)
    made = pl.DataFrame([_comparable(given[name], dtype) for name, dtype in keys.items()])
    at, since = _times(spine[time], None if not ttl or ttl > _FOREVER else ttl, timezone)
    # A key beside one that cannot be compared would pass for one that is missing.
    fit = [pl.Series(given[name].is_null() | made[name].is_not_null()) for name in keys]
    named = [pl.Series(given[name].is_not_null()) for name in keys]
    columns = [one.alias(f"key {number}") for number, one in enumerate(made)]
    if not keys:
        columns, named = [pl.repeat(0, spine.height, dtype=pl.Int8, eager=True).alias("key 0")], [at.is_not_null()]
    able = pl.all_horizontal(at.is_not_null(), *fit) & pl.any_horizontal(*named)
    return pl.DataFrame([*columns, at.alias("at"), *([] if since is None else [since.alias("since")])]).with_columns(
        pl.when(able).then("at").alias("at")
    )


def _comparable(given: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A spine's key in the type of a dataset's; null also where that cannot hold the very value.

    Raises:
        ConfigError: values of the two types are never equal.
    """
    if given.dtype == dtype:
        return given
    if given.dtype != pl.Null and _family(given.dtype) != _family(dtype):
        raise ConfigError(
            f"key '{given.name}' is {given.dtype} in the spine and {dtype} in the dataset; "
            f"cast the spine's: spine.with_columns(pl.col({given.name!r}).cast(pl.{dtype!r}))"
        )
    made = given.cast(dtype, strict=False)
    back = made.cast(given.dtype, strict=False)
    return made.zip_with(back.eq_missing(given), pl.Series([None], dtype=dtype))


def _family(dtype: pl.DataType) -> str:
    """Types of one family hold values that can be equal."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "float"
    if isinstance(dtype, _WORDS):
        return "words"
    if isinstance(dtype, pl.Datetime):
        return "moment" if dtype.time_zone else "wall clock"
    return dtype.base_type().__name__


def _times(given: pl.Series, ttl: timedelta | None, timezone: str | None) -> tuple[pl.Series, pl.Series | None]:
    """A spine's times, and with a ttl the oldest event times they take: both as microseconds since 1970.

    Raises:
        ConfigError: they are no times, have no zone, or one of them is none in its zone.
    """
    if isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone is None:
        given = _zoned(given, timezone)
    elif given.dtype != pl.Null and not isinstance(given.dtype, (pl.Datetime, pl.Date)):
        raise ConfigError(
            f"the spine's time '{given.name}' is {given.dtype}; make it a Datetime with a time zone, or a Date"
        )
    moments = given.cast(pl.Datetime("us", "UTC")) if given.dtype in (pl.Null, pl.Date) else given
    at = moments.dt.epoch("us")  # of nanoseconds the microsecond they are in: event times have no finer ones
    if ttl is None:
        return at, None
    since = at - ttl // MICROSECOND
    if isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_unit == "ns":
        since += (moments.dt.epoch("ns") % 1000 != 0).cast(pl.Int64)  # the next one, as they began after it
    return at, since


def _zoned(given: pl.Series, timezone: str | None) -> pl.Series:
    """Times of a wall clock as moments."""
    if timezone is None:
        raise ConfigError(
            f"the spine's time '{given.name}' has no time zone; give it one: "
            f"spine.with_columns(pl.col({given.name!r}).dt.replace_time_zone('UTC')), or set timezone in lakehouse.yaml"
        )
    made = given.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    if made.null_count() > given.null_count():
        odd = given.filter(made.is_null() & given.is_not_null())[0]
        raise ConfigError(
            f"the spine's time '{given.name}': {odd} is twice or never on a clock in {timezone}, which changes to or "
            "from summer time then; give the times a time zone"
        )
    return made
