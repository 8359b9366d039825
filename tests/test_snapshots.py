"""Snapshots: of every full picture only what it changes is appended, and the dataset is always the newest one."""

import math
import os
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import ConfigError, NotFoundError, SchemaError

PLANES = "aviation/planes"
HEADER = "tail,seats\n"


@pytest.fixture
def planes(project):
    """A project whose one dataset is loaded by snapshots."""
    return configured(project)


def configured(project, said="", features="", keys="[tail]"):
    project.configure(
        f"datasets/{PLANES}",
        f"""
source: flights
history: snapshots
keys: {keys}
{said}
schema:
  features:
    tail: {{type: string, presence: optional}}
    seats: {{type: int, presence: optional}}
{features}
""",
    )
    project.configure("jobs/nightly", f"datasets: [{PLANES}]")
    (project.folder / "configs/datasets/aviation/flights.yaml").unlink(missing_ok=True)
    return project


def required(project):
    """Without it a row says nothing of any key."""
    project.change(f"datasets/{PLANES}", "tail: {type: string, presence: optional}", "tail: {type: string}")


def took(project, name, rows, **again):
    """Let a picture arrive and take it in; what was done."""
    project.deliver(name, HEADER + rows)
    return curated(project, **again)


def curated(project, **again):
    with project.lake() as lake:
        lake.land("flights")
        return lake.curate(PLANES, **again)


def state(project, **when):
    with project.lake() as lake:
        frame = lake.read(PLANES, **when)
    return dict(frame.select("tail", "seats").iter_rows())


def log(project):
    """Every row that was ever appended, as the table holds it."""
    return pl.read_delta(str(project.folder / "data/curated" / PLANES)).sort("_execution", "_position")


def whole(project):
    with project.lake() as lake:
        assert lake.check() == ()
    return True


def test_only_what_a_picture_changes_is_appended(planes):
    first = took(planes, "1.csv", "a,1\nb,2\nc,3\nd,4\n")
    assert (first.read, first.curated, first.unchanged, first.deleted) == (4, 4, 0, 0)
    second = took(planes, "2.csv", "a,1\nb,20\nc,3\ne,5\n")
    assert (second.read, second.curated, second.unchanged, second.deleted) == (4, 2, 2, 1)
    assert state(planes) == {"a": 1, "b": 20, "c": 3, "e": 5}
    assert state(planes, version=first.version) == {"a": 1, "b": 2, "c": 3, "d": 4}
    added = log(planes).filter(pl.col("_execution") == second.execution).sort("tail")
    assert added["tail", "seats", "_change", "_row"].rows() == [
        ("b", 20, "update", 2),
        ("d", None, "delete", None),
        ("e", 5, "insert", 4),
    ]
    assert added["_raw"].n_unique() == 1
    assert added["_valid_from"].n_unique() == 1
    assert added["_valid_from"][0] > log(planes)["_valid_from"][0]
    assert whole(planes)


def test_a_picture_that_changes_nothing_makes_no_version(planes):
    took(planes, "1.csv", "a,1\nb,2\n")
    again = took(planes, "2.csv", "b,2\na,1\n")
    assert (again.version, again.read, again.curated, again.unchanged) == (None, 2, 0, 2)
    assert curated(planes).execution == 0
    assert whole(planes)


def test_a_picture_that_comes_back_is_a_picture_again(planes):
    for name, rows in (("1.csv", "a,1\n"), ("2.csv", "a,2\n"), ("3.csv", "a,1\n")):
        took(planes, name, rows)
    assert state(planes) == {"a": 1}
    took(planes, "3.csv", "a,2\n")
    took(planes, "3.csv", "a,1\n")
    assert state(planes) == {"a": 1}
    assert log(planes)["seats"].to_list() == [1, 2, 1, 2, 1]
    assert whole(planes)


def test_of_a_key_that_comes_twice_the_last_row_counts(planes):
    done = took(planes, "1.csv", "a,1\nb,2\na,3\na,4\n")
    assert (done.read, done.curated, done.duplicates) == (4, 2, 2)
    assert "2 rows came again later" in next(n.message for n in done.notes if n.kind == "duplicates")
    assert state(planes) == {"a": 4, "b": 2}
    assert whole(planes)


def test_a_rejected_row_leaves_its_key_as_it_was(planes):
    took(planes, "1.csv", "a,1\nb,2\nc,3\n")
    done = took(planes, "2.csv", "a,x\nb,5\n")
    assert (done.read, done.curated, done.rejected, done.deleted) == (2, 1, 1, 1)
    assert state(planes) == {"a": 1, "b": 5}
    planes.deliver("3.csv", HEADER + "a,y\nb,6\n")
    planes.deliver("4.csv", HEADER + "b,7\n")  # held against what the third left
    assert curated(planes).deleted == 1
    assert state(planes) == {"b": 7}
    assert whole(planes)


