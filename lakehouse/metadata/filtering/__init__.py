"""Filter queries: ML Metadata's ``filter_query``, as a condition on the records of one table.

A query is read into a typed tree, and the tree becomes SQLAlchemy expressions with every value bound: no part of
a query ever becomes SQL as it is written.
"""

from __future__ import annotations

from lakehouse.metadata.filtering.building import condition

__all__ = ["condition"]
