"""The tables are plain Delta and Parquet: other tools open them without the lake, and skip what they need not read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError

DAYS = 5
HOURS = 4


@pytest.fixture
def tables(project):
    """A lake of five days, a file and a run each, a bad row in every file; where its tables lie."""
    for day in range(1, DAYS + 1):
        rows = [f"2013-01-{day:02}T{hour:02}:00:00Z,AA,{day * 100 + hour},JFK,{hour}\n" for hour in (3, 1, 0, 2)]
        project.deliver(f"day{day}.csv", project.header + "".join(rows) + f"2013-01-{day:02}T23:00:00Z,AA,x,JFK,0\n")
        assert project.run().curated[0].rejected == 1
    return project.folder / "data"


def curated(tables):
    return DeltaTable(tables / "curated/aviation/flights")


def test_deltalake_alone_finds_the_rows_and_where_each_came_from(tables, project):
    table = curated(tables)

    found = pl.DataFrame(QueryBuilder().register("flights", table).execute("select * from flights").read_all())

    assert found.height == DAYS * HOURS
    mine = project.read()
    assert found.sort("time_hour").select(mine.columns).equals(mine)
    for row in found.iter_rows(named=True):
        [raw] = (tables / "raw/flights" / row["_raw"][:2] / row["_raw"]).glob("*.csv")
        assert f",{row['flight']},JFK," in raw.read_text().splitlines()[row["_row"]]


def test_duckdb_alone_finds_the_rows_of_every_version(tables):
    for version in range(DAYS):
        files = DeltaTable(tables / "curated/aviation/flights", version=version).file_uris()
        found = duckdb.sql(f"select count(*), min(flight) from read_parquet({files})").fetchall()
        assert found == [((version + 1) * HOURS, 100)]


def test_the_quarantine_is_a_delta_table_too(tables):
    files = DeltaTable(tables / "quarantine/aviation/flights").file_uris()

    rows = duckdb.sql(f"select reasons, fields, _row from read_parquet({files})").fetchall()

    assert len(rows) == DAYS
    assert {(tuple(reasons), json.loads(fields)["flight"], number) for reasons, fields, number in rows} == {
        (("flight: not an int",), "x", HOURS + 1)
    }


def test_the_table_only_grows_and_delta_itself_refuses_the_rest(tables):
    table = curated(tables)

    properties = table.metadata().configuration
    assert properties["delta.appendOnly"] == "true"
    assert properties["delta.enableExpiredLogCleanup"] == "false"
    with pytest.raises(DeltaError, match="append-only"):
        table.delete()
    for number in range(table.version() + 1):
        assert "remove" not in (tables / f"curated/aviation/flights/_delta_log/{number:020}.json").read_text()


def test_every_commit_says_what_made_it_and_every_row_says_the_same(tables, project):
    table = curated(tables)

    with project.lake() as lake:
        versions = {version.version: version for version in lake.history(project.flights)}
    for entry in table.history():
        version = entry["version"]
        rows = pl.DataFrame(
            QueryBuilder()
            .register("t", DeltaTable(tables / "curated/aviation/flights", version=version))
            .execute(f"select * from t where _execution = {entry['lakehouse.execution']}")
            .read_all()
        )
        assert entry["lakehouse.dataset"] == project.flights
        assert int(entry["lakehouse.execution"]) == versions[version].execution
        assert json.loads(entry["lakehouse.raw"]) == rows["_raw"].unique().to_list()
        assert rows.height == versions[version].rows == HOURS
        assert rows["_recorded_at"].n_unique() == 1
        assert rows["_recorded_at"][0] < versions[version].committed_at


def test_bounds_in_the_log_are_those_of_the_rows_so_that_a_filter_on_event_time_skips_files(tables):
    actions = pl.DataFrame(curated(tables).get_add_actions(flatten=True)).sort("min.time_hour")

    for day, action in enumerate(actions.iter_rows(named=True), start=1):
        first = datetime(2013, 1, day, tzinfo=UTC)
        assert action["num_records"] == HOURS
        assert (action["min.time_hour"], action["max.time_hour"]) == (first, first + timedelta(hours=HOURS - 1))
        assert (action["min.flight"], action["max.flight"]) == (day * 100, day * 100 + HOURS - 1)
        assert action["null_count.dep_delay"] == 0


def test_a_read_of_one_day_opens_that_days_file_only(tables, project):
    others = [uri for uri in curated(tables).file_uris() if day_of(uri) != 3]
    assert len(others) == DAYS - 1
    for path in others:
        Path(path).unlink()  # whoever opens it fails

    with project.lake() as lake:
        lazy = lake.scan(project.flights)
        day = pl.col("time_hour").is_between(datetime(2013, 1, 3, tzinfo=UTC), datetime(2013, 1, 3, 23, tzinfo=UTC))
        assert lazy.filter(day).collect().height == HOURS
        with pytest.raises(FileNotFoundError):
            lazy.collect()


def day_of(uri):
    group = pq.read_metadata(uri).row_group(0)
    return next(
        group.column(i).statistics.min.day
        for i in range(group.num_columns)
        if group.column(i).path_in_schema == "time_hour"
    )


def test_rows_lie_in_the_order_of_their_event_time_so_that_row_groups_skip_too(project):
    rows = [f"2013-{month:02}-{day:02}T00:00:00Z,AA,1,JFK,0\n" for day in range(28, 0, -1) for month in (7, 2, 11)]
    project.deliver("shuffled.csv", project.header + "".join(rows))
    project.run()

    [uri] = curated(project.folder / "data").file_uris()
    times = pl.read_parquet(uri)["time_hour"]
    assert times.is_sorted()
    statistics = pq.read_metadata(uri).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (times.min(), times.max())


def test_bounds_of_personal_features_stay_out_of_the_log(project):
    project.change("datasets/aviation/flights", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    project.deliver("day1.csv", project.morning.replace("UA", "Ursula"))
    project.run()

    log = (project.folder / "data/curated/aviation/flights/_delta_log/00000000000000000000.json").read_text()
    assert '\\"carrier\\"' not in log.replace("metaData", "").partition('"stats"')[2]
    assert "Ursula" not in log
    assert "time_hour" in log.partition('"stats"')[2]
