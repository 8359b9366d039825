"""Asks ML Metadata's own client the queries in `filter_queries.json` again, and compares with the answers kept there.

    .venv-mlmd/bin/python tests/mlmd/filters.py

Needs ML Metadata 1.17.1, the last release with ``filter_query``.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb
from sqlalchemy import delete, insert

logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of every query that is refused
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from lakehouse.metadata import tables  # noqa: E402
from lakehouse.metadata.database import Database  # noqa: E402


def fill(path: Path, rows: dict[str, list[dict[str, object]]]) -> None:
    """Make a ledger with these rows of ML Metadata's tables."""
    database = Database(f"sqlite:///{path}")
    by_name = {table.name: table for table in tables.THEIRS}
    with database.writing() as connection:
        connection.execute(delete(tables.type_))
        for name, values in rows.items():
            for row in values:
                connection.execute(insert(by_name[name]), row)
    database.close()


def ask(store: ml_metadata.MetadataStore, kind: str, query: str) -> list[int] | str:
    """The ids that the client finds, or the class of its error."""
    find = {"artifact": store.get_artifacts, "execution": store.get_executions, "context": store.get_contexts}[kind]
    try:
        return sorted(one.id for one in find(ml_metadata.ListOptions(filter_query=query)))
    except ml_metadata.errors.StatusError as error:
        return type(error).__name__


def main() -> None:
    """Ask, compare, tell."""
    measured = json.loads((ROOT / "tests/support/filter_queries.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metadata.db"
        fill(path, measured["rows"])
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        store = ml_metadata.MetadataStore(config)
        wrong = [
            f"{one['query']!r}: {answer}, kept is {one['theirs']}"
            for one in measured["queries"]
            if (answer := ask(store, one["of"], one["query"])) != one["theirs"]
        ]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(measured['queries'])} queries are answered as kept.")  # noqa: T201  # the outcome


if __name__ == "__main__":
    main()
