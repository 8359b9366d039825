"""Features on the command line: publish, online."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb
from lakehouse.records import printable

__all__ = ["COMMANDS"]

_AGES = ("_event_time", "_published_at")


@click.command(cls=Verb)
@click.argument("feature_set")
@click.option("--again", is_flag=True, help="Write all keys anew, whatever the store holds.")
@click.pass_obj
def publish(session: Session, feature_set: str, *, again: bool) -> None:
    r"""Bring the online store up to date with a feature set.

    Writes the newest values of the keys of which something new is known, all at once. Where the store is lakehouse.yaml
    says, under `online:`.

    \b
    Examples:
      lakehouse publish delay_model
      lakehouse publish delay_model --again
    """
    with session.lake() as lake:
        done = lake.publish(feature_set, again=again)
    if session.as_json:
        output.tell(done)
        return
    versions = ", ".join(f"{dataset}@{number}" for dataset, number in done.versions.items())
    if not done.execution:
        click.echo(f"{feature_set}: {output.count(done.total, 'key')}, up to date with {versions}")
        return
    removed = f", removed {done.removed:,}" if done.removed else ""
    why = f" ({done.full})" if done.full else ""
    click.echo(
        f"{feature_set}: wrote {output.count(done.keys, 'key')}{removed} of {done.total:,} from {versions} "
        f"in {done.seconds:.1f} s{why}"
    )


@click.command(cls=Verb)
@click.argument("feature_set")
@click.argument("key", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.pass_obj
def online(session: Session, feature_set: str, key: tuple[str, ...]) -> None:
    r"""Look up the features of one key in the online store.

    \b
    Examples:
      lakehouse online delay_model origin=JFK
      lakehouse online delay_model origin=JFK tailnum=N14228 --json
    """
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    named: dict[str, str] = {}
    for one in key:
        name, equals, value = one.partition("=")
        if not equals or not name or name in named:
            raise click.UsageError(f"'{printable(one)}' is not KEY=VALUE, each key once, like origin=JFK")
        named[name] = value
    with session.lake() as lake:
        row: Mapping[str, Any] = lake.online(feature_set, pl.DataFrame([named]), into="dicts")[0]
    if session.as_json:
        output.tell(row)
        return
    shown = [(name, value) for name, value in row.items() if name not in _AGES]
    output.table(["feature", "value"], [(name, "-" if value is None else value) for name, value in shown])
    since, published = (row[name] for name in _AGES)
    known = "nothing is known of this key" if since is None else f"true since {output.moment(since)}"
    click.echo(f"{known}; published {output.moment(published)}")


COMMANDS: tuple[click.Command, ...] = (publish, online)
