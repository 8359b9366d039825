"""What to change in a schema so that data like this passes it: a proposal an anomaly, with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pydantic import ValidationError

from lakehouse.schema import Feature, Rule, Schema
from lakehouse.validation.anomalies import Anomalies, Anomaly, Kind, validate_statistics
from lakehouse.validation.inference import domains, rows, types
from lakehouse.validation.inference.case import Case
from lakehouse.validation.inference.changes import Change, Update, applied, merged
from lakehouse.validation.inference.inferring import features
from lakehouse.validation.statistics import Statistics

__all__ = ["update_schema"]

_ROUNDS = 6
"""A change may bring to light what an anomaly hid: a column of the wrong type is not checked further."""
_MAX_DOMAIN = 100


def update_schema(
    schema: Schema, statistics: Statistics, *, environment: str | None = None, anomalies: Anomalies | None = None
) -> Update:
    """What to change in a schema so that data like this passes it, for a person to accept or not.

    No check is switched off without a word: a rule that must give way is widened, and one that cannot be widened is
    taken away by a change of its own that says so. Nothing is proposed against drift, skew, broken checks, doubled
    keys and old data: they are matters of the data (`Update.left`).

    Args:
        schema: the one to change.
        statistics: of the data that is to pass.
        environment: the data is of this environment; None: of none in particular.
        anomalies: what was found in that data; None: it is validated here.

    Raises:
        NotFoundError: no such environment.
    """
    found = anomalies if anomalies is not None else validate_statistics(statistics, schema, environment=environment)
    updated = schema
    changes: list[Change] = []
    left: dict[tuple[str, Kind], Anomaly] = {}
    settled: set[tuple[str, Rule, bool]] = set()
    for _ in range(_ROUNDS):
        # What statistics taken by the old schema still tell of is settled.
        open_ = [one for one in found.anomalies if _settling(one) not in settled]
        proposed = list(_together([Case(updated, statistics, environment, one) for one in open_]))
        left |= {(one.path, one.kind): one for one, new in proposed if not new}
        # Whether the rest of a feature still breaks under another type is for the next round to say.
        typed = {change.path for _, new in proposed for change in new if change.key == "type"}
        proposed = [
            (one, new) for one, new in proposed if one.path not in typed or any(change.key == "type" for change in new)
        ]
        updated, taken, refused = _taken(updated, [(one, new) for one, new in proposed if new])
        left |= {(one.path, one.kind): one for one in refused}
        if not taken:
            break
        settled |= {_settling(one) for one, _ in taken}
        changes += [change for _, new in taken for change in new]
        found = validate_statistics(statistics, updated, environment=environment)
    return Update(updated, merged(changes, schema, updated), schema, tuple(left.values()))


def _settling(anomaly: Anomaly) -> tuple[str, Rule, bool]:
    """What a change for an anomaly settles. That a number is infinite is only seen once its feature is a float."""
    return anomaly.path, anomaly.rule, anomaly.kind is Kind.FLOAT_TYPE_HAS_INF


def _together(cases: Iterable[Case]) -> Iterator[tuple[Anomaly, list[Change]]]:
    """The changes for each anomaly, so that where two are of one key the later holds what the earlier asks for."""
    known: dict[tuple[str, str], Change] = {}
    for case in cases:
        new = list(_proposals(case))
        before = [known[change.path, change.key] for change in new if (change.path, change.key) in known]
        if any(change.key != "type" and change.after not in [one.after for one in before] for change in new if before):
            new = list(_proposals(replace(case, schema=applied(case.schema, before)))) or before
        known |= {(change.path, change.key): change for change in new}
        yield case.anomaly, new


def _proposals(case: Case) -> Iterator[Change]:
    """The changes for one anomaly; none where the schema is not to blame."""
    propose = _PROPOSALS.get(case.anomaly.kind)
    if propose is not None:
        yield from (change for change in propose(case) if change.before != change.after)


_Proposed = list[tuple[Anomaly, list[Change]]]


def _taken(schema: Schema, proposed: _Proposed) -> tuple[Schema, _Proposed, list[Anomaly]]:
    """The schema with what is proposed, as far as a schema can say it (no feature is named ``my column``)."""
    try:
        return applied(schema, [change for _, new in proposed for change in new]), proposed, []
    except ValidationError:
        taken: _Proposed = []
        refused: list[Anomaly] = []
        for one, new in proposed:
            try:
                schema = applied(schema, new)
            except ValidationError:
                refused.append(one)
            else:
                taken.append((one, new))
        return schema, taken, refused


def _new_column(case: Case) -> Iterable[Change]:
    path, one, environment = case.path, case.one, case.environment
    if case.feature is not None and environment is not None:
        return _join(case, case.feature, environment)
    if one is None:
        return ()
    if "." in path and path.rpartition(".")[0] not in case.schema.paths() and path not in case.statistics.unknown:
        return ()  # within a struct that is new itself
    within = {name: held for name, held in case.statistics.features.items() if name.startswith(f"{path}.")}
    options = features({path: one, **within}, _MAX_DOMAIN, cautious=True)[path]
    rest = {key: value for key, value in options.items() if key not in ("type", "presence")}
    after = {"type": options["type"], "presence": "optional", **rest}
    reason = (
        f"The schema has no '{path}', the data has: {one.count:,} of {one.rows:,} rows have a value. "
        f"Optional, because earlier data may lack it."
    )
    return [Change(path, "", None, after, reason, case.anomaly.kind)]


def _join(case: Case, feature: Feature, environment: str) -> list[Change]:
    """A feature that is there in an environment it is said not to be in."""
    reason = f"The schema says that it is not in {environment}, but the data has it."
    if environment in feature.not_in_environment:
        rest = [name for name in feature.not_in_environment if name != environment]
        return [case.change("not_in_environment", rest or None, reason)]
    return [case.change("in_environment", [*feature.in_environment, environment], reason)]


def _missing_column(case: Case) -> Iterable[Change]:
    feature, environment = case.feature, case.environment
    if feature is None:
        return ()
    if environment is not None and len(case.schema.known_environments()) > 1:
        said = [*feature.not_in_environment, environment]
        inside = [name for name in feature.in_environment if name != environment]
        reason = f"No row has it in {environment}. It stays as it is in other environments."
        dropped = [case.change("in_environment", inside or None, reason)] if feature.in_environment else []
        return [*dropped, case.change("not_in_environment", said, reason)]
    gone = case.one is None or case.path in case.statistics.absent
    what = "The column is not in the data" if gone else "No row has a value"
    reason = (
        f"{what}. Optional: it may be missing, and its values are checked wherever there are any. "
        f"If it is gone for good, `lifecycle: deprecated` says so, and switches all its checks off."
    )
    return [case.change("presence", "optional", reason)]


_Propose = Callable[[Case], Iterable[Change]]
_PROPOSALS: dict[Kind, _Propose] = {
    Kind.SCHEMA_NEW_COLUMN: _new_column,
    Kind.SCHEMA_MISSING_COLUMN: _missing_column,
    Kind.FEATURE_TYPE_NOT_PRESENT: _missing_column,
    Kind.FEATURE_TYPE_LOW_FRACTION_PRESENT: rows.presence,
    Kind.FEATURE_TYPE_LOW_NUMBER_PRESENT: rows.presence,
    Kind.FEATURE_TYPE_LOW_NUMBER_VALUES: rows.valency,
    Kind.FEATURE_TYPE_HIGH_NUMBER_VALUES: rows.valency,
    Kind.FEATURE_TYPE_LOW_UNIQUE: rows.unique,
    Kind.FEATURE_TYPE_HIGH_UNIQUE: rows.unique,
    Kind.FEATURE_TYPE_NO_UNIQUE: rows.unique,
    Kind.DATASET_LOW_NUM_EXAMPLES: rows.bounds,
    Kind.DATASET_HIGH_NUM_EXAMPLES: rows.bounds,
    Kind.UNEXPECTED_DATA_TYPE: types.widened,
    Kind.VALUE_NESTEDNESS_MISMATCH: types.widened,
    Kind.INT_TYPE_NOT_INT_STRING: types.widened,
    Kind.FLOAT_TYPE_STRING_NOT_FLOAT: types.widened,
    Kind.BOOL_TYPE_UNEXPECTED_STRING: types.widened,
    Kind.BOOL_TYPE_UNEXPECTED_FLOAT: types.widened,
    Kind.BOOL_TYPE_SMALL_INT: types.widened,
    Kind.BOOL_TYPE_BIG_INT: types.widened,
    Kind.ENUM_TYPE_UNEXPECTED_STRING_VALUES: domains.values,
    Kind.UNEXPECTED_VALUES: domains.values,
    Kind.INT_TYPE_SMALL_INT: domains.span,
    Kind.INT_TYPE_BIG_INT: domains.span,
    Kind.FLOAT_TYPE_SMALL_FLOAT: domains.span,
    Kind.FLOAT_TYPE_BIG_FLOAT: domains.span,
    Kind.TIME_TOO_EARLY: domains.span,
    Kind.TIME_TOO_LATE: domains.span,
    Kind.FLOAT_TYPE_HAS_NAN: domains.finite,
    Kind.FLOAT_TYPE_HAS_INF: domains.finite,
    Kind.TEXT_NOT_MATCHING: domains.regex,
    Kind.LENGTH_TOO_SMALL: domains.length,
    Kind.LENGTH_TOO_BIG: domains.length,
}
