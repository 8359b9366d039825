"""Integrity: whether the lake still keeps its promises, proved by reading all of it again.

Changes nothing. Raw files are hashed again, tables are held against their logs and the ledger, and
every row that was ever read must be found as a curated or a rejected one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import polars as pl

from lakehouse import tables, timeline
from lakehouse.errors import NotFoundError, StorageError
from lakehouse.records import Artifact, Execution, ExecutionState, Progress, printable
from lakehouse.site import Site
from lakehouse.storage import hash_file
from lakehouse.timeline import Timeline

__all__ = ["Problem", "check"]

_BACKUP = "bring it back from a backup of the lake"
_RAW_BACKUP = f"{_BACKUP}; or take the file away and land it again from its origin"
_FOREIGN = "find out which program wrote to the lake's folder, and bring the table back from a backup"
_UNKNOWN = (
    "the ledger may be older than the table: bring the ledger back from a backup first; "
    "only a table that no ledger of this lake ever knew may be moved elsewhere"
)
_LISTED = 5  # raw files named where several do not add up
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, StorageError)

Counts: TypeAlias = dict[tuple[int | None, str | None], int]
"""Rows by execution and raw file (sha256); None where somebody else wrote a row without them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a check found.

    Attributes:
        where: the file, table or execution, relative to the lake's root; safe to print.
        message: what is wrong.
        what_to_do: the next step.
        harmless: nothing is lost and nothing wrong is shown; only worth knowing.
    """

    where: str
    message: str
    what_to_do: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}. Next: {self.what_to_do}."


def check(site: Site) -> Iterator[Problem]:
    """Verify the ledger, every raw file, every table, and that no row was lost between them.

    Yields each problem when it is found. A running land or curate may show as harmless leftovers.

    Raises:
        MetadataError: the ledger cannot be read.
    """
    yield from _ledger(site)
    yield from _running(site)
    yield from _raw(site)
    names = sorted(context.name for context in site.ledger.get_contexts(type="Dataset"))
    for at, name in enumerate(names):
        site.report(Progress("check", "tables", at, len(names), "datasets"))
        yield from _dataset(site, name)
    yield from _foreign_tables(site, names)
    site.report(Progress("check", "tables", len(names), len(names), "datasets", finished=True))


def _problem(where: str, message: str, what_to_do: str, *, harmless: bool = False) -> Problem:
    return Problem(printable(where), printable(message), printable(what_to_do), harmless)


def _ledger(site: Site) -> Iterator[Problem]:
    """The database's own check of every page and index."""
    if found := site.ledger.damage():
        yield _problem("the ledger", f"its database is damaged: {'; '.join(found)}", _BACKUP)


def _running(site: Site) -> Iterator[Problem]:
    """Executions that are under way, or were when their process died."""
    for execution in site.ledger.get_executions(state=ExecutionState.RUNNING):
        about = {c.type: c.name for c in site.ledger.get_contexts(execution_id=execution.id)}
        landing = execution.type == "Land"
        subject = about.get("Source" if landing else "Dataset", "")
        command = f"lakehouse {'land' if landing else 'curate'} {subject}"
        then = "becomes visible" if execution.properties.get("plan") else "is cleaned up"
        yield _problem(
            f"execution:{execution.id}",
            f"this {execution.type} of '{subject}' is under way, or its process died",
            f"nothing while it runs; else it {then} at the next `{command}`",
            harmless=True,
        )


def _raw(site: Site) -> Iterator[Problem]:
    artifacts = site.ledger.get_artifacts(type="RawFile")
    total = len(artifacts)
    for at, artifact in enumerate(artifacts):
        if at % 100 == 0:
            site.report(Progress("check", "raw files", at, total, "files"))
        yield from _raw_file(site, artifact)
    site.report(Progress("check", "raw files", total, total, "files", finished=True))
    known = {(str(a.properties["source"]), str(a.properties["sha256"])) for a in artifacts}
    for source, sha in sorted({(s.source, s.sha256) for s in site.ledger.all_sightings()} - known):
        yield _problem(
            f"raw/{source}/{sha[:2]}/{sha}",
            "the ledger knows where this content was seen, but not the raw file itself",
            f"touch the file at its origin and run `lakehouse land {source}`: it is landed again",
        )
    yield from _unrecorded(site, {str(PurePosixPath(a.uri).parent): PurePosixPath(a.uri).name for a in artifacts})


