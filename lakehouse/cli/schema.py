"""The commands about schemas: what data suggest, what they ask to change, what is and what was."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb, shared_options
from lakehouse.errors import ConfigError, StorageError, nearest
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.evolution import Proposal, SchemaVersion
    from lakehouse.schema import Difference, Schema
    from lakehouse.validation.anomalies import Anomaly
    from lakehouse.validation.inference import Change

__all__ = ["schema"]

_LEFT = 10  # anomalies that no change settles, told one by one
_LONGEST = 200  # characters of a value that are shown
_FORMS = ("yaml", "json", "pbtxt")


class _Verbs(click.Group):
    """A command of commands; a mistyped one is told with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"no command 'schema {printable(args[0])}'.{nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def schema() -> None:
    """Infer a schema, update, show and compare it."""


schema.params.extend(shared_options(hidden=True))


@schema.command(cls=Verb)
@click.argument("what", metavar="DATASET|FILE")
@click.option("--version", type=click.IntRange(min=0), metavar="N", help="Of a dataset's rows at this version.")
@click.option("--source", metavar="NAME", help="Read a FILE in this source's format, with its null_values.")
@click.option("--write", is_flag=True, help="Add to the dataset's file what it does not say yet.")
@click.pass_context
def infer(context: click.Context, what: str, version: int | None, source: str | None, write: bool) -> None:
    r"""Print the schema that data suggest, as YAML.

    Of a dataset's rows, or of a local file in any format the lake reads. With --write, features and
    domains that the dataset's file lacks are added to it; what stands there is never changed.

    \b
    Examples:
      lakehouse schema infer aviation/flights
      lakehouse schema infer incoming/flights.csv --source flights > schema.yaml
    """
    session: Session = context.obj
    with session.lake() as lake:
        if write:
            if what not in lake.config.datasets:
                raise ConfigError(f"--write adds to a dataset's file, and there is no dataset '{printable(what)}'")
            _, added = lake.schema.adopt(what, version=version)
            _adopted(session, what, _file(lake.config, what), added)
            return
        inferred = lake.schema.infer(what, source=source, version=version)
    _write(inferred, "json" if session.as_json else "yaml")


def _adopted(session: Session, dataset: str, file: str, added: Sequence[Difference]) -> None:
    if session.as_json:
        output.tell({"dataset": dataset, "file": file, "added": added})
        return
    if not added:
        click.echo(f"{dataset}: nothing to add, {file} says all of it already")
        return
    click.echo(f"{dataset}: added to {file}")
    for one in added:
        click.echo(f"  {_difference(one)}")


@schema.command(cls=Verb)
@click.argument("dataset")
@click.option("--accept", multiple=True, metavar="FEATURE", help="Write this one's changes into the dataset's file.")
@click.option("--accept-all", is_flag=True, help="Write all that are proposed, but for those that end a check.")
@click.option("--file", metavar="FILE", help="Look at this local file, not at the newest batch.")
@click.option("--source", metavar="NAME", help="As whose file it is read, where the dataset has several sources.")
@click.option("--environment", metavar="NAME", help="As data of this environment of the schema.")
@click.pass_context
def update(  # noqa: PLR0913, PLR0917  # one parameter an option
    context: click.Context,
    dataset: str,
    accept: Sequence[str],
    accept_all: bool,
    file: str | None,
    source: str | None,
    environment: str | None,
) -> None:
    r"""Propose changes that let a dataset's newest batch pass.

    Each comes with its reason. Nothing is written before it is accepted, and then just the keys that
    change: comments, order and everything else of the file stay. `--accept schema` is what is said
    of no single feature. A change that ends a check is written only where its feature is named.

    \b
    Examples:
      lakehouse schema update aviation/flights
      lakehouse schema update aviation/flights --accept carrier --accept gate
      lakehouse schema update aviation/flights --file incoming/2013-02-01.csv
    """
    session: Session = context.obj
    with session.lake() as lake:
        known = lake.config.dataset(dataset).schema.paths()
        wanted = ["" if name == "schema" and name not in known else name for name in accept]
        accepted = accept_all or wanted
        found = lake.schema.update(dataset, accept=accepted, file=file, source=source, environment=environment)
    if session.as_json:
        output.tell(
            {
                "dataset": dataset,
                "file": found.file,
                "written": found.written,
                "again": found.again,
                "changes": found.update.changes,
                "open": found.open,
                "unread": found.unread,
                "left": [_short(one) for one in found.update.left],
            }
        )
        return
    options = {"--file": file, "--source": source, "--environment": environment}
    _proposed(dataset, found, "".join(f" {key} {shlex.quote(said)}" for key, said in options.items() if said))


