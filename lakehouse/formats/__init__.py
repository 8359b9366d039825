"""How raw bytes are read: one format a module, each a frozen pydantic model whose fields are its YAML.

A format never changes raw bytes and never types them: text formats give text columns, Parquet its
own types; the schema does the rest. Reading has two ways. `Format.scan` is the fast one: a single
streaming scan over many files, which may fail on, or be unsure of, a damaged file. `Format.careful`
reads one file at about half the speed and sets broken records apart, each with its number, its text
and what is wrong with it, so that no damaged record hides another.
"""

from __future__ import annotations

from lakehouse.formats.csv_format import CsvFormat, delimiter_hint
from lakehouse.formats.format import BROKEN, Careful, Count, Format, Located, Prepared, Raw
from lakehouse.formats.json_format import JsonFormat
from lakehouse.formats.ndjson_format import NdjsonFormat
from lakehouse.formats.parquet_format import ParquetFormat

__all__ = [
    "BROKEN",
    "FORMATS",
    "Careful",
    "Count",
    "CsvFormat",
    "Format",
    "JsonFormat",
    "Located",
    "NdjsonFormat",
    "ParquetFormat",
    "Prepared",
    "Raw",
    "delimiter_hint",
]

FORMATS: dict[str, type[Format]] = {
    "csv": CsvFormat,
    "ndjson": NdjsonFormat,
    "json": JsonFormat,
    "parquet": ParquetFormat,
}
"""The ``type`` of a format in YAML, and its class."""
