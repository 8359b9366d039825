"""The statistics of a dataset, as its curations kept them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from lakehouse import measured, timeline
from lakehouse.site import Site
from lakehouse.validation.statistics import Statistics

__all__ = ["statistics"]


def statistics(  # noqa: PLR0913  # what is asked for, by name
    site: Site,
    name: str,
    *,
    version: int | None = None,
    as_of: datetime | str | None = None,
    slices: Sequence[str] = (),
    weight: str | None = None,
    batch: bool = False,
) -> Statistics:
    """The statistics of a dataset, as `Lake.statistics` gives them.

    Kept ones are added up, and the past is not read again. Slices and weights are not kept: they are measured.

    Raises:
        NotFoundError: no such dataset or version, or none yet.
        ConfigError: both a version and a moment.
        StorageError: rows that must be read cannot be.
    """
    past, state = timeline.asked(site, name, version, as_of)
    dataset = site.config.dataset(name)
    private = measured.private(dataset, site.config)
    if not slices and weight is None:
        kept = measured.of_batch if batch else measured.of_version
        return kept(site, past, state, dataset.schema, private)
    rows = timeline.held(site, state)
    rows = rows.filter(pl.col("_execution") == state.execution) if batch else past.visible(rows, state)
    return measured.measure(rows, dataset.schema, private, slices=slices, weight=weight)
