"""What the rows that a version shows were made of: raw files, versions of other datasets, configuration and code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from lakehouse.records import Artifact, EventType, Version
from lakehouse.site import Site
from lakehouse.tagged import RawOf
from lakehouse.timeline import Timeline

__all__ = ["Contents", "contents"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a version's rows were made of.

    Attributes:
        raw: the raw files, by source and hash.
        inputs: versions of other datasets: ``aviation/flights@3``.
        configuration: hash of what decided how the version's own rows were made, its function too.
        code: hash of that function; "" where there is none.
        digest: hash of all raw files and inputs, each with the hash of the configuration that it was read under.
    """

    raw: tuple[RawOf, ...]
    inputs: tuple[str, ...]
    configuration: str
    code: str
    digest: str


def contents(site: Site, past: Timeline, version: Version, *, origins: bool = False) -> Contents:
    """What a version's rows were made of.

    Args:
        site: the opened lake.
        past: the dataset's past.
        version: the version.
        origins: look up also where each raw file was seen.
    """
    hidden = past.hidden(version)
    shown = [made.id for made in past.making(last=version.execution) if hidden.get(made.id, ()) is not None]
    makers = {e.id: e for e in site.ledger.get_executions(ids=shown, only=["fingerprint", "code"])}
    events = site.ledger.get_events(execution_ids=shown, types=[EventType.INPUT])
    read = {a.id: a for a in site.ledger.get_artifacts(ids={event.artifact_id for event in events})}
    raw: dict[int, Artifact] = {}
    inputs: dict[str, None] = {}
    lines = set()
    for event in events:
        artifact, maker = read[event.artifact_id], makers[event.execution_id]
        under = str(maker.properties.get("fingerprint", ""))
        if artifact.type == "RawFile" and artifact.properties["sha256"] not in (hidden.get(maker.id) or ()):
            raw[artifact.id] = artifact
            lines.add(f"{under} {artifact.properties['sha256']}")
        elif artifact.type == "TableVersion":
            inputs[str(artifact.name)] = None
            lines.add(f"{under} {artifact.name}")
    newest = makers[version.execution].properties if version.execution in makers else {}
    return Contents(
        raw=_told(site, list(raw.values()), origins=origins),
        inputs=tuple(sorted(inputs)),
        configuration=str(newest.get("fingerprint", "")),
        code=str(newest.get("code", "")),
        digest=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
    )


def _told(site: Site, raw: list[Artifact], *, origins: bool) -> tuple[RawOf, ...]:
    seen: dict[tuple[str, str], dict[str, None]] = {}
    if origins and raw:
        for sighting in site.ledger.all_sightings(None, {str(one.properties["sha256"]) for one in raw}):
            seen.setdefault((sighting.source, sighting.sha256), {})[sighting.origin] = None
    found = []
    for one in raw:
        source, sha256 = str(one.properties["source"]), str(one.properties["sha256"])
        found.append(RawOf(sha256, source, str(one.properties["name"]), tuple(seen.get((source, sha256), ()))))
    return tuple(sorted(found, key=lambda one: (one.source, one.sha256)))
