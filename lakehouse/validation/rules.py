"""From schema to row rules: what a single row can break, each a boolean expression with its reason.

The rules look at typed values. Those of a list or struct look inside it and say so by the feature's
path; which of a list's values is at fault they do not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import quote

import polars as pl

from lakehouse.schema import Action, Domain, Feature, FeatureType, Rule, Schema
from lakehouse.validation.nested import element_of
from lakehouse.validation.parsing import literal

__all__ = ["CHECKS", "RowRule", "check_rules", "feature_rules", "merged", "partition_rules"]

CHECKS = "checks."
"""What the path of a check across columns begins with."""

_BIG = 2**63 - 1
_FOLDER = 255  # bytes a folder's name may have
_FEW = 8  # texts up to which comparing with each is faster than looking up in a set

_Lift: TypeAlias = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class RowRule:
    """One thing that can be wrong with a row.

    Attributes:
        path: the feature's dotted path, or ``checks.NAME``.
        rule: its kind.
        reason: as a quarantined row tells it.
        action: what is done with the row or its batch.
        broken: where it is broken; never null.
        column: the outermost feature, whose name may hold dots itself, or ``checks.NAME``.
        told: the reason with the row's own value, where a quarantined row tells that.
    """

    path: str
    rule: Rule
    reason: str
    action: Action
    broken: pl.Expr = field(compare=False)
    column: str
    told: pl.Expr | None = field(default=None, compare=False)

    @property
    def rejects(self) -> bool:
        """Whether a row that breaks it goes to quarantine."""
        return self.action is not Action.WARN


def merged(rules: list[RowRule]) -> list[RowRule]:
    """The rules with those of the same path and reason made one: a bit each."""
    found: dict[tuple[str, str], RowRule] = {}
    for rule in rules:
        key = (rule.path, rule.reason)
        first = found.get(key)
        found[key] = rule if first is None else replace(first, broken=first.broken | rule.broken)
    return list(found.values())


def feature_rules(
    schema: Schema, path: str, feature: Feature, missing: pl.Expr, *, checked: bool = True
) -> Iterator[RowRule]:
    """What presence, domain and valency of one column ask of its typed value.

    Args:
        schema: says what is done about a broken rule.
        path: the feature's name.
        feature: the feature.
        missing: where the value is missing, and not just unreadable.
        checked: whether more is asked than that the value can be kept.
    """
    return _Compiler(schema, path).rules(path, feature, pl.col(path), missing, lambda inner: inner, checked=checked)


class _Compiler:
    def __init__(self, schema: Schema, column: str) -> None:
        self.schema = schema
        self.column = column

    def rules(  # noqa: PLR0913  # where it stands, by name
        self, path: str, feature: Feature, value: pl.Expr, missing: pl.Expr, lift: _Lift, *, checked: bool
    ) -> Iterator[RowRule]:
        """The rules of a feature where ``value`` stands; ``lift`` makes what is said there a matter of the row."""
        checked = checked and feature.checked
        if checked and feature.required:
            yield self._rule(path, Rule.PRESENCE, "missing", lift(missing))
        if feature.repeated:
            yield from self._list(path, feature, value, lift, checked=checked)
            value, outer = pl.element(), value
            feature, lift = element_of(feature), _each(outer, lift)
        if checked and feature.domain is not None and feature.domain.by_row:
            for reason, broken in _outside(value, feature, feature.domain):
                yield self._rule(path, Rule.DOMAIN, reason, lift(broken))
        for name, within in feature.fields.items():
            inner = value.struct.field(name)
            gone = value.is_not_null() & inner.is_null()
            yield from self.rules(f"{path}.{name}", within, inner, gone, lift, checked=checked)

    def _list(self, path: str, feature: Feature, value: pl.Expr, lift: _Lift, *, checked: bool) -> Iterator[RowRule]:
        nulls = value.list.eval(pl.element().is_null()).list.any()
        yield self._rule(path, Rule.TYPE, "null in its list", lift(nulls))
        if checked and feature.valency is not None:
            fewest, most = feature.valency.min or 0, _BIG if feature.valency.max is None else feature.valency.max
            reason = f"valency outside {fewest} to {'any' if most == _BIG else most}"
            yield self._rule(path, Rule.VALENCY, reason, lift(~value.list.len().is_between(fewest, most)))

    def _rule(self, path: str, rule: Rule, reason: str, broken: pl.Expr) -> RowRule:
        action = self.schema.action_of(rule, path)
        return RowRule(path, rule, f"{path}: {reason}", action, broken.fill_null(value=False), self.column)


def _each(items: pl.Expr, lift: _Lift) -> _Lift:
    return lambda inner: lift(items.list.eval(inner).list.any())


def check_rules(schema: Schema) -> Iterator[RowRule]:
    """What must hold across columns; a row where an expression is null passes.

    Raises:
        polars.exceptions.PolarsError: an expression is no SQL.
    """
    for name, check in schema.checks.items():
        path = f"{CHECKS}{name}"
        broken = (~pl.sql_expr(check.sql)).fill_null(value=False)
        action = schema.action_of(Rule.CHECK, path)
        yield RowRule(path, Rule.CHECK, f"check {name}: {check.sql}", action, broken, path)


def partition_rules(schema: Schema, name: str) -> Iterator[RowRule]:
    """What a text must not be to name a partition's folder, ``name=text`` with percent signs."""
    value = pl.col(name)
    longest = (_FOLDER - len(quote(name, safe="") + "=")) // len("%00")
    for reason, broken in (
        # Delta reads "" back as null; polars takes a folder's * for a glob.
        ("empty or with '*'", (value == "") | value.str.contains("*", literal=True)),
        ("a partition folder's word for missing", value == "__HIVE_DEFAULT_PARTITION__"),
        (f"longer than {longest} bytes", value.str.len_bytes() > longest),
    ):
        yield RowRule(
            name,
            Rule.TYPE,
            f"{name}: {reason}, so nothing to partition by",
            schema.action_of(Rule.TYPE, name),
            broken.fill_null(value=False),
            name,
        )


