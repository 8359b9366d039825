"""Databases of every kind a ledger may be kept in: each test gets an empty one.

`LAKEHOUSE_TEST_MYSQL` and `LAKEHOUSE_TEST_POSTGRESQL` name the servers, by default those of this machine.
Tests are skipped where one does not answer, or fail when `LAKEHOUSE_REQUIRE_SERVICES` is 1.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from lakehouse.metadata import Ledger, tables

KEPT = ("sqlite", "mysql", "postgresql")
"""The kinds that outlive their ledger, which several processes may open."""

BACKENDS = ("memory", *KEPT)

_DEFAULTS = {
    "mysql": "mysql+pymysql://root@127.0.0.1:3306",
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432",
}


# What gives ids and has given some, and how it starts again; changing a table of MySQL takes long.
_COUNTERS = {
    "mysql": (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND auto_increment > 1",
        "ALTER TABLE {} AUTO_INCREMENT = 1",
    ),
    "postgresql": (
        "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL AND schemaname = current_schema()",
        "ALTER SEQUENCE {} RESTART",
    ),
}


class Servers:
    """The servers, and one database on each that is emptied for every test."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._made: list[tuple[URL, str]] = []
        self._missing: dict[str, str] = {}
        self._usual: dict[str, str] = {}
        self._prefixes: list[tuple[str, str]] = []

    def url(self, backend: str, folder: Path) -> str:
        """An empty database; on a server it may hold a ledger's tables already."""
        if backend == "memory":
            return "sqlite://"
        if backend == "sqlite":
            return f"sqlite:///{folder / 'metadata.db'}"
        if backend in self._usual:
            _empty(self._usual[backend])
        else:
            self._usual[backend] = self.new(backend, folder)
            with Ledger(self._usual[backend]):
                pass
        return self._usual[backend]

    def new(self, backend: str, folder: Path) -> str:
        """A database without any table, for a test that changes its tables or keeps it longer."""
        name = f"lakehouse_test_{os.getpid()}_{next(self._numbers)}"
        if backend == "memory":
            return "sqlite://"
        if backend == "sqlite":
            return f"sqlite:///{folder / name}.db"
        address = make_url(os.environ.get(f"LAKEHOUSE_TEST_{backend.upper()}", _DEFAULTS[backend]))
        self._require(backend, address)
        with administering(address) as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        self._made.append((address, name))
        return address.set(database=name).render_as_string(hide_password=False)

    def redis(self) -> str:
        """An online store's URL with a prefix of its own; `drop` takes away what lies under it."""
        import redis  # not above: what tests the ledger alone may lack it

        address = os.environ.get("LAKEHOUSE_TEST_REDIS", "redis://127.0.0.1:6379/0")
        if "redis" not in self._missing:
            try:
                redis.Redis.from_url(address, socket_connect_timeout=2).ping()
                self._missing["redis"] = ""
            except redis.RedisError as error:
                self._missing["redis"] = f"no redis answers ({error}): set LAKEHOUSE_TEST_REDIS"
        self._skip("redis")
        prefix = f"lakehouse_test_{os.getpid()}_{next(self._numbers)}"
        self._prefixes.append((address, prefix))
        return f"{address}?prefix={prefix}"

    def drop(self) -> None:
        """Take away all that was made."""
        for address, prefix in self._prefixes:
            import redis

            with redis.Redis.from_url(address) as server:
                if keys := list(server.scan_iter(f"{prefix}:*")):
                    server.delete(*keys)
        force = {"mysql": "", "postgresql": " WITH (FORCE)"}
        for address, name in self._made:
            with administering(address) as connection:
                connection.execute(text(f"DROP DATABASE {name}{force[address.get_backend_name()]}"))

    def _require(self, backend: str, address: URL) -> None:
        if backend not in self._missing:
            try:
                with administering(address):
                    self._missing[backend] = ""
            except DBAPIError as error:
                self._missing[backend] = f"no {backend} answers ({error.orig}): set LAKEHOUSE_TEST_{backend.upper()}"
        self._skip(backend)

    def _skip(self, backend: str) -> None:
        if reason := self._missing[backend]:
            (pytest.fail if os.environ.get("LAKEHOUSE_REQUIRE_SERVICES") == "1" else pytest.skip)(reason)


@contextmanager
def administering(url: URL | str) -> Iterator[Connection]:
    """A connection of one's own, each statement committed by itself."""
    engine = open_plainly(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def open_plainly(url: URL | str) -> Engine:
    """The database as any program opens it."""
    url = make_url(url)
    if url.get_backend_name() == "postgresql" and not url.database:
        url = url.set(database="postgres")
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)


def _empty(url: str) -> None:
    """Leave what a new ledger holds: no record, and ids from 1."""
    with administering(url) as connection:
        names = inspect(connection).get_table_names()
        assert {n.lower() for n in names} == {t.name.lower() for t in tables.metadata.sorted_tables}
        connection.execute(text("BEGIN"))
        for name in names:
            if connection.scalar(text(f"SELECT 1 FROM {name} LIMIT 1")):
                connection.execute(text(f"DELETE FROM {name}"))
        connection.execute(text("COMMIT"))
        counted, restart = _COUNTERS[connection.dialect.name]
        for counter in connection.scalars(text(counted)).all():
            connection.execute(text(restart.format(counter)))
        tables.fill_theirs(connection)
        tables.fill_ours(connection)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Makes databases, for tests that need several or change their tables."""
    made = Servers()
    yield made
    made.drop()


@pytest.fixture(params=BACKENDS)
def ledger_url(request, servers, tmp_path) -> str:
    """An empty database of every kind; choose some with ``parametrize("ledger_url", KEPT, indirect=True)``."""
    return servers.url(request.param, tmp_path)