def _proposed(dataset: str, found: Proposal, options: str) -> None:
    changes = found.update.changes
    if not changes:
        click.echo(f"{dataset}: nothing to change, the newest data fit the schema")
    elif found.written:
        click.echo(f"{dataset}: {output.count(len(changes), 'change')} written to {found.file}")
    else:
        click.echo(f"{dataset}: {output.count(len(changes), 'change')} proposed to {found.file}")
    for number, change in enumerate(changes, 1):
        click.echo(f"\n{number}. {_change(change)}{' (ends a check)' if change.ends else ''}")
        click.echo(f"   {printable(change.reason)}")
        if becomes := _becomes(found.update.schema, change):
            click.echo(f"     {becomes}")
    _left(found.update.left)
    for why in found.unread:
        click.echo(f"\nNot looked at: {printable(why)}")
    if changes:
        _next(shlex.quote(dataset), found, options)


def _next(name: str, found: Proposal, options: str) -> None:
    """What to do about a proposal."""
    changes = found.update.changes
    if found.open:
        some = _accepting(found.open, len(found.open))
        what = "The rest was not" if found.written else "Nothing was"
        click.echo(
            f"\n{what} written, since a check would end. To accept by name: "
            f"lakehouse schema update {name}{options} {some}"
        )
    elif not found.written:
        ending = sum(change.ends for change in changes)
        rest = "" if not ending else ", but for those that end a check"
        every = "" if ending == len(changes) else f", or --accept-all{rest}"
        some = _accepting(changes, 2)
        click.echo(f"\nNothing was written. To accept: lakehouse schema update {name}{options} {some}{every}")
    if not found.written:
        return
    if found.again:
        click.echo(f"\nRows that were read already may fare otherwise now: lakehouse curate {name} --again")
    else:
        click.echo("\nNothing else to do: it holds from the next curation on.")


def _accepting(changes: Sequence[Change], most: int) -> str:
    features = list(dict.fromkeys(change.path or "schema" for change in changes))
    return " ".join(f"--accept {shlex.quote(one)}" for one in features[:most])


def _left(left: Sequence[Anomaly]) -> None:
    if left:
        click.echo("\nNot for the schema to settle:")
        for one in left[:_LEFT]:
            click.echo(f"  {_short(one)}")
        if len(left) > _LEFT:
            click.echo(f"  and {len(left) - _LEFT:,} more, as `lakehouse validate` tells")


def _short(anomaly: Anomaly) -> str:
    return printable(f"{anomaly.path}: {anomaly.short}" if anomaly.path else anomaly.short)


def _change(change: Change) -> str:
    where = printable(change.path or "schema")
    if not change.key:
        return f"{where}: {'new feature' if change.before is None else 'as a whole'}"
    before = "nothing" if change.before is None else _cut(change.before)
    after = "nothing" if change.after is None else _cut(change.after)
    return f"{where}: {change.key} from {before} to {after}"


def _becomes(becoming: Schema, change: Change) -> str:
    """What would then stand in the file."""
    from lakehouse.config import flow  # noqa: PLC0415  # --help need not pay for it

    if not change.path:
        return "" if change.after is None else f"{change.key}: {_cut(change.after)}"
    name = becoming.key_path(change.path)[1]
    feature = becoming.features.get(name)
    return "" if feature is None else f"{flow(name)}: {_cut(feature.plain())}"


@schema.command(cls=Verb)
@click.argument("dataset")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="As its number in `schema history`.")
@click.option("--environment", metavar="NAME", help="Only the features that are in it.")
@click.option("--format", "form", type=click.Choice(_FORMS), default="yaml", help="Default: yaml.")
@click.pass_context
def show(context: click.Context, dataset: str, version: int | None, environment: str | None, form: str) -> None:
    r"""Print a dataset's schema, as it is or as it was.

    `--format pbtxt` is TensorFlow Metadata's, and needs the extra tfmd; what it has no word for is
    told on stderr.

    \b
    Examples:
      lakehouse schema show aviation/flights
      lakehouse schema show aviation/flights --environment SERVING --format pbtxt > schema.pbtxt
    """
    session: Session = context.obj
    with session.lake() as lake:
        shown = lake.schema.show(dataset, version=version, environment=environment)
    _write(shown, "json" if session.as_json else form)


