"""`lakehouse statistics` and `lakehouse validate`, as a person or a program meets them."""

import functools
import json
import re
import signal
from datetime import UTC, datetime, timedelta

import click
import polars as pl
import pytest
from click.testing import CliRunner
from pages import Page

from lakehouse import generate_statistics
from lakehouse.cli import histogram, output, program, side_by_side
from lakehouse.evolution.sides import Side, lines

CLEAN = """
    source: flights
    keys: [carrier, flight, origin, time_hour]
    event_time: time_hour
    schema:
      environments: [TRAINING, SERVING]
      features:
        time_hour: {type: datetime}
        carrier: {type: string, domain: {values: [UA, AA, B6, DL], min_mass: 0.9}, drift: {infinity_norm: 0.2}}
        flight: {type: int}
        origin: {type: string, severity: warning, domain: [EWR, JFK, LGA]}
        dep_delay: {type: int, presence: {min_fraction: 0.1}, not_in_environment: [SERVING]}
"""


def tell(project, *arguments, charset="utf-8"):
    """Run a command in this process: (exit status, stdout, stderr)."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        done = CliRunner(charset=charset).invoke(
            program, ["--configs", str(project.folder / "configs"), *map(str, arguments)]
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def flown(tmp_path_factory, new_project):
    """A project with two versions, only to be looked at: two flights, then two more."""
    project = new_project(tmp_path_factory.mktemp("flown") / "project")
    project.configure(f"datasets/{project.flights}", CLEAN)
    project.deliver("1.csv", project.morning)
    project.run()
    project.deliver("2.csv", project.noon)
    project.run()
    return project


@pytest.fixture
def told(flown):
    """Run a command on that project."""
    return functools.partial(tell, flown)


def lines_of(said):
    """The lines of a table by their first word."""
    return {line.split()[0]: line for line in said.splitlines() if line.strip()}


# Statistics


def test_a_line_a_feature_with_its_figures(told):
    status, out, _ = told("statistics", "aviation/flights")
    assert status == 0
    assert out.splitlines()[0] == "aviation/flights: version 1, 4 rows; 5 features"
    found = lines_of(out)
    assert re.search(r"dep_delay +int +25\.0% +3 +-6 +-1\.667 +-1 +2 ", found["dep_delay"])
    assert re.search(r"origin +string +0\.0% +3 +3 +\S{3} +JFK 50\.0%, EWR 25\.0%, LGA 25\.0%", found["origin"])
    assert "2013-01-01 05:00Z  2013-01-01 13:00Z" in found["time_hour"]


def test_statistics_are_of_the_version_or_moment_or_batch_that_is_asked_for(told):
    def rows(*options):
        return json.loads(told("statistics", "aviation/flights", "--json", *options)[1])["sides"][0]["rows"]

    assert rows() == 4
    assert rows("--version", 0) == 2
    assert rows("--batch") == 2
    second = json.loads(told("history", "aviation/flights", "--json")[1])["versions"][1]["committed_at"]
    assert rows("--as-of", second) == 2  # the run that made it was under way
    assert told("statistics", "aviation/flights", "--version", 9)[0] == 1


def test_two_versions_stand_side_by_side_with_how_far_they_are_apart(told):
    status, out, _ = told("statistics", "aviation/flights", "--compare", 0)
    assert status == 0
    assert out.splitlines()[0] == "aviation/flights: version 1, 4 rows; version 0, 2 rows; 5 features"
    assert "  infinity_norm  jensen_shannon\n" in out
    assert re.search(r"carrier +version 1 .* 0\.2500 +0\.\d+\n", out)
    plain = json.loads(told("statistics", "aviation/flights", "--compare", 0, "--json")[1])
    assert plain["apart"]["carrier"]["infinity_norm"] == 0.25
    assert [side["label"] for side in plain["sides"]] == ["version 1", "version 0"]


def test_slices_stand_side_by_side(told):
    status, out, _ = told("statistics", "aviation/flights", "--slice", "origin", "--feature", "dep_delay")
    assert status == 0
    assert "origin=JFK, 2 rows" in out.splitlines()[0]
    assert len(re.findall(r"origin=\w{3} +int", out)) == 3
    assert told("statistics", "aviation/flights", "--slice", "origin", "--compare", 0)[0] == 2


def test_a_feature_that_is_not_there_is_told_with_the_nearest(told):
    status, _, err = told("statistics", "aviation/flights", "--feature", "dep_dely")
    assert status == 1
    assert "no feature 'dep_dely'. Did you mean 'dep_delay'?" in err


def test_many_features_are_as_many_as_are_asked_for(told):
    status, out, _ = told("statistics", "aviation/flights", "--limit", 2)
    assert status == 0
    assert "flight " not in out
    assert out.splitlines()[-1] == "and 3 more; --limit shows more, --feature NAME one of them"


def test_json_has_every_figure(told):
    found = json.loads(told("statistics", "aviation/flights", "--json")[1])["sides"][0]["features"]
    assert list(found) == ["time_hour", "carrier", "flight", "origin", "dep_delay"]
    delay = found["dep_delay"]
    assert (delay["type"], delay["rows"], delay["count"], delay["missing"]) == ("int", 4, 3, 1)
    assert (delay["numbers"]["min"], delay["numbers"]["max"], delay["quantiles"]["0.5"]) == (-6, 2, -1)
    assert sum(delay["histogram"]["counts"]) == 3
    assert found["origin"]["top"][0] == ["JFK", 2]
    assert found["origin"]["distinct"] == {"count": 3, "exact": True, "error": 0.0}
    assert found["time_hour"]["moments"]["days"] == 1


def test_values_of_personal_features_are_withheld_everywhere(project, tmp_path):
    project.change(f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    project.deliver("1.csv", project.header + "2013-01-01T05:00:00Z,Secretvalue,1545,EWR,2\n")
    project.run()
    table = tell(project, "statistics", "aviation/flights")[1]
    plain = tell(project, "statistics", "aviation/flights", "--json")[1]
    assert tell(project, "statistics", "aviation/flights", "--html", tmp_path / "page.html")[0] == 0
    assert "withheld" in lines_of(table)["carrier"]
    for said in (table, plain, (tmp_path / "page.html").read_text("utf-8")):
        assert "Secretvalue" not in said


def test_before_the_first_version_there_is_nothing_to_show(project):
    for command in (("statistics", "aviation/flights"), ("validate", "aviation/flights")):
        status, out, err = tell(project, *command)
        assert (status, out) == (1, "")
        assert re.match(r"NotFoundError: dataset 'aviation/flights' has no version yet", err)


def test_where_curations_do_not_measure_statistics_are_made_when_asked_for(project):
    project.change(f"datasets/{project.flights}", "", "validation: {statistics: false}")
    project.deliver("1.csv", project.morning)
    project.run()
    status, out, _ = tell(project, "statistics", "aviation/flights")
    assert status == 0
    assert "version 0, 2 rows" in out
    assert re.search(r" +0 +- +1 +\d+$", tell(project, "history", "aviation/flights")[1], re.MULTILINE)


def test_the_page_is_one_file_written_whole(flown, told, tmp_path):
    file = tmp_path / "flights.html"
    status, out, err = told("statistics", "aviation/flights", "--compare", 0, "--html", file)
    assert (status, out) == (0, "")
    assert re.match(r"wrote \S+flights\.html, \d+\.\d KiB\n", err)
    read = Page(file.read_text("utf-8"))
    assert "Statistics of aviation/flights" in read.text
    assert read.count["article"] == 5
    status, _, err = told("statistics", "aviation/flights", "--html", flown.folder / "nowhere" / "x.html")
    assert status == 1
    assert "cannot be written" in err
    assert list(tmp_path.glob(".*")) == []


@pytest.fixture
def shown(monkeypatch, capsys):
    """The tables of statistics on a terminal of so many columns."""

    def show(columns, *frames):
        sides = [Side(f"version {number}", generate_statistics(frame)) for number, frame in enumerate(frames)]
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdout.isatty", lambda: True)
            patched.setenv("COLUMNS", str(columns))
            patched.setenv("TERM", "xterm")
            patched.delenv("NO_COLOR", raising=False)
            side_by_side.tell(sides, lines(sides))
        return capsys.readouterr().out

    return show


MIXED = pl.DataFrame(
    {
        "departure_delay": [*range(200), 90_000],
        "carrier": ["UA", "American Airlines <somewhere>", "x" * 90] * 67,
        "time_hour": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(201)],
    }
)


@pytest.mark.parametrize("columns", [50, 80, 100, 120, 200])
def test_a_table_fits_the_terminal(shown, columns):
    for frames in ([MIXED], [MIXED, MIXED.head(20)], [MIXED] * 3):
        said = click.unstyle(shown(columns, *frames))
        assert max(map(len, said.splitlines())) <= columns
        assert "median" in said
        assert "missing" in said
        assert columns < 80 or "departure_delay" in said


def test_a_narrow_terminal_does_without_what_is_least_needed(shown):
    wide, narrow = (click.unstyle(shown(columns, MIXED)) for columns in (160, 80))
    assert "zeros" in wide
    assert "zeros" not in narrow
    assert all(re.search(rf"\b{name}\b", narrow) for name in ("min", "median", "max", "missing", "histogram"))


def test_what_changed_stands_out_on_a_terminal(shown):
    assert re.search(r"\x1b\[1;33m *19 *\x1b", shown(160, MIXED, MIXED.head(20)))  # the latest delay
    assert "\x1b[1;33m" not in shown(160, MIXED, MIXED)


def test_where_blocks_cannot_be_written_signs_stand_for_them(flown):
    status, out, _ = tell(flown, "statistics", "aviation/flights", charset="ascii")
    assert status == 0
    assert out.isascii()
    assert "#" in out


@pytest.mark.parametrize(
    ("heights", "blocks", "signs"),
    [
        ([0, 1, 2, 3.5, 7], True, "▁▂▃▅█"),
        ([0, 1, 7], False, "_.#"),
        ([0, 0], True, "▁▁"),
        ([], True, ""),
        ([1e-9, 1], True, "▂█"),
    ],
)
def test_bars_are_in_proportion_and_nothing_is_the_lowest(heights, blocks, signs):
    assert histogram.drawn(heights, blocks=blocks) == signs


def test_an_encoding_is_asked_for_its_blocks():
    assert histogram.speaks_blocks("utf-8")
    assert not histogram.speaks_blocks("latin-1")
    assert not histogram.speaks_blocks("no-such-encoding")


def test_a_cell_that_stands_out_is_still_only_text(capsys):
    output.table(["a"], [[output.Marked("\x1b[31mred", "yellow")]])
    assert capsys.readouterr().out == "a\n\\x1b[31mred\n"


# Validation


def test_nothing_odd_is_one_line_and_exit_0(told):
    assert told("validate", "aviation/flights", "--version", 0) == (
        0,
        "aviation/flights: no anomalies in 2 rows\n",
        "",
    )


def faulty(project):
    """A file with a new column, an origin of its own and two carriers that nobody knows."""
    rows = "".join(f"2013-01-02T{hour:02}:00:00Z,ZZ,{hour},EWR,1,A1\n" for hour in range(8))
    return project.deliver(
        "3.csv", project.header.rstrip() + ",gate\n" + rows + "2013-01-02T09:00:00Z,UA,9,SFO,NA,A2\n"
    )


def test_what_is_odd_about_a_file_is_told_before_it_lands(flown, told):
    status, out, _ = told("validate", faulty(flown), "--dataset", "aviation/flights")
    assert status == 1
    assert re.match(r"\S+3\.csv: \d+ errors? and \d+ warnings? in 9 rows\n", out)
    assert "\ngate\n" in out
    assert "\ncarrier\n  error: " in out
    assert "  warning: " in out
    assert re.search(r"carrier +drift +infinity_norm +0\.\d+ +0\.2 +over", out)
    assert re.search(r"lakehouse schema update aviation/flights --file \S+3\.csv --accept gate\n", out)
    assert json.loads(told("list", "--json")[1])["sources"][0]["files"] == 2


def test_warnings_alone_are_exit_0(flown, told):
    file = flown.deliver("3.csv", flown.noon.replace("LGA", "SFO"))
    status, out, _ = told("validate", file, "--dataset", "aviation/flights")
    assert "warning: " in out
    assert "error: " not in out
    assert status == 0


def test_a_file_without_rows_has_nothing_to_look_at(flown, told):
    status, out, _ = told("validate", flown.deliver("3.csv", flown.header), "--dataset", "aviation/flights")
    assert status == 1
    assert "no rows, so nothing to look at" in out


def test_the_only_dataset_need_not_be_named(flown, told):
    file = flown.deliver("3.csv", flown.noon)
    assert told("validate", file)[0] == 0
    other = flown.folder / "configs" / "datasets" / "aviation" / "others.yaml"
    flown.configure("datasets/aviation/others", CLEAN)
    status, _, err = told("validate", file)
    other.unlink()
    assert status == 2
    assert "--dataset aviation/flights | aviation/others" in err


def test_what_is_neither_a_dataset_nor_a_file_is_told(told):
    status, _, err = told("validate", "aviation/flight")
    assert status == 1
    assert "no dataset and no file 'aviation/flight'. Did you mean 'aviation/flights'?" in err
    assert told("validate", "nothing.csv", "--dataset", "aviation/flights")[0] == 1
    assert told("validate", "aviation/flights", "--environment", "SERVIN")[0] == 1


def test_an_environment_has_its_own_features(flown, told):
    text = flown.noon.replace(",dep_delay", "").replace(",NA\n", "\n").replace(",-6\n", "\n")
    file = flown.deliver("3.csv", text)
    assert told("validate", file, "--dataset", "aviation/flights", "--environment", "SERVING")[0] == 0
    assert "dep_delay" in told("validate", file, "--dataset", "aviation/flights", "--environment", "TRAINING")[1]


def test_anomalies_are_json_for_programs(flown, told):
    status, out, _ = told("validate", faulty(flown), "--dataset", "aviation/flights", "--json")
    found = json.loads(out)
    assert status == 1
    assert found["rows"] == 9
    assert {a["path"] for a in found["anomalies"]} >= {"gate", "carrier", "origin"}
    assert found["measures"][0]["path"] == "carrier"


def test_both_are_written_as_tensorflow_metadata_too(flown, told):
    pytest.importorskip("tensorflow_metadata")
    status, out, err = told("statistics", "aviation/flights", "--format", "pbtxt")
    assert status == 0
    assert "num_examples: 4" in out
    assert "not carried over: time_hour: " in err
    status, out, _ = told("validate", faulty(flown), "--dataset", "aviation/flights", "--format", "pbtxt")
    assert status == 1
    assert "type: SCHEMA_NEW_COLUMN" in out
    assert told("statistics", "aviation/flights", "--format", "pbtxt", "--compare", 0)[0] == 2


def test_a_version_shows_how_many_anomalies_its_batch_had(project):
    project.configure(f"datasets/{project.flights}", CLEAN)
    project.deliver("1.csv", project.morning)
    project.run()
    faulty(project)
    project.run()
    versions = json.loads(tell(project, "history", "aviation/flights", "--json")[1])["versions"]
    assert versions[0]["anomalies"] == 0
    assert versions[1]["anomalies"] > 0
    assert "anomalies" in tell(project, "history", "aviation/flights")[1].splitlines()[0]
    assert re.search(r"version 1, \d+ rows, \d+ anomal\w+ in its batch", tell(project, "show", "aviation/flights")[1])
