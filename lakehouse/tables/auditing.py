"""Whether a Delta table still is what the lake made: only grown, by nobody else, every byte there."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.lib import ArrowException

from lakehouse.errors import StorageError
from lakehouse.storage import hash_file
from lakehouse.tables import opening
from lakehouse.tables.compacting import KIND, same_rows
from lakehouse.tables.opening import entry, logged
from lakehouse.tables.parts import SEALED, statistics

__all__ = [
    "Fault",
    "Made",
    "commits",
    "faults",
    "foreign",
    "highest_execution",
    "is_table",
    "orphans",
    "since",
    "strays",
]

_OURS = "lakehouse.execution"  # stands in the note of every commit of the lake
_NOTE = "lakehouse."
_LOGGED = re.compile(r"\d{20}\.json|\d{20}\.checkpoint(\..*)?\.parquet|_last_checkpoint|.*(\.tmp|#\d+)")
_ADDING = "ADD COLUMN"
_BACKUP = "bring the file back from a backup of the lake"
_FOREIGN = "find out which program wrote to the lake's folder, and bring the table's folder back from a backup"
_CLEANED = (
    "the log entries of versions 0 to {} were cleaned away behind a checkpoint; the newest version holds all rows, so "
    "every version of the dataset still answers"
)
_CLEANER = "nothing; but find out which program cleaned them away"
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, StorageError)


class Fault(NamedTuple):
    """One broken promise of a table, or something harmless that is worth knowing; and what to do next."""

    message: str
    what_to_do: str
    harmless: bool = False


def is_table(table: Path) -> bool:
    """Whether a folder holds a Delta table, whole or not."""
    return (table / "_delta_log").is_dir()


def faults(table: Path) -> Iterator[Fault]:
    """Everything that breaks a table's promise to only grow and stay whole.

    Every log entry is read, and every part of the newest version hashed again: it holds the rows of all versions.
    Entries that were cleaned away behind a checkpoint are told as harmless. Parts that an optimization replaced
    may be gone; while they are there, the new ones' rows are held against theirs.

    Args:
        table: the table's folder; nothing is told of one that holds no table.
    """
    if not is_table(table):
        return
    opened = None
    try:
        opened = DeltaTable(table)
    except (DeltaError, OSError) as error:
        yield Fault(f"cannot be opened: {str(error).splitlines()[0]}", _BACKUP)
    log = _Log(table)
    yield from log.entries(-1 if opened is None else opened.version())
    for path, add in log.active.items():
        if damage := _damage(table, add):
            yield Fault(f"{path} {damage}", _BACKUP)
    if opened is None:
        return
    if opened.metadata().configuration.get("delta.appendOnly") != "true":
        yield Fault("delta.appendOnly is switched off", "set the table's property back to true")
    if log.whole and log.active.keys() != opening.active(opened).keys():
        yield Fault(
            "its checkpoint lists other parts than its log",
            "remove _delta_log/_last_checkpoint and the *.checkpoint.parquet files: they are made again from the log",
        )


@dataclass(slots=True)
class _Log:
    """A table's log, read from its begin.

    Attributes:
        active: the parts of the version that was read last, with what the log says of them.
        whole: whether every entry could be read.
    """

    table: Path
    active: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    whole: bool = True

    def entries(self, last: int) -> Iterator[Fault]:
        """Read every entry; what is wrong with any. ``last`` is a version that there is."""
        numbers = logged(self.table)
        last = max(last, *numbers, -1)
        start, self.active = _behind(self.table, numbers, last)
        first = 0 if start is None else min(numbers)
        if first:
            yield Fault(_CLEANED.format(first - 1), _CLEANER, harmless=True)
        for number in range(first, last + 1):
            actions = _actions(self.table, number)
            if isinstance(actions, Fault):
                self.whole = False
                yield actions
                continue
            yield from _entry_faults(number, actions)
            if start is None or number > start:
                yield from self._follow(number, actions)

    def _follow(self, number: int, actions: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
        """Take in what a version added and removed; whether it may have."""
        added = {_path(action["add"]): action["add"] for action in actions if "add" in action}
        removed = [_path(action["remove"]) for action in actions if "remove" in action]
        gone = {path: self.active.pop(path, {}) for path in removed}
        self.active |= added
        if _kind(actions) == KIND:
            yield from _replaced(self.table, number, gone, added)


def since(table: Path) -> int:
    """The first version whose log entry is there; those before it were cleaned away, or are gone."""
    return min(logged(table), default=0)


def _behind(table: Path, numbers: Collection[int], last: int) -> tuple[int | None, dict[str, Mapping[str, Any]]]:
    """The checkpoint behind which the first entries were cleaned away, and its parts; None where none were."""
    first = min(numbers, default=0)
    if not first or set(numbers) != set(range(first, last + 1)):
        return None, {}
    there = (int(file.name[:20]) for file in _checkpoints(table) if file.name[:20].isdecimal())
    start = min((number for number in there if number >= first - 1), default=None)
    if start is None:
        return None, {}
    with contextlib.suppress(*_UNREADABLE):
        return start, dict(_listed(table / "_delta_log" / f"{start:020}.checkpoint.parquet", "add"))
    return None, {}


def _checkpoints(table: Path) -> list[Path]:
    return sorted((table / "_delta_log").glob("*.checkpoint.parquet"))


def _listed(checkpoint: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parts that a checkpoint lists: those to ``add``, or those to ``remove``."""
    actions = pl.read_parquet(checkpoint, columns=[kind], glob=False)[kind].drop_nulls().to_frame().unnest(kind)
    wanted = [name for name in ("path", "size", "stats") if name in actions.columns]
    for action in actions.select(wanted).drop_nulls("path").iter_rows(named=True):
        yield _path(action), action


