"""The ledger's database: its tables are ML Metadata's, and nothing else is opened as one."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, EventType, Execution

# What ml_metadata 1.17.1 made in an empty file, as SQLite's own pragmas tell it.
ML_METADATA = """
Artifact AUTOINCREMENT
    id INTEGER KEY 1
    type_id INT NOT NULL
    uri TEXT
    state INT
    name VARCHAR(255)
    external_id VARCHAR(255)
    create_time_since_epoch INT NOT NULL DEFAULT 0
    last_update_time_since_epoch INT NOT NULL DEFAULT 0
    UNIQUE (external_id)
    UNIQUE (type_id,name)
    idx_artifact_create_time_since_epoch (create_time_since_epoch)
    idx_artifact_external_id (external_id)
    idx_artifact_last_update_time_since_epoch (last_update_time_since_epoch)
    idx_artifact_uri (uri)
ArtifactProperty
    artifact_id INT NOT NULL KEY 1
    name VARCHAR(255) NOT NULL KEY 2
    is_custom_property TINYINT(1) NOT NULL KEY 3
    int_value INT
    double_value DOUBLE
    string_value TEXT
    byte_value BLOB
    proto_value BLOB
    bool_value BOOLEAN
    PRIMARY KEY (artifact_id,name,is_custom_property)
    idx_artifact_property_double (name,is_custom_property,double_value) WHERE double_value IS NOT NULL
    idx_artifact_property_int (name,is_custom_property,int_value) WHERE int_value IS NOT NULL
    idx_artifact_property_string (name,is_custom_property,string_value) WHERE string_value IS NOT NULL
Association AUTOINCREMENT
    id INTEGER KEY 1
    context_id INT NOT NULL
    execution_id INT NOT NULL
    UNIQUE (context_id,execution_id)
Attribution AUTOINCREMENT
    id INTEGER KEY 1
    context_id INT NOT NULL
    artifact_id INT NOT NULL
    UNIQUE (context_id,artifact_id)
Context AUTOINCREMENT
    id INTEGER KEY 1
    type_id INT NOT NULL
    name VARCHAR(255) NOT NULL
    external_id VARCHAR(255)
    create_time_since_epoch INT NOT NULL DEFAULT 0
    last_update_time_since_epoch INT NOT NULL DEFAULT 0
    UNIQUE (external_id)
    UNIQUE (type_id,name)
    idx_context_create_time_since_epoch (create_time_since_epoch)
    idx_context_external_id (external_id)
    idx_context_last_update_time_since_epoch (last_update_time_since_epoch)
ContextProperty
    context_id INT NOT NULL KEY 1
    name VARCHAR(255) NOT NULL KEY 2
    is_custom_property TINYINT(1) NOT NULL KEY 3
    int_value INT
    double_value DOUBLE
    string_value TEXT
    byte_value BLOB
    proto_value BLOB
    bool_value BOOLEAN
    PRIMARY KEY (context_id,name,is_custom_property)
    idx_context_property_double (name,is_custom_property,double_value) WHERE double_value IS NOT NULL
    idx_context_property_int (name,is_custom_property,int_value) WHERE int_value IS NOT NULL
    idx_context_property_string (name,is_custom_property,string_value) WHERE string_value IS NOT NULL
Event AUTOINCREMENT
    id INTEGER KEY 1
    artifact_id INT NOT NULL
    execution_id INT NOT NULL
    type INT NOT NULL
    milliseconds_since_epoch INT
    UNIQUE (artifact_id,execution_id,type)
    idx_event_execution_id (execution_id)
EventPath
    event_id INT NOT NULL
    is_index_step TINYINT(1) NOT NULL
    step_index INT
    step_key TEXT
    idx_eventpath_event_id (event_id)
Execution AUTOINCREMENT
    id INTEGER KEY 1
    type_id INT NOT NULL
    last_known_state INT
    name VARCHAR(255)
    external_id VARCHAR(255)
    create_time_since_epoch INT NOT NULL DEFAULT 0
    last_update_time_since_epoch INT NOT NULL DEFAULT 0
    UNIQUE (external_id)
    UNIQUE (type_id,name)
    idx_execution_create_time_since_epoch (create_time_since_epoch)
    idx_execution_external_id (external_id)
    idx_execution_last_update_time_since_epoch (last_update_time_since_epoch)
ExecutionProperty
    execution_id INT NOT NULL KEY 1
    name VARCHAR(255) NOT NULL KEY 2
    is_custom_property TINYINT(1) NOT NULL KEY 3
    int_value INT
    double_value DOUBLE
    string_value TEXT
    byte_value BLOB
    proto_value BLOB
    bool_value BOOLEAN
    PRIMARY KEY (execution_id,name,is_custom_property)
    idx_execution_property_double (name,is_custom_property,double_value) WHERE double_value IS NOT NULL
    idx_execution_property_int (name,is_custom_property,int_value) WHERE int_value IS NOT NULL
    idx_execution_property_string (name,is_custom_property,string_value) WHERE string_value IS NOT NULL
MLMDEnv
    schema_version INTEGER KEY 1
ParentContext
    context_id INT NOT NULL KEY 1
    parent_context_id INT NOT NULL KEY 2
    PRIMARY KEY (context_id,parent_context_id)
    idx_parentcontext_parent_context_id (parent_context_id)
