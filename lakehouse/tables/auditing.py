"""Whether a Delta table still is what the lake made: only grown, by nobody else, every byte there."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.lib import ArrowException

from lakehouse.errors import StorageError
from lakehouse.storage import hash_file
from lakehouse.tables.parts import statistics

__all__ = ["Fault", "Made", "commits", "count", "faults", "foreign", "highest_execution", "is_table", "strays"]

_PART = re.compile(r"\d+-\d+-([0-9a-f]{64})\.parquet")
_OURS = "lakehouse.execution"  # stands in the note of every commit of the lake
_NOTE = "lakehouse."
_LOGGED = re.compile(r"\d{20}\.json|\d{20}\.checkpoint(\..*)?\.parquet|_last_checkpoint|.*(\.tmp|#\d+)")
_ADDING = "ADD COLUMN"
_BACKUP = "bring the file back from a backup of the lake"
_FOREIGN = "find out which program wrote to the lake's folder, and bring the table's folder back from a backup"


class Fault(NamedTuple):
    """One broken promise of a table, and what to do next."""

    message: str
    what_to_do: str


def is_table(table: Path) -> bool:
    """Whether a folder holds a Delta table, whole or not."""
    return (table / "_delta_log").is_dir()


def faults(table: Path) -> Iterator[Fault]:
    """Everything that breaks a table's promise to only grow and stay whole.

    Every version's log entry is read, and every part hashed again.

    Args:
        table: the table's folder; nothing is told of one that holds no table.
    """
    log = table / "_delta_log"
    if not log.is_dir():
        return
    opened = None
    try:
        opened = DeltaTable(table)
    except (DeltaError, OSError) as error:
        yield Fault(f"cannot be opened: {str(error).splitlines()[0]}", _BACKUP)
    numbers = {int(entry.stem) for entry in log.glob("*.json") if entry.stem.isdecimal()}
    last = max(numbers, default=-1) if opened is None else max(opened.version(), *numbers)
    added: set[str] = set()
    readable = True
    for number in range(last + 1):
        actions = _actions(log / f"{number:020}.json", number)
        if isinstance(actions, Fault):
            readable = False
            yield actions
            continue
        added |= {_path(action["add"]) for action in actions if "add" in action}
        added -= {_path(action["remove"]) for action in actions if "remove" in action}
        yield from _entry_faults(table, number, actions)
    if opened is None:
        return
    if opened.metadata().configuration.get("delta.appendOnly") != "true":
        yield Fault("delta.appendOnly is switched off", "set the table's property back to true")
    if readable and added != _parts(opened):
        yield Fault(
            "its checkpoint lists other parts than its log",
            "remove _delta_log/_last_checkpoint and the *.checkpoint.parquet files: they are made again from the log",
        )


def strays(table: Path) -> list[str]:
    """Names of the Parquet files in a table's folder that belong to none of its versions.

    Raises:
        StorageError: the table cannot be read.
    """
    log = table / "_delta_log"
    entries = sorted(log.glob("*.json")) if log.is_dir() else []
    known: set[str] = set()
    for entry in entries:
        actions = _actions(entry, int(entry.stem))
        if isinstance(actions, Fault):
            raise StorageError(f"Delta table {table}: {actions.message}")
        known |= {_path(action["add"]) for action in actions if "add" in action}
    files = {str(file.relative_to(table)) for file in table.rglob("*.parquet") if log not in file.parents}
    return sorted(files - known)


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
    for entry in sorted((table / "_delta_log").glob("*.json")):
        actions = _actions(entry, int(entry.stem)) if entry.stem.isdecimal() else []
        if isinstance(actions, Fault) or not actions or _OURS not in actions[0]["commitInfo"]:
            continue
        info = actions[0]["commitInfo"]
        stats = [json.loads(action["add"].get("stats") or "{}") for action in actions if "add" in action]
        yield Made(
            number=int(entry.stem),
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


def count(table: Path, version: int) -> int:
    """How many rows a version holds, by its log; opens that version as a reader would.

    Raises:
        StorageError: the version does not open.
    """
    try:
        rows = DeltaTable(table, version=version).get_add_actions(flatten=True).column("num_records").to_pylist()
    except (DeltaError, OSError, KeyError, ValueError) as error:
        raise StorageError(f"version {version} does not open: {str(error).splitlines()[0]}") from error
    return sum(n or 0 for n in rows)


def _parts(opened: DeltaTable) -> set[str]:
    return {urllib.parse.unquote(str(path)) for path in opened.get_add_actions(flatten=True).column("path").to_pylist()}


def _path(action: Mapping[str, Any]) -> str:
    return urllib.parse.unquote(str(action["path"]))


def _actions(entry: Path, number: int) -> list[dict[str, Any]] | Fault:
    """What a log entry says; a fault when it is gone or damaged."""
    if not entry.is_file():
        return Fault(f"the log entry of version {number} is gone", _BACKUP)
    try:
        actions = [json.loads(line) for line in entry.read_bytes().split(b"\n") if line]
        if actions and all(isinstance(a, dict) for a in actions) and "commitInfo" in actions[0]:
            for action in actions:
                _ = [_path(action[kind]) for kind in ("add", "remove") if kind in action]
            return actions
    except (ValueError, KeyError, TypeError):
        pass
    return Fault(f"the log entry of version {number} is damaged", _BACKUP)


def _entry_faults(table: Path, number: int, actions: list[dict[str, Any]]) -> Iterator[Fault]:
    info = actions[0]["commitInfo"]
    if _OURS not in info and info.get("operation") != _ADDING:
        yield Fault(f"version {number} ({info.get('operation', 'unknown')}) was not made by the lake", _FOREIGN)
    for action in actions:
        if "remove" in action:
            yield Fault(f"version {number} removes {_path(action['remove'])}", _FOREIGN)
        if "metaData" in action and action["metaData"].get("configuration", {}).get("delta.appendOnly") != "true":
            yield Fault(f"version {number} switched delta.appendOnly off", _FOREIGN)
        if "add" in action and (damage := _damage(table, action["add"])):
            yield Fault(f"version {number}: {_path(action['add'])} {damage}", _BACKUP)


def _damage(table: Path, add: Mapping[str, Any]) -> str:
    """What is wrong with a part; "" when it is what the lake sealed."""
    part = table / _path(add)
    if not part.is_file():
        return "is gone"
    sealed = _PART.fullmatch(part.name)
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
