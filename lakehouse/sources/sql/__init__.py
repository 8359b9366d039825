"""Tables and queries of databases: read as text, exactly as the server writes it, in one consistent snapshot."""

from __future__ import annotations

from lakehouse.sources.sql.model import SqlSource

__all__ = ["SqlSource"]
