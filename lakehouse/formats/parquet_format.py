"""Parquet: its own types are kept."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import polars as pl
import pyarrow as pa

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats.arrow_types import UnknownTypeError, empty, frames, strange
from lakehouse.formats.format import BROKEN, Careful, Count, Format, Located, Prepared, Raw, name_problem
from lakehouse.formats.parquet_pages import check, declared
from lakehouse.formats.placing import INDEX, numbered
from lakehouse.formats.unpacking import Bound, refuse, unpack

__all__ = ["ParquetFormat"]

_MAGIC = b"PAR1"
_REPLACE = "replace the file; it is read again when it changes"


@dataclass(frozen=True, slots=True)
class ParquetFile(Prepared):
    """A Parquet file made ready; ``dtypes`` are its columns' types, written out."""

    dtypes: tuple[str, ...] = ()


class ParquetFormat(Format):
    """Parquet files."""

    type: Literal["parquet"] = "parquet"

    def prepare(self, raw: Raw, work: Path) -> ParquetFile:
        """Read the footer."""
        path = unpack(raw, self, work)
        with path.open("rb") as stream:
            head = stream.read(4)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 4))
            tail = stream.read(4)
        if head != _MAGIC:
            raise refuse(raw, "not Parquet (it does not begin with PAR1)", "correct its source or its format")
        if tail != _MAGIC or size < 12:
            raise refuse(raw, "truncated Parquet (it does not end with PAR1)", _REPLACE)
        path = self._readable(raw, path, work)
        frame = _open([path])
        try:
            schema = frame.collect_schema()
            rows = frame.select(pl.len()).collect(engine="streaming").item()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise _damaged(raw, error) from error
        columns = tuple(name for name in schema if name != INDEX)
        if problem := name_problem(columns):
            raise refuse(raw, problem, "rename the column at the source")
        return ParquetFile(raw, path, columns, rows, tuple(str(schema[name]) for name in columns))

    def _readable(self, raw: Raw, path: Path, work: Path) -> Path:
        """The file, or a copy of it where polars does not hold a type of its columns exactly.

        Raises:
            FormatError: its footer or a page are damaged, or it becomes too large, or no column here can hold one of
                its types.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415  # costs every start of the program otherwise

        try:
            with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
                Bound(raw, self.max_unpacked, path).add(declared(file.metadata))
                check(path, file.metadata)
                old = any(file.schema.column(n).physical_type == "INT96" for n in range(len(file.schema)))
                if not old and not any(strange(field.type) for field in file.schema_arrow):
                    return path
                copy = work / f"{raw.sha256}.plain"
                with pq.ParquetWriter(copy, empty(file.schema_arrow).to_arrow().schema) as writer:
                    for batch in file.iter_batches():
                        for frame in frames(batch):
                            writer.write_table(frame.to_arrow())
                return copy
        except UnknownTypeError as error:
            raise refuse(raw, str(error), "write it as another type") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(raw, error) from error

    def _together(self, file: Prepared) -> Hashable:
        return file.columns, cast("ParquetFile", file).dtypes

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`; files of other types than the first's must be scanned by themselves."""
        frame = numbered(
            _open([file.path for file in files]), [file.raw for file in files], [file.rows or 0 for file in files]
        )
        return frame.select(*files[0].columns, "_raw", "_row", _suspect=pl.lit(value=False))

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """All of them where any gave another number of rows than its footer says."""
        right = [counts.get(file.raw.sha256, Count(0, 0)).rows == file.rows for file in files]
        return () if all(right) else files

    def careful(self, file: Prepared, work: Path) -> Careful:  # noqa: ARG002 - the base's parameter
        """Read the file once to see that it can be read; Parquet has no single broken records.

        Raises:
            FormatError: it cannot.
        """
        try:
            rows = (
                _open([file.path]).select(pl.col(file.columns).null_count(), rows=pl.len()).collect(engine="streaming")
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _damaged(file.raw, error) from error
        if rows["rows"].item() != file.rows:
            raise refuse(
                file.raw, f"damaged Parquet: {rows['rows'].item()} rows, its footer says {file.rows}", _REPLACE
            )
        return Careful(self.scan([file]).drop("_suspect"), pl.LazyFrame(schema=BROKEN))

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """The row as JSON text."""
        file = self.prepare(raw, work)
        if not 0 < row <= (file.rows or 0):
            raise NotFoundError(f"{raw.name}: there is no record {row}; it has {file.rows}")
        try:
            found = _open([file.path]).slice(row - 1, 1).select(file.columns).collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _damaged(raw, error) from error
        return Located(None, json.dumps(found.row(0, named=True), default=str, ensure_ascii=False))


def _open(paths: Sequence[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(list(paths), row_index_name=INDEX, glob=False, hive_partitioning=False)


def _damaged(raw: Raw, error: BaseException) -> FormatError:
    reason = str(error).split("\n", 1)[0][:200]
    return refuse(raw, f"damaged Parquet ({reason})", _REPLACE)
