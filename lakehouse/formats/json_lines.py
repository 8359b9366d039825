"""Lines that are JSON objects, as columns of text that keep every value exactly as it was written.

Lines of the file's usual layout (its keys in its usual order, values at most one level deep) are
read by one regular expression in polars, so that 1.10 stays "1.10". All others are read by Python,
one by one, and mean the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl

from lakehouse.formats.broken import BrokenWriter, RowWriter
from lakehouse.formats.format import Careful, Prepared, Raw, name_problem
from lakehouse.formats.placing import INDEX, numbered
from lakehouse.formats.unpacking import blocks, refuse

__all__ = [
    "JsonFile",
    "NotAnObjectError",
    "careful",
    "flattened",
    "lines_of",
    "prepare",
    "scan",
    "shown",
    "text_of",
    "tokens",
]

_SPACE = r"[ \t]*"
_STRING = (
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
    r'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"'
)
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_FLAT = rf"(?:\"[^\"\\\[\]{{}}\x00-\x1f]*\"|{_NUMBER}|true|false|null)"
_LIST = rf"\[{_SPACE}(?:{_FLAT}(?:{_SPACE},{_SPACE}{_FLAT})*)?{_SPACE}\]"
_MEMBER = rf'"[^"\\\[\]{{}}\x00-\x1f]*"{_SPACE}:{_SPACE}{_FLAT}'
_OBJECT = rf"\{{{_SPACE}(?:{_MEMBER}(?:{_SPACE},{_SPACE}{_MEMBER})*)?{_SPACE}\}}"
_VALUE = f"(?:{_STRING}|{_NUMBER}|true|false|null|{_LIST}|{_OBJECT})"
_WRITTEN = r'("(?:[^"\\]|\\.)*"|[-+.0-9a-zA-Z]+|[\[{][^\[\]{}\\]*[\]}])'
"""The same values for lines known to be right: the small expression runs ten times as fast with groups."""
_SEEN_FIRST = 1000
"""Lines whose keys give the layout."""
_FETCH = 20_000
"""Lines of another layout that are held at once."""
_LAYOUTS = 4
"""Layouts a file may have before its lines are read by Python."""
_COLUMNS = 10_000
"""More keys than this are values in the place of keys."""


class NotAnObjectError(ValueError):
    """A line is no JSON object; the message says why."""


def _no_constant(name: str) -> None:
    raise NotAnObjectError(f"not JSON: {name}")


_KEY = re.compile(r'[ \t]*"((?:[^"\\\x00-\x1f]|\\.)*+)"[ \t]*:[ \t]*')
_SIMPLE = re.compile(r'(?:"[^"\\\x00-\x1f]*+"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?=[ \t]*[,}])')
_COMMA = re.compile(r"[ \t]*,")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)


@dataclass(frozen=True, slots=True)
class JsonFile(Prepared):
    """A file of JSON lines made ready.

    Attributes:
        layouts: its usual keys in their usual orders.
        unusual: how many lines have none of these layouts, or are no JSON objects.
    """

    layouts: tuple[tuple[str, ...], ...] = ()
    unusual: int = 0


def tokens(line: str) -> dict[str, str]:
    """The keys of a JSON object, each with its value as it is written.

    Raises:
        NotAnObjectError: the line is no JSON object, or has a key twice.
    """
    text = line.strip(" \t\r\n\ufeff")
    if not text.startswith("{"):
        raise NotAnObjectError("not a JSON object")
    found: dict[str, str] = {}
    at = 1
    try:
        while member := _KEY.match(text, at):
            key = member[1] if "\\" not in member[1] else _DECODER.decode(f'"{member[1]}"')
            scalar = _SIMPLE.match(text, member.end())
            end = scalar.end() if scalar else _DECODER.raw_decode(text, member.end())[1]
            if key in found:
                raise NotAnObjectError(f"the key '{key}' stands twice")
            found[key] = text[member.end() : end]
            after = _COMMA.match(text, end)
            if after is None:
                at = end
                break
            at = after.end()
    except json.JSONDecodeError as error:
        raise NotAnObjectError(f"not JSON at character {error.pos + 1}: {error.msg}") from error
    except RecursionError as error:
        raise NotAnObjectError("nested too deeply") from error
    if text[at:].strip(" \t") != "}" or (found and text[:at].rstrip(" \t").endswith(",")):
        raise NotAnObjectError(f"not JSON at character {at + 1}: a key, ',' or the one closing '}}' is missing")
    return found


def text_of(written: str) -> str | None:
    """A value as column text: strings without quotes and escapes, null as None, all else as written.

    Raises:
        NotAnObjectError: a string holds half a surrogate pair, which is no text.
    """
    if written == "null":
        return None
    if not written.startswith('"'):
        return written
    value = written[1:-1]
    if "\\" in value:
        value = str(_DECODER.decode(written))
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise NotAnObjectError("a string holds half a surrogate pair")
    return value


def flattened(path: Path, copy: Path, levels: int, separator: str) -> Path:
    """Copy lines with the keys of their objects, ``levels`` deep, joined to one; values stay as they are written.

    A line that is no JSON object is copied as it stands, and an empty object stays one.
    """
    with path.open("rb") as source, copy.open("wb") as target:
        for line in source:
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            try:
                members = list(_flat(tokens(text), levels, separator))
            except (NotAnObjectError, RecursionError):
                flat = text
            else:
                flat = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}" if text else ""
            target.write(flat.encode("utf-8", "surrogateescape") + b"\n")
    return copy


def _flat(found: Mapping[str, str], levels: int, separator: str) -> Iterator[tuple[str, str]]:
    for key, written in found.items():
        inner = tokens(written) if levels and written.startswith("{") else {}
        if inner:
            yield from ((f"{key}{separator}{name}", value) for name, value in _flat(inner, levels - 1, separator))
        else:
            yield key, written


def prepare(raw: Raw, path: Path, work: Path, told: Iterable[str] = ()) -> JsonFile:
    """Find all keys of all lines.

    Args:
        raw: the file.
        path: its lines.
        work: a folder for copies.
        told: keys that are known to be meant, and come first; lines may have others, or not have them.

    Raises:
        FormatError: no line is a JSON object and no key is told, or a key cannot name a column.
    """
    try:
        return _looked_through(raw, path, told)
    except pl.exceptions.ComputeError:
        # Undecodable bytes stop polars; as \\xNN, which is no JSON either, they spoil their own line only.
        return _looked_through(raw, shown(path, work / f"{raw.sha256}.shown"), told)


def shown(path: Path, copy: Path) -> Path:
    r"""A copy in which bytes that are no UTF-8 are written out as ``\xNN``."""
    with path.open("rb") as source, copy.open("wb") as target:
        for block in blocks(source):
            whole = block + source.readline()
            target.write(whole.decode("utf-8", "backslashreplace").encode())
    return copy


def _looked_through(raw: Raw, path: Path, told: Iterable[str]) -> JsonFile:
    lines = _lines([path])
    orders: Counter[tuple[str, ...]] = Counter()
    for line in lines.head(_SEEN_FIRST).collect(engine="streaming")["line"]:
        orders[_keys(line)] += 1
    keys = dict.fromkeys(chain(told, *orders))
    layouts = _fitting([order for order, _ in orders.most_common(_LAYOUTS) if order])
    usual = _usual(layouts)
    rows, common = lines.select(pl.len(), usual.sum().alias("usual")).collect(engine="streaming").row(0)
    if common < rows:
        for batch in _batches(raw, lines.filter(~usual), rows - common):
            for line in batch["line"]:
                keys.update(dict.fromkeys(_keys(line, keys)))
            if len(keys) > _COLUMNS:
                raise refuse(raw, f"more than {_COLUMNS} different keys", "are keys used as values?")
    if rows and not keys:
        what = "no record in it is a JSON object with keys"
        raise refuse(raw, what, "correct its format (json is one array, ndjson one object a line)")
    if problem := name_problem(tuple(keys)):
        raise refuse(raw, problem, "rename the key at the source")
    return JsonFile(raw, path, tuple(keys), rows, layouts, rows - common)


def _batches(raw: Raw, lines: pl.LazyFrame, count: int) -> Iterator[pl.DataFrame]:
    """A frame in batches; polars ends them early without an error when its reader panics.

    Raises:
        FormatError: fewer came than there are.
    """
    seen = 0
    for batch in lines.collect_batches(chunk_size=_FETCH, engine="streaming"):
        seen += batch.height
        yield batch
    if seen != count:
        raise refuse(raw, f"only {seen:,} of {count:,} lines could be read", "try again; the file may be damaged")


def _keys(line: str, known: Mapping[str, object] | None = None) -> tuple[str, ...]:
    """The keys of a line that is a whole record; () for any other, and where all are known."""
    try:
        if known and _DECODER.decode(line).keys() <= known.keys():
            return ()
        found = tuple(tokens(line))
        "".join(found).encode()
    except (ValueError, RecursionError, AttributeError):
        return ()
    return found


def _fitting(layouts: list[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The layouts without those whose regular expression is larger than polars takes."""
    fitting = []
    for layout in layouts:
        try:
            pl.select(pl.lit("").str.contains(_pattern(layout, groups=False)))
        except pl.exceptions.ComputeError:
            continue
        fitting.append(layout)
    return tuple(fitting)


