"""Publishing a million keys and looking some up, beside bare sqlite3 and absolute limits."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cases import Row, Setting, script
from measuring import Cost, Ratio, Run, measure, ratio, turns

__all__ = ["CASES"]

_KEYS = 1_000_000
_PUBLISHED = 50_000  # keys a second of processor time, at least
_ONE, _HUNDRED = 0.3, 3.0  # milliseconds for a look-up of so many keys, at most


def serve(setting: Setting) -> Iterator[Row]:
    """A million keys of five features: publish them, look up one and a hundred of them."""
    lake = setting.work / "online"
    lake.mkdir(parents=True)
    measure(script("online_lake.py", lake, str(_KEYS)), setting.log)
    mine, least = turns(_both(lake, "publish"), setting.count, setting.log)
    yield Row("publish 1 M keys / bare polars and sqlite3: CPU", "s", ratio(mine, least, "inner"))
    yield Row(f"publish 1 M keys / {_PUBLISHED:,} a second: CPU", "s", _limited(mine, _KEYS / _PUBLISHED), 1.0)
    for mode, what, most in (("one", "one key", _ONE), ("hundred", "100 keys", _HUNDRED)):
        for form in ("frame", "dicts"):
            mine, least = turns(_both(lake, f"{mode}-{form}"), setting.count, setting.log)
            told = f"look up {what} of 1 M into {'a DataFrame' if form == 'frame' else 'dicts'}"
            yield Row(f"{told} / bare sqlite3", "ms", ratio(mine, least, "inner"))
            yield Row(f"{told} / {most:g} ms", "ms", _limited(mine, most), 1.0)


def _both(lake: Path, mode: str) -> Sequence[Run]:
    return [script(f"online_{name}.py", lake, mode) for name in ("ours", "bare")]


def _limited(costs: Sequence[Cost], most: float) -> Ratio:
    """What was measured, as parts of what it may be."""
    parts = [cost.inner / most for cost in costs]
    median = statistics.median(cost.inner for cost in costs)
    return Ratio(median, most, statistics.median(parts), min(parts), max(parts))


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"online": serve}
