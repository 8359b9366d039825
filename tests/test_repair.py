"""`check --repair`: a ledger that is lost or damaged is made again, and answers everything as before."""

import contextlib
import copy
import dataclasses
import json
import random
import shutil
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from servers import administering
from sqlalchemy import text

from lakehouse import Lake, timeline
from lakehouse.cli import program
from lakehouse.errors import CommitError, MetadataError, NotFoundError, SchemaError
from lakehouse.metadata import Ledger
from lakehouse.receipts import Receipt
from lakehouse.records import Artifact, EventType, Execution, ExecutionState, Repaired

EVENING = "2013-01-01T20:00:00Z,UA,99,EWR,1\n"


def answers(project, *, lineage=True):
    """All that a lake tells: of every dataset, version, raw file and execution; and their lineage."""
    with project.lake() as lake:
        ledger = lake._site.ledger
        ids = [execution.id for execution in ledger.get_executions()]
        receipts = {r.execution.id: r.to_json() for r in ledger.receipts(ids)}
        found = {"receipts": receipts, "sightings": ledger.all_sightings(), "datasets": {}, "lineage": {}}
        whats = [f"execution:{identity}" for identity in ids]
        whats += [str(raw.properties["sha256"]) for raw in ledger.get_artifacts(type="RawFile")]
        for context in ledger.get_contexts(type="Dataset"):
            name = context.name
            versions = lake.history(name)
            rows = [lake.read(name, version=v.version).sort("_raw", "_row").rows() for v in versions]
            moments = timeline.read(ledger, name).moments
            rows += [lake.read(name, as_of=moments[v.execution]).sort("_raw", "_row").rows() for v in versions]
            rejected = lake.quarantine(name).sort("_raw", "_row").collect().rows() if versions else []
            traces = [lake.trace(name, row) for row in lake.read(name).head(2).to_dicts()] if versions else []
            found["datasets"][name] = versions, rows, repr(rejected), traces
            whats += [name, *(f"{name}@{v.version}" for v in versions)] if versions else []
        for what in whats if lineage else ():
            found["lineage"][what] = lake.lineage(what).to_json()
    return found


def same(project, before):
    """Whether a lake tells the same as before; all but lineage, which is read from the rest."""
    return answers(project, lineage=False) == {**before, "lineage": {}}


def lose(project):
    for file in (project.folder / "data").glob("metadata.db*"):
        file.unlink()


def repair(project):
    return Lake.repair(project.folder / "configs", clock=project.clock)


def problems(project):
    with project.lake() as lake:
        return [problem for problem in lake.check() if not problem.harmless]


def check(project):
    with project.lake() as lake:
        return lake.check()


@pytest.fixture(scope="session")
def past(new_project, tmp_path_factory):
    """A lake with a past: corrections, duplicates, rejected rows, a refused file, a second table, a user's own step."""
    project = new_project(tmp_path_factory.mktemp("past") / "project")
    project.deliver("1.csv", project.morning)
    project.run()
    project.deliver("2.csv", project.noon + "2013-01-01T14:00:00Z,B6,seven,JFK,1\n")
    project.deliver("same.csv", project.morning)
    project.run()
    project.deliver("1.csv", project.morning.replace("1545", "1546"))  # corrects
    project.deliver("broken.csv", b"\x1f\x8bnonsense")
    project.run()
    project.deliver("1.csv", project.morning)  # and back
    project.run()
    project.change(f"datasets/{project.flights}", "flight: {type: int}", "flight: {type: string}")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        with lake.execution("Train", inputs=[f"{project.flights}@1"], parameters={"lr": 0.1}) as run:
            run.output("Model", "s3://models/one", auc=1 / 3)
    return project, answers(project)


@pytest.fixture
def lived(past, tmp_path):
    """A copy of it, to be damaged."""
    return copied(past[0], tmp_path / "project")


def copied(project, folder):
    twin = copy.copy(project)
    twin.folder, twin.clock = folder, dataclasses.replace(project.clock)
    shutil.copytree(project.folder, folder)
    return twin


@pytest.fixture(scope="session")
def before(past):
    """What it answers."""
    return past[1]


