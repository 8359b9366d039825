"""Publishing: the newest values of each key of a feature set, written to the online store.

What the store holds says of itself which versions it is of, so that what is missing since is found without the ledger,
and a store that was lost, or brought back older, is brought up to date like any other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse import timeline
from lakehouse.config import FeatureSet
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.faults import point
from lakehouse.features.choosing import Chosen, chosen, entity_keys
from lakehouse.features.newest import Facts
from lakehouse.online import Publication, Store, Table
from lakehouse.records import Artifact, Context, EventType, ExecutionState, Value
from lakehouse.site import INTERRUPTED, Site

__all__ = ["KIND", "MOMENT", "Published", "publish"]

KIND = "FeatureSet"
"""The context that publications of a feature set belong to."""

MOMENT = ""
"""The feature, in a table's column ``dataset:feature``, that stands for since when a dataset's values are true."""

_PIECE = 100_000  # rows given to the store at once
_MOST, _FEW = 0.3, 10_000  # share of the keys above which all are written anew, where there are more than a few
_WAIT = 60.0  # seconds for another publisher of the same set


@dataclass(frozen=True, slots=True)
class Published:
    """What one ``publish`` did.

    Attributes:
        feature_set: its name.
        execution: 0 when the store was up to date.
        versions: the version of each dataset that the store is of now.
        keys: how many keys were written; ``removed`` had no values any more.
        full: whether all keys were written anew, and why: "" for those alone that were touched.
        total: keys in the store.
        published_at: of what moment the values are.
    """

    feature_set: str
    execution: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    keys: int = 0
    removed: int = 0
    full: str = ""
    total: int = 0
    published_at: datetime | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A dataset of a set."""

    facts: Facts
    features: tuple[str, ...]
    due: datetime | None

    @property
    def dataset(self) -> str:
        return self.facts.version.dataset

    def columns(self) -> list[pl.Expr]:
        """The dataset's columns of the wide row."""
        moment = pl.col(self.facts.moment).alias(f"{self.dataset}:{MOMENT}")
        return [moment, *(pl.col(name).alias(f"{self.dataset}:{name}") for name in self.features)]

    def said(self) -> dict[str, Any]:
        """What the store keeps of it."""
        facts = self.facts
        return {
            "version": facts.version.version,
            "execution": facts.version.execution,
            "committed_at": facts.version.committed_at.isoformat(),
            "uri": facts.version.uri,
            "history": facts.version.history,
            "keys": list(facts.keys),
            "event_time": facts.event_time,
            "features": list(self.features),
            "due": None if self.due is None else self.due.isoformat(),
        }


_SAME = ("uri", "history", "keys", "event_time", "features")
"""What must be as it was for the touched keys to be enough."""


def publish(site: Site, store: Store, name: str, *, again: bool = False) -> Published:
    """Bring the online store up to date with a feature set's newest values.

    Args:
        site: the opened lake.
        store: the online store.
        name: the feature set.
        again: write all keys anew, whatever the store holds.

    Raises:
        NotFoundError: no such feature set, or a dataset of it has no version yet.
        CommitError: another publisher is at it; nothing was changed.
        ConfigError: the store holds a set of that name of another lake.
        StorageError: the store refused; it holds what it held.
    """
    begun = time.monotonic()
    feature_set = site.config.feature_set(name)
    wanted = chosen(site.config, feature_set)
    with site.storage.lock("publish", name, wait=_WAIT):
        held = store.publication(name)
        _settle(site, store, name, held)
        if held is not None and held.facts["lake"] != _lake(site):
            raise ConfigError(
                f"the online store holds '{name}' of another lake; give this one a store of its own in lakehouse.yaml: "
                "online: redis://…?prefix=NAME, or another file"
            )
        now = site.clock()
        parts = _parts(site, wanted, now)
        why = "asked to" if again else _why_all(feature_set, parts, held)
        if not why and held is not None and not _news(parts, held, now):
            return Published(
                name,
                versions={part.dataset: part.facts.version.version for part in parts},
                total=store.count(name),
                published_at=datetime.fromisoformat(held.facts["published_at"]),
                seconds=time.monotonic() - begun,
            )
        done = _carried_out(site, store, feature_set, parts, None if why else held, why, now)
        return Published(**{**done, "seconds": time.monotonic() - begun})


