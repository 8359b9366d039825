"""A whole lake whose ledger is on a server: it does, crashes and recovers as with a file beside it."""

import signal

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from lakehouse.cli import program
from lakehouse.errors import MetadataError
from lakehouse.records import ExecutionState

pytestmark = pytest.mark.parametrize("ledger_url", ["mysql", "postgresql"], indirect=True)


@pytest.fixture
def beside(new_project, tmp_path):
    """A project like the other, with its ledger in a file."""
    return new_project(tmp_path / "beside")


@pytest.fixture
def project(project, ledger_url):
    project.configure("lakehouse", f"root: data\nmetadata: {ledger_url.replace('127.0.0.1', '${LEDGER_HOST}')}")
    return project


@pytest.fixture(autouse=True)
def _host(monkeypatch):
    monkeypatch.setenv("LEDGER_HOST", "127.0.0.1")


def deliver(project):
    """Two files, one with a row that is refused."""
    project.deliver("1.csv", project.morning + "2013-01-01T07:00:00Z,UA,1,EWR,late\n")
    project.deliver("2.csv", project.noon)


def seen(project):
    """All that a lake tells which must not depend on where its ledger is."""
    rows = project.read().drop("_execution", "_recorded_at")
    with project.lake() as lake:
        assert lake.check() == ()
        history = [(v.version, v.rows, v.total, v.rejected, v.files) for v in lake.history(project.flights)]
        assert not lake._site.ledger.get_executions(state=ExecutionState.RUNNING)
        kinds = sorted(e.type for e in lake._site.ledger.get_executions(state=ExecutionState.COMPLETE))
    rejected = [(row["_raw"], row["_row"], row["reasons"]) for row in project.quarantine()]
    return rows, history, rejected, kinds


def assert_same(project, beside):
    (rows, *others), (expected, *expected_others) = seen(project), seen(beside)
    assert_frame_equal(rows, expected)
    assert others == expected_others


def test_it_lands_curates_corrects_and_tells_as_with_a_file(project, beside):
    for each in (project, beside):
        deliver(each)
        assert each.run().ok
        each.deliver("1.csv", each.morning.replace("EWR,2", "EWR,3"))
        assert each.run().ok
        assert each.run().ok
        assert (each.folder / "data" / "metadata.db").exists() == (each is beside)
    assert_same(project, beside)
    assert project.read().filter(pl.col("flight") == 1545)["dep_delay"].to_list() == [3]


@pytest.mark.parametrize("point", ["land.renamed:2", "curate.committed"])
def test_a_kill_costs_nothing(project, beside, point):
    for each in (project, beside):
        deliver(each)
    killed = project.start("-m", "lakehouse", "run", "nightly", LAKEHOUSE_FAIL_AT=point)
    assert (killed.wait(120), killed.communicate()[0]) == (-signal.SIGKILL, "")
    for each in (project, beside):
        assert each.run().ok
    assert_same(project, beside)


def test_the_commands_tell_of_it(project, monkeypatch):
    deliver(project)
    project.run()
    monkeypatch.chdir(project.folder)
    name = project.flights
    for arguments in (["list"], ["history", name], ["show", name], ["lineage", name], ["check"], ["quarantine", name]):
        told = CliRunner().invoke(program, arguments)
        assert (told.exit_code, told.exception) == (0, None), arguments
        assert told.output


def test_a_lake_that_lost_its_database_is_not_begun_anew(project, servers, tmp_path, ledger_url):
    deliver(project)
    project.run()
    empty = servers.new(ledger_url.partition("+")[0], tmp_path)
    project.configure("lakehouse", f"root: data\nmetadata: {empty}")
    with pytest.raises(MetadataError, match=r"is gone; .*lakehouse check --repair"):
        project.run()