def _raw_file(site: Site, artifact: Artifact) -> Iterator[Problem]:
    sha = str(artifact.properties["sha256"])
    try:
        if site.storage.digest(artifact.uri) != sha:
            yield _problem(artifact.uri, "no longer matches its hash: its bytes were changed", _RAW_BACKUP)
    except NotFoundError:
        yield _problem(artifact.uri, "is gone", _RAW_BACKUP)
    except StorageError as error:
        yield _problem(artifact.uri, str(error), _RAW_BACKUP)
    uri = str(PurePosixPath(artifact.uri).parent / "manifest.json")
    manifest = _manifest(site.storage.path(uri))
    wanted = {name: artifact.properties[name] for name in ("source", "sha256", "name", "size")}
    if manifest is None:
        yield _problem(uri, "is gone or damaged", _BACKUP)
    elif differing := [name for name, value in wanted.items() if manifest.get(name) != value]:
        yield _problem(uri, f"disagrees with the ledger on {', '.join(differing)}", _BACKUP)


def _manifest(file: Path) -> dict[str, object] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _unrecorded(site: Site, names: Mapping[str, str]) -> Iterator[Problem]:
    """What lies in the raw zone without a record; ``names`` has the file's name by its folder."""
    raw = site.storage.path("raw")
    for folder in sorted(raw.glob("*/*/*")) if raw.is_dir() else ():
        uri = folder.relative_to(site.storage.root).as_posix()
        source = folder.relative_to(raw).parts[0]
        if source == ".incoming":
            message, advice = (
                "was left by a landing that is under way or was killed",
                "nothing: the next landing sweeps it",
            )
            yield _problem(uri, message, advice, harmless=True)
        elif uri in names:
            if extra := {file.name for file in folder.iterdir()} - {names[uri], "manifest.json"}:
                yield _problem(
                    uri, f"holds files that no landing put there: {', '.join(sorted(extra))}", "take them out"
                )
        elif _whole(folder):
            message = "is whole but not recorded: its landing was killed"
            yield _problem(uri, message, f"run `lakehouse land {source}`: it is recorded then", harmless=True)
        else:
            yield _problem(
                uri, "was not put there by a landing", "take it out of the raw zone; land it if it is wanted"
            )


def _whole(folder: Path) -> bool:
    """Whether a raw file's folder is what a landing leaves."""
    manifest = _manifest(folder / "manifest.json") or {}
    try:
        return hash_file(folder / Path(str(manifest.get("name"))).name) == folder.name
    except OSError:
        return False


def _dataset(site: Site, name: str) -> Iterator[Problem]:
    past = timeline.read(site.ledger, name)
    rejected = any(e.properties.get("rejected") for e in past.executions if _complete(e))
    found: dict[str, Counts] = {"curated": {}, "quarantine": {}}
    readable = True
    for uri in (*_generations(past), f"quarantine/{name}"):
        table, zone = site.storage.path(uri), uri.partition("/")[0]
        if not tables.is_table(table):
            if zone == "curated" or rejected:
                yield _problem(uri, "the table is gone", _BACKUP)
                readable = False
            continue
        told = list(_table(uri, table))
        yield from told
        counts = _counted(table)
        if counts is None:
            readable = False
            if all(problem.harmless for problem in told):
                yield _problem(uri, "its rows cannot be read", _BACKUP)
        else:
            found[zone] |= counts
    if not readable:
        return  # what cannot be read cannot be counted
    yield from _versions(site, past)
    # Looked up after the rows were counted: a curation beside this check has made some of them.
    every = {execution.id for execution in site.ledger.get_executions(type="Curate", context=("Dataset", name))}
    under_way = every - {execution.id for execution in past.executions}
    yield from _conserved(past, under_way, found["curated"], found["quarantine"])


def _complete(execution: Execution) -> bool:
    return execution.state is ExecutionState.COMPLETE


def _generations(past: Timeline) -> list[str]:
    return list(dict.fromkeys(version.uri for version in past.versions))


def _table(uri: str, table: Path) -> Iterator[Problem]:
    """A table for itself: its log, its parts, and what lies beside them."""
    for fault in tables.faults(table):
        yield _problem(uri, fault.message, fault.what_to_do)
    with contextlib.suppress(StorageError):
        for stray in tables.strays(table):
            message = f"{stray} belongs to no version: a curation was killed, failed, or is under way"
            yield _problem(uri, message, "remove it, unless a curation is under way", harmless=True)


def _counted(table: Path) -> Counts | None:
    """Rows by execution and raw file; None where the table cannot be read."""
    try:
        groups = tables.scan(table).group_by("_execution", "_raw").len().collect(engine="streaming")
    except _UNREADABLE:
        return None
    return {(execution, raw): rows for execution, raw, rows in groups.iter_rows()}


