"""What is due, what waits and what becomes of it, by a clock that the test sets.

The last test lives through weeks; LAKEHOUSE_DAYS=365 makes it a year, of thousands of runs.
"""

import itertools
import os
import platform
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import CommitError, ConfigError, NotFoundError
from lakehouse.metadata import Lease
from lakehouse.records import Execution, ExecutionState, RunState

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        """The moment."""
        return self.now


@pytest.fixture
def hourly(project):
    """The nightly job, every hour."""
    project.clock = Clock()
    project.change("jobs/nightly", "", "every: 1h")
    return project


def do(lake, room=10):
    """Run all that waits and may; the jobs in order."""
    done = []
    while found := lake.ready(room):
        for number, job in found:
            lake.run_queued(number)
            done.append(job)
    return done


def later(project, lake, by=HOUR):
    """Let time pass, and see what is due; the runs that it queued."""
    project.clock.now += by
    return lake.due()


def states(lake, job=None):
    return [run.state.value for run in lake.runs(job, limit=None)][::-1]


def test_a_new_job_begins_now_and_is_due_at_its_next_time(hourly):
    with hourly.lake() as lake:
        assert lake.due() == []
        assert later(hourly, lake, timedelta(minutes=59)) == []
        assert len(later(hourly, lake, timedelta(minutes=1))) == 1
        assert lake.due() == []  # once
        assert do(lake) == ["nightly"]
        run = lake.runs()[0]
        assert (run.state, run.trigger, run.due) == (RunState.DONE, "schedule", START + HOUR)
        assert (run.interval.start, run.interval.end) == (START, START + HOUR)


def test_what_comes_due_while_a_run_waits_is_made_up_for_by_one_run_afterwards(hourly):
    with hourly.lake() as lake:
        lake.due()
        first = later(hourly, lake)
        assert [later(hourly, lake) for _ in range(5)] == [[]] * 5
        assert [number for number, _ in lake.ready(9)] == first
        lake.run_queued(first[0])
        assert len(lake.due()) == 1
        run = lake.runs()[0]
        assert (run.interval.start, run.interval.end) == (START + HOUR, START + 6 * HOUR)


@pytest.mark.parametrize(("policy", "runs"), [("once", 1), ("all\ncatch_up_limit: 3", 3), ("skip", 1)])
def test_missed_times_are_made_up_for_as_the_job_says_and_the_others_reported(hourly, policy, runs):
    hourly.change("jobs/nightly", "", f"catch_up: {policy}")
    with hourly.lake() as lake:
        lake.due()
        made = later(hourly, lake, 10 * HOUR + timedelta(minutes=30))
        assert len(made) == runs
        told = lake.runs(limit=None)
        assert sorted(run.number for run in told if run.state is RunState.QUEUED) == made
        skipped = [run for run in told if run.state is RunState.SKIPPED]
        if policy == "once":
            assert (skipped, told[0].interval.start, told[0].interval.end) == ([], START, START + 10 * HOUR)
        else:
            assert [(run.interval.start, run.interval.end) for run in skipped] == [(START, START + (10 - runs) * HOUR)]
            assert skipped[0].error == f"missed, and catch_up: {policy.split()[0]} makes up for no more"
        do(lake)
        assert not lake.check()


def test_a_time_that_comes_while_a_run_is_not_done_is_skipped_where_the_job_says_so(hourly):
    hourly.change("jobs/nightly", "", "when_busy: skip")
    with hourly.lake() as lake:
        lake.due()
        later(hourly, lake)
        assert later(hourly, lake) == []
        assert states(lake) == ["queued", "skipped"]
        assert lake.runs()[0].error == "the job's last run was not finished"


def test_other_times_begin_anew(hourly):
    with hourly.lake() as lake:
        lake.due()
    hourly.change("jobs/nightly", "every: 1h", "every: 10m")
    with hourly.lake() as lake:
        assert later(hourly, lake, 5 * HOUR) == []
        assert len(later(hourly, lake, timedelta(minutes=10))) == 1


def test_a_clock_set_back_a_little_fires_nothing_twice_and_by_days_begins_anew(project):
    project.clock = Clock()
    project.change("jobs/nightly", "", "schedule: '0 * * * *'")
    with project.lake() as lake:
        lake.due()
        assert len(later(project, lake)) == 1
        do(lake)
        assert later(project, lake, -HOUR) == []
        assert later(project, lake) == []
        assert len(later(project, lake)) == 1
        do(lake)
        assert later(project, lake, -timedelta(days=3)) == []
        assert len(later(project, lake)) == 1