def test_a_lost_ledger_is_made_again_and_answers_everything_as_before(lived, before):
    assert (lived.folder / "data/curated/aviation/flights~2").is_dir()
    lose(lived)
    with pytest.raises(MetadataError, match="lakehouse check --repair"):
        lived.lake()
    done = repair(lived)
    assert done.rebuilt == "it was gone"
    assert (done.restored, done.approximate, done.lost, done.receipts) == (len(before["receipts"]), (), 0, 0)
    assert answers(lived) == before
    assert check(lived) == ()


def test_a_run_after_a_repair_goes_on_where_the_last_one_ended(lived, before):
    lose(lived)
    repair(lived)
    done = lived.run()
    assert (done.landed[0].new, done.curated[0].execution) == (0, 0)  # nothing is pending, the refused file neither
    lived.deliver("3.csv", lived.header + EVENING)
    done = lived.run()
    assert done.landed[0].execution == max(before["receipts"]) + 3  # after the run without work, and this one
    assert done.curated[0].curated == 1
    assert check(lived) == ()


def test_a_repair_of_a_whole_lake_changes_nothing(lived, before):
    assert repair(lived) == Repaired()
    assert same(lived, before)


@pytest.mark.parametrize("seed", range(2))
def test_a_ledger_with_damaged_bytes_is_found_out_and_made_again(lived, before, seed):
    chance = random.Random(seed)
    file = lived.folder / "data/metadata.db"
    data = bytearray(file.read_bytes())
    at = chance.randrange(4096, len(data) - 4096)
    for position in range(at, at + 2048):
        data[position] = chance.randrange(256)
    file.write_bytes(data)
    try:
        found = bool(problems(lived))
    except MetadataError:
        found = True
    done = repair(lived)
    assert bool(done.rebuilt) == found
    assert same(lived, before)
    assert check(lived) == ()
    if found:
        assert Path(done.set_aside).read_bytes()[:16] == data[:16]


def test_a_ledger_file_that_was_emptied_is_filled_again(lived, before):
    lose(lived)
    (lived.folder / "data/metadata.db").touch()
    done = repair(lived)
    assert (done.restored, done.set_aside) == (len(before["receipts"]), "")
    assert same(lived, before)


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\0" * 50, b"not a database at all" * 300])
def test_what_is_no_ledger_is_set_aside_and_kept(lived, before, content):
    (lived.folder / "data/metadata.db").write_bytes(content)
    done = repair(lived)
    assert same(lived, before)
    assert done.rebuilt
    assert Path(done.set_aside).read_bytes() == content


def change(project, statement, *values):
    with sqlite3.connect(project.folder / "data/metadata.db") as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE ExecutionProperty SET int_value = int_value + 1 WHERE name = 'rejected'", "its properties"),
        ("UPDATE Execution SET last_known_state = 4 WHERE id = 2", "its type, state or begin"),
        ("UPDATE ArtifactProperty SET string_value = '2020-01-01T00:00:00+00:00' WHERE name = 'committed_at'", "read"),
        ("UPDATE lakehouse_Sighting SET origin = 'elsewhere'", "what it saw"),
        ("DELETE FROM Event WHERE id = 5", "what it read and made"),
        ("DELETE FROM Association WHERE id = 1", "what it belongs to"),
        ("DELETE FROM Artifact WHERE id = 3", "name artifact that is not there"),
        ("DELETE FROM Execution WHERE id = 4", "name execution that is not there"),
        ("INSERT INTO Type (name, type_kind) VALUES ('RawFile', 1)", "the type RawFile more than once"),
    ],
)
def test_records_changed_or_taken_behind_the_lakes_back_are_found_and_mended(lived, before, statement, told):
    change(lived, statement)
    assert any(told in problem.message for problem in problems(lived))
    assert repair(lived).rebuilt
    assert same(lived, before)
    assert check(lived) == ()


def test_a_ledger_brought_back_from_an_older_backup_gets_what_it_lacks(lived):
    backup = lived.folder / "backup"
    backup.mkdir()
    for file in (lived.folder / "data").glob("metadata.db*"):
        shutil.copy2(file, backup)
    lived.deliver("3.csv", lived.header + EVENING)
    assert lived.run().ok
    later = answers(lived)
    lose(lived)
    for file in backup.iterdir():
        shutil.copy2(file, lived.folder / "data")
    assert any("the ledger is older than the lake" in problem.message for problem in problems(lived))
    done = repair(lived)
    assert (done.rebuilt, done.restored) == ("", 3)  # the run, what it landed and what it curated
    assert answers(lived) == later
    assert check(lived) == ()


