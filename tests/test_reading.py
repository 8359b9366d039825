"""Reading through the front doors: forms, changes, histories of keys, what cannot be asked, and traces."""

import dataclasses
import json
import shutil
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from lakehouse import tables
from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError

PLANES = "aviation/planes"


@pytest.fixture(scope="module")
def planes(new_project, tmp_path_factory):
    """Events beside snapshots of planes: N1 stays, N2 changes, N3 goes, N4 comes."""
    project = new_project(tmp_path_factory.mktemp("planes") / "project")
    project.configure("sources/planes", "type: files\npath: planes/*\nformat: {type: csv}")
    project.configure(
        f"datasets/{PLANES}",
        """
        source: planes
        history: snapshots
        keys: [tail]
        schema: {features: {tail: {type: string}, seats: {type: int, presence: optional}}}
        """,
    )
    project.configure("jobs/nightly", f"datasets: [{project.flights}, {PLANES}]")
    (project.folder / "planes").mkdir()
    for file, text in {"a": "N1,1\nN2,2\nN3,3\n", "b": "N1,1\nN2,\nN4,4\n"}.items():
        (project.folder / f"planes/{file}.csv").write_text(f"tail,seats\n{text}")
        project.deliver(f"{file}.csv", project.morning if file == "a" else project.noon)
        project.run()
    return project


@pytest.fixture
def fresh(planes, new_project, tmp_path):
    """The same, for a test that changes it."""
    project = new_project(tmp_path / "project", dataclasses.replace(planes.clock))
    shutil.copytree(planes.folder, project.folder, dirs_exist_ok=True)
    return project


def command(project, *arguments):
    done = CliRunner().invoke(program, [*arguments, "--configs", str(project.folder / "configs")])
    assert done.exit_code == 0, done.output
    return done


def test_rows_come_as_polars_arrow_pandas_and_duckdb_with_the_same_values(planes):
    with planes.lake() as lake:
        rows = lake.read(PLANES).sort("tail")
        whole = lake.read(PLANES, into="arrow").sort_by("tail")
        frame = lake.read(PLANES, into="pandas").sort_values("tail")
        relation = lake.read(PLANES, into="duckdb")
    assert pl.DataFrame(whole).equals(rows)
    assert frame["seats"].to_list()[0] == 1
    assert "int64" in str(frame["seats"].dtype)  # no float in place of a whole number where one is missing
    assert relation.order("tail").project("tail, seats").fetchall() == rows.select("tail", "seats").rows()


def test_a_form_whose_package_is_missing_names_the_extra(planes, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with planes.lake() as lake:
        with pytest.raises(ConfigError, match=r"pip install 'lakehouse\[duckdb\]'"):
            lake.read(PLANES, into="duckdb")
        with pytest.raises(ConfigError, match="ean 'arrow'"):
            lake.read(PLANES, into="arow")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"valid_at": "2020-01-01T00:00:00Z"}, "events.*set `history: changes`"),
        ({"history": True}, "events"),
        ({"version": 0, "as_of": "2026-01-01T00:00:00Z"}, "one of version, as_of and tag"),
        ({"valid_at": "2020-01-01T00:00:00Z", "history": True}, "one of the two"),
        ({"as_of": "2026-01-01"}, "time zone"),
    ],
)
def test_questions_without_an_answer_are_refused_with_what_to_do(planes, asked, why):
    with planes.lake() as lake, pytest.raises(ConfigError, match=why):
        lake.scan(planes.flights, **asked)


def test_a_moment_of_validity_needs_a_time_zone_too(planes):
    with planes.lake() as lake, pytest.raises(ConfigError, match=r"valid_at: .* no time zone"):
        lake.scan(PLANES, valid_at="2026-01-01")


def test_changes_between_two_states_of_keys(planes):
    with planes.lake() as lake:
        first, last = (version.version for version in lake.history(PLANES))
        found = lake.changes(PLANES, since=first, until=str(last)).collect().sort("tail")
        assert found.select("_change", "tail", "seats").rows() == [
            ("update", "N2", None),
            ("delete", "N3", 3),
            ("insert", "N4", 4),
        ]
        assert lake.changes(PLANES, until=first).collect()["_change"].to_list() == ["insert"] * 3
        assert lake.changes(PLANES, since=last).collect().is_empty()
        with pytest.raises(ConfigError, match="which is older; swap them"):
            lake.changes(PLANES, since=last, until=first)


