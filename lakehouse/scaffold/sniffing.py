"""What a user's file is: its format, encoding, delimiter and header, from its first bytes."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from lakehouse.errors import FormatError
from lakehouse.formats import FORMATS, Format

__all__ = ["ENDINGS", "Sniffed", "opened", "sniff"]

ENDINGS = {
    "csv": "csv", "tsv": "csv", "tab": "csv", "psv": "csv",
    "ndjson": "ndjson", "jsonl": "ndjson", "json": "json",
    "parquet": "parquet", "pq": "parquet",
}  # fmt: skip
"""Names' endings (before ``.gz`` and ``.zst``), and the format each stands for."""

_PACKED = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_HEAD = 1 << 18
_BLOCK = 1 << 20
_TITLES = 20
"""So many lines may stand above a header."""
_TYPED = re.compile(r"[-+]?[0-9][0-9.,:/\-+TZ ]*(?:[eE][-+]?[0-9]+)?")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")


@dataclass(frozen=True)
class Sniffed:
    """One readable file.

    Attributes:
        path: where it lies.
        kind: the format's ``type``.
        options: what its format needs said, beside the type and the encoding.
        encoding: of a text with more than ASCII; "" where any would do.
        columns: its header; () where only reading the whole file tells.
    """

    path: Path
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = ""
    columns: tuple[str, ...] = ()

    def format(self, encoding: str = "", **more: Any) -> Format:
        """The format that reads it."""
        said = {"encoding": encoding} if encoding else {}
        return FORMATS[self.kind].model_validate({**self.options, **said, **more})


def sniff(path: Path, limit: int, *, named: bool = False) -> Sniffed:
    """Look at a file.

    Args:
        path: the file.
        limit: how many of its bytes may be read to learn its encoding.
        named: the user named this very file, so an unknown ending is looked into.

    Raises:
        FormatError: it is nothing a lake reads; says why.
    """
    endings = [part.lower() for part in path.name.split(".")[1:]]
    if endings and endings[-1] in _PACKED:
        endings.pop()
    kind = ENDINGS.get(endings[-1]) if endings else None
    if kind is None and not named:
        shown = f"the ending '.{endings[-1]}' is not known" if endings else "its name has no ending"
        raise FormatError(f"{shown}; known are {', '.join(ENDINGS)}, each also with .gz or .zst")
    try:
        with opened(path) as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise FormatError(f"it cannot be read: {error.strerror or error}") from error
    if not head.strip(b"\r\n\t " + codecs.BOM_UTF8):
        raise FormatError("it is empty")
    if head.startswith(b"PAR1") or kind == "parquet":
        return Sniffed(path, "parquet")
    encoding = _encoding(path, head, limit)
    text = _text(head, encoding)
    if kind in ("json", "ndjson") or (kind is None and text.lstrip().startswith(("{", "["))):
        if encoding not in ("", "utf-8"):
            raise FormatError(f"it is {encoding}; JSON must be UTF-8")
        return _json(path, text)
    return _csv(path, text, encoding, whole=len(head) < _HEAD, tabbed=endings[-1:] in (["tsv"], ["tab"]))


def opened(path: Path) -> BinaryIO:
    """The file's bytes, decompressed."""
    with path.open("rb") as stream:
        magic = stream.read(4)
    for start, compression in _MAGIC.items():
        if magic.startswith(start):
            return pa.input_stream(str(path), compression=compression)  # type: ignore[no-any-return]
    return path.open("rb")


def _encoding(path: Path, head: bytes, limit: int) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head[:4096]:
        even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
        if max(even, odd) < len(head[:4096]) // 4 or min(even, odd) > max(even, odd) // 8:
            raise FormatError("it holds binary data (NUL bytes)")
        return "utf-16-le" if odd > even else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    plain, high = True, set[int]()
    try:
        for block in _blocks(path, limit):
            if block.isascii():
                decoder.decode(block)
                continue
            plain = False
            high |= set(block)
            decoder.decode(block)
    except UnicodeDecodeError:
        return "cp1252" if high & set(range(0x80, 0xA0)) and not high & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
    except OSError as error:
        raise FormatError(f"it cannot be read: {error}") from error
    return "" if plain else "utf-8"


def _blocks(path: Path, limit: int) -> Iterator[bytes]:
    with opened(path) as stream:
        left = max(limit, _HEAD)
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


