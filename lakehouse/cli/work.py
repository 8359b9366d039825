"""The commands that do something: init, check, land, curate, run, serve."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from lakehouse.cli import output, progress
from lakehouse.cli.session import Session, Verb
from lakehouse.records import Curated, Landed, printable
from lakehouse.stopping import time_limit

__all__ = ["COMMANDS"]


def during(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what stretch of time sources are asked for."""
    for option in (
        click.option("--to", "end", metavar="MOMENT", help="Where it ends, itself left out: {end}."),
        click.option("--from", "start", metavar="MOMENT", help="Where the stretch of time begins that {start} is."),
    ):
        command = option(command)
    return command


@click.command(cls=Verb)
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option(
    "--from", "from_", metavar="FILE|FOLDER", type=click.Path(exists=True), help="Write the configuration of these."
)
@click.pass_obj
def init(session: Session, folder: str, from_: str | None) -> None:
    r"""Start a lake: a small commented configuration.

    It runs at once. With --from, read your files and write the sources, datasets and schemas they need. Nothing that
    exists is overwritten.

    \b
    Examples:
      lakehouse init
      lakehouse init mylake --from ~/exports/sales
    """
    from lakehouse.lake import Lake  # noqa: PLC0415  # half a second that --help need not pay

    made = Lake.init(folder, from_=from_)
    if session.as_json:
        output.tell(made)
        return
    for path in made.written:
        click.echo(f"wrote {printable(os.path.relpath(path))}")
    for note in output.note_lines(made.skipped):
        click.echo(note)
    there = "" if folder == "." else f"cd {shlex.quote(folder)} && "
    click.echo(f"next: {there}lakehouse run nightly")


@click.command(cls=Verb)
@click.option("--repair", is_flag=True, help="First make a lost or damaged ledger again from the lake.")
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    r"""Prove that the lake is whole, by reading all of it.

    Raw files are hashed again, tables held against their logs and the ledger, the ledger against what its executions
    left in the lake, and every file is accounted for. Changes nothing. Exit status 1 when anything is wrong;
    harmless leftovers of an interrupted run are told, and are no reason.

    With --repair, a ledger that is lost, damaged or older than the lake is made whole first, and so are
    manifests and receipts. A damaged ledger is set aside under another name.

    \b
    Examples:
      lakehouse check
      lakehouse check --repair
    """
    session: Session = context.obj
    with progress.shown(session) as report:
        repaired = session.repair(report) if repair else None
        with session.lake(report) as lake:
            problems = lake.check()
    wrong = [problem for problem in problems if not problem.harmless]
    if session.as_json:
        told = {"repaired": repaired} if repaired else {}
        output.tell({"ok": not wrong, **told, "problems": problems})
    else:
        for line in output.repaired_lines(repaired) if repaired else ():
            click.echo(output.folded(line))
        for problem in problems:
            click.echo(printable(str(problem)))
        click.echo(f"{output.count(len(wrong), 'problem')} found" if wrong else "the lake is whole")
    context.exit(1 if wrong else 0)


@click.command(cls=Verb)
@click.argument("source")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Land this file, whether or not the source would find it; - is standard input. May be given again.",
)
@click.option("--name", metavar="NAME", help="What the bytes of one --file are called; - needs it.")
@during
@click.pass_context
def land(  # noqa: PLR0913, PLR0917  # its options
    context: click.Context, source: str, files: tuple[str, ...], name: str | None, start: str | None, end: str | None
) -> None:
    r"""Copy a source's new files into the raw zone, untouched.

    Exit status 1 when a file could not be read; the others are landed.

    \b
    Examples:
      lakehouse land flights
      lakehouse land flights --file ~/late/flights-2013-01-31.csv
      pg_dump shop | lakehouse land dumps --file - --name shop.sql
    """
    session: Session = context.obj
    if name is None and "-" in files:
        raise click.UsageError("standard input has no name; give one with --name")
    if name is not None and len(files) != 1:
        raise click.UsageError("--name goes with one --file")
    if "-" in files and sys.stdin is None:
        raise click.UsageError("standard input is closed; give a file, or send something to it")
    with progress.shown(session) as report, session.lake(report) as lake:
        if name is not None:
            with click.open_file(files[0], "rb") as stream:
                done = lake.land_bytes(source, name, stream)
        else:
            landed = [lake.land_file(source, path) for path in files]
            done = _together(landed) if landed else lake.land(source, start=start, end=end)
    line = f"landed {done.source}: {output.landed_line(done)} ({done.seconds:.1f} s)"
    context.exit(_said(session, done, line, ok=not done.failed))


