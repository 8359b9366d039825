"""The configuration as a whole: what a folder of YAML gives, and how it says what is wrong."""

import dataclasses
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest

from lakehouse.config import Dataset, Tolerance, curate_function, load, load_object
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.schema import Schema

SOURCE = "type: files\npath: data/samples/*.csv\nformat: csv\n"
DATASET = """
    description: Every departure.
    source: flights
    keys: [carrier, time_hour]
    event_time: time_hour
    max_rejected: 5%
    rename: {dep_delay: departure_delay}
    derive: {gained: "departure_delay - arr_delay"}
    schema:
      features:
        carrier: {type: string, domain: [AA, NO, UA]}
        departure_delay: {type: float, presence: optional, domain: {min: -120, max: 1440}}
        arr_delay: {type: float, presence: optional}
        gained: {type: float, presence: optional}
        time_hour: {type: datetime}
        tailnum: {type: string, presence: optional, personal: true}
"""
JOB = 'datasets: [aviation/flights]\nschedule: "0 2 * * *"\ntimezone: Europe/Oslo\n'


@pytest.fixture
def project(tmp_path):
    """A project with one source, one dataset and one job; calling it writes another file."""

    class Project:
        folder = tmp_path / "configs"

        def __call__(self, name, text):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
            return self

        def load(self, env=None, **environ):
            return load(self.folder, env, environ)

        def problems(self, env=None, **environ):
            with pytest.raises(ConfigError) as caught:
                self.load(env, **environ)
            return str(caught.value)

    made = Project()
    made("sources/flights.yaml", SOURCE)
    made("datasets/aviation/flights.yaml", DATASET)
    return made("jobs/nightly.yaml", JOB)


def with_feature(project, feature, extra=""):
    """The problems of a dataset with one feature ``x`` beside another."""
    text = f"source: flights\n{extra}\nschema:\n  features:\n    other: {{type: string}}\n    x: {feature}\n"
    return project("datasets/aviation/flights.yaml", text)


def test_a_folder_gives_its_sources_datasets_and_jobs(project, tmp_path):
    config = project.load()
    assert list(config.sources) == ["flights"]
    assert list(config.datasets) == ["aviation/flights"]
    assert list(config.jobs) == ["nightly"]
    assert config.root == tmp_path / "data"
    assert config.metadata.get_secret_value() == f"sqlite:///{tmp_path}/data/metadata.db"
    assert config.batch_bytes == 4 << 30
    assert config.project == tmp_path
    dataset = config.dataset("aviation/flights")
    assert dataset.subject == "aviation"
    assert dataset.schema.features["carrier"].domain.values == ("AA", "NO", "UA")


def test_a_source_finds_its_files_from_the_project(project, tmp_path):
    (tmp_path / "data/samples").mkdir(parents=True)
    (tmp_path / "data/samples/a.csv").touch()
    [offer] = project.load().sources["flights"].offers({}, datetime.now(UTC))
    assert offer.origin == "data/samples/a.csv"


def test_a_source_never_offers_what_the_lake_itself_stores(project, tmp_path):
    project("sources/flights.yaml", "type: files\npath: data/**/*.csv\nformat: csv\n")
    for zone in ("raw/flights/ab", "curated/x/y", "quarantine/x/y", "samples", "samples/raw"):
        (tmp_path / "data" / zone).mkdir(parents=True)
        (tmp_path / "data" / zone / "a.csv").touch()
    origins = [offer.origin for offer in project.load().source("flights").offers({}, datetime.now(UTC))]
    assert origins == ["data/samples/a.csv", "data/samples/raw/a.csv"]


def test_an_unknown_name_names_the_nearest(project):
    with pytest.raises(NotFoundError, match=r"no dataset 'aviation/flihgts'\. Did you mean 'aviation/flights'"):
        project.load().dataset("aviation/flihgts")
    with pytest.raises(NotFoundError, match=r"no job 'x'\. Known: nightly"):
        project.load().job("x")


