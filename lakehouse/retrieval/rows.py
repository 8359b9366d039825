"""Single rows: those that were rejected, and where any row came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse import tables, timeline
from lakehouse.config import Dataset
from lakehouse.config.dotted import recorded_format
from lakehouse.errors import IntegrityError, NotFoundError
from lakehouse.formats import Format, Raw, reader
from lakehouse.records import Artifact, EventType, Trace, fidelity_of, printable, raw_id
from lakehouse.site import Site
from lakehouse.validation import QUARANTINE

__all__ = ["quarantine", "trace"]


def quarantine(site: Site, name: str) -> pl.LazyFrame:
    """The rows a dataset rejects now, lazily: those of curations that were not superseded.

    Returns:
        ``reasons`` (List(String)), ``fields`` (JSON object of the file's own texts, null where the
        record could not be split), ``text`` (the record, where it could not), and the provenance.

    Raises:
        NotFoundError: no such dataset.
    """
    dataset = site.config.dataset(name)
    past = timeline.read(site.ledger, name)
    table = site.storage.path(f"quarantine/{name}")
    if tables.version(table) is None:
        return pl.LazyFrame(schema=QUARANTINE)
    # What is derived is derived anew as a whole, so only the newest result's rejected rows are.
    kept = past.completed[-1:] if dataset.derived else past.completed
    frame = tables.scan(table).filter(pl.col("_execution").is_in(kept))
    return frame if past.last is None else past.visible(frame, past.last)


def trace(site: Site, name: str, row: Mapping[str, Any]) -> Trace:
    """Where one row came from.

    Args:
        site: the opened lake.
        name: the dataset.
        row: any mapping with ``_raw`` and ``_row``: a row of `scan` or `quarantine` as a dict. With
            ``_execution`` the file is read the way it was read then. The row of a snapshot that says that a key is
            gone has a null ``_row``: its file is the one that the key is absent from.

    Raises:
        NotFoundError: no such dataset or raw file, or the file has no such record, or the row is of a derived dataset.
        IntegrityError: the raw bytes no longer match their hash.
    """
    dataset = site.config.dataset(name)
    if "_raw" not in row or "_row" not in row:
        raise NotFoundError("trace needs a row's _raw and _row; read the dataset without dropping them")
    if row["_raw"] is None:
        raise NotFoundError(f"this row of '{name}' is in no raw file: {_made_of(site, dataset, row.get('_execution'))}")
    sha256, number = str(row["_raw"]), None if row["_row"] is None else int(row["_row"])
    artifact = _raw_file(site, dataset, sha256, row.get("_execution"))
    source = str(artifact.properties["source"])
    if site.storage.digest(artifact.uri) != sha256:
        raise IntegrityError(f"'{artifact.uri}' no longer matches its hash; restore it from a backup")
    path = site.storage.path(artifact.uri)
    line, text, member = None, "", ""
    if number is not None:
        with site.storage.work(f"trace/{sha256[:16]}") as work:
            raw = Raw(sha256, printable(str(artifact.properties["name"])), path)
            read_by = reader(_format(site, dataset, source, row.get("_execution")))
            line, text, member = read_by.locate(raw, number, work)
    seen = site.ledger.all_sightings(source, [sha256])
    origins = tuple(dict.fromkeys(s.origin for s in seen))
    return Trace(
        name, sha256, source, origins, artifact.uri, number, line, text, member, fidelity_of(artifact.custom_properties)
    )


def _made_of(site: Site, dataset: Dataset, execution: int | None) -> str:
    """What a row of a derived dataset was made of, and how; and what tells more."""
    found = site.ledger.get_executions(ids=[] if execution is None else [execution], only=["inputs"])
    known = [json.loads(str(one.properties["inputs"])) for one in found if "inputs" in one.properties]
    inputs = [f"{name}@{version}" for name, version in known[0].items()] if known else dataset.inputs
    by = f"execution:{execution} made it" if known else "it was made"
    how = "the query in `sql`" if dataset.sql is not None else f"the function {dataset.curate}"
    return f"{by} from {' and '.join(inputs)}, by {how}; `lakehouse lineage {dataset.name}` goes on from there"


def _raw_file(site: Site, dataset: Dataset, sha256: str, execution: int | None) -> Artifact:
    """The raw file that a row was read from: of several sources with the same bytes, that which its curation read.

    Raises:
        NotFoundError: no source of the dataset has it.
    """
    sources = dataset.source_names
    found = site.ledger.get_artifacts(type="RawFile", external_ids=[raw_id(source, sha256) for source in sources])
    if not found:
        whose = f"source '{sources[0]}' has" if len(sources) == 1 else f"none of the sources {', '.join(sources)} has"
        raise NotFoundError(f"{whose} {'no' if len(sources) == 1 else 'a'} raw file {sha256}")
    if len(found) > 1 and execution is not None:
        events = site.ledger.get_events(artifact_ids=[raw.id for raw in found], types=[EventType.INPUT])
        read = {event.artifact_id for event in events if event.execution_id == execution}
        return next((raw for raw in found if raw.id in read), found[0])
    return found[0]


def _format(site: Site, dataset: Dataset, source: str, execution: int | None) -> Format:
    """The format a curation read its files with; that of the dataset now where that is not known."""
    now = dataset.of(source).reader(site.config.source(source))
    if execution is None:
        return now
    events = site.ledger.get_events(execution_ids=[execution], types=[EventType.INPUT])
    for artifact in site.ledger.get_artifacts(type="Schema", ids=[event.artifact_id for event in events]):
        values = json.loads(str(artifact.properties.get("format", "{}")))
        if values and artifact.properties.get("source", source) == source:
            return recorded_format(values, site.config.project)
    return now
