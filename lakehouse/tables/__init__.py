"""Delta tables that only grow: parts are sealed on disk first, then made visible by one commit.

The only module that knows deltalake. A table's folder holds sealed parts, named
``<execution>-<number>-<sha256>.parquet``, and the log; every commit is guarded by an application
transaction, so that a commit tried twice, or by two processes, happens once.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from lakehouse.errors import CommitError, IntegrityError, SchemaError, StorageError
from lakehouse.storage import hash_file, sync_file, sync_folders
from lakehouse.tables.parts import Part, seal

__all__ = ["Commit", "Layout", "Part", "append", "faults", "layout", "orphans", "scan", "schema_of", "seal", "version"]

_APP = "lakehouse"
_FOREVER = "interval 36500 days"
_PROPERTIES = {
    "delta.appendOnly": "true",
    # Either of the next two alone still lets old versions go: Delta's default forgets after 30 days.
    "delta.logRetentionDuration": _FOREVER,
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": _FOREVER,
    "delta.checkpointInterval": "100",
}
_KEEP_LOGS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_TRIES = 50
_RECENT = 1000  # versions looked at to find a commit made before a crash


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one commit needs, so that it can be made again after a crash.

    Attributes:
        sequence: the commit's number in its table, counted by the caller from 1.
        parts: the sealed parts.
        schema: all columns, as Delta's JSON.
        note: what the commit says of itself in the log; unique to it.
        partition_by: columns, at the making of the table.
        description: of the table, at its making.
    """

    sequence: int
    parts: tuple[Part, ...]
    schema: str
    note: Mapping[str, str]
    partition_by: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def from_json(cls, text: str) -> Commit:
        """Read back what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "parts": tuple(Part(**p) for p in values["parts"])})

    def to_json(self) -> str:
        """The commit as text, for the ledger to keep until it is made."""
        return json.dumps(asdict(self))


def schema_of(dtypes: Mapping[str, pl.DataType]) -> str:
    """Columns and dtypes as Delta's schema JSON."""
    return Schema.from_arrow(pl.DataFrame(schema=dict(dtypes)).to_arrow().schema).to_json()


@contextmanager
def _translated(table: Path) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise StorageError(f"Delta table {table}: {str(error).splitlines()[0]}") from error


