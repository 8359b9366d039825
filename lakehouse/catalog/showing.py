"""One thing of a lake in full."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from lakehouse import measured, timeline
from lakehouse.catalog.entries import Detail, Failure, FeatureEntry, Freshness
from lakehouse.catalog.listing import dataset_entry, feature_set_entry, job_entry, listing
from lakehouse.catalog.using import configured, made_from, uses
from lakehouse.config import Dataset, FeatureName
from lakehouse.errors import ConfigError, NotFoundError, StorageError, nearest
from lakehouse.metadata import Total
from lakehouse.records import Artifact, Execution, ExecutionState, RawFile, Version, fidelity_of, raw_id
from lakehouse.schema import Domain, Feature, FeatureType
from lakehouse.site import Site
from lakehouse.timeline import Timeline
from lakehouse.units import written
from lakehouse.validation.statistics import FeatureStatistics

__all__ = ["SHOWN", "show"]

SHOWN = 20
"""Raw files, versions and failures that are shown unless more are asked for."""

_WHOLE = 64  # characters of a raw file's hash
_TOP = 5  # frequent values of a feature
_SEVERAL = 1000  # raw files that a beginning may stand for


def show(
    site: Site, name: str, kind: str | None = None, *, limit: int | None = SHOWN, raw: Sequence[str] = ()
) -> Detail:
    """One source, dataset, job, feature set, feature or subject in full.

    Args:
        site: the opened lake.
        name: its name; of a feature ``aviation/flights:dep_delay``. A subject is meant where nothing else has the name.
        kind: ``source``, ``dataset``, ``job``, ``feature_set``, ``feature`` or ``subject``; needed only where two
            share a name.
        limit: how many raw files, versions, failures and users; None for all.
        raw: of a source's raw files just those whose sha256 is one of these, or begins so.

    Raises:
        NotFoundError: nothing has that name.
        ConfigError: several things have it, and ``kind`` says none of them.
    """
    config = site.config
    if kind in (None, "feature") and ":" in name:
        return _show_feature(site, name, limit)
    known: dict[str, Collection[str]] = {
        "dataset": config.datasets,
        "source": config.sources,
        "job": config.jobs,
        "feature_set": config.feature_sets,
        "subject": {dataset.subject for dataset in config.datasets.values()},
        "feature": (),
    }
    if kind is not None and kind not in known:
        raise ConfigError(f"there is no kind '{kind}'.{nearest(kind, known)}")
    kinds = [k for k in known if name in known[k] and kind in (None, k)]
    if not kinds:
        everything = [n for k, names in known.items() if kind in (None, k) for n in names]
        what = (kind or "source, dataset, job, feature set or subject").replace("_", " ")
        raise NotFoundError(f"no {what} '{name}'.{nearest(name, everything) or ' The configuration has none.'}")
    if len(kinds) > 1 and "subject" in kinds:
        kinds.remove("subject")
    if len(kinds) > 1:
        raise ConfigError(f"'{name}' is a {' and a '.join(kinds)}; say which one is meant by its kind")
    match kinds[0]:
        case "dataset":
            return _show_dataset(site, name, limit)
        case "source":
            return _show_source(site, name, limit, raw)
        case "feature_set":
            return _show_feature_set(site, name)
        case "subject":
            return _show_subject(site, name)
        case _:
            return _show_job(site, name)


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
        "source": dataset.source or None,
        "sources": {
            source: feed.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for source, feed in dataset.sources.items()
        },
        "format": dict(dataset.format),
        "inputs": list(dataset.inputs),
        "sql": dataset.sql,
        "owner": dataset.owner,
        "labels": list(dataset.labels),
        "purpose": dataset.purpose,
        "history": dataset.history,
        "keys": list(dataset.keys),
        "event_time": dataset.event_time,
        "delete_when": dataset.delete_when,
        "on_changed_file": "correct" if dataset.corrects else "append",
        "snapshot_time": dataset.snapshot_time if dataset.history == "snapshots" else None,
        "max_deleted": str(dataset.deletable) if dataset.history == "snapshots" else None,
        "retention": None if dataset.retention is None else _retention(site, dataset, dataset.retention),
        "max_rejected": None if dataset.max_rejected is None else str(dataset.max_rejected),
        "rename": dict(dataset.rename),
        "derive": dict(dataset.derive),
        "codes": {name: table.plain() for name, table in dataset.codes.items()},
        "curate": dataset.curate,
        "columns": {name: list(inputs) for name, inputs in dataset.columns.items()},
        "partition_by": list(dataset.partition_by),
        "new_columns": dataset.new_columns,
        "missing_columns": dataset.missing_columns,
        "validation": dataset.validation.model_dump(mode="json", exclude_defaults=True),
    }
    features = tuple(_feature(path, feature) for path, feature in dataset.schema.paths().items())
    failures = _refusals(site, dataset.source_names, past, limit)
    return Detail(
        "dataset",
        name,
        dataset.description,
        settings,
        features,
        past.newest(limit),
        failures=failures,
        freshness=_freshness(site, dataset, past),
        used_by=uses(site, name, limit=limit),
    )


def _retention(site: Site, dataset: Dataset, kept: timedelta) -> str:
    """How long it is to be kept, and what is older."""
    found = timeline.overdue(site, dataset)
    return written(kept) if found is None else f"{written(kept)}; {found}"


def _feature(name: str, feature: Feature) -> FeatureEntry:
    domain = "" if feature.domain is None else _domain(feature.domain)
    return FeatureEntry(name, feature.kind, str(feature.presence), domain, feature.description)


def _show_feature(site: Site, name: str, limit: int | None) -> Detail:
    """One feature: what it is, what is kept of its values, what it is made from, who uses it."""
    named, _, path = name.partition(":")
    dataset = site.config.dataset(named)
    known = dataset.schema.paths()
    if path not in known:
        raise NotFoundError(f"dataset '{named}' has no feature '{path}'.{nearest(path, known)}")
    feature, past = known[path], timeline.read(site.ledger, named)
    made = made_from(site, named, path)
    inputs = () if made is None else ("every column",) if not made.certain else made.inputs
    settings = {
        "type": feature.kind,
        "presence": str(feature.presence),
        "domain": "" if feature.domain is None else _domain(feature.domain),
        "unit": feature.unit,
        "personal": bool(dataset.schema.marks.get(path)),
        "key": path in dataset.keys,
        "event_time": path == dataset.event_time,
        "inputs": list(dataset.inputs),
        "sql": dataset.sql,
        "owner": dataset.owner,
        "labels": list(dataset.labels),
        "made_from": ", ".join(inputs),
        "made_by": "" if made is None else made.by or made.how,
    }
    return Detail(
        "feature",
        name,
        feature.description,
        settings,
        versions=past.newest(1),
        freshness=_freshness(site, dataset, past),
        statistics=_figures(site, dataset, past, path),
        used_by=uses(site, named, path.partition(".")[0], limit=limit),
    )


def _show_feature_set(site: Site, name: str) -> Detail:
    """A feature set: what it takes, and how far behind the online store is."""
    one = site.config.feature_set(name)
    newest = timeline.newest(site.ledger, one.datasets)
    last = site.ledger.get_executions(
        type="Publish", state=ExecutionState.COMPLETE, context=("FeatureSet", name), newest_first=True, limit=1
    )
    settings = {
        "owner": one.owner,
        "labels": list(one.labels),
        "entity": list(one.entity),
        "ttl": feature_set_entry(one).ttl,
        "as_known": one.as_known,
        **({} if not last else _published(last[0], newest)),
    }
    features = tuple(feature for wanted in one.names for feature in _taken(site.config.dataset(wanted.dataset), wanted))
    datasets = tuple(dataset_entry(site.config.dataset(name), newest.get(name)) for name in one.datasets)
    return Detail("feature_set", name, one.description, settings, features, datasets=datasets)


def _taken(dataset: Dataset, wanted: FeatureName) -> Iterable[FeatureEntry]:
    """The features of a dataset that one name in a feature set means."""
    known = dataset.schema.features
    every = [name for name in known if name not in dataset.keys and name != dataset.event_time]
    for name in every if wanted.feature == "*" else [wanted.feature]:
        yield _feature(f"{dataset.name}:{name}", known[name])


def _published(execution: Execution, newest: Mapping[str, Version]) -> dict[str, Any]:
    """What the last publication of a feature set wrote, and what it is behind in."""
    read = dict(name.split("@") for name in json.loads(str(execution.properties["columns"])))
    behind = [f"{name}@{version.version}" for name, version in newest.items() if read.get(name) != str(version.version)]
    return {
        "published": {"at": execution.updated_at, "keys": execution.properties.get("total"), "versions": read},
        "behind": behind or "nothing",
    }


def _show_subject(site: Site, name: str) -> Detail:
    """A subject: its datasets, and what uses them."""
    told = listing(site, name)
    owners = sorted({dataset.owner for dataset in told.datasets if dataset.owner})
    own = {dataset.name for dataset in told.datasets}
    used = {use.what: use for dataset in own for use in configured(site, dataset) if use.what not in own}
    return Detail(
        "subject",
        name,
        "",
        {"owners": owners, "sources": [source.name for source in told.sources]},
        datasets=told.datasets,
        used_by=tuple(used[what] for what in sorted(used)),
    )


def _freshness(site: Site, dataset: Dataset, past: Timeline) -> Freshness | None:
    if past.last is None:
        return None
    found = _kept(site, dataset, past, dataset.event_time) if dataset.event_time else None
    newest = None if found is None else found.high
    return Freshness(past.last.committed_at, newest if isinstance(newest, datetime) else None)


def _kept(site: Site, dataset: Dataset, past: Timeline, feature: str) -> FeatureStatistics | None:
    """What the kept statistics of a dataset's newest version say of a feature."""
    if past.last is None:
        return None
    # What is damaged is told by `check`; a dataset can be shown without.
    with contextlib.suppress(StorageError):
        private = measured.private(dataset, site.config)
        return measured.of_version(site, past, past.last, dataset.schema, private).features.get(feature)
    return None


