"""ML Metadata's protobuf messages as the ledger's records, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as pb

from lakehouse.metadata import structs
from lakehouse.metadata.reading import milliseconds, moment_of
from lakehouse.records import (
    Artifact,
    ArtifactState,
    Context,
    DataType,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Proto,
    Type,
    TypeKind,
    Value,
)

_TYPES: Final = {
    TypeKind.ARTIFACT: pb.ArtifactType,
    TypeKind.EXECUTION: pb.ExecutionType,
    TypeKind.CONTEXT: pb.ContextType,
}


def type_of(kind: TypeKind, message: Any) -> Type:
    """A type out of its message.

    Raises:
        errors.UnimplementedError: its base type is set to nothing.
    """
    base = None
    if message.HasField("base_type"):
        if not message.base_type:
            raise errors.UnimplementedError("A base_type cannot be taken away, so it cannot be set to UNSET.")
        base = f"mlmd.{message.SystemDefinedBaseType.Name(message.base_type).capitalize()}"
    structure = kind is TypeKind.EXECUTION
    return Type(
        kind,
        message.name,
        {name: DataType(number) for name, number in message.properties.items()},
        version=_given(message, "version"),
        description=_given(message, "description"),
        base=base,
        external_id=_given(message, "external_id"),
        input_type=_structure_text(message, "input_type") if structure else None,
        output_type=_structure_text(message, "output_type") if structure else None,
    )


def type_message(type_: Type) -> Any:
    """The message of a type."""
    message = _TYPES[type_.kind](id=type_.id, name=type_.name)
    for field in ("version", "description", "external_id"):
        if (value := getattr(type_, field)) is not None:
            setattr(message, field, value)
    for name, kind in type_.properties.items():
        message.properties[name] = int(kind)
    if type_.base is not None:
        message.base_type = message.SystemDefinedBaseType.Value(type_.base.removeprefix("mlmd.").upper())
    for field, text in (("input_type", type_.input_type), ("output_type", type_.output_type)):
        if text is not None:
            json_format.Parse(text, getattr(message, field))
    return message


def _structure_text(message: Any, field: str) -> str | None:
    if not message.HasField(field):
        return None
    return json.dumps(json_format.MessageToDict(getattr(message, field)), separators=(",", ":"))


def artifact(message: pb.Artifact) -> Artifact:
    """An artifact out of its message."""
    return Artifact(uri=message.uri, state=ArtifactState(message.state), **_common(message))


def execution(message: pb.Execution) -> Execution:
    """An execution out of its message."""
    return Execution(state=ExecutionState(message.last_known_state), **_common(message))


def context(message: pb.Context) -> Context:
    """A context out of its message; one without a name has an empty one."""
    fields = _common(message)
    return Context(**{**fields, "name": fields["name"] or ""})


def _common(message: Any) -> dict[str, Any]:
    if not message.id and message.HasField("id"):
        raise errors.InvalidArgumentError("Cannot find the given id 0: leave it out to insert a new one.")
    return {
        "type": "",  # a message's type is for reading only; the id names it
        "type_id": message.type_id,
        "id": message.id,
        "name": _given(message, "name"),
        "external_id": _given(message, "external_id"),
        "properties": _values(message.properties),
        "custom_properties": _values(message.custom_properties),
    }


def _given(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _values(messages: Mapping[str, pb.Value]) -> dict[str, Value]:
    return {name: _value(name, message) for name, message in messages.items()}


def _value(name: str, message: pb.Value) -> Value:
    field = message.WhichOneof("value")
    match field:
        case "struct_value":
            return structs.decode(message.struct_value.SerializeToString())
        case "proto_value":
            return Proto(message.proto_value.type_url, message.proto_value.value)
        case None:
            raise errors.InvalidArgumentError(f"Found unmatched property type: {name}. It has no value.")
        case _:
            return getattr(message, field)  # type: ignore[no-any-return]


def artifact_message(record: Artifact) -> pb.Artifact:
    """The message of an artifact."""
    message = pb.Artifact(uri=record.uri)
    if record.state:
        message.state = int(record.state)
    return _filled(message, record)


def execution_message(record: Execution) -> pb.Execution:
    """The message of an execution."""
    message = pb.Execution()
    if record.state:
        message.last_known_state = int(record.state)
    return _filled(message, record)


def context_message(record: Context) -> pb.Context:
    """The message of a context."""
    return _filled(pb.Context(), record)


def _filled(message: Any, record: Artifact | Execution | Context) -> Any:
    message.id, message.type_id, message.type = record.id, record.type_id, record.type
    if record.name is not None:
        message.name = record.name
    if record.external_id is not None:
        message.external_id = record.external_id
    message.create_time_since_epoch = milliseconds(record.created_at) if record.created_at else 0
    message.last_update_time_since_epoch = milliseconds(record.updated_at) if record.updated_at else 0
    for name, value in record.properties.items():
        _fill(message.properties[name], value)
    for name, value in record.custom_properties.items():
        _fill(message.custom_properties[name], value)
    return message


def _fill(message: pb.Value, value: Value) -> None:
    match value:
        case str():
            message.string_value = value
        case bool():
            message.bool_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case Proto():
            message.proto_value.type_url, message.proto_value.value = value.type_url, value.value
            message.proto_value.SetInParent()
        case _:
            message.struct_value.ParseFromString(structs.encode(value))
            message.struct_value.SetInParent()


def event(message: pb.Event) -> Event:
    """An event out of its message."""
    return Event(
        message.artifact_id,
        message.execution_id,
        EventType(message.type),
        moment_of(message.milliseconds_since_epoch) if message.HasField("milliseconds_since_epoch") else None,
        tuple(getattr(step, step.WhichOneof("value")) for step in message.path.steps if step.WhichOneof("value")),
    )


def event_message(record: Event) -> pb.Event:
    """The message of an event."""
    message = pb.Event(artifact_id=record.artifact_id, execution_id=record.execution_id, type=int(record.type))
    if record.at is not None:
        message.milliseconds_since_epoch = milliseconds(record.at)
    for step in record.path:
        if isinstance(step, int):
            message.path.steps.add(index=step)
        else:
            message.path.steps.add(key=step)
    return message
