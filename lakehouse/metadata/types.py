"""Types: what properties the artifacts, executions and contexts of a name may have.

A type only grows: properties are added, and never change or go.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Pool, Select, func, select, update
from sqlalchemy.exc import IntegrityError

from lakehouse.errors import MetadataError, RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.properties import Record, data_type
from lakehouse.metadata.reading import matching
from lakehouse.metadata.statements import fetch, insert_missing, insert_rows
from lakehouse.records import DataType, Type, TypeKind, Value

BUILT_IN: Final = frozenset(tables.BUILT_IN_TYPES)
"""Name and kind of those that every ML Metadata database has; they are no one's own."""


@dataclass(slots=True)
class Known:
    """What a transaction knows of a stored type."""

    id: int
    name: str
    properties: dict[str, int] = field(default_factory=dict)


class _Kept(NamedTuple):
    """The types of a database, when there were so many."""

    stamp: tuple[Any, ...]
    named: dict[tuple[int, str, str | None], Known]
    by_id: dict[tuple[int, int], Known]


# By database, so that a put does not read them all again; never what a transaction that may be rolled back has added.
_KEPT: Final[weakref.WeakKeyDictionary[Pool, _Kept]] = weakref.WeakKeyDictionary()
_GROWING: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()
_STAMP: Final = select(
    select(func.max(tables.type_.c.id)).scalar_subquery(),
    select(func.count()).select_from(tables.type_).scalar_subquery(),
    select(func.count()).select_from(tables.type_property).scalar_subquery(),
)


