"""The tables: ML Metadata's fifteen (schema version 10), and the lake's own beside them.

Nothing here may change ML Metadata's tables, columns or indices: its client and the tools built on
it open a lake's ledger, and the lake opens theirs. What ML Metadata has no place for goes into a
table of our own, prefixed ``lakehouse_``; an index more is prefixed ``idx_lakehouse_``.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    func,
    insert,
    inspect,
    quoted_name,
    text,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB, MEDIUMTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn, CreateTable
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeEngine, UserDefinedType

SCHEMA_VERSION: Final = 10
"""ML Metadata's schema version that these tables are."""

OWN_VERSION: Final = 3
"""The version of the lake's own tables; `migrations` brings older ones here."""

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
    """An integer type written the way ML Metadata writes it."""

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **_: Any) -> str:
        return self.spelling


# 32 bits on the servers, 64 in SQLite.
_INT: TypeEngine[int] = Integer().with_variant(_Spelled("INT"), "sqlite")
_LONG: TypeEngine[int] = BigInteger().with_variant(_Spelled("INT"), "sqlite")
_TINY: TypeEngine[int] = SmallInteger().with_variant(_Spelled("TINYINT(1)"), "sqlite", "mysql")
_FLAG: TypeEngine[int] = _TINY.with_variant(Boolean(), "postgresql")
_NAME = String(255)
_LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql")
_BYTES = LargeBinary().with_variant(MEDIUMBLOB(), "mysql")
# What SQLite numbers its rows by, which ML Metadata does not call NOT NULL.
_ROWID: Final = {"rowid": True}
# MySQL indexes the beginning of a text only.
_PREFIX: Final = 255

metadata = MetaData()


def _table(name: str, *parts: Column[Any] | UniqueConstraint, **options: Any) -> Table:
    # Never quoted, so that PostgreSQL keeps it in lower case as it does ML Metadata's.
    return Table(name, metadata, *parts, quote=False, **options)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, info=_ROWID)


def _version() -> Column[int]:
    return Column("schema_version", Integer, primary_key=True, autoincrement=False, info=_ROWID)


def _external_id() -> Column[str]:
    return Column("external_id", _NAME, unique=True)


def _times() -> tuple[Column[int], Column[int]]:
    return (
        Column("create_time_since_epoch", _LONG, nullable=False, server_default=text("0")),
        Column("last_update_time_since_epoch", _LONG, nullable=False, server_default=text("0")),
    )


def _indices(table: Table, prefix: str, *columns: str) -> None:
    for column in columns:
        length = {column: _PREFIX} if isinstance(table.c[column].type, Text) else {}
        Index(f"idx_{prefix}_{column}", table.c[column], mysql_length=length)


def _unique(name: str, *columns: str) -> UniqueConstraint:
    return UniqueConstraint(*columns, name=quoted_name(name, quote=False))


def _properties(owner: str) -> Table:
    """The properties of artifacts, executions or contexts: one row each, one of six values set."""
    table = _table(
        f"{owner}Property",
        Column(f"{owner.lower()}_id", _INT, primary_key=True, autoincrement=False),
        Column("name", _NAME, primary_key=True),
        Column("is_custom_property", _FLAG, primary_key=True),
        Column("int_value", _INT),
        Column("double_value", Double),
        Column("string_value", _LONG_TEXT),
        Column("byte_value", _BYTES),
        Column("proto_value", _BYTES),
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
            mysql_length={value.name: _PREFIX} if kind == "string" else {},
        )
    return table


