"""Changes single keys of a YAML file and leaves every other byte as it is: comments, order, quotes, line ends.

What is changed is read back and compared with what was meant; a file where they differ (an alias that would change
too, a comment that would be lost) is left alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from lakehouse.config.flow import block, flow, wrapped
from lakehouse.config.yaml import MAX_BYTES, YamlError, parse
from lakehouse.errors import ConfigError
from lakehouse.storage import refused, sync_folders

__all__ = ["GONE", "Edit", "edited", "replaced"]

_Node: TypeAlias = Any  # the types of yaml's nodes lack half of their attributes
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ALIAS = re.compile(r"\s*:\s*\*[^\s,\]}]+")
_FIRST = ("type", "presence", "domain", "fields")
_LATER = ("tags", "computed", "personal", "unit", "description")
_BEFORE_FEATURES = ("environments", "domains")


class _Gone:
    """Stands for no value at all."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()
"""The value of a key that is to be taken away."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change.

    Attributes:
        path: the keys that lead to it; those that are not there yet are made.
        value: plain values; `GONE` takes the key away.
    """

    path: tuple[str, ...]
    value: Any


class _UneditableError(Exception):
    """Why a place cannot be changed without changing more; its line is 1-based."""

    def __init__(self, why: str, node: _Node) -> None:
        super().__init__(why)
        self.line = node.start_mark.line + 1


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str


def edited(text: str, edits: Sequence[Edit], name: str) -> str:
    """A YAML text with changes made to it.

    Args:
        text: the file's text.
        edits: the changes; later ones see what earlier ones did.
        name: the file, for messages.

    Raises:
        ConfigError: it cannot be changed without touching more; says which line, and what to write by hand.
    """
    try:
        meant, result = parse(text).data, text
        for edit in edits:
            meant = _applied(meant, _whole(meant, edit))
        for some in _rounds(edits):
            result = _spliced(result, some)
        if parse(result).data != meant:
            raise _refusal(name, "a change would have changed more than its own key", edits)
    except YamlError as error:
        raise _refusal(name, str(error), edits, error.line) from None
    except _UneditableError as error:
        raise _refusal(name, str(error), edits, error.line) from None
    return result


def replaced(path: Path, before: bytes, after: bytes, name: str) -> None:
    """Put new bytes in a file's place, all or nothing, unless somebody else changed it in between.

    Raises:
        ConfigError: it no longer holds ``before``.
        StorageError: the disk refused.
    """
    real = path.resolve()
    if len(after) > MAX_BYTES:
        raise ConfigError(f"{name}: would become larger than 1 MiB, too large for a configuration; nothing was written")
    with refused(f"writing {name}"):
        descriptor, made = tempfile.mkstemp(prefix=f".{real.name}.", suffix=".tmp", dir=real.parent)
        temporary = Path(made)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(after)
                os.fchmod(file.fileno(), real.stat().st_mode & 0o7777)
                file.flush()
                os.fsync(file.fileno())
            _unchanged(real, before, name)
            temporary.replace(real)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folders([real.parent], real.parent)


def _unchanged(path: Path, before: bytes, name: str) -> None:
    if path.read_bytes() != before:
        raise ConfigError(f"{name}: was changed by somebody else just now; nothing was written. Run this again")


def _refusal(name: str, why: str, edits: Sequence[Edit], line: int | None = None) -> ConfigError:
    wanted = "\n".join(
        f"  {'.'.join(edit.path)}: {'(take it away)' if edit.value is GONE else flow(edit.value)}" for edit in edits
    )
    where = f"{name}:{line}" if line else name
    return ConfigError(f"{where}: cannot be changed safely: {why}. Nothing was written; change it by hand:\n{wanted}")


def _applied(data: Any, edit: Edit) -> Any:
    """Plain values with one change."""
    if not edit.path:
        return edit.value
    key, inner = edit.path[0], Edit(edit.path[1:], edit.value)
    known = dict(data) if isinstance(data, Mapping) else {}
    if inner.path or edit.value is not GONE:
        return known if edit.value is GONE and key not in known else {**known, key: _applied(known.get(key), inner)}
    known.pop(key, None)
    return known


def _whole(data: Any, edit: Edit) -> Edit:
    """The change, or the taking away of all that it would leave empty."""
    path = edit.path
    while edit.value is GONE and len(path) > 1 and _under(data, path[:-1]).keys() == {path[-1]}:
        path = path[:-1]
    return Edit(path, edit.value)


