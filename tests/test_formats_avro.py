"""Avro beyond what the table of facts holds: unions, maps, enums, long decimals, records inside themselves, codecs."""

import datetime as dt
import decimal
import io
import sys
import uuid

import fastavro
import pytest

from lakehouse.errors import ConfigError, FormatError
from lakehouse.formats import AvroFormat, Raw

SCHEMA = {
    "type": "record",
    "name": "r",
    "fields": [
        {"name": "either", "type": ["null", "int", "string"]},
        {"name": "map", "type": {"type": "map", "values": "long"}},
        {"name": "long", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}},
        {"name": "enum", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "nanos", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "next", "type": ["null", "r"]},
    ],
}
ROW = {
    "either": 1,
    "map": {"k": 2},
    "long": decimal.Decimal("1" * 40 + ".25"),
    "enum": "B",
    "fixed": b"ab",
    "nanos": 1_700_000_000_000_000_000,
    "clock": dt.time(1, 2, 3),
    "id": uuid.UUID(int=5),
    "next": None,
}


def read(folder, data):
    path = folder / "facts.avro"
    path.write_bytes(data)
    file = AvroFormat().prepare(Raw("sha", "facts.avro", path), folder)
    return AvroFormat().scan([file]).collect().to_dicts()


def written(rows, schema=SCHEMA, **options):
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, rows, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "snappy", "zstandard", "lz4"])
def test_what_no_column_type_holds_is_text_and_nothing_is_lost(tmp_path, codec):
    first, second = read(tmp_path, written([ROW, {**ROW, "either": "x", "next": ROW}], codec=codec))
    assert (first["either"], second["either"]) == ("1", "x")
    assert first["map"] == [{"key": "k", "value": 2}]
    assert first["long"] == "1" * 40 + ".25"
    assert (first["enum"], first["fixed"], first["clock"]) == ("B", b"ab", dt.time(1, 2, 3))
    assert first["nanos"] == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert first["id"] == str(uuid.UUID(int=5))
    assert second["next"].startswith('{"either": 1, "map": {"k": 2}, "long": "1111')


def test_a_damaged_block_refuses_the_file(tmp_path):
    data = bytearray(written([ROW] * 50, sync_interval=100))
    data[-8] ^= 1  # in the last block's sync mark
    with pytest.raises(FormatError, match=r"facts\.avro: damaged Avro"):
        read(tmp_path, bytes(data))
    with pytest.raises(FormatError, match="not Avro"):
        read(tmp_path, b"id\n1\n")


def test_named_types_are_told_apart_by_their_namespaces(tmp_path):
    inner = {"type": "record", "name": "E", "namespace": "other", "fields": [{"name": "n", "type": "long"}]}
    inner["fields"] += [{"name": "own", "type": ["null", "E"]}, {"name": "outer", "type": "a.b.E"}]
    fields = {
        "enum": {"type": "enum", "name": "E", "symbols": ["A"]},
        "fixed": {"type": "fixed", "name": "F", "namespace": "c", "size": 2},
        "short": "E",
        "full": ["null", "c.F"],
        "inner": inner,
        "again": ["null", "other.E"],
    }
    schema = {"type": "record", "name": "r", "namespace": "a.b"}
    schema["fields"] = [{"name": name, "type": kind} for name, kind in fields.items()]
    deep = {"n": 2, "own": None, "outer": "A"}
    row = {"enum": "A", "fixed": b"ab", "short": "A", "full": b"cd", "inner": {**deep, "own": deep}, "again": deep}
    found = read(tmp_path, written([row], schema))[0]
    assert found.pop("inner") == {"n": 2, "own": '{"n": 2, "own": null, "outer": "A"}', "outer": "A"}
    assert {name: found[name] for name in fields if name != "inner"} == {n: v for n, v in row.items() if n != "inner"}


@pytest.mark.parametrize(
    ("base", "logical", "value"),
    [("long", "timestamp-micros", 2**62), ("long", "local-timestamp-millis", -(2**55)), ("int", "date", 2**30)],
)
def test_a_moment_outside_of_the_years_that_there_are_is_refused_by_its_name(tmp_path, base, logical, value):
    schema = {"type": "record", "name": "r", "fields": [{"name": "t", "type": {"type": base, "logicalType": logical}}]}
    with pytest.raises(FormatError, match=r"facts\.avro: a date or a timestamp lies outside"):
        read(tmp_path, written([{"t": value}], schema))


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(ConfigError, match=r"pip install 'lakehouse\[avro\]'"):
        read(tmp_path, b"Obj\x01")