def _parts(site: Site, wanted: Sequence[Chosen], now: datetime) -> list[_Part]:
    features: dict[str, list[str]] = {}
    for one in wanted:
        features.setdefault(one.dataset, []).append(one.feature)
    # A lake that was opened with a lock publishes what that pins, as it answers with it.
    at_once = (
        timeline.together(site, features)
        if site.pinned is None
        else {dataset: timeline.asked(site, dataset) for dataset in features}
    )
    parts = []
    for dataset, names in features.items():
        past, version = at_once[dataset]
        told = site.config.dataset(dataset)
        facts = Facts(site, past, version, entity_keys(told), told.event_time)
        parts.append(_Part(facts, tuple(dict.fromkeys(names)), facts.due(now)))
    return parts


def _why_all(feature_set: FeatureSet, parts: Sequence[_Part], held: Publication | None) -> str:
    """Why all keys are to be written; "" where those that were touched are enough."""
    if held is None:
        return "the store does not hold it yet"
    known = held.facts["datasets"]
    if list(feature_set.entity) != held.facts["entity"] or list(known) != [part.dataset for part in parts]:
        return "its definition changed"
    for part in parts:
        was, said = known[part.dataset], part.said()
        if any(said[key] != was[key] for key in _SAME):
            return f"what is taken of {part.dataset} changed"
        # A lake that was brought back older uses the numbers of what it lost once more, for others.
        there = part.facts.past.numbered([was["version"]]).get(was["version"])
        stands = there is not None and (there.execution, there.committed_at.isoformat()) == (
            was["execution"],
            was.get("committed_at"),
        )
        if part.facts.version.execution < was["execution"] or not stands:
            return f"the store is of a version of {part.dataset} that is not before this one"
    return ""


def _news(parts: Sequence[_Part], held: Publication, now: datetime) -> bool:
    """Whether anything became known, or true, since the store was brought up to date."""
    known = held.facts["datasets"]
    return any(
        part.facts.version.execution != known[part.dataset]["execution"] or _was_due(held, part, now) is not None
        for part in parts
    )


def _was_due(held: Publication, part: _Part, now: datetime) -> datetime | None:
    """When the first row was to become true that was not at the last publication, if it has."""
    due = held.facts["datasets"][part.dataset]["due"]
    when = None if due is None else datetime.fromisoformat(due)
    return when if when is not None and when <= now else None


def _carried_out(  # noqa: PLR0913, PLR0917  # one step's parts
    site: Site,
    store: Store,
    feature_set: FeatureSet,
    parts: Sequence[_Part],
    held: Publication | None,
    why: str,
    now: datetime,
) -> dict[str, Any]:
    """Read, write and record; ``held`` is None where all keys are written."""
    name, about = feature_set.name, Context(KIND, feature_set.name)
    versions = {part.dataset: part.facts.version.version for part in parts}
    links: list[tuple[Artifact | int, EventType]] = [
        (artifact.id, EventType.INPUT)
        for artifact in site.ledger.get_artifacts(type="TableVersion", names=[f"{d}@{v}" for d, v in versions.items()])
    ]
    columns = {part.dataset: list(part.features) for part in parts}
    told: dict[str, Value] = {
        "feature_set": name,
        "columns": json.dumps({f"{d}@{versions[d]}": features for d, features in columns.items()}),
    }
    execution = site.begin("Publish", about, told, links)
    try:
        groups = _groups(parts)
        tables = [_table(group) for group in groups]
        if held is not None and list(held.tables) != tables:
            held, why = None, "the types of its features changed"
        touched = None if held is None else [_touched(group, held, now) for group in groups]
        if touched is not None and sum(keys.height for keys in touched) > max(_FEW, _MOST * store.count(name)):
            held, touched, why = None, None, "most of its keys changed"
        rows = [_wide(group, now, None if touched is None else touched[n]) for n, group in enumerate(groups)]
        gone = [
            keys.join(frame, on=keys.columns, how="anti", nulls_equal=True)
            for keys, frame in zip(touched or [], rows, strict=touched is not None)
        ]
        facts = {
            "lake": _lake(site),
            "execution": execution,
            "published_at": now.isoformat(),
            "entity": list(feature_set.entity),
            "datasets": {part.dataset: part.said() for part in parts},
            "keys": sum(frame.height for frame in rows),
            "removed": sum(keys.height for keys in gone),
            "full": why,
        }
        publication = Publication(name, f"{execution}@{now.isoformat()}", tuple(tables), facts)
        point("publish.read")
        if held is None:
            store.replace(publication, [frame.iter_slices(_PIECE) for frame in rows])
        else:
            store.update(publication, rows, gone)
        point("publish.stored")
    except BaseException as error:
        site.fail(execution, "Publish", about, error)
        raise
    return _recorded(site, store, publication)


