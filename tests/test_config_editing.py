"""YAML out of a schema and back, and changes to a file that leave every other byte alone."""

import difflib
import os
import stat
import threading

import pytest
import yaml as pyyaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.config import GONE, Edit, change_dataset, load, schema_text
from lakehouse.config import yaml as reading
from lakehouse.config.editing import edited
from lakehouse.config.flow import WIDTH, flow
from lakehouse.errors import ConfigError, StorageError
from lakehouse.schema import Action, Rule, Schema, Severity

# A schema as YAML


def read_back(text):
    return Schema.model_validate(reading.parse(text).data["schema"])


names = st.text("abcXYZ0_é😀", min_size=1, max_size=5).filter(lambda name: not name.startswith("_"))
words = st.text(max_size=8).filter(lambda text: text.isprintable()) | st.sampled_from(
    ["NO", "1", "a: b", "# x", "2d", "- y", "{", "~"]
)
counts = st.integers(0, 50)
bounds = st.tuples(counts, counts).map(sorted).map(lambda pair: {"min": pair[0], "max": pair[1]})
shares = st.floats(0, 1, allow_subnormal=False)
limits = st.dictionaries(
    st.sampled_from(["infinity_norm", "jensen_shannon", "normalized_absolute_difference", "max"]), shares, min_size=1
)
feature_rules = st.sampled_from(["presence", "domain", "drift", "skew"])
presences = st.one_of(
    st.sampled_from(["required", "optional"]),
    st.fixed_dictionaries({"min_fraction": shares}, optional={"min_count": counts}),
    st.just({"required": False, "min_fraction": 1}),
)
domains = st.one_of(
    st.lists(words, min_size=1, max_size=4),
    st.fixed_dictionaries({"values": st.lists(words, min_size=1, max_size=60)}, optional={"min_mass": st.just(0.9)}),
    st.just({"regex": "[A-Z]+ #: '\"\\d"}),
    st.just({"length": {"min": 1}}),
)
common = {
    "presence": presences,
    "drift": limits,
    "severity": st.sampled_from(list(Severity))
    | st.dictionaries(feature_rules, st.sampled_from(list(Severity)), min_size=1),
    "tags": st.lists(words, max_size=3),
    "description": words,
    "unit": words,
    "lifecycle": st.sampled_from(["beta", "deprecated"]),
    "in_environment": st.lists(words.filter(bool), max_size=2),
    "personal": st.booleans(),
    "null_values": st.lists(words, max_size=2),
    "unique": bounds,
}
strings = st.fixed_dictionaries({"type": st.just("string")}, optional={**common, "domain": domains, "default": words})
lists = st.fixed_dictionaries(
    {"type": st.just("list[string]")},
    optional={**common, "domain": domains, "valency": bounds, "separator": st.just(";")},
)
floats = st.fixed_dictionaries(
    {"type": st.just("float")},
    optional={
        **common,
        "domain": st.fixed_dictionaries(
            {"min": st.floats(allow_nan=False, allow_infinity=False)}, optional={"finite": st.booleans()}
        ),
    },
)
inner = st.dictionaries(names, st.just({"type": "int"}), min_size=1, max_size=2)
structs = st.fixed_dictionaries({"type": st.sampled_from(["struct", "list[struct]"]), "fields": inner})
whole = st.fixed_dictionaries(
    {"features": st.dictionaries(names, st.one_of(strings, lists, floats, structs), min_size=1, max_size=4)},
    optional={
        "environments": st.lists(words.filter(bool), unique=True, max_size=3),
        "domains": st.dictionaries(words.filter(bool), domains, max_size=2),
        "rows": bounds,
        "keys": st.just("unique"),
        "checks": st.dictionaries(
            st.sampled_from(["a", "b-1"]), st.just("x > 1") | st.just({"sql": "x", "description": "y"})
        ),
        "freshness": st.sampled_from(["2d", "1h30m"]),
        "severity": st.sampled_from(list(Severity)),
        "on_error": st.dictionaries(st.just(Rule.ROWS), st.sampled_from([Action.REFUSE, Action.WARN]), min_size=1),
    },
)


def possible(said):
    try:
        return Schema.model_validate(said)
    except ValueError:
        return None


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole.map(possible).filter(lambda schema: schema is not None))
def test_a_schema_read_back_from_its_yaml_is_the_same(schema):
    text = schema_text(schema)
    again = read_back(text)
    assert again == schema
    assert again.marks == schema.marks
    # A reader of YAML 1.1 takes it for the same values too.
    assert pyyaml.safe_load(text) == reading.parse(text).data


