"""Features on the command line: the point-in-time join of a file of keys and times."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb
from lakehouse.errors import FormatError, StorageError
from lakehouse.records import printable

if TYPE_CHECKING:
    import polars as pl

    from lakehouse.lake import Lake

__all__ = ["features"]

_SHOWN = 20
_KINDS = (".csv", ".parquet")


@click.command(cls=Verb)
@click.argument("names", nargs=-1, required=True, metavar="SET|DATASET:FEATURE...")
@click.option("--spine", required=True, metavar="FILE", type=click.Path(dir_okay=False), help="Keys and times.")
@click.option("--time", metavar="COLUMN", help="The spine's column of times (default: event_time, event_timestamp).")
@click.option("--ttl", metavar="AGE", help="How old a value may be, like 3d or 2h; 0 is any age.")
@click.option("--as-known", is_flag=True, default=None, help="Join only what the lake showed by each row's time.")
@click.option("--as-of", metavar="TIME", help="Of the datasets as they were known at this moment.")
@click.option("--tag", metavar="NAME", help="Of the versions that a tag names.")
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write to this file (.parquet, .csv).")
@click.option("--save", metavar="NAME", help="Keep the result in the lake as a training set of this name.")
@click.pass_obj
def features(  # noqa: PLR0913, PLR0917  # one parameter an option
    session: Session,
    names: tuple[str, ...],
    spine: str,
    time: str | None,
    ttl: str | None,
    as_known: bool | None,  # click's flag; None where it is not there
    as_of: str | None,
    tag: str | None,
    out: str | None,
    save: str | None,
) -> None:
    r"""Join features to the rows of a file, as of their times.

    The file is CSV or Parquet; its rows stay, in their order, and get a column a feature. What is of later than a
    row's time is never joined to it.

    \b
    Examples:
      lakehouse features delay_model --spine departures.csv
      lakehouse features aviation/weather:temp --spine departures.parquet --ttl 2h --out train.parquet
      lakehouse features delay_model --spine departures.csv --as-known --save delay-2013
    """
    if len(names) > 1 and any(":" not in name for name in names):
        raise click.UsageError("name one feature set, or features like aviation/weather:temp")
    if out is not None and Path(out).suffix.lower() not in _KINDS:
        raise click.UsageError(f"--out {printable(out)}: the name must end in .parquet or .csv")
    wanted: str | list[str] = names[0] if ":" not in names[0] else list(names)
    with session.lake() as lake:
        made = lake.features(
            _read(lake, Path(spine), wanted),
            wanted,
            time=time,
            ttl=ttl,
            as_known=as_known,
            as_of=as_of,
            tag=tag,
            save=save,
        )
        saved = None if save is None else lake.training_set(save)
    if out is not None:
        _write(made, Path(out))
    if saved is not None:
        click.echo(f"saved TrainingSet:{saved.name}@{saved.number}, {output.count(saved.rows, 'row')}", err=True)
    if session.as_json:
        output.tell(made.to_dicts())
    elif out is None and saved is None:
        numbers = [name for name, dtype in made.schema.items() if dtype.is_numeric()]
        output.table(made.columns, made.head(_SHOWN).iter_rows(), right=numbers)
        if made.height > _SHOWN:
            click.echo(f"the first {_SHOWN} of {output.count(made.height, 'row')}; all of them with --out FILE")


def _read(lake: Lake, file: Path, wanted: str | list[str]) -> pl.DataFrame:
    """A spine out of a file; in CSV the keys are what the datasets' are, whatever they look like.

    Raises:
        FormatError: it is no such file.
    """
    import polars as pl  # noqa: PLC0415  # half a second that --help need not pay

    from lakehouse import features as feature  # noqa: PLC0415  # as above

    try:
        if file.suffix.lower() == ".parquet":
            return pl.read_parquet(file, glob=False)
        config = lake.config
        chosen = feature.chosen(config, config.feature_set(wanted) if isinstance(wanted, str) else wanted)
        datasets = [config.dataset(name) for name in dict.fromkeys(one.dataset for one in chosen)]
        types: dict[str, Any] = {
            key: dataset.schema.dtypes[key]
            for dataset in datasets
            for key in feature.entity_keys(dataset)
            if dataset.schema.dtypes[key] == pl.String
        }
        return pl.read_csv(file, try_parse_dates=True, schema_overrides=types, infer_schema_length=None, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(
            f"'{file}' cannot be read as a spine: {why}; it must be CSV with a header, or Parquet"
        ) from error


def _write(made: pl.DataFrame, file: Path) -> None:
    """Write beside the file and put it in place when whole."""
    import polars as pl  # noqa: PLC0415  # as above

    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        if file.suffix.lower() == ".csv":
            made.write_csv(part)
        else:
            made.write_parquet(part, compression="zstd")
        part.replace(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"'{file}' cannot be written: {(str(error).splitlines() or [''])[0]}") from error
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"wrote {printable(str(file))}, {output.size(file.stat().st_size)}", err=True)
