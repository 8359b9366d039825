"""Locks: a file for Git that pins every dataset's version, and proves that it is still the same."""

import json

import pytest
from copies import command, copied

from lakehouse import Lake
from lakehouse.config.yaml import read
from lakehouse.errors import ConfigError, IntegrityError, NotFoundError


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """A project that was pinned at its first version and has a second, which tests copy."""
    project = new_project(tmp_path_factory.mktemp("pin") / "project")
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        lake.pin(project.folder / "lakehouse.lock")
    project.deliver("2.csv", project.noon)
    project.run()
    return project


@pytest.fixture
def project(made, tmp_path):
    return copied(made, tmp_path / "project")


@pytest.fixture
def file(project):
    """A lock of the first of two versions."""
    return project.folder / "lakehouse.lock"


def locked(project, file):
    return Lake(project.folder / "configs", clock=project.clock, lock=file)


def test_with_a_lock_reads_give_the_pinned_versions(project, file):
    with locked(project, file) as lake:
        assert lake.read(project.flights).height == 2
        assert lake.scan(project.flights).collect().height == 2
        assert lake.statistics(project.flights).rows == 2
        assert lake.read(project.flights, version=1).height == 4
        assert lake.tag("pinned").versions == {project.flights: 0}
        assert lake.lineage(project.flights).upstream()
    with project.lake() as lake:
        assert lake.read(project.flights).height == 4
        assert lake.read(project.flights, tag="pinned").height == 2


def test_with_a_lock_a_step_reads_what_is_pinned(project, file):
    with locked(project, file) as lake:
        with lake.execution("Train", inputs=[project.flights]) as run:
            pass
        assert run.inputs == (f"{project.flights}@0",)


def test_with_a_lock_nothing_is_landed_or_curated(project, file):
    with locked(project, file) as lake:
        for work in (
            lambda: lake.run("nightly"),
            lambda: lake.land("flights"),
            lambda: lake.curate(project.flights),
            lambda: lake.land_file("flights", file),
        ):
            with pytest.raises(ConfigError, match="opened with a lock, and only reads"):
                work()


def test_a_lock_is_short_sorted_and_says_what_a_review_asks(project, file):
    values = read(file).data
    assert values.keys() == {"form", "moment", "datasets"}
    one = values["datasets"][project.flights]
    assert (one["version"], one["rows"], one["raw"], len(one["sha256"])) == (0, 2, 1, 1)
    assert len(one["digest"]) == len(one["configuration"]) == 64


def test_a_lock_of_many_raw_files_holds_their_digest_alone(project, file):
    for at in range(25):
        project.deliver(f"many{at}.csv", project.morning.replace("1545", str(at)))
    project.run()
    with project.lake() as lake:
        lake.pin(file)
    one = read(file).data["datasets"][project.flights]
    assert one["raw"] == 27
    assert "sha256" not in one
    with locked(project, file) as lake:
        assert lake.read(project.flights).height == 54


def test_pinning_what_is_pinned_leaves_the_file_as_it_is(project, file):
    with project.lake() as lake:
        told = lake.pin(file)
        text = file.read_bytes()
        assert told.differences == (f"{project.flights}: version 0 is pinned, the newest is 1 (+2 rows)",)
        assert lake.pin(file).differences == ()
    assert file.read_bytes() == text


def test_a_check_tells_what_differs_and_writes_nothing(project, file):
    text = file.read_bytes()
    with project.lake() as lake:
        assert "version 0 is pinned, the newest is 1" in lake.pin(file, check=True).differences[0]
        with pytest.raises(NotFoundError, match="there is no lock"):
            lake.pin(project.folder / "other.lock", check=True)
    assert file.read_bytes() == text


def test_another_version_of_the_same_number_is_no_pinned_one(project, file, tmp_path, new_project):
    other = new_project(tmp_path / "other")
    other.deliver("1.csv", project.morning.replace(",2\n", ",3\n"))
    other.run()
    with pytest.raises(IntegrityError, match=r"aviation/flights@0 is not the version that .* pins: .*other raw files"):
        locked(other, file)


def test_the_same_files_under_another_configuration_are_no_pinned_version(project, file, tmp_path, new_project):
    other = new_project(tmp_path / "other")
    other.change(f"datasets/{other.flights}", "dep_delay: {type: int", "dep_delay: {type: float")
    other.deliver("1.csv", project.morning)
    other.run()
    with pytest.raises(IntegrityError, match="another configuration"):
        locked(other, file)


def test_a_lake_made_anew_of_the_same_files_is_read_by_the_same_lock(project, file, tmp_path, new_project):
    other = new_project(tmp_path / "other")
    other.deliver("1.csv", project.morning)
    other.run()
    with locked(other, file) as lake:
        assert lake.read(other.flights).height == 2


def test_a_lock_of_what_the_lake_does_not_hold_says_so(project, file):
    text = file.read_text()
    file.write_text(text.replace("version: 0", "version: 7"))
    with pytest.raises(NotFoundError, match=r"pins aviation/flights@7, which this lake does not hold: .*there is 0, 1"):
        locked(project, file)
    file.write_text(text.replace("aviation/flights:", "aviation/fligths:"))
    with pytest.raises(NotFoundError, match=r"pins 'aviation/fligths', which is no dataset\. Did you mean"):
        locked(project, file)


def test_a_dataset_that_the_lock_does_not_name_is_not_read_at_its_newest(project, file):
    project.configure("datasets/aviation/more", (project.folder / "configs/datasets/aviation/flights.yaml").read_text())
    with project.lake() as lake:
        lake.curate("aviation/more")
    with locked(project, file) as lake:
        with pytest.raises(NotFoundError, match="the lock names no version of 'aviation/more'"):
            lake.read("aviation/more")
        assert lake.read("aviation/more", version=0).height == 4


def test_what_is_no_lock_is_refused(project, file):
    for text in ("", "form: 2\n", "form: 1\ndatasets: []\n", "{", "form: 1\nmoment: soon\ndatasets: {}\n"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"lakehouse\.lock"):
            locked(project, file)


def test_the_command_line_reads_by_a_lock_and_checks_it(project, file):
    lock = str(file)
    told = command(project, "--lock", lock, "read", project.flights, "--format", "csv")
    assert len(told.stdout.splitlines()) == 3
    told = command(project, "pin", lock, "--check")
    assert told.exit_code == 1
    assert "version 0 is pinned, the newest is 1" in told.output
    assert json.loads(command(project, "--json", "pin", lock).output)["datasets"][project.flights]["version"] == 1
    assert command(project, "pin", lock, "--check").exit_code == 0
    assert command(project, "run", "nightly", "--lock", lock).exit_code == 2
