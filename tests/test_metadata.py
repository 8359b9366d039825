"""The ledger: executions with all that belongs to them go in as one and are found again."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import MetadataError, RecordError
from lakehouse.metadata import Ledger
from lakehouse.records import (
    Artifact,
    ArtifactState,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Sighting,
)

START = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
STORED = START.replace(microsecond=123_000)
FLIGHTS = Context("Source", "flights")
WEATHER = Context("Source", "weather")


def ticking():
    """A clock that moves on by an hour each time it is read."""
    return (START + timedelta(hours=hour) for hour in itertools.count()).__next__


@pytest.fixture
def ledger(ledger_url):
    with Ledger(ledger_url, clock=ticking()) as opened:
        yield opened


def raw(key, **changes):
    return replace(Artifact("RawFile", uri=f"raw/{key}", external_id=key, properties={"size": len(key)}), **changes)


def seen(origin, sha256, source="flights", at=START):
    return Sighting(source, origin, size=7, modified="171", sha256=sha256, seen_at=at)


def counts(ledger):
    """How many rows each table has that a put writes to."""
    names = (
        "Execution ExecutionProperty Artifact ArtifactProperty Event Context ContextProperty Association Attribution "
        "ParentContext Type TypeProperty lakehouse_Sighting"
    )
    with ledger._database.reading() as connection:
        return {
            name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar()  # fixed names
            for name in names.split()
        }


def test_an_execution_comes_back_with_all_that_was_put_with_it(ledger):
    execution = Execution(
        "Land",
        name="land-1",
        external_id="x1",
        state=ExecutionState.RUNNING,
        properties={"files": 1},
        custom_properties={"note": "first"},
    )
    artifact = raw("a1", name="one.csv", state=ArtifactState.PENDING, custom_properties={"origin": "ü 🛫"})
    put = ledger.put_execution(
        execution,
        [(artifact, EventType.OUTPUT)],
        [Context("Run", "r1", external_id="run-1", properties={"attempt": 1})],
        sightings=[seen("/in/one.csv", "a1")],
        parents=[(Context("Run", "r1"), Context("Job", "nightly"))],
    )
    stored = {"created_at": STORED, "updated_at": STORED}
    assert ledger.get_executions() == [replace(execution, id=put.execution_id, **stored)]
    assert ledger.get_artifacts() == [replace(artifact, id=put.artifact_ids[0], **stored)]
    assert ledger.get_events() == [Event(put.artifact_ids[0], put.execution_id, EventType.OUTPUT, STORED)]
    run, job = ledger.get_contexts()
    assert run == Context("Run", "r1", "run-1", {"attempt": 1}, {}, put.context_ids[0], **stored)
    assert job == Context("Job", "nightly", id=job.id, **stored)
    assert ledger.get_parent_contexts([run.id, job.id]) == {run.id: [job], job.id: []}
    assert ledger.get_child_contexts([run.id, job.id]) == {run.id: [], job.id: [run]}
    assert ledger.sightings("flights") == {"/in/one.csv": seen("/in/one.csv", "a1")}


def test_updating_sets_the_state_and_merges_properties(ledger):
    put = ledger.put_execution(Execution("Land", name="land-1", properties={"a": 1, "b": 2}))
    again = ledger.put_execution(
        Execution("Land", id=put.execution_id, state=ExecutionState.COMPLETE, properties={"b": 3, "c": 4})
    )
    assert again.execution_id == put.execution_id
    [found] = ledger.get_executions()
    assert found.state is ExecutionState.COMPLETE
    assert found.properties == {"a": 1, "b": 3, "c": 4}
    assert found.name == "land-1"
    assert (found.created_at, found.updated_at) == (STORED, STORED + timedelta(hours=1))


def test_a_property_and_a_custom_property_of_one_name_are_two(ledger):
    put = ledger.put_execution(Execution("Land", properties={"n": 1}, custom_properties={"n": "x"}))
    ledger.put_execution(Execution("Land", id=put.execution_id, custom_properties={"n": "y"}))
    [found] = ledger.get_executions()
    assert (found.properties, found.custom_properties) == ({"n": 1}, {"n": "y"})


def test_updating_an_execution_that_is_not_there_is_an_error(ledger):
    with pytest.raises(MetadataError, match="no execution 7"):
        ledger.put_execution(Execution("Land", id=7))


def test_an_execution_keeps_its_type(ledger):
    put = ledger.put_execution(Execution("Land"))
    with pytest.raises(MetadataError, match="is not a Curate"):
        ledger.put_execution(Execution("Curate", id=put.execution_id))


def test_putting_the_same_update_twice_changes_no_row_but_sightings(ledger):
    links = [(raw("a1"), EventType.OUTPUT), (raw("b2", name="two.csv"), EventType.DECLARED_OUTPUT)]
    first = ledger.put_execution(Execution("Land", properties={"n": 1}), links, [FLIGHTS], parents=[(FLIGHTS, WEATHER)])
    before = counts(ledger)
    events = ledger.get_events()
    update = Execution("Land", id=first.execution_id, properties={"n": 1})
    assert ledger.put_execution(update, links, [FLIGHTS], parents=[(FLIGHTS, WEATHER)]) == first
    assert counts(ledger) == before
    assert ledger.get_events() == events
    ledger.put_execution(update, sightings=[seen("/in/one.csv", "a1")] * 2)
    assert counts(ledger) == before | {"lakehouse_Sighting": 2}


def test_an_artifact_with_a_known_external_id_is_that_artifact_and_is_not_overwritten(ledger):
    first = ledger.put_execution(Execution("Land"), [(raw("a1"), EventType.OUTPUT)])
    changed = raw("a1", uri="elsewhere", state=ArtifactState.DELETED, properties={"size": 99})
    second = ledger.put_execution(Execution("Land"), [(changed, EventType.INPUT)], [FLIGHTS])
    assert second.artifact_ids == first.artifact_ids
    [found] = ledger.get_artifacts()
    assert (found.uri, found.state, found.properties) == ("raw/a1", ArtifactState.LIVE, {"size": 2})
    assert ledger.get_artifacts(context=("Source", "flights")) == [found]


def test_an_artifact_with_a_known_name_of_its_type_is_that_artifact(ledger):
    first = ledger.put_execution(Execution("Land"), [(Artifact("Schema", name="s"), EventType.OUTPUT)])
    second = ledger.put_execution(
        Execution("Land"),
        [(Artifact("Schema", name="s"), EventType.INPUT), (Artifact("Model", name="s"), EventType.OUTPUT)],
    )
    assert second.artifact_ids[0] == first.artifact_ids[0]
    assert second.artifact_ids[1] != first.artifact_ids[0]


def test_the_same_new_artifact_linked_twice_in_one_put_is_stored_once(ledger):
    links = [
        (raw("a1", name="n"), EventType.OUTPUT),
        (raw("a1"), EventType.INPUT),
        (Artifact("RawFile", name="n"), EventType.INTERNAL_INPUT),
        (Artifact("Schema"), EventType.INPUT),
        (Artifact("Schema"), EventType.INPUT),
    ]
    ids = ledger.put_execution(Execution("Land"), links, [FLIGHTS]).artifact_ids
    assert len(set(ids[:3])) == 1
    assert len(set(ids)) == 3
    assert len(ledger.get_events()) == 5
    assert len(ledger.get_artifacts(context=("Source", "flights"))) == 3


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        (Artifact("Schema", external_id="a1"), "belongs to artifact 1, which is of another type"),
        (raw("b2", name="one"), "belongs to artifact 1, which has another external id"),
        (raw("c3", name="two"), "belongs to artifact 2, which has another external id"),
    ],
)
def test_an_artifact_that_contradicts_a_stored_one_is_refused(ledger, artifact, reason):
    stored = [(raw("a1", name="one"), EventType.OUTPUT), (Artifact("RawFile", name="two"), EventType.OUTPUT)]
    ledger.put_execution(Execution("Land"), stored)
    before = counts(ledger)
    with pytest.raises(MetadataError, match=reason):
        ledger.put_execution(Execution("Land"), [(artifact, EventType.OUTPUT)])
    assert counts(ledger) == before


def test_links_may_be_ids_or_stored_artifacts(ledger):
    first = ledger.put_execution(Execution("Land"), [(raw("a1"), EventType.OUTPUT), (raw("b2"), EventType.OUTPUT)])
    one, two = ledger.get_artifacts()
    second = ledger.put_execution(
        Execution("Curate"),
        [(two, EventType.INPUT), (one.id, EventType.INPUT), (raw("c3"), EventType.OUTPUT)],
        [FLIGHTS],
    )
    assert second.artifact_ids == (two.id, one.id, 3)
    assert first.artifact_ids == (one.id, two.id)
    assert {event.artifact_id for event in ledger.get_events(execution_ids=[second.execution_id])} == {1, 2, 3}
    assert len(ledger.get_artifacts(context=("Source", "flights"))) == 3


def everything(**changes):
    """The arguments of a put that writes into every table."""
    arguments = {
        "execution": Execution("Land", properties={"n": 1}),
        "links": [(raw("new"), EventType.OUTPUT)],
        "contexts": [Context("Run", "new", properties={"p": 1})],
        "sightings": [seen("/new", "new")],
        "parents": [(Context("Run", "new"), Context("Job", "new"))],
    }
    return arguments | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"execution": Execution("Land", name="taken")},
        {"links": [(raw("new"), EventType.OUTPUT), (99, EventType.INPUT)]},
        {"links": [(raw("new"), EventType.OUTPUT), (raw("bad", properties={"size": None}), EventType.INPUT)]},
        {"contexts": [Context("Run", "new", external_id="taken")]},
        {"parents": [(FLIGHTS, Context("Job", "new", properties={"p": object()}))]},
        {"sightings": [seen("/new", "new"), seen("/new", "new", at=datetime(2026, 1, 1))]},  # noqa: DTZ001  # naive
        {"sightings": [seen("/bad\udcff", "new")]},
        {"sightings": [replace(seen("/new", "new"), size=2**64)]},
    ],
)
def test_a_put_that_fails_anywhere_leaves_nothing_behind(ledger, changes):
    ledger.put_execution(Execution("Train", name="x"), contexts=[Context("Source", "x", external_id="taken")])
    ledger.put_execution(Execution("Land", name="taken"))
    before = counts(ledger)
    with pytest.raises(MetadataError):
        ledger.put_execution(**everything(**changes))
    assert counts(ledger) == before
    ledger.put_execution(**everything())
    after = counts(ledger)
    assert all(after[name] > before[name] for name in after)


def test_a_missing_link_says_which_ids_are_missing(ledger):
    with pytest.raises(MetadataError, match="no artifact 3, 4, 5, 6, 7, … in the ledger"):
        ledger.put_execution(Execution("Land"), [(identity, EventType.INPUT) for identity in range(3, 12)])


def test_contexts_are_made_once_by_type_and_name_and_not_overwritten(ledger):
    ledger.put_execution(Execution("Land"), contexts=[replace(FLIGHTS, properties={"owner": "anna"})])
    put = ledger.put_execution(
        Execution("Land"), contexts=[replace(FLIGHTS, properties={"owner": "bert"}), Context("Job", "flights"), FLIGHTS]
    )
    assert put.context_ids[0] == put.context_ids[2] != put.context_ids[1]
    assert ledger.get_contexts(type="Source")[0].properties == {"owner": "anna"}
    assert len(ledger.get_contexts(names=["flights"])) == 2


def test_executions_are_found_by_each_condition_and_by_all_together(ledger):
    for number in range(6):
        state = ExecutionState.COMPLETE if number % 2 else ExecutionState.FAILED
        kind = "Land" if number < 4 else "Curate"
        ledger.put_execution(Execution(kind, state=state), contexts=[FLIGHTS if number < 3 else WEATHER])

    def ids(**conditions):
        return [execution.id for execution in ledger.get_executions(**conditions)]

    assert ids() == [1, 2, 3, 4, 5, 6]
    assert ids(type="Land") == [1, 2, 3, 4]
    assert ids(state=ExecutionState.COMPLETE) == [2, 4, 6]
    assert ids(context=("Source", "weather")) == [4, 5, 6]
    assert ids(context=("Job", "weather")) == []
    assert ids(ids=[5, 1, 1, 77]) == [1, 5]
    assert ids(ids=[]) == []
    assert ids(newest_first=True, limit=2) == [6, 5]
    assert ids(limit=2) == [1, 2]
    assert ids(type="Land", state=ExecutionState.COMPLETE, context=("Source", "flights"), ids=[1, 2, 3]) == [2]


def test_artifacts_are_found_by_each_condition_and_by_all_together(ledger):
    links = [(raw(f"k{n}", name=f"n{n}", type="RawFile" if n < 3 else "Model"), EventType.OUTPUT) for n in range(5)]
    ledger.put_execution(Execution("Land"), links[:2], [FLIGHTS])
    ledger.put_execution(Execution("Land"), links[2:], [WEATHER])

    def ids(**conditions):
        return [artifact.id for artifact in ledger.get_artifacts(**conditions)]

    assert ids() == [1, 2, 3, 4, 5]
    assert ids(type="Model") == [4, 5]
    assert ids(ids=[4, 2]) == [2, 4]
    assert ids(external_ids=["k4", "k0", "unknown"]) == [1, 5]
    assert ids(names=["n1"]) == [2]
    assert ids(uris=["raw/k2", "raw/k3"]) == [3, 4]
    assert ids(context=("Source", "weather")) == [3, 4, 5]
    assert ids(uris=[]) == []
    assert ids(type="Model", context=("Source", "weather"), uris=["raw/k2", "raw/k3"], ids=[3, 4]) == [4]


def test_events_and_contexts_are_found_by_their_ends(ledger):
    one = ledger.put_execution(Execution("Land"), [(raw("a"), EventType.OUTPUT)], [FLIGHTS])
    two = ledger.put_execution(
        Execution("Curate"), [(1, EventType.INPUT), (raw("b"), EventType.DECLARED_INPUT)], [WEATHER]
    )
    assert [e.execution_id for e in ledger.get_events(artifact_ids=[1])] == [one.execution_id, two.execution_id]
    assert [e.artifact_id for e in ledger.get_events(execution_ids=[two.execution_id])] == [1, 2]
    assert [e.type for e in ledger.get_events(types=[EventType.INPUT, EventType.OUTPUT])] == [
        EventType.OUTPUT,
        EventType.INPUT,
    ]
    assert ledger.get_events(artifact_ids=[]) == []
    assert [c.name for c in ledger.get_contexts(execution_id=one.execution_id)] == ["flights"]
    assert [c.name for c in ledger.get_contexts(artifact_id=1)] == ["flights", "weather"]
    assert [c.name for c in ledger.get_contexts(artifact_id=2, type="Source")] == ["weather"]
    assert ledger.get_contexts(artifact_id=1, type="Job") == []


def test_the_newest_sighting_of_each_origin_counts_and_all_are_kept(ledger):
    later = START + timedelta(microseconds=1)
    first = [seen("/one", "aa"), seen("/two", "aa"), seen("/one", "zz", source="weather")]
    second = [seen("/one", "bb", at=later), seen("/three", "bb", at=later)]
    ledger.put_execution(Execution("Land"), sightings=first)
    ledger.put_execution(Execution("Land"), sightings=second)
    assert ledger.sightings("flights") == {"/one": second[0], "/two": first[1], "/three": second[1]}
    assert ledger.sightings("nothing") == {}
    assert ledger.all_sightings("flights") == [*first[:2], *second]
    assert ledger.all_sightings("flights", ["aa"]) == first[:2]
    assert ledger.all_sightings(sha256s=["zz", "bb"]) == [first[2], *second]
    assert ledger.all_sightings("flights", []) == []


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_thousands_of_artifacts_go_in_at_once_and_come_back_by_ten_thousand_ids(ledger):
    made = [
        raw(f"{n:064x}", name=f"file {n}", properties={"size": n, "ratio": n / 7, "ok": n % 2 == 0, "name": f"ü{n}"})
        for n in range(12_000)
    ]
    sightings = [seen(f"/in/{n}", artifact.external_id) for n, artifact in enumerate(made)]
    links = [(artifact, EventType.OUTPUT) for artifact in made]
    put = ledger.put_execution(Execution("Land"), links, [FLIGHTS], sightings=sightings)
    assert put.artifact_ids == tuple(range(1, 12_001))
    expected = [
        replace(artifact, id=identity, created_at=STORED, updated_at=STORED)
        for identity, artifact in zip(put.artifact_ids, made, strict=True)
    ]
    assert ledger.get_artifacts(ids=range(1_001, 11_501)) == expected[1_000:11_500]
    assert ledger.get_artifacts(external_ids=[a.external_id for a in made], names=[a.name for a in made]) == expected
    assert [e.artifact_id for e in ledger.get_events(artifact_ids=put.artifact_ids)] == list(put.artifact_ids)
    assert list(ledger.sightings("flights").values()) == sightings
    assert ledger.all_sightings("flights", [a.external_id for a in made]) == sightings
    before = counts(ledger)
    again = ledger.put_execution(Execution("Land", id=put.execution_id), links, [FLIGHTS])
    assert again == put
    assert counts(ledger) == before


@pytest.mark.parametrize("number", [2**31, 2**40, 2**63 - 1])
def test_an_id_above_every_column_is_one_that_is_not_there(ledger, number):
    ledger.put_execution(Execution("Land"), [(raw("a"), EventType.OUTPUT)])
    assert ledger.get_artifacts(ids=[number]) == ledger.get_executions(ids=[1, number, 0])[1:] == []
    for ask in (
        lambda: ledger.subgraph([number]),
        lambda: ledger.delete([number], reason="wrong"),
        lambda: ledger.put_execution(Execution("Land"), [(number, EventType.INPUT)]),
        lambda: ledger.put_execution(Execution("Land", id=number)),
        lambda: ledger.store.put_memberships([(number, 1)]),
        lambda: ledger.store.put_events([Event(1, number, EventType.INPUT)]),
    ):
        with pytest.raises(RecordError, match=f"There is no [a-z]+ {number}"):
            ask()
    assert counts(ledger)["Execution"] == 1


def test_lists_longer_than_the_databases_limit_of_variables_are_asked_for_in_parts(ledger):
    with ledger._database.reading() as connection:
        if connection.dialect.name == "sqlite":
            # Some builds of SQLite allow more than its default of 32,766.
            connection.connection.driver_connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    links = [(raw(str(n)), EventType.OUTPUT) for n in range(10)]
    put = ledger.put_execution(Execution("Land"), links, [FLIGHTS])
    many = [str(n) for n in range(40_000)]
    assert len(ledger.get_artifacts(external_ids=many)) == 10
    assert len(ledger.get_artifacts(ids=range(40_000), external_ids=many[:5_000])) == 10
    assert len(ledger.get_events(artifact_ids=range(40_000), execution_ids=[put.execution_id])) == 10
    assert [execution.id for execution in ledger.get_executions(ids=range(40_000), limit=1)] == [put.execution_id]


@pytest.mark.parametrize(
    ("ledger_url", "returning"), [("mysql", True), ("mysql", False), ("postgresql", True)], indirect=["ledger_url"]
)
def test_a_server_gives_the_ids_of_many_artifacts_in_order(ledger, returning):
    # MySQL cannot return them, MariaDB can: told that it cannot, it goes MySQL's way.
    ledger._database._engine.dialect.insert_executemany_returning = returning
    links = [(raw(f"{n}"), EventType.OUTPUT) for n in range(1_203)]
    put = ledger.put_execution(Execution("Land"), links)
    assert put.artifact_ids == tuple(range(1, 1_204))
    found = ledger.get_artifacts(ids=put.artifact_ids)
    assert [(a.external_id, a.properties["size"]) for a in found] == [(str(n), len(str(n))) for n in range(1_203)]


def test_several_threads_write_and_read_at_once_without_loss(ledger):
    together = threading.Barrier(8)

    def work(worker):
        together.wait()
        for n in range(20):
            links = [(raw("shared"), EventType.INPUT), (raw(f"{worker}-{n}"), EventType.OUTPUT)]
            put = ledger.put_execution(Execution("Land", properties={"worker": worker}), links, [FLIGHTS])
            assert ledger.get_executions(ids=[put.execution_id])[0].properties == {"worker": worker}

    ledger._clock = lambda: START
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(ledger.get_executions(context=("Source", "flights"))) == 160
    assert len(ledger.get_artifacts()) == 161
    assert len(ledger.get_events()) == 320
    assert counts(ledger)["Type"] == 9 + 3


def test_a_ledger_in_memory_is_its_own():
    with Ledger("sqlite://") as one, Ledger("sqlite:///:memory:") as two:
        one.put_execution(Execution("Land"))
        assert two.get_executions() == []


def test_a_clock_without_a_time_zone_is_refused():
    with (
        Ledger("sqlite://", clock=lambda: datetime(2026, 1, 1)) as ledger,  # noqa: DTZ001  # what is refused
        pytest.raises(MetadataError, match="no time zone"),
    ):
        ledger.put_execution(Execution("Land"))


def test_times_in_another_zone_come_back_in_utc():
    oslo = START.astimezone(tz=datetime.strptime("+0200", "%z").tzinfo)
    with Ledger("sqlite://", clock=lambda: oslo) as ledger:
        ledger.put_execution(Execution("Land"), sightings=[seen("/one", "aa", at=oslo)])
        assert ledger.get_executions()[0].created_at.isoformat() == "2026-03-01T12:00:00.123000+00:00"
        assert ledger.sightings("flights")["/one"].seen_at.isoformat() == "2026-03-01T12:00:00.123456+00:00"


def test_the_times_of_another_programs_record_may_be_unset():
    with Ledger("sqlite://") as ledger:
        with ledger._database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO Execution (type_id) VALUES (5)")
        [found] = ledger.get_executions()
        assert found == Execution("mlmd.Train", state=ExecutionState.UNKNOWN, id=1)
        assert ledger.get_executions(state=ExecutionState.UNKNOWN) == [found]
