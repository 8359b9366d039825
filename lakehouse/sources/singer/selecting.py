"""The catalog a tap is given: what it discovered, with the streams and fields that were chosen marked in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.errors import SourceError, nearest

__all__ = ["selected"]


def selected(discovered: bytes, choice: Mapping[str, tuple[str, ...] | bool]) -> str:
    """A catalog that selects these streams, whole or some of their fields, and no others.

    Says so both ways there are: in the metadata, and in the older ``selected`` of streams and schemas. Of a whole
    stream, fields that the tap itself leaves out by default stay out.

    Args:
        discovered: the catalog.
        choice: streams, by name or, where several share one, by ``tap_stream_id``.

    Raises:
        SourceError: it is no catalog, or a stream or field is not in it.
    """
    try:
        catalog = json.loads(discovered)
        streams: list[dict[str, Any]] = catalog["streams"]
        chosen = {_place(name, streams): (name, fields) for name, fields in choice.items()}
        for place, stream in enumerate(streams):
            name, fields = chosen.get(place, ("", False))
            _mark(name, stream, fields)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SourceError("the tap's --discover gave no catalog; use 'catalog' in place of 'select'") from error
    return json.dumps(catalog)


def _place(wanted: str, streams: Sequence[Mapping[str, Any]]) -> int:
    """Where in the catalog the one stream of a name, or else of a ``tap_stream_id``, stands."""
    ids = [str(stream.get("tap_stream_id") or stream["stream"]) for stream in streams]
    names = [str(stream.get("stream") or stream["tap_stream_id"]) for stream in streams]
    if names.count(wanted) > 1 and ids.count(wanted) != 1:
        several = ", ".join(f"'{one}'" for one, name in zip(ids, names, strict=True) if name == wanted)
        raise SourceError(f"select: the tap has several streams '{wanted}'; say which: {several}")
    known = names if names.count(wanted) == 1 else ids
    if wanted not in known:
        raise SourceError(f"select: the tap has no stream '{wanted}'.{nearest(wanted, {*names, *ids})}")
    return known.index(wanted)


def _mark(name: str, stream: dict[str, Any], fields: tuple[str, ...] | bool) -> None:  # as it is written
    chosen = fields is not False
    stream["selected"] = chosen
    metadata = {tuple(entry["breadcrumb"]): entry.get("metadata") or {} for entry in stream.get("metadata") or ()}
    metadata.setdefault((), {})["selected"] = chosen
    known = (stream.get("schema") or {}).get("properties") or {}
    listed = () if isinstance(fields, bool) else fields
    for field in listed:
        if field not in known:
            raise SourceError(f"select: stream '{name}' has no field '{field}'.{nearest(field, known)}")
    for field, schema in known.items() if chosen else ():
        of_it = metadata.setdefault(("properties", field), {})
        told = {"selected", "selected-by-default"} & of_it.keys()
        if of_it.get("inclusion") in ("automatic", "unsupported") or (fields is True and told):
            continue
        of_it["selected"] = fields is True or field in listed
        if isinstance(schema, dict):
            schema["selected"] = of_it["selected"]
    stream["metadata"] = [{"breadcrumb": list(place), "metadata": of_it} for place, of_it in metadata.items()]
