"""A schema as plain values, in the short forms and the order that a person writes YAML in."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lakehouse.schema.demands import Presence, presence_plain
from lakehouse.schema.domains import Domain
from lakehouse.units import written

if TYPE_CHECKING:
    from lakehouse.schema.features import Feature
    from lakehouse.schema.schema import Check, Schema

__all__ = ["feature", "schema", "upgraded"]

_LAST: tuple[str, ...] = ("rows", "keys", "freshness", "severity", "on_error")
"""Keys of a schema that a person writes behind its features."""

_FIRST: tuple[str, ...] = ("type", "presence", "domain", "fields")
_LATER: tuple[str, ...] = ("tags", "computed", "personal", "unit", "description")
"""Keys of a feature that a person writes before and behind all others."""


def schema(value: Schema) -> dict[str, Any]:
    """The mapping below ``schema:``."""
    said = _stated(value, leave_out=("features", "domains", "checks"))
    last = {key: said.pop(key) for key in _LAST if key in said}
    if value.domains:
        said["domains"] = {name: _domain(domain) for name, domain in value.domains.items()}
    said["features"] = {name: feature(inner) for name, inner in value.features.items()}
    if value.checks:
        said["checks"] = {name: _check(check) for name, check in value.checks.items()}
    return {**said, **last}


def feature(value: Feature) -> dict[str, Any]:
    """The mapping of one feature."""
    said = {"type": value.kind, **_stated(value, leave_out=("type", "repeated", "domain", "domain_name", "fields"))}
    if value.domain_name is not None or value.domain is not None:
        said["domain"] = value.domain_name if value.domain is None else value.domain_name or _domain(value.domain)
    if value.fields:
        said["fields"] = {name: feature(inner) for name, inner in value.fields.items()}
    if "personal" in value.model_fields_set:
        said["personal"] = value.personal  # `false` is not the same as nothing: it ends what is inherited
    order = [key for key in _FIRST if key in said]
    order += [key for key in said if key not in order and key not in _LATER]
    return {key: said[key] for key in (*order, *(key for key in _LATER if key in said))}


def _stated(value: BaseModel, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is not as it would be unsaid."""
    found = {}
    for name, field in type(value).model_fields.items():
        if name not in leave_out and (said := getattr(value, name)) != field.get_default(call_default_factory=True):
            found[name] = _simple(said)
    return found


def _simple(value: Any) -> Any:
    if isinstance(value, Presence):
        return presence_plain(value)
    if isinstance(value, BaseModel):
        return _stated(value)
    if isinstance(value, Mapping):
        return {str(_simple(key)): _simple(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_simple(inner) for inner in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, dt.timedelta):
        return written(value)
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, decimal.Decimal) else value


def _domain(value: Domain) -> Any:
    said = _stated(value)
    return said["values"] if said.keys() == {"values"} else said


def _check(value: Check) -> Any:
    said = _stated(value)
    return said["sql"] if said.keys() == {"sql"} else said


def upgraded(data: Any) -> Any:
    """What was stored under a word that is another now."""
    features = data.get("features") if isinstance(data, Mapping) else None
    if not isinstance(features, Mapping):
        return data
    renamed = {
        name: {**said, "type": "bytes"} if isinstance(said, Mapping) and said.get("type") == "binary" else said
        for name, said in features.items()
    }
    return {**data, "features": renamed}
