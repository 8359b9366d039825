"""Versions of data, like code: tags, differences, locks, exports and imports."""

from lakehouse.versions.comparing import Kind
from lakehouse.versions.differing import DatasetDifference, Difference, Drift, diff
from lakehouse.versions.exporting import Export, export
from lakehouse.versions.importing import Import, import_
from lakehouse.versions.pinning import Lock, Pin, pin, pinned
from lakehouse.versions.sides import Point
from lakehouse.versions.tagging import tag

__all__ = [
    "DatasetDifference",
    "Difference",
    "Drift",
    "Export",
    "Import",
    "Kind",
    "Lock",
    "Pin",
    "Point",
    "diff",
    "export",
    "import_",
    "pin",
    "pinned",
    "tag",
]
