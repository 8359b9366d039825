"""The real job on the real sample files, one of them damaged, and what is left of it afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from lakehouse import Lake
from lakehouse.metadata import Ledger
from lakehouse.records import EventType, ExecutionState

PROJECT = Path(__file__).parents[2]
RUN = """
import sys
from lakehouse import Lake
print("ready", flush=True)
sys.exit(not Lake("configs").run("nightly").ok)
"""
DATASETS = (
    "aviation/flights",
    "aviation/weather",
    "reference/planes",
    "reference/airlines",
    "reference/airports",
)


def lay_out(folder: Path) -> Path:
    """A project with the sample lake's configuration and files, one day of flights damaged."""
    for part in ("configs", "jobs"):
        shutil.copytree(PROJECT / part, folder / part)
    shutil.copytree(PROJECT / "data" / "samples", folder / "data" / "samples")
    # Every load kind: of a feed and of full pictures there are two files each, which overlap.
    for name, kind, key in (("airlines", "changes", "carrier"), ("airports", "snapshots", "faa")):
        file = folder / f"configs/datasets/reference/{name}.yaml"
        file.write_text(file.read_text() + f"history: {kind}\n")
        assert f"keys: [{key}]" in file.read_text()
        source = folder / f"configs/sources/{name}.yaml"
        source.write_text(source.read_text().replace(f"{name}.csv", f"{name}*.csv"))
        first = folder / f"data/samples/{name}.csv"
        head, gone, changed, *same = first.read_text().splitlines(keepends=True)
        assert gone
        (folder / f"data/samples/{name}2.csv").write_text("".join([head, changed.replace(",", ",New ", 1), *same]))
    day = folder / "data/samples/flights/flights_2013-01-05.csv"
    lines = day.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("2013", "twenty-thirteen", 1)
    lines[7] = lines[7].rstrip("\n") + ",surplus\n"
    lines[9] = ",".join(lines[9].split(",")[:5]) + "\n"
    day.write_text("".join(lines))
    return folder


def start(folder: Path, **environ: str) -> subprocess.Popen[str]:
    """The job in a process of its own, loaded and about to begin."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def finish(process: subprocess.Popen[str]) -> int:
    """Wait for the end; the exit status, negative for a signal."""
    process.communicate(timeout=120)
    return process.returncode


def state(folder: Path) -> dict[str, Any]:
    """Everything a run leaves behind that must not depend on how it came about."""
    data = folder / "data"
    with Lake(folder / "configs") as lake:
        seen = {name: _rows(lake.read(name)) for name in DATASETS}
        rejected = {name: _rows(lake.quarantine(name).collect()) for name in DATASETS}
    return {
        "rows": seen,
        "quarantine": rejected,
        "rows on disk": {name: _stored(data / "curated" / name) for name in DATASETS},
        "quarantine on disk": {name: _stored(data / "quarantine" / name) for name in DATASETS},
        "raw": dict(_raw_files(data / "raw")),
        "lineage": _lineage(data / "metadata.db"),
        "measured": _measured(data),
        "strays": _strays(data),
    }


def _rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The rows without what is different in every run: the execution and the moment."""
    plain = frame.drop("_execution", "_recorded_at", "_valid_from", strict=False).with_columns(
        pl.col(pl.List(pl.String)).list.join("; ")
    )
    return plain.sort("_raw", "_row").rows()


def _stored(table: Path) -> list[tuple[Any, ...]]:
    """The rows as any Delta reader sees them, without the ledger."""
    return _rows(pl.scan_delta(str(table)).collect()) if (table / "_delta_log").is_dir() else []


def _raw_files(zone: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(zone.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            yield str(path.relative_to(zone)), hashlib.sha256(path.read_bytes()).hexdigest()


def _lineage(database: Path) -> list[tuple[str, str, str]]:
    """Which raw file each dataset's rows came from, once for every curation that completed."""
    with Ledger(f"sqlite:///{database}") as ledger:
        assert not ledger.get_executions(state=ExecutionState.RUNNING)
        raw = {a.id: str(a.external_id) for a in ledger.get_artifacts(type="RawFile")}
        found = []
        for name in DATASETS:
            done = ledger.get_executions(type="Curate", state=ExecutionState.COMPLETE, context=("Dataset", name))
            events = ledger.get_events(execution_ids=[e.id for e in done], types=[EventType.INPUT])
            found += [(name, raw[e.artifact_id], e.type.name) for e in events if e.artifact_id in raw]
        return sorted(found)


def _measured(data: Path) -> list[tuple[str, str, str]]:
    """What was measured, by the ledger and in its files, and no file beside these."""
    with Ledger(f"sqlite:///{data / 'metadata.db'}") as ledger:
        known = [a for kind in ("Statistics", "Anomalies") for a in ledger.get_artifacts(type=kind)]
    files = {p.relative_to(data).as_posix(): p for p in (data / "statistics").rglob("*") if p.is_file()}
    assert files.keys() == {artifact.uri for artifact in known}
    found = []
    for artifact in known:
        digest = hashlib.sha256(files[artifact.uri].read_bytes()).hexdigest()
        assert digest == artifact.properties["sha256"]
        found.append((artifact.type, str(artifact.properties["dataset"]), digest))
    return sorted(found)


def _strays(data: Path) -> list[str]:
    """Files that nothing visible needs: half-written ones, and parts that no commit names."""
    found = [str(p) for place in ("raw/.incoming", ".work") for p in (data / place).rglob("*") if p.is_file()]
    for zone in ("curated", "quarantine"):
        for log in (data / zone).rglob("_delta_log"):
            named = {Path(uri).name for uri in DeltaTable(log.parent).file_uris()}
            found += [str(p) for p in log.parent.glob("*.parquet") if p.name not in named]
    return found
