"""Runs programs as whole processes, in turns, and compares what they cost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "Ratio", "Run", "measure", "ratio", "turns"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of processor time, user and system, its children's included.
        peak: its largest resident memory, in bytes; no less than this process's, unless the program tells its own.
        inner: seconds of the operation alone, by the program's own clock: no interpreter start, no imports.
    """

    wall: float
    cpu: float
    peak: int
    inner: float


@dataclass(frozen=True, slots=True)
class Run:
    """A program to measure.

    Attributes:
        argv: the command; the last line it prints may be a JSON object with ``seconds`` and ``peak``.
        before: puts everything back as it must be; not measured.
    """

    argv: Sequence[str]
    before: Callable[[], None] = lambda: None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of two programs, compared turn by turn.

    Attributes:
        ours: median of the first program.
        theirs: median of the second.
        median: of the turns' quotients, first by second; ``low`` and ``high`` are the extremes.
    """

    ours: float
    theirs: float
    median: float
    low: float
    high: float


def measure(run: Run, log: Path) -> Cost:
    """Run a program once, to its end.

    Raises:
        RuntimeError: it failed; the message has the end of what it printed.
    """
    run.before()
    with log.open("wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            run.argv, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(run.env or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    printed = log.read_text("utf-8", "replace").strip().splitlines()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(run.argv)} ended with {process.returncode}:\n" + "\n".join(printed[-25:]))
    told = json.loads(printed[-1]) if printed and printed[-1].startswith("{") else {}
    peak, inner = told.get("peak", usage.ru_maxrss * 1024), told.get("seconds", wall)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak, inner)


def turns(runs: Sequence[Run], count: int, log: Path) -> list[list[Cost]]:
    """Run several programs in turns, A B A B, so that what else the machine does meets all of them.

    Returns:
        The costs of each program, one a turn.
    """
    costs: list[list[Cost]] = [[] for _ in runs]
    for _ in range(count):
        for run, found in zip(runs, costs, strict=True):
            found.append(measure(run, log))
    return costs


def ratio(ours: Sequence[Cost], theirs: Sequence[Cost], figure: str) -> Ratio:
    """Compare one figure (a field of `Cost`) turn by turn."""
    mine, other = [getattr(c, figure) for c in ours], [getattr(c, figure) for c in theirs]
    each = [a / b for a, b in zip(mine, other, strict=True)]
    return Ratio(statistics.median(mine), statistics.median(other), statistics.median(each), min(each), max(each))
