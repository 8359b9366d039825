"""Root cause: which raw files, code and configuration made one version of a dataset differ from another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from lakehouse import references
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.lineage.spans import Past
from lakehouse.records import EventType, Execution, printable
from lakehouse.schema import Schema
from lakehouse.site import Site

__all__ = ["Causes", "FileChange", "Step", "causes"]

How: TypeAlias = Literal["added", "replaced", "curated again", "removed"]

_SHOWN = 10  # raw files told by ``str()``
_HASH = 12  # characters of a hash that is told
_ENVIRONMENT = {"code_version": "code", "code": "file of the function", "python": "Python", "machine": "machine"}
_ORDER: tuple[How, ...] = ("added", "replaced", "curated again", "removed")


@dataclass(frozen=True, slots=True)
class FileChange:
    """A raw file whose rows one version shows and the other does not, or shows as another curation made them.

    Attributes:
        how: ``added``; ``replaced``, where other bytes lay at its origin; ``curated again``; ``removed``, where
            nothing came in its place.
        replaces: sha256 of the raw files in whose place it came.
        rows_added: rows of it that only the version shows.
        rows_removed: rows of it, and of those it replaces, that only the other one shows.
    """

    how: How
    sha256: str
    name: str
    origins: tuple[str, ...]
    replaces: tuple[str, ...]
    rows_added: int
    rows_removed: int


@dataclass(frozen=True, slots=True)
class Step:
    """A curation between the two versions.

    Attributes:
        changes: what differs from the curation before it.
    """

    execution: int
    version: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Causes:
    """Why a version of a dataset differs from another. ``str()`` tells it line by line.

    Attributes:
        version: the version that is explained.
        against: the version it is held against, older or newer.
        rows: how many rows it shows.
        rows_against: how many the other one shows.
        files: the raw files that make the difference.
        changes: what differs between the curations that made the two versions: code, packages, Python, machine,
            features, format, mapping.
        steps: the curations after the older one up to the newer one, oldest first.
    """

    dataset: str
    version: int
    against: int
    rows: int
    rows_against: int
    files: tuple[FileChange, ...]
    changes: tuple[str, ...]
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        more = self.rows - self.rows_against
        yield (
            f"{self.dataset}@{self.version} against {self.dataset}@{self.against}: "
            f"{_rows(self.rows)} against {self.rows_against:,} ({more:+,})"
        )
        for how in _ORDER:
            files = [file for file in self.files if file.how == how]
            few = files if len(files) <= _SHOWN + 1 else files[:_SHOWN]
            yield from (f"  {how}: {_told(file)}" for file in few)
            if len(files) > len(few):
                yield f"  {how}: and {len(files) - len(few):,} more"
        yield from (f"  changed: {change}" for change in self.changes)
        for step in self.steps:
            changes = "; ".join(step.changes) or "nothing but the raw files changed"
            yield f"  made by execution:{step.execution} (version {step.version}): {changes}"
        if not self.files and not self.changes:
            yield "  no raw file, no code and no configuration differs"


def causes(site: Site, what: str, against: int | None) -> Causes:
    """Why a version differs from another, as `Lake.causes` says."""
    reference = references.parse(what)
    if reference.kind != "dataset":
        raise ConfigError(f"'{printable(str(what))}' is no dataset; write aviation/flights@12")
    name = reference.name
    past = Past(site.ledger, name)
    version = _version(site, name, reference.number)
    made = {number: execution for execution, number in past.made.items()}
    other = _before(past, version) if against is None else _version(site, name, against)
    new, old = past.rows(version), past.rows(other)
    low, high = sorted((version, other))
    between = sorted(number for number in made if low <= number <= high)
    ran = {e.id: e for e in site.ledger.get_executions(ids=[made[number] for number in between])}
    said = _said(site, list(ran.values()))
    steps = tuple(
        Step(made[number], number, tuple(_changes(said[made[before]], said[made[number]])))
        for before, number in itertools.pairwise(between)
    )
    return Causes(
        dataset=name,
        version=version,
        against=other,
        rows=sum(new.values()),
        rows_against=sum(old.values()),
        files=() if past.derived else tuple(_files(site, new, old)),
        changes=tuple(_changes(said[made[other]], said[made[version]])),
        steps=steps,
    )


def _version(site: Site, name: str, number: int | None) -> int:
    (artifact,) = references.artifacts(site, references.Reference("dataset", name, number))
    found = artifact.properties["version"]
    assert isinstance(found, int)  # noqa: S101  # the ledger keeps INT properties as int
    return found


def _before(past: Past, version: int) -> int:
    older = [number for number in past.made.values() if number < version]
    if not older:
        raise NotFoundError(f"{past.dataset}@{version} is the first version; there is none to hold it against")
    return max(older)


def _files(site: Site, new: Mapping[tuple[int, str], int], old: Mapping[tuple[int, str], int]) -> list[FileChange]:
    """The raw files whose rows differ, by what happened to them, then by name."""
    added, removed = _by_file(new, old), _by_file(old, new)
    names, origins = _known(site, {*added, *removed})
    places: dict[str, list[str]] = {}
    for sha in removed.keys() - added.keys():
        for origin in origins.get(sha, ()):
            places.setdefault(origin, []).append(sha)
    found, gone = [], set(added)
    for sha, rows in added.items():
        replaces = tuple(
            dict.fromkeys(one for origin in origins.get(sha, ()) for one in places.get(origin, ()) if one not in gone)
        )
        gone |= set(replaces)
        how: How = "curated again" if sha in removed else "replaced" if replaces else "added"
        lost = removed.get(sha, 0) + sum(removed[one] for one in replaces)
        found.append(FileChange(how, sha, names.get(sha, ""), origins.get(sha, ()), replaces, rows, lost))
    found += [
        FileChange("removed", sha, names.get(sha, ""), origins.get(sha, ()), (), 0, removed[sha])
        for sha in removed.keys() - gone
    ]
    return sorted(found, key=lambda file: (_ORDER.index(file.how), file.name, file.sha256))


def _by_file(one: Mapping[tuple[int, str], int], other: Mapping[tuple[int, str], int]) -> dict[str, int]:
    """Rows of each raw file that only the one shows."""
    found: dict[str, int] = {}
    for key in one.keys() - other.keys():
        found[key[1]] = found.get(key[1], 0) + one[key]
    return found


def _known(site: Site, hashes: Collection[str]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The names and origins of raw files."""
    seen = site.ledger.all_sightings(None, hashes) if hashes else []
    origins: dict[str, dict[str, None]] = {}
    for sighting in seen:
        origins.setdefault(sighting.sha256, {})[sighting.origin] = None
    raw = site.ledger.get_artifacts(external_ids={f"{sighting.source}/{sighting.sha256}" for sighting in seen})
    names = {str(a.properties["sha256"]): str(a.properties["name"]) for a in raw}
    return names, {sha: tuple(found) for sha, found in origins.items()}


