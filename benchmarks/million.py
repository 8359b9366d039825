"""A ledger of a million raw files and 100,000 executions, as a lake would have written it, made in bulk.

A real lake lands and curates a few files twice. Every record of its second round is the pattern for
the records of all rounds; only numbers, hashes, names and moments differ. `verify` holds both together.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse import Lake

__all__ = ["Shape", "build"]

_ODD, _WORD = 2_654_435_761, 1 << 32  # times an odd number, modulo two to the 32nd: every number once, in no order
_START = datetime(2026, 1, 1, tzinfo=UTC)
_DATASET = """\
source: {source}
schema:
  features:
    n: {{type: int}}
"""
_TABLES = {
    "Execution": "id", "ExecutionProperty": "execution_id", "Artifact": "id", "ArtifactProperty": "artifact_id",
    "Event": "id", "Association": "id", "Attribution": "id",
    "lakehouse_Sighting": "id", "lakehouse_Total": "context_id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a ledger is.

    Attributes:
        datasets: each with a source of its own.
        rounds: landings, and as many curations, of all datasets together.
        files: raw files in each.
    """

    datasets: int
    rounds: int
    files: int

    def source(self, number: int) -> str:
        """Its source's name."""
        return f"source{number:04}"

    def dataset(self, number: int) -> str:
        """Its name."""
        return f"subject/dataset{number:04}"