@pytest.mark.parametrize("odd", ["NA,9\n", "b,2,surplus\n"], ids=["a key that is missing", "a broken record"])
def test_a_row_of_an_unknown_key_withholds_every_delete(project, odd):
    configured(project)
    required(project)
    took(project, "1.csv", "a,1\nb,2\nc,3\n")
    done = took(project, "2.csv", "a,5\n" + odd)
    assert (done.curated, done.rejected, done.deleted) == (1, 1, 0)
    assert "2 keys that it does not hold were not deleted" in next(
        n.message for n in done.notes if n.kind == "withheld"
    )
    assert state(project) == {"a": 5, "b": 2, "c": 3}
    assert took(project, "3.csv", "a,5\nc,3\n").deleted == 1
    assert whole(project)


def test_a_picture_that_deletes_too_much_is_refused_by_name_and_can_be_accepted(planes):
    took(planes, "1.csv", "a,1\nb,2\nc,3\n")
    planes.deliver("2.csv", HEADER + "a,9\n")
    planes.deliver("3.csv", HEADER + "a,8\nb,2\n")
    done = curated(planes)
    assert (done.refused, done.curated, done.deleted) == (1, 1, 1)
    told = next(n.message for n in done.notes if n.kind == "refused")
    assert "'2.csv' would delete 2 of the 3 keys there are, more than max_deleted (50%) allows" in told
    assert state(planes) == {"a": 8, "b": 2}
    named = told.partition("--raw ")[2].split("`")[0]
    accepted = curated(planes, raw=[named])
    assert (accepted.refused, state(planes)) == (0, {"a": 8, "b": 2})
    assert log(planes)["seats"].to_list()[-2:] == [8, 2]
    assert curated(planes).execution == 0
    assert whole(planes)


def test_a_refused_picture_is_tried_again_once_max_deleted_allows_it(planes):
    took(planes, "1.csv", "a,1\nb,2\nc,3\n")
    assert took(planes, "2.csv", "").refused == 1
    assert curated(planes).execution == 0
    planes.change(f"datasets/{PLANES}", "keys: [tail]", "keys: [tail]\nmax_deleted: 100%")
    done = curated(planes)
    assert (done.deleted, done.read, state(planes)) == (3, 0, {})
    assert took(planes, "3.csv", "a,4\n").curated == 1
    assert state(planes) == {"a": 4}
    assert whole(planes)


def test_keys_of_several_columns_may_be_missing_in_part(project):
    configured(
        project, features="    year: {type: int, presence: optional}", keys="[tail, year]", said="max_deleted: 100%"
    )
    project.deliver("1.csv", "tail,year,seats\na,NA,1\na,2000,2\nNA,NA,3\n")
    curated(project)
    project.deliver("2.csv", "tail,year,seats\na,NA,1\na,2001,2\nNA,NA,4\n")
    done = curated(project)
    assert (done.unchanged, done.curated, done.deleted) == (1, 2, 1)
    with project.lake() as lake:
        rows = set(lake.read(PLANES).select("tail", "year", "seats").iter_rows())
    assert rows == {("a", None, 1), ("a", 2001, 2), (None, None, 4)}


def test_values_that_are_the_same_are_no_change_however_odd(project):
    inner = "{x: {type: float, presence: optional}, y: {type: 'list[int]'}}"
    features = ["odd: {type: float}", "many: {type: 'list[float]'}", f"both: {{type: struct, fields: {inner}}}"]
    configured(project, features="\n".join(f"    {feature}" for feature in features))
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: ndjson")
    row = '{"tail": "%s", "seats": null, "odd": %s, "many": [%s, 2.5], "both": {"x": %s, "y": [1]}}\n'
    lines = [row % ("a", '"NaN"', '"NaN"', '"NaN"'), row % ("b", "0.0", "0.0", "0.0"), row % ("c", "1", "1", "null")]
    project.deliver("1.json", "".join(lines))
    assert curated(project).curated == 3
    lines[1] = row % ("b", "-0.0", "0.0", "0.0")
    project.deliver("2.json", "".join(reversed(lines)))
    done = curated(project)
    assert (done.unchanged, done.curated, done.rejected) == (3, 0, 0)
    lines[2] = row % ("c", "1", "1", "2")
    project.deliver("3.json", "".join(lines))
    assert curated(project).curated == 1
    with project.lake() as lake:
        assert math.isnan(lake.read(PLANES).sort("tail")["odd"][0])