def strays(table: Path) -> list[str]:
    """Names of the Parquet files in a table's folder that belong to none of its versions.

    Raises:
        StorageError: the table cannot be read.
    """
    log = table / "_delta_log"
    known: set[str] = set()
    for number in sorted(logged(table)):
        actions = _actions(table, number)
        if isinstance(actions, Fault):
            raise StorageError(f"Delta table {table}: {actions.message}")
        known |= {_path(action["add"]) for action in actions if "add" in action}
    if since(table):  # what the entries before it said stands in the checkpoints
        try:
            known |= {
                path for file in _checkpoints(table) for kind in ("add", "remove") for path, _ in _listed(file, kind)
            }
        except _UNREADABLE as error:
            raise StorageError(f"Delta table {table}: a checkpoint cannot be read: {error}") from error
    files = {str(file.relative_to(table)) for file in table.rglob("*.parquet") if log not in file.parents}
    return sorted(files - known)


def orphans(table: Path, execution: int) -> list[Path]:
    """Sealed parts of an execution that belong to no version of the table.

    Raises:
        StorageError: that cannot be told, as the table's log cannot be read.
    """
    mine = sorted(table.rglob(f"{execution}-*.parquet")) if table.is_dir() else []
    unknown = {table / name for name in strays(table)} if mine else set()
    return [part for part in mine if part in unknown]


class Made(NamedTuple):
    """A version that a commit of the lake made.

    Attributes:
        execution: the curation's number, None where the note has none.
        sequence: the commit's number among those of its table, 0 where it has none.
        rows: how many it appended.
        at: when, by the clock of the machine that wrote it.
        note: what it says of itself.
    """

    number: int
    execution: int | None
    sequence: int
    rows: int
    at: datetime
    note: Mapping[str, str]


def commits(table: Path) -> Iterator[Made]:
    """The versions that the lake's commits made, oldest first, as far as the log can be read.

    Args:
        table: the table's folder; nothing is told of one that holds no table.
    """
    for number in sorted(logged(table)):
        actions = _actions(table, number)
        if isinstance(actions, Fault) or not actions or _OURS not in actions[0]["commitInfo"]:
            continue
        info = actions[0]["commitInfo"]
        stats = [json.loads(action["add"].get("stats") or "{}") for action in actions if "add" in action]
        yield Made(
            number=number,
            execution=int(info[_OURS]) if str(info[_OURS]).isdecimal() else None,
            sequence=max((int(action["txn"]["version"]) for action in actions if "txn" in action), default=0),
            rows=sum(one.get("numRecords", 0) for one in stats),
            at=datetime.fromtimestamp(int(info.get("timestamp", 0)) / 1000, UTC),
            note={key: value for key, value in info.items() if key.startswith(_NOTE)},
        )


