"""Domains of TensorFlow Metadata as ours: which of its types, words and bounds a feature takes from them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from lakehouse.tfmd.messages import Lost

__all__ = ["BOOL_WORDS", "Shared", "domain_of", "shared_domains", "shortest"]

BOOL_WORDS = {schema_pb2.INT: (["1"], ["0"]), schema_pb2.FLOAT: (["1.0", "1"], ["0.0", "0"])}
"""The words for true and for false of a bool that TensorFlow Metadata has as a number."""

_NUMBERS = {"int_domain": schema_pb2.INT, "float_domain": schema_pb2.FLOAT}
_OURS = {"int_domain": "int", "float_domain": "float"}
_MEDIA = ("image_domain", "audio_domain", "video_domain", "content_chunk_domain")
_CLOCK = re.compile(r"%[HIklMSTRrXsfpcD+]|%\.f|%[1-9]f")


@dataclass(frozen=True)
class Shared:
    """A domain under the schema's, that features name.

    Attributes:
        kind: ``string_domain``, ``int_domain`` or ``float_domain``.
        domain: as ours has it; empty when it says nothing that ours could.
        categorical: whether its users are numbers that are names.
        users: the features that name it, with the mass that must lie within: filled as they are read.
    """

    kind: str
    domain: dict[str, Any]
    categorical: bool
    users: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)


def shared_domains(message: Any, lost: Lost) -> dict[str, Shared]:
    """The schema's own domains, by name."""
    found: dict[str, Shared] = {}
    for kind in ("string_domain", "int_domain", "float_domain"):
        for each in getattr(message, kind):
            at = f"{kind} '{each.name}'"
            if not each.name or each.name in found:
                lost.add("", at, "another domain has its name, or it has none; left out")
                continue
            lost.others("", at, each, *_TAKEN[kind])
            found[each.name] = Shared(kind, _bounds(kind, each, "", at, lost), _categorical(kind, each))
    return found


def domain_of(message: Any, path: str, shared: Mapping[str, Shared], lost: Lost) -> dict[str, Any]:
    """What a feature's domain says: the keys ``type``, ``domain``, ``categorical`` and others that it decides."""
    kind = message.WhichOneof("domain_info")
    if kind is None:
        return _unbounded(message.type)
    value = getattr(message, kind)
    if kind == "domain":
        return _named(message, value, path, shared, lost)
    if kind in ("string_domain", "int_domain", "float_domain"):
        lost.others(path, kind, value, *_TAKEN[kind])
        if value.name:
            lost.add(path, f"{kind}.name", "a feature's own domain has none here; left out")
        if not _suits(kind, message.type, path, kind, lost):
            return _unbounded(message.type)
        bounds = _bounds(kind, value, path, kind, lost)
        return _typed(kind, {"domain": bounds} if bounds else {}, categorical=_categorical(kind, value))
    if kind == "bool_domain":
        return _bool(message, value, path, lost)
    if kind == "time_domain":
        return _time(message, value, path, lost)
    if kind == "struct_domain":
        return {}  # its features are read by who reads features
    lost.add(path, kind, "there is no such domain here; the feature keeps its type alone")
    return {"type": "bytes"} if kind in _MEDIA and message.type == schema_pb2.BYTES else _unbounded(message.type)


def shortest(value: float) -> float:
    """The number of fewest digits that a 32-bit float stores as this one: 0.1, where it says 0.10000000149011612."""
    for digits in range(6, 10):
        near = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", near) == struct.pack("<f", value):
                return near
        except OverflowError:
            continue
    return value


_TAKEN = {
    "string_domain": ("name", "value", "is_categorical"),
    "int_domain": ("name", "min", "max", "is_categorical"),
    "float_domain": ("name", "min", "max", "disallow_nan", "disallow_inf", "is_categorical"),
}


def _unbounded(kind: int) -> dict[str, Any]:
    # A float without a domain may be anything there, NaN and infinities too; here an infinity must be allowed.
    return {"domain": {"finite": False}} if kind == schema_pb2.FLOAT else {}