def _figures(site: Site, dataset: Dataset, past: Timeline, path: str) -> dict[str, Any]:
    """What the kept statistics say of a feature, by name; of a personal one only how many."""
    found = _kept(site, dataset, past, path)
    if found is None:
        return {}
    told: dict[str, Any] = {"rows": found.rows, "missing": found.missing}
    if found.personal:
        return told
    distinct, numbers = found.distinct, found.numbers
    if found.type is not FeatureType.STRUCT:
        told["distinct"] = distinct.count
        told["exact"] = distinct.exact
    if numbers is not None:
        told |= {"min": numbers.min, "max": numbers.max, "mean": numbers.mean, "median": numbers.median}
        told |= {"std": numbers.std, "zeros": numbers.zeros}
    elif found.low is not None:
        told |= {"min": found.low, "max": found.high}
    else:
        told["top"] = [value for value, _ in found.top(_TOP)]
    return told


def _show_job(site: Site, name: str) -> Detail:
    job = site.config.job(name)
    settings = {
        "datasets": list(job.datasets),
        "sources": list(dict.fromkeys(s for name in job.datasets for s in site.config.dataset(name).source_names)),
        "schedule": job_entry(job).schedule,
        "enabled": job.enabled,
        "retries": {"attempts": job.retries.attempts, "backoff": written(job.retries.backoff)},
        "timeout": None if job.timeout is None else written(job.timeout),
        "misfire_grace": written(job.misfire_grace),
    }
    return Detail("job", name, job.description, settings)