def _write(value: Schema, form: str) -> None:
    """A schema on stdout, and nothing else there."""
    from lakehouse.config import schema_text  # noqa: PLC0415  # --help need not pay for it

    if form == "json":
        click.echo(json.dumps(value.plain(), ensure_ascii=not _speaks_unicode()))
    elif form == "yaml":
        click.echo(schema_text(value), nl=False)
    else:
        from lakehouse import tfmd  # noqa: PLC0415  # an extra

        text, lost = tfmd.write_schema(value)
        click.echo(text, nl=False)
        _lost(lost)


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _lost(lost: Iterable[str]) -> None:
    for line in lost:
        click.echo(f"not carried over: {printable(line)}", err=True)


@schema.command("import", cls=Verb)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def import_(context: click.Context, file: Path) -> None:
    r"""Print TensorFlow Metadata's schema as YAML.

    FILE is a schema.pbtxt or a serialized Schema. Needs the extra tfmd; what it says that the lake has
    no word for is told on stderr.

    \b
    Examples:
      lakehouse schema import schema.pbtxt > schema.yaml
    """
    from lakehouse import tfmd  # noqa: PLC0415  # an extra

    session: Session = context.obj
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(f"'{printable(str(file))}' cannot be read: {error.strerror}") from error
    imported, lost = tfmd.read_schema(data)
    _write(imported, "json" if session.as_json else "yaml")
    _lost(lost)


@schema.command(cls=Verb)
@click.argument("dataset")
@click.argument("old", type=click.IntRange(min=1), required=False)
@click.argument("new", type=click.IntRange(min=1), required=False)
@click.pass_context
def diff(context: click.Context, dataset: str, old: int | None, new: int | None) -> None:
    r"""Tell what two schemas of a dataset do not share.

    OLD and NEW are numbers in `schema history`. Without NEW it is the dataset's file as it is; without
    OLD the schema that was used last.

    \b
    Examples:
      lakehouse schema diff aviation/flights
      lakehouse schema diff aviation/flights 1 2
    """
    session: Session = context.obj
    with session.lake() as lake:
        found = lake.schema.diff(dataset, old, new)
        file = _file(lake.config, dataset)
    if session.as_json:
        output.tell(found)
        return
    one, other = (file if number is None else f"schema {number}" for number in (found.old, found.new))
    if not found.changes:
        click.echo(f"{dataset}: {one} and {other} say the same")
        return
    click.echo(f"{dataset}: {one} -> {other}")
    for change in found.changes:
        click.echo(f"  {_difference(change)}")


@schema.command(cls=Verb)
@click.argument("dataset")
@click.pass_context
def history(context: click.Context, dataset: str) -> None:
    r"""List each schema that a dataset was curated by.

    The number of each, when and by which execution it was used first, which version of the dataset
    was the first made by it, and what had changed.

    \b
    Examples:
      lakehouse schema history aviation/flights
    """
    session: Session = context.obj
    with session.lake() as lake:
        found = lake.schema.history(dataset)
        file = _file(lake.config, dataset)
    if session.as_json:
        output.tell([{**_version(one), "changes": one.changes, "schema": one.schema.plain()} for one in found])
        return
    if not found:
        click.echo(f"{dataset}: no curation used a schema yet; run `lakehouse curate {shlex.quote(dataset)}`")
        return
    for one in found:
        made = "no version made by it" if one.version is None else f"from version {one.version} on"
        what = output.count(len(one.changes), "change") if one.number > 1 else f"{len(one.schema.features):,} features"
        click.echo(f"schema {one.number}: {output.moment(one.used_at)}, execution {one.execution}, {made}, {what}")
        for change in one.changes:
            click.echo(f"  {_difference(change)}")
    if not found[-1].current:
        click.echo(f"{file} says otherwise by now: lakehouse schema diff {shlex.quote(dataset)}")


def _version(one: SchemaVersion) -> dict[str, Any]:
    return {key: getattr(one, key) for key in ("number", "execution", "used_at", "version", "current")}


def _file(config: Any, dataset: str) -> str:
    from lakehouse.config import dataset_file  # noqa: PLC0415  # --help need not pay for it

    return dataset_file(dataset, config)


def _difference(one: Difference) -> str:
    """One difference on one line: ``+`` came, ``-`` went, ``~`` changed."""
    where = ".".join(part for part in (one.path, one.key) if part)
    if one.before is None:
        return f"+ {printable(where)}: {_cut(one.after)}"
    if one.after is None:
        return f"- {printable(where)}: {_cut(one.before)}"
    return f"~ {printable(where)}: {_cut(one.before)} -> {_cut(one.after)}"


def _cut(value: Any) -> str:
    from lakehouse.config import flow  # noqa: PLC0415  # --help need not pay for it

    text = printable(flow(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
