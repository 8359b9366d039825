"""Derived datasets: made from others by a query or a function, and loaded like a snapshot."""

import dataclasses
import json
import signal

import polars as pl
import pytest
from click.testing import CliRunner

from lakehouse import Lake, curation, timeline
from lakehouse.cli import program
from lakehouse.config import downstream, in_order
from lakehouse.errors import ConfigError, NotFoundError, SchemaError
from lakehouse.openlineage.datasets import Datasets
from lakehouse.openlineage.gathering import gather
from lakehouse.receipts import uri_of
from lakehouse.records import Context, ExecutionState
from lakehouse.timeline import runs

DAILY = """
    inputs: [aviation/flights]
    sql: |
      SELECT carrier, COUNT(*) AS flights, AVG(dep_delay) AS delay FROM aviation.flights GROUP BY carrier
    keys: [carrier]
    schema:
      features:
        carrier: {type: string}
        flights: {type: int}
        delay: {type: float, presence: optional}
"""
NAMED = """
    inputs: [aviation/daily, reference/airlines]
    curate: jobs.NAME.curate
    keys: [carrier]
    schema:
      features:
        carrier: {type: string}
        name: {type: string, presence: optional}
        flights: {type: int}
"""
AIRLINES = """
    source: airlines
    history: snapshots
    keys: [carrier]
    schema: {features: {carrier: {type: string}, name: {type: string, personal: true}}}
"""
FUNCTION = "return daily.join(airlines, on='carrier', how='left').select('carrier', 'name', 'flights')"
MORE = "2013-01-01T14:00:00Z,UA,7,EWR,4\n"


def daily(project, text=DAILY):
    project.configure("datasets/aviation/daily", text)
    project.configure("jobs/nightly", f"datasets: [aviation/daily, {project.flights}]")
    project.deliver("a.csv", project.morning)


def named(project, body=FUNCTION):
    daily(project)
    (project.folder / "jobs").mkdir()
    module = f"made{abs(hash((body, str(project.folder)))):x}"
    text = f"import polars as pl\n\n\ndef curate(daily, airlines):\n    {body}\n"
    (project.folder / f"jobs/{module}.py").write_text(text)
    project.configure("sources/airlines", "type: files\npath: airlines.csv\nformat: csv")
    project.configure("datasets/reference/airlines", AIRLINES)
    project.configure("datasets/aviation/named", NAMED.replace("NAME", module))
    project.configure(
        "jobs/nightly", "datasets: [aviation/named, aviation/daily, reference/airlines, aviation/flights]"
    )
    (project.folder / "airlines.csv").write_text("carrier,name\nUA,United\nAA,American\n")


def rows(lake, name="aviation/daily", **which):
    frame = lake.read(name, **which)
    return {row[0]: row[1:] for row in frame.drop(pl.selectors.starts_with("_")).iter_rows()}


def notes(ran, kind):
    return [note.message for step in ran.curated for note in step.notes if note.kind == kind]


def problems(project):
    with pytest.raises(ConfigError) as error:
        Lake(project.folder / "configs")
    return str(error.value)


def test_only_what_a_derivation_changes_is_appended(project):
    daily(project)
    assert project.run().ok
    project.deliver("b.csv", project.noon + MORE)
    ran = project.run()
    step = next(step for step in ran.curated if step.dataset == "aviation/daily")
    assert (step.read, step.curated, step.unchanged, step.rejected, step.version) == (4, 3, 1, 0, 1)
    project.deliver("a.csv", project.header + MORE)  # the morning's flights never were
    project.run()
    with project.lake() as lake:
        assert rows(lake, version=0) == {"UA": (1, 2.0), "AA": (1, -1.0)}
        assert rows(lake, version=1) == {"UA": (2, 3.0), "AA": (1, -1.0), "B6": (1, None), "DL": (1, -6.0)}
        assert rows(lake) == {"UA": (2, 4.0), "B6": (1, None), "DL": (1, -6.0)}
        changes = lake.changes("aviation/daily", since=1).collect()
        assert sorted(changes.select("_change", "carrier", "delay").rows()) == [
            ("delete", "AA", -1.0),
            ("update", "UA", 4.0),
        ]
        frame = lake.read("aviation/daily")
        assert frame["_raw"].null_count() == frame["_row"].null_count() == frame.height
        assert frame["_valid_from"].to_list() == frame["_recorded_at"].to_list()
        versions = lake.history("aviation/daily")
        assert [(v.rows, v.history, v.keys) for v in versions] == [(n, "snapshots", ("carrier",)) for n in (2, 3, 2)]
        assert lake.check() == ()


