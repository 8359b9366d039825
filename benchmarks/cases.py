"""What is compared: one function a row of the table, or two where one measurement answers two questions."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inputs import Inputs
from lakes import Bench, aside
from measuring import Cost, Ratio, Run, measure, ratio, turns

__all__ = ["CASES", "Row", "Setting", "scaled", "script"]

PROGRAMS = Path(__file__).parent / "programs"
_NO_TELEMETRY = {"RUNTIME__DLTHUB_TELEMETRY": "false"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        what: what is compared with what.
        unit: of the two medians.
        aim: the most the ratio may be; None for a row that is told only.
    """

    what: str
    unit: str
    ratio: Ratio
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What all cases share.

    Attributes:
        count: turns of each comparison.
        quick: leave out what takes minutes.
        landings: in the large ledger, of 20 raw files each.
    """

    inputs: Inputs
    count: int
    quick: bool
    landings: int

    @property
    def work(self) -> Path:
        """Where runs leave what they write; emptied by each."""
        return self.inputs.work / "runs"

    @property
    def log(self) -> Path:
        """What the last program printed."""
        return self.inputs.work / "last.log"


def _ours(bench: Bench, verbs: str, before: Callable[[], None]) -> Run:
    argv = [sys.executable, str(PROGRAMS / "lake.py"), verbs, str(bench.configs), bench.name, bench.dataset]
    return Run(argv, before)


def script(name: str, *arguments: Path | str, clear: Path | None = None, python: Path | str = sys.executable) -> Run:
    """One of the programs, by itself; ``clear`` is put aside before each run."""
    argv = [str(python), str(PROGRAMS / name), *map(str, arguments)]
    return Run(argv, partial(aside, clear) if clear else lambda: None, _NO_TELEMETRY)


def _landed(setting: Setting, name: str, path: str, dataset: str = "lineitem") -> Bench:
    bench = Bench(setting.work / name, name, path, dataset)
    measure(_ours(bench, "land", bench.empty), setting.log)
    bench.keep()
    return bench


def large(setting: Setting) -> Iterator[Row]:
    """Land one large file."""
    source = setting.inputs.large()
    bench = Bench(setting.work / "large", "large", str(source))
    bare = setting.work / "large" / "bare"
    ours, theirs = turns(
        [_ours(bench, "land", bench.empty), script("copy_one.py", source, bare, clear=bare)],
        setting.count,
        setting.log,
    )
    what = f"land one file of {setting.inputs.megabytes:,} MB / copy + SHA-256 + fsync"
    yield Row(what, "s", ratio(ours, theirs, "inner"), 1.2)


def tiny(setting: Setting) -> Iterator[Row]:
    """Land many small files."""
    source = setting.inputs.tiny()
    bench = Bench(setting.work / "tiny", "tiny", f"{source}/*.bin")
    bare = setting.work / "tiny" / "bare"
    ours, theirs = turns(
        [_ours(bench, "land", bench.empty), script("copy_many.py", source, bare, clear=bare)],
        setting.count,
        setting.log,
    )
    yield Row("land 2,000 files of 4 KiB / write all, sync once, rename", "s", ratio(ours, theirs, "inner"), 2.0)


def curate(setting: Setting) -> Iterator[Row]:
    """Curate lineitem of scale 1, against polars alone."""
    source = setting.inputs.lineitem(1)
    bench = _landed(setting, "lineitem", str(source))
    bare = setting.work / "lineitem" / "bare"
    ours, plain, same = turns(
        [
            _ours(bench, "curate", bench.back),
            script("scan_sink.py", source, bare, "default", clear=bare),
            script("scan_sink.py", source, bare, "1", clear=bare),
        ],
        setting.count,
        setting.log,
    )
    yield Row("curate SF1 / polars alone, as it comes: whole process", "s", ratio(ours, plain, "wall"), 1.35)
    yield Row("curate SF1 / polars alone, as it comes: the work", "s", ratio(ours, plain, "inner"))
    yield Row("curate SF1 / polars alone, zstd 1 as ours: whole process", "s", ratio(ours, same, "wall"))
    yield Row("curate SF1 / polars alone, as it comes: CPU", "s", ratio(ours, plain, "cpu"))
    yield Row("curate SF1: peak memory / 1 GB", "GB", _against(ours, 1e9), 1.0)
    if setting.quick:
        return
    five = _landed(setting, "lineitem5", str(setting.inputs.lineitem(5)))
    most = measure(_ours(five, "curate", five.back), setting.log)
    yield Row("curate: peak memory at SF5 / at SF1", "GB", scaled(ratio([most] * len(ours), ours, "peak")), 1.2)


def _against(costs: list[Cost], most: float) -> Ratio:
    peaks = [cost.peak / most for cost in costs]
    return Ratio(statistics.median(peaks) * most / 1e9, most / 1e9, statistics.median(peaks), min(peaks), max(peaks))


def scaled(found: Ratio) -> Ratio:
    """Bytes as gigabytes."""
    return Ratio(found.ours / 1e9, found.theirs / 1e9, found.median, found.low, found.high)


def pieces(setting: Setting) -> Iterator[Row]:
    """Curate the same rows in many files and in one."""
    many, one = setting.inputs.pieces()
    split = _landed(setting, "many", f"{many}/*.csv")
    whole = _landed(setting, "one", str(one))
    runs = [_ours(split, "curate", split.back), _ours(whole, "curate", whole.back)]
    ours, theirs = turns(runs, setting.count, setting.log)
    yield Row("curate 2,000 CSVs of 750 rows / the same rows in one", "s", ratio(ours, theirs, "wall"), 2.0)


def dlt_arrow(setting: Setting) -> Iterator[Row]:
    """Land and curate lineitem of scale 1, against dlt's way for speed."""
    source = setting.inputs.lineitem(1)
    bench = Bench(setting.work / "dlt-arrow", "lineitem", str(source))
    peer = setting.work / "dlt-arrow" / "peer"
    load = partial(script, "dlt_load.py", source.parent, source.name, peer, clear=peer, python=setting.inputs.peers())
    runs = [_ours(bench, "land,curate", bench.empty), load("pyarrow")]
    ours, theirs = turns(runs, min(setting.count, 3), setting.log)
    yield Row("land + curate SF1 / dlt to Delta, Arrow: whole process", "s", ratio(ours, theirs, "wall"), 0.5)
    yield Row("land + curate SF1 / dlt to Delta, Arrow: CPU", "s", ratio(ours, theirs, "cpu"))
    yield Row("land + curate SF1 / dlt to Delta, Arrow: peak memory", "GB", scaled(ratio(ours, theirs, "peak")))


