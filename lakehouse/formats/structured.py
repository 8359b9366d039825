"""Records out of a whole YAML or TOML document: plain values that keep every number as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lakehouse.errors import nearest
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import MEBIBYTE, refuse

__all__ = ["LARGEST", "Written", "as_text", "columns", "records", "whole"]

LARGEST = 64 * MEBIBYTE
"""Bytes such a file may have: it is held in memory, some twenty times as large (measured: 7 MB become 150 MB)."""


class Written(str):
    """A number or a truth as it is written: a text that stands without quotes in JSON."""

    __slots__ = ()


def whole(raw: Raw, data: bytes) -> str:
    """The text of a file.

    Raises:
        FormatError: it is too large, or not UTF-8.
    """
    if len(data) > LARGEST:
        raise refuse(raw, f"larger than {LARGEST >> 20} MiB, and it is read as a whole", "split it, or write NDJSON")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(raw, f"not UTF-8 at byte {error.start + 1:,}", "write it in UTF-8") from error


def records(raw: Raw, document: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The items of the list at ``path``, or the one mapping there.

    Raises:
        FormatError: there is neither.
    """
    for depth, key in enumerate(path):
        if not isinstance(document, dict) or key not in document:
            keys = list(document) if isinstance(document, dict) else []
            missing = ".".join(path[: depth + 1])
            raise refuse(raw, f"it has no '{missing}'", f"correct 'records'.{nearest(key, keys)}")
        document = document[key]
    if isinstance(document, list):
        yield from document
    elif isinstance(document, dict):
        yield document
    elif document is not None:
        where = f"'{'.'.join(path)}'" if path else "it"
        raise refuse(raw, f"{where} holds neither a list of records nor a record", "correct 'records'")


def columns(record: dict[str, Any]) -> dict[str, str | None]:
    """Text by column; what is nested as JSON."""
    return {name: None if value is None else as_text(value) for name, value in record.items()}


def as_text(value: Any) -> str:
    """A scalar as it is written, a list or mapping as JSON."""
    return str(value) if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_json(item) for item in value) + "]"
    return str(value) if isinstance(value, Written) else json.dumps(value, ensure_ascii=False)
