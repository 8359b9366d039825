"""One table of facts, and the bytes that say it in every format: however it came, it must come out the same."""

from __future__ import annotations

import datetime as dt
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import xlsxwriter

__all__ = ["FACTS", "FORMATS", "SCHEMA", "texts"]

SCHEMA = """
    schema:
      features:
        id: {type: int}
        name: {type: string, presence: optional}
        amount: {type: decimal, precision: 30, scale: 6, presence: optional}
        ratio: {type: float, presence: optional}
        born: {type: date, presence: optional}
        at: {type: datetime, timezone: UTC, presence: optional}
        ok: {type: bool, presence: optional}
        big: {type: int, presence: optional}
"""
_TYPES = {
    "id": pl.Int64(),
    "name": pl.String(),
    "amount": pl.Decimal(30, 6),
    "ratio": pl.Float64(),
    "born": pl.Date(),
    "at": pl.Datetime("us", "UTC"),
    "ok": pl.Boolean(),
    "big": pl.Int64(),
}


def _moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc]


_ROWS: list[tuple[Any, ...]] = [
    (1, "plain", "1.5", 0.1, dt.date(2013, 1, 31), _moment(2013, 1, 31, 23, 59, 59, 999999), True, 2**63 - 1),
    (2, 'quo"ted, and; more', "-0.000001", -1e-300, dt.date(1900, 3, 1), _moment(1969, 12, 31), False, -(2**63)),
    (3, "日本 Mjøsa 🐟", "123456789012345678901234.567891", 1e300, dt.date(2100, 2, 28), _moment(2100, 1, 1), True, 0),
    (4, None, None, None, None, None, None, None),
    (5, "NULL", "100", 2.0, dt.date(2000, 2, 29), _moment(2024, 3, 31, 1, 30), False, -1),
    (6, "\\N", "0", 0.30000000000000004, dt.date(1970, 1, 1), _moment(1970, 1, 1, 0, 0, 0, 1), True, 9007199254740993),
]
FACTS = pl.DataFrame(
    [(i, name, None if a is None else Decimal(a), *rest) for i, name, a, *rest in _ROWS], schema=_TYPES, orient="row"
)
"""Awkward values of every type, and a row in which all is missing; sorted by id."""


def texts() -> list[dict[str, str | None]]:
    """The facts as the texts that files hold."""

    def written(value: Any) -> str | None:
        match value:
            case None:
                return None
            case bool():
                return "true" if value else "false"
            case dt.datetime():
                return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            case float():
                return repr(value)
            case _:
                return str(value)

    names = FACTS.columns
    return [{name: written(value) for name, value in zip(names, row, strict=True)} for row in FACTS.rows()]


def _delimited(delimiter: str, null: str, quote: Callable[[str], str]) -> bytes:
    lines = [delimiter.join(FACTS.columns)]
    lines += [delimiter.join(null if value is None else quote(value) for value in row.values()) for row in texts()]
    return ("\n".join(lines) + "\n").encode()


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _fixed() -> bytes:
    return "".join("".join((v or "").ljust(40) for v in row.values()) + "\n" for row in texts()).encode()


def _json(value: dict[str, str | None]) -> str:
    """An object whose numbers are numbers, as they are written."""
    bare = {"id", "amount", "ratio", "ok", "big"}
    members = (f'"{k}": {v if k in bare and v is not None else json.dumps(v)}' for k, v in value.items())
    return "{" + ", ".join(members) + "}"


def _arrow() -> pa.Table:
    return FACTS.to_arrow(compat_level=pl.CompatLevel.oldest())


def _through(write: Callable[[Any, Any], object], table: Any) -> bytes:
    file = io.BytesIO()
    write(table, file)
    return file.getvalue()


def _avro() -> bytes:
    logical = {
        "amount": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 6},
        "born": {"type": "int", "logicalType": "date"},
        "at": {"type": "long", "logicalType": "timestamp-micros"},
    }
    plain = {"id": "long", "name": "string", "ratio": "double", "ok": "boolean", "big": "long"}
    fields = [{"name": n, "type": ["null", logical.get(n) or plain[n]], "default": None} for n in FACTS.columns]
    schema = fastavro.parse_schema({"type": "record", "name": "fact", "fields": fields})
    return _through(lambda rows, file: fastavro.writer(file, schema, rows), FACTS.to_dicts())


