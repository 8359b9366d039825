"""What a run of a job makes becomes visible to reads of a moment at the run's end, all of it at once and for good."""

import signal
from datetime import timedelta

import pytest

from lakehouse import Lake, timeline
from lakehouse.errors import NotFoundError
from lakehouse.records import ExecutionState
from lakehouse.timeline import runs

PLANES = """
    source: planes
    history: changes
    keys: [tail]
    schema: {features: {tail: {type: string}, seats: {type: int}}}
"""
NAMES = ("aviation/flights", "aviation/planes")
RUN = """
import sys
from datetime import UTC, datetime, timedelta
from lakehouse import Lake
began, looks = datetime.fromisoformat(sys.argv[1]), iter(range(1, 10**6))
Lake(clock=lambda: began + timedelta(seconds=next(looks))).run("nightly")
"""


@pytest.fixture
def two(project):
    """A job that refreshes two datasets."""
    project.configure("sources/planes", "type: files\npath: planes/*\nformat: {type: csv}")
    project.configure("datasets/aviation/planes", PLANES)
    project.configure("jobs/nightly", f"datasets: [{', '.join(NAMES)}]")
    (project.folder / "planes").mkdir()
    deliver(project, 1)
    return project


def deliver(project, number):
    project.deliver(f"{number}.csv", f"{project.header}2013-01-{number:02}T05:00:00Z,UA,{number},EWR,2\n")
    (project.folder / f"planes/{number}.csv").write_text(f"tail,seats\nN{number},{number}\n")


def known(lake, moment):
    """The version of each dataset that is visible at a moment; None where there is none yet."""

    def one(name):
        try:
            return timeline.asked(lake._site, name, as_of=moment)[1].version
        except NotFoundError:
            return None

    return tuple(map(one, NAMES))


def between(start, end, step=1):
    return [start + timedelta(seconds=n) for n in range(0, int((end - start).total_seconds()), step)]


def kill(project, at):
    """Run the job in a process that is killed at a named point; no look at the clock is ever taken twice."""
    process = project.start("-c", RUN, project.clock().isoformat(), LAKEHOUSE_FAIL_AT=at)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    project.clock.now += timedelta(minutes=2)


def test_the_datasets_of_a_job_become_visible_together(two):
    start = two.clock.now
    two.run()
    middle = two.clock.now
    deliver(two, 2)
    two.run()
    with two.lake() as lake:
        seen = [known(lake, moment) for moment in between(start, two.clock.now)]
    assert list(dict.fromkeys(seen)) == [(None, None), (0, 0), (1, 1)]
    assert seen[int((middle - start).total_seconds())] == (0, 0)


def test_reads_of_no_moment_see_what_a_run_makes_at_once_and_others_never_before_its_end(two):
    answers = []

    def look(_):
        with Lake(two.folder / "configs", clock=two.clock) as other:
            moment = two.clock()
            answers.append((moment, known(other, moment), len(other.history(NAMES[0]))))

    two.run()
    deliver(two, 2)
    with Lake(two.folder / "configs", clock=two.clock, report=look) as lake:
        lake.run("nightly")
        assert {answer for _, answer, _ in answers} == {(0, 0)}
        assert {made for *_, made in answers} == {1, 2}
        # And so it stays: what was answered during the run is answered after it.
        assert all(known(lake, moment) == answer for moment, answer, _ in answers)
        assert known(lake, two.clock()) == (1, 1)


def test_a_dataset_curated_by_hand_beside_a_run_shows_no_half_of_it(two):
    two.run()
    deliver(two, 2)
    moments = []

    def curate_beside(progress):
        if progress.step == "curate" and progress.subject == NAMES[1] and not moments:
            moments.append(two.clock())
            with Lake(two.folder / "configs", clock=two.clock) as other:
                deliver(two, 3)
                other.land("flights")
                assert other.curate(NAMES[0]).version == 2
                moments.append(two.clock())
                assert known(other, moments[-1]) == (0, 0)

    with Lake(two.folder / "configs", clock=two.clock, report=curate_beside) as lake:
        lake.run("nightly")
        assert [known(lake, moment) for moment in moments] == [(0, 0), (0, 0)]
        assert known(lake, two.clock()) == (2, 1)


@pytest.mark.parametrize("at", ["run.begun", "curate.committed", "curate.finished:2", "run.ending"])
def test_what_a_killed_run_made_is_visible_once_somebody_found_it_dead(two, at):
    two.run()
    deliver(two, 2)
    before = two.clock()
    kill(two, at)
    with two.lake() as lake:
        found = two.clock()
        first = known(lake, found)  # whoever asks ends the run, and it ends then
        assert first == (0, 0)
        (run,) = lake._site.ledger.get_executions(type=runs.RUN, newest_first=True, limit=1)
        assert (run.state, run.properties["error"]) == (ExecutionState.FAILED, "interrupted")
        later = known(lake, two.clock())
        assert later == {"run.begun": (0, 0), "curate.committed": (0, 0)}.get(at, (1, 1))
        lake.run("nightly")
        assert known(lake, two.clock()) == (1, 1)
        assert {known(lake, moment) for moment in between(before, found, 20)} == {(0, 0)}
        assert [p for p in lake.check() if not p.harmless] == []


def test_a_run_that_fails_shows_what_it_made_at_its_end(two):
    two.run()
    deliver(two, 2)
    (two.folder / "planes/2.csv").write_text("tail,wings\nN2,2\n")
    with two.lake() as lake:
        assert not lake.run("nightly").ok
        assert known(lake, two.clock()) == (1, 0)
        (run,) = lake._site.ledger.get_executions(type=runs.RUN, newest_first=True, limit=1)
        assert run.state is ExecutionState.FAILED


def test_a_ledger_made_again_gives_every_moment_the_same_answer(two):
    two.run()
    deliver(two, 2)
    two.run()
    moments = between(two.clock.now - timedelta(minutes=1), two.clock.now, 3)
    with two.lake() as lake:
        before = [known(lake, moment) for moment in moments]
    for file in (two.folder / "data").glob("metadata.db*"):
        file.unlink()
    with pytest.raises(Exception, match="check --repair"):
        two.lake()
    assert Lake.repair(two.folder / "configs", clock=two.clock).rebuilt
    with two.lake() as lake:
        assert [known(lake, moment) for moment in moments] == before


def test_a_run_that_a_lost_ledger_takes_with_it_is_over_when_the_ledger_is_made_again(two):
    two.run()
    deliver(two, 2)
    before = two.clock()
    kill(two, "curate.finished:2")
    for file in (two.folder / "data").glob("metadata.db*"):
        file.unlink()
    repaired = Lake.repair(two.folder / "configs", clock=two.clock)
    assert any("not known any more" in told for told in repaired.settled)
    with two.lake() as lake:
        assert known(lake, before) == (0, 0)
        assert known(lake, two.clock()) == (1, 1)
        assert [p for p in lake.check() if not p.harmless] == []
