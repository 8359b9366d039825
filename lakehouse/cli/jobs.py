"""The commands about jobs and their runs: status, runs, pause, resume, cancel, backfill."""

from __future__ import annotations

from datetime import datetime

import click

from lakehouse.cli import output, progress
from lakehouse.cli.session import Session, Verb
from lakehouse.records import Interval, JobStatus, Progress, RunRecord, RunState, printable

__all__ = ["COMMANDS"]

_STYLES = {RunState.DONE: "green", RunState.FAILED: "red", RunState.RUNNING: "cyan"}


@click.command(cls=Verb)
@click.pass_obj
def status(session: Session) -> None:
    r"""Show how each job is: what runs, what waits, what is next.

    \b
    Examples:
      lakehouse status
      lakehouse status --json | jq '.jobs[] | select(.last.state == "failed")'
    """
    with session.lake() as lake:
        found = lake.status()
    if session.as_json:
        output.tell(found)
        return
    if not found.jobs:
        click.echo("no jobs: a file in jobs/ makes one")
        return
    rows = [(job.job, job.when, _next(job), _now(job), job.waiting or None, *_last(job.last)) for job in found.jobs]
    output.table(("job", "when", "next", "now", "waiting", "last", "ended"), rows, right=["waiting"], spare=["when"])
    for job in found.jobs:
        if job.last is not None and job.last.state is RunState.FAILED:
            click.echo(output.folded(f"failed: {job.job}: {_first(job.last.error)} (run:{job.last.number})"))


def _next(job: JobStatus) -> str:
    if job.paused_at is not None:
        return f"paused since {output.moment(job.paused_at)}"
    if not job.served:
        return "by hand" if job.when == "by hand" else "not enabled"
    return output.moment(job.next)


def _now(job: JobStatus) -> str:
    if job.running is None:
        return "-"
    told = "" if job.running.progress is None else f": {_amount(job.running.progress)}"
    return f"run:{job.running.number}{told}"


def _amount(told: Progress) -> str:
    return f"{told.step} {told.subject}, {progress.amount(told)}"


def _last(run: RunRecord | None) -> tuple[str, str]:
    if run is None:
        return "-", "-"
    return output.Marked(run.state.value, _STYLES.get(run.state, "yellow")), output.moment(run.ended_at)


@click.command(cls=Verb)
@click.argument("job", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="The most to show.")
@click.pass_obj
def runs(session: Session, job: str | None, limit: int) -> None:
    r"""List the newest runs, of one job or of all.

    Those that wait, and those that were skipped, are among them.

    \b
    Examples:
      lakehouse runs
      lakehouse runs nightly --limit 100
    """
    with session.lake() as lake:
        found = lake.runs(job, limit=limit)
    if session.as_json:
        output.tell(found)
    elif not found:
        click.echo("nothing ran yet")
    else:
        _table(found)


def _table(found: list[RunRecord]) -> None:
    columns = ("run", "job", "state", "why", "for", "began", "took", "error")
    rows = [
        (
            f"run:{run.number}",
            run.job,
            output.Marked(run.state.value, _STYLES.get(run.state, "yellow")),
            run.trigger if run.tries == 1 else f"{run.trigger}, try {run.tries}",
            _interval(run.interval),
            output.moment(run.began_at),
            "" if run.seconds is None else f"{run.seconds:.1f} s",
            _first(run.error),
        )
        for run in found
    ]
    output.table(columns, rows, right=["took"], spare=["for", "why", "error"])


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{_short(interval.start)} .. {_short(interval.end)}"


def _short(moment: datetime) -> str:
    return output.moment(moment).replace(":00Z", "Z").replace(" 00:00Z", "")


def _first(error: str) -> str:
    line = printable((error.splitlines() or [""])[0])
    return line if len(line) <= 80 else f"{line[:79]}…"


@click.command(cls=Verb)
@click.argument("job")
@click.pass_obj
def pause(session: Session, job: str) -> None:
    r"""Start no more runs of a job until it is resumed.

    Also after a restart. A run under way goes on, and `lakehouse run` still runs it by hand.

    \b
    Example:
      lakehouse pause nightly
    """
    with session.lake() as lake:
        done = lake.pause(job)
    _told(session, job, f"{job}: paused" if done else f"{job}: was paused already", paused=True, changed=done)


@click.command(cls=Verb)
@click.argument("job")
@click.pass_obj
def resume(session: Session, job: str) -> None:
    r"""Let a paused job run again.

    What it missed is made up for as its catch_up says.

    \b
    Example:
      lakehouse resume nightly
    """
    with session.lake() as lake:
        done = lake.resume(job)
    _told(session, job, f"{job}: resumed" if done else f"{job}: was not paused", paused=False, changed=done)


def _told(session: Session, job: str, line: str, **facts: bool) -> None:
    if session.as_json:
        output.tell({"job": job, **facts})
    else:
        click.echo(line)


@click.command(cls=Verb)
@click.argument("run")
@click.pass_obj
def cancel(session: Session, run: str) -> None:
    r"""Cancel a run that waits, or stop one that is under way.

    RUN is its number (run:7) or its name. What it has committed stays, nothing is half done, and it is not done again.

    \b
    Example:
      lakehouse cancel run:7
    """
    with session.lake() as lake:
        done = lake.cancel(run)
    if session.as_json:
        output.tell(done)
    else:
        stops = "is being stopped" if done.state is RunState.RUNNING else "is canceled"
        click.echo(f"run:{done.number} of {done.job} {stops}")


@click.command(cls=Verb)
@click.argument("job")
@click.option(
    "--from", "start", required=True, metavar="MOMENT", help="Where the first interval begins, at the earliest."
)
@click.option("--to", "end", required=True, metavar="MOMENT", help="Where the last interval ends, at the latest.")
@click.option("--queue", is_flag=True, help="Leave the runs to `lakehouse serve`, after those that are due.")
@click.option("--dry-run", is_flag=True, help="Only list the intervals that would be run.")
@click.pass_context
def backfill(  # noqa: PLR0913  # its options
    context: click.Context, job: str, start: str, end: str, *, queue: bool, dry_run: bool
) -> None:
    r"""Run a job for each interval of a stretch of time.

    One run an interval of the job's schedule, the oldest first. Intervals that a run has completed are left out, so
    what was broken off is gone on with. Sources are asked for the interval by {start} and {end}. Exit status 1 when a
    run failed; the others are done.

    \b
    Examples:
      lakehouse backfill nightly --from 2026-01-01 --to 2026-02-01 --dry-run
      lakehouse backfill nightly --from 2026-01-01 --to 2026-02-01
    """
    session: Session = context.obj
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.backfill(job, start, end, queue=queue, dry_run=dry_run)
    ran = [one for one in done if isinstance(one, RunRecord)]
    left = [one for one in done if isinstance(one, Interval)]
    if session.as_json:
        output.tell({"runs": ran, "intervals": left})
    elif not done:
        click.echo(f"{job}: every interval in there has been run")
    else:
        for interval in left:
            click.echo(f"would run {job} for {_interval(interval)}")
        if ran:
            _table(ran)
    context.exit(1 if any(run.state is RunState.FAILED for run in ran) else 0)


COMMANDS: tuple[click.Command, ...] = (status, runs, pause, resume, cancel, backfill)
