"""What happens to a folder of daily files: they come again, late, twice, changed, half-written, oddly named."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from lakehouse.errors import NotFoundError


def told(steps, kind):
    """The messages of one kind, of landings or curations."""
    return [note.message for step in steps for note in step.notes if note.kind == kind]


def raw_files(project):
    return [
        path for path in (project.folder / "data/raw").rglob("*") if path.is_file() and path.name != "manifest.json"
    ]


def test_running_again_with_nothing_new_adds_nothing_and_says_so(project):
    project.deliver("day1.csv", project.morning)
    project.run()
    before = project.read()

    again = project.run()

    assert again.ok
    assert (again.landed[0].files, again.landed[0].new, again.landed[0].unchanged) == (1, 0, 1)
    assert (again.curated[0].files, again.curated[0].version) == (0, None)
    assert project.read().equals(before)


def test_an_unchanged_file_that_is_touched_is_seen_again_and_gives_no_rows(project):
    path = project.deliver("day1.csv", project.morning)
    project.run()
    os.utime(path, (1, 1))

    touched, after = project.run(), project.run()

    assert touched.ok
    assert (touched.landed[0].new, touched.landed[0].unchanged, touched.curated[0].files) == (0, 1, 0)
    assert touched.landed[0].execution > 0, "the sighting is recorded"
    assert after.landed[0].execution == 0, "so the next run need not read the file"
    assert project.read().height == 2


def test_the_same_content_under_another_name_is_stored_once_and_the_run_says_why(project):
    project.deliver("day1.csv", project.morning)
    project.run()
    project.deliver("copy of day1.csv", project.morning)

    ran = project.run()

    assert ran.ok
    assert ran.landed[0].duplicates == 1
    assert told(ran.landed, "duplicate") == ["same content as 'day1.csv': stored once, its rows count once"]
    rows = project.read()
    assert rows.height == 2
    assert [path.name for path in raw_files(project)] == ["day1.csv"]
    with project.lake() as lake:
        origins = lake.trace(project.flights, rows.row(0, named=True)).origins
    assert [Path(origin).name for origin in origins] == ["day1.csv", "copy of day1.csv"]


def test_a_file_older_than_the_newest_one_is_landed_and_curated(project):
    project.deliver("day2.csv", project.noon)
    project.run()
    os.utime(project.deliver("day1.csv", project.morning), (86400, 86400))

    ran = project.run()

    assert ran.landed[0].new == ran.curated[0].files == 1
    assert project.read()["flight"].to_list() == [1545, 1141, 725, 461]


def test_a_half_written_file_waits_until_it_has_settled(project):
    project.change("sources/flights", "path:", "settle: 10m\npath:")
    half = project.deliver("day1.csv", project.morning[:-9])
    written = project.clock.now.timestamp()
    os.utime(half, (written, written))

    early = project.run()
    os.utime(project.deliver("day1.csv", project.morning), (written + 60, written + 60))
    project.clock.now += timedelta(minutes=30)
    late = project.run()

    assert early.ok
    assert (early.landed[0].settling, early.landed[0].new) == (1, 0)
    [message] = told(early.landed, "settling")
    assert message.startswith("still settling: counts as whole in 59")
    assert late.landed[0].new == 1
    assert project.read()["dep_delay"].to_list() == [2, -1]
    assert project.quarantine() == []


def test_a_file_that_changes_after_it_landed_corrects_its_rows_and_history_keeps_both(project):
    project.deliver("day1.csv", project.morning[: -len(",-1\n")])
    torn = project.run()
    project.deliver("day0.csv", project.noon)
    project.run()
    project.deliver("day1.csv", project.morning)

    ran = project.run()

    assert torn.curated[0].rejected == 1
    assert told(ran.landed, "changed") == ["changed since it was landed: the new bytes correct the old rows"]
    assert project.read()["flight"].to_list() == [1545, 1141, 725, 461]
    assert project.read(version=0)["flight"].to_list() == [1545]
    assert project.read(version=1)["flight"].to_list() == [1545, 725, 461]
    assert project.quarantine() == [], "the torn row is corrected too"
    assert len(raw_files(project)) == 3, "the torn bytes are kept"
    with project.lake() as lake:
        assert [version.total for version in lake.history(project.flights)] == [1, 3, 4]


def test_a_file_replaced_by_bytes_that_are_here_already_loses_its_old_rows(project):
    project.deliver("day1.csv", project.morning)
    project.deliver("day2.csv", project.noon)
    project.run()
    project.deliver("day1.csv", project.noon)

    ran = project.run()

    assert ran.landed[0].duplicates == 1
    assert project.read()["flight"].to_list() == [725, 461]
    assert project.read(version=0).height == 4
    with project.lake() as lake:
        assert [version.total for version in lake.history(project.flights)] == [4, 2]


def test_a_table_made_anew_counts_its_own_rows_only(project):
    project.deliver("day1.csv", project.morning)
    project.run()
    project.deliver("day1.csv", project.morning.replace("carrier", "company"))
    project.deliver("day2.csv", project.noon)
    assert project.run().curated[0].refused == 1
    assert project.read().height == 4, "what replaced the old rows cannot be read, so they stay"
    project.change("datasets/aviation/flights", "flight: {type: int}", "flight: {type: float}")

    with project.lake() as lake:
        lake.curate(project.flights, again=True)

        assert lake.read(project.flights).height == lake.history(project.flights)[-1].total == 2
        assert lake.read(project.flights, version=1).height == 4


def test_the_future_cannot_be_asked_for(project):
    project.deliver("day1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        [version] = lake.history(project.flights)

        assert lake.read(project.flights, as_of=version.visible_at).height == 2
        with pytest.raises(NotFoundError, match="did not exist as of"):
            lake.read(project.flights, as_of=version.committed_at - timedelta(microseconds=1))
        with pytest.raises(NotFoundError, match="visible from the run's end on"):
            lake.read(project.flights, as_of=version.committed_at)
        with pytest.raises(NotFoundError, match=r"nothing is known yet; leave as_of out for the newest state"):
            lake.read(project.flights, as_of=project.clock.now + timedelta(days=1))


def test_an_empty_file_a_bare_header_and_a_stray_readme_are_each_told_apart_once(project):
    project.deliver("day1.csv", project.morning)
    project.deliver("empty.csv", "")
    project.deliver("header.csv", project.header)
    project.deliver("README.md", "# Flights\n\nDaily files, by mail.\n")

    ran, again = project.run(), project.run()

    assert not ran.ok
    assert (ran.landed[0].new, ran.curated[0].files, ran.curated[0].refused) == (4, 3, 1)
    assert told(ran.landed, "empty") == ["empty file: landed, it has no rows"]
    assert [note.where for note in ran.curated[0].notes if note.kind == "empty"] == ["empty.csv", "header.csv"]
    assert told(ran.curated, "refused") == [
        (
            "'README.md' lacks the required column 'time_hour'. It has none of the expected columns, but '# Flights': "
            "is it a file of this source?"
        )
    ]
    assert project.read().height == 2
    assert again.ok
    assert again.curated[0].files == again.curated[0].refused == 0
    assert told(again.curated, "empty") == []


def test_odd_file_names_land_and_are_shown_safely(project):
    names = ["a b.csv", 'it\'s "quoted".csv', "new\nline.csv", "tab\t.csv", "snø 雪.csv", "-rf.csv", "bad\udcff.csv"]
    for number, name in enumerate(names):
        project.deliver(name, f"{project.header}2013-01-01T05:00:00Z,UA,{number},EWR,2\n")
    project.deliver("evil\x1b[2J\n.csv", "not,of,this,source\n1,2,3,4\n")

    ran = project.run()

    assert (ran.landed[0].new, ran.curated[0].files, ran.curated[0].refused) == (8, 7, 1)
    rows = project.read()
    assert rows["flight"].to_list() == [0, 1, 2, 3, 4, 5, 6]
    with project.lake() as lake:
        for row in rows.iter_rows(named=True):
            assert f",{row['flight']}," in lake.trace(project.flights, row).text
    for step in (*ran.landed, *ran.curated):
        for note in step.notes:
            assert note.where.isprintable(), note
            assert note.message.isprintable(), note
