"""A filter query's tree as SQLAlchemy expressions that mean the same on SQLite, MySQL and PostgreSQL."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    LargeBinary,
    Table,
    Text,
    and_,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from lakehouse.errors import RecordError
from lakehouse.metadata import tables
from lakehouse.metadata.filtering.parsing import (
    Attribute,
    Attributes,
    Comparison,
    Enumerator,
    Junction,
    Kind,
    Literal,
    Membership,
    Negation,
    Pattern,
    Test,
    Tree,
    parse,
)
from lakehouse.metadata.properties import stored
from lakehouse.records import ArtifactState, EventType, ExecutionState

_COMMON: Final[Attributes] = {
    "id": (Kind.INT64, None),
    "type_id": (Kind.INT64, None),
    "type": (Kind.STRING, None),
    "name": (Kind.STRING, None),
    "external_id": (Kind.STRING, None),
    "create_time_since_epoch": (Kind.INT64, None),
    "last_update_time_since_epoch": (Kind.INT64, None),
}
_ARTIFACT: Final[Attributes] = {**_COMMON, "uri": (Kind.STRING, None), "state": (Kind.INT64, ArtifactState)}
_EXECUTION: Final[Attributes] = {**_COMMON, "last_known_state": (Kind.INT64, ExecutionState)}
_EVENT: Final[Attributes] = {"type": (Kind.INT64, EventType), "milliseconds_since_epoch": (Kind.INT64, None)}

_SQL_TYPES: Final[Mapping[Kind, TypeEngine[Any]]] = {
    Kind.INT64: BigInteger(),
    Kind.DOUBLE: Double(),
    Kind.STRING: Text(),
    Kind.BOOL: Boolean(),
}
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_MOST_JOINED: Final = 50  # tables; SQLite joins 64, MySQL 61
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class _Link:
    """How records of one table are linked with others: through ``by``, from its column ``near`` to its ``far``.

    ``to`` is None where the link itself is meant (an event).
    """

    by: Table
    near: str
    far: str
    to: Table | None
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class _Node:
    """A table of records that can be asked for."""

    what: str
    attributes: Attributes
    properties: Table
    links: Mapping[str, _Link]

    @property
    def linked(self) -> Mapping[str, Attributes]:
        return {prefix: link.attributes for prefix, link in self.links.items()}


def _events(near: str, far: str) -> _Link:
    return _Link(tables.event, near, far, None, {**_EVENT, far: (Kind.INT64, None)})


_NODES: Final = {
    tables.artifact: _Node(
        "an artifact",
        _ARTIFACT,
        tables.artifact_property,
        {
            "contexts": _Link(tables.attribution, "artifact_id", "context_id", tables.context, _COMMON),
            "events": _events("artifact_id", "execution_id"),
        },
    ),
    tables.execution: _Node(
        "an execution",
        _EXECUTION,
        tables.execution_property,
        {
            "contexts": _Link(tables.association, "execution_id", "context_id", tables.context, _COMMON),
            "events": _events("execution_id", "artifact_id"),
        },
    ),
    tables.context: _Node(
        "a context",
        _COMMON,
        tables.context_property,
        {
            "parent_contexts": _Link(tables.parent_context, "context_id", "parent_context_id", tables.context, _COMMON),
            "child_contexts": _Link(tables.parent_context, "parent_context_id", "context_id", tables.context, _COMMON),
            "artifacts": _Link(tables.attribution, "context_id", "artifact_id", tables.artifact, _ARTIFACT),
            "executions": _Link(tables.association, "context_id", "execution_id", tables.execution, _EXECUTION),
        },
    ),
}


def condition(connection: Connection, table: Table, query: str) -> ColumnElement[bool]:
    """The condition on a table's rows that a filter query is.

    As in ML Metadata, a record meets a query when it has all the properties, contexts and events that the query
    names, and the query holds for some choice of them: ``NOT properties.n.int_value = 1`` finds no record without
    a property ``n``. An enumeration's ``!=`` and ``NOT IN`` hold for records that have no state.

    Args:
        connection: says which database it is for.
        table: `tables.artifact`, `tables.execution` or `tables.context`.
        query: such as ``type = 'Model' AND properties.auc.double_value > 0.9``.

    Raises:
        RecordError: (invalid) the query is not understood; the message says where and why.
    """
    node = _NODES[table]
    tree = parse(query, node.what, node.attributes, node.linked)
    plain = _Builder(connection.dialect.name, table, node)
    made = plain.build(tree)
    if plain.source is table:
        return made
    # Under another name, as whoever uses the condition selects from the table itself.
    inner = _Builder(connection.dialect.name, table.alias(), node)
    made = inner.build(tree)
    return table.c.id.in_(select(inner.base.c.id).select_from(inner.source).where(made))


class _Builder:
    """Gathers the tables that a tree needs, each joined once, while it turns the tree into an expression."""

    def __init__(self, dialect: str, base: FromClause, node: _Node) -> None:
        self.base = base
        self.source = base
        self._dialect = dialect
        self._node = node
        self._joined: dict[str, FromClause] = {}

    def build(self, tree: Tree) -> ColumnElement[Any]:
        """The tree as an expression."""
        match tree:
            case Attribute():
                return self._column(tree)
            case Literal():
                return null() if tree.kind is Kind.NULL else literal(tree.value, _SQL_TYPES[tree.kind])
            case Comparison():
                return self._compared(tree)
            case Membership():
                return self._membership(tree)
            case Pattern():
                made = self._lower(self.build(tree.operand)).like(tree.pattern.translate(_LOWER), escape="\\")
                return not_(made) if tree.negated else made
            case Test():
                value = null() if tree.value is None else true() if tree.value else false()
                operand = self.build(tree.operand).self_group()
                return operand.is_not(value) if tree.negated else operand.is_(value)
            case Negation():
                return not_(self.build(tree.part))
            case Junction():
                join = and_ if tree.word == "AND" else or_
                return join(*(self.build(part) for part in tree.parts))
            case Enumerator():
                raise AssertionError(tree)  # it was given its number where it was compared

    def _compared(self, tree: Comparison) -> ColumnElement[bool]:
        for one, other in ((tree.left, tree.right), (tree.right, tree.left)):
            if tree.operator == "=" and (held := self._held(one, other)) is not None:
                return held
        left, right = self._number(tree.left, tree.right), self._number(tree.right, tree.left)
        if self._dialect == "postgresql" and tree.left.kind is Kind.STRING and tree.operator not in {"=", "!="}:
            left = left.collate("C")  # by code points, as the others do, whatever the database's language
        made = _OPERATORS[tree.operator](left.self_group(), right.self_group())
        return self._or_none(made, tree.left, tree.right) if tree.operator == "!=" else made

    def _membership(self, tree: Membership) -> ColumnElement[bool]:
        held = [self._held(tree.operand, option) for option in tree.options]
        plain = [self.build(option) for option, other in zip(tree.options, held, strict=True) if other is None]
        made = or_(self._number(tree.operand, *tree.options).in_(plain), *(one for one in held if one is not None))
        return self._or_none(not_(made), tree.operand) if tree.negated else made

    def _number(self, tree: Tree, *others: Tree) -> ColumnElement[Any]:
        made = self.build(tree)
        mixed = tree.kind is Kind.INT64 and any(other.kind is Kind.DOUBLE for other in others)
        # MySQL would round the other to a whole number first, where the column has an index.
        return made + literal(0.0, Double()) if mixed and self._dialect == "mysql" else made

    def _held(self, attribute: Tree, value: Tree) -> ColumnElement[bool] | None:
        """That a property is this value, where the database holds it elsewhere than in the column asked for."""
        if not (isinstance(attribute, Attribute) and isinstance(value, Literal)) or value.value is None:
            return None
        _, _, name = attribute.owner.partition(".")
        if not name or attribute.kind is not value.kind:
            return None
        kept = stored(name, value.value, self._dialect)
        if kept.column != "byte_value":
            return None
        return self._column(replace(attribute, column=kept.column)) == literal(kept.value, LargeBinary())

    def _or_none(self, made: ColumnElement[bool], *operands: Tree) -> ColumnElement[bool]:
        """The condition, or that a state it is about is none at all."""
        states = [self._column(one) for one in operands if isinstance(one, Attribute) and one.states is not None]
        return or_(made, *(state.is_(None) for state in states))

    def _lower(self, text: ColumnElement[str]) -> ColumnElement[str]:
        """A text with A to Z in lower case: what SQLite's LIKE does by itself, to those letters only."""
        match self._dialect:
            case "sqlite":
                return text
            case "postgresql":
                return func.translate(text, string.ascii_uppercase, string.ascii_lowercase)
        for upper, lower in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True):
            text = func.replace(text, upper, lower)
        return text

    def _column(self, attribute: Attribute) -> ColumnElement[Any]:
        if not attribute.owner:
            return self._own(self.base, "", attribute.column)
        sort, _, name = attribute.owner.partition(".")
        if name:
            return self._property(attribute.owner, name, custom=sort == "custom_properties").c[attribute.column]
        prefix = next(prefix for prefix in self._node.links if attribute.owner.startswith(f"{prefix}_"))
        linked = self._linked(attribute.owner, self._node.links[prefix])
        own_type = prefix == "events"
        return linked.c[attribute.column] if own_type else self._own(linked, attribute.owner, attribute.column)

    def _own(self, of: FromClause, owner: str, column: str) -> ColumnElement[Any]:
        """A record's column; its type's name stands in another table."""
        if column != "type":
            return of.c[column]
        type_ = tables.type_.alias()
        return self._join(f"{owner}.type", type_, of.c.type_id == type_.c.id).c.name

    def _property(self, owner: str, name: str, *, custom: bool) -> FromClause:
        p = self._node.properties.alias()
        return self._join(
            owner,
            p,
            p.c[self._node.properties.c[0].name] == self.base.c.id,
            p.c.name == name,
            p.c.is_custom_property == literal(custom, p.c.is_custom_property.type),
        )

    def _linked(self, owner: str, link: _Link) -> FromClause:
        by = link.by.alias()
        if link.to is None:
            return self._join(owner, by, by.c[link.near] == self.base.c.id)
        if owner not in self._joined:
            self._join(f"{owner}.link", by, by.c[link.near] == self.base.c.id)
        to = link.to.alias()
        return self._join(owner, to, to.c.id == by.c[link.far])

    def _join(self, owner: str, other: FromClause, *on: ColumnElement[bool]) -> FromClause:
        """The table that stands for an owner, joined when it is first named."""
        if owner not in self._joined:
            if len(self._joined) == _MOST_JOINED:
                raise RecordError(
                    f"The filter query names more than {_MOST_JOINED} properties and linked records.", "invalid"
                )
            self._joined[owner] = other
            self.source = self.source.join(other, and_(*on))
        return self._joined[owner]
