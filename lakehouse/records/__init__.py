"""The values that pass between modules: what was found, landed, curated and recorded.

Frozen, without behaviour beyond reading themselves. All moments are timezone-aware UTC ``datetime``.
"""

from lakehouse.records.nodes import (
    Artifact,
    ArtifactState,
    Context,
    DataType,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Proto,
    Tombstone,
    Type,
    TypeKind,
    Value,
)
from lakehouse.records.work import (
    Clock,
    Curated,
    Fidelity,
    Landed,
    Note,
    Progress,
    Ran,
    RawFile,
    Repaired,
    Report,
    Sighting,
    Tag,
    Trace,
    Version,
    printable,
    raw_id,
    silent,
    utc_now,
)

__all__ = [
    "MAKERS",
    "Artifact",
    "ArtifactState",
    "Clock",
    "Context",
    "Curated",
    "DataType",
    "Event",
    "EventType",
    "Execution",
    "ExecutionState",
    "Fidelity",
    "Landed",
    "Note",
    "Progress",
    "Proto",
    "Ran",
    "RawFile",
    "Repaired",
    "Report",
    "Sighting",
    "Tag",
    "Tombstone",
    "Trace",
    "Type",
    "TypeKind",
    "Value",
    "Version",
    "printable",
    "raw_id",
    "silent",
    "utc_now",
]

MAKERS = ("Curate", "Derive")
"""The executions that make versions of datasets: of raw files, and of other datasets."""
