"""Singer taps: run as they are, landed untouched, gone on from without loss and without doubling."""

import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from lakehouse.errors import ConfigError, SourceError
from lakehouse.sources.singer.sealing import Sealing
from lakehouse.sources.singer.selecting import selected

TAP = Path(__file__).parent / "support" / "tap.py"
NUMBERS = "x/numbers"


@pytest.fixture
def numbers(project):
    """A project with the tap; says how it is configured."""

    def configure(more="", **config):
        command = json.dumps([sys.executable, str(TAP)])
        project.configure("sources/tap", f"type: singer\ncommand: {command}\nconfig: {json.dumps(config)}\n{more}")
        return project

    project.configure(
        f"datasets/{NUMBERS}",
        "source: tap\nkeys: [id]\nformat: {stream: numbers}\n"
        "schema: {features: {id: {type: int}, v: {type: string, presence: optional}}}",
    )
    project.configure("jobs/nightly", f"datasets: [{NUMBERS}]")
    return configure


def land(project):
    with project.lake() as lake:
        return lake.land("tap")


def ids(project):
    with project.lake() as lake:
        lake.curate(NUMBERS)
        return lake.read(NUMBERS)["id"].sort().to_list()


def landed_bytes(project):
    files = sorted(project.folder.glob("data/raw/tap/*/*/*.ndjson"), key=lambda file: file.stat().st_mtime_ns)
    return [file.read_bytes() for file in files]


def test_what_a_tap_writes_is_landed_untouched_and_goes_on_from_its_last_state(numbers):
    assert land(numbers(to=2500)).new == 1
    assert land(numbers(to=2500)).unchanged == 1  # nothing new: no file of a STATE alone
    assert land(numbers(to=4000)).new == 1
    project = numbers(to=4000)
    first, second = landed_bytes(project)
    assert first.startswith(b'{"type": "SCHEMA", "stream": "numbers"')
    assert first.endswith(b'{"type": "STATE", "value": {"at": 2500}}\n')
    assert json.loads(second.splitlines()[1])["record"]["id"] == 2501
    assert ids(project) == list(range(1, 4001))


def test_a_tap_that_fails_costs_nothing_and_doubles_nothing_and_is_told(numbers):
    failed = land(numbers(to=5000, fail=3456))
    assert (failed.new, failed.failed) == (1, 1)
    assert "ended with status 3" in failed.notes[-1].message
    assert "no more after 3456" in failed.notes[-1].message
    assert landed_bytes(numbers(to=5000))[0].endswith(b'{"at": 3000}}\n')
    assert land(numbers(to=5000)).new == 1
    assert ids(numbers(to=5000)) == list(range(1, 5001))


def test_a_tap_that_fails_before_any_state_lands_nothing(numbers):
    failed = land(numbers(to=500, fail=300))
    assert (failed.new, failed.failed) == (0, 1)
    assert landed_bytes(numbers(to=1)) == []


def test_without_any_state_the_whole_output_counts_and_the_next_takes_its_place(numbers):
    land(numbers(to=10, every=0, final=False))
    assert ids(numbers(to=12, every=0, final=False)) == list(range(1, 11))
    land(numbers(to=12, every=0, final=False))
    assert ids(numbers(to=12)) == list(range(1, 13))


def test_records_after_the_last_state_of_a_tap_that_ended_well_are_set_aside_and_told(numbers):
    done = land(numbers(to=1500, final=False))
    assert "500 records came after the tap's last STATE" in done.notes[-1].message
    land(numbers(to=2000, final=False))
    assert ids(numbers(to=2000)) == list(range(1, 2001))


def test_a_state_that_says_nothing_new_seals_nothing(numbers):
    land(numbers(to=1000))
    # Told first is the STATE it goes on from: what follows it is not to be lost, nor counted twice.
    land(numbers(to=1400, every=0, final=False, echo=True))
    land(numbers(to=1500, every=0, final=False, echo=True))
    assert ids(numbers(to=1500)) == list(range(1, 1501))


def test_another_series_starts_again(numbers):
    land(numbers(to=5))
    assert land(numbers("series: second", to=5)).duplicates == 1
    assert land(numbers("series: second", to=6)).new == 1


