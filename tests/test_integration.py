"""Several sources feed one dataset, each in its own words: columns, units, codes; every row still tells where from."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.errors import ConfigError, NotFoundError, SchemaError
from lakehouse.records import EventType

PEOPLE, SEXES = "health/people", "reference/sexes"
FEATURES = """
schema:
  features:
    name: {type: string, personal: true}
    sex: {type: string}
    weight: {type: float, presence: optional, unit: kg, domain: {min: 1, max: 300}}
    heavy: {type: bool, presence: optional}
"""
DATASET = (
    """
max_rejected: 90%
derive: {heavy: "weight > 100"}
codes:
  sex: {dataset: reference/sexes, from: code, to: name}
sources:
  north:
  south:
    rename: {navn: name, kjonn: sex, vekt: weight}
    derive: {weight: "weight * 0.5"}
"""
    + FEATURES
)
NORTH = "name,sex,weight\nAda,f,60\nBo,m,120\n"
SOUTH = "navn;kjonn;vekt\nCai;1;220\nDi;2;\n"
CODES = "code,name\nf,female\nm,male\n1,male\n2,female\n"


@pytest.fixture
def people(project):
    """A project with two sources of people, the south's weights in half kilos, and a table of sexes."""
    project.configure("sources/north", "type: files\npath: incoming/north*\nformat: csv")
    project.configure("sources/south", "type: files\npath: incoming/south*\nformat: {type: csv, delimiter: ';'}")
    project.configure("sources/sexes", "type: files\npath: incoming/sexes*\nformat: csv")
    project.configure(f"datasets/{PEOPLE}", DATASET)
    sexes = "source: sexes\nkeys: [code]\nschema:\n  features: {code: {type: string}, name: {type: string}}"
    project.configure(f"datasets/{SEXES}", sexes)
    project.configure("jobs/nightly", f"datasets: [{SEXES}, {PEOPLE}]")
    project.deliver("sexes.csv", CODES)
    project.deliver("north-1.csv", NORTH)
    project.deliver("south-1.csv", SOUTH)
    return project


def rows(lake, *names, **how):
    """The people, by name."""
    return lake.read(PEOPLE, **how).sort("name").select(names or ("name", "sex", "weight", "heavy")).rows()


def notes(curated, kind):
    return [note.message for note in curated.notes if note.kind == kind]


def landed(lake):
    for source in ("sexes", "north", "south"):
        lake.land(source)


def test_two_sources_become_rows_of_the_same_words_in_one_commit(people):
    ran = people.run()
    assert ran.ok, ran.errors
    assert [step.source for step in ran.landed] == ["sexes", "north", "south"]
    assert (ran.curated[1].files, ran.curated[1].curated, ran.curated[1].version) == (2, 4, 0)
    with people.lake() as lake:
        assert rows(lake) == [
            ("Ada", "female", 60.0, False),
            ("Bo", "male", 120.0, True),
            ("Cai", "male", 110.0, True),  # 220 half kilos; `heavy` sees the converted value
            ("Di", "female", None, None),
        ]
        assert lake.read(PEOPLE)["_execution"].n_unique() == 1
        assert not list(lake.check())
        assert lake.curate(PEOPLE).execution == 0


def test_a_row_is_traced_to_the_right_file_of_the_right_source(people):
    people.run()
    with people.lake() as lake:
        found = {row["name"]: lake.trace(PEOPLE, row) for row in lake.read(PEOPLE).to_dicts()}
    assert {name: (one.source, one.row, one.text) for name, one in found.items()} == {
        "Ada": ("north", 1, "Ada,f,60"),
        "Bo": ("north", 2, "Bo,m,120"),
        "Cai": ("south", 1, "Cai;1;220"),
        "Di": ("south", 2, "Di;2;"),
    }


def test_lineage_names_every_source_its_mapping_and_the_version_of_the_code_table(people):
    people.run()
    with people.lake() as lake:
        up = {node.id for node in lake.lineage(f"{PEOPLE}@0").upstream().nodes}
        assert {"source:north", "source:south", "source:sexes", f"{SEXES}@0"} <= up
        shown = str(lake.lineage(lake.show("sexes").raw[0].sha256).impact())
        assert f"{PEOPLE}: 4 rows" in shown
        made = {
            column: {(e.source, e.target): e.label for e in lake.lineage(PEOPLE, column=column).edges}
            for column in ("sex", "weight", "heavy")
        }
    assert made["sex"]["source:north.sex", f"{PEOPLE}.sex"] == f"codes {SEXES}@0"
    assert made["sex"]["source:south.kjonn", f"{PEOPLE}.sex"] == f"renamed, codes {SEXES}@0"
    assert made["weight"]["source:north.weight", f"{PEOPLE}.weight"] == ""
    assert made["weight"]["source:south.vekt", f"{PEOPLE}.weight"] == "= weight * 0.5"
    assert made["heavy"][f"{PEOPLE}.weight", f"{PEOPLE}.heavy"] == "= weight > 100"


