"""The commands for versions of data: tag, diff, pin, export, import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli import output, progress
from lakehouse.cli.session import Session, Verb
from lakehouse.records import printable

if TYPE_CHECKING:
    from lakehouse.versions import DatasetDifference, Difference

__all__ = ["COMMANDS"]

_LISTED = 5  # versions of a tag that are named in a table
_OWN = ("_raw", "_row", "_execution", "_recorded_at")


@click.command(cls=Verb)
@click.argument("name", required=False)
@click.argument("datasets", nargs=-1)
@click.option("--as-of", metavar="TIME", help="As they were visible at this moment (default: now).")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.pass_obj
def tag(session: Session, name: str | None, datasets: tuple[str, ...], as_of: str | None, description: str) -> None:
    r"""Name a set of versions, or list the names.

    The versions are those that were visible at one moment, of the datasets given or of all. A tag never changes.

    \b
    Examples:
      lakehouse tag                                    every tag
      lakehouse tag v1 --description "paper, table 2"
      lakehouse tag report/2026-03 aviation/flights --as-of 2026-03-31
      lakehouse read aviation/flights --tag v1
    """
    if name is None and (as_of is not None or description):
        raise click.UsageError("say the tag's NAME")
    with session.lake() as lake:
        made = None if name is None else lake.tag(name, datasets, as_of=as_of, description=description)
        every = lake.tags() if made is None else ()
    if session.as_json:
        output.tell(every if made is None else made)
    elif made is not None:
        click.echo(f"{made.name}: {_versions(made.versions, None)} as of {made.moment.isoformat()}")
    else:
        output.table(
            ["tag", "as of", "versions", "from", "description"],
            [
                (
                    one.name,
                    output.moment(one.moment),
                    _versions(one.versions, _LISTED),
                    "import" if one.manifest else "",
                    one.description,
                )
                for one in every
            ],
        )


def _versions(versions: Mapping[str, int], limit: int | None) -> str:
    named = [f"{dataset}@{number}" for dataset, number in sorted(versions.items())]
    more = f" and {len(named) - limit} more" if limit is not None and len(named) > limit else ""
    return ", ".join(named[:limit]) + more


@click.command(cls=Verb)
@click.argument("a")
@click.argument("b")
@click.argument("dataset", required=False)
@click.option("--rows", "limit", default=0, type=click.IntRange(min=0), metavar="N", help="Show N rows of each kind.")
@click.option("--no-statistics", "unmeasured", is_flag=True, help="Do not tell how far the values are apart.")
@click.pass_obj
def diff(  # noqa: PLR0913, PLR0917  # one parameter an option
    session: Session, a: str, b: str, dataset: str | None, limit: int, unmeasured: bool
) -> None:
    r"""Tell what differs between two states.

    A and B are DATASET@VERSION, tag:NAME or a moment; of tags and moments all datasets, or the one given.
    Rows added, removed and changed, what changed in the schema and in the values, and the files and code behind it.

    \b
    Examples:
      lakehouse diff aviation/flights@1 aviation/flights@2
      lakehouse diff tag:v1 tag:v2 --rows 5
      lakehouse diff 2026-03-01 2026-04-01 aviation/flights
    """
    with session.lake() as lake:
        found = lake.diff(a, b, dataset, statistics=not unmeasured)
        samples = {name: _samples(one, limit) for name, one in found.datasets.items()} if limit else {}
    if session.as_json:
        _tell_json(found, samples)
        return
    for name, one in found.datasets.items():
        for line in str(one).splitlines():
            click.echo(output.folded(line))
        for kind, columns, rows in _tables(samples.get(name, {})):
            click.echo(f"\n{kind}:")
            output.table(columns, rows)
    if not found.datasets:
        click.echo("neither holds any dataset")


def _samples(one: DatasetDifference, limit: int) -> dict[str, list[dict[str, Any]]]:
    """Some rows of each kind."""
    found = {}
    counts = {"added": one.added, "removed": one.removed, "changed": one.changed}
    for kind in ("added", "removed", "changed"):
        if counts[kind]:
            found[kind] = one.rows(kind).head(limit).collect(engine="streaming").to_dicts()
    return found


def _tables(samples: Mapping[str, list[dict[str, Any]]]) -> Iterator[tuple[str, Sequence[str], list[list[object]]]]:
    """Samples as tables: of rows that changed the key, and what was and is where it is not the same."""
    for kind, rows in samples.items():
        if kind != "changed":
            names = [name for name in rows[0] if not name.startswith("_")]
            yield kind, names, [[row[name] for name in names] for row in rows]
            continue
        keys = [name for name in rows[0] if name not in ("before", "after")]
        yield kind, [*keys, "what changed"], [[*(row[key] for key in keys), _change(row)] for row in rows]


def _change(row: Mapping[str, Any]) -> str:
    before, after = row["before"], row["after"]
    names = [name for name in after if name not in _OWN and before[name] != after[name]]
    return ", ".join(f"{name}: {before[name]} -> {after[name]}" for name in names)


def _tell_json(found: Difference, samples: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> None:
    import json  # noqa: PLC0415  # beside what it is for

    whole = json.loads(found.to_json())
    for one in whole["datasets"]:
        if one["dataset"] in samples:
            one["samples"] = samples[one["dataset"]]
    output.tell(whole)


@click.command(cls=Verb)
@click.argument("file", default="lakehouse.lock", type=click.Path(dir_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; tell what differs from FILE (exit 1 if anything does).")
@click.pass_context
def pin(context: click.Context, file: str, *, check: bool) -> None:
    r"""Pin every dataset's version in a file for Git.

    With it, reading is reproducible: --lock FILE answers with these versions, and proves that they are the same.

    \b
    Examples:
      lakehouse pin                                     writes lakehouse.lock
      lakehouse pin --check
      lakehouse --lock lakehouse.lock read aviation/flights
    """
    session: Session = context.obj
    with session.lake() as lake:
        lock = lake.pin(file, check=check)
    if session.as_json:
        output.tell(lock)
    else:
        for line in lock.differences:
            click.echo(printable(line))
        many = output.count(len(lock.datasets), "dataset")
        if check:
            click.echo(f"{printable(file)}: " + ("differs" if lock.differences else f"as the lake is ({many})"))
        else:
            click.echo(f"{printable(file)}: {many} pinned as of {lock.moment.isoformat()}")
    context.exit(1 if check and lock.differences else 0)


@click.command(cls=Verb)
@click.argument("tag")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", help="Of the files.")
@click.pass_obj
def export(session: Session, tag: str, folder: str, form: Any) -> None:
    r"""Write a tag's rows as plain files into a folder.

    A manifest beside them says what they are and where they came from. What the folder holds already is not written
    again. Another lake takes Parquet in with `lakehouse import DIR`.

    \b
    Examples:
      lakehouse export v1 /mnt/share/flights
      lakehouse export v1 flights-csv --format csv
    """
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.export(tag, folder, form)
    if session.as_json:
        output.tell(done)
        return
    written = f"{output.count(done.files, 'file')}, {done.written:,} of them new"
    click.echo(f"{done.tag}: {output.count(done.rows, 'row')} of {output.count(done.datasets, 'dataset')} in {written}")
    click.echo(f"manifest: {printable(done.manifest)}")
    _personal(done.personal)


@click.command("import", cls=Verb)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--tag", metavar="NAME", help="Which of its tags, where it holds several.")
@click.pass_obj
def import_(session: Session, folder: str, tag: str | None) -> None:
    r"""Take in a tag that another lake exported.

    Every file is verified by its hash, and only what is missing is copied. Nothing is visible of an export that is
    damaged.

    \b
    Examples:
      lakehouse import /mnt/share/flights
      lakehouse read aviation/flights --tag v1
    """
    with progress.shown(session) as report, session.lake(report) as lake:
        done = lake.import_(folder, tag)
    if session.as_json:
        output.tell(done)
        return
    if not done.execution:
        click.echo(f"{done.tag.name}: all of it is here already")
    else:
        files = f"{output.count(done.files, 'file')}, {done.new:,} of them new ({output.size(done.size)})"
        click.echo(f"{done.tag.name}: {output.count(done.rows, 'row')} of lake '{printable(done.lake)}' in {files}")
    click.echo(f"holds {_versions(done.tag.versions, None)}; read with --tag {done.tag.name}")
    _personal(done.personal)


def _personal(held: Mapping[str, Sequence[str]]) -> None:
    for dataset, columns in sorted(held.items()):
        click.echo(printable(f"personal data in {dataset}: {', '.join(columns)}"))


COMMANDS: tuple[click.Command, ...] = (tag, diff, pin, export, import_)