def test_every_problem_of_every_file_is_in_one_error(project):
    project("sources/flights.yaml", "type: flies\nformat: cvs\n")
    project(
        "datasets/aviation/flights.yaml",
        """\
        source: flihgts
        history: snapshot
        event_tim: x
        schema:
          features:
            carrier: {type: strnig}
            delay: {type: float, presence: maybe, domain: {min: 1, mx: 2}}
        """,
    )
    project("datasets/aviation/planes.yaml", "source: flights\nsource: other\n")
    project("jobs/nightly.yaml", 'datasets: [aviation/flight]\nschedule: "0 25 * * *"\ntimeout: 2x\n')
    project("jobs/weekly.yaml", "datasets: [aviation/flight]\n")
    project("lakehouse.yaml", "root: s3://bucket/lake\nbatch_bytes: many\nrot: x\n")
    text = project.problems()
    for line in (
        "configs/sources/flights.yaml:1: type: there is no kind of source 'flies'. Did you mean 'files'?",
        "configs/sources/flights.yaml:2: format: there is no format 'cvs'. Did you mean 'csv'?",
        "configs/datasets/aviation/flights.yaml:1: source: there is no source 'flihgts'. Did you mean 'flights'?",
        "configs/datasets/aviation/flights.yaml:2: history: ",
        "configs/datasets/aviation/flights.yaml:3: event_tim: unknown key. Did you mean 'event_time'?",
        "configs/datasets/aviation/flights.yaml:6: schema.features.carrier.type: allowed is 'int', 'float'",
        "found 'strnig'. Did you mean 'string'?",
        "flights.yaml:7: schema.features.delay.presence: allowed is 'required' or 'optional', found 'maybe'",
        "configs/datasets/aviation/flights.yaml:7: schema.features.delay.domain.mx: unknown key. Did you mean 'max'?",
        "configs/datasets/aviation/planes.yaml:2: the key 'source' stands here twice, first on line 1",
        "configs/jobs/nightly.yaml:2: schedule: found '0 25 * * *': hour: 25 is not between 0 and 23",
        "configs/jobs/nightly.yaml:3: timeout: found '2x': a duration is a number and a unit",
        "weekly.yaml:1: datasets.0: there is no dataset 'aviation/flight'. Did you mean 'aviation/flights'?",
        "configs/lakehouse.yaml:1: root: object storage (s3://) is not supported by this version",
        "configs/lakehouse.yaml:2: batch_bytes: found 'many'",
        "configs/lakehouse.yaml:3: rot: unknown key. Did you mean 'root'?",
    ):
        assert line in text


def test_a_missing_folder_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="lakehouse init"):
        load(tmp_path / "nowhere", environ={})


def test_an_empty_folder_is_a_lake_without_datasets(tmp_path):
    config = load(str(tmp_path), environ={})
    assert config.datasets == {}
    with pytest.raises(NotFoundError, match="The configuration has no sources"):
        config.source("x")


# Where files stand and how they are named


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("datasets/flat.yaml", "two levels"),
        ("datasets/a/b/c.yaml", "two levels"),
        ("jobs/a/b.yaml", "one level"),
        ("datasets/a/b.yml", r"rename it to b\.yaml"),
        ("dataset/a/b.yaml", "configs/dataset: unknown here. Did you mean 'datasets'?"),
        ("lakehous.yaml", r"Did you mean 'lakehouse\.yaml'"),
        ("sources/a b.yaml", "may hold only letters"),
        ("sources/deep/flights.yaml", "has the name 'flights'"),
        ("sources/deep/FLIGHTS.yaml", "rename one"),
        ("sources/empty.yaml", "empty"),
    ],
)
def test_a_misplaced_file_is_refused(project, name, says):
    project(name, "" if "empty" in name else SOURCE)
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        project.load()


def test_hidden_and_other_files_are_left_alone(project):
    for name in ("sources/.x.yaml", "sources/README.md", ".git/x.yaml", "datasets/aviation/notes.txt", "_old/x.yaml"):
        project(name, "not: [yaml")
    assert list(project.load().sources) == ["flights"]


