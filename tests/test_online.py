"""Serving: what is published is what is looked up, of one moment, after crashes and races, in SQLite and in Redis."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import sqlite3
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse import Lake, online
from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError, StorageError
from lakehouse.online import Publication, Table
from lakehouse.online.values import decoded, key_codes
from lakehouse.records import ExecutionState

STORES = ("sqlite", "redis")
DELAYS = """
    entity: [carrier, flight, origin]
    features: [aviation/flights:dep_delay]
"""
UA = {"carrier": "UA", "flight": 1545, "origin": "EWR"}
AA = {"carrier": "AA", "flight": 1141, "origin": "JFK"}
B6 = {"carrier": "B6", "flight": 725, "origin": "JFK"}


@pytest.fixture(params=STORES)
def store_url(request, servers, tmp_path):
    """Where an empty store of each kind may be."""
    return servers.redis() if request.param == "redis" else f"sqlite:///{tmp_path / 'online.db'}"


@pytest.fixture
def store(store_url):
    opened = online.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def serving(project, store_url):
    """The project with a feature set, its flights in each kind of store."""
    project.configure("lakehouse", f"root: data\nonline: {store_url}")
    project.configure("features/delays", DELAYS)
    project.deliver("a.csv", project.morning)
    assert project.run().ok
    return project


def delays(lake, *keys):
    return [row["dep_delay"] for row in lake.online("delays", list(keys), into="dicts")]


# The stores

STAMPS = itertools.count()


MOMENT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001
WIDTH = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    pl.Int64(): WIDTH,
    pl.Float64(): st.floats(),
    pl.Boolean(): st.booleans(),
    pl.String(): st.text(max_size=9),
    pl.Binary(): st.binary(max_size=9),
    pl.Date(): st.dates(),
    pl.Datetime("us", "UTC"): MOMENT,
    pl.Decimal(12, 3): st.integers(-(10**12) + 1, 10**12 - 1).map(lambda n: Decimal(n).scaleb(-3)),
    pl.List(pl.Float64): st.lists(st.floats(), max_size=3),
    pl.Struct({"a": pl.Int64, "d": pl.Date, "l": pl.List(pl.Datetime("us", "UTC"))}): st.fixed_dictionaries(
        {"a": WIDTH, "d": st.none() | st.dates(), "l": st.lists(MOMENT, max_size=2)}
    ),
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*(st.none() | values for values in VALUES.values())), min_size=1, max_size=4))
def test_values_of_every_type_come_back_as_exactly_what_they_were(store, rows):
    types = {f"v{number}": dtype for number, dtype in enumerate(VALUES)}
    frame = pl.DataFrame(rows, schema=types, orient="row").with_row_index("k")
    store.replace(Publication("every", str(next(STAMPS)), (Table({"k": pl.UInt32()}, types),)), [[frame]])
    found = store.look_up("every", lambda _: [[(number,) for number in range(len(rows))]])
    for place, (name, dtype) in enumerate(found.publication.tables[0].columns.items()):
        values = decoded(name, [row[place] for row in found.rows], dtype, text=store.text)
        assert values.dtype == types[name]
        assert values.equals(frame[name]), name
        assert repr(values.to_list()) == repr(frame[name].to_list())  # 0.0 and -0.0 are equal, and not the same


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["", "0", "0.5", "null", None, "a\x00b", "é"], pl.String()),
        ([0, -1, None, 2**63 - 1], pl.Int64()),
        ([0.5, 0.0, None, math.nan, math.inf], pl.Float64()),
        ([True, False, None], pl.Boolean()),
        ([date(1970, 1, 1), None, date(1, 1, 1)], pl.Date()),
        ([b"", b"\x00", None], pl.Binary()),
        ([Decimal("1.50"), Decimal("-0.01"), None], pl.Decimal(9, 2)),
    ],
)
def test_keys_that_look_alike_are_told_apart_and_null_is_one_of_them(store, values, dtype):
    keys = pl.Series("k", values, dtype=dtype)
    frame = pl.DataFrame([keys, pl.Series("v", range(len(values)))])
    store.replace(Publication("keys", "1", (Table({"k": dtype}, {"v": pl.Int64()}),)), [[frame]])
    codes = [(code,) for code in key_codes(keys)]
    found = store.look_up("keys", lambda _: [[*codes, *reversed(codes), (-7,)]])
    numbers = list(range(len(values)))
    assert [row[0] for row in found.rows] == [*numbers, *reversed(numbers), None]
    assert store.count("keys") == len(values)


def test_no_look_up_sees_a_part_of_what_is_published(store):
    table = Table({"k": pl.Int64()}, {"v": pl.Int64()})
    stop, broken, seen = threading.Event(), [], set()

    def frame(number):
        return pl.DataFrame({"k": range(300), "v": [number] * 300}, schema={"k": pl.Int64, "v": pl.Int64})

    def publish(number, how):
        publication = Publication("set", str(number), (table,), {"number": number})
        if how == "whole":
            store.replace(publication, [[frame(number)]])
        else:
            store.update(publication, [frame(number)], [frame(number).head(0)])

    def read():
        while not stop.is_set():
            found = store.look_up("set", lambda _: [[(key,) for key in range(0, 300, 7)]])
            numbers = {row[0] for row in found.rows}
            seen.update(numbers)
            if numbers != {found.publication.facts["number"]}:
                broken.append((numbers, found.publication.facts))

    publish(0, "whole")
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 25):
        publish(number, "whole" if number % 3 else "part")
    stop.set()
    for reader in readers:
        reader.join()
    assert not broken
    assert len(seen) > 1


def test_a_look_up_of_nothing_and_of_thousands_of_keys_answers_each(store):
    frame = pl.DataFrame({"k": range(5000), "v": range(5000)})
    store.replace(Publication("many", "1", (Table({"k": pl.Int64()}, {"v": pl.Int64()}),)), [[frame]])
    assert store.look_up("many", lambda _: [[]]).rows == []
    found = store.look_up("many", lambda _: [[(key,) for key in range(4999, -2, -1)]])
    assert [row[0] for row in found.rows] == [*range(4999, -1, -1), None]


# Publishing, and what is answered


def test_what_was_published_is_looked_up_in_the_keys_order_and_says_how_old_it_is(serving):
    with serving.lake() as lake:
        done = lake.publish("delays")
        assert (done.keys, done.total, done.versions) == (2, 2, {"aviation/flights": 0})
        found = lake.online("delays", [AA, {**UA, "flight": 9}, UA, AA])
        assert found["dep_delay"].to_list() == [-1, None, 2, -1]
        assert found["flight"].to_list() == [1141, 9, 1545, 1141]
        hour = datetime(2013, 1, 1, 5, tzinfo=UTC)
        assert found["_event_time"].to_list() == [hour + timedelta(hours=1), None, hour, hour + timedelta(hours=1)]
        assert found["_published_at"].unique().to_list() == [done.published_at]
        assert lake.online("delays", found.select(list(AA))).equals(found)
        assert lake.online("delays", [AA, UA], into="dicts") == found[[0, 2]].to_dicts()
        assert lake.online("delays", []).schema == found.schema
        assert lake.online("delays", UA).height == 1


def test_only_the_keys_that_something_new_is_known_of_are_written(serving):
    with serving.lake() as lake:
        lake.publish("delays")
        serving.deliver("b.csv", serving.noon)
        lake.run("nightly")
        done = lake.publish("delays")
        assert (done.keys, done.removed, done.full, done.total) == (2, 0, "", 4)
        assert lake.publish("delays").execution == 0
        serving.deliver("c.csv", serving.header + "2013-01-01T04:00:00Z,UA,1545,EWR,99\n")  # late: an older hour
        lake.run("nightly")
        assert lake.publish("delays").keys == 1
        assert delays(lake, UA, AA, B6) == [2, -1, None]
        assert lake.publish("delays", again=True).full


def test_a_correction_changes_the_keys_it_brings_and_those_it_takes_away(serving):
    with serving.lake() as lake:
        lake.publish("delays")
        serving.deliver("a.csv", serving.header + "2013-01-01T05:00:00Z,UA,1545,EWR,20\n")
        lake.run("nightly")
        done = lake.publish("delays")
        assert (done.keys, done.removed, done.full, done.total) == (1, 1, "", 1)
        assert delays(lake, UA, AA) == [20, None]


def test_values_grow_too_old_and_come_true_without_a_new_version(project, store_url):
    project.configure("lakehouse", f"root: data\nonline: {store_url}")
    project.configure("features/delays", DELAYS + "    ttl: 3h\n")
    project.clock.now = datetime(2013, 1, 1, 6, 30, tzinfo=UTC)
    project.deliver("a.csv", project.morning)
    project.deliver("b.csv", project.header + "2013-01-01T08:00:00Z,UA,1545,EWR,50\n")
    with project.lake() as lake:
        lake.run("nightly")
        lake.publish("delays")
        assert delays(lake, UA, AA) == [2, -1]
        project.clock.now = datetime(2013, 1, 1, 8, 30, tzinfo=UTC)
        assert delays(lake, UA, AA) == [None, -1]
        assert lake.online("delays", [UA])["_event_time"].to_list() == [None]
        assert lake.publish("delays").keys == 1
        assert delays(lake, UA, AA) == [50, -1]


def test_a_set_that_changed_is_served_when_it_is_published_again(serving):
    with serving.lake() as lake:
        lake.publish("delays")
    serving.change("features/delays", "aviation/flights:dep_delay", "aviation/flights:dep_delay as late")
    with serving.lake() as lake:
        assert lake.online("delays", UA)["late"].to_list() == [2]
    serving.change("features/delays", "as late]", "as late, aviation/flights:time_hour]")
    with serving.lake() as lake:
        with pytest.raises(ConfigError, match="published without aviation/flights:time_hour"):
            lake.online("delays", UA)
        assert "changed" in lake.publish("delays").full
        assert lake.online("delays", UA)["time_hour"].to_list() == [datetime(2013, 1, 1, 5, tzinfo=UTC)]


def test_datasets_with_other_keys_are_looked_up_together(serving):
    serving.configure("sources/ports", "type: files\npath: ports/*\nformat: {type: csv}")
    serving.configure(
        "datasets/aviation/ports",
        """
        source: ports
        keys: [origin]
        schema: {features: {origin: {type: string}, runways: {type: int}}}
        """,
    )
    serving.change("features/delays", "dep_delay]", "dep_delay, aviation/ports:runways]")
    (serving.folder / "ports").mkdir()
    (serving.folder / "ports" / "p.csv").write_text("origin,runways\nJFK,4\nLGA,2\n")
    with serving.lake() as lake:
        with pytest.raises(NotFoundError, match="aviation/ports"):
            lake.publish("delays")
        lake.land("ports")
        lake.curate("aviation/ports")
        lake.publish("delays")
        found = lake.online("delays", [AA, UA, {**UA, "origin": "LGA"}])
        assert found["runways"].to_list() == [4, None, 2]
        assert found["dep_delay"].to_list() == [-1, 2, None]


def test_a_store_that_is_lost_is_filled_again(serving, store_url):
    with serving.lake() as lake:
        lake.publish("delays")
    if store_url.startswith("sqlite"):
        for file in serving.folder.parent.glob("online.db*"):
            file.unlink()
    else:
        server = pytest.importorskip("redis").Redis.from_url(store_url.partition("?")[0])
        for key in server.scan_iter(f"{store_url.partition('prefix=')[2]}:*"):
            server.delete(key)
    with serving.lake() as lake:
        with pytest.raises(NotFoundError, match="lakehouse publish delays"):
            lake.online("delays", UA)
        assert lake.publish("delays").keys == 2
        assert delays(lake, UA) == [2]


def test_a_lake_that_was_brought_back_older_does_not_leave_served_what_it_lost(serving):
    data, backup = serving.folder / "data", serving.folder / "backup"
    shutil.copytree(data, backup)
    with serving.lake() as lake:
        serving.deliver("lost.csv", f"{serving.header}2013-01-01T10:00:00Z,UA,1545,EWR,99\n")
        serving.run()
        lake.publish("delays")
        assert delays(lake, UA) == [99]
    shutil.rmtree(data)
    backup.rename(data)
    for file in serving.folder.glob("**/lost.csv"):
        file.unlink()
    serving.clock.now += timedelta(days=1)
    serving.deliver("other.csv", serving.noon)
    serving.run()
    with serving.lake() as lake:
        assert lake.publish("delays").full
        assert delays(lake, UA) == [2]


def test_keys_that_are_none_are_refused_by_name(serving):
    with serving.lake() as lake:
        lake.publish("delays")
        with pytest.raises(ConfigError, match=r"'carier' is no key of feature set 'delays'. Did you mean 'carrier'"):
            lake.online("delays", {"carier": "UA"})
        with pytest.raises(ConfigError, match="'origin' is missing"):
            lake.online("delays", {"carrier": "UA", "flight": 1})
        with pytest.raises(ConfigError, match=r"'flight' .* is Int64"):
            lake.online("delays", {**UA, "flight": "many"})
        with pytest.raises(ConfigError, match=r"'flight' .* is Int64"):
            lake.online("delays", {**UA, "flight": 2**70})
        with pytest.raises(NotFoundError, match=r"no feature set 'delay'. Did you mean 'delays'"):
            lake.online("delay", UA)


def test_another_lake_does_not_write_over_what_is_published(serving, new_project, tmp_path, store_url):
    with serving.lake() as lake:
        lake.publish("delays")
    other = new_project(tmp_path / "other")
    other.clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    other.configure("lakehouse", f"root: data\nonline: {store_url}")
    other.configure("features/delays", DELAYS)
    other.deliver("a.csv", other.noon)
    with other.lake() as lake:
        lake.run("nightly")
        with pytest.raises(ConfigError, match="of another lake"):
            lake.publish("delays")
    with serving.lake() as lake:
        assert delays(lake, UA) == [2]


# The record, crashes and races


def test_publishing_is_recorded_with_what_it_read_and_made_and_comes_back_after_a_repair(serving):
    with serving.lake() as lake:
        done = lake.publish("delays")
        told = str(lake.lineage("OnlineStore:delays"))
        assert "aviation/flights@0" in told
        assert f"Publish execution:{done.execution}" in told
        assert lake.check() == ()
    for file in (serving.folder / "data").glob("metadata.db*"):
        file.unlink()
    from lakehouse import Lake

    Lake.repair(serving.folder / "configs", clock=serving.clock)
    with serving.lake() as lake:
        (made,) = lake._site.ledger.get_artifacts(type="OnlineStore")
        assert json.loads(made.properties["versions"]) == {"aviation/flights": 0}
        assert lake.check() == ()
        assert lake.publish("delays").execution == 0


PUBLISH = "from lakehouse import Lake\nwith Lake('configs') as lake: print(lake.publish('delays').keys)"


KILLED = [
    ("sqlite", "online.written"),
    ("sqlite", "publish.stored"),
    ("sqlite", "site.ended"),
    ("redis", "online.written"),
]


@pytest.mark.parametrize(("store_url", "where"), KILLED, indirect=["store_url"])
def test_a_publisher_killed_anywhere_leaves_the_old_or_the_new_and_the_next_one_goes_on(serving, where):
    with serving.lake() as lake:
        lake.publish("delays")
        serving.deliver("b.csv", serving.header + "2013-01-01T07:00:00Z,UA,1545,EWR,70\n")
        lake.run("nightly")
    killed = serving.start("-c", PUBLISH, LAKEHOUSE_FAIL_AT=where)
    told = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, told
    with serving.lake() as lake:
        stored = where in ("publish.stored", "site.ended")
        assert delays(lake, UA, AA) == [70 if stored else 2, -1]
        done = lake.publish("delays")
        assert (done.execution == 0) is stored
        assert delays(lake, UA, AA) == [70, -1]
        assert not lake._site.ledger.get_executions(state=ExecutionState.RUNNING)
        states = [e.state for e in lake._site.ledger.get_executions(type="Publish")]
        assert states.count(ExecutionState.COMPLETE) == 2
        assert lake.check() == ()


def test_two_publishers_at_once_write_it_once(serving):
    made = []

    def publish():
        with serving.lake() as lake:
            made.append(lake.publish("delays").execution)

    both = [threading.Thread(target=publish) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(execution > 0 for execution in made) == [False, True]


# At the edges


def test_the_store_is_a_plain_sqlite_file_by_default(project):
    project.configure("features/delays", DELAYS)
    project.deliver("a.csv", project.morning)
    with project.lake() as lake:
        lake.run("nightly")
        lake.publish("delays")
        with sqlite3.connect(project.folder / "data" / "online.db") as plain:
            assert plain.execute('SELECT count(*) FROM "delays@1.0"').fetchone() == (2,)
            plain.execute("DROP TABLE publications")
        plain.close()
        with pytest.raises(NotFoundError, match="lakehouse publish delays"):
            lake.online("delays", UA)
        assert lake.check() == ()


def test_a_damaged_or_absent_store_is_told_with_what_to_do(project):
    project.configure("features/delays", DELAYS)
    project.deliver("a.csv", project.morning)
    project.run()
    (project.folder / "data" / "online.db").write_bytes(b"no database" * 1000)
    with project.lake() as lake, pytest.raises(StorageError, match=r"online\.db.*lakehouse publish"):
        lake.publish("delays")
    project.configure("lakehouse", "root: data\nonline: redis://:hidden-word@127.0.0.1:1/0")
    with project.lake() as lake, pytest.raises(StorageError, match=r"Redis at 127.0.0.1:1") as failed:
        lake.publish("delays")
    assert "hidden-word" not in str(failed.value)
    assert "hidden-word" not in project.folder.joinpath("data", "metadata.db").read_bytes().decode("latin-1")
    project.configure("lakehouse", "root: data\nonline: memcached://host")
    with pytest.raises(ConfigError, match=r"lakehouse\.yaml:2: online: must be a store's URL"):
        project.lake()


def test_a_store_on_redis_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "lakehouse.online.redis", raising=False)
    with pytest.raises(ConfigError, match=r"lakehouse\[redis\]"):
        online.open("redis://127.0.0.1")


def test_datasets_whose_keys_never_meet_are_no_feature_set(project):
    project.configure("features/delays", DELAYS.replace("dep_delay]", "dep_delay, aviation/ports:runways]"))
    project.configure(
        "datasets/aviation/ports",
        """
        source: flights
        keys: [flight]
        schema: {features: {flight: {type: string}, runways: {type: int}}}
        """,
    )
    with pytest.raises(ConfigError, match=r"'flight' is int in aviation/flights and string in aviation/ports"):
        project.lake()


def test_a_lake_with_a_lock_publishes_and_joins_what_that_pins(serving):
    with serving.lake() as lake:
        lock = serving.folder / "lakehouse.lock"
        lake.pin(lock)
        serving.deliver("b.csv", f"{serving.header}2013-01-01T10:00:00Z,UA,1545,EWR,99\n")
        serving.run()
        spine = pl.DataFrame([{**UA, "event_time": datetime(2020, 1, 1, tzinfo=UTC)}])
        assert lake.features(spine, "delays")["dep_delay"].to_list() == [99]
    with Lake(serving.folder / "configs", lock=lock, clock=serving.clock) as lake:
        assert lake.features(spine, "delays")["dep_delay"].to_list() == [2]
        assert lake.publish("delays").versions == {"aviation/flights": 0}
        assert delays(lake, UA) == [2]


def test_a_feature_set_says_all_that_is_wrong_with_it_before_anything_runs(project):
    project.configure(
        "features/delays",
        """
        entity: [carrier, gate]
        features: [aviation/flights:depdelay, aviation/flihts:x, "aviation/flights:dep_delay as carrier"]
        ttl: {aviation/weather: 1h}
        """,
    )
    with pytest.raises(ConfigError) as failed:
        project.lake()
    for text in ("no feature 'depdelay'", "no dataset 'aviation/flihts'", "a column of the entity", "aviation/weather"):
        assert text in str(failed.value)
    project.configure("features/delays", DELAYS.replace("carrier, ", "gate, "))
    with pytest.raises(ConfigError, match=r"(?s)'gate' is a key of none.*'carrier' is missing"):
        project.lake()


def test_publish_and_online_speak_on_the_command_line(project):
    project.configure("features/delays", DELAYS)
    project.deliver("a.csv", project.morning)
    project.run()

    def say(*arguments):
        result = CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), *arguments])
        return result.exit_code, result.output

    assert say("publish", "delays")[1].startswith("delays: wrote 2 keys of 2 from aviation/flights@0")
    assert "up to date with aviation/flights@0" in say("publish", "delays")[1]
    status, text = say("online", "delays", "carrier=UA", "flight=1545", "origin=EWR")
    assert (status, "dep_delay  2" in text, "true since 2013-01-01 05:00:00Z" in text) == (0, True, True)
    assert json.loads(say("online", "delays", "carrier=UA", "flight=1545", "origin=EWR", "--json")[1])["dep_delay"] == 2
    assert "nothing is known" in say("online", "delays", "carrier=UA", "flight=1", "origin=EWR")[1]
    assert say("online", "delays", "carrier")[0] == 2


# Against the point-in-time join


FACTS = """
    source: facts
    keys: [k, j]
    event_time: t
    schema:
      features:
        k: {type: string, presence: optional}
        j: {type: int, presence: optional}
        t: {type: datetime}
        v: {type: float, presence: optional}