def _lines(paths: Sequence[Path]) -> pl.LazyFrame:
    lines = pl.scan_lines(list(paths), glob=False)
    return lines.select(pl.col("line").str.strip_prefix("\ufeff")).filter(pl.col("line") != "")


def _pattern(layout: Sequence[str], *, groups: bool) -> str:
    """The lines that have just these keys in this order; with ``groups`` their values, for lines that are right."""
    value = _WRITTEN if groups else _VALUE
    members = f"{_SPACE},{_SPACE}".join(f'"{_literal(key)}"{_SPACE}:{_SPACE}{value}' for key in layout)
    return rf"^{_SPACE}\{{{_SPACE}{members}{_SPACE}\}}{_SPACE}$"


def _literal(key: str) -> str:
    written = json.dumps(key, ensure_ascii=False)[1:-1]
    return "".join(mark if mark.isalnum() and mark.isascii() else f"\\x{{{ord(mark):x}}}" for mark in written)


def _usual(layouts: Sequence[Sequence[str]]) -> pl.Expr:
    line = pl.col("line")
    return pl.any_horizontal(False, *(line.str.contains(_pattern(layout, groups=False)) for layout in layouts))  # noqa: FBT003


def scan(files: Sequence[JsonFile]) -> pl.LazyFrame:
    """As `Format.scan`, over files of the same columns and layouts."""
    layouts, columns = files[0].layouts, files[0].columns
    lines = _lines([file.path for file in files]).with_row_index(INDEX)
    lines = numbered(lines, [file.raw for file in files], [file.rows or 0 for file in files])
    if any(file.unusual for file in files):
        lines = lines.with_columns(pl.when(_usual(layouts)).then(pl.col("line")))
    nothing = pl.lit(None, pl.String())
    written: dict[str, list[pl.Expr]] = {name: [] for name in columns}
    for number, layout in enumerate(layouts):
        lines = lines.with_columns(
            pl.col("line").str.extract_groups(_pattern(layout, groups=True)).alias(f"\0{number}")
        )
        for place, key in enumerate(layout, 1):
            written[key].append(pl.col(f"\0{number}").struct.field(str(place)))
    suspect = pl.all_horizontal(True, *(pl.col(f"\0{n}").struct.field("1").is_null() for n in range(len(layouts))))  # noqa: FBT003
    values = lines.select(
        *(pl.coalesce(*found, nothing).alias(name) for name, found in written.items()),
        "_raw",
        "_row",
        _suspect=suspect,
    )
    return values.with_columns(_text(name) for name, found in written.items() if found)


