"""Whatever the database does wrong becomes a MetadataError that says what to do and holds no stored value."""

from __future__ import annotations

import contextlib
import inspect
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import exc

from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger, engines
from lakehouse.records import Artifact, EventType, Execution

SECRET = "tr0ub4dor&3"
LIBRARY_ERRORS = [kind for _, kind in inspect.getmembers(exc, inspect.isclass) if issubclass(kind, exc.SQLAlchemyError)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metadata.db"


@pytest.fixture
def ledger(path):
    with Ledger(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(engines, "PATIENCE", 0.05)


def pragma(ledger, statement):
    """Set something on the ledger's one pooled connection."""
    with ledger._database.reading() as connection:
        row = connection.exec_driver_sql(f"PRAGMA {statement}")
        return row.scalar() if row.returns_rows else None


def raised(kind):
    """An error of the library's as it would raise it, with a secret where values go."""
    if issubclass(kind, exc.DBAPIError):
        return kind("SELECT ?", (SECRET,), sqlite3.Error("it failed"), hide_parameters=True)
    if issubclass(kind, exc.StatementError):
        return kind(f"(builtins.ValueError) {SECRET}", "SELECT ?", (SECRET,), ValueError(SECRET), hide_parameters=True)
    return kind.__new__(kind)


def test_there_are_library_errors_to_translate():
    assert {exc.OperationalError, exc.IntegrityError, exc.TimeoutError, exc.ResourceClosedError} <= set(LIBRARY_ERRORS)


@pytest.mark.parametrize("kind", LIBRARY_ERRORS, ids=lambda kind: kind.__name__)
def test_each_error_of_the_library_is_translated(ledger, path, kind):
    with pytest.raises(MetadataError) as caught, ledger._database.reading():
        raise raised(kind)
    assert str(path) in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('FATAL:  password authentication failed for user "anna"', "Check the user, password and database"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "anna"', "pg_hba.conf"),
        ('FATAL:  database "lake" does not exist', "Make the database first"),
        ('permission denied for database "lake"', "Give the user rights"),
        ("CREATE command denied to user 'anna'@'%' for table 'Type'", "Give the user rights"),
        ("Too many connections", "more connections"),
        ('FATAL:  too many connections for database "lake"', "more connections"),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "more connections"),
        ('could not extend file "base/5/16384": No space left on device', "Free some space"),
        ("The table 'Artifact' is full", "Free some space"),
        ("The MySQL server is running with the --read-only option so it cannot execute this statement", "only reads"),
        ("connection timeout expired", "Check that the server runs"),
        ("Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)", "Check that the server runs"),
        ("Lost connection to MySQL server during query", "run again when the server is back"),
        ("terminating connection due to administrator command", "run again when the server is back"),
        ("Deadlock found when trying to get lock; try restarting transaction", "run again, nothing was recorded"),
        ("Lock wait timeout exceeded; try restarting transaction", "Another process holds the ledger"),
        ("canceling statement due to lock timeout", "Another process holds the ledger"),
    ],
)
def test_what_servers_say_gets_a_hint(ledger, said, hint):
    with pytest.raises(MetadataError) as caught, ledger._database.reading():
        raise exc.OperationalError("SELECT 1", (), Exception(said))
    assert said in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        (1062, f"Duplicate entry '{SECRET}' for key 'external_id'"),
        (1366, f"Incorrect string value: '{SECRET}' for column 'name' at row 1"),
        (f'duplicate key value violates unique constraint "x"\nDETAIL:  Key (name)=({SECRET}) already exists.',),
    ],
)
def test_the_values_that_a_server_quotes_are_not_shown(ledger, said):
    with pytest.raises(MetadataError) as caught, ledger._database.reading():
        raise exc.IntegrityError("SELECT 1", (), Exception(*said))
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


def test_a_value_that_could_not_be_bound_is_not_shown(ledger):
    reason = r"could not be given to the database \(ValueError\)"
    with pytest.raises(MetadataError, match=reason) as caught, ledger._database.reading():
        raise raised(exc.StatementError)
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


@pytest.mark.usefixtures("impatient")
def test_a_ledger_locked_by_another_process_is_an_error_that_says_so(path):
    with Ledger(f"sqlite:///{path}") as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MetadataError, match=r"database is locked\. Another process holds the ledger: try again"):
            ledger.put_execution(Execution("Land"))
        assert ledger.get_executions() == []
        other.execute("ROLLBACK")
        assert ledger.put_execution(Execution("Land")).execution_id == 1


@pytest.mark.usefixtures("impatient")
def test_a_new_ledger_locked_by_another_process_cannot_be_opened(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MetadataError, match="locked"):
            Ledger(f"sqlite:///{path}")
        other.execute("ROLLBACK")
    with Ledger(f"sqlite:///{path}") as ledger:
        assert ledger.get_executions() == []


def test_opening_waits_while_another_process_writes_to_an_ml_metadata_database(path):
    with Ledger(f"sqlite:///{path}"):
        pass
    # As ML Metadata's client leaves it; going over to WAL then does not wait by itself.
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ("COMMIT",))
        release.start()
        with Ledger(f"sqlite:///{path}") as ledger:
            assert ledger.put_execution(Execution("Land")).execution_id == 1
        release.join()