ParentType
    type_id INT NOT NULL KEY 1
    parent_type_id INT NOT NULL KEY 2
    PRIMARY KEY (type_id,parent_type_id)
Type AUTOINCREMENT
    id INTEGER KEY 1
    name VARCHAR(255) NOT NULL
    version VARCHAR(255)
    type_kind TINYINT(1) NOT NULL
    description TEXT
    input_type TEXT
    output_type TEXT
    external_id VARCHAR(255)
    UNIQUE (external_id)
    idx_type_external_id (external_id)
    idx_type_name (name)
TypeProperty
    type_id INT NOT NULL KEY 1
    name VARCHAR(255) NOT NULL KEY 2
    data_type INT
    PRIMARY KEY (type_id,name)
"""

OWN = """
lakehouse_Env
    schema_version INTEGER KEY 1
lakehouse_Sighting AUTOINCREMENT
    id INTEGER KEY 1
    source TEXT NOT NULL
    origin TEXT NOT NULL
    size INT NOT NULL
    modified TEXT NOT NULL
    sha256 VARCHAR(64) NOT NULL
    seen_at INT NOT NULL
    execution_id INT NOT NULL
    idx_lakehouse_sighting_origin (source,origin,id)
    idx_lakehouse_sighting_sha256 (sha256)
"""

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


def described(path: Path, prefix: str) -> str:
    """The tables with this prefix (or, for "", without the lake's), their columns, constraints and indices."""
    lines = [""]
    for name, sql in run(path, "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        if name.startswith("sqlite_") or name.startswith("lakehouse_") != bool(prefix):
            continue
        lines.append(name + (" AUTOINCREMENT" if "AUTOINCREMENT" in sql else ""))
        lines += [f"    {column(row)}" for row in run(path, f"PRAGMA table_xinfo('{name}')")]
        indices = [index(path, row) for row in run(path, f"PRAGMA index_list('{name}')")]
        lines += sorted(i for i in indices if "idx_" not in i) + sorted(i for i in indices if "idx_" in i)
    return "\n".join([*lines, ""])


def column(row: tuple) -> str:
    _, name, kind, not_null, default, key, hidden = row
    assert not hidden
    words = [name, kind, "NOT NULL" * not_null, f"DEFAULT {default}" if default else "", f"KEY {key}" if key else ""]
    return " ".join(filter(None, words))


def index(path: Path, row: tuple) -> str:
    _, name, unique, origin, partial = row
    columns = ",".join(row[2] for row in run(path, f"PRAGMA index_info('{name}')"))
    if origin != "c":
        return f"    {'PRIMARY KEY' if origin == 'pk' else 'UNIQUE'} ({columns})"
    assert not unique
    sql = run(path, f"SELECT sql FROM sqlite_master WHERE name = '{name}'")[0][0]
    where = f" WHERE {sql.split('WHERE')[1].strip()}" if partial else ""
    return f"    {name} ({columns}){where}"


def test_the_tables_columns_and_indices_are_exactly_ml_metadatas(tmp_path):
    with Ledger(url(tmp_path / "metadata.db")):
        pass
    assert described(tmp_path / "metadata.db", "") == ML_METADATA


def test_the_lakes_own_tables_stand_beside_them(tmp_path):
    with Ledger(url(tmp_path / "metadata.db")):
        pass
    assert described(tmp_path / "metadata.db", "lakehouse_") == OWN


def test_a_new_ledger_holds_its_versions_and_the_nine_built_in_types(tmp_path):
    path = tmp_path / "metadata.db"
    with Ledger(url(path)):
        pass
    assert run(path, "SELECT * FROM MLMDEnv") == [(10,)]
    assert run(path, "SELECT * FROM lakehouse_Env") == [(1,)]
    assert run(path, "SELECT * FROM Type ORDER BY id") == BUILT_IN
    assert run(path, "PRAGMA journal_mode") == [("wal",)]
    assert run(path, "PRAGMA integrity_check") == [("ok",)]


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


def test_an_ml_metadata_database_gets_the_lakes_tables_and_keeps_its_records(tmp_path):
    theirs = tmp_path / "theirs.db"
    with Ledger(url(theirs)) as ledger:
        ledger.put_execution(Execution("Train"), [(Artifact("Model", name="m"), EventType.OUTPUT)])
    run(theirs, "DROP TABLE lakehouse_Env", "DROP TABLE lakehouse_Sighting")
    with Ledger(url(theirs)) as ledger:
        assert [artifact.name for artifact in ledger.get_artifacts()] == ["m"]
        assert ledger.sightings("flights") == {}
    assert described(theirs, "lakehouse_") == OWN
    assert described(theirs, "") == ML_METADATA


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["UPDATE MLMDEnv SET schema_version = 11"], "ML Metadata schema is 11, made by a newer release"),
        (["UPDATE MLMDEnv SET schema_version = 7"], "ML Metadata schema is 7, and this release reads 10 only"),
        (["DELETE FROM MLMDEnv"], "names 0 versions of its ML Metadata schema"),
        (["INSERT INTO MLMDEnv VALUES (9)"], "names 2 versions"),
        (["UPDATE lakehouse_Env SET schema_version = 2"], "lake schema is 2, made by a newer release"),
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
        "postgresql+psycopg://anna:tr0ub4dor@db/lake",
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