def test_a_job_is_paused_and_resumed_also_after_a_restart(hourly):
    with hourly.lake() as lake:
        lake.due()
        later(hourly, lake)
        assert lake.pause("nightly")
        assert not lake.pause("nightly")
    with hourly.lake() as lake:
        assert lake.ready(9) == []
        assert later(hourly, lake, 5 * HOUR) == []
        assert lake.status().jobs[0].paused_at == START + HOUR
        assert lake.resume("nightly")
        assert not lake.resume("nightly")
        assert do(lake) == ["nightly"]
        assert len(lake.due()) == 1  # what was missed


def test_a_job_that_is_not_enabled_is_never_due(hourly):
    hourly.change("jobs/nightly", "", "enabled: false")
    with hourly.lake() as lake:
        lake.due()
        assert later(hourly, lake) == []
        assert lake.status().jobs[0].served is False


def other(project, name, more=""):
    """Another job over a dataset of its own."""
    project.configure(f"sources/{name}", f"type: files\npath: {name}/*\nformat: {{type: csv}}")
    project.configure(f"datasets/aviation/{name}", f"source: {name}\nschema: {{features: {{a: {{type: int}}}}}}")
    project.configure(f"jobs/{name}", f"datasets: [aviation/{name}]\n{more}")


def test_a_job_runs_after_others_once_each_of_them_has_completed(project):
    project.clock = Clock()
    other(project, "a")
    other(project, "b", "after: [nightly, a]")
    with project.lake() as lake:
        lake.run("nightly")
        assert lake.due() == []  # what was before it began does not count
        project.clock.now += HOUR
        lake.run("nightly", start=START, end=START + HOUR)
        assert lake.due() == []
        project.clock.now += HOUR
        lake.run("a", start=START + HOUR, end=START + 2 * HOUR)
        assert len(lake.due()) == 1
        assert lake.due() == []
        assert do(lake) == ["b"]
        run = lake.runs("b")[0]
        assert (run.trigger, run.interval.end) == ("after", START + 2 * HOUR)


def test_a_job_does_not_run_after_one_that_failed(project):
    project.clock = Clock()
    other(project, "b", "after: nightly")
    project.change("sources/flights", "path: incoming/*", "path: nowhere.csv")
    with project.lake() as lake:
        lake.due()
        assert not lake.run("nightly").ok
        assert lake.due() == []


def test_a_job_runs_when_a_dataset_has_a_new_version_once_for_several(project):
    project.clock = Clock()
    other(project, "b", f"when: {project.flights}")
    with project.lake() as lake:
        assert lake.due() == []
        for name, text in (("1.csv", project.morning), ("2.csv", project.noon)):
            project.deliver(name, text)
            project.clock.now += HOUR
            lake.run("nightly")
        assert len(lake.due()) == 1
        assert lake.due() == []
        assert lake.runs("b")[0].trigger == "when"


def test_a_job_runs_when_a_source_has_new_files_and_leaves_a_file_alone_that_it_fails_on(project):
    project.clock = Clock()
    project.change("jobs/nightly", "", "watch: flights")
    with project.lake() as lake:
        assert lake.look("nightly") == []
        project.deliver("1.csv", project.morning)
        assert len(lake.look("nightly")) == 1
        assert lake.look("nightly") == []  # one waits already
        do(lake)
        assert lake.look("nightly") == []
        project.deliver("2.csv", project.noon)
        (project.folder / "incoming/2.csv").chmod(0)
        if os.geteuid() == 0:  # to root every file is readable: a link that leads nowhere is not
            (project.folder / "incoming/2.csv").unlink()
            (project.folder / "incoming/2.csv").symlink_to("nowhere")
        assert len(lake.look("nightly")) == 1
        do(lake)
        assert states(lake)[-1] == "failed"
        assert lake.look("nightly") == []
        project.clock.now += timedelta(hours=2)
        assert len(lake.look("nightly")) == 1


def test_higher_priorities_start_first_and_a_pool_lets_in_as_many_as_it_has_room_for(project):
    project.clock = Clock()
    project.configure("lakehouse", "root: data\npools: {database: 1}")
    for name, more in (("a", "pool: database"), ("b", "pool: database\npriority: 5"), ("c", "priority: 1")):
        other(project, name, f"every: 1h\n{more}")
    with project.lake() as lake:
        lake.due()
        later(project, lake)
        assert [job for _, job in lake.ready(9)] == ["b", "c"]
        assert [job for _, job in lake.ready(1)] == ["b"]
        assert do(lake) == ["b", "c", "a"]


