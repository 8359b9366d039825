"""Lists and structs, from text or from a typed file: read whole, or known to be unreadable, and where.

A text format gives a list as texts joined by the feature's separator, or as a JSON array, and a struct
as a JSON object. JSON is taken apart by polars alone. Its readers raise for a whole column on one bad
text, and write numbers in their own way; so every scalar is first made a string that begins with a
mark: ``{"a":1.10}`` becomes ``{"=a":"=1.10"}``. What is a string, a number, null or nested stays told
apart, and a number stays as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import polars as pl

from lakehouse.schema import Feature, FeatureType
from lakehouse.validation.parsing import absent, parse

__all__ = ["Reading", "element_of", "read"]

_MARK = "="
_STRING = r'"(?:[^"\\]|\\.)*"'
_SCALAR = r'"((?:[^"\\]|\\.)*)"|(-?[0-9][-+.0-9eE]*|true|false)'
_MARKED = rf'"{_MARK}${{1}}${{2}}"'
_BELOW = 3  # levels of arrays and objects that unknown keys of a list's objects may hold


class Reading(NamedTuple):
    """A value as its feature's dtype, null where any part of it does not fit; and which parts do not.

    Attributes:
        value: the typed value.
        unfit: the dotted path, the feature whose type it is not, and whether it does not fit (never null).
    """

    value: pl.Expr
    unfit: list[tuple[str, Feature, pl.Expr]]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a value comes from; ``marked`` says that it is a part of a marked JSON text."""

    value: pl.Expr
    dtype: pl.DataType
    marked: bool = False


def element_of(feature: Feature) -> Feature:
    """What one value of a list is."""
    return feature.model_copy(update={"repeated": False})


def read(  # noqa: PLR0913  # the parts of a column, by name
    value: pl.Expr, dtype: pl.DataType, feature: Feature, path: str, *, null_values: tuple[str, ...], lenient: bool
) -> Reading:
    """A column of a file as a feature of any type.

    Args:
        value: the column, the texts for "missing" already null.
        dtype: what it holds; String for text formats.
        feature: what it must become.
        path: the feature's dotted path.
        null_values: the source format's texts for "missing", which parts of it may hold too.
        lenient: as for `parse`.
    """
    if not feature.repeated and feature.type is not FeatureType.STRUCT:
        typed = parse(value, dtype, feature, lenient=lenient)
        return Reading(typed, [(path, feature, value.is_not_null() & typed.is_null())])
    return _Reader(null_values).any(_Source(value, dtype), feature, path)


