"""Rows on the command line: `read` and `changes`, and the summary behind `quarantine`."""

from __future__ import annotations

import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb
from lakehouse.errors import NotFoundError, StorageError, nearest
from lakehouse.records import printable

if TYPE_CHECKING:
    import polars as pl

    from lakehouse.lake import Lake

__all__ = ["Rejected", "Shape", "changes", "formed", "give", "read", "rejected", "shaped"]

_FORMATS = ("table", "csv", "json", "ndjson", "parquet")
_TABLE_LIMIT = 20
_PROVENANCE = ("_raw", "_row", "_execution", "_recorded_at")
_STATES = ("_change", "_valid_from")
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are given: which columns, how many, in which form, to which file."""

    columns: str | None
    limit: int | None
    provenance: bool
    kind: str
    file: str | None


def formed(verb: Callable[..., None]) -> Callable[..., None]:
    """The options that say in which form rows are given, and how many, as one argument ``shape`` of a verb."""

    @functools.wraps(verb)
    def taking(
        session: Session, *args: Any, limit: int | None, kind: str | None, file: str | None, **others: Any
    ) -> None:
        columns, provenance = others.pop("columns", None), others.pop("provenance", False)
        form = kind or _by_name(file) or ("json" if session.as_json else "csv" if file else "table")
        if form == "table" and file is not None:
            raise click.UsageError("a table is for looking at; write csv, json, ndjson or parquet to a file")
        if form == "parquet" and file is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for a terminal; add --output FILE")
        verb(session, *args, shape=Shape(columns, limit, provenance, form, file), **others)

    for option in reversed(
        (
            click.option(
                "--limit",
                type=click.IntRange(min=0),
                metavar="N",
                help=f"At most so many rows (a table: {_TABLE_LIMIT}).",
            ),
            click.option(
                "--format",
                "kind",
                type=click.Choice(_FORMATS),
                help="How to write them (default: by FILE's name; else table).",
            ),
            click.option(
                "--output", "file", metavar="FILE", type=click.Path(dir_okay=False), help="Write to this file."
            ),
        )
    ):
        taking = option(taking)
    return taking


def shaped(verb: Callable[..., None]) -> Callable[..., None]:
    """As `formed`, with the options that say which columns of a dataset's rows are given."""
    taking = formed(verb)
    taking = click.option("--provenance", is_flag=True, help="Show where each row comes from, for `lakehouse trace`.")(
        taking
    )
    return click.option("--columns", metavar="A,B", help="Only these columns, in this order.")(taking)


@click.command(cls=Verb)
@click.argument("dataset")
@click.option("--version", type=int, metavar="N", help="As it was at this version.")
@click.option("--as-of", metavar="TIME", help="As it was known at this moment, like 2026-03-01T12:00:00Z.")
@click.option("--tag", metavar="NAME", help="As it was at this tag.")
@click.option("--valid-at", metavar="TIME", help="What was true at this moment, one row a key.")
@click.option("--history", is_flag=True, help="Every state of every key, with valid_from and valid_to.")
@click.pass_obj
@shaped
def read(session: Session, /, dataset: str, *, shape: Shape, **which: Any) -> None:
    r"""Print a dataset's rows, now or as they were.

    Of `history: changes` and `snapshots` that is one row a key, its newest state.

    \b
    Examples:
      lakehouse read aviation/flights
      lakehouse read aviation/flights --as-of 2026-03-01 --columns carrier,flight --format csv
      lakehouse read aviation/flights --output flights.parquet
      lakehouse read aviation/flights --provenance --limit 5
      lakehouse read aviation/planes --valid-at 2013-02-01
    """
    with session.lake() as lake:
        frame = lake.scan(dataset, **which)
        past = {name: which[name] for name in ("version", "as_of", "tag") if which[name] is not None}
        if past and not session.quiet and not session.as_json:
            _tell_files(lake, dataset, past)
        give(frame, dataset, shape)


@click.command(cls=Verb)
@click.argument("dataset")
@click.option("--since", metavar="STATE", help="The older state: a version, a TIME, or tag:NAME.")
@click.option("--until", metavar="STATE", help="The newer one (default: now).")
@click.pass_obj
@shaped
def changes(session: Session, /, dataset: str, since: str | None, until: str | None, *, shape: Shape) -> None:
    r"""Print what was inserted, updated and deleted in between.

    A deleted row is printed as it was. Without --since everything is inserted.

    \b
    Examples:
      lakehouse changes aviation/planes --since 12
      lakehouse changes aviation/planes --since 2026-03-01 --until tag:q2 --format ndjson
    """
    with session.lake() as lake:
        give(lake.changes(dataset, since=since, until=until), dataset, shape, always=("_change",))


