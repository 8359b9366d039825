"""Tables and queries of PostgreSQL: whole, by a cursor, in one snapshot; and connections that end badly."""

import json
import socket
import threading
from contextlib import contextmanager, suppress

import psycopg
import pytest
from sqlalchemy.engine import make_url

from lakehouse import Lake
from lakehouse.errors import ConfigError
from lakehouse.sources import Seen

ORDERS = """
    source: orders
    history: {history}
    keys: [id]
    schema:
      features:
        id: {{type: int}}
        item: {{type: string, presence: optional}}
        at: {{type: datetime, presence: optional}}
"""


class Shop:
    """A database of its own, and a lake that reads its table ``orders``."""

    def __init__(self, project, url):
        self.project = project
        self.url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        (project.folder / "configs/sources/flights.yaml").unlink()
        (project.folder / f"configs/datasets/{project.flights}.yaml").unlink()
        (project.folder / "configs/jobs/nightly.yaml").unlink()
        self.sql("DROP TABLE IF EXISTS orders", "CREATE TABLE orders (id int PRIMARY KEY, item text, at timestamptz)")

    def sql(self, *statements):
        """Run statements, each by itself."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def source(self, *more, url=None, table="orders", history="events"):
        """Configure the source, and a dataset that it feeds."""
        lines = ["type: sql", f"url: {url or self.url}", "attempts: 1", *([f"table: {table}"] if table else []), *more]
        self.project.configure("sources/orders", "\n".join(lines))
        self.project.configure("datasets/shop/orders", ORDERS.format(history=history))

    def land(self):
        """One landing, and what came of it."""
        with self.project.lake() as lake:
            return lake.land("orders")

    def ids(self):
        """Land and curate; the ids that the dataset has then."""
        with self.project.lake() as lake:
            landed = lake.land("orders")
            assert not landed.failed, landed.notes
            lake.curate("shop/orders")
            return sorted(lake.read("shop/orders")["id"].to_list())

    def raw(self):
        """The raw files' bytes, sorted."""
        return sorted(path.read_bytes() for path in (self.project.folder / "data/raw").rglob("*.copy"))

    def facts(self):
        """What the ledger has of each landed extract, in order."""
        with self.project.lake() as lake:
            found = lake._site.ledger.get_artifacts()
        return [json.loads(a.custom_properties["facts"]) for a in found if "facts" in a.custom_properties]


@pytest.fixture(scope="module")
def database(servers, tmp_path_factory):
    return servers.new("postgresql", tmp_path_factory.mktemp("sql"))


@pytest.fixture
def shop(project, database):
    return Shop(project, database)


def test_a_whole_table_is_landed_as_the_server_copies_it(shop):
    shop.source()
    shop.sql("INSERT INTO orders VALUES (1, 'tea\tpot', '2024-01-01 12:00+02'), (2, NULL, NULL), (3, '', 'infinity')")
    shop.land()
    [raw] = shop.raw()
    with psycopg.connect(shop.url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        with cursor.copy("COPY orders TO STDOUT (HEADER)") as copied:
            assert raw == b"".join(copied)


def test_the_same_rows_are_landed_once(shop):
    shop.source()
    shop.sql("INSERT INTO orders VALUES (1, 'a', now())")
    assert shop.ids() == [1]
    assert shop.land().unchanged == 1
    assert shop.ids() == [1]


def test_the_manifest_says_what_was_asked_and_of_what_types(shop):
    shop.source("cursor: id")
    shop.sql("INSERT INTO orders VALUES (1, 'a', now()), (7, 'b', now())")
    shop.land()
    [facts] = shop.facts()
    assert facts["columns"] == [
        {"name": "id", "type": "integer", "nullable": False},
        {"name": "item", "type": "text", "nullable": True},
        {"name": "at", "type": "timestamp with time zone", "nullable": True},
    ]
    assert (facts["table"], facts["cursor"], facts["after"], facts["until"]) == ("orders", "id", None, "7")
    assert facts["rows"] == 2
    assert facts["database"].startswith("PostgreSQL ")
    assert facts["snapshot_at"].endswith("+00:00")


def test_increments_add_up_and_nothing_new_lands_nothing(shop):
    shop.source("cursor: id")
    assert shop.land().new == 0
    shop.sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    assert shop.ids() == [1, 2]
    assert shop.land().new == 0
    shop.sql("INSERT INTO orders VALUES (3, 'c'), (10, 'd')")
    assert shop.ids() == [1, 2, 3, 10]
    assert len(shop.raw()) == 2
    assert [(f["after"], f["until"]) for f in shop.facts()] == [(None, "2"), ("2", "10")]


def test_rows_that_share_the_last_position_come_together(shop):
    shop.source("cursor: at")
    shop.sql(
        "INSERT INTO orders VALUES (1, 'a', '2024-01-01 00:00:00.000001+00'), (2, 'b', '2024-01-01 00:00:00.000001+00')"
    )
    assert shop.ids() == [1, 2]
    shop.sql("INSERT INTO orders VALUES (3, 'c', '2024-01-01 00:00:00.000002+00')")
    assert shop.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("timestamptz", "2024-01-01 00:00:00.123456+00", "2024-01-01 00:00:00.123457+00"),
        ("numeric", "12345678901234567890123456789012345678901.5", "12345678901234567890123456789012345678901.50001"),
        ("text", "it's a\\ ü", "it's a\\ ü2"),
        ("uuid", "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"),
        ("date", "2024-02-29", "2024-03-01"),
        ("double precision", "0.1", "0.10000000000000002"),
        ("money", "$1,234.50", "$1,234.51"),
    ],
)
def test_a_position_is_the_servers_exact_text(shop, kind, first, second):
    shop.source("cursor: mark")
    shop.sql(f"ALTER TABLE orders ADD mark {kind}", "SET lc_monetary = 'C'")
    for number, mark in enumerate((first, second)):
        with psycopg.connect(shop.url, autocommit=True) as connection:
            connection.execute("SET lc_monetary = 'C'")
            connection.execute("INSERT INTO orders VALUES (%s, 'x', NULL, %s::text::" + kind + ")", (number, mark))
        shop.land()
    assert [(f["after"], f["until"]) for f in shop.facts()] == [(None, first), (first, second)]


