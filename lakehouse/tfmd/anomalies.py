"""Anomalies as TensorFlow Metadata's, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from lakehouse.schema import Action, Rule, Schema, Severity
from lakehouse.tfmd.messages import Lost, said
from lakehouse.tfmd.schema_writing import message_of
from lakehouse.validation.anomalies import Anomalies, Anomaly, Kind, Measure

__all__ = ["anomalies_from", "anomalies_message"]

_INFO = anomalies_pb2.AnomalyInfo
_MEASUREMENT = anomalies_pb2.DriftSkewInfo.Measurement
_MEASURES: dict[str, int] = {
    "infinity_norm": _MEASUREMENT.L_INFTY,
    "jensen_shannon": _MEASUREMENT.JENSEN_SHANNON_DIVERGENCE,
    "normalized_absolute_difference": _MEASUREMENT.NORMALIZED_ABSOLUTE_DIFFERENCE,
}
_SEVERITIES = {Severity.WARNING: _INFO.WARNING, Severity.ERROR: _INFO.ERROR}
_RULES: Sequence[tuple[str, Rule]] = (
    ("SCHEMA_NEW_COLUMN", Rule.NEW_COLUMN),
    ("SCHEMA_MISSING_COLUMN", Rule.MISSING_COLUMN),
    ("UNEXPECTED_DATA_TYPE", Rule.TYPE),
    ("FEATURE_TYPE_LOW_NUMBER_VALUES", Rule.VALENCY),
    ("FEATURE_TYPE_HIGH_NUMBER_VALUES", Rule.VALENCY),
    ("VALUE_NESTEDNESS", Rule.VALENCY),
    ("FEATURE_TYPE_LOW_UNIQUE", Rule.UNIQUE),
    ("FEATURE_TYPE_HIGH_UNIQUE", Rule.UNIQUE),
    ("FEATURE_TYPE_NO_UNIQUE", Rule.UNIQUE),
    ("FEATURE_TYPE", Rule.PRESENCE),
    ("DATASET_", Rule.ROWS),
    ("COMPARATOR_LOW_NUM", Rule.ROWS),
    ("COMPARATOR_HIGH_NUM", Rule.ROWS),
    ("COMPARATOR", Rule.DRIFT),
    ("UNREADABLE_ROWS", Rule.TYPE),
    ("CHECK_", Rule.CHECK),
    ("KEYS_", Rule.KEYS),
    ("STALE", Rule.FRESHNESS),
    ("HISTORY_", Rule.HISTORY),
)
"""How a kind's name begins, and the rule it breaks; of any other, the domain."""

_OF_MEASURES = {
    Kind.COMPARATOR_L_INFTY_HIGH: "infinity_norm",
    Kind.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH: "jensen_shannon",
    Kind.COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH: "normalized_absolute_difference",
}


def anomalies_message(anomalies: Anomalies, schema: Schema | None) -> tuple[Any, tuple[str, ...]]:
    """A ``tensorflow.metadata.v0.Anomalies``, and what of ours it has no place for.

    Args:
        anomalies: what a validation found.
        schema: what the batch was held against; it becomes the baseline.
    """
    message, lost = anomalies_pb2.Anomalies(), Lost()
    message.anomaly_name_format = anomalies_pb2.Anomalies.SERIALIZED_PATH
    if schema is not None:
        baseline, kept = message_of(schema)
        message.baseline.CopyFrom(baseline)
        for line in kept:
            path, field, why = line.split(": ", 2)
            lost.add(path, f"baseline.{field}", why)
    if anomalies.data_missing:
        message.data_missing = True
    for path in dict.fromkeys(anomaly.path for anomaly in anomalies.anomalies):
        at = message.anomaly_info[path] if path else message.dataset_anomaly_info
        if path:
            at.path.step.extend(path.split("."))
        _info(at, path, anomalies.of(path), lost)
    _measures(message, anomalies.measures, lost)
    _unsaid("", {"rows": anomalies.rows, "environment": anomalies.environment, "notes": anomalies.notes}, lost)
    return message, tuple(lost)


def _info(message: Any, path: str, anomalies: tuple[Anomaly, ...], lost: Lost) -> None:
    severities = {anomaly.severity for anomaly in anomalies}
    message.severity = _SEVERITIES[Severity.ERROR if Severity.ERROR in severities else Severity.WARNING]
    if len(severities) > 1:
        lost.add(path, "severity", "all reasons of one feature share one there: the higher")
    for anomaly in anomalies:
        known = not anomaly.kind.ours
        short = anomaly.short if known else f"{anomaly.kind.value}: {anomaly.short}"
        kind = anomaly.kind.value if known else "UNKNOWN_TYPE"
        message.reason.add(type=_INFO.Type.Value(kind), short_description=short, description=anomaly.description)
        if not known:
            lost.add(path, anomaly.kind.value, "there is no such type there; UNKNOWN_TYPE, its name before the text")
        told = {"figures": anomaly.figures, "causes": anomaly.causes, "proposal": anomaly.proposal}
        _unsaid(path, told | {"action": anomaly.action.value}, lost)
    several = len(anomalies) > 1
    message.short_description = "Multiple errors" if several else message.reason[0].short_description
    message.description = " ".join(anomaly.description for anomaly in anomalies)


