"""A dataset's rows as they were visible at a version, moment or tag, and what they said was true when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from lakehouse import states, tagged, timeline, views
from lakehouse.errors import ConfigError
from lakehouse.moments import moment
from lakehouse.records import Version
from lakehouse.retrieval import forms
from lakehouse.retrieval.forms import Into
from lakehouse.site import Site
from lakehouse.views import Files, readable

__all__ = ["files", "keyed", "read", "readable", "scan"]


def scan(  # noqa: PLR0913  # one name a question
    site: Site,
    name: str,
    *,
    version: int | None = None,
    as_of: datetime | str | None = None,
    valid_at: datetime | str | None = None,
    tag: str | None = None,
    history: bool = False,
) -> pl.LazyFrame:
    """What a dataset said at a version, moment or tag, or says now; lazy.

    Args:
        site: the opened lake.
        name: the dataset.
        version: as it was at this version.
        as_of: as the lake knew it at this moment.
        valid_at: of a keyed dataset, what was true at this moment, one row a key.
        tag: as it was at this tag.
        history: of a keyed dataset, every state of every key, with ``valid_from`` and ``valid_to``.

    Returns:
        Of ``events`` every row; of ``changes`` and ``snapshots`` one row a key, its newest state. The table's columns:
        the features it was made with, ``_raw``, ``_row``, ``_execution``, ``_recorded_at``, of a keyed dataset
        ``_change`` and ``_valid_from``, then features that came later.

    Raises:
        NotFoundError: no such dataset, version or tag, or none yet at that moment, or it has not come.
        ConfigError: questions that exclude each other, or that cannot be asked of such a dataset, or a moment without
            a time zone.
    """
    if valid_at is not None and history:
        raise ConfigError("valid_at asks for one moment, history for all of them; give one of the two")
    alone = tag is not None and version is None and as_of is None
    if tag is not None and alone and (rows := tagged.imported(site, tag, name)) is not None:
        if valid_at is not None or history:
            raise ConfigError(f"tag '{tag}' was imported: it holds the state of '{name}' and not its past")
        return rows
    past, state = timeline.asked(site, name, version, as_of, tag)
    if history:
        keyed(state, "history")
        return _shown(states.history(views.rows(site, past, state), state.keys))
    if valid_at is None:
        return _shown(views.state(site, past, state))
    keyed(state, "valid_at")
    when = moment(valid_at, site.config.timezone, "valid_at")
    return _shown(views.state(site, past, state, valid_at=when))


def read(site: Site, name: str, *, into: Into = "polars", **which: Any) -> Any:
    """As `scan`, collected.

    Args:
        site: the opened lake.
        name: the dataset.
        into: a polars DataFrame, a pyarrow Table, a pandas DataFrame (of Arrow's types, so that no value changes), or a
            DuckDB relation.
        which: as for `scan`.

    Raises:
        StorageError: a part of the table is gone or damaged.
        ConfigError: the package for the form is not installed; as `scan` otherwise.
    """
    made = forms.of(into)
    frame = scan(site, name, **which)
    with readable(name):
        return made(frame.collect(engine="streaming"))


def keyed(version: Version, asked: str) -> None:
    """Make sure that a question about states is asked of a dataset that has them.

    Raises:
        ConfigError: its rows are events; says what to do.
    """
    if version.history == "events":
        raise ConfigError(
            f"{asked}: the rows of '{version.dataset}' are events, which stay true, and no states that take each "
            "other's place. Filter them by their time; or, where a row is a new state of its keys, set `history: "
            f"changes` and `keys` and run `lakehouse curate {version.dataset} --again`"
        )


def files(
    site: Site,
    name: str,
    *,
    version: int | None = None,
    as_of: datetime | str | None = None,
    tag: str | None = None,
) -> Files | None:
    """What is opened to read a dataset as it was; None for an imported tag, which is of no version.

    Raises:
        NotFoundError: as `scan`.
        ConfigError: as `scan`.
    """
    if tag is not None and tagged.imported(site, tag, name) is not None:
        return None
    return views.files(site, *timeline.asked(site, name, version, as_of, tag))


def _shown(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Without what only orders rows of the same moment."""
    return frame.drop("_position", strict=False)