def test_facts_say_what_came_and_no_secret_is_shown_anywhere(numbers, monkeypatch):
    monkeypatch.setenv("TAP_PASSWORD", "hunter2hunter2")
    done = land(numbers(to=2000, fail=1500, password="${TAP_PASSWORD}"))
    assert "says ***" in done.notes[-1].message
    project = numbers(to=2000, password="${TAP_PASSWORD}")
    [manifest] = [json.loads(file.read_text()) for file in project.folder.glob("data/raw/tap/*/*/manifest.json")]
    assert manifest["fidelity"] == "wire"
    assert manifest["facts"] == {
        "tap": "tap.py",
        "records": {"numbers": 1000},
        "set_aside": {"numbers": 500},
        "state_to": '{"at": 1000}',
        "status": 3,
    }
    with project.lake() as lake:
        shown = repr(lake.show("tap")) + repr(lake.config.source("tap"))
        assert [file.fidelity for file in lake.show("tap").raw] == ["wire"]
    left = b"".join(file.read_bytes() for file in project.folder.glob("data/**/*") if file.is_file())
    assert "hunter2" not in shown
    assert b"hunter2" not in left


def test_a_tap_gets_an_environment_of_its_own(numbers, monkeypatch):
    monkeypatch.setenv("LAKE_SECRET", "of no tap's concern")
    done = land(numbers("environment: {OWN: mine}", to=10, fail=1, environment=True))
    assert "OWN" in done.notes[-1].message
    assert "LAKE_SECRET" not in done.notes[-1].message


def test_select_takes_streams_and_fields_and_names_the_nearest(numbers):
    land(numbers("select: {numbers: [id]}", to=3))
    assert b'"record": {"id": 1}}' in landed_bytes(numbers(to=3))[0]
    for choice, hint in (("{nmbers: true}", "numbers"), ("{numbers: [idd]}", "id")):
        failed = land(numbers(f"select: {choice}", to=3))
        assert failed.failed == 1
        assert hint in failed.notes[-1].message


def test_a_silent_tap_is_ended_and_what_it_sealed_is_kept(numbers):
    done = land(numbers("timeout: 3s", to=2000, hang=1500))
    assert (done.new, done.failed) == (1, 1)
    assert "silent for 3s" in done.notes[-1].message


def test_a_missing_program_and_output_that_is_not_singer_are_told(project):
    project.configure("sources/tap", "type: singer\ncommand: tap-nowhere")
    assert "no program 'tap-nowhere'" in land(project).notes[-1].message
    project.configure("sources/tap", "type: singer\ncommand: [echo, hello]")
    assert "no Singer message" in land(project).notes[-1].message
    project.configure("sources/tap", "type: singer\ncommand: echo\nselect: {a: true}\ncatalog: c.json")
    with pytest.raises(ConfigError, match="exclude each other"):
        land(project)


def script(project, text, more=""):
    """A tap of a few lines: `tell` writes a message, `config` is its configuration."""
    (project.folder / "tap.py").write_text(
        "import json, os, sys, time\n"
        "def tell(**message): print(json.dumps(message), flush=True)\n"
        "names = dict(zip(sys.argv[1:], sys.argv[2:]))\n"
        "config = json.load(open(names['--config']))\n"
        "tell(type='SCHEMA', stream='numbers', schema={}, key_properties=['id'])\n" + text
    )
    project.configure("sources/tap", f"type: singer\ncommand: {json.dumps([sys.executable, 'tap.py'])}\n{more}")
    return project


@pytest.mark.parametrize("last", ["STATE", "RECORD"])
def test_a_last_line_without_its_newline_counts(project, last):
    lines = {
        "STATE": '{"type": "STATE", "value": {"at": 1}}',
        "RECORD": '{"type": "RECORD", "stream": "n", "record": {}}',
    }
    assert land(script(project, f"sys.stdout.write({lines[last]!r})")).new == 1
    assert landed_bytes(project)[0].endswith(lines[last].encode())
    assert land(project).unchanged == 1


