"""One feature and what a batch holds of it: what every rule looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import polars as pl

from lakehouse.schema import Feature, FeatureType, Rule, Schema
from lakehouse.validation.anomalies.found import Anomaly, Measure
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import figure
from lakehouse.validation.parsing import parse
from lakehouse.validation.statistics import Broken, FeatureStatistics

__all__ = ["Finding", "Judged", "Note", "make"]

Note: TypeAlias = str
Finding: TypeAlias = Anomaly | Measure | Note
"""What a rule gives: something odd, something measured, or a sentence on what could not be looked at."""


def make(  # noqa: PLR0913, PLR0917  # an anomaly's parts, in the order of its attributes
    schema: Schema,
    path: str,
    kind: Kind,
    rule: Rule,
    short: str,
    description: str,
    figures: Mapping[str, Any] | None = None,
    proposal: str = "",
) -> Anomaly:
    """An anomaly as the schema judges it."""
    return Anomaly(
        path=path,
        kind=kind,
        rule=rule,
        severity=schema.severity_of(rule, path),
        action=schema.action_of(rule, path),
        short=short,
        description=description,
        figures={key: figure(value) for key, value in (figures or {}).items()},
        proposal=proposal,
    )


@dataclass(frozen=True)
class Judged:
    """One feature and what a batch holds of it.

    Attributes:
        schema: of the environment.
        path: the feature's.
        feature: what it must be.
        seen: what it is.
        rows: how many rows could have a value: of what lies in a struct, those that have the struct.
        broken: what was found row by row.
        by_row: whether rows were looked at one by one.
        widen: whether a value that fits without loss is taken.
        all_rows: whether the statistics are of all rows, those that break a rule too.
    """

    schema: Schema
    path: str
    feature: Feature
    seen: FeatureStatistics
    rows: int
    broken: tuple[Broken, ...]
    by_row: bool
    widen: bool
    all_rows: bool

    @property
    def personal(self) -> bool:
        """Whether its values must not be told."""
        return self.feature.personal or self.seen.personal

    def of(self, rule: Rule) -> list[Broken]:
        """What was found row by row of one rule, the most rows first."""
        return sorted((b for b in self.broken if b.rule is rule), key=lambda b: -b.rows)

    @property
    def all_known(self) -> bool:
        """Whether the statistics tell every value."""
        return self.seen.complete and not self.personal

    @property
    def no_infinity(self) -> bool:
        """Whether an infinity is none of its type, rather than a value like others."""
        asked = self.feature.domain
        return self.feature.type is FeatureType.FLOAT and (asked is None or asked.finite is None)

    @property
    def unsplit(self) -> bool:
        """Whether its lists or structs are still text, since nobody told the statistics how they are written."""
        feature, seen = self.feature, self.seen
        if self.by_row or seen.repeated or seen.type is not FeatureType.STRING:
            return False
        if feature.type is FeatureType.STRUCT or not feature.repeated:
            return feature.type is FeatureType.STRUCT
        text = pl.col("value").str
        among = text.starts_with("[") if feature.separator is None else text.contains(feature.separator, literal=True)
        return bool(seen.frequencies().select(among.any()).item())

    @property
    def present(self) -> int:
        """Rows that have a value, be it one of the type or not."""
        unfit = sum(broken.rows for broken in self.of(Rule.TYPE)) if self.all_rows else 0
        return min(self.seen.count + unfit, self.rows)

    @cached_property
    def typed(self) -> pl.DataFrame:
        """The known values in the feature's type.

        Returns:
            ``text`` (as they were seen), ``value`` (the feature's dtype, null where it does not fit), ``count``.
        """
        known = self.seen.frequencies()
        dtype = known.schema["value"]
        element = self.feature.model_copy(update={"repeated": False})
        value = pl.col("value")
        typed = value if dtype == element.dtype else parse(value, dtype, element).cast(element.dtype)
        if self.no_infinity:
            typed = pl.when(typed.is_infinite()).then(None).otherwise(typed)
        return known.select(text=_plain(value, dtype), value=typed, count=pl.col("count"))

    def make(  # noqa: PLR0913, PLR0917  # as above
        self,
        kind: Kind,
        rule: Rule,
        short: str,
        description: str,
        figures: Mapping[str, Any] | None = None,
        proposal: str = "",
    ) -> Anomaly:
        """An anomaly of this feature."""
        return make(self.schema, self.path, kind, rule, short, description, figures, proposal)


def _plain(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return value if dtype in (pl.String, pl.Binary) else value.cast(pl.String, strict=False)
