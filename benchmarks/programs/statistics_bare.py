"""Bare polars: every column's value counts, in one go, and nothing else: ``statistics_bare.py FILE.parquet``."""

import json
import sys
import time

import polars as pl

started = time.perf_counter()
rows = pl.scan_parquet(sys.argv[1])
counts = [rows.group_by(name).agg(pl.len()) for name in rows.collect_schema()]
found = pl.collect_all(counts, engine="streaming")
assert all(frame.height for frame in found)
print(json.dumps({"seconds": time.perf_counter() - started}))