def saved(project):
    """The ledger's files as they are now."""
    return {file: file.read_bytes() for file in (project.folder / "data").glob("metadata.db*")}


def brought_back(project, files):
    lose(project)
    for file, content in files.items():
        file.write_bytes(content)


@pytest.mark.parametrize("kept", ["with receipts", "without"])
def test_nothing_is_written_under_a_ledger_that_is_older_than_the_lake(project, kept):
    project.deliver("1.csv", project.morning)
    project.run()
    backup = saved(project)
    project.deliver("2.csv", project.noon + "2013-01-01T14:00:00Z,B6,seven,JFK,1\n")
    project.run()
    before = answers(project, lineage=False)
    if kept == "without":
        shutil.rmtree(project.folder / "data/receipts")
    brought_back(project, backup)
    told = [file.read_bytes() for file in receipts(project)]
    for _ in range(3):
        done = project.run()
        assert not done.ok
        assert all("check --repair" in error for error in done.errors)
        assert not any(curated.execution for curated in done.curated)
    assert [file.read_bytes() for file in receipts(project)][: len(told)] == told
    with project.lake() as lake:
        with pytest.raises(MetadataError, match="check --repair"):
            lake.curate(project.flights, again=True)
        if kept == "with receipts":
            with pytest.raises(MetadataError, match="check --repair"), lake.execution("Train"):
                pass
    assert repair(project).restored
    assert project.read().height == 4
    assert not problems(project)
    if kept == "with receipts":
        assert same(project, before)
    assert project.run().ok
    assert project.read().height == 4


@pytest.mark.parametrize("kept", ["with receipts", "without"])
def test_a_backup_made_while_a_curation_was_under_way_never_costs_what_it_made(project, kept):
    project.deliver("1.csv", project.morning)
    backup = {}

    def copying(progress):
        if progress.step == "curate" and not backup:
            backup.update(saved(project))

    with Lake(project.folder / "configs", clock=project.clock, report=copying) as lake:
        lake.run("nightly")
    before = answers(project, lineage=False)
    if kept == "without":
        shutil.rmtree(project.folder / "data/receipts")
    brought_back(project, backup)
    with project.lake() as lake, contextlib.suppress(NotFoundError):  # nor does who reads end the run once more
        lake.read(project.flights, as_of=project.clock.now)
    assert not project.run().ok
    assert repair(project).rebuilt
    assert project.read().height == 2
    assert not problems(project)
    if kept == "with receipts":
        assert same(project, before)


def test_another_lakes_ledger_is_not_written_to_and_nothing_of_it_is_taken_over(lived, before, new_project, tmp_path):
    other = new_project(tmp_path / "other")
    other.clock.now += timedelta(days=9)
    other.change(f"datasets/{other.flights}", "flight: {type: int}", "flight: {type: string}")
    for number in range(6):
        other.deliver(f"{number}.csv", f"{other.header}2013-01-01T0{number}:00:00Z,UA,99,EWR,1\n")
        other.run()
    files = {lived.folder / "data" / file.name: content for file, content in saved(other).items()}
    lived.deliver("3.csv", lived.header + EVENING)
    brought_back(lived, files)
    assert "of another lake" in str(lived.run().errors)
    assert "of another lake" in repair(lived).rebuilt
    assert same(lived, before)
    assert check(lived) == ()


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}", b'{"receipt":{"form":1,"execution":{"id":77'])
def test_a_damaged_receipt_that_nothing_else_tells_of_stands_in_nobodys_way(lived, before, content):
    file = lived.folder / "data/receipts/000/77.json"
    file.write_bytes(content)
    assert len(check(lived)) == 1
    repair(lived)
    (told,) = check(lived)
    assert (told.where, told.what_to_do) == ("receipts/000/77.json.damaged", "take it out")
    assert same(lived, before)
    lived.deliver("3.csv", lived.header + EVENING)
    assert lived.run().curated[0].curated == 1