@pytest.mark.parametrize("name", [rb"\q", b"\xff", b"a\tb", rb"\ud800"])
def test_a_stream_whose_name_is_no_text_stops_nothing(project, name):
    line = b'{"type": "RECORD", "stream": "' + name + b'", "record": {}}\n'
    script(project, f"sys.stdout.buffer.write({line!r})\ntell(type='STATE', value={{'at': '\\ud800'}})")
    assert land(project).new == 1
    assert line in landed_bytes(project)[0]


def test_no_part_of_a_secret_is_told_where_what_the_tap_says_is_cut_or_split_in_lines(project, monkeypatch):
    monkeypatch.setenv("TAP_KEY", "BEGIN-KEY\nfirst-line\nother-line\nEND-KEY")
    monkeypatch.setenv("TAP_PASSWORD", 'correct-"höörse')
    says = (
        "out = sys.stderr.write\n"
        "out((config['password'] + 'ab') * 50_000)\n"
        "out('\\nkey ' + config['key'] + '\\n')\n"
        "out('x' * 492 + config['password'] + '\\n')\n"
        "out(json.dumps(config) + json.dumps(config, ensure_ascii=False) + '\\nthe end\\n')\n"
        "sys.exit(1)"
    )
    message = land(script(project, says, 'config: {key: "${TAP_KEY}", password: "${TAP_PASSWORD}"}')).notes[-1].message
    assert "key ***" in message
    assert message.endswith("the end")
    for part in ("KEY", "line", "corr", "rse"):
        assert part not in message


def test_a_tap_that_never_stops_talking_is_ended_at_its_deadline(project):
    begun = time.monotonic()
    script(
        project,
        "end = time.time() + 20\nwhile time.time() < end: sys.stderr.write('x' * 50 + '\\n')",
        "deadline: 500ms",
    )
    assert "its deadline" in land(project).notes[-1].message
    assert time.monotonic() - begun < 10


def test_a_tap_that_closes_its_output_and_works_on_is_ended_too(project):
    script(project, "tell(type='STATE', value=1)\nos.close(1)\nos.close(2)\ntime.sleep(60)", "timeout: 500ms")
    done = land(project)
    assert (done.new, done.failed) == (1, 1)
    assert "silent for 500ms" in done.notes[-1].message


def test_what_a_tap_leaves_running_is_not_waited_for(project):
    begun = time.monotonic()
    left = "tell(type='STATE', value=1)\nif not os.fork():\n  os.setsid()\n  time.sleep(20)"
    assert land(script(project, left)).failed == 0
    assert time.monotonic() - begun < 10


def test_a_killed_guard_leaves_no_secret_on_the_disk(project):
    script(
        project, "tell(path=names['--config'])\nos.kill(os.getppid(), 9)\nopen('path', 'w').write(names['--config'])"
    )
    assert "ended with status -9" in land(project).notes[-1].message
    assert not Path((project.folder / "path").read_text()).parent.exists()


def test_a_tap_and_its_children_can_be_ended_by_a_signal(project):
    project.configure("sources/tap", "type: singer\ncommand: [sh, -c, 'kill -TERM $$; sleep 5']")
    assert "ended with status 143" in land(project).notes[-1].message


def test_output_that_cannot_be_held_back_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with closing(Sealing(None)) as sealing, pytest.raises(SourceError, match="cannot be held back in"):
        list(sealing.take(b"x" * (9 << 20) + b"\n"))


def _discovered(*streams):
    return json.dumps({"streams": streams}).encode()


def test_streams_of_one_name_are_told_apart_by_their_id():
    users = [{"tap_stream_id": f"{schema}-users", "stream": "users", "selected": True} for schema in ("a", "b")]
    with pytest.raises(SourceError, match="several streams 'users'; say which: 'a-users', 'b-users'"):
        selected(_discovered(*users), {"users": True})
    chosen = json.loads(selected(_discovered(*users), {"b-users": True}))["streams"]
    assert [stream["selected"] for stream in chosen] == [False, True]


