"""The lake: the one object users hold. Each method calls one operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lakehouse import catalog, curation, environment, integrity, landing, lineage, retrieval, running, scaffold
from lakehouse import config as configuration
from lakehouse.integrity import Problem
from lakehouse.lineage import Lineage
from lakehouse.metadata import Ledger
from lakehouse.records import Clock, Curated, Landed, Ran, Report, Trace, Version, silent, utc_now
from lakehouse.site import Site
from lakehouse.storage import Storage

__all__ = ["Lake"]


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
        storage = Storage(self.config.root, clock)
        known = storage.root if storage.in_use() else None  # a new, empty ledger would hide the data
        ledger = Ledger(self.config.metadata.get_secret_value(), clock, lake=known)
        captured = environment.capture(self.config.project)
        self._site = Site(self.config, storage, ledger, clock, captured, report=report)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the ledger."""
        self._site.ledger.close()

    def land(self, source: str) -> Landed:
        """Copy a source's new files into the raw zone, untouched.

        Raises:
            NotFoundError: no such source.
            SourceError: the source as a whole cannot be read.
            StorageError: the lake's disk refused.
        """
        return landing.land(self._site, source)

    def land_file(self, source: str, path: str | Path) -> Landed:
        """Land one local file into a source, whether or not the source would find it."""
        return landing.land_file(self._site, source, Path(path))

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
        return curation.curate(self._site, dataset, again=again, raw=raw)

    def run(self, job: str) -> Ran:
        """Land and curate all datasets of a job; what fails is told in the result and stops nothing else.

        Raises:
            NotFoundError: no such job.
            ConfigError: the function of one of its datasets cannot be loaded.
            CommitError: the job is running already; says who runs it.
        """
        return running.run(self._site, job)

    def scan(self, dataset: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.LazyFrame:
        """A dataset as it was at a version or moment, or now; lazy.

        Raises:
            NotFoundError: no such dataset, version, or none yet at that moment.
        """
        return retrieval.scan(self._site, dataset, version=version, as_of=as_of)

    def read(self, dataset: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.DataFrame:
        """As `scan`, collected."""
        return retrieval.read(self._site, dataset, version=version, as_of=as_of)

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

    def lineage(self, what: str | int) -> Lineage:
        """What something came of and what came of it: ``print`` it, or take its ``upstream()``.

        Args:
            what: ``aviation/flights``, ``aviation/flights@12``, ``execution:17``, or a raw file's
                sha256 or its beginning.

        Raises:
            NotFoundError: there is no such thing, or several that are meant; lists them.
        """
        return lineage.lineage(self._site, what)

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

    def show(self, name: str, kind: str | None = None) -> catalog.Detail:
        """One source, dataset or job in full.

        Args:
            name: of the source, dataset or job.
            kind: ``source``, ``dataset`` or ``job``, where the name alone could be two of them.

        Raises:
            NotFoundError: nothing has that name.
        """
        return catalog.show(self._site, name, kind)
