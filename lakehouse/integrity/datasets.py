"""Datasets: their tables whole and only grown, every version known both ways, and no row lost between."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl

from lakehouse import tables, timeline
from lakehouse.errors import StorageError
from lakehouse.integrity.problems import BACKUP, REPAIR, Problem, problem
from lakehouse.records import MAKERS, Execution, ExecutionState, Value
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["check_dataset", "foreign_files", "outermost"]

_FOREIGN = "find out which program wrote to the lake's folder, and bring the table back from a backup"
_UNKNOWN = (
    f"{REPAIR}, if the ledger is older than the table; a table that no ledger of this lake ever knew may be moved "
    "elsewhere"
)
_LISTED = 5  # raw files named where several do not add up
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, StorageError)

Counts: TypeAlias = dict[tuple[int | None, str], int]
"""Rows by execution and raw file (sha256): "" for those of none, which were derived; None where somebody else wrote a
row without its execution."""


def check_dataset(site: Site, name: str) -> Iterator[Problem]:
    """Verify a dataset's tables, each for itself and against what the ledger says of them."""
    past = timeline.read(site.ledger, name)
    generations = _generations(past)  # before the executions: each version's is among them then
    rejected = any(e.properties.get("rejected") for e in past.executions if _complete(e))
    held: dict[str, Counts] = {"curated": {}, "quarantine": {}}
    rows: dict[str, Counts] = {}
    made: dict[str, list[tables.Made]] = {}
    readable = True
    for uri in (*generations, f"quarantine/{name}"):
        table, zone = site.storage.path(uri), uri.partition("/")[0]
        if not tables.is_table(table):
            if zone == "curated" or rejected:
                yield problem(uri, "the table is gone", BACKUP)
                readable = False
            continue
        told = list(_table(uri, table))
        yield from told
        made[uri] = list(tables.commits(table))
        counts = _counted(table)
        if counts is None:
            readable = False
            if all(one.harmless for one in told):
                yield problem(uri, "its rows cannot be read", BACKUP)
        else:
            held[zone] |= counts
            rows[uri] = counts
    # Looked up after the tables were read: a curation beside this check has made some of them.
    every = {execution.id for execution in site.ledger.get_executions(type=MAKERS, context=("Dataset", name))}
    under_way = every - {execution.id for execution in past.executions}
    yield from _known(site, past, made, under_way)
    if readable:  # what cannot be read cannot be counted
        yield from _versions(past, rows)
        yield from _conserved(past, under_way, held["curated"], held["quarantine"])


def _complete(execution: Execution) -> bool:
    return execution.state is ExecutionState.COMPLETE


def _generations(past: Timeline) -> list[str]:
    return list(dict.fromkeys(version.uri for version in past.versions))


def _table(uri: str, table: Path) -> Iterator[Problem]:
    """A table for itself: its log, its parts, and what lies beside them."""
    for fault in tables.faults(table):
        yield problem(uri, fault.message, fault.what_to_do, harmless=fault.harmless)
    for foreign in tables.foreign(table):
        yield problem(f"{uri}/{foreign}", "is a file that the lake did not put there", "take it out")
    with contextlib.suppress(StorageError):
        for stray in tables.strays(table):
            yield _stray(f"{uri}/{stray}")


def _stray(uri: str) -> Problem:
    message = "this part belongs to no version: a curation or optimization was killed, failed, or is under way"
    return problem(uri, message, "remove it, unless one is under way", harmless=True)


def _counted(table: Path) -> Counts | None:
    """Rows by execution and raw file; None where the table cannot be read."""
    try:
        groups = tables.scan(table).group_by("_execution", "_raw").len().collect(engine="streaming")
    except _UNREADABLE:
        return None
    return {(execution, raw or ""): rows for execution, raw, rows in groups.iter_rows()}


