"""A database on MariaDB or MySQL, and what a source asks of it."""

import time
from contextlib import contextmanager

import pymysql
import pytest
from sqlalchemy.engine import make_url

from lakehouse.sources.sql import mysql
from lakehouse.sources.sql.extract import Extract


@pytest.fixture
def url(servers, tmp_path):
    address = make_url(servers.new("mysql", tmp_path)).set(drivername="mysql")
    return address.render_as_string(hide_password=False)


@contextmanager
def connected(url):
    """A cursor of a connection of its own."""
    address = make_url(url)
    with (
        pymysql.connect(
            host=address.host,
            port=address.port or 3306,
            user=address.username,
            password=address.password or "",
            database=address.database,
            autocommit=True,
            charset="utf8mb4",
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def sql(url, *statements):
    """Run statements, each by itself."""
    with connected(url) as cursor:
        for statement in statements:
            cursor.execute(statement)


def ask(url, folder, **more):
    """What a source asks of its database."""
    asked = {
        "url": url, "origin": "orders", "folder": folder, "table": "orders", "query": None, "cursor": None,
        "after": None, "start": None, "lookback": None, "timeout": 20.0, "until": time.monotonic() + 60, "redact": str,
    }  # fmt: skip
    return Extract(**{**asked, **more})


def rows(asked):
    """The records of an extract, its mark and its facts; None where nothing is new."""
    with mysql.extract(asked) as download:
        if download is None:
            return None
        lines = b"".join(download.chunks).decode().splitlines()[1:]
        return [line.split("\t") for line in lines], download.modified, download.facts
