"""Properties and their types: which column a value stands in, and what each type's properties are.

A type is registered when it is first used, with its properties; a property met later is added, and
one whose values change their type is refused, as ML Metadata does.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, Table, insert, select

from lakehouse.errors import MetadataError
from lakehouse.metadata import structs, tables
from lakehouse.records import Artifact, Context, Execution, Value

Record: TypeAlias = Artifact | Execution | Context


class DataType(enum.IntEnum):
    """ML Metadata's property types, with its numbers."""

    UNKNOWN = 0
    INT = 1
    DOUBLE = 2
    STRING = 3
    STRUCT = 4
    PROTO = 5
    BOOLEAN = 6


_COLUMNS: Final = {
    DataType.INT: "int_value",
    DataType.DOUBLE: "double_value",
    DataType.STRING: "string_value",
    DataType.STRUCT: "string_value",
    DataType.BOOLEAN: "bool_value",
}
_EXACT_TYPES: Final = {bool: DataType.BOOLEAN, int: DataType.INT, float: DataType.DOUBLE, str: DataType.STRING}
_INT64: Final = range(-(2**63), 2**63)


def data_type(value: Value) -> DataType:
    """The type a value is stored as.

    Raises:
        MetadataError: it is none of them.
    """
    exact = _EXACT_TYPES.get(type(value))
    if exact is not None:
        return exact
    match value:
        case int():
            return DataType.INT
        case float():
            return DataType.DOUBLE
        case str():
            return DataType.STRING
        case Mapping() | list():
            return DataType.STRUCT
        case _:
            raise MetadataError(
                f"a {type(value).__name__} cannot be stored: give an int, float, str, bool, list or mapping"
            )


def _stored(value: Value) -> Any:
    """The value as its column holds it.

    Raises:
        MetadataError: the column cannot hold it and give the same back.
    """
    match value:
        case Mapping() | list():
            return structs.dump(value)
        case int() if value not in _INT64:
            raise MetadataError("a whole number of more than 64 bits cannot be stored: give it as text")
        case float() if math.isnan(value):
            raise MetadataError("NaN cannot be stored: leave it out")
        case str() if value.startswith(structs.PREFIX):
            raise MetadataError(f"a text starting with '{structs.PREFIX}' would be read back as a mapping")
        case _:
            return value


def insert_one(connection: Connection, table: Table, **values: Any) -> int:
    """Insert one row and give its id."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    if key is None:
        raise MetadataError(f"The database gave no id for a row of {table.name}.")
    return int(key[0])


class PropertyRows:
    """Rows for one property table, gathered to be inserted a column at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._owner = table.c[0].name
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, owner: int, record: Record) -> None:
        """Gather a record's properties of both sorts."""
        self._gather(owner, record, record.properties, custom=0)
        self._gather(owner, record, record.custom_properties, custom=1)

    def insert(self, connection: Connection) -> None:
        """Insert what was gathered."""
        for rows in self._rows.values():
            connection.execute(insert(self._table), rows)

    def _gather(self, owner: int, record: Record, properties: Mapping[str, Value], custom: int) -> None:
        for name, value in properties.items():
            try:
                column, stored = _COLUMNS[data_type(value)], _stored(value)
            except MetadataError as error:
                raise MetadataError(f"Property '{name}' of {record.type}: {error}") from error
            self._rows.setdefault(column, []).append(
                {self._owner: owner, "name": name, "is_custom_property": custom, column: stored}
            )


def read_value(row: Row[*tuple[Any, ...]]) -> Value | None:
    """The value of a property's row; None for a PROTO, which only its writer can read."""
    if row.string_value is not None:
        text = str(row.string_value)
        return structs.load(text) if text.startswith(structs.PREFIX) else text
    for value in (row.int_value, row.double_value, row.bool_value):
        if value is not None:
            return value  # type: ignore[no-any-return]
    return None


@dataclass(slots=True)
class _Type:
    id: int
    properties: dict[str, int] = field(default_factory=dict)


class Types:
    """The registered types as one transaction sees and adds to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types: dict[tuple[int, str], _Type] = {}
        t, p = tables.type_, tables.type_property
        query = (
            select(t.c.id, t.c.type_kind, t.c.name, p.c.name.label("property"), p.c.data_type)
            .join_from(t, p, p.c.type_id == t.c.id, isouter=True)
            .where(t.c.version.is_(None))
        )
        for row in connection.execute(query):
            known = self._types.setdefault((row.type_kind, row.name), _Type(row.id))
            if row.property is not None:
                known.properties[row.property] = row.data_type

    def id(self, kind: int, name: str) -> int | None:
        """A type's id, None while nothing of it has been stored."""
        found = self._types.get((kind, name))
        return found.id if found else None

    def register(self, kind: int, records: Iterable[Record]) -> None:
        """Make the types of these records known, with the properties they have.

        Raises:
            MetadataError: a property's value is of another type than registered.
        """
        added: list[dict[str, Any]] = []
        for record in records:
            known = self._types.get((kind, record.type)) or self._add(kind, record.type)
            for name, value in record.properties.items():
                given = _data_type_of(record, name, value)
                registered = known.properties.get(name)
                if registered is None:
                    known.properties[name] = given
                    added.append({"type_id": known.id, "name": name, "data_type": int(given)})
                elif registered != given:
                    raise MetadataError(
                        f"Property '{name}' of {record.type} is {DataType(registered).name} in the ledger, "
                        f"not {given.name}: give it as such, or take another name for it."
                    )
        if added:
            self._connection.execute(insert(tables.type_property), added)

    def _add(self, kind: int, name: str) -> _Type:
        if not name:
            raise MetadataError("A record needs a type.")
        made = self._types[kind, name] = _Type(insert_one(self._connection, tables.type_, name=name, type_kind=kind))
        return made


def _data_type_of(record: Record, name: str, value: Value) -> DataType:
    try:
        return data_type(value)
    except MetadataError as error:
        raise MetadataError(f"Property '{name}' of {record.type}: {error}") from error
