"""What is due, what waits, what runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lakehouse import landing, running, scheduling
from lakehouse.lake.opened import Opened
from lakehouse.moments import moment
from lakehouse.records import Interval, Ran, RunRecord, Status

__all__ = ["Scheduling"]


class Scheduling(Opened):
    """What is due, what waits, what runs; `lakehouse serve` is made of these."""

    def status(self) -> Status:
        """How each job is: what runs and how far it is, what waits, when it is due, how it ended last."""
        return Status(scheduling.status(self._site))

    def runs(self, job: str | None = None, *, limit: int | None = 20) -> list[RunRecord]:
        """The newest runs of a job, or of all jobs, the newest first; those that wait or were skipped too.

        Raises:
            NotFoundError: no such job, and no run of it is recorded.
        """
        return scheduling.runs_of(self._site, job, limit=limit)

    def pause(self, job: str) -> bool:
        """Start no run of a job until it is resumed, also after a restart. A run under way goes on.

        Returns:
            Whether it was not paused already.

        Raises:
            NotFoundError: no such job.
        """
        return scheduling.pause(self._writable(), job)

    def resume(self, job: str) -> bool:
        """Let a paused job run again; what it missed is made up for as its ``catch_up`` says.

        Returns:
            Whether it was paused.

        Raises:
            NotFoundError: no such job.
        """
        return scheduling.resume(self._writable(), job)

    def cancel(self, run: str | int) -> RunRecord:
        """Cancel a run that waits, or stop one that is under way. What it has committed stays.

        Args:
            run: its number or its name.

        Raises:
            NotFoundError: no such run, or it has ended already.
        """
        return scheduling.cancel(self._writable(), str(run))

    def backfill(
        self, job: str, start: datetime | str, end: datetime | str, *, queue: bool = False, dry_run: bool = False
    ) -> list[RunRecord | Interval]:
        """Run a job for each interval of its times in a stretch of time, one run an interval, the oldest first.

        Intervals that a run has completed, or that one waits for, are left out: what was broken off is gone on with.

        Args:
            job: the job.
            start: where the first interval begins, at the earliest.
            end: where the last one ends, at the latest.
            queue: leave the runs to whoever serves the job, after those that are due.
            dry_run: run nothing.

        Returns:
            The runs, or the intervals where none was made.

        Raises:
            NotFoundError: no such job.
            ConfigError: the job has no intervals in there.
            CommitError: the job is running already; says who runs it. What was done before stays.
        """
        begun, ended = (moment(m, self.config.timezone, name) for m, name in ((start, "start"), (end, "end")))
        site = self._writable()
        left = [interval for interval, run in scheduling.backfill(site, job, begun, ended) if run is None]
        if dry_run:
            return list(left)
        if queue:
            numbers = scheduling.queue_up(site, job, left)
            return [scheduling.record(site, number) for number in numbers]
        done: list[RunRecord | Interval] = []
        for interval in left:
            ran = self._heard(running.run(site, job, interval=interval, trigger="backfill"))
            done.append(scheduling.record(site, ran.run))
        return done

    def due(self, jobs: Iterable[str] | None = None) -> list[int]:
        """Queue the runs that follow from the time, other jobs' runs and new versions; the numbers of the new ones."""
        return scheduling.due(self._site, jobs)

    def look(self, job: str) -> list[int]:
        """Queue a run of a job if a source that it watches has files that are not landed; its number.

        Raises:
            NotFoundError: no such job.
            SourceError: a source cannot be read.
        """
        return scheduling.look(self._site, job)

    def waiting(self, source: str) -> int:
        """How many files a source has that are not landed and count as whole; nothing is fetched or recorded.

        Raises:
            NotFoundError: no such source.
            SourceError: the source as a whole cannot be read.
        """
        return landing.waiting(self._site, source)

    def ready(self, room: int) -> list[tuple[int, str]]:
        """The waiting runs that may start now, at most so many: numbers and jobs, in order."""
        return scheduling.ready(self._site, room=room)

    def run_queued(self, number: int) -> Ran:
        """Run what waits under this number.

        Raises:
            NotFoundError: no such run, or its job is gone.
            CommitError: it does not wait any more, or the job is running.
        """
        waiting = scheduling.run_of(self._site, str(number))
        job = str(waiting.properties["job"])
        return self._heard(running.run(self._writable(), job, waiting=waiting))

    def newest_change(self) -> tuple[int, int]:
        """Something that is another one when a run, or any other execution, was recorded or changed since."""
        return self._site.ledger.newest_change()

    def give_up(self, number: int, reason: str) -> None:
        """Have a run under way count as failed for this reason, once its process is gone."""
        scheduling.give_up(self._site, number, reason)

    def close_killed(self) -> list[str]:
        """End the runs whose process was killed; those that were queued wait again. One sentence a run."""
        return scheduling.close_killed(self._site)