def test_sources_may_stand_in_folders(project):
    project("sources/air/ports.yaml", SOURCE)
    assert sorted(project.load().sources) == ["flights", "ports"]


# The settings


def test_settings_are_read(project, tmp_path):
    project("lakehouse.yaml", "root: lake\nmetadata: sqlite:///m.db\ntimezone: Europe/Oslo\nbatch_bytes: 512MB\n")
    config = project.load()
    assert config.root == tmp_path / "lake"
    assert config.metadata.get_secret_value() == f"sqlite:///{tmp_path}/m.db"
    assert config.timezone == "Europe/Oslo"
    assert config.batch_bytes == 512_000_000


def test_an_empty_settings_file_is_the_defaults(project, tmp_path):
    project("lakehouse.yaml", "# nothing yet\n")
    assert project.load().root == tmp_path / "data"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:////abs/m.db",
            "mysql+pymysql://u@h/db",
            "postgresql+psycopg:///db",
        ),
        "sqlite:///file:x?uri=true",
    ],
)
def test_other_database_urls_are_kept(project, url):
    project("lakehouse.yaml", f"metadata: '{url}'\n")
    assert project.load().metadata.get_secret_value() == url


@pytest.mark.parametrize("given", ["data/metadata.db", "postgresql://u@h/db", "mariadb+pymysql://u@h/db"])
def test_what_is_no_database_url_is_refused(project, given):
    project("lakehouse.yaml", f"metadata: {given}\n")
    assert "lakehouse.yaml:1: metadata: must be a database URL: sqlite:///" in project.problems()


def test_a_root_may_be_absolute_or_a_file_url(project, tmp_path):
    project("lakehouse.yaml", f"root: file://{tmp_path}/a%20b\n")
    assert project.load().root == tmp_path / "a b"
    project("lakehouse.yaml", f"root: {tmp_path}/x/../y\n")
    assert project.load().root == tmp_path / "y"


def test_a_root_without_percent_codes_is_asked_for_as_delta_cannot_open_others(project):
    project("lakehouse.yaml", "root: 100%\n")
    assert project.load().root.name == "100%"
    project("lakehouse.yaml", "root: a%20b\n")
    assert "holds a percent code such as %20; name another folder" in project.problems()


@pytest.mark.parametrize("url", ["s3://b/x", "gs://b", "az://b", "memory://x"])
def test_object_storage_is_not_here_yet(project, url):
    project("lakehouse.yaml", f"root: {url}\n")
    assert "object storage" in project.problems()


# Environments


ENVIRONMENTS = """\
    root: data
    timezone: UTC
    environments:
      dev: {root: data/dev}
      prod:
        root: /srv/lake
        metadata: postgresql+psycopg://lake:${PASSWORD}@db/lake
"""


def test_an_environment_is_laid_over_the_settings(project, tmp_path):
    project("lakehouse.yaml", ENVIRONMENTS)
    assert project.load().root == tmp_path / "data"
    dev = project.load("dev")
    assert (dev.root, dev.timezone, dev.env) == (tmp_path / "data/dev", "UTC", "dev")
    assert dev.metadata.get_secret_value().endswith("data/dev/metadata.db")
    assert project.load(LAKEHOUSE_ENV="dev").root == dev.root
    assert str(project.load("prod", LAKEHOUSE_ENV="dev", PASSWORD="hunter22").root) == "/srv/lake"


def test_the_secrets_of_an_environment_not_chosen_need_not_be_there(project):
    project("lakehouse.yaml", ENVIRONMENTS)
    assert project.load("dev").env == "dev"
    says = "lakehouse.yaml:7: environments.prod.metadata: the environment variable PASSWORD is not set"
    assert says in project.problems("prod")


def test_an_unknown_environment_names_the_nearest(project):
    project("lakehouse.yaml", ENVIRONMENTS)
    assert "there is no environment 'prdo'. Did you mean 'prod'?" in project.problems("prdo")