def test_a_ledger_that_may_not_be_written_says_so(ledger):
    pragma(ledger, "query_only=ON")
    with pytest.raises(MetadataError, match=r"readonly database\. Make the file and its folder writable"):
        ledger.put_execution(Execution("Land"))
    assert ledger.get_executions() == []


def test_a_full_disk_says_so_and_leaves_nothing_and_the_next_put_works(ledger):
    pragma(ledger, f"max_page_count={pragma(ledger, 'page_count') + 2}")
    links = [(Artifact("RawFile", uri="x" * 500, name=str(n)), EventType.OUTPUT) for n in range(500)]
    with pytest.raises(MetadataError, match=r"disk is full\. Free some space and run again: nothing was recorded"):
        ledger.put_execution(Execution("Land"), links)
    assert (ledger.get_executions(), ledger.get_artifacts()) == ([], [])
    pragma(ledger, "max_page_count=100000")
    assert len(ledger.put_execution(Execution("Land"), links).artifact_ids) == 500


def test_a_damaged_file_says_so(path):
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.put_execution(Execution("Land"))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(MetadataError, match=r"malformed.*bring back a copy"):
        Ledger(f"sqlite:///{path}").get_executions()


def test_a_name_taken_by_another_execution_says_so_without_showing_values(ledger):
    ledger.put_execution(Execution("Land", name=SECRET))
    with pytest.raises(MetadataError, match=r"Execution\.name\. Another record has that name") as caught:
        ledger.put_execution(Execution("Land", name=SECRET, custom_properties={"password": SECRET}))
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


def test_values_are_not_shown_when_a_statement_fails(ledger):
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE ExecutionProperty")
    with pytest.raises(MetadataError, match="no such table: ExecutionProperty") as caught:
        ledger.put_execution(Execution("Land", properties={"password": SECRET}))
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))
    assert ledger._database._engine.hide_parameters


@pytest.mark.usefixtures("impatient")
def test_a_ledger_in_memory_held_by_another_thread_is_an_error_not_a_hang():
    with Ledger("sqlite://") as ledger, ThreadPoolExecutor(1) as pool:
        held, done = threading.Event(), threading.Event()

        def hold():
            with ledger._database.writing():
                held.set()
                done.wait()

        holder = pool.submit(hold)
        held.wait()
        with pytest.raises(MetadataError, match="TimeoutError"):
            ledger.get_executions()
        done.set()
        holder.result()
        assert ledger.get_executions() == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///{path}"])
def test_a_closed_ledger_refuses_to_work_and_may_be_closed_again(url, path):
    ledger = Ledger(url.format(path=path))
    ledger.close()
    ledger.close()
    for use in (ledger.get_executions, lambda: ledger.put_execution(Execution("Land")), lambda: ledger.sightings("x")):
        with pytest.raises(MetadataError, match="has been closed"):
            use()


def test_an_error_of_the_callers_own_passes_and_rolls_back(ledger):
    def fail():
        with ledger._database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO Execution (type_id) VALUES (5)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ledger.get_executions() == []


def test_a_whole_number_too_large_for_a_query_is_translated(ledger):
    with pytest.raises(MetadataError, match="64 bits"):
        ledger.get_executions(ids=[2**70])


def test_a_ledger_that_must_exist_is_not_made(path):
    for url in (f"sqlite:///{path}", "sqlite://"):
        with pytest.raises(MetadataError, match="is gone"):
            Ledger(url, lake=path.parent)
    assert not path.exists()
    Ledger(f"sqlite:///{path}").close()
    Ledger(f"sqlite:///{path}", lake=path.parent).close()


READ_ONLY = """
import os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger
from lakehouse.records import Execution
import sqlalchemy.dialects.sqlite, encodings.idna
if os.getuid() == 0:
    os.setuid(65534)
with Ledger(f"sqlite:///{sys.argv[1]}") as ledger:
    print(len(ledger.get_executions()), ledger.damage())
    try:
        ledger.put_execution(Execution("Land"))
    except MetadataError as error:
        print(error)
"""


@pytest.mark.parametrize("writer", ["gone", "there"])
def test_a_ledger_this_user_may_not_write_is_read_and_refuses_writes(writer):
    # Not below tmp_path, which other users cannot enter.
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        path = Path(name) / "it's 50% #1?.db"
        ledger = Ledger(f"sqlite:///{path}")
        ledger.put_execution(Execution("Land"))
        stack.callback(ledger.close)
        if writer == "gone":
            ledger.close()
        for file in path.parent.iterdir():
            file.chmod(0o444)
        path.parent.chmod(0o555)
        stack.callback(path.parent.chmod, 0o755)
        before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.suffix == ".db"}
        search = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        ran = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(path), search], capture_output=True, text=True, check=False, cwd="/"
        )
        assert ran.stdout.splitlines()[:1] == ["1 []"], ran.stderr
        assert "attempt to write a readonly database. Make the file and its folder writable" in ran.stdout
        assert before == {file.name: file.read_bytes() for file in path.parent.iterdir() if file.suffix == ".db"}
