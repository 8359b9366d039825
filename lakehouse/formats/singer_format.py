"""Singer messages: the records of one stream, each key a column of text.

A stream's records are copied to a work file of JSON lines, values exactly as they were written, and read from there
like any JSON lines. The usual shape of a message is told by one regular expression in polars; any other by Python.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from lakehouse.errors import NotFoundError
from lakehouse.formats.broken import RowWriter
from lakehouse.formats.format import Located, Prepared, Raw
from lakehouse.formats.json_lines import NotAnObjectError, flattened, lines_of, prepare, shown, text_of, tokens
from lakehouse.formats.ndjson_format import NdjsonFormat
from lakehouse.formats.unpacking import refuse

__all__ = ["SingerFormat"]

_HEAD = r'^\{"type": ?"RECORD", ?"stream": ?"([^"\\]*)", ?(?:"version": ?[0-9]+, ?)?"record": ?'
_TAIL = r'(?:, ?"version": ?[0-9]+)?(?:, ?"time_extracted": ?"[^"\\]*")?\}\r?$'
_FLAT = r'[^{}"]|"(?:[^"\\]|\\.)*"'
_DEEP = rf"\{{(?:{_FLAT})*\}}"
for _ in range(2):
    _DEEP = rf"\{{(?:{_FLAT}|{_DEEP})*\}}"
_USUAL = f"{_HEAD}{_DEEP}{_TAIL}"
"""A RECORD message as taps write it, braces matched three deep, so that what follows the record is none of it."""
_RECORD = rf"{_HEAD}(\{{.*\}}){_TAIL}"
"""The same with the record, for lines known to be right: the small expression runs much faster with groups."""
_INDEX = "\0index"
_FETCH = 20_000  # lines of another shape that are held at once


@dataclass(slots=True)
class _Found:
    """What a file's messages say.

    Attributes:
        levels: how deep the keys of objects are columns, as `NdjsonFormat.flatten`.
        separator: between such keys.
    """

    levels: int = 0
    separator: str = "."
    records: Counter[str] = field(default_factory=Counter)
    columns: dict[str, dict[str, None]] = field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    batches: set[str] = field(default_factory=set)
    others: int = 0

    @property
    def streams(self) -> list[str]:
        return sorted({*self.records, *self.columns, *self.batches})


class SingerFormat(NdjsonFormat):
    """The output of a Singer tap: the RECORD messages of one stream.

    Columns are those of the stream's SCHEMA messages, in their order, and whatever else its records hold. A line that
    is no JSON object is a broken record; messages of other types and streams are passed over.

    Attributes:
        stream: the stream; needed where a file holds several.
    """

    type: Literal["singer"] = "singer"  # type: ignore[assignment]  # another kind's name
    stream: str | None = None

    def prepare(self, raw: Raw, work: Path) -> Prepared:
        """Copy the stream's records, and find all their keys."""
        path = self._lines(raw, work)
        try:
            return self._prepared(raw, path, work)
        except pl.exceptions.ComputeError:
            # Undecodable bytes stop polars; as \\xNN, which is no JSON either, they spoil their own line only.
            return self._prepared(raw, shown(path, work / f"{raw.sha256}.lines"), work)

    def _prepared(self, raw: Raw, path: Path, work: Path) -> Prepared:
        lines = _lines(path)
        found = _Found(self.flatten, self.separator)
        usual = pl.col("line").str.contains(_USUAL)
        heads = lines.filter(usual).select(pl.col("line").str.extract(_HEAD, 1).alias("stream"))
        found.records.update(dict(heads.group_by("stream").len().collect(engine="streaming").iter_rows()))
        with RowWriter({_INDEX: pl.UInt32(), "stream": pl.String(), "text": pl.String()}, work, _part(raw)) as odd:
            for batch in lines.filter(~usual).collect_batches(chunk_size=_FETCH, engine="streaming"):
                for index, line in batch.select(_INDEX, "line").iter_rows():
                    if (record := _read(line, found)) is not None:
                        odd.add((index, *record), len(line))
        stream = self._chosen(raw, found)
        records = work / f"{raw.sha256}.records"
        mine = pl.col("line").str.extract(_HEAD, 1) == pl.lit(stream, pl.String())
        texts = lines.select(_INDEX, pl.when(usual & mine).then(pl.col("line").str.extract(_RECORD, 2)).alias("text"))
        # Broken lines may be of any stream; of one that the file tells nothing of, they have no record to stand beside.
        broken = pl.col("stream").is_null() & pl.lit(stream in found.streams or not found.streams)
        others = odd.frame().filter(broken | (pl.col("stream") == pl.lit(stream, pl.String())))
        texts = texts.join(
            others.select(pl.col(_INDEX).cast(pl.get_index_type()), other="text"),
            on=_INDEX, how="left", maintain_order="left",
        ).select(pl.coalesce("other", "text").alias("text"))  # fmt: skip
        texts.drop_nulls().sink_csv(records, include_header=False, quote_style="never", engine="streaming")
        if self.flatten:
            records = flattened(records, work / f"{raw.sha256}.flat", self.flatten, self.separator)
        file = prepare(raw, records, work, found.columns.get(stream, ()))
        told = self._told(stream, found)
        if not file.rows:
            return dataclasses.replace(file, columns=(), told=told)
        return dataclasses.replace(file, told=told, keys=found.keys.get(stream, ()))

    def _chosen(self, raw: Raw, found: _Found) -> str:
        streams = found.streams
        if self.stream is None and len(streams) > 1:
            what = f"it holds {len(streams)} streams: {', '.join(streams)}"
            raise refuse(raw, what, "say which the dataset is made of, format: {stream: …}")
        stream = self.stream if self.stream is not None else next(iter(streams), "")
        if stream in found.batches:
            what = f"the tap wrote records of stream '{stream}' to files of its own (BATCH messages)"
            raise refuse(raw, what, "take batch_config out of the tap's configuration and land it again")
        return stream

    def _told(self, stream: str, found: _Found) -> str:
        if found.streams and stream not in found.streams:
            return f"it holds no stream '{stream}'; it has {', '.join(found.streams)}"
        return f"{found.others:,} lines are no Singer messages: passed over" if found.others else ""

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Stream to the message."""
        path = self._lines(raw, work)
        stream, seen = self.stream, 0
        if stream is None:
            stream = self._chosen(raw, self._survey(path))
        for line, text in lines_of(path):
            record = _read(text.removeprefix("\ufeff"), _Found())
            if record is not None and record[0] in (None, stream):
                seen += 1
                if seen == row:
                    return Located(line, text)
        raise NotFoundError(f"{raw.name}: there is no record {row}; it has {seen}")

    def _survey(self, path: Path) -> _Found:
        found = _Found()
        for _, text in lines_of(path):
            _read(text, found)
        return found


def _part(raw: Raw) -> str:
    return f"{raw.sha256}.messages"


def _lines(path: Path) -> pl.LazyFrame:
    lines = pl.scan_lines(path, glob=False).select(pl.col("line").str.strip_prefix("\ufeff"))
    return lines.filter(pl.col("line") != "").with_row_index(_INDEX)


def _read(line: str, found: _Found) -> tuple[str | None, str] | None:
    """One line: what it says goes to ``found``; the stream and text of its record, or None where it has none.

    A broken line may be of any stream: it has None in that place, and its own text.
    """
    try:
        members = tokens(line)
        kind = text_of(members.get("type", "null"))
        stream = text_of(members.get("stream", "null"))
    except NotAnObjectError:
        return (None, line) if line.strip() else None
    if kind is None or not members["type"].startswith('"'):
        found.others += 1
    elif stream is None:
        return None
    elif kind == "RECORD":
        found.records[stream] += 1
        return stream, members.get("record", "null")
    elif kind == "SCHEMA":
        _schema(stream, members, found)
    elif kind == "BATCH":
        found.batches.add(stream)
    return None


def _schema(stream: str, members: dict[str, str], found: _Found) -> None:
    # Numbers stay text: one may have more digits than Python takes.
    schema = json.loads(members.get("schema", "null"), parse_int=str, parse_float=str)
    names = _names(schema, found.levels, found.separator)
    found.columns.setdefault(stream, {}).update(dict.fromkeys(filter(_is_text, names)))
    keys = json.loads(members.get("key_properties", "null"), parse_int=str, parse_float=str)
    found.keys[stream] = tuple(filter(_is_text, map(str, keys))) if isinstance(keys, list) else ()


def _names(schema: Any, levels: int, separator: str) -> list[str]:
    """The properties of a JSON schema; of those that are objects theirs, ``levels`` deep, in their place."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    names: list[str] = []
    for name, of_it in properties.items() if isinstance(properties, dict) else ():
        inner = _names(of_it, levels - 1, separator) if levels else []
        names += [f"{name}{separator}{one}" for one in inner] or [name]
    return names


def _is_text(name: str) -> bool:
    """Whether a name is no more than that: JSON can write halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
