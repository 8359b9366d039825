"""What is recorded of how a version's rows were made: which executions, from what, under which configuration."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse import tables, timeline
from lakehouse.config import Dataset, Tolerance
from lakehouse.config.dotted import recorded_format
from lakehouse.config.validation import Validation
from lakehouse.formats import Format
from lakehouse.records import MAKERS, Artifact, EventType, Execution, ExecutionState, Sighting, Value, Version
from lakehouse.schema import Schema
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["Step", "as_recorded", "packages_of", "steps"]

_OF_A_SOURCE = ("rename", "derive", "codes", "curate", "delete_when")
"""What of a mapping may differ from source to source."""


@dataclass(frozen=True, slots=True)
class Step:
    """One or several executions of a dataset, as they are recorded, with what of theirs counts at the version.

    Attributes:
        executions: their numbers.
        at: the moment that their rows carry.
        dataset: as it was configured, but for what refuses a batch: these were taken.
        formats: of its sources.
        raws: the raw files whose rows count.
        sightings: where and when those were seen until then, oldest first.
        inputs: the versions of other datasets that they read.
        code: the hash of the function's file.
        packages: of Python, with their versions, and Python's own.
        lacking: what the record leaves out, so that it had to be taken from today's configuration.
    """

    executions: tuple[int, ...]
    at: datetime
    dataset: Dataset
    formats: Mapping[str, Format]
    raws: tuple[Artifact, ...]
    sightings: tuple[Sighting, ...]
    inputs: Mapping[str, int]
    code: str
    packages: Mapping[str, str]
    lacking: str = ""


def steps(site: Site, past: Timeline, version: Version) -> list[Step]:
    """The executions whose rows count at a version, in their order; facts of one configuration together.

    Raises:
        NotFoundError: the record of one leaves out its configuration, and today's has no such dataset.
    """
    found = list(_steps(site, past, version))
    joined: list[Step] = []
    for step in found:
        last = joined[-1] if joined else None
        if last is not None and step.dataset.history == "events" and not step.inputs and _alike(last, step):
            joined[-1] = dataclasses.replace(
                last,
                executions=(*last.executions, *step.executions),
                at=step.at,
                raws=(*last.raws, *step.raws),
                sightings=_known(site, (*last.raws, *step.raws), max(s.seen_at for s in step.sightings)),
            )
        else:
            joined.append(step)
    return joined


def _alike(one: Step, other: Step) -> bool:
    """Whether two steps made their rows in the same way."""
    ways = [(step.dataset, step.formats, step.inputs, step.code, step.packages, step.lacking) for step in (one, other)]
    return ways[0] == ways[1]


def _steps(site: Site, past: Timeline, version: Version) -> Iterator[Step]:
    ledger, hidden = site.ledger, past.hidden(version)
    made = [
        execution
        for execution in ledger.get_executions(
            type=MAKERS, context=past.context, state=ExecutionState.COMPLETE, until=version.execution
        )
        if hidden.get(execution.id, set()) is not None
    ]
    events = ledger.get_events(execution_ids=[e.id for e in made], types=[EventType.INPUT])
    read = {a.id: a for a in ledger.get_artifacts(ids={event.artifact_id for event in events})}
    by_execution: dict[int, list[Artifact]] = {}
    for event in events:
        if event.artifact_id in read:
            by_execution.setdefault(event.execution_id, []).append(read[event.artifact_id])
    moments = _moments(site, version)
    layout = tables.layout(site.storage.path(version.uri))
    partition_by = layout.partition_by if layout is not None else ()
    for execution in made:
        gone = hidden.get(execution.id) or set()
        used = by_execution.get(execution.id, [])
        raws = [a for a in used if a.type == "RawFile" and a.properties["sha256"] not in gone]
        if not raws and execution.type == "Curate":
            continue
        schemas = [artifact for artifact in used if artifact.type == "Schema"]
        dataset, formats, lacking = as_recorded(site, past.dataset, schemas, raws, partition_by)
        yield Step(
            executions=(execution.id,),
            at=moments.get(execution.id) or execution.created_at or site.clock(),
            dataset=dataset,
            formats=formats,
            raws=tuple(raws),
            sightings=_seen(site, execution, raws),
            inputs={
                str(a.properties["dataset"]): int(str(a.properties["version"]))
                for a in used
                if a.type == "TableVersion"
            },
            code=str(execution.properties.get("code", "")),
            packages=packages_of(execution.properties),
            lacking=lacking,
        )


def _moments(site: Site, version: Version) -> dict[int, datetime]:
    """The moment that the rows of each execution carry."""
    rows = timeline.held(site, version).group_by("_execution").agg(pl.col("_recorded_at").first())
    return dict(rows.collect(engine="streaming").iter_rows())


def _seen(site: Site, execution: Execution, raws: Sequence[Artifact]) -> tuple[Sighting, ...]:
    """Where a curation knew its raw files to lie; of snapshots, the arrivals that it took in."""
    if snapshots := execution.properties.get("snapshots"):
        files = {str(raw.properties["sha256"]): raw for raw in raws}
        return tuple(
            Sighting(
                str(files[sha].properties["source"]),
                origin,
                int(str(files[sha].properties["size"])),
                "",
                sha,
                datetime.fromisoformat(seen_at),
            )
            for _, seen_at, origin, sha in json.loads(str(snapshots))
            if sha in files
        )
    return _known(site, raws, execution.created_at)


def _known(site: Site, raws: Iterable[Artifact], until: datetime | None) -> tuple[Sighting, ...]:
    """Where raw files were seen until a moment; a file that is there was seen, whatever clocks say."""
    found: list[Sighting] = []
    for source, files in itertools.groupby(sorted(raws, key=_source), key=_source):
        hashes = {str(raw.properties["sha256"]) for raw in files}
        seen = site.ledger.all_sightings(source, hashes)
        early = [sighting for sighting in seen if until is None or sighting.seen_at <= until]
        found += early
        late = hashes - {sighting.sha256 for sighting in early}
        found += {s.sha256: s for s in reversed(seen) if s.sha256 in late}.values()
    return tuple(found)


def _source(raw: Artifact) -> str:
    return str(raw.properties["source"])


def packages_of(properties: Mapping[str, Value]) -> dict[str, str]:
    """The packages that an execution's properties name, Python among them."""
    pairs = (one.partition("=") for one in str(properties.get("packages", "")).split())
    found = {name: version for name, _, version in pairs if version}
    return {**found, "python": str(properties["python"])} if "python" in properties else found


