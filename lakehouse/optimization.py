"""Optimizing: many small parts of a table written again as few sorted ones; every older version stays as it was.

Rows keep their provenance, so whoever reads an older version still finds just its rows. Nothing is
deleted: the parts that were replaced are what a vacuum may take away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse import measured, tables, timeline
from lakehouse.errors import StorageError
from lakehouse.faults import point
from lakehouse.records import Context, ExecutionState, Note, Progress, Value
from lakehouse.schema import PROVENANCE, STATES
from lakehouse.site import INTERRUPTED, Site
from lakehouse.storage import sync_folders
from lakehouse.tables import KIND, Held, Part
from lakehouse.timeline import Timeline

__all__ = ["Optimized", "optimize", "settle"]


@dataclass(frozen=True, slots=True)
class Optimized:
    """What one ``optimize`` did.

    Attributes:
        execution: 0 when there was nothing to do.
        parts: how many parts were replaced.
        written: by how many.
        rows: rows in them.
        before: bytes of the parts that were replaced.
        after: bytes of those in their place.
    """

    dataset: str
    execution: int = 0
    parts: int = 0
    written: int = 0
    rows: int = 0
    before: int = 0
    after: int = 0
    seconds: float = 0.0
    notes: tuple[Note, ...] = ()


def optimize(site: Site, name: str) -> Optimized:
    """Write the small parts of a dataset's tables again as large sorted ones, and put them in their place.

    Keyed datasets are sorted by their keys, others by their event time. Every part that is read is hashed
    first, and every one that is written is held against what it was made from, before one commit a table
    makes it visible. Whoever reads meanwhile is not disturbed; whoever curates waits.

    Args:
        site: the opened lake.
        name: the dataset.

    Raises:
        NotFoundError: no such dataset.
        IntegrityError: a part is no longer what was sealed.
        StorageError: the disk refused; nothing was changed.
        CommitError: the dataset is busy, or another program changed a table meanwhile; safe to run again.
    """
    started = time.monotonic()
    site.config.dataset(name)
    with site.storage.lock("dataset", name), site.storage.work(f"optimize/{name}") as work:
        notes = tuple(Note("recovered", name, told) for told in settle(site, name))
        past = timeline.read(site.ledger, name)
        due = {uri: bins for uri in _places(past) if (bins := tables.bins(site.storage.path(uri)))}
        done = Optimized(name) if not due else _optimized(site, past, due, work)
    return dataclasses.replace(done, seconds=time.monotonic() - started, notes=notes)


def settle(site: Site, name: str) -> list[str]:
    """Close what a killed optimization left open; only call while holding the dataset's lock.

    Returns:
        One sentence an execution, for people.
    """
    about = Context("Dataset", name)
    told = []
    for execution in site.interrupted(KIND, about):
        removed = _sweep(site, name, execution.id)
        places = _places(timeline.read(site.ledger, name))
        made = {uri: number for uri in places if (number := _made(site, uri, execution.id)) is not None}
        if made:
            _complete(site, about, execution.id, made, {})
            told.append(
                f"execution {execution.id} was interrupted after it had optimized the table; its record is whole now"
            )
        else:
            site.fail(execution.id, KIND, about, INTERRUPTED)
            told.append(f"execution {execution.id} was interrupted; no part was replaced, {removed} files were swept")
    site.keep_newest(KIND, about)
    return told


def _places(past: Timeline) -> list[str]:
    """The dataset's tables, of all generations, and its quarantine."""
    return [*dict.fromkeys(version.uri for version in past.versions), f"quarantine/{past.dataset}"]


