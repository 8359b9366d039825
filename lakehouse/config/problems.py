"""Gathers every problem of a configuration, so that one error lists them all.

A value is shown only as it stands in the file, so a secret that was put in for ``${…}`` never is,
and never at all where the field holds a secret.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from lakehouse.config.yaml import Document
from lakehouse.errors import ConfigError, nearest
from lakehouse.records import printable
from lakehouse.schema import AS_SAID, FROM_FILE, NOT_IN_FILES

__all__ = ["File", "Path", "Problems"]

Path = tuple[str | int, ...]
T = TypeVar("T")

_LONGEST = 60
_USERINFO = re.compile(r"://[^/\s]*@")


@dataclass(frozen=True, slots=True)
class File:
    """A configuration file that was read.

    Attributes:
        name: its path as shown in messages, relative to the project.
    """

    name: str
    document: Document

    def as_written(self, path: Path) -> Path:
        """A key path as it stands in the file, where ``domain: [a, b]`` is short for ``domain: {values: [a, b]}``."""
        return tuple(
            part
            for index, part in enumerate(path)
            if part != "values" or not isinstance(_under(self.document.data, path[:index]), list)
        )


@dataclass(slots=True)
class Problems:
    """The problems found so far, one message each.

    Attributes:
        unfilled: file and key path of each value whose secret is missing: that is told, and no more of it.
    """

    found: list[tuple[str, int, str]] = field(default_factory=list)
    unfilled: set[tuple[str, Path]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, file: File | str, path: Path, text: str, line: int | None = None) -> None:
        """Note one problem: in which file, under which key, what and what instead."""
        name = file if isinstance(file, str) else file.name
        if isinstance(file, File) and line is None and path:
            line = file.document.line(path)
        where = printable(name) + (f":{line}" if line else "")
        key = ".".join(printable(str(part)) for part in path)
        text = printable(text)
        self.found.append((name, line or 0, f"{where}: {key}: {text}" if key else f"{where}: {text}"))

    def raise_any(
        self, redact: Callable[[str], str], *, where: str = "the configuration", undone: str = "nothing was run"
    ) -> None:
        """Raise what was found.

        Args:
            redact: takes secrets out of the message.
            where: what the problems are in.
            undone: what was not done because of them.

        Raises:
            ConfigError: at least one problem was found; its message has a line each.
        """
        if not self.found:
            return
        lines = list(dict.fromkeys(redact(text) for _, _, text in sorted(self.found)))
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise ConfigError(f"{count} in {where}; {undone}\n" + "\n".join(f"  {line}" for line in lines))

    def value(self, kind: type[T], data: Any, file: File, prefix: Path = ()) -> T | None:
        """Validate data as a model; what is wrong with it is noted.

        Args:
            kind: a pydantic model or dataclass.
            data: the values, secrets put in.
            file: where the values came from, as they stand.
            prefix: the key path of the data in the file.
        """
        try:
            return TypeAdapter(kind).validate_python(data, context=FROM_FILE)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._explain(kind, file, prefix, detail)
            return None

    def _explain(self, kind: type, file: File, prefix: Path, detail: Any) -> None:
        raw: Any = _under(file.document.data, prefix)
        path: list[str | int] = []
        for part in detail["loc"]:
            present = isinstance(raw, Mapping) and part in raw
            present = present or (isinstance(raw, list) and isinstance(part, int) and part < len(raw))
            absent = detail["type"].startswith("missing") or detail["type"] == "unexpected_keyword_argument"
            if not present and not absent:
                break  # what follows are pydantic's own names, not keys of the file
            path.append(part)
            raw = raw[part] if present else None
        if (file.name, (*prefix, *path)) in self.unfilled:
            return
        hidden = _secret(_annotation(kind, path))
        self.add(file, (*prefix, *path), _message(detail, raw, _siblings(kind, path), hidden=hidden))


def _message(detail: Any, raw: Any, siblings: Sequence[str], *, hidden: bool) -> str:
    code, context = str(detail["type"]), detail.get("ctx", {})
    shown = "" if hidden or raw is None or isinstance(raw, (dict, list)) else f", found {quoted(raw)}"
    if code == AS_SAID:
        return str(context["error"])
    if code.startswith("missing"):
        return "is required and missing"
    if code in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key.{nearest(str(detail['loc'][-1]), siblings)}"
    if code in ("enum", "literal_error"):
        allowed = str(context.get("expected", ""))
        words = [word.strip().strip("'") for word in allowed.replace(" or ", ", ").split(",")]
        near = nearest(str(raw), words)
        return f"allowed is {allowed}{shown}{'.' + near if near.startswith(' Did') else ''}"
    if code == "value_error":
        return f"{shown.removeprefix(', ')}{': ' if shown else ''}{context.get('error', detail['msg'])}"
    if isinstance(raw, (dict, list)):
        shown = ", found " + ("a list" if isinstance(raw, list) else "a mapping")
    if code == "dataclass_type" or code.startswith("model_"):
        return f"must be a mapping (key: value){shown}"
    return str(detail["msg"]).replace("Input should be", "must be").replace("valid tuple", "list").strip() + shown


def quoted(value: Any) -> str:
    """A value as it is shown in a message: on one line, cut where it is long."""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    text = _USERINFO.sub("://***@", text)
    text = printable(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
    return f"'{text}'" if isinstance(value, str) else text


def _under(data: Any, path: Path) -> Any:
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            return None
        data = data[part]
    return data


def _fields(kind: Any) -> Mapping[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields
    return getattr(kind, "__pydantic_fields__", {})


def _annotation(kind: Any, path: Sequence[str | int]) -> Any:
    """The annotation of the value under a key path; None where none can be told."""
    for part in path:
        fields = _model_fields(kind)
        if fields:
            named = fields.get(str(part)) or next((f for f in fields.values() if f.alias == part), None)
            kind = named.annotation if named else None
        else:
            inner = [a for a in _arguments(kind) if a is not type(None) and a is not str and a is not ...]
            kind = inner[-1] if inner else None
    return kind


def _arguments(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind)


def _model_fields(kind: Any) -> Mapping[str, Any]:
    """The fields of a model, also of an optional or annotated one; {} for anything else."""
    if _fields(kind):
        return _fields(kind)
    if typing.get_origin(kind) in (dict, list, tuple, Mapping):
        return {}
    return next((found for argument in _arguments(kind) if (found := _model_fields(argument))), {})


def _siblings(kind: Any, path: Sequence[str | int]) -> tuple[str, ...]:
    fields = _model_fields(_annotation(kind, path[:-1]))
    return tuple(f.alias or name for name, f in fields.items() if f.init is not False and name not in NOT_IN_FILES)


def _secret(kind: Any) -> bool:
    return kind is SecretStr or any(_secret(argument) for argument in _arguments(kind))
