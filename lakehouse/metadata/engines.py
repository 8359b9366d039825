"""Where a ledger may be kept: its URL, and the engine with everything set that a ledger counts on."""

from __future__ import annotations

import inspect
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from lakehouse.errors import MetadataError

PATIENCE: Final = 30
"""Seconds to wait for another process's transaction, or for a free connection."""

_PAUSE: Final = 0.003  # seconds
_CONNECTING: Final = 10  # seconds
_ANSWERING: Final = 600  # seconds until a silent server counts as lost; checking all of a large ledger takes long
_SERVERS: Final = ("mysql+pymysql", "postgresql+psycopg")
_FIXED: Final = {"charset", "sql_mode", "init_command", "client_encoding", "options"}  # not for the URL to change
_SUPPORTED: Final = (
    "Supported are sqlite:///FOLDER/metadata.db, mysql+pymysql://USER:PASSWORD@HOST/DATABASE (MariaDB too), "
    "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE and, kept in memory only, sqlite://."
)


def parse(url: str) -> URL:
    """The URL's parts.

    Raises:
        MetadataError: no ledger can be kept there; what the URL says is not shown.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Neither shown nor chained: it may hold a password.
        raise MetadataError(f"The ledger's URL cannot be read. {_SUPPORTED}") from None
    if parsed.drivername in _SERVERS:
        if not parsed.database:
            raise MetadataError(f"The ledger's URL names no database. {_SUPPORTED}")
        if "@" in (parsed.host or ""):
            # The password's rest would be shown as part of the host.
            raise MetadataError("The ledger's URL has more than one @: write one in a password as %40.")
        return parsed
    if parsed.drivername != "sqlite":
        raise MetadataError(f"The ledger cannot be kept in '{parsed.drivername}'. {_SUPPORTED}")
    if parsed.host or parsed.username or parsed.port:
        raise MetadataError(f"The ledger's URL names a host; a file takes three slashes. {_SUPPORTED}")
    if parsed.query or str(parsed.database or "").startswith("file:"):
        raise MetadataError(f"The ledger's URL takes no options. {_SUPPORTED}")
    return parsed


def file_of(url: URL) -> Path | None:
    """The SQLite file; None for a ledger in memory or on a server."""
    kept = url.drivername == "sqlite" and url.database not in {None, "", ":memory:"}
    return Path(str(url.database)) if kept else None


def shown(url: URL) -> str:
    """The place, safe to print: a file, or a server and its database, without user, password or options."""
    if url.drivername in _SERVERS:
        port = f":{url.port}" if url.port else ""
        return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database}"
    return str(file_of(url) or "in memory")


def open_memory() -> Engine:
    """One connection for all threads: each further one would be another, empty database."""
    return _sqlite(URL.create("sqlite"), pool_size=1, max_overflow=0)


def open_file(file: Path) -> Engine:
    """A SQLite file, made when missing; its folder is there."""
    # A later change of the working folder must not open another file.
    url = URL.create("sqlite", database=str(file.parent.resolve() / file.name))
    return _sqlite(url, pool_size=5, max_overflow=20)


def locked_away(file: Path) -> bool:
    """Whether this user can only read the ledger, if at all: its write-ahead log needs the folder too."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def open_read_only(file: Path) -> Engine:
    """A SQLite file that is there, to be read only."""
    resolved = file.resolve()

    def connect() -> sqlite3.Connection:
        # A user who may not write cannot make the write-ahead log that SQLite wants to look at; without one nobody
        # else has the file open. Asked for every connection (none is kept), as a writer may come later.
        alone = "&immutable=1" if locked_away(resolved) and not Path(f"{resolved}-wal").exists() else ""
        uri = f"{resolved.as_uri()}?mode=ro{alone}"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=PATIENCE)

    return _listened(create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True))


def open_server(url: URL) -> Engine:
    """A database on a MySQL, MariaDB or PostgreSQL server; nothing is connected yet.

    Raises:
        MetadataError: its driver is not installed, or does not take an option that the URL has.
    """
    if url.drivername == "mysql+pymysql":
        arguments: dict[str, Any] = {
            "charset": "utf8mb4",
            "connect_timeout": _CONNECTING,
            "read_timeout": _ANSWERING,
            "write_timeout": _ANSWERING,
            "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {PATIENCE}, lock_wait_timeout = {PATIENCE}",
        }
        level = "REPEATABLE READ"
    else:
        options = " ".join(url.normalized_query.get("options", ()))
        arguments = {
            "client_encoding": "utf8",
            "connect_timeout": _CONNECTING,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 6,
            "tcp_user_timeout": 90_000,
            "options": f"{options} -c lock_timeout={PATIENCE}s".strip(),
        }
        level = "READ COMMITTED"
    try:
        engine = create_engine(
            url,
            connect_args={n: v for n, v in arguments.items() if n in _FIXED or n not in url.query},
            isolation_level=level,
            pool_size=5,
            max_overflow=20,
            pool_timeout=PATIENCE,
            pool_pre_ping=True,
            hide_parameters=True,
        )
    except ModuleNotFoundError as error:
        extra = url.get_backend_name()
        raise MetadataError(
            f"Ledger {shown(url)}: the driver {error.name} is not installed: run pip install 'lakehouse[{extra}]'."
        ) from None
    except ValueError:
        # Not chained: it has the value.
        raise MetadataError(f"Ledger {shown(url)}: an option in the URL has a value that it cannot have.") from None
    if url.drivername == "mysql+pymysql":
        # PostgreSQL's driver says so by itself; this one raises a TypeError.
        _, given = engine.dialect.create_connect_args(url)
        if unknown := given.keys() - inspect.signature(engine.dialect.loaded_dbapi.Connection).parameters:
            raise MetadataError(f"Ledger {shown(url)}: the URL's option {min(unknown)} is not known to the driver.")
    return engine


def _sqlite(url: URL, **pool: Any) -> Engine:
    arguments = {"check_same_thread": False, "timeout": PATIENCE}
    options = {"poolclass": QueuePool, "pool_timeout": PATIENCE, "hide_parameters": True}
    return _listened(create_engine(url, connect_args=arguments, **options, **pool))


def _listened(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    # Python's sqlite3 would begin transactions by its own, lazier rules.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get("begin", "BEGIN")
    if statement == "BEGIN IMMEDIATE":
        _wait_for_turn(connection)
    elif statement:
        driver: Any = connection.connection.driver_connection
        driver.execute(statement)  # which looks at no file yet, so cannot fail


def _wait_for_turn(connection: Connection) -> None:
    """Begin to write. SQLite's own waiting sleeps longer each time, and so starves who has waited longest."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA busy_timeout=0")
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(_PAUSE)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={PATIENCE * 1000:.0f}")


def patiently(action: Callable[[], object]) -> None:
    """Do it until no other process holds the file."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            action()
        except DBAPIError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
