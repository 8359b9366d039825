"""A hash of all that decides what rows a raw file gives: the same hash, the same rows.

What is written for people or for lineage, the layout of the table, what is asked of a batch as a whole and all secrets
are no part of it. Its form is older than many of a feature's keys: those are in it only where they are set, so that a
dataset that does not use them has the hash it always had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakehouse.schema import ROW_RULES, Action, Feature, FeatureType, Rule, Schema
from lakehouse.sources import Source

if TYPE_CHECKING:
    from lakehouse.config.models import Dataset

__all__ = ["fingerprint"]

_PLAIN = ("default", "format", "timezone", "precision", "scale", "null_values", "true_values", "false_values")
_FORMER = {FeatureType.BYTES: "binary"}
"""What types were called when the first hashes were made."""


def fingerprint(dataset: Dataset, source: Source | None) -> str:
    """The hash of a dataset that is curated from a source, or derived (None), 64 hexadecimal digits."""
    schema = dataset.schema
    decides: dict[str, Any] = {
        "format": None if source is None else dataset.reader(source).model_dump(mode="json"),
        "features": [[name, _feature(schema, name, feature)] for name, feature in schema.features.items()],
        **dataset.mapping,
        "max_rejected": str(dataset.max_rejected),
    }
    checks = {name: [check.sql, does] for name, check in schema.checks.items() if (does := _check(schema, name))}
    if checks:
        decides["checks"] = checks
    if dataset.validation.environment is not None:
        inside = schema.within(dataset.validation.environment).paths()
        if outside := [path for path in schema.paths() if path not in inside]:
            decides["outside"] = outside
    text = json.dumps(decides, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _feature(schema: Schema, path: str, feature: Feature) -> dict[str, Any]:
    """What one feature decides."""
    kind = _FORMER.get(feature.type, feature.type.value)
    said: dict[str, Any] = {
        "type": f"list[{kind}]" if feature.repeated else kind,
        "presence": "required" if feature.required else "optional",
        "domain": _domain(schema, path, feature),
        **feature.model_dump(mode="json", include={*_PLAIN}),
        "computed": feature.computed,
        "personal": feature.personal,
    }
    if feature.fields:
        said["fields"] = [[name, _feature(schema, f"{path}.{name}", f)] for name, f in feature.fields.items()]
    if feature.separator is not None:
        said["separator"] = feature.separator
    if feature.valency is not None and feature.checked and _decides(schema, Rule.VALENCY, path):
        said["valency"] = feature.valency.model_dump()
    if not feature.checked:
        said["checked"] = False
    actions = _actions(schema, path, feature)
    if actions:
        said["actions"] = actions
    return said


def _domain(schema: Schema, path: str, feature: Feature) -> Mapping[str, Any] | None:
    domain = feature.domain
    if domain is None:
        return None
    if domain.by_row and feature.checked and _decides(schema, Rule.DOMAIN, path):
        said = domain.model_dump(mode="json", exclude={"finite", "min_mass"})
        return said if domain.finite is None else {**said, "finite": domain.finite}
    # No row is rejected for it, but whether an infinity is a float at all is said here.
    return None if domain.finite is None else {"finite": True}


def _decides(schema: Schema, rule: Rule, path: str) -> bool:
    """Whether a broken rule changes what becomes of a row or its batch."""
    return schema.action_of(rule, path) is not Action.WARN


def _actions(schema: Schema, path: str, feature: Feature) -> dict[str, str]:
    """What is done otherwise than setting a row apart, where a row can break the rule."""
    asked = {Rule.TYPE}
    if feature.checked:
        asked |= {Rule.PRESENCE} if feature.required else set()
        asked |= {Rule.DOMAIN} if feature.domain is not None and feature.domain.by_row else set()
        asked |= {Rule.VALENCY} if feature.valency is not None else set()
    found = {rule: schema.action_of(rule, path) for rule in sorted(asked & ROW_RULES)}
    # A domain or valency that is only warned of is left out above; a missing value that is, is not.
    return {
        rule.value: action.value
        for rule, action in found.items()
        if action is Action.REFUSE or (action is Action.WARN and rule is Rule.PRESENCE)
    }


def _check(schema: Schema, name: str) -> str:
    """What a check's broken rows undergo; "" where they are only told of."""
    action = schema.action_of(Rule.CHECK, f"checks.{name}")
    return "" if action is Action.WARN else action.value
