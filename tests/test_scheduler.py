"""`lakehouse serve` as a service manager meets it: a process, its log, its signals."""

import json
import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from lakehouse import config
from lakehouse.scheduler import workers as workers_module
from lakehouse.scheduler.verdicts import verdict
from lakehouse.scheduler.workers import Finished, Workers

SLOW = """
import time
def curate(frame):
    open("curating", "w").close()
    time.sleep(60)
    return frame
"""
PATIENCE = 90.0


class Serving:
    """A ``serve`` under way, and its log so far."""

    def __init__(self, project, *options, **environment):
        self.process = project.start("-W", "error", "-m", "lakehouse", "serve", *options, **environment)
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(self.process.stderr)

    def events(self, name, **facts):
        """The events of a name and with these facts, so far."""
        logged = [json.loads(line) for line in self.lines]
        return [e for e in logged if e["event"] == name and all(e.get(key) == facts[key] for key in facts)]

    def wait_for(self, name, count=1, **facts):
        """Until so many events were logged."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.events(name, **facts)) < count:
            assert time.monotonic() < deadline, f"no {name} {facts}: {self.lines}"
            assert self.process.poll() is None or found, self.lines
            time.sleep(0.02)
        return found

    def stop(self, number=signal.SIGTERM):
        """Ask it to stop; its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self):
        """Its exit status, when it has ended."""
        status = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        assert self.process.stdout.read() == ""
        return status


@pytest.fixture
def serve(project):
    """Starts servings, and ends those a test leaves behind."""
    started = []

    def start(*options, **environment):
        started.append(Serving(project, *options, **environment))
        return started[-1]

    yield start
    for serving in started:
        serving.process.kill()
        serving.process.wait()
        serving._reader.join()
        serving.process.stdout.close()
        serving.process.stderr.close()


def eventually(there):
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def slow(project):
    """A job whose curation takes a minute."""
    (project.folder / "slow.py").write_text(SLOW)
    project.change(f"datasets/{project.flights}", "keys:", "curate: slow.curate\nkeys:")
    project.deliver("1.csv", project.morning)
    return project


def test_a_job_runs_again_and_again_and_takes_in_what_arrived_meanwhile(project, serve):
    project.change("jobs/nightly", "", "every: 1s")
    project.deliver("1.csv", project.morning)
    serving = serve()
    assert serving.wait_for("scheduled", job="nightly")[0]["next"].endswith("+00:00")
    serving.wait_for("finished", rows_curated=2)
    project.deliver("2.csv", project.noon)
    found = serving.wait_for("finished", rows_curated=2, count=2)[1]
    assert (found["files_new"], found["rows_read"], found["rows_rejected"], found["status"]) == (1, 2, 0, 0)
    assert found["run"].startswith("nightly/")
    assert serving.stop() == 0
    assert serving.events("stopped")
    assert project.read().height == 4