"""
STATES = """
    source: states
    history: changes
    keys: [k]
    event_time: t
    delete_when: gone
    schema:
      features:
        k: {type: string, presence: optional}
        t: {type: datetime}
        w: {type: string, presence: optional}
        gone: {type: bool, presence: optional}
"""
KEYS = [(k, j) for k in ("a", "b", None) for j in (1, 2, None)]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = st.integers(-9, 9)
FACT = st.tuples(st.sampled_from(KEYS), MINUTE, st.sampled_from(["1.5", "-0.0", ""]))
STATE = st.tuples(st.sampled_from(["a", "b", ""]), MINUTE, st.sampled_from(["x", "y", ""]), st.sampled_from("01"))


class Steps(NamedTuple):
    """What happens between two comparisons; a file of the same number is a correction of the one before."""

    minutes: int
    number: int
    facts: list
    states: list


STEPS = st.lists(
    st.builds(Steps, st.integers(0, 4), st.integers(0, 2), st.lists(FACT, max_size=5), st.lists(STATE, max_size=5)),
    min_size=2,
    max_size=4,
)


def written(minute):
    return (NOON + timedelta(minutes=minute, seconds=30)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("kind", STORES)
@settings(
    max_examples=int(os.environ.get("LAKEHOUSE_EXAMPLES", "3")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_what_is_served_is_what_the_join_gives_for_now(new_project, servers, tmp_path_factory, kind, steps):
    folder = tmp_path_factory.mktemp("served")
    project = new_project(folder / "project")
    url = servers.redis() if kind == "redis" else f"sqlite:///{folder / 'online.db'}"
    project.configure("lakehouse", f"root: data\nonline: {url}")
    project.configure("features/both", "entity: [k, j]\nfeatures: [s/facts:v, s/states:w]\nttl: {s/facts: 6m}")
    for name, text in (("facts", FACTS), ("states", STATES)):
        project.configure(f"sources/{name}", f"type: files\npath: incoming/{name}_*\nformat: csv")
        project.configure(f"datasets/s/{name}", text)
    project.configure("jobs/nightly", "datasets: [s/facts, s/states]")
    project.deliver("facts_first.csv", f"k,j,t,v\nz,9,{written(-9)},0\n")
    project.deliver("states_first.csv", f"k,t,w,gone\nz,{written(-9)},0,0\n")
    keys = pl.DataFrame(KEYS, schema={"k": pl.String, "j": pl.Int64}, orient="row")
    with project.lake() as lake:
        for number, step in enumerate(steps):
            rows = "".join(f"{k or ''},{j or ''},{written(m)},{v}\n" for (k, j), m, v in step.facts)
            project.deliver(f"facts_{step.number}.csv", f"k,j,t,v\n{rows}")
            rows = "".join(f"{k},{written(m)},{w},{gone}\n" for k, m, w, gone in step.states)
            project.deliver(f"states_{step.number}.csv", f"k,t,w,gone\n{rows}")
            project.clock.now = NOON + timedelta(minutes=5 * number)
            lake.run("nightly")
            project.clock.now = now = NOON + timedelta(minutes=5 * number + step.minutes, seconds=50)
            lake.publish("both")
            served = lake.online("both", keys)
            joined = lake.features(keys.with_columns(event_time=now), "both")
            assert served.select("k", "j", "v", "w").equals(joined.select("k", "j", "v", "w")), (served, joined)
            assert str(served["v"].to_list()) == str(joined["v"].to_list())