def test_a_schema_is_written_as_a_person_would():
    schema = Schema.model_validate(
        {
            "features": {
                "carrier": {"type": "string", "domain": {"values": ["AA", "B6"]}, "presence": {"required": True}},
                "delay": {"description": "Late.", "presence": "optional", "type": "int", "drift": {"max": 0.1}},
                "dests": {"type": "list[string]", "valency": {"min": 1, "max": 3}, "separator": ";"},
                "many": {"type": "string", "domain": [f"N{n}" for n in range(40)]},
                "at": {"type": "date", "domain": {"min": "2013-01-01"}, "personal": False},
            },
            "environments": ["TRAINING"],
            "checks": {"late": {"sql": "delay > 0"}},
            "freshness": "2d",
        }
    )
    assert (
        schema_text(schema)
        == """\
schema:
  environments: [TRAINING]
  features:
    carrier: {type: string, domain: [AA, B6]}
    delay: {type: int, presence: optional, drift: {max: 0.1}, description: Late.}
    dests: {type: "list[string]", separator: ";", valency: {min: 1, max: 3}}
    many:
      type: string
      domain: [N0, N1, N2, N3, N4, N5, N6, N7, N8, N9, N10, N11, N12, N13, N14, N15, N16, N17, N18, N19, N20, N21, N22,
        N23, N24, N25, N26, N27, N28, N29, N30, N31, N32, N33, N34, N35, N36, N37, N38, N39]
    at: {type: date, domain: {min: "2013-01-01"}, personal: false}
  checks:
    late: "delay > 0"
  freshness: 2d
"""
    )
    assert max(map(len, schema_text(schema).splitlines())) <= WIDTH


@pytest.mark.parametrize("value", [1e-7, -1e300, float("inf"), float("-inf"), 0.1, 5.0])
def test_a_number_is_written_so_that_every_reader_takes_it_for_that_number(value):
    text = f"x: {flow(value)}"
    assert reading.parse(text).data["x"] == value
    assert pyyaml.safe_load(text)["x"] == value


# Changes in place

TEXT = """\
# höhe 😀 top
source: flights   # where from
schema:
  # features here
  environments: [A]   # one
  features:
    carrier: {type: string, domain: [AA, "B6"]}  # remark ü
    b:   # block
      type: int
      domain:   # why
        - 1   # one
        - 2
      # end remark
    c: {
      type: string,  # what
      unit: x
    }
    last: {type: float, description: "a, b"}
    # after

  keys: unique
derive: {x: "1"}
"""
F = ("schema", "features")


def changed(*edits, text=TEXT):
    """The lines that came and went."""
    after = edited(text, [Edit(*edit) for edit in edits], "f.yaml")
    lines = difflib.ndiff(text.splitlines(), after.splitlines())
    return [line[:2] + line[2:].strip() for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        (
            (*F, "carrier", "presence"),
            "optional",
            [
                '- carrier: {type: string, domain: [AA, "B6"]}  # remark ü',
                '+ carrier: {type: string, presence: optional, domain: [AA, "B6"]}  # remark ü',
            ],
        ),
        (
            (*F, "carrier", "domain"),
            ["AA", "B6", "NO"],
            [
                '- carrier: {type: string, domain: [AA, "B6"]}  # remark ü',
                '+ carrier: {type: string, domain: [AA, "B6", "NO"]}  # remark ü',
            ],
        ),
        (
            (*F, "carrier", "domain"),
            GONE,
            ['- carrier: {type: string, domain: [AA, "B6"]}  # remark ü', "+ carrier: {type: string}  # remark ü"],
        ),
        (
            (*F, "carrier"),
            {"type": "int"},
            ['- carrier: {type: string, domain: [AA, "B6"]}  # remark ü', "+ carrier: {type: int}  # remark ü"],
        ),
        ((*F, "b", "domain"), [1, 2, 3], ["+ - 3"]),
        ((*F, "b", "presence"), {"min_fraction": 0.9}, ["+ presence: {min_fraction: 0.9}"]),
        ((*F, "b", "type"), "float", ["- type: int", "+ type: float"]),
        ((*F, "b", "domain"), GONE, ["- domain:   # why", "- - 1   # one", "- - 2"]),
        ((*F, "c", "presence"), "optional", ["- type: string,  # what", "+ type: string, presence: optional,  # what"]),
        ((*F, "gate"), {"type": "string", "presence": "optional"}, ["+ gate: {type: string, presence: optional}"]),
        ((*F, "last"), GONE, ['- last: {type: float, description: "a, b"}']),
        (
            (*F, "last", "drift"),
            {"max": 0.1},
            [
                '- last: {type: float, description: "a, b"}',
                '+ last: {type: float, drift: {max: 0.1}, description: "a, b"}',
            ],
        ),
        (("schema", "rows", "min"), 3, ["+ rows: {min: 3}"]),
        (("schema", "domains", "airport"), ["A"], ["+ domains: {airport: [A]}"]),
        (("schema", "environments"), ["A", "B"], ["- environments: [A]   # one", "+ environments: [A, B]   # one"]),
        (("schema", "keys"), GONE, ["- keys: unique"]),
        (("schema", "keys"), "unique", []),
        (("derive", "x"), GONE, ['- derive: {x: "1"}']),
        (("owner",), "me", ["+ owner: me"]),
    ],
)
def test_a_change_touches_its_own_key_alone(path, value, lines):
    assert changed((path, value)) == lines


