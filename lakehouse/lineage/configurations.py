"""Under which configurations a dataset's rows were made, and what each made its columns from.

A curation's ``Schema`` artifact keeps both, so an old version answers by what it was made with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lakehouse import columns
from lakehouse.columns import ALL, Column
from lakehouse.lineage.spans import Past, Span
from lakehouse.records import Artifact, EventType
from lakehouse.site import Site

__all__ = ["Configuration", "configurations"]

_UNKNOWN = "made before it was recorded from what"
_NOWHERE = Span(0, -1)


@dataclass(frozen=True, slots=True)
class Configuration:
    """How some curations of a dataset made its rows.

    Attributes:
        dataset: the dataset.
        source: where their raw files were landed from; "" for a derived dataset.
        inputs: of a derived dataset, what it was made from.
        made: what each column was made from; ``*`` for columns taken along that are no feature.
        marked: the features that it said are personal.
        executions: the curations, oldest first.
        span: the versions that show any of their rows; of none that made a version an empty one.
    """

    dataset: str
    source: str
    made: Mapping[str, Column]
    marked: frozenset[str]
    executions: tuple[int, ...]
    span: Span
    inputs: tuple[str, ...] = ()

    def find(self, name: str) -> Column | None:
        """How a column was made; None where there was none of that name."""
        return columns.find(self.made, name)


def configurations(
    site: Site, past: Past, only: Collection[int] | None = None, *, tried: bool = False
) -> list[Configuration]:
    """The configurations of a dataset's curations that made a version, oldest first.

    Args:
        site: the opened lake.
        past: the dataset's.
        only: just of these curations.
        tried: also those under which no version was made; what was rejected was so under them.
    """
    schemas = site.ledger.get_artifacts(type="Schema", context=("Dataset", past.dataset))
    users: dict[int, list[int]] = {schema.id: [] for schema in schemas}
    for event in site.ledger.get_events(artifact_ids=users, types=[EventType.INPUT]):
        if event.execution_id in past.made and (only is None or event.execution_id in only):
            users[event.artifact_id].append(event.execution_id)
    return [_configuration(site, past, schema, users[schema.id]) for schema in schemas if tried or users[schema.id]]


def _configuration(site: Site, past: Past, schema: Artifact, executions: list[int]) -> Configuration:
    features = json.loads(str(schema.properties["features"]))["features"]
    recorded = schema.properties.get("columns")
    now = site.config.datasets.get(past.dataset)
    return Configuration(
        past.dataset,
        str(schema.properties.get("source") or next(iter(now.source_names if now else ()), "")),
        {name: Column("function", (ALL,), by=_UNKNOWN) for name in features}
        if recorded is None
        else columns.from_json(str(recorded)),
        frozenset(name for name, feature in features.items() if feature.get("personal")),
        tuple(executions),
        past.overall(executions) if executions else _NOWHERE,
        tuple(json.loads(str(schema.properties.get("inputs", "[]")))),
    )
