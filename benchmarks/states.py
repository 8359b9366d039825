"""What the current state of ten million rows of a million keys costs: added up, and read where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cases import Row, Setting, scaled, script
from measuring import measure, ratio, turns

__all__ = ["CASES"]

_ROWS, _KEYS = 10_000_000, 1_000_000


def states(setting: Setting) -> Iterator[Row]:
    """Against the best bare polars query over the same files, and against reading the file of the kept state."""
    folder = setting.work / "states"
    measure(script("states.py", "make", folder, str(_ROWS), str(_KEYS)), setting.log)
    verbs = ("rows", "bare", "kept", "file")
    rows, bare, kept, file = turns([script("states.py", verb, folder) for verb in verbs], setting.count, setting.log)
    yield Row("current state of 10 M rows, 1 M keys / bare polars: wall", "s", ratio(rows, bare, "wall"), 1.3)
    yield Row("current state of 10 M rows, 1 M keys / bare polars: CPU", "s", ratio(rows, bare, "cpu"))
    yield Row("current state of 10 M rows / bare polars: peak memory", "GB", scaled(ratio(rows, bare, "peak")))
    yield Row("current state again, kept / polars reads its file: wall", "s", ratio(kept, file, "wall"))
    yield Row("current state again, kept / polars reads its file: CPU", "s", ratio(kept, file, "cpu"))


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"states": states}
