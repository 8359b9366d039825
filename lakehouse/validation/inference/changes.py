"""What a proposal to change a schema is: single changes, each with its reason, for a person to take or leave."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from lakehouse.errors import NotFoundError, nearest
from lakehouse.schema import Domain, Feature, FeatureType, Schema
from lakehouse.validation.anomalies import Anomaly, Kind

__all__ = ["Change", "Update", "applied", "merged", "plain"]

_FOR_TYPES = ("type", "domain", "format", "timezone", "precision", "scale", "true_values", "false_values")
"""Keys that may have to go with a feature's type."""


@dataclass(frozen=True)
class Change:
    """One key of a schema that is proposed to be another.

    Attributes:
        path: the feature's dotted path; "" for the schema itself.
        key: the key in that feature's mapping (``presence``), "" for the feature as a whole; of the schema itself a
            dotted key below ``schema:`` (``rows.min``, ``domains.airport``).
        before: what stands there, as YAML has it (JSON values); None where nothing does.
        after: what is proposed; None to take the key away.
        reason: why, in a sentence with the figures; no values of a personal feature.
        anomaly: the kind of anomaly that it would settle; None where it follows from another change.
        ends: whether something that is checked now would not be any more, rather than be checked by wider bounds.
    """

    path: str
    key: str
    before: Any
    after: Any
    reason: str
    anomaly: Kind | None = None
    ends: bool = False

    def __str__(self) -> str:
        where = ".".join(part for part in (self.path, self.key) if part)
        if self.before is None:
            what = f"add {where}: {_short(self.after)}"
        elif self.after is None:
            what = f"take away {where}: {_short(self.before)}"
        else:
            what = f"{where}: {_short(self.before)} -> {_short(self.after)}"
        return f"{what}\n    {self.reason}"


