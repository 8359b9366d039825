"""`optimize`: few sorted parts in place of many, and not one answer that changes: also after vacuum and clean-up."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from pasts import FLIGHTS, hours, lived, take
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from lakehouse import Lake, tables, timeline
from lakehouse.errors import IntegrityError
from lakehouse.tables import Commit

ROOT = Path(__file__).parents[1]
TABLE = f"data/curated/{FLIGHTS}"


def answers(project):
    """What every version and every moment of a version shows, and the quarantine."""
    with project.lake() as lake:
        versions = lake.history(FLIGHTS)
        rows = [lake.read(FLIGHTS, version=v.version).sort("_raw", "_row").rows() for v in versions]
        moments = timeline.read(lake._site.ledger, FLIGHTS).moments
        known = [lake.read(FLIGHTS, as_of=moments[v.execution]).sort("_raw", "_row").rows() for v in versions]
        columns = [lake.scan(FLIGHTS, version=v.version).collect_schema() for v in versions]
        rejected = lake.quarantine(FLIGHTS).sort("_raw", "_row").collect().rows()
    return versions, rows, known, columns, rejected


def optimize(project):
    with project.lake() as lake:
        return lake.optimize(FLIGHTS)


def problems(project):
    with project.lake() as lake:
        return lake.check()


def parts(project):
    return DeltaTable(project.folder / TABLE).file_uris()


def test_after_optimizing_vacuum_and_clean_up_every_version_and_moment_answers_as_before(project):
    before = answers(lived(project))
    done = optimize(project)
    assert (done.parts, done.written, done.execution > 0) == (8 + 2, 2, True)
    assert len(parts(project)) == 1
    assert answers(project) == before
    assert problems(project) == ()
    assert optimize(project).execution == 0
    for uri in (TABLE, f"data/quarantine/{FLIGHTS}"):
        table = project.folder / uri
        gone = DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
        assert len(gone) >= 2
        DeltaTable(table).alter.set_table_properties(
            {"delta.logRetentionDuration": "interval 0 seconds", "delta.enableExpiredLogCleanup": "true"}
        )
        opened = DeltaTable(table)
        opened.create_checkpoint()
        opened.cleanup_metadata()
        assert len(list((table / "_delta_log").glob("*.json"))) == 1
    assert answers(project) == before
    assert optimize(project).execution == 0
    told = problems(project)
    wrong = [problem for problem in told if not problem.harmless]
    assert all("(SET TBLPROPERTIES) was not made by the lake" in problem.message for problem in wrong)
    assert len([problem for problem in told if "cleaned away behind a checkpoint" in problem.message]) == 2
    project.deliver("late.csv", project.noon)
    assert take(project).version == before[0][-1].version + 5
    for was, now in zip(before[:4], answers(project)[:4], strict=True):
        assert [*now][: len(was)] == [*was]


def test_the_dataset_goes_on_after_it_also_into_a_new_table(project):
    before = answers(lived(project))
    optimize(project)
    project.deliver("9.csv", project.header + hours(9, 1))
    version = take(project).version
    assert version == before[0][-1].version + 2  # the table's own version in between is none of the dataset's
    project.change(f"datasets/{FLIGHTS}", "dep_delay: {type: int,", "dep_delay: {type: float,")
    with project.lake() as lake:
        newer = lake.curate(FLIGHTS, again=True).version
        assert lake.history(FLIGHTS)[-1].table_version == 0
    assert newer == version + 1
    after = answers(project)
    for was, now in zip(before[:4], after[:4], strict=True):
        assert [*now][: len(was)] == [*was]
    optimize(project)
    assert answers(project) == after
    assert problems(project) == ()


def test_rows_are_sorted_by_event_time_within_a_part(project):
    lived(project)
    optimize(project)
    (part,) = parts(project)
    moments = pl.read_parquet(part)["time_hour"]
    assert moments.is_sorted()
    assert len(moments) == 8 * 3 + 1


def test_who_began_to_read_before_reads_to_the_end(project):
    lived(project)
    with project.lake() as lake:
        begun = lake.scan(FLIGHTS)
        wanted = begun.sort("_raw", "_row").collect()
        begun = lake.scan(FLIGHTS)
        optimize(project)
        assert_frame_equal(begun.sort("_raw", "_row").collect(), wanted)


def test_curating_beside_it_loses_and_doubles_nothing(project):
    lived(project)
    errors = []

    def take(act):
        try:
            with Lake(project.folder / "configs") as lake:
                act(lake)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    for number in range(3):
        project.deliver(f"beside-{number}.csv", project.header + hours(20 + number, 1, 2))
        acts = (lambda lake: lake.run("nightly"), lambda lake: lake.optimize(FLIGHTS))
        racing = [threading.Thread(target=take, args=(act,)) for act in acts]
        [thread.start() for thread in racing]
        [thread.join() for thread in racing]
    assert errors == []
    assert len(project.read()) == 8 * 3 - 3 + 1 + 6
    assert [str(problem) for problem in problems(project)] == []


@pytest.mark.parametrize("point", ["optimize.begun", "optimize.sealed", "optimize.committed"])
def test_a_kill_at_any_point_costs_nothing(project, point):
    before = answers(lived(project))
    code = f"from lakehouse import Lake\nwith Lake('configs') as lake:\n    lake.optimize({FLIGHTS!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env={**os.environ, "LAKEHOUSE_FAIL_AT": point, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert answers(project) == before
    assert all(problem.harmless for problem in problems(project)), problems(project)
    again = optimize(project)
    assert [note.kind for note in again.notes] == ["recovered"]
    assert optimize(project).execution == 0
    assert answers(project) == before
    assert problems(project) == ()


def test_a_part_that_was_changed_is_not_written_again_under_a_new_hash(project):
    lived(project)
    part = Path(min(parts(project)))
    whole = part.read_bytes()
    part.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(IntegrityError, match=r"no longer matches its hash; nothing was changed"):
        optimize(project)
    part.write_bytes(whole)
    assert problems(project) == ()
    assert optimize(project).parts == 10


def test_a_lost_ledger_is_made_again_also_from_the_log_alone(project):
    before = answers(lived(project))
    execution = optimize(project).execution
    for file in (
        *(project.folder / "data").glob("metadata.db*"),
        project.folder / f"data/receipts/000/{execution}.json",
    ):
        file.unlink()
    Lake.repair(project.folder / "configs")
    assert answers(project)[1:] == before[1:]
    assert problems(project) == ()
    with project.lake() as lake:
        (found,) = lake._site.ledger.get_executions(ids=[execution])
        assert found.type == "Optimize"
        assert FLIGHTS in json.loads(found.properties["commits"]).popitem()[0]
        assert lake.optimize(FLIGHTS).execution == 0


def forged(project, change):
    """An optimization's commit that puts other rows in the place of those that are there."""
    table = project.folder / TABLE
    (held,) = tables.bins(table)
    file = project.folder / "forged.parquet"
    tables.rewrite(table, held, file, ())
    change(pl.read_parquet(file)).write_parquet(file)
    part = tables.seal(file, table, "99-0")
    note = {"lakehouse.execution": "99", "lakehouse.commit": "forged"}
    tables.replace(table, held, [part], note, datetime(2026, 1, 1, tzinfo=UTC))
    return [str(problem) for problem in problems(project) if not problem.harmless]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda rows: rows.with_columns(dep_delay=pl.lit(7, pl.Int64)),
            "put other rows in the place of those it replaced",
        ),
        (lambda rows: rows.with_columns(carrier=pl.col("carrier").shuffle(1) + pl.col("origin")), "put other rows"),
        (lambda rows: rows.head(20), "put 20 rows in the place of 25"),
        (lambda rows: rows, "version 9, of execution:99, is one that the ledger does not know"),
    ],
)
def test_a_commit_that_only_looks_like_an_optimization_is_found(project, change, told):
    found = forged(lived(project), change)
    assert any(told in problem for problem in found), found


