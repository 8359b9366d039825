"""The database under the ledger: opening and creating it, its transactions, its errors.

SQLite, on file or in memory, MySQL, MariaDB and PostgreSQL. A write transaction waits until no other
writes, so what it reads still holds when it writes; a commit is on disk when it returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.errors import MetadataError
from lakehouse.metadata import dialects, engines, failures, migrations, tables

_THEIRS = {table.name.lower() for table in tables.THEIRS}
_OURS = {table.name.lower() for table in tables.OURS}
_NOTHING = "there is no ledger to read"


class Database:
    """One open ledger database.

    Attributes:
        name: where it is, safe to print.
    """

    def __init__(self, url: str, lake: Path | None = None, *, read_only: bool = False) -> None:
        """Open it, or create it with all its tables.

        Args:
            url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, ``sqlite://`` for one in memory,
                ``mysql+pymysql://user:password@host/database`` or ``postgresql+psycopg://user:password@host/database``.
            lake: the folder of a lake whose ledger it must be; None where it may be made.
            read_only: change nothing in it, not even to add the lake's own tables to an ML Metadata store, which
                then are not there to be read.

        Raises:
            MetadataError: the URL is not supported, it is gone, or what is there is not a ledger of this version.
        """
        parsed = engines.parse(url)
        self.name = engines.shown(parsed)
        self._lake = lake
        self._closed = False
        self._read_only = read_only
        self._writable = not read_only
        self._identity: tuple[Path, int] | None = None  # of the file: a repair puts another in its place
        self._engine = self._opened(parsed)
        try:
            if self._read_only:
                with self.reading() as connection:
                    self._verify(connection)
            else:
                self._verify_or_make(wal=engines.file_of(parsed) is not None and self._writable)
            if (file := engines.file_of(parsed)) is not None:
                resolved = file.resolve()
                self._identity = resolved, resolved.stat().st_ino
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database; an in-memory ledger is gone. Closing twice is fine."""
        self._closed = True
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger throughout."""
        with self._translated(), dialects.reading(self._engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer's overlaps; all of it is kept, or nothing.

        Raises:
            MetadataError: it was opened for reading only.
        """
        if self._read_only:
            raise MetadataError(f"Ledger {self.name}: it is opened for reading only: nothing was recorded.")
        with self._translated(), dialects.writing(self._engine) as connection:
            yield connection

    def damage(self) -> list[str]:
        """What the database finds wrong with its own files, having read all of the ledger; nothing when whole."""
        with self.reading() as connection:
            return dialects.damage(connection)

    def _opened(self, url: URL) -> Engine:
        file = engines.file_of(url)
        if url.get_backend_name() != "sqlite":
            with self._translated():
                return engines.open_server(url)
        if file is None or not file.exists():
            if self._lake is not None:
                raise self._gone()
            if self._read_only:
                raise self._refused(_NOTHING)
        if file is None:
            return engines.open_memory()
        self._writable &= not engines.locked_away(file)
        if not self._writable:
            return engines.open_read_only(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MetadataError(f"Ledger {self.name}: cannot make its folder: {error.strerror or error}.") from error
        return engines.open_file(file)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever SQLAlchemy and the driver raise into a MetadataError, without any stored value."""
        if self._closed:
            raise MetadataError(f"Ledger {self.name}: it has been closed.")
        if self._identity is not None and _inode(self._identity[0]) != self._identity[1]:
            raise MetadataError(
                f"Ledger {self.name}: its file was taken away or replaced since it was opened, by a repair or from a "
                "backup: open the lake again."
            )
        try:
            yield
        except SQLAlchemyError as error:
            below = error if failures.chainable(error) else None
            raise MetadataError(f"Ledger {self.name}: {failures.explained(error)}") from below
        except UnicodeEncodeError:
            # Not chained: the error carries the text.
            raise MetadataError(
                f"Ledger {self.name}: a text is not valid Unicode (a file name that is not UTF-8?): escape it first."
            ) from None
        except OverflowError:
            raise MetadataError(f"Ledger {self.name}: a whole number of more than 64 bits cannot be stored.") from None

    def _verify_or_make(self, *, wal: bool) -> None:
        with self.reading() as connection:
            ready = self._verify(connection)
        if wal:
            # After the check, so that a database that is refused is left as it was.
            with self._translated(), self._engine.connect() as connection:
                plain = connection.execution_options(begin="")
                # A change of journal mode does not wait for locks by itself.
                engines.patiently(lambda: plain.exec_driver_sql("PRAGMA journal_mode=WAL"))
        if not ready:
            with self._translated(), dialects.making(self._engine) as connection:
                self._make_missing(connection)

    def _make_missing(self, connection: Connection) -> None:
        # Looked at again under the lock: another process may have made or changed tables meanwhile.
        if self._verify(connection):
            return
        known = tables.present(connection)
        if not _versions(connection, tables.mlmd_env, known):
            tables.create_theirs(connection)
        if found := _versions(connection, tables.own_env, known):
            migrations.migrate(connection, found[0])
        else:
            tables.create_ours(connection)

    def _verify(self, connection: Connection) -> bool:
        """Whether every table is there, as this release makes it.

        Raises:
            MetadataError: this is another kind of database, or of another version.
        """
        known = tables.present(connection)
        if self._unfinished(connection, known):
            if self._lake is not None:
                raise self._gone()
            if self._read_only:
                raise self._refused(_NOTHING)
            return False
        if tables.mlmd_env.name.lower() not in known:
            raise self._refused(f"it is another application's database (tables {', '.join(sorted(known)[:5])})")
        found = _versions(connection, tables.mlmd_env, known)
        theirs = self._one_of(found, "ML Metadata schema", tables.SCHEMA_VERSION)
        if theirs < tables.SCHEMA_VERSION:
            raise self._refused(
                f"its ML Metadata schema is {theirs}, and this release reads {tables.SCHEMA_VERSION} only: "
                "upgrade it first"
            )
        if missing := [table.name for table in tables.THEIRS if table.name.lower() not in known]:
            raise self._refused(f"its tables {', '.join(missing)} are missing")
        found = _versions(connection, tables.own_env, known)
        if not found:
            return False
        ours = self._one_of(found, "lake schema", tables.OWN_VERSION)
        if ours < tables.OWN_VERSION and not self._writable:
            raise self._refused(
                f"its lake schema is {ours}, and this release reads {tables.OWN_VERSION}: "
                "open it once as a user who may write it, which brings it forward"
            )
        return ours == tables.OWN_VERSION

    @staticmethod
    def _unfinished(connection: Connection, known: set[str]) -> bool:
        """Whether there is nothing yet, or only what a creator left who was stopped before its first row."""
        if not known <= _THEIRS | _OURS or _versions(connection, tables.mlmd_env, known):
            return False
        return tables.type_.name.lower() not in known or connection.scalar(select(tables.type_.c.id).limit(1)) is None

    def _one_of(self, found: list[int], what: str, newest: int) -> int:
        if len(found) != 1:
            raise self._refused(f"it names {len(found)} versions of its {what} where one is expected")
        if found[0] > newest:
            raise self._refused(f"its {what} is {found[0]}, made by a newer release; this one reads {newest}")
        return found[0]

    def _refused(self, reason: str) -> MetadataError:
        return MetadataError(f"Ledger {self.name} is not opened: {reason}. Nothing in it was changed.")

    def _gone(self) -> MetadataError:
        return MetadataError(
            f"the lake in {self._lake} has data but its ledger ({self.name}) is gone; bring it back from a backup, or "
            "build it again from the lake with 'lakehouse check --repair'"
        )


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except OSError:
        return None


def _versions(connection: Connection, table: Table, known: set[str]) -> list[int]:
    """The versions that a table of versions names; nothing where it is not known."""
    return list(connection.scalars(select(table.c.schema_version))) if table.name.lower() in known else []
