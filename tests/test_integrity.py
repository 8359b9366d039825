"""`check`: each kind of damage, done to a real lake, is found; a healthy lake has nothing to tell."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import MetadataError
from lakehouse.integrity import Problem
from lakehouse.lake import Lake
from lakehouse.records import Context, EventType, Execution, ExecutionState, Progress

DATASET = """
source: s
schema:
  features:
    k: {type: int}
    v: {type: string, presence: optional}
"""
ROOT = Path(__file__).parents[1]


def make_project(folder: Path) -> Path:
    for name in ("configs/sources", "configs/datasets/a", "in"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/lakehouse.yaml").write_text("root: data\n")
    (folder / "configs/sources/s.yaml").write_text("type: files\npath: in/*.csv\nformat: {type: csv}\n")
    (folder / "configs/datasets/a/d.yaml").write_text(DATASET)
    (folder / "in/1.csv").write_text("k,v\n1,a\n2,b\nx,c\n")
    (folder / "in/2.csv").write_text("k,v\n4,a\n")
    return folder


def take(lake):
    lake.land("s")
    return lake.curate("a/d")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("model"))
    with Lake(folder / "configs") as lake:
        take(lake)
        (folder / "in/2.csv").write_text("k,v\n5,a\n6,b\n")  # corrects a file
        (folder / "in/3.csv").write_text("k,v\n7,a\ny,b\n")
        take(lake)
    return folder


@pytest.fixture
def project(model, tmp_path):
    target = tmp_path / "project"
    shutil.copytree(model, target)
    return target


def check(project) -> tuple[Problem, ...]:
    with Lake(project / "configs") as lake:
        return lake.check()


def found(project, text: str) -> Problem:
    problems = check(project)
    match = [p for p in problems if text in str(p)]
    assert match, f"{text!r} is in none of: {[str(p) for p in problems]}"
    assert all(p.where and p.message and p.what_to_do for p in problems)
    return match[0]


def raw_files(project) -> list[Path]:
    return sorted(p for p in (project / "data/raw").rglob("*.csv"))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def table(project) -> Path:
    return project / "data/curated/a/d"


def entry(project, version: int) -> Path:
    return table(project) / "_delta_log" / f"{version:020}.json"


def killed(project, at: str, code: str) -> None:
    script = f"from lakehouse.lake import Lake\nwith Lake({str(project / 'configs')!r}) as lake:\n    {code}\n"
    env = {**os.environ, "LAKEHOUSE_FAIL_AT": at, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=False, timeout=60)
    assert done.returncode == -9, done.stderr


def test_a_healthy_lake_has_no_problem(project):
    assert check(project) == ()


def test_an_empty_lake_has_no_problem(tmp_path):
    assert check(make_project(tmp_path / "new")) == ()


def test_a_check_changes_nothing_in_the_lake(project):
    before = {
        p: (p.stat().st_mtime_ns, p.stat().st_size)
        for p in (project / "data").rglob("*")
        if "metadata.db" not in p.name
    }
    check(project)
    after = {
        p: (p.stat().st_mtime_ns, p.stat().st_size)
        for p in (project / "data").rglob("*")
        if "metadata.db" not in p.name
    }
    assert after == before


def test_a_lake_after_curating_everything_again_has_no_problem(project):
    with Lake(project / "configs") as lake:
        lake.curate("a/d", again=True)
    assert check(project) == ()


def test_a_lake_with_two_generations_of_a_table_has_no_problem_and_damage_in_the_older_is_found(project):
    (project / "configs/datasets/a/d.yaml").write_text(DATASET.replace("k: {type: int}", "k: {type: float}"))
    with Lake(project / "configs") as lake:
        lake.curate("a/d", again=True)
    assert (project / "data/curated/a/d~2").is_dir()
    assert check(project) == ()
    next(table(project).glob("*.parquet")).unlink()
    assert "curated/a/d" in found(project, "is gone").where


def test_a_lake_with_a_column_added_by_policy_has_no_problem(project):
    (project / "configs/datasets/a/d.yaml").write_text("new_columns: add\n" + DATASET.lstrip())
    (project / "in/4.csv").write_text("k,v,extra\n9,a,e\n")
    with Lake(project / "configs") as lake:
        take(lake)
        assert "extra" in lake.read("a/d").columns
    assert check(project) == ()


def test_a_partitioned_table_has_no_problem(project):
    (project / "configs/datasets/a/d.yaml").write_text("partition_by: [v]\n" + DATASET.lstrip())
    with Lake(project / "configs") as lake:
        lake.curate("a/d", again=True)
        assert lake.read("a/d").height == 5
    assert check(project) == ()


@pytest.mark.parametrize("at", [0, -1])
def test_one_flipped_bit_in_a_raw_file_is_found(project, at):
    file = raw_files(project)[0]
    flip(file, at)
    problem = found(project, "no longer matches its hash")
    assert problem.where == str(file.relative_to(project / "data"))
    assert not problem.harmless


def test_a_raw_file_that_is_gone_is_found(project):
    raw_files(project)[1].unlink()
    assert "raw/s/" in found(project, "is gone").where


def test_a_manifest_that_is_gone_or_says_something_else_is_found(project):
    first, second, *_ = (f.parent / "manifest.json" for f in raw_files(project))
    first.unlink()
    second.chmod(0o644)
    second.write_text(json.dumps({**json.loads(second.read_text()), "size": 1}))
    found(project, "is gone or damaged")
    assert "size" in found(project, "disagrees with the ledger").message


def test_a_strange_file_in_the_raw_zone_is_found(project):
    raw = raw_files(project)[0]
    (raw.parent / "note.txt").write_text("mine")
    strange = project / "data/raw/s/zz/zz"
    strange.mkdir(parents=True)
    assert "note.txt" in found(project, "holds files").message
    assert found(project, "was not put there").where == "raw/s/zz/zz"


def test_a_killed_landing_is_told_as_harmless_and_healed_by_the_next(project):
    (project / "in/9.csv").write_text("k,v\n100,z\n")
    killed(project, "land.renamed", "lake.land('s')")
    problems = check(project)
    assert {p.message.partition(":")[0] for p in problems} >= {"is whole but not recorded"}
    assert all(p.harmless for p in problems), problems
    with Lake(project / "configs") as lake:
        lake.land("s")
    assert check(project) == ()


def test_a_landing_killed_before_the_rename_is_told_as_harmless(project):
    (project / "in/9.csv").write_text("k,v\n100,z\n")
    killed(project, "land.staged", "lake.land('s')")
    assert found(project, "left by a landing").harmless
    assert all(p.harmless for p in check(project))


@pytest.mark.parametrize(
    "at",
    ["curate.begun", "curate.written", "curate.sealed", "curate.prepared", "curate.quarantined", "curate.committed"],
)
def test_a_killed_curation_is_told_as_harmless_and_healed_by_the_next(project, at):
    (project / "in/9.csv").write_text("k,v\n100,z\nbad,z\n")
    killed(project, at, "lake.land('s'); lake.curate('a/d')")
    problems = check(project)
    assert any("is under way, or its process died" in p.message for p in problems)
    assert all(p.harmless for p in problems), [str(p) for p in problems]
    with Lake(project / "configs") as lake:
        lake.curate("a/d")
    assert check(project) == ()


def test_a_curation_killed_in_its_very_first_commit_is_told_as_harmless(tmp_path):
    project = make_project(tmp_path / "first")
    killed(project, "curate.committed", "lake.land('s'); lake.curate('a/d')")
    problems = check(project)
    assert problems
    assert all(p.harmless for p in problems), [str(p) for p in problems]


def test_one_flipped_bit_in_any_region_of_a_part_is_found(project):
    part = next(table(project).glob("*.parquet"))
    clean = part.read_bytes()
    for at in (10, len(clean) // 2, len(clean) - 20):
        part.write_bytes(clean)
        flip(part, at)
        assert part.name in found(project, "no longer matches its hash").message


def test_a_flipped_bit_in_a_quarantine_part_is_found(project):
    flip(next((project / "data/quarantine/a/d").glob("*.parquet")), 12)
    assert found(project, "no longer matches its hash").where == "quarantine/a/d"


def test_a_part_that_is_gone_is_found(project):
    next(table(project).glob("*.parquet")).unlink()
    assert found(project, "is gone").where == "curated/a/d"


def test_a_table_that_is_gone_is_found(project):
    shutil.rmtree(table(project))
    assert found(project, "the table is gone").where == "curated/a/d"


def test_a_quarantine_table_that_is_gone_is_found(project):
    shutil.rmtree(project / "data/quarantine")
    assert found(project, "the table is gone").where == "quarantine/a/d"


@pytest.mark.parametrize("version", [0, 1])
def test_a_missing_log_entry_is_found_the_last_one_too(project, version):
    entry(project, version).unlink()
    found(project, "is gone" if version == 0 else "has no version 1, which execution:4 made")


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", '{"commitInfo": {}}\n{"add": 3}\n', "\x00" * 40])
def test_a_damaged_or_emptied_log_entry_is_found(project, text):
    entry(project, 1).write_text(text)
    found(project, "log entry of version 1 is damaged")


def test_a_torn_log_entry_is_found(project):
    whole = entry(project, 1).read_text()
    entry(project, 1).write_text(whole[: len(whole) // 2])
    found(project, "log entry of version 1 is damaged")


def test_a_bound_altered_in_the_log_is_found_as_it_would_make_readers_skip_rows(project):
    text = entry(project, 1).read_text()
    assert '\\"k\\": 7' in text
    entry(project, 1).write_text(text.replace('\\"k\\": 7', '\\"k\\": 6'))
    found(project, "is not what its log entry says")


def test_a_restore_is_found(project):
    DeltaTable(table(project)).restore(0)
    problem = found(project, "version 2 removes")
    assert not problem.harmless
    found(project, "(RESTORE) was not made by the lake")


def test_switching_append_only_off_is_found(project):
    DeltaTable(table(project)).alter.set_table_properties({"delta.appendOnly": "false"})
    found(project, "delta.appendOnly is switched off")


def test_an_overwrite_is_found_even_when_append_only_was_switched_on_again(project):
    opened = DeltaTable(table(project))
    opened.alter.set_table_properties({"delta.appendOnly": "false"})
    write_deltalake(table(project), pl.read_delta(str(table(project))).head(1).to_arrow(), mode="overwrite")
    DeltaTable(table(project)).alter.set_table_properties({"delta.appendOnly": "true"})
    found(project, "version 2 switched delta.appendOnly off")
    found(project, "version 3 removes")


def test_rows_appended_by_another_program_are_found(project):
    rows = pl.read_delta(str(table(project))).head(1).with_columns(_execution=pl.lit(None, pl.Int64))
    write_deltalake(table(project), rows.to_arrow(), mode="append")
    found(project, "(WRITE) was not made by the lake")
    found(project, "was written by another program")
    found(project, "rows that no completed execution made")


def test_rows_appended_under_a_borrowed_execution_number_do_not_add_up(project):
    rows = pl.read_delta(str(table(project))).head(1)
    write_deltalake(table(project), rows.to_arrow(), mode="append")
    found(project, "do not add up")


def test_optimize_by_another_program_is_found(project):
    DeltaTable(table(project)).alter.set_table_properties({"delta.appendOnly": "true"})
    DeltaTable(table(project)).optimize.compact()
    found(project, "(OPTIMIZE) was not made by the lake")


def test_a_table_the_ledger_does_not_know_is_found(project):
    write_deltalake(project / "data/curated/a/mine", pl.DataFrame({"x": [1]}).to_arrow())
    problem = found(project, "a table that the ledger does not know")
    assert problem.where == "curated/a/mine"
    assert problem.what_to_do.startswith("run `lakehouse check --repair`, if the ledger is older than the table")


def test_a_part_that_no_version_holds_is_told_as_harmless(project):
    (table(project) / "99-0-abc.parquet").write_bytes(b"")
    problem = found(project, "belongs to no version")
    assert problem.harmless
    assert len(check(project)) == 1


def test_counts_altered_in_the_ledger_do_not_add_up(project):
    with sqlite3.connect(project / "data/metadata.db") as database:
        database.execute("UPDATE ExecutionProperty SET int_value = int_value + 1 WHERE name = 'read'")
    database.close()
    found(project, "by its files")


def test_a_total_altered_in_the_ledger_is_found(project):
    with sqlite3.connect(project / "data/metadata.db") as database:
        database.execute("UPDATE ArtifactProperty SET int_value = int_value + 1 WHERE name = 'total'")
    database.close()
    found(project, "by its own record")


def test_a_damaged_ledger_is_found_or_refused_at_the_opening(project):
    file = project / "data/metadata.db"
    with sqlite3.connect(file) as database:
        size = database.execute("PRAGMA page_size").fetchone()[0]
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_event_execution_id'").fetchone()[
            0
        ]
    database.close()
    data = bytearray(file.read_bytes())
    data[(page - 1) * size + 8 : page * size] = b"\xff" * (size - 8)
    file.write_bytes(data)
    try:
        problems = check(project)
    except MetadataError as error:
        problems = (str(error),)
    assert any("damaged" in str(problem) for problem in problems)


def test_an_execution_left_running_is_told_with_the_command_that_settles_it(project):
    with Lake(project / "configs") as lake:
        lake._site.ledger.put_execution(Execution("Land", state=ExecutionState.RUNNING), (), [Context("Source", "s")])
    problem = found(project, "is under way, or its process died")
    assert problem.harmless
    assert "lakehouse land s" in problem.what_to_do


def test_a_sighting_whose_raw_file_is_unknown_is_found(project):
    with sqlite3.connect(project / "data/metadata.db") as database:
        database.execute("UPDATE lakehouse_Sighting SET sha256 = ? WHERE id = 1", ["f" * 64])
    database.close()
    assert "raw/s/ff/" in found(project, "but not the raw file itself").where


def test_every_printed_word_is_safe_whatever_a_raw_file_is_called(project):
    (project / "in/a\x1b[2J\nb.csv").write_text("k,v\n55,z\n")
    with Lake(project / "configs") as lake:
        lake.land("s")
    raw = next(f for f in raw_files(project) if "%1B" in f.name)
    flip(raw, 3)
    (raw.parent / "x\x1b[31m").write_text("")
    problems = check(project)
    assert len(problems) == 2
    assert all(str(p).isprintable() for p in problems)


def test_progress_is_reported_to_the_end(project):
    told: list[Progress] = []
    with Lake(project / "configs", report=told.append) as lake:
        lake.check()
    assert {(p.step, p.subject) for p in told} == {("check", step) for step in ("receipts", "raw files", "tables")}
    steps = ("receipts", "raw files", "tables")
    assert all(any(p.finished and p.done == p.total for p in told if p.subject == step) for step in steps)


def test_damage_is_told_and_the_rest_is_still_checked(project):
    flip(raw_files(project)[0], 0)
    next(table(project).glob("*.parquet")).unlink()
    flip(next((project / "data/quarantine/a/d").glob("*.parquet")), 12)
    wheres = {p.where.partition("/")[0] for p in check(project)}
    assert wheres == {"raw", "curated", "quarantine"}


@pytest.mark.parametrize(
    "name", ["curated/mine.csv", "curated/a/d/notes.txt", "quarantine/a/d/_delta_log/mine", "receipts/000/mine.json"]
)
def test_a_file_that_the_lake_did_not_put_there_is_found(project, name):
    (project / "data" / name).write_text("mine")
    assert found(project, "take it out").where == name


@pytest.mark.parametrize("name", ["raw/mine.csv", "raw/s/mine.csv", "raw/s/ab/mine.csv"])
def test_a_file_beside_the_raw_files_folders_is_found(project, name):
    (project / "data" / name).parent.mkdir(exist_ok=True)
    (project / "data" / name).write_text("mine")
    assert found(project, "was not put there by a landing").where == name


def test_what_a_killed_commit_left_in_a_tables_log_is_no_problem(project):
    (table(project) / "_delta_log/_commit_1234.json.tmp").write_text("")
    assert check(project) == ()


@pytest.mark.parametrize("kind", ["TableVersion", "QuarantineVersion"])
def test_a_version_that_the_ledger_does_not_know_is_found(project, kind):
    with sqlite3.connect(project / "data/metadata.db") as database:
        database.execute(
            "DELETE FROM Attribution WHERE artifact_id = (SELECT max(id) FROM Artifact WHERE type_id ="
            " (SELECT id FROM Type WHERE name = ?))",
            [kind],
        )
    database.close()
    zone = "curated" if kind == "TableVersion" else "quarantine"
    assert found(project, "version 1, of execution:4, is one that the ledger does not know").where == f"{zone}/a/d"


def test_a_version_that_its_table_lacks_is_found(project):
    (project / "data/quarantine/a/d/_delta_log/00000000000000000001.json").unlink()
    assert found(project, "has no version 1, which execution:4 made").where == "quarantine/a/d"


def test_a_refused_file_is_no_problem(project):
    (project / "in/8.csv").write_bytes(b"\x1f\x8b" + b"nonsense")
    with Lake(project / "configs") as lake:
        lake.land("s")
        lake.curate("a/d")
        links = lake._site.ledger.get_events(types=[EventType.DECLARED_INPUT])
    assert len(links) <= 1
    assert check(project) == ()


@pytest.mark.parametrize("url", [None, "sqlite://", "sqlite:///other.db"])
def test_a_lake_with_data_and_without_its_ledger_is_not_opened_with_a_new_one(tmp_path, url):
    folder = make_project(tmp_path / "p")
    with Lake(folder / "configs") as lake:
        lake.land("s")
    if url is None:
        for file in (folder / "data").glob("metadata.db*"):
            file.unlink()
    else:
        (folder / "configs/lakehouse.yaml").write_text(f"root: data\nmetadata: {url}\n")
    with pytest.raises(MetadataError, match=r"data has data but its ledger .* is gone; bring it back from a backup"):
        Lake(folder / "configs")
    assert list(folder.rglob("*.db")) == ([] if url is None else [folder / "data/metadata.db"])
