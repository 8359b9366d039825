"""What a snapshot costs of which one row in a hundred is new: held against the one before, and only that row kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial

from cases import Row, Setting, scaled, script
from measuring import Run, measure, ratio, turns

__all__ = ["CASES"]

_ROWS = 1_000_000


def snapshots(setting: Setting) -> Iterator[Row]:
    """A million rows whose predecessor is in the lake."""
    made, folder = setting.work / "made", setting.work / "snapshot"
    measure(script("snapshot.py", "make", made, str(_ROWS)), setting.log)

    def anew() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)

    def run(verb: str) -> Run:
        return Run(script("snapshot.py", verb, folder).argv, anew)

    load, read, curate = turns([run(verb) for verb in ("load", "read", "curate")], setting.count, setting.log)
    compared = partial(ratio, load)
    yield Row("snapshot of 1 M rows, 1 % new / polars reads file and state: CPU", "s", compared(read, "cpu"), 2.0)
    yield Row("snapshot of 1 M rows, 1 % new / polars reads file and state: wall", "s", compared(read, "wall"))
    yield Row("snapshot of 1 M rows, 1 % new / the same file as events: CPU", "s", compared(curate, "cpu"))
    yield Row("snapshot of 1 M rows, 1 % new / as events: peak memory", "GB", scaled(compared(curate, "peak")))


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"snapshots": snapshots}
