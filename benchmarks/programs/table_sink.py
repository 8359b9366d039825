r"""Bare polars: a file of COPY text typed as the lake types it, to one Parquet file: ``table_sink.py FILE TABLE``.

Texts and casts; ``\N`` is missing, nothing is escaped. No check, no quarantine, no provenance, no statistics, no sync.
"""

import sys
from pathlib import Path

import polars as pl

source, table = sys.argv[1:]
rows = pl.scan_csv(source, separator="\t", quote_char=None, null_values=r"\N", infer_schema=False)
rows.with_columns(
    pl.col("id", "customer").cast(pl.Int64),
    pl.col("amount").cast(pl.Decimal(12, 2)),
    pl.col("rate").cast(pl.Float64),
    pl.col("placed_at").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", time_zone="UTC"),
    pl.col("due").str.to_date("%Y-%m-%d"),
    pl.col("paid") == "t",
).sink_parquet(Path(table, "part.parquet"), mkdir=True)
