"""Arrow, Avro, ORC and Parquet: one table of facts comes out equal; text formats hold the same nested facts."""

import datetime as dt
import decimal
import io
import json

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from lakehouse.errors import FormatError
from lakehouse.formats import FORMATS, Raw, unpacking
from lakehouse.formats.arrow_types import frames

FACTS = [
    {
        "id": 2**63 - 1,
        "name": "Ærø 😀",
        "ok": True,
        "ratio": 0.1,
        "price": decimal.Decimal("12345678901234567890.12"),
        "day": dt.date(1900, 2, 28),
        "at": dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.UTC),
        "bytes": b"\x00\xff",
        "tags": ["a", None, ""],
        "who": {"name": "n", "n": -1},
    },
    dict.fromkeys(("id", "name", "ok", "ratio", "price", "day", "at", "bytes", "tags", "who")),
]
ARROW = pa.schema(
    {
        "id": pa.int64(),
        "name": pa.string(),
        "ok": pa.bool_(),
        "ratio": pa.float64(),
        "price": pa.decimal128(30, 2),
        "day": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "bytes": pa.binary(),
        "tags": pa.list_(pa.string()),
        "who": pa.struct([("name", pa.string()), ("n", pa.int64())]),
    }
)
AVRO = {
    "type": "record",
    "name": "fact",
    "fields": [
        {"name": name, "type": ["null", kind]}
        for name, kind in {
            "id": "long",
            "name": "string",
            "ok": "boolean",
            "ratio": "double",
            "price": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
            "day": {"type": "int", "logicalType": "date"},
            "at": {"type": "long", "logicalType": "timestamp-micros"},
            "bytes": "bytes",
            "tags": {"type": "array", "items": ["null", "string"]},
            "who": {
                "type": "record",
                "name": "who",
                "fields": [{"name": "name", "type": "string"}, {"name": "n", "type": "long"}],
            },
        }.items()
    ],
}


def written(form, records=FACTS, schema=ARROW, avro=AVRO, **options):
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(records, schema=schema)
    if form == "parquet":
        pq.write_table(table, buffer, **options)
    elif form == "arrow":
        with pa.ipc.new_file(buffer, table.schema) as writer:
            writer.write_table(table)
    elif form == "stream":
        with pa.ipc.new_stream(buffer, table.schema) as writer:
            writer.write_table(table)
    elif form == "orc":
        orc.write_table(table, buffer)
    else:
        fastavro.writer(buffer, fastavro.parse_schema(avro), records, **options)
    return buffer.getvalue()


def raw_of(folder, data, name="facts"):
    path = folder / name
    path.write_bytes(data)
    return Raw("sha", name, path)


def read(form, folder, data, **options):
    reader = FORMATS["arrow" if form == "stream" else form](**options)
    file = reader.prepare(raw_of(folder, data), folder)
    return reader.scan([file]).collect(engine="streaming")


TYPED = ["parquet", "arrow", "stream", "avro", "orc"]


@pytest.mark.parametrize("form", TYPED)
def test_one_table_of_facts_comes_out_equal(tmp_path, form):
    frame = read(form, tmp_path, written(form))
    assert frame["_row"].to_list() == [1, 2]
    assert frame.select("at").dtypes[0].time_zone == "UTC"
    assert frame.drop("_raw", "_row", "_suspect").to_dicts() == FACTS


@pytest.mark.parametrize("form", TYPED)
def test_trace_finds_a_typed_row(tmp_path, form):
    reader = FORMATS["arrow" if form == "stream" else form]()
    found = reader.locate(raw_of(tmp_path, written(form)), 1, tmp_path)
    assert json.loads(found.text)["name"] == "Ærø 😀"


@pytest.mark.parametrize("form", TYPED)
def test_a_truncated_file_is_refused_by_name(tmp_path, form):
    data = written(form)
    for size in (5, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1):
        with pytest.raises(FormatError, match="facts: "):
            read(form, tmp_path, data[:size])


@pytest.mark.parametrize("form", ["stream", "arrow", "avro"])
def test_flipped_bits_are_refused_or_leave_the_number_of_rows(tmp_path, form):
    data = written(form)
    for place in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        try:
            frame = read(form, tmp_path, bytes(damaged))
        except FormatError:
            continue
        assert frame.height == 2


def test_what_other_writers_write_is_exact_or_refused(tmp_path):
    long = decimal.Decimal("1" * 50 + ".25")
    columns = {
        "dictionary": pa.array(["a", "a"]).dictionary_encode(),
        "long": pa.array([long, None], pa.decimal256(60, 2)),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "top": pa.array([2**64 - 1, None], pa.uint64()),
        "time": pa.array([dt.time(1, 2, 3), None], pa.time64("ns")),
        "far": pa.array([dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)], pa.timestamp("us")),  # noqa: DTZ001
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, use_deprecated_int96_timestamps=True, store_schema=False)
    row = read("parquet", tmp_path, buffer.getvalue()).to_dicts()[0]
    assert (row["dictionary"], row["long"], row["top"]) == ("a", str(long), 2**64 - 1)
    assert (row["time"], row["far"].year) == (dt.time(1, 2, 3), 1)
    assert row["map"] == [{"key": "k", "value": 1}]
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1]), pa.array(["a"])])
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, pa.schema({"u": union.type})) as writer:
            writer.write_batch(pa.record_batch({"u": union}))
        data = sink.getvalue().to_pybytes()
    with pytest.raises(FormatError, match="column 'u' has the type sparse_union"):
        read("arrow", tmp_path, data)


