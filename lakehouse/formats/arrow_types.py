"""Arrow's own types as those that polars holds exactly; what has no such type is text, or refused by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["UnknownTypeError", "empty", "frames", "strange"]

_ROWS = 65_536
_BYTES = 32 << 20
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


class UnknownTypeError(ValueError):
    """A column's type has no exact form here; the message names both."""


def frames(batch: pa.RecordBatch) -> Iterator[pl.DataFrame]:
    """A batch of untrusted data as frames of about 32 MiB at most, every value as exact as it came.

    Dictionaries are decoded, maps are lists of ``{key, value}``, decimals of more than 38 digits and UUIDs are text,
    extensions are what they are stored as.

    Raises:
        UnknownTypeError: a column is a union, an interval, or a struct with a field twice.
        pyarrow.ArrowInvalid: the data contradict themselves.
    """
    for field in batch.schema:  # before the data are looked at: they cannot always be
        _plain(pa.nulls(0, field.type), field.name)
    batch.validate(full=True)
    longest = max((_longest(column) for column in batch.columns), default=0)
    step = max(1, min(_ROWS, batch.num_rows * _BYTES // max(batch.nbytes, 1), _BYTES // max(longest, 1)))
    for start in range(0, batch.num_rows, step):
        piece = batch.slice(start, step)
        columns = [_plain(column, name) for name, column in zip(batch.schema.names, piece.columns, strict=True)]
        yield pl.DataFrame(pa.table(columns, names=batch.schema.names))


def _longest(column: pa.Array) -> int:
    """Bytes of the longest text that a dictionary repeats."""
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    try:
        return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)
    except pa.ArrowNotImplementedError:  # no texts
        return 0


def empty(schema: pa.Schema) -> pl.DataFrame:
    """The columns of a file, without rows."""
    columns = [_plain(pa.nulls(0, field.type), field.name) for field in schema]
    return pl.DataFrame(pa.table(columns, names=schema.names))


def strange(kind: pa.DataType) -> bool:
    """Whether polars itself would not read a type exactly, at any depth."""
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_map(kind):
        return True
    if pa.types.is_decimal(kind):
        return bool(kind.precision > 38)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind) or pa.types.is_run_end_encoded(kind):
        return True
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return len(set(names)) < len(names) or any(strange(field.type) for field in kind)
    return any(is_list(kind) for is_list in _LISTS) and strange(kind.value_type)


def _plain(array: pa.Array, name: str) -> pa.Array:  # noqa: C901, PLR0912  # one case a type
    kind = array.type
    if isinstance(kind, pa.ExtensionType | pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            texts = [None if value is None else str(uuid.UUID(bytes=value)) for value in array.storage.to_pylist()]
            return pa.array(texts, pa.large_string())
        return _plain(array.storage, name)
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary_decode(), name)
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array), name)
    if pa.types.is_decimal(kind) and (kind.precision > 38 or kind.scale < 0):
        texts = [None if value is None else format(value, "f") for value in array.to_pylist()]
        return pa.array(texts, pa.large_string())
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if pa.types.is_timestamp(kind):
        zone = "UTC" if kind.tz else None
        return array.cast(pa.timestamp("ms" if kind.unit == "s" else kind.unit, zone))
    if pa.types.is_date64(kind):
        return array.cast(pa.timestamp("ms"))
    if pa.types.is_duration(kind) and kind.unit == "s":
        return array.cast(pa.duration("ms"))
    if pa.types.is_map(kind):
        if array.offset:  # a slice's entries cannot be told from the whole map's
            array = pa.concat_arrays([array, array.slice(0, 0)])
        entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
        return _plain(pa.ListArray.from_arrays(array.offsets, entries, mask=pc.invert(array.is_valid())), name)
    if any(is_list(kind) for is_list in _LISTS):
        valid = array.is_valid()
        counts = pc.if_else(valid, pc.fill_null(pc.list_value_length(array), 0), 0)
        offsets = pa.array([0, *pc.cumulative_sum(counts).to_pylist()], pa.int64())
        return pa.LargeListArray.from_arrays(offsets, _plain(array.flatten(), name), mask=pc.invert(valid))
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if not names or len(set(names)) < len(names):
            raise UnknownTypeError(f"column '{name}' is a struct without fields, or with a field twice ({kind})")
        fields = [_plain(field, name) for field in array.flatten()]
        return pa.StructArray.from_arrays(fields, names=names, mask=pc.invert(array.is_valid()))
    if pa.types.is_union(kind) or kind == pa.month_day_nano_interval():
        raise UnknownTypeError(f"column '{name}' has the type {kind}, which no column here can hold exactly")
    return array