def dlt_default(setting: Setting) -> Iterator[Row]:
    """Land and curate a year's daily files, against dlt as it comes."""
    source = setting.inputs.flights()
    bench = Bench(setting.work / "dlt-default", "flights", f"{source}/*.csv", "flights")
    peer = setting.work / "dlt-default" / "peer"
    load = script("dlt_load.py", source, "*.csv", peer, "default", clear=peer, python=setting.inputs.peers())
    runs = [_ours(bench, "land,curate", bench.empty), load]
    ours, theirs = turns(runs, 1 if setting.quick else min(setting.count, 3), setting.log)
    yield Row("land + curate 365 daily flight files / dlt as it comes: CPU", "s", ratio(ours, theirs, "cpu"), 1 / 8)
    yield Row("land + curate 365 daily flight files / dlt as it comes: wall", "s", ratio(ours, theirs, "wall"))


def start(setting: Setting) -> Iterator[Row]:
    """Ask the command line for help."""
    script = Path(sys.executable).with_name("lakehouse")
    argv = [str(script)] if script.exists() else [sys.executable, "-c", "from lakehouse.cli import main; main()"]
    shown = turns([Run([*argv, "--help"])], max(setting.count, 5), setting.log)[0]
    walls = [cost.wall / 0.4 for cost in shown]
    found = Ratio(statistics.median(walls) * 0.4, 0.4, statistics.median(walls), min(walls), max(walls))
    yield Row("`lakehouse --help` / 0.4 s", "s", found, 1.0)


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "start": start,
    "large": large,
    "tiny": tiny,
    "curate": curate,
    "pieces": pieces,
    "dlt-arrow": dlt_arrow,
    "dlt-default": dlt_default,
}
