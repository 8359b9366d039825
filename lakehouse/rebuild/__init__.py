"""Rebuilding: a dataset made again from its raw files as it was configured then, and compared row for row.

What is recorded is done once more in a fresh lake, by the same code that curates; the lake itself is only
read, but for the record of what came of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import timeline, views
from lakehouse.errors import ConfigError
from lakehouse.rebuild.comparing import Compared, Differing, compared
from lakehouse.rebuild.explaining import explained
from lakehouse.rebuild.recorded import Step, steps
from lakehouse.rebuild.replaying import Fresh
from lakehouse.records import Artifact, Context, EventType, ExecutionState, Progress, Value, Version
from lakehouse.site import INTERRUPTED, Site
from lakehouse.storage import refused
from lakehouse.timeline import Timeline

__all__ = ["KIND", "Compared", "Comparison", "Differing", "Rebuilt", "rebuild"]

KIND = "Rebuild"
"""The type of a rebuilding's execution."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of one dataset.

    Attributes:
        version: the version that was made again.
        execution: the record of it.
        compared: how the rows that were made differ from those that count at the version.
        damaged: uris of raw files that are gone or no longer what was landed: their rows could not be made.
        explained: what may explain a difference: code, packages, raw files, a step that failed. Where nothing
            differs, what has changed since and makes no difference.
        lake: where the lake is that it was made in; None where that was not kept.
    """

    dataset: str
    version: int
    execution: int
    compared: Compared
    damaged: tuple[str, ...] = ()
    explained: tuple[str, ...] = ()
    lake: Path | None = None

    @property
    def same(self) -> bool:
        """Whether every row is as it was."""
        return self.compared.same


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What one ``rebuild`` did."""

    datasets: tuple[Comparison, ...]
    seconds: float = 0.0

    @property
    def same(self) -> bool:
        """Whether every row of every dataset is as it was."""
        return all(dataset.same for dataset in self.datasets)


def rebuild(
    site: Site, name: str | None, *, every: bool = False, version: int | None = None, into: Path | None = None
) -> Rebuilt:
    """Make a dataset again from its raw files, and hold it against what the lake has.

    Args:
        site: the opened lake.
        name: the dataset; None with ``every``.
        every: all datasets that have a version.
        version: as it was at this version; None for the newest.
        into: an empty folder to keep the lake in that it is made in; with ``every`` one in it for each dataset.

    Raises:
        NotFoundError: no such dataset or version.
        ConfigError: both a dataset and all of them, or neither; or ``into`` is not empty.
        StorageError: the disk refused.
        CommitError: the dataset is being rebuilt already.
    """
    started = time.monotonic()
    if every == (name is not None) or (every and version is not None):
        raise ConfigError("rebuild takes a dataset, with or without a version, or all of them")
    if into is not None and into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConfigError(f"'{into}' is there already and not empty; name a new folder")
    known = [context.name for context in site.ledger.get_contexts(type="Dataset")]
    names = sorted(one for one in known if timeline.read(site.ledger, one).last) if every else [name or ""]
    found = []
    for at, one in enumerate(names):
        if one not in known:
            site.config.dataset(one)
        site.report(Progress("rebuild", one, at, len(names), "datasets"))
        found.append(_rebuilt(site, one, version, None if into is None else into / one if every else into))
    return Rebuilt(tuple(found), time.monotonic() - started)


def _rebuilt(site: Site, name: str, number: int | None, into: Path | None) -> Comparison:
    about = Context("Dataset", name)
    with site.storage.lock("rebuild", name), _place(site, name, into) as folder:
        for execution in site.interrupted(KIND, about):
            site.fail(execution.id, KIND, about, INTERRUPTED)
        past = timeline.read(site.ledger, name)
        version = past.at(number)
        made = site.ledger.get_artifacts(type="TableVersion", names=[f"{name}@{version.version}"], only=())
        links: list[tuple[Artifact | int, EventType]] = [(artifact.id, EventType.INPUT) for artifact in made]
        begun = site.begin(KIND, about, {"version": version.version}, links)
        try:
            done = _made_again(site, past, version, folder, kept=into is not None)
        except BaseException as error:
            site.fail(begun, KIND, about, error)
            raise
        told: dict[str, Value] = {
            "same": done.same,
            "recorded": done.compared.recorded,
            "rebuilt": done.compared.rebuilt,
            "differing": done.compared.files,
            "explained": json.dumps(done.explained, ensure_ascii=False),
            "damaged": json.dumps(done.damaged, ensure_ascii=False),
        }
        site.put(begun, KIND, about, state=ExecutionState.COMPLETE, properties=told)
        return dataclasses.replace(done, execution=begun, lake=into)


@contextlib.contextmanager
def _place(site: Site, name: str, into: Path | None) -> Iterator[Path]:
    """The folder to make it in: on the lake's own disk, so that raw files need only be linked, or the user's."""
    if into is None:
        with site.storage.work(f"rebuild/{name}") as folder:
            yield folder
        return
    with refused(f"preparing {into}"):
        into.mkdir(parents=True, exist_ok=True)
    yield into.absolute()


def _made_again(site: Site, past: Timeline, version: Version, folder: Path, *, kept: bool) -> Comparison:
    todo = steps(site, past, version)
    with Fresh(site, folder) as fresh:
        for at, step in enumerate(todo):
            site.report(Progress("rebuild", past.dataset, at, len(todo), "steps"))
            fresh.live(step)
        site.report(Progress("rebuild", past.dataset, len(todo), len(todo), "steps", finished=True))
        recorded = views.rows(site, past, version)
        newest = timeline.read(fresh.site.ledger, past.dataset)
        rebuilt = (
            pl.LazyFrame(schema=recorded.collect_schema())
            if newest.last is None
            else views.rows(fresh.site, newest, newest.last)
        )
        with views.readable(past.dataset):
            found = compared(recorded, rebuilt, _keys(site, version, todo))
        if kept:
            fresh.configure()
        why = tuple(explained(site, todo, fresh))
    return Comparison(past.dataset, version.version, 0, found, tuple(fresh.damaged.values()), why)


def _keys(site: Site, version: Version, todo: Sequence[Step]) -> tuple[str, ...]:
    """The columns whose values rows may be named by; () where one of the dataset's is personal."""
    today = site.config.datasets.get(version.dataset)
    schemas = [step.dataset.schema for step in todo] + ([] if today is None else [today.schema])
    if any(any(schema.marks.values()) for schema in schemas):
        return ()
    return version.keys or (() if today is None else today.keys)