def highest_execution(folder: Path) -> int:
    """The highest execution that a part anywhere in a folder is named after; 0 where there is none."""
    numbers = (file.name.partition("-")[0] for file in folder.rglob("*.parquet"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def foreign(table: Path) -> list[str]:
    """Names of the files in a table's folder that are neither parts nor of its log."""
    log = table / "_delta_log"
    files = [file for file in table.rglob("*") if file.is_file()]
    return sorted(
        str(file.relative_to(table))
        for file in files
        if (not _LOGGED.fullmatch(file.name) if log in file.parents else file.suffix != ".parquet")
    )


def _path(action: Mapping[str, Any]) -> str:
    return urllib.parse.unquote(str(action["path"]))


def _actions(table: Path, number: int) -> list[dict[str, Any]] | Fault:
    """What a log entry says; a fault when it is gone or damaged."""
    file = entry(table, number)
    if not file.is_file():
        return Fault(f"the log entry of version {number} is gone", _BACKUP)
    try:
        actions = [json.loads(line) for line in file.read_bytes().split(b"\n") if line]
        if actions and all(isinstance(a, dict) for a in actions) and "commitInfo" in actions[0]:
            for action in actions:
                _ = [_path(action[kind]) for kind in ("add", "remove") if kind in action]
            return actions
    except (ValueError, KeyError, TypeError):
        pass
    return Fault(f"the log entry of version {number} is damaged", _BACKUP)


def _kind(actions: Sequence[Mapping[str, Any]]) -> str:
    return str(actions[0]["commitInfo"].get("lakehouse.kind", ""))


def _entry_faults(number: int, actions: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    """What somebody else wrote into the log, and what nobody may write there."""
    info = actions[0]["commitInfo"]
    if _OURS not in info and info.get("operation") != _ADDING:
        idle = all(action.keys() <= {"commitInfo"} for action in actions)  # as a vacuum leaves
        message = f"version {number} ({info.get('operation', 'unknown')}) was not made by the lake"
        yield Fault(f"{message}, and changed nothing", "nothing", harmless=True) if idle else Fault(message, _FOREIGN)
    ours = _OURS in info and _kind(actions) == KIND
    for action in actions:
        if "remove" in action and not (ours and action["remove"].get("dataChange") is False):
            yield Fault(f"version {number} removes {_path(action['remove'])}", _FOREIGN)
        if "metaData" in action and action["metaData"].get("configuration", {}).get("delta.appendOnly") != "true":
            yield Fault(f"version {number} switched delta.appendOnly off", _FOREIGN)


def _replaced(
    table: Path, number: int, gone: Mapping[str, Mapping[str, Any]], added: Mapping[str, Mapping[str, Any]]
) -> Iterator[Fault]:
    """Whether an optimization put the same rows in the place of others: by the log, and by the parts still there."""
    before, after = _rows(gone), _rows(added)
    if before != after:
        said = f"{sum(after.values()):,} rows in the place of {sum(before.values()):,}"
        yield Fault(f"version {number} put {said}", _FOREIGN)
        return
    old, new = ([table / path for path in side] for side in (gone, added))
    if any(_changed(file) for file in (*old, *new)):
        return  # a vacuum took the old ones; what is wrong with a new one is told of itself
    with contextlib.suppress(*_UNREADABLE):
        if not same_rows(table, old, new):
            yield Fault(f"version {number} put other rows in the place of those it replaced", _FOREIGN)


def _rows(adds: Mapping[str, Mapping[str, Any]]) -> Counter[PurePosixPath]:
    """How many rows parts hold by the log, by the folder of their partition."""
    found: Counter[PurePosixPath] = Counter()
    for path, add in adds.items():
        found[PurePosixPath(path).parent] += int(json.loads(add.get("stats") or "{}").get("numRecords") or 0)
    return found


def _changed(part: Path) -> bool:
    """Whether a part is gone, or no longer what was sealed."""
    sealed = SEALED.fullmatch(part.name)
    return not part.is_file() or sealed is None or hash_file(part) != sealed[1]


def _damage(table: Path, add: Mapping[str, Any]) -> str:
    """What is wrong with a part; "" when it is what the lake sealed."""
    part = table / _path(add)
    if not part.is_file():
        return "is gone"
    sealed = SEALED.fullmatch(part.name)
    if sealed is None:
        return "was written by another program"
    if hash_file(part) != sealed[1]:
        return "no longer matches its hash"
    try:
        noted, true = json.loads(add.get("stats") or "{}"), statistics(pq.read_metadata(part), ())
    except (ValueError, OSError, ArrowException) as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    differs = add.get("size") != part.stat().st_size or noted.get("numRecords") != true["numRecords"]
    # A bound that was altered makes readers skip a part that holds what they look for.
    differs = differs or any(
        name in true[kind] and true[kind][name] != value
        for kind in ("minValues", "maxValues", "nullCount")
        for name, value in noted.get(kind, {}).items()
    )
    return "is not what its log entry says" if differs else ""
