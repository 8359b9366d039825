"""Running a job: its sources are landed, then its datasets curated; one run of a job at a time.

What fails is told and stops nothing else: a dataset whose source could not be read still takes in
what was landed before.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable

from lakehouse import curation, landing
from lakehouse.config import Job, load_functions
from lakehouse.errors import CommitError, LakehouseError, MetadataError, SourceError, StorageError
from lakehouse.records import Context, Curated, ExecutionState, Landed, Ran
from lakehouse.site import Site

__all__ = ["run"]


def run(site: Site, name: str, *, sleep: Callable[[float], None] = time.sleep) -> Ran:
    """Run a job now, with its retries.

    Args:
        site: the opened lake.
        name: the job.
        sleep: waits between tries, seconds.

    Raises:
        NotFoundError: no such job.
        ConfigError: the function of one of its datasets cannot be loaded. Nothing was done.
        CommitError: the job is running already; says who runs it. Nothing was done.
    """
    job = site.config.job(name)
    load_functions(site.config, job.datasets)
    started = time.monotonic()
    stamp = site.clock().strftime("%Y%m%dT%H%M%SZ")
    identity = f"{name}/{stamp}-{uuid.uuid4().hex[:6]}"
    contexts = (Context("Run", identity), Context("Job", name))
    inside = dataclasses.replace(site, contexts=contexts, parents=(contexts,))
    with site.storage.lock("job", name, wait=0):
        site.listener.run(contexts, ExecutionState.RUNNING)
        try:
            done = _tried(inside, job, identity, sleep)
        except BaseException as error:
            site.listener.run(contexts, ExecutionState.FAILED, site.redacted(error))
            raise
        state = ExecutionState.COMPLETE if done.ok else ExecutionState.FAILED
        site.listener.run(contexts, state, "\n".join(done.errors))
    return dataclasses.replace(done, seconds=time.monotonic() - started)


def _tried(site: Site, job: Job, identity: str, sleep: Callable[[float], None]) -> Ran:
    """One try, and more while they may help."""
    done, again = _once(site, job, identity)
    for attempt in range(1, job.retries.attempts):
        if not again:
            break
        sleep(job.retries.backoff.total_seconds() * 2 ** (attempt - 1))
        tried, again = _once(site, job, identity)
        done = dataclasses.replace(tried, landed=(*done.landed, *tried.landed), curated=(*done.curated, *tried.curated))
    return done


def _once(site: Site, job: Job, identity: str) -> tuple[Ran, bool]:
    """One try, and whether another may help."""
    landed: list[Landed] = []
    curated: list[Curated] = []
    errors: list[str] = []
    again = False
    datasets = [site.config.dataset(name) for name in job.datasets]
    steps: list[Callable[[], None]] = [
        *[
            lambda s=source: landed.append(landing.land(site, s))
            for source in dict.fromkeys(d.source for d in datasets)
        ],
        *[lambda d=dataset: curated.append(curation.curate(site, d.name)) for dataset in datasets],
    ]
    for step in steps:
        try:
            step()
        except LakehouseError as error:
            errors.append(site.config.redact(f"{type(error).__name__}: {error}"))
            again = again or _may_pass(error)
    failed = any(source.failed for source in landed)
    return Ran(job.name, identity, tuple(landed), tuple(curated), tuple(errors)), again or failed


def _may_pass(error: LakehouseError) -> bool:
    """Whether trying again may help: the outside world or another process was in the way, not the data."""
    if isinstance(error, SourceError):
        return error.retryable
    return isinstance(error, (StorageError, CommitError, MetadataError))