def test_the_cause_of_a_difference_names_the_code_table_and_the_source(people):
    people.run()
    people.deliver("sexes.csv", CODES.replace("m,male", "m,man"))
    people.change(f"datasets/{PEOPLE}", "weight * 0.5", "weight * 0.25")
    people.run()
    with people.lake() as lake:
        lake.curate(PEOPLE, again=True)
        assert set(lake.causes(PEOPLE).changes) == {
            f"version of {SEXES} 0 -> 1",
            "of south: derive.weight weight * 0.5 -> weight * 0.25",
        }


def test_an_unknown_code_rejects_its_row_by_name_and_no_other(people):
    people.deliver("north-1.csv", NORTH + "Eli,x,70\nFay,,80\nGro,x,90\n")
    ran = people.run()
    told = notes(ran.curated[1], "rejected")[0]
    assert "2 of 7" not in told
    assert "3 of 7 rows were rejected" in told
    assert f"sex: not a code of {SEXES} (2)" in told
    assert "'x'" not in told  # values stand in the quarantine alone
    with people.lake() as lake:
        reasons = lake.quarantine(PEOPLE).sort("_row").collect()["reasons"].to_list()
        assert reasons == [
            [f"sex: 'x' is not a code of {SEXES}"],
            ["sex: missing"],
            [f"sex: 'x' is not a code of {SEXES}"],
        ]
        assert len(rows(lake)) == 4
        anomaly = next(one for one in lake.validate(PEOPLE).anomalies if one.path == "sex" and "code" in one.short)
        assert "2 rows hold no code of reference/sexes: 'x' (2)" in anomaly.description
        assert not any(change.key == "type" for change in lake.schema.update(PEOPLE).update.changes)


def test_an_unknown_code_of_a_personal_feature_is_not_told(people):
    people.change(f"datasets/{PEOPLE}", "sex: {type: string}", "sex: {type: string, personal: true}")
    people.deliver("north-1.csv", NORTH + "Eli,secret,70\n")
    people.run()
    with people.lake() as lake:
        rejected = lake.quarantine(PEOPLE).collect()
        assert rejected["reasons"].to_list() == [[f"sex: not a code of {SEXES}"]]
        assert "secret" not in str(lake.validate(PEOPLE).to_json())
        held = {(one.kind, one.name) for one in lake.personal().holdings}
    assert {("RawColumn", "north.sex"), ("RawColumn", "south.kjonn"), ("RawColumn", "north.name")} <= held


def test_a_newer_code_table_is_told_and_followed_by_again_alone(people):
    people.deliver("north-1.csv", NORTH + "Eli,x,70\n")
    people.run()
    people.deliver("sexes.csv", CODES.replace("m,male", "m,man") + "x,other\n")
    ran = people.run()
    assert ran.curated[1].execution == 0
    assert f"an older configuration or an older code table than {SEXES}@1" in notes(ran.curated[1], "older")[0]
    people.deliver("north-2.csv", "name,sex,weight\nFay,m,80\n")
    people.run()
    with people.lake() as lake:
        assert rows(lake, "name", "sex")[-1] == ("Fay", "man")
        assert rows(lake, "name", "sex")[1] == ("Bo", "male")
        done = lake.curate(PEOPLE, again=True)
        assert (done.curated, done.rejected, notes(done, "older")) == (6, 0, [])
        assert rows(lake, "name", "sex")[1] == ("Bo", "man")
        assert rows(lake, "name", "sex", version=1)[1] == ("Bo", "male")
        assert lake.curate(PEOPLE).notes == ()


def test_a_batch_refused_for_unknown_codes_is_tried_again_once_the_table_has_them(people):
    people.change(f"datasets/{PEOPLE}", "max_rejected: 90%", "max_rejected: 0")
    people.deliver("north-1.csv", NORTH + "Eli,x,70\n")
    assert "rows were rejected" in people.run().errors[0]
    assert people.run().curated[1].notes[0].kind == "refused"
    people.deliver("sexes.csv", CODES + "x,other\n")
    assert people.run().curated[1].curated == 5