@dataclass(frozen=True, slots=True)
class _Said:
    """All that decides what rows a curation makes of raw files, as texts by what a person calls them.

    Attributes:
        around: code, packages, machine, code tables.
        sources: features, format and mapping, of each source whose files were read.
        several: whether the dataset had several sources.
    """

    around: dict[str, str]
    sources: dict[str, dict[str, str]]
    several: bool


def _said(site: Site, executions: Sequence[Execution]) -> dict[int, _Said]:
    """What curations say of themselves, by their number."""
    ids = [e.id for e in executions]
    events = site.ledger.neighbours("execution", ids, [EventType.INPUT], apart_from=["RawFile"])
    read = {a.id: a for a in site.ledger.get_artifacts(ids={e.id for e in events})}
    found = {}
    for execution in executions:
        p = execution.properties
        around = {word: str(p[key]) for key, word in _ENVIRONMENT.items() if p.get(key)}
        for package in str(p.get("packages", "")).split():
            name, equals, version = package.partition("=")
            if equals:
                around[f"package {name}"] = version
        sources = {}
        for artifact in (read[event.id] for event in events if event.given == execution.id and event.id in read):
            if artifact.type == "Schema":
                sources[str(artifact.properties.get("source", ""))] = _configured(artifact.properties)
            elif artifact.type == "TableVersion":
                table, _, number = str(artifact.name).rpartition("@")
                around[f"version of {table}"] = number
        found[execution.id] = _Said(around, sources, several="fingerprints" in p)
    return found


def _changes(before: _Said, after: _Said) -> Iterator[str]:
    """What differs between two curations; of several sources, what is said of those that both read."""
    yield from _differences(before.around, after.around)
    if not (before.several or after.several):
        ((one,), (other,)) = (said.sources.values() or [{}] for said in (before, after))
        yield from _differences(one, other)
        return
    for source in (name for name in before.sources if name in after.sources):
        for change in _differences(before.sources[source], after.sources[source]):
            yield printable(f"of {source}: {change}")


def _configured(properties: Mapping[str, Any]) -> dict[str, str]:
    """What a Schema artifact says: features, format and mapping, each value by its path."""
    said: dict[str, str] = {}
    # Read as a schema, so that what two releases wrote differently is no difference.
    schema = Schema.from_json(str(properties["features"])).plain() if "features" in properties else {}
    for name, feature in schema.get("features", {}).items():
        said |= dict(_leaves(f"feature {name}", {"presence": "required", **feature}))
    for key in ("checks", "severity", "on_error"):
        said |= dict(_leaves(key, schema.get(key, {})))
    for part in ("format", "mapping"):
        for path, value in json.loads(str(properties.get(part, "{}"))).items():
            said |= dict(_leaves(f"format {path}" if part == "format" else path, value))
    return said


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Values by their path; lists as a whole, without those that are nothing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}: {key}" if path.startswith("feature") else f"{path}.{key}", inner)
    elif value not in (None, "", []):
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """``feature x: type int -> float``, and what came or went."""
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield printable(f"{key} {before.get(key, 'none')} -> {after.get(key, 'none')}")


def _told(file: FileChange) -> str:
    place = f" from {file.origins[0]}" if file.origins else ""
    instead = f" in place of {', '.join(sha[:_HASH] for sha in file.replaces)}" if file.replaces else ""
    rows = ", ".join(
        f"{sign}{_rows(count)}" for sign, count in (("+", file.rows_added), ("-", file.rows_removed)) if count
    )
    return printable(f"{file.name} ({file.sha256[:_HASH]}){place}{instead}: {rows or 'no row'}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