def _optimized(site: Site, past: Timeline, due: Mapping[str, Sequence[Sequence[Held]]], work: Path) -> Optimized:
    about = Context("Dataset", past.dataset)
    execution = site.begin(KIND, about, {})
    point("optimize.begun")
    held = [part for bins in due.values() for parts in bins for part in parts]
    total, so_far = sum(part.size for part in held), 0
    written: dict[str, list[Part]] = {uri: [] for uri in due}
    made: dict[str, int] = {}
    try:
        for uri, bins in due.items():
            table, order, private = site.storage.path(uri), _order(site, past, uri), _private(site, uri, past.dataset)
            for parts in bins:
                number = len(written[uri])
                file = work / str(len(made)) / Path(parts[0].path).parent / "part.parquet"
                tables.rewrite(table, parts, file, order)
                written[uri].append(tables.seal(file, table, f"{execution}-{number}", private))
                so_far += sum(part.size for part in parts)
                site.report(Progress("optimize", past.dataset, so_far, total, "bytes", finished=so_far == total))
            sync_folders([table, table.parent], site.storage.root)
            point("optimize.sealed")
            made[uri] = tables.replace(
                table,
                [part for parts in bins for part in parts],
                written[uri],
                _note(site, past, execution),
                site.clock(),
            )
            point("optimize.committed")
    except BaseException as error:
        with contextlib.suppress(StorageError):  # what is left is swept, or told by a check
            _sweep(site, past.dataset, execution)
        site.fail(execution, KIND, about, error)
        raise
    new = [part for parts in written.values() for part in parts]
    done = Optimized(
        past.dataset,
        execution,
        len(held),
        len(new),
        sum(part.rows for part in new),
        total,
        sum(part.size for part in new),
    )
    _complete(
        site,
        about,
        execution,
        made,
        {name: getattr(done, name) for name in ("parts", "written", "rows", "before", "after")},
    )
    return done


def _complete(site: Site, about: Context, execution: int, made: Mapping[str, int], counts: Mapping[str, int]) -> None:
    properties: dict[str, Value] = {**counts, "commits": json.dumps(made)}
    site.put(execution, KIND, about, state=ExecutionState.COMPLETE, properties=properties)
    point("optimize.finished")


def _order(site: Site, past: Timeline, uri: str) -> tuple[str, ...]:
    """What a table is sorted by: what its rows are most often looked for by."""
    newest = next((version for version in reversed(past.versions) if version.uri == uri), None)
    if newest is None:
        return ()  # the quarantine, in the order its rows came
    if newest.history != "events":
        return (*newest.keys, "_valid_from", "_execution", "_position")
    event_time = site.config.dataset(past.dataset).event_time
    return () if event_time is None else (event_time,)


def _private(site: Site, uri: str, name: str) -> set[str]:
    """The columns whose bounds must not stand in the log: personal ones, and those of which that is not known."""
    if uri.startswith("quarantine/"):
        return {"fields", "text"}
    dataset = site.config.dataset(name)
    layout = tables.layout(site.storage.path(uri))
    left = (
        (layout.dtypes.keys() if layout else set()) - dataset.schema.features.keys() - PROVENANCE.keys() - STATES.keys()
    )
    return {*left, *measured.private(dataset, site.config)}


def _note(site: Site, past: Timeline, execution: int) -> dict[str, str]:
    """What the commit says of itself, so that the ledger's record can be made again from the table alone."""
    (begun,) = site.ledger.receipts([execution])
    return {
        "lakehouse.commit": uuid.uuid4().hex,
        "lakehouse.dataset": past.dataset,
        "lakehouse.execution": str(execution),
        "lakehouse.receipt": begun.to_json(),
    }


def _made(site: Site, uri: str, execution: int) -> int | None:
    """The table's version that an optimization made; None where it made none."""
    made = (commit for commit in tables.commits(site.storage.path(uri)) if commit.execution == execution)
    return next((commit.number for commit in made), None)


def _sweep(site: Site, name: str, execution: int) -> int:
    places = (site.storage.path(uri) for uri in _places(timeline.read(site.ledger, name)))
    orphans = [file for place in places for file in tables.orphans(place, execution)]
    for file in orphans:
        file.unlink(missing_ok=True)
    return len(orphans)
