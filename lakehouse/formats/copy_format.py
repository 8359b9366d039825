r"""COPY text, as PostgreSQL's COPY, MySQL's INTO OUTFILE and the sources of databases write it.

One record a line, a tab between values, ``\N`` for a missing one; what would end a value or a line is escaped by a
backslash. So a missing value, an empty text and the text ``\N`` (written ``\\N``) are three things, and every
text comes back as it was. Escapes are undone by polars, where a backslash is; what it does not do (octal and
hexadecimal ones, lines that go on after a backslash) is rewritten first.
"""

from __future__ import annotations

import codecs
import re
from array import array
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

import polars as pl
from pydantic import Field, field_validator

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats.broken import BrokenWriter
from lakehouse.formats.format import Careful, Count, Format, Located, Prepared, Raw, name_problem
from lakehouse.formats.placing import INDEX, START, numbered, placed
from lakehouse.formats.unpacking import MEBIBYTE, blocks, refuse, unpack

__all__ = ["CopyFile", "CopyFormat", "escaped"]

_FIRST = "\0first"
_LONGEST_HEADER = 16 * MEBIBYTE
_LONGEST = 1024 * MEBIBYTE
"""A line longer than this is none: no server's value is."""
_END = rb"\."
_MEANING = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_FIELD = re.compile(rb"((?:[^\\\t]++|\\.)*+)(?:\t|\Z)", re.DOTALL)
_LAST_BACKSLASHES = re.compile(rb"\\+\Z")
_WRITTEN = re.compile(rb"[\\\b\f\n\r\t\v]")
_WRITTEN_AS = {meant: b"\\" + letter for letter, meant in _MEANING.items()} | {b"\\": rb"\\"}


def escaped(value: bytes | None) -> bytes:
    """A value as COPY text holds it."""
    return rb"\N" if value is None else _WRITTEN.sub(lambda mark: _WRITTEN_AS[mark[0]], value)


def _meant(value: bytes) -> bytes:
    """A value without its escapes, as PostgreSQL reads them."""
    return _ESCAPE.sub(_one_meant, value) if b"\\" in value else value


def _one_meant(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 16)])
    if match[2]:
        return bytes([int(match[2], 8) & 0xFF])
    return _MEANING.get(match[3], match[3])


@dataclass(frozen=True, slots=True)
class CopyFile(Prepared):
    """A file of COPY text made ready; ``rows`` counts its lines.

    Attributes:
        start: bytes before the first record.
        skip: lines before it.
        ending: what ends a line: CR LF where it ends the first one.
        escapes: whether it may have escapes; a file without any is read faster.
        whole: no line holds too few values, nor what polars reads otherwise.
    """

    start: int = 0
    skip: int = 0
    ending: bytes = b"\n"
    escapes: bool = True
    whole: bool = True


class _Record(NamedTuple):
    """One record: its first line (from 0), its bytes as they stand, and as polars reads them or what is wrong."""

    line: int
    text: bytes
    plain: bytes
    problem: str


