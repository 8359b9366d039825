"""What a Parquet file says of its pages: their checksums, which no reader here looks at, and how much they become."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

__all__ = ["PageError", "check", "declared"]

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_VIEW = 16
"""Bytes of a text or of bytes in memory, however often it is repeated."""
_HEADER = 64 * 1024
_SIZE, _CRC = 3, 4
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_DEEPEST = 8


class PageError(ValueError):
    """A page is not what it was when it was written, or not even its header can be read."""


def declared(metadata: pq.FileMetaData) -> int:
    """The bytes that all values take in memory, by what the footer says."""
    size = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            width = _WIDTHS.get(column.physical_type, _VIEW)
            size += max(column.total_uncompressed_size, column.num_values * width)
    return size


def check(path: Path, metadata: pq.FileMetaData) -> None:
    """Hold every page against its checksum; files without any, as most writers make them, are not read.

    Raises:
        PageError: one differs.
    """
    held = False
    with path.open("rb") as stream:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for number in range(row_group.num_columns):
                column = row_group.column(number)
                at = column.data_page_offset
                if column.dictionary_page_offset:  # 0 and None both say that there is none
                    at = min(at, column.dictionary_page_offset)
                end = at + column.total_compressed_size
                while at < end:
                    stream.seek(at)
                    fields, length = _header(stream.read(_HEADER))
                    crc, size = fields.get(_CRC), fields.get(_SIZE, -1)
                    if crc is None and not held:  # nor has any other; what is damaged else the reader tells
                        return
                    if crc is None or size < 0:
                        raise PageError(f"the header of the page at byte {at:,} cannot be read")
                    held = True
                    stream.seek(at + length)
                    if zlib.crc32(stream.read(size)) != crc & 0xFFFFFFFF:
                        name = column.path_in_schema
                        raise PageError(f"the checksum of a page of column '{name}', at byte {at:,}, is another")
                    at += length + size


def _header(data: bytes) -> tuple[dict[int, int], int]:
    """The numbers of a page's header (Thrift's compact protocol), by field, and the bytes it has; none if damaged."""
    reader = _Compact(data)
    try:
        return reader.struct(), reader.at
    except (IndexError, PageError):
        return {}, 0


class _Compact:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def number(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int = 0) -> dict[int, int]:
        """The integer fields of a struct; what else it holds is passed over."""
        found: dict[int, int] = {}
        field = 0
        while (byte := self.data[self.at]) != _STOP:
            self.at += 1
            kind = byte & 0x0F
            field = field + (byte >> 4) if byte >> 4 else self.number()
            if _BYTE < kind < _DOUBLE:
                found[field] = self.number()
            elif kind not in (_TRUE, _FALSE):  # these are their own value
                self.skip(kind, depth)
        self.at += 1
        return found

    def skip(self, kind: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise PageError("a page's header cannot be read")
        if kind == _STRUCT:
            self.struct(depth + 1)
        elif kind == _BINARY:
            length = self.varint()
            self.at += length
        elif _BYTE < kind < _DOUBLE:
            self.varint()
        elif kind in (_TRUE, _FALSE, _BYTE):
            self.at += 1
        elif kind == _DOUBLE:
            self.at += 8
        else:  # lists, sets and maps stand in no page's header
            raise PageError("a page's header cannot be read")
