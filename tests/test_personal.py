"""Personal data are followed from where they came in to everything that was made from them."""

import csv
import io
import json
import shutil

import pytest
from click.testing import CliRunner

from lakehouse.cli import program

PEOPLE = """
    source: people
    owner: privacy@example.com
    purpose: invoices
    rename: {mail: email}
    derive: {greeting: "'Dear ' || name", twice: visits * 2, domain: "RIGHT(email, 11)"}
    curate: people_jobs.curate
    schema:
      features:
        name: {type: string, personal: true}
        email: {type: string, personal: true}
        visits: {type: int}
        greeting: {type: string}
        twice: {type: int}
        domain: {type: string, personal: false}
        initial: {type: string, computed: true}
"""
HEADER = "name,mail,visits\n"
ANN, BOB = "Ann Secret,ann@example.com,3\n", "Bob Hidden,bob@example.com,many\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """A project whose people have names and addresses; one row is good, one rejected."""
    project = new_project(tmp_path_factory.mktemp("made") / "project")
    (project.folder / "people_jobs.py").write_text(
        "import polars as pl\ndef curate(f):\n    return f.with_columns(initial=pl.col('greeting').str.slice(5, 1))\n"
    )
    project.configure("sources/people", "type: files\npath: people/*.csv\nformat: csv")
    project.configure("datasets/crm/people", PEOPLE)
    project.configure("jobs/nightly", "datasets: [crm/people, aviation/flights]")
    (project.folder / "people").mkdir()
    (project.folder / "people" / "a.csv").write_text(HEADER + ANN + BOB)
    project.deliver("morning.csv", project.morning)
    project.run()
    return project


@pytest.fixture
def people(made, project):
    """A copy of it for each test."""
    shutil.copytree(made.folder, project.folder, dirs_exist_ok=True)
    project.clock.now = made.clock.now
    return project


def record(people):
    with people.lake() as lake:
        return lake.personal()


def named(found):
    return {holding.name: holding for holding in found.holdings}


def log(people):
    return "".join(p.read_text() for p in (people.folder / "data/curated/crm/people/_delta_log").glob("*.json"))


def test_a_lake_without_personal_features_holds_no_personal_data(project):
    project.deliver("morning.csv", project.morning)
    project.run()
    assert record(project).holdings == ()


def test_personal_data_are_followed_to_every_column_that_is_made_from_them(people):
    found = named(record(people))
    assert [(name, h.personal) for name, h in found.items()] == [
        ("people.mail", "yes"),
        ("people.name", "yes"),
        ("crm/people.name", "yes"),
        ("crm/people.email", "yes"),
        ("crm/people.greeting", "yes"),
        ("crm/people.initial", "yes"),
        ("crm/people", "yes"),
    ]
    raw, greeting, quarantine = found["people.mail"], found["crm/people.greeting"], found["crm/people"]
    assert (raw.kind, raw.files, raw.place, raw.first) == ("RawColumn", 1, "raw/people", raw.last)
    assert (greeting.versions, greeting.why, greeting.last) == ("since version 0", "it is made from name", None)
    assert (greeting.owner, greeting.purpose) == ("privacy@example.com", "invoices")
    assert (quarantine.kind, quarantine.why) == ("Quarantine", "1 rejected rows, each with all its fields")


def test_no_personal_value_stands_in_the_log_of_a_table_not_even_one_that_was_made_from_others(people):
    assert '\\"visits\\": 3' in log(people)
    assert not any(value in log(people) for value in ("Ann", "ann@example.com"))


def test_what_a_feature_says_itself_is_believed(people):
    people.change("datasets/crm/people", "greeting: {type: string}", "greeting: {type: string, personal: false}")
    people.change("datasets/crm/people", "visits: {type: int}", "visits: {type: int, personal: true}")
    found = named(record(people))
    assert "crm/people.greeting" not in found
    assert "crm/people.initial" not in found  # it is made from the greeting alone
    assert {"people.visits", "crm/people.visits", "crm/people.twice"} <= found.keys()


def test_a_mark_that_was_taken_out_still_holds_for_what_was_made_under_it(people):
    people.change("datasets/crm/people", "name: {type: string, personal: true}", "name: {type: string}")
    assert "crm/people.name" in named(record(people))
    people.change("datasets/crm/people", "name: {type: string}", "name: {type: string, personal: false}")
    assert not {"crm/people.name", "people.name", "crm/people.greeting"} & named(record(people)).keys()


def test_another_dataset_that_reads_the_same_raw_column_holds_it_too(people):
    people.configure(
        "datasets/crm/visits",
        "source: people\nderive: {who: name || '!'}\nschema:\n  features:\n    name: {type: string}\n"
        "    who: {type: string}\n    visits: {type: int, presence: optional}\n",
    )
    with people.lake() as lake:
        lake.curate("crm/visits")
        found = lake.personal()
    assert {"crm/visits.name", "crm/visits.who"} <= named(found).keys()
    assert named(found)["crm/visits.name"].why == "it is people.name"
    assert "crm/visits.visits" not in named(found)
    assert found.gaps == ("crm/visits: no owner and no purpose is given; set owner and purpose in its YAML",)


def test_landed_files_hold_personal_data_before_anything_is_curated(people):
    people.configure("sources/more", "type: files\npath: people/*.csv\nformat: csv")
    people.configure(
        "datasets/crm/more", "source: more\nschema:\n  features:\n    mail: {type: string, personal: true}\n"
    )
    with people.lake() as lake:
        lake.land("more")
        found = named(lake.personal())
    assert found["more.mail"].files == 1
    assert "crm/more.mail" not in found


def test_an_opaque_function_perhaps_makes_everything_personal(people):
    (people.folder / "people_opaque.py").write_text(
        "import polars as pl\ndef curate(f):\n    return f.collect().lazy().with_columns(initial=pl.col('greeting'))\n"
    )
    people.change("datasets/crm/people", "people_jobs", "people_opaque")
    with people.lake() as lake:
        lake.curate("crm/people", again=True)
    assert "Dear Ann" not in log(people)
    found = named(record(people))
    assert {name: h.personal for name, h in found.items() if h.kind == "Column"} == {
        "crm/people.name": "yes",
        "crm/people.email": "yes",
        "crm/people.visits": "perhaps",
        "crm/people.greeting": "yes",  # version 0 holds it for sure
        "crm/people.twice": "perhaps",
        "crm/people.initial": "yes",
    }
    assert found["crm/people.visits"].versions == "since version 1"
    people.change("datasets/crm/people", "", "columns: {initial: [visits]}")
    with people.lake() as lake:
        lake.curate("crm/people", again=True)
    found = named(record(people))
    assert found["crm/people.initial"].versions == "in versions 0 to 1"
    assert found["crm/people.initial"].last is not None
    assert found["crm/people.name"].versions == "since version 0"


def test_what_steps_made_from_it_holds_it_unless_they_read_other_columns(people):
    with people.lake() as lake:
        for kind, inputs in {
            "Named": {"crm/people": ["greeting", "visits"]},
            "Whole": ["crm/people"],
            "Counts": {"crm/people": ["visits", "twice", "domain"]},
            "Raw": [lake.show("people", "source").raw[0].sha256],
            "Flights": ["aviation/flights"],
        }.items():
            with lake.execution("Copy", inputs=inputs) as run:
                run.output(kind, f"s3://exports/{kind}", name="it")
        with lake.execution("Join", inputs=["Counts:it", "Whole:it"]) as run:
            run.output("Joined", "s3://exports/joined", name="it")
        with lake.execution("Join", inputs=["Counts:it", "Flights:it"]) as run:
            run.output("Plain", "s3://exports/plain", name="it")
        found = named(lake.personal())
    made = {name: h.personal for name, h in found.items() if h.kind not in ("RawColumn", "Column", "Quarantine")}
    assert made == {"Named:it@0": "yes", "Whole:it@0": "perhaps", "Raw:it@0": "perhaps", "Joined:it@0": "perhaps"}
    joined = found["Joined:it@0"]
    assert joined.why.endswith("from Whole:it@0")
    assert (joined.place, joined.owner, joined.purpose) == ("s3://exports/joined", "privacy@example.com", "invoices")


def test_a_step_that_is_later_but_made_what_an_earlier_one_reads_is_followed(people):
    with people.lake() as lake, lake.execution("Reader") as reader:
        with lake.execution("Maker", inputs={"crm/people": ["name"]}) as maker:
            maker.output("Thing", "s3://thing", name="it")
        reader.input("Thing:it")
        reader.output("Report", "s3://report", name="it")
    assert named(record(people))["Report:it@0"].personal == "yes"


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_the_record_is_told_in_every_form_without_a_value(people, form, monkeypatch):
    monkeypatch.chdir(people.folder)
    told = CliRunner().invoke(program, ["lineage", "--personal", "--format", form], catch_exceptions=False).output
    assert "crm/people.greeting" in told
    assert not any(value in told for value in ("Ann", "Secret", "ann@", "Bob", "Hidden", "Dear"))
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(told)))
        assert [row["name"] for row in rows] == [holding.name for holding in record(people).holdings]
        assert rows[0]["purpose"] == "invoices"
    if form == "json":
        assert json.loads(told)["gaps"] == []


def test_the_record_says_what_it_needs_and_nobody_gave(people, monkeypatch):
    people.change("datasets/crm/people", "purpose: invoices", "")
    monkeypatch.chdir(people.folder)
    told = CliRunner().invoke(program, ["lineage", "--personal"], catch_exceptions=False).output
    assert "missing: crm/people: no purpose is given; set purpose in its YAML" in told


@pytest.mark.parametrize("wrong", [[], ["--personal", "crm/people"], ["crm/people", "--format", "csv"]])
def test_the_record_is_of_the_whole_lake(people, wrong, monkeypatch):
    monkeypatch.chdir(people.folder)
    assert CliRunner().invoke(program, ["lineage", *wrong]).exit_code == 2


def test_a_personal_feature_that_the_function_changes_is_followed_all_the_same(people):
    (people.folder / "people_lower.py").write_text(
        "import polars as pl\ndef curate(f):\n"
        "    lower = pl.col('name', 'email', 'greeting').str.to_lowercase()\n"
        "    return f.with_columns(lower, initial=pl.col('greeting'))\n"
    )
    people.change("datasets/crm/people", "people_jobs", "people_lower")
    people.configure(
        "datasets/crm/mails",
        "source: people\nschema:\n  features:\n    mail: {type: string}\n    visits: {type: string}",
    )
    shutil.rmtree(people.folder / "data")
    with people.lake() as lake:
        lake.run("nightly")
        lake.curate("crm/mails")
    found = named(record(people))
    held = {
        "crm/mails.mail": "yes",
        "crm/people.name": "yes",
        "crm/people.email": "yes",
        "crm/people.greeting": "yes",
        "crm/people.initial": "yes",
    }
    assert {name: h.personal for name, h in found.items() if h.kind == "Column"} == held
    people.change("datasets/crm/people", "{type: string, personal: true}", "{type: string}")
    found = named(record(people))
    assert {name: h.personal for name, h in found.items() if h.kind == "Column"} == held
    assert "ann secret" not in log(people).lower()


def test_rows_in_quarantine_count_where_no_row_was_good(people):
    shutil.rmtree(people.folder / "data")
    (people.folder / "people" / "a.csv").write_text(HEADER + BOB)
    people.run()
    assert named(record(people))["crm/people"].kind == "Quarantine"


def test_a_step_that_reads_the_quarantine_of_a_source_with_personal_data_holds_them(people):
    people.configure("datasets/crm/visits", "source: people\nschema:\n  features:\n    visits: {type: int}")
    with people.lake() as lake:
        curated = lake.curate("crm/visits")
        with lake.execution("Look", inputs=[curated.execution]) as run:
            run.output("Report", "s3://report", name="it")
        assert named(lake.personal())["Report:it@0"].personal == "yes"


def test_a_personal_column_that_is_taken_along_without_a_feature_is_found(people):
    people.configure(
        "datasets/crm/visits",
        "source: people\nnew_columns: add\nschema:\n  features:\n    visits: {type: int, presence: optional}",
    )
    with people.lake() as lake:
        lake.curate("crm/visits")
        with lake.execution("Look", inputs={"crm/visits": ["mail"]}) as run:
            run.output("Report", "s3://report", name="it")
        found = named(lake.personal())
    assert {"crm/visits.name", "crm/visits.mail", "Report:it@0"} <= found.keys()
    assert found["crm/visits.mail"].why == "it is people.mail"
    assert "crm/visits.visits" not in found


@pytest.mark.parametrize("gone", ["step", "model", "both"])
def test_what_was_deleted_on_the_way_hides_nothing(people, gone):
    with people.lake() as lake:
        with lake.execution("Train", inputs={"crm/people": ["name"]}) as train:
            train.output("Model", "s3://model", name="it")
        with lake.execution("Score", inputs=["Model:it"]) as score:
            score.output("Scores", "s3://scores", name="it")
        ledger = lake._site.ledger
        [model] = ledger.get_artifacts(type="Model")
        ledger.delete([model.id] if gone != "step" else [], [train.id] if gone != "model" else [], reason="a mistake")
        found = named(lake.personal())
    # With a step goes which columns it read.
    assert found["Scores:it@0"].personal == ("yes" if gone == "model" else "perhaps")
    assert ("Model:it@0" in found) == (gone == "step")
