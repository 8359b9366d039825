"""The lake: the one object users hold. Each method calls one operation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import polars as pl

from lakehouse import (
    catalog,
    curation,
    environment,
    evolution,
    executions,
    integrity,
    landing,
    lineage,
    openlineage,
    repair,
    retrieval,
    running,
    scaffold,
)
from lakehouse import config as configuration
from lakehouse.integrity import Problem
from lakehouse.lineage import Causes, Lineage, Personal
from lakehouse.metadata import Ledger
from lakehouse.records import Clock, Curated, Landed, Ran, Repaired, Report, Trace, Version, silent, utc_now
from lakehouse.site import Site
from lakehouse.storage import Storage
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = ["Lake"]

Done = TypeVar("Done", Landed, Curated, Ran)


class Lake:
    """A lake, opened by its configuration.

    Args:
        configs: the folder with ``lakehouse.yaml``, ``sources/``, ``datasets/`` and ``jobs/``.
        env: which of the configuration's environments; None takes ``LAKEHOUSE_ENV``, else none.
        report: told about progress.
        clock: gives the moments that are recorded; aware, UTC.

    Raises:
        ConfigError: the configuration says something impossible; every problem at once.
        MetadataError: the ledger cannot be opened.
    """

    def __init__(
        self,
        configs: str | Path = "configs",
        *,
        env: str | None = None,
        report: Report = silent,
        clock: Clock = utc_now,
    ) -> None:
        self.config = configuration.load(Path(configs), env)
        listener = openlineage.listener(self.config, clock)
        storage = Storage(self.config.root, clock)
        known = storage.root if storage.in_use() else None  # a new, empty ledger would hide the data
        ledger = Ledger(self.config.metadata.get_secret_value(), clock, lake=known)
        captured = environment.capture(self.config.project)
        self._site = Site(self.config, storage, ledger, clock, captured, report=report, listener=listener)

    @staticmethod
    def init(folder: str | Path = ".", *, from_: str | Path | None = None) -> scaffold.Scaffolded:
        """Write a new lake's configuration into a folder: a small starting set, or one for the user's own files.

        Args:
            folder: the project's folder; made where there is none.
            from_: a file or folder to write sources, datasets and schemas for.

        Raises:
            ConfigError: files would be overwritten, or ``from_`` holds nothing readable; nothing was written.
            StorageError: the disk refused.
        """
        return scaffold.init(Path(folder), None if from_ is None else Path(from_))

    @staticmethod
    def repair(
        configs: str | Path = "configs", *, env: str | None = None, report: Report = silent, clock: Clock = utc_now
    ) -> Repaired:
        """Make a lost or damaged ledger again from what the lake holds, and mend what `check` says this mends.

        Takes no open lake, as a lake without its ledger does not open. A damaged ledger is set aside, never
        thrown away; raw bytes and tables are not touched.

        Args:
            configs: as for a lake.
            env: as for a lake.
            report: told about progress.
            clock: as for a lake.

        Raises:
            CommitError: somebody is at work in the lake just now; nothing was changed.
            MetadataError: a ledger on a server is not whole, or it is one in memory; nothing was changed.
        """
        config = configuration.load(Path(configs), env)
        return repair.repair(config, Storage(config.root, clock), clock, report)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the ledger."""
        self._site.listener.close()
        self._site.ledger.close()

    def _heard(self, done: Done) -> Done:
        """What was done, with what went wrong where others were told of it."""
        return replace(done, notes=(*done.notes, *self._site.listener.settle()))

    def land(self, source: str) -> Landed:
        """Copy a source's new files into the raw zone, untouched.

        Raises:
            NotFoundError: no such source.
            SourceError: the source as a whole cannot be read.
            StorageError: the lake's disk refused.
        """
        return self._heard(landing.land(self._site, source))

    def land_file(self, source: str, path: str | Path) -> Landed:
        """Land one local file into a source, whether or not the source would find it."""
        return self._heard(landing.land_file(self._site, source, Path(path)))

    def curate(self, dataset: str, *, again: bool = False, raw: Sequence[str] | None = None) -> Curated:
        """Turn a dataset's pending raw files into rows, in one commit.

        Args:
            dataset: the dataset, ``subject/name``.
            again: take all raw files again; the new rows supersede the old ones.
            raw: take these raw files (by sha256 or its beginning) again.

        Raises:
            NotFoundError: no such dataset or raw file.
            SchemaError: a batch broke its schema as a whole; nothing of it was appended.
        """
        return self._heard(curation.curate(self._site, dataset, again=again, raw=raw))

    def run(self, job: str) -> Ran:
        """Land and curate all datasets of a job; what fails is told in the result and stops nothing else.

        Raises:
            NotFoundError: no such job.
            ConfigError: the function of one of its datasets cannot be loaded.
            CommitError: the job is running already; says who runs it.
        """
        return self._heard(running.run(self._site, job))

    def scan(self, dataset: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.LazyFrame:
        """A dataset as it was at a version or moment, or now; lazy.

        Raises:
            NotFoundError: no such dataset, version, or none yet at that moment.
        """
        return retrieval.scan(self._site, dataset, version=version, as_of=as_of)

    def read(self, dataset: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.DataFrame:
        """As `scan`, collected."""
        return retrieval.read(self._site, dataset, version=version, as_of=as_of)

    def statistics(  # noqa: PLR0913  # by keyword only
        self,
        dataset: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        slices: Sequence[str] = (),
        weight: str | None = None,
        batch: bool = False,
    ) -> Statistics:
        """What a dataset's rows are like: counts, missing values, distributions of every feature.

        Its curations measured them and kept that; the past is not read again, but for slices and weights.

        Args:
            dataset: the dataset.
            version: as it was at this version; None for the newest.
            as_of: as it was at this moment.
            slices: features for whose every value the rows are measured by themselves too.
            weight: the feature that says how much a row counts.
            batch: only the rows that the version's own curation appended.

        Raises:
            NotFoundError: no such dataset, version or feature, or no version yet.
            StorageError: rows that must be read cannot be.
        """
        return evolution.statistics(
            self._site, dataset, version=version, as_of=as_of, slices=slices, weight=weight, batch=batch
        )

    def validate(  # noqa: PLR0913  # by keyword only
        self,
        dataset: str,
        *,
        version: int | None = None,
        environment: str | None = None,
        previous: evolution.Against | None = None,
        serving: evolution.Against | None = None,
        file: str | Path | None = None,
    ) -> Anomalies:
        """What is odd about the rows that a version's curation appended, or about a file before it is landed.

        They are held against the dataset's schema as it is now, the batch before and the dataset's own past.
        Nothing is recorded; of a file nothing is landed.

        Args:
            dataset: the dataset.
            version: the version; None for the newest.
            environment: of the schema; None for the one the dataset's configuration names.
            previous: what drift is measured against in place of the batch before: a version's batch by its
                number or as ``aviation/flights@3``, another dataset's newest batch, a local file, or statistics.
            serving: what skew is measured against, likewise.
            file: a local file of the dataset's source, judged in place of a version.

        Raises:
            NotFoundError: no such dataset, version, environment or file, or no version yet.
            FormatError: a file cannot be read, or a curation would refuse it.
        """
        return evolution.validate(
            self._site,
            dataset,
            version=version,
            environment=environment,
            previous=previous,
            serving=serving,
            file=file,
            rehearse=curation.rehearse,
        )

    @property
    def schema(self) -> evolution.Schemas:
        """The schemas of datasets: ``lake.schema.infer``, ``update``, ``show``, ``diff`` and ``history``."""
        return evolution.Schemas(self._site, curation.rehearse, scaffold.rows_of)

    def history(self, dataset: str) -> tuple[Version, ...]:
        """Every version of a dataset, oldest first."""
        return retrieval.history(self._site, dataset)

    def quarantine(self, dataset: str) -> pl.LazyFrame:
        """The rows a dataset rejects now, with their reasons; lazy."""
        return retrieval.quarantine(self._site, dataset)

    def trace(self, dataset: str, row: Mapping[str, Any]) -> Trace:
        """The raw file, line and text a row came from.

        Args:
            dataset: the dataset.
            row: a row of `read` or `quarantine` as a dict.
        """
        return retrieval.trace(self._site, dataset, row)

    def lineage(  # noqa: PLR0913  # bounds, by keyword only
        self,
        what: str | int,
        *,
        column: str | None = None,
        direction: lineage.Direction = "both",
        hops: int | None = None,
        types: Collection[str] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Lineage:
        """What something came of and what came of it: ``print`` it, take its ``upstream()`` or its ``impact()``.

        A bound also bounds the work; what it left out is in the lineage's ``cut``.

        Args:
            what: ``aviation/flights``, ``aviation/flights@12``, ``execution:17``, ``artifact:9``,
                ``Model:churn``, the URI of an artifact, or a raw file's sha256 or its beginning. A dataset is its
                newest version, downstream also the older ones that steps read.
            column: only of this column of a dataset or raw file: columns it was made from, or that were made
                from it, and the steps that read them. Without a version it is of all versions.
            direction: ``up``, ``down`` or ``both``.
            hops: how many edges to follow.
            types: kinds of nodes to show; a path through others becomes one edge.
            since: executions that began before are not followed.
            until: nor those that began after.
            limit: how many neighbours of one kind to follow from one node; the others are counted.

        Raises:
            NotFoundError: there is no such thing, or several that are meant; lists them.
            ConfigError: a bound is none.
        """
        return lineage.lineage(
            self._site,
            what,
            column=column,
            direction=direction,
            hops=hops,
            types=types,
            since=since,
            until=until,
            limit=limit,
        )

    def causes(self, what: str, against: int | None = None) -> Causes:
        """Which raw files, code and configuration made one version of a dataset differ from another.

        Args:
            what: ``aviation/flights@12``; without a number its newest version.
            against: the other version, older or newer; None for the one before.

        Raises:
            NotFoundError: there is no such version.
            ConfigError: it is no dataset.
        """
        return lineage.causes(self._site, what, against)

    def personal(self) -> Personal:
        """The record of personal data: where they came in, and every place that holds them.

        Personal is what is marked ``personal: true``, and what is made from that, unless it is marked
        ``personal: false``. No value is in it.
        """
        return lineage.personal(self._site)

    def execution(
        self,
        type: str,  # noqa: A002  # ML Metadata's word
        inputs: executions.Inputs = (),
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> AbstractContextManager[executions.Run]:
        """A step of your own, for a ``with`` statement: recorded as RUNNING at its start, as COMPLETE with its outputs.

        An error inside marks it FAILED, with the error; it is raised again, and no output is recorded.

        Args:
            type: your own word for what is done: ``Train``.
            inputs: what is read, as `lineage` names things; a mapping says which columns of each.
            parameters: what it is done with.
            name: for people.

        Raises:
            RecordError: the type is one of the lake's own, or a parameter cannot be stored.
            NotFoundError: an input is not there; lists or suggests.
        """
        return executions.execution(self._site, type, inputs, parameters, name)

    def check(self) -> tuple[Problem, ...]:
        """Prove that the lake is whole by reading all of it again; every problem found.

        Raises:
            ConfigError: the function of a dataset cannot be loaded.
        """
        configuration.load_functions(self._site.config, self._site.config.datasets)
        return tuple(integrity.check(self._site))

    def list(self) -> catalog.Listing:
        """Every source, dataset and job at a glance."""
        return catalog.listing(self._site)

    def show(
        self, name: str, kind: str | None = None, *, limit: int | None = catalog.SHOWN, raw: Sequence[str] = ()
    ) -> catalog.Detail:
        """One source, dataset or job in full.

        Args:
            name: of the source, dataset or job.
            kind: ``source``, ``dataset`` or ``job``, where the name alone could be two of them.
            limit: how many raw files, versions and failures, the newest; None for all.
            raw: of a source's raw files just those whose sha256 is one of these, or begins so.

        Raises:
            NotFoundError: nothing has that name.
        """
        return catalog.show(self._site, name, kind, limit=limit, raw=raw)
