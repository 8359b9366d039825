"""The commands that only look: read, history, lineage, trace, quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli import output, rows
from lakehouse.cli.catalog import failures as told
from lakehouse.cli.lineage import lineage
from lakehouse.cli.session import Session, Verb
from lakehouse.errors import NotFoundError
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.lake import Lake

__all__ = ["COMMANDS"]

_SHOWN = 20


@click.command(cls=Verb)
@click.argument("dataset")
@click.option(
    "--key",
    "keys",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="What was ever recorded of this key; COLUMN alone for a null. Again for each column of the key.",
)
@click.pass_obj
def history(session: Session, dataset: str, keys: tuple[str, ...]) -> None:
    r"""List a dataset's versions, or all that is known of a key.

    Read a version with: lakehouse read DATASET --version N

    Of a key (of `history: changes` and `snapshots`) each state comes with valid_from and valid_to,
    when it was true, and recorded_at and superseded_at, when the lake had it so.

    \b
    Examples:
      lakehouse history aviation/flights
      lakehouse history aviation/planes --key tailnum=N10156
    """
    if keys:
        with session.lake() as lake:
            states = lake.history(dataset, key={name: value if sep else None for name, sep, value in _split(keys)})
        rows.show(states, as_json=session.as_json)
        return
    with session.lake() as lake:
        versions = lake.history(dataset)
        failures = lake.show(dataset, "dataset", limit=None if session.as_json else _SHOWN).failures
    if session.as_json:
        output.tell({"dataset": dataset, "versions": versions, "failures": failures})
        return
    output.table(
        ["version", "visible since", "rows", "total", "rejected", "anomalies", "files", "execution"],
        [
            (
                v.version,
                "the run's end" if v.visible_at is None else output.moment(v.visible_at),
                f"{v.rows:,}",
                f"{v.total:,}",
                f"{v.rejected:,}",
                "-" if v.anomalies is None else f"{v.anomalies:,}",
                v.files,
                v.execution,
            )
            for v in versions
        ],
        right=["version", "rows", "total", "rejected", "anomalies", "files", "execution"],
    )
    told(failures)


def _split(keys: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [key.partition("=") for key in keys]


@click.command(cls=Verb)
@click.argument("dataset")
@click.argument("row", metavar="RAW:ROW")
@click.pass_obj
def trace(session: Session, dataset: str, row: str) -> None:
    r"""Show the raw file, line and text a row came from.

    RAW:ROW is a raw file's hash (or how it begins) and a row's number in it, as
    `lakehouse read DATASET --provenance` and `lakehouse quarantine DATASET` print them; RAW:- is
    the row that says that a key is absent from the file.

    \b
    Example:
      lakehouse trace aviation/flights 3f2a90c1d2e4:17
    """
    raw, _, number = row.rpartition(":")
    if not raw or not (number.isdecimal() or number == "-"):
        raise click.UsageError(f"'{row}' is not RAW:ROW, like 3f2a90c1d2e4:17")
    with session.lake() as lake:
        found = lake.trace(
            dataset, {"_raw": _whole(lake, dataset, raw.lower()), "_row": None if number == "-" else int(number)}
        )
    if session.as_json:
        output.tell(found)
        return
    member = f", member {found.member}" if found.member else ""
    line = member if found.line is None else f"{member}, line {found.line}"
    where = "the key is absent from this file" if found.row is None else f"row {found.row}{line}"
    click.echo(f"{printable(found.path)}: {where}")
    for origin in found.origins:
        fidelity = "" if found.fidelity == "bytes" else f", {found.fidelity}"
        click.echo(f"from {printable(origin)} (source {found.source}{fidelity})")
    click.echo("\n".join(printable(text) for text in found.text.splitlines()))


def _whole(lake: Lake, dataset: str, beginning: str) -> str:
    """The hash of the one raw file whose hash begins so."""
    if len(beginning) == 64:
        return beginning
    sources = lake.config.dataset(dataset).source_names
    known = {file.sha256 for source in sources for file in lake.show(source, "source", raw=[beginning]).raw}
    if len(known) != 1:
        what = f"{len(known)} raw files whose hashes begin" if known else "no raw file whose hash begins"
        whose = f"source '{sources[0]}' has" if len(sources) == 1 else f"the sources {', '.join(sources)} have"
        lists = " and ".join(f"`lakehouse show {source}`" for source in sources)
        raise NotFoundError(
            f"{whose} {what} with '{beginning}'; {lists} {'lists' if len(sources) == 1 else 'list'} them"
        )
    return known.pop()


@click.command(cls=Verb)
@click.argument("dataset")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=0), help="How many rows to show.")
@click.option("--reason", metavar="TEXT", help="Only rows with a reason that contains this.")
@click.pass_obj
def quarantine(session: Session, dataset: str, limit: int, reason: str | None) -> None:
    r"""Show which rows were rejected and why.

    After the schema is mended, `lakehouse curate DATASET --again` takes them in.

    \b
    Examples:
      lakehouse quarantine aviation/flights
      lakehouse quarantine aviation/flights --reason arr_delay --limit 50
    """
    with session.lake() as lake:
        found = rows.rejected(lake, dataset, limit, reason)
    if session.as_json:
        output.tell(found)
        return
    which = "" if reason is None else f" with a reason that contains '{printable(reason)}'"
    click.echo(f"{dataset}: {output.count(found.rows, 'row')} in quarantine{which}")
    if not found.rows:
        return
    output.table(["rows", "reason"], [(f"{number:,}", why) for why, number in found.reasons.items()], right=["rows"])
    for example in found.examples:
        click.echo(f"\n{example.raw[:12]}:{example.row}  {printable(example.file)}")
        for why in example.reasons:
            click.echo(f"  {printable(why)}")
        click.echo(f"  {printable(example.text)}")


COMMANDS: tuple[click.Command, ...] = (rows.read, rows.changes, history, lineage, trace, quarantine)