def _excel() -> bytes:
    """Numbers, booleans and dates as cells of their kind where a cell can hold them; the rest as text."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    sheet, day = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, FACTS.columns)
    for number, (row, said) in enumerate(zip(FACTS.to_dicts(), texts(), strict=True), 1):
        for column, (name, value) in enumerate(row.items()):
            if value is None:
                continue
            if name == "born" and value.year > 1900:
                sheet.write_datetime(number, column, dt.datetime.combine(value, dt.time()), day)
            elif name == "id" or (name == "ratio" and float(f"{value:.16G}") == value):  # what this writer keeps of it
                sheet.write_number(number, column, value)
            elif name == "ok":
                sheet.write_boolean(number, column, value)
            else:
                sheet.write_string(number, column, said[name])
    book.close()
    return file.getvalue()


def _xml() -> bytes:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;")

    rows = (
        "<fact>" + "".join(f"<{k}>{escaped(v)}</{k}>" for k, v in row.items() if v is not None) + "</fact>"
        for row in texts()
    )
    return f"<facts>{''.join(rows)}</facts>".encode()


def _toml() -> bytes:
    def line(name: str, value: str) -> str:
        return f"{name} = {value if name in ('id', 'ok', 'big') else json.dumps(value, ensure_ascii=False)}"

    return "\n".join(
        "[[fact]]\n" + "\n".join(line(k, v) for k, v in row.items() if v is not None) for row in texts()
    ).encode()


def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.db"
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE facts (id INTEGER, name, amount TEXT, ratio REAL, born, at, ok, big INTEGER)")
        for row, said in zip(FACTS.to_dicts(), texts(), strict=True):
            values = [row[name] if name in ("id", "ratio", "big") else said[name] for name in FACTS.columns]
            database.execute("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        database.commit()
        database.close()
        return path.read_bytes()


def _singer() -> bytes:
    properties = {name: {} for name in FACTS.columns}
    schema = {"type": "SCHEMA", "stream": "facts", "schema": {"properties": properties}, "key_properties": ["id"]}
    records = [f'{{"type": "RECORD", "stream": "facts", "record": {_json(row)}}}' for row in texts()]
    return "\n".join([json.dumps(schema), *records, '{"type": "STATE", "value": {}}', ""]).encode()


def _copy(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


_COLUMNS = ", ".join(f"{name}: 40" for name in FACTS.columns)
_LOG = " ".join(rf"{name}=\[(?P<{name}>[^\]]*)\]" for name in FACTS.columns)
_LINES = [" ".join(f"{k}=[{'' if v is None else v}]" for k, v in row.items()) for row in texts()]

FORMATS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "csv": ("csv", "facts.csv", lambda: _delimited(",", "", _quoted)),
    "copy": ("copy", "facts.copy", lambda: _delimited("\t", "\\N", _copy)),
    "fixed": (f"{{type: fixed, columns: {{{_COLUMNS}}}}}", "facts.txt", _fixed),
    "log": (f"{{type: log, pattern: '{_LOG}', null_values: ['']}}", "facts.log", lambda: "\n".join(_LINES).encode()),
    "ndjson": ("ndjson", "facts.ndjson", lambda: "".join(_json(row) + "\n" for row in texts()).encode()),
    "json": ("json", "facts.json", f"[{', '.join(map(_json, texts()))}]".encode),
    "parquet": ("parquet", "facts.parquet", lambda: _through(pq.write_table, _arrow())),
    "arrow": ("arrow", "facts.arrow", lambda: _through(pa.feather.write_feather, _arrow())),
    "orc": ("orc", "facts.orc", lambda: _through(pa.orc.write_table, _arrow())),
    "avro": ("avro", "facts.avro", _avro),
    "excel": ("excel", "facts.xlsx", _excel),
    "xml": ("{type: xml, row: facts/fact}", "facts.xml", _xml),
    "yaml": ("yaml", "facts.yaml", lambda: json.dumps(texts(), ensure_ascii=False).encode()),
    "toml": ("{type: toml, records: fact}", "facts.toml", _toml),
    "sqlite": ("{type: sqlite, table: facts}", "facts.db", _sqlite),
    "singer": ("{type: singer, stream: facts}", "facts.singer", _singer),
}
"""Of each format its YAML, a file's name, and the file that says the facts."""
