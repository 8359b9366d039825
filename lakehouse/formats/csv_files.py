"""CSV files made ready, and what is to be known of one before its records are looked at."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.formats.csv_records import LONGEST
from lakehouse.formats.format import Prepared, Raw
from lakehouse.formats.unpacking import MEBIBYTE, blocks, refuse

__all__ = ["CsvFile", "beyond_the_scan", "delimiter_hint", "plainly_no_csv", "without_last"]

_MARKUP = (b"<!doctype", b"<html", b"<?xml")


@dataclass(frozen=True, slots=True)
class CsvFile(Prepared):
    """A CSV file made ready.

    Attributes:
        start: bytes before the first record (byte order mark, skipped lines, header).
        skip: lines before the first record.
        lines: lines from there on, each surely one record or a damaged one; None when that is not sure.
    """

    start: int = 0
    skip: int = 0
    lines: int | None = None


def delimiter_hint(columns: Sequence[str]) -> str | None:
    """The delimiter a file seems to have, when its header came out as one column holding another one."""
    if len(columns) != 1:
        return None
    found = {mark: columns[0].count(mark) for mark in (";", "\t", "|", ",")}
    best = max(found, key=lambda mark: found[mark])
    return best if found[best] else None


def beyond_the_scan(file: CsvFile) -> bool:
    """Whether a scan would read what careful reading calls broken, or take a mark for none.

    A line may be too long; and polars takes a byte order mark away from the first field that it reads.
    """
    with file.path.open("rb") as stream:
        stream.seek(file.start)
        if stream.read(3) == codecs.BOM_UTF8:
            return True
        if file.path.stat().st_size <= LONGEST:
            return False
        stream.seek(file.start)
        length = 0
        for block in blocks(stream):
            length = length + len(block) if b"\n" not in block else len(block) - block.rfind(b"\n") - 1
            if length > LONGEST:
                return True
    return False


def without_last(raw: Raw, path: Path, count: int, work: Path) -> Path:
    """The file without its last lines, empty ones at the end not counted."""
    if path == raw.path:
        path = work / f"{raw.sha256}.body"
        shutil.copyfile(raw.path, path)
    with path.open("r+b") as stream:
        end = stream.seek(0, 2)
        tail = b""
        while end and len(tail) <= LONGEST and tail.rstrip(b"\r\n").count(b"\n") < count:
            start = max(0, end - MEBIBYTE)
            stream.seek(start)
            tail = stream.read(end - start) + tail
            end = start
        lines = tail.rstrip(b"\r\n").splitlines(keepends=True)
        stream.truncate(end + len(b"".join(lines[:-count])))
    return path


def plainly_no_csv(raw: Raw, path: Path) -> None:
    """Look at the first bytes.

    Raises:
        FormatError: they are binary data, or a page of markup.
    """
    with path.open("rb") as stream:
        head = stream.read(64 * 1024)
    if b"\0" in head:
        hint = (
            "set 'encoding', perhaps utf-16"
            if head.count(b"\0") > len(head) // 4
            else "correct its source or its format"
        )
        raise refuse(raw, "binary data (NUL bytes), not CSV", hint)
    if head[:1024].removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP):
        raise refuse(raw, "an HTML or XML page, not CSV", "look at what the source answers")
