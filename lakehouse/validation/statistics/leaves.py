"""The features of a frame: each column, and what lies within structs and lists, as a column of values of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import cast

import polars as pl

from lakehouse.errors import SchemaError
from lakehouse.schema import FeatureType
from lakehouse.validation.parsing import as_text

__all__ = ["WEIGHT", "Leaf", "is_float", "is_int", "leaves"]

WEIGHT = "weight"
"""The column of weights beside ``value``."""

_INT = r"^-?(0|[1-9][0-9]*)$"
_NO_NUMBER = r"^\+|^-?0[0-9]"  # signs and zeros that a number would lose


def is_int(text: pl.Expr) -> pl.Expr:
    """Whether a text is an integer of 64 bits that loses nothing by being one."""
    return text.str.contains(_INT) & text.cast(pl.Int64, strict=False).is_not_null()


def is_float(text: pl.Expr) -> pl.Expr:
    """Whether a text is a number, NaN and infinity among them, that loses no more than a double does."""
    number = text.cast(pl.Float64, strict=False)
    huge = text.str.contains(_INT) & text.cast(pl.Int64, strict=False).is_null()  # an identifier, more likely
    beyond = number.is_infinite() & text.str.contains("[0-9]")
    return number.is_not_null() & ~(huge | beyond | text.str.contains(_NO_NUMBER))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One feature of a frame, and how its values are had.

    Attributes:
        path: dotted.
        type: None while it is to be found in text, and of what is nothing but null.
        dtype: of the values.
        repeated: a row holds a list of them.
        personal: its values are not kept.
        text: the type is to be found in the values.
        weighed: there is a weight.
        plain: the value is an expression over the frame's own rows.
        value: that expression.
        rows: the frame with it alone, as ``value`` (and ``weight``): a list where ``repeated``.
    """

    path: str
    type: FeatureType | None
    dtype: pl.DataType
    repeated: bool
    personal: bool
    text: bool
    weighed: bool
    plain: bool
    value: pl.Expr
    rows: Callable[[pl.LazyFrame], pl.LazyFrame]

    def values(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The frame's values one by one, without nulls."""
        found = self.rows(frame)
        return (found.explode("value") if self.repeated else found).drop_nulls("value")

    def settled(self, kind: FeatureType | None) -> Leaf:
        """The same feature, of the type that was found in its texts."""
        if not self.text or kind is None:
            return self
        return replace(self, type=kind, text=False) if kind is FeatureType.STRING else self.read_as(kind)

    def read_as(self, kind: FeatureType) -> Leaf:
        """The same feature, its texts read as numbers."""
        dtype: pl.DataType = pl.Int64() if kind is FeatureType.INT else pl.Float64()
        inner, value = self.rows, pl.col("value")
        made = value.list.eval(pl.element().cast(dtype)) if self.repeated else value.cast(dtype)
        return replace(
            self,
            type=kind,
            dtype=dtype,
            text=False,
            value=self.value.cast(dtype) if self.plain else self.value,
            rows=lambda frame: inner(frame).with_columns(value=made),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where values stand: the rows, an expression over them, and what is wanted beside it."""

    rows: Callable[[pl.LazyFrame], pl.LazyFrame]
    value: pl.Expr
    beside: tuple[pl.Expr, ...]
    plain: bool = True

    def taken(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        return self.rows(frame).select(self.value.alias("value"), *self.beside)

    def each(self) -> _Place:
        """The values of the lists that stand here."""
        beside = tuple(pl.col(e.meta.output_name()) for e in self.beside)
        return _Place(
            lambda frame: self.taken(frame).explode("value").drop_nulls("value"),
            pl.col("value"),
            beside,
            plain=False,
        )


def leaves(schema: pl.Schema, *, weight: str | None, personal: Collection[str], texts: Collection[str]) -> list[Leaf]:
    """The features of a frame, in the order of its columns, a struct before what lies in it.

    Args:
        schema: of the frame.
        weight: the column of weights.
        personal: paths whose values are not kept; also of what lies within them.
        texts: columns whose strings are looked at for the type they have; the empty one is missing.

    Raises:
        SchemaError: a column holds Python objects, or two features have the same path.
    """
    beside = () if weight is None else (pl.col(weight).cast(pl.Float64).alias(WEIGHT),)
    found: dict[str, Leaf] = {}
    for name, dtype in schema.items():
        place = _Place(lambda frame: frame, pl.col(name), beside)
        for leaf in _Finder(personal, text=name in texts).found(name, dtype, place):
            if leaf.path in found:
                raise SchemaError(f"two features are named '{leaf.path}'; rename one of them")
            found[leaf.path] = leaf
    return list(found.values())


class _Finder:
    def __init__(self, personal: Collection[str], *, text: bool, hidden: bool = False) -> None:
        self.personal = personal
        self.text = text
        self.hidden = hidden

    def found(self, path: str, dtype: pl.DataType, place: _Place) -> Iterator[Leaf]:
        hidden = self.hidden or path in self.personal
        value, inner = place.value, dtype
        if isinstance(dtype, pl.Array):
            value, inner = value.arr.to_list(), cast("pl.DataType", dtype.inner)
        elif isinstance(dtype, pl.List):
            inner = cast("pl.DataType", dtype.inner)
        repeated = isinstance(dtype, (pl.Array, pl.List))
        text = self.text and inner == pl.String
        kind, normal = _normal(path, inner)
        made = value.list.eval(_made(pl.element(), inner, text=text)) if repeated else _made(value, inner, text=text)
        here = replace(place, value=made)
        plain = place.plain and not repeated
        yield Leaf(
            path,
            None if text else kind,
            normal,
            repeated,
            hidden,
            text,
            weighed=bool(place.beside),
            plain=plain,
            value=made,
            rows=here.taken,
        )
        if isinstance(inner, pl.Struct):
            within = here.each() if repeated else here
            finder = _Finder(self.personal, text=self.text, hidden=hidden)
            for field in inner.fields:
                part = replace(within, value=within.value.struct.field(field.name))
                yield from finder.found(f"{path}.{field.name}", cast("pl.DataType", field.dtype), part)


_TYPES: dict[type[pl.DataType], FeatureType] = {
    pl.Decimal: FeatureType.DECIMAL,
    pl.Boolean: FeatureType.BOOL,
    pl.Date: FeatureType.DATE,
    pl.Binary: FeatureType.BYTES,
    pl.Struct: FeatureType.STRUCT,
}


def _normal(path: str, dtype: pl.DataType) -> tuple[FeatureType | None, pl.DataType]:
    """The type of values, and the dtype they are counted as."""
    if dtype.is_integer():
        large = dtype in (pl.UInt64, pl.Int128)
        return FeatureType.INT, dtype if dtype == pl.UInt128 else pl.Int128() if large else pl.Int64()
    if dtype.is_float():
        return FeatureType.FLOAT, pl.Float64()
    if isinstance(dtype, pl.Datetime):
        return FeatureType.DATETIME, pl.Datetime("ns" if dtype.time_unit == "ns" else "us", dtype.time_zone)
    if isinstance(dtype, pl.Object):
        raise SchemaError(f"'{path}' holds Python objects, which cannot be counted; give it a dtype of polars")
    if (kind := _TYPES.get(type(dtype))) is not None:
        return kind, dtype
    return None if dtype == pl.Null else FeatureType.STRING, pl.String()


def _made(value: pl.Expr, dtype: pl.DataType, *, text: bool) -> pl.Expr:
    """A value as it is counted."""
    if text:
        return pl.when(value != "").then(value)
    if isinstance(dtype, pl.Struct):
        return value
    if isinstance(dtype, (pl.List, pl.Array, pl.Time, pl.Duration)):
        return as_text(value, dtype)
    normal = _normal("", dtype)[1]
    return value if normal == dtype else value.cast(normal)
