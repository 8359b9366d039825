"""All things of a lake at a glance."""

from __future__ import annotations

from lakehouse import timeline
from lakehouse.catalog.entries import DatasetEntry, FeatureSetEntry, JobEntry, Listing, SourceEntry
from lakehouse.config import Dataset, FeatureSet, Job
from lakehouse.errors import NotFoundError, nearest
from lakehouse.metadata import Total
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.sources import Source
from lakehouse.units import written

__all__ = ["dataset_entry", "feature_set_entry", "job_entry", "listing", "subjects"]


def listing(site: Site, subject: str | None = None) -> Listing:
    """All sources, datasets, jobs and feature sets, by name.

    Args:
        site: the opened lake.
        subject: only its datasets, and what feeds, refreshes and uses these.

    Raises:
        NotFoundError: no dataset has that subject.
    """
    config = site.config
    datasets = sorted(config.datasets if subject is None else subjects(site, subject))
    own = set(datasets)
    feeding = {source for name in datasets for source in config.datasets[name].source_names}
    sources = sorted(config.sources if subject is None else feeding)
    jobs = sorted(name for name, job in config.jobs.items() if subject is None or own & {*job.datasets})
    sets = sorted(name for name, one in config.feature_sets.items() if subject is None or own & {*one.datasets})
    totals, newest = site.ledger.totals(sources), timeline.newest(site.ledger, datasets)
    return Listing(
        str(config.root),
        tuple(_source(config.sources[name], name, totals.get(name, Total())) for name in sources),
        tuple(dataset_entry(config.datasets[name], newest.get(name)) for name in datasets),
        tuple(job_entry(config.jobs[name]) for name in jobs),
        tuple(feature_set_entry(config.feature_sets[name]) for name in sets),
    )


def subjects(site: Site, subject: str) -> list[str]:
    """The names of a subject's datasets.

    Raises:
        NotFoundError: no dataset has that subject.
    """
    found = [name for name, dataset in site.config.datasets.items() if dataset.subject == subject]
    if not found:
        known = {dataset.subject for dataset in site.config.datasets.values()}
        hint = nearest(subject, known) or " The configuration has no datasets."
        raise NotFoundError(f"no subject '{subject}'.{hint}")
    return found


def dataset_entry(dataset: Dataset, last: Version | None) -> DatasetEntry:
    """A dataset at a glance, with its newest version."""
    return DatasetEntry(
        dataset.name,
        ", ".join(dataset.source_names or dataset.inputs),
        dataset.description,
        None if last is None else last.version,
        0 if last is None else last.total,
        0 if last is None else last.rejected,
        None if last is None else last.committed_at,
        dataset.owner,
        dataset.labels,
        dataset.history,
    )


def job_entry(job: Job) -> JobEntry:
    """A job at a glance."""
    if job.schedule is not None:
        schedule = f"{job.schedule} {job.timezone}"
    elif job.every is not None:
        schedule = f"every {written(job.every)}"
    else:
        schedule = "by hand"
    return JobEntry(job.name, job.datasets, job.description, schedule, job.enabled)


def feature_set_entry(feature_set: FeatureSet) -> FeatureSetEntry:
    """A feature set at a glance."""
    ttl = feature_set.ttl
    by_dataset = ttl.items() if isinstance(ttl, dict) else ()
    shown = ", ".join(f"{name}: {written(age)}" for name, age in by_dataset) if isinstance(ttl, dict) else ""
    return FeatureSetEntry(
        feature_set.name,
        feature_set.entity,
        feature_set.features,
        shown if isinstance(ttl, dict) else written(ttl) if ttl else "",
        feature_set.description,
        feature_set.owner,
        feature_set.labels,
    )


def _source(source: Source, name: str, total: Total) -> SourceEntry:
    return SourceEntry(name, source.type, source.description, total.files, total.size, total.landed_at)