def test_files_among_the_receipts_that_are_none_stand_in_nobodys_way(lived):
    zone = lived.folder / "data/receipts"
    for name in ("000/99999999999999999999.json", "000/notes.txt", "99999/1.json", "1.json"):
        (zone / name).parent.mkdir(exist_ok=True)
        (zone / name).write_text("{}")
    assert [problem.message for problem in check(lived)] == ["is no receipt"] * 4
    lived.deliver("3.csv", lived.header + EVENING)
    assert lived.run().ok


def test_a_ledger_that_went_on_from_an_older_backup_yields_to_what_came_before(lived, before):
    file = lived.folder / "data/metadata.db"
    with sqlite3.connect(file) as database:
        newest = database.execute("SELECT max(id) FROM Execution").fetchone()[0]
        database.execute("UPDATE Execution SET create_time_since_epoch = 0 WHERE id = ?", [newest])
    database.close()
    assert "its type, state or begin" in str(problems(lived))
    assert "something else of" in repair(lived).rebuilt
    assert same(lived, before)


@pytest.mark.parametrize("seed", range(2))
def test_after_any_past_a_lost_ledger_is_made_again_and_answers_everything_as_before(project, seed):
    chance = random.Random(seed)
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nmax_rejected: 50%")
    types = ["int", "string", "float"]
    for step in range(8):
        name, hour = f"{chance.randrange(4)}.csv", chance.randrange(10, 14)
        line = f"2013-01-01T{hour}:00:00Z,UA,{chance.choice(['1', '2', '3', 'x'])},JFK,{step}\n"
        match chance.randrange(8):
            case 0:
                project.deliver(name, b"\x1f\x8bnonsense")
            case 1:
                project.deliver(name, project.header + "bad,x\n" * 2)  # refused as a whole
            case 2:
                project.deliver(name, "")
            case 3:
                written = (project.folder / f"configs/datasets/{project.flights}.yaml").read_text()
                now = next(t for t in types if f"flight: {{type: {t}}}" in written)
                project.change(
                    f"datasets/{project.flights}",
                    f"flight: {{type: {now}}}",
                    f"flight: {{type: {types[types.index(now) - 1]}}}",
                )
            case _:
                project.deliver(name, chance.choice([project.morning, project.noon, project.header + line]))
        with project.lake() as lake, contextlib.suppress(SchemaError):
            if chance.random() < 0.5:
                lake.run("nightly")
            else:
                lake.land("flights")
                lake.curate(project.flights, again=chance.random() < 0.5)
    before = answers(project)
    lose(project)
    assert repair(project).approximate == ()
    assert answers(project) == before
    assert check(project) == ()
    project.deliver("last.csv", project.header + EVENING + project.noon.removeprefix(project.header))
    with project.lake() as lake, contextlib.suppress(SchemaError):  # too many rows may be bad still
        lake.land("flights")
        lake.curate(project.flights, again=True)
    assert check(project) == ()


def receipts(project):
    return sorted((project.folder / "data/receipts").rglob("*.json"))


def test_receipts_and_manifests_that_are_gone_or_damaged_are_written_again(lived, before):
    first, second, third, *_ = receipts(lived)
    kept = [file.read_bytes() for file in (first, second, third)]
    manifest, other, *_ = sorted((lived.folder / "data/raw").rglob("manifest.json"))
    told = json.loads(manifest.read_bytes()), json.loads(other.read_bytes())
    first.unlink()
    second.chmod(0o644)
    second.write_bytes(kept[1].replace(b"2026", b"2027", 1))
    third.chmod(0o644)
    third.write_bytes(kept[2][:100])
    manifest.unlink()
    other.chmod(0o644)
    other.write_text("{}")
    found = check(lived)
    assert sorted(p.harmless for p in found) == [False] * 4 + [True]  # one that is only missing is no harm
    done = repair(lived)
    assert (done.rebuilt, done.receipts, done.manifests) == ("", 3, 2)
    assert [file.read_bytes() for file in (first, second, third)] == kept
    assert (json.loads(manifest.read_bytes()), json.loads(other.read_bytes())) == told
    assert same(lived, before)
    assert check(lived) == ()