def _unsaid(path: str, values: dict[str, Any], lost: Lost) -> None:
    for name, value in values.items():
        if value:
            lost.add(path, name, "there is no place for it there; left out")


def _measures(message: Any, measures: Iterable[Measure], lost: Lost) -> None:
    infos: dict[str, Any] = {}
    for measure in measures:
        if measure.path not in infos:
            infos[measure.path] = message.drift_skew_info.add()
            infos[measure.path].path.step.extend(measure.path.split("."))
        at = infos[measure.path]
        held = (at.drift_measurements if measure.comparison == "drift" else at.skew_measurements).add()
        held.type, held.threshold = _MEASURES[measure.measure], measure.threshold
        if measure.value is None:
            lost.add(
                measure.path, f"{measure.comparison}.{measure.measure}", "it could not be measured: no value there"
            )
        else:
            held.value = measure.value


def anomalies_from(message: Any) -> tuple[Anomalies, tuple[str, ...]]:
    """Our anomalies, and what of a ``tensorflow.metadata.v0.Anomalies`` they could not take."""
    lost = Lost()
    measures = tuple(_measured(message, lost))
    found = list[Anomaly]()
    infos = [("", message.dataset_anomaly_info)] if message.HasField("dataset_anomaly_info") else []
    for key in sorted(message.anomaly_info):
        info = message.anomaly_info[key]
        infos.append((".".join(info.path.step) or key, info))
    for path, info in infos:
        found += _reasons(path, info, measures, lost)
    if message.WhichOneof("baseline_schema"):
        lost.add("", message.WhichOneof("baseline_schema"), "the schema is read by read_schema; left out")
    if found:
        lost.add("", "action", "what is to be done is not told there: taken as warn")
    for name, _ in said(message):
        if name not in _TAKEN:
            lost.add("", name, "there is no place for it here; left out")
    return Anomalies(tuple(found), measures, data_missing=message.data_missing), tuple(lost)


_TAKEN = (
    "baseline",
    "baseline_v1",
    "anomaly_name_format",
    "anomaly_info",
    "dataset_anomaly_info",
    "data_missing",
    "drift_skew_info",
)


def _reasons(path: str, info: Any, measures: Sequence[Measure], lost: Lost) -> Iterable[Anomaly]:
    lost.others(path, "", info, "path", "severity", "description", "short_description", "reason")
    severity = Severity.WARNING if info.severity == _INFO.WARNING else Severity.ERROR
    if info.severity == _INFO.UNKNOWN:
        lost.add(path, "severity", "it is not told: taken as error")
    for reason in info.reason:
        name, short = _INFO.Type.Name(reason.type), reason.short_description
        if name == "UNKNOWN_TYPE" and ": " in short:
            name, _, short = short.partition(": ")
        if name not in Kind.__members__:
            lost.add(path, f"reason {name}", f"there is no such kind here; left out: {reason.description}")
            continue
        kind = Kind[name]
        rule = _rule(kind, path, measures)
        yield Anomaly(path, kind, rule, severity, Action.WARN, short, reason.description)
    if not info.reason:
        lost.add(path, "anomaly_info", f"it gives no reason; left out: {info.description}")


def _rule(kind: Kind, path: str, measures: Sequence[Measure]) -> Rule:
    rule = next((rule for begin, rule in _RULES if kind.value.startswith(begin)), Rule.DOMAIN)
    high = {
        measure.comparison
        for measure in measures
        if measure.path == path
        and measure.measure == _OF_MEASURES.get(kind)
        and (measure.value is None or measure.value > measure.threshold)
    }
    return Rule.SKEW if rule is Rule.DRIFT and high == {"skew"} else rule


def _measured(message: Any, lost: Lost) -> Iterable[Measure]:
    names = {number: name for name, number in _MEASURES.items()}
    for info in message.drift_skew_info:
        path = ".".join(info.path.step)
        lost.others(path, "drift_skew_info", info, "path", "drift_measurements", "skew_measurements")
        for comparison, held in (("drift", info.drift_measurements), ("skew", info.skew_measurements)):
            for each in held:
                if each.type not in names:
                    lost.add(path, f"{comparison}_measurements", "a distance of no known type; left out")
                    continue
                value = each.value if each.HasField("value") else None
                yield Measure(path, comparison, names[each.type], value, each.threshold)  # type: ignore[arg-type]  # names