def _open(table: Path, version: int | None = None) -> DeltaTable | None:
    if not (table / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(table, version=version)
    except TableNotFoundError:
        return None


def version(table: Path) -> int | None:
    """The newest version; None where there is no table yet."""
    with _translated(table):
        opened = _open(table)
        return None if opened is None else opened.version()


class Layout(NamedTuple):
    """A table's columns as polars dtypes, and the columns it is partitioned by."""

    dtypes: dict[str, pl.DataType]
    partition_by: tuple[str, ...]


def layout(table: Path) -> Layout | None:
    """How the table is laid out; None where there is no table yet."""
    with _translated(table):
        opened = _open(table)
        if opened is None:
            return None
        empty = pl.DataFrame(opened.schema().to_arrow().empty_table())
        return Layout(dict(empty.schema), tuple(opened.metadata().partition_columns))


def scan(table: Path, version: int | None = None) -> pl.LazyFrame:
    """The rows of a version, lazily; filters skip files and row groups by their statistics.

    Raises:
        StorageError: there is no such table or version.
    """
    plain = _reachable(table)
    with _translated(table):
        return pl.scan_delta(DeltaTable(plain, version=version))


def append(table: Path, commit: Commit) -> int:
    """Make sealed parts visible by one commit, exactly once however often this is called.

    Args:
        table: the table's folder; the table is made where there is none.
        commit: what to make visible. New columns are added to the table; none may change its type.

    Returns:
        The table's version that holds the parts.

    Raises:
        CommitError: another writer took this commit's number, or won too often.
        SchemaError: a column's dtype is not the table's.
    """
    for _ in range(_TRIES):
        existed = version(table) is not None
        try:
            with _translated(table):
                made = _append_once(table, commit)
        except StorageError as error:
            raced = isinstance(error.__cause__, CommitFailedError) or (not existed and version(table) is not None)
            if not raced:
                raise
            continue
        if made is None:
            return _made_before(table, commit)
        _sync_log(table)
        return made
    raise CommitError(f"Delta table {table}: other writers won {_TRIES} times in a row; run again")


def _append_once(table: Path, commit: Commit) -> int | None:
    """One try; None when the number is taken. The number is read and written through one opened table."""
    schema = Schema.from_json(commit.schema)
    properties = CommitProperties(
        custom_metadata=dict(commit.note), app_transactions=[Transaction(_APP, commit.sequence)]
    )
    actions = [
        AddAction(p.path, p.size, p.partition, p.modified, data_change=True, stats=p.stats) for p in commit.parts
    ]
    opened = _open(table)
    if opened is None:
        table.mkdir(parents=True, exist_ok=True)
        create_table_with_add_actions(
            str(table),
            schema,
            actions,
            mode="error",
            partition_by=list(commit.partition_by),
            description=commit.description or None,
            configuration=_PROPERTIES,
            commit_properties=properties,
        )
        return 0
    if _number(opened) >= commit.sequence:
        return None
    if _fit(opened, schema, table):
        opened = DeltaTable(table)
        if _number(opened) >= commit.sequence:
            return None
    opened.create_write_transaction(
        list[AddAction | RemoveAction](actions),
        "append",
        schema,
        partition_by=list(commit.partition_by) or None,
        commit_properties=properties,
        post_commithook_properties=_KEEP_LOGS,
    )
    return _version_of(table, commit)


def _number(opened: DeltaTable) -> int:
    number = opened.transaction_version(_APP)
    return -1 if number is None else number


def _version_of(table: Path, commit: Commit) -> int | None:
    """The version this very commit made, looked for from the newest backwards; None when it made none."""
    note = commit.note.items()
    entries = DeltaTable(table).history(_RECENT)
    return next((int(entry["version"]) for entry in entries if note <= entry.items()), None)


def _made_before(table: Path, commit: Commit) -> int:
    made = _version_of(table, commit)
    if made is None:
        raise CommitError(f"Delta table {table}: another process made commit {commit.sequence} first; run again")
    return made


def _fit(opened: DeltaTable, schema: Schema, table: Path) -> bool:
    """Add columns the table lacks, which is a version of its own; whether there were any.

    Raises:
        SchemaError: a column's type changed: a Delta append would cast its values without a word.
    """
    known = {field.name: field.type for field in opened.schema().fields}
    changed = [
        f"{f.name} from {known[f.name]} to {f.type}" for f in schema.fields if known.get(f.name, f.type) != f.type
    ]
    if changed:
        raise SchemaError(f"Delta table {table}: a column's type cannot change ({'; '.join(changed)})")
    added = [Field(f.name, f.type, nullable=True) for f in schema.fields if f.name not in known]
    if added:
        opened.alter.add_columns(added, post_commithook_properties=_KEEP_LOGS)
    return bool(added)


def _sync_log(table: Path) -> None:
    """Delta's writers do not sync: an acknowledged commit must outlive a power cut."""
    log = table / "_delta_log"
    newest = sorted(log.iterdir())[-3:]  # the entry, and a checkpoint with its pointer
    for file in newest:
        sync_file(file)
    sync_folders([log, table], table)


def orphans(table: Path, execution: int) -> list[Path]:
    """Sealed parts of an execution, to be removed when it never committed."""
    return sorted(table.glob(f"{execution}-*.parquet")) if table.is_dir() else []


def faults(table: Path) -> Iterator[str]:
    """Everything that breaks a table's promise to only grow and stay whole, one sentence each.

    Every version's log entry is read, and every part hashed again.
    """
    opened = _open(table)
    if opened is None:
        return
    if opened.metadata().configuration.get("delta.appendOnly") != "true":
        yield f"{table}: delta.appendOnly was switched off"
    last = opened.version()
    for number in range(last + 1):
        entry = table / "_delta_log" / f"{number:020}.json"
        if not entry.is_file():
            yield f"{table}: the log entry of version {number} is gone"
            continue
        yield from _entry_faults(table, number, entry)


def _entry_faults(table: Path, number: int, entry: Path) -> Iterator[str]:
    for line in entry.read_text("utf-8").splitlines():
        action = json.loads(line)
        if "remove" in action:
            yield f"{table}: version {number} removes {action['remove']['path']}"
        if "add" in action:
            try:
                _whole(table / action["add"]["path"])
            except IntegrityError as error:
                yield f"{table}: version {number}: {error}"


def _whole(part: Path) -> None:
    if not part.is_file():
        raise IntegrityError(f"{part.name} is gone")
    if hash_file(part) != part.stem.rpartition("-")[2]:
        raise IntegrityError(f"{part.name} no longer matches its hash")


def _reachable(table: Path) -> Path:
    """The table under a path polars can read: it takes blanks and non-ASCII for percent codes."""
    text = str(table)
    if text.isascii() and not set(text) & set(' %#?[]*"<>|\\^`{}'):
        return table
    return _alias(table.parents[2]) / table.relative_to(table.parents[2])


@functools.cache
def _alias(folder: Path) -> Path:
    """A plain-named symbolic link to a folder, for as long as the process lives."""
    links = Path(tempfile.mkdtemp(prefix="lakehouse-"))
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    link = links / "lake"
    link.symlink_to(folder, target_is_directory=True)
    return link
