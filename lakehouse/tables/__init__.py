"""Delta tables that only grow: parts are sealed on disk first, then made visible by one commit.

The only module that knows deltalake. A table's folder holds sealed parts, named
``<execution>-<number>-<sha256>.parquet`` (in folders ``column=value`` where it is partitioned), and
the log; every commit is guarded by an application transaction, so that a commit tried twice, or by
two processes, happens once.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from lakehouse.errors import CommitError, SchemaError, StorageError
from lakehouse.storage import sync_file, sync_folders
from lakehouse.tables.auditing import Fault, Made, commits, count, faults, foreign, highest_execution, is_table, strays
from lakehouse.tables.parts import Part, seal

__all__ = [
    "Commit",
    "Fault",
    "Layout",
    "Made",
    "Part",
    "append",
    "commits",
    "count",
    "faults",
    "foreign",
    "highest_execution",
    "is_table",
    "layout",
    "misfits",
    "orphans",
    "scan",
    "schema_of",
    "seal",
    "sequence",
    "strays",
    "version",
]

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
_Opened = TypeVar("_Opened", bound=DeltaTable)
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
        parts = tuple(Part(**part) for part in values["parts"])
        return cls(**{**values, "parts": parts, "partition_by": tuple(values["partition_by"])})

    def to_json(self) -> str:
        """The commit as text, for the ledger to keep until it is made."""
        return json.dumps(asdict(self))


def schema_of(dtypes: Mapping[str, pl.DataType]) -> str:
    """Columns and dtypes as Delta's schema JSON."""
    return Schema.from_arrow(pl.DataFrame(schema=dict(dtypes)).to_arrow().schema).to_json()


def misfits(known: Mapping[str, pl.DataType], wanted: Mapping[str, pl.DataType]) -> list[str]:
    """What keeps columns from being appended to a table: a changed type, or a name that differs only by case.

    Args:
        known: the table's columns; {} for a table that is still to be made.
        wanted: the columns to append.
    """
    changed = [
        f"{name} from {known[name]} to {dtype}" for name, dtype in wanted.items() if known.get(name, dtype) != dtype
    ]
    folded: dict[str, str] = {}
    for name in (*known, *wanted):
        other = folded.setdefault(name.lower(), name)
        if other != name and (clash := f"{name} beside {other}, which differs only by case") not in changed:
            changed.append(clash)
    return changed


class _Plain(DeltaTable):
    """A table whose local paths stand as they are: Delta gives percent codes, which polars does not take back."""

    def file_uris(self, *filters: Any, **options: Any) -> list[str]:
        """The parts' paths. Only the table's own folder is in percent codes, a part's path below it is not."""
        coded = super().table_uri.removeprefix("file://")
        plain = urllib.parse.unquote(coded)
        return [plain + uri.removeprefix(coded) for uri in super().file_uris(*filters, **options)]

    @property
    def table_uri(self) -> str:
        """The table's folder."""
        return urllib.parse.unquote(super().table_uri)


@contextmanager
def _translated(table: Path) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise StorageError(f"Delta table {table}: {str(error).splitlines()[0]}") from error


def _open(table: Path) -> DeltaTable | None:
    if not (table / "_delta_log").is_dir():
        return None
    try:
        return _whole(DeltaTable, table)
    except TableNotFoundError:
        return None


def _whole(kind: type[_Opened], table: Path, version: int | None = None) -> _Opened:
    """A version, opened; its log entry must be whole, as Delta takes an empty one for a version without rows.

    Raises:
        StorageError: the entry is torn.
    """
    try:
        opened = kind(table, version=version)
    except TableNotFoundError:
        raise
    except DeltaError:
        newest = max((table / "_delta_log").glob("*.json"), default=None)
        if newest is not None:
            _refuse_torn(newest)
        raise
    _refuse_torn(_entry(table, opened.version()))
    return opened


def _entry(table: Path, number: int) -> Path:
    return table / "_delta_log" / f"{number:020}.json"


def _refuse_torn(entry: Path) -> None:
    if not entry.exists():
        return  # Delta read a checkpoint in its place
    last = entry.read_bytes().removesuffix(b"\n").rpartition(b"\n")[2]
    try:
        json.loads(last)
    except ValueError:
        raise StorageError(
            f"{entry} is torn: it does not end with a whole line; nothing was read or written. "
            "Bring it back from a backup of the lake, then run `lakehouse check`"
        ) from None


def sequence(table: Path) -> int:
    """The number of the newest commit that the lake made; 0 where there is none."""
    with _translated(table):
        opened = _open(table)
        return 0 if opened is None else max(_number(opened), 0)


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
    with _translated(table):
        return pl.scan_delta(_whole(_Plain, table, version))


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
    for lost in range(_TRIES):
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
            made = _made_before(table, commit, raced=lost > 0)
        _sync_log(table, made)
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
        # A retry would put a lost race for version 0 into version 1, past the transaction's number.
        properties.max_commit_retries = 0
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
    newest = DeltaTable(table).version()
    # Not by Delta's own history, which is empty where the path holds a '#' or '?'.
    for number in range(newest, max(newest - _RECENT, -1), -1):
        with _entry(table, number).open(encoding="utf-8") as entry:
            info = json.loads(entry.readline()).get("commitInfo", {})
        if commit.note.items() <= info.items():
            return number
    return None


def _made_before(table: Path, commit: Commit, *, raced: bool) -> int:
    with _translated(table):
        made = _version_of(table, commit)
    if made is not None:
        return made
    if raced:
        raise CommitError(f"Delta table {table}: another process made commit {commit.sequence} first; run again")
    raise CommitError(
        f"Delta table {table}: the ledger does not know commit {commit.sequence} of this table: it was restored from "
        "an older copy or lost; run `lakehouse check --repair`, or bring metadata.db back from a newer backup (if "
        "another process curated just now, run again)"
    )


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


def _sync_log(table: Path, made: int) -> None:
    """Delta's writers do not sync: an acknowledged commit must outlive a power cut."""
    log = table / "_delta_log"
    # New columns are a version of their own just before; each version may have a checkpoint.
    for number in range(max(made - 1, 0), made + 1):
        for file in log.glob(f"{number:020}.*"):
            sync_file(file)
    if (pointer := log / "_last_checkpoint").exists():
        sync_file(pointer)
    sync_folders([log, table], table)


def orphans(table: Path, execution: int) -> list[Path]:
    """Sealed parts of an execution that belong to no version of the table.

    Raises:
        StorageError: that cannot be told, as the table's log cannot be read.
    """
    mine = sorted(table.rglob(f"{execution}-*.parquet")) if table.is_dir() else []
    unknown = {table / name for name in strays(table)} if mine else set()
    return [part for part in mine if part in unknown]
