"""The tables: ML Metadata's fifteen (schema version 10), and two of the lake's own beside them.

Nothing here may change ML Metadata's tables, columns or indices: its client and the tools built on
it open a lake's ledger, and the lake opens theirs. What ML Metadata has no place for goes into a
table of our own, prefixed ``lakehouse_``.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    text,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

SCHEMA_VERSION: Final = 10
"""ML Metadata's schema version that these tables are."""

OWN_VERSION: Final = 1
"""The version of the lake's own tables."""

EXECUTION_KIND: Final = 0
ARTIFACT_KIND: Final = 1
CONTEXT_KIND: Final = 2

# A read-only open by ML Metadata's client fails unless all nine are there.
BUILT_IN_TYPES: Final = (
    ("mlmd.Dataset", ARTIFACT_KIND),
    ("mlmd.Model", ARTIFACT_KIND),
    ("mlmd.Metrics", ARTIFACT_KIND),
    ("mlmd.Statistics", ARTIFACT_KIND),
    ("mlmd.Train", EXECUTION_KIND),
    ("mlmd.Transform", EXECUTION_KIND),
    ("mlmd.Process", EXECUTION_KIND),
    ("mlmd.Evaluate", EXECUTION_KIND),
    ("mlmd.Deploy", EXECUTION_KIND),
)


class _Spelled(UserDefinedType[int]):
    """An integer type written the way ML Metadata writes it for SQLite."""

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **_: Any) -> str:
        return self.spelling


_INT: TypeEngine[int] = BigInteger().with_variant(_Spelled("INT"), "sqlite")
_TINY: TypeEngine[int] = SmallInteger().with_variant(_Spelled("TINYINT(1)"), "sqlite")
_NAME = String(255)

metadata = MetaData()


def _id() -> Column[int]:
    # Nullable as theirs is: NOT NULL would make another table of it.
    return Column("id", Integer, primary_key=True, nullable=True)


def _external_id() -> Column[str]:
    return Column("external_id", _NAME, unique=True)


def _times() -> tuple[Column[int], Column[int]]:
    return (
        Column("create_time_since_epoch", _INT, nullable=False, server_default=text("0")),
        Column("last_update_time_since_epoch", _INT, nullable=False, server_default=text("0")),
    )


def _indices(table: Table, prefix: str, *columns: str) -> None:
    for column in columns:
        Index(f"idx_{prefix}_{column}", table.c[column])


def _properties(owner: str) -> Table:
    """The properties of artifacts, executions or contexts: one row each, one of six values set."""
    table = Table(
        f"{owner}Property",
        metadata,
        Column(f"{owner.lower()}_id", _INT, primary_key=True, autoincrement=False),
        Column("name", _NAME, primary_key=True),
        Column("is_custom_property", _TINY, primary_key=True),
        Column("int_value", _INT),
        Column("double_value", Double),
        Column("string_value", Text),
        Column("byte_value", LargeBinary),
        Column("proto_value", LargeBinary),
        Column("bool_value", Boolean),
    )
    for kind in ("int", "double", "string"):
        value = table.c[f"{kind}_value"]
        Index(
            f"idx_{owner.lower()}_property_{kind}",
            table.c.name,
            table.c.is_custom_property,
            value,
            sqlite_where=value.is_not(None),
        )
    return table


type_ = Table(
    "Type",
    metadata,
    _id(),
    Column("name", _NAME, nullable=False),
    Column("version", _NAME),
    Column("type_kind", _TINY, nullable=False),
    Column("description", Text),
    Column("input_type", Text),
    Column("output_type", Text),
    _external_id(),
    sqlite_autoincrement=True,
)
_indices(type_, "type", "name", "external_id")

type_property = Table(
    "TypeProperty",
    metadata,
    Column("type_id", _INT, primary_key=True, autoincrement=False),
    Column("name", _NAME, primary_key=True),
    Column("data_type", _INT),
)

parent_type = Table(
    "ParentType",
    metadata,
    Column("type_id", _INT, primary_key=True, autoincrement=False),
    Column("parent_type_id", _INT, primary_key=True, autoincrement=False),
)

