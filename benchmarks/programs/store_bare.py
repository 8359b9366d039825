"""Bare sqlite3 on the same tables: ``store_bare.py batch|execution|uri DATABASE``; the last line has ``seconds``.

``layers DATABASE [CONTEXTS]`` is no comparison: it fills a database with 100,000 artifacts in 50 layers and 392,000
events, each artifact made by an execution of its own from three artifacts of the layer before. With contexts (100 or
more), all are in one, a pipeline, and each is in one of the others, its runs.
"""

import json
import sqlite3
import sys
import time
from contextlib import closing

verb, path = sys.argv[1:3]
_LAYER, _LAYERS = 2_000, 50


def types(database):
    """The ids of the types that are used here."""
    database.executemany("INSERT INTO Type (name, type_kind) VALUES (?, ?)", [("Data", 1), ("Step", 0)])
    return [database.execute("SELECT id FROM Type WHERE name = ?", (name,)).fetchone()[0] for name in ("Data", "Step")]


def properties(first, count):
    """Four properties of each artifact, as rows."""
    for n in range(first, first + count):
        yield n, "a", 0, n, None, None
        yield n, "b", 0, None, n / 7, None
        yield n, "c", 0, None, None, f"text {n}"
        yield n, "d", 0, None, None, f"more {n}"


def put(database, data, count):
    """Insert artifacts and their properties."""
    artifacts = ((data, f"/data/{n}", 2, 1, 1) for n in range(count))
    database.executemany(
        "INSERT INTO Artifact (type_id, uri, state, create_time_since_epoch, last_update_time_since_epoch) "
        "VALUES (?, ?, ?, ?, ?)",
        artifacts,
    )
    last = database.execute("SELECT max(id) FROM Artifact").fetchone()[0]
    database.executemany(
        "INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, int_value, double_value, string_value) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        properties(last - count + 1, count),
    )


def execution(database, data, step, n):
    """Insert an execution of two properties with two artifacts, all in one context."""
    database.execute("BEGIN IMMEDIATE")
    row = (step, 3, 1, 1)
    columns = "(type_id, last_known_state, create_time_since_epoch, last_update_time_since_epoch)"
    made = database.execute(f"INSERT INTO Execution {columns} VALUES (?, ?, ?, ?)", row).lastrowid
    columns = "(execution_id, name, is_custom_property, int_value, string_value)"
    values = [(made, "rows", 0, n, None), (made, "code", 0, None, "abc")]
    database.executemany(f"INSERT INTO ExecutionProperty {columns} VALUES (?, ?, ?, ?, ?)", values)
    found = database.execute("SELECT id FROM Context WHERE name = 'nightly'").fetchone()
    if found is None:
        kind = "SELECT id, 'nightly' FROM Type WHERE name = 'Run'"
        found = [database.execute(f"INSERT INTO Context (type_id, name) {kind}").lastrowid]
    database.execute("INSERT INTO Association (context_id, execution_id) VALUES (?, ?)", (found[0], made))
    for place, event in (("in", 3), ("out", 4)):
        row = (data, f"/{place}/{n}", 2, 1, 1)
        columns = "(type_id, uri, state, create_time_since_epoch, last_update_time_since_epoch)"
        artifact = database.execute(f"INSERT INTO Artifact {columns} VALUES (?, ?, ?, ?, ?)", row).lastrowid
        columns = "(artifact_id, name, is_custom_property, int_value)"
        database.execute(f"INSERT INTO ArtifactProperty {columns} VALUES (?, 'a', 0, ?)", (artifact, n))
        columns = "(artifact_id, execution_id, type, milliseconds_since_epoch)"
        database.execute(f"INSERT INTO Event {columns} VALUES (?, ?, ?, 1)", (artifact, made, event))
        database.execute("INSERT INTO Attribution (context_id, artifact_id) VALUES (?, ?)", (found[0], artifact))
    database.execute("COMMIT")


with closing(sqlite3.connect(path, isolation_level=None)) as database:
    database.execute("PRAGMA synchronous=FULL")
    started = time.perf_counter()
    match verb:
        case "batch":
            database.execute("BEGIN IMMEDIATE")
            data, _ = types(database)
            put(database, data, 10_000)
            database.execute("COMMIT")
        case "execution":
            data, step = types(database)
            database.execute("INSERT INTO Type (name, type_kind) VALUES ('Run', 2)")
            started = time.process_time()
            for n in range(200):
                execution(database, data, step, n)
        case "uri":
            for n in range(0, 100_000, 100):
                found = database.execute("SELECT * FROM Artifact WHERE uri = ?", (f"/data/{n}",)).fetchall()
                database.execute("SELECT * FROM ArtifactProperty WHERE artifact_id = ?", (found[0][0],)).fetchall()
        case "layers":
            database.execute("BEGIN IMMEDIATE")
            data, step = types(database)
            put(database, data, _LAYER * _LAYERS)
            made = range(_LAYER + 1, _LAYER * _LAYERS + 1)
            database.executemany(
                "INSERT INTO Execution (id, type_id, last_known_state) VALUES (?, ?, 3)", ((n, step) for n in made)
            )
            read = (
                (_LAYER * ((n - 1) // _LAYER - 1) + (n * 7 + k * 613) % _LAYER + 1, n, 3)
                for n in made
                for k in range(3)
            )
            event = "INSERT INTO Event (artifact_id, execution_id, type, milliseconds_since_epoch) VALUES (?, ?, ?, 1)"
            database.executemany(event, read)
            database.executemany(event, ((n, n, 4) for n in made))
            for n in range(int(sys.argv[3]) if sys.argv[3:] else 0):
                database.execute("INSERT INTO Context (id, type_id, name) VALUES (?, ?, ?)", (n + 1, data, f"run {n}"))
            for link, member in (("Attribution", "Artifact"), ("Association", "Execution")) if sys.argv[3:] else ():
                runs = f"SELECT 1, id FROM {member} UNION ALL SELECT 2 + id % ({sys.argv[3]} - 1), id FROM {member}"
                database.execute(f"INSERT INTO {link} (context_id, {member}_id) {runs}")
            database.execute("COMMIT")
    seconds = (time.process_time if verb == "execution" else time.perf_counter)() - started
print(json.dumps({"seconds": seconds}))
