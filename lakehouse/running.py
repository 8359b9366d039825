"""Running a job: its sources are landed, then its datasets curated or derived; one run of a job at a time.

Each dataset comes after those that it is made from. What fails is told and stops nothing else: a dataset whose source
could not be read still takes in what was landed before, and one that is made from others is made of them as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Sequence

from lakehouse import config, curation, landing
from lakehouse.config import Job
from lakehouse.errors import CommitError, LakehouseError, MetadataError, SourceError, StorageError
from lakehouse.records import Context, Curated, ExecutionState, Landed, Note, Ran
from lakehouse.site import Site
from lakehouse.timeline import runs

__all__ = ["run"]


def run(site: Site, name: str, *, downstream: bool = False, sleep: Callable[[float], None] = time.sleep) -> Ran:
    """Run a job now, with its retries.

    Args:
        site: the opened lake.
        name: the job.
        downstream: refresh the derived datasets too that are made from the job's, by whatever way.
        sleep: waits between tries, seconds.

    Raises:
        NotFoundError: no such job.
        ConfigError: the function of one of its datasets cannot be loaded. Nothing was done.
        CommitError: the job is running already; says who runs it. Nothing was done.
    """
    job = site.config.job(name)
    further = config.downstream(site.config, job.datasets) if downstream else ()
    datasets = config.in_order(site.config, (*job.datasets, *further))
    config.load_functions(site.config, datasets)
    started = time.monotonic()
    stamp = site.clock().strftime("%Y%m%dT%H%M%SZ")
    identity = f"{name}/{stamp}-{uuid.uuid4().hex[:6]}"
    contexts = (Context("Run", identity), Context("Job", name))
    inside = dataclasses.replace(site, contexts=contexts, parents=(contexts,))
    with site.storage.lock("job", name, wait=0):
        site.listener.run(contexts, ExecutionState.RUNNING)
        try:
            done = _tried(inside, job, identity, datasets, sleep)
        except BaseException as error:
            site.listener.run(contexts, ExecutionState.FAILED, site.redacted(error))
            raise
        state = ExecutionState.COMPLETE if done.ok else ExecutionState.FAILED
        site.listener.run(contexts, state, "\n".join(done.errors))
    return dataclasses.replace(done, seconds=time.monotonic() - started)


def _ended(site: Site, number: int, done: Ran) -> Ran:
    """What was done, with the run's end recorded; where that fails (a full disk), whoever reads next ends it.

    A run that failed already has told why.
    """
    state = ExecutionState.COMPLETE if done.ok else ExecutionState.FAILED
    try:
        runs.end(site, number, state, "\n".join(done.errors))
    except LakehouseError as error:
        return done if done.errors else dataclasses.replace(done, errors=(_safe(site, error),))
    return done


def _tried(site: Site, job: Job, identity: str, datasets: Sequence[str], sleep: Callable[[float], None]) -> Ran:
    """One try, and more while they may help; recorded as one run from the first that the ledger lets begin."""
    done = Ran(job.name, identity)
    with contextlib.ExitStack() as recorded:
        for attempt in range(job.retries.attempts):
            if attempt:
                sleep(job.retries.backoff.total_seconds() * 2 ** (attempt - 1))
            try:
                if site.run is None:
                    _abreast(site, job, datasets)
                    site = dataclasses.replace(site, run=recorded.enter_context(runs.started(site, site.contexts)))
            except LakehouseError as error:  # nothing can be recorded, so nothing is done
                done, again = Ran(job.name, identity, errors=(_safe(site, error),)), _may_pass(error)
            else:
                tried, again = _once(site, job, identity, datasets)
                landed, curated = (*done.landed, *tried.landed), (*done.curated, *tried.curated)
                done = dataclasses.replace(tried, landed=landed, curated=curated)
            if not again:
                break
        return done if site.run is None else _ended(site, site.run, done)


def _abreast(site: Site, job: Job, datasets: Sequence[str]) -> None:
    """Make sure that the ledger is not older than the lake: the run would get a number that was given already.

    Raises:
        MetadataError: it is.
    """
    runs.close_killed(site)
    site.interrupted(runs.RUN, Context("Job", job.name))
    for name in datasets:
        curation.abreast(site, name)


def _once(site: Site, job: Job, identity: str, datasets: Sequence[str]) -> tuple[Ran, bool]:
    """One try, and whether another may help."""
    landed: list[Landed] = []
    curated: list[Curated] = []
    errors: list[str] = []
    again = False
    failed: set[str] = set()  # the datasets that are not as new as they could be

    def curate(name: str) -> None:
        behind = [one for one in site.config.dataset(name).upstream if one in failed]
        failed.add(name)
        done = curation.curate(site, name)
        if not behind:
            failed.discard(name)
        curated.append(dataclasses.replace(done, notes=(*done.notes, *(_stale(name, one) for one in behind))))

    sources = dict.fromkeys(source for name in datasets for source in site.config.dataset(name).source_names)
    steps: list[Callable[[], None]] = [
        *[lambda s=source: landed.append(landing.land(site, s)) for source in sources],
        *[lambda d=dataset: curate(d) for dataset in datasets],
    ]
    for step in steps:
        try:
            step()
        except LakehouseError as error:
            errors.append(_safe(site, error))
            again = again or _may_pass(error)
    again = again or any(source.failed for source in landed)
    return Ran(job.name, identity, tuple(landed), tuple(curated), tuple(errors)), again


def _stale(dataset: str, behind: str) -> Note:
    """That a dataset was made of an older state of another than there could be."""
    return Note("stale", dataset, f"'{behind}' was not refreshed in this run, so its older state was used")


def _safe(site: Site, error: LakehouseError) -> str:
    return site.config.redact(f"{type(error).__name__}: {error}")


def _may_pass(error: LakehouseError) -> bool:
    """Whether trying again may help: the outside world or another process was in the way, not the data."""
    if isinstance(error, SourceError):
        return error.retryable
    return isinstance(error, (StorageError, CommitError, MetadataError))