def _known(
    site: Site, past: Timeline, made: dict[str, list[tables.Made]], under_way: Collection[int]
) -> Iterator[Problem]:
    """Every version of every table is one the ledger knows, and made by the execution that it names."""
    quarantined = site.ledger.get_artifacts(type="QuarantineVersion", context=("Dataset", past.dataset))
    known = {(v.uri, v.table_version): v.execution for v in past.versions}
    known |= {
        (a.uri, int(str(a.properties["table_version"]))): int(str(a.properties["execution"])) for a in quarantined
    }
    failed = {e.id for e in past.executions if not _complete(e)}
    later = {(uri, commit.number) for uri in made for commit in made[uri] if commit.execution in under_way}
    optimized = {e.id for e in site.ledger.get_executions(type=tables.KIND, context=("Dataset", past.dataset), only=())}
    for uri, commits in made.items():
        for commit in commits:
            if commit.note.get("lakehouse.kind") == tables.KIND and commit.execution in optimized:
                continue  # it made no version of the dataset
            maker = known.pop((uri, commit.number), None)
            if maker == commit.execution or (uri, commit.number) in later:
                continue
            if maker is not None:
                message = (
                    f"version {commit.number} is of execution:{commit.execution}, by the ledger of execution:{maker}"
                )
                yield problem(uri, message, _FOREIGN)
            elif commit.execution not in failed:
                message = (
                    f"version {commit.number}, of execution:{commit.execution}, is one that the ledger does not know"
                )
                yield problem(uri, message, REPAIR)
    first = {uri: tables.since(site.storage.path(uri)) for uri in made}
    for (uri, number), maker in known.items():
        if uri in made and number >= first[uri]:  # of those before only a checkpoint tells
            yield problem(uri, f"has no version {number}, which execution:{maker} made", BACKUP)


class _Upto:
    """How many rows a table holds of an execution and all before it."""

    def __init__(self, counts: Counts) -> None:
        by_execution: Counter[int] = Counter()
        for (execution, _), rows in counts.items():
            if execution is not None:  # a row of somebody else's is told of itself
                by_execution[execution] += rows
        self._executions = sorted(by_execution)
        self._sums = [0, *itertools.accumulate(by_execution[execution] for execution in self._executions)]

    def rows(self, execution: int) -> int:
        return self._sums[bisect.bisect_right(self._executions, execution)]


def _versions(past: Timeline, rows: Mapping[str, Counts]) -> Iterator[Problem]:
    """Every version answers with as many rows as the ledger says: those of its execution and of all before it."""
    upto = {uri: _Upto(counts) for uri, counts in rows.items()}
    by_id = {execution.id: execution for execution in past.executions}
    held: dict[str, int] = {}
    shown: dict[int, dict[str, int]] = {}
    total = 0
    for version in past.versions:
        where = f"{version.dataset}@{version.version}"
        held[version.uri] = held.get(version.uri, 0) + version.rows
        found = upto[version.uri].rows(version.execution)
        if found != held[version.uri]:
            message = f"holds {found:,} rows by its table, {held[version.uri]:,} by the ledger"
            yield problem(where, message, f"bring {version.uri} back from a backup of the lake")
        maker = by_id.get(version.execution)
        if maker is None or maker.properties.get("version") != version.version:
            message = f"the ledger does not say that execution:{version.execution} made it"
            yield problem(where, message, REPAIR)
            return
        for old, raws in timeline.superseded(maker).items():
            for raw in list(shown.get(old, ())) if raws is None else raws:
                total -= shown.get(old, {}).pop(raw, 0)
        shown[maker.id] = timeline.appended(maker)
        total += sum(shown[maker.id].values())
        if total != version.total:
            message = f"shows {total:,} rows by its executions, {version.total:,} by its own record"
            yield problem(where, message, REPAIR)


