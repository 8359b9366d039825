r"""Any other database that SQLAlchemy has a driver for: whole tables and queries, streamed.

Its drivers give Python values, so what lands is their text: numbers as written by ``str`` (floats as short as is
exact), dates and times in ISO 8601, bytes as ``\x`` and their hexadecimal digits. What a driver rounds is lost there.
"""

# ruff: noqa: S608  # statements are put together from quoted names and literals

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as clock
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.formats.copy_format import escaped
from lakehouse.sources import Download
from lakehouse.sources.sql.extract import Extract

if TYPE_CHECKING:
    from sqlalchemy import CursorResult

__all__ = ["extract"]

_ROWS = 1000


@contextmanager
def extract(ask: Extract) -> Iterator[Download | None]:
    """Read a table or query in one transaction.

    Raises:
        ConfigError: SQLAlchemy has no driver for the URL here.
        SourceError: the database refused, or a cursor is asked for.
    """
    from sqlalchemy import create_engine, exc, text  # noqa: PLC0415  # heavy

    if ask.cursor is not None:
        raise ask.error("cursor is of PostgreSQL, MariaDB, MySQL and SQLite; read the whole, or a query with a WHERE")
    try:
        engine = create_engine(ask.url, hide_parameters=True)
    except (exc.ArgumentError, ImportError) as error:
        raise ConfigError(ask.redact(f"{ask.origin}: {error}; install its SQLAlchemy dialect and driver")) from None
    try:
        with engine.connect() as connection:
            quote = engine.dialect.identifier_preparer.quote_identifier
            # A subquery can only read, whatever was written there.
            relation = ".".join(map(quote, ask.names)) if ask.table else f"({ask.query}\n) query"
            # A statement given as it is: a colon in it is no parameter.
            statement = text(f"SELECT * FROM {relation}".replace(":", r"\:"))
            result = connection.execution_options(stream_results=True, max_row_buffer=_ROWS).execute(statement)
            facts: dict[str, Any] = {
                "database": engine.dialect.name,
                **({"table": ask.table} if ask.table else {"query": ask.redact(ask.query or "")}),
                "columns": [{"name": name, "type": "any", "nullable": True} for name in result.keys()],  # noqa: SIM118
                "snapshot_at": datetime.now(UTC).isoformat(),
            }
            yield Download(chunks=_streamed(ask, result, facts), fidelity="extract", facts=facts)
    except exc.SQLAlchemyError as error:
        raise ask.error(
            str(getattr(error, "orig", None) or error), retryable=isinstance(error, exc.OperationalError)
        ) from None
    finally:
        engine.dispose()


def _streamed(ask: Extract, result: CursorResult[Any], facts: dict[str, Any]) -> Iterator[bytes]:
    yield ask.header(list(result.keys()))
    count = 0
    for some in result.partitions(_ROWS):
        if ask.until <= time.monotonic():
            raise ask.late()
        count += len(some)
        yield b"".join(b"\t".join(escaped(_bytes(value)) for value in row) + b"\n" for row in some)
    facts["rows"] = count


def _bytes(value: Any) -> bytes | None:
    """A value as UTF-8 text."""
    match value:
        case None:
            return None
        case bytes() | bytearray() | memoryview():
            return rb"\x" + bytes(value).hex().encode()
        case datetime():
            return value.isoformat(" ").encode()
        case date() | clock():
            return value.isoformat().encode()
        case _:
            return str(value).encode()
