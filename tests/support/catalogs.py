"""What a database says of its tables, as text: a line for each table, column, constraint and index."""

from __future__ import annotations

import re
from pathlib import Path

from servers import administering
from sqlalchemy import Connection, text

OWN = "lakehouse_"
_FROZEN = Path(__file__).parent / "ml_metadata"


def frozen(backend: str) -> str:
    """The same of a database that ml_metadata 1.17.1 made: ``python catalogs.py URL`` wrote it."""
    return (_FROZEN / f"{backend}.txt").read_text("utf-8")


def described(url: str, *, own: bool = False) -> str:
    """ML Metadata's tables, or the lake's own: its tables, and its indices on ML Metadata's."""
    with administering(url) as connection:
        read = {"sqlite": _sqlite, "mysql": _mysql, "postgresql": _postgresql}[connection.dialect.name]
        found = read(connection)
    chosen = {}
    for name, lines in found.items():
        if name.lower().startswith(OWN):
            chosen |= {name: lines} if own else {}
            continue
        kept = [line for line in lines if line.startswith(f"idx_{OWN}") == own]
        if kept or not own:
            chosen[name] = kept
    return "".join(f"{name}\n" + "".join(f"    {line}\n" for line in chosen[name]) for name in sorted(chosen))


def _sqlite(connection: Connection) -> dict[str, list[str]]:
    found = {}
    for name, sql in connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all():
        if name.startswith("sqlite_"):
            continue
        lines = ["AUTOINCREMENT"] * ("AUTOINCREMENT" in sql)
        for _, column, kind, not_null, default, key, hidden in connection.execute(text(f"PRAGMA table_xinfo({name})")):
            assert not hidden
            words = [
                column,
                kind,
                "NOT NULL" * not_null,
                f"DEFAULT {default}" * bool(default),
                f"KEY {key}" * bool(key),
            ]
            lines.append(" ".join(filter(None, words)))
        indices = [_sqlite_index(connection, *row) for row in connection.execute(text(f"PRAGMA index_list({name})"))]
        found[name] = lines + sorted(indices)
    return found


def _sqlite_index(connection: Connection, _: int, name: str, unique: int, origin: str, partial: int) -> str:
    columns = ",".join(row[2] for row in connection.execute(text(f"PRAGMA index_info('{name}')")))
    if origin != "c":
        return f"{'PRIMARY KEY' if origin == 'pk' else 'UNIQUE'} ({columns})"
    assert not unique
    sql = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name})
    return f"{name} ({columns})" + (f" WHERE {sql.split('WHERE')[1].strip().replace('`', '')}" if partial else "")


def _mysql(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    columns = """
        SELECT table_name, column_name, column_type, is_nullable, column_default, extra FROM information_schema.columns
        WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position
    """
    for table, name, kind, nullable, default, extra in connection.execute(text(columns)):
        # MariaDB tells widths that mean nothing, and NULL as a default.
        spelled = re.sub(r"^(int|bigint)\(\d+\)", r"\1", kind)
        default_words = f"DEFAULT {default}" * (default not in {None, "NULL"})
        words = [name, spelled, "NOT NULL" * (nullable == "NO"), default_words, extra]
        found.setdefault(table, []).append(" ".join(filter(None, words)))
    indices = """
        SELECT table_name, index_name, non_unique,
            group_concat(concat(column_name, coalesce(concat('(', sub_part, ')'), '')) ORDER BY seq_in_index)
        FROM information_schema.statistics WHERE table_schema = DATABASE()
        GROUP BY table_name, index_name, non_unique ORDER BY table_name, index_name
    """
    for table, name, repeats, of in connection.execute(text(indices)):
        found[table].append(f"{name} ({of})" + " UNIQUE" * (not repeats))
    return found


def _postgresql(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    columns = """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
    """
    for table, name, kind, length, nullable, default in connection.execute(text(columns)):
        words = [name, kind, f"({length})" * bool(length), "NOT NULL" * (nullable == "NO"), f"DEFAULT {default}"]
        found.setdefault(table, []).append(" ".join(filter(None, words[: None if default else -1])))
    constraints = """
        SELECT relname, conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
        WHERE contype <> 'n' ORDER BY relname, conname
    """
    for table, name, definition in connection.execute(text(constraints)):
        found.get(table, []).append(f"{name} {definition}")
    indices = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY tablename, indexname"
    for table, definition in connection.execute(text(indices)):
        if "UNIQUE" not in definition:
            found[table].append(definition.removeprefix("CREATE INDEX "))
    return found


if __name__ == "__main__":
    import sys

    sys.stdout.write(described(sys.argv[1]))
