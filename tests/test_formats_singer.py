"""Singer messages as records: a stream is a dataset, whatever else stands in the file."""

import json

import polars as pl
import pytest

from lakehouse.errors import FormatError
from lakehouse.formats import FORMATS, Raw

SCHEMA = (
    '{"type": "SCHEMA", "stream": "users", "schema": {"properties": {"id": {}, "name": {}}}, "key_properties": ["id"]}'
)


def prepared(tmp_path, lines, stream="users"):
    path = tmp_path / "out.ndjson"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    reader = FORMATS["singer"](type="singer", stream=stream)
    raw = Raw("a" * 64, "out.ndjson", path)
    return reader, raw, reader.prepare(raw, work), work


def read(tmp_path, lines, stream="users"):
    reader, _, file, work = prepared(tmp_path, lines, stream)
    careful = reader.careful(file, work)
    return careful.frame.sort("_row").collect(), careful.broken.sort("_row").collect()


def record(stream="users", **values):
    return json.dumps({"type": "RECORD", "stream": stream, "record": values})


def test_columns_come_in_the_order_of_the_schema_and_values_as_they_were_written(tmp_path):
    lines = [SCHEMA, '{"type": "RECORD", "stream": "users", "record": {"more": 1.10, "name": "Ann\\u00e9", "id": 1E2}}']
    rows, broken = read(tmp_path, lines)
    assert rows.columns[:3] == ["id", "name", "more"]
    assert rows.row(0)[:3] == ("1E2", "Anné", "1.10")
    assert broken.is_empty()


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "RECORD", "stream": "users", "record": {"id": 1, "name": {"a": {"b": "}"}}}}',
        '{"type":"RECORD","stream":"users","record":{"id":1,"name":{"a":{"b":"}"}}},"time_extracted":"2026-01-01"}',
        '{"type": "RECORD", "stream": "users", "version": 7, "record": {"id": 1, "name": {"a": {"b": "}"}}}}',
        '{"type": "RECORD", "stream": "users", "record": {"id": 1, "name": {"a": {"b": "}"}}}, "more": {"id": 2}}',
        '{"record": {"id": 1, "name": {"a": {"b": "}"}}}, "stream": "users", "type": "RECORD"}',
        '{"stream":"\\u0075sers", "type":"RECORD", "record" : {"id": 1, "name": {"a": {"b": "}"}}}}\r',
    ],
)
def test_every_way_to_write_a_record_means_the_same(tmp_path, line):
    rows, broken = read(tmp_path, [SCHEMA, line])
    assert rows.select("id", "name").row(0) == ("1", '{"a": {"b": "}"}}') or rows["name"][0] == '{"a":{"b":"}"}}'
    assert (len(rows), len(broken)) == (1, 0)


def test_the_fast_scan_reads_what_the_careful_way_reads(tmp_path):
    lines = [SCHEMA, *(record(id=n, name=f"n{n}") for n in range(500)), record("other", id=1)]
    reader, _, file, work = prepared(tmp_path, lines)
    fast = reader.scan([file]).drop("_suspect").collect().sort("_row")
    assert fast.equals(reader.careful(file, work).frame.collect().sort("_row").select(fast.columns))
    assert fast["_row"].to_list() == list(range(1, 501))


def test_other_streams_and_messages_are_passed_over_and_junk_is_broken(tmp_path):
    lines = [
        "Starting sync",
        SCHEMA,
        record(id=1),
        record("orders", id=9),
        '{"type": "STATE", "value": {}}',
        '{"type": "ACTIVATE_VERSION", "stream": "users", "version": 1}',
        '{"type": "RECORD", "stream": "users", "record": {"id": 2',
        '{"type": "RECORD", "stream": "users", "record": [1]}',
        '{"level": "info"}',
        record(id=3),
        "",
        "\udcff\udcfe",
    ]
    rows, broken = read(tmp_path, lines)
    assert rows.select("_row", "id").rows() == [(2, "1"), (5, "3")]
    assert broken["_row"].to_list() == [1, 3, 4, 6]
    assert broken["_text"][0] == "Starting sync"
    reader, raw, file, work = prepared(tmp_path, lines)
    assert "1 lines are no Singer messages" in file.told
    assert file.keys == ("id",)
    assert reader.locate(raw, 5, work) == (10, record(id=3), "")
    assert reader.locate(raw, 4, work).line == 8


def test_a_file_of_several_streams_needs_one_to_be_named(tmp_path):
    lines = [SCHEMA, record(id=1), record("orders", id=9)]
    with pytest.raises(FormatError, match="2 streams: orders, users"):
        prepared(tmp_path, lines, stream=None)
    assert len(read(tmp_path, lines[:2], stream=None)[0]) == 1
    file = prepared(tmp_path, lines, stream="user")[2]
    assert file.columns == ()
    assert "no stream 'user'; it has orders, users" in file.told


def test_records_that_lie_in_files_of_the_tap_are_refused(tmp_path):
    with pytest.raises(FormatError, match="BATCH"):
        prepared(tmp_path, [SCHEMA, '{"type": "BATCH", "stream": "users", "manifest": ["file:///x"]}'])


def test_streams_are_datasets_and_other_keys_than_the_taps_are_told(project):
    project.configure("sources/flights", "type: push\nformat: singer")
    features = "schema: {features: {id: {type: int}, name: {type: string, presence: optional}}}"
    for stream, keys in (("users", "name"), ("orders", "id")):
        project.configure(
            f"datasets/x/{stream}", f"source: flights\nkeys: [{keys}]\nformat: {{stream: {stream}}}\n{features}"
        )
    lines = [SCHEMA, record(id=1, name="Ann"), record("orders", id=9), record("orders", id=8)]
    with project.lake() as lake:
        lake.land_bytes("flights", "out.ndjson", "\n".join(lines).encode())
        told = [note.message for note in lake.curate("x/users").notes]
        lake.curate("x/orders")
        assert lake.read("x/users")["name"].to_list() == ["Ann"]
        orders = lake.read("x/orders")
        assert orders["id"].sort().to_list() == [8, 9]
        eight = lake.scan("x/orders").filter(pl.col("id") == 8).collect().row(0, named=True)
        found = lake.trace("x/orders", eight)
    assert any("named by id, not by the keys name" in message for message in told)
    assert (found.row, found.line, found.text) == (2, 4, lines[3])
