"""Walks of lineage: against a plain evaluation of what they mean, and on every kind of database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from lakehouse.errors import RecordError
from lakehouse.metadata import MAKES, READS, Bounds, Ending, Ledger, tables
from lakehouse.records import Artifact, EventType, Execution

THINGS, STEPS = ("Data", "Model"), ("Clean", "Train")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fill(ledger, artifacts, executions, events):
    """Put records with these types, from id 1, and (artifact, execution, type) between them."""
    with ledger._database.writing() as connection:
        for table in (tables.event, tables.artifact, tables.execution):
            connection.execute(delete(table))
        connection.execute(delete(tables.type_).where(tables.type_.c.id > 100))
        types = [
            *({"id": 101 + at, "name": name, "type_kind": tables.ARTIFACT_KIND} for at, name in enumerate(THINGS)),
            *({"id": 201 + at, "name": name, "type_kind": tables.EXECUTION_KIND} for at, name in enumerate(STEPS)),
        ]
        connection.execute(insert(tables.type_), types)
        for table, first, kinds in ((tables.artifact, 101, artifacts), (tables.execution, 201, executions)):
            rows = [
                {
                    "id": at + 1,
                    "type_id": first + kind,
                    "create_time_since_epoch": 1000 * (at + 1),
                    "last_update_time_since_epoch": 0,
                }
                for at, kind in enumerate(kinds)
            ]
            if rows:
                connection.execute(insert(table), rows)
        if events:
            names = ("artifact_id", "execution_id", "type")
            connection.execute(insert(tables.event), [dict(zip(names, event, strict=True)) for event in events])


class Plain:
    """The same question answered by relaxing distances until nothing changes."""

    def __init__(self, graph, bounds, ends):
        self.artifacts, self.executions, self.events = graph
        self.bounds, self.ends = bounds, ends

    def allowed(self, node):
        """Whether a walk may go there."""
        side, id_ = node
        bounds = self.bounds
        if side == "artifact":
            return bounds.artifact_types is None or THINGS[self.artifacts[id_ - 1]] in bounds.artifact_types
        at = EPOCH + timedelta(seconds=id_)
        return (
            (bounds.execution_types is None or STEPS[self.executions[id_ - 1]] in bounds.execution_types)
            and (bounds.since is None or at >= bounds.since)
            and (bounds.until is None or at <= bounds.until)
        )

    def steps(self):
        """(from, to, event) of every step that the direction and the bounds allow."""
        for event in self.events:
            artifact, execution, kind = ("artifact", event[0]), ("execution", event[1]), event[2]
            for start, end in ((artifact, execution), (execution, artifact)):
                up, down = (MAKES, READS) if start == artifact else (READS, MAKES)
                types = {"upstream": up, "downstream": down, "both": tuple(EventType)}[self.bounds.direction]
                if kind in types and self.allowed(end):
                    yield start, end, event

    def answer(self, starts):
        """Hops by record, and events."""
        farthest = 10**6 if self.bounds.hops is None else self.bounds.hops
        hops = dict.fromkeys(starts, 0)
        steps, before = list(self.steps()), None
        while before != hops:
            before = dict(hops)
            for start, end, _ in steps:
                if start in hops and start not in self.ends and hops[start] < farthest:
                    hops[end] = min(hops.get(end, 10**6), hops[start] + 1)
        found = {node: hop for node, hop in hops.items() if self.ends.get(node, True)}
        events = {
            event
            for start, end, event in steps
            if end in found and start not in self.ends and hops.get(start, farthest) < farthest
        }
        return found, events


@pytest.fixture(scope="module")
def memory():
    with Ledger("sqlite://") as ledger:
        yield ledger


@st.composite
def questions(draw):
    artifacts = draw(st.lists(st.integers(0, 1), min_size=1, max_size=7))
    executions = draw(st.lists(st.integers(0, 1), min_size=1, max_size=6))
    some_artifacts = st.integers(1, len(artifacts))
    some_executions = st.integers(1, len(executions))
    events = draw(st.sets(st.tuples(some_artifacts, some_executions, st.sampled_from(EventType)), max_size=20))
    ends, endings = {}, []
    for side, some in (("artifact", some_artifacts), ("execution", some_executions)):
        ids, included = draw(st.sets(some, max_size=2)), draw(st.booleans())
        listed = ", ".join(map(str, ids))
        endings.append(Ending(f"id IN ({listed})", included) if ids else None)
        ends |= {(side, id_): included for id_ in ids}
    moments = st.none() | some_executions.map(lambda second: EPOCH + timedelta(seconds=second))
    bounds = Bounds(
        direction=draw(st.sampled_from(["upstream", "downstream", "both"])),
        hops=draw(st.none() | st.integers(0, 6)),
        artifact_types=draw(st.none() | st.sets(st.sampled_from(THINGS), max_size=1)),
        execution_types=draw(st.none() | st.sets(st.sampled_from(STEPS))),
        since=draw(moments),
        until=draw(moments),
        ending_artifacts=endings[0],
        ending_executions=endings[1],
    )
    starts = draw(st.sets(some_artifacts, max_size=3)), draw(st.sets(some_executions, max_size=2))
    return (artifacts, executions, sorted(events)), bounds, ends, starts


@given(questions())
@settings(max_examples=150, deadline=None)
def test_a_subgraph_is_what_is_within_reach(memory, question):
    graph, bounds, ends, (artifacts, executions) = question
    fill(memory, *graph)
    found = memory.subgraph(artifacts, executions, bounds)
    starts = [*(("artifact", id_) for id_ in artifacts), *(("execution", id_) for id_ in executions)]
    hops, events = Plain(graph, bounds, ends).answer(starts)
    assert {("artifact", id_): hop for id_, hop in found.artifact_hops.items()} | {
        ("execution", id_): hop for id_, hop in found.execution_hops.items()
    } == hops
    assert sorted((e.artifact_id, e.execution_id, e.type) for e in found.events) == sorted(events)
    assert [a.id for a in found.artifacts] == sorted(found.artifact_hops)
    assert [e.id for e in found.executions] == sorted(found.execution_hops)


def chain(ledger):
    """Put raw -> Clean -> table -> Train -> model -> Score -> scores, each with a property."""
    steps = [("Clean", "raw", "table"), ("Train", "table", "model"), ("Score", "model", "scores")]
    ids = {}
    for step, source, result in steps:
        read = ids.get(source) or Artifact("Thing", name=source, properties={"note": source})
        made = Artifact("Thing", name=result, properties={"note": result})
        put = ledger.put_execution(
            Execution(step, properties={"note": step}), [(read, EventType.INPUT), (made, EventType.OUTPUT)]
        )
        ids |= {source: put.artifact_ids[0], result: put.artifact_ids[1], step: put.execution_id}
    return ids


def test_a_subgraph_has_the_records_with_their_properties_and_how_far_each_is(ledger_url):
    with Ledger(ledger_url) as ledger:
        ids = chain(ledger)
        found = ledger.subgraph([ids["model"]], bounds=Bounds("upstream", hops=3))
        assert [(a.name, a.properties["note"], found.artifact_hops[a.id]) for a in found.artifacts] == [
            ("table", "table", 2),
            ("model", "model", 0),
        ]
        assert [(e.type, found.execution_hops[e.id]) for e in found.executions] == [("Clean", 3), ("Train", 1)]
        assert [(e.artifact_id, e.execution_id, e.type) for e in found.events] == [
            (ids["table"], ids["Clean"], EventType.OUTPUT),
            (ids["table"], ids["Train"], EventType.INPUT),
            (ids["model"], ids["Train"], EventType.OUTPUT),
        ]
        down = ledger.subgraph(execution_ids=[ids["Train"]], bounds=Bounds("downstream"))
        assert [a.name for a in down.artifacts] == ["model", "scores"]
        stopped = ledger.subgraph(
            [ids["raw"]], bounds=Bounds("downstream", ending_artifacts=Ending("name = 'model'", included=True))
        )
        assert [a.name for a in stopped.artifacts] == ["raw", "table", "model"]


@pytest.mark.parametrize("ledger_url", ["memory", "postgresql"], indirect=True)
def test_thousands_of_starting_records_are_one_question(ledger_url):
    number = 5_100  # more than a statement takes
    with Ledger(ledger_url) as ledger:
        made = [(Artifact("Thing", external_id=f"{at}"), EventType.OUTPUT) for at in range(number)]
        ids = ledger.put_execution(Execution("Make"), made).artifact_ids
        ledger.put_execution(Execution("Use"), [(id_, EventType.INPUT) for id_ in ids])
        found = ledger.subgraph(ids, bounds=Bounds(hops=1))
        assert (len(found.artifacts), len(found.executions), len(found.events)) == (number, 2, 2 * number)


@pytest.mark.parametrize("ledger_url", ["memory", "mysql", "postgresql"], indirect=True)
def test_paths_that_part_and_meet_again_are_not_walked_one_by_one(ledger_url):
    with Ledger(ledger_url) as ledger:
        wide, deep = 3, 40  # 3 ** 40 paths
        layer = [Artifact("Thing", name=f"0/{at}") for at in range(wide)]
        for step in range(deep):
            made = [Artifact("Thing", name=f"{step + 1}/{at}") for at in range(wide)]
            links = [*((one, EventType.INPUT) for one in layer), *((one, EventType.OUTPUT) for one in made)]
            for _ in range(2):
                layer = ledger.put_execution(Execution("Mix"), links).artifact_ids[wide:]
        found = ledger.subgraph(layer[:1], bounds=Bounds("upstream"))
        assert len(found.artifacts) == 1 + wide * deep
        assert len(found.executions) == 2 * deep
        assert max(found.artifact_hops.values()) == 2 * deep


def test_a_cycle_ends_by_itself(ledger_url):
    with Ledger(ledger_url) as ledger:
        own = ledger.put_execution(Execution("Own"), [(Artifact("Thing", name="x"), EventType.INPUT)])
        ledger.put_execution(ledger.get_executions()[0], [(own.artifact_ids[0], EventType.OUTPUT)])
        for direction in ("upstream", "downstream", "both"):
            found = ledger.subgraph(own.artifact_ids, bounds=Bounds(direction))
            assert (found.artifact_hops, found.execution_hops) == ({1: 0}, {1: 1})
            assert len(found.events) == 2


@pytest.mark.parametrize(
    ("asked", "problem", "message"),
    [
        ({"artifact_ids": [1, 99]}, "missing", "no artifact 99"),
        ({"execution_ids": [99]}, "missing", "no execution 99"),
        ({"artifact_ids": [1], "bounds": Bounds(hops=-1)}, "invalid", "-1 hops"),
        (
            {"artifact_ids": [1], "bounds": Bounds(ending_artifacts=Ending("nam = 1"))},
            "invalid",
            "'nam' is no attribute",
        ),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(asked, problem, message):
    with Ledger("sqlite://") as ledger:
        chain(ledger)
        with pytest.raises(RecordError, match=message) as caught:
            ledger.subgraph(**asked)
        assert caught.value.problem == problem
