"""Delta tables that only grow: exactly once, skippable, typed strictly, reachable and durable."""

import json
import multiprocessing
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from racing import race

from lakehouse import tables
from lakehouse.errors import CommitError, SchemaError, StorageError
from lakehouse.tables import Commit


def sealed(table: Path, frame: pl.DataFrame, name: str = "1-0", private=(), **options):
    work = table.parent / f"{table.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{name}.parquet"
    frame.write_parquet(file, **options)
    return tables.seal(file, table, name, private)


def commit_of(table: Path, frame: pl.DataFrame, sequence: int = 1, note: str = "", **seal_options) -> Commit:
    part = sealed(table, frame, f"{sequence}-0", **seal_options)
    note = note or f"n{sequence}"
    return Commit(sequence, (part,), tables.schema_of(dict(frame.schema)), {"lakehouse.execution": note})


def ints(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"k": list(values)}, schema={"k": pl.Int64})


def rows(table: Path) -> list[int]:
    return sorted(tables.scan(table).collect()["k"].to_list())


def made(execution: int, *values: int) -> pl.DataFrame:
    """Rows that an execution appends."""
    return ints(*values).with_columns(_execution=pl.lit(execution, pl.Int64))


def held(table: Path, execution: int, **then) -> pl.DataFrame:
    """What the table held when an execution had appended to it."""
    return tables.until(table, execution, **{"width": None, "version": 0, **then}).sort("k").collect()


@pytest.fixture
def table(tmp_path):
    return tmp_path / "curated" / "a" / "d"


def test_there_is_no_version_and_no_layout_before_the_first_commit(table):
    assert tables.version(table) is None
    assert tables.layout(table) is None
    assert list(tables.faults(table)) == []
    assert tables.orphans(table, 1) == []


def test_scanning_a_table_that_is_not_there_is_a_storage_error(table):
    with pytest.raises(StorageError):
        tables.scan(table)


def test_appending_the_same_commit_again_adds_nothing_and_gives_its_version(table):
    first, second = commit_of(table, ints(1)), commit_of(table, ints(2), 2)
    assert [tables.append(table, c) for c in (first, first, second, first, second)] == [0, 0, 1, 0, 1]
    assert rows(table) == [1, 2]
    assert tables.version(table) == 1


def test_another_commit_under_a_taken_number_is_refused_and_changes_nothing(table):
    tables.append(table, commit_of(table, ints(1)))
    tables.append(table, commit_of(table, ints(2), 2))
    other = Commit(
        2, (sealed(table, ints(9), "9-0"),), tables.schema_of({"k": pl.Int64()}), {"lakehouse.execution": "x"}
    )
    with pytest.raises(CommitError, match=r"does not know commit 2 of this table.*older copy or lost.*metadata\.db"):
        tables.append(table, other)
    assert rows(table) == [1, 2]


def test_a_commit_survives_being_kept_as_text(table):
    commit = commit_of(table, ints(1))
    assert Commit.from_json(commit.to_json()) == commit
    tables.append(table, Commit.from_json(commit.to_json()))
    assert tables.append(table, commit) == 0
    assert rows(table) == [1]


def test_a_commit_without_parts_makes_a_version_that_holds_the_same_rows(table):
    tables.append(table, commit_of(table, ints(1)))
    empty = Commit(2, (), tables.schema_of({"k": pl.Int64()}), {"lakehouse.execution": "2"})
    assert tables.append(table, empty) == 1
    assert tables.append(table, empty) == 1
    assert rows(table) == [1]


def raced(table: Path, commits: list[Commit]) -> list:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(commits)), context.Queue()
    processes = [context.Process(target=race, args=(str(table), c.to_json(), barrier, results)) for c in commits]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return found


@pytest.mark.parametrize("existing", [False, True])
def test_of_two_processes_with_different_commits_of_one_number_one_wins_and_the_other_is_told(table, existing):
    number = 1
    if existing:
        tables.append(table, commit_of(table, ints(0)))
        number = 2
    commits = [
        Commit(
            number,
            (sealed(table, ints(n), f"{n}-0"),),
            tables.schema_of({"k": pl.Int64()}),
            {"lakehouse.execution": str(n)},
        )
        for n in (10, 20)
    ]
    found = raced(table, commits)
    assert sorted(map(str, found)) == [str(number - 1), "CommitError"]
    assert rows(table) in ([0] * existing + [10], [0] * existing + [20])


