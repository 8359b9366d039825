"""What is in a lake: its sources, datasets and jobs at a glance, and one of them in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lakehouse import timeline
from lakehouse.config import Dataset, Job
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.metadata import Total
from lakehouse.records import Artifact, Execution, ExecutionState, RawFile, Version, raw_id
from lakehouse.schema import Domain
from lakehouse.site import Site
from lakehouse.sources import Source
from lakehouse.timeline import Timeline
from lakehouse.units import written

__all__ = [
    "SHOWN",
    "DatasetEntry",
    "Detail",
    "Failure",
    "FeatureEntry",
    "JobEntry",
    "Listing",
    "SourceEntry",
    "listing",
    "show",
]

SHOWN = 20
"""Raw files, versions and failures that are shown unless more are asked for."""

_WHOLE = 64  # characters of a raw file's hash
_SEVERAL = 1000  # raw files that a beginning may stand for


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source at a glance. ``size`` is bytes, of its raw files."""

    name: str
    type: str
    description: str
    files: int
    size: int
    landed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset at a glance; ``version`` is None before the first."""

    name: str
    source: str
    description: str
    version: int | None
    rows: int
    rejected: int
    committed_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job at a glance; ``schedule`` as a person would say it."""

    name: str
    datasets: tuple[str, ...]
    description: str
    schedule: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything a lake has."""

    root: str
    sources: tuple[SourceEntry, ...]
    datasets: tuple[DatasetEntry, ...]
    jobs: tuple[JobEntry, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A landing or curation that failed, or one file that a curation refused.

    Attributes:
        where: the raw file's hash and name; "" when the whole step failed.
    """

    at: datetime | None
    execution: int
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class FeatureEntry:
    """One feature of a schema, as texts."""

    name: str
    type: str
    presence: str
    domain: str
    description: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A source, dataset or job in full.

    Attributes:
        kind: ``source``, ``dataset`` or ``job``.
        settings: what its YAML says beside the description and the schema; secrets hidden.
        features: a dataset's schema.
        versions: a dataset's newest ones, oldest first.
        files: how many raw files a source has.
        size: their bytes.
        raw: the newest of them, newest first, or those asked for.
        failures: what failed or was refused last and why, oldest first; superseded curations too.
    """

    kind: str
    name: str
    description: str
    settings: Mapping[str, Any]
    features: tuple[FeatureEntry, ...] = ()
    versions: tuple[Version, ...] = ()
    files: int = 0
    size: int = 0
    raw: tuple[RawFile, ...] = ()
    failures: tuple[Failure, ...] = ()


def listing(site: Site) -> Listing:
    """All sources, datasets and jobs, by name."""
    config = site.config
    totals, newest = site.ledger.totals(config.sources), timeline.newest(site.ledger, config.datasets)
    return Listing(
        str(config.root),
        tuple(_source(config.sources[name], name, totals.get(name, Total())) for name in sorted(config.sources)),
        tuple(_dataset(config.datasets[name], newest.get(name)) for name in sorted(config.datasets)),
        tuple(_job(config.jobs[name]) for name in sorted(config.jobs)),
    )


def show(
    site: Site, name: str, kind: str | None = None, *, limit: int | None = SHOWN, raw: Sequence[str] = ()
) -> Detail:
    """One source, dataset or job in full.

    Args:
        site: the opened lake.
        name: of the source, dataset or job.
        kind: ``source``, ``dataset`` or ``job``; needed only where a source and a job share a name.
        limit: how many raw files, versions and failures; None for all.
        raw: of a source's raw files just those whose sha256 is one of these, or begins so.

    Raises:
        NotFoundError: nothing has that name.
        ConfigError: a source and a job have it, and ``kind`` says neither.
    """
    config = site.config
    known: dict[str, Mapping[str, Any]] = {"dataset": config.datasets, "source": config.sources, "job": config.jobs}
    if kind is not None and kind not in known:
        raise ConfigError(f"there is no kind '{kind}'.{nearest(kind, known)}")
    kinds = [k for k in known if name in known[k] and kind in (None, k)]
    if not kinds:
        everything = [n for k, names in known.items() if kind in (None, k) for n in names]
        what = kind or "source, dataset or job"
        raise NotFoundError(f"no {what} '{name}'.{nearest(name, everything) or ' The configuration has none.'}")
    if len(kinds) > 1:
        raise ConfigError(f"'{name}' is a {' and a '.join(kinds)}; say which one is meant by its kind")
    if kinds[0] == "dataset":
        return _show_dataset(site, name, limit)
    return _show_source(site, name, limit, raw) if kinds[0] == "source" else _show_job(site, name)


def _show_source(site: Site, name: str, limit: int | None, only: Sequence[str]) -> Detail:
    raw = _chosen(site, name, only) if only else _newest(site, name, limit)
    total = site.ledger.totals([name]).get(name, Total())
    dumped = site.config.source(name).model_dump(mode="json", exclude_defaults=True, exclude={"description"})
    settings = json.loads(site.config.redact(json.dumps(dumped, default=str)))
    failed = site.ledger.get_executions(
        type="Land", state=ExecutionState.FAILED, context=("Source", name), newest_first=True, limit=limit
    )
    failures = tuple(_failures(reversed(failed), {}))
    description = site.config.source(name).description
    return Detail(
        "source", name, description, settings, files=total.files, size=total.size, raw=tuple(raw), failures=failures
    )


def _domain(domain: Domain) -> str:
    return json.dumps(domain.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def _show_dataset(site: Site, name: str, limit: int | None) -> Detail:
    dataset = site.config.dataset(name)
    past = timeline.read(site.ledger, name)
    settings = {
        "source": dataset.source,
        "owner": dataset.owner,
        "purpose": dataset.purpose,
        "history": dataset.history,
        "keys": list(dataset.keys),
        "event_time": dataset.event_time,
        "max_rejected": None if dataset.max_rejected is None else str(dataset.max_rejected),
        "rename": dict(dataset.rename),
        "derive": dict(dataset.derive),
        "curate": dataset.curate,
        "columns": {name: list(inputs) for name, inputs in dataset.columns.items()},
        "partition_by": list(dataset.partition_by),
        "new_columns": dataset.new_columns,
        "missing_columns": dataset.missing_columns,
        "validation": dataset.validation.model_dump(mode="json", exclude_defaults=True),
    }
    features = tuple(
        FeatureEntry(
            path,
            feature.kind,
            str(feature.presence),
            "" if feature.domain is None else _domain(feature.domain),
            feature.description,
        )
        for path, feature in dataset.schema.paths().items()
    )
    failures = _refusals(site, dataset.source, past, limit)
    return Detail("dataset", name, dataset.description, settings, features, past.newest(limit), failures=failures)


def _show_job(site: Site, name: str) -> Detail:
    job = site.config.job(name)
    settings = {
        "datasets": list(job.datasets),
        "sources": list(dict.fromkeys(site.config.dataset(dataset).source for dataset in job.datasets)),
        "schedule": _job(job).schedule,
        "enabled": job.enabled,
        "retries": {"attempts": job.retries.attempts, "backoff": written(job.retries.backoff)},
        "timeout": None if job.timeout is None else written(job.timeout),
        "misfire_grace": written(job.misfire_grace),
    }
    return Detail("job", name, job.description, settings)


def _source(source: Source, name: str, total: Total) -> SourceEntry:
    return SourceEntry(name, source.type, source.description, total.files, total.size, total.landed_at)


def _dataset(dataset: Dataset, last: Version | None) -> DatasetEntry:
    return DatasetEntry(
        dataset.name,
        dataset.source,
        dataset.description,
        None if last is None else last.version,
        0 if last is None else last.total,
        0 if last is None else last.rejected,
        None if last is None else last.committed_at,
    )


def _job(job: Job) -> JobEntry:
    if job.schedule is not None:
        schedule = f"{job.schedule} {job.timezone}"
    elif job.every is not None:
        schedule = f"every {written(job.every)}"
    else:
        schedule = "by hand"
    return JobEntry(job.name, job.datasets, job.description, schedule, job.enabled)


def _newest(site: Site, source: str, limit: int | None) -> list[RawFile]:
    found = site.ledger.get_artifacts(type="RawFile", context=("Source", source), newest_first=True, limit=limit)
    return [_raw(artifact) for artifact in found]


def _chosen(site: Site, source: str, only: Sequence[str]) -> list[RawFile]:
    known = {sha for begin in only if len(begin) < _WHOLE for _, sha in site.ledger.raw_files(begin, _SEVERAL)}
    ids = [raw_id(source, sha) for sha in (*known, *(sha for sha in only if len(sha) == _WHOLE))]
    return [_raw(artifact) for artifact in site.ledger.get_artifacts(type="RawFile", external_ids=ids)]


def _refusals(site: Site, source: str, past: Timeline, limit: int | None) -> tuple[Failure, ...]:
    """What a dataset's curations refused last: files, or all of a batch."""
    made = {execution.id: execution for execution in past.refusing(limit)}
    hashes = {sha for e in made.values() for sha in json.loads(str(e.properties.get("refused", "{}")))}
    raw = _chosen(site, source, list(hashes)) if hashes else []
    found = tuple(_failures((made[id_] for id_ in sorted(made)), {file.sha256: file.name for file in raw}))
    return found if limit is None else found[-limit:]


def _raw(artifact: Artifact) -> RawFile:
    p = artifact.properties
    return RawFile(
        artifact.id,
        str(p["source"]),
        str(p["sha256"]),
        int(str(p["size"])),
        str(p["name"]),
        artifact.uri,
        datetime.fromisoformat(str(p["landed_at"])),
    )


def _failures(executions: Iterable[Execution], names: Mapping[str, str]) -> Iterable[Failure]:
    for execution in executions:
        at = execution.updated_at or execution.created_at
        if execution.state is ExecutionState.FAILED:
            yield Failure(at, execution.id, "", str(execution.properties.get("error", "it is not known why")))
        for sha256, reason in json.loads(str(execution.properties.get("refused", "{}"))).items():
            yield Failure(at, execution.id, f"{sha256[:12]} {names.get(sha256, '')}".strip(), str(reason))
