"""What happens to a folder of daily files: the process is killed, started twice, or the disk is full."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lakehouse.errors import CommitError

RUN = "from lakehouse import Lake; print(Lake('configs').run('nightly').ok)"
SLOW = """
import pathlib, time

def wait(frame):
    pathlib.Path("waiting").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return frame
"""


def leftovers(project):
    """Files under the lake that no record knows: half-landed, or Parquet no commit names."""
    data = project.folder / "data"
    return [path for place in ("raw/.incoming", ".work") for path in (data / place).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("point", "visible"),
    [("land.staged", False), ("land.renamed", False), ("curate.written", False), ("curate.committed", True)],
    ids=["while landing", "right after the rename", "while extracting", "right after the Delta commit"],
)
def test_a_killed_run_leaves_exactly_one_copy_of_every_row_after_the_next(project, point, visible):
    project.deliver("day1.csv", project.morning)
    project.deliver("day2.csv", project.noon.replace("725", "N725"))
    killed = project.start("-c", RUN, LAKEHOUSE_FAIL_AT=point)
    assert (killed.wait(60), killed.communicate()[0]) == (-signal.SIGKILL, "")

    ran = project.run()

    recovered = [
        note.message for step in (*ran.landed, *ran.curated) for note in step.notes if note.kind == "recovered"
    ]
    told = "became visible; it is whole now" if visible else "cleaned up" if point.startswith("land") else "was visible"
    assert len(recovered) == 1
    assert told in recovered[0]
    assert project.read()["flight"].to_list() == [1545, 1141, 461]
    assert [row["reasons"] for row in project.quarantine()] == [["flight: not an int"]]
    assert leftovers(project) == []
    assert project.run().curated[0].execution == 0


def test_the_second_of_two_runs_of_a_job_says_who_holds_it_and_rows_count_once(project):
    (project.folder / "jobs").mkdir()
    (project.folder / "jobs/slow.py").write_text(SLOW)
    project.change("datasets/aviation/flights", "", "curate: jobs.slow.wait")
    project.deliver("day1.csv", project.morning)
    first = project.start("-c", RUN)
    try:
        deadline = time.monotonic() + 60
        while not (project.folder / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(CommitError) as error:
            project.run()
    finally:
        (project.folder / "go").touch()
        said, failed = first.communicate(timeout=60)

    assert str(error.value).startswith(
        f"job 'nightly' is busy: process {first.pid} on {os.uname().nodename} has held it"
    )
    assert "Nothing was changed; try again later" in str(error.value)
    assert (said, failed) == ("True\n", "")
    assert project.read()["flight"].to_list() == [1545, 1141]


def test_runs_started_at_the_same_moment_give_every_row_once(project):
    for day in range(20):
        project.deliver(f"day{day}.csv", project.morning.replace("2013-01-01", f"2013-01-{day + 1:02}"))
    runs = [project.start("-c", RUN) for _ in range(3)]
    for run in runs:
        _, failed = run.communicate(timeout=120)
        assert run.returncode == 0 or "CommitError: job 'nightly' is busy" in failed

    assert any(run.returncode == 0 for run in runs)
    rows = project.read()
    assert rows.height == 40
    assert rows.select("_raw", "_row").is_duplicated().any() is False


class Recovering(BaseHTTPRequestHandler):
    """Fails the first time it is asked."""

    def do_GET(self):
        """Answer, by the name http.server wants."""
        self.server.asked += 1
        body = self.server.body if self.server.asked > 1 else b""
        self.send_response(200 if body else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


def test_a_run_whose_second_try_succeeds_is_all_good(project):
    with ThreadingHTTPServer(("127.0.0.1", 0), Recovering) as server:
        server.asked, server.body = 0, project.morning.encode()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}/day1.csv"
        project.configure(
            "sources/flights", f"type: http\nurl: {url}\nattempts: 1\nallow_private: true\nformat: {{type: csv}}"
        )
        project.change("jobs/nightly", "", "retries: {attempts: 2, backoff: 1s}")

        ran = project.run()
        server.shutdown()

    assert [(landed.failed, landed.new) for landed in ran.landed] == [(1, 0), (0, 1)]
    assert ran.ok
    assert project.read().height == 2


@pytest.mark.parametrize(
    ("content", "tolerance", "status", "said"),
    [
        ("{morning}", "5%", 0, "2 rows"),
        ("{morning},,,,\n", "50%", 0, "1 rejected"),
        ("{morning},,,,\n", "5%", 1, "SchemaError: dataset 'aviation/flights': 1 of 3 rows were rejected"),
        ("not,of,this,source\n1,2,3,4\n", "5%", 1, "lacks the required column 'time_hour'"),
        ("{morning}", "lots", 2, "max_rejected"),
    ],
    ids=["all good", "within what is allowed", "beyond it", "a refused file", "a wrong configuration"],
)
def test_the_exit_status_tells_what_became_of_a_run(project, content, tolerance, status, said):
    project.change("datasets/aviation/flights", "", f"max_rejected: {tolerance}")
    project.deliver("day1.csv", content.format(morning=project.morning))

    ran = project.start("-m", "lakehouse", "run", "nightly")
    output = "".join(ran.communicate(timeout=120))

    assert ran.returncode == status, output
    assert said in output


@pytest.fixture
def small_disk(project):
    """A disk of 8 MB for the lake, that can be made larger."""
    data = project.folder / "data"
    data.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", data], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        reason = "needs a disk that can be filled: run as root on Linux, so that a tmpfs can be mounted"
        if os.environ.get("LAKEHOUSE_REQUIRE_SERVICES"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", data], check=True)
    subprocess.run(["umount", "-l", data], check=True)


@pytest.mark.parametrize(("kind", "left"), [("while landing", 1_000_000), ("while curating", 250_000)])
def test_a_full_disk_is_told_clearly_and_the_next_run_completes(project, small_disk, kind, left):
    project.deliver("day1.csv", project.morning)
    assert project.run().ok
    noise = random.Random(7)
    rows = [f"2013-01-02T00:00:00Z,{noise.randbytes(20).hex()},{noise.randrange(9999)},JFK,1\n" for _ in range(20_000)]
    project.deliver("day2.csv", project.header + "".join(rows))
    filler = project.folder / "data/filler"
    if kind == "while curating":
        with project.lake() as lake:
            lake.land("flights")
    filler.write_bytes(bytes(shutil.disk_usage(filler.parent).free - left))

    full = project.run()

    assert not full.ok
    assert full.errors
    assert all("No space left on device" in error for error in full.errors), full.errors
    assert project.read().height == 2, "what was there stays readable"

    filler.unlink()
    small_disk("64m")
    ran = project.run()
    assert (ran.ok, project.read().height) == (True, 20_002)
    assert leftovers(project) == []