def _bounds(kind: str, value: Any, path: str, at: str, lost: Lost) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind == "string_domain":
        if value.value:
            found["values"] = list(value.value)
        else:
            lost.add(
                path, f"{at}.value", "an empty list allows nothing, which cannot be said here; the domain is left out"
            )
        if value.is_categorical:
            lost.add(path, f"{at}.is_categorical", "strings are categories here, always; left out")
        return found
    for bound in ("min", "max"):
        if value.HasField(bound):
            said = getattr(value, bound)
            found[bound] = said if kind == "int_domain" else shortest(said)
    if kind == "float_domain":
        if value.disallow_nan and not value.disallow_inf:
            lost.add(
                path, f"{at}.disallow_nan", "NaN cannot be refused alone: read as finite, infinities are refused too"
            )
        if value.disallow_nan:
            found["finite"] = True
        elif not value.disallow_inf:
            found["finite"] = False
    return found


def _categorical(kind: str, value: Any) -> bool:
    return kind != "string_domain" and bool(value.is_categorical)


def _suits(kind: str, declared: int, path: str, at: str, lost: Lost) -> bool:
    """Whether a domain of that kind can bound a feature of that type."""
    wanted = _NUMBERS.get(kind, schema_pb2.BYTES)
    if declared in (wanted, schema_pb2.TYPE_UNKNOWN):
        return True
    if declared == schema_pb2.BYTES:
        lost.add(path, "type", f"BYTES with {at}, numbers written as text: read as {_OURS[kind]}")
        return True
    lost.add(path, at, f"it does not suit a feature of type {schema_pb2.FeatureType.Name(declared)}; left out")
    return False


def _typed(kind: str, found: dict[str, Any], *, categorical: bool) -> dict[str, Any]:
    found["type"] = _OURS.get(kind, "string")
    if categorical:
        found["categorical"] = True
    return found


def _named(message: Any, name: str, path: str, shared: Mapping[str, Shared], lost: Lost) -> dict[str, Any]:
    known = shared.get(name)
    if known is None:
        lost.add(path, "domain", f"the schema has no domain '{name}'; left out")
        return _unbounded(message.type)
    if not _suits(known.kind, message.type, path, f"{known.kind} '{name}'", lost):
        return _unbounded(message.type)
    return _typed(known.kind, {"domain": name} if known.domain else {}, categorical=known.categorical)


def _bool(message: Any, value: Any, path: str, lost: Lost) -> dict[str, Any]:
    lost.others(path, "bool_domain", value, "true_value", "false_value")
    true, false = [value.true_value] * bool(value.true_value), [value.false_value] * bool(value.false_value)
    if message.type in BOOL_WORDS:
        if true or false:
            lost.add(path, "bool_domain", "a number's words for true and false are 1 and 0; others are left out")
        true, false = BOOL_WORDS[message.type]
    elif not true and not false:
        lost.add(path, "bool_domain", "it has neither a word for true nor one for false; left out")
        return {}
    return {"type": "bool", "true_values": true, "false_values": false}


def _time(message: Any, value: Any, path: str, lost: Lost) -> dict[str, Any]:
    lost.others(path, "time_domain", value, "string_format", "integer_format")
    if value.WhichOneof("format") != "string_format" or not value.string_format:
        unit = schema_pb2.TimeDomain.IntegerTimeFormat.Name(value.integer_format)
        lost.add(path, "time_domain.integer_format", f"{unit}: moments written as numbers stay numbers here")
        return {}
    if message.type not in (schema_pb2.BYTES, schema_pb2.TYPE_UNKNOWN):
        lost.add(path, "time_domain.string_format", "the feature's type is no text; left out")
        return _unbounded(message.type)
    moment = _CLOCK.search(value.string_format) is not None
    if moment and not re.search(r"%[zZ+s]|%:z", value.string_format):
        lost.add(path, "time_domain.string_format", "it names no time zone: say it in `timezone`")
    return {"type": "datetime" if moment else "date", "format": value.string_format}