artifact = Table(
    "Artifact",
    metadata,
    _id(),
    Column("type_id", _INT, nullable=False),
    Column("uri", Text),
    Column("state", _INT),
    Column("name", _NAME),
    _external_id(),
    *_times(),
    UniqueConstraint("type_id", "name"),
    sqlite_autoincrement=True,
)
_indices(artifact, "artifact", "uri", "create_time_since_epoch", "last_update_time_since_epoch", "external_id")

artifact_property = _properties("Artifact")

execution = Table(
    "Execution",
    metadata,
    _id(),
    Column("type_id", _INT, nullable=False),
    Column("last_known_state", _INT),
    Column("name", _NAME),
    _external_id(),
    *_times(),
    UniqueConstraint("type_id", "name"),
    sqlite_autoincrement=True,
)
_indices(execution, "execution", "create_time_since_epoch", "last_update_time_since_epoch", "external_id")

execution_property = _properties("Execution")

context = Table(
    "Context",
    metadata,
    _id(),
    Column("type_id", _INT, nullable=False),
    Column("name", _NAME, nullable=False),
    _external_id(),
    *_times(),
    UniqueConstraint("type_id", "name"),
    sqlite_autoincrement=True,
)
_indices(context, "context", "create_time_since_epoch", "last_update_time_since_epoch", "external_id")

context_property = _properties("Context")

parent_context = Table(
    "ParentContext",
    metadata,
    Column("context_id", _INT, primary_key=True, autoincrement=False),
    Column("parent_context_id", _INT, primary_key=True, autoincrement=False),
)
_indices(parent_context, "parentcontext", "parent_context_id")

event = Table(
    "Event",
    metadata,
    _id(),
    Column("artifact_id", _INT, nullable=False),
    Column("execution_id", _INT, nullable=False),
    Column("type", _INT, nullable=False),
    Column("milliseconds_since_epoch", _INT),
    UniqueConstraint("artifact_id", "execution_id", "type"),
    sqlite_autoincrement=True,
)
_indices(event, "event", "execution_id")

event_path = Table(
    "EventPath",
    metadata,
    Column("event_id", _INT, nullable=False),
    Column("is_index_step", _TINY, nullable=False),
    Column("step_index", _INT),
    Column("step_key", Text),
)
_indices(event_path, "eventpath", "event_id")

association = Table(
    "Association",
    metadata,
    _id(),
    Column("context_id", _INT, nullable=False),
    Column("execution_id", _INT, nullable=False),
    UniqueConstraint("context_id", "execution_id"),
    sqlite_autoincrement=True,
)

attribution = Table(
    "Attribution",
    metadata,
    _id(),
    Column("context_id", _INT, nullable=False),
    Column("artifact_id", _INT, nullable=False),
    UniqueConstraint("context_id", "artifact_id"),
    sqlite_autoincrement=True,
)

mlmd_env = Table("MLMDEnv", metadata, Column("schema_version", Integer, primary_key=True, nullable=True))

THEIRS: Final = tuple(metadata.tables.values())
"""ML Metadata's fifteen."""

own_env = Table("lakehouse_Env", metadata, Column("schema_version", Integer, primary_key=True, nullable=True))

sighting = Table(
    "lakehouse_Sighting",
    metadata,
    _id(),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("size", _INT, nullable=False),
    Column("modified", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("seen_at", _INT, nullable=False),  # microseconds since 1970-01-01 UTC
    Column("execution_id", _INT, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_lakehouse_sighting_origin", sighting.c.source, sighting.c.origin, sighting.c.id)
Index("idx_lakehouse_sighting_sha256", sighting.c.sha256)

OURS: Final = (own_env, sighting)
"""The lake's own."""


def create_theirs(connection: Connection) -> None:
    """Make ML Metadata's tables, its version row and its built-in types, in the caller's transaction."""
    metadata.create_all(connection, tables=THEIRS, checkfirst=False)
    connection.execute(insert(mlmd_env).values(schema_version=SCHEMA_VERSION))
    connection.execute(insert(type_), [{"name": name, "type_kind": kind} for name, kind in BUILT_IN_TYPES])


def create_ours(connection: Connection) -> None:
    """Make the lake's own tables and their version row, in the caller's transaction."""
    metadata.create_all(connection, tables=OURS, checkfirst=False)
    connection.execute(insert(own_env).values(schema_version=OWN_VERSION))
