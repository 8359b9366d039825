"""Delta tables that only grow: parts are sealed on disk first, then made visible by one commit.

The only module that knows deltalake. A table's folder holds sealed parts, named
``<execution>-<number>-<sha256>.parquet`` (in folders ``column=value`` where it is partitioned), and
the log; every commit is guarded by an application transaction, so that a commit tried twice, or by
two processes, happens once. A commit may also put fewer parts in the place of many, with the same rows.
"""

from __future__ import annotations

from lakehouse.tables.appending import Commit, append, misfits, schema_of
from lakehouse.tables.auditing import (
    Fault,
    Made,
    commits,
    faults,
    foreign,
    highest_execution,
    is_table,
    orphans,
    since,
    strays,
)
from lakehouse.tables.compacting import KIND, Held, bins, replace, rewrite
from lakehouse.tables.hashing import digests, row_hash
from lakehouse.tables.opening import Layout, layout, parts_until, scan, sequence, until, version
from lakehouse.tables.parts import Part, seal

__all__ = [
    "KIND",
    "Commit",
    "Fault",
    "Held",
    "Layout",
    "Made",
    "Part",
    "append",
    "bins",
    "commits",
    "digests",
    "faults",
    "foreign",
    "highest_execution",
    "is_table",
    "layout",
    "misfits",
    "orphans",
    "parts_until",
    "replace",
    "rewrite",
    "row_hash",
    "scan",
    "schema_of",
    "seal",
    "sequence",
    "since",
    "strays",
    "until",
    "version",
]
