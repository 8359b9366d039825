"""A limited lineage is a part of the whole one, and tells how much of it is missing, whatever became of a dataset."""

import random
from collections import Counter

import pytest
from deltalake import DeltaTable


@pytest.fixture(scope="module", params=[1, 2])
def lake(request, tmp_path_factory, new_project):
    """A dataset after many deliveries: files come, are corrected, come back, are refused; steps read its versions."""
    chance = random.Random(request.param)
    project = new_project(tmp_path_factory.mktemp("limits") / "project")
    with project.lake() as lake:
        for number in range(12):
            for name in chance.sample("abcdefg", chance.randint(1, 4)):
                hour, flight = "abcdefg".index(name), chance.choice([1, 2, number + 3, "no number"])
                row = f"2013-01-01T0{hour}:00:00Z,UA,{flight},EWR,2\n"
                project.deliver(f"{name}.csv", chance.choice([project.header, project.header, ""]) + row)
            lake.land("flights")
            lake.curate(project.flights, again=number == 7)
            if number == 4:  # a commit that is no version: numbers have gaps from here on
                DeltaTable(project.folder / "data" / "curated" / "aviation" / "flights").optimize.compact()
            if chance.random() < 0.4:
                read = f"{project.flights}@{chance.choice(lake.history(project.flights)).version}"
                with lake.execution("Train", inputs=[read]) as run:
                    run.output("Model", f"s3://models/{number}", name=f"m{number}")
        yield lake


def asked(lake):
    """What a lineage can be asked of: every version, some raw files, every execution."""
    ledger = lake._site.ledger
    return [
        "aviation/flights",
        *(f"aviation/flights@{version.version}" for version in lake.history("aviation/flights")),
        *(raw.properties["sha256"] for raw in ledger.get_artifacts(type="RawFile")[::3]),
        *(f"execution:{execution.id}" for execution in ledger.get_executions()),
    ]


def around(found, way):
    """How many neighbours of each kind each node has in a lineage, and how many it says there are beside them."""
    kinds = {node.id: node.kind for node in found.nodes}
    shown, left = Counter(), Counter({(cut.node, cut.kind): cut.count for cut in found.cut if cut.way == way})
    for edge in found.edges:
        one, other = (edge.target, edge.source) if way == "up" else (edge.source, edge.target)
        shown[one, kinds[other]] += 1
    return shown, left


def test_the_history_has_all_that_can_become_of_a_row(lake):
    made = lake._site.ledger.get_executions(type="Curate")
    versions = [version.version for version in lake.history("aviation/flights")]
    assert len(versions) > 7
    assert versions != list(range(len(versions))), "no gap"
    for said in ("supersedes", "refused"):
        assert sum(bool(e.properties.get(said)) for e in made) > 2, said


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("way", ["up", "down"])
def test_what_a_limit_leaves_out_is_counted(lake, way, limit):
    for what in asked(lake):
        whole, few = (lake.lineage(what, direction=way, limit=n) for n in (None, limit))
        assert {node.id for node in few.nodes} - {*few.focus} <= {node.id for node in whole.nodes}
        assert whole.cut == ()
        there, _ = around(whole, way)
        shown, left = around(few, way)
        for node in few.focus:
            for kind in {kind for one, kind in there if one == node}:
                # The version that a curation made is shown beside those that were read.
                assert min(limit, there[node, kind]) <= shown[node, kind] <= limit + 1, (what, node, kind)
                assert shown[node, kind] + left[node, kind] == there[node, kind], (what, node, kind)
        for (node, kind), number in left.items():
            assert number > 0, (what, node, kind)
            assert shown[node, kind] + number >= there[node, kind], (what, node, kind)


def test_times_leave_out_what_began_before_and_after(lake):
    for version in lake.history("aviation/flights"):
        what = f"aviation/flights@{version.version}"
        whole = lake.lineage(what, direction="up")
        makers = [edge.source for edge in whole.edges if edge.target == what]
        began = {e.id: e.created_at for e in lake._site.ledger.get_executions(type="Curate")}
        moments = sorted(began[int(maker.partition(":")[2])] for maker in makers)
        middle = moments[len(moments) // 2]
        for bound, kept in (("since", moments[len(moments) // 2 :]), ("until", moments[: len(moments) // 2 + 1])):
            few = lake.lineage(what, direction="up", **{bound: middle})
            shown, left = around(few, "up")
            assert shown[what, "Curate"] == len(kept)
            assert left[what, "Curate"] == len(moments) - len(kept)


def test_of_the_curations_of_a_version_the_newest_are_shown(lake):
    for version in lake.history("aviation/flights"):
        what = f"aviation/flights@{version.version}"
        few = lake.lineage(what, direction="up", limit=1)
        assert [edge.source for edge in few.edges if edge.target == what] == [f"execution:{version.execution}"]
