"""One pass over rows: typed, completed, checked, and split in valid and rejected.

Everything here is lazy polars; no Python runs a row. The checks are cheap booleans for every row.
Only of the rows that break some rule is it worked out which: one bit of a mask a rule, and from the
mask the reasons, and how many rows broke what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType

import polars as pl

from lakehouse.errors import SchemaError, nearest
from lakehouse.schema import PROVENANCE, Feature, FeatureType, Rule, converts
from lakehouse.validation.mapping import TEXT, Codes, Mapping
from lakehouse.validation.nested import Reading, read
from lakehouse.validation.parsing import NO_CODE, absent, as_json, as_text, literal, missing, named, parse, unlike
from lakehouse.validation.rules import CHECKS, RowRule, check_rules, feature_rules, merged, partition_rules

__all__ = ["KEY", "QUARANTINE", "VALUE", "Checked", "bit", "check", "too_strict"]

QUARANTINE: dict[str, pl.DataType] = {
    "reasons": pl.List(pl.String()),
    "fields": pl.String(),
    "text": pl.String(),
    **PROVENANCE,
}
"""A quarantined row: every reason (``feature: what``), the file's own fields as a JSON object, the
record's text where it could not be split into fields, and its provenance."""

MASK = "_mask:"
"""Prefix of the words of the mask of broken rules: bit ``i % 64`` of word ``i // 64`` is rule ``i``."""

VALUE = "_value:"
"""Prefix of the columns with the text of a value that broke a rule; of a check, of those it looks at."""

KEY = "_key:"
"""Prefix of the columns with the keys of a row that broke a rule."""

_UNFIT = "_unfit:"
"""Prefix of the columns that say where a computed value did not fit its feature's type."""

_BITS = 64
_LONGEST = 200  # characters of a value that broke a rule


@dataclass(frozen=True, slots=True)
class Checked:
    """Lazy frames over one scan, and what was asked of its rows.

    Attributes:
        rows: all rows, with ``_ok``.
        valid: the features, the added columns, ``_raw``, ``_row``.
        rejected: ``reasons``, ``fields``, ``text``, ``_raw``, ``_row``.
        broken: of each row that broke a rule, rejected or not: the words of its mask (UInt64), and the
            values (String) that broke one, null where they broke none; with the mapping's keys, where it has any,
            and whether these could be read (``_known``).
        rules: what the bits of the mask stand for.
        filled: feature to the number of valid rows whose missing value its default took the place of; to be
            selected from ``rows``.
    """

    rows: pl.LazyFrame
    valid: pl.LazyFrame
    rejected: pl.LazyFrame
    broken: pl.LazyFrame
    rules: tuple[RowRule, ...]
    filled: dict[str, pl.Expr]


def check(
    frame: pl.LazyFrame,
    dtypes: dict[str, pl.DataType],
    mapping: Mapping,
    added: Sequence[str] = (),
    private: Collection[str] = (),
) -> Checked:
    """Type, complete and check every row of a scan.

    Args:
        frame: the file's columns, ``_raw``, ``_row`` and possibly ``_suspect``.
        dtypes: the file's columns and what they hold (String for text formats).
        mapping: how they become the dataset's features.
        added: columns that the schema does not know and that are taken along as text.
        private: features whose values must not be told, beside those the schema calls personal.

    Raises:
        SchemaError: a derive expression, a check or the curation function does not fit these columns.
    """
    return _Check(frame, dtypes, mapping, added, private).frames()


def too_strict(rejected: Path) -> bool:
    """Whether rejected rows, in a Parquet file of `QUARANTINE`'s columns, may be valid when read leniently."""
    unread = pl.element().str.ends_with(f": not {named(Feature(type=FeatureType.INT))}")
    rows = pl.scan_parquet(rejected, glob=False).select(pl.col("reasons").list.eval(unread).list.any().any())
    return bool(rows.collect().item())


