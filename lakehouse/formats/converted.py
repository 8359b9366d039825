"""Formats whose records are copied to Arrow files once, in bounded memory, and scanned from there."""

from __future__ import annotations

import abc
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from lakehouse.errors import NotFoundError
from lakehouse.formats.broken import BrokenWriter
from lakehouse.formats.format import BROKEN, Careful, Count, Format, Located, Prepared, Raw, name_problem
from lakehouse.formats.unpacking import MEBIBYTE, Bound, refuse, unpack

__all__ = ["Conversion", "Converted", "ConvertedFile"]

_PART_BYTES = 16 * MEBIBYTE
_PART_ROWS = 100_000
_OWN = ("_raw", "_row")


@dataclass(frozen=True, slots=True)
class ConvertedFile(Prepared):
    """A file whose records are copied; ``rows`` counts the broken ones too.

    Attributes:
        parts: the Arrow files that hold its whole records, with ``_raw`` and ``_row``.
        dtypes: its columns' types.
        broken: its broken records, with the columns of `BROKEN`; None without any.
    """

    parts: tuple[Path, ...] = ()
    dtypes: tuple[pl.DataType, ...] = ()
    broken: pl.LazyFrame | None = None

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Its columns and their types."""
        return dict(zip(self.columns, self.dtypes, strict=True))


class Conversion:
    """Takes the records of one file, in their order, and numbers them from 1."""

    def __init__(self, raw: Raw, work: Path, bound: Bound | None = None) -> None:
        self.raw = raw
        self.bound = bound
        """Counts the records' bytes, where what they are read from is not all counted already."""
        self.rows = 0
        self.told = ""
        """What a person should know of how the file was read; a format may set it."""
        self._stem = work / f"{raw.sha256}.converted"
        self._schema: dict[str, pl.DataType] = {}
        self._parts: list[Path] = []
        self._frames: list[pl.DataFrame] = []
        self._texts: list[tuple[int, Mapping[str, str | None]]] = []
        self._bytes = 0
        self._held = 0
        self._broken = BrokenWriter(raw.sha256, work)
        self._broken_rows = 0

    def header(self, schema: Mapping[str, pl.DataType]) -> None:
        """Name the columns, in their order, of a file that tells them before its records."""
        for name, dtype in schema.items():
            self._schema.setdefault(name, dtype)

    def frame(self, records: pl.DataFrame) -> None:
        """Take whole records that follow one another; every call may have other columns and types.

        A column of several types becomes text, each value as its own type writes it, unless they are integers.
        """
        self._end_texts()
        self._keep(records.with_columns(pl.int_range(self.rows + 1, self.rows + 1 + len(records)).alias("_row")))
        self.rows += len(records)

    def text(self, values: Mapping[str, str | None], size: int) -> None:
        """Take one whole record of texts of about ``size`` bytes; a column that is not in it is missing."""
        self.rows += 1
        self._texts.append((self.rows, values))
        self._bytes += size
        if len(self._texts) >= _PART_ROWS or self._bytes >= _PART_BYTES:
            self._end_texts()
            self._flush()

    def broken(self, text: bytes | str, reason: str) -> None:
        """Take one broken record: as it stands, and what is wrong with it (``row: …``)."""
        self.rows += 1
        self._broken_rows += 1
        self._broken.broken(self.rows, text, reason)

    def numbered(self, records: Careful, rows: int) -> None:
        """Take records, whole and broken, that are numbered already, from 1 to ``rows``: they follow those before."""
        self._end_texts()
        self._flush()
        moved = (pl.col("_row") + self.rows).alias("_row")
        part = self._part()
        whole = records.frame.with_columns(moved, _raw=pl.lit(self.raw.sha256))
        whole.sink_ipc(part, compression="lz4", maintain_order=True, engine="streaming")
        schema = pl.read_ipc_schema(part)
        self._widen(schema)
        if pl.scan_ipc(part, glob=False).select(pl.len()).collect(engine="streaming").item():
            self._parts.append(part)
        for batch in records.broken.select(moved, "_text", "_reason").collect_batches(chunk_size=_PART_ROWS):
            for row, text, reason in batch.iter_rows():
                self._broken_rows += 1
                self._broken.broken(row, text, reason)
        self.rows += rows

    def finished(self) -> ConvertedFile:
        """The file, ready to scan.

        Raises:
            FormatError: a column has a name that none can have, or no record at all could be read.
        """
        self._end_texts()
        self._flush()
        with self._broken:  # writes what it still holds
            pass
        broken = self._broken.frame() if self._broken_rows else None
        columns = tuple(self._schema)
        if problem := name_problem(columns):
            raise refuse(self.raw, problem, "rename the column at the source")
        if broken is not None and not self._parts:
            first = broken.sort("_row").select("_reason").head(1).collect().item()
            raise refuse(self.raw, f"none of its records can be read; the first: {first}", "correct its format")
        if self._parts and not columns:
            raise refuse(self.raw, "none of its records has a field", "correct its format")
        dtypes = tuple(self._schema.values())
        path = self._parts[0] if self._parts else self.raw.path
        return ConvertedFile(self.raw, path, columns, self.rows, tuple(self._parts), dtypes, broken, told=self.told)

    def _end_texts(self) -> None:
        if not self._texts:
            return
        names = dict.fromkeys(name for _, values in self._texts for name in values)
        self._schema |= {own: pl.String() for own in _OWN if own in names}  # which `finished` refuses
        columns = {name: [values.get(name) for _, values in self._texts] for name in names if name not in _OWN}
        frame = pl.DataFrame(
            {**columns, "_row": [number for number, _ in self._texts]},
            schema={**dict.fromkeys(columns, pl.String()), "_row": pl.Int64()},
        )
        self._texts, self._bytes = [], 0
        self._keep(frame)

    def _keep(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        if self._frames and self._frames[0].schema != frame.schema:
            self._flush()
        size = int(frame.estimated_size())
        if self.bound is not None:
            self.bound.add(size)
        self._frames.append(frame)
        self._held += size
        if self._held >= _PART_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._frames:
            return
        frame = pl.concat(self._frames).with_columns(_raw=pl.lit(self.raw.sha256))
        self._frames, self._held = [], 0
        self._widen(frame.schema)
        part = self._part()
        frame.write_ipc(part, compression="lz4")
        self._parts.append(part)

    def _widen(self, schema: Mapping[str, pl.DataType]) -> None:
        for name, dtype in schema.items():
            if name not in _OWN:
                self._schema[name] = dtype if name not in self._schema else _common(self._schema[name], dtype)

    def _part(self) -> Path:
        return self._stem.with_name(f"{self._stem.name}-{len(self._parts)}")


class Converted(Format):
    """The base of such formats: each says how a file's records are read one after another."""

    @abc.abstractmethod
    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:
        """Give all records of a file, in bounded memory.

        Args:
            raw: the landed file, for messages.
            path: its bytes, decompressed.
            into: takes them.
            work: a folder for what is needed on the way.

        Raises:
            FormatError: the file is not of this format, or cut short, or damaged as a whole.
        """

    def prepare(self, raw: Raw, work: Path) -> ConvertedFile:
        """Copy the records."""
        path = unpack(raw, self, work)
        into = Conversion(raw, work, Bound(raw, self.max_unpacked, path))
        self.convert(raw, path, into, work)
        return into.finished()

    def _together(self, file: Prepared) -> Hashable:
        return file.columns, cast("ConvertedFile", file).dtypes

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`."""
        return _rows([cast("ConvertedFile", file) for file in files]).with_columns(_suspect=pl.lit(value=False))

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those with broken records, and those that gave another number of rows than were copied."""
        return [
            file
            for file in files
            if cast("ConvertedFile", file).broken is not None
            or counts.get(file.raw.sha256, Count(0, 0)).rows != file.rows
        ]

    def careful(self, file: Prepared, work: Path) -> Careful:  # noqa: ARG002 - the base's parameter
        """The records were told apart when they were copied."""
        converted = cast("ConvertedFile", file)
        broken = converted.broken
        return Careful(_rows([converted]), pl.LazyFrame(schema=BROKEN) if broken is None else broken)

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """The record as JSON text; a broken one as it stands."""
        file = self.prepare(raw, work)
        if not 0 < row <= (file.rows or 0):
            raise NotFoundError(f"{raw.name}: there is no record {row}; it has {file.rows}")
        found = _rows([file]).filter(pl.col("_row") == row).select(file.columns).collect(engine="streaming")
        if not found.is_empty():
            return Located(None, json.dumps(found.row(0, named=True), default=str, ensure_ascii=False))
        broken = pl.LazyFrame(schema=BROKEN) if file.broken is None else file.broken
        return Located(None, broken.filter(pl.col("_row") == row).select("_text").collect().item())


def _rows(files: Sequence[ConvertedFile]) -> pl.LazyFrame:
    """All whole records of files with the same columns and types: the columns, ``_raw``, ``_row``."""
    columns = {**files[0].schema, "_raw": pl.String(), "_row": pl.Int64()}
    by_schema: dict[tuple[tuple[str, pl.DataType], ...], list[Path]] = {}
    for part in (part for file in files for part in file.parts):
        by_schema.setdefault(tuple(pl.read_ipc_schema(part).items()), []).append(part)
    scans = [
        pl.scan_ipc(some, glob=False).select(_as(name, dict(held).get(name), dtype) for name, dtype in columns.items())
        for held, some in by_schema.items()
    ]
    return pl.concat(scans) if scans else pl.LazyFrame(schema=columns)


def _as(name: str, held: pl.DataType | None, dtype: pl.DataType) -> pl.Expr:
    """A column of a part as the file's type for it."""
    if held is None or held == pl.Null:
        return pl.lit(None, dtype).alias(name)
    column = pl.col(name)
    if held == dtype:
        return column
    if not held.is_nested():
        return (column.bin.encode("base64") if held == pl.Binary else column).cast(dtype)
    # Only a struct can be encoded: {"":[1,2]} without its {"": and its }.
    text = pl.struct(column.alias("")).struct.json_encode().str.strip_prefix('{"":').str.strip_suffix("}")
    return pl.when(column.is_not_null()).then(text).alias(name)


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """The type that holds the values of both as exactly: not a float for an integer, which would round it."""
    if other in (one, pl.Null()):
        return one
    if one == pl.Null:
        return other
    if one.is_integer() and other.is_integer():
        return pl.Int64() if pl.UInt64() not in (one, other) else pl.Int128()
    return pl.String()
