"""What is told of the things of a lake: each at a glance, and one in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lakehouse.records import RawFile, Version

__all__ = [
    "DatasetEntry",
    "Detail",
    "Failure",
    "FeatureEntry",
    "FeatureSetEntry",
    "Freshness",
    "JobEntry",
    "Listing",
    "SourceEntry",
    "Use",
]


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source at a glance. ``size`` is bytes, of its raw files."""

    name: str
    type: str
    description: str
    files: int
    size: int
    landed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset at a glance; ``version`` is None before the first, ``source`` the names of several with commas."""

    name: str
    source: str
    description: str
    version: int | None
    rows: int
    rejected: int
    committed_at: datetime | None
    owner: str = ""
    labels: tuple[str, ...] = ()
    history: str = "events"

    @property
    def subject(self) -> str:
        """The business area that owns it."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job at a glance; ``schedule`` as a person would say it."""

    name: str
    datasets: tuple[str, ...]
    description: str
    schedule: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class FeatureSetEntry:
    """A feature set at a glance; ``features`` as they are named in its file."""

    name: str
    entity: tuple[str, ...]
    features: tuple[str, ...]
    ttl: str
    description: str
    owner: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything a lake has, or what of it belongs to one subject."""

    root: str
    sources: tuple[SourceEntry, ...]
    datasets: tuple[DatasetEntry, ...]
    jobs: tuple[JobEntry, ...]
    feature_sets: tuple[FeatureSetEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A landing or curation that failed, or one file that a curation refused.

    Attributes:
        where: the raw file's hash and name; "" when the whole step failed.
    """

    at: datetime | None
    execution: int
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class FeatureEntry:
    """One feature of a schema, as texts."""

    name: str
    type: str
    presence: str
    domain: str
    description: str


@dataclass(frozen=True, slots=True)
class Use:
    """Something that a dataset or feature is used by, or a subject's data are.

    Attributes:
        kind: ``dataset`` (a derived one, or one that looks codes up in it), ``feature_set``, ``job``, ``step`` (a
            user's own, by its type) or ``artifact`` (what was made from it).
        what: its name: a step's type, an artifact as `Lake.lineage` takes it.
        times: how many steps of the type read it, ``limit`` at most; 1 of others.
        last: when that was last; None of what is only configured.
    """

    kind: str
    what: str
    times: int = 1
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How new what a dataset says is.

    Attributes:
        committed_at: when its newest version became visible.
        event_time: the newest of its rows' event times, by kept statistics; None where it has none, or it is personal.
    """

    committed_at: datetime
    event_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A source, dataset, job, subject, feature or feature set in full.

    Attributes:
        kind: ``source``, ``dataset``, ``job``, ``subject``, ``feature`` or ``feature_set``.
        settings: what its YAML says beside the description and the schema; secrets hidden.
        features: a dataset's schema, and of a feature set the features it takes.
        datasets: a subject's.
        versions: a dataset's newest ones, oldest first.
        files: how many raw files a source has.
        size: their bytes.
        raw: the newest of them, newest first, or those asked for.
        failures: what failed or was refused last and why, oldest first; superseded curations too.
        freshness: of a dataset.
        statistics: of a feature: the figures that are kept of its newest version, by name.
        used_by: who uses a dataset, feature or subject.
    """

    kind: str
    name: str
    description: str
    settings: Mapping[str, Any]
    features: tuple[FeatureEntry, ...] = ()
    versions: tuple[Version, ...] = ()
    files: int = 0
    size: int = 0
    raw: tuple[RawFile, ...] = ()
    failures: tuple[Failure, ...] = ()
    datasets: tuple[DatasetEntry, ...] = ()
    freshness: Freshness | None = None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    used_by: tuple[Use, ...] = ()
