"""Several processes on one ledger: opening an empty file at once, writing at once, dying in between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lakehouse.metadata import Ledger
from lakehouse.records import ExecutionState

ROOT = Path(__file__).parent.parent

# Each says it is ready once all is imported, then waits, so that all of them start together.
READY = """
import sys
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Sighting, utc_now
url, me = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
"""
OPEN = READY + "Ledger(url).close()"
WRITE = (
    READY
    + """
with Ledger(url) as ledger:
    for n in range(25):
        put = ledger.put_execution(
            Execution("Land", name=f"{me}-{n}", state=ExecutionState.RUNNING, properties={"n": n}),
            [(Artifact("RawFile", external_id=f"shared-{n}"), EventType.INPUT),
             (Artifact("RawFile", external_id=f"{me}-{n}"), EventType.OUTPUT)],
            [Context("Source", "flights"), Context("Run", f"{n}")],
            sightings=[Sighting("flights", f"/in/{n}", n, "", me, utc_now())],
            parents=[(Context("Run", f"{n}"), Context("Job", "nightly"))],
        )
        ledger.put_execution(Execution("Land", id=put.execution_id, state=ExecutionState.COMPLETE))
"""
)
WRITE_FOR_EVER = (
    READY
    + """
with Ledger(url) as ledger:
    while True:
        links = [(Artifact("RawFile", properties={"n": n}), EventType.OUTPUT) for n in range(20)]
        print(ledger.put_execution(Execution("Land"), links, [Context("Source", me)]).execution_id, flush=True)
"""
)


def start(script, url, me):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, url, str(me)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def go(processes):
    """Let them all run at once, to the end."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


def numbers(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchone()


def test_processes_opening_an_empty_database_at_once_all_succeed_and_double_nothing(tmp_path):
    paths = [tmp_path / f"{n}" / "metadata.db" for n in range(4)]
    for path in paths:
        go([start(OPEN, f"sqlite:///{path}", n) for n in range(3)])
        assert numbers(path, "SELECT count(*) FROM MLMDEnv") == (1,)
        assert numbers(path, "SELECT count(*) FROM lakehouse_Env") == (1,)
        assert numbers(path, "SELECT count(*), count(DISTINCT name) FROM Type") == (9, 9)


def test_processes_writing_at_once_lose_and_double_nothing(tmp_path):
    path = tmp_path / "metadata.db"
    go([start(WRITE, f"sqlite:///{path}", me) for me in range(3)])
    with Ledger(f"sqlite:///{path}") as ledger:
        executions = ledger.get_executions(type="Land", state=ExecutionState.COMPLETE)
        assert {e.name for e in executions} == {f"{me}-{n}" for me in range(3) for n in range(25)}
        assert len(executions) == 75
        expected = {f"shared-{n}" for n in range(25)} | {f"{me}-{n}" for me in range(3) for n in range(25)}
        artifacts = ledger.get_artifacts()
        assert len(artifacts) == 100
        assert {artifact.external_id for artifact in artifacts} == expected
        assert len(ledger.get_events()) == 150
        assert len(ledger.get_contexts()) == 27
        assert len(ledger.all_sightings("flights")) == 75
        assert len(ledger.sightings("flights")) == 25
        [job] = ledger.get_contexts(type="Job")
        assert len(ledger.get_child_contexts([job.id])[job.id]) == 25
    assert numbers(path, "SELECT count(*), count(DISTINCT name || type_kind) FROM Type") == (14, 14)
    assert numbers(path, "SELECT count(*) FROM Association") == (150,)
    assert numbers(path, "PRAGMA integrity_check") == ("ok",)


@pytest.mark.parametrize("acknowledged", [1, 7])
def test_a_killed_process_leaves_every_acknowledged_put_and_no_half_one(tmp_path, acknowledged):
    path = tmp_path / "metadata.db"
    with start(WRITE_FOR_EVER, f"sqlite:///{path}", "flights") as process:
        process.stdin.write("\n")
        process.stdin.flush()
        told = [int(process.stdout.readline()) for _ in range(acknowledged)]
        process.kill()
    with Ledger(f"sqlite:///{path}") as ledger:
        kept = [execution.id for execution in ledger.get_executions(context=("Source", "flights"))]
        assert kept[:acknowledged] == told
        artifacts = ledger.get_artifacts(context=("Source", "flights"))
        assert len(artifacts) == len(ledger.get_events()) == 20 * len(kept)
        assert all(artifact.properties["n"] in range(20) for artifact in artifacts)
    assert numbers(path, "PRAGMA integrity_check") == ("ok",)
