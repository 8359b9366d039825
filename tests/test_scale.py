"""Questions cost what they ask for, not what the lake holds: counted in the steps of the ledger's database."""

import dataclasses
import json
from collections import Counter
from datetime import date

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from lakehouse import measured, timeline
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState
from lakehouse.validation.anomalies import Anomalies

_STEPS = 10  # of SQLite's virtual machine, in one count
_MOMENT = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def counted():
    """Counts the steps of every SQLite connection that is opened from now on, until reset."""
    counts = Counter()

    def connected(connection, _):
        def step():
            counts["steps"] += 1

        connection.set_progress_handler(step, _STEPS)

    event.listen(Pool, "connect", connected)
    yield counts
    event.remove(Pool, "connect", connected)


def steps(counted, ask):
    """What one question costs, once the tables' definitions are known."""
    ask()
    counted.clear()
    ask()
    return counted["steps"]


@pytest.fixture
def fetched():
    """Counts the rows that every SQLite connection opened from now on gives, and the statements it runs."""
    counts = Counter()

    def row(_, values):
        counts["rows"] += 1
        return values

    def statement(_):
        counts["statements"] += 1

    def connected(connection, _):
        connection.row_factory = row
        connection.set_trace_callback(statement)

    event.listen(Pool, "connect", connected)
    yield counts
    event.remove(Pool, "connect", connected)


def recorded(ledger, dataset, curations):
    """Landings of one file each, each curated into a version, the last read by a step; the last file's id."""
    for number in range(curations):
        sha = f"{number:064x}"
        about = {"source": "flights", "sha256": sha, "name": f"{number}.csv", "size": 1, "landed_at": _MOMENT}
        raw = Artifact("RawFile", f"flights/{sha}", "raw/x", f"flights/{sha}", properties=about)
        land = Execution("Land", state=ExecutionState.COMPLETE, properties={"files": 1, "new": 1})
        stored = ledger.put_execution(land, [(raw, EventType.OUTPUT)], [Context("Source", "flights")])
        told = {"read": 1, "rejected": 0, "sequence": number + 1, "version": number, "files": f'{{"{sha}": [1, 0]}}'}
        counts = {"version": number, "table_version": number, "execution": stored.execution_id + 1, "files": 1}
        counts |= {"dataset": dataset, "committed_at": _MOMENT, "rows": 1, "total": number + 1, "rejected": 0}
        version = Artifact("TableVersion", f"{dataset}@{number}", uri="curated/x", properties=counts)
        links = [(stored.artifact_ids[0], EventType.INPUT), (version, EventType.OUTPUT)]
        curate = Execution("Curate", state=ExecutionState.COMPLETE, properties=told)
        ledger.put_execution(curate, links, [Context("Dataset", dataset)])
    ledger.put_execution(Execution("Train"), [(Artifact("TableVersion", f"{dataset}@{number}"), EventType.INPUT)])
    return stored.artifact_ids[0]


def filled(project, files):
    """Two landings and curations of many tiny files, the last file corrected once."""
    for half in range(2):
        for number in range(half, files, 2):
            project.deliver(f"{number}.csv", f"{project.header}2013-01-01T05:00:00Z,UA,{number},EWR,2\n")
        project.run()
    project.deliver("0.csv", f"{project.header}2013-01-01T05:00:00Z,AA,0,EWR,3\n")
    assert project.run().ok
    return project


QUESTIONS = {
    "list": lambda lake: lake.list(),
    "show a source": lambda lake: lake.show("flights", "source", limit=5),
    "show a dataset": lambda lake: lake.show("aviation/flights"),
    "find nothing pending": lambda lake: lake.curate("aviation/flights"),
    "look a version up": lambda lake: lake.scan("aviation/flights"),
    "look a moment up": lambda lake: lake.scan(
        "aviation/flights", as_of=lake.show("aviation/flights").versions[1].committed_at
    ),
}


def test_questions_cost_the_same_with_ten_times_the_raw_files(new_project, tmp_path, counted):
    costs = []
    for files in (50, 500):
        with filled(new_project(tmp_path / str(files)), files).lake() as lake:
            assert lake.list().sources[0].files == files + 1
            costs.append({name: steps(counted, lambda ask=ask: ask(lake)) for name, ask in QUESTIONS.items()})
    few, many = costs
    assert all(0 < many[name] <= 1.3 * few[name] + 20 for name in QUESTIONS), costs


def test_what_a_few_new_files_replace_costs_the_same_with_ten_times_the_raw_files(new_project, tmp_path, counted):
    costs = []
    for files in (50, 500):
        project = filled(new_project(tmp_path / str(files)), files)
        with project.lake() as lake:
            for number in (1, 2):
                project.deliver(f"{number}.csv", f"{project.header}2013-01-01T05:00:00Z,DL,{number},EWR,4\n")
            lake.land("flights")
            counted.clear()
            assert (lake.curate(project.flights).files, lake.history(project.flights)[-1].total) == (2, files)
            costs.append(counted["steps"])
    few, many = costs
    # Of the curations whose files were replaced, all files are counted: the rest does not grow.
    assert many <= 5 * few, costs