def test_start_is_where_the_first_extract_begins(shop):
    shop.source("cursor: at", "start: 2024-01-02")
    shop.sql(
        "INSERT INTO orders VALUES (1, 'a', '2024-01-01+00'), (2, 'b', '2024-01-02+00'), (3, 'c', '2024-01-03+00')"
    )
    assert shop.ids() == [2, 3]


def test_late_rows_come_by_lookback(shop):
    shop.source("cursor: at", "lookback: 1h", history="changes")
    shop.project.change("datasets/shop/orders", "keys: [id]", "keys: [id]\nevent_time: at")
    shop.project.change("datasets/shop/orders", "at: {type: datetime, presence: optional}", "at: {type: datetime}")
    shop.sql("INSERT INTO orders VALUES (1, 'a', '2024-01-01 12:00+00')")
    assert shop.ids() == [1]
    shop.sql("INSERT INTO orders VALUES (2, 'late', '2024-01-01 11:30+00')")  # nothing is newer
    assert shop.ids() == [1, 2]
    shop.sql("INSERT INTO orders VALUES (3, 'new', '2024-01-01 12:30+00'), (4, 'late too', '2024-01-01 11:40+00')")
    assert shop.ids() == [1, 2, 3, 4]
    shop.sql("INSERT INTO orders VALUES (5, 'too late', '2024-01-01 11:20+00')")
    assert shop.ids() == [1, 2, 3, 4]
    before = len(shop.raw())
    assert shop.ids() == [1, 2, 3, 4]
    assert len(shop.raw()) == before


def test_a_number_looks_back_by_numbers(shop):
    shop.source("cursor: id", "lookback: 5", history="changes")
    shop.project.change("datasets/shop/orders", "keys: [id]", "keys: [id]\nevent_time: at")
    shop.project.change("datasets/shop/orders", "at: {type: datetime, presence: optional}", "at: {type: datetime}")
    shop.sql("INSERT INTO orders VALUES (10, 'a', now())")
    assert shop.ids() == [10]
    shop.sql("INSERT INTO orders VALUES (4, 'out of reach', now()), (7, 'late', now())")
    assert shop.ids() == [7, 10]