def _tell_files(lake: Lake, dataset: str, past: dict[str, Any]) -> None:
    """Say on stderr how much of the table an older state is read from."""
    found = lake.files(dataset, **past)
    if found is None:
        return
    asked = "".join(f", {name.replace('_', ' ')} {value}" for name, value in past.items() if name != "version")
    said = (
        f"{dataset}, version {found.version.version}{asked}: {found.read:,} of {output.count(found.all, 'file')} read"
    )
    if found.kept is not None:
        said += f", and the kept state of version {found.kept}"
    click.echo(printable(said), err=True)


def give(frame: pl.LazyFrame, dataset: str, shape: Shape, always: Sequence[str] = ()) -> None:
    """Print rows, or write them to a file."""
    from lakehouse.retrieval import readable  # noqa: PLC0415  # half a second that --help need not pay

    wanted = list(dict.fromkeys([*always, *_wanted(frame, dataset, shape.columns)]))
    if shape.kind == "table":
        shown = _TABLE_LIMIT if shape.limit is None else shape.limit
        frame = _with_handle(frame, wanted) if shape.provenance else frame.select(wanted)
        with readable(dataset):
            rows = frame.head(shown + 1).collect(engine="streaming")
        _print_table(rows.head(shown), more=shape.limit is None and rows.height > shown)
        return
    if shape.provenance:
        there = frame.collect_schema()
        wanted = list(dict.fromkeys([*wanted, *(name for name in (*_PROVENANCE, *_STATES) if name in there)]))
    frame = frame.select(wanted)
    frame = frame if shape.limit is None else frame.head(shape.limit)
    if shape.file is not None:
        _write_file(frame, dataset, shape.kind, Path(shape.file))
    elif shape.kind == "parquet":
        buffer = io.BytesIO()
        with readable(dataset):
            frame.collect(engine="streaming").write_parquet(buffer, compression="zstd")
        sys.stdout.buffer.write(buffer.getbuffer())
    else:
        _write(_batches(frame, dataset), frame.head(0).collect(), shape.kind, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def show(frame: pl.DataFrame, *, as_json: bool) -> None:
    """Print a small frame, whole."""
    if as_json:
        _write(iter([frame]), frame.clear(), "json", sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    _print_table(frame.with_columns(_handle()).drop("_raw", "_row"), more=False)


def _by_name(file: str | None) -> str | None:
    suffix = "" if file is None else Path(file).suffix.lower().removeprefix(".")
    return suffix if suffix in _FORMATS else None


def _wanted(frame: pl.LazyFrame, dataset: str, columns: str | None) -> list[str]:
    """The columns that are asked for; without a word of any, all but what the lake itself notes of each row."""
    known = frame.collect_schema().names()
    own = (*_PROVENANCE, *_STATES)
    wanted = [name.strip() for name in columns.split(",")] if columns else [name for name in known if name not in own]
    for name in wanted:
        if name not in known:
            raise NotFoundError(f"dataset '{dataset}' has no column '{name}'.{nearest(name, known)}")
    return list(dict.fromkeys(wanted))


def _with_handle(frame: pl.LazyFrame, wanted: Sequence[str]) -> pl.LazyFrame:
    """The columns with what `lakehouse trace` takes before them and the rest of the provenance after them."""
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    rest = {"_execution": pl.col("_execution"), "_recorded_at": _seconds("_recorded_at")}
    if "_valid_from" in frame.collect_schema():
        rest |= {"_change": pl.col("_change"), "_valid_from": _seconds("_valid_from")}
    return frame.select(_handle(), *wanted, *(shown for name, shown in rest.items() if name not in wanted))


def _handle() -> pl.Expr:
    """What `lakehouse trace` takes. A row that says that its file holds a key no longer has no place in it."""
    import polars as pl  # noqa: PLC0415  # as above

    number = pl.col("_row").cast(pl.String).fill_null("-")
    return pl.format("{}:{}", pl.col("_raw").str.head(12), number).alias("raw:row")


def _seconds(moment: str) -> pl.Expr:
    import polars as pl  # noqa: PLC0415  # as above

    return pl.col(moment).dt.strftime("%Y-%m-%d %H:%M:%SZ")


def _print_table(rows: pl.DataFrame, *, more: bool) -> None:
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_numeric()]
    output.table(rows.columns, rows.iter_rows(), right=numbers)
    if more:
        click.echo(f"the first {_TABLE_LIMIT} rows; more with --limit, all with --format csv or --output FILE")


def _write_file(frame: pl.LazyFrame, dataset: str, kind: str, file: Path) -> None:
    """Write beside the file and put it in place when whole."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            if kind == "parquet":
                _sink_parquet(frame, dataset, part)
            else:
                _write(_batches(frame, dataset), frame.head(0).collect(), kind, stream)
        part.replace(file)
    except OSError as error:
        raise StorageError(f"'{file}' cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"wrote {printable(str(file))}, {output.size(file.stat().st_size)}", err=True)


def _sink_parquet(frame: pl.LazyFrame, dataset: str, part: Path) -> None:
    """Write Parquet; polars tells a full disk in the same words as a damaged table, but for the reason."""
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    from lakehouse.retrieval import readable  # noqa: PLC0415

    with readable(dataset):
        try:
            frame.sink_parquet(part, compression="zstd")
        except pl.exceptions.PolarsError as error:
            full = next((why for why in _FULL if why in str(error)), None)
            if full is None:
                raise
            raise StorageError(f"'{part.parent}' cannot be written to: {full}") from error


def _batches(frame: pl.LazyFrame, dataset: str) -> Iterator[pl.DataFrame]:
    """The rows, a batch at a time, and every one of them.

    Raises:
        StorageError: a part of the table is gone or damaged.
    """
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    from lakehouse.retrieval import readable  # noqa: PLC0415

    came = 0
    with readable(dataset):
        for batch in frame.collect_batches(engine="streaming"):
            came += batch.height
            yield batch
        # A panic of its Parquet reader ends polars' batches early without an error.
        if came != frame.select(pl.len()).collect(engine="streaming").item():
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def _write(batches: Iterator[pl.DataFrame], empty: pl.DataFrame, kind: str, stream: IO[bytes]) -> None:
    """Write rows as text, batch by batch: a dataset of any size takes the same memory."""
    binary = [name for name, dtype in empty.schema.items() if str(dtype) == "Binary"]
    first = True
    if kind == "csv":
        stream.write(empty.write_csv().encode())
    for batch in batches:
        rows = batch.with_columns(batch[name].bin.encode("base64") for name in binary)
        if kind == "csv":
            text = rows.write_csv(include_header=False)
        elif kind == "ndjson":
            text = rows.write_ndjson()
        else:
            text = ("[" if first else ",\n") + rows.write_json()[1:-1]
        if rows.height:
            stream.write(text.encode())
            first = False
    if kind == "json":
        stream.write(b"[]\n" if first else b"]\n")


@dataclass(frozen=True, slots=True)
class Example:
    """One rejected row: its raw file (hash and name), its number in it, why, and its fields or text."""

    raw: str
    file: str
    row: int
    reasons: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A quarantine in short. ``reasons`` are counted over all rows, most frequent first."""

    dataset: str
    rows: int
    reasons: dict[str, int]
    examples: Sequence[Example]


def rejected(lake: Lake, dataset: str, limit: int, reason: str | None) -> Rejected:
    """Sum up a quarantine.

    Args:
        lake: the lake.
        dataset: the dataset.
        limit: the most examples.
        reason: only rows with a reason that contains this.
    """
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    from lakehouse.retrieval import readable  # noqa: PLC0415

    frame = lake.quarantine(dataset)
    if reason is not None:
        frame = frame.filter(pl.col("reasons").list.eval(pl.element().str.contains(reason, literal=True)).list.any())
    with readable(dataset):
        counted, total, first = pl.collect_all(
            [
                frame.select(pl.col("reasons").explode())
                .group_by("reasons")
                .len()
                .sort("len", "reasons", descending=[True, False]),
                frame.select(pl.len()),
                frame.sort("_execution", "_raw", "_row").head(limit),
            ],
            engine="streaming",
        )
    shown = first["_raw"].to_list()
    sources = lake.config.dataset(dataset).source_names if shown else ()
    names = {file.sha256: file.name for source in sources for file in lake.show(source, "source", raw=shown).raw}
    examples = tuple(
        Example(
            row["_raw"],
            names.get(row["_raw"], ""),
            row["_row"],
            tuple(row["reasons"]),
            row["fields"] if row["fields"] is not None else row["text"] or "",
        )
        for row in first.iter_rows(named=True)
    )
    return Rejected(dataset, total.item(), dict(counted.iter_rows()), examples)
