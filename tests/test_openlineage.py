"""OpenLineage events of a real lake, each held against OpenLineage's own JSON schemas."""

import datetime as dt
import json
import shutil
import subprocess
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from lakehouse import Lake
from lakehouse.errors import StorageError
from lakehouse.openlineage.naming import of_uri
from lakehouse.openlineage.source_code import web

SCHEMAS = json.loads((Path(__file__).parent / "openlineage" / "schemas.json").read_text("utf-8"))
REGISTRY = Registry().with_resources((url, Resource.from_contents(schema)) for url, schema in SCHEMAS.items())
FORMATS = jsonschema.FormatChecker(())
FORMATS.checks("date-time", ValueError)(lambda text: dt.datetime.fromisoformat(text).tzinfo is not None)
FORMATS.checks("uri", ValueError)(lambda text: bool(urlsplit(text).scheme) and " " not in text)
FORMATS.checks("uuid", ValueError)(lambda text: str(uuid.UUID(text)) == text)
FLIGHTS = "aviation/flights"
PROJECT = Path(__file__).parents[1]


def validate(value, reference):
    """Hold a value against one definition of the schemas."""
    schema = {"$ref": reference}
    jsonschema.Draft202012Validator(schema, registry=REGISTRY, format_checker=FORMATS).validate(value)


