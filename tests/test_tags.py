"""Tags: names for versions, all as they were visible at one moment, that never come to mean others."""

import json
from datetime import timedelta

import pytest
from copies import command, copied
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Lake
from lakehouse.errors import ConfigError, NotFoundError, RecordError

WEATHER = """
    source: weather
    keys: [origin]
    schema:
      features:
        origin: {type: string}
        temp: {type: float}
"""
WEATHER_SOURCE = """
    type: files
    path: weather/*
    format: {type: csv}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """A project after one run, which tests copy."""
    project = new_project(tmp_path_factory.mktemp("tags") / "project")
    project.deliver("1.csv", project.morning)
    project.run()
    return project


@pytest.fixture
def project(made, tmp_path):
    """A project after one run."""
    return copied(made, tmp_path / "project")


@pytest.fixture
def lake(project):
    with project.lake() as lake:
        yield lake


def add_weather(project):
    """A second dataset, with one row."""
    (project.folder / "weather").mkdir(exist_ok=True)
    project.configure("sources/weather", WEATHER_SOURCE)
    project.configure("datasets/aviation/weather", WEATHER)
    (project.folder / "weather/1.csv").write_text("origin,temp\nEWR,39.0\n")


def test_a_tag_gives_the_rows_that_were_there_when_it_was_made(project, lake):
    before = project.read()
    made = lake.tag("v1", description="before noon")
    project.deliver("2.csv", project.noon)
    project.run()
    assert project.read(tag="v1").equals(before)
    assert project.read().height == 4
    assert made.versions == {project.flights: 0}
    assert lake.tags() == (made,)


def test_a_tag_of_a_moment_names_what_was_visible_then(project, lake):
    moment = project.clock()
    project.deliver("2.csv", project.noon)
    project.run()
    assert lake.tag("then", as_of=moment).versions == {project.flights: 0}
    assert lake.tag("now").versions == {project.flights: 1}


def test_the_same_tag_again_is_the_tag_that_is_there(project, lake):
    made = lake.tag("v1")
    assert lake.tag("v1") == made
    assert lake.tag("v1", [project.flights]) == made
    assert len(lake.tags()) == 1


def test_a_tag_never_comes_to_name_other_versions(project, lake):
    lake.tag("v1")
    project.deliver("2.csv", project.noon)
    project.run()
    with pytest.raises(RecordError, match=r"tag 'v1' names other versions already \(aviation/flights@0"):
        lake.tag("v1")
    assert lake.tags()[0].versions == {project.flights: 0}


def test_a_tag_is_of_all_datasets_that_have_a_version_or_of_those_asked_for(project):
    add_weather(project)
    with project.lake() as lake:
        assert lake.tag("flights").versions == {project.flights: 0}
        with pytest.raises(NotFoundError, match="'aviation/weather' has no version yet"):
            lake.tag("weather", ["aviation/weather"])
        lake.land("weather")
        lake.curate("aviation/weather")
        assert lake.tag("all").versions == {project.flights: 0, "aviation/weather": 0}
        assert lake.tag("one", ["aviation/weather"]).versions == {"aviation/weather": 0}
        with pytest.raises(NotFoundError, match="tag 'one' does not name 'aviation/flights'"):
            lake.read(project.flights, tag="one")


def test_a_dataset_that_came_later_is_no_part_of_an_older_moment(project):
    moment = project.clock()
    add_weather(project)
    with project.lake() as later:
        later.land("weather")
        later.curate("aviation/weather")
        assert later.tag("then", as_of=moment).versions == {project.flights: 0}


def test_what_cannot_be_a_name_is_refused(lake):
    for name in ("", "-x", "a b", "a@1", "../x", "a//b", "a/", "ü", "x" * 101, "a:b", "v1\n"):
        with pytest.raises(ConfigError, match="cannot be a tag"):
            lake.tag(name)


def test_a_name_is_one_wherever_things_are_named(lake):
    for name in ("v1", "2026", "report/2026-03", "a.b_c-d", "0123456789abcdef"):
        lake.tag(name)
        assert lake.lineage(f"Tag:{name}").upstream(), name


def test_a_lake_without_a_version_has_nothing_to_tag(tmp_path, new_project):
    with new_project(tmp_path / "new").lake() as lake, pytest.raises(NotFoundError, match="nothing to tag"):
        lake.tag("v1")


def test_an_unknown_tag_is_told_with_the_nearest(project, lake):
    with pytest.raises(NotFoundError, match="make one with"):
        lake.read(project.flights, tag="v1")
    lake.tag("release")
    with pytest.raises(NotFoundError, match=r"no tag 'relaese'\. Did you mean 'release'"):
        lake.read(project.flights, tag="relaese")


def test_a_tag_stands_between_the_versions_and_what_was_made_of_them(project, lake):
    lake.tag("v1")
    shown = str(lake.lineage("Tag:v1"))
    assert "TableVersion aviation/flights@0" in shown
    assert "RawFile 1.csv" in shown
    assert "Tag:v1" in [made.id for made in lake.lineage(project.flights).impact().made]


def test_the_record_of_personal_data_names_the_tags_that_hold_them(project):
    project.change(f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        lake.tag("v1")
        assert "Tag:v1" in [holding.name for holding in lake.personal().holdings]


def test_a_lost_ledger_knows_its_tags_again(project, lake):
    made = lake.tag("v1", description="kept")
    rows = project.read(tag="v1")
    lake.close()
    (project.folder / "data/metadata.db").unlink()
    Lake.repair(project.folder / "configs", clock=project.clock)
    with project.lake() as again:
        assert again.tags() == (made,)
        assert again.check() == ()
    assert project.read(tag="v1").equals(rows)


def test_a_tag_whose_making_was_killed_can_be_made_again(project, lake):
    process = project.start("-m", "lakehouse", "tag", "v1", LAKEHOUSE_FAIL_AT="tag.begun")
    process.communicate(timeout=120)
    assert process.returncode == -9
    assert lake.tags() == ()
    assert lake.tag("v1").versions == {project.flights: 0}
    assert lake.check() == ()


def test_tags_are_made_and_listed_on_the_command_line(project):
    assert command(project, "tag", "v1", "--description", "the first").output.startswith("v1: aviation/flights@0 as of")
    told = command(project, "tag").output
    assert [word for word in ("v1", "aviation/flights@0", "the first") if word not in told] == []
    assert json.loads(command(project, "--json", "tag").output)[0]["versions"] == {project.flights: 0}
    assert len(command(project, "read", project.flights, "--tag", "v1", "--format", "csv").stdout.splitlines()) == 3
    assert command(project, "tag", "--as-of", "2026-01-01").exit_code == 2


STEPS = st.lists(st.sampled_from(["new", "correct", "again", "tag"]), min_size=2, max_size=6)


@given(STEPS)
@settings(max_examples=4, deadline=None)
def test_whatever_is_curated_or_corrected_later_a_tag_answers_the_same_rows(tmp_path_factory, new_project, steps):
    project = new_project(tmp_path_factory.mktemp("tags") / "project")
    project.deliver("0.csv", project.morning)
    answers = {}
    with project.lake() as lake:
        lake.run("nightly")
        for at, step in enumerate([*steps, "tag"]):
            if step == "tag":
                lake.tag(f"t{at}")
                answers[f"t{at}"] = lake.read(project.flights)
            elif step == "again":
                lake.curate(project.flights, again=True)
            else:
                name = "0.csv" if step == "correct" else f"{at}.csv"
                project.deliver(name, project.morning.replace(",2\n", f",{at + 10}\n"))
                lake.run("nightly")
        for name, rows in answers.items():
            order = ["_execution", "_raw", "_row"]
            assert lake.read(project.flights, tag=name).sort(order).equals(rows.sort(order)), name


def test_a_tag_never_holds_half_of_a_run(project, lake):
    # What a run made is seen by moments from the run's end on.
    project.deliver("2.csv", project.noon)
    project.run()
    version = lake.history(project.flights)[-1]
    assert lake.tag("before", as_of=version.committed_at).versions == {project.flights: 0}
    assert lake.tag("after").versions == {project.flights: 1}


def test_a_clock_that_was_set_back_makes_no_tag_older(project, lake):
    project.deliver("2.csv", project.noon)
    project.run()
    project.clock.now -= timedelta(days=1)
    assert lake.tag("v1").versions == {project.flights: 1}