def test_a_run_that_takes_too_long_is_stopped_and_leaves_the_lake_whole(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s\ntimeout: 5s")
    serving = serve()
    found = serving.wait_for("timed_out")[0]
    assert found["level"] == "error"
    assert 5 <= found["seconds"] < 20
    serving.wait_for("started", count=2)
    assert serving.stop(signal.SIGINT) == 0
    slow.change(f"datasets/{slow.flights}", "curate: slow.curate\n", "")
    with slow.lake() as lake:
        assert lake.run("nightly").ok
        assert not lake.check()
    assert slow.read().height == 2


def test_sigterm_lets_a_run_finish(slow, serve):
    (slow.folder / "slow.py").write_text(SLOW.replace("60", "3"))
    slow.change("jobs/nightly", "", "every: 1s")
    serving = serve()
    eventually((slow.folder / "curating").exists)
    assert serving.stop() == 0
    assert serving.events("stopping", signal="SIGTERM", running=1)
    assert serving.events("finished", rows_curated=2)
    assert slow.read().height == 2


@pytest.mark.parametrize("options", [("--grace", "0"), ()], ids=["grace is over", "second signal"])
def test_a_run_that_does_not_finish_in_time_is_abandoned_and_the_lake_whole(slow, serve, options):
    slow.change("jobs/nightly", "", "every: 1s")
    serving = serve(*options)
    eventually((slow.folder / "curating").exists)
    serving.process.send_signal(signal.SIGTERM)
    if not options:
        serving.wait_for("stopping")
        serving.process.send_signal(signal.SIGTERM)
    assert serving.ended() == 0
    assert serving.events("abandoned", job="nightly", status=143)
    with slow.lake() as lake:
        assert [problem for problem in lake.check() if not problem.harmless] == []


def test_a_job_that_another_process_runs_is_skipped_and_says_who(project, serve):
    project.change("jobs/nightly", "", "every: 1s")
    with project.lake() as lake, lake._site.storage.lock("job", "nightly", wait=0):
        serving = serve()
        found = serving.wait_for("skipped", job="nightly", status=1)[0]
    assert f"process {os.getpid()} " in found["reason"]
    serving.wait_for("finished")


def test_what_comes_due_while_a_job_runs_waits_for_it_as_one_run(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s")
    serving = serve("--grace", "0")
    eventually((slow.folder / "curating").exists)  # before that, the run itself may still count as waiting
    with slow.lake() as lake:
        eventually(lambda: lake.status().jobs[0].waiting == 1)
        time.sleep(1.5)
        assert lake.status().jobs[0].waiting == 1
    assert len(serving.events("started")) == 1


def test_what_comes_due_while_a_job_runs_is_skipped_where_it_says_so(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s\nwhen_busy: skip")
    serve("--grace", "0")
    eventually((slow.folder / "curating").exists)
    with slow.lake() as lake:
        eventually(lambda: [run for run in lake.runs("nightly") if run.state == "skipped"])
        assert {run.error for run in lake.runs("nightly")} == {"", "the job's last run was not finished"}
        assert lake.status().jobs[0].waiting == 0


def test_one_slow_job_does_not_hold_up_another(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s")
    slow.configure("sources/other", "type: files\npath: other/*\nformat: {type: csv}")
    slow.configure("datasets/aviation/other", "source: other\nschema: {features: {a: {type: int}}}")
    slow.configure("jobs/other", "datasets: [aviation/other]\nevery: 1s")
    serving = serve("--grace", "0")
    eventually((slow.folder / "curating").exists)
    before = len(serving.events("finished", job="other"))
    serving.wait_for("finished", job="other", count=before + 1)
    assert not serving.events("finished", job="nightly")


def test_a_failed_run_is_logged_with_its_errors_and_without_secrets(project, serve):
    address = "http://127.0.0.1:9/${TOKEN}/1.csv"
    project.configure("sources/flights", f"type: http\nurl: {address}\nallow_private: true\nattempts: 1")
    project.change("sources/flights", "", "format: {type: csv}")
    project.change("jobs/nightly", "", "every: 1s")
    serving = serve(TOKEN="hush-3f9d21c7")
    found = serving.wait_for("failed", job="nightly")[0]
    assert found["status"] == 1
    assert found["files_failed"] == 1 or found["errors"]
    assert not any("hush-3f9d21c7" in line for line in serving.lines)


def test_a_disabled_job_is_not_served(project, serve):
    project.change("jobs/nightly", "", "every: 1s\nenabled: false")
    project.configure("jobs/weekly", f"datasets: [{project.flights}]\nschedule: '0 2 * * 0'")
    serving = serve()
    serving.wait_for("scheduled", job="weekly")
    assert serving.stop() == 0
    assert not serving.events("scheduled", job="nightly")


def test_a_lake_without_a_scheduled_job_is_a_configuration_error(project):
    process = project.start("-m", "lakehouse", "serve")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert err.startswith("ConfigError: configs/jobs: no enabled job has a schedule")


# Processes, without a timer


def loaded(project):
    return config.load(project.folder / "configs")


@pytest.fixture
def workers(project):
    made = []

    def make():
        made.append(Workers(loaded(project)))
        return made[-1]

    yield make
    for one in made:
        one.refuse_more()
        one.end()


def queued(project):
    """The number of a run of the nightly job that waits."""
    with project.lake() as lake:
        due = lake.backfill("nightly", "2026-01-01T00:00Z", "2026-01-02T00:00Z", queue=True)
    return due[-1].number


def nobody(why):
    raise AssertionError(why)


def test_a_process_that_does_not_heed_sigterm_is_killed(slow, workers, monkeypatch):
    # In the function, so that nobody who merely imports the module, as this process does, goes deaf.
    deaf = "import signal\n" + SLOW.replace(":\n", ":\n    signal.pthread_sigmask(signal.SIG_BLOCK, [15])\n", 1)
    (slow.folder / "slow.py").write_text(deaf)
    slow.change("jobs/nightly", "", "every: 12h")
    monkeypatch.chdir(slow.folder)
    monkeypatch.setattr(workers_module, "PATIENCE", 0.5)
    ended, made, number = [], workers(), queued(slow)
    job = loaded(slow).job("nightly")
    running = threading.Thread(target=lambda: ended.append(made.run(number, job, nobody)))
    running.start()
    eventually((slow.folder / "curating").exists)
    made.end()
    running.join(timeout=PATIENCE)
    assert [(done.status, done.stopped) for done in ended] == [(-signal.SIGKILL, True)]
    with slow.lake() as lake:
        assert [(run.state, run.tries) for run in lake.runs(limit=3)][:2] == [("queued", 2), ("failed", 1)]
        assert not [problem for problem in lake.check() if not problem.harmless]


def test_a_run_that_takes_too_much_memory_is_killed_and_counts_as_failed(slow, workers):
    slow.change("jobs/nightly", "", "every: 12h\nmemory: 300MiB")
    (slow.folder / "slow.py").write_text(
        SLOW.replace("time.sleep(60)", "kept = bytearray(b'x' * 400_000_000); time.sleep(60)")
    )
    made, number, told = workers(), queued(slow), []

    def give_up(why):
        told.append(why)
        with slow.lake() as lake:
            lake.give_up(number, why)

    done = made.run(number, loaded(slow).job("nightly"), give_up)
    assert done.why == told[0]
    assert "more than its memory (300 MiB)" in done.why
    with slow.lake() as lake:
        run = next(run for run in lake.runs() if run.number == number)
        assert (run.state, run.error) == ("failed", done.why)


def test_a_process_does_one_run_after_another_while_it_holds_no_code_of_the_users(project, workers):
    project.change("jobs/nightly", "", "every: 12h")
    made, job = workers(), loaded(project).job("nightly")
    first = queued(project)
    assert made.run(first, job, nobody).status == 0
    worker = made._idle[0].process.pid
    assert made.run(first - 1, job, nobody).status == 0
    assert [one.process.pid for one in made._idle] == [worker]
    made.adopt(loaded(project))
    assert made._idle == []


def test_no_run_starts_once_the_scheduler_stops(project, workers):
    project.change("jobs/nightly", "", "every: 12h")
    made = workers()
    assert made.refuse_more() == 0
    assert made.run(1, loaded(project).job("nightly"), nobody) is None


# What a run's end is called


@pytest.mark.parametrize(
    ("done", "level", "event"),
    [
        (Finished(0, 1.0, {"run": "a/1"}), "info", "finished"),
        (Finished(1, 1.0, {"run": "a/1", "errors": ["SourceError: gone"]}), "error", "failed"),
        (Finished(1, 1.0, errors=({"type": "CommitError", "message": "busy"},)), "warning", "skipped"),
        (Finished(2, 1.0, errors=({"type": "ConfigError", "message": "no"},)), "error", "failed"),
        (Finished(1, 1.0, trouble="Traceback"), "error", "failed"),
        (Finished(143, 1.0, timed_out=True), "error", "timed_out"),
        (Finished(143, 1.0, stopped=True), "warning", "abandoned"),
        (Finished(-9, 1.0), "error", "failed"),
    ],
)
def test_a_runs_end_has_one_name(done, level, event):
    assert verdict(done)[:2] == (level, event)


def test_a_run_that_took_an_odd_batch_is_a_warning_that_says_what_is_odd(project):
    project.change(f"datasets/{project.flights}", "schema:", "schema:\n  rows: {min: 100}")
    project.deliver("1.csv", project.morning)
    running = project.start("-m", "lakehouse", "--json", "run", "nightly")
    told = json.loads(running.communicate(timeout=PATIENCE)[0].splitlines()[-1])
    level, event, facts = verdict(Finished(running.returncode, 1.0, told))
    assert (level, event, facts["anomalies"]) == ("warning", "finished", 1)
    assert facts["odd"][0].startswith("aviation/flights: 1 anomaly in the batch of 2 rows")


def test_a_bug_in_a_run_is_logged_with_its_traceback():
    assert verdict(Finished(1, 1.0, trouble="Traceback: it broke"))[2]["stderr"] == "Traceback: it broke"


# Losing nothing


def test_a_run_whose_process_is_killed_is_done_again(slow, serve):
    (slow.folder / "slow.py").write_text(SLOW.replace("60", "3"))
    slow.change("jobs/nightly", "", "every: 1h\nat: null")
    slow.change("jobs/nightly", "every: 1h\nat: null", "every: 2s")
    serving = serve()
    eventually((slow.folder / "curating").exists)
    with slow.lake() as lake:
        run = lake.status().jobs[0].running
        os.kill(run.pid, signal.SIGKILL)
        serving.wait_for("failed", number=run.number)
        eventually(lambda: [one for one in lake.runs() if one.tries == 2 and one.state == "done"])
        states = {one.number: (one.state, one.error) for one in lake.runs()}
        assert states[run.number] == ("failed", "interrupted")
    assert serving.stop() == 0
    assert slow.read().height == 2


def test_two_schedulers_of_one_lake_do_every_time_once(project, serve):
    project.change("jobs/nightly", "", "every: 1s\ncatch_up: all")
    project.deliver("1.csv", project.morning)
    servings = [serve(), serve()]
    with project.lake() as lake:
        eventually(lambda: sum(run.state == "done" for run in lake.runs(limit=None)) >= 6)
    assert [serving.stop() for serving in servings] == [0, 0]
    with project.lake() as lake:
        due = [run.due for run in lake.runs(limit=None)][::-1]
        assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]
    assert project.read().height == 2


def test_new_files_are_noticed_and_taken_in(project, serve):
    project.change("jobs/nightly", "", "watch: flights\npoll: 1s")
    serving = serve()
    serving.wait_for("scheduled", job="nightly")
    project.deliver("1.csv", project.morning)
    assert serving.wait_for("finished", job="nightly")[0]["rows_curated"] == 2
    project.deliver("2.csv", project.noon)
    serving.wait_for("finished", count=2, job="nightly")
    assert serving.stop() == 0
    with project.lake() as lake:
        assert [run.trigger for run in lake.runs()] == ["watch", "watch"]


def test_a_changed_configuration_is_taken_and_a_wrong_one_told_and_not_taken(project, serve):
    project.change("jobs/nightly", "", "every: 1h")
    serving = serve()
    serving.wait_for("scheduled", job="nightly", when="every 1h")
    project.change("jobs/nightly", "every: 1h", "evry: 1s")
    serving.process.send_signal(signal.SIGHUP)
    told = serving.wait_for("configuration_refused")[0]
    assert "configs/jobs/nightly.yaml" in told["error"]
    assert "every" in told["error"]
    project.change("jobs/nightly", "evry: 1s", "every: 1s")
    serving.wait_for("configuration_read")
    serving.wait_for("finished", job="nightly")
    assert serving.stop() == 0


def test_a_run_can_be_canceled_from_elsewhere(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s\nwhen_busy: skip")
    serving = serve("--grace", "0")
    eventually((slow.folder / "curating").exists)
    with slow.lake() as lake:
        number = lake.status().jobs[0].running.number
        assert lake.cancel(number).state == "running"
        eventually(lambda: next(run for run in lake.runs() if run.number == number).state == "canceled")
    serving.wait_for("started", count=2)
    assert serving.stop() == 0
    with slow.lake() as lake:
        assert not [problem for problem in lake.check() if not problem.harmless]
