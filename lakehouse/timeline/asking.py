"""Which version of a dataset a user asks for: by number, by a moment, by a tag, or the newest."""

from __future__ import annotations

import time
from datetime import datetime

import polars as pl

from lakehouse import tables, tagged
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.moments import moment
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import runs
from lakehouse.timeline.past import Timeline, read

__all__ = ["asked", "held"]

_LOOKS, _PAUSE = 20, 0.05  # how often, and how long between (seconds), to look for a version to settle


def asked(
    site: Site,
    name: str,
    version: int | None = None,
    as_of: datetime | str | None = None,
    tag: str | None = None,
) -> tuple[Timeline, Version]:
    """A dataset's past, and the version of it that a user asks for: by number, moment or tag, or the newest.

    What is made in a run of a job is visible to a moment from the run's end on, and to those who name no moment at
    once. Where the lake was opened with a lock, the version that it pins takes the newest one's place.

    Raises:
        NotFoundError: no such dataset, version or tag, or none yet at that moment, or it has not come.
        ConfigError: several of the three, or a moment without a time zone.
    """
    site.config.dataset(name)
    if sum(one is not None for one in (version, as_of, tag)) > 1:
        raise ConfigError("give one of version, as_of and tag")
    if tag is not None:
        version = tagged.version(site, tag, name)
    if as_of is None:
        past = read(site.ledger, name)
        return past, past.at(site.pin(name) if version is None else version)
    when = moment(as_of, site.config.timezone, "as_of")
    runs.settled(site)
    past = _settled(site.ledger, name)
    state = past.at(as_of=when)
    # The future is refused: what is known then would be another answer to the same question.
    if when > max(site.clock(), state.committed_at):
        raise NotFoundError(f"as of {when.isoformat()} nothing is known yet; leave as_of out for the newest state")
    return past, state


def _settled(ledger: Ledger, name: str) -> Timeline:
    """The dataset's past when no version is just becoming visible.

    Such a version is stamped a moment before the ledger shows it, and a moment asked for in between
    would be answered without it now and with it later. One whose process was killed gets its stamp
    when it is carried out, so it need not be waited for any longer.
    """
    past = read(ledger, name)
    for _ in range(_LOOKS):
        if not past.in_flight:
            break
        time.sleep(_PAUSE)
        past = read(ledger, name)
    return past


def held(site: Site, version: Version) -> pl.LazyFrame:
    """What a version's table held then, rows that it leaves out (`Timeline.visible`) and all.

    It is read from the table's newest state, so tidying up what Delta keeps of older ones takes no version away.

    Raises:
        StorageError: the table is gone.
    """
    return tables.until(
        site.storage.path(version.uri), version.execution, width=version.width, version=version.table_version
    )