def test_a_whole_stream_has_all_fields_but_those_its_tap_leaves_out():
    kinds = {
        "id": {"inclusion": "automatic"},
        "name": {"inclusion": "available"},
        "cost": {"inclusion": "available", "selected-by-default": False},
        "blob": {"inclusion": "unsupported"},
    }
    stream = {
        "stream": "users",
        "schema": {"properties": {name: {} for name in (*kinds, "bare")}},
        "metadata": [{"breadcrumb": ["properties", name], "metadata": kind} for name, kind in kinds.items()],
    }
    [chosen] = json.loads(selected(_discovered(stream), {"users": True}))["streams"]
    marked = {entry["breadcrumb"][1]: entry["metadata"] for entry in chosen["metadata"] if entry["breadcrumb"]}
    assert [name for name, of_it in marked.items() if of_it.get("selected")] == ["name", "bare"]


@pytest.mark.parametrize("catalog", [b"", b"[]", b'{"streams": [{"stream": "users", "metadata": [{}]}]}'])
def test_what_is_no_catalog_is_told(catalog):
    with pytest.raises(SourceError, match="gave no catalog"):
        selected(catalog, {"users": True})


def _gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_lake_takes_its_tap_along_with_all_it_started_and_its_files(numbers):
    pids = numbers(to=1).folder / "pids"
    project = numbers(to=10, hang=5, spawn=str(pids))
    landing = project.start("-m", "lakehouse", "land", "tap")
    while not (pids.exists() and len(pids.read_text().split()) == 3):
        assert landing.poll() is None
        time.sleep(0.02)
    tap, child, config = pids.read_text().split()
    assert Path(config).exists()
    landing.send_signal(signal.SIGKILL)
    landing.communicate()
    end = time.monotonic() + 10
    while not (_gone(tap) and _gone(child) and not Path(config).parent.exists()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_at_random_moments_and_run_again_nothing_is_lost_and_nothing_doubled(numbers):
    chance = random.Random(7)
    project = numbers(to=60_000)
    for at in (None, "land.staged", "land.renamed"):
        landing = project.start("-m", "lakehouse", "land", "tap", **({"LAKEHOUSE_FAIL_AT": at} if at else {}))
        if at is None:
            time.sleep(chance.uniform(0.4, 0.8))
            landing.send_signal(signal.SIGKILL)
        landing.communicate()
        if at == "land.staged":
            assert land(numbers(to=60_000, every=700, fail=chance.randrange(20_000, 50_000))).new == 1
            project = numbers(to=60_000)
    land(numbers(to=60_000))
    assert ids(project) == list(range(1, 60_001))
    assert not list(project.folder.glob("data/raw/.incoming/tap/*"))


def test_a_real_tap_runs_in_an_environment_of_its_own(project, tmp_path):
    """tap-jsonl reads JSON lines and needs no network, once pip has brought it."""
    users = tmp_path / "users.jsonl"
    users.write_text('{"id": 1, "name": "Ann"}\n{"id": 2, "name": "Bo", "tags": ["x"]}\n')
    project.configure(
        "sources/tap",
        f"""
        type: singer
        command: tap-jsonl
        install: ["tap-jsonl==0.3.1"]
        environments: {os.environ.get("LAKEHOUSE_TEST_TAPS", tmp_path / "taps")}
        config: {{path: "{users}", primary_keys: [id], stream_name: users}}
        """,
    )
    project.configure(
        "datasets/x/users",
        "source: tap\nhistory: changes\nkeys: [id]\nformat: {stream: users}\nnew_columns: ignore\n"
        "schema: {features: {id: {type: int}, name: {type: string}, tags: {type: string, presence: optional}}}",
    )
    done = land(project)
    if done.failed and "cannot be installed" in done.notes[-1].message:
        reason = f"pip brings no tap: {done.notes[-1].message}"
        (pytest.fail if os.environ.get("LAKEHOUSE_REQUIRE_SERVICES") == "1" else pytest.skip)(reason)
    assert done.new == 1
    assert land(project).new == 1  # it gives all again, in its own way: the keys tell that nothing changed
    with users.open("a") as more:
        more.write('{"id": 3, "name": "Cy"}\n')
    os.utime(users, (time.time() + 5,) * 2)
    assert land(project).new == 1
    with project.lake() as lake:
        lake.curate("x/users")
        found = lake.read("x/users").sort("id").select("id", "name", "tags")
    expected = {"id": [1, 2, 3], "name": ["Ann", "Bo", "Cy"], "tags": [None, '["x"]', None]}
    assert found.equals(pl.DataFrame(expected))
