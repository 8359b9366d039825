"""The command that shows what a dataset's values are like: a line a feature, or a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb, tfmd_format
from lakehouse.errors import NotFoundError, StorageError
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.evolution.sides import Line, Side
    from lakehouse.lake import Lake
    from lakehouse.validation.anomalies import Anomalies
    from lakehouse.validation.statistics import Statistics

__all__ = ["statistics"]

_SHOWN = 100  # features where people look


@click.command(cls=Verb)
@click.argument("dataset")
@click.option("--version", "number", type=click.IntRange(min=0), metavar="N", help="As it was at this version.")
@click.option("--as-of", metavar="TIME", help="As it was known at this moment, like 2026-03-01T12:00:00Z.")
@click.option("--compare", type=click.IntRange(min=0), metavar="N", help="Beside this version.")
@click.option("--slice", "slices", multiple=True, metavar="FEATURE", help="For each of this feature's values.")
@click.option("--feature", "only", multiple=True, metavar="NAME", help="Only this feature; again for more.")
@click.option("--batch", is_flag=True, help="Only the rows that the version brought.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"At most so many features (a table: {_SHOWN}).")
@click.option("--html", "file", metavar="FILE", type=click.Path(dir_okay=False), help="Write a page to this file.")
@tfmd_format
@click.pass_obj
def statistics(  # noqa: PLR0913, PLR0917  # one parameter an option
    session: Session,
    dataset: str,
    number: int | None,
    as_of: str | None,
    compare: int | None,
    slices: tuple[str, ...],
    only: tuple[str, ...],
    batch: bool,
    limit: int | None,
    file: str | None,
    form: str,
) -> None:
    r"""Show what a dataset's values are like.

    A histogram between ellipses leaves the tails out: it goes from the 1st to the 99th per cent.

    \b
    Examples:
      lakehouse statistics aviation/flights
      lakehouse statistics aviation/flights --feature arr_delay --slice origin
      lakehouse statistics aviation/flights --version 12 --compare 11 --html flights.html
    """
    if compare is not None and slices:
        raise click.UsageError("--compare and --slice are two ways to put rows side by side; give one of them")
    if form == "pbtxt" and (compare is not None or slices or only or file is not None):
        raise click.UsageError("--format pbtxt writes all features of one version")
    from lakehouse.cli import side_by_side  # noqa: PLC0415  # half a second that --help need not pay
    from lakehouse.evolution.sides import lines  # noqa: PLC0415  # as above

    with session.lake() as lake:
        sides = _sides(lake, dataset, number, as_of, compare, slices, batch=batch)
        found = lines(sides, only)
        if file is not None:
            odd = None if as_of is not None else lake.validate(dataset, version=number)
            _write(file, dataset, sides, only, odd)
            return
    if form == "pbtxt":
        _write_proto(sides[0].statistics)
    elif session.as_json or form == "json":
        output.tell(side_by_side.plain(dataset, sides, found if limit is None else found[:limit]))
    else:
        _tell(dataset, sides, found, limit or _SHOWN)


def _tell(dataset: str, sides: Sequence[Side], found: Sequence[Line], limit: int) -> None:
    from lakehouse.cli import side_by_side  # noqa: PLC0415  # as above

    said = "; ".join(f"{printable(side.label)}, {output.count(side.statistics.rows, 'row')}" for side in sides)
    click.echo(click.style(f"{dataset}: {said}; {output.count(len(found), 'feature')}", bold=True))
    side_by_side.tell(sides, found[:limit])
    if len(found) > limit:
        click.echo(f"and {len(found) - limit:,} more; --limit shows more, --feature NAME one of them")


def _write_proto(found: Statistics) -> None:
    """As TensorFlow Metadata writes them; what it cannot say is told on stderr."""
    from lakehouse.tfmd import write_statistics  # noqa: PLC0415  # an extra

    text, lost = write_statistics(found, form="text")
    click.echo(text, nl=False)
    for sentence in lost:
        click.echo(f"not carried over: {printable(sentence)}", err=True)


def _sides(  # noqa: PLR0913, PLR0917  # what the options say
    lake: Lake,
    dataset: str,
    number: int | None,
    as_of: str | None,
    compare: int | None,
    slices: Sequence[str],
    *,
    batch: bool,
) -> list[Side]:
    """What is laid side by side: the version, then the other version or the slices."""
    from lakehouse.evolution.sides import Side  # noqa: PLC0415  # as above

    first = lake.statistics(dataset, version=number, as_of=as_of, slices=slices, batch=batch)
    version = _newest(lake, dataset) if number is None and as_of is None else number
    label = f"version {version}" if as_of is None else f"as of {as_of}"
    sides = [Side(label, first)]
    if compare is not None:
        sides.append(Side(f"version {compare}", lake.statistics(dataset, version=compare, batch=batch)))
    return sides + [Side(name, rows) for name, rows in first.slices.items()]


def _newest(lake: Lake, dataset: str) -> int:
    versions = lake.show(dataset, "dataset", limit=1).versions
    if not versions:
        raise NotFoundError(f"dataset '{dataset}' has no version yet; `lakehouse curate {dataset}` makes the first")
    return versions[-1].version


def _write(file: str, dataset: str, sides: Sequence[Side], only: Sequence[str], odd: Anomalies | None) -> None:
    """Write the page beside the file and put it in place when whole."""
    from lakehouse.evolution.page import page  # noqa: PLC0415  # as above

    path = Path(file)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = page(sides, f"Statistics of {dataset}", only=only, anomalies=odd)
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(f"'{file}' cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"wrote {printable(file)}, {output.size(path.stat().st_size)}", err=True)
