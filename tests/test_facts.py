"""The same facts through every format and every source come out equal: types, nulls, big numbers, dates, alphabets."""

import asyncio
import gzip
import json
import logging
import sqlite3
import sys
import threading

import asyncssh
import boto3
import psycopg
import pymysql
import pytest
from facts import FACTS, FORMATS, SCHEMA
from moto.server import ThreadedMotoServer
from polars.testing import assert_frame_equal
from sqlalchemy.engine import make_url
from web import Server

DATASET = "facts/all"


def curated(project, source):
    """The facts that a source gives, in the order of their ids; nothing may be rejected."""
    project.configure("sources/facts", source)
    project.configure(f"datasets/{DATASET}", f"    source: facts{SCHEMA}")
    project.configure("jobs/nightly", f"datasets: [{DATASET}]")
    ran = project.run()
    assert ran.ok, [note.message for step in (*ran.landed, *ran.curated) for note in step.notes]
    with project.lake() as lake:
        assert lake.quarantine(DATASET).select("text", "reasons").collect().rows() == []
        return lake.read(DATASET).select(FACTS.columns).sort("id")


@pytest.mark.parametrize("name", FORMATS)
def test_the_facts_come_out_of_every_format_as_they_are(project, name):
    format_, file, make = FORMATS[name]
    project.deliver(file, make())

    assert_frame_equal(curated(project, f"type: files\npath: incoming/*\nformat: {format_}"), FACTS, check_exact=True)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("fixed", "log", "copy", "singer", "xml")])
def test_the_facts_come_out_of_a_format_that_is_guessed(project, name):
    _, file, make = FORMATS[name]
    project.deliver(file, make())

    assert_frame_equal(curated(project, "type: files\npath: incoming/*\nformat: auto"), FACTS, check_exact=True)


def test_the_facts_come_out_of_a_packed_file(project):
    format_, file, make = FORMATS["csv"]
    project.deliver(f"{file}.gz", gzip.compress(make()))

    assert_frame_equal(curated(project, f"type: files\npath: incoming/*\nformat: {format_}"), FACTS, check_exact=True)


TABLE = "id {int}, name {text}, amount {decimal}, ratio {float}, born date, {at}, ok {bool}, big {int}"
POSTGRESQL = TABLE.format(
    int="bigint", text="text", decimal="numeric(30, 6)", float="float8", at="at timestamptz", bool="boolean"
)
MARIADB = TABLE.format(
    int="bigint", text="text", decimal="decimal(30, 6)", float="double", at="at datetime(6)", bool="boolean"
)
INSERT = "INSERT INTO facts VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"


def test_the_facts_come_out_of_postgresql(project, servers, tmp_path):
    url = make_url(servers.new("postgresql", tmp_path)).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with psycopg.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE facts ({POSTGRESQL})")
        cursor.executemany(INSERT, FACTS.rows())
    connection.close()

    assert_frame_equal(curated(project, f"type: sql\nurl: {address}\ntable: facts"), FACTS, check_exact=True)


def test_the_facts_come_out_of_mariadb(project, servers, tmp_path):
    url = make_url(servers.new("mysql", tmp_path))
    known = {"host": url.host, "port": url.port, "user": url.username, "password": url.password or ""}
    with (
        pymysql.connect(**known, database=url.database, charset="utf8mb4", autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TABLE facts ({MARIADB}) CHARACTER SET utf8mb4")
        cursor.executemany(INSERT, FACTS.rows())

    address = url.set(drivername="mysql", query={}).render_as_string(hide_password=False)
    assert_frame_equal(curated(project, f"type: sql\nurl: {address}\ntable: facts"), FACTS, check_exact=True)


@pytest.mark.parametrize("more", ["table: facts", "query: SELECT * FROM facts"])
def test_the_facts_come_out_of_sqlite(project, more):
    path = project.folder / "shop.db"
    path.write_bytes(FORMATS["sqlite"][2]())
    sqlite3.connect(path).close()

    assert_frame_equal(curated(project, f"type: sql\nurl: sqlite:///shop.db\n{more}"), FACTS, check_exact=True)


def test_the_facts_come_over_http(project):
    format_, _, make = FORMATS["csv"]
    with Server() as server:
        server.answers["/facts"] = lambda answer: answer.give(200, make())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        source = f"type: http\nurl: {server.url('/facts')}\nallow_private: true\nformat: {format_}"
        assert_frame_equal(curated(project, source), FACTS, check_exact=True)
        server.shutdown()


def test_the_facts_come_out_of_a_bucket(project):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    given = {"region_name": "us-east-1", "aws_access_key_id": "AK", "aws_secret_access_key": "a-secret"}
    client = boto3.client("s3", endpoint_url=endpoint, **given)
    client.create_bucket(Bucket="facts")
    client.put_object(Bucket="facts", Key="in/facts.parquet", Body=FORMATS["parquet"][2]())
    client.close()

    source = (
        f"type: objects\npath: s3://facts/in/*.parquet\nformat: parquet\nendpoint: {endpoint}\nallow_http: true\n"
        "key: AK\nsecret: a-secret"
    )
    assert_frame_equal(curated(project, source), FACTS, check_exact=True)
    server.stop()


def test_the_facts_come_over_sftp(project, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    (served / "facts.ndjson").write_bytes(FORMATS["ndjson"][2]())
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    key, ready, done = asyncssh.generate_private_key("ssh-ed25519"), threading.Event(), asyncio.Event()
    ports = []

    class Anybody(asyncssh.SSHServer):
        def begin_auth(self, _):
            return True

        def password_auth_supported(self):
            return True

        def validate_password(self, *_):
            return True

    async def serve():
        files = lambda channel: asyncssh.SFTPServer(channel, chroot=str(served).encode())  # noqa: E731
        async with asyncssh.listen(
            "127.0.0.1", 0, server_factory=Anybody, server_host_keys=[key], sftp_factory=files
        ) as acceptor:
            ports.append(acceptor.get_port())
            loops.append(asyncio.get_running_loop())
            ready.set()
            await done.wait()
        await asyncio.sleep(0.1)  # the connection's socket is closed a moment later

    loops = []
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    host_key = " ".join(key.export_public_key().decode().split()[:2])
    source = (
        f"type: sftp\nhost: 127.0.0.1\nport: {ports[0]}\nuser: ann\npassword: a-password\nhost_key: '{host_key}'\n"
        "path: '*.ndjson'\nformat: ndjson"
    )
    assert_frame_equal(curated(project, source), FACTS, check_exact=True)
    loops[0].call_soon_threadsafe(done.set)
    thread.join()


def test_the_facts_come_out_of_a_singer_tap(project):
    said = project.folder / "facts.singer"
    said.write_bytes(FORMATS["singer"][2]())
    command = json.dumps([sys.executable, "-c", f"print(open({str(said)!r}, encoding='utf-8').read(), end='')"])

    assert_frame_equal(
        curated(project, f"type: singer\ncommand: {command}\nformat: {FORMATS['singer'][0]}"), FACTS, check_exact=True
    )


def test_the_facts_come_in_by_being_pushed(project):
    format_, file, make = FORMATS["avro"]
    project.configure("sources/facts", f"type: push\nformat: {format_}")
    project.configure(f"datasets/{DATASET}", f"    source: facts{SCHEMA}")
    with project.lake() as lake:
        lake.land_bytes("facts", file, make())
        lake.curate(DATASET)
        assert_frame_equal(lake.read(DATASET).select(FACTS.columns).sort("id"), FACTS, check_exact=True)
