"""Getting OpenLineage events out: files that are shared, servers that are slow, gone or rude. The work goes on."""

import contextlib
import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

JOBS = [
    "run.nightly",
    "land.flights",
    "land.flights",
    "curate.aviation/flights",
    "curate.aviation/flights",
    "run.nightly",
]


class Catalog(ThreadingHTTPServer):
    """A server that events are posted to; ``answer`` is a status, ``slow``, ``hang``, ``close`` or ``elsewhere``."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Post)
        self.answer = answer
        self.posts = []
        self.others = []
        self.over = threading.Event()

    @property
    def url(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Post(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self):
        """Take an event, as the server's ``answer`` says."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), json.loads(body)))
        match self.server.answer:
            case "hang":
                self.server.over.wait(30)
            case "close":
                self.close_connection = True
                self.connection.close()
            case "elsewhere":
                self.send_response(302)
                self.send_header("Location", f"{self.server.url}/login")
                self.end_headers()
            case status:
                if status == "slow":
                    time.sleep(0.5)
                self.send_response(200 if status == "slow" else status)
                self.send_header("Content-Length", "0")
                self.end_headers()

    def do_GET(self):
        """Where a redirect leads."""
        self.server.others.append(self.path)
        self.send_response(200)
        self.end_headers()

    def handle(self):
        """Answer, also a client that waits no longer."""
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self):
        """Close what may be closed already."""
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def catalog(answer):
    """A catalog that answers so, while the block runs."""
    with Catalog(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def post_to(project, url, more=""):
    """Send the project's events to a server."""
    project.change("lakehouse", "", f"openlineage: {{transport: {{type: http, url: '{url}'{more}}}}}")


def test_a_server_gets_every_event_in_order_with_the_key(project, monkeypatch):
    monkeypatch.setenv("CATALOG_KEY", "key-of-the-catalog")
    project.deliver("morning.csv", project.morning)
    with catalog(201) as server:
        post_to(project, server.url, ", auth: {type: api_key, api_key: '${CATALOG_KEY}'}")
        with project.lake() as lake:
            ran = lake.run("nightly")
            assert "key-of-the-catalog" not in repr(lake.config)
    assert ran.notes == ()
    assert [post[2]["job"]["name"] for post in server.posts] == JOBS
    assert {post[0] for post in server.posts} == {"/api/v1/lineage"}
    assert {post[1]["Authorization"] for post in server.posts} == {"Bearer key-of-the-catalog"}
    assert {post[2]["job"]["namespace"] for post in server.posts} == {"default"}


def test_the_endpoint_can_be_another(project):
    with catalog(200) as server:
        post_to(project, f"{server.url}/", ", endpoint: openlineage/events")
        assert project.run().notes == ()
    assert {post[0] for post in server.posts} == {"/openlineage/events"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "the server answered 500 (6)"),
        (401, "the server answered 401"),
        ("close", "ConnectionError (6)"),
        ("elsewhere", "the server answered 302 (6)"),
    ],
)
def test_a_server_that_refuses_changes_no_run(project, caplog, answer, reason):
    project.deliver("morning.csv", project.morning)
    with catalog(answer) as server, caplog.at_level(logging.WARNING):
        post_to(project, server.url.replace("://", "://ops:hunter2@"))
        ran = project.run()
    assert ran.ok
    assert project.read().height == 2
    (note,) = ran.notes
    assert (note.kind, note.where) == ("openlineage", "http")
    assert reason in note.message
    assert "hunter2" not in note.message
    assert [record.name for record in caplog.records if note.message in record.message] == ["lakehouse.openlineage"]
    assert server.others == []


def test_a_server_that_hangs_costs_no_more_than_its_timeout(project):
    project.deliver("morning.csv", project.morning)
    with catalog("hang") as server:
        post_to(project, server.url, ", timeout: 400ms")
        begun = time.monotonic()
        with project.lake() as lake:
            ran = lake.run("nightly")
        seconds = time.monotonic() - begun
    assert ran.ok
    assert "not taken within 0.4 s (" in ran.notes[0].message
    assert seconds < ran.seconds + 2  # what is left is waited for at the end of the run, and once more on closing