@dataclass(frozen=True)
class Update:
    """A proposal: the schema as it would be, and the changes that lead to it. True when anything is proposed.

    Attributes:
        schema: the schema with all changes made.
        changes: each change, in the order of the anomalies they settle.
        original: the schema that the changes start from.
        left: anomalies that no change of the schema is proposed for: the data, or a person, must settle them.
    """

    schema: Schema
    changes: tuple[Change, ...]
    original: Schema
    left: tuple[Anomaly, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        if not self.changes:
            return "Nothing to change."
        return "\n".join(str(change) for change in self.changes)

    def widening(self) -> Update:
        """The proposal without the features of which something would not be checked any more."""
        ending = {change.path for change in self.changes if change.ends and change.path}
        kept = tuple(change for change in self.changes if change.path not in ending and not change.ends)
        return Update(applied(self.original, kept), kept, self.original, self.left)

    def types(self) -> Update:
        """The changes of types alone, with what cannot stay beside the new type."""
        typed = {change.path for change in self.changes if change.key == "type"}
        kept = tuple(change for change in self.changes if change.path in typed and change.key in _FOR_TYPES)
        return Update(applied(self.original, kept), kept, self.original, self.left)

    def then(self, more: Update) -> Update:
        """This proposal and one that starts from its schema, as one."""
        changes = merged((*self.changes, *more.changes), self.original, more.schema)
        return Update(more.schema, changes, self.original, more.left)

    def only(self, paths: Collection[str]) -> Update:
        """The proposal for some features alone, with what is within them; "" is the schema itself.

        A domain that features share is changed with any of them.

        Raises:
            NotFoundError: nothing is proposed for one of them; names those that something is proposed for.
        """
        known = self.original.paths()
        wanted: list[Change] = []
        for path in paths:
            feature = known.get(path)
            shared = f"domains.{feature.domain_name}" if feature and feature.domain_name else None
            mine = [c for c in self.changes if c.path == path or (path and c.path.startswith(f"{path}."))]
            mine += [c for c in self.changes if not c.path and c.key == shared]
            if not mine:
                proposed = list(dict.fromkeys(c.path for c in self.changes if c.path))
                raise NotFoundError(f"no change is proposed for '{path}'.{nearest(path, proposed)}")
            wanted += mine
        kept = tuple(change for change in self.changes if change in wanted)
        return Update(applied(self.original, kept), kept, self.original, self.left)


def merged(changes: Iterable[Change], original: Schema, updated: Schema) -> tuple[Change, ...]:
    """Changes of which each key has one, from its first before to its last after, and of which each tells what it ends.

    Args:
        changes: as they were proposed, one after the other.
        original: the schema before all of them.
        updated: the schema after all of them.
    """
    found: dict[tuple[str, str], Change] = {}
    for change in changes:
        where = (change.path, change.key)
        first = found.get(where)
        if first is not None:
            why = first.reason if first.reason == change.reason else f"{first.reason} {change.reason}"
            change = replace(change, before=first.before, reason=why)  # noqa: PLW2901  # the two as one
        found[where] = change
    return tuple(replace(change, ends=_ends(change, original, updated)) for change in found.values())


def _ends(change: Change, original: Schema, updated: Schema) -> bool:
    """Whether a change leaves something unchecked that the schema checks."""
    if not change.path:
        name = change.key.removeprefix("domains.")
        before, after = original.domains.get(name), updated.domains.get(name)
        gone = name != change.key and bool(_bounds(before) - _bounds(after))
        return gone or (name == change.key and change.after is None)
    old, new = original.feature(change.path), updated.feature(change.path)
    if old is None or new is None:
        return old is not None
    match change.key:
        case "domain":
            return bool(_bounds(old.domain) - _bounds(new.domain))
        case "type":
            return new.type is FeatureType.STRING and old.type is not FeatureType.STRING  # any text is one
        case "in_environment":
            return bool(set(old.in_environment) - set(new.in_environment))
        case "not_in_environment":
            return bool(set(new.not_in_environment) - set(old.not_in_environment))
    return bool(_asked(old, change.key) - _asked(new, change.key))


def _bounds(domain: Domain | None) -> set[str]:
    """What a domain asks of values."""
    said = {} if domain is None else domain.model_dump(exclude_none=True, exclude={"min_mass"})
    lengths = {f"length.{end}" for end, value in said.pop("length", {}).items() if value is not None}
    return {key for key, value in said.items() if value is not False} | lengths


def _asked(feature: Feature, key: str) -> set[str]:
    """What a key of a feature asks: of its presence, its valency, the number of its distinct values."""
    value = getattr(feature, key, None)
    said: dict[str, Any] = value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else {}
    asked = {name for name, bound in said.items() if bound}
    # Of many rows rather than of each is wider, and still asked.
    return {"presence"} if key == "presence" and asked else asked


def applied(schema: Schema, changes: Iterable[Change]) -> Schema:
    """The schema with changes made."""
    data = json.loads(schema.to_json())
    for change in changes:
        _apply(data, change)
    return Schema.model_validate(data)


def _apply(data: dict[str, Any], change: Change) -> None:
    """Make one change in the plain form of a schema."""
    if not change.path:
        *above, key = change.key.split(".", 1) if change.key.startswith("domains.") else change.key.split(".")
        for part in above:
            data = data.setdefault(part, {})
        _put(data, key, change.after)
        return
    *above, name = _steps(data, change.path)
    for part in above:
        data = data["features" if "features" in data else "fields"][part]
    features = data.setdefault("features" if "features" in data else "fields", {})
    if not change.key:
        _put(features, name, change.after)
        return
    feature = features[name]
    if change.key == "type":
        feature.pop("repeated", None)
    if change.key == "domain":
        feature.pop("domain_name", None)
    _put(feature, change.key, change.after)


def _steps(data: dict[str, Any], path: str) -> list[str]:
    """A dotted path as the names of features; a top name may hold dots."""
    if path in data["features"]:
        return [path]
    top = max((name for name in data["features"] if path.startswith(f"{name}.")), key=len, default="")
    return [top, *path.removeprefix(f"{top}.").split(".")] if top else [path]


def _put(mapping: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def plain(schema: Schema, path: str, key: str) -> Any:
    """What stands at a feature's key, as YAML has it; None where nothing does."""
    feature = schema.feature(path)
    if feature is None:
        return None
    match key:
        case "type":
            return f"list[{feature.type.value}]" if feature.repeated else feature.type.value
        case "domain" if feature.domain_name is not None:
            return feature.domain_name
        case "domain" if feature.domain is not None:
            said = feature.domain.model_dump(mode="json", exclude_defaults=True)
            return said["values"] if set(said) == {"values"} else said
    said = feature.model_dump(mode="json", exclude_defaults=True)
    return said.get(key, "required" if key == "presence" else None)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:97]}..."
