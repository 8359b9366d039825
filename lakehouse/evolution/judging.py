"""What is odd about a dataset's batch or a file: held against schema, batches before and what it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import polars as pl

from lakehouse import measured, timeline
from lakehouse.config import Dataset
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.measured import Batch, History
from lakehouse.records import EventType, Execution, Version
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = ["Against", "Rehearse", "validate"]

Against: TypeAlias = "Statistics | int | str | PathLike[str]"
"""What a batch is compared with: statistics; a version's batch, by its number (of the same dataset) or as
``aviation/flights@3``; a dataset's newest batch by its name; a local file."""

Rehearse: TypeAlias = Callable[[Site, Dataset, Path, str | None], AbstractContextManager[Batch]]
"""Reads a local file as a curation would, in an environment, and leaves nothing behind."""


def validate(  # noqa: PLR0913  # what is asked for, by name
    site: Site,
    name: str,
    *,
    version: int | None = None,
    environment: str | None = None,
    previous: Against | None = None,
    serving: Against | None = None,
    file: str | PathLike[str] | None = None,
    source: str | None = None,
    rehearse: Rehearse,
) -> Anomalies:
    """What is odd, as `Lake.validate` gives it.

    Args:
        site: the opened lake.
        name: the dataset.
        version: whose batch; None for the newest.
        environment: of the schema; None for the dataset's own.
        previous: what drift is measured against; None for the batch before.
        serving: what skew is measured against.
        file: judge this local file in place of a version's batch.
        source: of a dataset with several, the one as whose files files are read.
        rehearse: reads files.

    Raises:
        NotFoundError: no such dataset, version, environment, source or file.
        ConfigError: both a version and a file, or a file and none of several sources.
        FormatError: a file cannot be read.
    """
    dataset = site.config.dataset(name)
    chosen = dataset.validation.environment if environment is None else environment
    dataset.schema.within(chosen)  # an unknown one is refused before anything is read
    if file is not None and version is not None:
        raise ConfigError("give a version or a file, not both: a file has no versions")
    judging = _Judging(site, dataset, chosen, rehearse, source)
    if file is not None:
        opened, history, now = judging.file(Path(file)), judging.history(None), site.clock()
    else:
        past, state = timeline.asked(site, name, version)
        one = measured.kept_of(site.ledger, name, state.execution)
        opened = nullcontext(judging.batch(past, state))
        history = History() if one is not None and one.again else judging.history(state.execution)
        now = state.committed_at
    if previous is not None:
        history = dataclasses.replace(history, previous=judging.other(previous))
    with opened as batch:
        return measured.judge(
            dataset,
            batch,
            history,
            now=now,
            environment=chosen,
            serving=None if serving is None else judging.other(serving),
        )


def of_source(dataset: Dataset, source: str | None) -> Dataset:
    """A dataset as of the one source as whose file a local file is read.

    Raises:
        NotFoundError: it has no such source.
        ConfigError: it has several, and none is named; or none, as no file is ever read into it.
    """
    names = dataset.source_names
    if not names:
        raise ConfigError(f"dataset '{dataset.name}' is derived from other datasets; no file is read into it")
    if source is None and len(names) > 1:
        raise ConfigError(
            f"dataset '{dataset.name}' has several sources; say as whose file it is read: {', '.join(names)}"
        )
    if source is not None and source not in names:
        raise NotFoundError(f"dataset '{dataset.name}' has no source '{source}'.{nearest(source, names)}")
    return dataset.of(source or names[0])


@dataclasses.dataclass(frozen=True, slots=True)
class _Judging:
    """One judging: where its parts are found."""

    site: Site
    dataset: Dataset
    environment: str | None
    rehearse: Rehearse
    source: str | None = None

    def history(self, until: int | None) -> History:
        """What came before a curation, or before the next one."""
        past = timeline.read(self.site.ledger, self.dataset.name)
        return measured.recent(self.site, self.dataset, past, until=until)

    def file(self, path: Path) -> AbstractContextManager[Batch]:
        """A local file's rows, as a curation would make them.

        Raises:
            NotFoundError: there is no such file.
        """
        if not path.is_file():
            raise NotFoundError(f"there is no file '{path}'")
        return self.rehearse(self.site, of_source(self.dataset, self.source), path, self.environment)

    def batch(self, past: Timeline, state: Version) -> Batch:
        """The rows that a version's own curation appended, with what it found of those it set apart."""
        private = measured.private(self.dataset, self.site.config)
        rows = timeline.held(self.site, state)
        rows = rows.filter(pl.col("_execution") == state.execution)
        statistics = measured.of_batch(self.site, past, state, self.dataset.schema, private)
        raws, same = self._read(state.execution)
        if not same or self.environment != self.dataset.validation.environment:
            # What broke then says nothing of other rules: the values that are there are looked at.
            statistics = dataclasses.replace(statistics, broken=(), judged=False)
        one = measured.kept_of(self.site.ledger, past.dataset, state.execution)
        day = one.at if one is not None else measured.median_day(statistics, self.dataset.event_time)
        read = sum(read for read, _ in timeline.counts(self._execution(state.execution)).values())
        return Batch(statistics, read, rows, day or state.committed_at.date(), raws)

    def other(self, against: Against) -> Statistics:
        """What a batch is compared with.

        Raises:
            NotFoundError: there is no such dataset, version or file.
        """
        if isinstance(against, Statistics):
            return against
        if isinstance(against, int):
            return self._statistics(self.dataset.name, against)
        name, _, number = str(against).partition("@")
        if name in self.site.config.datasets and (not number or number.isdecimal()):
            return self._statistics(name, int(number) if number else None)
        with self.file(Path(against)) as batch:
            return batch.statistics

    def _statistics(self, name: str, version: int | None) -> Statistics:
        past, state = timeline.asked(self.site, name, version)
        dataset = self.site.config.dataset(name)
        private = measured.private(dataset, self.site.config)
        return measured.of_batch(self.site, past, state, dataset.schema, private)

    def _execution(self, number: int) -> Execution:
        (found,) = self.site.ledger.get_executions(ids=[number], only=["files"])
        return found

    def _read(self, execution: int) -> tuple[dict[str, str], bool]:
        """The names of the raw files that a curation read, by their sha256; whether its schema was that of now."""
        events = self.site.ledger.get_events(execution_ids=[execution], types=[EventType.INPUT])
        read = self.site.ledger.get_artifacts(ids={event.artifact_id for event in events})
        names = {str(a.properties["sha256"]): str(a.properties["name"]) for a in read if a.type == "RawFile"}
        schemas = {a.properties.get("features") for a in read if a.type == "Schema"}
        now = {self.dataset.of(source).schema.to_json() for source in self.dataset.source_names}
        now = now or {self.dataset.schema.to_json()}
        return names, bool(schemas) and schemas <= now
