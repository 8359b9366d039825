"""Appending: sealed parts are made visible by one commit, exactly once however often that is tried."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from lakehouse.errors import CommitError, SchemaError, StorageError
from lakehouse.storage import sync_file, sync_folders
from lakehouse.tables import opening
from lakehouse.tables.opening import APP, entry, logged, number, translated
from lakehouse.tables.parts import BOUNDED, Part

__all__ = ["KEEP_LOGS", "Commit", "append", "misfits", "schema_of", "sync_log", "version_of"]

_FOREVER = "interval 36500 days"
_PROPERTIES = {
    "delta.appendOnly": "true",
    # Either of the next two alone still lets old versions go: Delta's default forgets after 30 days.
    "delta.logRetentionDuration": _FOREVER,
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": _FOREVER,
    "delta.checkpointInterval": "100",
}
KEEP_LOGS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_TRIES = 50
_INDEXED = 32  # columns whose bounds Delta's readers look at, where nothing else is said
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
        existed = bool(logged(table))
        try:
            with translated(table):
                made = _append_once(table, commit)
        except StorageError as error:
            raced = isinstance(error.__cause__, CommitFailedError) or (not existed and bool(logged(table)))
            if not raced:
                raise
            continue
        if made is None:
            made = _made_before(table, commit, raced=lost > 0)
        sync_log(table, made)
        return made
    raise CommitError(f"Delta table {table}: other writers won {_TRIES} times in a row; run again")


def _skipping(schema: Schema) -> dict[str, str]:
    """What makes Delta's readers look at the bounds of ``_execution`` even in a wide table.

    They look at the first columns only; without those bounds an older state would be read out of all parts.
    """
    names = [field.name for field in schema.fields]
    flat = [field.name for field in schema.fields if isinstance(field.type, PrimitiveType)]
    if BOUNDED not in names or (names[:_INDEXED] == flat[:_INDEXED] and BOUNDED in flat[:_INDEXED]):
        return {}
    plain = [name for name in flat if "`" not in name and name != BOUNDED][: _INDEXED - 1]
    return {"delta.dataSkippingStatsColumns": ",".join(f"`{name}`" for name in (*plain, BOUNDED))}


def _append_once(table: Path, commit: Commit) -> int | None:
    """One try; None when the number is taken. The number is read and written through one opened table."""
    schema = Schema.from_json(commit.schema)
    properties = CommitProperties(
        custom_metadata=dict(commit.note), app_transactions=[Transaction(APP, commit.sequence)]
    )
    actions = [
        AddAction(p.path, p.size, p.partition, p.modified, data_change=True, stats=p.stats) for p in commit.parts
    ]
    opened = opening.opened(table)
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
            configuration=_PROPERTIES | _skipping(schema),
            commit_properties=properties,
        )
        return 0
    if number(opened) >= commit.sequence:
        return None
    if _fit(opened, schema, table):
        opened = DeltaTable(table)
        if number(opened) >= commit.sequence:
            return None
    opened.create_write_transaction(
        list[AddAction | RemoveAction](actions),
        "append",
        schema,
        partition_by=list(commit.partition_by) or None,
        commit_properties=properties,
        post_commithook_properties=KEEP_LOGS,
    )
    return version_of(table, commit.note)


def version_of(table: Path, note: Mapping[str, str]) -> int | None:
    """The version that the commit of this note made, looked for from the newest backwards; None when it made none."""
    # Not by Delta's own history, which is empty where the path holds a '#' or '?'.
    for at in heapq.nlargest(_RECENT, logged(table)):
        with entry(table, at).open(encoding="utf-8") as file:
            info = json.loads(file.readline()).get("commitInfo", {})
        if note.items() <= info.items():
            return at
    return None


def _made_before(table: Path, commit: Commit, *, raced: bool) -> int:
    with translated(table):
        made = version_of(table, commit.note)
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
        opened.alter.add_columns(added, post_commithook_properties=KEEP_LOGS)
    return bool(added)


def sync_log(table: Path, made: int) -> None:
    """Delta's writers do not sync: an acknowledged commit must outlive a power cut."""
    log = table / "_delta_log"
    # New columns are a version of their own just before; each version may have a checkpoint.
    for at in range(max(made - 1, 0), made + 1):
        for file in log.glob(f"{at:020}.*"):
            sync_file(file)
    if (pointer := log / "_last_checkpoint").exists():
        sync_file(pointer)
    sync_folders([log, table], table)