def test_feather_version_1_is_refused_by_name(tmp_path):
    with pytest.raises(FormatError, match="Feather version 1"):
        read("arrow", tmp_path, b"FEA1....FEA1")


def test_types_that_differ_between_parts_become_text_unchanged(tmp_path):
    from lakehouse.formats.converted import Conversion, _rows

    into = Conversion(raw_of(tmp_path, b"x"), tmp_path)
    for values in ([1, 2**53 + 1], [1.5], ["1.0"], [None], [True]):
        into.frame(pl.DataFrame({"a": values}))
    frame = _rows([into.finished()]).sort("_row").collect()
    assert frame["a"].to_list() == ["1", "9007199254740993", "1.5", "1.0", None, "true"]


NESTED = [{"id": "1", "legs": [{"to": "OSL", "km": "1.10"}]}, {"id": "2", "legs": [{"to": "BGO", "km": "2"}]}]


def nested(form):
    kind = pa.schema({"id": pa.string(), "legs": pa.list_(pa.struct([("to", pa.string()), ("km", pa.string())]))})
    leg = {"type": "record", "name": "leg", "fields": [{"name": n, "type": "string"} for n in ("to", "km")]}
    avro = {"type": "record", "name": "row", "fields": [
        {"name": "id", "type": "string"}, {"name": "legs", "type": {"type": "array", "items": leg}}]}  # fmt: skip
    if form in TYPED:
        return written(form, NESTED, kind, avro)
    rows = [json.dumps(row) for row in NESTED]
    return {
        "ndjson": "\n".join(rows),
        "json": "[" + ",".join(rows) + "]",
        "yaml": "\n".join(f"- {row}" for row in rows),
        "toml": "".join(
            f'[[rows]]\nid="{r["id"]}"\n[[rows.legs]]\nto="{r["legs"][0]["to"]}"\nkm="{r["legs"][0]["km"]}"\n'
            for r in NESTED
        ),
    }[form].encode()


@pytest.mark.parametrize("form", ["parquet", "arrow", "avro", "orc", "ndjson", "json", "yaml", "toml"])
def test_nested_facts_are_equal_whatever_the_format(project, form):
    records = ", records: rows" if form == "toml" else ""
    project.configure("sources/flights", f"type: files\npath: incoming/*\nformat: {{type: {form}{records}}}")
    project.configure(
        f"datasets/{project.flights}",
        """
        source: flights
        schema:
          features:
            id: {type: int}
            legs:
              type: list[struct]
              fields: {to: {type: string}, km: {type: float}}
        """,
    )
    project.deliver("rows", nested(form))
    project.run()
    with project.lake() as lake:
        rows = lake.read(project.flights).sort("id").select("id", "legs").to_dicts()
    assert rows == [
        {"id": 1, "legs": [{"to": "OSL", "km": 1.1}]},
        {"id": 2, "legs": [{"to": "BGO", "km": 2.0}]},
    ]


def test_a_page_that_is_not_as_it_was_written_is_refused(tmp_path):
    data = bytearray(written("parquet", write_page_checksum=True, compression="none", write_statistics=False))
    assert len(read("parquet", tmp_path, bytes(data))) == 2
    data[data.find("Ærø".encode())] ^= 1
    with pytest.raises(FormatError, match=r"damaged Parquet \(the checksum of a page of column 'name'"):
        read("parquet", tmp_path, bytes(data))


@pytest.mark.parametrize("form", ["parquet", "arrow", "orc", "avro"])
def test_what_becomes_hundreds_of_times_larger_in_memory_is_refused(tmp_path, monkeypatch, form):
    monkeypatch.setattr(unpacking, "FREE_OF_RATIO", 1 << 16)
    monkeypatch.setattr(unpacking, "MOST_TIMES_ELSE", 5)
    rows, schema = [{"id": None, "same": "x"}] * 100_000, pa.schema({"id": pa.int64(), "same": pa.string()})
    if form in ("arrow", "orc"):
        schema = pa.schema({"id": pa.null() if form == "arrow" else pa.int64()})
    fields = [{"name": "id", "type": ["null", "long"]}, {"name": "same", "type": "string"}]
    codec = {"codec": "deflate"} if form == "avro" else {}
    data = written(form, rows, schema, {"type": "record", "name": "r", "fields": fields}, **codec)
    with pytest.raises(FormatError, match=r"as bombs do.*max_unpacked"):
        read(form, tmp_path, data)
    assert len(read(form, tmp_path, data, max_unpacked="10MB")) == len(rows)


def test_a_long_text_that_a_dictionary_repeats_is_decoded_in_small_pieces():
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int8()), pa.array(["x" * (1 << 20)]))
    pieces = list(frames(pa.record_batch([column], names=["text"])))
    assert sum(map(len, pieces)) == 100
    assert max(piece.estimated_size() for piece in pieces) <= 33 << 20
