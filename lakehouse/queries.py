"""SQL over datasets: one query that reads tables and nothing else. Pure; run by polars.

A table is named as its dataset, with a dot: ``aviation.flights``, or ``"my-subject"."my-dataset"``. polars' SQL can
also open any file of the machine by a table function; such a query is refused, twice over: by its text, and, planned
over empty tables, by its plan, which may not scan anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import polars as pl

from lakehouse.errors import ConfigError

__all__ = ["dataset_of", "planned", "run", "statement", "table_of"]

_FILES = re.compile(
    r"(read|scan)_(csv|tsv|ipc|feather|arrow|json|jsonl|ndjson|lines|parquet|avro|delta|iceberg|excel|text|blob|database)"
    # A column may be called `read_count`; but what is called like a function is one, whatever it is.
    r"|(read|scan)_\w+[\"`\]]?(\s|/\*.*?\*/|--[^\n]*\n)*\(",
    re.IGNORECASE | re.DOTALL,
)
_QUERY = re.compile(r"(\s|\(|/\*.*?\*/|--[^\n]*(\n|$))*(select|with|values|from)\b", re.IGNORECASE | re.DOTALL)
_SCANS = re.compile(r"\bSCAN\b")
_UNKNOWN = re.compile(r"relation '(?P<name>.*)' was not found", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST = 200  # tables in one query

_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars says of a query; a panic is no Exception."""


def table_of(dataset: str) -> str:
    """A dataset's name as a query writes it: ``aviation.flights``, in quotes where SQL wants them."""
    return ".".join(part if _PLAIN.fullmatch(part) else f'"{part}"' for part in dataset.split("/"))


def dataset_of(table: str, known: Collection[str]) -> str | None:
    """The dataset that a query means by a table's name, without quotes; None where there is none."""
    name = table.replace(".", "/", 1)
    if name in known:
        return name
    # SQL does not tell capitals from small letters, and datasets' names do not differ by them alone.
    return next((one for one in known if one.lower() == name.lower()), None)


def statement(sql: str) -> str:
    """The query, if it may be run at all.

    Raises:
        ConfigError: it is none, or reads files.
    """
    if not _QUERY.match(sql):
        raise ConfigError("SQL: must be one query: it begins with SELECT or WITH; nothing is changed by one")
    if found := _FILES.search(sql):
        name = re.split(r"\W", found.group(), maxsplit=1)[0]
        raise ConfigError(f"SQL: {name} reads files, and a query reads datasets alone: FROM aviation.flights")
    return sql.rstrip().removesuffix(";")


def planned(sql: str, table: Callable[[str], pl.Schema]) -> pl.Schema:
    """What a query gives: it is planned over tables without rows, and not run.

    Args:
        sql: the query.
        table: asked for the columns of each table that the query names, by the name that it calls it by.

    Returns:
        The result's columns.

    Raises:
        ConfigError: it is no query, or reads files, or does not fit the tables' columns.
    """
    text = statement(sql)
    empty: dict[str, pl.LazyFrame] = {}
    while True:
        try:
            made = pl.SQLContext(empty).execute(text)
            plan, columns = made.explain(optimized=False), made.collect_schema()
        except (*_ERRORS, OSError) as error:
            unknown = _UNKNOWN.fullmatch(_first_line(error))
            if unknown is None or unknown["name"] in empty or len(empty) >= _MOST:
                raise ConfigError(f"SQL: {_first_line(error)}") from None
            empty[unknown["name"]] = pl.LazyFrame(schema=table(unknown["name"]))
            continue
        if _SCANS.search(plan):
            raise ConfigError("SQL: it reads files, and a query reads datasets alone: FROM aviation.flights")
        return columns


def run(sql: str, tables: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
    """A query over tables, lazily.

    Args:
        sql: the query, which was `planned` before.
        tables: by the names that it calls them by.

    Raises:
        ConfigError: it does not fit the tables' columns.
    """
    try:
        return pl.SQLContext(tables).execute(statement(sql))
    except _ERRORS as error:
        raise ConfigError(f"SQL: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