def test_many_changes_are_made_at_once():
    assert changed(
        ((*F, "b", "unit"), "m"),
        ((*F, "last", "tags"), ["a"]),
        ((*F, "last", "presence"), "optional"),
        ((*F, "n1"), {"type": "int"}),
        ((*F, "n2"), {"type": "struct", "fields": {"x": {"type": "int"}}}),
        ((*F, "n2", "fields", "z"), {"type": "int"}),
    ) == [
        "+ unit: m",
        '- last: {type: float, description: "a, b"}',
        '+ last: {type: float, presence: optional, tags: [a], description: "a, b"}',
        "+ n1: {type: int}",
        "+ n2: {type: struct, fields: {x: {type: int}, z: {type: int}}}",
    ]


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ((*F, "b", "domain"), [1], "a comment would be lost"),
        ((*F, "c", "type"), GONE, "a comment would be lost"),
        ((*F, "b"), {"type": "string"}, "a comment would be lost"),
    ],
)
def test_a_change_that_would_lose_a_comment_is_refused_and_told_to_be_made_by_hand(path, value, why):
    with pytest.raises(ConfigError, match=r"^f\.yaml:\d+: cannot be changed safely: .*Nothing was written") as told:
        changed((path, value))
    assert why in str(told.value)
    assert ".".join(path) in str(told.value)


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("a: &x {b: 1}\nc: 2\n", ("a", "b"), "a: &x {b: 9}\nc: 2\n"),
        ("a: &x {b: 1}\nc: *x\n", ("a", "b"), None),
        ("a: &x {b: 1}\nc: *x\n", ("c", "b"), None),
        ("a: &x {b: 1}\nc: *x\n", ("new",), "a: &x {b: 1}\nc: *x\nnew: 9\n"),
        ("a:", ("a", "b"), "a: {b: 9}"),
        ("a: {}\n", ("a", "b"), "a: {b: 9}\n"),
        ("a: 1", ("b",), "a: 1\nb: 9"),
        ("a: 1\r\nb:\r\n  c: 2\r\n", ("b", "d"), "a: 1\r\nb:\r\n  c: 2\r\n  d: 9\r\n"),
        ("a: |\n  text\n  more\nb: 3\n", ("a",), "a: 9\nb: 3\n"),
        ("a: |\n  text\n", ("b",), "a: |\n  text\nb: 9\n"),
        ("a: 'x'  # y\n", ("a",), "a: 9  # y\n"),
        ("{a: 1}\n", ("b",), "{a: 1, b: 9}\n"),
        ("? a\n: 1\n", ("a",), None),
    ],
)
def test_every_shape_of_yaml_is_changed_rightly_or_not_at_all(text, path, after):
    if after is None:
        try:
            result = edited(text, [Edit(path, 9)], "f.yaml")
        except ConfigError:
            return
        assert reading.parse(result).data == {**reading.parse(text).data, path[0]: 9}
        return
    assert edited(text, [Edit(path, 9)], "f.yaml") == after


