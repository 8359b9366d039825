"""`rebuild`: what was recorded, done once more, gives the same rows; where it does not, it says which and why."""

import sys
from datetime import timedelta

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pasts import FLIGHTS, hours, lived, take

from lakehouse import Lake
from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.rebuild.comparing import compared

FUNCTION = """
import polars as pl

def curate(rows):
    return rows.with_columns(gained=pl.col("dep_delay") + {})
"""


def rebuilt(project, dataset=FLIGHTS, **how):
    with project.lake() as lake:
        (found,) = lake.rebuild(dataset, **how).datasets
    return found


def every_version(project, dataset=FLIGHTS, step=1):
    """The versions of a dataset; each (or each so-manieth) must be the same when it is made again."""
    with project.lake() as lake:
        versions = [v.version for v in lake.history(dataset)][::step]
        for version in versions:
            found = lake.rebuild(dataset, version=version)
            (one,) = found.datasets
            assert found.same, (version, one)
            assert one.compared.recorded == one.compared.rebuilt > 0
            assert one.explained == ()
        assert [problem for problem in lake.check() if not problem.harmless] == []
    return versions


def test_every_version_of_a_dataset_that_was_corrected_is_made_again_row_for_row(project):
    lived(project)
    with project.lake() as lake:
        lake.curate(FLIGHTS, again=True)
        lake.optimize(FLIGHTS)
    assert len(every_version(project, step=4)) == 3


def test_the_lake_it_was_made_in_can_be_kept_and_read(project, tmp_path):
    lived(project)
    into = tmp_path / "again"
    found = rebuilt(project, version=4, into=into)
    assert found.lake == into
    wanted = project.read(version=4)
    with Lake(into / "configs") as lake:
        rows = lake.read(FLIGHTS).sort("time_hour", "flight")
        assert rows.drop("_execution", "_recorded_at").equals(wanted.drop("_execution", "_recorded_at"))
        assert lake.check() == ()
        row = rows.row(0, named=True)
        assert "2013-01-01T05" in lake.trace(FLIGHTS, row).text
    with pytest.raises(ConfigError, match="not empty"):
        rebuilt(project, into=into)


def with_function(project, added):
    project.change(
        f"datasets/{FLIGHTS}",
        "origin: {type: string}",
        "origin: {type: string}\n    gained: {type: int, presence: optional, computed: true}",
    )
    project.change(f"datasets/{FLIGHTS}", "source: flights", "source: flights\ncurate: jobs.gaining.curate")
    file = project.folder / "jobs/gaining.py"
    file.parent.mkdir(exist_ok=True)
    written(file, FUNCTION.format(added))
    return file


def written(file, text):
    """Write the function anew, for what is a process of its own otherwise."""
    file.write_text(text)
    for name in ("jobs", "jobs.gaining"):
        sys.modules.pop(name, None)


def test_a_function_that_was_changed_since_is_told_with_the_columns_that_differ(project):
    file = with_function(project, 1)
    project.deliver("1.csv", project.header + hours(1, 1, 2, 3))
    take(project)
    assert rebuilt(project).same
    written(file, FUNCTION.format(1) + "# only a remark\n")
    same = rebuilt(project)
    assert same.same
    assert any(reason.startswith("code: the file of jobs.gaining.curate is another") for reason in same.explained)
    written(file, FUNCTION.format("pl.when(pl.col('flight') == 2).then(7).otherwise(1)"))
    found = rebuilt(project)
    assert not found.same
    (differing,) = found.compared.differing
    assert (differing.recorded, differing.rebuilt, differing.changed, differing.columns) == (3, 3, 1, {"gained": 1})
    assert differing.rows == ("row 2 (carrier=UA, flight=2, origin=EWR, time_hour=2013-01-01 02:00:00+00:00)",)
    assert any(reason.startswith("code: ") for reason in found.explained)
    done = CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), "rebuild", FLIGHTS])
    assert done.exit_code == 1
    assert "DIFFERS" in done.output
    assert "1 with other values of gained" in done.output
    written(file, "")
    gone = rebuilt(project)
    assert gone.compared.rebuilt == 0
    assert any("could not be done again: ConfigError" in reason for reason in gone.explained)


def test_raw_files_that_are_gone_or_damaged_are_named_and_their_rows_are_missing(project):
    lived(project)
    counting = set(project.read()["_raw"])
    raws = [file for file in (project.folder / "data/raw").rglob("*.csv") if file.parent.name in counting]
    raws[0].unlink()
    raws[1].chmod(0o644)
    raws[1].write_bytes(raws[1].read_bytes().replace(b"EWR", b"LGA"))
    found = rebuilt(project)
    assert not found.same
    assert len(found.damaged) == 2
    assert found.compared.files == 2
    assert {(d.recorded > 0, d.rebuilt) for d in found.compared.differing} == {(True, 0)}
    assert any(reason.startswith("raw files: 2 are gone or no longer what was landed") for reason in found.explained)


