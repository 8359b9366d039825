"""The database under the ledger: opening and creating it, its transactions, its errors.

Only SQLite so far, on file or in memory. Every write transaction takes the write lock before it
reads, so what it read still holds when it writes; a commit is on disk when it returns.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, QueuePool, Table, create_engine, event, inspect, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from lakehouse.errors import MetadataError
from lakehouse.metadata import tables

_PATIENCE: Final = 30.0  # seconds to wait for another process's transaction
_SUPPORTED: Final = "Supported are sqlite:///FOLDER/metadata.db and, kept in memory only, sqlite://."
_HINTS: Final = {
    "locked": "Another process holds the ledger: try again, or stop it.",
    "full": "Free some space and run again: nothing was recorded.",
    "readonly": "Make the file and its folder writable for this user.",
    "unable to open": "Check that the path is a file in a folder this user may write.",
    "not a database": "The file is something else than a ledger: name another in the URL.",
    "malformed": "The file is damaged: bring back a copy of it.",
    "disk i/o error": "Check the disk and the file system under the ledger.",
}


class Database:
    """One open ledger database.

    Attributes:
        name: where it is, safe to print.
    """

    def __init__(self, url: str, lake: Path | None = None) -> None:
        """Open it, or create it with all its tables.

        Args:
            url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db`` or ``sqlite://``.
            lake: the folder of a lake whose ledger it must be; None where it may be made.

        Raises:
            MetadataError: the URL is not supported, it is gone, or what is there is not a ledger of this version.
        """
        parsed = _parse(url)
        self._in_memory = parsed.database in {None, "", ":memory:"}
        self.name = "in memory" if self._in_memory else str(parsed.database)
        self._closed = False
        if lake is not None and (self._in_memory or not Path(self.name).exists()):
            raise MetadataError(
                f"the lake in {lake} has data but its ledger ({self.name}) is gone; bring it back from a backup"
            )
        self._read_only = not self._in_memory and _read_only(Path(self.name))
        if self._read_only:
            self._engine = _read_only_engine(Path(self.name).resolve())
        else:
            self._engine = _engine(parsed, in_memory=self._in_memory, folder=self._folder(parsed))
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _begin)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file; an in-memory ledger is gone. Closing twice is fine."""
        self._closed = True
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger throughout."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; all of it is kept, or nothing."""
        with self._translated(), self._engine.connect() as connection:
            locking = connection.execution_options(begin="BEGIN IMMEDIATE")
            with locking.begin():
                yield locking

    def _folder(self, url: URL) -> Path | None:
        """The file's folder, made when missing."""
        if self._in_memory:
            return None
        folder = Path(str(url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MetadataError(f"Ledger {self.name}: cannot make its folder: {error.strerror or error}.") from error
        return folder

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever SQLAlchemy and the driver raise into a MetadataError, without any stored value."""
        if self._closed:
            raise MetadataError(f"Ledger {self.name}: it has been closed.")
        try:
            yield
        except SQLAlchemyError as error:
            # A value that could not be bound is quoted in the error below: then that is not chained.
            safe = isinstance(error, DBAPIError) or not isinstance(error, StatementError)
            raise MetadataError(f"Ledger {self.name}: {_explained(error)}") from (error if safe else None)
        except UnicodeEncodeError:
            # Not chained: the error carries the text.
            raise MetadataError(
                f"Ledger {self.name}: a text is not valid Unicode (a file name that is not UTF-8?): escape it first."
            ) from None
        except OverflowError:
            raise MetadataError(f"Ledger {self.name}: a whole number of more than 64 bits cannot be stored.") from None

    def _open(self) -> None:
        with self.reading() as connection:
            ready = self._verify(connection)
        if not self._in_memory and not self._read_only:
            # After the check, so that a database that is refused is left as it was.
            with self._translated(), self._engine.connect() as connection:
                plain = connection.execution_options(begin="")
                _patiently(lambda: plain.exec_driver_sql("PRAGMA journal_mode=WAL"))
        if not ready:
            with self.writing() as connection:
                self._create_missing(connection)

    def _create_missing(self, connection: Connection) -> None:
        # Looked at again under the write lock: another process may have made tables meanwhile.
        self._verify(connection)
        known = set(inspect(connection).get_table_names())
        if tables.mlmd_env.name not in known:
            tables.create_theirs(connection)
        if tables.own_env.name not in known:
            tables.create_ours(connection)

    def _verify(self, connection: Connection) -> bool:
        """Whether every table is there.

        Raises:
            MetadataError: this is another kind of database, or of another version.
        """
        known = set(inspect(connection).get_table_names())
        if not known:
            return False
        if tables.mlmd_env.name not in known:
            raise self._refused(f"it is another application's database (tables {', '.join(sorted(known)[:5])})")
        self._verify_version(connection, tables.mlmd_env, "ML Metadata schema", tables.SCHEMA_VERSION)
        if missing := {table.name for table in tables.THEIRS} - known:
            raise self._refused(f"its tables {', '.join(sorted(missing))} are missing")
        if tables.own_env.name not in known:
            return False
        self._verify_version(connection, tables.own_env, "lake schema", tables.OWN_VERSION)
        return True

    def _verify_version(self, connection: Connection, table: Table, what: str, expected: int) -> None:
        found = connection.scalars(select(table.c.schema_version)).all()
        if len(found) != 1:
            raise self._refused(f"it names {len(found)} versions of its {what} where one is expected")
        if found[0] > expected:
            raise self._refused(f"its {what} is {found[0]}, made by a newer release; this one reads {expected}")
        if found[0] < expected:
            raise self._refused(f"its {what} is {found[0]}, and this release reads {expected} only: upgrade it first")

    def _refused(self, reason: str) -> MetadataError:
        return MetadataError(f"Ledger {self.name} is not opened: {reason}. Nothing in it was changed.")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Neither shown nor chained: it may hold a password.
        raise MetadataError(f"The ledger's URL cannot be read. {_SUPPORTED}") from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise MetadataError(f"The ledger cannot be kept in '{parsed.drivername}' yet. {_SUPPORTED}")
    if parsed.host or parsed.username or parsed.port:
        raise MetadataError(f"The ledger's URL names a host; a file takes three slashes. {_SUPPORTED}")
    if parsed.query or str(parsed.database or "").startswith("file:"):
        raise MetadataError(f"The ledger's URL takes no options. {_SUPPORTED}")
    return parsed


def _engine(url: URL, *, in_memory: bool, folder: Path | None) -> Engine:
    pool: dict[str, Any] = {"pool_size": 5, "max_overflow": 20, "pool_timeout": _PATIENCE}
    if in_memory:
        # One connection for all threads: each further one would be another, empty database.
        pool |= {"pool_size": 1, "max_overflow": 0}
    if folder is not None:
        # A later change of the working folder must not open another file.
        url = url.set(database=str(folder.resolve() / Path(str(url.database)).name))
    arguments = {"check_same_thread": False, "timeout": _PATIENCE}
    return create_engine(url, poolclass=QueuePool, connect_args=arguments, hide_parameters=True, **pool)


def _read_only(file: Path) -> bool:
    """Whether this user can read the ledger only: its write-ahead log needs the folder too."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _read_only_engine(file: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # Without a write-ahead log nobody else has the file open, and SQLite could not make one here; with one,
        # it must be read. Asked for every connection (none is kept), as a writer may come later.
        alone = "" if Path(f"{file}-wal").exists() else "&immutable=1"
        uri = f"{file.as_uri()}?mode=ro{alone}"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=_PATIENCE)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    # Python's sqlite3 would begin transactions by its own, lazier rules.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get("begin", "BEGIN"):
        connection.exec_driver_sql(statement)


def _patiently(action: Callable[[], object]) -> None:
    """Do it until nobody is in the way: a change of journal mode does not wait for locks by itself."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            action()
        except DBAPIError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _explained(error: SQLAlchemyError) -> str:
    """What went wrong and what to do, in one line."""
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        return f"a value could not be given to the database ({type(error.orig).__name__})."
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"
    cause = str(error.orig).rstrip(".")
    hint = next((hint for part, hint in _HINTS.items() if part in cause.lower()), "")
    if isinstance(error, IntegrityError) and not hint:
        hint = "Another record has that name or external id already."
    return f"{cause}. {hint}".rstrip()