def test_a_large_picture_is_compared_in_pieces(planes, monkeypatch):
    monkeypatch.setattr("lakehouse.curation.differences.PIECE", 3)
    took(planes, "1.csv", "".join(f"{tail},1\n" for tail in "abcdefgh") + "NA,1\n")
    done = took(planes, "2.csv", "".join(f"{tail},{1 + (tail in 'ac')}\n" for tail in "acdefgij") + "NA,1\n")
    assert (done.curated, done.unchanged, done.deleted) == (4, 5, 2)
    assert state(planes) == dict.fromkeys("defgij", 1) | {"a": 2, "c": 2, None: 1}
    assert whole(planes)


def dated(project):
    return configured(project, said="snapshot_time: planes_%Y-%m-%d*.csv\nmax_deleted: 100%")


def test_pictures_that_come_late_or_are_corrected_are_taken_in_their_order(project):
    dated(project)
    took(project, "planes_2026-01-01.csv", "a,1\nb,1\n")
    third = took(project, "planes_2026-01-03.csv", "a,3\n")
    late = took(project, "planes_2026-01-02.csv", "a,2\nb,2\nc,2\n")
    assert (late.files, late.deleted, late.curated) == (2, 2, 4)
    assert state(project) == {"a": 3}
    assert state(project, valid_at="2026-01-02T12:00:00Z") == {"a": 2, "b": 2, "c": 2}
    assert state(project, valid_at="2026-01-02T12:00:00Z", version=third.version) == {"a": 1, "b": 1}
    corrected = took(project, "planes_2026-01-02.csv", "a,2\n")
    assert corrected.files == 2  # itself and the third; what lay there before still is a picture of that day
    assert state(project, valid_at="2026-01-02T12:00:00Z") == {"a": 2}
    assert state(project, valid_at="2026-01-02T12:00:00Z", version=late.version) == {"a": 2, "b": 2, "c": 2}
    assert state(project) == {"a": 3}
    assert whole(project)


def test_a_picture_that_is_corrected_can_go_for_good(project):
    dated(project)
    project.change(f"datasets/{PLANES}", "keys: [tail]", "keys: [tail]\non_changed_file: correct")
    took(project, "planes_2026-01-01.csv", "a,1\nb,1\n")
    took(project, "planes_2026-01-02.csv", "a,2\n")
    done = took(project, "planes_2026-01-01.csv", "a,1\n")
    assert (done.files, done.deleted) == (2, 0)
    with project.lake() as lake:
        assert lake.read(PLANES, history=True)["tail"].to_list() == ["a", "a"]
    assert whole(project)


def test_a_file_without_its_moment_is_refused_by_name(project):
    dated(project)
    project.deliver("planes_2026-01-01_b.csv", HEADER + "a,1\n")
    done = took(project, "other.csv", "a,2\n")
    assert (done.files, done.refused) == (1, 1)
    assert "'other.csv' does not fit snapshot_time: planes_%Y-%m-%d*.csv" in done.notes[-1].message
    assert curated(project).execution == 0
    project.change(f"datasets/{PLANES}", "snapshot_time: planes_%Y-%m-%d*.csv", "snapshot_time: landed")
    with pytest.raises(
        SchemaError, match=r"load kind no longer fits its table \(snapshot_time from planes_.* to landed"
    ):
        curated(project)
    assert curated(project, again=True).files == 2
    assert whole(project)


def test_a_new_column_changes_the_rows_that_have_it(planes):
    took(planes, "1.csv", "a,1\nb,2\n")
    planes.change(f"datasets/{PLANES}", "    seats:", "    maker: {type: string, presence: optional}\n    seats:")
    planes.deliver("2.csv", "tail,maker,seats\na,Airbus,1\nb,NA,2\n")
    done = curated(planes)
    assert (done.curated, done.unchanged) == (1, 1)
    with planes.lake() as lake:
        assert dict(lake.read(PLANES).select("tail", "maker").iter_rows()) == {"a": "Airbus", "b": None}
    planes.change(f"datasets/{PLANES}", "    maker: {type: string, presence: optional}\n", "")
    assert took(planes, "3.csv", "a,1\nb,2\n").curated == 1  # what it says no more is missing
    with planes.lake() as lake:
        assert lake.read(PLANES)["maker"].null_count() == 2
    assert whole(planes)


def test_pictures_are_partitioned_like_other_rows(project):
    configured(project, said="partition_by: [seats]")
    took(project, "1.csv", "a,1\nb,2\n")
    took(project, "2.csv", "a,2\n")
    assert state(project) == {"a": 2}
    assert {p.name for p in (project.folder / "data/curated" / PLANES).glob("seats=*")} == {
        "seats=1",
        "seats=2",
        "seats=__HIVE_DEFAULT_PARTITION__",
    }
    assert whole(project)


