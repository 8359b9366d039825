"""Reading: any past state of any dataset, and where its rows came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse import retrieval
from lakehouse.lake.opened import Opened
from lakehouse.records import Trace, Version

__all__ = ["Reading"]


class Reading(Opened):
    """Reading: any past state of any dataset, and where its rows came from."""

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
