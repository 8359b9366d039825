"""Integrity: whether the lake still keeps its promises, proved by reading all of it again.

Changes nothing. Raw files and what was measured are hashed again, tables are held against their logs and the
ledger, the ledger against what its executions left in the lake; every file is accounted for, and every row that was
ever read must be found as a curated or a rejected one.
"""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.integrity.datasets import check_dataset, foreign_files
from lakehouse.integrity.kept import check_kept
from lakehouse.integrity.measured import check_measured
from lakehouse.integrity.problems import REPAIR, Problem, problem
from lakehouse.integrity.raw import check_raw
from lakehouse.integrity.recorded import check_ledger, check_receipts
from lakehouse.integrity.retained import check_retention
from lakehouse.integrity.training import check_training_sets
from lakehouse.records import Progress
from lakehouse.site import Site

__all__ = ["Problem", "check"]


def check(site: Site) -> Iterator[Problem]:
    """Verify the ledger, every raw file, every table, and that no row was lost between them.

    Yields each problem when it is found. A running land or curate may show as harmless leftovers.

    Raises:
        MetadataError: the ledger cannot be read.
    """
    try:
        yield from _everything(site)
    except (ValueError, KeyError, TypeError) as error:  # what was read is none of what the ledger writes
        yield problem("the ledger", f"a record cannot be read ({type(error).__name__}: {error})", REPAIR)


def _everything(site: Site) -> Iterator[Problem]:
    yield from check_ledger(site)
    yield from check_receipts(site)
    yield from check_raw(site)
    names = sorted(context.name for context in site.ledger.get_contexts(type="Dataset"))
    for at, name in enumerate(names):
        site.report(Progress("check", "tables", at, len(names), "datasets"))
        yield from check_dataset(site, name)
    yield from foreign_files(site, names)
    yield from check_measured(site)
    yield from check_kept(site)
    yield from check_retention(site)
    yield from check_training_sets(site)
    site.report(Progress("check", "tables", len(names), len(names), "datasets", finished=True))
