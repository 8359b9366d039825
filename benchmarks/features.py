"""The point-in-time join of a lake, beside bare polars and Feast, and what each of them answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from cases import Row, Setting, scaled, script
from measuring import Cost, measure, ratio, turns

__all__ = ["CASES"]

_ROWS, _KEYS, _SPINE = 10_000_000, 100_000, 100_000
_FORMS = ("last", "max", "twice", "asof")
_COLUMNS = ("k", "event_timestamp", "label", "f", "g", "h")


def join(setting: Setting) -> Iterator[Row]:
    """100,000 rows of a spine with 10 million rows of 100,000 keys: the newest of the last three days."""
    rows, lake = setting.inputs.work / "inputs" / "features", setting.work / "features"
    if not rows.exists():
        half = rows.with_name(".features")
        half.mkdir(parents=True)
        measure(script("features_data.py", half, str(_ROWS), str(_KEYS), str(_SPINE)), setting.log)
        half.rename(rows)
    files = sorted(rows.glob("rows-*.parquet"))
    lake.mkdir(parents=True)
    measure(script("features_lake.py", lake, *files), setting.log)
    spine, made = (
        rows / "spine.parquet",
        {name: lake / f"{name}.parquet" for name in ("ours", *_FORMS, "duckdb", "dask")},
    )
    tables = sorted((lake / "data/curated/bench/rows").glob("*.parquet"))
    runs = [script("features_ours.py", lake / "configs", spine, made["ours"])]
    runs += [script("features_bare.py", form, spine, made[form], *tables) for form in _FORMS]
    ours, *bare = turns(runs, setting.count, setting.log)
    best = min(range(len(_FORMS)), key=lambda number: sum(cost.inner for cost in bare[number]))
    _same(made, ["ours", *_FORMS])
    what = "100,000 spine rows with 10 M rows"
    yield Row(f"{what} / bare polars ({_FORMS[best]}): CPU of the join", "s", ratio(ours, bare[best], "inner"), 1.3)
    yield Row(f"{what} / bare polars ({_FORMS[best]}): CPU, whole process", "s", ratio(ours, bare[best], "cpu"))
    yield Row(f"{what}: peak memory / bare polars", "GB", scaled(ratio(ours, bare[best], "peak")))
    for store, name, aim in (("dask", "Feast's default store", 1 / 8), ("duckdb", "Feast's DuckDB store", 1 / 1.8)):
        theirs = [_feast(setting, store, rows, lake, made[store]) for _ in range(2 if setting.quick else 3)]
        mine = [measure(runs[0], setting.log) for _ in theirs]
        yield Row(f"{what} / {name}: CPU of the join", "s", ratio(mine, theirs, "inner"), aim)
        yield Row(f"{what} / {name}: CPU, whole process", "s", ratio(mine, theirs, "cpu"))
        yield Row(f"{what} / {name}: peak memory", "GB", scaled(ratio(mine, theirs, "peak")))
    _same(made, ["ours", "duckdb"])
    lost = pl.scan_parquet(spine).select(pl.len()).collect().item() - _read(made["dask"]).height
    print(f"Feast's default store answered for {lost:,} rows of the spine less than it was asked for", file=sys.stderr)


def _feast(setting: Setting, store: str, rows: Path, lake: Path, out: Path) -> Cost:
    whole = lake / "rows.parquet"  # it reads one file
    if not whole.exists():
        pl.scan_parquet(rows / "rows-*.parquet").sink_parquet(whole, row_group_size=100_000)
    folder = lake / f"feast-{store}"
    arguments = (store, folder, rows / "spine.parquet", out, whole)
    return measure(script("features_feast.py", *arguments, clear=folder, python=setting.inputs.feast()), setting.log)


def _read(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file).select(_COLUMNS).with_columns(pl.col("event_timestamp").dt.convert_time_zone("UTC"))


def _same(made: dict[str, Path], names: list[str]) -> None:
    """See that all answered alike.

    Raises:
        RuntimeError: they did not.
    """
    first, *others = (_read(made[name]).cast({"g": pl.Float64}).sort(_COLUMNS) for name in names)
    for name, other in zip(names[1:], others, strict=True):
        if not first.equals(other.cast(first.schema)):
            raise RuntimeError(f"{names[0]} and {name} do not answer alike")


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"features": join}