type_ = _table(
    "Type",
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

type_property = _table(
    "TypeProperty",
    Column("type_id", _INT, primary_key=True, autoincrement=False),
    Column("name", _NAME, primary_key=True),
    Column("data_type", _INT),
)

parent_type = _table(
    "ParentType",
    Column("type_id", _INT, primary_key=True, autoincrement=False),
    Column("parent_type_id", _INT, primary_key=True, autoincrement=False),
)

artifact = _table(
    "Artifact",
    _id(),
    Column("type_id", _INT, nullable=False),
    Column("uri", Text),
    Column("state", _INT),
    Column("name", _NAME),
    _external_id(),
    *_times(),
    _unique("UniqueArtifactTypeName", "type_id", "name"),
    sqlite_autoincrement=True,
)
_indices(artifact, "artifact", "uri", "create_time_since_epoch", "last_update_time_since_epoch", "external_id")

artifact_property = _properties("Artifact")

execution = _table(
    "Execution",
    _id(),
    Column("type_id", _INT, nullable=False),
    Column("last_known_state", _INT),
    Column("name", _NAME),
    _external_id(),
    *_times(),
    _unique("UniqueExecutionTypeName", "type_id", "name"),
    sqlite_autoincrement=True,
)
_indices(execution, "execution", "create_time_since_epoch", "last_update_time_since_epoch", "external_id")

# What waits and what runs is looked for all the time, among all that ever ran.
Index("idx_lakehouse_execution_state", execution.c.last_known_state, execution.c.type_id)

execution_property = _properties("Execution")

context = _table(
    "Context",
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

parent_context = _table(
    "ParentContext",
    Column("context_id", _INT, primary_key=True, autoincrement=False),
    Column("parent_context_id", _INT, primary_key=True, autoincrement=False),
)
_indices(parent_context, "parentcontext", "parent_context_id")

event = _table(
    "Event",
    _id(),
    Column("artifact_id", _INT, nullable=False),
    Column("execution_id", _INT, nullable=False),
    Column("type", _INT, nullable=False),
    Column("milliseconds_since_epoch", _LONG),
    _unique("UniqueEvent", "artifact_id", "execution_id", "type"),
    sqlite_autoincrement=True,
)
_indices(event, "event", "execution_id")

event_path = _table(
    "EventPath",
    Column("event_id", _INT, nullable=False),
    Column("is_index_step", _FLAG, nullable=False),
    Column("step_index", _INT),
    Column("step_key", Text),
)
_indices(event_path, "eventpath", "event_id")

association = _table(
    "Association",
    _id(),
    Column("context_id", _INT, nullable=False),
    Column("execution_id", _INT, nullable=False),
    UniqueConstraint("context_id", "execution_id"),
    sqlite_autoincrement=True,
)
# ML Metadata reads the whole table to tell which contexts a record is in.
Index("idx_lakehouse_association_execution_id", association.c.execution_id)

attribution = _table(
    "Attribution",
    _id(),
    Column("context_id", _INT, nullable=False),
    Column("artifact_id", _INT, nullable=False),
    UniqueConstraint("context_id", "artifact_id"),
    sqlite_autoincrement=True,
)
Index("idx_lakehouse_attribution_artifact_id", attribution.c.artifact_id)

mlmd_env = _table("MLMDEnv", _version())

THEIRS: Final = tuple(metadata.tables.values())
"""ML Metadata's fifteen."""

own_env = _table("lakehouse_Env", _version())

sighting = _table(
    "lakehouse_Sighting",
    _id(),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("size", _LONG, nullable=False),
    Column("modified", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("seen_at", _LONG, nullable=False),  # microseconds since 1970-01-01 UTC
    Column("execution_id", _INT, nullable=False),
    sqlite_autoincrement=True,
)
_SIGHTING_ORIGIN: Final = "idx_lakehouse_sighting_origin"
# PostgreSQL refuses a row whose indexed texts are longer than 2,700 bytes together.
Index(_SIGHTING_ORIGIN, sighting.c.source, func.left(sighting.c.origin, 500), sighting.c.id).ddl_if("postgresql")
Index(
    _SIGHTING_ORIGIN,
    sighting.c.source,
    sighting.c.origin,
    sighting.c.id,
    mysql_length={"source": 64, "origin": _PREFIX},
).ddl_if(callable_=lambda *_, dialect, **__: dialect.name != "postgresql")
Index("idx_lakehouse_sighting_sha256", sighting.c.sha256)
Index("idx_lakehouse_sighting_execution", sighting.c.source, sighting.c.execution_id, mysql_length={"source": 64})

# Of a source's raw files, those up to one artifact; derived, see `overview.keep_totals`.
total = _table(
    "lakehouse_Total",
    Column("context_id", _INT, primary_key=True, autoincrement=False),
    Column("artifact_id", _INT, nullable=False),
    Column("files", _INT, nullable=False),
    Column("size", _LONG, nullable=False),
    Column("landed_at", Text),  # as the artifacts have it
)

# What was deleted, and the events that went with it; see `deletion`.
tombstone = _table(
    "lakehouse_Tombstone",
    Column("type_kind", _TINY, primary_key=True, autoincrement=False),
    Column("record_id", _INT, primary_key=True, autoincrement=False),
    Column("type", _NAME, nullable=False),
    Column("name", _NAME),
    Column("external_id", _NAME),
    Column("uri", Text),
    Column("deleted_at", _LONG, nullable=False),  # milliseconds since 1970-01-01 UTC
    Column("reason", Text, nullable=False),
)
Index("idx_lakehouse_tombstone_external_id", tombstone.c.external_id)

tombstone_event = _table(
    "lakehouse_TombstoneEvent",
    Column("artifact_id", _INT, primary_key=True, autoincrement=False),
    Column("execution_id", _INT, primary_key=True, autoincrement=False),
    Column("type", _INT, primary_key=True, autoincrement=False),
    Column("milliseconds_since_epoch", _LONG),
)
Index("idx_lakehouse_tombstoneevent_execution_id", tombstone_event.c.execution_id)

# What is remembered between runs, see `remembering`.
memory = _table(
    "lakehouse_Memory",
    Column("subject", _NAME, primary_key=True),
    Column("name", _NAME, primary_key=True),
    Column("value", _LONG_TEXT, nullable=False),
)

OURS: Final = (own_env, sighting, total, tombstone, tombstone_event, memory)
"""The lake's own."""

INDEXED: Final = (association, attribution, execution)
"""ML Metadata's that have an index of the lake's own."""


def create_theirs(connection: Connection) -> None:
    """Make ML Metadata's tables, its version row and its built-in types, in the caller's transaction."""
    create_missing(connection, THEIRS)
    fill_theirs(connection)


def fill_theirs(connection: Connection) -> None:
    """Insert what a new ML Metadata database holds."""
    connection.execute(insert(type_), [{"name": name, "type_kind": kind} for name, kind in BUILT_IN_TYPES])
    connection.execute(insert(mlmd_env).values(schema_version=SCHEMA_VERSION))


def create_ours(connection: Connection) -> None:
    """Make the lake's own tables and their version row, in the caller's transaction."""
    create_missing(connection, (*OURS, *INDEXED))
    fill_ours(connection)


def fill_ours(connection: Connection) -> None:
    """Insert what the lake's own tables hold in a new ledger."""
    connection.execute(insert(own_env).values(schema_version=OWN_VERSION))


def create_missing(connection: Connection, wanted: Sequence[Table]) -> None:
    """Make those of the tables, and of their indices, that are not there."""
    inspector = inspect(connection)
    known = {name.lower(): name for name in inspector.get_table_names()}
    metadata.create_all(connection, tables=[t for t in wanted if t.name.lower() not in known], checkfirst=False)
    for table in (table for table in wanted if table.name.lower() in known):
        there = {index["name"] for index in inspector.get_indexes(known[table.name.lower()])}
        for index in (index for index in table.indexes if index.name not in there):
            index.create(connection)


def present(connection: Connection) -> set[str]:
    """The names of the database's tables, in lower case as PostgreSQL keeps them."""
    return {name.lower() for name in inspect(connection).get_table_names()}


@compiles(CreateTable, "mysql")
def _create_table(creating: CreateTable, compiler: DDLCompiler, **options: Any) -> str:
    """Text that differs in anything at all is different, as in the other databases."""
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"  # type: ignore[attr-defined]
    made = str(compiler.visit_create_table(creating, **options))  # type: ignore[no-untyped-call]
    return f"{made} ENGINE=InnoDB CHARSET=utf8mb4 COLLATE={collation}"


@compiles(CreateColumn, "sqlite")
def _create_column(creating: CreateColumn, compiler: DDLCompiler, **options: Any) -> str:
    made = str(compiler.visit_create_column(creating, **options))  # type: ignore[no-untyped-call]
    return made.replace(" NOT NULL", "") if creating.element.info == _ROWID else made
