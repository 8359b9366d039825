"""The newest versions of several datasets, all as they were at one instant."""

from __future__ import annotations

import time
from collections.abc import Iterable

from lakehouse.errors import CommitError, NotFoundError
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import runs
from lakehouse.timeline.past import Timeline, read

__all__ = ["together"]

_LOOKS, _PAUSE = 40, 0.05  # how often, and how long between (seconds), to look until nothing changed meanwhile


def together(site: Site, names: Iterable[str]) -> dict[str, tuple[Timeline, Version]]:
    """The newest version of each of some datasets, so that all of them stood beside each other at one instant.

    What another run of a job has made shows when that run has ended, all of it together; what this run has made shows
    at once.

    Raises:
        NotFoundError: no such dataset, or it has no version yet.
        CommitError: they changed again and again while they were looked at.
    """
    wanted = list(dict.fromkeys(names))
    runs.settled(site)
    found = _newest(site, wanted)
    for _ in range(_LOOKS):
        # Looked at twice with the same answer: then it was the answer all the time between.
        before, found = found, _newest(site, wanted)
        if [version for _, version in before.values()] == [version for _, version in found.values()]:
            return found
        time.sleep(_PAUSE)
    raise CommitError(f"{', '.join(wanted)} change too often to be read together; try again when less is under way")


def _newest(site: Site, names: Iterable[str]) -> dict[str, tuple[Timeline, Version]]:
    others = runs.open_now(site.ledger) - {site.run}
    found = {}
    for name in names:
        site.config.dataset(name)
        past = read(site.ledger, name)
        found[name] = past, _shown(past, past.at(), others, site.run)
    return found


def _shown(past: Timeline, last: Version, others: Iterable[int], own: int | None) -> Version:
    """The newest version that none of the other runs under way has a part in."""
    first = min((v for run in others for v in past.made_in(run)), key=lambda v: v.version, default=None)
    if first is None or (own is not None and past.made_in(own)):
        return last  # a version shows the rows of all before it: so what this run made shows theirs too
    before = past.before(first.execution)
    if before is None:
        raise NotFoundError(
            f"dataset '{past.dataset}' has no version yet: its first, {first.version}, was made in a run of a job that "
            "is under way, and is visible from the run's end on"
        )
    return before