def test_an_environment_without_any_says_so(project):
    assert "has no environments" in project.problems("dev")


def test_an_unknown_key_in_an_environment_not_chosen_is_refused(project):
    project("lakehouse.yaml", "environments: {dev: {rot: x}, prod: 5}\n")
    text = project.problems()
    assert "environments.dev.rot: unknown key. Did you mean 'root'?" in text
    assert "environments.prod: must be a mapping" in text


def test_a_wrong_value_in_the_chosen_environment_has_its_line(project):
    project("lakehouse.yaml", "root: x\nenvironments:\n  dev:\n    batch_bytes: lots\n")
    assert "lakehouse.yaml:4: batch_bytes: found 'lots'" in project.problems("dev")


# Datasets


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        ("{type: int, default: 1.5}", "schema.features.x.default: must be a whole number"),
        ("{type: int, domain: {min: 5, max: 1}}", "is above max"),
        ("{type: int, domain: [1, two]}", "schema.features.x.domain.1: must be a whole number"),
        ("{type: int, default: 9223372036854775808}", "64 bits"),
        ("{type: int, default: true}", "is a bool here"),
        ("{type: float, domain: {max: high}}", "schema.features.x.domain.max: cannot be read as float"),
        ("{type: float, default: .nan}", "must be a number"),
        ("{type: decimal, precision: 4, scale: 2, default: 100.5}", "does not fit decimal(4, 2)"),
        ("{type: decimal, default: many}", "cannot be read as decimal"),
        ("{type: date, domain: {min: 2013-13-01}}", "must be a date as ISO 8601, found '2013-13-01'"),
        ("{type: date, format: '%d/%m/%Y', default: 1/2}", "ISO 8601 or %d/%m/%Y"),
        ("{type: datetime, default: noon}", "must be a datetime"),
        ("{type: datetime, domain: {min: 2013-01-01T00:00:00Z, max: 2013-01-02}}", "both have a UTC offset"),
        ("{type: bool, default: maybe}", "must be one of true"),
        ("{type: string, domain: [1.10]}", "put it in quotes"),
        ("{type: string, domain: [true]}", "put it in quotes"),
        ("{type: string, domain: [[a]]}", "must be one string"),
        ("{type: datetime, timezone: Europe/Olso}", "not a time zone"),
        ("{type: string, domain: {regex: '['}}", "regex"),
        ("{type: string, domain: []}", "allows nothing"),
        ("{type: int, domain: {length: {min: -1}}}", "domain.length.min"),
        ("string", "must be a mapping"),
        ("{}", "type: is required and missing"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(project, feature, says):
    assert says in with_feature(project, feature).problems()


@pytest.mark.parametrize(
    "feature",
    [
        "{type: int, default: -5, domain: {min: -10, max: 9223372036854775807}}",
        "{type: float, domain: {min: -.inf, max: 1e3}}",
        "{type: decimal, precision: 4, scale: 2, default: '99.99'}",
        "{type: date, domain: {min: 2013-01-01}}",
        "{type: date, format: '%d/%m/%Y', default: 31/12/2013, domain: {min: 2013-01-01}}",
        "{type: datetime, domain: {min: 2013-01-01T00:00:00Z}}",
        "{type: bool, default: true}",
        "{type: bool, default: yes}",
        "{type: string, domain: [NO, 1, '1.10', 007]}",
        "{type: bytes, default: abc}",
    ],
)
def test_a_value_that_fits_its_type_is_taken(project, feature):
    assert "x" in with_feature(project, feature).load().dataset("aviation/flights").schema.features


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("keys: [y]", "keys.0: 'y' is not a feature. Known: other, x"),
        ("keys: [x, x]", "keys.1: 'x' stands here twice"),
        ("keys: x", "keys: must be a list, found 'x'"),
        ("event_time: othr", "event_time: 'othr' is not a feature. Did you mean 'other'?"),
        ("event_time: x", "'x' is float; it must be date or datetime"),
        ("partition_by: [x]", "'x' is float; it must be string, int, date or bool"),
        ("rename: {a: y}", "rename.a: 'y' is not a feature"),
        ("rename: {a: x, b: x}", "rename.b: 'x' is already what 'a' becomes"),
        ("rename: {x: other}", "rename.x: 'x' is a feature too"),
        ("rename: {a: x}\nderive: {x: '1'}", "'x' is computed"),
        ("derive: {y: '1'}", "derive.y: 'y' is not a feature"),
        ("derive: {x: 'othr'}", "reads 'othr', which is not a feature. Did you mean 'other'?"),
        ("derive: {x: 'other', other: 'UPPER(x)'}", "reads 'other', which is derived itself"),
        ("derive: {x: 'SUM('}", "not an SQL expression"),
        ("derive: {x: 'SUM(LENGTH(other))'}", "one value for a whole batch"),
        ("derive: {x: \"(SELECT 1 FROM read_csv('/etc/passwd'))\"}", "queries and functions that read files"),
        ("derive: {x: 'FLOOR(other)'}", "cannot be computed from these types"),
        ("derive: {x: ''}", "not an SQL expression"),
        ("max_rejected: 101%", "must be a share"),
        ("max_rejected: -1", "must be a share"),
        ("max_rejected: true", "must be a share"),
        ("new_columns: keep", "allowed is 'add', 'ignore' or 'reject', found 'keep'"),
        ("name: other/name", "name: unknown key"),
        ("history: [events]", "history"),
    ],
)
def test_a_dataset_that_contradicts_itself_is_refused(project, extra, says):
    assert says in with_feature(project, "{type: float}", extra).problems()


