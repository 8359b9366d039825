"""Progress on stderr: bars on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from lakehouse.cli import output
from lakehouse.cli.session import Session
from lakehouse.records import Progress, Report, silent

__all__ = ["amount", "shown"]

_EVERY = 10.0  # seconds between two plain lines of one step
_SOON = 0.2  # seconds before which a rate means nothing


@contextmanager
def shown(session: Session) -> Iterator[Report]:
    """The report to open a lake with: how work under way is shown for this session."""
    if session.as_json or session.quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _Lines(time.monotonic)


class _Lines:
    """A line for a step that takes long; short steps say nothing before their result."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[tuple[str, str], float] = {}

    def __call__(self, progress: Progress) -> None:
        key = (progress.step, progress.subject)
        now = self._clock()
        if progress.finished or now - self._last.setdefault(key, now) < _EVERY:
            return
        self._last[key] = now
        click.echo(f"{progress.step} {progress.subject}: {amount(progress)}", err=True)


def amount(progress: Progress) -> str:
    """How far work is, for people."""

    def text(number: int) -> str:
        return (
            output.size(number) if progress.unit == "bytes" else output.count(number, progress.unit.removesuffix("s"))
        )

    done = text(progress.done)
    return done if progress.total is None else f"{done} of {text(progress.total)}"


@contextmanager
def _bars() -> Iterator[Report]:
    from rich import progress as bars  # noqa: PLC0415  # only a terminal needs it
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TextColumn("{task.fields[amount]}  {task.fields[rate]}", markup=False),
        bars.TimeElapsedColumn(),
    )
    tasks: dict[tuple[str, str], tuple[bars.TaskID, float]] = {}
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as view:

        def report(progress: Progress) -> None:
            key = (progress.step, progress.subject)
            if key not in tasks:
                label = f"{progress.step:<6} {progress.subject}"
                tasks[key] = (view.add_task(label, total=progress.total, amount="", rate=""), time.monotonic())
            task, began = tasks[key]
            rate = _rate(progress, time.monotonic() - began)
            view.update(task, completed=progress.done, total=progress.total, amount=amount(progress), rate=rate)

        yield report


def _rate(progress: Progress, elapsed: float) -> str:
    if elapsed < _SOON:
        return ""
    speed = progress.done / elapsed
    return f"{output.size(speed)}/s" if progress.unit == "bytes" else f"{speed:,.0f} {progress.unit}/s"
