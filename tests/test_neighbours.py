"""What events lead to: a few of many, counted in the database; the same on every kind of database."""

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.metadata import MAKES, READS, Ledger
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Sighting

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ticking:
    """A minute later at every look."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        """The moment, a minute after the last."""
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def ledger(ledger_url):
    """Five things and a model that a step read, a sixth that two later steps made."""
    with Ledger(ledger_url, clock=Ticking()) as opened:
        things = [(Artifact("Thing", f"t{n}", external_id=f"x{n}"), EventType.INPUT) for n in range(5)]
        model = (Artifact("Model", "m"), EventType.DECLARED_INPUT)
        opened.put_execution(Execution("Train"), [*things, model], [Context("Team", "a")])
        for _ in range(2):
            opened.put_execution(Execution("Make"), [(Artifact("Thing", "t5"), EventType.OUTPUT)])
        yield opened


def test_all_neighbours_come_in_the_order_they_were_recorded(ledger):
    found = ledger.neighbours("execution", [1], READS)
    assert [(one.id, one.kind, one.external_id) for one in found] == [
        *((n + 1, "Thing", f"x{n}") for n in range(5)),
        (6, "Model", None),
    ]
    assert {one.event for one in found} == {EventType.INPUT, EventType.DECLARED_INPUT}
    assert ledger.neighbours("execution", [1], MAKES) == []
    assert ledger.neighbours("execution", [], READS) == []


def test_a_limit_is_of_each_kind_at_each_record(ledger):
    found = ledger.neighbours("execution", [1, 2], [*READS, *MAKES], limit=2)
    assert [(one.given, one.id) for one in found] == [(1, 1), (1, 2), (1, 6), (2, 7)]
    assert ledger.count_neighbours("execution", [1, 2, 3], [*READS, *MAKES]) == {
        1: {"Thing": 5, "Model": 1},
        2: {"Thing": 1},
        3: {"Thing": 1},
    }


def test_executions_are_bounded_by_when_they_began(ledger):
    first, second = (e.created_at for e in ledger.get_executions(type="Make"))
    assert [one.id for one in ledger.neighbours("artifact", [7], MAKES)] == [2, 3]
    assert [one.id for one in ledger.neighbours("artifact", [7], MAKES, since=second)] == [3]
    assert [one.id for one in ledger.neighbours("artifact", [7], MAKES, until=first)] == [2]
    assert ledger.count_neighbours("artifact", [7], MAKES, since=second) == {7: {"Make": 1}}


def test_what_was_deleted_is_a_neighbour_still(ledger):
    ledger.delete(artifact_ids=[1], execution_ids=[2], reason="gone")
    found = ledger.neighbours("execution", [1], READS, limit=1)
    assert [(one.id, one.kind, one.kept) for one in found] == [
        (2, "Thing", False),
        (6, "Model", False),
        (1, "Thing", True),
    ]
    assert [(one.id, one.kind, one.kept) for one in ledger.neighbours("artifact", [7], MAKES)] == [
        (3, "Make", False),
        (2, "Make", True),
    ]
    assert [(one.id, one.kind) for one in ledger.neighbours("execution", [2], MAKES)] == [(7, "Thing")]
    assert ledger.count_neighbours("artifact", [7], MAKES) == {7: {"Make": 1}}


def test_the_artifacts_that_were_read_by_how_their_name_begins(ledger):
    ledger.put_execution(Execution("Make"), [(Artifact("Thing", name), EventType.OUTPUT) for name in ("t6", "T0")])
    ledger.put_execution(Execution("Take"), [(Artifact("Thing", "T7"), EventType.INPUT)])
    assert ledger.read_artifacts("Thing", "t") == ["t0", "t1", "t2", "t3", "t4"]
    assert ledger.read_artifacts("Thing", "T") == ["T7"]
    assert ledger.read_artifacts("Model", "m") == ["m"]
    assert ledger.read_artifacts("Thing", "m") == []
    ledger.delete(execution_ids=[5], reason="gone")
    assert ledger.read_artifacts("Thing", "T") == ["T7"]


def test_raw_files_are_found_by_how_their_hash_begins(ledger):
    hashes = ["00ff" + "0" * 60, "00ff" + "f" * 60, "00fe" + "f" * 60, "0100" + "0" * 60]
    seen = [Sighting(source, f"/{sha}", 1, "", sha, NOW) for sha in hashes for source in ("s", "t")]
    ledger.put_execution(Execution("Land", state=ExecutionState.COMPLETE), sightings=[*seen, seen[0]])
    assert ledger.raw_files("00ff", 5) == sorted((source, sha) for sha in hashes[:2] for source in ("s", "t"))
    assert ledger.raw_files("00ff", 1) == [("s", hashes[0]), ("t", hashes[0])]
    assert ledger.raw_files(hashes[3], 5) == [("s", hashes[3]), ("t", hashes[3])]
    assert ledger.raw_files("02", 5) == []


def test_the_types_there_are(ledger):
    assert {"Thing", "Model", "Train", "Make", "Team"} <= set(ledger.type_names())


def test_lineage_is_the_same_whatever_keeps_the_ledger(project, ledger_url, monkeypatch):
    monkeypatch.setenv("LEDGER", ledger_url)
    project.change("lakehouse", "", "metadata: ${LEDGER}")
    for name in "abc":
        project.deliver(f"{name}.csv", project.morning.replace("UA", name.upper()))
    with project.lake() as lake:
        lake.run("nightly")
        project.deliver("a.csv", project.noon)
        lake.run("nightly")
        with lake.execution("Train", inputs=["aviation/flights@0"]) as run:
            run.output("Model", "s3://models/1", name="churn")
        first, second = (set(lake.read("aviation/flights", version=v)["_raw"]) for v in (0, 1))
        (replaced,) = first - second
        down = lake.lineage(replaced[:12], direction="down", limit=2)
        assert [(s.first, s.last, s.rows) for s in down.impact().shown] == [(0, 0, 2)]
        assert [one.id for one in down.impact().made] == ["Model:churn@0"]
        up = lake.lineage("Model:churn", direction="up", types=["RawFile"], since="2026-01-01T00:00:00Z")
        assert {node.properties["sha256"] for node in up.nodes if node.kind == "RawFile"} == first
        few = lake.lineage("aviation/flights@0", limit=1)
        assert [(cut.kind, cut.count) for cut in few.cut] == [("RawFile", 2)]
        assert [file.how for file in lake.causes("aviation/flights").files] == ["replaced"]