def test_a_personal_feature_cannot_partition(project):
    text = with_feature(project, "{type: string, personal: true}", "partition_by: [x]").problems()
    assert "'x' is personal" in text


def test_renames_may_swap_two_columns(project):
    with_feature(project, "{type: float}", "rename: {x: other, other: x}").load()


def test_a_derived_feature_is_computed_without_saying_so(project):
    features = project.load().dataset("aviation/flights").schema.features
    assert [name for name, feature in features.items() if feature.computed] == ["gained"]


def test_a_derived_feature_may_be_a_constant(project):
    with_feature(project, "{type: float}", "derive: {x: '1.5'}").load()


@pytest.mark.parametrize(
    ("value", "tolerance"),
    [
        ("5%", Tolerance(share=0.05)),
        ("0.05", Tolerance(share=0.05)),
        ("7", Tolerance(rows=7)),
        ("0", Tolerance(rows=0)),
    ],
)
def test_the_share_that_may_be_rejected_is_read(project, value, tolerance):
    with_feature(project, "{type: float}", f"max_rejected: {value}")
    assert project.load().dataset("aviation/flights").max_rejected == tolerance


def test_a_tolerance_is_exceeded_above_it_only():
    assert not Tolerance(share=0.05).exceeded(5, 100)
    assert Tolerance(share=0.05).exceeded(6, 100)
    assert Tolerance(rows=0).exceeded(1, 10**9)
    assert not Tolerance(rows=0).exceeded(0, 0)


def test_the_fingerprint_holds_what_decides_the_rows(project):
    config = project.load()
    dataset, source = config.dataset("aviation/flights"), config.source("flights")
    print_ = dataset.fingerprint(source)
    assert print_ == project.load().dataset("aviation/flights").fingerprint(source)
    for same in ({"description": "x"}, {"owner": "me"}):
        assert dataclasses.replace(dataset, **same).fingerprint(source) == print_
    reordered = Schema(features=dict(reversed(dataset.schema.features.items())))
    changes = (
        *({"rename": {}}, {"curate": "a.b"}, {"max_rejected": None}, {"new_columns": "add"}, {"schema": reordered}),
        {"derive": {"gained": "arr_delay"}},
    )
    prints = {dataclasses.replace(dataset, **change).fingerprint(source) for change in changes}
    assert len(prints | {print_}) == len(changes) + 1
    other = source.model_copy(update={"format": source.format.model_copy(update={"null_values": ("NA",)})})
    assert dataset.fingerprint(other) != print_


