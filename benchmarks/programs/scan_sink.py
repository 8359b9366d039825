"""Bare polars: a typed scan to one Parquet file and a Delta commit: ``scan_sink.py SOURCE TABLE LEVEL``.

No check, no quarantine, no provenance, no statistics in the log, no sync. LEVEL is the zstd level, or ``default``.
"""

import json
import shutil
import sys
import time
from pathlib import Path

import polars as pl
from deltalake import Schema
from deltalake.transaction import AddAction, create_table_with_add_actions

INT, FLOAT, DATE, TEXT = pl.Int64(), pl.Float64(), pl.Date(), pl.String()
LINEITEM = {
    "l_orderkey": INT,
    "l_partkey": INT,
    "l_suppkey": INT,
    "l_linenumber": INT,
    "l_quantity": FLOAT,
    "l_extendedprice": FLOAT,
    "l_discount": FLOAT,
    "l_tax": FLOAT,
    "l_returnflag": TEXT,
    "l_linestatus": TEXT,
    "l_shipdate": DATE,
    "l_commitdate": DATE,
    "l_receiptdate": DATE,
    "l_shipinstruct": TEXT,
    "l_shipmode": TEXT,
    "l_comment": TEXT,
}

source, table, level = sys.argv[1:]
started = time.perf_counter()
shutil.rmtree(table, ignore_errors=True)
part = Path(table, "part.parquet")
rows = pl.scan_csv(source, schema=LINEITEM)
if level == "default":
    rows.sink_parquet(part, mkdir=True)
else:
    rows.sink_parquet(part, mkdir=True, compression="zstd", compression_level=int(level))
schema = Schema.from_arrow(pl.DataFrame(schema=LINEITEM).to_arrow().schema)
add = AddAction(part.name, part.stat().st_size, {}, 0, data_change=True, stats="{}")
create_table_with_add_actions(table, schema, [add], mode="error")
print(json.dumps({"seconds": time.perf_counter() - started}))
