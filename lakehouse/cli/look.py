"""The commands that only look: list, show, read, history, lineage, trace, quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli import output, rows
from lakehouse.cli.lineage import lineage
from lakehouse.cli.session import Session, Verb
from lakehouse.errors import NotFoundError
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.catalog import Detail, Failure
    from lakehouse.lake import Lake

__all__ = ["COMMANDS"]

_KINDS = click.Choice(["source", "dataset", "job"])
_SHOWN = 20


@click.command("list", cls=Verb)
@click.pass_obj
def list_(session: Session) -> None:
    """List the lake's sources, datasets and jobs."""
    with session.lake() as lake:
        found = lake.list()
    if session.as_json:
        output.tell(found)
        return
    output.table(
        ["dataset", "version", "rows", "committed", "source", "description"],
        [
            (d.name, d.version, f"{d.rows:,}", output.moment(d.committed_at), d.source, d.description)
            for d in found.datasets
        ],
        right=["version", "rows"],
    )
    click.echo()
    output.table(
        ["source", "type", "raw files", "size", "landed", "description"],
        [
            (s.name, s.type, f"{s.files:,}", output.size(s.size), output.moment(s.landed_at), s.description)
            for s in found.sources
        ],
        right=["raw files", "size"],
    )
    click.echo()
    output.table(
        ["job", "schedule", "datasets", "description"],
        [
            (j.name, j.schedule if j.enabled else f"{j.schedule} (disabled)", ", ".join(j.datasets), j.description)
            for j in found.jobs
        ],
    )


@click.command(cls=Verb)
@click.argument("name")
@click.option("--kind", type=_KINDS, help="Which is meant, where a source and a job share the name.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many of the newest.")
@click.option("--all", "everything", is_flag=True, help="All raw files, versions and failures.")
@click.pass_obj
def show(session: Session, name: str, kind: str | None, limit: int, *, everything: bool) -> None:
    r"""Show all about one dataset, source or job.

    Of its raw files, versions and failures, the newest.

    \b
    Examples:
      lakehouse show aviation/flights     its schema, settings and what failed
      lakehouse show flights              its settings and newest raw files
      lakehouse show flights --all        and all the others
    """
    with session.lake() as lake:
        found = lake.show(name, kind, limit=None if everything else limit)
    if session.as_json:
        output.tell(found)
    else:
        _tell(found)


def _tell(found: Detail) -> None:
    state = ""
    if found.kind == "source":
        state = f"{output.count(found.files, 'raw file')}, {output.size(found.size)}"
    elif found.kind == "dataset" and found.versions:
        last = found.versions[-1]
        state = f"version {last.version}, {output.count(last.total, 'row')}"
        if last.anomalies:
            state += f", {last.anomalies:,} anomal{'y' if last.anomalies == 1 else 'ies'} in its batch"
    elif found.kind == "dataset":
        state = "no version yet"
    click.echo(click.style(printable(f"{found.kind} {found.name}{': ' if state else ''}{state}"), bold=True))
    for key, value in {"description": found.description, **found.settings}.items():
        if value not in (None, "", [], {}):
            click.echo(f"  {key}: {printable(_fact(value))}")
    if found.features:
        click.echo()
        output.table(
            ["feature", "type", "presence", "domain", "description"],
            [(f.name, f.type, f.presence, f.domain, f.description) for f in found.features],
        )
    if found.raw:
        click.echo()
        output.table(
            ["raw", "size", "landed", "name"],
            [(f.sha256[:12], output.size(f.size), output.moment(f.landed_at), f.name) for f in found.raw],
            right=["size"],
        )
        if found.files > len(found.raw):
            click.echo(f"and {found.files - len(found.raw):,} older; --limit shows more, --all all of them")
    _failures(found.failures)


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_fact, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_fact(item)}" for key, item in value.items())
    return str(value)


def _failures(failures: tuple[Failure, ...]) -> None:
    if not failures:
        return
    click.echo("\nfailed or refused:")
    for failure in failures:
        where = f"{failure.where}: " if failure.where else ""
        message = printable(f"{where}{' '.join(failure.message.split())}")
        click.echo(f"  {output.moment(failure.at)}  execution {failure.execution}  {message}")


@click.command(cls=Verb)
@click.argument("dataset")
@click.pass_obj
def history(session: Session, dataset: str) -> None:
    """List a dataset's versions and what was refused.

    Read one with: lakehouse read DATASET --version N
    """
    with session.lake() as lake:
        versions = lake.history(dataset)
        failures = lake.show(dataset, "dataset", limit=None if session.as_json else _SHOWN).failures
    if session.as_json:
        output.tell({"dataset": dataset, "versions": versions, "failures": failures})
        return
    output.table(
        ["version", "committed", "rows", "total", "rejected", "anomalies", "files", "execution"],
        [
            (
                v.version,
                output.moment(v.committed_at),
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
    _failures(failures)


@click.command(cls=Verb)
@click.argument("dataset")
@click.argument("row", metavar="RAW:ROW")
@click.pass_obj
def trace(session: Session, dataset: str, row: str) -> None:
    r"""Show the raw file, line and text a row came from.

    RAW:ROW is a raw file's hash (or how it begins) and a row's number in it, as
    `lakehouse read DATASET --provenance` and `lakehouse quarantine DATASET` print them.

    \b
    Example:
      lakehouse trace aviation/flights 3f2a90c1d2e4:17
    """
    raw, _, number = row.rpartition(":")
    if not raw or not number.isdecimal():
        raise click.UsageError(f"'{row}' is not RAW:ROW, like 3f2a90c1d2e4:17")
    with session.lake() as lake:
        found = lake.trace(dataset, {"_raw": _whole(lake, dataset, raw.lower()), "_row": int(number)})
    if session.as_json:
        output.tell(found)
        return
    line = "" if found.line is None else f", line {found.line}"
    click.echo(f"{printable(found.path)}: row {found.row}{line}")
    for origin in found.origins:
        click.echo(f"from {printable(origin)} (source {found.source})")
    click.echo("\n".join(printable(text) for text in found.text.splitlines()))


def _whole(lake: Lake, dataset: str, beginning: str) -> str:
    """The hash of the one raw file whose hash begins so."""
    if len(beginning) == 64:
        return beginning
    source = lake.config.dataset(dataset).source
    known = [file.sha256 for file in lake.show(source, "source", raw=[beginning]).raw]
    if len(known) != 1:
        what = f"{len(known)} raw files whose hashes begin" if known else "no raw file whose hash begins"
        raise NotFoundError(f"source '{source}' has {what} with '{beginning}'; `lakehouse show {source}` lists them")
    return known[0]


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


COMMANDS: tuple[click.Command, ...] = (list_, show, rows.read, history, lineage, trace, quarantine)