def as_recorded(
    site: Site, name: str, schemas: Sequence[Artifact], raws: Sequence[Artifact], partition_by: Sequence[str]
) -> tuple[Dataset, dict[str, Format], str]:
    """A dataset as `Schema` artifacts tell it, the formats of its sources, and what they leave out.

    Raises:
        NotFoundError: they leave out something, and today's configuration has no such dataset.
    """
    today = site.config.datasets.get(name)
    told = [schema for schema in schemas if "mapping" in schema.properties and "features" in schema.properties]
    if not told or len(told) < len(schemas):
        now = site.config.dataset(name)
        sources = dict.fromkeys([*now.source_names, *map(_source, raws)])
        formats = {one: _reader(site, now, one) for one in sources}
        return _tolerant(now, now.validation.environment), formats, "its schema and mapping"
    mappings = {
        str(schema.properties.get("source", "")): json.loads(str(schema.properties["mapping"])) for schema in told
    }
    features = [json.loads(str(schema.properties["features"])) for schema in told]
    formats = {
        str(schema.properties["source"]): recorded_format(values, site.config.project)
        for schema in told
        if (values := json.loads(str(schema.properties.get("format", "{}"))))
    }
    values = next(iter(mappings.values()))
    schema = _schema(features)
    known = {field.name for field in dataclasses.fields(Dataset)} - {"max_rejected", "max_deleted"}
    plain: dict[str, Any] = {key: value for key, value in values.items() if key in known and value is not None}
    if len(mappings) > 1:
        shared = {key: value for key, value in plain.items() if key not in _OF_A_SOURCE}
        plain = shared | {
            "sources": {
                source: {key: mapping[key] for key in _OF_A_SOURCE if mapping.get(key) is not None}
                for source, mapping in mappings.items()
            }
        }
    elif "" not in mappings:
        plain["source"] = next(iter(mappings))
    dataset = Dataset(
        **plain,
        name=name,
        schema=schema,
        partition_by=tuple(column for column in partition_by if column in schema.features),
        description=today.description if today is not None else "",
    )
    return _tolerant(dataset, today.validation.environment if today is not None else None), formats, ""


def _reader(site: Site, dataset: Dataset, source: str) -> Format:
    """How a dataset reads a source's files now, also of one that it names no more."""
    known = site.config.source(source)
    return dataset.of(source).reader(known) if source in dataset.source_names else known.format


def _schema(features: Sequence[dict[str, Any]]) -> Schema:
    """One schema of all sources: a feature is computed where each of them computes it."""
    schemas = [Schema.from_json(json.dumps(one)) for one in features]
    first = schemas[0]
    computed = {name: all(schema.features[name].computed for schema in schemas) for name in first.features}
    own = {name: f.model_copy(update={"computed": computed[name]}) for name, f in first.features.items()}
    return first.model_copy(update={"features": own})


def _tolerant(dataset: Dataset, environment: str | None) -> Dataset:
    """The same dataset, refusing no batch: what was taken then is taken again, however it is cut now."""
    if environment is not None and environment not in dataset.schema.known_environments():
        environment = None
    return dataclasses.replace(
        dataset,
        max_rejected=None,
        max_deleted=Tolerance(share=1.0) if dataset.history == "snapshots" else None,
        validation=Validation(statistics=False, history=None, environment=environment),
    )
