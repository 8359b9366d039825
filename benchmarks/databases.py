"""Tables of databases landed and curated, beside the barest program that does it and beside other tools."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cases import PROGRAMS, Row, Setting, scaled, script
from lakes import Bench
from measuring import Cost, Ratio, Run, ratio, turns
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

__all__ = ["CASES"]

_ROWS, _QUICK = 5_000_000, 500_000
_PEAK = 150e6  # bytes that landing may take, at most
_DATABASE = f"lakehouse_bench_{os.getpid()}"
_SERVERS = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432",
    "mysql": "mysql+pymysql://root@127.0.0.1:3306",
}
_TABLES = {
    "postgresql": """
CREATE TABLE orders AS
SELECT i AS id, mod(i * 7919, 100003)::integer AS customer, (mod(i * 37, 1000000) / 100.0)::numeric(12, 2) AS amount,
       sqrt(i::double precision) AS rate, md5(i::text) AS code, 'item ' || mod(i, 1000) AS item,
       CASE WHEN mod(i, 10) > 0 THEN 'a note on order ' || i END AS note,
       timestamptz '2024-01-01 00:00:00+00' + i * interval '1.5 seconds' AS placed_at,
       date '2020-01-01' + mod(i, 2000)::integer AS due, mod(i, 2) = 0 AS paid
FROM generate_series(1::bigint, {rows}) AS i
""",
    "mysql": """
CREATE TABLE orders AS
SELECT CAST(seq AS SIGNED) AS id, CAST(MOD(seq * 7919, 100003) AS INTEGER) AS customer,
       CAST(MOD(seq * 37, 1000000) / 100 AS DECIMAL(12, 2)) AS amount,
       SQRT(seq) AS rate, MD5(seq) AS code, CONCAT('item ', MOD(seq, 1000)) AS item,
       IF(MOD(seq, 10) > 0, CONCAT('a note on order ', seq), NULL) AS note,
       TIMESTAMPADD(MICROSECOND, seq * 1500000, TIMESTAMP '2024-01-01 00:00:00') AS placed_at,
       DATE '2020-01-01' + INTERVAL MOD(seq, 2000) DAY AS due, MOD(seq, 2) = 0 AS paid
FROM seq_1_to_{rows}
""",
}
_PEERS = {"adbc": "ADBC", "connectorx": "connectorx", "dlt": "dlt's sql_database"}
_MODULES = {"adbc": "adbc_driver_postgresql", "connectorx": "connectorx", "dlt": "dlt.sources.sql_database"}


def postgresql(setting: Setting) -> Iterator[Row]:
    """A table of PostgreSQL: landed, and curated from there."""
    with _table("postgresql", setting) as url:
        if url is None:
            return
        bench, bare = Bench(setting.work / "orders", "orders", url, "orders"), setting.work / "orders" / "bare"
        runs = [_ours(bench, "land", bench.empty), _told(script("table_copy.py", url, "orders", bare, clear=bare))]
        ours, copy = turns(runs, setting.count, setting.log)
    what = f"{_rows(setting) / 1e6:g} M rows of PostgreSQL"
    yield Row(f"land {what} / psycopg's COPY: CPU", "s", ratio(ours, copy, "cpu"), 1.3)
    yield Row(f"land {what} / psycopg's COPY: peak memory", "GB", scaled(ratio(ours, copy, "peak")))
    yield Row(f"land {what}: peak memory / {_PEAK / 1e6:g} MB", "MB", _limited(ours), 1.0)
    extract = _same(bench, bare)
    bench.keep()
    sunk = setting.work / "orders" / "sunk"
    runs = [_ours(bench, "curate", bench.back), _told(script("table_sink.py", extract, sunk, clear=sunk))]
    ours, sink = turns(runs, setting.count, setting.log)
    yield Row(f"curate {what} / polars alone: CPU", "s", ratio(ours, sink, "cpu"), 1.5)
    yield Row(f"curate {what} / polars alone: peak memory", "GB", scaled(ratio(ours, sink, "peak")))


def peers(setting: Setting) -> Iterator[Row]:
    """A table of PostgreSQL landed, beside tools that read the same table to Parquet."""
    with _table("postgresql", setting) as url:
        if url is None:
            return
        bench, out = Bench(setting.work / "peers", "orders", url, "orders"), setting.work / "peers" / "out"
        python = setting.inputs.peers()
        for name, told in _PEERS.items():
            asked = [str(python), "-c", f"import {_MODULES[name]}"]
            if subprocess.run(asked, check=False, capture_output=True).returncode != 0:
                print(f"{told} is not there, passed over: {python} cannot import {_MODULES[name]}", file=sys.stderr)
                continue
            peer = _told(script("table_peer.py", name, url, "orders", out, clear=out, python=python))
            runs = [_ours(bench, "land", bench.empty), peer]
            ours, theirs = turns(runs, min(setting.count, 3), setting.log)
            what = f"land {_rows(setting) / 1e6:g} M rows of PostgreSQL / {told}"
            yield Row(f"{what}: CPU", "s", ratio(ours, theirs, "cpu"))
            yield Row(f"{what}: peak memory", "GB", scaled(ratio(ours, theirs, "peak")))


def mariadb(setting: Setting) -> Iterator[Row]:
    """A table of MariaDB landed, beside pymysql's streaming cursor."""
    with _table("mysql", setting) as url:
        if url is None:
            return
        bench, bare = Bench(setting.work / "mariadb", "orders", url, "orders"), setting.work / "mariadb" / "bare"
        runs = [_ours(bench, "land", bench.empty), _told(script("table_rows.py", url, "orders", bare, clear=bare))]
        ours, rows = turns(runs, setting.count, setting.log)
    _same(bench, bare)
    what = f"land {_rows(setting) / 1e6:g} M rows of MariaDB / pymysql, hashed"
    yield Row(f"{what}: CPU", "s", ratio(ours, rows, "cpu"))
    yield Row(f"{what}: peak memory", "GB", scaled(ratio(ours, rows, "peak")))


