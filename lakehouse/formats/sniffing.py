"""What a file is: its format, encoding, delimiter and header, from its name and its bytes alone.

The same name and bytes give the same answer wherever and whenever they are looked at, so that what was read by a guess
can be read again.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import json
import lzma
import re
import sqlite3
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from xml.parsers import expat

import pyarrow as pa

from lakehouse.errors import FormatError
from lakehouse.formats.csv_sniffing import delimited, table
from lakehouse.formats.unpacking import packing

__all__ = ["ENDINGS", "PACKED", "Sniffed", "opened", "sniff"]

ENDINGS = {
    "csv": "csv", "tsv": "csv", "tab": "csv", "psv": "csv",
    "ndjson": "ndjson", "jsonl": "ndjson", "json": "json",
    "parquet": "parquet", "pq": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
    "avro": "avro", "orc": "orc", "xlsx": "excel", "xlsm": "excel", "xlsb": "excel", "xls": "excel", "ods": "excel",
    "xml": "xml", "yaml": "yaml", "yml": "yaml", "toml": "toml", "log": "lines", "copy": "copy",
    "sqlite": "sqlite", "sqlite3": "sqlite", "db": "sqlite", "pdf": "binary", "png": "binary", "jpg": "binary",
    "jpeg": "binary", "svg": "binary", "gif": "binary", "webp": "binary", "tif": "binary", "tiff": "binary",
}  # fmt: skip
"""Names' endings (before one of `PACKED`), and the format each stands for."""
PACKED = ("gz", "gzip", "zst", "zstd", "bz2", "xz", "lz4", "zip")
"""Endings of packed files."""

_MAGIC = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"Obj\x01": "avro",
    b"ORC": "orc",
    b"SQLite format 3\0": "sqlite",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "excel",
    b"%PDF-": "binary",
    b"\x89PNG\r\n\x1a\n": "binary",
    b"\xff\xd8\xff": "binary",
    b"GIF8": "binary",
    b"II*\0": "binary",
    b"MM\0*": "binary",
}
_BY_BYTES = frozenset(_MAGIC.values())
_WORKBOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
"""What only a zip file that is a workbook holds."""
_FIRST_TABLE = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
)
_LISTS = {
    "yaml": re.compile(r"^([\w-]+):[ ]*\n[ ]*- ", re.MULTILINE),
    "toml": re.compile(r"^\[\[([\w-]+)\]\]", re.MULTILINE),
}
_ROOT = re.compile(r"<([A-Za-z_][\w:.-]*)[\s/>]")
_COMMON = r'\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} \S+'
_LOGS = {"common": re.compile(_COMMON), "combined": re.compile(_COMMON + r' "[^"]*" "[^"]*"')}
_MESSAGES = ("SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION")
_HEAD = 1 << 18
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)
"""What packed files raise that are cut short, damaged, encrypted, or packed in a way that is not known."""
_CONTROL = re.compile(r"[\0-\x08\x0e-\x19\x1c-\x1f\ufffd]")
"""What no text holds; escape sequences and an old end mark (0x1A) it may."""
_BLOCK = 1 << 20


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

    def values(self, encoding: str = "", **more: Any) -> dict[str, Any]:
        """The format that reads it, as YAML would say it."""
        said = {"encoding": encoding} if encoding else {}
        return {"type": self.kind, **self.options, **said, **more}

    @property
    def told(self) -> str:
        """What was guessed, for people."""
        said = {"delimiter": ","} if self.kind == "csv" else {}
        said |= {key: value for key, value in self.options.items() if key not in ("skip", "columns", "header")}
        parts = [f"{key} {value!r}" for key, value in said.items()]
        parts += [f"encoding {self.encoding}"] if self.encoding not in ("", "utf-8") else []
        if skip := self.options.get("skip"):
            parts.append(f"{skip} line{'s' if skip > 1 else ''} above the header")
        if self.options.get("header") is False:
            parts.append("no header")
        elif "columns" in self.options:
            parts.append("columns of no or the same name numbered")
        return f"guessed {self.kind}" + (f": {', '.join(parts)}" if parts else "")


def sniff(path: Path, limit: int, *, name: str = "", named: bool = False) -> Sniffed:
    """Look at a file.

    Args:
        path: the file.
        limit: how many of its bytes may be read to learn its encoding.
        name: what it is called; "" for the path's own name.
        named: it is to be read whatever it is called, so an unknown ending is looked into.

    Raises:
        FormatError: it is nothing a lake reads; says why.
    """
    endings = [part.lower() for part in (name or path.name).split(".")[1:]]
    if endings and endings[-1] in PACKED:
        endings.pop()
    ending = endings[-1] if endings else ""
    kind = ENDINGS.get(ending)
    if kind is None and not named:
        own = (name or path.name).rpartition(".")[2] if "." in (name or path.name) else ""
        shown = f"the ending '.{own}' is not known" if own else "its name has no ending"
        raise FormatError(f"{shown}; known are {', '.join(ENDINGS)}, each also with .gz, .zst, .bz2, .xz or .zip")
    try:
        return _of_bytes(path, limit, kind, ending)
    except _UNREADABLE as error:
        raise FormatError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _of_bytes(path: Path, limit: int, kind: str | None, ending: str) -> Sniffed:
    if _workbook(path):
        return Sniffed(path, "excel")
    with opened(path) as stream:
        head = stream.read(_HEAD)
    if not head.strip(b"\r\n\t " + codecs.BOM_UTF8):
        raise FormatError("it is empty")
    by_bytes = next((found for magic, found in _MAGIC.items() if head.startswith(magic)), None)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        by_bytes = "binary"
    if by_bytes is not None or kind in _BY_BYTES:
        kind = by_bytes or str(kind)
        return Sniffed(path, kind, _table(path) if kind == "sqlite" else {})
    return _of_text(path, head, limit, kind, ending)