class CopyFormat(Format):
    """PostgreSQL's COPY text, in UTF-8."""

    type: Literal["copy"] = "copy"
    header: bool = Field(default=True, description="the first line names the columns")
    columns: tuple[str, ...] = Field((), description="the columns' names, in place of the header's")
    null: str = Field(r"\N", description="what stands for a missing value")

    @field_validator("columns")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if problem := name_problem(value):
            raise ValueError(problem)
        return value

    @field_validator("null")
    @classmethod
    def _is_within_a_value(cls, value: str) -> str:
        if any(mark in value for mark in "\t\r\n"):
            raise ValueError("a tab or a line end cannot stand in a value")
        return value

    def prepare(self, raw: Raw, work: Path) -> CopyFile:
        """Find the header, and count lines and tabs."""
        path = unpack(raw, self, work)
        with path.open("rb") as stream:
            columns, start, ending = self._head(raw, stream)
            if not columns:
                return CopyFile(raw, path, (), 0)
            stream.seek(start)
            marked = stream.read(3) == codecs.BOM_UTF8  # polars would drop it, where it is a value's first character
            stream.seek(start)
            lines, escapes, whole = _counted(stream, len(columns))
            whole = whole and not marked
        return CopyFile(
            raw, path, columns, lines, start=start, skip=int(self.header), ending=ending, escapes=escapes, whole=whole
        )

    def _head(self, raw: Raw, stream: BinaryIO) -> tuple[tuple[str, ...], int, bytes]:
        """The columns, the bytes before the first record, and what ends a line."""
        start = 3 if stream.read(3) == codecs.BOM_UTF8 else 0
        stream.seek(start)
        line = stream.readline(_LONGEST_HEADER)
        if not line:
            return (), start, b"\n"
        if b"\0" in line[: MEBIBYTE // 16]:
            raise refuse(raw, "binary data (NUL bytes), not COPY text", "correct its source or its format")
        if self.header and len(line) == _LONGEST_HEADER:
            raise refuse(raw, f"its first line is longer than {len(line) >> 20} MiB", "is this COPY text?")
        ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        fields = _fields(_bare(line, ending))
        if not self.header:
            return self.columns or tuple(f"column_{number}" for number in range(1, len(fields) + 1)), start, ending
        if self.columns:
            if len(self.columns) != len(fields):
                what = f"its header has {len(fields)} names, 'columns' {len(self.columns)}"
                raise refuse(raw, what, "correct 'columns', or say 'header: false' where there is none")
            return self.columns, start + len(line), ending
        try:
            names = tuple(_meant(field).decode() for field in fields)
        except UnicodeDecodeError as error:
            raise refuse(raw, "its header is not UTF-8", "let the server write UTF-8") from error
        if problem := name_problem(names):
            raise refuse(raw, f"its header: {problem}", "give the names as 'columns'")
        return names, start + len(line), ending

    def _together(self, file: Prepared) -> Hashable:
        return file.columns, cast("CopyFile", file).escapes

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`; fastest over the files of one of `groups`."""
        scans = [self._scan([cast("CopyFile", file) for file in group]) for group in self.groups(files)]
        return scans[0] if len(scans) == 1 else pl.concat(scans)

    def _scan(self, files: Sequence[CopyFile]) -> pl.LazyFrame:
        columns = files[0].columns
        frame = _lines([file.path for file in files], columns, files[0].skip)
        frame = numbered(frame, [file.raw for file in files], [file.rows or 0 for file in files])
        if not files[0].escapes:
            # A backslash is of the text for missing, or was overlooked.
            odd = pl.any_horizontal(_plain(name, self.null).str.contains("\\", literal=True) for name in columns)
            plain = (_plain(name, self.null) for name in columns)
            return frame.select(*plain, "_raw", "_row", _suspect=odd.fill_null(value=False))
        odd = pl.any_horizontal(_odd(name, self.null) for name in columns)
        return frame.select(*(_value(name, self.null) for name in columns), "_raw", "_row", _suspect=odd)

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those with lines that are no plain records, by their count or by what the scan saw of their escapes."""
        found = {file.raw.sha256: counts.get(file.raw.sha256, Count(0, 0)) for file in files}
        if any(found[file.raw.sha256].rows != file.rows for file in files):
            return files  # a wrong count shifts the records of all later files
        return [file for file in files if not cast("CopyFile", file).whole or found[file.raw.sha256].suspects]

    def careful(self, file: Prepared, work: Path) -> Careful:
        """Copy the whole records, plainly written, into ``work`` for the fast scan, and set the broken ones apart."""
        file = cast("CopyFile", file)
        whole = work / f"{file.raw.sha256}.whole"
        row = written = 0
        starts, numbers = array("q", [0]), array("q", [1])
        with whole.open("wb") as copy, BrokenWriter(file.raw.sha256, work) as broken, file.path.open("rb") as stream:
            stream.seek(file.start)
            for record in self._records(file, stream):
                row += 1
                if not record.problem:
                    if not written and record.plain.startswith(codecs.BOM_UTF8):
                        copy.write(codecs.BOM_UTF8)  # polars drops one at the start
                    copy.write(record.plain)
                    written += 1
                    continue
                broken.broken(row, record.text, record.problem)
                if starts[-1] == written:
                    numbers[-1] = row + 1
                else:
                    starts.append(written)
                    numbers.append(row + 1)
        frame = placed(_lines([whole], file.columns, 0), {_FIRST: numbers}, starts)
        frame = frame.select(
            *(_value(name, r"\N") for name in file.columns),
            _raw=pl.lit(file.raw.sha256),
            _row=pl.col(INDEX).cast(pl.Int64) - pl.col(START) + pl.col(_FIRST),
        )
        return Careful(frame, broken.frame())

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the record."""
        file = self.prepare(raw, work)
        seen = 0
        if file.columns and row > 0:
            with file.path.open("rb") as stream:
                stream.seek(file.start)
                for record in self._records(file, stream):
                    seen += 1
                    if seen == row:
                        text = record.text.decode("utf-8", "backslashreplace")
                        return Located(file.skip + record.line + 1, text)
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")

    def _records(self, file: CopyFile, stream: BinaryIO) -> Iterator[_Record]:
        """Tell the records of a stream apart.

        Raises:
            FormatError: a line is longer than any server's value.
        """
        lines = _Lines(stream, file)
        null = self.null.encode()
        while text := lines.take():
            line = lines.taken - 1
            if _bare(text, file.ending) == _END and not lines.peek():
                return  # the marker that ends the data of a script
            if _continues(text, file.ending):
                text += lines.rest(text)
            yield _judged(line, text, file, null)


class _Lines:
    """The lines of a stream, some of them looked at before they are taken."""

    def __init__(self, stream: BinaryIO, file: CopyFile) -> None:
        self.taken = 0
        self._stream, self._file = stream, file
        self._ahead: deque[bytes] = deque()

    def take(self) -> bytes:
        """The next line; empty at the end."""
        self.taken += 1
        return self._ahead.popleft() if self._ahead else self._read()

    def peek(self, place: int = 0) -> bytes:
        """A line after the next ones; empty at the end."""
        while len(self._ahead) <= place:
            self._ahead.append(self._read())
        return self._ahead[place]

    def rest(self, first: bytes) -> bytes:
        """Take what follows a line that ends in a backslash, as MySQL writes a line end within a value.

        Nothing is taken where that makes no record: then the backslash is damage, and the next a record of its own.
        """
        more, count, columns = b"", 0, len(self._file.columns)
        while following := self.peek(count):
            more, count = more + following, count + 1
            fields = len(_fields(_bare(first + more, self._file.ending)))
            if fields > columns or len(more) > _LONGEST:
                break
            if not _continues(following, self._file.ending):
                if fields < columns:
                    break
                for _ in range(count):
                    self.take()
                return more
        return b""

    def _read(self) -> bytes:
        line = self._stream.readline(_LONGEST)
        if len(line) == _LONGEST:
            raise FormatError(f"{self._file.raw.name}: a line is longer than {_LONGEST >> 20} MiB; is this COPY text?")
        return line


def _bare(line: bytes, ending: bytes) -> bytes:
    """A line without its end."""
    return line.removesuffix(ending).removesuffix(b"\n") if line.endswith(b"\n") else line


def _continues(line: bytes, ending: bytes) -> bool:
    """Whether an escaped line end, or nothing, follows a backslash that escapes it."""
    last = _LAST_BACKSLASHES.search(_bare(line, ending))
    return last is not None and len(last[0]) % 2 == 1


def _fields(line: bytes) -> list[bytes]:
    """The values of a line, as they are written."""
    if b"\\" not in line:
        return line.split(b"\t")
    found = []
    at = 0
    while True:
        match = _FIELD.match(line, at)
        if match is None:  # a backslash at the very end
            found.append(line[at:])
            return found
        found.append(match[1])
        at = match.end()
        if at == match.end(1):  # no tab follows
            return found


def _judged(line: int, record: bytes, file: CopyFile, null: bytes) -> _Record:
    """A record rewritten plainly, or what is wrong with it."""
    text, columns = _bare(record, file.ending), len(file.columns)
    if _continues(record, file.ending):
        return _Record(line, text, b"", "row: a lone backslash at its end")
    if b"\\" not in text and null == rb"\N" and text.count(b"\t") == columns - 1 and b"\r" not in text:
        try:
            str(text, "utf-8")
        except UnicodeDecodeError:
            pass  # told below, with the column's name
        else:
            return _Record(line, text, text + b"\n", "")
    fields = _fields(text)
    if len(fields) != columns:
        noun = "value" if len(fields) == 1 else "values"
        return _Record(line, text, b"", f"row: {len(fields)} {noun}, expected {columns}")
    values = [None if field == null else _meant(field) for field in fields]
    for name, value in zip(file.columns, values, strict=True):
        try:
            str(value or b"", "utf-8")
        except UnicodeDecodeError as error:
            return _Record(line, text, b"", f"row: '{name}' is not UTF-8 at byte {error.start + 1}")
    return _Record(line, text, b"\t".join(map(escaped, values)) + b"\n", "")


def _counted(stream: BinaryIO, columns: int) -> tuple[int, bool, bool]:
    """The lines of the rest of a stream, whether it may have escapes, and whether every line can be whole."""
    lines = tabs = 0
    last, right, escapes = b"", True, False
    for block in blocks(stream):
        lines += block.count(b"\n")
        tabs += block.count(b"\t")
        right = right and b"\r" not in block
        escapes = escapes or block.count(b"\\") != block.count(rb"\N")
        last = block
    ended = not last or last.endswith(b"\n")
    return lines + (not ended), escapes, right and ended and tabs == lines * (columns - 1)


def _lines(paths: Sequence[Path], columns: Sequence[str], skip: int) -> pl.LazyFrame:
    return pl.scan_csv(
        list(paths),
        has_header=False,
        schema=dict.fromkeys(columns, pl.String()),
        skip_lines=skip,
        separator="\t",
        quote_char=None,
        infer_schema=False,
        row_index_name=INDEX,
        glob=False,
    )


_UNDONE = {"\\\\": "\\", r"\b": "\b", r"\f": "\f", r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\v": "\v"}


def _value(name: str, null: str) -> pl.Expr:
    """What a column means: polars takes an empty value for a missing one and knows no escapes."""
    text = pl.col(name).fill_null("")
    escapes = text.str.contains("\\", literal=True)
    undone = pl.when(escapes).then(text).str.replace_many(list(_UNDONE), list(_UNDONE.values()), leftmost=True)
    return pl.when(text == null).then(None).when(escapes).then(undone).otherwise(text).alias(name)


def _plain(name: str, null: str) -> pl.Expr:
    """What a column without escapes means."""
    text = pl.col(name).fill_null("")
    return pl.when(text != null).then(text).alias(name)


def _odd(name: str, null: str) -> pl.Expr:
    """Whether a value has an escape that `_value` does not undo."""
    text = pl.col(name).fill_null("")
    escapes = text.str.contains("\\", literal=True) & (text != null)
    usual = pl.when(escapes).then(text).str.contains(r"^(?:[^\\]|\\[\\bfnrtv])*$")
    return ~usual.fill_null(value=True)
