"""PostgreSQL by ADBC: typed Parquet, for tables whose types Arrow has; made in the snapshot of a session of ours.

The driver has no way to give up waiting, so it reads in a thread of its own, which the extract leaves when it is late.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.sources import Download
from lakehouse.sources.sql.extract import Extract
from lakehouse.sources.sql.postgresql import Plan, address, connect, plan

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["extract"]

_GROUP = 32 << 20
"""Bytes of Arrow that become one row group."""

_KEPT = (
    *("smallint", "integer", "bigint", "real", "double precision", "boolean", "text", "bytea", "date"),
    *("timestamp without time zone", "timestamp with time zone"),
)
_EARLIEST = {"date32[day]": -3_000_000, "timestamp[us]": -300_000_000_000_000_000}
"""Before the first day of PostgreSQL's calendar: infinity, for which Arrow has no value, comes out as less."""


@contextmanager
def extract(ask: Extract) -> Iterator[Download | None]:
    """Read a table or query as record batches, and write them as Parquet."""
    try:
        import adbc_driver_postgresql.dbapi  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError("via: adbc needs its driver: pip install 'lakehouse[adbc,postgresql]'") from error

    with connect(ask) as session:
        found = plan(ask, session)
        if found is None:
            yield None
            return
        ask.header(found.names)
        [[snapshot]] = session.query("SELECT pg_catalog.pg_export_snapshot()")
        settled = (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET TRANSACTION SNAPSHOT {session.literal(snapshot or '')}",
            f"SET LOCAL statement_timeout = {ask.until_ms()}",
            "SET LOCAL TimeZone = 'UTC'",
        )

        typed = ", ".join(
            _typed(session.identifier(name), kind) for name, kind in zip(found.names, found.types, strict=True)
        )

        def batches() -> Iterator[pa.RecordBatch]:
            with (
                adbc_driver_postgresql.dbapi.connect(address(ask.url)) as connection,
                connection.cursor() as cursor,
            ):
                for statement in settled:
                    cursor.execute(statement)
                cursor.execute(f"SELECT {typed} FROM ({found.select}) AS extract")  # noqa: S608  # names are quoted
                reader = cursor.fetch_record_batch()
                yield reader.schema
                yield from reader

        done = Download(modified=found.mark, fidelity="extract", facts=found.facts)
        done.chunks = _parquet(ask, found, _Reading(ask, batches))
        yield done


class _Reading:
    """Items made by a thread, at most a few ahead; each must come in time."""

    def __init__(self, ask: Extract, items: Callable[[], Iterator[Any]]) -> None:
        self._ask = ask
        self._items = items
        self._made: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=2)
        self._left = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        threading.Thread(target=self._make, daemon=True, name="adbc").start()
        try:
            while True:
                try:
                    kind, item = self._made.get(timeout=self._ask.patience())
                except queue.Empty:
                    raise self._ask.late() from None
                if kind == "end":
                    return
                if kind == "error":
                    raise self._ask.error(f"the driver says: {' '.join(str(item).split())}", retryable=_passing(item))
                yield item
        finally:
            self._left.set()

    def _make(self) -> None:
        try:
            for item in self._items():
                if not self._put("item", item):
                    return
            self._put("end", None)
        except Exception as error:  # noqa: BLE001  # raised again by who waits for it
            self._put("error", error)

    def _put(self, kind: str, item: Any) -> bool:
        while not self._left.is_set():
            try:
                self._made.put((kind, item), timeout=1)
            except queue.Full:
                continue
            return True
        return False


def _passing(error: Exception) -> bool:
    """Whether the connection failed rather than the question: the server gave no code of its own."""
    return not getattr(error, "sqlstate", None)


def _typed(name: str, kind: str) -> str:
    """A column as it is asked for: by its type where Arrow has one that holds every value, or else as text."""
    return name if kind in _KEPT else f"{name}::text AS {name}"


def _finite(ask: Extract, batch: pa.RecordBatch) -> None:
    """Refuse a date or time that is infinite; the driver makes another one of it without a word."""
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.compute as pc  # noqa: PLC0415  # heavy

    for field, column in zip(batch.schema, batch.columns, strict=True):
        earliest = _EARLIEST.get(str(field.type).partition(", tz")[0].removesuffix("]") + "]")
        if earliest is not None:
            numbers = column.view(pa.int32() if pa.types.is_date32(field.type) else pa.int64())
            least = pc.min(numbers).as_py()
            if least is not None and least < earliest:
                raise ask.error(f"'{field.name}' holds infinity, which Parquet has no value for; leave out via: adbc")


def _parquet(ask: Extract, found: Plan, reading: _Reading) -> Iterator[bytes]:
    """Record batches as the bytes of a Parquet file; the first item is their schema."""
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

    items = iter(reading)
    schema = pa.schema([pa.field(one.name, one.type) for one in next(items)])
    made, rows, size = io.BytesIO(), 0, 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(pa.PythonFile(made, "w"), schema, compression="zstd", compression_level=1) as writer:
        for batch in items:
            rows += batch.num_rows
            size += batch.nbytes
            _finite(ask, batch)
            waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
            if size >= _GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting, size = [], 0
                yield made.getvalue()
                made.seek(0)
                made.truncate()
        writer.write_table(pa.Table.from_batches(waiting, schema))
    yield made.getvalue()
    found.facts["rows"] = rows
