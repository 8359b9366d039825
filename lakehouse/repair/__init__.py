"""Repair: a lost or damaged ledger made again from what its executions left in the lake, and small damage mended.

Never touches raw bytes or tables, and never throws a ledger away: a damaged one is set aside under
another name. Nobody else lands or curates meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from lakehouse import landing, optimization
from lakehouse.config import Config
from lakehouse.curation import commit
from lakehouse.environment import capture
from lakehouse.faults import point
from lakehouse.integrity.raw import misfit
from lakehouse.integrity.recorded import by_the_lake, deleted
from lakehouse.metadata import Ledger
from lakehouse.receipts import uri_of
from lakehouse.records import Clock, EventType, ExecutionState, Progress, Repaired, Report, TypeKind
from lakehouse.repair.finding import Found, find
from lakehouse.repair.rebuilding import Rebuilding
from lakehouse.site import Site
from lakehouse.storage import Storage
from lakehouse.timeline import runs

__all__ = ["repair"]

_PART = 500  # receipts written in one go
_ENDED = (ExecutionState.COMPLETE, ExecutionState.FAILED)


def repair(config: Config, storage: Storage, clock: Clock, report: Report) -> Repaired:
    """Mend the ledger, and what stands beside the data because of it.

    Raises:
        CommitError: somebody is landing, curating or running a job just now; nothing was changed.
        MetadataError: a ledger on a server is damaged, or it is one in memory; nothing was changed.
        StorageError: the disk refused.
    """
    url = config.metadata.get_secret_value()
    with _alone(config, storage):
        report(Progress("repair", "reading the lake", 0, None, "executions"))
        found = find(storage, config)
        report(Progress("repair", "reading the lake", len(found.files), None, "executions", finished=True))
        done = Rebuilding(storage, url, clock, report, found).ledger()
        with Ledger(url, clock) as ledger:
            site = Site(config, storage, ledger, clock, capture(config.project), report=report)
            return _mended(site, found, done)


@contextlib.contextmanager
def _alone(config: Config, storage: Storage) -> Iterator[None]:
    """Hold every lock that somebody could take or holds; whoever is at work already is not waited for."""
    named = {
        *(("job", name) for name in config.jobs),
        *(("source", name) for name in config.sources),
        *(("dataset", name) for name in config.datasets),
        *storage.locks(),
    }
    with contextlib.ExitStack() as held:
        for kind, name in sorted(named):
            held.enter_context(storage.lock(kind, name, wait=0))
        yield


def _mended(site: Site, found: Found, done: Repaired) -> Repaired:
    """End what is open as the next run would, and write the receipts and manifests that are missing."""
    settled = []
    for context in site.ledger.get_contexts(type="Source"):
        settled += landing.settle(site, context.name)
    for context in site.ledger.get_contexts(type="Dataset"):
        settled += commit.settle(site, context.name)
        settled += optimization.settle(site, context.name)
    settled += runs.close_killed(site, alone=True)
    ended = runs.restore(site)
    settled += [f"run execution:{number} was not known any more; what it made is visible" for number in ended]
    point("repair.settled")
    _set_aside(site, found.damaged)
    whole = {number for number in found.files if site.storage.path(uri_of(number)).exists()}
    missing = [
        e.id
        for e in site.ledger.get_executions()
        if e.state in _ENDED and e.id not in whole and (by_the_lake(e) or e.id in found.damaged)
    ]
    for at in range(0, len(missing), _PART):
        site.report(Progress("repair", "receipts", at, len(missing), "files"))
        site.keep(missing[at : at + _PART])
    return dataclasses.replace(
        done,
        restored=done.restored + len(ended),
        approximate=tuple(sorted({*done.approximate, *ended})),
        lost=max(done.lost - len(ended), 0),
        settled=tuple(settled),
        receipts=len(missing),
        manifests=sum(1 for _ in _manifests(site)),
    )


def _set_aside(site: Site, damaged: Collection[int]) -> None:
    """Rename the damaged receipts that nothing else tells of: they would be waited for for ever."""
    known = {e.id for e in site.ledger.get_executions(ids=damaged, only=())} | deleted(site.ledger)[TypeKind.EXECUTION]
    for number in set(damaged) - known:
        file = site.storage.path(uri_of(number))
        file.replace(file.with_name(f"{file.name}.damaged"))


def _manifests(site: Site) -> Iterator[str]:
    """Write the manifests that are gone or say something else than the ledger; each one's uri."""
    wrong = {
        a.id: a
        for a in site.ledger.get_artifacts(type="RawFile")
        if misfit(site, a) and site.storage.path(a.uri).is_file()
    }
    first: dict[int, int] = {}
    for event in site.ledger.get_events(artifact_ids=list(wrong), types=[EventType.OUTPUT]):
        first.setdefault(event.artifact_id, event.execution_id)
    hashes = {str(a.properties["sha256"]) for a in wrong.values()}
    origins: dict[tuple[str, str], str] = {}
    for sighting in site.ledger.all_sightings(None, hashes) if wrong else ():
        origins.setdefault((sighting.source, sighting.sha256), sighting.origin)
    for artifact in wrong.values():
        source, sha256 = str(artifact.properties["source"]), str(artifact.properties["sha256"])
        manifest = landing.manifest(artifact, origins.get((source, sha256), ""), first.get(artifact.id, 0))
        uri = str(PurePosixPath(artifact.uri).parent / "manifest.json")
        site.storage.write(uri, json.dumps(manifest, ensure_ascii=False).encode("utf-8", "backslashreplace"))
        yield uri
