"""Values outside their domain, and how many distinct ones there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse.schema import Domain, Feature, FeatureType, Rule
from lakehouse.validation.anomalies.fitting import told_of, unlike
from lakehouse.validation.anomalies.found import Anomaly
from lakehouse.validation.anomalies.judged import Finding, Judged
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import counted, few, number, percent, quoted
from lakehouse.validation.parsing import literal
from lakehouse.validation.statistics import Broken
from lakehouse.validation.statistics.feature import TEMPORAL

__all__ = ["domain", "unique"]

_EXAMPLES = 20  # values in an anomaly's figures
_LISTED = 5  # values of a domain in a message
_TOLERANCE = 1e-12  # of a share written in decimals
_SURE = 3  # standard errors that an estimate must be off to count


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing a domain asks.

    Attributes:
        kind: what it is to break it.
        short: in a few words.
        limit: what is allowed, as it reads after "the domain".
        outside: where a typed ``value`` breaks it.
        key: its key in YAML.
        least: how many values break it for certain, where that is known without the values.
        widest: the value the key would need to take everything in; None: not known.
    """

    kind: Kind
    short: str
    limit: str
    outside: pl.Expr
    key: str
    least: int = 0
    widest: Any = None


def domain(judged: Judged) -> Iterator[Finding]:
    """Values outside the domain: each where it allows none, their share where it allows some."""
    asked, seen = judged.feature.domain, judged.seen
    if asked is None or unlike(judged):
        return
    if found := judged.of(Rule.DOMAIN):
        yield from _by_rows(judged, asked, found)
    elif not (judged.by_row and asked.by_row):
        parts = list(_parts(judged, asked))
        known = judged.typed.drop_nulls("value")
        outside = known.filter(pl.any_horizontal(part.outside for part in parts)) if parts else known.clear()
        n = max(int(outside["count"].sum() or 0), *(part.least for part in parts), 0)
        if n > (1 - asked.min_mass + _TOLERANCE) * seen.values:
            yield from (one for part in parts for one in _of_part(judged, asked, part, known))
        elif not judged.all_known:
            yield from _unseen(judged, asked, known)


def _parts(judged: Judged, asked: Domain) -> Iterator[_Part]:
    feature, seen = judged.feature, judged.seen
    value = pl.col("value")
    finite = ~value.is_nan() if feature.type is FeatureType.FLOAT else pl.lit(value=True)
    element = feature.model_copy(update={"repeated": False})
    if asked.values is not None:
        allowed = pl.Series([literal(one, element) for one in asked.values], dtype=element.dtype)
        kind = Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES if feature.type is FeatureType.STRING else Kind.UNEXPECTED_VALUES
        limit = f"has {counted(len(asked.values), 'value')}{_listed(judged, asked.values)}"
        yield _Part(kind, "values outside the domain", limit, ~value.is_in(allowed.implode()), "values")
    for key, bound in (("min", asked.min), ("max", asked.max)):
        if bound is None:
            continue
        edge = literal(bound, element)
        low = key == "min"
        outside = finite & ((value < edge) if low else (value > edge))
        extreme = _extreme(judged, low=low)
        beyond = extreme is not None and (extreme < edge if low else extreme > edge)
        least = int(beyond and not judged.all_known)
        short = f"values {'below' if low else 'above'} {bound}"
        limit = f"allows {'at least' if low else 'at most'} {bound}"
        yield _Part(_range_kind(feature, low=low), short, limit, outside, key, least, extreme)
    if feature.type is FeatureType.FLOAT:
        yield from _finite(judged, asked)
    if asked.regex is not None:
        outside = ~value.str.contains(f"^(?:{asked.regex})$")
        yield _Part(Kind.TEXT_NOT_MATCHING, "texts that do not match", f"asks for {asked.regex}", outside, "regex")
    if asked.length is not None and feature.type in (FeatureType.STRING, FeatureType.BYTES):
        size = value.bin.size() if feature.type is FeatureType.BYTES else value.str.len_chars()
        unit = "bytes" if feature.type is FeatureType.BYTES else "characters"
        lengths = seen.lengths
        if (low_bound := asked.length.min) is not None:
            least = int(lengths is not None and lengths.min < low_bound and not judged.all_known)
            limit = f"asks for at least {low_bound} {unit}"
            yield _Part(Kind.LENGTH_TOO_SMALL, "values too short", limit, size < low_bound, "length", least)
        if (high_bound := asked.length.max) is not None:
            least = int(lengths is not None and lengths.max > high_bound and not judged.all_known)
            limit = f"allows at most {high_bound} {unit}"
            yield _Part(Kind.LENGTH_TOO_BIG, "values too long", limit, size > high_bound, "length", least)