def killed(project, at, code):
    opened = "" if "repair" in at else "lake = Lake('configs')\n"
    script = f"from lakehouse import Lake\n{opened}{code}"
    process = project.start("-c", script, LAKEHOUSE_FAIL_AT=at)
    told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, told


def test_a_receipt_that_a_kill_prevented_is_told_as_harmless_and_written_by_the_next_run(project):
    project.deliver("1.csv", project.morning)
    killed(project, "site.ended", "lake.land('flights')")
    assert len(receipts(project)) == 0
    (told,) = check(project)
    assert told.harmless
    assert "there is none of execution:1: only the ledger knows" in told.message
    with project.lake() as lake:
        lake.land("flights")
    assert len(receipts(project)) == 1
    killed(project, "site.ended", f"lake.curate('{project.flights}')")
    assert len(receipts(project)) == 1
    with project.lake() as lake:
        lake.curate(project.flights)
    assert len(receipts(project)) == 2
    assert check(project) == ()


@pytest.mark.parametrize("point", ["repair.built", "repair.aside", "repair.placed", "repair.settled"])
def test_a_repair_that_is_killed_anywhere_is_done_by_the_next(lived, before, point):
    receipts(lived)[0].unlink()
    change(lived, "DELETE FROM Event WHERE id = 9")
    killed(lived, point, "Lake.repair('configs')")
    repair(lived)
    assert same(lived, before)
    assert check(lived) == ()
    assert len(list((lived.folder / "data").glob("metadata.db.damaged-*Z"))) == 1


def plain_note(table):
    """Leave in a table's log the notes that the first release wrote."""
    for entry in sorted((table / "_delta_log").glob("*.json")):
        lines = [json.loads(line) for line in entry.read_text("utf-8").splitlines()]
        for name in ("lakehouse.plan", "lakehouse.receipt"):
            lines[0]["commitInfo"].pop(name, None)
        entry.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


@pytest.mark.parametrize("notes", ["whole", "of the first release"])
def test_without_receipts_commits_and_manifests_tell_what_they_can_and_that_is_said(lived, before, notes):
    lose(lived)
    shutil.rmtree(lived.folder / "data/receipts")
    if notes != "whole":
        for log in (lived.folder / "data").rglob("_delta_log"):
            plain_note(log.parent)
    done = repair(lived)
    lived.clock.now = datetime.now(UTC) + timedelta(minutes=1)  # commits are stamped by the machine's clock
    assert set(done.approximate) <= set(before["receipts"])
    assert done.lost == max(done.approximate) - len(done.approximate)
    after = answers(lived)
    name = lived.flights
    versions, rows, rejected, traces = before["datasets"][name]
    told, now, *rest = after["datasets"][name]
    assert [(v.version, v.execution, v.rows, v.total, v.rejected, v.files, v.uri) for v in told] == [
        (v.version, v.execution, v.rows, v.total, v.rejected, v.files, v.uri) for v in versions
    ]
    assert now == rows  # each version, and the moment at which it is now known to have been committed
    assert rest[0] == rejected
    assert [(t.sha256, t.row, t.text) for t in rest[1]] == [(t.sha256, t.row, t.text) for t in traces]
    with lived.lake() as lake:
        nodes = json.loads(lake.lineage(name).to_json())["nodes"]
        told = [node["properties"] for node in nodes if node["kind"] in {"Land", "Curate"}]
    assert told
    assert all("rebuilt" in properties for properties in told)
    assert not problems(lived)
    lived.deliver("3.csv", lived.header + EVENING)
    done = lived.run()
    assert done.curated[0].curated == 1
    assert not problems(lived)


@pytest.mark.parametrize("gone", ["the first", "all of runs", "all of landings", "all of curations"])
def test_what_some_receipts_lack_others_tell_and_the_lake_is_whole_again(lived, before, gone):
    lose(lived)
    for file in receipts(lived):
        kind = Receipt.from_json(file.read_bytes()).execution.type
        if gone == "the first" and file.stem in {"1", "2"}:  # a run and what it landed
            file.chmod(0o644)
            file.write_bytes(file.read_bytes()[:200])
        elif f"all of {kind.lower()}" in gone.replace("landings", "land").replace("curations", "curate"):
            file.unlink()
    done = repair(lived)
    assert done.lost == (1 if "landings" in gone else 0)  # the one that stored nothing new left no other trace
    assert check(lived) == ()
    assert repair(lived) == Repaired()
    versions, rows, *_ = before["datasets"][lived.flights]
    train = max(before["receipts"])
    with lived.lake() as lake:
        assert [lake.read(lived.flights, version=v.version).sort("_raw", "_row").rows() for v in versions] == (
            rows[: len(versions)]
        )
        (told,) = lake._site.ledger.receipts([train])
    assert told.to_json() == before["receipts"][train]


