"""What a delimited text is: its delimiter, whether it has a header, and what stands above that."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from typing import Any

__all__ = ["delimited", "table"]

_TITLES = 20
"""So many lines may stand above a header."""
_TYPED = re.compile(r"[-+]?[0-9][0-9.,:/\-+TZ ]*(?:[eE][-+]?[0-9]+)?")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_SEP = re.compile(r"sep=([\t,;|])\n")
"""The line by which spreadsheet programs say the delimiter."""


def table(text: str, *, tabbed: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the format ``csv`` needs said, and the columns.

    Args:
        text: the first lines, each whole.
        tabbed: the name says that tabs stand between the fields.
    """
    options: dict[str, Any] = {}
    said = _SEP.match(text)
    text = text[said.end() :] if said else text
    delimiter, width = delimited(text, tabbed=tabbed)
    if said:
        delimiter = said[1]
    if delimiter != ",":
        options["delimiter"] = delimiter
    rows = _rows(text, delimiter) or [([], 0)]
    first = next((at for at, (row, _) in enumerate(rows[:_TITLES]) if len(row) == width), 0)
    if first and width > 1 and all(len(row) < 2 for row, _ in rows[:first]):
        options["skip"] = rows[first - 1][1]
    else:
        first = 0
    header = tuple(rows[first][0])
    body = [row for row, _ in rows[first + 1 : first + 101] if len(row) == len(header)]
    if said:
        options["skip"] = options.get("skip", 0) + 1
    if not _is_header(header, body):
        options["header"] = False
        header = tuple(f"column_{number}" for number in range(1, len(header) + 1))
        options["columns"] = header
    elif (mended := _mended(header)) != header:
        options["columns"] = header = mended
    return options, header


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


def delimited(text: str, *, tabbed: bool) -> tuple[str, int]:
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
