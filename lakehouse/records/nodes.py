"""ML Metadata's model: artifact, execution, context and event; the ledger stores them and nothing else knows how."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

__all__ = [
    "Artifact",
    "ArtifactState",
    "Context",
    "DataType",
    "Event",
    "EventType",
    "Execution",
    "ExecutionState",
    "Proto",
    "Tombstone",
    "Type",
    "TypeKind",
    "Value",
]


@dataclass(frozen=True, slots=True)
class Proto:
    """A serialized protobuf message as a value: ML Metadata's PROTO, a ``google.protobuf.Any``.

    Attributes:
        type_url: names the message's type, ``type.googleapis.com/package.Message``.
        value: the message's bytes.
    """

    type_url: str
    value: bytes


Value: TypeAlias = int | float | str | bool | Mapping[str, Any] | list[Any] | Proto
"""A property's value. A mapping or list is stored as ML Metadata's STRUCT."""


class DataType(enum.IntEnum):
    """ML Metadata's property types, with its numbers."""

    UNKNOWN = 0
    INT = 1
    DOUBLE = 2
    STRING = 3
    STRUCT = 4
    PROTO = 5
    BOOLEAN = 6


class TypeKind(enum.IntEnum):
    """What a type is a type of, with ML Metadata's numbers."""

    EXECUTION = 0
    ARTIFACT = 1
    CONTEXT = 2


class ArtifactState(enum.IntEnum):
    """ML Metadata's artifact states, with its numbers."""

    UNKNOWN = 0
    PENDING = 1
    LIVE = 2
    MARKED_FOR_DELETION = 3
    DELETED = 4
    ABANDONED = 5
    REFERENCE = 6


class ExecutionState(enum.IntEnum):
    """ML Metadata's execution states, with its numbers."""

    UNKNOWN = 0
    NEW = 1
    RUNNING = 2
    COMPLETE = 3
    FAILED = 4
    CACHED = 5
    CANCELED = 6


class EventType(enum.IntEnum):
    """How an execution touched an artifact, with ML Metadata's numbers.

    A curation links the raw files it read by INPUT, and those it refused by DECLARED_INPUT.
    """

    UNKNOWN = 0
    DECLARED_OUTPUT = 1
    DECLARED_INPUT = 2
    INPUT = 3
    OUTPUT = 4
    INTERNAL_INPUT = 5
    INTERNAL_OUTPUT = 6
    PENDING_OUTPUT = 7


@dataclass(frozen=True, slots=True)
class Type:
    """What the artifacts, executions or contexts of a name have for properties.

    Attributes:
        version: tells types of one name and kind apart; None is a version of its own.
        base: the built-in type it stands under, such as ``mlmd.Dataset``; None where it has none.
        external_id: unique across all types.
        input_type: of an execution type, what it reads: ML Metadata's ``ArtifactStructType`` as JSON.
        output_type: of an execution type, what it makes, likewise.
        id: 0 until stored.
    """

    kind: TypeKind
    name: str
    properties: Mapping[str, DataType] = field(default_factory=dict)
    version: str | None = None
    description: str | None = None
    base: str | None = None
    external_id: str | None = None
    input_type: str | None = None
    output_type: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A thing that was made or found: a raw file, a table version.

    Attributes:
        type: ``RawFile``, ``TableVersion``, ``QuarantineVersion``, ``Schema``, ``Statistics``, ``Anomalies``, or
            a user's own.
        name: unique within its type, or None.
        uri: where it lies, relative to the lake's root.
        external_id: unique across all artifacts (a content hash makes putting it twice once).
        id: 0 until stored.
        type_id: the stored type's id, which tells versions of a type apart; 0 goes by the type's name.
    """

    type: str
    name: str | None = None
    uri: str = ""
    external_id: str | None = None
    state: ArtifactState = ArtifactState.LIVE
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Execution:
    """A step that ran: ``Land`` or ``Curate``, with what it needed to be repeated."""

    type: str
    name: str | None = None
    external_id: str | None = None
    state: ExecutionState = ExecutionState.NEW
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What executions and artifacts belong to: a ``Source``, ``Dataset``, ``Job`` or ``Run``."""

    type: str
    name: str
    external_id: str | None = None
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One execution touched one artifact, at one moment.

    Attributes:
        path: where in the execution's inputs or outputs the artifact stood: keys and indices.
    """

    artifact_id: int
    execution_id: int
    type: EventType
    at: datetime | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a record that was deleted.

    Attributes:
        kind: what it was.
        id: what it had; no other record is ever given it.
        type: the name of its type.
        uri: an artifact's; "" for others.
        reason: why it was deleted, as whoever did it said.
        events: those that linked it with others.
    """

    kind: TypeKind
    id: int
    type: str
    name: str | None
    external_id: str | None
    uri: str
    deleted_at: datetime | None
    reason: str
    events: tuple[Event, ...] = ()
