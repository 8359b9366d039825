"""SQLite databases: the file itself by a backup, the rows of a cursor or query, and any other by SQLAlchemy."""

import sqlite3
import time
from contextlib import closing

import pytest

from lakehouse.errors import FormatError, SourceError
from lakehouse.formats import Raw, SqliteFormat
from lakehouse.sources.sql import other, sqlite
from lakehouse.sources.sql.extract import Extract

VALUES = [None, 1, -(2**63), 0.1, 1e300, "x\ty\\N", "", "NULL", b"\x00\xff", b""]
WRITTEN = [None, "1", "-9223372036854775808", "0.1", "1e+300", "x\ty\\N", "", "NULL", "\\x00ff", "\\x"]
ORDERS = """
    source: shop
    history: snapshots
    keys: [id]
    schema:
      features:
        id: {type: int}
        v: {type: string, presence: optional}
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        connection.executemany("INSERT INTO t (v) VALUES (?)", [(value,) for value in VALUES])
        yield connection


def ask(folder, **more):
    """What a source asks of its database."""
    asked = {
        "url": "sqlite:///shop.db", "origin": "shop", "folder": folder, "table": "t", "query": None, "cursor": None,
        "after": None, "start": None, "lookback": None, "timeout": 20.0, "until": time.monotonic() + 60, "redact": str,
    }  # fmt: skip
    return Extract(**{**asked, **more})


def backup(folder):
    with sqlite.extract(ask(folder)) as download:
        return download.path.read_bytes()


def read(folder, data, **options):
    """The rows of a database's bytes, and its broken ones."""
    (folder / "copy.db").write_bytes(data)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    format_ = SqliteFormat(**options)
    file = format_.prepare(Raw("copy", "copy.db", folder / "copy.db"), work)
    careful = format_.careful(file, work)
    return careful.frame.select(file.columns).collect().rows(), careful.broken.collect().rows()


def test_a_backup_holds_what_is_in_the_write_ahead_log_and_is_the_same_again(database, tmp_path):
    first = backup(tmp_path)
    assert backup(tmp_path) == first
    assert [v for _, v in read(tmp_path, first, table="t")[0]] == WRITTEN
    database.execute("INSERT INTO t (v) VALUES ('new')")
    assert [v for _, v in read(tmp_path, backup(tmp_path), query="SELECT * FROM t WHERE id > 10")[0]] == ["new"]


@pytest.mark.usefixtures("database")
def test_a_database_in_use_is_landed_and_curated_and_not_again_while_it_is_unchanged(project, tmp_path):
    project.configure("sources/shop", f"type: sql\nurl: sqlite:///{tmp_path}/shop.db\ntable: t")
    project.configure("datasets/shop/orders", ORDERS)
    with project.lake() as lake:
        assert lake.land("shop").new == 1
        lake.curate("shop/orders")
        assert lake.read("shop/orders").sort("id")["v"].to_list() == WRITTEN
        assert lake.land("shop").new == 0


def test_a_text_that_is_no_utf8_breaks_its_own_row(database, tmp_path):
    database.execute("UPDATE t SET v = CAST(x'ff' AS TEXT) WHERE id = 3")
    rows, broken = read(tmp_path, backup(tmp_path), table="t")
    assert len(rows) == len(VALUES) - 1
    assert broken == [("copy", 3, "3\tb'\\xff'", "row: a text in it is not UTF-8")]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "query", ["ATTACH 'x.db' AS x", "SELECT load_extension('x')", "DELETE FROM t", "SELECT 1; SELECT 2"]
)
def test_a_query_on_a_landed_database_can_only_read(tmp_path, query):
    with pytest.raises(FormatError, match="SQLite cannot read it"):
        read(tmp_path, backup(tmp_path), query=query)


@pytest.mark.usefixtures("database")
def test_a_file_that_is_none_and_a_table_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(FormatError, match="not a SQLite database"):
        read(tmp_path, b"id,v\n", table="t")
    with pytest.raises(FormatError, match="no table 'u' is in it; set 'table' to one of: t"):
        read(tmp_path, backup(tmp_path), table="u")
    with pytest.raises(FormatError, match="SQLite cannot read it"):
        read(tmp_path, backup(tmp_path)[:4096], table="t")


@pytest.mark.usefixtures("database")
def test_a_cursor_brings_what_is_new_as_text(tmp_path):
    with sqlite.extract(ask(tmp_path, cursor="id", after="8")) as download:
        assert b"".join(download.chunks) == b"id\tv\n9\t\\\\x00ff\n10\t\\\\x\n"
        assert (download.modified, download.fidelity) == ("10", "extract")
    with sqlite.extract(ask(tmp_path, cursor="id", after="10")) as download:
        assert download is None
    with pytest.raises(SourceError, match="some rows have no 'v'"), sqlite.extract(ask(tmp_path, cursor="v")):
        pass


@pytest.mark.usefixtures("database")
def test_a_query_reads_and_does_nothing_else(tmp_path):
    with sqlite.extract(ask(tmp_path, table=None, query="SELECT v FROM t WHERE id < 4")) as download:
        assert b"".join(download.chunks) == b"v\n\\N\n1\n-9223372036854775808\n"
    with pytest.raises(SourceError), sqlite.extract(ask(tmp_path, table=None, query="DELETE FROM t")):
        pass


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(SourceError, match=r"no database file shop\.db"), sqlite.extract(ask(tmp_path)):
        pass
    assert not (tmp_path / "shop.db").exists()


@pytest.mark.usefixtures("database")
def test_any_other_database_is_read_by_its_sqlalchemy_driver(tmp_path):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with other.extract(ask(tmp_path, url=url, table=None, query="SELECT v, ':a' AS c FROM t WHERE id > 3")) as download:
        lines = b"".join(download.chunks).decode().splitlines()
    assert lines[:3] == ["v\tc", "0.1\t:a", "1e+300\t:a"]
    assert lines[3] == "x\\ty\\\\N\t:a"
    assert lines[-1] == "\\\\x\t:a"
    with pytest.raises(SourceError, match="cursor is of"), other.extract(ask(tmp_path, url=url, cursor="id")):
        pass
