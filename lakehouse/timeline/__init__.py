"""What the ledger says of one dataset: its versions in time, and whose rows each of them shows.

A curated row is never taken back. When its raw file is curated again, or replaced by newer bytes
under the same origin, the newer execution *supersedes* it: versions from then on leave it out,
versions before still show it.
"""

from lakehouse.timeline.asking import asked, held
from lakehouse.timeline.past import (
    Superseded,
    Timeline,
    appended,
    columns,
    counts,
    newest,
    read,
    superseded,
    versions_of,
)
from lakehouse.timeline.retaining import Overdue, overdue
from lakehouse.timeline.together import together

__all__ = [
    "Overdue",
    "Superseded",
    "Timeline",
    "appended",
    "asked",
    "columns",
    "counts",
    "held",
    "newest",
    "overdue",
    "read",
    "superseded",
    "together",
    "versions_of",
]
