"""The ledger's database: its tables are ML Metadata's, and nothing else is opened as one."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from catalogs import described, frozen
from servers import BACKENDS, KEPT, administering
from sqlalchemy import make_url, text

from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger, Store, engines, migrations, tables
from lakehouse.metadata.database import Database
from lakehouse.records import Artifact, EventType, Execution, Type, TypeKind

BUILT_IN = [
    (1, "mlmd.Dataset", None, 1, None, None, None, None),
    (2, "mlmd.Model", None, 1, None, None, None, None),
    (3, "mlmd.Metrics", None, 1, None, None, None, None),
    (4, "mlmd.Statistics", None, 1, None, None, None, None),
    (5, "mlmd.Train", None, 0, None, None, None, None),
    (6, "mlmd.Transform", None, 0, None, None, None, None),
    (7, "mlmd.Process", None, 0, None, None, None, None),
    (8, "mlmd.Evaluate", None, 0, None, None, None, None),
    (9, "mlmd.Deploy", None, 0, None, None, None, None),
]


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def run(path: Path, *statements: str) -> list[tuple]:
    """Run statements through the plain driver and give the rows of the last."""
    rows = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


@pytest.mark.parametrize("backend", KEPT)
def test_the_tables_columns_and_indices_are_exactly_ml_metadatas(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with Ledger(where):
        pass
    assert described(where) == frozen(backend)


@pytest.mark.parametrize("backend", KEPT)
def test_a_new_ledger_holds_its_versions_and_the_nine_built_in_types(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with Ledger(where):
        pass
    with administering(where) as connection:
        assert connection.execute(text("SELECT * FROM MLMDEnv")).all() == [(10,)]
        assert connection.execute(text("SELECT * FROM lakehouse_Env")).all() == [(tables.OWN_VERSION,)]
        assert connection.execute(text("SELECT * FROM Type ORDER BY id")).all() == BUILT_IN


def test_a_new_file_is_whole_and_in_wal_mode(tmp_path):
    with Ledger(url(tmp_path / "metadata.db")):
        pass
    assert run(tmp_path / "metadata.db", "PRAGMA journal_mode") == [("wal",)]
    assert run(tmp_path / "metadata.db", "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("backend", KEPT)
def test_texts_that_differ_by_case_or_by_a_blank_at_the_end_are_different(servers, tmp_path, backend):
    names = ["a", "A", "a ", "ä", "a\u0308", "å", "🛫"]
    with Ledger(servers.new(backend, tmp_path)) as ledger:
        for name in names:
            put = ledger.put_execution(
                Execution("Land", name=name), [(Artifact("RawFile", name=name, external_id=name), EventType.OUTPUT)]
            )
            assert [a.id for a in ledger.get_artifacts(names=[name])] == list(put.artifact_ids)
        assert [a.external_id for a in ledger.get_artifacts()] == names


@pytest.mark.parametrize(("link", "member"), [("Association", "execution_id"), ("Attribution", "artifact_id")])
def test_the_contexts_of_a_record_are_found_without_reading_all_memberships(tmp_path, link, member):
    Ledger(url(tmp_path / "metadata.db")).close()
    asked = f"EXPLAIN QUERY PLAN SELECT context_id FROM {link} WHERE {member} = 7"
    ((*_, plan),) = run(tmp_path / "metadata.db", asked)
    assert f"SEARCH {link} USING INDEX idx_lakehouse_{link.lower()}_{member}" in plan


def test_missing_folders_are_made_and_opening_again_adds_nothing(tmp_path):
    path = tmp_path / "data" / "deep" / "metadata.db"
    for _ in range(3):
        with Ledger(url(path)):
            pass
    assert run(path, "SELECT count(*) FROM Type") == [(9,)]
    assert run(path, "SELECT count(*) FROM MLMDEnv") == [(1,)]


def test_each_commit_is_synced_to_disk_in_full(tmp_path):
    with Ledger(url(tmp_path / "metadata.db")) as ledger, ledger._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_an_empty_file_becomes_a_ledger(tmp_path):
    path = tmp_path / "metadata.db"
    path.touch()
    with Ledger(url(path)) as ledger:
        assert ledger.get_executions() == []


def test_a_relative_path_stays_the_same_file_when_the_working_folder_changes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Ledger("sqlite:///data/metadata.db") as ledger:
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger._database._engine.pool.dispose()
        ledger.put_execution(Execution("Land"))
    assert run(tmp_path / "data" / "metadata.db", "SELECT count(*) FROM Execution") == [(1,)]


def forget_ours(where):
    """Leave ML Metadata's tables alone, as its own client makes them."""
    with administering(where) as connection:
        for table in tables.OURS:
            connection.execute(text(f"DROP TABLE {table.name}"))
        for index in (index for table in tables.INDEXED for index in table.indexes):
            index.drop(connection)


