"""Differences between two states: rows by key and by content, columns, schema, values, and why."""

import itertools
import json

import polars as pl
import pytest
from copies import command, copied
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import ConfigError, NotFoundError

PLANES = """
    source: planes
    history: {history}
    keys: [tailnum]
    schema:
      features:
        tailnum: {{type: string, presence: optional}}
        seats: {{type: int, presence: optional}}
        weight: {{type: float, presence: optional, domain: {{finite: false}}}}
"""
SOURCE = """
    type: files
    path: planes/*
    format: {type: csv, null_values: [NA]}
"""
NAME = "aviation/planes"


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """Version 0 with the morning, 1 with noon too, 2 with one row of the morning corrected."""
    project = new_project(tmp_path_factory.mktemp("diff") / "project")
    project.deliver("1.csv", project.morning)
    project.run()
    project.deliver("2.csv", project.noon)
    project.run()
    project.deliver("1.csv", project.morning.replace(",2\n", ",7\n"))
    project.run()
    return project


@pytest.fixture
def three(made, tmp_path):
    """A project with these three versions."""
    return copied(made, tmp_path / "three")


def keyed(project, *contents, history="snapshots"):
    """A keyed dataset with a version a content."""
    project.configure("sources/planes", SOURCE)
    project.configure(f"datasets/{NAME}", PLANES.format(history=history))
    folder = project.folder / "planes"
    folder.mkdir()
    with project.lake() as lake:
        for at, rows in enumerate(contents):
            text = "".join(f"{','.join('NA' if v is None else str(v) for v in row)}\n" for row in rows)
            (folder / f"{at}.csv").write_text(f"tailnum,seats,weight\n{text}")
            lake.land("planes")
            lake.curate(NAME)


def counts(one):
    return one.added, one.removed, one.changed


def test_rows_that_came_are_added_and_a_corrected_one_is_changed(three):
    with three.lake() as lake:
        found = lake.diff(f"{three.flights}@0", f"{three.flights}@2").datasets[three.flights]
        assert counts(found) == (2, 0, 1)
        assert found.columns == {"dep_delay": 1}
        (row,) = found.rows("changed").collect().to_dicts()
        assert (row["carrier"], row["before"]["dep_delay"], row["after"]["dep_delay"]) == ("UA", 2, 7)
        assert sorted(found.rows("added").collect()["carrier"]) == ["B6", "DL"]


def test_a_difference_the_other_way_round_is_the_opposite(three):
    with three.lake() as lake:
        found = lake.diff(2, 0, three.flights).datasets[three.flights]
        assert counts(found) == (0, 2, 1)
        assert found.rows("changed").collect()["before"].struct.field("dep_delay").to_list() == [7]
        assert counts(lake.diff(1, 0, three.flights).datasets[three.flights]) == (0, 2, 0)


def test_a_version_does_not_differ_from_itself(three):
    with three.lake() as lake:
        found = lake.diff(f"{three.flights}@1", f"{three.flights}@1")
        assert found.same
        assert "the same version" in str(found)


def test_rows_made_again_with_the_same_values_are_no_difference(project):
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        assert counts(lake.diff(0, 1, project.flights).datasets[project.flights]) == (0, 0, 0)


def test_rows_of_events_without_keys_are_told_by_their_values_as_often_as_they_are_there(project):
    project.change(f"datasets/{project.flights}", "keys: [carrier, flight, origin, time_hour]\n", "")
    twice = project.morning + project.morning.removeprefix(project.header)
    project.deliver("1.csv", twice)
    project.run()
    project.deliver("1.csv", project.morning.replace(",2\n", ",7\n"))
    project.run()
    with project.lake() as lake:
        found = lake.diff(0, 1, project.flights).datasets[project.flights]
        assert counts(found) == (1, 3, 0)
        removed = found.rows("removed").collect()
        assert sorted(removed["dep_delay"].to_list()) == [-1, 2, 2]
        assert removed["_raw"].n_unique() == 1


def test_tags_and_moments_differ_in_all_their_datasets(three):
    keyed(three, [("N1", 2, 1.0)])
    with three.lake() as lake:
        lake.tag("flights", [three.flights])
        lake.tag("all")
        found = lake.diff("tag:flights", "tag:all")
        assert found.datasets[three.flights].same
        assert found.datasets[NAME].before is None
        assert counts(found.datasets[NAME]) == (1, 0, 0)
        assert counts(lake.diff("tag:all", "tag:flights").datasets[NAME]) == (0, 1, 0)
        first = lake.history(three.flights)[0].committed_at
        moment = (first + (lake.history(three.flights)[1].committed_at - first) / 2).isoformat()
        found = lake.diff(moment, "tag:all", three.flights).datasets
        assert list(found) == [three.flights]
        assert counts(found[three.flights]) == (2, 0, 1)


def test_keys_of_snapshots_come_go_and_change(project):
    keyed(
        project,
        [("N1", 2, 1.0), ("N2", 3, None), (None, 4, "nan"), ("N4", 9, 9.0)],
        [("N1", 2, 1.5), ("N2", None, None), (None, 4, "nan"), ("N5", 1, 1.0)],
    )
    with project.lake() as lake:
        found = lake.diff(0, 1, NAME).datasets[NAME]
        assert counts(found) == (1, 1, 2)
        assert found.columns == {"seats": 1, "weight": 1}
        assert found.rows("added").collect()["tailnum"].to_list() == ["N5"]
        assert found.rows("removed").collect()["tailnum"].to_list() == ["N4"]


