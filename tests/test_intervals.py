"""Sources that are asked for a stretch of time: files, addresses, buckets, databases, taps."""

# ruff: noqa: F811  # a fixture's name is its argument's

import json
import sqlite3
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mysql_orders import connected
from sqlalchemy.engine import make_url
from web import server  # noqa: F401  # a fixture

from lakehouse.errors import ConfigError
from lakehouse.formats import FORMATS
from lakehouse.records import Interval
from lakehouse.sources import intervals
from lakehouse.sources.http import HttpSource
from lakehouse.sources.objects import ObjectsSource
from lakehouse.sources.sftp import SftpSource

FIRST, SECOND, THIRD = (f"2026-01-0{day}" for day in (1, 2, 3))
DAY = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
CSV = FORMATS["csv"]()


@pytest.fixture
def daily(project):
    """A source with a file a day, and a lake in UTC."""
    project.configure("lakehouse", "root: data\ntimezone: UTC")
    project.configure(
        "sources/flights", "type: files\npath: incoming/{start:%Y-%m-%d}*\nformat: {type: csv, null_values: [NA]}"
    )
    project.change("jobs/nightly", "", "every: 1d")
    project.deliver(f"{FIRST}.csv", project.morning)
    project.deliver(f"{SECOND}.csv", project.noon)
    return project


def origins(project, source="flights"):
    with project.lake() as lake:
        return sorted(lake._site.ledger.sightings(source))


def test_a_run_takes_in_the_files_of_its_interval_alone_and_the_record_says_which(daily):
    with daily.lake() as lake:
        ran = lake.run("nightly", start=FIRST, end=SECOND)
        assert [(step.files, step.new) for step in ran.landed] == [(1, 1)]
        run = lake.runs("nightly")[0]
        assert (run.interval, run.trigger) == (DAY, "hand")
        land = lake._site.ledger.get_executions(type="Land")[0]
        assert land.properties["interval_start"] == "2026-01-01T00:00:00+00:00"
    assert daily.read()["flight"].to_list() == [1545, 1141]


def test_an_interval_that_is_run_twice_lands_once(daily):
    with daily.lake() as lake:
        for _ in range(2):
            assert lake.run("nightly", start=FIRST, end=SECOND).ok
        assert lake.run("nightly", start=SECOND, end=THIRD).ok
    assert daily.read().height == 4


def test_a_run_without_an_interval_takes_the_newest_of_its_jobs_times(daily):
    with daily.lake() as lake:  # its clock stands at 2026-01-01T00:00:01Z
        lake.run("nightly")
        assert lake.runs("nightly")[0].interval.end == DAY.start


def test_a_source_that_asks_for_an_interval_says_so_where_there_is_none(daily):
    daily.change("jobs/nightly", "every: 1d", "")
    with daily.lake() as lake:
        with pytest.raises(ConfigError, match=r"source 'flights' asks for \{start\} and \{end\}"):
            lake.land("flights")
        assert lake.land("flights", start=FIRST, end=SECOND).new == 1
        assert lake.run("nightly").errors[0].startswith("ConfigError: source 'flights' asks for")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"start": FIRST}, "has two ends"),
        ({"start": SECOND, "end": FIRST}, "ends .* before it begins"),
        ({"start": FIRST, "end": FIRST}, "ends .* before it begins"),
        ({"start": "yesterday", "end": FIRST}, "start: 'yesterday' is no time"),
    ],
)
def test_an_interval_that_is_none_is_refused(daily, given, told):
    with daily.lake() as lake, pytest.raises(ConfigError, match=told):
        lake.run("nightly", **given)


def test_the_command_line_takes_an_interval(daily):
    running = daily.start("-m", "lakehouse", "--json", "run", "nightly", "--from", FIRST, "--to", SECOND)
    assert json.loads(running.communicate()[0])["landed"][0]["new"] == 1
    landing = daily.start("-m", "lakehouse", "--json", "land", "flights", "--from", SECOND, "--to", THIRD)
    assert json.loads(landing.communicate()[0])["new"] == 1


