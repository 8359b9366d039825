"""CSV: one fast scan over many files that can tell when it must not be trusted, and a careful reading."""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Literal, cast

import polars as pl
from pydantic import BeforeValidator, Field, field_validator, model_validator

from lakehouse.errors import NotFoundError
from lakehouse.formats.broken import BrokenWriter
from lakehouse.formats.csv_escapes import unescaped
from lakehouse.formats.csv_files import CsvFile, beyond_the_scan, delimiter_hint, plainly_no_csv, without_last
from lakehouse.formats.csv_records import LONGEST, Bad, Clean, Grammar, bare, records
from lakehouse.formats.format import Careful, Count, Format, Located, Prepared, Raw, left_out, name_problem
from lakehouse.formats.placing import INDEX, START, numbered, placed
from lakehouse.formats.unpacking import MEBIBYTE, blocks, decode, refuse, unpack, write

__all__ = ["CsvFile", "CsvFormat", "delimiter_hint"]

_ALONE = 32 * MEBIBYTE
"""Files of this size and above are scanned alone: their lines need not be counted first."""
_FIRST = "\0first"


def _character(value: object) -> object:
    return {"\\t": "\t", "tab": "\t"}.get(value, value) if isinstance(value, str) else value


def _none(value: object) -> object:
    return None if value == "none" else value


