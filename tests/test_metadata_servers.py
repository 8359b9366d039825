"""A ledger on a server: what can go wrong there is told with what to do, and never with a secret."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import traceback

import pytest
from servers import administering
from sqlalchemy import make_url, text

from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger, engines
from lakehouse.records import Artifact, Context, EventType, Execution, Type, TypeKind

SECRET = "tr0ub4dor-3"
BACKENDS = ["mysql", "postgresql"]
PORT_OF_NOBODY = 1
ANNA = f"lakehouse_anna_{os.getpid()}"

pytestmark = pytest.mark.parametrize("ledger_url", BACKENDS, indirect=True)


def changed(url, **parts):
    """The URL with other parts."""
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def refused(url, reason, **options):
    """Open it, which must fail for the reason; no secret is told, on no level."""
    with pytest.raises(MetadataError, match=reason) as caught:
        Ledger(url, **options)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    assert SECRET not in told
    assert "anna" not in told.split("MetadataError: Ledger")[-1].split(": ")[0]


@contextlib.contextmanager
def user(url, *rights):
    """A user of the server with these rights, and the ledger's URL for them."""
    parsed = make_url(url)
    with administering(url) as connection:
        if parsed.get_backend_name() == "mysql":
            name = f"{ANNA}@'%'"
            connection.execute(text(f"CREATE OR REPLACE USER {name} IDENTIFIED BY '{SECRET}'"))
            for right in rights:
                connection.execute(text(f"GRANT {right} ON {parsed.database}.* TO {name}"))
        else:
            name = ANNA
            connection.execute(text(f"DROP ROLE IF EXISTS {name}"))
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'"))
            for right in rights:
                connection.execute(text(f"GRANT {right} ON ALL TABLES IN SCHEMA public TO {name}"))
        try:
            yield changed(url, username=ANNA, password=SECRET)
        finally:
            if parsed.get_backend_name() == "postgresql":
                connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP {'USER' if '@' in name else 'ROLE'} {name}"))


def test_a_server_that_is_down(ledger_url):
    url = changed(ledger_url, username="anna", password=SECRET, port=PORT_OF_NOBODY)
    refused(url, r"Ledger \w+://127.0.0.1:1/\w+: .*Check that the server runs")


def test_a_host_that_is_not_there(ledger_url):
    refused(changed(ledger_url, password=SECRET, host="nowhere.invalid"), "Check that the server runs")


def test_a_database_that_is_not_there(ledger_url):
    refused(changed(ledger_url, password=None, database="lakehouse_nowhere"), "Make the database first")


@pytest.mark.parametrize("option", ["secert={}", "client_flag={}", "connect_timeout=soon"])
def test_an_option_that_the_driver_does_not_know(ledger_url, option):
    refused(f"{ledger_url}?{option.format(SECRET)}", r"option.*(secert|client_flag)|option in the URL|connect_timeout")


