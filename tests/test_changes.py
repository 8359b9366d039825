"""Feeds of changes: every row is a new state of its key, or its end; and what comes late finds its place."""

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import ConfigError, SchemaError

SEATS = "aviation/seats"
HEADER = "tail,at,op,seats\n"


@pytest.fixture
def feed(project):
    """A project whose one dataset is a feed of changes."""
    return configured(project)


def configured(project, said="event_time: at", delete_when="delete_when: \"op = 'D'\""):
    project.configure(
        f"datasets/{SEATS}",
        f"""
source: flights
history: changes
keys: [tail]
{said}
{delete_when}
schema:
  features:
    tail: {{type: string}}
    at: {{type: date}}
    op: {{type: string, domain: [U, D]}}
    seats: {{type: int, domain: {{min: 1}}}}
  checks:
    few: seats < 1000
""",
    )
    project.configure("jobs/nightly", f"datasets: [{SEATS}]")
    (project.folder / "configs/datasets/aviation/flights.yaml").unlink(missing_ok=True)
    return project


def took(project, name, rows, **again):
    """Let a file arrive and take it in; what was done."""
    project.deliver(name, HEADER + rows)
    return curated(project, **again)


def curated(project, **again):
    with project.lake() as lake:
        lake.land("flights")
        return lake.curate(SEATS, **again)


def state(project, **when):
    with project.lake() as lake:
        return dict(lake.read(SEATS, **when).select("tail", "seats").iter_rows())


def whole(project):
    with project.lake() as lake:
        assert lake.check() == ()
    return True


def test_of_each_key_the_newest_row_is_its_state_and_a_delete_ends_it(feed):
    done = took(feed, "1.csv", "a,2026-01-01,U,1\nb,2026-01-01,U,2\na,2026-01-03,U,3\nb,2026-01-02,D,NA\n")
    assert (done.read, done.curated, done.rejected) == (4, 4, 0)
    assert state(feed) == {"a": 3}
    assert state(feed, valid_at="2026-01-01T00:00:00Z") == {"a": 1, "b": 2}
    late = took(feed, "2.csv", "a,2026-01-02,U,2\nb,2026-01-03,U,9\n")
    assert state(feed) == {"a": 3, "b": 9}
    assert state(feed, valid_at="2026-01-02T00:00:00Z") == {"a": 2}
    assert state(feed, valid_at="2026-01-02T00:00:00Z", version=done.version) == {"a": 1}
    with feed.lake() as lake:
        assert [v.history for v in lake.history(SEATS)] == ["changes", "changes"]
        assert lake.history(SEATS)[-1].total == done.curated + late.curated
    assert whole(feed)


def test_only_keys_and_time_of_a_delete_must_be_good(feed):
    took(feed, "1.csv", "a,2026-01-01,U,1\nb,2026-01-01,U,1\n")
    good = "a,2026-01-02,D,what\nb,2026-01-02,D,-5\nc,2026-01-02,D,5000\n"
    done = took(feed, "2.csv", good + "NA,2026-01-02,D,1\nd,soon,D,1\ne,2026-01-02,U,-5\n")
    assert (done.curated, done.rejected) == (3, 3)
    assert state(feed) == {}
    with feed.lake() as lake:
        reasons = lake.quarantine(SEATS).sort("_row").collect()["reasons"].to_list()
        assert reasons == [["tail: missing"], ["at: not a date"], ["seats: below 1"]]
        assert lake.statistics(SEATS).rows == 2  # a delete is no value that is missing
    assert whole(feed)


def test_rows_that_say_two_things_of_one_moment_are_told_and_the_last_counts(feed):
    feed.deliver("a.csv", HEADER + "a,2026-01-01,U,1\na,2026-01-01,U,2\nb,2026-01-01,U,1\n")
    feed.deliver("b.csv", HEADER + "a,2026-01-01,U,3\n")
    done = curated(feed)
    assert "2 rows came again later in the batch" in next(n.message for n in done.notes if n.kind == "duplicates")
    assert (done.curated, done.duplicates) == (4, 0)
    assert state(feed) == {"a": 3, "b": 1}


def test_without_an_event_time_what_landed_later_counts(project):
    configured(project, said="")
    took(project, "b.csv", "a,2026-01-09,U,1\n")
    took(project, "a.csv", "a,2026-01-01,U,2\n")
    assert state(project) == {"a": 2}
    with project.lake() as lake:
        before = lake.read(SEATS, history=True).select("seats", "valid_from", "valid_to")
        lake.curate(SEATS, again=True)
        assert lake.read(SEATS, history=True).select("seats", "valid_from", "valid_to").equals(before)
    assert state(project) == {"a": 2}


def test_newer_bytes_correct_those_before_unless_they_are_to_be_appended(project):
    configured(project)
    took(project, "feed.csv", "a,2026-01-01,U,1\n")
    took(project, "feed.csv", "b,2026-01-01,U,2\n")
    assert state(project) == {"b": 2}
    project.change(f"datasets/{SEATS}", "keys: [tail]", "keys: [tail]\non_changed_file: append")
    assert curated(project).files == 1  # what was replaced before
    assert state(project) == {"a": 1, "b": 2}
    took(project, "feed.csv", "c,2026-01-01,U,3\n")
    assert curated(project, again=True).files == 3
    assert state(project) == {"a": 1, "b": 2, "c": 3}
    assert curated(project).execution == 0
    assert whole(project)


