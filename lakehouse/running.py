"""Running a job: its sources are landed, then its datasets curated or derived; one run of a job at a time.

Each dataset comes after those that it is made from. What fails is told and stops nothing else: a dataset whose source
could not be read still takes in what was landed before, and one that is made from others is made of them as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence

from lakehouse import config, curation, landing
from lakehouse.config import Job
from lakehouse.errors import CommitError, LakehouseError, MetadataError, SourceError, StorageError
from lakehouse.records import Context, Curated, Execution, ExecutionState, Interval, Landed, Note, Progress, Ran, Value
from lakehouse.site import Site
from lakehouse.timeline import queue, runs

__all__ = ["run"]


def run(  # noqa: PLR0913  # what a run may be told, by name
    site: Site,
    name: str,
    *,
    downstream: bool = False,
    interval: Interval | None = None,
    trigger: str = "hand",
    waiting: Execution | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Ran:
    """Run a job now, with its retries.

    Args:
        site: the opened lake.
        name: the job.
        downstream: refresh the derived datasets too that are made from the job's, by whatever way.
        interval: the stretch of time that its sources are asked for.
        trigger: why it runs, for the record.
        waiting: the run, where it has waited in the queue; it knows its own interval.
        sleep: waits between tries, seconds.

    Raises:
        NotFoundError: no such job.
        ConfigError: the function of one of its datasets cannot be loaded. Nothing was done.
        CommitError: the job is running already; says who runs it. Or the run does not wait any more. Nothing was done.
    """
    job = site.config.job(name)
    further = config.downstream(site.config, job.datasets) if downstream else ()
    datasets = config.in_order(site.config, (*job.datasets, *further))
    config.load_functions(site.config, datasets)
    started = time.monotonic()
    identity = queue.identity(name, site.clock()) if waiting is None else str(waiting.properties["run"])
    contexts = queue.contexts_of(identity, name)
    interval = interval if waiting is None else queue.interval_of(waiting)
    inside = dataclasses.replace(site, contexts=contexts, parents=(contexts,), interval=interval)
    with site.storage.lock("job", name, wait=0):
        site.listener.run(contexts, ExecutionState.RUNNING)
        try:
            done = _Run(inside, job, identity, datasets, trigger, waiting).tried(sleep)
        except BaseException as error:
            site.listener.run(contexts, ExecutionState.FAILED, site.redacted(error))
            raise
        state = ExecutionState.COMPLETE if done.ok else ExecutionState.FAILED
        site.listener.run(contexts, state, "\n".join(done.errors))
    return dataclasses.replace(done, seconds=time.monotonic() - started)


class _Run:
    """One run under way."""

    def __init__(  # noqa: PLR0913, PLR0917  # its parts
        self, site: Site, job: Job, identity: str, datasets: Sequence[str], trigger: str, waiting: Execution | None
    ) -> None:
        self._site = site
        self._job = job
        self._identity = identity
        self._datasets = datasets
        self._said: dict[str, Value] = {"trigger": trigger} if waiting is None else {}
        if site.interval is not None and waiting is None:
            self._said |= {f"interval_{end}": moment for end, moment in site.interval.plain().items()}
        self._waiting = waiting

    def tried(self, sleep: Callable[[float], None]) -> Ran:
        """One try, and more while they may help; recorded as one run from the first that the ledger lets begin."""
        done = Ran(self._job.name, self._identity)
        with contextlib.ExitStack() as recorded:
            for attempt in range(self._job.retries.attempts):
                if attempt:
                    sleep(self._job.retries.wait(attempt))
                try:
                    if self._site.run is None:
                        self._begin(recorded)
                except CommitError:
                    raise
                except LakehouseError as error:  # nothing can be recorded, so nothing is done
                    done = Ran(self._job.name, self._identity, errors=(_safe(self._site, error),))
                    again = _may_pass(error)
                else:
                    tried, again = self._once()
                    landed, curated = (*done.landed, *tried.landed), (*done.curated, *tried.curated)
                    done = dataclasses.replace(tried, landed=landed, curated=curated)
                if not again:
                    break
            return done if self._site.run is None else self._ended(self._site.run, done)

    def _begin(self, recorded: contextlib.ExitStack) -> None:
        """Record the run, if the ledger is not older than the lake: it would give a number that was given already.

        Raises:
            MetadataError: it is.
            CommitError: the job runs on another machine, or the run does not wait any more.
        """
        site = self._site
        runs.close_killed(site)
        site.interrupted(runs.RUN, Context("Job", self._job.name))
        for name in self._datasets:
            curation.abreast(site, name)
        beat = recorded.enter_context(runs.started(site, site.contexts, self._said, self._waiting))

        def report(progress: Progress) -> None:
            beat.progress = progress
            site.report(progress)

        self._site = dataclasses.replace(site, run=beat.run, report=report)

    def _ended(self, number: int, done: Ran) -> Ran:
        """What was done, with the run's end recorded; where that fails (a full disk), whoever reads next ends it.

        A run that failed already has told why.
        """
        state = ExecutionState.COMPLETE if done.ok else ExecutionState.FAILED
        state = ExecutionState.CANCELED if self._canceled(number) and not done.ok else state
        try:
            runs.end(self._site, number, state, "\n".join(done.errors))
        except LakehouseError as error:
            return done if done.errors else dataclasses.replace(done, errors=(_safe(self._site, error),))
        return done

    def _canceled(self, number: int) -> str:
        """Why it is to be no more, where somebody asked for that."""
        found = self._site.ledger.get_executions(ids=[number], only=["stop"])
        return "".join(str(run.properties.get("stop", "")) for run in found)

    def _once(self) -> tuple[Ran, bool]:
        """One try, and whether another may help."""
        site = self._site
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

        sources = dict.fromkeys(source for name in self._datasets for source in site.config.dataset(name).source_names)
        steps: list[Callable[[], None]] = [
            *[lambda s=source: landed.append(landing.land(site, s)) for source in sources],
            *[lambda d=dataset: curate(d) for dataset in self._datasets],
        ]
        for step in steps:
            if why := self._canceled(site.run or 0):
                return Ran(self._job.name, self._identity, tuple(landed), tuple(curated), (*errors, why)), False
            try:
                step()
            except LakehouseError as error:
                errors.append(_safe(site, error))
                again = again or _may_pass(error)
        again = again or any(source.failed for source in landed)
        return Ran(self._job.name, self._identity, tuple(landed), tuple(curated), tuple(errors)), again


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
