"""The same by polars and sqlite3 alone: no types, record or ages: ``online_bare.py FOLDER publish|one-frame|…``."""

import json
import random
import sqlite3
import statistics
import sys
import time
from pathlib import Path

import polars as pl

project, mode = Path(sys.argv[1]), sys.argv[2]
names = ["k", "t", "a", "b", "c", "n", "w"]
chance = random.Random(7)  # noqa: S311  # chance, not secrecy
if mode == "publish":
    begun = time.process_time()
    rows = pl.scan_parquet(project / "incoming" / "*.parquet")
    last = rows.group_by("k").agg(pl.col("t").max())
    newest = rows.join(last, on=["k", "t"], how="semi").select(names).sort("k").collect(engine="streaming")
    (project / "bare.db").unlink(missing_ok=True)
    with sqlite3.connect(project / "bare.db") as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute(f"CREATE TABLE served ({', '.join(names)}, PRIMARY KEY (k)) WITHOUT ROWID")
        values = newest.with_columns(pl.col("t").to_physical())
        for piece in values.iter_slices(20_000):
            store.executemany("INSERT INTO served VALUES (?, ?, ?, ?, ?, ?, ?)", piece.iter_rows())
    taken = time.process_time() - begun
else:
    number, form = mode.split("-")
    store = sqlite3.connect(project / "bare.db")
    marks = ", ".join("?" * (1 if number == "one" else 100))
    times = []
    for turn in range(600):
        keys = [chance.randrange(1_000_000) * 7 for _ in range(1 if number == "one" else 100)]
        begun = time.perf_counter()
        found = store.execute(f"SELECT * FROM served WHERE k IN ({marks})", keys).fetchall()
        told = (
            pl.DataFrame(found, schema=names, orient="row")
            if form == "frame"
            else [dict(zip(names, row, strict=True)) for row in found]
        )
        if turn >= 100:
            times.append(time.perf_counter() - begun)
    taken = statistics.median(times) * 1000
print(json.dumps({"seconds": taken}))
