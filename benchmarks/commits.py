"""A table of 10,000 small commits: opening and reading its newest and its older versions, before and after optimizing.

The commits are written by hand after the pattern of a real one, the log as Delta keeps it with a checkpoint every
100, the ledger's records likewise; the lake's own check must find nothing wrong with a small one made so.
``python benchmarks/commits.py [COMMITS]`` runs it alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from cases import Row, Setting
from deltalake import DeltaTable
from measuring import Ratio

from lakehouse import Lake, tables
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, Execution

__all__ = ["CASES"]

DATASET = "bench/ticks"
_COMMITS, _ROWS = 10_000, 10
_TOLERABLE = 0.3  # seconds to open any version
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_YAML = """
source: ticks
event_time: at
schema:
  features:
    at: {type: datetime}
    symbol: {type: string}
    price: {type: float}
"""


def commits(setting: Setting) -> Iterator[Row]:
    """Open and read versions of a table of 10,000 commits."""
    yield from measured(build(setting.work / "commits", _COMMITS if not setting.quick else 1000), setting.count)


def measured(project: Path, count: int) -> Iterator[Row]:
    """Each question by a lake just opened, after one that warmed up; seconds against what is tolerable."""
    with Lake(project / "configs") as lake:
        versions = lake.history(DATASET)
    last = versions[-1].version
    asked: list[tuple[str, int | None]] = [("newest", None), ("version 1", 1), ("version in the middle", last // 2)]
    for name, version in asked:
        yield Row(f"open {len(versions):,} commits: {name}", "ms", _timed(project, count, _opened(version)))
    yield Row("read version 1 of these: its 2 parts of all", "ms", _timed(project, count, _read(1)))
    table = project / f"data/curated/{DATASET}"
    before = tables.parts_until(table, versions[last // 2].execution)
    with Lake(project / "configs") as lake:
        began = time.process_time()
        done = lake.optimize(DATASET)
        spent = time.process_time() - began
        wanted = lake.read(DATASET, version=last // 2).height
    after = tables.parts_until(table, versions[last // 2].execution)
    print(
        f"optimize: {done.parts:,} parts by {done.written}, {spent:.1f} s CPU; version {last // 2} opens",
        file=sys.stderr,
    )
    print(f"{before[0]:,} of {before[1]:,} parts before, {after[0]} of {after[1]} after", file=sys.stderr)
    assert wanted == (last // 2 + 1) * _ROWS  # noqa: S101  # what is measured must be right
    yield Row("read the newest of these after optimize", "ms", _timed(project, count, _read(None)))


def _opened(version: int | None) -> Callable[[Lake], object]:
    return lambda lake: lake.scan(DATASET, version=version).collect_schema()


def _read(version: int | None) -> Callable[[Lake], object]:
    return lambda lake: lake.read(DATASET, version=version)


def _timed(project: Path, count: int, act: Callable[[Lake], object]) -> Ratio:
    found = []
    for _ in range(count + 1):
        with Lake(project / "configs") as lake:
            began = time.perf_counter()
            act(lake)
            found.append(time.perf_counter() - began)
    each = [seconds / _TOLERABLE for seconds in found[1:]]
    median = statistics.median(found[1:])
    return Ratio(median * 1000, _TOLERABLE * 1000, statistics.median(each), min(each), max(each))


def build(project: Path, count: int) -> Path:
    """A lake with so many commits of ten rows each; the first is made by the lake itself."""
    for name, text in {
        "lakehouse": "root: data\n",
        "sources/ticks": "type: files\npath: in/*.csv\nformat: {type: csv}\n",
        f"datasets/{DATASET}": _YAML,
    }.items():
        file = project / "configs" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (project / "in").mkdir()
    lines = "".join(f"2026-01-01T00:00:{n:02}Z,A{n},{n}.5\n" for n in range(_ROWS))
    (project / "in/0.csv").write_text(f"at,symbol,price\n{lines}")
    with Lake(project / "configs", clock=lambda: _BEGAN) as lake:
        lake.land("ticks")
        lake.curate(DATASET)
        (version,) = lake.history(DATASET)
        ledger = lake._site.ledger  # noqa: SLF001  # the records are written in bulk, below the front door
        (receipt,) = ledger.receipts([version.execution])
        table = project / f"data/curated/{DATASET}"
        for number in range(1, count):
            _commit(table, version.execution, number)
            if number % 100 == 0:
                DeltaTable(table).create_checkpoint()
        ledger.restore(_like(receipt, number) for number in range(1, count))
    return project


def _commit(table: Path, first: int, number: int) -> None:
    """A log entry like the first one, with a part of its own."""
    log = table / "_delta_log"
    entry = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    kept = [action for action in entry if action.keys() & {"commitInfo", "txn", "add"}]
    execution, at = first + number, _BEGAN + timedelta(minutes=number)
    add = next(action["add"] for action in kept if "add" in action)
    rows = pl.read_parquet(table / add["path"]).with_columns(
        at=pl.col("at") + timedelta(minutes=number),
        _execution=pl.lit(execution, pl.Int64),
        _recorded_at=pl.lit(at).cast(pl.Datetime("us", "UTC")),
    )
    part = table / "part.parquet"
    rows.write_parquet(part, compression="zstd", compression_level=1)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    name = f"{execution}-0-{digest}.parquet"
    size = part.rename(table / name).stat().st_size
    stats = json.loads(add["stats"])
    for bound in ("minValues", "maxValues"):
        moments = rows["at"].min() if bound == "minValues" else rows["at"].max()
        stats[bound] |= {"_execution": execution, "_recorded_at": _text(at), "at": _text(moments)}
    add |= {"path": name, "size": size, "stats": json.dumps(stats)}
    for action in kept:
        if "txn" in action:
            action["txn"]["version"] = number + 1
        if "commitInfo" in action:
            action["commitInfo"] |= {"lakehouse.execution": str(execution), "lakehouse.commit": f"made-{number}"}
    (log / f"{number:020}.json").write_text("".join(f"{json.dumps(action)}\n" for action in kept))


def _text(moment: object) -> str:
    assert isinstance(moment, datetime)  # noqa: S101  # no row is without
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _like(receipt: Receipt, number: int) -> Receipt:
    """The record of another curation after the pattern of one."""
    number_of, at = receipt.execution.id + number, _BEGAN + timedelta(minutes=number)

    def shifted(artifact: Artifact) -> Artifact:
        if artifact.type != "TableVersion":
            return artifact
        said = {
            "version": number,
            "table_version": number,
            "execution": number_of,
            "total": (number + 1) * _ROWS,
            "committed_at": at.isoformat(),
        }
        return dataclasses.replace(
            artifact, name=f"{DATASET}@{number}", id=-number_of, properties={**artifact.properties, **said}
        )

    old = {a.id for a in receipt.artifacts if a.type == "TableVersion"}
    kept = [a for a in receipt.artifacts if a.type in {"TableVersion", "Schema"}]
    ids = {a.id for a in kept}
    execution: Execution = dataclasses.replace(
        receipt.execution,
        id=number_of,
        properties={**receipt.execution.properties, "version": number, "sequence": number + 1},
        created_at=at,
        updated_at=at,
    )
    events = [
        dataclasses.replace(
            e, execution_id=number_of, artifact_id=-number_of if e.artifact_id in old else e.artifact_id
        )
        for e in receipt.events
        if e.artifact_id in ids
    ]
    return dataclasses.replace(
        receipt, execution=execution, artifacts=tuple(map(shifted, kept)), events=tuple(events), sightings=()
    )


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {"commits": commits}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asked = int(sys.argv[1]) if len(sys.argv) > 1 else _COMMITS
        for row in measured(build(Path(folder), asked), 3):
            print(f"{row.what:48} {row.ratio.ours:8.1f} {row.unit}, of {row.ratio.theirs:.0f} tolerable")
