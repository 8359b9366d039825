"""The elements of a JSON array, one at a time, as they are written; a file of any size in bounded memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from lakehouse.errors import FormatError, nearest
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import MEBIBYTE, refuse

__all__ = ["Element", "elements"]

_LARGEST = 256 * MEBIBYTE
"""Characters an element may have: memory stays bounded."""
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


class Element(NamedTuple):
    """An element: the line it begins at (from 1), and its text; undecodable bytes are surrogates."""

    line: int
    text: str


def elements(stream: BinaryIO, path: tuple[str, ...], raw: Raw) -> Iterator[Element]:
    """The elements of the array at ``path``, or the one object there.

    Raises:
        FormatError: this is not JSON, or ends early, or has no array there.
    """
    reader = _Reader(stream, raw)
    if reader.peek():
        yield from _inside(reader, path, 0)
        if reader.peek():
            raise refuse(raw, f"more than one JSON value, the second at line {reader.line}", "set 'type: ndjson'?")


def _inside(reader: _Reader, path: tuple[str, ...], depth: int) -> Iterator[Element]:
    """The elements of what stands here, which is ``path[:depth]``."""
    mark = reader.peek()
    if depth < len(path):
        yield from _member(reader, path, depth)
    elif mark == "{":
        yield reader.value()
    elif mark == "[":
        reader.take("[")
        while reader.peek() != "]":
            yield reader.value()
            if reader.peek() != ",":
                break
            reader.take(",")
            if reader.peek() == "]":
                raise reader.damage("an element is missing after ','")
        reader.take("]")
    else:
        where = f"'{'.'.join(path)}'" if path else "it"
        raise refuse(reader.raw, f"{where} holds neither an array of objects nor an object", "correct 'records'")


def _member(reader: _Reader, path: tuple[str, ...], depth: int) -> Iterator[Element]:
    """The elements inside the member ``path[depth]`` of the object here; its other members are passed over."""
    if reader.peek() != "{":
        where = f"'{'.'.join(path[:depth])}'" if depth else "it"
        raise refuse(reader.raw, f"{where} is no object", "correct 'records'")
    reader.take("{")
    keys: list[str] = []
    found = False
    while reader.peek() != "}":
        if reader.peek() != '"':
            raise reader.damage("a key in double quotes is missing")
        key = str(_DECODER.decode(reader.value().text))
        reader.take(":")
        keys.append(key)
        if key == path[depth] and not found:
            found = True
            yield from _inside(reader, path, depth + 1)
        else:
            reader.value()
        if reader.peek() != ",":
            break
        reader.take(",")
    reader.take("}")
    if not found:
        missing = ".".join(path[: depth + 1])
        raise refuse(reader.raw, f"it has no '{missing}'", f"correct 'records'.{nearest(path[depth], keys)}")


class _Reader:
    """A sliding window over the text of a file."""

    def __init__(self, stream: BinaryIO, raw: Raw) -> None:
        self.raw = raw
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._text, self._at, self._ended = "", 0, False
        self._line, self._counted = 1, 0

    @property
    def line(self) -> int:
        """The line the next character stands on, from 1."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = self._at if space is None else space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, mark: str) -> None:
        """Pass over the next character, which must be ``mark``."""
        if self.peek() != mark:
            raise self.damage(f"'{mark}' is missing")
        self._at += 1

    def value(self) -> Element:
        """The JSON value that stands next."""
        self.peek()
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > _LARGEST:
                    raise self.damage(f"a value here is longer than {_LARGEST >> 20} MiB, or not JSON") from error
                if self._more():
                    continue
                cut = error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated string")
                self._at = len(self._text) if cut else error.pos
                raise self.damage(error.msg) from error
            except RecursionError as error:
                raise self.damage("nested too deeply") from error
            if end == len(self._text) and self._more():
                continue  # a number may go on
            element = Element(self.line, self._text[self._at : end])
            self._at = end
            return element

    def damage(self, what: str) -> FormatError:
        """The error for what stands here."""
        if self._at >= len(self._text) and not self._more():
            return refuse(
                self.raw,
                f"truncated JSON, it ends at line {self.line}",
                "replace the file; it is read again when it changes",
            )
        return refuse(self.raw, f"not JSON at line {self.line}: {what}", "correct the file or its format")

    def _more(self) -> bool:
        """Read on, twice as much as is left; False at the end."""
        if self._ended:
            return False
        block = self._stream.read(max(MEBIBYTE, len(self._text) - self._at))
        self._ended = not block
        self._line, self._counted = self.line, 0
        self._text, self._at = self._text[self._at :] + self._decoder.decode(block, final=self._ended), 0
        return True
