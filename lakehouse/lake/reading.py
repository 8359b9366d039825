"""Reading: any past state of any dataset, and where its rows came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack, overload

import polars as pl

from lakehouse import retrieval
from lakehouse.lake.opened import Opened
from lakehouse.records import Trace, Version
from lakehouse.retrieval import Engine, Into, State
from lakehouse.views import Files

__all__ = ["Reading"]


class Which(TypedDict, total=False):
    """What is read of a dataset; see `Reading.scan`."""

    version: int | None
    as_of: datetime | str | None
    valid_at: datetime | str | None
    tag: str | None
    history: bool


class Reading(Opened):
    """Reading: any past state of any dataset, and where its rows came from."""

    def scan(  # noqa: PLR0913  # one name a question
        self,
        dataset: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        tag: str | None = None,
        history: bool = False,
    ) -> pl.LazyFrame:
        """A dataset as it was at a version, moment or tag, or is now; lazy.

        Of ``changes`` and ``snapshots`` this is one row a key, its newest state.

        Args:
            dataset: the dataset.
            version: as it was at this version.
            as_of: as the lake knew it at this moment.
            valid_at: what was true at this moment, one row a key.
            tag: as it was at this tag.
            history: every state of every key, with ``valid_from`` and ``valid_to`` (null while it is true).

        Raises:
            NotFoundError: no such dataset, version or tag, or none yet at that moment.
            ConfigError: questions that exclude each other, or that this load kind has no answer to.
        """
        return retrieval.scan(
            self._site, dataset, version=version, as_of=as_of, valid_at=valid_at, tag=tag, history=history
        )

    @overload
    def read(self, dataset: str, *, into: Literal["polars"] = "polars", **which: Unpack[Which]) -> pl.DataFrame: ...

    @overload
    def read(self, dataset: str, *, into: Into, **which: Unpack[Which]) -> Any: ...

    def read(self, dataset: str, *, into: Into = "polars", **which: Unpack[Which]) -> Any:
        """As `scan`, collected: as a polars DataFrame, an Arrow Table, a pandas DataFrame or a DuckDB relation.

        Raises:
            ConfigError: the package for ``into`` is not installed; names the extra.
        """
        return retrieval.read(self._site, dataset, into=into, **which)

    @overload
    def sql(
        self,
        query: str,
        *,
        as_of: datetime | str | None = None,
        tag: str | None = None,
        engine: Engine = "polars",
        into: Literal["polars"] = "polars",
    ) -> pl.DataFrame: ...

    @overload
    def sql(
        self,
        query: str,
        *,
        as_of: datetime | str | None = None,
        tag: str | None = None,
        engine: Engine = "polars",
        into: Into,
    ) -> Any: ...

    def sql(
        self,
        query: str,
        *,
        as_of: datetime | str | None = None,
        tag: str | None = None,
        engine: Engine = "polars",
        into: Into = "polars",
    ) -> Any:
        """What a SQL query over datasets gives, with every table as of one moment.

        A table is named like its dataset, ``aviation.flights``, and has the columns that `scan` gives. A query reads
        datasets alone: no file, and no address.

        Args:
            query: a SELECT.
            as_of: the moment; None for now, without what a run of a job under way has made so far.
            tag: every table as it was at this tag.
            engine: ``polars``, or ``duckdb`` (an extra).
            into: the form of the result, as of `read`.

        Raises:
            ConfigError: it is no query, or does not fit the tables; or an extra is not installed.
            NotFoundError: it names a dataset that is not there, or was not then.
        """
        return retrieval.sql(self._site, query, as_of=as_of, tag=tag, engine=engine, into=into)

    def changes(self, dataset: str, *, since: State | None = None, until: State | None = None) -> pl.LazyFrame:
        """The rows inserted, updated and deleted between two states of a dataset; lazy.

        Args:
            dataset: the dataset.
            since: the older state: a version's number, a moment, or ``tag:NAME``; None for nothing at all.
            until: the newer one; None for the newest.

        Returns:
            ``_change`` (``insert``, ``update``, ``delete``), then the columns. A deleted row is as it was.
        """
        return retrieval.changes(self._site, dataset, since, until)

    def files(
        self,
        dataset: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        tag: str | None = None,
    ) -> Files | None:
        """How many of the dataset's files are opened to read it as it was; None for an imported tag."""
        return retrieval.files(self._site, dataset, version=version, as_of=as_of, tag=tag)

    @overload
    def history(self, dataset: str) -> tuple[Version, ...]: ...

    @overload
    def history(self, dataset: str, key: Mapping[str, Any]) -> pl.DataFrame: ...

    def history(self, dataset: str, key: Mapping[str, Any] | None = None) -> tuple[Version, ...] | pl.DataFrame:
        """Every version of a dataset, oldest first; or all that was ever recorded of one key, in both times.

        Args:
            dataset: the dataset.
            key: a value for each column of the key, such as ``{"tailnum": "N1"}``. Its states come with ``valid_from``
                and ``valid_to`` (when it was true), ``recorded_at`` and ``superseded_at`` (when the lake had it so).
        """
        return retrieval.history(self._site, dataset) if key is None else retrieval.recorded(self._site, dataset, key)

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
