"""What changed between two states of a dataset: rows inserted, updated and deleted, as a change feed tells them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from lakehouse import states, timeline, views
from lakehouse.errors import ConfigError
from lakehouse.records import Version
from lakehouse.retrieval.retyping import retyped
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["State", "changes"]

State = int | datetime | str
"""A state of a dataset: a version's number, a moment (as text too), or ``tag:NAME``."""

_TAG = "tag:"


def changes(site: Site, name: str, since: State | None = None, until: State | None = None) -> pl.LazyFrame:
    """What changed in a dataset between two of its states; lazy.

    Args:
        site: the opened lake.
        name: the dataset.
        since: the older state; None for nothing at all, so that every row is inserted.
        until: the newer one; None for the newest.

    Returns:
        ``_change`` (String: ``insert``, ``update`` or ``delete``), then the columns of the newer state. Of a keyed
        dataset one row a key whose features differ, whatever happened in between; a deleted key as it was before.
        Of events the rows that came, and as deletes the rows that count no longer, because their raw file was
        replaced or curated again. An older value of a feature whose type changed in between is read as the new type,
        null where it is none.

    Raises:
        NotFoundError: no such dataset or state.
        ConfigError: the older state is the newer one, or the keys or their types changed in between.
    """
    past, new = _asked(site, name, until)
    frame = views.rows(site, past, new)
    if since is None:
        shown = frame if new.history == "events" else states.current(frame, new.keys)
        return _told(shown, "insert")
    _, old = _asked(site, name, since)
    if old.version > new.version:
        raise ConfigError(
            f"since is version {old.version} of '{name}' and until version {new.version}, which is older; swap them"
        )
    if (old.history == "events") != (new.history == "events") or old.keys != new.keys:
        raise ConfigError(
            f"'{name}' was {_kind(old)} at version {old.version} and is {_kind(new)} at version {new.version}: rows "
            "cannot be compared by key across that change. Ask for the changes since a version after it"
        )
    came = frame.filter(pl.col("_execution") > old.execution)
    before = views.rows(site, past, old)
    then, today = before.collect_schema(), frame.collect_schema()
    for key in new.keys:
        if then[key] != today[key]:
            raise ConfigError(
                f"the key '{key}' of '{name}' was {then[key]} at version {old.version} and is {today[key]} at version "
                f"{new.version}: rows cannot be compared by key across that change. Ask for the changes since a "
                "version after it"
            )
    before = retyped(before, today)
    went = past.left_out(before, new, after=old.execution)
    if new.history == "events":
        return pl.concat([_told(came, "insert"), _told(went, states.DELETE)], how="diagonal")
    keys = list(new.keys)
    touched = pl.concat([came.select(keys), went.select(keys)]).unique()
    was, now = (
        states.current(rows.join(touched, on=keys, how="semi", nulls_equal=True), keys) for rows in (before, frame)
    )
    features = [column for column in (*today, *then) if column not in PROVENANCE and column not in STATES]
    return states.compared(was, now, keys, features).drop("_position")


def _asked(site: Site, name: str, state: State | None) -> tuple[Timeline, Version]:
    if isinstance(state, str) and state.startswith(_TAG):
        return timeline.asked(site, name, tag=state.removeprefix(_TAG))
    if isinstance(state, str) and state.isdecimal():
        return timeline.asked(site, name, version=int(state))
    if isinstance(state, int):
        return timeline.asked(site, name, version=state)
    return timeline.asked(site, name, as_of=state)


def _told(rows: pl.LazyFrame, change: str) -> pl.LazyFrame:
    names = [name for name in rows.collect_schema() if name not in {"_change", "_position"}]
    return rows.select(pl.lit(change).alias("_change"), *names)


def _kind(version: Version) -> str:
    return f"{version.history} by {', '.join(version.keys)}" if version.history != "events" else "events"
