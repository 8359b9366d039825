"""Who uses a dataset or one feature of it: by the configuration, and by what the ledger saw read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from lakehouse import columns, references
from lakehouse.catalog.entries import Use
from lakehouse.metadata.neighbours import MAKES, READS
from lakehouse.records import MAKERS, Execution
from lakehouse.site import Site

__all__ = ["configured", "made_from", "uses"]

_VERSIONS = 200  # newest versions that were read, whose readers are looked up
_CONFIGURED = (*MAKERS, "Rebuild", "Optimize")  # told by the configuration, or no use at all
_KEPT = ("Statistics", "Anomalies", "TableVersion", "QuarantineVersion")  # no use of their own


def uses(site: Site, dataset: str, feature: str | None = None, *, limit: int | None = None) -> tuple[Use, ...]:
    """Who uses a dataset: what is configured to first, then the steps that read it and what they made.

    Args:
        site: the opened lake.
        dataset: its name.
        feature: only who uses this feature of it.
        limit: how many steps of one type, and artifacts, the newest.
    """
    return (*configured(site, dataset, feature), *_recorded(site, dataset, feature, limit))


def made_from(site: Site, dataset: str, feature: str) -> columns.Column | None:
    """What a feature was made from when the dataset was last curated; None where that is not known."""
    newest = site.ledger.get_artifacts(type="Schema", context=("Dataset", dataset), newest_first=True, limit=1)
    text = next((schema.properties.get("columns") for schema in newest), None)
    return None if text is None else columns.find(columns.from_json(str(text)), feature)


def configured(site: Site, dataset: str, feature: str | None = None) -> Iterator[Use]:
    """Who is configured to use a dataset, or a feature of it."""
    for name, other in sorted(site.config.datasets.items()):
        if dataset in other.upstream and (feature is None or _flows(site, f"{dataset}.{feature}", name)):
            yield Use("dataset", name)
    for name, one in sorted(site.config.feature_sets.items()):
        taken = one.datasets.get(dataset, ())
        if taken and (feature is None or feature in taken or "*" in taken):
            yield Use("feature_set", name)
    for name, job in sorted(site.config.jobs.items()):
        if feature is None and dataset in job.datasets:
            yield Use("job", name)


def _flows(site: Site, column: str, dataset: str) -> bool:
    """Whether a derived dataset was made from a column of another one, or perhaps was."""
    newest = site.ledger.get_artifacts(type="Schema", context=("Dataset", dataset), newest_first=True, limit=1)
    made = [one for s in newest for one in columns.from_json(str(s.properties.get("columns", "{}"))).values()]
    return not made or any(one.reads_from(column) for one in made)


def _recorded(site: Site, dataset: str, feature: str | None, limit: int | None) -> Iterator[Use]:
    ledger = site.ledger
    read = ledger.read_artifacts("TableVersion", f"{dataset}@")[-_VERSIONS:]
    versions = [artifact.id for artifact in ledger.get_artifacts(type="TableVersion", names=read)]
    found = ledger.neighbours("artifact", versions, READS, limit=limit, apart_from=_CONFIGURED)
    readers = {n.id for n in found if n.event in READS and not n.kept and n.kind not in _CONFIGURED}
    steps = [
        step
        for step in ledger.get_executions(ids=readers, only=["columns"])
        if feature is None or _reads(step, dataset, feature)
    ]
    by_type: dict[str, list[datetime | None]] = {}
    for step in steps:
        by_type.setdefault(step.type, []).append(step.created_at)
    for kind, moments in sorted(by_type.items()):
        yield Use("step", kind, len(moments), max((m for m in moments if m is not None), default=None))
    outputs = ledger.neighbours("execution", [step.id for step in steps], MAKES, limit=limit)
    made = [n.id for n in outputs if not n.kept and n.kind not in _KEPT]
    newest = sorted(ledger.get_artifacts(ids=made), key=lambda artifact: -artifact.id)
    told = dict.fromkeys(references.written(artifact).partition("@")[0] for artifact in newest)
    last = {references.written(artifact).partition("@")[0]: artifact.created_at for artifact in reversed(newest)}
    for name in list(told)[:limit]:
        yield Use("artifact", name, last=last[name])


def _reads(step: Execution, dataset: str, feature: str) -> bool:
    """Whether a step read a feature, by what it said of the columns that it reads; all where it said nothing."""
    told = json.loads(str(step.properties.get("columns", "{}")))
    of_dataset = [names for version, names in told.items() if version.partition("@")[0] == dataset]
    return not of_dataset or any(feature in names for names in of_dataset)
