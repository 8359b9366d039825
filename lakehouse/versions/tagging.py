"""Tags: a name for versions of several datasets, all as they were visible at one moment. A tag never changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime

from lakehouse import tagged, timeline
from lakehouse.errors import ConfigError, NotFoundError, RecordError
from lakehouse.faults import point
from lakehouse.moments import moment
from lakehouse.records import Artifact, EventType, ExecutionState, Tag, Value, Version, printable
from lakehouse.site import Site
from lakehouse.timeline.runs import ended

__all__ = ["alone", "artifact", "named", "tag", "taken", "visible"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,98}[A-Za-z0-9._-])?", re.ASCII)
_TOLD = 5  # versions of a tag that are named


def tag(
    site: Site,
    name: str,
    datasets: Collection[str] = (),
    *,
    as_of: datetime | str | None = None,
    description: str = "",
) -> Tag:
    """Name the versions of some datasets, or of all that have one, as they were visible at a moment.

    Args:
        site: the opened lake.
        name: letters, digits and ``._-/``.
        datasets: which; () for all that had a version then.
        as_of: the moment; None for now, or where the lake was opened with a lock for the versions it pins.
        description: for people.

    Returns:
        The tag; one that names just these versions already is given back as it is.

    Raises:
        ConfigError: the name cannot be one, or the moment is none.
        NotFoundError: no such dataset, or it had no version yet; no dataset had one.
        RecordError: the name stands for other versions.
    """
    named(name)
    when, versions = visible(site, datasets, as_of)
    numbers = {dataset: version.version for dataset, version in versions.items()}
    with alone(site):
        if found := site.ledger.get_artifacts(type=tagged.TAG, names=[name]):
            before = tagged.tag_of(found[0])
            if before.manifest or before.versions != numbers:
                raise taken(before)
            return before
        made = [f"{v.dataset}@{v.version}" for v in versions.values()]
        inputs = [(a.id, EventType.INPUT) for a in site.ledger.get_artifacts(type="TableVersion", names=made)]
        with site.step("Tag", {"tag": name, "moment": when.isoformat()}, inputs) as execution:
            point("tag.begun")
            new = Tag(name, when, numbers, description, execution)
            site.put(
                execution, "Tag", None, state=ExecutionState.COMPLETE, links=[(artifact(site, new), EventType.OUTPUT)]
            )
        return new


def named(name: str) -> None:
    """Make sure that a name can be a tag's.

    Raises:
        ConfigError: it cannot.
    """
    if not _NAME.fullmatch(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise ConfigError(
            f"'{printable(name)}' cannot be a tag: write up to 100 letters, digits and . _ - /, such as v1 or "
            "report/2026-03; the first is a letter or digit"
        )


def alone(site: Site) -> AbstractContextManager[None]:
    """Nobody else makes a tag meanwhile.

    Raises:
        CommitError: somebody else has been at it for too long.
    """
    return site.storage.lock("tags", "names")


def taken(tag: Tag) -> RecordError:
    """The error of a name that stands for other versions."""
    told = ", ".join(f"{dataset}@{number}" for dataset, number in sorted(tag.versions.items())[:_TOLD])
    more = ", …" if len(tag.versions) > _TOLD else ""
    came = ", imported" if tag.manifest else ""
    return RecordError(
        f"tag '{tag.name}' names other versions already ({told}{more} as of {tag.moment.isoformat()}{came}), and a tag "
        "never changes; take another name",
        "exists",
    )


def artifact(site: Site, new: Tag) -> Artifact:
    """A tag as the ledger keeps it."""
    properties: dict[str, Value] = {
        "versions": json.dumps(dict(sorted(new.versions.items()))),
        "moment": new.moment.isoformat(),
        "execution": new.execution,
        "description": site.config.redact(new.description),
        "manifest": new.manifest,
    }
    return Artifact(tagged.TAG, name=new.name, external_id=f"{tagged.TAG}:{new.name}", properties=properties)


def visible(
    site: Site, datasets: Collection[str] = (), as_of: datetime | str | None = None
) -> tuple[datetime, dict[str, Version]]:
    """The moment, and each dataset's version then, by name.

    Args:
        site: the opened lake.
        datasets: which; () for all that had a version then.
        as_of: the moment; None for now, or for the versions that the lake's lock pins.

    Raises:
        NotFoundError: no such dataset, or it had no version yet; no dataset had one.
        ConfigError: the moment is none.
    """
    wanted = [*dict.fromkeys([datasets] if isinstance(datasets, str) else datasets)]
    if as_of is not None:
        when = moment(as_of, site.config.timezone, "as_of")
        names = wanted or sorted(timeline.newest(site.ledger, site.config.datasets))
        found = _those(names, lambda name: timeline.asked(site, name, as_of=when)[1], every=bool(wanted))
    elif site.pinned is not None:
        found = {name: timeline.asked(site, name)[1] for name in wanted or sorted(site.pinned)}
        when = max(version.committed_at for version in found.values())
    else:
        when = site.clock()
        found = _now(site, wanted)
        # What is visible may be stamped later than the clock, where that was set back.
        ends = ended(site.ledger, {version.run for version in found.values() if version.run is not None})
        when = max([when, *ends.values(), *(version.committed_at for version in found.values())])
    if not found:
        raise NotFoundError(f"no dataset had a version as of {when.isoformat()}; there is nothing to tag")
    return when, found


def _now(site: Site, wanted: Collection[str]) -> dict[str, Version]:
    """The newest versions that stood beside each other at one instant."""
    names = wanted
    if not wanted:
        last = sorted(timeline.newest(site.ledger, site.config.datasets))
        # The first version of some may be part of a run that is under way.
        names = [*_those(last, lambda name: timeline.together(site, [name])[name][1], every=False)]
    return {name: version for name, (_, version) in timeline.together(site, names).items()}


def _those(names: Collection[str], look: Callable[[str], Version], *, every: bool) -> dict[str, Version]:
    """The versions of datasets; those that have none are left out, unless every one is wanted."""
    found = {}
    for name in names:
        try:
            found[name] = look(name)
        except NotFoundError:
            if every:
                raise
    return found