def facets(event):
    """Every facet of an event: its key and itself."""
    yield from event["run"]["facets"].items()
    yield from event["job"]["facets"].items()
    for dataset in (*event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from dataset.get(kind, {}).items()


def checked(event):
    """The event, if it and each of its facets are as OpenLineage says."""
    validate(event, event["schemaURL"])
    for key, facet in facets(event):
        url, _, _ = facet["_schemaURL"].partition("#")
        assert list(SCHEMAS[url]["properties"]) == [key]
        validate(facet, facet["_schemaURL"])
        validate({key: facet}, url)
    return event


@pytest.fixture
def told(project):
    """The project, its events written to a file, and a function that reads them."""
    project.change(
        "lakehouse", "", "openlineage: {namespace: acme, transport: {type: file, path: events/lineage.jsonl}}"
    )

    def events():
        text = (project.folder / "events" / "lineage.jsonl").read_text("utf-8")
        return [checked(json.loads(line)) for line in text.splitlines()]

    return project, events


def said(event):
    """What an event says in short."""
    return event["eventType"], event["job"]["name"]


def last(events, job):
    """The last event of a job."""
    return next(event for event in reversed(events) if event["job"]["name"] == job)


def output(event, zone="curated"):
    """The output in a zone of the lake."""
    return next(one for one in event["outputs"] if f"/data/{zone}/" in one["name"])


def test_a_run_tells_of_itself_and_of_each_step(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    assert project.run().notes == ()
    found = events()
    assert [said(event) for event in found] == [
        ("START", "run.nightly"),
        ("START", "land.flights"),
        ("COMPLETE", "land.flights"),
        ("START", "curate.aviation/flights"),
        ("COMPLETE", "curate.aviation/flights"),
        ("COMPLETE", "run.nightly"),
    ]
    assert {event["job"]["namespace"] for event in found} == {"acme"}
    assert set(Counter(event["run"]["runId"] for event in found).values()) == {2}
    whole = found[0]["run"]["runId"]
    assert [e["run"]["facets"].get("parent", {}).get("run") for e in found] == [
        None,
        *[{"runId": whole, "facets": {}}] * 4,
        None,
    ]
    times = [event["eventTime"] for event in found]
    assert times == sorted(times)


def test_what_is_landed_is_what_is_curated(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    project.run()
    landing, curation = last(events(), "land.flights"), last(events(), "curate.aviation/flights")
    incoming, raw = str(project.folder / "incoming"), str(project.folder / "data" / "raw" / "flights")
    assert [(one["namespace"], one["name"]) for one in landing["inputs"]] == [("file", incoming)]
    assert [(one["namespace"], one["name"]) for one in landing["outputs"]] == [("file", raw)]
    assert [(one["namespace"], one["name"]) for one in curation["inputs"]] == [("file", raw)]
    made = landing["outputs"][0]["outputFacets"]["outputStatistics"]
    assert (made["fileCount"], made["size"]) == (1, len(project.morning))


def test_a_curated_table_is_described_in_full(told):
    project, events = told
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\ndescription: All\nowner: Ops")
    project.change(
        f"datasets/{project.flights}",
        "dep_delay: {type: int, presence: optional}",
        "dep_delay: {type: int, presence: optional, description: Lateness, unit: minutes}",
    )
    project.deliver("morning.csv", project.morning)
    project.run()
    project.deliver("noon.csv", project.noon)
    project.run()
    first, second = [e for e in events() if said(e) == ("COMPLETE", "curate.aviation/flights")]
    table = output(first)
    assert table["name"] == str(project.folder / "data" / "curated" / project.flights)
    assert table["facets"]["documentation"]["description"] == "All"
    assert [owner["name"] for owner in table["facets"]["ownership"]["owners"]] == ["Ops"]
    assert table["facets"]["symlinks"]["identifiers"] == [
        {"namespace": "acme", "name": project.flights, "type": "TABLE"}
    ]
    assert (table["facets"]["storage"]["storageLayer"], table["facets"]["dataSource"]["name"]) == (
        "delta",
        project.flights,
    )
    fields = {field["name"]: field for field in table["facets"]["schema"]["fields"]}
    assert list(fields)[:2] == ["time_hour", "carrier"]
    assert (fields["dep_delay"]["type"], fields["dep_delay"]["description"]) == ("int", "Lateness; in minutes")
    assert fields["_raw"]["ordinal_position"] == 6
    assert [output(e)["facets"]["version"]["datasetVersion"] for e in (first, second)] == ["0", "1"]
    assert [output(e)["outputFacets"]["outputStatistics"]["rowCount"] for e in (first, second)] == [2, 2]
    assert [output(e)["facets"]["dataQualityMetrics"]["rowCount"] for e in (first, second)] == [2, 4]
    assert output(first)["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "CREATE"
    assert "lifecycleStateChange" not in output(second)["facets"]


def test_a_table_made_anew_is_the_same_dataset_overwritten(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    project.run()
    project.change(f"datasets/{project.flights}", "dep_delay: {type: int", "dep_delay: {type: float")
    with project.lake() as lake:
        lake.curate(FLIGHTS, again=True)
    before, after = [output(e) for e in events() if said(e) == ("COMPLETE", "curate.aviation/flights")]
    assert before["name"] == after["name"]
    assert after["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "OVERWRITE"
    assert {f["name"]: f["type"] for f in after["facets"]["schema"]["fields"]}["dep_delay"] == "float"


def test_rejected_rows_are_counted_by_reason_and_their_quarantine_is_an_output(told):
    project, events = told
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nmax_rejected: 50%")
    project.deliver("a.csv", project.morning + "2013-01-01T07:00:00Z,UA,secret-value,EWR,2\n")
    project.run()
    done = last(events(), "curate.aviation/flights")
    checks = done["inputs"][0]["inputFacets"]
    assert (checks["dataQualityMetrics"]["rowCount"], checks["dataQualityMetrics"]["fileCount"]) == (3, 1)
    whole, flight = checks["dataQualityAssertions"]["assertions"]
    assert (whole["assertion"], whole["success"], whole["expected"]) == ("max_rejected", True, "50%")
    assert whole["actual"] == "1 of 3 rows"
    assert (flight["column"], flight["assertion"], flight["success"]) == ("flight", "not an int", False)
    assert flight["actual"] == "rejected rows: 1"
    assert output(done, "quarantine")["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert output(done)["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert "secret-value" not in json.dumps(events())


def test_a_refused_batch_fails_with_its_reason_and_so_does_the_run(told):
    project, events = told
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nmax_rejected: 0")
    project.deliver("a.csv", project.morning + "2013-01-01T07:00:00Z,UA,x,EWR,2\n")
    project.run()
    found = events()
    refused, run = last(found, "curate.aviation/flights"), last(found, "run.nightly")
    assert (refused["eventType"], run["eventType"]) == ("FAIL", "FAIL")
    error = refused["run"]["facets"]["errorMessage"]
    assert error["message"].startswith("SchemaError: dataset 'aviation/flights': 1 of 3 rows were rejected")
    assert error["programmingLanguage"] == "python"
    assert run["run"]["facets"]["errorMessage"]["message"] == error["message"]
    whole, _ = refused["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (whole["success"], whole["expected"], whole["actual"]) == (False, "0 rows", "1 of 3 rows")
    assert "version" not in output(refused)["facets"]


def test_what_is_odd_about_a_batch_is_told_by_its_kind(told):
    project, events = told
    project.change("datasets/aviation/flights", "schema:\n", "schema:\n  rows: {min: 10}\n")
    project.deliver("morning.csv", project.morning)
    project.run()
    curated = last(events(), "curate.aviation/flights")
    assertions = curated["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(one["assertion"], one["success"], one["severity"]) for one in assertions] == [
        ("DATASET_LOW_NUM_EXAMPLES", False, "error")
    ]


def test_a_source_that_cannot_be_read_fails_the_run(told):
    project, events = told
    project.change("sources/flights", "incoming/*", "gone/flights.csv")
    assert not project.run().ok
    run = last(events(), "run.nightly")
    assert run["eventType"] == "FAIL"
    assert "gone/flights.csv" in run["run"]["facets"]["errorMessage"]["message"]


def test_a_landing_that_fails_half_way_says_why(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    with project.lake() as lake:
        lake.list()
    (project.folder / "data" / "raw").mkdir(exist_ok=True)
    (project.folder / "data" / "raw" / "flights").write_text("in the way")
    with project.lake() as lake, pytest.raises(StorageError):
        lake.land("flights")
    assert said(events()[-1]) == ("FAIL", "land.flights")
    assert events()[-1]["run"]["facets"]["errorMessage"]["message"].startswith("StorageError: ")


def test_a_refused_file_fails_the_run_though_nothing_was_raised(told):
    project, events = told
    project.deliver("a.csv", b"\x00\xff\xfe\x00broken")
    ran = project.run()
    assert ran.curated[0].refused
    run = last(events(), "run.nightly")
    assert run["eventType"] == "FAIL"
    assert "refused" in run["run"]["facets"]["errorMessage"]["message"]


def test_a_users_step_is_told_with_what_it_read_and_made(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    project.run()
    with project.lake() as lake:
        with lake.execution("Train", inputs=[f"{FLIGHTS}@0"], parameters={"token": "not-for-others"}) as run:
            run.output("Model", "s3://user:pass@models/churn/7.bin?sig=abc", auc=0.91)
            run.output("Report", project.folder / "report.html")
        with pytest.raises(ZeroDivisionError), lake.execution("Train", inputs=[FLIGHTS]):
            1 / 0  # noqa: B018  # whatever a user's step raises
        with pytest.raises(KeyboardInterrupt), lake.execution("Train"):
            raise KeyboardInterrupt
    found = [event for event in events() if event["job"]["name"] == "execution.Train"]
    assert [event["eventType"] for event in found] == ["START", "COMPLETE", "START", "FAIL", "START", "ABORT"]
    assert found[1]["inputs"][0]["facets"]["version"]["datasetVersion"] == "0"
    assert found[1]["inputs"][0]["name"] == str(project.folder / "data" / "curated" / FLIGHTS)
    assert [(o["namespace"], o["name"], o["facets"]["datasetType"]["datasetType"]) for o in found[1]["outputs"]] == [
        ("s3://models", "churn/7.bin", "MODEL"),
        ("file", str(project.folder / "report.html"), "REPORT"),
    ]
    assert found[3]["run"]["facets"]["errorMessage"]["message"].startswith("ZeroDivisionError")
    assert "1 / 0" in found[3]["run"]["facets"]["errorMessage"]["stackTrace"]
    assert "not-for-others" not in json.dumps(found)


def test_columns_are_traced_to_those_of_the_raw_files(told):
    project, events = told
    project.change(
        f"datasets/{project.flights}",
        "source: flights",
        "source: flights\nrename: {dep_delay: late}\nderive: {hours: late / 60.0}",
    )
    project.change(
        f"datasets/{project.flights}",
        "dep_delay: {type: int, presence: optional}",
        "late: {type: int, presence: optional}\n    hours: {type: float, presence: optional}",
    )
    project.deliver("morning.csv", project.morning)
    project.run()
    fields = output(last(events(), "curate.aviation/flights"))["facets"]["columnLineage"]["fields"]
    raw = {"namespace": "file", "name": str(project.folder / "data" / "raw" / "flights"), "field": "dep_delay"}
    (late,), (hours,) = fields["late"]["inputFields"], fields["hours"]["inputFields"]
    assert {key: late[key] for key in raw} == {key: hours[key] for key in raw} == raw
    assert [how["subtype"] for how in late["transformations"]] == ["IDENTITY"]
    assert [(how["type"], how["subtype"], how["description"]) for how in hours["transformations"]] == [
        ("DIRECT", "TRANSFORMATION", "late / 60.0")
    ]


def test_what_a_function_hides_is_perhaps_made_from_every_column(told):
    project, events = told
    (project.folder / "steps.py").write_text("def same(frame):\n    return frame.collect().lazy()\n")
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\ncurate: steps.same")
    project.deliver("morning.csv", project.morning)
    project.run()
    fields = output(last(events(), "curate.aviation/flights"))["facets"]["columnLineage"]["fields"]
    assert [one["field"] for one in fields["carrier"]["inputFields"]] == ["*"]


def test_personal_features_are_tagged_and_their_values_stay_here(told):
    project, events = told
    project.change(f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    project.deliver("morning.csv", project.header + "2013-01-01T05:00:00Z,Ada Lovelace,1545,EWR,2\n")
    project.deliver("bad.csv", project.header + "2013-01-01T05:00:00Z,Grace Hopper,x,EWR,2\n")
    project.run()
    tags = output(last(events(), "curate.aviation/flights"))["facets"]["tags"]["tags"]
    assert [(tag["key"], tag["field"]) for tag in tags] == [("personal", "carrier")]
    assert "Lovelace" not in json.dumps(events())
    assert "Hopper" not in json.dumps(events())


def test_what_is_made_from_personal_columns_is_tagged_too(told):
    project, events = told
    project.change(
        f"datasets/{project.flights}", "source: flights", "source: flights\nderive: {who: LOWER(carrier), at: origin}"
    )
    project.change(
        f"datasets/{project.flights}",
        "carrier: {type: string}",
        "carrier: {type: string, personal: true}\n    who: {type: string}\n    at: {type: string, personal: true}",
    )
    project.deliver("morning.csv", project.morning)
    project.run()
    tags = output(last(events(), "curate.aviation/flights"))["facets"]["tags"]["tags"]
    assert {(tag["field"], tag["value"]) for tag in tags} == {("carrier", "true"), ("who", "true"), ("at", "true")}


def test_columns_that_are_taken_along_are_no_column_of_that_name(told):
    project, events = told
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\nnew_columns: add")
    project.deliver("morning.csv", project.morning)
    project.run()
    found = output(last(events(), "curate.aviation/flights"))["facets"]
    assert found["columnLineage"]["fields"].keys() <= {field["name"] for field in found["schema"]["fields"]}


@pytest.mark.parametrize("uri", ["s3://[models/a", "http://models:port/a", "x://", "s3://modèles/ü 1.bin", "a b\n.bin"])
def test_a_step_is_told_whatever_the_uri_of_what_it_made(told, uri):
    project, events = told
    with project.lake() as lake, lake.execution("Train") as run:
        run.output("Model", uri, name="it")
    assert [event["eventType"] for event in events()] == ["START", "COMPLETE"]
    assert len(events()[1]["outputs"]) == 1


def test_no_secret_leaves_the_lake(told, monkeypatch):
    project, events = told
    monkeypatch.setenv("TOKEN", "hunter2-and-more")
    project.configure(
        "sources/flights",
        """
        type: http
        url: http://ops:${TOKEN}@127.0.0.1:9/daily.csv?key=${TOKEN}
        attempts: 1
        allow_private: true
        description: With ${TOKEN}
        format: csv
        """,
    )
    assert not project.run().ok
    landing = next(event for event in events() if event["job"]["name"] == "land.flights")
    assert [(one["namespace"], one["name"]) for one in landing["inputs"]] == [("http://127.0.0.1:9", "/daily.csv")]
    assert "hunter2" not in (project.folder / "events" / "lineage.jsonl").read_text()


@pytest.mark.parametrize(
    ("remote", "web"),
    [
        ("https://bot:token-1234@git.example.org/ops/lake.git", "https://git.example.org/ops/lake"),
        ("git@git.example.org:ops/lake.git", "https://git.example.org/ops/lake"),
        ("ssh://git@git.example.org:2222/ops/lake", "https://git.example.org/ops/lake"),
        ("/srv/git/lake.git", None),
        (None, None),
    ],
)
def test_the_code_is_found_in_its_repository(told, remote, web):
    project, events = told
    (project.folder / "steps.py").write_text("def same(frame):\n    return frame\n")
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\ncurate: steps.same")
    commands = ["init -q", "add .", "-c user.name=A -c user.email=a@example.org commit -q -m All"]
    for command in commands + ([f"remote add origin {remote}"] if remote else []):
        subprocess.run(["git", "-C", project.folder, *command.split()], check=True)
    project.deliver("morning.csv", project.morning)
    project.run()
    head = subprocess.run(
        ["git", "-C", project.folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    where = last(events(), "curate.aviation/flights")["job"]["facets"]["sourceCodeLocation"]
    commit = head.stdout.strip()
    own = (project.folder / "steps.py").as_uri()
    assert (where["type"], where["path"], where["version"]) == ("git", "steps.py", commit)
    assert (where.get("repoUrl"), where["url"]) == (web, f"{web}/blob/{commit}/steps.py" if web else own)
    assert "token-1234" not in json.dumps(events())


@given(
    scheme=st.sampled_from(["s3", "gs", "http", "https", "file", "abfss", "mlflow"]),
    user=st.sampled_from(["", "hunter2@", "me:hunter2@", ":hunter2@"]),
    host=st.from_regex(r"[a-z]{1,8}(:[1-9][0-9]{1,3})?", fullmatch=True),
    path=st.text("abc/é .%", max_size=12),
    tail=st.sampled_from(["", "?key=hunter2", "#hunter2", "?a=1&b=hunter2#hunter2"]),
)
def test_no_part_of_a_uri_that_may_be_secret_is_in_a_datasets_name(scheme, user, host, path, tail):
    name = of_uri(f"{scheme}://{user}{host}/{path}{tail}", Path("/lake"))
    assert "hunter2" not in "".join(name)
    assert name.name
    assert web(f"https://{user}{host}/{path}").partition("://")[2].startswith(host)


def test_outside_a_repository_no_code_is_named(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    project.run()
    assert all("sourceCodeLocation" not in event["job"]["facets"] for event in events())


@pytest.mark.parametrize(
    ("place", "job", "end"),
    [
        ("land.begun", "land.flights", "ABORT"),
        ("curate.begun", "curate.aviation/flights", "ABORT"),
        ("curate.committed", "curate.aviation/flights", "COMPLETE"),
        ("site.ended", "land.flights", "COMPLETE"),
    ],
)
def test_whoever_settles_what_a_crash_left_ends_its_run(told, place, job, end):
    project, events = told
    project.deliver("morning.csv", project.morning)
    killed = project.start("-m", "lakehouse", "run", "nightly", LAKEHOUSE_FAIL_AT=place)
    killed.communicate(timeout=60)
    assert killed.returncode < 0
    started = last(events(), job)
    assert started["eventType"] == "START"
    cut = events()[0]["run"]["runId"]
    project.run()
    found = events()
    ended = [e["eventType"] for e in found if e["run"]["runId"] == started["run"]["runId"]]
    assert ended == ["START", end]
    assert [e["eventType"] for e in found if e["run"]["runId"] == cut] == ["START", "ABORT"]
    settled = next(e for e in found[1:] if e["run"]["runId"] == started["run"]["runId"] and e["eventType"] == end)
    assert settled["run"]["facets"]["parent"]["run"]["runId"] == cut


def test_a_step_of_no_run_stays_without_one_when_a_run_settles_it(told):
    project, events = told
    project.deliver("morning.csv", project.morning)
    project.start("-m", "lakehouse", "land", "flights", LAKEHOUSE_FAIL_AT="land.begun").communicate(timeout=60)
    project.start("-m", "lakehouse", "run", "nightly").communicate(timeout=60)
    found = events()
    cut = [event for event in found if event["run"]["runId"] == found[0]["run"]["runId"]]
    assert [event["eventType"] for event in cut] == ["START", "ABORT"]
    assert [event["run"]["facets"].get("parent") for event in cut] == [None, None]


def test_a_run_that_is_stopped_aborts(told):
    project, events = told
    (project.folder / "steps.py").write_text("import time\n\ndef slow(frame):\n    time.sleep(30)\n    return frame\n")
    # Declared, so that nobody has to run the function to know what it reads.
    project.change(
        f"datasets/{project.flights}",
        "source: flights",
        "source: flights\ncurate: steps.slow\ncolumns: {carrier: [carrier]}",
    )
    project.change("jobs/nightly", "", "timeout: 4s")
    project.deliver("morning.csv", project.morning)
    stopped = project.start("-m", "lakehouse", "run", "nightly")
    _, complaint = stopped.communicate(timeout=60)
    assert "TimedOut: job 'nightly' took longer" in complaint
    assert [said(event) for event in events()][-2:] == [("ABORT", "curate.aviation/flights"), ("ABORT", "run.nightly")]


def test_every_event_of_the_sample_lake_is_as_openlineage_says(tmp_path):
    for name in ("configs", "jobs", "data/samples"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    with (tmp_path / "configs" / "lakehouse.yaml").open("a") as settings:
        settings.write("\nopenlineage: {transport: {type: file, path: events.jsonl}}\n")
    with Lake(tmp_path / "configs") as lake:
        assert lake.run("nightly").notes == ()
        lake.curate("reference/airports", again=True)
    events = [checked(json.loads(line)) for line in (tmp_path / "events.jsonl").read_text("utf-8").splitlines()]
    assert Counter(event["eventType"] for event in events) == {"START": 12, "COMPLETE": 12}
    airports = last(events, "curate.reference/airports")
    reasons = airports["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {(r["column"], r["actual"]) for r in reasons if r["severity"] == "warn"} == {
        ("tzone", "rejected rows: 2"),
        ("lat", "rejected rows: 1"),
    }