@pytest.mark.parametrize("backend", KEPT)
def test_an_ml_metadata_database_gets_the_lakes_tables_and_keeps_its_records(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with Ledger(where) as ledger:
        ledger.put_execution(Execution("Train"), [(Artifact("Model", name="m"), EventType.OUTPUT)])
    own = described(where, own=True)
    forget_ours(where)
    with Ledger(where) as ledger:
        assert [artifact.name for artifact in ledger.get_artifacts()] == ["m"]
        assert ledger.sightings("flights") == {}
    assert described(where, own=True) == own
    assert described(where) == frozen(backend)


@pytest.mark.parametrize("backend", KEPT)
def test_what_is_opened_for_reading_only_is_read_and_left_as_it_was(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with Ledger(where) as ledger:
        ledger.put_execution(Execution("Train"), [(Artifact("Model", name="m"), EventType.OUTPUT)])
    forget_ours(where)
    before = described(where, own=True)
    if backend == "sqlite":
        run(Path(make_url(where).database), "PRAGMA journal_mode=DELETE")  # as ML Metadata's client makes a file
    with closing(Database(where, read_only=True)) as database:
        store = Store(database)
        assert [artifact.name for artifact in store.get_artifacts()] == ["m"]
        assert len(store.get_lineage_subgraph(starting_artifacts="name = 'm'").executions) == 1
        with pytest.raises(MetadataError, match="opened for reading only"):
            store.put_type(Type(TypeKind.ARTIFACT, "Report"))
    assert described(where, own=True) == before
    if backend == "sqlite":
        assert [file.name for file in tmp_path.iterdir()] == [Path(make_url(where).database).name]
        assert run(Path(make_url(where).database), "PRAGMA journal_mode") == [("delete",)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_made_where_there_is_no_ledger_to_read(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with pytest.raises(MetadataError, match="no ledger to read"):
        Database(where, read_only=True)
    assert list(tmp_path.iterdir()) == []
    if backend in {"mysql", "postgresql"}:
        assert described(where) == described(where, own=True) == ""


VERSION_1 = {
    "sqlite": """
        CREATE TABLE lakehouse_Sighting (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL,
        origin TEXT NOT NULL, size INT NOT NULL, modified TEXT NOT NULL, sha256 VARCHAR(64) NOT NULL,
        seen_at INT NOT NULL, execution_id INT NOT NULL);
        CREATE INDEX idx_lakehouse_sighting_origin ON lakehouse_Sighting (source, origin, id);
        CREATE INDEX idx_lakehouse_sighting_sha256 ON lakehouse_Sighting (sha256);
    """
}


def as_version_1(where):
    """Bring a ledger back to what version 1 made: only SQLite had it."""
    forget_ours(where)
    with administering(where) as connection:
        for statement in VERSION_1["sqlite"].split(";")[:-1]:
            connection.execute(text(statement))
        connection.execute(text("CREATE TABLE lakehouse_Env (schema_version INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO lakehouse_Env VALUES (1)"))
        connection.execute(text("INSERT INTO lakehouse_Sighting VALUES (7, 'flights', '/a', 1, '', 'x', 1, 1)"))


def test_an_older_ledger_is_brought_forward_when_it_is_opened_and_keeps_its_records(tmp_path):
    where = url(tmp_path / "metadata.db")
    with Ledger(where) as ledger:
        ledger.put_execution(Execution("Land", name="kept"))
    new = described(where, own=True)
    as_version_1(where)
    for _ in range(2):
        with Ledger(where) as ledger:
            assert [e.name for e in ledger.get_executions()] == ["kept"]
            assert [s.sha256 for s in ledger.all_sightings()] == ["x"]
        assert described(where, own=True) == new
        assert run(tmp_path / "metadata.db", "SELECT * FROM lakehouse_Env") == [(tables.OWN_VERSION,)]


def test_an_older_ledger_that_cannot_be_brought_forward_stays_as_it_was(tmp_path, monkeypatch):
    where = url(tmp_path / "metadata.db")
    Ledger(where).close()
    as_version_1(where)
    before = described(where, own=True)

    def fail(connection):
        connection.exec_driver_sql("CREATE TABLE lakehouse_Half (id INTEGER)")
        connection.exec_driver_sql("SELECT 1 FROM nowhere")

    monkeypatch.setattr(migrations, "_STEPS", (fail,))
    with pytest.raises(MetadataError, match="no such table: nowhere"):
        Ledger(where)
    assert described(where, own=True) == before
    assert run(tmp_path / "metadata.db", "SELECT * FROM lakehouse_Env") == [(1,)]


def test_an_older_ledger_that_may_only_be_read_says_who_must_open_it(tmp_path, monkeypatch):
    where = url(tmp_path / "metadata.db")
    Ledger(where).close()
    as_version_1(where)
    monkeypatch.setattr(engines, "locked_away", lambda _: True)  # root may write everything
    with pytest.raises(MetadataError, match=r"lake schema is 1.* open it once as a user who may write it"):
        Ledger(where)


@pytest.mark.parametrize("backend", ["mysql", "postgresql"])
@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["UPDATE MLMDEnv SET schema_version = 11"], "ML Metadata schema is 11, made by a newer release"),
        (["UPDATE lakehouse_Env SET schema_version = 99"], "lake schema is 99, made by a newer release"),
        (["DELETE FROM MLMDEnv"], "names 0 versions of its ML Metadata schema"),
        (["DROP TABLE EventPath"], "its tables EventPath are missing"),
        (["DROP TABLE MLMDEnv"], "another application's database"),
    ],
)
def test_another_version_on_a_server_is_refused_and_left_as_it_was(servers, tmp_path, backend, statements, reason):
    where = servers.new(backend, tmp_path)
    with Ledger(where):
        pass
    with administering(where) as connection:
        for statement in statements:
            connection.execute(text(statement))
    before = described(where)
    with pytest.raises(MetadataError, match=reason):
        Ledger(where)
    assert described(where) == before


@pytest.mark.parametrize("backend", KEPT)
def test_what_a_creator_left_who_was_stopped_is_completed(servers, tmp_path, backend):
    where = servers.new(backend, tmp_path)
    with Ledger(where):
        pass
    own = described(where, own=True)
    drop = "DROP INDEX idx_event_execution_id" + " ON Event" * (backend == "mysql")
    with administering(where) as connection:
        for statement in ["DROP TABLE EventPath", drop, "DELETE FROM MLMDEnv", "DELETE FROM Type"]:
            connection.execute(text(statement))
        for table in tables.OURS:
            connection.execute(text(f"DELETE FROM {table.name}"))
    with Ledger(where) as ledger:
        ledger.put_execution(Execution("Land"))
    assert described(where) == frozen(backend)
    assert described(where, own=True) == own
    with administering(where) as connection:
        assert connection.scalar(text("SELECT count(*) FROM Type")) == 10


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["UPDATE MLMDEnv SET schema_version = 11"], "ML Metadata schema is 11, made by a newer release"),
        (["UPDATE MLMDEnv SET schema_version = 7"], "ML Metadata schema is 7, and this release reads 10 only"),
        (["DELETE FROM MLMDEnv"], "names 0 versions of its ML Metadata schema"),
        (["INSERT INTO MLMDEnv VALUES (9)"], "names 2 versions"),
        (["UPDATE lakehouse_Env SET schema_version = 99"], "lake schema is 99, made by a newer release"),
        (["DROP TABLE EventPath"], "its tables EventPath are missing"),
        (["DROP TABLE MLMDEnv"], "another application's database"),
    ],
)
def test_another_version_of_a_ledger_is_refused_and_left_as_it_was(tmp_path, statements, reason):
    path = tmp_path / "metadata.db"
    with Ledger(url(path)):
        pass
    run(path, *statements, "PRAGMA journal_mode=DELETE")
    before = path.read_bytes()
    with pytest.raises(MetadataError, match=reason) as caught:
        Ledger(url(path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_another_applications_database_is_refused_and_left_as_it_was(tmp_path):
    path = tmp_path / "songs.db"
    run(path, "CREATE TABLE songs (title TEXT)", "INSERT INTO songs VALUES ('So What')")
    before = path.read_bytes()
    with pytest.raises(MetadataError, match=r"another application's database \(tables songs\)"):
        Ledger(url(path))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["songs.db"]


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("just some text, longer than a header of a hundred bytes " * 20)
    with pytest.raises(MetadataError, match=r"not a database.*name another"):
        Ledger(url(path))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(MetadataError, match=r"unable to open.*Check that the path is a file"):
        Ledger(url(tmp_path))


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(MetadataError, match="cannot make its folder"):
        Ledger(url(tmp_path / "data" / "metadata.db"))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://anna:tr0ub4dor@db/lake",
        "postgresql+psycopg2://anna:tr0ub4dor@db/lake",
        "postgresql+psycopg://anna:tr0ub4dor@db",
        "mysql+pymysql://anna:tr0ub4dor@db/",
        "mysql://anna:tr0ub4dor@db/lake",
        "sqlite+aiosqlite:///metadata.db",
        "sqlite://anna:tr0ub4dor@data/metadata.db",
        "sqlite://data/metadata.db",
        "sqlite:///metadata.db?mode=tr0ub4dor",
        "sqlite:///file:metadata.db",
        "tr0ub4dor",
        "",
    ],
)
def test_any_other_url_is_refused_with_the_supported_ones_and_without_its_password(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MetadataError, match="Supported are sqlite:///") as caught:
        Ledger(address)
    assert "tr0ub4dor" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_closed_ledger_is_whole(tmp_path):
    with Ledger(url(tmp_path / "one.db")) as ledger:
        ledger.put_execution(Execution("Land", name="the first"))
    shutil.copy(tmp_path / "one.db", tmp_path / "two.db")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.db", "two.db"]
    with Ledger(url(tmp_path / "two.db")) as ledger:
        assert [execution.name for execution in ledger.get_executions()] == ["the first"]
