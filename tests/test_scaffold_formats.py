"""`init` over a folder of files in every format and packing: what it writes reads every one of them."""

import bz2
import lzma
import sqlite3
import zipfile

from writing import WRITERS

from lakehouse import Lake
from lakehouse.scaffold import init

ENDINGS = {
    "copy": "copy",
    "json": "json",
    "yaml": "yaml",
    "toml": "toml",
    "xml": "xml",
    "arrow": "arrow",
    "orc": "orc",
    "avro": "avro",
    "excel": "xlsx",
    "singer": "jsonl",
}
RECORDS = [{"id": number, "name": f"n{number}", "size": number + 0.5} for number in range(1, 4)]
ACCESS = '::1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5\n'


def test_a_folder_of_every_format_becomes_a_dataset_each_without_one_rejected_row(tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    for kind, ending in ENDINGS.items():
        made = WRITERS[kind][1](RECORDS)
        (given / f"{kind}_rows.{ending}").write_bytes(made if isinstance(made, bytes) else made.encode())
    lines = WRITERS["csv"][1](RECORDS).encode()
    (given / "bz.csv.bz2").write_bytes(bz2.compress(lines))
    (given / "xz.csv.xz").write_bytes(lzma.compress(lines))
    with zipfile.ZipFile(given / "one.csv.zip", "w") as archive:
        archive.writestr("inside.csv", lines)
    with zipfile.ZipFile(given / "several.zip", "w") as archive:
        archive.writestr("a.csv", lines)
        archive.writestr("b.csv", lines)
    (given / "access.log").write_text(ACCESS * 3)
    database = sqlite3.connect(given / "things.db")
    database.executescript(
        "CREATE TABLE things(id INTEGER, name TEXT); INSERT INTO things VALUES (1,'a'),(2,'b'),(3,'c')"
    )
    database.close()

    made = init(tmp_path / "project", given)

    assert [(note.where.rpartition("/")[2], note.message[:25]) for note in made.skipped] == [
        ("several.zip", "the ending '.zip' is not ")
    ]
    assert len(made.datasets) == len(ENDINGS) + 5
    with Lake(tmp_path / "project/configs") as lake:
        ran = lake.run("nightly")
        assert ran.ok
        assert {step.dataset: (step.curated, step.rejected) for step in ran.curated} == dict.fromkeys(
            made.datasets, (3, 0)
        )
        assert lake.read("given/xml_rows")["size"].to_list() == [1.5, 2.5, 3.5]
        assert lake.read("given/excel_rows")["id"].to_list() == [1, 2, 3]
