"""ML Metadata's STRUCT and PROTO values, written and read without protobuf.

A STRUCT is a ``google.protobuf.Struct`` as text, a PROTO a ``google.protobuf.Any``.

A number in a Struct is a double, so integers are exact up to 2**53 only, and larger ones are refused.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lakehouse.errors import MetadataError
from lakehouse.records import Proto

PREFIX: Final = "mlmd-struct::"
"""What a STRUCT's text starts with in ML Metadata's ``string_value`` column."""

_LIST_KEY: Final = "__value__"
# A level is three protobuf messages, and protobuf's own readers stop at a hundred.
_DEEPEST: Final = 30
_EXACT: Final = 2**53


def dump(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """The text ML Metadata stores for a mapping or a list.

    A Struct is a mapping, so a list is stored as TFX does: under the one key ``__value__``.

    Raises:
        MetadataError: a value inside is not null, bool, number, text, list or mapping, or does not fit.
    """
    return PREFIX + base64.b64encode(encode(value)).decode("ascii")


def encode(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """The serialized Struct of a mapping or a list; raises as `dump` does."""
    if isinstance(value, Mapping):
        if set(value) == {_LIST_KEY} and isinstance(value[_LIST_KEY], list | tuple):
            raise MetadataError(f"A mapping whose only key is '{_LIST_KEY}' is how a list is stored: rename the key.")
        fields = value
    else:
        fields = {_LIST_KEY: value}
    return _struct(fields, 1)


def load(text: str) -> dict[str, Any] | list[Any]:
    """The mapping or list that `dump` or ML Metadata stored. Whole numbers come back as ``int``.

    Raises:
        MetadataError: the text is not a stored Struct.
    """
    try:
        return decode(base64.b64decode(text.removeprefix(PREFIX), validate=True))
    except binascii.Error as error:
        raise MetadataError(f"The ledger holds a damaged STRUCT value ({error}).") from error


def decode(data: bytes) -> dict[str, Any] | list[Any]:
    """The mapping or list of a serialized Struct; raises as `load` does."""
    try:
        fields = _read_struct(data)
    except (IndexError, ValueError, struct.error, RecursionError) as error:
        raise MetadataError(f"The ledger holds a damaged STRUCT value ({error}).") from error
    if set(fields) == {_LIST_KEY} and isinstance(fields[_LIST_KEY], list):
        return list(fields[_LIST_KEY])
    return fields


def pack(value: Proto) -> bytes:
    """The serialized Any of a message."""
    return _field(1, value.type_url.encode()) + _field(2, value.value)


def unpack(data: bytes) -> Proto:
    """The message of a serialized Any.

    Raises:
        MetadataError: the bytes are not one.
    """
    try:
        parts = dict(_fields(data))
        return Proto(parts.get(1, b"").decode(), parts.get(2, b""))
    except (IndexError, ValueError) as error:
        raise MetadataError(f"The ledger holds a damaged PROTO value ({error}).") from error


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _struct(fields: Mapping[str, Any], depth: int) -> bytes:
    out = bytearray()
    for key, value in fields.items():
        if not isinstance(key, str):
            raise MetadataError(f"A mapping's keys must be text, not {type(key).__name__}.")
        out += _field(1, _field(1, key.encode()) + _field(2, _value(value, depth)))
    return bytes(out)


def _value(value: Any, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise MetadataError(f"A mapping or list may be nested {_DEEPEST} deep, not deeper.")
    match value:
        case None:
            return b"\x08\x00"
        case bool():
            return b"\x20\x01" if value else b"\x20\x00"
        case int() | float():
            return b"\x11" + struct.pack("<d", _number(value))
        case str():
            return _field(3, value.encode())
        case Mapping():
            return _field(5, _struct(value, depth + 1))
        case list() | tuple():
            return _field(6, b"".join(_field(1, _value(item, depth + 1)) for item in value))
        case _:
            raise MetadataError(f"A mapping or list cannot hold a {type(value).__name__}: make it text or a number.")


def _number(value: float) -> float:
    if isinstance(value, int) and abs(value) > _EXACT:
        raise MetadataError("A whole number inside a mapping or list is exact up to 2**53 only: store it as text.")
    return float(value)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each field's number and payload; a varint's payload is its bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        start = at
        match tag & 7:
            case 0:
                _, at = _read_varint(data, at)
            case 1:
                at += 8
            case 2:
                length, start = _read_varint(data, at)
                at = start + length
            case wire:
                raise ValueError(f"wire type {wire}")
        if at > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[start:at]


def _read_struct(data: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for _, entry in _fields(data):
        parts = dict(_fields(entry))
        fields[parts.get(1, b"").decode()] = _read_value(parts.get(2, b""))
    return fields


def _read_value(data: bytes) -> Any:
    value: Any = None
    for number, payload in _fields(data):
        match number:
            case 1:
                value = None
            case 2:
                value = _whole(struct.unpack("<d", payload)[0])
            case 3:
                value = payload.decode()
            case 4:
                value = payload != b"\x00"
            case 5:
                value = _read_struct(payload)
            case 6:
                value = [_read_value(item) for _, item in _fields(payload)]
            case _:
                raise ValueError(f"value of kind {number}")
    return value


def _whole(number: float) -> float:
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number
