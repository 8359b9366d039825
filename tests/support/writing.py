"""Writes the same records as a file of any format, and says how a source reads such files."""

import io
import json
import sqlite3
from contextlib import closing
from xml.sax.saxutils import escape

import polars as pl
import pyarrow as pa
from pyarrow import orc

__all__ = ["TYPED", "WRITERS"]

TYPED = {"parquet", "arrow", "orc", "avro", "excel"}
"""Formats that hold numbers as numbers; of the others every value is text."""


def _frame(records):
    return pl.DataFrame(records)


def _delimited(records, mark, missing=""):
    lines = [records[0].keys(), *(record.values() for record in records)]
    return "".join(mark.join(missing if v is None else str(v) for v in line) + "\n" for line in lines)


def _parquet(records):
    buffer = io.BytesIO()
    _frame(records).write_parquet(buffer)
    return buffer.getvalue()


def _arrow(records):
    buffer = io.BytesIO()
    _frame(records).write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def _orc(records):
    buffer = io.BytesIO()
    orc.write_table(pa.Table.from_pylist(records), buffer)
    return buffer.getvalue()


def _avro(records):
    import fastavro  # an extra

    kinds = {int: "long", float: "double", str: "string"}
    fields = [{"name": name, "type": ["null", kinds[type(value)]]} for name, value in records[0].items()]
    buffer = io.BytesIO()
    fastavro.writer(buffer, {"type": "record", "name": "r", "fields": fields}, records)
    return buffer.getvalue()


def _excel(records):
    buffer = io.BytesIO()
    _frame(records).write_excel(buffer)
    return buffer.getvalue()


def _sqlite(records):
    with closing(sqlite3.connect(":memory:")) as base:
        names = ", ".join(f'"{name}"' for name in records[0])
        base.execute(f"CREATE TABLE rows ({names})")
        marks = ", ".join("?" * len(records[0]))
        base.executemany(f"INSERT INTO rows VALUES ({marks})", [tuple(record.values()) for record in records])
        base.commit()
        return base.serialize()


def _xml(records):
    rows = "".join(
        "<row>" + "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in record.items()) + "</row>\n"
        for record in records
    )
    return f"<?xml version='1.0'?>\n<rows>\n{rows}</rows>\n"


def _toml(records):
    return "".join(
        "[[rows]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in record.items())
        for record in records
    )


def _singer(records):
    schema = {"properties": {name: {"type": ["null", "string"]} for name in records[0]}}
    messages = [
        {"type": "SCHEMA", "stream": "rows", "schema": schema, "key_properties": []},
        *({"type": "RECORD", "stream": "rows", "record": record} for record in records),
        {"type": "STATE", "value": {}},
    ]
    return "".join(json.dumps(message) + "\n" for message in messages)


WRITERS = {
    "csv": ("{type: csv}", lambda records: _delimited(records, ",")),
    "copy": ("{type: copy}", lambda records: _delimited(records, "\t", "\\N")),
    "ndjson": ("{type: ndjson}", lambda records: "".join(json.dumps(record) + "\n" for record in records)),
    "json": ("{type: json, records: rows}", lambda records: json.dumps({"rows": records})),
    "yaml": ("{type: yaml}", lambda records: "".join(f"- {json.dumps(record)}\n" for record in records)),
    "toml": ("{type: toml, records: rows}", _toml),
    "xml": ("{type: xml, row: rows/row}", _xml),
    "parquet": ("{type: parquet}", _parquet),
    "arrow": ("{type: arrow}", _arrow),
    "orc": ("{type: orc}", _orc),
    "avro": ("{type: avro}", _avro),
    "excel": ("{type: excel}", _excel),
    "sqlite": ("{type: sqlite, table: rows}", _sqlite),
    "singer": ("{type: singer, stream: rows}", _singer),
    "auto": ("{type: auto}", lambda records: _delimited(records, ";")),
}
"""Of each format its YAML, and what makes a file of records: dicts of int, float and str, all with the same keys."""