def test_a_text_or_number_that_its_column_does_not_hold(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.store.put_type(Type(TypeKind.ARTIFACT, "Model"))
        for column in ("name", "external_id"):
            assert ledger.store.put_artifacts([Artifact("Model", **{column: "😀" * 255})])
            with pytest.raises(MetadataError, match="Names and external ids take up to 255 characters"):
                ledger.store.put_artifacts([Artifact("Model", **{column: "😀" * 256})])
        noise = random.Random(1).randbytes(40_000).hex()  # nothing that a database could compress
        with pytest.raises(MetadataError, match=r"(65,535|shorten it to 2,600) bytes"):
            ledger.store.put_artifacts([Artifact("Model", uri=noise)])
        with administering(ledger_url) as connection:
            raised = {
                "mysql": "ALTER TABLE Artifact AUTO_INCREMENT = 2147483647",
                "postgresql": "ALTER SEQUENCE artifact_id_seq RESTART WITH 2147483647",
            }
            connection.execute(text(raised[connection.dialect.name]))
        assert ledger.store.put_artifacts([Artifact("Model")]) == [2**31 - 1]
        with pytest.raises(MetadataError, match="The ledger is full"):
            ledger.store.put_artifacts([Artifact("Model")])


def test_a_wrong_password(ledger_url):
    if ledger_url.startswith("postgresql"):
        pytest.skip("a server that trusts its own machine takes any password")
    refused(changed(ledger_url, username="anna", password=SECRET), r"Access denied for user.*Check the user")


def test_a_user_without_rights(ledger_url):
    with user(ledger_url) as url:
        refused(url, "Give the user rights|Check the user, password and database")


def test_a_user_who_may_only_read(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Land"))
    with user(ledger_url, "SELECT") as url, Ledger(url) as ledger:
        assert len(ledger.get_executions()) == 1
        with pytest.raises(MetadataError, match="Give the user rights") as caught:
            ledger.put_execution(Execution("Land"))
        assert SECRET not in repr(vars(ledger._database))
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


def test_a_server_that_only_reads(ledger_url):
    if ledger_url.startswith("mysql"):
        pytest.skip("it would only read for everybody")
    with Ledger(f"{ledger_url}?options=-cdefault_transaction_read_only%3Don") as ledger:
        assert ledger.get_executions() == []
        with pytest.raises(MetadataError, match="This server only reads: name the one that is written to"):
            ledger.put_execution(Execution("Land"))


def test_a_driver_is_loaded_only_where_it_is_needed_and_one_missing_names_the_extra(ledger_url):
    driver = make_url(ledger_url).get_driver_name()
    script = f"""
import sys
sys.modules["{driver}"] = None
from lakehouse.metadata import Ledger
Ledger("sqlite://").close()
Ledger("{changed(ledger_url, password=SECRET)}")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert f"run pip install 'lakehouse[{make_url(ledger_url).get_backend_name()}]'" in ran.stderr
    assert SECRET not in ran.stderr


def test_an_at_sign_in_a_password_does_not_show_it_as_a_host(ledger_url):
    scheme = ledger_url.partition("://")[0]
    with pytest.raises(MetadataError, match="write one in a password as %40") as caught:
        Ledger(f"{scheme}://anna:x@{SECRET}@127.0.0.1/lake")
    assert SECRET not in str(caught.value)


def test_a_lake_whose_database_was_emptied_is_refused_and_told_how_to_repair_it(servers, tmp_path, ledger_url):
    url = servers.new(make_url(ledger_url).get_backend_name(), tmp_path)
    refused(url, r"has data but its ledger .* is gone.*lakehouse check --repair", lake=tmp_path)
    with administering(url) as connection:
        assert connection.dialect.get_table_names(connection) == []
    Ledger(url).close()
    Ledger(url, lake=tmp_path).close()


def test_a_connection_that_broke_while_idle_is_made_anew(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Land"))
        disconnect(ledger_url)
        assert len(ledger.get_executions()) == 1


def test_a_connection_that_breaks_within_a_put_says_so_and_leaves_nothing(ledger_url):
    def put(ledger):
        with ledger._database.writing() as connection:
            connection.execute(text("INSERT INTO Execution (type_id) VALUES (1)"))
            disconnect(ledger_url)
            connection.execute(text("SELECT 1"))

    with Ledger(ledger_url) as ledger:
        with pytest.raises(MetadataError, match=r"run again when (it|the server) is back"):
            put(ledger)
        assert ledger.get_executions() == []
        assert ledger.put_execution(Execution("Land")).execution_id


def disconnect(url):
    """Let the server close every other connection to the database."""
    with administering(url) as connection:
        if connection.dialect.name == "postgresql":
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            connection.execute(text(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()"))
            return
        others = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        for number in connection.scalars(text(others)).all():
            connection.execute(text(f"KILL {number}"))


def test_a_ledger_held_by_another_for_too_long_says_so(ledger_url, monkeypatch):
    with Ledger(ledger_url) as other:
        monkeypatch.setattr(engines, "PATIENCE", 1)
        with Ledger(ledger_url) as ledger, other._database.writing():
            assert ledger.get_executions() == []
            with pytest.raises(MetadataError, match="Another process holds the ledger: try again"):
                ledger.put_execution(Execution("Land"))


def test_a_writer_sees_what_the_one_before_it_wrote(ledger_url):
    """Eight threads raise one number; none of their steps is lost."""
    with Ledger(ledger_url) as ledger:
        first = ledger.put_execution(Execution("Count", name="n", custom_properties={"n": 0})).execution_id
        together = threading.Barrier(8)

        def step():
            together.wait()
            for _ in range(10):
                with ledger._database.writing() as connection:
                    number = text("SELECT int_value FROM ExecutionProperty WHERE name = 'n'")
                    seen = connection.scalar(number)
                    connection.execute(text(f"UPDATE ExecutionProperty SET int_value = {seen + 1} WHERE name = 'n'"))

        threads = [threading.Thread(target=step) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.get_executions(ids=[first])[0].custom_properties == {"n": 80}


def test_a_name_taken_by_another_says_so_without_showing_values(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Land", name=SECRET))
        with pytest.raises(MetadataError, match="Another record has that name") as caught:
            ledger.put_execution(Execution("Land", name=SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


@pytest.mark.parametrize("field", ["name", "external_id"])
def test_a_name_longer_than_its_column_is_refused_not_cut(ledger_url, field):
    with Ledger(ledger_url) as ledger:
        made = [(Artifact("RawFile", **{field: "x" * 256}), EventType.OUTPUT)]
        with pytest.raises(MetadataError):
            ledger.put_execution(Execution("Land"), made)
        assert ledger.get_executions() == []


def test_schemas_of_one_postgresql_database_hold_a_ledger_each(ledger_url):
    if ledger_url.startswith("mysql"):
        pytest.skip("a MySQL schema is a database")
    with administering(ledger_url) as connection:
        for schema in ("one", "two"):
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        try:
            for schema in ("one", "two"):
                with Ledger(f"{ledger_url}?options=-csearch_path%3D{schema}") as ledger:
                    ledger.put_execution(Execution("Land", name=schema))
                    assert [e.name for e in ledger.get_executions()] == [schema]
                    assert ledger.damage() == []
        finally:
            for schema in ("one", "two"):
                connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.mark.parametrize("record", [Execution("Land", name="a\0b"), Execution("Land", custom_properties={"\0": 1})])
def test_a_nul_in_a_name_comes_back_or_is_refused(ledger_url, record):
    with Ledger(ledger_url) as ledger:
        if ledger_url.startswith("postgresql"):
            with pytest.raises(MetadataError, match="NUL"):
                ledger.put_execution(record)
            return
        ledger.put_execution(record)
        [found] = ledger.get_executions()
        assert (found.name, found.custom_properties) == (record.name, record.custom_properties)


def test_a_whole_ledger_has_no_damage(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(
            Execution("Land", custom_properties={"note": "x" * 9_000}),
            [(Artifact("RawFile", uri="raw/a"), EventType.OUTPUT)],
            [Context("Source", "flights")],
        )
        assert ledger.damage() == []