def _together(landings: list[Landed]) -> Landed:
    """Several landings of a source told as one."""
    whole = landings[0]
    for one in landings[1:]:
        counted = ("files", "new", "unchanged", "duplicates", "settling", "failed", "size", "seconds")
        sums: dict[str, Any] = {name: getattr(whole, name) + getattr(one, name) for name in counted}
        whole = replace(whole, **sums, notes=(*whole.notes, *one.notes), execution=max(whole.execution, one.execution))
    return whole


@click.command(cls=Verb)
@click.argument("dataset")
@click.option("--again", is_flag=True, help="Take all raw files again; the new rows supersede the old ones.")
@click.option(
    "--raw",
    multiple=True,
    metavar="HASH",
    help="Take this raw file again (its hash, or how it begins). May be given again.",
)
@click.option("--since", metavar="MOMENT", help="Take the raw files again that were landed then or later.")
@click.pass_context
def curate(context: click.Context, dataset: str, again: bool, raw: tuple[str, ...], since: str | None) -> None:
    r"""Turn a dataset's new raw files into rows, in one commit.

    Rows that break the schema go to quarantine. After the schema, the mapping or the function changed,
    --again makes the old rows follow; earlier versions still show them as they were.

    Exit status 1 when a file was refused, or more rows were rejected than max_rejected allows.

    \b
    Examples:
      lakehouse curate aviation/flights
      lakehouse curate aviation/flights --again
      lakehouse curate aviation/flights --raw 3f2a90
      lakehouse curate aviation/flights --since 2026-03-01
    """
    session: Session = context.obj
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.curate(dataset, again=again, raw=raw or None, since=since)
    line = f"curated {done.dataset}: {output.curated_line(done)} ({done.seconds:.1f} s)"
    context.exit(_said(session, done, line, ok=not done.refused))


@click.command(cls=Verb)
@click.argument("job")
@click.option("--downstream", is_flag=True, help="Refresh also what is derived from the job's datasets outside of it.")
@during
@click.pass_context
def run(context: click.Context, job: str, start: str | None, end: str | None, *, downstream: bool) -> None:
    r"""Land and curate all datasets of a job, once, now.

    Each dataset comes after those that it is made from. What fails is told and stops nothing else. Exit
    status 0 also when rows went to quarantine within what the dataset's max_rejected allows; 1 when a file was
    refused or failed, a batch was refused, the job's timeout ended it, or another process runs the job already.

    \b
    Examples:
      lakehouse run nightly
      lakehouse run nightly --downstream
      lakehouse run nightly --json | jq .curated
    """
    session: Session = context.obj
    with (
        progress.shown(session) as report,
        session.lake(report) as lake,
        time_limit(lake.config.job(job).timeout, f"job '{job}'"),
    ):
        ran = lake.run(job, downstream=downstream, start=start, end=end)
    if session.as_json:
        output.tell({**output.plain(ran), "ok": ran.ok})
    elif not (session.quiet and ran.ok):
        for line in output.ran_lines(ran):
            click.echo(line)
    for error in ran.errors:
        kind, _, message = error.partition(": ")
        session.complain(kind, message)
    context.exit(0 if ran.ok else 1)


@click.command(cls=Verb)
@click.option(
    "--grace",
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long runs may go on after SIGTERM before they are stopped.",
)
@click.option(
    "--parallel",
    default=2,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="How many jobs may run at the same time.",
)
@click.pass_obj
def serve(session: Session, grace: float, parallel: int) -> None:
    """Run the jobs by their schedules until stopped.

    Each run is a process of its own; one run of a job at a time. Logs go to stderr, as JSON lines
    when that is not a terminal. SIGTERM or Ctrl-C starts no more runs and waits for those under way;
    the second one stops them at once, and they are done again by whoever serves next. When the configuration's
    files change, or on SIGHUP, it is read again; one that is wrong is told, and the old one kept.
    """
    from lakehouse import scheduler  # noqa: PLC0415  # only this command needs it

    readable = sys.stderr.isatty() and not session.as_json
    scheduler.serve(session.lake, grace=grace, parallel=parallel, readable=readable)


def _said(session: Session, done: Landed | Curated, line: str, *, ok: bool) -> int:
    """Tell what a step did; the exit status."""
    if session.as_json:
        output.tell(done)
    elif not (session.quiet and ok):
        for text in (line, *map(output.folded, output.note_lines(done.notes))):
            click.echo(text)
    return 0 if ok else 1


COMMANDS: tuple[click.Command, ...] = (init, check, land, curate, run, serve)
