"""Reads one file of the user's, whatever its format, as far as its bytes tell which that is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import Count, Format, Raw, reader
from lakehouse.records import printable
from lakehouse.scaffold.grouping import find
from lakehouse.storage import hash_file

__all__ = ["rows_of"]

_OWN = ("_raw", "_row", "_suspect")


@contextmanager
def rows_of(path: Path, format_: Format | None = None) -> Iterator[pl.LazyFrame]:
    """The records of a local file, lazily: text columns of a text format, a typed file's own types.

    Args:
        path: the file.
        format_: how it is read; None looks at its bytes.

    Yields:
        Its records, without those that are broken, texts that mean "missing" taken out; they can be read until the end.

    Raises:
        NotFoundError: there is no such file.
        FormatError: it cannot be read.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file '{printable(str(path))}'")
    format_ = reader(format_ or _sniffed(path))
    with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
        work = Path(folder)
        file = format_.prepare(Raw(hash_file(path), path.name, path.absolute()), work)
        try:
            rows = format_.scan([file])
            counts = {
                raw: Count(number, suspects)
                for raw, number, suspects in rows.group_by("_raw")
                .agg(pl.len(), pl.col("_suspect").sum())
                .collect(engine="streaming")
                .iter_rows()
            }
            doubtful = list(format_.doubtful([file], counts))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            doubtful = [file]
        if doubtful:
            rows = format_.careful(file, work).frame
        texts = pl.col(pl.String)
        nulls = list(format_.null_values)
        yield rows.drop(*_OWN, strict=False).with_columns(pl.when(~texts.is_in(nulls)).then(texts))


def _sniffed(path: Path) -> Format:
    """The format that a file's bytes tell of."""
    found = find(path.absolute())
    if not found.groups:
        why = next((note.message for note in found.skipped), "it is in no format that can be read")
        raise FormatError(f"'{printable(str(path))}' cannot be read: {why}")
    return found.groups[0].format()