def _text(head: bytes, encoding: str) -> str:
    name = encoding if encoding not in ("", "utf-8") else "utf-8-sig"
    text = codecs.getincrementaldecoder(name)("replace").decode(head)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json(path: Path, text: str) -> Sniffed:
    if text.lstrip().startswith("["):
        return Sniffed(path, "json")
    lines = [line for line in text.split("\n") if line.strip()]  # splitlines() also cuts at U+2028
    if not lines[0].lstrip().startswith("{"):
        raise FormatError("it holds neither JSON objects nor an array of them")
    try:
        first = json.loads(lines[0])
    except ValueError:
        first = None
    if first is not None and (len(lines) > 1 or not _records(first)):
        return Sniffed(path, "ndjson")
    records = _records(first) if first is not None else None
    if records is None:
        try:
            with opened(path) as stream:
                records = _records(json.loads(stream.read(1 << 26)))
        except (ValueError, RecursionError):
            records = None
    return Sniffed(path, "json", {"records": records} if records else {})


def _records(data: Any) -> str | None:
    """The one key whose value is an array of objects: what wraps an answer's rows."""
    if not isinstance(data, dict):
        return None
    arrays = [key for key, value in data.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return arrays[0] if len(arrays) == 1 and arrays[0] and "." not in arrays[0] else None


def _csv(path: Path, text: str, encoding: str, *, whole: bool, tabbed: bool) -> Sniffed:
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    options: dict[str, Any] = {}
    delimiter, width = _delimiter(text, tabbed=tabbed)
    if delimiter != ",":
        options["delimiter"] = delimiter
    rows = _rows(text, delimiter)
    first = next((at for at, (row, _) in enumerate(rows[:_TITLES]) if len(row) == width), 0)
    if first and width > 1 and all(len(row) < 2 for row, _ in rows[:first]):
        options["skip"] = rows[first - 1][1]
    else:
        first = 0
    header = tuple(rows[first][0])
    body = [row for row, _ in rows[first + 1 : first + 101] if len(row) == len(header)]
    if not _is_header(header, body):
        options["header"] = False
        header = tuple(f"column_{number}" for number in range(1, len(header) + 1))
        options["columns"] = header
    elif (mended := _mended(header)) != header:
        options["columns"] = header = mended
    return Sniffed(path, "csv", options, encoding, header)


def _rows(text: str, delimiter: str) -> list[tuple[list[str], int]]:
    """The first records, each with the number of the line it ends on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found = []
    try:
        for row in reader:
            if row:
                found.append((row, reader.line_num))
            if len(found) >= 200:
                break
    except csv.Error:
        pass  # a field longer than Python's reader takes: what came before it tells enough
    return found


def _delimiter(text: str, *, tabbed: bool) -> tuple[str, int]:
    """The mark that cuts most lines into the same number of fields, and that number."""
    best: tuple[tuple[bool, float, int], str] | None = None
    for mark in ("\t", ",", ";", "|"):
        rows = [row for row, _ in _rows(text, mark)]
        if not rows:
            continue
        width, times = Counter(map(len, rows)).most_common(1)[0]
        score = (tabbed and mark == "\t", round(times / len(rows), 2), width)
        if width > 1 and score[1] >= 0.5 and (best is None or score > best[0]):
            best = score, mark
    return (best[1], best[0][2]) if best else (",", 1)


def _is_header(header: tuple[str, ...], body: list[list[str]]) -> bool:
    """Whether the first record names the columns: it does unless it looks like those below it."""
    if not body:
        return not all(_TYPED.fullmatch(name) for name in header)
    if all(_YEAR.fullmatch(name) for name in header if _TYPED.fullmatch(name)):
        return True
    alike = False
    for name, *values in zip(header, *body, strict=True):
        said = [value for value in values if value]
        if said and all(_TYPED.fullmatch(value) for value in said):
            if name and not _TYPED.fullmatch(name):
                return True
            alike = alike or bool(name)
    return not alike


def _mended(header: tuple[str, ...]) -> tuple[str, ...]:
    """Names for a header that leaves some out or says one twice."""
    names: list[str] = []
    for at, written in enumerate(header, 1):
        name = base = written or f"column_{at}"
        if name in ("_raw", "_row", "_suspect"):
            name = base = name[1:]
        number = 2
        while name in names or (name != written and name in header):
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return tuple(names)
