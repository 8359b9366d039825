"""What two schemas do not have in common, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.schema.schema import Schema

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that is not the same.

    Attributes:
        path: the feature's dotted path; "" for the schema itself.
        key: the key in the feature's mapping, "" for the feature as a whole; of the schema itself a dotted key
            (``rows``, ``domains.airport``, ``checks.lands_after``).
        before: as YAML has it; None where nothing was said.
        after: likewise.
    """

    path: str
    key: str
    before: Any
    after: Any


def differences(old: Schema, new: Schema) -> tuple[Difference, ...]:
    """What to change in one schema to make it the other, in the order of the features; those that are gone last."""
    one, other = _parts(old), _parts(new)
    found = []
    for path in dict.fromkeys([*other, *one]):
        before, after = one.get(path), other.get(path)
        if path and (before is None or after is None):
            found.append(Difference(path, "", before, after))
            continue
        said, says = before or {}, after or {}
        found += [
            Difference(path, key, said.get(key), says.get(key))
            for key in dict.fromkeys([*says, *said])
            if said.get(key) != says.get(key)
        ]
    if list(old.features) != list(new.features) and old.features.keys() == new.features.keys():
        found.append(Difference("", "features", list(old.features), list(new.features)))
    return tuple(found)


def _parts(schema: Schema) -> dict[str, dict[str, Any]]:
    """The plain keys of each feature by its path, and under "" those of the schema itself."""
    whole = schema.plain()
    features = whole.pop("features")
    flat = dict(_flat(whole))
    return {"": flat, **dict(_features(features, ""))}


def _flat(whole: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in whole.items():
        if key in ("domains", "checks"):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _features(features: Mapping[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, said in features.items():
        yield above + name, {key: value for key, value in said.items() if key != "fields"}
        yield from _features(said.get("fields", {}), f"{above}{name}.")
