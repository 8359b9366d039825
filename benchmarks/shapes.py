"""Statistics of tables that are hard to measure in bounded memory: many columns, many categories, nothing twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import Row, Setting
from measuring import Ratio, Run, ratio, turns

__all__ = ["CASES"]

PROGRAMS = Path(__file__).parent / "programs"


def shapes(setting: Setting) -> Iterator[Row]:
    """Statistics of 1,000 columns, of 10,000 categories, and of 3 million texts of which none is there twice."""
    for name, what in (
        ("columns", "1,000 columns of 100,000 rows"),
        ("categories", "10,000 categories in 1,000,000 rows"),
        ("unique", "3,000,000 unique texts"),
    ):
        source = _made(setting, name)
        setting.work.mkdir(parents=True, exist_ok=True)
        programs = [
            Run(
                [sys.executable, str(PROGRAMS / "statistics_ours.py"), "parquet", str(source), str(setting.work / "o")]
            ),
            Run([sys.executable, str(PROGRAMS / "statistics_bare.py"), str(source)]),
        ]
        ours, bare = turns(programs, 1 if setting.quick else min(setting.count, 3), setting.log)
        yield Row(f"statistics of {what} / bare polars: CPU", "s", ratio(ours, bare, "cpu"))
        peak = ratio(ours, bare, "peak")
        in_gigabytes = Ratio(peak.ours / 1e9, peak.theirs / 1e9, peak.median, peak.low, peak.high)
        yield Row(f"statistics of {what} / bare polars: peak memory", "GB", in_gigabytes)


def _made(setting: Setting, name: str) -> Path:
    file = setting.inputs.work / "inputs" / f"shape-{name}.parquet"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        # In a process of its own: a program's peak begins with that of the process that starts it.
        subprocess.run([sys.executable, str(PROGRAMS / "shape.py"), name, str(half)], check=True)
        half.rename(file)
    return file


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"statistics-shapes": shapes}