def test_changes_of_events_are_rows_that_came_and_rows_that_count_no_longer(fresh):
    fresh.deliver("a.csv", fresh.morning.replace("UA,1545", "UA,1546"))
    with fresh.lake() as lake:
        lake.land("flights")
        lake.curate(fresh.flights)
        found = lake.changes(fresh.flights, since=1).collect()
        assert sorted(found.select("_change", "flight").rows()) == [
            ("delete", 1141),
            ("delete", 1545),
            ("insert", 1141),
            ("insert", 1546),
        ]
        assert lake.changes(fresh.flights, since=0, until=1).collect()["flight"].sort().to_list() == [461, 725]


def test_a_keys_history_says_when_each_state_was_true_and_when_the_lake_had_it_so(planes):
    with planes.lake() as lake:
        first, last = (version.committed_at for version in lake.history(PLANES))
        gone = lake.history(PLANES, key={"tail": "N3"})
        assert gone["_change"].to_list() == ["insert", "insert", "delete"]
        assert gone["valid_to"].is_null().to_list() == [True, False, True]
        assert gone["superseded_at"].is_null().to_list() == [False, True, True]
        assert first < gone["recorded_at"][0] < last < gone["recorded_at"][1]
        assert lake.history(PLANES, key={"tail": "N9"}).is_empty()
        with pytest.raises(ConfigError, match=r"'tial' is no column of the key .* Did you mean 'tail'"):
            lake.history(PLANES, key={"tial": "N1"})
        with pytest.raises(ConfigError, match=r"history of a key: .* events"):
            lake.history(planes.flights, key={"carrier": "UA"})


def test_a_key_that_is_gone_is_traced_to_the_file_that_it_is_absent_from(planes):
    with planes.lake() as lake:
        delete = lake.changes(PLANES, since=0).filter(pl.col("_change") == "delete").collect()
        assert delete["_row"].to_list() == [3]  # as it was before
        row = lake.history(PLANES, key={"tail": "N3"}).row(-1, named=True)
        found = lake.trace(PLANES, row)
    assert (found.row, found.line, found.text) == (None, None, "")
    assert found.path.endswith("b.csv")
    told = command(planes, "trace", PLANES, f"{row['_raw'][:12]}:-").stdout
    assert "the key is absent from this file" in told


def test_an_older_version_reads_none_of_the_files_that_came_later(fresh):
    with fresh.lake() as lake:
        found = lake.files(fresh.flights, version=0)
        assert (found.read, found.all, found.kept) == (1, 2, None)
        second = next(
            (fresh.folder / f"data/curated/{fresh.flights}").glob(f"{lake.history(fresh.flights)[1].execution}-*")
        )
        second.unlink()
        assert lake.read(fresh.flights, version=0).height == 2
    told = command(fresh, "read", fresh.flights, "--version", "0")
    assert told.stderr == "aviation/flights, version 0: 1 of 2 files read\n"


def test_a_version_keeps_its_columns_when_the_table_gets_more(fresh):
    fresh.change(
        f"datasets/{fresh.flights}",
        "dep_delay: {type: int",
        "arr_delay: {type: int, presence: optional}\n    dep_delay: {type: int",
    )
    fresh.deliver("c.csv", fresh.noon.replace("dep_delay", "arr_delay").replace("B6", "B7"))
    fresh.run()
    with fresh.lake() as lake:
        assert "arr_delay" in lake.read(fresh.flights).columns
        assert "arr_delay" not in lake.scan(fresh.flights, version=1).collect_schema()
        assert lake.history(fresh.flights)[0].width == 9
        assert len(tables.layout(fresh.folder / f"data/curated/{fresh.flights}").dtypes) == 10