def test_a_job_of_an_unknown_pool_or_that_waits_for_itself_is_refused(project):
    other(project, "a", "after: b\npool: databse")
    other(project, "b", "after: [a, nightyl]")
    project.configure("lakehouse", "root: data\npools: {database: 1}")
    with pytest.raises(ConfigError) as found:
        project.lake()
    told = str(found.value)
    assert "jobs/a.yaml:3: pool: there is no pool 'databse'. Did you mean 'database'?" in told
    assert "jobs/b.yaml:2: after.1: there is no job 'nightyl'. Did you mean 'nightly'?" in told
    assert "'a' waits for itself in the end" in told


def test_a_run_whose_job_is_gone_is_canceled(hourly):
    other(hourly, "a", "every: 1h")
    with hourly.lake() as lake:
        lake.due()
        later(hourly, lake)
    (hourly.folder / "configs/jobs/a.yaml").unlink()
    with hourly.lake() as lake:
        assert do(lake) == ["nightly"]
        assert [(run.state, run.error) for run in lake.runs("a")] == [
            (RunState.CANCELED, "its job is no longer in the configuration")
        ]
        assert not lake.check()


def test_a_run_that_waits_is_canceled_and_one_that_ended_is_not(hourly):
    with hourly.lake() as lake:
        lake.due()
        number = later(hourly, lake)[0]
        assert lake.cancel(f"run:{number}").state is RunState.CANCELED
        assert do(lake) == []
        with pytest.raises(NotFoundError, match=r"has ended already \(canceled\)"):
            lake.cancel(number)
        with pytest.raises(NotFoundError, match="no run 'nightly/x'"):
            lake.cancel("nightly/x")
        with pytest.raises(CommitError, match="does not wait any more"):
            lake.run_queued(number)
        assert not lake.check()


SLOW = """
import time
def curate(frame):
    open("curating", "w").close()
    time.sleep(30)
    return frame
"""
RUN = "import sys; from lakehouse import Lake; Lake('configs').run_queued(int(sys.argv[1]))"


@pytest.fixture
def slow(hourly):
    (hourly.folder / "slow.py").write_text(SLOW)
    hourly.change(f"datasets/{hourly.flights}", "keys:", "curate: slow.curate\nkeys:")
    hourly.deliver("1.csv", hourly.morning)
    with hourly.lake() as lake:
        lake.due()
        hourly.number = later(hourly, lake)[0]
    return hourly


def until(there):
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def curating(project):
    """A process that runs what waits, at work."""
    process = project.start("-c", RUN, str(project.number))
    until((project.folder / "curating").exists)
    return process


def test_a_run_whose_process_died_waits_again_but_not_for_ever(slow):
    for tried in range(1, 4):
        process = curating(slow)
        process.kill()
        process.communicate()
        (slow.folder / "curating").unlink()
        with slow.lake() as lake:
            assert len(lake.close_killed()) == 1
            assert lake.close_killed() == []
            newest = lake.runs()[0]
            if tried < 3:
                assert (newest.state, newest.tries, newest.due) == (RunState.QUEUED, tried + 1, START + HOUR)
                slow.number = newest.number
    with slow.lake() as lake:
        assert states(lake) == ["failed"] * 3
        assert {run.error for run in lake.runs()} == {"interrupted"}
        assert not [problem for problem in lake.check() if not problem.harmless]


def test_a_run_under_way_keeps_others_of_its_job_out_and_shows_how_far_it_is(slow):
    process = curating(slow)
    with slow.lake() as lake:
        assert lake.close_killed() == []
        assert later(slow, lake, 2 * HOUR) != []
        assert lake.ready(9) == []
        with pytest.raises(CommitError, match=f"process {process.pid} on "):
            lake.run("nightly")
        until(lambda: lake.status().jobs[0].running.progress is not None)
        status = lake.status().jobs[0]
        assert (status.running.pid, status.waiting) == (process.pid, 1)
        assert status.running.progress.step in ("land", "curate")
    process.kill()
    process.communicate()