def test_events_can_be_appended_under_one_name_too(project):
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\non_changed_file: append")
    for content in (project.morning, project.noon, project.morning.replace("1545", "7")):
        project.deliver("feed.csv", content)
        project.run()
    assert project.read().height == 6


def test_what_was_landed_since_a_moment_can_be_taken_again(feed):
    took(feed, "1.csv", "a,2026-01-01,U,1\n")
    between = feed.clock()
    took(feed, "2.csv", "a,2026-01-02,U,2\n")
    done = curated(feed, since=between)
    assert (done.files, done.curated, state(feed)) == (1, 1, {"a": 2})
    assert curated(feed, since=between.isoformat()).files == 1
    with feed.lake() as lake:
        assert lake.history(SEATS)[-1].total == 2
        with pytest.raises(ConfigError, match="since: 'then' is no time"):
            lake.curate(SEATS, since="then")
    assert whole(feed)


def test_a_dataset_of_events_becomes_one_of_changes_in_a_new_table(feed):
    feed.change(f"datasets/{SEATS}", "history: changes", "history: events")
    feed.change(f"datasets/{SEATS}", "delete_when: \"op = 'D'\"", "")
    took(feed, "1.csv", "a,2026-01-01,U,1\na,2026-01-02,U,2\n")
    feed.change(f"datasets/{SEATS}", "history: events", "history: changes")
    with pytest.raises(SchemaError, match=r"load kind no longer fits its table \(history from events to changes\)"):
        took(feed, "2.csv", "b,2026-01-01,U,1\n")
    assert curated(feed, again=True).curated == 3
    assert state(feed) == {"a": 2, "b": 1}
    with feed.lake() as lake:
        assert lake.read(SEATS, version=0).height == 2
        assert (lake.history(SEATS)[0].history, lake.history(SEATS)[-1].history) == ("events", "changes")
    assert whole(feed)


def test_another_event_time_needs_everything_again(feed):
    took(feed, "1.csv", "a,2026-01-01,U,1\n")
    feed.change(f"datasets/{SEATS}", "event_time: at\n", "")
    with pytest.raises(SchemaError, match=r"\(event_time from at to None\)"):
        took(feed, "2.csv", "b,2026-01-01,U,1\n")
    assert curated(feed, again=True).curated == 2
    with feed.lake() as lake:
        assert lake.read(SEATS, history=True)["valid_from"].n_unique() == 2  # when each file landed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("event_time: at", "a change must say since when it is true: 'at' must be required"),
        ('delete_when: "opp = 1"', "reads 'opp', which is not a feature. Did you mean 'op'?"),
        ('delete_when: "seats"', "must be true or false of a row, this gives Int64"),
        ('delete_when: "seats > avg(seats)"', "looks at other rows too; a row must say by itself"),
        ("max_deleted: 5%", "is of snapshots, and history is changes"),
        ("on_changed_file: replace", "on_changed_file"),
    ],
)
def test_what_a_feed_cannot_be_is_told(project, said, told):
    features = "{at: {type: date, presence: optional}, tail: {type: string}, op: {type: string}, seats: {type: int}}"
    project.configure(
        f"datasets/{SEATS}",
        f"source: flights\nhistory: changes\nkeys: [tail]\n{said}\nschema: {{features: {features}}}",
    )
    with pytest.raises(ConfigError) as error:
        project.lake()
    assert told in str(error.value)


CHANGES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sampled_from("UUD"), st.integers(1, 9)), max_size=5
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_files_taken_one_by_one_or_at_once_give_the_same_states(new_project, files):
    with tempfile.TemporaryDirectory() as folder:
        by_one, at_once = (configured(new_project(Path(folder) / name)) for name in ("one", "all"))
        for number, rows in enumerate(files):
            text = HEADER + "".join(f"{tail},2026-01-0{day},{op},{seats}\n" for tail, day, op, seats in rows)
            text += f"z,2026-01-01,U,{number + 1}\n"  # no two files are the same
            for project in (by_one, at_once):
                project.deliver(f"{9 - number}.csv", text)
            curated(by_one)
            with at_once.lake() as lake:
                lake.land("flights")
        curated(at_once)
        in_time = sorted((row for rows in files for row in rows), key=lambda row: row[1])
        expected = {tail: None if op == "D" else seats for tail, _, op, seats in in_time}
        found = {tail: seats for tail, seats in expected.items() if seats is not None} | {"z": len(files)}
        pasts = []
        for project in (by_one, at_once):
            assert state(project) == found
            with project.lake() as lake:
                assert lake.check() == ()
                frame = lake.read(SEATS, history=True).select("tail", "seats", "valid_from", "valid_to")
                pasts.append(frame.sort(pl.all()))
        assert pasts[0].equals(pasts[1])