def test_the_commands_show_states_and_leave_the_lakes_own_columns_out(planes):
    assert (
        command(planes, "read", PLANES, "--columns", "tail,seats", "--format", "csv").stdout.splitlines()[0]
        == "tail,seats"
    )
    head = command(planes, "read", PLANES, "--history").stdout.splitlines()[0].split()
    assert head == ["tail", "seats", "valid_from", "valid_to"]
    rows = json.loads(command(planes, "changes", PLANES, "--since", "0", "--json").stdout)
    assert sorted((row["_change"], row["tail"]) for row in rows) == [
        ("delete", "N3"),
        ("insert", "N4"),
        ("update", "N2"),
    ]
    lines = command(planes, "history", PLANES, "--key", "tail=N3").stdout.splitlines()
    assert "recorded_at" in lines[0]
    assert len(lines) == 4
    assert "raw:row" in command(planes, "read", PLANES, "--provenance").stdout
    assert json.loads(command(planes, "history", PLANES, "--key", "tail", "--json").stdout) == []


def test_a_tag_that_is_not_there_is_told(planes):
    with planes.lake() as lake, pytest.raises(NotFoundError, match="no tag 'q1'"):
        lake.read(PLANES, tag="q1")


def test_changes_since_a_tag_and_a_read_at_it(fresh):
    with fresh.lake() as lake:
        before = lake.read(PLANES).sort("tail")
        lake.tag("q1", [PLANES])
        (fresh.folder / "planes/c.csv").write_text("tail,seats\nN1,9\nN2,\nN4,4\n")
        lake.land("planes")
        lake.curate(PLANES)
        assert lake.read(PLANES, tag="q1").sort("tail").equals(before)
        assert lake.changes(PLANES, since="tag:q1").collect().select("_change", "tail", "seats").rows() == [
            ("update", "N1", 9)
        ]


@pytest.mark.parametrize("history", ["snapshots", "events"])
def test_older_values_of_a_feature_that_changed_its_type_are_read_as_the_new_one(fresh, history):
    said = f"datasets/{PLANES}"
    fresh.change(said, "presence: optional}", "presence: optional}, at: {type: string, presence: optional}")
    fresh.change(said, "history: snapshots", f"history: {history}")
    (fresh.folder / "planes/c.csv").write_text("tail,seats,at\nN1,1,2020-01-01\nN2,5,no day\nN4,4,\n")
    with fresh.lake() as lake:
        lake.land("planes")
        before = lake.curate(PLANES, again=True).version
    fresh.change(said, "at: {type: string, presence: optional}", "at: {type: date, presence: optional}")
    fresh.change(said, "seats: {type: int", "seats: {type: string")
    (fresh.folder / "planes/c.csv").write_text("tail,seats,at\nN1,1,2020-01-01\nN2,5,2020-01-02\nN4,4,\n")
    with fresh.lake() as lake:
        lake.land("planes")
        lake.curate(PLANES, again=True)
        found = lake.changes(PLANES, since=before).collect().filter(pl.col("at").is_not_null())
        told = set(found["_change", "tail", "seats"].rows()) if history == "events" else found["tail"].to_list()
        assert told == (
            {("insert", "N1", "1"), ("insert", "N2", "5"), ("delete", "N1", "1")} if history == "events" else ["N2"]
        )
        if history == "snapshots":
            past = lake.history(PLANES, key={"tail": "N2"})
            assert past.schema["seats"] == pl.String
            assert past["seats"].to_list()[-1] == "5"


def test_rows_are_not_compared_across_another_type_of_key(fresh):
    fresh.change(f"datasets/{PLANES}", "keys: [tail]", "keys: [seats]")
    with fresh.lake() as lake:
        before = lake.curate(PLANES, again=True).version
    fresh.change(f"datasets/{PLANES}", "seats: {type: int", "seats: {type: string")
    with fresh.lake() as lake:
        after = lake.curate(PLANES, again=True).version
        with pytest.raises(
            ConfigError, match=r"the key 'seats' of .* was Int64 at version .* and is String at version"
        ):
            lake.changes(PLANES, since=before, until=after)
        assert lake.history(PLANES, key={"seats": "4"})["tail"].to_list() == ["N4"]
