"""A filter query as a typed tree. What may be compared with what is decided here, before any database is asked."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from lakehouse.errors import nearest
from lakehouse.metadata.filtering.lexing import Token, invalid, name, text, tokens

_DEEPEST: Final = 50  # parentheses and NOTs within each other
_MOST: Final = 400  # conditions; SQLite's own limit is on the depth of the expression they make
_INT64: Final = range(-(2**63), 2**63)
_SIGNS: Final = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})
_WORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})


class Kind(enum.Enum):
    """What a value is, by GoogleSQL's name."""

    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    STRING = "STRING"
    BOOL = "BOOL"
    NULL = "NULL"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column of the records that are asked for, of a property of theirs, or of a record linked with them.

    Attributes:
        owner: "" for the record's own; else ``properties.NAME``, ``custom_properties.NAME`` or a linked record's
            name in the query, ``contexts_a``.
        states: the enumeration whose names it may be compared with.
    """

    owner: str
    column: str
    kind: Kind
    states: type[enum.IntEnum] | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the query."""

    value: float | str | bool | None
    kind: Kind
    at: int


@dataclass(frozen=True, slots=True)
class Enumerator:
    """The name of a state or of an event's type; whose it is shows where it is compared."""

    word: str
    at: int
    kind: Kind = Kind.INT64


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared by ``=``, ``!=``, ``<``, ``>``, ``<=`` or ``>=``."""

    operator: str
    left: Tree
    right: Tree
    at: int
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Membership:
    """A value is one of several."""

    operand: Tree
    options: tuple[Tree, ...]
    negated: bool
    at: int
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text is like a pattern: ``%`` stands for any text, ``_`` for a character, after a backslash for themselves."""

    operand: Tree
    pattern: str
    negated: bool
    at: int
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Test:
    """A value is null (``value`` None), true or false."""

    operand: Tree
    value: bool | None
    negated: bool
    at: int
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Negation:
    """A condition does not hold."""

    part: Tree
    at: int
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Junction:
    """All of several conditions hold (``AND``), or any of them (``OR``)."""

    word: str
    parts: tuple[Tree, ...]
    at: int
    kind: Kind = Kind.BOOL


Tree: TypeAlias = Attribute | Literal | Enumerator | Comparison | Membership | Pattern | Test | Negation | Junction
Attributes: TypeAlias = Mapping[str, tuple[Kind, type[enum.IntEnum] | None]]
"""By name, the type of an attribute and the enumeration it is of."""

PROPERTY: Final[Attributes] = {
    "int_value": (Kind.INT64, None),
    "double_value": (Kind.DOUBLE, None),
    "string_value": (Kind.STRING, None),
    "bool_value": (Kind.BOOL, None),
}


def parse(query: str, what: str, own: Attributes, linked: Mapping[str, Attributes]) -> Tree:
    """The condition that a query is.

    Args:
        query: its text.
        what: the records asked for, for messages: ``an artifact``.
        own: the attributes they have themselves.
        linked: by prefix (``contexts``), those of the records linked with them.

    Raises:
        RecordError: (invalid) it is not a condition; the message says where and what could stand there.
    """
    return _Parser(query, what, own, linked).whole()


