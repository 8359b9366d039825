"""The command that tells what is odd about a dataset or a file."""

from __future__ import annotations

import shlex
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session, Verb, tfmd_format
from lakehouse.errors import NotFoundError, nearest
from lakehouse.records import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.lake import Lake
    from lakehouse.schema import Schema
    from lakehouse.validation.anomalies import Anomalies, Anomaly, Measure

__all__ = ["validate"]

_CAUSES = 5  # raw files of a drift that are named


@click.command(cls=Verb)
@click.argument("what", metavar="DATASET|FILE")
@click.option("--dataset", metavar="DATASET", help="Whose schema a FILE is held against.")
@click.option("--source", metavar="NAME", help="As whose file a FILE is read, where the dataset has several sources.")
@click.option(
    "--version", "number", type=click.IntRange(min=0), metavar="N", help="The rows that this version brought."
)
@click.option("--environment", metavar="NAME", help="As data of this environment of the schema.")
@click.option("--previous", metavar="WHAT", help="Drift against this, not against the batch before.")
@click.option("--serving", metavar="WHAT", help="Skew against this.")
@tfmd_format
@click.pass_context
def validate(  # noqa: PLR0913, PLR0917  # one parameter an option
    context: click.Context,
    what: str,
    dataset: str | None,
    source: str | None,
    number: int | None,
    environment: str | None,
    previous: str | None,
    serving: str | None,
    form: str,
) -> None:
    r"""Tell what is odd about a dataset or a file.

    Of a dataset, about the rows that its newest version brought; of a file, before it lands. Changes nothing.
    Exit status 1 when an error is among it, or there are no rows; warnings alone are 0.

    WHAT it is compared with is a version of the dataset, DATASET, DATASET@VERSION or a file.

    \b
    Examples:
      lakehouse validate aviation/flights
      lakehouse validate aviation/flights --version 3 --previous 1
      lakehouse validate incoming/2013-02-01.csv --dataset aviation/flights
      lakehouse validate requests.csv --dataset aviation/flights --environment SERVING
    """
    session: Session = context.obj
    if session.as_json:
        form = "json"
    with session.lake() as lake:
        name, file = _meant(lake, what, dataset)
        if file is not None and number is not None:
            raise click.UsageError("--version is of a dataset; a file has no versions")
        found = lake.validate(
            name,
            version=number,
            file=file,
            source=source,
            environment=environment,
            previous=_side(previous),
            serving=_side(serving),
        )
        schema = lake.config.dataset(name).schema
    if form == "pbtxt":
        _write(found, schema)
    elif form == "json":
        click.echo(found.to_json())
    else:
        options = {"--file": file, "--source": source}
        more = "".join(f" {option} {shlex.quote(str(said))}" for option, said in options.items() if said is not None)
        update = f"lakehouse schema update {name}{more}"
        _tell(found, what, update)
    from lakehouse.schema import Severity  # noqa: PLC0415  # as in the session

    context.exit(1 if found.data_missing or found.worst is Severity.ERROR else 0)


def _meant(lake: Lake, what: str, dataset: str | None) -> tuple[str, Path | None]:
    """The dataset and the file; a name that a dataset has is the dataset."""
    known = lake.config.datasets
    if what in known and dataset is None:
        return what, None
    file = Path(what)
    if dataset is not None:
        lake.config.dataset(dataset)
        if not file.is_file():
            raise NotFoundError(f"no file '{what}'")
        return dataset, file
    if file.is_file():
        one = next(iter(known)) if len(known) == 1 else None
        if one is None:
            raise click.UsageError(f"say whose schema '{what}' is held against: --dataset {' | '.join(sorted(known))}")
        return one, file
    raise NotFoundError(f"no dataset and no file '{what}'.{nearest(what, known)}")


def _side(said: str | None) -> int | str | None:
    """A version by its number; what else there is has a name."""
    return int(said) if said is not None and said.isdecimal() else said


def _write(found: Anomalies, schema: Schema) -> None:
    """As TensorFlow Metadata writes them; what it cannot say is told on stderr."""
    from lakehouse.tfmd import write_anomalies  # noqa: PLC0415  # an extra

    text, lost = write_anomalies(found, schema, form="text")
    click.echo(text, nl=False)
    for sentence in lost:
        click.echo(f"not carried over: {printable(sentence)}", err=True)


def _tell(found: Anomalies, what: str, update: str) -> None:
    for line in _lines(found, what, update):
        click.echo(output.folded(line))
    _measures(found.measures)


def _lines(found: Anomalies, what: str, update: str) -> Iterator[str]:
    where = f" in environment {printable(found.environment)}" if found.environment else ""
    if found.data_missing:
        yield click.style(f"{printable(what)}: no rows{where}, so nothing to look at", fg="red")
    elif not found.anomalies:
        well = click.style("no anomalies", fg="green")
        yield f"{printable(what)}: {well} in {output.count(found.rows, 'row')}{where}"
    else:
        errors = sum(anomaly.severity.value == "error" for anomaly in found.anomalies)
        numbers = [(errors, "error"), (len(found.anomalies) - errors, "warning")]
        said = " and ".join(output.count(number, word) for number, word in numbers if number)
        yield click.style(f"{printable(what)}: {said} in {output.count(found.rows, 'row')}{where}", bold=True)
    for path, anomalies in groupby(found.anomalies, lambda anomaly: anomaly.path):
        yield ""
        yield click.style(printable(path) or "the dataset", bold=True)
        for anomaly in anomalies:
            yield from _anomaly(anomaly, update)
    for note in found.notes:
        yield f"note: {printable(note)}"


def _anomaly(anomaly: Anomaly, update: str) -> Iterator[str]:
    """One anomaly: how bad, what is done about it, what, the files that brought it, how to accept it."""
    word = anomaly.severity.value
    mark = click.style(word, fg="red" if word == "error" else "yellow", bold=True)
    yield f"  {mark}{_DONE[anomaly.action.value]}: {printable(anomaly.short)}"
    yield f"    {printable(anomaly.description)}"
    for cause in anomaly.causes[:_CAUSES]:
        named = f"{printable(cause.name)} ({cause.raw[:12]})" if cause.name else cause.raw[:12]
        yield f"    {cause.share:.0%} of it from {named}, {output.count(cause.rows, 'row')}"
    if len(anomaly.causes) > _CAUSES:
        yield f"    and from {output.count(len(anomaly.causes) - _CAUSES, 'more file')}"
    if anomaly.proposal:
        yield f"    proposal: {printable(anomaly.proposal)}"
        yield f"    accept it: {printable(update)} --accept {shlex.quote(printable(anomaly.path or 'schema'))}"


_DONE = {"quarantine": ", its rows go to quarantine", "refuse": ", refuses the batch", "warn": ""}
"""What a curation does about it, beside telling and recording it."""


def _measures(measures: tuple[Measure, ...]) -> None:
    if not measures:
        return
    click.echo()
    output.table(
        ["feature", "compared", "measure", "value", "threshold", ""],
        [
            (
                measure.path,
                measure.comparison,
                measure.measure,
                "-" if measure.value is None else f"{measure.value:.4f}",
                f"{measure.threshold:g}",
                "over" if measure.value is not None and measure.value > measure.threshold else "",
            )
            for measure in measures
        ],
        right=["value", "threshold"],
    )
