"""What is in a lake, on the command line: list, show, search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.catalog import DatasetEntry, Detail, Failure, Listing, Use

__all__ = ["COMMANDS", "failures"]

_KINDS = click.Choice(["source", "dataset", "job", "subject", "feature", "feature_set"])
_USED = {
    "dataset": "used by datasets",
    "feature_set": "used by feature sets",
    "job": "used by jobs",
    "step": "used by steps",
    "artifact": "made of it",
}


@click.command("list", cls=Verb)
@click.option("--subject", metavar="NAME", help="Only this subject's datasets, and what feeds and uses them.")
@click.pass_obj
def list_(session: Session, subject: str | None) -> None:
    r"""List the lake's datasets, sources, jobs and feature sets.

    \b
    Examples:
      lakehouse list
      lakehouse list --subject aviation
    """
    with session.lake() as lake:
        found = lake.list(subject=subject)
    if session.as_json:
        output.tell(found)
    elif not (found.datasets or found.sources or found.jobs):
        click.echo("nothing is configured yet; `lakehouse init` writes a first configuration")
    else:
        _listed(found)


def _listed(found: Listing) -> None:
    _datasets(found.datasets)
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
    if found.feature_sets:
        click.echo()
        output.table(
            ["feature set", "entity", "features", "ttl", "description"],
            [(f.name, ", ".join(f.entity), len(f.features), f.ttl, f.description) for f in found.feature_sets],
            right=["features"],
        )


def _datasets(datasets: Sequence[DatasetEntry]) -> None:
    output.table(
        ["dataset", "version", "rows", "committed", "source", "description"],
        [(d.name, d.version, f"{d.rows:,}", output.moment(d.committed_at), d.source, d.description) for d in datasets],
        right=["version", "rows"],
    )


@click.command(cls=Verb)
@click.argument("name")
@click.option("--kind", type=_KINDS, help="Which is meant, where two share the name.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many of the newest.")
@click.option("--all", "everything", is_flag=True, help="All raw files, versions, failures and users.")
@click.pass_obj
def show(session: Session, name: str, kind: str | None, limit: int, *, everything: bool) -> None:
    r"""Show all about one dataset, feature, source or other thing.

    Of its raw files, versions, failures and users, the newest.

    \b
    Examples:
      lakehouse show aviation/flights             its schema, settings, who uses it and what failed
      lakehouse show aviation/flights:dep_delay   one feature: its values, what it is made from
      lakehouse show aviation                     a subject: its datasets
      lakehouse show flights --all                a source: its settings and raw files
    """
    with session.lake() as lake:
        found = lake.show(name, kind, limit=None if everything else limit)
    if session.as_json:
        output.tell(found)
    else:
        _tell(found)


def _tell(found: Detail) -> None:
    state = _state(found)
    kind = found.kind.replace("_", " ")
    click.echo(click.style(printable(f"{kind} {found.name}{': ' if state else ''}{state}"), bold=True))
    for key, value in {"description": found.description, **found.settings}.items():
        if value not in (None, "", [], {}, False) or key == "enabled":
            click.echo(f"  {key.replace('_', ' ') if found.kind == 'feature' else key}: {printable(_fact(value))}")
    if found.statistics:
        figures = {name: value for name, value in found.statistics.items() if name != "exact"}
        if found.statistics.get("exact") is False:
            figures["distinct"] = f"about {figures['distinct']:,}"
        click.echo(f"  values: {printable(_fact(figures))}")
    if found.freshness is not None:
        newest = found.freshness.event_time
        event = "" if newest is None else f"newest event {output.moment(newest)}, "
        click.echo(f"  freshness: {event}committed {output.moment(found.freshness.committed_at)}")
    for use, what in _uses(found.used_by).items():
        click.echo(f"  {use}: {printable(what)}")
    _tables(found)
    failures(found.failures)


def _tables(found: Detail) -> None:
    """What there is several of."""
    if found.features:
        click.echo()
        output.table(
            ["feature", "type", "presence", "domain", "description"],
            [(f.name, f.type, f.presence, f.domain, f.description) for f in found.features],
        )
    if found.datasets:
        click.echo()
        _datasets(found.datasets)
    if found.raw:
        click.echo()
        told = any(f.fidelity != "bytes" for f in found.raw)
        output.table(
            ["raw", "size", "landed", "name", *(["fidelity"] if told else [])],
            [
                (
                    f.sha256[:12],
                    output.size(f.size),
                    output.moment(f.landed_at),
                    f.name,
                    *([f.fidelity] if told else []),
                )
                for f in found.raw
            ],
            right=["size"],
        )
        if found.files > len(found.raw):
            click.echo(f"and {found.files - len(found.raw):,} older; --limit shows more, --all all of them")


def _state(found: Detail) -> str:
    """What is said of it beside its name."""
    if found.kind == "source":
        return f"{output.count(found.files, 'raw file')}, {output.size(found.size)}"
    if found.kind == "subject":
        rows = sum(dataset.rows for dataset in found.datasets)
        return f"{output.count(len(found.datasets), 'dataset')}, {output.count(rows, 'row')}"
    if found.kind != "dataset":
        return ""
    if not found.versions:
        return "no version yet"
    last = found.versions[-1]
    odd = (
        "" if not last.anomalies else f", {last.anomalies:,} anomal{'y' if last.anomalies == 1 else 'ies'} in its batch"
    )
    return f"version {last.version}, {output.count(last.total, 'row')}{odd}"


def _uses(uses: Sequence[Use]) -> dict[str, str]:
    """Who uses something, a line a kind."""
    found: dict[str, list[str]] = {}
    for use in uses:
        times = f" ({use.times}, last {output.moment(use.last)})" if use.kind == "step" else ""
        found.setdefault(_USED[use.kind], []).append(f"{use.what}{times}")
    return {kind: ", ".join(names) for kind, names in found.items()}


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_fact, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return output.moment(value) if isinstance(value, datetime) else str(value)


def failures(found: tuple[Failure, ...]) -> None:
    """What failed or was refused, a line each; nothing where nothing did."""
    if not found:
        return
    click.echo("\nfailed or refused:")
    for failure in found:
        where = f"{failure.where}: " if failure.where else ""
        message = printable(f"{where}{' '.join(failure.message.split())}")
        click.echo(f"  {output.moment(failure.at)}  execution {failure.execution}  {message}")


@click.command(cls=Verb)
@click.argument("text", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@click.pass_obj
def search(session: Session, text: tuple[str, ...], limit: int) -> None:
    r"""Find datasets, features and others by what is said of them.

    Every word is to be met: in a name, description, owner, label or subject. A word may be mistyped, or a part of one.

    \b
    Examples:
      lakehouse search delay
      lakehouse search aviation wind
    """
    with session.lake() as lake:
        found = lake.search(" ".join(text), limit=limit)
    if session.as_json:
        output.tell(found)
    elif not found:
        click.echo(f"nothing is met by '{printable(' '.join(text))}'; `lakehouse list` shows all there is")
    else:
        output.table(
            ["kind", "name", "rows", "committed", "met in", "owner", "description"],
            [
                (
                    hit.kind.replace("_", " "),
                    hit.name,
                    "" if hit.rows is None else f"{hit.rows:,}",
                    "" if hit.committed_at is None else output.moment(hit.committed_at),
                    ", ".join(hit.met),
                    hit.owner,
                    hit.description,
                )
                for hit in found
            ],
            right=["rows"],
            spare=["met in", "owner", "committed"],
        )


COMMANDS: tuple[click.Command, ...] = (list_, show, search)
