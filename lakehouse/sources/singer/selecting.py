"""The catalog a tap is given: what it discovered, with the streams and fields that were chosen marked in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lakehouse.errors import SourceError, nearest

__all__ = ["selected"]


def selected(discovered: bytes, choice: Mapping[str, tuple[str, ...] | bool]) -> str:
    """A catalog that selects these streams, whole or some of their fields, and no others.

    Says so both ways there are: in the metadata, and in the older ``selected`` of streams and schemas.

    Raises:
        SourceError: it is no catalog, or a stream or field is not in it.
    """
    try:
        catalog = json.loads(discovered)
        streams = {_name(stream): stream for stream in catalog["streams"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError("the tap's --discover gave no catalog; use 'catalog' in place of 'select'") from error
    for name in choice:
        if name not in streams:
            raise SourceError(f"select: the tap has no stream '{name}'.{nearest(name, streams)}")
    for name, stream in streams.items():
        _mark(name, stream, choice.get(name, False))
    return json.dumps(catalog, ensure_ascii=False)


def _name(stream: Mapping[str, Any]) -> str:
    return str(stream.get("stream") or stream["tap_stream_id"])


def _mark(name: str, stream: dict[str, Any], fields: tuple[str, ...] | bool) -> None:  # as it is written
    chosen = fields is not False
    stream["selected"] = chosen
    metadata = {tuple(entry["breadcrumb"]): entry.setdefault("metadata", {}) for entry in stream.get("metadata", ())}
    metadata.setdefault((), {})["selected"] = chosen
    known = (stream.get("schema") or {}).get("properties") or {}
    if not isinstance(fields, bool):
        for field in fields:
            if field not in known:
                raise SourceError(f"select: stream '{name}' has no field '{field}'.{nearest(field, known)}")
        for field, schema in known.items():
            wanted = field in fields
            of_it = metadata.setdefault(("properties", field), {})
            if of_it.get("inclusion") != "automatic":
                of_it["selected"] = wanted
                if isinstance(schema, dict):
                    schema["selected"] = wanted
    stream["metadata"] = [{"breadcrumb": list(place), "metadata": of_it} for place, of_it in metadata.items()]
