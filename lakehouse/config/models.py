"""What the configuration's files say, as frozen values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic.dataclasses
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from lakehouse.config.features import FeatureSet
from lakehouse.config.feeds import CodeTable, Feed, FormatEntries
from lakehouse.config.fingerprints import fingerprint
from lakehouse.config.jobs import Job
from lakehouse.config.openlineage import OpenLineage
from lakehouse.config.reading import laid, over
from lakehouse.config.snapshot_time import LANDED, name_pattern
from lakehouse.config.validation import Validation
from lakehouse.errors import NotFoundError, nearest
from lakehouse.formats import FORMATS, Format
from lakehouse.schema import Schema, converts
from lakehouse.sources import Source
from lakehouse.units import Duration, Size, Timezone

__all__ = ["Config", "Dataset", "Settings", "Tolerance"]

T = TypeVar("T")

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much of a batch may be rejected before it is refused as a whole, or of the keys deleted.

    Attributes:
        share: of the rows read, or of the keys there are, 0 to 1; None when ``rows`` is set.
        rows: a count; None when ``share`` is set.
    """

    share: float | None = None
    rows: int | None = None

    def exceeded(self, some: int, every: int) -> bool:
        """Whether so many rejected rows of all that were read, or deleted keys of all there are, are too many."""
        return some > (self.rows if self.rows is not None else (self.share or 0.0) * every)

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


def _said(value: Any) -> Any:
    """Nothing said of a source (``sources: {airports: }``) is an empty mapping."""
    return {} if value is None else value


def _snapshot_time(value: str) -> str:
    name_pattern(value)
    return value


