"""TensorFlow Metadata's messages as bytes and text, and what a message says that nobody took."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

from google.protobuf import text_format, unknown_fields
from google.protobuf.message import DecodeError, Message
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from lakehouse.errors import FormatError

__all__ = ["NO_PLACE", "Lost", "parse", "said", "written"]

MESSAGES: dict[str, type[Message]] = {
    "Schema": schema_pb2.Schema,
    "DatasetFeatureStatisticsList": statistics_pb2.DatasetFeatureStatisticsList,
    "Anomalies": anomalies_pb2.Anomalies,
}
_SPACE = frozenset(b"\t\n\r")
NO_PLACE = "there is no place for it here; left out"


def parse(data: str | bytes, name: str) -> Any:
    """The message that a text or bytes are.

    Args:
        data: the text format, or bytes of either form, or of a TFRecord file. A message's own bytes hold control
            characters (lengths, small numbers), its text holds none but tabs and line ends: that tells them apart.
        name: which message it is to be.

    Raises:
        FormatError: it is no such message; for text the message has line and column.
    """
    message = MESSAGES[name]()
    text = data if isinstance(data, str) else _as_text(data)
    try:
        if text is None:
            for record in _records(data):
                message.MergeFromString(record)
        else:
            text_format.Parse(text, message)
    except (DecodeError, text_format.ParseError, UnicodeError) as error:
        raise FormatError(
            f"This is no {name} of TensorFlow Metadata ({'text' if text is not None else 'binary'}): {error}"
        ) from None
    return message


def _records(data: Any) -> list[bytes]:
    """The records of a TFRecord file, as TensorFlow Data Validation keeps statistics; else the bytes as they are.

    A record is its length (8 bytes, the lowest first), 4 bytes, itself, 4 bytes; those four check what stands before
    them, which is left to whoever reads the message.
    """
    found, at = [], 0
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(data[at + 12 : at + 12 + length])
        at += length + 16
    return found if at == len(data) else [data]


def written(message: Any, form: Literal["text", "binary"]) -> str | bytes:
    """The message as text, or as bytes that are the same for the same message."""
    if form == "binary":
        return bytes(message.SerializeToString(deterministic=True))
    return str(text_format.MessageToString(message, as_utf8=True))


def _as_text(data: bytes) -> str | None:
    if any(byte < 32 and byte not in _SPACE for byte in data):
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def said(message: Any) -> Iterator[tuple[str, Any]]:
    """Each field that a message sets, by its name; fields newer than the installed messages by their number."""
    for field, value in message.ListFields():
        yield field.name, value
    for field in unknown_fields.UnknownFieldSet(message):
        yield f"field {field.field_number}", field.data


class Lost:
    """What could not be carried over, in the order it was met."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, path: str, field: str, why: str) -> None:
        """Say that a field was left out, or means something a little different here."""
        self._lines[f"{path or 'schema'}: {field}: {why}"] = None

    def others(self, path: str, field: str, message: Any, *taken: str) -> None:
        """Say of each field of a message that it is set and was not taken."""
        for name, _ in said(message):
            if name not in taken:
                self.add(path, f"{field}.{name}" if field else name, NO_PLACE)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)
