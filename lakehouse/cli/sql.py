"""Queries on the command line: `sql`."""

from __future__ import annotations

import click

from lakehouse.cli import rows
from lakehouse.cli.session import Session, Verb

__all__ = ["sql"]


@click.command(cls=Verb)
@click.argument("query")
@click.option("--as-of", metavar="TIME", help="Every table as it was known at this moment.")
@click.option("--tag", metavar="NAME", help="Every table as it was at this tag.")
@click.option(
    "--engine",
    type=click.Choice(("polars", "duckdb")),
    default="polars",
    show_default=True,
    help="What runs it; DuckDB is an extra.",
)
@click.pass_obj
@rows.formed
def sql(  # noqa: PLR0913  # one parameter an option
    session: Session, /, query: str, as_of: str | None, tag: str | None, engine: str, *, shape: rows.Shape
) -> None:
    r"""Print what a SQL query over datasets gives.

    Every table is shown as of one moment: now, where none is given, without what a run under way has made so far.
    A query reads datasets alone: no file, and no address.

    \b
    Examples:
      lakehouse sql "select carrier, count(*) as flights from aviation.flights group by carrier"
      lakehouse sql "select * from aviation.flights where departure_delay > 300" --as-of 2026-03-01
      lakehouse sql 'select * from "my-subject"."my-dataset"' --tag q1 --engine duckdb --output found.parquet
    """
    with session.lake() as lake:
        found = lake.sql(query, as_of=as_of, tag=tag, engine=engine)  # type: ignore[call-overload]  # click checks it
    rows.give(found.lazy(), "the query", shape, always=found.columns)
