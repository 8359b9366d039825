"""SQL over the lake: every table as it was at one moment, and nothing but datasets."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args

import polars as pl

from lakehouse import queries, timeline
from lakehouse.errors import ConfigError, NotFoundError, StorageError, nearest
from lakehouse.retrieval import forms
from lakehouse.retrieval.forms import Into
from lakehouse.retrieval.reading import readable, scan
from lakehouse.site import Site

__all__ = ["Engine", "sql"]

Engine: TypeAlias = Literal["polars", "duckdb"]
"""What runs a query."""

_SETTINGS = {
    "memory_limit": "1GB",  # what it may hold before it spills to its temporary folder
    "python_enable_replacements": False,  # a name in a query is no variable of this process
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""What DuckDB starts with."""

_PART = re.compile(r'"((?:[^"]|"")*)"|([^."\s]+)')
_NAME = re.compile(r'(?:"(?:[^"]|"")*"|[^."\s]+)(?:\.(?:"(?:[^"]|"")*"|[^."\s]+))*')


def sql(  # noqa: PLR0913  # one name a question
    site: Site,
    query: str,
    *,
    as_of: datetime | str | None = None,
    tag: str | None = None,
    engine: Engine = "polars",
    into: Into = "polars",
) -> Any:
    """What a query over datasets gives.

    Args:
        site: the opened lake.
        query: a SELECT; a table is named like its dataset, ``aviation.flights``, and has the columns that `scan` gives.
        as_of: every table as the lake knew it at this moment; None for now, without what a run under way has made.
        tag: every table as it was at this tag.
        engine: what runs it: polars' SQL, or DuckDB's (the extra ``duckdb``).
        into: the form of the result.

    Raises:
        ConfigError: it is no query, reads files, or does not fit the tables; or the engine or form is not installed.
        NotFoundError: it names a dataset that is not there, or was not then.
        StorageError: a part of a table is gone or damaged.
    """
    made = forms.of(into)
    if as_of is not None and tag is not None:
        raise ConfigError("give one of as_of and tag")
    tables = _Tables(site, as_of, tag)
    match engine:
        case "polars":
            return made(_by_polars(query, tables))
        case "duckdb":
            return made(_by_duckdb(query, tables))
    raise ConfigError(f"engine: '{engine}' is none.{nearest(engine, get_args(Engine))}")


class _Tables:
    """The tables that a query may name, at one moment."""

    def __init__(self, site: Site, as_of: datetime | str | None, tag: str | None) -> None:
        self.site = site
        self.as_of = as_of
        self.tag = tag

    def dataset(self, table: str) -> str:
        """The dataset that a table's name means.

        Raises:
            NotFoundError: none.
        """
        known = self.site.config.datasets
        found = queries.dataset_of(table, known)
        if found is None:
            hint = nearest(table, list(map(queries.table_of, known))) or " The configuration has no datasets."
            raise NotFoundError(f"SQL: there is no table '{table}'.{hint}")
        return found

    def frame(self, dataset: str) -> pl.LazyFrame:
        """One dataset."""
        return scan(self.site, dataset, as_of=self.as_of, tag=self.tag)

    def frames(self, names: Collection[str]) -> dict[str, pl.LazyFrame]:
        """Several datasets by what a query calls them, all of the same moment."""
        wanted = {name: self.dataset(name) for name in names}
        if self.as_of is not None or self.tag is not None or self.site.pinned is not None:
            return {name: self.frame(dataset) for name, dataset in wanted.items()}
        versions = timeline.together(self.site, wanted.values()) if wanted else {}
        return {
            name: scan(self.site, dataset, version=versions[dataset][1].version) for name, dataset in wanted.items()
        }


def _by_polars(query: str, tables: _Tables) -> pl.DataFrame:
    names = []

    def columns(name: str) -> pl.Schema:
        names.append(name)
        with readable(name):
            return tables.frame(tables.dataset(name)).collect_schema()

    queries.planned(query, columns)
    try:
        return queries.run(query, tables.frames(names)).collect(engine="streaming")
    except OSError as error:
        raise _unreadable(error) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # What is wrong with a table's bytes and what is wrong with a value are told by the same error.
        if "parquet" in str(error).lower():
            raise _unreadable(error) from error
        raise ConfigError(f"SQL: {_first_line(error)}") from None


def _by_duckdb(query: str, tables: _Tables) -> pl.DataFrame:
    duckdb = _duckdb()
    with tempfile.TemporaryDirectory(prefix="lakehouse-sql-") as folder:
        connection = duckdb.connect(config=_SETTINGS)
        try:
            _lock(connection, folder)
            for number, (name, frame) in enumerate(tables.frames(_named(duckdb, connection, query)).items()):
                file = Path(folder, f"{number}.parquet")
                with readable(name):
                    frame.sink_parquet(file, compression="zstd", compression_level=1, engine="streaming")
                _view(connection, name, file)
            found = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError(f"SQL: {_first_line(error)}") from None
        finally:
            connection.close()
    result = pl.from_arrow(found)
    assert isinstance(result, pl.DataFrame)  # noqa: S101  # a table is no series
    return result


def _duckdb() -> ModuleType:
    try:
        import duckdb  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError("engine='duckdb' needs the extra: pip install 'lakehouse[duckdb]'") from error
    return duckdb


def _lock(connection: Any, folder: str) -> None:
    """Let DuckDB read no file but those in a folder of ours, and no address; nor can any query change that again."""
    path = folder.replace("'", "''")
    for setting in (
        "TimeZone = 'UTC'",  # moments stay as they are, wherever this runs
        f"temp_directory = '{path}/spilled'",
        f"allowed_directories = ['{path}/']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _named(duckdb: ModuleType, connection: Any, query: str) -> list[str]:
    """The tables that a query names, if it is one query and changes nothing.

    Raises:
        ConfigError: it is something else.
    """
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ConfigError("SQL: must be one query: it begins with SELECT or WITH; nothing is changed by one")
    found = []
    for written in connection.get_table_names(query, qualified=True):
        name = _NAME.match(written)
        parts = _PART.findall(name[0]) if name is not None else []
        found.append(".".join(quoted.replace('""', '"') or plain for quoted, plain in parts))
    return sorted(found)


def _view(connection: Any, name: str, file: Path) -> None:
    """Let the query find a table under the name that it calls it by."""
    schema, _, table = name.rpartition(".")
    if schema:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
    called = f"{_quoted(schema)}.{_quoted(table)}" if schema else _quoted(table)
    path = str(file).replace("'", "''")
    connection.execute(f"CREATE VIEW {called} AS SELECT * FROM read_parquet('{path}')")  # noqa: S608  # both quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unreadable(error: BaseException) -> StorageError:
    return StorageError(f"SQL: a table cannot be read: {_first_line(error)}; `lakehouse check` tells what is damaged")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
