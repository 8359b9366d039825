"""Reading: a dataset as it was at any version or moment, its past, its quarantine, and where a row came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse import tables, timeline
from lakehouse.errors import IntegrityError, NotFoundError, StorageError
from lakehouse.formats import FORMATS, Format, Raw
from lakehouse.records import EventType, Trace, Version, printable, raw_id
from lakehouse.site import Site
from lakehouse.validation import QUARANTINE

__all__ = ["history", "quarantine", "read", "readable", "scan", "trace"]


def scan(site: Site, name: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.LazyFrame:
    """A dataset's rows as they were visible at a version or moment, or now; lazy.

    Returns:
        The table's columns: the features it was made with, ``_raw``, ``_row``, ``_execution``,
        ``_recorded_at``, then features that came later.

    Raises:
        NotFoundError: no such dataset or version, or none yet at that moment, or it has not come.
        ConfigError: both a version and a moment, or a moment without a time zone.
    """
    past, state = timeline.asked(site, name, version, as_of)
    frame = tables.scan(site.storage.path(state.uri), state.table_version)
    return past.visible(frame, state)


def read(site: Site, name: str, *, version: int | None = None, as_of: datetime | str | None = None) -> pl.DataFrame:
    """As `scan`, collected.

    Raises:
        StorageError: a part of the table is gone or damaged.
    """
    frame = scan(site, name, version=version, as_of=as_of)
    with readable(name):
        return frame.collect(engine="streaming")


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Say what polars says of a table's bytes as an error of ours; for the rows of `scan` and `quarantine`.

    Raises:
        StorageError: a part of the table is gone or damaged.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(
            f"dataset '{name}' cannot be read: {why}; `lakehouse check` tells what is damaged"
        ) from error


def history(site: Site, name: str) -> tuple[Version, ...]:
    """Every version of a dataset, oldest first; () before the first.

    Raises:
        NotFoundError: no such dataset.
    """
    site.config.dataset(name)
    return timeline.read(site.ledger, name).versions


def quarantine(site: Site, name: str) -> pl.LazyFrame:
    """The rows a dataset rejects now, lazily: those of curations that were not superseded.

    Returns:
        ``reasons`` (List(String)), ``fields`` (JSON object of the file's own texts, null where the
        record could not be split), ``text`` (the record, where it could not), and the provenance.

    Raises:
        NotFoundError: no such dataset.
    """
    site.config.dataset(name)
    past = timeline.read(site.ledger, name)
    table = site.storage.path(f"quarantine/{name}")
    if tables.version(table) is None:
        return pl.LazyFrame(schema=QUARANTINE)
    frame = tables.scan(table).filter(pl.col("_execution").is_in(past.completed))
    return frame if past.last is None else past.visible(frame, past.last)


def trace(site: Site, name: str, row: Mapping[str, Any]) -> Trace:
    """Where one row came from.

    Args:
        site: the opened lake.
        name: the dataset.
        row: any mapping with ``_raw`` and ``_row``: a row of `scan` or `quarantine` as a dict. With
            ``_execution`` the file is read the way it was read then.

    Raises:
        NotFoundError: no such dataset or raw file, or the file has no such record.
        IntegrityError: the raw bytes no longer match their hash.
    """
    dataset = site.config.dataset(name)
    if "_raw" not in row or "_row" not in row:
        raise NotFoundError("trace needs a row's _raw and _row; read the dataset without dropping them")
    sha256, number = str(row["_raw"]), int(row["_row"])
    found = site.ledger.get_artifacts(type="RawFile", external_ids=[raw_id(dataset.source, sha256)])
    if not found:
        raise NotFoundError(f"source '{dataset.source}' has no raw file {sha256}")
    artifact = found[0]
    if site.storage.digest(artifact.uri) != sha256:
        raise IntegrityError(f"'{artifact.uri}' no longer matches its hash; restore it from a backup")
    path = site.storage.path(artifact.uri)
    with site.storage.work(f"trace/{sha256[:16]}") as work:
        raw = Raw(sha256, printable(str(artifact.properties["name"])), path)
        line, text = _format(site, dataset.source, row.get("_execution")).locate(raw, number, work)
    seen = site.ledger.all_sightings(dataset.source, [sha256])
    origins = tuple(dict.fromkeys(s.origin for s in seen))
    return Trace(name, sha256, dataset.source, origins, artifact.uri, number, line, text)


def _format(site: Site, source: str, execution: int | None) -> Format:
    """The format a curation read its files with; the source's own now where that is not known."""
    now = site.config.source(source).format
    if execution is None:
        return now
    events = site.ledger.get_events(execution_ids=[execution], types=[EventType.INPUT])
    for artifact in site.ledger.get_artifacts(type="Schema", ids=[event.artifact_id for event in events]):
        values = json.loads(str(artifact.properties.get("format", "{}")))
        if values:
            return FORMATS[values["type"]].model_validate(values)
    return now
