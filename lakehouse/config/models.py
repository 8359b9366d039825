"""What the configuration's files say, as frozen values."""

from __future__ import annotations

import dataclasses
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic.dataclasses
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from lakehouse.config import cron
from lakehouse.config.fingerprints import fingerprint
from lakehouse.config.openlineage import OpenLineage
from lakehouse.config.validation import Validation
from lakehouse.errors import NotFoundError, nearest
from lakehouse.schema import Schema
from lakehouse.sources import Source
from lakehouse.units import Duration, Size

__all__ = ["Config", "Dataset", "Job", "Retries", "Settings", "Tolerance"]

T = TypeVar("T")

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _timezone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(value, zoneinfo.available_timezones())
        raise ValueError(f"not a time zone.{near if near.startswith(' Did') else ''}") from None
    return value


Timezone = Annotated[str, AfterValidator(_timezone)]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much of a batch may be rejected before the batch is refused as a whole.

    Attributes:
        share: of the rows read, 0 to 1; None when ``rows`` is set.
        rows: a count; None when ``share`` is set.
    """

    share: float | None = None
    rows: int | None = None

    def exceeded(self, rejected: int, read: int) -> bool:
        """Whether so many rejected rows, of so many read, are too many."""
        return rejected > (self.rows if self.rows is not None else (self.share or 0.0) * read)

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.rows is not None else f"{(self.share or 0.0) * 100:g}%"


def _tolerance(value: Any) -> Any:
    if value is None or isinstance(value, Tolerance):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Tolerance(rows=value)
    if isinstance(value, float) and 0 <= value <= 1:
        return Tolerance(share=value)
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(value[:-1]) / 100
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return Tolerance(share=share)
    raise ValueError("must be a share (5% or 0.05) or a whole number of rows")


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class Dataset:
    """One curated table.

    Attributes:
        name: ``subject/dataset``, from the file's path.
        source: the source whose raw files are curated.
        history: ``events``: each row is a fact, appended as it is. ``changes``: each row is a new state of its key.
            ``snapshots``: each raw file is the full picture; what it changes is appended.
        keys: the features that together name a row; a missing value is a value like any other.
        event_time: the feature that says when a row's fact happened.
        max_rejected: above it a batch is refused as a whole; None is no limit.
        rename: the file's column to the feature it becomes, before anything else.
        derive: computed feature to its SQL expression over the typed, not derived, features of its row.
        curate: dotted path of a pure function, LazyFrame to LazyFrame.
        columns: feature to the features the function makes it from, where its plan does not say so.
        purpose: what personal data in it are processed for, for people.
        partition_by: features the table is partitioned by.
        new_columns: what is done with columns that are no feature.
        missing_columns: what is done with a file that lacks an optional feature's column.
        validation: what is measured and judged when it is curated.
    """

    name: str
    source: str
    schema: Schema
    description: str = ""
    owner: str = ""
    purpose: str = ""
    history: Literal["events", "changes", "snapshots"] = "events"
    keys: tuple[str, ...] = ()
    event_time: str | None = None
    max_rejected: Annotated[Tolerance | None, BeforeValidator(_tolerance)] = None
    rename: dict[str, str] = Field(default_factory=dict)
    derive: dict[str, str] = Field(default_factory=dict)
    curate: str | None = None
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    new_columns: Literal["add", "ignore", "reject"] = "ignore"
    missing_columns: Literal["allow", "reject"] = "allow"
    validation: Validation = Validation()

    def __post_init__(self) -> None:
        # A feature in `derive` is computed whether or not it says so.
        features = {
            name: feature.model_copy(update={"computed": True}) if name in self.derive else feature
            for name, feature in self.schema.features.items()
        }
        object.__setattr__(self, "schema", self.schema.model_copy(update={"features": features}))

    @property
    def subject(self) -> str:
        """The business area that owns it: the first half of its name."""
        return self.name.partition("/")[0]

    @property
    def mapping(self) -> dict[str, Any]:
        """What decides, beside the schema and the source's format, what rows a raw file gives."""
        return {
            "rename": self.rename,
            "derive": self.derive,
            "curate": self.curate,
            "history": self.history,
            "max_rejected": None if self.max_rejected is None else str(self.max_rejected),
            "new_columns": self.new_columns,
            "missing_columns": self.missing_columns,
        }

    def fingerprint(self, source: Source) -> str:
        """A hash of all that decides what rows a raw file gives: the same hash, the same rows."""
        return fingerprint(self, source)


