"""Values that are none of their feature's type, and lists that are too short or too long."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from lakehouse.schema import Feature, FeatureType, Rule
from lakehouse.validation.anomalies.found import Anomaly
from lakehouse.validation.anomalies.judged import Finding, Judged
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import counted, few, percent
from lakehouse.validation.parsing import NO_CODE, named
from lakehouse.validation.statistics import Broken

__all__ = ["told_of", "types", "unlike", "valency"]

_EXAMPLES = 20  # values in an anomaly's figures
_WIDER = {  # what each type takes whole, without looking at the values
    FeatureType.FLOAT: {FeatureType.INT},
    FeatureType.DECIMAL: {FeatureType.INT},
    FeatureType.STRING: set(FeatureType) - {FeatureType.STRUCT},
}
_NO_NUMBER = {  # what TensorFlow Data Validation says, beside the type, of text where a domain asks for a number
    FeatureType.INT: Kind.INT_TYPE_NOT_INT_STRING,
    FeatureType.FLOAT: Kind.FLOAT_TYPE_STRING_NOT_FLOAT,
}


def types(judged: Judged) -> Iterator[Finding]:
    """Values that do not fit the feature's type.

    A value that fits without loss is taken: 12 in a float feature, 12.0 in an int one, any text in a string
    one. Without `Judged.widen` the column's own type must be the feature's, whatever its values.
    """
    if not judged.widen:
        yield from _exact(judged)
    elif found := judged.of(Rule.TYPE):
        yield _by_rows(judged, found, Kind.UNEXPECTED_DATA_TYPE)
    elif not judged.by_row:
        yield from _by_values(judged)


def _by_rows(judged: Judged, found: list[Broken], kind: Kind) -> Anomaly:
    rows = sum(broken.rows for broken in found)
    examples = told_of(judged, found)
    if tables := [broken.reason.partition(f"{NO_CODE} ")[2] for broken in found if NO_CODE in broken.reason]:
        return _uncoded(judged, " and ".join(tables), rows, examples)
    if judged.feature.type is FeatureType.BOOL:
        kind = Kind.BOOL_TYPE_UNEXPECTED_STRING
    return _unfit(judged, kind, counted(rows, "row"), rows, examples)


def _uncoded(judged: Judged, table: str, rows: int, examples: list[tuple[str, int]]) -> Anomaly:
    """An anomaly of values that no code table holds."""
    shown = f": {few(examples)}" if examples else ""
    return judged.make(
        Kind.UNEXPECTED_DATA_TYPE,
        Rule.TYPE,
        f"{NO_CODE} {table}",
        f"{counted(rows, 'row')} {'holds' if rows == 1 else 'hold'} no code of {table}{shown}."
        " Add it there and curate that dataset, or mend the source.",
        {"outside": rows, **({} if judged.personal else {"values": examples[:_EXAMPLES]})},
    )


def told_of(judged: Judged, found: list[Broken]) -> list[tuple[str, int]]:
    """Examples of rows that break a rule, most frequent first; none of personal features."""
    return [] if judged.personal else sorted((e for b in found for e in b.examples), key=lambda e: -e[1])[:_EXAMPLES]


def _infinite(judged: Judged) -> Iterator[Anomaly]:
    """Infinities where they are no values of a float."""
    seen = judged.seen
    infinite = seen.numbers.infinite if judged.no_infinity and seen.numbers is not None else 0
    if infinite:
        yield judged.make(
            Kind.FLOAT_TYPE_HAS_INF,
            Rule.TYPE,
            "infinite values",
            f"{counted(infinite, 'value')} of {seen.values:,} ({percent(infinite, seen.values)})"
            f" {'is' if infinite == 1 else 'are'} infinite, which is"
            " no float here. Mend the source, or take them (domain: {finite: false}).",
            {"infinite": infinite, "of": seen.values},
            f"{judged.path}: domain: {{finite: false}}",
        )


def _by_values(judged: Judged) -> Iterator[Finding]:
    seen, feature = judged.seen, judged.feature
    yield from _infinite(judged)
    if seen.type is None or seen.type is feature.type or seen.type in _WIDER.get(feature.type, ()):
        return
    if FeatureType.STRUCT in (seen.type, feature.type):
        told = "The column's value" if seen.values == 1 else f"All {seen.values:,} values"
        yield _unfit(judged, Kind.UNEXPECTED_DATA_TYPE, told, seen.values, [])
        return
    bad = judged.typed.filter(pl.col("value").is_null())
    if not bad.is_empty():
        n = int(bad["count"].sum())
        at_least = "" if seen.complete else "at least "
        told = f"{at_least}{counted(n, 'value')} of {seen.values:,} ({percent(n, seen.values)})"
        values = [] if judged.personal else list(bad.select("text", "count").iter_rows())
        yield _unfit(judged, _kind(judged, bad), told[0].upper() + told[1:], n, values)
    elif judged.personal:
        yield (
            f"{judged.path}: the statistics keep no values of personal features: whether each fits {_wanted(feature)}"
            " is known row by row only."
        )
    elif not seen.complete:
        yield (
            f"{judged.path}: only the {counted(judged.typed.height, 'most frequent value')} are known, and they fit"
            f" {_wanted(feature)}; the others were not looked at."
        )


def _kind(judged: Judged, bad: pl.DataFrame) -> Kind:
    if judged.feature.type is not FeatureType.BOOL:
        return Kind.UNEXPECTED_DATA_TYPE
    match judged.seen.type:
        case FeatureType.INT:
            low = bad.select((pl.col("text").cast(pl.Int64) < 0).any()).item()
            return Kind.BOOL_TYPE_SMALL_INT if low else Kind.BOOL_TYPE_BIG_INT
        case FeatureType.FLOAT | FeatureType.DECIMAL:
            return Kind.BOOL_TYPE_UNEXPECTED_FLOAT
        case _:
            return Kind.BOOL_TYPE_UNEXPECTED_STRING


def _wanted(feature: Feature) -> str:
    what = named(feature)
    if feature.type is FeatureType.BOOL:
        words = [*feature.true_values, *feature.false_values]
        what += f" ({', '.join(words)})"
    return f"{what} (in a list)" if feature.repeated else what


def _unfit(judged: Judged, kind: Kind, told: str, n: int, values: list[tuple[str, int]]) -> Anomaly:
    """An anomaly of ``n`` values that are none of the type; ``told`` says how many of how many."""
    seen, feature = judged.seen, judged.feature
    shown = f": {few(values)}" if values else ""
    other = seen.type if seen.type not in (None, feature.type) else None
    could = f" As {other.value}, all of the column's values fit." if other else ""
    proposal = f"{judged.path}: type: {f'list[{other.value}]' if feature.repeated else other.value}" if other else ""
    return judged.make(
        kind,
        Rule.TYPE,
        f"not {named(feature)}",
        f"{told} {'is' if n == 1 else 'are'} not {_wanted(feature)}{shown}.{could}"
        f" Mend the source{', or change the type of the feature' if other else ''}.",
        {
            "expected": feature.type.value,
            "found": other.value if other else None,
            "outside": n,
            "of": seen.values,
            **({} if judged.personal else {"values": values[:_EXAMPLES]}),
        },
        proposal,
    )


def _exact(judged: Judged) -> Iterator[Anomaly]:
    """As TensorFlow Data Validation judges a text column: int, float or text, and no widening either way."""
    seen, feature = judged.seen, judged.feature
    if broken := judged.of(Rule.TYPE):  # the column was read as the schema says, and some values were none
        yield _by_rows(judged, broken, _NO_NUMBER.get(feature.type, Kind.UNEXPECTED_DATA_TYPE))
    elif not judged.by_row:
        yield from _infinite(judged)
    if seen.type is None:
        return
    found = seen.type if seen.type is feature.type else _PLAIN.get(seen.type, seen.type)
    wanted = _in_text(feature, found)
    if found not in (wanted, feature.type):
        yield judged.make(
            Kind.UNEXPECTED_DATA_TYPE,
            Rule.TYPE,
            f"{found.value} where {wanted.value} is expected",
            f"The column's values are {found.value}, and the feature is {wanted.value}; nothing is widened."
            " Mend the source, or change the type of the feature.",
            {"expected": wanted.value, "found": found.value, "of": seen.values},
            f"{judged.path}: type: {found.value}",
        )
        if found is FeatureType.STRING and feature.type in _NO_NUMBER and _bounded(feature):
            yield _no_number(judged, _NO_NUMBER[feature.type], judged.typed.filter(pl.col("value").is_null()))
    if feature.type is FeatureType.BOOL and found is not FeatureType.BOOL:
        bad = _no_truth(judged)
        if not bad.is_empty():
            yield _no_number(judged, _kind(judged, bad), bad)


def _no_truth(judged: Judged) -> pl.DataFrame:
    """What is neither true nor false: numbers but 1 and 0 whatever the words, and texts that are none of them."""
    if judged.seen.type in (FeatureType.INT, FeatureType.FLOAT):
        return judged.typed.filter(~pl.col("text").cast(pl.Float64).is_in([0.0, 1.0]))
    return judged.typed.filter(pl.col("value").is_null())


def unlike(judged: Judged) -> bool:
    """Whether the column's own type is another than the feature's, where nothing is widened."""
    seen, feature = judged.seen.type, judged.feature
    if not judged.widen and judged.of(Rule.TYPE):
        return True
    if judged.widen or seen is None or seen is feature.type:
        return False
    found = _PLAIN.get(seen, seen)
    return found not in (_in_text(feature, found), feature.type)


def _bounded(feature: Feature) -> bool:
    asked = feature.domain
    return feature.categorical or (
        asked is not None and (asked.min is not None or asked.max is not None or bool(asked.finite))
    )


def _no_number(judged: Judged, kind: Kind, bad: pl.DataFrame) -> Anomaly:
    values = [] if judged.personal else list(bad.select("text", "count").head(_EXAMPLES).iter_rows())
    n = int(bad["count"].sum())
    shown = f": {few(values, bad.height - len(values))}" if values else ""
    return judged.make(
        kind,
        Rule.DOMAIN,
        "values outside the domain",
        f"{counted(n, 'value')} of {judged.seen.values:,} {'is' if n == 1 else 'are'} not"
        f" {_wanted(judged.feature)}{shown}.",
        {"outside": n, "of": judged.seen.values, "values": values},
    )


_PLAIN = dict.fromkeys((FeatureType.DATE, FeatureType.DATETIME, FeatureType.BYTES), FeatureType.STRING) | {
    FeatureType.DECIMAL: FeatureType.FLOAT
}


def _in_text(feature: Feature, found: FeatureType) -> FeatureType:
    """What a text column of the feature looks like when nothing but its values is known."""
    if feature.type is not FeatureType.BOOL:
        return _PLAIN.get(feature.type, feature.type)
    words = [*feature.true_values, *feature.false_values]
    if "1.0" in words or "0.0" in words:
        return FeatureType.FLOAT
    if found is FeatureType.INT and any(word.isdecimal() for word in words):
        return FeatureType.INT
    return FeatureType.INT if all(word.isdecimal() for word in words) else FeatureType.STRING


def valency(judged: Judged) -> Iterator[Anomaly]:
    """Lists that hold too few or too many values; a lone value is a list of one."""
    asked, seen = judged.feature.valency, judged.seen
    low = None if asked is None else asked.min
    high = asked.max if asked is not None else None if judged.feature.repeated else 1
    found = judged.of(Rule.VALENCY)
    lengths = {1: seen.count} if seen.valency is None else dict(seen.valency.counts)
    for kind, bound, word, rows in (
        (Kind.FEATURE_TYPE_LOW_NUMBER_VALUES, low, "few", sum(n for k, n in lengths.items() if low and k < low)),
        (
            Kind.FEATURE_TYPE_HIGH_NUMBER_VALUES,
            high,
            "many",
            sum(n for k, n in lengths.items() if high is not None and k > high),
        ),
    ):
        if bound is None or not rows or judged.by_row:
            continue
        edge = min(lengths) if word == "few" else max(lengths)
        yield judged.make(
            kind,
            Rule.VALENCY,
            f"lists with too {word} values",
            f"{counted(rows, 'row')} of {seen.count:,} ({percent(rows, seen.count)})"
            f" {'holds' if rows == 1 else 'hold'} too {word} values:"
            f" {counted(edge, 'value')} where {'at least' if word == 'few' else 'at most'} {bound} may stand."
            f" Mend the source, or widen valency.",
            {"rows": rows, "of": seen.count, "min": min(lengths), "max": max(lengths), "bound": bound},
            f"{judged.path}: valency: {{{'min' if word == 'few' else 'max'}: {edge}}}",
        )
    if found:
        rows = sum(broken.rows for broken in found)
        yield judged.make(
            Kind.FEATURE_TYPE_HIGH_NUMBER_VALUES if _too_long(found, high) else Kind.FEATURE_TYPE_LOW_NUMBER_VALUES,
            Rule.VALENCY,
            "lists too short or too long",
            f"{counted(rows, 'row')} {'holds' if rows == 1 else 'hold'} a list of less than {low or 0} or more than"
            f" {'any number of' if high is None else high} values. Mend the source, or widen valency.",
            {"rows": rows, "examples": told_of(judged, found), "min_allowed": low, "max_allowed": high},
        )


def _too_long(found: list[Broken], high: int | None) -> bool:
    return high is not None and bool(found)
