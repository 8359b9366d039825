"""YAML and TOML: every scalar as it is written; bombs and doubled keys are refused."""

import pytest

from lakehouse.errors import FormatError
from lakehouse.formats import Raw, TomlFormat, YamlFormat


def prepared(form, folder, data):
    path = folder / "facts"
    path.write_bytes(data)
    return form.prepare(Raw("sha", "facts", path), folder)


def read(form, folder, data):
    file = prepared(form, folder, data)
    frame = form.scan([file]).select(*file.columns).collect()
    return [{key: value for key, value in record.items() if value is not None} for record in frame.to_dicts()]


def test_yaml_scalars_stay_as_written_and_nulls_are_missing(tmp_path):
    data = b'- {a: 1.10, b: no, c: "null", d: ~, e: , f: 0x1F, g: 2024-01-01}\n'
    data += b'- {h: [1.0, x, "2", {k: 007}], i: !!int "5"}\n'
    assert read(YamlFormat(), tmp_path, data) == [
        {"a": "1.10", "b": "no", "c": "null", "f": "0x1F", "g": "2024-01-01"},
        {"h": '[1.0, "x", "2", {"k": "007"}]', "i": "5"},
    ]


def test_yaml_documents_and_lists_at_a_path_are_records(tmp_path):
    assert read(YamlFormat(), tmp_path, b"a: 1\n---\na: 2\n---\n- a: 3\n") == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    assert read(YamlFormat(records="x.y"), tmp_path, b"x: {y: [&a {k: 1}, *a]}") == [{"k": "1"}, {"k": "1"}]


def test_a_yaml_item_that_is_no_record_stands_apart(tmp_path):
    broken = prepared(YamlFormat(), tmp_path, b"- {a: 1}\n- 7\n- {a: 2}\n").broken.collect()
    assert broken.select("_row", "_text", "_reason").rows() == [(2, "7", "row: not a mapping")]


BOMB = b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(12)
)


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        (YamlFormat(), BOMB, "a bomb"),
        (YamlFormat(), b"a: " + b"[" * 50_000, "deeper than 200"),
        (YamlFormat(), b"a: 1\na: 2\n", "line 2: the key 'a' stands twice"),
        (YamlFormat(), b"a: &x {b: 1}\nc: {<<: *x}\n", "merge keys"),
        (YamlFormat(), b"a: *x", "no anchor 'x'"),
        (YamlFormat(), b"a: [1, 2", "not YAML"),
        (YamlFormat(records="b"), b"a: []", "it has no 'b'"),
        (YamlFormat(), b"just text", "neither a list of records"),
        (YamlFormat(), b"a: \xff", "not UTF-8"),
        (TomlFormat(), b"a = 1\na = 2", "not TOML"),
        (TomlFormat(), b"a = [" + b"[" * 5000, "nested too deeply|not TOML"),
        (TomlFormat(records="q"), b"[[p]]", "it has no 'q'"),
        (TomlFormat(), b"a = " + b"9" * 5000, "not TOML"),
        (YamlFormat(), b"- {}\n- {}\n", "none of its records has a field"),
        (YamlFormat(), b"- {a: 1, _row: 7}\n", "'_row' is a name the lake keeps"),
        (TomlFormat(), b"a = 1\n_raw = 2\n", "'_raw' is a name the lake keeps"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, form, data, message):
    with pytest.raises(FormatError, match=f"facts: .*({message})"):
        prepared(form, tmp_path, data)


def test_a_toml_file_that_says_nothing_holds_no_record(tmp_path):
    assert prepared(TomlFormat(), tmp_path, b"# nothing yet\n").rows == 0


def test_toml_values_are_exact_text(tmp_path):
    data = (
        b'[[p]]\na=1_000\nb=1.10\nc=2024-01-01T00:00:00Z\nd=[1,2.50,"x"]\ne=true\n[p.n]\nk="v"\n[[p]]\na=0x10\nb=+inf\n'
    )
    assert read(TomlFormat(records="p"), tmp_path, data) == [
        {
            "a": "1000",
            "b": "1.10",
            "c": "2024-01-01T00:00:00+00:00",
            "d": '[1, 2.50, "x"]',
            "e": "true",
            "n": '{"k": "v"}',
        },
        {"a": "16", "b": "inf"},
    ]
