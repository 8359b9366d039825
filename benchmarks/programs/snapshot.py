"""A snapshot whose predecessor is in the lake: made, loaded, or both just read.

``snapshot.py make FOLDER ROWS``, then ``load FOLDER``, ``curate FOLDER`` (as events, of a dataset of its own) or
``read FOLDER``: the state and the file, by polars.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import polars as pl

from lakehouse import Lake

CHANGED = 100  # one row in so many
SCHEMA = """\
schema:
  features:
    id: {type: int}
    name: {type: string}
    size: {type: int, presence: optional}
    price: {type: float, domain: {min: 0}}
    made: {type: date}
    maker: {type: string, domain: [A, B, C]}
    comment: {type: string, presence: optional}
"""
DTYPES = {
    "id": pl.Int64(),
    "name": pl.String(),
    "size": pl.Int64(),
    "price": pl.Float64(),
    "made": pl.Date(),
    "maker": pl.String(),
    "comment": pl.String(),
}


def picture(rows: int, *, second: bool) -> pl.DataFrame:
    """All parts in any order; the second time one in a hundred has another price."""
    ids = pl.int_range(rows, dtype=pl.Int64, eager=True).shuffle(seed=int(second)).alias("id")
    dearer = int(second) * (pl.col("id") % CHANGED == 0).cast(pl.Float64)
    return ids.to_frame().select(
        "id",
        pl.format("part {}", "id").alias("name"),
        (pl.col("id") % 97).alias("size"),
        ((pl.col("id") % 9973) / 7 + dearer).alias("price"),
        (pl.date(2020, 1, 1) + pl.duration(days=pl.col("id") % 2000)).alias("made"),
        pl.when(pl.col("id") % 3 == 0).then(pl.lit("A")).otherwise(pl.lit("B")).alias("maker"),
        pl.format("what was said of it in row {}", pl.col("id") * 7919 % 1_000_003).alias("comment"),
    )


def make(folder: Path, rows: int) -> None:
    """A lake with the first picture taken in and the second landed."""
    (folder / "incoming").mkdir(parents=True)
    for name, text in (
        ("sources/parts", "type: files\npath: incoming/*.csv\nformat: csv\n"),
        ("sources/second", "type: files\npath: incoming/second.csv\nformat: csv\n"),
        ("datasets/bench/parts", "source: parts\nhistory: snapshots\nkeys: [id]\n" + SCHEMA),
        ("datasets/bench/facts", "source: second\n" + SCHEMA),
        ("lakehouse", "root: data\n"),
    ):
        file = folder / "configs" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    with Lake(folder / "configs") as lake:
        picture(rows, second=False).write_csv(folder / "incoming/first.csv")
        lake.land("parts")
        lake.curate("bench/parts")
        picture(rows, second=True).write_csv(folder / "incoming/second.csv")
        lake.land("parts")
        lake.land("second")


def load(folder: Path, dataset: str) -> None:
    """Take the second picture in."""
    with Lake(folder / "configs") as lake:
        done = lake.curate(dataset)
    rows = done.read
    if dataset == "bench/parts":
        assert (done.curated, done.unchanged, done.deleted) == (rows // CHANGED, rows - rows // CHANGED, 0), done


def read(folder: Path) -> None:
    """The state and the file, typed."""
    with Lake(folder / "configs") as lake:
        state = lake.read("bench/parts")
    new = pl.scan_csv(folder / "incoming/second.csv", schema=DTYPES, try_parse_dates=False).collect(engine="streaming")
    assert state.height == new.height


verb, where = sys.argv[1], Path(sys.argv[2])
started = time.perf_counter()
match verb:
    case "make":
        make(where, int(sys.argv[3]))
    case "read":
        read(where)
    case _:
        load(where, "bench/parts" if verb == "load" else "bench/facts")
print(json.dumps({"seconds": time.perf_counter() - started}))