def test_nothing_is_derived_while_inputs_and_configuration_are_the_same(project):
    daily(project)
    project.run()
    with project.lake() as lake:
        assert lake.curate("aviation/daily").execution == 0
        again = lake.curate("aviation/daily", again=True)
        assert (again.version, again.unchanged) == (None, 2)
        assert lake.curate("aviation/daily").execution == 0
    project.change("datasets/aviation/daily", "AVG(dep_delay)", "MAX(dep_delay) * 2.0")
    with project.lake() as lake:
        assert lake.curate("aviation/daily").version == 1
        assert rows(lake) == {"UA": (1, 4.0), "AA": (1, -2.0)}
    told = CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), "curate", "aviation/daily"])
    assert "nothing new" in told.output


def test_a_job_takes_each_dataset_after_its_inputs_whatever_order_it_names_them_in(project):
    named(project)
    ran = project.run()
    assert ran.ok, ran.errors
    assert [step.dataset for step in ran.curated][-1] == "aviation/named"
    with project.lake() as lake:
        assert rows(lake, "aviation/named") == {"UA": ("United", 1), "AA": ("American", 1)}
        made = lake.config
        assert in_order(made, ["aviation/named", "aviation/flights"]) == ("aviation/flights", "aviation/named")
        assert downstream(made, ["aviation/flights"]) == ("aviation/daily", "aviation/named")
        assert downstream(made, ["reference/airlines"]) == ("aviation/named",)
        # All of a run is visible to moments from its end on, and of nothing of it before.
        with pytest.raises(NotFoundError, match="did not exist"):
            lake.read("aviation/named", as_of=lake.history("aviation/named")[0].committed_at)


def test_downstream_refreshes_what_is_derived_outside_of_the_job(project):
    named(project)
    project.run()
    project.configure("jobs/landing", "datasets: [aviation/flights]")
    project.deliver("b.csv", project.noon)
    with project.lake() as lake:
        assert [step.dataset for step in lake.run("landing").curated] == ["aviation/flights"]
        assert rows(lake).keys() == {"UA", "AA"}
        ran = lake.run("landing", downstream=True)
        assert [step.dataset for step in ran.curated] == ["aviation/flights", "aviation/daily", "aviation/named"]
        assert rows(lake, "aviation/named").keys() == {"UA", "AA", "B6", "DL"}


def test_an_input_that_fails_stops_no_other_and_what_is_made_of_it_says_so(project):
    named(project)
    project.run()
    project.change("datasets/aviation/daily", "AVG(dep_delay)", "carrier")
    project.change("datasets/aviation/daily", "delay: {type: float", "delay: {type: string")
    (project.folder / "airlines.csv").write_text("carrier,name\nUA,Unified\nAA,American\n")
    ran = project.run()
    assert len(ran.errors) == 1
    assert "aviation/daily" in ran.errors[0]
    assert "--again" in ran.errors[0]
    assert notes(ran, "stale") == ["'aviation/daily' was not refreshed in this run, so its older state was used"]
    with project.lake() as lake:
        assert rows(lake, "aviation/named")["UA"] == ("Unified", 1)


def test_a_type_that_changes_is_derived_into_a_new_table_and_the_past_stays(project):
    daily(project)
    project.run()
    project.change("datasets/aviation/daily", "flights: {type: int}", "flights: {type: float}")
    with project.lake() as lake:
        with pytest.raises(SchemaError, match=r"flights from Int64 to Float64.*--again"):
            lake.curate("aviation/daily")
        assert lake.curate("aviation/daily", again=True).curated == 2
        assert lake.read("aviation/daily").schema["flights"] == pl.Float64
        assert lake.read("aviation/daily", version=0).schema["flights"] == pl.Int64
        assert lake.history("aviation/daily")[-1].total == 2
        assert lake.check() == ()


def test_rows_that_break_the_schema_go_to_quarantine_and_their_keys_stay_as_they_were(project):
    daily(project)
    project.run()
    project.change("datasets/aviation/daily", "flights: {type: int}", "flights: {type: int, domain: {max: 1}}")
    project.deliver("b.csv", project.noon + MORE)
    with project.lake() as lake:
        lake.run("nightly")
        lake.curate("aviation/daily", again=True)
        rejected = lake.quarantine("aviation/daily").collect()
        assert rejected["reasons"].to_list() == [["flights: above 1"]]  # of the newest result alone
        assert json.loads(rejected["fields"][0])["carrier"] == "UA"
        assert rejected.select("_raw", "_row", "text").row(0) == (None, None, None)
        assert rows(lake)["UA"] == (1, 2.0)
        assert lake.check() == ()


