"""TensorFlow Metadata: schemas, statistics and anomalies as the protocol buffers that TensorFlow Data Validation reads.

Every function gives two things: the value, and what of the other side's could not be carried over, a line each,
with its path and field. Nothing is dropped that no line names. It needs the extra `tfmd`.
"""

from __future__ import annotations

import importlib.util
from typing import Literal, TypeAlias, overload

from lakehouse.errors import ConfigError
from lakehouse.schema import Schema
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = [
    "Form",
    "read_anomalies",
    "read_schema",
    "read_statistics",
    "write_anomalies",
    "write_schema",
    "write_statistics",
]

Form: TypeAlias = Literal["text", "binary"]
"""How a message is written: the text format of protocol buffers (``schema.pbtxt``), or their bytes."""


def read_schema(data: str | bytes) -> tuple[Schema, tuple[str, ...]]:
    """The schema that a ``tensorflow.metadata.v0.Schema`` tells, and what it tells that ours has no place for.

    Args:
        data: the text format or the bytes of the message; which of the two bytes are is seen by itself.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
        FormatError: it is no such message, or none of its features can be kept.
    """
    _needs_messages()
    from lakehouse.tfmd.messages import parse  # noqa: PLC0415  # only who has the extra can import it
    from lakehouse.tfmd.schema_reading import schema_from  # noqa: PLC0415

    return schema_from(parse(data, "Schema"))


@overload
def write_schema(schema: Schema) -> tuple[str, tuple[str, ...]]: ...
@overload
def write_schema(schema: Schema, form: Literal["text"]) -> tuple[str, tuple[str, ...]]: ...
@overload
def write_schema(schema: Schema, form: Literal["binary"]) -> tuple[bytes, tuple[str, ...]]: ...
def write_schema(schema: Schema, form: Form = "text") -> tuple[str | bytes, tuple[str, ...]]:
    """The schema as a ``tensorflow.metadata.v0.Schema``, and what of it other readers than `read_schema` will not see.

    What TensorFlow Metadata has no place for is kept as JSON in ``annotation.extra_metadata``, where TensorFlow Data
    Validation lets it be and `read_schema` finds it again: reading what was written gives the same schema.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
    """
    _needs_messages()
    from lakehouse.tfmd.messages import written  # noqa: PLC0415
    from lakehouse.tfmd.schema_writing import message_of  # noqa: PLC0415

    message, lost = message_of(schema)
    return written(message, form), lost


def read_statistics(data: str | bytes) -> tuple[Statistics, tuple[str, ...]]:
    """The statistics that a ``DatasetFeatureStatisticsList`` tells, and what it tells that ours have no place for.

    They are as good as what is told: figures are its figures; values and their counts are there where all of them are
    (then the feature is ``complete``) or the most frequent ones. They can be shown, validated and compared, and
    neither added up nor kept.

    Args:
        data: the text format, the bytes of the message, or a TFRecord file of it; which is seen by itself.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
        FormatError: it is no such message, or holds no dataset.
    """
    _needs_messages()
    from lakehouse.tfmd.messages import parse  # noqa: PLC0415
    from lakehouse.tfmd.statistics_reading import statistics_from  # noqa: PLC0415

    return statistics_from(parse(data, "DatasetFeatureStatisticsList"))


@overload
def write_statistics(statistics: Statistics) -> tuple[bytes, tuple[str, ...]]: ...
@overload
def write_statistics(statistics: Statistics, form: Literal["binary"]) -> tuple[bytes, tuple[str, ...]]: ...
@overload
def write_statistics(statistics: Statistics, form: Literal["text"]) -> tuple[str, tuple[str, ...]]: ...
def write_statistics(statistics: Statistics, form: Form = "binary") -> tuple[str | bytes, tuple[str, ...]]:
    """The statistics as a ``DatasetFeatureStatisticsList``, and what of them it has no place for.

    Slices are datasets beside that of all rows, named as TensorFlow Data Validation names them.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
    """
    _needs_messages()
    from lakehouse.tfmd.messages import written  # noqa: PLC0415
    from lakehouse.tfmd.statistics_writing import statistics_message  # noqa: PLC0415

    message, lost = statistics_message(statistics)
    return written(message, form), lost


def read_anomalies(data: str | bytes) -> tuple[Anomalies, tuple[str, ...]]:
    """The anomalies that a ``tensorflow.metadata.v0.Anomalies`` tells, and what it tells that ours have no place for.

    Args:
        data: the text format or the bytes of the message; which of the two bytes are is seen by itself.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
        FormatError: it is no such message.
    """
    _needs_messages()
    from lakehouse.tfmd.anomalies import anomalies_from  # noqa: PLC0415
    from lakehouse.tfmd.messages import parse  # noqa: PLC0415

    return anomalies_from(parse(data, "Anomalies"))


@overload
def write_anomalies(anomalies: Anomalies, schema: Schema | None = None) -> tuple[str, tuple[str, ...]]: ...
@overload
def write_anomalies(
    anomalies: Anomalies, schema: Schema | None = None, *, form: Literal["text"]
) -> tuple[str, tuple[str, ...]]: ...
@overload
def write_anomalies(
    anomalies: Anomalies, schema: Schema | None = None, *, form: Literal["binary"]
) -> tuple[bytes, tuple[str, ...]]: ...
def write_anomalies(
    anomalies: Anomalies, schema: Schema | None = None, *, form: Form = "text"
) -> tuple[str | bytes, tuple[str, ...]]:
    """The anomalies as a ``tensorflow.metadata.v0.Anomalies``, and what of them it has no place for.

    Args:
        anomalies: what a validation found.
        schema: what the batch was held against; it becomes the baseline.
        form: text or bytes.

    Raises:
        ConfigError: the extra `tfmd` is not installed.
    """
    _needs_messages()
    from lakehouse.tfmd.anomalies import anomalies_message  # noqa: PLC0415
    from lakehouse.tfmd.messages import written  # noqa: PLC0415

    message, lost = anomalies_message(anomalies, schema)
    return written(message, form), lost


def _needs_messages() -> None:
    if importlib.util.find_spec("tensorflow_metadata") is None:
        raise ConfigError(
            "TensorFlow Metadata's messages need the package tensorflow-metadata: install it with "
            "`pip install 'lakehouse[tfmd]'`."
        )