class Types:
    """The registered types as one transaction sees and adds to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Types only grow, so as many as before are the same as before.
        stamp = fetch(connection, _STAMP, {})[0]
        kept = _KEPT.get(connection.engine.pool)
        if kept is not None and kept.stamp == stamp:
            self._named, self._by_id = kept.named, kept.by_id
        else:
            self._named, self._by_id = {}, {}
            self._read()
            if connection not in _GROWING:
                _KEPT[connection.engine.pool] = _Kept(stamp, self._named, self._by_id)

    def _read(self) -> None:
        for row in self._connection.execute(_KNOWN):
            known = self._by_id.get((row.type_kind, row.id)) or self._remember(
                row.type_kind, row.version, Known(row.id, row.name)
            )
            if row.property is not None:
                known.properties[row.property] = row.data_type

    def _growing(self) -> None:
        """Let what this transaction adds be its own: it may yet be rolled back."""
        _GROWING.add(self._connection)
        if _KEPT.pop(self._connection.engine.pool, None) is not None:
            self._named, self._by_id = {}, {}
            self._read()

    def id(self, kind: int, name: str) -> int | None:
        """The id of a type without a version, None while nothing of it has been stored."""
        found = self._named.get((kind, name, None))
        return found.id if found else None

    def of(self, kind: int, record: Record) -> Known:
        """The type that a record names, by id or else by name without a version.

        Raises:
            RecordError: it names none, or one that is not there.
        """
        if record.type_id:
            return self.numbered(kind, record.type_id)
        if not record.type:
            raise RecordError(f"{TypeKind(kind).name.capitalize()} '{record.name or ''}' needs a type.")
        if (found := self._named.get((kind, record.type, None))) is None:
            raise RecordError(f"There is no {TypeKind(kind).name.lower()} type '{record.type}': put it.", "missing")
        return found

    def numbered(self, kind: int, id_: int) -> Known:
        """The type of this id.

        Raises:
            RecordError: it is not there.
        """
        if (found := self._by_id.get((kind, id_))) is None:
            raise RecordError(f"There is no {TypeKind(kind).name.lower()} type {id_}: put it first.", "missing")
        return found

    def register(self, kind: int, records: Iterable[Record]) -> None:
        """Make the types of these records known, with the properties they have.

        Raises:
            RecordError: a property's value is of another type than registered.
        """
        added: list[dict[str, Any]] = []
        for record in records:
            known = self._named.get((kind, record.type, None)) or self._add(kind, record.type)
            for name, value in record.properties.items():
                given = _data_type_of(record, name, value)
                registered = known.properties.get(name)
                if registered is None:
                    self._growing()
                    known = self._named[kind, record.type, None]
                    known.properties[name] = given
                    added.append({"type_id": known.id, "name": name, "data_type": int(given)})
                elif registered != given:
                    raise _mismatch(record, name, registered, given)
        if added:
            insert_missing(self._connection, tables.type_property, added)

    def _add(self, kind: int, name: str) -> Known:
        if not name:
            raise RecordError("A record needs a type.")
        self._growing()
        row = {"name": name, "type_kind": kind}
        return self._remember(kind, None, Known(insert_rows(self._connection, tables.type_, [row])[0], name))

    def _remember(self, kind: int, version: str | None, known: Known) -> Known:
        self._named[kind, known.name, version] = self._by_id[kind, known.id] = known
        return known


def _known() -> Select[*tuple[Any, ...]]:
    t, p = tables.type_, tables.type_property
    return select(t.c.id, t.c.type_kind, t.c.name, t.c.version, p.c.name.label("property"), p.c.data_type).join_from(
        t, p, p.c.type_id == t.c.id, isouter=True
    )


def verify(known: Known, record: Record, names: Collection[str] | None = None) -> None:
    """Look whether the type has these of the record's properties (None: all), with the types of their values.

    Raises:
        RecordError: it does not.
    """
    for name, value in record.properties.items():
        if names is not None and name not in names:
            continue
        registered = known.properties.get(name)
        if registered is None:
            raise RecordError(f"Found unknown property: {name}. The type {known.name} does not have it: add it first.")
        given = _data_type_of(record, name, value)
        if registered != given:
            raise _mismatch(record, name, registered, given)


_KNOWN: Final = _known()


def _mismatch(record: Record, name: str, registered: int, given: DataType) -> RecordError:
    return RecordError(
        f"Property '{name}' of {record.type or record.type_id} is {DataType(registered).name} in the ledger, "
        f"not {given.name}: give it as such, or take another name for it."
    )


def _data_type_of(record: Record, name: str, value: Value) -> DataType:
    try:
        return data_type(value)
    except MetadataError as error:
        raise RecordError(f"Property '{name}' of {record.type}: {error}") from error


def fitted(connection: Connection, kind: TypeKind, record: Record) -> dict[str, Value]:
    """A record's properties as its registered type takes them: an int where there are DOUBLEs is one.

    Raises:
        RecordError: a property's value is of another type than registered.
    """
    known = [found.properties for found in find_types(connection, kind, names=[record.type]) if found.version is None]
    values = dict(record.properties)
    for name, registered in known[0].items() if known else ():
        if name not in values:
            continue
        value, given = values[name], _data_type_of(record, name, values[name])
        if registered is DataType.DOUBLE and isinstance(value, int) and given is DataType.INT:
            values[name] = float(value)
        elif registered is not given:
            raise _mismatch(record, name, registered, given)
    return values


def find_types(
    connection: Connection,
    kind: TypeKind,
    *,
    ids: Collection[int] | None = None,
    names: Collection[str] | None = None,
    external_ids: Collection[str] | None = None,
) -> list[Type]:
    """The types of a kind that meet every condition, all versions of them, oldest first."""
    t, p, parent = tables.type_, tables.type_property, tables.parent_type
    query = select(t).where(t.c.type_kind == int(kind))
    rows = matching(connection, query, (t.c.id, ids), (t.c.name, names), (t.c.external_id, external_ids))
    found = [row.id for row in rows]
    properties: dict[int, dict[str, DataType]] = {}
    for row in matching(connection, select(p), (p.c.type_id, found)):
        properties.setdefault(row.type_id, {})[row.name] = DataType(row.data_type)
    based = select(parent.c.type_id, t.c.name).join_from(parent, t, parent.c.parent_type_id == t.c.id)
    bases = {row.type_id: row.name for row in matching(connection, based, (parent.c.type_id, found))}
    return [
        Type(
            kind,
            row.name,
            properties.get(row.id, {}),
            row.version or None,
            row.description,
            bases.get(row.id),
            row.external_id,
            row.input_type,
            row.output_type,
            row.id,
        )
        for row in sorted(rows, key=lambda row: row.id)
    ]


def put_type(
    connection: Connection, given: Type, *, can_add_fields: bool = False, can_omit_fields: bool = False
) -> int:
    """Insert a type, or let the stored one of its kind, name and version grow; gives its id.

    Only properties are added, and an external id or a base set; nothing else of a stored type changes.

    Raises:
        RecordError: it has no name or an unknown property type (``invalid``), does not fit the stored one or
            its external id is another's (``exists``), or its base would change (``unsupported``).
    """
    if not given.name:
        raise RecordError("No type name is specified.")
    version = given.version or None
    stored = next((t for t in find_types(connection, given.kind, names=[given.name]) if t.version == version), None)
    try:
        if stored is None:
            id_ = _insert(connection, given, version)
        else:
            id_ = stored.id
            _grow(connection, stored, given, can_add_fields=can_add_fields, can_omit_fields=can_omit_fields)
    except IntegrityError:
        raise RecordError(
            f"The external id of type {given.name} belongs to another type already: {given.external_id}.", "exists"
        ) from None
    if given.base is not None and (stored is None or stored.base is None):
        base = next(iter(find_types(connection, given.kind, names=[given.base])), None)
        if base is None:
            raise RecordError(f"There is no built-in type '{given.base}' to stand under.")
        insert_missing(connection, tables.parent_type, [{"type_id": id_, "parent_type_id": base.id}])
    return id_


def _insert(connection: Connection, given: Type, version: str | None) -> int:
    row = {
        "name": given.name,
        "version": version,
        "type_kind": int(given.kind),
        "description": given.description,
        "input_type": given.input_type,
        "output_type": given.output_type,
        "external_id": given.external_id,
    }
    (id_,) = insert_rows(connection, tables.type_, [row])
    _add_properties(connection, id_, given.properties)
    return id_


def _grow(connection: Connection, stored: Type, given: Type, *, can_add_fields: bool, can_omit_fields: bool) -> None:
    label = f"Type {given.name} already exists with different properties"
    for name in stored.properties.keys() & given.properties.keys():
        if stored.properties[name] != given.properties[name]:
            known = stored.properties[name].name
            raise RecordError(f"{label}: {name} is {known}, not {given.properties[name].name}.", "exists")
    added = {name: kind for name, kind in given.properties.items() if name not in stored.properties}
    if added and not can_add_fields:
        raise RecordError(f"{label}: it has no {', '.join(added)}, and can_add_fields is false.", "exists")
    omitted = sorted(stored.properties.keys() - given.properties.keys())
    if omitted and not can_omit_fields:
        raise RecordError(f"{label}: {', '.join(omitted)} are missing, and can_omit_fields is false.", "exists")
    if given.base is not None and stored.base not in {None, given.base}:
        raise RecordError(f"Type {given.name} stands under {stored.base}: its base cannot change.", "unsupported")
    if given.external_id and given.external_id != stored.external_id:
        t = tables.type_
        connection.execute(update(t).where(t.c.id == stored.id).values(external_id=given.external_id))
    _add_properties(connection, stored.id, added)


def _add_properties(connection: Connection, id_: int, properties: Mapping[str, DataType]) -> None:
    if unknown := [name for name, kind in properties.items() if kind == DataType.UNKNOWN]:
        raise RecordError(f"The type of property {', '.join(unknown)} is UNKNOWN: give one.")
    rows = [{"type_id": id_, "name": name, "data_type": int(kind)} for name, kind in properties.items()]
    insert_missing(connection, tables.type_property, rows)