def test_a_curation_killed_between_its_commits_whose_ledger_is_lost_as_well_is_done_again(project):
    project.deliver("1.csv", project.morning + "2013-01-01T14:00:00Z,B6,seven,JFK,1\n")
    killed(project, "curate.quarantined", "lake.run('nightly')")
    lose(project)
    done = repair(project)
    assert done.approximate == (3,)
    with project.lake() as lake, pytest.raises(NotFoundError):
        lake.read(project.flights)
    assert not problems(project)
    assert project.run().ok
    assert project.read().height == 2
    assert len(project.quarantine()) == 1
    assert not problems(project)


@pytest.mark.parametrize("point", ["land.renamed", "curate.sealed", "curate.prepared"])
def test_work_that_a_kill_left_open_is_ended_as_the_next_run_would(project, point):
    project.deliver("1.csv", project.morning + "2013-01-01T14:00:00Z,B6,seven,JFK,1\n")
    killed(project, point, "lake.run('nightly')")
    done = repair(project)
    assert len(done.settled) == 2  # and the run that it was part of
    with project.lake() as lake:
        assert not lake._site.ledger.get_executions(state=ExecutionState.RUNNING)
    assert project.run().ok
    assert project.read().height == 2
    assert check(project) == ()


def test_new_executions_never_get_the_number_of_one_that_is_lost(project):
    project.deliver("1.csv", project.morning)
    killed(project, "curate.sealed", "lake.run('nightly')")  # parts of execution 3, and no other trace of it
    lose(project)
    repair(project)
    done = project.run()
    assert done.curated[0].execution == 5  # after that of its run
    assert not problems(project)


def test_what_other_programs_recorded_is_kept_where_the_ledger_can_still_be_read(lived):
    with Ledger(f"sqlite:///{lived.folder}/data/metadata.db") as ledger:
        model = Artifact("Model", uri="/nowhere/model", properties={"auc": 0.5})
        theirs = ledger.put_execution(Execution("Their", state=ExecutionState.COMPLETE), [(model, EventType.OUTPUT)])
    (told,) = check(lived)
    assert told.harmless
    assert "this Model is gone from /nowhere/model" in told.message
    change(lived, "DELETE FROM Event WHERE id = 9")
    repair(lived)
    with lived.lake() as lake:
        (kept,) = lake._site.ledger.get_artifacts(type="Model", uris=["/nowhere/model"])
        assert kept.properties == {"auc": 0.5}
        (maker,) = lake._site.ledger.get_executions(type="Their")
    assert maker.id == theirs.execution_id
    lose(lived)
    done = repair(lived)
    assert done.lost == 0  # its number was the newest, and nothing in the lake tells of it
    with lived.lake() as lake:
        assert not lake._site.ledger.get_executions(type="Their")
        assert lake._site.ledger.get_executions(type="Train")  # the lake recorded that


def test_what_a_user_deleted_from_the_ledger_stays_deleted(lived):
    with lived.lake() as lake:
        ledger = lake._site.ledger
        (model,) = ledger.get_artifacts(type="Model")
        (train,) = ledger.get_executions(type="Train")
        ledger.delete(artifact_ids=[model.id], reason="wrong")
        assert lake.check() == ()
        ledger.delete(execution_ids=[train.id], reason="wrong")
        assert lake.check() == ()
    assert repair(lived) == Repaired()
    with lived.lake() as lake:
        assert not lake._site.ledger.get_executions(type="Train")


def test_nobody_repairs_while_somebody_lands_and_nobody_lands_meanwhile(lived):
    script = "import time; from lakehouse import Lake; lake = Lake('configs')\n"
    script += "with lake._site.storage.lock('source', 'flights'): print('held', flush=True); time.sleep(60)"
    process = lived.start("-c", script)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(CommitError, match="source 'flights' is busy"):
        repair(lived)
    process.kill()
    process.communicate()
    assert repair(lived) == Repaired()