def _conserved(past: Timeline, under_way: Collection[int], curated: Counts, rejected: Counts) -> Iterator[Problem]:
    """Rows read = rows curated + rejected + unchanged + duplicates, for every execution, by what the tables hold."""
    complete = {execution.id: execution for execution in past.executions if _complete(execution)}
    for execution in complete.values():
        counts, p = timeline.counts(execution), execution.properties
        read, bad = sum(read for read, _ in counts.values()), sum(bad for _, bad in counts.values())
        if (read, bad) != (p.get("read"), p.get("rejected")):
            message = f"read {p.get('read')} and rejected {p.get('rejected')} rows, but {read} and {bad} by its files"
            yield problem(f"execution:{execution.id}", message, REPAIR)
        rows, silent = sum(timeline.appended(execution).values()), _number(p, "unchanged") + _number(p, "duplicates")
        if read + _number(p, "deleted") != rows + bad + silent:
            message = (
                f"read {read:,} rows and deleted {_number(p, 'deleted'):,} keys, but appended {rows:,}, "
                f"rejected {bad:,} and left out {silent:,}"
            )
            yield problem(f"execution:{execution.id}", message, REPAIR)
    expected: dict[str, dict[tuple[int | None, str], int]] = {
        "curated": {(e.id, raw): n for e in complete.values() for raw, n in timeline.appended(e).items()},
        "quarantine": {(e.id, raw): n for e in complete.values() for raw, (_, n) in timeline.counts(e).items()},
    }
    failed = {e.id for e in past.executions} - set(complete)
    for zone, found in (("curated", curated), ("quarantine", rejected)):
        where = f"{zone}/{past.dataset}"
        for maker in sorted({e for e, _ in found} - {*complete, *under_way}, key=str):
            rows = sum(n for (e, _), n in found.items() if e == maker)
            if maker in failed and zone == "quarantine":
                message = f"holds {rows:,} rows of execution:{maker}, which failed; reads leave them out"
                yield problem(where, message, "nothing", harmless=True)
            else:
                yield problem(
                    where, f"holds {rows:,} rows that no completed execution made (execution:{maker})", _FOREIGN
                )
        wrong: dict[int, list[str]] = {}
        for key in sorted({*expected[zone], *(k for k in found if k[0] in complete)}, key=str):
            wanted = expected[zone].get(key, 0)
            if found.get(key, 0) != wanted:
                wrong.setdefault(int(key[0] or 0), []).append(f"{found.get(key, 0):,} of {wanted:,} rows of {key[1]}")
        for identity, cases in wrong.items():
            more = f" and {len(cases) - _LISTED:,} more files" if len(cases) > _LISTED else ""
            message = f"rows of execution:{identity} do not add up: it holds {'; '.join(cases[:_LISTED])}{more}"
            yield problem(where, message, _FOREIGN)


def _number(properties: Mapping[str, Value], name: str) -> int:
    value = properties.get(name, 0)
    return value if isinstance(value, int) else 0


def foreign_files(site: Site, names: Sequence[str]) -> Iterator[Problem]:
    """Tables that no dataset's record names, and files outside of all tables."""
    known = {f"quarantine/{name}" for name in names} | {f"curated/{name}" for name in names}
    known |= {uri for name in names for uri in _generations(timeline.read(site.ledger, name))}
    for zone in ("curated", "quarantine"):
        for entry in outermost(site.storage.path(zone)):
            uri = entry.relative_to(site.storage.root).as_posix()
            if entry.suffix == ".parquet":
                yield _stray(uri)
            elif not entry.is_dir():
                yield problem(uri, "is a file that the lake did not put there", "take it out")
            elif uri not in known:
                dataset = uri.partition("/")[2].partition("~")[0]
                halfway = site.ledger.get_executions(
                    type=MAKERS, state=ExecutionState.RUNNING, context=("Dataset", dataset)
                )
                message = "a table that the ledger does not know"
                advice = f"run `lakehouse curate {dataset}`" if halfway else _UNKNOWN
                yield problem(uri, message, advice, harmless=bool(halfway))


def outermost(folder: Path) -> Iterator[Path]:
    """The tables below a folder, and the files that lie in none of them."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if tables.is_table(entry) or not entry.is_dir():
            yield entry
        else:
            yield from outermost(entry)
