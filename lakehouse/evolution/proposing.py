"""What a dataset's schema would have to be for a batch to pass, found in the batch's raw rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lakehouse import measured
from lakehouse.config import Dataset, Validation
from lakehouse.errors import FormatError
from lakehouse.evolution.judging import Rehearse
from lakehouse.schema import Feature, Presence, Rule, Schema, Severity
from lakehouse.site import Site
from lakehouse.validation.inference import Update, update_schema
from lakehouse.validation.statistics import Statistics

__all__ = ["proposed"]

_ASKED = ("domain", "domain_name", "valency", "unique", "drift", "skew", "severity", "on_error")
"""What a feature may ask beside its type and presence. A default asks nothing: what it fills passes."""
_LOOKS = 3
"""A column that holds more than its examples tell may be of another type again."""


def proposed(
    site: Site, dataset: Dataset, files: Sequence[tuple[Dataset, Path]], environment: str | None, rehearse: Rehearse
) -> tuple[Update, tuple[str, ...]]:
    """What to change so that a batch passes.

    Args:
        site: the opened lake.
        dataset: whose schema it is.
        files: the batch's raw files, each with the dataset as of its source alone.
        environment: of the schema, which the rows are of.
        rehearse: reads a local file as a curation would.

    Returns:
        The changes, and why files were not looked at.

    Raises:
        FormatError: none of the files can be read.
        SchemaError: the dataset's function or a derive expression does not fit them.
    """
    seen, unread = _seen(site, files, rehearse)
    update = update_schema(dataset.schema, seen, environment=environment)
    typed = Update(dataset.schema, (), dataset.schema)
    for _ in range(_LOOKS):
        if not (seen.broken and (types := update.types())):
            break
        # A row with a value that is none of its type could not be measured; by the type proposed it can.
        typed = typed.then(types)
        again, _ = _seen(site, [(_as_filed(one, typed.schema), path) for one, path in files], rehearse)
        seen = _with_computed(again, seen, dataset.schema)
        update = update_schema(typed.schema, seen, environment=environment)
    return typed.then(update), unread


def _seen(site: Site, files: Sequence[tuple[Dataset, Path]], rehearse: Rehearse) -> tuple[Statistics, tuple[str, ...]]:
    """What raw rows are like before anything was asked of them, and why files of them cannot be read."""
    bare: dict[str, Dataset] = {}
    found: Statistics | None = None
    unread: list[FormatError] = []
    for dataset, path in files:
        if dataset.source not in bare:
            bare[dataset.source] = dataclasses.replace(
                dataset,
                schema=_bare(dataset.schema, measured.private(dataset, site.config)),
                new_columns="add",
                missing_columns="allow",
                max_rejected=None,
                validation=Validation(),
            )
        try:
            with rehearse(site, bare[dataset.source], path, None) as batch:
                # Nothing but types was asked of its rows: what they break is for the schema to say.
                one = dataclasses.replace(batch.statistics, judged=False)
        except FormatError as error:
            unread.append(error)
        else:
            found = one if found is None else found + one
    if found is None:
        raise unread[0]
    return found, tuple(map(str, unread))


def _bare(schema: Schema, private: Collection[str]) -> Schema:
    """The schema with nothing asked but types, so that every row that can be read is seen.

    Personal values are not kept by statistics: what their domains reject is counted where they are read.
    """
    return Schema(features={name: _bare_feature(f, private=name in private) for name, f in schema.features.items()})


def _bare_feature(feature: Feature, *, private: bool) -> Feature:
    fields = {name: _bare_feature(inner, private=private) for name, inner in feature.fields.items()}
    kept = ("domain",) if private else ()
    # What it does not say stays unsaid: there is much that a struct may not even say the default of.
    unsaid = {name: None for name in _ASKED if name not in kept and getattr(feature, name) is not None}
    told = {"severity": {Rule.DOMAIN: Severity.WARNING}} if private and feature.domain is not None else {}
    return feature.model_copy(update={**unsaid, **told, "presence": Presence(), "fields": fields})


def _as_filed(dataset: Dataset, schema: Schema) -> Dataset:
    """The dataset without what is computed, which may not go with the types of another schema."""
    features = {name: feature for name, feature in schema.features.items() if not feature.computed}
    filed = schema.model_copy(update={"features": features})
    none: dict[str, Any] = {"derive": {}, "columns": {}, "keys": (), "event_time": None, "partition_by": ()}
    return dataclasses.replace(dataset, schema=filed, curate=None, **none)


def _with_computed(seen: Statistics, before: Statistics, schema: Schema) -> Statistics:
    """Statistics of what is in the files, with those of what was computed of the rows that could be."""
    computed = {path for name, one in schema.features.items() if one.computed for path, _ in one.descend(name)}
    kept = {path: before.features[path] for path in before.features if path in computed}
    return dataclasses.replace(seen, features={**seen.features, **kept})
