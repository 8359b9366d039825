"""Secrets go where they are meant for and nowhere else: not into logs, errors, records, tables or names."""

import base64
import logging
import sqlite3
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

import pytest

from lakehouse.errors import MetadataError

TOKEN = 'Tok/en+42"quoted\\'  # from the environment, in a header
KEY = "key-of-the-query-99"  # from the environment, in an address
PASSWORD = "p%40ss-w0rd-77"  # from a file, in an address, percent-coded as it must be there
DATABASE = "database-pw-55"
SECRETS = [TOKEN, KEY, PASSWORD, unquote(PASSWORD), DATABASE]
BASIC = base64.b64encode(f"reader:{unquote(PASSWORD)}".encode()).decode()

WEB = """
    type: http
    urls:
      - http://127.0.0.1:{port}/good.csv
      - http://127.0.0.1:{port}/query.csv?key=${{KEY}}
      - http://reader:${{file:password.txt}}@127.0.0.1:{port}/user.csv
      - http://127.0.0.1:{port}/forbidden.csv?key=${{KEY}}
      - http://reader:${{file:password.txt}}@127.0.0.1:{port}/echo.csv
      - http://127.0.0.1:{port}/redirect.csv
      - http://127.0.0.1:{port}/named.csv
      - http://127.0.0.1:1/nobody.csv?key=${{KEY}}
    headers: {{Authorization: "Bearer ${{TOKEN}}", X-Key: "${{KEY}}"}}
    allow_private: true
    attempts: 1
    timeout: 5s
    format: {{type: csv, null_values: [NA]}}
"""


class Handler(BaseHTTPRequestHandler):
    """Answers like servers do that help an attacker: they say back what they were told."""

    def do_GET(self):
        """Answer, by the name http.server wants."""
        self.server.requests.append((self.path, self.headers.get("Authorization"), self.headers.get("X-Key")))
        sent = f"{self.headers.get('Authorization')} {self.headers.get('X-Key')}"
        match self.path.partition("?")[0]:
            case "/forbidden.csv":
                self.answer(401, b"no")
            case "/echo.csv":
                self.answer(403, b"no", reason=f"you sent {sent} and {unquote(PASSWORD)}")
            case "/redirect.csv":
                self.answer(302, Location=f"ftp://somewhere/{quote(sent)}?key={KEY}")
            case "/named.csv":
                name = f'attachment; filename="flights-{KEY}.csv"'
                self.answer(200, self.server.body + b"\n", Content_Disposition=name, ETag=f'"{KEY}"')
            case path:
                self.answer(200, self.server.body.replace(b"UA", path[1:3].encode()))

    def answer(self, status, body=b"", reason=None, **headers):
        """A whole answer."""
        self.send_response(status, reason)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def server(project):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.requests, made.body = [], project.morning.encode()
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def secretive(project, server, monkeypatch):
    """A project whose source needs secrets for each address."""
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("DATABASE", DATABASE)
    (project.folder / "password.txt").write_text(PASSWORD + "\n")
    project.configure("sources/flights", WEB.format(port=server.server_port))
    return project


def assert_no_secret(text, where):
    for secret in SECRETS:
        for form in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            repr(secret)[1:-1],
            secret.replace('"', '\\"'),
            BASIC,
        ):
            assert form not in text, f"{form} is in {where}"


def everything_stored(project):
    """Each stored thing as text: the bytes of every file, every value of the ledger, every row of the tables."""
    for path in sorted((project.folder / "data").rglob("*")):
        yield "a file's name", str(path.relative_to(project.folder))
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")
    with sqlite3.connect(project.folder / "data/metadata.db") as ledger:
        for (table,) in ledger.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in ledger.execute(f"select * from {table}"):
                yield f"the ledger's {table}", repr(row)
                for value in row:
                    if isinstance(value, str) and value.startswith("mlmd-struct::"):
                        yield f"the ledger's {table}", base64.b64decode(value.partition("::")[2]).decode("latin-1")
    ledger.close()
    yield "the rows", str(project.read().to_dicts())
    yield "the quarantine", str(project.quarantine())


def test_a_run_with_secrets_uses_them_and_leaves_none_anywhere(secretive, server, caplog):
    caplog.set_level(logging.INFO)

    with secretive.lake() as lake:
        ran = lake.run("nightly")
        shown = [repr(lake), repr(lake.config), str(lake.config), str(vars(lake)), repr(ran)]
        shown += [str(lake.config.source("flights")), repr(lake.list())]
        shown += [repr(lake.show(name)) for name in ("flights", secretive.flights, "nightly")]
        shown += [str(lake.history(secretive.flights)), str(lake.lineage(secretive.flights))]
        shown += [repr(lake.trace(secretive.flights, row)) for row in lake.read(secretive.flights).to_dicts()]

    assert (ran.landed[0].new, ran.landed[0].failed) == (4, 4), ran.landed[0].notes
    assert ("/good.csv", f"Bearer {TOKEN}", KEY) in server.requests
    assert f"/query.csv?key={KEY}" in [path for path, *_ in server.requests]
    for text in (*shown, caplog.text):
        assert_no_secret(text, text)
    for where, text in everything_stored(secretive):
        assert_no_secret(text, where)


@pytest.mark.parametrize("style", [[], ["--json"]], ids=["for people", "as json"])
def test_the_command_prints_no_secret(secretive, style):
    ran = secretive.start("-m", "lakehouse", *style, "run", "nightly")
    printed, complained = ran.communicate(timeout=120)

    assert ran.returncode == 1, complained
    assert "401" in printed + complained
    assert_no_secret(printed, "stdout")
    assert_no_secret(complained, "stderr")
    for arguments in (["show", "flights"], ["history", secretive.flights]):
        told = secretive.start("-m", "lakehouse", *style, *arguments)
        output = "".join(told.communicate(timeout=120))
        assert told.returncode == 0, output
        assert_no_secret(output, arguments)


def test_a_database_that_cannot_be_reached_is_told_without_its_password(secretive):
    secretive.configure("lakehouse", "root: data\nmetadata: postgresql+psycopg://me:${DATABASE}@127.0.0.1:1/lake")

    with pytest.raises(MetadataError) as error, secretive.lake() as lake:
        lake.list()

    assert_no_secret("".join(traceback.format_exception(error.value)), "the traceback")
    told = secretive.start("-m", "lakehouse", "list")
    output = "".join(told.communicate(timeout=120))
    assert told.returncode == 1
    assert "postgresql" in output
    assert_no_secret(output, "the command's output")


def test_a_configuration_with_a_mistake_beside_a_secret_is_told_without_it(secretive):
    secretive.change("sources/flights", "allow_private: true", "allow_private: ${TOKEN}")
    secretive.configure("lakehouse", "root: data\nmetadata: ${DATABASE}")

    told = secretive.start("-m", "lakehouse", "list")
    output = "".join(told.communicate(timeout=120))

    assert told.returncode == 2
    assert "allow_private" in output
    assert "metadata" in output
    assert_no_secret(output, "the command's output")
