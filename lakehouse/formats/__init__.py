"""How raw bytes are read: one format a module, each a frozen pydantic model whose fields are its YAML.

A format never changes raw bytes and never types them: text formats give text columns, Parquet its
own types; the schema does the rest. Reading has two ways. `Format.scan` is the fast one: a single
streaming scan over many files, which may fail on, or be unsure of, a damaged file. `Format.careful`
reads one file at about half the speed and sets broken records apart, each with its number, its text
and what is wrong with it, so that no damaged record hides another.
"""

from __future__ import annotations

from lakehouse.formats.archive import Archive, reader
from lakehouse.formats.arrow_format import ArrowFormat
from lakehouse.formats.auto_format import AutoFormat
from lakehouse.formats.avro_format import AvroFormat
from lakehouse.formats.binary_format import BinaryFormat
from lakehouse.formats.copy_format import CopyFormat
from lakehouse.formats.csv_format import CsvFormat, delimiter_hint
from lakehouse.formats.excel_format import ExcelFormat
from lakehouse.formats.fixed_format import FixedFormat
from lakehouse.formats.format import BROKEN, Careful, Count, Format, Located, Prepared, Raw
from lakehouse.formats.json_format import JsonFormat
from lakehouse.formats.lines_format import LinesFormat
from lakehouse.formats.log_format import LogFormat
from lakehouse.formats.ndjson_format import NdjsonFormat
from lakehouse.formats.orc_format import OrcFormat
from lakehouse.formats.parquet_format import ParquetFormat
from lakehouse.formats.singer_format import SingerFormat
from lakehouse.formats.sqlite_format import SqliteFormat
from lakehouse.formats.toml_format import TomlFormat
from lakehouse.formats.unpacking import packing
from lakehouse.formats.xml_format import XmlFormat
from lakehouse.formats.yaml_format import YamlFormat

__all__ = [
    "BROKEN",
    "FORMATS",
    "Archive",
    "ArrowFormat",
    "AutoFormat",
    "AvroFormat",
    "BinaryFormat",
    "Careful",
    "CopyFormat",
    "Count",
    "CsvFormat",
    "ExcelFormat",
    "FixedFormat",
    "Format",
    "JsonFormat",
    "LinesFormat",
    "Located",
    "LogFormat",
    "NdjsonFormat",
    "OrcFormat",
    "ParquetFormat",
    "Prepared",
    "Raw",
    "SingerFormat",
    "SqliteFormat",
    "TomlFormat",
    "XmlFormat",
    "YamlFormat",
    "delimiter_hint",
    "packing",
    "reader",
]

FORMATS: dict[str, type[Format]] = {
    "copy": CopyFormat,
    "sqlite": SqliteFormat,
    "csv": CsvFormat,
    "fixed": FixedFormat,
    "log": LogFormat,
    "lines": LinesFormat,
    "ndjson": NdjsonFormat,
    "json": JsonFormat,
    "parquet": ParquetFormat,
    "excel": ExcelFormat,
    "avro": AvroFormat,
    "binary": BinaryFormat,
    "toml": TomlFormat,
    "yaml": YamlFormat,
    "xml": XmlFormat,
    "auto": AutoFormat,
    "orc": OrcFormat,
    "arrow": ArrowFormat,
    "singer": SingerFormat,
}
"""The ``type`` of a format in YAML, and its class."""
