"""Landing: what is told of each file, what comes back after damage, how a weak source is tried again."""

import json
import shutil
import time
from contextlib import contextmanager

import pytest
import stamina

from lakehouse import Lake, landing
from lakehouse.errors import SourceError
from lakehouse.sources import Download, Offer


def raw_folders(project):
    return sorted(folder for folder in (project.folder / "data/raw/flights").glob("*/*") if folder.is_dir())


def notes(ran, kind):
    return [note.message for landed in ran.landed for note in landed.notes if note.kind == kind]


def problems(project):
    with project.lake() as lake:
        return [str(problem) for problem in lake.check()]


@pytest.mark.parametrize("left", [[], ["manifest.json"], ["day.csv"], ["day.csv cut short"]])
def test_bytes_gone_from_the_raw_zone_come_back_under_their_name_when_landed_again(project, left):
    project.deliver("day.csv", project.morning)
    assert project.run().ok
    (folder,) = raw_folders(project)
    for file in folder.iterdir():
        if file.name not in left:
            file.unlink()
    if left == ["day.csv cut short"]:
        (folder / "day.csv").write_text("time_hour")
    project.deliver("again.csv", project.morning)
    assert project.run().ok
    assert (folder / "day.csv").read_text() == project.morning
    assert json.loads((folder / "manifest.json").read_text())["name"] == "day.csv"
    assert problems(project) == []
    assert project.read().height == 2


def test_two_new_files_of_one_content_in_one_landing_leave_nothing_to_complain_about(project):
    project.deliver("a.csv", project.morning)
    project.deliver("b.csv", project.morning)
    assert notes(project.run(), "duplicate") == ["same content as 'a.csv': stored once, its rows count once"]
    assert problems(project) == []


def test_bytes_that_a_killed_landing_published_under_another_name_are_recorded_under_that_name(project):
    project.deliver("a.csv", project.morning)
    killed = project.start("-m", "lakehouse", "run", "nightly", LAKEHOUSE_FAIL_AT="land.renamed")
    killed.communicate(timeout=60)
    (project.folder / "incoming/a.csv").rename(project.folder / "incoming/b.csv")
    assert project.run().ok
    assert problems(project) == []


def test_a_file_that_goes_back_to_earlier_bytes_is_told_to_correct_the_newer_rows(project):
    for content in (project.morning, project.noon, project.morning):
        project.deliver("day.csv", content)
        ran = project.run()
    assert notes(ran, "duplicate") == ["back to earlier bytes: they correct the rows of the newer ones"]
    assert project.read()["carrier"].to_list() == ["UA", "AA"]


class Weak(Offer):
    """An offer that fails so many times before its bytes come."""

    name = origin = "weak.csv"

    def __init__(self, failures, *, retryable):
        self.failures, self.retryable, self.tries = failures, retryable, []

    @contextmanager
    def open(self):
        """Fail, or give the bytes."""
        self.tries.append(time.monotonic())
        if len(self.tries) <= self.failures:
            raise SourceError(f"failure {len(self.tries)}", retryable=self.retryable)
        yield Download(chunks=iter([b"k\n1\n"]), size=4, modified="")


@pytest.mark.parametrize(
    ("failures", "retryable", "attempts", "tries"),
    [
        (0, True, 3, 1),
        (1, True, 3, 2),
        (2, True, 3, 3),
        (3, True, 3, 3),
        (1, True, 1, 1),
        (1, False, 3, 1),
    ],
)
def test_a_weak_source_is_tried_as_often_as_configured_and_only_while_that_may_help(
    project, failures, retryable, attempts, tries
):
    offer, failed = Weak(failures, retryable=retryable), int(failures >= tries)
    with project.lake() as lake, stamina.set_testing(True, attempts=attempts, cap=True):
        under_way = landing._Landing(lake._site, "flights", attempts)
        with under_way.recorded():
            under_way.take(offer)
        landed = under_way.result()
    assert (len(offer.tries), landed.failed, landed.new) == (tries, failed, 1 - failed)
    assert [note.message for note in landed.notes] == [f"failure {failures}"] * failed


def test_the_second_try_waits_a_moment(project):
    offer = Weak(1, retryable=True)
    with project.lake() as lake:
        landing._Landing(lake._site, "flights", 2)._fetch(offer)
    first, second = offer.tries
    assert second - first >= 0.1


SAYING = """
import os
from contextlib import contextmanager

from lakehouse.sources import Download, Offer, Source


class Saying(Source):
    own_format = "csv"

    def offers(self, seen, now):
        yield Said()


class Said(Offer):
    origin, name = "said:1", "said.csv"

    @contextmanager
    def open(self):
        yield Download(chunks=iter([b"a\\n1\\n"]), fidelity="wire", facts={"at": os.environ["SAID_AT"]})
"""


@pytest.fixture
def saying(project, monkeypatch):
    """A project whose source gives the same bytes each time, and says something else of them."""
    (project.folder / "saying.py").write_text(SAYING)
    project.configure("sources/said", "type: saying.Saying")

    def land(moment):
        monkeypatch.setenv("SAID_AT", moment)
        with project.lake() as lake:
            return lake.land("said")

    return project, land


def told_of(project):
    """What the one raw file's manifest says, and what the ledger does."""
    (manifest,) = (project.folder / "data/raw/said").glob("*/*/manifest.json")
    with project.lake() as lake:
        (raw,) = lake._site.ledger.get_artifacts(type="RawFile")
    told = json.loads(manifest.read_text())
    return (
        manifest,
        (told["fidelity"], told["facts"]),
        (raw.custom_properties["fidelity"], raw.custom_properties["facts"]),
    )


BREAKFAST = (("wire", {"at": "breakfast"}), ("wire", '{"at": "breakfast"}'))


def test_the_facts_of_bytes_are_those_of_their_first_landing_also_when_they_come_again_or_come_back(saying):
    project, land = saying
    land("breakfast")
    assert land("noon").unchanged == 1
    manifest, *told = told_of(project)
    assert tuple(told) == BREAKFAST
    (manifest.parent / "said.csv").unlink()  # lost: the next landing brings it back
    land("evening")
    assert tuple(told_of(project)[1:]) == BREAKFAST
    assert problems(project) == []


def test_the_facts_of_a_landing_that_was_killed_before_its_record_are_recorded_by_the_next(saying):
    project, land = saying
    killed = project.start("-m", "lakehouse", "land", "said", LAKEHOUSE_FAIL_AT="land.renamed", SAID_AT="breakfast")
    killed.communicate(timeout=60)
    assert land("noon").new == 1
    assert tuple(told_of(project)[1:]) == BREAKFAST
    assert problems(project) == []


def test_a_manifest_of_other_fidelity_or_facts_is_found_and_mended(saying):
    project, land = saying
    land("breakfast")
    manifest = told_of(project)[0]
    for wrong, named in (({"fidelity": "bytes"}, "on fidelity"), ({"facts": {"at": "noon"}}, "on facts")):
        manifest.chmod(0o644)
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **wrong}))
        (problem,) = problems(project)
        assert named in problem
        assert Lake.repair(project.folder / "configs").manifests == 1
        assert tuple(told_of(project)[1:]) == BREAKFAST
        assert problems(project) == []


def test_a_ledger_made_of_manifests_alone_has_fidelity_and_facts_again(saying):
    project, land = saying
    land("breakfast")
    for file in (project.folder / "data").glob("metadata.db*"):
        file.unlink()
    shutil.rmtree(project.folder / "data/receipts")
    Lake.repair(project.folder / "configs")
    assert tuple(told_of(project)[1:]) == BREAKFAST