def test_a_code_table_must_have_a_version_and_mean_one_thing_by_a_code(people):
    with people.lake() as lake:
        landed(lake)
        with pytest.raises(
            NotFoundError, match=rf"'{SEXES}', which has no version yet; run `lakehouse curate {SEXES}`"
        ):
            lake.curate(PEOPLE)
        people.deliver("sexes.csv", CODES + "m,man\nf,female\n")
        lake.land("sexes")
        lake.curate(SEXES)
        with pytest.raises(SchemaError, match=rf"codes.sex: the code 'm' means 'male' and 'man' in {SEXES}@0"):
            lake.curate(PEOPLE)
        people.deliver("sexes.csv", CODES + "f,female\n,nothing\n")  # said twice alike is said once
        lake.land("sexes")
        lake.curate(SEXES)
        assert lake.curate(PEOPLE).curated == 4


def test_a_source_added_later_leaves_the_others_rows_and_needs_no_again(people):
    two = (people.folder / f"configs/datasets/{PEOPLE}.yaml").read_text()
    one = "\nsource: north\n".join(part for part in (two[: two.index("sources:")], two[two.index("schema:") :]))
    people.configure(f"datasets/{PEOPLE}", one)
    people.run()
    with people.lake() as lake:
        before = lake.read(PEOPLE)
    people.configure(f"datasets/{PEOPLE}", two)
    ran = people.run()
    assert ran.errors == ()
    assert ran.curated[1].files == 1
    assert notes(ran.curated[1], "older") == []
    with people.lake() as lake:
        after = lake.read(PEOPLE)
        assert after.height == 4
        assert after.filter(pl.col("_execution") == before["_execution"][0]).sort("name").equals(before.sort("name"))
        assert rows(lake, version=0) == rows(lake)[:2]


def test_rows_of_a_source_that_is_no_longer_named_wait_for_again(people):
    people.run()
    text = (people.folder / f"configs/datasets/{PEOPLE}.yaml").read_text()
    people.configure(f"datasets/{PEOPLE}", text.replace("  north:\n", ""))
    assert "holds rows of another source than 'south'" in people.run().errors[0]
    with people.lake() as lake:
        assert lake.curate(PEOPLE, again=True).curated == 2
        assert rows(lake, "name") == [("Cai",), ("Di",)]
        assert len(rows(lake, version=0)) == 4
    people.configure(f"datasets/{PEOPLE}", text)
    assert people.run().curated[1].curated == 2
    with people.lake() as lake:
        assert len(rows(lake)) == 4


def test_a_change_of_one_source_mapping_makes_only_its_own_rows_older(people):
    people.run()
    people.change(f"datasets/{PEOPLE}", "weight * 0.5", "weight * 0.25")
    ran = people.run()
    assert "the rows of 1 file were made" in notes(ran.curated[1], "older")[0]
    people.deliver("north-2.csv", "name,sex,weight\nEli,m,70\n")
    assert "the rows of 1 file were made" in notes(people.run().curated[1], "older")[0]
    with people.lake() as lake:
        lake.curate(PEOPLE, again=True)
        assert rows(lake, "name", "weight")[2] == ("Cai", 55.0)
        assert lake.curate(PEOPLE).notes == ()


def test_a_newer_file_at_an_origin_replaces_rows_of_its_own_source_alone(people):
    people.run()
    people.deliver("south-1.csv", "navn;kjonn;vekt\nCai;1;200\n")
    people.run()
    with people.lake() as lake:
        assert rows(lake, "name", "weight") == [("Ada", 60.0), ("Bo", 120.0), ("Cai", 100.0)]
        assert len(rows(lake, version=0)) == 4


def test_the_same_bytes_of_two_sources_are_two_files_and_come_in_two_commits(people):
    both = "name,sex,weight\nAda,f,60\n"
    people.configure(
        f"datasets/{PEOPLE}", DATASET.replace("rename: {navn: name, kjonn: sex, vekt: weight}", "rename: {}")
    )
    people.configure("sources/south", "type: files\npath: incoming/south*\nformat: csv")
    people.deliver("north-1.csv", both)
    people.deliver("south-1.csv", both)
    for again in (False, True):
        people.run()
        with people.lake() as lake:
            assert lake.read(PEOPLE).sort("weight")["weight"].to_list() == [30.0, 60.0]
            sources = [lake.trace(PEOPLE, row).source for row in lake.read(PEOPLE).sort("weight").to_dicts()]
            assert sources == ["south", "north"]
            assert not list(lake.check())
            if not again:
                assert lake.curate(PEOPLE, again=True).curated == 2
    people.deliver("south-1.csv", both.replace("60", "80"))
    people.run()
    with people.lake() as lake:
        assert lake.read(PEOPLE).sort("weight")["weight"].to_list() == [40.0, 60.0]