def _outside(value: pl.Expr, feature: Feature, domain: Domain) -> Iterator[tuple[str, pl.Expr]]:
    """What a domain forbids: reason and where it is broken (null where the value is missing)."""
    if domain.values is not None:
        allowed = pl.Series([literal(v, feature) for v in domain.values], dtype=feature.dtype)
        few = len(allowed) <= _FEW and feature.type is FeatureType.STRING
        inside = pl.any_horizontal(value == v for v in allowed) if few else value.is_in(allowed.implode())
        yield "not in its domain", ~inside
    is_float = feature.type is FeatureType.FLOAT
    # Where NaN is said to be right, or told as not finite, it is neither above nor below.
    number = value if domain.finite is None or not is_float else pl.when(value.is_not_nan()).then(value)
    if domain.finite and is_float:
        yield "not finite", ~value.is_finite()
        number = pl.when(value.is_finite()).then(value)
    if domain.min is not None:
        yield f"below {domain.min}", number < pl.lit(literal(domain.min, feature), feature.dtype)
    if domain.max is not None:  # polars orders NaN above every number
        yield f"above {domain.max}", number > pl.lit(literal(domain.max, feature), feature.dtype)
    if is_float and domain.min is not None and domain.finite is None:
        yield "not a number", value.is_nan()
    if domain.regex is not None:
        yield f"does not match {domain.regex}", ~value.str.contains(f"^(?:{domain.regex})$")
    if domain.length is not None:
        length = value.bin.size() if feature.type is FeatureType.BYTES else value.str.len_chars()
        shortest, longest = domain.length.min or 0, _BIG if domain.length.max is None else domain.length.max
        yield (
            f"length outside {shortest} to {'any' if longest == _BIG else longest}",
            ~length.is_between(shortest, longest),
        )
