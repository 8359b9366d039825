"""What a change of configuration, of a source or of raw bytes does to a dataset, and what it never does."""

import json

import polars as pl
import pytest

from lakehouse import timeline
from lakehouse.errors import IntegrityError, SchemaError
from lakehouse.records import Context, Execution, ExecutionState


def notes(ran, kind):
    return [note.message for step in ran.curated for note in step.notes if note.kind == kind]


def function(project, body):
    """Give the flights a function of their own."""
    folder = project.folder / "jobs"
    folder.mkdir(exist_ok=True)
    name = f"own{abs(hash(body)):x}"
    (folder / f"{name}.py").write_text(f"import polars as pl\n\n\ndef curate(rows):\n    {body}\n")
    project.change(f"datasets/{project.flights}", "source: flights", f"source: flights\ncurate: jobs.{name}.curate")


def test_a_column_that_comes_back_as_text_asks_for_again_and_blocks_nothing(project):
    project.deliver("a.csv", project.morning)
    project.run()
    project.change(f"datasets/{project.flights}", "    dep_delay: {type: int, presence: optional}\n", "")
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nnew_columns: add")
    project.deliver("b.csv", project.noon)
    for _ in range(2):
        ran = project.run()
        assert "dep_delay from Int64 to String" in ran.errors[0]
        assert "lakehouse curate aviation/flights --again" in ran.errors[0]
    with project.lake() as lake:
        assert lake.curate(project.flights, again=True).curated == 4
        assert lake.read(project.flights).schema["dep_delay"] == pl.String
        assert lake.read(project.flights, version=0).schema["dep_delay"] == pl.Int64


def test_a_feature_renamed_by_case_only_asks_for_again(project):
    project.deliver("a.csv", project.morning)
    project.run()
    project.change(f"datasets/{project.flights}", "    dep_delay:", "    Dep_Delay:")
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nrename: {dep_delay: Dep_Delay}")
    project.deliver("b.csv", project.noon)
    assert "Dep_Delay beside dep_delay, which differs only by case" in project.run().errors[0]
    with project.lake() as lake:
        assert lake.curate(project.flights, again=True).curated == 4
        assert "Dep_Delay" in lake.read(project.flights).columns


def test_rows_of_a_source_that_has_another_name_now_are_never_doubled(project):
    project.deliver("a.csv", project.morning)
    project.run()
    (project.folder / "configs/sources/flights.yaml").rename(project.folder / "configs/sources/departures.yaml")
    project.change(f"datasets/{project.flights}", "source: flights", "source: departures")
    assert "holds rows of another source than 'departures'" in project.run().errors[0]
    assert project.read().height == 2
    with project.lake() as lake:
        assert lake.curate(project.flights, again=True).curated == 2
        assert lake.history(project.flights)[-1].total == 2
    assert project.read().height == 2
    assert project.run().ok


def test_rows_made_under_an_older_configuration_are_told_until_they_are_made_anew(project):
    project.deliver("a.csv", project.morning)
    project.run()
    project.change(
        f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, domain: [UA, AA, B6]}"
    )
    assert "1 file were made under an older configuration" in notes(project.run(), "older")[0]
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
    assert notes(project.run(), "older") == []


@pytest.mark.parametrize(
    "body",
    [
        "return rows.filter(pl.col('flight') == 1545)",
        "return pl.concat([rows.filter(pl.col('flight') == 1545)] * 2)",
        "return rows.with_columns(_row=pl.lit(1, pl.Int64))",
        "return rows.with_columns(_raw=pl.lit('0' * 64))",
    ],
    ids=["drops", "doubles", "renumbers", "misattributes"],
)
def test_a_function_that_does_not_give_back_the_rows_it_got_is_refused(project, body):
    function(project, body)
    project.deliver("a.csv", project.morning)
    ran = project.run()
    assert "the function must give back exactly the rows it got" in ran.errors[0]
    with project.lake() as lake:
        assert lake.history(project.flights) == ()


def test_a_function_that_raises_fails_its_dataset_and_no_other(project):
    function(project, "return rows.with_columns(x=rows.nothing)")
    project.configure(
        "datasets/aviation/carriers",
        "source: flights\nschema: {features: {carrier: {type: string}}}",
    )
    project.configure("jobs/nightly", "datasets: [aviation/flights, aviation/carriers]")
    project.deliver("a.csv", project.morning)
    ran = project.run()
    assert "AttributeError" in ran.errors[0]
    assert [done.dataset for done in ran.curated] == ["aviation/carriers"]


def test_a_function_that_raises_while_it_runs_is_named_and_not_the_file(project):
    function(project, "return rows.with_columns(flight=pl.col('flight').map_elements(lambda n: 1 // 0, pl.Int64))")
    project.deliver("a.csv", project.morning)
    with project.lake() as lake:
        lake.land("flights")
        with pytest.raises(SchemaError, match="curate: the function raised ZeroDivisionError"):
            lake.curate(project.flights)


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_raw_bytes_that_were_touched_are_never_curated(project, harm):
    project.deliver("a.csv", project.morning)
    project.run()
    [raw] = (project.folder / "data/raw").rglob("a.csv")
    raw.chmod(0o644)
    if harm == "gone":
        raw.unlink()
    else:
        raw.write_text(project.morning.replace("1545", "1546") if harm == "changed" else project.morning[:-9])
    with project.lake() as lake:
        with pytest.raises(IntegrityError, match="is gone or no longer what was landed"):
            lake.curate(project.flights, again=True)
        assert lake.read(project.flights).height == 2


def test_a_row_is_traced_the_way_it_was_read_whatever_the_format_is_now(project):
    project.deliver("a.csv", "\n" + project.morning)
    project.change("sources/flights", "null_values: [NA]", "null_values: [NA], skip: 1")
    project.run()
    row = project.read().row(0, named=True)
    project.change("sources/flights", ", skip: 1", "")
    with project.lake() as lake:
        assert lake.trace(project.flights, row).text == project.morning.splitlines()[1]
        assert lake.trace(project.flights, row).line == 3


def test_thousands_of_files_corrected_one_by_one_read_as_fast_as_a_few(project):
    project.deliver("a.csv", project.morning)
    project.run()
    gone = {str(number): ["0" * 64] for number in range(10, 4010)}
    with project.lake() as lake:
        ledger, [state] = lake._site.ledger, lake.history(project.flights)
        newer = Execution(
            "Curate", state=ExecutionState.COMPLETE, properties={"version": 0, "supersedes": json.dumps(gone)}
        )
        ledger.put_execution(newer, (), [Context("Dataset", project.flights)])
        frame = pl.LazyFrame({"_execution": [state.execution, 10], "_raw": ["1" * 64, "0" * 64], "n": [1, 2]})
        shown = timeline.read(ledger, project.flights).visible(frame, state)
        assert shown.collect(engine="streaming")["n"].to_list() == [1]
