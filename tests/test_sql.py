"""SQL over the lake: every table at one moment, and nothing but datasets."""

import json
import os

import polars as pl
import pytest
from click.testing import CliRunner

from lakehouse import queries
from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError

DASHED = """
    source: flights
    schema: {features: {carrier: {type: string}, dep_delay: {type: int, presence: optional}}}
"""
ENGINES = pytest.mark.parametrize("engine", ["polars", "duckdb"])


@pytest.fixture(scope="module")
def flights(tmp_path_factory, new_project):
    """Two days of flights, in two versions; and the same in a dataset whose name needs quotes."""
    project = new_project(tmp_path_factory.mktemp("sql") / "project")
    project.configure("datasets/air-line/all-flights", DASHED)
    project.configure("datasets/air-line/unborn", DASHED)
    project.configure("jobs/nightly", "datasets: [aviation/flights, air-line/all-flights]")
    for name, content in (("a.csv", project.morning), ("b.csv", project.noon)):
        project.deliver(name, content)
        assert project.run().ok
    return project


def sql(project, query, **options):
    with project.lake() as lake:
        return lake.sql(query, **options)


def command(project, *arguments):
    return CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), "sql", *arguments])


@ENGINES
def test_a_query_joins_datasets_by_their_names(flights, engine):
    query = """
        WITH late AS (SELECT carrier, dep_delay FROM "air-line"."all-flights" WHERE dep_delay IS NOT NULL)
        SELECT f.carrier, l.dep_delay FROM aviation.flights AS f JOIN late AS l ON f.carrier = l.carrier
        ORDER BY f.carrier;
    """
    found = sql(flights, query, engine=engine)
    assert found.rows() == [("AA", -1), ("DL", -6), ("UA", 2)]


@ENGINES
def test_every_table_is_as_of_the_moment_that_is_asked_for(flights, engine):
    with flights.lake() as lake:
        first = lake.history("aviation/flights")[1].committed_at  # of a run that was under way still
        lake.tag("both")
    query = 'SELECT (SELECT COUNT(*) FROM aviation.flights) AS a, (SELECT COUNT(*) FROM "air-line"."all-flights") AS b'
    assert sql(flights, query, engine=engine).row(0) == (4, 4)
    assert sql(flights, query, engine=engine, as_of=first).row(0) == (2, 2)
    assert sql(flights, query, engine=engine, tag="both").row(0) == (4, 4)
    with pytest.raises(ConfigError, match="one of as_of and tag"):
        sql(flights, query, as_of=first, tag="both")
    with pytest.raises(NotFoundError, match="did not exist"):
        sql(flights, query, engine=engine, as_of="2020-01-01T00:00:00Z")


