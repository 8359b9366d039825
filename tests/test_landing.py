"""Landing: what is told of each file, what comes back after damage, how a weak source is tried again."""

import json
import time
from contextlib import contextmanager

import pytest
import stamina

from lakehouse import landing
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
