"""How results look: lines for people, tables, JSON for programs."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import PurePath
from typing import Any, Self

import click

from lakehouse.records import Curated, Landed, Note, Ran, Repaired, printable

__all__ = [
    "Marked",
    "count",
    "curated_line",
    "folded",
    "landed_line",
    "moment",
    "note_lines",
    "plain",
    "ran_lines",
    "repaired_lines",
    "size",
    "table",
    "tell",
]

_SHOWN_NOTES = 5
_BETWEEN = 3  # blanks between the columns of a table on a terminal
_TRUNK = re.compile(r"[│├└─ ]*")
_WIDE = 10_000  # columns a line may have where nobody looks at it on a terminal


class Marked(str):
    """A cell of a table that stands out on a terminal; ``style`` is rich's."""

    __slots__ = ("style",)
    style: str

    def __new__(cls, text: str, style: str) -> Self:
        """A text with its style."""
        made = super().__new__(cls, text)
        made.style = style
        return made


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def moment(value: datetime | None) -> str:
    """A moment to the second, UTC; ``-`` for none."""
    return "-" if value is None else value.strftime("%Y-%m-%d %H:%M:%SZ")


def plain(value: Any) -> Any:
    """A result as JSON's own types: dataclasses by field, moments as ISO text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value, str) else value.name
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return [plain(item) for item in value] if isinstance(value, Iterable) else str(value)


def tell(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(plain(value)))


def folded(line: str) -> str:
    """A line folded at words to the width of the terminal, under its own branch of a tree; whole elsewhere."""
    if not sys.stdout.isatty():
        return line
    trunk = _TRUNK.match(line)
    rail = "".join("│" if mark in "│├" else " " for mark in (trunk[0] if trunk else ""))
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        subsequent_indent=f"{rail}  ",
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = (), spare: Sequence[str] = ()
) -> None:
    """A table on stdout: fitted to a terminal, as wide as it needs to be elsewhere.

    Args:
        columns: the headings.
        rows: the cells; None is shown as nothing.
        right: headings of the columns that are numbers.
        spare: headings of the columns that are left out, the first one first, while a terminal is too narrow.
    """
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  # --help need not pay for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    rows = list(rows)
    if terminal:
        columns, rows = _fitted(columns, rows, spare, shutil.get_terminal_size().columns)
    view = Table(box=SIMPLE_HEAD if terminal else None, header_style="bold", pad_edge=False)
    numbers = set(right)
    for name in columns:
        view.add_column(Text(printable(name)), justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        view.add_row(*(Text(printable(_shown(cell)), _style(cell)) for cell in row))
    console = Console(width=None if terminal else _WIDE, highlight=False)
    with console.capture() as capture:
        console.print(view)
    click.echo("\n".join(line.rstrip() for line in capture.get().rstrip("\n").splitlines()))


def _shown(cell: object) -> str:
    """A cell's text; of a list or struct its JSON."""
    if isinstance(cell, (list, dict)):
        return json.dumps(plain(cell), ensure_ascii=False)
    return "" if cell is None else str(cell)


def _style(cell: object) -> str:
    return cell.style if isinstance(cell, Marked) else ""


def _fitted(
    columns: Sequence[str], rows: Sequence[Sequence[object]], spare: Sequence[str], width: int
) -> tuple[list[str], list[list[object]]]:
    """Columns and rows without as many of the spare columns as are too many for the width."""
    from rich.cells import cell_len  # noqa: PLC0415  # --help need not pay for it

    kept = list(range(len(columns)))
    wide = [max(cell_len(str(cell)) for cell in (name, *(row[at] for row in rows))) for at, name in enumerate(columns)]
    for name in spare:
        if name in columns and sum(wide[at] + _BETWEEN for at in kept) > width + 1:
            kept.remove(columns.index(name))
    return [columns[at] for at in kept], [[row[at] for at in kept] for row in rows]


def landed_line(landed: Landed) -> str:
    """What a landing did, on one line."""
    if landed.files == 0:
        return "no files there"
    said = {
        "new": landed.new,
        "unchanged": landed.unchanged,
        "with known content": landed.duplicates,
        "still settling": landed.settling,
        "failed": landed.failed,
    }
    parts = ", ".join(f"{number:,} {what}" for what, number in said.items() if number)
    stored = f", {size(landed.size)}" if landed.new else ""
    if landed.unchanged == landed.files:
        return f"nothing new ({count(landed.files, 'file')})"
    return f"{count(landed.files, 'file')}: {parts}{stored}"