def test_a_run_that_was_asked_to_stop_is_canceled_and_not_done_again(slow):
    script = "import signal; signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))\n" + RUN
    process = slow.start("-c", script, str(slow.number))
    until((slow.folder / "curating").exists)
    with slow.lake() as lake:
        assert lake.cancel(slow.number).state is RunState.RUNNING
        assert process.wait(30) == 143
        assert states(lake) == ["canceled"]
        assert lake.close_killed() == []
    process.communicate()


def test_a_run_that_was_given_up_fails_with_the_reason_and_is_not_done_again(slow):
    process = curating(slow)
    with slow.lake() as lake:
        lake.give_up(slow.number, "it took too much")
        process.kill()
        process.communicate()
        lake.close_killed()
        assert [(run.state, run.error) for run in lake.runs()] == [(RunState.FAILED, "it took too much")]


def test_another_machine_that_holds_the_lease_keeps_the_job_until_it_is_not_heard_of(hourly):
    far = Lease("job/nightly", "f" * 32, "another-machine", 77, 0.0)
    with hourly.lake() as lake:
        ledger = lake._site.ledger
        assert ledger.lease(far, 0.5) is None
        with pytest.raises(CommitError, match="job 'nightly' is busy: process 77 on another-machine is at it"):
            lake.run("nightly")
        time.sleep(0.6)
        assert lake.run("nightly").ok
        assert ledger.leases() == []
        assert not ledger.renew(far, 1.0)


def test_a_run_on_another_machine_is_dead_once_its_lease_is_over(hourly):
    with hourly.lake() as lake:
        lake.due()
        number = later(hourly, lake)[0]
        site = lake._site
        token = "a" * 32
        taken = Execution(
            "Run", id=number, state=ExecutionState.RUNNING, properties={"token": token, "host": "far", "pid": 7}
        )
        assert site.ledger.move(taken, [ExecutionState.NEW])
        assert site.ledger.lease(Lease("job/nightly", token, "far", 7, 0.0), 0.5) is None
        assert platform.node() != "far"
        assert lake.close_killed() == []
        time.sleep(0.6)
        assert len(lake.close_killed()) == 1
        assert states(lake) == ["failed", "queued"]


def test_a_kill_between_a_time_and_its_run_loses_neither(hourly):
    with hourly.lake() as lake:
        lake.due()
    script = (
        "import sys; from datetime import datetime; from lakehouse import Lake\n"
        "now = datetime.fromisoformat(sys.argv[1])\n"
        "with Lake('configs', clock=lambda: now) as lake: lake.due()"
    )
    hourly.clock.now += HOUR
    process = hourly.start("-c", script, hourly.clock.now.isoformat(), LAKEHOUSE_FAIL_AT="due.queued")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with hourly.lake() as lake:
        assert lake.due() == []
        assert states(lake) == ["queued"]


def test_many_that_look_at_once_queue_a_time_once(hourly):
    with hourly.lake() as lake:
        lake.due()
    hourly.clock.now += HOUR
    lakes = [hourly.lake() for _ in range(4)]
    found = []
    threads = [threading.Thread(target=lambda one=one: found.extend(one.due())) for one in lakes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    for one in lakes:
        one.close()


# Backfill


def test_a_backfill_runs_each_interval_once_and_goes_on_where_it_was_broken_off(hourly):
    stretch = ("nightly", START - 5 * HOUR, START)
    with hourly.lake() as lake:
        assert len(lake.backfill(*stretch, dry_run=True)) == 5
        assert states(lake) == []
        lake.run("nightly", start=START - 4 * HOUR, end=START - 3 * HOUR)
        done = lake.backfill(*stretch)
        assert [run.interval.start for run in done] == [START - n * HOUR for n in (5, 3, 2, 1)]
        assert {run.trigger for run in done} == {"backfill"}
        assert lake.backfill(*stretch) == []


def test_a_backfill_may_be_left_to_whoever_serves_after_what_is_due(hourly):
    with hourly.lake() as lake:
        lake.due()
        queued = lake.backfill("nightly", START - 2 * HOUR, START, queue=True)
        assert [run.state for run in queued] == [RunState.QUEUED] * 2
        assert lake.backfill("nightly", START - 2 * HOUR, START, queue=True) == []
        do(lake)
        assert [run.trigger for run in lake.runs()] == ["backfill", "backfill"]


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [(START, START + timedelta(minutes=50), "no interval of job 'nightly'"), ("soon", START, "'soon' is no time")],
)
def test_a_backfill_of_nothing_says_so(hourly, start, end, told):
    with hourly.lake() as lake, pytest.raises(ConfigError, match=told):
        lake.backfill("nightly", start, end)