class Retries(BaseModel):
    """How often a failed run is tried again, and the wait before the first retry (it doubles)."""

    model_config = _FORBID

    attempts: int = Field(1, ge=1, le=20)
    backoff: Duration = timedelta(seconds=30)


def _cron(value: str) -> str:
    cron.parse(value)
    return value


class Job(BaseModel):
    """Datasets that are refreshed together.

    Attributes:
        name: the file's name.
        schedule: a five-field cron expression; with neither it nor ``every`` a job runs by hand only.
        every: the time between two runs.
        timezone: the IANA zone the schedule is in; the lake's own, else UTC, when the file has none.
        timeout: after it a run counts as failed; None is no limit.
        misfire_grace: how late a run may still start.
    """

    model_config = _FORBID

    name: str
    datasets: tuple[str, ...] = Field(min_length=1)
    description: str = ""
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    every: Duration | None = None
    timezone: Timezone = "UTC"
    retries: Retries = Retries()
    timeout: Duration | None = None
    misfire_grace: Duration = timedelta(hours=1)
    enabled: bool = True

    @model_validator(mode="after")
    def _has_one_schedule(self) -> Job:
        if self.schedule is not None and self.every is not None:
            raise ValueError("schedule and every are both set; keep one of them")
        for name in ("every", "timeout"):
            value = getattr(self, name)
            if value is not None and value < timedelta(seconds=1):
                raise ValueError(f"{name}: must be at least 1s")
        return self

    @property
    def cron(self) -> cron.Cron | None:
        """The schedule, spelled out as numbers; None for a job without one."""
        return cron.parse(self.schedule) if self.schedule is not None else None


class Settings(BaseModel):
    """``lakehouse.yaml`` with the chosen environment laid over it."""

    model_config = _FORBID

    root: str = Field("data", min_length=1)
    metadata: SecretStr | None = None
    timezone: Timezone | None = None
    batch_bytes: Size = Field(4 << 30, gt=0)
    openlineage: OpenLineage | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, read and checked.

    Attributes:
        folder: the configuration's folder, absolute.
        root: the lake's folder, absolute.
        metadata: the ledger's SQLAlchemy URL.
        env: the chosen environment; None when none was.
        timezone: the IANA zone of times given without one; None refuses them.
        batch_bytes: the most raw bytes one commit takes in.
        openlineage: where events go; None tells nobody.
    """

    folder: Path
    root: Path
    metadata: SecretStr
    env: str | None = None
    timezone: str | None = None
    batch_bytes: int = 4 << 30
    openlineage: OpenLineage | None = None
    sources: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    datasets: Mapping[str, Dataset] = dataclasses.field(default_factory=dict)
    jobs: Mapping[str, Job] = dataclasses.field(default_factory=dict)
    redact: Callable[[str], str] = dataclasses.field(default=str, repr=False, compare=False)

    @property
    def project(self) -> Path:
        """The folder that holds the configuration's; relative paths in YAML start here."""
        return self.folder.parent

    def source(self, name: str) -> Source:
        """A source by name.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named("source", name, self.sources)

    def dataset(self, name: str) -> Dataset:
        """A dataset by name.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named("dataset", name, self.datasets)

    def job(self, name: str) -> Job:
        """A job by name.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named("job", name, self.jobs)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    try:
        return known[name]
    except KeyError:
        hint = nearest(name, known) or f" The configuration has no {kind}s."
        raise NotFoundError(f"no {kind} '{name}'.{hint}") from None
