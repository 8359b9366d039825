"""The schemas of a dataset: what its data suggest, what they ask to change, and what they were.

A dataset's file holds its schema as it is; the ledger holds each as it was when rows were made by it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import polars as pl

from lakehouse import config, timeline
from lakehouse.config import GONE, Dataset, Edit
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.evolution.judging import Rehearse, of_source
from lakehouse.evolution.measuring import statistics
from lakehouse.evolution.proposing import proposed
from lakehouse.formats import Format
from lakehouse.records import Artifact, EventType
from lakehouse.schema import Difference, Schema
from lakehouse.site import Site
from lakehouse.validation.inference import Change, Update, infer_schema
from lakehouse.validation.statistics import generate_statistics

__all__ = ["Proposal", "SchemaDifference", "SchemaVersion", "Schemas"]

Rows: TypeAlias = Callable[[Path, Format | None], AbstractContextManager[pl.LazyFrame]]
"""Gives the records of a local file, read in a format or in what its bytes tell."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A schema that rows of a dataset were made by, or were to be.

    Attributes:
        number: 1 for the first.
        schema: the schema.
        execution: the curation that used it first.
        used_at: when that began.
        version: the first version of the dataset that was made by it; None where none was.
        changes: what was not so in the one before.
        current: whether the dataset's file says the same now.
    """

    number: int
    schema: Schema
    execution: int
    used_at: datetime | None
    version: int | None
    changes: tuple[Difference, ...]
    current: bool


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What two schemas of a dataset do not have in common.

    Attributes:
        old: the one's number; None for what the dataset's file says now.
        new: the other's, likewise.
        changes: what to change in the one to make it the other.
    """

    old: int | None
    new: int | None
    changes: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes to a dataset's schema that its data ask for.

    Attributes:
        update: the changes, each with its reason; of what was accepted, where anything was.
        open: changes that were not written though all were accepted, since each ends a check: `update` takes them
            when their features are named.
        unread: why files of the newest batch were not looked at, which no curation could read either.
        file: the dataset's file, relative to the project.
        written: whether the changes stand in the file now. An open lake still works by what it read before.
        again: whether they decide what becomes of rows that were read already: ``curate --again`` makes them anew.
    """

    update: Update
    file: str
    open: tuple[Change, ...] = ()
    unread: tuple[str, ...] = ()
    written: bool = False
    again: bool = False

    def __bool__(self) -> bool:
        return bool(self.update)


class Schemas:
    """`Lake.schema`: infer, update, show, diff, history.

    Args:
        site: the opened lake.
        rehearse: reads a local file as a curation would.
        rows: reads a local file of any kind.
    """

    def __init__(self, site: Site, rehearse: Rehearse, rows: Rows) -> None:
        self._site = site
        self._rehearse = rehearse
        self._rows = rows

    def infer(self, what: str | PathLike[str], *, source: str | None = None, version: int | None = None) -> Schema:
        """The schema that data suggest, for a person to read.

        Args:
            what: a dataset, or a local file.
            source: read the file in this source's format; None looks at the file's bytes.
            version: of a dataset's rows those of this version; None for the newest.

        Raises:
            NotFoundError: no such dataset, version, source or file.
            FormatError: the file cannot be read.
            SchemaError: there is no column to infer from.
            ConfigError: a source is named for a dataset, or a version for a file.
        """
        if str(what) in self._site.config.datasets:
            if source is not None:
                raise ConfigError(f"'{what}' is a dataset, whose rows no source reads; leave the source '{source}' out")
            return infer_schema(statistics(self._site, str(what), version=version))
        path = Path(what)
        if not path.is_file():
            hint = nearest(str(what), self._site.config.datasets)
            raise NotFoundError(f"'{what}' is neither a dataset nor a file.{hint}")
        if version is not None:
            raise ConfigError(f"'{what}' is a file, which has no versions; leave version {version} out")
        with self._rows(path, None if source is None else self._site.config.source(source).format) as rows:
            return infer_schema(generate_statistics(rows))

    def adopt(self, dataset: str, *, version: int | None = None) -> tuple[Schema, tuple[Difference, ...]]:
        """Write into a dataset's file what `infer` finds and its schema does not say: features and keys it lacks.

        Nothing that stands there is changed.

        Returns:
            The schema that was inferred, and what was written of it.

        Raises:
            NotFoundError: no such dataset or version.
            ConfigError: the file cannot be changed safely; nothing was written.
        """
        inferred, known = self.infer(dataset, version=version), self._site.config.dataset(dataset).schema
        lacking = tuple(one for one in known.differences(inferred) if _adoptable(one, known))
        if lacking:
            edits = [Edit(_place(known, one.path, one.key), one.after) for one in lacking]
            config.change_dataset(self._site.config, dataset, edits)
        return inferred, lacking

    def update(
        self,
        dataset: str,
        *,
        accept: Collection[str] | bool = (),
        file: str | PathLike[str] | None = None,
        source: str | None = None,
        environment: str | None = None,
    ) -> Proposal:
        """What to change in a dataset's schema so that its newest batch passes it; and, where accepted, the change.

        The raw files that the last curation took in are read once more, with nothing asked of them but their types,
        so rows in quarantine and columns that no feature knows are seen too. Where a value is none of its type they
        are read again by the type that is proposed.

        Args:
            dataset: the dataset.
            accept: the features (dotted paths; "" for the schema itself) whose changes are written into the
                dataset's file; True for all but those that end a check (`Change.ends`), which must be named.
            file: look at this local file in place of the newest batch.
            source: of a dataset with several, the one as whose file it is read.
            environment: of the schema; None for the one the dataset's configuration names.

        Raises:
            NotFoundError: no such dataset, environment or file, no batch yet, no such feature to accept, or nothing is
                proposed for one while there is something for others.
            ConfigError: the file cannot be changed safely; nothing was written.
            FormatError: no file of the batch can be read.
        """
        now = self._site.config.dataset(dataset)
        chosen = now.validation.environment if environment is None else environment
        now.schema.within(chosen)  # an unknown one is refused before anything is read
        if file is not None and not Path(file).is_file():
            raise NotFoundError(f"there is no file '{file}'")
        files = self._newest(now) if file is None else [(of_source(now, source), Path(file))]
        update, unread = proposed(self._site, now, files, chosen, self._rehearse)
        shown = config.dataset_file(dataset, self._site.config)
        named = () if isinstance(accept, bool) else accept
        known = now.schema.paths()
        if not update and (strange := [path for path in named if path and path not in known]):
            raise NotFoundError(f"'{strange[0]}' is no feature, and no change is proposed.{nearest(strange[0], known)}")
        taken = update.widening() if accept is True else update.only(named if update else ())
        rest = tuple(one for one in update.changes if one not in taken.changes) if accept is True else ()
        if not taken:
            return Proposal(update, shown, rest, unread)
        changed = config.change_dataset(self._site.config, dataset, [_edit(now.schema, one) for one in taken.changes])
        again = any(
            changed.of(name).fingerprint(read) != now.of(name).fingerprint(read)
            for name in now.source_names
            if (read := self._site.config.source(name))
        )
        return Proposal(taken, shown, rest, unread, written=True, again=again)

    def _newest(self, dataset: Dataset) -> list[tuple[Dataset, Path]]:
        """The raw files that the last curation took in, refused or not, each with the dataset as of its source."""
        if dataset.derived:
            raise ConfigError(
                f"dataset '{dataset.name}' is derived from other datasets, and no file is read into it; change its "
                f"schema by hand, or see what its rows are like: `lakehouse schema infer {dataset.name}`"
            )
        past = timeline.read(self._site.ledger, dataset.name)
        first, *_ = dataset.source_names
        for execution in reversed(past.executions):
            events = self._site.ledger.get_events(
                execution_ids=[execution.id], types=[EventType.INPUT, EventType.DECLARED_INPUT]
            )
            artifacts = self._site.ledger.get_artifacts(ids={event.artifact_id for event in events})
            raws = [(str(a.properties["source"]), a.uri) for a in artifacts if a.type == "RawFile" and a.uri]
            found = [(whose if whose in dataset.source_names else first, uri) for whose, uri in raws]
            paths = [(dataset.of(whose), self._site.storage.path(uri)) for whose, uri in found]
            if there := [(one, path) for one, path in paths if path.is_file()]:
                return there
        name = dataset.name
        raise NotFoundError(f"dataset '{name}' has no batch yet; run `lakehouse curate {name}`, or name a file")

    def show(self, dataset: str, *, version: int | None = None, environment: str | None = None) -> Schema:
        """A dataset's schema as its file says it, or as it was.

        Args:
            dataset: the dataset.
            version: a schema's number in `history`; None for the file's.
            environment: only the features that are in it.

        Raises:
            NotFoundError: no such dataset, schema version or environment.
        """
        return self._schema(dataset, version).within(environment)

    def diff(self, dataset: str, old: int | None = None, new: int | None = None) -> SchemaDifference:
        """What two schemas of a dataset do not have in common.

        Args:
            dataset: the dataset.
            old: the one's number in `history`; None for the newest.
            new: the other's; None for what the dataset's file says now.

        Raises:
            NotFoundError: no such dataset or schema version.
        """
        self._site.config.dataset(dataset)
        if old is None:
            versions = self.history(dataset)
            if not versions:
                raise _unused(dataset)
            old = versions[-1].number
        return SchemaDifference(old, new, self._schema(dataset, old).differences(self._schema(dataset, new)))

    def history(self, dataset: str) -> tuple[SchemaVersion, ...]:
        """Each schema that a dataset was curated by, oldest first; the same one again is no new version.

        Raises:
            NotFoundError: no such dataset.
        """
        now = self._site.config.dataset(dataset).schema.plain()
        found: list[SchemaVersion] = []
        for execution, artifact in self._uses(dataset):
            schema = Schema.from_json(str(artifact.properties["features"]))
            if found and found[-1].schema.plain() == schema.plain():
                continue
            changes = found[-1].schema.differences(schema) if found else ()
            found.append(SchemaVersion(len(found) + 1, schema, execution, None, None, changes, current=False))
        return self._dated(dataset, found, now)

    def _uses(self, dataset: str) -> list[tuple[int, Artifact]]:
        """Each schema a curation used, with the curation, in the order in which schemas took each other's place."""
        artifacts = {a.id: a for a in self._site.ledger.get_artifacts(type="Schema", context=("Dataset", dataset))}
        events = self._site.ledger.get_events(artifact_ids=artifacts, types=[EventType.INPUT])
        uses = sorted((event.execution_id, event.artifact_id) for event in events)
        return [
            (execution, artifacts[artifact])
            for index, (execution, artifact) in enumerate(uses)
            if index == 0 or uses[index - 1][1] != artifact
        ]

    def _dated(self, dataset: str, found: Iterable[SchemaVersion], now: object) -> tuple[SchemaVersion, ...]:
        """The versions with when each came into use, and the first version of the dataset made by it."""
        found = list(found)
        past = timeline.read(self._site.ledger, dataset)
        made = sorted((version.execution, version.version) for version in past.versions)
        began = {
            e.id: e.created_at for e in self._site.ledger.get_executions(ids=[v.execution for v in found], only=())
        }
        ends = [*(version.execution for version in found[1:]), None][: len(found)]
        return tuple(
            dataclasses.replace(
                one,
                used_at=began.get(one.execution),
                version=next((v for e, v in made if e >= one.execution and (end is None or e < end)), None),
                current=end is None and one.schema.plain() == now,
            )
            for one, end in zip(found, ends, strict=True)
        )

    def _schema(self, dataset: str, version: int | None) -> Schema:
        if version is None:
            return self._site.config.dataset(dataset).schema
        versions = self.history(dataset)
        if not versions:
            raise _unused(dataset)
        if not 1 <= version <= len(versions):
            raise NotFoundError(
                f"dataset '{dataset}' has no schema version {version}; there are 1 to {len(versions)}, as "
                f"`lakehouse schema history {dataset}` lists"
            )
        return versions[version - 1].schema


def _unused(dataset: str) -> NotFoundError:
    return NotFoundError(f"no curation of dataset '{dataset}' used a schema yet; run `lakehouse curate {dataset}`")


def _edit(schema: Schema, change: Change) -> Edit:
    return Edit(_place(schema, change.path, change.key), GONE if change.after is None else change.after)


def _place(schema: Schema, path: str, key: str) -> tuple[str, ...]:
    """The keys in a dataset's file that lead to a key of a feature, or of the schema itself."""
    if path:
        return ("schema", *schema.key_path(path), *([key] if key else []))
    named = key.startswith(("domains.", "checks."))
    return ("schema", *(key.split(".", 1) if named else key.split(".")))


def _adoptable(one: Difference, known: Schema) -> bool:
    """Whether it is something that the schema says nothing of so far: a feature, a domain."""
    if one.after is None or one.before is not None:
        return False
    return one.key == "" or (one.key in ("domain", "valency", "unique") and not known.paths()[one.path].computed)
