"""The command line, as a person or a script meets it: a process, its streams and its exit status."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import click
import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.cli import program
from lakehouse.evolution import Schemas

SLOW = """
import time
def curate(frame):
    open("curating", "w").close()
    time.sleep(60)
    return frame
"""


@pytest.fixture
def cli(project):
    """Run a command to its end: (exit status, stdout, stderr)."""

    def run(*arguments, **environment):
        process = project.start("-W", "error", "-m", "lakehouse", *arguments, **environment)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode, out, err

    return run


@pytest.fixture
def flown(project):
    """A project after one run: four good rows, one rejected."""
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv", project.noon + "2013-01-01T14:00:00Z,DL,many,LGA,0\n")
    project.run()
    return project


def eventually(there, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


# The program as a whole


def test_every_command_is_the_lakes_method_of_the_same_name():
    commands = {name: command for name, command in program.commands.items() if name != "serve"}
    groups = {name: command for name, command in commands.items() if isinstance(command, click.Group)}
    methods = {name: "import_" if name == "import" else name for name in commands}  # a word of Python's
    assert all(callable(getattr(Lake, methods[name], None)) for name in commands if name not in groups)
    assert groups.keys() == {"schema"}
    for verb in groups["schema"].commands:
        # `import` is a word of Python's.
        assert callable(getattr(Schemas, verb, None)) or verb == "import", verb


def test_every_command_stands_under_one_heading_of_the_help():
    under = [name for _, names in program.sections for name in names]
    assert sorted(under) == sorted(program.commands)


def test_every_command_says_what_it_does_in_one_line_that_fits():
    for name, command in program.commands.items():
        assert command.get_short_help_str(limit=60).endswith("."), name
        assert "..." not in command.get_short_help_str(limit=60), name


def test_every_option_and_command_of_the_help_examples_exists():
    for name, command in program.commands.items():
        text = command.help or ""
        for example in re.findall(r"^ *lakehouse (\w+)(.*)$", text, re.MULTILINE):
            assert example[0] in program.commands, name
            used = set(re.findall(r"--[a-z-]+", example[1].split("|")[0]))
            known = {option for parameter in program.commands[example[0]].params for option in parameter.opts}
            assert used <= known, name


def test_help_loads_nothing_heavy():
    heavy = "{'polars','deltalake','pydantic','sqlalchemy','rich','apscheduler','structlog','numpy'}"
    code = f"import sys; from lakehouse.cli import program; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_version_is_the_packages(cli):
    status, out, _ = cli("--version")
    assert status == 0
    assert re.fullmatch(r"lakehouse \d+\.\d+\.\d+\S*\n", out)


def test_an_unknown_command_or_option_is_a_usage_error(cli):
    assert cli("bogus")[0] == 2
    assert cli("run", "nightly", "--bogus")[0] == 2


def test_a_wrong_configuration_is_exit_2_and_names_its_file(project, cli):
    project.change("jobs/nightly", "datasets", "datasetz")
    status, out, err = cli("run", "nightly")
    assert (status, out) == (2, "")
    assert err.startswith("ConfigError: ")
    assert "configs/jobs/nightly.yaml" in err


def test_an_unknown_name_is_exit_1_with_the_nearest_one(cli):
    assert cli("run", "nightli") == (1, "", "NotFoundError: no job 'nightli'. Did you mean 'nightly'?\n")


def test_errors_are_json_where_answers_are(cli):
    status, out, err = cli("--json", "run", "nightli")
    assert (status, out) == (1, "")
    assert json.loads(err)["error"] == {"type": "NotFoundError", "message": "no job 'nightli'. Did you mean 'nightly'?"}


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["--json", "bogus"], "UsageError", "no command 'bogus'"),
        (["--bogus", "--json", "list"], "NoSuchOption", "--bogus"),
        (["run", "nightly", "--bogus", "--json"], "NoSuchOption", "--bogus"),
        (["--json", "run"], "MissingParameter", "argument 'JOB'"),
        (["read", "aviation/flights", "--json", "--limit", "few"], "BadParameter", "'few' is not a valid integer"),
        (["trace", "aviation/flights", "nothing", "--json"], "UsageError", "'nothing' is not RAW:ROW"),
        (["--json"], "UsageError", "Missing command"),
    ],
)
def test_a_usage_error_is_json_where_answers_are(cli, arguments, kind, says):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    told = json.loads(err)["error"]
    assert told["type"] == kind
    assert says in told["message"]
    status, out, err = cli(*(argument for argument in arguments if argument != "--json"))
    assert status == 2
    assert err.startswith("Usage: ")


def test_the_global_options_may_stand_before_or_after_the_command(project, cli):
    (project.folder / "configs").rename(project.folder / "elsewhere")
    for arguments in (("--configs", "elsewhere", "--json", "list"), ("list", "--json", "--configs", "elsewhere")):
        status, out, _ = cli(*arguments)
        assert status == 0
        assert [job["name"] for job in json.loads(out)["jobs"]] == ["nightly"]


def test_the_environment_says_where_the_lake_is(project, cli):
    project.change("lakehouse", "", "environments: {test: {root: data/test}}")
    (project.folder / "configs").rename(project.folder / "elsewhere")
    status, out, _ = cli("list", "--json", LAKEHOUSE_CONFIGS="elsewhere", LAKEHOUSE_ENV="test")
    assert status == 0
    assert json.loads(out)["root"].endswith("data/test")


def test_a_bug_keeps_its_traceback(project):
    code = "from lakehouse.cli import program as p; p.commands['list'].callback = lambda **_: 1 / 0; p(['list'])"
    process = project.start("-c", code)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" in err
    assert "ZeroDivisionError" in err


# Work


def test_run_tells_a_line_a_source_a_dataset_and_what_to_look_at(project, cli):
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv", project.noon + "2013-01-01T14:00:00Z,DL,many,LGA,0\n")
    status, out, err = cli("run", "nightly")
    assert (status, err) == (0, "")
    landed, curated, *notes, done = out.splitlines()
    assert re.fullmatch(r"landed +flights +2 files: 2 new, \d+ B \(\d+\.\d s\)", landed)
    assert "aviation/flights  version 0: 2 files, 5 rows read = 4 curated + 1 rejected" in curated
    assert "lakehouse quarantine aviation/flights" in notes[0]
    assert done.startswith("nightly: done in ")


@pytest.mark.usefixtures("flown")
def test_a_run_with_nothing_to_do_says_so(cli):
    status, out, _ = cli("run", "nightly")
    assert status == 0
    assert out.count("nothing new") == 2


def test_a_function_that_cannot_be_loaded_is_exit_2_before_anything_runs(project, cli):
    project.deliver("1.csv", project.morning)
    project.change(f"datasets/{project.flights}", "source: flights", "source: flights\ncurate: jobs.nowhere.curate")
    for command in (("run", "nightly"), ("curate", project.flights), ("check",)):
        status, out, err = cli(*command)
        assert (status, out) == (2, ""), command
        assert err.startswith(
            "ConfigError: dataset aviation/flights: curate: 'jobs.nowhere.curate': there is no module"
        )
    assert json.loads(cli("list", "--json")[1])["sources"][0]["files"] == 0


def test_quiet_says_nothing_when_all_is_well(project, cli):
    project.deliver("1.csv", project.morning)
    assert cli("run", "nightly", "--quiet") == (0, "", "")


def test_run_in_json_holds_every_count_and_adds_up(project, cli):
    project.deliver("1.csv", project.morning)
    status, out, err = cli("run", "nightly", "--json")
    told = json.loads(out)
    assert (status, err, told["ok"], told["errors"]) == (0, "", True, [])
    assert told["landed"][0]["new"] == 1
    curated = told["curated"][0]
    assert (curated["read"], curated["curated"] + curated["rejected"], curated["version"]) == (2, 2, 0)


def test_a_refused_file_is_exit_1_and_the_other_files_go_on(project, cli):
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv.gz", b"\x1f\x8bnot a gzip")
    status, out, _ = cli("run", "nightly")
    assert status == 1
    assert "1 file, 1 file refused, 2 rows read = 2 curated + 0 rejected" in out
    assert "refused: 2.csv.gz: " in out
    assert "nightly: finished with problems" in out
    assert "2.csv.gz" in cli("history", "aviation/flights")[1]


def test_more_rejected_rows_than_allowed_are_exit_1_and_nothing_is_appended(project, cli):
    project.change(f"datasets/{project.flights}", "keys:", "max_rejected: 10%\nkeys:")
    project.deliver("1.csv", project.noon + "2013-01-01T14:00:00Z,DL,many,LGA,0\n")
    status, _, err = cli("run", "nightly")
    assert status == 1
    assert err.startswith("SchemaError: ")
    status, out, _ = cli("history", "aviation/flights", "--json")
    assert json.loads(out)["versions"] == []
    assert "SchemaError" in json.loads(out)["failures"][0]["message"]


def test_a_job_that_runs_already_is_exit_1_and_says_who_runs_it(project, cli):
    with project.lake() as lake, lake._site.storage.lock("job", "nightly", wait=0):
        status, _, err = cli("run", "nightly")
    assert status == 1
    assert err.startswith("CommitError: ")
    assert f"process {os.getpid()} " in err


def test_land_takes_files_that_the_source_would_not_find(project, cli):
    late = project.folder / "late.csv"
    late.write_text(project.noon)
    assert cli("land", "flights", "--file", "late.csv")[1].startswith("landed flights: 1 file: 1 new")
    assert cli("land", "flights")[1].startswith("landed flights: no files there")


@pytest.mark.usefixtures("flown")
def test_curate_again_supersedes_and_a_raw_files_hash_may_be_short(cli):
    assert "version 1: 2 files" in cli("curate", "aviation/flights", "--again")[1]
    raw = json.loads(cli("show", "flights", "--json")[1])["raw"][0]["sha256"]
    assert "version 2: 1 file" in cli("curate", "aviation/flights", "--raw", raw[:10])[1]
    assert cli("curate", "aviation/flights", "--raw", "f" * 10)[0] == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_cleanly_and_the_next_run_completes_it(project, number, status):
    (project.folder / "slow.py").write_text(SLOW)
    project.change(f"datasets/{project.flights}", "keys:", "curate: slow.curate\nkeys:")
    project.deliver("1.csv", project.morning)
    process = project.start("-m", "lakehouse", "run", "nightly")
    eventually((project.folder / "curating").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err == f"Stopped: {number.name} came; nothing is half done, and running again goes on from here\n"
    project.change(f"datasets/{project.flights}", "curate: slow.curate\n", "")
    assert project.run().ok
    assert project.read().height == 2


def test_a_run_ends_at_its_timeout_and_the_next_run_completes_it(project, cli):
    (project.folder / "slow.py").write_text(SLOW)
    project.change(f"datasets/{project.flights}", "keys:", "curate: slow.curate\nkeys:")
    project.change("jobs/nightly", "", "timeout: 2s")
    project.deliver("1.csv", project.morning)
    status, out, err = cli("run", "nightly")
    assert (status, out) == (1, "")
    assert err == (
        "TimedOut: job 'nightly' took longer than its timeout (0:00:02) and was stopped; nothing is half done, and "
        "running again goes on from here\n"
    )
    project.change(f"datasets/{project.flights}", "curate: slow.curate\n", "")
    assert project.run().ok
    assert project.read().height == 2


def test_init_writes_a_lake_that_runs_and_overwrites_nothing(cli):
    status, out, _ = cli("init", "my lake")
    assert status == 0
    assert "next: cd 'my lake' && lakehouse run nightly" in out
    assert cli("--configs", "my lake/configs", "run", "nightly")[0] == 0
    assert cli("init", "my lake")[0] == 2


def test_check_is_exit_0_for_a_whole_lake_and_1_for_a_changed_raw_file(flown, cli):
    assert cli("check")[:2] == (0, "the lake is whole\n")
    raw = next((flown.folder / "data/raw/flights").rglob("1.csv"))
    raw.chmod(0o644)
    raw.write_text(flown.morning.replace("UA", "XX"))
    status, out, _ = cli("check", "--json")
    assert status == 1
    assert json.loads(out)["problems"][0]["where"].endswith("1.csv")


# Look


@pytest.mark.usefixtures("flown")
def test_list_and_show_tell_what_there_is(cli):
    status, out, _ = cli("list")
    assert status == 0
    assert re.search(r"^aviation/flights +0 +4 ", out, re.MULTILINE)
    assert re.search(r"^flights +files +2 ", out, re.MULTILINE)
    assert re.search(r"^nightly +by hand +aviation/flights", out, re.MULTILINE)
    assert "dep_delay  int       optional" in cli("show", "aviation/flights")[1]
    assert "1.csv" in cli("show", "flights")[1]
    assert "datasets: aviation/flights" in cli("show", "nightly")[1]
    assert "Did you mean 'flights'?" in cli("show", "flihgts")[2]


def test_durations_are_shown_as_yaml_writes_them(project, cli):
    project.change("jobs/nightly", "", "every: 90m\ntimeout: 2h\nretries: {attempts: 3, backoff: 30s}")
    out = cli("show", "nightly")[1]
    for line in (
        "schedule: every 1h30m",
        "retries: attempts: 3, backoff: 30s",
        "timeout: 2h",
        "misfire_grace: 1h",
    ):
        assert f"  {line}\n" in out
    project.change("sources/flights", "path: incoming/*", "path: incoming/*\nsettle: 15m")
    assert "  settle: 15m\n" in cli("show", "flights")[1]


def test_no_secret_of_a_source_is_shown(project, cli):
    project.configure("sources/flights", "type: http\nurl: https://example.com/${TOKEN}/1.csv\nformat: {type: csv}")
    for arguments in (("show", "flights"), ("show", "flights", "--json"), ("list", "--json")):
        status, out, err = cli(*arguments, TOKEN="hush-3f9d21c7")
        assert status == 0
        assert "hush-3f9d21c7" not in out + err


def test_a_name_that_a_source_and_a_job_share_is_asked_about(project, cli):
    project.configure("jobs/flights", f"datasets: [{project.flights}]")
    status, _, err = cli("show", "flights")
    assert status == 2
    assert "is a source and a job" in err
    assert cli("show", "flights", "--kind", "job")[1].startswith("job flights\n")


def test_history_lists_every_version(flown, cli):
    flown.deliver("3.csv", flown.header + "2013-01-02T05:00:00Z,UA,1,EWR,2\n")
    flown.run()
    lines = cli("history", "aviation/flights")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["version", "0", "1"]


def test_read_writes_rows_in_every_format(flown, cli):
    want = flown.read().drop("_raw", "_row", "_execution", "_recorded_at")
    found = list(csv.DictReader(io.StringIO(cli("read", "aviation/flights", "--format", "csv")[1])))
    assert sorted(row["flight"] for row in found) == sorted(map(str, want["flight"]))
    found = json.loads(cli("read", "aviation/flights", "--json")[1])
    assert sorted(row["flight"] for row in found) == sorted(want["flight"])
    lines = cli("read", "aviation/flights", "--format", "ndjson", "--limit", "3")[1].splitlines()
    assert [list(json.loads(line)) for line in lines] == [want.columns] * 3
    assert cli("read", "aviation/flights", "--output", "rows.parquet")[:2] == (0, "")
    assert pl.read_parquet(flown.folder / "rows.parquet").sort("time_hour").equals(want)
    assert [path.name for path in flown.folder.glob("*rows*")] == ["rows.parquet"]


@pytest.mark.usefixtures("flown")
def test_read_gives_the_provenance_in_every_format(cli):
    def read(kind, *more):
        return cli("read", "aviation/flights", "--provenance", "--format", kind, *more)

    want = ["time_hour", "carrier", "flight", "origin", "dep_delay", "_raw", "_row", "_execution", "_recorded_at"]
    assert list(csv.DictReader(io.StringIO(read("csv")[1])).fieldnames) == want
    assert [list(row) for row in json.loads(read("json")[1])] == [want] * 4
    assert [list(json.loads(line)) for line in read("ndjson")[1].splitlines()] == [want] * 4
    assert read("csv", "--columns", "_row,flight")[1].startswith("_row,flight,_raw,_execution,_recorded_at\n")
    assert read("table")[1].splitlines()[0].split() == ["raw:row", *want[:5], "_execution", "_recorded_at"]


def test_read_writes_the_provenance_as_parquet(flown, cli):
    assert cli("read", "aviation/flights", "--provenance", "--output", "rows.parquet")[:2] == (0, "")
    found = pl.read_parquet(flown.folder / "rows.parquet")
    assert found.sort("time_hour").equals(flown.read().select(found.columns))
    assert found.columns[-4:] == ["_raw", "_row", "_execution", "_recorded_at"]


@pytest.mark.parametrize("damage", [None, b"PAR1", b"PAR1 and garbage", "middle"])
@pytest.mark.parametrize(
    "how",
    [
        ("read",),
        ("read", "--format", "csv"),
        ("read", "--format", "json"),
        ("read", "--format", "ndjson"),
        ("read", "--format", "parquet"),
        ("read", "--output", "rows.csv"),
        ("read", "--output", "rows.parquet"),
        ("quarantine",),
    ],
)
def test_a_table_that_is_damaged_is_an_error_and_never_fewer_rows(flown, cli, how, damage):
    zone = "quarantine" if how[0] == "quarantine" else "curated"
    for part in (flown.folder / "data" / zone).rglob("*.parquet"):
        whole = part.read_bytes()
        part.chmod(0o644)
        if damage is None:
            part.unlink()
        elif damage == "middle":
            part.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
        else:
            part.write_bytes(damage)
    status, _, err = cli(how[0], "aviation/flights", *how[1:], RUST_BACKTRACE="0")
    assert status == 1
    assert err.splitlines()[-1].startswith("StorageError: dataset 'aviation/flights' cannot be read: ")
    assert "`lakehouse check` tells" in err
    assert [path.name for path in flown.folder.glob("*rows*")] == []


def test_read_goes_back_in_time(flown, cli):
    moment = flown.clock().isoformat()
    flown.deliver("3.csv", flown.header + "2013-01-02T05:00:00Z,UA,1,EWR,2\n")
    flown.run()
    for when, rows in [((), 5), (("--version", "0"), 4), (("--as-of", moment), 4)]:
        out = cli("read", "aviation/flights", "--format", "csv", "--columns", "flight", *when)[1]
        assert len(out.splitlines()) == rows + 1
    assert "no version 7" in cli("read", "aviation/flights", "--version", "7")[2]


@pytest.mark.usefixtures("flown")
def test_read_names_the_nearest_column(cli):
    status, _, err = cli("read", "aviation/flights", "--columns", "carier")
    assert status == 1
    assert err == "NotFoundError: dataset 'aviation/flights' has no column 'carier'. Did you mean 'carrier'?\n"


def test_a_table_ends_where_a_screen_would_and_says_that_there_is_more(project, cli):
    rows = "".join(f"2013-01-01T05:00:00Z,UA,{n},EWR,2\n" for n in range(30))
    project.deliver("1.csv", project.header + rows)
    project.run()
    lines = cli("read", "aviation/flights")[1].splitlines()
    assert len(lines) == 22
    assert lines[-1].startswith("the first 20 rows; more with --limit")
    assert len(cli("read", "aviation/flights", "--limit", "25")[1].splitlines()) == 26


def test_a_reader_that_goes_away_ends_read_without_a_traceback(project):
    rows = "".join(f"2013-01-01T05:00:00Z,UA,{n},EWR,2\n" for n in range(30_000))
    project.deliver("1.csv", project.header + rows)
    project.run()
    with project.start("-m", "lakehouse", "read", "aviation/flights", "--format", "csv") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


# Explain


@pytest.mark.usefixtures("flown")
def test_a_row_is_traced_from_what_read_prints_of_it(cli):
    lines = cli("read", "aviation/flights", "--provenance")[1].splitlines()
    handle = next(line for line in lines if " 1141 " in line).split()[0]
    status, out, _ = cli("trace", "aviation/flights", handle)
    assert status == 0
    assert re.match(r"raw/flights/\S+/1\.csv: row 2, line 3\n", out)
    assert out.splitlines()[-1] == "2013-01-01T06:00:00Z,AA,1141,JFK,-1"


@pytest.mark.usefixtures("flown")
@pytest.mark.parametrize(
    ("handle", "status"), [("nothing", 2), ("abc:x", 2), ("0123456789ab:1", 1), (f"{'0' * 64}:1", 1)]
)
def test_a_trace_of_no_row_is_an_error(cli, handle, status):
    assert cli("trace", "aviation/flights", handle)[0] == status


@pytest.mark.usefixtures("flown")
def test_quarantine_counts_reasons_and_shows_rows_that_can_be_traced(cli):
    status, out, _ = cli("quarantine", "aviation/flights")
    assert status == 0
    assert out.startswith("aviation/flights: 1 row in quarantine\n")
    assert re.search(r"^ +1  flight: not an int$", out, re.MULTILINE)
    handle = re.search(r"^([0-9a-f]{12}:\d+)  2\.csv$", out, re.MULTILINE)
    assert handle is not None
    assert "DL,many,LGA" in cli("trace", "aviation/flights", handle[1])[1]
    told = json.loads(cli("quarantine", "aviation/flights", "--json", "--reason", "flight")[1])
    assert (told["rows"], told["reasons"], len(told["examples"])) == (1, {"flight: not an int": 1}, 1)
    assert json.loads(cli("quarantine", "aviation/flights", "--json", "--reason", "origin")[1])["rows"] == 0


@pytest.mark.usefixtures("flown")
def test_lineage_is_a_tree_up_and_down(cli):
    assert "1.csv" in cli("lineage", "aviation/flights", "--up")[1]
    raw = json.loads(cli("show", "flights", "--json")[1])["raw"][0]["sha256"]
    assert "aviation/flights@0" in cli("lineage", raw[:12], "--down")[1]
    assert json.loads(cli("lineage", "aviation/flights", "--json")[1])


def test_no_name_or_value_can_write_to_the_terminals_controls(project, cli):
    project.deliver("\x1b[31mred.csv", project.header + "2013-01-01T14:00:00Z,\x1b[2J,x,LGA,0\n")
    project.deliver("2.csv", project.header + "2013-01-01T14:00:00Z,\x1b[2J,1,LGA,0\n")
    for arguments in (
        ("run", "nightly"),
        ("read", "aviation/flights"),
        ("quarantine", "aviation/flights"),
        ("show", "flights"),
        ("lineage", "aviation/flights"),
    ):
        status, out, err = cli(*arguments)
        assert status == 0
        assert "\x1b" not in out + err, arguments
