"""Tables and queries of MariaDB and MySQL: whole, by a cursor, in one snapshot, and refused where they must be."""

import threading
import time

import pytest
from mysql_orders import ask, connected, rows, sql, url  # noqa: F401  # a fixture

from lakehouse.errors import SourceError
from lakehouse.sources.sql import mysql

ORDERS = """
    source: orders
    keys: [id]
    schema:
      features:
        id: {type: int}
        item: {type: string, presence: optional}
        picture: {type: bytes, presence: optional}
"""


def test_a_table_is_landed_and_curated_with_its_bytes_and_a_rerun_lands_nothing(project, url):  # noqa: F811
    sql(
        url,
        "CREATE TABLE orders (id int PRIMARY KEY, item text, picture blob)",
        r"INSERT INTO orders VALUES (1, 'a\tb\nc', x'00ff0a5c'), (2, NULL, ''), (3, '', NULL), (4, '\\N', x'5c')",
    )
    project.configure("sources/orders", f"type: sql\nurl: {url}\ntable: orders")
    project.configure("datasets/shop/orders", ORDERS)
    with project.lake() as lake:
        assert lake.land("orders").new == 1
        lake.curate("shop/orders")
        found = lake.read("shop/orders").sort("id").select("id", "item", "picture").rows()
        assert lake.land("orders").new == 0
    assert found == [(1, "a\tb\nc", b"\x00\xff\n\\"), (2, None, b""), (3, "", None), (4, "\\N", b"\\")]


def test_a_cursor_brings_each_row_once_and_beyond_what_a_double_can_tell(url, tmp_path):  # noqa: F811
    sql(
        url,
        "CREATE TABLE orders (id bigint unsigned NOT NULL)",
        "INSERT INTO orders VALUES (9007199254740992), (9007199254740993)",
    )
    _, mark, facts = rows(ask(url, tmp_path, cursor="id"))
    assert mark == "9007199254740993"
    assert facts["rows"] == 2
    assert rows(ask(url, tmp_path, cursor="id", after=mark)) is None
    sql(url, "INSERT INTO orders VALUES (9007199254740994)")
    assert rows(ask(url, tmp_path, cursor="id", after=mark))[0] == [["9007199254740994"]]
    assert rows(ask(url, tmp_path, cursor="id", after="9007199254740992"))[1] == "9007199254740994"


def test_a_time_is_a_cursor_to_the_microsecond(url, tmp_path):  # noqa: F811
    sql(
        url,
        "CREATE TABLE orders (at datetime(6) NOT NULL)",
        "INSERT INTO orders VALUES ('2026-01-01 00:00:00.000001'), ('2026-01-01 00:00:00.000002')",
    )
    found = rows(ask(url, tmp_path, cursor="at", after="2026-01-01 00:00:00.000001"))
    assert found[0] == [["2026-01-01 00:00:00.000002"]]


@pytest.mark.parametrize("statement", ["DELETE FROM orders", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT nothing"])
def test_a_query_can_only_read(url, tmp_path, statement):  # noqa: F811
    sql(url, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    with pytest.raises(SourceError, match="the server says") as caught:
        rows(ask(url, tmp_path, table=None, query=statement))
    assert not caught.value.retryable
    assert rows(ask(url, tmp_path))[0] == [["1"]]


def test_rows_without_a_cursor_value_are_refused_and_so_is_a_float(url, tmp_path):  # noqa: F811
    sql(url, "CREATE TABLE orders (id int, f float)", "INSERT INTO orders VALUES (NULL, 1)")
    with pytest.raises(SourceError, match="some rows have no 'id'"):
        rows(ask(url, tmp_path, cursor="id"))
    with pytest.raises(SourceError, match="no exact order"):
        rows(ask(url, tmp_path, cursor="f"))


def test_a_server_that_is_not_there_may_be_asked_again(tmp_path):
    with pytest.raises(SourceError) as caught:
        rows(ask("mysql://root:geheim@127.0.0.1:9/x", tmp_path))
    assert caught.value.retryable
    assert "geheim" not in str(caught.value)


def test_an_extract_that_is_given_up_does_not_wait_for_the_rest(url, tmp_path):  # noqa: F811
    sql(url, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    many = "SELECT a.table_name FROM information_schema.columns a, information_schema.columns b"
    before = time.monotonic()
    with mysql.extract(ask(url, tmp_path, table=None, query=many)) as download:
        next(download.chunks)
        next(download.chunks)
    assert time.monotonic() - before < 10


def test_a_connection_that_the_server_cuts_lands_nothing_and_the_next_run_has_it_all(project, url):  # noqa: F811
    sql(url, "CREATE TABLE orders (id int PRIMARY KEY, item text)")
    sql(url, *[f"INSERT INTO orders SELECT {n * 500} + seq, REPEAT('x', 2000) FROM seq_1_to_500" for n in range(20)])
    asked = f"type: sql\nurl: {url}\nattempts: 1\n"
    project.configure("sources/orders", f"{asked}query: SELECT id, item, SLEEP(0.01) AS nap FROM orders")
    project.configure(
        "datasets/shop/orders", "source: orders\nschema: {features: {id: {type: int}}}\nnew_columns: ignore"
    )
    ended = threading.Event()

    def cut():
        """Kill whoever reads the table, once rows have come."""
        while not ended.wait(1):
            sql(url, *[f"KILL {number}" for number in readers(url)])

    thread = threading.Thread(target=cut)
    thread.start()
    with project.lake() as lake:
        landed = lake.land("orders")
        ended.set()
        thread.join()
        assert (landed.new, landed.failed) == (0, 1)
        assert "Lost connection" in landed.notes[0].message
        assert not lake.list().sources[0].files
        project.configure("sources/orders", f"{asked}table: orders")
    with project.lake() as lake:
        assert lake.land("orders").new == 1
        assert lake.curate("shop/orders").curated == 10_000


def readers(url):  # noqa: F811
    """The connections that read the table just now."""
    with connected(url) as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(0.01)%' AND id <> CONNECTION_ID()"
        )
        return [number for (number,) in cursor.fetchall()]