@ENGINES
def test_a_table_has_the_columns_that_read_gives_and_moments_stay_utc(flights, engine, monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    with flights.lake() as lake:
        read = lake.read("aviation/flights").sort("time_hour")
        found = lake.sql("SELECT * FROM aviation.flights ORDER BY time_hour", engine=engine)
    assert found.columns == read.columns
    assert found["time_hour"].dtype == pl.Datetime("us", "UTC")
    assert found["time_hour"].to_list() == read["time_hour"].to_list()


@ENGINES
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM READ_CSV ('{file}')",
        "SELECT * FROM \"read_csv\"('{file}')",
        "SELECT * FROM read_csv/* a comment */('{file}')",
        "SELECT * FROM read_csv -- a comment\n ('{file}')",
        "WITH x AS (SELECT * FROM read_parquet('{file}')) SELECT * FROM x",
        "SELECT (SELECT COUNT(*) FROM read_csv('{file}')) AS n FROM aviation.flights",
        "SELECT carrier FROM aviation.flights WHERE carrier IN (SELECT a FROM read_json('{file}'))",
        "SELECT carrier FROM aviation.flights UNION ALL SELECT a FROM read_csv('{file}')",
        "SELECT * FROM aviation.flights, read_ndjson('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_ipc('{file}')",
        "SELECT * FROM '{file}'",
        'SELECT * FROM "{file}"',
        "COPY (SELECT 1) TO '{file}.out'",
        "CREATE TABLE x AS SELECT 1",
        "DROP TABLE aviation.flights",
        "ATTACH '{file}.db'",
        "SET enable_external_access = true",
        "SELECT 1 AS a; SELECT * FROM read_csv('{file}')",
        "SELECT * FROM query('SELECT * FROM read_csv(''{file}'')')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM project",
        "",
    ],
)
def test_a_query_reads_no_file_and_changes_nothing(flights, engine, query, tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("a,b\nhunter2,1\n")
    with pytest.raises((ConfigError, NotFoundError)) as refused:
        sql(flights, query.format(file=file, folder=tmp_path), engine=engine)
    assert "hunter2" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


def test_polars_has_no_table_function_that_the_guard_does_not_know():
    """A query over nothing tells by its error whether polars knows a function; none that it knows gets that far."""
    names = (
        "csv",
        "parquet",
        "ipc",
        "json",
        "ndjson",
        "avro",
        "delta",
        "excel",
        "database",
        "iceberg",
        "text",
        "lines",
    )
    for name in (f"{verb}_{kind}" for verb in ("read", "scan") for kind in names):
        try:
            pl.SQLContext().execute(f"SELECT * FROM {name}('/nowhere')").collect()
        except pl.exceptions.SQLInterfaceError:
            pass  # polars does not know it
        except (pl.exceptions.PolarsError, OSError):
            with pytest.raises(ConfigError, match="reads files"):
                queries.statement(f"SELECT * FROM {name}('/nowhere')")


def test_a_name_that_only_looks_like_a_function_is_a_name():
    columns = pl.Schema({"read_count": pl.Int64, "scan_id": pl.Int64})
    made = queries.planned("SELECT read_count, COUNT(scan_id) AS n FROM a.b GROUP BY read_count", lambda _: columns)
    assert made.names() == ["read_count", "n"]


@ENGINES
def test_what_a_query_gets_wrong_is_told_with_what_there_is(flights, engine):
    with pytest.raises(NotFoundError, match=r"no table 'aviation\.fligts'\. Did you mean 'aviation\.flights'"):
        sql(flights, "SELECT * FROM aviation.fligts", engine=engine)
    with pytest.raises(ConfigError, match=r"SQL: .*delay"):
        sql(flights, "SELECT delay FROM aviation.flights", engine=engine)
    with pytest.raises(ConfigError, match="SQL: "):
        sql(flights, "SELECT carrier FROM aviation.flights WHERE", engine=engine)
    with pytest.raises(ConfigError, match="SQL: "):
        sql(flights, "SELECT CAST(carrier AS INT) AS n FROM aviation.flights", engine=engine)
    with pytest.raises(ConfigError, match=r"engine: 'duck' is none. Did you mean 'duckdb'"):
        sql(flights, "SELECT 1 AS n", engine="duck")


@ENGINES
def test_only_the_tables_that_a_query_names_are_opened(flights, engine):
    named = 'SELECT \'"air-line".unborn\' AS a, COUNT(*) AS n FROM aviation.flights -- not "air-line".unborn'
    assert sql(flights, named, engine=engine).row(0) == ('"air-line".unborn', 4)
    with pytest.raises(NotFoundError, match="'air-line/unborn' has no version yet"):
        sql(flights, 'SELECT * FROM "air-line".unborn', engine=engine)


def test_a_result_comes_in_any_form(flights):
    query = "SELECT carrier, dep_delay FROM aviation.flights ORDER BY carrier"
    assert sql(flights, query, into="arrow").column_names == ["carrier", "dep_delay"]
    assert sql(flights, query, into="pandas")["carrier"].to_list() == ["AA", "B6", "DL", "UA"]


def test_the_command_prints_a_table_or_writes_a_file(flights, tmp_path):
    query = "SELECT carrier, _row FROM aviation.flights WHERE dep_delay > 0"
    assert command(flights, query).output.split() == ["carrier", "_row", "UA", "1"]
    assert json.loads(command(flights, query, "--format", "json").output) == [{"carrier": "UA", "_row": 1}]
    assert command(flights, query, "--engine", "duckdb", "--format", "csv").output == "carrier,_row\nUA,1\n"
    assert command(flights, query, "--output", str(tmp_path / "f.parquet")).exit_code == 0
    assert pl.read_parquet(tmp_path / "f.parquet").rows() == [("UA", 1)]
    refused = command(flights, "SELECT * FROM read_csv('x')")
    assert refused.exit_code != 0
