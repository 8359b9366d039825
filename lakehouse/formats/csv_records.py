"""CSV records told apart by one strict grammar, so that a damaged record never hides another.

RFC 4180: a field that begins with a quote ends at the next single quote, which a delimiter or the
end of the line must follow; it may hold line ends. Any other field ends at the next delimiter or
line end and keeps its quotes as they are. A line that opens a quoted field and breaks this is
broken alone: reading resumes at the next line.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from lakehouse.formats.unpacking import MEBIBYTE

__all__ = ["LONGEST", "Bad", "Clean", "Grammar", "Item", "bare", "records"]

LONGEST = 16 * MEBIBYTE
"""A record longer than this, in bytes, is broken: memory stays bounded."""
_BLOCK = MEBIBYTE // 2
_SHOWN = MEBIBYTE // 16
"""Bytes of a line that is too long that are shown."""


@dataclass(frozen=True, slots=True)
class Clean:
    """Whole records, one after another, each ended by a line feed.

    Attributes:
        data: their bytes, quoted as every reader takes them.
        rows: how many there are.
        line: the line the first begins at, counted from 0.
        lines: how many lines they are.
        texts: the records as they stand in the file, where ``data`` says it otherwise.
    """

    data: bytes
    rows: int
    line: int
    lines: int
    texts: bytes | None = None

    def record(self, grammar: Grammar, number: int) -> tuple[int, bytes]:
        """The line that record ``number`` (1-based) begins at and its bytes as they stand in the file."""
        if self.texts is not None:
            return self.line, bare(self.texts)
        start = 0
        for _ in range(number - 1):
            start = grammar.end(self.data, start)
        return self.line + self.data.count(b"\n", 0, start), bare(self.data[start : grammar.end(self.data, start)])


@dataclass(frozen=True, slots=True)
class Bad:
    """One broken record: its bytes without the line end, what is wrong, the line it begins at."""

    data: bytes
    reason: str
    line: int


Item = Clean | Bad


@dataclass(frozen=True)
class Grammar:
    """What a record of a file looks like.

    Attributes:
        delimiter: the byte between fields.
        quote: the byte around fields, or None.
        comment: what a line begins with that is no record, or None.
        columns: fields a record has; 0 while that is unknown.
    """

    delimiter: bytes
    quote: bytes | None
    comment: bytes | None
    columns: int

    @cached_property
    def _plain(self) -> bytes:
        return b"[^%b\n]*+" % re.escape(self.delimiter)

    @cached_property
    def _quoted(self) -> bytes | None:
        return None if self.quote is None else b"%b[^%b]*+(?:%b%b[^%b]*+)*+%b" % ((re.escape(self.quote),) * 6)

    @cached_property
    def _strict_field(self) -> bytes:
        """A field as every reader takes it: neither quote nor carriage return inside an unquoted one."""
        if self._quoted is None or self.quote is None:
            return b"[^%b\r\n]*+" % re.escape(self.delimiter)
        return b"(?:%b|[^%b%b\r\n]*+)" % (self._quoted, re.escape(self.delimiter), re.escape(self.quote))

    @cached_property
    def lenient_field(self) -> bytes:
        """A field with any quotes inside it when it is unquoted."""
        if self._quoted is None or self.quote is None:
            return self._plain
        return b"(?:%b|(?!%b)%b)" % (self._quoted, re.escape(self.quote), self._plain)

    def _record(self, field: bytes, more: bytes) -> re.Pattern[bytes]:
        start = rb"(?!\r?\n)" + (b"(?!%b)" % re.escape(self.comment) if self.comment else b"")
        return re.compile(start + field + b"(?:%b%b)" % (re.escape(self.delimiter), field) + more + rb"\r?\n")

    @cached_property
    def strict(self) -> re.Pattern[bytes]:
        """One whole record that needs no rewriting."""
        return self._record(self._strict_field, b"{%d}" % (self.columns - 1))

    @cached_property
    def lenient(self) -> re.Pattern[bytes]:
        """One record with any number of fields."""
        return self._record(self.lenient_field, b"*+")

    @cached_property
    def _unfinished(self) -> re.Pattern[bytes]:
        """A record whose last quoted field goes on beyond the data."""
        quote = re.escape(self.quote or b"")
        return re.compile(
            b"(?:%b%b)*+%b[^%b]*+(?:%b%b[^%b]*+)*+\\Z" % (self.lenient_field, re.escape(self.delimiter), *(quote,) * 5)
        )

    @cached_property
    def _one_field(self) -> re.Pattern[bytes]:
        return re.compile(b"(%b)%b" % (self.lenient_field, re.escape(self.delimiter)))

    def fields(self, record: bytes) -> list[bytes]:
        """The fields of one record (with or without its line end), as they are written."""
        return self._one_field.findall(bare(record) + self.delimiter)

    def value(self, field: bytes) -> bytes:
        """A field without its quotes."""
        if self.quote and field.startswith(self.quote):
            return field[1:-1].replace(self.quote * 2, self.quote)
        return field

    def rewritten(self, record: bytes) -> bytes:
        """A record whose unquoted fields hold quotes or carriage returns, quoted as every reader takes it."""
        if self.quote is None:
            return record
        fields = [
            field
            if field.startswith(self.quote) or (self.quote not in field and b"\r" not in field)
            else self.quote + field.replace(self.quote, self.quote * 2) + self.quote
            for field in self.fields(record)
        ]
        return self.delimiter.join(fields) + b"\n"

    def all_clean(self, data: bytes) -> int | None:
        """How many records the data is, when it is nothing but clean ones; else None."""
        try:
            str(data, "utf-8")
        except UnicodeDecodeError:
            return None
        if self.columns > 1 and not self.comment and (self.quote is None or self.quote not in data):
            lines = data.split(b"\n")[:-1]
            right = set(map(operator.methodcaller("count", self.delimiter), lines)) == {self.columns - 1}
            return len(lines) if right and data.count(b"\r") == data.count(b"\r\n") else None
        found = self.strict.findall(data)
        return len(found) if sum(map(len, found)) == len(data) else None

    def end(self, data: bytes, start: int) -> int:
        """Where the clean record that begins at ``start`` ends."""
        match = self.strict.match(data, start)
        return len(data) if match is None else match.end()

    def unfinished(self, data: bytes, start: int) -> bool:
        """Whether the record that begins at ``start`` may go on beyond the data."""
        return self.quote is not None and self._unfinished.match(data, start) is not None


def records(stream: BinaryIO, grammar: Grammar) -> Iterator[Item]:
    """Tell the records of a stream apart, in order, in bounded memory; a line longer than `LONGEST` is broken.

    Args:
        stream: UTF-8, standing at its first record.
        grammar: what a record looks like.
    """
    line, rest, final = 0, b"", False
    while not final:
        block = stream.read(_BLOCK)
        final = not block
        data = rest + block
        if final and data and not data.endswith(b"\n"):
            data += b"\n"
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) > LONGEST:
            size, rest = _rest_of_line(stream, len(data))
            shown = data[:_SHOWN] + b" ... (%d bytes)" % size
            yield Bad(shown, f"row: a line longer than {LONGEST >> 20} MiB", line)
            line += 1
            continue
        data, rest = data[:end], data[end:]
        rows = grammar.all_clean(data)
        if rows is not None:
            if rows:
                lines = data.count(b"\n")
                yield Clean(data, rows, line, lines)
                line += lines
            continue
        used = 0
        for item, stop in _one_by_one(data, grammar, line, final=final):
            used = stop
            if item is not None:
                yield item
        line += data.count(b"\n", 0, used)
        rest = data[used:] + rest


def _rest_of_line(stream: BinaryIO, size: int) -> tuple[int, bytes]:
    """Read on to the end of the line: its size so far made whole, and what was read beyond it."""
    while block := stream.read(_BLOCK):
        end = block.find(b"\n")
        if end >= 0:
            return size + end, block[end + 1 :]
        size += len(block)
    return size, b""


def _one_by_one(data: bytes, grammar: Grammar, line: int, *, final: bool) -> Iterator[tuple[Item | None, int]]:
    """Each record of unclean data with the position it ends at; stops early at an unfinished one."""
    start = run = rows = 0
    run_line, ascii_only = line, data.isascii()
    while start < len(data):
        match = grammar.strict.match(data, start)
        if match is not None and (ascii_only or _undecodable(match[0]) is None):
            start = match.end()
            rows += 1
            continue
        if rows:
            lines = data.count(b"\n", run, start)
            yield Clean(data[run:start], rows, run_line, lines), start
            run_line += lines
        item, stop = _damaged(data, start, grammar, run_line, final=final)
        if stop == start:
            return
        yield item, stop
        run_line += data.count(b"\n", start, stop)
        start = run = stop
        rows = 0
    if rows:
        yield Clean(data[run:start], rows, run_line, data.count(b"\n", run, start)), start


def _damaged(data: bytes, start: int, grammar: Grammar, line: int, *, final: bool) -> tuple[Item | None, int]:
    """What stands at ``start``, which is no clean record, and where it ends; ``start`` itself for more data."""
    newline = data.index(b"\n", start) + 1
    first = data[start:newline]
    if first in (b"\n", b"\r\n") or (grammar.comment and first.startswith(grammar.comment)):
        return None, newline
    match = grammar.lenient.match(data, start)
    if match is None:
        open_ended = grammar.unfinished(data, start)
        if open_ended and not final and len(data) - start <= LONGEST:
            return None, start
        reason = "row: unclosed quote" if grammar.unfinished(bare(first), 0) else "row: text after a closing quote"
        return Bad(bare(first), reason, line), newline
    text, stop = match[0], match.end()
    damage = _undecodable(text)
    if damage is not None:
        return Bad(bare(text), f"row: not UTF-8 at byte {damage + 1}; encoding latin-1?", line), stop
    fields = grammar.fields(text)
    if len(fields) != grammar.columns:
        noun = "field" if len(fields) == 1 else "fields"
        return Bad(bare(text), f"row: {len(fields)} {noun}, expected {grammar.columns}", line), stop
    if grammar.quote is None and b"\r" in fields:  # polars takes such a field for an empty one
        return Bad(bare(text), "row: a carriage return within the line", line), stop
    return Clean(grammar.rewritten(text), 1, line, text.count(b"\n"), texts=text), stop


def bare(record: bytes) -> bytes:
    """A record without its line end."""
    return record.removesuffix(b"\n").removesuffix(b"\r")


def _undecodable(data: bytes) -> int | None:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None
