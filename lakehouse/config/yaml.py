"""Reads one YAML file into plain values, each with its line, and refuses what surprises.

It builds values from the parser's events itself, so no tag can construct anything. The scalars are
YAML 1.2's, made narrower: only ``true`` and ``false`` (any case of YAML 1.2) are booleans, so ``NO``,
``yes`` and ``on`` are strings; only plain decimal numbers are numbers, so ``0123``, ``0x1F``, ``+1``,
``1_000`` and ``12:30`` are strings; dates are strings. Mapping keys are always strings, as written.
Anchors and aliases work within a bound; tags, merge keys (``<<``), duplicate keys and a second
document are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["MAX_BYTES", "Document", "YamlError", "parse", "quoted", "read"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASED = 10_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.?)(?:[eE][-+]?[0-9]+)?")
_BARE_LIST = re.compile(r"\{.*\btype: *list *\[")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_WORDS |= dict.fromkeys((".inf", ".Inf", ".INF"), float("inf"))
_WORDS |= dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf"))
_WORDS |= dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))


class YamlError(ValueError):
    """The text is refused; ``line`` (1-based) says where, None where no line can be named."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if len(message) <= 300 else message[:300] + "…")
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping read from a file.

    Attributes:
        data: keys are strings; values plain Python.
        lines: the 1-based line of each key path's value.
    """

    data: dict[str, Any]
    lines: dict[tuple[str | int, ...], int]

    def line(self, path: tuple[str | int, ...]) -> int | None:
        """The line of a key path, or of its nearest parent that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet, and the key whose value comes next."""

    value: dict[str, Any] | list[Any]
    path: tuple[str | int, ...]
    anchor: str | None
    nodes: int = 1
    key: str | None = None
    keys: dict[str, int] = field(default_factory=dict)


def read(path: Path, *, allow_empty: bool = False) -> Document:
    """Read a file.

    Raises:
        YamlError: it is too large, not UTF-8, not YAML, or not a mapping.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise YamlError("the file is larger than 1 MiB, too large for a configuration")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError("not UTF-8; save the file as UTF-8", line) from None
    return parse(text, allow_empty=allow_empty)


def parse(text: str, *, allow_empty: bool = False) -> Document:
    """Read a text that holds one mapping.

    Raises:
        YamlError: see `read`.
    """
    try:
        return _Builder().build(text, allow_empty=allow_empty)
    except yaml.reader.ReaderError as error:
        raise YamlError(f"the character U+{_code(error):04X} is not allowed", _line_of(text, error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise YamlError(_explained(text, error, line), line) from None
    except yaml.YAMLError as error:
        raise YamlError(f"not YAML: {str(error).splitlines()[0]}") from None


def quoted(text: str) -> str:
    """A text as a double-quoted YAML scalar, which every YAML reader takes for that very text."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).rstrip("\n")


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")


def _line_of(text: str, error: yaml.reader.ReaderError) -> int | None:
    found = text.find(chr(_code(error)))
    return text.count("\n", 0, found) + 1 if found >= 0 else None


def _explained(text: str, error: yaml.MarkedYAMLError, number: int | None) -> str:
    line = "".join(text.split("\n")[number - 1 : number]) if number else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line; YAML wants spaces"
    if _BARE_LIST.search(line):
        return 'not YAML: within { } a type with brackets stands in quotes: {type: "list[int]"}'
    reason = str(error.problem or error.context or "it cannot be parsed")
    return f"not YAML: {reason}" + (f" ({error.context})" if error.context and error.problem else "")


class _Builder:
    """Turns one document's events into a `Document`."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._root: Any = None
        self._documents = 0

    def build(self, text: str, *, allow_empty: bool) -> Document:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event, event.start_mark.line + 1 if event.start_mark else 1)
        if self._root is None and allow_empty:
            return Document({}, {})
        if self._root is None:
            raise YamlError("the file is empty")
        if not isinstance(self._root, dict):
            raise YamlError(f"the file must hold keys with values (key: value), not {_kind(self._root)}", 1)
        return Document(self._root, self._lines)

    def _take(self, event: yaml.Event, line: int) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise YamlError("a second document begins here (---); one file holds one", line)
            case yaml.ScalarEvent():
                self._untagged(event, line)
                if self._wants_key():
                    self._set_key(event.value, line, plain=event.implicit[0])
                else:
                    self._add(_scalar(event), event.anchor, line)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._untagged(event, line)
                self._begin(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()

    def _untagged(self, event: Any, line: int) -> None:
        if event.tag is not None:
            raise YamlError(
                f"the tag {event.tag!r} is not allowed; only plain values are, quote it to make a string", line
            )

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _set_key(self, key: str, line: int, *, plain: bool) -> None:
        top = self._stack[-1]
        if plain and key == "<<":
            raise YamlError("merge keys (<<) are not supported; write the keys out", line)
        if not key:
            raise YamlError("a key is empty", line)
        if key in top.keys:
            raise YamlError(f"the key '{key}' stands here twice, first on line {top.keys[key]}", line)
        top.keys[key] = line
        top.key = key

    def _path(self) -> tuple[str | int, ...]:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else str(top.key))

    def _begin(self, event: Any, line: int) -> None:
        if self._wants_key():
            raise YamlError("a key must be plain text", line)
        if len(self._stack) >= MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH} levels", line)
        path = self._path()
        self._note(path, line)
        self._stack.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], path, event.anchor))

    def _end(self) -> None:
        done = self._stack.pop()
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, done.nodes)
        self._place(done.value, done.nodes)

    def _add(self, value: Any, anchor: str | None, line: int) -> None:
        self._note(self._path(), line)
        if anchor is not None:
            self._anchors[anchor] = (value, 1)
        self._place(value, 1)

    def _alias(self, anchor: str, line: int) -> None:
        if self._wants_key():
            raise YamlError("a key must be plain text, not an alias", line)
        if anchor not in self._anchors:
            raise YamlError(f"the alias *{anchor} names no anchor that ended before it", line)
        value, nodes = self._anchors[anchor]
        self._aliased += nodes
        if self._aliased > MAX_ALIASED:
            raise YamlError(f"aliases repeat more than {MAX_ALIASED:,} values; write them out or fewer", line)
        self._note(self._path(), line)
        self._place(value, nodes)

    def _note(self, path: tuple[str | int, ...], line: int) -> None:
        if self._stack and self._stack[-1].key is not None:
            line = self._stack[-1].keys[self._stack[-1].key]
        self._lines[path] = line

    def _place(self, value: Any, nodes: int) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        top.nodes += nodes
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[str(top.key)] = value
            top.key = None


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = str(event.value)
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 100 and _INT.fullmatch(text):
        return int(text)
    if len(text) <= 100 and _FLOAT.fullmatch(text):
        return float(text)
    return text


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"
