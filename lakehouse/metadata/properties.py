"""The values of properties: which type each has, and which column it stands in.

One of a row's six value columns is set. A value that its column cannot give back as it was stands in
``byte_value``, which ML Metadata's own client leaves unused: after one byte that tells what it is.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Row, Select, Table, select, type_coerce
from sqlalchemy.types import NullType

from lakehouse.errors import MetadataError, RecordError
from lakehouse.metadata import structs
from lakehouse.metadata.statements import insert_tuples, kept
from lakehouse.records import Artifact, Context, DataType, Execution, Proto, Value

Record: TypeAlias = Artifact | Execution | Context

Key: TypeAlias = tuple[bool, str]
"""Whether a property is a custom one, and its name."""

Values: TypeAlias = dict[Key, "Stored"]
"""A record's properties of both sorts, as they are stored."""

# A bool is an int too, so it comes first.
_TYPES: Final[dict[type, DataType]] = {
    bool: DataType.BOOLEAN,
    int: DataType.INT,
    float: DataType.DOUBLE,
    str: DataType.STRING,
    Proto: DataType.PROTO,
    list: DataType.STRUCT,
    dict: DataType.STRUCT,
    Mapping: DataType.STRUCT,
}
_INT64: Final = range(-(2**63), 2**63)
_INT32: Final = range(-(2**31), 2**31)
# A row of PostgreSQL's index over name and text holds 2,704 bytes.
_LONGEST: Final = 2_600
_DOUBLE_FORM: Final = struct.Struct("<d")
# What the first byte of a `byte_value` says.
_TEXT: Final = b"t"
_STRUCT: Final = b"s"
_INT: Final = b"i"
_DOUBLE: Final = b"d"


class Stored(NamedTuple):
    """A value as its row has it."""

    column: str
    value: Any


def data_type(value: Value) -> DataType:
    """The type a value is stored as.

    Raises:
        RecordError: it is none of them.
    """
    exact = _TYPES.get(type(value))
    if exact is not None:
        return exact
    for known, kind in _TYPES.items():
        if isinstance(value, known):
            return kind
    raise _unknown(value)


def _unknown(value: object) -> RecordError:
    return RecordError(
        f"a {type(value).__name__} cannot be stored: give an int, float, str, bool, list, mapping or Proto"
    )


def stored(name: str, value: Value, dialect: str) -> Stored:  # noqa: C901  # a case a type
    """How a database of this dialect holds the property's value.

    Raises:
        MetadataError: it cannot be stored.
    """
    match value:
        case str():
            if value.startswith(structs.PREFIX) or (dialect == "postgresql" and _unfit(name, value)):
                return Stored("byte_value", _TEXT + value.encode())
            return Stored("string_value", value)
        case bool():
            return Stored("bool_value", value)
        case int():
            if value not in _INT64:
                raise RecordError("a whole number of more than 64 bits cannot be stored: give it as text")
            if dialect != "sqlite" and value not in _INT32:
                return Stored("byte_value", _INT + value.to_bytes(8, "little", signed=True))
            return Stored("int_value", value)
        case float():
            # NaN equals nothing, so it cannot be compared; MySQL has no infinity.
            if math.isnan(value) or (dialect == "mysql" and math.isinf(value)):
                return Stored("byte_value", _DOUBLE + _DOUBLE_FORM.pack(value))
            return Stored("double_value", value)
        case Proto():
            data = structs.pack(value)
            return Stored("proto_value", data if dialect == "postgresql" else base64.b64encode(data).decode("ascii"))
        case Mapping() | list():
            text = structs.dump(value)
            if dialect == "postgresql" and _unfit(name, text):
                return Stored("byte_value", _STRUCT + structs.encode(value))
            return Stored("string_value", text)
        case _:
            raise _unknown(value)


def _unfit(name: str, text: str) -> bool:
    return "\0" in text or len(text) * 4 > _LONGEST < len(text.encode()) + len(name.encode())


