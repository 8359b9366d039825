"""Lineage: what versions, raw files, steps and models came of, and what came of them.

Read from the ledger alone, in a few bulk queries a level; no table and no raw file is opened.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Literal, NamedTuple

from lakehouse import references
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.lineage import nodes
from lakehouse.lineage.causes import Causes, FileChange, Step, causes
from lakehouse.lineage.columns import of_column
from lakehouse.lineage.gathering import Bounds, Gathering
from lakehouse.lineage.graph import Cut, Edge, Lineage, Node, Way
from lakehouse.lineage.impact import Impact, Made, Rejected, Shown
from lakehouse.lineage.personal import Holding, Personal, personal
from lakehouse.lineage.walking import Downwards, Upwards
from lakehouse.moments import moment
from lakehouse.records import Artifact, Execution, TypeKind, printable
from lakehouse.site import Site

__all__ = [
    "Causes",
    "Cut",
    "Direction",
    "Edge",
    "FileChange",
    "Holding",
    "Impact",
    "Lineage",
    "Made",
    "Node",
    "Personal",
    "Rejected",
    "Shown",
    "Step",
    "causes",
    "lineage",
    "personal",
]

Direction = Literal["up", "down", "both"]


def lineage(  # noqa: PLR0913  # bounds, by keyword only
    site: Site,
    what: str | int,
    *,
    column: str | None = None,
    direction: Direction = "both",
    hops: int | None = None,
    types: Collection[str] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    limit: int | None = None,
) -> Lineage:
    """Where something came from and what became of it, as `Lake.lineage` says.

    Raises:
        NotFoundError: there is no such thing, or several that are meant; lists them.
        ConfigError: a bound is none.
    """
    bounds = Bounds(
        _at_least(hops, 0, "hops"),
        None if types is None else _kinds(site, types),
        None if since is None else moment(since, site.config.timezone, "since"),
        None if until is None else moment(until, site.config.timezone, "until"),
        _at_least(limit, 1, "limit"),
    )
    if direction not in ("up", "down", "both"):
        raise ConfigError(f"direction: '{direction}' is none; write 'up', 'down' or 'both'")
    gathering = Gathering(site.ledger, bounds)
    if column is not None:
        ways: Collection[Way] = ("up", "down") if direction == "both" else (direction,)
        return of_column(site, gathering, what, column, ways)
    asked = _asked(site, gathering, what, direction)
    if direction != "down":
        Upwards(gathering).follow(asked.artifacts, asked.executions)
    if direction != "up":
        Downwards(gathering).follow([*asked.artifacts, *asked.older], asked.executions)
    named = [gathering.of_artifact[artifact.id] for artifact in (*asked.artifacts, *asked.older)]
    found = gathering.lineage([*named, *(f"execution:{execution.id}" for execution in asked.executions)])
    return found if direction == "both" else found.upstream() if direction == "up" else found.downstream()


class _Asked(NamedTuple):
    """What was asked about; ``older`` versions of a dataset are followed downstream only."""

    artifacts: list[Artifact]
    executions: list[Execution]
    older: list[Artifact]


def _asked(site: Site, gathering: Gathering, what: str | int, direction: Direction) -> _Asked:
    reference = references.parse(what)
    try:
        if reference.kind == "execution":
            execution = references.execution(site, reference)
            gathering.add_executions([execution])
            return _Asked([], [execution], [])
        artifacts = list(references.artifacts(site, reference))
    except NotFoundError:
        gone = _deleted(gathering, reference)
        if gone.artifacts or gone.executions:
            return gone
        raise
    older: list[Artifact] = []
    if reference.kind == "dataset" and reference.number is None and direction != "up":
        older = _older(gathering, reference.name, str(artifacts[0].name))
    gathering.add_artifacts([*artifacts, *older])
    return _Asked(artifacts, [], older)


def _older(gathering: Gathering, dataset: str, newest: str) -> list[Artifact]:
    """The versions of a dataset, beside the newest, that steps read; the newest of them first."""
    read = [number for number in gathering.past(dataset).read_by_others if f"{dataset}@{number}" != newest]
    names = [f"{dataset}@{number}" for number in gathering.few(newest, "down", "TableVersion", read[::-1])]
    return gathering.ledger.get_artifacts(type="TableVersion", names=names)[::-1] if names else []


def _deleted(gathering: Gathering, reference: references.Reference) -> _Asked:
    """What is left of the deleted record that was asked about."""
    if reference.kind == "execution":
        return _Asked([], gathering.deleted_executions([reference.number or 0]), [])
    ids = [reference.number or 0] if reference.kind == "artifact" else []
    if reference.kind == "named":
        name = str(reference).partition(":")[2]
        gone = gathering.ledger.tombstones(kind=TypeKind.ARTIFACT)
        ids = [one.id for one in gone if (one.type, one.name) == (reference.type, name)]
    return _Asked(gathering.deleted_artifacts(ids), [], [])


def _kinds(site: Site, types: Collection[str]) -> frozenset[str]:
    """The kinds of nodes to show.

    Raises:
        ConfigError: there never was such a kind; suggests one.
    """
    known = {*nodes.KINDS, *site.ledger.type_names()}
    for kind in types:
        if kind not in known:
            raise ConfigError(f"types: there is no kind '{printable(kind)}'.{nearest(kind, known)}")
    return frozenset(types)


def _at_least(number: int | None, least: int, name: str) -> int | None:
    if number is not None and number < least:
        raise ConfigError(f"{name}: {number} is too small; it is {least} or more")
    return number
