"""Curation of ``aviation/flights``: the moments of departure, and which flights never left."""

from __future__ import annotations

import polars as pl


def curate(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``scheduled_departure`` and ``actual_departure`` (UTC) and ``cancelled``.

    The files give departures as New York's hhmm, which says neither the day of a flight that left
    after midnight nor which of the two hours when the clocks go back. ``time_hour`` is the scheduled
    hour in UTC, so minutes and delay lead from it to both moments without a time zone.

    Args:
        flights: typed and renamed rows. Each new value depends on its own row alone.
    """
    scheduled = pl.col("time_hour") + pl.duration(minutes=pl.col("sched_dep_time") % 100)
    return flights.with_columns(
        scheduled_departure=scheduled,
        actual_departure=scheduled + pl.duration(minutes=pl.col("departure_delay")),
        cancelled=pl.col("dep_time").is_null(),
    )
