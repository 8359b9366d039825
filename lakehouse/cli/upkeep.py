"""The commands that keep a lake in shape and prove its rows: optimize, rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lakehouse.cli import output, progress
from lakehouse.cli.session import Session, Verb
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.rebuild import Comparison, Differing

__all__ = ["COMMANDS"]

_HASH = 12  # characters of a raw file's hash
_COLUMNS = 6  # columns named of a raw file's differences


@click.command(cls=Verb)
@click.argument("dataset")
@click.pass_obj
def optimize(session: Session, dataset: str) -> None:
    r"""Write a dataset's small parts again as few sorted ones.

    No row changes, and every version, moment and tag answers as before. Nothing is deleted: the parts that were
    replaced stay until something vacuums the table. Whoever reads meanwhile is not disturbed; a curation waits.

    \b
    Examples:
      lakehouse optimize aviation/flights
    """
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.optimize(dataset)
    if session.as_json:
        output.tell(done)
        return
    for note in output.note_lines(done.notes):
        click.echo(note)
    if not done.execution:
        click.echo(f"{dataset}: nothing to do")
        return
    click.echo(
        f"optimized {dataset}: {done.written:,} in place of {output.count(done.parts, 'part')}, {done.rows:,} rows, "
        f"{output.size(done.after)} in place of {output.size(done.before)} ({done.seconds:.1f} s)"
    )


@click.command(cls=Verb)
@click.argument("dataset", required=False)
@click.option("--all", "every", is_flag=True, help="All datasets that have a version.")
@click.option("--version", type=int, metavar="N", help="As it was at this version (default: the newest).")
@click.option("--into", metavar="DIR", type=click.Path(file_okay=False), help="Keep the lake that it is made in here.")
@click.pass_context
def rebuild(context: click.Context, dataset: str | None, *, every: bool, version: int | None, into: str | None) -> None:
    r"""Make a dataset again from its raw files, and compare.

    What was recorded is done once more in a fresh lake, under the configuration of then and by the code of now, and the
    rows of both are compared.
    Nothing of the lake is changed. Exit status 1 when a row differs; says what may explain it.

    \b
    Examples:
      lakehouse rebuild aviation/flights
      lakehouse rebuild aviation/flights --version 3 --into /tmp/flights-3
      lakehouse rebuild --all
    """
    if every == (dataset is not None) or (every and version is not None):
        raise click.UsageError("give a DATASET, with or without --version, or --all")
    session: Session = context.obj
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.rebuild(dataset, all=every, version=version, into=into)
    if session.as_json:
        output.tell({"same": done.same, **output.plain(done)})
    else:
        for one in done.datasets:
            for line in _lines(one):
                click.echo(output.folded(line))
    context.exit(0 if done.same else 1)


def _lines(one: Comparison) -> Iterator[str]:
    name, found = f"{one.dataset}@{one.version}", one.compared
    if one.same:
        yield f"{name}: {output.count(found.recorded, 'row')} made again, all the same"
    else:
        yield f"{name}: DIFFERS: {output.count(found.recorded, 'row')} recorded, {found.rebuilt:,} made again"
    for text in found.types:
        yield f"  column {printable(text)}"
    for differing in found.differing:
        yield f"  {_told(differing)}"
    if found.files > len(found.differing):
        yield f"  and {found.files - len(found.differing):,} more raw files"
    what = "though since then" if one.same else "what may explain it"
    for reason in one.explained:
        yield f"  {what}: {reason}"
    if not one.same and not one.explained:
        yield "  nothing that is recorded explains it"
    if one.lake is not None:
        yield f"  kept in {printable(str(one.lake))}"


def _told(differing: Differing) -> str:
    of = "rows of no file" if differing.raw is None else f"rows of {differing.raw[:_HASH]}"
    told = [f"{differing.recorded:,} recorded, {differing.rebuilt:,} made again"]
    if differing.changed:
        names = sorted(differing.columns or {}, key=lambda name: -(differing.columns or {})[name])
        more = f" and {len(names) - _COLUMNS} more" if len(names) > _COLUMNS else ""
        told.append(f"{differing.changed:,} with other values of {', '.join(names[:_COLUMNS])}{more}")
    if differing.rows:
        told.append(f"such as {'; '.join(differing.rows)}")
    return f"{of}: {', '.join(told)}"


COMMANDS = (optimize, rebuild)
