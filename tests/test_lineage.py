"""Lineage: what a version came of, what became of a raw file, drawn and as JSON."""

import copy
import hashlib
import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import NotFoundError
from lakehouse.lake import Lake
from lakehouse.lineage import Edge, Lineage, Node
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Sighting

DATASET = """
source: s
schema:
  features:
    k: {type: int}
    v: {type: string, presence: optional}
"""


class Project:
    """A small project on disk with an opened lake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("configs/sources", "configs/datasets/a", "configs/jobs", "in"):
            (folder / name).mkdir(parents=True)
        (folder / "configs/lakehouse.yaml").write_text("root: data\n")
        (folder / "configs/sources/s.yaml").write_text("type: files\npath: in/*.csv\nformat: {type: csv}\n")
        (folder / "configs/jobs/nightly.yaml").write_text("datasets: [a/d]\n")
        self.dataset(DATASET)
        self.lake = Lake(folder / "configs")

    def dataset(self, text: str) -> None:
        """Write the dataset's configuration."""
        (self.folder / "configs/datasets/a/d.yaml").write_text(text)

    def reopen(self) -> None:
        """Open the lake again, with the configuration as it is now."""
        self.lake.close()
        self.lake = Lake(self.folder / "configs")

    def put(self, name: str, text: str) -> str:
        """Write a file for the source; its sha256."""
        (self.folder / "in" / name).write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def take(self):
        """Land and curate."""
        return self.lake.run("nightly")


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "p")
    yield made
    made.lake.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Version 0 of 1.csv and 2.csv; version 1 after 2.csv changed; version 2 with 3.csv."""
    project = Project(tmp_path_factory.mktemp("three") / "p")
    project.shas = {
        "1": project.put("1.csv", "k,v\n1,a\n2,b\nx,c\n"),
        "2": project.put("2.csv", "k,v\n4,a\n"),
    }
    project.take()
    project.shas["2new"] = project.put("2.csv", "k,v\n5,a\n6,b\n")
    project.take()
    project.shas["3"] = project.put("3.csv", "k,v\n7,a\n")
    project.take()
    project.lake.close()
    return project


@pytest.fixture
def three(built, tmp_path):
    """A copy of it, opened."""
    twin = copy.copy(built)
    twin.folder = tmp_path / "three"
    shutil.copytree(built.folder, twin.folder)
    twin.lake = Lake(twin.folder / "configs")
    yield twin
    twin.lake.close()


def kinds(lineage: Lineage, kind: str) -> list[str]:
    return [node.id for node in lineage.nodes if node.kind == kind]


def raws(lineage: Lineage) -> set[str]:
    return {identity.rpartition("/")[2] for identity in kinds(lineage, "RawFile")}


def edge(lineage: Lineage, source: str, target: str) -> Edge:
    return next(e for e in lineage.edges if (e.source, e.target) == (source, target))


def test_a_version_names_every_raw_file_whose_rows_it_shows_and_no_other(three):
    s = three.shas
    assert raws(three.lake.lineage("a/d@0")) == {s["1"], s["2"]}
    assert raws(three.lake.lineage("a/d@1")) == {s["1"], s["2new"]}
    assert raws(three.lake.lineage("a/d")) == {s["1"], s["2new"], s["3"]}


def test_every_version_names_the_raw_files_that_its_rows_name(three):
    three.lake.curate("a/d", again=True)
    three.put("1.csv", "k,v\n100,z\n")
    three.take()
    for version in three.lake.history("a/d"):
        rows = three.lake.read("a/d", version=version.version)
        lineage = three.lake.lineage(f"a/d@{version.version}")
        assert raws(lineage) == set(rows["_raw"])
        pairs = {
            (f"raw:s/{raw}", f"execution:{e}") for raw, e in rows.select("_raw", "_execution").unique().iter_rows()
        }
        assert pairs == {(e.source, e.target) for e in lineage.edges if e.source.startswith("raw:")}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.just("again"), st.tuples(st.integers(0, 2), st.integers(0, 3))), min_size=1, max_size=6))
def test_lineage_agrees_with_the_rows_whatever_happened_before(tmp_path_factory, steps):
    project = Project(tmp_path_factory.mktemp("history") / "p")
    for step in steps:
        if step == "again":
            project.lake.curate("a/d", again=True)
        else:
            project.put(f"{step[0]}.csv", "k,v\n" + "".join(f"{n},v{step[0]}\n" for n in range(step[1])) + "bad,x\n")
            project.take()
    versions = project.lake.history("a/d")
    rows = {v.version: project.lake.read("a/d", version=v.version) for v in versions}
    for version in versions:
        up = project.lake.lineage(f"a/d@{version.version}")
        seen = set(rows[version.version]["_raw"])
        assert seen <= raws(up)
    for raw in {raw for frame in rows.values() for raw in frame["_raw"]}:
        down = project.lake.lineage(raw).downstream()
        shown = {number for number, frame in rows.items() if raw in set(frame["_raw"])}
        assert shown == {n for e in down.edges if e.target.startswith("a/d@") for n in spanned(e.label, rows)}
    project.lake.close()


def spanned(label: str, versions) -> set[int]:
    words = label.split()
    numbers = [int(word) for word in words if word.isdecimal()][1:]
    if "since" in words:
        return {v for v in versions if v >= numbers[-1]}
    return {v for v in versions if numbers[0] <= v <= numbers[-1]}


def test_upstream_goes_on_to_schema_code_landing_source_run_and_job(three):
    up = three.lake.lineage("a/d@0").upstream()
    assert kinds(up, "Source") == ["source:s"]
    assert kinds(up, "Job") == ["job:nightly"]
    assert len(kinds(up, "Run")) == len(kinds(up, "Schema")) == len(kinds(up, "Land")) == len(kinds(up, "Curate")) == 1
    curate = next(n for n in up.nodes if n.kind == "Curate")
    assert {"code_version", "fingerprint", "python", "packages", "read", "rejected"} <= set(curate.properties)
    assert "plan" not in curate.properties
    raw = next(n for n in up.nodes if n.kind == "RawFile")
    (origin,) = raw.properties["origins"]
    assert origin.endswith(f"in/{raw.properties['name']}")
    assert up.downstream().nodes == tuple(n for n in up.nodes if n.id == "a/d@0")


def test_downstream_of_a_raw_file_says_which_versions_show_its_rows(three):
    s = three.shas
    label = {name: str(three.lake.lineage(s[name]).downstream()) for name in s}
    assert "[1 row, shown in version 0]" in label["2"]
    assert "[2 rows, shown since version 0]" in label["1"]
    assert "[2 rows, shown since version 1]" in label["2new"]
    three.lake.curate("a/d", again=True)
    assert "[2 rows, shown in versions 0 to 2]" in str(three.lake.lineage(s["1"]).downstream())


def test_downstream_of_a_raw_file_counts_its_quarantined_rows(three):
    down = three.lake.lineage(three.shas["1"]).downstream()
    assert kinds(down, "QuarantineVersion") == ["quarantine:a/d@0"]
    (curation,) = kinds(down, "Curate")
    assert edge(down, curation, "quarantine:a/d@0").label == "1 row rejected"
    assert kinds(three.lake.lineage(three.shas["2"]).downstream(), "QuarantineVersion") == []


def test_downstream_of_a_refused_raw_file_says_why(project):
    sha = project.put("bad.csv", "k,k\n1,2\n")
    project.put("good.csv", "k,v\n1,a\n")
    project.take()
    down = project.lake.lineage(sha).downstream()
    labels = [e.label for e in down.edges if e.source == f"raw:s/{sha}"]
    assert labels
    assert labels[0].startswith("refused: ")
    assert len(labels[0]) > len("refused: ") + 5
    assert kinds(down, "TableVersion") == []


def test_downstream_of_a_raw_file_whose_batch_was_refused_gives_the_error(project):
    project.dataset("max_rejected: 0\n" + DATASET.lstrip())
    project.reopen()
    sha = project.put("1.csv", "k,v\nx,a\n")
    project.take()
    text = str(project.lake.lineage(sha).downstream())
    assert "(failed)" in text
    assert "refused: SchemaError" in text


def test_downstream_of_a_raw_file_nobody_read_yet_is_itself(project):
    sha = project.put("1.csv", "k,v\n1,a\n")
    project.lake.land("s")
    assert [n.kind for n in project.lake.lineage(sha).downstream().nodes] == ["RawFile"]


def test_an_execution_shows_both_directions(three):
    run, land, curation = 1, 2, 3
    text = str(three.lake.lineage(f"execution:{curation}"))
    assert "Curate execution:3" in text.splitlines()[0]
    assert "├─ upstream" in text
    assert "└─ downstream" in text
    for number in (run, land, curation):
        assert (
            three.lake.lineage(number) == three.lake.lineage(f"execution:{number}") == three.lake.lineage(f"{number}")
        )
    land = three.lake.lineage(land)
    assert kinds(land, "RawFile") == kinds(three.lake.lineage("a/d@0"), "RawFile")
    assert kinds(land.downstream(), "TableVersion") == ["a/d@0"]


def test_downstream_of_a_run_are_its_steps_and_all_that_came_of_them(three):
    run = three.lake.lineage("execution:1")
    (land,), (curation,) = kinds(three.lake.lineage("a/d@0"), "Land"), kinds(three.lake.lineage("a/d@0"), "Curate")
    assert {e.target for e in run.edges if e.source == "execution:1"} == {land, curation}
    assert kinds(run.upstream(), "Job") == ["job:nightly"]
    assert kinds(run.downstream(), "TableVersion") == ["a/d@0"]
    assert raws(run) == {three.shas["1"], three.shas["2"]}
    (shown,) = run.impact().shown
    assert (shown.dataset, shown.rows) == ("a/d", 3)
    assert (shown,) == three.lake.lineage(curation).impact().shown
    for bound in ({"hops": 0}, {"until": "2020-01-01T00:00:00Z"}):
        few = three.lake.lineage("execution:1", direction="down", **bound)
        assert [(cut.node, cut.kind, cut.count) for cut in few.cut] == [
            ("execution:1", "Curate", 1),
            ("execution:1", "Land", 1),
        ]
        assert not few.impact().whole


def test_a_file_seen_by_several_landings_names_them_all(project):
    sha = project.put("1.csv", "k,v\n1,a\n")
    project.lake.land("s")
    project.put("2.csv", "k,v\n1,a\n")
    project.lake.land("s")
    up = project.lake.lineage(sha).upstream()
    assert kinds(up, "Land") == ["execution:1", "execution:2"]
    assert "execution:1: 1 file seen, 1 new" in str(up)
    assert "execution:2: 2 files seen, 0 new" in str(up)
    assert len(next(n for n in up.nodes if n.kind == "RawFile").properties["origins"]) == 2


def test_raw_files_stand_in_the_order_of_their_names(project):
    for number in (10, 9, 2, 1, 11):
        project.put(f"day{number}.csv", f"k,v\n{number},a\n")
    project.lake.land("s")
    land = project.lake.lineage(1)
    names = [node.properties["name"] for node in land.nodes if node.kind == "RawFile"]
    assert names == ["day1.csv", "day2.csv", "day9.csv", "day10.csv", "day11.csv"]
    drawn = str(land)
    assert sorted(names, key=drawn.index) == names


def test_the_same_content_under_two_sources_is_shown_together(project):
    (project.folder / "configs/sources/t.yaml").write_text("type: files\npath: in/*.csv\nformat: {type: csv}\n")
    project.reopen()
    sha = project.put("1.csv", "k,v\n1,a\n")
    project.lake.land("s")
    project.lake.land("t")
    found = project.lake.lineage(sha)
    assert set(found.focus) == {f"raw:s/{sha}", f"raw:t/{sha}"}
    assert str(found).count("RawFile") == 2


def test_a_unique_beginning_of_eight_characters_is_enough_in_either_case(three):
    sha = three.shas["1"]
    assert three.lake.lineage(sha[:8]) == three.lake.lineage(sha) == three.lake.lineage(sha[:20].upper())


def test_an_ambiguous_beginning_lists_what_it_could_be(project):
    ledger = project.lake._site.ledger
    shas = [f"{'ab' * 6}{n:052x}" for n in range(2)]
    links = [(raw_artifact(sha), EventType.OUTPUT) for sha in shas]
    seen = [Sighting("s", f"/in/{sha}", 3, "", sha, datetime(2026, 1, 1, tzinfo=UTC)) for sha in shas]
    land = Execution("Land", state=ExecutionState.COMPLETE)
    ledger.put_execution(land, links, [Context("Source", "s")], sightings=seen)
    with pytest.raises(NotFoundError) as caught:
        project.lake.lineage("abababab")
    assert all(sha in str(caught.value) for sha in shas)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("a/e", "Did you mean 'a/d'?"),
        ("a/d@9", "has no version 9; there is 0, 1, 2"),
        ("a/d@x", "is no version"),
        ("a/d@-1", "is no version"),
        ("execution:99", "the newest is execution:9"),
        (99, "the newest is execution:9"),
        ("ffffffff", "no raw file's sha256 starts with"),
        ("abc", "names nothing; write"),
        ("", "names nothing; write"),
        ("\x1b[2J", "names nothing; write"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(three, what, says):
    with pytest.raises(NotFoundError, match=r"(?s).*") as caught:
        three.lake.lineage(what)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_dataset_without_a_version_says_what_to_run(project):
    with pytest.raises(NotFoundError, match="lakehouse curate a/d"):
        project.lake.lineage("a/d")


def test_the_json_holds_everything_with_stable_keys(three):
    found = three.lake.lineage("a/d")
    value = json.loads(found.to_json())
    assert list(value) == ["focus", "nodes", "edges", "cut"]
    assert {tuple(n) for n in value["nodes"]} == {("kind", "id", "label", "properties")}
    assert {tuple(e) for e in value["edges"]} == {("source", "target", "label", "properties")}
    assert (len(value["nodes"]), len(value["edges"])) == (len(found.nodes), len(found.edges))
    assert found.to_json() == three.lake.lineage("a/d").to_json()
    ids = [n["id"] for n in value["nodes"]]
    assert len(ids) == len(set(ids))
    assert {e[end] for e in value["edges"] for end in ("source", "target")} <= set(ids)


def test_a_node_is_drawn_whole_once_and_only_named_after_that(three):
    lines = str(three.lake.lineage("a/d@0")).splitlines()
    lands = [line for line in lines if "Land execution:2" in line]
    assert [line.endswith("…") for line in lands] == [False, True]
    assert sum("Source s" in line for line in lines) == 1


def test_many_siblings_of_a_kind_are_cut_and_counted():
    nodes = [Node("Curate", "execution:1", "Curate"), *(Node("RawFile", f"raw:{n}", f"raw {n}") for n in range(31))]
    edges = tuple(Edge(f"raw:{n}", "execution:1") for n in range(31))
    text = str(Lineage(("execution:1",), tuple(nodes), edges))
    assert text.count("raw ") == 10
    assert text.splitlines()[-1] == "└─ and 21 more RawFile"
    few = Lineage(("execution:1",), tuple(nodes[:12]), edges[:11])
    assert str(few).count("raw ") == 11


def test_everything_drawn_is_safe_to_print(project):
    project.put("a\x1b[31m\n\u202eb.csv", "k,v\n1,a\nx,b\n")
    project.take()
    text = str(project.lake.lineage("a/d"))
    assert all(line.isprintable() for line in text.splitlines())
    assert "\\u202e" in text or "%E2%80%AE" in text
    assert project.lake.lineage("a/d").to_json().replace("\n", "").isprintable()


def raw_artifact(sha: str) -> Artifact:
    return Artifact(
        "RawFile",
        name=f"s/{sha}",
        external_id=f"s/{sha}",
        uri=f"raw/s/{sha[:2]}/{sha}/x.csv",
        properties={"source": "s", "sha256": sha, "name": "x.csv", "size": 3, "landed_at": "2026-01-01T00:00:00+00:00"},
    )


def test_thousands_of_raw_files_are_drawn_in_seconds(project):
    ledger = project.lake._site.ledger
    shas = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(4_000)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    land = ledger.put_execution(
        Execution("Land", state=ExecutionState.COMPLETE, properties={"files": 4_000, "new": 4_000}),
        [(raw_artifact(sha), EventType.OUTPUT) for sha in shas],
        [Context("Source", "s")],
        sightings=[Sighting("s", f"/in/{sha}", 3, "", sha, now) for sha in shas],
    )
    version = Artifact(
        "TableVersion",
        name="a/d@0",
        uri="curated/a/d",
        properties={
            "dataset": "a/d", "version": 0, "table_version": 0, "committed_at": now.isoformat(), "execution": 2,
            "rows": 4_000, "total": 4_000, "rejected": 0, "files": 4_000,
        },
    )  # fmt: skip
    ledger.put_execution(
        Execution(
            "Curate",
            state=ExecutionState.COMPLETE,
            properties={
                "version": 0,
                "read": 4_000,
                "rejected": 0,
                "files": json.dumps({sha: [1, 0] for sha in shas}),
            },
        ),
        [*((i, EventType.INPUT) for i in land.artifact_ids), (version, EventType.OUTPUT)],
        [Context("Dataset", "a/d")],
    )
    for what in ("a/d", "execution:1", shas[77]):
        started = time.process_time()
        found = project.lake.lineage(what)
        text, value = str(found), found.to_json()
        assert time.process_time() - started < 5
        assert len(text.splitlines()) < 60
        assert len(value) > 500
    assert len(kinds(project.lake.lineage("a/d"), "RawFile")) == 4_000