def build(folder: Path, shape: Shape) -> Path:
    """Make a lake with such a ledger, without its raw files and tables.

    Returns:
        Its configuration.
    """
    shutil.rmtree(folder, ignore_errors=True)
    configs = _configure(folder, shape)
    real = _real(folder, shape)
    with closing(sqlite3.connect(folder / "data" / "metadata.db", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA cache_size=-1000000")
        _fill(database, shape, real)
        database.execute("PRAGMA journal_mode=WAL")
    verify(folder / "data" / "metadata.db", folder / "real.db")
    return configs


def _configure(folder: Path, shape: Shape) -> Path:
    configs = folder / "configs"
    for number in range(shape.datasets):
        source = configs / "sources" / f"{shape.source(number)}.yaml"
        dataset = configs / "datasets" / f"{shape.dataset(number)}.yaml"
        for file in (source, dataset):
            file.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"type: files\npath: incoming/{number}/*.csv\nformat: {{type: csv}}\n")
        dataset.write_text(_DATASET.format(source=shape.source(number)))
    (configs / "lakehouse.yaml").write_text("root: data\n")
    return configs


def _real(folder: Path, shape: Shape) -> dict[str, list[sqlite3.Row]]:
    """The records of the second round of a real lake, by table; its ledger is kept, and emptied for the large one."""
    incoming = folder / "incoming" / "0"
    incoming.mkdir(parents=True)
    with Lake(folder / "configs") as lake:
        for turn in range(2):
            for number in range(shape.files):
                (incoming / f"{turn}-{number:06}.csv").write_text(f"n\n{turn * shape.files + number}\n")
            lake.land(shape.source(0))
            lake.curate(shape.dataset(0))
    for part in ("raw", "curated", "receipts"):
        shutil.rmtree(folder / "data" / part, ignore_errors=True)
    ledger = folder / "data" / "metadata.db"
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(ledger, folder / "real.db")
        database.row_factory = sqlite3.Row
        [curate], [land] = database.execute("SELECT id FROM Execution ORDER BY id DESC LIMIT 2")
        made = "SELECT artifact_id FROM Event WHERE type = 4 AND execution_id"
        raw = database.execute(f"{made} = ? LIMIT 1", (land,)).fetchone()[0]
        version = database.execute(f"{made} = ?", (curate,)).fetchone()[0]
        queries = {
            "land": ("SELECT * FROM Execution WHERE id = ?", land),
            "land properties": ("SELECT * FROM ExecutionProperty WHERE execution_id = ?", land),
            "curate": ("SELECT * FROM Execution WHERE id = ?", curate),
            "curate properties": ("SELECT * FROM ExecutionProperty WHERE execution_id = ?", curate),
            "raw": ("SELECT * FROM Artifact WHERE id = ?", raw),
            "raw properties": ("SELECT * FROM ArtifactProperty WHERE artifact_id = ?", raw),
            "version": ("SELECT * FROM Artifact WHERE id = ?", version),
            "version properties": ("SELECT * FROM ArtifactProperty WHERE artifact_id = ?", version),
            "sighting": ("SELECT * FROM lakehouse_Sighting WHERE execution_id = ? LIMIT 1", land),
            "schema": ("SELECT a.* FROM Artifact a JOIN Type t ON t.id = a.type_id WHERE t.name = ?", "Schema"),
            "schema properties": (
                (
                    "SELECT p.* FROM ArtifactProperty p JOIN Artifact a ON a.id = p.artifact_id "
                    "JOIN Type t ON t.id = a.type_id WHERE t.name = ?"
                ),
                "Schema",
            ),
            "contexts": ("SELECT * FROM Context WHERE id > ?", 0),
        }
        return {name: database.execute(sql, (value,)).fetchall() for name, (sql, value) in queries.items()}


def _fill(database: sqlite3.Connection, shape: Shape, real: dict[str, list[sqlite3.Row]]) -> None:
    """Put all rounds in, table by table, and the indices back afterwards."""
    indices = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indices:
        database.execute(f"DROP INDEX {name}")
    for table in (*_TABLES, "Context"):
        database.execute(f"DELETE FROM {table}")
        database.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    rounds = _Rounds(shape, real)
    database.execute("BEGIN")
    for table, rows in rounds.tables():
        first = next(rows)
        marks = ", ".join("?" * len(first))
        insert = f"INSERT INTO {table} ({', '.join(first.keys())}) VALUES ({marks})"
        database.execute(insert, tuple(first.values()))
        database.executemany(insert, (tuple(row.values()) for row in rows))
    database.execute("COMMIT")
    for _, sql in indices:
        database.execute(sql)


class _Rounds:
    """The rows of all rounds. Of a round: executions 2n + 1 and 2n + 2, its files, then its version."""

    def __init__(self, shape: Shape, real: dict[str, list[sqlite3.Row]]) -> None:
        self.shape = shape
        self.real = real
        self.schemas = shape.datasets  # the first artifacts
        self.per_round = shape.files + 1

    def tables(self) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
        """Each table with its rows."""
        yield "Context", self._contexts()
        yield "Execution", self._executions()
        yield "ExecutionProperty", self._execution_properties()
        yield "Artifact", self._artifacts()
        yield "ArtifactProperty", self._artifact_properties()
        yield "Event", _numbered(self._events())
        yield "Association", _numbered(self._associations())
        yield "Attribution", _numbered(self._attributions())
        yield "lakehouse_Sighting", self._sightings()
        yield "lakehouse_Total", self._totals()

    def _at(self, number: int) -> int:
        return number % self.shape.datasets

    def _raw(self, number: int, file: int) -> int:
        return self.schemas + number * self.per_round + file + 1

    def _version(self, number: int) -> int:
        return self._raw(number, self.shape.files)

    def _sha(self, number: int, file: int) -> str:
        serial = number * self.shape.files + file
        return f"{serial * _ODD % _WORD:08x}{serial:056x}"

    def _contexts(self) -> Iterator[dict[str, Any]]:
        patterns = {str(row["name"]): row for row in self.real["contexts"]}
        for number in range(self.shape.datasets):
            for at, (name, first) in enumerate(
                (
                    (self.shape.source(number), self.shape.source(0)),
                    (self.shape.dataset(number), self.shape.dataset(0)),
                )
            ):
                yield {**patterns[first], "id": 2 * number + 1 + at, "name": name}

    def _executions(self) -> Iterator[dict[str, Any]]:
        [land], [curate] = self.real["land"], self.real["curate"]
        for number in range(self.shape.rounds):
            yield {**land, "id": 2 * number + 1}
            yield {**curate, "id": 2 * number + 2}

    def _execution_properties(self) -> Iterator[dict[str, Any]]:
        patterns = [[dict(row) for row in self.real[f"{kind} properties"]] for kind in ("land", "curate")]
        for number in range(self.shape.rounds):
            turn = number // self.shape.datasets
            given = {
                "files": json.dumps({self._sha(number, file): [1, 0] for file in range(self.shape.files)}),
                "looked": json.dumps(
                    {"source": self.shape.source(self._at(number)), "landing": 2 * number + 1, "older": 0}
                ),
                "version": turn,
                "sequence": turn + 1,
            }
            for at, pattern in enumerate(patterns):
                for row in pattern:
                    column = "string_value" if row["string_value"] is not None else "int_value"
                    value = given.get(row["name"], row[column]) if at else row[column]
                    if row["name"] == "fingerprint":
                        value = f"{self._at(number):064x}"
                    yield {**row, "execution_id": 2 * number + 1 + at, column: value}

    def _artifacts(self) -> Iterator[dict[str, Any]]:
        [schema], [raw], [version] = self.real["schema"], self.real["raw"], self.real["version"]
        for number in range(self.shape.datasets):
            name = self.shape.dataset(number)
            yield {**schema, "id": number + 1, "name": f"{name}:1", "external_id": f"schema/{name}/1"}
        for number in range(self.shape.rounds):
            source, dataset = self.shape.source(self._at(number)), self.shape.dataset(self._at(number))
            for file in range(self.shape.files):
                sha = self._sha(number, file)
                yield {
                    **raw,
                    "id": self._raw(number, file),
                    "name": f"{source}/{sha}",
                    "external_id": f"{source}/{sha}",
                    "uri": f"raw/{source}/{sha[:2]}/{sha}/{_name(number, file)}",
                }
            turn = number // self.shape.datasets
            uri = f"curated/{dataset}"
            yield {**version, "id": self._version(number), "name": f"{dataset}@{turn}", "uri": uri}

    def _artifact_properties(self) -> Iterator[dict[str, Any]]:
        schemas, raws, versions = (
            [dict(row) for row in self.real[f"{kind} properties"]] for kind in ("schema", "raw", "version")
        )
        for number in range(self.shape.datasets):
            for row in schemas:
                yield {**row, "artifact_id": number + 1}
        for number in range(self.shape.rounds):
            source, moment = self.shape.source(self._at(number)), (_START + timedelta(seconds=number)).isoformat()
            for file in range(self.shape.files):
                own = {
                    "source": source,
                    "sha256": self._sha(number, file),
                    "name": _name(number, file),
                    "landed_at": moment,
                }
                for row in raws:
                    yield {
                        **row,
                        "artifact_id": self._raw(number, file),
                        "string_value": own.get(row["name"], row["string_value"]),
                    }
            turn = number // self.shape.datasets
            total = (turn + 1) * self.shape.files
            counts = {"version": turn, "table_version": turn, "execution": 2 * number + 2, "total": total}
            own = {"dataset": self.shape.dataset(self._at(number)), "committed_at": moment}
            for row in versions:
                name = row["name"]
                yield {
                    **row,
                    "artifact_id": self._version(number),
                    "int_value": counts.get(name, row["int_value"]),
                    "string_value": own.get(name, row["string_value"]),
                }

    def _events(self) -> Iterator[dict[str, Any]]:
        for number in range(self.shape.rounds):
            land, curate = 2 * number + 1, 2 * number + 2
            files = [self._raw(number, file) for file in range(self.shape.files)]
            for artifact, execution, kind in (
                *((file, land, 4) for file in files),
                (self._at(number) + 1, curate, 3),
                *((file, curate, 3) for file in files),
                (self._version(number), curate, 4),
            ):
                moment = 1_767_225_600_000 + number
                yield {
                    "artifact_id": artifact,
                    "execution_id": execution,
                    "type": kind,
                    "milliseconds_since_epoch": moment,
                }

    def _associations(self) -> Iterator[dict[str, Any]]:
        for number in range(self.shape.rounds):
            context = 2 * self._at(number) + 1
            yield {"context_id": context, "execution_id": 2 * number + 1}
            yield {"context_id": context + 1, "execution_id": 2 * number + 2}

    def _attributions(self) -> Iterator[dict[str, Any]]:
        for number in range(self.shape.datasets):
            yield {"context_id": 2 * number + 2, "artifact_id": number + 1}
        for number in range(self.shape.rounds):
            context = 2 * self._at(number) + 1
            for file in range(self.shape.files):
                yield {"context_id": context, "artifact_id": self._raw(number, file)}
                yield {"context_id": context + 1, "artifact_id": self._raw(number, file)}
            yield {"context_id": context + 1, "artifact_id": self._version(number)}

    def _sightings(self) -> Iterator[dict[str, Any]]:
        [pattern] = self.real["sighting"]
        for number in range(self.shape.rounds):
            for file in range(self.shape.files):
                yield {
                    **pattern,
                    "id": number * self.shape.files + file + 1,
                    "source": self.shape.source(self._at(number)),
                    "origin": f"incoming/{self._at(number)}/{_name(number, file)}",
                    "sha256": self._sha(number, file),
                    "execution_id": 2 * number + 1,
                }

    def _totals(self) -> Iterator[dict[str, Any]]:
        [size] = [row["int_value"] for row in self.real["raw properties"] if row["name"] == "size"]
        for at in range(self.shape.datasets):
            rounds = range(at, self.shape.rounds, self.shape.datasets)
            yield {
                "context_id": 2 * at + 1,
                "artifact_id": self._raw(rounds[-1], self.shape.files - 1),
                "files": len(rounds) * self.shape.files,
                "size": len(rounds) * self.shape.files * size,
                "landed_at": (_START + timedelta(seconds=rounds[-1])).isoformat(),
            }


def _name(number: int, file: int) -> str:
    return f"{number:06}-{file:06}.csv"


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({"id": number, **row} for number, row in enumerate(rows, start=1))


def verify(made: Path, real: Path) -> None:
    """Hold the first and the last records of a made ledger against a real lake's: the same columns are filled.

    Raises:
        RuntimeError: they differ.
    """
    for what, (kind, tables, main) in _COMPARED.items():
        found = []
        for ledger in (made, real):
            with closing(sqlite3.connect(ledger)) as database:
                alias = tables.split()[1]
                columns = [
                    column[0] for column in database.execute(f"SELECT {alias}.* FROM {tables} LIMIT 0").description
                ]
                filled = ", ".join(f"{alias}.{column} IS NOT NULL" for column in columns)
                ends = f"x.id <= 500 OR x.id > (SELECT max(id) FROM {main}) - 500"
                found.append(set(database.execute(f"SELECT DISTINCT {kind}, {filled} FROM {tables} WHERE {ends}")))
        if found[0] != found[1]:
            raise RuntimeError(f"{what} of the made ledger are not as a lake writes them: {found[0] ^ found[1]}")


_COMPARED: dict[str, tuple[str, str, str]] = {
    "executions": ("t.name", "Execution x JOIN Type t ON t.id = x.type_id", "Execution"),
    "artifacts": ("t.name", "Artifact x JOIN Type t ON t.id = x.type_id", "Artifact"),
    "properties of executions": (
        "t.name || p.name",
        "ExecutionProperty p JOIN Execution x ON x.id = p.execution_id JOIN Type t ON t.id = x.type_id",
        "Execution",
    ),
    "properties of artifacts": (
        "t.name || p.name",
        "ArtifactProperty p JOIN Artifact x ON x.id = p.artifact_id JOIN Type t ON t.id = x.type_id",
        "Artifact",
    ),
    "events": (
        "t.name || e.type || s.name",
        (
            "Event e JOIN Artifact x ON x.id = e.artifact_id JOIN Type t ON t.id = x.type_id "
            "JOIN Execution y ON y.id = e.execution_id JOIN Type s ON s.id = y.type_id"
        ),
        "Artifact",
    ),
    "attributions": (
        "t.name || s.name",
        (
            "Attribution l JOIN Artifact x ON x.id = l.artifact_id JOIN Type t ON t.id = x.type_id "
            "JOIN Context c ON c.id = l.context_id JOIN Type s ON s.id = c.type_id"
        ),
        "Artifact",
    ),
}
