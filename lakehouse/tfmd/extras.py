"""What TensorFlow Metadata has no place for, kept as JSON in ``annotation.extra_metadata`` beside what it has.

Only the keys that reading the message alone would not give are kept, so that whoever changes the message by other
means changes what is read, but for those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import wrappers_pb2

from lakehouse.schema import Feature, FeatureType, Schema

__all__ = ["difference", "keep", "kept", "merged", "names", "plain_feature", "plain_schema"]

_KEY = "lakehouse"


def plain_feature(feature: Feature) -> dict[str, Any]:
    """A feature's keys that say something, as JSON has them; without those of the features within."""
    found: dict[str, Any] = feature.model_dump(mode="json", exclude_defaults=True, exclude={"fields"})
    if feature.domain_name is not None:
        found.pop("domain", None)  # it stands under the schema's domains
    if "personal" in feature.model_fields_set:
        found["personal"] = feature.personal  # saying no is more than not saying it
    if (
        feature.type is FeatureType.BOOL
    ):  # the usual words too: TensorFlow Metadata has one word for each, no usual ones
        found |= {"true_values": list(feature.true_values), "false_values": list(feature.false_values)}
    return found


def plain_schema(schema: Schema) -> dict[str, Any]:
    """A schema's keys that say something, but for its features."""
    return schema.model_dump(mode="json", exclude_defaults=True, exclude={"features"})


def difference(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What `merged` must add to the one to get the other; None where a key must go."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((*wanted, *seen)):
        before, after = seen.get(key), wanted.get(key)
        if key in seen and key in wanted and before == after:
            continue
        both = isinstance(before, Mapping) and isinstance(after, Mapping)
        found[key] = difference(before, after) if both else after  # type: ignore[arg-type]  # both says so
    return found


def merged(seen: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The one with what the other adds, and without what it takes away."""
    found = dict(seen)
    for key, after in added.items():
        before = found.get(key)
        if after is None:
            found.pop(key, None)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            found[key] = merged(before, after)
        else:
            found[key] = after
    return found


def names(added: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys that are added; those that only take something away are not among them."""
    for key, value in added.items():
        if isinstance(value, Mapping) and value:
            yield from names(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}"


def keep(annotation: Any, added: Mapping[str, Any]) -> None:
    """Put them into a message's annotation, as a ``google.protobuf.StringValue``: numbers of JSON stay exact."""
    text = json.dumps({_KEY: added}, ensure_ascii=False, sort_keys=True)
    annotation.extra_metadata.add().Pack(wrappers_pb2.StringValue(value=text))


def kept(metadata: Any) -> dict[str, Any] | None:
    """What `keep` put into one piece of extra metadata; None when it is somebody else's."""
    value = wrappers_pb2.StringValue()
    if not metadata.Is(value.DESCRIPTOR):
        return None
    metadata.Unpack(value)
    try:
        found = json.loads(value.value)
    except ValueError:
        return None
    added = found.get(_KEY) if isinstance(found, dict) else None
    return added if isinstance(added, dict) else None
