"""XML: the elements at one path are the records."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.parsers import expat

from pydantic import Field, field_validator

from lakehouse.errors import NotFoundError
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Located, Raw
from lakehouse.formats.unpacking import MEBIBYTE, refuse, unpack

__all__ = ["XmlFormat"]

_DEEPEST = 200
_LARGEST = 64 * MEBIBYTE
"""Bytes a record may have: it is held in memory."""
_BLOCK = 64 * 1024
_START_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ENTITY = re.compile(rb"&(?!amp;|lt;|gt;|quot;|apos;|#)([^;]*);")
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class XmlFormat(Converted):
    """XML files, read as a stream: the largest record (64 MiB) is held in memory."""

    type: Literal["xml"] = "xml"
    row: str = Field(..., description="the record element: names from the root on, as in catalog/book")

    @field_validator("row")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if "" in value.split("/"):
            raise ValueError(f"'{value}' is not element names joined by single slashes, from the root on")
        return value

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Read the record elements."""
        for record in _records(raw, path, self.row):
            into.text(record.columns(), record.end - record.start)

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """The element as it stands in the file."""
        path = unpack(raw, self, work)
        seen = 0
        for record in _records(raw, path, self.row):
            seen += 1
            if seen == row:
                with path.open("rb") as stream:
                    stream.seek(record.start)
                    data = stream.read(record.end - record.start)
                text = data.decode(_encoding(path), "backslashreplace")
                if (closing := text.rfind("</")) >= 0:
                    text = text[: text.find(">", closing) + 1]
                return Located(record.line, text.rstrip())
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")


@dataclass(slots=True)
class _Element:
    attributes: dict[str, str]
    children: dict[str, list[str | dict[str, Any] | None]] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def value(self) -> str | dict[str, Any] | None:
        """Its text where it has nothing else; None where it has nothing at all."""
        text = "".join(self.text)
        if not self.attributes and not self.children:
            return text or None
        found: dict[str, Any] = {f"@{name}": value for name, value in self.attributes.items()}
        for name, values in self.children.items():
            found[name] = values[0] if len(values) == 1 else values
        if text.strip():
            found["#text"] = text
        return found


class _Record(NamedTuple):
    """A record element, the line it begins at, and where its bytes begin and end."""

    element: _Element
    line: int
    start: int
    end: int

    def columns(self) -> dict[str, str | None]:
        """Text by column: attributes as ``@name``, children by name, what is nested or repeated as JSON."""
        value = self.element.value()
        parts = value if isinstance(value, dict) else {"#text": value}
        return {
            name: part if part is None or isinstance(part, str) else json.dumps(part, ensure_ascii=False)
            for name, part in parts.items()
        }


class _RefusedError(Exception):
    """What expat's handlers stop for."""


class _Reader:
    """Builds the records out of expat's events."""

    def __init__(self, path: list[str]) -> None:
        self.path = path
        self.open: list[str] = []
        self.inside: list[_Element] = []
        self.ready: list[_Record] = []
        self.began = (0, 0)
        self.seen: set[str] = set()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.EntityDeclHandler = self.entity
        self.parser.ExternalEntityRefHandler = self.entity
        self.parser.SkippedEntityHandler = self.skipped
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.elsewhere = False
        self._closing: _Element | None = None

    def entity(self, *_: object) -> int:
        raise _RefusedError("it declares entities, which are not expanded here")

    def doctype(self, _: str, system: str | None, *__: object) -> None:
        self.elsewhere = system is not None

    def skipped(self, name: str, *_: object) -> None:
        raise _RefusedError(f"the entity '&{name};' is declared elsewhere, which is not fetched")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.settle(self.parser.CurrentByteIndex)
        if self.elsewhere and attributes:  # expat leaves out what an attribute holds of it, and says nothing
            tag = _START_TAG.match((self.parser.GetInputContext() or b"").replace(b"\0", b""))
            if tag and (entity := _ENTITY.search(tag[0])):
                self.skipped(entity[1].decode("utf-8", "replace"))
        self.open.append(name)
        if len(self.open) > _DEEPEST:
            raise _RefusedError(f"elements lie deeper than {_DEEPEST} levels")
        if len(self.open) <= len(self.path):
            self.seen.add("/".join(self.open))
        if self.inside or self.open == self.path:
            if not self.inside:
                self.began = self.parser.CurrentLineNumber, self.parser.CurrentByteIndex
            self.inside.append(_Element(attributes))

    def text(self, text: str) -> None:
        self.settle(self.parser.CurrentByteIndex)
        if self.inside:
            self.inside[-1].text.append(text)

    def end(self, _: str) -> None:
        self.settle(self.parser.CurrentByteIndex)
        name = self.open.pop()
        if self.inside:
            element = self.inside.pop()
            if self.inside:
                self.inside[-1].children.setdefault(name, []).append(element.value())
            else:
                self._closing = element

    def settle(self, at: int) -> None:
        """Close a record where the next thing begins: expat does not say where an end tag ends."""
        if self._closing is not None:
            line, start = self.began
            self.ready.append(_Record(self._closing, line, start, at))
            self._closing = None


def _encoding(path: Path) -> str:
    """What a file that expat has read is encoded in: by its byte order mark, else as it declares."""
    declared: list[str | None] = []
    with path.open("rb") as stream:
        head = stream.read(4096)
    if found := next((name for mark, name in _BOMS.items() if head.startswith(mark)), None):
        return found
    parser = expat.ParserCreate()
    parser.XmlDeclHandler = lambda _, encoding, __: declared.append(encoding)
    with contextlib.suppress(expat.ExpatError):  # of what comes after the declaration
        parser.Parse(head)
    return next(filter(None, declared), None) or ("utf-16-be" if head.startswith(b"\0") else "utf-8")


def _records(raw: Raw, path: Path, row: str) -> Iterator[_Record]:
    """The record elements of a file.

    Raises:
        FormatError: it is no XML to its end, or declares entities, or has no such element.
    """
    reader = _Reader(row.split("/"))
    parser = reader.parser
    rows = 0
    try:
        with path.open("rb") as stream:
            while True:
                block = stream.read(_BLOCK)
                parser.Parse(block, not block)
                if not block:
                    reader.settle(parser.CurrentByteIndex)
                elif reader.inside and parser.CurrentByteIndex - reader.began[1] > _LARGEST:
                    raise _RefusedError(f"the record here is longer than {_LARGEST >> 20} MiB")  # noqa: TRY301  # as handlers do
                rows += len(reader.ready)
                yield from reader.ready
                reader.ready = []
                if not block:
                    break
    except _RefusedError as error:
        raise refuse(raw, f"line {parser.CurrentLineNumber}: {error}", "write it without") from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        what = "truncated XML" if reader.open and "no element found" in str(error) else "not XML"
        advice = "correct the file or its format; it is read again when it changes"
        raise refuse(
            raw, f"{what} at line {parser.CurrentLineNumber}, after {rows:,} records: {error}", advice
        ) from error
    if not rows and row.rpartition("/")[0] not in {*reader.seen, ""}:
        held = ", ".join(sorted(reader.seen)[:5])
        raise refuse(raw, f"it has no element '{row}'", f"correct 'row'; it has {held}")
