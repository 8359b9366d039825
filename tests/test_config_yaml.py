"""The YAML reader: YAML 1.2's plain values, and nothing that surprises."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.config.yaml import MAX_BYTES, YamlError, parse, read

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(text):
    with pytest.raises(YamlError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize("word", ["NO", "no", "yes", "Yes", "on", "off", "y", "n", "TrUe"])
def test_only_true_and_false_are_booleans(word):
    assert parse(f"a: {word}").data == {"a": word}


@pytest.mark.parametrize(
    "text",
    [
        "0123",
        "0o17",
        "0x1F",
        "+1",
        "1_000",
        "12:30",
        "1:30:00",
        "2013-01-01",
        "2013-01-01 05:00:00",
        "0b1",
        "=",
        "1e5x",
    ],
)
def test_what_yaml_1_1_turns_into_something_else_stays_text(text):
    assert parse(f"a: {text}").data == {"a": text}


def test_plain_numbers_booleans_and_nulls_are_typed():
    data = parse("{a: 1, b: -2.5, c: true, d: False, e: null, f: ~, g: , h: 1e3, i: .5, j: '1', k: \"true\"}").data
    assert data == {
        "a": 1,
        "b": -2.5,
        "c": True,
        "d": False,
        "e": None,
        "f": None,
        "g": None,
        "h": 1000.0,
        "i": 0.5,
        "j": "1",
        "k": "true",
    }


def test_keys_are_always_text_as_written():
    assert parse("1: a\nNO: b\ntrue: c\n01: d").data == {"1": "a", "NO": "b", "true": "c", "01": "d"}


def test_every_value_has_the_line_of_its_key():
    document = parse("a:\n  b:\n    - x\n    - y: 1\n      z: 2\n")
    assert document.line(("a", "b", 1, "z")) == 5
    assert document.line(("a", "b", 0)) == 3
    assert document.line(("a", "nowhere", "deep")) == 1
    assert document.line(("nowhere",)) == 1


def test_a_duplicate_key_is_refused_with_both_lines():
    error = refused("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert error.line == 4
    assert "'b' stands here twice, first on line 2" in str(error)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [x]", "!mine x", "!!str 1", "!!binary aGk=", "! x"])
def test_a_tag_is_refused(tag):
    assert "tag" in str(refused(f"x: 1\na: {tag}"))


def test_a_message_is_short_however_long_the_mistake():
    assert len(str(refused("a: !" + "x" * 100_000))) < 400


def test_a_tag_on_a_key_is_refused():
    assert "tag" in str(refused("!!str a: 1"))


def test_billion_laughs_are_refused_at_once():
    start = time.perf_counter()
    error = refused(LAUGHS)
    assert "aliases repeat more than" in str(error)
    assert time.perf_counter() - start < 1


def test_a_few_aliases_work():
    assert parse("a: &one {x: [1, 2]}\nb: *one\nc: [*one]").data["c"] == [{"x": [1, 2]}]


def test_an_alias_to_itself_is_refused():
    assert "names no anchor" in str(refused("a: &a [1, *a]"))


def test_an_unknown_alias_is_refused():
    assert refused("a: *nobody").line == 1


def test_merge_keys_are_refused():
    assert "merge keys" in str(refused("a: &a {x: 1}\nb:\n  <<: *a"))


def test_a_quoted_merge_key_is_a_key():
    assert parse("'<<': 1").data == {"<<": 1}


def test_deep_nesting_is_refused():
    assert "nested deeper" in str(refused("a: " + "[" * 100_000))


def test_a_tab_is_explained():
    error = refused("a:\n\tb: 1\n")
    assert error.line == 2
    assert "tab" in str(error)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_an_empty_file_is_refused_unless_allowed(text):
    assert "empty" in str(refused(text))
    assert parse(text, allow_empty=True).data == {}


@pytest.mark.parametrize("text", ["- a\n- b", "word", "12"])
def test_a_file_that_is_no_mapping_is_refused(text):
    assert "key: value" in str(refused(text))


def test_a_second_document_is_refused():
    assert refused("a: 1\n---\nb: 2\n").line == 2


@pytest.mark.parametrize("text", ["a: [1", "a: 'x", "a: b: c", "? [x]\n: 1", "{a: 1", "a: @x", "%YAML 9", "{[a]: 1}"])
def test_what_is_not_yaml_is_refused_with_its_line(text):
    assert refused(text).line is not None


def test_a_control_character_is_named():
    error = refused("a: 1\nb: \x01\n")
    assert "U+0001" in str(error)
    assert error.line == 2


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1\nb: café".encode("latin-1"))
    with pytest.raises(YamlError, match="UTF-8") as caught:
        read(path)
    assert caught.value.line == 2


def test_a_byte_order_mark_is_fine(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read(path).data == {"a": 1}


def test_a_file_over_1_mib_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: " + b"x" * MAX_BYTES)
    with pytest.raises(YamlError, match="larger than 1 MiB"):
        read(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_our_error(text):
    with contextlib.suppress(YamlError):
        assert isinstance(parse(text).data, dict)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(TEXT.filter(bool), VALUES, min_size=1, max_size=5))
def test_any_json_is_read_as_json_means_it(data):
    assert parse(json.dumps(data, ensure_ascii=False)).data == data
