"""Several processes on one ledger: opening an empty file at once, writing at once, dying in between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from catalogs import described, frozen
from servers import KEPT, administering
from sqlalchemy import text

from lakehouse.metadata import Ledger
from lakehouse.records import Execution, ExecutionState

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
OPEN = READY + "[Ledger(one).close() for one in url.split()]"
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
WAIT = (
    READY
    + """
import time
longest = 0
with Ledger(url) as ledger:
    for n in range(40):
        begun = time.perf_counter()
        ledger.put_execution(Execution("Land", name=f"{me}-{n}"), [(Artifact("RawFile"), EventType.OUTPUT)])
        longest = max(longest, time.perf_counter() - begun)
print(longest)
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
    """Let them all run at once, to the end; what they said."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in told] == [""] * len(processes)
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [said for said, _ in told]


def numbers(url, sql):
    with administering(url) as connection:
        return tuple(connection.execute(text(sql)).one())


def whole(url):
    with Ledger(url) as ledger:
        return ledger.damage() == []


@pytest.mark.parametrize("backend", KEPT)
def test_processes_opening_an_empty_database_at_once_all_succeed_and_double_nothing(servers, tmp_path, backend):
    urls = [servers.new(backend, tmp_path) for _ in range(2)]
    go([start(OPEN, " ".join(urls), n) for n in range(3)])
    for url in urls:
        assert numbers(url, "SELECT count(*) FROM MLMDEnv") == (1,)
        assert numbers(url, "SELECT count(*) FROM lakehouse_Env") == (1,)
        assert numbers(url, "SELECT count(*), count(DISTINCT name) FROM Type") == (9, 9)
        assert described(url) == frozen(backend)


@pytest.mark.parametrize("ledger_url", KEPT, indirect=True)
def test_processes_writing_at_once_lose_and_double_nothing(ledger_url):
    go([start(WRITE, ledger_url, me) for me in range(3)])
    with Ledger(ledger_url) as ledger:
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
    assert numbers(ledger_url, "SELECT count(*) FROM Type") == (14,)
    assert numbers(ledger_url, "SELECT count(*) FROM (SELECT DISTINCT name, type_kind FROM Type) AS t") == (14,)
    assert numbers(ledger_url, "SELECT count(*) FROM Association") == (150,)
    assert whole(ledger_url)


@pytest.mark.parametrize("ledger_url", KEPT, indirect=True)
def test_no_writer_is_kept_waiting_by_the_others(ledger_url):
    with Ledger(ledger_url):
        pass
    waits = [float(told) for told in go([start(WAIT, ledger_url, me) for me in range(4)])]
    assert max(waits) < 2.0  # seconds; a turn takes milliseconds
    assert numbers(ledger_url, "SELECT count(*) FROM Execution") == (4 * 40,)


@pytest.mark.parametrize("acknowledged", [1, 7])
@pytest.mark.parametrize("ledger_url", KEPT, indirect=True)
def test_a_killed_process_leaves_every_acknowledged_put_and_no_half_one(ledger_url, acknowledged):
    with start(WRITE_FOR_EVER, ledger_url, "flights") as process:
        process.stdin.write("\n")
        process.stdin.flush()
        told = [int(process.stdout.readline()) for _ in range(acknowledged)]
        process.kill()
    with Ledger(ledger_url) as ledger:
        # Waits until a server has seen that its client is dead.
        last = ledger.put_execution(Execution("Last")).execution_id
        kept = [execution.id for execution in ledger.get_executions(context=("Source", "flights"))]
        assert kept[:acknowledged] == told
        assert kept[-1] < last
        artifacts = ledger.get_artifacts(context=("Source", "flights"))
        assert len(artifacts) == len(ledger.get_events()) == 20 * len(kept)
        assert all(artifact.properties["n"] in range(20) for artifact in artifacts)
    assert whole(ledger_url)


@pytest.mark.parametrize("ledger_url", KEPT, indirect=True)
def test_a_reader_sees_one_state_while_another_writes(ledger_url):
    count = text("SELECT count(*) FROM Execution")
    with Ledger(ledger_url) as ledger, Ledger(ledger_url) as other:
        with ledger._database.reading() as connection:
            assert connection.scalar(count) == 0
            other.put_execution(Execution("Land"))
            assert connection.scalar(count) == 0
        assert len(ledger.get_executions()) == 1
