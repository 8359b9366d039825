"""Features of a spine: what the datasets of a lake said of each of its rows, as of that row's own time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import polars as pl

from lakehouse import timeline, views
from lakehouse.config import FeatureSet
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.features import spines
from lakehouse.features.choosing import Chosen, chosen
from lakehouse.features.sources import Source
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.units import duration

__all__ = ["TTL", "Assembled", "assemble"]

TTL: TypeAlias = str | int | timedelta | Mapping[str, str | int | timedelta] | None
"""How old a value may be: ``"3d"``, a timedelta, 0 for any age; a mapping says it by dataset."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A spine with its features, and what they were made of.

    Attributes:
        frame: the spine's rows in their order, its columns, then the features.
        features: what was joined, in the order of the columns.
        versions: the version of each dataset that was read.
        columns: the columns of each that were read.
        time: the spine's column of times.
        ttl: how old a value may be, by dataset; those of any age are left out.
        as_known: whether only what was recorded by a row's time was joined to it.
        feature_set: its name; "" where features were named one by one.
    """

    frame: pl.DataFrame
    features: tuple[Chosen, ...]
    versions: Mapping[str, Version]
    columns: Mapping[str, tuple[str, ...]]
    time: str
    ttl: Mapping[str, timedelta]
    as_known: bool
    feature_set: str


def assemble(  # noqa: PLR0913  # by keyword
    site: Site,
    spine: Any,
    features: str | Sequence[str],
    *,
    time: str | None = None,
    ttl: TTL = None,
    as_known: bool | None = None,
    as_of: datetime | str | None = None,
    tag: str | None = None,
    versions: Mapping[str, int] | None = None,
) -> Assembled:
    """Join to each row of a spine the values that features had at its time.

    Args:
        site: the opened lake.
        spine: a polars DataFrame or LazyFrame, an Arrow table or a pandas DataFrame, with the keys of the datasets,
            one column of times, and any others.
        features: a feature set's name, or features as `lakehouse.config.feature_name` reads them.
        time: the spine's column of times; None takes ``event_time`` or ``event_timestamp``.
        ttl: how old a value may be; None takes the feature set's, else any age.
        as_known: whether to join only what the lake showed at a row's time, as ``as_of`` that time would; None takes
            the feature set's, else not.
        as_of: read the datasets as they were visible at this moment.
        tag: read the versions that a tag names.
        versions: read these versions, by dataset; of others the newest.

    Raises:
        NotFoundError: no such set, dataset, feature, version or column.
        ConfigError: a column has the name of a feature, keys or times cannot be compared.
        StorageError: a part of a table is gone or damaged.
    """
    frame = spines.frame(spine)
    when = spines.time_of(frame, time)
    feature_set = site.config.feature_set(features) if isinstance(features, str) and ":" not in features else None
    wanted = chosen(site.config, feature_set or ([features] if isinstance(features, str) else features))
    _refuse_clash(frame, wanted)
    datasets = tuple(dict.fromkeys(one.dataset for one in wanted))
    ages = _ages(ttl, feature_set, datasets)
    known = (feature_set is not None and feature_set.as_known) if as_known is None else as_known
    read = _versions(site, datasets, as_of, tag, versions)
    sources = {
        dataset: Source(
            site,
            site.config.dataset(dataset),
            past,
            version,
            {one.column: one.feature for one in wanted if one.dataset == dataset},
        )
        for dataset, (past, version) in read.items()
    }
    columns = [frame]
    for dataset, source in sources.items():
        with views.readable(dataset), _told_of(dataset):
            columns.append(source.joined(frame, when, ages[dataset], as_known=known))
    return Assembled(
        pl.concat(columns, how="horizontal").select(*frame.columns, *(one.column for one in wanted)),
        wanted,
        {dataset: version for dataset, (_, version) in read.items()},
        {dataset: source.columns for dataset, source in sources.items()},
        when,
        {dataset: age for dataset, age in ages.items() if age},
        known,
        "" if feature_set is None else feature_set.name,
    )


def _refuse_clash(spine: pl.DataFrame, wanted: Sequence[Chosen]) -> None:
    for one in wanted:
        if one.column in spine.columns:
            raise ConfigError(
                f"the spine has a column '{one.column}', as the feature {one.dataset}:{one.feature} would be; write "
                f"'{one.dataset}:{one.feature} as NAME', or take the column out of the spine"
            )


def _ages(ttl: TTL, feature_set: FeatureSet | None, datasets: Sequence[str]) -> dict[str, timedelta | None]:
    """How old a value of each dataset may be.

    Raises:
        ConfigError: a duration is none, or a dataset is named of which nothing is wanted.
    """
    if isinstance(ttl, Mapping):
        for dataset in ttl:
            if dataset not in datasets:
                raise ConfigError(f"ttl: no feature is wanted of '{dataset}'.{nearest(dataset, datasets)}")
    given = {d: ttl.get(d) if isinstance(ttl, Mapping) else ttl for d in datasets}
    found: dict[str, timedelta | None] = {}
    for dataset, one in given.items():
        try:
            age = duration(0 if one == "0" else one) if one is not None else feature_set and feature_set.ttl_of(dataset)
        except ValueError as error:
            raise ConfigError(f"ttl: '{one}': {error}") from None
        found[dataset] = age or None
    return found


def _versions(
    site: Site,
    datasets: Sequence[str],
    as_of: datetime | str | None,
    tag: str | None,
    versions: Mapping[str, int] | None,
) -> dict[str, tuple[timeline.Timeline, Version]]:
    """The version of each dataset that is to be read, and its past.

    Raises:
        NotFoundError: there is no such version, moment, tag or dataset.
        ConfigError: a dataset names no keys.
    """
    numbers = versions or {}
    for dataset in numbers:
        if dataset not in datasets:
            raise NotFoundError(f"versions: no feature is wanted of '{dataset}'.{nearest(dataset, datasets)}")
    for dataset in datasets:
        if not site.config.dataset(dataset).keys:
            raise ConfigError(
                f"dataset '{dataset}' names no keys, which say what its rows are of; add keys: [...] to it"
            )
    if as_of is None and tag is None and not numbers and site.pinned is None:
        return timeline.together(site, datasets)
    return {dataset: timeline.asked(site, dataset, numbers.get(dataset), as_of, tag) for dataset in datasets}


@contextmanager
def _told_of(dataset: str) -> Iterator[None]:
    """Say in an error of the spine's which dataset it does not suit."""
    try:
        yield
    except (ConfigError, NotFoundError) as error:
        raise type(error)(f"features of '{dataset}': {error}") from None