class _Parser:
    def __init__(self, query: str, what: str, own: Attributes, linked: Mapping[str, Attributes]) -> None:
        self._tokens = tokens(query)
        self._next = 0
        self._depth = 0
        self._conditions = 0
        self._what, self._own, self._linked = what, own, linked

    def whole(self) -> Tree:
        tree = self._condition(self._any())
        if self._token.kind != "end":
            self._unexpected("AND, OR or the end")
        return tree

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _word(self) -> str:
        """The keyword that is next, or ""."""
        word = self._token.text.upper() if self._token.kind == "name" else ""
        return word if word in _WORDS else ""

    def _skip(self, *words: str) -> bool:
        """Take these keywords or signs when they are next."""
        following = self._tokens[self._next : self._next + len(words)]
        found = [token.text.upper() for token in following if token.kind in {"name", "sign"}] == list(words)
        self._next += len(words) * found
        return found

    def _unexpected(self, wanted: str) -> NoReturn:
        found = f"'{self._token.text}'" if self._token.text else "the end"
        raise invalid(self._token.at, f"{found} stands where {wanted} is expected")

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            self._unexpected(f"'{sign}'")

    def _any(self) -> Tree:
        return self._junction("OR", lambda: self._junction("AND", self._not))

    def _junction(self, word: str, part: Callable[[], Tree]) -> Tree:
        first = part()
        parts = [first]
        while self._skip(word):
            parts.append(self._condition(part()))
        return Junction(word, (self._condition(first), *parts[1:]), first.at) if len(parts) > 1 else first

    def _not(self) -> Tree:
        at = self._token.at
        if not self._skip("NOT"):
            return self._comparison()
        return Negation(self._condition(self._deeper(self._not)), at)

    def _deeper(self, part: Callable[[], Tree]) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise invalid(self._token.at, f"it is nested more than {_DEEPEST} deep")
        tree = part()
        self._depth -= 1
        return tree

    def _condition(self, tree: Tree) -> Tree:
        if tree.kind is not Kind.BOOL:
            raise invalid(tree.at, f"a condition is expected, not a {tree.kind.value}: compare it with something")
        return tree

    def _comparison(self) -> Tree:
        left = self._operand()
        tree = self._compared(left)
        if tree is not left:
            self._conditions += 1
            if self._conditions > _MOST:
                raise invalid(left.at, f"it has more than {_MOST} conditions: use IN, or split it")
            if self._word() in {"IN", "LIKE", "BETWEEN", "IS"} or self._token.text in _SIGNS:
                raise invalid(self._token.at, "put the comparison before it into parentheses")
        return tree

    def _compared(self, left: Tree) -> Tree:
        at = self._token.at
        if self._token.kind == "sign" and self._token.text in _SIGNS:
            operator = self._take().text.replace("<>", "!=")
            return _comparison(operator, left, self._operand(), at)
        if self._skip("IS"):
            return self._test(left, at)
        following = self._tokens[self._next + 1].text.upper() if self._word() == "NOT" else ""
        negated = following in {"IN", "LIKE", "BETWEEN"} and self._skip("NOT")
        if self._skip("IN"):
            return _membership(left, self._list(), negated, at)
        if self._skip("LIKE"):
            return _pattern(left, self._operand(), negated, at)
        if self._skip("BETWEEN"):
            low = _comparison(">=", left, self._operand(), at)
            self._expect("AND")
            between = Junction("AND", (low, _comparison("<=", left, self._operand(), at)), at)
            return Negation(between, at) if negated else between
        return left

    def _test(self, left: Tree, at: int) -> Tree:
        negated = self._skip("NOT")
        if self._skip("NULL"):
            return Test(_resolved(left, left), None, negated, at)
        if self._word() not in {"TRUE", "FALSE"}:
            self._unexpected("NULL, TRUE or FALSE")
        value = self._take().text.upper() == "TRUE"
        return Test(self._condition(left), value, negated, at)

    def _list(self) -> list[Tree]:
        self._expect("(")
        options = [self._operand()]
        while self._skip(","):
            options.append(self._operand())
        self._expect(")")
        return options

    def _operand(self) -> Tree:
        token = self._token
        match token.kind:
            case "text":
                return Literal(text(self._take()), Kind.STRING, token.at)
            case "number":
                return _number(self._take(), "")
            case "property":
                return self._property(self._take())
            case "sign" if token.text in "+-":
                sign = self._take().text
                return _number(self._take(), sign) if self._token.kind == "number" else self._unexpected("a number")
            case "sign" if self._skip("("):
                tree = self._deeper(self._any)
                self._expect(")")
                return tree
            case "name" if self._word() in {"TRUE", "FALSE"}:
                return Literal(self._take().text.upper() == "TRUE", Kind.BOOL, token.at)
            case "name" if self._skip("NULL"):
                return Literal(None, Kind.NULL, token.at)
            case "name" if not self._word():
                return self._attribute(self._take())
            case _:
                return self._unexpected("an attribute or a value")

    def _property(self, token: Token) -> Attribute:
        sort, _, rest = token.text.partition(".")
        written, _, column = rest.rpartition(".")
        return _attribute(f"{sort}.{name(written, token.at)}", column, PROPERTY, "a property", token.at)

    def _attribute(self, token: Token) -> Attribute | Enumerator:
        word = name(token.text, token.at)
        prefix = next((p for p in self._linked if re.fullmatch(rf"{p}_\w+", word)), None)
        if prefix is not None and self._skip("."):
            column = self._token
            if column.kind != "name":
                self._unexpected("the name of an attribute")
            self._take()
            return _attribute(word, name(column.text, column.at), self._linked[prefix], f"{word}", column.at)
        if word.lower() in self._own:
            return _attribute("", word, self._own, self._what, token.at)
        if any(word in states.__members__ for states in self._enumerations()):
            return Enumerator(word, token.at)
        known = [*self._own, "properties.NAME.int_value", "custom_properties.NAME.string_value"]
        known += [f"{p}_a.{next(iter(attributes))}" for p, attributes in self._linked.items()]
        hint = nearest(word, known)
        raise invalid(token.at, f"'{word}' is no attribute of {self._what} (a text takes quotes).{hint}")

    def _enumerations(self) -> list[type[enum.IntEnum]]:
        every = [self._own, *self._linked.values()]
        return [states for attributes in every for _, states in attributes.values() if states is not None]