def test_moments_are_written_in_the_sources_own_time_zone(daily):
    daily.change("sources/flights", "type: files", "type: files\ntimezone: Europe/Oslo")
    with daily.lake() as lake:  # in Oslo it is the second already
        assert lake.land("flights", start=f"{FIRST}T23:30Z", end=f"{SECOND}T23:30Z").new == 1
    assert origins(daily) == [f"incoming/{SECOND}.csv"]


def test_codes_that_are_not_known_are_told_with_the_file(daily):
    daily.change("sources/flights", "%Y-%m-%d", "%Q")
    with pytest.raises(ConfigError, match=r"sources/flights.yaml: path: '%Q' is not known in \{start:…\}; known"):
        daily.lake()


def test_a_source_that_asks_for_an_interval_cannot_be_watched(daily):
    daily.change("jobs/nightly", "every: 1d", "watch: flights")
    with pytest.raises(ConfigError, match="'flights' asks for a stretch of time, and cannot be watched"):
        daily.lake()


def test_files_that_wait_are_counted_without_being_landed(project):
    project.deliver("1.csv", project.morning)
    with project.lake() as lake:
        assert lake.look("nightly") == []  # it watches nothing
        assert lake.waiting("flights") == 1
        lake.land("flights")
        assert lake.waiting("flights") == 0
        project.deliver("1.csv", project.noon)
        assert lake.waiting("flights") == 1
        assert lake._site.ledger.count_executions(type="Land") == 1


# Other kinds


def test_addresses_are_filled_and_what_they_cannot_hold_is_escaped(server, project):
    source = HttpSource(
        type="http",
        format=CSV,
        url="http://h.example/{start:%Y/%m}/f.csv?from={start}&to={end}",
        timezone="Europe/Oslo",
    )
    asked = source.within(project.folder, str).during(DAY)
    assert asked.url == (
        "http://h.example/2026/01/f.csv?from=2026-01-01T01:00:00%2B01:00&to=2026-01-02T01:00:00%2B01:00"
    )
    at = server.url("/")[:-1]
    project.configure(
        "sources/flights", f"type: http\nurl: {at}/a.csv?d={{start:%d}}\nallow_private: true\nformat: csv"
    )
    with project.lake() as lake:
        for begin, end in ((f"{FIRST}Z", f"{SECOND}Z"), (f"{SECOND}Z", f"{THIRD}Z"), (f"{FIRST}Z", f"{SECOND}Z")):
            lake.land("flights", start=begin.replace("Z", "T00:00Z"), end=end.replace("Z", "T00:00Z"))
    assert origins(project) == [f"{at}/a.csv?d=01", f"{at}/a.csv?d=02"]


@pytest.mark.parametrize("kind", [ObjectsSource, SftpSource])
def test_globs_of_buckets_and_servers_are_filled(kind):
    path = "/in/{start:%Y-%m-%d}/*.csv"
    more = {"anonymous": True, "path": f"s3://b{path}"} if kind is ObjectsSource else {}
    more = more or {"host": "h", "user": "u", "password": "secret", "path": path}
    asked = kind(type="x", format=CSV, **more).during(DAY)
    assert asked.path[0].endswith("/in/2026-01-01/*.csv")
    assert kind.watchable


ROWS = [(1, "2025-12-31 23:59:59"), (2, "2026-01-01 00:00:00"), (3, "2026-01-01 23:59:59"), (4, "2026-01-02 00:00:00")]


def shop(backend, servers, folder):
    """A database with orders of three days, and its URL."""
    if backend == "sqlite":
        with sqlite3.connect(folder / "shop.db") as connection:
            connection.execute("CREATE TABLE orders (id int, at text)")
            connection.executemany("INSERT INTO orders VALUES (?, ?)", ROWS)
        return f"sqlite:///{folder / 'shop.db'}"
    url = make_url(servers.new(backend, folder)).set(drivername=backend).render_as_string(hide_password=False)
    if backend == "mysql":
        with connected(url) as cursor:
            cursor.execute("CREATE TABLE orders (id int, at datetime)")
            cursor.executemany("INSERT INTO orders VALUES (%s, %s)", ROWS)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders (id int, at timestamptz)")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO orders VALUES (%s, %s::timestamp AT TIME ZONE 'UTC')", ROWS)
    return url