# A year


class Year:
    """Two schedulers of one lake that die, come back and have their clocks set, and what became of every time."""

    def __init__(self, project, chance, days):
        self.project, self.chance = project, chance
        self.end = START + timedelta(days=days)
        self.lakes = [project.lake(), project.lake()]
        self.clock = project.clock
        self.there = project.folder / "a.csv"
        self.there.write_text("a\n1\n")
        self.away = self.there.with_suffix(".away")

    def live(self):
        """Let the time pass."""
        for lake in self.lakes:
            lake.due()
        while self.clock.now < self.end:
            self.clock.now += timedelta(minutes=self.chance.choice([5, 20, 60, 60, 60, 300, 3000]))
            self.happen()
        lake = self.lakes[0]
        while lake.close_killed() or lake.due() or lake.ready(9):
            self.work(lake, failing=False)

    def happen(self):
        """One look of one of them; some die in the middle, some runs fail."""
        lake = self.chance.choice(self.lakes)
        luck = self.chance.random()
        if luck < 0.03:  # killed and started again
            self.lakes.remove(lake)
            lake.close()
            self.lakes.append(self.project.lake())
        elif luck < 0.05:  # the clock was wrong by minutes
            self.clock.now -= timedelta(minutes=self.chance.randint(1, 50))
        elif luck < 0.2:  # a source is away, or back
            self.away.rename(self.there) if self.away.exists() else self.there.rename(self.away)
        lake = self.chance.choice(self.lakes)
        lake.close_killed()
        lake.due()
        if self.chance.random() < 0.9:
            self.work(lake, failing=True)

    def work(self, lake, *, failing):
        """Do what waits, or take it and die."""
        while found := lake.ready(3):
            for number, _ in found:
                if failing and self.chance.random() < 0.1:
                    self.die(lake, number)
                else:
                    lake.run_queued(number)

    def die(self, lake, number):
        """Take a run as a process that is killed right afterwards."""
        taken = Execution(
            "Run", id=number, state=ExecutionState.RUNNING, properties={"token": f"{number:032}", "host": "h", "pid": 1}
        )
        assert lake._site.ledger.move(taken, [ExecutionState.NEW])


def proved(lake, job, begun, end):
    """Every time of a job since then has one run that ended, was given up after three kills, or is told as skipped."""
    found = [run for run in lake.runs(job, limit=None)[::-1] if run.interval]
    last = [run for run in found if not (run.state is RunState.FAILED and run.error == "interrupted" and run.tries < 3)]
    spans = sorted((run.interval.start, run.interval.end) for run in last)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans)), spans
    assert spans[0][0] <= begun
    assert spans[-1][1] >= end - HOUR * 30
    return last


POLICIES = ("once", "all\ncatch_up_limit: 2", "skip\nmisfire_grace: 10m")


def year(project, chance, days):
    project.clock = Clock()
    project.change("jobs/nightly", "", "schedule: '30 2 * * *'\ntimezone: Europe/Oslo")
    for name, policy in zip("abc", POLICIES, strict=True):
        other(project, name, f"every: 1h\ncatch_up: {policy}")
    project.change("sources/a", "a/*", "a.csv")
    lived = Year(project, chance, days)
    lived.live()
    try:
        lake = lived.lakes[0]
        for name in ("a", "b", "c", "nightly"):
            last = proved(lake, name, START, lived.end)
            assert {run.state for run in last} <= {RunState.DONE, RunState.SKIPPED, RunState.FAILED}
        assert {run.state for run in lake.runs("a", limit=None)} <= {RunState.DONE, RunState.FAILED}
        return [run.state for run in lake.runs(limit=None)]
    finally:
        for one in lived.lakes:
            one.close()


@settings(max_examples=int(os.environ.get("LAKEHOUSE_YEARS", "2")), deadline=None)
@given(st.integers(0, 2**32))
def test_every_time_of_some_weeks_is_run_once_or_told_whatever_happens(new_project, tmp_path_factory, seed):
    year(new_project(tmp_path_factory.mktemp("year") / "project"), random.Random(seed), 6)


def test_each_time_of_a_long_while_is_run_once_or_told_through_failures_kills_restarts_and_clock_jumps(project):
    days = int(os.environ.get("LAKEHOUSE_DAYS", "40"))
    states = year(project, random.Random(7), days)
    assert len(states) > 10 * days
    assert states.count(RunState.FAILED) > days / 2