def _extreme(judged: Judged, *, low: bool) -> Any:
    """The smallest or largest finite number, the earliest or latest moment; None where there is none, or not known."""
    seen = judged.seen
    known = seen.moments if judged.feature.type is seen.type and seen.type in TEMPORAL else seen.numbers
    return None if known is None else known.min if low else known.max


def _finite(judged: Judged, asked: Domain) -> Iterator[_Part]:
    numbers = judged.seen.numbers
    nan, infinite = (0, 0) if numbers is None else (numbers.nan, numbers.infinite)
    bounded = asked.finite is None and asked.min is not None and judged.widen  # no row with a lower bound may be NaN
    if asked.finite or bounded:
        limit = "allows no NaN"
        yield _Part(Kind.FLOAT_TYPE_HAS_NAN, "NaN values", limit, pl.col("value").is_nan(), "finite", nan)
    if asked.finite:
        limit = "allows finite numbers only"
        outside = pl.col("value").is_infinite()
        yield _Part(Kind.FLOAT_TYPE_HAS_INF, "infinite values", limit, outside, "finite", infinite)


def _range_kind(feature: Feature, *, low: bool) -> Kind:
    if feature.type in TEMPORAL:
        return Kind.TIME_TOO_EARLY if low else Kind.TIME_TOO_LATE
    if feature.type is FeatureType.INT:
        return Kind.INT_TYPE_SMALL_INT if low else Kind.INT_TYPE_BIG_INT
    return Kind.FLOAT_TYPE_SMALL_FLOAT if low else Kind.FLOAT_TYPE_BIG_FLOAT


def _listed(judged: Judged, values: tuple[Any, ...]) -> str:
    """The first of a domain's values, after how many there are; none of a personal feature's."""
    if judged.personal:
        return "."
    text = ", ".join(quoted(value) for value in values[:_LISTED])
    return f": {text}, …" if len(values) > _LISTED else f": {text}."


def _of_part(judged: Judged, asked: Domain, part: _Part, known: pl.DataFrame) -> Iterator[Anomaly]:
    seen = judged.seen
    outside = known.filter(part.outside).sort("count", "text", descending=[True, False])
    counted_ = int(outside["count"].sum() or 0)
    n = max(counted_, part.least)
    if not n:
        return
    # Where not every value is known, only so much is certain. NaN and infinities are always counted.
    certain = seen.complete or part.key == "finite"
    values = [] if judged.personal else list(outside.select("value", "count").head(_EXAMPLES).iter_rows())
    shown = f": {few(values, max(outside.height - len(values), 0))}" if values and part.key != "finite" else ""
    edge = "" if judged.personal or part.widest is None or values else f" The most extreme is {quoted(part.widest)}."
    tolerated = f" At most {number(100 * (1 - asked.min_mass))} % may be outside." if asked.min_mass < 1 else ""
    at_least = "" if certain else "At least "
    yield judged.make(
        part.kind,
        Rule.DOMAIN,
        f"{counted(outside.height, 'value')} outside the domain" if part.key == "values" and values else part.short,
        f"{at_least}{counted(n, 'value')} of {seen.values:,} ({percent(n, seen.values)}) {'is' if n == 1 else 'are'}"
        f" outside{shown}.{edge} The domain {part.limit}{'' if part.key == 'values' else '.'}{tolerated}"
        f" Mend the source, or widen the domain ({part.key}).",
        {
            "outside": n,
            "of": seen.values,
            "share": n / seen.values if seen.values else 0.0,
            "min_mass": asked.min_mass,
            "exact": certain,
            part.key: getattr(asked, part.key) if part.key not in ("values", "length") else None,
            **({} if judged.personal else {"outside_values": values, "extreme": part.widest}),
        },
        _proposal(judged, part, values, outside.height),
    )


def _proposal(judged: Judged, part: _Part, values: list[tuple[Any, int]], distinct: int) -> str:
    if judged.personal:
        return ""
    if part.key == "values" and values and distinct <= len(values):
        return f"{judged.path}: domain: add {', '.join(quoted(value) for value, _ in values)}"
    if part.key in ("min", "max") and part.widest is not None:
        return f"{judged.path}: domain: {{{part.key}: {part.widest}}}"
    return ""