def curated_line(curated: Curated) -> str:
    """What a curation did, on one line."""
    if curated.execution == 0:
        return "nothing new"
    made = "no new version" if curated.version is None else f"version {curated.version}"
    refused = f", {count(curated.refused, 'file')} refused" if curated.refused else ""
    rows = f"{count(curated.read, 'row')} read = {curated.curated:,} curated + {curated.rejected:,} rejected"
    silent = {"unchanged": curated.unchanged, "duplicates": curated.duplicates}
    rows += "".join(f" + {number:,} {what}" for what, number in silent.items() if number)
    deleted = f"; {count(curated.deleted, 'key')} deleted" if curated.deleted else ""
    derived = curated.read and not curated.files and not curated.refused
    files = "" if derived else f"{count(curated.files, 'file')}{refused}, "
    return f"{made}: {files}{rows}{deleted}"


def note_lines(notes: Iterable[Note]) -> list[str]:
    """Notes by kind, a few of each."""
    kinds: dict[str, list[Note]] = {}
    for note in notes:
        kinds.setdefault(note.kind, []).append(note)
    lines = []
    for kind, of_it in kinds.items():
        shown = of_it if len(of_it) <= _SHOWN_NOTES + 1 else of_it[:_SHOWN_NOTES]
        lines += [f"{kind}: {printable(note.where)}: {_one_line(note.message)}" for note in shown]
        if len(of_it) > len(shown):
            lines.append(f"{kind}: and {len(of_it) - len(shown):,} more")
    return lines


def ran_lines(ran: Ran) -> Iterable[str]:
    """What a run did: a line a source, a dataset and a note, and the time."""
    width = max((len(name) for name in (*(s.source for s in ran.landed), *(c.dataset for c in ran.curated))), default=0)
    for landed in ran.landed:
        yield f"landed   {landed.source:<{width}}  {landed_line(landed)} ({landed.seconds:.1f} s)"
    for curated in ran.curated:
        yield f"curated  {curated.dataset:<{width}}  {curated_line(curated)} ({curated.seconds:.1f} s)"
    steps: list[Landed | Curated] = [*ran.landed, *ran.curated]
    yield from map(folded, note_lines([*(note for step in steps for note in step.notes), *ran.notes]))
    verdict = click.style("done", fg="green") if ran.ok else click.style("finished with problems", fg="red")
    yield f"{ran.job}: {verdict} in {ran.seconds:.1f} s (run {ran.run})"


def repaired_lines(repaired: Repaired) -> Iterable[str]:
    """What a repair did, and what it could not."""
    restored = count(repaired.restored, "execution")
    if repaired.rebuilt:
        yield f"rebuilt: the ledger has {restored} again ({printable(repaired.rebuilt)})"
    elif repaired.restored:
        yield f"restored: {restored} that the ledger did not know"
    if repaired.set_aside:
        yield f"kept: the ledger that was there, as {printable(repaired.set_aside)}"
    if repaired.approximate:
        some = ", ".join(f"execution:{number}" for number in repaired.approximate[:_SHOWN_NOTES])
        more = ", …" if len(repaired.approximate) > _SHOWN_NOTES else ""
        yield (
            f"approximate: {count(len(repaired.approximate), 'execution')} left no receipt and came back as far as "
            f"commits and manifests tell ({some}{more}); versions carry the times of their commits"
        )
    if repaired.rebuilt:
        gone = f"{count(repaired.lost, 'execution')} left too little in the lake, and " if repaired.lost else ""
        yield f"not restored: {gone}what other programs recorded in the ledger by themselves"
    for sentence in repaired.settled:
        yield f"settled: {printable(sentence)}"
    written = [(repaired.receipts, "receipt"), (repaired.manifests, "manifest")]
    if any(number for number, _ in written):
        yield f"wrote: {', '.join(count(number, what) for number, what in written if number)}"
    if repaired == Repaired():
        yield "nothing to repair"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
