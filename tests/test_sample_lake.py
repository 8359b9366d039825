"""The lake that comes with the project, over its sample data, and the function it is curated by."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.config import curate_function, load

PROJECT = Path(__file__).parents[1]
ROWS = {
    "aviation/flights": 27_004,
    "aviation/weather": 2_226,
    "reference/planes": 3_322,
    "reference/airlines": 16,
    "reference/airports": 1_458,
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    for name in ("configs", "jobs", "data/samples"):
        shutil.copytree(PROJECT / name, folder / name)
    with Lake(folder / "configs") as lake:
        lake.ran = lake.run("nightly")
        yield lake


def test_the_job_takes_in_every_sample_file_and_row(sample):
    assert sample.ran.ok
    assert {one.dataset: one.read for one in sample.ran.curated} == ROWS
    assert sum(one.files for one in sample.ran.landed) == 31 + 4


def test_only_the_three_airports_that_are_wrong_in_the_file_are_rejected(sample):
    assert {one.dataset: one.rejected for one in sample.ran.curated if one.rejected} == {"reference/airports": 3}
    rejected = sample.quarantine("reference/airports").collect()
    codes = rejected["fields"].str.json_path_match("$.faa").sort().to_list()
    assert codes == ["DVT", "EEN", "MYF"]


def test_na_is_missing_and_never_a_text(sample):
    for dataset in ROWS:
        frame = sample.read(dataset)
        texts = frame.select(pl.col(pl.String).exclude("_raw"))
        assert texts.filter(pl.any_horizontal(pl.all() == "NA")).is_empty(), dataset
    assert sample.read("reference/planes")["year"].null_count() == 70


def test_keys_name_one_row_each(sample):
    for name in ROWS:
        keys = sample.config.dataset(name).keys
        assert not sample.read(name).select(keys).is_duplicated().any(), name


def test_every_feature_of_a_file_is_in_the_schema_and_described_by_name_type_and_source(sample):
    for name in ROWS:
        dataset = sample.config.dataset(name)
        assert dataset.description
        assert dataset.owner
        assert not any(
            note.kind in ("new_column", "missing_column") for one in sample.ran.curated for note in one.notes
        )


def test_actual_departures_are_the_files_local_times_in_utc(sample):
    flights = sample.read("aviation/flights").filter(~pl.col("cancelled"))
    local = pl.col("actual_departure").dt.convert_time_zone("America/New_York")
    hhmm = local.dt.hour().cast(pl.Int64) * 100 + local.dt.minute()
    assert flights.filter(hhmm != pl.col("dep_time") % 2400).is_empty()
    assert flights["actual_departure"].null_count() == 0


def test_cancelled_flights_have_no_departure_and_no_gain(sample):
    cancelled = sample.read("aviation/flights").filter("cancelled")
    assert cancelled.height == 521
    assert cancelled.select("actual_departure", "departure_delay", "gained").null_count().row(0) == (521, 521, 521)


def test_the_curation_function_works_row_by_row():
    config = load(PROJECT / "configs", environ={})
    curate = curate_function(config.dataset("aviation/flights"), PROJECT)
    late = datetime(2013, 1, 1, 23, tzinfo=UTC)
    rows = pl.LazyFrame(
        {
            "time_hour": [late, late],
            "sched_dep_time": [1835, 1800],
            "departure_delay": [853, None],
            "dep_time": [848, None],
        }
    )
    both = curate(rows).collect()
    assert both["scheduled_departure"].to_list() == [late.replace(minute=35), late]
    assert both["actual_departure"].to_list() == [datetime(2013, 1, 2, 13, 48, tzinfo=UTC), None]
    assert both["cancelled"].to_list() == [False, True]
    assert curate(rows.slice(1)).collect().equals(both.slice(1))


def test_each_row_leads_back_to_its_line(sample):
    row = sample.read("aviation/flights").sort("departure_delay", descending=True, nulls_last=True).row(0, named=True)
    traced = sample.trace("aviation/flights", row)
    assert traced.text.rstrip("\n").startswith(f"{row['year']},{row['month']},{row['day']},{row['dep_time']},")
