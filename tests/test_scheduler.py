"""`lakehouse serve` as a service manager meets it: a process, its log, its signals."""

import json
import os
import signal
import threading
import time

import pytest

from lakehouse.scheduler import verdict
from lakehouse.scheduler.children import Children, Finished

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


def test_a_job_whose_last_run_goes_on_is_not_started_again(slow, serve):
    slow.change("jobs/nightly", "", "every: 1s")
    serving = serve("--grace", "0")
    assert serving.wait_for("skipped", job="nightly")[0]["reason"] == "its last run is not finished"
    assert len(serving.events("started")) == 1


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


# Children, without a timer


@pytest.fixture
def children(project):
    return Children(["--configs", str(project.folder / "configs")])


def test_a_child_that_does_not_heed_sigterm_is_killed(slow, children, monkeypatch):
    (slow.folder / "slow.py").write_text("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [15])\n" + SLOW)
    monkeypatch.chdir(slow.folder)
    monkeypatch.setattr("lakehouse.scheduler.children._PATIENCE", 0.5)
    ended = []
    running = threading.Thread(target=lambda: ended.append(children.run("nightly", None)))
    running.start()
    eventually((slow.folder / "curating").exists)
    children.end()
    running.join(timeout=PATIENCE)
    assert [(done.status, done.stopped) for done in ended] == [(-signal.SIGKILL, True)]
    with slow.lake() as lake:
        assert not [problem for problem in lake.check() if not problem.harmless]


def test_no_child_starts_once_the_scheduler_stops(children):
    assert children.refuse_more() == 0
    assert children.run("nightly", None) is None


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