def test_reading_costs_the_same_with_ten_times_the_curations(project, counted):
    project.deliver("a.csv", project.morning)
    project.run()
    costs = []
    with project.lake() as lake:
        ledger = lake._site.ledger
        ask = {
            "version": lambda: timeline.read(ledger, project.flights).at(),
            "hidden": lambda: timeline.read(ledger, project.flights).hidden(lake.history(project.flights)[-1]),
            "sequence": lambda: timeline.read(ledger, project.flights).sequence,
            "in flight": lambda: timeline.read(ledger, project.flights).in_flight,
        }
        for more in (40, 400):
            for number in range(more):
                curate = Execution(
                    "Curate", state=ExecutionState.COMPLETE, properties={"sequence": number + 2, "files": "{}"}
                )
                ledger.put_execution(curate, (), [Context("Dataset", "aviation/others")])
            costs.append({name: steps(counted, question) for name, question in ask.items()})
    few, many = costs
    assert all(many[name] <= 1.3 * few[name] + 20 for name in ask), costs


def test_measuring_costs_the_same_with_six_times_the_curations(project, counted):
    project.deliver("a.csv", project.morning)
    project.run()
    costs = []
    with project.lake() as lake:
        site, dataset, statistics = lake._site, lake.config.dataset(project.flights), lake.statistics(project.flights)
        about, (version,) = [Context("Dataset", dataset.name)], lake.history(dataset.name)
        for more in (50, 250):
            for number in range(more):
                told = {"version": version.version, "supersedes": json.dumps({version.execution: ["x"]})}
                made = site.ledger.put_execution(Execution("Curate", properties=told), (), about).execution_id
                version = dataclasses.replace(version, execution=made)
                total = statistics if number == more - 1 else None  # where a sum begins
                kept = measured.keep(
                    site,
                    dataset.name,
                    made,
                    statistics=statistics,
                    anomalies=Anomalies(rows=2),
                    total=total,
                    at=date(2026, 1, 1),
                )
                links = [(artifact, EventType.OUTPUT) for artifact in kept]
                site.ledger.put_execution(Execution("Curate", id=made, state=ExecutionState.COMPLETE), links, about)
            ask = {
                "what a batch is held against": lambda: measured.recent(
                    site, dataset, timeline.read(site.ledger, dataset.name)
                ),
                "the sum": lambda version=version: measured.of_version(
                    site, timeline.read(site.ledger, dataset.name), version, dataset.schema, ()
                ),
            }
            assert len(ask["what a batch is held against"]().past) == 30
            assert ask["the sum"]().rows == 2
            costs.append({name: steps(counted, question) for name, question in ask.items()})
    few, many = costs
    # An index tells which curations superseded others: all of these did, and it is walked.
    assert all(many[name] <= 2 * few[name] for name in ask), costs


def test_the_totals_of_ten_times_the_sources_cost_ten_times_as_much(project, counted):
    with project.lake() as lake:
        ledger = lake._site.ledger
        for number in range(300):
            about = {"size": 1, "landed_at": _MOMENT}
            raw = Artifact("RawFile", f"s{number}/x", properties=about)
            ledger.put_execution(Execution("Land"), [(raw, EventType.OUTPUT)], [Context("Source", f"s{number}")])
        names = [f"s{number}" for number in range(300)]
        few, many = (steps(counted, lambda some=some: ledger.totals(some)) for some in (names[:30], names))
        assert ledger.totals(names)["s299"].files == 1
        assert many <= 12 * few, (few, many)


def test_a_limited_lineage_fetches_the_same_with_ten_times_the_curations(new_project, tmp_path, fetched):
    costs = []
    for curations in (30, 300):
        project = new_project(tmp_path / str(curations))
        with project.lake() as lake:
            raw = recorded(lake._site.ledger, project.flights, curations)
            asked = {
                "the newest version": project.flights,
                "a version before it": f"{project.flights}@{curations // 2}",
                "a raw file": f"artifact:{raw}",
                "a curation": f"execution:{2 * curations}",
                "a landing": f"execution:{2 * curations - 1}",
            }
            cost = {}
            for name, what in asked.items():
                lake.lineage(what, limit=10)
                fetched.clear()
                found = lake.lineage(what, limit=10)
                cost[name] = dict(fetched)
                left = [(cut.node, cut.kind, cut.count) for cut in found.cut]
                missing = {"the newest version": curations - 10, "a version before it": curations // 2 - 9}.get(name)
                assert left == ([(found.focus[0], "Curate", missing)] if missing else []), name
            costs.append(cost)
    few, many = costs
    assert few == many
    assert all(cost["rows"] < 400 for cost in many.values()), costs


def test_a_moment_between_any_two_versions_finds_the_older_one(project):
    for number in range(9):
        project.deliver("a.csv", f"{project.header}2013-01-01T05:00:00Z,UA,{number},EWR,2\n")
        project.run()
        project.deliver("b.csv", "no header of it\n1\n")  # refused: an execution without a version in between
        project.run()
    with project.lake() as lake:
        past = timeline.read(lake._site.ledger, project.flights)
        assert len(past.versions) == 9
        for version in past.versions:
            anew = timeline.read(lake._site.ledger, project.flights)
            assert anew.at(as_of=past.moments[version.execution]) == version
            assert past.at(version.version) == version
        for older, newer in zip(past.versions, past.versions[1:], strict=False):
            shown = past.moments[older.execution]
            middle = shown + (past.moments[newer.execution] - shown) / 2
            assert past.at(as_of=middle) == older
        assert past.last == past.versions[-1]
        assert past.newest(3) == past.versions[-3:]
        assert past.sequence == len(past.completed)