def _text(column: str) -> pl.Expr:
    written = pl.col(column)
    is_string = written.str.starts_with('"')
    escaped = is_string & written.str.contains("\\", literal=True)
    plain = written.str.strip_prefix('"').str.strip_suffix('"')
    return (
        pl.when(written == "null")
        .then(None)
        .when(escaped)
        .then(pl.when(escaped).then(written).str.json_decode(pl.String()))
        .otherwise(plain)
        .alias(column)
    )


def careful(file: JsonFile, work: Path) -> Careful:
    """The usual lines as `scan` reads them, the others read by Python."""
    columns = file.columns
    schema = {**dict.fromkeys(columns, pl.String()), "_raw": pl.String(), "_row": pl.Int64()}
    unusual = _lines([file.path]).with_row_index(INDEX).filter(~_usual(file.layouts))
    with (
        RowWriter(schema, work, f"{file.raw.sha256}.unusual") as whole,
        BrokenWriter(file.raw.sha256, work) as broken,
    ):
        for batch in _batches(file.raw, unusual, file.unusual):
            for index, line in batch.select(INDEX, "line").iter_rows():
                try:
                    found = tokens(line)
                    values = [text_of(found[name]) if name in found else None for name in columns]
                except NotAnObjectError as error:
                    broken.broken(index + 1, line, f"row: {error}")
                else:
                    whole.add((*values, file.raw.sha256, index + 1), len(line))
    usual = scan([file]).filter(~pl.col("_suspect")).drop("_suspect")
    return Careful(pl.concat([usual, whole.frame()]), broken.frame())


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The records of a file with their line numbers (from 1)."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if text := line.rstrip(b"\r\n"):
                yield number, text.decode("utf-8", "backslashreplace")