def _versions(site: Site, past: Timeline) -> Iterator[Problem]:
    """Every version opens, and holds and shows as many rows as the ledger says."""
    by_id = {execution.id: execution for execution in past.executions}
    held: dict[str, int] = {}
    shown: dict[int, dict[str, int]] = {}
    total = 0
    for version in past.versions:
        where = f"{version.dataset}@{version.version}"
        held[version.uri] = held.get(version.uri, 0) + version.rows
        try:
            rows = tables.count(site.storage.path(version.uri), version.table_version)
        except StorageError as error:
            yield _problem(where, str(error), f"bring {version.uri}/_delta_log back from a backup of the lake")
        else:
            if rows != held[version.uri]:
                message = f"holds {rows:,} rows by its log, {held[version.uri]:,} by the ledger"
                yield _problem(where, message, f"bring {version.uri} back from a backup of the lake")
        maker = by_id.get(version.execution)
        if maker is None or maker.properties.get("version") != version.version:
            message = f"the ledger does not say that execution:{version.execution} made it"
            yield _problem(where, message, "bring the ledger back from a backup")
            return
        for old, raws in timeline.superseded(maker).items():
            for raw in list(shown.get(old, ())) if raws is None else raws:
                total -= shown.get(old, {}).pop(raw, 0)
        shown[maker.id] = {raw: read - rejected for raw, (read, rejected) in timeline.counts(maker).items()}
        total += sum(shown[maker.id].values())
        if total != version.total:
            message = f"shows {total:,} rows by its executions, {version.total:,} by its own record"
            yield _problem(where, message, "bring the ledger back from a backup")


def _conserved(past: Timeline, under_way: Collection[int], curated: Counts, rejected: Counts) -> Iterator[Problem]:
    """Rows read = rows curated + rows rejected, for every execution and raw file, by what the tables hold."""
    complete = {execution.id: execution for execution in past.executions if _complete(execution)}
    for execution in complete.values():
        counts, p = timeline.counts(execution), execution.properties
        read, bad = sum(read for read, _ in counts.values()), sum(bad for _, bad in counts.values())
        if (read, bad) != (p.get("read"), p.get("rejected")):
            message = f"read {p.get('read')} and rejected {p.get('rejected')} rows, but {read} and {bad} by its files"
            yield _problem(f"execution:{execution.id}", message, "bring the ledger back from a backup")
    expected: dict[tuple[int | None, str | None], tuple[int, int]] = {
        (e.id, raw): n for e in complete.values() for raw, n in timeline.counts(e).items()
    }
    failed = {e.id for e in past.executions} - set(complete)
    for zone, found in (("curated", curated), ("quarantine", rejected)):
        where = f"{zone}/{past.dataset}"
        for maker in sorted({e for e, _ in found} - {*complete, *under_way}, key=str):
            rows = sum(n for (e, _), n in found.items() if e == maker)
            if maker in failed and zone == "quarantine":
                message = f"holds {rows:,} rows of execution:{maker}, which failed; reads leave them out"
                yield _problem(where, message, "nothing", harmless=True)
            else:
                yield _problem(
                    where, f"holds {rows:,} rows that no completed execution made (execution:{maker})", _FOREIGN
                )
        wrong: dict[int, list[str]] = {}
        for key in sorted({*expected, *(k for k in found if k[0] in complete)}, key=str):
            read, bad = expected.get(key, (0, 0))
            wanted = bad if zone == "quarantine" else read - bad
            if found.get(key, 0) != wanted:
                wrong.setdefault(int(key[0] or 0), []).append(f"{found.get(key, 0):,} of {wanted:,} rows of {key[1]}")
        for identity, cases in wrong.items():
            more = f" and {len(cases) - _LISTED:,} more files" if len(cases) > _LISTED else ""
            message = f"rows of execution:{identity} do not add up: it holds {'; '.join(cases[:_LISTED])}{more}"
            yield _problem(where, message, _FOREIGN)


def _foreign_tables(site: Site, names: Sequence[str]) -> Iterator[Problem]:
    """Delta tables in the lake's zones that no dataset's record names."""
    known = {f"quarantine/{name}" for name in names} | {f"curated/{name}" for name in names}
    known |= {uri for name in names for uri in _generations(timeline.read(site.ledger, name))}
    for zone in ("curated", "quarantine"):
        for log in sorted(site.storage.path(zone).rglob("_delta_log")):
            uri = log.parent.relative_to(site.storage.root).as_posix()
            if uri not in known:
                dataset = uri.partition("/")[2].partition("~")[0]
                halfway = site.ledger.get_executions(
                    type="Curate", state=ExecutionState.RUNNING, context=("Dataset", dataset)
                )
                message = "a table that the ledger does not know"
                advice = f"run `lakehouse curate {dataset}`" if halfway else _UNKNOWN
                yield _problem(uri, message, advice, harmless=bool(halfway))
