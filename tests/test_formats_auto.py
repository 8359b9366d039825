"""`format: auto`: each file is read as what its own name and bytes say it is, and what was guessed is told."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import polars as pl
import pyarrow as pa
import pytest

from lakehouse.errors import FormatError
from lakehouse.formats import AutoFormat, Raw

DATASET = """
    source: flights
    schema: {features: {id: {type: int}, name: {type: string, presence: optional}}}
"""
SINGER = """{"type": "SCHEMA", "stream": "s", "key_properties": [], "schema": {"properties": {"id": {}}}}
{"type": "RECORD", "stream": "s", "record": {"id": 1}}
{"type": "STATE", "value": {}}
"""


@pytest.fixture
def mixed(project):
    """A source whose files are whatever they are."""
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: auto, null_values: [NA]}")
    project.configure(f"datasets/{project.flights}", DATASET)
    return project


def parquet(rows):
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


def deliver_all(project):
    project.deliver("comma.csv", "id,name\n1,Ada\n2,NA\n")
    project.deliver("titled.csv", "Report\nof May\n\nid;name\n3;Blåbær à 5 €\n11;Niklaus\n".encode("cp1252"))
    project.deliver("lines.ndjson.gz", gzip.compress(b'{"id": 4, "name": "Edsger"}\n{"id": 5}\n'))
    project.deliver("answer.json", json.dumps({"count": 1, "items": [{"id": 6, "name": "Barbara"}]}))
    project.deliver("typed.parquet", parquet({"id": [7], "name": ["Donald"]}))
    project.deliver("packed.csv.bz2", bz2.compress(b"id,name\n8,Tony\n"))
    project.deliver("packed.tsv.xz", lzma.compress(b"id\tname\n9\tFrances\n"))
    project.deliver("without-ending", '{"id": 10, "name": "Leslie"}\n{"id": "ten", "name": "Leslie"}\n')


def test_files_of_many_formats_in_one_batch_become_one_table_and_each_guess_is_told(mixed):
    deliver_all(mixed)
    run = mixed.run()
    with mixed.lake() as lake:
        rows = lake.read(mixed.flights).sort("id")
        assert rows["id"].to_list() == list(range(1, 12))
        assert rows["name"].to_list()[1:5] == [None, "Blåbær à 5 €", "Edsger", None]
        for row in rows.to_dicts():
            assert str(row["id"]) in lake.trace(mixed.flights, row).text
        (bad,) = lake.quarantine(mixed.flights).collect().to_dicts()
        assert bad["_row"] == 2
        assert lake.rebuild(mixed.flights).same
    told = {note.where: note.message for note in run.curated[0].notes if note.kind == "format"}
    assert told["comma.csv and 1 more"] == "guessed csv: delimiter ','"
    assert told["titled.csv"] == "guessed csv: delimiter ';', encoding cp1252, 2 lines above the header"
    assert told["answer.json"] == "guessed json: records 'items'"
    assert told["typed.parquet"] == "guessed parquet"


def test_a_guess_is_told_once_for_all_the_files_it_is_made_of(mixed):
    for number in range(20):
        mixed.deliver(f"{number:02}.csv", f"id,name\n{number},x\n")
    told = [(note.where, note.message) for note in mixed.run().curated[0].notes if note.kind == "format"]
    assert told == [("00.csv and 19 more", "guessed csv: delimiter ','")]


def test_an_empty_file_is_empty_and_what_is_in_no_format_is_refused_by_name(mixed):
    mixed.deliver("nothing.csv", "")
    mixed.deliver("noise.bin", bytes(range(256)) * 8)
    mixed.deliver("page.csv", "<!DOCTYPE html><html><body>503</body></html>")
    mixed.deliver("good.csv", "id,name\n1,Ada\n")
    run = mixed.run()
    told = {note.where: note.message for note in run.curated[0].notes if note.kind in ("refused", "empty")}
    assert "its format cannot be guessed: it holds binary data" in told["noise.bin"]
    assert "csv, ndjson, json, parquet" in told["noise.bin"]
    assert "HTML page" in told["page.csv"]
    assert told["nothing.csv"] == "no rows"
    with mixed.lake() as lake:
        assert lake.read(mixed.flights)["id"].to_list() == [1]


def test_a_guess_is_of_the_file_alone_and_the_same_each_time(tmp_path):
    (tmp_path / "file").write_text("a|b\n1|2\n")
    raw = Raw("0" * 64, "file", tmp_path / "file")
    guesses = set()
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        guesses.add(AutoFormat().prepare(raw, tmp_path / str(number)).told)
    assert guesses == {"guessed csv: delimiter '|'"}


def test_the_name_decides_where_the_bytes_could_be_several_things(tmp_path):
    (tmp_path / "x").write_text('{"id": 1}\n')
    read = {name: AutoFormat().prepare(Raw("1" * 64, name, tmp_path / "x"), tmp_path) for name in ("a.ndjson", "a")}
    assert {file.told for file in read.values()} == {"guessed ndjson"}
    (tmp_path / "y").write_text("[1,2]\n[3,4]\n")
    assert AutoFormat().prepare(Raw("2" * 64, "y.csv", tmp_path / "y"), tmp_path).told.startswith("guessed csv")
    (tmp_path / "z").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(FormatError, match=r"y\.bin: its format cannot be guessed: it is a damaged zip"):
        AutoFormat().prepare(Raw("3" * 64, "y.bin", tmp_path / "z"), tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.xml", "<?xml version='1.0'?><!-- x --><list><item><id>1</id></item><item/></list>", "xml: row 'list/item'"),
        ("a.xml", "<x:list><x:item><id>1</id></x:item></x:list>", "xml: row 'x:list/x:item'"),
        ("a.xml", "<list><head><a/><a/></head><item/><item><id>1</id></item></list>", "xml: row 'list/item'"),
        ("a", "<list><item><id>1</id></item></list>\n", "xml: row 'list/item'"),
        ("a.log", "<list> is no\nmarkup\n", "lines"),
        ("a.svg", "<svg xmlns='x'><g/></svg>", "binary"),
        ("a.csv", "sep=;\nid;name\n1;Ada\n", "csv: delimiter ';', 1 line above the header"),
        ("a.yaml", "- id: 1\n- id: 2\n", "yaml"),
        ("a.yml", "items:\n  - id: 1\n  - id: 2\n", "yaml: records 'items'"),
        ("a.toml", "[[items]]\nid = 1\n\n[[items]]\nid = 2\n", "toml: records 'items'"),
        ("a.log", '::1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5\n', "log: pattern 'common'"),
        ("a.log", "something happened\nand again\n", "lines"),
        ("a", "words of a text\nmore of them\n", "lines"),
        ("a.copy", "id\tname\n1\t\\N\n", "copy"),
        ("a.pdf", "%PDF-1.4 ...", "binary"),
        ("a", SINGER, "singer: stream 's'"),
    ],
)  # fmt: skip
def test_what_a_file_is_stands_in_its_first_lines(tmp_path, name, text, told):
    (tmp_path / "x").write_text(text)
    file = AutoFormat().prepare(Raw("4" * 64, name, tmp_path / "x"), tmp_path)
    assert file.told.split("; ")[0] == f"guessed {told}"
    assert file.columns


def zipped(place, value):
    """A zip file of one member, with one byte of both its headers changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
    data = bytearray(buffer.getvalue())
    data[place] = data[data.find(b"PK\1\2") + place + 2] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped(6, 1), "encrypted"),
        (zipped(8, 9), "compression method"),
        (b"\0\1\2\3" * 100, "binary data"),
        (b"\x1f\x9d\x90\x01\x02,\xfe\n" * 9, "binary data"),
    ],
)
def test_what_no_format_reads_is_refused_by_name(tmp_path, data, message):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(FormatError, match=rf"a\.dat: its format cannot be guessed: .*{message}"):
        AutoFormat().prepare(Raw("5" * 64, "a.dat", tmp_path / "x"), tmp_path)


def test_an_arrow_stream_is_known_by_its_first_bytes(tmp_path):
    with pa.ipc.new_stream(tmp_path / "x", pa.schema([("id", pa.int64())])) as writer:
        writer.write_table(pa.table({"id": [1]}))
    assert AutoFormat().prepare(Raw("6" * 64, "a.dat", tmp_path / "x"), tmp_path).told == "guessed arrow"