class _Reader:
    def __init__(self, null_values: tuple[str, ...]) -> None:
        self.null_values = null_values

    def any(self, source: _Source, feature: Feature, path: str) -> Reading:
        if feature.repeated:
            return self._list(source, feature, path)
        if feature.type is FeatureType.STRUCT:
            return self._struct(source, feature, path)
        return self._scalar(source, feature, path)

    def _scalar(self, source: _Source, feature: Feature, path: str) -> Reading:
        nulls = self.null_values if feature.null_values is None else feature.null_values
        said = source.value
        if source.marked:
            # An array or object here has no mark, and so is no scalar.
            said = pl.when(said.str.starts_with(_MARK)).then(said.str.strip_prefix(_MARK))
        there = absent(said, source.dtype, nulls)
        typed = parse(there, source.dtype, feature)
        bad = there.is_not_null() & typed.is_null()
        if source.marked:
            bad |= source.value.is_not_null() & said.is_null()
        return Reading(typed, [(path, feature, bad)])

    def _list(self, source: _Source, feature: Feature, path: str) -> Reading:
        items, misshapen = self._items(source, feature)
        one = element_of(feature)
        inner = self.any(_Source(pl.element(), items.dtype, items.marked), one, path)
        found = [(p, f, _any(items.value, bad)) for p, f, bad in inner.unfit]
        unfit = [(path, feature, misshapen), *((p, feature if f is one else f, bad) for p, f, bad in found)]
        return Reading(_whole(items.value.list.eval(inner.value).cast(feature.dtype), unfit), unfit)

    def _items(self, source: _Source, feature: Feature) -> tuple[_Source, pl.Expr]:
        """The list's parts, and where there is no list."""
        value, dtype = source.value, source.dtype
        match dtype:
            case pl.Array():
                return _Source(value.arr.to_list(), cast("pl.DataType", dtype.inner)), _never(value)
            case pl.List():
                return _Source(value, cast("pl.DataType", dtype.inner)), _never(value)
            case pl.Null():
                return _Source(value.cast(feature.dtype), feature.element_dtype), _never(value)
            case pl.String():
                pass
            case _:
                return _Source(_null(pl.List(pl.String()), value), pl.String()), value.is_not_null()
        if feature.separator is not None and not source.marked:
            # The text of no value is the list of none.
            parts = (
                pl.when(value == "")
                .then(pl.lit([], pl.List(pl.String())))
                .otherwise(value.str.split(feature.separator))
            )
            return _Source(parts, pl.String()), _never(value)
        text = value if source.marked else _marked(value)
        part = _object(1 + _depth(feature)) if feature.type is FeatureType.STRUCT else _STRING
        is_list = text.str.replace_all(rf"{part}|null", "").str.contains(r"^\s*\[[\s,]*\]\s*$").fill_null(value=False)
        written = pl.element()
        if feature.type is FeatureType.STRUCT:
            one = pl.when(written != "null").then(written)
        else:
            escaped = written.str.contains("\\", literal=True)
            plain = written.str.strip_prefix('"').str.strip_suffix('"')
            decoded = pl.when(escaped).then(written).str.json_path_match("$")
            one = pl.when(written != "null").then(pl.when(escaped).then(decoded).otherwise(plain))
        parts = pl.when(is_list).then(text).str.extract_all(rf"{part}|null").list.eval(one)
        return _Source(parts, pl.String(), marked=True), value.is_not_null() & ~is_list

    def _struct(self, source: _Source, feature: Feature, path: str) -> Reading:
        fields, misshapen = self._fields(source)
        inner = {name: self.any(fields(name), field, f"{path}.{name}") for name, field in feature.fields.items()}
        unfit = [(path, feature, misshapen), *(bad for reading in inner.values() for bad in reading.unfit)]
        value = pl.struct(reading.value.alias(name) for name, reading in inner.items())
        whole = _whole(pl.when(source.value.is_not_null()).then(value), unfit)
        return Reading(whole.cast(feature.dtype), unfit)

    @staticmethod
    def _fields(source: _Source) -> tuple[Callable[[str], _Source], pl.Expr]:
        """A struct's part by its name, and where there is no struct."""
        value, dtype = source.value, source.dtype
        if isinstance(dtype, pl.Struct):
            held = {field.name: cast("pl.DataType", field.dtype) for field in dtype.fields}

            def field(name: str) -> _Source:
                if name not in held:
                    return _Source(_null(pl.String(), value), pl.String())
                return _Source(value.struct.field(name), held[name])

            return field, _never(value)
        if dtype != pl.String:
            return (lambda _: _Source(_null(pl.String(), value), pl.String())), value.is_not_null()
        text = value if source.marked else _marked(value)
        is_object = text.str.contains(r"^\s*\{").fill_null(value=False)
        found = pl.when(is_object).then(text)
        return (
            lambda name: _Source(
                found.str.json_path_match(f"$[{json.dumps(_MARK + name, ensure_ascii=False)}]"),
                pl.String(),
                marked=True,
            )
        ), value.is_not_null() & ~is_object


def _marked(text: pl.Expr) -> pl.Expr:
    """A JSON text with its scalars marked; null where the text is no JSON."""
    whole = pl.when(text.str.json_path_match("$").is_not_null()).then(text)
    return whole.str.replace_all(_SCALAR, _MARKED)


def _object(depth: int) -> str:
    """A JSON object with others in it, so many levels deep, as a regular expression."""
    inner = rf"[^{{}}\"]|{_STRING}"
    found = rf"\{{(?:{inner})*\}}"
    for _ in range(depth):
        found = rf"\{{(?:{inner}|{found})*\}}"
    return found


def _depth(feature: Feature) -> int:
    """Levels of objects that a struct's features have, and as many again as unknown keys may have."""
    return _BELOW + max(path.count(".") for path, _ in feature.descend(""))


def _any(items: pl.Expr, bad: pl.Expr) -> pl.Expr:
    return items.list.eval(bad).list.any().fill_null(value=False)


def _whole(value: pl.Expr, unfit: list[tuple[str, Feature, pl.Expr]]) -> pl.Expr:
    return pl.when(~pl.any_horizontal(bad for _, _, bad in unfit)).then(value)


def _never(value: pl.Expr) -> pl.Expr:
    return value.is_null() & value.is_not_null()


def _null(dtype: pl.DataType, like: pl.Expr) -> pl.Expr:
    """Nulls, as many as there are values."""
    return pl.when(_never(like)).then(pl.lit(None, dtype))