def test_a_dataset_is_frozen(project):
    with pytest.raises(dataclasses.FrozenInstanceError):
        project.load().dataset("aviation/flights").source = "x"


def test_a_dataset_can_be_made_in_python():
    schema = Schema.model_validate({"features": {"a": {"type": "int"}, "b": {"type": "int"}}})
    dataset = Dataset(name="s/d", source="s", schema=schema, derive={"b": "a + 1"})
    assert dataset.schema.features["b"].computed


# Jobs


def test_a_job_is_read(project):
    project(
        "jobs/nightly.yaml",
        JOB + "retries: {attempts: 3, backoff: 1m}\ntimeout: 2h\nmisfire_grace: 10m\nenabled: false\n",
    )
    job = project.load().job("nightly")
    assert job.datasets == ("aviation/flights",)
    assert job.times.cron.hours == (2,)
    assert (job.retries.attempts, job.retries.backoff) == (3, timedelta(minutes=1))
    assert (job.timeout, job.misfire_grace, job.enabled) == (timedelta(hours=2), timedelta(minutes=10), False)


def test_a_jobs_time_zone_is_the_lakes_unless_it_has_one(project):
    project("jobs/nightly.yaml", "datasets: [aviation/flights]\n")
    assert project.load().job("nightly").timezone == "UTC"
    project("lakehouse.yaml", "timezone: Asia/Tokyo\n")
    assert project.load().job("nightly").timezone == "Asia/Tokyo"
    assert project.load().job("nightly").times is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasets: []", "datasets"),
        ("datasets: aviation/flights", "datasets: must be a list"),
        ("{}", "datasets: is required and missing"),
        ("datasets: [aviation/flights]\nevery: 15m\nschedule: 0 2 * * *", "schedule and every are both set"),
        ("datasets: [aviation/flights]\nevery: 0", "must be at least 1s"),
        ("datasets: [aviation/flights]\ntimezone: Europe/Olso", "Did you mean 'Europe/Oslo'?"),
        ("datasets: [aviation/flights]\ntimezone: ../../etc/passwd", "not a time zone"),
        ("datasets: [aviation/flights]\nretries: {attempts: 0}", "retries.attempts"),
        ("datasets: [aviation/flights]\nretries: {atempts: 2}", "Did you mean 'attempts'?"),
        ("datasets: [aviation/flights]\nschedule: 5", "schedule"),
    ],
)
def test_a_job_that_cannot_run_is_refused(project, text, says):
    assert says in project("jobs/nightly.yaml", text).problems()


# Users' own Python