def _rows(setting: Setting) -> int:
    return _QUICK if setting.quick else _ROWS


@contextmanager
def _table(kind: str, setting: Setting) -> Iterator[str | None]:
    """The URL of a database of its own with the table `orders`; None where no server answers."""
    address = make_url(os.environ.get(f"LAKEHOUSE_TEST_{kind.upper()}", _SERVERS[kind]))
    usual = "postgres" if kind == "postgresql" else None
    try:
        server = _connected(address.set(database=address.database or usual))
    except (DBAPIError, ImportError) as error:
        print(f"no {kind} answers, passed over ({error}): set LAKEHOUSE_TEST_{kind.upper()}", file=sys.stderr)
        yield None
        return
    with server:
        server.execute(text(f"CREATE DATABASE {_DATABASE}"))
        try:
            inside = address.set(database=_DATABASE)
            with _connected(inside) as connection:
                # Not as text(): there a colon begins a parameter.
                connection.exec_driver_sql(_TABLES[kind].format(rows=_rows(setting)))
                if kind == "postgresql":  # so that no program is the first to read what was written
                    connection.exec_driver_sql("VACUUM ANALYZE orders")
            yield inside.set(drivername=kind).render_as_string(hide_password=False)
        finally:
            server.execute(text(f"DROP DATABASE {_DATABASE}" + " WITH (FORCE)" * (kind == "postgresql")))


def _connected(url: URL) -> Connection:
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect()


def _ours(bench: Bench, verb: str, before: Callable[[], None]) -> Run:
    made = script("lake.py", verb, bench.configs, bench.name, bench.dataset)
    return _told(Run(made.argv, before, made.env))


def _told(run: Run) -> Run:
    """A program that tells its own peak: what the system tells holds that of this process."""
    python, *rest = run.argv
    return Run([python, str(PROGRAMS / "peak.py"), *rest], run.before, run.env)


def _limited(costs: Sequence[Cost]) -> Ratio:
    parts = [cost.peak / _PEAK for cost in costs]
    median = statistics.median(parts)
    return Ratio(median * _PEAK / 1e6, _PEAK / 1e6, median, min(parts), max(parts))


def _same(bench: Bench, bare: Path) -> Path:
    """See that lake and bare program left the same bytes.

    Raises:
        RuntimeError: they did not.
    """
    (file,) = bare.iterdir()
    (landed,) = (bench.folder / "data" / "raw").rglob("*.copy")
    with landed.open("rb") as raw:
        if hashlib.file_digest(raw, "sha256").hexdigest() != file.name:
            raise RuntimeError(f"{landed} and {file} do not hold the same")
    return file


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "postgresql": postgresql,
    "postgresql-peers": peers,
    "mariadb": mariadb,
}
