"""The command that tells what things came of and what came of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.lineage import Lineage, Personal

__all__ = ["lineage"]

_SHOWN = 10  # neighbours of a kind where people look


@click.command(cls=Verb)
@click.argument("what", required=False)
@click.option("--column", metavar="NAME", help="Only of this column of a dataset or raw file.")
@click.option("--up", "way", flag_value="up", help="Only what it came of.")
@click.option("--down", "way", flag_value="down", help="Only what came of it.")
@click.option("--hops", type=click.IntRange(min=0), help="How many edges to follow.")
@click.option(
    "--type", "types", multiple=True, metavar="KIND", help="Only nodes of this kind, such as RawFile or Model."
)
@click.option("--since", metavar="TIME", help="Only by executions that began then or later.")
@click.option("--until", metavar="TIME", help="Only by executions that began then or earlier.")
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"How many of one kind to follow (default: {_SHOWN}; JSON: all)."
)
@click.option("--impact", is_flag=True, help="What would change if it were wrong.")
@click.option("--against", type=click.IntRange(min=0), metavar="VERSION", help="Why it differs from this version.")
@click.option("--personal", is_flag=True, help="The record of personal data in the whole lake, instead.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "mermaid", "dot"]),
    default="text",
    help="How to write it (default: text); csv is of --personal, dot is Graphviz.",
)
@click.pass_obj
def lineage(  # noqa: PLR0913, PLR0917  # click's way to give options
    session: Session,
    what: str | None,
    column: str | None,
    way: str | None,
    hops: int | None,
    types: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int | None,
    impact: bool,
    against: int | None,
    personal: bool,
    form: str,
) -> None:
    r"""Tell what something came of, and what came of it.

    WHAT is a dataset, DATASET@VERSION, execution:ID, artifact:ID, TYPE:NAME, the URI of an artifact, or a raw
    file's hash (or how it begins).

    \b
    Examples:
      lakehouse lineage aviation/flights
      lakehouse lineage aviation/flights --column gained
      lakehouse lineage 3f2a90c1 --impact
      lakehouse lineage aviation/flights@12 --against 11
      lakehouse lineage Model:churn --up --type RawFile --format mermaid
      lakehouse lineage --personal --format csv
    """
    if session.as_json:
        form = "json"
    if personal:
        if what is not None or form in ("mermaid", "dot"):
            raise click.UsageError("--personal is of the whole lake, as text, json or csv")
        with session.lake() as lake:
            _tell_personal(lake.personal(), form)
        return
    if what is None or form == "csv":
        raise click.UsageError("csv is of --personal" if what else "name a thing, or give --personal")
    if form in ("mermaid", "dot") and (impact or against is not None):
        raise click.UsageError(f"--format {form} draws a lineage; --impact and --against give text or json")
    if impact and (against is not None or way is not None):
        raise click.UsageError("--impact goes down, and with neither --up, --down nor --against")
    with session.lake() as lake:
        if against is not None:
            causes = lake.causes(what, against)
            click.echo(causes.to_json() if form == "json" else str(causes))
            return
        found = lake.lineage(
            what,
            column=column,
            direction="down" if impact else "up" if way == "up" else "down" if way == "down" else "both",
            hops=hops,
            types=types or None,
            since=since,
            until=until,
            limit=limit if limit or impact or form == "json" else _SHOWN,
        )
    if impact:
        told = found.impact()
        click.echo(told.to_json() if form == "json" else str(told))
    else:
        click.echo(_written(found, form, limit or _SHOWN))


def _written(found: Lineage, form: str, shown: int) -> str:
    match form:
        case "json":
            return found.to_json()
        case "mermaid":
            return found.to_mermaid()
        case "dot":
            return found.to_dot()
        case _:
            return "\n".join(map(output.folded, found.tree(shown).splitlines()))


def _tell_personal(found: Personal, form: str) -> None:
    if form in ("json", "csv"):
        click.echo(found.to_json() if form == "json" else found.to_csv(), nl=form == "json")
        return
    if not found.holdings:
        click.echo("no feature is marked personal (personal: true), and nothing landed for one")
        return
    output.table(
        ["kind", "what", "personal", "why", "versions", "files", "first", "last", "owner", "purpose"],
        [
            (
                h.kind,
                h.name,
                h.personal,
                h.why,
                h.versions,
                h.files,
                output.moment(h.first),
                output.moment(h.last),
                h.owner,
                h.purpose,
            )
            for h in found.holdings
        ],
        right=["files"],
    )
    for gap in found.gaps:
        click.echo(f"missing: {printable(gap)}")
