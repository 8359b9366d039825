"""Lineage through users' own steps, within bounds, and past what was deleted."""

import itertools
import json
import shutil
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse import Lake
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, EventType, Execution, ExecutionState


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """Version 0 of a.csv; 1 with b.csv; 2 after b.csv changed. A model of version 1; metrics of it and version 2."""
    project = new_project(tmp_path_factory.mktemp("steps") / "made")
    project.deliver("a.csv", project.morning)
    project.run()
    project.deliver("b.csv", project.noon)
    project.run()
    project.deliver("b.csv", project.noon.replace("DL", "AA"))
    project.run()
    with project.lake() as lake:
        with lake.execution("Train", inputs=["aviation/flights@1"]) as run:
            run.output("Model", "s3://models/1", name="churn")
        with lake.execution("Evaluate", inputs=["Model:churn", "aviation/flights"]) as run:
            run.output("Metrics", "s3://metrics/1", name="quality", auc=0.91)
    return project


@pytest.fixture
def lake(made, tmp_path):
    """A copy of it, opened."""
    shutil.copytree(made.folder, tmp_path / "project")
    with Lake(tmp_path / "project/configs", clock=made.clock) as opened:
        yield opened


@pytest.fixture(scope="module")
def wide(tmp_path_factory, new_project):
    """A version of 25 raw files."""
    project = new_project(tmp_path_factory.mktemp("steps") / "wide")
    for number in range(25):
        project.deliver(f"{number:02}.csv", project.header + f"2013-01-01T05:00:00Z,UA,{number + 1},EWR,2\n")
    project.run()
    return project


def ids(lineage, kind=None):
    return {node.id for node in lineage.nodes if kind in (None, node.kind)}


def names(lineage):
    return {node.properties["name"] for node in lineage.nodes if node.kind == "RawFile"}


def pairs(lineage):
    return {(edge.source, edge.target) for edge in lineage.edges}


def raw_hashes(lake):
    return sorted(str(a.properties["sha256"]) for a in lake._site.ledger.get_artifacts(type="RawFile"))


def queries(monkeypatch):
    """Counts what the ledger is asked."""
    asked = []
    for name in [name for name in vars(Ledger) if name.startswith(("get_", "neighbours", "count_", "all_"))]:
        method = getattr(Ledger, name)

        def counting(self, *args, _method=method, _name=name, **kwargs):
            asked.append(_name)
            return _method(self, *args, **kwargs)

        monkeypatch.setattr(Ledger, name, counting)
    return asked


def test_downstream_of_a_version_are_the_step_that_read_it_and_all_that_came_of_that(lake):
    down = lake.lineage("aviation/flights@1").downstream()
    assert pairs(down) == {
        ("aviation/flights@1", "execution:10"),
        ("execution:10", "Model:churn@0"),
        ("Model:churn@0", "execution:11"),
        ("execution:11", "Metrics:quality@0"),
    }


def test_upstream_of_a_model_goes_through_its_version_to_raw_files_landings_and_source(lake):
    up = lake.lineage("Model:churn").upstream()
    assert ids(up) >= {"Model:churn@0", "execution:10", "aviation/flights@1", "source:flights", "job:nightly"}
    assert names(up) == {"a.csv", "b.csv"}
    assert ids(up, "Land") == {"execution:2", "execution:5"}


def test_what_read_two_versions_came_of_the_rows_of_both(lake):
    up = lake.lineage("Metrics:quality").upstream()
    rows = {raw for v in (1, 2) for raw in lake.read("aviation/flights", version=v)["_raw"]}
    assert {node.properties["sha256"] for node in up.nodes if node.kind == "RawFile"} == rows
    assert len(rows) == 3


def test_downstream_of_a_raw_file_are_the_steps_that_read_a_version_with_its_rows(lake):
    reached = {}
    for sha in raw_hashes(lake):
        down = lake.lineage(sha).downstream()
        reached[sha] = ids(down, "Train") | ids(down, "Evaluate")
    shown = {v: set(lake.read("aviation/flights", version=v)["_raw"]) for v in (1, 2)}
    for sha, steps in reached.items():
        trained = sha in shown[1]
        assert ("execution:10" in steps) == trained
        assert ("execution:11" in steps) == (trained or sha in shown[2])