@pytest.mark.parametrize("existing", [False, True])
def test_two_processes_with_the_same_commit_make_it_once_and_both_learn_its_version(table, existing):
    number = 1
    if existing:
        tables.append(table, commit_of(table, ints(0)))
        number = 2
    commit = commit_of(table, ints(5), number)
    assert raced(table, [commit, commit]) == [number - 1, number - 1]
    assert rows(table) == [0] * existing + [5]


def test_a_new_column_is_added_and_is_null_in_older_rows(table):
    tables.append(table, commit_of(table, made(1, 1)))
    wider = made(2, 2).with_columns(extra=pl.lit("x"))
    version = tables.append(table, commit_of(table, wider, 2))
    assert tables.scan(table).sort("k").collect()["extra"].to_list() == [None, "x"]
    assert held(table, 1).rows() == held(table, 1, width=2, version=-7).rows() == [(1, 1)]
    assert held(table, 1, version=99).columns == ["k", "_execution", "extra"]  # no such version tells how wide it was
    assert held(table, 2, version=version).rows() == [(1, 1, None), (2, 2, "x")]
    assert tables.append(table, commit_of(table, wider, 2)) == version
    assert list(tables.faults(table)) == []


def test_a_commit_that_lacks_a_column_of_the_table_has_nulls_there(table):
    tables.append(table, commit_of(table, ints(1).with_columns(extra=pl.lit("x"))))
    tables.append(table, commit_of(table, ints(2), 2))
    assert tables.scan(table).sort("k").collect()["extra"].to_list() == ["x", None]


@pytest.mark.parametrize(
    "dtype",
    [pl.Int32(), pl.Float64(), pl.String(), pl.Decimal(10, 2), pl.Date(), pl.Datetime("us", "UTC"), pl.Boolean()],
)
def test_a_changed_type_is_refused_by_name_and_nothing_is_appended(table, dtype):
    tables.append(table, commit_of(table, ints(1)))
    with pytest.raises(SchemaError, match="k from"):
        tables.append(table, commit_of(table, pl.DataFrame({"k": [None]}, schema={"k": dtype}), 2))
    assert rows(table) == [1]
    assert tables.version(table) == 0


def test_a_changed_decimal_scale_is_a_changed_type(table):
    tables.append(table, commit_of(table, pl.DataFrame({"k": [Decimal("1.50")]}, schema={"k": pl.Decimal(10, 2)})))
    with pytest.raises(SchemaError):
        tables.append(table, commit_of(table, pl.DataFrame({"k": [None]}, schema={"k": pl.Decimal(10, 3)}), 2))


def test_the_layout_is_the_columns_and_the_partitioning(table, tmp_path):
    file = tmp_path / "c=x" / "p.parquet"
    file.parent.mkdir()
    ints(1).write_parquet(file)
    part = tables.seal(file, table, "1-0")
    schema = {"k": pl.Int64(), "c": pl.String()}
    tables.append(table, Commit(1, (part,), tables.schema_of(schema), {"lakehouse.execution": "1"}, ("c",)))
    assert tables.layout(table) == (schema, ("c",))


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "x y",
        "ä/ö",
        "a=b",
        "50%",
        "a+b",
        "'q'",
        None,
        "%2F",
        "ü:?",
    ],
)
def test_a_partition_value_comes_back_as_it_was(table, tmp_path, value):
    frame = ints(1).with_columns(c=pl.lit(value, pl.String))
    frame.lazy().sink_parquet(pl.PartitionBy(tmp_path / "w", key=["c"], include_key=False), mkdir=True)
    (file,) = (tmp_path / "w").rglob("*.parquet")
    part = tables.seal(file, table, "1-0")
    commit = Commit(1, (part,), tables.schema_of(dict(frame.schema)), {"lakehouse.execution": "1"}, ("c",))
    assert tables.orphans(table, 1) == [table / part.path]
    tables.append(table, commit)
    assert tables.scan(table).collect()["c"].to_list() == [value]
    assert pl.scan_delta(str(table)).collect()["c"].to_list() == [value]
    assert tables.scan(table).filter(pl.col("c").eq_missing(pl.lit(value))).collect().height == 1
    assert list(tables.faults(table)) == []
    assert tables.orphans(table, 1) == []  # it belongs to a version