def _groups(parts: Sequence[_Part]) -> list[list[_Part]]:
    """The datasets that have the same keys: each such group has one row a key."""
    found: dict[tuple[str, ...], list[_Part]] = {}
    for part in parts:
        found.setdefault(part.facts.keys, []).append(part)
    return list(found.values())


def _table(group: Sequence[_Part]) -> Table:
    keys: dict[str, pl.DataType] = {}
    columns: dict[str, pl.DataType] = {}
    for part in group:
        schema = part.facts.rows().collect_schema()
        missing = next((name for name in (*part.facts.keys, *part.features) if name not in schema), None)
        if missing is not None:
            raise NotFoundError(
                f"{part.dataset}@{part.facts.version.version} has no column '{missing}' yet; "
                f"run `lakehouse curate {part.dataset} --again`"
            )
        keys.update({name: schema[name] for name in part.facts.keys})
        columns.update(part.facts.rows().select(part.columns()).collect_schema())
    return Table(keys, columns)


def _touched(group: Sequence[_Part], held: Publication, now: datetime) -> pl.DataFrame:
    """The keys of which something else may be true than the store says."""
    since = datetime.fromisoformat(held.facts["published_at"])
    found = []
    for part in group:
        was, due = held.facts["datasets"][part.dataset], _was_due(held, part, now)
        if part.facts.version.execution != was["execution"] or due is not None:
            before = part.facts.past.numbered([was["version"]])[was["version"]]
            found.append(part.facts.touched(before, since, due))
    keys = group[0].facts.keys
    return pl.concat(found).unique() if found else group[0].facts.rows().select(keys).head(0).collect()


def _wide(group: Sequence[_Part], now: datetime, among: pl.DataFrame | None) -> pl.DataFrame:
    """One row a key, in the order of the keys: the newest values of every dataset of the group."""
    keys = list(group[0].facts.keys)
    wide: pl.DataFrame | None = None
    for part in group:
        newest = part.facts.newest(part.features, now, due=part.due, among=among)
        values = newest.select(*keys, *part.columns())
        wide = values if wide is None else wide.join(values, on=keys, how="full", coalesce=True, nulls_equal=True)
    assert wide is not None  # noqa: S101  # a group has a dataset
    return wide.sort(keys)


def _recorded(site: Site, store: Store, publication: Publication) -> dict[str, Any]:
    """Record that a publication was carried out, by what the store says of it; what `Published` says."""
    name, facts = publication.name, publication.facts
    execution, versions = facts["execution"], {d: said["version"] for d, said in facts["datasets"].items()}
    total = store.count(name)
    told: dict[str, Value] = {
        "feature_set": name,
        "published_at": facts["published_at"],
        "versions": json.dumps(versions),
        "keys": facts["keys"],
        "removed": facts["removed"],
        "total": total,
        "full": facts["full"],
    }
    uri = site.config.redact(site.config.online.get_secret_value())
    made = Artifact("OnlineStore", f"{name}@{execution}", uri, properties=told)
    site.put(
        execution,
        "Publish",
        Context(KIND, name),
        state=ExecutionState.COMPLETE,
        links=[(made, EventType.OUTPUT)],
        properties={"keys": facts["keys"], "removed": facts["removed"], "total": total},
    )
    return {
        "feature_set": name,
        "execution": execution,
        "versions": versions,
        "keys": facts["keys"],
        "removed": facts["removed"],
        "full": facts["full"],
        "total": total,
        "published_at": datetime.fromisoformat(facts["published_at"]),
    }


def _settle(site: Site, store: Store, name: str, held: Publication | None) -> None:
    """Close the records of publishers that were killed: the store says whether they came to write."""
    for execution in site.interrupted("Publish", Context(KIND, name)):
        if held is not None and held.facts["execution"] == execution.id:
            _recorded(site, store, held)
        else:
            site.fail(execution.id, "Publish", Context(KIND, name), INTERRUPTED)
    site.keep_newest("Publish", Context(KIND, name))


def _lake(site: Site) -> str:
    """What tells this lake from others, wherever it lies: the moment its ledger began."""
    return next((str(execution.created_at) for execution in site.ledger.get_executions(limit=1, only=())), "")
