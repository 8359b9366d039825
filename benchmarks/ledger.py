"""The ledger against ML Metadata and bare sqlite3, with eight writers, and with a million raw files in it."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cases import Row, Setting
from lakes import aside
from measuring import Cost, Ratio, Run, measure, ratio, turns
from million import Shape, build

from lakehouse.metadata import Ledger

__all__ = ["CASES"]

PROGRAMS = Path(__file__).parent / "programs"
_SERVERS = "LAKEHOUSE_BENCH_SERVERS"  # URLs of empty databases on MySQL or PostgreSQL, with blanks between
_CONTEXTS = 101  # a pipeline and its runs
_TOLERABLE = 0.2  # seconds for a question to a large ledger


def batch(setting: Setting) -> Iterator[Row]:
    """Put 10,000 artifacts with four properties."""
    ours, mlmd, bare = (_fresh(setting, name, "batch") for name in ("ours", "mlmd", "bare"))
    mine, theirs, least = turns([ours, mlmd, bare], setting.count, setting.log)
    yield Row("put 10,000 artifacts of 4 properties / ML Metadata", "s", ratio(mine, theirs, "inner"), 1 / 1.3)
    yield Row("put 10,000 artifacts of 4 properties / bare sqlite3", "s", ratio(mine, least, "inner"), 3.0)


def execution(setting: Setting) -> Iterator[Row]:
    """Put 200 executions with two artifacts each, one by one, on a file."""
    runs = [_fresh(setting, name, "execution") for name in ("ours", "mlmd", "bare")]
    wal = _fresh(setting, "mlmd", "execution", _empty)
    mine, theirs, least, on_wal = turns([*runs, wal], setting.count, setting.log)
    yield Row("200 put_execution on a file / ML Metadata: CPU", "s", ratio(mine, theirs, "inner"), 1 / 3)
    yield Row("the same / ML Metadata on a file in WAL mode", "s", ratio(mine, on_wal, "inner"))
    yield Row("the same / bare sqlite3", "s", ratio(mine, least, "inner"))


def lineage(setting: Setting) -> Iterator[Row]:
    """Walk up from an artifact, among 100,000 artifacts and 392,000 events in 50 layers."""
    for hops, most, aim in ((2, 0.005, 1 / 8), (10, 0.04, 1 / 2.5)):
        what = f"lineage {hops} hops up"
        for contexts in (_CONTEXTS, 0):
            runs = [
                _program(setting, name, "lineage", _layers(setting, name, contexts), str(hops))
                for name in ("ours", "mlmd")
            ]
            mine, theirs = turns(runs, setting.count, setting.log)
            found = _thousandths(ratio(mine, theirs, "inner"))
            if not contexts:
                yield Row("the same, where nothing is in a context / ML Metadata", "ms", found)
                continue
            yield Row(f"{what} / ML Metadata", "ms", found, aim)
            yield Row(f"{what} / {most * 1000:g} ms", "ms", _limited([c.inner for c in mine], most), 1.0)


def uri(setting: Setting) -> Iterator[Row]:
    """Get 1,000 artifacts by their URI, one by one, of 100,000."""
    runs = [
        _program(setting, name, "uri", _layers(setting, of, _CONTEXTS))
        for name, of in (("ours", "ours"), ("mlmd", "mlmd"), ("bare", "ours"))
    ]
    mine, theirs, least = turns(runs, setting.count, setting.log)
    yield Row("1,000 artifacts by URI / ML Metadata", "s", ratio(mine, theirs, "inner"), 2.5)
    yield Row("1,000 artifacts by URI / bare sqlite3", "s", ratio(mine, least, "inner"))


def writers(setting: Setting) -> Iterator[Row]:
    """Eight processes that put 100 executions each: none fails, and none waits longer than a second."""
    file = setting.work / "writers" / "ledger.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    for url in (f"sqlite:///{file}", *os.environ.get(_SERVERS, "").split()):
        run = Run([sys.executable, str(PROGRAMS / "store_writers.py"), url], partial(_empty, file))
        longest = [measure(run, setting.log).inner for _ in range(min(setting.count, 3))]
        name = url.partition(":")[0].partition("+")[0]
        yield Row(f"8 writers x 100 put_execution on {name}: longest wait / 1 s", "s", _limited(longest, 1.0), 1.0)


def million(setting: Setting) -> Iterator[Row]:
    """A million raw files and 100,000 executions: of one dataset, and of a thousand."""
    for datasets in (1, 1_000):
        shape = Shape(datasets, setting.landings, 20)
        among = "one dataset" if datasets == 1 else f"{datasets:,} datasets"
        name = f"{shape.rounds * shape.files:,} raw files, {among}"
        folder = setting.work / f"datasets-{datasets}"
        configs = build(folder, shape)
        argv = [str(PROGRAMS / "ask.py"), str(configs), shape.source(0), shape.dataset(0), str(setting.count)]
        measure(Run([sys.executable, *argv]), setting.log)
        found: dict[str, float] = json.loads(setting.log.read_text("utf-8").splitlines()[-1])
        for what, seconds in found.items():
            yield Row(f"{name}: {what} / 200 ms", "s", _limited([seconds], _TOLERABLE), 1.0)
        script = str(Path(sys.executable).with_name("lakehouse"))
        listed = turns([Run([script, "--configs", str(configs), "list"])], setting.count, setting.log)[0]
        yield Row(f"{name}: `lakehouse list`, whole / 1 s", "s", _limited(_walls(listed), 1.0))
        shutil.rmtree(folder)


def _walls(costs: list[Cost]) -> list[float]:
    return [cost.wall for cost in costs]


def _program(setting: Setting, name: str, verb: str, database: Path, *more: str) -> Run:
    python = str(setting.inputs.mlmd()) if name == "mlmd" else sys.executable
    return Run([python, str(PROGRAMS / f"store_{name}.py"), verb, str(database), *more])


def _fresh(setting: Setting, name: str, verb: str, make: Callable[[Path], None] | None = None) -> Run:
    """A program on an empty database: ML Metadata on what it makes itself, others on ours, unless told otherwise."""
    database = setting.work / f"{verb}-{name}{'-made' if make else ''}" / "ledger.db"
    run = _program(setting, name, verb, database)
    return Run(run.argv, partial(make or (_nothing if name == "mlmd" else _empty), database))


def _nothing(database: Path) -> None:
    aside(database.parent)
    database.parent.mkdir(parents=True)


def _empty(database: Path) -> None:
    _nothing(database)
    Ledger(f"sqlite:///{database}").close()


def _layers(setting: Setting, name: str, contexts: int) -> Path:
    """A database that ours or ML Metadata's client made, with the same records in it."""
    database = setting.work / f"layers-{name}-{contexts}" / "ledger.db"
    if not database.exists():
        if name == "mlmd":
            _nothing(database)
            measure(_program(setting, name, "make", database), setting.log)
        else:
            _empty(database)
        fill = [str(contexts)] if contexts else []
        measure(_program(setting, "bare", "layers", database, *fill), setting.log)
    return database


def _limited(seconds: list[float], most: float) -> Ratio:
    each = [one / most for one in seconds]
    unit = 1000 if most < 0.1 else 1
    return Ratio(statistics.median(seconds) * unit, most * unit, statistics.median(each), min(each), max(each))


def _thousandths(found: Ratio) -> Ratio:
    return Ratio(found.ours * 1000, found.theirs * 1000, found.median, found.low, found.high)


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "ledger-batch": batch,
    "ledger-execution": execution,
    "ledger-lineage": lineage,
    "ledger-uri": uri,
    "ledger-writers": writers,
    "ledger-million": million,
}
