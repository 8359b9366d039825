"""The two sides of a difference: what ``aviation/flights@3``, ``tag:v1``, a moment or a number stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from lakehouse import tagged, timeline, views
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.records import EventType, Version, printable
from lakehouse.schema import Schema
from lakehouse.site import Site
from lakehouse.tagged import Exported
from lakehouse.timeline import Timeline

__all__ = ["Point", "Side", "sides"]

Point = str | int | datetime
"""``aviation/flights@3``, ``tag:v1``, a moment, or a version's number."""

_TAG = "tag:"
_DATASET = re.compile(r"([^@\s]+/[^@\s]+?)(?:@([0-9]{1,18}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """A dataset at one side of a difference.

    Attributes:
        label: ``aviation/flights@3``; of an imported tag it says so.
        past: the dataset's past; None of an imported tag.
        version: its version; None of an imported tag.
        export: what an imported tag holds of it; None of a version of this lake.
    """

    site: Site
    dataset: str
    label: str
    past: Timeline | None = None
    version: Version | None = None
    export: Exported | None = None
    tag: str = ""

    @property
    def history(self) -> str:
        """Its load kind."""
        return self.version.history if self.version is not None else self._export.history

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell its rows apart, of events as the configuration has them now; () where none do."""
        if self.history == "events":
            dataset = self.site.config.datasets.get(self.dataset)
            return () if dataset is None else dataset.keys
        return self.version.keys if self.version is not None else self._export.keys

    @property
    def state(self) -> pl.LazyFrame:
        """The rows that it shows."""
        if self.version is not None and self.past is not None:
            return views.state(self.site, self.past, self.version)
        rows = tagged.imported(self.site, self.tag, self.dataset)
        assert rows is not None  # noqa: S101  # its tag was imported
        return rows

    @property
    def schema(self) -> Schema | None:
        """What its newest rows were checked against; None where that is not known."""
        if self.export is not None:
            return Schema.from_json(json.dumps(self.export.schema)) if self.export.schema else None
        assert self.version is not None  # noqa: S101  # it has one of the two
        events = self.site.ledger.get_events(execution_ids=[self.version.execution], types=[EventType.INPUT])
        found = self.site.ledger.get_artifacts(type="Schema", ids=[event.artifact_id for event in events])
        return Schema.from_json(str(found[0].properties["features"])) if found else None

    @property
    def _export(self) -> Exported:
        assert self.export is not None  # noqa: S101  # it has no version
        return self.export


def sides(site: Site, a: Point, b: Point, dataset: str | None) -> list[tuple[Side | None, Side | None]]:
    """What two points hold of a dataset, or of all that either of them holds; None where it holds none.

    Raises:
        NotFoundError: there is no such dataset, version or tag, or none at that moment.
        ConfigError: a point cannot be read, or the two are of different datasets.
    """
    named = {name for name in (dataset, _dataset(a), _dataset(b)) if name is not None}
    if len(named) > 1:
        raise ConfigError(f"a difference is of one dataset, not of {' and '.join(sorted(map(printable, named)))}")
    if named:
        (name,) = named
        return [(_side(site, a, name), _side(site, b, name))]
    if any(isinstance(point, int) or _number(point) is not None for point in (a, b)):
        raise ConfigError("a version's number alone is of no dataset; write aviation/flights@3, or name the dataset")
    names = dict.fromkeys([*_held(site, a), *_held(site, b)])
    return [(_known(site, a, name), _known(site, b, name)) for name in names]


def _dataset(point: Point) -> str | None:
    """The dataset that a point names."""
    match = None if not isinstance(point, str) or point.startswith(_TAG) else _DATASET.fullmatch(point.strip())
    return match[1] if match else None


def _number(point: Point) -> int | None:
    if isinstance(point, int):
        return point
    return int(point) if isinstance(point, str) and point.strip().isdecimal() else None


def _held(site: Site, point: Point) -> Iterable[str]:
    """The datasets that a tag or a moment may hold."""
    if isinstance(point, str) and point.startswith(_TAG):
        return tagged.find(site, point.removeprefix(_TAG)).versions
    return sorted(timeline.newest(site.ledger, site.config.datasets))


def _known(site: Site, point: Point, name: str) -> Side | None:
    """What a tag or a moment holds of a dataset; None where it holds none."""
    if isinstance(point, str) and point.startswith(_TAG):
        if name not in tagged.find(site, point.removeprefix(_TAG)).versions:
            return None
        return _side(site, point, name)
    try:
        return _side(site, point, name)
    except NotFoundError:
        return None


def _side(site: Site, point: Point, name: str) -> Side:
    if isinstance(point, str) and point.startswith(_TAG):
        tag = tagged.find(site, point.removeprefix(_TAG))
        if tag.manifest and name in tag.versions:
            export = tagged.manifest(site, tag).datasets[name]
            label = f"{name}@{export.version} of imported tag {tag.name}"
            return Side(site, name, label, export=export, tag=tag.name)
        number: int | None = tagged.version(site, tag.name, name)
        past, version = timeline.asked(site, name, number)
    elif isinstance(point, str) and (match := _DATASET.fullmatch(point.strip())):
        past, version = timeline.asked(site, name, None if match[2] is None else int(match[2]))
    elif (number := _number(point)) is not None:
        past, version = timeline.asked(site, name, number)
    else:
        assert not isinstance(point, int)  # noqa: S101  # an int is a number
        past, version = timeline.asked(site, name, as_of=point)
    return Side(site, name, f"{name}@{version.version}", past, version)
