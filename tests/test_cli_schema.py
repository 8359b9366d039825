"""`lake.schema` and `lakehouse schema`: what data suggest, what they ask to change, what is and what was."""

import json
import re
import signal
import sys

import click
import pytest
from click.testing import CliRunner

from lakehouse.cli import program
from lakehouse.config import load
from lakehouse.config import yaml as reading
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.schema import Schema

DATASET = """
    # Departures.
    source: flights
    event_time: time_hour
    schema:
      features:
        time_hour: {type: datetime}
        carrier: {type: string, domain: [UA, AA]}   # airlines
        # a number
        flight: {type: int}
        origin: {type: string, personal: true}
        dep_delay: {type: int, presence: optional, domain: {min: -60, max: 60}}
"""
WIDE = """\
time_hour,carrier,flight,origin,dep_delay,gate
2013-01-01T12:00:00Z,B6,725,JFK,NA,A1
2013-01-01T13:00:00Z,AA,461,LGA,90,A2
2013-01-01T14:00:00Z,UA,462,LGA,5,A1
"""


@pytest.fixture
def flown(project):
    """A project after two runs, the second with new values and a new column."""
    project.configure(f"datasets/{project.flights}", DATASET)
    project.deliver("1.csv", project.morning)
    project.run()
    project.deliver("2.csv", WIDE)
    project.run()
    return project


@pytest.fixture
def say(project):
    """Run a schema command to its end: (exit status, stdout, stderr)."""

    def run(*arguments):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            result = CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), "schema", *arguments])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def file_of(project):
    return project.folder / f"configs/datasets/{project.flights}.yaml"


# update


def test_what_the_newest_batch_asks_for_is_proposed_with_its_reason_and_nothing_is_written(flown, say):
    before = file_of(flown).read_bytes()
    status, out, err = say("update", flown.flights)
    assert (status, err) == (0, "")
    assert out.startswith("aviation/flights: 3 changes proposed to configs/datasets/aviation/flights.yaml\n")
    assert "\n     carrier: {type: string, domain: [UA, AA, B6]}\n" in out
    assert "\n     gate: {type: string, presence: optional" in out
    assert re.search(r"gate: new feature\n   The schema has no 'gate'", out)
    assert "Nothing was written. To accept: lakehouse schema update aviation/flights --accept " in out
    assert file_of(flown).read_bytes() == before


def test_what_is_accepted_is_written_and_no_other_byte(flown, say):
    before = file_of(flown).read_text("utf-8")
    status, out, _ = say("update", flown.flights, "--accept", "carrier", "--accept", "gate")
    assert status == 0
    assert out.startswith("aviation/flights: 2 changes written to configs/datasets/aviation/flights.yaml\n")
    assert out.endswith(
        "Rows that were read already may fare otherwise now: lakehouse curate aviation/flights --again\n"
    )
    after = file_of(flown).read_text("utf-8")
    gate = re.search(r"^    gate: .*\n", after, re.MULTILINE)[0]
    assert after.replace(gate, "") == before.replace("domain: [UA, AA]}", "domain: [UA, AA, B6]}")
    with flown.lake() as lake:
        lake.curate(flown.flights, again=True)
        assert sorted(lake.read(flown.flights)["gate"].drop_nulls()) == ["A1", "A1"]
        assert [one.path for one in lake.schema.update(flown.flights).update.changes] == ["dep_delay"]


def test_all_is_accepted_at_once_and_then_there_is_nothing_to_change(flown, say):
    assert say("update", flown.flights, "--accept-all")[0] == 0
    with flown.lake() as lake:
        lake.curate(flown.flights, again=True)
        assert lake.read(flown.flights).height == 5
    assert say("update", flown.flights) == (
        0,
        "aviation/flights: nothing to change, the newest data fit the schema\n",
        "",
    )


def test_a_change_that_ends_a_check_is_written_only_where_its_feature_is_named(flown, say):
    with_pattern = 'origin: {type: string, domain: {regex: "[EJ].*"},'
    flown.change(f"datasets/{flown.flights}", "origin: {type: string,", with_pattern)
    _, out, _ = say("update", flown.flights)
    assert re.search(r"origin: domain from .* to nothing \(ends a check\)\n", out)
    assert out.endswith("--accept carrier --accept origin, or --accept-all, but for those that end a check\n")
    status, out, _ = say("update", flown.flights, "--accept-all")
    assert status == 0
    assert out.startswith("aviation/flights: 3 changes written to ")
    by_name = "lakehouse schema update aviation/flights --accept origin\n"
    assert f"\nThe rest was not written, since a check would end. To accept by name: {by_name}" in out
    assert 'domain: {regex: "[EJ].*"}' in file_of(flown).read_text("utf-8")
    before = file_of(flown).read_bytes()
    status, out, _ = say("update", flown.flights, "--accept-all")
    assert "\nNothing was written, since a check would end. To accept by name: " in out
    assert file_of(flown).read_bytes() == before
    _, out, _ = say("update", flown.flights, "--accept-all", "--json")
    assert (json.loads(out)["written"], [one["path"] for one in json.loads(out)["open"]]) == (False, ["origin"])
    assert "1 change written" in say("update", flown.flights, "--accept", "origin")[1]
    assert "regex" not in file_of(flown).read_text("utf-8")


