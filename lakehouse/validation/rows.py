"""One pass over rows: typed, completed, checked, and split in valid and rejected.

Everything here is lazy polars; no Python runs a row. The checks are cheap booleans for every row;
reasons are spelled out only for the rows that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from urllib.parse import quote

import polars as pl

from lakehouse.errors import SchemaError, nearest
from lakehouse.schema import PROVENANCE, Domain, Feature, FeatureType, Schema
from lakehouse.validation.parsing import absent, as_json, as_text, literal, named, parse

__all__ = ["QUARANTINE", "TEXT", "Mapping", "check", "too_strict"]

TEXT = "_text:"
"""Prefix of the columns that keep what the file said beside what was made of it."""

QUARANTINE: dict[str, pl.DataType] = {
    "reasons": pl.List(pl.String()),
    "fields": pl.String(),
    "text": pl.String(),
    **PROVENANCE,
}
"""A quarantined row: every reason (``feature: what``), the file's own fields as a JSON object, the
record's text where it could not be split into fields, and its provenance."""

_UNFIT = "_unfit:"
"""Prefix of the columns that say where a computed value did not fit its feature's type."""

_BIG = 2**63 - 1
_FOLDER = 255  # bytes a folder's name may have
_FEW = 8  # texts up to which comparing with each is faster than looking up in a set


@dataclass(frozen=True, slots=True)
class Mapping:
    """How one dataset's rows are made from a file's columns.

    Attributes:
        schema: the dataset's features.
        null_values: the source format's texts for "missing".
        rename: the file's name to the feature's.
        derive: feature name to SQL expression.
        function: the dataset's own pure function, LazyFrame to LazyFrame.
        partition_by: features the table is partitioned by.
        lenient: whether the text ``12.0`` is taken for the int 12. Reading is faster without; rows
            with such texts are then rejected, and `too_strict` says so.
    """

    schema: Schema
    null_values: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)
    derive: dict[str, str] = field(default_factory=dict)
    function: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None
    partition_by: tuple[str, ...] = ()
    lenient: bool = True

    def made(self, name: str) -> bool:
        """Whether a feature is computed rather than read from the file."""
        return name in self.derive or self.schema.features[name].computed

    def feature_of(self, column: str) -> str:
        """The feature a file's column feeds."""
        return self.rename.get(column, column)

    def columns(self) -> dict[str, str]:
        """Feature to the file's column, for every feature that is read from the file."""
        back = {feature: column for column, feature in self.rename.items()}
        return {name: back.get(name, name) for name in self.schema.features if not self.made(name)}


@dataclass(frozen=True, slots=True)
class _Rule:
    """One thing that can be wrong with a row; ``broken`` is never null."""

    reason: str
    broken: pl.Expr


def check(
    frame: pl.LazyFrame, dtypes: dict[str, pl.DataType], mapping: Mapping, added: Sequence[str] = ()
) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """Type, complete and check every row of a scan.

    Args:
        frame: the file's columns, ``_raw``, ``_row`` and possibly ``_suspect``.
        dtypes: the file's columns and what they hold (String for text formats).
        mapping: how they become the dataset's features.
        added: columns that the schema does not know and that are taken along as text.

    Returns:
        Three lazy frames over the one scan: all rows with ``_ok``; the valid rows (the features,
        ``added``, ``_raw``, ``_row``); the rejected rows (``reasons``, ``fields``, ``text``,
        ``_raw``, ``_row``).

    Raises:
        SchemaError: a derive expression or the curation function does not fit these columns.
    """
    columns = mapping.columns()
    present = {name: column for name, column in columns.items() if column in dtypes}
    texts = [pl.col(column).alias(TEXT + column) for column in dtypes]
    values = {name: _value(mapping, name, column, dtypes[column]) for name, column in present.items()}
    gone = {name: _missing(mapping.schema.features[name]) for name in columns if name not in present}
    typed = frame.select(
        *[c for c in ("_raw", "_row", "_suspect") if c in frame.collect_schema()],
        *texts,
        *[as_text(pl.col(column), dtypes[column]).alias(column) for column in added],
        *[value.alias(name) for name, value in {**values, **gone}.items()],
    )
    unread = [n for n, column in present.items() if dtypes[column] != mapping.schema.features[n].dtype]
    parsed = (
        pl.all_horizontal(~_unread(mapping, n, present[n], dtypes, pl.col(n)) for n in unread)
        if unread
        else pl.lit(value=True)
    )
    made, recast = _computed(typed.with_columns(_parsed=parsed), mapping)
    rules = _rules(mapping, present, dtypes, recast)
    checked = made.with_columns(_ok=pl.col("_parsed") & _none(rules))
    valid = checked.filter(pl.col("_ok")).select(*mapping.schema.features, *added, "_raw", "_row")
    # Read again from the text: a function may have put something in the value's place.
    reread = [
        _Rule(f"{n}: not {named(mapping.schema.features[n])}", _unread(mapping, n, present[n], dtypes)) for n in unread
    ]
    rejected = checked.filter(~pl.col("_ok")).select(
        reasons=_reasons([*reread, *rules]),
        fields=pl.struct(
            (as_json if dtype.is_nested() else as_text)(pl.col(TEXT + c), dtype).alias(c) for c, dtype in dtypes.items()
        ).struct.json_encode(),
        text=pl.lit(None, pl.String),
        _raw="_raw",
        _row="_row",
    )
    return checked, valid, rejected


