"""The ledger: what ran, what it read, what it made, kept in an ML Metadata database.

The only package that imports SQLAlchemy. It stores records and finds them again; it never touches
raw files or tables, and never decides what to run.
"""

from __future__ import annotations

from lakehouse.metadata.ledger import Ledger
from lakehouse.metadata.writing import PutResult

__all__ = ["Ledger", "PutResult"]