@pytest.mark.parametrize(
    ("history", "more", "told"),
    [("events", "lookback: 1h", "would count twice"), ("snapshots", "", "the full picture")],
)
def test_a_dataset_that_the_extracts_cannot_feed_is_refused(shop, history, more, told):
    shop.source("cursor: at", more, history=history)
    with pytest.raises(ConfigError, match=told):
        shop.land()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["query: SELECT 1"], "exactly one"),
        (["lookback: 1h"], "cursor"),
        (["via: adbc", "url: mysql://a@b/c"], "PostgreSQL"),
        (["url: postgresql://h/db?password=open"], "before the host"),
        (["url: nonsense"], "database URL"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(shop, lines, told):
    own = {line.partition(":")[0] for line in lines}
    shop.source(*lines)
    kept = [] if "url" not in own else [line for line in lines if line.startswith("url:")]
    if kept:
        path = shop.project.folder / "configs/sources/orders.yaml"
        path.write_text(path.read_text().replace(f"url: {shop.url}\n", "", 1))
    with pytest.raises(ConfigError, match=told) as refused:
        shop.land()
    assert "open" not in str(refused.value)


def test_a_row_without_a_position_is_refused_and_a_query_leaves_it_out(shop):
    shop.source("cursor: at")
    shop.sql("INSERT INTO orders VALUES (1, 'a', now()), (2, 'b', NULL)")
    landed = shop.land()
    assert landed.failed == 1
    assert "no 'at'" in landed.notes[0].message
    assert shop.raw() == []
    shop.source("query: SELECT * FROM orders WHERE at IS NOT NULL", "cursor: at", table=None)
    assert shop.ids() == [1]


def test_a_position_without_end_is_refused(shop):
    shop.source("cursor: at")
    shop.sql("INSERT INTO orders VALUES (1, 'a', 'infinity')")
    landed = shop.land()
    assert landed.failed == 1
    assert "infinity" in landed.notes[0].message


def test_another_query_starts_from_the_beginning(shop):
    shop.sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    shop.source("query: SELECT id, item FROM orders;", "cursor: id", table=None)
    shop.land()
    shop.source("query: SELECT id, at FROM orders -- when", "cursor: id", table=None)
    assert shop.land().new == 1
    assert [f["after"] for f in shop.facts()] == [None, None]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT 1; DROP TABLE orders", "syntax error"),
        ("SELECT 1) TO STDOUT; COMMIT; DROP TABLE orders; COPY (SELECT 1", "must have an alias"),
        ("WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone", "WITH clause containing a data-modifying"),
        ("SELECT nextval('orders_id')", "read-only transaction"),
        ("SELECT 1 AS a, 2 AS a", "2 columns named 'a'"),
        ("SELECT * FROM nowhere", "does not exist"),
        ("SELECT 1/0 AS a", "division by zero"),
    ],
)
def test_a_query_that_does_more_than_read_is_refused(shop, query, told):
    shop.sql("DROP SEQUENCE IF EXISTS orders_id", "CREATE SEQUENCE orders_id", "INSERT INTO orders VALUES (1, 'a')")
    shop.source(f'query: "{query}"', table=None)
    landed = shop.land()
    assert landed.failed == 1
    assert told in landed.notes[0].message
    shop.source()
    assert shop.ids() == [1]


def test_a_table_that_changes_between_runs_is_read_as_it_is_then(shop):
    shop.source("cursor: id")
    shop.sql("INSERT INTO orders VALUES (1, 'a')")
    assert shop.ids() == [1]
    shop.sql("ALTER TABLE orders ADD extra int", "INSERT INTO orders VALUES (2, 'b', NULL, 5)")
    assert shop.ids() == [1, 2]
    shop.sql("ALTER TABLE orders DROP id")
    landed = shop.land()
    assert "no column 'id'" in landed.notes[0].message
    shop.sql("DROP TABLE orders")
    assert 'relation "orders" does not exist' in shop.land().notes[0].message


def test_names_are_taken_exactly(shop):
    shop.sql('CREATE SCHEMA IF NOT EXISTS "My.Schema"', 'DROP TABLE IF EXISTS "My.Schema"."select"')
    shop.sql('CREATE TABLE "My.Schema"."select" (id int, "Änd\tso" text)')
    shop.sql("""INSERT INTO "My.Schema"."select" VALUES (1, 'x')""")
    shop.source(table="'\"My.Schema\".select'")
    assert shop.ids() == [1]
    assert shop.raw() == ["id\tÄnd\\tso\n1\tx\n".encode()]


