"""What of a dataset is past its retention: told wherever it is looked at, and never acted on by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lakehouse.config import Dataset
from lakehouse.errors import NotFoundError
from lakehouse.metadata.reading import milliseconds
from lakehouse.records import ExecutionState
from lakehouse.site import Site
from lakehouse.timeline.past import read
from lakehouse.units import written

__all__ = ["Overdue", "overdue"]


@dataclass(frozen=True, slots=True)
class Overdue:
    """How much a dataset holds that is older than its retention. ``str()`` tells it in a sentence.

    Attributes:
        retention: as it is written: ``3y``.
        before: what was recorded or landed before this moment is past it.
        rows: how many rows counted at that moment; they lie in the table still.
        files: raw files of its sources that were landed until then.
    """

    retention: str
    before: datetime
    rows: int
    files: int

    def __str__(self) -> str:
        return (
            f"past the retention of {self.retention}: {self.rows:,} rows recorded and {self.files:,} raw files landed "
            f"before {self.before:%Y-%m-%d}; nothing is deleted by it"
        )


def overdue(site: Site, dataset: Dataset) -> Overdue | None:
    """What of a dataset is past its retention now; None where it has none, or nothing is."""
    if dataset.retention is None:
        return None
    try:
        before = site.clock() - dataset.retention
    except OverflowError:
        return None
    past = read(site.ledger, dataset.name)
    try:
        rows = past.at(as_of=before).total if past.last is not None else 0
    except NotFoundError:  # it began later
        rows = 0
    files = 0
    for source in dataset.source_names:
        landings = site.ledger.get_executions(
            type="Land",
            context=("Source", source),
            state=ExecutionState.COMPLETE,
            only=["new"],
            filter_query=f"create_time_since_epoch < {milliseconds(before)}",
        )
        files += sum(int(str(landing.properties.get("new", 0))) for landing in landings)
    return Overdue(written(dataset.retention), before, rows, files) if rows or files else None
