"""Columns that came, columns that went, and values that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.schema import PROVENANCE, Feature, FeatureType, Rule, Schema
from lakehouse.validation.anomalies.found import Anomaly
from lakehouse.validation.anomalies.judged import Judged, make
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import counted, few, number, percent
from lakehouse.validation.statistics import FeatureStatistics, Statistics

__all__ = ["gone_columns", "needed", "new_columns", "nothing_there", "presence"]

_TOLERANCE = 1e-12  # of a fraction written in decimals, so that 95 of 100 is not less than 0.95


def needed(feature: Feature) -> bool:
    """Whether a batch must have the feature's column, with a value in it."""
    presence = feature.presence
    return feature.checked and (presence.required or bool(presence.min_fraction) or bool(presence.min_count))


def new_columns(statistics: Statistics, schema: Schema, whole: Schema, environment: str | None) -> Iterator[Anomaly]:
    """Columns that no feature of the schema knows, or none in this environment.

    Args:
        statistics: of the batch.
        schema: the features of the environment.
        whole: the features of all environments.
        environment: its name.
    """
    known, elsewhere = schema.paths(), whole.paths()
    for path in dict.fromkeys((*statistics.features, *statistics.unknown)):
        parent = path.rpartition(".")[0]
        if path in known or path in PROVENANCE or (parent and parent not in known):
            continue
        seen = statistics.features.get(path)
        if path not in elsewhere:
            yield _new(schema, path, seen)
        elif elsewhere[path].checked and seen is not None and seen.count:
            yield make(
                schema,
                path,
                Kind.SCHEMA_NEW_COLUMN,
                Rule.NEW_COLUMN,
                f"not in environment {environment}",
                f"The column has {counted(seen.count, 'value')}, but the feature is not in environment {environment}."
                " Leave the column out of this data, or put the environment into the feature's in_environment.",
                {"environment": environment, "count": seen.count, "rows": seen.rows},
                f"{path}: in_environment: [{environment}]",
            )


def _new(schema: Schema, path: str, seen: FeatureStatistics | None) -> Anomaly:
    told = ""
    figures: dict[str, object] = {}
    kind = "string"
    if seen is not None:
        kind = _type_of(seen)
        lack = f"{percent(seen.missing, seen.rows)} of the rows lack it" if seen.missing else "in every row"
        told = f" It holds {kind}, {lack}"
        if not seen.personal and (top := seen.top(5)):
            told += f"; most frequent: {few(top, max(seen.distinct.count - len(top), 0))}"
            figures["values"] = [[value, count] for value, count in top]
        told += "."
        figures |= {"type": kind, "rows": seen.rows, "missing": seen.missing}
    return make(
        schema,
        path,
        Kind.SCHEMA_NEW_COLUMN,
        Rule.NEW_COLUMN,
        "new column",
        f"The schema has no feature of this name.{told} Add it as optional {kind}, or leave it out at the source.",
        figures,
        f"{path}: {{type: {_yaml(kind)}, presence: optional}}",
    )


def _type_of(seen: FeatureStatistics) -> str:
    kind = "string" if seen.type is None else seen.type.value
    return f"list[{kind}]" if seen.repeated else kind


def _yaml(kind: str) -> str:
    return f'"{kind}"' if "[" in kind else kind


def gone_columns(statistics: Statistics, schema: Schema) -> Iterator[Anomaly]:
    """Features that the batch must have and whose column it lacks; of a struct that is gone only the struct."""
    known = schema.paths()
    gone = {path for path in known if path not in statistics.features or path in statistics.absent}
    for path, feature in known.items():
        parent = path.rpartition(".")[0]
        above = statistics.features.get(parent)
        if above is not None and above.type is not FeatureType.STRUCT:
            continue  # the struct is still text, or no struct: that is told of itself
        if path in gone and parent not in gone and needed(feature):
            yield make(
                schema,
                path,
                Kind.SCHEMA_MISSING_COLUMN,
                Rule.MISSING_COLUMN,
                "column missing",
                f"None of {counted(statistics.rows, 'row')} has the column. Mend the source, or, if the column is gone"
                " for good, make the feature optional (presence: optional) or retire it (lifecycle: deprecated).",
                {"rows": statistics.rows, "type": feature.type.value},
                f"{path}: presence: optional",
            )


def presence(judged: Judged) -> Iterator[Anomaly]:
    """Too few rows that have a value."""
    asked, rows, present = judged.feature.presence, judged.rows, judged.present
    figures = {"rows": rows, "count": present, "missing": rows - present}
    if asked.min_count is not None and present < asked.min_count:
        yield judged.make(
            Kind.FEATURE_TYPE_LOW_NUMBER_PRESENT,
            Rule.PRESENCE,
            f"only {counted(present, 'row')} with a value",
            f"{counted(present, 'row')} of {rows:,} {'has' if present == 1 else 'have'} a value, at least"
            f" {asked.min_count:,} must. Mend the source, or lower presence: min_count.",
            {**figures, "min_count": asked.min_count},
            f"{judged.path}: presence: {{min_count: {present}}}",
        )
    # Where rows were judged one by one, those that lack it are told; they may not be among those measured.
    missing = sum(broken.rows for broken in judged.of(Rule.PRESENCE)) if judged.by_row else rows - present
    if asked.required and missing:
        among = f" of {rows:,} ({percent(missing, rows)})" if judged.all_rows and missing <= rows else ""
        yield judged.make(
            Kind.FEATURE_TYPE_LOW_FRACTION_PRESENT,
            Rule.PRESENCE,
            f"missing in {counted(missing, 'row')}",
            f"{counted(missing, 'row')}{among} {'lacks' if missing == 1 else 'lack'} the value, and every row must have"
            " it. Mend the source, give the feature a default, or ask for less (presence: {min_fraction: ...}).",
            {**figures, "missing": missing, "min_fraction": 1.0},
            f"{judged.path}: presence: optional",
        )
    elif asked.min_fraction is not None and present < (asked.min_fraction - _TOLERANCE) * rows:
        share = percent(rows - present, rows)
        yield judged.make(
            Kind.FEATURE_TYPE_LOW_FRACTION_PRESENT,
            Rule.PRESENCE,
            f"missing in {share} of the rows",
            f"{counted(rows - present, 'row')} of {rows:,} ({share}) {'lacks' if rows - present == 1 else 'lack'} the"
            f" value; at least {number(100 * asked.min_fraction)} % of the rows must have it."
            " Mend the source, or lower presence: min_fraction.",
            {**figures, "fraction": present / rows, "min_fraction": asked.min_fraction},
            f"{judged.path}: presence: {{min_fraction: {number(present / rows)}}}",
        )


def nothing_there(judged: Judged) -> Anomaly:
    """The column is there, and no row has a value in it."""
    return judged.make(
        Kind.FEATURE_TYPE_NOT_PRESENT,
        Rule.PRESENCE,
        "missing in every row",
        f"The column is there, but none of {counted(judged.rows, 'row')} has a value in it."
        " Mend the source, or make the feature optional (presence: optional).",
        {"rows": judged.rows, "count": 0, "type": judged.feature.type.value},
        f"{judged.path}: presence: optional",
    )