def _attribute(owner: str, column: str, known: Attributes, of: str, at: int) -> Attribute:
    if column.lower() not in known:
        raise invalid(at, f"'{column}' is no attribute of {of}.{nearest(column, known)}")
    return Attribute(owner, column.lower(), *known[column.lower()], at)


def _number(token: Token, sign: str) -> Literal:
    written = sign.replace("+", "") + token.text
    if token.text[:2] in {"0x", "0X"}:
        value: float = int(written, 16)
    elif token.text.isdecimal():
        value = int(written)
    else:
        value = float(written)
        if not math.isfinite(value):
            raise invalid(token.at, f"{written} is more than a DOUBLE holds")
        return Literal(value, Kind.DOUBLE, token.at)
    if value not in _INT64:
        raise invalid(token.at, f"{written} is no whole number of 64 bits")
    return Literal(value, Kind.INT64, token.at)


def _resolved(tree: Tree, other: Tree) -> Tree:
    """The name of a state as its number, where it is compared with an attribute that has such states."""
    if not isinstance(tree, Enumerator):
        return tree
    states = other.states if isinstance(other, Attribute) else None
    if states is None:
        raise invalid(tree.at, f"'{tree.word}' can only be compared with a state or an event's type")
    if tree.word not in states.__members__:
        raise invalid(tree.at, f"'{tree.word}' is none of these.{nearest(tree.word, states.__members__)}")
    return Literal(int(states[tree.word]), Kind.INT64, tree.at)


def _comparison(operator: str, left: Tree, right: Tree, at: int) -> Comparison:
    left, right = _resolved(left, right), _resolved(right, left)
    for one in (left, right):
        if one.kind is Kind.NULL:
            raise invalid(one.at, "NULL cannot be compared: write IS NULL or IS NOT NULL")
    _comparable(left, right, operator, at)
    return Comparison(operator, left, right, at)


def _membership(operand: Tree, options: Sequence[Tree], negated: bool, at: int) -> Membership:
    operand, found = _resolved(operand, options[0]), tuple(_resolved(option, operand) for option in options)
    for option in found:
        _comparable(operand, option, "IN", at)
    return Membership(operand, found, negated, at)


def _pattern(operand: Tree, pattern: Tree, negated: bool, at: int) -> Pattern:
    if operand.kind is not Kind.STRING:
        raise invalid(operand.at, f"LIKE compares texts, and this is {operand.kind.value}")
    if not (isinstance(pattern, Literal) and isinstance(pattern.value, str)):
        raise invalid(pattern.at, "LIKE takes a text in quotes as its pattern")
    if (len(pattern.value) - len(pattern.value.rstrip("\\"))) % 2:
        raise invalid(pattern.at, "the pattern ends in a single backslash: double it to mean one")
    return Pattern(operand, pattern.value, negated, at)


def _comparable(left: Tree, right: Tree, operator: str, at: int) -> None:
    numbers = {Kind.INT64, Kind.DOUBLE}
    if left.kind is right.kind or {left.kind, right.kind} <= numbers or right.kind is Kind.NULL:
        return
    raise invalid(at, f"{operator} cannot compare {left.kind.value} with {right.kind.value}")