def too_strict(rejected: Path) -> bool:
    """Whether rejected rows, in a Parquet file of `QUARANTINE`'s columns, may be valid when read leniently."""
    unread = pl.element().str.ends_with(f": not {named(Feature(type=FeatureType.INT))}")
    rows = pl.scan_parquet(rejected, glob=False).select(pl.col("reasons").list.eval(unread).list.any().any())
    return bool(rows.collect().item())


def _none(rules: Sequence[_Rule]) -> pl.Expr:
    return pl.all_horizontal(~r.broken for r in rules) if rules else pl.lit(value=True)


def _reasons(rules: Sequence[_Rule]) -> pl.Expr:
    if not rules:  # nothing can be wrong with optional texts
        return pl.lit([], pl.List(pl.String))
    told = pl.concat_list(pl.when(r.broken).then(pl.lit(r.reason)) for r in rules)
    return told.list.drop_nulls().list.unique(maintain_order=True)


def _value(mapping: Mapping, name: str, column: str, dtype: pl.DataType) -> pl.Expr:
    feature = mapping.schema.features[name]
    there = _there(mapping, feature, column, dtype)
    value = parse(there, dtype, feature, lenient=mapping.lenient)
    if feature.default is None:
        return value
    return pl.when(there.is_null()).then(pl.lit(literal(feature.default, feature), feature.dtype)).otherwise(value)


def _there(mapping: Mapping, feature: Feature, column: str, dtype: pl.DataType) -> pl.Expr:
    nulls = mapping.null_values if feature.null_values is None else feature.null_values
    return absent(pl.col(column), dtype, nulls)


def _missing(feature: Feature) -> pl.Expr:
    value = None if feature.default is None else literal(feature.default, feature)
    return pl.lit(value, feature.dtype)


def _unread(
    mapping: Mapping, name: str, column: str, dtypes: dict[str, pl.DataType], value: pl.Expr | None = None
) -> pl.Expr:
    """Something was there and no value came of it."""
    feature = mapping.schema.features[name]
    there = _there(mapping, feature, TEXT + column, dtypes[column])
    if value is None:
        value = parse(there, dtypes[column], feature, lenient=mapping.lenient)
    return there.is_not_null() & value.is_null()


def _computed(frame: pl.LazyFrame, mapping: Mapping) -> tuple[pl.LazyFrame, list[str]]:
    """The frame with derived features and those the dataset's function makes, and which had to be cast."""
    before = frame.collect_schema()
    try:
        for name, sql in mapping.derive.items():
            frame = frame.with_columns(pl.sql_expr(sql).alias(name))
        after = frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"derive: {str(error).splitlines()[0]}") from error
    if mapping.function is not None:
        frame = _applied(mapping.function, frame, list(after))
        after = frame.collect_schema()
    casts, recast = [], []
    for name, feature in mapping.schema.features.items():
        if name not in after:
            raise SchemaError(
                f"feature '{name}' is computed, but neither derive nor the curation function makes it."
                + nearest(name, [c for c in after if c not in before])
            )
        if after[name] != feature.dtype:
            value = parse(pl.col(name), after[name], feature)
            casts += [value.alias(name), (pl.col(name).is_not_null() & value.is_null()).alias(_UNFIT + name)]
            recast.append(name)
    return frame.with_columns(casts), recast