def _unseen(judged: Judged, asked: Domain, known: pl.DataFrame) -> Iterator[str]:
    """What a domain asks that the statistics cannot tell of every value."""
    if judged.personal:
        yield (
            f"{judged.path}: the statistics keep no values of personal features: whether they are in the domain is"
            " known row by row only."
        )
        return
    if asked.values is None and asked.regex is None and asked.min_mass == 1:
        return  # ranges, lengths, NaN and infinities are known of all values
    told = int(known["count"].sum() or 0)
    yield (
        f"{judged.path}: only the {counted(known.height, 'most frequent value')} are known"
        f" ({percent(told, judged.seen.values)} of all), and they are in the domain; the others were not looked at."
    )


def _by_rows(judged: Judged, asked: Domain, found: list[Broken]) -> Iterator[Anomaly]:
    """What was found row by row, one anomaly a reason."""
    for broken in found:
        reason = broken.reason.removeprefix(f"{judged.path}: ")
        listed = reason == "not in its domain"
        values = told_of(judged, [broken])
        shown = f": {few(values)}" if values else ""
        limit = (
            f" The domain has {counted(len(asked.values), 'value')}{_listed(judged, asked.values)}"
            if asked.values
            else ""
        )
        yield judged.make(
            _kind_of(judged.feature, reason, values),
            Rule.DOMAIN,
            "values outside the domain" if listed else reason,
            f"In {counted(broken.rows, 'row')} the value {_is(reason)}{shown}."
            f"{limit} Mend the source, or widen the domain.",
            {"outside": broken.rows, "reason": reason, "exact": True, "outside_values": values},
        )


def _is(reason: str) -> str:
    """A reason as what the value is or does."""
    if reason.startswith("length"):
        return f"has a {reason}"
    return reason if reason.startswith("does not") else f"is {reason}"


def _kind_of(feature: Feature, reason: str, values: list[tuple[str, int]]) -> Kind:
    """The kind of a reason as rows are told it."""
    if reason.startswith("below"):
        return _range_kind(feature, low=True)
    if reason.startswith("above"):
        return _range_kind(feature, low=False)
    if reason.startswith("does not match"):
        return Kind.TEXT_NOT_MATCHING
    if reason.startswith("length outside"):
        shortest = feature.domain.length.min or 0 if feature.domain and feature.domain.length else 0
        short = any(len(text) < shortest for text, _ in values)
        return Kind.LENGTH_TOO_SMALL if short else Kind.LENGTH_TOO_BIG
    if reason.startswith(("not a number", "not finite")):
        infinite = any("inf" in text.lower() for text, _ in values)
        return Kind.FLOAT_TYPE_HAS_INF if infinite else Kind.FLOAT_TYPE_HAS_NAN
    return Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES if feature.type is FeatureType.STRING else Kind.UNEXPECTED_VALUES


def unique(judged: Judged) -> Iterator[Anomaly]:
    """Too few or too many distinct values; an estimate must be off by three standard errors to count."""
    asked, seen = judged.feature.unique, judged.seen
    if asked is None:
        return
    found = seen.distinct
    if judged.feature.type is FeatureType.STRUCT or seen.type is FeatureType.STRUCT:
        yield judged.make(
            Kind.FEATURE_TYPE_NO_UNIQUE,
            Rule.UNIQUE,
            "distinct values not counted",
            "The distinct values of a struct are not counted. Ask for unique on the features within, or take it away.",
        )
        return
    slack = 0 if found.exact else _SURE * found.error * found.count
    about = "" if found.exact else f"about (standard error {percent(found.error, 1)}) "
    figures = {"distinct": found.count, "exact": found.exact, "error": found.error}
    for kind, bound, broken, word in (
        (Kind.FEATURE_TYPE_LOW_UNIQUE, asked.min, asked.min is not None and found.count + slack < asked.min, "min"),
        (Kind.FEATURE_TYPE_HIGH_UNIQUE, asked.max, asked.max is not None and found.count - slack > asked.max, "max"),
    ):
        if broken:
            yield judged.make(
                kind,
                Rule.UNIQUE,
                f"{'only ' if word == 'min' else ''}{counted(found.count, 'distinct value')}",
                f"The column has {about}{counted(found.count, 'distinct value')};"
                f" {'at least' if word == 'min' else 'at most'} {bound:,} are asked for."
                f" Mend the source, or change unique: {word}.",
                {**figures, word: bound},
                f"{judged.path}: unique: {{{word}: {found.count}}}",
            )