def test_a_bad_file_of_one_source_stops_no_file_of_another(people):
    people.deliver("south-1.csv", "navn;vekt\nCai;220\n")
    ran = people.run()
    assert ran.errors == ()
    assert "lacks the required column 'kjonn'" in notes(ran.curated[1], "refused")[0]
    assert (ran.curated[1].files, ran.curated[1].refused) == (1, 1)
    people.change(f"datasets/{PEOPLE}", "kjonn: sex, ", "")
    people.change(f"datasets/{PEOPLE}", "sex: {type: string}", "sex: {type: string, default: unknown}")
    assert people.run().curated[1].curated == 1  # the south's mapping is another now, so its file is tried again


def test_a_file_is_validated_as_of_the_source_it_is_of(people):
    people.run()
    file = people.folder / "next.csv"
    file.write_text("navn;kjonn;vekt\nEli;1;200\nFay;9;100\n")
    with people.lake() as lake:
        with pytest.raises(ConfigError, match="has several sources; say as whose file it is read: north, south"):
            lake.validate(PEOPLE, file=file)
        with pytest.raises(NotFoundError, match=r"no source 'sout'\. Did you mean 'south'"):
            lake.validate(PEOPLE, file=file, source="sout")
        found = lake.validate(PEOPLE, file=file, source="south")
        assert [one.path for one in found.anomalies if "code" in one.short] == ["sex"]
        assert lake.schema.update(PEOPLE, file=file, source="south").unread == ()


def test_a_lost_ledger_and_a_killed_curation_leave_the_same_lake(people):
    with people.lake() as lake:
        landed(lake)
        lake.curate(SEXES)
    script = f"from lakehouse import Lake; Lake('configs').curate('{PEOPLE}')"
    for place in ("curate.prepared",):
        environ = {**os.environ, "LAKEHOUSE_FAIL_AT": place, "PYTHONPATH": str(Path(__file__).parents[1])}
        killed = subprocess.run(
            [sys.executable, "-c", script], cwd=people.folder, env=environ, check=False, capture_output=True
        )
        assert killed.returncode < 0 or killed.returncode > 1
    people.run()
    with people.lake() as lake:
        expected = rows(lake)
        assert len(expected) == 4
    (people.folder / "data/metadata.db").unlink()
    for beside in people.folder.glob("data/metadata.db-*"):
        beside.unlink()
    Lake.repair(people.folder / "configs", clock=people.clock)
    with people.lake() as lake:
        assert rows(lake) == expected
        assert lake.curate(PEOPLE).execution == 0
        used = lake._site.ledger.get_events(types=[EventType.INPUT])
        tables = {a.id for a in lake._site.ledger.get_artifacts(type="TableVersion")}
        assert any(event.artifact_id in tables for event in used)


def test_feeds_of_changes_from_two_sources_say_deletes_in_their_own_words(people):
    feed = """
    history: changes
    keys: [name]
    event_time: at
    sources:
      north: {delete_when: "sex = 'gone'"}
      south: {rename: {navn: name, kjonn: sex}, delete_when: "sex = 'vekk'"}
    schema:
      features: {at: {type: datetime}, name: {type: string}, sex: {type: string}}
    """
    people.configure(f"datasets/{PEOPLE}", feed)
    people.deliver("north-1.csv", "at,name,sex\n2026-01-01T00:00:00Z,Ada,f\n2026-01-03T00:00:00Z,Cai,gone\n")
    people.deliver(
        "south-1.csv",
        "at;navn;kjonn\n2026-01-02T00:00:00Z;Cai;m\n2026-01-02T00:00:00Z;Di;f\n2026-01-04T00:00:00Z;Di;vekk\n",
    )
    people.run()
    with people.lake() as lake:
        assert rows(lake, "name", "sex") == [("Ada", "f")]
        assert rows(lake, "name", "sex", valid_at="2026-01-02T12:00:00Z") == [("Ada", "f"), ("Cai", "m"), ("Di", "f")]
        assert not list(lake.check())