def _applied(function: Callable[[pl.LazyFrame], pl.LazyFrame], frame: pl.LazyFrame, columns: list[str]) -> pl.LazyFrame:
    name = f"{function.__module__}.{function.__qualname__}" if isinstance(function, FunctionType) else repr(function)
    try:
        result = function(frame)
        made = result.collect_schema() if isinstance(result, pl.LazyFrame) else None
    except (Exception, pl.exceptions.PanicException) as error:
        what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise SchemaError(f"curate: {name} raised {what}") from error
    if made is None:
        raise SchemaError(f"curate: {name} gave a {type(result).__name__}; it must take and give a LazyFrame")
    if lost := [c for c in columns if c not in made]:
        raise SchemaError(f"curate: {name} dropped the columns {', '.join(lost)}; use with_columns, not select")
    return result


def _rules(
    mapping: Mapping, present: dict[str, str], dtypes: dict[str, pl.DataType], recast: Sequence[str]
) -> list[_Rule]:
    """What every feature's presence and domain ask of the typed values."""
    rules = []
    for name, feature in mapping.schema.features.items():
        value = pl.col(name)
        dtype = dtypes[present[name]] if name in present else None
        unfit = [pl.col(_UNFIT + name)] if name in recast else []
        if feature.required:
            # A value that does not fit has its own reason; it is not missing as well.
            missing = pl.all_horizontal(value.is_null(), *[~u for u in unfit])
            if dtype is not None and dtype != feature.dtype:
                missing &= pl.col("_parsed") | _there(mapping, feature, TEXT + present[name], dtype).is_null()
            rules.append(_Rule(f"{name}: missing", missing))
        if feature.type is FeatureType.FLOAT and _can_be_infinite(mapping, dtype):
            unfit.append(value.is_infinite().fill_null(value=False))
        rules += [_Rule(f"{name}: not {named(feature)}", broken) for broken in unfit]
        if feature.domain is not None:
            rules += [
                _Rule(f"{name}: {reason}", broken.fill_null(value=False))
                for reason, broken in _outside(value, feature, feature.domain)
            ]
        if name in mapping.partition_by and feature.type is FeatureType.STRING:
            rules += [
                _Rule(f"{name}: {reason}, so nothing to partition by", broken.fill_null(value=False))
                for reason, broken in _no_folder(value, name)
            ]
    return rules


def _can_be_infinite(mapping: Mapping, dtype: pl.DataType | None) -> bool:
    """Whether a float can be infinite by computing; a file that holds floats may say so itself."""
    return dtype is None or (mapping.function is not None and not dtype.is_float())


def _no_folder(value: pl.Expr, name: str) -> list[tuple[str, pl.Expr]]:
    """What a text must not be to name a partition's folder, ``name=text`` with percent signs."""
    longest = (_FOLDER - len(quote(name, safe="") + "=")) // len("%00")
    return [
        # Delta reads "" back as null; polars takes a folder's * for a glob.
        ("empty or with '*'", (value == "") | value.str.contains("*", literal=True)),
        ("a partition folder's word for missing", value == "__HIVE_DEFAULT_PARTITION__"),
        (f"longer than {longest} bytes", value.str.len_bytes() > longest),
    ]


def _outside(value: pl.Expr, feature: Feature, domain: Domain) -> list[tuple[str, pl.Expr]]:
    """What a domain forbids: reason and where it is broken (null where the value is missing)."""
    found = []
    if domain.values is not None:
        allowed = pl.Series([literal(v, feature) for v in domain.values], dtype=feature.dtype)
        few = len(allowed) <= _FEW and feature.type is FeatureType.STRING
        inside = pl.any_horizontal(value == v for v in allowed) if few else value.is_in(allowed.implode())
        found.append(("not in its domain", ~inside))
    if domain.min is not None:
        bound = pl.lit(literal(domain.min, feature), feature.dtype)
        found.append((f"below {domain.min}", value < bound))
    if domain.max is not None:
        bound = pl.lit(literal(domain.max, feature), feature.dtype)
        found.append((f"above {domain.max}", value > bound))  # polars orders NaN above every number
    if feature.type is FeatureType.FLOAT and domain.min is not None:
        found.append(("not a number", value.is_nan()))
    if domain.regex is not None:
        found.append((f"does not match {domain.regex}", ~value.str.contains(f"^(?:{domain.regex})$")))
    if domain.length is not None:
        length = value.bin.size() if feature.type is FeatureType.BINARY else value.str.len_chars()
        shortest, longest = domain.length.min or 0, _BIG if domain.length.max is None else domain.length.max
        found.append(
            (
                f"length outside {shortest} to {'any' if longest == _BIG else longest}",
                ~length.is_between(shortest, longest),
            )
        )
    return found