class CsvFormat(Format):
    """Delimited text."""

    type: Literal["csv"] = "csv"
    delimiter: Annotated[str, BeforeValidator(_character)] = Field(",", min_length=1, max_length=1)
    quote: Annotated[str | None, BeforeValidator(_none)] = Field('"', min_length=1, max_length=1)
    escape: str | None = Field(
        None, min_length=1, max_length=1, description="makes the next character plain text", exclude_if=left_out(None)
    )
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = Field((), description="the columns' names, in place of the header's")
    comment: str | None = Field(None, min_length=1, description="what a line begins with that is no record")
    skip: int = Field(0, ge=0, description="lines before the header")
    header_lines: int = Field(
        1, ge=1, description="records the header has; a name is made of its parts", exclude_if=left_out(1)
    )
    footer: int = Field(0, ge=0, description="lines at the end that are no records", exclude_if=left_out(0))

    @field_validator("encoding")
    @classmethod
    def _is_a_text_encoding(cls, value: str) -> str:
        try:
            b"\xff".decode(value, "backslashreplace")  # what is no text must be shown
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"'{value}' is no text encoding Python knows; try utf-8, latin-1 or utf-16") from error
        return value

    @field_validator("columns")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if problem := name_problem(value):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvFormat:
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)):
            if mark is not None and (not mark.isascii() or mark in "\r\n"):
                raise ValueError(f"{name}: {mark!r} is not a single ASCII character within a line")
        if self.delimiter == self.quote:
            raise ValueError(f"quote: {self.quote!r} is the delimiter already")
        if self.escape is not None and (self.escape in (self.delimiter, self.quote) or self.quote is None):
            raise ValueError(f"escape: {self.escape!r} is the delimiter or the quote, or there is no quote")
        if self.comment is not None and ("\n" in self.comment or "\r" in self.comment):
            raise ValueError("comment: must stand within a line")
        return self

    def _grammar(self, columns: int) -> Grammar:
        return Grammar(
            self.delimiter.encode(),
            None if self.quote is None else self.quote.encode(),
            None if self.comment is None else self.comment.encode(),
            columns,
        )

    def prepare(self, raw: Raw, work: Path) -> CsvFile:
        """Find the header and where the records begin; count the lines of a small file."""
        path = decode(raw, unpack(raw, self, work), self.encoding, work)
        plainly_no_csv(raw, path)
        if self.escape is not None:
            rfc = work / f"{raw.sha256}.unescaped"
            with path.open("rb") as stream:
                write(
                    rfc, unescaped(stream, self.delimiter.encode(), (self.quote or "").encode(), self.escape.encode())
                )
            path = rfc
        if self.footer:
            path = without_last(raw, path, self.footer, work)
        columns, start, skip = self._head(raw, path)
        file = CsvFile(raw, path, columns, start=start, skip=skip)
        size = path.stat().st_size
        if not columns or size == start:
            return CsvFile(raw, path, columns, 0, start, skip, 0)
        return file if size >= _ALONE else CsvFile(raw, path, columns, None, start, skip, self._sure_lines(file))

    def _head(self, raw: Raw, path: Path) -> tuple[tuple[str, ...], int, int]:
        """The columns, and the bytes and lines before the first record."""
        grammar = self._grammar(0)
        with path.open("rb") as stream:
            start = 3 if stream.read(3) == codecs.BOM_UTF8 else 0
            stream.seek(start)
            lines = 0
            while line := stream.readline(LONGEST):
                blank = not bare(line) or (grammar.comment and line.startswith(grammar.comment))
                lines += 1
                if lines <= self.skip or blank:
                    start += len(line)
                    continue
                record = line if line.endswith(b"\n") else line + b"\n"
                while (match := grammar.lenient.match(record)) is None:
                    more = stream.readline(LONGEST)
                    if not more or len(record) > LONGEST or not grammar.unfinished(record, 0):
                        if not self.header:
                            match = None
                            break
                        raise refuse(
                            raw, f"its header, line {lines}, has a quote that is not closed rightly", "correct 'quote'"
                        )
                    record += more if more.endswith(b"\n") else more + b"\n"
                names = self._names(raw, lines, grammar, record if match is None else match[0])
                if self.header:
                    lines += record.count(b"\n") - 1
                    parts = [names]
                    for _ in range(self.header_lines - 1):
                        lines += 1
                        more = stream.readline(LONGEST)
                        parts.append(self._parts(raw, lines, grammar, more.removesuffix(b"\n") + b"\n", len(names)))
                    return self._joined(raw, lines, parts), stream.tell(), lines
                return names, start, lines - 1
        return (), start, lines

    def _names(self, raw: Raw, line: int, grammar: Grammar, record: bytes) -> tuple[str, ...]:
        written = grammar.fields(record)
        if not self.header:
            return self.columns or tuple(f"column_{number}" for number in range(1, len(written) + 1))
        if self.columns:
            if len(self.columns) != len(written):
                what = f"its header, line {line}, has {len(written)} fields, 'columns' names {len(self.columns)}"
                raise refuse(raw, what, "correct 'columns' or 'delimiter'")
            return self.columns
        try:
            names = tuple(grammar.value(field).decode() for field in written)
            if self.header_lines > 1:
                return names  # the parts of names
        except UnicodeDecodeError as error:
            raise refuse(
                raw, f"its header, line {line}, is not {self.encoding}", "set 'encoding', perhaps latin-1"
            ) from error
        if problem := name_problem(names):
            raise refuse(raw, f"its header, line {line}: {problem}", "give the names as 'columns'")
        return names

    def _parts(self, raw: Raw, line: int, grammar: Grammar, record: bytes, columns: int) -> tuple[str, ...]:
        """A further line of the header: a part of each name."""
        fields = grammar.fields(record) if grammar.lenient.fullmatch(record) else []
        if len(fields) != columns:
            what = f"its header, line {line}, has {len(fields)} fields, its first line {columns}"
            raise refuse(raw, what, "correct 'header_lines'")
        try:
            return tuple(grammar.value(field).decode() for field in fields)
        except UnicodeDecodeError as error:
            what = f"its header, line {line}, is not {self.encoding}"
            raise refuse(raw, what, "set 'encoding', perhaps latin-1") from error

    def _joined(self, raw: Raw, line: int, parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """The names, each of its parts with a blank between."""
        if len(parts) == 1 or self.columns:
            return parts[0]
        names = tuple(" ".join(filter(None, map(str.strip, each))) for each in zip(*parts, strict=True))
        if problem := name_problem(names):
            raise refuse(raw, f"its header, up to line {line}: {problem}", "give the names as 'columns'")
        return names

    def _sure_lines(self, file: CsvFile) -> int | None:
        """The number of lines, when no line end can stand inside a record and no line is a comment."""
        with file.path.open("rb") as stream:
            stream.seek(file.start)
            data = stream.read()
        grammar = self._grammar(len(file.columns))
        if grammar.comment and (data.startswith(grammar.comment) or b"\n" + grammar.comment in data):
            return None
        if grammar.quote and grammar.quote in data:
            marks = data.translate(None, _others(grammar.quote)).replace(grammar.quote * 2, b"")
            if grammar.quote in marks:
                return None
        return data.count(b"\n") + (not data.endswith(b"\n"))

    def _together(self, file: Prepared) -> Hashable:
        file = cast("CsvFile", file)
        return file.columns, file.skip, file.raw.sha256 if file.lines is None else ""

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`; fastest over the files of one of `groups`."""
        groups = self.groups(files)
        scans = [self._scan([cast("CsvFile", file) for file in group]) for group in groups]
        return scans[0] if len(scans) == 1 else pl.concat(scans)

    def _scan(self, files: Sequence[CsvFile]) -> pl.LazyFrame:
        columns = files[0].columns
        frame = self._lines([file.path for file in files], columns, files[0].skip)
        frame = numbered(frame, [file.raw for file in files], [file.lines or 0 for file in files])
        return frame.select(*columns, "_raw", "_row", _suspect=pl.col(columns[-1]).is_null())

    def _lines(self, paths: Sequence[Path], columns: Sequence[str], skip: int) -> pl.LazyFrame:
        return pl.scan_csv(
            list(paths),
            has_header=False,
            schema=dict.fromkeys(columns, pl.String()),
            skip_lines=skip,
            separator=self.delimiter,
            quote_char=self.quote,
            comment_prefix=self.comment,
            infer_schema=False,
            row_index_name=INDEX,
            glob=False,
        )

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those files not proven whole: see `_proven`."""
        doubted: list[Prepared] = []
        for group in self.groups(files):
            members = [cast("CsvFile", file) for file in group]
            if beyond := [file for file in members if beyond_the_scan(file)]:
                doubted += beyond
                members = [file for file in members if file not in beyond]
            found = [counts.get(file.raw.sha256, Count(0, 0)) for file in members]
            if any(file.lines not in (None, count.rows) for file, count in zip(members, found, strict=True)):
                doubted += members  # a wrong count shifts the records of all later files
                continue
            unsure = [
                file for file, count in zip(members, found, strict=True) if count.suspects or self._delicate(file)
            ]
            plain = self._proven([file for file in unsure if self._may_be_plain(file, counts)], self._plain)
            unsure = [file for file in unsure if plain.get(file.raw.sha256) != counts[file.raw.sha256].rows]
            proven = self._proven(unsure, self._whole)
            doubted += [file for file in unsure if proven.get(file.raw.sha256) != counts[file.raw.sha256].rows]
        return doubted

    def _delicate(self, file: CsvFile) -> bool:
        """Whether polars may have read the file wrongly without an error.

        It drops quotes that stand wrong, an empty last field too many, and a field that is a carriage return.
        """
        if not file.path.stat().st_size:
            return False
        quote = (self.quote or "").encode()
        with file.path.open("rb") as stream:
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                return True
            stream.seek(file.start)
            return any(
                (quote and quote in block) or block.count(b"\r") != block.count(b"\r\n") for block in blocks(stream)
            )

    def _proven(self, files: Sequence[CsvFile], judge: Callable[[pl.LazyFrame, int], pl.LazyFrame]) -> dict[str, int]:
        """The number of lines of each file of which every line by itself is one whole record.

        Args:
            files: files of one of `groups`.
            judge: gives lines, for a number of columns, the column ``whole``.
        """
        if not files:
            return {}
        lines = pl.scan_lines([file.path for file in files], row_index_name=INDEX, glob=False)
        if len(files) == 1:
            body = lines.filter(pl.col(INDEX) >= files[0].skip).with_columns(_raw=pl.lit(files[0].raw.sha256))
        else:
            starts = list(accumulate((file.skip + (file.lines or 0) for file in files[:-1]), initial=0))
            bodies = [start + file.skip for start, file in zip(starts, files, strict=True)]
            stretches = placed(lines, {"_body": bodies, "_raw": [file.raw.sha256 for file in files]}, starts)
            body = stretches.filter(pl.col(INDEX) >= pl.col("_body"))
        if self.comment is not None:
            body = body.filter(~pl.col("line").str.starts_with(self.comment))
        body = judge(body, len(files[0].columns))
        counts = [pl.len(), (pl.col("whole") & (pl.col("line") != "")).sum()]
        raw = pl.col("_raw").first() if len(files) == 1 else pl.col("_raw")
        query = body.select(raw, *counts) if len(files) == 1 else body.group_by(raw).agg(counts)
        try:
            found = query.collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            if len(files) == 1:
                return {}
            return {sha256: rows for file in files for sha256, rows in self._proven([file], judge).items()}
        return {sha256: rows for sha256, rows, whole_rows in found.rows() if rows == whole_rows}

    def _may_be_plain(self, file: CsvFile, counts: Mapping[str, Count]) -> bool:
        """Whether only the file's quotes are in question: no record is short, and only line feeds end lines."""
        if self.quote is None or counts[file.raw.sha256].suspects:
            return False
        with file.path.open("rb") as stream:
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                return False
            stream.seek(0)
            return not any(b"\r" in block for block in blocks(stream))

    def _plain(self, lines: pl.LazyFrame, _: int) -> pl.LazyFrame:
        """Whole is a line with no quote, or with the two of one quoted field; twice as fast as `_whole`."""
        line, quote = pl.col("line"), self.quote or ""
        found = lines.with_columns(
            _quotes=line.str.count_matches(quote, literal=True),
            _first=line.str.find(quote, literal=True),
            _opening=line.str.find(self.delimiter + quote, literal=True) + len(self.delimiter),
            _closing=line.str.find(quote + self.delimiter, literal=True),
            _last=line.str.ends_with(quote),
        )
        opens = (pl.col("_first") == 0) | (pl.col("_first") == pl.col("_opening"))
        # With two quotes, one after the first is the second.
        closes = pl.col("_last") | (pl.col("_closing") > pl.col("_first"))
        return found.with_columns(whole=(pl.col("_quotes") == 0) | ((pl.col("_quotes") == 2) & opens & closes))

    def _whole(self, lines: pl.LazyFrame, columns: int) -> pl.LazyFrame:
        """Whole is a line that is a record of so many fields: a regular expression, at about 1 GB/s."""
        delimiter = f"\\x{ord(self.delimiter):02x}"
        quote = None if self.quote is None else f"\\x{ord(self.quote):02x}"
        field = (
            f"[^{delimiter}\\r]*"
            if quote is None
            else (f"(?:{quote}[^{quote}]*(?:{quote}{quote}[^{quote}]*)*{quote}|[^{quote}{delimiter}\\r]*)")
        )
        pattern = f"^{field}(?:{delimiter}{field}){{{columns - 1}}}$"
        return lines.with_columns(whole=pl.col("line").str.contains(pattern))

    def careful(self, file: Prepared, work: Path) -> Careful:
        """Copy the whole records into ``work`` for the fast scan, and set the broken ones apart."""
        file = cast("CsvFile", file)
        whole = work / f"{file.raw.sha256}.whole"
        row = written = 0
        starts, numbers = array("q", [0]), array("q", [1])
        with whole.open("wb") as copy, BrokenWriter(file.raw.sha256, work) as broken, file.path.open("rb") as stream:
            stream.seek(file.start)
            copy.write(codecs.BOM_UTF8)  # polars takes one away from where it begins to read
            for item in records(stream, self._grammar(len(file.columns))):
                if isinstance(item, Clean):
                    copy.write(item.data)
                    row += item.rows
                    written += item.rows
                    continue
                row += 1
                broken.broken(row, item.data, item.reason)
                if starts[-1] == written:
                    numbers[-1] = row + 1
                else:
                    starts.append(written)
                    numbers.append(row + 1)
        frame = placed(self._lines([whole], file.columns, 0), {_FIRST: numbers}, starts)
        frame = frame.with_columns(
            _raw=pl.lit(file.raw.sha256), _row=pl.col(INDEX).cast(pl.Int64) - pl.col(START) + pl.col(_FIRST)
        )
        return Careful(frame.select(*file.columns, "_raw", "_row"), broken.frame())

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the record."""
        file = self.prepare(raw, work)
        seen = 0
        if file.columns and row > 0:
            grammar = self._grammar(len(file.columns))
            with file.path.open("rb") as stream:
                stream.seek(file.start)
                for item in records(stream, grammar):
                    rows = item.rows if isinstance(item, Clean) else 1
                    if seen + rows >= row:
                        line, data = (
                            (item.line, item.data) if isinstance(item, Bad) else item.record(grammar, row - seen)
                        )
                        return Located(file.skip + line + 1, data.decode("utf-8", "backslashreplace"))
                    seen += rows
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")


@cache
def _others(quote: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in (quote[0], 10))
