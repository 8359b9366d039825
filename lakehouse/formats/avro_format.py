"""Avro: its own types are kept, logical ones too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lakehouse.errors import ConfigError
from lakehouse.formats.arrow_types import UnknownTypeError, empty, frames
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import refuse

__all__ = ["AvroFormat"]

_REPLACE = "replace the file; it is read again when it changes"
_ROWS = 20_000
_PLAIN = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "fixed": pa.binary(),
    "enum": pa.string(),
}
_LOGICAL = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
    "uuid": pa.string(),
}
_TEXT = pa.large_string()
"""What stands for a union of several types, and for a record inside itself: text, JSON for what is nested."""


class AvroFormat(Converted):
    """Avro container files, a block at a time: the largest block must fit into memory."""

    type: Literal["avro"] = "avro"

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Copy the blocks."""
        try:
            import fastavro  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigError("the format 'avro' needs the extra: pip install 'lakehouse[avro]'") from error
        with path.open("rb") as stream:
            if stream.read(4) != b"Obj\x01":
                raise refuse(raw, "not Avro (it does not begin with Obj)", "correct its source or its format")
            stream.seek(0)
            try:
                reader = fastavro.block_reader(stream)
                schema = _columns(reader.writer_schema)
                into.header(empty(schema).schema)
                for block in reader:
                    rows: list[Any] = []
                    for record in block:
                        rows.append(record)
                        if len(rows) == _ROWS:
                            _take(rows, schema, into)
                            rows = []
                    _take(rows, schema, into)
            except UnknownTypeError as error:
                raise refuse(raw, str(error), "write it as another type") from error
            except Exception as error:  # a damaged file can make the reader raise anything
                raise _damaged(raw, error) from error


def _damaged(raw: Raw, error: Exception) -> Exception:
    what = (str(error).splitlines() or [""])[0][:200]
    if "need to install" in what:
        return ConfigError(f"{raw.name}: {what}; pip install 'lakehouse[avro]'")
    if isinstance(error, OverflowError | ValueError) and what.startswith(("date value out of range", "year ")):
        beyond = "a date or a timestamp lies outside of the years 1 to 9999"
        return refuse(raw, beyond, "correct it, or write the column without its logical type")
    return refuse(raw, f"damaged Avro ({type(error).__name__}: {what})", _REPLACE)


def _columns(schema: Any) -> pa.Schema:
    if not isinstance(schema, dict) or schema.get("type") not in {"record", "error"} or not schema.get("fields"):
        raise UnknownTypeError("its values are no records with fields")
    names: dict[str, Any] = {}
    _name(schema, names)
    inside = (str(schema["name"]),)
    return pa.schema([(field["name"], _type(field["type"], names, inside)) for field in schema["fields"]])


def _name(schema: Any, names: dict[str, Any]) -> None:
    """Find all named types."""
    if isinstance(schema, list):
        for one in schema:
            _name(one, names)
    elif isinstance(schema, dict):
        if "name" in schema and schema.get("type") in {"record", "error", "enum", "fixed"}:
            names[str(schema["name"])] = schema
        for field in schema.get("fields", ()):
            _name(field["type"], names)
        for part in ("items", "values", "type"):
            if isinstance(schema.get(part), dict | list):
                _name(schema[part], names)


def _type(schema: Any, names: Mapping[str, Any], inside: tuple[str, ...]) -> pa.DataType:
    """The Arrow type of an Avro schema; ``inside`` are the records it lies in."""
    if isinstance(schema, list):
        kinds = [one for one in schema if one != "null"]
        return _type(kinds[0], names, inside) if len(kinds) == 1 else pa.null() if not kinds else _TEXT
    if isinstance(schema, str):
        return _type(names[schema], names, inside) if schema in names else _PLAIN[schema]
    kind, logical = schema["type"], schema.get("logicalType")
    if not isinstance(kind, str):
        return _type(kind, names, inside)
    if logical == "decimal":
        precision, scale = int(schema["precision"]), int(schema.get("scale", 0))
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if kind in {"record", "error"}:
        if str(schema["name"]) in inside:
            return _TEXT
        deeper = (*inside, str(schema["name"]))
        return pa.struct([(field["name"], _type(field["type"], names, deeper)) for field in schema["fields"]])
    if kind == "array":
        return pa.list_(_type(schema["items"], names, inside))
    if kind == "map":
        return pa.map_(pa.string(), _type(schema["values"], names, inside))
    return _type(kind, names, inside)


def _take(rows: list[Any], schema: pa.Schema, into: Conversion) -> None:
    if rows:
        columns = [pa.array([_fit(row[field.name], field.type) for row in rows], field.type) for field in schema]
        for frame in frames(pa.record_batch(columns, schema=schema)):
            into.frame(frame)


def _fit(value: Any, kind: pa.DataType) -> Any:
    """A value as pyarrow takes it: texts of unions, pairs of maps, UUIDs."""
    if value is None:
        return None
    if pa.types.is_large_string(kind):
        if isinstance(value, str):
            return value
        return json.dumps(value, default=_shown, ensure_ascii=False)
    if pa.types.is_string(kind):
        return str(value)
    if pa.types.is_map(kind):
        return [(key, _fit(inner, kind.item_type)) for key, inner in value.items()]
    if pa.types.is_list(kind):
        return [_fit(inner, kind.value_type) for inner in value]
    if pa.types.is_struct(kind):
        return {field.name: _fit(value[field.name], field.type) for field in kind}
    return value


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