def test_a_version_that_a_step_read_says_how_many_of_the_rows_it_shows(lake):
    first = next(sha for sha in raw_hashes(lake) if sha in set(lake.read("aviation/flights", version=0)["_raw"]))
    down = lake.lineage(first).downstream()
    (edge,) = (e for e in down.edges if e.target == "aviation/flights@1")
    assert (edge.source, edge.label, edge.properties) == ("execution:3", "2 rows shown", {"rows": 2})


def test_a_dataset_leads_on_from_every_version_that_was_read(lake):
    found = lake.lineage("aviation/flights")
    assert found.focus == ("aviation/flights@2", "aviation/flights@1")
    assert "Model:churn@0" in ids(found.downstream())
    assert found.upstream().focus == ("aviation/flights@2",)
    assert ids(found.upstream(), "TableVersion") == {"aviation/flights@2"}


def test_a_step_that_failed_shows_its_error(lake):
    with pytest.raises(ZeroDivisionError), lake.execution("Train", inputs=["aviation/flights@2"]):
        raise ZeroDivisionError("no rows")
    down = lake.lineage("aviation/flights@2").downstream()
    (step,) = (node for node in down.nodes if node.kind == "Train")
    assert "(failed): ZeroDivisionError: no rows" in step.label
    assert step.properties["state"] == "FAILED"


@pytest.mark.parametrize("what", ["artifact:{}", "s3://models/1", "Model:churn@0", "Model:churn"])
def test_an_artifact_is_found_by_every_form_of_reference(lake, what):
    (model,) = lake._site.ledger.get_artifacts(type="Model")
    assert lake.lineage(what.format(model.id)).focus == ("Model:churn@0",)


def test_one_way_is_what_that_restriction_of_both_is(lake):
    for what in ("aviation/flights@1", "execution:1", "execution:3", "Model:churn", "execution:10", *raw_hashes(lake)):
        both = lake.lineage(what)
        assert lake.lineage(what, direction="up") == both.upstream()
        assert lake.lineage(what, direction="down") == both.downstream()


def test_hops_bound_how_far_it_goes_and_what_was_left_out_is_told(lake):
    found = lake.lineage("Metrics:quality", hops=2)
    assert ids(found) == {"Metrics:quality@0", "execution:11", "Model:churn@0", "aviation/flights@2"}
    assert {(cut.node, cut.way, cut.kind, cut.count) for cut in found.cut} == {
        ("Model:churn@0", "up", "Train", 1),
        ("aviation/flights@2", "up", "Curate", None),
    }
    assert "└─ … 1 more Train" in str(found)
    assert json.loads(found.to_json())["cut"][0]["node"] == "aviation/flights@2"


def test_as_many_hops_as_there_are_leave_nothing_out(lake):
    whole = lake.lineage("Metrics:quality", direction="up")
    assert whole.cut == ()
    bounded = [lake.lineage("Metrics:quality", direction="up", hops=hops) for hops in range(12)]
    assert bounded[-1] == whole
    for fewer, more in itertools.pairwise(bounded):
        assert pairs(fewer) <= pairs(more)
        assert (fewer.cut == ()) == (pairs(fewer) == pairs(whole))


def test_hops_bound_the_questions_asked(lake, monkeypatch):
    lake.lineage("Metrics:quality")
    asked = queries(monkeypatch)
    lake.lineage("Metrics:quality", hops=1)
    near = len(asked)
    asked.clear()
    lake.lineage("Metrics:quality")
    assert near < len(asked) / 2


def test_kinds_that_nothing_wanted_lies_beyond_are_not_walked(lake, monkeypatch):
    asked = queries(monkeypatch)
    found = lake.lineage("aviation/flights@2", direction="up", types=["RawFile"])
    assert "get_contexts_of" not in asked
    assert names(found) == {"a.csv", "b.csv"}
    assert ids(found, "Land") == set()


def test_paths_through_kinds_that_are_not_shown_become_one_edge(lake):
    found = lake.lineage("Metrics:quality", types=["RawFile", "Model"])
    model, metrics = "Model:churn@0", "Metrics:quality@0"
    shown = {v: {f"raw:flights/{raw}" for raw in lake.read("aviation/flights", version=v)["_raw"]} for v in (1, 2)}
    assert pairs(found) == {
        (model, metrics),
        *((raw, model) for raw in shown[1]),
        *((raw, metrics) for raw in shown[2]),
    }