def test_rows_set_apart_for_one_value_are_seen_with_all_their_others(project, say):
    with_struct = DATASET + "        seat: {type: struct, presence: optional, fields: {row: {type: int}}}\n"
    project.configure(f"datasets/{project.flights}", with_struct + "      rows: {min: 9}\n")
    rows = 'time_hour,carrier,flight,origin,dep_delay,seat\n2013-01-01T12:00:00Z,B6,x725,JFK,999,"{""row"": 7}"\n'
    project.deliver("1.csv", rows + "2013-01-01T12:00:00Z,UA,1,JFK,5,NA\n")
    project.run()
    _, out, _ = say("update", project.flights, "--json")
    changes = {(one["path"], one["key"]): one["after"] for one in json.loads(out)["changes"]}
    assert changes == {
        ("flight", "type"): "string",
        ("carrier", "domain"): ["UA", "AA", "B6"],
        ("dep_delay", "domain"): {"min": -60, "max": 999},
        ("", "rows.min"): 2,
    }


def test_rows_are_looked_at_by_another_type_though_what_is_computed_does_not_go_with_it(project):
    computed = DATASET.replace("event_time: time_hour", "event_time: time_hour\n    derive: {late: dep_delay - 60}")
    project.configure(f"datasets/{project.flights}", computed + "        late: {type: int, domain: {max: -60}}\n")
    project.deliver("1.csv", project.header + "2013-01-01T12:00:00Z,UA,1,JFK,5\n2013-01-01T12:00:00Z,B6,1,JFK,x5\n")
    project.run()
    with project.lake() as lake:
        found = lake.schema.update(project.flights)
        changes = {(one.path, one.key): one.after for one in found.update.changes}
        with pytest.raises(ConfigError, match="cannot be computed from these types"):
            lake.schema.update(project.flights, accept=["dep_delay"])
    assert changes["carrier", "domain"] == ["UA", "AA", "B6"]
    assert changes["dep_delay", "type"] == "string"
    assert changes["late", "domain"] == {"max": -55}


def test_a_file_that_no_curation_can_read_does_not_keep_the_others_from_being_looked_at(project, say):
    project.configure(f"datasets/{project.flights}", DATASET)
    project.deliver("1.csv", WIDE)
    project.deliver("2.csv", "\0\0")
    project.run()
    _, out, _ = say("update", project.flights)
    assert out.startswith("aviation/flights: 3 changes proposed to ")
    assert re.search(r"\nNot looked at: .*NUL bytes", out)
    project.deliver("3.csv", "\0\0\0")
    project.run()
    status, _, err = say("update", project.flights)
    assert (status, "NUL bytes" in err) == (1, True)


def test_a_missing_value_that_a_default_fills_asks_for_no_change(project, say):
    project.configure(
        f"datasets/{project.flights}", DATASET.replace("flight: {type: int}", "flight: {type: int, default: 0}")
    )
    project.deliver("1.csv", project.header + "2013-01-01T12:00:00Z,UA,NA,JFK,5\n2013-01-01T12:00:00Z,AA,7,JFK,5\n")
    project.run()
    assert say("update", project.flights)[1].startswith("aviation/flights: nothing to change")


def test_a_change_that_decides_no_row_asks_for_no_new_curation(project, say):
    project.configure(
        f"datasets/{project.flights}", DATASET.replace("flight: {type: int}", "flight: {type: int, unique: {max: 1}}")
    )
    project.deliver("1.csv", project.morning)
    project.run()
    status, out, _ = say("update", project.flights, "--accept-all")
    assert status == 0
    assert out.endswith("Nothing else to do: it holds from the next curation on.\n")


