"""YAML: the items of a list are the records, or each document is one; every scalar as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.structured import LARGEST, Written, as_text, columns, records, whole
from lakehouse.formats.unpacking import refuse

__all__ = ["YamlFormat"]

_DEEPEST = 200
_LITERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false")
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map"))}
_NULLS = ("", "~", "null", "Null", "NULL")


class YamlFormat(Converted):
    """YAML files of at most 64 MiB, which are held in memory. What aliases repeat counts as often as it stands."""

    type: Literal["yaml"] = "yaml"
    records: str | None = Field(None, description="where the list stands: keys joined by dots")

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Read every document."""
        with path.open("rb") as stream:
            text = whole(raw, stream.read(LARGEST + 1))
        place = tuple(self.records.split(".")) if self.records else ()
        try:
            for document in _documents(text):
                for record in records(raw, document, place):
                    if isinstance(record, dict):
                        values = columns(record)
                        into.text(values, sum(len(value or "") for value in values.values()))
                    else:
                        into.broken("null" if record is None else as_text(record), "row: not a mapping")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f" at line {mark.line + 1}" if mark else ""
            raise refuse(raw, f"not YAML{where}: {error.problem}", "correct the file or its format") from error
        except (yaml.YAMLError, ValueError) as error:
            raise refuse(raw, f"not YAML: {str(error).splitlines()[0]}", "correct the file or its format") from error


def _documents(text: str) -> Iterator[Any]:  # noqa: C901, PLR0912, PLR0915  # one case an event
    """The documents as dicts, lists, texts, `Written` and None; no tag makes an object, no alias a bomb."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    open_: list[tuple[dict[str, Any] | list[Any], str | None, int]] = []  # what is being filled, its anchor, its size
    keys: list[str | None] = []
    anchors: dict[str, tuple[Any, int]] = {}
    total = 0
    root: Any = None
    value: Any
    for event in yaml.parse(text, Loader=loader):
        size = 1
        if isinstance(event, yaml.DocumentStartEvent):
            anchors, root = {}, None
            continue
        if isinstance(event, yaml.DocumentEndEvent):
            yield root
            continue
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in _TAGS:
            raise _problem(event, "it has a tag, which would make something else of it")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(open_) >= _DEEPEST:
                raise _problem(event, f"nested deeper than {_DEEPEST} levels")
            if open_ and isinstance(open_[-1][0], dict) and keys[-1] is None:
                raise _problem(event, "a key is no text")
            open_.append(({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor, total))
            keys.append(None)
            total += 1
            continue
        if isinstance(event, yaml.ScalarEvent):
            value, anchor = _scalar(event), event.anchor
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _problem(event, f"there is no anchor '{event.anchor}' before its alias")
            (value, size), anchor = anchors[event.anchor], None
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            value, anchor, before = open_.pop()
            keys.pop()
            size, total = total - before, before
        else:
            continue
        total += size
        if total > LARGEST // 8:
            raise _problem(event, "more values than can be held; are its aliases a bomb?")
        if anchor:
            anchors[anchor] = value, size
        if not open_:
            root = value
        elif isinstance(holder := open_[-1][0], list):
            holder.append(value)
        elif keys[-1] is None:
            key = event.value if isinstance(event, yaml.ScalarEvent) else value
            if not isinstance(key, str):
                raise _problem(event, "a key is no text")
            if key == "<<" or key in holder:
                what = "merge keys (<<) are not followed" if key == "<<" else f"the key '{key}' stands twice"
                raise _problem(event, what)
            keys[-1] = key
        else:
            holder[str(keys[-1])] = value
            keys[-1] = None


def _scalar(event: yaml.ScalarEvent) -> str | None:
    if not event.style and event.tag is None:  # plain: the parser in C says '', the one in Python None
        if event.value in _NULLS:
            return None
        if _LITERAL.fullmatch(event.value):
            return Written(event.value)
    return str(event.value)


def _problem(event: yaml.Event, what: str) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # the C parser has a class of its own
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