def _of_text(path: Path, head: bytes, limit: int, kind: str | None, ending: str) -> Sniffed:
    encoding = _encoding(path, head, limit)
    text = _text(head, encoding)
    start = text.lstrip()[:1024].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise FormatError("it is an HTML page; look at what the source answers")
    if kind in ("yaml", "toml", "copy"):
        lists = dict.fromkeys(_LISTS[kind].findall(text)) if kind in _LISTS else {}
        return Sniffed(path, kind, {"records": next(iter(lists))} if len(lists) == 1 else {})
    if kind == "xml" or _markup(text, kind):
        return Sniffed(path, "xml", {"row": _row(head)})
    if kind in ("json", "ndjson") or (kind is None and start.startswith(("{", "["))):
        if encoding not in ("", "utf-8"):
            raise FormatError(f"it is {encoding}; JSON must be UTF-8")
        return _json(path, text)
    if kind == "lines" or (kind is None and ending in ("", "txt") and delimited(text, tabbed=False)[1] == 1):
        lines = [line for line in text.split("\n")[:-1] if line] or [text]
        for pattern, written in _LOGS.items():
            if all(written.fullmatch(line) for line in lines[:20]):
                return Sniffed(path, "log", {"pattern": pattern}, encoding)
        return Sniffed(path, "lines", {}, encoding)
    if len(head) == _HEAD:
        text = text[: text.rfind("\n") + 1] or text
    options, header = table(text, tabbed=ending in ("tsv", "tab"))
    return Sniffed(path, "csv", options, encoding, header)


def _markup(text: str, kind: str | None) -> bool:
    """Whether a text is XML: it says so, or it is of unknown kind and one element, as far as it goes."""
    text = text.strip()
    if text.lower().startswith(("<?xml", "<!--")):
        return kind != "lines"
    root = _ROOT.match(text) if kind is None else None
    return root is not None and (len(text) >= _HEAD // 4 or text.endswith(f"</{root[1]}>"))


def _row(head: bytes) -> str:
    """The element that stands most often right below the root."""
    opened_: list[str] = []
    found: Counter[str] = Counter()
    parser = expat.ParserCreate()

    def start(name: str, _: object) -> None:
        opened_.append(name)
        if len(opened_) == 2:
            found["/".join(opened_)] += 1

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: opened_.pop()
    with contextlib.suppress(expat.ExpatError, ValueError, LookupError):  # reading tells what is wrong with it
        parser.Parse(head)
    if not found:
        raise FormatError("it is XML without records")
    return found.most_common(1)[0][0]


def opened(path: Path) -> BinaryIO:
    """The file's bytes, decompressed; of a zip file those of its only member.

    Raises:
        FormatError: it is an archive of several files.
        OSError: it cannot be read.
    """
    found = packing(path)
    if found == "zip":
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise FormatError(f"it is a damaged zip file: {error}") from error
        files = [info for info in archive.infolist() if not info.is_dir()]
        if len(files) != 1:
            raise FormatError(f"it is a zip archive of {len(files):,} files; say what they are: {{unpack: zip, …}}")
        return cast("BinaryIO", archive.open(files[0]))
    if found == "tar":
        raise FormatError("it is a tar archive; say what its files are: {unpack: tar, …}")
    if found == "bz2":
        return cast("BinaryIO", bz2.open(path))
    if found == "xz":
        return cast("BinaryIO", lzma.open(path))
    if found:
        return pa.input_stream(str(path), compression=found)  # type: ignore[no-any-return]
    return path.open("rb")


def _workbook(path: Path) -> bool:
    if packing(path) != "zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise FormatError(f"it is a damaged zip file: {error}") from error
    return not names.isdisjoint(_WORKBOOKS)


def _table(path: Path) -> dict[str, Any]:
    """The first table of an SQLite database."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            found = database.execute(_FIRST_TABLE).fetchone()
    except sqlite3.Error as error:
        raise FormatError(f"it is an SQLite database that cannot be read: {error}") from error
    if found is None:
        raise FormatError("it is an SQLite database without a table")
    return {"table": found[0]}


def _encoding(path: Path, head: bytes, limit: int) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head[:4096]:
        even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
        if max(even, odd) < len(head[:4096]) // 4 or min(even, odd) > max(even, odd) // 8:
            raise FormatError("it holds binary data (NUL bytes)")
        found = "utf-16-le" if odd > even else "utf-16-be"
        if _CONTROL.search(head[:4096].decode(found, "replace")[:-1]):
            raise FormatError("it holds binary data (NUL bytes)")
        return found
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
        if _CONTROL.search(head[:4096].decode("latin-1")):
            raise FormatError("it holds binary data (control characters)") from None
        return "cp1252" if high & set(range(0x80, 0xA0)) and not high & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
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
    if isinstance(first, dict) and first.get("type") in _MESSAGES and ("stream" in first or "value" in first):
        streams = [json.loads(line).get("stream") for line in lines[:50] if '"SCHEMA"' in line and line.endswith("}")]
        return Sniffed(path, "singer", {"stream": streams[0]} if streams else {})
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
