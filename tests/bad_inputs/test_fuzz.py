"""Whole files with a few bytes changed, cut, doubled or swapped by chance: no reader may crash, hang or lose a row.

``LAKEHOUSE_FUZZ`` says how many a format (60), ``LAKEHOUSE_FUZZ_SEED`` which.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import sqlite3
import tarfile
import tempfile
import zipfile
from pathlib import Path

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from bad_inputs import bad, judge_whole, take_in

COUNT = int(os.environ.get("LAKEHOUSE_FUZZ", "60"))
SEED = int(os.environ.get("LAKEHOUSE_FUZZ_SEED", "1"))


def things(first, count):
    """A table with all that makes readers stumble: quotes, line ends, missing values, other alphabets."""
    names = ["plain", 'quo"ted', "line\nend", None, "Mjøsa", "日本", "", "a,b;c\td", "\\N", "0"]
    return pl.DataFrame(
        {
            "id": range(first, first + count),
            "name": [names[i % len(names)] for i in range(count)],
            "amount": [None if i % 7 == 0 else i / 4 for i in range(count)],
        }
    )


def csv(first, count):
    return things(first, count).write_csv(quote_style="non_numeric").encode()


def ndjson(first, count):
    return things(first, count).write_ndjson().encode()


def binary(write):
    """A form of Arrow's or polars' that is written into a file object."""

    def made(first, count):
        file = io.BytesIO()
        write(things(first, count), file)
        return file.getvalue()

    return made


def avro(frame, file):
    fields = [{"name": name, "type": ["null", kind]} for name, kind in zip(frame.columns, KINDS, strict=True)]
    fastavro.writer(file, {"type": "record", "name": "thing", "fields": fields}, frame.to_dicts(), codec="deflate")


KINDS = ("long", "string", "double")


def copy_text(first, count):
    def field(value):
        text = "\\N" if value is None else str(value)
        return text if value is None else text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")

    lines = ["\t".join(map(field, row)) for row in things(first, count).rows()]
    return ("id\tname\tamount\n" + "".join(line + "\n" for line in lines)).encode()


def xml(first, count):
    rows = "".join(f"<row><id>{i}</id><name>n &amp; {i}</name></row>" for i in range(first, first + count))
    return f"<things>{rows}</things>".encode()


def sqlite(first, count):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "things.db"
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE things (id INTEGER, name TEXT, amount REAL)")
            database.executemany("INSERT INTO things VALUES (?, ?, ?)", things(first, count).rows())
        database.close()
        return path.read_bytes()


def zipped(first, count):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in halves(first, count):
            # With its own time of day every archive would have other bytes, and no accident could be repeated.
            archive.writestr(zipfile.ZipInfo(name, (2013, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def tarred(first, count):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in halves(first, count):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(file.getvalue(), mtime=0)


def halves(first, count):
    """The rows as two members of an archive."""
    half = count // 2
    return [("a.csv", csv(first, half)), ("b.csv", csv(first + half, count - half))]


FORMATS = {
    "csv": ("csv", csv),
    "csv in gzip": ("csv", lambda first, count: gzip.compress(csv(first, count), mtime=0)),
    "csv in bz2": ("csv", lambda first, count: bz2.compress(csv(first, count))),
    "csv in xz": ("csv", lambda first, count: lzma.compress(csv(first, count))),
    "csv in zip": ("{type: csv, unpack: zip}", zipped),
    "csv in tar": ("{type: csv, unpack: tar}", tarred),
    "ndjson": ("ndjson", ndjson),
    "json": ("json", lambda first, count: json.dumps(things(first, count).to_dicts()).encode()),
    "copy": ("copy", copy_text),
    "parquet": ("parquet", binary(lambda frame, file: pq.write_table(frame.to_arrow(), file))),
    "arrow": ("arrow", binary(lambda frame, file: pa.feather.write_feather(frame.to_arrow(), file))),
    "orc": ("orc", binary(lambda frame, file: pa.orc.write_table(frame.to_arrow().cast(ORC), file))),
    "avro": ("avro", binary(avro)),
    "excel": ("excel", binary(lambda frame, file: frame.write_excel(file))),
    "xml": ("{type: xml, row: things/row}", xml),
    "yaml": ("yaml", lambda first, count: json.dumps(things(first, count).to_dicts()).encode()),
    "sqlite": ("{type: sqlite, table: things}", sqlite),
}
ORC = pa.schema({"id": pa.int64(), "name": pa.string(), "amount": pa.float64()})


def mutant(chance, data):
    """The bytes with one to four accidents."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(changed) or 1), chance.randint(1, 40)
        match chance.randrange(6):
            case 0 if changed:
                changed[at] ^= 1 << chance.randrange(8)
            case 1 if changed:
                changed[at] = chance.choice(b'\0\n\r",\t\\<{[}]\xff\x80')
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at:at] = chance.randbytes(length)
            case 5:
                del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_changed_by_chance_is_read_set_apart_or_refused_and_no_row_is_lost(tmp_path, name):
    format_, make = FORMATS[name]
    chance = random.Random(f"{SEED} {name}")
    base = make(1, 40)
    mutants = {mutant(chance, base) for _ in range(COUNT)}
    cases = [bad(f"{number}", data) for number, data in enumerate(sorted(mutants))]

    outcome = take_in(tmp_path, format_, ("", make(901, 2)), cases)

    judge_whole(outcome, "")