@pytest.mark.parametrize("backend", ["sqlite", "mysql", "postgresql"])
@pytest.mark.parametrize(
    "where",
    [
        "at >= {start} AND at < {end}",
        "at >= '{start:%Y-%m-%d}' AND at < {end:%Y-%m-%d %H:%M:%S}",
    ],
)
def test_queries_are_given_moments_as_the_database_writes_them(backend, where, servers, project):
    url = shop(backend, servers, project.folder)
    query = f"SELECT id FROM orders WHERE {where} ORDER BY id"
    project.configure("sources/orders", f"type: sql\nurl: {url}\nquery: >\n  {query}")
    with project.lake() as lake:
        for _ in range(2):
            lake.land("orders", start=f"{FIRST}T00:00Z", end=f"{SECOND}T00:00Z")
        assert lake.land("orders", start=f"{SECOND}T00:00Z", end=f"{THIRD}T00:00Z").new == 1
        raw = lake._site.ledger.get_artifacts(type="RawFile")
        landed = [lake._site.storage.path(one.uri).read_text() for one in raw]
    assert landed == ["id\n2\n3\n", "id\n4\n"]
    first, second = origins(project, "orders")
    assert first.endswith("#2026-01-01T00:00:00Z..2026-01-02T00:00:00Z")
    assert second.partition("#")[0] == first.partition("#")[0]


def test_no_moment_breaks_out_of_a_statement():
    text = intervals.literals("{start:%Y' OR '1'='1}", DAY, ZoneInfo("UTC"), str)
    assert text == "'2026'' OR ''1''=''1'"


def test_a_cursor_and_an_interval_exclude_each_other(project):
    project.configure("sources/orders", "type: sql\nurl: sqlite:///x.db\nquery: SELECT {start}\ncursor: id")
    with pytest.raises(ConfigError, match=r"cursor: follows positions, and \{start\} and \{end\} ask for a stretch"):
        project.lake()


TAP = """
import json, sys
said = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
assert "--state" not in sys.argv
schema = {"properties": {"d": {"type": "string"}}}
print(json.dumps({"type": "SCHEMA", "stream": "a", "schema": schema, "key_properties": []}))
print(json.dumps({"type": "RECORD", "stream": "a", "record": {"d": said["start_date"]}}))
print(json.dumps({"type": "STATE", "value": {"d": said["start_date"]}}))
"""


def test_a_tap_is_configured_with_the_interval_and_goes_on_from_no_state(project):
    (project.folder / "tap.py").write_text(TAP)
    config = "config: {start_date: '{start:%Y-%m-%d}'}"
    project.configure("sources/tap", f"type: singer\ncommand: [{sys.executable}, tap.py]\n{config}")
    with project.lake() as lake:
        for begin, end in ((FIRST, SECOND), (SECOND, THIRD), (FIRST, SECOND)):
            done = lake.land("tap", start=f"{begin}T00:00Z", end=f"{end}T00:00Z")
            assert not done.failed, done.notes
    assert [one.partition("?")[2] for one in origins(project, "tap")] == [
        "during=2026-01-01T00:00:00Z..2026-01-02T00:00:00Z",
        "during=2026-01-02T00:00:00Z..2026-01-03T00:00:00Z",
    ]


@settings(max_examples=200)
@given(st.text(), st.sampled_from(["UTC", "Europe/Oslo", "Asia/Kathmandu"]))
def test_a_text_without_a_moment_is_never_changed(text, zone):
    if "{start" not in text and "{end" not in text:
        assert not intervals.asked(text)
        assert intervals.filled(text, DAY, ZoneInfo(zone)) == text
        assert intervals.literals(text, DAY, ZoneInfo(zone), str) == text


@pytest.mark.parametrize("text", ["{", "{}", "{startle}", "{ start }", '{"start": 1}', "{end", "a{b,c}*"])
def test_other_braces_are_left_as_they_are(text):
    assert not intervals.asked(text)
    assert intervals.filled(text, DAY, ZoneInfo("UTC")) == text