def test_personal_values_stay_out_of_the_log(project):
    project.change(f"datasets/{FLIGHTS}", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    lived(project)
    optimize(project)
    bounds = pl.DataFrame(DeltaTable(project.folder / TABLE).get_add_actions(flatten=True))
    assert "min.origin" in bounds.columns
    assert "min.carrier" not in bounds.columns or bounds["min.carrier"].null_count() == len(bounds)


# Below the front door: any values, any partition.

VALUES = dataframes(
    min_cols=1,
    max_cols=6,
    min_size=1,
    max_size=12,
    allow_null=True,
    allowed_dtypes=[
        pl.Int64,
        pl.Float64,
        pl.Float32,
        pl.String,
        pl.Boolean,
        pl.Date,
        pl.Binary,
        pl.Decimal(18, 4),
        pl.Datetime("us", "UTC"),
        pl.List(pl.Float64),
        pl.List(pl.String),
    ],
)


def sealed(table, frame, number, folder=""):
    file = table.parent / "work" / str(number) / folder / "part.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(file)
    return tables.seal(file, table, f"{number}-0")


def rewritten(table, sort_by=()):
    """All that is due of a table, written again."""
    held = tables.bins(table)
    work = table.parent / "again"
    new = []
    for number, neighbours in enumerate(held):
        file = work / str(number) / Path(neighbours[0].path).parent / "part.parquet"
        tables.rewrite(table, neighbours, file, sort_by)
        new.append(tables.seal(file, table, f"900-{number}"))
    note = {"lakehouse.execution": "900", "lakehouse.commit": "x"}
    tables.replace(
        table, [part for neighbours in held for part in neighbours], new, note, datetime(2026, 1, 1, tzinfo=UTC)
    )
    return new


@settings(max_examples=15, deadline=None)
@given(frame=VALUES, cuts=st.integers(1, 4))
def test_whatever_the_values_are_they_stay_as_they_were(tmp_path_factory, frame, cuts):
    table = tmp_path_factory.mktemp("any") / "t"
    frame = frame.rename({name: f"c{at}" for at, name in enumerate(frame.columns)})
    rows = frame.with_row_index("n").with_columns(
        _execution=pl.col("n").cast(pl.Int64) % (cuts + 1), n=pl.col("n").cast(pl.Int64)
    )
    schema = tables.schema_of(dict(rows.schema))
    for number in range(cuts + 1):
        part = sealed(table, rows.filter(pl.col("_execution") == number), number)
        tables.append(table, Commit(number + 1, (part,), schema, {"lakehouse.execution": str(number)}))
    before = tables.scan(table).sort("n").collect()
    hashed = tables.digests(before.lazy(), ["_execution"], dict(before.schema))
    rewritten(table, ["c0", "n"])
    after = tables.scan(table).sort("n").collect()
    assert_frame_equal(after, before, check_exact=True)
    assert tables.digests(after.lazy(), ["_execution"], dict(after.schema)).equals(hashed)
    assert list(tables.faults(table)) == []


@pytest.mark.parametrize("values", [["a", "b c", "ü/?%#=", None]])
def test_partitions_stay_apart_whatever_their_values(tmp_path, values):
    table = tmp_path / "t"
    schema = tables.schema_of({"k": pl.Int64(), "_execution": pl.Int64(), "p": pl.String()})
    for number in range(3):
        frame = pl.DataFrame(
            {"k": range(4), "_execution": [number] * 4, "p": values}, schema_overrides={"_execution": pl.Int64}
        )
        folder = tmp_path / "in" / str(number)
        frame.write_parquet(pl.PartitionBy(folder, key=["p"], include_key=False), mkdir=True)
        found = [
            tables.seal(file, table, f"{number}-{at}") for at, file in enumerate(sorted(folder.rglob("*.parquet")))
        ]
        commit = Commit(number + 1, tuple(found), schema, {"lakehouse.execution": str(number)}, ("p",))
        tables.append(table, commit)
    before = tables.scan(table).sort("_execution", "k").collect()
    assert len(rewritten(table, ["k"])) == 4
    assert_frame_equal(tables.scan(table).sort("_execution", "k").collect(), before)
    assert len(DeltaTable(table).file_uris()) == 4
    assert list(tables.faults(table)) == []


def test_neighbours_by_execution_are_put_together_up_to_the_target_and_large_parts_stand(tmp_path):
    table = tmp_path / "t"
    schema = {"k": pl.Int64(), "_execution": pl.Int64()}
    sizes = [1000] * 3 + [5000] + [1000] * 7
    for number, size in enumerate(sizes):
        frame = pl.DataFrame({"k": range(size), "_execution": [number] * size}, schema=schema)
        commit = Commit(
            number + 1, (sealed(table, frame, number),), tables.schema_of(schema), {"lakehouse.commit": str(number)}
        )
        tables.append(table, commit)
    weight = min(part.weight for neighbours in tables.bins(table) for part in neighbours)
    found = tables.bins(table, target=5 * weight)
    assert [[part.first for part in neighbours] for neighbours in found] == [[0, 1, 2], [4, 5, 6, 7, 8], [9, 10]]
    assert all(part.first == part.last for neighbours in found for part in neighbours)


def test_an_older_state_skips_the_parts_that_came_later_also_in_a_wide_table(tmp_path):
    table = tmp_path / "t"
    schema = {**{f"c{at}": pl.Int64() for at in range(80)}, "_execution": pl.Int64(), "last": pl.Int64()}
    for number in range(1, 5):
        frame = pl.DataFrame({name: [number] for name in schema}, schema=schema)
        commit = Commit(
            number, (sealed(table, frame, number),), tables.schema_of(schema), {"lakehouse.commit": str(number)}
        )
        tables.append(table, commit)
    for later in ("3-0-*", "4-0-*"):
        next(table.glob(later)).unlink()
    assert tables.until(table, 2, width=None, version=1).collect()["c0"].sort().to_list() == [1, 2]
    assert tables.parts_until(table, 2) == (2, 4)


def test_rows_that_differ_in_one_value_have_other_hashes():
    rows = [
        {"f": 0.0, "l": [1.0], "s": ""},
        {"f": -0.0, "l": [1.0], "s": ""},
        {"f": None, "l": [1.0], "s": ""},
        {"f": float("nan"), "l": [1.0], "s": ""},
        {"f": 0.0, "l": [], "s": ""},
        {"f": 0.0, "l": None, "s": ""},
        {"f": 0.0, "l": [None], "s": ""},
        {"f": 0.0, "l": [1.0], "s": None},
    ]
    frame = pl.DataFrame(rows, schema={"f": pl.Float64, "l": pl.List(pl.Float64), "s": pl.String})
    assert frame.select(tables.row_hash(dict(frame.schema))).to_series().n_unique() == len(rows)
    assert tables.digests(frame.reverse().lazy(), [], dict(frame.schema)).equals(
        tables.digests(frame.lazy(), [], dict(frame.schema))
    )
