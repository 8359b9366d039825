"""Flights to Parquet, checked or not: ``rules.py KIND SOURCE FOLDER``.

The kinds: ``typed`` copies, and polars types the fields as it reads them; ``text`` copies too, but reads texts and
casts them, as anything must that wants to tell a bad value from a missing one; ``ours`` does that, holds each row to
16 rules beside types and presence, and writes good and bad rows apart, each with its file and number, and which rules
were broken; ``dataframely`` holds them to the same rules and writes both apart (it cannot cast a text to a moment:
that is done for it, of good rows).
"""

import json
import sys
import time
from pathlib import Path

import polars as pl

INT, FLOAT, TEXT = pl.Int64(), pl.Float64(), pl.String()
FLIGHTS = {
    "year": INT,
    "month": INT,
    "day": INT,
    "dep_time": INT,
    "sched_dep_time": INT,
    "dep_delay": FLOAT,
    "arr_time": INT,
    "sched_arr_time": INT,
    "arr_delay": FLOAT,
    "carrier": TEXT,
    "flight": INT,
    "tailnum": TEXT,
    "origin": TEXT,
    "dest": TEXT,
    "air_time": FLOAT,
    "distance": FLOAT,
    "hour": INT,
    "minute": INT,
    "time_hour": pl.Datetime("us", "UTC"),
}
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]
ZSTD = {"compression": "zstd", "compression_level": 1, "mkdir": True}


def ours(source: str, folder: Path) -> None:
    """Our rules, as a curation runs them."""
    from lakehouse.columns import SAFE  # noqa: PLC0415  # only where it is measured
    from lakehouse.schema import Schema  # noqa: PLC0415
    from lakehouse.streaming import small_pieces  # noqa: PLC0415
    from lakehouse.validation import Mapping, check  # noqa: PLC0415

    optional = {"presence": "optional"}
    features = {
        "year": {"type": "int"},
        "month": {"type": "int", "domain": {"min": 1, "max": 12}},
        "day": {"type": "int", "domain": {"min": 1, "max": 31}},
        "dep_time": {"type": "int", **optional},
        "sched_dep_time": {"type": "int"},
        "dep_delay": {"type": "float", "domain": {"min": -60, "max": 1000}, **optional},
        "arr_time": {"type": "int", **optional},
        "sched_arr_time": {"type": "int"},
        "arr_delay": {"type": "float", "domain": {"min": -100}, **optional},
        "carrier": {"type": "string", "domain": CARRIERS},
        "flight": {"type": "int", "domain": {"min": 1}},
        "tailnum": {"type": "string", "domain": {"regex": "[DN][0-9A-Z]+"}, **optional},
        "origin": {"type": "string", "domain": ["EWR", "JFK", "LGA"]},
        "dest": {"type": "string"},
        "air_time": {"type": "float", "domain": {"min": 0}, **optional},
        "distance": {"type": "float", "domain": {"min": 0}},
        "hour": {"type": "int", "domain": {"min": 0}},
        "minute": {"type": "int", "domain": {"max": 59}},
        "time_hour": {"type": "datetime"},
    }
    checks = {"flies": "distance >= air_time"}
    rows = pl.scan_csv(source, infer_schema=False, row_index_name="_row").with_columns(
        _raw=pl.lit("0" * 64), _row=pl.col("_row").cast(pl.Int64) + 1
    )
    mapping = Mapping(Schema(features=features, checks=checks), lenient=False)
    checked = check(rows, dict.fromkeys(FLIGHTS, TEXT), mapping)
    sinks = [
        checked.valid.sink_parquet(folder / "valid.parquet", maintain_order=False, lazy=True, **ZSTD),
        checked.rejected.sink_parquet(folder / "rejected.parquet", lazy=True, **ZSTD),
        checked.broken.sink_parquet(folder / "broken.parquet", lazy=True, **ZSTD),
        checked.rows.select(rows=pl.len(), rejected=(~pl.col("_ok")).sum()),
    ]
    with small_pieces():
        pl.collect_all(sinks, engine="streaming", optimizations=SAFE)


def dataframely(source: str, folder: Path) -> None:
    """The same rules by dataframely, which casts texts too."""
    import dataframely as dy  # noqa: PLC0415  # its import is part of what it costs

    class Flights(dy.Schema):
        year = dy.Int64(nullable=False)
        month = dy.Int64(nullable=False, min=1, max=12)
        day = dy.Int64(nullable=False, min=1, max=31)
        dep_time = dy.Int64(nullable=True)
        sched_dep_time = dy.Int64(nullable=False)
        dep_delay = dy.Float64(nullable=True, min=-60, max=1000)
        arr_time = dy.Int64(nullable=True)
        sched_arr_time = dy.Int64(nullable=False)
        arr_delay = dy.Float64(nullable=True, min=-100)
        carrier = dy.String(nullable=False, check=lambda value: value.is_in(CARRIERS))
        flight = dy.Int64(nullable=False, min=1)
        tailnum = dy.String(nullable=True, regex="^[DN][0-9A-Z]+$")
        origin = dy.String(nullable=False, check=lambda value: value.is_in(["EWR", "JFK", "LGA"]))
        dest = dy.String(nullable=False)
        air_time = dy.Float64(nullable=True, min=0)
        distance = dy.Float64(nullable=False, min=0)
        hour = dy.Int64(nullable=False, min=0)
        minute = dy.Int64(nullable=False, max=59)
        time_hour = dy.String(nullable=False)

        @dy.rule()
        def flies(cls) -> pl.Expr:  # noqa: N805  # dataframely's form
            return pl.col("distance") >= pl.col("air_time")

    good, bad = Flights.filter(pl.scan_csv(source, infer_schema=False), cast=True)
    valid = good.lazy().with_columns(pl.col("time_hour").str.to_datetime("%+", time_unit="us", time_zone="UTC"))
    sinks = [
        valid.sink_parquet(folder / "valid.parquet", maintain_order=False, lazy=True, **ZSTD),
        bad._lf.sink_parquet(folder / "rejected.parquet", lazy=True, **ZSTD),
    ]
    pl.collect_all(sinks, engine="streaming")


def cast(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column of texts as what it is."""
    if dtype.is_temporal():
        return pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    return pl.col(name).cast(dtype, strict=False)


def copied(rows: pl.LazyFrame, folder: Path) -> None:
    """No rules."""
    rows.sink_parquet(folder / "copy.parquet", maintain_order=False, **ZSTD)


kind, source, target = sys.argv[1:]
started = time.perf_counter()
match kind:
    case "typed":
        copied(pl.scan_csv(source, schema=FLIGHTS), Path(target))
    case "text":
        texts = pl.scan_csv(source, infer_schema=False)
        copied(texts.select(cast(name, dtype) for name, dtype in FLIGHTS.items()), Path(target))
    case "ours":
        ours(source, Path(target))
    case _:
        dataframely(source, Path(target))
print(json.dumps({"seconds": time.perf_counter() - started}))