def _newest(site: Site, source: str, limit: int | None) -> list[RawFile]:
    found = site.ledger.get_artifacts(type="RawFile", context=("Source", source), newest_first=True, limit=limit)
    return [_raw(artifact) for artifact in found]


def _chosen(site: Site, source: str, only: Sequence[str]) -> list[RawFile]:
    known = {sha for begin in only if len(begin) < _WHOLE for _, sha in site.ledger.raw_files(begin, _SEVERAL)}
    ids = [raw_id(source, sha) for sha in (*known, *(sha for sha in only if len(sha) == _WHOLE))]
    return [_raw(artifact) for artifact in site.ledger.get_artifacts(type="RawFile", external_ids=ids)]


def _refusals(site: Site, sources: Sequence[str], past: Timeline, limit: int | None) -> tuple[Failure, ...]:
    """What a dataset's curations refused last: files, or all of a batch."""
    made = {execution.id: execution for execution in past.refusing(limit)}
    hashes = {sha for e in made.values() for sha in json.loads(str(e.properties.get("refused", "{}")))}
    raw = [file for source in sources for file in _chosen(site, source, list(hashes))] if hashes else []
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
        fidelity_of(artifact.custom_properties),
    )


def _failures(executions: Iterable[Execution], names: Mapping[str, str]) -> Iterable[Failure]:
    for execution in executions:
        at = execution.updated_at or execution.created_at
        if execution.state is ExecutionState.FAILED:
            yield Failure(at, execution.id, "", str(execution.properties.get("error", "it is not known why")))
        for sha256, reason in json.loads(str(execution.properties.get("refused", "{}"))).items():
            yield Failure(at, execution.id, f"{sha256[:12]} {names.get(sha256, '')}".strip(), str(reason))