def test_a_file_can_be_looked_at_before_it_lands(project, say, tmp_path):
    project.configure(f"datasets/{project.flights}", DATASET)
    (tmp_path / "next.csv").write_text(WIDE)
    _, out, _ = say("update", project.flights, "--file", str(tmp_path / "next.csv"), "--json")
    assert {change["path"] for change in json.loads(out)["changes"]} == {"carrier", "dep_delay", "gate"}
    assert json.loads(out)["written"] is False
    _, out, _ = say("update", project.flights, "--file", str(tmp_path / "next.csv"))
    assert f"To accept: lakehouse schema update aviation/flights --file {tmp_path / 'next.csv'} --accept " in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["update", "aviation/flights"], "dataset 'aviation/flights' has no batch yet; run `lakehouse curate"),
        (["update", "aviation/flihgts"], "Did you mean 'aviation/flights'?"),
        (["update", "aviation/flights", "--file", "no.csv"], "there is no file 'no.csv'"),
        (["update", "aviation/flights", "--environment", "X"], "no environment 'X'. The schema names none."),
        (["show", "aviation/flights", "--version", "1"], "no curation of dataset 'aviation/flights' used a schema yet"),
        (["diff", "aviation/flights"], "no curation of dataset 'aviation/flights' used a schema yet"),
        (["infer", "aviation/flights"], "has no version yet"),
        (["infer", "aviation/flihgts"], "is neither a dataset nor a file. Did you mean 'aviation/flights'?"),
        (["import", "no.pbtxt"], "'no.pbtxt' cannot be read: No such file"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(say, arguments, says):
    status, out, err = say(*arguments)
    assert (status, out) == (1, "")
    assert says in err


def test_what_does_not_go_together_is_told_and_not_passed_over(project, say, tmp_path):
    (tmp_path / "next.csv").write_text(WIDE)
    status, _, err = say("infer", str(tmp_path / "next.csv"), "--version", "3")
    assert (status, "is a file, which has no versions" in err) == (2, True)
    status, _, err = say("infer", project.flights, "--source", "flights")
    assert (status, "is a dataset, whose rows no source reads" in err) == (2, True)


def test_a_misspelt_feature_is_told_though_there_is_nothing_to_accept(project, say):
    project.deliver("1.csv", project.morning)
    project.run()
    status, out, err = say("update", project.flights, "--accept", "carier")
    assert (status, out) == (1, "")
    assert "'carier' is no feature, and no change is proposed. Did you mean 'carrier'?" in err
    assert say("update", project.flights, "--accept", "carrier")[1].startswith("aviation/flights: nothing to change")


def test_data_of_one_environment_changes_what_is_said_of_that_environment(project, say):
    project.configure(f"datasets/{project.flights}", DATASET)
    project.change(f"datasets/{project.flights}", "schema:\n", "schema:\n  environments: [TRAINING, SERVING]\n")
    project.change(
        f"datasets/{project.flights}", "flight: {type: int}", "flight: {type: int, not_in_environment: [SERVING]}"
    )
    project.change(
        f"datasets/{project.flights}", "source: flights", "source: flights\nvalidation: {environment: TRAINING}"
    )
    project.deliver("1.csv", project.morning)
    project.run()
    assert say("update", project.flights)[1].startswith("aviation/flights: nothing to change")
    changes = json.loads(say("update", project.flights, "--environment", "SERVING", "--json")[1])["changes"]
    assert [(one["path"], one["key"], one["before"], one["after"]) for one in changes] == [
        ("flight", "not_in_environment", ["SERVING"], None)
    ]


def test_an_unknown_feature_to_accept_names_those_proposed_and_writes_nothing(flown, say):
    before = file_of(flown).read_bytes()
    status, _, err = say("update", flown.flights, "--accept", "gates")
    assert status == 1
    assert "Did you mean 'gate'?" in err
    assert file_of(flown).read_bytes() == before


def test_a_file_that_cannot_be_changed_safely_is_left_and_told(flown, say):
    flown.change(f"datasets/{flown.flights}", "domain: [UA, AA]}   # airlines", "domain: &them [UA, AA]}")
    flown.change(f"datasets/{flown.flights}", "# Departures.", "# Departures.\npurpose: x")
    flown.change(
        f"datasets/{flown.flights}",
        "flight: {type: int}",
        "flight: {type: int}\n    code: {type: string, domain: *them, presence: optional}",
    )
    before = file_of(flown).read_bytes()
    status, _, err = say("update", flown.flights, "--accept", "carrier")
    assert status == 2
    assert "cannot be changed safely" in err
    assert "schema.features.carrier.domain: [UA, AA, B6]" in err
    assert file_of(flown).read_bytes() == before


# show, diff, history


def test_a_schema_is_shown_as_yaml_that_reads_back(flown, say):
    status, out, err = say("show", flown.flights)
    assert (status, err) == (0, "")
    shown = Schema.model_validate(reading.parse(out).data["schema"])
    now = load(flown.folder / "configs", environ={}).dataset(flown.flights).schema
    assert shown == now
    assert shown.marks == {"origin": True}
    assert json.loads(say("show", flown.flights, "--format", "json")[1]) == now.plain()


def test_an_environment_shows_only_what_is_in_it(project, say):
    project.change(f"datasets/{project.flights}", "schema:\n", "schema:\n  environments: [TRAINING, SERVING]\n")
    project.change(
        f"datasets/{project.flights}", "flight: {type: int}", "flight: {type: int, not_in_environment: [SERVING]}"
    )
    assert "flight" not in say("show", project.flights, "--environment", "SERVING")[1]
    assert "flight" in say("show", project.flights, "--environment", "TRAINING")[1]


def test_each_schema_is_a_version_with_what_changed_and_the_same_again_is_none(flown, say):
    flown.change(f"datasets/{flown.flights}", "flight: {type: int}", "flight: {type: int, drift: {max: 0.5}}")
    status, out, _ = say("history", flown.flights)
    assert status == 0
    assert len(re.findall(r"^schema 1: .*, execution \d+, from version 0 on, 5 features$", out, re.MULTILINE)) == 1
    assert "schema 2" not in out
    assert out.endswith("says otherwise by now: lakehouse schema diff aviation/flights\n")
    assert say("diff", flown.flights)[1] == (
        "aviation/flights: schema 1 -> configs/datasets/aviation/flights.yaml\n  + flight.drift: {max: 0.5}\n"
    )
    flown.deliver("3.csv", flown.header + "2013-01-01T15:00:00Z,AA,1,JFK,2\n")
    flown.run()
    _, out, _ = say("history", flown.flights)
    assert re.search(
        r"^schema 2: .*, from version 2 on, 1 change\n  \+ flight\.drift: \{max: 0\.5\}\n\Z", out, re.MULTILINE
    )
    assert say("diff", flown.flights)[1] == (
        "aviation/flights: schema 2 and configs/datasets/aviation/flights.yaml say the same\n"
    )
    assert "- flight.drift: {max: 0.5}" in say("diff", flown.flights, "2", "1")[1]
    assert "drift" not in say("show", flown.flights, "--version", "1")[1]
    status, _, err = say("show", flown.flights, "--version", "3")
    assert (status, "there are 1 to 2" in err) == (1, True)
    told = json.loads(say("history", flown.flights, "--json")[1])
    assert [(one["number"], one["version"], one["current"]) for one in told] == [(1, 0, False), (2, 2, True)]
    assert told[1]["schema"]["features"]["flight"] == {"type": "int", "drift": {"max": 0.5}}


def test_a_schema_taken_back_is_a_version_of_its_own(project):
    project.deliver("1.csv", project.morning)
    project.run()
    for old, new in (
        ("flight: {type: int}", "flight: {type: int, tags: [x]}"),
        ("flight: {type: int, tags: [x]}", "flight: {type: int}"),
    ):
        project.change(f"datasets/{project.flights}", old, new)
        with project.lake() as lake:
            lake.curate(project.flights, again=True)
    with project.lake() as lake:
        found = lake.schema.history(project.flights)
    assert [(one.number, one.version, one.current) for one in found] == [(1, 0, False), (2, 1, False), (3, 2, True)]
    assert [[str(change.key) for change in one.changes] for one in found] == [[], ["tags"], ["tags"]]


def test_a_dataset_that_was_never_curated_has_no_history(project, say):
    status, out, _ = say("history", project.flights)
    assert (status, out) == (
        0,
        "aviation/flights: no curation used a schema yet; run `lakehouse curate aviation/flights`\n",
    )
    assert json.loads(say("history", project.flights, "--json")[1]) == []


# infer


def test_a_schema_is_inferred_from_a_dataset_and_its_yaml_alone_is_on_stdout(flown, say):
    status, out, err = say("infer", flown.flights)
    assert (status, err) == (0, "")
    inferred = Schema.model_validate(reading.parse(out).data["schema"])
    assert {name: feature.kind for name, feature in inferred.features.items()} == {
        "time_hour": "datetime",
        "carrier": "string",
        "flight": "int",
        "origin": "string",
        "dep_delay": "int",
    }


def test_a_schema_is_inferred_from_a_file_of_any_format_and_from_one_read_as_a_source_says(say, tmp_path):
    (tmp_path / "x.csv").write_text(WIDE)
    (tmp_path / "x.ndjson").write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n')
    csv, ndjson = str(tmp_path / "x.csv"), str(tmp_path / "x.ndjson")
    assert "dep_delay: {type: string" in say("infer", csv)[1]
    assert "dep_delay: {type: int" in say("infer", csv, "--source", "flights")[1]
    assert reading.parse(say("infer", ndjson)[1]).data["schema"]["features"].keys() == {"a", "b"}
    assert json.loads(say("infer", csv, "--json")[1])["features"]["flight"]["type"] == "int"
    (tmp_path / "x.bin").write_bytes(b"\x89PNG\0\0")
    status, _, err = say("infer", str(tmp_path / "x.bin"))
    assert status == 1
    assert "cannot be read" in err


def test_what_is_inferred_is_added_to_the_file_and_changes_nothing_there(project, say):
    project.deliver(
        "1.csv", project.header + "2013-01-01T05:00:00Z,UA,1,EWR,1\n" * 30 + "2013-01-01T05:00:00Z,AA,1,EWR,1\n" * 30
    )
    project.run()
    before = file_of(project).read_text("utf-8")
    status, out, _ = say("infer", project.flights, "--write")
    assert status == 0
    assert "  + carrier.domain: [" in out
    after = file_of(project).read_text("utf-8")
    now = load(project.folder / "configs", environ={}).dataset(project.flights).schema
    assert set(now.features["carrier"].domain.values) == {"AA", "UA"}
    assert re.sub(r", domain: \[[^]]*\]", "", after) == before
    assert say("infer", project.flights, "--write")[1].startswith("aviation/flights: nothing to add")
    status, _, err = say("infer", "nowhere.csv", "--write")
    assert (status, "--write adds to a dataset's file" in err) == (2, True)


# TensorFlow Metadata


def test_a_schema_goes_to_tensorflow_metadata_and_back(project, say, tmp_path):
    pytest.importorskip("tensorflow_metadata")
    project.change(
        f"datasets/{project.flights}", "carrier: {type: string}", "carrier: {type: string, domain: [AA, UA]}"
    )
    status, out, _ = say("show", project.flights, "--format", "pbtxt")
    assert status == 0
    assert 'name: "carrier"' in out
    (tmp_path / "schema.pbtxt").write_text(out)
    status, back, _ = say("import", str(tmp_path / "schema.pbtxt"))
    assert status == 0
    assert reading.parse(back).data["schema"]["features"]["carrier"]["domain"] == ["AA", "UA"]


def test_without_the_extra_it_is_named(project, say, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tensorflow_metadata", "lakehouse.tfmd"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_metadata", None)
    status, out, err = say("show", project.flights, "--format", "pbtxt")
    assert (status, out) == (2, "")
    assert "lakehouse[tfmd]" in err


# The commands


def test_every_command_of_the_group_says_what_it_does_and_its_examples_exist():
    group = program.commands["schema"]
    for name, command in group.commands.items():
        assert command.get_short_help_str(limit=60).endswith("."), name
        assert "..." not in command.get_short_help_str(limit=60), name
        told = command.get_help(click.Context(command, info_name=name))
        assert "\\b" not in told, name
        examples = re.findall(r"^ *lakehouse schema (\w+)(.*)$", command.help, re.MULTILINE)
        assert examples, name
        for verb, rest in examples:
            known = {option for parameter in group.commands[verb].params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", rest.split(">")[0])) <= known, name


def test_a_mistyped_command_names_the_nearest(say):
    status, _, err = say("updat", "aviation/flights")
    assert status == 2
    assert "no command 'schema updat'. Did you mean 'update'?" in err


def test_the_lake_gives_it_all_without_a_command_line(flown):
    with flown.lake() as lake:
        proposal = lake.schema.update(flown.flights, accept=["carrier"])
        assert proposal.written
        assert proposal.again
        assert lake.schema.show(flown.flights).features["carrier"].domain.values == ("UA", "AA")
    with flown.lake() as lake:
        assert lake.schema.diff(flown.flights).changes[0].after == ["UA", "AA", "B6"]
        with pytest.raises(NotFoundError, match="no dataset 'x'"):
            lake.schema.history("x")
        with pytest.raises(NotFoundError, match="no source 'x'"):
            lake.schema.infer(flown.folder / "incoming/1.csv", source="x")
    flown.change(f"datasets/{flown.flights}", "source: flights", "source: nowhere")
    with pytest.raises(ConfigError):
        flown.lake()