def test_a_key_that_changed_and_changed_back_is_no_difference(project):
    keyed(project, [("N1", 2, 1.0), ("N2", 1, 1.0)], [("N1", 3, 1.0), ("N2", 1, 1.0)], [("N1", 2, 1.0), ("N2", 1, 1.0)])
    with project.lake() as lake:
        assert counts(lake.diff(0, 2, NAME).datasets[NAME]) == (0, 0, 0)
        assert counts(lake.diff(1, 2, NAME).datasets[NAME]) == (0, 0, 1)


def test_a_new_type_is_a_difference_of_the_schema_and_not_of_equal_values(project):
    project.deliver("1.csv", project.morning)
    project.run()
    project.change(f"datasets/{project.flights}", "dep_delay: {type: int", "dep_delay: {type: float")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        found = lake.diff(0, 1, project.flights).datasets[project.flights]
        assert counts(found) == (0, 0, 0)
        assert [(one.path, one.key, one.before, one.after) for one in found.schema] == [
            ("dep_delay", "type", "int", "float")
        ]
        assert "schema: feature dep_delay: type int -> float" in str(found)
        assert not found.same


def test_a_difference_tells_the_files_the_configuration_and_how_far_values_are_apart(three):
    with three.lake() as lake:
        text = str(lake.diff(0, 2, three.flights))
        assert "added: 2.csv" in text
        assert "replaced: 1.csv" in text
        assert "made by execution:" in text
        one = lake.diff(0, 2, three.flights).datasets[three.flights]
        drift = {drift.feature: drift for drift in one.drift}
        assert drift["carrier"].measure == "infinity_norm"
        assert drift["carrier"].distance == pytest.approx(0.25)
        assert drift["dep_delay"].measure == "jensen_shannon"
        assert lake.diff(0, 2, three.flights, statistics=False).datasets[three.flights].drift == ()
        whole = json.loads(lake.diff(0, 2, three.flights).to_json())["datasets"][0]
        assert whole["rows"] == {"added": 2, "removed": 0, "changed": 1}
        assert whole["causes"]["files"][0]["how"] == "added"


def test_lists_and_structs_are_compared_by_their_values(project):
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: ndjson}")
    project.configure(
        f"datasets/{project.flights}",
        """
        source: flights
        schema:
          features:
            id: {type: int}
            tags: {type: "list[string]", presence: optional}
            place: {type: struct, fields: {lat: {type: float}}, presence: optional}
        """,
    )
    rows = [{"id": 1, "tags": ["a"], "place": {"lat": 1.0}}, {"id": 2, "tags": None, "place": None}]
    project.deliver("1.json", "\n".join(map(json.dumps, rows)))
    project.run()
    rows[0]["tags"] = ["a", "b"]
    project.deliver("1.json", "\n".join(map(json.dumps, rows)))
    project.run()
    with project.lake() as lake:
        found = lake.diff(0, 1, project.flights).datasets[project.flights]
        assert counts(found) == (1, 1, 0)
        assert found.rows("added").collect()["tags"].to_list() == [["a", "b"]]


def test_what_cannot_be_compared_is_told(three):
    with three.lake() as lake:
        with pytest.raises(ConfigError, match="of one dataset"):
            lake.diff(f"{three.flights}@0", "aviation/planes@0")
        with pytest.raises(ConfigError, match="number alone is of no dataset"):
            lake.diff(0, 1)
        with pytest.raises(NotFoundError, match="no tag 'v1'"):
            lake.diff("tag:v1", "tag:v2")
        with pytest.raises(NotFoundError, match="has no version 9"):
            lake.diff(0, 9, three.flights)
        with pytest.raises(ConfigError, match="'soon' is no time"):
            lake.diff("soon", f"{three.flights}@1")


def test_the_command_tells_rows_where_they_are_asked_for(three):
    told = command(three, "diff", f"{three.flights}@0", f"{three.flights}@2", "--rows", "1").output
    assert "rows: 2 added, 0 removed, 1 changed" in told
    assert "dep_delay: 2 -> 7" in told
    (one,) = json.loads(command(three, "--json", "diff", "0", "2", three.flights, "--rows", "5").output)["datasets"]
    assert len(one["samples"]["added"]) == 2


ROWS = st.dictionaries(
    st.sampled_from(["A", "B", "C", None]),
    st.tuples(st.sampled_from([1, 2, None]), st.sampled_from([1.0, "nan", None])),
)


@given(st.lists(ROWS, min_size=2, max_size=4))
@settings(max_examples=4, deadline=None)
def test_a_difference_of_snapshots_is_the_difference_of_their_files(tmp_path_factory, new_project, pictures):
    project = new_project(tmp_path_factory.mktemp("diff") / "project")
    project.configure("lakehouse", "root: data")
    contents = [[(key, *values) for key, values in picture.items()] for picture in pictures]
    text = PLANES.replace("keys:", "max_deleted: 100%\n    keys:")
    project.configure("sources/planes", SOURCE)
    project.configure(f"datasets/{NAME}", text.format(history="snapshots"))
    (project.folder / "planes").mkdir()
    moments = []
    with project.lake() as lake:
        for at, rows in enumerate(contents):
            body = "".join(f"{','.join('NA' if v is None else str(v) for v in row)}\n" for row in rows)
            (project.folder / "planes" / f"{at}.csv").write_text(f"tailnum,seats,weight\n{body}")
            lake.land("planes")
            lake.curate(NAME)
            moments.append(project.clock().isoformat() if lake.history(NAME) else None)
        known = [at for at, moment in enumerate(moments) if moment]
        for one, other in itertools.pairwise(known):
            (found,) = lake.diff(moments[one], moments[other], NAME).datasets.values()
            old, new = pictures[one], pictures[other]
            same = {key for key in old.keys() & new.keys() if old[key] == new[key]}
            expected = (len(new.keys() - old), len(old.keys() - new), len(old.keys() & new.keys()) - len(same))
            assert counts(found) == expected
            assert isinstance(found.rows("added"), pl.LazyFrame)