def _under(data: Any, path: Sequence[str]) -> Mapping[str, Any]:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _rounds(edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    """The changes in turns: those of one turn are to different features, so that none moves another's place."""
    left = list(edits)
    while left:
        now: list[Edit] = []
        taken = set[tuple[str, ...]]()
        later: list[Edit] = []
        for edit in left:
            # Of `schema.features.x` the third key; a change above them all is made alone.
            place = edit.path[:3]
            alone = len(place) < 3 or place[1] != "features"
            if later or place in taken or (alone and now) or ("alone",) in taken:
                later.append(edit)
            else:
                now.append(edit)
                taken.add(("alone",) if alone else place)
        yield now
        left = later


def _spliced(text: str, edits: Sequence[Edit]) -> str:
    """A text with changes made that do not touch each other."""
    places = _Places(text)
    splices = [splice for edit in edits for splice in places.splices(edit)]
    parts, at = [], 0
    for splice in sorted(splices, key=lambda one: one.start):
        parts += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*parts, text[at:]])


class _Places:
    """Where in a text a change is made, and with what."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._data = parse(text).data
        self._root = yaml.compose(text, Loader=_LOADER)

    def splices(self, edit: Edit) -> Iterator[_Splice]:
        """The replacements that make one change."""
        edit = _whole(self._data, edit)
        node, data, path, value = self._root, self._data, edit.path, edit.value
        while len(path) > 1 and isinstance(data.get(path[0]), Mapping):
            node, data, path = self._entry(node, path[0])[1], data[path[0]], path[1:]
        for key in reversed(path[1:]):
            value = GONE if value is GONE else {key: value}
        yield from self._set(node, data, path[0], value)

    def _set(self, parent: _Node, data: Mapping[str, Any], key: str, value: Any) -> Iterator[_Splice]:
        if value is GONE:
            if key in data:
                yield self._removed(parent, key)
        elif key not in data:
            yield self._added(parent, key, value)
        elif data[key] != value:
            yield from self._changed(parent, key, data[key], value)

    def _changed(self, parent: _Node, key: str, old: Any, value: Any) -> Iterator[_Splice]:
        _, node = self._entry(parent, key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and old.keys() & value.keys():
            changed = [name for name in {**old, **value} if old.get(name, GONE) != value.get(name, GONE)]
            if len(changed) == 1:
                yield from self._set(node, old, changed[0], value.get(changed[0], GONE))
                return
        if isinstance(old, list) and old and isinstance(value, (list, tuple)) and list(value[: len(old)]) == old:
            yield self._appended(node, value[len(old) :])
            return
        yield self._replaced(parent, key, value)

    def _entry(self, parent: _Node, key: str) -> tuple[_Node, _Node]:
        """A key and its value, which stands there and is no alias of one elsewhere."""
        for name, node in parent.value:
            if name.value == key:
                if _alias(name, node):
                    raise _UneditableError("an alias (*) stands here, whose values stand elsewhere", name)
                return name, node
        raise _UneditableError(f"'{key}' is not to be found here", parent)

    def _end(self, node: _Node) -> int:
        """Where a value's last character ends."""
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            return self._end_of_entry(node.value[-1])
        if isinstance(node, yaml.SequenceNode) and not node.flow_style:
            if node.value[-1].start_mark.index < node.start_mark.index:
                raise _UneditableError("an alias (*) ends this list", node)
            return self._end(node.value[-1])
        return int(node.end_mark.index)

    def _end_of_entry(self, entry: tuple[_Node, _Node]) -> int:
        name, node = entry
        if _alias(name, node):
            alias = _ALIAS.match(self._text, name.end_mark.index)
            return alias.end() if alias else int(name.end_mark.index)
        # A key without a value ends with its colon, or with itself between braces.
        return max(self._end(node), int(name.end_mark.index))

    def _replaced(self, parent: _Node, key: str, value: Any) -> _Splice:
        name, node = self._entry(parent, key)
        end = self._end(node)
        if self._remarks(node, node.start_mark.index, end):
            raise _UneditableError("a comment would be lost", node)
        column, indent = node.start_mark.column, " " * name.start_mark.column
        if _flat(node) and _flat(parent):
            return _Splice(node.start_mark.index, end, self._joined(wrapped(value, column, f"{indent}  ")))
        lines = block(name.value, value, indent)
        first = lines[0].removeprefix(f"{indent}{flow(name.value)}:")
        if _flat(node) and len(lines) == 1:
            gap = "" if end > node.start_mark.index else " "  # after a key without a value
            return _Splice(node.start_mark.index, end, gap + first.lstrip(" "))
        tail = self._newline if self._text[end - 1 : end] == "\n" else ""
        colon = self._text.index(":", name.end_mark.index) + 1
        return _Splice(colon, end, self._joined("\n".join([first, *lines[1:]])) + tail)

    def _added(self, parent: _Node, key: str, value: Any) -> _Splice:
        entries = parent.value
        before = _before([name.value for name, _ in entries], key)
        if parent.flow_style:
            return self._added_flat(parent, entries[:before], key, value)
        indent = " " * entries[0][0].start_mark.column
        lines = self._joined("\n".join(block(key, value, indent)))
        if before == 0:
            start = entries[0][0].start_mark.index - len(indent)
            return _Splice(start, start, lines + self._newline)
        return self._below(self._end_of_entry(entries[before - 1]), lines)

    def _added_flat(self, parent: _Node, entries: Sequence[Any], key: str, value: Any) -> _Splice:
        said = f"{flow(key)}: "
        where = self._end_of_entry(entries[-1]) if entries else parent.start_mark.index + 1
        start = self._text.rfind("\n", 0, where) + 1
        indent = " " * (len(self._text[start:]) - len(self._text[start:].lstrip(" ")) + 2)
        text = said + self._joined(wrapped(value, where - start + len(said) + 2, indent))
        if entries:
            return _Splice(where, where, f", {text}")
        return _Splice(where, where, f"{text}, " if parent.value else text)

    def _below(self, end: int, lines: str) -> _Splice:
        """Lines put below the line that ends a value."""
        if self._text[end - 1 : end] == "\n":
            return _Splice(end, end, lines + self._newline)
        stop = self._text.find("\n", end)
        if stop < 0:
            return _Splice(len(self._text), len(self._text), self._newline + lines)
        return _Splice(stop + 1, stop + 1, lines + self._newline)

    def _removed(self, parent: _Node, key: str) -> _Splice:
        entries = parent.value
        index = [name.value for name, _ in entries].index(key)
        name, node = entries[index]
        end = self._end_of_entry(entries[index])
        if not parent.flow_style:
            start = self._text.rfind("\n", 0, name.start_mark.index) + 1
            stop = end if self._text[end - 1 : end] == "\n" else self._text.find("\n", end) + 1
            return _Splice(start, stop or len(self._text), "")
        start = self._end_of_entry(entries[index - 1]) if index else name.start_mark.index
        stop = end if index or len(entries) == 1 else entries[1][0].start_mark.index
        if self._remarks(parent, start, stop):
            raise _UneditableError("a comment would be lost", node)
        return _Splice(start, stop, "")

    def _appended(self, node: _Node, more: Sequence[Any]) -> _Splice:
        last = node.value[-1]
        end = self._end(node) if not node.flow_style else self._end(last)
        if node.start_mark.index > end:
            raise _UneditableError("an alias (*) stands here, whose values stand elsewhere", node)
        if not node.flow_style:
            dash = " " * node.start_mark.column + "- "
            return self._below(end, self._newline.join(dash + flow(one) for one in more))
        start = self._text.rfind("\n", 0, end) + 1
        rest = wrapped(list(more), end - start + 2, " " * (node.start_mark.column + 1))[1:-1]
        return _Splice(end, end, ", " + self._joined(rest))

    def _remarks(self, node: _Node, start: int, stop: int) -> bool:
        """Whether a comment stands in a piece of the text."""
        kept = list(self._text[start:stop])
        for scalar in _scalars(node):
            for at in range(max(scalar.start_mark.index, start), min(scalar.end_mark.index, stop)):
                kept[at - start] = " "
        return "#" in kept

    def _joined(self, text: str) -> str:
        return text.replace("\n", self._newline)


def _before(names: Sequence[str], key: str) -> int:
    """How many of a mapping's keys a person would write before a new one."""
    if key in _BEFORE_FEATURES:
        return next(
            (i for i, name in enumerate(names) if name == "features" or name not in _BEFORE_FEATURES), len(names)
        )
    if key in _FIRST:
        earlier = _FIRST[: _FIRST.index(key)]
        return max((i + 1 for i, name in enumerate(names) if name in earlier), default=0)
    later = _LATER[_LATER.index(key) :] if key in _LATER else _LATER
    return next((i for i, name in enumerate(names) if name in later), len(names)) if "type" in names else len(names)


def _alias(name: _Node, node: _Node) -> bool:
    """Whether the value of a key stands before the key itself."""
    return bool(node.start_mark.index < name.end_mark.index)


def _flat(node: _Node) -> bool:
    """Whether it stands on its own: a scalar, or a collection in brackets."""
    return node.style not in ("|", ">") if isinstance(node, yaml.ScalarNode) else bool(node.flow_style)


def _scalars(node: _Node) -> Iterator[_Node]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    else:
        for inner in node.value:
            for one in inner if isinstance(inner, tuple) else (inner,):
                yield from _scalars(one)