def test_an_extract_is_one_snapshot_while_others_write(shop):
    shop.sql("INSERT INTO orders SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i")
    shop.source("cursor: id")
    with psycopg.connect(shop.url, autocommit=True) as writer, shop.project.lake() as lake:
        source = lake._site.config.source("orders")

        [offer] = source.offers(Seen(), shop.project.clock())
        with offer.open() as download:
            chunks = iter(download.chunks)
            got = [next(chunks)]
            writer.execute("INSERT INTO orders VALUES (50001, 'new')")
            writer.execute("UPDATE orders SET item = 'other'")
            writer.execute("DELETE FROM orders WHERE id > 10 AND id < 50000")
            got += chunks
    lines = b"".join(got).splitlines()
    assert len(lines) == 50_001
    assert {line.split(b"\t")[1] for line in lines[1:]} == {b"x" * 100}
    assert download.modified == "50000"


@contextmanager
def proxy(url, cut=None, stall=None):  # noqa: C901  # two directions of one connection, as plainly as sockets allow
    """A way to the server that is cut, or says nothing more, after so many bytes of its answers."""
    target = make_url(url)
    listening = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()
    opened = [listening]

    def forward(one, other, limit):
        passed = 0
        try:
            while data := one.recv(65536):
                passed += len(data)
                if limit and passed > limit:
                    if stall:
                        done.wait(20)
                    break
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection((target.host or "127.0.0.1", target.port or 5432))
            opened.extend((client, server))
            for pair in ((client, server, None), (server, client, cut or stall)):
                threading.Thread(target=forward, args=pair, daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        port = listening.getsockname()[1]
        yield target.set(host="127.0.0.1", port=port, query={"sslmode": "disable"}).render_as_string(
            hide_password=False
        )
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in opened:
            each.close()


def test_a_connection_cut_half_way_lands_nothing_and_the_next_run_resumes(shop):
    shop.sql("INSERT INTO orders SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i")
    with proxy(shop.url, cut=1_000_000) as url:
        shop.source("cursor: id", url=url)
        landed = shop.land()
    assert landed.failed == 1
    assert "the connection was lost" in landed.notes[0].message
    assert shop.raw() == []
    shop.source("cursor: id")
    assert len(shop.ids()) == 20_000


@pytest.mark.parametrize(
    ("key", "told"), [("timeout", "no answer within 1 s"), ("deadline", "longer than the deadline")]
)
def test_a_connection_that_stalls_ends(shop, key, told):
    shop.sql("INSERT INTO orders SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i")
    with proxy(shop.url, stall=1_000_000) as url:
        shop.source(f"{key}: 1s", url=url)
        landed = shop.land()
    assert landed.failed == 1
    assert told in landed.notes[0].message
    assert shop.raw() == []


def test_a_wrong_password_is_told_without_it(shop):
    shop.sql("DROP ROLE IF EXISTS lakehouse_reader", "CREATE ROLE lakehouse_reader LOGIN PASSWORD 'right'")
    url = make_url(shop.url).set(username="lakehouse_reader", password="wr0ng/secret%")
    shop.source(url=url.render_as_string(hide_password=False), table="pg_authid")
    landed = shop.land()
    shop.sql("DROP ROLE lakehouse_reader")
    assert landed.failed == 1
    assert "wr0ng" not in str(landed)
    assert "wr0ng" not in shop.project.folder.joinpath("data/metadata.db").read_bytes().decode("latin-1")


def test_a_landing_killed_after_publishing_doubles_nothing(shop):
    shop.source("cursor: id")
    shop.sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    program = "from lakehouse import Lake\nwith Lake('configs') as lake:\n    lake.land('orders')\n"
    killed = shop.project.start("-c", program, LAKEHOUSE_FAIL_AT="land.renamed")
    killed.communicate()
    assert killed.returncode != 0
    shop.sql("INSERT INTO orders VALUES (3, 'c')")
    assert shop.ids() == [1, 2, 3]


def test_adbc_lands_typed_parquet_of_the_same_rows(shop):
    shop.source("via: adbc", "cursor: id")
    shop.sql("INSERT INTO orders VALUES (1, 'a', '2024-01-01 00:00:00.000001+00')")
    assert shop.ids() == [1]
    shop.sql("INSERT INTO orders VALUES (2, NULL, NULL)")
    assert shop.ids() == [1, 2]
    with Lake(shop.project.folder / "configs") as lake:
        assert lake.read("shop/orders").sort("id")["item"].to_list() == ["a", None]
    assert [f["rows"] for f in shop.facts()] == [1, 1]


def test_adbc_refuses_what_parquet_cannot_say(shop):
    shop.source("via: adbc")
    shop.sql("INSERT INTO orders VALUES (1, 'a', 'infinity')")
    landed = shop.land()
    assert landed.failed == 1
    assert "'at' holds infinity" in landed.notes[0].message