plain_values = st.recursive(
    st.integers(0, 9) | st.text("ab #:é😀,]", max_size=4) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(st.sampled_from("abcd"), plain_values, min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    data=mappings,
    edits=st.lists(
        st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3), plain_values | st.just(GONE)),
        min_size=1,
        max_size=3,
    ),
    style=st.sampled_from([None, True, False]),
)
def test_whatever_is_changed_reads_back_as_meant_or_is_refused(data, edits, style):
    text = pyyaml.safe_dump(data, default_flow_style=style, allow_unicode=True, sort_keys=False)
    try:
        before = reading.parse(text).data
        after = edited(text, [Edit(tuple(path), value) for path, value in edits], "f.yaml")
    except (ConfigError, reading.YamlError):
        return
    meant = before
    for path, value in edits:
        meant = applied(meant, path, value)
    assert reading.parse(after).data == meant


def applied(data, path, value):
    """The naive way to change a nested mapping."""
    known = dict(data) if isinstance(data, dict) else {}
    if len(path) > 1:
        if value is not GONE or isinstance(known.get(path[0]), dict):
            known[path[0]] = applied(known.get(path[0]), path[1:], value)
            if value is GONE and known[path[0]] == {} and data[path[0]] != {}:
                del known[path[0]]
        return known
    known.pop(path[0], None) if value is GONE else known.update({path[0]: value})
    return known


# Files


@pytest.fixture
def config(tmp_path):
    for name, text in {
        "sources/s": "type: files\npath: x/*.csv\nformat: csv\n",
        "datasets/a/b": TEXT.replace("source: flights", "source: s")
        .replace("  keys: unique\n", "")
        .replace('derive: {x: "1"}\n', "")
        .replace("    c: {\n      type: string,  # what\n      unit: x\n    }\n", ""),
    }.items():
        path = tmp_path / f"configs/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return load(tmp_path / "configs", environ={})


def test_a_file_is_replaced_whole_and_keeps_its_mode_and_mark(config, tmp_path):
    path = tmp_path / "configs/datasets/a/b.yaml"
    before = b"\xef\xbb\xbf" + path.read_bytes()
    path.write_bytes(before)
    path.chmod(0o640)
    dataset = change_dataset(config, "a/b", [Edit((*F, "gate"), {"type": "string"})])
    assert dataset.schema.features["gate"].type == "string"
    line = b'    last: {type: float, description: "a, b"}\n'
    assert path.read_bytes() == before.replace(line, line + b"    gate: {type: string}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["b.yaml"]


def test_a_linked_file_stays_a_link(config, tmp_path):
    path, elsewhere = tmp_path / "configs/datasets/a/b.yaml", tmp_path / "elsewhere.yaml"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    change_dataset(config, "a/b", [Edit((*F, "gate"), {"type": "string"})])
    assert path.is_symlink()
    assert "gate" in elsewhere.read_text("utf-8")


def test_a_change_that_contradicts_the_schema_is_refused_before_anything_is_written(config, tmp_path):
    path = tmp_path / "configs/datasets/a/b.yaml"
    before = path.read_bytes()
    says = r"1 problem in \S+ as it would be; nothing was written\n.*features\.carrier\.valency: only a list has one"
    with pytest.raises(ConfigError, match=says):
        change_dataset(config, "a/b", [Edit((*F, "carrier", "valency"), {"min": 1})])
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_file_that_somebody_else_changes_meanwhile_is_left_to_them(config, tmp_path, monkeypatch):
    path = tmp_path / "configs/datasets/a/b.yaml"
    synced = os.fsync

    def slow(descriptor):
        synced(descriptor)
        path.write_bytes(path.read_bytes() + b"# theirs\n")

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(ConfigError, match="was changed by somebody else just now"):
        change_dataset(config, "a/b", [Edit((*F, "gate"), {"type": "string"})])
    assert path.read_bytes().endswith(b"# theirs\n")
    assert b"gate" not in path.read_bytes()
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(config, tmp_path):
    folder = tmp_path / "configs/datasets/a"
    folder.chmod(0o500)
    try:
        with pytest.raises(StorageError, match=r"writing configs/datasets/a/b\.yaml"):
            change_dataset(config, "a/b", [Edit((*F, "gate"), {"type": "string"})])
    finally:
        folder.chmod(0o700)


def test_those_who_change_at_once_wait_for_each_other(config):
    changes = [[Edit((*F, f"n{number}"), {"type": "int"})] for number in range(4)]
    threads = [threading.Thread(target=change_dataset, args=(config, "a/b", edits)) for edits in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    features = load(config.folder, environ={}).dataset("a/b").schema.features
    assert {f"n{number}" for number in range(4)} <= features.keys()
