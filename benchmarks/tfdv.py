"""Statistics and validation: beside TensorFlow Data Validation and bare polars, and what a curation pays for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import Row, Setting
from lakes import Bench
from measuring import Ratio, Run, measure, ratio, turns

__all__ = ["CASES"]

PROGRAMS = Path(__file__).parent / "programs"
_TIMES = 10  # as many rows in the large table: 3,367,760


def from_csv(setting: Setting) -> Iterator[Row]:
    """Statistics of a year's flights from CSV, and a schema inferred from them and validated by."""
    source = setting.inputs.flights_table()
    ours, theirs = _folder(setting) / "ours.parquet", _folder(setting) / "theirs.binpb"
    mine, other = turns(
        [_ours("csv", source, ours), _theirs(setting, "statistics", "csv", source, theirs)],
        1 if setting.quick else min(setting.count, 3),
        setting.log,
    )
    what = "statistics of 336,776 flights from CSV / TFDV"
    yield Row(f"{what}: CPU, whole process", "s", ratio(mine, other, "cpu"), 1 / 20)
    yield Row(f"{what}: the work alone", "s", ratio(mine, other, "inner"))
    yield Row(f"{what}: peak memory", "GB", _in_gigabytes(ratio(mine, other, "peak")), 1 / 4)
    judged, by_them = turns(
        [_ours("validate", ours), _theirs(setting, "validate", theirs)], 1 if setting.quick else 3, setting.log
    )
    yield Row("infer a schema and validate by it / TFDV: the work alone", "s", ratio(judged, by_them, "inner"))
    if setting.quick:
        return
    framed = [measure(_theirs(setting, "statistics", "frame", source, theirs), setting.log)]
    what = "statistics from CSV / TFDV from a DataFrame"
    yield Row(f"{what}: CPU, whole process", "s", ratio(mine[:1], framed, "cpu"))
    yield Row(f"{what}: peak memory", "GB", _in_gigabytes(ratio(mine[:1], framed, "peak")))


def over_parquet(setting: Setting) -> Iterator[Row]:
    """Statistics over Parquet, against the value counts of every column alone."""
    for times in (1, _TIMES):
        source = setting.inputs.flights_parquet(times)
        runs = [_ours("parquet", source, _folder(setting) / "ours.parquet"), _program("statistics_bare.py", source)]
        mine, bare = turns(runs, setting.count, setting.log)
        what = f"statistics of {336_776 * times:,} flights, Parquet / bare polars"
        yield Row(f"{what}: CPU", "s", ratio(mine, bare, "cpu"), 1.5)
        yield Row(f"{what}: peak memory", "GB", _in_gigabytes(ratio(mine, bare, "peak")))


def growth(setting: Setting) -> Iterator[Row]:
    """Peak memory at ten times the rows."""
    for way, files in (("csv", setting.inputs.flights_table), ("parquet", setting.inputs.flights_parquet)):
        runs = [_ours(way, files(times), _folder(setting) / "ours.parquet") for times in (_TIMES, 1)]
        many, few = turns(runs, setting.count, setting.log)
        yield Row(
            f"statistics from {way}, ten times the rows / once: peak",
            "GB",
            _in_gigabytes(ratio(many, few, "peak")),
            1.5,
        )


def curation(setting: Setting) -> Iterator[Row]:
    """Curate ten years' flights with statistics and validation, and without."""
    source = setting.inputs.flights_table(_TIMES)
    benches = []
    for name in ("with", "without"):
        bench = Bench(setting.work / name, "flights", str(source), "flights")
        if name == "without":
            file = bench.configs / "datasets" / f"{bench.dataset}.yaml"
            file.write_text(file.read_text("utf-8") + "validation: {statistics: false, history: off}\n", "utf-8")
        measure(_lake("land", bench, bench.empty), setting.log)
        bench.keep()
        benches.append(bench)
    judged, plain = turns([_lake("curate", bench, bench.back) for bench in benches], setting.count, setting.log)
    what = "curate 3,367,760 flights with statistics / without"
    yield Row(f"{what}: CPU", "s", ratio(judged, plain, "cpu"), 1.5)
    yield Row(f"{what}: wall", "s", ratio(judged, plain, "wall"), 1.5)
    yield Row(f"{what}: peak memory", "GB", _in_gigabytes(ratio(judged, plain, "peak")))


def _folder(setting: Setting) -> Path:
    setting.work.mkdir(parents=True, exist_ok=True)
    return setting.work


def _program(name: str, *arguments: Path | str, python: Path | str = sys.executable) -> Run:
    return Run([str(python), str(PROGRAMS / name), *map(str, arguments)])


def _ours(*arguments: Path | str) -> Run:
    return _program("statistics_ours.py", *arguments)


def _theirs(setting: Setting, verb: str, *arguments: Path | str) -> Run:
    return _program(f"tfdv_{verb}.py", *arguments, python=setting.inputs.tfdv())


def _lake(verb: str, bench: Bench, before: Callable[[], None]) -> Run:
    return Run(_program("lake.py", verb, bench.configs, bench.name, bench.dataset).argv, before)


def _in_gigabytes(found: Ratio) -> Ratio:
    return Ratio(found.ours / 1e9, found.theirs / 1e9, found.median, found.low, found.high)


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "statistics-csv": from_csv,
    "statistics-parquet": over_parquet,
    "statistics-growth": growth,
    "curate-measured": curation,
}