def stats(frame: pl.DataFrame, tmp_path: Path, **options):
    return json.loads(sealed(tmp_path / "t", frame, **options).stats)


def test_bounds_of_timestamps_with_microseconds_hold_them(tmp_path):
    moments = [datetime(2026, 1, 1, 0, 0, 0, 1, UTC), datetime(2026, 1, 1, 23, 59, 59, 999_999, UTC)]
    found = stats(pl.DataFrame({"t": moments}, schema={"t": pl.Datetime("us", "UTC")}), tmp_path)
    assert found["minValues"]["t"] == "2026-01-01T00:00:00.000Z"
    assert found["maxValues"]["t"] == "2026-01-02T00:00:00.000Z"


def test_bounds_of_moments_before_1970_and_of_years_before_1000_hold_them(tmp_path):
    moments = [datetime(900, 1, 1, 0, 0, 0, 1, UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)]
    found = stats(pl.DataFrame({"t": moments}, schema={"t": pl.Datetime("us", "UTC")}), tmp_path)
    assert found["minValues"]["t"] == "0900-01-01T00:00:00.000Z"
    assert found["maxValues"]["t"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("text", ["x" * 100, "\U0010ffff" * 40, "é" * 33, "a" * 31 + "\U0001f600" * 5])
def test_bounds_of_long_strings_are_short_and_still_hold_them(tmp_path, text):
    found = stats(pl.DataFrame({"s": [text]}), tmp_path)
    if "s" in found["maxValues"]:
        assert found["minValues"]["s"].encode() <= text.encode() <= found["maxValues"]["s"].encode()
        assert len(found["maxValues"]["s"]) <= 33


@pytest.mark.parametrize(
    "text", ["+10000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000001Z"]
)
def test_moments_at_the_end_of_pythons_years_and_beyond_are_sealed_and_found(table, text):
    moment = pl.lit(text).str.to_datetime("%+", time_unit="us", time_zone="UTC")
    tables.append(table, commit_of(table, pl.select(k=1, t=moment)))
    assert tables.scan(table).filter(pl.col("t") == moment).collect().height == 1


def test_a_folder_with_an_equals_sign_far_above_a_part_is_no_partition(tmp_path):
    part = sealed(tmp_path / "env=prod" / "lake" / "t", ints(1))
    assert part.partition == {}


def test_negative_bounds_nulls_and_counts_are_right(tmp_path):
    frame = pl.DataFrame({"k": [-5, None, 3], "f": [-1.5, None, -0.5], "d": [date(1900, 1, 1), None, None]})
    found = stats(frame, tmp_path)
    assert found["numRecords"] == 3
    assert found["minValues"] == {"k": -5, "f": -1.5, "d": "1900-01-01"}
    assert found["maxValues"] == {"k": 3, "f": -0.5, "d": "1900-01-01"}
    assert found["nullCount"] == {"k": 1, "f": 1, "d": 2}


def test_a_column_of_nulls_only_has_a_count_and_no_bounds(tmp_path):
    found = stats(pl.DataFrame({"k": [None, None]}, schema={"k": pl.Int64}), tmp_path)
    assert (found["nullCount"], found["minValues"]) == ({"k": 2}, {})


def test_private_columns_leave_no_bound_in_the_log(table):
    frame = pl.DataFrame({"k": [1], "name": ["Ada Lovelace"]})
    tables.append(table, commit_of(table, frame, private=["name"]))
    assert "Ada" not in (table / "_delta_log" / f"{0:020}.json").read_text()
    assert rows(table) == [1]


VALUES = {
    "i": (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "f": (pl.Float64, st.floats()),
    "s": (pl.String, st.text(max_size=40)),
    "t": (pl.Datetime("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "d": (pl.Date, st.dates()),
    "m": (pl.Decimal(38, 9), st.decimals(-(10**28), 10**28, places=9)),
    "b": (pl.Boolean, st.booleans()),
    "y": (pl.Binary, st.binary(max_size=40)),
}


@pytest.mark.parametrize("kind", sorted(VALUES))
def test_a_filter_finds_every_value_whatever_the_bounds_say(tmp_path_factory, kind):
    dtype, strategy = VALUES[kind]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | strategy, min_size=1, max_size=4), st.integers(1, 2))
    def holds(values, group):
        table = tmp_path_factory.mktemp("p") / "curated" / "a" / "d"
        frame = pl.DataFrame({"k": range(len(values)), "x": pl.Series(values, dtype=dtype)})
        tables.append(table, commit_of(table, frame, row_group_size=group))
        for value in values:
            if value is None:
                continue
            wanted = frame.filter(pl.col("x") == pl.lit(value, dtype))["k"].to_list()
            assert wanted
            for condition in (
                pl.col("x") == pl.lit(value, dtype),
                pl.col("x").is_in(pl.Series([value], dtype=dtype).implode()),
            ):
                found = tables.scan(table).filter(condition).collect()["k"].to_list()
                assert sorted(found) == wanted, value
        assert [f.message for f in tables.faults(table)] == []

    holds()


def test_a_filter_skips_the_parts_that_cannot_hold_it_even_when_they_are_gone(table):
    days = [datetime(2026, 1, day, 12, 0, 0, 1500, UTC) for day in (1, 2, 3)]
    for number, day in enumerate(days, 1):
        frame = pl.DataFrame(
            {"k": [number], "t": [day], "s": [f"name {number}"]}, schema_overrides={"t": pl.Datetime("us", "UTC")}
        )
        tables.append(table, commit_of(table, frame, number))
    for gone in ("1-*", "3-*"):
        next(table.glob(gone)).unlink()
    for condition in (
        pl.col("t") == days[1],
        pl.col("t").is_between(days[1] - timedelta(hours=1), days[1] + timedelta(hours=1)),
        pl.col("k") == 2,
        pl.col("s") == "name 2",
    ):
        assert tables.scan(table).filter(condition).collect()["k"].to_list() == [2]
    with pytest.raises((pl.exceptions.PolarsError, OSError)):
        tables.scan(table).collect()


def test_delta_itself_reads_the_bounds(table):
    tables.append(table, commit_of(table, ints(3, 9)))
    actions = pl.DataFrame(DeltaTable(table).get_add_actions(flatten=True))
    assert actions.select("num_records", "min.k", "max.k", "null_count.k").row(0) == (2, 3, 9, 0)


@pytest.mark.parametrize(
    "name", ["with blank", "ünïcode", "50%", "env=prod", "quo'te", "[x]", "{y}", "#h", "q?", "a&b=c", "ж"]
)
def test_a_lake_under_any_folder_name_is_read_and_appended(tmp_path, name):
    table = tmp_path / name / "curated" / "a" / "d"
    tables.append(table, commit_of(table, made(1, 1)))
    tables.append(table, commit_of(table, made(2, 2), 2))
    assert rows(table) == [1, 2]
    assert held(table, 1)["k"].to_list() == [1]
    assert tables.scan(table).filter(pl.col("k") == 2).collect().height == 1
    assert list(tables.faults(table)) == []


def test_two_lakes_whose_names_need_an_alias_are_not_mixed_up(tmp_path):
    for number, name in enumerate(["la ke", "la  ke"]):
        table = tmp_path / name / "curated" / "a" / "d"
        tables.append(table, commit_of(table, ints(number)))
    assert [rows(tmp_path / n / "curated/a/d") for n in ("la ke", "la  ke")] == [[0], [1]]


def test_the_table_keeps_its_past_for_ever_and_only_grows(table):
    tables.append(table, commit_of(table, ints(1)))
    configuration = DeltaTable(table).metadata().configuration
    assert configuration["delta.appendOnly"] == "true"
    assert configuration["delta.enableExpiredLogCleanup"] == "false"
    assert configuration["delta.logRetentionDuration"] == "interval 36500 days"
    assert configuration["delta.deletedFileRetentionDuration"] == "interval 36500 days"
    with pytest.raises(Exception, match=r"(?i)append"):
        DeltaTable(table).delete()


def test_every_version_still_answers_after_a_checkpoint(table):
    for number in range(1, 105):
        tables.append(table, commit_of(table, made(number, number), number))
    assert list((table / "_delta_log").glob("*.checkpoint.parquet"))
    assert [len(held(table, number)) for number in (1, 2, 99, 100, 101, 104)] == [1, 2, 99, 100, 101, 104]
    assert list(tables.faults(table)) == []
    checkpoint = next((table / "_delta_log").glob("*.checkpoint.parquet"))
    frame = pl.read_parquet(checkpoint)
    adds = frame["add"].struct.field("path").is_not_null()
    frame.filter(~(adds & (adds.cum_sum() == 1))).write_parquet(checkpoint)
    messages = [fault.message for fault in tables.faults(table)]
    assert any("checkpoint" in message or "cannot be opened" in message for message in messages), messages


def test_sealing_moves_a_file_under_its_hash_and_finds_it_again(table):
    part = sealed(table, ints(1, 2), "17-3")
    assert part.path.startswith("17-3-")
    assert part.rows == 2
    assert (table / part.path).stat().st_size == part.size
    assert tables.orphans(table, 17) == [table / part.path]
    assert tables.orphans(table, 1) == []


def test_sealing_a_file_that_is_not_there_is_a_storage_error(table, tmp_path):
    with pytest.raises(StorageError, match="sealing"):
        tables.seal(tmp_path / "nothing.parquet", table, "1-0")


def test_a_part_beside_the_table_is_a_stray_and_a_committed_one_is_not(table):
    tables.append(table, commit_of(table, ints(1)))
    assert tables.strays(table) == []
    stray = sealed(table, ints(2), "2-0")
    assert tables.strays(table) == [stray.path]


def test_a_copied_table_is_whole_wherever_it_lies(table, tmp_path):
    tables.append(table, commit_of(table, ints(1)))
    copy = tmp_path / "elsewhere" / "curated" / "a" / "d"
    shutil.copytree(table, copy)
    shutil.rmtree(table)
    assert rows(copy) == [1]
    assert list(tables.faults(copy)) == []


@pytest.mark.parametrize("keep", [0, 40, -1, -2])
def test_a_torn_newest_log_entry_is_refused_by_name_before_reading_and_before_a_commit(table, keep):
    tables.append(table, commit_of(table, made(1, 1)))
    tables.append(table, commit_of(table, made(2, 2), 2))
    entry = table / "_delta_log" / f"{1:020}.json"
    whole = entry.read_bytes().rstrip(b"\n")
    entry.write_bytes(whole[:keep])
    third = commit_of(table, made(3, 3), 3)
    for act in (
        lambda: tables.scan(table),
        lambda: tables.until(table, 2, width=None, version=1),
        lambda: tables.version(table),
        lambda: tables.layout(table),
        lambda: tables.append(table, third),
    ):
        with pytest.raises(StorageError, match=r"0001\.json is torn.*backup.*lakehouse check"):
            act()
    assert held(table, 1)["k"].to_list() == [1]
    assert not (table / "_delta_log" / f"{2:020}.json").exists()
    entry.write_bytes(whole)
    assert tables.append(table, third) == 2
    assert rows(table) == [1, 2, 3]


def synced(monkeypatch, act) -> set[str]:
    """Names of the files that were synced meanwhile."""
    names, fsync = set(), os.fsync

    def note(descriptor):
        names.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", note)
        act()
    return names


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks up open files in /proc")
def test_every_file_a_commit_wrote_to_the_log_is_synced_also_when_it_was_made_before(table, monkeypatch):
    for number in range(1, 99):
        tables.append(table, Commit(number, (), tables.schema_of({"k": pl.Int64()}), {"n": str(number)}))
    wider = Commit(99, (), tables.schema_of({"k": pl.Int64(), "v": pl.Int64()}), {"n": "99"})
    before = set((table / "_delta_log").iterdir())
    first = synced(monkeypatch, lambda: tables.append(table, wider))
    made = {file.name for file in (table / "_delta_log").iterdir() if file not in before}
    assert {f"{98:020}.json", f"{99:020}.json", f"{99:020}.checkpoint.parquet", "_last_checkpoint"} <= made
    assert made <= first
    assert made <= synced(monkeypatch, lambda: tables.append(table, wider))
    early = Commit(5, (), tables.schema_of({"k": pl.Int64()}), {"n": "5"})
    assert f"{4:020}.json" in synced(monkeypatch, lambda: tables.append(table, early))


def test_commits_whose_notes_differ_in_one_word_only_are_two_commits(table):
    note = {"lakehouse.execution": "1", "lakehouse.commit": "a" * 32}
    schema = tables.schema_of({"k": pl.Int64()})
    mine, other = Commit(1, (), schema, note), Commit(1, (), schema, {**note, "lakehouse.commit": "b" * 32})
    assert [tables.append(table, mine), tables.append(table, mine)] == [0, 0]
    with pytest.raises(CommitError, match="the ledger does not know commit 1 of this table"):
        tables.append(table, other)