def test_a_result_with_a_key_twice_is_refused_by_name(project):
    daily(project, DAILY.replace(" GROUP BY carrier", " GROUP BY carrier, flight"))
    project.deliver("b.csv", project.noon + MORE)
    ran = project.run()
    assert "has 2 rows of carrier='UA'" in ran.errors[0]
    assert "Group by carrier" in ran.errors[0]
    project.change(f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    error = project.run().errors[0]
    assert "has 2 rows of a key," in error
    assert "UA" not in error


def test_errors_of_a_query_or_function_name_the_dataset_and_leave_nothing(project):
    named(project, "raise RuntimeError('no such luck')")
    ran = project.run()
    assert "dataset 'aviation/named': curate: jobs.made" in ran.errors[0]
    assert "RuntimeError: no such luck" in ran.errors[0]
    project.change("datasets/aviation/daily", "AVG(dep_delay)", "AVG(CAST(carrier AS int))")
    ran = project.run()
    assert any("dataset 'aviation/daily': sql: " in error for error in ran.errors)
    with project.lake() as lake:
        assert lake.history("aviation/named") == ()
        failed = lake._site.ledger.get_executions(type="Derive", state=ExecutionState.FAILED)
        assert failed
        assert lake.check() == ()


def test_an_input_without_a_version_is_told(project):
    daily(project)
    with project.lake() as lake, pytest.raises(NotFoundError, match=r"'aviation/daily' is derived.*curate aviation/fl"):
        lake.curate("aviation/daily")


def test_a_result_that_deletes_too_much_is_refused_where_that_is_asked(project):
    daily(project, DAILY + "    max_deleted: 10%\n")
    project.run()
    project.deliver("a.csv", project.header + MORE)
    ran = project.run()
    assert "aviation/daily" in ran.errors[0]
    with project.lake() as lake:
        assert rows(lake).keys() == {"UA", "AA"}
        assert lake.curate("aviation/daily", again=True).deleted == 1


def test_a_column_of_the_result_that_is_no_feature_is_told_and_left_out(project):
    daily(project, DAILY.replace("AVG(dep_delay)", "MIN(origin) AS place, AVG(dep_delay)"))
    ran = project.run()
    assert "'place' is a column of the result that is not a feature" in notes(ran, "new_column")[0]
    with project.lake() as lake:
        assert "place" not in lake.read("aviation/daily").columns
        assert len(lake.validate("aviation/daily").anomalies) == 1


def test_a_dataset_of_files_cannot_become_a_derived_one(project):
    project.deliver("a.csv", project.morning)
    project.run()
    text = (project.folder / f"configs/datasets/{project.flights}.yaml").read_text()
    project.configure("datasets/aviation/raw", text)
    made = DAILY.replace("aviation/flights", "aviation/raw").replace("aviation.flights", "aviation.raw")
    project.configure(f"datasets/{project.flights}", made)
    with project.lake() as lake:
        lake.curate("aviation/raw")
        with pytest.raises(SchemaError, match=r"holds rows that were curated from raw files.*another name"):
            lake.curate(project.flights)
    project.configure(
        "datasets/aviation/daily",
        DAILY.replace("aviation/flights", "aviation/raw").replace("aviation.flights", "aviation.raw"),
    )
    with project.lake() as lake:
        lake.curate("aviation/daily")
    project.configure("datasets/aviation/daily", text)
    with project.lake() as lake, pytest.raises(SchemaError, match=r"were derived from other datasets.*another name"):
        lake.curate("aviation/daily")


def test_a_derivation_sees_none_of_a_run_under_way_unless_it_is_its_own(project):
    daily(project)
    project.run()
    project.deliver("b.csv", project.noon)
    with project.lake() as lake:
        site = lake._site
        contexts = (Context("Run", "nightly/x"), Context("Job", "nightly"))
        with runs.started(site, contexts, {"job": "nightly"}) as beat:
            run = beat.run
            inside = dataclasses.replace(site, run=run)
            lake.land("flights")
            curation.curate(inside, project.flights)
            assert timeline.together(site, [project.flights])[project.flights][1].version == 0
            assert timeline.together(inside, [project.flights])[project.flights][1].version == 1
            assert lake.sql("select count(*) as n from aviation.flights").item() == 2
            runs.end(site, run, ExecutionState.COMPLETE)
        assert timeline.together(site, [project.flights])[project.flights][1].version == 1
        assert lake.sql("select count(*) as n from aviation.flights").item() == 4


@pytest.mark.parametrize("point", ["curate.sealed:2", "curate.committed:2"])
def test_a_derivation_that_is_killed_is_whole_or_gone_after_the_next_run(project, point):
    daily(project)
    code = "from lakehouse import Lake; Lake('configs').run('nightly')"
    process = project.start("-c", code, LAKEHOUSE_FAIL_AT=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert project.run().ok
    with project.lake() as lake:
        assert rows(lake) == {"UA": (1, 2.0), "AA": (1, -1.0)}
        assert [v.version for v in lake.history("aviation/daily")] == [0]
        assert lake.check() == ()


def test_a_ledger_that_is_lost_is_made_again_with_its_derivations(project):
    daily(project)
    project.run()
    project.deliver("b.csv", project.noon + MORE)
    project.run()
    with project.lake() as lake:
        before = rows(lake), [(v.version, v.rows, v.execution) for v in lake.history("aviation/daily")]
        newest = lake.history("aviation/daily")[-1].execution
    for file in (project.folder / "data").glob("metadata.db*"):
        file.unlink()
    (project.folder / "data" / uri_of(newest)).unlink()  # of the last derivation only its commit's note is left
    Lake.repair(project.folder / "configs", clock=project.clock)
    with project.lake() as lake:
        assert (rows(lake), [(v.version, v.rows, v.execution) for v in lake.history("aviation/daily")]) == before
        assert lake.curate("aviation/daily").execution == 0
        assert "Derive" in str(lake.lineage("aviation/daily", direction="up"))


def test_lineage_goes_on_through_derived_datasets_both_ways(project):
    named(project)
    project.run()
    with project.lake() as lake:
        up = lake.lineage("aviation/named", direction="up")
        kinds = {node.kind for node in up.nodes}
        assert {"Derive", "Curate", "RawFile", "Source"} <= kinds
        assert {"aviation/daily@0", "aviation/flights@0", "reference/airlines@0"} <= {node.id for node in up.nodes}
        down = lake.lineage("aviation/flights", direction="down")
        assert {"aviation/daily@0", "aviation/named@0"} <= {node.id for node in down.nodes}
        assert "aviation/named: 2 rows of execution" in str(down.impact())
        project.deliver("b.csv", project.noon)
        lake.run("nightly")
        assert "version of aviation/flights 0 -> 1" in str(lake.causes("aviation/daily@1"))


def test_columns_are_followed_through_queries_and_functions(project):
    named(project)
    project.run()
    with project.lake() as lake:
        up = lake.lineage("aviation/named", column="flights", direction="up")
        edges = {(edge.source, edge.target) for edge in up.edges}
        assert ("aviation/daily.flights", "aviation/named.flights") in edges
        assert ("aviation/flights.carrier", "aviation/daily.flights") in edges
        assert ("source:flights.carrier", "aviation/flights.carrier") in edges
        assert ("aviation/flights.dep_delay", "aviation/daily.flights") not in edges
        down = lake.lineage("aviation/flights", column="dep_delay", direction="down")
        assert {(edge.source, edge.target) for edge in down.edges} == {
            ("aviation/flights.dep_delay", "aviation/daily.delay")
        }
        raw = lake.show("flights", "source").raw[0].sha256
        downs = {node.id for node in lake.lineage(raw, column="carrier", direction="down").nodes}
        assert {"aviation/flights.carrier", "aviation/daily.carrier", "aviation/named.name"} <= downs


def test_a_function_that_looks_at_its_rows_is_said_to_read_perhaps_everything(project):
    named(project, "return daily.collect().lazy().with_columns(name=pl.lit('x')).select('carrier', 'name', 'flights')")
    project.run()
    with project.lake() as lake:
        told = str(lake.lineage("aviation/named", column="name", direction="up"))
        assert "every column of aviation/daily, reference/airlines [perhaps: jobs.made" in told
    inputs = "columns: {carrier: [aviation/daily.carrier], name: [], flights: [aviation/daily.flights]}"
    project.change("datasets/aviation/named", "keys: [carrier]", f"keys: [carrier]\n{inputs}")
    with project.lake() as lake:
        assert lake.curate("aviation/named", again=True).unchanged == 2


def test_what_is_made_from_personal_columns_is_personal(project):
    named(project)
    project.run()
    with project.lake() as lake:
        held = {one.name: one for one in lake.personal().holdings if one.kind == "Column"}
        assert held["reference/airlines.name"].why == "it is marked personal"
        assert (held["aviation/named.name"].personal, "reference/airlines.name" in held["aviation/named.name"].why) == (
            "yes",
            True,
        )
        assert "aviation/named.carrier" not in held
        assert lake.statistics("aviation/named").features["name"].personal
        site = lake._site
        (execution,) = site.ledger.get_executions(type="Derive", context=("Dataset", "aviation/named"))
        read, (made, *_) = Datasets(lake.config).of(gather(site.ledger, execution.id))
        assert [one.name.rpartition("/curated/")[2] for one in read] == ["aviation/daily", "reference/airlines"]
        fields = made.facets["columnLineage"].fields
        assert {(f.name.rpartition("/curated/")[2], f.field) for f in fields["flights"].inputFields} == {
            ("aviation/daily", "flights"),
            ("aviation/daily", "carrier"),
            ("reference/airlines", "carrier"),
        }
        assert [(tag.field, tag.value) for tag in made.facets["tags"].tags] == [("name", "true")]


def test_a_row_of_a_derived_dataset_tells_what_it_was_made_of(project):
    daily(project)
    project.run()
    with project.lake() as lake:
        row = lake.read("aviation/daily").row(0, named=True)
        with pytest.raises(NotFoundError, match=r"execution:4 made it from aviation/flights@0, by the query in `sql`"):
            lake.trace("aviation/daily", row)
        shown = lake.show("aviation/daily", "dataset").settings
        assert shown["inputs"] == ["aviation/flights"]
        with pytest.raises(ConfigError, match="from no raw files"):
            lake.curate("aviation/daily", raw=["ab"])
        with pytest.raises(ConfigError, match="derived from other datasets"):
            lake.schema.update("aviation/daily")


def test_what_goes_round_in_a_circle_is_spelled_out_once(project):
    daily(project, DAILY.replace("aviation/flights", "aviation/weekly").replace("aviation.flights", "aviation.weekly"))
    weekly = DAILY.replace("aviation/flights", "aviation/daily").replace("aviation.flights", "aviation.daily")
    project.configure("datasets/aviation/weekly", weekly.replace("AVG(dep_delay)", "AVG(delay)"))
    told = problems(project)
    assert "is made from itself: aviation/daily <- aviation/weekly <- aviation/daily" in told
    assert told.count("is made from itself") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("inputs: [aviation/flights]", "inputs: [aviation/fligths]", "there is no dataset 'aviation/fligths'. Did you"),
        ("inputs: [aviation/flights]", "inputs: []", "inputs: is required beside sql"),
        ("inputs: [aviation/flights]", "inputs: [aviation/flights, aviation/flights]", "stands here twice"),
        (
            "inputs: [aviation/flights]",
            "inputs: [aviation/flights]\nsource: flights",
            "source: is of datasets that are",
        ),
        (
            "inputs: [aviation/flights]",
            "inputs: [aviation/flights]\nhistory: events",
            "history: is events, and what is",
        ),
        (
            "inputs: [aviation/flights]",
            "inputs: [aviation/flights]\nnew_columns: add",
            "new_columns: a derived dataset",
        ),
        ("inputs: [aviation/flights]", "inputs: [aviation/flights]\ncurate: a.b", "sql and curate are both set"),
        ("FROM aviation.flights", "FROM aviation.weather", "reads 'aviation.weather', which is none of the inputs"),
        ("FROM aviation.flights", "FROM read_csv('/etc/passwd')", "read_csv reads files"),
        ("AVG(dep_delay)", "AVG(arr_delay)", 'sql: unable to find column "arr_delay"'),
        ("AVG(dep_delay)", "AVG(dep_delay", "sql: sql parser error"),
        ("COUNT(*) AS flights", "COUNT(*) AS flight", "the query gives no column 'flights'. Did you mean 'flight'?"),
        ("keys: [carrier]", "", "keys: history is snapshots, which are of something"),
        ("flights: {type: int}", "flights: {type: int, computed: true}", "everything in a derived dataset is"),
        ("keys: [carrier]", "keys: [carrier]\ncolumns: {flights: [aviation/flights.x]}", "of a query that is known"),
    ],
)
def test_what_a_derived_dataset_cannot_say_is_a_config_error(project, old, new, message):
    daily(project)
    project.change("datasets/aviation/daily", old, new)
    assert message in problems(project)


def test_an_input_that_is_not_read_is_a_config_error(project):
    named(project)
    project.change("datasets/aviation/daily", "[aviation/flights]", "[aviation/flights, reference/airlines]")
    assert "inputs.1: the query does not read reference.airlines; take it out" in problems(project)