def all_stored(record: Record, dialect: str) -> Values:
    """A record's properties of both sorts, as they are to be stored; raises as `stored` does."""
    values: Values = {}
    for custom, properties in ((False, record.properties), (True, record.custom_properties)):
        for name, value in properties.items():
            try:
                values[custom, name] = stored(name, value, dialect)
            except MetadataError as error:
                raise RecordError(f"Property '{name}' of {record.type or record.id}: {error}") from error
    return values


class PropertyRows:
    """Rows for one property table, gathered to be inserted a column at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._gathered: list[tuple[int, Record]] = []

    def add(self, owner: int, record: Record) -> None:
        """Gather a record's properties of both sorts."""
        if record.properties or record.custom_properties:
            self._gathered.append((owner, record))

    def insert(self, connection: Connection) -> None:
        """Insert what was gathered."""
        dialect = connection.dialect.name
        insert_values(
            connection, self._table, ((owner, all_stored(record, dialect)) for owner, record in self._gathered)
        )


def insert_values(connection: Connection, table: Table, owners: Iterable[tuple[int, Values]]) -> None:
    """Insert each owner's values."""
    rows: dict[str, list[tuple[int, str, bool, Any]]] = {}
    for owner, values in owners:
        for (custom, name), (column, value) in values.items():
            rows.setdefault(column, []).append((owner, name, custom, value))
    for column, those in rows.items():
        insert_tuples(connection, table, (table.c[0].name, "name", "is_custom_property", column), those)


@cache
def rows_of(table: Table) -> Select[*tuple[Any, ...]]:
    """The table's rows as `read_value` and `read_stored` need them, the owner first."""
    columns = [c if c.name != "proto_value" else type_coerce(c, NullType()).label(c.name) for c in table.c]
    return kept(select(*columns))


def read_stored(row: Row[*tuple[Any, ...]]) -> Stored:
    """A property's row as `stored` makes it, to be compared."""
    for column in ("string_value", "int_value", "double_value", "bool_value", "byte_value", "proto_value"):
        value = getattr(row, column)
        if value is not None:
            given = isinstance(value, bytes | memoryview) and column == "proto_value"
            return Stored(column, _text_or_bytes(bytes(value)) if given else value)
    return Stored("byte_value", None)


def _text_or_bytes(data: bytes) -> str | bytes:
    """A message as `stored` makes it: base64 text, whatever the driver gives it as, or the message's own bytes."""
    # A serialized Any starts with the tag of its first field, which is no letter of base64.
    return data if data[:1] in {b"", b"\n", b"\x12"} else data.decode("ascii")


def read_value(row: Row[*tuple[Any, ...]]) -> Value | None:
    """The value of a property's row; None where it has none.

    Raises:
        MetadataError: the row is damaged.
    """
    text: str | None = row.string_value
    if text is not None:
        return structs.load(text) if text.startswith(structs.PREFIX) else text
    number: float | None = row.int_value if row.double_value is None else row.double_value
    if number is not None:
        return number
    column, value = read_stored(row)
    match column:
        case "proto_value":
            return structs.unpack(_from_base64(value) if isinstance(value, str) else value)
        case "byte_value":
            return None if value is None else _tagged(bytes(value))
        case "bool_value":
            return bool(value)
        case _:
            return value  # type: ignore[no-any-return]


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MetadataError(f"The ledger holds a damaged PROTO value ({error}).") from error


def _tagged(data: bytes) -> Value:
    tag, content = data[:1], data[1:]
    if tag == _TEXT:
        return content.decode()
    if tag == _STRUCT:
        return structs.decode(content)
    if tag == _INT:
        return int.from_bytes(content, "little", signed=True)
    if tag == _DOUBLE and len(content) == _DOUBLE_FORM.size:
        return float(_DOUBLE_FORM.unpack(content)[0])
    raise MetadataError(f"The ledger holds a value of an unknown kind ({tag!r}): a newer release wrote it.")