def test_taking_all_in_again_gives_the_same_and_keeps_the_past(planes):
    took(planes, "1.csv", "a,1\nb,2\n")
    before = took(planes, "2.csv", "a,3\n")
    changes = log(planes).drop("_execution", "_recorded_at", "_position")
    after = curated(planes, again=True)
    assert (after.files, after.curated, after.deleted) == (2, 3, 1)
    anew = log(planes).filter(pl.col("_execution") == after.execution).drop("_execution", "_recorded_at", "_position")
    assert anew.equals(changes)
    assert state(planes) == state(planes, version=before.version) == {"a": 3}
    with planes.lake() as lake:
        part = lake.curate(PLANES, since=planes.clock.now)
        assert part.execution == 0
        with pytest.raises(NotFoundError, match="has no raw file ffff"):
            lake.curate(PLANES, raw=["ffff"])
    assert whole(planes)


def test_another_key_needs_everything_again_in_a_new_table(planes):
    took(planes, "1.csv", "a,1\nb,1\n")
    planes.change(f"datasets/{PLANES}", "keys: [tail]", "keys: [seats]")
    with pytest.raises(SchemaError, match=r"keys from \['tail'\] to \['seats'\].*curate aviation/planes --again"):
        took(planes, "2.csv", "a,1\n")
    assert curated(planes, again=True).duplicates == 1
    with planes.lake() as lake:
        first, *_, last = lake.history(PLANES)
        assert (first.keys, last.keys, last.uri) == (("tail",), ("seats",), f"curated/{PLANES}~2")
        assert lake.read(PLANES, version=first.version).height == 2
    assert whole(planes)


def test_statistics_are_of_the_whole_picture(planes):
    took(planes, "1.csv", "a,1\nb,2\nc,4\n")
    took(planes, "2.csv", "a,1\nb,2\nc,5\n")
    with planes.lake() as lake:
        assert lake.statistics(PLANES).rows == 3
        assert lake.statistics(PLANES, version=0).rows == 3
        assert lake.statistics(PLANES).features["seats"].high == 5


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("history: snapshots", "history is snapshots, which are of something; name the features"),
        ("history: snapshots\nkeys: [a]\nsnapshot_time: planes.csv", "a file name with the codes of a moment"),
        ("history: snapshots\nkeys: [a]\nsnapshot_time: planes_%Q.csv", "'%Q' is no code for a moment"),
        ("history: snapshots\nkeys: [a]\ndelete_when: a = '1'", "is of changes, and history is snapshots"),
        ("keys: [a]\nmax_deleted: 5%", "is of snapshots, and history is events"),
        ("keys: [a]\nsnapshot_time: p_%Y.csv", "is of snapshots, and history is events"),
    ],
)
def test_what_makes_no_sense_for_a_load_kind_is_told(project, said, told):
    project.configure(f"datasets/{PLANES}", f"source: flights\n{said}\nschema: {{features: {{a: {{type: string}}}}}}")
    with pytest.raises(ConfigError, match=told.replace("(", r"\(")):
        project.lake()


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", "2", "NA", "x"])) | st.just(("", "1")), max_size=6
)
PICTURES = st.lists(st.tuples(st.integers(1, 5), ROWS), min_size=1, max_size=4)


def brute_force(pictures):
    """The state after each picture, worked out row by row."""
    now, states = {}, []
    for rows in pictures:
        new = {tail: None if seats == "NA" else int(seats) for tail, seats in rows if tail and seats != "x"}
        lost = {tail for tail, seats in rows if not tail or seats == "x"}
        now = {tail: seats for tail, seats in now.items() if tail in lost or "" in lost} | new
        states.append(now)
    return states


@settings(
    max_examples=int(os.environ.get("LAKEHOUSE_EXAMPLES", "5")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(PICTURES)
def test_the_state_is_the_newest_picture_in_whatever_order_they_come(new_project, pictures):
    with tempfile.TemporaryDirectory() as folder:
        by_one, at_once = (dated(new_project(Path(folder) / name)) for name in ("one", "all"))
        for project in (by_one, at_once):
            required(project)
        for number, (day, rows) in enumerate(pictures):
            text = HEADER + "".join(f"{tail or 'NA'},{seats}\n" for tail, seats in rows)
            for project in (by_one, at_once):
                project.deliver(f"planes_2026-01-0{day}_{number}.csv", text)
            done = curated(by_one)
            assert done.read == done.curated + done.rejected + done.unchanged + done.duplicates
            with at_once.lake() as lake:
                lake.land("flights")
        curated(at_once)
        ordered = sorted((day, number) for number, (day, _) in enumerate(pictures))
        states = brute_force(pictures[number][1] for _, number in ordered)
        then = {day: expected for (day, _), expected in zip(ordered, states, strict=True)}  # the last of a day
        for project in (by_one, at_once):
            with project.lake() as lake:
                assert lake.check() == ()
                made = lake.history(PLANES)
            assert made or not any(states)
            if made:
                assert state(project) == states[-1]
                assert {day: state(project, valid_at=f"2026-01-0{day}T12:00:00Z") for day in then} == then
