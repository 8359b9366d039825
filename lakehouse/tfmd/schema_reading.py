"""A schema of TensorFlow Metadata as one of ours."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError
from tensorflow_metadata.proto.v0 import schema_pb2

from lakehouse.errors import FormatError
from lakehouse.schema import Schema
from lakehouse.tfmd import domain_reading, extras
from lakehouse.tfmd.messages import NO_PLACE, Lost, said

__all__ = ["UNBOUNDED", "schema_from"]

UNBOUNDED = 2**63 - 1
"""The largest number of distinct values: how no upper bound is written, since unset is 0 there."""

_MASS = "distribution_constraints.min_domain_mass"
_DOMAINS = frozenset(field.name for field in schema_pb2.Feature.DESCRIPTOR.oneofs_by_name["domain_info"].fields)
_TYPES = {schema_pb2.BYTES: "string", schema_pb2.INT: "int", schema_pb2.FLOAT: "float", schema_pb2.STRUCT: "struct"}
_STAGES = {
    schema_pb2.PLANNED: "planned",
    schema_pb2.ALPHA: "alpha",
    schema_pb2.BETA: "beta",
    schema_pb2.PRODUCTION: "production",
    schema_pb2.DEPRECATED: "deprecated",
    schema_pb2.DEBUG_ONLY: "debug",
    schema_pb2.DISABLED: "disabled",
}
_MEASURES = {
    "infinity_norm": "infinity_norm",
    "jensen_shannon_divergence": "jensen_shannon",
    "normalized_abs_difference": "normalized_absolute_difference",
}


def schema_from(message: Any, *, with_extras: bool = True) -> tuple[Schema, tuple[str, ...]]:
    """Our schema, and what of the message it could not take.

    Args:
        message: a ``tensorflow.metadata.v0.Schema``.
        with_extras: whether to read what `schema_writing` kept beside.

    Raises:
        FormatError: there is no feature that can be kept.
    """
    return _Reader(message, with_extras=with_extras).read()


class _Reader:
    def __init__(self, message: Any, *, with_extras: bool) -> None:
        self._message = message
        self._with_extras = with_extras
        self._lost = Lost()
        self._shared = domain_reading.shared_domains(message, self._lost)

    def read(self) -> tuple[Schema, tuple[str, ...]]:
        plain: dict[str, Any] = {}
        added: dict[str, Any] = {}
        for name, value in said(self._message):
            match name:
                case "feature":
                    plain["features"] = self._features(value, "")
                case "string_domain" | "int_domain" | "float_domain":
                    pass  # read before
                case "default_environment":
                    plain["environments"] = list(dict.fromkeys(value))
                case "dataset_constraints":
                    plain["rows"] = self._rows(value)
                case "annotation":
                    added = self._extras(value, "")
                    self._lost.others("", "annotation", value, "extra_metadata")
                case _:
                    self._lost.add("", name, NO_PLACE)
        if not plain.get("features"):
            raise FormatError(f"The schema has no feature that can be kept. {' '.join(self._lost)}".rstrip())
        self._settle_masses()
        plain["domains"] = {name: each.domain for name, each in self._shared.items() if each.domain}
        return self._fitted(extras.merged(plain, added)), tuple(self._lost)

    def _fitted(self, plain: dict[str, Any]) -> Schema:
        """The schema without the keys that cannot be here, each of which is said."""
        while True:
            try:
                return Schema.model_validate(plain)
            except ValidationError as error:
                # One problem of each feature at a time: others may follow from it.
                problems = {problem["loc"][:2]: problem for problem in reversed(error.errors(include_url=False))}
                for problem in problems.values():
                    self._leave_out(plain, [str(key) for key in problem["loc"]], str(problem["msg"]))

    def _leave_out(self, plain: dict[str, Any], place: list[str], why: str) -> None:
        """Take the innermost key of a place out; a feature that has no place for its type goes as a whole."""
        way: list[tuple[dict[str, Any], str]] = []
        inside: Any = plain
        for key in place:
            if not isinstance(inside, dict) or key not in inside:
                break
            way.append((inside, key))
            inside = inside[key]
        if way and way[-1][1] == "type":
            way.pop()
        if not way or way[-1][1] == "features":
            raise FormatError(f"The schema cannot be kept: {'.'.join(place)}: {why}")
        path, keys = list[str](), [key for _, key in way]
        while len(keys) > 1 and keys[0] in ("features", "fields"):
            path, keys = [*path, keys[1]], keys[2:]
        self._lost.add(".".join(path), ".".join(keys) or "feature", f"{why.removeprefix('Value error, ')}; left out")
        inside, key = way[-1]
        if key == "presence":
            inside[key] = "optional"  # the default would ask for more
        else:
            del inside[key]

    def _features(self, messages: Any, above: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for message in messages:
            path = f"{above}{message.name}"
            plain = self._feature(message, path)
            if message.name in found:
                self._lost.add(path, "name", "another feature has it; this one is left out")
            else:
                found[message.name] = plain
        return found

    def _feature(self, message: Any, path: str) -> dict[str, Any]:  # noqa: C901, PLR0912  # a case a field, and no more
        plain: dict[str, Any] = {"type": _TYPES.get(message.type, "string"), "presence": "optional"}
        plain |= domain_reading.domain_of(message, path, self._shared, self._lost)
        added: dict[str, Any] = {}
        if message.type not in _TYPES:
            self._lost.add(path, "type", f"it says none; read as {plain['type']}")
        for name, value in said(message):
            match name:
                case "name" | "type" | "distribution_constraints":
                    pass
                case "presence":
                    plain["presence"] = self._presence(message, path)
                case "shape" | "value_count":
                    pass  # below: they say the same in two ways
                case "unique_constraints":
                    self._bounds(plain, "unique", value, path, name)
                case "drift_comparator":
                    plain["drift"] = self._limits(value, path, name)
                case "skew_comparator":
                    plain["skew"] = self._limits(value, path, name)
                case "in_environment" | "not_in_environment":
                    plain[name] = list(dict.fromkeys(value))
                case "lifecycle_stage" | "deprecated":
                    self._lifecycle(plain, message, path)
                case "struct_domain":
                    plain["fields"] = self._features(value.feature, f"{path}.")
                    self._lost.others(path, name, value, "feature")
                case "annotation":
                    added = self._annotation(plain, value, path)
                case _ if name not in _DOMAINS:
                    self._lost.add(path, name, NO_PLACE)
        self._values(plain, message, path)
        plain = extras.merged(plain, added)
        self._mass(plain, message, path)
        return plain

    def _presence(self, message: Any, path: str) -> Any:
        self._lost.others(path, "presence", message.presence, "min_fraction", "min_count")
        fraction, count = message.presence.min_fraction, max(message.presence.min_count, 0)
        if not 0 <= fraction <= 1:
            near = min(max(fraction, 0.0), 1.0)
            self._lost.add(path, "presence.min_fraction", f"{fraction:g} is no share; read as {near:g}")
            fraction = near
        if message.presence.min_count < 0:
            self._lost.add(path, "presence.min_count", f"{message.presence.min_count} is no number of rows; read as 0")
        whole = fraction == 1
        if not whole and message.HasField("shape") and (fraction > 0 or count > 0):
            self._lost.add(path, "shape", "only a value in every row has one: presence is read as required")
            whole = True
        if whole:
            return {"required": True, "min_count": count} if count > 1 else "required"
        said_here = {"min_fraction": fraction or None, "min_count": count or None}
        return {key: value for key, value in said_here.items() if value is not None} or "optional"

    def _values(self, plain: dict[str, Any], message: Any, path: str) -> None:
        """How many values a row has: one, or a list of them within bounds."""
        kind = message.WhichOneof("shape_type")
        if kind is None:
            self._lost.add(path, "shape", "how many values a row has is not said: read as one")
            return
        if kind == "value_counts":
            plain["repeated"] = True
            self._lost.add(path, "value_counts", "lists within lists have no place here; read as a list")
            return
        if kind == "shape":
            low = high = self._size(message.shape, path)
        else:
            self._lost.others(path, kind, message.value_count, "min", "max")
            low, high = message.value_count.min, message.value_count.max
        bounded = kind == "value_count" and message.value_count.HasField("max") and (high or low)
        if low < 0 or (bounded and high < low):
            least = max(low, 0)
            most = max(high, least) if bounded else 0
            told = f"at least {least}{f' and at most {most}' if bounded else ''}"
            self._lost.add(path, kind, f"no row has {low} to {high} values; read as {told}")
            low, high = least, most
        if high == 1:
            return
        plain["repeated"] = True
        bounds = {"min": low, "max": high}
        if said_here := {key: value for key, value in bounds.items() if value > 0}:
            plain["valency"] = said_here

    def _size(self, shape: Any, path: str) -> int:
        """How many values a fixed shape has; 0 is not said."""
        self._lost.others(path, "shape", shape, "dim")
        for dim in shape.dim:
            self._lost.others(path, "shape.dim", dim, "size")
        if len(shape.dim) > 1:
            self._lost.add(path, "shape.dim", "several dimensions are read as one list of as many values")
        return math.prod(dim.size for dim in shape.dim)

    def _bounds(self, plain: dict[str, Any], key: str, value: Any, path: str, field: str) -> None:
        self._lost.others(path, field, value, "min", "max")
        found = {bound: getattr(value, bound) for bound in ("min", "max") if value.HasField(bound)}
        if found.get("max") == UNBOUNDED:
            del found["max"]
        elif "max" not in found:
            self._lost.add(
                path, f"{field}.max", "unset is no bound here, where TensorFlow Data Validation takes it for 0"
            )
        if found:
            plain[key] = found

    def _limits(self, value: Any, path: str, field: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, measure in said(value):
            at = f"{field}.{name}"
            if name not in _MEASURES:
                self._lost.add(path, at, NO_PLACE)
                continue
            self._lost.others(path, at, measure, "threshold", "source")
            if name == "jensen_shannon_divergence" and measure.source.type:
                self._lost.add(path, f"{at}.source", "numbers are compared by equal-width histograms here; left out")
            if measure.HasField("threshold"):
                found[_MEASURES[name]] = measure.threshold
            else:
                self._lost.add(path, f"{at}.threshold", "it is unset; the measure is left out")
        return found

    def _lifecycle(self, plain: dict[str, Any], message: Any, path: str) -> None:
        if message.deprecated:
            plain["lifecycle"] = "deprecated"
            if message.lifecycle_stage not in (schema_pb2.UNKNOWN_STAGE, schema_pb2.DEPRECATED):
                self._lost.add(path, "lifecycle_stage", "the feature is deprecated too, which is what counts")
        elif message.lifecycle_stage in _STAGES:
            plain["lifecycle"] = _STAGES[message.lifecycle_stage]
        elif message.lifecycle_stage != schema_pb2.UNKNOWN_STAGE:
            stage = schema_pb2.LifecycleStage.Name(message.lifecycle_stage)
            self._lost.add(path, "lifecycle_stage", f"there is no {stage} here; read as in use")

    def _annotation(self, plain: dict[str, Any], value: Any, path: str) -> dict[str, Any]:
        self._lost.others(path, "annotation", value, "tag", "comment", "extra_metadata")
        if value.tag:
            plain["tags"] = list(value.tag)
        if value.comment:
            plain["description"] = "\n".join(value.comment)
        return self._extras(value, path)

    def _extras(self, annotation: Any, path: str) -> dict[str, Any]:
        added: dict[str, Any] = {}
        for metadata in annotation.extra_metadata:
            found = extras.kept(metadata)
            if found is None:
                self._lost.add(path, "annotation.extra_metadata", f"{metadata.type_url} is not ours; left out")
            elif self._with_extras:
                added |= found
        return added

    def _rows(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, said_here in said(value):
            match name:
                case "min_examples_count" | "max_examples_count":
                    found[name[:3]] = said_here
                case "num_examples_drift_comparator" | "num_examples_version_comparator":
                    bounds = ("min_fraction_threshold", "max_fraction_threshold")
                    self._lost.others("", f"dataset_constraints.{name}", said_here, *bounds)
                    found[name.split("_")[2]] = {
                        bound.removesuffix("_threshold"): getattr(said_here, bound)
                        for bound in bounds
                        if said_here.HasField(bound)
                    }
                case _:
                    self._lost.add("", f"dataset_constraints.{name}", NO_PLACE)
        return found

    def _mass(self, plain: dict[str, Any], message: Any, path: str) -> None:
        """Note the share of values that must lie within a domain; named ones are settled when all are read."""
        constraints = message.distribution_constraints
        if message.HasField("distribution_constraints"):
            self._lost.others(path, "distribution_constraints", constraints, "min_domain_mass")
        mass = constraints.min_domain_mass
        domain = plain.get("domain")
        if isinstance(domain, str) and self._shared[domain].kind == "string_domain":
            self._shared[domain].users.append((path, plain, mass))
        elif mass != 1 and isinstance(domain, dict) and "values" in domain:
            self._loosen(plain, domain, mass, path)
        elif mass != 1:
            self._lost.add(path, _MASS, "it is for lists of strings alone, and the feature has none; left out")

    def _settle_masses(self) -> None:
        """A named domain's mass is its own here: users that all have the same keep the name, others get the list."""
        for shared in self._shared.values():
            masses = {mass for _, _, mass in shared.users}
            if len(masses) == 1 and (mass := masses.pop()) > 0:
                shared.domain.update({} if mass == 1 else {"min_mass": mass})
                continue
            for path, plain, mass in shared.users:
                if mass != 1:
                    self._lost.add(
                        path, "domain", "others that share it have another min_domain_mass: a list of its own"
                    )
                    self._loosen(plain, dict(shared.domain), mass, path)

    def _loosen(self, plain: dict[str, Any], domain: dict[str, Any], mass: float, path: str) -> None:
        if mass > 0:
            plain["domain"] = {**domain, "min_mass": mass}
        else:
            self._lost.add(path, _MASS, "0 tolerates every value: the domain is left out")
            plain.pop("domain")