def test_other_packages_than_then_are_told(project):
    lived(project)
    with project.lake() as lake:
        site = lake._site
        older = dict(site.captured) | {"packages": str(site.captured["packages"]).replace("polars=", "polars=0.")}
        object.__setattr__(site, "captured", older)
        (found,) = lake.rebuild(FLIGHTS).datasets
    assert found.same
    assert any(reason.startswith("packages: polars ") for reason in found.explained)


def test_what_came_of_it_is_recorded_and_an_unknown_dataset_or_version_is_refused(project):
    lived(project)
    found = rebuilt(project)
    with project.lake() as lake:
        (recorded,) = lake._site.ledger.get_executions(ids=[found.execution])
        assert (recorded.type, recorded.properties["same"], recorded.properties["rebuilt"]) == ("Rebuild", True, 22)
        assert lake.check() == ()
        with pytest.raises(NotFoundError, match="no dataset"):
            lake.rebuild("aviation/flihgts")
        with pytest.raises(NotFoundError, match="no version 99"):
            lake.rebuild(FLIGHTS, version=99)
        with pytest.raises(ConfigError, match="takes a dataset"):
            lake.rebuild(FLIGHTS, all=True)


# Other load kinds

CHANGES = """
    source: flights
    history: changes
    keys: [k]
    event_time: at
    delete_when: "op = 'D'"
    schema:
      features:
        k: {type: string, presence: optional}
        at: {type: datetime}
        op: {type: string, presence: optional}
        v: {type: float, presence: optional}
"""
SNAPSHOTS = """
    source: flights
    history: snapshots
    keys: [k]
    schema:
      features:
        k: {type: string, presence: optional}
        v: {type: float, presence: optional}
"""
DERIVED = f"""
    inputs: [{FLIGHTS}]
    keys: [k]
    sql: select k, v * 2 as twice from {FLIGHTS.replace("/", ".")}
    schema:
      features:
        k: {{type: string, presence: optional}}
        twice: {{type: float, presence: optional}}
"""


def test_changes_are_made_again_with_their_order_their_deletes_and_late_rows(project):
    project.configure(f"datasets/{FLIGHTS}", CHANGES)
    for number, rows in enumerate(
        [
            "a,2013-01-02T00:00:00Z,U,1\nb,2013-01-02T00:00:00Z,U,2\n,2013-01-02T00:00:00Z,U,3\n",
            "a,2013-01-01T00:00:00Z,U,0\nb,2013-01-03T00:00:00Z,D,\n",
            "a,2013-01-02T00:00:00Z,U,7\nx,nonsense,U,1\n",
        ]
    ):
        project.deliver(f"{number}.csv", "k,at,op,v\n" + rows)
        take(project)
    with project.lake() as lake:
        lake.curate(FLIGHTS, raw=[lake.read(FLIGHTS)["_raw"][0]])
    assert len(every_version(project)) == 4


def test_snapshots_are_made_again_with_late_and_changed_files(project):
    project.configure(f"datasets/{FLIGHTS}", SNAPSHOTS + "    snapshot_time: 's-%Y%m%d.csv'\n    max_deleted: 100%\n")
    for name, rows in [
        ("s-20130101.csv", "a,1\nb,2\n,3\n"),
        ("s-20130103.csv", "a,1\nb,4\n"),
        ("s-20130102.csv", "a,9\nc,1\nc,2\n"),  # late
        ("s-20130104.csv", "a,-0.0\n"),
    ]:
        project.deliver(name, "k,v\n" + rows)
        take(project)
    assert len(every_version(project)) == 4


def test_a_derived_dataset_is_made_again_from_its_inputs_as_they_were(project):
    project.configure(f"datasets/{FLIGHTS}", SNAPSHOTS)
    project.configure("datasets/aviation/twice", DERIVED)
    for number, rows in enumerate(["a,1\nb,2\n", "a,1\nb,3\nc,1\n", "b,3\nc,5\n"]):
        project.deliver(f"{number}.csv", "k,v\n" + rows)
        take(project)
        with project.lake() as lake:
            lake.curate("aviation/twice")
    assert len(every_version(project, "aviation/twice")) == 3
    with project.lake() as lake:
        found = lake.rebuild(all=True)
        assert [one.dataset for one in found.datasets] == [FLIGHTS, "aviation/twice"]
        assert found.same
        lake.rebuild("aviation/twice", into=project.folder / "again")
        wanted = lake.read("aviation/twice").sort("k")
    with Lake(project.folder / "again/configs") as lake:
        assert lake.read("aviation/twice").sort("k").select("k").equals(wanted.select("k"))