_DELETABLE = Tolerance(share=0.5)


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class Dataset:
    """One curated table.

    Attributes:
        name: ``subject/dataset``, from the file's path.
        source: the source whose raw files are curated; "" where there are several, or none.
        sources: several sources, and what is said of each alone.
        format: entries that win over those of its source's format; another ``type`` takes the whole format's place.
        inputs: of a derived dataset, the datasets that it is made from.
        sql: of a derived dataset, the query over its inputs that makes it; else ``curate`` does.
        history: ``events``: each row is a fact, appended as it is. ``changes``: each row is a new state of its key.
            ``snapshots``: each raw file is the full picture; what it changes is appended.
        keys: the features that together name a row; a missing value is a value like any other.
        event_time: the feature that says when a row's fact happened.
        delete_when: of ``changes``: SQL expression over the features of its row, true where the row deletes its key.
        on_changed_file: whether new bytes under an origin ``correct`` those that lay there before, or ``append`` to
            them; None is ``append`` for snapshots, else ``correct``.
        snapshot_time: of ``snapshots``: since when a file is the full picture: ``landed``, or a pattern of its name.
        max_rejected: above it a batch is refused as a whole; None is no limit.
        max_deleted: of ``snapshots``: a file that would delete more of the keys there are is refused; None is 50%.
        rename: the file's column to the feature it becomes, before anything else.
        derive: feature to its SQL expression over the typed, not derived, features of its row; one that reads its own
            feature converts the value in the file, before the others see it.
        codes: feature to the code table that the text in the file is looked up in.
        curate: dotted path of a pure function, LazyFrame to LazyFrame; of a derived dataset, of one LazyFrame an input.
        columns: feature to the features the function makes it from, where its plan does not say so.
        labels: words to find it by.
        retention: how long its raw files and rows are to be kept. What is older is told, and not deleted.
        purpose: what personal data in it are processed for, for people.
        partition_by: features the table is partitioned by.
        new_columns: what is done with columns that are no feature.
        missing_columns: what is done with a file that lacks an optional feature's column.
        validation: what is measured and judged when it is curated.
    """

    name: str
    source: str = ""
    sources: dict[str, Annotated[Feed, BeforeValidator(_said)]] = Field(default_factory=dict)
    format: FormatEntries = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    sql: str | None = None
    schema: Schema
    description: str = ""
    owner: str = ""
    labels: tuple[str, ...] = ()
    purpose: str = ""
    retention: Duration | None = None
    history: Literal["events", "changes", "snapshots"] = "events"
    keys: tuple[str, ...] = ()
    event_time: str | None = None
    delete_when: str | None = None
    on_changed_file: Literal["correct", "append"] | None = None
    snapshot_time: Annotated[str, AfterValidator(_snapshot_time)] = LANDED
    max_rejected: Annotated[Tolerance | None, BeforeValidator(_tolerance)] = None
    max_deleted: Annotated[Tolerance | None, BeforeValidator(_tolerance)] = None
    rename: dict[str, str] = Field(default_factory=dict)
    derive: dict[str, str] = Field(default_factory=dict)
    codes: dict[str, CodeTable] = Field(default_factory=dict)
    curate: str | None = None
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    new_columns: Literal["add", "ignore", "reject"] = "ignore"
    missing_columns: Literal["allow", "reject"] = "allow"
    validation: Validation = Validation()

    @model_validator(mode="before")
    @classmethod
    def _is_a_picture(cls, given: Any) -> Any:
        """What is derived is loaded like a snapshot, whether or not it says so."""
        said = given if isinstance(given, dict) else given.kwargs
        derived = said and (said.get("inputs") or said.get("sql"))
        return {"history": "snapshots", **said} if derived and not getattr(given, "args", None) else given

    def __post_init__(self) -> None:
        # A feature that every source's `derive` makes is computed whether or not it says so.
        derived = [{**self.derive, **feed.derive} for feed in self.sources.values()] or [self.derive]
        features = {
            name: feature.model_copy(update={"computed": True})
            if all(name in one and not converts(name, one[name]) for one in derived)
            else feature
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
            **self._loading,
            **({"inputs": list(self.inputs), "sql": self.sql} if self.derived else {}),
            **({"codes": {name: table.plain() for name, table in self.codes.items()}} if self.codes else {}),
        }

    @property
    def derived(self) -> bool:
        """Whether it is made from other datasets, and not from raw files."""
        return bool(self.inputs) or self.sql is not None

    @property
    def keyed(self) -> bool:
        """Whether its rows are states of keys: ``changes`` and ``snapshots``."""
        return self.history != "events"

    @property
    def corrects(self) -> bool:
        """Whether new bytes under an origin take the place of those that lay there before."""
        usual = "append" if self.history == "snapshots" else "correct"
        return (self.on_changed_file or usual) == "correct"

    @property
    def deletable(self) -> Tolerance:
        """How many of the keys there are one snapshot may delete."""
        return self.max_deleted or _DELETABLE

    @property
    def _loading(self) -> dict[str, Any]:
        """What more decides how rows become states; nothing for facts that correct one another, the first kind."""
        said: dict[str, Any] = {}
        if self.keyed:
            said["keys"] = list(self.keys)
        if self.history == "changes":
            said |= {"event_time": self.event_time, "delete_when": self.delete_when}
        if self.history == "snapshots":
            said["snapshot_time"] = self.snapshot_time
        return said if self.corrects else {**said, "on_changed_file": "append"}

    @property
    def source_names(self) -> tuple[str, ...]:
        """Its sources; none for a derived dataset."""
        return tuple(self.sources) or ((self.source,) if self.source else ())

    @property
    def code_tables(self) -> tuple[str, ...]:
        """The datasets that codes are looked up in, of whatever source; they are curated before this one."""
        tables = [*self.codes.values(), *(table for feed in self.sources.values() for table in feed.codes.values())]
        return tuple(dict.fromkeys(table.dataset for table in tables))

    def of(self, source: str) -> Dataset:
        """The same dataset as if this were its one source: with what is said of that source in place.

        Raises:
            KeyError: it is none of its sources.
        """
        if not self.sources:
            if source != self.source:
                raise KeyError(source)
            return self
        feed = self.sources[source]
        # A feature is read from one column: of two that become it, the source's own does.
        own = set(feed.rename.values())
        shared = {old: new for old, new in self.rename.items() if new not in own}
        columns = feed.columns if feed.curate is not None else {**self.columns, **feed.columns}
        return dataclasses.replace(
            self,
            source=source,
            sources={},
            rename={**shared, **feed.rename},
            derive={**self.derive, **feed.derive},
            codes={**self.codes, **feed.codes},
            curate=feed.curate or self.curate,
            columns=columns,
            delete_when=feed.delete_when or self.delete_when,
            format=over(self.format, feed.format),
        )

    def reader(self, source: Source) -> Format:
        """The format that the files of its one source are read with: the source's, with its own entries over it."""
        if not self.format:
            return source.format
        values = laid(source.format, self.format)
        kind = type(source.format) if values["type"] == source.format.type else FORMATS[values["type"]]
        return kind.model_validate(values)

    @property
    def upstream(self) -> tuple[str, ...]:
        """The datasets that are refreshed before this one: its inputs, and those that its codes are looked up in."""
        return tuple(dict.fromkeys((*self.inputs, *self.code_tables)))

    def fingerprint(self, source: Source | None = None) -> str:
        """A hash of all that decides what rows a raw file, or its inputs, give: the same hash, the same rows."""
        return fingerprint(self, source)


class Settings(BaseModel):
    """``lakehouse.yaml`` with the chosen environment laid over it."""

    model_config = _FORBID

    root: str = Field("data", min_length=1)
    metadata: SecretStr | None = None
    timezone: Timezone | None = None
    batch_bytes: Size = Field(4 << 30, gt=0)
    openlineage: OpenLineage | None = None
    online: SecretStr | None = None
    pools: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)


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
        online: the online store's URL.
        pools: how many runs of the jobs that share one may be under way at once.
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
    feature_sets: Mapping[str, FeatureSet] = dataclasses.field(default_factory=dict)
    online: SecretStr = dataclasses.field(default_factory=lambda: SecretStr(""))
    pools: Mapping[str, int] = dataclasses.field(default_factory=dict)
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

    def feature_set(self, name: str) -> FeatureSet:
        """A feature set by name.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named("feature set", name, self.feature_sets)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    try:
        return known[name]
    except KeyError:
        hint = nearest(name, known) or f" The configuration has no {kind}s."
        raise NotFoundError(f"no {kind} '{name}'.{hint}") from None
