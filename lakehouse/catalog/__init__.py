"""What is in a lake: everything at a glance, one thing in full, and where a word is met."""

from __future__ import annotations

from lakehouse.catalog.entries import (
    DatasetEntry,
    Detail,
    Failure,
    FeatureEntry,
    FeatureSetEntry,
    Freshness,
    JobEntry,
    Listing,
    SourceEntry,
    Use,
)
from lakehouse.catalog.listing import listing
from lakehouse.catalog.searching import FOUND, Hit, search
from lakehouse.catalog.showing import SHOWN, show

__all__ = [
    "FOUND",
    "SHOWN",
    "DatasetEntry",
    "Detail",
    "Failure",
    "FeatureEntry",
    "FeatureSetEntry",
    "Freshness",
    "Hit",
    "JobEntry",
    "Listing",
    "SourceEntry",
    "Use",
    "listing",
    "search",
    "show",
]
