"""Singer messages as records: a stream is a dataset, whatever else stands in the file."""

import json

import polars as pl
import pytest

from lakehouse.errors import FormatError
from lakehouse.formats import FORMATS, Raw

SCHEMA = (
    '{"type": "SCHEMA", "stream": "users", "schema": {"properties": {"id": {}, "name": {}}}, "key_properties": ["id"]}'
)


def prepared(tmp_path, lines, stream="users", **options):
    path = tmp_path / "out.ndjson"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    reader = FORMATS["singer"](type="singer", stream=stream, **options)
    raw = Raw("a" * 64, "out.ndjson", path)
    return reader, raw, reader.prepare(raw, work), work


def read(tmp_path, lines, stream="users", **options):
    reader, _, file, work = prepared(tmp_path, lines, stream, **options)
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


def schema(**properties):
    return json.dumps({"type": "SCHEMA", "stream": "users", "schema": {"properties": properties}})


def test_flatten_makes_columns_of_the_keys_of_objects_and_of_their_schemas(tmp_path):
    address = {"type": ["object", "null"], "properties": {"city": {}, "at": {"properties": {"x": {}}}}}
    lines = [
        schema(id={}, address=address, tags={}),
        record(id=1, address={"city": "Ur", "at": {"x": 1}}, more={"a": 2}),
    ]
    rows, _ = read(tmp_path, lines, flatten=1, separator="_")
    names = ["id", "address_city", "address_at", "tags", "more_a"]
    assert rows.select(names).row(0) == ("1", "Ur", '{"x": 1}', None, "2")
    assert rows.columns[: len(names)] == names
    assert read(tmp_path, lines, flatten=2)[0].columns[:3] == ["id", "address.city", "address.at.x"]


@pytest.mark.parametrize(
    ("name", "said"), [("", "has no name"), ("_row", "keeps for its own"), ("^a.*$", "pattern of names")]
)
def test_a_property_that_can_name_no_column_is_refused_as_a_key_is(tmp_path, name, said):
    with pytest.raises(FormatError, match=said):
        prepared(tmp_path, [schema(id={}, **{name: {}}), record(id=1)])


def test_what_else_a_schema_holds_stops_nothing(tmp_path):
    huge = (
        '{"type":"SCHEMA","stream":"users","schema":{"properties":{"id":{"maximum":1' + "0" * 5000 + '},"\\ud800":{}}}}'
    )
    assert read(tmp_path, [huge, record(id=1)])[0].columns[:1] == ["id"]


def test_junk_beside_a_stream_without_records_is_broken_and_no_error(tmp_path):
    rows, broken = read(tmp_path, ["Starting sync", SCHEMA, record("orders", id=9)])
    assert (len(rows), broken["_text"].to_list()) == (0, ["Starting sync"])
    file = prepared(tmp_path, ["Starting sync", SCHEMA, record(id=1)], stream="orders")[2]
    assert (file.rows, file.columns) == (0, ())


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