def test_a_lake_that_was_open_during_a_repair_does_not_write_to_the_old_ledger(lived):
    change(lived, "DELETE FROM Event WHERE id = 9")
    with lived.lake() as lake:
        assert repair(lived).rebuilt
        with pytest.raises(MetadataError, match="open the lake again"):
            lake.land("flights")
    assert check(lived) == ()


def test_another_applications_database_is_left_alone(lived):
    lose(lived)
    file = lived.folder / "data/metadata.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE invoices (number INT)")
    database.close()
    theirs = file.read_bytes()
    with pytest.raises(MetadataError, match="another application's database"):
        repair(lived)
    assert file.read_bytes() == theirs
    assert [found.name for found in file.parent.glob("metadata.db*")] == ["metadata.db"]


@pytest.mark.parametrize("backend", ["mysql", "postgresql"])
def test_on_a_server_an_empty_database_is_filled_and_one_that_is_not_whole_is_left_alone(lived, servers, backend):
    told = lineage(lived, f"sqlite:///{lived.folder}/data/metadata.db")
    url = servers.new(backend, lived.folder)
    lived.configure("lakehouse", f"root: data\nmetadata: {url}")
    with pytest.raises(MetadataError, match="lakehouse check --repair"):
        lived.lake()
    assert repair(lived).restored == 14
    assert lineage(lived, url) == told
    assert check(lived) == ()
    lived.deliver("3.csv", lived.header + EVENING)
    assert lived.run().curated[0].execution == 17  # after its run and its landing
    with administering(url) as connection:
        connection.execute(text("DELETE FROM Event WHERE execution_id = 2"))
    with pytest.raises(MetadataError, match=r"on the server is not whole .*execution:2 .*name an empty database"):
        repair(lived)


def lineage(project, url):
    """What a ledger says of the flights."""
    project.configure("lakehouse", f"root: data\nmetadata: {url}")
    with project.lake() as lake:
        return lake.lineage(project.flights).to_json(), lake.history(project.flights)


def test_a_ledger_in_memory_is_not_repaired(lived):
    lived.configure("lakehouse", "root: data\nmetadata: sqlite://")
    with pytest.raises(MetadataError, match="a ledger in memory cannot be repaired"):
        repair(lived)


def test_no_value_of_a_row_stands_in_a_receipt_or_a_commits_note(project):
    project.change(f"datasets/{project.flights}", "origin: {type: string}", "origin: {type: string, domain: [JFK]}")
    project.deliver("1.csv", project.header + "2013-01-01T05:00:00Z,Zebra,1545,Zulu,2\n")
    project.run()
    kept = [file.read_text("utf-8") for file in receipts(project)]
    logs = [f.read_text("utf-8").partition("\n")[0] for f in (project.folder / "data").rglob("_delta_log/*.json")]
    assert len(kept) == 3  # of the run, the landing and the curation
    assert logs
    assert not [text for text in (*kept, *logs) if "Zebra" in text or "Zulu" in text]


def command(project, *arguments):
    return CliRunner().invoke(program, ["check", "--configs", str(project.folder / "configs"), *arguments])


def test_the_command_says_what_was_rebuilt_and_what_could_not_be(lived):
    lose(lived)
    assert "lakehouse check --repair" in command(lived).stderr
    done = command(lived, "--repair")
    lines = done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines[0] == "rebuilt: the ledger has 14 executions again (it was gone)"
    assert lines[1] == "not restored: what other programs recorded in the ledger by themselves"
    assert lines[-1] == "the lake is whole"
    told = json.loads(command(lived, "--repair", "--json").stdout)
    assert told["ok"]
    assert told["repaired"]["rebuilt"] == ""


def test_a_repair_does_not_hide_what_it_cannot_mend(lived):
    raw = next(f for f in (lived.folder / "data/raw").rglob("*.csv"))
    raw.chmod(0o644)
    raw.write_text("other")
    done = command(lived, "--repair")
    assert done.exit_code == 1
    assert "nothing to repair" in done.stdout
    assert "no longer matches its hash" in done.stdout
