"""What is in a lake: its sources, datasets and jobs at a glance, and one of them in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lakehouse import timeline
from lakehouse.config import Dataset, Job
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.records import Artifact, Execution, ExecutionState, RawFile, Version
from lakehouse.site import Site
from lakehouse.sources.units import written

__all__ = ["DatasetEntry", "Detail", "Failure", "FeatureEntry", "JobEntry", "Listing", "SourceEntry", "listing", "show"]


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
        versions: a dataset's, oldest first.
        raw: a source's raw files, newest first.
        failures: what failed or was refused and why, oldest first; superseded curations too.
    """

    kind: str
    name: str
    description: str
    settings: Mapping[str, Any]
    features: tuple[FeatureEntry, ...] = ()
    versions: tuple[Version, ...] = ()
    raw: tuple[RawFile, ...] = ()
    failures: tuple[Failure, ...] = ()


def listing(site: Site) -> Listing:
    """All sources, datasets and jobs, by name."""
    config = site.config
    return Listing(
        str(config.root),
        tuple(_source(site, name, _raw_files(site, name)) for name in sorted(config.sources)),
        tuple(
            _dataset(config.datasets[name], timeline.read(site.ledger, name).versions)
            for name in sorted(config.datasets)
        ),
        tuple(_job(config.jobs[name]) for name in sorted(config.jobs)),
    )


def show(site: Site, name: str, kind: str | None = None) -> Detail:
    """One source, dataset or job in full.

    Args:
        site: the opened lake.
        name: of the source, dataset or job.
        kind: ``source``, ``dataset`` or ``job``; needed only where a source and a job share a name.

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
        return _show_dataset(site, name)
    return _show_source(site, name) if kinds[0] == "source" else _show_job(site, name)


def _show_source(site: Site, name: str) -> Detail:
    raw = _raw_files(site, name)
    dumped = site.config.source(name).model_dump(mode="json", exclude_defaults=True, exclude={"description"})
    settings = json.loads(site.config.redact(json.dumps(dumped, default=str)))
    ended = site.ledger.get_executions(type="Land", state=ExecutionState.FAILED, context=("Source", name))
    newest = tuple(sorted(raw, key=lambda file: (file.landed_at, file.id), reverse=True))
    description = site.config.source(name).description
    return Detail("source", name, description, settings, raw=newest, failures=tuple(_failures(ended, {})))


def _show_dataset(site: Site, name: str) -> Detail:
    dataset = site.config.dataset(name)
    past = timeline.read(site.ledger, name)
    names = {file.sha256: file.name for file in _raw_files(site, dataset.source)}
    settings = {
        "source": dataset.source,
        "owner": dataset.owner,
        "history": dataset.history,
        "keys": list(dataset.keys),
        "event_time": dataset.event_time,
        "max_rejected": None if dataset.max_rejected is None else str(dataset.max_rejected),
        "rename": dict(dataset.rename),
        "derive": dict(dataset.derive),
        "curate": dataset.curate,
        "partition_by": list(dataset.partition_by),
        "new_columns": dataset.new_columns,
        "missing_columns": dataset.missing_columns,
    }
    features = tuple(
        FeatureEntry(
            feature,
            str(said["type"]),
            str(said.get("presence", "required")),
            json.dumps(said["domain"], ensure_ascii=False) if said.get("domain") else "",
            str(said.get("description") or ""),
        )
        for feature, said in dataset.schema.model_dump(mode="json", exclude_none=True)["features"].items()
    )
    failures = tuple(_failures(past.executions, names))
    return Detail("dataset", name, dataset.description, settings, features, past.versions, failures=failures)


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


def _source(site: Site, name: str, raw: Iterable[RawFile]) -> SourceEntry:
    source, files = site.config.source(name), list(raw)
    return SourceEntry(
        name,
        source.type,
        source.description,
        len(files),
        sum(file.size for file in files),
        max((file.landed_at for file in files), default=None),
    )


def _dataset(dataset: Dataset, versions: tuple[Version, ...]) -> DatasetEntry:
    last = versions[-1] if versions else None
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


def _raw_files(site: Site, source: str) -> list[RawFile]:
    return [_raw(artifact) for artifact in site.ledger.get_artifacts(type="RawFile", context=("Source", source))]


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
