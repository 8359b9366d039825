"""One of our schemas as TensorFlow Metadata's, with what that has no place for kept beside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from lakehouse.schema import Domain, Feature, FeatureType, Lifecycle, Limits, RowBounds, Schema
from lakehouse.tfmd import extras
from lakehouse.tfmd.domain_reading import BOOL_WORDS
from lakehouse.tfmd.schema_reading import UNBOUNDED, schema_from

__all__ = ["message_of"]

_TYPES = {
    FeatureType.INT: schema_pb2.INT,
    FeatureType.FLOAT: schema_pb2.FLOAT,
    FeatureType.DECIMAL: schema_pb2.FLOAT,
    FeatureType.STRUCT: schema_pb2.STRUCT,
}
_FORMATS = {FeatureType.DATE: "%Y-%m-%d", FeatureType.DATETIME: "%Y-%m-%dT%H:%M:%S%z"}  # of what says none: ISO 8601
_STAGES = {
    Lifecycle.PLANNED: schema_pb2.PLANNED,
    Lifecycle.ALPHA: schema_pb2.ALPHA,
    Lifecycle.BETA: schema_pb2.BETA,
    Lifecycle.PRODUCTION: schema_pb2.PRODUCTION,
    Lifecycle.DEBUG: schema_pb2.DEBUG_ONLY,
    Lifecycle.DEPRECATED: schema_pb2.DEPRECATED,
    Lifecycle.DISABLED: schema_pb2.DISABLED,
}
_MEASURES = {
    "infinity_norm": "infinity_norm",
    "jensen_shannon": "jensen_shannon_divergence",
    "normalized_absolute_difference": "normalized_abs_difference",
}
_BESIDE = "TensorFlow Metadata has no place for it; kept in annotation.extra_metadata, which read_schema alone reads"


def message_of(schema: Schema) -> tuple[Any, tuple[str, ...]]:
    """A ``tensorflow.metadata.v0.Schema``, and what of ours only `schema_reading` finds in it again."""
    message = schema_pb2.Schema()
    shared = {name: kind for name in schema.domains if (kind := _kind(schema, name)) is not None}
    for name, kind in shared.items():
        _SHARED[kind](message, name, schema.domains[name], categorical=_categorical(schema, name))
    _features(message.feature, schema.features, shared, nested=False)
    message.default_environment.extend(schema.environments)
    if schema.rows is not None:
        _rows(message.dataset_constraints, schema.rows)
    return message, tuple(_keep(message, schema))


def _keep(message: Any, schema: Schema) -> Iterable[str]:
    """Keep beside what reading the message does not give; each is said."""
    seen, _ = schema_from(message, with_extras=False)
    if added := extras.difference(extras.plain_schema(seen), extras.plain_schema(schema)):
        extras.keep(message.annotation, added)
        yield from (f"schema: {name}: {_BESIDE}" for name in extras.names(added))
    read = seen.paths()
    for path, at in _messages(message.feature, ""):
        wanted = schema.paths()[path]
        if added := extras.difference(extras.plain_feature(read[path]), extras.plain_feature(wanted)):
            extras.keep(at.annotation, added)
            yield from (f"{path}: {name}: {_BESIDE}" for name in extras.names(added))


def _messages(messages: Any, above: str) -> Iterable[tuple[str, Any]]:
    for message in messages:
        path = f"{above}{message.name}"
        yield path, message
        yield from _messages(message.struct_domain.feature, f"{path}.")


def _features(messages: Any, features: dict[str, Feature], shared: dict[str, str], *, nested: bool) -> None:
    for name, feature in features.items():
        message = messages.add(name=name, type=_TYPES.get(feature.type, schema_pb2.BYTES))
        _presence(message, feature)
        _values(message, feature, nested=nested)
        _domain(message, feature, shared)
        if feature.unique is not None:
            most = _whole(feature.unique.max)
            message.unique_constraints.SetInParent()
            _fill(message.unique_constraints, min=_whole(feature.unique.min), max=UNBOUNDED if most is None else most)
        _limits(message, "drift_comparator", feature, feature.drift)
        _limits(message, "skew_comparator", feature, feature.skew)
        message.in_environment.extend(feature.in_environment)
        message.not_in_environment.extend(feature.not_in_environment)
        if feature.lifecycle is not None:
            message.lifecycle_stage = _STAGES[feature.lifecycle]
        message.annotation.tag.extend(feature.tags)
        if feature.description:
            message.annotation.comment.extend(feature.description.split("\n"))
        if not message.annotation.ByteSize():
            message.ClearField("annotation")
        if feature.type is FeatureType.STRUCT:
            message.struct_domain.SetInParent()
            _features(message.struct_domain.feature, feature.fields, shared, nested=True)


def _presence(message: Any, feature: Feature) -> None:
    said = feature.presence
    if said.required:
        _fill(message.presence, min_fraction=1.0, min_count=_whole(said.min_count) or 1)
    elif said.min_fraction is not None or said.min_count is not None:
        _fill(message.presence, min_fraction=said.min_fraction, min_count=_whole(said.min_count))


def _values(message: Any, feature: Feature, *, nested: bool) -> None:
    """How many values a row has. TensorFlow Data Validation writes one of each row as a shape, else as a count."""
    if feature.repeated:
        message.value_count.SetInParent()
        if feature.valency is not None:
            _fill(message.value_count, min=_whole(feature.valency.min), max=_whole(feature.valency.max))
    elif feature.required and not nested:
        message.shape.dim.add(size=1)
    else:
        _fill(message.value_count, min=1, max=1)


def _domain(message: Any, feature: Feature, shared: dict[str, str]) -> None:
    domain = feature.domain or Domain()
    if feature.domain_name in shared:
        message.domain = feature.domain_name
        kind = shared[feature.domain_name]
    else:
        kind = {
            FeatureType.STRING: "string_domain",
            FeatureType.INT: "int_domain",
            FeatureType.FLOAT: "float_domain",
            FeatureType.DECIMAL: "float_domain",
        }.get(feature.type, "")
        _own(message, kind, feature, domain)
    if kind == "string_domain" and domain.values is not None and domain.min_mass != 1:
        message.distribution_constraints.min_domain_mass = domain.min_mass


def _own(message: Any, kind: str, feature: Feature, domain: Domain) -> None:
    if kind == "string_domain":
        if domain.values is not None:
            message.string_domain.value.extend(map(str, domain.values))
    elif kind == "int_domain":
        _int(message.int_domain, domain, categorical=feature.categorical)
    elif kind == "float_domain":
        _float(message.float_domain, domain, categorical=feature.categorical)
    elif feature.type is FeatureType.BOOL:
        _bool(message, feature)
    elif feature.type in _FORMATS:
        message.time_domain.string_format = feature.format or _FORMATS[feature.type]


def _bool(message: Any, feature: Feature) -> None:
    message.bool_domain.SetInParent()
    words = (list(feature.true_values), list(feature.false_values))
    for kind, numbers in BOOL_WORDS.items():
        if words == numbers:
            message.type = kind
            return
    _fill(message.bool_domain, true_value=next(iter(words[0]), None), false_value=next(iter(words[1]), None))


def _int(message: Any, domain: Domain, *, categorical: bool) -> None:
    _fill(message, min=_whole(domain.min), max=_whole(domain.max), is_categorical=categorical or None)


def _float(message: Any, domain: Domain, *, categorical: bool) -> None:
    # Unset, `finite` takes NaN and refuses an infinity.
    _fill(
        message,
        min=_number(domain.min),
        max=_number(domain.max),
        disallow_nan=domain.finite or None,
        disallow_inf=None if domain.finite is False else True,
        is_categorical=categorical or None,
    )


def _kind(schema: Schema, name: str) -> str | None:
    """How a shared domain is written; None when only its users can have it, each for itself."""
    users = [feature for feature in schema.paths().values() if feature.domain_name == name]
    types = {feature.type for feature in users}
    domain = schema.domains[name]
    if domain.values is not None:
        return (
            "string_domain"
            if types <= {FeatureType.STRING} and all(isinstance(v, str) for v in domain.values)
            else None
        )
    if len({feature.categorical for feature in users}) > 1:
        return None
    return "int_domain" if types == {FeatureType.INT} else "float_domain" if types == {FeatureType.FLOAT} else None


def _categorical(schema: Schema, name: str) -> bool:
    return any(feature.categorical for feature in schema.paths().values() if feature.domain_name == name)


def _share_strings(message: Any, name: str, domain: Domain, *, categorical: bool) -> None:  # noqa: ARG001  # strings are
    message.string_domain.add(name=name, value=domain.values)


def _share_ints(message: Any, name: str, domain: Domain, *, categorical: bool) -> None:
    _int(message.int_domain.add(name=name), domain, categorical=categorical)


def _share_floats(message: Any, name: str, domain: Domain, *, categorical: bool) -> None:
    _float(message.float_domain.add(name=name), domain, categorical=categorical)


_SHARED = {"string_domain": _share_strings, "int_domain": _share_ints, "float_domain": _share_floats}


def _limits(message: Any, field: str, feature: Feature, limits: Limits | None) -> None:
    if limits is None:
        return
    comparator = getattr(message, field)
    comparator.SetInParent()
    for measure, threshold in feature.thresholds(limits).items():
        getattr(comparator, _MEASURES[measure]).threshold = threshold


def _rows(message: Any, rows: RowBounds) -> None:
    message.SetInParent()
    _fill(message, min_examples_count=_whole(rows.min), max_examples_count=_whole(rows.max))
    for ratio, comparator in ((rows.drift, "drift"), (rows.version, "version")):
        if ratio is not None:
            at = getattr(message, f"num_examples_{comparator}_comparator")
            at.SetInParent()
            _fill(at, min_fraction_threshold=ratio.min_fraction, max_fraction_threshold=ratio.max_fraction)


def _fill(message: Any, **values: Any) -> None:
    """Set the fields that have a value."""
    for name, value in values.items():
        if value is not None:
            setattr(message, name, value)


def _whole(value: Any) -> int | None:
    """A bound as a 64-bit integer; None where it is none, and so must be kept beside."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found == value and -(2**63) <= found < 2**63 else None


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