@pytest.fixture
def own(project, tmp_path, monkeypatch):
    """A project with a package ``jobs`` of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "jobs/aviation").mkdir(parents=True)
    (tmp_path / "jobs/aviation/flights.py").write_text(
        f"WHERE = {str(tmp_path)!r}\ndef curate(frame):\n    return frame\n"
    )
    (tmp_path / "jobs/broken.py").write_text("1 / 0\n")
    (tmp_path / "jobs/needy.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "jobs/own.py").write_text(
        "from lakehouse.sources import Source\n"
        "class Mine(Source):\n    depth: int = 1\n    def offers(self, seen, now):\n        return iter(())\n"
    )
    yield project
    for name in [name for name in sys.modules if name == "jobs" or name.startswith("jobs.")]:
        del sys.modules[name]


def function(project, dotted):
    dataset = project.load().dataset("aviation/flights")
    return curate_function(dataclasses.replace(dataset, curate=dotted), project.folder.parent)


def test_a_folder_that_is_importable_already_stays_so_when_another_project_is_loaded(own, tmp_path):
    sys.path.append(str(tmp_path))
    function(own, "jobs.aviation.flights.curate")
    (tmp_path / "other/theirs").mkdir(parents=True)
    (tmp_path / "other/theirs/f.py").write_text("def curate(frame):\n    return frame\n")
    load_object("theirs.f.curate", tmp_path / "other")
    assert sys.path.count(str(tmp_path)) == 1
    assert sys.path.count(str(tmp_path / "other")) == 1


def test_a_datasets_function_is_loaded_from_the_project(own):
    assert function(own, "jobs.aviation.flights.curate")("x") == "x"
    assert function(own, None) is None


@pytest.mark.parametrize(
    ("dotted", "says"),
    [
        ("jobs.aviation.flights.curat", "has no 'curat'. Did you mean 'curate'?"),
        ("jobs.aviation.flihgts.curate", "there is no module 'jobs.aviation.flihgts'"),
        ("jobs.broken.curate", "ZeroDivisionError"),
        ("jobs.needy.curate", "not_installed_anywhere"),
        ("jobs.aviation.flights.WHERE", "is not a function"),
        ("curate", "is not a dotted path"),
        ("jobs..curate", "is not a dotted path"),
        ("os;x.y", "is not a dotted path"),
    ],
)
def test_a_function_that_cannot_be_loaded_says_why(own, dotted, says):
    with pytest.raises(ConfigError, match="dataset aviation/flights: curate: ") as caught:
        function(own, dotted)
    assert says in str(caught.value)


def test_a_function_is_not_imported_when_the_configuration_is_loaded(own):
    own("datasets/aviation/flights.yaml", dedent(DATASET) + "curate: jobs.broken.curate\n")
    assert own.load().dataset("aviation/flights").curate == "jobs.broken.curate"


def test_two_projects_with_the_same_package_name_do_not_mix(own, tmp_path):
    function(own, "jobs.aviation.flights.curate")
    other = tmp_path / "other"
    (other / "jobs/aviation").mkdir(parents=True)
    (other / "jobs/aviation/flights.py").write_text("def curate(frame):\n    return 'other'\n")
    dataset = dataclasses.replace(own.load().dataset("aviation/flights"), curate="jobs.aviation.flights.curate")
    assert curate_function(dataset, other)("x") == "other"
    assert curate_function(dataset, tmp_path)("x") == "x"


def test_a_source_of_ones_own_is_found_by_its_dotted_path(own):
    own("sources/flights.yaml", "type: jobs.own.Mine\ndepth: 3\nformat: csv\n")
    assert own.load().source("flights").depth == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("type: jobs.own.Mien\nformat: csv", "Did you mean 'Mine'?"),
        ("type: jobs.aviation.flights.curate\nformat: csv", "not a subclass"),
        ("type: jobs.own.Mine\ndept: 3\nformat: csv", "dept: unknown key. Did you mean 'depth'?"),
        ("type: jobs.own.Mine\ndepth: [x]\nformat: csv", "depth: must be a valid integer, found a list"),
        ("path: x\nformat: csv", "type: is required; one of files, http"),
        ("type: files\npath: x", "format: is required"),
        ("type: files\nformat: {type: csv, delimitr: x}", "format.delimitr: unknown key. Did you mean 'delimiter'?"),
        ("type: files\nformat: {delimiter: x}\npath: x", "format: is required"),
        ("type: files\nformat: csv\npath: x\nattempts: 0", "attempts"),
        ("type: http\nformat: csv", "url: is required"),
        ("type: http\nformat: csv\nurl: ftp://x/y", "url: found 'ftp://x/y': must be an address"),
        ("type: http\nformat: csv\nurl: http://x/y\nhedaers: {}", "Did you mean 'headers'?"),
    ],
)
def test_a_source_that_cannot_work_is_refused(own, text, says):
    assert says in own("sources/flights.yaml", text).problems()


def test_loading_writes_no_log_and_touches_no_environment(project, caplog):
    before = dict(os.environ)
    with caplog.at_level(logging.DEBUG):
        project.load()
    assert caplog.records == []
    assert dict(os.environ) == before