def test_a_server_that_is_not_there_changes_nothing(project):
    with catalog(200) as server:
        url = server.url
    post_to(project, url)
    ran = project.run()
    assert ran.ok
    assert "ConnectionError" in ran.notes[0].message


def test_a_closed_lake_leaves_no_thread_and_may_be_closed_again(project, caplog):
    with catalog(200) as server:
        post_to(project, server.url)
        with project.lake() as lake:
            lake.run("nightly")
            lake.close()
        assert caplog.messages == []
        for _ in range(100):
            if not (left := [thread for thread in threading.enumerate() if thread.name == "openlineage"]):
                break
            time.sleep(0.02)
    assert left == []


def test_a_step_alone_tells_too(project):
    project.deliver("morning.csv", project.morning)
    with catalog(500) as server:
        post_to(project, server.url)
        with project.lake() as lake:
            assert [note.kind for note in lake.land("flights").notes] == ["openlineage"]
            assert [note.kind for note in lake.curate(project.flights).notes] == ["openlineage"]
            assert lake.curate(project.flights).notes == ()  # nothing was pending, so nothing was told


def test_a_lake_that_is_never_closed_still_tells_its_last_event(project):
    code = "from lakehouse import Lake; lake = Lake('configs'); run = lake.execution('Train'); run.__enter__(); "
    with catalog("slow") as server:
        post_to(project, server.url)
        alone = project.start("-c", code + "run.__exit__(None, None, None)")
        assert alone.communicate(timeout=60)[1] == ""
    assert [post[2]["eventType"] for post in server.posts] == ["START", "COMPLETE"]


def test_processes_that_share_a_file_do_not_mix_their_lines(project):
    code = (
        "import pathlib, sys; from lakehouse.config import Transport\n"
        "from lakehouse.openlineage.delivery import open_delivery\n"
        "delivery = open_delivery(Transport(type='file', path='shared.jsonl'), pathlib.Path())\n"
        "pathlib.Path(f'ready-{sys.argv[1]}').touch()\n"
        "while len(list(pathlib.Path().glob('ready-*'))) < 2: pass\n"
        "for _ in range(300): delivery.send({sys.argv[1]: 'x' * 100_000})"  # longer than any stream's buffer
    )
    both = [project.start("-c", code, name) for name in ("a", "b")]
    assert [process.communicate(timeout=120)[1] for process in both] == ["", ""]
    events = [json.loads(line) for line in (project.folder / "shared.jsonl").read_text().splitlines()]
    assert sorted({name for event in events for name in event}) == ["a", "b"]
    assert len(events) == 600


def test_a_file_that_cannot_be_written_changes_no_run(project):
    (project.folder / "taken").write_text("a file, not a folder")
    project.change("lakehouse", "", "openlineage: {transport: {type: file, path: taken/events.jsonl}}")
    project.deliver("morning.csv", project.morning)
    ran = project.run()
    assert ran.ok
    assert "FileExistsError" in ran.notes[0].message


def test_the_console_is_standard_error_and_results_stay_apart(project):
    project.change("lakehouse", "", "openlineage: {transport: {type: console}}")
    project.deliver("morning.csv", project.morning)
    process = project.start("-m", "lakehouse", "--json", "run", "nightly")
    told, events = process.communicate(timeout=60)
    assert json.loads(told)["ok"]
    assert [json.loads(line)["job"]["name"] for line in events.splitlines()] == JOBS


def test_the_command_line_says_what_was_not_delivered_once(project):
    (project.folder / "taken").write_text("a file, not a folder")
    project.change("lakehouse", "", "openlineage: {transport: {type: file, path: taken/events.jsonl}}")
    process = project.start("-m", "lakehouse", "run", "nightly")
    told, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (0, "")
    assert told.count("events were not delivered") == 1