class _Check:
    """One scan's check, while it is put together."""

    def __init__(
        self,
        frame: pl.LazyFrame,
        dtypes: dict[str, pl.DataType],
        mapping: Mapping,
        added: Sequence[str],
        private: Collection[str],
    ) -> None:
        self.frame = frame
        self.dtypes = dtypes
        self.mapping = mapping
        self.schema = mapping.schema
        self.added = added
        columns = mapping.columns()
        self.present = {name: column for name, column in columns.items() if column in dtypes}
        self.gone = [name for name in columns if name not in self.present]
        self.unread = [
            name
            for name, column in self.present.items()
            if dtypes[column] != self.schema.features[name].dtype
            or self.schema.features[name].dtype.is_nested()
            or name in mapping.codes
        ]
        self.private = {*private, *(name for name, feature in self.schema.features.items() if feature.personal)}

    def frames(self) -> Checked:
        made, after, recast = _computed(self._typed(), self.mapping)
        if self.mapping.delete_when is not None:
            made = self._with_deletes(made, self.mapping.delete_when)
        rules = merged([self._spared(rule) for rule in self._rules(made, recast)])
        rejecting, warning = [r for r in rules if r.rejects], [r for r in rules if not r.rejects]
        checked = made.with_columns(_ok=pl.col("_parsed") & _none(rejecting))
        # A column of its own even where it is the same: polars reads the file a second time for plans that share
        # more than what all four share.
        checked = checked.with_columns(_clean=pl.col("_ok") & _none(warning))
        # Read again from the text: a function may have put something in the value's place.
        told = merged([*map(self._spared, self._reread()), *(self._surely(rule) for rule in rules)])
        return Checked(
            rows=checked,
            valid=checked.filter(pl.col("_ok")).select(*self.schema.features, *self.added, "_raw", "_row"),
            rejected=checked.filter(~pl.col("_ok")).select(
                reasons=_reasons(told),
                fields=pl.struct(
                    (as_json if dtype.is_nested() else as_text)(pl.col(TEXT + column), dtype).alias(column)
                    for column, dtype in self.dtypes.items()
                ).struct.json_encode(),
                text=pl.lit(None, pl.String),
                _raw="_raw",
                _row="_row",
            ),
            broken=checked.filter(~pl.col("_clean")).select(
                "_ok", *_mask(told), *self._values(told, after), *self._named(told)
            ),
            rules=tuple(told),
            filled={name: (self._fills(name) & pl.col("_ok") & self._stays).sum() for name in self._with_default()},
        )

    def _typed(self) -> pl.LazyFrame:
        """The file's texts, the features made of them, and whether all could be (``_parsed``)."""
        texts = [pl.col(column).alias(TEXT + column) for column in self.dtypes]
        values = {name: self._value(name) for name in self.present}
        gone = {name: self._default(name) for name in self.gone}
        typed = self.frame.select(
            *[c for c in ("_raw", "_row", "_suspect") if c in self.frame.collect_schema()],
            *texts,
            *[as_text(pl.col(column), self.dtypes[column]).alias(column) for column in self.added],
            *[value.alias(name) for name, value in {**values, **gone}.items()],
        )
        columns = {"_parsed": self._parsed(self.unread)}
        if self.mapping.delete_when is not None:
            columns["_named"] = self._parsed([name for name in self.unread if name in self._naming])
        return typed.with_columns(**columns)

    def _parsed(self, names: Sequence[str]) -> pl.Expr:
        """Whether what the file says of these features could all be read."""
        read_ = [self._gone(name, TEXT) | pl.col(name).is_not_null() for name in names]
        return pl.all_horizontal(read_) if read_ else pl.lit(value=True)

    @property
    def _naming(self) -> set[str | None]:
        """The features that even a delete must have."""
        return {*self.mapping.keys, self.mapping.event_time}

    @property
    def _stays(self) -> pl.Expr:
        """Whether a row is more than the delete of its key."""
        return pl.lit(value=True) if self.mapping.delete_when is None else ~pl.col("_delete")

    def _with_deletes(self, frame: pl.LazyFrame, sql: str) -> pl.LazyFrame:
        """The rows with ``_delete``; of those that do, only what names them must have been readable."""
        try:
            frame = frame.with_columns(_delete=pl.sql_expr(sql).fill_null(value=False))
            frame.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise SchemaError(f"delete_when: {str(error).splitlines()[0]}") from error
        return frame.with_columns(_parsed=pl.col("_parsed") | (pl.col("_delete") & pl.col("_named")))

    def _spared(self, rule: RowRule) -> RowRule:
        """A rule as it stands where some rows are deletes."""
        if self.mapping.delete_when is None or rule.column in self._naming:
            return rule
        return replace(rule, broken=rule.broken & ~pl.col("_delete"))

    def _named(self, rules: Sequence[RowRule]) -> list[pl.Expr]:
        """What a row is of, and whether that can be told, whatever else is wrong with it."""
        keys = self.mapping.keys
        if not keys:
            return []
        unread = [r.broken for r in rules if r.column in keys and r.rule in (Rule.TYPE, Rule.PRESENCE)]
        known = ~pl.any_horizontal(unread) if unread else pl.lit(value=True)
        # Of a computed key it cannot be told what made it null.
        if any(self.mapping.made(name) for name in keys):
            known &= pl.col("_parsed")
        return [*(pl.col(name).alias(f"{KEY}{name}") for name in keys), known.alias("_known")]

    def _there(self, name: str, prefix: str = "") -> pl.Expr:
        """A feature's column as it stands in the file, null where it says that the value is missing."""
        column = self.present[name]
        return absent(pl.col(prefix + column), self.dtypes[column], self._nulls(name))

    def _gone(self, name: str, prefix: str = "") -> pl.Expr:
        """Whether a feature's column says that the value is missing."""
        column = self.present[name]
        return missing(pl.col(prefix + column), self.dtypes[column], self._nulls(name))

    def _nulls(self, name: str) -> tuple[str, ...]:
        own = self.schema.features[name].null_values
        return self.mapping.null_values if own is None else own

    def _reading(self, name: str, prefix: str = "") -> Reading:
        return read(
            self._there(name, prefix),
            self.dtypes[self.present[name]],
            self.schema.features[name],
            name,
            null_values=self.mapping.null_values,
            lenient=self.mapping.lenient,
        )

    def _value(self, name: str) -> pl.Expr:
        feature, column = self.schema.features[name], self.present[name]
        dtype = self.dtypes[column]
        if name in self.mapping.codes:
            value = _decoded(self._code(name), self.mapping.codes[name])
        elif dtype == pl.String and not feature.dtype.is_nested() and unlike(self._nulls(name), feature):
            value = parse(pl.col(column), dtype, feature, lenient=self.mapping.lenient)
        else:
            value = self._reading(name).value
        if feature.default is None:
            return value
        return pl.when(self._gone(name)).then(self._default(name)).otherwise(value)

    def _code(self, name: str, prefix: str = "") -> pl.Expr:
        """The text of a feature whose codes are looked up, null where the value is missing."""
        return as_text(self._there(name, prefix), self.dtypes[self.present[name]])

    def _default(self, name: str) -> pl.Expr:
        feature = self.schema.features[name]
        return pl.lit(None if feature.default is None else literal(feature.default, feature), feature.dtype)

    def _with_default(self) -> list[str]:
        return [n for n in (*self.present, *self.gone) if self.schema.features[n].default is not None]

    def _fills(self, name: str) -> pl.Expr:
        return self._gone(name, TEXT) if name in self.present else pl.lit(value=True)

    def _reread(self) -> Iterator[RowRule]:
        """Where a column's value, or a part of it, is not of its type."""
        for name in self.unread:
            if name in self.mapping.codes:
                yield self._uncoded(name, self.mapping.codes[name])
                continue
            for path, feature, unfit in self._reading(name, TEXT).unfit:
                action = self.schema.action_of(Rule.TYPE, path)
                yield RowRule(path, Rule.TYPE, f"{path}: not {named(feature)}", action, unfit, name)

    def _uncoded(self, name: str, codes: Codes) -> RowRule:
        """Where a column's text is no code."""
        code, reason = self._code(name, TEXT), f"{name}: {NO_CODE} {codes.table}"
        broken = code.is_not_null() & _decoded(code, codes).is_null()
        shown = pl.format(f"{_quoted(name)}: '{{}}' is {NO_CODE} {_quoted(codes.table)}", code.str.slice(0, _LONGEST))
        told = None if name in self.private else shown
        return RowRule(name, Rule.TYPE, reason, self.schema.action_of(Rule.TYPE, name), broken, name, told)

    def _surely(self, rule: RowRule) -> RowRule:
        """A rule as it stands for rows that could not be wholly read: what is unreadable is not missing as well."""
        if rule.rule is not Rule.PRESENCE or rule.path not in self.unread:
            return rule
        return replace(rule, broken=rule.broken & (pl.col("_parsed") | self._gone(rule.path, TEXT)))

    def _rules(self, frame: pl.LazyFrame, recast: Collection[str]) -> Iterator[RowRule]:
        """What is asked of the typed values, column by column, and then across them."""
        inside = self.mapping.inside.features
        for name, feature in self.schema.features.items():
            dtype = self.dtypes[self.present[name]] if name in self.present else None
            unfit = [pl.col(_UNFIT + name)] if name in recast else []
            # A value that does not fit has its own reason; it is not missing as well.
            lacking = pl.all_horizontal(pl.col(name).is_null(), *[~u for u in unfit])
            if feature.dtype == pl.Float64() and self._can_be_infinite(feature, dtype):
                unfit.append(pl.col(name).is_infinite().fill_null(value=False))
            rules = list(feature_rules(self.schema, name, inside.get(name, feature), lacking, checked=name in inside))
            presence = [rule for rule in rules if rule.path == name and rule.rule is Rule.PRESENCE]
            yield from presence
            action = self.schema.action_of(Rule.TYPE, name)
            for broken in unfit:
                yield RowRule(name, Rule.TYPE, f"{name}: not {named(feature)}", action, broken, name)
            yield from rules[len(presence) :]
            if name in self.mapping.partition_by and feature.dtype == pl.String():
                yield from partition_rules(self.schema, name)
        try:
            for rule in check_rules(self.schema):
                if rule.broken.meta.has_multiple_outputs():
                    raise SchemaError(f"{rule.reason}: gives more than one column; name the columns it looks at")
                kind = frame.select(rule.broken).collect_schema().dtypes()[0]
                if kind != pl.Boolean:
                    raise SchemaError(f"{rule.reason}: gives {kind}, not true or false")
                yield rule
        except pl.exceptions.PolarsError as error:
            raise SchemaError(f"checks: {str(error).splitlines()[0]}") from error

    def _can_be_infinite(self, feature: Feature, dtype: pl.DataType | None) -> bool:
        """Whether a float can be infinite by computing; a file that holds floats may say so itself."""
        if feature.domain is not None and feature.domain.finite is not None:
            return False
        return dtype is None or (self.mapping.function is not None and not dtype.is_float())

    def _values(self, rules: Sequence[RowRule], after: pl.Schema) -> Iterator[pl.Expr]:
        """The texts of the values that broke a rule, a column for each feature or check that has any."""
        for name in dict.fromkeys(rule.column for rule in rules):
            looked_at = _looked_at(name, self.mapping)
            breaks = [r.broken for r in rules if r.column == name and r.rule is not Rule.PRESENCE]
            if not breaks or not looked_at or self.private.intersection(looked_at):
                continue
            if name.startswith(CHECKS):
                each = [pl.format(f"{_quoted(n)}={{}}", _shown(pl.col(n), after[n])) for n in looked_at]
                text = pl.concat_str(each, separator=", ")
            elif name in self.present:
                text = as_text(pl.col(TEXT + self.present[name]), self.dtypes[self.present[name]])
            else:
                text = as_text(pl.col(name), after[name])
            yield pl.when(pl.any_horizontal(breaks)).then(text.str.slice(0, _LONGEST)).alias(VALUE + name)