def test_several_sources_and_their_code_tables_are_followed(project):
    project.configure("sources/codes", "type: files\npath: codes/*\nformat: {type: csv}")
    project.configure("sources/other", "type: files\npath: other/*\nformat: {type: csv, delimiter: ';'}")
    project.configure(
        "datasets/aviation/carriers",
        """
        source: codes
        history: snapshots
        keys: [code]
        schema:
          features:
            code: {type: string}
            name: {type: string}
        """,
    )
    project.configure(
        f"datasets/{FLIGHTS}",
        """
        sources:
          flights: {rename: {c: carrier}}
          other: {rename: {airline: carrier}, derive: {delay: "delay * 60"}}
        codes: {carrier: {dataset: aviation/carriers, from: code, to: name}}
        schema:
          features:
            carrier: {type: string}
            delay: {type: float, presence: optional}
        """,
    )
    for folder in ("codes", "other"):
        (project.folder / folder).mkdir()
    for number, meaning in enumerate(["United", "United Airlines"]):
        (project.folder / f"codes/{number}.csv").write_text(f"code,name\nUA,{meaning}\nAA,American\n")
        (project.folder / f"other/{number}.csv").write_text(f"airline;delay\nAA;{number}\n")
        project.deliver(f"{number}.csv", f"c,delay\nUA,{number}\nAA,2\n")
        with project.lake() as lake:
            for source in ("codes", "other", "flights"):
                lake.land(source)
            lake.curate("aviation/carriers")
            lake.curate(FLIGHTS)
    assert len(every_version(project)) == 2
    assert set(project_rows(project)["carrier"]) == {"United", "United Airlines", "American"}


def project_rows(project):
    with project.lake() as lake:
        return lake.read(FLIGHTS)


# A property: whatever happened, it can be made again.

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["1.csv", "2.csv", "3.csv"]),
        st.lists(st.sampled_from(["a,1", "b,2", "a,3", ",4", "c,", "d,x"]), min_size=1, max_size=4),
        st.sampled_from(["", "", "again"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.sampled_from(["events", "snapshots"]), happened=EVENTS)
def test_whatever_happened_can_be_made_again(tmp_path_factory, project, history, happened):
    project = type(project)(tmp_path_factory.mktemp("property"))
    keyed = SNAPSHOTS + "    max_deleted: 100%\n"
    project.configure(
        f"datasets/{FLIGHTS}",
        keyed
        if history == "snapshots"
        else keyed.replace("snapshots", "events").replace("    max_deleted: 100%\n", ""),
    )
    for name, rows, then in happened:
        project.deliver(name, "k,v\n" + "\n".join(rows) + "\n")
        take(project)
        if then:
            with project.lake() as lake:
                lake.curate(FLIGHTS, again=True)
    with project.lake() as lake:
        every = lake.history(FLIGHTS)
        for version in {every[len(every) // 2], every[-1]}:
            found = lake.rebuild(FLIGHTS, version=version.version)
            assert found.same, (version, found)


# Comparing, below the front door


def test_rows_are_compared_by_value_whatever_their_order_and_columns_that_came_later():
    rows = pl.DataFrame(
        {
            "_raw": ["f"] * 4 + [None],
            "_row": [1, 2, 3, 4, None],
            "x": [0.0, float("nan"), None, 1.5, 2.0],
            "l": [[1, None], [], None, [2], [3]],
            "_execution": [1, 1, 1, 2, 2],
        }
    )
    same = rows.reverse().with_columns(_execution=9, later=pl.lit(None, pl.String))
    assert compared(rows.lazy(), same.lazy(), ()).same
    zero = rows.with_columns(x=pl.when(pl.col("_row") == 1).then(-0.0).otherwise("x"))
    (differing,) = compared(rows.lazy(), zero.lazy(), ()).differing
    assert (differing.raw, differing.rows) == ("f", ("row 1",))
    twice = pl.concat([rows, rows.tail(1)])
    (differing,) = compared(rows.lazy(), twice.lazy(), ["x"]).differing
    assert (differing.raw, differing.recorded, differing.rebuilt) == (None, 1, 2)
    other = compared(rows.lazy(), rows.with_columns(pl.col("x").cast(pl.String)).lazy(), ())
    assert other.types == ("x: Float64 recorded, String rebuilt",)
    assert not other.same


def test_what_is_past_its_retention_is_told_everywhere_and_nothing_is_deleted(project):
    project.change(f"datasets/{FLIGHTS}", "source: flights", "source: flights\nretention: 2y")
    project.deliver("1.csv", project.morning)
    assert "retention" not in {note.kind for note in take(project).notes}
    project.clock.now += timedelta(days=2 * 365)
    project.deliver("2.csv", project.noon)
    (note,) = [note for note in take(project).notes if note.kind == "retention"]
    told = "past the retention of 2y: 2 rows recorded and 1 raw files landed before 2026-01-0"
    assert note.message.startswith(told)
    with project.lake() as lake:
        (problem,) = lake.check()
        assert problem.harmless
        assert problem.message.startswith(told)
        assert lake.show(FLIGHTS).settings["retention"].startswith(f"2y; {told}")
        (schema,) = lake._site.ledger.get_artifacts(type="Schema")
        assert schema.properties["retention"] == "2y"
        assert lake.rebuild(FLIGHTS).same
    assert len(project.read()) == 4