def test_what_a_bound_left_out_behind_hidden_nodes_is_told_at_what_is_shown(lake):
    found = lake.lineage("Metrics:quality", types=["Model"], hops=2)
    assert {(cut.node, cut.way, cut.count) for cut in found.cut} == {
        ("Model:churn@0", "up", None),
        ("Metrics:quality@0", "up", None),
    }


def test_since_and_until_leave_executions_out_by_when_they_began(lake):
    begun = {e.id: e.created_at for e in lake._site.ledger.get_executions()}
    second = timedelta(seconds=1)
    found = lake.lineage("Metrics:quality", direction="up", since=begun[11] - second)
    assert ids(found, "Train") == ids(found, "Curate") == set()
    assert {(cut.node, cut.kind, cut.count) for cut in found.cut} == {
        ("Model:churn@0", "Train", 1),
        ("aviation/flights@2", "Curate", 2),
    }
    down = lake.lineage("aviation/flights@1", direction="down", until=(begun[10] + second).isoformat())
    assert ids(down, "Train") == {"execution:10"}
    assert [(cut.node, cut.way, cut.kind) for cut in down.cut] == [("Model:churn@0", "down", "Evaluate")]
    assert lake.lineage("Metrics:quality", since=begun[1], until=begun[11]).cut == ()


def test_a_limit_follows_a_few_of_a_kind_and_counts_the_others(wide):
    with wide.lake() as lake:
        whole = lake.lineage("aviation/flights")
        few = lake.lineage("aviation/flights", limit=10)
        assert (len(ids(whole, "RawFile")), len(ids(few, "RawFile"))) == (25, 10)
        assert ids(few) <= ids(whole)
        assert [(cut.node, cut.kind, cut.count) for cut in few.cut] == [("execution:3", "RawFile", 15)]
        assert str(few).replace("… 15 more", "and 15 more") == str(whole)
        land = lake.lineage("execution:2", limit=10, direction="down")
        (shown,) = (e for e in land.edges if e.target == "aviation/flights@0")
        assert shown.properties == {"rows": 25, "first": 0}
        assert [(cut.node, cut.way, cut.kind, cut.count) for cut in land.cut] == [
            ("execution:2", "down", "RawFile", 15)
        ]


def test_a_limited_lineage_does_not_fetch_what_it_leaves_out(wide, monkeypatch):
    fetched = []
    real = Ledger.get_artifacts

    def get_artifacts(self, **conditions):
        found = real(self, **conditions)
        fetched.extend(found)
        return found

    monkeypatch.setattr(Ledger, "get_artifacts", get_artifacts)
    with wide.lake() as lake:
        lake.lineage("aviation/flights", limit=10)
    assert sum(artifact.type == "RawFile" for artifact in fetched) == 10


@pytest.mark.parametrize(
    ("bound", "says"),
    [
        ({"hops": -1}, "hops: -1 is too small"),
        ({"limit": 0}, "limit: 0 is too small"),
        ({"types": ["Rawfile"]}, "Did you mean 'RawFile'?"),
        ({"since": "soon"}, "since: 'soon' is no time"),
        ({"until": "2026-01-01"}, "until: 2026-01-01T00:00:00 has no time zone"),
        ({"direction": "left"}, "direction: 'left' is none"),
    ],
)
def test_a_bound_that_is_none_is_refused(lake, bound, says):
    with pytest.raises(ConfigError) as caught:
        lake.lineage("aviation/flights", **bound)
    assert says in str(caught.value)


def test_what_was_deleted_shows_as_deleted_and_the_walk_goes_on_past_it(lake):
    ledger = lake._site.ledger
    (model,) = ledger.get_artifacts(type="Model")
    ledger.delete(artifact_ids=[model.id], execution_ids=[10], reason="asked by the customer")
    gone = f"artifact:{model.id}"
    up = lake.lineage("Metrics:quality", direction="up")
    assert {("aviation/flights@1", "execution:10"), ("execution:10", gone), (gone, "execution:11")} <= pairs(up)
    labels = {node.id: node.label for node in up.nodes}
    assert labels[gone].startswith(f"Model churn@0 {gone} (deleted: asked by the customer")
    assert labels["execution:10"].startswith("Train execution:10 (deleted: ")
    down = lake.lineage("aviation/flights@1", direction="down")
    assert "Metrics:quality@0" in ids(down)
    for what, focus in (("Model:churn@0", gone), (gone, gone), ("execution:10", "execution:10")):
        assert lake.lineage(what).focus == (focus,)
        assert "Metrics:quality@0" in ids(lake.lineage(what).downstream())
        assert "aviation/flights@1" in ids(lake.lineage(what).upstream())
    with pytest.raises(NotFoundError):
        lake.lineage("execution:99")