def _looked_at(column: str, mapping: Mapping) -> tuple[str, ...]:
    """The features whose values the rules of a column, or a check, look at; () where that cannot be told."""
    if not column.startswith(CHECKS):
        return (column,)
    expression = pl.sql_expr(mapping.schema.checks[column.removeprefix(CHECKS)].sql)
    names = tuple(dict.fromkeys(expression.meta.root_names()))
    return names if all(name in mapping.schema.features for name in names) else ()


def _shown(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return as_text(value, dtype).fill_null("null")


def _quoted(name: str) -> str:
    """A name in a format string."""
    return name.replace("{", "{{").replace("}", "}}")


def _decoded(code: pl.Expr, codes: Codes) -> pl.Expr:
    """What a code means, null where it is none."""
    return code.replace_strict(codes.codes, codes.values, default=None, return_dtype=codes.values.dtype)


def _none(rules: Sequence[RowRule]) -> pl.Expr:
    return pl.all_horizontal(~r.broken for r in rules) if rules else pl.lit(value=True)


def _mask(rules: Sequence[RowRule]) -> list[pl.Expr]:
    """The words of the mask: one bit a rule."""
    return [
        pl.sum_horizontal(
            rule.broken.cast(pl.UInt64) * pl.lit(1 << bit, pl.UInt64)
            for bit, rule in enumerate(rules[start : start + _BITS])
        ).alias(f"{MASK}{start // _BITS}")
        for start in range(0, len(rules), _BITS)
    ]


def bit(number: int) -> pl.Expr:
    """Whether the bit of a rule is set in a row's mask."""
    word, bit = divmod(number, _BITS)
    return pl.col(f"{MASK}{word}") & pl.lit(1 << bit, pl.UInt64) != 0


def _reasons(rules: Sequence[RowRule]) -> pl.Expr:
    """Why a row is in quarantine; what it would only be warned of is no reason for that."""
    told = [
        pl.when(rule.broken).then(pl.lit(rule.reason) if rule.told is None else rule.told)
        for rule in rules
        if rule.rejects
    ]
    if not told:  # nothing can be wrong with optional texts
        return pl.lit([], pl.List(pl.String))
    return pl.concat_list(told).list.drop_nulls()


def _computed(frame: pl.LazyFrame, mapping: Mapping) -> tuple[pl.LazyFrame, pl.Schema, list[str]]:
    """The frame with derived features and those the dataset's function makes, its columns, and which had to be cast."""
    before = frame.collect_schema()
    try:
        derived = [(converts(name, sql), pl.sql_expr(sql).alias(name)) for name, sql in mapping.derive.items()]
        # Side by side: what is derived sees the converted values, a conversion only those in the file.
        for conversions in (True, False):
            if some := [value for converted, value in derived if converted is conversions]:
                frame = frame.with_columns(some)
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
            value = read(pl.col(name), after[name], feature, name, null_values=(), lenient=True).value
            casts += [value.alias(name), (pl.col(name).is_not_null() & value.is_null()).alias(_UNFIT + name)]
            recast.append(name)
    frame = frame.with_columns(casts)
    return frame, frame.collect_schema(), recast


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
