"""A dataset's past: its versions, and all that was ever recorded of one key, in both times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from lakehouse import states, timeline
from lakehouse.errors import ConfigError, nearest
from lakehouse.records import Version
from lakehouse.retrieval.reading import keyed, readable
from lakehouse.retrieval.retyping import retyped
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import Site
from lakehouse.timeline import Timeline, runs

__all__ = ["history", "recorded"]

_MOMENT = pl.Datetime("us", "UTC")
_TOLD = ("_change", "_raw", "_row", "_execution")


def history(site: Site, name: str) -> tuple[Version, ...]:
    """Every version of a dataset, oldest first, and since when reads of a moment show it; () before the first.

    Raises:
        NotFoundError: no such dataset.
    """
    site.config.dataset(name)
    past = timeline.read(site.ledger, name)
    under_way = runs.open_now(site.ledger)
    return tuple(
        dataclasses.replace(version, visible_at=None if version.run in under_way else past.moments[version.execution])
        for version in past.versions
    )


def recorded(site: Site, name: str, key: Mapping[str, Any]) -> pl.DataFrame:
    """All that was ever recorded of a key, in both times: what was true when, as the lake knew it when.

    Args:
        site: the opened lake.
        name: a keyed dataset.
        key: a value for each column of the key, or for some of them; None for null. Text stands for a value of any
            type, as the command line gives it.

    Returns:
        The features, then ``valid_from`` and ``valid_to`` (Datetime, us, UTC: since when and until when it was true;
        null while it is), ``recorded_at`` and ``superseded_at`` (since when and until when the lake had it so; null
        while it has), ``_change``, ``_raw``, ``_row`` and ``_execution``. For every ``as_of`` and ``valid_at`` at
        most one row of a key has both within its bounds, the later ones excluded: what such a read gives. A
        ``delete`` says that there was none. In the order in which it was recorded, then of ``valid_from``. An older
        value of a feature whose type changed since is read as the new type, null where it is none; what was recorded
        under other keys, or keys of other types, is left out.

    Raises:
        NotFoundError: no such dataset, or it has no version.
        ConfigError: its rows are events, or a column is none of the key's, or a value does not fit.
    """
    past, last = timeline.asked(site, name)
    keyed(last, "history of a key")
    runs.settled(site)
    newest = {version.uri: version for version in past.versions}  # of each table
    like = [v for v in newest.values() if (v.history, v.keys) == (last.history, last.keys)]
    with readable(name):
        held = {version: timeline.held(site, version) for version in like}
        dtypes = held[newest[last.uri]].collect_schema()
        same = {v: rows for v, rows in held.items() if all(rows.collect_schema()[k] == dtypes[k] for k in last.keys)}
        rows = pl.concat(
            [retyped(_of_key(frame, version, key), dtypes) for version, frame in same.items()], how="diagonal"
        ).collect(engine="streaming")
    return _in_both_times(rows, past, last.keys)


def _of_key(frame: pl.LazyFrame, version: Version, key: Mapping[str, Any]) -> pl.LazyFrame:
    """A key's rows, as far as it is given."""
    schema = frame.collect_schema()
    for column, value in key.items():
        if column not in version.keys:
            raise ConfigError(
                f"'{column}' is no column of the key of '{version.dataset}' ({', '.join(version.keys)})."
                f"{nearest(column, version.keys)}"
            )
        try:
            wanted = _typed(value, schema[column])
        except (pl.exceptions.PolarsError, ValueError, KeyError) as error:
            raise ConfigError(f"'{value}' is no value of '{column}', which is {schema[column]}") from error
        frame = frame.filter(pl.col(column).eq_missing(pl.lit(wanted, schema[column])))
    return frame


def _typed(value: Any, dtype: pl.DataType) -> Any:
    """A value of a column, out of itself or its text."""
    series = pl.Series([value])
    if isinstance(value, str):
        match dtype:
            case pl.Datetime():
                return series.str.to_datetime(time_unit=dtype.time_unit, time_zone=dtype.time_zone).item()
            case pl.Date():
                return series.str.to_date().item()
            case pl.Boolean():
                return {"true": True, "false": False}[value.lower()]
    return series.cast(dtype).item()


def _in_both_times(rows: pl.DataFrame, past: Timeline, keys: Sequence[str]) -> pl.DataFrame:
    """The states as they were at each moment at which more became known, each for as long as it stayed the same."""
    rows = _known(rows, past)
    moments = sorted({*rows["_known"], *rows["_until"].drop_nulls()})
    steps = pl.DataFrame(
        {"recorded_at": moments, "superseded_at": [*moments[1:], None][: len(moments)], "_step": range(len(moments))},
        schema={"recorded_at": _MOMENT, "superseded_at": _MOMENT, "_step": pl.Int64},
    )
    counting = (pl.col("_known") <= pl.col("recorded_at")) & (
        pl.col("_until").is_null() | (pl.col("_until") > pl.col("recorded_at"))
    )
    each = rows.join(steps, how="cross").filter(counting)
    shown = states.spans(each.lazy(), ["_step", *keys]).collect()
    same = ["_execution", "_position", "valid_to"]
    columns = [name for name in rows.columns if name not in {*PROVENANCE, *STATES, "_known", "_until"}]
    return (
        # One that went and came again is two.
        shown.sort("_step")
        .with_columns((pl.col("_step") - pl.int_range(pl.len()).over(same)).alias("_stretch"))
        .group_by(*same, "_stretch")
        .agg(pl.exclude("superseded_at").first(), pl.col("superseded_at").last())
        .sort("recorded_at", "valid_from", *keys)
        .select(*columns, "valid_from", "valid_to", "recorded_at", "superseded_at", *_TOLD)
    )


def _known(rows: pl.DataFrame, past: Timeline) -> pl.DataFrame:
    """The rows with ``_known`` and ``_until``: since when they count, and until when; null for those that do still."""
    ends = pl.DataFrame(
        [
            (old, raw, past.moments[execution.id])
            for execution in past.superseding()
            if execution.id in past.moments
            for old, raws in timeline.superseded(execution).items()
            for raw in (raws if raws is not None else [None])
        ],
        schema={"_execution": pl.Int64, "_raw": pl.String, "_until": _MOMENT},
        orient="row",
    )
    known = pl.DataFrame(list(past.moments.items()), schema={"_execution": pl.Int64, "_known": _MOMENT}, orient="row")
    whole = ends.filter(pl.col("_raw").is_null()).group_by("_execution").agg(pl.col("_until").min().alias("_whole"))
    return (
        rows.join(known, on="_execution")
        .join(ends.group_by("_execution", "_raw").agg(pl.col("_until").min()), on=["_execution", "_raw"], how="left")
        .join(whole, on="_execution", how="left")
        .with_columns(pl.min_horizontal("_until", "_whole").alias("_until"))
        .drop("_whole")
    )