def test_a_name_that_was_given_again_does_not_bring_the_deleted_one_back(lake):
    ledger = lake._site.ledger
    (model,) = ledger.get_artifacts(type="Model")
    ledger.delete(artifact_ids=[model.id], reason="wrong")
    ledger.put_execution(Execution("Train"), [(Artifact("Model", "churn@0"), EventType.OUTPUT)])
    up = lake.lineage("Metrics:quality", direction="up")
    assert f"artifact:{model.id}" in ids(up)
    assert "Model:churn@0" not in ids(up)


def test_an_artifact_that_is_read_and_made_by_the_same_steps_ends_the_walk(project):
    with project.lake() as lake:
        ledger = lake._site.ledger
        one, other = Artifact("Model", "one"), Artifact("Model", "other")
        ledger.put_execution(Execution("Tune"), [(one, EventType.INPUT), (other, EventType.OUTPUT)])
        ledger.put_execution(Execution("Tune"), [(other, EventType.INPUT), (one, EventType.OUTPUT)])
        found = lake.lineage("Model:one")
        assert len(found.nodes) == len(found.edges) == 4
        assert str(found).count("…") == 2


def test_a_chain_of_any_depth_is_followed_and_drawn(project):
    project.change("lakehouse", "", "metadata: sqlite://")
    with project.lake() as lake:
        ledger = lake._site.ledger
        for number in range(510):  # deeper than Python lets functions call themselves
            links = [
                (Artifact("Model", f"m{number}"), EventType.INPUT),
                (Artifact("Model", f"m{number + 1}"), EventType.OUTPUT),
            ]
            ledger.put_execution(Execution("Tune", state=ExecutionState.COMPLETE), links)
        found = lake.lineage("Model:m0")
        assert len(found.nodes) == 1_021
        assert len(str(found).splitlines()) == 1_021


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 6), max_size=3), st.sets(st.integers(0, 6), min_size=1, max_size=2)),
        min_size=1,
        max_size=8,
    ),
    st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(1, 3)),
)
def test_a_walk_reaches_what_is_reachable_and_its_cuts_tell_the_rest(tmp_path_factory, new_project, steps, asked):
    start, hops, limit = asked
    project = new_project(tmp_path_factory.mktemp("steps") / "p")
    project.change("lakehouse", "", "metadata: sqlite://")
    with project.lake() as lake:
        edges = set()
        for number, (reads, makes) in enumerate(steps, 1):
            links = [
                *((Artifact("Thing", f"t{n}"), EventType.INPUT) for n in reads),
                *((Artifact("Thing", f"t{n}"), EventType.OUTPUT) for n in makes),
            ]
            lake._site.ledger.put_execution(Execution("Step"), links)
            edges |= {(f"Thing:t{n}", f"execution:{number}") for n in reads}
            edges |= {(f"execution:{number}", f"Thing:t{n}") for n in makes}
        what = f"Thing:t{start}"
        if not any(what in pair for pair in edges):
            return
        for way, following in (("up", {(b, a) for a, b in edges}), ("down", edges)):
            within = [{what}]
            for _ in range(20):
                within.append(within[-1] | {b for a, b in following if a in within[-1]})
            reached = within[-1]
            assert ids(lake.lineage(what, direction=way)) == reached
            assert ids(lake.lineage(what, direction=way, hops=hops)) == within[hops]
            few = lake.lineage(what, direction=way, limit=limit)
            assert ids(few) <= reached
            left_out = {cut.node: 0 for cut in few.cut}
            for cut in few.cut:
                left_out[cut.node] += cut.count
            for node in ids(few):
                there = len({b for a, b in following if a == node})
                shown = len([e for e in few.edges if node == (e.target if way == "up" else e.source)])
                assert there == shown + left_out.get(node, 0)
