"""What row rules cost: rows typed, held to their rules and written apart, against a copy that asks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from cases import Row, Setting, scaled, script
from measuring import Run, ratio, turns

__all__ = ["CASES"]


def rules(setting: Setting) -> Iterator[Row]:
    """A year of flights ten times over, in CSV, into Parquet."""
    table, single = setting.inputs.flights_table(10), setting.inputs.flights_table(1)
    folder = setting.work / "rules"

    def run(kind: str, source: object = table) -> Run:
        return script("rules.py", kind, str(source), folder / kind, clear=folder / kind)

    kinds = ("ours", "typed", "text", "dataframely")
    ours, typed, text, peer = turns([run(kind) for kind in kinds], setting.count, setting.log)
    compared = partial(ratio, ours)
    yield Row("16 row rules, rows split / polars' typed copy: CPU", "s", compared(typed, "cpu"), 1.2)
    yield Row("16 row rules, rows split / copy by texts and casts: CPU", "s", compared(text, "cpu"))
    yield Row("16 row rules, rows split / dataframely: CPU", "s", compared(peer, "cpu"), 1.0)
    yield Row("16 row rules, rows split / dataframely: peak memory", "GB", scaled(compared(peer, "peak")))
    (small,) = turns([run("ours", single)], setting.count, setting.log)
    yield Row("16 row rules: peak memory at ten times the rows / at one", "GB", scaled(compared(small, "peak")), 1.5)
    if setting.quick:
        return
    (large,) = turns([run("ours", setting.inputs.flights_table(30))], setting.count, setting.log)
    yield Row("16 row rules: peak memory at thirty times / at ten", "GB", scaled(ratio(large, ours, "peak")), 1.2)


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"rules": rules}
